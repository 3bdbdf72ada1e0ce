//! The definitions of our own roles are good ones, and say what they are meant to say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diagnostics::{Sources, Style, render_all};
use provision_lifecycle::{
    Containers, Definition, Joins, Kind, Leaves, Transition, Verdict, Version, judge,
    read_definition,
};

fn read(name: &str, text: &str) -> Definition {
    let mut sources = Sources::default();
    match read_definition(name, text, &mut sources) {
        Ok(definition) => definition,
        Err(found) => panic!("{}", render_all(&found, &sources, Style::Plain)),
    }
}

fn ask(definition: &Definition, from: &str, to: &str) -> Verdict {
    let rules: Vec<Transition> =
        definition.transitions.iter().map(|rule| rule.value.clone()).collect();
    judge(&rules, &Version::parse(from).unwrap(), &Version::parse(to).unwrap())
}

fn refusal(definition: &Definition, from: &str, to: &str) -> String {
    match ask(definition, from, to) {
        Verdict::Refused(reason) => reason,
        Verdict::Allowed(_) => panic!("{from} to {to} is allowed"),
    }
}

#[test]
fn zookeeper() {
    let text = include_str!("../../../playbooks/roles/zookeeper/component.yml");
    let definition = read("zookeeper", text);
    assert_eq!(definition.kind.value, Kind::Quorum);
    let members = definition.members.as_ref().unwrap();
    assert_eq!((members.joins, members.leaves), (Joins::ByRequest, Leaves::ThroughAnother));
    let allowed = Verdict::Allowed(Containers::Keep);
    for (from, to) in [("3.8.0", "3.9.3"), ("3.9.3", "3.8.0"), ("3.9.6", "3.9.3")] {
        assert_eq!(ask(&definition, from, to), allowed, "{from} to {to}");
    }
    assert!(refusal(&definition, "3.9.3", "3.4.13").contains("container and TTL nodes"));
    assert!(refusal(&definition, "3.4.13", "3.9.3").contains("no snapshot yet"));
    assert!(refusal(&definition, "3.6.0", "3.9.3").contains("not tried"));
}

#[test]
fn consul() {
    let definition = read("consul", include_str!("../../../playbooks/roles/consul/component.yml"));
    assert_eq!(definition.followers.as_ref().unwrap().value, "consul_agents");
    assert_eq!(ask(&definition, "1.8.7", "1.8.19"), Verdict::Allowed(Containers::Keep));
    assert!(refusal(&definition, "1.9.0", "1.8.7").contains("log of raft"));
}

#[test]
fn docker() {
    let definition = read("docker", include_str!("../../../playbooks/roles/docker/component.yml"));
    assert_eq!(definition.kind.value, Kind::Daemon);
    assert!(definition.members.is_some());
    for (from, to) in [("20.10.24", "26.1.5"), ("26.1.5", "20.10.24"), ("26.1.4", "26.1.5")] {
        assert_eq!(ask(&definition, from, to), Verdict::Allowed(Containers::Keep), "{from} {to}");
    }
    assert_eq!(ask(&definition, "20.10.23", "26.1.5"), Verdict::Allowed(Containers::Drain));
    assert!(refusal(&definition, "26.1.4", "20.10.24").contains("data of a newer one"));
}

#[test]
fn a_service() {
    let text = include_str!("../../../playbooks/roles/service/component.yml");
    let shared = read("service", text);
    assert!(shared.is_shared());
    let one = shared.of_one("web", "front");
    assert!(!one.is_shared());
    assert_eq!((one.name.value.as_str(), one.group.value.as_str()), ("web", "front"));
    assert_eq!((one.unit.as_str(), one.artifact()), ("web.service", "web"));
    assert_eq!(one.release.wanted.value, "releases.web");
    assert_eq!(ask(&one, "2.0.0", "1.0.0"), Verdict::Allowed(Containers::Keep));
}

#[test]
fn mesos() {
    let text = include_str!("../../../playbooks/roles/mesos_master/component.yml");
    let masters = read("mesos-master", text);
    assert_eq!(masters.kind.value, Kind::Quorum);
    let text = include_str!("../../../playbooks/roles/mesos_agent/component.yml");
    let agents = read("mesos-agent", text);
    assert_eq!(agents.kind.value, Kind::Daemon);
    for definition in [&masters, &agents] {
        assert_eq!(definition.artifact(), "mesos");
        for (from, to) in [("1.4.0", "1.11.0"), ("1.11.0", "1.4.0"), ("1.11.0", "1.11.1")] {
            assert_eq!(ask(definition, from, to), Verdict::Allowed(Containers::Keep));
        }
        assert!(refusal(definition, "0.28.3", "1.11.0").contains("only releases of 1.x"));
    }
}

#[test]
fn schedulers() {
    let text = include_str!("../../../playbooks/roles/scheduler/component.yml");
    let definition = read("scheduler", text);
    assert_eq!((definition.kind.value, definition.artifact()), (Kind::Quorum, "scheduler"));
    assert!(definition.order.after.iter().any(|name| name == "consul"));
    assert_eq!(ask(&definition, "0.1.0", "0.1.1"), Verdict::Allowed(Containers::Keep));
    assert_eq!(ask(&definition, "0.1.1", "0.1.0"), Verdict::Allowed(Containers::Keep));
    assert!(refusal(&definition, "0.1.0", "0.2.0").contains("not tried"));
}
