//! How the instances of an app become what they should be: upgrades, drains, scaling in and repair
//! are one question. Some instances *stay*, some must *leave* (another version, a machine that is
//! drained, not healthy for too long); how many may be started and retired now?
//!
//! Start first: what leaves is retired when what replaces it serves, by weight, so that warming
//! instances count as little as they carry. Only if no machine has room for a replacement are old
//! ones retired before it, and then fewer than the redundancy that the live load leaves (the
//! platform's rule: a step smaller than the redundancy). The serving capacity never falls below the
//! demand by a decision made here, and there are never more instances than wanted plus surge.
//!
//! Instances with volumes are the exception: a replacement takes the volume of what it replaces, so
//! the old one ends first, one at a time, and there is no surge.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// Full weight of an instance.
pub const FULL_THOUSANDTHS: u32 = 1000;

/// Weights change in steps of this size, so that a warm-up is a few changes and not hundreds.
pub const WEIGHT_STEP_THOUSANDTHS: u32 = 100;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Instances that there may be beyond those wanted, in thousandths of these; if it isn't 0,
    /// at least one.
    pub surge_thousandths: u32,
    /// The most that are replaced at a time.
    pub step: u32,
    /// The utilisation up to which an instance is loaded in peace, in thousandths.
    pub utilisation_thousandths: u32,
    /// Time until a new instance has its full weight.
    pub warm_up: Nanoseconds,
    /// The weight that it begins with, in thousandths.
    pub warm_up_floor_thousandths: u32,
    /// Time between the end of the registration and the end of an instance.
    pub cool_down: Nanoseconds,
    /// The longest time without progress before an upgrade has failed.
    pub progress_deadline: Nanoseconds,
    /// Failures of instances of the new version above which an upgrade has failed.
    pub failures_most: u32,
    /// Whether a failed upgrade goes back to the last version that was fully rolled out.
    pub auto_revert: bool,
}

/// What an app had to do over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Load {
    /// Mean number of requests in work, in thousandths.
    pub busy_thousandths: u64,
    /// Requests that wait at the end of the period.
    pub waiting: u64,
    /// Requests that came, those that were rejected included.
    pub arrivals: u64,
    /// Requests that were rejected.
    pub rejects: u64,
}

/// Instances that the load needs, each with one request at a time and used up to the rules'
/// utilisation: d = ⌈λ·s/ρ⌉ with λ·s, by Little's law, the requests in work, scaled up by those that
/// were rejected. What waits is work for one more instance at least.
#[must_use]
pub fn demand(rules: &Rollout, load: &Load) -> u32 {
    let admitted = load.arrivals.saturating_sub(load.rejects).max(1);
    let arrivals = load.arrivals.max(1);
    let offered = u128::from(load.busy_thousandths) * u128::from(arrivals) / u128::from(admitted);
    let utilisation = u128::from(rules.utilisation_thousandths.max(1));
    let needed = offered.div_ceil(utilisation) + u128::from(load.waiting > 0);
    u32::try_from(needed).unwrap_or(u32::MAX)
}

/// Instances with the same future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Group {
    /// Those that don't serve yet.
    pub starting: u32,
    /// Those that served and can't now.
    pub ailing: u32,
    /// Those that serve.
    pub serving: u32,
    /// The sum of the weights of those that serve, in thousandths.
    pub capacity_thousandths: u64,
}

impl Group {
    /// How many there are.
    #[must_use]
    pub const fn all(&self) -> u32 {
        self.starting.saturating_add(self.ailing).saturating_add(self.serving)
    }
}

/// What is seen of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Instances that there should be.
    pub wanted: u32,
    /// Instances that the load needs; absent if nothing fresh is known, which counts as all.
    pub demand: Option<u32>,
    /// Instances that may stay.
    pub stay: Group,
    /// Those of `stay.starting` for which no machine has room.
    pub unplaced: u32,
    /// Instances that must leave.
    pub leave: Group,
    /// Instances on their way out.
    pub stopping: u32,
    /// Instances of other versions, those on their way out included.
    pub others: u32,
    /// Whether nothing may be taken away now.
    pub is_frozen: bool,
    /// Whether a replacement takes what the old instance leaves (a volume), so that it can only be
    /// started after the old one has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_in_place: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Step {
    /// New instances to start.
    pub start: u32,
    /// Of those that must leave: those that don't serve yet.
    pub cancel: u32,
    /// Of those that must leave: those that can't serve.
    pub retire_ailing: u32,
    /// Of those that must leave: those that serve.
    pub retire: u32,
    /// Of those that may stay, because there are too many: first those that don't serve.
    pub surplus: u32,
    /// Why something that must leave still stays.
    pub hold: Option<Hold>,
}

/// Why something that must leave still stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Too many machines are silent.
    Frozen,
    /// What replaces it doesn't serve yet, or not with its full weight.
    Replacements {
        /// How many don't serve yet.
        starting: u32,
    },
    /// There are as many instances as there may be until others have ended.
    Room {
        /// How many are on their way out.
        stopping: u32,
    },
    /// The load needs all that serves.
    Redundancy {
        /// What serves, in thousandths of an instance.
        capacity_thousandths: u64,
        /// Instances that the load needs.
        needed: u32,
    },
}

/// Instances that there may be beyond those wanted.
#[must_use]
pub fn surge(rules: &Rollout, wanted: u32) -> u32 {
    let share = u64::from(wanted) * u64::from(rules.surge_thousandths);
    u32::try_from(share.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// What to do about the instances of an app now.
#[must_use]
pub fn decide(rules: &Rollout, seen: &Observation) -> Step {
    if seen.is_in_place {
        return in_place::decide(rules, seen);
    }
    let limit = seen.wanted.saturating_add(surge(rules, seen.wanted));
    let all = seen.stay.all().saturating_add(seen.leave.all()).saturating_add(seen.stopping);
    let start = starts(rules, seen, limit.saturating_sub(all));
    if seen.is_frozen {
        let hold = (seen.leave.all() > 0).then_some(Hold::Frozen);
        return Step { start, hold, ..Step::default() };
    }
    let needed = seen.demand.unwrap_or(seen.wanted).min(seen.wanted);
    let capacity = seen.stay.capacity_thousandths + seen.leave.capacity_thousandths;
    let beyond = |instances: u32| whole(capacity.saturating_sub(u64::from(instances) * 1000));
    // Instances count whole when they are retired, so that any of them may go. What covers the need
    // by itself lets all others go, whatever part of an instance they carry.
    let redundancy = if needed == 0 { u32::MAX } else { beyond(needed) };
    let is_covered = seen.stay.capacity_thousandths >= u64::from(seen.wanted) * 1000;
    let replaced = if is_covered { u32::MAX } else { beyond(seen.wanted) };
    let in_the_way = in_the_way(seen, start, all >= limit);
    let making_room = in_the_way.min(redundancy.saturating_sub(1));
    let retire = replaced.max(making_room).min(seen.leave.serving).min(rules.step);
    let surplus = seen.stay.all().saturating_sub(seen.wanted);
    let idle = seen.stay.starting.saturating_add(seen.stay.ailing);
    let surplus_serving = surplus.saturating_sub(idle).min(redundancy.saturating_sub(retire));
    let retire_ailing = ailing(seen, in_the_way);
    let hold = (retire < seen.leave.serving && retire < rules.step)
        .then(|| hold(seen, capacity, needed, all >= limit));
    Step {
        start,
        cancel: seen.leave.starting,
        retire_ailing,
        retire,
        surplus: surplus.min(idle).saturating_add(surplus_serving),
        hold,
    }
}

/// New instances: all that are missing, but while others must leave only a step at a time, so that
/// a version that doesn't work is found out by few.
fn starts(rules: &Rollout, seen: &Observation, room: u32) -> u32 {
    let missing = seen.wanted.saturating_sub(seen.stay.all()).min(room);
    if seen.leave.serving == 0 {
        return missing;
    }
    missing.min(rules.step.saturating_sub(seen.stay.starting))
}

/// How many replacements wait for nothing but the room of what must leave: on machines, or because
/// there may be no more instances.
fn in_the_way(seen: &Observation, start: u32, is_full: bool) -> u32 {
    let missing = seen.wanted.saturating_sub(seen.stay.all()).saturating_sub(start);
    let is_blocked = is_full && seen.stay.starting <= seen.unplaced;
    let missing = if is_blocked { missing } else { 0 };
    missing.max(seen.unplaced).saturating_sub(seen.stopping)
}

/// What can't serve may recover, so it is kept while fewer serve than wanted. It goes when it is in
/// the way of its replacement.
fn ailing(seen: &Observation, in_the_way: u32) -> u32 {
    let serving = seen.stay.serving.saturating_add(seen.leave.serving);
    let stand_ins = seen.wanted.saturating_sub(serving);
    seen.leave.ailing.saturating_sub(stand_ins).max(in_the_way.min(seen.leave.ailing))
}

fn hold(seen: &Observation, capacity: u64, needed: u32, is_full: bool) -> Hold {
    let starting = seen.stay.starting;
    let warming = seen.stay.capacity_thousandths < u64::from(seen.stay.serving) * 1000;
    if starting > seen.unplaced || warming {
        Hold::Replacements { starting }
    } else if is_full && seen.stopping > 0 {
        Hold::Room { stopping: seen.stopping }
    } else if seen.unplaced > 0 || is_full {
        Hold::Redundancy { capacity_thousandths: capacity, needed }
    } else {
        Hold::Replacements { starting }
    }
}

fn whole(thousandths: u64) -> u32 {
    u32::try_from(thousandths / 1000).unwrap_or(u32::MAX)
}

/// How far an upgrade has come; it can be stored and handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it last came further.
    pub since: Time,
    /// The most instances of the new version that served.
    pub most_serving: u32,
    /// The fewest instances of other versions.
    pub fewest_others: u32,
    /// Instances of the new version that failed.
    pub failures: u32,
}

impl Progress {
    /// An upgrade that begins.
    #[must_use]
    pub const fn begin(now: Time) -> Self {
        Progress { since: now, most_serving: 0, fewest_others: u32::MAX, failures: 0 }
    }
}

/// How an upgrade goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It isn't done.
    GoesOn,
    /// All that there is room for serves, and nothing else is left.
    Done,
    /// It has failed.
    Failed(Failure),
}

/// Why an upgrade has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It came no further for so long.
    NoProgress(Nanoseconds),
    /// So many instances of the new version failed.
    TooManyFailures(u32),
}

/// How an upgrade goes. The clock stands still while it is held by what the version isn't to blame
/// for: a freeze, or a load that needs all that serves. That no machine has room is no excuse: who
/// waits for that would wait for ever.
#[must_use]
pub fn judge(
    rules: &Rollout,
    seen: &Observation,
    step: &Step,
    progress: &mut Progress,
    now: Time,
) -> Verdict {
    let is_held = match step.hold {
        Some(Hold::Frozen) => true,
        Some(Hold::Redundancy { .. }) => seen.unplaced == 0,
        Some(Hold::Replacements { .. } | Hold::Room { .. }) | None => false,
    };
    let is_further =
        seen.stay.serving > progress.most_serving || seen.others < progress.fewest_others;
    if is_held || is_further {
        progress.since = now;
    }
    progress.most_serving = progress.most_serving.max(seen.stay.serving);
    progress.fewest_others = progress.fewest_others.min(seen.others);
    let is_warm = seen.stay.capacity_thousandths >= u64::from(seen.stay.serving) * 1000;
    let serves = seen.stay.serving.saturating_add(seen.unplaced) >= seen.wanted;
    let serves_any = seen.stay.serving > 0 || seen.wanted == 0;
    if seen.others == 0 && is_warm && serves && serves_any {
        return Verdict::Done;
    }
    if progress.failures > rules.failures_most {
        return Verdict::Failed(Failure::TooManyFailures(progress.failures));
    }
    let without = now.since(progress.since);
    if without >= rules.progress_deadline {
        return Verdict::Failed(Failure::NoProgress(without));
    }
    Verdict::GoesOn
}

/// The weight of an instance that has served for so long: w = max(floor, age/warm-up), in steps.
#[must_use]
pub fn weight_thousandths(rules: &Rollout, serving_for: Nanoseconds) -> u32 {
    if serving_for >= rules.warm_up {
        return FULL_THOUSANDTHS;
    }
    let part = u128::from(serving_for.0) * 1000 / u128::from(rules.warm_up.0.max(1));
    let part = u32::try_from(part).unwrap_or(FULL_THOUSANDTHS);
    let part = part / WEIGHT_STEP_THOUSANDTHS * WEIGHT_STEP_THOUSANDTHS;
    part.max(rules.warm_up_floor_thousandths).min(FULL_THOUSANDTHS)
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hold::Frozen => f.write_str("too many machines are silent"),
            Hold::Replacements { starting: 0 } => f.write_str("replacements still warm up"),
            Hold::Replacements { starting: 1 } => f.write_str("1 replacement doesn't serve yet"),
            Hold::Replacements { starting } => write!(f, "{starting} replacements don't serve yet"),
            Hold::Room { stopping: 1 } => f.write_str("1 instance has to end first"),
            Hold::Room { stopping } => write!(f, "{stopping} instances have to end first"),
            Hold::Redundancy { capacity_thousandths, needed } => write!(
                f,
                "the load needs {needed} instances and {}.{} serve",
                capacity_thousandths / 1000,
                capacity_thousandths % 1000 / 100
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NoProgress(length) => write!(f, "no progress for {length}"),
            Failure::TooManyFailures(count) => write!(f, "{count} of its instances failed"),
        }
    }
}

#[path = "rollout_in_place.rs"]
mod in_place;

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
