//! `[io]` The connection of the scheduler to a Mesos master: finds the leader, holds the stream of
//! events and the one connection for calls, and runs the translator between them and the core.
//!
//! What is sent when, and what statuses mean, is decided by `scheduler-mesos`; this crate carries
//! bytes, watches heartbeats and waits. When either connection has a problem, both are given up and a
//! new subscription begins: the id of its stream makes what is still on its way void, so nothing is
//! done twice.

#![forbid(unsafe_code)]

mod address;
mod back_off;
mod calls;
mod chunks;
mod client;
mod file_part;
mod head;
mod identity;
mod latency;
mod leader;
mod sandbox;
mod stream;

pub use address::{Address, AddressError};
pub use calls::Figures;
pub use client::{Client, Credential, Known, Notice, Options, Told};
pub use identity::{FileIdentity, Identity};
pub use latency::Latencies;
pub use sandbox::{AGENT_PORT, SandboxError, SandboxTail};
