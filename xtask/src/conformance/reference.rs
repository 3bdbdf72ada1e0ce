//! `[io]` The committed numbers: what the reference engine reports for each target, and which
//! targets we are expected to pass.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::driver::Outcome;
use super::source;
use crate::error::{Doing, Error};
use crate::lab::directories::{read_json, write_file, write_json};
use crate::workspace;

/// Version of the file of numbers; another one is refused.
const FORMAT: u32 = 1;

/// A recap's numbers for one host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tasks that ended well.
    pub ok: u64,
    /// Tasks that changed something.
    pub changed: u64,
    /// Tasks whose condition didn't hold.
    pub skipped: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Failures that a rescue took.
    pub rescued: u64,
    /// Failures that were ignored.
    pub ignored: u64,
}

/// What the reference engine made of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its exit code; none if it took too long.
    pub exit: Option<i32>,
    /// Its recap for `testhost`.
    pub counts: Option<Counts>,
    /// How long it took, for comparison only.
    pub seconds: u64,
    /// Why it failed, if it did: such a target can't be passed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// All numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Version of this file.
    pub format: u32,
    /// Which ansible-core.
    pub ansible_core: String,
    /// By target.
    pub targets: BTreeMap<String, Recorded>,
}

impl Recorded {
    /// Rounded, because the time is no more than a hint.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let failed = outcome.exit != Some(0);
        Self {
            exit: outcome.exit,
            counts: outcome.counts,
            seconds: std::time::Duration::try_from_secs_f64(outcome.seconds)
                .map_or(0, |time| time.as_secs()),
            failure: outcome.failure.clone().filter(|_| failed),
        }
    }

    /// How many tasks must be ok; none if the reference engine itself fails here.
    #[must_use]
    pub fn expected_ok(&self) -> Option<u64> {
        if self.exit == Some(0) { self.counts.map(|counts| counts.ok) } else { None }
    }

    /// The rule: exit code 0 and as many ok tasks as the reference engine has.
    #[must_use]
    pub fn is_passed_by(&self, outcome: &Outcome) -> bool {
        outcome.exit == Some(0)
            && self.expected_ok().is_some()
            && outcome.counts.map(|counts| counts.ok) == self.expected_ok()
    }
}

fn file() -> PathBuf {
    workspace::root().join("docs/conformance-reference.json")
}

fn passes_file() -> PathBuf {
    workspace::root().join("docs/conformance-passes.txt")
}

fn failures_file() -> PathBuf {
    workspace::root().join("docs/conformance-failures.json")
}

impl Reference {
    /// Reads the committed numbers; none at all is empty.
    ///
    /// # Errors
    /// The file isn't what we wrote.
    pub fn read() -> Result<Self, Error> {
        let empty = Self {
            format: FORMAT,
            ansible_core: source::VERSION.to_owned(),
            targets: BTreeMap::new(),
        };
        let reference = read_json::<Self>(&file())?.unwrap_or(empty);
        if reference.format != FORMAT || reference.ansible_core != source::VERSION {
            let reason = format!(
                "it has format {} and ansible-core {}, this needs {FORMAT} and {}",
                reference.format,
                reference.ansible_core,
                source::VERSION
            );
            return Err(Error::refused(format!("read {}", file().display()), reason)
                .with_hint("remove it and `cargo xtask conformance --record`"));
        }
        Ok(reference)
    }

    /// Writes the numbers.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self) -> Result<(), Error> {
        write_json(&file(), self)
    }
}

/// How a target that passes is run by the test suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every time.
    Quick,
    /// Only when all are.
    Slow,
}

/// Longest target that the test suite runs every time: all of them together have to take less
/// than three minutes.
const QUICK_LIMIT_S: f64 = 12.0;
/// Behind the name of a slow target in the list.
const SLOW: &str = "slow";

/// What is known about our own engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The targets that pass.
    pub passes: BTreeMap<String, Pace>,
    /// Why the others don't: where a target fails first.
    pub failures: BTreeMap<String, String>,
}

impl Standing {
    /// Reads the committed lists.
    ///
    /// # Errors
    /// They can't be read.
    pub fn read() -> Result<Self, Error> {
        let path = passes_file();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.doing(|| format!("read {}", path.display()))?,
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let passes = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            Some((name, if words.next() == Some(SLOW) { Pace::Slow } else { Pace::Quick }))
        });
        let failures = read_json(&failures_file())?.unwrap_or_default();
        Ok(Self { passes: passes.collect(), failures })
    }

    /// Takes in what came of a target.
    pub fn take(&mut self, name: &str, passed: bool, outcome: &Outcome) {
        if passed {
            let pace = if outcome.seconds > QUICK_LIMIT_S { Pace::Slow } else { Pace::Quick };
            self.passes.insert(name.to_owned(), pace);
            self.failures.remove(name);
            return;
        }
        self.passes.remove(name);
        let exit = outcome.exit.map_or_else(
            || "took too long".to_owned(),
            |exit| match exit {
                0 => "another number of ok tasks".to_owned(),
                exit => format!("exit code {exit}"),
            },
        );
        let failure = outcome.failure.as_deref().unwrap_or("no message");
        self.failures.insert(name.to_owned(), format!("{exit}: {failure}"));
    }

    /// Writes the lists.
    ///
    /// # Errors
    /// They can't be written.
    pub fn write(&self) -> Result<(), Error> {
        let mut text = String::from(
            "# Targets of ansible-core that provision passes; `cargo xtask conformance --accept` \
             writes\n# this list, `cargo xtask test` fails when one of them doesn't pass any more \
             (slow ones are\n# run by `cargo xtask test --long` only).\n",
        );
        for (name, pace) in &self.passes {
            text.push_str(name);
            if *pace == Pace::Slow {
                text.push(' ');
                text.push_str(SLOW);
            }
            text.push('\n');
        }
        write_file(&passes_file(), text.as_bytes())?;
        write_json(&failures_file(), &self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(exit: i32, ok: u64) -> Outcome {
        let counts = Some(Counts { ok, ..Counts::default() });
        Outcome { exit: Some(exit), counts, ..Outcome::default() }
    }

    #[test]
    fn only_the_same_ok_count_and_exit_code_0_pass() {
        let recorded = Recorded::of(&outcome(0, 12));
        assert!(recorded.is_passed_by(&outcome(0, 12)));
        assert!(!recorded.is_passed_by(&outcome(0, 11)));
        assert!(!recorded.is_passed_by(&outcome(10, 12)));
        assert!(!recorded.is_passed_by(&Outcome::default()));
        let failed = Recorded::of(&outcome(2, 12));
        assert!(!failed.is_passed_by(&outcome(0, 12)));
    }

    #[test]
    fn a_target_either_passes_or_has_a_reason() {
        let mut standing = Standing::default();
        let failed = Outcome { failure: Some("no `x`".into()), ..outcome(2, 3) };
        standing.take("loops", false, &failed);
        assert_eq!(standing.failures["loops"], "exit code 2: no `x`");
        standing.take("loops", true, &Outcome { seconds: 13.0, ..outcome(0, 4) });
        assert_eq!(standing.passes["loops"], Pace::Slow);
        assert_eq!(standing.failures.len(), 0);
    }
}
