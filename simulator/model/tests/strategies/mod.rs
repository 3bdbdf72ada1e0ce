//! Random small models for the tests that hold engines to each other: what each kind has at least.
//! Each test takes some of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use policy::adaptive::{Adaptive, Aimd, By, Gradient2, Rule, Shares, Vegas};
use policy::admission::{Admission, Deadlines, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::queue::{Classes, Counts, Queue, QueueScope};
use policy::{Class, Nanoseconds, Scope};
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_kernel::law::Quantiles;
use simulator_model::{
    App, Arrivals, Cmd, Dynamics, Life, Model, Phase, Rates, Sine, Source, Stretch, Tenants,
};

pub mod lively;
pub mod queues;
pub mod ways;

/// Times on a coarse grid make ties, where engines differ first.
pub const GRID: u64 = 10;

pub fn law() -> impl Strategy<Value = Law> {
    let grid = |steps: u64| Law::Constant(Nanoseconds(steps * GRID));
    prop_oneof![
        3 => (0u64..12).prop_map(grid),
        2 => (1.0f64..200.0).prop_map(|mean| Law::Exponential { mean }),
        1 => (1.0f64..90.0, 0.1f64..2.0)
            .prop_map(|(median, sigma)| Law::Lognormal { median, sigma }),
        1 => (0.1f64..0.9, 1.0f64..40.0, 40.0f64..400.0)
            .prop_map(|(share, first, second)| Law::Hyperexponential { share, first, second }),
        1 => (1.0f64..40.0, 1.0f64..100.0).prop_map(|(low, more)| {
            let points = vec![(0.0, 0.0), (0.7, low), (1.0, low + more)];
            Law::Empirical(Quantiles::new(points).unwrap())
        }),
    ]
}

pub fn arrivals() -> impl Strategy<Value = Arrivals> {
    prop_oneof![
        2 => (1u64..8).prop_map(|steps| Arrivals::Constant { gap: (steps * GRID) as f64 }),
        3 => (5.0f64..150.0).prop_map(|gap| Arrivals::Poisson { gap }),
        1 => (0u64..200, 0u64..40, 0u64..100).prop_map(|(at, requests, over)| Arrivals::Burst {
            at: Nanoseconds(at * GRID),
            requests,
            over: Nanoseconds(over * GRID),
        }),
        1 => (5.0f64..150.0, 0.0f64..0.9, 1u64..3000, 0u64..3000).prop_map(
            |(gap, amplitude, period, peak)| {
                let (period, peak) = (Nanoseconds(period), Nanoseconds(peak));
                Arrivals::Sine(Sine { gap, amplitude, period, peak })
            }
        ),
        1 => (proptest::collection::vec(stretch(), 0..4), any::<bool>()).prop_map(
            |(stretches, repeats)| {
                Arrivals::Lines(Rates { stretches: stretches.into(), repeats })
            }
        ),
        1 => (phase(), phase()).prop_map(|(quiet, burst)| Arrivals::Switching { quiet, burst }),
    ]
}

pub fn stretch() -> impl Strategy<Value = Stretch> {
    let rate = || prop_oneof![Just(0.0), 0.0f64..0.2];
    (0u64..80, rate(), rate()).prop_map(|(length, from, to)| Stretch {
        length: Nanoseconds(length * GRID),
        from,
        to,
    })
}

pub fn phase() -> impl Strategy<Value = Phase> {
    (5.0f64..150.0, 1u64..1000).prop_map(|(gap, lasts)| Phase { gap, lasts: Nanoseconds(lasts) })
}

pub fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Gateway), Just(Scope::Cluster)]
}

pub fn limits() -> impl Strategy<Value = Option<Limits>> {
    let rate = proptest::option::of(
        (1u64..200, 0u32..6).prop_map(|(interval, burst)| Rate::new(Nanoseconds(interval), burst)),
    );
    let limits = (rate, proptest::option::of(0u32..8), scope())
        .prop_map(|(rate, concurrency, scope)| Limits { rate, concurrency, scope });
    proptest::option::of(limits)
}

/// Limits that change with nearly each answer. Boxed, like all of admission: strategies of whole
/// models are large, and stacks of tests are not.
pub fn adaptive() -> BoxedStrategy<Adaptive> {
    let aimd = (300u32..1000, 1u64..40).prop_map(|(back_off_thousandths, timeout)| {
        Rule::Aimd(Aimd { back_off_thousandths, timeout: Nanoseconds(timeout * GRID) })
    });
    let gradient = (1000u32..2000, 1u32..4).prop_map(|(tolerance_thousandths, queue)| {
        Rule::Gradient2(Gradient2 { tolerance_thousandths, queue })
    });
    let vegas = (0u32..3, 0u32..3, 1u32..4)
        .prop_map(|(alpha, more, probe)| Rule::Vegas(Vegas { alpha, beta: alpha + more, probe }));
    let window = prop_oneof![2 => Just(0u64), 1 => 1u64..30];
    let by = prop_oneof![Just(By::All), Just(By::Cmd)];
    let shares = (0u32..=500, 0u32..=500).prop_map(|(free_thousandths, paid_thousandths)| Shares {
        free_thousandths,
        paid_thousandths,
    });
    let shares = proptest::option::of(shares);
    (prop_oneof![aimd, gradient, vegas], 1u32..4, 0u32..12, window, scope(), by, shares)
        .prop_map(|(rule, min, more, window, scope, by, shares)| Adaptive {
            rule,
            min,
            max: min + more,
            initial: min + more / 2,
            window: Nanoseconds(window * GRID),
            scope,
            by,
            shares,
        })
        .boxed()
}

pub fn admission() -> BoxedStrategy<Admission> {
    let accept = (1u32..30, scope()).prop_map(|(permits, scope)| Permits { permits, scope });
    let deadlines = prop_oneof![Just(Deadlines::Ignore), Just(Deadlines::Refuse)];
    let adaptive = proptest::option::weighted(0.3, adaptive());
    (proptest::option::of(accept), limits(), limits(), deadlines, adaptive)
        .prop_map(|(accept, user, cmd, deadlines, adaptive)| Admission {
            accept,
            user,
            cmd,
            deadlines,
            adaptive,
            overload: None,
        })
        .boxed()
}

pub fn queue() -> impl Strategy<Value = Queue> {
    let bound = || prop_oneof![3 => 0u32..12, 1 => Just(Queue::UNLIMITED)];
    let scope = prop_oneof![Just(QueueScope::Node), Just(QueueScope::Instance)];
    let counts = prop_oneof![Just(Counts::Waiting), Just(Counts::InSystem)];
    let classes = prop_oneof![Just(Classes::Together), Just(Classes::Apart)];
    (bound(), bound(), scope, counts, classes).prop_map(|(free, paid, scope, counts, classes)| {
        Queue { free, paid, scope, counts, classes, ..Queue::OPEN }
    })
}

pub fn balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::Random),
        Just(Balance::RoundRobin),
        Just(Balance::LeastLoaded),
        Just(Balance::JoinShortestQueue),
        (1u8..=Choices::MOST)
            .prop_map(|choices| { Balance::PowerOfChoices(Choices::new(choices).unwrap()) }),
    ]
}

pub fn model() -> BoxedStrategy<Model> {
    // Some lengths of rows have code of their own; an index of targets has words of 64.
    let machines = prop_oneof![9 => 0u32..5, 1 => 60u32..70];
    let wide = prop_oneof![Just(8u32), Just(16), Just(24), Just(32)];
    let instances = prop_oneof![4 => 1u32..5, 1 => wide];
    let app = (machines, instances).prop_map(|(machines, instances)| App {
        name: "app".into(),
        machines,
        instances,
        life: Life::default(),
        crowd: None,
    });
    let cmd =
        (0usize..2, law(), proptest::option::of(1u64..300)).prop_map(|(app, service, deadline)| {
            let deadline = deadline.map(Nanoseconds);
            Cmd { name: "cmd".into(), app, service, deadline, stages: None }
        });
    let class = prop_oneof![Just(Class::Free), Just(Class::Paid)];
    let group = (class, 1u32..4, prop_oneof![Just(0.0), Just(1.1)])
        .prop_map(|(class, users, skew)| Tenants { name: "tenants".into(), class, users, skew });
    let source = (0usize..2, 0usize..3, arrivals()).prop_map(|(tenants, cmd, arrivals)| Source {
        tenants,
        cmd,
        arrivals,
        retries: None,
    });
    let place = (any::<u64>(), 100u64..3000, 1u16..4);
    let parts = (
        proptest::collection::vec(app, 2),
        proptest::collection::vec(cmd, 3),
        proptest::collection::vec(group, 2),
        proptest::collection::vec(source, 0..4),
    );
    (place, parts, admission(), queue(), balance())
        .prop_map(
            |(
                (seed, duration, gateways),
                (apps, cmds, tenants, sources),
                admission,
                queue,
                balance,
            )| {
                let (duration, warm_up) = (Nanoseconds(duration), Nanoseconds(duration / 4));
                Model {
                    seed,
                    duration,
                    warm_up,
                    gateways,
                    apps,
                    cmds,
                    tenants,
                    sources,
                    admission,
                    queue,
                    balance,
                    network: None,
                    dynamics: Dynamics::default(),
                }
            },
        )
        .boxed()
}
