//! The seam to the template crate: everything this crate asks about template text.

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Dialect {
    /// ansible-core 2.18.
    #[default]
    Classic,
    /// ansible-core 2.19.
    Strict,
}

/// Whether a text holds a template.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The text of a template over the given variables; the error is a label for its place.
pub(crate) fn render_static(
    _node: &yaml::Node,
    _lookup: &dyn Fn(&str) -> Option<yaml::Node>,
    _dialect: Dialect,
) -> Result<String, String> {
    Err("a template".to_owned())
}

/// The same for a template that may mean a list of texts.
pub(crate) fn render_static_list(
    _node: &yaml::Node,
    _lookup: &dyn Fn(&str) -> Option<yaml::Node>,
    _dialect: Dialect,
) -> Result<Vec<String>, String> {
    Err("a template".to_owned())
}
