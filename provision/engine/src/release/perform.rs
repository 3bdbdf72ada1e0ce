//! Carries a change out: keeps its journal, reaches its goal, and writes the wanted version.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use provision_lifecycle::{Happening, Note, Purpose, Record, Step, Written};

use super::change::{Change, names};
use super::journal::{Journal, Journals};
use super::{End, Task, Watcher, now_ms};

/// The only component of a run that changes one.
const ONE: usize = 0;
/// Mode of a file of the inventory that is written anew.
const FILE_MODE: u32 = 0o644;

/// Is told what a run has stored, and asked what only the operator knows.
pub trait Listener {
    /// A record is on disk, and nothing after it has been begun.
    fn stored(&mut self, record: &Record);
    /// Whether to go on after so many members.
    fn goes_on(&mut self, done: u32) -> bool;
}

/// How a change ended.
#[derive(Debug)]
pub struct Performed {
    /// Why it ended.
    pub end: End,
    /// How long it took.
    pub duration_ms: u64,
    /// What became of the wanted version.
    pub wanted: Wanted,
    /// Why its end is not in the journal.
    pub not_stored: Option<String>,
}

/// What became of the wanted version in the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// It stays as it is.
    Kept,
    /// It was written.
    Rewritten {
        /// The file.
        path: PathBuf,
        /// Its text before.
        before: String,
        /// Its text now.
        after: String,
    },
    /// Only a part of the members was meant.
    Partial {
        /// The file.
        path: PathBuf,
        /// How many were meant.
        meant: usize,
        /// How many there are.
        all: usize,
    },
    /// It stands nowhere, or in several files.
    NotFound(String),
    /// It can't be written.
    Failed {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

impl Wanted {
    /// What was written, line by line: a version stands on one of them.
    #[must_use]
    pub fn written(&self) -> Option<Written> {
        let Wanted::Rewritten { path, before, after } = self else { return None };
        let pairs = before.lines().zip(after.lines()).filter(|(old, new)| old != new);
        let (removed, added) = pairs.map(|(old, new)| (old.to_owned(), new.to_owned())).unzip();
        Some(Written { path: path.clone(), removed, added })
    }
}

impl End {
    /// A word for the journal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            End::Done => "done",
            End::Stopped(_) | End::Deviates { .. } | End::NotStored(_) => "stopped",
            End::Paused { .. } => "paused",
            End::Interrupted => "interrupted",
        }
    }

    /// What an operator should read.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            End::Done => "the goal is reached".to_owned(),
            End::Stopped(stop) => format!("stopped: {stop}"),
            End::Paused { done } => format!("paused: {done} members are done"),
            End::Interrupted => "interrupted between two steps".to_owned(),
            End::Deviates { planned, now } => {
                let members = |step: &Step| names(step.members());
                let planned = planned.as_ref().map_or("its end".to_owned(), members);
                format!(
                    "stopped: the plan says {planned} next, but now it would have to be {}",
                    members(now)
                )
            }
            End::NotStored(error) => format!("stopped: the journal can't be written: {error}"),
        }
    }
}

/// Stores what happens, then tells it.
struct Keeper<'a> {
    journal: Journal,
    listener: &'a mut dyn Listener,
}

impl Keeper<'_> {
    fn store(&mut self, record: &Record) -> Result<(), String> {
        self.journal.write(record)?;
        self.listener.stored(record);
        Ok(())
    }
}

impl Watcher for Keeper<'_> {
    fn happens(&mut self, happening: &Happening) -> Result<(), String> {
        self.store(&Record::Happens { happening: happening.clone() })
    }

    fn goes_on(&mut self, done: u32) -> bool {
        self.listener.goes_on(done)
    }
}

impl Change {
    /// Runs to the goal, or to where it can't go on. `after` is the run that this one goes on with.
    ///
    /// # Errors
    /// When the journal can't be begun: nothing was touched.
    pub async fn perform(
        &mut self,
        journals: &Journals,
        after: Option<&str>,
        stop: &AtomicBool,
        listener: &mut dyn Listener,
    ) -> Result<Performed, String> {
        let run = self.releases.name().to_owned();
        let mut keeper = Keeper { journal: journals.begin(&run)?, listener };
        let begins = Record::begun(&run, after, &self.request, &self.progress);
        keeper.store(&begins.showing(self.shown.clone()))?;
        if let Some(before) = after {
            journals.hand_over(before, &run)?;
        }
        let begun = Instant::now();
        let members = self.request.goal.members.clone();
        let note = Note::new(&run, &crate::run::controller(), &self.request, now_ms());
        self.releases.write_note(ONE, &members, &note).await;
        let task = Task {
            note: &note,
            component: ONE,
            goal: &self.request.goal,
            options: &self.request.options,
            plan: self.request.plan.as_deref(),
            first_may_be_done: self.first_may_be_done,
            stop,
        };
        let end = self.releases.reach(&task, &mut self.progress, &mut keeper).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // First this, then the end: a run that dies in between is resumed, and does it again.
        let wanted = match end {
            End::Done => self.write_wanted(),
            _ => Wanted::Kept,
        };
        if !matches!(end, End::Paused { .. } | End::Interrupted) {
            self.releases.forget_note(ONE, &members).await;
        }
        let ended = Record::Ended {
            how: end.word().to_owned(),
            message: end.message(),
            duration_ms: Some(duration_ms),
            written: wanted.written(),
        };
        let not_stored = keeper.store(&ended).err();
        Ok(Performed { end, duration_ms, wanted, not_stored })
    }

    /// Name of the run.
    #[must_use]
    pub fn run_name(&self) -> &str {
        self.releases.name()
    }

    /// The inventory wants what is there now; unless only a part of the members has it.
    fn write_wanted(&self) -> Wanted {
        let goal = &self.request.goal;
        if matches!(goal.purpose, Purpose::Restart | Purpose::Join | Purpose::Leave) {
            return Wanted::Kept;
        }
        let found = self.rewrite.as_ref().map_err(Clone::clone);
        let rewrite = match found.and_then(|rewrite| rewrite.again(&self.request.component)) {
            Ok(rewrite) => rewrite,
            Err(error) => return Wanted::NotFound(error),
        };
        let path = rewrite.path.clone();
        let after = rewrite.with(goal.version.as_str());
        if after == rewrite.before {
            return Wanted::Kept;
        }
        let (meant, all) = (goal.members.len(), self.component.members.len());
        if meant < all {
            return Wanted::Partial { path, meant, all };
        }
        match durable::write(&path, after.as_bytes(), FILE_MODE) {
            Ok(()) => Wanted::Rewritten { path, before: rewrite.before.clone(), after },
            Err(error) => Wanted::Failed { path, error: error.to_string() },
        }
    }
}
