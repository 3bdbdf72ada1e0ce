//! Instances of the targets of an app that scales, as far as they aren't all alike: those that
//! start or warm up, those that leave, and what gateways are told of them.

use policy::Nanoseconds;
use policy::balance::FULL_WEIGHT;

use crate::life::{Life, WarmUp};

/// An instance that stays, at a target where not all are warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// When it has nothing to do.
    pub(super) free: u64,
    /// When it was or will be ready; 0 for those that are warm since long.
    pub(super) ready: u64,
    /// When it takes its first request, if it can have one then: ready, and what had come to its
    /// target before it has begun.
    from: u64,
}

/// An instance that was told to leave and still has something to do.
#[derive(Debug, Clone, Copy)]
struct Leaver {
    ready: u64,
    from: u64,
    end: u64,
}

/// What a target tells gateways of its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Instances that are ready and that nobody has told to leave.
    pub(super) staying: u32,
    /// Instances that were told to leave and are still there.
    pub(super) leaving: u32,
    /// The weights of all that are ready, in sum.
    pub(super) weights: u64,
}

/// Whether a target's lists have anybody.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    is_young: bool,
    has_leavers: bool,
}

/// The instances of some targets.
#[derive(Debug)]
pub(super) struct Crews {
    warm_up: WarmUp,
    cool_down: Nanoseconds,
    /// For each target, how many instances it has that were not told to leave.
    staff: Vec<u32>,
    /// What must be known of each target for each request: near, unlike the lists.
    kinds: Vec<Kind>,
    /// All instances that stay, in the order in which they take requests, where not all are warm;
    /// empty elsewhere.
    young: Vec<Vec<Member>>,
    leavers: Vec<Vec<Leaver>>,
    /// From when on all are warm.
    warm_at: Vec<u64>,
    /// Targets that have something to tell, each once.
    touched: Vec<u32>,
    is_touched: Vec<bool>,
}

/// The instances of a target as they were.
#[derive(Debug)]
pub(super) struct Saved {
    staff: u32,
    young: Vec<Member>,
    leavers: Vec<Leaver>,
    warm_at: u64,
}

/// What an instance takes with it that leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parting {
    pub(super) ready: u64,
    /// When it is gone.
    pub(super) gone: u64,
}

#[expect(clippy::indexing_slicing, reason = "targets are below the number that tables are cut for")]
impl Crews {
    pub(super) fn new(count: u32, instances: u32, life: &Life) -> Self {
        let count = count as usize;
        Crews {
            warm_up: life.warm_up,
            cool_down: life.cool_down,
            staff: vec![instances; count],
            kinds: vec![Kind::default(); count],
            young: vec![Vec::new(); count],
            leavers: vec![Vec::new(); count],
            warm_at: vec![0; count],
            touched: Vec::new(),
            is_touched: vec![false; count],
        }
    }

    /// Whether all instances of a target are alike.
    #[inline(always)]
    pub(super) fn are_alike(&self, target: u32) -> bool {
        !self.kinds[target as usize].is_young
    }

    /// The lists of a target have changed.
    fn mark(&mut self, place: usize) {
        let (young, leavers) = (&self.young[place], &self.leavers[place]);
        self.kinds[place] = Kind { is_young: !young.is_empty(), has_leavers: !leavers.is_empty() };
    }

    pub(super) fn staff(&self, target: u32) -> u32 {
        self.staff[target as usize]
    }

    /// Of the entries of a target's row that are ahead of `now`, how many aren't work in progress;
    /// and how many instances that have left its row still work.
    #[inline(always)]
    pub(super) fn correction(&self, target: u32, now: u64) -> (u32, u32) {
        let target = target as usize;
        let Kind { is_young, has_leavers } = self.kinds[target];
        if !is_young && !has_leavers {
            return (0, 0);
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let idle = self.young[target].iter().filter(|member| member.from > now).count();
        let works = |leaver: &&Leaver| leaver.from <= now && now < leaver.end;
        (count(idle), count(self.leavers[target].iter().filter(works).count()))
    }

    /// The same for all targets, where it is added to the numbers of entries that are ahead.
    #[inline(always)]
    pub(super) fn correct(&self, now: u64, counts: &mut [u32]) {
        for ((count, kind), target) in counts.iter_mut().zip(&self.kinds).zip(0..) {
            if kind.is_young || kind.has_leavers {
                let (idle, more) = self.correction(target, now);
                *count = *count - idle + more;
            }
        }
    }

    /// A request takes an instance of a target whose instances aren't all alike: when its work
    /// begins and ends.
    pub(super) fn work(&mut self, target: u32, now: u64, service: u64, last: u64) -> (u64, u64) {
        let members = &mut self.young[target as usize];
        let Some(mut first) = members.first().copied() else { return (last, last) };
        let start = first.free.max(now);
        let service = if first.ready == 0 {
            service
        } else {
            let age = Nanoseconds(start.saturating_sub(first.ready));
            self.warm_up.slowed(Nanoseconds(service), age).0
        };
        first.free = start.saturating_add(service).min(last);
        // All others are in order.
        let place = members.partition_point(|member| *member < first).max(1);
        members.copy_within(1..place, 0);
        members[place - 1] = first;
        (start, first.free)
    }

    /// When the instances of a target are free, where they aren't all alike.
    pub(super) fn times(&self, target: u32) -> impl Iterator<Item = u64> + Clone {
        self.young[target as usize].iter().map(|member| member.free)
    }

    /// An instance begins to start at a target whose others are free at these times. `last_start` is when
    /// the last request begins that waits there, or an instant that is over.
    pub(super) fn start(
        &mut self,
        target: u32,
        times: impl Iterator<Item = u64>,
        ready: u64,
        last_start: u64,
    ) {
        let place = target as usize;
        let members = &mut self.young[place];
        if members.is_empty() {
            let staff = self.staff[place] as usize;
            let old = |free| Member { free, ready: 0, from: 0 };
            members.extend(times.take(staff).map(old));
        }
        let from = ready.max(last_start);
        members.push(Member { free: from, ready, from });
        members.sort_unstable();
        self.staff[place] += 1;
        let warm = ready.saturating_add(self.warm_up.over.0).max(from);
        self.warm_at[place] = self.warm_at[place].max(warm);
        self.mark(place);
        self.touch(target);
    }

    /// The instance leaves that has nothing to do first; `free` says when that is, where all are
    /// alike.
    pub(super) fn leave(&mut self, target: u32, free: u64, now: u64) -> Parting {
        let place = target as usize;
        let members = &mut self.young[place];
        let first =
            if members.is_empty() { Member { free, ready: 0, from: 0 } } else { members.remove(0) };
        let Member { free: end, ready, from } = first;
        self.staff[place] = self.staff[place].saturating_sub(1);
        self.leavers[place].retain(|leaver| leaver.end > now);
        if end > now {
            self.leavers[place].push(Leaver { ready, from, end });
        }
        self.mark(place);
        self.touch(target);
        Parting { ready, gone: end.max(now.saturating_add(self.cool_down.0)) }
    }

    /// The instances of a target, for somebody who may want them back so.
    pub(super) fn save(&self, target: u32) -> Saved {
        let place = target as usize;
        Saved {
            staff: self.staff[place],
            young: self.young[place].clone(),
            leavers: self.leavers[place].clone(),
            warm_at: self.warm_at[place],
        }
    }

    /// They are so again.
    pub(super) fn restore(&mut self, target: u32, saved: Saved) {
        let place = target as usize;
        let Saved { staff, young, leavers, warm_at } = saved;
        (self.staff[place], self.warm_at[place]) = (staff, warm_at);
        (self.young[place], self.leavers[place]) = (young, leavers);
        self.mark(place);
        self.touch(target);
    }

    fn touch(&mut self, target: u32) {
        let is_touched = &mut self.is_touched[target as usize];
        if !*is_touched {
            *is_touched = true;
            self.touched.push(target);
        }
    }

    /// Targets tell of their instances, those that have something new to tell; and whether it is the last
    /// they have to, because from now on all are alike.
    pub(super) fn report(&mut self, now: u64, mut told: impl FnMut(u32, Standing, bool)) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|target| {
            let is_young = self.warm_at[*target as usize] > now;
            told(*target, self.standing(*target, now), !is_young);
            if !is_young {
                self.young[*target as usize].clear();
                self.mark(*target as usize);
                self.is_touched[*target as usize] = false;
            }
            is_young
        });
        self.touched = touched;
    }

    fn standing(&self, target: u32, now: u64) -> Standing {
        let place = target as usize;
        let weight = |ready: u64| match ready {
            0 => FULL_WEIGHT,
            ready => self.warm_up.weight_at(Nanoseconds(now - ready)),
        };
        let members = &self.young[place];
        let (mut ready, mut weights) = match members.len() {
            0 => (self.staff[place], u64::from(self.staff[place]) * u64::from(FULL_WEIGHT)),
            _ => (0, 0),
        };
        let present = self.leavers[place].iter().filter(|leaver| leaver.end > now);
        let leaving = u32::try_from(present.clone().count()).unwrap_or(u32::MAX);
        let all = members.iter().map(|member| member.ready);
        for since in all.chain(present.map(|leaver| leaver.ready)).filter(|since| *since <= now) {
            ready += 1;
            weights += u64::from(weight(since));
        }
        Standing { staying: ready.saturating_sub(leaving), leaving, weights }
    }
}
