//! Instances that come and go, fail, share and work on several requests; clients that try again.

use policy::admission::{Admission, Deadlines};
use policy::balance::FULL_WEIGHT;
use policy::placement::Resources;
use policy::queue::Counts;
use policy::queue::{Order, Queue, QueueScope};
use policy::scaling::{
    Arrivals as ByArrivals, Behaviour, Entry, Hpa, Keda, Kpa, Metric, Rule, Scaling, Schedule,
};
use policy::sharing::{self, Unfinished};
use policy::{Nanoseconds, Time};
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_model::{
    Arrivals, BackOff, Chance, Crash, Crashes, Crowd, Dynamics, Effect, Fault, Faults, Life, Model,
    Pair, Retries, Sharing, Slowdown, Source, WarmUp,
};

use super::ways::staged_model;
use super::{GRID, arrivals, law, model};

/// Rules that change something every few requests.
/// Boxed, like its parts: their values are large, and stacks of tests are not.
pub fn scaling() -> BoxedStrategy<Scaling> {
    let times = (1u64..20, 0u64..20, proptest::option::of(0u64..30));
    (0u32..4, 1u32..4, times, rule(), schedule())
        .prop_map(|(target, step, (interval, cool_down, period), rule, schedule)| Scaling {
            target,
            min: 0,
            max: 0,
            step,
            interval: Nanoseconds(interval * GRID),
            cool_down: Nanoseconds(cool_down * GRID),
            scale_in_after: period.map(|period| Nanoseconds(period * GRID)),
            rule,
            schedule,
        })
        .boxed()
}

/// Entries at the beginning of a day: runs are short.
fn schedule() -> BoxedStrategy<Schedule> {
    let entries = proptest::collection::btree_map(0u64..60, 0u32..8, 1..4);
    proptest::option::weighted(0.2, entries)
        .prop_map(|entries| {
            let entries: Vec<Entry> = entries
                .into_iter()
                .flatten()
                .map(|(at, min)| Entry { at: Nanoseconds(at * GRID), min })
                .collect();
            Schedule::new(&entries).unwrap_or(Schedule::NONE)
        })
        .boxed()
}

/// Half of them the original one.
fn rule() -> BoxedStrategy<Rule> {
    let grid = |steps: u64| Nanoseconds(steps * GRID);
    let behaviour = (0u64..20, 1u32..2000, 0u32..4, 1u64..20).prop_map(
        move |(window, part_thousandths, instances, period)| Behaviour {
            window: grid(window),
            part_thousandths,
            instances,
            period: grid(period),
        },
    );
    let metric = prop_oneof![Just(Metric::Busy), Just(Metric::Tasks)];
    let hpa = (200u32..3000, metric, 0u32..200, behaviour.clone(), behaviour);
    let hpa = hpa.prop_map(|(target_thousandths, metric, tolerance_thousandths, up, down)| Hpa {
        target_thousandths,
        metric,
        tolerance_thousandths,
        up,
        down,
    });
    let counts = prop_oneof![Just(Counts::Waiting), Just(Counts::InSystem)];
    let keda = (counts, 0u32..3, 0u64..20, hpa.clone()).prop_map(
        move |(counts, activation, cool_down, hpa)| {
            Rule::Keda(Keda { counts, activation, cool_down: grid(cool_down), hpa })
        },
    );
    let kpa = (200u32..3000, 1u64..20, 1100u32..4000, 0u64..10);
    let kpa = kpa.prop_map(move |(target_thousandths, panic_window, threshold, delay)| {
        Rule::Kpa(Kpa {
            target_thousandths,
            window: grid(20),
            panic_window: grid(panic_window),
            panic_threshold_thousandths: threshold,
            up_most_thousandths: threshold,
            down_most_thousandths: threshold,
            scale_in_delay: grid(delay),
        })
    });
    let arrivals = (200u32..=1000, 1u64..20, 1u64..20, 0u64..20, 1u32..500, 0u64..20);
    let arrivals = arrivals.prop_map(move |(part, drain, fast, start_up, step, after)| {
        Rule::Arrivals(ByArrivals {
            utilisation_thousandths: part,
            drain: grid(drain),
            fast: grid(fast),
            slow: grid(20),
            start_up: grid(start_up),
            scale_in_after: grid(after),
            scale_in_thousandths: step,
            scale_in_every: grid(after / 2),
        })
    });
    prop_oneof![
        5 => Just(Rule::Tasks),
        1 => hpa.prop_map(Rule::Hpa).boxed(),
        1 => keda.boxed(),
        1 => kpa.boxed(),
        2 => arrivals.boxed(),
        1 => Just(Rule::Scheduled),
    ]
    .boxed()
}

pub fn life() -> impl Strategy<Value = Life> {
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
pub fn faults() -> impl Strategy<Value = Faults> {
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
pub fn dynamic_model() -> impl Strategy<Value = Model> {
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
            model.dynamics = Dynamics { capacity, scaling, faults, ..Dynamics::default() };
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

pub fn retries() -> impl Strategy<Value = Retries> {
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

/// Few instances that are told to leave while the others crash, so that requests wait where nobody is
/// left: on everything else that there is, but limits.
pub fn deserted_model() -> impl Strategy<Value = Model> {
    let wanted = proptest::collection::btree_map(1u64..60, 0u32..4, 3..8);
    let crash = (0usize..2, 0u32..3, 1u64..60);
    let times = (20u64..60, 5u64..60, 0u64..40);
    let scope = prop_oneof![2 => Just(QueueScope::Central), 1 => Just(QueueScope::Node)];
    let small = (1u32..4, 1u32..3);
    (crowded_model(), wanted, proptest::collection::vec(crash, 4..12), times, scope, small)
        .prop_map(|(mut model, wanted, crashes, (service, start_up, cool_down), scope, small)| {
            let grid = |steps: u64| Nanoseconds(steps * GRID);
            let entries: Vec<Entry> =
                wanted.into_iter().map(|(at, min)| Entry { at: grid(at), min }).collect();
            let schedule = Schedule::new(&entries).unwrap_or(Schedule::NONE);
            if let Some(scaling) = &mut model.dynamics.scaling {
                (scaling.rule, scaling.schedule) = (Rule::Scheduled, schedule);
            }
            let crash = |(app, machine, at)| Crash { app, machine, at: Time(at * GRID) };
            model.dynamics.faults.instances = crashes.into_iter().map(crash).collect();
            for app in &mut model.apps {
                (app.machines, app.instances) = small;
                app.life.bounds = Some((0, 6));
                app.life.start_up = Law::Constant(grid(start_up));
                app.life.cool_down = grid(cool_down);
            }
            for cmd in &mut model.cmds {
                cmd.service = Law::Constant(grid(service));
            }
            model.admission = Admission::default();
            model.queue =
                Queue { scope, free: Queue::UNLIMITED, paid: Queue::UNLIMITED, ..model.queue };
            model
        })
}

/// Clients that try again, on everything else that there is.
pub fn retried_model() -> impl Strategy<Value = Model> {
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
pub fn crowd() -> impl Strategy<Value = Crowd> {
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
pub fn crowded_model() -> impl Strategy<Value = Model> {
    let crowds = proptest::collection::vec(proptest::option::weighted(0.8, crowd()), 2);
    let models = prop_oneof![model(), dynamic_model(), retried_model()];
    (models, crowds).prop_map(|(mut model, crowds)| {
        for (app, crowd) in model.apps.iter_mut().zip(crowds) {
            app.crowd = crowd;
        }
        model
    })
}

pub fn sharing_rules() -> impl Strategy<Value = sharing::Sharing> {
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
pub fn shared_model() -> impl Strategy<Value = Model> {
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
