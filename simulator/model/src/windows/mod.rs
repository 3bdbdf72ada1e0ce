//! Gateways that see what real ones see: requests and answers take time on the network, and what a
//! gateway knows of a machine is its last report. That is also what lets several threads share one
//! run: nothing that happens within a window as long as the network's delay is felt elsewhere in
//! it, so lanes (a part of the gateways and a part of the targets each) move on by themselves, and
//! open the parcels of others a window after they were sent.
//!
//! # What is simulated
//!
//! D is the delay of the network, one way; R is the time between reports, a multiple of D.
//!
//! - A client reaches each gateway equally often. Poisson sources are split into independent ones,
//!   one for each gateway; of constant sources and bursts, gateways take requests in turn.
//! - A request that arrives at a gateway at t is admitted by the gateway's own accounts
//!   (`policy::admit`; all limits have the scope `gateway`) and sent to the target that
//!   `policy::pick` takes. The balancer sees of each target the load of the last report that has
//!   come, plus what *this gateway* has sent there since it came. What other gateways send, and
//!   what is on its way, it doesn't see.
//! - It reaches its target at t + D. There `policy::enqueue` decides. What is refused is heard of
//!   by the gateway at t + 2D.
//! - Targets are first come, first served; each instance works on one request at a time. Work that
//!   ends at e is heard of by the gateway at e + D.
//! - Permits, and the places in limits of requests in flight, are held until the gateway hears of
//!   the end or of the refusal; what `pick` finds no target for gives them back at once. A limit that
//!   adapts learns from what its gateway hears, when it hears it.
//! - At R, 2R, … each target reports its load: requests that wait or are worked on. Reports reach
//!   all gateways D later. Where admission is by priorities they also tell what has begun since the last
//!   one and how long that has waited; each gateway has its own gate for each app, which counts what
//!   comes to this gateway.
//!
//! At one instant, in this order: work ends; instances are ready; orders reach machines; what waits
//! begins, and instances leave; what was on its way comes into queues; targets report; answers, refusals and reports reach gateways;
//! requests reach targets; clients' requests reach gateways. Requests at the same instant come in
//! the order of gateways, then of sources, then of their numbers.
//!
//! Where an app scales (each machine has one queue then, and I, the time between ticks, is a
//! multiple of D):
//!
//! - At I, 2I, …, as long as there are more than 2D to the end, the control plane is told of the
//!   tasks of each app (requests that wait or are worked on) and of the instances that are gone by
//!   then. It hears of that D later and decides (`policy::scaling`), app by app. It counts the
//!   instances that were there and those that it ordered, without those that it told to leave; they
//!   hold their part of a machine until they are gone. `policy::placement` says on which machine
//!   one starts or leaves. Orders reach machines at I + 2D.
//! - An instance that starts is ready after its start-up time, a longer one for the first on its
//!   machine. It takes requests that came after the order, when those before have begun.
//! - Of the instances of a machine that is told to give up one, that one leaves that has nothing to
//!   do first when what waits has begun; of several, the one that was ready first. It takes nothing
//!   new, and holds the machine until the cool-down after the order is over.
//! - Of several idle instances the one takes a request that has been idle longest; of these the one
//!   that was ready first. Work that it begins takes longer while it warms up.
//! - A request that comes to a machine without instances (those that start count, those that leave
//!   don't) is refused: no instance.
//! - Reports also tell how many instances of a target are ready, less those that are to leave, and
//!   what they weigh. Gateways send nothing to targets that have told of none.
//!
//! Commands may have stages besides queue and work ([`crate::stages`]). A target lets a request in or
//! refuses it when it comes, before anything is spent. What is drawn for accept, dispatch and
//! download passes then, till it stands in the queue; so long it counts as one that comes
//! (`policy::Queue::standing`), and in reports and at ticks like one that waits. If all instances
//! there have left or are to leave by then, it is refused: no instance. After the work its answer is
//! sent for as long as was drawn, and travels for D then.
//!
//! Rules about waits are the targets' (`queue.longest_wait`, `queue.overload`, `admission.deadlines:
//! predict`): a target knows what stands in its queue now, gateways only what it has reported.
//!
//! - When a request comes to its target, `policy::prediction` decides after `policy::enqueue`, by the
//!   work that waits, comes and is done there. Its deadline travels with it: work should end by then. How
//!   long the answer travels isn't asked for. Gateways judge deadlines by medians alone.
//! - When the turn of a request comes, it may have waited for too long (`policy::overload`), or be too
//!   late: then it is dropped, and the next one is taken out. Until then it stands in the queue. Its
//!   gateway hears of it D later, like of a refusal.
//!
//! A response is the time from the arrival at the gateway until the answer is back there; a wait is
//! the time in the queue of the target. Requests arrive until the end of the run; what is in the
//! system then is worked on to its end.
//!
//! [`oracle::run`] is this list as a heap of events. [`Lane`]s must give every request the same
//! outcome, for any number of lanes; `tests/windows.rs` holds them to that.

use std::fmt;

use policy::placement::Unplaced;
use policy::queue::{Order, QueueScope};
use policy::scaling::{Action, Observation};
use policy::{Nanoseconds, Scope, Time};

use crate::look::Look;
use crate::model::{Model, Network};
use crate::outcome::{Instances, Outcome, Served};
use crate::report::Report;
use crate::stages::Path;

mod accounts;
mod arrivals;
mod bank;
mod calendar;
mod coming;
mod control;
mod course;
mod crews;
mod gates;
mod gateway;
mod known;
mod lane;
mod ledger;
pub mod oracle;
mod outside;
mod plan;
mod rows;
mod sorter;
mod streams;
mod tally;
mod waits;
mod watched;

pub use arrivals::Requests;
pub use course::Course;
use lane::Own;
pub use lane::{Lane, Parcel};
pub use streams::Streams;
pub use tally::Tally;
pub use watched::watch;

/// Why a model can't be run in windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Without a delay there is no window.
    NoDelay,
    /// Windows are longer than what is counted in them.
    LongDelay,
    /// Reports don't come at the borders of windows.
    Reports,
    /// Gateways can't count together without talking to each other.
    Cluster(&'static str),
    /// An app scales whose instances have queues of their own.
    Queues,
    /// The scaling rule isn't asked at the borders of windows.
    Ticks,
    /// Machines or instances fail.
    Faults,
    /// A scheduler starts and ends instances.
    Scheduler,
    /// Instances take requests from a queue of all gateways.
    Central,
    /// Answers cause requests.
    Pipelines,
    /// The balancer must hear of each answer.
    Balance,
    /// Queues aren't first come, first served.
    Order,
    /// Clients try again.
    Retries,
    /// Instances work on several requests at a time.
    Crowds,
    /// Apps share machines.
    Sharing,
    /// Transfers share links of machines.
    Links,
    /// There are more gateways than keys of requests have room for.
    Gateways,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NoDelay => f.write_str("the network delay must be more than 0"),
            Unfit::LongDelay => {
                write!(f, "the network delay can be at most {}", Network::LONGEST_DELAY)
            }
            Unfit::Reports => {
                f.write_str("the time between reports must be a multiple of the network delay")
            }
            Unfit::Cluster(rule) => write!(
                f,
                "admission.{rule} counts over the cluster, but gateways behind a network count \
                 for themselves"
            ),
            Unfit::Queues => f.write_str(
                "behind a network apps can scale only if queues are of machines (scope: node)",
            ),
            Unfit::Ticks => f.write_str("scaling.interval must be a multiple of the network delay"),
            Unfit::Faults => f.write_str("machines can fail with live gateways only"),
            Unfit::Scheduler => f.write_str("a scheduler can be simulated with live gateways only"),
            Unfit::Central => f.write_str(
                "queue.scope can't be central behind a network: no queue belongs to all gateways",
            ),
            Unfit::Pipelines => f.write_str("commands have a `then` with live gateways only"),
            Unfit::Balance => {
                f.write_str("balance.rule can be peak_ewma or prequal with live gateways only")
            }
            Unfit::Order => f.write_str("queue.order can only be fifo behind a network"),
            Unfit::Retries => f.write_str("clients can try again with live gateways only"),
            Unfit::Crowds => f.write_str("apps have a concurrency with live gateways only"),
            Unfit::Sharing => f.write_str("apps can borrow from others with live gateways only"),
            Unfit::Links => f.write_str(
                "transfers can share the links of machines with live gateways only; without \
                 `machine` in `stages` each has its bandwidth for itself",
            ),
            Unfit::Gateways => write!(f, "there can be at most {} gateways", Key::MOST_GATEWAYS),
        }
    }
}

/// Whether a model can be run in windows.
///
/// # Errors
/// Why not.
pub fn check(model: &Model, network: Network) -> Result<(), Unfit> {
    if network.delay == Nanoseconds::ZERO {
        return Err(Unfit::NoDelay);
    }
    if network.delay > Network::LONGEST_DELAY {
        return Err(Unfit::LongDelay);
    }
    if network.reports == Nanoseconds::ZERO || !network.reports.0.is_multiple_of(network.delay.0) {
        return Err(Unfit::Reports);
    }
    if !model.dynamics.pipelines.is_empty() {
        return Err(Unfit::Pipelines);
    }
    if model.queue.scope == QueueScope::Central {
        return Err(Unfit::Central);
    }
    if model.balance.learns() {
        return Err(Unfit::Balance);
    }
    if model.queue.order != Order::Fifo {
        return Err(Unfit::Order);
    }
    if let Some(rules) = model.apps.iter().find_map(|app| app.scaling(&model.dynamics)) {
        if model.queue.scope != QueueScope::Node {
            return Err(Unfit::Queues);
        }
        if rules.interval == Nanoseconds::ZERO || !rules.interval.0.is_multiple_of(network.delay.0)
        {
            return Err(Unfit::Ticks);
        }
    }
    if !model.dynamics.faults.are_none() {
        return Err(Unfit::Faults);
    }
    if model.dynamics.scheduler.is_some() {
        return Err(Unfit::Scheduler);
    }
    if model.has_retries() {
        return Err(Unfit::Retries);
    }
    if model.dynamics.sharing.is_some() {
        return Err(Unfit::Sharing);
    }
    if model.has_crowds() {
        return Err(Unfit::Crowds);
    }
    if model.shares_links() {
        return Err(Unfit::Links);
    }
    if model.gateways > Key::MOST_GATEWAYS {
        return Err(Unfit::Gateways);
    }
    let rules = &model.admission;
    let scopes = [
        ("accept", rules.accept.map(|accept| accept.scope)),
        ("user", rules.user.map(|limits| limits.scope)),
        ("cmd", rules.cmd.map(|limits| limits.scope)),
        ("adaptive", rules.adaptive.map(|adaptive| adaptive.scope)),
    ];
    let cluster = scopes.into_iter().find(|(_, scope)| *scope == Some(Scope::Cluster));
    cluster.map_or(Ok(()), |(rule, _)| Err(Unfit::Cluster(rule)))
}

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// When it arrives at its gateway, in nanoseconds.
    pub at: u64,
    /// How long the work on it takes, in nanoseconds; at least one.
    pub service: u64,
    /// Where it comes from, see [`Key::parts`]; the key of its random words.
    pub key: u64,
    /// Whose it is, counted over all groups.
    pub user: u32,
    /// The target that it was sent to, counted within its app.
    pub target: u32,
}

/// What a gateway hears of a request that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    /// When it hears of it.
    at: u64,
    user: u32,
    /// The gateway and the source, as [`accounts::Lines`] number them.
    line: u32,
}

/// Keys of requests: gateway, source and number, the number among the requests of this source at
/// this gateway.
#[derive(Debug)]
pub struct Key;

impl Key {
    /// A source sends at most 2³⁸ requests to a gateway.
    const NUMBER_BITS: u32 = 38;
    /// See `workload::MAX_SOURCES`.
    const SOURCE_BITS: u32 = 14;
    /// Of 64 bits, two are left for the words that a decision may draw.
    const MOST_GATEWAYS: u16 = 1 << (62 - Key::NUMBER_BITS - Key::SOURCE_BITS);

    /// The key of the first request of a source at a gateway; the others follow.
    const fn first(gateway: u16, source: u16) -> u64 {
        let stream = ((gateway as u64) << Key::SOURCE_BITS) | source as u64;
        stream << Key::NUMBER_BITS
    }

    /// The gateway and the source of a request.
    #[inline(always)]
    #[must_use]
    pub const fn parts(key: u64) -> (u16, u16) {
        let stream = key >> Key::NUMBER_BITS;
        ((stream >> Key::SOURCE_BITS) as u16, (stream & ((1 << Key::SOURCE_BITS) - 1)) as u16)
    }
}

/// When the work on a request begins and ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// The place of the request among others.
    pub place: usize,
    /// In nanoseconds since the beginning of the run.
    pub start: u64,
    /// Likewise.
    pub end: u64,
}

/// Who is told of a run: of outcomes in no particular order, each request once; of changes of
/// instances in the order of time, and likewise of decisions, by the first lane only.
pub trait Witness {
    /// Whether it is told of arrivals and looks; of runs in one lane only.
    const LOOKS: bool = false;

    /// A request reaches its gateway, as the one with this number; whether a look at it is wanted.
    fn arrive(&mut self, _request: &Request, _number: u64) -> bool {
        false
    }

    /// What was known of a request that is wanted; told before its outcome.
    fn look(&mut self, _request: &Request, _look: Look) {}

    /// What became of several requests without stages, which were served.
    #[inline(always)]
    fn served(&mut self, requests: &[Request], works: &[Work]) {
        for Work { place, start, end } in works {
            let Some(request) = requests.get(*place) else { break };
            let served = Served::new(request.target, Time(*start), Time(*end));
            self.outcome(request, None, Ok(served));
        }
    }

    /// What became of a request; and how its stages went, if its command has any and it came into
    /// its queue.
    fn outcome(&mut self, request: &Request, path: Option<&Path>, outcome: Outcome);

    /// The instances of an app have changed; told once for each instant.
    fn change(&mut self, _at: Time, _app: usize, _instances: Instances) {}

    /// The scaling rule has decided for an app.
    fn decide(&mut self, _at: Time, _app: usize, _seen: Observation, _action: Action) {}

    /// No machine could take an instance that the scaling rule has asked for.
    fn unplaced(&mut self, _at: Time, _app: usize, _reasons: Unplaced) {}
}

/// Outcomes by their keys.
impl Witness for Vec<(u64, Outcome)> {
    fn outcome(&mut self, request: &Request, _path: Option<&Path>, outcome: Outcome) {
        self.push((request.key, outcome));
    }
}

/// Runs a model in one lane.
pub fn run<W: Witness>(model: &Model, network: Network, witness: W) -> W {
    let mut lane = Lane::new(model, network, 0, 1, witness);
    let mut own = Own::default();
    while !lane.is_over() {
        own.advance(&mut lane);
    }
    lane.finish()
}

/// Runs a model in one lane and sums it up; compiled here, as one piece.
#[must_use]
pub fn report(model: &Model, network: Network) -> Report {
    run(model, network, Tally::new(model, network, 0)).into_report()
}
