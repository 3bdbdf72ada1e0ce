//! Whatever the files hold, loading them neither panics nor points outside of them, and says the
//! same twice.
#![allow(clippy::disallowed_methods, reason = "a test reads its seeds")]
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::{Style, render_all};
use proptest::prelude::*;
use provision_playbook::load_from_map;

fn check(site: &str) {
    let files = || {
        let role = "- debug: msg=1\n  notify: h\n- include_role: name=r\n";
        BTreeMap::from([
            (PathBuf::from("site.yml"), site.to_owned()),
            (PathBuf::from("a.yml"), site.to_owned()),
            (PathBuf::from("roles/r/tasks/main.yml"), role.to_owned()),
            (PathBuf::from("roles/r/meta/main.yml"), "dependencies: []\n".to_owned()),
        ])
    };
    let (_, found, sources) = load_from_map(files());
    for label in found.iter().flat_map(|found| found.primary.iter().chain(&found.secondary)) {
        let source = sources.get(label.span.source).expect("a known source");
        let range = label.span.start as usize..label.span.end as usize;
        assert!(source.text.get(range).is_some(), "{label:?}");
    }
    let once = render_all(&found, &sources, Style::Plain);
    let (_, found, sources) = load_from_map(files());
    assert_eq!(once, render_all(&found, &sources, Style::Plain));
}

/// Words that mean something in playbooks.
const WORDS: &[&str] = &[
    "hosts",
    "all",
    "tasks",
    "roles",
    "handlers",
    "block",
    "rescue",
    "always",
    "name",
    "when",
    "loop",
    "with_items",
    "loop_control",
    "loop_var",
    "vars",
    "vars_files",
    "debug",
    "set_fact",
    "include_tasks",
    "import_tasks",
    "import_role",
    "include_role",
    "import_playbook",
    "include",
    "a.yml",
    "site.yml",
    "r",
    "role",
    "file",
    "apply",
    "tags",
    "become",
    "become_user",
    "notify",
    "listen",
    "register",
    "args",
    "action",
    "local_action",
    "module",
    "meta",
    "flush_handlers",
    "{{ x }}",
    "{{ x",
    "{% if",
    "a=b c='d e'",
    "msg=1",
    "x='",
    "true",
    "1",
    "~",
    "pre_tasks",
    "vars_prompt",
    "serial",
    "environment",
    "module_defaults",
    "assert",
    "that",
    "collections",
    "delegate_to",
    "ä",
    "",
    "hosts: x",
];

fn value() -> impl Strategy<Value = serde_json::Value> {
    let word = || proptest::sample::select(WORDS).prop_map(serde_json::Value::from);
    let leaf = prop_oneof![
        6 => word(),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => any::<i16>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let key = proptest::sample::select(WORDS).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn structured_nonsense(tasks in proptest::collection::vec(value(), 0..6), play in value()) {
        check(&serde_json::json!([{ "hosts": "all", "tasks": tasks.clone() }, play]).to_string());
        check(&serde_json::json!([{ "hosts": "all", "handlers": tasks }]).to_string());
    }

    #[test]
    fn argument_strings(text in "[a-c= '\"{}%\\\\\\n]{0,24}") {
        let text = serde_json::Value::from(text);
        check(&format!("- hosts: all\n  tasks:\n    - debug: {text}\n    - action: {text}\n"));
    }
}

/// Each golden case with a line left out, doubled or moved.
#[test]
fn damaged_playbooks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "yml") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            check(&(without.join("\n") + "\n"));
            let indented = format!("  {}", lines[at]);
            let mut moved = lines.clone();
            moved[at] = &indented;
            check(&(moved.join("\n") + "\n"));
            check(&(lines[..at].join("\n") + "\n"));
        }
    }
}

/// What fuzzing has found, in the shape of the smallest case.
#[test]
fn found_by_fuzzing() {
    // The end of a place was counted in bytes of its last character's beginning.
    check("- hosts: all\n  tasks:\n    - action: \"a=\\\\x\\\\ޜ\"\n");
    // The first character takes more than a byte.
    check("ü");
    // The playbook of the command line is imported from nowhere.
    check("- import_playbook: site.yml\n");
    check("- import_playbook: a.yml\n");
}
