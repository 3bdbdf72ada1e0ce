//! What a trace is made of.

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
}

/// Rows that are no requests to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Marked as failed or cancelled, or without a run time.
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
