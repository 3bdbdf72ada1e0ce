//! A target of the oracle: lists of what waits and of who is there.

use std::collections::VecDeque;

use policy::balance::FULL_WEIGHT;
use policy::{Nanoseconds, Time};

use crate::life::WarmUp;

/// What a target reports.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// Requests that wait or are worked on.
    pub(super) load: u32,
    /// Instances that are ready, less those that are to leave.
    pub(super) staying: u32,
    /// Those that are to leave.
    pub(super) leaving: u32,
    /// The weights of all that are ready.
    pub(super) weights: u64,
}

/// The decision that one of the instances leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    pub(super) decided: Time,
    /// Requests that have come by then.
    requests: u64,
    /// Instances that have come by then.
    instances: u64,
}

#[derive(Debug)]
struct Instance {
    /// The how manyth of its target it is.
    number: u64,
    /// Its number among all instances of the app.
    known_as: usize,
    /// Requests that had come before the order to start it.
    requests_before: u64,
    /// When it became ready; for those of the beginning long ago.
    ready: Option<Time>,
    is_ready: bool,
    /// Since when it could take a request.
    idle_since: Option<Time>,
    /// What it works on, and since when.
    work: Option<(usize, Time)>,
}

/// What has a queue.
#[derive(Debug, Default)]
pub(super) struct Target {
    instances: Vec<Instance>,
    /// Requests that were let in and don't stand in the queue yet.
    coming: Vec<usize>,
    /// Requests in the order in which they came, each with the number of those before.
    waiting: VecDeque<(usize, u64)>,
    leaves: Vec<Leave>,
    /// How many requests and instances ever came.
    requests: u64,
    crew: u64,
}

impl Target {
    /// A target with instances from the beginning, which have these numbers.
    pub(super) fn new(instances: std::ops::Range<usize>) -> Self {
        let mut target = Target::default();
        for instance in instances {
            target.start(instance);
            if let Some(instance) = target.instances.last_mut() {
                instance.is_ready = true;
            }
        }
        target.open(Time::ZERO);
        target
    }

    /// An instance begins to start.
    pub(super) fn start(&mut self, known_as: usize) {
        self.instances.push(Instance {
            number: self.crew,
            known_as,
            requests_before: self.requests,
            ready: None,
            is_ready: false,
            idle_since: None,
            work: None,
        });
        self.crew += 1;
    }

    /// It has started.
    pub(super) fn ready(&mut self, known_as: usize, now: Time) {
        let known = |instance: &&mut Instance| instance.known_as == known_as;
        if let Some(instance) = self.instances.iter_mut().find(known) {
            instance.is_ready = true;
            instance.ready = Some(now);
        }
    }

    /// One instance is to leave.
    pub(super) fn leave(&mut self, decided: Time) {
        let (requests, instances) = (self.requests, self.crew);
        self.leaves.push(Leave { decided, requests, instances });
    }

    /// A request is let in.
    pub(super) fn let_in(&mut self, request: usize) {
        self.coming.push(request);
    }

    /// It isn't on its way any more.
    pub(super) fn forget(&mut self, request: usize) {
        self.coming.retain(|known| *known != request);
    }

    /// A request comes into the queue.
    pub(super) fn join(&mut self, request: usize) {
        self.waiting.push_back((request, self.requests));
        self.requests += 1;
    }

    /// Instances that are ready take part as soon as what came before their order has begun.
    pub(super) fn open(&mut self, now: Time) {
        let first = self.waiting.front().map_or(u64::MAX, |(_, before)| *before);
        for instance in &mut self.instances {
            let is_new = instance.idle_since.is_none() && instance.work.is_none();
            if is_new && instance.is_ready && instance.requests_before <= first {
                instance.idle_since = Some(now);
            }
        }
    }

    /// The instance that takes the next request, of some.
    fn next(&self, may: impl Fn(&Instance) -> bool) -> Option<usize> {
        let idle = self.instances.iter().enumerate().filter(|(_, instance)| may(instance));
        let idle = idle.filter_map(|(place, instance)| {
            let ready = instance.ready.unwrap_or(Time::ZERO);
            Some(((instance.idle_since?, ready, instance.number), place))
        });
        idle.min().map(|(_, place)| place)
    }

    /// An instance that was to leave and has nothing to do leaves: its number, and the decision.
    pub(super) fn let_one_leave(&mut self) -> Option<(usize, Leave)> {
        let first = self.waiting.front().map_or(u64::MAX, |(_, before)| *before);
        let found = self.leaves.iter().enumerate().find_map(|(place, leave)| {
            let instance = self.next(|instance| instance.number < leave.instances)?;
            (first >= leave.requests).then_some((place, instance))
        });
        let (leave, instance) = found?;
        let instance = self.instances.remove(instance);
        Some((instance.known_as, self.leaves.remove(leave)))
    }

    /// What has waited longest, if an instance could take it, and how many wait behind it.
    pub(super) fn turn(&self) -> Option<(usize, usize)> {
        self.next(|_| true)?;
        let (request, _) = self.waiting.front()?;
        Some((*request, self.waiting.len() - 1))
    }

    /// What has waited longest doesn't wait any more.
    pub(super) fn drop_one(&mut self) {
        self.waiting.pop_front();
    }

    /// An instance takes what has waited longest: that, and how old the instance is.
    pub(super) fn begin_one(&mut self, now: Time) -> Option<(usize, Nanoseconds)> {
        let instance = self.next(|_| true).filter(|_| !self.waiting.is_empty())?;
        let instance = self.instances.get_mut(instance)?;
        let (request, _) = self.waiting.pop_front()?;
        instance.idle_since = None;
        instance.work = Some((request, now));
        let age = instance.ready.map_or(Nanoseconds(u64::MAX), |ready| now.since(ready));
        Some((request, age))
    }

    /// The work on a request ends: when it began.
    pub(super) fn end(&mut self, request: usize, now: Time) -> Option<Time> {
        let works =
            |instance: &&mut Instance| instance.work.is_some_and(|(known, _)| known == request);
        let instance = self.instances.iter_mut().find(works)?;
        instance.idle_since = Some(now);
        instance.work.take().map(|(_, start)| start)
    }

    /// Whether any instance is here that isn't to leave.
    pub(super) fn has_staff(&self) -> bool {
        self.instances.len() > self.leaves.len()
    }

    /// How many instances have nothing to do.
    pub(super) fn idle(&self) -> u32 {
        let idle = self.instances.iter().filter(|instance| instance.idle_since.is_some());
        u32::try_from(idle.count()).unwrap_or(u32::MAX)
    }

    /// Requests that are here in any way.
    pub(super) fn load(&self) -> usize {
        self.coming.len() + self.waiting().count() + self.running().count()
    }

    pub(super) fn coming(&self) -> impl Iterator<Item = usize> {
        self.coming.iter().copied()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        self.waiting.iter().map(|(request, _)| *request)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        self.instances.iter().filter_map(|instance| instance.work.map(|(request, _)| request))
    }

    pub(super) fn known(&self, warm_up: &WarmUp, now: Time) -> Known {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let ready = self.instances.iter().filter(|instance| instance.is_ready);
        let weight = |instance: &Instance| match instance.ready {
            None => FULL_WEIGHT,
            Some(ready) => warm_up.weight_at(now.since(ready)),
        };
        Known {
            load: number(self.load()),
            staying: number(ready.clone().count().saturating_sub(self.leaves.len())),
            leaving: number(self.leaves.len()),
            weights: ready.map(|instance| u64::from(weight(instance))).sum(),
        }
    }
}
