//! `simulator run`: a scenario, its replications, the table and the files.

use std::path::Path;

use diagnostics::{Diagnostic, SourceId, Sources};
use rayon::prelude::*;
use simulator::scenario::{self, Override, Scenario};
use simulator_model::{Model, Report, engine};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::results::Results;
use crate::{export, paint, table};

/// Scenario and policy files are written by people: larger ones are something else.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Runs it.
pub fn run(arguments: &Run) -> Exit {
    let scenario = match load(&arguments.scenario, &arguments.overrides, arguments.seed) {
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
pub fn load(path: &Path, overrides: &[Override], seed: Option<u64>) -> Result<Scenario, Exit> {
    let mut sources = Sources::default();
    let source = read(path, &mut sources).map_err(|reason| {
        paint::error(&format!("failed to read {}: {reason}", path.display()));
        Exit::Environment
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let found = scenario::read(source, overrides, &mut sources, |name, sources| {
        read(&folder.join(name), sources)
    });
    paint::diagnostics(&found.diagnostics, &sources);
    let Some(mut scenario) = found.scenario else {
        let errors = found.diagnostics.iter().filter(|found| Diagnostic::is_error(found)).count();
        let plural = if errors == 1 { "error" } else { "errors" };
        paint::error(&format!("{} can't be used: {errors} {plural}", path.display()));
        return Err(Exit::InvalidInput);
    };
    scenario.model.seed = seed.unwrap_or(scenario.model.seed);
    Ok(scenario)
}

fn read(path: &Path, sources: &mut Sources) -> Result<SourceId, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("it has {size} bytes, more than {MAX_FILE_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(sources.add(path.display().to_string(), text))
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
    let mut command = format!("simulator run {} --seed {seed}", quoted(name));
    for given in &arguments.overrides {
        command.push_str(&format!(" --set {}", quoted(&given.text)));
    }
    if arguments.replications > 1 {
        command.push_str(&format!(" --replications {}", arguments.replications));
    }
    command
}

/// A word for a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("policy.queue.free=5"), "policy.queue.free=5");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("{x: 1}"), "'{x: 1}'");
    }
}
