//! A run in windows for somebody who looks at single requests: one lane, told like live gateways.

use std::collections::BTreeMap;

use policy::Time;
use policy::placement::Unplaced;
use policy::scaling::{Action, Observation};

use super::{Key, Lane, Own, Request, Witness};
use crate::fed::Feed;
use crate::look::Look;
use crate::model::{Model, Network};
use crate::outcome::{Instances, Outcome, Record};
use crate::stages::Path;
use crate::workload::Arrival;

/// Runs a model in one lane, with requests from outside if there are any, and tells a record of it.
/// Requests have numbers in the order in which they reach gateways. A look shows accounts and loads as
/// the gateway knew them when the request came, and the chosen target as it was when the request
/// reached it, a delay later.
pub fn watch<'model>(
    model: &'model Model,
    network: Network,
    feed: Option<Box<dyn Feed + 'model>>,
    record: &mut dyn Record,
) {
    let mut lane = Lane::new(model, network, 0, 1, Told { record, under_way: BTreeMap::new() });
    if let Some(feed) = feed {
        lane = lane.fed(model, feed);
    }
    let (mut own, mut goes_on) = (Own::default(), true);
    while !lane.is_over() {
        own.advance(&mut lane);
        if goes_on {
            let (now, number) = (lane.now(), lane.arrived());
            goes_on = lane.witness_mut().record.goes_on(now, number);
            if !goes_on {
                lane.stop();
            }
        }
    }
    lane.finish();
}

/// What a record is told.
struct Told<'a> {
    record: &'a mut dyn Record,
    /// Numbers of requests of which nothing is known yet, by key.
    under_way: BTreeMap<u64, u64>,
}

fn arrival(request: &Request, number: u64) -> Arrival {
    let (gateway, source) = Key::parts(request.key);
    Arrival {
        number,
        key: request.key,
        at: request.time(),
        service: request.work(),
        user: request.user,
        source,
        gateway,
    }
}

impl Witness for Told<'_> {
    const LOOKS: bool = true;

    fn outcome(&mut self, request: &Request, _path: Option<&Path>, outcome: Outcome) {
        let number = self.under_way.remove(&request.key).unwrap_or(u64::MAX);
        self.record.record(&arrival(request, number), outcome);
    }

    fn arrive(&mut self, request: &Request, number: u64) -> bool {
        self.under_way.insert(request.key, number);
        self.record.looks() && self.record.wants(number)
    }

    fn look(&mut self, request: &Request, look: Look) {
        let number = self.under_way.get(&request.key).copied().unwrap_or(u64::MAX);
        self.record.look(&arrival(request, number), look);
    }

    fn change(&mut self, at: Time, app: usize, instances: Instances) {
        self.record.change(at, app, instances);
    }

    fn decide(&mut self, at: Time, app: usize, seen: Observation, action: Action) {
        self.record.decide(at, app, seen, action);
    }

    fn unplaced(&mut self, at: Time, app: usize, reasons: Unplaced) {
        self.record.unplaced(at, app, reasons);
    }
}
