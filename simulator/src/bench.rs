//! `simulator bench`: how fast the engine that users run is, on the loads that are published for
//! other simulators.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use simulator::loads::{Load, live, loads};
use simulator_model::windows::{self, Tally};
use simulator_model::{Report, engine, oracle};

use crate::arguments::Bench;
use crate::exit::Exit;

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
    let mut all = loads(arguments.requests);
    all.push(live(arguments.requests));
    for load in all.iter().filter(|load| load.name.contains(filter)) {
        let measured = measure(load, arguments.runs);
        let each = measured.fastest.as_secs_f64() * 1e9 / precise(measured.requests);
        let oracle = match arguments.oracle.then(|| oracle_waits(load)) {
            None => "",
            Some(waits) if waits == measured.waits => " = oracle",
            Some(_) => " ≠ oracle",
        };
        say!("{:<46} {each:>10.2} {:>10.1}   {}{oracle}", load.name, 1e3 / each, measured.waits);
    }
    say!("processor time on one core, the fastest of {} runs", arguments.runs);
    Exit::Done
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are below 2^53")]
fn precise(count: u64) -> f64 {
    count as f64
}

/// Time that this process has had a processor: other programs disturb it less than the clock.
fn processor_time() -> Duration {
    let used = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time());
    used.map_or(Duration::ZERO, |time| {
        let (seconds, rest) = (time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs());
        Duration::from_secs(seconds) + Duration::from_micros(rest)
    })
}

/// The sum of waits by the plain engine.
fn oracle_waits(load: &Load) -> u128 {
    let report = if let Some(network) = load.model.network {
        let tally = Tally::new(&load.model, network, 0);
        windows::oracle::run(&load.model, network, tally).into_report()
    } else {
        let mut report = Report::new(&load.model);
        oracle::run(&load.model, &mut report);
        report
    };
    report.total(None).wait.total()
}

/// Runs a load several times.
fn measure(load: &Load, runs: u32) -> Measured {
    let mut fastest = Duration::MAX;
    let (mut requests, mut waits) = (0, 0);
    for _ in 0..runs {
        let begun = processor_time();
        let report = engine::report(&load.model);
        fastest = fastest.min(processor_time().saturating_sub(begun));
        let total = report.total(None);
        (requests, waits) = (total.arrivals(), total.wait.total());
    }
    Measured { requests, fastest, waits }
}
