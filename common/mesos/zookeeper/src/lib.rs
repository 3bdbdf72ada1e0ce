//! `[io]` Who leads among Mesos' masters, by ZooKeeper: looking ([`detect()`]) and standing for it
//! ([`contend()`]), as Mesos' own detectors and contenders do.
//!
//! Decides nothing: which node leads and what its data means is in [`mesos::leader`].

#![forbid(unsafe_code)]

mod contend;
mod detect;
mod place;

use std::time::Duration;

pub use contend::{Step, contend};
pub use detect::{Seen, detect};
pub use place::{Place, PlaceError};

/// The time after which ZooKeeper gives up a session (`--zk_session_timeout`).
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// From one attempt to reach ZooKeeper to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
