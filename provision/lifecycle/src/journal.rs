//! Records of a run over releases, and the run as they tell it. Where they are kept is the
//! engine's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::decide::Step;
use crate::plan::digest_of;
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
        request: Box<Request>,
        /// What it knows at its beginning.
        progress: Progress,
        /// What the operator was shown before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown: Option<Box<Shown>>,
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
        /// How long it took, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// What it wrote into the inventory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<Written>,
    },
}

/// The plan that an operator says yes to: a run that is shown again begins with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// What was observed.
    pub observed: Observed,
    /// What was to be done.
    pub steps: Vec<Step>,
}

/// Lines of a file that were written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Lines that are no longer there.
    pub removed: Vec<String>,
    /// Lines that stand in their place.
    pub added: Vec<String>,
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
    /// Variables of the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Given>,
    /// Digest of what Consul said of the hosts, which is kept beside the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// Variables of the command line: they may be secrets, so only what tells them apart is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Their names.
    pub names: Vec<String>,
    /// Digest of all.
    pub digest: String,
}

impl Given {
    /// What to keep of `-e` texts; nothing of none.
    #[must_use]
    pub fn of(texts: &[String]) -> Option<Self> {
        let name = |text: &String| match text.split_once('=') {
            _ if text.starts_with(['@', '{', '[']) => text.chars().take(1).collect(),
            Some((name, _)) => name.trim().to_owned(),
            None => String::new(),
        };
        let names = texts.iter().map(name).collect();
        let digest = digest_of(texts.iter().map(|text| ("e", text.as_bytes())));
        (!texts.is_empty()).then_some(Given { names, digest })
    }
}

/// Version of notes.
const NOTE_FORMAT: u32 = 1;

/// What a run leaves on its members while it goes on, for whoever has to go on with it: another
/// operator has no journal of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Version of the format.
    pub format: u32,
    /// Name of the run.
    pub run: String,
    /// Who runs it, where.
    pub controller: String,
    /// Component.
    pub component: String,
    /// What is wanted.
    pub goal: Goal,
    /// How careful.
    pub options: Options,
    /// Variables of the command line.
    pub variables: Option<Given>,
    /// When this was written, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The step that it is in.
    pub step: Option<Step>,
}

impl Note {
    /// The note of a run that begins.
    #[must_use]
    pub fn new(run: &str, controller: &str, request: &Request, at_ms: u64) -> Self {
        Note {
            format: NOTE_FORMAT,
            run: run.to_owned(),
            controller: controller.to_owned(),
            component: request.component.clone(),
            goal: request.goal.clone(),
            options: request.options,
            variables: request.variables.clone(),
            at_ms,
            step: None,
        }
    }

    /// A note from text; nothing from what is none, or was written by another provision.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let note: Note = serde_json::from_str(text).ok()?;
        (note.format == NOTE_FORMAT).then_some(note)
    }

    /// As text.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
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
            request: Box::new(request.clone()),
            progress: progress.clone(),
            shown: None,
        }
    }

    /// The same with the plan that the operator was shown; other records stay as they are.
    #[must_use]
    pub fn showing(self, plan: Option<Shown>) -> Self {
        match self {
            Record::Begun { format, run, after, request, progress, shown: _ } => {
                let shown = plan.map(Box::new);
                Record::Begun { format, run, after, request, progress, shown }
            }
            other => other,
        }
    }

    /// The last record of a run.
    #[must_use]
    pub fn ended(how: &str, message: impl Into<String>) -> Self {
        let (how, message) = (how.to_owned(), message.into());
        Record::Ended { how, message, duration_ms: None, written: None }
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
                        request: *request,
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
