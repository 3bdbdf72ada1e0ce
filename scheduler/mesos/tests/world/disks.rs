//! What an agent has, as the master keeps it: what is free, and what is reserved, with a volume in it or
//! without one.

use std::collections::BTreeMap;

use mesos::quantity::{Intervals, Milli};
use mesos::{Operation, OperationType, Resource};

/// Thousandths of cores of each agent.
pub const CPUS_MILLI: u32 = 4000;

/// MiB of memory of each agent.
const MEMORY_MIB: i64 = 1_000;

/// MiB of disk of each agent: room for few sets, so that it is full now and then.
const DISK_MIB: i64 = 500;

/// The first and the last port of each agent: few, so that each is used again and again.
pub const PORTS: (u16, u16) = (31_000, 31_019);

/// What an agent has that is in no task.
#[derive(Debug, Clone)]
pub struct Stock {
    /// Unreserved, in thousandths.
    free: BTreeMap<String, i64>,
    /// Unreserved, and with another framework.
    taken: BTreeMap<String, i64>,
    /// Ports that are unreserved.
    ports: Intervals,
    /// The same, and with another framework.
    taken_ports: Intervals,
    /// Reserved.
    pub own: Vec<Resource>,
}

impl Default for Stock {
    fn default() -> Self {
        let all = [
            ("cpus", i64::from(CPUS_MILLI)),
            ("disk", DISK_MIB * 1000),
            ("mem", MEMORY_MIB * 1000),
        ];
        let free = all.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect();
        let ports = Intervals::new([(PORTS.0.into(), PORTS.1.into())]);
        let taken_ports = Intervals::default();
        Stock { free, taken: BTreeMap::new(), ports, taken_ports, own: Vec::new() }
    }
}

fn amount(resource: &Resource) -> i64 {
    resource.amount().unwrap().0
}

/// The id of the volume in a piece of disk.
pub fn persistence(resource: &Resource) -> Option<String> {
    Some(resource.disk.as_ref()?.persistence.as_ref()?.id.clone())
}

/// The volume that something is reserved for, by its label.
pub fn owner(resource: &Resource) -> Option<String> {
    let labels = resource.reservations.last()?.labels.as_ref()?;
    labels.labels.iter().find(|label| label.key == "corral.volume")?.value.clone()
}

/// The same, as far as the master distinguishes: how a volume is mounted says the task.
fn is_alike(one: &Resource, other: &Resource) -> bool {
    one.name == other.name
        && one.reservations == other.reservations
        && persistence(one) == persistence(other)
}

impl Stock {
    /// What an offer has of it.
    pub fn offered(&self) -> Vec<Resource> {
        let free = self.free.iter().filter(|(_, amount)| **amount > 0);
        let free = free.map(|(name, amount)| Resource::scalar(name, Milli(*amount)));
        let ports = (!self.ports.is_empty()).then(|| Resource::ranges("ports", &self.ports));
        free.chain(ports).chain(self.own.iter().cloned()).collect()
    }

    /// Another framework takes all that is nobody's, except disk, or gives it back.
    pub fn steal(&mut self) {
        for name in ["cpus", "mem"] {
            let taken = self.taken.remove(name).unwrap_or(0);
            let free = self.free.get_mut(name).unwrap();
            if taken == 0 {
                self.taken.insert(name.to_owned(), std::mem::take(free));
            } else {
                *free += taken;
            }
        }
        let taken = std::mem::take(&mut self.taken_ports);
        if taken.is_empty() {
            self.taken_ports = std::mem::take(&mut self.ports);
        } else {
            self.ports = self.ports.union(&taken);
        }
    }

    /// All that another framework has comes back.
    pub fn restore(&mut self) {
        for (name, taken) in std::mem::take(&mut self.taken) {
            *self.free.get_mut(&name).unwrap() += taken;
        }
        self.ports = self.ports.union(&std::mem::take(&mut self.taken_ports));
    }

    fn take(&mut self, wanted: &Resource) -> Resource {
        if let Some(numbers) = wanted.numbers() {
            self.take_ports(wanted, &numbers);
            return wanted.clone();
        }
        if wanted.reservations.is_empty() {
            let free = self.free.get_mut(&wanted.name).unwrap();
            *free -= amount(wanted);
            assert!(*free >= 0, "more {} than there is", wanted.name);
            return wanted.clone();
        }
        // Volumes aren't divided.
        let is_it = |one: &Resource| {
            let fits = || {
                amount(one) == amount(wanted)
                    || (persistence(one).is_none() && amount(one) > amount(wanted))
            };
            is_alike(one, wanted) && fits()
        };
        let place = self.own.iter().position(is_it);
        let place = place.unwrap_or_else(|| panic!("{wanted:?} isn't there"));
        let left = amount(&self.own[place]) - amount(wanted);
        if left == 0 {
            return self.own.swap_remove(place);
        }
        self.own[place].scalar = Some(Milli(left).into());
        wanted.clone()
    }

    fn take_ports(&mut self, wanted: &Resource, numbers: &Intervals) {
        if wanted.reservations.is_empty() {
            assert!(self.ports.contains(numbers), "ports that aren't there: {wanted:?}");
            self.ports = self.ports.without(numbers);
            return;
        }
        let place = self.own.iter().position(|one| is_alike(one, wanted));
        let place = place.unwrap_or_else(|| panic!("{wanted:?} isn't there"));
        let there = self.own[place].numbers().unwrap();
        assert!(there.contains(numbers), "{wanted:?} isn't there");
        let left = there.without(numbers);
        if left.is_empty() {
            self.own.swap_remove(place);
        } else {
            self.own[place].ranges = Some((&left).into());
        }
    }

    fn put_ports(&mut self, resource: Resource, numbers: &Intervals) {
        if resource.reservations.is_empty() {
            self.ports = self.ports.union(numbers);
            return;
        }
        match self.own.iter_mut().find(|one| is_alike(one, &resource)) {
            Some(one) => {
                one.ranges = Some((&one.numbers().unwrap().union(numbers)).into());
            }
            None => self.own.push(resource),
        }
    }

    /// Something is there again. As a master does, all that is reserved alike becomes one piece.
    pub fn put(&mut self, resource: Resource) {
        if let Some(numbers) = resource.numbers() {
            return self.put_ports(resource, &numbers);
        }
        if resource.reservations.is_empty() {
            *self.free.get_mut(&resource.name).unwrap() += amount(&resource);
            return;
        }
        let is_one = |one: &&mut Resource| persistence(one).is_none() && is_alike(one, &resource);
        match self.own.iter_mut().find(is_one) {
            Some(one) => one.scalar = Some(Milli(amount(one) + amount(&resource)).into()),
            None => self.own.push(resource),
        }
    }

    /// Carries out an operation on it. What isn't there can't be used: the client was offered it.
    pub fn operate(&mut self, operation: &Operation) {
        match operation.r#type() {
            OperationType::Reserve => {
                for resource in &operation.reserve.as_ref().unwrap().resources {
                    self.take(&Resource { reservations: Vec::new(), ..resource.clone() });
                    self.put(resource.clone());
                }
            }
            OperationType::Create => {
                for volume in &operation.create.as_ref().unwrap().volumes {
                    let id = persistence(volume).unwrap();
                    let is_there = |one: &Resource| persistence(one).as_ref() == Some(&id);
                    assert!(!self.own.iter().any(is_there), "{id} is made twice");
                    self.take(&Resource { disk: None, ..volume.clone() });
                    self.own.push(volume.clone());
                }
            }
            OperationType::Destroy => {
                for volume in &operation.destroy.as_ref().unwrap().volumes {
                    let rest = self.take(volume);
                    self.put(Resource { disk: None, ..rest });
                }
            }
            OperationType::Unreserve => {
                for resource in &operation.unreserve.as_ref().unwrap().resources {
                    let rest = self.take(resource);
                    self.put(Resource { reservations: Vec::new(), ..rest });
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A task gets these.
    pub fn give(&mut self, resources: &[Resource]) -> Vec<Resource> {
        resources.iter().map(|one| self.take(one)).collect()
    }
}
