//! Inventories against ansible-core 2.18: `tests/data/inventories/*.expected.json` were made by
//! `tests/inventory_oracle.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![expect(clippy::disallowed_methods, reason = "the samples are files beside this test")]

use std::path::{Path, PathBuf};

use diagnostics::{Sources, Style, render_all};
use provision_playbook::files::{FileKind, Files};
use provision_playbook::inventory::{Inventory, LimitError, Patterns, Source, load};
use serde_json::{Map, Value, json};

/// The files beside this test.
struct Disk(PathBuf);

impl Files for Disk {
    fn kind(&self, path: &Path) -> Option<FileKind> {
        let metadata = std::fs::metadata(self.0.join(path)).ok()?;
        Some(if metadata.is_dir() { FileKind::Folder } else { FileKind::File })
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(self.0.join(path)).map_err(|error| error.to_string())
    }

    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.0.join(folder)) else { return Vec::new() };
        let mut paths: Vec<PathBuf> =
            entries.flatten().map(|entry| folder.join(entry.file_name())).collect();
        paths.sort();
        paths
    }
}

/// The inventory in the notation of the oracle.
fn describe(inventory: &Inventory, case: &Value, files: &Disk) -> Value {
    let groups: Map<String, Value> = inventory
        .groups()
        .map(|group| {
            let value = json!({
                "hosts": group.hosts.iter().map(|name| &**name).collect::<Vec<_>>(),
                "children": group.children.iter().map(|name| &**name).collect::<Vec<_>>(),
                "depth": group.depth,
                "priority": group.priority,
                "all_hosts": inventory.hosts_of(&group.name).iter().map(|name| &**name).collect::<Vec<_>>(),
            });
            (group.name.to_string(), value)
        })
        .collect();
    let hosts: Map<String, Value> = inventory
        .hosts()
        .map(|host| {
            let mut variables = Map::new();
            for layer in inventory.host_variables(&host.name) {
                for (key, value) in layer.variables.iter() {
                    variables.insert(yaml::key_text(key), yaml::to_json(value));
                }
            }
            let groups: Vec<String> =
                inventory.group_names(&host.name).iter().map(ToString::to_string).collect();
            let value = json!({"groups": groups, "short": host.short_name(), "vars": variables});
            (host.name.to_string(), value)
        })
        .collect();
    let select = |pattern: &str, limit: Option<&str>| {
        let limit = limit.map(|limit| Patterns::limit(limit, files).unwrap());
        let selection = inventory.select(&Patterns::parse(pattern, None), limit.as_ref());
        match selection.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            Some(_) => json!({"error": true}),
            None => selection.hosts.iter().map(|name| json!(**name)).collect(),
        }
    };
    let patterns: Map<String, Value> = case["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| pattern.as_str().unwrap())
        .map(|pattern| (pattern.to_owned(), select(pattern, None)))
        .collect();
    let limits: Vec<Value> = case["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let (pattern, limit) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            json!([pattern, limit, select(pattern, Some(limit))])
        })
        .collect();
    json!({"groups": groups, "hosts": hosts, "patterns": patterns, "limits": limits})
}

/// Places where two values differ.
fn differences(path: &str, expected: &Value, actual: &Value, found: &mut Vec<String>) {
    if let (Value::Object(left), Value::Object(right)) = (expected, actual) {
        if left.contains_key("error") && right.contains_key("error") {
            return;
        }
        let keys: Vec<&String> =
            left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))).collect();
        for key in keys {
            let nothing = Value::String("<absent>".into());
            differences(
                &format!("{path}/{key}"),
                left.get(key).unwrap_or(&nothing),
                right.get(key).unwrap_or(&nothing),
                found,
            );
        }
        let order = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        if path.ends_with("/groups") && order(left) != order(right) {
            found.push(format!("{path}: order {:?} {:?}", order(left), order(right)));
        }
    } else if let (Value::Array(left), Value::Array(right)) = (expected, actual)
        && path.contains("/limits")
        && left.len() == right.len()
    {
        for (index, (left, right)) in left.iter().zip(right).enumerate() {
            differences(&format!("{path}/{index}"), left, right, found);
        }
    } else if expected != actual {
        found.push(format!("{path}: Ansible {expected}, ours {actual}"));
    }
}

/// The committed samples; `INVENTORY_SAMPLES` names a folder with more of them.
#[test]
fn inventories_are_what_ansible_makes_of_them() {
    compare(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inventories"));
    if let Ok(folder) = std::env::var("INVENTORY_SAMPLES") {
        compare(PathBuf::from(folder));
    }
}

fn compare(folder: PathBuf) {
    let cases: Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("cases.json")).unwrap()).unwrap();
    let mut found = Vec::new();
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let files = Disk(folder.clone());
        let mut sources = Sources::default();
        let arguments: Vec<Source> = case["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|source| Source::of_argument(source.as_str().unwrap(), &files))
            .collect();
        let loaded = load(&arguments, &files, &mut sources);
        let errors: Vec<_> =
            loaded.diagnostics.into_iter().filter(diagnostics::Diagnostic::is_error).collect();
        assert!(errors.is_empty(), "{name}:\n{}", render_all(&errors, &sources, Style::Plain));
        let expected =
            std::fs::read_to_string(folder.join(format!("{name}.expected.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        differences(name, &expected, &describe(&loaded.inventory, case, &files), &mut found);
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn limit_files() {
    let files = Disk(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inventories"));
    assert_eq!(Patterns::limit("@none", &files), Err(LimitError::Missing("none".into())));
    assert_eq!(Patterns::limit("@folder", &files), Err(LimitError::Folder("folder".into())));
    assert!(Patterns::limit("a,@noext/plain", &files).is_ok());
}
