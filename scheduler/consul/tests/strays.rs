//! Registrations at agents that nobody looks at.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use consul::{Node, Service, ServiceEntry};
use policy::{Nanoseconds, Time};
use scheduler_consul::service::OWNER_KEY;
use scheduler_consul::{Agents, LEAK_AFTER, Stray, Strays};

fn entry(address: &str, id: &str, owner: Option<&str>) -> ServiceEntry {
    let owner = owner.map(|owner| (OWNER_KEY.to_owned(), owner.to_owned()));
    let node = Node {
        name: "n".to_owned(),
        address: address.to_owned(),
        datacenter: "dc1".to_owned(),
        tagged_addresses: BTreeMap::new(),
        meta: BTreeMap::new(),
    };
    let service = Service {
        name: "web".to_owned(),
        id: id.to_owned(),
        tags: Vec::new(),
        meta: owner.into_iter().collect(),
        address: String::new(),
        port: 1,
    };
    ServiceEntry { node, service, checks: Vec::new() }
}

fn on_machines() -> Agents {
    Agents::OnMachines { scheme: "http".to_owned(), port: 8500 }
}

#[test]
fn only_ours_of_unknown_instances_are_strays() {
    let strays = Strays::new("us", on_machines());
    let entries = [
        entry("10.0.0.1", "web.1", Some("us")),
        entry("10.0.0.1", "web.2", Some("us")),
        entry("10.0.0.2", "web.2", Some("them")),
        entry("10.0.0.2", "web.3", None),
        entry("fd00::1", "old", Some("us")),
    ];
    let found = strays.among(&entries, &|id| id.number == 1);
    let stray = |agent: &str, id: &str| Stray { agent: agent.to_owned(), id: id.to_owned() };
    assert_eq!(
        found,
        [stray("http://10.0.0.1:8500", "web.2"), stray("http://[fd00::1]:8500", "old")]
    );
    // Where all machines have one agent, that one is looked at.
    let local = Strays::new("us", Agents::One("http://127.0.0.1:8500".to_owned()));
    assert_eq!(local.among(&entries, &|_| false), []);
}

#[test]
fn they_go_when_they_were_seen_for_a_while() {
    let mut strays = Strays::new("us", on_machines());
    let stray = |id: &str| Stray { agent: "http://10.0.0.1:8500".to_owned(), id: id.to_owned() };
    let set = |ids: &[&str]| ids.iter().map(|id| stray(id)).collect::<BTreeSet<_>>();
    let (begin, later) = (Time(1), Time(1) + LEAK_AFTER);
    assert_eq!(strays.found(&set(&["web.1", "web.2"]), begin), []);
    // One came back to its scheduler meanwhile, another was found just now.
    assert_eq!(strays.found(&set(&["web.1", "web.3"]), later), [stray("web.1")]);
    let second = later + Nanoseconds::from_seconds(1);
    assert_eq!(strays.found(&set(&["web.2"]), second), [], "it counts anew");
}
