//! Rules about how long requests wait, in the live engine: what is asked before one queues, and when
//! it is taken out.

use policy::admission::{Candidate, Deadlines};
use policy::overload::Overload;
use policy::prediction::{self, Asked};
use policy::{Class, Nanoseconds, Refusal, Time};

use super::target::{Job, Jobs, Target};
use crate::books::SourceInfo;
use crate::model::Model;

/// The rules, if there are any.
#[derive(Debug)]
pub(super) struct Waits {
    /// What is asked of the predicted wait.
    pub asked: Option<Asked>,
    /// What drops requests of queues that are overloaded.
    pub overload: Option<Overload>,
    /// Whether requests are dropped that can't be answered in time any more.
    pub in_time: bool,
}

impl Waits {
    pub(super) fn new(model: &Model) -> Option<Box<Self>> {
        let asked = Asked::new(&model.admission, &model.queue);
        let overload = model.queue.overload;
        let in_time = model.admission.deadlines == Deadlines::Predict;
        let is_any = asked.is_some() || overload.is_some() || in_time;
        is_any.then(|| Box::new(Waits { asked, overload, in_time }))
    }

    /// Whether a request may queue.
    #[cold]
    pub(super) fn enqueue(
        &self,
        target: &Target,
        class: Class,
        candidate: Candidate,
        (jobs, sources): (&Jobs, &[SourceInfo]),
        now: Time,
    ) -> Result<(), Refusal> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let ahead = target.ahead(jobs, sources);
        prediction::enqueue(asked, class, candidate, &ahead, now)
    }

    /// How long it would wait, if a rule asks.
    pub(super) fn predicted(
        &self,
        target: &Target,
        class: Class,
        (jobs, sources): (&Jobs, &[SourceInfo]),
    ) -> Option<Nanoseconds> {
        self.asked.map(|asked| asked.wait(class, &target.ahead(jobs, sources)))
    }

    /// Whether a request that is taken out may still be answered in time, if a rule asks.
    pub(super) fn in_time(
        &self,
        job: Option<&Job>,
        sources: &[SourceInfo],
        now: Time,
    ) -> Result<(), Refusal> {
        let info = job.and_then(|job| sources.get(usize::from(job.arrival.source)));
        match (job, info) {
            (Some(job), Some(info)) if self.in_time => {
                prediction::in_time(info.candidate(job.arrival.at), now)
            }
            _ => Ok(()),
        }
    }
}
