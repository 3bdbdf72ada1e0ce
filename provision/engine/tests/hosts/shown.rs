//! What a run tells of its tasks: attempts, includes, delegates; what it asks; what it hides.

use std::sync::{Arc, Mutex};

use provision_engine::event::{Event, HostResult, Outcome, Status};
use provision_engine::run::StepAnswer;
use serde_json::json;

use crate::lab::{Lab, Ran, Steps};

fn started(ran: &Ran) -> Vec<&str> {
    let names = ran.events.iter().filter_map(|event| match event {
        Event::TaskStarted { name, .. } => Some(name.as_str()),
        _ => None,
    });
    names.collect()
}

fn results(ran: &Ran) -> Vec<&HostResult> {
    let results = ran.events.iter().filter_map(|event| match event {
        Event::Result(result) | Event::ItemResult(result) => Some(&**result),
        _ => None,
    });
    results.collect()
}

#[test]
fn the_operator_says_which_tasks_run() {
    let mut lab = Lab::new(&["a", "b"]);
    let answers = [StepAnswer::Run, StepAnswer::LeaveOut, StepAnswer::RunAll];
    let steps = Steps { answers: answers.into(), asked: Vec::new() };
    let steps = Arc::new(Mutex::new(steps));
    lab.steps = Some(Arc::clone(&steps));
    let ran = lab.apply(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    \
         - {name: first, command: 'true', notify: handler}\n    \
         - {name: second, command: 'false'}\n    - {name: third, debug: {}}\n    \
         - {name: fourth, debug: {}}\n  handlers:\n    - {name: handler, debug: {}}\n",
    );
    let ran = ran.expect(Outcome::Done);
    assert_eq!(steps.lock().unwrap().asked, ["first", "second", "third"]);
    assert_eq!(started(&ran), ["first", "third", "fourth", "handler"]);
    assert_eq!((ran.recap("a").ok, ran.recap("b").ok), (4, 4));
}

#[test]
fn what_is_not_to_be_logged_is_in_no_event() {
    let lab = Lab::new(&["a"]);
    lab.write("more.yml", "- debug: {msg: included}\n");
    let ran = lab.apply(
        "- hosts: all\n  gather_facts: false\n  vars: {key: hunter2}\n  tasks:\n    \
         - {set_fact: {fact: '{{ key }}'}, no_log: true}\n    \
         - {debug: {msg: '{{ key }}'}, no_log: true}\n    \
         - {command: 'echo {{ key }}', no_log: true, register: said}\n    \
         - {command: 'echo {{ item }}', no_log: true, loop: ['{{ key }}']}\n    \
         - {command: 'echo x', no_log: true, loop: ['{{ key }}'], when: false}\n    \
         - {debug: {msg: x}, no_log: true, loop: ['{{ key }}']}\n    \
         - {include_tasks: more.yml, no_log: true, loop: ['{{ key }}']}\n    \
         - {command: 'sh -c \"echo {{ key }}; exit 3\"', no_log: true, ignore_errors: true}\n    \
         - {assert: {that: said.stdout == key and fact == key, quiet: true}}\n",
    );
    let ran = ran.expect(Outcome::Done);
    let told = serde_json::to_string(&ran.events).unwrap();
    assert!(!told.contains("hunter2"), "{told}");
    let hidden = |result: &&&HostResult| result.result.contains_key("censored");
    assert_eq!(results(&ran).iter().filter(hidden).count(), 12, "{told}");
}

#[test]
fn attempts_and_includes_are_told() {
    let lab = Lab::new(&["a"]);
    lab.write("more.yml", "- {name: inner, debug: {msg: '{{ item }}'}}\n");
    let ran = lab.apply(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    \
         - {name: again, shell: 'test -e {{ root }}/x || ! touch {{ root }}/x', register: done, \
         until: done is succeeded, retries: 4, delay: 0}\n    \
         - {name: files, include_tasks: more.yml, loop: [1, 2], when: item > 1}\n",
    );
    let ran = ran.expect(Outcome::Done);
    let retries: Vec<(u64, u64)> = ran
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Retrying { attempts, left, host, .. } if host == "a" => Some((*attempts, *left)),
            _ => None,
        })
        .collect();
    assert_eq!(retries, [(1, 4)]);
    let items: Vec<(Status, Option<&str>, bool)> = results(&ran)
        .into_iter()
        .filter(|result| result.result.get("ansible_loop_var") == Some(&json!("item")))
        .map(|result| {
            let file = result.result.get("include").and_then(serde_json::Value::as_str);
            let is_file = file.is_some_and(|file| file.ends_with("/more.yml"));
            (result.status, result.item.as_deref(), is_file)
        })
        .collect();
    assert_eq!(items, [(Status::Skipped, Some("1"), false), (Status::Ok, Some("2"), true)]);
}

#[test]
fn lookups_that_only_warn_are_told_once() {
    let lab = Lab::new(&["a", "b"]);
    let ran = lab.apply(
        "- hosts: all\n  gather_facts: false\n  vars:\n    \
         content: \"{{ lookup('file', '/nonexistent/a', errors='warn') }}\"\n  tasks:\n    \
         - debug: {msg: '{{ content }}'}\n    - debug: {msg: 'again {{ content }}'}\n    \
         - debug: {msg: \"{{ lookup('pipe', 'echo hunter2; exit 3', errors='warn') }}\"}\n      \
           no_log: true\n    \
         - debug: {msg: \"{{ lookup('file', '/nonexistent/b', errors='ignore') }}\"}\n    \
         - debug: {msg: \"{{ lookup('config', 'NO_SUCH', on_missing='warn') }}\"}\n    \
         - debug: {msg: \"{{ lookup('config', 'NOR_THIS', on_missing='skip') }}\"}\n",
    );
    let ran = ran.expect(Outcome::Done);
    let warnings = ran.warnings();
    let [file, hidden, config] = &warnings[..] else { panic!("{warnings:?}") };
    let expected = "-: Lookup failed but the error is being ignored: Could not find or access \
                    '/nonexistent/a'.";
    assert!(file.starts_with(expected), "{file}");
    assert_eq!(hidden, "-: Lookup failed but the error is being ignored (`no_log` hides why)");
    assert_eq!(config, "-: Skipping, did not find setting NO_SUCH");
    // Before the results of their tasks, not at the end of the run.
    let is_warning = |event: &Event| matches!(event, Event::Warning { .. });
    let last = ran.events.iter().rposition(is_warning).unwrap();
    let is_result = |event: &Event| matches!(event, Event::Result(_));
    assert!(ran.events[last..].iter().any(is_result), "{}", ran.story());
}
