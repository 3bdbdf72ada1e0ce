//! Tasks, and what is said of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::volumes::Mount;

/// The longest id: with an ending for a temporary file it still is a name for all file systems.
const ID_MOST_BYTES: usize = 200;

/// The name of a task. It is the name of its folder, too: letters, digits, dots, hyphens and
/// underscores, not a dot first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

/// A text that is no name of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a task: letters, digits, dots, hyphens and underscores, at most 200")]
pub struct TaskIdError(String);

impl TaskId {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskId {
    type Err = TaskIdError;

    fn from_str(text: &str) -> Result<Self, TaskIdError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..=ID_MOST_BYTES).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(is_known);
        if is_name { Ok(TaskId(text.to_owned())) } else { Err(TaskIdError(text.to_owned())) }
    }
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(text: String) -> Result<Self, TaskIdError> {
        text.parse()
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> String {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, never used for another one.
    pub id: TaskId,
    /// A word that is given back with each report, such as the machine that this one pretends to be.
    pub owner: String,
    /// The program.
    pub program: Program,
    /// Variables of its environment; `PATH`, `LANG`, `LC_ALL` and `TZ` are those of the runner unless
    /// they are here.
    pub environment: BTreeMap<String, String>,
    /// Its ports on this machine.
    pub ports: Vec<u16>,
    /// The most memory that all its processes may have resident together, in MiB; none: no limit.
    pub memory_most_mib: Option<u32>,
    /// Thousandths of cores, for containers; processes have no limit.
    pub millicores: Option<u32>,
    /// How it is seen whether it is healthy; without it nothing is said of health.
    pub check: Option<Check>,
    /// Time between being asked and being made to end, if nothing else is said.
    pub kill_grace: Duration,
    /// Folders that it finds, and that outlive it.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// How its container is named; `corral-` and its own name, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl Task {
    /// The name of its container, if it runs in one.
    #[must_use]
    pub fn container_name(&self) -> Option<String> {
        let is_container = matches!(self.program, Program::Image { .. });
        let own = || self.container.clone().unwrap_or_else(|| format!("corral-{}", self.id));
        is_container.then(own)
    }
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A program of this machine and its arguments, run in the task's own folder.
    Command(Vec<String>),
    /// A container.
    Image {
        /// Its image, with tag or digest.
        image: String,
        /// Arguments instead of those of the image, if there are any.
        arguments: Vec<String>,
        /// Ports inside, in the order of the task's ports; those that aren't named are the same.
        inner_ports: Vec<u16>,
    },
}

/// How it is seen whether a task is healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is tried.
    pub probe: Probe,
    /// Time from one to the next.
    pub interval: Duration,
    /// The longest that one may take.
    pub timeout: Duration,
    /// So many in a row have to fail before it isn't healthy any more.
    pub failures: u32,
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A GET of this path on this port of the loopback address, answered with 200 to 399.
    Http {
        /// The path.
        path: String,
        /// The port on this machine.
        port: u16,
    },
    /// A connection to this port of the loopback address.
    Tcp {
        /// The port on this machine.
        port: u16,
    },
    /// A program with its arguments, in the task's folder and environment (inside its container, if
    /// it is one), that ends with code 0.
    Command(Vec<String>),
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which one.
    pub task: TaskId,
    /// The word that was given with it.
    pub owner: String,
    /// When it was so: nanoseconds since 1970.
    pub at_nanoseconds: u64,
    /// What.
    pub what: What,
}

/// What can be said of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its supervisor is being started.
    Launched,
    /// Its process runs.
    Running,
    /// Its check passes.
    Healthy,
    /// Its check doesn't pass.
    Unhealthy,
    /// It has ended.
    Ended(Ending),
    /// There is no such task here.
    Unknown,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took more memory than it may.
    OutOfMemory,
    /// It could not be started.
    NotStarted(String),
    /// Its supervisor was ended from outside, or the machine was.
    Lost(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_of_folders() {
        for good in ["web.1", "A_b-c.9", &"x".repeat(200)] {
            assert_eq!(good.parse::<TaskId>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b", "ä", "a\0", &"x".repeat(201)] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }
}
