//! The instances of one target and what they work on: one request each, or several that share it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use policy::{Nanoseconds, Time};

use crate::crowd::{self, Crowd};

/// Who can take requests, and when work ends.
#[derive(Debug)]
pub(super) enum Seats {
    Single(Single),
    Shared(Shared),
}

/// Instances with one request at a time.
#[derive(Debug, Default)]
pub(super) struct Single {
    /// Instances that have nothing to do, by the time since when.
    idle: BinaryHeap<Reverse<(Time, u32)>>,
    /// Ends of work, with instance and slot.
    running: BinaryHeap<Reverse<(Time, u32, u32)>>,
}

/// Instances that work on several requests at a time.
#[derive(Debug)]
pub(super) struct Shared {
    concurrency: u32,
    stations: BTreeMap<u32, Station>,
    /// Instances that can take one more: how many they work on, the time of their last end, and
    /// their number. The first one takes the next request.
    free: BTreeSet<(u32, Time, u32)>,
    /// Those that take nothing more, because they are to leave.
    closed: BTreeSet<u32>,
    /// The next end of each instance that works.
    ends: BTreeSet<(Time, u32)>,
    running: u32,
    /// How many more requests could begin.
    room: u32,
}

/// One instance: its requests progress alike, so one number says how far all of them are (virtual
/// time: Demers, Keshav and Shenker 1989).
#[derive(Debug)]
struct Station {
    /// The work that a request has had that was there all the time.
    progress: u128,
    updated: Time,
    /// The last end.
    since: Time,
    /// By the progress at which they are done, with the number of their beginning and their slot.
    tasks: BTreeSet<(u128, u64, u32)>,
    begun: u64,
    next: Option<Time>,
}

/// Work that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub at: Time,
    pub slot: u32,
    /// The next end of the instance, if it isn't the one that was known.
    pub next: Option<Time>,
}

impl Seats {
    pub(super) fn new(crowd: Option<&Crowd>) -> Self {
        match crowd {
            None => Seats::Single(Single::default()),
            Some(crowd) => Seats::Shared(Shared {
                concurrency: crowd.concurrency(),
                stations: BTreeMap::new(),
                free: BTreeSet::new(),
                closed: BTreeSet::new(),
                ends: BTreeSet::new(),
                running: 0,
                room: 0,
            }),
        }
    }

    /// Instances that are here.
    pub(super) fn instances(&self) -> u32 {
        let count = match self {
            Seats::Single(single) => single.idle.len() + single.running.len(),
            Seats::Shared(shared) => shared.stations.len(),
        };
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Requests that are worked on.
    #[inline]
    pub(super) fn running(&self) -> u32 {
        match self {
            Seats::Single(single) => u32::try_from(single.running.len()).unwrap_or(u32::MAX),
            Seats::Shared(shared) => shared.running,
        }
    }

    /// How many more requests could begin.
    #[inline]
    pub(super) fn free(&self) -> u32 {
        match self {
            Seats::Single(single) => u32::try_from(single.idle.len()).unwrap_or(u32::MAX),
            Seats::Shared(shared) => shared.room,
        }
    }

    /// An instance is here.
    pub(super) fn add(&mut self, instance: u32, now: Time) {
        match self {
            Seats::Single(single) => single.idle.push(Reverse((now, instance))),
            Seats::Shared(shared) => {
                shared.free.insert((0, now, instance));
                shared.room += shared.concurrency;
                let station = Station {
                    progress: 0,
                    updated: now,
                    since: now,
                    tasks: BTreeSet::new(),
                    begun: 0,
                    next: None,
                };
                shared.stations.insert(instance, station);
            }
        }
    }

    /// The instance that takes the next request: it must be told with [`Seats::begin`].
    #[inline]
    pub(super) fn take(&mut self) -> Option<u32> {
        match self {
            Seats::Single(single) => single.idle.pop().map(|Reverse((_, instance))| instance),
            Seats::Shared(shared) => shared.free.first().map(|(_, _, instance)| *instance),
        }
    }

    /// An instance begins to work: the next end there.
    #[inline]
    pub(super) fn begin(
        &mut self,
        instance: u32,
        slot: u32,
        service: Nanoseconds,
        now: Time,
        crowd: Option<&Crowd>,
    ) -> Time {
        match (self, crowd) {
            (Seats::Shared(shared), Some(crowd)) => {
                shared.begin(instance, slot, service, now, crowd)
            }
            (Seats::Single(single), _) => {
                let end = now + service;
                single.running.push(Reverse((end, instance, slot)));
                end
            }
            (Seats::Shared(_), None) => now,
        }
    }

    /// When work ends next.
    #[inline]
    pub(super) fn next_end(&self) -> Option<Time> {
        match self {
            Seats::Single(single) => single.running.peek().map(|Reverse((end, ..))| *end),
            Seats::Shared(shared) => shared.ends.first().map(|(end, _)| *end),
        }
    }

    /// Takes out what ends next: its instance can take a request then.
    #[inline]
    pub(super) fn end(&mut self, crowd: Option<&Crowd>) -> Option<Ended> {
        match self {
            Seats::Single(single) => {
                let Reverse((at, instance, slot)) = single.running.pop()?;
                single.idle.push(Reverse((at, instance)));
                Some(Ended { at, slot, next: None })
            }
            Seats::Shared(shared) => shared.end(crowd?),
        }
    }

    /// Empties it: the slots of what was worked on.
    pub(super) fn clear(&mut self) -> Vec<u32> {
        match self {
            Seats::Single(single) => {
                single.idle.clear();
                single.running.drain().map(|Reverse((_, _, slot))| slot).collect()
            }
            Seats::Shared(shared) => {
                let stations = std::mem::take(&mut shared.stations);
                shared.free.clear();
                shared.closed.clear();
                shared.ends.clear();
                (shared.running, shared.room) = (0, 0);
                let tasks = stations.into_values().flat_map(|station| station.tasks);
                tasks.map(|(_, _, slot)| slot).collect()
            }
        }
    }

    /// An instance is gone, whatever it does: the slots of what it worked on.
    pub(super) fn fall(&mut self, instance: u32) -> Vec<u32> {
        match self {
            Seats::Single(single) => {
                let mut held = Vec::new();
                single.idle.retain(|Reverse((_, known))| *known != instance);
                single.running.retain(|Reverse((_, known, slot))| {
                    if *known == instance {
                        held.push(*slot);
                    }
                    *known != instance
                });
                held
            }
            Seats::Shared(shared) => {
                shared.close(instance);
                shared.closed.remove(&instance);
                let Some(station) = shared.stations.remove(&instance) else { return Vec::new() };
                if let Some(next) = station.next {
                    shared.ends.remove(&(next, instance));
                }
                shared.running -= station.running();
                station.tasks.into_iter().map(|(_, _, slot)| slot).collect()
            }
        }
    }

    /// The slots of all that is worked on.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        let (single, shared) = match self {
            Seats::Single(single) => (Some(single), None),
            Seats::Shared(shared) => (None, Some(shared)),
        };
        let single = single.into_iter().flat_map(|single| &single.running);
        let stations = shared.into_iter().flat_map(|shared| shared.stations.values());
        let shared = stations.flat_map(|station| &station.tasks);
        single.map(|Reverse((_, _, slot))| *slot).chain(shared.map(|(_, _, slot)| *slot))
    }

    /// The slot of what an instance with one request at a time works on.
    pub(super) fn slot_of(&self, instance: u32) -> Option<u32> {
        match self {
            Seats::Single(single) => {
                let mut running = single.running.iter();
                let found = running.find(|Reverse((_, known, _))| *known == instance);
                found.map(|Reverse((_, _, slot))| *slot)
            }
            Seats::Shared(_) => None,
        }
    }

    /// Instances that have nothing to do, by the time since when.
    pub(super) fn idle(&self) -> Vec<(Time, u32)> {
        let mut idle: Vec<(Time, u32)> = match self {
            Seats::Single(single) => single.idle.iter().map(|Reverse(entry)| *entry).collect(),
            Seats::Shared(shared) => {
                let idle = shared.stations.iter().filter(|(_, station)| station.running() == 0);
                idle.map(|(instance, station)| (station.since, *instance)).collect()
            }
        };
        idle.sort_unstable();
        idle
    }

    /// An instance that has nothing to do is gone.
    pub(super) fn remove(&mut self, instance: u32) {
        match self {
            Seats::Single(single) => single.idle.retain(|Reverse((_, known))| *known != instance),
            Seats::Shared(shared) => {
                shared.close(instance);
                shared.closed.remove(&instance);
                shared.stations.remove(&instance);
            }
        }
    }

    /// Of instances with several requests at a time, one of those that may leave takes nothing more
    /// from now on: that with the fewest requests, of equals that whose last end is longest ago.
    pub(super) fn close_one(&mut self, may: impl Fn(u32) -> bool) -> Option<u32> {
        let Seats::Shared(shared) = self else { return None };
        let open = shared
            .stations
            .iter()
            .filter(|(instance, _)| !shared.closed.contains(instance) && may(**instance));
        let open = open.map(|(instance, station)| (station.running(), station.since, *instance));
        let (_, _, instance) = open.min()?;
        shared.close(instance);
        Some(instance)
    }

    /// Whether instances work on several requests at a time.
    pub(super) const fn are_shared(&self) -> bool {
        matches!(self, Seats::Shared(_))
    }
}

impl Shared {
    /// An instance takes nothing more.
    fn close(&mut self, instance: u32) {
        let Some(station) = self.stations.get(&instance) else { return };
        if self.closed.insert(instance) {
            self.free.remove(&(station.running(), station.since, instance));
            self.room -= self.concurrency - station.running();
        }
    }

    fn begin(
        &mut self,
        instance: u32,
        slot: u32,
        service: Nanoseconds,
        now: Time,
        crowd: &Crowd,
    ) -> Time {
        let Some(station) = self.stations.get_mut(&instance) else { return now };
        let place = |station: &Station| (station.running(), station.since, instance);
        self.free.remove(&place(station));
        station.advance(now, crowd);
        let done = station.progress + crowd::work(service);
        station.tasks.insert((done, station.begun, slot));
        station.begun += 1;
        if station.running() < self.concurrency {
            self.free.insert(place(station));
        }
        self.running += 1;
        self.room -= 1;
        station.plan(instance, crowd, &mut self.ends).unwrap_or(now)
    }

    fn end(&mut self, crowd: &Crowd) -> Option<Ended> {
        let (at, instance) = *self.ends.first()?;
        let station = self.stations.get_mut(&instance)?;
        let place = |station: &Station| (station.running(), station.since, instance);
        self.free.remove(&place(station));
        station.advance(at, crowd);
        let (_, _, slot) = station.tasks.pop_first()?;
        station.since = at;
        if !self.closed.contains(&instance) {
            self.free.insert(place(station));
            self.room += 1;
        }
        self.running -= 1;
        let next = station.plan(instance, crowd, &mut self.ends);
        Some(Ended { at, slot, next })
    }
}

impl Station {
    fn running(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// Lets time pass.
    fn advance(&mut self, now: Time, crowd: &Crowd) {
        if !self.tasks.is_empty() {
            let speed = u128::from(crowd.speed(self.tasks.len()));
            self.progress += u128::from(now.since(self.updated).0) * speed;
        }
        self.updated = now;
    }

    /// Notes the next end.
    fn plan(
        &mut self,
        instance: u32,
        crowd: &Crowd,
        ends: &mut BTreeSet<(Time, u32)>,
    ) -> Option<Time> {
        if let Some(known) = self.next.take() {
            ends.remove(&(known, instance));
        }
        let (done, ..) = self.tasks.first()?;
        let left = done.saturating_sub(self.progress);
        let next = self.updated + crowd::time(left, crowd.speed(self.tasks.len()));
        ends.insert((next, instance));
        self.next = Some(next);
        self.next
    }
}
