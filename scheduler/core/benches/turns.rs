//! Launches a second through the whole core: 10,000 machines, 1,000 apps with 20 instances each, from
//! the deployment until all are registered, with a store that answers at once.

#![allow(missing_docs, reason = "criterion makes the functions")]

use std::collections::BTreeMap;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use policy::config::Policy;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Need, Run, Specification};
use scheduler_core::event::{Call, InstanceFact, MachineFact};
use scheduler_core::ids::{AppName, Epoch, MachineName, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, State, apply_all};

const MACHINES: u64 = 10_000;
const APPS: u64 = 1_000;
const INSTANCES: u32 = 20;

fn cluster() -> State {
    let mut state = State::new(Policy::recommended());
    let mut events = vec![Event::Leader { epoch: Epoch(1) }];
    for number in 0..MACHINES {
        let Ok(machine) = format!("machine-{number:05}").parse::<MachineName>() else { continue };
        let description = Description {
            millicores: 32_000,
            memory_mib: 131_072,
            ports: vec![(31_000, 31_999)],
            attributes: Arc::new(BTreeMap::from([(
                "rack".to_owned(),
                format!("r{}", number % 40),
            )])),
            disk_mib: None,
        };
        events.push(Event::Machine { machine, fact: MachineFact::Up(description) });
    }
    settle(&mut state, events);
    state
}

fn deployments() -> Vec<Event> {
    let deployment = |number: u64| {
        let app: AppName = format!("app-{number}").parse().ok()?;
        let specification = Arc::new(Specification {
            label: "1".to_owned(),
            run: Run::Command(vec!["work".to_owned()]),
            need: Need { millicores: 1000, memory_mib: 256, ports: 1 },
            environment: BTreeMap::new(),
            health_grace: Some(Nanoseconds::from_seconds(60)),
            kill_grace: Nanoseconds::from_seconds(10),
            warm_up: None,
            cool_down: None,
            constraints: Vec::new(),
            check: None,
            inner_ports: Vec::new(),
            discovery: scheduler_core::app::Discovery::default(),
            metrics: None,
            volumes: Vec::new(),
            reserves: scheduler_core::volume::Reserves::All,
        });
        let bounds = Bounds { min: INSTANCES, max: INSTANCES };
        let call = Call::Deploy { app, specification, bounds, step: None };
        Some(Event::Call { request: RequestId(number), call })
    };
    (0..APPS).filter_map(deployment).collect()
}

/// Gives the events, and whatever follows from what the core asks for; how many facts there were.
fn settle(state: &mut State, mut events: Vec<Event>) -> u64 {
    let now = Time(1_000_000_000);
    let mut facts = 0;
    while !events.is_empty() {
        let mut next = Vec::new();
        for command in apply_all(state, events, now) {
            let mut fact = |instance, machine, fact| {
                next.push(Event::Instance { instance, machine, at: now, fact });
            };
            match command {
                Command::Persist(write) => next.push(Event::Durable { write: write.number }),
                Command::Launch(launch) => {
                    let (instance, machine) = (launch.instance, launch.machine);
                    fact(instance.clone(), machine.clone(), InstanceFact::Running);
                    fact(instance, machine, InstanceFact::Healthy);
                }
                Command::Register { instance, machine, weight_thousandths, .. } => {
                    fact(instance, machine, InstanceFact::Registered { weight_thousandths });
                }
                _ => {}
            }
        }
        facts += next.len() as u64;
        events = next;
    }
    facts
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    group.sample_size(10);
    let empty = cluster();
    group.throughput(Throughput::Elements(APPS * u64::from(INSTANCES)));
    group.bench_function("deploy 20,000 instances in batches", |bencher| {
        bencher.iter(|| settle(&mut empty.clone(), deployments()));
    });
    group.bench_function("deploy 20,000 instances app by app", |bencher| {
        bencher.iter(|| {
            let mut state = empty.clone();
            deployments().into_iter().map(|event| settle(&mut state, vec![event])).sum::<u64>()
        });
    });
    let mut full = empty.clone();
    settle(&mut full, deployments());
    group.bench_function("a tick with 20,000 instances", |bencher| {
        bencher.iter(|| apply_all(&mut full, [Event::Tick], Time(1_000_000_001)));
    });
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
