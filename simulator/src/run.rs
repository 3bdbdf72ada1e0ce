//! `simulator run`: a scenario, its replications, the table and the files.

use std::path::Path;

use diagnostics::{Diagnostic, SourceId, Sources, render_all};
use rayon::prelude::*;
use simulator::scenario::{self, Scenario};
use simulator_model::{Model, Report, Timeline, engine};

use crate::arguments::Run;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::results::{NamedText, Origin, Partial, Results};
use crate::{export, paint, table};

/// Scenario and policy files are written by people: larger ones are something else.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Runs it.
pub fn run(arguments: &Run) -> Exit {
    let loaded = match load(arguments) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
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

/// A scenario with what it was read from.
struct Loaded {
    scenario: Scenario,
    origin: Origin,
    warnings: Vec<String>,
}

/// Reads the scenario; what is wrong has been told when this fails.
fn load(arguments: &Run) -> Result<Loaded, Exit> {
    let mut sources = Sources::default();
    let path = &arguments.scenario;
    let source = read(path, &mut sources).map_err(|reason| {
        paint::error(&format!("failed to read {}: {reason}", path.display()));
        Exit::Environment
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut names = vec![(path.display().to_string(), source)];
    let found = scenario::read(source, &arguments.overrides, &mut sources, |name, sources| {
        let source = read(&folder.join(name), sources)?;
        names.push((name.to_owned(), source));
        Ok(source)
    });
    paint::diagnostics(&found.diagnostics, &sources);
    let Some(mut scenario) = found.scenario else {
        let errors = found.diagnostics.iter().filter(|found| Diagnostic::is_error(found)).count();
        let plural = if errors == 1 { "error" } else { "errors" };
        paint::error(&format!("{} can't be used: {errors} {plural}", path.display()));
        return Err(Exit::InvalidInput);
    };
    scenario.model.seed = arguments.seed.unwrap_or(scenario.model.seed);
    let text = |(name, source): (String, SourceId)| {
        sources.get(source).map(|source| NamedText { name, text: source.text.to_string() })
    };
    let origin = Origin {
        files: names.into_iter().filter_map(text).collect(),
        overrides: arguments.overrides.iter().map(|given| given.text.clone()).collect(),
    };
    let plain = |diagnostic: &Diagnostic| {
        render_all(std::slice::from_ref(diagnostic), &sources, diagnostics::Style::Plain)
    };
    let warnings = found.diagnostics.iter().map(plain).collect();
    Ok(Loaded { scenario, origin, warnings })
}

fn read(path: &Path, sources: &mut Sources) -> Result<SourceId, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("it has {size} bytes, more than {MAX_FILE_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(sources.add(path.display().to_string(), text))
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
        scenario_digest: origin.digest(),
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
fn quoted(word: &str) -> String {
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
