//! An app: what is to run, how many of it, and how it came to be so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use policy::repair::BackOff;
use policy::rollout::{Failure, Hold, Load, Progress};
use policy::{Nanoseconds, Time, scaling};
use serde::{Deserialize, Serialize};

use crate::ids::{MachineName, Version};
use crate::instance::{Gone, Instance};
use crate::rebalance::Rebalance;
use crate::timers::LOAD_STALE_AFTER;
use crate::volume::{Mount, Reserves};

/// Specifications of old versions that are kept for a rollback.
pub const VERSIONS_KEPT: usize = 10;

/// Ends of deployments and of instances that are kept to be told.
pub const HISTORY_KEPT: usize = 20;

/// The most instances that an app can ask for: ten for each of 10,000 machines. More is a slip.
pub const INSTANCES_MOST: u32 = 100_000;

/// The longest list of anything in a specification. More is a slip.
pub const LIST_MOST: usize = 1_000;

/// What is run: one version of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// What its maker calls this version.
    pub label: String,
    /// The program.
    pub run: Run,
    /// What each instance needs of a machine.
    pub need: Need,
    /// Variables of its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// For how long it may run without being healthy; without it, what runs is healthy.
    pub health_grace: Option<Nanoseconds>,
    /// Time between being asked and being made to end.
    pub kill_grace: Nanoseconds,
    /// Instead of what the policy says.
    pub warm_up: Option<Nanoseconds>,
    /// Instead of what the policy says.
    pub cool_down: Option<Nanoseconds>,
    /// Where it may run: all of them hold.
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    /// How whoever runs it sees that it is healthy; with it, there is a `health_grace`.
    #[serde(default)]
    pub check: Option<Check>,
    /// Ports inside its container that its ports lead to, in order; those that aren't named are the
    /// same inside.
    #[serde(default)]
    pub inner_ports: Vec<u16>,
    /// How it is found in Consul.
    #[serde(default, skip_serializing_if = "Discovery::is_default")]
    pub discovery: Discovery,
    /// Where it says what it has to do; without it nobody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// What its instances keep beyond their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Mount>,
    /// What is kept for an instance with volumes while it is away.
    #[serde(default, skip_serializing_if = "Reserves::is_default")]
    pub reserves: Reserves,
}

/// How an instance is found in Consul: always as a service with the name of its app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Which of its ports is told, by its place in the list.
    pub port: u32,
    /// What else is said of it.
    pub tags: Vec<String>,
    /// What Consul looks at.
    pub check: DiscoveryCheck,
}

impl Discovery {
    fn is_default(&self) -> bool {
        *self == Discovery::default()
    }
}

/// What Consul looks at to see whether an instance is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscoveryCheck {
    /// What the scheduler looks at, if that is a port. Otherwise the scheduler itself takes an
    /// instance that isn't healthy out of Consul.
    #[default]
    AsHealth,
    /// Nothing but whether its node is there.
    Nothing,
    /// The scheduler says for each instance that it is healthy, and Consul takes it for critical when
    /// it hasn't heard so for this long.
    Ttl(Nanoseconds),
    /// A program that the agent of the node runs.
    Script(Vec<String>),
    /// A program that the agent of the node runs in the container.
    Docker(Vec<String>),
}

/// Where an instance says what it has to do, in the text format of Prometheus. Values of all series
/// with a name are added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The path.
    pub path: String,
    /// Which port, by its place in the list.
    pub port: u32,
    /// A gauge: requests that wait.
    pub queue: String,
    /// A gauge: requests in work. Without it an instance with a queue counts as one in work.
    pub busy: Option<String>,
    /// A counter: requests that came.
    pub arrivals: Option<String>,
    /// A counter: requests that were rejected.
    pub rejects: Option<String>,
}

/// How it is seen whether an instance is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// Time from one to the next.
    pub interval: Nanoseconds,
    /// The longest that one may take.
    pub timeout: Nanoseconds,
    /// So many in a row have to fail before it isn't healthy any more.
    pub failures: u32,
}

/// What is tried to see whether an instance is healthy. Ports are told by their place in the
/// instance's list of ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A GET of this path, answered with a status from 200 to 399.
    Http {
        /// The path.
        path: String,
        /// Which port.
        port: u32,
    },
    /// A connection.
    Tcp {
        /// Which port.
        port: u32,
    },
    /// A program with its arguments, in the instance's surroundings, that ends with code 0.
    Command(Vec<String>),
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// A container.
    Image {
        /// Its image, with tag or digest.
        image: String,
        /// Arguments instead of those of the image, if there are any.
        arguments: Vec<String>,
    },
    /// A program on the machine and its arguments.
    Command(Vec<String>),
}

/// What an instance needs of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// Thousandths of a core.
    pub millicores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// How many ports.
    pub ports: u32,
}

/// Where an app may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// The machine has the attribute with one of these values.
    Attribute {
        /// Its name.
        name: String,
        /// The values.
        values: BTreeSet<String>,
    },
    /// The machine doesn't have the attribute with one of these values.
    NotAttribute {
        /// Its name.
        name: String,
        /// The values.
        values: BTreeSet<String>,
    },
    /// The machine is one of these.
    Machines(BTreeSet<MachineName>),
    /// No machine has more instances of the app than this.
    MostPerMachine(u32),
}

/// Between how many instances there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The fewest.
    pub min: u32,
    /// The most; with more than `min`, the policy scales it.
    pub max: u32,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Between how many instances there are.
    pub bounds: Bounds,
    /// How many there should be now.
    pub wanted: u32,
    /// The version that all should have.
    pub target: Version,
    /// Versions that were fully rolled out, the last one last.
    pub stable: Vec<Version>,
    /// What versions are.
    pub versions: BTreeMap<Version, Arc<Specification>>,
    /// Versions there were.
    pub versions_made: u32,
    /// Deployments there were.
    pub deployments_made: u32,
    /// What is being rolled out.
    pub deployment: Option<Deployment>,
    /// How earlier deployments ended, the last one last.
    pub history: Vec<Ended>,
    /// How many of the instances should be on which machine.
    pub named: BTreeMap<MachineName, u32>,
    /// What the scaling rule remembers.
    pub scaling: scaling::State,
    /// When and how it was last scaled, and why.
    pub scaled: Option<Scaled>,
    /// What is remembered of failures.
    pub failures: BTreeMap<Version, Failures>,
    /// Whether it ends.
    pub is_deleted: bool,
    /// How earlier instances ended, the last one last.
    pub gone: Vec<Gone>,
    /// Instances that move for the sake of evenness, now or the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
    /// Whether volumes of instances that a user takes away are kept, as the user said then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_volumes: bool,
    /// Its instances, by number; each is a record of its own.
    #[serde(skip)]
    pub instances: BTreeMap<u64, Box<Instance>>,
    /// Its number in the index of placement.
    #[serde(skip)]
    pub(crate) slot: u32,
    /// What it had to do last; not stored, because it is stale soon.
    #[serde(skip)]
    pub load: Option<Observed>,
    /// Why something that must leave still stays; derived at each look.
    #[serde(skip)]
    pub hold: Option<Hold>,
    /// When the scaling rule last looked.
    #[serde(skip)]
    pub looked: Option<Time>,
    /// What has come since then.
    #[serde(skip)]
    pub came: CameSince,
}

/// The change from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number in the app.
    pub number: u32,
    /// The version before.
    pub from: Option<Version>,
    /// The version after.
    pub to: Version,
    /// Who wanted it.
    pub cause: Cause,
    /// When it began.
    pub begun: Time,
    /// The most that are replaced at a time, instead of what the policy says.
    pub step: Option<u32>,
    /// How far it is.
    pub progress: Progress,
    /// It has failed, and there is nothing to go back to: it still tries.
    pub stalled: Option<Failure>,
}

/// Who wanted a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A user deployed it.
    Deployed,
    /// A user went back to it.
    RolledBack,
    /// Another version failed.
    Reverted {
        /// That version.
        failed: Version,
        /// Why.
        why: Failure,
    },
}

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which one.
    pub number: u32,
    /// The version before.
    pub from: Option<Version>,
    /// The version after.
    pub to: Version,
    /// When it ended.
    pub at: Time,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All instances have its version.
    Done,
    /// A newer one took its place.
    Superseded,
    /// It failed, and the last good version took its place.
    Failed(Failure),
    /// The app was deleted.
    Deleted,
}

/// When and how an app was scaled, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaled {
    /// When.
    pub at: Time,
    /// Instances before.
    pub from: u32,
    /// Instances after.
    pub to: u32,
    /// Why.
    pub why: ScaledBy,
}

/// Why an app was scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaledBy {
    /// A user said so.
    User,
    /// The bounds changed.
    Bounds,
    /// The policy said so.
    Policy(scaling::Action),
}

/// The failures of a version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// Of all machines together.
    pub all: BackOff,
    /// By machine.
    pub machines: BTreeMap<MachineName, BackOff>,
}

/// What an app had to do, and when that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// When the period ended.
    pub at: Time,
    /// What there was to do.
    pub load: Load,
}

/// What has come since the scaling rule last looked, over all loads that were reported since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CameSince {
    /// The end of the period of the last load before that look.
    pub begun: Option<Time>,
    /// The sums of the loads since.
    pub arrivals: u64,
    /// Likewise.
    pub rejects: u64,
}

impl CameSince {
    /// Another load was reported; none of them tells of a period if the one before isn't known.
    pub fn add(&mut self, before: Option<Observed>, load: &Load) {
        if self.begun.is_none() {
            self.begun = before.map(|seen| seen.at);
        }
        if self.begun.is_some() {
            self.arrivals = self.arrivals.saturating_add(load.arrivals);
            self.rejects = self.rejects.saturating_add(load.rejects);
        }
    }

    /// What came until the end of a load's period, and the beginning of the next one.
    pub fn take(&mut self, until: Time) -> Option<scaling::Came> {
        let begun = self.begun.filter(|begun| *begun < until)?;
        let Self { arrivals, rejects, .. } = std::mem::take(self);
        self.begun = Some(until);
        Some(scaling::Came {
            arrivals,
            refusals: rejects.min(arrivals),
            period: until.since(begun),
        })
    }
}

impl Observed {
    /// Requests that wait or are worked on.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.load.waiting.saturating_add(self.load.busy_thousandths.div_ceil(1000))
    }
}

impl App {
    /// What it has to do, if that is known of this moment.
    #[must_use]
    pub fn fresh_load(&self, now: Time) -> Option<Observed> {
        self.load.filter(|seen| now.since(seen.at) < LOAD_STALE_AFTER)
    }

    /// What its instances should be.
    #[must_use]
    pub fn specification(&self) -> Option<&Arc<Specification>> {
        self.versions.get(&self.target)
    }

    /// Itself as a record: its instances have their own.
    pub(crate) fn without_instances(&self) -> App {
        App {
            bounds: self.bounds,
            wanted: self.wanted,
            target: self.target,
            stable: self.stable.clone(),
            versions: self.versions.clone(),
            versions_made: self.versions_made,
            deployments_made: self.deployments_made,
            deployment: self.deployment.clone(),
            history: self.history.clone(),
            named: self.named.clone(),
            scaling: self.scaling.clone(),
            scaled: self.scaled,
            failures: self.failures.clone(),
            is_deleted: self.is_deleted,
            gone: self.gone.clone(),
            rebalance: self.rebalance.clone(),
            keeps_volumes: self.keeps_volumes,
            instances: BTreeMap::new(),
            slot: 0,
            load: None,
            hold: None,
            looked: None,
            came: CameSince::default(),
        }
    }

    /// Keeps the specifications that somebody may still need.
    pub(crate) fn forget_versions(&mut self) {
        let used: BTreeSet<Version> =
            self.instances.values().map(|instance| instance.version).collect();
        let surplus = self.versions.len().saturating_sub(VERSIONS_KEPT);
        let last_stable = self.stable.last().copied();
        let old: Vec<Version> = self.versions.keys().copied().take(surplus).collect();
        for version in old {
            let is_needed = used.contains(&version)
                || version == self.target
                || Some(version) == last_stable
                || self.deployment.as_ref().is_some_and(|one| one.from == Some(version));
            if !is_needed {
                self.versions.remove(&version);
                self.failures.remove(&version);
            }
        }
        let versions = &self.versions;
        self.stable.retain(|version| versions.contains_key(version));
    }
}

/// Keeps the last ones of a history.
pub(crate) fn remember<T>(history: &mut Vec<T>, item: T) {
    history.push(item);
    let surplus = history.len().saturating_sub(HISTORY_KEPT);
    history.drain(..surplus);
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Deployed => f.write_str("deployed"),
            Cause::RolledBack => f.write_str("rolled back by a user"),
            Cause::Reverted { failed, why } => write!(f, "went back from {failed}: {why}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Superseded => f.write_str("superseded by a newer one"),
            Outcome::Failed(why) => write!(f, "failed: {why}"),
            Outcome::Deleted => f.write_str("the app was deleted"),
        }
    }
}

impl fmt::Display for ScaledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScaledBy::User => f.write_str("a user said so"),
            ScaledBy::Bounds => f.write_str("the bounds changed"),
            ScaledBy::Policy(action) => write!(f, "by the policy: {action}"),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &BTreeSet<String>| {
            values.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
        };
        match self {
            Constraint::Attribute { name, values } => write!(f, "{name} is {}", list(values)),
            Constraint::NotAttribute { name, values } => {
                write!(f, "{name} is not {}", list(values))
            }
            Constraint::Machines(machines) => {
                let names: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
                write!(f, "the machine is {}", names.join(" or "))
            }
            Constraint::MostPerMachine(most) => write!(f, "at most {most} on a machine"),
        }
    }
}
