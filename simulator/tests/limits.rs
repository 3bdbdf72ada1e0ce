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
    run_of(place, SCENARIO, &[&SHORT[..], changes].concat())
}

/// The same of any scenario.
fn run_of(place: &Path, scenario: &str, changes: &[&str]) -> Value {
    let output = place.join("out");
    let mut arguments = vec!["run", scenario, "-o", output.to_str().unwrap()];
    changes.iter().for_each(|change| arguments.extend(["--set", *change]));
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

/// Of pipelines of three steps, the part that comes to its end, by class: paid and free.
fn done(results: &Value) -> [f64; 2] {
    ["paid", "free"].map(|class| {
        let cells = results["cells"].as_array().unwrap().iter();
        let mut of_class = cells.filter(|cell| cell["class"] == class);
        let first = of_class.find(|cell| cell["pipeline"].is_object()).unwrap();
        let part = |name: &str| first["pipeline"][name].as_f64().unwrap();
        part("done") / part("requests")
    })
}

#[test]
fn users_keep_their_levels_for_all_steps() {
    let place = tempfile::tempdir().unwrap();
    let scenario = "scenarios/priorities.yml";
    let flash = "workload.1.arrivals.flash={base: 200/s, peak: 600/s, at: 10s, ramp: 5s, hold: 60s, decay: 5s}";
    let short = ["duration=100s", "warm_up=20s", flash];
    let bounded = [&short[..], &["policy={preset: recommended}"]].concat();
    let by_chance = run_of(place.path(), scenario, &bounded);
    let gated = run_of(place.path(), scenario, &short);
    assert_eq!(count(&by_chance, "/refused/overload"), 0);
    let ([paid, free], [paid_by_chance, _]) = (done(&gated), done(&by_chance));
    assert!(paid > 0.99 && paid_by_chance < 0.8, "{paid} {paid_by_chance}");
    assert!(free > 0.4, "{free}");
    // Who is let in comes through: nearly all refusals are those of first steps.
    let cells = gated["cells"].as_array().unwrap();
    let refused = |cmd: &str| -> u64 {
        let of_cmd = cells.iter().filter(|cell| cell["cmd"] == cmd);
        of_cmd.map(|cell| cell["refused"]["overload"].as_u64().unwrap()).sum()
    };
    assert!(refused("imageInfo") > 5_000 && refused("watermark") * 20 < refused("imageInfo"));
    let out = place.path().join("out");
    let told = simulator(&["explain", out.to_str().unwrap(), "--request", "50000"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("its priority is "), "{told}");
    assert!(told.contains("(0 is the highest), its app takes those up to "), "{told}");
}

#[test]
fn work_that_would_be_late_is_not_begun() {
    let place = tempfile::tempdir().unwrap();
    let scenario = "scenarios/fair-queue.yml";
    let burst = "workload.2.arrivals.burst={at: 15s, requests: 12000, over: 30s}";
    let short = ["duration=60s", "warm_up=10s", burst];
    let with = |deadlines: &str| {
        let rule = format!("policy.admission.deadlines={deadlines}");
        let results = run_of(place.path(), scenario, &[&short[..], &[&rule]].concat());
        let counts = ["/late", "/refused/deadline", "/arrivals"];
        counts.map(|what| count(&results, what))
    };
    let [late, refused, arrivals] = with("refuse");
    assert!(late * 5 > arrivals && refused == 0, "{late} {refused} {arrivals}");
    let [fewer, refused, _] = with("predict");
    assert!(fewer * 3 < late && refused > 500, "{fewer} {refused}");
    let out = place.path().join("out");
    let told = simulator(&["explain", out.to_str().unwrap(), "--request", "30000"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("deadline          ") && told.contains("usually takes"), "{told}");
}

#[test]
fn commands_learn_limits_of_their_own() {
    let place = tempfile::tempdir().unwrap();
    let with = |by: &str| {
        let open = "queue: {free: unlimited, paid: unlimited}";
        let rule = format!("{{rule: gradient2, max: 1000, by: {by}}}");
        let policy =
            format!("policy={{preset: original, {open}, admission: {{adaptive: {rule}}}}}");
        let changes = ["duration=20min", "warm_up=5min", &policy];
        let results = run_of(place.path(), "scenarios/transcode-mix.yml", &changes);
        // The first cell is of images.
        assert_eq!(results["cells"][0]["cmd"], "imageView2");
        count(&results, "/refused/adaptive_limit")
    };
    let (together, apart) = (with("all"), with("cmd"));
    assert!(together > 50_000 && apart * 100 < together, "{together} {apart}");
    let out = place.path().join("out");
    let told = simulator(&["explain", out.to_str().unwrap(), "--request", "100000"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("of its command in flight at its gateway, gradient2 allows"), "{told}");
}

#[test]
fn classes_have_what_is_kept_of_a_limit() {
    let place = tempfile::tempdir().unwrap();
    let burst = "workload.2.arrivals.burst={at: 15s, requests: 24000, over: 30s}";
    let with = |shares: &str| {
        let rule = format!("{{rule: gradient2, max: 1000{shares}}}");
        let rule = format!("policy.admission.adaptive={rule}");
        let changes = ["duration=60s", "warm_up=10s", burst, &rule];
        let results = run_of(place.path(), "scenarios/fair-queue.yml", &changes);
        assert_eq!(results["cells"][0]["class"], "paid");
        let refused = |cell: usize| results["cells"][cell]["refused"]["adaptive_limit"].as_u64();
        [refused(0).unwrap(), refused(1).unwrap()]
    };
    let ([paid, free], [paid_kept, free_kept]) = (with(""), with(", shares: {paid: 80%}"));
    assert!(paid > 1_000 && paid_kept * 2 < paid, "{paid} {paid_kept}");
    assert!(free_kept > free, "{free} {free_kept}");
    let out = place.path().join("out");
    let told = simulator(&["explain", out.to_str().unwrap(), "--request", "30000"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("that are kept for it"), "{told}");
}
