//! Who watches a run from outside: is told how far it is, and may stop it. The clock, the terminal
//! and the signals are those of the caller.

use policy::Time;

use crate::{Arrival, Block, Outcome, Record};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The simulated time.
    pub at: Time,
    /// How many requests have arrived.
    pub requests: u64,
}

/// Is told from time to time how far a run is, and answers whether it goes on.
pub type Watch<'a> = dyn FnMut(Progress) -> bool + 'a;

/// Asks a [`Watch`] now and then.
pub(crate) struct Watched<'a, 'watch> {
    watch: &'a mut Watch<'watch>,
    left: u32,
    stopped: Option<Time>,
}

/// Engines ask before up to 256 arrivals, so the watch is asked before up to 65,536: some
/// milliseconds.
const QUESTIONS: u32 = 256;

impl<'a, 'watch> Watched<'a, 'watch> {
    pub(crate) fn new(watch: &'a mut Watch<'watch>) -> Self {
        Watched { watch, left: QUESTIONS, stopped: None }
    }

    /// When the watch stopped the run, if it did.
    pub(crate) fn stopped(&self) -> Option<Time> {
        self.stopped
    }

    #[cold]
    fn ask(&mut self, at: Time, requests: u64) -> bool {
        self.left = QUESTIONS;
        let goes_on = (self.watch)(Progress { at, requests });
        if !goes_on {
            self.stopped = Some(at);
        }
        goes_on
    }
}

impl Record for Watched<'_, '_> {
    #[inline(always)]
    fn record(&mut self, _arrival: &Arrival, _outcome: Outcome) {}

    #[inline(always)]
    fn record_block(&mut self, _block: &Block<'_>) {}

    #[inline(always)]
    fn goes_on(&mut self, at: Time, number: u64) -> bool {
        self.left -= 1;
        self.left > 0 || self.ask(at, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watch_is_asked_now_and_then_and_can_stop() {
        let mut asked = Vec::new();
        let mut watch = |progress: Progress| {
            asked.push(progress.requests);
            asked.len() < 3
        };
        let mut watched = Watched::new(&mut watch);
        let stopped = (0..10_000).find(|number| !watched.goes_on(Time(number * 10), *number));
        assert_eq!(stopped, Some(767));
        assert_eq!(watched.stopped(), Some(Time(7670)));
        assert_eq!(asked, [255, 511, 767]);
    }

    /// What arrived before a run was stopped became the same as if it had not been stopped.
    #[test]
    fn a_stopped_run_is_the_beginning_of_the_whole() {
        let model = crate::timeline::tests::model(100_000);
        let mut whole: Vec<Option<Outcome>> = Vec::new();
        crate::engine::run::<&mut dyn Record>(&model, &mut (&mut whole as _));
        let mut watch = |progress: Progress| progress.requests < 10_000;
        let mut stopped = (Vec::new(), Watched::new(&mut watch));
        crate::engine::run::<&mut dyn Record>(&model, &mut (&mut stopped as _));
        let Some(at) = stopped.1.stopped() else { panic!("not stopped") };
        assert!((10_000..whole.len()).contains(&stopped.0.len()), "{}", stopped.0.len());
        assert_eq!(stopped.0[..], whole[..stopped.0.len()]);
        let mut watch = |progress: Progress| progress.requests < 10_000;
        let (report, timeline) =
            crate::engine::watched_timeline(&model, crate::Workload::new(&model), &mut watch);
        assert_eq!(report.stopped(), Some(at));
        assert_eq!(report.total(None).arrivals(), stopped.0.len() as u64);
        assert!(timeline.bounds().all(|(_, end)| end <= at));
    }
}
