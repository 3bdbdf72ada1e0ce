//! Limits that adapt, from the outside: what they bring, what the tables say, and what `explain` says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SCENARIO: &str = "scenarios/adaptive-limit.yml";
const SHORT: [&str; 3] =
    ["duration=60s", "warm_up=5s", "faults.0={rack: 0, at: 20s, for: 20s, slowdown: 3}"];

/// The workspace: scenarios are named as a user would.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn simulator(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// The results of a short run with changes.
fn run(place: &Path, changes: &[&str]) -> Value {
    let output = place.join("out");
    let mut arguments = vec!["run", SCENARIO, "-o", output.to_str().unwrap()];
    SHORT.iter().chain(changes).for_each(|change| arguments.extend(["--set", *change]));
    let told = simulator(&arguments);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_str(&std::fs::read_to_string(output.join("results.json")).unwrap()).unwrap()
}

fn count(results: &Value, what: &str) -> u64 {
    results["cells"][0].pointer(what).unwrap().as_u64().unwrap()
}

/// Answers that somebody still waits for.
fn in_time(results: &Value) -> u64 {
    count(results, "/served") - count(results, "/late")
}

#[test]
fn a_limit_that_adapts_keeps_answers_in_time() {
    let place = tempfile::tempdir().unwrap();
    let fixed = run(place.path(), &["policy={preset: recommended, queue: {paid: unlimited}}"]);
    assert_eq!(count(&fixed, "/refused/adaptive_limit"), 0);
    for rule in
        ["{rule: gradient2, max: 1000}", "{rule: aimd, max: 1000, timeout: 500ms, window: 0s}"]
    {
        let found = run(place.path(), &[&format!("policy.admission.adaptive={rule}")]);
        assert_eq!(count(&found, "/arrivals"), count(&fixed, "/arrivals"));
        assert!(count(&found, "/refused/adaptive_limit") > 1_000, "{found}");
        assert!(count(&found, "/late") * 10 < count(&fixed, "/late"), "{rule}: {found}");
        assert!(in_time(&found) > in_time(&fixed) * 11 / 10, "{rule}: {found} {fixed}");
    }
    let out = place.path().join("out");
    let told = simulator(&["explain", out.to_str().unwrap(), "--request", "100000"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("adaptive_limit"), "{told}");
    assert!(told.contains("in flight at its gateway, aimd allows"), "{told}");
}

#[test]
fn gateways_behind_a_network_have_limits_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let network = "gateways={count: 4, network_delay: 1ms, reports_every: 10ms}";
    // Nothing fails behind a network: too much arrives instead.
    let busy = ["faults=[]", network, "load_scale=2"];
    let results = run(place.path(), &busy);
    assert!(count(&results, "/refused/adaptive_limit") > 1_000, "{results}");
    let changes = [network, "faults=[]", "policy.admission.adaptive.scope=cluster"];
    let mut arguments = vec!["run", SCENARIO];
    changes.iter().for_each(|change| arguments.extend(["--set", *change]));
    let told = simulator(&arguments);
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(!told.status.success(), "{text}");
    assert!(text.contains("admission.adaptive counts over the cluster"), "{text}");
}
