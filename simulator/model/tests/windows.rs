//! Lanes against the oracle of windows, request by request, on random small scenarios, for several
//! numbers of lanes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use policy::admission::{Accounts, Admission, Candidate, Learned, Limits};
use policy::balance::Balance;
use policy::placement::{Resources, Unplaced};
use policy::queue::{Queue, QueueScope};
use policy::scaling::{Action, Observation, Rule, Scaling, Schedule};
use policy::{Class, Nanoseconds, Refusal, Scope, Time};
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_model::look::Look;
use simulator_model::windows::{self, Lane, Parcel, Request, Streams, Tally, Witness};
use simulator_model::{
    App, Arrival, Arrivals, Cmd, Download, Dynamics, Fed, Instances, Life, Link, Model, Network,
    Outcome, Path, Record, Report, Source, Stages, Tenants, WarmUp,
};

#[path = "behind/mod.rs"]
mod behind;
use crate::outside::listed;
use crate::strategies::lively::{life, scaling};
use crate::strategies::{self, GRID};

pub fn network() -> impl Strategy<Value = Network> {
    let delay = prop_oneof![(1u64..12).prop_map(|steps| steps * GRID), 1u64..200];
    (delay, 1u64..6).prop_map(|(delay, every)| Network {
        delay: Nanoseconds(delay),
        reports: Nanoseconds(delay * every),
    })
}

/// What can be behind a network: gateways count for themselves.
pub fn model() -> impl Strategy<Value = Model> {
    (strategies::model(), 1u16..5).prop_map(|(mut model, gateways)| {
        model.gateways = gateways;
        let rules = &mut model.admission;
        rules.accept.iter_mut().for_each(|permits| permits.scope = Scope::Gateway);
        for limits in rules.user.iter_mut().chain(&mut rules.cmd) {
            limits.scope = Scope::Gateway;
        }
        rules.adaptive.iter_mut().for_each(|adaptive| adaptive.scope = Scope::Gateway);
        model
    })
}

/// Models whose apps scale, if the time between ticks is set.
pub fn scaling_model() -> impl Strategy<Value = Model> {
    let room = prop_oneof![3 => 2u32..16, 1 => Just(u32::MAX)];
    let lives = proptest::collection::vec(life(), 2);
    (model(), lives, scaling(), room.clone(), room).prop_map(
        |(mut model, lives, scaling, cores, memory_mib)| {
            for (app, life) in model.apps.iter_mut().zip(lives) {
                app.life = life;
                // Many machines are slow in lists, and show nothing that few don't.
                app.machines %= 8;
            }
            model.queue.scope = QueueScope::Node;
            let capacity = Resources { cores, memory_mib };
            let scaling = Some(scaling);
            model.dynamics = Dynamics { capacity, scaling, ..Dynamics::default() };
            model
        },
    )
}

/// Priorities under overload, where something waits.
fn gated() -> impl Strategy<Value = (Model, Network)> {
    let stages = proptest::option::weighted(0.3, some_stages());
    let models = prop_oneof![2 => model().boxed(), 1 => scaling_model().boxed()];
    let rules = (strategies::queues::dagor(), any::<bool>(), 1u64..8);
    (models, stages, network(), rules).prop_map(
        |(model, stages, network, (dagor, is_busy, interval))| {
            let mut model = with_stages(model, stages.unwrap_or_default());
            for app in model.apps.iter_mut().filter(|_| is_busy) {
                (app.machines, app.instances) = (app.machines.clamp(1, 2), 1);
            }
            for bound in [&mut model.queue.free, &mut model.queue.paid] {
                *bound = (*bound).max(8);
            }
            if let Some(scaling) = &mut model.dynamics.scaling {
                scaling.interval = Nanoseconds(network.delay.0 * interval);
            }
            model.admission.overload = Some(dagor);
            (model, network)
        },
    )
}

/// Stages of some commands.
fn some_stages() -> impl Strategy<Value = Vec<Option<Stages>>> {
    proptest::collection::vec(proptest::option::weighted(0.7, strategies::ways::stages()), 3)
}

fn with_stages(mut model: Model, stages: Vec<Option<Stages>>) -> Model {
    for (cmd, stages) in model.cmds.iter_mut().zip(stages) {
        cmd.stages = stages;
    }
    model
}

/// What is told of a run: outcomes by key, changes of instances, decisions; and the report.
struct Both {
    outcomes: Vec<(u64, Outcome)>,
    changes: Vec<(Time, usize, Instances)>,
    decisions: Vec<(Time, usize, Observation, Action)>,
    unplaced: Vec<(Time, usize, Unplaced)>,
    tally: Tally,
}

impl Both {
    fn new(model: &Model, network: Network, lane: u16) -> Self {
        Both {
            outcomes: Vec::new(),
            changes: Vec::new(),
            decisions: Vec::new(),
            unplaced: Vec::new(),
            tally: Tally::new(model, network, lane),
        }
    }
}

impl Witness for Both {
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        self.outcomes.outcome(request, path, outcome);
        self.tally.outcome(request, path, outcome);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        self.changes.push((at, app, instances));
        self.tally.change(at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        self.decisions.push((at, app, seen, action));
        self.tally.decide(at, app, seen, action);
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        self.unplaced.push((at, app, reasons));
        self.tally.unplaced(at, app, reasons);
    }
}

/// Times that are far are kept in another way than those that are near. These runs are short, so nothing
/// would be far; here much is, from none (in 2 and 8 lanes) to what is two windows away.
const REACHES: [u32; 3] = [100, 0, u32::MAX];

/// All lanes of a run in one thread, as threads would move them: step by step.
fn run_in_lanes(model: &Model, network: Network, fed: Option<&[Fed]>, lanes: u16) -> Vec<Both> {
    // Shared, so that they can work ahead for each other.
    let streams = Arc::new(Streams::new(model));
    let lane = |number| {
        let (place, both) = ((number, lanes), Both::new(model, network, number));
        let lane = Lane::sharing(model, network, place, Arc::clone(&streams), both);
        let lane = lane.within(REACHES[usize::from(lanes) % REACHES.len()]);
        match fed {
            None => lane,
            Some(fed) => lane.fed(model, listed(fed)),
        }
    };
    let mut all: Vec<Lane<'_, Both>> = (0..lanes).map(lane).collect();
    let parcels = || (0..lanes).map(|_| Parcel::default()).collect::<Vec<_>>();
    // What is on its way: for each step in which it was sent, by sender, then by receiver.
    let nothing = || (0..lanes).map(|_| parcels()).collect::<Vec<_>>();
    let mut on_the_way: VecDeque<_> = (0..Lane::<Both>::TRAVEL).map(|_| nothing()).collect();
    while all.iter().any(|lane| !lane.is_over()) {
        let mut sent = on_the_way.pop_front().unwrap();
        let mut next: Vec<Vec<Parcel>> = Vec::new();
        for (number, lane) in all.iter_mut().enumerate() {
            let mut inbound: Vec<Parcel> = sent
                .iter_mut()
                .filter_map(|parcels| parcels.get_mut(number))
                .map(std::mem::take)
                .collect();
            let mut outbound = parcels();
            lane.advance(&mut inbound, &mut outbound);
            next.push(outbound);
            // Some wait for others, and work ahead as long as they do.
            for late in (0..lanes).filter(|late| (number + usize::from(*late)) % 3 != 0) {
                lane.prepare(late);
            }
        }
        on_the_way.push_back(next);
    }
    all.into_iter().map(Lane::finish).collect()
}

/// Lanes must tell what the oracle tells; how much that is.
fn agree(model: &Model, network: Network) -> Result<Told, TestCaseError> {
    let (told, report) = agree_about(model, network, None)?;
    prop_assert_eq!(windows::report(model, network), report);
    Ok(told)
}

/// The same with requests from outside, if they are given.
pub fn agree_about(
    model: &Model,
    network: Network,
    fed: Option<&[Fed]>,
) -> Result<(Told, Report), TestCaseError> {
    windows::check(model, network).unwrap();
    let both = Both::new(model, network, 0);
    let mut slow = match fed {
        None => windows::oracle::run(model, network, both),
        Some(fed) => windows::oracle::run_fed(model, network, listed(fed), both),
    };
    slow.outcomes.sort_unstable_by_key(|(key, _)| *key);
    let wanted = slow.tally.into_report();
    for lanes in [1, 2, 3, 8] {
        let mut parts = run_in_lanes(model, network, fed, lanes).into_iter();
        let first = parts.next().unwrap();
        prop_assert_eq!(&first.decisions, &slow.decisions, "{} lanes", lanes);
        prop_assert_eq!(&first.unplaced, &slow.unplaced, "{} lanes", lanes);
        let (mut outcomes, mut report) = (first.outcomes, first.tally.into_report());
        for part in parts {
            prop_assert!(part.changes.is_empty() && part.decisions.is_empty());
            outcomes.extend(part.outcomes);
            report.merge(&part.tally.into_report());
        }
        outcomes.sort_unstable_by_key(|(key, _)| *key);
        prop_assert_eq!(&outcomes, &slow.outcomes, "{} lanes", lanes);
        prop_assert_eq!(&first.changes, &slow.changes, "{} lanes", lanes);
        let mut wanted = wanted.clone();
        let nothing = Report::none(model);
        (1..lanes).for_each(|_| wanted.merge(&nothing));
        prop_assert_eq!(&report, &wanted, "{} lanes", lanes);
    }
    let refused = slow.outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    let of = |is: fn(&Action) -> bool| {
        slow.decisions.iter().filter(|(_, _, _, action)| is(action)).count()
    };
    let told = Told {
        added: of(|action| matches!(action, Action::Add(..))),
        removed: of(|action| matches!(action, Action::Remove(..))),
        served: slow.outcomes.len() - refused,
        unplaced: slow.unplaced.len(),
        outcomes: slow.outcomes,
    };
    Ok((told, wanted))
}

#[derive(Debug, Default)]
pub struct Told {
    added: usize,
    removed: usize,
    pub served: usize,
    unplaced: usize,
    /// In the order of keys.
    pub outcomes: Vec<(u64, Outcome)>,
}

impl Told {
    /// How many were refused so.
    fn refused(&self, cause: Refusal) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| *outcome == Err(cause)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn lanes_agree_with_the_oracle_request_by_request(model in model(), network in network()) {
        agree(&model, network)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn lanes_agree_with_the_oracle_about_stages(
        model in model(),
        stages in some_stages(),
        network in network(),
    ) {
        agree(&with_stages(model, stages), network)?;
    }
}

/// Looks at all requests.
#[derive(Default)]
struct All {
    looks: BTreeMap<u64, Look>,
    outcomes: Vec<(Arrival, Outcome)>,
    decisions: usize,
}

impl Record for All {
    fn looks(&self) -> bool {
        true
    }

    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        self.outcomes.push((*arrival, outcome));
    }

    fn decide(&mut self, _at: Time, _app: usize, _seen: Observation, _action: Action) {
        self.decisions += 1;
    }

    fn wants(&self, _number: u64) -> bool {
        true
    }

    fn look(&mut self, arrival: &Arrival, look: Look) {
        assert!(self.looks.insert(arrival.number, look).is_none());
    }
}

/// What a gateway does with what a look shows.
fn admitted(model: &Model, arrival: &Arrival, look: &Look) -> Result<(), Refusal> {
    let source = &model.sources[usize::from(arrival.source)];
    let class = model.tenants[source.tenants].class;
    let cmd = &model.cmds[source.cmd];
    let (mut accepted, mut user, mut account) = (look.accepted, look.user, look.cmd);
    let (mut limiter, mut gate) = (look.limiter, look.gate.clone());
    let mut learned = Learned {
        limiter: limiter.as_mut().map(|limiter| (limiter, class)),
        gate: gate.as_mut().map(|(gate, priority)| (gate, *priority)),
    };
    let accounts = Accounts {
        accepted: &mut accepted,
        user: &mut user,
        cmd: &mut account,
        learned: Some(&mut learned),
    };
    let deadline = cmd.deadline.map_or(Time(u64::MAX), |deadline| arrival.at + deadline);
    let candidate = Candidate { deadline, usual: cmd.service.median() };
    policy::admit(&model.admission, accounts, candidate, arrival.at)
}

/// Who watches a run sees the outcomes of the oracle, and looks say what became of each request.
fn looks_agree(model: &Model, network: Network) -> Result<[usize; 4], TestCaseError> {
    let mut seen = All::default();
    windows::watch(model, network, None, &mut seen);
    let oracle = windows::oracle::run(model, network, Both::new(model, network, 0));
    prop_assert_eq!(seen.decisions, oracle.decisions.len());
    let mut wanted = oracle.outcomes;
    wanted.sort_unstable_by_key(|(key, _)| *key);
    let mut outcomes: Vec<_> =
        seen.outcomes.iter().map(|(arrival, outcome)| (arrival.key, *outcome)).collect();
    outcomes.sort_unstable_by_key(|(key, _)| *key);
    prop_assert_eq!(outcomes, wanted);
    seen.outcomes.sort_unstable_by_key(|(arrival, _)| arrival.number);
    let mut kinds = [0; 4];
    let mut before = Time::ZERO;
    for ((arrival, outcome), number) in seen.outcomes.iter().zip(0u64..) {
        prop_assert_eq!(arrival.number, number);
        prop_assert!(arrival.at >= before);
        before = arrival.at;
        let look = &seen.looks[&number];
        let source = &model.sources[usize::from(arrival.source)];
        let class = model.tenants[source.tenants].class;
        let judged = admitted(model, arrival, look);
        let queued = look
            .chosen
            .map(|chosen| (chosen, policy::enqueue(&model.queue, class, chosen.standing)));
        let kind = match (outcome, judged, queued) {
            (Ok(served), Ok(()), Some((chosen, Ok(())))) => {
                prop_assert_eq!(served.target, chosen.target);
                0
            }
            (Err(Refusal::QueueFull), Ok(()), Some((_, Err(Refusal::QueueFull)))) => 1,
            // What had instances may have none when a request with stages comes into its queue.
            (Err(Refusal::NoInstance), Ok(()), None | Some(_)) => 2,
            (Err(cause), Err(judged), _) if *cause == judged => 3,
            other => return Err(TestCaseError::fail(format!("{arrival:?}: {other:?}"))),
        };
        kinds[kind] += 1;
    }
    Ok(kinds)
}

#[test]
fn looks_say_what_the_oracle_does() {
    let config = ProptestConfig { cases: 600, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let stages = proptest::option::weighted(0.3, some_stages());
    let plain = (model(), stages, network()).prop_map(|(model, stages, network)| {
        (with_stages(model, stages.unwrap_or_default()), network)
    });
    let kinds = std::cell::Cell::new([0; 4]);
    let result = runner.run(&prop_oneof![1 => plain, 2 => gated()], |(model, network)| {
        let more = looks_agree(&model, network)?;
        let mut sums = kinds.get();
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        kinds.set(sums);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // Served, refused by a full queue, without an instance, refused by admission.
    assert!(kinds.get().iter().all(|kind| *kind > 100), "{:?}", kinds.get());
}

/// Gates move in some of these scenarios and refuse; all of them together must have refused often.
#[test]
fn lanes_agree_with_the_oracle_about_priorities() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 800,
        ..ProptestConfig::default()
    });
    let overloads = std::cell::Cell::new(0);
    let result = runner.run(&gated(), |(model, network)| {
        overloads.set(overloads.get() + agree(&model, network)?.refused(Refusal::Overload));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(overloads.get() > 1_000, "only {} were refused by gates", overloads.get());
}

/// The same with apps that scale. In all scenarios together everything must have happened often,
/// or the agreement says little.
#[test]
fn lanes_agree_with_the_oracle_while_apps_scale() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 800,
        ..ProptestConfig::default()
    });
    let told = std::cell::RefCell::new(Told::default());
    let stages = proptest::option::weighted(0.3, some_stages());
    let models = (scaling_model(), stages, network(), 1u64..8);
    let result = runner.run(&models, |(model, stages, network, interval)| {
        let mut model = with_stages(model, stages.unwrap_or_default());
        if let Some(scaling) = &mut model.dynamics.scaling {
            scaling.interval = Nanoseconds(network.delay.0 * interval);
        }
        let more = agree(&model, network)?;
        let mut told = told.borrow_mut();
        told.added += more.added;
        told.removed += more.removed;
        told.served += more.served;
        told.unplaced += more.unplaced;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let Told { added, removed, served, unplaced, .. } = told.into_inner();
    let all = [(added, 2_000), (removed, 500), (served, 10_000), (unplaced, 500)];
    assert!(all.iter().all(|(seen, wanted)| seen > wanted), "{all:?}");
}

/// Found by chance: a request whose source has come at the very instant of a tick, to a machine that
/// has lost its last instance.
#[test]
fn what_finds_no_instance_as_targets_count_is_not_counted() {
    let network = Network { delay: Nanoseconds(30), reports: Nanoseconds(60) };
    agree(&two_machines(), network).unwrap();
}

/// An app with one instance or two, whose requests are on their way for longer than it takes to lose
/// one; and one without machines.
fn two_machines() -> Model {
    let nothing = || Law::Constant(Nanoseconds::ZERO);
    let life = |bounds| Life {
        needs: Resources { cores: 1, memory_mib: 0 },
        bounds,
        start_up: nothing(),
        first_start_up: None,
        warm_up: WarmUp { over: Nanoseconds::ZERO, weight: 1, slowdown: 0 },
        cool_down: Nanoseconds::ZERO,
    };
    let app = |machines, bounds| {
        let life = life(bounds);
        App { name: "app".into(), machines, instances: 1, life, crowd: None }
    };
    let cmd =
        |app, service, stages| Cmd { name: "cmd".into(), app, service, deadline: None, stages };
    let tenants = || Tenants { name: "tenants".into(), class: Class::Free, users: 1, skew: 0.0 };
    let source = |which, arrivals| Source { tenants: which, cmd: which, arrivals, retries: None };
    let service = Law::Hyperexponential {
        share: 0.383_283_348_868_469_4,
        first: 12.411_338_770_130_646,
        second: 117.619_238_524_937_91,
    };
    let limits = Limits { rate: None, concurrency: Some(1), scope: Scope::Gateway };
    let scaling = Scaling {
        target: 3,
        min: 0,
        max: 0,
        step: 2,
        interval: Nanoseconds(30),
        cool_down: Nanoseconds::ZERO,
        scale_in_after: Some(Nanoseconds(40)),
        rule: Rule::Tasks,
        schedule: Schedule::NONE,
    };
    let capacity = Resources { cores: 2, memory_mib: 2 };
    Model {
        seed: 15_081_578_413_375_954_625,
        duration: Nanoseconds(1_381),
        warm_up: Nanoseconds(345),
        gateways: 3,
        apps: vec![app(0, None), app(2, Some((1, 2)))],
        cmds: vec![cmd(0, nothing(), None), cmd(1, service, Some(long_way()))],
        tenants: vec![tenants(), tenants()],
        sources: vec![
            source(0, Arrivals::Constant { gap: 10.0 }),
            source(1, Arrivals::Poisson { gap: 64.746_722_417_679_05 }),
        ],
        admission: Admission { cmd: Some(limits), ..Admission::default() },
        queue: Queue { free: 1, paid: 0, ..Queue::OPEN },
        balance: Balance::LeastLoaded,
        network: None,
        dynamics: Dynamics { capacity, scaling: Some(scaling), ..Dynamics::default() },
    }
}

fn long_way() -> Stages {
    let link = |ns| Link { latency: Law::Constant(Nanoseconds(ns)), bandwidth: None };
    Stages {
        accept: Law::Constant(Nanoseconds(50)),
        dispatch: Law::Constant(Nanoseconds(90)),
        download: Some(Download {
            size: Law::Constant(Nanoseconds::ZERO),
            cached: 0.668_211_130_309_175_4,
            network: link(70),
            store: link(60),
        }),
        respond: None,
    }
}
