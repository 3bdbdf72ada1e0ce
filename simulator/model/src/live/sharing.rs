//! Apps that share machines, in the live engine.

use policy::Time;
use policy::sharing::{self, Action, Loan as Candidate, Observation, Unfinished};

use super::Live;
use super::group::{Phase, View};
use super::target::{Job, Target};
use crate::life::Control;
use crate::sharing::{Pair, Returned, Slot, Stopped, Turn};

/// What pairs of apps have lent.
#[derive(Debug, Default)]
pub(super) struct Desks {
    desks: Vec<Desk>,
    /// Targets from which somebody is to leave: what follows happens at that very time.
    watched: Vec<u32>,
}

#[derive(Debug)]
struct Desk {
    pair: Pair,
    state: sharing::State,
    /// In the order in which they were decided.
    loans: Vec<Loan>,
    /// The most requests of the lender at a time since the last look.
    peak: u64,
}

#[derive(Debug, Clone, Copy)]
struct Loan {
    machine: u32,
    state: LoanState,
    /// When it was called back, and until when it must be given.
    called: Option<(Time, Time)>,
}

#[derive(Debug, Clone, Copy)]
enum LoanState {
    /// The instance of the lender leaves.
    Leaves,
    /// The borrower has it, since when and as which instance.
    Lent(Time, u32),
}

impl Loan {
    const fn instance(&self) -> Option<u32> {
        match self.state {
            LoanState::Leaves => None,
            LoanState::Lent(_, instance) => Some(instance),
        }
    }
}

impl Desks {
    /// A request has come to an app that has so many now.
    #[inline]
    pub(super) fn count(&mut self, app: usize, tasks: u64) {
        for desk in &mut self.desks {
            if desk.pair.lender == app {
                desk.peak = desk.peak.max(tasks);
            }
        }
    }

    /// The pair and the place of the loan that an instance stands for.
    fn loan_of(&self, app: usize, instance: u32) -> Option<(usize, usize)> {
        let (pair, desk) =
            self.desks.iter().enumerate().find(|(_, desk)| desk.pair.borrower == app)?;
        let place = desk.loans.iter().position(|loan| loan.instance() == Some(instance))?;
        Some((pair, place))
    }

    pub(super) fn has(&self, app: usize, instance: u32) -> bool {
        self.loan_of(app, instance).is_some()
    }

    fn loan(&mut self, pair: usize, place: usize) -> Option<&mut Loan> {
        self.desks.get_mut(pair)?.loans.get_mut(place)
    }

    fn pair(&self, pair: usize) -> Option<Pair> {
        self.desks.get(pair).map(|desk| desk.pair)
    }
}

/// What an instance was taken away from.
pub(super) struct Taken {
    pub machine: u32,
    /// It had not begun to work: nothing has to leave.
    pub is_gone: bool,
}

impl Live<'_> {
    pub(super) fn open_desks(&mut self) {
        let pairs = self.model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
        let state = sharing::State::default();
        let desk = |pair: &Pair| Desk { pair: *pair, state, loans: Vec::new(), peak: 0 };
        self.desks.desks = pairs.iter().map(desk).collect();
        self.plan_look(Time::ZERO);
    }

    fn plan_look(&mut self, now: Time) {
        let Some(sharing) = self.model.sharing() else { return };
        let next = now + sharing.rules.interval;
        if next < self.ticks_until {
            self.plan(next, Control::Look);
        }
    }

    /// When somebody may leave next for whom another one starts.
    #[inline]
    pub(super) fn next_leave(&mut self) -> Option<Time> {
        if self.desks.watched.is_empty() {
            return None;
        }
        let targets = &self.targets;
        let target = |place: u32| targets.get(place as usize);
        self.desks.watched.retain(|place| target(*place).is_some_and(|known| known.leaving() > 0));
        let watched = self.desks.watched.iter();
        let events = watched.filter_map(|place| target(*place)?.next_event());
        events.chain(self.next_source()).min()
    }

    /// If all are to leave that are at a target: with the last one what is on its way there may fail,
    /// and others have its part of the link from then on.
    pub(super) fn watch_leaving(&mut self, place: u32) {
        let known = self.targets.get(place as usize);
        if known.is_some_and(|known| known.present() > 0 && known.present() == known.leaving()) {
            self.watch(place);
        }
    }

    fn watch(&mut self, place: u32) {
        if !self.desks.watched.contains(&place) {
            self.desks.watched.push(place);
        }
    }

    pub(super) fn look_at_desks(&mut self, now: Time) {
        if now >= self.ticks_until {
            return;
        }
        self.plan_look(now);
        for pair in 0..self.desks.desks.len() {
            self.look_at_desk(pair, now);
        }
        self.refresh(now);
        self.rehome(now);
    }

    fn look_at_desk(&mut self, pair: usize, now: Time) {
        let Some(rules) = self.model.sharing().map(|sharing| sharing.rules) else { return };
        let Some(seen) = self.seen(pair) else { return };
        let Some(desk) = self.desks.desks.get_mut(pair) else { return };
        let Pair { lender, borrower } = desk.pair;
        desk.peak = self.groups.get(lender).map_or(0, |group| group.tasks);
        let action = sharing::decide(&rules, seen, &mut desk.state, now);
        self.record.share(now, pair, seen, action);
        match action {
            Action::Lend(count) => (0..count).for_each(|_| self.lend(pair, now)),
            Action::CallBack { count, due, .. } => {
                (0..count).for_each(|_| self.call_back(pair, due, now));
            }
            Action::Keep(_) => {}
        }
        self.tell(lender, now);
        self.tell(borrower, now);
    }

    fn seen(&self, pair: usize) -> Option<Observation> {
        let desk = self.desks.desks.get(pair)?;
        let lender = self.groups.get(desk.pair.lender)?;
        let borrower = self.groups.get(desk.pair.borrower)?;
        let (mut called, mut coming, mut unused) = (0, 0, 0);
        for loan in &desk.loans {
            if loan.called.is_some() {
                called += 1;
                continue;
            }
            let phase = loan.instance().and_then(|number| {
                borrower.instances.get(number as usize).map(|one| (number, one.phase))
            });
            match phase {
                None | Some((_, Phase::Starting)) => coming += 1,
                Some((number, Phase::Ready)) => {
                    unused += u32::from(self.works_since(desk.pair.borrower, number).is_none());
                }
                Some((_, Phase::Leaving | Phase::Gone)) => {}
            }
        }
        let lent = u32::try_from(desk.loans.len()).unwrap_or(u32::MAX);
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Some(Observation {
            slots: lender.counted.ready + lender.counted.starting + lent,
            peak: number(desk.peak),
            lent,
            called,
            unused,
            borrowers: number(borrower.waiting.saturating_sub(coming)),
        })
    }

    /// The target of an instance, as a place.
    fn place_of(&self, app: usize, instance: u32) -> Option<u32> {
        let target = self.groups.get(app)?.target_of(instance, self.model.queue.scope);
        self.made.get(&(app, target)).copied()
    }

    /// Since when an instance works on what it works on.
    fn works_since(&self, app: usize, instance: u32) -> Option<Time> {
        let place = self.place_of(app, instance)?;
        self.targets.get(place as usize)?.works_since(instance, &self.jobs)
    }

    /// Lends one slot.
    fn lend(&mut self, pair: usize, now: Time) {
        let Some(Pair { lender, .. }) = self.desks.pair(pair) else { return };
        let Some(Taken { machine, is_gone }) = self.remove(lender, now) else { return };
        if let Some(desk) = self.desks.desks.get_mut(pair) {
            desk.loans.push(Loan { machine, state: LoanState::Leaves, called: None });
        }
        if is_gone {
            return self.lender_gone(lender, machine, now);
        }
        let scope = self.model.queue.scope;
        let leaving: Vec<u32> = self.groups.get(lender).map_or(Vec::new(), |group| {
            let manned = group.manned.iter();
            let here = manned.filter(|(target, _)| match scope {
                policy::queue::QueueScope::Central => false,
                policy::queue::QueueScope::Node => **target == machine,
                policy::queue::QueueScope::Instance => {
                    let one = group.instances.get(**target as usize);
                    one.is_some_and(|one| one.machine == machine)
                }
            });
            here.map(|(_, place)| *place).collect()
        });
        leaving.into_iter().for_each(|place| self.watch(place));
    }

    /// An instance that was to leave for another app has gone.
    pub(super) fn lender_gone(&mut self, app: usize, machine: u32, now: Time) {
        let mut desks = self.desks.desks.iter().enumerate();
        let Some((pair, desk)) = desks.find(|(_, desk)| desk.pair.lender == app) else { return };
        let waits =
            |loan: &Loan| loan.machine == machine && matches!(loan.state, LoanState::Leaves);
        let Some(place) = desk.loans.iter().position(waits) else { return };
        let borrower = desk.pair.borrower;
        let Some(loan) = self.desks.loan(pair, place) else { return };
        if loan.called.is_some() {
            return self.end_loan(pair, place, Returned::Idle, now);
        }
        let next = self.groups.get(borrower).map_or(0, |group| group.instances.len());
        loan.state = LoanState::Lent(now, u32::try_from(next).unwrap_or(u32::MAX));
        self.record.slot(now, Slot { pair, machine, turn: Turn::Lent });
        self.start_on(borrower, machine as usize, now);
        self.tell(borrower, now);
    }

    /// A slot is the lender's again.
    fn end_loan(&mut self, pair: usize, place: usize, how: Returned, now: Time) {
        let Some(desk) = self.desks.desks.get_mut(pair) else { return };
        let lender = desk.pair.lender;
        let Loan { machine, state, called } = desk.loans.remove(place);
        let lent = match state {
            LoanState::Leaves => None,
            LoanState::Lent(since, _) => Some(since),
        };
        let turn = Turn::Back { lent, called: called.map(|(at, _)| at), how };
        self.record.slot(now, Slot { pair, machine, turn });
        if how != Returned::Lost {
            self.start_on(lender, machine as usize, now);
            self.tell(lender, now);
        }
    }

    /// An instance has gone; if it was a borrower, its slot is the lender's again.
    pub(super) fn borrower_gone(
        &mut self,
        app: usize,
        instance: u32,
        how: Returned,
        now: Time,
    ) -> bool {
        let Some((pair, place)) = self.desks.loan_of(app, instance) else { return false };
        self.end_loan(pair, place, how, now);
        true
    }

    /// Calls the slot back whose return costs least.
    fn call_back(&mut self, pair: usize, due: Time, now: Time) {
        let Some(desk) = self.desks.desks.get(pair) else { return };
        let Pair { lender, borrower } = desk.pair;
        let mut lenders: Vec<u32> =
            self.groups.get(lender).map_or(Vec::new(), |group| group.on_machines.clone());
        for loan in desk.loans.iter().filter(|loan| loan.called.is_some()) {
            if let Some(count) = lenders.get_mut(loan.machine as usize) {
                *count += 1;
            }
        }
        let candidates = desk.loans.iter().enumerate().filter(|(_, loan)| loan.called.is_none());
        let chosen = sharing::choose(candidates.map(|(place, loan)| {
            let works_since = loan.instance().and_then(|number| self.works_since(borrower, number));
            let lenders = lenders.get(loan.machine as usize).copied().unwrap_or(0);
            (place, Candidate { works_since, lenders })
        }));
        let Some(place) = chosen else { return };
        let Some(loan) = self.desks.loan(pair, place) else { return };
        loan.called = Some((now, due));
        let Loan { machine, .. } = *loan;
        let instance = loan.instance();
        self.record.slot(now, Slot { pair, machine, turn: Turn::Called { due } });
        let Some(number) = instance else { return };
        let Some(group) = self.groups.get_mut(borrower) else { return };
        if let Some(count) = group.on_machines.get_mut(machine as usize) {
            *count -= 1;
        }
        if group.starting.remove(&(machine, number)) {
            group.counted.starting -= 1;
            self.release(borrower, number);
            return self.end_loan(pair, place, Returned::Idle, now);
        }
        group.counted.ready -= 1;
        group.counted.leaving += 1;
        self.plan(due, Control::Due { app: borrower, instance: number });
        let Some(place) = self.place_of(borrower, number) else { return };
        if let Some((target, mut floor, _)) = self.at(place, now) {
            target.dismiss_this(number, now, &mut floor);
            target.hasten(number, now, &mut floor);
        }
        self.see_off(borrower);
        self.watch(place);
    }

    /// What has borrowed a slot is stopped if it still works.
    pub(super) fn due(&mut self, app: usize, number: u32, now: Time) {
        let Some((pair, place)) = self.desks.loan_of(app, number) else { return };
        let loan = self.desks.loan(pair, place);
        if loan.and_then(|loan| loan.called).is_none_or(|(_, due)| due != now) {
            return;
        }
        let instance = self.groups.get(app).and_then(|group| group.instances.get(number as usize));
        if instance.is_none_or(|instance| instance.phase != Phase::Ready) {
            return;
        }
        let Some(at) = self.place_of(app, number) else { return };
        let Some((target, mut floor, _)) = self.at(at, now) else { return };
        let work = target.stop(number, &mut floor);
        for job in work {
            self.stop(pair, at, job, now);
        }
        if let Some(group) = self.groups.get_mut(app) {
            group.counted.leaving -= 1;
        }
        self.release(app, number);
        self.tell(app, now);
        self.end_loan(pair, place, Returned::Stopped, now);
        self.refresh(now);
        self.rehome(now);
    }

    /// Work at a target was stopped.
    fn stop(&mut self, pair: usize, place: u32, job: Job, now: Time) {
        let Some(sharing) = self.model.sharing() else { return };
        let fate = sharing.rules.unfinished;
        self.record.stop(now, &job.arrival, Stopped { pair, start: job.start, fate });
        match fate {
            Unfinished::Fail => self.fail(place, &job, now),
            Unfinished::Requeue => {
                if let Some((target, mut floor, _)) = self.at(place, now) {
                    target.put_back(job, now, &mut floor);
                }
            }
        }
    }

    /// A request of a target fails that isn't there any more.
    fn fail(&mut self, place: u32, job: &Job, now: Time) {
        let Some((target, _, mut rest)) = self.at(place, now) else { return };
        let app = target.app as usize;
        *rest.tasks -= 1;
        rest.fail(&job.arrival, now);
        if let Some(group) = self.groups.get_mut(app) {
            group.forget_loads();
        }
    }

    /// Requests at targets of borrowers where no instance stays go to others: from there on their
    /// way is as if they were new.
    pub(super) fn rehome(&mut self, now: Time) {
        for pair in 0..self.desks.desks.len() {
            let Some(Pair { borrower, .. }) = self.desks.pair(pair) else { return };
            let mut homeless: Vec<(u32, Job)> = Vec::new();
            for place in 0..u32::try_from(self.targets.len()).unwrap_or(u32::MAX) {
                let is_closed = |target: &Target| {
                    target.app as usize == borrower
                        && target.present() == target.leaving()
                        && target.load() > 0
                };
                if !self.targets.get(place as usize).is_some_and(is_closed) {
                    continue;
                }
                if let Some((target, mut floor, _)) = self.at(place, now) {
                    homeless.extend(
                        target.give_up(now, &mut floor).into_iter().map(|job| (place, job)),
                    );
                }
            }
            homeless.sort_by_key(|(_, job)| (job.arrival.at, job.arrival.key));
            for (place, job) in homeless {
                if !self.send_again(borrower, job, now) {
                    self.fail(place, &job, now);
                }
            }
        }
    }

    /// Sends a request to another target, if there is any.
    fn send_again(&mut self, app: usize, job: Job, now: Time) -> bool {
        let apps = self.groups.len();
        let Some(group) = self.groups.get(app) else { return false };
        let number = usize::from(job.arrival.gateway) * apps + app;
        let Some(turn) = self.turns.get_mut(number) else { return false };
        let draw = self.balance_words.of(job.arrival.key);
        let signals = self.signals.as_deref_mut().map(|known| (known, number, now));
        let mut view = View { group, targets: &self.targets, signals };
        let chosen = policy::pick(self.model.balance, &mut view, turn, draw);
        let Some(place) = chosen.and_then(|chosen| group.open.get(chosen as usize)).copied() else {
            return false;
        };
        let path = self.paths.of(&job.arrival).unwrap_or_default();
        let trip = self.paths.trip(&job.arrival);
        let Some((target, mut floor, _)) = self.at(place, now) else { return false };
        let job = Job { in_flight: target.load(), ..job };
        target.let_in(job, &path, trip, now, &mut floor);
        if let Some(group) = self.groups.get_mut(app) {
            group.join(place);
        }
        true
    }

    /// What was lent on a machine that has failed is the lender's when it is back.
    pub(super) fn lose_loans(&mut self, machine: u32, now: Time) {
        for pair in 0..self.desks.desks.len() {
            let Some(Pair { lender, borrower }) = self.desks.pair(pair) else { return };
            loop {
                let loans = self.desks.desks.get(pair).map_or(&[][..], |desk| &desk.loans);
                let Some(place) = loans.iter().position(|loan| loan.machine == machine) else {
                    break;
                };
                let is_there = |loan: &Loan| {
                    loan.called.is_none() && matches!(loan.state, LoanState::Lent(..))
                };
                let is_counted = loans.get(place).is_some_and(is_there);
                for (app, more, less) in [(lender, 1, 0), (borrower, 0, u32::from(is_counted))] {
                    let lost = self.groups.get_mut(app).map(|group| &mut group.lost);
                    if let Some(lost) = lost.and_then(|lost| lost.get_mut(machine as usize)) {
                        *lost = (*lost + more).saturating_sub(less);
                    }
                }
                self.end_loan(pair, place, Returned::Lost, now);
            }
        }
    }
}
