//! What each event does in each part of an instance's life, and what calls are refused, on a cluster
//! where nothing goes wrong by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::rollout::Load;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Constraint, Need, Outcome, Run, Specification};
use scheduler_core::command::Command;
use scheduler_core::decision::Decision;
use scheduler_core::event::{Accepted, Call, Event, InstanceFact, MachineFact, Refusal};
use scheduler_core::ids::{AppName, Epoch, InstanceId, MachineName, Receipt, RequestId, Version};
use scheduler_core::instance::{End, Exit, Life};
use scheduler_core::machine::Description;
use scheduler_core::{State, apply, explain};

/// A core with a store that works, and a clock that is moved by hand.
struct Bench {
    state: State,
    now: Time,
    /// What left, apart from writes and records.
    sent: Vec<Command>,
    decisions: Vec<Decision>,
    answers: BTreeMap<RequestId, Result<Accepted, Refusal>>,
    requests: u64,
}

fn app() -> AppName {
    "image".parse().unwrap()
}

fn machine(name: &str) -> MachineName {
    name.parse().unwrap()
}

fn id(number: u64) -> InstanceId {
    InstanceId { app: app(), number }
}

fn specification(label: &str) -> Specification {
    Specification {
        label: label.to_owned(),
        run: Run::Image { image: format!("image:{label}"), arguments: Vec::new() },
        need: Need { millicores: 2000, memory_mib: 512, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: Some(Nanoseconds::from_seconds(60)),
        kill_grace: Nanoseconds::from_seconds(20),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    }
}

fn description(cores: u32, rack: &str) -> Description {
    Description {
        millicores: cores * 1000,
        memory_mib: 8192,
        ports: vec![(31_000, 31_099)],
        attributes: Arc::new(BTreeMap::from([("rack".to_owned(), rack.to_owned())])),
        disk_mib: None,
    }
}

impl Bench {
    fn new(machines: &[(&str, u32, &str)]) -> Self {
        let mut bench = Bench {
            state: State::new(policy::config::Policy::recommended()),
            now: Time(1_000_000_000_000),
            sent: Vec::new(),
            decisions: Vec::new(),
            answers: BTreeMap::new(),
            requests: 0,
        };
        bench.give(Event::Leader { epoch: Epoch(1) });
        for (name, cores, rack) in machines {
            let fact = MachineFact::Up(description(*cores, rack));
            bench.give(Event::Machine { machine: machine(name), fact });
        }
        bench
    }

    fn give(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for command in apply(&mut self.state, event, self.now) {
                match command {
                    Command::Persist(write) => events.push(Event::Durable { write: write.number }),
                    Command::Record(decision) => self.decisions.push(*decision),
                    Command::Answer { request, answer } => {
                        self.answers.insert(request, answer);
                    }
                    other => self.sent.push(other),
                }
            }
        }
    }

    fn call(&mut self, call: Call) -> Result<Accepted, Refusal> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.give(Event::Call { request, call });
        self.answers[&request].clone()
    }

    fn deploy(&mut self, specification: Specification, min: u32, max: u32) -> Accepted {
        let (bounds, step) = (Bounds { min, max }, None);
        let specification = Arc::new(specification);
        self.call(Call::Deploy { app: app(), specification, bounds, step }).unwrap()
    }

    fn fact(&mut self, number: u64, fact: InstanceFact) {
        let machine = self.state.instance(&id(number)).unwrap().machine.clone().unwrap();
        self.fact_on(number, machine, fact);
    }

    fn fact_on(&mut self, number: u64, machine: MachineName, fact: InstanceFact) {
        let (instance, at) = (id(number), self.now);
        self.give(Event::Instance { instance, machine, at, fact });
    }

    /// Time passes, second by second.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Nanoseconds::from_seconds(1);
            self.give(Event::Tick);
        }
    }

    fn life(&self, number: u64) -> Option<Life> {
        self.state.instance(&id(number)).map(|instance| instance.life)
    }

    /// Whatever was asked for happens, again and again.
    fn obey(&mut self) {
        while !self.sent.is_empty() {
            for command in std::mem::take(&mut self.sent) {
                match command {
                    Command::Launch(launch) => {
                        let number = launch.instance.number;
                        self.fact(number, InstanceFact::Running);
                        self.fact(number, InstanceFact::Healthy);
                    }
                    Command::Register { instance, weight_thousandths, .. } => {
                        self.fact(instance.number, InstanceFact::Registered { weight_thousandths });
                    }
                    Command::Deregister { instance, machine, .. } => {
                        self.fact_on(instance.number, machine, InstanceFact::Deregistered);
                    }
                    Command::Kill { instance, machine, .. } => {
                        let fact = InstanceFact::Ended(Exit::Code(0));
                        self.fact_on(instance.number, machine, fact);
                    }
                    Command::Ask(_)
                    | Command::Acknowledge { .. }
                    | Command::Destroy { .. }
                    | Command::Reserve { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// So long, obeying.
    fn settle(&mut self, seconds: u64) {
        self.obey();
        for _ in 0..seconds {
            self.wait(1);
            self.obey();
        }
    }

    fn lives(&self) -> Vec<(u64, Life)> {
        let instances = &self.state.apps()[&app()].instances;
        instances.iter().map(|(number, one)| (*number, one.life)).collect()
    }
}

const FULL: Life = Life::Serving { weight_thousandths: 1000 };

#[test]
fn the_life_of_an_instance() {
    let mut bench = Bench::new(&[("m1", 8, "a")]);
    bench.deploy(specification("1"), 1, 1);
    assert_eq!(bench.life(1), Some(Life::Launching));
    assert!(matches!(bench.sent.as_slice(), [Command::Launch(launch)] if launch.ports == [31_000]));
    bench.sent.clear();
    bench.fact(1, InstanceFact::Launched);
    assert_eq!(bench.life(1), Some(Life::Launching));
    bench.fact(1, InstanceFact::Running);
    assert_eq!(bench.life(1), Some(Life::Running));
    bench.fact(1, InstanceFact::Unhealthy);
    assert_eq!(bench.life(1), Some(Life::Running), "it was never healthy");
    bench.fact(1, InstanceFact::Healthy);
    assert_eq!(bench.life(1), Some(Life::Registering));
    bench.fact(1, InstanceFact::Registered { weight_thousandths: 100 });
    assert_eq!(bench.life(1), Some(Life::Serving { weight_thousandths: 100 }));
    bench.settle(30);
    assert_eq!(bench.life(1), Some(FULL));
    bench.fact(1, InstanceFact::Deregistered);
    assert_eq!(bench.life(1), Some(Life::Registering), "the registry lost it");
    bench.settle(31);
    assert_eq!(bench.life(1), Some(FULL));
    bench.call(Call::Delete { app: app(), keeps_volumes: false }).unwrap();
    assert_eq!(bench.life(1), Some(Life::Deregistering));
    bench.sent.clear();
    bench.fact(1, InstanceFact::Deregistered);
    assert_eq!(bench.life(1), Some(Life::CoolingDown));
    bench.wait(9);
    assert!(bench.sent.is_empty(), "it cools down for ten seconds");
    bench.wait(1);
    assert_eq!(bench.life(1), Some(Life::Killing));
    bench.obey();
    assert!(bench.state.apps().is_empty());
}

/// Whatever comes in whatever part of its life: the next part, or the same.
#[test]
fn each_fact_in_each_part_of_a_life() {
    use InstanceFact::{Deregistered, Ended, Healthy, Launched, Registered, Running, Unhealthy};
    let ended = || Ended(Exit::Code(1));
    let registered = Registered { weight_thousandths: 100 };
    // What has to be told to come there, and what then follows from each fact.
    let to: [(&str, Vec<InstanceFact>, bool); 6] = [
        ("launching", vec![], false),
        ("running", vec![Running], false),
        ("registering", vec![Running, Healthy], false),
        ("serving", vec![Running, Healthy, registered.clone()], false),
        ("deregistering", vec![Running, Healthy, registered.clone()], true),
        ("cooling-down", vec![Running, Healthy, registered.clone(), Deregistered], true),
    ];
    let facts = [
        Launched,
        Running,
        Healthy,
        Unhealthy,
        registered,
        Deregistered,
        ended(),
        InstanceFact::Unknown,
    ];
    let mut table = String::new();
    for (name, path, is_deleted) in to {
        for fact in &facts {
            let mut bench = Bench::new(&[("m1", 8, "a")]);
            bench.deploy(specification("1"), 1, 1);
            for step in &path {
                if is_deleted && *step == Deregistered {
                    bench.call(Call::Delete { app: app(), keeps_volumes: false }).unwrap();
                }
                bench.fact(1, step.clone());
            }
            if is_deleted {
                let _ = bench.call(Call::Delete { app: app(), keeps_volumes: false });
            }
            assert_eq!(bench.life(1).unwrap().name(), name);
            bench.fact(1, fact.clone());
            let after = bench.life(1).map_or("gone", Life::name);
            table.push_str(&format!(
                "{name:13} {:12} {after}\n",
                format!("{fact:?}").split([' ', '(']).next().unwrap()
            ));
        }
    }
    let expected = include_str!("transitions.txt");
    assert!(table == expected, "the table is now\n{table}");
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut bench = Bench::new(&[("m1", 8, "a")]);
    let specification = Arc::new(specification("1"));
    let bounds = Bounds { min: 1, max: 1 };
    let call = Call::Deploy { app: app(), specification, bounds, step: None };
    let event = Event::Call { request: RequestId(9), call };
    let commands = apply(&mut bench.state, event, bench.now);
    let [Command::Persist(write)] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(bench.life(1), Some(Life::Intended));
    assert!(apply(&mut bench.state, Event::Tick, bench.now).is_empty(), "one write at a time");
    let failed = Event::NotDurable { write: write.number };
    assert!(apply(&mut bench.state, failed, bench.now).is_empty(), "it isn't hammered");
    let late = Event::Durable { write: write.number };
    assert!(apply(&mut bench.state, late, bench.now).is_empty(), "that one has failed");
    let commands = apply(&mut bench.state, Event::Tick, bench.now);
    let [Command::Persist(again)] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(again.number > write.number && again.changes.len() >= write.changes.len());
    let commands = apply(&mut bench.state, Event::Durable { write: again.number }, bench.now);
    let launches = commands.iter().filter(|one| matches!(one, Command::Launch(_))).count();
    let answers = commands.iter().filter(|one| matches!(one, Command::Answer { .. })).count();
    assert_eq!((launches, answers), (1, 1), "{commands:?}");
}

#[test]
fn an_upgrade_goes_through_and_a_bad_one_comes_back() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 4, 4);
    bench.settle(35);
    assert!(bench.lives().iter().all(|(_, life)| *life == FULL));
    let accepted = bench.deploy(specification("2"), 4, 4);
    assert_eq!(accepted, Accepted::Deployment { number: 2, version: Version(2) });
    bench.settle(400);
    let known = &bench.state.apps()[&app()];
    assert!(known.deployment.is_none());
    assert_eq!(known.stable, [Version(1), Version(2)]);
    assert!(known.instances.values().all(|one| one.version == Version(2) && one.life == FULL));
    assert_eq!(known.instances.len(), 4);
    // The third one never becomes healthy: nobody obeys.
    bench.deploy(specification("3"), 4, 4);
    for _ in 0..700 {
        bench.wait(1);
        for command in std::mem::take(&mut bench.sent) {
            if let Command::Kill { instance, machine, .. } = command {
                bench.fact_on(instance.number, machine, InstanceFact::Ended(Exit::Signal(9)));
            }
        }
    }
    let known = &bench.state.apps()[&app()];
    assert_eq!(known.target, Version(2));
    let failed = known.history.iter().find(|ended| ended.to == Version(3)).unwrap();
    assert!(matches!(failed.outcome, Outcome::Failed(_)), "{failed:?}");
    let serving = known.instances.values().filter(|one| one.life == FULL).count();
    assert_eq!(serving, 4, "the old ones were never touched");
}

#[test]
fn a_newer_deployment_supersedes_and_nothing_locks() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    bench.deploy(specification("1"), 2, 2);
    bench.settle(35);
    for label in ["2", "3", "4", "5"] {
        bench.deploy(specification(label), 2, 2);
        bench.wait(3);
    }
    bench.settle(200);
    let known = &bench.state.apps()[&app()];
    let outcomes: Vec<Outcome> = known.history.iter().map(|ended| ended.outcome).collect();
    let superseded = Outcome::Superseded;
    assert_eq!(outcomes, [Outcome::Done, superseded, superseded, superseded, Outcome::Done]);
    assert!(known.instances.values().all(|one| one.version == Version(5) && one.life == FULL));
    let back = bench.call(Call::Rollback { app: app(), version: None }).unwrap();
    assert_eq!(back, Accepted::Deployment { number: 6, version: Version(1) });
}

#[test]
fn the_load_scales_and_a_stale_one_does_not() {
    let mut bench = Bench::new(&[("m1", 64, "a")]);
    bench.deploy(specification("1"), 1, 8);
    bench.settle(35);
    let load = |waiting| Load { busy_thousandths: 1000, waiting, arrivals: 10, rejects: 0 };
    let seen = |at, load| Event::Load { app: app(), at, load };
    let now = bench.now;
    bench.give(seen(now, load(100)));
    bench.settle(1);
    assert_eq!(bench.state.apps()[&app()].wanted, 2);
    bench.settle(100);
    assert_eq!(bench.state.apps()[&app()].wanted, 4, "one in 10 s; after 30 s it is stale");
    let scaled = bench.decisions.iter().filter(|one| one.replay(bench.state.policy()).is_ok());
    assert_eq!(scaled.count(), bench.decisions.len());
    let text = serde_json::to_string(&bench.decisions).unwrap();
    let read: Vec<Decision> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, bench.decisions);
    let other = policy::config::Policy::original();
    assert!(bench.decisions.iter().all(|one| one.replay(&other).is_err()), "another policy");
}

#[test]
fn machines_are_drained_by_moving_first() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 4, 4);
    bench.settle(35);
    bench.call(Call::Drain { machine: machine("m1") }).unwrap();
    bench.obey();
    let serving = bench.lives().iter().filter(|(_, life)| *life == FULL).count();
    assert_eq!(serving, 4, "replacements first");
    bench.settle(200);
    assert!(bench.state.machines()[&machine("m1")].instances.is_empty());
    let there = &bench.state.machines()[&machine("m2")];
    assert_eq!(there.instances.len(), 4);
    bench.call(Call::Drain { machine: machine("m2") }).unwrap();
    bench.settle(100);
    let text = explain::app(&bench.state, &app(), bench.now).unwrap().to_string();
    assert!(text.contains("none of 2 machines can take it"), "{text}");
    assert!(text.contains("it is drained: m1, m2"), "{text}");
    let serving = bench.lives().iter().filter(|(_, life)| *life == FULL).count();
    assert_eq!(serving, 4, "there is no room elsewhere, so they stay");
}

#[test]
fn machines_that_are_taken_away_are_left_first() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 4, 4);
    bench.settle(35);
    let tell =
        |bench: &mut Bench, fact| bench.give(Event::Machine { machine: machine("m1"), fact });
    tell(&mut bench, MachineFact::Leaving);
    bench.obey();
    let serving = bench.lives().iter().filter(|(_, life)| *life == FULL).count();
    assert_eq!(serving, 4, "replacements first");
    bench.settle(200);
    assert!(bench.state.machines()[&machine("m1")].instances.is_empty());
    // What a user wants stays apart from what whoever runs it says.
    bench.call(Call::Drain { machine: machine("m1") }).unwrap();
    tell(&mut bench, MachineFact::Staying);
    assert!(bench.state.room_on(&machine("m1")).is_none());
    bench.call(Call::Undrain { machine: machine("m1") }).unwrap();
    assert!(bench.state.room_on(&machine("m1")).is_some());
    tell(&mut bench, MachineFact::Leaving);
    bench.call(Call::Drain { machine: machine("m2") }).unwrap();
    bench.call(Call::Scale { app: app(), instances: 4, keeps_volumes: false }).unwrap();
    bench.call(Call::Restart { instance: id(5) }).unwrap();
    let text = explain::app(&bench.state, &app(), bench.now).unwrap().to_string();
    assert!(text.contains("it will be taken away: m1"), "{text}");
}

#[test]
fn a_receipt_comes_back_when_all_told_before_it_is_durable() {
    let mut bench = Bench::new(&[("m1", 8, "a")]);
    bench.deploy(specification("1"), 1, 1);
    let (instance, place, at) = (id(1), machine("m1"), bench.now);
    let running = Event::Instance { instance, machine: place, at, fact: InstanceFact::Running };
    let told = |receipt| Event::Told { receipt: Receipt(receipt) };
    let received = |commands: &[Command]| -> Vec<u64> {
        let receipts = commands.iter().filter_map(|command| match command {
            Command::Acknowledge { receipt } => Some(receipt.0),
            _ => None,
        });
        receipts.collect()
    };
    let commands = apply(&mut bench.state, told(1), bench.now);
    assert_eq!(received(&commands), [1], "nothing waits");
    let commands = apply(&mut bench.state, running, bench.now);
    let [Command::Persist(first)] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(apply(&mut bench.state, told(2), bench.now).is_empty(), "the write is on its way");
    let failed = Event::NotDurable { write: first.number };
    assert!(apply(&mut bench.state, failed, bench.now).is_empty());
    let commands = apply(&mut bench.state, Event::Tick, bench.now);
    let [Command::Persist(again)] = commands.as_slice() else { panic!("{commands:?}") };
    assert!(apply(&mut bench.state, told(3), bench.now).is_empty());
    let commands = apply(&mut bench.state, Event::Durable { write: again.number }, bench.now);
    assert_eq!(received(&commands), [2, 3]);
}

#[test]
fn instances_on_named_machines() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 2, 6);
    bench.settle(35);
    for _ in 0..3 {
        bench.call(Call::AddOn { app: app(), machine: machine("m2") }).unwrap();
    }
    bench.settle(35);
    assert_eq!(bench.state.machines()[&machine("m2")].instances.len(), 4);
    bench
        .call(Call::RemoveOn { app: app(), machine: machine("m1"), keeps_volumes: false })
        .unwrap();
    bench.settle(35);
    assert_eq!(bench.state.machines()[&machine("m1")].instances.len(), 0);
    assert_eq!(bench.lives().len(), 4);
    let none =
        bench.call(Call::RemoveOn { app: app(), machine: machine("m1"), keeps_volumes: false });
    assert_eq!(none, Err(Refusal::NoInstanceOn(app(), machine("m1"))));
}

#[test]
fn a_silent_machine_is_replaced_and_may_come_back() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 2, 2);
    bench.settle(35);
    bench.give(Event::Machine { machine: machine("m1"), fact: MachineFact::Silent });
    bench.settle(110);
    assert_eq!(bench.lives().len(), 2, "it gets two minutes");
    bench.settle(60);
    assert_eq!(bench.lives().len(), 3);
    let replaced = bench.state.apps()[&app()].instances.values().filter(|one| one.is_replaced);
    assert_eq!(replaced.count(), 1);
    let fact = MachineFact::Up(description(16, "a"));
    bench.give(Event::Machine { machine: machine("m1"), fact });
    bench.settle(60);
    assert_eq!(bench.lives().len(), 2, "one too many goes");
    assert!(bench.lives().iter().all(|(_, life)| *life == FULL));
}

#[test]
fn failures_wait_longer_and_longer_and_elsewhere() {
    let mut bench = Bench::new(&[("m1", 16, "a"), ("m2", 16, "b")]);
    bench.deploy(specification("1"), 1, 1);
    bench.sent.clear();
    bench.fact(1, InstanceFact::Running);
    bench.fact(1, InstanceFact::Ended(Exit::OutOfMemory));
    assert_eq!(bench.life(2), Some(Life::Waiting));
    let text = explain::instance(&bench.state, &id(2), bench.now).unwrap().to_string();
    assert!(text.contains("instances of its version failed; it waits 1s more"), "{text}");
    let text = explain::instance(&bench.state, &id(1), bench.now).unwrap().to_string();
    assert!(text.ends_with("it took more memory than it has"), "{text}");
    bench.wait(1);
    assert_eq!(bench.life(2), Some(Life::Launching));
}

/// Why nothing can take it, machine by machine.
#[test]
fn what_waits_explains_itself() {
    let mut bench = Bench::new(&[
        ("m1", 1, "a"),
        ("m2", 16, "b"),
        ("m3", 16, "a"),
        ("m4", 16, "a"),
        ("m5", 1, "a"),
    ]);
    let values = ["a".to_owned()].into();
    let constraints = vec![
        Constraint::Attribute { name: "rack".to_owned(), values },
        Constraint::MostPerMachine(1),
    ];
    bench.call(Call::Drain { machine: machine("m4") }).unwrap();
    bench.deploy(Specification { constraints, ..specification("1") }, 2, 2);
    let text = explain::app(&bench.state, &app(), bench.now).unwrap().to_string();
    let expected = "\
image v1 (1): 2 wanted, 2 to 2, 1 launching, 1 waiting
  deployment 1 to v1 for 0, no progress for 0: deployed
image.2 has been waiting for 0
  none of 5 machines can take it
    1 cores are free, 2 are needed: m1, m5
    constraint: at most 1 on a machine: m3
    constraint: rack is a: m2
    it is drained: m4";
    assert_eq!(text, expected);
    let text = explain::instance(&bench.state, &id(1), bench.now).unwrap().to_string();
    assert!(text.contains("placed there"), "{text}");
}

#[test]
fn a_fixed_number_is_what_a_user_says_last() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    bench.deploy(specification("1"), 2, 2);
    let scale = |instances| Call::Scale { app: app(), instances, keeps_volumes: false };
    assert_eq!(bench.call(scale(5)), Ok(Accepted::Wanted(5)));
    let add = Call::AddOn { app: app(), machine: machine("m1") };
    assert_eq!(bench.call(add), Ok(Accepted::Wanted(6)));
    assert_eq!(bench.state.apps()[&app()].bounds, Bounds { min: 6, max: 6 });
    let refused = bench.call(scale(u32::MAX));
    assert!(matches!(refused, Err(Refusal::Bounds { .. })), "{refused:?}");
    let (specification, bounds) = (Arc::new(specification("1")), Bounds { min: 2, max: 2 });
    let again = Call::Deploy { app: app(), specification, bounds, step: None };
    assert_eq!(bench.call(again), Ok(Accepted::Wanted(2)));
}

#[test]
fn calls_are_refused_with_their_reason() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    let scale = |instances| Call::Scale { app: app(), instances, keeps_volumes: false };
    assert_eq!(bench.call(scale(1)), Err(Refusal::UnknownApp(app())));
    let bounds = Bounds { min: 3, max: 2 };
    let deploy = |specification: Specification, bounds, step| Call::Deploy {
        app: app(),
        specification: Arc::new(specification),
        bounds,
        step,
    };
    let refused = bench.call(deploy(specification("1"), bounds, None));
    assert!(matches!(refused, Err(Refusal::Bounds { .. })), "{refused:?}");
    let bounds = Bounds { min: 1, max: 3 };
    let refused = bench.call(deploy(specification("1"), bounds, Some(0)));
    assert_eq!(refused, Err(Refusal::StepOfNone));
    let nothing = Specification { run: Run::Command(Vec::new()), ..specification("1") };
    assert_eq!(bench.call(deploy(nothing, bounds, None)), Err(Refusal::NothingToRun));
    bench.deploy(specification("1"), 1, 3);
    let again = bench.call(deploy(specification("1"), bounds, None));
    assert_eq!(again, Ok(Accepted::Unchanged));
    assert_eq!(bench.call(scale(4)), Err(Refusal::OutOfBounds { instances: 4, bounds }));
    assert_eq!(bench.call(scale(2)), Ok(Accepted::Wanted(2)));
    let refused = bench.call(Call::Rollback { app: app(), version: None });
    assert_eq!(refused, Err(Refusal::NothingToRollBackTo(app())));
    let refused = bench.call(Call::Rollback { app: app(), version: Some(Version(7)) });
    assert_eq!(refused, Err(Refusal::UnknownVersion(app(), Version(7))));
    let refused = bench.call(Call::AddOn { app: app(), machine: machine("m9") });
    assert_eq!(refused, Err(Refusal::UnknownMachine(machine("m9"))));
    let refused = bench.call(Call::Restart { instance: id(99) });
    assert_eq!(refused, Err(Refusal::UnknownInstance(id(99))));
    bench.call(Call::Delete { app: app(), keeps_volumes: false }).unwrap();
    assert_eq!(bench.call(scale(1)), Err(Refusal::IsDeleted(app())));
    assert_eq!(bench.call(Call::Thaw), Ok(Accepted::Unchanged), "nothing is stopped or silent");
    let mut follower = State::new(policy::config::Policy::recommended());
    let event = Event::Call { request: RequestId(1), call: Call::Thaw };
    let commands = apply(&mut follower, event, bench.now);
    let refused = Err(Refusal::NotLeading);
    assert_eq!(commands, [Command::Answer { request: RequestId(1), answer: refused }]);
}

#[test]
fn numbers_are_never_used_again() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    bench.deploy(specification("1"), 1, 1);
    bench.settle(5);
    bench.call(Call::Delete { app: app(), keeps_volumes: false }).unwrap();
    bench.settle(30);
    assert!(bench.state.apps().is_empty());
    bench.deploy(specification("1"), 1, 1);
    assert_eq!(bench.lives(), [(2, Life::Launching)]);
}

#[test]
fn orphans_end() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    bench.fact_on(7, machine("m1"), InstanceFact::Running);
    bench.fact_on(8, machine("m1"), InstanceFact::Registered { weight_thousandths: 5 });
    bench.fact_on(9, machine("m1"), InstanceFact::Unknown);
    let [Command::Kill { instance, .. }, Command::Deregister { instance: other, .. }] =
        bench.sent.as_slice()
    else {
        panic!("{:?}", bench.sent)
    };
    assert_eq!((instance, other), (&id(7), &id(8)));
}

#[test]
fn an_unhealthy_one_is_replaced_before_it_ends() {
    let mut bench = Bench::new(&[("m1", 16, "a")]);
    bench.deploy(specification("1"), 2, 2);
    bench.settle(35);
    bench.fact(1, InstanceFact::Unhealthy);
    bench.wait(29);
    assert_eq!(bench.lives().len(), 2, "it may recover");
    bench.wait(2);
    assert_eq!(bench.lives(), [(1, FULL), (2, FULL), (3, Life::Launching)]);
    bench.obey();
    assert_eq!(bench.life(1), Some(Life::CoolingDown), "its replacement serves");
    bench.settle(60);
    assert_eq!(bench.state.apps()[&app()].gone.last().unwrap().end, End::Unhealthy);
}

/// Events that make no sense, with times and numbers from the ends of their ranges: nothing panics,
/// and what is known can still be stored and read.
#[test]
fn no_event_is_too_strange() {
    let mut word = 1u64;
    let mut random = |bound: u64| {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (word >> 33) % bound
    };
    let ends = [0, 1, 7, u64::from(u32::MAX), u64::MAX];
    for _ in 0..400 {
        let mut state = State::new(policy::config::Policy::recommended());
        let _ = apply(&mut state, Event::Leader { epoch: Epoch(1) }, Time(5));
        for _ in 0..60 {
            let mut end = || ends[random(5) as usize];
            let now = Time(end());
            let (one, two, three) = (end(), end(), end());
            let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            let place = machine(["m1", "m2", "m3"][random(3) as usize]);
            let instance = id(random(9));
            let fact = |fact| Event::Instance { instance, machine: place.clone(), at: now, fact };
            let event = match random(20) {
                0 | 1 => {
                    let ports = vec![(0, u16::MAX), (9, 3), (0, 0), (u16::MAX, u16::MAX)];
                    let millicores = small(one);
                    let up = Description {
                        millicores,
                        memory_mib: small(two),
                        ports,
                        ..Description::default()
                    };
                    Event::Machine { machine: place, fact: MachineFact::Up(up) }
                }
                2 => Event::Machine { machine: place, fact: MachineFact::Silent },
                3 => Event::Machine { machine: place, fact: MachineFact::Gone },
                4 => fact(InstanceFact::Running),
                5 => fact(InstanceFact::Healthy),
                6 => fact(InstanceFact::Registered { weight_thousandths: small(one) }),
                7 => fact(InstanceFact::Deregistered),
                8 => fact(InstanceFact::Unknown),
                9 | 10 => Event::Tick,
                11 | 12 => Event::Durable { write: scheduler_core::ids::WriteNumber(random(60)) },
                13 => Event::NotDurable { write: scheduler_core::ids::WriteNumber(random(60)) },
                14 => {
                    let load =
                        Load { busy_thousandths: one, waiting: two, arrivals: three, rejects: one };
                    Event::Load { app: app(), at: now, load }
                }
                15 => {
                    let need = Need { millicores: small(one), memory_mib: small(two), ports: 2 };
                    let health_grace = Some(Nanoseconds(three));
                    let specification = Arc::new(Specification {
                        need,
                        health_grace,
                        kill_grace: Nanoseconds(one),
                        warm_up: health_grace,
                        ..specification(["1", "2"][random(2) as usize])
                    });
                    let bounds = Bounds { min: small(one).min(40), max: small(two) };
                    let call = Call::Deploy { app: app(), specification, bounds, step: None };
                    Event::Call { request: RequestId(one), call }
                }
                16 => {
                    let call = Call::Scale {
                        app: app(),
                        instances: small(two).min(50),
                        keeps_volumes: false,
                    };
                    Event::Call { request: RequestId(one), call }
                }
                17 => Event::Machine { machine: place, fact: MachineFact::Leaving },
                18 => Event::Told { receipt: Receipt(one) },
                _ => {
                    let call = match random(5) {
                        0 => Call::AddOn { app: app(), machine: place },
                        1 => Call::RemoveOn { app: app(), machine: place, keeps_volumes: false },
                        2 => Call::Drain { machine: place },
                        3 => Call::Delete { app: app(), keeps_volumes: false },
                        _ => Call::Restart { instance: id(random(9)) },
                    };
                    Event::Call { request: RequestId(one), call }
                }
            };
            let _ = apply(&mut state, event, now);
            let _ = explain::app(&state, &app(), now).map(|told| told.to_string());
        }
        let records = state.records();
        let restored = State::restore(*state.policy(), records.clone()).unwrap();
        assert_eq!(restored.records().len(), records.len());
    }
}
