//! `simulator explain` from the outside: it says what the run's own files say.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const SCENARIO: &str = "version: 1
duration: 20s
machines: 2
gateways: 2
policy: policy.yml
apps:
  image: {instances: 2}
cmds:
  resize: {app: image, service: {exponential: 40ms}, deadline: 300ms}
tenants:
  visitors: {class: free, users: 3}
  customers: {class: paid, users: 3}
workload:
  - {tenants: visitors, cmd: resize, arrivals: {poisson: 60/s}}
  - {tenants: customers, cmd: resize, arrivals: {poisson: 40/s}}
";
const POLICY: &str = "preset: original
balance: {rule: power_of_choices}
admission:
  accept: {permits: 12}
  user: {rate: 15/s, burst: 5, concurrency: 6, scope: cluster}
";

fn simulator(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// A run whose scenario is gone: everything comes from its results.
fn ran() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    write("scenario.yml", SCENARIO);
    write("policy.yml", POLICY);
    let arguments =
        ["run", "scenario.yml", "--set", "policy.queue.free=4", "--seed", "3", "-o", "out"];
    let output = simulator(place.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["scenario.yml", "policy.yml"] {
        std::fs::remove_file(place.path().join(name)).unwrap();
    }
    place
}

fn explained(place: &TempDir, arguments: &[&str]) -> String {
    let arguments = [&["explain", "out"], arguments].concat();
    let output = simulator(place.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(place: &TempDir, arguments: &[&str]) -> (i32, String) {
    let arguments = [&["explain", "out"], arguments].concat();
    let output = simulator(place.path(), &arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Requests that take time on their way, and clients that try again.
#[test]
fn ways_and_attempts() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    let stages = "stages: {accept: 1ms, network: {latency: 5ms, bandwidth: 10MB/s}}\ncmds:";
    let sizes =
        "deadline: 300ms, source_size: {exponential: 200KB}, cached: 30%, answer_size: 20KB";
    let tries = "{poisson: 60/s}, retries: {attempts: 3, back_off: 100ms, jitter: 50%}}";
    let scenario = SCENARIO.replace("cmds:", stages).replace("deadline: 300ms", sizes);
    write("scenario.yml", &scenario.replace("{poisson: 60/s}}", tries));
    write("policy.yml", POLICY);
    let output = simulator(place.path(), &["run", "scenario.yml", "-o", "out"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // One of each kind of client, among the first requests.
    let mut shown = std::collections::BTreeMap::new();
    for number in 0..300 {
        let text = explained(&place, &["--request", &number.to_string()]);
        let kind = match text.split_once("  its client        ") {
            None => "has no second attempt",
            Some((_, end)) if end.ends_with("after 1 attempt\n") => "first",
            Some((_, end)) if end.starts_with("had") => "later",
            Some(_) => "never",
        };
        shown.entry(kind).or_insert(text);
    }
    let requests: Vec<String> =
        shown.iter().map(|(kind, text)| format!("{kind}: {text}")).collect();
    let moment = explained(&place, &["--at", "10s", "--app", "image"]);
    insta::assert_snapshot!("ways", format!("{text}\n{}\n{moment}", requests.join("\n")));
}

#[test]
fn requests_and_moments() {
    let place = ran();
    insta::assert_snapshot!("moment", explained(&place, &["--at", "10s", "--app", "image"]));
    // All kinds of outcomes among the first requests, each as the results count them.
    let json = std::fs::read_to_string(place.path().join("out/results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut shown = std::collections::BTreeMap::new();
    for number in 0..300 {
        let text = explained(&place, &["--request", &number.to_string()]);
        let (_, outcome) = text.rsplit_once("  outcome           ").unwrap();
        let kind = outcome.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ");
        let kind = if kind.starts_with("served") { "served".to_owned() } else { kind };
        let waited = kind == "served" && !text.contains("waited            0");
        let kind = if waited { "waited".to_owned() } else { kind };
        shown.entry(kind).or_insert(text);
    }
    let kinds: Vec<&str> = shown.keys().map(String::as_str).collect();
    for cause in ["accept_permits", "user_rate", "user_concurrency", "queue_full"] {
        let count = |cell: usize| json["cells"][cell]["refused"][cause].as_u64().unwrap();
        let is_seen = kinds.iter().any(|kind| kind.contains(cause));
        assert!(!is_seen || count(0) + count(1) > 0, "{cause}");
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
    let all: Vec<String> = shown.into_values().collect();
    insta::assert_snapshot!("requests", all.join("\n"));
}

/// Behind a network the same run is explained, not that of live gateways: all requests together come to
/// what the results count.
#[test]
fn gateways_behind_a_network() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
    let behind = "gateways: {count: 2, network_delay: 2ms, reports_every: 10ms}";
    let scenario = SCENARIO.replace("gateways: 2", behind).replace("20s", "2s");
    write("scenario.yml", &scenario.replace("poisson: 60/s", "poisson: 90/s"));
    let overload =
        "  overload: {rule: dagor, target: 1ms, window: 100ms}\nqueue: {free: 1, paid: 3}\n";
    write("policy.yml", &(POLICY.replace("cluster", "gateway") + overload));
    let arguments = ["run", "scenario.yml", "--threads", "2", "-o", "out"];
    let output = simulator(place.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json = std::fs::read_to_string(place.path().join("out/results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let cells = json["cells"].as_array().unwrap();
    let sum = |name: &str| cells.iter().map(|cell| cell[name].as_u64().unwrap()).sum::<u64>();
    let (arrivals, served) = (sum("arrivals"), sum("served"));
    let (mut found, mut shown) = (std::collections::BTreeMap::new(), Vec::new());
    for number in 0..arrivals {
        let text = explained(&place, &["--request", &number.to_string()]);
        let (_, outcome) = text.rsplit_once("  outcome           ").unwrap();
        let kind = outcome.trim_start_matches("refused by ");
        let kind = kind.split([' ', ':']).next().unwrap().to_owned();
        let count = found.entry(kind).or_insert(0u64);
        if *count == 0 {
            shown.push(text);
        }
        *count += 1;
    }
    assert_eq!(found.remove("served"), Some(served));
    for (cause, count) in &found {
        let refused = |cell: &serde_json::Value| cell["refused"][cause].as_u64().unwrap();
        assert_eq!(cells.iter().map(refused).sum::<u64>(), *count, "{cause}");
    }
    assert_eq!(served + found.values().sum::<u64>(), arrivals);
    assert!(found.len() >= 3, "{found:?}");
    let (code, text) = refused(&place, &["--request", &arrivals.to_string()]);
    assert_eq!(code, 3, "{text}");
    shown.push(text);
    shown.push(explained(&place, &["--at", "1s", "--app", "image"]));
    insta::assert_snapshot!("network", shown.join("\n"));
}

/// What the scheduler did in an upgrade is told with its reasons, and its decision log can be decided
/// again.
#[test]
fn upgrades_and_their_decisions() {
    use scheduler_core::decision::Decision;
    use simulator::scenario::{self, Override};

    let place = tempfile::tempdir().unwrap();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("scenarios/upgrade.yml");
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(place.path().join("upgrade.yml"), &text).unwrap();
    let output = simulator(place.path(), &["run", "upgrade.yml", "-o", "out"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!("upgrade", String::from_utf8(output.stdout).unwrap());
    let during = explained(&place, &["--at", "4m", "--app", "image"]);
    let failed = explained(&place, &["--at", "12m10s", "--app", "image"]);
    insta::assert_snapshot!("upgrade_decisions", format!("{during}\n{failed}"));
    let mut sources = diagnostics::Sources::default();
    let source = sources.add("upgrade.yml", text.as_str());
    let none: [Override; 0] = [];
    let found = scenario::read(source, &none, &mut sources, |_, _| Err("none".to_owned()));
    let policy = found.scenario.unwrap().policy;
    let log = std::fs::read_to_string(place.path().join("out/scheduler.jsonl")).unwrap();
    let decisions: Vec<Decision> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(decisions.len() > 100, "{}", decisions.len());
    decisions.iter().for_each(|decision| decision.replay(&policy).unwrap());
}

#[test]
fn an_app_must_be_named_if_there_are_several() {
    let place = ran();
    let named = explained(&place, &["--at", "5s", "--app", "image"]);
    assert_eq!(explained(&place, &["--at", "5s"]), named);
    let two = SCENARIO.replace("apps:", "apps:\n  video: {instances: 1}");
    std::fs::write(place.path().join("scenario.yml"), two).unwrap();
    std::fs::write(place.path().join("policy.yml"), POLICY).unwrap();
    assert!(simulator(place.path(), &["run", "scenario.yml", "-o", "out"]).status.success());
    let (code, told) = refused(&place, &["--at", "5s"]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("say which app: --app NAME; there are video, image"), "{told}");
}

#[test]
fn what_can_not_be_explained() {
    let place = ran();
    let (code, told) = refused(&place, &["--request", "99999999"]);
    assert!(code == 3 && told.contains("with the numbers 0 to "), "{code} {told}");
    let (code, told) = refused(&place, &["--at", "25s", "--app", "image"]);
    assert!(code == 3 && told.contains("after the end"), "{code} {told}");
    let (code, told) = refused(&place, &["--at", "5s", "--app", "imag"]);
    assert!(code == 3 && told.contains("did you mean `image`?"), "{code} {told}");
    assert_eq!(refused(&place, &[]).0, 2);
    assert_eq!(refused(&place, &["--app", "image"]).0, 2);
    let path = place.path().join("out/results.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"model_version\": ", "\"model_version\": 9")).unwrap();
    let (code, told) = refused(&place, &["--request", "1"]);
    assert!(code == 3 && told.contains("of the model"), "{code} {told}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(refused(&place, &["--request", "1"]).0, 5);
}
