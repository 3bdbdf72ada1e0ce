//! `[ui]` The table of a conformance run, on the terminal and in `docs/conformance.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::driver::Outcome;
use super::reference::{Recorded, Reference};
use super::source;
use crate::error::Error;
use crate::lab::directories::write_file;
use crate::workspace;

/// One line for a target that provision ran.
#[must_use]
pub fn line(name: &str, recorded: &Recorded, outcome: &Outcome) -> String {
    let wanted = recorded.expected_ok().map_or_else(|| "-".to_owned(), |ok| ok.to_string());
    let found = outcome.counts.map_or_else(|| "-".to_owned(), |counts| counts.ok.to_string());
    let exit = outcome.exit.map_or_else(|| "time".to_owned(), |exit| exit.to_string());
    let verdict = if recorded.is_passed_by(outcome) { "pass" } else { "FAIL" };
    let seconds = outcome.seconds;
    let mut text = format!(
        "{verdict} {name:<28} exit {exit:<4} ok {found:>4} of {wanted:<4} {seconds:>6.1} s"
    );
    if verdict == "FAIL"
        && let Some(failure) = &outcome.failure
    {
        // Writing to a String can't fail.
        let _ = write!(text, "  {failure}");
    }
    text
}

/// One line for a target that the reference engine ran.
#[must_use]
pub fn recorded_line(name: &str, recorded: &Recorded) -> String {
    let exit = recorded.exit.map_or_else(|| "time".to_owned(), |exit| exit.to_string());
    let ok = recorded.counts.map_or_else(|| "-".to_owned(), |counts| counts.ok.to_string());
    let seconds = recorded.seconds;
    let failure = recorded.failure.as_deref().unwrap_or_default();
    format!("{name:<28} exit {exit:<4} ok {ok:>4} {seconds:>5} s  {failure}")
}

/// Writes `docs/conformance.md`.
///
/// # Errors
/// The file can't be written.
pub fn write_document(reference: &Reference, passes: &BTreeSet<String>) -> Result<(), Error> {
    let path = workspace::root().join("docs/conformance.md");
    write_file(&path, document(reference, passes).as_bytes())
}

fn document(reference: &Reference, passes: &BTreeSet<String>) -> String {
    let possible: Vec<(&String, u64)> = reference
        .targets
        .iter()
        .filter_map(|(name, recorded)| Some((name, recorded.expected_ok()?)))
        .collect();
    let passed = possible.iter().filter(|(name, _)| passes.contains(*name)).count();
    let all: u64 = possible.iter().map(|(_, ok)| ok).sum();
    let own: u64 =
        possible.iter().filter(|(name, _)| passes.contains(*name)).map(|(_, ok)| ok).sum();
    let mut text = format!(
        "# Conformance\n\n\
         Written by `cargo xtask conformance --accept`; don't edit.\n\n\
         Ansible's own integration targets ({version}), run by `provision` against a fresh lab host \
         over SSH, unmodified. The targets come from the source distribution of ansible-core in the \
         cache; they are under the GPL and not part of this repository. Taken are all targets that \
         are roles without Python code of their own. A target passes only if the exit code is 0 \
         **and** the recap's ok count equals the one of ansible-core {version} on the same host \
         with the same driver (`docs/conformance-reference.json`, recorded once by `--record`).\n\n\
         **{passed} of {count} targets pass** ({own} of {all} ok tasks).\n\n\
         - `cargo xtask conformance` runs all of them, `cargo xtask conformance loops` one.\n\
         - `cargo xtask test` fails when a target that passed doesn't any more.\n\
         - Public roles that `provision` applies unmodified: [public-roles.md](public-roles.md).\n\n\
         | target | ok tasks | provision |\n|---|---:|---|\n",
        version = source::VERSION,
        count = possible.len(),
    );
    for (name, ok) in &possible {
        let verdict = if passes.contains(*name) { "pass" } else { "-" };
        let _ = writeln!(text, "| {name} | {ok} | {verdict} |");
    }
    text.push_str(
        "\n## Not usable here\n\nThe reference engine itself fails these on a lab host (no network, \
         no second package source, controller and host aren't one machine):\n\n",
    );
    for (name, recorded) in &reference.targets {
        if recorded.expected_ok().is_none() {
            let _ = writeln!(text, "- {name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::reference::Counts;

    #[test]
    fn the_document_counts() {
        let recorded = |exit, ok| Recorded {
            exit: Some(exit),
            counts: Some(Counts { ok, ..Counts::default() }),
            seconds: 1,
            failure: None,
        };
        let targets = [("loops", 0, 60), ("copy", 0, 40), ("git", 2, 3)]
            .map(|(name, exit, ok)| (name.to_owned(), recorded(exit, ok)));
        let reference =
            Reference { format: 1, ansible_core: String::new(), targets: targets.into() };
        let text = document(&reference, &BTreeSet::from(["loops".to_owned()]));
        assert!(text.contains("**1 of 2 targets pass** (60 of 100 ok tasks)"), "{text}");
        assert!(text.contains("| copy | 40 | - |\n| loops | 60 | pass |\n"), "{text}");
        assert!(text.ends_with("- git\n"), "{text}");
    }
}
