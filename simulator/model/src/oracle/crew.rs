//! The instances of one app as lists, and what waits for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use policy::codel::Codel;
use policy::fairness::Turns;
use policy::overload::Standing;
use policy::queue::QueueScope;
use policy::{Nanoseconds, Queue, Time, scaling};

use crate::life::target_weight;
use crate::outcome::Instances;
use crate::{App, Arrival};

/// An instance of an app.
#[derive(Debug)]
pub(super) struct Instance {
    pub machine: usize,
    pub phase: Phase,
    /// When it became ready; none for those that were there in the beginning.
    pub ready: Option<Time>,
    /// When it became ready, or had the last end.
    pub idle_since: Time,
    /// What it works on.
    pub work: Vec<Task>,
    /// Up to when what is left of tasks was counted down.
    pub updated: Time,
    /// Ends that were planned in another version are not those any more.
    pub version: u64,
}

/// A request that is worked on.
#[derive(Debug)]
pub(super) struct Task {
    pub arrival: Arrival,
    /// When its instance took it.
    pub taken: Time,
    /// When its instance begins to work on it: later, if it has to come from the gateways first.
    pub start: Time,
    /// What is left to do.
    pub left: u128,
}

impl Task {
    /// For how long an instance has only waited for it until then, in nanoseconds.
    pub(super) fn held_by(&self, now: Time) -> u128 {
        u128::from(self.start.min(now).since(self.taken).0)
    }
}

impl Instance {
    pub(super) fn new(machine: usize, phase: Phase) -> Self {
        Instance {
            machine,
            phase,
            ready: None,
            idle_since: Time::ZERO,
            work: Vec::new(),
            updated: Time::ZERO,
            version: 0,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    /// It takes nothing more, but holds its machine.
    Leaving,
    Gone,
}

/// What has a queue.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Requests that were let in and are on their way, in the order in which they arrived.
    pub coming: Vec<Arrival>,
    /// In the order in which they came.
    pub waiting: VecDeque<Arrival>,
    /// Of those, by their keys, when they came, and whether the queue was overloaded then.
    pub marks: BTreeMap<u64, (Time, bool)>,
    /// Since when somebody waits.
    pub standing: Standing,
    /// What was dropped of late.
    pub codel: Codel,
    /// Users who have requests here, if they take turns.
    pub turns: Turns,
    /// Instances that work for it.
    pub ready: BTreeSet<usize>,
    /// Instances that are to leave, but still have something to do.
    pub leaves: Vec<Leave>,
}

impl Line {
    /// A request waits from now on; behind the others, or before them.
    pub(super) fn put(&mut self, arrival: Arrival, is_first: bool, now: Time, rules: &Queue) {
        if self.waiting.is_empty() {
            self.standing = Standing::begun(now);
            self.codel.rest();
        }
        let overload = rules.overload.as_ref();
        let is_overloaded = overload.is_some_and(|rules| self.standing.is_overloaded(rules, now));
        self.marks.insert(arrival.key, (now, is_overloaded));
        if !self.waiting.iter().any(|other| other.user == arrival.user) {
            self.turns.join(arrival.user);
        }
        match is_first {
            true => self.waiting.push_front(arrival),
            false => self.waiting.push_back(arrival),
        }
    }

    /// A request waits no more: it, when it came, and whether the queue was overloaded then.
    pub(super) fn take(&mut self, place: usize) -> Option<(Arrival, Time, bool)> {
        let arrival = self.waiting.remove(place)?;
        let (came, was_overloaded) = self.marks.remove(&arrival.key)?;
        if !self.waiting.iter().any(|other| other.user == arrival.user) {
            self.turns.leave(arrival.user);
        }
        Some((arrival, came, was_overloaded))
    }

    /// Nobody waits any more.
    pub(super) fn empty(&mut self) -> Vec<Arrival> {
        self.marks.clear();
        self.turns.clear();
        self.waiting.drain(..).collect()
    }
}

/// The decision that one of some instances leaves, when what waited then has begun.
#[derive(Debug)]
pub(super) struct Leave {
    pub waited: BTreeSet<u64>,
    pub instances: BTreeSet<usize>,
    /// The one that leaves and takes nothing more, if instances work on several at a time.
    pub spared: Option<usize>,
    pub decided: Time,
}

/// All instances of an app that ever were, by their number.
#[derive(Debug)]
pub(super) struct Crew {
    scope: QueueScope,
    /// How many requests each instance works on at a time.
    pub concurrency: usize,
    pub instances: Vec<Instance>,
    /// By the number of the target.
    pub queues: BTreeMap<usize, Line>,
    /// Targets that the balancer knows, with their weights.
    pub open: Vec<(usize, u32)>,
    pub scaling: scaling::State,
    /// Requests that limits let through since the last tick, and those of them that were refused.
    pub arrivals: u64,
    pub refusals: u64,
    /// Machines that have had an instance.
    pub images: BTreeSet<usize>,
    pub told: Instances,
    pub peak: usize,
}

impl Crew {
    pub(super) fn new(app: &App, rules: &Queue) -> Self {
        let mut crew = Crew {
            scope: rules.scope,
            concurrency: app.crowd.as_ref().map_or(1, |crowd| crowd.concurrency() as usize),
            instances: Vec::new(),
            queues: BTreeMap::new(),
            open: Vec::new(),
            scaling: scaling::State::default(),
            arrivals: 0,
            refusals: 0,
            images: BTreeSet::new(),
            told: Instances::default(),
            peak: 0,
        };
        for machine in 0..app.machines as usize {
            for _ in 0..app.instances {
                crew.images.insert(machine);
                crew.instances.push(Instance::new(machine, Phase::Ready));
                crew.join(crew.instances.len() - 1);
            }
        }
        crew.refresh(app, Time::ZERO);
        crew.told = crew.count();
        crew
    }

    /// The target that an instance works for.
    pub(super) fn target_of(&self, instance: usize) -> usize {
        match self.scope {
            QueueScope::Node => self.instances.get(instance).map_or(0, |one| one.machine),
            QueueScope::Instance => instance,
            QueueScope::Central => 0,
        }
    }

    /// A ready instance begins to work for its target.
    pub(super) fn join(&mut self, instance: usize) {
        let target = self.target_of(instance);
        self.queues.entry(target).or_default().ready.insert(instance);
    }

    /// Ready instances of a target with their numbers.
    fn ready(&self, target: usize) -> impl Iterator<Item = (usize, &Instance)> {
        let numbers = self.queues.get(&target).into_iter().flat_map(|queue| &queue.ready);
        numbers.filter_map(|number| Some((*number, self.instances.get(*number)?)))
    }

    /// Instances of a target that have nothing to do.
    pub(super) fn idle(&self, target: usize) -> impl Iterator<Item = (usize, &Instance)> {
        self.ready(target).filter(|(_, instance)| instance.work.is_empty())
    }

    /// Instances of a target that can take one more request.
    pub(super) fn able(&self, target: usize) -> impl Iterator<Item = (usize, &Instance)> {
        let spared = self.spared(target);
        let ready = self.ready(target).filter(move |(number, _)| !spared.contains(number));
        ready.filter(|(_, instance)| instance.work.len() < self.concurrency)
    }

    /// Instances of a target that take nothing more.
    fn spared(&self, target: usize) -> BTreeSet<usize> {
        let leaves = self.queues.get(&target).into_iter().flat_map(|queue| &queue.leaves);
        leaves.filter_map(|leave| leave.spared).collect()
    }

    /// Names the instances that leave of all decisions before which nothing waits any more: they have
    /// the least to do, and get nothing more.
    pub(super) fn spare(&mut self, target: usize) {
        let leaves = self.queues.get(&target).map_or(0, |queue| queue.leaves.len());
        for place in 0..leaves {
            let spared = self.spared(target);
            let Some(queue) = self.queues.get(&target) else { return };
            let Some(leave) = queue.leaves.get(place) else { return };
            let mut taken = queue.coming.iter().chain(&queue.waiting);
            if leave.spared.is_some() || taken.any(|known| leave.waited.contains(&known.key)) {
                continue;
            }
            let may = self
                .ready(target)
                .filter(|(number, _)| leave.instances.contains(number) && !spared.contains(number));
            let least = may.map(|(number, one)| (one.work.len(), one.idle_since, number)).min();
            let Some((_, _, number)) = least else { continue };
            let queue = self.queues.get_mut(&target);
            if let Some(leave) = queue.and_then(|queue| queue.leaves.get_mut(place)) {
                leave.spared = Some(number);
                leave.instances = BTreeSet::from([number]);
            }
        }
    }

    /// How many requests a target can take at once.
    pub(super) fn room(&self, target: usize) -> usize {
        self.able(target).map(|(_, instance)| self.concurrency - instance.work.len()).sum()
    }

    pub(super) fn coming_to(&self, target: usize) -> impl Iterator<Item = &Arrival> {
        self.queues.get(&target).into_iter().flat_map(|queue| &queue.coming)
    }

    pub(super) fn waiting_at(&self, target: usize) -> impl Iterator<Item = &Arrival> {
        self.queues.get(&target).into_iter().flat_map(|queue| &queue.waiting)
    }

    pub(super) fn running_at(&self, target: usize) -> impl Iterator<Item = &Arrival> {
        self.ready(target).flat_map(|(_, one)| one.work.iter().map(|task| &task.arrival))
    }

    pub(super) fn running(&self, target: usize) -> usize {
        self.running_at(target).count()
    }

    pub(super) fn load(&self, target: usize) -> usize {
        self.coming_to(target).count() + self.waiting_at(target).count() + self.running(target)
    }

    pub(super) fn all_waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// All requests of the app.
    pub(super) fn tasks(&self) -> usize {
        let coming: usize = self.queues.values().map(|queue| queue.coming.len()).sum();
        let working: usize = self.instances.iter().map(|one| one.work.len()).sum();
        coming + self.all_waiting() + working
    }

    pub(super) fn leaving_at(&self, target: usize) -> usize {
        self.queues.get(&target).map_or(0, |queue| queue.leaves.len())
    }

    /// Those of them that are on a machine.
    pub(super) fn leaving_on(&self, target: usize, machine: usize) -> usize {
        let is_there =
            |number: &usize| self.instances.get(*number).is_some_and(|one| one.machine == machine);
        let leaves = self.queues.get(&target).into_iter().flat_map(|queue| &queue.leaves);
        leaves.filter(|leave| leave.instances.iter().any(is_there)).count()
    }

    /// Instances of a target that work for it and aren't to leave.
    pub(super) fn staying(&self, target: usize) -> usize {
        self.ready(target).count() - self.leaving_at(target)
    }

    pub(super) fn count(&self) -> Instances {
        let of = |phase| self.instances.iter().filter(|one| one.phase == phase).count();
        let bound: usize = self.queues.values().map(|queue| queue.leaves.len()).sum();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Instances {
            ready: number(of(Phase::Ready) - bound),
            starting: number(of(Phase::Starting)),
            leaving: number(of(Phase::Leaving) + bound),
        }
    }

    /// Tells the balancer which targets there are and what they weigh.
    pub(super) fn refresh(&mut self, app: &App, now: Time) {
        let staying = |target: usize| self.staying(target);
        let targets = self.queues.keys().copied();
        let known: Vec<usize> = targets.filter(|target| staying(*target) > 0).collect();
        let most = known.iter().map(|target| staying(*target)).max().unwrap_or(0);
        let weight = |target: usize| {
            let ages = self.ready(target).map(|(_, one)| match one.ready {
                Some(ready) => now.since(ready),
                None => Nanoseconds(u64::MAX),
            });
            let sum = ages.map(|age| u64::from(app.life.warm_up.weight_at(age))).sum();
            let leaving = u32::try_from(self.leaving_at(target)).unwrap_or(u32::MAX);
            target_weight(sum, leaving, u32::try_from(most).unwrap_or(u32::MAX))
        };
        self.open = known.iter().map(|target| (*target, weight(*target))).collect();
    }
}
