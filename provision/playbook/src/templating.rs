//! The seam to the template crate: everything this crate asks about template text.

use std::sync::Arc;

use diagnostics::{Sources, Span};
pub(crate) use provision_template::Shape;
pub use provision_template::{Dialect, Reach, TextKind};
use provision_template::{Engine, Found, Nowhere, Scope, Slot};
use yaml::Node;

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// Bytes of the text.
    pub(crate) range: Option<(usize, usize)>,
    pub(crate) hint: Option<String>,
    /// A filter or test that nobody knows.
    pub(crate) unknown: Option<String>,
}

/// What is said of a filter or test that nobody knows, up to its name.
const UNKNOWN: &str = "there is no filter or test named '";

/// Asks the template crate.
#[derive(Debug)]
pub(crate) struct Templates {
    engine: Engine,
}

impl Templates {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Templates { engine: Engine::new(dialect) }
    }

    /// The first syntax error of a text.
    pub(crate) fn check(&self, text: &str, kind: TextKind) -> Option<Fault> {
        let error = match self.engine.check_syntax(text, kind) {
            Ok(()) => return None,
            Err(error) => error,
        };
        let hint = error.fault().and_then(|fault| fault.hint.clone());
        let message = error.message();
        let what = if kind == TextKind::Condition { "expression" } else { "template" };
        let message = match message.strip_prefix("template error while templating string: ") {
            Some(reason) => format!("the {what} is not valid: {reason}"),
            None => message.to_owned(),
        };
        // A node over the text alone: places in its errors are places in the text.
        let mut sources = Sources::default();
        let id = sources.add("", text);
        let node = Node::string(Span::new(id, 0, text.len()), text);
        let errors = self.engine.check_node(&node, kind);
        let label = errors.first().and_then(|error| error.diagnostic(&sources).primary);
        let range = label
            .map(|label| (label.span.start as usize, label.span.end as usize))
            .filter(|(start, end)| (*start, *end) != (0, text.len()));
        let range = range.or_else(|| named(&message, text));
        let unknown = message.split_once(UNKNOWN).and_then(|(_, rest)| rest.split('\'').next());
        let unknown = unknown.map(str::to_owned);
        Some(Fault { message, range, hint, unknown })
    }

    /// See [`Engine::admit`].
    pub(crate) fn admit(&self, name: &str) {
        self.engine.admit(name);
    }

    /// See [`Engine::shape_of_condition`].
    pub(crate) fn shape_of_condition(
        &self,
        text: &str,
        variable: &dyn Fn(&str) -> Option<Shape>,
    ) -> Option<(Shape, Option<String>)> {
        self.engine.shape_of_condition(text, variable)
    }

    /// See [`Engine::shape_of_template`].
    pub(crate) fn shape_of_template(&self, text: &str) -> Option<Shape> {
        self.engine.shape_of_template(text)
    }

    /// What a text can evaluate.
    pub(crate) fn reach(&self, text: &str, kind: TextKind) -> Reach {
        self.engine.names_in(text, kind)
    }

    /// The texts of a template over the given variables, several if it means a list; the error is
    /// a label for its place.
    pub(crate) fn render(
        &self,
        node: &Node,
        lookup: &dyn Fn(&str) -> Option<Node>,
    ) -> Result<Vec<String>, String> {
        let value = self
            .engine
            .render_node(node, &Statics(lookup), &Nowhere)
            .map_err(|error| error.message().to_owned())?;
        let scalar = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            serde_json::Value::Bool(true) => Ok("True".to_owned()),
            serde_json::Value::Bool(false) => Ok("False".to_owned()),
            other => Err(format!("means {other}, where text is expected")),
        };
        match provision_template::to_json(&value) {
            serde_json::Value::Array(items) => items.iter().map(scalar).collect(),
            other => Ok(vec![scalar(&other)?]),
        }
    }
}

/// Variables that are known when loading.
struct Statics<'a>(&'a dyn Fn(&str) -> Option<Node>);

impl Scope for Statics<'_> {
    fn lookup(&self, name: &str) -> Found {
        match (self.0)(name) {
            Some(node) => Found::Slot(Slot::Template(Arc::new(node))),
            None => Found::Undefined,
        }
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Where the name stands that a message quotes.
fn named(message: &str, text: &str) -> Option<(usize, usize)> {
    let (_, rest) = message.split_once("named '")?;
    let name = rest.split('\'').next()?;
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let (start, _) = text.match_indices(name).find(|(start, _)| {
        let before = text.get(..*start).and_then(|before| before.chars().next_back());
        let after = text.get(start + name.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })?;
    Some((start, start + name.len()))
}

/// Whether a text holds a template.
pub(crate) fn is_template(text: &str) -> bool {
    provision_template::text_has_template(text)
}

/// Whether a value holds a template or an encrypted text anywhere, keys of mappings included.
pub(crate) fn holds_template(node: &Node) -> bool {
    if node.is_unsafe() {
        return false;
    }
    match &node.value {
        // What it holds is known only when it is opened.
        yaml::NodeValue::String(_) if node.is_vault() => true,
        yaml::NodeValue::String(text) => is_template(text),
        yaml::NodeValue::Sequence(items) => items.iter().any(holds_template),
        yaml::NodeValue::Mapping(mapping) => {
            mapping.iter().any(|(key, value)| holds_template(key) || holds_template(value))
        }
        _ => false,
    }
}
