//! What fails in the live engine: machines, with all that is there, and single instances.

use policy::queue::QueueScope;
use policy::{Nanoseconds, Time};

use super::Live;
use super::group::Phase;
use crate::faults::{Cause, Incident, Lost};
use crate::life::Control;
use crate::sharing::Returned;

/// The number of the one target of an app with a queue of the gateways.
const CENTRAL: u32 = 0;

impl Live<'_> {
    pub(super) fn plan_faults(&mut self) {
        for (at, control) in self.model.dynamics.faults.planned(self.model) {
            self.plan(at, control);
        }
        for app in 0..self.groups.len() {
            let count = self.groups.get(app).map_or(0, |group| group.instances.len());
            for instance in 0..u32::try_from(count).unwrap_or(u32::MAX) {
                self.plan_crash(app, instance, Time::ZERO);
            }
        }
    }

    /// Plans the end of an instance that has just become ready.
    pub(super) fn plan_crash(&mut self, app: usize, instance: u32, now: Time) {
        let faults = &self.model.dynamics.faults;
        if let Some(at) = faults.crash_at(self.model, app, instance, now) {
            self.plan(at, Control::Crashed { app, instance });
        }
    }

    /// How slow a machine is has changed.
    pub(super) fn slowed(&mut self, machine: u32, now: Time) {
        let slowdown = self.slow.at(machine);
        self.record.incident(now, Incident::Slow { machine, slowdown });
        for group in &mut self.groups {
            let there = group.instances.iter_mut().filter(|one| one.machine == machine);
            there.for_each(|one| one.slow = slowdown);
        }
    }

    pub(super) fn failed(&mut self, machine: u32, now: Time) {
        let Some(down) = self.down.get_mut(machine as usize) else { return };
        *down += 1;
        if *down > 1 {
            return;
        }
        self.record.incident(now, Incident::Failed { machine });
        for app in 0..self.groups.len() {
            let ready = self.groups.get(app).map_or(0, |group| group.counted.ready);
            let (instances, requests) = self.lose(app, machine, now);
            let answers = self.lose_answers(app, machine, now);
            let requests = requests + answers;
            let left = self.groups.get(app).map_or(0, |group| group.counted.ready);
            let ready = ready - left;
            let cause = Cause::Machine;
            let lost = Lost { app, machine, cause, instances, ready, requests };
            if instances > 0 || answers > 0 {
                self.record.incident(now, Incident::Lost(lost));
            }
            self.tell(app, now);
        }
        self.machine_lost(machine, now);
        self.lose_loans(machine, now);
        self.refresh(now);
        self.rehome(now);
    }

    pub(super) fn lost(&mut self, lost: Lost, now: Time) {
        if lost.instances > 0 {
            self.record.incident(now, Incident::Lost(lost));
        }
    }

    /// Takes all instances of an app from a machine, with the requests that are there; how many of
    /// both.
    fn lose(&mut self, app: usize, machine: u32, now: Time) -> (u32, u32) {
        let scope = self.model.queue.scope;
        let Some(group) = self.groups.get_mut(app) else { return (0, 0) };
        let Some(staying) = group.on_machines.get_mut(machine as usize) else { return (0, 0) };
        let staying = std::mem::take(staying);
        if let Some(lost) = group.lost.get_mut(machine as usize) {
            *lost = staying;
        }
        let places: Vec<u32> = match scope {
            QueueScope::Central => return self.lose_of_central(app, machine, now),
            // Also those that all have left: something may wait there.
            QueueScope::Node => self.made.get(&(app, machine)).copied().into_iter().collect(),
            QueueScope::Instance => {
                let numbered = (0u32..).zip(&group.instances);
                let here =
                    numbered.filter(|(_, one)| one.machine == machine && one.phase != Phase::Gone);
                here.filter_map(|(number, _)| self.made.get(&(app, number)).copied()).collect()
            }
        };
        let requests = places.into_iter().map(|place| self.lose_at(place, now)).sum();
        (self.release_all(app, machine), requests)
    }

    /// The same where a queue of the gateways stays: what waits there goes on waiting, unless the last
    /// one that takes requests falls, or nobody is left at all ([`crate::central`]).
    fn lose_of_central(&mut self, app: usize, machine: u32, now: Time) -> (u32, u32) {
        let Some(group) = self.groups.get(app) else { return (0, 0) };
        let is_ready =
            |one: &super::group::Instance| one.phase == Phase::Ready && one.machine == machine;
        let numbered = (0u32..).zip(&group.instances);
        let ready: Vec<u32> =
            numbered.filter(|(_, one)| is_ready(one)).map(|(number, _)| number).collect();
        let (mut instances, mut requests) = (0, 0);
        for number in ready {
            if let Some((_, lost, _)) = self.fall(app, number, now) {
                instances += 1;
                requests += lost;
            }
        }
        instances += self.release_all(app, machine);
        if instances > 0 {
            requests += self.desert(app, CENTRAL, now);
        }
        (instances, requests)
    }

    /// An instance is gone, by no fault: what waits where it was has nobody to wait for if it was the
    /// last one.
    pub(super) fn desert_after(&mut self, app: usize, number: u32, now: Time) {
        let Some(group) = self.groups.get(app) else { return };
        let Some(machine) = group.instances.get(number as usize).map(|one| one.machine) else {
            return;
        };
        let target = group.target_of(number, self.model.queue.scope);
        let requests = self.desert(app, target, now);
        if requests > 0 {
            let cause = Cause::Left;
            let lost = Lost { app, machine, cause, instances: 0, ready: 0, requests };
            self.record.incident(now, Incident::Lost(lost));
        }
    }

    /// Requests that wait at a target fail if no instance of it is left; how many. One that starts, or
    /// has left and still holds its machine, is there, too; but a scheduler that ends the last one
    /// that takes requests lets nothing wait for others.
    pub(super) fn desert(&mut self, app: usize, target: u32, now: Time) -> u32 {
        let Some(place) = self.made.get(&(app, target)).copied() else { return 0 };
        let known = self.targets.get(place as usize);
        if known.is_none_or(|known| known.present() > 0 || known.load() == 0) {
            return 0;
        }
        let (Some(group), scope) = (self.groups.get(app), self.model.queue.scope) else { return 0 };
        let is_there = |(number, one): (u32, &super::group::Instance)| {
            one.phase != Phase::Gone && group.target_of(number, scope) == target
        };
        let is_awaited = (0u32..).zip(&group.instances).any(is_there);
        if is_awaited && self.model.dynamics.scheduler.is_none() {
            return 0;
        }
        self.lose_at(place, now)
    }

    /// What is left of an app on a machine is gone: how many instances.
    fn release_all(&mut self, app: usize, machine: u32) -> u32 {
        let Some(group) = self.groups.get_mut(app) else { return 0 };
        let mut gone = Vec::new();
        for (number, instance) in (0u32..).zip(&group.instances) {
            if instance.machine == machine && instance.phase != Phase::Gone {
                gone.push(number);
                match instance.phase {
                    Phase::Starting => group.counted.starting -= 1,
                    // Those of targets have been counted there.
                    Phase::Ready | Phase::Gone => {}
                    Phase::Leaving => group.counted.leaving -= 1,
                }
            }
        }
        group.starting.retain(|(known, _)| *known != machine);
        let instances = u32::try_from(gone.len()).unwrap_or(u32::MAX);
        for number in gone {
            self.release(app, number);
        }
        instances
    }

    /// Empties a target; how many requests were there.
    pub(super) fn lose_at(&mut self, place: u32, now: Time) -> u32 {
        let Some((target, mut floor, mut rest)) = self.at(place, now) else { return 0 };
        let (leaving, present) = (target.leaving(), target.present());
        let app = target.app;
        let mut requests = 0;
        target.clear(now, &mut floor, |job| {
            requests += 1;
            *rest.tasks -= 1;
            rest.fail(&job.arrival, now);
        });
        if let Some(group) = self.groups.get_mut(app as usize) {
            group.forget_loads();
            group.counted.leaving -= leaving;
            group.counted.ready -= present - leaving;
        }
        requests
    }

    pub(super) fn repaired(&mut self, machine: u32, now: Time) {
        let Some(down) = self.down.get_mut(machine as usize) else { return };
        *down = down.saturating_sub(1);
        if *down > 0 {
            return;
        }
        self.record.incident(now, Incident::Repaired { machine });
        if self.machine_found(machine, now) {
            return;
        }
        for app in 0..self.groups.len() {
            let lost = self.groups.get_mut(app).and_then(|group| {
                let lost = group.lost.get_mut(machine as usize)?;
                Some(std::mem::take(lost))
            });
            for _ in 0..lost.unwrap_or(0) {
                self.start_on(app, machine as usize, now);
            }
            self.tell(app, now);
        }
    }

    /// The first instance of an app on a machine that is ready ends by itself.
    pub(super) fn crash_on(&mut self, app: usize, machine: u32, now: Time) {
        let Some(group) = self.groups.get(app) else { return };
        let is_it =
            |one: &super::group::Instance| one.phase == Phase::Ready && one.machine == machine;
        let first = group.instances.iter().position(is_it);
        if let Some(instance) = first.and_then(|number| u32::try_from(number).ok()) {
            self.crashed(app, instance, now);
        }
    }

    /// An instance ends by itself; another one starts in its place, unless it was to leave anyway.
    pub(super) fn crashed(&mut self, app: usize, number: u32, now: Time) {
        if self.crashes_under_scheduler(app, number, now) {
            return;
        }
        let Some((machine, requests, was_to_leave)) = self.fall(app, number, now) else { return };
        let rules = &self.model.dynamics.faults.repair;
        let is_borrowed = self.desks.has(app, number);
        let wait = match was_to_leave || is_borrowed {
            true => Nanoseconds::ZERO,
            false => self.back_offs.failed(rules, app, machine, now),
        };
        let ready = u32::from(!was_to_leave);
        let cause = Cause::Crash { wait };
        self.lost(Lost { app, machine, cause, instances: 1, ready, requests }, now);
        if !was_to_leave {
            if let Some(group) = self.groups.get_mut(app)
                && let Some(count) = group.on_machines.get_mut(machine as usize)
            {
                *count -= 1;
            }
            if !is_borrowed {
                self.start_on(app, machine as usize, now + wait);
            }
        }
        self.tell(app, now);
        if is_borrowed {
            self.borrower_gone(app, number, Returned::Crashed, now);
        } else if was_to_leave {
            self.lender_gone(app, machine, now);
        }
        self.refresh(now);
        self.rehome(now);
    }

    /// Takes a ready instance away with the request that it works on, and what waits if it was the
    /// last one there: its machine, how many requests, and whether it was to leave.
    pub(super) fn fall(&mut self, app: usize, number: u32, now: Time) -> Option<(u32, u32, bool)> {
        let group = self.groups.get(app)?;
        let instance = group.instances.get(number as usize)?;
        if instance.phase != Phase::Ready {
            return None;
        }
        let machine = instance.machine;
        let target = group.target_of(number, self.model.queue.scope);
        let place = self.made.get(&(app, target)).copied()?;
        let (target, mut floor, mut rest) = self.at(place, now)?;
        let mut requests = 0;
        let was_to_leave = target.fall(number, now, &mut floor, |job| {
            requests += 1;
            *rest.tasks -= 1;
            rest.fail(&job.arrival, now);
        });
        if let Some(group) = self.groups.get_mut(app) {
            group.forget_loads();
            match was_to_leave {
                true => group.counted.leaving -= 1,
                false => group.counted.ready -= 1,
            }
        }
        self.release(app, number);
        if self.wires.is_some() {
            self.watch_leaving(place);
        }
        Some((machine, requests, was_to_leave))
    }
}
