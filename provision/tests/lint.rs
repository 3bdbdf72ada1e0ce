//! `provision lint` and `provision doc` as programs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn run(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANSIBLE_") {
            command.env_remove(name);
        }
    }
    command.args(words).current_dir(folder).env("HOME", folder.join("home")).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const PLAYBOOK: &str = "- hosts: web
  tasks:
    - name: settings
      lineinfile:
        path: /etc/app
        lines: x
      when: ports | length
    - debug:
        msg: \"{{ never_defined }}\"
      notify: nobody
";

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "site.yml", PLAYBOOK);
    write(folder, "hosts.ini", "[web]\nweb1 ports=x\n");
    let output = run(folder, &["lint", "site.yml", "-i", "hosts.ini", "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<(&str, u64)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["code"].as_str().unwrap(), one["place"]["line"].as_u64().unwrap()))
        .collect();
    let expected = [("unknown-parameter", 6), ("dialect-condition", 7), ("unknown-handler", 10)];
    assert_eq!(found, expected, "{report:#}");
    assert_eq!((report["errors"].as_u64(), report["hosts"].as_u64()), (Some(2), Some(1)));
    let output = run(folder, &["lint", "site.yml", "-i", "hosts.ini"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("site.yml:6:9") && shown.contains("did you mean `line`?"), "{shown}");
    assert!(shown.ends_with("2 errors and 1 warning in 2 tasks for 1 host\n"), "{shown}");
}

#[test]
fn variables_count_with_an_inventory_only() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "site.yml", "- hosts: web\n  tasks:\n    - debug: {msg: '{{ unknown }}'}\n");
    write(folder, "hosts.ini", "[web]\nweb1\n");
    assert_eq!(run(folder, &["lint", "site.yml"]).status.code(), Some(0));
    let output = run(folder, &["lint", "site.yml", "-i", "hosts.ini"]);
    assert!(text(&output.stdout).contains("unknown"), "{output:?}");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn roles_are_checked_on_their_own_and_requirements_are_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(
        folder,
        "roles/app/tasks/main.yml",
        "- copy: {src: missing.txt, dest: '{{ anything }}'}\n",
    );
    write(folder, "site.yml", "- hosts: all\n  roles: [app.tools.web]\n");
    write(
        folder,
        "requirements.yml",
        "roles: [team.base, app]\ncollections:\n  - name: app.tools\n",
    );
    let output = run(folder, &["lint", "roles/app"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("missing.txt") && shown.contains("1 error and 0 warnings"), "{shown}");
    let shown = text(&run(folder, &["lint", "site.yml"]).stdout);
    assert!(shown.contains("there is no role `app.tools.web`"), "{shown}");
    for name in ["role `team.base` is not", "collection `app.tools` is not"] {
        assert!(shown.contains(name), "{shown}");
    }
    assert!(!shown.contains("role `app` is not"), "{shown}");
    write(
        folder,
        "collections/ansible_collections/app/tools/roles/web/tasks/main.yml",
        "- ping:\n",
    );
    let output = run(folder, &["lint", "site.yml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_configuration_is_honoured_and_what_is_not_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "site.yml", "- hosts: web\n  roles: [app]\n");
    write(folder, "elsewhere/app/tasks/main.yml", "- debug: {msg: '{{ rack }}'}\n");
    write(folder, "inv/hosts.ini", "[web]\nweb1 rack=1\n");
    let config = "[defaults]\nroles_path = elsewhere\ninventory = inv/hosts.ini\nfork = 3\n";
    write(folder, "ansible.cfg", config);
    let output = run(folder, &["lint", "site.yml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).ends_with("1 task for 1 host\n"), "{output:?}");
    assert!(text(&output.stderr).contains("did you mean [defaults] forks?"), "{output:?}");
    write(folder, "ansible.cfg", "[defaults]\nhash_behaviour = merge\n");
    let output = run(folder, &["lint", "site.yml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("`merge` is not supported"), "{output:?}");
}

#[test]
fn modules_are_shown_from_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shown = text(&run(folder, &["doc", "lineinfile"]).stdout);
    for part in ["PARAMETERS", "path  (path; required; also dest, destfile, name)", "EXAMPLE"] {
        assert!(shown.contains(part), "{shown}");
    }
    let output = run(folder, &["doc", "lineinfle"]);
    assert!(text(&output.stderr).contains("did you mean `lineinfile`?"), "{output:?}");
    let listed: Value =
        serde_json::from_slice(&run(folder, &["doc", "--list", "--format", "json"]).stdout)
            .unwrap();
    let modules = listed["modules"].as_array().unwrap();
    assert!(modules.len() > 40 && modules.iter().all(|one| one["documentation"] != ""));
}

#[test]
fn the_program_acts_as_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "site.yml", "- hosts: localhost\n  tasks:\n    - {name: one, debug: {}}\n");
    let link = folder.join("ansible-playbook");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_provision"), &link).unwrap();
    let run = |words: &[&str]| {
        Command::new(&link).args(words).current_dir(folder).env("HOME", folder).output().unwrap()
    };
    let output = run(&["site.yml", "--list-tasks"]);
    let expected = "\nplaybook: site.yml\n\n  play #1 (localhost): localhost\tTAGS: []\n    tasks:\n      \
                    one\tTAGS: []\n";
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), (expected, Some(0)));
    for (words, code, error) in [
        (&["none.yml"][..], 1, "ERROR! the playbook: none.yml could not be found"),
        (&["site.yml", "-c", "docker"], 5, "ERROR! -c docker: connections are ssh or local"),
        (&["site.yml", "--no-such"], 2, "unexpected argument"),
        (&["site.yml", "--start-at-task", "on"], 1, "did you mean `one`?"),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert!(text(&output.stderr).contains(error), "{words:?}: {output:?}");
    }
}
