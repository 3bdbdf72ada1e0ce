//! Versions of releases: names of folders, compared by their numbers.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest version, in bytes: it becomes the name of a folder.
const LENGTH_LIMIT_BYTES: usize = 64;

/// A version. It is a single harmless path component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version: letters, digits and `.+~_-` are allowed, with a digit first")]
pub struct BadVersion(pub String);

impl Version {
    /// A version from text.
    ///
    /// # Errors
    /// When it could not be the name of a release's folder.
    pub fn parse(text: &str) -> Result<Self, BadVersion> {
        let begins_well = text.chars().next().is_some_and(|first| first.is_ascii_digit());
        let is_allowed =
            |character: char| character.is_ascii_alphanumeric() || ".+~_-".contains(character);
        if begins_well && text.len() <= LENGTH_LIMIT_BYTES && text.chars().all(is_allowed) {
            Ok(Version(text.to_owned()))
        } else {
            Err(BadVersion(text.chars().take(LENGTH_LIMIT_BYTES).collect()))
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first two numbers: `3.9` of `3.9.3-rc1`.
    #[must_use]
    pub fn minor(&self) -> (u64, u64) {
        let mut numbers = self.numbers();
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// The first three numbers: `3.9.3` of `3.9.3-rc1`.
    #[must_use]
    pub fn patch(&self) -> (u64, u64, u64) {
        let mut numbers = self.numbers();
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let release = self.0.split(['-', '+', '~', '_']).next().unwrap_or_default();
        release.split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers().cmp(other.numbers()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Version::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_harmless_folders() {
        for bad in ["", "..", ".1", "1/2", "a b", "v1", "1\n", "-1", &"1".repeat(65)] {
            assert!(Version::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["3.8.0", "1.8.7+dfsg1", "26.1.5", "3.9.3-rc1", "0"] {
            assert_eq!(Version::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn they_are_compared_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("3.10.0") > version("3.9.3"));
        assert!(version("3.9.3") > version("3.8.0"));
        assert!(version("20.10.24") < version("26.1.5"));
        assert_eq!(version("3.10.2-rc1").minor(), (3, 10));
        assert_eq!(version("7").minor(), (7, 0));
    }
}
