//! A scheduler between the rules and the machines: `scheduler_core` decides, as in production, from
//! facts that come late, and what it commands takes time, too.

use policy::config::Policy;
use policy::{Nanoseconds, Time};
use scheduler_core::ids::AppName;
use simulator_kernel::Law;

use crate::App;

/// How far the scheduler is from what it knows and does.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduler {
    /// Its rules: scaling, rollout and repair.
    pub policy: Policy,
    /// Time between its looks; loads are observed as often.
    pub tick: Nanoseconds,
    /// Until a write is durable.
    pub store: Nanoseconds,
    /// Until a machine has a command.
    pub commands: Nanoseconds,
    /// Until the scheduler has heard of what a machine or an instance did.
    pub facts: Nanoseconds,
    /// Until gateways know of what was registered, with its weight, or isn't any more.
    pub found: Nanoseconds,
    /// Until a machine that doesn't answer is told as silent.
    pub silent: Nanoseconds,
    /// For how long an instance may run without being healthy.
    pub health_grace: Nanoseconds,
    /// Time between being asked and being made to end.
    pub kill_grace: Nanoseconds,
    /// New versions of apps.
    pub upgrades: Vec<Upgrade>,
}

/// A new version of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Upgrade {
    /// The app, as a place in [`crate::Model::apps`].
    pub app: usize,
    /// When a user asks for it.
    pub at: Time,
    /// What its maker calls it.
    pub label: String,
    /// The most that are replaced at a time, instead of what the policy says.
    pub step: Option<u32>,
    /// How it differs from the one in the beginning.
    pub version: Version,
}

/// A version of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// How long work takes, in thousandths of the time that it takes in the beginning.
    pub service_thousandths: u32,
    /// Whether it ever becomes healthy.
    pub is_healthy: bool,
    /// From its start until it ends by itself, if it does.
    pub crashes: Option<Law>,
}

impl Default for Version {
    fn default() -> Self {
        Version { service_thousandths: 1000, is_healthy: true, crashes: None }
    }
}

impl Scheduler {
    /// What is usual: a look each second, a store in the same room, Mesos that tells of status
    /// updates within a fraction of a second and of silent agents after 75 s (its
    /// `--agent_ping_timeout` × `--max_agent_ping_timeouts`), and gateways that watch Consul.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Scheduler {
            policy,
            tick: Nanoseconds::from_seconds(1),
            store: Nanoseconds::from_milliseconds(5),
            commands: Nanoseconds::from_milliseconds(50),
            facts: Nanoseconds::from_milliseconds(200),
            found: Nanoseconds::from_milliseconds(500),
            silent: Nanoseconds::from_seconds(75),
            health_grace: Nanoseconds::from_seconds(60),
            kill_grace: Nanoseconds::from_seconds(10),
            upgrades: Vec::new(),
        }
    }
}

/// The scheduler's name of an app: its own, if it is one, or else its place.
#[must_use]
pub fn app_name(place: usize, app: &App) -> Option<AppName> {
    app.name.parse().or_else(|_| format!("app-{place}").parse()).ok()
}

/// How a deployment went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The app, as a place in [`crate::Model::apps`].
    pub app: usize,
    /// The version before.
    pub from: String,
    /// The version after.
    pub to: String,
    /// Why, for people.
    pub cause: String,
    /// When it began.
    pub begun: Time,
    /// When it ended, and how, for people; none if it goes on.
    pub ended: Option<(Time, String)>,
}
