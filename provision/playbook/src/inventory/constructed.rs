//! `plugin: constructed`: variables and groups that follow from variables. What a file asks for is
//! read here; who can evaluate templates does it.

use std::sync::Arc;

use diagnostics::{Diagnostic, Span, closest};
use yaml::{Mapping, Node};

use super::load::Loader;

/// What a file of this plugin asks for.
#[derive(Debug, Clone)]
pub struct Constructed {
    /// Where it stands.
    pub span: Span,
    /// Hosts of the sources before it: only these are looked at.
    pub hosts: Vec<Arc<str>>,
    /// What can't be evaluated is an error.
    pub is_strict: bool,
    /// A group without a prefix begins with the separator.
    pub leads_with_separator: bool,
    /// Names of variables and their expressions.
    pub compose: Vec<(String, Node)>,
    /// Names of groups and their conditions.
    pub groups: Vec<(String, Node)>,
    /// Groups named after values.
    pub keyed: Vec<KeyedGroup>,
}

/// Groups named after the values of an expression.
#[derive(Debug, Clone)]
pub struct KeyedGroup {
    /// The expression.
    pub key: Node,
    /// What names begin with.
    pub prefix: String,
    /// What stands between prefix, key and value.
    pub separator: String,
    /// The group that they are all below; may be a template.
    pub parent: Option<Node>,
    /// Stands for an empty value.
    pub default: Option<String>,
    /// A key without a value ends with the separator.
    pub trails_with_separator: bool,
}

const OPTIONS: &[&str] = &[
    "compose",
    "groups",
    "keyed_groups",
    "leading_separator",
    "plugin",
    "strict",
    "use_extra_vars",
    "use_vars_plugins",
];
const KEYED_OPTIONS: &[&str] =
    &["default_value", "key", "parent_group", "prefix", "separator", "trailing_separator"];

/// Whether a document configures this plugin.
pub(super) fn is_constructed(document: &Node) -> bool {
    let plugin = document.as_mapping().and_then(|all| all.get("plugin"));
    let name = plugin.and_then(Node::as_str).unwrap_or_default();
    matches!(
        name.strip_prefix("ansible.builtin.")
            .or(name.strip_prefix("ansible.legacy."))
            .unwrap_or(name),
        "constructed"
    )
}

impl Loader<'_> {
    /// A file of this plugin.
    pub(super) fn constructed_file(&mut self, document: &Node) {
        let Some(mapping) = document.as_mapping() else { return };
        self.only(mapping, OPTIONS, "the plugin constructed");
        let flag = |name: &str, default: bool| {
            mapping.get(name).map_or(default, |node| truth(node).unwrap_or(default))
        };
        let pairs = |name: &str| -> Vec<(String, Node)> {
            let entries = mapping.get(name).and_then(Node::as_mapping);
            let entries = entries.into_iter().flat_map(Mapping::iter);
            entries.map(|(key, value)| (yaml::key_text(key), value.clone())).collect()
        };
        let constructed = Constructed {
            span: document.span,
            hosts: self.inventory.hosts().map(|host| Arc::clone(&host.name)).collect(),
            is_strict: flag("strict", false),
            leads_with_separator: flag("leading_separator", true),
            compose: pairs("compose"),
            groups: pairs("groups"),
            keyed: self.keyed_groups(mapping),
        };
        self.constructed.push(constructed);
    }

    fn keyed_groups(&mut self, mapping: &Mapping) -> Vec<KeyedGroup> {
        let entries = mapping.get("keyed_groups").and_then(Node::as_sequence).unwrap_or_default();
        let mut found = Vec::new();
        for node in entries {
            let Some(entry) = node.as_mapping() else {
                self.report(
                    Diagnostic::error(
                        "inventory-constructed",
                        "an entry of keyed_groups is a mapping",
                    )
                    .at(node.span, "expected `key: …`"),
                );
                continue;
            };
            self.only(entry, KEYED_OPTIONS, "keyed_groups");
            let Some(key) = entry.get("key") else {
                self.report(
                    Diagnostic::error(
                        "inventory-constructed",
                        "an entry of keyed_groups has no key",
                    )
                    .at(node.span, "expected `key: EXPRESSION`"),
                );
                continue;
            };
            let text = |name: &str| entry.get(name).map(scalar);
            let trailing = entry.get("trailing_separator");
            if let (Some(trailing), Some(_)) = (trailing, entry.get("default_value")) {
                self.report(
                    Diagnostic::error(
                        "inventory-constructed",
                        "parameters are mutually exclusive for keyed groups: \
                         default_value|trailing_separator",
                    )
                    .at(trailing.span, "not with default_value"),
                );
            }
            found.push(KeyedGroup {
                key: key.clone(),
                prefix: text("prefix").unwrap_or_default(),
                separator: text("separator").unwrap_or_else(|| "_".to_owned()),
                parent: entry.get("parent_group").cloned(),
                default: text("default_value"),
                trails_with_separator: trailing.and_then(truth).unwrap_or(true),
            });
        }
        found
    }

    fn only(&mut self, mapping: &Mapping, known: &'static [&'static str], of: &str) {
        for (key, _) in mapping.iter() {
            let name = yaml::key_text(key);
            if !known.contains(&name.as_str()) {
                let hint = closest(&name, known.iter().copied());
                self.report(
                    Diagnostic::error("inventory-constructed", format!("{of} has no `{name}`"))
                        .at(key.span, "unknown")
                        .hint(match hint {
                            Some(hint) => format!("did you mean `{hint}`?"),
                            None => format!("it takes {}", known.join(", ")),
                        }),
                );
            }
        }
    }
}

fn scalar(node: &Node) -> String {
    match yaml::to_json(node) {
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn truth(node: &Node) -> Option<bool> {
    node.as_bool().or_else(|| match node.as_str()?.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    })
}

/// A name that every group can have: Ansible's plugins replace what variables can't have.
#[must_use]
pub fn safe_group_name(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, letter) in name.chars().enumerate() {
        let fits = letter == '_' || letter.is_alphanumeric();
        safe.push(if !fits || (at == 0 && letter.is_numeric()) { '_' } else { letter });
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::safe_group_name;

    #[test]
    fn names_of_groups_are_made_safe() {
        assert_eq!(safe_group_name("a-b c"), "a_b_c");
        assert_eq!(safe_group_name("1x"), "_x");
        assert_eq!(safe_group_name("ä_1"), "ä_1");
    }
}
