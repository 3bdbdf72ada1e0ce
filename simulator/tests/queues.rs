//! Queues of the gateways, disciplines, balancers that learn and pipelines, from the outside: what the
//! tables, the files and `explain` say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The workspace: scenarios are named as a user would.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn printed(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    let output =
        command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The table and the results of a run of a scenario with changes, and where its files are.
fn run(place: &Path, scenario: &str, changes: &[&str]) -> (String, Value) {
    let output = place.join("out");
    let mut arguments = vec!["run", scenario, "-o", output.to_str().unwrap()];
    changes.iter().for_each(|change| arguments.extend(["--set", *change]));
    let table = printed(&arguments);
    let text = std::fs::read_to_string(output.join("results.json")).unwrap();
    (table, serde_json::from_str(&text).unwrap())
}

fn p99(cell: &Value, time: &str) -> f64 {
    cell[time]["p99_ns"].as_f64().unwrap()
}

const SHORT: [&str; 2] = ["duration=60s", "warm_up=10s"];

#[test]
fn who_pulls_waits_less() {
    let place = tempfile::tempdir().unwrap();
    let (_, pushed) = run(place.path(), "scenarios/push-pull.yml", &SHORT);
    let central = [&SHORT[..], &["policy.queue.scope=central"]].concat();
    let (table, pulled) = run(place.path(), "scenarios/push-pull.yml", &central);
    assert!(table.contains("inactive: policy.balance"), "{table}");
    let (pushed, pulled) = (&pushed["cells"][0], &pulled["cells"][0]);
    assert_eq!(pushed["arrivals"], pulled["arrivals"]);
    assert!(p99(pulled, "wait") < p99(pushed, "wait"), "{pulled} {pushed}");
    let told =
        printed(&["explain", place.path().join("out").to_str().unwrap(), "--request", "100000"]);
    assert!(told.contains("it waits at the gateways for an instance"), "{told}");
    assert!(told.contains("to the instance that took it"), "{told}");
}

#[test]
fn disciplines_have_causes_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let short = [
        "duration=60s",
        "warm_up=10s",
        "workload.2.arrivals.burst={at: 15s, requests: 12000, over: 30s}",
    ];
    let scenario = "scenarios/fair-queue.yml";
    let with = |change: &str| {
        let (table, results) = run(place.path(), scenario, &[&short[..], &[change]].concat());
        let refused =
            |cell: usize, cause: &str| results["cells"][cell]["refused"][cause].as_u64().unwrap();
        let count = |cause: &str| refused(0, cause) + refused(1, cause);
        let told = |cause: &str| assert_eq!(count(cause) > 0, table.contains(cause), "{table}");
        told("shed");
        told("long_wait");
        (p99(&results["cells"][0], "wait"), count("shed"), count("long_wait"))
    };
    let (in_order, shed, refused) = with("policy.queue.order=fifo");
    assert_eq!((shed, refused), (0, 0));
    let (in_turns, shed, refused) = with("policy.queue.order=deficit_round_robin");
    assert_eq!((shed, refused), (0, 0));
    assert!(in_turns * 4.0 < in_order, "{in_turns} {in_order}");
    let (_, shed, _) = with("policy.queue.overload={target: 100ms, interval: 500ms}");
    assert!(shed > 100, "{shed}");
    let law = "policy.queue.overload={law: codel, target: 5ms, interval: 100ms}";
    let (wait, shed, _) = with(law);
    assert!(shed > 100 && wait < 1e9, "{shed} {wait}");
    let (wait, _, refused) = with("policy.queue.longest_wait={free: 500ms, paid: 500ms}");
    assert!(refused > 100 && wait < 1.5e9, "{refused} {wait}");
}

/// Targets drop and refuse as with live gateways, whose gateways hear of it a delay later.
#[test]
fn rules_about_waits_hold_behind_a_network() {
    let place = tempfile::tempdir().unwrap();
    let short = [
        "duration=40s",
        "warm_up=0s",
        "workload.2.arrivals.burst={at: 5s, requests: 8000, over: 20s}",
        "gateways={count: 4, network_delay: 2ms, reports_every: 20ms}",
    ];
    let with = |cause: &str, changes: &[&str]| {
        let changes = [&short[..], changes].concat();
        let (table, results) = run(place.path(), "scenarios/fair-queue.yml", &changes);
        let cells = results["cells"].as_array().unwrap().iter();
        let count = cells.map(|cell| cell["refused"][cause].as_u64().unwrap()).sum::<u64>();
        assert_eq!(count > 0, table.contains(cause), "{table}");
        let (wait, late) = (p99(&results["cells"][0], "wait"), results["cells"][0]["late"].clone());
        (wait, late.as_u64().unwrap(), count)
    };
    // Of the requests from this one on the first that was refused so.
    let explained = |cause: &str| {
        let out = place.path().join("out");
        let texts = (20_000..20_100).map(|number: u32| {
            printed(&["explain", out.to_str().unwrap(), "--request", &number.to_string()])
        });
        let refused = format!("refused by {cause}");
        texts.into_iter().find(|text| text.contains(&refused)).unwrap()
    };
    let (long, late, none) = with("shed", &[]);
    assert_eq!(none, 0);
    let facebook = "policy.queue.overload={target: 100ms, interval: 500ms}";
    let (wait, _, shed) = with("shed", &[facebook]);
    assert!(shed > 500 && wait < 0.6e9 && wait < long, "{shed} {wait} {long}");
    let told = explained("shed");
    assert!(told.contains("queue_full        passed"), "{told}");
    let (wait, _, shed) =
        with("shed", &["policy.queue.overload={law: codel, target: 5ms, interval: 100ms}"]);
    assert!(shed > 100 && wait < long, "{shed} {wait} {long}");
    let (wait, _, refused) =
        with("long_wait", &["policy.queue.longest_wait={free: 500ms, paid: 500ms}"]);
    assert!(refused > 500 && wait < 1e9, "{refused} {wait}");
    let told = explained("long_wait");
    assert!(told.contains("long_wait         refused: would wait for "), "{told}");
    let (_, fewer, refused) = with("deadline", &["policy.admission.deadlines=predict"]);
    assert!(refused > 500 && fewer * 2 < late, "{refused} {fewer} {late}");
    let told = explained("deadline");
    assert!(told.contains("deadline          ") && told.contains("usually takes"), "{told}");
}

#[test]
fn who_learns_avoids_slow_machines() {
    let place = tempfile::tempdir().unwrap();
    let scenario = "scenarios/slow-machines.yml";
    let with = |rule: &str| {
        let rule = format!("policy.balance={rule}");
        let (_, results) = run(place.path(), scenario, &[&SHORT[..], &[&rule]].concat());
        p99(&results["cells"][0], "response")
    };
    let counted = with("{rule: power_of_choices, choices: 2}");
    for rule in ["{rule: peak_ewma}", "{rule: prequal}"] {
        let learned = with(rule);
        assert!(learned < counted, "{rule}: {learned} for {counted}");
    }
}

#[test]
fn pipelines_end_once_with_an_answer_or_a_cause() {
    let place = tempfile::tempdir().unwrap();
    let short = ["duration=3min", "warm_up=30s", "policy.queue.free=0"];
    let (table, results) = run(place.path(), "scenarios/pipeline.yml", &short);
    assert!(table.contains("clip → avthumb → vframe"), "{table}");
    let (mut all, mut ended) = (0, 0);
    for cell in results["cells"].as_array().unwrap() {
        let pipeline = &cell["pipeline"];
        assert_eq!(pipeline.is_object(), cell["cmd"] == "clip", "{pipeline}");
        let Some(requests) = pipeline["requests"].as_u64() else { continue };
        let causes = pipeline["refused"].as_object().unwrap();
        let refused: u64 = causes.values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(requests, pipeline["done"].as_u64().unwrap() + refused);
        let steps = pipeline["steps"].as_u64().unwrap();
        assert!((requests..=3 * requests).contains(&steps), "{pipeline}");
        assert!(p99(pipeline, "response") > p99(cell, "response"), "{pipeline}");
        all += requests;
        ended += refused;
    }
    assert!(all > 1000 && ended > 0, "{all} {ended}");
    let folder = place.path().join("out");
    let told = printed(&["explain", folder.to_str().unwrap(), "--request", "700"]);
    assert!(told.contains("pipeline") && told.contains("after step"), "{told}");
}
