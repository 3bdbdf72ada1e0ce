//! What the next leader knows of the one before it, how clients find it, and what becomes of schedulers
//! while Consul is away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cluster;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cluster::{Cluster, LEADER, PATIENCE, Scheduler, file, shown};
use serde_json::Value;

const INSTANCES: usize = 2;

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The leader is killed, and is held to be dead at once.
fn killed(cluster: &Cluster, schedulers: &mut Vec<Scheduler>) {
    let place = schedulers.iter().position(Scheduler::leads).unwrap();
    drop(schedulers.swap_remove(place));
    cluster.consul.end_holder(LEADER);
    cluster.until("another one leads", || schedulers.iter().any(Scheduler::leads));
}

/// A request with the daemon's token and a key; the whole answer.
fn post(leader: &Scheduler, path: &str, body: &str, key: &str) -> String {
    let file = fs::read(leader.folder.join("daemon.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let (address, token) = (file["address"].as_str().unwrap(), file["token"].as_str().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// All events after a number, as lines of JSON.
fn events(scheduler: &Scheduler, after: u64) -> (Vec<Value>, String) {
    let after = after.to_string();
    let output = scheduler.client(&["events", "--after", &after, "--output", "json"]);
    let (code, text, said) = told(&output);
    assert_eq!(code, Some(0), "{said}");
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

#[test]
fn the_next_leader_knows_events_policies_decisions_and_answers() {
    let cluster = Cluster::start();
    let mut schedulers: Vec<Scheduler> =
        ["a", "b", "c"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    let file = file(&cluster, "web", 1, INSTANCES);
    let leader = schedulers.iter().find(|one| one.leads()).unwrap();
    // Numbers of a first leader begin late; who asks for all of them isn't kept waiting.
    let (first, _) = events(leader, 0);
    assert!(first.iter().all(|one| one["number"].as_u64() > Some(10_000_000_000)), "{first:?}");
    let (code, _, said) = told(&leader.client(&["app", "deploy", &file]));
    assert_eq!(code, Some(0), "{said}");
    let applied = cluster.folder.path().join("applied.yml");
    fs::write(&applied, format!("{}queue: {{counts: in_system}}\n", cluster::POLICY)).unwrap();
    let applied = applied.display().to_string();
    let (code, _, said) = told(&leader.client(&["policy", "apply", &applied]));
    assert_eq!(code, Some(0), "{said}");
    let scale = ("/v1/apps/web/scale", "{\"instances\": 3}", "key-1");
    let first = post(leader, scale.0, scale.1, scale.2);
    assert!(first.contains("\"wanted\":3") && !first.contains("idempotency-replayed"), "{first}");
    cluster.until("three serve", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == 3)
    });
    let leader = schedulers.iter().find(|one| one.leads()).unwrap();
    let (before, _) = events(leader, 0);
    let last = before.last().unwrap()["number"].as_u64().unwrap();
    let live = told(&leader.client(&["policy", "list"])).1;
    assert!(live.contains("applied"), "{live}");

    killed(&cluster, &mut schedulers);
    let leader = schedulers.iter().find(|one| one.leads()).unwrap();
    // The same key does nothing again.
    let again = post(leader, scale.0, scale.1, scale.2);
    assert!(again.contains("\"wanted\":3") && again.contains("idempotency-replayed"), "{again}");
    let other = post(leader, scale.0, "{\"instances\": 2}", scale.2);
    assert!(other.contains("key-of-another"), "{other}");
    let number = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect();
    let rows = |text: &str| text.lines().map(number).collect::<Vec<Vec<String>>>();
    let now = told(&leader.client(&["policy", "list"])).1;
    assert_eq!(rows(&now), rows(&live), "the policies are the same");

    // Who has seen half of the events sees the other half, and goes on, without a gap.
    let seen = before[before.len() / 2]["number"].as_u64().unwrap();
    let (rest, said) = events(leader, seen);
    assert!(!said.contains("not kept"), "{said}");
    let expected: Vec<&Value> =
        before.iter().filter(|one| one["number"].as_u64() > Some(seen)).collect();
    assert!(rest.len() >= expected.len(), "{rest:?}");
    assert!(rest.iter().zip(&expected).all(|(one, other)| one == *other), "{rest:?} {expected:?}");
    let scaled = post(leader, scale.0, "{\"instances\": 2}", "key-2");
    assert!(scaled.contains("\"wanted\":2"), "{scaled}");
    cluster.until("two serve", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == 2)
    });
    let leader = schedulers.iter().find(|one| one.leads()).unwrap();
    let (after, _) = events(leader, last);
    let first = after.first().unwrap()["number"].as_u64().unwrap();
    assert_eq!(first, last + 1, "numbers go on");

    // Its decision log has what the earlier leader decided, and all of it comes out the same.
    let log = leader.folder.join("decisions.log");
    let lines = fs::read_to_string(&log).unwrap().lines().count();
    let (code, text, said) =
        told(&leader.client(&["policy", "replay", &log.display().to_string()]));
    assert_eq!(code, Some(0), "{text}{said}");
    assert!(lines > 2 && text.contains("1 policy") && text.contains("rollout"), "{text}");
    let (path, body, key) = ("/v1/policy/rollback", "{}", "key-3");
    let back = post(leader, path, body, key);
    assert!(back.contains("\"is_changed\":true") && !back.contains("replayed"), "{back}");
    let (_, told_first) = back.split_once("\r\n\r\n").unwrap();

    killed(&cluster, &mut schedulers);
    let leader = schedulers.iter().find(|one| one.leads()).unwrap();
    // Once more would go back from where it went back to.
    let again = post(leader, path, body, key);
    assert!(again.contains("idempotency-replayed") && again.contains(told_first), "{again}");
    for (body, key) in [("{\"instances\": 3}", "key-1"), ("{\"instances\": 2}", "key-2")] {
        let again = post(leader, scale.0, body, key);
        assert!(again.contains("idempotency-replayed"), "{again}");
    }
    let machines = cluster.machines.lock().unwrap();
    assert!(machines.starts.values().all(|count| *count == 1), "{:?}", machines.starts);
}

#[test]
fn a_scheduler_waits_for_consul_and_outlives_its_absence() {
    let cluster = Cluster::start();
    cluster.consul.set_away(true);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let scheduler = Scheduler::start_at(&cluster, "a", &address, &[]);
    let ready = || cluster::get(&address, "/readyz");
    cluster.until("it says that it waits", || {
        ready().is_some_and(|(status, text)| status == 503 && text.contains("waits for Consul"))
    });
    assert_eq!(cluster::get(&address, "/healthz").unwrap().0, 200);
    assert!(scheduler.address().is_none(), "clients aren't told of it yet");
    cluster.consul.set_away(false);
    cluster.until("it leads", || scheduler.leads());
    let schedulers = [scheduler];
    let file = file(&cluster, "web", 1, INSTANCES);
    let (code, _, said) = told(&schedulers[0].client(&["app", "deploy", &file]));
    assert_eq!(code, Some(0), "{said}");

    cluster.consul.set_away(true);
    let scale = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(["app", "scale", "web", "4"])
        .env("SCHEDULER_DATA", &schedulers[0].folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    cluster.until("it leads no more", || {
        ready().is_some_and(|(status, text)| status == 503 && text.contains("waits for Consul"))
    });
    let (code, _, said) = told(&scale.wait_with_output().unwrap());
    assert_eq!(code, Some(30), "{said}");
    // Nothing was decided without being stored.
    assert_eq!(cluster.machines.lock().unwrap().starts.len(), INSTANCES);
    assert_eq!(cluster.versions("web").len(), INSTANCES, "what runs goes on");
    // Its session ends there meanwhile.
    cluster.consul.end_holder(LEADER);
    cluster.consul.set_away(false);
    cluster.until("it leads again", || schedulers[0].leads());
    cluster.until("it knows what runs", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == INSTANCES)
    });
    let (code, _, said) = told(&schedulers[0].client(&["app", "scale", "web", "3"]));
    assert_eq!(code, Some(0), "{said}");
    cluster.until("three run", || cluster.versions("web").len() == 3);
    assert_eq!(cluster.machines.lock().unwrap().starts.len(), 3);
}

#[test]
fn a_snapshot_is_put_back_into_consul_when_nobody_leads() {
    let cluster = Cluster::start();
    let mut schedulers = vec![Scheduler::start(&cluster, "a")];
    cluster.until("it leads", || schedulers[0].leads());
    let snapshot = cluster.folder.path().join("snapshot").display().to_string();
    let web = file(&cluster, "web", 1, INSTANCES);
    assert_eq!(told(&schedulers[0].client(&["app", "deploy", &web])).0, Some(0));
    let (code, text, said) = told(&schedulers[0].client(&["snapshot", "save", &snapshot]));
    assert_eq!(code, Some(0), "{text}{said}");
    let other = file(&cluster, "other", 1, 1);
    assert_eq!(told(&schedulers[0].client(&["app", "deploy", &other])).0, Some(0));

    let restore = |more: &[&str]| {
        let url = cluster.consul_url.as_str();
        let arguments = [&["snapshot", "restore", &snapshot, "--consul", url], more].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        told(&command.args(arguments).env_remove("CONSUL_HTTP_TOKEN").output().unwrap())
    };
    let (code, _, said) = restore(&["--yes"]);
    assert_eq!(code, Some(6), "{said}");
    assert!(
        said.contains("leads at http://") && said.contains("end all schedulers first"),
        "{said}"
    );
    assert_eq!(schedulers[0].interrupt(), Some(0));
    let (code, _, said) = restore(&[]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("records are in Consul below corral/scheduler/"), "{said}");
    let (code, text, said) = restore(&["--yes"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text.contains("records put back"), "{text}");

    schedulers[0] = Scheduler::start(&cluster, "b");
    cluster.until("one leads", || schedulers[0].leads());
    cluster.until("what ran is known", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == INSTANCES)
    });
    // What runs of it is found by the reconciliation of a minute, and ended.
    assert!(shown(&schedulers, "other").is_none(), "it came after the snapshot");
}

/// A certificate for the loopback, that vouches for itself.
fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("server.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("server.key"), made.signing_key.serialize_pem()).unwrap();
}

/// A port that nobody has just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn clients_elsewhere_find_the_leader_through_tls() {
    let cluster = Cluster::start();
    let folder = cluster.folder.path().to_owned();
    certificate(&folder);
    let tokens = folder.join("tokens").display().to_string();
    let mut token = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    let made = token.args(["token", "new", "tester", "--role", "operate", "--tokens", &tokens]);
    let (code, token, said) = told(&made.output().unwrap());
    assert_eq!(code, Some(0), "{said}");
    let path = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (path("server.pem"), path("server.key"));
    let (mut schedulers, mut urls) = (Vec::new(), Vec::new());
    for name in ["a", "b"] {
        let port = free_port();
        let (listen, url) = (format!("127.0.0.1:{port}"), format!("https://localhost:{port}"));
        let tls = ["--listen-tls", &listen, "--tls-cert", &certificate, "--tls-key", &key];
        let more = [&tls[..], &["--tokens", &tokens, "--advertise", &url]].concat();
        schedulers.push(Scheduler::start_with(&cluster, name, &more));
        urls.push(url);
    }
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    cluster.until("the other follows", || {
        let follows = |one: &&Scheduler| {
            one.get("/readyz")
                .is_some_and(|(_, text)| text.contains(" leads at https://localhost:"))
        };
        schedulers.iter().filter(follows).count() == 1
    });
    let ask = |servers: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scheduler"));
        command.args(arguments).args(["--ca", &certificate]).env_remove("SCHEDULER_DATA");
        command.env("SCHEDULER_TOKEN", token.trim()).env("SCHEDULER_SERVER", servers);
        told(&command.output().unwrap())
    };
    let web = file(&cluster, "web", 1, INSTANCES);
    let place = schedulers.iter().position(Scheduler::leads).unwrap();
    // Whoever is asked: a follower sends on, through TLS, and the token goes with it.
    let (code, _, said) = ask(&urls[1 - place], &["app", "deploy", &web]);
    assert_eq!(code, Some(0), "{said}");
    let both = format!("{},{}", urls[place], urls[1 - place]);
    // A client of a folder, which has the token of all, is sent on in the same way.
    let follower = &schedulers[1 - place];
    let mut here = Command::new(env!("CARGO_BIN_EXE_scheduler"));
    here.args(["app", "list", "--ca", &certificate]).env("SCHEDULER_DATA", &follower.folder);
    let (code, text, said) = told(&here.output().unwrap());
    assert!(code == Some(0) && text.contains("web"), "{text}{said}");

    killed(&cluster, &mut schedulers);
    let (code, text, said) = ask(&both, &["app", "list"]);
    assert!(code == Some(0) && text.contains("web"), "{text}{said}");
    let (code, _, said) = ask(&both, &["app", "scale", "web", "1"]);
    assert_eq!(code, Some(0), "{said}");
    schedulers.clear();
    let (code, _, said) = ask(&both, &["app", "list"]);
    assert_eq!(code, Some(30), "{said}");
    assert!(said.contains("none of 2 schedulers answers"), "{said}");
    for url in &urls {
        assert!(said.contains(&format!("{url}: ")), "{said}");
    }
    let (code, _, said) = ask("https://localhost:1,http://localhost:2", &["app", "list"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`http://localhost:2` is no address"), "{said}");
}

#[test]
fn a_policy_that_is_not_kept_is_not_live() {
    let cluster = Cluster::start();
    let schedulers = [Scheduler::start(&cluster, "a")];
    cluster.until("it leads", || schedulers[0].leads());
    let applied = cluster.folder.path().join("applied.yml");
    fs::write(&applied, format!("{}queue: {{counts: in_system}}\n", cluster::POLICY)).unwrap();
    let applied = applied.display().to_string();
    let is_policy = |keys: &[&str]| keys.iter().any(|key| key.contains("/log/"));
    cluster.consul.set_gate(move |keys, _| !is_policy(keys));
    let told_of = told(&schedulers[0].client(&["policy", "apply", &applied]));
    assert_ne!(told_of.0, Some(0), "{told_of:?}");
    std::thread::sleep(Duration::from_millis(100));
    cluster.consul.open_gate();
    cluster.until("it leads still", || schedulers[0].leads());
    let live = told(&schedulers[0].client(&["policy", "list"])).1;
    assert!(!live.contains("applied"), "{live}");
    cluster.until("it is kept at another attempt", || {
        schedulers[0].client(&["policy", "apply", &applied]).status.success()
    });
    let live = told(&schedulers[0].client(&["policy", "list"])).1;
    assert!(live.contains("applied"), "{live}");
}
