//! Lanes against the oracle of windows, request by request, on random small scenarios, for several
//! numbers of lanes.

#![allow(clippy::unwrap_used)]

use policy::admission::{Admission, Deadlines, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::queue::{Classes, Counts, Order, Queue, QueueScope};
use policy::{Class, Nanoseconds, Scope};
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_kernel::law::Quantiles;
use simulator_model::windows::{self, Lane, Parcel, Request, Tally, Witness};
use simulator_model::{
    App, Arrivals, Cmd, Dynamics, Life, Model, Network, Outcome, Phase, Sine, Source, Tenants,
};

/// Times on a coarse grid make ties, where engines differ first.
const GRID: u64 = 10;

fn law() -> impl Strategy<Value = Law> {
    let grid = |steps: u64| Law::Constant(Nanoseconds(steps * GRID));
    prop_oneof![
        3 => (0u64..12).prop_map(grid),
        2 => (1.0f64..200.0).prop_map(|mean| Law::Exponential { mean }),
        1 => (1.0f64..40.0, 1.0f64..100.0).prop_map(|(low, more)| {
            let points = vec![(0.0, 0.0), (0.7, low), (1.0, low + more)];
            Law::Empirical(Quantiles::new(points).unwrap())
        }),
    ]
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    prop_oneof![
        2 => (1u64..8).prop_map(|steps| Arrivals::Constant { gap: (steps * GRID) as f64 }),
        3 => (5.0f64..150.0).prop_map(|gap| Arrivals::Poisson { gap }),
        1 => (0u64..200, 0u64..90, 0u64..100).prop_map(|(at, requests, over)| Arrivals::Burst {
            at: Nanoseconds(at * GRID),
            requests,
            over: Nanoseconds(over * GRID),
        }),
        1 => (20.0f64..150.0, 0.0f64..1.0, 50u64..1000, 0u64..1000)
            .prop_map(|(gap, amplitude, period, peak)| Arrivals::Sine(Sine {
                gap,
                amplitude,
                period: Nanoseconds(period),
                peak: Nanoseconds(peak),
            })),
        1 => (20.0f64..150.0, 5.0f64..150.0, 10u64..500, 10u64..500)
            .prop_map(|(quiet, burst, long, short)| Arrivals::Switching {
                quiet: Phase { gap: quiet, lasts: Nanoseconds(long) },
                burst: Phase { gap: burst, lasts: Nanoseconds(short) },
            }),
    ]
}

fn limits() -> impl Strategy<Value = Option<Limits>> {
    let rate = proptest::option::of(
        (1u64..200, 0u32..6).prop_map(|(interval, burst)| Rate::new(Nanoseconds(interval), burst)),
    );
    let limits = (rate, proptest::option::of(0u32..8)).prop_map(|(rate, concurrency)| Limits {
        rate,
        concurrency,
        scope: Scope::Gateway,
    });
    proptest::option::of(limits)
}

fn admission() -> impl Strategy<Value = Admission> {
    let accept = (1u32..20).prop_map(|permits| Permits { permits, scope: Scope::Gateway });
    let deadlines = prop_oneof![Just(Deadlines::Ignore), Just(Deadlines::Refuse)];
    (proptest::option::of(accept), limits(), limits(), deadlines)
        .prop_map(|(accept, user, cmd, deadlines)| Admission { accept, user, cmd, deadlines })
}

fn queue() -> impl Strategy<Value = Queue> {
    let bound = || prop_oneof![3 => 0u32..12, 1 => Just(Queue::UNLIMITED)];
    let scope = prop_oneof![2 => Just(QueueScope::Node), 1 => Just(QueueScope::Instance)];
    let counts = prop_oneof![Just(Counts::Waiting), Just(Counts::InSystem)];
    let classes = prop_oneof![Just(Classes::Together), Just(Classes::Apart)];
    (bound(), bound(), scope, counts, classes).prop_map(|(free, paid, scope, counts, classes)| {
        Queue { free, paid, scope, counts, classes, order: Order::Fifo }
    })
}

fn balance() -> impl Strategy<Value = Balance> {
    prop_oneof![
        Just(Balance::Random),
        Just(Balance::RoundRobin),
        Just(Balance::LeastLoaded),
        Just(Balance::JoinShortestQueue),
        (1u8..=Choices::MOST)
            .prop_map(|choices| { Balance::PowerOfChoices(Choices::new(choices).unwrap()) }),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    let delay = prop_oneof![(1u64..12).prop_map(|steps| steps * GRID), 1u64..200];
    (delay, 1u64..6).prop_map(|(delay, every)| Network {
        delay: Nanoseconds(delay),
        reports: Nanoseconds(delay * every),
    })
}

fn model() -> impl Strategy<Value = Model> {
    let machines = prop_oneof![9 => 0u32..6, 1 => 60u32..70];
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
            Cmd {
                name: "cmd".into(),
                app,
                service,
                deadline: deadline.map(Nanoseconds),
                stages: None,
            }
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
    let place = (any::<u64>(), 100u64..3000, 1u16..5);
    let parts = (
        proptest::collection::vec(app, 2),
        proptest::collection::vec(cmd, 3),
        proptest::collection::vec(group, 2),
        proptest::collection::vec(source, 0..4),
    );
    (place, parts, admission(), queue(), balance()).prop_map(
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
}

/// Outcomes by key, and the report.
struct Both {
    outcomes: Vec<(u64, Outcome)>,
    tally: Tally,
}

impl Both {
    fn new(model: &Model, network: Network) -> Self {
        Both { outcomes: Vec::new(), tally: Tally::new(model, network) }
    }
}

impl Witness for Both {
    fn outcome(&mut self, request: &Request, outcome: Outcome) {
        self.outcomes.outcome(request, outcome);
        self.tally.outcome(request, outcome);
    }
}

/// All lanes of a run in one thread, as threads would move them: window by window.
fn run_in_lanes(model: &Model, network: Network, lanes: u16) -> Vec<Both> {
    let mut all: Vec<Lane<'_, Both>> = (0..lanes)
        .map(|number| Lane::new(model, network, number, lanes, Both::new(model, network)))
        .collect();
    let parcels = || (0..lanes).map(|_| Parcel::default()).collect::<Vec<_>>();
    // By sender, then by receiver.
    let mut sent: Vec<Vec<Parcel>> = (0..lanes).map(|_| parcels()).collect();
    while all.iter().any(|lane| !lane.is_over()) {
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
        }
        sent = next;
    }
    all.into_iter().map(Lane::finish).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn lanes_agree_with_the_oracle_request_by_request(model in model(), network in network()) {
        windows::check(&model, network).unwrap();
        let mut slow = windows::oracle::run(&model, network, Both::new(&model, network));
        slow.outcomes.sort_unstable_by_key(|(key, _)| *key);
        let mut wanted = simulator_model::Report::new(&model);
        wanted.merge(&slow.tally.into_report());
        for lanes in [1, 2, 3, 8] {
            let parts = run_in_lanes(&model, network, lanes);
            let mut outcomes = Vec::new();
            let mut report = simulator_model::Report::new(&model);
            for part in parts {
                outcomes.extend(part.outcomes);
                report.merge(&part.tally.into_report());
            }
            outcomes.sort_unstable_by_key(|(key, _)| *key);
            prop_assert_eq!(&outcomes, &slow.outcomes, "{} lanes", lanes);
            prop_assert_eq!(&report, &wanted, "{} lanes", lanes);
        }
        let alone = windows::report(&model, network);
        prop_assert_eq!(&alone, &wanted);
    }
}
