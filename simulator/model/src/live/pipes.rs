//! Pipelines in the live engine: which are open, and when their next steps come.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use policy::{Refusal, Time};

use super::Live;
use crate::model::Model;
use crate::pipelines::Steps;
use crate::workload::Arrival;

/// All pipelines.
#[derive(Debug)]
pub(super) struct Pipes<'model> {
    steps: Steps<'model>,
    /// By number: the first step, and how many there have been.
    open: BTreeMap<u64, (Arrival, u32)>,
    /// Steps that come then, by their keys.
    due: BinaryHeap<Reverse<(Time, u64)>>,
    coming: BTreeMap<u64, Arrival>,
}

/// A pipeline that is over: its first step, how many there were, and how it ended.
pub(super) type Over = (Arrival, u32, Result<Time, Refusal>);

impl<'model> Pipes<'model> {
    /// Those of a model; none if it has none.
    pub(super) fn new(model: &'model Model) -> Option<Box<Self>> {
        Some(Box::new(Pipes {
            steps: Steps::new(model)?,
            open: BTreeMap::new(),
            due: BinaryHeap::new(),
            coming: BTreeMap::new(),
        }))
    }

    /// A request comes for the first time.
    pub(super) fn open(&mut self, arrival: &Arrival) {
        if self.steps.begins(arrival.source) {
            self.open.insert(arrival.number, (*arrival, 1));
        }
    }

    /// When the next step comes.
    pub(super) fn next(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The answer to a request will have been sent by then.
    pub(super) fn answered(&mut self, arrival: &Arrival, at: Time) -> Option<Over> {
        let Some(next) = self.steps.next(arrival, at) else {
            let (first, steps) = self.open.remove(&arrival.number)?;
            return Some((first, steps, Ok(at)));
        };
        let (_, steps) = self.open.get_mut(&arrival.number)?;
        *steps += 1;
        self.due.push(Reverse((at, next.key)));
        self.coming.insert(next.key, next);
        None
    }

    /// A request came to nothing.
    pub(super) fn refused(&mut self, arrival: &Arrival, cause: Refusal) -> Option<Over> {
        let (first, steps) = self.open.remove(&arrival.number)?;
        Some((first, steps, Err(cause)))
    }

    fn take(&mut self) -> Option<Arrival> {
        let Reverse((_, key)) = self.due.pop()?;
        self.coming.remove(&key)
    }
}

impl Live<'_> {
    /// When the next step of a pipeline comes.
    pub(super) fn next_step(&self) -> Option<Time> {
        self.pipes.as_ref().and_then(|pipes| pipes.next())
    }

    /// The next step of a pipeline comes.
    pub(super) fn go_on(&mut self) {
        let Some(arrival) = self.pipes.as_mut().and_then(|pipes| pipes.take()) else { return };
        if let Some(info) = self.sources.get(usize::from(arrival.source)).copied() {
            self.offer(&arrival, info);
        }
    }

    /// A request comes to nothing before it was let in.
    pub(super) fn end_pipeline(&mut self, arrival: &Arrival, cause: Refusal) {
        let over = self.pipes.as_mut().and_then(|pipes| pipes.refused(arrival, cause));
        if let Some((first, steps, outcome)) = over {
            self.record.finish(&first, steps, outcome);
        }
    }
}
