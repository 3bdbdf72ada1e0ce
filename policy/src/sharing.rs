//! Idle capacity of synchronous work is lent to asynchronous work, and called back in time.
//!
//! Synchronous work is short and must be quick; asynchronous work is long and may wait. Of the slots
//! (instances with one request at a time) that synchronous work has, those beyond its recent peak
//! and a reserve may be lent. A slot is called back as soon as the reserve is touched; who borrowed
//! it gives it back within the deadline, by ending or by being stopped and queued again. The reserve
//! must carry what comes within that deadline: that is what it is for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// The most slots that are lent, in thousandths of all.
    pub lend_thousandths: u32,
    /// Slots kept free beyond the recent peak of synchronous work, in thousandths of that peak; at
    /// least one.
    pub reserve_thousandths: u32,
    /// For how long a slot must have been spare before it is lent.
    pub idle_for: Nanoseconds,
    /// Time that a borrower has to give a slot back.
    pub give_back: Nanoseconds,
}

/// What is seen of the slots of synchronous work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// All slots, lent ones included.
    pub slots: u32,
    /// The most synchronous requests in work at a time since the last look.
    pub peak_busy: u32,
    /// Synchronous requests that wait.
    pub waiting: u32,
    /// Slots that are lent, those that were called back and not yet given included.
    pub lent: u32,
    /// Slots that were called back and not yet given.
    pub called: u32,
    /// Asynchronous tasks that would use a slot now.
    pub borrowers: u32,
}

/// What the rule remembers; it can be stored and handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Since when at least one slot was spare without a break.
    pub spare_since: Option<Time>,
    /// The fewest slots that were spare since then.
    pub spare_least: u32,
}

/// What to do with slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lend so many more.
    Lend(u32),
    /// Call so many back; they must be free at this time.
    CallBack(u32, Time),
    /// Leave it.
    Keep(Kept),
}

/// Why nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Nobody wants a slot.
    NoBorrower,
    /// Peak and reserve need all.
    NothingSpare,
    /// Slots are spare, but not for long enough; so long it still takes.
    NotForLong(Nanoseconds),
    /// As many are lent as may be.
    LentAll,
    /// Slots that are needed have been called back and are on their way.
    ComesBack,
}

/// What to do with the slots of synchronous work now.
#[must_use]
pub fn decide(rules: &Sharing, seen: Observation, state: &mut State, now: Time) -> Action {
    let needed = needed(rules, seen);
    let remaining = seen.slots.saturating_sub(seen.lent.saturating_sub(seen.called));
    if needed > remaining {
        *state = State::default();
        let lent = seen.lent.saturating_sub(seen.called);
        return match (needed - remaining).min(lent) {
            0 => Action::Keep(Kept::NothingSpare),
            count => Action::CallBack(count, now + rules.give_back),
        };
    }
    let spare = remaining - needed;
    observe(state, spare, now);
    if seen.called > 0 {
        return Action::Keep(Kept::ComesBack);
    }
    lend(rules, seen, state, now)
}

/// Slots that synchronous work needs: its peak, what waits, and the reserve.
fn needed(rules: &Sharing, seen: Observation) -> u32 {
    let load = seen.peak_busy.saturating_add(seen.waiting);
    let reserve = (u64::from(load) * u64::from(rules.reserve_thousandths)).div_ceil(1000).max(1);
    load.saturating_add(u32::try_from(reserve).unwrap_or(u32::MAX))
}

fn observe(state: &mut State, spare: u32, now: Time) {
    if spare == 0 {
        *state = State::default();
    } else if state.spare_since.is_some() {
        state.spare_least = state.spare_least.min(spare);
    } else {
        *state = State { spare_since: Some(now), spare_least: spare };
    }
}

fn lend(rules: &Sharing, seen: Observation, state: &mut State, now: Time) -> Action {
    let Some(since) = state.spare_since else { return Action::Keep(Kept::NothingSpare) };
    let most = u64::from(seen.slots) * u64::from(rules.lend_thousandths) / 1000;
    let may_lend = u32::try_from(most).unwrap_or(u32::MAX).saturating_sub(seen.lent);
    if seen.borrowers == 0 {
        return Action::Keep(Kept::NoBorrower);
    }
    if may_lend == 0 {
        return Action::Keep(Kept::LentAll);
    }
    match (since + rules.idle_for).since(now) {
        Nanoseconds::ZERO => {
            let count = state.spare_least.min(may_lend).min(seen.borrowers);
            *state = State::default();
            Action::Lend(count)
        }
        left => Action::Keep(Kept::NotForLong(left)),
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Lend(count) => write!(f, "lend {count}: they were spare for long enough"),
            Action::CallBack(count, _) => {
                write!(f, "call {count} back: synchronous work needs its reserve")
            }
            Action::Keep(Kept::NoBorrower) => f.write_str("kept: nobody wants a slot"),
            Action::Keep(Kept::NothingSpare) => f.write_str("kept: nothing is spare"),
            Action::Keep(Kept::NotForLong(left)) => {
                write!(f, "kept: spare, but not for {left} yet")
            }
            Action::Keep(Kept::LentAll) => f.write_str("kept: as many are lent as may be"),
            Action::Keep(Kept::ComesBack) => {
                f.write_str("kept: called slots are on their way back")
            }
        }
    }
}

#[cfg(test)]
#[path = "sharing_tests.rs"]
mod tests;
