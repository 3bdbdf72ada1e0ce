//! `[io]` Suites that are cargo's.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Context, Found};
use crate::build;
use crate::error::Error;
use crate::{step, workspace};

/// The seed of random tests.
const SEED: &str = "20161128";
/// How many cases each random test tries with --long.
const LONG_CASES: &str = "3000";
/// Lines of a log that are shown when a suite fails.
pub(super) const DETAILS_LINES: usize = 40;

pub(super) fn format(context: &Context) -> Result<Found, Error> {
    one(context, "format", &workspace::cargo(&["fmt", "--all", "--check"]))
}

pub(super) fn lint(context: &Context) -> Result<Found, Error> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    one(context, "lint", &workspace::cargo(&arguments))
}

pub(super) fn documentation(context: &Context) -> Result<Found, Error> {
    let mut command = workspace::cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    command.env("RUSTDOCFLAGS", "--deny warnings");
    one(context, "documentation", &command)
}

pub(super) fn build(_context: &Context) -> Result<Found, Error> {
    let built = build::for_tests()?;
    Ok(Found::one(build::describe_helper(&built)))
}

/// Random tests try the same cases each time, so that a failure comes from a change and not from
/// luck; with --long, new cases and many of them. Who sets proptest's variables decides.
fn settle_random_tests(command: &mut Command, is_long: bool) {
    let (name, value) = match is_long {
        true => ("PROPTEST_CASES", LONG_CASES),
        false => ("PROPTEST_RNG_SEED", SEED),
    };
    if std::env::var_os(name).is_none() {
        command.env(name, value);
    }
}

fn has_nextest() -> bool {
    Command::new("cargo-nextest").arg("--version").output().is_ok()
}

/// Runs the ignored tests of these files, so many at a time.
pub(super) fn ignored(
    context: &Context,
    name: &str,
    files: &[&str],
    at_once: u8,
) -> Result<Found, Error> {
    let at_once = format!("--test-threads={at_once}");
    workspace::programs(&format!("{name}-build"), context.limit)?;
    let log = step::log(name);
    if !has_nextest() {
        let mut command = workspace::cargo(&["test", "--workspace"]);
        command.args(files.iter().map(|file| format!("--test={file}")));
        command.args(["--", "--ignored", &at_once]);
        let ended = step::run(&command, &log, context.limit)?;
        return Ok(judge(&ended, &log, counts_of_cargo));
    }
    // It builds the same as the tests of the workspace, whatever is chosen of them.
    let mut command = workspace::cargo(&["nextest", "run", "--workspace", "--run-ignored=only"]);
    let chosen: Vec<String> = files.iter().map(|file| format!("binary(={file})")).collect();
    command.args(["--filterset", &chosen.join(" | "), "--no-fail-fast", &at_once]);
    command.args(["--color=never", "--hide-progress-bar"]);
    let ended = step::run(&command, &log, context.limit)?;
    Ok(judge(&ended, &log, counts_of_nextest))
}

/// With nextest where it is installed: it runs the tests of several programs at once.
pub(super) fn unit(context: &Context) -> Result<Found, Error> {
    // Some tests run `provision` with its helper inside.
    build::for_tests()?;
    let log = step::log("unit");
    if !has_nextest() {
        let mut command = workspace::cargo(&["test", "--workspace", "--no-fail-fast", "--quiet"]);
        settle_random_tests(&mut command, context.is_long);
        let ended = step::run(&command, &log, context.limit)?;
        return Ok(judge(&ended, &log, counts_of_cargo));
    }
    let mut command = workspace::cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    settle_random_tests(&mut command, context.is_long);
    command.args(["--status-level=fail", "--final-status-level=fail", "--color=never"]);
    command.arg("--hide-progress-bar");
    let ended = step::run(&command, &log, context.limit)?;
    let mut found = judge(&ended, &log, counts_of_nextest);
    let examples_log = step::log("unit-documentation");
    let command = workspace::cargo(&["test", "--workspace", "--doc", "--quiet"]);
    let ended = step::run(&command, &examples_log, context.limit)?;
    let examples = judge(&ended, &examples_log, counts_of_cargo);
    found.passed += examples.passed;
    found.failed += examples.failed;
    found.details.push_str(&examples.details);
    Ok(found)
}

fn one(context: &Context, name: &str, command: &Command) -> Result<Found, Error> {
    let log = step::log(name);
    let ended = step::run(command, &log, context.limit)?;
    Ok(judge(&ended, &log, |_| Some((1, 0))))
}

/// A bad end without a failed test (it doesn't compile, it takes too long) is a failure, too.
pub(super) fn judge(
    ended: &step::Ended,
    log: &Path,
    counts: impl Fn(&str) -> Option<(u64, u64)>,
) -> Found {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let counts = counts(&text).filter(|(passed, failed)| passed + failed > 0);
    if let (true, Some((passed, failed))) = (ended.succeeded(), counts) {
        return Found { passed, failed, ..Found::default() };
    }
    let (passed, failed) = counts.unwrap_or_default();
    let ran_none = if ended.succeeded() { " but says of no test that it ran" } else { "" };
    let details = format!(
        "it {}{ran_none}; all of it is in {}\n{}",
        ended.words(),
        log.display(),
        step::tail(log, DETAILS_LINES)
    );
    // What passed before a suite that is one test failed isn't known. A suite that ran no test
    // must not pass.
    let passed = if failed == 0 { 0 } else { passed };
    Found { passed, failed: failed.max(1), details, ..Found::default() }
}

/// `Summary [   0.5s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped`
fn counts_of_nextest(text: &str) -> Option<(u64, u64)> {
    let summary = text.lines().rfind(|line| line.trim_start().starts_with("Summary ["))?;
    let after = summary.split_once("run:")?.1;
    let count = |word: &str| {
        after.split(',').find_map(|part| {
            let mut words = part.split_whitespace();
            let number = words.next()?.parse().ok()?;
            (words.next()? == word).then_some(number)
        })
    };
    let timed_out: u64 = count("timed").unwrap_or_default();
    Some((count("passed").unwrap_or_default(), count("failed").unwrap_or(0) + timed_out))
}

/// All lines `test result: ok. 3 passed; 0 failed; …`
pub(super) fn counts_of_cargo(text: &str) -> Option<(u64, u64)> {
    let results = text.lines().filter(|line| line.starts_with("test result:"));
    let mut sum = (0, 0);
    for line in results {
        let count = |word: &str| {
            let before = line.split_once(word)?.0.trim_end();
            before.rsplit(' ').next()?.parse::<u64>().ok()
        };
        sum.0 += count("passed;")?;
        sum.1 += count("failed;")?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nextest_is_understood() {
        let text = "    FAIL x\n     Summary [   2.031s] 345 tests run: 343 passed (2 slow), 1 failed, \
                    1 timed out, 3 skipped\n";
        assert_eq!(counts_of_nextest(text), Some((343, 2)));
        let text = "     Summary [   2.031s] 5 tests run: 5 passed, 0 skipped\n";
        assert_eq!(counts_of_nextest(text), Some((5, 0)));
        assert_eq!(counts_of_nextest("error: could not compile"), None);
    }

    #[test]
    fn cargo_is_understood() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\nother\n\
                    test result: FAILED. 4 passed; 2 failed; 0 ignored\n";
        assert_eq!(counts_of_cargo(text), Some((7, 2)));
    }

    #[test]
    fn a_suite_that_ends_badly_fails() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo error; exit 101"]);
        let ended = step::run(&command, &log, Duration::from_secs(60)).unwrap();
        let found = judge(&ended, &log, |_| None);
        assert_eq!((found.passed, found.failed), (0, 1));
        assert!(found.details.contains("exit code 101"), "{}", found.details);
    }

    #[test]
    fn a_suite_that_ran_no_test_fails() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'test result: ok. 0 passed; 0 failed; 4 ignored'"]);
        let ended = step::run(&command, &log, Duration::from_secs(60)).unwrap();
        let found = judge(&ended, &log, counts_of_cargo);
        assert_eq!((found.passed, found.failed), (0, 1));
        assert!(found.details.contains("no test"), "{}", found.details);
    }
}
