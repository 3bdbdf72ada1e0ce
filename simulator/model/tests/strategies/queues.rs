//! Queues that aren't first come, first served at a machine.

use policy::Nanoseconds;
use policy::admission::Deadlines;
use policy::balance::Balance;
use policy::dagor::Dagor;
use policy::overload::{Law, Overload};
use policy::peak_ewma::PeakEwma;
use policy::prediction::LongestWait;
use policy::prequal::Prequal;
use policy::queue::{Classes, Order, Queue, QueueScope};
use proptest::prelude::*;
use simulator_model::{Arrivals, Followed, Model, Source, central, pipelines};

use super::lively::{crowded_model, dynamic_model, retried_model, shared_model};
use super::ways::{linked_model, staged_model};
use super::{GRID, model};

/// Instances that take requests from one queue of the gateways, on everything else that there is.
pub fn central_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        1 => model().boxed(),
        2 => dynamic_model().boxed(),
        2 => staged_model().boxed(),
        1 => retried_model().boxed(),
        1 => crowded_model().boxed(),
    ];
    let order = prop_oneof![2 => Just(Order::Fifo), 1 => Just(Order::Priority)];
    (models, order).prop_map(|(mut model, order)| {
        model.queue.scope = QueueScope::Central;
        model.queue.order = order;
        if central::check(&model).is_err() {
            model.cmds.iter_mut().for_each(|cmd| cmd.stages = None);
        }
        assert_eq!(central::check(&model), Ok(()));
        model
    })
}

pub fn overload() -> impl Strategy<Value = Overload> {
    let law = prop_oneof![2 => Just(Law::Facebook), 1 => Just(Law::Codel)];
    (0u64..8, 0u64..20, prop_oneof![3 => Just(true), 1 => Just(false)], law).prop_map(
        |(target, more, sheds, law)| Overload {
            target: Nanoseconds(target * GRID),
            interval: Nanoseconds((target + more) * GRID),
            sheds,
            law,
        },
    )
}

pub fn longest_wait() -> impl Strategy<Value = LongestWait> {
    let longest = || proptest::option::weighted(0.8, (0u64..400).prop_map(Nanoseconds));
    (longest(), longest()).prop_map(|(free, paid)| LongestWait { free, paid })
}

/// Other orders than first come, first served, and rules about waits, on everything else that there
/// is. Bounds by numbers are high, so that something waits.
pub fn disciplined_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        2 => model().boxed(),
        2 => dynamic_model().boxed(),
        1 => staged_model().boxed(),
        2 => retried_model().boxed(),
        1 => crowded_model().boxed(),
        1 => shared_model().boxed(),
        1 => linked_model().boxed(),
    ];
    let order = prop_oneof![
        1 => Just(Order::Fifo),
        1 => Just(Order::Priority),
        2 => Just(Order::DeficitRoundRobin),
        2 => Just(Order::AdaptiveLifo),
    ];
    let overload = proptest::option::weighted(0.7, overload());
    let longest_wait = proptest::option::weighted(0.3, longest_wait());
    let quantum = (1u64..200).prop_map(Nanoseconds);
    let rules = (order, overload, longest_wait, quantum);
    (models, rules, any::<[bool; 2]>()).prop_map(
        |(mut model, (order, overload, longest_wait, quantum), [is_central, is_busy])| {
            for app in model.apps.iter_mut().filter(|_| is_busy) {
                (app.machines, app.instances) = (app.machines.clamp(1, 2), 1);
            }
            model.queue = Queue {
                free: model.queue.free.max(8),
                paid: model.queue.paid.max(8),
                order,
                quantum: (order == Order::DeficitRoundRobin).then_some(quantum),
                longest_wait,
                overload,
                ..model.queue
            };
            let scope = model.queue.scope;
            if is_central && model.dynamics.sharing.is_none() {
                model.queue.scope = QueueScope::Central;
            }
            if central::check(&model).is_err() {
                model.queue.scope = scope;
            }
            model
        },
    )
}

/// Levels that move with nearly each request.
pub fn dagor() -> impl Strategy<Value = Dagor> {
    let classes = prop_oneof![Just(Classes::Apart), Just(Classes::Together)];
    let parts = (1u32..400, 1u32..400, 0u32..1500);
    let lengths = (0u64..6, 1u64..60, 1u64..400, 1u32..30);
    (parts, lengths, classes).prop_map(
        |((cut, grow, service), (target, window, redraw, requests), classes)| Dagor {
            target: Nanoseconds(target * GRID),
            service_thousandths: service,
            window: Nanoseconds(window * GRID),
            requests,
            cut_thousandths: cut,
            grow_thousandths: grow,
            classes,
            redraw: Nanoseconds(redraw * GRID),
        },
    )
}

/// Priorities under overload, and deadlines behind predicted waits, on everything else that there is.
/// Bounds by numbers are high, so that something waits.
pub fn gated_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        3 => model().boxed(),
        2 => dynamic_model().boxed(),
        2 => staged_model().boxed(),
        2 => retried_model().boxed(),
        1 => crowded_model().boxed(),
        1 => shared_model().boxed(),
        1 => linked_model().boxed(),
        1 => central_model().boxed(),
        2 => disciplined_model().boxed(),
        1 => learning_model().boxed(),
        1 => piped_model().boxed(),
    ];
    let overload = proptest::option::weighted(0.7, dagor());
    (models, overload, any::<[bool; 2]>()).prop_map(|(mut model, overload, [predicts, is_busy])| {
        for app in model.apps.iter_mut().filter(|_| is_busy) {
            (app.machines, app.instances) = (app.machines.clamp(1, 2), 1);
        }
        for bound in [&mut model.queue.free, &mut model.queue.paid] {
            *bound = (*bound).max(8);
        }
        // One limit would refuse what another one is to be seen with.
        (model.admission.user, model.admission.cmd) = (None, None);
        model.admission.overload = overload;
        if predicts {
            model.admission.deadlines = Deadlines::Predict;
        }
        model
    })
}

/// Balancers that learn from answers, on everything else that there is.
pub fn learning_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        2 => model().boxed(),
        3 => dynamic_model().boxed(),
        1 => staged_model().boxed(),
        1 => retried_model().boxed(),
        1 => crowded_model().boxed(),
        1 => shared_model().boxed(),
        1 => linked_model().boxed(),
        1 => disciplined_model().boxed(),
    ];
    let decay = prop_oneof![1u64..100, 100u64..100_000];
    let peak = decay.prop_map(|decay| Balance::PeakEwma(PeakEwma { decay: Nanoseconds(decay) }));
    let prequal = (1u8..=Prequal::MOST_PROBES, 0u32..=1000, 1u64..3000).prop_map(
        |(probes, cold_thousandths, age)| {
            Balance::Prequal(Prequal { probes, cold_thousandths, age: Nanoseconds(age) })
        },
    );
    (models, prop_oneof![peak, prequal]).prop_map(|(mut model, balance)| {
        model.balance = balance;
        model
    })
}

/// Requests whose answers cause others, on everything else that there is.
pub fn piped_model() -> impl Strategy<Value = Model> {
    let models = prop_oneof![
        2 => model().boxed(),
        2 => dynamic_model().boxed(),
        3 => staged_model().boxed(),
        1 => crowded_model().boxed(),
        1 => shared_model().boxed(),
        1 => linked_model().boxed(),
        1 => central_model().boxed(),
        1 => disciplined_model().boxed(),
        1 => learning_model().boxed(),
    ];
    let steps = proptest::collection::vec((any::<prop::sample::Index>(), 0usize..3), 1..4);
    (models, steps).prop_map(|(mut model, steps)| {
        for source in &mut model.sources {
            source.retries = None;
        }
        for (follows, cmd) in steps {
            let by = model.sources.len();
            let is_free =
                |place: &usize| model.dynamics.pipelines.iter().all(|step| step.source != *place);
            let free: Vec<usize> = (0..by).filter(is_free).collect();
            if free.is_empty() {
                continue;
            }
            let source = *follows.get(&free);
            let tenants = model.sources[source].tenants;
            let arrivals = Arrivals::Recorded { requests: 0 };
            model.sources.push(Source { tenants, cmd, arrivals, retries: None });
            model.dynamics.pipelines.push(Followed { source, by });
        }
        assert_eq!(pipelines::check(&model), Ok(()));
        model
    })
}
