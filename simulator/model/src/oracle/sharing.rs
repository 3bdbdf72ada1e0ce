//! Apps that share machines, in the oracle: all that counts is counted anew each time.

use policy::sharing::{self, Action, Loan as Candidate, Observation, Unfinished};
use policy::{Nanoseconds, Refusal, Time};

use super::Oracle;
use super::crew::{Leave, Phase, Task};
use crate::Arrival;
use crate::life::Control;
use crate::sharing::{Pair, Returned, Slot, Stopped, Turn};

/// A pair of apps, with what is lent.
#[derive(Debug)]
pub(super) struct Desk {
    pair: Pair,
    state: sharing::State,
    /// In the order in which they were decided.
    loans: Vec<Loan>,
    /// The most requests of the lender at a time since the last look.
    peak: usize,
}

#[derive(Debug, Clone, Copy)]
struct Loan {
    machine: usize,
    /// The borrower's instance, and since when; none while that of the lender leaves.
    lent: Option<(usize, Time)>,
    called: Option<Called>,
}

#[derive(Debug, Clone, Copy)]
struct Called {
    at: Time,
    due: Time,
}

/// What an instance was taken away from.
pub(super) struct Taken {
    pub machine: usize,
    /// It had not begun to work: nothing has to leave.
    pub is_gone: bool,
}

impl Oracle<'_> {
    pub(super) fn open_desks(&mut self) {
        let pairs = self.model.sharing().map_or(&[][..], |sharing| &sharing.pairs);
        let desk = |pair: &Pair| Desk {
            pair: *pair,
            state: sharing::State::default(),
            loans: Vec::new(),
            peak: 0,
        };
        self.desks = pairs.iter().map(desk).collect();
        self.plan_look();
    }

    /// Plans the next look, if requests still arrive then.
    fn plan_look(&mut self) {
        let Some(rules) = self.model.sharing().map(|sharing| sharing.rules) else { return };
        let next = self.now + rules.interval;
        if next.0 < self.model.duration.0 {
            self.plan(next, Control::Look);
        }
    }

    /// A request of an app has come.
    pub(super) fn count_for_desks(&mut self, app: usize) {
        for desk in self.desks.iter_mut().filter(|desk| desk.pair.lender == app) {
            let tasks = self.apps.get(app).map_or(0, super::Crew::tasks);
            desk.peak = desk.peak.max(tasks);
        }
    }

    pub(super) fn look(&mut self) {
        self.plan_look();
        for pair in 0..self.desks.len() {
            self.look_at(pair);
        }
        self.refresh();
        self.rehome();
    }

    fn look_at(&mut self, pair: usize) {
        let now = self.now;
        let Some(rules) = self.model.sharing().map(|sharing| sharing.rules) else { return };
        let Some(seen) = self.seen(pair) else { return };
        let Some(desk) = self.desks.get_mut(pair) else { return };
        desk.peak = self.apps.get(desk.pair.lender).map_or(0, super::Crew::tasks);
        let action = sharing::decide(&rules, seen, &mut desk.state, now);
        let apps = desk.pair;
        self.record.share(now, pair, seen, action);
        match action {
            Action::Lend(count) => (0..count).for_each(|_| self.lend(pair)),
            Action::CallBack { count, due, .. } => {
                (0..count).for_each(|_| self.call_back(pair, due));
            }
            Action::Keep(_) => {}
        }
        self.tell(apps.lender);
        self.tell(apps.borrower);
    }

    fn seen(&self, pair: usize) -> Option<Observation> {
        let desk = self.desks.get(pair)?;
        let lender = self.apps.get(desk.pair.lender)?;
        let borrower = self.apps.get(desk.pair.borrower)?;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let staying = lender.count();
        let instance =
            |loan: &Loan| loan.lent.and_then(|(number, _)| borrower.instances.get(number));
        let of = |phase: Phase, loan: &Loan| instance(loan).is_some_and(|one| one.phase == phase);
        let kept: Vec<&Loan> = desk.loans.iter().filter(|loan| loan.called.is_none()).collect();
        let coming =
            kept.iter().filter(|loan| loan.lent.is_none() || of(Phase::Starting, loan)).count();
        let is_idle = |loan: &&&Loan| {
            of(Phase::Ready, loan) && instance(loan).is_some_and(|one| one.work.is_empty())
        };
        Some(Observation {
            slots: staying.ready + staying.starting + number(desk.loans.len()),
            peak: number(desk.peak.max(lender.tasks())),
            lent: number(desk.loans.len()),
            called: number(desk.loans.len() - kept.len()),
            unused: number(kept.iter().filter(is_idle).count()),
            borrowers: number(borrower.all_waiting().saturating_sub(coming)),
        })
    }

    /// Lends one slot.
    fn lend(&mut self, pair: usize) {
        let Some(lender) = self.desks.get(pair).map(|desk| desk.pair.lender) else { return };
        let Some(Taken { machine, is_gone }) = self.remove(lender) else { return };
        if let Some(desk) = self.desks.get_mut(pair) {
            desk.loans.push(Loan { machine, lent: None, called: None });
        }
        if is_gone {
            self.lender_gone(lender, machine);
        }
    }

    /// An instance of an app that was to leave for another one has gone.
    pub(super) fn lender_gone(&mut self, app: usize, machine: usize) {
        let now = self.now;
        let desks = self.desks.iter().enumerate();
        let found = desks.filter(|(_, desk)| desk.pair.lender == app).find_map(|(pair, desk)| {
            let waits = |loan: &Loan| loan.machine == machine && loan.lent.is_none();
            Some((pair, desk.loans.iter().position(waits)?))
        });
        let Some((pair, place)) = found else { return };
        let loan = self.desks.get(pair).and_then(|desk| desk.loans.get(place)).copied();
        let borrower = self.desks.get(pair).map_or(0, |desk| desk.pair.borrower);
        if loan.is_some_and(|loan| loan.called.is_some()) {
            return self.end_loan(pair, place, Returned::Idle);
        }
        let number = self.apps.get(borrower).map_or(0, |crew| crew.instances.len());
        if let Some(loan) = self.desks.get_mut(pair).and_then(|desk| desk.loans.get_mut(place)) {
            loan.lent = Some((number, now));
        }
        self.tell_slot(pair, machine, Turn::Lent);
        self.start_on(borrower, machine, Nanoseconds::ZERO);
        self.tell(borrower);
    }

    fn tell_slot(&mut self, pair: usize, machine: usize, turn: Turn) {
        let machine = u32::try_from(machine).unwrap_or(u32::MAX);
        self.record.slot(self.now, Slot { pair, machine, turn });
    }

    /// A slot is the lender's again.
    fn end_loan(&mut self, pair: usize, place: usize, how: Returned) {
        let Some(desk) = self.desks.get_mut(pair) else { return };
        let lender = desk.pair.lender;
        let Loan { machine, lent, called } = desk.loans.remove(place);
        let (lent, called) = (lent.map(|(_, since)| since), called.map(|called| called.at));
        self.tell_slot(pair, machine, Turn::Back { lent, called, how });
        if how != Returned::Lost {
            self.start_on(lender, machine, Nanoseconds::ZERO);
            self.tell(lender);
        }
    }

    /// The pair and the place of the loan that an instance stands for.
    fn loan_of(&self, app: usize, instance: u32) -> Option<(usize, usize)> {
        let desks = self.desks.iter().enumerate();
        desks.filter(|(_, desk)| desk.pair.borrower == app).find_map(|(pair, desk)| {
            let is_it = |loan: &Loan| {
                loan.lent.is_some_and(|(number, _)| u32::try_from(number) == Ok(instance))
            };
            Some((pair, desk.loans.iter().position(is_it)?))
        })
    }

    /// An instance has gone; if it was a borrower, its slot is the lender's again.
    pub(super) fn borrower_gone(&mut self, app: usize, instance: u32, how: Returned) -> bool {
        let Some((pair, place)) = self.loan_of(app, instance) else { return false };
        self.end_loan(pair, place, how);
        true
    }

    pub(super) fn is_borrowed(&self, app: usize, instance: u32) -> bool {
        self.loan_of(app, instance).is_some()
    }

    /// Calls the slot back whose return costs least.
    fn call_back(&mut self, pair: usize, due: Time) {
        let now = self.now;
        let Some(desk) = self.desks.get(pair) else { return };
        let Pair { lender, borrower } = desk.pair;
        let back = |machine: usize| {
            let called = desk.loans.iter().filter(|loan| loan.called.is_some());
            called.filter(|loan| loan.machine == machine).count()
        };
        let candidates = desk.loans.iter().enumerate().filter(|(_, loan)| loan.called.is_none());
        let chosen = sharing::choose(candidates.map(|(place, loan)| {
            let crew = self.apps.get(borrower);
            let instance =
                loan.lent.and_then(|(number, _)| crew.and_then(|crew| crew.instances.get(number)));
            let works_since = instance.and_then(|one| one.work.first()).map(|task| task.start);
            let there = self.machine(lender, loan.machine).instances;
            let lenders = there + u32::try_from(back(loan.machine)).unwrap_or(u32::MAX);
            (place, Candidate { works_since, lenders })
        }));
        let Some(place) = chosen else { return };
        let Some(loan) = self.desks.get_mut(pair).and_then(|desk| desk.loans.get_mut(place)) else {
            return;
        };
        loan.called = Some(Called { at: now, due });
        let Loan { machine, lent, .. } = *loan;
        self.tell_slot(pair, machine, Turn::Called { due });
        let Some((number, _)) = lent else { return };
        let Some(crew) = self.apps.get_mut(borrower) else { return };
        let target = crew.target_of(number);
        let Some(one) = crew.instances.get_mut(number) else { return };
        if one.phase == Phase::Starting {
            one.phase = Phase::Gone;
            return self.end_loan(pair, place, Returned::Idle);
        }
        if let Some(queue) = crew.queues.get_mut(&target) {
            let instances = [number].into();
            let waited = [].into();
            queue.leaves.push(Leave { waited, instances, spared: None, decided: now });
        }
        let instance = u32::try_from(number).unwrap_or(u32::MAX);
        self.plan(due, Control::Due { app: borrower, instance });
        self.settle(borrower, target);
    }

    /// What has borrowed a slot is stopped if it still works.
    pub(super) fn due(&mut self, app: usize, instance: u32) {
        let (now, number) = (self.now, instance as usize);
        let Some((pair, place)) = self.loan_of(app, instance) else { return };
        let is_now = |loan: &Loan| loan.called.is_some_and(|called| called.due == now);
        let loan = self.desks.get(pair).and_then(|desk| desk.loans.get(place));
        let Some(crew) = self.apps.get_mut(app).filter(|_| loan.is_some_and(is_now)) else {
            return;
        };
        let target = crew.target_of(number);
        let Some(one) = crew.instances.get_mut(number) else { return };
        if one.phase != Phase::Ready {
            return;
        }
        one.phase = Phase::Gone;
        one.version += 1;
        let work: Vec<Task> = one.work.drain(..).collect();
        if let Some(queue) = crew.queues.get_mut(&target) {
            queue.ready.remove(&number);
            queue.leaves.retain(|leave| !leave.instances.contains(&number));
        }
        for Task { arrival, start, .. } in work {
            self.checked.lost_work += u128::from(now.since(start).0);
            self.stop(pair, &arrival, start, target);
        }
        self.tell(app);
        self.end_loan(pair, place, Returned::Stopped);
        self.refresh();
        self.rehome();
    }

    /// Work was stopped.
    fn stop(&mut self, pair: usize, arrival: &Arrival, start: Time, target: usize) {
        let Some(sharing) = self.model.sharing() else { return };
        let fate = sharing.rules.unfinished;
        self.record.stop(self.now, arrival, Stopped { pair, start, fate });
        let Some(app) = self.desks.get(pair).map(|desk| desk.pair.borrower) else { return };
        match fate {
            Unfinished::Fail => self.fail(arrival),
            Unfinished::Requeue => {
                if let Some(crew) = self.apps.get_mut(app)
                    && let Some(queue) = crew.queues.get_mut(&target)
                {
                    queue.put(*arrival, true, self.now, &self.model.queue);
                }
                self.settle(app, target);
            }
        }
    }

    /// Requests at targets of borrowers where no instance stays go to others: from there on their
    /// way is as if they were new.
    pub(super) fn rehome(&mut self) {
        for pair in 0..self.desks.len() {
            let Some(app) = self.desks.get(pair).map(|desk| desk.pair.borrower) else { return };
            let Some(crew) = self.apps.get_mut(app) else { return };
            let mut homeless = Vec::new();
            let leaving: Vec<usize> = crew.queues.keys().copied().collect();
            for target in leaving {
                if crew.staying(target) > 0 {
                    continue;
                }
                if let Some(queue) = crew.queues.get_mut(&target) {
                    homeless.append(&mut queue.coming);
                    homeless.extend(queue.empty());
                }
            }
            homeless.sort_by_key(|arrival: &Arrival| (arrival.at, arrival.key));
            for arrival in homeless {
                self.unload(&arrival);
                match self.choose(&arrival, app) {
                    Ok(target) => self.come(&arrival, app, target),
                    Err(Refusal::NoInstance) => self.fail(&arrival),
                    Err(_) => {}
                }
            }
        }
    }

    /// What was lent on a machine that has failed is the lender's when it is back.
    pub(super) fn lose_loans(&mut self, machine: usize) {
        for pair in 0..self.desks.len() {
            while let Some(desk) = self.desks.get(pair) {
                let Pair { lender, borrower } = desk.pair;
                let Some(place) = desk.loans.iter().position(|loan| loan.machine == machine) else {
                    break;
                };
                let loan = desk.loans.get(place).copied();
                *self.lost.entry((machine, lender)).or_default() += 1;
                if loan.is_some_and(|loan| loan.lent.is_some() && loan.called.is_none()) {
                    let lost = self.lost.entry((machine, borrower)).or_default();
                    *lost = lost.saturating_sub(1);
                }
                self.end_loan(pair, place, Returned::Lost);
            }
        }
    }
}
