//! Inventories in YAML format, as Ansible's `yaml` plugin reads them.

use diagnostics::{Diagnostic, Span, closest};
use yaml::{Mapping, Node, NodeValue};

use super::load::Loader;

/// What a group may contain.
const SECTIONS: [&str; 3] = ["hosts", "children", "vars"];

/// Reads a document into the inventory.
pub(super) fn read(document: Node, loader: &mut Loader<'_>) {
    let span = document.span;
    match document.value {
        NodeValue::Null => {}
        NodeValue::Mapping(mapping) => match mapping.get_entry("plugin") {
            Some((key, _)) => loader.report(
                Diagnostic::error("inventory-plugin", "inventory plugins are not supported")
                    .at(key.span, "this file configures a plugin")
                    .hint("write its output to a YAML file; provision has `plugin: constructed` and `plugin: consul`"),
            ),
            None => {
                for (name, content) in mapping.entries {
                    group(&name, content, loader);
                }
            }
        },
        _ => loader.report(
            Diagnostic::error(
                "inventory-yaml",
                "an inventory is a mapping from groups to their content",
            )
            .at(span, "expected `all:` or names of groups"),
        ),
    }
}

/// Reads a group; its name, if it is one.
fn group(name: &Node, content: Node, loader: &mut Loader<'_>) -> Option<String> {
    let Some(text) = name.as_str().filter(|text| !text.is_empty()) else {
        loader.report(
            Diagnostic::error("inventory-group", format!("the name of a group is {}", name.kind()))
                .at(name.span, "expected text")
                .hint("put the name in quotes"),
        );
        return None;
    };
    let mapping = match content.value {
        NodeValue::Null => Mapping::default(),
        NodeValue::Mapping(mapping) => mapping,
        _ => {
            // Ansible warns and goes on; whoever wrote it meant something else.
            loader.report(
                Diagnostic::error(
                    "inventory-group",
                    format!("group `{text}` is {}", content.kind()),
                )
                .at(content.span, "expected `hosts`, `children` or `vars`"),
            );
            return None;
        }
    };
    loader.inventory.add_group(text, Some(name.span));
    for (key, value) in mapping.entries {
        match key.as_str() {
            Some("vars") => vars(text, section(&key, value, loader), loader),
            Some("children") => children(text, section(&key, value, loader), loader),
            Some("hosts") => hosts(text, section(&key, value, loader), loader),
            _ => unexpected(text, &key, &value, loader),
        }
    }
    Some(text.to_owned())
}

/// The mapping of a section; a single name stands for a mapping with this key.
fn section(key: &Node, value: Node, loader: &mut Loader<'_>) -> Mapping {
    match value.value {
        NodeValue::Null => Mapping::default(),
        NodeValue::Mapping(mapping) => mapping,
        NodeValue::String(_) => {
            let nothing = Node::new(Span { start: value.span.end, ..value.span }, NodeValue::Null);
            Mapping { entries: vec![(value, nothing)] }
        }
        _ => {
            let name = key.as_str().unwrap_or("it");
            let mut diagnostic =
                Diagnostic::error("inventory-yaml", format!("`{name}` is {}", value.kind()))
                    .at(value.span, "expected a mapping");
            if matches!(value.value, NodeValue::Sequence(_)) {
                diagnostic = diagnostic.hint("write `name:` on each line instead of `- name`");
            }
            loader.report(diagnostic);
            Mapping::default()
        }
    }
}

fn unexpected(group: &str, key: &Node, value: &Node, loader: &mut Loader<'_>) {
    let shown = key.as_str().unwrap_or("this key");
    let hint = match closest(shown, SECTIONS) {
        Some(near) => format!("did you mean `{near}`?"),
        None if value.as_mapping().is_some() || value.is_null() => {
            format!(
                "if `{shown}` is a group, put it below `children:`; if it is a host, below `hosts:`"
            )
        }
        None => format!("if `{shown}` is a variable, put it below `vars:`"),
    };
    loader.report(
        Diagnostic::warning("inventory-yaml", format!("`{shown}` in group `{group}` is ignored"))
            .at(key.span, "expected `hosts`, `children` or `vars`")
            .hint(hint),
    );
}

fn vars(group: &str, mapping: Mapping, loader: &mut Loader<'_>) {
    for (key, value) in mapping.entries {
        loader.set_variable(group, key, value);
    }
}

fn children(parent: &str, mapping: Mapping, loader: &mut Loader<'_>) {
    for (name, content) in mapping.entries {
        if let Some(child) = group(&name, content, loader) {
            loader.add_child(parent, &child, name.span);
        }
    }
}

fn hosts(group: &str, mapping: Mapping, loader: &mut Loader<'_>) {
    for (name, content) in mapping.entries {
        let Some(text) = name.as_str() else {
            loader.report(
                Diagnostic::error(
                    "inventory-host-name",
                    format!("the name of host `{}` is {}", yaml::to_json(&name), name.kind()),
                )
                .at(name.span, "expected text")
                .hint("put the name in quotes"),
            );
            continue;
        };
        let variables = match content.value {
            NodeValue::Null => Vec::new(),
            NodeValue::Mapping(mapping) => mapping.entries,
            _ => {
                loader.report(
                    Diagnostic::error(
                        "inventory-host",
                        format!("the variables of host `{text}` are {}", content.kind()),
                    )
                    .at(content.span, "expected a mapping")
                    .hint("write variables as `name: value` lines below the host"),
                );
                Vec::new()
            }
        };
        if let Some(pattern) = loader.expand(text, name.span) {
            loader.add_hosts(&pattern, group, variables);
        }
    }
}
