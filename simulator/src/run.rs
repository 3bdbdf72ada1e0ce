//! `simulator run`: a scenario, its replications, the table and the files.

use rayon::prelude::*;
use simulator_model::{Model, Report, Timeline, engine};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::input::{Loaded, Warnings, quoted};
use crate::progress::Progress;
use crate::results::{Partial, Results};
use crate::{export, input, paint, table};

/// Runs it.
pub fn run(arguments: &Run) -> Exit {
    let (path, policy) = (&arguments.scenario, arguments.policy.as_deref());
    let mut loaded = match input::load_all(path, policy, &arguments.overrides, Warnings::Told) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let model = &mut loaded.scenario.model;
    model.seed = arguments.seed.unwrap_or(model.seed);
    let runs = match replicate(&loaded.scenario.model, arguments) {
        Ok(runs) => runs,
        Err(error) => {
            paint::error(&error);
            return Exit::Environment;
        }
    };
    let Some(results) = results(loaded, runs, arguments) else {
        paint::error("stopped before anything was simulated");
        return Exit::Stopped;
    };
    say!("{}", table::text(&results).trim_end());
    if let Some(folder) = &arguments.output
        && let Err(error) = export::write(&results, folder)
    {
        paint::error(&error);
        return Exit::Environment;
    }
    if results.partial.is_some() { Exit::Stopped } else { Exit::Done }
}

/// What became of one replication; nothing if it wasn't begun.
type Replication = Option<(Report, Option<Timeline>)>;

/// All seeds, in their order whatever thread was first. The first one has its course recorded if
/// files are wanted.
fn replicate(model: &Model, arguments: &Run) -> Result<Vec<Replication>, String> {
    let threads = arguments.threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| format!("failed to start threads: {error}"))?;
    let progress = Progress::new(model.duration, arguments.replications)
        .map_err(|error| format!("failed to listen to Ctrl-C: {error}"))?;
    let run = |number: u32| {
        if progress.is_stopped() {
            return None;
        }
        let seed = model.seed.wrapping_add(u64::from(number));
        let model = Model { seed, ..model.clone() };
        let mut part = progress.part();
        let mut watch = |now| part.moved(now);
        let run = if number == 0 && arguments.output.is_some() {
            let (report, timeline) = engine::watched_timeline(&model, &mut watch);
            (report, Some(timeline))
        } else {
            (engine::watched_report(&model, &mut watch), None)
        };
        part.end(model.duration);
        Some(run)
    };
    Ok(std::thread::scope(|scope| {
        progress.show(scope);
        let runs = pool.install(|| (0..arguments.replications).into_par_iter().map(run).collect());
        progress.end();
        runs
    }))
}

/// The replications up to the first that didn't end; the beginning of that one, if there are none.
fn results(loaded: Loaded, runs: Vec<Replication>, arguments: &Run) -> Option<Results> {
    let Loaded { scenario, origin, warnings } = loaded;
    let is_whole =
        |run: &Replication| run.as_ref().is_some_and(|(report, _)| report.stopped().is_none());
    let whole = runs.iter().take_while(|run| is_whole(run)).count();
    let mut reports = Vec::new();
    let mut timeline = None;
    for (report, course) in runs.into_iter().flatten().take(whole.max(1)) {
        reports.push(report);
        timeline = timeline.or(course);
    }
    let stopped = reports.first()?.stopped();
    let wanted = arguments.replications;
    let is_partial = stopped.is_some() || reports.len() < wanted as usize;
    let mut merged = Report::new(&scenario.model);
    reports.iter().for_each(|report| merged.merge(report));
    if let Some(stopped) = stopped {
        merged.cut(stopped);
    }
    let name = arguments.scenario.display().to_string();
    Some(Results {
        command: command(arguments, &name, scenario.model.seed),
        policy_digest: scenario.policy.digest(),
        partial: is_partial.then_some(Partial { stopped, wanted }),
        scenario,
        name,
        origin,
        warnings,
        reports,
        merged,
        timeline,
    })
}

/// The command that gives the same results.
fn command(arguments: &Run, name: &str, seed: u64) -> String {
    let mut command = format!("simulator run {}", quoted(name));
    if let Some(policy) = &arguments.policy {
        command.push_str(&format!(" --policy {}", quoted(&policy.display().to_string())));
    }
    command.push_str(&format!(" --seed {seed}"));
    for given in &arguments.overrides {
        command.push_str(&format!(" --set {}", quoted(&given.text)));
    }
    if arguments.replications > 1 {
        command.push_str(&format!(" --replications {}", arguments.replications));
    }
    command
}
