//! Machines that are known from records, and that nobody has heard of since.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Discovery, Need, Run, Specification};
use scheduler_core::command::{Command, Key, Write};
use scheduler_core::event::{Call, Event, InstanceFact, MachineFact};
use scheduler_core::ids::{Epoch, MachineName, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::{State, apply};

fn machine(name: &str) -> MachineName {
    name.parse().unwrap()
}

fn description() -> Description {
    Description { millicores: 1_000, memory_mib: 1_000, ..Description::default() }
}

/// A core with a store that works.
struct Bench {
    state: State,
    now: Time,
    written: Vec<Write>,
}

impl Bench {
    fn give(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in apply(&mut self.state, event, self.now) {
                match command {
                    Command::Persist(write) => {
                        events.push(Event::Durable { write: write.number });
                        self.written.push(write);
                    }
                    Command::Launch(launch) => {
                        let (instance, machine, at) = (launch.instance, launch.machine, self.now);
                        let fact = InstanceFact::Healthy;
                        events.push(Event::Instance { instance, machine, at, fact });
                    }
                    _ => {}
                }
            }
        }
    }

    fn machine(&mut self, name: &str, fact: MachineFact) {
        self.give(Event::Machine { machine: machine(name), fact });
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Nanoseconds::from_seconds(1);
            self.give(Event::Tick);
        }
    }
}

/// One instance on each of three machines, and two machines without any, one of them drained.
fn bench() -> Bench {
    let state = State::new(policy::config::Policy::recommended());
    let mut bench = Bench { state, now: Time(1_000_000_000_000), written: Vec::new() };
    bench.give(Event::Leader { epoch: Epoch(1) });
    for name in ["m1", "m2", "m3"] {
        bench.machine(name, MachineFact::Up(description()));
    }
    let specification = Arc::new(Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["x".to_owned()]),
        need: Need { millicores: 500, memory_mib: 100, ports: 0 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::ZERO,
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    });
    let (app, bounds) = ("web".parse().unwrap(), Bounds { min: 3, max: 3 });
    let call = Call::Deploy { app, specification, bounds, step: None };
    bench.give(Event::Call { request: RequestId(1), call });
    for name in ["bare", "drained"] {
        bench.machine(name, MachineFact::Up(description()));
    }
    let call = Call::Drain { machine: machine("drained") };
    bench.give(Event::Call { request: RequestId(2), call });
    bench
}

#[test]
fn one_with_instances_is_silent_and_they_are_replaced() {
    let mut bench = bench();
    let on = |bench: &Bench, name: &str| bench.state.machines()[&machine(name)].instances.len();
    assert_eq!(on(&bench, "m1"), 1);
    bench.machine("m1", MachineFact::Unheard);
    assert!(bench.state.machines()[&machine("m1")].silent_since.is_some());
    // The policy waits two minutes.
    bench.pass(110);
    assert_eq!(bench.state.apps().values().next().unwrap().instances.len(), 3);
    bench.pass(60);
    let app = bench.state.apps().values().next().unwrap();
    assert_eq!(app.instances.values().filter(|one| one.is_replaced).count(), 1);
    assert_eq!(app.instances.len(), 4, "another one is in its place");
    bench.machine("m1", MachineFact::Up(description()));
    assert!(
        bench.state.machines()[&machine("m1")].silent_since.is_none(),
        "it came back after all"
    );
}

#[test]
fn one_without_instances_is_forgotten_and_says_nothing_of_the_others() {
    let mut bench = bench();
    bench.written.clear();
    bench.machine("bare", MachineFact::Unheard);
    assert!(!bench.state.machines().contains_key(&machine("bare")));
    let gone = (Key::Machine(machine("bare")), None);
    assert!(
        bench.written.iter().any(|write| write.changes.contains(&gone)),
        "and from the records"
    );
    // What a user has said of a machine isn't lost with it.
    bench.machine("drained", MachineFact::Unheard);
    let drained = &bench.state.machines()[&machine("drained")];
    assert!(drained.is_draining && drained.silent_since.is_some());
    bench.machine("never-known", MachineFact::Unheard);
    bench.machine("bare", MachineFact::Up(description()));
    assert!(bench.state.machines()[&machine("bare")].is_open());
}
