//! A machine: what it has, what of it is taken, and whether it can take more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::Time;
use policy::spread::Room;
use serde::{Deserialize, Serialize};

use crate::app::Need;
use crate::ids::InstanceId;
use crate::volume::Reserved;

/// What a machine says of itself. With offers, it is what is free for us and what we have there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Thousandths of cores.
    pub millicores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Ports that instances may have: first and last of each range.
    pub ports: Vec<(u16, u16)>,
    /// What constraints speak of: rack, kind of disk, and so on. Who tells of the machine has them, too.
    pub attributes: Arc<BTreeMap<String, String>>,
    /// Disk for volumes in MiB, what volumes of ours take of it included; none: nobody counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u32>,
}

impl Description {
    /// The same, with ports that are told once and in order.
    pub(crate) fn tidied(mut self) -> Self {
        self.ports.retain(|(first, last)| first <= last);
        self.ports.sort_unstable();
        let mut apart: Vec<(u16, u16)> = Vec::with_capacity(self.ports.len());
        for (first, last) in self.ports {
            match apart.last_mut() {
                Some((_, end)) if first <= *end => *end = last.max(*end),
                _ => apart.push((first, last)),
            }
        }
        self.ports = apart;
        self
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What it says of itself.
    pub description: Description,
    /// Since when nothing has been heard of it.
    pub silent_since: Option<Time>,
    /// Whether a user wants it to be empty.
    pub is_draining: bool,
    /// Whether whoever runs it will take it away, so that its instances move elsewhere, too.
    #[serde(default)]
    pub is_leaving: bool,
    /// Its number in the index of placement.
    #[serde(skip)]
    pub(crate) slot: u32,
    /// Instances that hold resources there, and those whose registration is left; derived.
    #[serde(skip)]
    pub instances: BTreeSet<InstanceId>,
    /// What is taken; derived.
    #[serde(skip)]
    pub taken: Need,
    /// What is kept for instances with volumes that are away; derived.
    #[serde(skip)]
    pub held: Reserved,
    /// Ports that are taken; derived.
    #[serde(skip)]
    pub taken_ports: BTreeSet<u16>,
    /// The port that was given last: the next one comes after it, so that who still has the address
    /// of an ended instance doesn't meet another app at once.
    #[serde(skip)]
    pub last_port: Option<u16>,
}

impl Machine {
    pub(crate) fn new(description: Description) -> Self {
        Machine {
            description: description.tidied(),
            silent_since: None,
            is_draining: false,
            is_leaving: false,
            slot: 0,
            instances: BTreeSet::new(),
            taken: Need::default(),
            held: Reserved::default(),
            taken_ports: BTreeSet::new(),
            last_port: None,
        }
    }

    /// What is free for everybody.
    #[must_use]
    pub fn free(&self) -> Need {
        self.free_for(&Reserved::default())
    }

    /// What is free for an instance of whose set so much is held.
    #[must_use]
    pub fn free_for(&self, own: &Reserved) -> Need {
        let held = self.held.without(own);
        let cores = self.taken.millicores.saturating_add(held.millicores);
        let memory = self.taken.memory_mib.saturating_add(held.memory_mib);
        // Ranges are apart, so these are at most all ports.
        let ports: u32 = self.ranges().map(|(first, last)| u32::from(last - first) + 1).sum();
        Need {
            millicores: self.description.millicores.saturating_sub(cores),
            memory_mib: self.description.memory_mib.saturating_sub(memory),
            ports: ports.saturating_sub(self.taken.ports).saturating_sub(held.ports.count()),
        }
    }

    /// Whether its instances move elsewhere.
    #[must_use]
    pub const fn is_emptied(&self) -> bool {
        self.is_draining || self.is_leaving
    }

    /// Whether it takes instances.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.silent_since.is_none() && !self.is_emptied()
    }

    /// What the index may use of it: nothing while it is silent or emptied.
    pub(crate) fn room(&self) -> Option<Room> {
        self.is_open().then(|| room(self.free()))
    }

    /// Free ports, as many as asked for, if there are: at first those that are held for whoever asks.
    pub(crate) fn choose_ports(&self, count: u32, own: &[u16]) -> Option<Vec<u16>> {
        let all = || self.ranges().flat_map(|(first, last)| first..=last);
        let after = all().filter(|port| self.last_port.is_none_or(|last| *port > last));
        let before = all().filter(|port| self.last_port.is_some_and(|last| *port <= last));
        let count = usize::try_from(count).ok()?;
        let is_here = |port: &u16| self.ranges().any(|(first, last)| (first..=last).contains(port));
        let own = own.iter().copied().filter(is_here);
        let others = after.chain(before).filter(|port| !self.held.ports.contains(port));
        let free = own.chain(others).filter(|port| !self.taken_ports.contains(port));
        let ports: Vec<u16> = free.take(count).collect();
        (ports.len() == count).then_some(ports)
    }

    pub(crate) fn take(&mut self, id: InstanceId, need: Need, ports: &[u16]) {
        self.instances.insert(id);
        self.taken.millicores = self.taken.millicores.saturating_add(need.millicores);
        self.taken.memory_mib = self.taken.memory_mib.saturating_add(need.memory_mib);
        self.taken_ports.extend(ports);
        self.taken.ports = self.count_ports();
        // Those that were held are no steps of the round.
        if let Some(last) = ports.iter().rfind(|port| !self.held.ports.contains(port)) {
            self.last_port = Some(*last);
        }
    }

    pub(crate) fn give_back(&mut self, need: Need, ports: &[u16]) {
        self.taken.millicores = self.taken.millicores.saturating_sub(need.millicores);
        self.taken.memory_mib = self.taken.memory_mib.saturating_sub(need.memory_mib);
        for port in ports {
            self.taken_ports.remove(port);
        }
        self.taken.ports = self.count_ports();
    }

    fn count_ports(&self) -> u32 {
        u32::try_from(self.taken_ports.len()).unwrap_or(u32::MAX)
    }

    fn ranges(&self) -> impl Iterator<Item = (u16, u16)> {
        self.description.ports.iter().copied()
    }
}

/// A need as the index counts it: processors in thousandths.
pub(crate) const fn room(need: Need) -> Room {
    Room { cores: need.millicores, memory_mib: need.memory_mib, ports: need.ports }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_in_turn_and_never_twice() {
        let ports = vec![(200, 201), (100, 101), (9, 3), (101, 102), (100, 100)];
        let mut machine = Machine::new(Description { ports, ..Description::default() });
        assert_eq!(machine.free().ports, 5);
        let id = |number| InstanceId { app: "a".parse().unwrap(), number };
        let need = Need { ports: 2, ..Need::default() };
        let take = |machine: &mut Machine, number| {
            let ports = machine.choose_ports(2, &[])?;
            machine.take(id(number), need, &ports);
            Some(ports)
        };
        assert_eq!(take(&mut machine, 1), Some(vec![100, 101]));
        assert_eq!(take(&mut machine, 2), Some(vec![102, 200]));
        assert_eq!(take(&mut machine, 3), None);
        machine.give_back(need, &[100, 101]);
        assert_eq!(machine.free().ports, 3);
        assert_eq!(take(&mut machine, 4), Some(vec![201, 100]), "not the one that ended last");
    }
}
