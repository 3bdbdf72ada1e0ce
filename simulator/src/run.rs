//! `simulator run`: a scenario, its replications, the table and the files.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use simulator::execute::Requests;
use simulator_model::{Model, Report};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::input::{Warnings, quoted};
use crate::progress::Progress;
use crate::results::{Replication, Results};
use crate::{advice, control, export, input, paint, precision, sharing, table};

/// Runs it.
pub fn run(arguments: &Run) -> Exit {
    let (path, policy) = (&arguments.scenario, arguments.policy.as_deref());
    let mut loaded = match input::load_all(path, policy, &arguments.overrides, Warnings::Told) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let model = &mut loaded.scenario.model;
    model.seed = arguments.seed.unwrap_or(model.seed);
    let model = &loaded.scenario.model;
    if let Err(exit) = input::folder(arguments.output.as_deref()) {
        return exit;
    }
    let replicated = replicate(arguments.replications, arguments.precision, |numbers| {
        some(model, arguments, numbers)
    });
    let runs = match replicated {
        Ok(runs) => runs,
        Err(exit) => return exit,
    };
    let name = arguments.scenario.display().to_string();
    let command = command(arguments, &name, loaded.scenario.model.seed, runs.len());
    let others = sharing::without(&loaded.scenario.model);
    let mut results = Results::new(loaded, name, command, runs);
    if let (Some(results), Some(model)) = (&mut results, others)
        && results.partial.is_none()
    {
        results.without = match without(&model, arguments, results.reports.len()) {
            Ok(report) => report,
            Err(exit) => return exit,
        };
    }
    finish(results, arguments.output.as_deref())
}

/// As many runs of a model, summed up; none if they were stopped.
fn without(model: &Model, arguments: &Run, count: usize) -> Result<Option<Report>, Exit> {
    let runs = some(model, arguments, 0..u32::try_from(count).unwrap_or(u32::MAX))?;
    let mut merged = Report::none(model);
    for run in runs {
        match run {
            Some((report, _)) if report.stopped().is_none() => merged.merge(&report),
            Some(_) | None => return Ok(None),
        }
    }
    Ok(Some(merged))
}

/// Prints the results and writes their files, if there is a folder for them.
pub fn finish(results: Option<Results>, output: Option<&Path>) -> Exit {
    let Some(results) = results else {
        paint::error("stopped before anything was simulated");
        return Exit::Stopped;
    };
    say!("{}", table::text(&results).trim_end());
    results.advice.iter().for_each(|advice| paint::warning(advice));
    if let Some(folder) = output
        && let Err(error) = export::write(&results, folder)
    {
        paint::error(&error);
        return Exit::Environment;
    }
    if results.partial.is_some() { Exit::Stopped } else { Exit::Done }
}

/// As many replications as were asked for, or as the precision that was asked for takes; `some`
/// brings those with the given numbers.
pub fn replicate(
    replications: u32,
    precision: Option<f64>,
    some: impl Fn(Range<u32>) -> Result<Vec<Option<Replication>>, Exit>,
) -> Result<Vec<Option<Replication>>, Exit> {
    let mut runs = some(0..replications)?;
    let Some(wanted) = precision else { return Ok(runs) };
    let is_whole = |report: &&Report| report.stopped().is_none();
    loop {
        let reports: Option<Vec<&Report>> = runs
            .iter()
            .map(|run| run.as_ref().map(|(report, _)| report).filter(is_whole))
            .collect();
        let present = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        // Some are missing or cut short after Ctrl-C.
        let Some(reports) = reports else { return Ok(runs) };
        let enough = precision::wanted(&reports, wanted).min(precision::MOST);
        if enough <= present {
            return Ok(runs);
        }
        runs.extend(some(present..enough)?);
    }
}

/// Some replications, in the order of their seeds whatever thread was first. The first one has its
/// course recorded if files are wanted, or to see whether its warm-up is long enough.
fn some(
    model: &Model,
    arguments: &Run,
    numbers: Range<u32>,
) -> Result<Vec<Option<Replication>>, Exit> {
    let pool = input::pool(arguments.threads)?;
    let count = numbers.end - numbers.start;
    let progress = Progress::new(model.duration, count)?;
    let wants_course = arguments.output.is_some()
        || advice::looks_at_course(model)
        || control::looks_at_course(model);
    // A single one may have all threads to itself.
    let all_threads = u16::try_from(pool.current_num_threads()).unwrap_or(u16::MAX);
    let threads = if count == 1 { all_threads } else { 1 };
    let run = |number: u32| {
        let seed = model.seed.wrapping_add(u64::from(number));
        let model = Model { seed, ..model.clone() };
        progress.run(&model, Requests::Own, threads, number == 0 && wants_course)
    };
    let all = || numbers.into_par_iter().map(run).collect();
    Ok(progress.shown(|| pool.install(all)))
}

/// The command that gives the same results.
fn command(arguments: &Run, name: &str, seed: u64, replications: usize) -> String {
    let mut command = format!("simulator run {}", quoted(name));
    if let Some(policy) = &arguments.policy {
        command.push_str(&format!(" --policy {}", quoted(&policy.display().to_string())));
    }
    command.push_str(&format!(" --seed {seed}"));
    for given in &arguments.overrides {
        command.push_str(&format!(" --set {}", quoted(&given.text)));
    }
    if replications > 1 {
        command.push_str(&format!(" --replications {replications}"));
    }
    command
}
