//! `[io]` Threads for one run: a lane for each thread, moved on step by step, none further ahead of the
//! others than what they send it takes. How many there are changes how long a run takes and nothing
//! else.

use std::hint::spin_loop;
use std::mem::swap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use policy::Time;
use simulator_model::watch::{Progress, Watch};
use simulator_model::windows::{Course, Lane, Parcel, Streams, Tally, Witness};
use simulator_model::{Model, Network, Report, Timeline};

use crate::execute::Requests;

/// How often a lane looks whether the others are done before it sleeps: some microseconds, a step
/// of work. Longer is a waste where other programs want the processor.
const LOOKS: u32 = 400;
/// Looks between two questions whether there is something to do meanwhile: to ask is more work than to look.
const PAUSES: u32 = 8;

/// Steps between two questions to the watch, an even number: some milliseconds.
const QUESTIONS: u64 = 2_000;

/// Where requests come from, and how many threads there are.
type Means<'a> = (Requests<'a>, u16);

/// Runs a model with so many threads and sums it up. The watch is asked by the calling thread; if it
/// stops the run, nothing arrives since the time that it was told last, and the report ends then.
pub fn report(model: &Model, network: Network, means: Means<'_>, watch: &mut Watch<'_>) -> Report {
    let (tallies, stopped) =
        play(model, network, means, watch, |lane| Tally::new(model, network, lane));
    sum(model, tallies, stopped)
}

/// The same with the course of the run.
pub fn timeline(
    model: &Model,
    network: Network,
    means: Means<'_>,
    watch: &mut Watch<'_>,
) -> (Report, Timeline) {
    let new = |lane| (Tally::new(model, network, lane), Course::new(model, network));
    let (lanes, stopped) = play(model, network, means, watch, new);
    let (tallies, courses): (Vec<Tally>, Vec<Course>) = lanes.into_iter().unzip();
    let mut courses = courses.into_iter().map(Course::into_timeline);
    let mut whole = courses.next().unwrap_or_else(|| Timeline::new(model));
    courses.for_each(|course| whole.merge(&course));
    if let Some(stopped) = stopped {
        whole.cut(stopped);
    }
    (sum(model, tallies, stopped), whole)
}

/// The reports of all lanes in one, that of the first lane first.
fn sum(model: &Model, tallies: Vec<Tally>, stopped: Option<Time>) -> Report {
    let mut reports = tallies.into_iter().map(Tally::into_report);
    let mut whole = reports.next().unwrap_or_else(|| Report::new(model));
    if let Some(stopped) = stopped {
        whole.cut(stopped);
    }
    reports.for_each(|report| whole.merge(&report));
    // Sums look the same, whatever the number of lanes.
    whole.merge(&Report::none(model));
    whole
}

/// What all lanes have written down, in their order, and when the run was stopped, if it was.
fn play<W: Witness + Send>(
    model: &Model,
    network: Network,
    (requests, threads): Means<'_>,
    watch: &mut Watch<'_>,
    new: impl Fn(u16) -> W + Sync,
) -> (Vec<W>, Option<Time>) {
    let lanes = threads.max(1);
    let meeting = Meeting::new(lanes);
    let post = Post::new(lanes);
    let streams = Arc::new(Streams::new(model));
    let mut stopped = None;
    let mut watched = |now: Progress| {
        let goes_on = watch(now);
        if !goes_on {
            stopped = Some(now.at);
        }
        goes_on
    };
    let written: Vec<W> = thread::scope(|scope| {
        let (meeting, post, streams) = (&meeting, &post, &streams);
        let run = |number| Run { model, network, requests, number, meeting, post, streams };
        let new = &new;
        let spawn =
            |number| scope.spawn(move || run(number).to_the_end(new(number), &mut |_| true));
        let others: Vec<_> = (1..lanes).map(spawn).collect();
        let first = run(0).to_the_end(new(0), &mut watched);
        let others = others.into_iter().filter_map(|thread| thread.join().ok().flatten());
        first.into_iter().chain(others).collect()
    });
    assert_eq!(written.len(), usize::from(lanes), "a lane has failed");
    (written, stopped)
}

/// One lane's part of a run.
#[derive(Clone, Copy)]
struct Run<'a> {
    model: &'a Model,
    network: Network,
    requests: Requests<'a>,
    number: u16,
    meeting: &'a Meeting,
    post: &'a Post,
    streams: &'a Arc<Streams<'a>>,
}

impl Run<'_> {
    /// What it has written down; none if another lane has failed.
    fn to_the_end<W: Witness>(self, witness: W, watch: &mut Watch<'_>) -> Option<W> {
        let Run { model, network, requests, number, meeting, post, streams } = self;
        let _leave = Leave(meeting);
        let count = meeting.lanes;
        let place = (number, meeting.lanes);
        let mut lane = Lane::sharing(model, network, place, Arc::clone(streams), witness);
        if let Some(feed) = requests.feed() {
            lane = lane.fed(model, feed);
        }
        let parcels = |count: u16| (0..count).map(|_| Parcel::default()).collect::<Vec<_>>();
        let (mut inbound, mut outbound) = (parcels(count), parcels(count));
        // What it sends itself needs no box.
        let (own, mut kept) = (usize::from(number), [Parcel::default(), Parcel::default()]);
        let mut step = 0u64;
        while !lane.is_over() {
            let others = |other: &u16| *other != number;
            for (other, parcel) in (0..count).zip(&mut inbound).filter(|it| others(&it.0)) {
                post.receive(other, number, step, parcel);
            }
            let [oldest, newest] = &mut kept;
            inbound.iter_mut().skip(own).take(1).for_each(|parcel| swap(parcel, oldest));
            lane.advance(&mut inbound, &mut outbound);
            outbound.iter_mut().skip(own).take(1).for_each(|parcel| swap(parcel, oldest));
            swap(oldest, newest);
            for (other, parcel) in (0..count).zip(&outbound).filter(|it| others(&it.0)) {
                post.send(number, other, step + TRAVEL, parcel);
            }
            step += 1;
            if number == 0 && step.is_multiple_of(QUESTIONS) {
                let requests = lane.arrived() * u64::from(count);
                // The others learn of it before that step, however late they look.
                let last = step + TRAVEL;
                let at = Time(last / 2 * network.delay.0);
                if !watch(Progress { at, requests }) {
                    meeting.last.fetch_min(last, Ordering::SeqCst);
                }
            }
            if !meeting.meet(number, step, |late| lane.prepare(late)) {
                return None;
            }
            if step == meeting.last.load(Ordering::SeqCst) {
                lane.stop();
            }
        }
        Some(lane.finish())
    }
}

/// Parcels on their way, by sender, receiver and the step in which they are opened. No lane is ahead of
/// another one by more than what it sends travels, so twice as many boxes are enough for all that aren't
/// opened yet, and nobody ever waits for a lock.
struct Post {
    lanes: usize,
    boxes: Vec<[Slot; BOXES]>,
}

/// How many steps a parcel travels.
const TRAVEL: u64 = Lane::<Tally>::TRAVEL;
const BOXES: usize = 4;
const _: () = assert!(BOXES as u64 == 2 * TRAVEL);

/// Room for a parcel that shares no cache line with another one's.
#[repr(align(128))]
#[derive(Default)]
struct Slot(Mutex<Parcel>);

impl Post {
    fn new(lanes: u16) -> Self {
        let lanes = usize::from(lanes);
        Post { lanes, boxes: (0..lanes * lanes).map(|_| Default::default()).collect() }
    }

    /// Puts a copy of a parcel into its box.
    fn send(&self, from: u16, to: u16, step: u64, parcel: &Parcel) {
        if let Some(mut held) = self.open(from, to, step) {
            held.copy_from(parcel);
        }
    }

    /// Exchanges a parcel with the one in its box.
    fn receive(&self, from: u16, to: u16, step: u64, parcel: &mut Parcel) {
        if let Some(mut held) = self.open(from, to, step) {
            swap(&mut *held, parcel);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the number of boxes")]
    fn open(&self, from: u16, to: u16, step: u64) -> Option<MutexGuard<'_, Parcel>> {
        let pair = self.boxes.get(usize::from(from) * self.lanes + usize::from(to))?;
        let Slot(held) = pair.get((step % BOXES as u64) as usize)?;
        Some(lock(held))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where lanes wait for each other.
struct Meeting {
    lanes: u16,
    /// How many steps each lane has done.
    done: Vec<Alone>,
    sleepers: AtomicU32,
    has_failed: AtomicBool,
    /// The first step without arrivals, if the run is stopped.
    last: AtomicU64,
    door: Mutex<()>,
    bell: Condvar,
}

/// A counter with a cache line pair of its own: whoever writes it disturbs nobody else's.
#[repr(align(128))]
#[derive(Default)]
struct Alone(AtomicU64);

impl Meeting {
    fn new(lanes: u16) -> Self {
        Meeting {
            lanes,
            done: (0..lanes).map(|_| Alone::default()).collect(),
            sleepers: AtomicU32::new(0),
            has_failed: AtomicBool::new(false),
            last: AtomicU64::new(u64::MAX),
            door: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// This lane has done so many steps. Waits until all others have sent what it opens in the next one;
    /// false if one never will. Who waits works ahead for the one he waits for, as long as there is
    /// something to do.
    fn meet(&self, number: u16, steps: u64, mut work_ahead: impl FnMut(u16) -> bool) -> bool {
        if let Some(Alone(done)) = self.done.get(usize::from(number)) {
            // Sequentially consistent, like the look at the sleepers: either this lane sees that
            // another one goes to sleep, or that one sees this count.
            done.store(steps, Ordering::SeqCst);
        }
        self.wake();
        let sent = (steps + 1).saturating_sub(TRAVEL);
        for (Alone(done), late) in self.done.iter().zip(0..) {
            if done.load(Ordering::Acquire) < sent {
                self.wait(done, sent, || work_ahead(late));
            }
        }
        !self.has_failed.load(Ordering::Acquire)
    }

    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.door));
            self.bell.notify_all();
        }
    }

    fn wait(&self, done: &AtomicU64, steps: u64, mut work_ahead: impl FnMut() -> bool) {
        let is_done = |order| done.load(order) >= steps || self.has_failed.load(order);
        let mut looks = 0;
        while looks < LOOKS {
            if is_done(Ordering::Acquire) {
                return;
            }
            // Where there was nothing to do a moment ago, there is hardly anything now.
            if looks % PAUSES == 0 && work_ahead() {
                continue;
            }
            spin_loop();
            looks += 1;
        }
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut door = lock(&self.door);
        while !is_done(Ordering::SeqCst) {
            door = self.bell.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
        drop(door);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Tells the others if this lane panics: they would wait for ever.
struct Leave<'a>(&'a Meeting);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_failed.store(true, Ordering::SeqCst);
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_on_before_all_have_sent_what_it_opens() {
        let meeting = Meeting::new(4);
        let counts: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for number in 0..4u16 {
                let (meeting, counts) = (&meeting, &counts);
                scope.spawn(move || {
                    for step in 1..=500 {
                        counts[usize::from(number)].store(step, Ordering::Relaxed);
                        assert!(meeting.meet(number, step, |_| false));
                        for count in counts {
                            assert!(count.load(Ordering::Relaxed) + TRAVEL > step);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn nobody_waits_for_one_who_fails() {
        let meeting = Meeting::new(2);
        thread::scope(|scope| {
            let failing = scope.spawn(|| {
                let _leave = Leave(&meeting);
                panic!("on purpose");
            });
            assert!(failing.join().is_err());
            assert!(!meeting.meet(0, 1, |_| false));
        });
    }
}
