//! Amounts of several resources, counted as Mesos counts them: those with different reservations, and
//! volumes, are apart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mesos::quantity::Intervals;
use mesos::{AllocationInfo, Milli, Resource, ValueType};

use crate::mark::Mark;

/// How much there is of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// A number in thousandths.
    Scalar(Milli),
    /// Whole numbers, such as ports.
    Numbers(Intervals),
}

/// Amounts by name and mark, in the order in which they are written; nothing is left out at zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(Vec<Entry>);

/// An amount with its name and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    name: Arc<str>,
    /// None: nobody's.
    mark: Option<Arc<Mark>>,
    amount: Amount,
}

impl Entry {
    fn is_like(&self, other: &Entry) -> bool {
        self.name == other.name && self.mark == other.mark
    }

    fn resource(&self) -> Resource {
        let mut resource = match &self.amount {
            Amount::Scalar(amount) => Resource::scalar(&self.name, *amount),
            Amount::Numbers(numbers) => Resource::ranges(&self.name, numbers),
        };
        if let Some(mark) = &self.mark {
            resource.reservations.clone_from(&mark.reservations);
            resource.disk.clone_from(&mark.disk);
        }
        resource
    }
}

/// Why resources can't be counted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A value is absent, or of another kind than a number or ranges.
    #[error("Invalid resource '{0}': a value of its type is missing")]
    Value(String),
    /// It is shared, revocable or of a provider, or a disk with a source.
    #[error(
        "Resource '{0}' is shared, revocable, of a provider or a special disk, which the simulated master doesn't have"
    )]
    Special(String),
    /// Less than nothing.
    #[error("Invalid scalar resource '{0}': value < 0")]
    Negative(String),
}

impl Amount {
    fn is_nothing(&self) -> bool {
        match self {
            Amount::Scalar(amount) => amount.0 <= 0,
            Amount::Numbers(numbers) => numbers.is_empty(),
        }
    }

    fn contains(&self, other: &Amount) -> bool {
        match (self, other) {
            (Amount::Scalar(have), Amount::Scalar(want)) => have >= want,
            (Amount::Numbers(have), Amount::Numbers(want)) => have.contains(want),
            _ => other.is_nothing(),
        }
    }
}

impl Bundle {
    /// Reads resources of offers and tasks; the allocation's role is not part of it.
    ///
    /// # Errors
    /// If one of them is of a kind that isn't counted here.
    pub fn of(resources: &[Resource]) -> Result<Bundle, BundleError> {
        let mut bundle = Bundle::default();
        for resource in resources {
            let name = || resource.name.clone();
            let has_source = resource.disk.as_ref().is_some_and(|disk| disk.source.is_some());
            let is_special = resource.revocable.is_some()
                || resource.shared.is_some()
                || resource.provider_id.is_some()
                || has_source;
            if is_special {
                return Err(BundleError::Special(name()));
            }
            let amount = match resource.r#type() {
                ValueType::Scalar => resource.amount().map(Amount::Scalar),
                ValueType::Ranges => resource.numbers().map(Amount::Numbers),
                ValueType::Set | ValueType::Text => None,
            };
            match amount {
                None => return Err(BundleError::Value(name())),
                Some(Amount::Scalar(amount)) if amount.0 < 0 => {
                    return Err(BundleError::Negative(name()));
                }
                Some(amount) => {
                    let mark = Mark::of(resource).map(Arc::new);
                    let entry = Entry { name: resource.name.as_str().into(), mark, amount };
                    bundle.add_one(&entry);
                }
            }
        }
        Ok(bundle)
    }

    /// The amount of a resource that is a number, whosever it is.
    pub fn scalar(&self, name: &str) -> Milli {
        self.scalars().filter(|(other, _)| ***other == *name).map(|(_, amount)| amount).sum()
    }

    /// Names and amounts of those that are numbers; a name may come several times.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = (&Arc<str>, Milli)> {
        self.0.iter().filter_map(|entry| match &entry.amount {
            Amount::Scalar(amount) => Some((&entry.name, *amount)),
            Amount::Numbers(_) => None,
        })
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of the other is here.
    pub fn contains(&self, other: &Bundle) -> bool {
        let nothing = Amount::Scalar(Milli(0));
        other.0.iter().all(|want| {
            let have = self.0.iter().find(|have| have.is_like(want));
            have.map_or(&nothing, |have| &have.amount).contains(&want.amount)
        })
    }

    fn add_one(&mut self, more: &Entry) {
        if more.amount.is_nothing() {
            return;
        }
        match self.0.iter_mut().find(|have| have.is_like(more)) {
            None => self.0.push(more.clone()),
            Some(have) => match (&mut have.amount, &more.amount) {
                (Amount::Scalar(have), Amount::Scalar(more)) => *have += *more,
                (Amount::Numbers(have), Amount::Numbers(more)) => *have = have.union(more),
                // One name of two kinds: no agent has that.
                _ => {}
            },
        }
    }

    /// Adds the other.
    pub fn add(&mut self, other: &Bundle) {
        for entry in &other.0 {
            self.add_one(entry);
        }
    }

    /// Takes the other away, as far as it is here.
    pub fn take(&mut self, other: &Bundle) {
        for less in &other.0 {
            let Some(have) = self.0.iter_mut().find(|have| have.is_like(less)) else { continue };
            match (&mut have.amount, &less.amount) {
                (Amount::Scalar(have), Amount::Scalar(less)) => *have -= *less,
                (Amount::Numbers(have), Amount::Numbers(less)) => *have = have.without(less),
                _ => {}
            }
        }
        self.0.retain(|entry| !entry.amount.is_nothing());
    }

    /// What may be offered to a role: what nobody has reserved, and what is reserved for it.
    pub(crate) fn visible_to(&self, role: &str) -> Bundle {
        let is_visible = |entry: &&Entry| {
            entry.mark.as_ref().is_none_or(|mark| mark.role().is_none_or(|other| other == role))
        };
        Bundle(self.0.iter().filter(is_visible).cloned().collect())
    }

    /// What is reserved, by role.
    pub(crate) fn reserved(&self) -> BTreeMap<String, Bundle> {
        let mut by_role: BTreeMap<String, Bundle> = BTreeMap::new();
        for entry in &self.0 {
            if let Some(role) = entry.mark.as_ref().and_then(|mark| mark.role()) {
                by_role.entry(role.to_owned()).or_default().add_one(entry);
            }
        }
        by_role
    }

    /// What nobody has reserved.
    pub(crate) fn unreserved(&self) -> Bundle {
        let plain = self.0.iter().filter(|entry| entry.mark.is_none());
        Bundle(plain.cloned().collect())
    }

    /// The same with other marks; none if one of them has no such mark.
    pub(crate) fn marked(
        &self,
        change: impl Fn(Option<&Mark>) -> Option<Option<Mark>>,
    ) -> Option<Bundle> {
        let mut changed = Bundle::default();
        for entry in &self.0 {
            let mark = change(entry.mark.as_deref())?.map(Arc::new);
            changed.add_one(&Entry { mark, ..entry.clone() });
        }
        Some(changed)
    }

    /// The names of volumes.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|entry| entry.mark.as_ref()?.volume())
    }

    /// In the order of another one; what isn't there comes last.
    pub(crate) fn in_order_of(mut self, other: &Bundle) -> Bundle {
        self.0.sort_by_key(|entry| {
            other.0.iter().position(|one| one.is_like(entry)).unwrap_or(usize::MAX)
        });
        self
    }

    /// In the order in which the allocator writes offers: ranges first, then what is reserved.
    pub(crate) fn in_offer_order(mut self) -> Bundle {
        self.0.sort_by_key(|entry| {
            let is_volume = entry.mark.as_ref().is_some_and(|mark| mark.disk.is_some());
            (matches!(entry.amount, Amount::Scalar(_)), entry.mark.is_none(), is_volume)
        });
        self
    }

    /// As resources of an agent.
    pub fn resources(&self) -> Vec<Resource> {
        self.0.iter().map(Entry::resource).collect()
    }

    /// As resources with `role`, too, as pages and operators' calls have them.
    pub(crate) fn with_roles(&self) -> Vec<Resource> {
        let mut resources = self.resources();
        for resource in &mut resources {
            Mark::write_old(resource);
        }
        resources
    }

    /// As resources that are offered to or used by a role, in the old format: with `role`, too.
    pub(crate) fn allocated(&self, role: &str) -> Vec<Resource> {
        let mut resources = self.with_roles();
        for resource in &mut resources {
            resource.allocation_info = Some(AllocationInfo { role: Some(role.to_owned()) });
        }
        resources
    }

    /// In Mesos' words, as allocated to a role.
    pub(crate) fn describe(&self, role: &str) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let one = |entry: &Entry| {
            let (name, mark) = (&entry.name, entry.mark.as_deref());
            let mark = mark.map(ToString::to_string).unwrap_or_default();
            match &entry.amount {
                Amount::Scalar(amount) => format!("{name}(allocated: {role}){mark}:{amount}"),
                Amount::Numbers(numbers) => format!("{name}(allocated: {role}){mark}:{numbers}"),
            }
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (index, Entry { name, mark, amount }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let mark = mark.as_deref().map(ToString::to_string).unwrap_or_default();
            match amount {
                Amount::Scalar(amount) => write!(f, "{separator}{name}{mark}:{amount}")?,
                Amount::Numbers(numbers) => write!(f, "{separator}{name}{mark}:{numbers}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mesos::quantity::Intervals;
    use mesos::{Milli, Resource};

    use super::{Bundle, BundleError};

    fn bundle(cpus: f64, ports: &[(u64, u64)]) -> Bundle {
        let numbers = Intervals::new(ports.iter().copied());
        let cpus = Resource::scalar("cpus", Milli::from_f64(cpus));
        Bundle::of(&[cpus, Resource::ranges("ports", &numbers)]).unwrap()
    }

    #[test]
    fn what_is_taken_is_added_again() {
        let all = bundle(4.0, &[(31000, 31999)]);
        let part = bundle(0.1, &[(31005, 31006)]);
        let mut rest = all.clone();
        assert!(rest.contains(&part));
        rest.take(&part);
        assert_eq!(rest.to_string(), "cpus:3.9; ports:[31000-31004, 31007-31999]");
        assert!(!rest.contains(&part));
        rest.add(&part);
        assert_eq!(rest, all);
        rest.take(&all);
        assert!(rest.is_empty());
        assert_eq!(rest.describe("*"), "{}");
    }

    #[test]
    fn what_is_not_counted() {
        let mut shared = Resource::scalar("disk", Milli(1000));
        shared.shared = Some(mesos::SharedInfo {});
        assert_eq!(Bundle::of(&[shared]), Err(BundleError::Special("disk".into())));
        let negative = Resource::scalar("cpus", Milli(-1));
        assert_eq!(Bundle::of(&[negative]), Err(BundleError::Negative("cpus".into())));
        assert!(Bundle::of(&[Resource::scalar("cpus", Milli(0))]).unwrap().is_empty());
    }

    #[test]
    fn what_is_reserved_is_apart() {
        let mut reserved = Resource::scalar("cpus", Milli(1000));
        reserved.role = Some("prod".to_owned());
        let mut all = bundle(2.0, &[]);
        all.add(&Bundle::of(&[reserved.clone()]).unwrap());
        assert_eq!(all.scalar("cpus"), Milli(3000));
        assert!(!all.contains(&bundle(3.0, &[])));
        assert_eq!(all.visible_to("other"), bundle(2.0, &[]));
        assert_eq!(all.visible_to("prod"), all);
        assert_eq!(all.unreserved(), bundle(2.0, &[]));
        assert_eq!(all.reserved()["prod"].to_string(), "cpus(reservations: [(STATIC,prod)]):1");
        let again = Bundle::of(&all.allocated("prod")).unwrap();
        assert_eq!(again, all, "both formats together say the same");
    }

    #[test]
    fn texts() {
        let words = bundle(3.4, &[(31000, 31999)]).in_offer_order().describe("*");
        assert_eq!(words, "ports(allocated: *):[31000-31999]; cpus(allocated: *):3.4");
    }
}
