//! Which instances of an app move so that it is spread evenly again, after machines came or went:
//! placement only decides where new ones start, and nothing is moved for the sake of evenness alone
//! unless somebody asks. A view of the machines → moves, in the order in which they are to be done.
//!
//! A move goes from a machine to one that has at least two instances fewer, so each one lowers
//! Σ count². When there is no such move, one goes to a machine with exactly one fewer if its rack has
//! at least two fewer than the rack that it leaves: Σ count² stays, and Σ count² over racks falls. Both
//! sums are whole and not negative, so there is an end, and after it nothing moves back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spread::Room;

/// A machine as an app sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Whether it may take one more at all: it is open, and constraints and failures allow it.
    pub takes: bool,
    /// The most instances of the app that it may have.
    pub most: u32,
    /// Its rack, by a number of the caller's.
    pub rack: Option<u32>,
    /// What is free.
    pub free: Room,
    /// Instances of the app there; those on their way out don't count.
    pub instances: u32,
    /// How many of them may be moved.
    pub movable: u32,
}

/// An instance moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The place of the machine that it leaves.
    pub from: usize,
    /// The place of the machine that it goes to.
    pub to: usize,
    /// What it is good for.
    pub why: Why,
}

/// What a move is good for: the counts before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The machine that it leaves has at least two more.
    Machines {
        /// Instances on the machine that it leaves.
        from: u32,
        /// Instances on the machine that it goes to.
        to: u32,
    },
    /// The machine that it leaves has one more, and its rack at least two more.
    Racks {
        /// Instances in the rack that it leaves.
        from: u32,
        /// Instances in the rack that it goes to.
        to: u32,
    },
}

/// What a move between two machines is good for, if anything. With each machine comes the number of
/// instances in its rack; absent if it is in none, or if both are in the same.
#[must_use]
pub fn worth(from: u32, to: u32, racks: Option<(u32, u32)>) -> Option<Why> {
    let (more, fewer) = (from, to);
    if more >= fewer.saturating_add(2) {
        return Some(Why::Machines { from, to });
    }
    let (from, to) = racks.filter(|_| more == fewer.saturating_add(1))?;
    (from >= to.saturating_add(2)).then_some(Why::Racks { from, to })
}

/// The moves, at most so many. Each is as good as it says when those before it have been done.
#[must_use]
pub fn plan(machines: &[Machine], need: Room, most: usize) -> Vec<Move> {
    let mut machines = machines.to_vec();
    let mut racks: BTreeMap<u32, u32> = BTreeMap::new();
    for machine in &machines {
        if let Some(rack) = machine.rack {
            *racks.entry(rack).or_insert(0) += machine.instances;
        }
    }
    let mut moves = Vec::new();
    while moves.len() < most {
        let next = between_machines(&machines, &racks, need);
        let Some(next) = next.or_else(|| between_racks(&machines, &racks, need)) else { break };
        carry_out(&mut machines, &mut racks, need, next);
        moves.push(next);
    }
    moves
}

fn can_take(machine: &Machine, need: Room) -> bool {
    machine.takes && machine.instances < machine.most && machine.free.fits(need)
}

/// A machine by its place.
type Placed<'a> = (usize, &'a Machine);

/// Which machine gives up an instance first: as in [`crate::placement::displace`].
fn crowded((place, machine): Placed<'_>) -> (u32, Reverse<(u32, u32)>, usize) {
    (machine.instances, Reverse((machine.free.cores, machine.free.memory_mib)), place)
}

/// Which machine takes an instance first: as in [`crate::placement::place`].
fn empty((place, machine): Placed<'_>) -> (u32, Reverse<(u32, u32)>, usize) {
    (machine.instances, Reverse((machine.free.cores, machine.free.memory_mib)), place)
}

/// Of each rack, and of the machines without one, the machine that would give first and the one that
/// would take first, of those that are given.
#[derive(Default)]
struct ByRack<'a> {
    givers: BTreeMap<Option<u32>, Placed<'a>>,
    takers: BTreeMap<Option<u32>, Placed<'a>>,
}

impl<'a> ByRack<'a> {
    fn of(
        machines: &'a [Machine],
        need: Room,
        gives: impl Fn(&Machine) -> bool,
        takes: impl Fn(&Machine) -> bool,
    ) -> Self {
        let mut found = ByRack::default();
        for placed in machines.iter().enumerate() {
            let machine = placed.1;
            if machine.movable > 0 && gives(machine) {
                let known = found.givers.entry(machine.rack).or_insert(placed);
                if crowded(placed) > crowded(*known) {
                    *known = placed;
                }
            }
            if can_take(machine, need) && takes(machine) {
                let known = found.takers.entry(machine.rack).or_insert(placed);
                if empty(placed) < empty(*known) {
                    *known = placed;
                }
            }
        }
        found
    }

    /// All pairs of a machine that gives and one that takes.
    fn pairs(&self) -> impl Iterator<Item = (Placed<'a>, Placed<'a>)> + '_ {
        let givers = self.givers.values();
        givers.flat_map(|giver| self.takers.values().map(move |taker| (*giver, *taker)))
    }
}

/// By how much a move makes the sum of the squares over racks larger.
fn rack_change(from: &Machine, to: &Machine, racks: &BTreeMap<u32, u32>) -> i64 {
    if from.rack == to.rack {
        return 0;
    }
    let count = |machine: &Machine| Some(i64::from(*racks.get(&machine.rack?)?));
    let loses = count(from).map_or(0, |count| 1 - 2 * count);
    let gains = count(to).map_or(0, |count| 1 + 2 * count);
    loses + gains
}

/// From one of the fullest machines to one of the emptiest, so that racks become as even as can be.
fn between_machines(machines: &[Machine], racks: &BTreeMap<u32, u32>, need: Room) -> Option<Move> {
    let givers = machines.iter().filter(|machine| machine.movable > 0);
    let takers = machines.iter().filter(|machine| can_take(machine, need));
    let most = givers.map(|machine| machine.instances).max()?;
    let least = takers.map(|machine| machine.instances).min()?;
    let why = worth(most, least, None)?;
    let found = ByRack::of(
        machines,
        need,
        |machine| machine.instances == most,
        |machine| machine.instances == least,
    );
    let key = |(giver, taker): &(Placed<'_>, Placed<'_>)| {
        (rack_change(giver.1, taker.1, racks), Reverse(crowded(*giver)), empty(*taker))
    };
    let ((from, _), (to, _)) = found.pairs().min_by_key(key)?;
    Some(Move { from, to, why })
}

/// The move between the two racks that differ most. It is looked for when no move between machines is
/// left, so the fullest machine of one rack and the emptiest of the other are what can be better.
fn between_racks(machines: &[Machine], racks: &BTreeMap<u32, u32>, need: Room) -> Option<Move> {
    let found = ByRack::of(machines, need, |_| true, |_| true);
    let in_rack = |machine: &Machine| racks.get(&machine.rack?).copied();
    let good = found.pairs().filter_map(|(giver, taker)| {
        let is_other = giver.1.rack != taker.1.rack;
        let counts = in_rack(giver.1).zip(in_rack(taker.1)).filter(|_| is_other)?;
        let why = worth(giver.1.instances, taker.1.instances, Some(counts))?;
        Some((counts.0.saturating_sub(counts.1), Move { from: giver.0, to: taker.0, why }))
    });
    let order = |one: &(u32, Move)| (one.0, Reverse((one.1.from, one.1.to)));
    good.max_by_key(order).map(|(_, found)| found)
}

fn carry_out(machines: &mut [Machine], racks: &mut BTreeMap<u32, u32>, need: Room, next: Move) {
    if let Some(giver) = machines.get_mut(next.from) {
        giver.instances = giver.instances.saturating_sub(1);
        giver.movable = giver.movable.saturating_sub(1);
        giver.free = giver.free.with(need);
        if let Some(count) = giver.rack.and_then(|rack| racks.get_mut(&rack)) {
            *count = count.saturating_sub(1);
        }
    }
    if let Some(taker) = machines.get_mut(next.to) {
        taker.instances = taker.instances.saturating_add(1);
        taker.free = taker.free.without(need);
        if let Some(count) = taker.rack.and_then(|rack| racks.get_mut(&rack)) {
            *count = count.saturating_add(1);
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Machines { from, to } => write!(f, "{from} there, {to} here"),
            Why::Racks { from, to } => write!(f, "{from} in the rack there, {to} in the rack here"),
        }
    }
}

#[cfg(test)]
#[path = "rebalance_tests.rs"]
mod tests;
