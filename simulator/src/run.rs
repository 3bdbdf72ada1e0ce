//! `simulator run`: a scenario, its replications, the table and the files.

use rayon::prelude::*;
use simulator::scenario::Scenario;
use simulator_model::{Model, Report, engine};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::input::{Warnings, quoted};
use crate::results::Results;
use crate::{export, input, paint, table};

/// Runs it.
pub fn run(arguments: &Run) -> Exit {
    let scenario = match load(arguments) {
        Ok(scenario) => scenario,
        Err(exit) => return exit,
    };
    let reports = match replicate(&scenario.model, arguments) {
        Ok(reports) => reports,
        Err(error) => {
            paint::error(&format!("failed to start threads: {error}"));
            return Exit::Environment;
        }
    };
    let name = arguments.scenario.display().to_string();
    let command = command(arguments, &name, scenario.model.seed);
    let results = Results::new(scenario, name, command, reports);
    say!("{}", table::text(&results).trim_end());
    if let Some(folder) = &arguments.output
        && let Err(error) = export::write(&results, folder)
    {
        paint::error(&error);
        return Exit::Environment;
    }
    Exit::Done
}

/// Reads the scenario; what is wrong has been told when this fails.
fn load(arguments: &Run) -> Result<Scenario, Exit> {
    let (path, policy) = (&arguments.scenario, arguments.policy.as_deref());
    let mut scenario = input::load(path, policy, &arguments.overrides, Warnings::Told)?;
    scenario.model.seed = arguments.seed.unwrap_or(scenario.model.seed);
    Ok(scenario)
}

/// One report for each seed, in their order whatever thread was first.
fn replicate(model: &Model, arguments: &Run) -> Result<Vec<Report>, rayon::ThreadPoolBuildError> {
    let threads = arguments.threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let run = |number: u32| {
        let seed = model.seed.wrapping_add(u64::from(number));
        engine::report(&Model { seed, ..model.clone() })
    };
    Ok(pool.install(|| (0..arguments.replications).into_par_iter().map(run).collect()))
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
