//! The targets of one app in the fast engine. First come, first served: when a request joins, the
//! beginning and the end of its work are known, so a target is no list of requests but
//!
//! - the times at which its instances become free, ascending (Kiefer and Wolfowitz 1955; with one
//!   instance: Lindley's recursion), and
//! - a ring of the times at which waiting requests begin, which is the queue: those that are past
//!   have left it. Nothing happens when they leave: who looks sees what is still to come, so targets
//!   that nobody looks at cost nothing.
//!
//! The beginning of a waiting request carries its class in the lowest bit. The rows can't say which
//! classes are at work, because the time of an instance is that of the last request it will take;
//! the one rule that asks (`counts: in_system` with `classes: apart`) is answered from counters
//! that the engine keeps with its wheel of ends.

use policy::balance::scan_shortest;
use policy::queue::{Classes, Counts};
use policy::{Balance, Class, Nanoseconds, Queue, Targets, Time, Waiting};
use simulator_kernel::row::{self, Requests};
use simulator_kernel::single::{self, Balanced, LastEnds};

use crate::index::Index;
use crate::look::Chosen;
use crate::rings::Rings;

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
    short: Short,
}

/// A shorter way for requests that come in blocks and can't be refused; what it keeps takes the
/// place of `starts` and `index`.
#[derive(Debug)]
enum Short {
    /// There is none.
    None,
    /// Nobody asks anything.
    Random,
    /// The balancer asks for the loads of some targets, and none has more than eight requests.
    LastEnds(LastEnds),
    /// The balancer takes the target with the fewest requests, and none has more than one.
    Idle,
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
pub(crate) fn asks_for_index(balance: Balance) -> bool {
    match balance {
        Balance::LeastLoaded | Balance::JoinShortestQueue => true,
        Balance::Random | Balance::RoundRobin | Balance::PowerOfChoices(_) => false,
        // Runs of the live engine.
        Balance::PeakEwma(_) | Balance::Prequal(_) => false,
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
        // Runs of the live engine.
        Balance::PeakEwma(_) | Balance::Prequal(_) => false,
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
            short: Short::None,
        }
    }

    /// From now on requests come by [`Line::serve`] first.
    pub(crate) fn shorten(&mut self, balance: Balance) {
        if self.instances > 1 || self.count < 2 || !self.present.is_empty() {
            return;
        }
        self.short = match balance {
            Balance::Random => Short::Random,
            Balance::PowerOfChoices(_) => Short::LastEnds(LastEnds::new(self.count)),
            Balance::LeastLoaded | Balance::JoinShortestQueue => {
                self.index = None;
                Short::Idle
            }
            Balance::RoundRobin | Balance::PeakEwma(_) | Balance::Prequal(_) => Short::None,
        };
    }

    /// Takes requests in as far as there is a shorter way for them: how many. If that isn't all of
    /// them, there is none any more: the rest joins one by one, after [`Line::lengthen`].
    #[inline(always)]
    pub(crate) fn serve(&mut self, balance: Balance, balanced: Balanced<'_>) -> usize {
        let count = balanced.targets.len();
        match &mut self.short {
            Short::None => 0,
            Short::Random => {
                single::random(&mut self.free, balanced, LAST);
                count
            }
            Short::LastEnds(ends) => ends.serve(balance, balanced, LAST),
            Short::Idle => single::idle(&mut self.free, balance, balanced, LAST),
        }
    }

    /// Gives up the shorter way, if there is one. Then all that work is known at `now`: for those who
    /// keep an index, the target and the end of each request.
    #[cold]
    pub(crate) fn lengthen(&mut self, now: Time, mut holds: impl FnMut(u32, Time)) {
        self.now = now.0;
        match std::mem::replace(&mut self.short, Short::None) {
            Short::None | Short::Random => {}
            Short::LastEnds(ends) => {
                for ((target, free), ends) in self.free.iter_mut().enumerate().zip(ends.each()) {
                    // Who waits begins when the request before ends.
                    let waiting = ends.iter().take(ends.len() - 1).filter(|end| **end > now.0);
                    for start in waiting {
                        self.starts.push(target, stamp(*start, Class::Free), last_stamp(now.0));
                    }
                    [.., *free] = ends;
                }
            }
            Short::Idle => {
                let loads: Vec<u32> =
                    self.free.iter().map(|free| u32::from(*free > now.0)).collect();
                self.index = Some(Index::of(&loads));
                for (target, free) in (0..).zip(&self.free).filter(|(_, free)| **free > now.0) {
                    holds(target, Time(*free));
                }
            }
        }
    }

    /// Whether an index is kept that the shorter way hardly ever needs: no target has more than one
    /// request, and one in [`Line::SPARE`] is idle.
    pub(crate) fn has_spare(&self) -> bool {
        let spare = |index: &Index| {
            index.has_most(1) && index.count_of(0) >= self.count.div_ceil(Self::SPARE)
        };
        self.instances == 1
            && self.count > 1
            && self.present.is_empty()
            && self.index.as_ref().is_some_and(spare)
    }

    const SPARE: u32 = 16;

    /// Remembers who waits even if no rule asks.
    pub(crate) const fn keep_starts(&mut self) {
        self.keeps_starts = true;
    }

    /// What is at a target, for people.
    pub(crate) fn look(&mut self, target: u32, class: Class, rules: &Queue) -> Chosen {
        Chosen {
            target,
            waiting: self.starts.by_class(target as usize, last_stamp(self.now)),
            coming: [0; 2],
            running: self.running(target),
            instances: u32::try_from(self.instances).unwrap_or(u32::MAX),
            standing: self.standing(target, class, rules),
            predicted: None,
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
        let (ring, limit) = (target as usize, last_stamp(self.now));
        let (waiting, running) = match (rules.counts, rules.classes) {
            // Only the sum is asked for.
            (Counts::Waiting, Classes::Together) => ([self.starts.length(ring, limit), 0], [0; 2]),
            (Counts::InSystem, Classes::Together) => {
                ([self.starts.length(ring, limit), 0], [self.running(target), 0])
            }
            (Counts::Waiting, Classes::Apart) => (self.starts.by_class(ring, limit), [0; 2]),
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
        let (start, end) = row::work(row[0], self.now, service.0, LAST);
        row::replace_first(row, end);
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

    /// Whether it is one target of which nobody asks anything.
    pub(crate) const fn is_alone(&self) -> bool {
        self.count == 1 && !self.keeps_starts && self.present.is_empty() && self.index.is_none()
    }

    /// Takes requests in, if [`Line::is_alone`].
    #[inline(always)]
    pub(crate) fn join_all(&mut self, requests: Requests<'_>) {
        row::serve(&mut self.free, requests, LAST);
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
        self.starts.length(target as usize, last_stamp(self.now)) + self.running(target)
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
