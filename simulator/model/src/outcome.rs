//! What becomes of a request, and who is told.

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

/// Who is told of outcomes. Engines tell them in different orders, each request once.
pub trait Record {
    /// Takes in the outcome of a request.
    fn record(&mut self, arrival: &Arrival, outcome: Outcome);
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
