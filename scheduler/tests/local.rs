//! The whole on one machine: the binary as daemon, the binary as client, real processes, and requests
//! that flow while versions change and the daemon is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod daemon;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use daemon::{Daemon, PATIENCE, until};
use serde_json::Value;

/// Sends requests to what discovery says, and counts.
struct Requests {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Requests {
    fn start(address: Arc<std::sync::Mutex<std::net::SocketAddr>>) -> Self {
        let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&answered));
        let thread = thread::spawn(move || {
            let (mut ports, mut failures, mut next) = (Vec::new(), Vec::new(), 0);
            while !over.load(Ordering::SeqCst) {
                // While the daemon is away, who asks goes on with what it knew.
                let daemon = *address.lock().unwrap();
                ports = discover(daemon).filter(|found| !found.is_empty()).unwrap_or(ports);
                for _ in 0..4 {
                    let Some(port) = ports.get(next % ports.len().max(1)) else { continue };
                    next += 1;
                    match get(([127, 0, 0, 1], *port).into(), "/work") {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        other => failures.push(format!("{port}: {other:?}")),
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
            failures
        });
        Requests { is_over, answered, thread }
    }

    /// How many were answered, and what became of the others.
    fn finish(self) -> (u64, Vec<String>) {
        self.is_over.store(true, Ordering::SeqCst);
        let failures = self.thread.join().unwrap();
        (self.answered.load(Ordering::SeqCst), failures)
    }
}

fn get(address: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn discover(daemon: std::net::SocketAddr) -> Option<Vec<u16>> {
    let text = get(daemon, "/v1/discovery/web").ok()?;
    let found: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
    let port = |one: &Value| u16::try_from(one["ports"][0].as_u64()?).ok();
    found.as_array()?.iter().map(port).collect()
}

fn serving(daemon: &Daemon, version: u64) -> usize {
    let instances = daemon.json("/v1/instances?app=web");
    let is_one = |one: &&Value| one["life"] == "serving" && one["version"] == version;
    instances.as_array().unwrap().iter().filter(is_one).count()
}

#[test]
fn an_upgrade_survives_the_death_of_the_daemon_and_no_request_fails() {
    let mut daemon = Daemon::start(21_000, 2);
    let file = daemon.write_app("web", "1", "instances: 4\n");
    let told = daemon.done(&["app", "deploy", &file]);
    assert_eq!(told, "web: deployment 1 to v1: done\n");
    let machines = daemon.json("/v1/machines");
    let spread: Vec<u64> =
        machines.as_array().unwrap().iter().map(|one| one["instances"].as_u64().unwrap()).collect();
    assert_eq!(spread, [2, 2]);

    let address = Arc::new(std::sync::Mutex::new(daemon.address()));
    let requests = Requests::start(Arc::clone(&address));
    // One round in the gate; `SCHEDULER_ROUNDS` has more, with the daemon killed at other moments.
    let rounds = std::env::var("SCHEDULER_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: u64 = rounds.unwrap_or(1);
    let last = rounds + 1;
    for version in 2..=last {
        let name = version.to_string();
        daemon.done(&["app", "upgrade", "web", "--version", &name, "--detach"]);
        if version == 2 {
            let is_half = || serving(&daemon, 2) >= 1 && serving(&daemon, 1) >= 1;
            until("the upgrade is half way", is_half);
        } else {
            thread::sleep(Duration::from_millis(version * 7_919 % 2_500));
        }
        daemon.kill();
        let before = daemon.processes();
        assert!(before.len() >= 8, "instances go on: {before:?}");
        thread::sleep(Duration::from_millis(200));
        daemon.run();
        *address.lock().unwrap() = daemon.address();
        until("the upgrade is done", || {
            let app = daemon.json("/v1/apps/web");
            app["summary"]["state"] == "steady" && app["summary"]["version"] == version
        });
    }
    let (answered, failures) = requests.finish();
    assert!(failures.is_empty(), "{answered} answered, {failures:#?}");
    assert!(answered > 100, "{answered} requests are few");

    assert_eq!(serving(&daemon, last), 4);
    let history = daemon.json("/v1/apps/web/history");
    let outcomes: Vec<&str> = history["deployments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert!(outcomes.iter().all(|outcome| *outcome == "done"), "{outcomes:?}");
    let starts = daemon.starts();
    let distinct: BTreeSet<&String> = starts.iter().collect();
    assert_eq!(starts.len(), distinct.len(), "nothing is started twice: {starts:?}");
    assert_eq!(starts.len() as u64, 4 * last, "four of each version: {starts:?}");
    assert_eq!(daemon.processes().len(), 8, "a supervisor and a worker for each instance");

    let log = daemon.data().join("decisions.log");
    let replayed = daemon.done(&["policy", "replay", log.to_str().unwrap()]);
    assert!(
        replayed.ends_with(": 0 come out otherwise\n") && !replayed.starts_with('0'),
        "{replayed}"
    );
    daemon.done(&["app", "delete", "web"]);
    assert_eq!(daemon.processes(), [0; 0]);
    assert_eq!(daemon.interrupt(), Some(0));
}

#[test]
fn a_bad_version_goes_back_by_itself_and_says_why() {
    let daemon = Daemon::start(21_100, 1);
    let file = daemon.write_app("web", "1", "instances: 2\n");
    daemon.done(&["app", "deploy", &file]);
    let output = daemon.client(&["app", "upgrade", "web", "--version", "2", "--", "/bin/false"]);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("web: deployment 2 to v2: failed: "), "{told}");
    until("version 1 is wanted again", || {
        daemon.json("/v1/apps/web")["summary"]["state"] == "steady"
    });
    assert_eq!(serving(&daemon, 1), 2, "the old ones were never taken away");
    let history = daemon.done(&["app", "history", "web"]);
    assert!(history.contains("it ended with code 1"), "{history}");
    let explained = daemon.done(&["explain", "web.1"]);
    assert!(explained.contains("web.1 has been serving"), "{explained}");
}

#[test]
fn a_port_that_another_program_has_costs_no_version() {
    let daemon = Daemon::start(21_600, 1);
    let others: Vec<TcpListener> = (21_600..21_603)
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap())
        .collect();
    let file = daemon.write_app("web", "1", "instances: 1\n");
    daemon.done(&["app", "deploy", &file]);
    assert_eq!(discover(daemon.address()), Some(vec![21_603]));
    let history = daemon.done(&["app", "history", "web"]);
    assert_eq!(history.matches("is taken by another program").count(), others.len(), "{history}");
}

#[test]
fn instances_are_replaced_moved_and_read() {
    let daemon = Daemon::start(21_200, 2);
    let file = daemon.write_app("web", "1", "instances: 2\n");
    daemon.done(&["app", "deploy", &file]);
    let output = daemon.done(&["instance", "logs", "web.1"]);
    assert!(output.starts_with("listening at 21"), "{output}");

    daemon.done(&["instance", "kill", "web.1"]);
    until("another one serves in its place", || {
        let text = daemon.done(&["instance", "list", "web"]);
        !text.contains("web.1 ") && text.matches("serving").count() == 2
    });
    daemon.done(&["instance", "add", "web", "--on", "m2"]);
    until("one more serves", || serving(&daemon, 1) == 3);
    daemon.done(&["drain", "m2"]);
    until("the machine is empty", || daemon.done(&["machine", "list"]).contains("drained"));
    assert_eq!(serving(&daemon, 1), 3);
    daemon.done(&["undrain", "m2"]);
    daemon.done(&["app", "scale", "web", "1"]);
    until("one serves", || serving(&daemon, 1) == 1 && daemon.processes().len() == 2);

    // Who dies without being asked is replaced, too.
    let instances = daemon.json("/v1/instances");
    let name = instances[0]["instance"].as_str().unwrap().to_owned();
    let text =
        std::fs::read_to_string(daemon.data().join("tasks").join(&name).join("supervisor.json"));
    let supervisor: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let pid = supervisor["task_pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    until("another one serves", || {
        let instances = daemon.json("/v1/instances");
        instances[0]["instance"] != name.as_str() && serving(&daemon, 1) == 1
    });
    let explained = daemon.done(&["explain", &name]);
    assert!(explained.contains("it was ended by signal 9"), "{explained}");
}

#[test]
fn a_machine_that_is_back_gets_its_share() {
    let daemon = Daemon::start(21_700, 3);
    daemon.done(&["drain", "m3"]);
    let file = daemon.write_app("web", "1", "instances: 6\n");
    daemon.done(&["app", "deploy", &file]);
    daemon.done(&["undrain", "m3"]);
    let spread = || -> Vec<u64> {
        let machines = daemon.json("/v1/machines");
        let rows = machines.as_array().unwrap().iter();
        rows.map(|one| one["instances"].as_u64().unwrap()).collect()
    };
    assert_eq!(spread(), [3, 3, 0]);
    let plan = daemon.done(&["rebalance", "--dry-run"]);
    assert!(plan.starts_with("web: 2 to move\n"), "{plan}");
    assert!(plan.contains("m3            0      2"), "{plan}");
    assert_eq!(spread(), [3, 3, 0]);
    let told = daemon.done(&["rebalance", "web"]);
    assert_eq!(told, "web: done: 2 of 2 moved\n");
    until("the old ones have ended", || spread() == [2, 2, 2]);
    assert_eq!(daemon.starts().len(), 8);
    assert_eq!(daemon.done(&["rebalance", "web", "--dry-run"]), "nothing would move\n");
    assert_eq!(daemon.done(&["rebalance", "web"]), "nothing moves\n");
    assert_eq!(daemon.done(&["rebalance", "--cancel"]), "nothing moves\n");
    let history = daemon.done(&["app", "history", "web"]);
    assert_eq!(history.matches("it moved to a machine with fewer").count(), 2, "{history}");
    let events = daemon.done(&["events"]);
    assert!(events.contains("spread-again: done: 2 of 2 moved, 0 left out"), "{events}");
}

#[test]
fn clients_say_what_is_wrong_and_what_to_do() {
    let daemon = Daemon::start(21_300, 1);
    let told = |arguments: &[&str]| {
        let output = daemon.client(arguments);
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(
        told(&["app", "show", "nothing"]),
        (6, "error: there is no app `nothing`\nhint: `scheduler app list` shows all\n".to_owned())
    );
    std::fs::write(daemon.path("bad.yml"), "app: web\nversion: 1\ncomand: [a]\n").unwrap();
    let (code, text) = told(&["app", "deploy", "bad.yml"]);
    assert_eq!(code, 3);
    assert!(text.contains("bad.yml:3:1") && text.contains("did you mean `command`"), "{text}");
    std::fs::write(daemon.path("image.yml"), "app: web\nversion: 1\nimage: web:1\n").unwrap();
    let (code, text) = told(&["app", "deploy", "image.yml"]);
    assert_eq!(code, 6);
    assert!(text.contains("/nowhere/docker") && text.contains("hint: start one"), "{text}");
    assert_eq!(told(&["app", "list", "--data", "/nowhere"]).0, 30);
    std::fs::write(daemon.path("log"), "something else\n").unwrap();
    let (code, text) = told(&["policy", "replay", "log"]);
    assert_eq!(code, 3);
    assert!(text.starts_with("error: failed to read log: it is not a log"), "{text}");
    assert_eq!(told(&["serve"]).0, 2);
    assert_eq!(told(&["serve", "--local", "--listen", "0.0.0.0:1"]).0, 2);
    let data = daemon.data().display().to_string();
    let (code, text) = told(&["serve", "--local", "--data", &data]);
    assert_eq!(code, 5);
    assert!(text.contains("in use by another process"), "{text}");
}

#[test]
fn the_api_resumes_replays_and_refuses() {
    let mut daemon = Daemon::start(21_400, 1);
    let bearer = format!("Bearer {}", daemon.token());
    let token = ("Authorization", bearer.as_str());
    let body = r#"{"app": "web", "version": "1", "command": ["/bin/sleep", "1000"]}"#;
    let key = ("Idempotency-Key", "one");
    let first = daemon.raw("PUT", "/v1/apps/web", &[token, key], body).unwrap();
    assert!(first.starts_with("HTTP/1.1 200") && !first.contains("replayed"), "{first}");
    let again = daemon.raw("PUT", "/v1/apps/web", &[token, key], body).unwrap();
    assert!(again.contains("idempotency-replayed: true"), "{again}");
    assert_eq!(first.split_once("\r\n\r\n").unwrap().1, again.split_once("\r\n\r\n").unwrap().1);
    let (status, text) = daemon.request("POST", "/v1/thaw", &[token, key], "");
    assert_eq!((status, text.contains("key-of-another")), (422, true), "{text}");

    let (status, text) = daemon.request("POST", "/v1/apps/web/scale", &[token], "{\"instance\":1}");
    assert_eq!((status, text.contains("unknown field")), (400, true), "{text}");
    let (status, text) = daemon.request("POST", "/v1/apps/web/scale", &[], "{\"instances\":1}");
    assert_eq!((status, text.contains("no-token")), (401, true), "{text}");
    let invalid = daemon.raw("PUT", "/v1/apps/web", &[token], "app: web").unwrap();
    assert!(
        invalid.contains("application/problem+json") && invalid.contains("body:1:1"),
        "{invalid}"
    );
    for (path, kind) in [
        ("/v1/events?after=x", "bad-request"),
        ("/v1/apps/%ff", "bad-request"),
        ("/v2/groups", "no-such-path"),
    ] {
        let answer = daemon.raw("GET", path, &[], "").unwrap();
        let is_problem = answer.contains("application/problem+json") && answer.contains(kind);
        assert!(is_problem && answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    assert_eq!(daemon.request("DELETE", "/v1/status", &[token], "").0, 405);

    until("it serves", || serving(&daemon, 1) == 1);
    let last = daemon.json("/v1/status")["last_event"].as_u64().unwrap();
    daemon.kill();
    daemon.run();
    let numbers = events_after(&daemon, 2, last);
    assert_eq!(numbers, (3..=last).collect::<Vec<_>>(), "events are kept, and none is told twice");
    let (status, metrics) = daemon.get("/metrics");
    assert_eq!(status, 200);
    assert!(
        metrics.contains("scheduler_app_instances{app=\"web\",life=\"serving\"} 1\n"),
        "{metrics}"
    );
    assert_eq!(daemon.json("/v1/apps/web/explain")["detail"]["lives"]["serving"], 1);
    let (status, page) = daemon.get("/");
    assert_eq!((status, page.contains("<title>Corral scheduler</title>")), (200, true));
    let detail = daemon.json("/v1/apps/web");
    assert_eq!(detail["specification"]["environment"], serde_json::json!({}));
}

/// The numbers of the events after one up to another, from the stream.
fn events_after(daemon: &Daemon, after: u64, last: u64) -> Vec<u64> {
    let address = daemon.address();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        format!("GET /v1/events HTTP/1.1\r\nHost: {address}\r\nLast-Event-ID: {after}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut numbers = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(number) = line.strip_prefix("id: ") {
            numbers.push(number.parse().unwrap());
        }
        if numbers.last() == Some(&last) {
            break;
        }
    }
    numbers
}

#[test]
fn a_snapshot_brings_a_scheduler_back() {
    let mut daemon = Daemon::start(21_500, 1);
    let file = daemon.write_app("web", "1", "instances: 1\n");
    daemon.done(&["app", "deploy", &file]);
    let saved = daemon.done(&["snapshot", "save", "saved"]);
    assert!(saved.contains("records in saved"), "{saved}");
    let refused = daemon.client(&["snapshot", "restore", "saved"]);
    assert_eq!(refused.status.code(), Some(5), "the daemon runs: {refused:?}");
    daemon.done(&["app", "delete", "web"]);
    assert_eq!(daemon.interrupt(), Some(0));
    let refused = daemon.client(&["snapshot", "restore", "saved"]);
    assert_eq!(refused.status.code(), Some(6), "there are records: {refused:?}");
    daemon.done(&["snapshot", "restore", "saved", "--yes"]);
    daemon.run();
    // What the snapshot says of instances is asked for, and what ended since is replaced.
    until("another one is started", || daemon.starts().len() == 2);
    until("it serves", || serving(&daemon, 1) == 1);
    assert_eq!(daemon.starts(), ["web.1", "web.2"], "numbers are never used again");
}
