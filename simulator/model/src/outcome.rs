//! What becomes of a request, and who is told.

use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};
use policy::{Refusal, Time};

use crate::Arrival;

/// A request that was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The target that took it, counted within its app.
    pub target: u32,
    /// When the work began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
}

/// What became of a request.
pub type Outcome = Result<Served, Refusal>;

/// Instances of an app at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instances {
    /// They work or wait for work.
    pub ready: u32,
    /// They were asked for and don't work yet.
    pub starting: u32,
    /// They end what they have and take nothing new.
    pub leaving: u32,
}

/// Who is told of a run. Engines tell outcomes in different orders, each request once; changes of
/// instances and decisions come in the order of time.
pub trait Record {
    /// Takes in the outcome of a request.
    fn record(&mut self, arrival: &Arrival, outcome: Outcome);

    /// The instances of an app have changed.
    fn change(&mut self, _at: Time, _app: usize, _instances: Instances) {}

    /// The scaling rule has decided for an app. Called for every tick, also if nothing changes.
    fn decide(&mut self, _at: Time, _app: usize, _seen: Observation, _action: Action) {}

    /// No machine could take an instance that the scaling rule has asked for.
    fn unplaced(&mut self, _at: Time, _app: usize, _reasons: Unplaced) {}

    /// The longest that all queues of an app together have been, just after an arrival. Told at
    /// the end, and only of runs whose queues are kept as such ([`crate::Model::is_dynamic`]).
    fn peak_queue(&mut self, _app: usize, _requests: u64) {}
}

/// Outcomes in the order of arrival.
impl Record for Vec<Option<Outcome>> {
    fn record(&mut self, arrival: &Arrival, outcome: Outcome) {
        let place = usize::try_from(arrival.number).unwrap_or(usize::MAX);
        if self.len() <= place {
            self.resize(place + 1, None);
        }
        if let Some(entry) = self.get_mut(place) {
            *entry = Some(outcome);
        }
    }
}
