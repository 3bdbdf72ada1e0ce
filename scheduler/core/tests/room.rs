//! What waits for a machine is placed when it is said that there may be room, not only with a tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::config::Policy;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Discovery, Need, Run, Specification};
use scheduler_core::event::{Call, MachineFact};
use scheduler_core::ids::{Epoch, RequestId};
use scheduler_core::instance::Life;
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, State, apply_all};

fn deploy() -> Event {
    let specification = Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["work".to_owned()]),
        need: Need { millicores: 1000, memory_mib: 256, ports: 0 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::from_seconds(1),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    };
    let call = Call::Deploy {
        app: "web".parse().unwrap(),
        specification: Arc::new(specification),
        bounds: Bounds { min: 3, max: 3 },
        step: None,
    };
    Event::Call { request: RequestId(1), call }
}

fn up(name: &str, cores: u32) -> Event {
    let (millicores, memory_mib) = (cores * 1000, 9999);
    let description = Description { millicores, memory_mib, ..Description::default() };
    Event::Machine { machine: name.parse().unwrap(), fact: MachineFact::Up(description) }
}

/// Gives events, and has writes durable at once.
fn give(state: &mut State, mut events: Vec<Event>) {
    while !events.is_empty() {
        let commands = apply_all(state, events, Time(1));
        let durable = |command: &Command| match command {
            Command::Persist(write) => Some(Event::Durable { write: write.number }),
            _ => None,
        };
        events = commands.iter().filter_map(durable).collect();
    }
}

fn waiting(state: &State) -> usize {
    let instances = state.apps().values().flat_map(|app| app.instances.values());
    instances.filter(|instance| instance.life == Life::Waiting).count()
}

#[test]
fn what_waits_is_placed_when_there_may_be_room() {
    let mut state = State::new(Policy::recommended());
    assert!(!state.has_waiting());
    give(&mut state, vec![Event::Leader { epoch: Epoch(1) }, up("m1", 1), deploy()]);
    assert_eq!((waiting(&state), state.has_waiting()), (2, true));
    // A machine alone is no reason to look at all apps.
    give(&mut state, vec![up("m2", 1)]);
    assert_eq!(waiting(&state), 2);
    give(&mut state, vec![Event::Room]);
    assert_eq!((waiting(&state), state.has_waiting()), (1, true));
    // A machine that has grown, told together with it.
    give(&mut state, vec![up("m2", 2), Event::Room]);
    assert_eq!((waiting(&state), state.has_waiting()), (0, false));
    let delete = Call::Delete { app: "web".parse().unwrap(), keeps_volumes: false };
    give(&mut state, vec![Event::Call { request: RequestId(2), call: delete }, Event::Room]);
    assert!(!state.has_waiting());
}
