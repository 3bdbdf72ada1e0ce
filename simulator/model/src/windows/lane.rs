//! A lane: a part of the gateways and a part of the targets, moved on step by step by one thread. A
//! window has two steps: that of its targets, which open what gateways have sent in the window before,
//! and that of its gateways, which open what targets have sent in the window before. Nothing else passes
//! between lanes, and neither step needs the other one of its window.
//!
//! So the order of these two is free. It alternates (targets, gateways; gateways, targets; …), because
//! then all that a step opens was sent two steps before: of two lanes, one may be ahead by a step. If it
//! were one step, all would wait for the slowest in each window, and who is slow now may be fast then.

use std::collections::VecDeque;
use std::slice;
use std::sync::Arc;

use policy::Time;
use policy::dagor::Begun;
use simulator_kernel::wide::{self, Task};

use super::arrivals::Flow;
use super::bank::Bank;
use super::coming::Coming;
use super::control::{Control, Counted, Left, Order};
use super::gates::Begins;
use super::gateway::Gateways;
use super::known::Crew;
use super::ledger::Ledger;
use super::plan::Plan;
use super::streams::Streams;
use super::waits::{Waits, looks_back};
use super::{Answer, Key, Request, Witness};
use crate::adaptive::Heard;
use crate::fed::Feed;
use crate::look::Look;
use crate::model::{Model, Network};
use crate::stages::Paths;

mod admitting;
mod orders;
mod serving;
mod waiting;

use serving::{Came, Scratch};

/// What one lane hands to another after a step. Parcels are used again, so that nothing is
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
    fn clear(&mut self) {
        let Parcel { requests, answers, heard, loads, crews, begun, tasks, left, .. } = self;
        requests.clear();
        answers.clear();
        heard.clear();
        loads.clear();
        crews.clear();
        begun.clear();
        tasks.clear();
        left.clear();
        self.reports = false;
        self.unknown_since = None;
    }

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

/// What a lane that is alone has on the way to itself.
#[derive(Debug, Default)]
pub(super) struct Own([Parcel; 3]);

impl Own {
    /// Moves a lane on by one window.
    pub(super) fn advance<W: Witness>(&mut self, lane: &mut Lane<'_, W>) {
        for _ in 0..2 {
            let Own([first, second, third]) = self;
            // What is sent now comes up two steps later.
            let (inbound, outbound) = match lane.step % 3 {
                0 => (first, third),
                1 => (second, first),
                _ => (third, second),
            };
            lane.advance(slice::from_mut(inbound), slice::from_mut(outbound));
        }
    }
}

/// One lane of a run.
#[derive(Debug)]
pub struct Lane<'model, W> {
    plan: Plan,
    number: u16,
    /// The step that comes next, and how many there are.
    step: u64,
    steps: u64,
    arrived: u64,
    flow: Flow<'model>,
    gateways: Gateways,
    banks: Vec<Bank>,
    scratch: Scratch,
    /// Requests that came into their queues in this window and weren't told of.
    came: Vec<Came>,
    paths: Paths,
    coming: Coming,
    /// For each target, counted over all apps, its lane; for each gateway, its lane.
    owners: Vec<u16>,
    gateway_owners: Vec<u16>,
    loads: Vec<u32>,
    /// For each app, requests that gateways found no target for since the last tick.
    unsent: Vec<u64>,
    /// Likewise in the last even and in the last odd window, until the targets are there, too.
    unsent_in: [Vec<u64>; 2],
    /// What begins at targets, if gateways ask for it.
    begins: Option<Begins>,
    /// If a rule asks how long requests wait at targets.
    waits: Option<Box<Waits>>,
    /// Whether what becomes of them depends on those that come after them.
    looks_back: bool,
    /// When instances were told to leave, as long as it isn't known which.
    unknown: Vec<u64>,
    control: Control<'model>,
    /// Orders on their way to machines, and when they are there.
    orders: VecDeque<(u64, Order)>,
    /// In the first lane.
    ledger: Option<Ledger>,
    /// Requests on their way to targets that the witness looks at, by key.
    looks: Vec<(u64, Look)>,
    witness: W,
}

impl<'model, W: Witness> Lane<'model, W> {
    /// After how many steps lanes open what others send to them.
    pub const TRAVEL: u64 = 2;

    /// One of so many lanes at the beginning of a run, with streams of its own.
    pub fn new(
        model: &'model Model,
        network: Network,
        number: u16,
        lanes: u16,
        witness: W,
    ) -> Self {
        let streams = Arc::new(Streams::new(model));
        Lane::sharing(model, network, (number, lanes), streams, witness)
    }

    /// Likewise, with streams that all lanes of the run share, so that they can work ahead for each other.
    pub fn sharing(
        model: &'model Model,
        network: Network,
        (number, lanes): (u16, u16),
        streams: Arc<Streams<'model>>,
        witness: W,
    ) -> Self {
        let plan = Plan::new(model, network, number, lanes);
        let gateways = gateways(&plan, number);
        let bank = |(app, definition): (&super::plan::AppInfo, &'model crate::App)| {
            let own = plan.share(app.count, number);
            let scales = definition.scaling(&model.dynamics).map(|_| definition);
            Bank::new(own.end - own.start, app.instances, &model.queue, scales, model.has_stages())
        };
        // Two more: what is sent in the last window, and the answers to it.
        let windows = model.duration.0.div_ceil(network.delay.0.max(1)) + 2;
        Lane {
            number,
            step: 0,
            steps: 2 * windows,
            arrived: 0,
            flow: Flow::new(model, &gateways, network.delay.0.max(1), streams),
            gateways: Gateways::new(model, &plan, gateways),
            paths: Paths::new(model),
            coming: Coming::new(network.delay.0.max(1)),
            banks: plan.apps.iter().zip(&model.apps).map(bank).collect(),
            owners: plan.apps.iter().flat_map(|app| plan.owners(app.count)).collect(),
            gateway_owners: plan.owners(u32::from(plan.gateways)),
            loads: vec![0; plan.targets()],
            unsent: vec![0; model.apps.len()],
            unsent_in: [vec![0; model.apps.len()], vec![0; model.apps.len()]],
            begins: model
                .admission
                .overload
                .map(|_| Begins::new(model.apps.len(), network.reports.0)),
            waits: Waits::new(model, &plan, number),
            looks_back: looks_back(model),
            unknown: Vec::new(),
            control: Control::new(model, network.delay.0),
            orders: VecDeque::new(),
            looks: Vec::new(),
            scratch: Scratch::default(),
            came: Vec::new(),
            ledger: (number == 0).then(|| Ledger::new(model)),
            plan,
            witness,
        }
    }

    /// The same with requests from outside, in place of the arrivals of sources. Each lane must be given
    /// all of them and takes those of its gateways; what comes after the end of the model is left out.
    #[must_use]
    pub fn fed(mut self, model: &'model Model, feed: Box<dyn Feed + 'model>) -> Self {
        self.flow.feed(model, gateways(&self.plan, self.number), feed);
        self
    }

    /// The same, whatever the reach of rows in nanoseconds ([`super::rows`]): it changes no result, but tests would
    /// have to be long to get beyond that of runs.
    #[doc(hidden)]
    #[must_use]
    pub fn within(mut self, reach: u32) -> Self {
        let least = u32::try_from(self.plan.network.delay.0 * 2).unwrap_or(u32::MAX);
        self.banks.iter_mut().for_each(|bank| bank.set_reach(reach.max(least)));
        self
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.step >= self.steps
    }

    /// The window of the step that comes next.
    const fn window(&self) -> u64 {
        self.step / 2
    }

    /// When it begins.
    #[must_use]
    pub const fn now(&self) -> Time {
        Time(self.window() * self.plan.network.delay.0)
    }

    /// How many requests have arrived at gateways of this lane.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Nothing arrives any more; what has arrived is worked on to its end. All lanes must be stopped
    /// before the same step, the first one of a window.
    pub fn stop(&mut self) {
        debug_assert!(self.step.is_multiple_of(2));
        self.steps = self.steps.min(self.step + 4);
        self.flow.stop();
        self.control.stop();
    }

    /// Moves on by one step. `inbound` is what each lane handed to this one [`Lane::TRAVEL`] steps before,
    /// in the order of lanes, this one's own parcel included, and empty ones in the first steps;
    /// `outbound` is filled likewise.
    pub fn advance(&mut self, inbound: &mut [Parcel], outbound: &mut [Parcel]) {
        let Time(begin) = self.now();
        let end = begin + self.plan.network.delay.0;
        outbound.iter_mut().for_each(Parcel::clear);
        // In even windows the first step, in odd ones the second.
        if self.step % 2 == self.window() % 2 {
            self.move_targets((begin, end), inbound, outbound);
        } else {
            self.move_gateways((begin, end), inbound, outbound);
        }
        self.step += 1;
    }

    /// The step of the targets of a window.
    fn move_targets(
        &mut self,
        (begin, end): (u64, u64),
        inbound: &mut [Parcel],
        outbound: &mut [Parcel],
    ) {
        self.banks.iter_mut().for_each(|bank| bank.begin_window(begin));
        // The window before has the other slot.
        let other = self.window() + 1;
        let before = of_window(&mut self.unsent_in, other);
        for (all, before) in self.unsent.iter_mut().zip(before) {
            *all += std::mem::take(before);
        }
        if self.orders.front().is_some_and(|(at, _)| *at <= begin) {
            self.obey(begin, outbound);
        }
        if !self.paths.is_empty() {
            self.coming.begin(self.window());
            // Before anybody counts: what finds no instance any more isn't there.
            if self.coming.next_at() <= begin {
                self.come_until(begin, outbound);
                self.tell_of_those_who_came(outbound);
            }
        }
        if self.control.is_tick(begin) {
            self.count_tasks(begin, outbound);
        }
        if begin > 0 && begin.is_multiple_of(self.plan.network.reports.0) {
            wide::run(Report { lane: self, now: begin, outbound });
        }
        wide::run(Serve { lane: self, end, inbound, outbound });
        if self.looks_back {
            self.look_back(end, outbound);
        }
    }

    /// The step of its gateways, and of the control plane.
    fn move_gateways(
        &mut self,
        (begin, end): (u64, u64),
        inbound: &mut [Parcel],
        outbound: &mut [Parcel],
    ) {
        self.hear(begin, inbound);
        for heard in inbound.iter().flat_map(|parcel| &parcel.heard) {
            self.gateways.listen(*heard);
        }
        if inbound.iter().any(|parcel| parcel.reports) {
            self.learn(inbound);
        }
        if inbound.iter().any(|parcel| !parcel.tasks.is_empty()) {
            self.decide(begin, inbound);
        }
        self.flow.fill_before(end);
        self.admit((begin, end), inbound, outbound);
    }

    /// Works ahead, a little, on what depends on nobody else: for those who wait for another lane. What
    /// that one will need comes first, if they share their streams, because nobody gets on before it does.
    /// False if there is nothing that could be done now.
    pub fn prepare(&mut self, late: u16) -> bool {
        self.flow.prepare(&gateways(&self.plan, late))
            || self.flow.prepare(&gateways(&self.plan, self.number))
    }

    /// No windows pass any more, but time does.
    pub(super) fn skip_to(&mut self, now: u64, outbound: &mut [Parcel]) {
        self.settle_all(now, outbound);
        self.banks.iter_mut().for_each(|bank| bank.begin_window(now));
    }

    /// Who is told.
    pub const fn witness_mut(&mut self) -> &mut W {
        &mut self.witness
    }

    /// What was written down.
    pub fn finish(mut self) -> W {
        for way in self.coming.take() {
            self.skip_to(way.at, &mut []);
            match self.waits {
                None => self.come(&way, &mut []),
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
fn gateways(plan: &Plan, lane: u16) -> std::ops::Range<u16> {
    let gateways = plan.share(u32::from(plan.gateways), lane);
    let narrow = |place: u32| u16::try_from(place).unwrap_or(u16::MAX);
    narrow(gateways.start)..narrow(gateways.end)
}

/// What belongs to even windows, or to odd ones.
const fn of_window<T>([even, odd]: &mut [T; 2], window: u64) -> &mut T {
    if window.is_multiple_of(2) { even } else { odd }
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
        let reached = now + self.plan.network.delay.0;
        self.orders.extend(self.control.orders.drain(..).map(|order| (reached, order)));
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
}
