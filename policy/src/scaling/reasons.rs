//! What is done about the number of instances, and why, in words for people and names for tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Came, Observation};
use crate::Nanoseconds;

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
    /// The metric of an autoscaler is above its target.
    MetricAboveTarget,
    /// A short window asks for many times what is ready.
    Panic,
    /// There is something to do, and there was no instance.
    Activated,
    /// The schedule wants more.
    Schedule,
    /// What arrives needs more.
    Arrivals,
    /// What waits isn't worked off in time by what is there and what starts.
    Backlog,
}

/// Why instances are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// There are more than the most.
    AboveMaximum,
    /// Fewer were enough for the whole period.
    FewerAreEnough,
    /// The metric of an autoscaler is below its target.
    MetricBelowTarget,
    /// There was nothing to do for long.
    Inactive,
    /// The schedule wants fewer.
    Schedule,
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
    /// The metric is near enough to its target.
    WithinTolerance,
    /// Something else was wanted in the window, which holds.
    Stabilises,
    /// It has changed in this period by as much as it may.
    ChangedEnough,
    /// In a panic nothing is taken away.
    Panics,
    /// There is nothing to do, and no instance.
    Inactive,
    /// With those that start there are enough.
    StartingAreEnough,
    /// Fewer would do, but requests wait or were refused.
    Backlog,
    /// Nobody counts what arrives, so the rule can't say anything.
    NothingCounted,
}

impl Added {
    /// All reasons.
    pub const ALL: [Added; 8] = [
        Added::BelowMinimum,
        Added::TasksAboveTarget,
        Added::MetricAboveTarget,
        Added::Panic,
        Added::Activated,
        Added::Schedule,
        Added::Arrivals,
        Added::Backlog,
    ];

    /// Its place in [`Added::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Added::BelowMinimum => 0,
            Added::TasksAboveTarget => 1,
            Added::MetricAboveTarget => 2,
            Added::Panic => 3,
            Added::Activated => 4,
            Added::Schedule => 5,
            Added::Arrivals => 6,
            Added::Backlog => 7,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Added::BelowMinimum => "below_minimum",
            Added::TasksAboveTarget => "tasks_above_target",
            Added::MetricAboveTarget => "metric_above_target",
            Added::Panic => "panic",
            Added::Activated => "activated",
            Added::Schedule => "schedule",
            Added::Arrivals => "arrivals",
            Added::Backlog => "backlog",
        }
    }
}

impl Removed {
    /// All reasons.
    pub const ALL: [Removed; 5] = [
        Removed::AboveMaximum,
        Removed::FewerAreEnough,
        Removed::MetricBelowTarget,
        Removed::Inactive,
        Removed::Schedule,
    ];

    /// Its place in [`Removed::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Removed::AboveMaximum => 0,
            Removed::FewerAreEnough => 1,
            Removed::MetricBelowTarget => 2,
            Removed::Inactive => 3,
            Removed::Schedule => 4,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Removed::AboveMaximum => "above_maximum",
            Removed::FewerAreEnough => "fewer_are_enough",
            Removed::MetricBelowTarget => "metric_below_target",
            Removed::Inactive => "inactive",
            Removed::Schedule => "schedule",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Add(count, why) => write!(f, "+{count}: {why}"),
            Action::Remove(count, why) => write!(f, "-{count}: {why}"),
            Action::Keep(why) => write!(f, "kept: {why}"),
        }
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Added::BelowMinimum => "below the minimum",
            Added::TasksAboveTarget => "more tasks than the target allows for",
            Added::MetricAboveTarget => "the metric is above its target",
            Added::Panic => "a panic: the short window asks for many times what is ready",
            Added::Activated => "there is something to do",
            Added::Schedule => "the schedule wants more",
            Added::Arrivals => "what arrives needs more",
            Added::Backlog => "what waits isn't worked off in time",
        })
    }
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Removed::AboveMaximum => "above the maximum",
            Removed::FewerAreEnough => "fewer have been enough for the whole period",
            Removed::MetricBelowTarget => "the metric is below its target",
            Removed::Inactive => "there was nothing to do for long",
            Removed::Schedule => "the schedule wants fewer",
        })
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kept::WithinTarget => "within the target",
            Kept::AtMaximum => "more are needed, at the maximum",
            Kept::AtMinimum => "fewer would do, at the minimum",
            Kept::CoolsDown(left) => return write!(f, "cools down for {left}"),
            Kept::NotForLong(left) => {
                return write!(f, "fewer would do, if it stays so for {left}");
            }
            Kept::WithinTolerance => "within the tolerance",
            Kept::Stabilises => "something else was wanted in the window",
            Kept::ChangedEnough => "it has changed enough in this period",
            Kept::Panics => "nothing is taken away in a panic",
            Kept::Inactive => "nothing to do, and no instance",
            Kept::StartingAreEnough => "those that start will be enough",
            Kept::Backlog => "fewer would do, but requests wait or were refused",
            Kept::NothingCounted => "nobody counts what arrives, which this rule goes by",
        })
    }
}

/// What was seen, for people: "31 tasks, 4 instances".
impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tasks, {} instances", self.tasks, self.instances)?;
        let Some(flow) = self.flow else { return Ok(()) };
        let (whole, tenths) = (flow.busy_thousandths / 1000, flow.busy_thousandths % 1000 / 100);
        write!(f, ", {} starting, {whole}.{tenths} busy", flow.starting)?;
        let Some(Came { arrivals, refusals, period }) = flow.came else { return Ok(()) };
        write!(f, ", {arrivals} arrived and {refusals} refused in {period}")
    }
}
