//! Other simulators on the loads of `simulator bench`: the same requests with the same choices, so
//! that the sums of waits must be the same to the nanosecond. Each is written in the plainest way
//! that it offers: one component with all nodes, an event for each arrival and each end.
//!
//! `simulators run` measures the crates simcore and nexosim and says what the plain engine of the
//! product says; `simulators write FOLDER` writes the requests for the Python ones (`peers.py`).
//! Every line of the output is a JSON object.

mod jobs;
mod nexosim_peer;
mod simcore_peer;
mod stations;

use std::path::Path;
use std::time::Duration;

use jobs::{Jobs, LOADS};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

/// Runs of each, of which the median counts.
const RUNS: usize = 5;
/// Requests for the crates, and for the plain engine, whose waits of fewer are the first of these.
const SIMCORE_REQUESTS: usize = 400_000;
const NEXOSIM_REQUESTS: usize = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run"] => run(),
        ["write", folder] => write(Path::new(folder)),
        _ => {
            eprintln!("usage: simulators run | simulators write FOLDER");
            std::process::exit(2);
        }
    }
}

fn run() {
    for load in LOADS {
        let jobs = Jobs::of(load, SIMCORE_REQUESTS);
        let oracle = jobs.oracle_waits();
        let few = jobs.first(NEXOSIM_REQUESTS);
        let simcore = || simcore_peer::waits(&jobs);
        tell("simcore 0.1.0", load, &jobs, &oracle, simcore);
        let nexosim = || nexosim_peer::waits(&few);
        tell("nexosim 1.0.0, 1 thread", load, &few, &oracle, nexosim);
    }
}

/// Measures and prints one peer on one load.
fn tell(tool: &str, load: &str, jobs: &Jobs, oracle: &[u64], run: impl Fn() -> u128) {
    let mut times: Vec<Duration> = Vec::new();
    let mut waits = 0;
    for _ in 0..RUNS {
        let begun = processor_time();
        waits = run();
        times.push(processor_time().saturating_sub(begun));
    }
    times.sort_unstable();
    let requests = jobs.list.len();
    let wanted: u128 = oracle.iter().take(requests).map(|wait| u128::from(*wait)).sum();
    let row = json!({
        "tool": tool,
        "load": load,
        "requests": requests,
        "seconds": times[RUNS / 2].as_secs_f64(),
        "runs": RUNS,
        "waits_ns": waits.to_string(),
        "is_as_oracle": waits == wanted,
    });
    println!("{row}");
}

/// Processor time of this process: other programs disturb it less than the clock.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("every process has used something");
    let time = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0)
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// A file for each load: 24 bytes for each request (arrival, service, first and second choice,
/// little-endian), and the waits by the plain engine, 8 bytes each.
fn write(folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    for (number, load) in LOADS.iter().enumerate() {
        let jobs = Jobs::of(load, NEXOSIM_REQUESTS);
        let mut bytes = Vec::new();
        for job in jobs.list.iter() {
            bytes.extend(job.at.to_le_bytes());
            bytes.extend(job.service.to_le_bytes());
            bytes.extend(job.first.to_le_bytes());
            bytes.extend(job.second.to_le_bytes());
        }
        let waits: Vec<u8> =
            jobs.oracle_waits().iter().flat_map(|wait| wait.to_le_bytes()).collect();
        let file = |kind: &str| folder.join(format!("{number}.{kind}"));
        std::fs::write(file("jobs"), bytes).expect("jobs can be written");
        std::fs::write(file("waits"), waits).expect("waits can be written");
        println!("{}", json!({"number": number, "load": load, "requests": jobs.list.len()}));
    }
}
