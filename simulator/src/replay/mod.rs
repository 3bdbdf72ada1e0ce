//! `simulator replay`: the requests of a trace, through the machines and rules of a scenario. The
//! trace is read at least twice: first all of it is checked and counted, then it is run.

mod feed;
mod given;
mod mapping;
mod played;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use simulator::scenario::Override;
use simulator_model::Model;
use simulator_traces::TraceError;

use crate::capacity::percent;
use crate::exit::Exit;
use crate::input::{Warnings, quoted};
use crate::opened::TraceArguments;
use crate::progress::Progress;
use crate::results::{Replayed, Replication, Results};
use crate::table::grouped;
use crate::{input, run};
use mapping::Mapping;
pub use played::{Case, Cast, Played, Playing, Replay};

/// Arguments of `simulator replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    trace: TraceArguments,
    /// The scenario: machines, apps, commands, tenants, policy. Its workload isn't used.
    #[arg(long, value_name = "FILE")]
    scenario: PathBuf,
    #[command(flatten)]
    playing: Playing,
    /// A policy file to use instead of the scenario's own policy.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Seed of all random streams, instead of the one in the scenario: of whatever the trace doesn't
    /// say, and of the policy.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Another value for a key of the scenario.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    overrides: Vec<Override>,
    /// Independent runs with the seeds N, N+1, …; shown with 95 % confidence intervals.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    replications: u32,
    /// As many replications as it takes until the 95 % interval of each mean response is within this
    /// part of its value, and that of each p99 within twice as much; at most 1,000.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    precision: Option<f64>,
    /// Threads for replications; all processors if absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Folder for report.html, results.json and tables; made if it isn't there.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Runs it.
pub fn replay(arguments: &ReplayArguments) -> Exit {
    try_replay(arguments).unwrap_or_else(|exit| exit)
}

fn try_replay(arguments: &ReplayArguments) -> Result<Exit, Exit> {
    let (path, policy) = (&arguments.scenario, arguments.policy.as_deref());
    let mut loaded = input::load_all(path, policy, &arguments.overrides, Warnings::OfReplay)?;
    let model = &mut loaded.scenario.model;
    model.seed = arguments.seed.unwrap_or(model.seed);
    let replay = Replay::read(arguments.trace.clone(), arguments.playing.clone())?;
    let cast = Cast::new(Arc::new(replay), &mut loaded.scenario, Warnings::Told)?;
    loaded.warnings.extend(cast.replay.overloads(&loaded.scenario, &cast.mapping));
    loaded.origin.trace = Some(arguments.trace.trace.display().to_string());
    loaded.origin.replay = Some(Replayed {
        arguments: words(arguments),
        requests: cast.replay.scan.requests,
        last_ns: cast.replay.scan.last_ns,
    });
    input::folder(arguments.output.as_deref())?;
    let model = &loaded.scenario.model;
    let runs = run::replicate(arguments.replications, arguments.precision, |numbers| {
        some(model, &cast, arguments, numbers)
    })?;
    say!("{}", head(&cast.replay, &cast.mapping));
    let name = arguments.scenario.display().to_string();
    let command = command(arguments, model.seed, runs.len());
    let results = Results::new(loaded, name, command, runs);
    Ok(run::finish(results, arguments.output.as_deref()))
}

/// Some replications, in the order of their seeds; the first one has its course recorded if files
/// are wanted.
fn some(
    model: &Model,
    cast: &Cast,
    arguments: &ReplayArguments,
    numbers: std::ops::Range<u32>,
) -> Result<Vec<Option<Replication>>, Exit> {
    let pool = input::pool(arguments.threads)?;
    let count = numbers.end - numbers.start;
    let progress = Progress::new(model.duration, count)?;
    // A single one may have all threads to itself.
    let all_threads = u16::try_from(pool.current_num_threads()).unwrap_or(u16::MAX);
    let threads = if count == 1 { all_threads } else { 1 };
    let run = |number: u32| -> Result<Option<Replication>, TraceError> {
        let seed = model.seed.wrapping_add(u64::from(number));
        let model = Model { seed, ..model.clone() };
        let has_course = number == 0 && arguments.output.is_some();
        cast.played(seed, |requests| progress.run(&model, requests, threads, has_course))
    };
    let all = || numbers.into_par_iter().map(run).collect::<Result<Vec<_>, TraceError>>();
    progress.shown(|| pool.install(all)).map_err(|error| cast.refuse(&error))
}

fn head(replay: &Replay, mapping: &Mapping) -> String {
    let Replay { trace, format, scan, names, .. } = replay;
    let left_out = match names.left_out.failed {
        0 => String::new(),
        count => format!(", {} left out as failed", grouped(count)),
    };
    let times = match mapping.timed() {
        0 => "service times of the scenario's laws".to_owned(),
        timed if timed == scan.requests => "its own service times".to_owned(),
        timed => format!("its own service times for {}", grouped(timed)),
    };
    format!(
        "{}: {format}, {} requests{left_out}; {times}; {}\n",
        trace.trace.display(),
        grouped(scan.requests),
        mapping.told,
    )
}

/// The trace and how it is played, as words of a command.
fn words(arguments: &ReplayArguments) -> Vec<String> {
    let mut words = vec![arguments.trace.trace.display().to_string()];
    words.extend(arguments.trace.reading.words());
    words.extend(arguments.playing.words());
    words
}

/// The command that gives the same results.
fn command(arguments: &ReplayArguments, seed: u64, replications: usize) -> String {
    let path = |path: &Path| quoted(&path.display().to_string());
    let mut words = words(arguments).into_iter().map(|word| quoted(&word));
    let trace = words.next().unwrap_or_default();
    let mut command =
        format!("simulator replay {trace} --scenario {} --seed {seed}", path(&arguments.scenario));
    if let Some(policy) = &arguments.policy {
        command.push_str(&format!(" --policy {}", path(policy)));
    }
    words.for_each(|word| command.push_str(&format!(" {word}")));
    for given in &arguments.overrides {
        command.push_str(&format!(" --set {}", quoted(&given.text)));
    }
    if replications > 1 {
        command.push_str(&format!(" --replications {replications}"));
    }
    command
}
