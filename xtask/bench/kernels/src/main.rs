//! `[ui]` Small fixed loads, one for each way through the engines, for `cargo xtask kernels`: it counts the
//! instructions of each. Without an argument: the names of the loads, and which kind of vector code
//! this processor is given. With `--waiting`: how much two lanes wait for each other.

mod waiting;

use std::collections::VecDeque;
use std::process::ExitCode;

use policy::admission::{Admission, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::config::Policy;
use policy::{Class, Nanoseconds, Queue, Scope};
use simulator_kernel::{Law, wide};
use simulator_model::windows::{Lane, Parcel, Tally};
use simulator_model::{
    App, Arrivals, Cmd, Dynamics, Life, Model, Network, Report, Source, Tenants, engine,
};

const SECOND: f64 = 1e9;
const TWO: Balance = Balance::PowerOfChoices(Choices::TWO);

/// A load by its name, and how many lanes move it.
type Load = (&'static str, u16, fn() -> Model);

const LOADS: &[Load] = &[
    ("m-m-16", 1, || model([1, 16], 0.9, Balance::Random, 200_000)),
    ("random", 1, || model([1_000, 1], 0.8, Balance::Random, 200_000)),
    ("two-choices", 1, || model([1_000, 1], 0.8, TWO, 200_000)),
    ("shortest-queue", 1, || model([1_000, 1], 0.8, Balance::JoinShortestQueue, 200_000)),
    // All are busy from time to time: the index and the wheel of ends.
    ("shortest-queue-full", 1, || model([100, 1], 0.97, Balance::JoinShortestQueue, 100_000)),
    // The balancer asks for rows of instances.
    ("two-choices-of-rows", 1, || model([100, 32], 0.9, TWO, 60_000)),
    ("admission", 1, || limited(model([1_000, 1], 0.8, TWO, 60_000))),
    // Instances may come and go.
    ("live", 1, || scaled(model([100, 32], 0.8, Balance::LeastLoaded, 60_000))),
    ("platform", 1, || platform(2, 100, 60_000)),
    // What it costs to hand requests and answers over: a hundred in a window.
    ("platform-two-lanes", 2, || platform(40, 200, 60_000)),
];

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    if wanted.as_deref() == Some("--waiting") {
        println!("{}", waiting::report());
        return ExitCode::SUCCESS;
    }
    let Some(wanted) = wanted else {
        println!("{}", wide::processor());
        LOADS.iter().for_each(|(name, ..)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, lanes, make)) = LOADS.iter().find(|(name, ..)| *name == wanted) else {
        eprintln!("there is no load {wanted}");
        return ExitCode::FAILURE;
    };
    println!("{}", result(&make(), *lanes));
    ExitCode::SUCCESS
}

/// How many requests there were, and the sum of their waits.
fn result(model: &Model, lanes: u16) -> String {
    let report = match model.network {
        Some(network) if lanes > 1 => in_lanes(model, network, lanes, &mut |_, move_on| move_on()),
        _ => engine::report(model),
    };
    let total = report.total(None);
    format!("{} {}", total.arrivals(), total.wait.total())
}

/// A run in several lanes that one thread moves in turn, so that nobody waits for another one. Each
/// step of each lane goes through somebody who may look at the clock.
fn in_lanes(
    model: &Model,
    network: Network,
    count: u16,
    timed: &mut dyn FnMut(usize, &mut dyn FnMut()),
) -> Report {
    let parcels = || {
        (0..count)
            .map(|_| (0..count).map(|_| Parcel::default()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let mut outbound = parcels();
    let mut on_the_way: VecDeque<_> = (0..Lane::<Tally>::TRAVEL).map(|_| parcels()).collect();
    let new = |lane| Lane::new(model, network, lane, count, Tally::new(model, network, lane));
    let mut lanes: Vec<_> = (0..count).map(new).collect();
    while lanes.iter().any(|lane| !lane.is_over()) {
        let Some(mut inbound) = on_the_way.pop_front() else { break };
        let parcels = inbound.iter_mut().zip(&mut outbound);
        for (number, (lane, (inbound, outbound))) in lanes.iter_mut().zip(parcels).enumerate() {
            timed(number, &mut || lane.advance(inbound, outbound));
        }
        for (receiver, inbound) in inbound.iter_mut().enumerate() {
            for (held, sent) in inbound.iter_mut().zip(&outbound) {
                sent.get(receiver).into_iter().for_each(|sent| held.copy_from(sent));
            }
        }
        on_the_way.push_back(inbound);
    }
    let reports = lanes.into_iter().map(|lane| lane.finish().into_report());
    reports
        .reduce(|mut whole, part| {
            whole.merge(&part);
            whole
        })
        .unwrap_or_else(|| Report::new(model))
}

/// Gateways behind a network, windows, reports, limits, classes, and scaling.
fn platform(delay_ms: u64, reports_ms: u64, requests: u64) -> Model {
    let mut model = scaled(limited(model([100, 32], 0.8, TWO, requests)));
    model.gateways = 4;
    let [delay, reports] = [delay_ms, reports_ms].map(|ms| Nanoseconds(ms * 1_000_000));
    model.network = Some(Network { delay, reports });
    model
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a length of time from a rate that is a constant of this file"
)]
fn model([machines, instances]: [u32; 2], load: f64, balance: Balance, requests: u64) -> Model {
    let gap = SECOND / (load * f64::from(machines) * f64::from(instances));
    let cmd = Cmd {
        name: "cmd".into(),
        app: 0,
        service: Law::Exponential { mean: SECOND },
        deadline: None,
        stages: None,
    };
    let arrivals = Arrivals::Poisson { gap };
    Model {
        seed: 1,
        duration: Nanoseconds((gap * requests as f64) as u64),
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![App {
            name: "app".into(),
            machines,
            instances,
            life: Life::default(),
            crowd: None,
        }],
        cmds: vec![cmd],
        tenants: vec![Tenants { name: "all".into(), class: Class::Free, users: 1, skew: 0.0 }],
        sources: vec![Source { tenants: 0, cmd: 0, arrivals, retries: None }],
        admission: Admission::default(),
        queue: Queue::OPEN,
        balance,
        network: None,
        dynamics: Dynamics::default(),
    }
}

/// Two classes, and limits that count and hardly ever refuse.
fn limited(mut model: Model) -> Model {
    let limits = |per_second: u64| {
        Some(Limits {
            rate: Some(Rate::new(Nanoseconds(Nanoseconds::PER_SECOND / per_second), 1_000_000)),
            concurrency: Some(1_000_000),
            scope: Scope::Gateway,
        })
    };
    model.admission = Admission {
        accept: Some(Permits { permits: 1_000_000, scope: Scope::Gateway }),
        user: limits(1_000),
        cmd: limits(1_000_000),
        ..Admission::default()
    };
    model.queue = Queue { free: 10, paid: 5, ..Queue::OPEN };
    model.tenants = [(Class::Free, "free"), (Class::Paid, "paid")]
        .map(|(class, name)| Tenants { name: name.into(), class, users: 2_048, skew: 0.0 })
        .into();
    let whole = model.sources.pop();
    model.sources = (0..2)
        .zip(std::iter::repeat(whole))
        .filter_map(|(tenants, whole)| {
            let whole = whole?;
            Some(Source { tenants, arrivals: whole.arrivals.scaled(0.5), ..whole })
        })
        .collect();
    model
}

/// With a rule that may end a quarter of the instances and start them again.
fn scaled(mut model: Model) -> Model {
    model.dynamics.scaling = Some(Policy::original().scaling);
    for app in &mut model.apps {
        let all = app.machines * app.instances;
        app.life.bounds = Some((all / 4 * 3, all));
    }
    model
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// With the vectors of this processor; `cargo xtask kernels` looks at others.
    #[test]
    fn loads_come_to_what_is_committed() {
        #[derive(serde::Deserialize)]
        struct Committed {
            results: BTreeMap<String, String>,
        }
        let committed: Committed =
            serde_json::from_str(include_str!("../../kernels.json")).unwrap();
        let seen: BTreeMap<String, String> = LOADS
            .iter()
            .map(|(name, lanes, make)| ((*name).to_owned(), result(&make(), *lanes)))
            .collect();
        assert_eq!(seen, committed.results);
    }
}
