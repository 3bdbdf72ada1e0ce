//! Machines that fail in the oracle.

use std::collections::BTreeSet;

use policy::Refusal;

use super::Oracle;
use super::crew::{Phase, Task};
use crate::Arrival;
use crate::life::Control;
use crate::outcome::Record;

impl<R: Record> Oracle<'_, R> {
    pub(super) fn plan_faults(&mut self) {
        for fault in &self.model.dynamics.faults {
            let machine = fault.machine;
            self.plan(fault.at, Control::Failed { machine });
            self.plan(fault.repaired, Control::Repaired { machine });
        }
    }

    pub(super) fn failed(&mut self, machine: usize) {
        let down = self.down.entry(machine).or_default();
        *down += 1;
        if *down > 1 {
            return;
        }
        for app in 0..self.apps.len() {
            let staying = self.machine(app, machine).instances;
            self.lost.insert((machine, app), staying);
            for arrival in self.lose(app, machine) {
                self.checked.lost_presence += u128::from(self.now.since(arrival.at).0);
                self.release(&arrival);
                self.record.record(&arrival, Err(Refusal::Failed));
                self.tell_client(&arrival, self.now);
            }
            self.tell(app);
        }
        self.refresh();
    }

    /// Takes all instances of an app from a machine, with the requests that were there.
    fn lose(&mut self, app: usize, machine: usize) -> Vec<Arrival> {
        let mut failed = Vec::new();
        let Some(crew) = self.apps.get_mut(app) else { return failed };
        let mut targets = BTreeSet::new();
        for number in 0..crew.instances.len() {
            let target = crew.target_of(number);
            let Some(one) = crew.instances.get_mut(number) else { continue };
            if one.machine != machine || one.phase == Phase::Gone {
                continue;
            }
            targets.insert(target);
            one.phase = Phase::Gone;
            one.version += 1;
            for Task { arrival, start, .. } in one.work.drain(..) {
                self.checked.lost_work += u128::from(self.now.since(start).0);
                failed.push(arrival);
            }
        }
        for target in targets {
            if let Some(queue) = crew.queues.get_mut(&target) {
                failed.append(&mut queue.coming);
                failed.extend(queue.waiting.drain(..));
                queue.ready.clear();
                queue.leaves.clear();
            }
        }
        failed
    }

    pub(super) fn repaired(&mut self, machine: usize) {
        let Some(down) = self.down.get_mut(&machine) else { return };
        *down = down.saturating_sub(1);
        if *down > 0 {
            return;
        }
        for app in 0..self.apps.len() {
            let lost = self.lost.remove(&(machine, app)).unwrap_or(0);
            (0..lost).for_each(|_| self.start_on(app, machine));
            self.tell(app);
        }
    }
}
