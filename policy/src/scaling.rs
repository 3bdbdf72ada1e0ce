//! How many instances an app has. Per tick: configuration, observation, state, now → actions.
//!
//! The rule is the platform's original one: when the tasks to be processed are more than the target
//! per instance, an instance is added. The account of it is silent about going back; that half is
//! ours: an instance is taken when one fewer would have been enough for the whole of a period.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// Tasks to be processed per instance above which instances are added.
    pub target: u32,
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// Instances added or taken at a time.
    pub step: u32,
    /// Time between decisions.
    pub interval: Nanoseconds,
    /// Time after a change during which nothing else changes.
    pub cool_down: Nanoseconds,
    /// For how long one step fewer must have been enough before it is taken; never if absent.
    pub scale_in_after: Option<Nanoseconds>,
}

/// What is seen of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Tasks that wait or are worked on.
    pub tasks: u64,
    /// Instances that exist and are not on their way out, those that start included.
    pub instances: u32,
}

/// What the rule remembers; it can be stored and handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// When the number last changed by this rule.
    pub changed: Option<Time>,
    /// Since when one step fewer would be enough.
    pub ample_since: Option<Time>,
}

/// What to do about the number of instances, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Start so many more.
    Add(u32, Added),
    /// Take so many away, with cool-down.
    Remove(u32, Removed),
    /// Leave it.
    Keep(Kept),
}

/// Why instances are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// There are fewer than the least.
    BelowMinimum,
    /// More tasks than the target allows for.
    TasksAboveTarget,
}

/// Why instances are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// There are more than the most.
    AboveMaximum,
    /// Fewer were enough for the whole period.
    FewerAreEnough,
}

/// Why nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The tasks are within the target.
    WithinTarget,
    /// More are needed, but there are as many as there may be.
    AtMaximum,
    /// Fewer would do, but there are as few as there may be.
    AtMinimum,
    /// It changed a short time ago; so long it still waits.
    CoolsDown(Nanoseconds),
    /// Fewer would do, but not yet for the whole period; so long it still waits.
    NotForLong(Nanoseconds),
}

/// What to do about the number of instances of an app now. The bounds hold at once; everything else
/// waits for the cool-down.
#[must_use]
pub fn decide(rules: &Scaling, seen: Observation, state: &mut State, now: Time) -> Action {
    let ample = is_ample(rules, seen);
    state.ample_since = if ample { state.ample_since.or(Some(now)) } else { None };
    let action = if seen.instances < rules.min {
        Action::Add(rules.min - seen.instances, Added::BelowMinimum)
    } else if seen.instances > rules.max {
        Action::Remove(seen.instances - rules.max, Removed::AboveMaximum)
    } else if let Some(left) = cooling(rules, state, now) {
        Action::Keep(Kept::CoolsDown(left))
    } else if is_above(rules, seen) {
        grow(rules, seen)
    } else if ample {
        shrink(rules, seen, state, now)
    } else {
        Action::Keep(Kept::WithinTarget)
    };
    if !matches!(action, Action::Keep(_)) {
        *state = State { changed: Some(now), ample_since: None };
    }
    action
}

fn is_above(rules: &Scaling, seen: Observation) -> bool {
    u128::from(seen.tasks) > u128::from(rules.target) * u128::from(seen.instances)
}

/// Whether one step fewer would be within the target.
fn is_ample(rules: &Scaling, seen: Observation) -> bool {
    let fewer = seen.instances.saturating_sub(rules.step.max(1));
    !is_above(rules, Observation { instances: fewer, ..seen })
}

fn cooling(rules: &Scaling, state: &State, now: Time) -> Option<Nanoseconds> {
    let left = (state.changed? + rules.cool_down).since(now);
    (left > Nanoseconds::ZERO).then_some(left)
}

fn grow(rules: &Scaling, seen: Observation) -> Action {
    match rules.step.min(rules.max - seen.instances) {
        0 => Action::Keep(Kept::AtMaximum),
        step => Action::Add(step, Added::TasksAboveTarget),
    }
}

fn shrink(rules: &Scaling, seen: Observation, state: &State, now: Time) -> Action {
    let Some(period) = rules.scale_in_after else {
        return Action::Keep(Kept::WithinTarget);
    };
    let step = rules.step.min(seen.instances - rules.min);
    if step == 0 {
        return Action::Keep(Kept::AtMinimum);
    }
    let since = state.ample_since.unwrap_or(now);
    match (since + period).since(now) {
        Nanoseconds(0) => Action::Remove(step, Removed::FewerAreEnough),
        left => Action::Keep(Kept::NotForLong(left)),
    }
}

impl Added {
    /// All reasons.
    pub const ALL: [Added; 2] = [Added::BelowMinimum, Added::TasksAboveTarget];

    /// Its place in [`Added::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Added::BelowMinimum => 0,
            Added::TasksAboveTarget => 1,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Added::BelowMinimum => "below_minimum",
            Added::TasksAboveTarget => "tasks_above_target",
        }
    }
}

impl Removed {
    /// All reasons.
    pub const ALL: [Removed; 2] = [Removed::AboveMaximum, Removed::FewerAreEnough];

    /// Its place in [`Removed::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Removed::AboveMaximum => 0,
            Removed::FewerAreEnough => 1,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Removed::AboveMaximum => "above_maximum",
            Removed::FewerAreEnough => "fewer_are_enough",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Add(count, Added::BelowMinimum) => write!(f, "+{count}: below the minimum"),
            Action::Add(count, Added::TasksAboveTarget) => {
                write!(f, "+{count}: more tasks than the target allows for")
            }
            Action::Remove(count, Removed::AboveMaximum) => {
                write!(f, "-{count}: above the maximum")
            }
            Action::Remove(count, Removed::FewerAreEnough) => {
                write!(f, "-{count}: fewer have been enough for the whole period")
            }
            Action::Keep(Kept::WithinTarget) => f.write_str("kept: within the target"),
            Action::Keep(Kept::AtMaximum) => f.write_str("kept: more are needed, at the maximum"),
            Action::Keep(Kept::AtMinimum) => f.write_str("kept: fewer would do, at the minimum"),
            Action::Keep(Kept::CoolsDown(left)) => write!(f, "kept: cools down for {left}"),
            Action::Keep(Kept::NotForLong(left)) => {
                write!(f, "kept: fewer would do, if it stays so for {left}")
            }
        }
    }
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;
