//! Records of a run over releases, and the run as they tell it. Where they are kept is the
//! engine's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::decide::Step;
use crate::progress::{Outcome, Progress};
use crate::reason::Reason;
use crate::state::{Goal, Observed, Options};

/// Version of the records, in the first of each run.
const RECORDS: u32 = 1;
/// What a run tells while it goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "happening", rename_all = "snake_case")]
pub enum Happening {
    /// A step begins. It is stored before anything of it is done.
    StepBegins {
        /// Which.
        step: Step,
        /// What was observed right before.
        observed: Observed,
        /// What the run remembers, this step included.
        progress: Progress,
    },
    /// A step is over.
    StepEnded {
        /// Which.
        step: Step,
        /// How it went, by member.
        outcomes: BTreeMap<String, Outcome>,
        /// How long it took.
        duration_ms: u64,
        /// What the run remembers.
        progress: Progress,
    },
    /// The cluster is waited for.
    Waits {
        /// Why.
        reason: Reason,
    },
}

/// One record; also one line of `--output ndjson`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A run begins.
    Begun {
        /// Version of the records.
        format: u32,
        /// Its name.
        run: String,
        /// The run that it goes on with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// What it is for.
        request: Request,
        /// What it knows at its beginning.
        progress: Progress,
    },
    /// Something happens.
    Happens {
        /// What.
        happening: Happening,
    },
    /// The run is over.
    Ended {
        /// How: `done`, `stopped`, `paused`, `interrupted`, `resumed`, `refused`.
        how: String,
        /// In words.
        message: String,
    },
}

/// What a run is for: all that is needed to begin it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Component.
    pub component: String,
    /// Folder of the playbooks, absolute.
    pub playbooks: PathBuf,
    /// Inventories, absolute where they are files.
    pub inventories: Vec<String>,
    /// What is wanted.
    pub goal: Goal,
    /// How careful.
    pub options: Options,
    /// Steps of a plan that must be kept to.
    pub plan: Option<Vec<Step>>,
    /// Digest of what Consul said of the hosts, which is kept beside the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// A run as its journal tells it.
#[derive(Debug, Clone)]
pub struct Past {
    /// Its name.
    pub run: String,
    /// What it was for.
    pub request: Request,
    /// What it knew last.
    pub progress: Progress,
    /// How it ended, if it did.
    pub end: Option<String>,
    /// The step that was begun and not ended.
    pub step: Option<Step>,
    /// How many steps were ended, reverts not counted.
    pub ended: usize,
    /// The run that it went on with.
    pub after: Option<String>,
    /// When it began, in milliseconds since the epoch.
    pub begun_ms: u64,
    /// A later run for the same component, after which there is nothing to go on with.
    pub replaced_by: Option<String>,
}

/// Why records tell no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It is no record.
    #[error("record {number}: {error}")]
    Unreadable {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: String,
    },
    /// Another version of the records.
    #[error("its records have format {0}; this provision knows {RECORDS}")]
    UnknownFormat(u32),
    /// No run begins in it.
    #[error("it holds no run")]
    Empty,
}

impl Request {
    /// Whether it is about members of this component that these inventories name, too.
    #[must_use]
    pub fn is_about(&self, component: &str, inventories: &[String]) -> bool {
        let is_shared = |inventory: &String| inventories.contains(inventory);
        self.component == component && self.inventories.iter().any(is_shared)
    }
}

impl Record {
    /// The first record of a run.
    #[must_use]
    pub fn begun(run: &str, after: Option<&str>, request: &Request, progress: &Progress) -> Self {
        Record::Begun {
            format: RECORDS,
            run: run.to_owned(),
            after: after.map(str::to_owned),
            request: request.clone(),
            progress: progress.clone(),
        }
    }
}

impl Past {
    /// Whether there is something to go on with.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let is_over = !matches!(self.end.as_deref(), None | Some("paused" | "interrupted"));
        !is_over && self.replaced_by.is_none()
    }

    /// A run from its records, oldest first.
    ///
    /// # Errors
    /// When they tell none.
    pub fn of(records: &[Vec<u8>]) -> Result<Self, JournalError> {
        let mut past: Option<Past> = None;
        for (number, bytes) in (1..).zip(records) {
            let record: Record = serde_json::from_slice(bytes)
                .map_err(|error| JournalError::Unreadable { number, error: error.to_string() })?;
            match (record, &mut past) {
                (Record::Begun { format, .. }, _) if format != RECORDS => {
                    return Err(JournalError::UnknownFormat(format));
                }
                (Record::Begun { run, after, request, progress, .. }, past) => {
                    *past = Some(Past {
                        run,
                        request,
                        begun_ms: progress.since_ms(),
                        progress,
                        end: None,
                        step: None,
                        ended: 0,
                        after,
                        replaced_by: None,
                    });
                }
                (Record::Happens { happening }, Some(past)) => past.take(happening),
                (Record::Ended { how, .. }, Some(past)) => past.end = Some(how),
                (Record::Happens { .. } | Record::Ended { .. }, None) => {}
            }
        }
        past.ok_or(JournalError::Empty)
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::StepBegins { step, progress, .. } => {
                self.step = Some(step);
                self.progress = progress;
            }
            Happening::StepEnded { step, progress, .. } => {
                self.step = None;
                self.ended += usize::from(!matches!(step, Step::Revert { .. }));
                self.progress = progress;
            }
            Happening::Waits { .. } => {}
        }
    }
}
