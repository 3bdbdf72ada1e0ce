//! Ctrl-C: what was simulated so far is printed and written, marked as partial.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether a process handles SIGINT and has worked for a while: ticks of 10 ms.
fn is_at_work(process: u32) -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{process}/{name}")).unwrap();
    let status = read("status");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // User time is the 14th field; the second is the name, in brackets.
    let stat = read("stat");
    let ticks = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(11).unwrap();
    caught & 0b10 != 0 && ticks.parse::<u64>().unwrap() >= 20
}

/// What a command says whose work takes days of simulated time, so that it can't end by itself, and
/// its exit code, when it is interrupted.
fn interrupted(command: &[&str]) -> Output {
    let mut run = Command::new(env!("CARGO_BIN_EXE_simulator"));
    run.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    run.args(command).args(["--set", "warm_up=0s"]).env("NO_COLOR", "1");
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !is_at_work(child.id()) {
        assert!(child.try_wait().unwrap().is_none(), "{command:?} has ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    child.wait_with_output().unwrap()
}

#[test]
fn stopped_experiments_keep_what_they_have() {
    const MIX: &str = "scenarios/transcode-mix.yml";
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_str().unwrap();
    // The first point takes no time, the second one days.
    let mut sweep = vec!["sweep", MIX, "--param", "duration=1min,20d", "--metric", "rejected"];
    sweep.extend(["--replications", "2", "--threads", "1", "--output", folder]);
    let output = interrupted(&sweep);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{table}");
    assert!(table.contains("\n1min ") && !table.contains("\n20d "), "{table}");
    assert!(table.contains("\npartial: stopped after 1 of 2 points\n"), "{table}");
    let json = std::fs::read_to_string(place.path().join("sweep.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["partial"], serde_json::json!({"points": 1, "of": 2}));
    assert_eq!(json["points"].as_array().unwrap().len(), 1);
    let page = std::fs::read_to_string(place.path().join("report.html")).unwrap();
    assert!(page.contains("partial: stopped after 1 of 2 points"));

    let capacity = ["capacity", MIX, "--set", "duration=20d", "--slo", "rejected<=1%"];
    let output = interrupted(&capacity);
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("stopped before anything was known"), "{told}");

    let policy = place.path().join("policy.yml");
    let mut tune = vec!["tune", MIX, "--set", "duration=20d", "--subject-to", "rejected<=1%"];
    tune.extend(["--write", policy.to_str().unwrap()]);
    let output = interrupted(&tune);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{table}");
    assert!(table.starts_with("partial: stopped before any setting was known\n"), "{table}");
    assert!(!policy.exists());
}

/// A trace is written whole or not at all; one that was there before stays.
#[test]
fn a_stopped_trace_is_not_written() {
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace.packed");
    std::fs::write(&trace, "as it was").unwrap();
    let mut generate = vec!["generate", "scenarios/transcode-mix.yml", "--set", "duration=20d"];
    generate.extend(["--output", trace.to_str().unwrap()]);
    let output = interrupted(&generate);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("trace.packed isn't written"), "{told}");
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "as it was");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().to_str().unwrap();
    let run = ["run", "scenarios/transcode-mix.yml", "--set", "duration=20d", "--output", folder];
    let output = interrupted(&run);
    assert_eq!(output.status.code(), Some(130));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\npartial: stopped after "), "{table}");
    let read = |name: &str| std::fs::read_to_string(place.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    let stopped = json["partial"]["stopped_ns"].as_u64().unwrap();
    assert!(stopped > 0 && json["cells"][0]["arrivals"].as_u64().unwrap() > 0);
    assert_eq!(json["window_ns"], stopped);
    assert!(json["apps"][0]["utilisation"].is_null());
    assert!(read("report.html").contains("<b>Partial</b>: stopped after "));
    // Only buckets that had ended.
    let ends = read("timeline.csv");
    let ends =
        ends.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().parse::<u64>().unwrap());
    assert!(ends.max().unwrap_or(0) <= stopped);
}
