//! Limits of admission that adapt, for the fast engines: each gateway's limiter, and the answers that
//! it hasn't heard of yet.
//!
//! Answers are known before they are heard, and in another order than they come in. So they are kept
//! in a heap by time and key, and limiters are told of those that are due just before anybody asks
//! for a limit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::adaptive::{Adaptive, Answer, Limiter};
use policy::{Nanoseconds, Scope, Time};

use crate::model::Model;

/// The limiters of some gateways.
#[derive(Debug)]
pub(crate) struct Limiters {
    rules: Adaptive,
    /// The first gateway.
    first: u16,
    /// One for each gateway, or one for all.
    limiters: Vec<Limiter>,
    due: BinaryHeap<Reverse<Heard>>,
}

/// An answer that a gateway will hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When.
    pub at: Time,
    /// That of the request.
    pub key: u64,
    pub gateway: u16,
    pub answer: Answer,
}

impl Ord for Heard {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.key).cmp(&(other.at, other.key))
    }
}

impl PartialOrd for Heard {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Limiters {
    /// Those of a model for some of its gateways; none if no limit adapts.
    pub(crate) fn new(model: &Model, gateways: std::ops::Range<u16>) -> Option<Box<Self>> {
        let rules = model.admission.adaptive?;
        let count = match rules.scope {
            Scope::Gateway => usize::from(gateways.end - gateways.start).max(1),
            Scope::Cluster => 1,
        };
        let limiters = vec![Limiter::new(&rules); count];
        let due = BinaryHeap::new();
        Some(Box::new(Limiters { rules, first: gateways.start, limiters, due }))
    }

    /// The limiter of a gateway, as it is just before something arrives there now.
    pub(crate) fn at(&mut self, gateway: u16, now: Time) -> Option<&mut Limiter> {
        while let Some(next) = self.due.peek().filter(|Reverse(next)| next.at <= now).copied() {
            self.due.pop();
            let Reverse(Heard { at, gateway, answer, .. }) = next;
            let place = self.place(gateway);
            if let Some(limiter) = self.limiters.get_mut(place) {
                limiter.on_answer(&self.rules, answer, at);
            }
        }
        let place = self.place(gateway);
        self.limiters.get_mut(place)
    }

    /// A gateway will hear of an answer.
    #[cold]
    pub(crate) fn expect(&mut self, heard: Heard) {
        self.due.push(Reverse(heard));
    }

    fn place(&self, gateway: u16) -> usize {
        match self.rules.scope {
            Scope::Gateway => usize::from(gateway.saturating_sub(self.first)),
            Scope::Cluster => 0,
        }
    }
}

impl Heard {
    /// The answer to a request that came then, for a client that waits for so long.
    pub(crate) fn served(arrival: &crate::Arrival, answered: Time, deadline: Nanoseconds) -> Self {
        let answer = Answer::served(answered.since(arrival.at), deadline);
        Heard { at: answered, key: arrival.key, gateway: arrival.gateway, answer }
    }

    /// A request came to nothing that had been let in.
    pub(crate) fn refused(arrival: &crate::Arrival, cause: policy::Refusal, at: Time) -> Self {
        let answer = Answer::refused(cause);
        Heard { at, key: arrival.key, gateway: arrival.gateway, answer }
    }
}
