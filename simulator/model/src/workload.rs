//! The stream of requests: the same for every policy and both engines, because each random word is
//! keyed by the source, the number of the request in it, and what the word is for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::random::{below, halves};
use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_kernel::Law;

use crate::model::{Arrivals, Model, Source, Tenants};

/// A request that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the order of arrival.
    pub number: u64,
    /// Its key for random words: source and number in it. It stays the same whatever else arrives.
    pub key: u64,
    /// When it arrives.
    pub at: Time,
    /// How long the work on it takes; at least a nanosecond.
    pub service: Nanoseconds,
    /// Whose it is, counted over all groups.
    pub user: u32,
    /// Where it comes from, as a place in [`Model::sources`].
    pub source: u16,
    /// The gateway that it reaches.
    pub gateway: u16,
}

/// The most sources: their numbers share 64 bits with those of requests.
pub const MAX_SOURCES: usize = 1 << 14;
/// Bits of the number of a request within its source.
const NUMBER_BITS: u32 = 48;
/// Requests that a source prepares at a time: their columns fit the first cache.
const BLOCK: usize = 256;

/// All requests of a model in the order of arrival.
#[derive(Debug)]
pub struct Workload<'model> {
    streams: Vec<Stream<'model>>,
    /// The next arrival of each stream but the present one.
    others: BinaryHeap<Reverse<(u64, usize)>>,
    present: Option<usize>,
    number: u64,
}

impl<'model> Workload<'model> {
    /// The requests of a model. Sources above [`MAX_SOURCES`] are left out.
    #[must_use]
    pub fn new(model: &'model Model) -> Self {
        let sources = model.sources.iter().take(MAX_SOURCES).enumerate();
        let mut streams: Vec<Stream<'model>> =
            sources.filter_map(|(number, source)| Stream::new(model, number, source)).collect();
        let mut others: BinaryHeap<_> = streams
            .iter_mut()
            .enumerate()
            .filter_map(|(place, stream)| Some(Reverse((stream.next_time()?, place))))
            .collect();
        let present = others.pop().map(|Reverse((_, place))| place);
        Workload { streams, others, present, number: 0 }
    }
}

impl Iterator for Workload<'_> {
    type Item = Arrival;

    #[inline]
    fn next(&mut self) -> Option<Arrival> {
        let place = self.present?;
        let stream = self.streams.get_mut(place)?;
        let mut arrival = stream.take();
        arrival.number = self.number;
        self.number += 1;
        let next = stream.next_time();
        if self.others.is_empty() {
            self.present = next.map(|_| place);
        } else {
            self.change(place, next);
        }
        Some(arrival)
    }
}

impl Workload<'_> {
    /// On to the stream whose arrival is next.
    fn change(&mut self, place: usize, next: Option<u64>) {
        let Some(next) = next else {
            self.present = self.others.pop().map(|Reverse((_, place))| place);
            return;
        };
        let candidate = Reverse((next, place));
        // A heap of `Reverse` has the earliest on top.
        if let Some(mut first) = self.others.peek_mut()
            && candidate < *first
        {
            self.present = Some(first.0.1);
            *first = candidate;
        }
    }
}

/// The requests of one source.
#[derive(Debug)]
struct Stream<'model> {
    arrivals: Arrivals,
    service: &'model Law,
    users: Users,
    gateways: u32,
    source: u16,
    end: u64,
    words: StreamWords,
    /// Number of the first request of the block, and how many there are.
    first: u64,
    filled: usize,
    taken: usize,
    /// When the last request of the block before arrives.
    last: u64,
    at: [u64; BLOCK],
    work: [u64; BLOCK],
}

#[derive(Debug, Clone, Copy)]
struct StreamWords {
    arrival: Words,
    service: Words,
    tenant: Words,
    gateway: Words,
}

#[expect(clippy::indexing_slicing, reason = "places within a block are below BLOCK")]
impl<'model> Stream<'model> {
    fn new(model: &'model Model, number: usize, source: &Source) -> Option<Self> {
        let cmd = model.cmds.get(source.cmd)?;
        let group = model.tenants.get(source.tenants)?;
        let before = model.tenants.iter().take(source.tenants).map(|group| group.users).sum();
        let source_number = u16::try_from(number).ok()?;
        let words = |purpose| Words::new(model.seed, purpose, u64::from(source_number));
        Some(Stream {
            arrivals: source.arrivals,
            service: &cmd.service,
            users: Users::new(group, before),
            gateways: u32::from(model.gateways.max(1)),
            source: source_number,
            end: model.duration.0,
            words: StreamWords {
                arrival: words(Purpose::Arrival),
                service: words(Purpose::Service),
                tenant: words(Purpose::Tenant),
                gateway: words(Purpose::Gateway),
            },
            first: 0,
            filled: 0,
            taken: 0,
            last: 0,
            at: [0; BLOCK],
            work: [0; BLOCK],
        })
    }

    /// When the next request arrives.
    #[inline]
    fn next_time(&mut self) -> Option<u64> {
        if self.taken == self.filled {
            self.refill();
        }
        let next = *self.at.get(self.taken)?;
        (self.taken < self.filled && next < self.end).then_some(next)
    }

    /// The request that [`Stream::next_time`] spoke of.
    #[inline]
    fn take(&mut self) -> Arrival {
        let place = self.taken.min(BLOCK - 1);
        self.taken += 1;
        let number = self.first + place as u64;
        let (user_low, user_high) = halves(self.words.tenant.at(number));
        let gateway = if self.gateways == 1 {
            0
        } else {
            below(halves(self.words.gateway.at(number)).0, self.gateways)
        };
        Arrival {
            number: 0,
            key: (u64::from(self.source) << NUMBER_BITS) | number,
            at: Time(self.at[place]),
            service: Nanoseconds(self.work[place].max(1)),
            user: self.users.choose(user_low, user_high),
            source: self.source,
            gateway: u16::try_from(gateway).unwrap_or(0),
        }
    }

    #[cold]
    fn refill(&mut self) {
        self.first += self.filled as u64;
        (self.taken, self.filled) = (0, BLOCK);
        let mut words = [0; BLOCK];
        fill_words(self.words.service, self.first, &mut words);
        self.service.fill(&words, &mut self.work);
        match self.arrivals {
            Arrivals::Poisson { gap } => {
                fill_words(self.words.arrival, self.first, &mut words);
                Law::Exponential { mean: gap }.fill(&words, &mut self.at);
                let mut last = self.last;
                for at in &mut self.at {
                    last = last.saturating_add(*at);
                    *at = last;
                }
                self.last = last;
            }
            Arrivals::Constant { gap } => {
                for (place, at) in self.at.iter_mut().enumerate() {
                    *at = multiple(gap, self.first + place as u64 + 1);
                }
            }
            Arrivals::Burst { at: begin, requests, over } => {
                let left = requests.saturating_sub(self.first);
                self.filled = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
                for (place, at) in self.at.iter_mut().enumerate() {
                    let number = u128::from(self.first + place as u64);
                    let after = number * u128::from(over.0) / u128::from(requests.max(1));
                    let after = u64::try_from(after).unwrap_or(u64::MAX);
                    *at = begin.0.saturating_add(after);
                }
            }
        }
    }
}

/// The words of neighbouring positions; a loop that becomes vector code.
#[inline]
fn fill_words(words: Words, first: u64, block: &mut [u64; BLOCK]) {
    for (place, word) in block.iter_mut().enumerate() {
        *word = words.at(first + place as u64);
    }
}

/// `number` times a gap, in whole nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a run are below 2^53 ns, 104 days; beyond, they are after its end"
)]
fn multiple(gap: f64, number: u64) -> u64 {
    (gap * number as f64).round() as u64
}

/// How the users of a group share its requests.
#[derive(Debug)]
struct Users {
    first: u32,
    count: u32,
    /// Walker's alias method (Vose 1991): for each user the part of its column, in 2⁻³², that is
    /// its own, and whose the rest is. Empty if all are equal.
    columns: Vec<(u32, u32)>,
}

impl Users {
    fn new(group: &Tenants, first: u32) -> Self {
        let even = group.skew == 0.0 || group.users <= 1;
        let columns = if even { Vec::new() } else { alias(group.users, group.skew) };
        Users { first, count: group.users.max(1), columns }
    }

    #[inline]
    fn choose(&self, low: u32, high: u32) -> u32 {
        let column = below(low, self.count);
        let chosen = match self.columns.get(column as usize) {
            Some((own, other)) if high >= *own => *other,
            _ => column,
        };
        self.first + chosen
    }
}

/// The table of the alias method for weights 1/kˢ.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "parts of 2^32 are bounded, places come from the same table"
)]
fn alias(count: u32, skew: f64) -> Vec<(u32, u32)> {
    let mut parts: Vec<f64> = (1..=count).map(|rank| zipf(rank, skew)).collect();
    let total: f64 = parts.iter().sum();
    parts.iter_mut().for_each(|part| *part *= f64::from(count) / total);
    let mut columns: Vec<(u32, u32)> = (0..count).map(|user| (u32::MAX, user)).collect();
    let (mut small, mut large): (Vec<u32>, Vec<u32>) =
        (0..count).partition(|user| parts[*user as usize] < 1.0);
    while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
        let part = parts[poor as usize];
        columns[poor as usize] = ((part * 4_294_967_296.0) as u32, rich);
        parts[rich as usize] -= 1.0 - part;
        if parts[rich as usize] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    columns
}

fn zipf(rank: u32, skew: f64) -> f64 {
    simulator_kernel::logarithm::power(f64::from(rank), -skew)
}

#[cfg(test)]
#[path = "workload_tests.rs"]
mod tests;
