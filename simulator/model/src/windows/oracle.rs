//! Windows without windows: a heap of events, lists of requests, and nothing clever. It is the
//! measure of the lanes, so it shares with them only the requests and the crate `policy`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use policy::admission::{Account, Candidate};
use policy::{Accounts, Class, Nanoseconds, Purpose, Refusal, Targets, Time, Waiting, Words};

use super::{Key, Request, Witness, arrivals};
use crate::model::{Model, Network};
use crate::outcome::Served;

/// Events; at one instant they happen in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The work on a request ends.
    End { request: usize },
    /// All targets report.
    Report,
    /// A gateway hears of the end or the refusal of a request.
    Hear { request: usize },
    /// The reports that were made a delay ago reach the gateways.
    Learn,
    /// A request reaches its target.
    Reach { request: usize },
    /// A request arrives at its gateway.
    Arrive { request: usize },
}

#[derive(Debug, Default)]
struct Target {
    instances: usize,
    waiting: VecDeque<usize>,
    running: Vec<(usize, Time)>,
}

/// What a gateway knows of the targets of an app.
#[derive(Debug, Default, Clone)]
struct View {
    reported: Vec<u32>,
    sent: Vec<u32>,
    turn: u64,
}

impl Targets for View {
    fn count(&self) -> u32 {
        u32::try_from(self.reported.len()).unwrap_or(u32::MAX)
    }

    fn load(&mut self, target: u32) -> u32 {
        let of = |list: &[u32]| list.get(target as usize).copied().unwrap_or(0);
        of(&self.reported) + of(&self.sent)
    }
}

#[derive(Debug)]
struct Oracle<'model, W> {
    model: &'model Model,
    network: Network,
    requests: Vec<Request>,
    events: BinaryHeap<Reverse<(Time, Event)>>,
    apps: Vec<Vec<Target>>,
    views: BTreeMap<(u16, usize), View>,
    on_the_way: VecDeque<Vec<Vec<u32>>>,
    accepted: BTreeMap<u16, u32>,
    users: BTreeMap<(u16, u32), Account>,
    cmds: BTreeMap<(u16, usize), Account>,
    balance_words: Words,
    now: Time,
    witness: W,
}

/// Runs a model to its end.
pub fn run<W: Witness>(model: &Model, network: Network, witness: W) -> W {
    let targets = |app: &crate::App| {
        let (count, instances) = app.targets(&model.queue);
        let target = || Target { instances: instances as usize, ..Target::default() };
        (0..count).map(|_| target()).collect()
    };
    let apps: Vec<Vec<Target>> = model.apps.iter().map(targets).collect();
    let mut views = BTreeMap::new();
    for gateway in 0..model.gateways.max(1) {
        for (app, targets) in apps.iter().enumerate() {
            let idle = vec![0; targets.len()];
            let view = View { reported: idle.clone(), sent: idle, turn: 0 };
            views.insert((gateway, app), view);
        }
    }
    let mut oracle = Oracle {
        model,
        network,
        requests: arrivals::all(model),
        events: BinaryHeap::new(),
        apps,
        views,
        on_the_way: VecDeque::new(),
        accepted: BTreeMap::new(),
        users: BTreeMap::new(),
        cmds: BTreeMap::new(),
        balance_words: Words::new(model.seed, Purpose::Balance, 0),
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
    while let Some(Reverse((now, event))) = oracle.events.pop() {
        oracle.now = now;
        oracle.happen(event);
    }
    oracle.witness
}

impl<W: Witness> Oracle<'_, W> {
    fn happen(&mut self, event: Event) {
        match event {
            Event::End { request } => self.end(request),
            Event::Report => self.report(),
            Event::Hear { request } => self.hear(request),
            Event::Learn => self.learn(),
            Event::Reach { request } => {
                if let Err(cause) = self.reach(request) {
                    self.refuse(request, cause);
                    self.after(self.network.delay, Event::Hear { request });
                }
            }
            Event::Arrive { request } => {
                if let Err(cause) = self.arrive(request) {
                    self.refuse(request, cause);
                }
            }
        }
    }

    fn after(&mut self, delay: Nanoseconds, event: Event) {
        self.events.push(Reverse((self.now + delay, event)));
    }

    fn refuse(&mut self, request: usize, cause: Refusal) {
        if let Some(request) = self.requests.get(request) {
            self.witness.outcome(request, Err(cause));
        }
    }

    fn arrive(&mut self, place: usize) -> Result<(), Refusal> {
        let now = self.now;
        let request = *self.requests.get(place).ok_or(Refusal::NoInstance)?;
        let (gateway, _) = Key::parts(request.key);
        let (cmd, _) = self.kind(&request).ok_or(Refusal::NoInstance)?;
        let definition = self.model.cmds.get(cmd).ok_or(Refusal::NoInstance)?;
        let candidate = Candidate {
            deadline: definition.deadline.map_or(Time(u64::MAX), |deadline| now + deadline),
            usual: definition.service.median(),
        };
        let admission = self.model.admission;
        self.with_accounts(&request, cmd, |accounts| {
            policy::admit(&admission, accounts, candidate, now)
        })?;
        let draw = self.balance_words.of(request.key);
        let balance = self.model.balance;
        let picked = self.views.get_mut(&(gateway, definition.app)).and_then(|view| {
            let mut turn = view.turn;
            let target = policy::pick(balance, view, &mut turn, draw)?;
            view.turn = turn;
            *view.sent.get_mut(target as usize)? += 1;
            Some(target)
        });
        let Some(target) = picked else {
            self.with_accounts(&request, cmd, policy::release);
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
        let mut waiting = [0; 2];
        let mut running = [0; 2];
        for known in target.waiting.iter().filter_map(|place| class_of(*place)) {
            *waiting.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        for known in target.running.iter().filter_map(|(place, _)| class_of(*place)) {
            *running.get_mut(known.index()).ok_or(Refusal::NoInstance)? += 1;
        }
        let counted = self.model.queue.counted(class, waiting, running);
        let idle = target.running.len() < target.instances;
        policy::enqueue(&self.model.queue, class, Waiting { counted, idle })?;
        if let Some(target) = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen)) {
            target.waiting.push_back(place);
        }
        self.start(app, chosen);
        Ok(())
    }

    /// Begins work at a target, if an instance is idle and a request waits.
    fn start(&mut self, app: usize, chosen: usize) {
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let Some(target) = target else { return };
        if target.running.len() < target.instances
            && let Some(place) = target.waiting.pop_front()
        {
            target.running.push((place, self.now));
            let work = self.requests.get(place).map_or(Nanoseconds::ZERO, Request::work);
            self.after(work, Event::End { request: place });
        }
    }

    fn end(&mut self, place: usize) {
        let Some(request) = self.requests.get(place).copied() else { return };
        let Some((app, _)) = self.place(&request) else { return };
        let chosen = request.target as usize;
        let target = self.apps.get_mut(app).and_then(|targets| targets.get_mut(chosen));
        let Some(target) = target else { return };
        let Some(running) = target.running.iter().position(|(known, _)| *known == place) else {
            return;
        };
        let (_, start) = target.running.remove(running);
        self.start(app, chosen);
        let served = Served { target: request.target, start, end: self.now };
        self.witness.outcome(&request, Ok(served));
        self.after(self.network.delay, Event::Hear { request: place });
    }

    fn hear(&mut self, place: usize) {
        let Some(request) = self.requests.get(place).copied() else { return };
        if let Some((cmd, _)) = self.kind(&request) {
            self.with_accounts(&request, cmd, policy::release);
        }
    }

    fn report(&mut self) {
        let load = |target: &Target| {
            u32::try_from(target.waiting.len() + target.running.len()).unwrap_or(u32::MAX)
        };
        let of_app = |targets: &Vec<Target>| targets.iter().map(load).collect();
        self.on_the_way.push_back(self.apps.iter().map(of_app).collect());
        self.after(self.network.delay, Event::Learn);
    }

    fn learn(&mut self) {
        let Some(reports) = self.on_the_way.pop_front() else { return };
        for ((_, app), view) in &mut self.views {
            if let Some(report) = reports.get(*app) {
                view.reported.clone_from(report);
                view.sent.fill(0);
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
        act(Accounts {
            accepted: self.accepted.entry(gateway).or_default(),
            user: self.users.entry((gateway, request.user)).or_default(),
            cmd: self.cmds.entry((gateway, cmd)).or_default(),
        })
    }
}
