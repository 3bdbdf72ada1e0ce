//! The loads that are measured and published for other simulators, too: `simulator bench` and
//! `cargo xtask bench simulator` run the same ones.

use diagnostics::Sources;
use policy::admission::{Admission, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};
use policy::config::Policy;
use policy::{Class, Nanoseconds, Queue, Scope};
use simulator_kernel::Law;
use simulator_model::{App, Arrivals, Cmd, Dynamics, Life, Model, Source, Tenants};

use crate::scenario;

/// A load.
#[derive(Debug)]
pub struct Load {
    /// What it is.
    pub name: &'static str,
    /// The load itself.
    pub model: Model,
}

const SECOND: f64 = 1e9;

/// The loads, each with about so many requests.
#[must_use]
pub fn loads(requests: u64) -> Vec<Load> {
    let case = |name, machines, instances, load, balance| Load {
        name,
        model: model(machines, instances, load, balance, requests),
    };
    let two = Balance::PowerOfChoices(Choices::TWO);
    let limited = |name, instances| {
        let mut case = case(name, 1000, instances, 0.8, two);
        case.model.admission = admission();
        case.model.tenants.iter_mut().for_each(|group| group.users = 4096);
        case.model.queue = Queue { free: 10, paid: 5, ..Queue::OPEN };
        case
    };
    vec![
        case("M/M/1, load 0.9", 1, 1, 0.9, Balance::Random),
        case("M/M/16, load 0.9", 1, 16, 0.9, Balance::Random),
        case("1,000 nodes, random", 1000, 1, 0.8, Balance::Random),
        case("1,000 nodes, two choices", 1000, 1, 0.8, two),
        case("1,000 nodes, shortest queue", 1000, 1, 0.8, Balance::JoinShortestQueue),
        limited("1,000 nodes, two choices, admission", 1),
        limited("1,000 × 32 instances, two choices, admission", 32),
    ]
    .into_iter()
    .chain(platform(requests))
    .collect()
}

/// Instances may come and go, so that the engine for that runs it, and the balancer looks at all
/// targets. Other simulators aren't measured on it.
#[must_use]
pub fn live(requests: u64) -> Load {
    const MACHINES: u32 = 1_000;
    const INSTANCES: u32 = 32;
    let mut model = model(MACHINES, INSTANCES, 0.8, Balance::LeastLoaded, requests);
    model.dynamics.scaling = Some(Policy::original().scaling);
    for app in &mut model.apps {
        app.life.bounds = Some((MACHINES * INSTANCES, MACHINES * INSTANCES));
    }
    Load { name: "1,000 × 32 instances, least loaded, scaling", model }
}

/// The beginning of `scenarios/day.yml`, which is also tested. Long requests have not filled the
/// machines up by then: a whole hour costs more.
fn platform(requests: u64) -> Option<Load> {
    let mut sources = Sources::default();
    let source = sources.add("scenarios/day.yml", include_str!("../../scenarios/day.yml"));
    let nothing = |_: &str, _: &mut Sources| Err("it names no file".to_owned());
    let scenario = scenario::read(source, &[], &mut sources, nothing).scenario?;
    let duration = Nanoseconds(scenario.model.mean_gap().saturating_mul(requests));
    let model = Model { duration, warm_up: Nanoseconds::ZERO, ..scenario.model };
    Some(Load { name: "platform: the beginning of scenarios/day.yml", model })
}

/// Limits that count and never refuse, so that each request pays for all of them.
fn admission() -> Admission {
    let limits = |per_second: u64| {
        Some(Limits {
            rate: Some(Rate::new(Nanoseconds(Nanoseconds::PER_SECOND / per_second), 1_000_000)),
            concurrency: Some(1_000_000),
            scope: Scope::Gateway,
        })
    };
    Admission {
        accept: Some(Permits { permits: 1_000_000, scope: Scope::Gateway }),
        user: limits(1_000),
        cmd: limits(1_000_000),
        ..Admission::default()
    }
}

fn model(machines: u32, instances: u32, load: f64, balance: Balance, requests: u64) -> Model {
    let gap = SECOND / (load * f64::from(machines) * f64::from(instances));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a length of time from a rate that is a constant of this file"
    )]
    let duration = Nanoseconds((gap * requests as f64) as u64);
    Model {
        seed: 1,
        duration,
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![App {
            name: "app".into(),
            machines,
            instances,
            life: Life::default(),
            crowd: None,
        }],
        cmds: vec![Cmd {
            name: "cmd".into(),
            app: 0,
            service: Law::Exponential { mean: SECOND },
            deadline: None,
            stages: None,
        }],
        tenants: vec![Tenants { name: "all".into(), class: Class::Free, users: 1, skew: 0.0 }],
        sources: vec![Source {
            tenants: 0,
            cmd: 0,
            arrivals: Arrivals::Poisson { gap },
            retries: None,
        }],
        admission: Admission::default(),
        queue: Queue::OPEN,
        balance,
        network: None,
        dynamics: Dynamics::default(),
    }
}
