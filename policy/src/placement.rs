//! Which machine takes a new instance, and which gives one up. Per tick: a view of the machines →
//! a machine, or how many of them were excluded by what.
//!
//! The rule is the platform's: first the instances of an app are spread evenly over machines, then
//! the machines' load decides. Both halves are plain scans; whoever needs them faster keeps an
//! index and is held to these.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a machine has, or an instance needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Processors.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl Resources {
    /// More than anybody asks for.
    pub const UNLIMITED: Resources = Resources { cores: u32::MAX, memory_mib: u32::MAX };

    /// What is left after something has been taken; nothing if there was less.
    #[must_use]
    pub const fn without(self, taken: Resources) -> Resources {
        Resources {
            cores: self.cores.saturating_sub(taken.cores),
            memory_mib: self.memory_mib.saturating_sub(taken.memory_mib),
        }
    }

    /// What there is after something has been given back.
    #[must_use]
    pub const fn with(self, given: Resources) -> Resources {
        Resources {
            cores: self.cores.saturating_add(given.cores),
            memory_mib: self.memory_mib.saturating_add(given.memory_mib),
        }
    }
}

/// A machine as placement sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Whether the app may run there at all: constraints and named machines.
    pub allowed: bool,
    /// Whether it works.
    pub up: bool,
    /// What no instance of any app holds.
    pub free: Resources,
    /// Instances of the app there that start or are ready; those on their way out don't count.
    pub instances: u32,
}

/// Why no machine takes an instance: each machine is counted by the first reason that excludes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unplaced {
    /// The app may not run there.
    pub not_allowed: u32,
    /// It doesn't work.
    pub down: u32,
    /// It has too few processors left.
    pub cores: u32,
    /// It has too little memory left.
    pub memory: u32,
}

/// What excludes a machine.
enum Excluded {
    NotAllowed,
    Down,
    Cores,
    Memory,
}

fn excluded(machine: &Machine, need: Resources) -> Option<Excluded> {
    if !machine.allowed {
        Some(Excluded::NotAllowed)
    } else if !machine.up {
        Some(Excluded::Down)
    } else if machine.free.cores < need.cores {
        Some(Excluded::Cores)
    } else if machine.free.memory_mib < need.memory_mib {
        Some(Excluded::Memory)
    } else {
        None
    }
}

/// The machine for one more instance: of those that can take it the one with the fewest instances
/// of the app; of these the one with the most free processors, then memory; of these the first.
///
/// # Errors
/// Why each machine is excluded, if all are.
pub fn place(machines: &[Machine], need: Resources) -> Result<usize, Unplaced> {
    let mut best: Option<(usize, &Machine)> = None;
    let mut reasons = Unplaced::default();
    for (place, machine) in machines.iter().enumerate() {
        match excluded(machine, need) {
            Some(Excluded::NotAllowed) => reasons.not_allowed += 1,
            Some(Excluded::Down) => reasons.down += 1,
            Some(Excluded::Cores) => reasons.cores += 1,
            Some(Excluded::Memory) => reasons.memory += 1,
            None if best.is_none_or(|(_, best)| is_better(machine, best)) => {
                best = Some((place, machine));
            }
            None => {}
        }
    }
    best.map(|(place, _)| place).ok_or(reasons)
}

/// Whether an instance is better off here; of equals neither is.
fn is_better(here: &Machine, there: &Machine) -> bool {
    let key = |machine: &Machine| {
        let Resources { cores, memory_mib } = machine.free;
        (machine.instances, std::cmp::Reverse((cores, memory_mib)))
    };
    key(here) < key(there)
}

/// The machine that gives up an instance, by the mirrored rule: the one with the most instances of
/// the app; of these the one with the fewest free processors, then memory; of these the last. None
/// if there is no instance.
#[must_use]
pub fn displace(machines: &[Machine]) -> Option<usize> {
    let owners = machines.iter().enumerate().filter(|(_, machine)| machine.instances > 0);
    let key = |machine: &Machine| {
        let Resources { cores, memory_mib } = machine.free;
        (machine.instances, std::cmp::Reverse((cores, memory_mib)))
    };
    // Of several greatest, `max_by_key` gives the last.
    owners.max_by_key(|(_, machine)| key(machine)).map(|(place, _)| place)
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.not_allowed, "not allowed"),
            (self.down, "down"),
            (self.cores, "without free cores"),
            (self.memory, "without free memory"),
        ];
        let mut told = parts.iter().filter(|(count, _)| *count > 0);
        let Some((count, what)) = told.next() else { return f.write_str("there is no machine") };
        write!(f, "no machine can take it: {count} {what}")?;
        told.try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
