//! What the live engine does at known times: ticks of the scaling rule, starts and ends of
//! instances.

use std::cmp::Reverse;

use policy::Time;
use policy::placement::{self, Machine};
use policy::queue::QueueScope;
use policy::scaling::{self, Action};

use super::Live;
use super::group::{Instance, Phase};
use super::seats::Seats;
use super::sharing::Taken;
use super::target::Target;
use crate::life::Control;
use crate::sharing::Returned;

impl Live<'_> {
    /// The instances of the beginning join their targets, and the first tick is planned.
    pub(super) fn begin(&mut self) {
        self.begin_cluster();
        for app in 0..self.groups.len() {
            let count = self.groups.get(app).map_or(0, |group| group.instances.len());
            for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
                self.hold(app, number);
                self.enlist(app, number, Time::ZERO);
            }
        }
        self.refresh(Time::ZERO);
        self.plan_tick(Time::ZERO);
        self.open_desks();
        self.plan_faults();
    }

    pub(super) fn control(&mut self, control: Control, now: Time) {
        match control {
            Control::Gone { app, instance } => self.gone(app, instance, now),
            Control::Due { app, instance } => self.due(app, instance, now),
            Control::Cluster => self.cluster_is_due(now),
            Control::Ready { app, instance } => self.ready(app, instance, now),
            Control::Repaired { machine } => self.repaired(machine, now),
            Control::Eased { machine, slowdown } => {
                self.slow.end(machine, slowdown);
                self.slowed(machine, now);
            }
            Control::Failed { machine } => self.failed(machine, now),
            Control::Slowed { machine, slowdown } => {
                self.slow.begin(machine, slowdown);
                self.slowed(machine, now);
            }
            Control::Crashed { app, instance } => self.crashed(app, instance, now),
            Control::CrashOn { app, machine } => self.crash_on(app, machine, now),
            Control::Tick if now >= self.ticks_until => {}
            Control::Tick => {
                self.plan_tick(now);
                for app in 0..self.groups.len() {
                    self.tick(app, now);
                }
                self.refresh(now);
            }
            Control::Look => self.look_at_desks(now),
        }
    }

    pub(super) fn plan(&mut self, at: Time, control: Control) {
        self.controls.push(Reverse((at, control)));
    }

    /// Plans the next tick, if any app scales and requests still arrive then.
    fn plan_tick(&mut self, now: Time) {
        let rules = self.groups.iter().find_map(|group| group.rules);
        let Some(rules) = rules.filter(|_| self.cluster.is_none()) else { return };
        let next = now + rules.interval;
        if next < self.ticks_until {
            self.plan(next, Control::Tick);
        }
    }

    pub(super) fn refresh(&mut self, now: Time) {
        let scope = self.model.queue.scope;
        for group in &mut self.groups {
            group.refresh(&self.targets, scope, now);
        }
    }

    pub(super) fn tell(&mut self, app: usize, now: Time) {
        let Some(group) = self.groups.get_mut(app) else { return };
        if group.counted != group.told {
            group.told = group.counted;
            self.record.change(now, app, group.counted);
        }
    }

    fn tick(&mut self, app: usize, now: Time) {
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(rules) = group.rules else { return };
        let seen = group.observe(&rules, &self.targets);
        let action = scaling::decide(&rules, seen, &mut group.state, now);
        self.record.decide(now, app, seen, action);
        match action {
            Action::Add(count, _) => (0..count).for_each(|_| self.add(app, now)),
            Action::Remove(count, _) => {
                for _ in 0..count {
                    self.remove(app, now);
                }
            }
            Action::Keep(_) => {}
        }
        self.tell(app, now);
    }

    /// An instance takes what it needs of its machine.
    fn hold(&mut self, app: usize, number: u32) {
        let Some(group) = self.groups.get(app) else { return };
        let Some(instance) = group.instances.get(number as usize) else { return };
        if let Some(held) = self.held.get_mut(instance.machine as usize) {
            *held = held.with(group.definition.life.needs);
        }
    }

    /// It gives that back.
    pub(super) fn release(&mut self, app: usize, number: u32) {
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(instance) = group.instances.get_mut(number as usize) else { return };
        instance.phase = Phase::Gone;
        if let Some(held) = self.held.get_mut(instance.machine as usize) {
            *held = held.without(group.definition.life.needs);
        }
    }

    /// The machines as placement sees them for an app.
    fn machines(&self, app: usize) -> Vec<Machine> {
        let on_machines = self.groups.get(app).map_or(&[][..], |group| &group.on_machines);
        let capacity = self.model.dynamics.capacity;
        let machines = self.held.iter().zip(&self.down).zip(on_machines);
        machines
            .map(|((held, faults), instances)| Machine {
                allowed: true,
                up: *faults == 0,
                free: capacity.without(*held),
                instances: *instances,
            })
            .collect()
    }

    fn add(&mut self, app: usize, now: Time) {
        let machines = self.machines(app);
        let Some(group) = self.groups.get(app) else { return };
        let machine = match placement::place(&machines, group.definition.life.needs) {
            Ok(machine) => machine,
            Err(reasons) => return self.record.unplaced(now, app, reasons),
        };
        self.start_on(app, machine, now);
    }

    /// Starts an instance; `now` is later than that if its start waits.
    pub(super) fn start_on(&mut self, app: usize, machine: usize, now: Time) {
        let (number, is_first) = self.create(app, machine);
        let Some(group) = self.groups.get(app) else { return };
        let at = group.definition.life.ready_at(group.words, number, is_first, now);
        self.plan(at, Control::Ready { app, instance: number });
    }

    /// An instance that starts on a machine: its number, and whether it is the first one there.
    pub(super) fn create(&mut self, app: usize, machine: usize) -> (u32, bool) {
        let Some(group) = self.groups.get_mut(app) else { return (u32::MAX, false) };
        let number = u32::try_from(group.instances.len()).unwrap_or(u32::MAX);
        let known = group.images.get_mut(machine).map(|known| std::mem::replace(known, true));
        if let Some(count) = group.on_machines.get_mut(machine) {
            *count += 1;
        }
        let machine = u32::try_from(machine).unwrap_or(u32::MAX);
        let slow = self.slow.at(machine);
        group.instances.push(Instance::new(machine, Phase::Starting, slow));
        group.starting.insert((machine, number));
        group.counted.starting += 1;
        self.hold(app, number);
        (number, known == Some(false))
    }

    fn ready(&mut self, app: usize, number: u32, now: Time) {
        let Some(group) = self.groups.get_mut(app) else { return };
        let Some(instance) = group.instances.get_mut(number as usize) else { return };
        if instance.phase != Phase::Starting {
            return;
        }
        instance.phase = Phase::Ready;
        instance.ready = Some(now);
        group.starting.remove(&(instance.machine, number));
        group.warming.push(number);
        group.counted.starting -= 1;
        group.counted.ready += 1;
        self.enlist(app, number, now);
        self.plan_crash(app, number, now);
        self.tell(app, now);
        self.refresh(now);
    }

    /// An instance begins to work for its target, which is made if it isn't there.
    pub(super) fn enlist(&mut self, app: usize, number: u32, now: Time) {
        let scope = self.model.queue.scope;
        let Some(group) = self.groups.get_mut(app) else { return };
        let target = group.target_of(number, scope);
        let place = self.made.get(&(app, target)).copied().unwrap_or_else(|| {
            let place = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
            let app_number = u32::try_from(app).unwrap_or(u32::MAX);
            let seats = Seats::new(group.definition.crowd.as_ref());
            let machine = group.instances.get(number as usize).map_or(0, |one| one.machine);
            let ids = (app_number, place, target);
            self.targets.push(Target::new(ids, machine, seats));
            self.made.insert((app, target), place);
            place
        });
        group.manned.insert(target, place);
        if let Some((target, mut floor, _)) = self.at(place, now) {
            target.enlist(number, now, &mut floor);
        }
        self.see_off(app);
    }

    /// Takes one instance away: on the machine that placement says the newest one that starts, or
    /// else the one that will have nothing to do first.
    pub(super) fn remove(&mut self, app: usize, now: Time) -> Option<Taken> {
        let machine = placement::displace(&self.machines(app))?;
        let group = self.groups.get_mut(app)?;
        if let Some(count) = group.on_machines.get_mut(machine) {
            *count -= 1;
        }
        let machine = u32::try_from(machine).unwrap_or(u32::MAX);
        let newest = group.starting.range((machine, 0)..=(machine, u32::MAX)).next_back().copied();
        if let Some(newest) = newest {
            group.starting.remove(&newest);
            group.counted.starting -= 1;
            self.release(app, newest.1);
            self.desert_after(app, newest.1, now);
            return Some(Taken { machine, is_gone: true });
        }
        group.counted.ready -= 1;
        group.counted.leaving += 1;
        let (place, on) = match self.model.queue.scope {
            QueueScope::Node => (group.manned.get(&machine).copied(), None),
            QueueScope::Instance => (self.least_busy(app, machine), None),
            QueueScope::Central => (group.manned.get(&0).copied(), Some(machine)),
        };
        if let Some(place) = place
            && let Some((target, mut floor, _)) = self.at(place, now)
        {
            target.dismiss(on, now, &mut floor);
        }
        self.see_off(app);
        Some(Taken { machine, is_gone: false })
    }

    /// Of the instances of a machine with queues of their own the one with the fewest requests, of
    /// equals the newest.
    fn least_busy(&self, app: usize, machine: u32) -> Option<u32> {
        let group = self.groups.get(app)?;
        let mut best: Option<(u32, u32)> = None;
        for (number, place) in &group.manned {
            let instance = group.instances.get(*number as usize)?;
            let target = self.targets.get(*place as usize)?;
            let stays = target.present() > 0 && target.leaving() == 0;
            if instance.machine == machine && stays {
                let load = target.load();
                if best.is_none_or(|(least, _)| load <= least) {
                    best = Some((load, *place));
                }
            }
        }
        best.map(|(_, place)| place)
    }

    /// Plans the end of instances that have just left their target.
    pub(super) fn see_off(&mut self, app: usize) {
        if !self.shed.is_empty() {
            self.see_shed();
        }
        if self.left.is_empty() {
            return;
        }
        if self.model.dynamics.scheduler.is_some() {
            return self.see_off_under_scheduler(app);
        }
        let Some(group) = self.groups.get_mut(app) else { return };
        for (at, instance, decided) in self.left.drain(..) {
            if let Some(left) = group.instances.get_mut(instance as usize) {
                left.phase = Phase::Leaving;
            }
            let gone = at.max(decided + group.definition.life.cool_down);
            self.controls.push(Reverse((gone, Control::Gone { app, instance })));
        }
    }

    fn gone(&mut self, app: usize, number: u32, now: Time) {
        let group = self.groups.get(app);
        let instance = group.and_then(|group| group.instances.get(number as usize));
        if instance.is_none_or(|instance| instance.phase != Phase::Leaving) {
            return;
        }
        let machine = instance.map_or(u32::MAX, |instance| instance.machine);
        self.release(app, number);
        if let Some(group) = self.groups.get_mut(app) {
            group.counted.leaving -= 1;
        }
        self.desert_after(app, number, now);
        self.gone_under_scheduler(app, number, now);
        self.tell(app, now);
        if !self.borrower_gone(app, number, Returned::Idle, now) {
            self.lender_gone(app, machine, now);
        }
    }
}
