//! The targets of one app in the fast engine. First come, first served: when a request joins, the
//! beginning and the end of its work are known, so a target is no list of requests but
//!
//! - the times at which its instances become free, ascending (Kiefer and Wolfowitz 1955; with one
//!   instance: Lindley's recursion), and
//! - a ring of the times at which waiting requests begin, which is the queue: those that are past
//!   have left it. They are dropped when somebody looks, or when a ring is full, so targets that
//!   nobody looks at cost nothing.
//!
//! The beginning of a waiting request carries its class in the lowest bit. The rows can't say which
//! classes are at work, because the time of an instance is that of the last request it will take;
//! the one rule that asks (`counts: in_system` with `classes: apart`) is answered from counters
//! that the engine keeps with its wheel of ends.

use policy::balance::scan_shortest;
use policy::queue::{Classes, Counts};
use policy::{Balance, Class, Nanoseconds, Queue, Targets, Time, Waiting};

use crate::index::Index;

/// The targets of one app.
#[derive(Debug)]
pub(crate) struct Line {
    count: u32,
    instances: usize,
    now: u64,
    /// When instances become free: a row of `instances` times for each target.
    free: Vec<u64>,
    /// When waiting requests begin, as stamps; empty if nobody ever looks.
    starts: Rings,
    keeps_starts: bool,
    /// Requests of each class at each target, if a rule asks.
    present: Vec<[u32; 2]>,
    /// If a rule looks at all targets.
    index: Option<Index>,
}

/// Whether lines must be told when requests leave.
pub(crate) fn asks_for_ends(rules: &Queue, balance: Balance) -> bool {
    asks_for_present(rules) || asks_for_index(balance)
}

/// Whether the rules ask for the classes of requests at work.
fn asks_for_present(rules: &Queue) -> bool {
    rules.counts == Counts::InSystem && rules.classes == Classes::Apart
}

/// Whether the balancer looks at all targets.
fn asks_for_index(balance: Balance) -> bool {
    match balance {
        Balance::LeastLoaded | Balance::JoinShortestQueue => true,
        Balance::Random | Balance::RoundRobin | Balance::PowerOfChoices(_) => false,
    }
}

/// Nothing ends after this, 146 years after the beginning: a stamp has 63 bits for its time.
const LAST: u64 = 1 << 62;

/// A time with the class of a request.
#[inline(always)]
const fn stamp(time: u64, class: Class) -> u64 {
    (time << 1) | class.index() as u64
}

/// The last stamp of an instant.
#[inline(always)]
const fn last_stamp(time: u64) -> u64 {
    (time << 1) | 1
}

fn asks_for_length(rules: &Queue) -> bool {
    Class::ALL.iter().any(|class| rules.bound(*class) != Queue::UNLIMITED)
}

fn asks_for_load(balance: Balance, count: u32) -> bool {
    match balance {
        Balance::PowerOfChoices(_) => count > 1,
        Balance::Random | Balance::RoundRobin => false,
        // The index knows.
        Balance::LeastLoaded | Balance::JoinShortestQueue => false,
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "targets are below `count`, rows and rings are cut for it"
)]
impl Line {
    /// Idle targets with so many instances each.
    pub(crate) fn new(count: u32, instances: u32, rules: &Queue, balance: Balance) -> Self {
        let instances = instances.max(1) as usize;
        let counted = if asks_for_present(rules) { count as usize } else { 0 };
        Line {
            count,
            instances,
            now: 0,
            free: vec![0; count as usize * instances],
            starts: Rings::new(count as usize),
            keeps_starts: asks_for_length(rules) || asks_for_load(balance, count),
            present: vec![[0; 2]; counted],
            index: asks_for_index(balance).then(|| Index::new(count)),
        }
    }

    /// Lets time pass: what is at or before `now` is over.
    #[inline(always)]
    pub(crate) const fn pass(&mut self, now: Time) {
        self.now = now.0;
    }

    #[inline(always)]
    fn row(&self, target: u32) -> &[u64] {
        let begin = target as usize * self.instances;
        &self.free[begin..begin + self.instances]
    }

    /// How many instances work.
    #[inline(always)]
    fn running(&self, target: u32) -> u32 {
        let row = self.row(target);
        // Counting all of them is faster than searching: a few vector instructions, no branch.
        row.iter().map(|free| u32::from(*free > self.now)).sum()
    }

    /// What the rules of the queue count for a request of this class.
    #[inline(always)]
    pub(crate) fn standing(&mut self, target: u32, class: Class, rules: &Queue) -> Waiting {
        let idle = self.row(target)[0] <= self.now;
        if rules.bound(class) == Queue::UNLIMITED {
            return Waiting { counted: 0, idle };
        }
        let ring = target as usize;
        self.starts.drop_until(ring, last_stamp(self.now));
        let (waiting, running) = match (rules.counts, rules.classes) {
            // Only the sum is asked for.
            (Counts::Waiting, Classes::Together) => ([self.starts.length(ring), 0], [0; 2]),
            (Counts::InSystem, Classes::Together) => {
                ([self.starts.length(ring), 0], [self.running(target), 0])
            }
            (Counts::Waiting, Classes::Apart) => (self.starts.by_class(ring), [0; 2]),
            // Likewise.
            (Counts::InSystem, Classes::Apart) => (self.present[ring], [0; 2]),
        };
        Waiting { counted: rules.counted(class, waiting, running), idle }
    }

    /// Takes a request in: when its work begins and ends.
    #[inline(always)]
    pub(crate) fn join(&mut self, target: u32, class: Class, service: Nanoseconds) -> (Time, Time) {
        let begin = target as usize * self.instances;
        let row = &mut self.free[begin..begin + self.instances];
        let start = row[0].max(self.now);
        let end = start.saturating_add(service.0).min(LAST);
        replace_first(row, end);
        if self.keeps_starts && start > self.now {
            let limit = last_stamp(self.now);
            self.starts.push(target as usize, stamp(start, class), limit);
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present[class.index()] += 1;
        }
        if let Some(index) = &mut self.index {
            index.join(target);
        }
        (Time(start), Time(end))
    }

    /// A request of this class has left; to be told if [`asks_for_ends`].
    #[inline(always)]
    pub(crate) fn leave(&mut self, target: u32, class: Class) {
        if let Some(present) = self.present.get_mut(target as usize) {
            present[class.index()] -= 1;
        }
        if let Some(index) = &mut self.index {
            index.leave(target);
        }
    }
}

impl Targets for Line {
    #[inline(always)]
    fn count(&self) -> u32 {
        self.count
    }

    #[inline(always)]
    fn load(&mut self, target: u32) -> u32 {
        if let Some(index) = &self.index {
            return index.load(target);
        }
        self.starts.drop_until(target as usize, last_stamp(self.now));
        self.starts.length(target as usize) + self.running(target)
    }

    // All weights are full, so the least loaded target is the one with the fewest requests.
    #[inline(always)]
    fn least_loaded(&mut self, from: u32) -> Option<u32> {
        self.shortest(from)
    }

    #[inline(always)]
    fn shortest(&mut self, from: u32) -> Option<u32> {
        let known = self.index.as_ref().and_then(|index| index.least(from));
        known.or_else(|| scan_shortest(self, from))
    }
}

/// Replaces the first entry of an ascending row by one that isn't smaller, and keeps it ascending:
/// each place takes the median of its old value, its right neighbour's and the new one. No branch
/// depends on the values, and no place on another's result.
#[inline(always)]
fn replace_first(row: &mut [u64], value: u64) {
    match row.len() {
        1 => row.fill(value),
        4 => replace_first_of::<4>(row, value),
        8 => replace_first_of::<8>(row, value),
        16 => replace_first_of::<16>(row, value),
        24 => replace_first_of::<24>(row, value),
        32 => replace_first_of::<32>(row, value),
        _ => replace_first_of_any(row, value),
    }
}

/// The length is known, so the row stays in registers from its load to its store.
#[inline(always)]
fn replace_first_of<const LENGTH: usize>(row: &mut [u64], value: u64) {
    let Some(row) = row.first_chunk_mut::<LENGTH>() else { return };
    let old = *row;
    let mut next = [u64::MAX; LENGTH];
    for (next, right) in next.iter_mut().zip(old.iter().skip(1)) {
        *next = *right;
    }
    for ((place, old), next) in row.iter_mut().zip(old).zip(next) {
        *place = old.max(next.min(value));
    }
}

fn replace_first_of_any(row: &mut [u64], value: u64) {
    let cells = std::cell::Cell::from_mut(row).as_slice_of_cells();
    for pair in cells.windows(2) {
        if let [left, right] = pair {
            left.set(left.get().max(right.get().min(value)));
        }
    }
    if let Some(last) = cells.last() {
        last.set(last.get().max(value));
    }
}

/// A ring of ascending numbers for each target, all of the same capacity.
#[derive(Debug)]
struct Rings {
    capacity: usize,
    slots: Vec<u64>,
    ends: Vec<Ends>,
}

/// Where a ring begins, and how much it holds.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    head: u32,
    length: u32,
}

/// Rings begin with this capacity; a power of two.
const FIRST_CAPACITY: usize = 8;

#[expect(
    clippy::indexing_slicing,
    reason = "targets are below the number of rings, places are masked"
)]
impl Rings {
    fn new(count: usize) -> Self {
        Rings {
            capacity: FIRST_CAPACITY,
            slots: vec![0; count * FIRST_CAPACITY],
            ends: vec![Ends::default(); count],
        }
    }

    #[inline(always)]
    fn length(&self, ring: usize) -> u32 {
        self.ends[ring].length
    }

    #[inline(always)]
    fn place(&self, ring: usize, head: u32, number: u32) -> usize {
        ring * self.capacity + (head.wrapping_add(number) as usize & (self.capacity - 1))
    }

    /// Drops what is at most `limit`.
    #[inline(always)]
    fn drop_until(&mut self, ring: usize, limit: u64) {
        let Ends { mut head, mut length } = self.ends[ring];
        while length > 0 && self.slots[self.place(ring, head, 0)] <= limit {
            head = head.wrapping_add(1);
            length -= 1;
        }
        self.ends[ring] = Ends { head, length };
    }

    /// Takes in a value; what is at most `limit` may be dropped.
    #[inline(always)]
    fn push(&mut self, ring: usize, value: u64, limit: u64) {
        if self.ends[ring].length as usize == self.capacity {
            self.drop_until(ring, limit);
            if self.ends[ring].length as usize == self.capacity {
                self.grow();
            }
        }
        let Ends { head, length } = self.ends[ring];
        let place = self.place(ring, head, length);
        self.slots[place] = value;
        self.ends[ring].length = length + 1;
    }

    fn iterate(&self, ring: usize) -> impl Iterator<Item = &u64> {
        let Ends { head, length } = self.ends[ring];
        (0..length).map(move |number| &self.slots[self.place(ring, head, number)])
    }

    /// How many entries are of each class.
    fn by_class(&self, ring: usize) -> [u32; 2] {
        let mut counts = [0, 0];
        for stamp in self.iterate(ring) {
            counts[(stamp & 1) as usize] += 1;
        }
        counts
    }

    /// Twice the capacity for all rings, each beginning at its first place.
    #[cold]
    fn grow(&mut self) {
        let mut slots = Vec::with_capacity(self.slots.len() * 2);
        for ring in 0..self.ends.len() {
            let begin = slots.len();
            slots.extend(self.iterate(ring));
            slots.resize(begin + self.capacity * 2, 0);
        }
        for ends in &mut self.ends {
            ends.head = 0;
        }
        self.slots = slots;
        self.capacity *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_stay_sorted(row in proptest::collection::vec(0u64..50, 1..40), value in 0u64..60) {
            let mut row = row;
            row.sort_unstable();
            let mut wanted = row.clone();
            let value = value.max(row[0]);
            wanted[0] = value;
            wanted.sort_unstable();
            replace_first(&mut row, value);
            prop_assert_eq!(row, wanted);
        }

        #[test]
        fn rings_are_queues(
            steps in proptest::collection::vec((0usize..3, 1u64..5, 0u64..5), 0..200),
        ) {
            let mut rings = Rings::new(3);
            let mut queues = vec![Vec::<u64>::new(); 3];
            let mut last = 0;
            for (ring, more, dropped) in steps {
                last += more;
                rings.push(ring, last, 0);
                queues[ring].push(last);
                let limit = last.saturating_sub(20) + dropped;
                rings.drop_until(ring, limit);
                queues[ring].retain(|value| *value > limit);
                for (ring, queue) in queues.iter().enumerate() {
                    let seen: Vec<u64> = rings.iterate(ring).copied().collect();
                    prop_assert_eq!(&seen, queue);
                    prop_assert_eq!(rings.length(ring) as usize, queue.len());
                }
            }
        }
    }
}
