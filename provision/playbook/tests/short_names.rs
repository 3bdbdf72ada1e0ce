//! Names that content uses without having given them.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{Inventory, PYTHON};
use provision_playbook::{LoadOptions, Loader};

fn loader(files: &[(&str, &str)]) -> Loader {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let files: BTreeMap<PathBuf, String> = files.collect();
    Loader::new(Arc::new(MapFiles::new(files)), LoadOptions::default())
}

#[test]
fn a_role_of_a_collection_goes_by_its_own_name() {
    let mut loader = loader(&[
        ("site.yml", "- hosts: all\n  roles: [ns.col.db]\n"),
        (
            "collections/ansible_collections/ns/col/roles/db/handlers/main.yml",
            "- name: restart\n  listen: reload\n  debug:\n",
        ),
    ]);
    let (playbook, found) = loader.playbook(Path::new("site.yml"));
    assert!(found.is_empty(), "{found:?}");
    let handler = playbook.plays.first().unwrap().handlers.first().unwrap();
    for role in ["db", "ns.col.db"] {
        assert!(handler.listens_to(&format!("{role} : reload")), "{role}");
        assert!(handler.is_named(&format!("{role} : restart")), "{role}");
    }
    assert!(!handler.listens_to("col.db : reload") && !handler.is_named("other : restart"));
}

#[test]
fn the_quoted_name_of_a_script_is_not_looked_for_with_its_quotes() {
    let mut loader = loader(&[(
        "site.yml",
        "- hosts: all\n  tasks:\n    - script: \"'my scripts/run.sh' x\"\n",
    )]);
    let (_, found) = loader.playbook(Path::new("site.yml"));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_implicit_localhost_names_a_python() {
    let inventory = Inventory::default();
    let variables = &inventory.host("localhost").unwrap().variables;
    let python = variables.get("ansible_python_interpreter").and_then(yaml::Node::as_str);
    assert_eq!(python, Some(PYTHON));
}
