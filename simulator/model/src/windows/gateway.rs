//! The gateways of a lane: whom they admit, and where they send what they admit.

use policy::adaptive::Answer as Became;
use policy::admission::{Account, Admission, Candidate, Learned, Limits};
use policy::balance::FULL_WEIGHT;
use policy::dagor::Begun;
use policy::{Accounts, Purpose, Refusal, Targets, Time, Words};

use super::calendar::{Calendar, Most, Name};
use super::crews::Standing;
use super::gates::Gates;
use super::plan::{AppInfo, Plan, SourceInfo};
use super::{Answer, Key, Request};
use crate::adaptive::{Heard, Limiters};
use crate::life::target_weight;
use crate::look::{Chosen, Look};
use crate::model::Model;

/// What a target has told of its instances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crew {
    pub(super) app: u32,
    /// Counted within the app.
    pub(super) target: u32,
    pub(super) standing: Standing,
}

/// Some gateways.
#[derive(Debug)]
pub(super) struct Gateways {
    rules: Admission,
    balance: policy::Balance,
    books: Books,
    calendar: Calendar,
    known: Known,
    balance_words: Words,
    /// If a rule learns.
    learners: Option<Box<Learners>>,
}

/// What gateways have learned.
#[derive(Debug)]
struct Learners {
    limiters: Option<Box<Limiters>>,
    gates: Option<Gates>,
}

impl Learners {
    fn new(model: &Model, gateways: std::ops::Range<u16>) -> Option<Box<Self>> {
        let limiters = Limiters::new(model, gateways.clone());
        let gates = Gates::new(&model.admission, gateways, model.apps.len());
        let is_any = limiters.is_some() || gates.is_some();
        is_any.then(|| Box::new(Learners { limiters, gates }))
    }

    /// What is known just before a request arrives.
    fn at(&mut self, gateway: u16, user: u32, info: &SourceInfo, now: Time) -> Learned<'_> {
        let limiter =
            self.limiters.as_mut().and_then(|limiters| limiters.at((gateway, info.cmd), now));
        let who = (info.class, user, now);
        Learned {
            limiter: limiter.map(|limiter| (limiter, info.class)),
            gate: self.gates.as_mut().and_then(|gates| gates.at(gateway, info.app, who)),
        }
    }
}

impl Gateways {
    pub(super) fn new(model: &Model, plan: &Plan, gateways: std::ops::Range<u16>) -> Self {
        let count = usize::from(gateways.end - gateways.start);
        Gateways {
            rules: model.admission,
            balance: model.balance,
            books: Books {
                first: gateways.start,
                accepted: vec![0; count],
                users: Table::new(count * model.users().max(1), model.admission.user),
                cmds: Table::new(count * model.cmds.len().max(1), model.admission.cmd),
                users_step: model.users().max(1),
                cmds_step: model.cmds.len().max(1),
            },
            calendar: Calendar::new(
                plan.network.delay.0,
                Most {
                    user: u32::try_from(model.users().saturating_sub(1)).unwrap_or(u32::MAX),
                    gateway: gateways.end.saturating_sub(1),
                    source: u16::try_from(model.sources.len().saturating_sub(1))
                        .unwrap_or(u16::MAX),
                },
            ),
            known: Known {
                first: gateways.start,
                loads: vec![0; count * plan.targets()],
                targets: plan.targets(),
                turns: vec![0; count * plan.apps.len()],
                apps: plan.apps.len(),
                crews: plan.apps.iter().map(|_| Weights::new()).collect(),
            },
            balance_words: Words::new(model.seed, Purpose::Balance, 0),
            learners: Learners::new(model, gateways.start..gateways.end),
        }
    }

    /// Takes in what a gateway is going to hear.
    #[inline(always)]
    pub(super) fn expect(&mut self, answer: Answer) {
        self.calendar.insert(answer);
    }

    /// Whether gateways want to know what became of requests.
    #[inline(always)]
    pub(super) fn adapt(&self) -> bool {
        self.learners.as_ref().is_some_and(|learners| learners.limiters.is_some())
    }

    /// Takes in what becomes of a request, as its gateway is going to hear.
    pub(super) fn listen(&mut self, heard: Heard) {
        let limiters = self.learners.as_mut().and_then(|learners| learners.limiters.as_mut());
        if let Some(limiters) = limiters {
            limiters.expect(heard);
        }
    }

    /// All gateways hear what has begun at the targets, app by app.
    pub(super) fn hear_of_begun(&mut self, begun: &[Begun]) {
        let gates = self.learners.as_mut().and_then(|learners| learners.gates.as_mut());
        if let Some(gates) = gates {
            gates.hear(begun);
        }
    }

    /// A window begins: what was heard long before needs no exact order.
    #[inline(always)]
    pub(super) fn begin(&mut self, now: u64, plan: &Plan) {
        let books = &mut self.books;
        self.calendar.pass(now, |name| books.release(name, plan));
    }

    /// Reports of all targets arrive at all gateways.
    pub(super) fn learn(&mut self, loads: &[u32]) {
        for known in self.known.loads.chunks_exact_mut(self.known.targets.max(1)) {
            for (known, load) in known.iter_mut().zip(loads) {
                *known = *load;
            }
        }
    }

    /// A target tells of its instances.
    #[cold]
    pub(super) fn meet(&mut self, crew: &Crew, plan: &Plan) {
        let info = plan.apps.get(crew.app as usize);
        let weights = self.known.crews.get_mut(crew.app as usize);
        if let (Some(info), Some(weights)) = (info, weights) {
            weights.meet(crew, info);
        }
    }

    /// All targets have told.
    pub(super) fn weigh(&mut self) {
        for weights in self.known.crews.iter_mut().filter(|weights| weights.has_changed) {
            weights.weigh();
        }
    }

    /// A request arrives: the target that its gateway sends it to.
    #[inline(always)]
    pub(super) fn arrive(&mut self, request: &Request, plan: &Plan) -> Result<u32, Refusal> {
        let (gateway, source) = Key::parts(request.key);
        let info = plan.source(source).ok_or(Refusal::NoInstance)?;
        let now = request.time();
        let candidate = Candidate { deadline: now + info.deadline, usual: info.usual };
        if self.learners.as_ref().is_some_and(|learners| learners.gates.is_some()) {
            // A gate counts whoever asks, so nobody may ask twice.
            self.settle(now, plan);
            self.admit(gateway, request.user, info, candidate, now)?;
        } else if let Err(cause) = self.admit(gateway, request.user, info, candidate, now) {
            // Permits that are not yet given back can only refuse too much: what is admitted
            // in spite of them is admitted. What isn't, is asked again when all are; but for
            // a user of whom none can be given back.
            let books = &mut self.books;
            let mut release = |name| books.release(name, plan);
            let who = (request.user, gateway);
            if cause == Refusal::UserConcurrency
                && !self.calendar.has_told(now.0, who, &mut release)
            {
                return Err(cause);
            }
            self.calendar.settle(now.0, release);
            self.admit(gateway, request.user, info, candidate, now)?;
        }
        let picked = self.choose(gateway, info, request.key, plan);
        if picked.is_none() {
            self.books.release(Name { user: request.user, gateway, source }, plan);
            let answer = Became::refused(Refusal::NoInstance);
            let SourceInfo { cmd, class, .. } = *info;
            self.listen(Heard { at: now, key: request.key, gateway, cmd, class, answer });
        }
        picked.ok_or(Refusal::NoInstance)
    }

    /// What a gateway knows just before a request arrives. It changes nothing that anybody could see.
    #[cold]
    pub(super) fn look(&mut self, request: &Request, plan: &Plan) -> Look {
        let (gateway, source) = Key::parts(request.key);
        let Some(info) = plan.source(source).copied() else { return Look::default() };
        let now = request.time();
        self.settle(now, plan);
        let place = self.books.place(gateway, request.user, info.cmd);
        let mut open = self.books.open(place);
        let learners = self.learners.as_mut();
        let mut learned = learners.map(|known| known.at(gateway, request.user, &info, now));
        let mut look = Look::of(&open.accounts(learned.as_mut()));
        let draw = self.balance_words.of(request.key);
        let Some((loads, turn, weights)) = self.known.view(gateway, &info, plan) else {
            return look;
        };
        let chosen = if weights.are_full {
            look.pick(self.balance, &mut View { loads }, *turn, draw)
        } else {
            let mut view = WeightedView { loads, weights };
            let chosen = look.pick(self.balance, &mut view, *turn, draw);
            let known = |place: u32| weights.open.get(place as usize).map(|open| open.target);
            for (target, _) in &mut look.seen {
                *target = known(*target).unwrap_or(*target);
            }
            chosen.and_then(known)
        };
        // What is there, it doesn't know.
        look.chosen = chosen.map(|target| Chosen { target, ..Chosen::default() });
        look
    }

    /// All permits are given back that are due.
    #[cold]
    fn settle(&mut self, now: Time, plan: &Plan) {
        let books = &mut self.books;
        self.calendar.settle(now.0, |name| books.release(name, plan));
    }

    /// The target for an admitted request.
    #[inline(always)]
    fn choose(&mut self, gateway: u16, info: &SourceInfo, key: u64, plan: &Plan) -> Option<u32> {
        let draw = self.balance_words.of(key);
        let (loads, turn, weights) = self.known.view(gateway, info, plan)?;
        let target = if weights.are_full {
            policy::pick(self.balance, &mut View { loads }, turn, draw)?
        } else {
            let mut view = WeightedView { loads, weights };
            let place = policy::pick(self.balance, &mut view, turn, draw)?;
            weights.open.get(place as usize)?.target
        };
        // What is sent counts at once.
        *loads.get_mut(target as usize)? += 1;
        Some(target)
    }

    #[inline(always)]
    fn admit(
        &mut self,
        gateway: u16,
        user: u32,
        info: &SourceInfo,
        candidate: Candidate,
        now: Time,
    ) -> Result<(), Refusal> {
        let place = self.books.place(gateway, user, info.cmd);
        // No closure: that may stay apart, and is a call then for each request.
        let mut open = self.books.open(place);
        let admitted = match self.learners.as_mut() {
            None => policy::admit(&self.rules, open.accounts(None), candidate, now),
            Some(learners) => {
                let learned = learners.at(gateway, user, info, now);
                let (left, admitted) = admit_learned(&self.rules, open, learned, candidate, now);
                open = left;
                admitted
            }
        };
        self.books.close(place, open);
        admitted
    }
}

/// Where a rule learns. The accounts come and go by value: who takes their address keeps them out of
/// registers wherever they are.
#[cold]
fn admit_learned(
    rules: &Admission,
    mut open: TakenOut,
    Learned { limiter, gate }: Learned<'_>,
    candidate: Candidate,
    now: Time,
) -> (TakenOut, Result<(), Refusal>) {
    // Made anew, for as long as the accounts are out.
    let mut learned = Learned { limiter, gate };
    let admitted = policy::admit(rules, open.accounts(Some(&mut learned)), candidate, now);
    (open, admitted)
}

/// The accounts of admission, each gateway's its own.
#[derive(Debug)]
struct Books {
    first: u16,
    accepted: Vec<u32>,
    users: Table,
    cmds: Table,
    /// From one gateway to the next in each table.
    users_step: usize,
    cmds_step: usize,
}

impl Books {
    #[inline(always)]
    fn release(&mut self, name: Name, plan: &Plan) {
        let Some(info) = plan.source(name.source) else { return };
        let place = self.place(name.gateway, name.user, info.cmd);
        let mut open = self.open(place);
        policy::release(open.accounts(None));
        self.close(place, open);
    }

    #[inline(always)]
    const fn place(&self, gateway: u16, user: u32, cmd: u32) -> Place {
        let gateway = (gateway - self.first) as usize;
        Place {
            gateway,
            user: gateway * self.users_step + user as usize,
            cmd: gateway * self.cmds_step + cmd as usize,
        }
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the table is cut for all gateways")]
    fn open(&self, place: Place) -> TakenOut {
        TakenOut {
            accepted: self.accepted[place.gateway],
            user: self.users.account(place.user),
            cmd: self.cmds.account(place.cmd),
        }
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "the table is cut for all gateways")]
    fn close(&mut self, place: Place, open: TakenOut) {
        self.accepted[place.gateway] = open.accepted;
        self.users.write(place.user, open.user);
        self.cmds.write(place.cmd, open.cmd);
    }
}

/// Where the accounts of a request are.
#[derive(Debug, Clone, Copy)]
struct Place {
    gateway: usize,
    user: usize,
    cmd: usize,
}

/// The accounts of a request, taken out.
#[derive(Debug)]
struct TakenOut {
    accepted: u32,
    user: Account,
    cmd: Account,
}

impl TakenOut {
    #[inline(always)]
    const fn accounts<'a>(&'a mut self, learned: Option<&'a mut Learned<'a>>) -> Accounts<'a> {
        let TakenOut { accepted, user, cmd } = self;
        Accounts { accepted, user, cmd, learned }
    }
}

/// Accounts in columns: what no rule asks for isn't kept, so that more of them are near.
#[derive(Debug)]
struct Table {
    in_flight: Vec<u32>,
    /// Empty if there is no rate.
    expected: Vec<Time>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "tables are cut for all gateways, users and commands of the model"
)]
impl Table {
    fn new(count: usize, limits: Option<Limits>) -> Self {
        let has_rate = limits.is_some_and(|limits| limits.rate.is_some());
        Table {
            in_flight: vec![0; count],
            expected: vec![Time::ZERO; if has_rate { count } else { 0 }],
        }
    }

    #[inline(always)]
    fn account(&self, place: usize) -> Account {
        Account {
            in_flight: self.in_flight[place],
            expected: self.expected.get(place).copied().unwrap_or(Time::ZERO),
        }
    }

    #[inline(always)]
    fn write(&mut self, place: usize, account: Account) {
        self.in_flight[place] = account.in_flight;
        if let Some(expected) = self.expected.get_mut(place) {
            *expected = account.expected;
        }
    }
}

/// What gateways know of targets.
#[derive(Debug)]
struct Known {
    first: u16,
    /// For each gateway, for each target of each app.
    loads: Vec<u32>,
    targets: usize,
    /// Turns of round robins: for each gateway, of each app.
    turns: Vec<u64>,
    apps: usize,
    /// What targets of each app have told of their instances: the same to all gateways.
    crews: Vec<Weights>,
}

impl Known {
    #[inline(always)]
    fn view(
        &mut self,
        gateway: u16,
        info: &SourceInfo,
        plan: &Plan,
    ) -> Option<(&mut [u32], &mut u64, &Weights)> {
        let gateway = usize::from(gateway - self.first);
        let app = plan.apps.get(info.app as usize)?;
        let from = gateway * self.targets + app.first;
        let loads = self.loads.get_mut(from..from + app.count as usize)?;
        let turn = self.turns.get_mut(gateway * self.apps + info.app as usize)?;
        Some((loads, turn, self.crews.get(info.app as usize)?))
    }
}

/// Targets that take requests, and their weights. Empty until the first one tells of a change: till
/// then all are as they were in the beginning.
#[derive(Debug)]
struct Weights {
    standings: Vec<Standing>,
    open: Vec<Open>,
    has_changed: bool,
    /// Whether all targets take their full share, so that nobody need look at weights: most of the
    /// time, where a step of the scaling rule is an instance for each target.
    are_full: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    target: u32,
    weight: u32,
}

impl Weights {
    const fn new() -> Self {
        Weights { standings: Vec::new(), open: Vec::new(), has_changed: false, are_full: true }
    }

    fn meet(&mut self, crew: &Crew, info: &AppInfo) {
        if self.standings.is_empty() {
            let full = u64::from(info.instances) * u64::from(FULL_WEIGHT);
            let all = Standing { staying: info.instances, leaving: 0, weights: full };
            self.standings = vec![all; info.count as usize];
            self.has_changed = true;
        }
        if let Some(standing) = self.standings.get_mut(crew.target as usize) {
            self.has_changed |= *standing != crew.standing;
            *standing = crew.standing;
        }
    }

    fn weigh(&mut self) {
        let most = self.standings.iter().map(|standing| standing.staying).max().unwrap_or(0);
        let open = self.standings.iter().zip(0u32..).filter(|(known, _)| known.staying > 0);
        self.open.clear();
        self.open.extend(open.map(|(known, target)| Open {
            target,
            weight: target_weight(known.weights, known.leaving, most),
        }));
        let has_full_weight = |open: &Open| open.weight == FULL_WEIGHT;
        self.are_full =
            self.open.len() == self.standings.len() && self.open.iter().all(has_full_weight);
        self.has_changed = false;
    }
}

/// The targets of an app whose instances are those of the beginning.
#[derive(Debug)]
struct View<'a> {
    loads: &'a [u32],
}

#[expect(clippy::indexing_slicing, reason = "policy asks for targets below the count")]
impl Targets for View<'_> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.loads.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, target: u32) -> u32 {
        self.loads[target as usize]
    }
}

/// The targets of an app that has scaled, as one gateway knows them.
#[derive(Debug)]
struct WeightedView<'a> {
    loads: &'a [u32],
    weights: &'a Weights,
}

#[expect(clippy::indexing_slicing, reason = "policy asks for places below the count")]
impl Targets for WeightedView<'_> {
    #[inline(always)]
    fn count(&self) -> u32 {
        u32::try_from(self.weights.open.len()).unwrap_or(u32::MAX)
    }

    #[inline(always)]
    fn load(&mut self, place: u32) -> u32 {
        self.loads[self.weights.open[place as usize].target as usize]
    }

    #[inline(always)]
    fn weight(&self, place: u32) -> u32 {
        self.weights.open[place as usize].weight
    }
}
