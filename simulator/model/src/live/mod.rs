//! The engine of runs in which instances come and go, or work begins in another order than requests
//! arrive in: the end of a request isn't known before it begins. Each target has its own short list
//! of ends; a wheel tells which targets have something due by the time of the next arrival, so
//! there is no heap of all events. What concerns more than one target (ticks, starts) happens at
//! known times and is handled in order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use policy::placement::Resources;
use policy::{Nanoseconds, Purpose, Refusal, Time, Words};
use simulator_kernel::Wheel;

use crate::adaptive::Heard;
use crate::books::{Books, SourceInfo};
use crate::faults::{BackOffs, Slow};
use crate::gates::Waits;
use crate::life::Control;
use crate::look::{Chosen, Look};
use crate::model::Model;
use crate::outcome::{Record, Served};
use crate::stages::{Path, Paths};
use crate::workload::{Arrival, Workload};

mod clients;
mod cluster;
mod control;
mod faults;
mod group;
mod lineup;
mod pipes;
mod seats;
mod sharing;
mod shedding;
mod signals;
mod target;
mod transfers;
mod waits;
mod wires;

use clients::Clients;
use cluster::Cluster;
pub use cluster::FIRST_VERSION;
use group::{Group, View};
use pipes::Pipes;
use sharing::Desks;
use signals::Signals;
use target::{Floor, Job, Jobs, Stops, Target};
use wires::Wires;

/// Runs a model to its end.
pub(crate) fn run(model: &Model, mut workload: Workload<'_>, record: &mut dyn Record) {
    let mut live = Live::new(model, record);
    while let Some(run) = workload.next_run() {
        let first = Time(run.at.first().copied().unwrap_or(0));
        if !live.record.goes_on(first, run.number) {
            live.ticks_until = first;
            live.clients = None;
            break;
        }
        let Some(info) = live.sources.get(usize::from(run.source)).copied() else { continue };
        for arrival in run.arrivals() {
            live.advance(arrival.at);
            live.open(&arrival, info);
        }
    }
    live.finish();
}

struct Live<'model> {
    model: &'model Model,
    record: &'model mut dyn Record,
    sources: Vec<SourceInfo>,
    books: Books,
    /// Of all apps.
    targets: Vec<Target>,
    groups: Vec<Group<'model>>,
    /// Places of targets by app and number.
    made: BTreeMap<(usize, u32), u32>,
    jobs: Jobs,
    /// Targets at the times at which work ends there.
    wheel: Wheel<u32>,
    paths: Paths,
    /// Whose answers are being sent, at the times at which they have been.
    answers: Wheel<Holder>,
    /// Links that transfers share, if there are any.
    wires: Option<Box<Wires>>,
    /// Work that has just ended whose answers share links: of which target, and when.
    ended: Vec<(Job, u32, Time)>,
    /// If any client tries again.
    clients: Option<Clients>,
    /// If answers cause requests.
    pipes: Option<Box<Pipes<'model>>>,
    /// A list that is used again and again.
    due: Vec<u32>,
    /// Likewise: instances that have just left, when, and when that was decided.
    left: Vec<(Time, u32, Time)>,
    /// Likewise: requests that have waited for too long.
    shed: Vec<(u32, Job, Refusal, Time)>,
    /// Rules about waits, if there are any.
    waits: Option<Box<Waits>>,
    /// Instants at which something happens, if what happens may cause what is sent then.
    stops: Option<Stops>,
    controls: BinaryHeap<Reverse<(Time, Control)>>,
    /// The end of arrivals, and of ticks.
    ticks_until: Time,
    /// What instances hold of each machine.
    held: Vec<Resources>,
    /// Faults of each machine at the moment.
    down: Vec<u32>,
    slow: Slow,
    back_offs: BackOffs,
    /// Apps that share machines.
    desks: Desks,
    /// The scheduler and what is between it and the instances, if there is one.
    cluster: Option<Box<Cluster<'model>>>,
    /// Whether any version takes more or less time than the one in the beginning, or a gate asks
    /// what begins.
    is_special: bool,
    /// Turns of round robins: for each gateway, of each app.
    turns: Vec<u64>,
    /// If the balancer learns.
    signals: Option<Box<Signals>>,
    balance_words: Words,
}

/// Who holds permits.
#[derive(Debug, Clone, Copy)]
struct Holder {
    user: u32,
    cmd: u32,
    gateway: u16,
}

impl<'model> Live<'model> {
    fn new(model: &'model Model, record: &'model mut dyn Record) -> Self {
        let groups = model.apps.iter().enumerate();
        let groups = groups.map(|(number, app)| Group::new(model, number, app)).collect();
        let machines = model.apps.iter().map(|app| app.machines).max().unwrap_or(0) as usize;
        let mut live = Live {
            model,
            record,
            sources: model.sources.iter().map(|source| SourceInfo::new(model, source)).collect(),
            books: Books::new(model),
            targets: Vec::new(),
            groups,
            made: BTreeMap::new(),
            jobs: Jobs::default(),
            wheel: Wheel::new(model.mean_gap()),
            paths: Paths::new(model),
            answers: Wheel::new(model.mean_gap()),
            wires: Wires::new(model),
            ended: Vec::new(),
            clients: Clients::new(model),
            pipes: Pipes::new(model),
            due: Vec::new(),
            left: Vec::new(),
            shed: Vec::new(),
            waits: Waits::new(model),
            stops: model.answers_cause_requests().then(Stops::new),
            controls: BinaryHeap::new(),
            ticks_until: Time(model.duration.0),
            held: vec![Resources::default(); machines],
            down: vec![0; machines],
            slow: Slow::default(),
            back_offs: BackOffs::default(),
            desks: Desks::default(),
            cluster: None,
            is_special: model.admission.overload.is_some(),
            turns: vec![0; usize::from(model.gateways.max(1)) * model.apps.len()],
            signals: Signals::new(model),
            balance_words: Words::new(model.seed, Purpose::Balance, 0),
        };
        live.begin();
        live
    }

    /// Everything happens that is due by now, control before what arrives now.
    #[inline]
    fn until(&mut self, now: Time) {
        loop {
            let first = self.controls.peek().map(|Reverse((at, _))| *at);
            let stop = first.map_or(now, |at| at.min(now));
            let stop = self.next_leave().map_or(stop, |at| at.min(stop));
            self.pass(stop);
            // What has just passed may have planned something for before.
            match self.controls.peek().copied() {
                Some(Reverse((at, control))) if at <= stop => {
                    self.controls.pop();
                    self.control(control, at);
                }
                _ if stop < now => {}
                _ => break,
            }
        }
        let books = &mut self.books;
        self.answers.advance(now.0, |Holder { user, cmd, gateway }| {
            books.with(gateway, user, cmd, policy::release);
        });
    }

    /// Requests end and begin until now.
    #[inline]
    fn pass(&mut self, now: Time) {
        let shares_links = self.wires.is_some();
        if shares_links {
            self.receive_sources(now);
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(now.0, |place| due.push(place));
        for place in due.drain(..) {
            self.pass_at(place, now);
        }
        self.due = due;
        if shares_links {
            self.send_answers(now);
        }
    }

    fn pass_at(&mut self, place: u32, now: Time) {
        if self.wires.is_some() {
            return self.pass_at_over_links(place, now);
        }
        let Some((target, mut floor, mut rest)) = self.at(place, now) else { return };
        let mut count = 0;
        target.pass(&mut floor, |job, number, end| {
            count += 1;
            *rest.tasks -= 1;
            if let Some(signals) = &mut rest.signals {
                signals.answer(place, job, end);
            }
            rest.serve(job, Served::new(number, job.start, end), end + job.respond);
        });
        let app = target.app as usize;
        if let Some(group) = self.groups.get_mut(app) {
            group.leave(place, count);
        }
        self.see_off(app);
    }

    /// The same where answers share links: when they have been sent isn't known yet.
    #[cold]
    fn pass_at_over_links(&mut self, place: u32, now: Time) {
        let mut ended = std::mem::take(&mut self.ended);
        let Some((target, mut floor, mut rest)) = self.at(place, now) else { return };
        let mut count = 0;
        target.pass(&mut floor, |job, number, end| {
            count += 1;
            *rest.tasks -= 1;
            if let Some(signals) = &mut rest.signals {
                signals.answer(place, job, end);
            }
            ended.push((*job, number, end));
        });
        let app = target.app as usize;
        if let Some(group) = self.groups.get_mut(app) {
            group.leave(place, count);
        }
        self.answer_over_links(place, &mut ended);
        self.ended = ended;
        self.see_off(app);
    }

    /// A target with what it needs to let time pass.
    #[inline]
    fn at(
        &mut self,
        place: u32,
        until: Time,
    ) -> Option<(&mut Target, Floor<'_>, Rest<'_, 'model>)> {
        let target = self.targets.get_mut(place as usize)?;
        let group = self.groups.get_mut(target.app as usize)?;
        let floor = Floor {
            until,
            jobs: &mut self.jobs,
            queue: &self.model.queue,
            sources: &self.sources,
            instances: &mut group.instances,
            waiting: &mut group.waiting,
            wheel: &mut self.wheel,
            warm_up: &group.definition.life.warm_up,
            crowd: group.definition.crowd.as_ref(),
            is_special: self.slow.is_anywhere() || self.is_special,
            waits: self.waits.as_deref_mut(),
            left: &mut self.left,
            shed: &mut self.shed,
            stops: self.stops.as_mut(),
            wires: self.wires.as_deref_mut(),
        };
        let rest = Rest {
            books: &mut self.books,
            answers: &mut self.answers,
            clients: &mut self.clients,
            pipes: self.pipes.as_deref_mut(),
            record: self.record,
            sources: &self.sources,
            signals: self.signals.as_deref_mut(),
            tasks: &mut group.tasks,
        };
        Some((target, floor, rest))
    }

    /// What those of an app's requests need that are at no target any more.
    fn rest(&mut self, app: usize) -> Option<Rest<'_, 'model>> {
        Some(Rest {
            books: &mut self.books,
            answers: &mut self.answers,
            clients: &mut self.clients,
            pipes: self.pipes.as_deref_mut(),
            record: self.record,
            sources: &self.sources,
            signals: self.signals.as_deref_mut(),
            tasks: &mut self.groups.get_mut(app)?.tasks,
        })
    }

    #[inline]
    fn arrive(&mut self, arrival: &Arrival, info: SourceInfo) -> Result<(), Refusal> {
        let now = arrival.at;
        let candidate = info.candidate(now);
        let (rules, waits) = (&self.model.admission, &mut self.waits);
        self.books.ask((arrival.gateway, arrival.user, &info), now, waits, |accounts| {
            policy::admit(rules, accounts, candidate, now)
        })?;
        let queued = self.dispatch(arrival, info);
        if let Some(group) = self.groups.get_mut(info.app as usize) {
            group.demand.count(queued.is_err());
        }
        if let Err(cause) = queued {
            self.books.with(arrival.gateway, arrival.user, info.cmd, policy::release);
            self.books.expect(Heard::refused(arrival, cause, now, &info));
        }
        queued
    }

    #[inline]
    fn dispatch(&mut self, arrival: &Arrival, info: SourceInfo) -> Result<(), Refusal> {
        let apps = self.groups.len();
        let group = self.groups.get(info.app as usize).ok_or(Refusal::NoInstance)?;
        let number = usize::from(arrival.gateway) * apps + info.app as usize;
        let turn = self.turns.get_mut(number).ok_or(Refusal::NoInstance)?;
        let draw = self.balance_words.of(arrival.key);
        let signals = self.signals.as_deref_mut().map(|known| (known, number, arrival.at));
        let mut view = View { group, targets: &self.targets, signals };
        let chosen = policy::pick(self.model.balance, &mut view, turn, draw);
        let chosen = chosen.ok_or(Refusal::NoInstance)?;
        let place = *group.open.get(chosen as usize).ok_or(Refusal::NoInstance)?;
        let queue = &self.model.queue;
        let path = self.paths.of(arrival).unwrap_or_default();
        let trip = self.paths.trip(arrival);
        let (target, mut floor, rest) = self.at(place, arrival.at).ok_or(Refusal::NoInstance)?;
        policy::enqueue(queue, info.class, target.standing(info.class, queue))?;
        if let Some(waits) = floor.waits.as_deref() {
            let known = (&*floor.jobs, floor.sources);
            let candidate = info.candidate(arrival.at);
            waits.enqueue(target, info.class, candidate, known, arrival.at)?;
        }
        *rest.tasks += 1;
        let Path { download, respond, .. } = path;
        let (class, held) = (info.class, path.held(queue.scope));
        let in_flight = if rest.signals.is_some() { target.load() } else { 0 };
        let start = Time::ZERO;
        let job = Job { arrival: *arrival, class, in_flight, start, download, respond, held };
        target.let_in(job, &path, trip, arrival.at, &mut floor);
        if let Some(group) = self.groups.get_mut(info.app as usize) {
            group.join(place);
            group.peak = group.peak.max(group.waiting);
            self.desks.count(info.app as usize, group.tasks);
        }
        Ok(())
    }

    /// What there is just before a request is decided about.
    fn look(&mut self, arrival: &Arrival, info: SourceInfo) -> Look {
        let who = (arrival.gateway, arrival.user, &info);
        let mut look =
            self.books.ask(who, arrival.at, &mut self.waits, |accounts| Look::of(&accounts));
        let number = usize::from(arrival.gateway) * self.groups.len() + info.app as usize;
        let group = self.groups.get(info.app as usize);
        let (Some(group), Some(turn)) = (group, self.turns.get(number)) else { return look };
        let draw = self.balance_words.of(arrival.key);
        let signals = self.signals.as_deref_mut().map(|known| (known, number, arrival.at));
        let mut view = View { group, targets: &self.targets, signals };
        let chosen = look.pick(self.model.balance, &mut view, *turn, draw);
        let known = |place: u32| {
            let place = group.open.get(place as usize)?;
            self.targets.get(*place as usize)
        };
        for (target, _) in &mut look.seen {
            *target = known(*target).map_or(*target, |known| known.number);
        }
        let chosen = chosen.and_then(known);
        look.chosen = chosen.map(|target| {
            let rules = &self.model.queue;
            let predicted = self
                .waits
                .as_ref()
                .and_then(|waits| waits.predicted(target, info.class, (&self.jobs, &self.sources)));
            Chosen { predicted, ..target.look(info.class, rules) }
        });
        look
    }

    /// After the last arrival: what is planned still happens, and all work is done.
    fn finish(&mut self) {
        loop {
            let control = self.controls.peek().map(|Reverse((at, _))| *at);
            let deed = self.clients.as_ref().and_then(Clients::next);
            let stop = self.next_stop();
            let causes = deed.into_iter().chain(stop).chain(self.next_step());
            let Some(next) = control.into_iter().chain(causes).min() else { break };
            self.advance_through(next);
        }
        self.until(LAST);
        for (app, group) in self.groups.iter().enumerate() {
            self.record.peak_queue(app, group.peak);
        }
    }
}

/// What a target doesn't need to let time pass.
struct Rest<'a, 'model> {
    books: &'a mut Books,
    answers: &'a mut Wheel<Holder>,
    clients: &'a mut Option<Clients>,
    pipes: Option<&'a mut Pipes<'model>>,
    record: &'a mut dyn Record,
    sources: &'a [SourceInfo],
    signals: Option<&'a mut Signals>,
    tasks: &'a mut u64,
}

impl Rest<'_, '_> {
    /// Work has ended, and its answer has been sent, or will be by then.
    #[inline]
    fn serve(&mut self, job: &Job, served: Served, answered: Time) {
        let Arrival { gateway, user, source, .. } = job.arrival;
        let info = self.sources.get(usize::from(source));
        if let (Some(clients), Some(info)) = (self.clients.as_mut(), info)
            && let Some((first, attempts)) = clients.answer(&job.arrival, answered, info.deadline)
        {
            self.record.settle(&first, attempts, Some(answered));
        }
        let pipes = self.pipes.as_mut();
        if let Some(over) = pipes.and_then(|pipes| pipes.answered(&job.arrival, answered)) {
            self.record.finish(&over.0, over.1, over.2);
        }
        if let Some(info) = info.filter(|_| self.books.adapts()) {
            self.books.expect(Heard::served(&job.arrival, answered, info));
        }
        match info.map(|info| info.cmd) {
            Some(cmd) if job.respond > Nanoseconds::ZERO => {
                self.answers.insert(answered.0, Holder { user, cmd, gateway });
            }
            Some(cmd) => self.books.with(gateway, user, cmd, policy::release),
            None => {}
        }
        self.record.record(&job.arrival, Ok(served));
    }

    /// A request fails that was let in.
    fn fail(&mut self, arrival: &Arrival, now: Time) {
        self.drop(arrival, Refusal::Failed, now);
    }

    /// A request comes to nothing that was let in.
    fn drop(&mut self, arrival: &Arrival, cause: Refusal, now: Time) {
        if let Some(info) = self.sources.get(usize::from(arrival.source)) {
            self.books.with(arrival.gateway, arrival.user, info.cmd, policy::release);
            self.books.expect(Heard::refused(arrival, cause, now, info));
        }
        self.record.record(arrival, Err(cause));
        let pipes = self.pipes.as_mut();
        if let Some(over) = pipes.and_then(|pipes| pipes.refused(arrival, cause)) {
            self.record.finish(&over.0, over.1, over.2);
        }
        if let Some(clients) = self.clients.as_mut() {
            clients.give_up(arrival, now);
        }
    }
}

/// Nothing happens after this, 146 years after the beginning.
const LAST: Time = Time(1 << 62);
