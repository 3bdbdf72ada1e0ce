//! `[io]` Fuzz targets: built together, run for some seconds each, two at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::rust::DETAILS_LINES;
use super::{Context, Found};
use crate::error::{Doing, Error};
use crate::{step, workspace};

/// How long each target runs at most, in seconds: short, and with `--long`.
const SECONDS: [u64; 2] = [8, 300];
/// And how many inputs each tries in short: some seconds of work.
const RUNS: u32 = 10_000;
/// The seed of the short runs.
const SEED: u32 = 20_161_128;

/// What a target may take besides, to read its seeds and to end.
const MARGIN: Duration = Duration::from_secs(30);

/// Targets that run at the same time: CI has two cores.
const AT_ONCE: usize = 2;

/// What became of one target.
struct Outcome {
    target: String,
    /// Inputs that were tried.
    executions: Option<u64>,
    /// The end of the log and how to go on, unless it ended well.
    trouble: Option<String>,
}

pub(super) fn run(context: &Context) -> Result<Found, Error> {
    let folder = workspace::root().join("fuzz");
    let targets = targets(&folder)?;
    let [short, long] = SECONDS;
    let seconds = if context.is_long { long } else { short };
    let rounds = u32::try_from(targets.len().div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
    let runs_limit = run_limit(seconds).saturating_mul(rounds);
    let log = step::log("fuzz-build");
    let build_limit = context.limit.saturating_sub(runs_limit);
    let ended = step::run(&command(&folder, &[]), &log, build_limit)?;
    if !ended.succeeded() {
        let tail = step::tail(&log, DETAILS_LINES);
        let details = format!("the build of the targets {}\n{tail}", ended.words());
        return Ok(Found { failed: 1, details, ..Found::default() });
    }
    let outcomes = run_all(&folder, &targets, context.is_long, seconds)?;
    let mut found = Found::default();
    let mut counts = Vec::new();
    for outcome in outcomes {
        match outcome.trouble {
            None => found.passed += 1,
            Some(trouble) => {
                found.failed += 1;
                found.details.push_str(&trouble);
            }
        }
        let executions = outcome.executions.map_or("?".to_owned(), |count| count.to_string());
        counts.push(format!("{} {executions}", outcome.target));
    }
    let build = ended.elapsed.as_secs_f64();
    found.note = format!(
        "build {build:.0} s, executions in at most {seconds} s each: {}",
        counts.join(", ")
    );
    Ok(found)
}

/// Runs all targets, in the order of their names in the result.
fn run_all(
    folder: &Path,
    targets: &[String],
    is_long: bool,
    seconds: u64,
) -> Result<Vec<Outcome>, Error> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = run_one(folder, target, is_long, seconds);
            outcomes.lock().unwrap_or_else(|poison| poison.into_inner()).push(outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(|poison| poison.into_inner());
    let mut outcomes = outcomes.into_iter().collect::<Result<Vec<Outcome>, Error>>()?;
    outcomes.sort_by(|first, second| first.target.cmp(&second.target));
    Ok(outcomes)
}

fn run_one(folder: &Path, target: &str, is_long: bool, seconds: u64) -> Result<Outcome, Error> {
    let log = step::log(&format!("fuzz-{target}"));
    let mut arguments = vec![target.to_owned(), format!("-max_total_time={seconds}")];
    if !is_long {
        // The same inputs each time: a failure in CI comes from a change and not from luck.
        arguments.extend([format!("-seed={SEED}"), format!("-runs={RUNS}")]);
    }
    let command = command(folder, &arguments);
    let ended = step::run(&command, &log, run_limit(seconds))?;
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    let executions = executions(&text);
    // A target that ends well without having tried anything has tested nothing.
    let is_good = ended.succeeded() && executions.is_some_and(|count| count > 0);
    let trouble = (!is_good).then(|| {
        let tail = step::tail(&log, DETAILS_LINES);
        format!("{target} {}\n{tail}\n{}\n", ended.words(), how_to_go_on(target, &text))
    });
    Ok(Outcome { target: target.to_owned(), executions, trouble })
}

fn run_limit(seconds: u64) -> Duration {
    Duration::from_secs(seconds) + MARGIN
}

fn how_to_go_on(target: &str, log: &str) -> String {
    match reproducer(log) {
        Some(path) => format!(
            "the input is in {path}; try it again with\n  \
             CARGO_TARGET_DIR={} fuzz/run.sh {target} {path}",
            programs().display()
        ),
        None => format!(
            "no input was written down (a stack overflow ends without); find it again with\n  \
             SANITIZER=address fuzz/run.sh {target} -max_total_time=60"
        ),
    }
}

fn command(folder: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(folder.join("run.sh"));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", programs());
    command
}

/// Where the targets are built.
fn programs() -> PathBuf {
    workspace::target().join("fuzz")
}

fn targets(folder: &Path) -> Result<Vec<String>, Error> {
    let folder = folder.join("fuzz_targets");
    let entries = fs::read_dir(&folder).doing(|| format!("list {}", folder.display()))?;
    let mut targets: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort();
    Ok(targets)
}

/// libFuzzer's last word: `Done 12345 runs in 9 second(s)`.
fn executions(log: &str) -> Option<u64> {
    let line = log.lines().rfind(|line| line.starts_with("Done "))?;
    line.strip_prefix("Done ")?.split_once(" runs in ")?.0.parse().ok()
}

/// libFuzzer's `artifact_prefix='…'; Test unit written to …/crash-…`.
fn reproducer(log: &str) -> Option<&str> {
    let line = log.lines().find(|line| line.contains("Test unit written to "))?;
    Some(line.split_once("Test unit written to ")?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::{executions, reproducer};

    #[test]
    fn the_words_of_libfuzzer_are_understood() {
        let text = "#2 INITED cov: 5\n#99 DONE cov: 9 exec/s: 33\nDone 99 runs in 3 second(s)\n";
        assert_eq!(executions(text), Some(99));
        assert_eq!(executions("==1== ERROR: libFuzzer: deadly signal\n"), None);
        let text =
            "MS: 1 x\nartifact_prefix='t/yaml-'; Test unit written to t/yaml-crash-ab\nBase64: \n";
        assert_eq!(reproducer(text), Some("t/yaml-crash-ab"));
        assert_eq!(reproducer(""), None);
    }
}
