//! Rows of a trace as requests of the model, one after another.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::PoisonError;

use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_model::{Fed, Feed};
use simulator_traces::{Fault, Request, Stream, TraceError};

use super::given::{Factor, Window};
use super::mapping::Mapping;
use super::played::Failed;

/// See the module.
pub struct TraceFeed<'a> {
    /// None if it couldn't be opened.
    pub stream: Option<Stream<File>>,
    pub mapping: &'a Mapping,
    pub window: Window,
    pub speed: Factor,
    pub copies: Copies,
    /// Words for requests that don't say whose they are.
    pub tenants: Words,
    /// Whether service times of the trace are used.
    pub own_times: bool,
    /// What went wrong; the feed has ended then.
    pub failed: &'a Failed,
}

/// More or fewer requests than the trace has.
#[derive(Debug)]
pub struct Copies {
    rate: Factor,
    words: Words,
    row: u64,
    /// The row that comes next.
    ahead: Option<Request>,
    waiting: VecDeque<Fed>,
}

/// Rows have words of their own.
const ROWS: u64 = 1 << 33;

impl Copies {
    pub fn new(rate: Factor, seed: u64) -> Self {
        let words = Words::new(seed, Purpose::Arrival, ROWS);
        Copies { rate, words, row: 0, ahead: None, waiting: VecDeque::new() }
    }

    /// How many requests a row becomes: the rate on average.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "factors are positive and bounded"
    )]
    fn count(&self) -> u64 {
        let whole = self.rate.0.floor();
        let share = simulator_kernel::logarithm::open_unit(self.words.of(self.row).word(0));
        whole as u64 + u64::from(share < self.rate.0 - whole)
    }
}

impl std::fmt::Debug for TraceFeed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceFeed").field("copies", &self.copies).finish_non_exhaustive()
    }
}

impl Feed for TraceFeed<'_> {
    fn next_request(&mut self) -> Option<Fed> {
        if self.copies.rate.is_one() {
            let request = self.next_row()?;
            let fed = self.fed(&request, request.arrival_ns, 0);
            self.copies.row += 1;
            return fed;
        }
        while self.copies.waiting.is_empty() {
            self.copy_row()?;
        }
        self.copies.waiting.pop_front()
    }
}

/// Writes down what went wrong, unless something has before.
pub fn fail(failed: &Failed, error: TraceError) {
    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

impl TraceFeed<'_> {
    /// The next row within the window.
    fn next_row(&mut self) -> Option<Request> {
        loop {
            let request = match self.stream.as_mut()?.next_request() {
                Ok(request) => request?,
                Err(error) => return self.fail(error),
            };
            if !self.mapping.is_of_its_source(&request) {
                let what = "request of this scenario's workload";
                let expected = "the command of its entry";
                return self.fail(TraceError::from(Fault::BadField { what, expected }));
            }
            if self.window.contains(request.arrival_ns) {
                return Some(request);
            }
            // Rows are in the order of time.
            if request.arrival_ns >= self.window.from.0 {
                return None;
            }
        }
    }

    fn fail(&self, error: TraceError) -> Option<Request> {
        fail(self.failed, error);
        None
    }

    fn fed(&self, request: &Request, at_ns: u64, copy: u64) -> Option<Fed> {
        let Some(place) = self.mapping.place(request, self.copies.row, copy, &self.tenants) else {
            self.fail(TraceError::from(Fault::Changed));
            return None;
        };
        Some(Fed {
            at: Time(self.speed.shrink(at_ns.saturating_sub(self.window.from.0))),
            source: place.source,
            user: place.user,
            service: request.service_ns.filter(|_| self.own_times).map(Nanoseconds),
            gateway: request.gateway.filter(|_| copy == 0),
        })
    }

    /// A row and its copies: the first at its own time, others until the next row.
    fn copy_row(&mut self) -> Option<()> {
        let request = match self.copies.ahead.take() {
            Some(request) => request,
            None => self.next_row()?,
        };
        self.copies.ahead = self.next_row();
        let next = self.copies.ahead.map_or(request.arrival_ns, |ahead| ahead.arrival_ns);
        let gap = u128::from(next - request.arrival_ns);
        let words = Words::new(self.copies.words.at(self.copies.row), Purpose::Arrival, ROWS);
        let later =
            |copy: u64| u64::try_from((u128::from(words.at(copy)) * gap) >> 64).unwrap_or(0);
        let mut times: Vec<u64> = (1..self.copies.count()).map(later).collect();
        times.sort_unstable();
        if self.copies.count() > 0 {
            let first = self.fed(&request, request.arrival_ns, 0);
            self.copies.waiting.extend(first);
        }
        for (after, copy) in times.into_iter().zip(1..) {
            let fed = self.fed(&request, request.arrival_ns + after, copy);
            self.copies.waiting.extend(fed);
        }
        self.copies.row += 1;
        Some(())
    }
}
