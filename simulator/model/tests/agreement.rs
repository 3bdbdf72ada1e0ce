//! The fast engine against the oracle, request by request, on random small scenarios.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use policy::admission::{Admission, Deadlines, Limits, Permits, Rate};
use policy::balance::{Balance, Choices, FULL_WEIGHT};
use policy::placement::{Resources, Unplaced};
use policy::queue::{Classes, Counts, Order, Queue, QueueScope};
use policy::scaling::{Action, Observation, Scaling};
use policy::sharing::{self, Unfinished};
use policy::{Class, Nanoseconds, Scope, Time};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use simulator_kernel::Law;
use simulator_kernel::law::Quantiles;
use simulator_kernel::logarithm::whole;
use simulator_model::{
    App, Arrival, Arrivals, BackOff, Chance, Cmd, Crash, Crashes, Crowd, Download, Dynamics,
    Effect, Fault, Faults, Incident, Instances, Life, Link, Model, Outcome, Pair, Phase, Rates,
    Record, Report, Respond, Retries, Returned, Sharing, Sine, Slot, Slowdown, Source, Stages,
    Stopped, Stretch, Tenants, Turn, WarmUp, Workload, engine, oracle,
};

/// Times on a coarse grid make ties, where engines differ first.
const GRID: u64 = 10;

fn law() -> impl Strategy<Value = Law> {
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

/// Times on the grid only.
fn grid_law() -> impl Strategy<Value = Law> {
    (0u64..12).prop_map(|steps| Law::Constant(Nanoseconds(steps * GRID)))
}

/// Stages mostly on the same grid as everything else, so that requests come at the instant at which
/// others end or arrive.
fn stages() -> impl Strategy<Value = Stages> {
    let law = || prop_oneof![3 => grid_law(), 1 => law()];
    let link = move || {
        (law(), proptest::option::of(1u64..200_000_000_000))
            .prop_map(|(latency, bandwidth)| Link { latency, bandwidth })
    };
    let download = (law(), 0.0f64..=1.0, link(), link())
        .prop_map(|(size, cached, network, store)| Download { size, cached, network, store });
    let respond = (law(), link()).prop_map(|(size, network)| Respond { size, network });
    let options = (proptest::option::of(download), proptest::option::of(respond));
    (law(), law(), options).prop_map(|(accept, dispatch, (download, respond))| Stages {
        accept,
        dispatch,
        download,
        respond,
    })
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
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

fn stretch() -> impl Strategy<Value = Stretch> {
    let rate = || prop_oneof![Just(0.0), 0.0f64..0.2];
    (0u64..80, rate(), rate()).prop_map(|(length, from, to)| Stretch {
        length: Nanoseconds(length * GRID),
        from,
        to,
    })
}

fn phase() -> impl Strategy<Value = Phase> {
    (5.0f64..150.0, 1u64..1000).prop_map(|(gap, lasts)| Phase { gap, lasts: Nanoseconds(lasts) })
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Gateway), Just(Scope::Cluster)]
}

fn limits() -> impl Strategy<Value = Option<Limits>> {
    let rate = proptest::option::of(
        (1u64..200, 0u32..6).prop_map(|(interval, burst)| Rate::new(Nanoseconds(interval), burst)),
    );
    let limits = (rate, proptest::option::of(0u32..8), scope())
        .prop_map(|(rate, concurrency, scope)| Limits { rate, concurrency, scope });
    proptest::option::of(limits)
}

fn admission() -> impl Strategy<Value = Admission> {
    let accept = (1u32..30, scope()).prop_map(|(permits, scope)| Permits { permits, scope });
    let deadlines = prop_oneof![Just(Deadlines::Ignore), Just(Deadlines::Refuse)];
    (proptest::option::of(accept), limits(), limits(), deadlines)
        .prop_map(|(accept, user, cmd, deadlines)| Admission { accept, user, cmd, deadlines })
}

fn queue() -> impl Strategy<Value = Queue> {
    let bound = || prop_oneof![3 => 0u32..12, 1 => Just(Queue::UNLIMITED)];
    let scope = prop_oneof![Just(QueueScope::Node), Just(QueueScope::Instance)];
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

fn model() -> impl Strategy<Value = Model> {
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

/// Rules that change something every few requests.
fn scaling() -> impl Strategy<Value = Scaling> {
    let times = (1u64..20, 0u64..20, proptest::option::of(0u64..30));
    (0u32..4, 1u32..4, times).prop_map(|(target, step, (interval, cool_down, period))| Scaling {
        target,
        min: 0,
        max: 0,
        step,
        interval: Nanoseconds(interval * GRID),
        cool_down: Nanoseconds(cool_down * GRID),
        scale_in_after: period.map(|period| Nanoseconds(period * GRID)),
    })
}

fn life() -> impl Strategy<Value = Life> {
    let grid = |steps: u64| Nanoseconds(steps * GRID);
    let bounds = proptest::option::weighted(0.8, (0u32..8, 0u32..10));
    let warm_up = (0u64..40, 1u32..=FULL_WEIGHT, prop_oneof![Just(0u32), 1u32..3000])
        .prop_map(move |(over, weight, slowdown)| WarmUp { over: grid(over), weight, slowdown });
    let needs = (1u32..3, 0u32..3).prop_map(|(cores, memory_mib)| Resources { cores, memory_mib });
    (needs, bounds, law(), proptest::option::of(law()), warm_up, 0u64..20).prop_map(
        move |(needs, bounds, start_up, first_start_up, warm_up, cool_down)| Life {
            needs,
            bounds: bounds.map(|(min, more)| (min, min + more)),
            start_up,
            first_start_up,
            warm_up,
            cool_down: grid(cool_down),
        },
    )
}

/// Machines and instances that fail or are slow, at given times and by chance.
fn faults() -> impl Strategy<Value = Faults> {
    let effect =
        || prop_oneof![3 => Just(Effect::Fails), 1 => (0u32..4000).prop_map(Effect::Slows)];
    let fault =
        (0u32..5, 0u64..200, 1u64..60, effect()).prop_map(|(machine, at, length, effect)| {
            let at = Time(at * GRID);
            Fault { machine, at, repaired: at + Nanoseconds(length * GRID), effect }
        });
    let crash = (0usize..2, 0u32..5, 0u64..200).prop_map(|(app, machine, at)| Crash {
        app,
        machine,
        at: Time(at * GRID),
    });
    let slow_law = || {
        prop_oneof![
            (500.0f64..6000.0).prop_map(|mean| Law::Exponential { mean }),
            (50u64..200).prop_map(|steps| Law::Constant(Nanoseconds(steps * GRID))),
        ]
    };
    let racks = proptest::option::of(1u32..4);
    let chance = (racks, slow_law(), law(), effect())
        .prop_map(|(racks, between, lasts, effect)| Chance { racks, between, lasts, effect });
    let crashes = (proptest::option::of(0usize..2), slow_law())
        .prop_map(|(app, after)| Crashes { app, after });
    let back_off = (0u64..20, 0u64..60, 0u64..100);
    let fault = proptest::collection::vec(fault, 0..4);
    let crash = proptest::collection::vec(crash, 0..3);
    let chance = proptest::collection::vec(chance, 0..2);
    let crashes = proptest::collection::vec(crashes, 0..2);
    (fault, crash, chance, crashes, back_off).prop_map(
        |(machines, instances, chances, crashes, (back_off, most, forget))| {
            let mut faults = Faults { machines, instances, chances, crashes, ..Faults::default() };
            faults.repair.back_off = Nanoseconds(back_off * GRID);
            faults.repair.back_off_most = Nanoseconds(most * GRID);
            faults.repair.back_off_forget = Nanoseconds(forget * GRID);
            faults
        },
    )
}

/// Instances that come and go, and perhaps priorities.
fn dynamic_model() -> impl Strategy<Value = Model> {
    let order = prop_oneof![3 => Just(Order::Fifo), 1 => Just(Order::Priority)];
    let capacity = prop_oneof![
        Just(Resources::UNLIMITED),
        (1u32..12, 1u32..12).prop_map(|(cores, memory_mib)| Resources { cores, memory_mib }),
    ];
    let lives = proptest::collection::vec(life(), 2);
    (model(), lives, scaling(), order, capacity, faults()).prop_map(
        |(mut model, lives, scaling, order, capacity, faults)| {
            model.queue.order = order;
            let scaling = Some(scaling);
            model.dynamics = Dynamics { capacity, scaling, faults, scheduler: None, sharing: None };
            for (app, life) in model.apps.iter_mut().zip(lives) {
                app.life = life;
                // Many targets, but the oracle looks at every instance for each decision.
                if app.machines > 5 {
                    app.instances = app.instances.min(2);
                }
            }
            model
        },
    )
}

/// Requests that take time on their way, with instances that come and go or without. Who comes when
/// work ends matters most where some go before others.
fn staged_model() -> impl Strategy<Value = Model> {
    let service = proptest::option::of(grid_law());
    let cmd = (proptest::option::weighted(0.8, stages()), service);
    let order = proptest::option::of(Just(Order::Priority));
    let models = prop_oneof![model(), dynamic_model()];
    (models, proptest::collection::vec(cmd, 3), order).prop_map(|(mut model, cmds, order)| {
        for (cmd, (stages, service)) in model.cmds.iter_mut().zip(cmds) {
            cmd.stages = stages;
            cmd.service = service.unwrap_or(cmd.service.clone());
        }
        model.queue.order = order.unwrap_or(model.queue.order);
        model
    })
}

fn retries() -> impl Strategy<Value = Retries> {
    let grid = |steps: u64| Nanoseconds(steps * GRID);
    let back_off = prop_oneof![
        1 => Just(BackOff::None),
        2 => (0u64..20).prop_map(move |wait| BackOff::Constant(grid(wait))),
        2 => (0u64..10, 0u64..40)
            .prop_map(move |(first, most)| BackOff::Exponential { first: grid(first), most: grid(most) }),
    ];
    let jitter = prop_oneof![Just(0u32), 1u32..=1000];
    (1u32..=4, back_off, jitter, proptest::option::of(0u32..2000)).prop_map(
        |(attempts, back_off, jitter, budget)| Retries { attempts, back_off, jitter, budget },
    )
}

/// Clients that try again, on everything else that there is.
fn retried_model() -> impl Strategy<Value = Model> {
    let all = proptest::collection::vec(proptest::option::weighted(0.8, retries()), 4);
    let deadlines = proptest::collection::vec(proptest::option::of(0u64..30), 3);
    let models = prop_oneof![model(), dynamic_model(), staged_model()];
    (models, all, deadlines).prop_map(|(mut model, retries, deadlines)| {
        for (source, retries) in model.sources.iter_mut().zip(retries) {
            source.retries = retries;
        }
        // On the grid, so that clients give up when others end or arrive.
        for (cmd, deadline) in model.cmds.iter_mut().zip(deadlines) {
            cmd.deadline = deadline.map(|steps| Nanoseconds(steps * GRID)).or(cmd.deadline);
        }
        model
    })
}

/// A few requests at a time, with and without losses.
fn crowd() -> impl Strategy<Value = Crowd> {
    let point = (1u32..12, 5u32..40);
    let points = proptest::collection::btree_map(point.0, point.1, 0..4);
    (1u32..7, 1u32..5, 1u32..4, points).prop_map(|(concurrency, cores, wanted, points)| {
        let points = points.into_iter();
        let points = points.map(|(tasks, times)| (f64::from(tasks) / 4.0, f64::from(times) / 10.0));
        let slowdown = Slowdown::new(points.collect()).unwrap();
        Crowd::new(concurrency, cores, wanted, &slowdown)
    })
}

/// Instances that work on several requests at a time, on everything else that there is.
fn crowded_model() -> impl Strategy<Value = Model> {
    let crowds = proptest::collection::vec(proptest::option::weighted(0.8, crowd()), 2);
    let models = prop_oneof![model(), dynamic_model(), retried_model()];
    (models, crowds).prop_map(|(mut model, crowds)| {
        for (app, crowd) in model.apps.iter_mut().zip(crowds) {
            app.crowd = crowd;
        }
        model
    })
}

fn sharing_rules() -> impl Strategy<Value = sharing::Sharing> {
    let grid = |steps: u64| Nanoseconds(steps * GRID);
    let unfinished = prop_oneof![Just(Unfinished::Requeue), Just(Unfinished::Fail)];
    let times = (0u64..8, 0u64..12, 1u64..6);
    (200u32..=1000, prop_oneof![Just(0u32), 0u32..600], times, unfinished).prop_map(
        move |(
            lend_thousandths,
            reserve_thousandths,
            (idle_for, give_back, interval),
            unfinished,
        )| {
            let (idle_for, give_back) = (grid(idle_for), grid(give_back));
            let interval = grid(interval);
            sharing::Sharing {
                lend_thousandths,
                reserve_thousandths,
                idle_for,
                give_back,
                unfinished,
                interval,
            }
        },
    )
}

/// One app lends to the other: short work that leaves instances idle, beside long work that piles
/// up, on everything else that there is.
fn shared_model() -> impl Strategy<Value = Model> {
    let lives = proptest::collection::vec(life(), 2);
    let long = prop_oneof![
        (10u64..120).prop_map(|steps| Law::Constant(Nanoseconds(steps * GRID))),
        (100.0f64..1500.0).prop_map(|mean| Law::Exponential { mean }),
    ];
    let gap = (20.0f64..200.0).prop_map(|gap| Arrivals::Poisson { gap });
    let light = prop_oneof![gap, arrivals()];
    let heavy = prop_oneof![
        (5.0f64..60.0).prop_map(|gap| Arrivals::Poisson { gap }),
        (0u64..60, 10u64..60).prop_map(|(at, requests)| Arrivals::Burst {
            at: Nanoseconds(at * GRID),
            requests,
            over: Nanoseconds::ZERO,
        }),
        arrivals(),
    ];
    let models = prop_oneof![2 => model(), 1 => dynamic_model(), 2 => retried_model()];
    let faults = proptest::option::of(faults());
    let work = (law(), long, light, heavy, any::<[bool; 2]>());
    (models, sharing_rules(), (any::<bool>(), lives, faults), work).prop_map(
        |(mut model, rules, (turned, lives, faults), (short, long, light, heavy, open))| {
            let (lender, borrower) = if turned { (1, 0) } else { (0, 1) };
            // Rows with code of their own are tried elsewhere; the oracle counts all of them again
            // and again here.
            let machines = model.apps.iter().map(|app| app.machines.clamp(1, 5)).max().unwrap_or(0);
            for (app, life) in model.apps.iter_mut().zip(lives) {
                app.life =
                    Life { bounds: None, needs: Resources { cores: 1, memory_mib: 0 }, ..life };
                app.instances = app.instances.min(6);
                app.machines = app.machines.clamp(1, 5);
            }
            model.apps[borrower].machines = machines;
            let cool_down = &mut model.apps[borrower].life.cool_down;
            *cool_down = (*cool_down).min(rules.give_back);
            (model.cmds[0].app, model.cmds[0].service) = (lender, short);
            (model.cmds[1].app, model.cmds[1].service) = (borrower, long);
            let source = |cmd, arrivals| Source { tenants: cmd, cmd, arrivals, retries: None };
            let retries = model.sources.first().and_then(|source| source.retries);
            model.sources.truncate(2);
            model.sources.push(source(0, light));
            model.sources.push(Source { retries, ..source(1, heavy) });
            if open[0] {
                model.queue =
                    Queue { free: Queue::UNLIMITED, paid: Queue::UNLIMITED, ..model.queue };
            }
            if open[1] {
                model.admission =
                    Admission { deadlines: Deadlines::Ignore, ..Admission::default() };
            }
            model.duration = Nanoseconds(model.duration.0.min(1500));
            model.dynamics.capacity = Resources::UNLIMITED;
            model.dynamics.faults = faults.unwrap_or_default();
            let pairs = vec![Pair { lender, borrower }];
            model.dynamics.sharing = Some(Sharing { rules, pairs });
            model
        },
    )
}

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
    told: Vec<Told>,
    report: Report,
    responses: u128,
    services: u128,
}

impl Everything {
    fn new(model: &Model) -> Self {
        Everything {
            outcomes: BTreeMap::new(),
            settled: BTreeMap::new(),
            told: Vec::new(),
            report: Report::new(model),
            responses: 0,
            services: 0,
        }
    }
}

impl Record for Everything {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let twice = self.outcomes.insert(arrival.key, (arrival.at, arrival.gateway, outcome));
        assert_eq!(twice, None);
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
    engine::run(model, &mut fast);
    let arrivals = Workload::all(model);
    prop_assert!(arrivals.iter().all(|arrival| slow.outcomes.contains_key(&arrival.key)));
    prop_assert_eq!(&fast.told, &slow.told);
    prop_assert_eq!(&fast.outcomes, &slow.outcomes);
    prop_assert_eq!(&fast.settled, &slow.settled);
    prop_assert_eq!(&fast.report, &slow.report);
    // Each request of a client that tries again is settled once, after all of its attempts but
    // those that it has given up.
    let tries = |arrival: &Arrival| {
        let source = model.sources.get(usize::from(arrival.source));
        source.is_some_and(|source| source.retries.is_some())
    };
    prop_assert_eq!(arrivals.iter().filter(|arrival| tries(arrival)).count(), slow.settled.len());
    let more: u32 = slow.settled.values().map(|(attempts, _)| attempts - 1).sum();
    prop_assert_eq!(arrivals.len() + more as usize, slow.outcomes.len());
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
        engine::run(&model, &mut run);
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
        queue: Queue {
            free: Queue::UNLIMITED,
            paid: Queue::UNLIMITED,
            scope: QueueScope::Node,
            counts: Counts::Waiting,
            classes: Classes::Together,
            order: Order::Fifo,
        },
        balance: Balance::RoundRobin,
        network: None,
        dynamics: Dynamics { sharing, ..Dynamics::default() },
    };
    agree(&model).unwrap();
    let mut run = Everything::new(&model);
    engine::run(&model, &mut run);
    let lent = Told::Slot(Time(406), Slot { pair: 0, machine: 2, turn: Turn::Lent });
    assert!(run.told.contains(&lent), "{:?}", run.told);
}

/// The random scenarios above reach every way in which a slot can come back.
#[test]
fn all_ways_back_are_taken() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    let mut models = 0;
    for _ in 0..300 {
        let model = shared_model().new_tree(&mut runner).unwrap().current();
        let mut run = Everything::new(&model);
        engine::run(&model, &mut run);
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
    assert_eq!(models, 300, "all can share");
    for way in [Returned::Idle, Returned::Stopped, Returned::Crashed, Returned::Lost] {
        let way = format!("{way:?}, lent: true");
        assert!(seen.get(&way).is_some_and(|count| *count > 10), "{way}: {seen:?}");
    }
    for way in ["Idle, lent: false", "Lost, lent: false", "Requeue", "Fail"] {
        assert!(seen.contains_key(way), "{way}: {seen:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_about_stages(model in staged_model()) {
        agree(&model)?;
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
        });
        for app in &mut fixed.apps {
            let all = app.machines * app.instances;
            app.life.bounds = Some((all, all));
        }
        let (mut plain, mut live) = (Everything::new(&model), Everything::new(&fixed));
        engine::run(&model, &mut plain);
        engine::run(&fixed, &mut live);
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
