//! `[ui]` The table of a conformance run, on the terminal and in `docs/conformance.md`.

use std::fmt::Write as _;
use std::fs;

use super::driver::Outcome;
use super::reference::{Recorded, Reference, Standing};
use super::{list, source};
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
pub fn write_document(reference: &Reference, standing: &Standing) -> Result<(), Error> {
    let path = workspace::root().join("docs/conformance.md");
    let others = fs::read_to_string(&path).unwrap_or_default();
    // What people write about other tests stands behind this line and is kept.
    let others = others.split_once(KEPT).map(|(_, rest)| rest).unwrap_or_default();
    let text = format!("{}\n{KEPT}{others}", document(reference, standing));
    write_file(&path, text.as_bytes())
}

/// Behind it stands what isn't generated.
const KEPT: &str = "<!-- Below: written by hand. -->";

/// How many of how many.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    passed: u64,
    all: u64,
}

impl Score {
    fn add(&mut self, weight: u64, passed: bool) {
        self.all += weight;
        self.passed += if passed { weight } else { 0 };
    }

    fn words(self) -> String {
        let tenths = (self.passed * 1000).checked_div(self.all).unwrap_or_default();
        format!("{} of {} ({}.{} %)", self.passed, self.all, tenths / 10, tenths % 10)
    }
}

fn document(reference: &Reference, standing: &Standing) -> String {
    let (mut targets, mut conditions) = (Score::default(), Score::default());
    let mut rows = String::new();
    for listed in list::LIST {
        let passed = standing.passes.contains_key(listed.name);
        targets.add(1, passed);
        conditions.add(listed.conditions, passed);
        let ok = reference.targets.get(listed.name).and_then(Recorded::expected_ok);
        let ok = ok.map_or_else(|| "?".to_owned(), |ok| ok.to_string());
        let verdict = verdict(listed.name, standing);
        // Writing to a String can't fail.
        let _ = writeln!(rows, "| {} | {} | {ok} | {verdict} |", listed.name, listed.conditions);
    }
    let mut text = format!(
        "# Conformance\n\n\
         Written by `cargo xtask conformance --accept`; don't edit above the last line.\n\n\
         Ansible's own integration targets ({version}), run by `provision`, unmodified. The targets \
         come from the source distribution of ansible-core in the cache; they are under the GPL \
         and not part of this repository.\n\n\
         The list is fixed (`xtask/src/conformance/list.rs`): targets about what people write that \
         ansible-core itself passes in a plain Debian without a network. None may be dropped. A \
         target's weight is the number of conditions in its `assert` tasks.\n\n\
         - by targets: **{targets}**\n- by weight: **{conditions}**\n\n\
         A target passes only if the exit code is 0 **and** the recap's ok count equals the one of \
         ansible-core {version} in the same place with the same driver \
         (`docs/conformance-reference.json`, recorded once by `--record`). Roles run against a \
         fresh lab host over SSH. `runme.sh` scripts, and roles that need controller and host to be \
         one machine, run in a root file system of their own, where `ansible-playbook` and the \
         other programs are `provision`; the recaps of all their calls are summed.\n\n\
         - `cargo xtask conformance` runs all of them, `cargo xtask conformance loops` one.\n\
         - `cargo xtask test` fails when a target that passed doesn't any more (those that take \
         more than a few seconds: with `--long`).\n\
         - Public roles that `provision` applies unmodified: [public-roles.md](public-roles.md).\n\n\
         | target | weight | ok tasks | provision: first failing task and reason |\n\
         |---|---:|---:|---|\n{rows}",
        version = source::VERSION,
        targets = targets.words(),
        conditions = conditions.words(),
    );
    add_others(&mut text, reference, standing);
    text
}

fn add_others(text: &mut String, reference: &Reference, standing: &Standing) {
    let is_other = |name: &str| list::find(name).is_none();
    let mut targets = Score::default();
    let mut rows = String::new();
    let mut unusable = String::new();
    for (name, recorded) in reference.targets.iter().filter(|(name, _)| is_other(name)) {
        let Some(ok) = recorded.expected_ok() else {
            let _ = writeln!(unusable, "- {name}");
            continue;
        };
        targets.add(1, standing.passes.contains_key(name));
        let _ = writeln!(rows, "| {name} | {ok} | {} |", verdict(name, standing));
    }
    let _ = write!(
        text,
        "\n## Other roles\n\nAll other targets that are roles without Python code of their own: \
         **{}**.\n\n| target | ok tasks | provision |\n|---|---:|---|\n{rows}\n\
         ## Not usable here\n\nNot on the list, and ansible-core itself fails them on a lab host \
         (no network, no second package source):\n\n{unusable}",
        targets.words()
    );
}

fn verdict(name: &str, standing: &Standing) -> String {
    match (standing.passes.contains_key(name), standing.failures.get(name)) {
        (true, _) => "pass".to_owned(),
        (false, None) => "**not run yet**".to_owned(),
        (false, Some(failure)) => format!("**fails**: {}", cell(failure)),
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*").replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::reference::{Counts, Pace};

    #[test]
    fn the_document_counts_by_targets_and_by_weight() {
        let recorded = |exit, ok| Recorded {
            exit: Some(exit),
            counts: Some(Counts { ok, ..Counts::default() }),
            seconds: 1,
            failure: None,
        };
        let targets = [("loops", 0, 60), ("cron", 0, 40), ("git", 2, 3)]
            .map(|(name, exit, ok)| (name.to_owned(), recorded(exit, ok)));
        let reference =
            Reference { format: 1, ansible_core: String::new(), targets: targets.into() };
        let mut standing = Standing::default();
        standing.passes.insert("loops".to_owned(), Pace::Quick);
        standing.failures.insert("copy".to_owned(), "a | b".to_owned());
        let text = document(&reference, &standing);
        assert!(text.contains("by targets: **1 of 99 (1.0 %)**"), "{text}");
        assert!(text.contains("by weight: **68 of 3525 (1.9 %)**"), "{text}");
        assert!(text.contains("| loops | 68 | 60 | pass |\n"), "{text}");
        assert!(text.contains("| copy | 423 | ? | **fails**: a \\| b |\n"), "{text}");
        assert!(text.contains("**0 of 1 (0.0 %)**"), "{text}");
        assert!(text.ends_with("- git\n"), "{text}");
    }
}
