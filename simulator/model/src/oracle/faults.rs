//! What fails in the oracle: machines, with all that is there, and single instances.

use std::collections::BTreeSet;

use policy::queue::QueueScope;
use policy::{Nanoseconds, Refusal};

use super::Oracle;
use super::crew::{Instance, Phase};
use crate::Arrival;
use crate::faults::{Cause, Incident, Lost};
use crate::life::Control;
use crate::sharing::Returned;

impl Oracle<'_> {
    pub(super) fn plan_faults(&mut self) {
        for (at, control) in self.model.dynamics.faults.planned(self.model) {
            self.plan(at, control);
        }
        for app in 0..self.apps.len() {
            let count = self.apps.get(app).map_or(0, |crew| crew.instances.len());
            for instance in 0..u32::try_from(count).unwrap_or(u32::MAX) {
                self.plan_crash(app, instance);
            }
        }
    }

    /// Plans the end of an instance that has just become ready.
    pub(super) fn plan_crash(&mut self, app: usize, instance: u32) {
        let faults = &self.model.dynamics.faults;
        if let Some(at) = faults.crash_at(self.model, app, instance, self.now) {
            self.plan(at, Control::Crashed { app, instance });
        }
    }

    pub(super) fn slowed(&mut self, machine: u32) {
        let slowdown = self.slow.at(machine);
        self.record.incident(self.now, Incident::Slow { machine, slowdown });
    }

    pub(super) fn failed(&mut self, machine: usize) {
        let down = self.down.entry(machine).or_default();
        *down += 1;
        if *down > 1 {
            return;
        }
        let number = u32::try_from(machine).unwrap_or(u32::MAX);
        self.record.incident(self.now, Incident::Failed { machine: number });
        for app in 0..self.apps.len() {
            let staying = self.machine(app, machine).instances;
            let ready = |oracle: &Self| oracle.apps.get(app).map_or(0, |crew| crew.count().ready);
            let before = ready(self);
            self.lost.insert((machine, app), staying);
            let (instances, failed) = self.lose(app, machine);
            let answers = self.lose_answers(app, machine);
            let lost = Lost {
                app,
                machine: number,
                cause: Cause::Machine,
                instances,
                ready: before - ready(self),
                requests: u32::try_from(failed.len()).unwrap_or(u32::MAX) + answers,
            };
            if instances > 0 || answers > 0 {
                self.record.incident(self.now, Incident::Lost(lost));
            }
            failed.iter().for_each(|arrival| self.fail(arrival));
            self.tell(app);
        }
        self.lose_loans(machine);
        self.refresh();
        self.rehome();
    }

    fn lost(&mut self, lost: Lost) {
        if lost.instances > 0 {
            self.record.incident(self.now, Incident::Lost(lost));
        }
    }

    /// A request has failed.
    pub(super) fn fail(&mut self, arrival: &Arrival) {
        self.drop(arrival, Refusal::Failed);
    }

    /// A request comes to nothing that was let in.
    pub(super) fn drop(&mut self, arrival: &Arrival, cause: Refusal) {
        self.checked.lost_presence += u128::from(self.now.since(arrival.at).0);
        self.unload(arrival);
        self.release(arrival);
        self.hear_refusal(arrival, cause);
        self.record.record(arrival, Err(cause));
        self.end_pipeline(arrival, Err(cause));
        self.tell_client(arrival, self.now);
    }

    /// An instance is gone, by no fault: what waits where it was has nobody to wait for if no other
    /// one is left, starting or holding its machine.
    pub(super) fn desert_after(&mut self, app: usize, number: usize) {
        let Some(crew) = self.apps.get_mut(app) else { return };
        let target = crew.target_of(number);
        let is_there = |other: usize| {
            crew.target_of(other) == target
                && crew.instances.get(other).is_some_and(|one| one.phase != Phase::Gone)
        };
        if (0..crew.instances.len()).any(is_there) {
            return;
        }
        let machine = crew.instances.get(number).map_or(0, |one| one.machine);
        let Some(queue) = crew.queues.get_mut(&target) else { return };
        let mut failed = queue.empty();
        failed.append(&mut queue.coming);
        if failed.is_empty() {
            return;
        }
        let requests = u32::try_from(failed.len()).unwrap_or(u32::MAX);
        let machine = u32::try_from(machine).unwrap_or(u32::MAX);
        let lost = Lost { app, machine, cause: Cause::Left, instances: 0, ready: 0, requests };
        self.record.incident(self.now, Incident::Lost(lost));
        failed.iter().for_each(|arrival| self.fail(arrival));
    }

    /// Takes all instances of an app from a machine: how many, and the requests that were there.
    fn lose(&mut self, app: usize, machine: usize) -> (u32, Vec<Arrival>) {
        let (mut instances, mut failed) = (0, Vec::new());
        let Some(crew) = self.apps.get_mut(app) else { return (instances, failed) };
        let mut targets = BTreeSet::new();
        for number in 0..crew.instances.len() {
            let target = crew.target_of(number);
            let Some(one) = crew.instances.get_mut(number) else { continue };
            if one.machine != machine || one.phase == Phase::Gone {
                continue;
            }
            targets.insert(target);
            instances += 1;
            one.phase = Phase::Gone;
            one.version += 1;
            for task in one.work.drain(..) {
                self.checked.work -= task.held_by(self.now);
                self.checked.lost_work += u128::from(self.now.since(task.start).0);
                failed.push(task.arrival);
            }
        }
        let (instances_of, is_central) =
            (&crew.instances, self.model.queue.scope == QueueScope::Central);
        let stays =
            |number: &usize| instances_of.get(*number).is_some_and(|one| one.machine != machine);
        for target in targets {
            if let Some(queue) = crew.queues.get_mut(&target) {
                if is_central {
                    let before = queue.ready.len();
                    queue.ready.retain(stays);
                    queue.leaves.retain(|leave| leave.instances.iter().any(stays));
                    let is_left = |one: &Instance| one.phase != Phase::Gone;
                    let is_awaited = before == 0 && instances_of.iter().any(is_left);
                    if !queue.ready.is_empty() || is_awaited {
                        continue;
                    }
                }
                failed.append(&mut queue.coming);
                failed.extend(queue.empty());
                queue.ready.clear();
                queue.leaves.clear();
            }
        }
        (instances, failed)
    }

    pub(super) fn repaired(&mut self, machine: usize) {
        let Some(down) = self.down.get_mut(&machine) else { return };
        *down = down.saturating_sub(1);
        if *down > 0 {
            return;
        }
        let number = u32::try_from(machine).unwrap_or(u32::MAX);
        self.record.incident(self.now, Incident::Repaired { machine: number });
        for app in 0..self.apps.len() {
            let lost = self.lost.remove(&(machine, app)).unwrap_or(0);
            (0..lost).for_each(|_| self.start_on(app, machine, Nanoseconds::ZERO));
            self.tell(app);
        }
    }

    /// The first instance of an app on a machine that is ready ends by itself.
    pub(super) fn crash_on(&mut self, app: usize, machine: u32) {
        let Some(crew) = self.apps.get(app) else { return };
        let first = crew
            .instances
            .iter()
            .position(|one| one.phase == Phase::Ready && u32::try_from(one.machine) == Ok(machine));
        if let Some(instance) = first.and_then(|number| u32::try_from(number).ok()) {
            self.crashed(app, instance);
        }
    }

    /// An instance ends by itself, with the requests that it works on; without another one there,
    /// what waits at its target fails, too. One that was to leave anyway isn't replaced.
    pub(super) fn crashed(&mut self, app: usize, instance: u32) {
        let now = self.now;
        let place = instance as usize;
        let Some(crew) = self.apps.get_mut(app) else { return };
        let target = crew.target_of(place);
        let Some(one) = crew.instances.get_mut(place) else { return };
        if one.phase != Phase::Ready {
            return;
        }
        let machine = one.machine;
        one.phase = Phase::Gone;
        let mut failed = Vec::new();
        one.version += 1;
        for task in one.work.drain(..) {
            self.checked.work -= task.held_by(now);
            self.checked.lost_work += u128::from(now.since(task.start).0);
            failed.push(task.arrival);
        }
        let Some(queue) = crew.queues.get_mut(&target) else { return };
        queue.ready.remove(&place);
        let of_it = queue.leaves.iter().position(|leave| leave.spared == Some(place));
        let leave = of_it
            .or_else(|| queue.leaves.iter().position(|leave| leave.instances.contains(&place)));
        if let Some(leave) = leave {
            queue.leaves.remove(leave);
        }
        if queue.ready.is_empty() {
            failed.extend(queue.empty());
            failed.append(&mut queue.coming);
        }
        let number = u32::try_from(machine).unwrap_or(u32::MAX);
        let rules = &self.model.dynamics.faults.repair;
        let is_borrowed = self.is_borrowed(app, instance);
        let wait = match leave {
            Some(_) => Nanoseconds::ZERO,
            None if is_borrowed => Nanoseconds::ZERO,
            None => self.back_offs.failed(rules, app, number, now),
        };
        self.lost(Lost {
            app,
            machine: number,
            cause: Cause::Crash { wait },
            instances: 1,
            ready: u32::from(leave.is_none()),
            requests: u32::try_from(failed.len()).unwrap_or(u32::MAX),
        });
        failed.iter().for_each(|arrival| self.fail(arrival));
        if leave.is_none() && !is_borrowed {
            self.start_on(app, machine, wait);
        }
        self.tell(app);
        if is_borrowed {
            self.borrower_gone(app, instance, Returned::Crashed);
        } else if leave.is_some() {
            self.lender_gone(app, machine);
        }
        self.refresh();
        self.rehome();
    }
}
