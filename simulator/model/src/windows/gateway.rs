//! The gateways of a lane: whom they admit, and where they send what they admit.

use policy::adaptive::Answer as Became;
use policy::admission::{Admission, Candidate, Deadlines, Learned, Limits, Permits};
use policy::balance::Choices;
use policy::dagor::Begun;
use policy::{Purpose, Refusal, Scope, Time, Words};

use super::accounts::{self, Books, Desk};
use super::calendar::{self, Calendar, Most, Name};
use super::gates::Gates;
use super::known::{Crew, Known, View, Views, WeightedView};
use super::plan::{Plan, SourceInfo};
use super::{Answer, Key, Request};
use crate::adaptive::{Heard, Limiters};
use crate::look::{Chosen, Look};
use crate::model::Model;

/// Some gateways.
#[derive(Debug)]
pub(super) struct Gateways {
    rules: Admission,
    caps: Caps,
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
pub(super) struct Learners {
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

    fn listen(&mut self, heard: Heard) {
        if let Some(limiters) = &mut self.limiters {
            limiters.expect(heard);
        }
    }
}

impl Gateways {
    pub(super) fn new(model: &Model, plan: &Plan, gateways: std::ops::Range<u16>) -> Self {
        let most = Most {
            user: u32::try_from(model.users().saturating_sub(1)).unwrap_or(u32::MAX),
            gateway: gateways.end.saturating_sub(1),
            source: u16::try_from(model.sources.len().saturating_sub(1)).unwrap_or(u16::MAX),
        };
        Gateways {
            rules: model.admission,
            caps: Caps::of(&model.admission),
            balance: model.balance,
            books: Books::new(model, plan, gateways.clone()),
            calendar: Calendar::new(plan.network.delay.0, plan.lines, most),
            known: Known::new(plan, usize::from(gateways.end - gateways.start)),
            balance_words: Words::new(model.seed, Purpose::Balance, 0),
            learners: Learners::new(model, gateways),
        }
    }

    /// Takes in what a gateway is going to hear.
    #[inline(always)]
    pub(super) fn expect(&mut self, answer: Answer) {
        self.calendar.insert(answer);
    }

    /// The calendar, for many answers.
    #[inline(always)]
    pub(super) fn calendar(&mut self) -> calendar::Open<'_> {
        self.calendar.open()
    }

    /// Whether gateways want to know what became of requests.
    #[inline(always)]
    pub(super) fn adapt(&self) -> bool {
        self.learners.as_ref().is_some_and(|learners| learners.limiters.is_some())
    }

    /// Takes in what becomes of a request, as its gateway is going to hear.
    pub(super) fn listen(&mut self, heard: Heard) {
        if let Some(learners) = &mut self.learners {
            learners.listen(heard);
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
    pub(super) fn begin(&mut self, now: u64) {
        let mut books = self.books.open();
        self.calendar.pass(now, |name| books.release(name));
    }

    /// Reports of all targets arrive at all gateways.
    pub(super) fn learn(&mut self, loads: &[u32]) {
        self.known.learn(loads);
    }

    /// A target tells of its instances.
    pub(super) fn meet(&mut self, crew: &Crew, plan: &Plan) {
        self.known.meet(crew, plan);
    }

    /// All targets have told.
    pub(super) fn weigh(&mut self) {
        self.known.weigh();
    }

    /// Whether all is plain: rules, and what is known of targets.
    pub(super) fn are_plain(&self) -> bool {
        let rates = [self.rules.user, self.rules.cmd]
            .into_iter()
            .flatten()
            .any(|limits| limits.rate.is_some());
        self.learners.is_none() && !rates && self.balance == TWO_CHOICES && self.known.are_full()
    }

    /// Gateways open for requests where all is plain.
    #[inline(always)]
    pub(super) fn plain(&mut self) -> Plain<'_> {
        Plain {
            rules: self.caps.rules(self.rules.deadlines),
            balance_words: self.balance_words,
            books: self.books.open(),
            known: self.known.open(),
        }
    }

    /// Gateways open for the requests of a window.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Open<'_> {
        Open {
            rules: &self.rules,
            balance: self.balance,
            balance_words: self.balance_words,
            books: self.books.open(),
            calendar: &mut self.calendar,
            known: self.known.open(),
            learners: self.learners.as_deref_mut(),
        }
    }
}

/// Gateways with all at hand that a request asks for where all is plain: limits of what is in flight, and
/// two choices among targets that all take their full share.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    rules: Admission,
    balance_words: Words,
    books: accounts::Open<'a>,
    known: Views<'a>,
}

/// Limits of what is in flight: [`u32::MAX`] where there is none.
#[derive(Debug, Clone, Copy)]
struct Caps {
    accept: u32,
    user: u32,
    cmd: u32,
}

impl Caps {
    fn of(rules: &Admission) -> Self {
        let cap = |limits: Option<Limits>| limits.and_then(|limits| limits.concurrency);
        Caps {
            accept: rules.accept.map_or(u32::MAX, |accept| accept.permits),
            user: cap(rules.user).unwrap_or(u32::MAX),
            cmd: cap(rules.cmd).unwrap_or(u32::MAX),
        }
    }

    /// Rules of which nothing but these must be looked up.
    #[inline(always)]
    const fn rules(self, deadlines: Deadlines) -> Admission {
        let Caps { accept, user, cmd } = self;
        let scope = Scope::Gateway;
        Admission {
            accept: Some(Permits { permits: accept, scope }),
            user: Some(Limits { rate: None, concurrency: Some(user), scope }),
            cmd: Some(Limits { rate: None, concurrency: Some(cmd), scope }),
            deadlines,
            adaptive: None,
            overload: None,
        }
    }
}

impl Plain<'_> {
    /// A request arrives: the target that its gateway sends it to; none if it isn't admitted at once,
    /// and nothing has happened then. As [`Open::arrive`] decides.
    #[inline(always)]
    pub(super) fn arrive(&mut self, request: &Request) -> Option<Sent> {
        let desk = self.books.desk(request.key)?;
        // Two choices find one of any number.
        let loads = self.known.loads(desk).filter(|loads| !loads.is_empty())?;
        let mut taken_out = self.books.take_out_counts(desk, request.user);
        let (candidate, now) = (candidate(desk, request), request.time());
        policy::admit(&self.rules, taken_out.accounts(None), candidate, now).ok()?;
        self.books.put_back_counts(desk, request.user, &taken_out);
        let draw = self.balance_words.of(request.key);
        let target = policy::pick(TWO_CHOICES, &mut View { loads }, &mut 0, draw)?;
        *loads.get_mut(target as usize)? += 1;
        Some(Sent { target, place: desk.first + target })
    }
}

const TWO_CHOICES: policy::Balance = policy::Balance::PowerOfChoices(Choices::TWO);

/// The target that a request is sent to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Counted within its app.
    pub(super) target: u32,
    /// Counted over all apps.
    pub(super) place: u32,
}

/// Gateways with all that a request asks for at hand. As with [`accounts::Open`], what stays a call
/// gets [`Open::again`].
#[derive(Debug)]
pub(super) struct Open<'a> {
    rules: &'a Admission,
    balance: policy::Balance,
    balance_words: Words,
    books: accounts::Open<'a>,
    calendar: &'a mut Calendar,
    known: Views<'a>,
    learners: Option<&'a mut Learners>,
}

impl Open<'_> {
    /// The same, lent.
    #[inline(always)]
    pub(super) fn again(&mut self) -> Open<'_> {
        Open {
            rules: self.rules,
            balance: self.balance,
            balance_words: self.balance_words,
            books: self.books.again(),
            calendar: self.calendar,
            known: self.known.again(),
            learners: self.learners.as_deref_mut(),
        }
    }

    /// A request arrives: the target that its gateway sends it to.
    #[inline(always)]
    pub(super) fn arrive(&mut self, request: &Request, plan: &Plan) -> Result<Sent, Refusal> {
        let desk = self.books.desk(request.key).ok_or(Refusal::NoInstance)?;
        if self.learners.is_some() {
            self.again().admit_learned(request, plan)?;
        } else if let Err(cause) = self.admit(desk, request) {
            self.again().admit_late(request, plan, cause)?;
        }
        let picked = self.choose(desk, request.key);
        if picked.is_none() {
            self.again().turn_away(request, plan);
        }
        let target = picked.ok_or(Refusal::NoInstance)?;
        Ok(Sent { target, place: desk.first + target })
    }

    #[inline(always)]
    fn admit(&mut self, desk: &Desk, request: &Request) -> Result<(), Refusal> {
        let mut taken_out = self.books.take_out(desk, request.user);
        let (candidate, now) = (candidate(desk, request), request.time());
        let admitted = policy::admit(self.rules, taken_out.accounts(None), candidate, now);
        self.books.put_back(desk, request.user, &taken_out);
        admitted
    }

    /// A request that isn't admitted at once. Permits that are not yet given back can only refuse too
    /// much: what is admitted in spite of them is admitted. For a user with too many requests one of his
    /// own is enough; if none can be given back, he is refused. Whatever else isn't admitted is asked
    /// again when all are given back.
    #[inline(never)]
    fn admit_late(mut self, request: &Request, plan: &Plan, cause: Refusal) -> Result<(), Refusal> {
        if cause == Refusal::UserConcurrency {
            let (gateway, _) = Key::parts(request.key);
            let Open { books, calendar, .. } = &mut self;
            let who = (request.user, gateway);
            if !calendar.tell(request.at, who, |name| books.release(name)) {
                return Err(cause);
            }
            if self.ask(request, plan).is_ok() {
                return Ok(());
            }
        }
        self.settle(request.time());
        self.ask(request, plan)
    }

    /// Where a rule learns.
    #[cold]
    fn admit_learned(mut self, request: &Request, plan: &Plan) -> Result<(), Refusal> {
        if self.learners.as_ref().is_some_and(|learners| learners.gates.is_some()) {
            // A gate counts whoever asks, so nobody may ask twice.
            self.settle(request.time());
            return self.ask(request, plan);
        }
        match self.ask(request, plan) {
            Ok(()) => Ok(()),
            Err(cause) => self.admit_late(request, plan, cause),
        }
    }

    /// Whether a request is admitted now, whatever the rules.
    fn ask(&mut self, request: &Request, plan: &Plan) -> Result<(), Refusal> {
        let desk = self.books.desk(request.key).ok_or(Refusal::NoInstance)?;
        let Some(learners) = self.learners.as_deref_mut() else {
            return self.admit(desk, request);
        };
        let (gateway, source) = Key::parts(request.key);
        let info = plan.source(source).ok_or(Refusal::NoInstance)?;
        let now = request.time();
        let mut taken_out = self.books.take_out(desk, request.user);
        let mut learned = learners.at(gateway, request.user, info, now);
        let accounts = taken_out.accounts(Some(&mut learned));
        let admitted = policy::admit(self.rules, accounts, candidate(desk, request), now);
        self.books.put_back(desk, request.user, &taken_out);
        admitted
    }

    /// An admitted request for which there is no target.
    #[cold]
    fn turn_away(mut self, request: &Request, plan: &Plan) {
        let (gateway, source) = Key::parts(request.key);
        let line = plan.lines.line(gateway, source);
        self.books.release(Name { user: request.user, line });
        if let (Some(learners), Some(info)) = (self.learners, plan.source(source)) {
            let answer = Became::refused(Refusal::NoInstance);
            let SourceInfo { cmd, class, .. } = *info;
            let (at, key) = (request.time(), request.key);
            learners.listen(Heard { at, key, gateway, cmd, class, answer });
        }
    }

    /// What a gateway knows just before a request arrives. It changes nothing that anybody could see.
    #[cold]
    pub(super) fn look(mut self, request: &Request, plan: &Plan) -> Look {
        let (gateway, source) = Key::parts(request.key);
        let Some(info) = plan.source(source).copied() else { return Look::default() };
        let Some(desk) = self.books.desk(request.key) else { return Look::default() };
        let now = request.time();
        self.settle(now);
        let mut taken_out = self.books.take_out(desk, request.user);
        let learners = self.learners.as_mut();
        let mut learned = learners.map(|known| known.at(gateway, request.user, &info, now));
        let mut look = Look::of(&taken_out.accounts(learned.as_mut()));
        let draw = self.balance_words.of(request.key);
        let Some((loads, turn, weights)) = self.known.at(desk) else { return look };
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
    fn settle(&mut self, now: Time) {
        let Open { books, calendar, .. } = self;
        calendar.settle(now.0, |name| books.release(name));
    }

    /// The target for an admitted request.
    #[inline(always)]
    fn choose(&mut self, desk: &Desk, key: u64) -> Option<u32> {
        let draw = self.balance_words.of(key);
        let (loads, turn, weights) = self.known.at(desk)?;
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
}

#[inline(always)]
fn candidate(desk: &Desk, request: &Request) -> Candidate {
    Candidate { deadline: request.time() + desk.deadline, usual: desk.usual }
}
