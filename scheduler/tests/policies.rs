//! The load that instances tell, and policies that are compared, applied, taken back and tried, by the
//! binary as daemon and as client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod daemon;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use daemon::{Daemon, until};
use serde_json::Value;

/// Rules with short times: four tasks for each instance.
const QUICK: &str = "preset: recommended\n\
    rollout: {warm_up: 400ms, cool_down: 300ms, step: 1, progress_deadline: 20s, failures: 2}\n\
    repair: {back_off: 50ms, back_off_most: 200ms}\n\
    scaling: {target: 4, interval: 1s, cool_down: 1s, scale_in_after: 2s}\n";

/// Clients that ask the first instance again and again: so many requests are there at any time.
struct Crowd {
    is_over: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Crowd {
    fn start(port: u16, clients: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..clients).map(|_| {
            let over = Arc::clone(&is_over);
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if ask(port).is_none() {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            })
        });
        Crowd { threads: threads.collect(), is_over }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn ask(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(())
}

fn wanted(daemon: &Daemon) -> u64 {
    daemon.json("/v1/apps/web")["summary"]["wanted"].as_u64().unwrap()
}

fn metrics(queue: &str) -> String {
    format!(
        "metrics: {{queue: {queue}, busy: worker_busy, arrivals: worker_arrivals_total, \
         rejects: worker_rejects_total}}\n"
    )
}

#[test]
fn an_app_grows_and_shrinks_with_the_load_that_its_instances_tell() {
    let daemon = Daemon::start(22_500, 1);
    fs::write(daemon.path("policy.yml"), QUICK).unwrap();
    daemon.done(&["policy", "apply", "policy.yml"]);
    let rest = format!("instances: {{min: 1, max: 3}}\n{}", metrics("worker_waiting"));
    let file = daemon.write_app("web", "1", &rest);
    daemon.done(&["app", "deploy", &file]);
    until("its load is known", || {
        let told = daemon.done(&["explain", "web"]);
        told.contains("told by 1 of 1 instances: 0 wait, 0 in work")
    });
    let port = daemon.json("/v1/instances?app=web")[0]["ports"][0].as_u64().unwrap();
    let crowd = Crowd::start(u16::try_from(port).unwrap(), 11);
    until("it grows", || wanted(&daemon) == 3);
    let told = daemon.done(&["explain", "web"]);
    assert!(told.contains("more tasks than the target allows for"), "{told}");
    crowd.end();
    until("it shrinks", || wanted(&daemon) == 1);
    let log = daemon.data().join("decisions.log");
    let replayed = daemon.done(&["policy", "replay", log.to_str().unwrap()]);
    assert!(
        replayed.contains("scaling") && replayed.contains(": 0 come out otherwise"),
        "{replayed}"
    );
    let (_, metrics) = daemon.get("/metrics");
    assert!(metrics.contains("\nscheduler_load_failed_total 0\n"), "{metrics}");
}

#[test]
fn an_app_whose_load_is_not_known_stays_as_it_is_and_says_why() {
    let daemon = Daemon::start(22_600, 1);
    let rest = format!("instances: {{min: 1, max: 3}}\n{}", metrics("nothing"));
    let file = daemon.write_app("web", "1", &rest);
    daemon.done(&["app", "deploy", &file]);
    until("it is told why", || {
        let told = daemon.done(&["explain", "web"]);
        told.contains(
            "load unknown, so it isn't scaled: 0 of 1 instances tell it; web.1: it has no series \
             `nothing`",
        ) && told.contains("not scaled: nobody has said what it has to do")
    });
    assert_eq!(wanted(&daemon), 1);
}

#[test]
fn a_policy_is_compared_applied_taken_back_and_tried() {
    let mut daemon = Daemon::start(22_700, 1);
    let told = |daemon: &Daemon, arguments: &[&str]| {
        let output = daemon.client(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text + &String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(told(&daemon, &["policy", "diff", "policy.yml"]), (0, "no difference\n".to_owned()));
    fs::write(daemon.path("new.yml"), QUICK.replace("step: 1", "step: 2")).unwrap();
    let (code, text) = told(&daemon, &["policy", "diff", "new.yml"]);
    assert_eq!(code, 7);
    let step = text.lines().find(|line| line.starts_with("rollout.step ")).unwrap();
    assert_eq!(step.split_ascii_whitespace().collect::<Vec<_>>(), ["rollout.step", "1", "2"]);
    assert!(text.contains("scaling.cool_down") && !text.contains("rollout.warm_up"), "{text}");
    fs::write(daemon.path("bad.yml"), "preset: recommended\nscaling: {targt: 4}\n").unwrap();
    let (code, text) = told(&daemon, &["policy", "apply", "bad.yml"]);
    assert_eq!((code, text.contains("did you mean `target`")), (3, true), "{text}");

    daemon.done(&["policy", "apply", "new.yml"]);
    let applied = daemon.done(&["policy", "apply", "new.yml"]);
    assert!(
        applied.starts_with("policy 2 (") && applied.ends_with("decides already\n"),
        "{applied}"
    );
    assert_eq!(told(&daemon, &["policy", "diff", "new.yml"]).0, 0);
    // The file that it is started with has not changed: what was applied goes on.
    assert_eq!(daemon.interrupt(), Some(0));
    daemon.run();
    assert_eq!(told(&daemon, &["policy", "diff", "new.yml"]).0, 0);
    let status = daemon.json("/v1/status")["policy"].clone();
    assert_eq!(status, daemon.json("/v1/policy")["digest"]);

    // The first one, beside the live one, would replace one at a time, not two.
    let started = daemon.done(&["policy", "shadow", "policy.yml", "--for", "10min"]);
    assert!(started.contains("0 decisions compared, 0 differ"), "{started}");
    let file = daemon.write_app("web", "1", "instances: 3\n");
    daemon.done(&["app", "deploy", &file]);
    daemon.done(&["app", "upgrade", "web", "--version", "2"]);
    let shadow: Value = daemon.json("/v1/policy")["shadow"].clone();
    assert!(shadow["different"].as_u64().unwrap() > 0, "{shadow}");
    let (compared, different) = (shadow["compared"].as_u64(), shadow["different"].as_u64());
    assert!(compared > different, "most decisions are the same: {shadow}");
    let text = daemon.done(&["policy", "shadow"]);
    assert!(text.contains(" rollout web: it was "), "{text}");
    let log = fs::read_to_string(daemon.data().join("shadow.log")).unwrap();
    assert!(log.starts_with("corral scheduler shadow 1\n") && log.lines().count() > 1, "{log}");
    daemon.done(&["policy", "shadow", "--stop"]);

    let back = daemon.done(&["policy", "rollback"]);
    assert!(back.starts_with("policy 3 ("), "{back}");
    assert_eq!(told(&daemon, &["policy", "diff", "policy.yml"]).0, 0);
    daemon.done(&["policy", "rollback", "--to", "2"]);
    let (code, text) = told(&daemon, &["policy", "rollback", "--to", "9"]);
    assert_eq!((code, text.contains("there is no policy 9")), (6, true), "{text}");
    let list = daemon.done(&["policy", "list"]);
    let causes: Vec<&str> =
        list.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(3)).collect();
    assert_eq!(causes, ["begun", "applied", "rolled-back", "rolled-back"], "{list}");
    let log = daemon.data().join("decisions.log");
    let replayed = daemon.done(&["policy", "replay", log.to_str().unwrap()]);
    assert!(replayed.contains("(3 policy, ") && replayed.contains(": 0 come out"), "{replayed}");
}
