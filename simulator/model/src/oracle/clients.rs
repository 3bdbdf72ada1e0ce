//! Clients that try again, in the oracle.

use std::cmp::Reverse;

use policy::{Nanoseconds, Time};

use super::{Event, Oracle};
use crate::retries::{self, BUDGET_SPAN, Retries, attempt_of};
use crate::workload::Arrival;

impl Oracle<'_> {
    fn retries(&self, source: u16) -> Option<Retries> {
        self.model.sources.get(usize::from(source))?.retries
    }

    /// How long the client of a request waits.
    fn patience(&self, arrival: &Arrival) -> Option<Nanoseconds> {
        let (cmd, _) = self.kind(arrival)?;
        self.model.cmds.get(cmd)?.deadline
    }

    /// A request is sent for the first time.
    pub(super) fn open(&mut self, arrival: &Arrival) {
        if self.retries(arrival.source).is_some() {
            self.calls.insert(arrival.number, (*arrival, 0));
            self.sent.push((arrival.source, self.now, false));
        }
    }

    /// The client of an attempt that was let in waits for the answer.
    pub(super) fn wait_for(&mut self, arrival: &Arrival) {
        if let Some(patience) = self.patience(arrival) {
            self.tell_client(arrival, self.now + patience);
        }
    }

    /// The client of an attempt will learn that it came to nothing, if it still waits then.
    pub(super) fn tell_client(&mut self, arrival: &Arrival, at: Time) {
        if self.retries(arrival.source).is_some() {
            let (number, attempt) = (arrival.number, attempt_of(arrival.key));
            self.events.push(Reverse((at, Event::Unanswered { number, attempt })));
        }
    }

    /// The answer to an attempt will have been sent at this time.
    pub(super) fn answer(&mut self, arrival: &Arrival, at: Time) {
        self.answer_in_pipeline(arrival, at);
        let in_time = self.patience(arrival).is_none_or(|patience| at <= arrival.at + patience);
        let Some((first, attempt)) = self.calls.get(&arrival.number).copied() else { return };
        if in_time && attempt == attempt_of(arrival.key) {
            self.calls.remove(&arrival.number);
            self.record.settle(&first, attempt + 1, Some(at));
        }
    }

    pub(super) fn unanswered(&mut self, number: u64, attempt: u32) {
        let Some((first, present)) = self.calls.get(&number).copied() else { return };
        let Some(rules) = self.retries(first.source) else { return };
        if present != attempt {
            return;
        }
        if attempt + 1 == rules.attempts || !self.may_retry(first.source, rules) {
            self.calls.remove(&number);
            return self.record.settle(&first, attempt + 1, None);
        }
        self.sent.push((first.source, self.now, true));
        self.calls.insert(number, (first, attempt + 1));
        let at = rules.again(retries::words(self.model.seed), first.key, attempt, self.now);
        self.events.push(Reverse((at, Event::Again { number, attempt: attempt + 1 })));
    }

    /// Whether one more retry of a source is within its budget.
    fn may_retry(&self, source: u16, rules: Retries) -> bool {
        let span = |at: Time| at.0 / BUDGET_SPAN.0;
        let lately = |wanted: bool| {
            let sent = self.sent.iter().filter(|(from, ..)| *from == source);
            sent.filter(|(_, at, retry)| *retry == wanted && span(*at) + 1 >= span(self.now))
                .count()
        };
        rules.budget.is_none_or(|part| (lately(true) + 1) * 1000 <= lately(false) * part as usize)
    }

    pub(super) fn try_again(&mut self, number: u64, attempt: u32) {
        if let Some((first, _)) = self.calls.get(&number) {
            let arrival = retries::attempt(self.model, first, attempt, self.now);
            self.arrive(arrival);
        }
    }
}
