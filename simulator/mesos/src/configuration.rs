//! How a simulated master is set up; the values are Mesos' own unless said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::{Nanoseconds, SECOND};

/// The version that is told: that of the recorded master.
pub const VERSION: &str = "1.12.0";

/// Settings of a master.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Of all ids and latencies.
    pub seed: u64,
    /// Nanoseconds since 1970 at the time 0.
    pub epoch_nanoseconds: u64,
    /// Where clients find it.
    pub address: IpAddr,
    /// Where clients find it.
    pub port: u16,
    /// Its name.
    pub hostname: String,
    /// Between two runs that offer all that is free (`--allocation_interval`).
    pub allocation_interval: Nanoseconds,
    /// After which an offer is taken back (`--offer_timeout`).
    pub offer_timeout: Option<Nanoseconds>,
    /// Between two heartbeats on a stream.
    pub heartbeat_interval: Nanoseconds,
    /// How long an agent may take to answer (`--agent_ping_timeout`).
    pub agent_ping_timeout: Nanoseconds,
    /// How many answers it may miss (`--max_agent_ping_timeouts`).
    pub max_agent_ping_timeouts: u32,
    /// How long agents may take to come back after the master was away (`--agent_reregister_timeout`).
    pub agent_reregister_timeout: Nanoseconds,
    /// The version that it says it has.
    pub version: String,
    /// More flags that it shows, as they were given.
    pub flags: BTreeMap<String, String>,
    /// Where in ZooKeeper it stands for the lead, as the page of flags shows it (`--zk`).
    pub zk: Option<String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            seed: 1,
            epoch_nanoseconds: 0,
            address: Ipv4Addr::LOCALHOST.into(),
            port: mesos::location::MASTER_PORT,
            hostname: "127.0.0.1".to_owned(),
            allocation_interval: SECOND,
            offer_timeout: None,
            heartbeat_interval: 15 * SECOND,
            agent_ping_timeout: 15 * SECOND,
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: 600 * SECOND,
            version: VERSION.to_owned(),
            flags: BTreeMap::new(),
            zk: None,
        }
    }
}

/// Seconds of a duration.
#[allow(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn seconds(duration: Nanoseconds) -> f64 {
    duration as f64 / 1e9
}
