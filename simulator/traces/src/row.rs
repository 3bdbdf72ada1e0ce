//! What a trace is made of.

use std::collections::BTreeMap;

use crate::csv_rows::Column;
use crate::names::{Name, Names};

/// A class of customers, as PLATFORM.md has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Long queues, availability.
    Free,
    /// Short queues, low latency.
    Paid,
}

/// One request as a trace tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Nanoseconds since the beginning of the trace.
    pub arrival_ns: u64,
    /// Which command.
    pub command: Name,
    /// Whose; `None`: the trace doesn't say.
    pub tenant: Option<Name>,
    /// Class of the tenant; `None`: the trace doesn't say.
    pub class: Option<Class>,
    /// Time of computing, in nanoseconds on one core.
    pub service_ns: Option<u64>,
    /// Size of the source file.
    pub size_bytes: Option<u64>,
    /// In traces that were made from a scenario: the place of its entry of the workload.
    pub source: Option<u16>,
    /// Likewise: the gateway that it reached, where a replay wouldn't draw the same one.
    pub gateway: Option<u16>,
}

/// Rows that are no requests to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Marked as failed, cancelled or a part of a job that has its own row, or without a run time.
    pub failed: u64,
    /// Comments and empty lines.
    pub comments: u64,
}

/// What happens when a row is earlier than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// It is an error: the trace may be two that were put together.
    #[default]
    Refuse,
    /// All rows are sorted by time; those of the same time keep their order.
    Sort,
}

/// How a trace is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rows out of order. Formats that are written when a request ends are sorted anyhow.
    pub order: Order,
    /// For CSV: which columns mean what, instead of the names in the header.
    pub columns: Vec<Column>,
    /// For counts per minute: where in its minute each request comes, as a random word for a
    /// number. `None`: evenly spaced.
    pub scatter: Option<fn(u64) -> u64>,
    /// More counted calls are refused.
    pub most_calls: u64,
}

impl Default for Options {
    fn default() -> Self {
        const MOST_CALLS: u64 = 20_000_000;
        Options {
            order: Order::default(),
            columns: Vec::new(),
            scatter: None,
            most_calls: MOST_CALLS,
        }
    }
}

/// A whole trace in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The requests, ascending by arrival.
    pub requests: Vec<Request>,
    /// Names of commands.
    pub commands: Names,
    /// Names of tenants.
    pub tenants: Names,
    /// What was left out.
    pub left_out: LeftOut,
    /// Numbers of jobs so far, in formats that have them.
    pub(crate) jobs: Jobs,
}

/// Numbers of jobs, as ranges: logs count them up, with gaps where rows were cleaned away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Jobs {
    /// From the first number of a range to the last; ranges don't touch.
    ranges: BTreeMap<u64, u64>,
}

impl Jobs {
    /// Notes a number; false if it was there.
    pub fn note(&mut self, number: u64) -> bool {
        let below = self.ranges.range(..=number).next_back();
        let below = below.map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let first = match below {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        let above = number.checked_add(1).and_then(|above| self.ranges.remove(&above));
        self.ranges.insert(first, above.unwrap_or(number));
        true
    }
}

impl Trace {
    /// From the first arrival to the last.
    #[must_use]
    pub fn span_ns(&self) -> u64 {
        let first = self.requests.first().map_or(0, |request| request.arrival_ns);
        self.requests.last().map_or(0, |request| request.arrival_ns).saturating_sub(first)
    }

    /// Sorts by arrival, and lets time begin with the first one.
    pub(crate) fn settle(&mut self) {
        // Stable: rows of one second keep their order.
        self.requests.sort_by_key(|request| request.arrival_ns);
        let first = self.requests.first().map_or(0, |request| request.arrival_ns);
        for request in &mut self.requests {
            request.arrival_ns -= first;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Jobs;

    #[test]
    fn numbers_are_known_in_whatever_order_they_come() {
        let (mut jobs, mut known) = (Jobs::default(), BTreeSet::new());
        let mut number = 7_u64;
        for _ in 0..2_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let number = number >> 54;
            assert_eq!(jobs.note(number), known.insert(number), "{number}");
        }
        assert!(jobs.ranges.len() < known.len());
        assert!(jobs.note(u64::MAX) && !jobs.note(u64::MAX));
        let mut counted = Jobs::default();
        assert!((1..=1_000).all(|number| counted.note(number)));
        assert_eq!(counted.ranges.len(), 1);
    }
}
