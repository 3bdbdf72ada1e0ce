//! What the rules remember that look back further than to the last change: short lists, oldest
//! first. Policies are refused whose windows have room for more than [`MOST_LOOKS`] entries.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// The most looks of a window: an hour of seconds.
pub const MOST_LOOKS: u64 = 3_600;
/// The most entries of a list, whatever the caller's clock does.
const MOST_KEPT: usize = 3_600;

/// What rules remember.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Tasks at the looks of a window.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub samples: VecDeque<Sample>,
    /// What came and was done between the looks of a window.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub flows: VecDeque<FlowSample>,
    /// How many instances were wanted at the looks of a window.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub wanted: VecDeque<(Time, u32)>,
    /// By how much the number was changed.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub changes: VecDeque<(Time, i64)>,
    /// Since when there is a panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic: Option<Panic>,
    /// When there was last something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Time>,
    /// How long the work on a request takes, as last known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Nanoseconds>,
    /// What the rule by arrivals has seen so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looks: Option<Looks>,
}

/// What was seen at a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Tasks that waited or were worked on.
    pub tasks: u64,
}

/// What was between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowSample {
    /// When it ended.
    pub at: Time,
    /// How long it was.
    pub period: Nanoseconds,
    /// Requests that came, those included that were refused.
    pub arrivals: u64,
    /// Requests whose work ended.
    pub done: u64,
    /// The time that instances have worked, in nanoseconds.
    pub work: u64,
}

/// Since when, and how many instances that has asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panic {
    /// When it was last bad enough to begin one.
    pub since: Time,
    /// The most that were wanted.
    pub most: u32,
}

/// The look before, and how long starts take: how many instances have become ready, and how long
/// they have been starting, all together; by Little's law their quotient is the mean. Both are halved
/// now and then, so old starts count less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looks {
    /// The first one.
    pub begun: Time,
    /// Instances, and those of them that were starting, at the look before.
    pub before: (u32, u32),
    /// Tasks at the look before.
    pub tasks: u64,
    /// Requests in work then, in thousandths.
    pub busy_thousandths: u64,
    /// The look before.
    pub at: Time,
    /// Nanoseconds of all instances.
    pub time: u64,
    /// Instances that became ready.
    pub ready: u64,
}

impl Memory {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Memory::default()
    }
}

/// Adds an entry and forgets those from before the window, of all but the last [`MOST_KEPT`].
pub(super) fn keep<T>(
    list: &mut VecDeque<T>,
    entry: T,
    window: Nanoseconds,
    now: Time,
    at: impl Fn(&T) -> Time,
) {
    let is_old = |entry: &T| now.since(at(entry)) > window;
    while list.front().is_some_and(is_old) || list.len() >= MOST_KEPT {
        list.pop_front();
    }
    list.push_back(entry);
}

/// The quotient rounded up, as a number of instances.
pub(super) fn instances(work: u128, each: u128) -> u32 {
    u32::try_from(work.div_ceil(each.max(1))).unwrap_or(u32::MAX)
}
