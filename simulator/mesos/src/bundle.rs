//! Amounts of several resources that nobody has reserved, counted as Mesos counts them.

use std::fmt;
use std::sync::Arc;

use mesos::quantity::Intervals;
use mesos::{AllocationInfo, Milli, Resource, ValueType};

/// How much there is of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// A number in thousandths.
    Scalar(Milli),
    /// Whole numbers, such as ports.
    Numbers(Intervals),
}

/// Amounts by name, in the order in which they are written; nothing is left out at zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(Vec<(Arc<str>, Amount)>);

/// Why resources can't be counted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A value is absent, or of another kind than a number or ranges.
    #[error("Invalid resource '{0}': a value of its type is missing")]
    Value(String),
    /// It is reserved, a volume, shared, revocable or of a provider.
    #[error("Resource '{0}' is reserved or a volume, which the simulated master doesn't have")]
    Reserved(String),
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
            let is_plain = resource.reservations.is_empty()
                && resource.reservation.is_none()
                && resource.role.as_deref().is_none_or(|role| role == "*")
                && resource.disk.is_none()
                && resource.revocable.is_none()
                && resource.shared.is_none()
                && resource.provider_id.is_none();
            if !is_plain {
                return Err(BundleError::Reserved(name()));
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
                Some(amount) => bundle.add_one(&resource.name.as_str().into(), &amount),
            }
        }
        Ok(bundle)
    }

    fn get(&self, name: &str) -> Option<&Amount> {
        self.0.iter().find(|(other, _)| **other == *name).map(|(_, amount)| amount)
    }

    /// The amount of a resource that is a number.
    pub fn scalar(&self, name: &str) -> Milli {
        match self.get(name) {
            Some(Amount::Scalar(amount)) => *amount,
            _ => Milli(0),
        }
    }

    /// Names and amounts of those that are numbers.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = (&Arc<str>, Milli)> {
        self.0.iter().filter_map(|(name, amount)| match amount {
            Amount::Scalar(amount) => Some((name, *amount)),
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
        other.0.iter().all(|(name, want)| self.get(name).unwrap_or(&nothing).contains(want))
    }

    fn add_one(&mut self, name: &Arc<str>, amount: &Amount) {
        if amount.is_nothing() {
            return;
        }
        match self.0.iter_mut().find(|(other, _)| other == name) {
            None => self.0.push((name.clone(), amount.clone())),
            Some((_, have)) => match (have, amount) {
                (Amount::Scalar(have), Amount::Scalar(more)) => *have += *more,
                (Amount::Numbers(have), Amount::Numbers(more)) => *have = have.union(more),
                // One name of two kinds: no agent has that.
                _ => {}
            },
        }
    }

    /// Adds the other.
    pub fn add(&mut self, other: &Bundle) {
        for (name, amount) in &other.0 {
            self.add_one(name, amount);
        }
    }

    /// Takes the other away, as far as it is here.
    pub fn take(&mut self, other: &Bundle) {
        for (name, amount) in &other.0 {
            let Some((_, have)) = self.0.iter_mut().find(|(it, _)| it == name) else { continue };
            match (have, amount) {
                (Amount::Scalar(have), Amount::Scalar(less)) => *have -= *less,
                (Amount::Numbers(have), Amount::Numbers(less)) => *have = have.without(less),
                _ => {}
            }
        }
        self.0.retain(|(_, amount)| !amount.is_nothing());
    }

    /// In the order in which the allocator writes offers: ranges first.
    pub(crate) fn in_offer_order(mut self) -> Bundle {
        self.0.sort_by_key(|(_, amount)| matches!(amount, Amount::Scalar(_)));
        self
    }

    /// As resources of an agent.
    pub fn resources(&self) -> Vec<Resource> {
        self.0
            .iter()
            .map(|(name, amount)| match amount {
                Amount::Scalar(amount) => Resource::scalar(name, *amount),
                Amount::Numbers(numbers) => Resource::ranges(name, numbers),
            })
            .collect()
    }

    /// As resources that are offered to or used by a role, in the old format: with `role`, too.
    pub(crate) fn allocated(&self, role: &str) -> Vec<Resource> {
        let mut resources = self.resources();
        for resource in &mut resources {
            resource.role = Some("*".to_owned());
            resource.allocation_info = Some(AllocationInfo { role: Some(role.to_owned()) });
        }
        resources
    }

    /// In Mesos' words, as allocated to a role.
    pub(crate) fn describe(&self, role: &str) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let one = |(name, amount): &(Arc<str>, Amount)| match amount {
            Amount::Scalar(amount) => format!("{name}(allocated: {role}):{amount}"),
            Amount::Numbers(numbers) => format!("{name}(allocated: {role}):{numbers}"),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (index, (name, amount)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            match amount {
                Amount::Scalar(amount) => write!(f, "{separator}{name}:{amount}")?,
                Amount::Numbers(numbers) => write!(f, "{separator}{name}:{numbers}")?,
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
        let mut reserved = Resource::scalar("disk", Milli(1000));
        reserved.role = Some("prod".to_owned());
        assert_eq!(Bundle::of(&[reserved]), Err(BundleError::Reserved("disk".into())));
        let negative = Resource::scalar("cpus", Milli(-1));
        assert_eq!(Bundle::of(&[negative]), Err(BundleError::Negative("cpus".into())));
        assert!(Bundle::of(&[Resource::scalar("cpus", Milli(0))]).unwrap().is_empty());
    }

    #[test]
    fn texts() {
        let words = bundle(3.4, &[(31000, 31999)]).in_offer_order().describe("*");
        assert_eq!(words, "ports(allocated: *):[31000-31999]; cpus(allocated: *):3.4");
    }
}
