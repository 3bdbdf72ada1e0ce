//! A lane: a part of the gateways and a part of the targets, moved on one window at a time by one
//! thread. Lanes meet between windows only, by parcels.

use policy::Refusal;
use policy::dagor::Begun;
use simulator_kernel::wide::{self, Task};

use super::arrivals::Flow;
use super::bank::Bank;
use super::coming::{Coming, Way};
use super::control::{Control, Counted, Left, Order};
use super::gates::Begins;
use super::gateway::{Crew, Gateways};
use super::ledger::Ledger;
use super::plan::Plan;
use super::waits::{Waits, looks_back};
use super::{Answer, Key, Request, Witness};
use crate::adaptive::Heard;
use crate::look::{Chosen, Look};
use crate::model::{Model, Network};
use crate::outcome::Served;
use crate::stages::{Path, Paths};

mod orders;
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
    /// For each app, the lane of each target; for each gateway, its lane.
    owners: Vec<Vec<u16>>,
    gateway_owners: Vec<u16>,
    loads: Vec<u32>,
    /// Requests that gateways have sent in this window, if there are other lanes.
    sent: Vec<Request>,
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
        let gateways = plan.share(u32::from(model.gateways.max(1)), number);
        let narrow = |place: u32| u16::try_from(place).unwrap_or(u16::MAX);
        let gateways = narrow(gateways.start)..narrow(gateways.end);
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
            owners: plan.apps.iter().map(|app| plan.owners(app.count)).collect(),
            gateway_owners: plan.owners(u32::from(model.gateways.max(1))),
            loads: vec![0; plan.targets()],
            sent: Vec::new(),
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
        wide::run(Step { lane: self, inbound, outbound });
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

/// Requests of two lanes in the order of time. Of requests at the same instant those of the first
/// gateways come first, and lanes have theirs in this order. They are handed out one by one, so that
/// the next one is looked for while the one before is still worked on.
struct Merged<'a> {
    left: &'a [Request],
    right: &'a [Request],
}

impl<'a> Merged<'a> {
    #[inline(always)]
    fn next(&mut self) -> Option<&'a Request> {
        match (self.left, self.right) {
            ([first, lefts @ ..], [second, rights @ ..]) => {
                // Who is next is as good as chance: nothing is gained by a guess.
                let is_second = second.at < first.at;
                self.left = std::hint::select_unpredictable(is_second, self.left, lefts);
                self.right = std::hint::select_unpredictable(is_second, rights, self.right);
                Some(std::hint::select_unpredictable(is_second, second, first))
            }
            ([first, lefts @ ..], []) => {
                self.left = lefts;
                Some(first)
            }
            ([], [second, rights @ ..]) => {
                self.right = rights;
                Some(second)
            }
            ([], []) => None,
        }
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
            parcel.heard.clear();
            parcel.loads.clear();
            parcel.crews.clear();
            parcel.begun.clear();
            parcel.tasks.clear();
            parcel.left.clear();
            parcel.reports = false;
            parcel.unknown_since = None;
        }
        lane.hear(begin, inbound);
        if !lane.orders.is_empty() {
            lane.obey(begin, outbound);
        }
        if !lane.paths.is_empty() {
            lane.coming.begin(lane.window);
            // Before anybody counts: what finds no instance any more isn't there.
            if lane.coming.is_any_until(begin) {
                lane.come_until(begin, outbound);
            }
        }
        if lane.control.is_tick(begin) {
            lane.count_tasks(begin, outbound);
        }
        if begin > 0 && begin.is_multiple_of(lane.plan.network.reports.0) {
            lane.report(begin, outbound);
        }
        lane.serve(begin + delay, inbound, outbound);
        if lane.looks_back {
            lane.look_back(begin + delay, outbound);
        }
        for parcel in inbound.iter() {
            for answer in &parcel.answers {
                lane.gateways.expect(*answer);
            }
            for heard in &parcel.heard {
                lane.gateways.listen(*heard);
            }
        }
        if inbound.iter().any(|parcel| parcel.reports) {
            lane.learn(inbound);
        }
        if inbound.iter().any(|parcel| !parcel.tasks.is_empty()) {
            lane.decide(begin, inbound);
        }
        lane.admit(begin, begin + delay, outbound);
        lane.window += 1;
    }
}

/// A request with stages comes to its target: too rare to be a part of the loop that takes those
/// without.
struct LetIn<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    request: &'a Request,
    at: u64,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for LetIn<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.let_in(self.request, self.at, self.outbound);
    }
}

/// Likewise, when it comes into its queue.
struct Come<'a, 'model, W> {
    lane: &'a mut Lane<'model, W>,
    way: Way,
    outbound: &'a mut [Parcel],
}

impl<W: Witness> Task for Come<'_, '_, W> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.lane.come(self.way, self.outbound);
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

    /// Requests of the window before come to targets, and what was on its way comes into queues.
    #[inline(always)]
    fn serve(&mut self, end: u64, inbound: &[Parcel], outbound: &mut [Parcel]) {
        // Loops, not closures: those may stay apart, where they miss the wide vectors.
        let all;
        let mut merged = match inbound {
            [only] => Merged { left: &only.requests, right: &[] },
            [left, right] => Merged { left: &left.requests, right: &right.requests },
            _ => {
                let mut requests: Vec<_> =
                    inbound.iter().flat_map(|parcel| parcel.requests.iter().copied()).collect();
                requests.sort_by_key(|request| request.at);
                all = requests;
                Merged { left: &all, right: &[] }
            }
        };
        while let Some(request) = merged.next() {
            self.reach(request, outbound);
        }
        if !self.paths.is_empty() {
            self.come_until(end - 1, outbound);
        }
    }

    /// A request comes to its target.
    #[inline(always)]
    fn reach(&mut self, request: &Request, outbound: &mut [Parcel]) {
        let delay = self.plan.network.delay.0;
        let at = request.at + delay;
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        if self.coming.is_any_until(at) {
            self.come_until(at, outbound);
        }
        if W::LOOKS && self.looks.iter().any(|(key, _)| *key == request.key) {
            self.look(request, at, outbound);
        }
        if info.is_special {
            return match self.waits {
                None => wide::run(LetIn { lane: self, request, at, outbound }),
                Some(_) => self.let_in_waiting(request, at, outbound),
            };
        }
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(at);
        let work = bank.join(request.target - app.first_own, info.class, request.service);
        self.told(request, None, work, at, outbound);
    }

    /// A request that the witness looks at has come to its target.
    #[cold]
    fn look(&mut self, request: &Request, now: u64, outbound: &mut [Parcel]) {
        let Some(place) = self.looks.iter().position(|(key, _)| *key == request.key) else {
            return;
        };
        let (_, mut look) = self.looks.swap_remove(place);
        let Some((place, info)) = self.place(request) else { return };
        self.settle(place, now, outbound);
        if let Some(bank) = self.banks.get_mut(place.app as usize) {
            bank.pass(now);
            let (room, waits) = (bank.room(place.target), self.waits.as_mut());
            let predicted = waits.and_then(|waits| waits.predicted(place, info.class, room, now));
            let chosen = bank.look(place.target, info.class);
            look.chosen = Some(Chosen { target: request.target, predicted, ..chosen });
        }
        self.witness.look(request, look);
    }

    /// A request comes to its target that has stages besides.
    #[inline(always)]
    fn let_in(&mut self, request: &Request, now: u64, outbound: &mut [Parcel]) {
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(now);
        if let Err(cause) = bank.let_in(request.target - app.first_own, info.class) {
            return self.told(request, None, Err(cause), now, outbound);
        }
        let path = self.paths.at(source, request.key).unwrap_or_default();
        let way = Way { at: now + path.before().0, request: *request, path };
        if way.at == now {
            self.come(way, outbound);
        } else {
            self.coming.insert(way);
        }
    }

    /// What was on its way and is there at an instant or before comes into queues.
    #[inline(never)]
    fn come_until(&mut self, at: u64, outbound: &mut [Parcel]) {
        while let Some(way) = self.coming.next_until(at) {
            match self.waits {
                None => wide::run(Come { lane: self, way, outbound }),
                Some(_) => self.come_waiting(way, outbound),
            }
        }
    }

    /// A request comes into its queue.
    #[inline(always)]
    fn come(&mut self, way: Way, outbound: &mut [Parcel]) {
        let Way { at, request, path } = way;
        let (_, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source).copied() else { return };
        let Some(bank) = self.banks.get_mut(info.app as usize) else { return };
        let Some(app) = self.plan.apps.get(info.app as usize) else { return };
        bank.pass(at);
        let work = bank.come(request.target - app.first_own, info.class, request.service);
        self.told(&request, Some(&path), work, at, outbound);
    }

    /// What becomes of a request is known.
    #[inline(always)]
    fn told(
        &mut self,
        request: &Request,
        path: Option<&Path>,
        work: Result<(u64, u64), Refusal>,
        now: u64,
        outbound: &mut [Parcel],
    ) {
        let delay = self.plan.network.delay.0;
        let (gateway, source) = Key::parts(request.key);
        if let (Some(begins), Ok((start, _))) = (&mut self.begins, work)
            && let Some(info) = self.plan.source(source)
        {
            let waited = policy::Time(start).since(policy::Time(now));
            let begun = Begun { requests: 1, waited, work: info.expected };
            begins.count(info.app, start, begun);
        }
        let outcome = work.map(|(start, end)| {
            Served::new(request.target, policy::Time(start), policy::Time(end))
        });
        let respond = path.map_or(0, |path| path.respond.0);
        let over = work.map_or(now, |(_, end)| end + respond);
        self.witness.outcome(request, path, outcome);
        let answer = Answer { at: over + delay, user: request.user, gateway, source };
        if outbound.len() <= 1 {
            self.gateways.expect(answer);
        } else {
            // Whether the gateway is of this lane is as good as chance, so what is goes the way of
            // what isn't: none is heard of in this window.
            let owner = self.gateway_owners.get(usize::from(gateway)).copied().unwrap_or(0);
            if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
                parcel.answers.push(answer);
            }
        }
        if self.gateways.adapt() {
            self.heard(request, work.err(), over + delay, outbound);
        }
    }

    /// A gateway will hear at this time what became of a request.
    #[cold]
    fn heard(
        &mut self,
        request: &Request,
        cause: Option<Refusal>,
        at: u64,
        outbound: &mut [Parcel],
    ) {
        let (gateway, source) = Key::parts(request.key);
        let Some(info) = self.plan.source(source) else { return };
        let at = policy::Time(at);
        let answer = match cause {
            Some(cause) => policy::adaptive::Answer::refused(cause),
            None => policy::adaptive::Answer::served(at.since(request.time()), info.deadline),
        };
        let (key, cmd, class) = (request.key, info.cmd, info.class);
        let heard = Heard { at, key, gateway, cmd, class, answer };
        let owner = self.gateway_owners.get(usize::from(gateway)).copied().unwrap_or(0);
        if owner == self.number {
            self.gateways.listen(heard);
        } else if let Some(parcel) = outbound.get_mut(usize::from(owner)) {
            parcel.heard.push(heard);
        }
    }

    /// New requests come to gateways.
    #[inline(always)]
    fn admit(&mut self, begin: u64, end: u64, outbound: &mut [Parcel]) {
        let Lane { plan, flow, gateways, witness, arrived, unsent, sent, looks, .. } = self;
        gateways.begin(begin, plan);
        let requests = flow.before(end);
        let first = *arrived;
        *arrived += requests.len() as u64;
        let sent = match &mut *outbound {
            [only] => &mut only.requests,
            _ => sent,
        };
        for (place, request) in requests.iter().enumerate() {
            if W::LOOKS && witness.arrive(request, first + place as u64) {
                looks.push((request.key, gateways.look(request, plan)));
            }
            match gateways.arrive(request, plan) {
                Ok(target) => sent.push(Request { target, ..*request }),
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
        }
        if outbound.len() > 1 {
            self.deal(outbound);
        }
    }

    /// Requests that were sent go into the parcels of the lanes of their targets: apart from the
    /// decisions before, because which lane it is is as good as chance.
    #[inline(always)]
    fn deal(&mut self, outbound: &mut [Parcel]) {
        for request in self.sent.drain(..) {
            let (_, source) = Key::parts(request.key);
            let app = self.plan.source(source).map_or(0, |info| info.app as usize);
            let owners = self.owners.get(app);
            let owner = owners.and_then(|owners| owners.get(request.target as usize));
            if let Some(parcel) = owner.and_then(|owner| outbound.get_mut(usize::from(*owner))) {
                parcel.requests.push(request);
            }
        }
    }
}
