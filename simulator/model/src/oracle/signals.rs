//! What balancers see of targets in the oracle, and what those that learn know.

use std::collections::BTreeMap;

use policy::peak_ewma::Average;
use policy::prequal::{Pool, Recent};
use policy::{Balance, Nanoseconds, Targets, Time};

use super::crew::Crew;
use crate::Arrival;

/// Whatever a balancer may want to know is kept, by app and target.
#[derive(Debug)]
pub(super) struct Signals {
    balance: Balance,
    averages: BTreeMap<(usize, usize), Average>,
    recents: BTreeMap<(usize, usize), Recent>,
    /// By gateway and app.
    pools: BTreeMap<(u16, usize), Pool>,
    /// Requests at its target when a request was sent there, by the key of that.
    sent: BTreeMap<u64, u32>,
}

impl Signals {
    pub(super) fn new(balance: Balance) -> Self {
        Signals {
            balance,
            averages: BTreeMap::new(),
            recents: BTreeMap::new(),
            pools: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// A request is sent to a target with so many others.
    pub(super) fn send(&mut self, key: u64, there: usize) {
        self.sent.insert(key, u32::try_from(there).unwrap_or(u32::MAX));
    }

    /// A target has ended a request.
    pub(super) fn answer(&mut self, target: (usize, usize), arrival: &Arrival, now: Time) {
        let there = self.sent.remove(&arrival.key).unwrap_or(0);
        let response = now.since(arrival.at);
        self.recents.entry(target).or_default().observe(there, response);
        if let Balance::PeakEwma(rules) = self.balance {
            self.averages.entry(target).or_default().observe(rules, response, now);
        }
    }
}

/// The targets of an app, for a gateway that asks.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub crew: &'a Crew,
    pub signals: &'a mut Signals,
    pub gateway: u16,
    pub app: usize,
    pub now: Time,
}

impl View<'_> {
    fn target(&self, place: u32) -> usize {
        self.crew.open.get(place as usize).map_or(usize::MAX, |(target, _)| *target)
    }
}

impl Targets for View<'_> {
    fn count(&self) -> u32 {
        u32::try_from(self.crew.open.len()).unwrap_or(u32::MAX)
    }

    fn load(&mut self, place: u32) -> u32 {
        u32::try_from(self.crew.load(self.target(place))).unwrap_or(u32::MAX)
    }

    fn weight(&self, place: u32) -> u32 {
        self.crew.open.get(place as usize).map_or(1, |(_, weight)| *weight)
    }

    fn name(&self, place: u32) -> u32 {
        u32::try_from(self.target(place)).unwrap_or(u32::MAX)
    }

    fn response(&mut self, place: u32) -> Nanoseconds {
        let target = (self.app, self.target(place));
        let known = match self.signals.balance {
            Balance::PeakEwma(rules) => {
                self.signals.averages.get(&target).map(|known| known.now(rules, self.now))
            }
            _ => {
                let there = self.load(place);
                self.signals.recents.get(&target).map(|known| known.response(there))
            }
        };
        known.unwrap_or(Nanoseconds::ZERO)
    }

    fn take_pool(&mut self) -> Option<(Pool, Time)> {
        let pool = self.signals.pools.entry((self.gateway, self.app)).or_default();
        Some((pool.clone(), self.now))
    }

    fn put_pool(&mut self, pool: Pool) {
        self.signals.pools.insert((self.gateway, self.app), pool);
    }
}
