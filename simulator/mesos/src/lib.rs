//! `[pure]` A simulated Mesos: a master and its agents in virtual time.
//!
//! [`Master`] holds all state. What comes from outside (requests, broken connections, faults) is a
//! call with the time; what goes out waits in [`Master::take_outputs`]; [`Master::advance`] lets time
//! pass and [`Master::next_wake`] says when something is due. [`wire`] turns HTTP requests into such
//! calls, with the checks of a real master in their order and with its words. Nothing here waits,
//! opens a socket or reads a clock: the same code serves sockets and tests.
//!
//! What it does is what the recorded sessions in `common/mesos/tests/recordings` show, and what the
//! source of Mesos 1.12 says where they are silent; `docs/mesos-conformance.md` says how far.

#![forbid(unsafe_code)]

pub mod agent;
mod allocation;
pub mod bundle;
pub mod configuration;
mod framework;
mod mark;
mod master;
pub mod outside;
mod random;
pub mod scenario;
pub mod wire;

pub use agent::{AgentKey, AgentSpec, Body, End, Profile, Rule, Span};
pub use bundle::Bundle;
pub use configuration::Configuration;
pub use master::{Delivery, Identity, Master, Output, Restart, Run, Said, StreamKey, Unwelcome};

/// Nanoseconds since the simulation began, or a duration in nanoseconds.
pub type Nanoseconds = u64;

/// A millisecond.
pub const MILLISECOND: Nanoseconds = 1_000_000;

/// A second.
pub const SECOND: Nanoseconds = 1_000_000_000;

/// A number of seconds that a client gave; what is no duration counts as none.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn nanoseconds(seconds: f64) -> Nanoseconds {
    (seconds.max(0.0) * 1e9) as Nanoseconds
}
