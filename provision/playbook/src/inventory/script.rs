//! What inventory scripts print for `--list`, as Ansible's `script` plugin reads it: groups with
//! `hosts`, `vars` and `children`, or lists of hosts, and `_meta.hostvars`.
//!
//! Scripts without `_meta` are not called once a host (`--host`): their hosts have no variables.

use diagnostics::Diagnostic;
use yaml::{Mapping, Node, NodeValue};

use super::load::Loader;
use super::{ALL, UNGROUPED};

/// Reads a document into the inventory.
pub(super) fn read(document: Node, loader: &mut Loader<'_>) {
    let NodeValue::Mapping(groups) = document.value else { return };
    let (meta, groups): (Vec<_>, Vec<_>) =
        groups.entries.into_iter().partition(|(name, _)| name.as_str() == Some("_meta"));
    for (name, content) in groups {
        group(&name, content, loader);
    }
    for (_, meta) in meta {
        let hosts = meta.as_mapping().and_then(|meta| meta.get("hostvars")).cloned();
        if let Some(NodeValue::Mapping(hosts)) = hosts.map(|node| node.value) {
            host_variables(hosts, loader);
        }
    }
}

fn host_variables(hosts: Mapping, loader: &mut Loader<'_>) {
    for (host, variables) in hosts.entries {
        let (Some(name), NodeValue::Mapping(variables)) = (host.as_str(), variables.value) else {
            continue;
        };
        if !loader.inventory.hosts.contains_key(name) {
            loader.inventory.add_named_host(name, UNGROUPED, None, host.span, None);
        }
        for (key, value) in variables.entries {
            loader.set_host_variable(name, key, value);
        }
    }
}

fn group(name: &Node, content: Node, loader: &mut Loader<'_>) {
    let Some(text) = name.as_str().filter(|text| !text.is_empty()) else { return };
    loader.inventory.add_group(text, Some(name.span));
    match content.value {
        NodeValue::Sequence(hosts) => add_hosts(text, &hosts, loader),
        NodeValue::Mapping(mapping) => {
            let known = ["hosts", "vars", "children"];
            if !mapping.iter().any(|(key, _)| key.as_str().is_some_and(|key| known.contains(&key)))
            {
                // A host by itself, with its variables: the oldest form.
                loader.inventory.add_named_host(text, text, None, name.span, None);
                for (key, value) in mapping.entries {
                    loader.set_host_variable(text, key, value);
                }
                return;
            }
            for (key, value) in mapping.entries {
                section(text, &key, value, loader);
            }
        }
        _ => loader.report(
            Diagnostic::error("inventory-script", format!("group `{text}` is no group"))
                .at(content.span, "expected a list of hosts, or an object with `hosts`"),
        ),
    }
}

fn section(group: &str, key: &Node, value: Node, loader: &mut Loader<'_>) {
    match (key.as_str(), value.value) {
        (Some("hosts"), NodeValue::Sequence(hosts)) => add_hosts(group, &hosts, loader),
        (Some("vars"), NodeValue::Mapping(variables)) => {
            for (key, value) in variables.entries {
                loader.set_variable(group, key, value);
            }
        }
        (Some("children"), NodeValue::Sequence(children)) => {
            for child in children {
                let Some(name) = child.as_str() else { continue };
                loader.inventory.add_group(name, Some(child.span));
                if name != ALL {
                    loader.add_child(group, name, child.span);
                }
            }
        }
        _ => {}
    }
}

fn add_hosts(group: &str, hosts: &[Node], loader: &mut Loader<'_>) {
    for host in hosts {
        if let Some(name) = host.as_str() {
            let file = loader.file.clone();
            loader.inventory.add_named_host(name, group, None, host.span, file.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use diagnostics::Sources;

    use crate::files::{FileKind, Files, MapFiles};
    use crate::inventory::{Source, load};

    /// A script that prints a text.
    struct Script(MapFiles, &'static str);

    impl Files for Script {
        fn kind(&self, path: &Path) -> Option<FileKind> {
            self.0.kind(path)
        }

        fn read(&self, path: &Path) -> Result<String, String> {
            self.0.read(path)
        }

        fn list(&self, folder: &Path) -> Vec<PathBuf> {
            self.0.list(folder)
        }

        fn listing(&self, _program: &Path) -> Option<Result<String, String>> {
            Some(Ok(self.1.to_owned()))
        }
    }

    fn read(printed: &'static str) -> (crate::inventory::Loaded, usize) {
        let texts = BTreeMap::from([(PathBuf::from("/i/hosts.sh"), "#!/bin/sh\n".to_owned())]);
        let files = Script(MapFiles::new(texts), printed);
        let sources = [Source::Path(PathBuf::from("/i/hosts.sh"))];
        let loaded = load(&sources, &files, &mut Sources::default());
        let errors = loaded.diagnostics.iter().filter(|found| found.is_error()).count();
        (loaded, errors)
    }

    #[test]
    fn what_a_script_prints_is_an_inventory() {
        let (loaded, errors) = read(
            r#"{"web": {"hosts": ["a", "b"], "vars": {"port": 80}, "children": ["far"]},
                "far": ["c"], "_meta": {"hostvars": {"a": {"size": 3}}}}"#,
        );
        assert_eq!(errors, 0);
        let hosts = loaded.inventory.hosts_of("web");
        assert_eq!(hosts.iter().map(|host| &**host).collect::<Vec<_>>(), ["a", "b", "c"]);
        let layers = loaded.inventory.host_variables("a");
        let value = |name| layers.iter().rev().find_map(|layer| layer.variables.get(name).cloned());
        assert_eq!(value("size").and_then(|node| node.as_integer()), Some(3));
        assert_eq!(value("port").and_then(|node| node.as_integer()), Some(80));
    }

    #[test]
    fn anything_else_is_an_error() {
        assert_eq!(read("no json: [").1, 1);
        assert_eq!(read("[]").1, 1);
        assert_eq!(read(r#"{"web": 3}"#).1, 1);
    }
}
