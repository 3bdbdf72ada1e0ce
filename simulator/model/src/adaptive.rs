//! What gateways have learned, for the fast engines: limits of admission that adapt, each gateway's
//! limiters with the answers that they haven't heard of yet, and gates of apps (`gates.rs`).
//!
//! Answers are known before they are heard, and in another order than they come in. So they are kept
//! in a heap by time and key, and limiters are told of those that are due just before anybody asks
//! for a limit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::adaptive::{Adaptive, Answer, By, Limiter};
use policy::admission::Learned;
use policy::{Class, Scope, Time};

use crate::books::SourceInfo;
use crate::gates::{Gates, Waits};
use crate::model::Model;

/// All that was learned.
#[derive(Debug)]
pub(crate) struct Learners {
    limiters: Option<Box<Limiters>>,
    gates: Option<Gates>,
}

impl Learners {
    /// Those of a model; none if no rule learns.
    pub(crate) fn new(model: &Model) -> Option<Box<Self>> {
        let limiters = Limiters::new(model, 0..model.gateways.max(1));
        let gates = Gates::new(&model.admission, model.apps.len());
        let is_any = limiters.is_some() || gates.is_some();
        is_any.then(|| Box::new(Learners { limiters, gates }))
    }

    /// What is known just before a request arrives.
    #[cold]
    pub(crate) fn at(
        &mut self,
        (gateway, user, info): (u16, u32, &SourceInfo),
        now: Time,
        waits: Option<&mut Waits>,
    ) -> Learned<'_> {
        let limiters = self.limiters.as_mut();
        let gates = self.gates.as_mut();
        Learned {
            limiter: limiters
                .and_then(|limiters| limiters.at((gateway, info.cmd), now))
                .map(|limiter| (limiter, info.class)),
            gate: gates.and_then(|gates| gates.at(info.app, (info.class, user), now, waits)),
        }
    }

    /// Those who want to hear of answers.
    pub(crate) const fn limiters(&self) -> Option<&Limiters> {
        match &self.limiters {
            Some(limiters) => Some(limiters),
            None => None,
        }
    }

    /// A gateway will hear of an answer.
    pub(crate) fn expect(&mut self, heard: Heard) {
        if let Some(limiters) = &mut self.limiters {
            limiters.expect(heard);
        }
    }
}

/// The limiters of some gateways.
#[derive(Debug)]
pub(crate) struct Limiters {
    rules: Adaptive,
    /// The first gateway.
    first: u16,
    /// How many each gateway has: one, or one for each command.
    each: usize,
    /// Those of one gateway after the other, or those of all.
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
    pub cmd: u32,
    pub class: Class,
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
        let each = match rules.by {
            By::All => 1,
            By::Cmd => model.cmds.len().max(1),
        };
        let limiters = vec![Limiter::new(&rules); count * each];
        let due = BinaryHeap::new();
        Some(Box::new(Limiters { rules, first: gateways.start, each, limiters, due }))
    }

    /// The limiter of a gateway for a command, as it is just before something arrives there now.
    pub(crate) fn at(&mut self, (gateway, cmd): (u16, u32), now: Time) -> Option<&mut Limiter> {
        while let Some(next) = self.due.peek().filter(|Reverse(next)| next.at <= now).copied() {
            self.due.pop();
            let Reverse(Heard { at, gateway, cmd, class, answer, .. }) = next;
            let place = self.place(gateway, cmd);
            if let Some(limiter) = self.limiters.get_mut(place) {
                limiter.on_answer(&self.rules, class, answer, at);
            }
        }
        let place = self.place(gateway, cmd);
        self.limiters.get_mut(place)
    }

    /// A gateway will hear of an answer.
    #[cold]
    pub(crate) fn expect(&mut self, heard: Heard) {
        self.due.push(Reverse(heard));
    }

    fn place(&self, gateway: u16, cmd: u32) -> usize {
        let gateway = match self.rules.scope {
            Scope::Gateway => usize::from(gateway.saturating_sub(self.first)),
            Scope::Cluster => 0,
        };
        let cmd = match self.rules.by {
            By::All => 0,
            By::Cmd => cmd as usize,
        };
        gateway * self.each + cmd
    }
}

impl Heard {
    /// The answer to a request that came then, for a client that waits for so long.
    pub(crate) fn served(arrival: &crate::Arrival, answered: Time, info: &SourceInfo) -> Self {
        let answer = Answer::served(answered.since(arrival.at), info.deadline);
        Heard { at: answered, ..Heard::of(arrival, info, answer) }
    }

    /// A request came to nothing that had been let in.
    pub(crate) fn refused(
        arrival: &crate::Arrival,
        cause: policy::Refusal,
        at: Time,
        info: &SourceInfo,
    ) -> Self {
        Heard { at, ..Heard::of(arrival, info, Answer::refused(cause)) }
    }

    const fn of(arrival: &crate::Arrival, info: &SourceInfo, answer: Answer) -> Self {
        let (at, key, gateway) = (arrival.at, arrival.key, arrival.gateway);
        Heard { at, key, gateway, cmd: info.cmd, class: info.class, answer }
    }
}
