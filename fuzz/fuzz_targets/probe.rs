//! Answers of members: whatever a host says, the worst that it can do is make its own member count
//! as down; what is read is shown on one short line and is the same when it is read again.
#![no_main]

use std::collections::BTreeMap;

use diagnostics::Sources;
use libfuzzer_sys::fuzz_target;
use provision_lifecycle::{Definition, Duty, Process, Version, read_definition};
use provision_probe::{Answers, questions, read_member};
use serde_json::{Map, Value, json};

const ROLES: [&str; 3] = [
    include_str!("../../playbooks/roles/zookeeper/component.yml"),
    include_str!("../../playbooks/roles/consul/component.yml"),
    include_str!("../../playbooks/roles/docker/component.yml"),
];

fn definition(number: u8) -> Definition {
    let text = ROLES[usize::from(number) % ROLES.len()];
    read_definition("component.yml", text, &mut Sources::default()).expect("a good definition")
}

/// Parts, one a question: JSON as a module's result, everything else as what the service said.
fn answers(names: &[&str], text: &str) -> BTreeMap<String, Value> {
    let mut answers = BTreeMap::new();
    for (name, part) in names.iter().zip(text.split('\u{1}')) {
        let result = match serde_json::from_str::<Map<String, Value>>(part) {
            Ok(result) => Value::Object(result),
            Err(_) => json!({
                "answer": part, "stdout": part, "content": part, "rc": 0, "status": 200,
                "stat": {"exists": true, "lnk_target": part},
                "files": [{"path": format!("{part}/.release")}],
            }),
        };
        answers.insert((*name).to_owned(), result);
    }
    answers
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let definition = definition(first & 0x7f);
    let duty = if first & 0x80 == 0 { Duty::Voter } else { Duty::Worker };
    let (_, names) = questions(&definition, duty);
    let answers = Answers(answers(&names, &text));
    let member = read_member(&definition, "m", duty, &answers);
    assert_eq!(member, read_member(&definition, "m", duty, &answers));
    assert!(member.is_reachable() && member.name == "m" && member.duty == duty);
    let problem = member.problem.clone().unwrap_or_default();
    assert!(problem.chars().count() <= 160 && !problem.contains('\n'), "{problem:?}");
    // Versions become names of folders.
    let versions = member.releases.iter().chain(&member.current).chain(&member.running);
    for version in versions {
        assert_eq!(Version::parse(version.as_str()).as_ref(), Ok(version));
        assert!(!version.as_str().contains('/') && !version.as_str().starts_with('.'));
    }
    assert!(member.releases.is_sorted() && member.containers.is_sorted());
    // Who says nothing of a role doesn't serve.
    if !answers.0.keys().any(|name| name.contains("mntr") || name.contains("self") || name.contains("docker")) {
        assert_eq!(member.process, Process::Dead);
    }
    let stored = serde_json::to_string(&member).expect("it can be stored");
    assert_eq!(serde_json::from_str::<provision_lifecycle::Member>(&stored).ok(), Some(member));
});
