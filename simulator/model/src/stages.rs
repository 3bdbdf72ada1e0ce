//! What a request goes through besides its queue and the work on it. It is accepted by its gateway,
//! sent to the machine, its source is downloaded or found in the cache of the machine; then it
//! queues and is worked on, and its answer is sent.
//!
//! How long each of this takes is drawn by words that are keyed by the request, so transfers are
//! independent of each other: each has a rate of its own, as on a link that is never full, unless
//! machines have links that transfers share ([`crate::links`]): then these times are those of
//! transfers that are alone. All decisions (admission, balance, the bound of the queue) are taken at the arrival, before anything
//! is spent. Permits are held until the answer has been sent; the instance is free before.

use policy::queue::QueueScope;
use policy::{Draw, Nanoseconds, Purpose, Words};
use simulator_kernel::Law;
use simulator_kernel::logarithm::open_unit;

use crate::Arrival;
use crate::links::{Channel, Leg, Links, Share, Transfers, Trip};
use crate::model::Model;
use crate::pipelines::Followed;
use crate::retries::first_of;
use crate::workload;

/// How long the stages of a command take.
#[derive(Debug, Clone, PartialEq)]
pub struct Stages {
    /// At the gateway, before it is sent on.
    pub accept: Law,
    /// From the gateway to the machine.
    pub dispatch: Law,
    /// How its source comes; none if it has none.
    pub download: Option<Download>,
    /// How its answer goes; none if that takes no time.
    pub respond: Option<Respond>,
}

/// How the source of a request comes to its machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Download {
    /// Bytes of a source; the same for all attempts of a request.
    pub size: Law,
    /// How often it is on the machine already, 0 to 1.
    pub cached: f64,
    /// The way to the machine, for sources that aren't cached.
    pub network: Link,
    /// Where sources are kept and read from, cached or not: a ramfs or a disk.
    pub store: Link,
}

/// How the answer of a request goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// Bytes of an answer.
    pub size: Law,
    /// Its way.
    pub network: Link,
}

/// What bytes are transferred over.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Until the first byte.
    pub latency: Law,
    /// Bytes per second of each transfer; no limit if absent. Where the transfers of a machine share
    /// links, [`Links`] says it.
    pub bandwidth: Option<u64>,
}

impl Link {
    /// A link that takes no time.
    pub const INSTANT: Link = Link { latency: Law::Constant(Nanoseconds::ZERO), bandwidth: None };

    /// How long so many bytes take.
    fn time(&self, bytes: u64, word: u64) -> Nanoseconds {
        let latency = self.latency.sample(word);
        let Some(bandwidth) = self.bandwidth else { return latency.min(LONGEST) };
        let bandwidth = bandwidth.max(1);
        // Up to 18 GB fit; a division of twice as many bits takes several times as long.
        let transfer = match bytes.checked_mul(Nanoseconds::PER_SECOND) {
            Some(scaled) => scaled.div_ceil(bandwidth),
            None => {
                let scaled = u128::from(bytes) * u128::from(Nanoseconds::PER_SECOND);
                u64::try_from(scaled.div_ceil(u128::from(bandwidth))).unwrap_or(u64::MAX)
            }
        };
        Nanoseconds(latency.0.saturating_add(transfer)).min(LONGEST)
    }
}

/// A slower transfer would be none: 13 days, so that sums of some of them stay within the clock.
const LONGEST: Nanoseconds = Nanoseconds(1 << 50);

/// A stage of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// At its gateway.
    Accept,
    /// From there to its machine.
    Dispatch,
    /// Until its source is there.
    Download,
    /// In the queue of its target.
    Queue,
    /// Worked on.
    Compute,
    /// Until its answer has been sent.
    Respond,
}

impl Stage {
    /// All of them, in the order in which a request goes through them.
    pub const ALL: [Stage; 6] = [
        Stage::Accept,
        Stage::Dispatch,
        Stage::Download,
        Stage::Queue,
        Stage::Compute,
        Stage::Respond,
    ];

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Accept => "accept",
            Stage::Dispatch => "dispatch",
            Stage::Download => "download",
            Stage::Queue => "queue",
            Stage::Compute => "compute",
            Stage::Respond => "respond",
        }
    }
}

/// The stages of one request, apart from its queue and its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path {
    /// At its gateway.
    pub accept: Nanoseconds,
    /// From there to its machine.
    pub dispatch: Nanoseconds,
    /// Until its source is there.
    pub download: Nanoseconds,
    /// From the end of the work until its answer has been sent.
    pub respond: Nanoseconds,
    /// The size of its source, in bytes; none if it has none.
    pub source_bytes: Option<u64>,
    /// Whether that is on the machine already.
    pub is_cached: bool,
    /// The size of its answer, in bytes; none if that takes no time.
    pub answer_bytes: Option<u64>,
}

impl Path {
    /// From the arrival until it is in its queue, of machines and instances; or, but for the wait,
    /// until an instance works on it that has taken it from a queue of the gateways.
    #[inline]
    #[must_use]
    pub const fn before(&self) -> Nanoseconds {
        Nanoseconds(self.accept.0 + self.dispatch.0 + self.download.0)
    }

    /// The part of [`Path::before`] for which an instance is held that has taken the request: from a
    /// queue of the gateways it is sent to a machine when one there takes it, and not before.
    #[must_use]
    pub fn held(&self, scope: QueueScope) -> Nanoseconds {
        match scope {
            QueueScope::Node | QueueScope::Instance => Nanoseconds::ZERO,
            QueueScope::Central => Nanoseconds(self.dispatch.0 + self.download.0),
        }
    }

    /// The same with what its transfers have taken, if they shared links.
    #[must_use]
    pub fn took(self, transfers: Option<Transfers>) -> Self {
        match transfers {
            None => self,
            Some(Transfers { download, respond }) => Path { download, respond, ..self },
        }
    }

    /// The same behind a network, which takes this long one way.
    #[must_use]
    pub fn behind(self, delay: Nanoseconds) -> Self {
        let longer = |part: Nanoseconds| Nanoseconds(part.0.saturating_add(delay.0));
        Path { dispatch: longer(self.dispatch), respond: longer(self.respond), ..self }
    }
}

/// The stages of all requests of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    download: Words,
    transit: Words,
    /// By source; empty if no command has any.
    sources: Vec<Option<Stages>>,
    /// Whether keys have attempts in them.
    has_attempts: bool,
    links: Links,
    /// Steps of pipelines, whose sources are the answers of the steps before.
    pipelines: Vec<Followed>,
}

impl Paths {
    /// Those of a model.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let links = model.dynamics.links;
        let stages = |source: &crate::Source| {
            let stages = model.cmds.get(source.cmd)?.stages.clone();
            stages.map(|stages| stages.alone(&links))
        };
        let sources = if model.has_stages() {
            model.sources.iter().map(stages).collect()
        } else {
            Vec::new()
        };
        Paths {
            download: Words::new(model.seed, Purpose::Download, 0),
            transit: Words::new(model.seed, Purpose::Transit, 0),
            sources,
            has_attempts: model.has_retries(),
            links,
            pipelines: model.pipelines().to_vec(),
        }
    }

    /// Whether no request has any.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whether requests of a source have any.
    #[inline(always)]
    #[must_use]
    pub fn has(&self, source: u16) -> bool {
        self.sources.get(usize::from(source)).is_some_and(Option::is_some)
    }

    /// The stages of a request; none if its command has none.
    #[inline]
    #[must_use]
    pub fn of(&self, arrival: &Arrival) -> Option<Path> {
        self.at(arrival.source, arrival.key)
    }

    /// The same for a request that is known by its source and its key.
    #[must_use]
    pub fn at(&self, source: u16, key: u64) -> Option<Path> {
        let stages = self.stages(source)?;
        let (download, transit) = (self.download.of(key), self.transit.of(key));
        // It is about the same file each time.
        let first = if self.has_attempts { first_of(key) } else { key };
        let size_word = |words: Words, place: u64| words.of(first).word(place);
        let mut path = Path {
            accept: stages.accept.sample(transit.word(0)).min(LONGEST),
            dispatch: stages.dispatch.sample(transit.word(1)).min(LONGEST),
            ..Path::default()
        };
        if let Some(rules) = &stages.download {
            let bytes = self
                .answer_before(source, key)
                .unwrap_or_else(|| rules.size.sample(size_word(self.download, 0)).0);
            rules.draw(bytes, download, &mut path);
        }
        if let Some(Respond { size, network }) = &stages.respond {
            let bytes = size.sample(size_word(self.transit, 2)).0;
            path.answer_bytes = Some(bytes);
            path.respond = network.time(bytes, transit.word(3));
        }
        Some(path)
    }

    /// The size of the answer that is the source of a step of a pipeline.
    fn answer_before(&self, source: u16, key: u64) -> Option<u64> {
        let step = self.pipelines.iter().find(|step| step.by == usize::from(source))?;
        let before = u16::try_from(step.source).ok()?;
        self.at(before, workload::key(before, workload::number_of(key)))?.answer_bytes
    }

    fn stages(&self, source: u16) -> Option<&Stages> {
        self.sources.get(usize::from(source))?.as_ref()
    }

    /// The way of a request to its queue, if it shares links with others.
    pub(crate) fn trip(&self, arrival: &Arrival) -> Option<Trip> {
        if self.links.are_none() {
            return None;
        }
        let rules = self.stages(arrival.source)?.download.as_ref()?;
        let path = self.of(arrival)?;
        let bytes = path.source_bytes.filter(|bytes| *bytes > 0)?;
        let words = self.download.of(arrival.key);
        let mut trip = Trip { legs: [None; 2], after: Nanoseconds::ZERO };
        let mut before = path.accept.0 + path.dispatch.0;
        let ways = [
            (!path.is_cached).then_some((Channel::In, &rules.network, words.word(2))),
            Some((Channel::Store, &rules.store, words.word(3))),
        ];
        for (leg, way) in trip.legs.iter_mut().zip(ways) {
            let Some((channel, link, word)) = way else { continue };
            if self.links.share(channel).is_none() {
                before += link.time(bytes, word).0;
                continue;
            }
            before += link.latency.sample(word).min(LONGEST).0;
            *leg = Some(Leg { before: Nanoseconds(before), channel, bytes });
            before = 0;
        }
        trip.after = Nanoseconds(before);
        trip.legs.iter().any(Option::is_some).then_some(trip)
    }

    /// The way of the answer of a request, if it shares a link with others.
    pub(crate) fn back(&self, arrival: &Arrival) -> Option<Leg> {
        self.links.network?;
        let Respond { network, .. } = self.stages(arrival.source)?.respond.as_ref()?;
        let bytes = self.of(arrival)?.answer_bytes.filter(|bytes| *bytes > 0)?;
        let latency = network.latency.sample(self.transit.of(arrival.key).word(3));
        Some(Leg { before: latency.min(LONGEST), channel: Channel::Out, bytes })
    }
}

impl Stages {
    /// The same for transfers that are alone on the links of a machine.
    fn alone(mut self, links: &Links) -> Self {
        let alone = |link: &mut Link, share: Option<Share>| {
            link.bandwidth = share.map(|share| share.alone()).or(link.bandwidth);
        };
        if let Some(download) = &mut self.download {
            alone(&mut download.network, links.network);
            alone(&mut download.store, links.store);
        }
        if let Some(respond) = &mut self.respond {
            alone(&mut respond.network, links.network);
        }
        self
    }
}

impl Download {
    fn draw(&self, bytes: u64, words: Draw, path: &mut Path) {
        path.source_bytes = Some(bytes);
        path.is_cached = open_unit(words.word(1)) < self.cached;
        let network = match path.is_cached {
            true => Nanoseconds::ZERO,
            false => self.network.time(bytes, words.word(2)),
        };
        let store = self.store.time(bytes, words.word(3));
        path.download = Nanoseconds(network.0.saturating_add(store.0));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Some of all kinds.
    pub(crate) fn stages() -> Stages {
        Stages {
            accept: Law::Constant(Nanoseconds(3)),
            dispatch: Law::Constant(Nanoseconds(4)),
            download: Some(Download {
                size: Law::Exponential { mean: 1000.0 },
                cached: 0.3,
                network: link(100, 1_000_000_000),
                store: link(10, 10_000_000_000),
            }),
            respond: Some(Respond {
                size: Law::Constant(Nanoseconds(50)),
                network: link(7, 1_000_000_000),
            }),
        }
    }

    fn link(latency: u64, bandwidth: u64) -> Link {
        Link { latency: Law::Constant(Nanoseconds(latency)), bandwidth: Some(bandwidth) }
    }

    #[test]
    fn a_transfer_takes_its_latency_and_its_bytes() {
        assert_eq!(link(500, 1_000_000_000).time(250, 0), Nanoseconds(750));
        assert_eq!(link(500, 2_000_000_000).time(3, 0), Nanoseconds(502));
        assert_eq!(Link::INSTANT.time(u64::MAX, 0), Nanoseconds::ZERO);
        assert_eq!(link(0, 1).time(u64::MAX, 0), LONGEST);
    }

    /// Over many requests: the part that is cached is as given, what is cached passes the store
    /// only, and everything else the network before.
    #[test]
    fn what_is_cached_does_not_come_over_the_network() {
        let mut model = crate::timeline::tests::model(1_000);
        model.cmds[0].stages = Some(stages());
        let paths = Paths::new(&model);
        let mut cached = 0;
        for key in 0..10_000 {
            let path = paths.at(0, key).unwrap();
            let bytes = path.source_bytes.unwrap();
            let network = if path.is_cached { 0 } else { 100 + bytes };
            assert_eq!(path.download.0, network + 10 + bytes.div_ceil(10));
            assert_eq!(path.before().0, 7 + path.download.0);
            assert_eq!((path.respond.0, path.answer_bytes), (57, Some(50)));
            cached += u32::from(path.is_cached);
        }
        // Four standard errors.
        assert!((2_817..=3_183).contains(&cached), "{cached}");
        assert_eq!(paths.at(9, 0), None);
    }

    /// Where the network is shared, its latency comes before the leg on it, and the store after it.
    #[test]
    fn trips_have_legs_on_shared_links_only() {
        let mut model = crate::timeline::tests::model(1_000);
        model.cmds[0].stages = Some(stages());
        model.dynamics.links.network = Some(Share { bandwidth: 500_000_000, each: None });
        let paths = Paths::new(&model);
        let mut legs = 0;
        for arrival in crate::Workload::all(&model).iter().take(200) {
            let path = paths.of(arrival).unwrap();
            let bytes = path.source_bytes.unwrap();
            let store = Nanoseconds(10 + bytes.div_ceil(10));
            match paths.trip(arrival) {
                None => assert!(path.is_cached || bytes == 0),
                Some(Trip { legs: [Some(leg), None], after }) => {
                    let before = Nanoseconds(3 + 4 + 100);
                    assert_eq!(leg, Leg { before, channel: Channel::In, bytes });
                    assert_eq!(after, store);
                    assert_eq!(path.download.0, 100 + 2 * bytes + store.0);
                    legs += 1;
                }
                other => panic!("{other:?}"),
            }
            let back = Leg { before: Nanoseconds(7), channel: Channel::Out, bytes: 50 };
            assert_eq!((paths.back(arrival), path.respond.0), (Some(back), 107));
        }
        assert!(legs > 100, "{legs}");
    }
}
