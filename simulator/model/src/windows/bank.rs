//! The targets of one app that belong to one lane. First come, first served: when a request joins,
//! the beginning and the end of its work are known (Kiefer and Wolfowitz 1955), so a target is a
//! row of the times at which its instances become free, ascending ([`Rows`]), and a ring of the times at
//! which waiting requests begin.
//!
//! Where an app scales, rows are wider than they must be: what isn't there becomes free never. An
//! instance that starts becomes free when it is ready, and one that leaves is the first entry.

use policy::queue::{Classes, Counts};
use policy::{Class, Present, Queue, Refusal, Waiting};
use simulator_kernel::wide::{self, Task};

use super::crews::{self, Crews, Parting, Standing};
use super::plan::Plan;
use super::rows::{self, Rows};
use super::waits::Room;
use super::{Key, Request};
use crate::App;
use crate::demand::Demand;
use crate::look::Chosen;
use crate::rings::Rings;

/// Targets.
#[derive(Debug)]
pub(super) struct Bank {
    rules: Queue,
    now: u64,
    /// When instances become free.
    rows: Rows,
    /// When waiting requests begin, as stamps.
    starts: Rings,
    /// Ends and classes of what is at each target, if a rule asks for the classes of what is
    /// worked on.
    present: Vec<Vec<(u64, Class)>>,
    /// Requests on their way into each queue, by class; empty if none ever are.
    coming: Vec<[u32; 2]>,
    /// How many these are, where nothing else must be known of a target: [`NOT_PLAIN`] elsewhere.
    ahead: Vec<u32>,
    /// Whether the rules ask for those who wait only, whatever their class.
    is_plain: bool,
    /// How many targets are plain.
    plain_targets: usize,
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

/// What isn't plain: more than there are instances.
const NOT_PLAIN: u32 = u32::MAX;

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
        let is_plain = (rules.counts, rules.classes) == (Counts::Waiting, Classes::Together);
        let asks = rules.counts == Counts::InSystem && rules.classes == Classes::Apart;
        Bank {
            rules: *rules,
            now: 0,
            rows: Rows::new(count, instances),
            starts: Rings::new(count as usize),
            present: vec![Vec::new(); if asks { count as usize } else { 0 }],
            coming: vec![[0; 2]; if has_stages { count as usize } else { 0 }],
            ahead: vec![if is_plain { 0 } else { NOT_PLAIN }; count as usize],
            is_plain,
            plain_targets: if is_plain { count as usize } else { 0 },
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

    /// A window begins: nothing happens before it any more.
    pub(super) fn begin_window(&mut self, now: u64) {
        self.rows.begin(now);
    }

    /// See [`Rows::set_reach`].
    pub(super) fn set_reach(&mut self, reach: u32) {
        self.rows.set_reach(reach);
    }

    /// Requests at each target, waiting and worked on.
    #[inline(always)]
    pub(super) fn loads(&mut self, count: u32, loads: &mut Vec<u32>) {
        let before = loads.len();
        loads.resize(before + count as usize, 0);
        let loads = &mut loads[before..];
        // Loops one after the other, each of them short: first what is the same for all targets.
        self.rows.add_busy(self.now, loads);
        self.starts.add_lengths(last_stamp(self.now), loads);
        for (load, [free, paid]) in loads.iter_mut().zip(&self.coming) {
            *load += free + paid;
        }
        if let Some(crews) = &self.crews {
            crews.correct(self.now, loads);
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
        let busy = self.rows.busy(target, self.now);
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
        if self.rules.bound(class) == Queue::UNLIMITED {
            return Waiting { counted: 0, idle: self.rows.has_idle(target, 0, self.now) };
        }
        let coming = self.coming.get(target as usize).copied().unwrap_or_default();
        let all = coming.iter().sum::<u32>();
        // The row ascends, so one look tells whether more instances are idle than requests are
        // coming: each of them would find one, and this one, too, and nobody waits. Where apps scale it
        // is so nine times out of ten: to look for it spares the ring of those that wait.
        let idle = self.rows.has_idle(target, all, self.now);
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
        let instances = self.rows.count(target);
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
        let idle = self.rows.idle(target, self.now);
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

    /// The time that has passed.
    #[inline(always)]
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// Whether most targets are plain, so that it is worth while to look for runs of requests to them.
    #[inline(always)]
    pub(super) const fn is_mostly_plain(&self) -> bool {
        self.plain_targets * 2 > self.ahead.len()
    }

    /// The length of a row.
    pub(super) const fn width(&self) -> usize {
        self.rows.width()
    }

    /// Opens the bank for many requests where all is plain.
    #[inline(always)]
    pub(super) fn open<'a, const WIDTH: usize>(&'a mut self, plan: &'a Plan) -> Open<'a, WIDTH> {
        let Bank { rules, rows, starts, ahead, .. } = self;
        Open { rules, plan, rows: rows.open(), starts, ahead }
    }

    /// So many requests came until then, while it was open.
    #[inline(always)]
    pub(super) const fn close(&mut self, joined: u64, now: u64) {
        self.demand.arrivals += joined;
        self.now = now;
    }

    /// It is known again what is ahead of a request at a target.
    #[inline(always)]
    fn note(&mut self, target: u32) {
        let are_alike = self.crews.as_ref().is_none_or(|crews| crews.are_alike(target));
        let coming = self.coming.get(target as usize).map_or(0, |[free, paid]| free + paid);
        let ahead = if self.is_plain && are_alike { coming } else { NOT_PLAIN };
        let before = std::mem::replace(&mut self.ahead[target as usize], ahead);
        self.plain_targets += usize::from(ahead != NOT_PLAIN);
        self.plain_targets -= usize::from(before != NOT_PLAIN);
    }

    /// A request comes to a target: when its work begins and ends, if the queue takes it.
    pub(super) fn join(
        &mut self,
        target: u32,
        class: Class,
        service: u64,
    ) -> Result<(u64, u64), Refusal> {
        wide::run(Join { bank: self, target, class, service })
    }

    /// Likewise, if it comes into the queue later: [`Bank::come`].
    #[inline(always)]
    pub(super) fn let_in(&mut self, target: u32, class: Class) -> Result<(), Refusal> {
        self.admit(target, class)?;
        self.expect(target, class);
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
            self.note(target);
        }
        if self.crews.is_some() && self.rows.is_empty(target) {
            return Err(Refusal::NoInstance);
        }
        Ok(())
    }

    /// What rules about waits must know of a target besides its line.
    pub(super) fn room(&self, target: u32) -> Room {
        let coming = self.coming.get(target as usize).map_or(0, |[free, paid]| free + paid);
        let idle = self.rows.idle(target, self.now);
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
        self.expect(target, class);
        Ok(())
    }

    /// A request is on its way into the queue.
    #[inline(always)]
    fn expect(&mut self, target: u32, class: Class) {
        if let Some(coming) = self.coming.get_mut(target as usize) {
            coming[class.index()] += 1;
            self.note(target);
        }
    }

    /// A request stands in the queue of a target: when its turn comes. It must begin then
    /// ([`Bank::begin`]) before the next one stands there, or it never does.
    pub(super) fn stand(&mut self, target: u32, class: Class) -> u64 {
        let turn = self.rows.first(target).max(self.now);
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
        let (_, end) = self.work(target, turn, service);
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
        if self.crews.is_some() && self.rows.is_empty(target) {
            return Err(Refusal::NoInstance);
        }
        let standing = self.standing(target, class);
        policy::enqueue(&self.rules, class, standing)
    }

    /// A request takes its place: when its work begins and ends.
    #[inline(always)]
    fn take(&mut self, target: u32, class: Class, service: u64) -> (u64, u64) {
        let (start, end) = self.work(target, self.now, service);
        if start > self.now {
            self.starts.push(target as usize, stamp(start, class), last_stamp(self.now));
        }
        if let Some(present) = self.present.get_mut(target as usize) {
            present.push((end, class));
        }
        (start, end)
    }

    /// A request takes the first instance from a time on: when its work begins and ends.
    #[inline(always)]
    fn work(&mut self, target: u32, now: u64, service: u64) -> (u64, u64) {
        match &mut self.crews {
            Some(crews) if !crews.are_alike(target) => {
                let work = crews.work(target, now, service, LAST);
                self.rows.write(target, crews.times(target));
                work
            }
            _ => self.rows.take(target, now, service, LAST),
        }
    }

    /// A target, for somebody who may want it back so; none if nobody comes or goes there.
    pub(super) fn save(&self, target: u32) -> Option<Saved> {
        let crew = self.crews.as_ref()?.save(target);
        Some(Saved { row: self.rows.times(target).collect(), crew })
    }

    /// It is so again: the request that had taken an instance until `end` never begins, and stands there
    /// until `turn`.
    pub(super) fn restore(
        &mut self,
        target: u32,
        saved: Saved,
        (class, turn, end): (Class, u64, u64),
    ) {
        self.rows.write(target, saved.row.iter().copied());
        if let Some(crews) = &mut self.crews {
            crews.restore(target, saved.crew);
        }
        self.note(target);
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
        let Some(crews) = &mut self.crews else { return };
        if crews.staff(target) as usize == self.rows.width() {
            self.rows.widen();
        }
        crews.start(target, self.rows.times(target), ready, last_start);
        self.rows.write(target, crews.times(target));
        self.note(target);
    }

    /// The instance of a target leaves that has nothing to do first.
    pub(super) fn leave(&mut self, target: u32) -> Option<Parting> {
        self.leave_at(target, self.now)
    }

    /// Likewise, if it was told so then.
    pub(super) fn leave_at(&mut self, target: u32, now: u64) -> Option<Parting> {
        let crews = self.crews.as_mut()?;
        let parting = crews.leave(target, self.rows.remove_first(target)?, now);
        self.note(target);
        Some(parting)
    }

    /// Targets tell of their instances, those that have something new to tell.
    pub(super) fn report(&mut self, mut told: impl FnMut(u32, Standing)) {
        let Some(mut crews) = self.crews.take() else { return };
        let mut are_alike = Vec::new();
        crews.report(self.now, |target, standing, is_last| {
            told(target, standing);
            are_alike.extend(is_last.then_some(target));
        });
        self.crews = Some(crews);
        are_alike.into_iter().for_each(|target| self.note(target));
    }
}

/// A bank with all at hand that requests ask for where all is plain, one after the other.
#[derive(Debug)]
pub(super) struct Open<'a, const WIDTH: usize> {
    rules: &'a Queue,
    plan: &'a Plan,
    rows: rows::Open<'a, WIDTH>,
    starts: &'a mut Rings,
    ahead: &'a [u32],
}

impl<const WIDTH: usize> Open<'_, WIDTH> {
    /// A request comes to one of these targets: when its work begins and ends, if it is taken and nothing
    /// must be asked for but an idle instance or a place among those that wait, as [`Bank::admit`] and
    /// [`Bank::take`] decide. Otherwise nothing has happened.
    #[inline(always)]
    pub(super) fn join(&mut self, request: &Request, target: u32, now: u64) -> Option<(u64, u64)> {
        let ahead = *self.ahead.get(target as usize)?;
        let row = self.rows.cut(target as usize, now)?;
        let mut start = now;
        // As in `standing`: where apps scale, nine times out of ten more instances are idle than
        // requests are coming.
        if !row.has_idle(ahead) {
            start = row.first()?;
            if ahead == NOT_PLAIN {
                return None;
            }
            let (_, source) = Key::parts(request.key);
            let class = self.plan.source(source)?.class;
            let counted = self.starts.length(target as usize, last_stamp(now)) + ahead;
            let waiting = Waiting { counted, idle: false };
            let bound = self.rules.bound(class);
            if counted >= bound || policy::enqueue(self.rules, class, waiting).is_err() {
                return None;
            }
            if start > now {
                self.starts.push(target as usize, stamp(start, class), last_stamp(now));
            }
        }
        Some((start, row.take(start, request.service, LAST)))
    }
}
