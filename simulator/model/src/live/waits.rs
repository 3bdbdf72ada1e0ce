//! Rules about how long requests wait, in the live engine: what is asked before one queues, and when
//! it is taken out.

use policy::admission::Candidate;
use policy::prediction;
use policy::{Class, Nanoseconds, Refusal, Time};

use super::target::{Job, Jobs, Target};
use crate::books::SourceInfo;
use crate::gates::Waits;

impl Waits {
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
