//! The control plane of the oracle: a list of all instances that ever were.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use policy::placement::{self, Machine};
use policy::scaling::{self, Action, Came, Flow, Observation};
use policy::{Nanoseconds, Time};

use super::{Event, Oracle};
use crate::life::start_up_words;
use crate::model::Model;
use crate::outcome::Instances;
use crate::windows::Witness;

/// An instance, from the order to start it.
#[derive(Debug, Clone, Copy)]
struct Life {
    machine: usize,
    /// When the order reaches the machine; none if it was there from the beginning.
    ordered: Option<Time>,
    ready: Time,
    /// When it was told to leave, and when it is gone.
    end: Option<(Time, Time)>,
}

/// What the control plane knows.
#[derive(Debug)]
pub(super) struct Plane {
    /// By app, in the order of their numbers.
    lives: Vec<Vec<Life>>,
    /// Machines that were told to give up an instance: how many, by app.
    told: BTreeMap<(usize, usize), u32>,
    states: Vec<scaling::State>,
    /// What there was of all apps, by the instant at which it was counted: tasks, those of them in
    /// work, and what has come and was refused since the time before.
    tasks: BTreeMap<Time, Vec<[u64; 4]>>,
    /// What has come since the last tick, and what of it was refused, by app.
    pub(super) came: BTreeMap<usize, (u64, u64)>,
}

impl Plane {
    pub(super) fn new(model: &Model) -> Self {
        let lives = |app: &crate::App| {
            let one = |machine| Life { machine, ordered: None, ready: Time::ZERO, end: None };
            let each = app.instances;
            (0..app.machines as usize).flat_map(|m| (0..each).map(move |_| one(m))).collect()
        };
        Plane {
            lives: model.apps.iter().map(lives).collect(),
            told: BTreeMap::new(),
            states: vec![scaling::State::default(); model.apps.len()],
            tasks: BTreeMap::new(),
            came: BTreeMap::new(),
        }
    }

    /// An instance has left its target: when it was told to, and when it is gone.
    pub(super) fn left(&mut self, app: usize, instance: usize, told: Time, gone: Time) {
        let life = self.lives.get_mut(app).and_then(|lives| lives.get_mut(instance));
        if let Some(life) = life {
            life.end = Some((told, gone));
        }
    }

    /// The machines as placement sees them for an app; what is gone since `seen` isn't known yet.
    fn machines(&self, model: &Model, app: usize, seen: Time) -> Vec<Machine> {
        let count = model.apps.get(app).map_or(0, |app| app.machines) as usize;
        let machine = |machine: usize| {
            let mut free = model.dynamics.capacity;
            for (definition, lives) in model.apps.iter().zip(&self.lives) {
                for life in lives.iter().filter(|life| life.machine == machine) {
                    if life.end.is_none_or(|(_, gone)| gone > seen) {
                        free = free.without(definition.life.needs);
                    }
                }
            }
            let lives = self.lives.get(app).map_or(&[][..], Vec::as_slice);
            let ever = lives.iter().filter(|life| life.machine == machine).count();
            let ever = u32::try_from(ever).unwrap_or(u32::MAX);
            let told = self.told.get(&(app, machine)).copied().unwrap_or(0);
            Machine { allowed: true, up: true, free, instances: ever - told }
        };
        (0..count).map(machine).collect()
    }
}

impl<W: Witness> Oracle<'_, W> {
    /// Plans all ticks whose orders reach machines before the end of the run.
    pub(super) fn plan_ticks(&mut self) {
        let mut apps = self.model.apps.iter();
        let Some(rules) = apps.find_map(|app| app.scaling(&self.model.dynamics)) else { return };
        let mut tick = Time::ZERO + rules.interval;
        while tick + self.network.delay + self.network.delay < Time(self.model.duration.0) {
            self.events.push(Reverse((tick, Event::Tick)));
            tick = tick + rules.interval;
        }
    }

    pub(super) fn tick(&mut self) {
        let mut came = std::mem::take(&mut self.plane.came);
        let mut count = |(app, targets): (usize, &Vec<super::Target>)| {
            let (arrivals, refusals) = came.remove(&app).unwrap_or_default();
            let tasks = targets.iter().map(|target| target.load() as u64).sum();
            let busy = targets.iter().map(|target| target.running().count() as u64).sum();
            [tasks, busy, arrivals, refusals]
        };
        let counted = self.apps.iter().enumerate().map(&mut count).collect();
        self.plane.tasks.insert(self.now, counted);
        self.after(self.network.delay, Event::Decide { seen: self.now });
    }

    pub(super) fn decide(&mut self, seen: Time) {
        let Some(tasks) = self.plane.tasks.remove(&seen) else { return };
        for (app, [tasks, busy, arrivals, refusals]) in tasks.into_iter().enumerate() {
            let definition = self.model.apps.get(app);
            let rules = definition.and_then(|app| app.scaling(&self.model.dynamics));
            let Some(rules) = rules else { continue };
            let ever = self.plane.lives.get(app).map_or(0, Vec::len);
            let told = self.plane.told.range((app, 0)..=(app, usize::MAX));
            let told: u32 = told.map(|(_, count)| *count).sum();
            let instances = u32::try_from(ever).unwrap_or(u32::MAX) - told;
            let ordered = self.plane.lives.get(app).into_iter().flatten();
            let ordered = ordered.filter(|life| life.ordered.is_some() && life.ready > seen);
            let starting = u32::try_from(ordered.count()).unwrap_or(u32::MAX).min(instances);
            let came = Some(Came { arrivals, refusals, period: rules.interval });
            let flow = Flow { starting, busy_thousandths: busy * 1000, came };
            let flow = rules.rule.asks_for_flow().then_some(flow);
            let observed = Observation { tasks, instances, flow };
            let Some(state) = self.plane.states.get_mut(app) else { continue };
            let action = scaling::decide(&rules, observed, state, self.now);
            self.witness.decide(self.now, app, observed, action);
            match action {
                Action::Add(count, _) => (0..count).for_each(|_| self.add(app, seen)),
                Action::Remove(count, _) => (0..count).for_each(|_| self.remove(app, seen)),
                Action::Keep(_) => {}
            }
        }
    }

    fn add(&mut self, app: usize, seen: Time) {
        let Some(definition) = self.model.apps.get(app) else { return };
        let machines = self.plane.machines(self.model, app, seen);
        let machine = match placement::place(&machines, definition.life.needs) {
            Ok(machine) => machine,
            Err(reasons) => return self.witness.unplaced(self.now, app, reasons),
        };
        let Some(lives) = self.plane.lives.get_mut(app) else { return };
        let is_first = lives.iter().all(|life| life.machine != machine);
        let number = u32::try_from(lives.len()).unwrap_or(u32::MAX);
        let words = start_up_words(self.model.seed, app);
        let ordered = self.now + self.network.delay;
        let ready = definition.life.ready_at(words, number, is_first, ordered);
        let instance = lives.len();
        lives.push(Life { machine, ordered: Some(ordered), ready, end: None });
        self.after(self.network.delay, Event::Start { app, instance });
    }

    fn remove(&mut self, app: usize, seen: Time) {
        let machines = self.plane.machines(self.model, app, seen);
        let Some(machine) = placement::displace(&machines) else { return };
        *self.plane.told.entry((app, machine)).or_default() += 1;
        self.after(self.network.delay, Event::Leave { app, machine });
    }

    fn life(&self, app: usize, instance: usize) -> Option<Life> {
        self.plane.lives.get(app)?.get(instance).copied()
    }

    fn target(&mut self, app: usize, machine: usize) -> Option<&mut super::Target> {
        self.apps.get_mut(app)?.get_mut(machine)
    }

    pub(super) fn start(&mut self, app: usize, instance: usize) {
        let Some(life) = self.life(app, instance) else { return };
        if let Some(target) = self.target(app, life.machine) {
            target.start(instance);
        }
        self.after(life.ready.since(self.now), Event::Ready { app, instance });
    }

    pub(super) fn ready(&mut self, app: usize, instance: usize) {
        let (Some(life), now) = (self.life(app, instance), self.now) else { return };
        if let Some(target) = self.target(app, life.machine) {
            target.ready(instance, now);
        }
        self.after(Nanoseconds::ZERO, Event::Settle { app, target: life.machine });
    }

    pub(super) fn leave(&mut self, app: usize, machine: usize) {
        let now = self.now;
        if let Some(target) = self.target(app, machine) {
            target.leave(now);
        }
        self.after(Nanoseconds::ZERO, Event::Settle { app, target: machine });
    }

    /// Tells how the numbers of instances have changed, when all is known of each.
    pub(super) fn tell(&mut self) {
        let mut changes: BTreeMap<(Time, usize), [i64; 3]> = BTreeMap::new();
        for (app, lives) in self.plane.lives.iter().enumerate() {
            for life in lives {
                for (at, by) in life.changes() {
                    let sum = changes.entry((at, app)).or_default();
                    sum.iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
                }
            }
        }
        let mut present: Vec<[i64; 3]> = self.model.apps.iter().map(|_| [0; 3]).collect();
        for ((at, app), by) in changes {
            let Some(present) = present.get_mut(app) else { continue };
            present.iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
            let number = |place: usize| {
                let number = present.get(place).copied().unwrap_or(0);
                u32::try_from(number).unwrap_or(0)
            };
            if at > Time::ZERO && by != [0; 3] {
                let instances =
                    Instances { ready: number(0), starting: number(1), leaving: number(2) };
                self.witness.change(at, app, instances);
            }
        }
    }
}

impl Life {
    /// By how much it changes the numbers of those that are ready, start and leave, and when.
    fn changes(&self) -> Vec<(Time, [i64; 3])> {
        let mut changes = match self.ordered {
            None => vec![(Time::ZERO, [1, 0, 0])],
            Some(ordered) => vec![(ordered, [0, 1, 0])],
        };
        let is_started = self.end.is_none_or(|(told, _)| self.ready <= told);
        if self.ordered.is_some() && is_started {
            changes.push((self.ready, [1, -1, 0]));
        }
        if let Some((told, gone)) = self.end {
            changes.push((told, if is_started { [-1, 0, 1] } else { [0, -1, 1] }));
            changes.push((gone, [0, 0, -1]));
        }
        changes
    }
}
