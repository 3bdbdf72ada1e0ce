//! A lane: a part of the gateways and a part of the targets, moved on one window at a time by one
//! thread. Lanes meet between windows only, by parcels.

use simulator_kernel::wide::Task;

use super::arrivals::Flow;
use super::bank::Bank;
use super::gateway::Gateways;
use super::plan::Plan;
use super::{Answer, Key, Request, Witness};
use crate::model::{Model, Network};
use crate::outcome::Served;

/// What one lane hands to another after a window. Parcels are used again, so that nothing is
/// allocated for each.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Requests for targets of the receiver, in the order of their time.
    requests: Vec<Request>,
    /// What gateways of the receiver will hear.
    answers: Vec<Answer>,
    /// Whether targets of the sender report.
    reports: bool,
    /// How many requests each of them has, app by app.
    loads: Vec<u32>,
}

/// One lane of a run.
#[derive(Debug)]
pub struct Lane<'model, W> {
    plan: Plan,
    number: u16,
    /// The window that comes next.
    window: u64,
    windows: u64,
    arrived: u64,
    flow: Flow<'model>,
    gateways: Gateways,
    banks: Vec<Bank>,
    /// For each app, the lane of each target; for each gateway, its lane.
    owners: Vec<Vec<u16>>,
    gateway_owners: Vec<u16>,
    loads: Vec<u32>,
    witness: W,
}

impl<'model, W: Witness> Lane<'model, W> {
    /// One of so many lanes at the beginning of a run.
    pub fn new(
        model: &'model Model,
        network: Network,
        number: u16,
        lanes: u16,
        witness: W,
    ) -> Self {
        let plan = Plan::new(model, network, lanes);
        let gateways = plan.share(u32::from(model.gateways.max(1)), number);
        let narrow = |place: u32| u16::try_from(place).unwrap_or(u16::MAX);
        let gateways = narrow(gateways.start)..narrow(gateways.end);
        let bank = |app: &super::plan::AppInfo| {
            let own = plan.share(app.count, number);
            Bank::new(own.end - own.start, app.instances, &model.queue)
        };
        // Two more: what is sent in the last window, and the answers to it.
        let windows = model.duration.0.div_ceil(network.delay.0.max(1)) + 2;
        Lane {
            number,
            window: 0,
            windows,
            arrived: 0,
            flow: Flow::new(model, gateways.clone(), network.delay.0.max(1)),
            gateways: Gateways::new(model, &plan, gateways),
            banks: plan.apps.iter().map(bank).collect(),
            owners: plan.apps.iter().map(|app| plan.owners(app.count)).collect(),
            gateway_owners: plan.owners(u32::from(model.gateways.max(1))),
            loads: vec![0; plan.targets()],
            plan,
            witness,
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.window >= self.windows
    }

    /// How many requests have arrived at gateways of this lane.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Nothing arrives any more; what has arrived is worked on to its end.
    pub fn stop(&mut self) {
        self.windows = self.windows.min(self.window + 2);
        self.flow.stop();
    }

    /// Moves on by one window. `inbound` is what each lane handed to this one in the window before,
    /// in the order of lanes, this one's own parcel included; `outbound` is filled likewise.
    pub fn advance(&mut self, inbound: &mut [Parcel], outbound: &mut [Parcel]) {
        simulator_kernel::wide::run(Step { lane: self, inbound, outbound });
    }

    /// What was written down.
    pub fn finish(self) -> W {
        self.witness
    }
}

struct Step<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    inbound: &'a mut [Parcel],
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Step<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Step { lane, inbound, outbound } = self;
        let delay = lane.plan.network.delay.0;
        let begin = lane.window * delay;
        for parcel in outbound.iter_mut() {
            parcel.requests.clear();
            parcel.answers.clear();
            parcel.loads.clear();
            parcel.reports = false;
        }
        if begin > 0 && begin.is_multiple_of(lane.plan.network.reports.0) {
            lane.report(begin, outbound);
        }
        lane.serve(inbound, outbound);
        for parcel in inbound.iter() {
            for answer in &parcel.answers {
                lane.gateways.expect(*answer);
            }
        }
        if inbound.iter().any(|parcel| parcel.reports) {
            lane.learn(inbound);
        }
        lane.admit(begin, begin + delay, outbound);
        lane.window += 1;
    }
}

impl<W: Witness> Lane<'_, W> {
    /// Targets tell how many requests they have.
    fn report(&mut self, now: u64, outbound: &mut [Parcel]) {
        let Some((first, others)) = outbound.split_first_mut() else { return };
        for (bank, app) in self.banks.iter_mut().zip(&self.plan.apps) {
            bank.pass(now);
            let own = self.plan.share(app.count, self.number);
            first.loads.extend((0..own.end - own.start).map(|target| bank.load(target)));
        }
        first.reports = true;
        for other in others {
            other.reports = true;
            other.loads.extend_from_slice(&first.loads);
        }
    }

    /// Reports of all lanes are put together for gateways.
    fn learn(&mut self, inbound: &[Parcel]) {
        for (lane, parcel) in (0..self.plan.lanes).zip(inbound) {
            let mut told = parcel.loads.iter();
            for app in &self.plan.apps {
                let own = self.plan.share(app.count, lane);
                let places = app.first + own.start as usize..app.first + own.end as usize;
                let known = self.loads.get_mut(places).unwrap_or_default();
                for (known, load) in known.iter_mut().zip(&mut told) {
                    *known = *load;
                }
            }
        }
        self.gateways.learn(&self.loads);
    }

    /// Requests of the window before come to targets.
    #[inline(always)]
    fn serve(&mut self, inbound: &[Parcel], outbound: &mut [Parcel]) {
        match inbound {
            // Loops, not closures: those may stay apart, where they miss the wide vectors.
            [only] => {
                for request in &only.requests {
                    self.join(request, outbound);
                }
            }
            several => {
                let mut heads: Vec<&[Request]> =
                    several.iter().map(|parcel| parcel.requests.as_slice()).collect();
                // Of requests at the same instant those of the first gateways come first, and
                // lanes have theirs in this order.
                loop {
                    let earliest = heads
                        .iter_mut()
                        .filter(|head| !head.is_empty())
                        .min_by_key(|head| head.first().map_or(u64::MAX, |request| request.at));
                    let Some(head) = earliest else { break };
                    let Some((request, rest)) = head.split_first() else { break };
                    *head = rest;
                    self.join(request, outbound);
                }
            }
        }
    }

    /// A request comes to its target.
    #[inline(always)]
    fn join(&mut self, request: &Request, outbound: &mut [Parcel]) {
        let delay = self.plan.network.delay.0;
        let (gateway, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        let joined = request.at + delay;
        let first = self.plan.share(app.count, self.number).start;
        bank.pass(joined);
        let work = bank.join(request.target - first, info.class, request.service);
        let outcome = work.map(|(start, end)| Served {
            target: request.target,
            start: policy::Time(start),
            end: policy::Time(end),
        });
        let over = work.map_or(joined, |(_, end)| end);
        self.witness.outcome(request, outcome);
        let owner = self.gateway_owners.get(usize::from(gateway)).copied().unwrap_or(0);
        if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
            parcel.answers.push(Answer { at: over + delay, user: request.user, gateway, source });
        }
    }

    /// New requests come to gateways.
    #[inline(always)]
    fn admit(&mut self, begin: u64, end: u64, outbound: &mut [Parcel]) {
        let Lane { plan, flow, gateways, owners, witness, arrived, .. } = self;
        gateways.begin(begin, plan);
        let requests = flow.before(end);
        *arrived += requests.len() as u64;
        for request in requests {
            match gateways.arrive(request, plan) {
                Ok(target) => {
                    let (_, source) = Key::parts(request.key);
                    let app = plan.source(source).map_or(0, |info| info.app as usize);
                    let owner = owners.get(app).and_then(|owners| owners.get(target as usize));
                    let parcel = owner.and_then(|owner| outbound.get_mut(usize::from(*owner)));
                    if let Some(parcel) = parcel {
                        parcel.requests.push(Request { target, ..*request });
                    }
                }
                Err(cause) => witness.outcome(request, Err(cause)),
            }
        }
    }
}
