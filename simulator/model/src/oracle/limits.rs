//! Limits that adapt, in the oracle: everything that gateways hear is written down, and thought about
//! in the order of time and key when a limit is asked for.

use policy::adaptive::{Adaptive, Answer, By};
use policy::dagor::{Begun, Gate};
use policy::{Nanoseconds, Refusal, Scope, Time};

use super::Oracle;
use crate::workload::Arrival;

/// Whose limiter it is that counts requests of a command at a gateway.
pub(super) fn place(rules: &Adaptive, gateway: u16, cmd: usize) -> (u16, usize) {
    let gateway = if rules.scope == Scope::Cluster { 0 } else { gateway };
    (gateway, if rules.by == By::Cmd { cmd + 1 } else { 0 })
}

impl Oracle<'_> {
    /// A gateway hears at this time that a request was answered.
    pub(super) fn hear_answer(&mut self, arrival: &Arrival, at: Time) {
        let round_trip = at.since(arrival.at);
        let deadline = self.kind(arrival).and_then(|(cmd, _)| self.model.cmds.get(cmd)?.deadline);
        let is_late = deadline.is_some_and(|deadline| round_trip > deadline);
        let answer = if is_late { Answer::Late } else { Answer::Served };
        self.hear(arrival, at, answer(round_trip));
    }

    /// A gateway hears now that a request came to nothing which it had let in.
    pub(super) fn hear_refusal(&mut self, arrival: &Arrival, cause: Refusal) {
        let says_much = matches!(
            cause,
            Refusal::QueueFull | Refusal::LongWait | Refusal::Shed | Refusal::Deadline
        );
        let answer = if says_much { Answer::Refused } else { Answer::Lost };
        self.hear(arrival, self.now, answer);
    }

    fn hear(&mut self, arrival: &Arrival, at: Time, answer: Answer) {
        let (Some(rules), Some((cmd, class))) = (self.model.admission.adaptive, self.kind(arrival))
        else {
            return;
        };
        let place = place(&rules, arrival.gateway, cmd);
        self.heard.insert((at, arrival.key), (place, class, answer));
    }

    /// Limits follow from all that was heard until now.
    pub(super) fn think(&mut self) {
        let later = self.heard.split_off(&(self.now + Nanoseconds(1), 0));
        let heard = std::mem::replace(&mut self.heard, later);
        let Some(rules) = self.model.admission.adaptive else { return };
        for ((at, _), (place, class, answer)) in heard {
            if let Some(limiter) = self.limiters.get_mut(&place) {
                limiter.on_answer(&rules, class, answer, at);
            }
        }
    }

    /// The gate of an app knows what has begun until now.
    pub(super) fn pass_gate(&mut self, app: usize) {
        let Some(rules) = self.model.admission.overload else { return };
        let fresh = || (Gate::new(&rules), Begun::default());
        let (gate, begun) = self.gates.entry(app).or_insert_with(fresh);
        gate.pass(&rules, begun, self.now);
    }

    /// Work begins on a request that has waited for so long.
    pub(super) fn count_wait(&mut self, app: usize, arrival: &Arrival, waited: Nanoseconds) {
        let expected = self.expected(arrival);
        let Some(rules) = self.model.admission.overload else { return };
        let fresh = || (Gate::new(&rules), Begun::default());
        self.gates.entry(app).or_insert_with(fresh).1.count(waited, expected);
    }
}
