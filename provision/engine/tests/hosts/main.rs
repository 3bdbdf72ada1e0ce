//! The controller against hosts in this process: real helpers, each with a folder of its own,
//! behind a wire that records everything and breaks when it is told to.
//!
//! A host's helper is the code that runs on real hosts, served over pipes by a thread. Between
//! it and the controller stands a relay that sees every frame: it plays the part of networks
//! that break and of hosts that were taken over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod consul;
mod contents;
mod data;
mod demand;
mod ensemble;
#[path = "../../../../common/consul/client/tests/fake/mod.rs"]
mod fake;
mod fatal;
mod faults;
mod groups;
mod handlers;
mod killed;
mod lab;
mod local;
mod lost;
mod machine;
mod mischief;
mod order;
mod own;
mod reboot;
mod relay;
mod releases;
mod secrets;
mod shown;
mod site;
