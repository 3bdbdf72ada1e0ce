//! Variables from Consul's key-value store: `PREFIX/group_vars/GROUP` and `PREFIX/host_vars/HOST`.

use consul::KvPair;
use diagnostics::{Diagnostic, Sources};
use yaml::{Mapping, Node, NodeValue, Schema};

use crate::mapping::Kv;
use crate::names::is_steering;
use crate::resolve::Variables;

/// Variables of groups and of hosts.
#[derive(Debug, Default)]
pub(crate) struct FromKeys {
    pub(crate) groups: Vec<Variables>,
    pub(crate) hosts: Vec<Variables>,
}

/// Reads all keys below the prefix.
pub(crate) fn read(
    kv: &Kv,
    keys: &[KvPair],
    origin: &str,
    sources: &mut Sources,
    found: &mut Vec<Diagnostic>,
) -> FromKeys {
    let mut read = FromKeys::default();
    for pair in keys {
        let Some(path) = pair.key.strip_prefix(kv.prefix.as_str()) else { continue };
        let Some((kind, rest)) = path.trim_start_matches('/').split_once('/') else { continue };
        // As with folders of Ansible, the parts of an entity's variables may have names of their own.
        let entity = rest.split('/').next().unwrap_or(rest);
        if entity.is_empty() || rest.ends_with('/') {
            continue;
        }
        let known = match kind {
            "group_vars" => &mut read.groups,
            "host_vars" => &mut read.hosts,
            _ => continue,
        };
        if let Some(mut variables) = value(pair, entity, origin, sources, found) {
            refuse_steering(kv, &mut variables, found);
            known.push(variables);
        }
    }
    read
}

fn value(
    pair: &KvPair,
    entity: &str,
    origin: &str,
    sources: &mut Sources,
    found: &mut Vec<Diagnostic>,
) -> Option<Variables> {
    let name = format!("{origin}/kv/{}", pair.key);
    let Ok(text) = std::str::from_utf8(&pair.value) else {
        found.push(Diagnostic::error("consul-kv", format!("{name} holds no UTF-8 text")));
        return None;
    };
    let source = sources.add(name.clone(), text);
    let read = yaml::read(text, source, Schema::Strict);
    let is_usable = read.is_usable();
    found.extend(read.diagnostics);
    let document = read.documents.into_iter().next().filter(|_| is_usable)?;
    let span = document.span;
    if let Some(tagged) = tagged(&document) {
        found.push(
            Diagnostic::error("consul-kv", "values in Consul have no tags")
                .at(tagged.span, "all of it is data")
                .hint("keep encrypted values in group_vars/ beside the inventory"),
        );
        return None;
    }
    match document.value {
        NodeValue::Null => None,
        NodeValue::Mapping(_) => {
            let mut document = document;
            make_data(&mut document);
            let NodeValue::Mapping(variables) = document.value else { return None };
            Some(Variables { entity: entity.to_owned(), span, variables })
        }
        _ => {
            let message = format!("expected a mapping of variables, found {}", document.kind());
            found.push(
                Diagnostic::error("consul-kv", message).at(span, "expected `name: value` lines"),
            );
            None
        }
    }
}

/// Takes out what the mapping does not allow.
fn refuse_steering(kv: &Kv, variables: &mut Variables, found: &mut Vec<Diagnostic>) {
    let is_allowed =
        |key: &Node| key.as_str().is_some_and(|name| !is_steering(name) || kv.allow.contains(name));
    let refused = variables.variables.iter().find(|(key, _)| !is_allowed(key));
    if let Some((key, _)) = refused {
        let name = yaml::key_text(key);
        found.push(
            Diagnostic::warning("consul-kv", format!("`{name}` is not taken from Consul"))
                .at(key.span, "it may steer connections, become or the engine")
                .hint(format!("if it is meant: `allow: [{name}]` below `kv` of the mapping")),
        );
        variables.variables.entries.retain(|(key, _)| is_allowed(key));
    }
}

/// The first node with a tag.
fn tagged(node: &Node) -> Option<&Node> {
    if node.tag.as_deref().is_some_and(|tag| tag != "!unsafe") {
        return Some(node);
    }
    match &node.value {
        NodeValue::Sequence(items) => items.iter().find_map(tagged),
        NodeValue::Mapping(mapping) => {
            mapping.iter().find_map(|(key, value)| tagged(key).or_else(|| tagged(value)))
        }
        _ => None,
    }
}

/// Nothing in it may ever be a template. Names of variables stay names.
fn make_data(document: &mut Node) {
    if let NodeValue::Mapping(Mapping { entries }) = &mut document.value {
        entries.iter_mut().for_each(|(_, value)| mark(value));
    }
}

/// Marks a node and all its parts as data.
pub(crate) fn mark(node: &mut Node) {
    node.tag = Some("!unsafe".into());
    match &mut node.value {
        NodeValue::Sequence(items) => items.iter_mut().for_each(mark),
        NodeValue::Mapping(mapping) => mapping.entries.iter_mut().for_each(|(key, value)| {
            mark(key);
            mark(value);
        }),
        _ => {}
    }
}
