//! The targets of one app that belong to one lane. First come, first served: when a request joins,
//! the beginning and the end of its work are known (Kiefer and Wolfowitz 1955), so a target is a
//! row of the times at which its instances become free, ascending, and a ring of the times at which
//! waiting requests begin.
//!
//! Where an app scales, rows are wider than they must be: what isn't there becomes free never. An
//! instance that starts becomes free when it is ready, and one that leaves is the first entry.

use policy::queue::{Classes, Counts};
use policy::{Class, Present, Queue, Refusal, Waiting};
use simulator_kernel::row::{self, Aligned};
use simulator_kernel::wide::{self, Task};

use super::crews::{self, Crews, Parting, Standing};
use super::waits::Room;
use crate::App;
use crate::demand::Demand;
use crate::look::Chosen;
use crate::rings::Rings;

/// Targets.
#[derive(Debug)]
pub(super) struct Bank {
    rules: Queue,
    /// From one row to the next.
    width: usize,
    /// How much of each row is in use: nothing behind is there.
    used: usize,
    now: u64,
    /// When instances become free: a row of times for each target; [`ABSENT`] where there is none.
    free: Aligned,
    /// When waiting requests begin, as stamps.
    starts: Rings,
    /// Ends and classes of what is at each target, if a rule asks for the classes of what is
    /// worked on.
    present: Vec<Vec<(u64, Class)>>,
    /// Requests on their way into each queue, by class; empty if none ever are.
    coming: Vec<[u32; 2]>,
    /// Who comes and goes, if the app scales.
    crews: Option<Crews>,
    /// What has come since the last tick.
    demand: Demand,
}

/// A target whose app scales, as it was.
#[derive(Debug)]
pub(super) struct Saved {
    row: Vec<u64>,
    crew: crews::Saved,
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

/// A request comes to a target where not all is plain. Apart from those where it is, whose loop is the
/// shorter for it.
struct Join<'a> {
    bank: &'a mut Bank,
    target: u32,
    class: Class,
    service: u64,
}

impl Task for Join<'_> {
    type Output = Result<(u64, u64), Refusal>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Join { bank, target, class, service } = self;
        bank.admit(target, class)?;
        Ok(bank.take(target, class, service))
    }
}

#[expect(clippy::indexing_slicing, reason = "targets are below their number, rows are cut for it")]
impl Bank {
    /// Idle targets with so many instances each.
    pub(super) fn new(
        count: u32,
        instances: u32,
        rules: &Queue,
        scales: Option<&App>,
        has_stages: bool,
    ) -> Self {
        let asks = rules.counts == Counts::InSystem && rules.classes == Classes::Apart;
        let width = match scales {
            None => instances.max(1) as usize,
            Some(_) => (instances.max(1) as usize).next_multiple_of(STEP),
        };
        let mut free = Aligned::new(count as usize * width, ABSENT);
        for row in free.chunks_exact_mut(width) {
            row.iter_mut().take(instances as usize).for_each(|free| *free = 0);
        }
        Bank {
            rules: *rules,
            width,
            used: width,
            now: 0,
            free,
            starts: Rings::new(count as usize),
            present: vec![Vec::new(); if asks { count as usize } else { 0 }],
            coming: vec![[0; 2]; if has_stages { count as usize } else { 0 }],
            crews: scales.map(|app| Crews::new(count, instances, &app.life)),
            demand: Demand::default(),
        }
    }

    /// What has come since the last tick; counting begins anew. And how many requests are worked on.
    pub(super) fn count(&mut self, targets: u32) -> (Demand, u64) {
        let running = (0..targets).map(|target| u64::from(self.running(target))).sum();
        (std::mem::take(&mut self.demand), running)
    }

    /// Lets time pass: what is at or before `now` is over.
    #[inline(always)]
    pub(super) const fn pass(&mut self, now: u64) {
        self.now = now;
    }

    #[inline(always)]
    fn row(&self, target: u32) -> &[u64] {
        self.free.cut(target as usize * self.width, self.used)
    }

    /// Requests at each target, waiting and worked on.
    #[inline(always)]
    pub(super) fn loads(&mut self, count: u32, loads: &mut Vec<u32>) {
        // A loop, not a closure: that may stay apart, where it misses the wide vectors.
        for target in 0..count {
            let load = self.load(target);
            loads.push(load);
        }
    }

    /// Requests at a target, waiting and worked on.
    #[inline(always)]
    pub(super) fn load(&mut self, target: u32) -> u32 {
        let coming = self.coming.get(target as usize).map_or(0, |[free, paid]| free + paid);
        self.starts.length(target as usize, last_stamp(self.now)) + self.running(target) + coming
    }

    #[inline(always)]
    fn running(&self, target: u32) -> u32 {
        // What is absent is too far ahead.
        let busy = row::count_ahead(self.row(target), self.now);
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
        let row = self.row(target);
        if self.rules.bound(class) == Queue::UNLIMITED {
            return Waiting { counted: 0, idle: row[0] <= self.now };
        }
        let coming = self.coming.get(target as usize).copied().unwrap_or_default();
        let all = coming.iter().sum::<u32>();
        // The row ascends, so one look tells whether more instances are idle than requests are
        // coming: each of them would find one, and this one, too, and nobody waits. Where apps scale it
        // is so nine times out of ten: to look for it spares the ring of those that wait.
        let idle = row.get(all as usize).is_some_and(|free| *free <= self.now);
        if idle && self.rules.counts == Counts::Waiting {
            return Waiting { counted: 0, idle };
        }
        if (self.rules.counts, self.rules.classes) == (Counts::Waiting, Classes::Together) {
            let waiting = self.starts.length(target as usize, last_stamp(self.now));
            let counted = waiting + all;
            if counted < self.rules.bound(class) {
                return Waiting { counted, idle };
            }
        }
        self.standing_exactly(target, class, coming)
    }

    /// What is at a target, for somebody who asks why.
    #[cold]
    pub(super) fn look(&mut self, target: u32, class: Class) -> Chosen {
        let instances = self.row(target).iter().filter(|free| **free != ABSENT).count();
        let coming = self.coming.get(target as usize).copied().unwrap_or_default();
        Chosen {
            target,
            waiting: self.starts.by_class(target as usize, last_stamp(self.now)),
            coming,
            running: self.running(target),
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            standing: self.standing(target, class),
            predicted: None,
        }
    }

    /// Likewise, without a short cut.
    #[inline(never)]
    fn standing_exactly(&mut self, target: u32, class: Class, coming: [u32; 2]) -> Waiting {
        let idle = row::count_until(self.row(target), self.now);
        let (waiting, running) = self.counts(target);
        self.rules.standing(class, Present { waiting, running, coming, idle })
    }

    /// Requests at a target that wait and that are worked on, as far as the rules ask for them; as a
    /// sum in the place of the first class if they don't ask for classes.
    #[inline(always)]
    fn counts(&mut self, target: u32) -> ([u32; 2], [u32; 2]) {
        let (ring, limit) = (target as usize, last_stamp(self.now));
        match (self.rules.counts, self.rules.classes) {
            // Only the sum is asked for.
            (Counts::Waiting, Classes::Together) => ([self.starts.length(ring, limit), 0], [0; 2]),
            (Counts::InSystem, Classes::Together) => {
                ([self.starts.length(ring, limit), 0], [self.running(target), 0])
            }
            (Counts::Waiting, Classes::Apart) => (self.starts.by_class(ring, limit), [0; 2]),
            // Likewise.
            (Counts::InSystem, Classes::Apart) => (self.classes(target), [0; 2]),
        }
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
        match self.join_alike(target, class, service) {
            Some(work) => {
                self.demand.arrivals += 1;
                Ok(work)
            }
            None => wide::run(Join { bank: self, target, class, service }),
        }
    }

    /// Likewise, where it is taken and nothing must be asked for but an idle instance or a place
    /// among those that wait: as [`Bank::admit`] and [`Bank::take`] decide, with one look at the row.
    #[inline(always)]
    fn join_alike(&mut self, target: u32, class: Class, service: u64) -> Option<(u64, u64)> {
        let Bank { rules, free, starts, present, coming, crews, now, .. } = self;
        let row = free.cut_mut(target as usize * self.width, self.used);
        let (now, first) = (*now, row[0]);
        let are_alike = crews.as_ref().is_none_or(|crews| crews.are_alike(target));
        let is_plain = (rules.counts, rules.classes) == (Counts::Waiting, Classes::Together);
        if !(are_alike && is_plain && present.is_empty()) || first == ABSENT {
            return None;
        }
        // As in `standing`: where apps scale, nine times out of ten more instances are idle than
        // requests are coming.
        let all = coming.get(target as usize).map_or(0, |[free, paid]| free + paid);
        if row.get(all as usize).is_none_or(|free| *free > now) {
            let counted = starts.length(target as usize, last_stamp(now)) + all;
            let waiting = Waiting { counted, idle: false };
            let bound = rules.bound(class);
            if counted >= bound || policy::enqueue(rules, class, waiting).is_err() {
                return None;
            }
        }
        let (start, end) = row::work(first, now, service, LAST);
        row::replace_first(row, end);
        if start > now {
            starts.push(target as usize, stamp(start, class), last_stamp(now));
        }
        Some((start, end))
    }

    /// Likewise, if it comes into the queue later: [`Bank::come`].
    #[inline(always)]
    pub(super) fn let_in(&mut self, target: u32, class: Class) -> Result<(), Refusal> {
        self.admit(target, class)?;
        if let Some(coming) = self.coming.get_mut(target as usize) {
            coming[class.index()] += 1;
        }
        Ok(())
    }

    /// A request that was let in comes into the queue.
    #[inline(always)]
    pub(super) fn come(
        &mut self,
        target: u32,
        class: Class,
        service: u64,
    ) -> Result<(u64, u64), Refusal> {
        self.arrive(target, class)?;
        Ok(self.take(target, class, service))
    }

    /// A request isn't on its way into the queue any more.
    #[inline(always)]
    pub(super) fn arrive(&mut self, target: u32, class: Class) -> Result<(), Refusal> {
        if let Some(coming) = self.coming.get_mut(target as usize) {
            coming[class.index()] -= 1;
        }
        if self.crews.is_some() && self.row(target)[0] == ABSENT {
            return Err(Refusal::NoInstance);
        }
        Ok(())
    }

    /// What rules about waits must know of a target besides its line.
    pub(super) fn room(&self, target: u32) -> Room {
        let coming = self.coming.get(target as usize).map_or(0, |[free, paid]| free + paid);
        let idle = row::count_until(self.row(target), self.now);
        Room { idle, running: self.running(target), coming }
    }

    /// Likewise as [`Bank::let_in`], if another rule has nothing against it either.
    pub(super) fn let_in_if(
        &mut self,
        target: u32,
        class: Class,
        judge: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let admitted = self.judge(target, class).and_then(|()| judge());
        self.demand.count(admitted.is_err());
        admitted?;
        if let Some(coming) = self.coming.get_mut(target as usize) {
            coming[class.index()] += 1;
        }
        Ok(())
    }

    /// A request stands in the queue of a target: when its turn comes. It must begin then
    /// ([`Bank::begin`]) before the next one stands there, or it never does.
    pub(super) fn stand(&mut self, target: u32, class: Class) -> u64 {
        let turn = self.row(target)[0].max(self.now);
        if turn > self.now {
            self.starts.push(target as usize, stamp(turn, class), last_stamp(self.now));
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present.push((turn, class));
        }
        turn
    }

    /// The work on a request begins whose turn comes then: when it ends.
    pub(super) fn begin(&mut self, target: u32, class: Class, turn: u64, service: u64) -> u64 {
        let row = self.free.cut_mut(target as usize * self.width, self.used);
        let (_, end) = match &mut self.crews {
            Some(crews) if !crews.are_alike(target) => {
                let work = crews.work(target, turn, service, LAST);
                crews.write(target, row);
                work
            }
            _ => {
                let work = row::work(row[0], turn, service, LAST);
                row::replace_first(row, work.1);
                work
            }
        };
        self.set_end(target, class, turn, end);
        end
    }

    /// Whether a request may queue at a target.
    #[inline(always)]
    fn admit(&mut self, target: u32, class: Class) -> Result<(), Refusal> {
        let admitted = self.judge(target, class);
        self.demand.count(admitted.is_err());
        admitted
    }

    #[inline(always)]
    fn judge(&mut self, target: u32, class: Class) -> Result<(), Refusal> {
        if self.crews.is_some() && self.row(target)[0] == ABSENT {
            return Err(Refusal::NoInstance);
        }
        let standing = self.standing(target, class);
        policy::enqueue(&self.rules, class, standing)
    }

    /// A request takes its place: when its work begins and ends.
    #[inline(always)]
    fn take(&mut self, target: u32, class: Class, service: u64) -> (u64, u64) {
        let row = self.free.cut_mut(target as usize * self.width, self.used);
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
            self.starts.push(target as usize, stamp(start, class), last_stamp(self.now));
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present.push((end, class));
        }
        (start, end)
    }

    /// A target, for somebody who may want it back so; none if nobody comes or goes there.
    pub(super) fn save(&self, target: u32) -> Option<Saved> {
        let crew = self.crews.as_ref()?.save(target);
        Some(Saved { row: self.row(target).to_vec(), crew })
    }

    /// It is so again: the request that had taken an instance until `end` never begins, and stands there
    /// until `turn`.
    pub(super) fn restore(
        &mut self,
        target: u32,
        saved: Saved,
        (class, turn, end): (Class, u64, u64),
    ) {
        let row = self.free.cut_mut(target as usize * self.width, self.width);
        row.fill(ABSENT);
        row[..saved.row.len()].copy_from_slice(&saved.row);
        if let Some(crews) = &mut self.crews {
            crews.restore(target, saved.crew);
        }
        self.set_end(target, class, end, turn);
    }

    /// Of a request at a target it is known now how long it is there.
    fn set_end(&mut self, target: u32, class: Class, before: u64, now: u64) {
        // Who is there until the same instant, and of the same class, is the same to all rules.
        let is_it = |known: &&mut (u64, Class)| **known == (before, class);
        let present = self.present.get_mut(target as usize);
        if let Some(known) = present.and_then(|present| present.iter_mut().find(is_it)) {
            known.0 = now;
        }
    }

    /// An instance begins to start at a target; it is ready at a time.
    pub(super) fn start(&mut self, target: u32, ready: u64) {
        let last_start = self.starts.newest(target as usize) >> 1;
        self.start_behind(target, ready, last_start);
    }

    /// Likewise, if the last one that waits there begins then.
    pub(super) fn start_behind(&mut self, target: u32, ready: u64, last_start: u64) {
        let Some(crews) = &self.crews else { return };
        let staff = crews.staff(target) as usize;
        if staff == self.width {
            self.widen();
        }
        if staff == self.used {
            self.used += STEP;
        }
        let row = self.free.cut_mut(target as usize * self.width, self.width);
        if let Some(crews) = &mut self.crews {
            crews.start(target, row, ready, last_start);
            crews.write(target, row);
        }
    }

    /// The instance of a target leaves that has nothing to do first.
    pub(super) fn leave(&mut self, target: u32) -> Option<Parting> {
        self.leave_at(target, self.now)
    }

    /// Likewise, if it was told so then.
    pub(super) fn leave_at(&mut self, target: u32, now: u64) -> Option<Parting> {
        let crews = self.crews.as_mut()?;
        let row = self.free.cut_mut(target as usize * self.width, self.width);
        if row[0] == ABSENT {
            return None;
        }
        let parting = crews.leave(target, row[0], now);
        row.copy_within(1.., 0);
        row[self.width - 1] = ABSENT;
        if self.used > STEP && crews.most_staff() as usize <= self.used - STEP {
            self.used -= STEP;
        }
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
        let count = self.free.len() / self.width;
        let mut free = Aligned::new(count * width, ABSENT);
        for (wide, row) in free.chunks_exact_mut(width).zip(self.free.chunks_exact(self.width)) {
            wide[..row.len()].copy_from_slice(row);
        }
        (self.width, self.free) = (width, free);
    }
}
