//! The slow engine: a heap of events, lists of requests, and nothing clever. It is the measure of
//! the fast one, so it shares with it only the stream of requests and the crate `policy`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use policy::admission::{Account, Candidate};
use policy::{Accounts, Class, Purpose, Refusal, Scope, Targets, Time, Waiting, Words};

use crate::model::Model;
use crate::outcome::{Record, Served};
use crate::workload::{Arrival, Workload};

/// What the oracle knows besides outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// The number of requests in the system, summed over time: by Little's law the sum of all
    /// responses.
    pub presence: u128,
    /// The number of instances at work, summed over time: the sum of all services.
    pub work: u128,
    /// Instants at which an instance was idle though a request waited at its target.
    pub idle_beside_work: u64,
}

/// Events in their order at one instant: what ends is over before what arrives.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request (by its number) ends at an app's target.
    End { app: usize, target: usize, number: u64 },
    /// The next request arrives.
    Arrive,
}

#[derive(Debug, Default)]
struct Target {
    instances: usize,
    waiting: VecDeque<Arrival>,
    running: Vec<(Arrival, Time)>,
}

#[derive(Debug)]
struct View<'a>(&'a [Target]);

impl Targets for View<'_> {
    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn load(&mut self, target: u32) -> u32 {
        let load = |target: &Target| target.waiting.len() + target.running.len();
        self.0.get(target as usize).map_or(0, |target| u32::try_from(load(target)).unwrap_or(0))
    }
}

#[derive(Debug)]
struct Oracle<'model, R> {
    model: &'model Model,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    apps: Vec<Vec<Target>>,
    accepted: BTreeMap<u16, u32>,
    users: BTreeMap<(u16, u32), Account>,
    cmds: BTreeMap<(u16, usize), Account>,
    turns: BTreeMap<(u16, usize), u64>,
    balance_words: Words,
    checked: Checked,
    now: Time,
    record: &'model mut R,
}

/// Runs a model to its end.
pub fn run<R: Record>(model: &Model, record: &mut R) -> Checked {
    run_from(model, Workload::new(model), record)
}

/// Runs a model with the requests of a workload.
pub fn run_from<R: Record>(model: &Model, workload: Workload<'_>, record: &mut R) -> Checked {
    let targets = |app: &crate::App| {
        let (count, instances) = app.targets(&model.queue);
        let target = || Target { instances: instances as usize, ..Target::default() };
        (0..count).map(|_| target()).collect()
    };
    let mut oracle = Oracle {
        model,
        events: BinaryHeap::new(),
        apps: model.apps.iter().map(targets).collect(),
        accepted: BTreeMap::new(),
        users: BTreeMap::new(),
        cmds: BTreeMap::new(),
        turns: BTreeMap::new(),
        balance_words: Words::new(model.seed, Purpose::Balance, 0),
        checked: Checked::default(),
        now: Time::ZERO,
        record,
    };
    let mut arrivals = workload.rest().into_iter();
    let mut next = arrivals.next();
    if let Some(arrival) = &next {
        oracle.events.push(Reverse((arrival.at, Event::Arrive)));
    }
    while let Some(Reverse((now, event))) = oracle.events.pop() {
        oracle.pass(now);
        match event {
            Event::End { app, target, number } => oracle.end(app, target, number),
            Event::Arrive => {
                let Some(arrival) = next else { continue };
                oracle.arrive(arrival);
                next = arrivals.next();
                if let Some(arrival) = &next {
                    oracle.events.push(Reverse((arrival.at, Event::Arrive)));
                }
            }
        }
    }
    oracle.checked
}

impl<R: Record> Oracle<'_, R> {
    /// Lets time pass until `now`.
    fn pass(&mut self, now: Time) {
        let passed = now.since(self.now).0;
        if passed == 0 {
            return;
        }
        for target in self.apps.iter().flatten() {
            let (waiting, running) = (target.waiting.len() as u128, target.running.len() as u128);
            self.checked.presence += (waiting + running) * u128::from(passed);
            self.checked.work += running * u128::from(passed);
            let is_idle = target.running.len() < target.instances;
            self.checked.idle_beside_work += u64::from(is_idle && waiting > 0);
        }
        self.now = now;
    }

    fn arrive(&mut self, arrival: Arrival) {
        match self.enter(&arrival) {
            Ok(()) => {}
            Err(cause) => self.record.record(&arrival, Err(cause)),
        }
    }

    fn enter(&mut self, arrival: &Arrival) -> Result<(), Refusal> {
        let now = self.now;
        let Some((cmd, class)) = self.kind(arrival) else { return Err(Refusal::NoInstance) };
        let Some(definition) = self.model.cmds.get(cmd) else { return Err(Refusal::NoInstance) };
        let candidate = Candidate {
            deadline: definition.deadline.map_or(Time(u64::MAX), |deadline| now + deadline),
            usual: definition.service.median(),
        };
        let admission = self.model.admission;
        self.with_accounts(arrival, cmd, |accounts| {
            policy::admit(&admission, accounts, candidate, now)
        })?;
        let queued = self.dispatch(arrival, definition.app, class);
        if queued.is_err() {
            self.with_accounts(arrival, cmd, policy::release);
        }
        queued
    }

    fn dispatch(&mut self, arrival: &Arrival, app: usize, class: Class) -> Result<(), Refusal> {
        let targets = self.apps.get(app).map_or(&[][..], Vec::as_slice);
        let turn = self.turns.entry((arrival.gateway, app)).or_default();
        let draw = self.balance_words.of(arrival.key);
        let chosen = policy::pick(self.model.balance, &mut View(targets), turn, draw);
        let chosen = chosen.ok_or(Refusal::NoInstance)? as usize;
        let target = targets.get(chosen).ok_or(Refusal::NoInstance)?;
        let class_of = |arrival: &Arrival| self.kind(arrival).map(|(_, class)| class);
        let mut waiting = [0; 2];
        let mut running = [0; 2];
        for known in target.waiting.iter().filter_map(class_of) {
            *waiting.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in target.running.iter().filter_map(|(arrival, _)| class_of(arrival)) {
            *running.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        let counted = self.model.queue.counted(class, waiting, running);
        let idle = target.running.len() < target.instances;
        policy::enqueue(&self.model.queue, class, Waiting { counted, idle })?;
        if let Some(target) = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen)) {
            target.waiting.push_back(*arrival);
        }
        self.start(app, chosen);
        Ok(())
    }

    /// Begins work at a target, if an instance is idle and a request waits.
    fn start(&mut self, app: usize, chosen: usize) {
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let Some(target) = target else { return };
        if target.running.len() < target.instances
            && let Some(arrival) = target.waiting.pop_front()
        {
            target.running.push((arrival, self.now));
            let end = Event::End { app, target: chosen, number: arrival.number };
            self.events.push(Reverse((self.now + arrival.service, end)));
        }
    }

    fn end(&mut self, app: usize, chosen: usize, number: u64) {
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let Some(target) = target else { return };
        let place = target.running.iter().position(|(arrival, _)| arrival.number == number);
        let Some(place) = place else { return };
        let (arrival, start) = target.running.remove(place);
        self.start(app, chosen);
        if let Some((cmd, _)) = self.kind(&arrival) {
            self.with_accounts(&arrival, cmd, policy::release);
        }
        let target = u32::try_from(chosen).unwrap_or(u32::MAX);
        self.record.record(&arrival, Ok(Served { target, start, end: self.now }));
    }

    /// Command and class of a request.
    fn kind(&self, arrival: &Arrival) -> Option<(usize, Class)> {
        let source = self.model.sources.get(usize::from(arrival.source))?;
        Some((source.cmd, self.model.tenants.get(source.tenants)?.class))
    }

    fn with_accounts<T>(
        &mut self,
        arrival: &Arrival,
        cmd: usize,
        act: impl FnOnce(Accounts<'_>) -> T,
    ) -> T {
        let rules = &self.model.admission;
        let counter = |scope: Option<Scope>| match scope {
            Some(Scope::Cluster) => 0,
            Some(Scope::Gateway) | None => arrival.gateway,
        };
        let accepted = counter(rules.accept.map(|accept| accept.scope));
        let user = counter(rules.user.map(|limits| limits.scope));
        let of_cmd = counter(rules.cmd.map(|limits| limits.scope));
        act(Accounts {
            accepted: self.accepted.entry(accepted).or_default(),
            user: self.users.entry((user, arrival.user)).or_default(),
            cmd: self.cmds.entry((of_cmd, cmd)).or_default(),
        })
    }
}
