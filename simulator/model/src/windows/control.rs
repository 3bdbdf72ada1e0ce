//! The control plane of a run in windows: what the scaling rule decides, and what that means for
//! machines. Each lane has one of its own; as all of them see the same, all decide the same, and no
//! lane waits for another one's word.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::placement::{self, Machine, Resources};
use policy::scaling::{self, Action, Flow, Observation, Scaling};
use policy::{Nanoseconds, Time, Words};

use super::Witness;
use crate::demand::Demand;
use crate::life::start_up_words;
use crate::model::Model;

/// What a machine is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) app: u32,
    /// The machine, which is also the target.
    pub(super) machine: u32,
    pub(super) change: Change,
}

/// What happens to one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It starts, and takes requests from then on, in nanoseconds.
    Start { ready: u64 },
    /// One leaves: the one that has nothing to do first.
    Leave,
}

/// What targets have of an app at the time of a tick.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// Requests that wait or are worked on.
    pub(super) tasks: u64,
    /// Requests that are worked on.
    pub(super) busy: u64,
    /// What has come since the last tick.
    pub(super) demand: Demand,
}

impl Counted {
    /// Those of others, too.
    pub(super) const fn plus(self, other: &Counted) -> Counted {
        Counted {
            tasks: self.tasks + other.tasks,
            busy: self.busy + other.busy,
            demand: Demand {
                arrivals: self.demand.arrivals + other.demand.arrivals,
                refusals: self.demand.refusals + other.demand.refusals,
            },
        }
    }
}

/// An instance that leaves, as its machine tells all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) app: u32,
    pub(super) machine: u32,
    /// When the order came.
    pub(super) at: u64,
    /// When it was ready; 0 if that is so long ago that nobody asks any more.
    pub(super) ready: u64,
    /// When it gives back what it holds.
    pub(super) gone: u64,
}

/// The instances of an app as the control plane knows them.
#[derive(Debug)]
struct Group<'model> {
    definition: &'model crate::App,
    rules: Option<Scaling>,
    state: scaling::State,
    /// Instances that were there or were ordered, without those that were told to leave.
    count: u32,
    on_machines: Vec<u32>,
    /// For each machine whether it has ever had an instance.
    images: Vec<bool>,
    /// The number of the next instance.
    next: u32,
    words: Words,
    /// When instances are ready that were ordered and aren't yet, as far as anybody has looked.
    starting: Vec<u64>,
}

impl Group<'_> {
    /// What the scaling rule sees: what there was at a time.
    fn observe(&mut self, rules: &Scaling, mut counted: Counted, seen_at: u64) -> Observation {
        let flow = rules.rule.asks_for_flow().then(|| {
            self.starting.retain(|ready| *ready > seen_at);
            let starting = u32::try_from(self.starting.len()).unwrap_or(u32::MAX);
            Flow {
                starting: starting.min(self.count),
                busy_thousandths: counted.busy * 1000,
                came: Some(counted.demand.take(rules.interval)),
            }
        });
        Observation { tasks: counted.tasks, instances: self.count, flow }
    }
}

/// The control plane.
#[derive(Debug)]
pub(super) struct Control<'model> {
    capacity: Resources,
    groups: Vec<Group<'model>>,
    /// What instances hold of each machine, as far as machines have told.
    held: Vec<Resources>,
    /// When instances that leave are gone: app and machine.
    gone: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// How long a message takes.
    delay: u64,
    /// Time between ticks; 0 if there are none.
    interval: u64,
    /// No tick at or after.
    until: u64,
    /// What was decided and isn't on its way yet.
    pub(super) orders: Vec<Order>,
}

impl<'model> Control<'model> {
    pub(super) fn new(model: &'model Model, delay: u64) -> Self {
        let groups: Vec<Group<'_>> = model
            .apps
            .iter()
            .enumerate()
            .map(|(number, app)| {
                let all = u32::try_from(app.all_instances()).unwrap_or(u32::MAX);
                let machines = app.machines as usize;
                Group {
                    definition: app,
                    rules: app.scaling(&model.dynamics),
                    state: scaling::State::default(),
                    count: all,
                    on_machines: vec![app.instances; machines],
                    images: vec![app.instances > 0; machines],
                    next: all,
                    words: start_up_words(model.seed, number),
                    starting: Vec::new(),
                }
            })
            .collect();
        let machines = model.apps.iter().map(|app| app.machines).max().unwrap_or(0) as usize;
        let mut held = vec![Resources::default(); machines];
        for app in &model.apps {
            for held in held.iter_mut().take(app.machines as usize) {
                for _ in 0..app.instances {
                    *held = held.with(app.life.needs);
                }
            }
        }
        let interval = groups.iter().find_map(|group| group.rules).map_or(0, |r| r.interval.0);
        Control {
            capacity: model.dynamics.capacity,
            groups,
            held,
            gone: BinaryHeap::new(),
            delay,
            interval,
            until: model.duration.0.saturating_sub(delay.saturating_mul(2)),
            orders: Vec::new(),
        }
    }

    /// Whether targets are asked for their tasks now.
    pub(super) const fn is_tick(&self, now: u64) -> bool {
        self.interval > 0 && now > 0 && now.is_multiple_of(self.interval) && now < self.until
    }

    /// Nothing is decided any more.
    pub(super) const fn stop(&mut self) {
        self.interval = 0;
    }

    /// A machine tells of an instance that leaves.
    pub(super) fn hear(&mut self, left: &Left) {
        self.gone.push(Reverse((left.gone, left.app, left.machine)));
    }

    /// Decides, app by app, by the tasks that there were a delay ago. Only the first lane has
    /// somebody to tell.
    pub(super) fn decide<W: Witness>(
        &mut self,
        now: u64,
        counted: impl Iterator<Item = Counted>,
        mut witness: Option<&mut W>,
    ) {
        if self.interval == 0 {
            return;
        }
        let seen_at = now.saturating_sub(self.delay);
        while let Some(Reverse((gone, app, machine))) = self.gone.peek().copied()
            && gone <= seen_at
        {
            self.gone.pop();
            let group = self.groups.get(app as usize);
            let held = self.held.get_mut(machine as usize);
            if let (Some(group), Some(held)) = (group, held) {
                *held = held.without(group.definition.life.needs);
            }
        }
        for (app, counted) in counted.enumerate() {
            let Some(group) = self.groups.get_mut(app) else { return };
            let Some(rules) = group.rules else { continue };
            let seen = group.observe(&rules, counted, seen_at);
            let action = scaling::decide(&rules, seen, &mut group.state, Time(now));
            if let Some(witness) = &mut witness {
                witness.decide(Time(now), app, seen, action);
            }
            match action {
                Action::Add(count, _) => {
                    (0..count).for_each(|_| self.add(app, now, witness.as_deref_mut()));
                }
                Action::Remove(count, _) => (0..count).for_each(|_| self.remove(app)),
                Action::Keep(_) => {}
            }
        }
    }

    /// The machines as placement sees them for an app.
    fn machines(&self, app: usize) -> Vec<Machine> {
        let on_machines = self.groups.get(app).map_or(&[][..], |group| &group.on_machines);
        let machines = self.held.iter().zip(on_machines);
        machines
            .map(|(held, instances)| Machine {
                allowed: true,
                up: true,
                free: self.capacity.without(*held),
                instances: *instances,
            })
            .collect()
    }

    fn add<W: Witness>(&mut self, app: usize, now: u64, witness: Option<&mut W>) {
        let machines = self.machines(app);
        let Some(group) = self.groups.get_mut(app) else { return };
        let needs = group.definition.life.needs;
        let machine = match placement::place(&machines, needs) {
            Ok(machine) => machine,
            Err(reasons) => {
                if let Some(witness) = witness {
                    witness.unplaced(Time(now), app, reasons);
                }
                return;
            }
        };
        let known = group.images.get_mut(machine).map(|known| std::mem::replace(known, true));
        let reached = Time(now) + Nanoseconds(self.delay);
        let life = &group.definition.life;
        let Time(ready) = life.ready_at(group.words, group.next, known == Some(false), reached);
        group.next += 1;
        group.starting.push(ready);
        group.count += 1;
        if let Some(count) = group.on_machines.get_mut(machine) {
            *count += 1;
        }
        if let Some(held) = self.held.get_mut(machine) {
            *held = held.with(needs);
        }
        self.order(app, machine, Change::Start { ready });
    }

    fn remove(&mut self, app: usize) {
        let Some(machine) = placement::displace(&self.machines(app)) else { return };
        let Some(group) = self.groups.get_mut(app) else { return };
        group.count -= 1;
        if let Some(count) = group.on_machines.get_mut(machine) {
            *count -= 1;
        }
        self.order(app, machine, Change::Leave);
    }

    fn order(&mut self, app: usize, machine: usize, change: Change) {
        let narrow = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        self.orders.push(Order { app: narrow(app), machine: narrow(machine), change });
    }
}
