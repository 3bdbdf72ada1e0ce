use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use provision_protocol::modules;

use super::notes::NOTES;

#[test]
fn each_module_has_notes_once_and_no_other_has() {
    let mut noted: Vec<&str> = NOTES.iter().map(|notes| notes.module).collect();
    let written = noted.clone();
    noted.sort_unstable();
    assert_eq!(written, noted, "in order");
    let mut known: Vec<&str> = modules::all().map(|spec| spec.name).collect();
    known.sort_unstable();
    assert_eq!(noted, known);
}

/// Every example is a task that loads without any finding.
#[test]
fn examples_are_right() {
    for notes in NOTES.iter().filter(|notes| !notes.example.is_empty()) {
        let task = notes.example.replace('\n', "\n      ");
        let play = format!(
            "- hosts: all\n  vars: {{job: {{ansible_job_id: x}}}}\n  tasks:\n    - {task}\n"
        );
        let play = format!("{play}  handlers:\n    - debug:\n");
        let texts = [
            ("site.yml", play.as_str()),
            ("more.yml", "- debug:\n"),
            ("more_vars.yml", "a: 1\n"),
            ("app.conf.j2", "text\n"),
            ("app.tar.gz", ""),
            ("setup.sh", ""),
            ("roles/app/tasks/main.yml", "- debug:\n"),
        ];
        let texts: BTreeMap<PathBuf, String> =
            texts.map(|(path, text)| (PathBuf::from(path), text.to_owned())).into_iter().collect();
        let (_, found, _) = provision_playbook::load_from_map(texts);
        assert!(found.is_empty(), "{}: {found:#?}", notes.module);
    }
}

/// Every name that is said to be returned is written somewhere in the code of modules.
#[test]
fn returned_names_are_in_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["target/src", "engine/src/play", "engine/src/session", "protocol/src"] {
        collect(&root.join(folder), &mut code);
    }
    for notes in NOTES {
        for name in notes.returns {
            assert!(
                code.contains(&format!("\"{name}\"")) || code.contains(&format!(" {name}:")),
                "{}: {name}",
                notes.module
            );
        }
    }
}

fn collect(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, code);
        } else if path.extension().is_some_and(|end| end == "rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
