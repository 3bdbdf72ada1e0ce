//! Pipelines in the oracle.

use std::cmp::Reverse;

use policy::{Refusal, Time};

use super::{Event, Oracle};
use crate::pipelines::Steps;
use crate::workload::Arrival;

impl Oracle<'_> {
    pub(super) fn begin_pipeline(&mut self, arrival: &Arrival) {
        if Steps::new(self.model).is_some_and(|steps| steps.begins(arrival.source)) {
            self.pipelines.insert(arrival.number, (*arrival, 1));
        }
    }

    /// A step is over: the pipeline is, too.
    pub(super) fn end_pipeline(&mut self, arrival: &Arrival, outcome: Result<Time, Refusal>) {
        if let Some((first, steps)) = self.pipelines.remove(&arrival.number) {
            self.record.finish(&first, steps, outcome);
        }
    }

    /// The answer of a request will have been sent by then.
    pub(super) fn answer_in_pipeline(&mut self, arrival: &Arrival, at: Time) {
        let steps = Steps::new(self.model);
        match steps.and_then(|steps| steps.next(arrival, at)) {
            None => self.end_pipeline(arrival, Ok(at)),
            Some(next) => {
                self.steps.insert(next.key, next);
                self.events.push(Reverse((at, Event::GoOn { key: next.key })));
            }
        }
    }

    /// The next step comes.
    pub(super) fn go_on(&mut self, key: u64) {
        let Some(arrival) = self.steps.remove(&key) else { return };
        if let Some((_, steps)) = self.pipelines.get_mut(&arrival.number) {
            *steps += 1;
        }
        self.arrive(arrival);
    }
}
