//! Links that transfers share, in the oracle: a list for each, of which everything is counted down
//! anew whenever something begins or ends.

use std::cmp::Reverse;

use policy::{Nanoseconds, Time};

use super::{Event, Oracle};
use crate::Arrival;
use crate::links::{self, Channel, Flow, Leg, Transfers, Trip};
use crate::outcome::Served;

/// One link of a machine.
#[derive(Debug, Default)]
pub(super) struct Cable {
    /// Transfers by the number of their beginning, with what is left of them.
    transfers: Vec<(u64, u128)>,
    updated: Time,
    version: u64,
}

/// Something that begins, or goes on, over links.
#[derive(Debug, Clone)]
pub(super) struct Load {
    arrival: Arrival,
    app: usize,
    target: usize,
    machine: usize,
    /// What is still to come, the present one first.
    legs: Vec<Leg>,
    after: Nanoseconds,
    /// The end of the dispatch, or of the work.
    since: Time,
    /// Of an answer.
    served: Option<Served>,
}

impl Oracle<'_> {
    fn machine_of(&self, app: usize, target: usize) -> usize {
        match self.model.queue.scope {
            policy::queue::QueueScope::Node | policy::queue::QueueScope::Central => target,
            policy::queue::QueueScope::Instance => {
                let crew = self.apps.get(app);
                crew.and_then(|crew| crew.instances.get(target)).map_or(0, |one| one.machine)
            }
        }
    }

    /// The source of a request begins its way, which ends at the queue of its target.
    pub(super) fn download(
        &mut self,
        arrival: &Arrival,
        (app, target): (usize, usize),
        trip: Trip,
    ) {
        let path = self.paths.of(arrival).unwrap_or_default();
        let load = Load {
            arrival: *arrival,
            app,
            target,
            machine: self.machine_of(app, target),
            legs: trip.legs.into_iter().flatten().collect(),
            after: trip.after,
            since: self.now + path.accept + path.dispatch,
            served: None,
        };
        let serial = self.begin(load);
        self.joining.insert(arrival.key, serial);
    }

    /// The answer of a request begins its way.
    pub(super) fn respond(
        &mut self,
        arrival: &Arrival,
        (app, target): (usize, usize),
        served: Served,
        leg: Leg,
    ) {
        let load = Load {
            arrival: *arrival,
            app,
            target,
            machine: self.machine_of(app, target),
            legs: vec![leg],
            after: Nanoseconds::ZERO,
            since: self.now,
            served: Some(served),
        };
        self.begin(load);
    }

    fn begin(&mut self, load: Load) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        self.loads.insert(serial, load);
        self.wait_for_leg(serial);
        serial
    }

    fn wait_for_leg(&mut self, serial: u64) {
        let leg = self.loads.get(&serial).and_then(|load| load.legs.first());
        if let Some(leg) = leg {
            self.events.push(Reverse((self.now + leg.before, Event::Enter { serial })));
        }
    }

    /// Transfers of a link progress until now.
    fn count_down(&mut self, machine: usize, channel: Channel) {
        let now = self.now;
        let Some(share) = self.model.dynamics.links.share(channel) else { return };
        let cable = self.cables.entry((machine, channel)).or_default();
        let count = u32::try_from(cable.transfers.len()).unwrap_or(u32::MAX);
        let passed = now.since(cable.updated);
        let done = u128::from(passed.0) * u128::from(share.speed(count));
        for (_, left) in &mut cable.transfers {
            *left = left.saturating_sub(done);
        }
        if count > 0 && passed > Nanoseconds::ZERO {
            let machine = u32::try_from(machine).unwrap_or(u32::MAX);
            let (from, until) = (cable.updated, now);
            self.record.flow(Flow { machine, channel, from, until, transfers: count });
        }
        cable.updated = now;
    }

    /// Plans the next end on a link; what was planned before isn't true any more.
    fn plan_link(&mut self, machine: usize, channel: Channel) {
        let Some(share) = self.model.dynamics.links.share(channel) else { return };
        let cable = self.cables.entry((machine, channel)).or_default();
        cable.version += 1;
        let version = cable.version;
        let count = u32::try_from(cable.transfers.len()).unwrap_or(u32::MAX);
        if let Some(least) = cable.transfers.iter().map(|(_, left)| *left).min() {
            let end = self.now + links::time(least, share.speed(count));
            self.events.push(Reverse((end, Event::Carried { machine, channel, version })));
        }
    }

    /// The first byte of a transfer comes, if it is still wanted.
    pub(super) fn enter_link(&mut self, serial: u64) {
        let Some(load) = self.loads.get(&serial) else { return };
        let (machine, Some(leg)) = (load.machine, load.legs.first().copied()) else { return };
        let Some(share) = self.model.dynamics.links.share(leg.channel) else { return };
        self.count_down(machine, leg.channel);
        let cable = self.cables.entry((machine, leg.channel)).or_default();
        cable.transfers.push((serial, share.work(leg.bytes)));
        self.plan_link(machine, leg.channel);
    }

    pub(super) fn carried(&mut self, machine: usize, channel: Channel, version: u64) {
        if self.cables.get(&(machine, channel)).is_none_or(|cable| cable.version != version) {
            return;
        }
        self.count_down(machine, channel);
        let Some(cable) = self.cables.get_mut(&(machine, channel)) else { return };
        let (over, rest) = cable.transfers.iter().partition(|(_, left)| *left == 0);
        cable.transfers = rest;
        self.plan_link(machine, channel);
        for (serial, _) in over {
            self.leg_is_over(serial);
        }
    }

    fn leg_is_over(&mut self, serial: u64) {
        let Some(load) = self.loads.get_mut(&serial) else { return };
        load.legs.remove(0);
        if !load.legs.is_empty() {
            return self.wait_for_leg(serial);
        }
        let Some(load) = self.loads.remove(&serial) else { return };
        let Load { arrival, app, target, after, since, served, .. } = load;
        match served {
            None => {
                let at = self.now + after;
                self.downloads.insert(arrival.key, at.since(since));
                let join = Event::Join { serial, app, target, key: arrival.key };
                self.events.push(Reverse((at, join)));
            }
            Some(served) => {
                self.release(&arrival);
                self.answer(&arrival, self.now);
                self.hear_answer(&arrival, self.now);
                let transfers = self.transfers(&arrival, self.now.since(since));
                self.record.record(&arrival, Ok(Served { transfers, ..served }));
            }
        }
    }

    /// What the transfers of a request have taken, if it could have shared links.
    pub(super) fn transfers(&self, arrival: &Arrival, respond: Nanoseconds) -> Option<Transfers> {
        if self.model.dynamics.links.are_none() {
            return None;
        }
        let path = self.paths.of(arrival)?;
        let download = self.downloads.get(&arrival.key).copied().unwrap_or(path.download);
        Some(Transfers { download, respond })
    }

    /// What is on its way for a request isn't wanted any more.
    pub(super) fn unload(&mut self, arrival: &Arrival) {
        let known = self.loads.iter().find(|(_, load)| load.arrival.key == arrival.key);
        let Some(serial) = known.map(|(serial, _)| *serial) else { return };
        let Some(load) = self.loads.remove(&serial) else { return };
        let Some(leg) = load.legs.first() else { return };
        let is_there = self
            .cables
            .get(&(load.machine, leg.channel))
            .is_some_and(|cable| cable.transfers.iter().any(|(known, _)| *known == serial));
        if is_there {
            self.count_down(load.machine, leg.channel);
            if let Some(cable) = self.cables.get_mut(&(load.machine, leg.channel)) {
                cable.transfers.retain(|(known, _)| *known != serial);
            }
            self.plan_link(load.machine, leg.channel);
        }
    }

    /// Answers of an app that a machine sends, which has failed: they fail, too. How many.
    pub(super) fn lose_answers(&mut self, app: usize, machine: usize) -> u32 {
        let sent = self.loads.values().filter(|load| (load.app, load.machine) == (app, machine));
        let lost: Vec<(Arrival, Served)> =
            sent.filter_map(|load| Some((load.arrival, load.served?))).collect();
        for (arrival, served) in &lost {
            // It was worked on, and was there as long as that took.
            self.checked.lost_work += u128::from(served.end.since(served.start).0);
            self.fail(arrival);
            self.checked.lost_presence -= u128::from(self.now.since(served.end).0);
        }
        u32::try_from(lost.len()).unwrap_or(u32::MAX)
    }
}
