//! An instance: its life, and what is known of it.

use std::fmt;
use std::sync::Arc;

use policy::Time;
use policy::rollout::FULL_THOUSANDTHS;
use serde::{Deserialize, Serialize};

use crate::ids::{MachineName, Version};
use crate::ports::Ports;

/// Where an instance stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It has no machine.
    Waiting,
    /// It has a machine; that isn't durable yet, so nothing has left.
    Intended,
    /// Its launch has left.
    Launching,
    /// Its process runs and isn't healthy yet.
    Running,
    /// It is healthy and being registered.
    Registering,
    /// It gets requests.
    Serving {
        /// Its registered weight, in thousandths.
        weight_thousandths: u32,
    },
    /// Its registration is being ended.
    Deregistering,
    /// It gets no new requests and finishes those that it has.
    CoolingDown,
    /// Its process is being ended.
    Killing,
    /// Its process has ended; its registration isn't gone yet.
    Sweeping,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// What it runs.
    pub version: Version,
    /// Where it stands.
    pub life: Life,
    /// Since when.
    pub since: Time,
    /// When it was wanted first.
    pub made: Time,
    /// Its machine.
    pub machine: Option<MachineName>,
    /// Its ports on the machine.
    pub ports: Ports,
    /// The name of its container, if somebody asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Arc<str>>,
    /// The machine that it has to be on, because a user named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<MachineName>,
    /// Why it was put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// Since when it isn't healthy, if it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy_since: Option<Time>,
    /// Since when it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<Time>,
    /// Its machine has been silent for so long that it doesn't count any more.
    pub is_replaced: bool,
    /// Why it must leave, apart from its version and its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
    /// Why it is being ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The time at its source of the newest fact about its process.
    pub heard: Time,
    /// When anything about it last came.
    #[serde(skip)]
    pub came: Time,
    /// When something about it was last sent.
    #[serde(skip)]
    pub sent: Option<Time>,
    /// Whether it has to be asked for: nothing has been heard of it for too long.
    #[serde(skip)]
    pub is_doubted: bool,
    /// When it was last asked for.
    #[serde(skip)]
    pub asked: Option<Time>,
    /// The weight that was last asked for, in thousandths.
    #[serde(skip)]
    pub weight_asked: u32,
    /// Why it has no machine; derived at each look.
    #[serde(skip)]
    pub wait: Option<Wait>,
}

/// Why an instance was put where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Instances of the app that the machine had.
    pub same_app: u32,
    /// Thousandths of cores that were free there.
    pub free_millicores: u32,
}

/// Why an instance has no machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// No machine can take it.
    NoMachine,
    /// Instances of its version failed; it waits until then.
    BackOff(Time),
}

/// Why an instance must leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaving {
    /// A user took it from its machine.
    Removed,
    /// A user wants another one in its place.
    Restarted,
    /// Another one takes its place on a machine with fewer.
    Moved,
}

/// Why an instance ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Another version takes its place.
    Upgraded,
    /// There are more than wanted.
    ScaledIn,
    /// Its machine is drained.
    Drained,
    /// Its app is spread again: another one takes its place on a machine with fewer.
    Moved,
    /// A user took it away or wants another one.
    ByUser,
    /// It wasn't healthy for too long.
    Unhealthy,
    /// It didn't become healthy in time.
    NeverHealthy,
    /// Its process ended by itself.
    Exited(Exit),
    /// Nobody knows it: it never started, or its end was missed.
    Lost,
    /// Its machine is gone.
    MachineGone,
    /// Its machine was silent for too long.
    MachineForgotten,
}

/// How a process ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took more memory than it has.
    OutOfMemory,
    /// It could not be started.
    NotStarted(String),
    /// Somebody else ended it, or its machine was short of something.
    Evicted(String),
    /// It failed; its code or signal isn't known, only what is said of it.
    Failed(String),
    /// It never started, or its end was missed, and not by its own fault.
    Lost(String),
}

/// An instance that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its number.
    pub number: u64,
    /// What it ran.
    pub version: Version,
    /// Where.
    pub machine: Option<MachineName>,
    /// When it ended.
    pub at: Time,
    /// Why.
    pub end: End,
}

impl Life {
    /// Its name in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Life::Waiting => "waiting",
            Life::Intended => "intended",
            Life::Launching => "launching",
            Life::Running => "running",
            Life::Registering => "registering",
            Life::Serving { .. } => "serving",
            Life::Deregistering => "deregistering",
            Life::CoolingDown => "cooling-down",
            Life::Killing => "killing",
            Life::Sweeping => "sweeping",
        }
    }

    /// Whether it is on its way out.
    #[must_use]
    pub const fn is_stopping(self) -> bool {
        matches!(self, Life::Deregistering | Life::CoolingDown | Life::Killing)
    }

    /// Whether it doesn't serve yet and may later.
    #[must_use]
    pub const fn is_starting(self) -> bool {
        match self {
            Life::Waiting
            | Life::Intended
            | Life::Launching
            | Life::Running
            | Life::Registering => true,
            Life::Serving { .. }
            | Life::Deregistering
            | Life::CoolingDown
            | Life::Killing
            | Life::Sweeping => false,
        }
    }

    /// Whether it counts as one of the app's on its machine: it isn't on its way out.
    #[must_use]
    pub const fn is_spread(self) -> bool {
        match self {
            Life::Intended
            | Life::Launching
            | Life::Running
            | Life::Registering
            | Life::Serving { .. } => true,
            Life::Waiting
            | Life::Deregistering
            | Life::CoolingDown
            | Life::Killing
            | Life::Sweeping => false,
        }
    }

    /// Whether it may have a process, so that its machine's resources are held.
    #[must_use]
    pub const fn holds_resources(self) -> bool {
        !matches!(self, Life::Waiting | Life::Sweeping)
    }
}

impl Instance {
    pub(crate) fn waiting(version: Version, named: Option<MachineName>, now: Time) -> Self {
        Instance {
            version,
            life: Life::Waiting,
            since: now,
            made: now,
            machine: None,
            ports: Ports::default(),
            container: None,
            named,
            placed: None,
            unhealthy_since: None,
            serving_since: None,
            is_replaced: false,
            leaving: None,
            end: None,
            heard: Time::ZERO,
            came: now,
            sent: None,
            is_doubted: false,
            asked: None,
            weight_asked: 0,
            wait: None,
        }
    }

    pub(crate) fn enter(&mut self, life: Life, now: Time) {
        self.life = life;
        self.since = now;
        self.sent = None;
    }

    /// Whether it was healthy and isn't now.
    #[must_use]
    pub const fn is_unhealthy(&self) -> bool {
        self.unhealthy_since.is_some()
    }

    /// Its registered weight, in thousandths; 0 if it doesn't serve.
    #[must_use]
    pub const fn weight_thousandths(&self) -> u32 {
        match self.life {
            Life::Serving { weight_thousandths } => weight_thousandths,
            _ => 0,
        }
    }

    /// Whether it serves with its full weight.
    #[must_use]
    pub const fn is_warm(&self) -> bool {
        self.weight_thousandths() >= FULL_THOUSANDTHS
    }
}

impl End {
    /// Whether it is a failure of the version on the machine.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        match self {
            End::Exited(Exit::Evicted(_) | Exit::Lost(_)) => false,
            End::Exited(_) | End::NeverHealthy | End::Unhealthy => true,
            End::Upgraded
            | End::ScaledIn
            | End::Drained
            | End::Moved
            | End::ByUser
            | End::Lost
            | End::MachineGone
            | End::MachineForgotten => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Upgraded => f.write_str("another version takes its place"),
            End::ScaledIn => f.write_str("there were more than wanted"),
            End::Drained => f.write_str("its machine is drained"),
            End::Moved => f.write_str("it moved to a machine with fewer"),
            End::ByUser => f.write_str("a user took it away"),
            End::Unhealthy => f.write_str("it was not healthy for too long"),
            End::NeverHealthy => f.write_str("it did not become healthy in time"),
            End::Exited(exit) => write!(f, "{exit}"),
            End::Lost => f.write_str("nobody knows it: it never started, or its end was missed"),
            End::MachineGone => f.write_str("its machine is gone"),
            End::MachineForgotten => f.write_str("its machine was silent for too long"),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "it ended with code {code}"),
            Exit::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            Exit::OutOfMemory => f.write_str("it took more memory than it has"),
            Exit::NotStarted(why) => write!(f, "it could not be started: {why}"),
            Exit::Evicted(why) => write!(f, "it was ended from outside: {why}"),
            Exit::Failed(why) => write!(f, "it failed: {why}"),
            Exit::Lost(why) => write!(f, "it is lost: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task may cost 1 KB of memory; this is what it costs before names, ports and indexes.
    #[test]
    fn an_instance_is_small() {
        let bytes = size_of::<Instance>();
        assert!(bytes <= 256, "{bytes} bytes");
    }
}
