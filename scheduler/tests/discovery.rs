//! Where an app of 2,000 instances is found, followed on a simulated Mesos: everything, then what
//! changes; gone on with by number; and anew, when a new daemon doesn't know the number.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod crowd;
mod daemon;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};

use crowd::Cluster;
use daemon::{Daemon, until};
use serde_json::Value;

const INSTANCES: usize = 2_000;

/// Someone who follows, and knows only what was told.
struct Follower {
    lines: Box<dyn BufRead>,
    /// Weights of what is found.
    found: BTreeMap<String, u64>,
    number: u64,
    /// Events by kind.
    heard: BTreeMap<String, usize>,
}

impl Follower {
    fn since(daemon: &Daemon, number: u64, found: BTreeMap<String, u64>) -> Self {
        let url = format!("http://{}/v1/discovery/web?since={number}", daemon.address());
        let body: Box<dyn Read> =
            Box::new(ureq::get(url).call().unwrap().into_body().into_reader());
        Follower { lines: Box::new(BufReader::new(body)), found, number, heard: BTreeMap::new() }
    }

    /// Takes the next event.
    fn hear(&mut self) {
        let (mut kind, mut data) = (String::new(), Value::Null);
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream has ended");
            let line = line.trim_end();
            if line.is_empty() && data != Value::Null {
                break;
            }
            match line.split_once(": ") {
                Some(("event", name)) => kind = name.to_owned(),
                Some(("id", number)) => self.number = number.parse().unwrap(),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                _ => {}
            }
        }
        let name = |value: &Value| value["instance"].as_str().unwrap().to_owned();
        let weight = |value: &Value| value["weight_thousandths"].as_u64().unwrap();
        match kind.as_str() {
            "snapshot" => {
                if data["part"] == 1 {
                    self.found.clear();
                }
                for one in data["instances"].as_array().unwrap() {
                    assert!(one["address"].as_str().unwrap().starts_with("127.1."), "{one}");
                    assert_eq!(one["ports"].as_array().unwrap().len(), 1);
                    self.found.insert(name(one), weight(one));
                }
            }
            "added" | "weight" => drop(self.found.insert(name(&data), weight(&data))),
            "removed" => drop(self.found.remove(&name(&data))),
            _ => panic!("{kind}"),
        }
        *self.heard.entry(kind).or_default() += 1;
    }

    fn hear_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            self.hear();
        }
    }

    fn heard(&self, kind: &str) -> usize {
        self.heard.get(kind).copied().unwrap_or(0)
    }
}

/// What the daemon says now.
fn found(daemon: &Daemon) -> BTreeMap<String, u64> {
    let rows = daemon.json("/v1/discovery/web");
    let row = |one: &Value| {
        let name = one["instance"].as_str().unwrap().to_owned();
        (name, one["weight_thousandths"].as_u64().unwrap())
    };
    rows.as_array().unwrap().iter().map(row).collect()
}

fn app(daemon: &Daemon, instances: usize) -> String {
    let text = format!(
        "app: web\nversion: \"1\"\ncommand: [/bin/worker]\ninstances: {instances}\nwarm_up: 0s\n\
         cool_down: 0s\nneeds: {{cores: 0.1, memory: 16MiB, ports: 1}}\n"
    );
    fs::write(daemon.path("app.yml"), text).unwrap();
    "app.yml".to_owned()
}

#[test]
fn two_thousand_instances_are_followed() {
    let cluster = Cluster::start(100);
    let mut daemon = Daemon::with(&["--master", cluster.address()]);
    assert_eq!(daemon.get("/v1/discovery/web?since=0").0, 404);
    let file = app(&daemon, INSTANCES);
    daemon.done(&["app", "deploy", &file, "--detach"]);
    let mut early = Follower::since(&daemon, 0, BTreeMap::new());
    early.hear_until(|one| one.found.len() == INSTANCES);
    assert!(early.heard("snapshot") >= 1 && early.heard("added") > 0, "{:?}", early.heard);
    assert_eq!(early.found, found(&daemon));

    // Everything comes in parts, and only the last one has a number.
    let mut late = Follower::since(&daemon, 0, BTreeMap::new());
    late.hear();
    assert_eq!((late.found.len(), late.number), (1_000, 0));
    late.hear();
    assert_eq!((late.found.len(), late.number), (INSTANCES, early.number));

    // Who was away hears only of what changed.
    let away = (early.number, early.found.clone());
    drop(early);
    daemon.done(&["app", "scale", "web", "1990"]);
    late.hear_until(|one| one.found.len() == 1990);
    let mut again = Follower::since(&daemon, away.0, away.1);
    again.hear_until(|one| one.found.len() == 1990);
    assert_eq!((again.heard("removed"), again.heard.len()), (10, 1), "{:?}", again.heard);
    assert_eq!(again.found, late.found);
    until("that is all", || found(&daemon) == again.found);

    // A new daemon doesn't know what was between.
    daemon.kill();
    daemon.run();
    let mut anew = Follower::since(&daemon, again.number, again.found.clone());
    anew.hear_until(|one| one.heard("snapshot") == 2);
    assert_eq!(anew.found, again.found);
    assert!(anew.number > again.number, "{} {}", anew.number, again.number);

    let table = daemon.done(&["discovery", "web"]);
    assert_eq!(table.lines().count(), 1991, "a heading, and a line for each");
}
