//! The requests of some gateways in the order of time. Each pair of a source and a gateway has a
//! stream and random words of its own, so any lane makes its own arrivals, and they don't depend on
//! how gateways are shared out.

use policy::random::halves;
use policy::{Nanoseconds, Purpose, Time, Words};
use simulator_kernel::wide::{self, Task};
use simulator_kernel::{Law, row};

use super::outside::Outside;
use super::sorter::Sorter;
use super::{Key, Request};
use crate::fed::Feed;
use crate::model::{Arrivals, Model, Source};
use crate::pace::Pace;
use crate::workload::{StreamWords, Users, multiple};

/// Requests that a stream prepares at a time.
const CHUNK: usize = 64;
/// Requests that are put in order at a time, about: they fit the second cache, and most streams have
/// several of them.
const BLOCK: u64 = 2048;

/// Arrivals at gateways.
#[derive(Debug)]
pub(super) struct Flow<'model> {
    streams: Vec<Stream<'model>>,
    /// If requests come from outside; there are no streams then.
    outside: Option<Box<Outside<'model>>>,
    /// When the next request of each stream arrives.
    next: Vec<u64>,
    users: Vec<Users>,
    end: u64,
    /// Length of a block, a whole number of windows.
    block: u64,
    /// The end of the present block.
    until: u64,
    /// Requests of the present block, and how many are handed out.
    block_requests: Sorter,
    taken: usize,
    /// The stream that is looked at next by who works ahead.
    ahead: usize,
}

/// Streams that are looked at by one who works ahead, until he looks whether he still must wait.
const LOOKS: usize = 8;

impl<'model> Flow<'model> {
    /// Arrivals at the gateways of a range.
    pub(super) fn new(model: &'model Model, gateways: std::ops::Range<u16>, window: u64) -> Self {
        let mut streams = Vec::new();
        let part =
            u64::from(model.gateways.max(1)) / u64::from(gateways.end - gateways.start).max(1);
        for gateway in gateways {
            let sources = model.sources.iter().zip(0u16..);
            streams.extend(
                sources.filter_map(|(source, number)| Stream::new(model, source, number, gateway)),
            );
        }
        let mut first_user = 0;
        let users = model.tenants.iter().map(|group| {
            let users = Users::new(group, first_user);
            first_user += group.users;
            users
        });
        let wanted = model.mean_gap().saturating_mul(BLOCK).saturating_mul(part);
        let mut flow = Flow {
            next: vec![0; streams.len()],
            streams,
            outside: None,
            users: users.collect(),
            end: model.duration.0,
            block: (wanted / window).clamp(1, 1 << 20).saturating_mul(window),
            until: 0,
            block_requests: Sorter::new(),
            taken: 0,
            ahead: 0,
        };
        for (stream, next) in flow.streams.iter_mut().zip(&mut flow.next) {
            stream.refill(&flow.users);
            *next = stream.next();
        }
        flow
    }

    /// Requests come from outside instead, for the same gateways of the same model.
    pub(super) fn feed(
        &mut self,
        model: &'model Model,
        gateways: std::ops::Range<u16>,
        feed: Box<dyn Feed + 'model>,
    ) {
        self.streams.clear();
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

    /// Works ahead: the next chunk of a stream. False if there are some in all streams that were
    /// looked at.
    pub(super) fn prepare(&mut self) -> bool {
        for _ in 0..LOOKS.min(self.streams.len()) {
            self.ahead = if self.ahead + 1 < self.streams.len() { self.ahead + 1 } else { 0 };
            let Some(stream) = self.streams.get_mut(self.ahead) else { return false };
            if !stream.is_ahead {
                let Stream { draws, following, .. } = stream;
                wide::run(Ahead { draws, columns: following, users: &self.users });
                stream.is_ahead = true;
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
        let Flow { streams, outside, next, users, block_requests: sorter, .. } = self;
        sorter.begin(begin, self.block);
        for (stream, next) in streams.iter_mut().zip(next) {
            while *next < until {
                wide::run(Take { stream, until, sorter });
                if stream.taken == CHUNK {
                    stream.refill(users);
                }
                *next = stream.next();
            }
        }
        if let Some(outside) = outside {
            outside.take(until, sorter);
        }
        wide::run(Sort(sorter));
        self.taken = 0;
    }
}

struct Ahead<'a, 'model> {
    draws: &'a mut Draws<'model>,
    columns: &'a mut Columns,
    users: &'a [Users],
}

impl Task for Ahead<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.draws.fill(self.columns, self.users);
    }
}

struct Take<'a, 'model> {
    stream: &'a mut Stream<'model>,
    until: u64,
    sorter: &'a mut Sorter,
}

impl Task for Take<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.stream.take(self.until, self.sorter);
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

/// The requests of one source at one gateway.
#[derive(Debug)]
struct Stream<'model> {
    draws: Draws<'model>,
    /// The key of the first request of the chunk, and how many of the chunk are taken.
    key: u64,
    taken: usize,
    columns: Box<Columns>,
    /// The next chunk, if somebody has worked ahead. Who doesn't makes it in the place of the last
    /// one, so that one is near, not two.
    following: Box<Columns>,
    is_ahead: bool,
}

/// What makes them.
#[derive(Debug)]
struct Draws<'model> {
    arrivals: &'model Arrivals,
    /// For rates that change with time.
    pace: Option<Pace<'model>>,
    service: &'model Law,
    group: usize,
    gateway: u64,
    gateways: u64,
    words: [Words; 3],
    /// The number within the stream of the first request that hasn't been made.
    first: u64,
    /// When the last one that has been made arrives.
    last: u64,
    /// When the run ends.
    end: u64,
}

#[derive(Debug)]
struct Columns {
    at: [u64; CHUNK],
    service: [u64; CHUNK],
    users: [u32; CHUNK],
}

impl Columns {
    /// Those of no requests.
    fn none() -> Box<Self> {
        Box::new(Columns { at: [u64::MAX; CHUNK], service: [0; CHUNK], users: [0; CHUNK] })
    }
}

#[expect(clippy::indexing_slicing, reason = "what is taken of a chunk is at most CHUNK")]
impl<'model> Stream<'model> {
    fn new(
        model: &'model Model,
        source: &'model Source,
        number: u16,
        gateway: u16,
    ) -> Option<Self> {
        let cmd = model.cmds.get(source.cmd)?;
        model.tenants.get(source.tenants)?;
        let part = (u64::from(gateway) << 16) | u64::from(number);
        let words = [Purpose::Arrival, Purpose::Service, Purpose::Tenant];
        let draws = Draws {
            arrivals: &source.arrivals,
            pace: pace(model, source, number),
            service: &cmd.service,
            group: source.tenants,
            gateway: u64::from(gateway),
            gateways: u64::from(model.gateways.max(1)),
            words: words.map(|purpose| Words::new(model.seed, purpose, part)),
            first: 0,
            last: 0,
            end: model.duration.0,
        };
        Some(Stream {
            draws,
            // The first chunk comes after one that is as good as taken.
            key: Key::first(gateway, number).wrapping_sub(CHUNK as u64),
            taken: 0,
            columns: Columns::none(),
            following: Columns::none(),
            is_ahead: false,
        })
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
    #[inline(always)]
    fn refill(&mut self, users: &[Users]) {
        if self.is_ahead {
            std::mem::swap(&mut self.columns, &mut self.following);
            self.is_ahead = false;
        } else {
            wide::run(Ahead { draws: &mut self.draws, columns: &mut self.columns, users });
        }
        self.key = self.key.wrapping_add(CHUNK as u64);
        self.taken = 0;
    }
}

#[expect(clippy::indexing_slicing, reason = "a chunk has places for all that may come in it")]
impl Draws<'_> {
    /// Makes the next chunk.
    #[inline(always)]
    fn fill(&mut self, columns: &mut Columns, users: &[Users]) {
        let [arrival, service, tenant] = self.words;
        let mut words = [0; CHUNK];
        fill_words(service, self.first, &mut words);
        self.service.fill(&words, &mut columns.service);
        for service in &mut columns.service {
            *service = (*service).max(1);
        }
        fill_words(tenant, self.first, &mut words);
        if let Some(users) = users.get(self.group) {
            for (user, word) in columns.users.iter_mut().zip(&words) {
                let (low, high) = halves(*word);
                *user = users.choose(low, high);
            }
        }
        fill_words(arrival, self.first, &mut words);
        self.fill_times(&words, &mut columns.at);
        self.first += CHUNK as u64;
    }

    /// When the requests of a chunk arrive; never, if there are no more.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "at most 1,024 gateways")]
    fn fill_times(&mut self, words: &[u64; CHUNK], at: &mut [u64; CHUNK]) {
        // Where gateways take turns, this is the number of a request among those of all gateways.
        let (own, every, first) = (self.gateway, self.gateways, self.first);
        let number = |place: usize| (first + place as u64) * every + own;
        match *self.arrivals {
            Arrivals::Poisson { gap } => {
                Law::Exponential { mean: gap * every as f64 }.fill(words, at);
                let mut last = self.last;
                for at in at {
                    last = last.saturating_add(*at);
                    *at = last;
                }
                self.last = last;
            }
            Arrivals::Constant { gap } => {
                for (place, at) in at.iter_mut().enumerate() {
                    *at = multiple(gap, number(place) + 1);
                }
            }
            Arrivals::Burst { at: begin, requests, over } => {
                for (place, at) in at.iter_mut().enumerate() {
                    let number = number(place);
                    let after =
                        u128::from(number) * u128::from(over.0) / u128::from(requests.max(1));
                    let after = u64::try_from(after).unwrap_or(u64::MAX);
                    let is_one = number < requests;
                    *at = if is_one { begin.0.saturating_add(after) } else { u64::MAX };
                }
            }
            Arrivals::Sine(_) | Arrivals::Lines(_) | Arrivals::Switching { .. } => {
                let count = match &mut self.pace {
                    Some(pace) => pace.fill(words, at, self.end),
                    None => 0,
                };
                at[count..].fill(u64::MAX);
            }
            Arrivals::Recorded { .. } => at.fill(u64::MAX),
        }
    }
}

/// The changing rate of one gateway's part of a source. Where a rate switches, it does so for all
/// gateways at the same time.
fn pace<'model>(model: &Model, source: &'model Source, number: u16) -> Option<Pace<'model>> {
    let pace = match &source.arrivals {
        Arrivals::Sine(sine) => Pace::sine(*sine),
        Arrivals::Lines(rates) => Pace::lines(rates),
        Arrivals::Switching { quiet, burst } => {
            Pace::switching(*quiet, *burst, StreamWords::new(model.seed, number).phase)
        }
        Arrivals::Constant { .. }
        | Arrivals::Poisson { .. }
        | Arrivals::Burst { .. }
        | Arrivals::Recorded { .. } => return None,
    };
    Some(pace.part_of(model.gateways.max(1)))
}

/// The words of neighbouring positions; a loop that becomes vector code.
#[inline(always)]
fn fill_words(words: Words, first: u64, block: &mut [u64; CHUNK]) {
    for (place, word) in block.iter_mut().enumerate() {
        *word = words.at(first + place as u64);
    }
}

/// All requests of a model in the order in which gateways take them, for those who don't count
/// memory: the arrivals of the oracle.
pub(super) fn all(model: &Model) -> Vec<Request> {
    let mut flow = Flow::new(model, 0..model.gateways.max(1), model.duration.0.max(1));
    let mut all = Vec::new();
    while flow.until < model.duration.0 {
        flow.fill_before(flow.until.saturating_add(flow.block));
        all.extend(flow.rest());
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
