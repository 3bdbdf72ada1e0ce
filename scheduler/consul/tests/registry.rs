//! The registry beside a core: what it asks of agents that lose calls, answers, and all they have.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use consul::Status;
use consul::agent::{AgentService, AgentServices, Registration};
use policy::config::Policy;
use policy::{Nanoseconds, Time};
use proptest::prelude::*;
use scheduler_consul::{
    AUDIT_EVERY, Agents, Call, Fault, GIVE_UP_AFTER, LEAK_AFTER, Registry, Step, Told,
};
use scheduler_core::app::{
    Bounds, Check, Discovery, DiscoveryCheck, Need, Probe, Run, Specification,
};
use scheduler_core::event::{Call as UserCall, InstanceFact, MachineFact};
use scheduler_core::ids::{Epoch, InstanceId, MachineName, RequestId};
use scheduler_core::instance::Life;
use scheduler_core::machine::Description;
use scheduler_core::{Command, Event, State, apply};

fn seconds(count: u64) -> Nanoseconds {
    Nanoseconds::from_seconds(count)
}

/// A core, the registry, agents, and the commands between them. Writes are durable at once.
struct World {
    now: Time,
    core: State,
    registry: Registry,
    agents: BTreeMap<String, AgentServices>,
    /// The agent answers nothing.
    is_away: bool,
    reports: Vec<(String, Status)>,
    told: Vec<Told>,
}

const ONE: &str = "http://agent";

impl World {
    fn new(specification: Specification, instances: u32) -> Self {
        let mut policy = Policy::recommended();
        policy.rollout.warm_up = seconds(10);
        policy.rollout.cool_down = seconds(2);
        let mut world = World {
            now: Time(1_000_000_000_000),
            core: State::new(policy),
            registry: Registry::new("us", Agents::One(ONE.to_owned())),
            agents: BTreeMap::from([(ONE.to_owned(), AgentServices::new())]),
            is_away: false,
            reports: Vec::new(),
            told: Vec::new(),
        };
        let description = Description {
            millicores: 9_000,
            memory_mib: 9_000,
            ports: vec![(31_000, 31_099)],
            attributes: Arc::default(),
            disk_mib: None,
        };
        world.event(Event::Leader { epoch: Epoch(1) });
        world.event(Event::Machine { machine: machine(), fact: MachineFact::Up(description) });
        let bounds = Bounds { min: instances, max: instances };
        world.call(UserCall::Deploy {
            app: "web".parse().unwrap(),
            specification: Arc::new(specification),
            bounds,
            step: None,
        });
        world
    }

    fn call(&mut self, call: UserCall) {
        self.event(Event::Call { request: RequestId(1), call });
    }

    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in apply(&mut self.core, event, self.now) {
                match command {
                    Command::Persist(write) => {
                        events.insert(0, Event::Durable { write: write.number });
                    }
                    Command::Launch(launch) => {
                        let (instance, machine, at) = (launch.instance, launch.machine, self.now);
                        let fact = InstanceFact::Healthy;
                        events.insert(0, Event::Instance { instance, machine, at, fact });
                    }
                    Command::Kill { instance, machine, .. } => {
                        let (at, fact) = (self.now, InstanceFact::Unknown);
                        events.insert(0, Event::Instance { instance, machine, at, fact });
                    }
                    Command::Register { instance, machine, weight_thousandths, .. } => {
                        let weight = weight_thousandths;
                        self.registry.register(&self.core, &instance, &machine, weight, self.now);
                    }
                    Command::Deregister { instance, machine, .. } => {
                        self.registry.deregister(&instance, &machine, self.now);
                    }
                    _ => {}
                }
            }
        }
    }

    /// A second passes. `loses` says which calls of the round are lost.
    fn second(&mut self, loses: &mut dyn FnMut() -> bool) {
        self.now = self.now + seconds(1);
        self.event(Event::Tick);
        self.registry.compare(&self.core, self.now);
        for address in self.registry.due(10, self.now) {
            if self.is_away || loses() {
                let fault = Fault { why: "nobody answers".to_owned(), is_whole: true };
                self.registry.ended(&address, Err(&fault), self.now);
                continue;
            }
            let found = self.agents[&address].clone();
            let Step { calls, reports, told } = self.registry.listed(&address, &found, self.now);
            self.told.extend(told);
            let mut outcome = Ok(());
            for call in calls {
                let is_lost = loses();
                // What is lost on the way back was done.
                if !is_lost || loses() {
                    self.carry_out(&address, &call);
                }
                let fault = Fault { why: "no answer in time".to_owned(), is_whole: true };
                let answer = if is_lost { Err(&fault) } else { Ok(()) };
                let told = self.registry.called(&address, &call, answer, self.now);
                self.told.extend(told);
                if is_lost {
                    outcome = Err(fault);
                    break;
                }
            }
            self.reports.extend(reports.into_iter().map(|(id, status, _)| (id, status)));
            self.registry.ended(&address, outcome.as_ref().copied(), self.now);
        }
        let given_up = self.registry.give_up(self.now);
        self.told.extend(given_up);
        for told in std::mem::take(&mut self.told) {
            let (instance, machine, fact) = match told {
                Told::Registered(instance, machine, weight_thousandths) => {
                    (instance, machine, InstanceFact::Registered { weight_thousandths })
                }
                Told::Deregistered(instance, machine) => {
                    (instance, machine, InstanceFact::Deregistered)
                }
            };
            self.event(Event::Instance { instance, machine, at: self.now, fact });
        }
    }

    fn seconds(&mut self, count: u64) {
        for _ in 0..count {
            self.second(&mut || false);
        }
    }

    fn carry_out(&mut self, address: &str, call: &Call) {
        let agent = self.agents.get_mut(address).unwrap();
        match call {
            Call::Register(service) => drop(agent.insert(service.id.clone(), kept(service))),
            Call::Deregister(id) => drop(agent.remove(id)),
        }
    }

    /// Id and weight of what is found.
    fn found(&self) -> Vec<(String, u32)> {
        let services = self.agents[ONE].values();
        services.map(|one| (one.id.clone(), one.weights.unwrap().passing)).collect()
    }

    /// Id and weight of what serves, as the core says it.
    fn serving(&self) -> Vec<(String, u32)> {
        let app = self.core.apps().values().next().unwrap();
        let instances = app.instances.iter().filter_map(|(number, instance)| match instance.life {
            Life::Serving { weight_thousandths } => {
                Some((format!("web.{number}"), weight_thousandths))
            }
            _ => None,
        });
        let mut serving: Vec<_> = instances.collect();
        // By name, as an agent tells them.
        serving.sort();
        serving
    }

    fn health(&mut self, name: &str, fact: InstanceFact) {
        let instance = id(name);
        self.event(Event::Instance { instance, machine: machine(), at: self.now, fact });
    }
}

fn kept(service: &Registration) -> AgentService {
    AgentService {
        id: service.id.clone(),
        service: service.name.clone(),
        tags: service.tags.clone(),
        address: String::new(),
        port: service.port,
        meta: service.meta.clone(),
        weights: Some(service.weights),
    }
}

fn machine() -> MachineName {
    "m1".parse().unwrap()
}

fn id(name: &str) -> InstanceId {
    name.parse().unwrap()
}

fn specification(check: DiscoveryCheck) -> Specification {
    Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["a".to_owned()]),
        need: Need { millicores: 10, memory_mib: 10, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: Some(seconds(60)),
        kill_grace: seconds(1),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: Some(Check {
            probe: Probe::Command(vec!["c".to_owned()]),
            interval: seconds(1),
            timeout: seconds(1),
            failures: 3,
        }),
        inner_ports: Vec::new(),
        discovery: Discovery { port: 0, tags: Vec::new(), check },
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    }
}

#[test]
fn an_instance_is_found_with_growing_weight_and_gone_before_it_ends() {
    let mut world = World::new(specification(DiscoveryCheck::AsHealth), 2);
    world.seconds(1);
    assert_eq!(world.found(), [("web.1".to_owned(), 100), ("web.2".to_owned(), 100)]);
    world.seconds(5);
    let weights: Vec<u32> = world.found().into_iter().map(|(_, weight)| weight).collect();
    assert!(weights.iter().all(|weight| (200..900).contains(weight)), "{weights:?}");
    world.seconds(10);
    assert_eq!(world.found(), [("web.1".to_owned(), 1000), ("web.2".to_owned(), 1000)]);
    assert_eq!(world.found(), world.serving());
    world.call(UserCall::Scale { app: "web".parse().unwrap(), instances: 1, keeps_volumes: false });
    world.seconds(1);
    assert_eq!(world.found(), [("web.1".to_owned(), 1000)]);
    let life = world.core.instance(&id("web.2")).unwrap().life;
    assert_eq!(life, Life::CoolingDown, "it has still time for what it has");
    world.seconds(10);
    assert!(world.core.instance(&id("web.2")).is_none());
    assert_eq!(world.registry.wanted(), 1);
}

#[test]
fn an_agent_that_forgets_gets_all_of_it_again_with_the_same_weights() {
    let mut world = World::new(specification(DiscoveryCheck::AsHealth), 3);
    world.seconds(20);
    let before = world.found();
    world.agents.insert(ONE.to_owned(), AgentServices::new());
    world.seconds(AUDIT_EVERY.0 / 1_000_000_000 + 1);
    assert_eq!(world.found(), before);
    assert_eq!(world.registry.counters().repaired, 3);
    // A program that begins anew knows the weights from the records.
    world.registry = Registry::new("us", Agents::One(ONE.to_owned()));
    world.agents.insert(ONE.to_owned(), AgentServices::new());
    world.seconds(2);
    assert_eq!(world.found(), before);
}

#[test]
fn an_agent_that_is_away_holds_up_only_what_needs_it_and_is_told() {
    let mut world = World::new(specification(DiscoveryCheck::AsHealth), 2);
    world.seconds(20);
    world.is_away = true;
    world.call(UserCall::Scale { app: "web".parse().unwrap(), instances: 3, keeps_volumes: false });
    world.seconds(5);
    let life = world.core.instance(&id("web.3")).unwrap().life;
    assert_eq!(life, Life::Registering, "it was started, and waits for Consul");
    let missing: Vec<_> = world.registry.missing().collect();
    assert_eq!(
        (missing[0].instance.clone(), missing[0].why.as_str()),
        (id("web.3"), "nobody answers")
    );
    let why = world.registry.explain(&id("web.3"), world.now);
    assert!(why.starts_with("not in Consul at http://agent") && why.ends_with("nobody answers"));
    world.call(UserCall::Scale { app: "web".parse().unwrap(), instances: 1, keeps_volumes: false });
    world.seconds(GIVE_UP_AFTER.0 / 1_000_000_000 + 10);
    assert_eq!(world.serving().len(), 1, "what must end ends");
    assert_eq!(world.core.apps().values().next().unwrap().instances.len(), 1);
    assert_eq!(world.registry.counters().given_up, 2);
    world.is_away = false;
    world.seconds(LEAK_AFTER.0 / 1_000_000_000 + 60);
    assert_eq!(world.found(), world.serving(), "what was left is swept");
    assert_eq!(world.registry.missing().count() + world.registry.silent().count(), 0);
}

#[test]
fn a_ttl_is_kept_by_the_scheduler_as_long_as_the_instance_is_healthy() {
    let mut world = World::new(specification(DiscoveryCheck::Ttl(seconds(30))), 1);
    world.seconds(60);
    let passing = ("service:web.1".to_owned(), Status::Passing);
    assert!((5..=12).contains(&world.reports.len()), "{:?}", world.reports);
    assert!(world.reports.iter().all(|report| *report == passing));
    world.reports.clear();
    world.health("web.1", InstanceFact::Unhealthy);
    world.seconds(2);
    assert_eq!(world.reports, [("service:web.1".to_owned(), Status::Critical)]);
    world.health("web.1", InstanceFact::Healthy);
    world.seconds(2);
    assert_eq!(world.reports.last(), Some(&passing));
}

#[test]
fn what_only_the_scheduler_sees_is_not_found_while_it_is_not_healthy() {
    let mut world = World::new(specification(DiscoveryCheck::AsHealth), 1);
    world.seconds(20);
    world.health("web.1", InstanceFact::Unhealthy);
    world.seconds(2);
    assert_eq!(world.found(), []);
    assert_eq!(world.registry.missing().next().unwrap().why, "it is not healthy");
    world.health("web.1", InstanceFact::Healthy);
    world.seconds(2);
    assert_eq!(world.found(), [("web.1".to_owned(), 1000)]);
}

/// Without the container Consul would look at nothing, and take the instance for healthy.
#[test]
fn a_docker_check_waits_for_the_name_of_the_container() {
    let words = vec!["/alive".to_owned()];
    let mut world = World::new(specification(DiscoveryCheck::Docker(words)), 2);
    world.health("web.1", InstanceFact::Container("mesos-7f".to_owned()));
    world.seconds(15);
    assert_eq!(world.found(), [("web.1".to_owned(), 1000)]);
    let missing = world.registry.missing().next().unwrap();
    assert_eq!(missing.instance, id("web.2"));
    assert_eq!(missing.why, "the name of its container isn't known yet");
    assert_eq!(world.serving().len(), 1, "it isn't found, so it doesn't count");
    world.health("web.2", InstanceFact::Container("mesos-80".to_owned()));
    world.seconds(15);
    assert_eq!(world.found().len(), 2);
    assert_eq!(world.registry.missing().count(), 0);
    let digest = |world: &World| {
        world.agents[ONE]["web.2"].meta[scheduler_consul::service::DIGEST_KEY].clone()
    };
    // A new scheduler reads it from the records, and has nothing to change.
    let before = digest(&world);
    let state = State::restore(Policy::recommended(), world.core.records()).unwrap();
    assert_eq!(state.instance(&id("web.2")).unwrap().container.as_deref(), Some("mesos-80"));
    world.registry = Registry::new("us", Agents::One(ONE.to_owned()));
    let registered = world.registry.counters().registered;
    world.seconds(15);
    assert_eq!((digest(&world), world.registry.counters().registered), (before, registered));
}

#[test]
fn a_service_of_somebody_else_stays_and_is_told() {
    let mut world = World::new(specification(DiscoveryCheck::AsHealth), 1);
    let mut foreign = kept(&Registration {
        id: "web.1".to_owned(),
        name: "theirs".to_owned(),
        tags: Vec::new(),
        address: String::new(),
        port: 1,
        meta: BTreeMap::new(),
        weights: scheduler_consul::service::weights(7),
        check: None,
    });
    foreign.meta.insert("corral-scheduler".to_owned(), "them".to_owned());
    world.agents.get_mut(ONE).unwrap().insert("web.1".to_owned(), foreign.clone());
    world.seconds(20);
    assert_eq!(world.agents[ONE]["web.1"], foreign);
    let missing = world.registry.missing().next().unwrap();
    assert!(missing.why.contains("another program"), "{missing:?}");
    world.call(UserCall::Delete { app: "web".parse().unwrap(), keeps_volumes: false });
    world.seconds(20);
    assert_eq!(world.agents[ONE]["web.1"], foreign, "it stays, and nothing waits for it");
    assert!(world.core.apps().is_empty());
}

#[test]
fn each_machine_has_the_agent_of_its_host() {
    let agents = Agents::OnMachines { scheme: "http".to_owned(), port: 8500 };
    let table = [("h1", "http://h1:8500"), ("10.0.0.1:5052", "http://10.0.0.1:8500")];
    for (machine, address) in table {
        assert_eq!(agents.address(&machine.parse().unwrap()), address);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is lost, on the way there or back: when all is calm, what is found is what the core
    /// says that serves, and nobody waits.
    #[test]
    fn everything_settles(seed in any::<u64>()) {
        let mut word = seed | 1;
        let mut random = move || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word
        };
        let mut world = World::new(specification(DiscoveryCheck::AsHealth), 3);
        for step in 0..60u64 {
            match random() % 12 {
                0 => {
                    let instances = u32::try_from(random() % 5).unwrap();
                    world.call(UserCall::Scale { app: "web".parse().unwrap(), instances, keeps_volumes: false });
                }
                1 => world.call(UserCall::Upgrade {
                    app: "web".parse().unwrap(),
                    label: step.to_string(),
                    run: Run::Command(vec![step.to_string()]),
                    step: None,
                }),
                2 => drop(world.agents.insert(ONE.to_owned(), AgentServices::new())),
                3 => world.registry = Registry::new("us", Agents::One(ONE.to_owned())),
                4 => world.is_away = !world.is_away,
                _ => {}
            }
            world.second(&mut || random() % 4 == 0);
        }
        world.is_away = false;
        world.seconds(400);
        prop_assert_eq!(world.found(), world.serving());
        prop_assert_eq!(world.registry.missing().count(), 0);
        let app = world.core.apps().values().next().unwrap();
        prop_assert_eq!(app.instances.len(), usize::try_from(app.wanted).unwrap());
    }
}
