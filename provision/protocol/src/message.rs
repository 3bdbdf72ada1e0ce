//! Control messages. They are JSON so that a captured session can be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Object;

/// What the controller says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToHost {
    /// Always the first message.
    Hello {
        /// [`crate::PROTOCOL_VERSION`] of the controller.
        protocol: u32,
        /// Identifies the run; a reconnection of the same run gets the kept result.
        run: String,
        /// Who runs it, for the message another controller gets while the host is locked.
        controller: String,
        /// How long to wait for another run's lock on this host, in milliseconds.
        lock_wait_ms: u64,
        /// Whether this run may change the host (takes the lock).
        exclusive: bool,
    },
    /// Run this after all earlier calls.
    Call(Box<Call>),
    /// The answer to [`FromHost::NeedPassword`].
    Password {
        /// The request that is answered.
        request: u64,
        /// The password; `None`: there is none.
        password: Option<String>,
    },
    /// The answer to [`FromHost::NeedContent`] when the controller refuses or lacks it.
    ContentRefused {
        /// The call that asked.
        id: u64,
        /// Digest that was asked for.
        sha256: String,
        /// Why.
        reason: String,
    },
    /// Stop the running call, drop all queued ones.
    Cancel,
    /// Nothing more will come. The helper finishes what is queued and exits.
    Bye,
}

/// One finished module call: nothing in it needs evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Unique and ascending within a run and host.
    pub id: u64,
    /// Calls of one loop share the task number. After a failure that isn't ignored, the remaining
    /// calls of the same task still run, later tasks of the same generation are dropped.
    pub task: u64,
    /// Raised by the controller each time it goes on after a failure.
    pub generation: u32,
    /// A failure of this call doesn't drop later tasks.
    pub ignore_failure: bool,
    /// Canonical module name (`copy`, not `ansible.builtin.copy`).
    pub module: String,
    /// Checked and normalised arguments, aliases resolved, defaults left out.
    pub arguments: Object,
    /// Which user it runs as; `None`: the user that logged in.
    pub r#become: Option<Become>,
    /// Additional environment of processes that the module starts.
    pub environment: BTreeMap<String, String>,
    /// Compute the change, don't make it.
    pub check: bool,
    /// Report the change as a diff.
    pub diff: bool,
    /// Keep the result out of anything that is stored on the host.
    pub no_log: bool,
    /// Kill it after this many seconds.
    pub timeout_s: Option<f64>,
    /// Run it detached.
    pub asynchronous: Option<Async>,
    /// The only contents this call may ask for.
    pub contents: Vec<ContentReference>,
    /// Handlers to remember on the host, durably, before this call changes anything.
    pub notify: Vec<String>,
    /// Handlers that are forgotten when this call succeeds.
    pub completes: Vec<String>,
}

/// Name of the call that runs nothing: it only has the host remember and forget handlers.
pub const REMEMBER: &str = "_remember";

impl Call {
    /// A call that runs nothing, whose handlers are remembered (`notify`) or forgotten
    /// (`completes`). No failure drops it.
    #[must_use]
    pub fn remembering(notify: Vec<String>, completes: Vec<String>) -> Self {
        Call {
            id: 0,
            task: 0,
            generation: 0,
            ignore_failure: true,
            module: REMEMBER.to_owned(),
            arguments: Object::new(),
            r#become: None,
            environment: BTreeMap::new(),
            check: false,
            diff: false,
            no_log: false,
            timeout_s: None,
            asynchronous: None,
            contents: Vec::new(),
            notify,
            completes,
        }
    }
}

/// Another identity to run as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Become {
    /// User name.
    pub user: String,
    /// `sudo` or `su`.
    pub method: String,
    /// Extra arguments of the method, already split.
    pub flags: Vec<String>,
}

/// A detached run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Async {
    /// Name of the job's state directory.
    pub job: String,
    /// Kill it after this many seconds.
    pub limit_s: u64,
}

/// A content named by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentReference {
    /// Lowercase hexadecimal SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// One entry of a directory that `copy` sends; argument `_tree` is a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEntry {
    /// Relative path, without `..`.
    pub path: String,
    /// `file`, `directory` or `link`.
    pub kind: String,
    /// Digest of a file.
    pub content: Option<ContentReference>,
    /// Target of a link.
    pub target: Option<String>,
    /// Permission bits of the source, for `mode: preserve`.
    pub mode: u32,
}

/// What the helper says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromHost {
    /// Answer to [`ToHost::Hello`].
    Hello(Box<HostHello>),
    /// The host is locked by another run.
    Locked {
        /// Run that holds the lock.
        run: String,
        /// Its controller.
        controller: String,
        /// Since when, seconds since the epoch.
        since_s: u64,
    },
    /// A call begins.
    Started {
        /// Which.
        id: u64,
    },
    /// A call ended.
    Result(Box<CallResult>),
    /// A queued call was dropped because of an earlier failure or a cancellation.
    Dropped {
        /// Which.
        id: u64,
    },
    /// The running call needs a content. The controller sends it only if the call names it.
    NeedContent {
        /// The running call.
        id: u64,
        /// Digest.
        sha256: String,
    },
    /// sudo showed our own prompt.
    NeedPassword {
        /// To be repeated in the answer.
        request: u64,
        /// Whose session wants to become whom.
        user: String,
        /// Whether an earlier answer was refused.
        again: bool,
    },
    /// Something the operator should know (a fallback that was taken).
    Warning {
        /// Text.
        text: String,
    },
    /// The helper can't go on.
    Fatal {
        /// Text.
        message: String,
    },
}

/// How a helper introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostHello {
    /// Its [`crate::PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Login user.
    pub user: String,
    /// Effective user id.
    pub uid: u32,
    /// Kernel's boot id: differs after a reboot.
    pub boot_id: String,
    /// Handlers that an earlier run left notified.
    pub pending_handlers: Vec<String>,
    /// Results that an earlier connection of the same run did not deliver.
    pub kept_results: Vec<CallResult>,
    /// Highest call id of this run that was started by an earlier connection.
    pub last_started: Option<u64>,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallResult {
    /// Which call.
    pub id: u64,
    /// What the module returned, as users see it: `changed`, `failed`, `msg`, `rc`, `stdout`…
    pub result: Object,
    /// Time it took on the host, in microseconds.
    pub duration_us: u64,
}

/// A change as before and after; the controller renders it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Diff {
    /// Name of what changed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_header: Option<String>,
    /// Name of what changed after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_header: Option<String>,
    /// Text before.
    #[serde(default)]
    pub before: String,
    /// Text after.
    #[serde(default)]
    pub after: String,
    /// The same as mappings, if it is about attributes: results hold these.
    #[serde(skip)]
    pub attributes: Option<Box<[Object; 2]>>,
}
