//! Rules about how long requests wait, behind a network: predicted waits (`policy::prediction`),
//! controlled delay (`policy::overload`) and deadlines behind queues.
//!
//! All of them are asked at targets, who know what stands in their queues: when a request comes, and
//! when it is taken out of the queue. Queues are first come, first served, so when the turn of a
//! request comes is known as soon as it stands in one, and so is what it will have waited. Whoever is
//! dropped then leaves the row of his target as it was, but stands in the queue until then.
//!
//! Only the law of RFC 8289 asks for more: whether others wait behind the request, which isn't known
//! before. With it the fate of the last one of a queue is left open until another one comes or its
//! turn does: [`Waits::hold`]. Where the app scales, that one is taken as one that isn't dropped, because
//! orders to instances must go by something; if it is, target and orders are done again without it
//! ([`Undo`]). Who leaves is told when it is known, which is before anybody is gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use policy::admission::{Candidate, Deadlines};
use policy::codel::Codel;
use policy::overload::{self, Law, Overload, Standing, Taken};
use policy::prediction::{self, Ahead, Asked};
use policy::{Class, Nanoseconds, Refusal, Time};

use super::Request;
use super::bank::Saved;
use super::control::{Change, Left};
use super::plan::{Plan, SourceInfo};
use crate::model::Model;
use crate::stages::Path;

/// A target of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) app: u32,
    /// Counted among those of the app that belong to the lane.
    pub(super) target: u32,
}

/// What instances of a target do, and what comes to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Instances that have nothing to do.
    pub(super) idle: u32,
    /// Those that work.
    pub(super) running: u32,
    /// Requests that were let in and don't stand in the queue yet.
    pub(super) coming: u32,
}

/// What is to be done if a request is dropped that was taken as one that isn't, at a target where
/// instances come and go meanwhile.
#[derive(Debug)]
pub(super) struct Undo {
    /// The target as it was.
    pub(super) saved: Saved,
    /// When the work on the request would end.
    pub(super) end: u64,
    /// What has come since, and when.
    pub(super) orders: Vec<(u64, Change)>,
    /// Which instances leave then, if it isn't dropped; nobody has been told yet.
    pub(super) left: Vec<Left>,
}

/// A request that stands in a queue, or whose turn it is at once.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) request: Request,
    /// How its stages go, if it has any.
    pub(super) path: Option<Path>,
    /// When it came into the queue.
    pub(super) came: u64,
    /// When its turn comes.
    pub(super) turn: u64,
    /// Whether the queue was overloaded when it came.
    was_overloaded: bool,
    /// If its fate is open, and its app scales.
    pub(super) undo: Option<Box<Undo>>,
}

impl Held {
    pub(super) const fn new(request: Request, path: Option<Path>, came: u64, turn: u64) -> Self {
        Held { request, path, came, turn, was_overloaded: false, undo: None }
    }
}

/// What is kept of it in its line.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    turn: u64,
    /// When the work on it ends; none if it is dropped, or if that isn't known yet.
    end: Option<u64>,
    class: Class,
    expected: Nanoseconds,
}

/// What the rules must know of one target. Sums of work are as long as they must be: those of `policy`
/// end at the highest time.
#[derive(Debug, Default)]
struct Line {
    coming: [u128; 2],
    waiting: [u128; 2],
    running: u128,
    /// In the order of their turns.
    queue: VecDeque<Waiter>,
    /// When work ends, and how long it was expected to take.
    work: BinaryHeap<Reverse<(u64, Nanoseconds)>>,
    standing: Standing,
    codel: Codel,
    /// The last one, as long as its fate is open.
    last: Option<Held>,
}

/// The part of a table that is of a class.
const fn of(sums: &mut [u128; 2], class: Class) -> &mut u128 {
    let [free, paid] = sums;
    match class {
        Class::Free => free,
        Class::Paid => paid,
    }
}

fn total(work: u128) -> Nanoseconds {
    Nanoseconds(u64::try_from(work).unwrap_or(u64::MAX))
}

impl Line {
    /// What is over by now is: turns, and work.
    fn pass(&mut self, now: u64) {
        while let Some(waiter) = self.queue.pop_front_if(|waiter| waiter.turn <= now) {
            *of(&mut self.waiting, waiter.class) -= u128::from(waiter.expected.0);
            if let Some(end) = waiter.end {
                self.work.push(Reverse((end, waiter.expected)));
                self.running += u128::from(waiter.expected.0);
            }
        }
        while let Some(Reverse((end, expected))) = self.work.peek().copied()
            && end <= now
        {
            self.work.pop();
            self.running -= u128::from(expected.0);
        }
    }

    fn ahead(&self, room: Room) -> Ahead {
        let [free, paid] = self.waiting;
        let [more_free, more_paid] = self.coming;
        Ahead {
            waiting: [total(free + more_free), total(paid + more_paid)],
            running: total(self.running),
            places: room.idle.saturating_add(room.running),
            idle: room.idle > room.coming,
        }
    }
}

/// The rules, and the lines of the targets of a lane.
#[derive(Debug)]
pub(super) struct Waits {
    asked: Option<Asked>,
    overload: Option<Overload>,
    in_time: bool,
    /// By app and target.
    lines: Vec<Vec<Line>>,
    /// Turns of requests whose fate was open when they came; some of it may be known by now.
    due: BinaryHeap<Reverse<(u64, Place)>>,
}

/// Whether a rule of a model asks for how long requests wait at targets.
pub(super) fn asks(model: &Model) -> bool {
    let predicts = model.admission.deadlines == Deadlines::Predict;
    predicts || model.queue.longest_wait.is_some() || model.queue.overload.is_some()
}

/// Whether what becomes of a request depends on those that come after it.
pub(super) fn looks_back(model: &Model) -> bool {
    model.queue.sheds().is_some_and(|overload| overload.law == Law::Codel)
}

impl Waits {
    /// For the targets of a lane; none if no rule asks.
    pub(super) fn new(model: &Model, plan: &Plan, lane: u16) -> Option<Box<Self>> {
        let lines = |app: &super::plan::AppInfo| {
            plan.share(app.count, lane).map(|_| Line::default()).collect()
        };
        asks(model).then(|| {
            Box::new(Waits {
                asked: Asked::new(&model.admission, &model.queue),
                overload: model.queue.overload,
                in_time: model.admission.deadlines == Deadlines::Predict,
                lines: plan.apps.iter().map(lines).collect(),
                due: BinaryHeap::new(),
            })
        })
    }

    fn line(&mut self, Place { app, target }: Place) -> Option<&mut Line> {
        self.lines.get_mut(app as usize)?.get_mut(target as usize)
    }

    /// How long a request would wait that comes to a target now, if a rule asks.
    pub(super) fn predicted(
        &mut self,
        place: Place,
        class: Class,
        room: Room,
        now: u64,
    ) -> Option<Nanoseconds> {
        let asked = self.asked?;
        let line = self.line(place)?;
        line.pass(now);
        Some(asked.wait(class, &line.ahead(room)))
    }

    /// Whether a request may queue at a target that it has come to now.
    pub(super) fn enqueue(
        &mut self,
        place: Place,
        (request, info): (&Request, &SourceInfo),
        room: Room,
        now: u64,
    ) -> Result<(), Refusal> {
        let Some(asked) = self.asked else { return Ok(()) };
        let line = self.line(place).ok_or(Refusal::NoInstance)?;
        line.pass(now);
        let ahead = line.ahead(room);
        prediction::enqueue(&asked, info.class, candidate(request, info), &ahead, Time(now))
    }

    /// A request was let in, and is on its way into the queue.
    pub(super) fn let_in(&mut self, place: Place, info: &SourceInfo) {
        if let Some(line) = self.line(place) {
            *of(&mut line.coming, info.class) += u128::from(info.expected.0);
        }
    }

    /// It isn't on its way any more.
    pub(super) fn come(&mut self, place: Place, info: &SourceInfo) {
        if let Some(line) = self.line(place) {
            *of(&mut line.coming, info.class) -= u128::from(info.expected.0);
        }
    }

    /// It stands in the queue, if only until its turn comes at this instant.
    pub(super) fn stand(&mut self, place: Place, info: &SourceInfo, mut held: Held) -> Held {
        let (overload, now) = (self.overload, Time(held.came));
        let Some(line) = self.line(place) else { return held };
        line.pass(held.came);
        if let Some(rules) = &overload {
            if line.queue.is_empty() {
                line.standing = Standing::begun(now);
                line.codel.rest();
            }
            held.was_overloaded = line.standing.is_overloaded(rules, now);
        }
        let SourceInfo { class, expected, .. } = *info;
        line.queue.push_back(Waiter { turn: held.turn, end: None, class, expected });
        *of(&mut line.waiting, class) += u128::from(expected.0);
        held
    }

    /// Whether a request is still worked on when its turn comes; others wait behind it or not.
    pub(super) fn take(
        &mut self,
        place: Place,
        (held, info): (&Held, &SourceInfo),
        others: bool,
    ) -> Result<(), Refusal> {
        let (overload, in_time, now) = (self.overload, self.in_time, Time(held.turn));
        let line = self.line(place).ok_or(Refusal::NoInstance)?;
        if let Some(rules) = &overload {
            let waited = now.since(Time(held.came));
            let taken = Taken { was_overloaded: held.was_overloaded, waited, others };
            overload::take(rules, &mut line.codel, taken, now)?;
        }
        match in_time {
            true => prediction::in_time(candidate(&held.request, info), now),
            false => Ok(()),
        }
    }

    /// The last one of a line is worked on when its turn comes, until then.
    pub(super) fn begin(&mut self, place: Place, end: u64) {
        if let Some(last) = self.line(place).and_then(|line| line.queue.back_mut()) {
            last.end = Some(end);
        }
    }

    /// What becomes of the last one of a line isn't known yet.
    pub(super) fn hold(&mut self, place: Place, held: Held) {
        self.due.push(Reverse((held.turn, place)));
        if let Some(line) = self.line(place) {
            line.last = Some(held);
        }
    }

    /// What is to be undone if the last one of a line is dropped.
    pub(super) fn undo(&mut self, place: Place) -> Option<&mut Undo> {
        self.line(place)?.last.as_mut()?.undo.as_deref_mut()
    }

    /// The last one of a line, if its fate is open and its turn comes by then.
    pub(super) fn last_until(&mut self, place: Place, until: u64) -> Option<Held> {
        self.line(place)?.last.take_if(|last| last.turn <= until)
    }

    /// The next one of any line whose fate is open and whose turn comes by then.
    pub(super) fn next_until(&mut self, until: u64) -> Option<(Place, Held)> {
        while let Some(Reverse((turn, place))) = self.due.peek().copied()
            && turn <= until
        {
            self.due.pop();
            if let Some(held) = self.last_until(place, turn) {
                return Some((place, held));
            }
        }
        None
    }
}

/// What rules about deadlines must know of a request. Its deadline travels with it.
fn candidate(request: &Request, info: &SourceInfo) -> Candidate {
    Candidate { deadline: request.time() + info.deadline, usual: info.usual }
}
