//! The fast engine against the oracle, request by request, on random small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use policy::admission::{Admission, Deadlines};
use policy::balance::{Balance, Choices};
use policy::overload;
use policy::placement::Unplaced;
use policy::queue::{Order, Queue};
use policy::scaling::{Action, Observation, Rule, Scaling, Schedule};
use policy::sharing::{self, Unfinished};
use policy::{Class, Nanoseconds, Refusal, Time};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use simulator_kernel::Law;
use simulator_kernel::logarithm::whole;
use simulator_model::{
    App, Arrival, Arrivals, Cause, Cmd, Dynamics, Flow, Incident, Instances, Life, Lost, Model,
    Outcome, Pair, Paths, Phase, Record, Report, Returned, Served, Sharing, Slot, Source, Stopped,
    Tenants, Turn, Workload, engine, oracle,
};

use crate::strategies::lively::{
    crowded_model, deserted_model, dynamic_model, retried_model, shared_model,
};
use crate::strategies::queues::{
    central_model, disciplined_model, gated_model, learning_model, piped_model,
};
use crate::strategies::ways::{linked_model, staged_model};
use crate::strategies::{GRID, model};

/// What is told of instances: when, of which app, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Changed(Time, usize, Instances),
    Decided(Time, usize, Observation, Action),
    Unplaced(Time, usize, Unplaced),
    Incident(Time, Incident),
    Peak(usize, u64),
    Shared(Time, usize, sharing::Observation, sharing::Action),
    Slot(Time, Slot),
    Stopped(Time, u64, Stopped),
}

/// Outcomes, a report, and the sums of responses and services.
struct Everything {
    /// By key: when it came, which gateway it reached, and what became of it.
    outcomes: BTreeMap<u64, (Time, u16, Outcome)>,
    /// By number: what became of requests whose clients try again.
    settled: BTreeMap<u64, (u32, Option<Time>)>,
    /// By number: how many steps a pipeline had, and how it ended.
    finished: BTreeMap<u64, (u32, Result<Time, Refusal>)>,
    told: Vec<Told>,
    report: Report,
    flows: Vec<Flow>,
    /// By key.
    sources: BTreeMap<u64, u16>,
    responses: u128,
    services: u128,
}

impl Everything {
    fn new(model: &Model) -> Self {
        Everything {
            outcomes: BTreeMap::new(),
            settled: BTreeMap::new(),
            finished: BTreeMap::new(),
            told: Vec::new(),
            report: Report::new(model),
            flows: Vec::new(),
            sources: BTreeMap::new(),
            responses: 0,
            services: 0,
        }
    }
}

impl Record for Everything {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let twice = self.outcomes.insert(arrival.key, (arrival.at, arrival.gateway, outcome));
        assert_eq!(twice, None);
        self.sources.insert(arrival.key, arrival.source);
        self.report.record(arrival, outcome);
        if let Ok(served) = outcome {
            self.responses += u128::from(served.end.since(arrival.at).0);
            self.services += u128::from(served.end.since(served.start).0);
        }
    }

    fn settle(&mut self, first: &Arrival, attempts: u32, answered: Option<Time>) {
        let twice = self.settled.insert(first.number, (attempts, answered));
        assert_eq!(twice, None);
        self.report.settle(first, attempts, answered);
    }

    fn finish(&mut self, first: &Arrival, steps: u32, outcome: Result<Time, Refusal>) {
        assert_eq!(self.finished.insert(first.number, (steps, outcome)), None);
        self.report.finish(first, steps, outcome);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        self.told.push(Told::Changed(at, app, instances));
        self.report.change(at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        self.told.push(Told::Decided(at, app, seen, action));
        self.report.decide(at, app, seen, action);
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        self.told.push(Told::Unplaced(at, app, reasons));
        self.report.unplaced(at, app, reasons);
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        self.told.push(Told::Incident(at, incident));
        self.report.incident(at, incident);
    }

    fn share(
        &mut self,
        at: Time,
        pair: usize,
        seen: sharing::Observation,
        action: sharing::Action,
    ) {
        self.told.push(Told::Shared(at, pair, seen, action));
        self.report.share(at, pair, seen, action);
    }

    fn slot(&mut self, at: Time, slot: Slot) {
        self.told.push(Told::Slot(at, slot));
        self.report.slot(at, slot);
    }

    fn stop(&mut self, at: Time, arrival: &Arrival, stopped: Stopped) {
        self.told.push(Told::Stopped(at, arrival.key, stopped));
        self.report.stop(at, arrival, stopped);
    }

    fn flow(&mut self, flow: Flow) {
        assert!(flow.from < flow.until && flow.transfers > 0);
        self.flows.push(flow);
        self.report.flow(flow);
    }

    fn peak_queue(&mut self, app: usize, requests: u64) {
        self.told.push(Told::Peak(app, requests));
        self.report.peak_queue(app, requests);
    }
}

/// Runs both engines and holds them to each other, and to what is true of each run.
fn agree(model: &Model) -> Result<(), TestCaseError> {
    let mut slow = Everything::new(model);
    let checked = oracle::run(model, &mut slow);
    let mut fast = Everything::new(model);
    crate::run(model, &mut fast);
    let arrivals = Workload::all(model);
    prop_assert!(arrivals.iter().all(|arrival| slow.outcomes.contains_key(&arrival.key)));
    prop_assert_eq!(&fast.told, &slow.told);
    prop_assert_eq!(&fast.outcomes, &slow.outcomes);
    prop_assert_eq!(&fast.settled, &slow.settled);
    prop_assert_eq!(&fast.finished, &slow.finished);
    prop_assert_eq!(&fast.report, &slow.report);
    // Each request of a client that tries again is settled once, after all of its attempts but
    // those that it has given up.
    let tries = |arrival: &Arrival| {
        let source = model.sources.get(usize::from(arrival.source));
        source.is_some_and(|source| source.retries.is_some())
    };
    prop_assert_eq!(arrivals.iter().filter(|arrival| tries(arrival)).count(), slow.settled.len());
    let more: u32 = slow.settled.values().map(|(attempts, _)| attempts - 1).sum();
    let steps: u32 = slow.finished.values().map(|(steps, _)| steps - 1).sum();
    prop_assert_eq!(arrivals.len() + (more + steps) as usize, slow.outcomes.len());
    // Each pipeline ends once, and all that begin do.
    let begins = |arrival: &&Arrival| {
        let source = usize::from(arrival.source);
        let all = model.pipelines();
        all.iter().any(|step| step.source == source) && !all.iter().any(|step| step.by == source)
    };
    prop_assert_eq!(arrivals.iter().filter(begins).count(), slow.finished.len());
    // Whole blocks at once are summed up as one by one.
    prop_assert_eq!(&engine::report(model), &slow.report);
    // Little's law and work conservation, exactly: the run begins and ends empty.
    prop_assert_eq!(checked.presence - checked.lost_presence, slow.responses);
    prop_assert_eq!(checked.work - checked.lost_work, slow.services);
    prop_assert_eq!(checked.idle_beside_work, 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_request_by_request(model in model()) {
        agree(&model)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_crowds(model in crowded_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_links(model in linked_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_central_queues(model in central_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_queues_that_are_left(model in deserted_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_priorities(model in gated_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_retries(model in retried_model()) {
        agree(&model)?;
    }
}

/// What a run under sharing must keep, whatever else there is: nothing is lent beyond the part that
/// may be, and what is called back is back at the deadline.
fn gives_back(model: &Model, told: &[Told]) -> Result<(), TestCaseError> {
    let rules = model.sharing().unwrap().rules;
    let mut dues = BTreeMap::new();
    for told in told {
        match *told {
            Told::Shared(_, _, seen, sharing::Action::Lend(count)) => {
                let most = u64::from(seen.slots) * u64::from(rules.lend_thousandths) / 1000;
                prop_assert!(u64::from(seen.lent + count) <= most);
                // Peak and reserve stay.
                let left = seen.slots + seen.called - seen.lent - count;
                prop_assert!(left > seen.peak);
            }
            Told::Slot(at, Slot { machine, turn: Turn::Called { due }, .. }) => {
                prop_assert_eq!(due, at + rules.give_back);
                dues.entry((machine, at)).or_insert(due);
            }
            Told::Slot(at, Slot { machine, turn: Turn::Back { lent, called, .. }, .. }) => {
                let due = called.map(|called| dues[&(machine, called)]);
                // An instance of the lender may leave later than its slot was called back.
                prop_assert!(due.is_none_or(|due| at <= due || lent.is_none()));
            }
            _ => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_sharing(model in shared_model()) {
        agree(&model)?;
        let mut run = Everything::new(&model);
        crate::run(&model, &mut run);
        gives_back(&model, &run.told)?;
    }
}

/// A slot is lent when the instance there has left, and not when the engine next looks at it: just
/// after, other work ends there.
#[test]
fn a_slot_is_lent_at_the_instant_at_which_it_is_left() {
    let app = |name: &str| App {
        name: name.into(),
        machines: 3,
        instances: 1,
        life: Life::default(),
        crowd: None,
    };
    let cmd = |app, service| Cmd {
        name: "cmd".into(),
        app,
        service: Law::Constant(Nanoseconds(service)),
        deadline: None,
        stages: None,
    };
    let source = |cmd, arrivals| Source { tenants: 0, cmd, arrivals, retries: None };
    let (at, over) = (Nanoseconds(307), Nanoseconds::ZERO);
    let rules = sharing::Sharing {
        lend_thousandths: 1000,
        reserve_thousandths: 0,
        idle_for: Nanoseconds::ZERO,
        give_back: Nanoseconds(1000),
        unfinished: Unfinished::Requeue,
        interval: Nanoseconds(10),
    };
    let sharing = Some(Sharing { rules, pairs: vec![Pair { lender: 0, borrower: 1 }] });
    let model = Model {
        seed: 1,
        duration: Nanoseconds(2000),
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![app("lender"), app("borrower")],
        cmds: vec![cmd(0, 100), cmd(1, 25)],
        tenants: vec![Tenants { name: "all".into(), class: Class::Paid, users: 1, skew: 0.0 }],
        sources: vec![
            // At 102, 204 and 306, to one machine after the other: the last one works until 406.
            source(0, Arrivals::Constant { gap: 102.0 }),
            // Eight for each machine: one ends at 407.
            source(1, Arrivals::Burst { at, requests: 24, over }),
        ],
        admission: Admission::default(),
        queue: Queue::OPEN,
        balance: Balance::RoundRobin,
        network: None,
        dynamics: Dynamics { sharing, ..Dynamics::default() },
    };
    agree(&model).unwrap();
    let mut run = Everything::new(&model);
    crate::run(&model, &mut run);
    let lent = Told::Slot(Time(406), Slot { pair: 0, machine: 2, turn: Turn::Lent });
    assert!(run.told.contains(&lent), "{:?}", run.told);
}

/// The random scenarios above reach every way in which a slot can come back.
#[test]
fn all_ways_back_are_taken() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    let mut models = 0;
    for _ in 0..400 {
        let model = shared_model().new_tree(&mut runner).unwrap().current();
        let mut run = Everything::new(&model);
        crate::run(&model, &mut run);
        let before = seen.len();
        for told in &run.told {
            match told {
                Told::Slot(_, Slot { turn: Turn::Back { lent, how, .. }, .. }) => {
                    *seen.entry(format!("{how:?}, lent: {}", lent.is_some())).or_insert(0u32) += 1;
                }
                Told::Stopped(_, _, stopped) => {
                    *seen.entry(format!("{:?}", stopped.fate)).or_insert(0u32) += 1;
                }
                _ => {}
            }
        }
        models += usize::from(seen.len() > before || !run.report.lending.is_empty());
    }
    assert_eq!(models, 400, "all can share");
    for way in [Returned::Idle, Returned::Stopped, Returned::Crashed, Returned::Lost] {
        let way = format!("{way:?}, lent: true");
        assert!(seen.get(&way).is_some_and(|count| *count > 10), "{way}: {seen:?}");
    }
    for way in ["Idle, lent: false", "Lost, lent: false", "Requeue", "Fail"] {
        assert!(seen.contains_key(way), "{way}: {seen:?}");
    }
}

/// The random scenarios with links reach what matters: transfers that hinder each other on each kind
/// of link, and transfers that end with their machine.
#[test]
fn links_are_shared_and_lost() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut slower, mut lost) = ([0u32; 2], 0u32);
    let mut crowded = [0u32; 3];
    for _ in 0..200 {
        let model = linked_model().new_tree(&mut runner).unwrap().current();
        let mut run = Everything::new(&model);
        crate::run(&model, &mut run);
        for flow in run.flows.iter().filter(|flow| flow.transfers > 1) {
            crowded[flow.channel.index()] += 1;
        }
        let paths = Paths::new(&model);
        for (key, (_, _, outcome)) in &run.outcomes {
            let Ok(Served { transfers: Some(took), .. }) = outcome else { continue };
            let path = paths.at(run.sources[key], *key).unwrap();
            assert!(took.download >= path.download && took.respond >= path.respond);
            slower[0] += u32::from(took.download > path.download);
            slower[1] += u32::from(took.respond > path.respond);
        }
        // What a machine was sending when it failed had been worked on.
        for told in &run.told {
            if let Told::Incident(_, Incident::Lost(known)) = told {
                lost += u32::from(known.cause == Cause::Machine && known.requests > 0);
            }
        }
    }
    assert!(crowded.iter().all(|count| *count > 100), "{crowded:?}");
    assert!(slower.iter().all(|count| *count > 500), "{slower:?}");
    assert!(lost > 20, "{lost}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_stages(model in staged_model()) {
        agree(&model)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_balancers_that_learn(model in learning_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_pipelines(model in piped_model()) {
        agree(&model)?;
    }

    #[test]
    fn engines_agree_about_disciplines(model in disciplined_model()) {
        agree(&model)?;
    }
}

/// The random scenarios above reach what they are about: levels refuse, in and out of order of
/// classes, and deadlines behind waits refuse other requests than those without.
#[test]
fn priorities_and_deadlines_refuse() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut causes, mut classes) = ([0u32; Refusal::ALL.len()], [0u32; 2]);
    let (mut others, mut predicting) = (0u32, 0u32);
    for _ in 0..400 {
        let mut model = gated_model().new_tree(&mut runner).unwrap().current();
        let run = |model: &Model| {
            let mut run = Everything::new(model);
            crate::run(model, &mut run);
            (run.outcomes, run.sources)
        };
        let (outcomes, sources) = run(&model);
        for (key, (_, _, outcome)) in &outcomes {
            let Err(cause) = outcome else { continue };
            causes[cause.index()] += 1;
            if *cause == Refusal::Overload {
                let source = &model.sources[usize::from(sources[key])];
                classes[model.tenants[source.tenants].class.index()] += 1;
            }
        }
        if model.admission.deadlines == Deadlines::Predict {
            model.admission.deadlines = Deadlines::Refuse;
            predicting += 1;
            others += u32::from(run(&model).0 != outcomes);
        }
    }
    assert!(causes[Refusal::Overload.index()] > 1_000, "{causes:?}");
    assert!(causes[Refusal::Deadline.index()] > 2_000, "{causes:?}");
    assert!(classes.iter().all(|count| *count > 200), "{classes:?}");
    assert!(others * 8 > predicting, "{others} of {predicting}");
}

/// The random scenarios above reach what they are about: queues that the last instance has left.
#[test]
fn queues_are_left() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut left = BTreeMap::new();
    for _ in 0..1_000 {
        let model = deserted_model().new_tree(&mut runner).unwrap().current();
        let mut run = Everything::new(&model);
        crate::run(&model, &mut run);
        for told in &run.told {
            if let Told::Incident(_, Incident::Lost(Lost { cause: Cause::Left, requests, .. })) =
                told
            {
                *left.entry(format!("{:?}", model.queue.scope)).or_insert(0u32) += requests;
            }
        }
    }
    assert!(left.get("Central").is_some_and(|requests| *requests > 20), "{left:?}");
}

/// The random scenarios above reach what they are about: each cause of its own, and each order.
#[test]
fn disciplines_refuse_and_drop() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut causes = [0u32; Refusal::ALL.len()];
    let mut controlled = 0u32;
    let mut orders = BTreeMap::new();
    for _ in 0..300 {
        let mut model = disciplined_model().new_tree(&mut runner).unwrap().current();
        let run = |model: &Model| {
            let mut run = Everything::new(model);
            crate::run(model, &mut run);
            run.outcomes
        };
        let outcomes = run(&model);
        for (_, _, outcome) in outcomes.values() {
            if let Err(cause) = outcome {
                causes[cause.index()] += 1;
                let law = model.queue.overload.map(|overload| overload.law);
                let is_controlled = *cause == Refusal::Shed && law == Some(overload::Law::Codel);
                controlled += u32::from(is_controlled);
            }
        }
        let order = model.queue.order;
        model.queue.order = Order::Fifo;
        let (differs, all) = orders.entry(format!("{order:?}")).or_insert((0u32, 0u32));
        *differs += u32::from(run(&model) != outcomes);
        *all += 1;
    }
    assert!(causes[Refusal::LongWait.index()] > 500, "{causes:?}");
    assert!(causes[Refusal::Shed.index()] > 400 + controlled, "{causes:?}");
    assert!(controlled > 30, "{controlled}");
    assert_eq!(orders["Fifo"].0, 0);
    for order in ["DeficitRoundRobin", "AdaptiveLifo"] {
        assert!(orders[order].0 * 20 > orders[order].1, "{orders:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_while_instances_come_and_go(model in dynamic_model()) {
        agree(&model)?;
    }

    /// Without scaling and priorities both fast engines could run a model.
    #[test]
    fn bounds_that_allow_no_change_change_nothing(model in model()) {
        let mut fixed = model.clone();
        let interval = Nanoseconds(GRID);
        fixed.dynamics.scaling = Some(Scaling {
            target: 1, min: 0, max: 0, step: 1, interval,
            cool_down: Nanoseconds::ZERO, scale_in_after: None,
            rule: Rule::Tasks, schedule: Schedule::NONE,
        });
        for app in &mut fixed.apps {
            let all = app.machines * app.instances;
            app.life.bounds = Some((all, all));
        }
        let (mut plain, mut live) = (Everything::new(&model), Everything::new(&fixed));
        crate::run(&model, &mut plain);
        crate::run(&fixed, &mut live);
        prop_assert_eq!(plain.outcomes, live.outcomes);
    }
}

/// Targets of one instance each that nobody is refused by: mostly some are idle, but now and then
/// there is a rush, and in between there is time enough to get over it.
fn rushed_model() -> impl Strategy<Value = Model> {
    let choices = prop_oneof![Just(2u8), 3u8..=8];
    let choices =
        choices.prop_map(|choices| Balance::PowerOfChoices(Choices::new(choices).unwrap()));
    let balance = prop_oneof![
        2 => choices,
        1 => Just(Balance::Random),
        3 => Just(Balance::JoinShortestQueue),
        3 => Just(Balance::LeastLoaded),
    ];
    let phase = |load: f64, machines: u32, requests: f64| {
        let gap = 1000.0 / load / f64::from(machines);
        Phase { gap, lasts: Nanoseconds(whole(gap * requests)) }
    };
    let loads = (0.2f64..0.8, 0.9f64..2.0);
    (any::<u64>(), loads, 2u32..70, 1usize..3, balance).prop_map(
        move |(seed, (quiet, burst), machines, sources, balance)| {
            let (quiet, burst) = (phase(quiet, machines, 9e3), phase(burst, machines, 1e3));
            let source = Source {
                tenants: 0,
                cmd: 0,
                arrivals: Arrivals::Switching { quiet, burst },
                retries: None,
            };
            let sources = vec![source; sources];
            Model {
                seed,
                duration: Nanoseconds(whole(quiet.gap * 25e3)),
                warm_up: Nanoseconds::ZERO,
                gateways: 1,
                apps: vec![App {
                    name: "app".into(),
                    machines,
                    instances: 1,
                    life: Life::default(),
                    crowd: None,
                }],
                cmds: vec![Cmd {
                    name: "cmd".into(),
                    app: 0,
                    service: Law::Exponential { mean: 1000.0 },
                    deadline: None,
                    stages: None,
                }],
                tenants: vec![Tenants {
                    name: "all".into(),
                    class: Class::Free,
                    users: 1,
                    skew: 0.0,
                }],
                sources,
                admission: Admission::default(),
                queue: Queue::OPEN,
                balance,
                network: None,
                dynamics: Dynamics::default(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_rushes(model in rushed_model()) {
        agree(&model)?;
    }
}
