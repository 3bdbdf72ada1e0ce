//! The recorded sessions of a real master, replayed against the simulated one: the requests and what
//! happened to agents are the stimuli, answers and events are compared field by field.
//!
//! Ids, times, process numbers and containers may differ, but the same id must be the same thing all
//! the way. Events are compared in the order of their kind (of their task, for statuses); what differs
//! stands in `tests/conformance/NN.txt` and in `docs/mesos-conformance.md`. Set
//! `UPDATE_CONFORMANCE=1` to write those files anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads its recordings"
)]

mod replay;
mod stimuli;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

#[test]
fn recorded_sessions() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut summary = String::new();
    let mut changed = Vec::new();
    for session in stimuli::sessions() {
        let found = replay::replay(&session);
        let (same, all) = (found.same, found.same + found.differences.len());
        writeln!(summary, "{} {same} of {all}", session.name).unwrap();
        let mut text = format!("{same} of {all} messages are the same\n");
        for difference in &found.differences {
            writeln!(text, "{difference}").unwrap();
        }
        let file = folder.join(format!("{}.txt", session.name));
        if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if expected != text {
            changed.push(format!("{}:\n{text}", session.name));
        }
    }
    println!("{summary}");
    let document =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/mesos-conformance.md");
    let document = fs::read_to_string(document).unwrap();
    for line in summary.lines() {
        let (name, counts) = line.split_once(' ').unwrap();
        let row = document.lines().find(|row| row.starts_with(&format!("| {name} ")));
        let is_told = row.is_some_and(|row| row.contains(&format!("| {counts} |")));
        assert!(is_told, "docs/mesos-conformance.md doesn't say {counts} for {name}");
    }
    assert!(changed.is_empty(), "{}\n{summary}", changed.join("\n"));
}
