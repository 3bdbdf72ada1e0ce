//! Scenarios for commands: files, policies and overrides become what can be run, and runs become
//! values of metrics.

use std::ops::Range;
use std::path::{Path, PathBuf};

use diagnostics::{Diagnostic, SourceId, Sources, Span, render_all};
use rayon::prelude::*;
use simulator::judge::Values;
use simulator::metric::{self, Condition, Metric};
use simulator::scenario::{self, Override, Scenario};
use simulator_model::Model;

use crate::exit::Exit;
use crate::paint;
use crate::progress::Stop;
use crate::replay::Case;
use crate::results::{NamedText, Origin};

/// Scenario and policy files are written by people: larger ones are something else.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Codes of warnings that are about what a scenario's workload asks for.
const OF_WORKLOADS: [&str; 2] = ["overload", "profile"];

/// What the user has named.
#[derive(Debug, Clone, clap::Args)]
pub struct Subject {
    /// The scenario file.
    pub scenario: PathBuf,
    /// A policy file to use instead of the scenario's own policy.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Another value for a key of the scenario, such as policy.queue.free=5 or duration=1h; may be
    /// given several times.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    pub overrides: Vec<Override>,
    /// Seed of the first run, instead of the one in the file.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Whether warnings are told: a scenario that is read again was warned of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warnings {
    /// They are.
    Told,
    /// Those about the workload aren't, because a trace comes instead.
    OfReplay,
    /// They aren't.
    Silent,
    /// Errors aren't either: of things that are tried.
    AllSilent,
}

impl Subject {
    /// The scenario; what is wrong has been told when this fails.
    pub fn load(&self) -> Result<Scenario, Exit> {
        self.load_with(&[], Warnings::Told)
    }

    /// The scenario with more overrides.
    pub fn load_with(&self, more: &[Override], warnings: Warnings) -> Result<Scenario, Exit> {
        let overrides: Vec<Override> = self.overrides.iter().chain(more).cloned().collect();
        let mut scenario = load(&self.scenario, self.policy.as_deref(), &overrides, warnings)?;
        scenario.model.seed = self.seed.unwrap_or(scenario.model.seed);
        Ok(scenario)
    }

    /// The scenario, and what was given with it, as words of a command.
    pub fn words(&self) -> String {
        let mut words = quoted(&self.scenario.display().to_string());
        if let Some(policy) = &self.policy {
            words.push_str(&format!(" --policy {}", quoted(&policy.display().to_string())));
        }
        for given in &self.overrides {
            words.push_str(&format!(" --set {}", quoted(&given.text)));
        }
        if let Some(seed) = self.seed {
            words.push_str(&format!(" --seed {seed}"));
        }
        words
    }
}

/// A scenario with what it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// Its texts.
    pub origin: Origin,
    /// What is doubtful, as it was told.
    pub warnings: Vec<String>,
}

/// Reads a scenario; what is wrong has been told when this fails.
pub fn load(
    path: &Path,
    policy: Option<&Path>,
    overrides: &[Override],
    warnings: Warnings,
) -> Result<Scenario, Exit> {
    load_all(path, policy, overrides, warnings).map(|loaded| loaded.scenario)
}

/// Reads a scenario and keeps its texts; what is wrong has been told when this fails.
pub fn load_all(
    path: &Path,
    policy: Option<&Path>,
    overrides: &[Override],
    warnings: Warnings,
) -> Result<Loaded, Exit> {
    let mut sources = Sources::default();
    let unreadable = |path: &Path, reason: String| {
        paint::error(&format!("failed to read {}: {reason}", path.display()));
        Exit::Environment
    };
    let source = read(path, &mut sources).map_err(|reason| unreadable(path, reason))?;
    let policy = match policy {
        Some(file) => Some(read(file, &mut sources).map_err(|reason| unreadable(file, reason))?),
        None => None,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut files = vec![(path.display().to_string(), source)];
    let found = scenario::read_with(source, policy, overrides, &mut sources, |name, sources| {
        let source = read(&folder.join(name), sources)?;
        files.push((name.to_owned(), source));
        Ok(source)
    });
    let mut found = found;
    if warnings == Warnings::OfReplay {
        found
            .diagnostics
            .retain(|diagnostic| diagnostic.is_error() || !OF_WORKLOADS.contains(&diagnostic.code));
    }
    let is_silent = warnings == Warnings::AllSilent;
    if !is_silent && (warnings != Warnings::Silent || found.scenario.is_none()) {
        paint::diagnostics(&found.diagnostics, &sources);
    }
    let Some(scenario) = found.scenario else {
        let errors = found.diagnostics.iter().filter(|found| Diagnostic::is_error(found)).count();
        let plural = if errors == 1 { "error" } else { "errors" };
        if !is_silent {
            paint::error(&format!("{} can't be used: {errors} {plural}", path.display()));
        }
        return Err(Exit::InvalidInput);
    };
    let text = |name: String, source: SourceId| {
        sources.get(source).map(|source| NamedText { name, text: source.text.to_string() })
    };
    let given = policy.and_then(|source| Some((sources.get(source)?.name.clone(), source)));
    let origin = Origin {
        files: files.into_iter().filter_map(|(name, source)| text(name, source)).collect(),
        policy: given.and_then(|(name, source)| text(name, source)),
        trace: None,
        replay: None,
        overrides: overrides.iter().map(|given| given.text.clone()).collect(),
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

/// Metrics that were named with an option; separated by commas, too.
pub fn metrics(option: &str, given: &[String], model: &Model) -> Result<Vec<Metric>, Exit> {
    let mut metrics = Vec::new();
    for text in given {
        let mut sources = Sources::default();
        let source = sources.add(option, text.as_str());
        let mut begin = 0;
        for name in text.split(',') {
            let at = Span::new(source, begin, begin + name.len());
            metrics.push(metric::metric(name, at, model).map_err(|wrong| tell(*wrong, &sources))?);
            begin += name.len() + 1;
        }
    }
    Ok(metrics)
}

/// Conditions that were given with an option.
pub fn conditions(option: &str, given: &[String], model: &Model) -> Result<Vec<Condition>, Exit> {
    let mut conditions = Vec::new();
    for text in given {
        let mut sources = Sources::default();
        let source = sources.add(option, text.as_str());
        let at = Span::new(source, 0, text.len());
        let read = metric::conditions(text, at, model);
        conditions.extend(read.map_err(|wrong| tell(*wrong, &sources))?);
    }
    Ok(conditions)
}

fn tell(wrong: Diagnostic, sources: &Sources) -> Exit {
    paint::diagnostics(&[wrong], sources);
    Exit::InvalidInput
}

/// A pool of threads: all processors unless told otherwise.
pub fn pool(threads: Option<u16>) -> Result<rayon::ThreadPool, Exit> {
    let count = threads.map_or(0, usize::from);
    rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(|error| {
        paint::error(&format!("failed to start threads: {error}"));
        Exit::Environment
    })
}

/// The values of metrics for some replications of several cases: for each case, in the order of the
/// replications, whatever thread was first. The seeds follow each case's own. What is wrong with a
/// trace has been told when this fails.
pub fn measure(
    pool: &rayon::ThreadPool,
    cases: &[&Case],
    metrics: &[Metric],
    replications: Range<u32>,
) -> Result<Vec<Vec<Values>>, Exit> {
    let found = measured(pool, cases, metrics, replications, None)?;
    Ok(found.into_iter().flatten().collect())
}

/// The same until Ctrl-C comes: then none for cases of which a run is missing.
pub fn measure_until(
    stop: &Stop,
    pool: &rayon::ThreadPool,
    cases: &[&Case],
    metrics: &[Metric],
    replications: Range<u32>,
) -> Result<Vec<Option<Vec<Values>>>, Exit> {
    measured(pool, cases, metrics, replications, Some(stop))
}

fn measured(
    pool: &rayon::ThreadPool,
    cases: &[&Case],
    metrics: &[Metric],
    replications: Range<u32>,
    stop: Option<&Stop>,
) -> Result<Vec<Option<Vec<Values>>>, Exit> {
    let runs: Vec<(&Case, u32)> = cases
        .iter()
        .flat_map(|case| replications.clone().map(move |number| (*case, number)))
        .collect();
    let run = |(case, number): &(&Case, u32)| -> Result<Option<Values>, Exit> {
        let model = &case.scenario.model;
        let seed = model.seed.wrapping_add(u64::from(*number));
        let model = Model { seed, ..model.clone() };
        let report = match stop {
            Some(stop) => case.report_until(&model, stop)?,
            None => Some(case.report(&model)?),
        };
        Ok(report.map(|report| metrics.iter().map(|it| it.value(&model, &report)).collect()))
    };
    let values: Result<Vec<Option<Values>>, Exit> =
        pool.install(|| runs.par_iter().map(run).collect());
    let mut values = values?.into_iter();
    // `collect` is none if any of them is.
    Ok(cases.iter().map(|_| values.by_ref().take(replications.len()).collect()).collect())
}

/// Makes a folder for results before anything is run: what can't be written there is told at once.
pub fn folder(folder: Option<&Path>) -> Result<(), Exit> {
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        paint::error(&format!("failed to make the folder {}: {error}", folder.display()));
        Exit::Environment
    })
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
