//! Instances in Consul: the binary as daemon, against an agent in this process that can fail as a test
//! wants, and against a real agent if there is one (`CONSUL=FILE`, or `consul` in PATH).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod agent;
mod daemon;
mod real;

use std::collections::BTreeMap;

use agent::Agent;
use daemon::{Daemon, until};
use real::Consul;
use serde_json::Value;

fn start(first_port: u16, url: &str) -> Daemon {
    Daemon::start_with(first_port, 1, &["--consul", url])
}

/// Weights by id.
fn weights(services: &BTreeMap<String, Value>) -> BTreeMap<&str, u64> {
    let weight = |one: &Value| one["Weights"]["Passing"].as_u64().unwrap();
    services.iter().map(|(id, one)| (id.as_str(), weight(one))).collect()
}

#[test]
fn instances_come_into_consul_grow_survive_its_failures_and_leave_before_they_end() {
    let agent = Agent::start();
    agent.put(serde_json::json!({"ID": "other", "Name": "other", "Port": 1,
        "Weights": {"Passing": 1, "Warning": 1}}));
    let daemon = start(22_000, &agent.url());
    let file = daemon.write_app("web", "1.4", "instances: 2\nconsul: {tags: [blue]}\n");
    daemon.done(&["app", "deploy", &file]);
    let services = agent.services();
    let expected = BTreeMap::from([("other", 1), ("web.1", 1000), ("web.2", 1000)]);
    assert_eq!(weights(&services), expected);
    let web = &services["web.1"];
    assert_eq!((web["Name"].as_str(), &web["Tags"]), (Some("web"), &serde_json::json!(["blue"])));
    assert_eq!(web["Meta"]["version"], "1.4");
    let check = web["Check"]["HTTP"].as_str().unwrap();
    assert_eq!(check, format!("http://127.0.0.1:{}/health", web["Port"]));
    // The first weight of each was that of a cold one.
    let first: Vec<u64> = agent.registered("web.1");
    assert!(first[0] < 1000 && first.is_sorted() && first.last() == Some(&1000), "{first:?}");
    let why = daemon.done(&["explain", "web.1"]);
    let told = format!("in Consul at {} (service web, id web.1) with weight 1000", agent.url());
    assert!(why.contains(&told), "{why}");

    // The agent is started again and has lost everything, also what isn't ours.
    agent.forget();
    until("it is registered again", || {
        weights(&agent.services()) == BTreeMap::from([("web.1", 1000), ("web.2", 1000)])
    });

    // Nobody answers: starts go on, and what isn't registered is told.
    agent.is_away(true);
    daemon.done(&["app", "scale", "web", "3"]);
    until("one more waits for Consul", || {
        let state = daemon.json("/v1/consul");
        state["missing"][0]["instance"] == "web.3" && state["agents"][0]["agent"] == agent.url()
    });
    let why = daemon.done(&["explain", "web.3"]);
    assert!(why.contains("has been registering") && why.contains("not in Consul"), "{why}");
    let (_, metrics) = daemon.get("/metrics");
    for line in [
        "scheduler_consul_wanted 3",
        "scheduler_consul_missing 1",
        "scheduler_consul_repaired_total 2",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line}\n{metrics}");
    }
    agent.is_away(false);
    until("it is registered", || agent.services().contains_key("web.3"));
    until("nothing is missing", || daemon.json("/v1/consul")["missing"][0].is_null());

    daemon.done(&["app", "delete", "web"]);
    assert_eq!(weights(&agent.services()), BTreeMap::new());
}

#[test]
fn script_checks_need_acls_and_scripts() {
    let agent = Agent::start();
    let daemon = start(22_100, &agent.url());
    let rest = "instances: 1\nconsul: {check: script, command: [/bin/true]}\n";
    let file = daemon.write_app("web", "1", rest);
    let refused = |why: &str| {
        let output = daemon.client(&["app", "deploy", &file]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(6), "{told}");
        assert!(told.contains(why) && told.contains("hint: "), "{told}");
    };
    refused("Consul has no ACLs");
    agent.is_configured(true, false);
    refused("takes no script checks");
    agent.is_configured(true, true);
    daemon.done(&["app", "deploy", &file]);
    let args = &agent.services()["web.1"]["Check"]["Args"];
    assert_eq!(args, &serde_json::json!(["/bin/true"]));
}

#[test]
fn a_real_consul_answers_with_the_instances() {
    let Some(consul) = Consul::start(22_300) else {
        eprintln!("skipped: there is no consul; say CONSUL=FILE");
        return;
    };
    let daemon = start(22_200, &consul.url());
    let file = daemon.write_app("web", "1", "instances: 2\n");
    daemon.done(&["app", "deploy", &file]);
    until("all are found by DNS", || consul.srv("web").len() == 2);
    let found = consul.srv("web");
    let ports: Vec<u64> = daemon
        .json("/v1/instances?app=web")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ports"][0].as_u64().unwrap())
        .collect();
    let mut told: Vec<u64> = found.iter().map(|(port, _)| u64::from(*port)).collect();
    told.sort_unstable();
    assert_eq!(told, ports);
    assert!(found.iter().all(|(_, weight)| *weight == 1000), "{found:?}");
    // Of addresses, each is told once.
    assert_eq!(consul.addresses("web"), ["127.0.0.1"]);

    // Weights of an upgrade are seen on the way, and the old ones are gone before they end.
    daemon.done(&["app", "upgrade", "web", "--version", "2"]);
    let services = consul.services();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["web.3", "web.4"]);
    until("DNS has the new ones", || consul.srv("web").len() == 2);
    daemon.done(&["app", "delete", "web"]);
    until("nothing is found", || consul.srv("web").is_empty());
}
