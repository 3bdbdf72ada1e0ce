//! Placement with an index: the same rule as the plain scan of [`crate::placement`] (the instances of
//! an app evenly over machines, then the machines' load), for clusters with thousands of machines and
//! apps. Ports are counted, too.
//!
//! All machines stand in one order by what is free, the most first. Each app knows only the machines
//! that have instances of it, by how many. A placement walks the common order past the machines that
//! the app has already; they are few as a rule, because a machine that took an instance moved back in
//! the order. Where they are many (an app that is on most machines, and these are the emptiest), the
//! walk is given up after [`WALK_MOST`] steps, and the app gets an order of its own, by the number of
//! its instances first. Own orders aren't kept up to date for all apps at each change, but when they
//! are used: from a common log of changes. So a placement costs O(log n) and at most a constant number
//! of steps, apart from machines that are excluded by constraints or by memory or ports alone, and
//! from an own order that has to be made because it wasn't used for n changes.
//!
//! An instance is given up in the same way: where an app has its most instances on few machines, these
//! are looked at; where on many, the common order is walked from its end, in which one of them comes
//! soon, unless they are the emptiest. Then either all of them are looked at, or the app's own order is
//! brought up to date and tells. Which of both is cheaper depends on how often the app is asked: looking
//! is rented, the order is bought (Karlin et al., "Competitive snoopy caching", 1988). An order is
//! bought when as many machines have been looked at as take the same time, so that both together take at
//! most twice what the better one alone would have taken.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a machine has free, or an instance needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Processors, in a unit of the caller's: whole ones, or thousandths.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// How many ports.
    pub ports: u32,
}

impl Room {
    /// Whether there is room for this.
    #[must_use]
    pub const fn fits(self, need: Room) -> bool {
        self.cores >= need.cores && self.memory_mib >= need.memory_mib && self.ports >= need.ports
    }

    /// What is left after something has been taken; nothing if there was less.
    #[must_use]
    pub const fn without(self, taken: Room) -> Room {
        Room {
            cores: self.cores.saturating_sub(taken.cores),
            memory_mib: self.memory_mib.saturating_sub(taken.memory_mib),
            ports: self.ports.saturating_sub(taken.ports),
        }
    }

    /// What there is after something has been given back.
    #[must_use]
    pub const fn with(self, given: Room) -> Room {
        Room {
            cores: self.cores.saturating_add(given.cores),
            memory_mib: self.memory_mib.saturating_add(given.memory_mib),
            ports: self.ports.saturating_add(given.ports),
        }
    }
}

/// Machines that a placement walks past before the app gets an order of its own.
pub const WALK_MOST: usize = 128;

/// To let a machine stand in an own order is to take it out of a tree and to put it into another one: that
/// takes as long as to look at so many.
const STAND_LOOKS: usize = 32;

/// The place of a machine in the common order: the most free cores first, then memory, then the
/// machine that came first.
type Rank = (Reverse<(u32, u32)>, u32);

/// Machines and apps by number. Numbers are the caller's and should begin at 0.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    machines: Vec<Option<Room>>,
    order: BTreeSet<Rank>,
    /// Machines that take no instances, of those that are known.
    closed: BTreeSet<u32>,
    apps: Vec<Instances>,
    /// Machines whose rank changed, the last one last.
    changes: VecDeque<u32>,
    /// Changes that are not in the log any more.
    forgotten: u64,
}

/// Where an app has how many instances.
#[derive(Debug, Clone, Default)]
struct Instances {
    by_machine: BTreeMap<u32, u32>,
    by_count: BTreeMap<u32, BTreeSet<u32>>,
    own: Option<Own>,
    /// Machines that were looked at since the own order was brought up to date the last time.
    looked_at: usize,
}

/// An order of machines for one app, as of a place in the log of changes.
#[derive(Debug, Clone)]
struct Own {
    synced: u64,
    /// By number of instances.
    levels: BTreeMap<u32, BTreeSet<Rank>>,
    /// Where each machine stands in it.
    known: Vec<Option<(u32, Rank)>>,
}

/// How a walk through the common order ends.
enum Walked {
    Found(u32),
    /// All machines were met; the best of those that have the app already.
    All(Option<u32>),
    GivenUp,
}

fn rank(machine: u32, free: Room) -> Rank {
    (Reverse((free.cores, free.memory_mib)), machine)
}

impl Spread {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Spread::default()
    }

    /// A machine has this free and takes instances; with `None` it takes none.
    pub fn set_machine(&mut self, machine: u32, free: Option<Room>) {
        let place = machine as usize;
        if self.machines.len() <= place {
            self.machines.resize(place + 1, None);
        }
        let Some(known) = self.machines.get_mut(place) else { return };
        if let Some(old) = known.take() {
            self.order.remove(&rank(machine, old));
        }
        *known = free;
        match free {
            Some(free) => {
                self.order.insert(rank(machine, free));
                self.closed.remove(&machine);
            }
            None => drop(self.closed.insert(machine)),
        }
        self.changed(machine);
    }

    /// Notes a change for own orders; of the log as much is kept as is cheaper than a new order.
    fn changed(&mut self, machine: u32) {
        self.changes.push_back(machine);
        if self.changes.len() > self.machines.len() {
            self.changes.pop_front();
            self.forgotten += 1;
        }
    }

    /// What a machine that takes instances has free.
    #[must_use]
    pub fn free(&self, machine: u32) -> Option<Room> {
        self.machines.get(machine as usize).copied().flatten()
    }

    /// Instances of an app on a machine.
    #[must_use]
    pub fn count(&self, app: u32, machine: u32) -> u32 {
        let counts = self.apps.get(app as usize).map(|app| &app.by_machine);
        counts.and_then(|counts| counts.get(&machine)).copied().unwrap_or(0)
    }

    /// An app has one more instance on a machine; what it needs isn't free any more.
    pub fn add(&mut self, app: u32, machine: u32, need: Room) {
        self.set_count(app, machine, self.count(app, machine).saturating_add(1));
        if let Some(free) = self.free(machine) {
            self.set_machine(machine, Some(free.without(need)));
        }
    }

    /// An app has one instance fewer on a machine; what it needed is free again.
    pub fn remove(&mut self, app: u32, machine: u32, need: Room) {
        self.set_count(app, machine, self.count(app, machine).saturating_sub(1));
        if let Some(free) = self.free(machine) {
            self.set_machine(machine, Some(free.with(need)));
        }
    }

    fn know(&mut self, app: u32) {
        let place = app as usize;
        if self.apps.len() <= place {
            self.apps.resize_with(place + 1, Instances::default);
        }
    }

    /// An app has so many instances on a machine.
    pub fn set_count(&mut self, app: u32, machine: u32, count: u32) {
        self.know(app);
        if count > 0 && self.free(machine).is_none() {
            self.closed.insert(machine);
        }
        let Some(app) = self.apps.get_mut(app as usize) else { return };
        if let Some(old) = app.by_machine.remove(&machine)
            && let Some(level) = app.by_count.get_mut(&old)
        {
            level.remove(&machine);
            if level.is_empty() {
                app.by_count.remove(&old);
            }
        }
        if count > 0 {
            app.by_machine.insert(machine, count);
            app.by_count.entry(count).or_default().insert(machine);
        }
        // What the log doesn't reach any more has to be made anew.
        app.own.take_if(|own| own.synced < self.forgotten);
        if let Some(own) = &mut app.own {
            own.stand(machine, count, self.machines.get(machine as usize).copied().flatten());
        }
    }

    /// The machine for one more instance: of those that are allowed and have room one with the
    /// fewest instances of the app; of these the one with the most free cores, then memory; of these
    /// the first. None if there is none. `allowed` gets a machine and how many of the app it has.
    pub fn place(
        &mut self,
        app: u32,
        need: Room,
        allowed: impl Fn(u32, u32) -> bool,
    ) -> Option<u32> {
        self.know(app);
        let own = self.apps.get(app as usize).and_then(|instances| instances.own.as_ref());
        let is_ready =
            own.is_some_and(|own| self.pending(own).is_some_and(|some| some < WALK_MOST));
        if !is_ready {
            match self.walk(app, need, &allowed) {
                Walked::Found(machine) => return Some(machine),
                Walked::All(machine) => return machine,
                Walked::GivenUp => {}
            }
        }
        self.sync(app);
        let own = self.apps.get(app as usize)?.own.as_ref()?;
        own.levels.iter().find_map(|(count, level)| {
            let has_cores = |(Reverse((cores, _)), _): &&Rank| *cores >= need.cores;
            let mut machines = level.iter().take_while(has_cores).map(|(_, machine)| *machine);
            machines.find(|machine| self.is_able(*machine, need) && allowed(*machine, *count))
        })
    }

    fn is_able(&self, machine: u32, need: Room) -> bool {
        self.free(machine).is_some_and(|free| free.fits(need))
    }

    /// Looks for a machine without an instance of the app, in the common order; on the way, for the
    /// first one of those with the fewest.
    fn walk(&self, app: u32, need: Room, allowed: &impl Fn(u32, u32) -> bool) -> Walked {
        let Some(instances) = self.apps.get(app as usize) else { return Walked::All(None) };
        let (mut met, mut best) = (0, None);
        for (Reverse((cores, _)), machine) in &self.order {
            if *cores < need.cores {
                break;
            }
            let count = instances.by_machine.get(machine).copied().unwrap_or(0);
            if count > 0 {
                met += 1;
                if met > WALK_MOST {
                    return Walked::GivenUp;
                }
            }
            let is_better = best.is_none_or(|(fewest, _)| count < fewest);
            if is_better && self.is_able(*machine, need) && allowed(*machine, count) {
                if count == 0 {
                    return Walked::Found(*machine);
                }
                best = Some((count, *machine));
            }
        }
        Walked::All(best.map(|(_, machine)| machine))
    }

    /// Changes that an own order doesn't know yet; none if the log doesn't reach back so far.
    fn pending(&self, own: &Own) -> Option<usize> {
        let known = usize::try_from(own.synced.checked_sub(self.forgotten)?).ok()?;
        self.changes.len().checked_sub(known)
    }

    /// Brings the own order of an app up to date, or makes it.
    fn sync(&mut self, app: u32) {
        let now = self.forgotten + self.changes.len() as u64;
        let Some(instances) = self.apps.get_mut(app as usize) else { return };
        let by_machine = &instances.by_machine;
        let free = |machine: u32| self.machines.get(machine as usize).copied().flatten();
        let count = |machine: u32| by_machine.get(&machine).copied().unwrap_or(0);
        let forgotten = self.forgotten;
        let old = instances.own.take().filter(|own| own.synced >= forgotten);
        let own = if let Some(mut own) = old {
            let known = usize::try_from(own.synced - forgotten).unwrap_or(usize::MAX);
            for machine in self.changes.iter().skip(known) {
                own.stand(*machine, count(*machine), free(*machine));
            }
            own.synced = now;
            own
        } else {
            let mut own = Own { synced: now, levels: BTreeMap::new(), known: Vec::new() };
            for (_, machine) in &self.order {
                own.stand(*machine, count(*machine), free(*machine));
            }
            own
        };
        instances.own = Some(own);
        instances.looked_at = 0;
    }

    /// The machine that gives up an instance of an app: the one with the most of them; of these the
    /// one with the fewest free cores, then memory; of these the last. Machines that take no
    /// instances go before all others. None if there is no instance.
    #[must_use]
    pub fn displace(&mut self, app: u32) -> Option<u32> {
        let instances = self.apps.get(app as usize)?;
        let (most, level) = instances.by_count.last_key_value()?;
        let most = *most;
        if let Some(machine) = self.last_closed(level) {
            return Some(machine);
        }
        if level.len() <= WALK_MOST {
            return self.fullest(level);
        }
        let mut last = self.order.iter().rev().take(WALK_MOST);
        if let Some((_, machine)) = last.find(|(_, machine)| level.contains(machine)) {
            return Some(*machine);
        }
        let pending = instances.own.as_ref().and_then(|own| self.pending(own));
        let cost = pending.unwrap_or(self.order.len()).saturating_mul(STAND_LOOKS);
        let looked_at = instances.looked_at.saturating_add(level.len());
        if looked_at <= cost {
            let found = self.fullest(level);
            self.apps.get_mut(app as usize)?.looked_at = looked_at;
            return found;
        }
        self.sync(app);
        let own = self.apps.get(app as usize)?.own.as_ref()?;
        own.levels.get(&most)?.last().map(|(_, machine)| *machine)
    }

    /// The last one of these machines in the common order.
    fn fullest(&self, machines: &BTreeSet<u32>) -> Option<u32> {
        let ranked = machines.iter().filter_map(|one| Some(rank(*one, self.free(*one)?)));
        ranked.max().map(|(_, machine)| machine)
    }

    /// The last of these machines that takes no instances.
    fn last_closed(&self, level: &BTreeSet<u32>) -> Option<u32> {
        let (fewer, more) = match self.closed.len() < level.len() {
            true => (&self.closed, level),
            false => (level, &self.closed),
        };
        fewer.iter().rev().find(|machine| more.contains(machine)).copied()
    }
}

impl Own {
    /// A machine has so many instances and this free.
    fn stand(&mut self, machine: u32, count: u32, free: Option<Room>) {
        let place = machine as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, None);
        }
        let Some(known) = self.known.get_mut(place) else { return };
        let new = free.map(|free| (count, rank(machine, free)));
        if *known == new {
            return;
        }
        if let Some((old, rank)) = known.take()
            && let Some(level) = self.levels.get_mut(&old)
        {
            level.remove(&rank);
            if level.is_empty() {
                self.levels.remove(&old);
            }
        }
        *known = new;
        if let Some((count, rank)) = new {
            self.levels.entry(count).or_default().insert(rank);
        }
    }
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
