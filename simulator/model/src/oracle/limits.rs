//! Limits that adapt, in the oracle: everything that gateways hear is written down, and thought about
//! in the order of time and key when a limit is asked for.

use policy::adaptive::Answer;
use policy::{Nanoseconds, Refusal, Scope, Time};

use super::Oracle;
use crate::outcome::Record;
use crate::workload::Arrival;

impl<R: Record> Oracle<'_, R> {
    /// A gateway hears at this time that a request was answered.
    pub(super) fn hear_answer(&mut self, arrival: &Arrival, at: Time) {
        let round_trip = at.since(arrival.at);
        let deadline = self.kind(arrival).and_then(|(cmd, _)| self.model.cmds.get(cmd)?.deadline);
        let is_late = deadline.is_some_and(|deadline| round_trip > deadline);
        let answer = if is_late { Answer::Late } else { Answer::Served };
        self.heard.insert((at, arrival.key), (arrival.gateway, answer(round_trip)));
    }

    /// A gateway hears now that a request came to nothing which it had let in.
    pub(super) fn hear_refusal(&mut self, arrival: &Arrival, cause: Refusal) {
        let says_much = matches!(cause, Refusal::QueueFull | Refusal::LongWait | Refusal::Shed);
        let answer = if says_much { Answer::Refused } else { Answer::Lost };
        self.heard.insert((self.now, arrival.key), (arrival.gateway, answer));
    }

    /// Limits follow from all that was heard until now.
    pub(super) fn think(&mut self) {
        let later = self.heard.split_off(&(self.now + Nanoseconds(1), 0));
        let heard = std::mem::replace(&mut self.heard, later);
        let Some(rules) = self.model.admission.adaptive else { return };
        for ((at, _), (gateway, answer)) in heard {
            let place = if rules.scope == Scope::Cluster { 0 } else { gateway };
            if let Some(limiter) = self.limiters.get_mut(&place) {
                limiter.on_answer(&rules, answer, at);
            }
        }
    }
}
