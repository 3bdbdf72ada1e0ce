//! Events: the only link between running and showing. Terminal, NDJSON and journal read these.
//!
//! The serialised form is public: fields are only ever added, and [`EVENT_FORMAT`] is raised when
//! a reader has to change.

use provision_protocol::{Diff, Object};
use serde::{Deserialize, Serialize};

/// Version of the serialised events, in the first event of each run.
pub const EVENT_FORMAT: u32 = 1;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Everything is loaded and checked; nothing was touched yet.
    RunStarted {
        /// [`EVENT_FORMAT`].
        format: u32,
        /// Name of the run.
        run: String,
        /// Playbooks.
        playbooks: Vec<String>,
        /// Hosts that any play may touch.
        hosts: usize,
        /// Check mode.
        check: bool,
        /// The command, if it is one command and no playbook.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        command: Option<CommandLine>,
    },
    /// A play begins for one batch of hosts.
    PlayStarted {
        /// Its name, or its host pattern.
        name: String,
        /// `file:line:col`.
        place: String,
        /// Hosts of the batch, in order.
        hosts: Vec<String>,
        /// Number of the batch, from 1, and how many there are.
        batch: (usize, usize),
    },
    /// A host answered and its helper runs.
    HostConnected {
        /// Host.
        host: String,
        /// Time from the first packet to the helper's answer.
        duration_ms: u64,
        /// Bytes of the helper that had to be sent; 0 if it was there.
        uploaded_bytes: u64,
    },
    /// The first result of a task is there; all earlier tasks are over.
    TaskStarted {
        /// Number of the task within the run, ascending.
        task: u64,
        /// Name as shown.
        name: String,
        /// Role it belongs to.
        role: Option<String>,
        /// Module.
        module: String,
        /// `file:line:col`.
        place: String,
        /// Whether it is a handler.
        handler: bool,
        /// Hosts that are to run it, as far as known.
        hosts: usize,
    },
    /// An attempt of a task with `until` was in vain on a host; there is another.
    Retrying {
        /// Number of the task.
        task: u64,
        /// Host.
        host: String,
        /// Attempts so far.
        attempts: u64,
        /// Attempts that are left.
        left: u64,
    },
    /// One loop item of a task ended on a host; the task's own result follows.
    ItemResult(Box<HostResult>),
    /// A task ended on a host.
    Result(Box<HostResult>),
    /// A task ended on all hosts.
    TaskFinished {
        /// Number of the task.
        task: u64,
    },
    /// Something the user should know; the run goes on.
    Warning {
        /// Host it is about.
        host: Option<String>,
        /// Text.
        message: String,
    },
    /// A host can't be reached (any more).
    HostUnreachable {
        /// Host.
        host: String,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The end.
    RunFinished {
        /// Counts of each host, in inventory order.
        recap: Vec<HostRecap>,
        /// Wall time.
        duration_ms: u64,
        /// How it ended.
        outcome: Outcome,
        /// What of the playbook itself ended it early, for all hosts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// A command for many hosts, as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Which hosts.
    pub pattern: String,
    /// The command and its arguments.
    pub words: Vec<String>,
}

/// A result on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostResult {
    /// Number of the task.
    pub task: u64,
    /// Host whose task it is.
    pub host: String,
    /// Host that did it, if another one.
    pub delegate: Option<String>,
    /// Address of the host that did it, if the inventory gives it one that isn't its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate_address: Option<String>,
    /// Label of the loop item.
    pub item: Option<String>,
    /// How it ended.
    pub status: Status,
    /// What users should read: the module's `msg`, the reason of a skip…
    pub message: Option<String>,
    /// The module's return values, redacted.
    pub result: Object,
    /// Changes, redacted.
    pub diff: Vec<Diff>,
    /// Time on the host.
    pub duration_us: u64,
}

/// How a task ended on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be already.
    Ok,
    /// Changed (in check mode: would change).
    Changed,
    /// A condition didn't hold.
    Skipped,
    /// Failed, and the failure was ignored.
    Ignored,
    /// Failed.
    Failed,
    /// The host was lost.
    Unreachable,
}

/// Counts of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecap {
    /// Host.
    pub host: String,
    /// Tasks that ended well, changed ones included (as Ansible counts).
    pub ok: u64,
    /// Tasks that changed something.
    pub changed: u64,
    /// Tasks without any answer.
    pub unreachable: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks whose condition didn't hold.
    pub skipped: u64,
    /// Failures that a rescue took.
    pub rescued: u64,
    /// Failures that were ignored.
    pub ignored: u64,
    /// Time spent in modules on the host.
    pub host_time_us: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All hosts did everything.
    Done,
    /// Some hosts failed.
    Failed,
    /// Some hosts were unreachable.
    Unreachable,
    /// Both.
    FailedAndUnreachable,
    /// `max_fail_percentage` or `any_errors_fatal` ended it.
    StoppedByLimit,
    /// The operator ended it.
    Interrupted,
}
