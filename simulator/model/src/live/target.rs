//! One target of the live engine: its instances, what they work on and what waits for them. Time
//! passes here on its own: what ends is replaced by what waits, in order, as long as it is due.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use policy::prediction::Ahead;
use policy::{Class, Nanoseconds, Present, Queue, Refusal, Time, Waiting};
use simulator_kernel::Wheel;

use super::group::Instance;
use super::lineup::{End, Lineup, Queued};
use super::seats::{Ended, Seats};
use super::wires::{Arrived, Wires};
use crate::Arrival;
use crate::books::SourceInfo;
use crate::crowd::Crowd;
use crate::faults::{scaled, slower};
use crate::gates::Waits;
use crate::life::WarmUp;
use crate::links::Trip;
use crate::look::Chosen;
use crate::stages::Path;

/// A request that is at a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub arrival: Arrival,
    pub class: Class,
    /// Requests at the target when it was let in, if anybody asks.
    pub in_flight: u32,
    pub start: Time,
    /// From the end of the dispatch until its source was there.
    pub download: Nanoseconds,
    /// From the end of the work until the answer has been sent.
    pub respond: Nanoseconds,
    /// How long an instance has it before it works on it ([`Path::held`]).
    pub held: Nanoseconds,
}

/// Requests by slots that are used again.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    slots: Vec<Job>,
    free: Vec<u32>,
}

#[expect(clippy::indexing_slicing, reason = "slots are given out by `insert`")]
impl Jobs {
    #[inline]
    pub(super) fn insert(&mut self, job: Job) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = job;
            return slot;
        }
        self.slots.push(job);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    #[inline]
    fn take(&mut self, slot: u32) -> Job {
        self.free.push(slot);
        self.slots[slot as usize]
    }

    fn took(&mut self, slot: u32, download: Nanoseconds) {
        self.slots[slot as usize].download = download;
    }

    fn began(&self, slot: u32) -> Time {
        self.slots[slot as usize].start
    }

    #[inline]
    fn start(&mut self, slot: u32, now: Time) -> Job {
        let job = &mut self.slots[slot as usize];
        job.start = now + job.held;
        *job
    }
}

/// What all targets of an app share while time passes.
#[derive(Debug)]
pub(super) struct Floor<'a> {
    /// Until then everything happens now; later ends go to the wheel.
    pub until: Time,
    pub jobs: &'a mut Jobs,
    pub queue: &'a Queue,
    pub sources: &'a [SourceInfo],
    pub instances: &'a mut [Instance],
    /// Requests of the app that wait anywhere.
    pub waiting: &'a mut u64,
    pub wheel: &'a mut Wheel<u32>,
    pub warm_up: &'a WarmUp,
    /// How instances work on several requests at a time, if they do.
    pub crowd: Option<&'a Crowd>,
    /// Whether any machine is slow, any version takes another time, or anybody asks how long
    /// requests have waited that begin.
    pub is_special: bool,
    /// Rules about waits, if there are any.
    pub waits: Option<&'a mut Waits>,
    /// Instances that have nothing more to do: when, which, and when that was decided.
    pub left: &'a mut Vec<(Time, u32, Time)>,
    /// Requests that were dropped: at which target, why, and when.
    pub shed: &'a mut Vec<(u32, Job, Refusal, Time)>,
    /// Links that transfers share, if there are any.
    pub wires: Option<&'a mut Wires>,
    /// Instants at which something happens, if all of them matter one by one.
    pub stops: Option<&'a mut Stops>,
}

/// Instants at which something happens at any target.
pub(super) type Stops = BinaryHeap<Reverse<Time>>;

impl Floor<'_> {
    /// Something happens at a target then, which is later than everything that happens now.
    #[inline]
    fn plan(&mut self, at: Time, place: u32) {
        self.wheel.insert(at.0, place);
        if let Some(stops) = &mut self.stops {
            stops.push(Reverse(at));
        }
    }

    /// How long a request usually takes.
    fn expected(&self, slot: u32) -> Nanoseconds {
        let job = self.jobs.slots.get(slot as usize);
        let source = job.and_then(|job| self.sources.get(usize::from(job.arrival.source)));
        source.map_or(Nanoseconds::ZERO, |source| source.expected)
    }
}

#[derive(Debug, Clone, Copy)]
struct Leave {
    /// Requests that came to the target before the decision.
    joined: u64,
    /// Instances that came to the target before the decision.
    crew: u32,
    /// If it has to be this one.
    only: Option<u32>,
    /// If it has to be on this machine.
    machine: Option<u32>,
    /// Whether that one takes nothing more, and leaves as soon as it has nothing to do.
    is_closed: bool,
    decided: Time,
}

impl Leave {
    /// Whether this instance may leave for it.
    fn allows(&self, instance: u32, instances: &[Instance]) -> bool {
        if let Some(only) = self.only {
            return only == instance;
        }
        let known = instances.get(instance as usize);
        let (crew, machine) = known.map_or((0, 0), |one| (one.crew, one.machine));
        crew < self.crew && self.machine.is_none_or(|wanted| wanted == machine)
    }
}

#[derive(Debug)]
pub(super) struct Target {
    pub app: u32,
    /// The place of itself among all targets.
    place: u32,
    /// The number that others know it by.
    pub number: u32,
    /// Where its instances are.
    pub machine: u32,
    /// Instances and what they work on.
    seats: Seats,
    /// Requests that are on their way: when they will be here, number and slot.
    coming: BinaryHeap<Reverse<(Time, u64, u32)>>,
    /// Requests whose sources share links with others, so that nobody knows when they will be here:
    /// the slot by the number.
    travelling: BTreeMap<u64, u32>,
    lineup: Lineup,
    /// Coming, waiting and running requests by class.
    coming_classes: [u32; 2],
    waiting_classes: [u32; 2],
    running_classes: [u32; 2],
    joined: u64,
    /// Instances that ever came.
    crew: u32,
    leaves: Vec<Leave>,
}

impl Target {
    pub(super) fn new((app, place, number): (u32, u32, u32), machine: u32, seats: Seats) -> Self {
        Target {
            app,
            place,
            number,
            machine,
            seats,
            coming: BinaryHeap::new(),
            travelling: BTreeMap::new(),
            lineup: Lineup::default(),
            coming_classes: [0; 2],
            waiting_classes: [0; 2],
            running_classes: [0; 2],
            joined: 0,
            crew: 0,
            leaves: Vec::new(),
        }
    }

    /// Requests that come, wait or are worked on.
    #[inline]
    pub(super) fn load(&self) -> u32 {
        let [free, paid] = self.waiting_classes;
        let coming = self.coming.len() + self.travelling.len();
        let coming = u32::try_from(coming).unwrap_or(u32::MAX);
        free + paid + self.seats.running() + coming
    }

    /// Requests that are worked on.
    pub(super) fn running(&self) -> u32 {
        self.seats.running()
    }

    /// Instances that have not left.
    pub(super) fn present(&self) -> u32 {
        self.seats.instances()
    }

    /// Instances that will leave.
    pub(super) fn leaving(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    /// What the rules of the queue count for a request of this class.
    #[inline]
    pub(super) fn standing(&self, class: Class, rules: &Queue) -> Waiting {
        rules.standing(
            class,
            Present {
                waiting: self.waiting_classes,
                running: self.running_classes,
                coming: self.coming_classes,
                idle: self.seats.free(),
            },
        )
    }

    /// The work that would go before a request, for rules that ask how long it would wait.
    #[cold]
    pub(super) fn ahead(&self, jobs: &Jobs, sources: &[SourceInfo]) -> Ahead {
        let mut ahead = Ahead::default();
        let job = |slot: u32| jobs.slots.get(slot as usize);
        let expected = |job: &Job| {
            let source = sources.get(usize::from(job.arrival.source));
            source.map_or(Nanoseconds::ZERO, |source| source.expected)
        };
        let sum = |sum: Nanoseconds, job: &Job| Nanoseconds(sum.0.saturating_add(expected(job).0));
        let coming = self.coming.iter().map(|Reverse((_, _, slot))| *slot);
        let coming = coming.chain(self.travelling.values().copied());
        for job in coming.chain(self.lineup.all().map(|queued| queued.slot)).filter_map(job) {
            let work = count_work(&mut ahead.waiting, job.class);
            *work = sum(*work, job);
        }
        ahead.running = self.seats.slots().filter_map(job).fold(Nanoseconds::ZERO, sum);
        ahead.places = self.seats.free().saturating_add(self.seats.running());
        let coming = self.coming.len() + self.travelling.len();
        ahead.idle = self.seats.free() as usize > coming;
        ahead
    }

    /// What is here, for people.
    pub(super) fn look(&self, class: Class, rules: &Queue) -> Chosen {
        Chosen {
            target: self.number,
            waiting: self.waiting_classes,
            coming: self.coming_classes,
            running: self.seats.running(),
            instances: self.present().saturating_sub(self.leaving()),
            standing: self.standing(class, rules),
            predicted: None,
        }
    }

    /// Lets a request in that will be here after its way; on a trip, when that is over.
    #[inline]
    pub(super) fn let_in(
        &mut self,
        job: Job,
        path: &Path,
        trip: Option<Trip>,
        now: Time,
        floor: &mut Floor<'_>,
    ) {
        let slot = floor.jobs.insert(job);
        let queued = Queued::new(self.joined, slot);
        self.joined += 1;
        if let Some(trip) = trip
            && floor.wires.is_some()
        {
            return self.travel(queued, job.class, trip, (now, path), floor);
        }
        let ready = now + Nanoseconds(path.before().0.saturating_sub(job.held.0));
        if ready <= now {
            return self.join(queued, (job.class, job.arrival.user), now, floor);
        }
        *count(&mut self.coming_classes, job.class) += 1;
        self.coming.push(Reverse((ready, queued.number, slot)));
        floor.plan(ready, self.place);
    }

    /// The source of a request comes over links that it shares.
    #[cold]
    fn travel(
        &mut self,
        queued: Queued,
        class: Class,
        trip: Trip,
        (now, path): (Time, &Path),
        floor: &mut Floor<'_>,
    ) {
        *count(&mut self.coming_classes, class) += 1;
        self.travelling.insert(queued.number, queued.slot);
        let dispatched = now + path.accept + path.dispatch;
        if let Some(wires) = &mut floor.wires {
            wires.bring((self.place, queued.number), self.machine, trip, now, dispatched);
        }
    }

    /// The source of a request will be here then: its way isn't shared any more.
    pub(super) fn arrives(&mut self, arrived: &Arrived, floor: &mut Floor<'_>) {
        let Some(slot) = self.travelling.remove(&arrived.number) else { return };
        floor.jobs.took(slot, arrived.took);
        self.coming.push(Reverse((arrived.at, arrived.number, slot)));
        floor.plan(arrived.at, self.place);
    }

    /// Takes out who comes.
    fn turn_back(&mut self, now: Time, floor: &mut Floor<'_>) -> Vec<u32> {
        let coming = self.coming.drain().map(|Reverse((_, _, slot))| slot);
        let mut slots: Vec<u32> = coming.collect();
        for (number, slot) in std::mem::take(&mut self.travelling) {
            if let Some(wires) = &mut floor.wires {
                wires.drop_source(self.place, number, now);
            }
            slots.push(slot);
        }
        self.coming_classes = [0; 2];
        slots
    }

    /// A request is here.
    #[inline]
    fn join(
        &mut self,
        queued: Queued,
        (class, user): (Class, u32),
        now: Time,
        floor: &mut Floor<'_>,
    ) {
        if self.leaves.is_empty()
            && let Some(instance) = self.seats.take()
        {
            // Nothing waits beside an idle instance.
            return self.begin(queued.slot, instance, Nanoseconds::ZERO, now, floor);
        }
        self.line_up(queued, (class, user), now, floor);
    }

    /// A request waits behind others.
    #[inline]
    fn line_up(
        &mut self,
        queued: Queued,
        (class, user): (Class, u32),
        now: Time,
        floor: &mut Floor<'_>,
    ) {
        self.lineup.push(queued, (class, user), End::Back, now, floor.queue);
        *count(&mut self.waiting_classes, class) += 1;
        *floor.waiting += 1;
        self.settle(now, floor);
    }

    /// An instance has become ready.
    pub(super) fn enlist(&mut self, instance: u32, now: Time, floor: &mut Floor<'_>) {
        if let Some(known) = floor.instances.get_mut(instance as usize) {
            known.crew = self.crew;
        }
        self.crew += 1;
        self.seats.add(instance, now);
        self.settle(now, floor);
    }

    /// Everything that is here is lost.
    pub(super) fn clear(&mut self, now: Time, floor: &mut Floor<'_>, mut lost: impl FnMut(&Job)) {
        let [free, paid] = self.waiting_classes;
        *floor.waiting -= u64::from(free) + u64::from(paid);
        let coming = self.turn_back(now, floor);
        let running = self.seats.clear().into_iter();
        let waiting = self.lineup.drain();
        for slot in running.chain(waiting).chain(coming) {
            lost(&floor.jobs.take(slot));
        }
        self.leaves.clear();
        (self.waiting_classes, self.running_classes) = ([0; 2], [0; 2]);
    }

    /// An instance ends by itself, with the requests that it works on, if it is one; without another
    /// instance what waits is lost, too. Whether it was to leave anyway: then that is done.
    pub(super) fn fall(
        &mut self,
        instance: u32,
        now: Time,
        floor: &mut Floor<'_>,
        mut lost: impl FnMut(&Job),
    ) -> bool {
        for slot in self.seats.fall(instance) {
            let job = floor.jobs.take(slot);
            *count(&mut self.running_classes, job.class) -= 1;
            lost(&job);
        }
        let is_its = |leave: &Leave| leave.is_closed && leave.only == Some(instance);
        let leave = self.leaves.iter().position(is_its).or_else(|| {
            self.leaves.iter().position(|leave| leave.allows(instance, floor.instances))
        });
        if let Some(leave) = leave {
            self.leaves.remove(leave);
        }
        if self.present() == 0 {
            self.clear(now, floor, lost);
        }
        leave.is_some()
    }

    /// One of the present instances is to leave, when what waits now has begun; one on this machine,
    /// if it is given.
    pub(super) fn dismiss(&mut self, machine: Option<u32>, now: Time, floor: &mut Floor<'_>) {
        let (joined, crew) = (self.joined, self.crew);
        self.leaves.push(Leave {
            joined,
            crew,
            only: None,
            machine,
            is_closed: false,
            decided: now,
        });
        self.settle(now, floor);
    }

    /// This one is to leave, when what waits now has begun; false if that was known.
    pub(super) fn dismiss_this(&mut self, instance: u32, now: Time, floor: &mut Floor<'_>) -> bool {
        let only = Some(instance);
        if self.leaves.iter().any(|leave| leave.only == only) {
            return false;
        }
        let (joined, crew) = (self.joined, self.crew);
        self.leaves.push(Leave {
            joined,
            crew,
            only,
            machine: None,
            is_closed: false,
            decided: now,
        });
        self.settle(now, floor);
        true
    }

    /// One that is to leave does so when it has nothing to do, whatever waits.
    pub(super) fn hasten(&mut self, instance: u32, now: Time, floor: &mut Floor<'_>) {
        let of_it = self.leaves.iter_mut().find(|leave| leave.only == Some(instance));
        if let Some(leave) = of_it {
            leave.joined = 0;
            self.settle(now, floor);
        }
    }

    /// Since when an instance works on its request.
    pub(super) fn works_since(&self, instance: u32, jobs: &Jobs) -> Option<Time> {
        self.seats.slot_of(instance).map(|slot| jobs.began(slot))
    }

    /// When something happens here next.
    pub(super) fn next_event(&self) -> Option<Time> {
        let ready = self.coming.peek().map(|Reverse((ready, ..))| *ready);
        self.seats.next_end().into_iter().chain(ready).min()
    }

    /// An instance that is to leave is gone, whatever it does: what it worked on.
    pub(super) fn stop(&mut self, instance: u32, floor: &mut Floor<'_>) -> Vec<Job> {
        let slots = self.seats.fall(instance).into_iter();
        let work: Vec<Job> = slots.map(|slot| floor.jobs.take(slot)).collect();
        for job in &work {
            *count(&mut self.running_classes, job.class) -= 1;
        }
        self.leaves.retain(|leave| leave.only != Some(instance));
        work
    }

    /// A request whose work was stopped waits again, before the others.
    pub(super) fn put_back(&mut self, job: Job, now: Time, floor: &mut Floor<'_>) {
        let queued = Queued::new(self.joined, floor.jobs.insert(job));
        self.joined += 1;
        let whose = (job.class, job.arrival.user);
        self.lineup.push(queued, whose, End::Front, now, floor.queue);
        *count(&mut self.waiting_classes, job.class) += 1;
        *floor.waiting += 1;
        self.settle(now, floor);
    }

    /// Takes everything out that waits or comes.
    pub(super) fn give_up(&mut self, now: Time, floor: &mut Floor<'_>) -> Vec<Job> {
        let [free, paid] = std::mem::take(&mut self.waiting_classes);
        *floor.waiting -= u64::from(free) + u64::from(paid);
        let coming = self.turn_back(now, floor);
        let waiting = self.lineup.drain().into_iter();
        waiting.chain(coming).map(|slot| floor.jobs.take(slot)).collect()
    }

    /// Lets everything happen that is due; `ended` hears of each request that is over.
    #[inline]
    pub(super) fn pass(&mut self, floor: &mut Floor<'_>, mut ended: impl FnMut(&Job, u32, Time)) {
        loop {
            let ready = self.coming.peek().map(|Reverse((ready, _, _))| *ready);
            let ready = ready.filter(|ready| *ready <= floor.until);
            // What ends is over before what comes at the same instant.
            if self.seats.next_end().is_some_and(|end| end <= ready.unwrap_or(floor.until))
                && let Some(Ended { at, slot, next }) = self.seats.end(floor.crowd)
            {
                let job = floor.jobs.take(slot);
                *count(&mut self.running_classes, job.class) -= 1;
                ended(&job, self.number, at);
                if let Some(next) = next.filter(|next| *next > floor.until) {
                    floor.plan(next, self.place);
                }
                self.settle(at, floor);
            } else if ready.is_some() {
                self.receive(floor);
            } else {
                return;
            }
        }
    }

    /// The next request that is coming is here.
    fn receive(&mut self, floor: &mut Floor<'_>) {
        let Some(Reverse((ready, number, slot))) = self.coming.pop() else { return };
        let whose = self.whose(slot, floor);
        *count(&mut self.coming_classes, whose.0) -= 1;
        let queued = Queued::new(number, slot);
        match floor.waits.is_some() {
            // What has been on its way may be late even if it needn't wait.
            true => self.line_up(queued, whose, ready, floor),
            false => self.join(queued, whose, ready, floor),
        }
    }

    /// Instances take what waits, or leave, until nothing is left to do.
    fn settle(&mut self, now: Time, floor: &mut Floor<'_>) {
        loop {
            if !self.leaves.is_empty() && self.let_one_leave(now, floor) {
                continue;
            }
            if self.seats.free() == 0 {
                return;
            }
            let Some(queued) = self.lineup.pop(now, floor.queue, |slot| floor.expected(slot))
            else {
                return;
            };
            *floor.waiting -= 1;
            let (class, _) = self.whose(queued.slot, floor);
            *count(&mut self.waiting_classes, class) -= 1;
            if floor.waits.is_some()
                && let Err(cause) = self.take(&queued, now, floor)
            {
                let job = floor.jobs.take(queued.slot);
                floor.shed.push((self.place, job, cause, now));
                continue;
            }
            let Some(instance) = self.seats.take() else { return };
            self.begin(queued.slot, instance, now.since(queued.came), now, floor);
        }
    }

    /// Whether a request that was taken out of the queue is still worked on.
    #[cold]
    fn take(&mut self, queued: &Queued, now: Time, floor: &Floor<'_>) -> Result<(), Refusal> {
        let Some(waits) = floor.waits.as_deref() else { return Ok(()) };
        if let Some(rules) = &waits.overload {
            self.lineup.take(queued, rules, now)?;
        }
        waits.in_time(floor.jobs.slots.get(queued.slot as usize), floor.sources, now)
    }

    /// Class and user of a request.
    fn whose(&self, slot: u32, floor: &Floor<'_>) -> (Class, u32) {
        let job = floor.jobs.slots.get(slot as usize);
        job.map_or((Class::Free, 0), |job| (job.class, job.arrival.user))
    }

    #[inline]
    fn begin(
        &mut self,
        slot: u32,
        instance: u32,
        waited: Nanoseconds,
        now: Time,
        floor: &mut Floor<'_>,
    ) {
        let job = floor.jobs.start(slot, now);
        *count(&mut self.running_classes, job.class) += 1;
        let mut service = job.arrival.service;
        if floor.warm_up.slowdown > 0
            && let Some(ready) = floor.instances.get(instance as usize).and_then(|one| one.ready)
        {
            service = floor.warm_up.slowed(service, now.since(ready));
        }
        if floor.is_special {
            if let Some(one) = floor.instances.get(instance as usize) {
                service = slower(scaled(service, one.scale), one.slow);
            }
            let expected = floor.expected(slot);
            let begun = floor.waits.as_mut().map(|waits| &mut waits.begun);
            if let Some(begun) = begun.and_then(|begun| begun.get_mut(self.app as usize)) {
                begun.count(waited, expected);
            }
        }
        let held = Nanoseconds(service.0.saturating_add(job.held.0));
        let end = self.seats.begin(instance, slot, held, now, floor.crowd);
        if end > floor.until {
            floor.plan(end, self.place);
        }
    }

    /// Instances with several requests at a time would hardly ever have nothing to do: those that are
    /// to leave take nothing more when what waited at the decision has begun.
    fn close_those(&mut self, oldest: u64, floor: &Floor<'_>) {
        for leave in self.leaves.iter_mut().filter(|leave| !leave.is_closed) {
            if oldest < leave.joined {
                continue;
            }
            let may = |instance: u32| leave.allows(instance, floor.instances);
            if let Some(instance) = self.seats.close_one(may) {
                (leave.only, leave.is_closed) = (Some(instance), true);
            }
        }
    }

    /// Whether one of the idle instances has left for good.
    #[cold]
    fn let_one_leave(&mut self, now: Time, floor: &mut Floor<'_>) -> bool {
        let waiting = self.lineup.all().map(|queued| queued.number);
        let coming = self.coming.iter().map(|Reverse((_, number, _))| *number);
        let travelling = self.travelling.keys().next().copied();
        let oldest = waiting.chain(coming).chain(travelling).min().unwrap_or(u64::MAX);
        if self.seats.are_shared() {
            self.close_those(oldest, floor);
        }
        let idle = self.seats.idle();
        let found = self.leaves.iter().enumerate().find_map(|(place, leave)| {
            let may = |(_, instance): &&(Time, u32)| leave.allows(*instance, floor.instances);
            let one = idle.iter().find(may)?;
            (oldest >= leave.joined).then_some((place, one.1))
        });
        let Some((place, instance)) = found else { return false };
        let leave = self.leaves.remove(place);
        self.seats.remove(instance);
        floor.left.push((now, instance, leave.decided));
        true
    }
}

/// The counter of a class.
#[inline]
const fn count(counts: &mut [u32; 2], class: Class) -> &mut u32 {
    let [free, paid] = counts;
    match class {
        Class::Free => free,
        Class::Paid => paid,
    }
}

/// The work of a class.
const fn count_work(work: &mut [Nanoseconds; 2], class: Class) -> &mut Nanoseconds {
    let [free, paid] = work;
    match class {
        Class::Free => free,
        Class::Paid => paid,
    }
}
