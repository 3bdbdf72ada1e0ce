//! The seam to the template crate: everything this crate asks about template text.

use std::collections::BTreeSet;

use yaml::Node;

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Dialect {
    /// ansible-core 2.18.
    #[default]
    Classic,
    /// ansible-core 2.19.
    Strict,
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// Text with templates in it.
    Template,
    /// An expression without brackets.
    Condition,
    /// A template file.
    File,
}

/// What a text can evaluate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Names that it reads.
    pub names: BTreeSet<String>,
    /// Whether it may read any name.
    pub dynamic: bool,
    /// Lookups it calls.
    pub lookups: BTreeSet<String>,
    /// Templates it includes.
    pub includes: BTreeSet<String>,
    /// Whether it may include any template.
    pub dynamic_includes: bool,
    /// Whether its value depends on more than names.
    pub impure: bool,
    /// Filters, tests and functions that don't exist.
    pub unknown: BTreeSet<String>,
}

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// Bytes of the text.
    pub(crate) range: Option<(usize, usize)>,
    pub(crate) hint: Option<String>,
}

/// Asks the template crate.
#[derive(Debug)]
pub(crate) struct Templates {}

impl Templates {
    pub(crate) fn new(_dialect: Dialect) -> Self {
        Templates {}
    }

    /// The first syntax error of a text.
    pub(crate) fn check(&self, _text: &str, _kind: TextKind) -> Option<Fault> {
        None
    }

    /// What a text can evaluate.
    pub(crate) fn reach(&self, _text: &str, _kind: TextKind) -> Reach {
        Reach::default()
    }

    /// The texts of a template over the given variables, several if it means a list; the error is
    /// a label for its place.
    pub(crate) fn render(
        &self,
        _node: &Node,
        _lookup: &dyn Fn(&str) -> Option<Node>,
    ) -> Result<Vec<String>, String> {
        Err("a template".to_owned())
    }
}

/// Whether a text holds a template.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Whether a value holds a template anywhere.
pub(crate) fn holds_template(node: &Node) -> bool {
    if node.is_unsafe() {
        return false;
    }
    match &node.value {
        yaml::NodeValue::String(text) => is_template(text),
        yaml::NodeValue::Sequence(items) => items.iter().any(holds_template),
        yaml::NodeValue::Mapping(mapping) => {
            mapping.iter().any(|(key, value)| holds_template(key) || holds_template(value))
        }
        _ => false,
    }
}
