//! The stream of requests: the same for every policy and both engines, because each random word is
//! keyed by the source, the number of the request in it, and what the word is for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use policy::random::{below, halves};
use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_kernel::Law;
use simulator_kernel::wide::Task;

use crate::fed::{FedRuns, Feed};
use crate::model::{Arrivals, Model, Source, Tenants};
use crate::pace::Pace;

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
pub(crate) const BLOCK: usize = 256;

/// The key of a request for random words.
#[inline(always)]
pub(crate) const fn key(source: u16, number: u64) -> u64 {
    ((source as u64) << NUMBER_BITS) | number
}

/// All requests of a run in the order of arrival.
#[derive(Debug)]
pub struct Workload<'model> {
    requests: Requests<'model>,
}

#[derive(Debug)]
enum Requests<'model> {
    /// As the sources of the model declare them.
    Drawn(Drawn<'model>),
    /// From outside.
    Fed(Box<FedRuns<'model>>),
}

/// Requests of the sources of a model.
#[derive(Debug)]
struct Drawn<'model> {
    streams: Vec<Stream<'model>>,
    /// The next arrival of each stream but the present one.
    others: BinaryHeap<Reverse<(u64, usize)>>,
    present: Option<usize>,
    number: u64,
}

/// Consecutive requests of one source, as columns of the same length.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where they come from, as a place in [`Model::sources`].
    pub source: u16,
    /// Number of the first.
    pub number: u64,
    /// Key of the first; the others follow.
    pub key: u64,
    /// When they arrive, in nanoseconds.
    pub at: &'a [u64],
    /// How long the work on them takes.
    pub service: &'a [u64],
    /// Whose they are.
    pub users: &'a [u32],
    /// The gateways that they reach.
    pub gateways: &'a [u16],
}

impl Run<'_> {
    /// The run without its first requests.
    #[must_use]
    pub fn after(self, count: usize) -> Self {
        Run {
            number: self.number + count as u64,
            key: self.key + count as u64,
            at: self.at.get(count..).unwrap_or_default(),
            service: self.service.get(count..).unwrap_or_default(),
            users: self.users.get(count..).unwrap_or_default(),
            gateways: self.gateways.get(count..).unwrap_or_default(),
            ..self
        }
    }

    /// The requests one by one.
    #[inline]
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        let Run { source, number, key, .. } = *self;
        let times = self.at.iter().zip(self.service);
        let places = self.users.iter().zip(self.gateways);
        let columns = times.zip(places).zip(0u64..);
        columns.map(move |(((at, service), (user, gateway)), place)| Arrival {
            number: number + place,
            key: key + place,
            at: Time(*at),
            service: Nanoseconds(*service),
            user: *user,
            source,
            gateway: *gateway,
        })
    }
}

impl<'model> Workload<'model> {
    /// The requests of a model. Sources above [`MAX_SOURCES`] are left out.
    #[must_use]
    pub fn new(model: &'model Model) -> Self {
        Workload { requests: Requests::Drawn(Drawn::new(model)) }
    }

    /// Requests from outside, for the machines and rules of a model. When they come is said by the
    /// feed alone: neither the arrivals of sources nor the duration of the model matter.
    #[must_use]
    pub fn fed(model: &'model Model, feed: Box<dyn Feed + 'model>) -> Self {
        Workload { requests: Requests::Fed(Box::new(FedRuns::new(model, feed))) }
    }

    /// All requests of a model, for those who don't count memory.
    #[must_use]
    pub fn all(model: &'model Model) -> Vec<Arrival> {
        Workload::new(model).rest()
    }

    /// All requests that are left.
    #[must_use]
    pub fn rest(mut self) -> Vec<Arrival> {
        let mut all = Vec::new();
        while let Some(run) = self.next_run() {
            all.extend(run.arrivals());
        }
        all
    }

    /// The next requests that come from one source without another's in between.
    #[inline]
    pub fn next_run(&mut self) -> Option<Run<'_>> {
        match &mut self.requests {
            Requests::Drawn(drawn) => drawn.next_run(),
            Requests::Fed(fed) => fed.next_run(),
        }
    }
}

impl<'model> Drawn<'model> {
    fn new(model: &'model Model) -> Self {
        let sources = model.sources.iter().take(MAX_SOURCES).enumerate();
        let mut streams: Vec<Stream<'model>> =
            sources.filter_map(|(number, source)| Stream::new(model, number, source)).collect();
        let mut others: BinaryHeap<_> = streams
            .iter_mut()
            .enumerate()
            .filter_map(|(place, stream)| Some(Reverse((stream.next_time()?, place))))
            .collect();
        let present = others.pop().map(|Reverse((_, place))| place);
        Drawn { streams, others, present, number: 0 }
    }

    #[inline]
    fn next_run(&mut self) -> Option<Run<'_>> {
        let place = self.choose()?;
        let stream = self.streams.get_mut(place)?;
        let number = self.number;
        let run = match self.others.peek() {
            None => stream.take(number, |_| true),
            // Of two at the same instant that of the first source comes first.
            Some(Reverse(other)) => stream.take(number, |at| (at, place) < *other),
        };
        self.number += run.at.len() as u64;
        Some(run)
    }

    /// The stream whose request is next.
    fn choose(&mut self) -> Option<usize> {
        let place = self.present?;
        let Some(next) = self.streams.get_mut(place)?.next_time() else {
            self.present = self.others.pop().map(|Reverse((_, place))| place);
            return self.present;
        };
        let candidate = Reverse((next, place));
        // A heap of `Reverse` has the earliest on top.
        if let Some(mut first) = self.others.peek_mut()
            && candidate < *first
        {
            self.present = Some(first.0.1);
            *first = candidate;
        }
        self.present
    }
}

/// The requests of one source, a block at a time.
#[derive(Debug)]
struct Stream<'model> {
    arrivals: &'model Arrivals,
    /// For rates that change with time.
    pace: Option<Pace<'model>>,
    service: &'model Law,
    users: Users,
    gateways: u32,
    source: u16,
    end: u64,
    words: StreamWords,
    /// Number of the first request of the block, how many there are, and how many are taken.
    first: u64,
    filled: usize,
    taken: usize,
    /// When the last request of the block before arrives.
    last: u64,
    columns: Box<Columns>,
}

#[derive(Debug)]
struct Columns {
    at: [u64; BLOCK],
    service: [u64; BLOCK],
    users: [u32; BLOCK],
    gateways: [u16; BLOCK],
}

/// The words of one source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamWords {
    arrival: Words,
    /// Of the states of a source that switches.
    pub(crate) phase: Words,
    pub(crate) service: Words,
    pub(crate) tenant: Words,
    pub(crate) gateway: Words,
}

/// Added to a source's number: states are another stream for the purpose of arriving.
const PHASES: u64 = 1 << 32;

impl StreamWords {
    pub(crate) fn new(seed: u64, source: u16) -> Self {
        let words = |purpose| Words::new(seed, purpose, u64::from(source));
        StreamWords {
            arrival: words(Purpose::Arrival),
            phase: Words::new(seed, Purpose::Arrival, u64::from(source) + PHASES),
            service: words(Purpose::Service),
            tenant: words(Purpose::Tenant),
            gateway: words(Purpose::Gateway),
        }
    }
}

#[expect(clippy::indexing_slicing, reason = "places within a block are at most BLOCK")]
impl<'model> Stream<'model> {
    fn new(model: &'model Model, number: usize, source: &'model Source) -> Option<Self> {
        let cmd = model.cmds.get(source.cmd)?;
        let group = model.tenants.get(source.tenants)?;
        let before = model.tenants.iter().take(source.tenants).map(|group| group.users).sum();
        let source_number = u16::try_from(number).ok()?;
        let words = StreamWords::new(model.seed, source_number);
        let pace = match &source.arrivals {
            Arrivals::Sine(sine) => Some(Pace::sine(*sine)),
            Arrivals::Lines(rates) => Some(Pace::lines(rates)),
            Arrivals::Switching { quiet, burst } => {
                Some(Pace::switching(*quiet, *burst, words.phase))
            }
            Arrivals::Constant { .. }
            | Arrivals::Poisson { .. }
            | Arrivals::Burst { .. }
            | Arrivals::Recorded { .. } => None,
        };
        let users = Users::new(group, before);
        let columns = Columns {
            at: [0; BLOCK],
            service: [0; BLOCK],
            users: [users.first; BLOCK],
            gateways: [0; BLOCK],
        };
        Some(Stream {
            arrivals: &source.arrivals,
            pace,
            service: &cmd.service,
            users,
            gateways: u32::from(model.gateways.max(1)),
            source: source_number,
            end: model.duration.0,
            words,
            first: 0,
            filled: 0,
            taken: 0,
            last: 0,
            columns: Box::new(columns),
        })
    }

    /// When the next request arrives.
    #[inline]
    fn next_time(&mut self) -> Option<u64> {
        if self.taken == self.filled {
            self.refill();
        }
        (self.taken < self.filled).then(|| self.columns.at[self.taken])
    }

    /// Takes requests out of the block as long as they come early enough.
    #[inline]
    fn take(&mut self, number: u64, is_early: impl Fn(u64) -> bool) -> Run<'_> {
        let from = self.taken;
        let late = self.columns.at[from..self.filled].iter().position(|at| !is_early(*at));
        self.taken = late.map_or(self.filled, |late| from + late);
        let range = from..self.taken;
        Run {
            source: self.source,
            number,
            key: key(self.source, self.first + from as u64),
            at: &self.columns.at[range.clone()],
            service: &self.columns.service[range.clone()],
            users: &self.columns.users[range.clone()],
            gateways: &self.columns.gateways[range],
        }
    }

    #[cold]
    fn refill(&mut self) {
        simulator_kernel::wide::run(Refill(self));
    }

    /// The next block; it is cut at the end of the run, behind which there is nothing.
    #[inline(always)]
    fn next_block(&mut self) {
        self.first += self.filled as u64;
        self.taken = 0;
        let mut words = [0; BLOCK];
        fill_words(self.words.service, self.first, &mut words);
        self.service.fill(&words, &mut self.columns.service);
        for service in &mut self.columns.service {
            *service = (*service).max(1);
        }
        let filled = self.fill_times(&mut words);
        self.filled = self.columns.at[..filled].partition_point(|at| *at < self.end);
        if self.users.count > 1 {
            fill_words(self.words.tenant, self.first, &mut words);
            for (user, word) in self.columns.users.iter_mut().zip(words) {
                let (low, high) = halves(word);
                *user = self.users.choose(low, high);
            }
        }
        if self.gateways > 1 {
            fill_words(self.words.gateway, self.first, &mut words);
            for (gateway, word) in self.columns.gateways.iter_mut().zip(words) {
                *gateway = u16::try_from(below(halves(word).0, self.gateways)).unwrap_or(0);
            }
        }
    }

    /// When the requests of a block arrive; how many there are.
    #[inline(always)]
    fn fill_times(&mut self, words: &mut [u64; BLOCK]) -> usize {
        let at = &mut self.columns.at;
        match *self.arrivals {
            Arrivals::Poisson { gap } => {
                fill_words(self.words.arrival, self.first, words);
                Law::Exponential { mean: gap }.fill(words, at);
                self.last = sums(at, self.last);
                BLOCK
            }
            Arrivals::Constant { gap } => {
                for (place, at) in at.iter_mut().enumerate() {
                    *at = multiple(gap, self.first + place as u64 + 1);
                }
                BLOCK
            }
            Arrivals::Burst { at: begin, requests, over } => {
                for (place, at) in at.iter_mut().enumerate() {
                    let number = u128::from(self.first + place as u64);
                    let after = number * u128::from(over.0) / u128::from(requests.max(1));
                    let after = u64::try_from(after).unwrap_or(u64::MAX);
                    *at = begin.0.saturating_add(after);
                }
                let left = requests.saturating_sub(self.first);
                usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)
            }
            Arrivals::Sine(_) | Arrivals::Lines(_) | Arrivals::Switching { .. } => {
                let Some(pace) = &mut self.pace else { return 0 };
                fill_words(self.words.arrival, self.first, words);
                pace.fill(words, at, self.end)
            }
            Arrivals::Recorded { .. } => 0,
        }
    }
}

/// Gaps become times; the last of them. Gaps are drawn, so each is below 2⁵².
#[inline(always)]
fn sums(gaps: &mut [u64; BLOCK], last: u64) -> u64 {
    let mut last = last;
    // Whether a sum fits is asked once: the next one waits for as little as possible.
    if last < u64::MAX - ((BLOCK as u64) << 52) {
        for gap in gaps {
            last = last.wrapping_add(*gap);
            *gap = last;
        }
    } else {
        for gap in gaps {
            last = last.saturating_add(*gap);
            *gap = last;
        }
    }
    last
}

struct Refill<'stream, 'model>(&'stream mut Stream<'model>);

impl Task for Refill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.next_block();
    }
}

/// The words of neighbouring positions; a loop that becomes vector code.
#[inline(always)]
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
pub(crate) fn multiple(gap: f64, number: u64) -> u64 {
    (gap * number as f64).round() as u64
}

/// How the users of a group share its requests.
#[derive(Debug)]
pub(crate) struct Users {
    first: u32,
    count: u32,
    /// Walker's alias method (Vose 1991): for each user the part of its column, in 2⁻³², that is
    /// its own, and whose the rest is. Empty if all are equal.
    columns: Vec<(u32, u32)>,
}

impl Users {
    pub(crate) fn new(group: &Tenants, first: u32) -> Self {
        let even = group.skew == 0.0 || group.users <= 1;
        let columns = if even { Vec::new() } else { alias(group.users, group.skew) };
        Users { first, count: group.users.max(1), columns }
    }

    #[inline]
    pub(crate) fn choose(&self, low: u32, high: u32) -> u32 {
        let column = below(low, self.count);
        let (own, other) = self.columns.get(column as usize).copied().unwrap_or((u32::MAX, column));
        // Which of both is as good as chance: nothing is gained by a guess.
        self.first + std::hint::select_unpredictable(high >= own, other, column)
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
