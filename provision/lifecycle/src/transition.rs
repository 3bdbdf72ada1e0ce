//! Which version may follow which: the first rule that fits decides, and what fits none is
//! refused.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::version::Version;

/// One side of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Every version.
    Any,
    /// The same minor version as the other side.
    SameMinor,
    /// A newer minor version than the other side.
    NewerMinor,
    /// An older minor version than the other side.
    OlderMinor,
    /// This major version: `1.x`.
    Major(u64),
    /// This minor version.
    Minor(u64, u64),
    /// This patch version.
    Patch(u64, u64, u64),
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Pattern::Any,
            "same-minor" => Pattern::SameMinor,
            "newer-minor" => Pattern::NewerMinor,
            "older-minor" => Pattern::OlderMinor,
            _ => {
                if let Some(major) = text.strip_suffix(".x") {
                    return Some(Pattern::Major(major.parse().ok()?));
                }
                let numbers: Result<Vec<u64>, _> = text.split('.').map(str::parse).collect();
                match numbers.ok()?.as_slice() {
                    [major, minor] => Pattern::Minor(*major, *minor),
                    [major, minor, patch] => Pattern::Patch(*major, *minor, *patch),
                    _ => return None,
                }
            }
        })
    }

    fn fits(self, this: &Version, other: &Version) -> bool {
        if let Pattern::Patch(major, minor, patch) = self {
            return this.patch() == (major, minor, patch);
        }
        let (this, other) = (this.minor(), other.minor());
        match self {
            Pattern::Any => true,
            Pattern::SameMinor => this == other,
            Pattern::NewerMinor => this > other,
            Pattern::OlderMinor => this < other,
            Pattern::Major(major) => this.0 == major,
            Pattern::Minor(major, minor) => this == (major, minor),
            Pattern::Patch(..) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Any => f.write_str("any"),
            Pattern::SameMinor => f.write_str("same-minor"),
            Pattern::NewerMinor => f.write_str("newer-minor"),
            Pattern::OlderMinor => f.write_str("older-minor"),
            Pattern::Major(major) => write!(f, "{major}.x"),
            Pattern::Minor(major, minor) => write!(f, "{major}.{minor}"),
            Pattern::Patch(major, minor, patch) => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Pattern::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(
                "expected a minor version such as \"3.9\", a version such as \"3.9.3\", a major one \
                 such as \"1.x\", any, \
                 same-minor, newer-minor or older-minor",
            )
        })
    }
}

/// What becomes of containers while their daemon changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Containers {
    /// They run on.
    #[default]
    Keep,
    /// Nothing is promised: they have to move away first.
    Drain,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Transition {
    /// What is there.
    pub from: Pattern,
    /// What shall be there.
    pub to: Pattern,
    /// Whether it may be.
    pub allow: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What becomes of containers.
    #[serde(default)]
    pub containers: Containers,
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be.
    Allowed(Containers),
    /// It may not be, and why.
    Refused(String),
}

/// What the rules say of a change.
#[must_use]
pub fn judge(rules: &[Transition], from: &Version, to: &Version) -> Verdict {
    if from == to {
        return Verdict::Allowed(Containers::Keep);
    }
    let rule = rules.iter().find(|rule| rule.from.fits(from, to) && rule.to.fits(to, from));
    match rule {
        Some(rule) if rule.allow => Verdict::Allowed(rule.containers),
        Some(rule) => {
            let reason = rule.reason.clone().unwrap_or_default();
            Verdict::Refused(reason.trim().to_owned())
        }
        None => Verdict::Refused("no rule of component.yml allows it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Containers, Pattern, Transition, Verdict, judge};
    use crate::version::Version;

    fn rule(from: &str, to: &str, allow: bool, reason: Option<&str>) -> Transition {
        Transition {
            from: Pattern::parse(from).unwrap(),
            to: Pattern::parse(to).unwrap(),
            allow,
            reason: reason.map(str::to_owned),
            containers: Containers::Keep,
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            rule("same-minor", "same-minor", true, None),
            rule("3.8", "3.9", true, None),
            rule("1.x", "1.x", true, None),
            rule("newer-minor", "older-minor", false, Some("data")),
        ];
        let ask =
            |from, to| judge(&rules, &Version::parse(from).unwrap(), &Version::parse(to).unwrap());
        assert_eq!(ask("3.9.6", "3.9.3"), Verdict::Allowed(Containers::Keep));
        assert_eq!(ask("3.8.0", "3.9.3"), Verdict::Allowed(Containers::Keep));
        assert_eq!(ask("3.9.3", "3.8.0"), Verdict::Refused("data".to_owned()));
        assert!(
            matches!(ask("3.7.1", "3.9.3"), Verdict::Refused(reason) if reason.contains("no rule"))
        );
        assert_eq!(ask("9.9.9", "9.9.9"), Verdict::Allowed(Containers::Keep));
        assert_eq!(ask("1.11.0", "1.9.0"), Verdict::Allowed(Containers::Keep));
        assert!(matches!(ask("1.11.0", "2.0.0"), Verdict::Refused(_)));
    }

    #[test]
    fn a_pair_of_whole_versions_is_that_pair_only() {
        let pair = rule("20.10.24", "26.1.5", true, None);
        let rest = rule("any", "any", false, Some("not tried"));
        let rules = [pair, rest];
        let ask =
            |from, to| judge(&rules, &Version::parse(from).unwrap(), &Version::parse(to).unwrap());
        assert_eq!(ask("20.10.24", "26.1.5"), Verdict::Allowed(Containers::Keep));
        assert_eq!(ask("20.10.24+dfsg1", "26.1.5"), Verdict::Allowed(Containers::Keep));
        for (from, to) in [("20.10.23", "26.1.5"), ("20.10.24", "26.1.4"), ("26.1.5", "20.10.24")] {
            assert_eq!(ask(from, to), Verdict::Refused("not tried".to_owned()), "{from} {to}");
        }
        for text in ["20.10.24.1", "20", "20.", "20.x.1", "", "-1.2"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
        assert_eq!(Pattern::parse("20.10.24").unwrap().to_string(), "20.10.24");
    }
}
