//! The targets of one app that belong to one lane. First come, first served: when a request joins,
//! the beginning and the end of its work are known (Kiefer and Wolfowitz 1955), so a target is a
//! row of the times at which its instances become free, ascending, and a ring of the times at which
//! waiting requests begin.
//!
//! Where an app scales, rows are wider than they must be: what isn't there becomes free never. An
//! instance that starts becomes free when it is ready, and one that leaves is the first entry.

use policy::queue::{Classes, Counts};
use policy::{Class, Queue, Refusal, Waiting};
use simulator_kernel::row;

use super::crews::{Crews, Parting, Standing};
use crate::App;
use crate::rings::Rings;

/// Targets.
#[derive(Debug)]
pub(super) struct Bank {
    rules: Queue,
    /// The length of a row.
    width: usize,
    now: u64,
    /// When instances become free: a row of times for each target; [`ABSENT`] where there is none.
    free: Vec<u64>,
    /// When waiting requests begin, as stamps.
    starts: Rings,
    /// Ends and classes of what is at each target, if a rule asks for the classes of what is
    /// worked on.
    present: Vec<Vec<(u64, Class)>>,
    /// Who comes and goes, if the app scales.
    crews: Option<Crews>,
}

/// Nothing ends after this, 146 years after the beginning: a stamp has 63 bits for its time.
const LAST: u64 = 1 << 62;
/// The time at which an instance becomes free that isn't there.
const ABSENT: u64 = u64::MAX;
/// Rows that grow have lengths that fill vectors.
const STEP: usize = 8;

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
    pub(super) fn new(count: u32, instances: u32, rules: &Queue, scales: Option<&App>) -> Self {
        let asks = rules.counts == Counts::InSystem && rules.classes == Classes::Apart;
        let width = match scales {
            None => instances.max(1) as usize,
            Some(_) => (instances.max(1) as usize).next_multiple_of(STEP),
        };
        let mut free = vec![ABSENT; count as usize * width];
        for row in free.chunks_exact_mut(width) {
            row.iter_mut().take(instances as usize).for_each(|free| *free = 0);
        }
        Bank {
            rules: *rules,
            width,
            now: 0,
            free,
            starts: Rings::new(count as usize),
            present: vec![Vec::new(); if asks { count as usize } else { 0 }],
            crews: scales.map(|app| Crews::new(count, instances, &app.life)),
        }
    }

    /// Lets time pass: what is at or before `now` is over.
    #[inline(always)]
    pub(super) const fn pass(&mut self, now: u64) {
        self.now = now;
    }

    #[inline(always)]
    fn row(&self, target: u32) -> &[u64] {
        let begin = target as usize * self.width;
        &self.free[begin..begin + self.width]
    }

    /// Requests at a target, waiting and worked on.
    #[inline(always)]
    pub(super) fn load(&mut self, target: u32) -> u32 {
        self.starts.length(target as usize, last_stamp(self.now)) + self.running(target)
    }

    #[inline(always)]
    fn running(&self, target: u32) -> u32 {
        // Counting all of them is faster than searching: a few vector instructions, no branch. What
        // is absent is too far ahead.
        let after = self.now + 1;
        let busy =
            self.row(target).iter().map(|free| u32::from(free.wrapping_sub(after) < LAST)).sum();
        match &self.crews {
            None => busy,
            Some(crews) => {
                let (idle, more) = crews.correction(target, self.now);
                busy - idle + more
            }
        }
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
        if self.crews.is_some() && self.row(target)[0] == ABSENT {
            return Err(Refusal::NoInstance);
        }
        let standing = self.standing(target, class);
        policy::enqueue(&self.rules, class, standing)?;
        let begin = target as usize * self.width;
        let row = &mut self.free[begin..begin + self.width];
        let (start, end) = match &mut self.crews {
            Some(crews) if !crews.are_alike(target) => {
                let work = crews.work(target, self.now, service, LAST);
                crews.write(target, row);
                work
            }
            _ => {
                let work = row::work(row[0], self.now, service, LAST);
                row::replace_first(row, work.1);
                work
            }
        };
        if start > self.now {
            let limit = last_stamp(self.now);
            self.starts.push(target as usize, stamp(start, class), limit);
            if let Some(crews) = &mut self.crews {
                crews.waits_until(target, start);
            }
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present.push((end, class));
        }
        Ok((start, end))
    }

    /// An instance begins to start at a target; it is ready at a time.
    pub(super) fn start(&mut self, target: u32, ready: u64) {
        let Some(crews) = &self.crews else { return };
        if crews.staff(target) as usize == self.width {
            self.widen();
        }
        let begin = target as usize * self.width;
        let row = &mut self.free[begin..begin + self.width];
        if let Some(crews) = &mut self.crews {
            crews.start(target, row, ready);
            crews.write(target, row);
        }
    }

    /// The instance of a target leaves that has nothing to do first.
    pub(super) fn leave(&mut self, target: u32) -> Option<Parting> {
        let crews = self.crews.as_mut()?;
        let begin = target as usize * self.width;
        let row = &mut self.free[begin..begin + self.width];
        if row[0] == ABSENT {
            return None;
        }
        let parting = crews.leave(target, row[0], self.now);
        row.copy_within(1.., 0);
        row[self.width - 1] = ABSENT;
        Some(parting)
    }

    /// Targets tell of their instances, those that have something new to tell.
    pub(super) fn report(&mut self, told: impl FnMut(u32, Standing)) {
        if let Some(crews) = &mut self.crews {
            crews.report(self.now, told);
        }
    }

    /// Room for more instances at each target.
    #[cold]
    fn widen(&mut self) {
        let width = self.width + STEP;
        let mut free = vec![ABSENT; self.free.len() / self.width * width];
        for (wide, row) in free.chunks_exact_mut(width).zip(self.free.chunks_exact(self.width)) {
            wide[..row.len()].copy_from_slice(row);
        }
        (self.width, self.free) = (width, free);
    }
}
