//! Ctrl-C: what was simulated so far is printed and written, marked as partial.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};

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

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let place = tempfile::tempdir().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_simulator"));
    run.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
    // Days of simulated time: it can't end by itself.
    run.args([
        "run",
        "scenarios/transcode-mix.yml",
        "--set",
        "duration=20d",
        "--set",
        "warm_up=0s",
    ]);
    run.arg("--output").arg(place.path()).env("NO_COLOR", "1");
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !is_at_work(child.id()) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
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
