//! `simulator run`: a scenario, its replications, the table and the files.

use std::path::Path;

use rayon::prelude::*;
use simulator_model::{Model, Workload};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::input::{Warnings, quoted};
use crate::progress::Progress;
use crate::results::{Replication, Results};
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
        Err(exit) => return exit,
    };
    let name = arguments.scenario.display().to_string();
    let command = command(arguments, &name, loaded.scenario.model.seed);
    finish(Results::new(loaded, name, command, runs), arguments.output.as_deref())
}

/// Prints the results and writes their files, if there is a folder for them.
pub fn finish(results: Option<Results>, output: Option<&Path>) -> Exit {
    let Some(results) = results else {
        paint::error("stopped before anything was simulated");
        return Exit::Stopped;
    };
    say!("{}", table::text(&results).trim_end());
    if let Some(folder) = output
        && let Err(error) = export::write(&results, folder)
    {
        paint::error(&error);
        return Exit::Environment;
    }
    if results.partial.is_some() { Exit::Stopped } else { Exit::Done }
}

/// All seeds, in their order whatever thread was first. The first one has its course recorded if
/// files are wanted; a single one may have all threads to itself.
fn replicate(model: &Model, arguments: &Run) -> Result<Vec<Option<Replication>>, Exit> {
    let pool = input::pool(arguments.threads)?;
    let progress = Progress::new(model.duration, arguments.replications)?;
    let threads = match arguments.replications {
        1 => u16::try_from(pool.current_num_threads()).unwrap_or(u16::MAX),
        _ => 1,
    };
    let run = |number: u32| {
        let seed = model.seed.wrapping_add(u64::from(number));
        let model = Model { seed, ..model.clone() };
        let has_course = number == 0 && arguments.output.is_some();
        match model.network {
            None => progress.run(&model, Workload::new(&model), has_course),
            Some(_) => progress.run_in_windows(&model, threads),
        }
    };
    let all = || (0..arguments.replications).into_par_iter().map(run).collect();
    Ok(progress.shown(|| pool.install(all)))
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
