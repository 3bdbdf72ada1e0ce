//! What the oracle does about instances: work begins, ticks, starts and ends of instances.

use std::cmp::Reverse;

use policy::placement::{self, Machine};
use policy::queue::QueueScope;
use policy::scaling::{self, Action, Came, Flow, Observation};
use policy::{Nanoseconds, Time};

use super::crew::{Instance, Leave, Phase, Task};
use super::sharing::Taken;
use super::{Event, Oracle};
use crate::App;
use crate::crowd::{self, FULL_SPEED};
use crate::faults::slower;
use crate::life::{Control, start_up_words};
use crate::sharing::Returned;

impl Oracle<'_> {
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Gone { app, instance } => {
                let leaving = self.instance(app, instance);
                let Some(one) = leaving.filter(|one| one.phase == Phase::Leaving) else { return };
                one.phase = Phase::Gone;
                let machine = one.machine;
                self.desert_after(app, instance as usize);
                self.tell(app);
                if !self.borrower_gone(app, instance, Returned::Idle) {
                    self.lender_gone(app, machine);
                }
            }
            Control::Due { app, instance } => self.due(app, instance),
            Control::Ready { app, instance } => self.ready(app, instance),
            Control::Repaired { machine } => self.repaired(machine as usize),
            Control::Eased { machine, slowdown } => {
                self.slow.end(machine, slowdown);
                self.slowed(machine);
            }
            Control::Failed { machine } => self.failed(machine as usize),
            Control::Slowed { machine, slowdown } => {
                self.slow.begin(machine, slowdown);
                self.slowed(machine);
            }
            Control::Crashed { app, instance } => self.crashed(app, instance),
            Control::CrashOn { app, machine } => self.crash_on(app, machine),
            // Runs under a scheduler are those of the live engine alone.
            Control::Cluster => {}
            Control::Tick => {
                self.plan_tick();
                for app in 0..self.apps.len() {
                    self.tick(app);
                }
                self.refresh();
            }
            Control::Look => self.look(),
        }
    }

    pub(super) fn plan(&mut self, at: Time, control: Control) {
        self.events.push(Reverse((at, Event::Control(control))));
    }

    fn instance(&mut self, app: usize, number: u32) -> Option<&mut Instance> {
        self.apps.get_mut(app)?.instances.get_mut(number as usize)
    }

    /// Instances take what waits, or leave, until nothing is left to do at a target.
    pub(super) fn settle(&mut self, app: usize, target: usize) {
        while self.let_one_leave(app, target) || self.begin_one(app, target) {}
    }

    fn let_one_leave(&mut self, app: usize, target: usize) -> bool {
        let Some(definition) = self.model.apps.get(app) else { return false };
        let Some(crew) = self.apps.get_mut(app) else { return false };
        if definition.crowd.is_some() {
            crew.spare(target);
        }
        let mut idle: Vec<(Time, usize)> =
            crew.idle(target).map(|(number, one)| (one.idle_since, number)).collect();
        idle.sort_unstable();
        let Some(queue) = crew.queues.get_mut(&target) else { return false };
        let taken = queue.coming.iter().chain(&queue.waiting);
        let waiting: Vec<u64> = taken.map(|arrival| arrival.key).collect();
        let found = queue.leaves.iter().enumerate().find_map(|(place, leave)| {
            let done = !waiting.iter().any(|key| leave.waited.contains(key));
            let one = idle.iter().find(|(_, number)| leave.instances.contains(number));
            Some((place, one.filter(|_| done)?.1))
        });
        let Some((place, number)) = found else { return false };
        let leave = queue.leaves.remove(place);
        queue.ready.remove(&number);
        if let Some(one) = crew.instances.get_mut(number) {
            one.phase = Phase::Leaving;
        }
        let gone = self.now.max(leave.decided + definition.life.cool_down);
        let instance = u32::try_from(number).unwrap_or(u32::MAX);
        self.plan(gone, Control::Gone { app, instance });
        true
    }

    fn begin_one(&mut self, app: usize, target: usize) -> bool {
        let now = self.now;
        let Some(definition) = self.model.apps.get(app) else { return false };
        let Some(crew) = self.apps.get(app) else { return false };
        let able = crew.able(target);
        let able = able.map(|(number, one)| (one.work.len(), one.idle_since, number)).min();
        let Some((_, _, instance)) = able else { return false };
        let Some(arrival) = self.take_next(app, target) else { return false };
        let Ok((arrival, waited)) = arrival else { return true };
        self.count_wait(app, &arrival, waited);
        let Some(crew) = self.apps.get_mut(app) else { return false };
        let Some(one) = crew.instances.get_mut(instance) else { return false };
        let age = one.ready.map_or(Nanoseconds(u64::MAX), |ready| now.since(ready));
        let service = definition.life.warm_up.slowed(arrival.service, age);
        let machine = u32::try_from(one.machine).unwrap_or(u32::MAX);
        let service = slower(service, self.slow.at(machine));
        elapse(one, definition, now);
        let held = match self.model.queue.scope {
            QueueScope::Central => self
                .paths
                .of(&arrival)
                .map_or(Nanoseconds::ZERO, |path| Nanoseconds(path.dispatch.0 + path.download.0)),
            QueueScope::Node | QueueScope::Instance => Nanoseconds::ZERO,
        };
        let left = crowd::work(held) + crowd::work(service);
        one.work.push(Task { arrival, taken: now, start: now + held, left });
        self.plan_end(app, target, instance);
        true
    }

    /// Plans the next end of an instance; what was planned before isn't true any more.
    pub(super) fn plan_end(&mut self, app: usize, target: usize, instance: usize) {
        let now = self.now;
        let Some(definition) = self.model.apps.get(app) else { return };
        let Some(crew) = self.apps.get_mut(app) else { return };
        let Some(one) = crew.instances.get_mut(instance) else { return };
        one.version += 1;
        let version = one.version;
        let least = one.work.iter().map(|task| task.left).min();
        let Some(least) = least else { return };
        let end = now + crowd::time(least, speed(one, definition));
        self.events.push(Reverse((end, Event::End { app, target, instance, version })));
    }

    /// Plans the next tick, if any app scales and requests still arrive then.
    pub(super) fn plan_tick(&mut self) {
        let dynamics = &self.model.dynamics;
        let scales = self.model.apps.iter().any(|app| app.scaling(dynamics).is_some());
        let Some(rules) = dynamics.scaling.filter(|_| scales) else { return };
        let next = self.now + rules.interval;
        if next.0 < self.model.duration.0 {
            self.plan(next, Control::Tick);
        }
    }

    fn tick(&mut self, app: usize) {
        let now = self.now;
        let definition = self.model.apps.get(app);
        let rules = definition.and_then(|app| app.scaling(&self.model.dynamics));
        let (Some(rules), Some(crew)) = (rules, self.apps.get_mut(app)) else { return };
        let counted = crew.count();
        let working: usize = crew.instances.iter().map(|one| one.work.len()).sum();
        let came = Came {
            arrivals: std::mem::take(&mut crew.arrivals),
            refusals: std::mem::take(&mut crew.refusals),
            period: rules.interval,
        };
        let flow = Flow {
            starting: counted.starting,
            busy_thousandths: working as u64 * 1000 / crew.concurrency as u64,
            came: Some(came),
        };
        let seen = Observation {
            tasks: crew.tasks() as u64,
            instances: counted.ready + counted.starting,
            flow: rules.rule.asks_for_flow().then_some(flow),
        };
        let action = scaling::decide(&rules, seen, &mut crew.scaling, now);
        self.record.decide(now, app, seen, action);
        match action {
            Action::Add(count, _) => (0..count).for_each(|_| self.add(app)),
            Action::Remove(count, _) => {
                for _ in 0..count {
                    self.remove(app);
                }
            }
            Action::Keep(_) => {}
        }
        self.tell(app);
    }

    /// The machines as placement sees them for an app.
    fn machines(&self, app: usize) -> Vec<Machine> {
        let count = self.model.apps.get(app).map_or(0, |app| app.machines) as usize;
        (0..count).map(|machine| self.machine(app, machine)).collect()
    }

    pub(super) fn machine(&self, app: usize, machine: usize) -> Machine {
        let mut free = self.model.dynamics.capacity;
        for (definition, crew) in self.model.apps.iter().zip(&self.apps) {
            for one in crew.instances.iter().filter(|one| one.machine == machine) {
                if one.phase != Phase::Gone {
                    free = free.without(definition.life.needs);
                }
            }
        }
        let counts = |phase| phase == Phase::Starting || phase == Phase::Ready;
        let instances = self.apps.get(app).map_or(0, |crew| {
            let numbers = (0..crew.instances.len()).zip(&crew.instances);
            let here = numbers.filter(|(_, one)| one.machine == machine && counts(one.phase));
            let (here, targets): (Vec<_>, Vec<_>) =
                here.map(|(number, _)| (number, crew.target_of(number))).unzip();
            let mut targets = targets;
            targets.dedup();
            let leaving: usize =
                targets.iter().map(|target| crew.leaving_on(*target, machine)).sum();
            here.len() - leaving
        });
        let instances = u32::try_from(instances).unwrap_or(u32::MAX);
        let up = self.down.get(&machine).is_none_or(|faults| *faults == 0);
        Machine { allowed: true, up, free, instances }
    }

    fn add(&mut self, app: usize) {
        let now = self.now;
        let Some(definition) = self.model.apps.get(app) else { return };
        let machine = match placement::place(&self.machines(app), definition.life.needs) {
            Ok(machine) => machine,
            Err(reasons) => return self.record.unplaced(now, app, reasons),
        };
        self.start_on(app, machine, Nanoseconds::ZERO);
    }

    /// Starts an instance after a wait.
    pub(super) fn start_on(&mut self, app: usize, machine: usize, wait: Nanoseconds) {
        let now = self.now + wait;
        let Some(definition) = self.model.apps.get(app) else { return };
        let Some(crew) = self.apps.get_mut(app) else { return };
        let number = u32::try_from(crew.instances.len()).unwrap_or(u32::MAX);
        let is_first = crew.images.insert(machine);
        let words = start_up_words(self.model.seed, app);
        let ready = definition.life.ready_at(words, number, is_first, now);
        crew.instances.push(Instance::new(machine, Phase::Starting));
        self.plan(ready, Control::Ready { app, instance: number });
    }

    fn ready(&mut self, app: usize, number: u32) {
        let now = self.now;
        let Some(one) = self.instance(app, number) else { return };
        if one.phase != Phase::Starting {
            return;
        }
        one.phase = Phase::Ready;
        one.ready = Some(now);
        one.idle_since = now;
        let Some(crew) = self.apps.get_mut(app) else { return };
        crew.join(number as usize);
        let target = crew.target_of(number as usize);
        self.settle(app, target);
        self.plan_crash(app, number);
        self.tell(app);
        self.refresh();
    }

    /// Takes one instance away: on the machine that placement says the newest one that starts, or
    /// else the one that will have nothing to do first.
    pub(super) fn remove(&mut self, app: usize) -> Option<Taken> {
        let now = self.now;
        let machine = placement::displace(&self.machines(app))?;
        let crew = self.apps.get_mut(app)?;
        let mut here: Vec<usize> = (0..crew.instances.len())
            .filter(|number| crew.instances.get(*number).is_some_and(|i| i.machine == machine))
            .collect();
        here.reverse();
        let phase = |number: &&usize, wanted: Phase| {
            crew.instances.get(**number).is_some_and(|one| one.phase == wanted)
        };
        if let Some(number) = here.iter().find(|number| phase(number, Phase::Starting)) {
            let number = *number;
            if let Some(one) = crew.instances.get_mut(number) {
                one.phase = Phase::Gone;
            }
            self.desert_after(app, number);
            return Some(Taken { machine, is_gone: true });
        }
        let target = match self.model.queue.scope {
            QueueScope::Central => Some(0),
            QueueScope::Node => Some(machine),
            // The first of the least loaded in descending order: the newest.
            QueueScope::Instance => here
                .iter()
                .filter(|number| phase(number, Phase::Ready) && crew.leaving_at(**number) == 0)
                .min_by_key(|number| crew.load(**number))
                .copied(),
        };
        let target = target?;
        if let Some(queue) = crew.queues.get_mut(&target) {
            let taken = queue.coming.iter().chain(&queue.waiting);
            let waited = taken.map(|arrival| arrival.key).collect();
            let is_there = |number: &&usize| {
                crew.instances.get(**number).is_some_and(|one| one.machine == machine)
            };
            let instances = queue.ready.iter().filter(is_there).copied().collect();
            queue.leaves.push(Leave { waited, instances, spared: None, decided: now });
        }
        self.settle(app, target);
        Some(Taken { machine, is_gone: false })
    }

    /// Tells of instances, if their numbers have changed.
    pub(super) fn tell(&mut self, app: usize) {
        let Some(crew) = self.apps.get_mut(app) else { return };
        let counted = crew.count();
        if counted != crew.told {
            crew.told = counted;
            self.record.change(self.now, app, counted);
        }
    }

    pub(super) fn refresh(&mut self) {
        for (definition, crew) in self.model.apps.iter().zip(&mut self.apps) {
            crew.refresh(definition, self.now);
        }
    }

    pub(super) fn tell_peaks(&mut self) {
        if !self.model.is_dynamic() {
            return;
        }
        for (app, crew) in self.apps.iter().enumerate() {
            self.record.peak_queue(app, crew.peak as u64);
        }
    }
}

/// How fast each request of an instance is.
fn speed(one: &Instance, app: &App) -> u64 {
    app.crowd.as_ref().map_or(FULL_SPEED, |crowd| crowd.speed(one.work.len()))
}

/// All requests of an instance progress until now.
pub(super) fn elapse(one: &mut Instance, app: &App, now: Time) {
    let done = u128::from(now.since(one.updated).0) * u128::from(speed(one, app));
    for task in &mut one.work {
        task.left = task.left.saturating_sub(done);
    }
    one.updated = now;
}
