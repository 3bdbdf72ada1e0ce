//! `[io]` The table of public roles, `xtask/roles.yml`: where each comes from and what our play sets.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Doing, Error};
use crate::workspace;

/// A role, or several of one collection, that is applied to a lab host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it sets up.
    pub about: String,
    /// Where it comes from.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub from: Origin,
    /// Roles as the play names them; they run in this order.
    pub roles: Vec<String>,
    /// Debian packages that are on the host before: what a server has that was installed with
    /// recommended packages, which the lab's hosts aren't.
    #[serde(default)]
    pub installed: Vec<String>,
    /// Groups that the host is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What our play sets. `lab_mirror` is the address of the lab's package mirror.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// What our run sets with `--extra-vars`: roles that read files of variables for each system
    /// overrule the variables of a play.
    #[serde(default)]
    pub extra_variables: BTreeMap<String, Value>,
    /// A shell script that fails on a host where the role didn't do its work.
    pub proof: String,
    /// What a reader should know about the variables.
    #[serde(default)]
    pub note: Option<String>,
}

/// Where a role's files come from; they are never part of this repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// A public repository.
    Git(Git),
    /// A distribution of Python's package index.
    Python(Wheel),
}

/// A commit of a public repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// `owner/name`.
    pub repository: String,
    /// All of its digits.
    pub commit: String,
    /// `namespace.name`, if it is a collection and no role.
    #[serde(default)]
    pub collection: Option<String>,
}

/// A folder of a wheel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// `name==version`.
    pub package: String,
    /// The folder inside that is wanted.
    pub folder: String,
    /// `namespace.name`, if it is a collection and no role.
    #[serde(default)]
    pub collection: Option<String>,
}

impl Origin {
    /// `namespace.name` of a collection.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        match self {
            Self::Git(git) => git.collection.as_deref(),
            Self::Python(wheel) => wheel.collection.as_deref(),
        }
    }

    /// Where it comes from, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Git(git) => {
                let short: String = git.commit.chars().take(10).collect();
                format!("{} @ {short}", git.repository)
            }
            Self::Python(wheel) => format!("{} of PyPI", wheel.package),
        }
    }
}

/// The table, by the names that this task gives its entries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// All entries.
    pub roles: BTreeMap<String, Entry>,
}

impl Catalog {
    /// Reads the committed table.
    ///
    /// # Errors
    /// The file can't be read or isn't such a table.
    pub fn read() -> Result<Self, Error> {
        let path = file();
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Error> {
        serde_yaml::from_str(text).map_err(|error| {
            Error::refused(format!("read {}", file().display()), error.to_string())
        })
    }
}

fn file() -> PathBuf {
    workspace::root().join("xtask/roles.yml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_one() {
        let catalog = Catalog::read().unwrap();
        assert!(catalog.roles.len() >= 12, "{} roles", catalog.roles.len());
        for (name, entry) in &catalog.roles {
            assert!(!entry.roles.is_empty() && !entry.proof.is_empty(), "{name}");
            if let Origin::Git(git) = &entry.from {
                assert_eq!(git.commit.len(), 40, "{name}");
                assert_eq!(git.repository.split('/').count(), 2, "{name}");
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = "roles: {ntp: {about: x, from: {git: {repository: a/b, commit: c}}, roles: [a.b], \
                    proof: 'true', variable: {}}}";
        let error = Catalog::parse(text).unwrap_err();
        assert!(format!("{:?}", error.cause).contains("variable"), "{error:?}");
        assert!(Catalog::parse(&text.replace("variable:", "variables:")).is_ok());
    }
}
