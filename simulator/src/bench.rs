//! `simulator bench`: how fast the engine that users run is, on the loads that are published for
//! other simulators.

use std::time::Duration;

use crate::arguments::Bench;
use crate::exit::Exit;
use policy::admission::{Admission, Limits, Permits, Rate};
use policy::balance::{Balance, Choices};

use diagnostics::Sources;
use nix::sys::resource::{UsageWho, getrusage};
use policy::{Class, Nanoseconds, Queue, Scope};
use simulator::execute;
use simulator::scenario;
use simulator_kernel::Law;
use simulator_model::{App, Arrivals, Cmd, Dynamics, Life, Model, Source, Tenants};

/// One load.
struct Case {
    /// What it is.
    name: &'static str,
    /// The load itself.
    model: Model,
}

/// What was measured.
struct Measured {
    /// Requests of one run.
    requests: u64,
    /// The fastest of all runs.
    fastest: Duration,
    /// Checksum: the sum of all waits in nanoseconds.
    waits: u128,
}

/// Measures all loads and prints a table.
pub fn bench(arguments: &Bench) -> Exit {
    let filter = arguments.filter.as_deref().unwrap_or_default();
    say!("{:<46} {:>9} {:>10}   sum of waits in ns", "LOAD", "NS/REQUEST", "M/s");
    for case in cases(arguments.requests).iter().filter(|case| case.name.contains(filter)) {
        let measured = measure(case, arguments.runs);
        let each = measured.fastest.as_secs_f64() * 1e9 / precise(measured.requests);
        say!("{:<46} {each:>10.2} {:>10.1}   {}", case.name, 1e3 / each, measured.waits);
    }
    say!("processor time on one core, the fastest of {} runs", arguments.runs);
    Exit::Done
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are below 2^53")]
fn precise(count: u64) -> f64 {
    count as f64
}

const SECOND: f64 = 1e9;

/// The loads.
fn cases(requests: u64) -> Vec<Case> {
    let case = |name, machines, instances, load, balance| Case {
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

/// The beginning of `scenarios/day.yml`, which is also tested. Long requests have not filled the
/// machines up by then: a whole hour costs more.
fn platform(requests: u64) -> Option<Case> {
    let mut sources = Sources::default();
    let source = sources.add("scenarios/day.yml", include_str!("../../scenarios/day.yml"));
    let nothing = |_: &str, _: &mut Sources| Err("it names no file".to_owned());
    let scenario = scenario::read(source, &[], &mut sources, nothing).scenario?;
    let duration = Nanoseconds(scenario.model.mean_gap().saturating_mul(requests));
    let model = Model { duration, warm_up: Nanoseconds::ZERO, ..scenario.model };
    Some(Case { name: "platform: the beginning of scenarios/day.yml", model })
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
        reason = "a length of time from a rate that is a constant of this file"
    )]
    let duration = Nanoseconds((gap * precise(requests)) as u64);
    Model {
        seed: 1,
        duration,
        warm_up: Nanoseconds::ZERO,
        gateways: 1,
        apps: vec![App { name: "app".into(), machines, instances, life: Life::default() }],
        cmds: vec![Cmd {
            name: "cmd".into(),
            app: 0,
            service: Law::Exponential { mean: SECOND },
            deadline: None,
        }],
        tenants: vec![Tenants { name: "all".into(), class: Class::Free, users: 1, skew: 0.0 }],
        sources: vec![Source { tenants: 0, cmd: 0, arrivals: Arrivals::Poisson { gap } }],
        admission: Admission::default(),
        queue: Queue::OPEN,
        balance,
        network: None,
        dynamics: Dynamics::default(),
    }
}

/// Time that this process has had a processor: other programs disturb it less than the clock.
fn processor_time() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time());
    used.map_or(Duration::ZERO, |time| {
        let (seconds, rest) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
        Duration::from_secs(seconds) + Duration::from_micros(rest)
    })
}

/// Runs a load several times.
fn measure(case: &Case, runs: u32) -> Measured {
    let mut fastest = Duration::MAX;
    let (mut requests, mut waits) = (0, 0);
    for _ in 0..runs {
        let begun = processor_time();
        let report = execute::report(&case.model, 1);
        fastest = fastest.min(processor_time().saturating_sub(begun));
        let total = report.total(None);
        (requests, waits) = (total.arrivals(), total.wait.total());
    }
    Measured { requests, fastest, waits }
}
