//! The fewest instances by the time of day.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::{Nanoseconds, Time};

/// From when on there are so many at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Entry {
    /// Time since midnight (UTC; in a simulation since its beginning).
    pub at: Nanoseconds,
    /// The fewest instances.
    pub min: u32,
}

/// Entries in the order of time. Before the first of a day the last one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    entries: [Entry; Schedule::MOST],
    count: u8,
}

/// How long a day is.
const DAY: Nanoseconds = Nanoseconds::from_seconds(86_400);

impl Schedule {
    /// The most entries: the hours of a day.
    pub const MOST: usize = 24;

    /// Without entries.
    pub const NONE: Schedule =
        Schedule { entries: [Entry { at: Nanoseconds::ZERO, min: 0 }; Self::MOST], count: 0 };

    /// Of entries whose times ascend and are within a day; none if they don't, or are too many.
    #[must_use]
    pub fn new(given: &[Entry]) -> Option<Self> {
        let mut entries = Self::NONE.entries;
        entries.get_mut(..given.len())?.copy_from_slice(given);
        let ascend = given.windows(2).all(|pair| match pair {
            [first, second] => first.at < second.at,
            _ => true,
        });
        let is_day = given.iter().all(|entry| entry.at < DAY);
        let count = u8::try_from(given.len()).ok()?;
        (ascend && is_day).then_some(Schedule { entries, count })
    }

    /// Its entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.entries.get(..usize::from(self.count)).unwrap_or_default()
    }

    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The fewest instances now, if it says something.
    #[must_use]
    pub fn at(&self, now: Time) -> Option<u32> {
        let of_day = Nanoseconds(now.0 % DAY.0);
        let begun = self.entries().iter().rev().find(|entry| entry.at <= of_day);
        begun.or(self.entries().last()).map(|entry| entry.min)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.entries().len()))?;
        for entry in self.entries() {
            list.serialize_element(entry)?;
        }
        list.end()
    }
}
