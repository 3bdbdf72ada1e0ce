//! The program from the outside: tables, files, exit codes, and the same bytes for any number of
//! threads.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simulator(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// The workspace: scenarios are named as a user would.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A tenth of the scenario's time, so that tests are quick.
const SHORT: [&str; 6] = [
    "run",
    "scenarios/burst-migration.yml",
    "--set",
    "duration=1min",
    "--set",
    "workload.2.arrivals={burst: {at: 40s, requests: 30000, over: 6s}}",
];

#[test]
fn a_run_prints_its_table() {
    insta::assert_snapshot!(printed(&simulator(&SHORT)));
}

#[test]
fn replications_are_the_same_for_any_number_of_threads() {
    let place = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for threads in ["1", "2", "5"] {
        let folder = place.path().join(threads);
        let mut arguments = SHORT.to_vec();
        arguments.extend(["--replications", "4", "--threads", threads]);
        arguments.extend(["--output", folder.to_str().unwrap()]);
        let table = printed(&simulator(&arguments));
        let files = ["results.json", "cells.csv", "timeline.csv", "report.html"]
            .map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
        seen.push((table, files));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let (table, [json, csv, ..]) = seen.swap_remove(0);
    insta::assert_snapshot!("replications", table);
    insta::assert_snapshot!("cells", csv);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["runs"].as_array().unwrap().len(), 4);
    let arrivals = |value: &serde_json::Value| value["cells"][0]["arrivals"].as_u64().unwrap();
    let total: u64 = json["runs"].as_array().unwrap().iter().map(arrivals).sum();
    assert_eq!(arrivals(&json), total);
}

/// The command that a run prints gives the same run.
#[test]
fn the_printed_command_repeats_the_run() {
    let mut arguments = SHORT.to_vec();
    arguments.extend(["--seed", "7"]);
    let first = printed(&simulator(&arguments));
    let (_, command) = first.rsplit_once("again: simulator ").unwrap();
    let program = env!("CARGO_BIN_EXE_simulator");
    let shell = Command::new("sh")
        .current_dir(folder())
        .args(["-c", &format!("exec '{program}' {command}")])
        .output()
        .unwrap();
    assert_eq!(printed(&shell), first);
}

/// Another rule changes what becomes of requests, never which arrive: common random numbers.
#[test]
fn a_policy_does_not_disturb_the_workload() {
    let arrivals = |change: &str| {
        let mut arguments = SHORT.to_vec();
        arguments.extend(["--set", change]);
        let table = printed(&simulator(&arguments));
        let line = table.lines().find(|line| line.starts_with("imageView2  free")).unwrap();
        line.split_ascii_whitespace().nth(2).unwrap().to_owned()
    };
    let first = arrivals("policy.queue.free=10");
    assert_eq!(first, arrivals("policy.queue.free=1"));
    assert_eq!(first, arrivals("policy.balance={rule: random}"));
}

/// Replications are added until the intervals are as narrow as wanted; the command that is printed
/// gives the same without looking again.
#[test]
fn a_run_goes_on_until_it_is_precise() {
    let mut arguments = SHORT.to_vec();
    arguments.extend(["--precision", "0.5%"]);
    let table = printed(&simulator(&arguments));
    let (_, command) = table.rsplit_once("again: simulator ").unwrap();
    let (_, count) = command.trim().rsplit_once("--replications ").unwrap();
    let count: u32 = count.parse().unwrap();
    assert!((5..200).contains(&count), "{count}");
    let mut arguments = SHORT.to_vec();
    let replications = count.to_string();
    arguments.extend(["--replications", &replications]);
    assert_eq!(printed(&simulator(&arguments)), table);
    let (_, intervals) = table.rsplit_once("p99 RESPONSE\n").unwrap();
    for line in intervals.lines().take(2) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |place: usize| words[place].parse::<f64>().unwrap();
        // imageView2 paid 0.000 ± 0.000 % MEAN ± HALF ms HIGH ± HALF ms
        assert!(number(8) <= 0.0052 * number(6), "{line}");
        assert!(number(12) <= 0.0102 * number(10), "{line}");
    }
}

#[test]
fn doubtful_runs_are_warned_of() {
    let mut arguments = vec!["run", "scenarios/gate/transcode.yml"];
    arguments.extend(["--set", "duration=20min", "--set", "warm_up=0s"]);
    let output = simulator(&arguments);
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr));
}

#[test]
fn wrong_input_has_its_own_exit_codes() {
    let code = |arguments: &[&str]| simulator(arguments).status.code().unwrap();
    assert_eq!(code(&["run"]), 2);
    assert_eq!(code(&["run", "scenarios/burst-migration.yml", "--set", "seed"]), 2);
    assert_eq!(code(&["run", "scenarios/burst-migration.yml", "--set", "seed=x"]), 3);
    assert_eq!(code(&["run", "scenarios/none.yml"]), 5);
    assert_eq!(code(&["exit-codes"]), 0);
}

/// A second of the platform.
const DAY: [&str; 6] =
    ["run", "scenarios/day.yml", "--set", "duration=1s", "--set", "warm_up=200ms"];

/// Whoever stops a run gets its beginning, the same for any number of threads.
#[test]
fn a_run_in_windows_can_be_stopped() {
    let mut sources = diagnostics::Sources::default();
    let text = std::fs::read_to_string(folder().join("scenarios/day.yml")).unwrap();
    let source = sources.add("day.yml", text);
    let short = simulator::scenario::Override::parse("duration=20s").unwrap();
    let warm_up = simulator::scenario::Override::parse("warm_up=0s").unwrap();
    let found = simulator::scenario::read(source, &[short, warm_up], &mut sources, |_, _| {
        Err("it names no file".to_owned())
    });
    let model = found.scenario.unwrap().model;
    let stopped = |threads| {
        let mut last = 0;
        let report = simulator::execute::watched_report(
            &model,
            simulator::execute::Requests::Own,
            threads,
            &mut |now| {
                last = now.at.0;
                last < 2_000_000_000
            },
        );
        (report, last)
    };
    let (report, last) = stopped(1);
    assert_eq!(report.stopped().unwrap().0, last);
    let arrivals = report.total(None).arrivals();
    assert!((200_000..260_000).contains(&arrivals), "{arrivals}");
    assert_eq!(stopped(3), (report, last));
}

#[test]
fn a_run_in_windows_is_the_same_for_any_number_of_threads() {
    let place = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for threads in ["1", "2", "8"] {
        let folder = place.path().join(threads);
        let mut arguments = DAY.to_vec();
        arguments.extend(["--threads", threads, "--output", folder.to_str().unwrap()]);
        let table = printed(&simulator(&arguments));
        let json = std::fs::read_to_string(folder.join("results.json")).unwrap();
        seen.push((table, json));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    insta::assert_snapshot!(seen.swap_remove(0).0);
}

#[test]
fn what_failed_and_what_it_cost_is_told() {
    let arguments = ["run", "scenarios/faults-by-chance.yml", "--set", "duration=10min"];
    insta::assert_snapshot!(printed(&simulator(&arguments)));
}
