//! Idle capacity of synchronous work is lent to asynchronous work, and called back in time.
//!
//! Synchronous work is short and must be quick; asynchronous work is long and may wait. Of the slots
//! (instances with one request at a time) that synchronous work has, those beyond its recent peak
//! and a reserve may be lent. A slot is called back as soon as the reserve is touched; who borrowed
//! it gives it back within the deadline, by ending or by being stopped. The reserve must carry what
//! comes within that deadline, and until the instances of the lender have started again: that is
//! what it is for. A slot that its borrower has no use for is called back, too.
//!
//! Nothing flaps: what is lent was spare for a while without a break, and what is called back as
//! unused was unused for as long.

use std::cmp::Reverse;
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
    /// For how long a slot must have been spare before it is lent, or unused before it is called
    /// back for that.
    pub idle_for: Nanoseconds,
    /// Time that a borrower has to give a slot back.
    pub give_back: Nanoseconds,
    /// What becomes of work that isn't done by then.
    pub unfinished: Unfinished,
    /// How often the rule is asked.
    pub interval: Nanoseconds,
}

/// What becomes of work that isn't done when its slot must be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfinished {
    /// It goes back to a queue, before what waits there, and begins anew: what was done is lost.
    Requeue,
    /// It fails.
    Fail,
}

/// What is seen of the slots of synchronous work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// All slots, lent ones included.
    pub slots: u32,
    /// The most synchronous requests at a time since the last look: at work, waiting, or on their
    /// way.
    pub peak: u32,
    /// Slots that are lent, those that were called back and not yet given included.
    pub lent: u32,
    /// Slots that were called back and not yet given.
    pub called: u32,
    /// Slots that are lent, not called back, and have nothing to do.
    pub unused: u32,
    /// Asynchronous tasks that would use a slot now.
    pub borrowers: u32,
}

/// What the rule remembers; it can be stored and handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Slots that are spare.
    pub spare: Option<Streak>,
    /// Lent slots that have nothing to do.
    pub unused: Option<Streak>,
}

/// Something that has been so without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streak {
    /// Since when for at least one slot.
    pub since: Time,
    /// The fewest slots since then.
    pub least: u32,
}

/// What to do with slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lend so many more.
    Lend(u32),
    /// Call some back.
    CallBack {
        /// How many.
        count: u32,
        /// They must be given by then.
        due: Time,
        /// Why.
        why: Called,
    },
    /// Leave it.
    Keep(Kept),
}

/// Why slots are called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Called {
    /// Synchronous work needs them, or its reserve.
    Needed,
    /// They had nothing to do for long enough.
    Unused,
}

impl Called {
    /// All of them, in the order of tables.
    pub const ALL: [Called; 2] = [Called::Needed, Called::Unused];

    /// Its place in [`Called::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Called::Needed => 0,
            Called::Unused => 1,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Called::Needed => "needed",
            Called::Unused => "unused",
        }
    }
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
    let away = seen.lent.saturating_sub(seen.called);
    let remaining = seen.slots.saturating_sub(away);
    let call = |count, why| Action::CallBack { count, due: now + rules.give_back, why };
    if needed > remaining {
        *state = State::default();
        return match (needed - remaining).min(away) {
            0 => Action::Keep(Kept::NothingSpare),
            count => call(count, Called::Needed),
        };
    }
    observe(&mut state.spare, remaining - needed, now);
    let unused = if seen.borrowers == 0 { seen.unused } else { 0 };
    observe(&mut state.unused, unused, now);
    if let Some(unused) = state.unused
        && left(rules, unused, now) == Nanoseconds::ZERO
    {
        state.unused = None;
        return call(unused.least.min(away), Called::Unused);
    }
    if seen.called > 0 {
        return Action::Keep(Kept::ComesBack);
    }
    lend(rules, seen, state, now)
}

/// Slots that synchronous work needs: its peak and the reserve.
fn needed(rules: &Sharing, seen: Observation) -> u32 {
    let reserve = (u64::from(seen.peak) * u64::from(rules.reserve_thousandths)).div_ceil(1000);
    seen.peak.saturating_add(u32::try_from(reserve.max(1)).unwrap_or(u32::MAX))
}

fn observe(streak: &mut Option<Streak>, slots: u32, now: Time) {
    *streak = match *streak {
        _ if slots == 0 => None,
        Some(Streak { since, least }) => Some(Streak { since, least: least.min(slots) }),
        None => Some(Streak { since: now, least: slots }),
    };
}

/// How long something must still be so.
fn left(rules: &Sharing, streak: Streak, now: Time) -> Nanoseconds {
    (streak.since + rules.idle_for).since(now)
}

fn lend(rules: &Sharing, seen: Observation, state: &mut State, now: Time) -> Action {
    let Some(spare) = state.spare else { return Action::Keep(Kept::NothingSpare) };
    let most = u64::from(seen.slots) * u64::from(rules.lend_thousandths) / 1000;
    let may_lend = u32::try_from(most).unwrap_or(u32::MAX).saturating_sub(seen.lent);
    if seen.borrowers == 0 {
        return Action::Keep(Kept::NoBorrower);
    }
    if may_lend == 0 {
        return Action::Keep(Kept::LentAll);
    }
    match left(rules, spare, now) {
        Nanoseconds::ZERO => {
            *state = State::default();
            Action::Lend(spare.least.min(may_lend).min(seen.borrowers))
        }
        left => Action::Keep(Kept::NotForLong(left)),
    }
}

/// A slot that is lent, as the choice of those that are called back sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loan {
    /// Since when its borrower works on what it works on; none if nothing would be lost.
    pub works_since: Option<Time>,
    /// Instances of the lender on its machine, and those that were called back to it.
    pub lenders: u32,
}

/// Which slot is called back: one whose return costs nothing; else one on a machine where the
/// lender has the fewest instances, of these the one whose work has begun last, for the least of it
/// is lost; of equals the first.
pub fn choose<K>(loans: impl IntoIterator<Item = (K, Loan)>) -> Option<K> {
    let key = |loan: &Loan| (loan.works_since.is_some(), loan.lenders, Reverse(loan.works_since));
    loans.into_iter().min_by_key(|(_, loan)| key(loan)).map(|(name, _)| name)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Lend(count) => write!(f, "lend {count}: they were spare for long enough"),
            Action::CallBack { count, why: Called::Needed, .. } => {
                write!(f, "call {count} back: synchronous work needs its reserve")
            }
            Action::CallBack { count, why: Called::Unused, .. } => {
                write!(f, "call {count} back: they had nothing to do for long enough")
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
