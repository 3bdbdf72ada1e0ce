//! Disk of an agent as the master keeps it: what is free, and what is reserved, with a volume in it or
//! without one.

use mesos::quantity::Milli;
use mesos::{Operation, OperationType, Resource};

/// MiB of disk of each agent: room for few sets, so that it is full now and then.
const DISK_MIB: i64 = 500;

/// Disk of an agent.
#[derive(Debug, Clone)]
pub struct Disk {
    /// In thousandths of MiB.
    free: i64,
    /// Reserved, and in no task.
    pub own: Vec<Resource>,
}

impl Default for Disk {
    fn default() -> Self {
        Disk { free: DISK_MIB * 1000, own: Vec::new() }
    }
}

fn amount(resource: &Resource) -> i64 {
    resource.amount().unwrap().0
}

/// The id of the volume in a piece of disk.
pub fn persistence(resource: &Resource) -> Option<String> {
    Some(resource.disk.as_ref()?.persistence.as_ref()?.id.clone())
}

/// The same piece of disk, as far as the master distinguishes: how it is mounted says the task.
fn same(one: &Resource, other: &Resource) -> bool {
    one.reservations == other.reservations
        && amount(one) == amount(other)
        && persistence(one) == persistence(other)
}

impl Disk {
    /// What an offer has of it.
    pub fn offered(&self) -> Vec<Resource> {
        let free = (self.free > 0).then(|| Resource::scalar("disk", Milli(self.free)));
        free.into_iter().chain(self.own.iter().cloned()).collect()
    }

    fn take(&mut self, wanted: &Resource) -> Resource {
        let place = self.own.iter().position(|one| same(one, wanted));
        self.own.swap_remove(place.unwrap_or_else(|| panic!("{wanted:?} isn't there")))
    }

    /// Carries out an operation on it. What isn't there can't be used: the client was offered it.
    pub fn operate(&mut self, operation: &Operation) {
        match operation.r#type() {
            OperationType::Reserve => {
                for resource in &operation.reserve.as_ref().unwrap().resources {
                    self.free -= amount(resource);
                    assert!(self.free >= 0, "more disk than there is");
                    self.own.push(resource.clone());
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
                    self.own.push(Resource { disk: None, ..rest });
                }
            }
            OperationType::Unreserve => {
                for resource in &operation.unreserve.as_ref().unwrap().resources {
                    self.free += amount(&self.take(resource));
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A task gets these.
    pub fn give(&mut self, resources: &[Resource]) -> Vec<Resource> {
        let disk = resources.iter().filter(|one| one.name == "disk");
        disk.map(|one| self.take(one)).collect()
    }
}
