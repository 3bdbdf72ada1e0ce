//! Values as text without their places, to see whether two are the same.

use std::fmt::Write;
use std::path::Path;

use yaml::{Mapping, Node, NodeValue};

use crate::loader::RoleFiles;
use crate::model::Directives;

/// What makes two uses of a role the same to Ansible (`Role._get_hash_dict`).
pub(crate) fn role_use(
    folder: &Path,
    parameters: &Mapping,
    directives: &Directives,
    from: &RoleFiles,
    from_include: bool,
) -> String {
    let mut text = format!("{}\n{from:?}\n{from_include}\n", folder.display());
    mapping(parameters, &mut text);
    for condition in &directives.when {
        node(condition, &mut text);
    }
    let _ = writeln!(text, "{:?}", directives.tags);
    if let Some(vars) = &directives.vars {
        mapping(vars, &mut text);
    }
    text
}

fn mapping(mapping: &Mapping, text: &mut String) {
    let mut entries: Vec<String> = mapping
        .iter()
        .map(|(key, value)| {
            let mut entry = String::new();
            node(key, &mut entry);
            entry.push(':');
            node(value, &mut entry);
            entry
        })
        .collect();
    entries.sort();
    let _ = write!(text, "{{{}}}", entries.join(","));
}

fn node(value: &Node, text: &mut String) {
    match &value.value {
        NodeValue::Mapping(inner) => mapping(inner, text),
        NodeValue::Sequence(items) => {
            text.push('[');
            for item in items {
                node(item, text);
                text.push(',');
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar:?}");
        }
    }
}
