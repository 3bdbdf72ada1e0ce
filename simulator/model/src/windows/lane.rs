//! A lane: a part of the gateways and a part of the targets, moved on one window at a time by one
//! thread. Lanes meet between windows only, by parcels.

use policy::Refusal;
use policy::dagor::Begun;
use simulator_kernel::wide::{self, Task};

use super::arrivals::Flow;
use super::bank::Bank;
use super::coming::Coming;
use super::control::{Control, Counted, Left, Order};
use super::gates::Begins;
use super::gateway::{Gateways, Sent};
use super::known::Crew;
use super::ledger::Ledger;
use super::plan::Plan;
use super::waits::{Waits, looks_back};
use super::{Answer, Key, Request, Witness};
use crate::adaptive::Heard;
use crate::fed::Feed;
use crate::look::Look;
use crate::model::{Model, Network};
use crate::stages::Paths;

mod orders;
mod serving;
mod waiting;

/// What one lane hands to another after a window. Parcels are used again, so that nothing is
/// allocated for each.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Requests for targets of the receiver, in the order of their time.
    requests: Vec<Request>,
    /// What gateways of the receiver will hear; where there is one lane it knows without that.
    answers: Vec<Answer>,
    /// Likewise, what becomes of requests, if a limit adapts.
    heard: Vec<Heard>,
    /// Whether targets of the sender report.
    reports: bool,
    /// How many requests each of them has, app by app.
    loads: Vec<u32>,
    /// What some of them tell of their instances.
    crews: Vec<Crew>,
    /// What has begun there since the last report, app by app, if gateways ask for it.
    begun: Vec<Begun>,
    /// What the sender's targets have of each app, if this is the time of a tick.
    tasks: Vec<Counted>,
    /// Instances of the sender's targets that leave.
    left: Vec<Left>,
    /// Since when the sender doesn't know which instance leaves, if that is so anywhere.
    unknown_since: Option<u64>,
}

impl Parcel {
    /// Becomes a copy of another one, in its own place.
    ///
    /// Who packs a parcel piece by piece should keep it, and hand out copies: each line of a buffer
    /// that another processor has read last must be fetched from there when it is written. Between
    /// other work these fetches come one after the other; those of a copy go on side by side.
    pub fn copy_from(&mut self, other: &Parcel) {
        fn copy<T: Copy>(to: &mut Vec<T>, from: &[T]) {
            to.clear();
            to.extend_from_slice(from);
        }
        let Parcel { requests, answers, heard, reports, loads, crews, begun, tasks, left, .. } =
            self;
        self.unknown_since = other.unknown_since;
        copy(requests, &other.requests);
        copy(answers, &other.answers);
        copy(heard, &other.heard);
        *reports = other.reports;
        copy(loads, &other.loads);
        copy(crews, &other.crews);
        copy(begun, &other.begun);
        copy(tasks, &other.tasks);
        copy(left, &other.left);
    }
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
    paths: Paths,
    coming: Coming,
    /// For each target, counted over all apps, its lane; for each gateway, its lane.
    owners: Vec<u16>,
    gateway_owners: Vec<u16>,
    loads: Vec<u32>,
    /// For each app, requests that gateways found no target for since the last tick.
    unsent: Vec<u64>,
    /// What begins at targets, if gateways ask for it.
    begins: Option<Begins>,
    /// If a rule asks how long requests wait at targets.
    waits: Option<Box<Waits>>,
    /// Whether what becomes of them depends on those that come after them.
    looks_back: bool,
    /// When instances were told to leave, as long as it isn't known which.
    unknown: Vec<u64>,
    control: Control<'model>,
    /// Orders that reach machines in this window.
    orders: Vec<Order>,
    /// In the first lane.
    ledger: Option<Ledger>,
    /// Requests on their way to targets that the witness looks at, by key.
    looks: Vec<(u64, Look)>,
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
        let plan = Plan::new(model, network, number, lanes);
        let gateways = gateways(&plan, model, number);
        let bank = |(app, definition): (&super::plan::AppInfo, &'model crate::App)| {
            let own = plan.share(app.count, number);
            let scales = definition.scaling(&model.dynamics).map(|_| definition);
            Bank::new(own.end - own.start, app.instances, &model.queue, scales, model.has_stages())
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
            paths: Paths::new(model),
            coming: Coming::new(network.delay.0.max(1)),
            banks: plan.apps.iter().zip(&model.apps).map(bank).collect(),
            owners: plan.apps.iter().flat_map(|app| plan.owners(app.count)).collect(),
            gateway_owners: plan.owners(u32::from(model.gateways.max(1))),
            loads: vec![0; plan.targets()],
            unsent: vec![0; model.apps.len()],
            begins: model
                .admission
                .overload
                .map(|_| Begins::new(model.apps.len(), network.reports.0)),
            waits: Waits::new(model, &plan, number),
            looks_back: looks_back(model),
            unknown: Vec::new(),
            control: Control::new(model, network.delay.0),
            orders: Vec::new(),
            looks: Vec::new(),
            ledger: (number == 0).then(|| Ledger::new(model)),
            plan,
            witness,
        }
    }

    /// The same with requests from outside, in place of the arrivals of sources. Each lane must be given
    /// all of them and takes those of its gateways; what comes after the end of the model is left out.
    #[must_use]
    pub fn fed(mut self, model: &'model Model, feed: Box<dyn Feed + 'model>) -> Self {
        self.flow.feed(model, gateways(&self.plan, model, self.number), feed);
        self
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
        self.control.stop();
    }

    /// Moves on by one window. `inbound` is what each lane handed to this one in the window before,
    /// in the order of lanes, this one's own parcel included; `outbound` is filled likewise.
    pub fn advance(&mut self, inbound: &mut [Parcel], outbound: &mut [Parcel]) {
        let delay = self.plan.network.delay.0;
        let begin = self.window * delay;
        for parcel in outbound.iter_mut() {
            parcel.requests.clear();
            parcel.answers.clear();
            parcel.heard.clear();
            parcel.loads.clear();
            parcel.crews.clear();
            parcel.begun.clear();
            parcel.tasks.clear();
            parcel.left.clear();
            parcel.reports = false;
            parcel.unknown_since = None;
        }
        self.hear(begin, inbound);
        if !self.orders.is_empty() {
            self.obey(begin, outbound);
        }
        if !self.paths.is_empty() {
            self.coming.begin(self.window);
            // Before anybody counts: what finds no instance any more isn't there.
            if self.coming.is_any_until(begin) {
                self.come_until(begin, outbound);
            }
        }
        if self.control.is_tick(begin) {
            self.count_tasks(begin, outbound);
        }
        if begin > 0 && begin.is_multiple_of(self.plan.network.reports.0) {
            wide::run(Report { lane: self, now: begin, outbound });
        }
        wide::run(Serve { lane: self, end: begin + delay, inbound, outbound });
        if self.looks_back {
            self.look_back(begin + delay, outbound);
        }
        for heard in inbound.iter().flat_map(|parcel| &parcel.heard) {
            self.gateways.listen(*heard);
        }
        if inbound.iter().any(|parcel| parcel.reports) {
            self.learn(inbound);
        }
        if inbound.iter().any(|parcel| !parcel.tasks.is_empty()) {
            self.decide(begin, inbound);
        }
        self.flow.fill_before(begin + delay);
        wide::run(Admit { lane: self, begin, inbound, outbound });
        self.window += 1;
    }

    /// Works ahead, a little, on what doesn't depend on other lanes: for those who wait for them.
    /// False if there is nothing that could be done now.
    pub fn prepare(&mut self) -> bool {
        self.flow.prepare()
    }

    /// Who is told.
    pub const fn witness_mut(&mut self) -> &mut W {
        &mut self.witness
    }

    /// What was written down.
    pub fn finish(mut self) -> W {
        for way in self.coming.take() {
            match self.waits {
                None => self.come(way, &mut []),
                Some(_) => self.come_waiting(way, &mut []),
            }
        }
        self.settle_all(u64::MAX, &mut []);
        if let Some(ledger) = &mut self.ledger {
            ledger.tell(u64::MAX, &mut self.witness);
        }
        self.witness
    }
}

/// The gateways of a lane.
fn gateways(plan: &Plan, model: &Model, lane: u16) -> std::ops::Range<u16> {
    let gateways = plan.share(u32::from(model.gateways.max(1)), lane);
    let narrow = |place: u32| u16::try_from(place).unwrap_or(u16::MAX);
    narrow(gateways.start)..narrow(gateways.end)
}

/// Targets report.
struct Report<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    now: u64,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Report<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.report(self.now, self.outbound);
    }
}

/// Requests come to targets.
struct Serve<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    end: u64,
    inbound: &'a [Parcel],
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Serve<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.serve(self.end, self.inbound, self.outbound);
    }
}

/// Gateways learn when they will hear of requests, and others come to them.
struct Admit<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    begin: u64,
    inbound: &'a [Parcel],
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Admit<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for parcel in self.inbound {
            for answer in &parcel.answers {
                self.lane.gateways.expect(*answer);
            }
        }
        self.lane.admit(self.begin, self.outbound);
    }
}

impl<W: Witness> Lane<'_, W> {
    /// Targets tell how many requests they have.
    #[inline(always)]
    fn report(&mut self, now: u64, outbound: &mut [Parcel]) {
        let Some((first, others)) = outbound.split_first_mut() else { return };
        for (bank, app) in self.banks.iter_mut().zip(&self.plan.apps) {
            bank.pass(now);
            let own = self.plan.share(app.count, self.number);
            bank.loads(own.end - own.start, &mut first.loads);
        }
        for ((bank, app), number) in self.banks.iter_mut().zip(&self.plan.apps).zip(0u32..) {
            let own = self.plan.share(app.count, self.number);
            bank.report(|target, standing| {
                first.crews.push(Crew { app: number, target: own.start + target, standing });
            });
        }
        if let Some(begins) = &mut self.begins {
            first.begun.extend(begins.report(now));
        }
        first.reports = true;
        for other in others {
            other.reports = true;
            other.loads.extend_from_slice(&first.loads);
            other.crews.extend_from_slice(&first.crews);
            other.begun.extend_from_slice(&first.begun);
        }
    }

    /// What machines have told of instances that leave.
    fn hear(&mut self, now: u64, inbound: &[Parcel]) {
        for left in inbound.iter().flat_map(|parcel| &parcel.left) {
            self.control.hear(left);
            if let Some(ledger) = &mut self.ledger {
                ledger.hear(left);
            }
        }
        if let Some(ledger) = &mut self.ledger {
            let unknown = inbound.iter().filter_map(|parcel| parcel.unknown_since).min();
            ledger.tell(unknown.map_or(now, |since| since.min(now)), &mut self.witness);
        }
    }

    /// Targets tell the control plane how many requests they have.
    #[cold]
    fn count_tasks(&mut self, now: u64, outbound: &mut [Parcel]) {
        for ((bank, app), unsent) in
            self.banks.iter_mut().zip(&self.plan.apps).zip(&mut self.unsent)
        {
            bank.pass(now);
            let own = self.plan.share(app.count, self.number);
            let loads = (0..own.end - own.start).map(|target| u64::from(bank.load(target)));
            let tasks = loads.sum();
            let (mut demand, busy) = bank.count(own.end - own.start);
            let unsent = std::mem::take(unsent);
            demand.arrivals += unsent;
            demand.refusals += unsent;
            let counted = Counted { tasks, busy, demand };
            outbound.iter_mut().for_each(|parcel| parcel.tasks.push(counted));
        }
    }

    /// The control plane decides.
    #[cold]
    fn decide(&mut self, now: u64, inbound: &[Parcel]) {
        let tasks = (0..self.banks.len()).map(|app| {
            let told = inbound.iter().filter_map(|parcel| parcel.tasks.get(app));
            told.fold(Counted::default(), |sum, more| sum.plus(more))
        });
        let witness = self.ledger.is_some().then_some(&mut self.witness);
        self.control.decide(now, tasks, witness);
        std::mem::swap(&mut self.orders, &mut self.control.orders);
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
        for parcel in inbound.iter().filter(|parcel| !parcel.crews.is_empty()) {
            parcel.crews.iter().for_each(|crew| self.gateways.meet(crew, &self.plan));
        }
        self.gateways.weigh();
        for parcel in inbound.iter().filter(|parcel| !parcel.begun.is_empty()) {
            self.gateways.hear_of_begun(&parcel.begun);
        }
    }

    /// New requests come to gateways.
    #[inline(always)]
    fn admit(&mut self, begin: u64, outbound: &mut [Parcel]) {
        let end = begin + self.plan.network.delay.0;
        let Lane { plan, flow, gateways, witness, arrived, unsent, owners, looks, .. } = self;
        gateways.begin(begin);
        let is_alone = outbound.len() == 1;
        let mut gateways = gateways.open();
        let mut count = 0;
        for request in flow.rest() {
            if request.at >= end {
                break;
            }
            if W::LOOKS && witness.arrive(request, *arrived + count as u64) {
                looks.push((request.key, gateways.again().look(request, plan)));
            }
            match gateways.arrive(request, plan) {
                Ok(Sent { target, place }) => {
                    // Which lane it is is as good as chance: no branch depends on it.
                    let owner = if is_alone {
                        0
                    } else {
                        owners.get(place as usize).map_or(0, |owner| *owner)
                    };
                    if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
                        parcel.requests.push(Request { target, ..*request });
                    }
                }
                Err(cause) => {
                    if W::LOOKS
                        && let Some((_, look)) = looks.pop_if(|(key, _)| *key == request.key)
                    {
                        witness.look(request, look);
                    }
                    if cause == Refusal::NoInstance {
                        let (_, source) = Key::parts(request.key);
                        let app = plan.source(source).map_or(0, |info| info.app as usize);
                        unsent.iter_mut().skip(app).take(1).for_each(|count| *count += 1);
                    }
                    witness.outcome(request, None, Err(cause));
                }
            }
            count += 1;
        }
        flow.pass(count);
        *arrived += count as u64;
    }
}
