//! `provision inventory` as a program.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

fn provision(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_provision"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let hosts = "[web]\nweb[1:4] rack=a\n[all:vars]\nrack=none\n";
    std::fs::write(folder.path().join("hosts"), hosts).unwrap();
    std::fs::create_dir(folder.path().join("host_vars")).unwrap();
    std::fs::write(folder.path().join("host_vars/web2.yml"), "rack: \"b\\e[2J\"\n").unwrap();
    folder
}

#[test]
fn every_variable_has_a_place() {
    let site = site();
    let shown =
        provision(site.path(), &["inventory", "-i", "hosts", "--vars", "web2", "-e", "x=1"]);
    assert!(shown.status.success());
    let expected = "\
web2  hosts:2
groups: web

rack: \"b\\u001b[2J\"
  host_vars/web2.yml:1 (web2)
  overrides \"a\", hosts:2 (web2)
  overrides \"none\", hosts:4 (all)

x: \"1\"
  -e on the command line
";
    assert_eq!(text(&shown.stdout), expected);
}

#[test]
fn what_is_exported_with_a_grey_group_can_be_used() {
    let site = site();
    let arguments =
        ["inventory", "-i", "hosts", "--limit", "!web4", "--grey", "50%", "--export", "out.yml"];
    let written = provision(site.path(), &arguments);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let shown = provision(site.path(), &["inventory", "-i", "out.yml", "--list"]);
    let list: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(list["web"]["hosts"].as_array().unwrap().len(), 3);
    assert_eq!(list["grey"]["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(list["_meta"]["hostvars"]["web1"]["rack"], "a");
}

#[test]
fn a_question_without_an_answer_is_refused() {
    let site = site();
    let table: &[(&[&str], i32, &str)] = &[
        (&["-i", "hosts", "--vars", "web9"], 3, "did you mean `web"),
        (&["-i", "nowhere", "--list"], 3, "inventory nowhere does not exist"),
        (&["-i", "hosts", "--list", "--limit", "db"], 3, "no host or group matches `db`"),
        (&["-i", "hosts", "--export", "out.toml"], 2, "end the name with .ini or .yml"),
        (&["-i", "hosts", "--export", "out.yml", "--grey", "9"], 3, "there are only 4 hosts"),
        (&["-i", "hosts", "--list", "--graph"], 2, "cannot be used with"),
        (&["--list"], 2, "no inventory is given"),
    ];
    for (arguments, exit, expected) in table {
        let mut all = vec!["inventory"];
        all.extend(*arguments);
        let refused = provision(site.path(), &all);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(*exit), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

/// The committed examples, whose secrets anybody can open.
#[test]
fn the_examples_are_whole() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let password = ["--vault-password-file", "inventories/example-vault-password"];
    for (name, hosts) in [("small", 6), ("large", 1005)] {
        let source = format!("inventories/{name}");
        let shown =
            provision(&root, &[&["inventory", "-i", &source, "--list"], &password[..]].concat());
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        assert_eq!(text(&shown.stderr), "");
        let list: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let variables = list["_meta"]["hostvars"].as_object().unwrap();
        assert_eq!(variables.len(), hosts);
        for (host, known) in variables {
            assert!(known["rack"].is_string(), "{host}");
            assert!(known["consul_gossip_key"].is_string(), "{host}");
        }
        assert!(!text(&shown.stdout).contains("00000000-0000-4000"), "a secret is shown");
    }
}
