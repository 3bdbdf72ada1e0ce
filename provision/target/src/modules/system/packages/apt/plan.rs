//! From what the call wants to what apt-get must be told. Pure; the database, the policies and
//! the names are given.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::super::super::wildcard::{self, Wildcard};
use super::super::dpkg::Database;
use super::super::version;
use super::cache::Policy;

/// A package as it is named in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// As given.
    pub text: String,
    /// Name, perhaps with `:architecture`.
    pub name: String,
    /// Wanted version.
    pub version: Option<(Comparison, String)>,
}

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// `=`, may have wildcards.
    Equal,
    /// `>=`
    AtLeast,
}

impl Wish {
    /// `name`, `name=version`, `name>=version`; an error for anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.matches('=').count() > 1 || text.starts_with('-') || text.contains(' ') {
            return Err(format!("invalid package spec: {text}"));
        }
        let (name, version) = if let Some((name, version)) = text.split_once(">=") {
            (name, Some((Comparison::AtLeast, version.to_owned())))
        } else if let Some((name, version)) = text.split_once('=') {
            (name, Some((Comparison::Equal, version.to_owned())))
        } else {
            (text, None)
        };
        Ok(Wish { text: text.to_owned(), name: name.to_owned(), version })
    }

    /// Whether the name is a pattern.
    pub fn is_pattern(&self) -> bool {
        Wildcard::is_one(&self.name) || self.name.contains('!')
    }

    /// Whether a version is a wanted one.
    pub fn accepts(&self, candidate: &str) -> bool {
        match &self.version {
            None => true,
            Some((Comparison::Equal, wanted)) => wildcard::matches(wanted, candidate),
            Some((Comparison::AtLeast, wanted)) => {
                version::compare(candidate, wanted) != Ordering::Less
            }
        }
    }
}

/// Replaces patterns by the names that match them. Patterns without an architecture select
/// native packages only. The error is the pattern that matches nothing.
pub(super) fn expand(wishes: Vec<Wish>, names: &[String]) -> Result<Vec<Wish>, String> {
    let mut expanded = Vec::new();
    for wish in wishes {
        if !wish.is_pattern() {
            expanded.push(wish);
            continue;
        }
        let wildcard = Wildcard::new(&wish.name);
        let foreign = wish.name.contains(':');
        let before = expanded.len();
        for name in names {
            if (foreign || !name.contains(':')) && wildcard.matches(name) {
                expanded.push(Wish { text: name.clone(), name: name.clone(), version: None });
            }
        }
        if expanded.len() == before {
            return Err(wish.name);
        }
    }
    Ok(expanded)
}

/// What to do with the wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Installation {
    /// Arguments of `apt-get install`.
    pub packages: Vec<String>,
    /// The wish that nothing fulfils, and whether the package is unknown altogether.
    pub impossible: Option<(String, bool)>,
}

/// Whether the versions of a package must be asked for: the database alone can't tell.
pub(super) fn needs_policy(wish: &Wish, database: &Database, latest: bool) -> bool {
    match database.installed(&wish.name) {
        Some(_) if latest => true,
        Some(package) => !wish.accepts(&package.version),
        None => true,
    }
}

/// What must be installed so that the wishes hold.
pub(super) fn installation(
    wishes: &[Wish],
    database: &Database,
    policies: &BTreeMap<String, Policy>,
    latest: bool,
    only_upgrade: bool,
) -> Installation {
    let mut plan = Installation::default();
    for wish in wishes {
        let installed = database.installed(&wish.name);
        let fulfilled = installed.is_some_and(|package| wish.accepts(&package.version));
        if (fulfilled && !latest) || (installed.is_none() && only_upgrade) {
            continue;
        }
        let policy = policies.get(&wish.name);
        let best = policy.and_then(|policy| best(wish, policy));
        match (best, installed) {
            (Some(best), Some(package)) if best == package.version => {}
            (Some(best), _) => plan.packages.push(format!("{}={best}", wish.name)),
            (None, _) if fulfilled => {}
            // A name without versions may be virtual: apt-get knows who provides it.
            (None, None) if wish.version.is_none() && policy.is_some() => {
                plan.packages.push(wish.name.clone());
            }
            (None, _) => {
                plan.impossible = Some((wish.text.clone(), policy.is_none()));
                return plan;
            }
        }
    }
    plan
}

/// The version apt would take, limited to what the wish accepts.
fn best(wish: &Wish, policy: &Policy) -> Option<String> {
    let accepted = |candidate: &&String| wish.accepts(candidate);
    match &wish.version {
        // A version that was asked for overrides all pins.
        Some((Comparison::Equal, _)) => policy
            .versions
            .iter()
            .filter(accepted)
            .max_by(|left, right| version::compare(left, right))
            .cloned(),
        _ => policy.candidate.as_ref().filter(accepted).cloned(),
    }
}

/// What must be removed so that none of the packages is left.
pub(super) fn removal(wishes: &[Wish], database: &Database, purge: bool) -> Vec<String> {
    wishes
        .iter()
        .filter(|wish| {
            database.find(&wish.name).is_some_and(|package| {
                (package.is_installed() && wish.accepts(&package.version))
                    || (purge && package.has_files())
            })
        })
        .map(|wish| wish.text.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::system::packages::dpkg::tests_support::database;

    fn wishes(texts: &[&str]) -> Vec<Wish> {
        texts.iter().map(|text| Wish::parse(text).unwrap()).collect()
    }

    fn policies() -> BTreeMap<String, Policy> {
        let policy = |candidate: &str, versions: &[&str]| Policy {
            candidate: (!candidate.is_empty()).then(|| candidate.to_owned()),
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
        };
        BTreeMap::from([
            ("curl".to_owned(), policy("8.1", &["9.0~bpo", "8.1", "8.0"])),
            ("vim".to_owned(), policy("9", &["9"])),
            ("mta".to_owned(), policy("", &[])),
        ])
    }

    fn plan(texts: &[&str], latest: bool) -> Installation {
        let database = database(&[("curl", "8.0", "installed"), ("old", "1", "config-files")]);
        installation(&wishes(texts), &database, &policies(), latest, false)
    }

    #[test]
    fn wishes_are_parsed() {
        let wish = Wish::parse("a:i386>=1:2-3").unwrap();
        assert_eq!(wish.name, "a:i386");
        assert_eq!(wish.version, Some((Comparison::AtLeast, "1:2-3".to_owned())));
        assert!(Wish::parse("a==1").is_err());
        assert!(Wish::parse("-o=x").is_err());
        assert!(Wish::parse("a b").is_err());
    }

    #[test]
    fn what_is_there_stays() {
        assert_eq!(plan(&["curl", "curl=8.*", "curl>=7"], false), Installation::default());
        assert_eq!(plan(&["vim"], false).packages, ["vim=9"]);
        assert_eq!(plan(&["mta"], false).packages, ["mta"]);
        assert_eq!(plan(&["curl"], true).packages, ["curl=8.1"]);
        assert_eq!(plan(&["curl=8.0"], true).packages, Vec::<String>::new());
        assert_eq!(plan(&["curl=9*"], false).packages, ["curl=9.0~bpo"]);
        assert_eq!(plan(&["curl=7*"], false).impossible, Some(("curl=7*".to_owned(), false)));
        assert_eq!(plan(&["curl>=8.2"], false).impossible, Some(("curl>=8.2".to_owned(), false)));
        assert_eq!(plan(&["nothing"], false).impossible, Some(("nothing".to_owned(), true)));
        let database = database(&[]);
        let only = installation(&wishes(&["vim"]), &database, &policies(), true, true);
        assert_eq!(only, Installation::default());
    }

    #[test]
    fn removals() {
        let database = database(&[("curl", "8.0", "installed"), ("old", "1", "config-files")]);
        assert_eq!(removal(&wishes(&["curl", "old", "x"]), &database, false), ["curl"]);
        assert_eq!(removal(&wishes(&["curl", "old"]), &database, true), ["curl", "old"]);
        assert_eq!(removal(&wishes(&["curl=7"]), &database, false), Vec::<String>::new());
    }

    #[test]
    fn patterns_select_names() {
        let names: Vec<String> = ["apt", "apt-utils", "apt:i386"].map(str::to_owned).to_vec();
        let expanded = expand(wishes(&["apt*"]), &names).unwrap();
        assert_eq!(expanded.len(), 2);
        assert_eq!(expand(wishes(&["x*"]), &names), Err("x*".to_owned()));
    }
}
