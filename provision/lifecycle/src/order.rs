//! Order among components: which one is changed first where several are, and which release of one
//! would not suit what runs of another.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::state::{Observed, Purpose};
use crate::version::Version;

/// `order` of a `component.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Order {
    /// Components that are changed before this one, where both are.
    #[serde(default)]
    pub after: Vec<String>,
    /// Components whose members must run this release or a newer one, before this one gets it; they
    /// are changed before this one, too.
    #[serde(default)]
    pub not_newer_than: Vec<String>,
}

impl Order {
    fn is_after(&self, name: &str) -> bool {
        self.after.iter().chain(&self.not_newer_than).any(|other| other == name)
    }
}

/// Why components have no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("order the components: each of {} waits for another one of them", names.join(", "))]
pub struct CircleError {
    /// Who waits in a circle, or for it.
    pub names: Vec<String>,
}

/// The order in which components are changed: who waits for nobody goes first, of several the one
/// whose name is first.
///
/// # Errors
/// When some of them wait for each other.
pub fn ordered(components: &[(&str, &Order)]) -> Result<Vec<String>, CircleError> {
    let mut waiting: Vec<(&str, &Order)> = components.to_vec();
    waiting.sort_by_key(|(name, _)| *name);
    waiting.dedup_by_key(|(name, _)| *name);
    let mut done = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let names: BTreeSet<&str> = waiting.iter().map(|(name, _)| *name).collect();
        let waits = |order: &Order| names.iter().any(|name| order.is_after(name));
        let Some(next) = waiting.iter().position(|(_, order)| !waits(order)) else {
            let names = waiting.iter().map(|(name, _)| (*name).to_owned()).collect();
            return Err(CircleError { names });
        };
        done.push(waiting.remove(next).0.to_owned());
    }
    Ok(done)
}

/// Another component, and what was seen of its members.
#[derive(Debug, Clone, Copy)]
pub struct Neighbour<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its rules.
    pub order: &'a Order,
    /// Its members.
    pub observed: &'a Observed,
}

/// Why a release would not suit what runs of another component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The component that would be changed.
    pub component: String,
    /// To what.
    pub version: Version,
    /// The other one.
    pub other: String,
    /// A member of that.
    pub member: String,
    /// What it runs.
    pub runs: Version,
    /// Whether the change would be newer than that, where it must not be; else it would be older.
    pub is_newer: bool,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { component, version, other, member, runs, is_newer } = self;
        let word = if *is_newer { "newer" } else { "older" };
        let (ahead, behind) = match is_newer {
            true => (component, other),
            false => (other, component),
        };
        write!(
            f,
            "{component} {version} would be {word} than {other} {runs} on {member}: {ahead} must not \
             be newer than {behind}"
        )
    }
}

impl Mismatch {
    /// What to do first.
    #[must_use]
    pub fn hint(&self) -> String {
        let word = if self.is_newer { "upgrade" } else { "rollback" };
        format!("first: provision {word} {} {}", self.other, self.version)
    }
}

/// Whether other components need, before a component gets a release, to be brought to another one
/// themselves. Members that can't be asked say nothing against it.
#[must_use]
pub fn mismatch(
    component: &str,
    order: &Order,
    purpose: Purpose,
    version: &Version,
    neighbours: &[Neighbour<'_>],
) -> Option<Mismatch> {
    if !matches!(purpose, Purpose::Upgrade | Purpose::Rollback) {
        return None;
    }
    neighbours.iter().find_map(|neighbour| {
        let must_be_older = order.not_newer_than.iter().any(|name| name == neighbour.name);
        let must_be_newer = neighbour.order.not_newer_than.iter().any(|name| name == component);
        let is_wrong =
            |runs: &Version| (must_be_older && version > runs) || (must_be_newer && version < runs);
        let members = neighbour.observed.members.iter();
        let mut running = members.filter_map(|member| {
            let runs = member.running.as_ref().or(member.current.as_ref())?;
            Some((member.name.clone(), runs.clone()))
        });
        let (member, runs) = running.find(|(_, runs)| is_wrong(runs))?;
        Some(Mismatch {
            component: component.to_owned(),
            version: version.clone(),
            other: neighbour.name.to_owned(),
            member,
            is_newer: *version > runs,
            runs,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Duty, Member};

    fn order(after: &[&str], not_newer_than: &[&str]) -> Order {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Order { after: own(after), not_newer_than: own(not_newer_than) }
    }

    #[test]
    fn who_waits_for_nobody_goes_first() {
        let (a, b, c) = (order(&["b"], &[]), order(&["x"], &["c"]), order(&[], &[]));
        let all = [("a", &a), ("b", &b), ("c", &c), ("d", &c)];
        assert_eq!(ordered(&all).unwrap(), ["c", "b", "a", "d"]);
        assert_eq!(ordered(&all[..1]).unwrap(), ["a"]);
        assert_eq!(ordered(&[("a", &a), ("a", &a)]).unwrap(), ["a"]);
        let circle = order(&["a"], &[]);
        let error = ordered(&[("a", &a), ("b", &circle), ("d", &c)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "order the components: each of a, b waits for another one of them"
        );
    }

    /// Whatever is asked for, in whatever order: each comes once, and after those it waits for.
    #[test]
    fn all_orders_of_four_keep_the_rules() {
        let names = ["a", "b", "c", "d"];
        // Bit 4·i + j: the i-th is after the j-th.
        for bits in 0_u32..1 << 16 {
            let has = |i: usize, j: usize| bits >> (4 * i + j) & 1 == 1;
            let rule = |i: usize| {
                let after = (0..4).filter(|j| has(i, *j) && *j != i).map(|j| names[j].to_owned());
                Order { after: after.collect(), not_newer_than: Vec::new() }
            };
            let rules: Vec<Order> = (0..4).map(rule).collect();
            let all: Vec<(&str, &Order)> = names.into_iter().zip(&rules).collect();
            // The oracle: some permutation keeps all rules.
            let keeps = |done: &[usize]| {
                let place = |one: usize| done.iter().position(|other| *other == one).unwrap();
                (0..4).all(|i| (0..4).all(|j| i == j || !has(i, j) || place(j) < place(i)))
            };
            let mut some = false;
            for number in 0..256_usize {
                let done = [number & 3, number >> 2 & 3, number >> 4 & 3, number >> 6];
                let is_permutation = (0..4).all(|one| done.contains(&one));
                some |= is_permutation && keeps(&done);
            }
            let found = ordered(&all);
            assert_eq!(found.is_ok(), some, "{bits:b}");
            if let Ok(found) = found {
                let place = |name: &String| names.iter().position(|one| one == name).unwrap();
                let done: Vec<usize> = found.iter().map(place).collect();
                assert!(done.len() == 4 && keeps(&done), "{bits:b}: {found:?}");
            }
        }
    }

    #[test]
    fn agents_are_never_newer_than_masters() {
        let version = |text: &str| Version::parse(text).unwrap();
        let seen = |name: &str, runs: Option<&str>| Observed {
            members: vec![Member {
                running: runs.map(version),
                ..Member::blank(name, Duty::Voter)
            }],
            ..Observed::default()
        };
        let (agent, master) = (order(&[], &["master"]), order(&[], &[]));
        let table = [
            // Agents to a release while masters run another one.
            ("agent", "1.11", Some("1.9"), Purpose::Upgrade, Some(true)),
            ("agent", "1.11", Some("1.11"), Purpose::Upgrade, None),
            ("agent", "1.9", Some("1.11"), Purpose::Rollback, None),
            ("agent", "1.11", None, Purpose::Upgrade, None),
            ("agent", "1.11", Some("1.9"), Purpose::Restart, None),
            // Masters, while agents run another one.
            ("master", "1.11", Some("1.9"), Purpose::Upgrade, None),
            ("master", "1.9", Some("1.11"), Purpose::Rollback, Some(false)),
            ("master", "1.9", Some("1.9"), Purpose::Rollback, None),
        ];
        for (component, to, runs, purpose, expected) in table {
            let (own, other, other_order) = match component {
                "agent" => (&agent, "master", &master),
                _ => (&master, "agent", &agent),
            };
            let observed = seen("h1", runs);
            let neighbours = [Neighbour { name: other, order: other_order, observed: &observed }];
            let found = mismatch(component, own, purpose, &version(to), &neighbours);
            assert_eq!(
                found.as_ref().map(|one| one.is_newer),
                expected,
                "{component} {to} {runs:?}"
            );
        }
        let observed = seen("m1", Some("1.9"));
        let neighbours = [Neighbour { name: "master", order: &master, observed: &observed }];
        let found =
            mismatch("agent", &agent, Purpose::Upgrade, &version("1.11"), &neighbours).unwrap();
        assert_eq!(
            found.to_string(),
            "agent 1.11 would be newer than master 1.9 on m1: agent must not be newer than master"
        );
        assert_eq!(found.hint(), "first: provision upgrade master 1.11");
        let observed = seen("a1", Some("1.11"));
        let neighbours = [Neighbour { name: "agent", order: &agent, observed: &observed }];
        let back =
            mismatch("master", &master, Purpose::Rollback, &version("1.9"), &neighbours).unwrap();
        assert_eq!(
            back.to_string(),
            "master 1.9 would be older than agent 1.11 on a1: agent must not be newer than master"
        );
        assert_eq!(back.hint(), "first: provision rollback agent 1.9");
    }
}
