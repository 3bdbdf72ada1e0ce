//! The instances of one app in the live engine, as counters and short lists.

use std::collections::{BTreeMap, BTreeSet};

use policy::balance::FULL_WEIGHT;
use policy::prequal::Pool;
use policy::queue::QueueScope;
use policy::scaling::{self, Flow, Observation, Scaling};
use policy::{Nanoseconds, Targets, Time, Words};

use super::signals::Signals;
use super::target::Target;
use crate::App;
use crate::demand::Demand;
use crate::index::Index;
use crate::life::{start_up_words, target_weight};
use crate::line::asks_for_index;
use crate::model::Model;
use crate::outcome::Instances;

/// An instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instance {
    pub machine: u32,
    pub phase: Phase,
    /// When it became ready; none for those that were there in the beginning.
    pub ready: Option<Time>,
    /// The how manyth of its target it was.
    pub crew: u32,
    /// How much longer work takes that it begins now, in thousandths of its time: its machine is
    /// slow.
    pub slow: u32,
    /// How long work takes in its version, in thousandths.
    pub scale: u32,
    /// The weight with which gateways know it, of [`FULL_WEIGHT`], if a scheduler registers it.
    pub weight: u32,
    /// A scheduler has asked it to end.
    pub is_killed: bool,
}

impl Instance {
    /// One in the beginning, that is ready, or starts.
    pub(super) const fn new(machine: u32, phase: Phase, slow: u32) -> Self {
        Instance {
            machine,
            phase,
            ready: None,
            crew: 0,
            slow,
            scale: 1000,
            weight: FULL_WEIGHT,
            is_killed: false,
        }
    }

    /// A scheduler has registered it with so many thousandths of the full weight.
    pub(super) fn set_weight(&mut self, thousandths: u32) {
        let weight = u64::from(FULL_WEIGHT) * u64::from(thousandths) / 1000;
        self.weight = u32::try_from(weight).unwrap_or(FULL_WEIGHT).max(1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    /// It works for its target, which knows whether it is to leave.
    Ready,
    /// It has left its target, but still holds its machine.
    Leaving,
    Gone,
}

/// The instances of an app.
#[derive(Debug)]
pub(super) struct Group<'model> {
    pub definition: &'model App,
    pub rules: Option<Scaling>,
    pub instances: Vec<Instance>,
    /// Targets with instances by their number, with their place among all targets.
    pub manned: BTreeMap<u32, u32>,
    /// Places of the targets that the balancer knows, and their weights.
    pub open: Vec<u32>,
    weights: Vec<u32>,
    /// Whether all of these are full.
    is_full: bool,
    /// Whether the balancer looks at all targets.
    looks_at_all: bool,
    /// The open targets by their load, if the balancer looks at all and the loads are known.
    index: Option<Index>,
    /// For each place of a target that of it among the open ones.
    seats: Vec<u32>,
    pub state: scaling::State,
    pub counted: Instances,
    pub told: Instances,
    /// For each machine the instances that start or stay.
    pub on_machines: Vec<u32>,
    /// For each machine that is down those that it has lost.
    pub lost: Vec<u32>,
    /// For each machine whether it has ever had an instance.
    pub images: Vec<bool>,
    /// Machine and number of those that start.
    pub starting: BTreeSet<(u32, u32)>,
    /// Those that may not be warm yet.
    pub warming: Vec<u32>,
    pub tasks: u64,
    pub waiting: u64,
    pub peak: u64,
    pub words: Words,
    /// What has come since the last tick.
    pub demand: Demand,
    /// Whether a scheduler starts and ends its instances.
    is_scheduled: bool,
}

impl<'model> Group<'model> {
    /// An app with the instances of the beginning; their targets are still to be made.
    pub(super) fn new(model: &'model Model, app: usize, definition: &'model App) -> Self {
        let machines = definition.machines as usize;
        let each = definition.instances;
        let one = |machine| Instance::new(machine, Phase::Ready, 0);
        let instances: Vec<Instance> = (0..definition.machines)
            .flat_map(|machine| (0..each).map(move |_| one(machine)))
            .collect();
        let ready = u32::try_from(instances.len()).unwrap_or(u32::MAX);
        let counted = Instances { ready, ..Instances::default() };
        Group {
            definition,
            rules: definition.scaling(&model.dynamics),
            instances,
            manned: BTreeMap::new(),
            open: Vec::new(),
            weights: Vec::new(),
            is_full: true,
            looks_at_all: asks_for_index(model.balance),
            index: None,
            seats: Vec::new(),
            state: scaling::State::default(),
            counted,
            told: counted,
            on_machines: vec![each; machines],
            lost: vec![0; machines],
            images: vec![each > 0; machines],
            starting: BTreeSet::new(),
            warming: Vec::new(),
            tasks: 0,
            waiting: 0,
            peak: 0,
            words: start_up_words(model.seed, app),
            demand: Demand::default(),
            is_scheduled: false,
        }
    }

    /// Its instances of the beginning are on these machines.
    pub(super) fn man(&mut self, machines: impl Iterator<Item = u32>) {
        self.instances = machines.map(|machine| Instance::new(machine, Phase::Ready, 0)).collect();
        self.on_machines.iter_mut().for_each(|count| *count = 0);
        for one in &self.instances {
            if let Some(count) = self.on_machines.get_mut(one.machine as usize) {
                *count += 1;
            }
        }
        let ready = u32::try_from(self.instances.len()).unwrap_or(u32::MAX);
        self.counted = Instances { ready, ..Instances::default() };
        self.is_scheduled = true;
    }

    /// The weight of an instance now: by its age, or as a scheduler has registered it.
    fn weight_of(&self, instance: &Instance, now: Time) -> u32 {
        if self.is_scheduled {
            return instance.weight;
        }
        let age = instance.ready.map_or(Nanoseconds(u64::MAX), |ready| now.since(ready));
        self.definition.life.warm_up.weight_at(age)
    }

    /// The number of the target that an instance works for.
    pub(super) fn target_of(&self, instance: u32, scope: QueueScope) -> u32 {
        match scope {
            QueueScope::Node => {
                self.instances.get(instance as usize).map_or(0, |known| known.machine)
            }
            QueueScope::Instance => instance,
            QueueScope::Central => 0,
        }
    }

    /// Tells the balancer which targets there are and what they weigh.
    pub(super) fn refresh(&mut self, targets: &[Target], scope: QueueScope, now: Time) {
        let target = |place: u32| targets.get(place as usize);
        self.manned.retain(|_, place| target(*place).is_some_and(|known| known.present() > 0));
        let mut warming = std::mem::take(&mut self.warming);
        let is_cold = |instance: &u32| {
            let known = self.instances.get(*instance as usize);
            known.is_some_and(|known| {
                known.phase == Phase::Ready && self.weight_of(known, now) < FULL_WEIGHT
            })
        };
        warming.retain(is_cold);
        self.warming = warming;
        // What is missing to the full weight of each target.
        let mut missing: BTreeMap<u32, u64> = BTreeMap::new();
        for instance in &self.warming {
            let known = self.instances.get(*instance as usize);
            let weight = known.map_or(FULL_WEIGHT, |known| self.weight_of(known, now));
            *missing.entry(self.target_of(*instance, scope)).or_default() +=
                u64::from(FULL_WEIGHT - weight);
        }
        let staying = |known: &Target| known.present().saturating_sub(known.leaving());
        let places = self.manned.values().copied();
        self.open.clear();
        self.open.extend(places.filter(|place| target(*place).is_some_and(|t| staying(t) > 0)));
        let open = self.open.iter().filter_map(|place| target(*place));
        let most = open.clone().map(staying).max().unwrap_or(0);
        self.weights.clear();
        self.weights.extend(open.map(|known| {
            let missing = missing.get(&known.number).copied().unwrap_or(0);
            let sum = u64::from(known.present()) * u64::from(FULL_WEIGHT) - missing;
            target_weight(sum, known.leaving(), most)
        }));
        self.is_full = self.weights.iter().all(|weight| *weight == FULL_WEIGHT);
        self.index_again(targets);
    }

    /// Looks at all open targets once, so that nobody has to for each request.
    fn index_again(&mut self, targets: &[Target]) {
        if !self.looks_at_all {
            return;
        }
        self.seats.clear();
        self.seats.resize(targets.len(), u32::MAX);
        let mut loads = Vec::with_capacity(self.open.len());
        for (seat, place) in (0u32..).zip(&self.open) {
            if let Some(known) = self.seats.get_mut(*place as usize) {
                *known = seat;
            }
            loads.push(targets.get(*place as usize).map_or(0, Target::load));
        }
        self.index = Some(Index::of(&loads));
    }

    /// What the scaling rule sees at a tick.
    pub(super) fn observe(&mut self, rules: &Scaling, targets: &[Target]) -> Observation {
        let came = self.demand.take(rules.interval);
        let flow = rules.rule.asks_for_flow().then(|| {
            let manned = self.manned.values().filter_map(|place| targets.get(*place as usize));
            let busy: u64 = manned.map(|target| u64::from(target.running())).sum();
            let starting = self.counted.starting;
            let places = u64::from(self.definition.concurrency());
            Flow { starting, busy_thousandths: busy * 1000 / places, came: Some(came) }
        });
        let instances = self.counted.ready + self.counted.starting;
        Observation { tasks: self.tasks, instances, flow }
    }

    /// A target has lost requests in another way than by their end.
    pub(super) fn forget_loads(&mut self) {
        self.index = None;
    }

    /// A request joins a target.
    #[inline]
    pub(super) fn join(&mut self, place: u32) {
        if let Some(index) = &mut self.index
            && let Some(seat) = self.seats.get(place as usize).filter(|seat| **seat < u32::MAX)
        {
            index.join(*seat);
        }
    }

    /// So many requests have ended at a target.
    #[inline]
    pub(super) fn leave(&mut self, place: u32, count: u32) {
        if let Some(index) = &mut self.index
            && let Some(seat) = self.seats.get(place as usize).filter(|seat| **seat < u32::MAX)
        {
            (0..count).for_each(|_| index.leave(*seat));
        }
    }
}

/// The targets of an app as the balancer sees them.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub group: &'a Group<'a>,
    pub targets: &'a [Target],
    /// What the balancer has learned, if it learns; in the pool of whom, and now.
    pub signals: Option<(&'a mut Signals, usize, Time)>,
}

#[expect(clippy::indexing_slicing, reason = "places are below the number of open targets")]
impl Targets for View<'_> {
    #[inline]
    fn count(&self) -> u32 {
        u32::try_from(self.group.open.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    fn load(&mut self, place: u32) -> u32 {
        self.targets[self.group.open[place as usize] as usize].load()
    }

    #[inline]
    fn weight(&self, place: u32) -> u32 {
        self.group.weights[place as usize]
    }

    fn name(&self, place: u32) -> u32 {
        self.targets[self.group.open[place as usize] as usize].number
    }

    fn response(&mut self, place: u32) -> Nanoseconds {
        let (requests, target) = (self.load(place), self.group.open[place as usize]);
        let signals = self.signals.as_ref();
        signals.map_or(Nanoseconds::ZERO, |(known, _, now)| known.response(target, requests, *now))
    }

    fn take_pool(&mut self) -> Option<(Pool, Time)> {
        let (signals, number, now) = self.signals.as_mut()?;
        signals.pool(*number).map(|pool| (std::mem::take(pool), *now))
    }

    fn put_pool(&mut self, pool: Pool) {
        if let Some((signals, number, _)) = &mut self.signals
            && let Some(place) = signals.pool(*number)
        {
            *place = pool;
        }
    }

    // The least loaded of equally heavy targets is the one with the fewest requests.
    fn least_loaded(&mut self, from: u32) -> Option<u32> {
        if self.group.is_full {
            self.shortest(from)
        } else {
            policy::balance::scan_least_loaded(self, from)
        }
    }

    fn shortest(&mut self, from: u32) -> Option<u32> {
        let known = self.group.index.as_ref().and_then(|index| index.least(from));
        known.or_else(|| policy::balance::scan_shortest(self, from))
    }
}
