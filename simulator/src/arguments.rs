//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use simulator::scenario::Override;

use crate::generate::GenerateArguments;
use crate::opened::TraceArguments;
use crate::replay::ReplayArguments;
use crate::trace::TraceCommand;

use crate::capacity::{Capacity, percent};
use crate::compare::Compare;
use crate::explain::Explain;
use crate::lint::ScenarioCommand;
use crate::mesos::Mesos;
use crate::schema;
use crate::sweep::Sweep;
use crate::tune::Tune;

/// Simulates the platform: the same decisions as in production, on a model of its machines.
#[derive(Debug, Parser)]
#[command(name = "simulator", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario and print what became of its requests.
    Run(Run),
    /// Run the requests of a trace through a scenario's machines and rules.
    Replay(ReplayArguments),
    /// Write the requests of a scenario as a trace.
    Generate(GenerateArguments),
    /// Pack a trace, or show its beginning.
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Compare a change with a baseline: the gate for CI.
    Compare(Compare),
    /// Run all combinations of some parameters.
    Sweep(Sweep),
    /// Search for a policy that costs least and meets conditions.
    Tune(Tune),
    /// Find the fewest machines for a load, or the largest load for the machines.
    Capacity(Capacity),
    /// Tell why a request was refused or waited, or what an app was like at a time.
    Explain(Explain),
    /// Tell what a request trace is like, and write a scenario that is like it.
    Fit(Fit),
    /// Measure how fast the engine is on this machine.
    Bench(Bench),
    /// Be a Mesos with simulated agents that any framework can connect to.
    Mesos(Mesos),
    /// Supervise a task of `mesos --real`, which calls this.
    #[command(name = crate::mesos::SUPERVISE, hide = true)]
    SuperviseTask {
        /// The task's folder.
        folder: PathBuf,
        /// Docker's program.
        docker: String,
    },
    /// Check scenario files.
    #[command(subcommand)]
    Scenario(ScenarioCommand),
    /// Print the JSON Schema of a format, for editors and other programs.
    Schema {
        /// Which format.
        format: schema::Format,
    },
    /// Print the table of exit codes.
    ExitCodes,
}

/// `simulator run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The scenario file.
    pub scenario: PathBuf,
    /// A policy file to use instead of the scenario's own policy.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Seed of all random streams, instead of the one in the file.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Another value for a key of the scenario, such as policy.queue.free=5 or duration=1h; may be
    /// given several times.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    pub overrides: Vec<Override>,
    /// Independent runs with the seeds N, N+1, …; shown with 95 % confidence intervals.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub replications: u32,
    /// As many replications as it takes until the 95 % interval of each mean response is within this
    /// part of its value, and that of each p99 within twice as much; at most 1,000.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub precision: Option<f64>,
    /// Threads for replications, or within one run with gateways behind a network; all processors if
    /// absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Folder for report.html, results.json and tables; made if it isn't there.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// `simulator fit`.
#[derive(Debug, clap::Args)]
pub struct Fit {
    #[command(flatten)]
    pub trace: TraceArguments,
    /// Write a scenario with the rates, service times and tenants of the trace.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `simulator bench`.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Only loads whose name contains this.
    pub filter: Option<String>,
    /// Requests of each run.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000_000,
          value_parser = clap::value_parser!(u64).range(1_000..=10_000_000_000))]
    pub requests: u64,
    /// Runs of each load, of which the fastest counts.
    #[arg(long, value_name = "COUNT", default_value_t = 7,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub runs: u32,
    /// Also run the plain engine, and say whether both have the same waits.
    #[arg(long)]
    pub oracle: bool,
}
