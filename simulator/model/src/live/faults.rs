//! Machines that fail in the live engine.

use policy::queue::QueueScope;
use policy::{Refusal, Time};

use super::group::Phase;
use super::{Live, Rest};
use crate::outcome::Record;

impl<R: Record> Live<'_, R> {
    pub(super) fn failed(&mut self, machine: u32, now: Time) {
        let Some(down) = self.down.get_mut(machine as usize) else { return self.refresh(now) };
        *down += 1;
        if *down > 1 {
            return;
        }
        for app in 0..self.groups.len() {
            self.lose(app, machine, now);
            self.tell(app, now);
        }
        self.refresh(now);
    }

    /// Takes all instances of an app from a machine, with the requests that are there.
    fn lose(&mut self, app: usize, machine: u32, now: Time) {
        let scope = self.model.queue.scope;
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(staying) = group.on_machines.get_mut(machine as usize) else { return };
        let staying = std::mem::take(staying);
        if let Some(lost) = group.lost.get_mut(machine as usize) {
            *lost = staying;
        }
        let places: Vec<u32> = match scope {
            QueueScope::Node => group.manned.get(&machine).copied().into_iter().collect(),
            QueueScope::Instance => {
                let is_here = |number: &u32| {
                    let instance = group.instances.get(*number as usize);
                    instance.is_some_and(|instance| instance.machine == machine)
                };
                let here = group.manned.iter().filter(|(number, _)| is_here(number));
                here.map(|(_, place)| *place).collect()
            }
        };
        for place in places {
            self.lose_at(place, now);
        }
        let Some(group) = self.groups.get_mut(app) else { return };
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
        for number in gone {
            self.release(app, number);
        }
    }

    /// Empties a target.
    fn lose_at(&mut self, place: u32, now: Time) {
        let Some((target, mut floor, rest)) = self.at(place, now) else { return };
        let Rest { books, clients, record, sources, tasks, .. } = rest;
        let (leaving, present) = (target.leaving(), target.present());
        let app = target.app;
        target.clear(&mut floor, |job| {
            *tasks -= 1;
            let arrival = &job.arrival;
            if let Some(info) = sources.get(usize::from(arrival.source)) {
                books.with(arrival.gateway, arrival.user, info.cmd, policy::release);
            }
            record.record(arrival, Err(Refusal::Failed));
            if let Some(clients) = clients.as_mut() {
                clients.give_up(arrival, now);
            }
        });
        if let Some(group) = self.groups.get_mut(app as usize) {
            group.counted.leaving -= leaving;
            group.counted.ready -= present - leaving;
        }
    }

    pub(super) fn repaired(&mut self, machine: u32, now: Time) {
        let Some(down) = self.down.get_mut(machine as usize) else { return };
        *down = down.saturating_sub(1);
        if *down > 0 {
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
}
