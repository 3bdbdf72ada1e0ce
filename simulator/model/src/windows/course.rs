//! The course of a lane's requests.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::{Nanoseconds, Time};

use super::{Key, Request, Witness};
use crate::model::{Model, Network};
use crate::outcome::{Instances, Outcome, Record};
use crate::stages::Path;
use crate::timeline::{Timeline, Trip};

/// The course of a run, as far as a lane sees it: of its requests, and in the first lane also of
/// instances and decisions.
///
/// Requests wait from when they come to their target. What is on its way there or back neither waits
/// nor is worked on.
#[derive(Debug)]
pub struct Course {
    timeline: Timeline,
    delay: Nanoseconds,
}

impl Course {
    /// An empty one.
    #[must_use]
    pub fn new(model: &Model, network: Network) -> Self {
        Course { timeline: Timeline::new(model), delay: network.delay }
    }

    /// What was recorded; those of other lanes are to be added to that of the first one.
    #[must_use]
    pub fn into_timeline(self) -> Timeline {
        self.timeline
    }
}

impl Witness for Course {
    #[inline]
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        let (_, source) = Key::parts(request.key);
        let at = request.time();
        let path = path.copied().unwrap_or_default().behind(self.delay);
        let trip = Trip { at, joined: at + path.before(), back: path.respond };
        self.timeline.add(source, trip, outcome);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        Record::change(&mut self.timeline, at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        Record::decide(&mut self.timeline, at, app, seen, action);
    }
}

/// Both are told.
impl<A: Witness, B: Witness> Witness for (A, B) {
    #[inline(always)]
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome) {
        self.0.outcome(request, path, outcome);
        self.1.outcome(request, path, outcome);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        self.0.change(at, app, instances);
        self.1.change(at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        self.0.decide(at, app, seen, action);
        self.1.decide(at, app, seen, action);
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        self.0.unplaced(at, app, reasons);
        self.1.unplaced(at, app, reasons);
    }
}
