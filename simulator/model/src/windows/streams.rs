//! What makes the requests of sources at gateways. Each pair of a source and a gateway has a stream with
//! random words of its own, so anybody may make its next requests, and they are the same.
//!
//! Lanes that threads move share the streams: who waits for another lane makes the next requests of that
//! one meanwhile. To make more of one's own would be of no use, because the other one would be waited for
//! all the same.

use std::mem::swap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use policy::random::halves;
use policy::{Purpose, Words};
use simulator_kernel::Law;
use simulator_kernel::wide::{self, Task};

use super::Key;
use crate::model::{Arrivals, Model, Source};
use crate::pace::Pace;
use crate::workload::{StreamWords, Users, multiple};

/// Requests that a stream prepares at a time.
pub(super) const CHUNK: usize = 64;

/// The streams of all gateways of a model, one gateway after the other.
#[derive(Debug, Default)]
pub struct Streams<'model> {
    streams: Vec<Stream<'model>>,
    /// Of each gateway, the first of its streams.
    firsts: Vec<usize>,
    users: Vec<Users>,
}

impl<'model> Streams<'model> {
    /// Those of a model.
    #[must_use]
    pub fn new(model: &'model Model) -> Self {
        let (mut streams, mut firsts) = (Vec::new(), Vec::new());
        for gateway in 0..model.gateways.max(1) {
            firsts.push(streams.len());
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
        Streams { streams, firsts, users: users.collect() }
    }

    /// The places of the streams of a range of gateways.
    pub(super) fn places(&self, gateways: &Range<u16>) -> Range<usize> {
        let first = |gateway: u16| {
            self.firsts.get(usize::from(gateway)).copied().unwrap_or(self.streams.len())
        };
        first(gateways.start)..first(gateways.end)
    }

    /// The key of the first request of a stream.
    pub(super) fn key(&self, place: usize) -> u64 {
        self.streams.get(place).map_or(0, |stream| stream.key)
    }

    /// The next chunk of a stream, in the place of one that isn't needed any more.
    #[inline(always)]
    pub(super) fn refill(&self, place: usize, columns: &mut Box<Columns>) {
        if let Some(stream) = self.streams.get(place) {
            stream.refill(columns, &self.users);
        }
    }

    /// Makes the next chunk of a stream; false if that was done already, or somebody is about it.
    pub(super) fn prepare(&self, place: usize) -> bool {
        self.streams.get(place).is_some_and(|stream| stream.prepare(&self.users))
    }
}

/// The requests of one source at one gateway: on lines of the cache of their own, because the one who
/// prepares and the one who takes may be different processors.
#[derive(Debug)]
#[repr(align(128))]
struct Stream<'model> {
    key: u64,
    /// Whether the next chunk is made. Changed only by who has the lock.
    is_ahead: AtomicBool,
    next: Mutex<Next<'model>>,
}

#[derive(Debug)]
struct Next<'model> {
    draws: Draws<'model>,
    /// The next chunk, if somebody has worked ahead. Who doesn't makes it in the place of the last
    /// one, so that one is near, not two.
    columns: Box<Columns>,
}

impl<'model> Stream<'model> {
    fn new(
        model: &'model Model,
        source: &'model Source,
        number: u16,
        gateway: u16,
    ) -> Option<Self> {
        let draws = Draws::new(model, source, number, gateway)?;
        Some(Stream {
            key: Key::first(gateway, number),
            is_ahead: AtomicBool::new(false),
            next: Mutex::new(Next { draws, columns: Columns::none() }),
        })
    }

    #[inline(always)]
    fn refill(&self, columns: &mut Box<Columns>, users: &[Users]) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_ahead.load(Ordering::Relaxed) {
            swap(columns, &mut next.columns);
            self.is_ahead.store(false, Ordering::Relaxed);
        } else {
            wide::run(Chunk { draws: &mut next.draws, columns, users });
        }
    }

    fn prepare(&self, users: &[Users]) -> bool {
        // Without the lock this is a guess, which is good enough to look elsewhere.
        if self.is_ahead.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(mut next) = self.next.try_lock() else { return false };
        if self.is_ahead.load(Ordering::Relaxed) {
            return false;
        }
        let Next { draws, columns } = &mut *next;
        wide::run(Chunk { draws, columns, users });
        self.is_ahead.store(true, Ordering::Relaxed);
        true
    }
}

struct Chunk<'a, 'model> {
    draws: &'a mut Draws<'model>,
    columns: &'a mut Columns,
    users: &'a [Users],
}

impl Task for Chunk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.draws.fill(self.columns, self.users);
    }
}

/// What makes the requests of a stream.
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

/// The requests of a chunk.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) at: [u64; CHUNK],
    pub(super) service: [u64; CHUNK],
    pub(super) users: [u32; CHUNK],
}

impl Columns {
    /// Those of no requests.
    pub(super) fn none() -> Box<Self> {
        Box::new(Columns { at: [u64::MAX; CHUNK], service: [0; CHUNK], users: [0; CHUNK] })
    }
}

impl<'model> Draws<'model> {
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
        Some(Draws {
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
        })
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
