//! The requests of some gateways in the order of time. What makes them are streams ([`super::streams`]),
//! one for each source and gateway, so they don't depend on how gateways are shared out.

use std::ops::Range;
use std::sync::Arc;

use policy::{Nanoseconds, Time};
use simulator_kernel::row;
use simulator_kernel::wide::{self, Task};

use super::Request;
use super::outside::Outside;
use super::sorter::Sorter;
use super::streams::{CHUNK, Columns, Streams};
use crate::fed::Feed;
use crate::model::Model;

/// Requests that are put in order at a time, about: they fit the second cache, and most streams have
/// several of them.
const BLOCK: u64 = 2048;

/// Arrivals at gateways.
#[derive(Debug)]
pub(super) struct Flow<'model> {
    /// Those of all gateways.
    streams: Arc<Streams<'model>>,
    /// What is at hand of each stream.
    taps: Vec<Tap>,
    /// If requests come from outside; there are no streams then.
    outside: Option<Box<Outside<'model>>>,
    /// When the next request of each stream arrives.
    next: Vec<u64>,
    end: u64,
    /// Length of a block, a whole number of windows.
    block: u64,
    /// The end of the present block.
    until: u64,
    /// Requests of the present block, and how many are handed out.
    block_requests: Sorter,
    taken: usize,
    /// How many streams were looked at by who works ahead.
    looks: usize,
}

/// Streams that are looked at by one who works ahead, until he looks whether he still must wait.
const LOOKS: usize = 8;

impl<'model> Flow<'model> {
    /// Arrivals at the gateways of a range.
    pub(super) fn new(
        model: &Model,
        gateways: &Range<u16>,
        window: u64,
        streams: Arc<Streams<'model>>,
    ) -> Self {
        let part =
            u64::from(model.gateways.max(1)) / u64::from(gateways.end - gateways.start).max(1);
        let wanted = model.mean_gap().saturating_mul(BLOCK).saturating_mul(part);
        let mut taps: Vec<Tap> =
            streams.places(gateways).map(|place| Tap::new(place, streams.key(place))).collect();
        taps.iter_mut().for_each(|tap| tap.refill(&streams));
        Flow {
            next: taps.iter().map(Tap::next).collect(),
            taps,
            streams,
            outside: None,
            end: model.duration.0,
            block: (wanted / window).clamp(1, 1 << 20).saturating_mul(window),
            until: 0,
            block_requests: Sorter::new(),
            taken: 0,
            looks: 0,
        }
    }

    /// Requests come from outside instead, for the same gateways of the same model.
    pub(super) fn feed(
        &mut self,
        model: &'model Model,
        gateways: Range<u16>,
        feed: Box<dyn Feed + 'model>,
    ) {
        self.streams = Arc::default();
        self.taps.clear();
        self.next.clear();
        self.outside = Some(Box::new(Outside::new(model, gateways, feed)));
    }

    /// Makes the requests that arrive before a time, which must not be beyond the end of a block.
    pub(super) fn fill_before(&mut self, until: u64) {
        if until > self.until {
            self.fill();
        }
    }

    /// The requests that were made and not handed out, in their order; of which [`Flow::pass`] hands
    /// out the first ones.
    #[inline(always)]
    pub(super) fn rest(&self) -> impl Iterator<Item = &Request> {
        self.block_requests.ordered(self.taken)
    }

    /// So many requests are handed out.
    pub(super) const fn pass(&mut self, count: usize) {
        self.taken += count;
    }

    /// Works ahead for who has these gateways: the next chunk of one of their streams. False if there are
    /// some in all streams that were looked at.
    pub(super) fn prepare(&mut self, gateways: &Range<u16>) -> bool {
        let places = self.streams.places(gateways);
        for _ in 0..LOOKS.min(places.len()) {
            self.looks = self.looks.wrapping_add(1);
            if self.streams.prepare(places.start + self.looks % places.len()) {
                return true;
            }
        }
        false
    }

    /// Nothing arrives any more.
    pub(super) fn stop(&mut self) {
        self.end = 0;
        self.block_requests.begin(self.until, self.block);
        self.taken = 0;
    }

    /// The next block.
    fn fill(&mut self) {
        let begin = self.until;
        self.until = begin.saturating_add(self.block);
        let until = self.until.min(self.end);
        let Flow { streams, taps, outside, next, block_requests: sorter, .. } = self;
        sorter.begin(begin, self.block);
        for (tap, next) in taps.iter_mut().zip(next) {
            while *next < until {
                wide::run(Take { tap, until, sorter });
                if tap.taken == CHUNK {
                    tap.refill(streams);
                }
                *next = tap.next();
            }
        }
        if let Some(outside) = outside {
            outside.take(until, sorter);
        }
        wide::run(Sort(sorter));
        self.taken = 0;
    }
}

struct Take<'a> {
    tap: &'a mut Tap,
    until: u64,
    sorter: &'a mut Sorter,
}

impl Task for Take<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.tap.take(self.until, self.sorter);
    }
}

struct Sort<'a>(&'a mut Sorter);

impl Task for Sort<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.sort();
    }
}

/// What is at hand of a stream.
#[derive(Debug)]
struct Tap {
    /// Its place among the streams.
    stream: usize,
    /// The key of the first request of the chunk, and how many of the chunk are taken.
    key: u64,
    taken: usize,
    columns: Box<Columns>,
}

#[expect(clippy::indexing_slicing, reason = "what is taken of a chunk is at most CHUNK")]
impl Tap {
    fn new(stream: usize, key: u64) -> Self {
        // The first chunk comes after one that is as good as taken.
        let key = key.wrapping_sub(CHUNK as u64);
        Tap { stream, key, taken: 0, columns: Columns::none() }
    }

    #[inline(always)]
    fn next(&self) -> u64 {
        self.columns.at[self.taken]
    }

    /// Takes what arrives before a time.
    #[inline(always)]
    fn take(&mut self, until: u64, sorter: &mut Sorter) {
        let Columns { at, service, users } = &*self.columns;
        let from = self.taken;
        // They ascend, and those that are taken were early, too.
        let count = row::count_until(at, until - 1) as usize - from;
        let columns = at[from..][..count].iter().zip(&service[from..][..count]);
        let columns = columns.zip(&users[from..][..count]);
        sorter.reserve(count);
        let keys = self.key + from as u64..;
        for (((at, service), user), key) in columns.zip(keys) {
            sorter.take(Request { at: *at, service: *service, key, user: *user, target: 0 });
        }
        self.taken += count;
    }

    /// Goes on to the next chunk.
    fn refill(&mut self, streams: &Streams<'_>) {
        streams.refill(self.stream, &mut self.columns);
        self.key = self.key.wrapping_add(CHUNK as u64);
        self.taken = 0;
    }
}

/// All requests of a model with gateways behind a network, in the order in which gateways take them. They
/// are not those of [`crate::Workload`]: each gateway has its own.
#[derive(Debug)]
pub struct Requests<'model>(Flow<'model>);

/// Blocks of requests are some milliseconds long, or as long as it takes for as many as there are in one.
const STEP: u64 = 1_000_000;

impl<'model> Requests<'model> {
    /// Those of a model.
    #[must_use]
    pub fn new(model: &'model Model) -> Self {
        let (gateways, streams) = (0..model.gateways.max(1), Arc::new(Streams::new(model)));
        Requests(Flow::new(model, &gateways, STEP, streams))
    }

    /// The next ones; none at the end of the run.
    pub fn next_block(&mut self) -> Option<impl Iterator<Item = &Request>> {
        let Requests(flow) = self;
        if flow.until >= flow.end {
            return None;
        }
        flow.fill();
        Some(flow.rest())
    }
}

/// They, for those who don't count memory: the arrivals of the oracle.
pub(super) fn all(model: &Model) -> Vec<Request> {
    let (mut requests, mut all) = (Requests::new(model), Vec::new());
    while let Some(block) = requests.next_block() {
        all.extend(block);
    }
    all
}

impl Request {
    /// When it arrives.
    pub(super) const fn time(&self) -> Time {
        Time(self.at)
    }

    /// How long the work takes.
    pub(super) const fn work(&self) -> Nanoseconds {
        Nanoseconds(self.service)
    }
}
