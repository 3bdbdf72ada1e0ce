//! Where the dialects differ, found before anything runs.
#![allow(clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision_playbook::files::MapFiles;
use provision_playbook::{KnownNames, LoadOptions, Loader};

/// The codes and lines of what is found in a play with these lines.
fn found(lines: &str) -> Vec<(String, u32)> {
    let texts = BTreeMap::from([
        (PathBuf::from("site.yml"), lines.to_owned()),
        (PathBuf::from("roles/app/defaults/main.yml"), "enabled: 'yes'\nreally: true\n".into()),
        (PathBuf::from("roles/app/tasks/main.yml"), "- debug:\n  when: enabled\n".into()),
    ]);
    let mut loader = Loader::new(Arc::new(MapFiles::new(texts)), LoadOptions::default());
    let (playbook, errors) = loader.playbook(Path::new("site.yml"));
    assert!(!errors.iter().any(diagnostics::Diagnostic::is_error), "{errors:#?}");
    loader.undefined(&playbook, &KnownNames { open: true, ..KnownNames::default() });
    let differences = loader.differences();
    let place = |one: &diagnostics::Diagnostic| {
        let span = one.primary.as_ref().expect("a place").span;
        (one.code.to_owned(), loader.sources().place(span).line)
    };
    differences.iter().map(place).collect()
}

fn of_task(keyword: &str) -> Vec<String> {
    let play = format!("- hosts: all\n  tasks:\n    - debug:\n      {keyword}\n");
    found(&play).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn conditions_that_are_no_booleans_differ() {
    for (keyword, codes) in [
        ("when: x | length", vec!["dialect-condition"]),
        ("when: x | length > 0", vec![]),
        ("when: x is defined and x", vec![]),
        ("when: x is defined and 'text'", vec!["dialect-condition"]),
        ("when: \"'a' ~ 'b'\"", vec!["dialect-condition"]),
        ("when: x | bool", vec![]),
        ("when: x", vec![]),
        ("when: not x", vec![]),
        ("when: 1", vec!["dialect-condition"]),
        ("when: ''", vec!["dialect-condition"]),
        ("when: true", vec![]),
        ("failed_when: result.stdout | list", vec!["dialect-condition"]),
        ("when: \"{{ x }} == 1\"", vec!["dialect-embedded-template"]),
        ("when: \"{{ x }}\"", vec![]),
        ("when: [x is defined, y | int]", vec!["dialect-condition"]),
    ] {
        assert_eq!(of_task(keyword), codes, "{keyword}");
    }
}

#[test]
fn variables_count_where_they_are_always_the_same() {
    let play = "- hosts: all\n  vars: {text: a, flag: true, other: a}\n  tasks:\n    \
                - debug:\n      when: text\n    - debug:\n      when: flag\n    \
                - set_fact: {other: true}\n    - debug:\n      when: other\n";
    assert_eq!(found(play), [("dialect-condition".to_owned(), 5)]);
    let play = "- hosts: all\n  roles: [app]\n";
    assert_eq!(found(play), [("dialect-condition".to_owned(), 2)]);
    let play = "- hosts: all\n  roles:\n    - {role: app, enabled: true}\n";
    assert_eq!(found(play), []);
}

#[test]
fn values_of_another_type_differ() {
    let play = "- hosts: all\n  vars:\n    a: \"[{{ x }}, 1]\"\n    b: \"{{ x | int }}\"\n    \
                c: \"{{ x }}\"\n    d: ['{\"k\": \"{{ x }}\"}']\n    e: '{{ [x] }}'\n  tasks:\n    \
                - set_fact:\n        f: \"{{ x | length }}\"\n";
    let expected = [
        ("dialect-number", 10),
        ("dialect-literal", 3),
        ("dialect-number", 4),
        ("dialect-literal", 6),
    ];
    let expected: Vec<(String, u32)> =
        expected.iter().map(|(code, line)| ((*code).to_owned(), *line)).collect();
    assert_eq!(found(play), expected);
}
