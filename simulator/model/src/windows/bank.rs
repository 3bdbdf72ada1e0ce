//! The targets of one app that belong to one lane. First come, first served: when a request joins,
//! the beginning and the end of its work are known (Kiefer and Wolfowitz 1955), so a target is a
//! row of the times at which its instances become free, ascending, and a ring of the times at which
//! waiting requests begin.

use policy::queue::{Classes, Counts};
use policy::{Class, Queue, Refusal, Waiting};
use simulator_kernel::row;

use crate::rings::Rings;

/// Targets.
#[derive(Debug)]
pub(super) struct Bank {
    rules: Queue,
    instances: usize,
    now: u64,
    /// When instances become free: a row of `instances` times for each target.
    free: Vec<u64>,
    /// When waiting requests begin, as stamps.
    starts: Rings,
    /// Ends and classes of what is at each target, if a rule asks for the classes of what is
    /// worked on.
    present: Vec<Vec<(u64, Class)>>,
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

#[expect(clippy::indexing_slicing, reason = "targets are below their number, rows are cut for it")]
impl Bank {
    /// Idle targets with so many instances each.
    pub(super) fn new(count: u32, instances: u32, rules: &Queue) -> Self {
        let instances = instances.max(1) as usize;
        let asks = rules.counts == Counts::InSystem && rules.classes == Classes::Apart;
        Bank {
            rules: *rules,
            instances,
            now: 0,
            free: vec![0; count as usize * instances],
            starts: Rings::new(count as usize),
            present: vec![Vec::new(); if asks { count as usize } else { 0 }],
        }
    }

    /// Lets time pass: what is at or before `now` is over.
    #[inline(always)]
    pub(super) const fn pass(&mut self, now: u64) {
        self.now = now;
    }

    #[inline(always)]
    fn row(&self, target: u32) -> &[u64] {
        let begin = target as usize * self.instances;
        &self.free[begin..begin + self.instances]
    }

    /// Requests at a target, waiting and worked on.
    #[inline(always)]
    pub(super) fn load(&mut self, target: u32) -> u32 {
        self.starts.length(target as usize, last_stamp(self.now)) + self.running(target)
    }

    #[inline(always)]
    fn running(&self, target: u32) -> u32 {
        // Counting all of them is faster than searching: a few vector instructions, no branch.
        self.row(target).iter().map(|free| u32::from(*free > self.now)).sum()
    }

    /// What the rules of the queue count for a request of this class.
    #[inline(always)]
    fn standing(&mut self, target: u32, class: Class) -> Waiting {
        let idle = self.row(target)[0] <= self.now;
        // Nobody waits beside an idle instance.
        if self.rules.bound(class) == Queue::UNLIMITED
            || (idle && self.rules.counts == Counts::Waiting)
        {
            return Waiting { counted: 0, idle };
        }
        let (ring, limit) = (target as usize, last_stamp(self.now));
        let (waiting, running) = match (self.rules.counts, self.rules.classes) {
            // Only the sum is asked for.
            (Counts::Waiting, Classes::Together) => ([self.starts.length(ring, limit), 0], [0; 2]),
            (Counts::InSystem, Classes::Together) => {
                ([self.starts.length(ring, limit), 0], [self.running(target), 0])
            }
            (Counts::Waiting, Classes::Apart) => (self.starts.by_class(ring, limit), [0; 2]),
            // Likewise.
            (Counts::InSystem, Classes::Apart) => (self.classes(target), [0; 2]),
        };
        Waiting { counted: self.rules.counted(class, waiting, running), idle }
    }

    /// How many of each class are at a target.
    fn classes(&mut self, target: u32) -> [u32; 2] {
        let now = self.now;
        let present = &mut self.present[target as usize];
        present.retain(|(end, _)| *end > now);
        let mut counts = [0; 2];
        for (_, class) in present {
            counts[class.index()] += 1;
        }
        counts
    }

    /// A request comes to a target: when its work begins and ends, if the queue takes it.
    #[inline(always)]
    pub(super) fn join(
        &mut self,
        target: u32,
        class: Class,
        service: u64,
    ) -> Result<(u64, u64), Refusal> {
        let standing = self.standing(target, class);
        policy::enqueue(&self.rules, class, standing)?;
        let begin = target as usize * self.instances;
        let row = &mut self.free[begin..begin + self.instances];
        let (start, end) = row::work(row[0], self.now, service, LAST);
        row::replace_first(row, end);
        if start > self.now {
            let limit = last_stamp(self.now);
            self.starts.push(target as usize, stamp(start, class), limit);
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present.push((end, class));
        }
        Ok((start, end))
    }
}
