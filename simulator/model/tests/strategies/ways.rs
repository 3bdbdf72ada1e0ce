//! What requests pass besides queues and work.

use policy::Nanoseconds;
use policy::queue::Order;
use proptest::prelude::*;
use simulator_kernel::Law;
use simulator_model::{Download, Link, Links, Model, Respond, Share, Stages};

use super::lively::{dynamic_model, retried_model, shared_model};
use super::{GRID, law, model};

/// Times on the grid only.
pub fn grid_law() -> impl Strategy<Value = Law> {
    (0u64..12).prop_map(|steps| Law::Constant(Nanoseconds(steps * GRID)))
}

/// Stages mostly on the same grid as everything else, so that requests come at the instant at which
/// others end or arrive.
pub fn stages() -> impl Strategy<Value = Stages> {
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

/// Requests that take time on their way, with instances that come and go or without. Who comes when
/// work ends matters most where some go before others.
pub fn staged_model() -> impl Strategy<Value = Model> {
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

/// A link whose transfers share it: a byte takes a nanosecond or ten, or anything.
pub fn share() -> impl Strategy<Value = Share> {
    let round = || prop_oneof![Just(1_000_000_000u64), Just(100_000_000), Just(3_000_000_000)];
    let bandwidth = prop_oneof![3 => round(), 1 => 10_000_000u64..20_000_000_000];
    (bandwidth, proptest::option::of(round()))
        .prop_map(|(bandwidth, each)| Share { bandwidth, each })
}

pub fn links() -> impl Strategy<Value = Links> {
    (proptest::option::weighted(0.8, share()), proptest::option::of(share()))
        .prop_map(|(network, store)| Links { network, store })
}

/// Transfers that share links of their machines, on everything else that there is.
pub fn linked_model() -> impl Strategy<Value = Model> {
    let all = proptest::collection::vec(proptest::option::weighted(0.9, stages()), 3);
    // In boxes: all of them beside each other are too much for the stack of a test.
    let models = prop_oneof![
        1 => model().boxed(),
        2 => dynamic_model().boxed(),
        2 => retried_model().boxed(),
        2 => shared_model().boxed(),
    ];
    (models, all, links()).prop_map(|(mut model, all, links)| {
        for (cmd, stages) in model.cmds.iter_mut().zip(all) {
            cmd.stages = stages;
        }
        model.dynamics.links = links;
        model
    })
}
