//! Spreading many apps again is planned over several turns: other calls are answered in between, what
//! changes meanwhile is seen, and no two plans take the same room.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::config::Policy;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Discovery, Need, Run, Specification};
use scheduler_core::event::{Accepted, Call, Event, InstanceFact, MachineFact, Refusal};
use scheduler_core::ids::{AppName, Epoch, MachineName, RequestId};
use scheduler_core::machine::Description;
use scheduler_core::planning::{APPS_A_TURN, Preview};
use scheduler_core::{Command, State, apply_all};

/// So many apps that planning them takes three turns.
const APPS: usize = 2 * APPS_A_TURN + 3;

struct Bench {
    state: State,
    now: Time,
    answers: BTreeMap<RequestId, Result<Accepted, Refusal>>,
}

fn app(number: usize) -> AppName {
    format!("a{number:02}").parse().unwrap()
}

fn machine(number: usize) -> MachineName {
    format!("m{number}").parse().unwrap()
}

fn up(number: usize, millicores: u32) -> Event {
    let description = Description { millicores, memory_mib: 100_000, ..Description::default() };
    Event::Machine { machine: machine(number), fact: MachineFact::Up(description) }
}

impl Bench {
    /// All apps have two instances each, all on the same machine; then a second one comes.
    fn new(second_millicores: u32) -> Self {
        let mut policy = Policy::recommended();
        policy.rollout.warm_up = Nanoseconds::ZERO;
        policy.rollout.cool_down = Nanoseconds::ZERO;
        let (state, answers) = (State::new(policy), BTreeMap::new());
        let mut bench = Bench { state, now: Time::ZERO, answers };
        bench.live(vec![Event::Leader { epoch: Epoch(1) }, up(0, 100_000)]);
        let specification = Arc::new(Specification {
            label: "1".to_owned(),
            run: Run::Command(vec!["sleep".to_owned()]),
            need: Need { millicores: 100, memory_mib: 10, ports: 0 },
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
        let deploys = (0..APPS).map(|number| {
            let (app, specification) = (app(number), Arc::clone(&specification));
            let bounds = Bounds { min: 2, max: 2 };
            let call = Call::Deploy { app, specification, bounds, step: None };
            Event::Call { request: RequestId(number as u64), call }
        });
        bench.live(deploys.collect());
        bench.live(vec![up(1, second_millicores)]);
        bench
    }

    /// One turn; what is to be done is told.
    fn turn(&mut self, events: Vec<Event>) -> Vec<Command> {
        self.now = self.now + Nanoseconds::from_milliseconds(1);
        let commands = apply_all(&mut self.state, events, self.now);
        for command in &commands {
            if let Command::Answer { request, answer } = command {
                self.answers.insert(*request, answer.clone());
            }
        }
        commands
    }

    /// Turns until nothing is to be done any more: all that is wanted succeeds at once.
    fn live(&mut self, mut events: Vec<Event>) {
        for _ in 0..500 {
            let commands = self.turn(std::mem::take(&mut events));
            events.extend(commands.into_iter().filter_map(|command| self.done(command)));
            if events.is_empty() {
                if !self.state.is_planning() {
                    return;
                }
                events.push(Event::Room);
            }
        }
        panic!("there is always something to do");
    }

    fn done(&self, command: Command) -> Option<Event> {
        let at = self.now;
        let fact = |instance, machine, fact| Some(Event::Instance { instance, machine, at, fact });
        match command {
            Command::Persist(write) => Some(Event::Durable { write: write.number }),
            Command::Launch(one) => fact(one.instance, one.machine, InstanceFact::Running),
            Command::Register { instance, machine, weight_thousandths, .. } => {
                fact(instance, machine, InstanceFact::Registered { weight_thousandths })
            }
            Command::Deregister { instance, machine, .. } => {
                fact(instance, machine, InstanceFact::Deregistered)
            }
            Command::Kill { instance, machine, .. } => {
                fact(instance, machine, InstanceFact::Unknown)
            }
            _ => None,
        }
    }

    /// What waits for a write is let go.
    fn rebalance(&mut self, request: u64) -> Vec<Command> {
        let call = Call::Rebalance { app: None, at_a_time: 1 };
        self.turn(vec![Event::Call { request: RequestId(request), call }])
    }

    fn planned(&self) -> usize {
        self.state.apps().values().filter(|app| app.rebalance.is_some()).count()
    }

    /// Instances by machine, of all apps.
    fn spread(&self) -> [u32; 2] {
        let count = |number| {
            let apps = self.state.apps().values();
            apps.map(|app| self.state.count_on(app, &machine(number))).sum()
        };
        [count(0), count(1)]
    }
}

#[test]
fn a_few_apps_are_planned_a_turn_and_others_are_answered_meanwhile() {
    let mut bench = Bench::new(100_000);
    assert_eq!(bench.spread(), [2 * APPS as u32, 0]);
    let mut events: Vec<Event> =
        bench.rebalance(1_000).into_iter().filter_map(|one| bench.done(one)).collect();
    assert_eq!(bench.planned(), APPS_A_TURN);
    assert!(bench.state.is_planning());
    // Another call, whose app is planned later, comes between.
    let last = app(APPS - 1);
    let call = Call::Delete { app: last.clone(), keeps_volumes: false };
    events.push(Event::Call { request: RequestId(1_001), call });
    let commands = bench.turn(events);
    assert_eq!(bench.planned(), 2 * APPS_A_TURN);
    let events = commands.into_iter().filter_map(|one| bench.done(one)).collect();
    bench.live(events);
    // What cools down ends with a tick.
    bench.live(vec![Event::Tick]);
    assert!(bench.answers[&RequestId(1_001)].is_ok());
    // The one that was deleted is left out.
    assert_eq!(bench.answers[&RequestId(1_000)], Ok(Accepted::Moves(APPS as u32 - 1)));
    assert!(!bench.state.apps().contains_key(&last));
    assert_eq!(bench.spread(), [APPS as u32 - 1, APPS as u32 - 1]);
}

#[test]
fn no_two_plans_take_the_same_room() {
    // Five more fit there, whichever turn plans them.
    let bench = Bench::new(500);
    let whole = bench.state.rebalance_plan(None, bench.now);
    let mut preview = Preview::of(&bench.state, None);
    let (mut parts, mut looks) = (BTreeMap::new(), 0);
    while let Some(part) = preview.next(&bench.state, bench.now) {
        parts.extend(part);
        looks += 1;
    }
    assert_eq!((looks, &parts), (3, &whole), "in parts or at once");
    let moves = |plans: &BTreeMap<AppName, Result<scheduler_core::rebalance::Plan, Refusal>>| {
        plans.values().flatten().map(|plan| plan.moves.len()).sum::<usize>()
    };
    assert_eq!(moves(&parts), 5);
    let mut bench = bench;
    let events = bench.rebalance(1_000).into_iter().filter_map(|one| bench.done(one)).collect();
    bench.live(events);
    assert_eq!(bench.answers[&RequestId(1_000)], Ok(Accepted::Moves(5)));
    assert_eq!(bench.spread(), [2 * APPS as u32 - 5, 5]);
}

#[test]
fn what_is_not_planned_yet_can_be_cancelled() {
    let mut bench = Bench::new(100_000);
    let mut events: Vec<Event> =
        bench.rebalance(1_000).into_iter().filter_map(|one| bench.done(one)).collect();
    let call = Call::CancelRebalance { app: None };
    events.push(Event::Call { request: RequestId(1_001), call });
    bench.live(events);
    assert_eq!(bench.answers[&RequestId(1_000)], Ok(Accepted::Moves(APPS_A_TURN as u32)));
    assert_eq!(bench.answers[&RequestId(1_001)], Ok(Accepted::Noted));
    assert_eq!(bench.planned(), APPS_A_TURN);
    assert!(
        bench
            .state
            .apps()
            .values()
            .all(|app| app.rebalance.as_ref().is_none_or(|one| !one.is_running()))
    );
    // Nothing is left to be ended.
    let call = Call::CancelRebalance { app: None };
    bench.live(vec![Event::Call { request: RequestId(1_002), call }]);
    assert_eq!(bench.answers[&RequestId(1_002)], Ok(Accepted::Unchanged));
}
