//! Lanes against the oracle of windows, request by request, on random small scenarios, for several
//! numbers of lanes.

#![allow(clippy::unwrap_used)]

use policy::admission::{Admission, Deadlines, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::placement::{Resources, Unplaced};
use policy::queue::{Classes, Counts, Order, Queue, QueueScope};
use policy::scaling::{Action, Observation, Scaling};
use policy::{Class, Nanoseconds, Scope, Time};
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_kernel::law::Quantiles;
use simulator_model::windows::{self, Lane, Parcel, Request, Tally, Witness};
use simulator_model::{
    App, Arrivals, Cmd, Download, Dynamics, Instances, Life, Link, Model, Network, Outcome, Path,
    Phase, Respond, Sine, Source, Stages, Tenants, WarmUp,
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

fn life() -> impl Strategy<Value = Life> {
    let needs = (1u32..3, 0u32..3).prop_map(|(cores, memory_mib)| Resources { cores, memory_mib });
    let bounds = proptest::option::weighted(0.9, (0u32..12, 0u32..12));
    let warm_up = prop_oneof![Just(0u64), (1u64..30).prop_map(|steps| steps * GRID)];
    let warm_up = (warm_up, 1u32..1024, prop_oneof![Just(0u32), 1u32..3000])
        .prop_map(|(over, weight, slowdown)| WarmUp { over: Nanoseconds(over), weight, slowdown });
    let cool_down = (0u64..30).prop_map(|steps| Nanoseconds(steps * GRID));
    (needs, bounds, law(), proptest::option::of(law()), warm_up, cool_down).prop_map(
        |(needs, bounds, start_up, first_start_up, warm_up, cool_down)| Life {
            needs,
            bounds: bounds.map(|(min, more)| (min, min + more)),
            start_up,
            first_start_up,
            warm_up,
            cool_down,
        },
    )
}

fn scaling() -> impl Strategy<Value = Scaling> {
    let period = || (0u64..30).prop_map(|steps| Nanoseconds(steps * GRID));
    (0u32..4, 1u32..5, period(), proptest::option::weighted(0.9, period())).prop_map(
        |(target, step, cool_down, scale_in_after)| Scaling {
            target,
            min: 0,
            max: 0,
            step,
            interval: Nanoseconds::ZERO,
            cool_down,
            scale_in_after,
        },
    )
}

/// Models whose apps scale, if the time between ticks is set.
fn scaling_model() -> impl Strategy<Value = Model> {
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

fn link() -> impl Strategy<Value = Link> {
    // A byte takes a nanosecond or ten.
    let bandwidth = proptest::option::of(prop_oneof![Just(1_000_000_000), Just(100_000_000)]);
    (law(), bandwidth).prop_map(|(latency, bandwidth)| Link { latency, bandwidth })
}

fn stages() -> impl Strategy<Value = Stages> {
    let nothing = || prop_oneof![2 => Just(Law::Constant(Nanoseconds::ZERO)), 1 => law()];
    let cached = prop_oneof![Just(0.0), Just(0.5), Just(1.0)];
    let download = (law(), cached, link(), link())
        .prop_map(|(size, cached, network, store)| Download { size, cached, network, store });
    let respond = (law(), link()).prop_map(|(size, network)| Respond { size, network });
    let (download, respond) = (proptest::option::of(download), proptest::option::of(respond));
    (nothing(), nothing(), download, respond).prop_map(|(accept, dispatch, download, respond)| {
        Stages { accept, dispatch, download, respond }
    })
}

/// Stages of some commands.
fn some_stages() -> impl Strategy<Value = Vec<Option<Stages>>> {
    proptest::collection::vec(proptest::option::weighted(0.7, stages()), 3)
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

/// All lanes of a run in one thread, as threads would move them: window by window.
fn run_in_lanes(model: &Model, network: Network, lanes: u16) -> Vec<Both> {
    let mut all: Vec<Lane<'_, Both>> = (0..lanes)
        .map(|number| Lane::new(model, network, number, lanes, Both::new(model, network, number)))
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
            // Some wait for others, and work ahead as long as they do.
            for _ in 0..(number + usize::from(lanes)) % 3 {
                lane.prepare();
            }
        }
        sent = next;
    }
    all.into_iter().map(Lane::finish).collect()
}

/// Lanes must tell what the oracle tells; how much that is.
fn agree(model: &Model, network: Network) -> Result<Told, TestCaseError> {
    windows::check(model, network).unwrap();
    let mut slow = windows::oracle::run(model, network, Both::new(model, network, 0));
    slow.outcomes.sort_unstable_by_key(|(key, _)| *key);
    let wanted = slow.tally.into_report();
    for lanes in [1, 2, 3, 8] {
        let mut parts = run_in_lanes(model, network, lanes).into_iter();
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
        let nothing = simulator_model::Report::none(model);
        (1..lanes).for_each(|_| wanted.merge(&nothing));
        prop_assert_eq!(&report, &wanted, "{} lanes", lanes);
    }
    let alone = windows::report(model, network);
    prop_assert_eq!(&alone, &wanted);
    let refused = slow.outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    let of = |is: fn(&Action) -> bool| {
        slow.decisions.iter().filter(|(_, _, _, action)| is(action)).count()
    };
    Ok(Told {
        added: of(|action| matches!(action, Action::Add(..))),
        removed: of(|action| matches!(action, Action::Remove(..))),
        served: slow.outcomes.len() - refused,
        unplaced: slow.unplaced.len(),
    })
}

#[derive(Debug, Default)]
struct Told {
    added: usize,
    removed: usize,
    served: usize,
    unplaced: usize,
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
    let Told { added, removed, served, unplaced } = told.into_inner();
    let all = [(added, 2_000), (removed, 500), (served, 10_000), (unplaced, 500)];
    assert!(all.iter().all(|(seen, wanted)| seen > wanted), "{all:?}");
}
