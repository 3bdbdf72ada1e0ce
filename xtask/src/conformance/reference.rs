//! `[io]` The committed numbers: what the reference engine reports for each target, and which
//! targets we are expected to pass.

use std::collections::{BTreeMap, BTreeSet};
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

/// The committed list of targets that pass.
///
/// # Errors
/// The list can't be read.
pub fn read_passes() -> Result<BTreeSet<String>, Error> {
    let path = passes_file();
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.doing(|| format!("read {}", path.display()))?,
    };
    let is_name = |line: &&str| !line.is_empty() && !line.starts_with('#');
    Ok(text.lines().map(str::trim).filter(is_name).map(str::to_owned).collect())
}

/// Writes the list.
///
/// # Errors
/// The list can't be written.
pub fn write_passes(passes: &BTreeSet<String>) -> Result<(), Error> {
    let mut text = String::from(
        "# Targets of ansible-core that provision passes; `cargo xtask conformance --accept` writes\n\
         # this list, `cargo xtask test` fails when one of them doesn't pass any more.\n",
    );
    for name in passes {
        text.push_str(name);
        text.push('\n');
    }
    write_file(&passes_file(), text.as_bytes())
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
}
