//! `[io]` The committed results, `docs/public-roles.json`: what came of each role with either engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::apply::Outcome;
use crate::conformance::source;
use crate::error::Error;
use crate::lab::directories::{read_json, write_json};
use crate::workspace;

/// Version of the file; another one is refused.
const FORMAT: u32 = 1;

/// What is known of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which version was applied: results of another one don't count.
    pub version: String,
    /// With `provision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision: Option<Outcome>,
    /// With ansible-core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Outcome>,
}

/// All results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this file.
    pub format: u32,
    /// Which ansible-core.
    pub ansible_core: String,
    /// By entry of the table.
    pub roles: BTreeMap<String, Known>,
}

impl Known {
    /// Whether `provision` passed when it was recorded.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.provision.as_ref().is_some_and(Outcome::is_passed)
    }
}

impl Record {
    /// Reads the committed results; none at all is empty.
    ///
    /// # Errors
    /// The file isn't what we wrote.
    pub fn read() -> Result<Self, Error> {
        let empty = Self {
            format: FORMAT,
            ansible_core: source::VERSION.to_owned(),
            roles: BTreeMap::new(),
        };
        let record = read_json::<Self>(&file())?.unwrap_or(empty);
        if record.format != FORMAT || record.ansible_core != source::VERSION {
            let reason =
                format!("it has format {} and ansible-core {}", record.format, record.ansible_core);
            return Err(Error::refused(format!("read {}", file().display()), reason)
                .with_hint("remove it and run `cargo xtask roles --accept` again"));
        }
        Ok(record)
    }

    /// The results of an entry at this version; older ones are forgotten.
    pub fn known(&mut self, name: &str, version: &str) -> &mut Known {
        let known = self.roles.entry(name.to_owned()).or_default();
        if known.version != version {
            *known = Known { version: version.to_owned(), ..Known::default() };
        }
        known
    }

    /// Writes the results.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self) -> Result<(), Error> {
        write_json(&file(), self)
    }
}

fn file() -> PathBuf {
    workspace::root().join("docs/public-roles.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_another_version_are_forgotten() {
        let mut record =
            Record { format: FORMAT, ansible_core: String::new(), roles: BTreeMap::new() };
        record.known("ntp", "a").provision = Some(Outcome::default());
        assert!(record.known("ntp", "a").provision.is_some());
        assert!(record.known("ntp", "b").provision.is_none());
    }
}
