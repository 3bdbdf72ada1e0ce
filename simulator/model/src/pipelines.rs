//! Commands in a row: the answer of one is the source of the next. When it has been sent, a request
//! of the next command comes to the same gateway, for the same user; it passes admission, balance and
//! queue like any other, and its source is as large as the answer, if both commands say what they
//! send and fetch. A step that is refused or fails ends the pipeline with its cause. Its client waits
//! until the last answer: a response of the pipeline is from the first arrival until then.
//!
//! Each step is a request of a source of its own ([`Followed::by`]), of which nothing arrives from
//! elsewhere, so that whatever is told of requests is told of steps, too.

use std::fmt;

use policy::{Nanoseconds, Time};

use crate::model::{Arrivals, Model};
use crate::workload::{self, Arrival, StreamWords};

/// The answers to requests of a source cause requests of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Whose answers, as a place in [`Model::sources`].
    pub source: usize,
    /// What they cause: a later place.
    pub by: usize,
}

/// Why a model can't have its pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Sources aren't in the order of their steps, or follow two, or are followed by two.
    Order,
    /// Steps would come from elsewhere, too, or are of other users.
    Source,
    /// Clients try again: a step would have to know which attempt it belongs to.
    Retries,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Order => "each step follows one other, and is followed by one at most",
            Unfit::Source => "steps come from the step before only",
            Unfit::Retries => "clients of a pipeline can't have `retries` yet",
        })
    }
}

/// Whether a model can be run with its pipelines; one without any can.
///
/// # Errors
/// The first one that it can't be run with, and why.
pub fn check(model: &Model) -> Result<(), (Followed, Unfit)> {
    let all = &model.dynamics.pipelines;
    for (place, followed) in all.iter().enumerate() {
        let wrong = |reason| Err((*followed, reason));
        let (Some(source), Some(by)) =
            (model.sources.get(followed.source), model.sources.get(followed.by))
        else {
            return wrong(Unfit::Order);
        };
        let is_twice =
            |other: &Followed| other.source == followed.source || other.by == followed.by;
        if followed.source >= followed.by || all.iter().take(place).any(is_twice) {
            return wrong(Unfit::Order);
        }
        if !matches!(by.arrivals, Arrivals::Recorded { .. }) || source.tenants != by.tenants {
            return wrong(Unfit::Source);
        }
        if source.retries.or(by.retries).is_some() {
            return wrong(Unfit::Retries);
        }
    }
    Ok(())
}

/// What follows what, by source.
#[derive(Debug, Clone)]
pub(crate) struct Steps<'model> {
    model: &'model Model,
    all: &'model [Followed],
}

impl<'model> Steps<'model> {
    /// Those of a model; none if it has no pipelines.
    pub(crate) fn new(model: &'model Model) -> Option<Self> {
        let all = model.pipelines();
        (!all.is_empty()).then_some(Steps { model, all })
    }

    /// The source whose requests follow those of this one.
    fn following(&self, source: u16) -> Option<usize> {
        let mut all = self.all.iter();
        all.find(|followed| followed.source == usize::from(source)).map(|followed| followed.by)
    }

    /// Whether requests of a source are the first ones of pipelines.
    pub(crate) fn begins(&self, source: u16) -> bool {
        let is_step = |followed: &Followed| followed.by == usize::from(source);
        self.following(source).is_some() && !self.all.iter().any(is_step)
    }

    /// The request that follows another one, whose answer has been sent by then.
    pub(crate) fn next(&self, before: &Arrival, at: Time) -> Option<Arrival> {
        let place = self.following(before.source)?;
        let source = u16::try_from(place).ok()?;
        let cmd = self.model.cmds.get(self.model.sources.get(place)?.cmd)?;
        let number = workload::number_of(before.key);
        let word = StreamWords::new(self.model.seed, source).service.at(number);
        let service = Nanoseconds(cmd.service.sample(word).0.max(1));
        Some(Arrival { key: workload::key(source, number), at, service, source, ..*before })
    }
}
