//! The slow engine: a heap of events, lists of requests, and nothing clever. It is the measure of
//! the fast ones, so it shares with them only the stream of requests, the order of events at one
//! instant and the crate `policy`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use policy::adaptive::{Answer, Limiter};
use policy::admission::{Account, Candidate, Learned};
use policy::dagor::{Begun, Gate};
use policy::queue::QueueScope;
use policy::{Accounts, Class, Nanoseconds, Present, Purpose, Refusal, Scope, Time, Words};

use crate::faults::{BackOffs, Slow};
use crate::life::Control;
use crate::links::Channel;
use crate::model::{Cmd, Model};
use crate::outcome::{Record, Served};
use crate::stages::Paths;
use crate::workload::{Arrival, Workload};

mod clients;
mod control;
mod crew;
mod faults;
mod limits;
mod links;
mod pipelines;
mod queues;
mod sharing;
mod signals;

use crew::{Crew, Task};
use links::{Cable, Load};
use sharing::Desk;
use signals::{Signals, View};

/// What the oracle knows besides outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// The number of requests in the system, summed over time: by Little's law the sum of all
    /// responses.
    pub presence: u128,
    /// The number of instances at work, summed over time: the sum of all services.
    pub work: u128,
    /// Parts of both that were of requests which failed.
    pub lost_presence: u128,
    /// Likewise.
    pub lost_work: u128,
    /// Instants at which an instance was idle though a request waited at its target.
    pub idle_beside_work: u64,
}

/// Events in their order at one instant: what ends is over before what arrives.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Something ends on a link of a machine, unless that was planned in another version.
    Carried { machine: usize, channel: Channel, version: u64 },
    /// The latency of a transfer is over: of one that was begun with this number.
    Enter { serial: u64 },
    /// An instance ends a request.
    End { app: usize, target: usize, instance: usize, version: u64 },
    /// A request has come to its target; those that were let in first come first.
    Join { serial: u64, app: usize, target: usize, key: u64 },
    /// The answer of a request has been sent.
    Answered { key: u64 },
    /// Something else that was planned.
    Control(Control),
    /// A client learns that an attempt came to nothing.
    Unanswered { number: u64, attempt: u32 },
    /// The next request arrives.
    Arrive,
    /// A client tries again.
    Again { number: u64, attempt: u32 },
    /// The next step of a pipeline comes.
    GoOn { key: u64 },
}

struct Oracle<'model> {
    model: &'model Model,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    apps: Vec<Crew>,
    /// How many faults of a machine there are at the moment.
    down: BTreeMap<usize, u32>,
    /// Instances to start again, by machine and app.
    lost: BTreeMap<(usize, usize), u32>,
    /// Apps that share machines.
    desks: Vec<Desk>,
    slow: Slow,
    back_offs: BackOffs,
    accepted: BTreeMap<u16, u32>,
    users: BTreeMap<(u16, u32), Account>,
    cmds: BTreeMap<(u16, usize), Account>,
    /// By gateway, and by command if each has its own.
    limiters: BTreeMap<(u16, usize), Limiter>,
    /// What gateways hear, or have heard and not yet thought about: by time and key, of which limiter.
    heard: BTreeMap<(Time, u64), Heard>,
    /// Gates, and what has begun since their windows did, by app.
    gates: BTreeMap<usize, (Gate, Begun)>,
    turns: BTreeMap<(u16, usize), u64>,
    signals: Signals,
    balance_words: Words,
    paths: Paths,
    /// Requests whose answers are being sent, by their keys.
    answering: BTreeMap<u64, Arrival>,
    /// How many times a request was let in.
    serial: u64,
    /// Of requests on their way, by their keys, the number with which they will come.
    joining: BTreeMap<u64, u64>,
    /// Links that transfers share, and what is on its way to them, by the numbers of its beginning.
    cables: BTreeMap<(usize, Channel), Cable>,
    loads: BTreeMap<u64, Load>,
    /// What the downloads of requests have taken, by their keys.
    downloads: BTreeMap<u64, Nanoseconds>,
    /// Requests without an answer of clients that try again, by number: the first attempt, and
    /// which is the present one.
    calls: BTreeMap<u64, (Arrival, u32)>,
    /// Pipelines that aren't over, by number: the first step, and how many there have been.
    pipelines: BTreeMap<u64, (Arrival, u32)>,
    /// Steps that will come, by their keys.
    steps: BTreeMap<u64, Arrival>,
    /// What clients have sent: of which source, when, and whether it was a retry.
    sent: Vec<(u16, Time, bool)>,
    checked: Checked,
    now: Time,
    record: &'model mut dyn Record,
}

/// Of which limiter, about a request of which class, and what.
type Heard = ((u16, usize), Class, Answer);

/// Runs a model to its end.
pub fn run(model: &Model, record: &mut dyn Record) -> Checked {
    run_from(model, Workload::new(model), record)
}

/// Runs a model with the requests of a workload.
pub fn run_from(model: &Model, workload: Workload<'_>, record: &mut dyn Record) -> Checked {
    let mut oracle = Oracle {
        model,
        events: BinaryHeap::new(),
        apps: model.apps.iter().map(|app| Crew::new(app, &model.queue)).collect(),
        down: BTreeMap::new(),
        lost: BTreeMap::new(),
        desks: Vec::new(),
        slow: Slow::default(),
        back_offs: BackOffs::default(),
        accepted: BTreeMap::new(),
        users: BTreeMap::new(),
        cmds: BTreeMap::new(),
        limiters: BTreeMap::new(),
        heard: BTreeMap::new(),
        gates: BTreeMap::new(),
        turns: BTreeMap::new(),
        signals: Signals::new(model.balance),
        balance_words: Words::new(model.seed, Purpose::Balance, 0),
        paths: Paths::new(model),
        answering: BTreeMap::new(),
        serial: 0,
        joining: BTreeMap::new(),
        cables: BTreeMap::new(),
        loads: BTreeMap::new(),
        downloads: BTreeMap::new(),
        calls: BTreeMap::new(),
        pipelines: BTreeMap::new(),
        steps: BTreeMap::new(),
        sent: Vec::new(),
        checked: Checked::default(),
        now: Time::ZERO,
        record,
    };
    oracle.plan_tick();
    oracle.open_desks();
    oracle.plan_faults();
    let mut arrivals = workload.rest().into_iter();
    let mut next = arrivals.next();
    if let Some(arrival) = &next {
        oracle.events.push(Reverse((arrival.at, Event::Arrive)));
    }
    while let Some(Reverse((now, event))) = oracle.events.pop() {
        oracle.pass(now);
        match event {
            Event::Carried { machine, channel, version } => {
                oracle.carried(machine, channel, version);
            }
            Event::Enter { serial } => oracle.enter_link(serial),
            Event::End { app, target, instance, version } => {
                oracle.end(app, target, instance, version);
            }
            Event::Join { serial, app, target, key } => {
                if oracle.joining.get(&key) == Some(&serial) {
                    oracle.join(app, target, key);
                }
            }
            Event::Answered { key } => {
                if let Some(arrival) = oracle.answering.remove(&key) {
                    oracle.release(&arrival);
                }
            }
            Event::Control(control) => oracle.control(control),
            Event::Unanswered { number, attempt } => oracle.unanswered(number, attempt),
            Event::Again { number, attempt } => oracle.try_again(number, attempt),
            Event::GoOn { key } => oracle.go_on(key),
            Event::Arrive => {
                let Some(arrival) = next else { continue };
                oracle.open(&arrival);
                oracle.begin_pipeline(&arrival);
                oracle.arrive(arrival);
                next = arrivals.next();
                if let Some(arrival) = &next {
                    oracle.events.push(Reverse((arrival.at, Event::Arrive)));
                }
            }
        }
    }
    oracle.tell_peaks();
    oracle.checked
}

impl Oracle<'_> {
    /// Lets time pass until `now`.
    fn pass(&mut self, now: Time) {
        let passed = now.since(self.now).0;
        if passed == 0 {
            return;
        }
        for app in &self.apps {
            for (target, queue) in &app.queues {
                let (waiting, running) =
                    (queue.waiting.len() as u128, app.running(*target) as u128);
                let present = queue.coming.len() as u128 + waiting + running;
                self.checked.presence += present * u128::from(passed);
                self.checked.work += running * u128::from(passed);
                let is_idle = app.able(*target).next().is_some();
                self.checked.idle_beside_work += u64::from(is_idle && waiting > 0);
            }
        }
        self.now = now;
    }

    fn arrive(&mut self, arrival: Arrival) {
        match self.enter(&arrival) {
            Ok(()) => self.wait_for(&arrival),
            Err(cause) => {
                self.record.record(&arrival, Err(cause));
                self.end_pipeline(&arrival, Err(cause));
                self.tell_client(&arrival, self.now);
            }
        }
    }

    fn enter(&mut self, arrival: &Arrival) -> Result<(), Refusal> {
        let now = self.now;
        let Some((cmd, class)) = self.kind(arrival) else { return Err(Refusal::NoInstance) };
        let Some(definition) = self.model.cmds.get(cmd) else { return Err(Refusal::NoInstance) };
        let candidate = candidate(definition, now);
        let admission = self.model.admission;
        self.think();
        self.pass_gate(definition.app);
        self.with_accounts(arrival, cmd, |accounts| {
            policy::admit(&admission, accounts, candidate, now)
        })?;
        let queued = self.dispatch(arrival, definition.app, class);
        if let Some(crew) = self.apps.get_mut(definition.app) {
            crew.arrivals += 1;
            crew.refusals += u64::from(queued.is_err());
        }
        if let Err(cause) = queued {
            self.with_accounts(arrival, cmd, policy::release);
            self.hear_refusal(arrival, cause);
        }
        queued
    }

    fn dispatch(&mut self, arrival: &Arrival, app: usize, class: Class) -> Result<(), Refusal> {
        let target = self.choose(arrival, app)?;
        let crew = self.apps.get(app).ok_or(Refusal::NoInstance)?;
        let class_of = |arrival: &Arrival| self.kind(arrival).map(|(_, class)| class);
        let mut present =
            Present { idle: u32::try_from(crew.room(target)).unwrap_or(0), ..Present::default() };
        for known in crew.coming_to(target).filter_map(class_of) {
            *present.coming.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in crew.waiting_at(target).filter_map(class_of) {
            *present.waiting.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in crew.running_at(target).filter_map(class_of) {
            *present.running.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        policy::enqueue(&self.model.queue, class, self.model.queue.standing(class, present))?;
        self.predict(app, target, class, arrival)?;
        self.come(arrival, app, target);
        if let Some(crew) = self.apps.get_mut(app) {
            crew.peak = crew.peak.max(crew.all_waiting());
        }
        self.count_for_desks(app);
        Ok(())
    }

    /// The target of a request.
    fn choose(&mut self, arrival: &Arrival, app: usize) -> Result<usize, Refusal> {
        let crew = self.apps.get(app).ok_or(Refusal::NoInstance)?;
        let turn = self.turns.entry((arrival.gateway, app)).or_default();
        let draw = self.balance_words.of(arrival.key);
        let mut view =
            View { crew, signals: &mut self.signals, gateway: arrival.gateway, app, now: self.now };
        let chosen = policy::pick(self.model.balance, &mut view, turn, draw);
        let chosen = chosen.ok_or(Refusal::NoInstance)? as usize;
        crew.open.get(chosen).map(|(target, _)| *target).ok_or(Refusal::NoInstance)
    }

    /// A request begins its way to its target.
    fn come(&mut self, arrival: &Arrival, app: usize, target: usize) {
        let path = self.paths.of(arrival).unwrap_or_default();
        let before = match self.model.queue.scope {
            QueueScope::Central => path.accept,
            QueueScope::Node | QueueScope::Instance => path.before(),
        };
        let there = self.apps.get(app).map_or(0, |crew| crew.load(target));
        self.signals.send(arrival.key, there);
        if let Some(queue) = self.apps.get_mut(app).and_then(|crew| crew.queues.get_mut(&target)) {
            queue.coming.push(*arrival);
        }
        if let Some(trip) = self.paths.trip(arrival) {
            self.download(arrival, (app, target), trip);
        } else if before == Nanoseconds::ZERO {
            self.join(app, target, arrival.key);
        } else {
            self.serial += 1;
            self.joining.insert(arrival.key, self.serial);
            let join = Event::Join { serial: self.serial, app, target, key: arrival.key };
            self.events.push(Reverse((self.now + before, join)));
        }
    }

    /// A request has come to its target, unless it was lost on its way.
    fn join(&mut self, app: usize, target: usize, key: u64) {
        let queue = self.apps.get_mut(app).and_then(|crew| crew.queues.get_mut(&target));
        let Some(queue) = queue else { return };
        let Some(place) = queue.coming.iter().position(|arrival| arrival.key == key) else {
            return;
        };
        let arrival = queue.coming.remove(place);
        queue.put(arrival, false, self.now, &self.model.queue);
        self.settle(app, target);
    }

    fn end(&mut self, app: usize, target: usize, number: usize, version: u64) {
        let Some(definition) = self.model.apps.get(app) else { return };
        let Some(crew) = self.apps.get_mut(app) else { return };
        let Some(instance) = crew.instances.get_mut(number) else { return };
        if instance.version != version {
            return;
        }
        control::elapse(instance, definition, self.now);
        let tasks = instance.work.iter().enumerate();
        let Some((place, _)) = tasks.min_by_key(|(_, task)| task.left) else { return };
        let task = instance.work.remove(place);
        self.checked.work -= task.held_by(self.now);
        let Task { arrival, start, .. } = task;
        instance.idle_since = self.now;
        self.signals.answer((app, target), &arrival, self.now);
        self.plan_end(app, target, number);
        self.settle(app, target);
        let number = u32::try_from(target).unwrap_or(u32::MAX);
        let served = Served::new(number, start, self.now);
        if let Some(leg) = self.paths.back(&arrival) {
            return self.respond(&arrival, (app, target), served, leg);
        }
        let respond = self.paths.of(&arrival).map_or(Nanoseconds::ZERO, |path| path.respond);
        if respond == Nanoseconds::ZERO {
            self.release(&arrival);
        } else {
            let key = arrival.key;
            self.events.push(Reverse((self.now + respond, Event::Answered { key })));
            self.answering.insert(key, arrival);
        }
        self.answer(&arrival, self.now + respond);
        self.hear_answer(&arrival, self.now + respond);
        let transfers = self.transfers(&arrival, respond);
        self.record.record(&arrival, Ok(Served { transfers, ..served }));
    }

    /// A request gives back what it holds.
    pub(super) fn release(&mut self, arrival: &Arrival) {
        if let Some((cmd, _)) = self.kind(arrival) {
            self.with_accounts(arrival, cmd, policy::release);
        }
    }

    /// Command and class of a request.
    pub(super) fn kind(&self, arrival: &Arrival) -> Option<(usize, Class)> {
        let source = self.model.sources.get(usize::from(arrival.source))?;
        Some((source.cmd, self.model.tenants.get(source.tenants)?.class))
    }

    pub(super) fn with_accounts<T>(
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
        let class = self.kind(arrival).map_or(Class::Free, |(_, class)| class);
        let app = self.model.cmds.get(cmd).map(|cmd| cmd.app);
        let gate = app.and_then(|app| self.gates.get_mut(&app));
        act(Accounts {
            accepted: self.accepted.entry(accepted).or_default(),
            user: self.users.entry((user, arrival.user)).or_default(),
            cmd: self.cmds.entry((of_cmd, cmd)).or_default(),
            learned: Some(&mut Learned {
                limiter: rules.adaptive.map(|adaptive| {
                    let place = limits::place(&adaptive, arrival.gateway, cmd);
                    let limiters = self.limiters.entry(place);
                    (limiters.or_insert_with(|| Limiter::new(&adaptive)), class)
                }),
                gate: rules.overload.zip(gate).map(|(rules, (gate, _))| {
                    (gate, rules.priority(class, arrival.user, self.now))
                }),
            }),
        })
    }
}

/// What admission must know of a request for a command that comes then.
fn candidate(cmd: &Cmd, at: Time) -> Candidate {
    Candidate {
        deadline: cmd.deadline.map_or(Time(u64::MAX), |deadline| at + deadline),
        usual: cmd.service.median(),
    }
}
