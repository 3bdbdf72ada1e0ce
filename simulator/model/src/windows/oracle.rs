//! Windows without windows: a heap of events, lists of requests, and nothing clever. It is the
//! measure of the lanes, so it shares with them only the requests and the crate `policy`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use policy::adaptive::{Answer, By, Limiter};
use policy::admission::{Account, Learned};
use policy::dagor::{Begun, Gate};
use policy::{Accounts, Class, Nanoseconds, Present, Purpose, Refusal, Targets, Time, Words};

use super::{Key, Request, Witness, arrivals};
use crate::fed::Feed;
use crate::life::target_weight;
use crate::model::{Model, Network};
use crate::outcome::Served;
use crate::stages::{Path, Paths};
use crate::workload::Workload;

mod plane;
mod target;
mod waits;

use plane::Plane;
use target::{Known, Target};
use waits::Memory;

/// Events; at one instant they happen in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The work on a request ends.
    End { app: usize, target: usize, request: usize },
    /// An instance has started.
    Ready { app: usize, instance: usize },
    /// An order to start an instance reaches its machine.
    Start { app: usize, instance: usize },
    /// An order to give up an instance reaches a machine.
    Leave { app: usize, machine: usize },
    /// What waits at a target begins, and instances leave.
    Settle { app: usize, target: usize },
    /// A request that was on its way comes into the queue of its target.
    Come { request: usize },
    /// All targets tell the control plane what they have.
    Tick,
    /// All targets report.
    Report,
    /// The control plane decides by what it was told of an instant.
    Decide { seen: Time },
    /// A gateway hears of the end or the refusal of a request.
    Hear { request: usize },
    /// The reports that were made a delay ago reach the gateways.
    Learn,
    /// A request reaches its target.
    Reach { request: usize },
    /// A request arrives at its gateway.
    Arrive { request: usize },
}

/// What a gateway knows of the targets of an app.
#[derive(Debug, Default, Clone)]
struct View {
    reported: Vec<Known>,
    sent: Vec<u32>,
    /// Targets with instances, and their weights.
    open: Vec<(usize, u32)>,
    turn: u64,
}

impl View {
    fn learn(&mut self, report: &[Known]) {
        self.reported = report.to_vec();
        self.sent.fill(0);
        let most = report.iter().map(|known| known.staying).max().unwrap_or(0);
        let open = report.iter().enumerate().filter(|(_, known)| known.staying > 0);
        self.open = open
            .map(|(target, known)| (target, target_weight(known.weights, known.leaving, most)))
            .collect();
    }
}

impl Targets for View {
    fn count(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    fn load(&mut self, place: u32) -> u32 {
        let Some((target, _)) = self.open.get(place as usize) else { return 0 };
        let reported = self.reported.get(*target).map_or(0, |known| known.load);
        reported + self.sent.get(*target).copied().unwrap_or(0)
    }

    fn weight(&self, place: u32) -> u32 {
        self.open.get(place as usize).map_or(1, |(_, weight)| *weight)
    }
}

/// What all targets of all apps report.
#[derive(Debug)]
struct Told {
    known: Vec<Vec<Known>>,
    /// By app.
    begun: BTreeMap<usize, Begun>,
}

#[derive(Debug)]
struct Oracle<'model, W> {
    model: &'model Model,
    network: Network,
    requests: Vec<Request>,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    apps: Vec<Vec<Target>>,
    views: BTreeMap<(u16, usize), View>,
    on_the_way: VecDeque<Told>,
    /// What has begun since the last report, by app.
    begun: BTreeMap<usize, Begun>,
    /// When requests came into their queues.
    queued: BTreeMap<usize, Time>,
    /// Those that came into queues that were overloaded.
    came_late: BTreeSet<usize>,
    /// What queues remember, by app and target.
    memories: BTreeMap<(usize, usize), Memory>,
    /// By gateway and app, with what the gateway has heard of since the window began.
    gates: BTreeMap<(u16, usize), (Gate, Begun)>,
    plane: Plane,
    accepted: BTreeMap<u16, u32>,
    users: BTreeMap<(u16, u32), Account>,
    cmds: BTreeMap<(u16, usize), Account>,
    /// By gateway, and by command if each has its own.
    limiters: BTreeMap<(u16, usize), Limiter>,
    /// Why requests were refused that were let in, until their gateways hear of it.
    refused: BTreeMap<usize, Refusal>,
    /// What gateways have heard and not yet thought about: by time and key.
    heard: BTreeMap<(Time, u64), (u16, Answer)>,
    balance_words: Words,
    paths: Paths,
    now: Time,
    witness: W,
}

/// Runs a model to its end.
pub fn run<W: Witness>(model: &Model, network: Network, witness: W) -> W {
    run_requests(model, network, arrivals::all(model), witness)
}

/// The same with requests from outside.
pub fn run_fed<W: Witness>(
    model: &Model,
    network: Network,
    feed: Box<dyn Feed + '_>,
    witness: W,
) -> W {
    let mut counts: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    let mut requests = Vec::new();
    for arrival in Workload::fed(model, feed).rest() {
        let count = counts.entry((arrival.gateway, arrival.source)).or_default();
        let key = Key::first(arrival.gateway, arrival.source) + *count;
        *count += 1;
        let (at, service) = (arrival.at.0, arrival.service.0);
        if at < model.duration.0 {
            requests.push(Request { at, service, key, user: arrival.user, target: 0 });
        }
    }
    // At one instant in the order of gateways.
    requests.sort_by_key(|request| (request.at, Key::parts(request.key).0));
    run_requests(model, network, requests, witness)
}

fn run_requests<W: Witness>(
    model: &Model,
    network: Network,
    requests: Vec<Request>,
    witness: W,
) -> W {
    let targets = |app: &crate::App| {
        let (count, instances) = app.targets(&model.queue);
        let each = instances as usize;
        (0..count as usize).map(|target| Target::new(target * each..(target + 1) * each)).collect()
    };
    let apps: Vec<Vec<Target>> = model.apps.iter().map(targets).collect();
    let mut views = BTreeMap::new();
    for gateway in 0..model.gateways.max(1) {
        for (app, (targets, definition)) in apps.iter().zip(&model.apps).enumerate() {
            let sent = vec![0; targets.len()];
            let mut view = View { sent, ..View::default() };
            let warm_up = &definition.life.warm_up;
            let report: Vec<Known> =
                targets.iter().map(|target| target.known(warm_up, Time::ZERO)).collect();
            view.learn(&report);
            views.insert((gateway, app), view);
        }
    }
    let mut gates = BTreeMap::new();
    if let Some(rules) = model.admission.overload {
        let places = (0..model.gateways.max(1))
            .flat_map(|gateway| (0..model.apps.len()).map(move |app| (gateway, app)));
        gates.extend(places.map(|place| (place, (Gate::new(&rules), Begun::default()))));
    }
    let mut oracle = Oracle {
        model,
        network,
        requests,
        events: BinaryHeap::new(),
        apps,
        views,
        on_the_way: VecDeque::new(),
        begun: BTreeMap::new(),
        queued: BTreeMap::new(),
        came_late: BTreeSet::new(),
        memories: BTreeMap::new(),
        gates,
        plane: Plane::new(model),
        accepted: BTreeMap::new(),
        users: BTreeMap::new(),
        cmds: BTreeMap::new(),
        limiters: BTreeMap::new(),
        refused: BTreeMap::new(),
        heard: BTreeMap::new(),
        balance_words: Words::new(model.seed, Purpose::Balance, 0),
        paths: Paths::new(model),
        now: Time::ZERO,
        witness,
    };
    for (request, arrival) in oracle.requests.iter().enumerate() {
        oracle.events.push(Reverse((arrival.time(), Event::Arrive { request })));
    }
    let mut report = Time::ZERO + network.reports;
    while report < Time(model.duration.0) {
        oracle.events.push(Reverse((report, Event::Report)));
        report = report + network.reports;
    }
    oracle.plan_ticks();
    while let Some(Reverse((now, event))) = oracle.events.pop() {
        oracle.now = now;
        oracle.happen(event);
    }
    oracle.tell();
    oracle.witness
}

impl<W: Witness> Oracle<'_, W> {
    fn happen(&mut self, event: Event) {
        match event {
            Event::End { app, target, request } => self.end(app, target, request),
            Event::Ready { app, instance } => self.ready(app, instance),
            Event::Start { app, instance } => self.start(app, instance),
            Event::Leave { app, machine } => self.leave(app, machine),
            Event::Settle { app, target } => self.settle(app, target),
            Event::Come { request } => {
                if let Err(cause) = self.come(request) {
                    self.turn_away(request, cause);
                }
            }
            Event::Tick => self.tick(),
            Event::Report => self.report(),
            Event::Decide { seen } => self.decide(seen),
            Event::Hear { request } => self.hear(request),
            Event::Learn => self.learn(),
            Event::Reach { request } => {
                let reached = self.reach(request);
                self.came(request, reached.is_err());
                if let Err(cause) = reached {
                    self.turn_away(request, cause);
                }
            }
            Event::Arrive { request } => {
                if let Err(cause) = self.arrive(request) {
                    if cause == Refusal::NoInstance {
                        self.came(request, true);
                    }
                    self.refuse(request, cause);
                }
            }
        }
    }

    fn after(&mut self, delay: Nanoseconds, event: Event) {
        self.events.push(Reverse((self.now + delay, event)));
    }

    /// A request counts at the next tick.
    fn came(&mut self, request: usize, is_refused: bool) {
        let known = self.requests.get(request).and_then(|request| self.place(request));
        let Some((app, _)) = known else { return };
        let (arrivals, refusals) = self.plane.came.entry(app).or_default();
        *arrivals += 1;
        *refusals += u64::from(is_refused);
    }

    fn refuse(&mut self, request: usize, cause: Refusal) {
        if let Some(request) = self.requests.get(request) {
            self.witness.outcome(request, None, Err(cause));
        }
    }

    fn arrive(&mut self, place: usize) -> Result<(), Refusal> {
        let now = self.now;
        let request = *self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let (gateway, _) = Key::parts(request.key);
        let (cmd, _) = self.kind(&request).ok_or(Refusal::NoInstance)?;
        let definition = self.model.cmds.get(cmd).ok_or(Refusal::NoInstance)?;
        let candidate = self.candidate(&request).ok_or(Refusal::NoInstance)?;
        let admission = self.model.admission;
        self.think();
        if let Some(rules) = admission.overload
            && let Some((gate, begun)) = self.gates.get_mut(&(gateway, definition.app))
        {
            gate.pass(&rules, begun, now);
        }
        self.with_accounts(&request, cmd, |accounts| {
            policy::admit(&admission, accounts, candidate, now)
        })?;
        let draw = self.balance_words.of(request.key);
        let balance = self.model.balance;
        let picked = self.views.get_mut(&(gateway, definition.app)).and_then(|view| {
            let mut turn = view.turn;
            let target = policy::pick(balance, view, &mut turn, draw)?;
            view.turn = turn;
            let (target, _) = *view.open.get(target as usize)?;
            *view.sent.get_mut(target)? += 1;
            u32::try_from(target).ok()
        });
        let Some(target) = picked else {
            self.with_accounts(&request, cmd, policy::release);
            self.heard.insert((now, request.key), (gateway, Answer::Lost));
            return Err(Refusal::NoInstance);
        };
        if let Some(request) = self.requests.get_mut(place) {
            request.target = target;
        }
        self.after(self.network.delay, Event::Reach { request: place });
        Ok(())
    }

    fn reach(&mut self, place: usize) -> Result<(), Refusal> {
        let request = *self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let (app, class) = self.place(&request).ok_or(Refusal::NoInstance)?;
        let chosen = request.target as usize;
        let targets = self.apps.get(app).map_or(&[][..], Vec::as_slice);
        let target = targets.get(chosen).ok_or(Refusal::NoInstance)?;
        let class_of = |place: usize| {
            self.requests.get(place).and_then(|request| self.kind(request)).map(|(_, class)| class)
        };
        if !target.has_staff() {
            return Err(Refusal::NoInstance);
        }
        let mut present = Present { idle: target.idle(), ..Present::default() };
        for known in target.coming().filter_map(class_of) {
            *present.coming.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in target.waiting().filter_map(class_of) {
            *present.waiting.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in target.running().filter_map(class_of) {
            *present.running.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        policy::enqueue(&self.model.queue, class, self.model.queue.standing(class, present))?;
        self.predict(place)?;
        if let Some(target) = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen)) {
            target.let_in(place);
        }
        match self.path(&request).before() {
            Nanoseconds::ZERO => self.come(place)?,
            before => self.after(before, Event::Come { request: place }),
        }
        Ok(())
    }

    /// The stages of a request besides queue and work.
    fn path(&self, request: &Request) -> Path {
        self.paths.at(Key::parts(request.key).1, request.key).unwrap_or_default()
    }

    fn come(&mut self, place: usize) -> Result<(), Refusal> {
        let request = *self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let (app, _) = self.place(&request).ok_or(Refusal::NoInstance)?;
        let chosen = request.target as usize;
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let target = target.ok_or(Refusal::NoInstance)?;
        target.forget(place);
        if !target.has_staff() {
            return Err(Refusal::NoInstance);
        }
        self.note(app, chosen, place);
        self.queued.insert(place, self.now);
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        target.ok_or(Refusal::NoInstance)?.join(place);
        self.settle(app, chosen);
        Ok(())
    }

    /// Instances of a target take what waits, or leave, until nothing is left to do.
    fn settle(&mut self, app: usize, chosen: usize) {
        let Some(definition) = self.model.apps.get(app) else { return };
        let now = self.now;
        loop {
            let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
            let Some(target) = target else { return };
            target.open(now);
            if let Some((instance, leave)) = target.let_one_leave() {
                let gone = now.max(leave.decided + definition.life.cool_down);
                self.plane.left(app, instance, leave.decided, gone);
                continue;
            }
            let Some((request, others)) = target.turn() else { return };
            if let Err(cause) = self.take((app, chosen), request, others) {
                self.queued.remove(&request);
                let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
                target.into_iter().for_each(Target::drop_one);
                self.turn_away(request, cause);
                continue;
            }
            let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
            let Some((request, age)) = target.and_then(|target| target.begin_one(now)) else {
                return;
            };
            self.begin(app, request);
            let work = self.requests.get(request).map_or(Nanoseconds::ZERO, Request::work);
            let work = definition.life.warm_up.slowed(work, age);
            self.after(work, Event::End { app, target: chosen, request });
        }
    }

    /// The next report tells of it.
    fn begin(&mut self, app: usize, place: usize) {
        let queued = self.queued.remove(&place).unwrap_or(self.now);
        let expected = self.expected(place);
        self.begun.entry(app).or_default().count(self.now.since(queued), expected);
    }

    fn end(&mut self, app: usize, chosen: usize, place: usize) {
        let Some(request) = self.requests.get(place).copied() else { return };
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let Some(start) = target.and_then(|target| target.end(place, self.now)) else { return };
        let served = Served::new(request.target, start, self.now);
        let path = self.paths.at(Key::parts(request.key).1, request.key);
        self.witness.outcome(&request, path.as_ref(), Ok(served));
        self.after(Nanoseconds::ZERO, Event::Settle { app, target: chosen });
        let back = self.path(&request).respond + self.network.delay;
        self.after(back, Event::Hear { request: place });
    }

    fn hear(&mut self, place: usize) {
        let Some(request) = self.requests.get(place).copied() else { return };
        if let Some((cmd, _)) = self.kind(&request) {
            self.with_accounts(&request, cmd, policy::release);
            let round_trip = self.now.since(request.time());
            let deadline = self.model.cmds.get(cmd).and_then(|cmd| cmd.deadline);
            let answer = match self.refused.remove(&place) {
                // Those before it are why.
                Some(
                    Refusal::QueueFull | Refusal::LongWait | Refusal::Shed | Refusal::Deadline,
                ) => Answer::Refused,
                Some(_) => Answer::Lost,
                None if deadline.is_some_and(|deadline| round_trip > deadline) => {
                    Answer::Late(round_trip)
                }
                None => Answer::Served(round_trip),
            };
            let (gateway, _) = Key::parts(request.key);
            self.heard.insert((self.now, request.key), (gateway, answer));
        }
    }

    /// Limits follow from all that was heard until now.
    fn think(&mut self) {
        let heard = std::mem::take(&mut self.heard);
        let Some(rules) = self.model.admission.adaptive else { return };
        for ((at, key), (gateway, answer)) in heard {
            let source = usize::from(Key::parts(key).1);
            let Some(source) = self.model.sources.get(source) else { continue };
            let cmd = source.cmd;
            let group = self.model.tenants.get(source.tenants);
            let class = group.map_or(Class::Free, |group| group.class);
            let place = (gateway, if rules.by == By::Cmd { cmd } else { 0 });
            if let Some(limiter) = self.limiters.get_mut(&place) {
                limiter.on_answer(&rules, class, answer, at);
            }
        }
    }

    fn report(&mut self) {
        let now = self.now;
        let of_app = |(targets, definition): (&Vec<Target>, &crate::App)| {
            let warm_up = &definition.life.warm_up;
            targets.iter().map(|target| target.known(warm_up, now)).collect()
        };
        let known = self.apps.iter().zip(&self.model.apps).map(of_app).collect();
        self.on_the_way.push_back(Told { known, begun: std::mem::take(&mut self.begun) });
        self.after(self.network.delay, Event::Learn);
    }

    fn learn(&mut self) {
        let Some(Told { known: reports, begun }) = self.on_the_way.pop_front() else { return };
        for ((_, app), (_, known)) in &mut self.gates {
            known.add(begun.get(app).copied().unwrap_or_default());
        }
        for ((_, app), view) in &mut self.views {
            if let Some(report) = reports.get(*app) {
                view.learn(report);
            }
        }
    }

    /// Command and class of a request.
    fn kind(&self, request: &Request) -> Option<(usize, Class)> {
        let source = self.model.sources.get(usize::from(Key::parts(request.key).1))?;
        Some((source.cmd, self.model.tenants.get(source.tenants)?.class))
    }

    /// App and class of a request.
    fn place(&self, request: &Request) -> Option<(usize, Class)> {
        let (cmd, class) = self.kind(request)?;
        Some((self.model.cmds.get(cmd)?.app, class))
    }

    fn with_accounts<T>(
        &mut self,
        request: &Request,
        cmd: usize,
        act: impl FnOnce(Accounts<'_>) -> T,
    ) -> T {
        let (gateway, _) = Key::parts(request.key);
        let class = self.kind(request).map_or(Class::Free, |(_, class)| class);
        let limiter = self.model.admission.adaptive.map(|rules| {
            let place = (gateway, if rules.by == By::Cmd { cmd } else { 0 });
            (self.limiters.entry(place).or_insert_with(|| Limiter::new(&rules)), class)
        });
        let app = self.model.cmds.get(cmd).map_or(0, |cmd| cmd.app);
        let priority = self
            .model
            .admission
            .overload
            .map(|rules| rules.priority(class, request.user, self.now));
        let gate = self.gates.get_mut(&(gateway, app)).map(|(gate, _)| gate).zip(priority);
        let mut learned =
            (limiter.is_some() || gate.is_some()).then_some(Learned { limiter, gate });
        act(Accounts {
            accepted: self.accepted.entry(gateway).or_default(),
            user: self.users.entry((gateway, request.user)).or_default(),
            cmd: self.cmds.entry((gateway, cmd)).or_default(),
            learned: learned.as_mut(),
        })
    }
}
