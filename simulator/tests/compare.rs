//! `simulator compare` from the outside: the gate of the repository, what makes it fail, and what
//! must not.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simulator(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Exit code, standard output, standard error.
fn ended(arguments: &[&str]) -> (i32, String, String) {
    let output = simulator(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const STEADY: &str = "scenarios/baselines/steady.json";

#[test]
fn the_policy_that_is_there_passes() {
    let (code, out, err) = ended(&["compare", "--baseline", STEADY]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    insta::assert_snapshot!(out);
}

/// Limits that nobody reaches decide nothing; another draw among equals decides otherwise, but not
/// worse.
#[test]
fn neutral_changes_pass() {
    for change in [
        "policy.admission.accept.permits=9000",
        "policy.admission.user.concurrency=900",
        "policy.queue.paid=6",
        "policy.balance={rule: least_loaded}",
    ] {
        let (code, out, err) = ended(&["compare", "--baseline", STEADY, "--set", change]);
        assert_eq!(code, 0, "{change}: {out}{err}");
    }
}

#[test]
fn a_worse_policy_fails_and_the_objective_is_named() {
    let change = "policy.balance={rule: random}";
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("summary.md");
    let mut arguments = vec!["compare", "--baseline", STEADY, "--set", change];
    arguments.extend(["--markdown", file.to_str().unwrap()]);
    let (code, out, err) = ended(&arguments);
    assert_eq!(code, 6, "{out}{err}");
    insta::assert_snapshot!("worse_out", out);
    insta::assert_snapshot!("worse_err", err);
    insta::assert_snapshot!("worse_markdown", std::fs::read_to_string(&file).unwrap());
    // The command that it names fails in the same way.
    let command = err.lines().find_map(|line| line.strip_prefix("again: simulator ")).unwrap();
    let program = env!("CARGO_BIN_EXE_simulator");
    let shell = Command::new("sh")
        .current_dir(folder())
        .args(["-c", &format!("exec '{program}' {command}")])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert_eq!(shell.status.code(), Some(6));
    assert_eq!(String::from_utf8_lossy(&shell.stdout), out);
}

#[test]
fn one_percent_longer_service_is_found() {
    let change = "cmds.imageView2.service_scale=1.01";
    let (code, out, err) = ended(&["compare", "--baseline", STEADY, "--set", change]);
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("regression in scenarios/gate/steady.yml: paid.mean_ms is"), "{err}");
}

/// A policy that was tuned on the seeds of the baseline is tried on others; what is known of seeds
/// beforehand is enough to tell a neutral change from 1 % longer service.
#[test]
fn other_seeds_tell_as_well() {
    let compare = |seed: &str, change: &str| {
        ended(&["compare", "--baseline", STEADY, "--seed", seed, "--set", change])
    };
    let neutral = "policy.admission.accept.permits=9000";
    let (code, out, err) = compare("1000001", neutral);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = compare("1000001", "cmds.imageView2.service_scale=1.01");
    assert_eq!(code, 6, "{out}{err}");
    assert!(err.contains("--seed 1000001"), "{err}");
    let (code, _, err) = compare("100", neutral);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("again, for other runs") && err.contains("--seed 1000001"), "{err}");
}

#[test]
fn a_study_counts_verdicts() {
    let place = tempfile::tempdir().unwrap();
    let scenario = place.path().join("small.yml");
    let text = std::fs::read_to_string(folder().join("scenarios/gate/steady.yml")).unwrap();
    let text = text.replace("policy: policy.yml", "policy: {preset: recommended}");
    std::fs::write(&scenario, text.replace("duration: 2min", "duration: 20s")).unwrap();
    let baselines = place.path().join("baselines");
    let (scenario_name, folder_name) = (scenario.to_str().unwrap(), baselines.to_str().unwrap());
    let all = ["compare", "--baseline", folder_name, "--replications", "12"];
    let record = [&all[..], &["--record", scenario_name]].concat();
    assert_eq!(ended(&record).0, 0);
    let neutral = "policy.admission.accept.permits=9000";
    let (code, out, err) = ended(&[&all[..], &["--study", "20", "--set", neutral]].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    // Repeats, passes, regressions, inconclusive ones.
    let row = |name: &str, seeds: &str| -> Vec<u32> {
        let line = out.lines().find(|line| line.starts_with(name) && line.contains(seeds));
        line.unwrap().split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    assert_eq!(row(neutral, " same "), [20, 20, 0, 0], "{out}");
    let [repeats, passed, alarms, open] = row("none", " different ")[..] else { panic!("{out}") };
    assert_eq!((repeats, alarms, passed + open), (20, 0, 20), "{out}");
}

#[test]
fn too_few_runs_are_inconclusive() {
    // At the edge of what is allowed, no number of runs decides.
    let change = "cmds.imageView2.service_scale=1.005";
    let baseline = "scenarios/baselines/burst.json";
    let few = ["compare", "--baseline", baseline, "--replications", "6", "--set", change];
    let (code, out, err) = ended(&few);
    assert_eq!(code, 7, "{out}{err}");
    assert!(err.contains("inconclusive in scenarios/gate/burst.yml"), "{err}");
}

/// A baseline of something else is refused, with what to do; recorded anew it fits.
#[test]
fn a_changed_scenario_is_refused_until_it_is_recorded() {
    let place = tempfile::tempdir().unwrap();
    let scenario = place.path().join("small.yml");
    let text = std::fs::read_to_string(folder().join("scenarios/gate/steady.yml")).unwrap();
    let text = text.replace("policy: policy.yml", "policy: {preset: recommended}");
    let text = text.replace("duration: 60s", "duration: 12s");
    std::fs::write(&scenario, &text).unwrap();
    let baselines = place.path().join("baselines");
    let (scenario_name, folder_name) = (scenario.to_str().unwrap(), baselines.to_str().unwrap());
    let record = |names: &[&str]| {
        let mut arguments = vec!["compare", "--record", "--baseline", folder_name];
        arguments.extend(["--replications", "6"]);
        arguments.extend(names);
        ended(&arguments)
    };
    let check = || ended(&["compare", "--baseline", folder_name]);
    assert_eq!(check().0, 5);
    assert_eq!(record(&[scenario_name]).0, 0);
    assert_eq!(check().0, 0);
    // Remarks, the seed and objectives are not what is simulated.
    std::fs::write(&scenario, text.replace("seed: 1", "seed: 2\nobjectives: {late: 1%}")).unwrap();
    assert_eq!(check().0, 0);
    std::fs::write(&scenario, text.replace("machines: 8", "machines: 9")).unwrap();
    let (code, _, err) = check();
    assert_eq!(code, 8, "{err}");
    assert!(err.contains("has changed since it was recorded") && err.contains("--record"), "{err}");
    assert_eq!(record(&[]).0, 0);
    assert_eq!(check().0, 0);
    // Another meaning of seeds.
    let file = baselines.join("small.json");
    let recorded = std::fs::read_to_string(&file).unwrap();
    let old = recorded.replace("\"model_version\": ", "\"model_version\": 9999");
    std::fs::write(&file, old).unwrap();
    let (code, _, err) = check();
    assert_eq!(code, 8, "{err}");
    assert!(err.contains("of the model"), "{err}");
    for (wrong, code) in [("{", 3), ("{}", 8), ("{\"version\": 1}", 3)] {
        std::fs::write(&file, wrong).unwrap();
        assert_eq!(check().0, code, "{wrong}");
    }
}

#[test]
fn two_results_are_compared() {
    let place = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let folder = place.path().join(name);
        let mut arguments = vec!["run", "scenarios/gate/steady.yml", "--replications", "8"];
        arguments.extend(["--set", "duration=20s", "--output", folder.to_str().unwrap()]);
        arguments.extend(more);
        assert_eq!(ended(&arguments).0, 0);
        folder.join("results.json").to_str().unwrap().to_owned()
    };
    let before = run("before", &[]);
    let same = run("same", &["--set", "policy.admission.accept.permits=9000"]);
    let worse = run("worse", &["--set", "cmds.imageView2.service_scale=1.05"]);
    let elsewhere = run("elsewhere", &["--seed", "100"]);
    assert_eq!(ended(&["compare", &before, &same]).0, 0);
    let (code, _, err) = ended(&["compare", &before, &worse]);
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("paid.mean_ms is"), "{err}");
    let (code, _, err) = ended(&["compare", &before, &elsewhere]);
    assert_eq!(code, 8, "{err}");
    assert_eq!(ended(&["compare", &before]).0, 2);
    assert_eq!(ended(&["compare"]).0, 2);
}
