//! Links that transfers share, from the outside: what the table, the files and `explain` say.
#![allow(clippy::unwrap_used)]

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

/// The same requests over a link of a machine that all downloads fill, and over one ten times as
/// fast.
#[test]
fn a_full_link_delays_downloads_and_refuses_requests() {
    let place = tempfile::tempdir().unwrap();
    let run = |name: &str, machine: &str| {
        let output = place.path().join(name);
        let link = format!("stages.network.machine={machine}");
        let short = ["--set", "duration=60s", "--set", "warm_up=20s", "--set", &link];
        let peak = "workload.1.arrivals.flash={base: 2600/s, peak: 2600/s, at: 0s, ramp: 1s, hold: 1s, decay: 1s}";
        let all = [
            &["run", "scenarios/shared-link.yml", "-o", output.to_str().unwrap(), "--set", peak][..],
            &short,
        ];
        let table = printed(&all.concat());
        let text = std::fs::read_to_string(output.join("results.json")).unwrap();
        (table, serde_json::from_str::<Value>(&text).unwrap(), output)
    };
    let (table, slow, output) = run("slow", "1Gbit/s");
    let (_, fast, _) = run("fast", "10Gbit/s");
    let download =
        |results: &Value| results["cells"][0]["stages"]["download"]["p99_ns"].as_f64().unwrap();
    let refused = |results: &Value| results["cells"][0]["refused"]["queue_full"].as_u64().unwrap();
    assert!(download(&slow) > 3.0 * download(&fast), "{} {}", download(&slow), download(&fast));
    assert!(refused(&slow) > 1000 && refused(&fast) == 0, "{}", refused(&slow));
    assert_eq!(slow["cells"][0]["arrivals"], fast["cells"][0]["arrivals"]);
    let link = &slow["links"][0];
    assert_eq!(
        (link["link"].as_str(), link["bandwidth"].as_u64()),
        (Some("network_in"), Some(125_000_000))
    );
    let used = link["utilisation"].as_f64().unwrap();
    assert!((0.9..=1.0).contains(&used), "{link}");
    assert!(link["slowdown"].as_f64().unwrap() > 3.0, "{link}");
    let row = table.lines().find(|line| line.starts_with("network in ")).unwrap();
    assert!(row.contains("125 MB/s") && row.contains("40 MB/s") && row.contains("times"), "{row}");
    let told = printed(&["explain", output.to_str().unwrap(), "--request", "150000"]);
    assert!(told.contains("refused by") || told.contains("alone it would have taken"), "{told}");
}
