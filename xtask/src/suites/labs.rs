//! `[io]` Suites with a lab: tasks of this program, which run in namespaces of their own.

use std::process::Command;

use super::rust::{self, judge};
use super::{Context, Found};
use crate::error::{Doing, Error};
use crate::lab::process;
use crate::{build, step, workspace};

pub(super) fn scenarios(context: &Context) -> Result<Found, Error> {
    let arguments = if context.is_long { &["scenarios", "--long"][..] } else { &["scenarios"] };
    task(context, "scenarios", arguments, closing_line)
}

pub(super) fn conformance(context: &Context) -> Result<Found, Error> {
    let arguments = match context.is_long {
        true => &["conformance"][..],
        false => &["conformance", "--expected"],
    };
    let mut found = task(context, "conformance", arguments, conformance_line)?;
    if context.is_long && found.failed == 0 {
        found.note = "targets that never passed don't count".to_owned();
    }
    Ok(found)
}

/// Public roles: short, those that a package registry has; long, all that can be fetched.
pub(super) fn roles(context: &Context) -> Result<Found, Error> {
    let arguments = if context.is_long { &["roles"][..] } else { &["roles", "--registry"] };
    let mut found = task(context, "roles", arguments, roles_line)?;
    if found.failed == 0 {
        found.note = match context.is_long {
            true => "what can't be fetched is in the log",
            false => "only from package registries; `cargo xtask roles` runs those of git, too",
        }
        .to_owned();
    }
    Ok(found)
}

/// The tests of the lab, which boot hosts and are ignored by `cargo test`.
pub(super) fn hosts(context: &Context) -> Result<Found, Error> {
    rust::ignored(context, "lab", &["lab"], 1)
}

fn task(
    context: &Context,
    name: &str,
    arguments: &[&str],
    counts: impl Fn(&str) -> Option<(u64, u64)>,
) -> Result<Found, Error> {
    let provision = build::for_tests()?.provision;
    let program = process::own_path().doing(|| "find xtask".to_owned())?;
    let mut command = Command::new(program);
    command.args(arguments).arg("--provision").arg(provision).current_dir(workspace::root());
    let log = step::log(name);
    let ended = step::run(&command, &log, context.limit)?;
    Ok(judge(&ended, &log, counts))
}

/// `12 passed, 1 failed`
fn closing_line(text: &str) -> Option<(u64, u64)> {
    text.lines().rev().find_map(|line| {
        let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some((passed.parse().ok()?, failed.parse().ok()?))
    })
}

/// `21 of 22 targets pass (33 s)`; which failures count, the exit code says.
fn conformance_line(text: &str) -> Option<(u64, u64)> {
    let passed = text.lines().rev().find_map(|line| {
        let (passed, rest) = line.split_once(" of ")?;
        rest.contains(" targets pass").then(|| passed.parse().ok()).flatten()
    })?;
    let lost =
        text.lines().rev().find_map(|line| line.strip_prefix("expected to pass, but didn't: "));
    let lost = lost.map_or(0, |names| names.split_whitespace().count());
    Some((passed, u64::try_from(lost).unwrap_or(u64::MAX)))
}

/// `3 passed, 1 failed, 2 not fetched`; failures count if they passed before.
fn roles_line(text: &str) -> Option<(u64, u64)> {
    let (passed, _) = closing_line(text.trim_end().rsplit_once(',')?.0)?;
    let lost =
        text.lines().rev().find_map(|line| line.strip_prefix("passed before, but not now: "));
    let lost = lost.map_or(0, |names| names.split_whitespace().count());
    Some((passed, u64::try_from(lost).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_read() {
        assert_eq!(closing_line("pass a\n12 passed, 1 failed\n"), Some((12, 1)));
        assert_eq!(closing_line("error"), None);
        let text = "21 of 23 targets pass (33 s)\nexpected to pass, but didn't: copy file\n";
        assert_eq!(conformance_line(text), Some((21, 2)));
        let text = "FAIL b\npassed before, but not now: b\n3 passed, 2 failed, 1 not fetched\n";
        assert_eq!(roles_line(text), Some((3, 1)));
        assert_eq!(roles_line("3 passed, 0 failed, 0 not fetched\n"), Some((3, 0)));
    }
}
