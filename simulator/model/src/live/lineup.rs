//! What waits at a target, in the order in which it is taken.

use std::collections::{BTreeMap, VecDeque};

use policy::codel::Codel;
use policy::fairness::Turns;
use policy::overload::{self, Overload, Standing, Taken};
use policy::queue::Order;
use policy::{Class, Nanoseconds, Queue, Refusal, Time};

/// A request that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    /// The how manyth request of the target it is.
    pub number: u64,
    pub slot: u32,
    /// Whether the queue was overloaded when it came.
    was_overloaded: bool,
    /// When it came.
    pub came: Time,
}

impl Queued {
    #[inline]
    pub(super) const fn new(number: u64, slot: u32) -> Self {
        Queued { number, slot, was_overloaded: false, came: Time::ZERO }
    }
}

/// All that wait.
#[derive(Debug, Default)]
pub(super) struct Lineup {
    /// In the order in which they came; those that go first, and the others.
    lines: [VecDeque<Queued>; 2],
    /// If users take turns.
    fair: Option<Box<Fair>>,
    standing: Standing,
    /// If a rule of overload asks.
    codel: Option<Box<Codel>>,
}

#[derive(Debug, Default)]
struct Fair {
    turns: Turns,
    queues: BTreeMap<u32, VecDeque<Queued>>,
}

/// At which end a request comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Back,
    /// Its work was stopped: it goes before others.
    Front,
}

impl Lineup {
    /// A request comes.
    #[inline]
    pub(super) fn push(
        &mut self,
        mut queued: Queued,
        (class, user): (Class, u32),
        end: End,
        now: Time,
        rules: &Queue,
    ) {
        queued.came = now;
        if let Some(overload) = &rules.overload {
            self.note(&mut queued, overload, now);
        }
        let [first, second] = &mut self.lines;
        let line = match (rules.order, class) {
            (Order::Fifo | Order::AdaptiveLifo, _) | (Order::Priority, Class::Paid) => first,
            (Order::Priority, Class::Free) => second,
            (Order::DeficitRoundRobin, _) => self.fair.get_or_insert_default().line(user),
        };
        match end {
            End::Back => line.push_back(queued),
            End::Front => line.push_front(queued),
        }
    }

    /// What the rules of overload must know of a request later.
    #[cold]
    fn note(&mut self, queued: &mut Queued, rules: &Overload, now: Time) {
        if self.all().next().is_none() {
            self.standing = Standing::begun(now);
            self.codel.get_or_insert_default().rest();
        }
        queued.was_overloaded = self.standing.is_overloaded(rules, now);
    }

    /// Whether a request that was taken out has waited for too long.
    #[cold]
    pub(super) fn take(
        &mut self,
        queued: &Queued,
        rules: &Overload,
        now: Time,
    ) -> Result<(), Refusal> {
        let (waited, others) = (now.since(queued.came), self.all().next().is_some());
        let taken = Taken { was_overloaded: queued.was_overloaded, waited, others };
        overload::take(rules, self.codel.get_or_insert_default(), taken, now)
    }

    /// Takes out the next request; `cost` is how long one usually takes, by its slot.
    #[inline]
    pub(super) fn pop(
        &mut self,
        now: Time,
        rules: &Queue,
        cost: impl Fn(u32) -> Nanoseconds,
    ) -> Option<Queued> {
        let [first, second] = &mut self.lines;
        match rules.order {
            Order::Fifo | Order::Priority => first.pop_front().or_else(|| second.pop_front()),
            Order::DeficitRoundRobin => self.fair.as_mut()?.pop(rules, cost),
            Order::AdaptiveLifo => {
                let overload = rules.overload.as_ref();
                match overload.is_some_and(|rules| self.standing.is_overloaded(rules, now)) {
                    true => first.pop_back(),
                    false => first.pop_front(),
                }
            }
        }
    }

    /// All of them, in no particular order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Queued> {
        let fair = self.fair.iter().flat_map(|fair| fair.queues.values());
        self.lines.iter().chain(fair).flatten()
    }

    /// Takes out all of them.
    pub(super) fn drain(&mut self) -> Vec<u32> {
        let slots = self.all().map(|queued| queued.slot).collect();
        self.lines.iter_mut().for_each(VecDeque::clear);
        self.fair = None;
        slots
    }
}

impl Fair {
    /// The line of a user, in which somebody is about to wait.
    fn line(&mut self, user: u32) -> &mut VecDeque<Queued> {
        let line = self.queues.entry(user).or_default();
        if line.is_empty() {
            self.turns.join(user);
        }
        line
    }

    fn pop(&mut self, rules: &Queue, cost: impl Fn(u32) -> Nanoseconds) -> Option<Queued> {
        let Fair { turns, queues } = self;
        let first = |user: u32| queues.get(&user).and_then(|line| line.front());
        let cost = |user: u32| first(user).map_or(Nanoseconds::ZERO, |queued| cost(queued.slot));
        let user = turns.next(rules.quantum.unwrap_or(Queue::QUANTUM), cost)?;
        let line = queues.get_mut(&user)?;
        let queued = line.pop_front();
        if line.is_empty() {
            queues.remove(&user);
            turns.leave(user);
        }
        queued
    }
}
