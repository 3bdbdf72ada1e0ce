//! Sharing from the outside: what it brings is held to, what can't share is refused, and `explain`
//! says why slots were lent and called back.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The workspace: scenarios are named as a user would.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn simulator(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = simulator(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn cell<'a>(results: &'a Value, cmd: &str) -> &'a Value {
    results["cells"].as_array().unwrap().iter().find(|cell| cell["cmd"] == cmd).unwrap()
}

/// The backlog is done much sooner, and images wait no longer than they may.
#[test]
fn a_backlog_is_done_much_sooner_and_images_keep_their_objective() {
    const SECOND: f64 = 1e9;
    let place = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let folder = place.path().join(name);
        let output = ["-o", folder.to_str().unwrap()];
        let table = printed(&[&["run", "scenarios/mixed-sync-async.yml"], more, &output].concat());
        let text = std::fs::read_to_string(folder.join("results.json")).unwrap();
        (table, serde_json::from_str::<Value>(&text).unwrap(), folder)
    };
    let (table, with, folder) = run("with", &[]);
    let (off, without, _) = run("without", &["--set", "policy.sharing.lend=0%"]);
    assert!(off.contains("inactive: policy.sharing (`lend` is 0%)"), "{off}");
    // The same requests in both: common random numbers.
    for cmd in ["imageView2", "avthumb"] {
        assert_eq!(cell(&with, cmd)["arrivals"], cell(&without, cmd)["arrivals"]);
        assert_eq!(cell(&with, cmd)["served"], cell(&with, cmd)["arrivals"], "none is lost");
    }
    let longest =
        |results: &Value| cell(results, "avthumb")["response"]["max_ns"].as_f64().unwrap();
    let wait = |results: &Value| cell(results, "imageView2")["wait"]["p99_ns"].as_f64().unwrap();
    assert!(longest(&with) < 0.6 * longest(&without), "{} {}", longest(&with), longest(&without));
    assert!(wait(&with) <= 0.1 * SECOND, "{}", wait(&with));
    let sharing = &with["sharing"][0];
    assert!(sharing["core_hours"].as_f64().unwrap() > 20.0, "{sharing}");
    assert!(sharing["called"]["needed"]["instances"].as_u64().unwrap() > 10, "{sharing}");
    assert!(sharing["back"]["max_ns"].as_f64().unwrap() <= 10.0 * SECOND, "{sharing}");
    assert!(sharing["requeued"].as_u64().unwrap() > 0, "{sharing}");
    // The run's own comparison is the same run.
    let held = table.lines().find(|line| line.contains("avthumb free: longest response")).unwrap();
    let numbers = off.lines().find(|line| line.contains("avthumb") && line.contains("response"));
    let last = |line: &str| line.split_whitespace().next_back().unwrap().to_owned();
    assert_eq!(last(held), last(numbers.unwrap()));
    insta::assert_snapshot!("mixed", table);
    let explained = |arguments: &[&str]| {
        printed(&[&["explain", folder.to_str().unwrap()], arguments].concat())
            .lines()
            .filter(|line| !line.starts_with("app "))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    insta::assert_snapshot!(
        "mixed_explained",
        explained(&["--at", "75min 30s", "--app", "image"])
            + &explained(&["--at", "30min", "--app", "video"])
    );
}

const SCENARIO: &str = "version: 1
duration: 20s
machines: 2
policy: {preset: recommended}
apps:
  image: {instances: 2}
  video: {instances: 2, borrows: image}
cmds:
  resize: {app: image, service: {exponential: 40ms}}
  avthumb: {app: video, service: {exponential: 4s}}
tenants:
  all: {class: paid}
workload:
  - {tenants: all, cmd: resize, arrivals: {poisson: 20/s}}
  - {tenants: all, cmd: avthumb, arrivals: {poisson: 1/s}}
";

/// What can't share is said before anything is run, with its place.
#[test]
fn what_cannot_share_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("scenario.yml");
    std::fs::write(&path, SCENARIO).unwrap();
    let path = path.to_str().unwrap();
    printed(&["run", path]);
    for (set, reason) in [
        (vec!["apps.video.borrows=images"], "did you mean `image`?"),
        (vec!["apps.video.borrows=video"], "an app can lend to one other app"),
        (vec!["apps.image.borrows=video"], "an app can lend to one other app"),
        (vec!["apps.image.scales={min: 1, max: 9}", "cores=8"], "can't have `scales` yet"),
        (vec!["apps.video.concurrency=2"], "can't have a `concurrency` yet"),
        (vec!["apps.video.cores=2"], "need as many cores"),
        (vec!["apps.video.machines=1"], "on all machines of the lender"),
        (vec!["apps.video.cool_down=20s"], "longer than policy.sharing.give_back"),
        (vec!["control=scheduler"], "a scheduler can't lend yet"),
        (vec!["policy.sharing.interval=0s"], "decisions need time between them"),
        (
            vec!["gateways={count: 2, network_delay: 2ms, reports_every: 20ms}"],
            "apps can borrow from others with live gateways only",
        ),
    ] {
        let mut arguments = vec!["run", path];
        set.iter().for_each(|set| arguments.extend(["--set", set]));
        let output = simulator(&arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{set:?}: {told}");
        assert!(told.contains(reason), "{set:?}: {told}");
    }
}

/// A request whose work is stopped says when, after how much of it, and what became of it.
#[test]
fn stopped_work_is_explained() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("scenario.yml");
    let text = "version: 1
duration: 40s
machines: 1
policy:
  preset: recommended
  queue: {free: unlimited, paid: unlimited}
  sharing: {lend: 50%, reserve: 0%, idle_for: 5s, give_back: 2s}
apps:
  image: {instances: 4}
  video: {instances: 1, borrows: image}
cmds:
  resize: {app: image, service: {constant: 100ms}}
  avthumb: {app: video, service: {constant: 100s}}
tenants:
  all: {class: paid}
workload:
  - {tenants: all, cmd: resize, arrivals: {constant: 1/s}}
  - {tenants: all, cmd: avthumb, arrivals: {burst: {at: 1500ms, requests: 3}}}
  - {tenants: all, cmd: resize, arrivals: {burst: {at: 20500ms, requests: 40}}}
";
    std::fs::write(&path, text).unwrap();
    let out = place.path().join("out");
    let (path, out) = (path.to_str().unwrap(), out.to_str().unwrap());
    for (fate, told, outcome) in [
        ("requeue", "it waits again", "  outcome           served"),
        ("fail", "it fails", "  outcome           the machine or the instance"),
    ] {
        let set = format!("policy.sharing.unfinished={fate}");
        printed(&["run", path, "--set", &set, "-o", out]);
        // The first of the three has an instance of the app's own.
        let explained = printed(&["explain", out, "--request", "2"]);
        let told = format!(
            "at 23s (23.000000000 s), after 17s of work: its slot had to be given back; {told}"
        );
        assert!(explained.contains(&told), "{explained}");
        assert!(explained.contains(outcome), "{explained}");
        assert!(!printed(&["explain", out, "--request", "1"]).contains("given back"));
    }
}
