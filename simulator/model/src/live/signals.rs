//! What balancers that learn know of targets, in the live engine.

use policy::peak_ewma::{Average, PeakEwma};
use policy::prequal::{Pool, Recent};
use policy::{Balance, Nanoseconds, Time};

use super::target::Job;
use crate::model::Model;

/// What was learned from answers.
#[derive(Debug)]
pub(super) struct Signals {
    rules: Rules,
    /// By the place of the target.
    averages: Vec<Average>,
    recents: Vec<Recent>,
    /// For each gateway, of each app.
    pools: Vec<Pool>,
}

#[derive(Debug, Clone, Copy)]
enum Rules {
    PeakEwma(PeakEwma),
    Prequal,
}

impl Signals {
    /// Those of a model; none if its balancer doesn't learn.
    pub(super) fn new(model: &Model) -> Option<Box<Self>> {
        let rules = match model.balance {
            Balance::PeakEwma(rules) => Rules::PeakEwma(rules),
            Balance::Prequal(_) => Rules::Prequal,
            Balance::Random
            | Balance::RoundRobin
            | Balance::LeastLoaded
            | Balance::PowerOfChoices(_)
            | Balance::JoinShortestQueue => return None,
        };
        let pools = usize::from(model.gateways.max(1)) * model.apps.len();
        Some(Box::new(Signals {
            rules,
            averages: Vec::new(),
            recents: Vec::new(),
            pools: vec![Pool::default(); pools],
        }))
    }

    /// A target has ended a request.
    #[cold]
    pub(super) fn answer(&mut self, place: u32, job: &Job, end: Time) {
        let response = end.since(job.arrival.at);
        match self.rules {
            Rules::PeakEwma(rules) => {
                entry(&mut self.averages, place).observe(rules, response, end);
            }
            Rules::Prequal => entry(&mut self.recents, place).observe(job.in_flight, response),
        }
    }

    /// How long a target takes with so many requests.
    pub(super) fn response(&self, place: u32, requests: u32, now: Time) -> Nanoseconds {
        let place = place as usize;
        let known = match self.rules {
            Rules::PeakEwma(rules) => self.averages.get(place).map(|known| known.now(rules, now)),
            Rules::Prequal => self.recents.get(place).map(|known| known.response(requests)),
        };
        known.unwrap_or(Nanoseconds::ZERO)
    }

    pub(super) fn pool(&mut self, number: usize) -> Option<&mut Pool> {
        self.pools.get_mut(number)
    }
}

/// The entry of a target, with all before it if they aren't there.
fn entry<T: Default + Clone>(entries: &mut Vec<T>, place: u32) -> &mut T {
    let place = place as usize;
    if entries.len() <= place {
        entries.resize(place + 1, T::default());
    }
    #[expect(clippy::indexing_slicing, reason = "made just now")]
    &mut entries[place]
}
