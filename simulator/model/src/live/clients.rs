//! Clients that try again, in the live engine: what they do at known times, and which requests are
//! still open.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use policy::{Nanoseconds, Time, Words};

use super::Live;
use crate::books::SourceInfo;
use crate::model::Model;
use crate::outcome::Record;
use crate::retries::{self, Budget, Retries, attempt_of};
use crate::workload::Arrival;

/// What a client does, in the order at one instant: new requests come between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    GivesUp,
    TriesAgain,
    /// Nobody's: the next step of a pipeline comes.
    GoesOn,
}

/// A request that its client has no answer to.
#[derive(Debug)]
struct Call {
    first: Arrival,
    /// The present attempt, or the next one.
    attempt: u32,
}

/// All clients of sources with retries.
#[derive(Debug)]
pub(super) struct Clients {
    words: Words,
    /// By source.
    rules: Vec<Option<Retries>>,
    budgets: Vec<Budget>,
    calls: BTreeMap<u64, Call>,
    deeds: BinaryHeap<Reverse<(Time, Deed, u64, u32)>>,
}

impl Clients {
    /// Those of a model; none if nobody tries again.
    pub(super) fn new(model: &Model) -> Option<Self> {
        model.has_retries().then(|| Clients {
            words: retries::words(model.seed),
            rules: model.sources.iter().map(|source| source.retries).collect(),
            budgets: vec![Budget::default(); model.sources.len()],
            calls: BTreeMap::new(),
            deeds: BinaryHeap::new(),
        })
    }

    /// When any of them does something next.
    pub(super) fn next(&self) -> Option<Time> {
        self.deeds.peek().map(|Reverse((at, ..))| *at)
    }

    /// A request comes for the first time.
    fn open(&mut self, arrival: &Arrival) {
        let source = usize::from(arrival.source);
        let tries_again = self.rules.get(source).is_some_and(Option::is_some);
        if let Some(budget) = self.budgets.get_mut(source).filter(|_| tries_again) {
            budget.request(arrival.at);
            self.calls.insert(arrival.number, Call { first: *arrival, attempt: 0 });
        }
    }

    /// Whether a client waits for this attempt.
    fn waits_for(&self, arrival: &Arrival) -> bool {
        let call = self.calls.get(&arrival.number);
        call.is_some_and(|call| call.attempt == attempt_of(arrival.key))
    }

    /// An attempt was let in: its client waits until the deadline.
    fn wait(&mut self, arrival: &Arrival, deadline: Nanoseconds) {
        if deadline < Nanoseconds(u64::MAX) && self.waits_for(arrival) {
            self.give_up(arrival, arrival.at + deadline);
        }
    }

    /// The client of an attempt will hear at this time that it came to nothing.
    pub(super) fn give_up(&mut self, arrival: &Arrival, at: Time) {
        let attempt = attempt_of(arrival.key);
        self.deeds.push(Reverse((at, Deed::GivesUp, arrival.number, attempt)));
    }

    /// The answer to an attempt has been sent: the first one and the number of attempts, if its
    /// client still waits.
    pub(super) fn answer(
        &mut self,
        arrival: &Arrival,
        answered: Time,
        deadline: Nanoseconds,
    ) -> Option<(Arrival, u32)> {
        if answered.since(arrival.at) > deadline || !self.waits_for(arrival) {
            return None;
        }
        let call = self.calls.remove(&arrival.number)?;
        Some((call.first, call.attempt + 1))
    }

    /// An attempt came to nothing: its client tries again, or else is done after so many attempts.
    fn react(&mut self, number: u64, attempt: u32, now: Time) -> Option<(Arrival, u32)> {
        let call = self.calls.get_mut(&number).filter(|call| call.attempt == attempt)?;
        let source = usize::from(call.first.source);
        let rules = self.rules.get(source).copied().flatten()?;
        let budget = self.budgets.get_mut(source)?;
        if attempt + 1 < rules.attempts && budget.allows(rules.budget, now) {
            let at = rules.again(self.words, call.first.key, attempt, now);
            call.attempt = attempt + 1;
            self.deeds.push(Reverse((at, Deed::TriesAgain, number, attempt + 1)));
            return None;
        }
        let first = call.first;
        self.calls.remove(&number);
        Some((first, attempt + 1))
    }
}

impl Live<'_> {
    /// Everything happens that is due by now, before new requests come.
    #[inline]
    pub(super) fn advance(&mut self, now: Time) {
        if self.clients.is_some() || self.stops.is_some() {
            self.act_until(now, Deed::GivesUp);
        }
        self.until(now);
    }

    /// The same, and also what comes after new requests.
    pub(super) fn advance_through(&mut self, now: Time) {
        self.act_until(now, Deed::GoesOn);
        self.until(now);
    }

    /// Clients act until now: at that instant all that isn't after the deed `last`.
    fn act_until(&mut self, now: Time, last: Deed) {
        loop {
            let deed = self.clients.as_ref().and_then(|clients| clients.deeds.peek().copied());
            let step = self.next_step().map(|at| (at, Deed::GoesOn, 0, 0));
            let next = deed.map(|Reverse(deed)| deed).into_iter().chain(step).min();
            let next = next.filter(|(at, deed, ..)| (*at, *deed) <= (now, last));
            let control = self.controls.peek().map(|Reverse((at, _))| *at);
            let control = control.into_iter().chain(self.next_stop()).min();
            let control = control.filter(|control| *control <= now);
            match (next, control) {
                // What is planned comes first at an instant, and may be what clients hear of.
                (Some((at, ..)), Some(control)) if control <= at => self.stop_at(control),
                (None, Some(control)) => self.stop_at(control),
                (Some((at, deed, number, attempt)), _) => {
                    if let Some(clients) = &mut self.clients
                        && deed != Deed::GoesOn
                    {
                        clients.deeds.pop();
                    }
                    self.act(at, deed, number, attempt);
                }
                (None, None) => return,
            }
        }
    }

    fn act(&mut self, now: Time, deed: Deed, number: u64, attempt: u32) {
        self.until(now);
        match deed {
            Deed::GivesUp => self.react(number, attempt, now),
            Deed::GoesOn => self.go_on(),
            Deed::TriesAgain => {
                let clients = self.clients.as_ref();
                let Some(call) = clients.and_then(|clients| clients.calls.get(&number)) else {
                    return;
                };
                let arrival = retries::attempt(self.model, &call.first, attempt, now);
                let info = self.sources.get(usize::from(arrival.source)).copied();
                if let Some(info) = info {
                    self.offer(&arrival, info);
                }
            }
        }
    }

    fn react(&mut self, number: u64, attempt: u32, now: Time) {
        let clients = self.clients.as_mut();
        let done = clients.and_then(|clients| clients.react(number, attempt, now));
        if let Some((first, attempts)) = done {
            self.record.settle(&first, attempts, None);
        }
    }

    /// A new request comes.
    #[inline]
    pub(super) fn open(&mut self, arrival: &Arrival, info: SourceInfo) {
        if let Some(clients) = &mut self.clients {
            clients.open(arrival);
        }
        if let Some(pipes) = &mut self.pipes {
            pipes.open(arrival);
        }
        self.offer(arrival, info);
    }

    /// An attempt comes.
    #[inline]
    pub(super) fn offer(&mut self, arrival: &Arrival, info: SourceInfo) {
        if self.record.looks() && self.record.wants(arrival.number) {
            let look = self.look(arrival, info);
            self.record.look(arrival, look);
        }
        let result = self.arrive(arrival, info);
        if let Some(cluster) = &mut self.cluster {
            cluster.count(info.app as usize, result);
        }
        if let Err(cause) = result {
            self.record.record(arrival, Err(cause));
            if self.pipes.is_some() {
                self.end_pipeline(arrival, cause);
            }
        }
        let Some(clients) = &mut self.clients else { return };
        match result {
            Ok(()) => clients.wait(arrival, info.deadline),
            Err(_) => self.react(arrival.number, attempt_of(arrival.key), arrival.at),
        }
    }
}
