//! Runs under the scheduler: what holds of them without another engine to compare with.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing
)]

use policy::balance::{Balance, Choices, FULL_WEIGHT};
use policy::config::Policy;
use policy::placement::Resources;
use policy::queue::QueueScope;
use policy::{Class, Nanoseconds, Refusal, Time};
use proptest::prelude::*;
use scheduler_core::decision::Decision;
use simulator_kernel::Law;
use simulator_model::{
    App, Arrival, Arrivals, Chance, Cmd, Crashes, Deployed, Dynamics, Effect, Faults, Incident,
    Instances, Life, Links, Model, Outcome, Record, Report, Scheduler, Source, Tenants, Upgrade,
    Version, WarmUp,
};

const SECOND: u64 = 1_000_000_000;

fn seconds(count: u64) -> Nanoseconds {
    Nanoseconds(count * SECOND)
}

fn policy() -> Policy {
    let mut policy = Policy::recommended();
    policy.scaling.target = 1;
    policy.scaling.step = 2;
    policy.scaling.cool_down = seconds(2);
    policy.scaling.scale_in_after = Some(seconds(20));
    policy.rollout.warm_up = seconds(5);
    policy.rollout.cool_down = seconds(3);
    policy.rollout.progress_deadline = seconds(40);
    policy.repair.replace_unreachable_after = seconds(20);
    policy
}

/// Six machines with eight instances at a load for about six, and room for twenty-four.
fn model(policy: Policy) -> Model {
    Model {
        seed: 1,
        duration: seconds(200),
        warm_up: Nanoseconds::ZERO,
        gateways: 2,
        apps: vec![App {
            name: "image".to_owned(),
            machines: 4,
            instances: 2,
            crowd: None,
            life: Life {
                bounds: Some((4, 24)),
                start_up: Law::Constant(seconds(2)),
                first_start_up: None,
                warm_up: WarmUp { over: Nanoseconds::ZERO, weight: FULL_WEIGHT, slowdown: 0 },
                cool_down: Nanoseconds::ZERO,
                needs: Resources { cores: 1, memory_mib: 0 },
            },
        }],
        cmds: vec![Cmd {
            name: "resize".to_owned(),
            app: 0,
            service: Law::Exponential { mean: 1e8 },
            deadline: None,
            stages: None,
        }],
        tenants: vec![Tenants { name: "all".to_owned(), class: Class::Paid, users: 5, skew: 0.0 }],
        sources: vec![Source {
            tenants: 0,
            cmd: 0,
            arrivals: Arrivals::Poisson { gap: 1e9 / 60.0 },
            retries: None,
        }],
        admission: policy.admission,
        queue: policy.queue,
        balance: Balance::PowerOfChoices(Choices::new(2).unwrap()),
        network: None,
        dynamics: Dynamics {
            links: Links::default(),
            capacity: Resources { cores: 6, memory_mib: 0 },
            scaling: Some(policy.scaling),
            faults: Faults::default(),
            scheduler: Some(Scheduler::new(policy)),
            sharing: None,
            pipelines: Vec::new(),
        },
    }
}

fn upgrade(version: Version) -> Upgrade {
    Upgrade { app: 0, at: Time(50 * SECOND), label: "second".to_owned(), step: None, version }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    outcomes: Vec<Option<Outcome>>,
    twice: u64,
    changes: Vec<(Time, Instances)>,
    decisions: Vec<Decision>,
    deployed: Vec<Deployed>,
    incidents: Vec<(Time, Incident)>,
}

impl Record for Seen {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let place = usize::try_from(arrival.number).unwrap();
        self.twice += u64::from(self.outcomes.get(place).is_some_and(Option::is_some));
        self.outcomes.record(arrival, outcome);
    }

    fn change(&mut self, at: Time, _app: usize, instances: Instances) {
        self.changes.push((at, instances));
    }

    fn scheduled(&mut self, _at: Time, _app: Option<usize>, decision: &Decision) {
        self.decisions.push(decision.clone());
    }

    fn deployed(&mut self, deployed: &Deployed) {
        self.deployed.push(deployed.clone());
    }

    fn incident(&mut self, at: Time, incident: Incident) {
        self.incidents.push((at, incident));
    }
}

/// Runs a model, and checks what holds of each run.
fn seen(model: &Model) -> Seen {
    let mut seen = Seen::default();
    crate::run(model, &mut seen);
    // Each request has one outcome: none is lost, none is told twice.
    assert_eq!(seen.twice, 0);
    assert!(seen.outcomes.iter().all(Option::is_some));
    let arrivals = simulator_model::Workload::new(model).rest().len();
    assert_eq!(seen.outcomes.len(), arrivals);
    // What was decided is decided again from its record.
    let policy = model.dynamics.scheduler.as_ref().unwrap().policy;
    for decision in &seen.decisions {
        decision.replay(&policy).unwrap();
    }
    seen
}

/// The mean number of ready instances.
fn mean(seen: &Seen, model: &Model) -> f64 {
    let mut sum = 0.0;
    let mut last = (Time::ZERO, model.apps[0].all_instances() as f64);
    for (at, instances) in &seen.changes {
        let at = (*at).min(Time(model.duration.0));
        sum += last.1 * at.since(last.0).0 as f64;
        last = (at, f64::from(instances.ready + instances.starting));
    }
    sum += last.1 * Time(model.duration.0).since(last.0).0 as f64;
    sum / model.duration.0 as f64
}

fn failed(seen: &Seen) -> usize {
    seen.outcomes.iter().filter(|outcome| **outcome == Some(Err(Refusal::Failed))).count()
}

#[test]
fn without_faults_both_ways_scale_alike() {
    for seed in 1..=5 {
        let mut scheduled = model(policy());
        scheduled.seed = seed;
        // The load doubles for a while.
        scheduled.sources.push(Source {
            tenants: 0,
            cmd: 0,
            retries: None,
            arrivals: Arrivals::Burst { at: seconds(60), requests: 6_000, over: seconds(60) },
        });
        let mut direct = scheduled.clone();
        direct.dynamics.scheduler = None;
        let (one, two) = (seen(&scheduled), {
            let mut seen = Seen::default();
            crate::run(&direct, &mut seen);
            seen
        });
        let (one_mean, two_mean) = (mean(&one, &scheduled), mean(&two, &direct));
        assert!((one_mean / two_mean - 1.0).abs() < 0.1, "seed {seed}: {one_mean} and {two_mean}");
        let most = |seen: &Seen| seen.changes.iter().map(|(_, count)| count.ready).max().unwrap();
        assert!(most(&one).abs_diff(most(&two)) <= 4, "{} and {}", most(&one), most(&two));
        assert!(most(&one) > 8, "it has scaled");
        assert_eq!((failed(&one), failed(&two)), (0, 0));
    }
}

#[test]
fn an_app_that_does_not_scale_is_the_same_both_ways() {
    for scope in [QueueScope::Node, QueueScope::Instance] {
        let mut scheduled = model(policy());
        scheduled.queue.scope = scope;
        scheduled.apps[0].life.bounds = None;
        let mut direct = scheduled.clone();
        direct.dynamics.scheduler = None;
        let (mut one, mut two) = (Seen::default(), Seen::default());
        crate::run(&scheduled, &mut one);
        crate::run(&direct, &mut two);
        assert_eq!(one.outcomes, two.outcomes);
    }
}

#[test]
fn an_upgrade_is_grey_and_loses_nothing() {
    let mut model = model(policy());
    model.apps[0].life.bounds = None;
    let version = Version { service_thousandths: 1200, ..Version::default() };
    model.dynamics.scheduler.as_mut().unwrap().upgrades = vec![upgrade(version)];
    let seen = seen(&model);
    let (at, how) = seen.deployed.last().unwrap().ended.clone().unwrap();
    assert_eq!(how, "done");
    assert_eq!(seen.deployed.last().unwrap().to, "second");
    // 8 instances, 2 at a time: start 2 s, warm-up 5 s; some rounds of that.
    assert!((60 * SECOND..120 * SECOND).contains(&at.0), "{at:?}");
    assert_eq!(failed(&seen), 0, "no request is lost");
    let surge = 2;
    let all = |count: &Instances| count.ready + count.starting + count.leaving;
    assert!(seen.changes.iter().all(|(_, count)| all(count) <= 8 + surge));
    assert!(seen.changes.iter().all(|(_, count)| count.ready >= 8), "capacity stays");
}

#[test]
fn a_version_that_is_not_healthy_goes_back() {
    let bad = [
        Version { is_healthy: false, ..Version::default() },
        Version { crashes: Some(Law::Exponential { mean: 2e9 }), ..Version::default() },
    ];
    for version in bad {
        let mut model = model(policy());
        model.apps[0].life.bounds = None;
        let scheduler = model.dynamics.scheduler.as_mut().unwrap();
        scheduler.health_grace = seconds(10);
        scheduler.upgrades = vec![upgrade(version)];
        let seen = seen(&model);
        let ends: Vec<&Deployed> =
            seen.deployed.iter().filter(|deployed| deployed.ended.is_some()).collect();
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert!(ends[0].ended.as_ref().unwrap().1.starts_with("failed: "), "{ends:?}");
        assert_eq!(ends[1].to, simulator_model::FIRST_VERSION);
        assert_eq!(ends[1].ended.as_ref().unwrap().1, "done");
        assert!(seen.changes.iter().all(|(_, count)| count.ready >= 6), "the old ones serve on");
    }
}

#[test]
fn a_machine_that_fails_is_replaced_when_it_is_silent_for_long_enough() {
    let mut model = model(policy());
    model.apps[0].life.bounds = None;
    let scheduler = model.dynamics.scheduler.as_mut().unwrap();
    scheduler.silent = seconds(10);
    let (at, repaired) = (Time(20 * SECOND), Time(120 * SECOND));
    let fault = simulator_model::Fault { machine: 1, at, repaired, effect: Effect::Fails };
    model.dynamics.faults.machines = vec![fault];
    let seen = seen(&model);
    let ready = |time: u64| {
        let before = seen.changes.iter().rev().find(|(at, _)| at.0 <= time * SECOND);
        before.map_or(8, |(_, count)| count.ready)
    };
    // Silent after 10 s, replaced 20 s later, started within 3 s more.
    assert_eq!([ready(19), ready(21), ready(49), ready(60), ready(190)], [8, 6, 6, 8, 8]);
}

/// Anything that can happen, in some combination.
fn any_model() -> impl Strategy<Value = Model> {
    let law = || (3.0f64..100.0).prop_map(|mean| Law::Exponential { mean: mean * 1e9 });
    let version = (500u32..2500, any::<bool>(), proptest::option::of(law())).prop_map(
        |(service_thousandths, is_healthy, crashes)| Version {
            service_thousandths,
            is_healthy,
            crashes,
        },
    );
    let upgrades =
        proptest::collection::vec((version, 5u64..80, proptest::option::of(1u32..3)), 0..3);
    let effect = prop_oneof![Just(Effect::Fails), Just(Effect::Slows(2000))];
    let racks = proptest::option::of(1u32..4);
    let chance = (racks, law(), law(), effect).prop_map(|(racks, between, lasts, effect)| Chance {
        racks,
        between,
        lasts,
        effect,
    });
    let faults = (proptest::option::of(chance), proptest::option::of(law()));
    let scope =
        prop_oneof![Just(QueueScope::Node), Just(QueueScope::Instance), Just(QueueScope::Central)];
    let delays = (0u64..2_000, 0u64..2_000, 0u64..5_000, 0u64..20);
    (any::<u64>(), upgrades, faults, scope, any::<bool>(), delays).prop_map(
        |(seed, upgrades, (chance, crashes), scope, scales, (commands, facts, found, silent))| {
            let mut model = model(policy());
            model.seed = seed;
            model.duration = seconds(100);
            model.queue.scope = scope;
            if !scales {
                model.apps[0].life.bounds = None;
            }
            let faults = &mut model.dynamics.faults;
            faults.chances.extend(chance);
            faults.crashes.extend(crashes.map(|after| Crashes { app: None, after }));
            let scheduler = model.dynamics.scheduler.as_mut().unwrap();
            scheduler.commands = Nanoseconds::from_milliseconds(commands);
            scheduler.facts = Nanoseconds::from_milliseconds(facts);
            scheduler.found = Nanoseconds::from_milliseconds(found);
            scheduler.silent = seconds(silent);
            scheduler.health_grace = seconds(10);
            scheduler.kill_grace = Nanoseconds::from_milliseconds(50 * (seed % 5));
            let known = upgrades.into_iter().zip(0..);
            scheduler.upgrades = known
                .map(|((version, at, step), number)| Upgrade {
                    app: 0,
                    at: Time(at * SECOND),
                    label: format!("v{number}"),
                    step,
                    version,
                })
                .collect();
            model
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever happens, each request has one outcome, all decisions replay, and the same seed
    /// gives the same run.
    #[test]
    fn nothing_is_lost_and_the_same_seed_is_the_same_run(model in any_model()) {
        let (one, two) = (seen(&model), seen(&model));
        prop_assert!(one == two);
        let mut reports = [Report::new(&model), Report::new(&model)];
        for report in &mut reports {
            crate::run(&model, report);
        }
        prop_assert_eq!(&reports[0], &reports[1]);
        // Instances in the end: none is counted twice or forgotten.
        if let Some((_, last)) = one.changes.last() {
            prop_assert!(last.ready + last.starting + last.leaving <= 24 * 2);
        }
    }
}
