//! `[pure]` Consul's HTTP API as data: what to ask, what answers mean, and when to ask again.
//!
//! Nothing here opens a socket: [`Request`] is a target for an HTTP client, [`decode`] reads what
//! came back. An answer that was cut short, refused or silently filtered is told apart from an
//! empty one.

pub mod agent;
mod answer;
mod catalog;
pub mod change;
mod error;
mod request;
mod watch;

pub use answer::{Answer, Head, RawAnswer, decode};
pub use catalog::{Check, KvPair, Node, Service, ServiceEntry, ServiceTags, Status};
pub use error::ConsulError;
pub use request::{Consistency, Options, Request, Subject};
pub use watch::{Watch, request_timeout_ms};
