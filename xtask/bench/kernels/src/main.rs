//! `[ui]` Small fixed loads, one for each way through the engines, for `cargo xtask kernels`: it counts the
//! instructions of each. Without an argument: the names of the loads, and which kind of vector code
//! this processor is given.

use std::process::ExitCode;

use policy::admission::{Admission, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::config::Policy;
use policy::{Class, Nanoseconds, Queue, Scope};
use simulator_kernel::{Law, wide};
use simulator_model::{
    App, Arrivals, Cmd, Dynamics, Life, Model, Network, Source, Tenants, engine,
};

const SECOND: f64 = 1e9;
const TWO: Balance = Balance::PowerOfChoices(Choices::TWO);

/// A load by its name.
type Load = (&'static str, fn() -> Model);

const LOADS: &[Load] = &[
    ("m-m-16", || model([1, 16], 0.9, Balance::Random, 200_000)),
    ("random", || model([1_000, 1], 0.8, Balance::Random, 200_000)),
    ("two-choices", || model([1_000, 1], 0.8, TWO, 200_000)),
    ("shortest-queue", || model([1_000, 1], 0.8, Balance::JoinShortestQueue, 200_000)),
    // All are busy from time to time: the index and the wheel of ends.
    ("shortest-queue-full", || model([100, 1], 0.97, Balance::JoinShortestQueue, 100_000)),
    // The balancer asks for rows of instances.
    ("two-choices-of-rows", || model([100, 32], 0.9, TWO, 60_000)),
    ("admission", || limited(model([1_000, 1], 0.8, TWO, 60_000))),
    // Instances may come and go.
    ("live", || scaled(model([100, 32], 0.8, Balance::LeastLoaded, 60_000))),
    // Gateways behind a network, windows, reports, limits, classes, and scaling.
    ("platform", || {
        let mut model = scaled(limited(model([100, 32], 0.8, TWO, 60_000)));
        model.gateways = 4;
        let delay = Nanoseconds(2_000_000);
        model.network = Some(Network { delay, reports: Nanoseconds(100_000_000) });
        model
    }),
];

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        println!("{}", wide::processor());
        LOADS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, make)) = LOADS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("there is no load {wanted}");
        return ExitCode::FAILURE;
    };
    let report = engine::report(&make());
    let total = report.total(None);
    println!("{} {}", total.arrivals(), total.wait.total());
    ExitCode::SUCCESS
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
