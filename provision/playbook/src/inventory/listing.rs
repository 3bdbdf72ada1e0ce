//! An inventory for programs, in the format of Ansible's inventory scripts, and as a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diagnostics::Span;
use serde_json::{Map, Value, json};
use yaml::{Mapping, Node, NodeValue, key_text};

use super::{ALL, Group, Inventory};

/// A line of the tree of groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// How deep it stands: `all` at 0.
    pub depth: usize,
    /// What it names.
    pub named: Named,
    /// Where that was written.
    pub span: Option<Span>,
}

/// What a line of the tree names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A group.
    Group(Arc<str>),
    /// A host.
    Host(Arc<str>),
}

impl Inventory {
    /// What `ansible-inventory --list` prints: groups with the chosen hosts, and the variables of
    /// each. Keys are sorted. `hide` makes texts harmless to show; data that no template may be
    /// made of and encrypted values are marked as Ansible marks them.
    #[must_use]
    pub fn listing(
        &self,
        chosen: &BTreeSet<Arc<str>>,
        extra: &Mapping,
        hide: &dyn Fn(&str) -> String,
    ) -> Value {
        let mut top: BTreeMap<String, Value> = BTreeMap::new();
        let mut variables = Map::new();
        for host in chosen {
            let explained = self.explain(host, extra);
            let known = explained.iter().map(|one| (one.name.clone(), shown(&one.value, hide)));
            let known: Map<String, Value> = known.collect();
            if !known.is_empty() {
                variables.insert(host.to_string(), Value::Object(known));
            }
        }
        top.insert("_meta".to_owned(), json!({ "hostvars": variables }));
        for group in self.groups() {
            let mut content = Map::new();
            let children: Vec<&str> = group.children.iter().map(|name| &**name).collect();
            if !children.is_empty() {
                content.insert("children".to_owned(), json!(children));
            }
            let hosts: Vec<&str> = group
                .hosts
                .iter()
                .filter(|host| chosen.contains(*host))
                .map(|host| &**host)
                .collect();
            if !hosts.is_empty() && &*group.name != ALL {
                content.insert("hosts".to_owned(), json!(hosts));
            }
            if !content.is_empty() {
                top.insert(group.name.to_string(), Value::Object(content));
            }
        }
        Value::Object(top.into_iter().collect())
    }

    /// The same with variables where they are written, as `ansible-inventory --list --export` has
    /// it: those of groups at the groups.
    #[must_use]
    pub fn exported(&self, chosen: &BTreeSet<Arc<str>>, hide: &dyn Fn(&str) -> String) -> Value {
        let mut listing = self.listing(chosen, &Mapping::default(), hide);
        let object = |variables: &Mapping| {
            let entries = variables.iter().map(|(key, value)| (key_text(key), shown(value, hide)));
            entries.collect::<BTreeMap<String, Value>>()
        };
        let own = chosen
            .iter()
            .filter_map(|name| self.hosts.get(name))
            .map(|host| (host.name.to_string(), json!(object(&host.variables))));
        let own: Map<String, Value> =
            own.filter(|(_, value)| value.as_object().is_some_and(|all| !all.is_empty())).collect();
        let Some(top) = listing.as_object_mut() else { return listing };
        top.insert("_meta".to_owned(), json!({ "hostvars": own }));
        for group in self.groups().filter(|group| !group.variables.is_empty()) {
            let content = top.entry(group.name.to_string()).or_insert_with(|| json!({}));
            if let Some(content) = content.as_object_mut() {
                content.insert("vars".to_owned(), json!(object(&group.variables)));
            }
        }
        listing
    }

    /// The groups below a group with their chosen hosts, in the order of the inventory: the groups
    /// of a group before its hosts, as Ansible shows them.
    #[must_use]
    pub fn tree(&self, top: &str, chosen: &BTreeSet<Arc<str>>) -> Vec<Branch> {
        let mut branches = Vec::new();
        let mut open: Vec<Branch> =
            self.group(top).into_iter().map(|group| branch(0, group)).collect();
        while let Some(next) = open.pop() {
            let group = match &next.named {
                Named::Group(name) => self.group(name),
                Named::Host(_) => None,
            };
            if let Some(group) = group {
                let depth = next.depth + 1;
                let is_shown = |host: &&Arc<str>| &*group.name != ALL && chosen.contains(*host);
                open.extend(group.hosts.iter().rev().filter(is_shown).map(|host| Branch {
                    depth,
                    named: Named::Host(Arc::clone(host)),
                    span: self.membership(host, &group.name),
                }));
                let children = group.children.iter().rev().filter_map(|child| self.group(child));
                open.extend(children.map(|child| branch(depth, child)));
            }
            branches.push(next);
        }
        branches
    }

    /// Where it is written that a host is in a group.
    fn membership(&self, host: &str, group: &str) -> Option<Span> {
        let host = self.hosts.get(host)?;
        host.groups.get(group).copied().flatten().or(host.span)
    }
}

fn branch(depth: usize, group: &Group) -> Branch {
    Branch { depth, named: Named::Group(Arc::clone(&group.name)), span: group.span }
}

/// A value as JSON, marked where Ansible marks it.
fn shown(node: &Node, hide: &dyn Fn(&str) -> String) -> Value {
    match &node.value {
        NodeValue::String(text) if node.is_vault() => json!({ "__ansible_vault": &**text }),
        NodeValue::String(text) if node.is_unsafe() => json!({ "__ansible_unsafe": hide(text) }),
        NodeValue::String(text) => Value::String(hide(text)),
        NodeValue::Sequence(items) => items.iter().map(|item| shown(item, hide)).collect(),
        NodeValue::Mapping(mapping) => {
            let entries = mapping.iter().map(|(key, value)| (key_text(key), shown(value, hide)));
            Value::Object(entries.collect())
        }
        NodeValue::Null
        | NodeValue::Bool(_)
        | NodeValue::Integer(_)
        | NodeValue::BigInteger(_)
        | NodeValue::Float(_) => yaml::to_json(node),
    }
}
