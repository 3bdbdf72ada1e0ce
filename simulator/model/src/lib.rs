//! `[pure]` The model of the platform and the two engines that run it.
//!
//! Requests arrive at gateways, are admitted, go to a target (the queue of a machine or of an
//! instance), wait, are worked on and leave. Every decision is a call of the crate `policy`.
//!
//! - [`oracle::run`] is a plain heap of events: simple, slow, and what a reader believes.
//! - [`engine::run`] knows departures when it dispatches and needs no events, unless instances come
//!   and go, work has priorities, requests are on their way for a while or clients try again: then events are kept where they happen, in lists of each
//!   target. It must give the same outcome for every request, and the same instances at all times;
//!   `tests/agreement.rs` holds it to that.
//! - [`windows`] is another model of the same platform, in which messages take time and gateways
//!   see reports, with an oracle of its own and an engine that several threads can share.
//!
//! What ends at an instant is over before what arrives at it; of several arrivals at one instant,
//! those of the source that was declared first come first.

#![forbid(unsafe_code)]

mod adaptive;
mod books;
pub mod central;
pub mod closed_form;
pub mod crowd;
mod demand;
pub mod engine;
pub mod faults;
mod fed;
mod gates;
mod index;
pub mod lending;
pub mod life;
mod line;
pub mod links;
mod live;
pub mod look;
pub mod losses;
pub mod model;
pub mod oracle;
pub mod outages;
pub mod outcome;
pub mod pace;
pub mod pipelines;
pub mod report;
pub mod retries;
mod rings;
pub mod scheduler;
pub mod sharing;
pub mod stages;
pub mod timeline;
pub mod usage;
pub mod watch;
pub mod windows;
pub mod workload;

/// Version of what a seed means: it grows whenever the same scenario gives other results than before.
/// Figures of different versions can't be compared pair by pair.
pub const MODEL_VERSION: u32 = 1;

pub use crowd::{Crowd, Slowdown};
pub use faults::{Cause, Chance, Crash, Crashes, Effect, Fault, Faults, Incident, Lost};
pub use fed::{Fed, Feed};
pub use lending::Lending;
pub use life::{Dynamics, Life, WarmUp};
pub use links::{Channel, Flow, Links, Share, Traffic, Transfers};
pub use live::FIRST_VERSION;
pub use losses::{Losses, Toll};
pub use model::{App, Arrivals, Cmd, Model, Network, Source, Tenants};
pub use outages::Outages;
pub use outcome::{Block, Instances, Outcome, Record, Served};
pub use pace::{Phase, Rates, Sine, Stretch};
pub use pipelines::Followed;
pub use report::{Cell, Clients, Pipeline, Report};
pub use retries::{BackOff, Retries};
pub use scheduler::{Deployed, Scheduler, Upgrade, Version};
pub use sharing::{Pair, Returned, Sharing, Slot, Stopped, Turn};
pub use stages::{Download, Link, Path, Paths, Respond, Stage, Stages};
pub use timeline::Timeline;
pub use usage::{Actions, Usage};
pub use workload::{Arrival, Run, Workload};
