//! What is done about instances and machines that fail: restarts wait longer and longer, machines
//! that are silent get time to come back, and when very much vanishes at once nothing is moved.
//!
//! Restarts wait by (version, machine) and by version: a bad machine doesn't slow a good version
//! down, and a bad version doesn't visit all machines. Failures within the present wait count once
//! (50 instances that fail together are one failure, not 2⁵⁰ of them).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// The wait after the first failure; it doubles with each further one.
    pub back_off: Nanoseconds,
    /// The longest wait.
    pub back_off_most: Nanoseconds,
    /// Failures this long after the last one begin anew.
    pub back_off_forget: Nanoseconds,
    /// Without a word about a launch for so long, the cluster is asked about it.
    pub launch_timeout: Nanoseconds,
    /// An instance that was healthy and hasn't been for so long is replaced.
    pub replace_unhealthy_after: Nanoseconds,
    /// Instances of a machine that has been silent for so long are replaced.
    pub replace_unreachable_after: Nanoseconds,
    /// A machine that has been silent for so long is taken as gone.
    pub forget_unreachable_after: Nanoseconds,
    /// The share of all machines, in thousandths, above which silent ones stop repair.
    pub freeze_above_thousandths: u32,
    /// The longest that repair stops: then what is silent is replaced.
    pub freeze_most: Nanoseconds,
}

/// Fewer silent machines than this never freeze: in a small cluster one of three is a third.
pub const FREEZE_AT_LEAST_MACHINES: u32 = 3;

/// What is remembered of the failures of one version, on one machine or on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackOff {
    /// Failures that counted.
    pub failures: u32,
    /// When the last one counted.
    pub last: Time,
}

impl BackOff {
    /// An instance failed. Failures within the present wait, and while an earlier launch ends, are
    /// the same failure.
    pub fn failed(&mut self, rules: &Repair, now: Time) {
        if self.failures == 0 || now.since(self.last) >= rules.back_off_forget {
            *self = BackOff { failures: 1, last: now };
        } else if self.left(rules, now) == Nanoseconds::ZERO {
            *self = BackOff { failures: self.failures.saturating_add(1), last: now };
        }
    }

    /// How long a launch has to wait still.
    #[must_use]
    pub fn left(&self, rules: &Repair, now: Time) -> Nanoseconds {
        (self.last + self.wait(rules)).since(now)
    }

    /// Whether it says nothing any more.
    #[must_use]
    pub fn is_over(&self, rules: &Repair, now: Time) -> bool {
        now.since(self.last) >= rules.back_off_forget && self.left(rules, now) == Nanoseconds::ZERO
    }

    /// `back_off` · 2^(failures − 1), at most `back_off_most`.
    fn wait(&self, rules: &Repair) -> Nanoseconds {
        let Some(doublings) = self.failures.checked_sub(1) else { return Nanoseconds::ZERO };
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        Nanoseconds(rules.back_off.0.saturating_mul(factor).min(rules.back_off_most.0))
    }
}

/// What is done about a silent machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silent {
    /// Its instances count as there; they are replaced after this long.
    Wait(Nanoseconds),
    /// Its instances are replaced; if it comes back, there are too many for a while.
    Replace,
    /// It is gone: its instances are, too, and are killed if they appear again.
    Forget,
}

/// What to do about a machine that has been silent since then.
#[must_use]
pub fn silent(rules: &Repair, since: Time, now: Time) -> Silent {
    let silent = now.since(since);
    if silent >= rules.forget_unreachable_after {
        Silent::Forget
    } else if silent >= rules.replace_unreachable_after {
        Silent::Replace
    } else {
        Silent::Wait(Nanoseconds(rules.replace_unreachable_after.0 - silent.0))
    }
}

/// How many machines there are, and how many of them are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Machines that aren't gone.
    pub machines: u32,
    /// Those of them that are silent.
    pub silent: u32,
}

/// What the rule remembers; it can be stored and handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Since when repair is stopped.
    pub frozen_since: Option<Time>,
    /// How many silent machines are known to be no reason to stop: an operator, or time, said so.
    pub accepted: u32,
}

/// Whether repair goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As usual.
    Go,
    /// So much is silent that the fault may be in what we see: nothing is replaced or taken away.
    Frozen {
        /// Silent machines.
        silent: u32,
        /// All machines.
        machines: u32,
        /// How long it lasts at most.
        left: Nanoseconds,
    },
}

/// Whether repair goes on now.
#[must_use]
pub fn decide(rules: &Repair, seen: Observation, state: &mut State, now: Time) -> Verdict {
    state.accepted = state.accepted.min(seen.silent);
    let news = seen.silent - state.accepted;
    let share = u64::from(seen.machines) * u64::from(rules.freeze_above_thousandths);
    let is_much = news >= FREEZE_AT_LEAST_MACHINES && u64::from(news) * 1000 > share;
    if !is_much {
        state.frozen_since = None;
        return Verdict::Go;
    }
    let since = *state.frozen_since.get_or_insert(now);
    match (since + rules.freeze_most).since(now) {
        Nanoseconds::ZERO => {
            *state = State { frozen_since: None, accepted: seen.silent };
            Verdict::Go
        }
        left => Verdict::Frozen { silent: seen.silent, machines: seen.machines, left },
    }
}

/// An operator says that what is silent now is no reason to stop.
pub fn thaw(seen: Observation, state: &mut State) {
    *state = State { frozen_since: None, accepted: seen.silent };
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Go => f.write_str("repair goes on"),
            Verdict::Frozen { silent, machines, left } => write!(
                f,
                "repair is stopped for at most {left}: {silent} of {machines} machines are silent"
            ),
        }
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
