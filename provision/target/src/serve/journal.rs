//! What the host remembers of runs: notified handlers, the last started call, undelivered results.
//!
//! Handlers are durable before the change that notified them begins. The number of the last
//! started call survives the end of this process, not that of the machine: after a crash of the
//! machine the boot id tells the controller so. Nothing else is stored, no arguments, no output
//! except the results that a lost connection left undelivered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable::{Log, LogError};
use indexmap::{IndexMap, IndexSet};
use provision_protocol::CallResult;
use serde::{Deserialize, Serialize};

use super::result::without_values;
use crate::module::Failure;

const FORMAT: &str = "provision-journal 1";
const RESULTS_VERSION: u32 = 1;

/// The log is rewritten when it is longer than this, in bytes.
const COMPACTION_BYTES: u64 = 256 << 10;

/// Runs whose last started call is remembered.
const RUNS: usize = 16;

/// Pending handlers together, in bytes of their names.
const HANDLERS_LIMIT_BYTES: usize = 1 << 20;

/// Results kept for a reconnection: number and bytes of JSON.
const KEPT_RESULTS: usize = 512;
const KEPT_RESULTS_BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug)]
pub struct Journal {
    /// `None`: this run only looks, it stores nothing.
    log: Option<Log>,
    folder: PathBuf,
    run: String,
    pending: IndexSet<String>,
    started: IndexMap<String, Option<u64>>,
    results: Vec<(CallResult, usize)>,
    results_bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record {
    Run { run: String },
    Started { id: u64 },
    Notified { handlers: Vec<String> },
    Forgotten { handlers: Vec<String> },
    LastStarted { run: String, id: Option<u64> },
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptResults {
    version: u32,
    run: String,
    results: Vec<CallResult>,
}

/// What opening found out.
#[derive(Debug)]
pub struct OpenedJournal {
    /// The journal.
    pub journal: Journal,
    /// Something the operator should know.
    pub warnings: Vec<String>,
}

impl Journal {
    /// Opens the journal for a run that may change the host. The caller holds the host's lock.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn open(folder: &Path, run: &str) -> Result<OpenedJournal, LogError> {
        let opened = Log::open(&folder.join("journal"), FORMAT)?;
        let mut warnings = Vec::new();
        if opened.cut_bytes > 0 {
            warnings.push(format!(
                "the journal on this host ended in {} torn bytes, which were cut off",
                opened.cut_bytes
            ));
        }
        let mut journal = Journal::empty(folder, run);
        journal.replay(&opened.records);
        journal.log = Some(opened.log);
        journal.note(&Record::Run { run: run.to_owned() })?;
        journal.enter_run();
        match journal.read_results() {
            Ok(()) => {}
            Err(error) => warnings.push(format!("kept results can't be read: {error}")),
        }
        Ok(OpenedJournal { journal, warnings })
    }

    /// Reads the journal for a run that only looks; it may be changing under our eyes.
    #[must_use]
    pub fn look(folder: &Path, run: &str) -> Journal {
        let mut journal = Journal::empty(folder, run);
        if let Ok(records) = durable::read(&folder.join("journal"), FORMAT) {
            journal.replay(&records);
        }
        journal.enter_run();
        journal
    }

    fn empty(folder: &Path, run: &str) -> Journal {
        Journal {
            log: None,
            folder: folder.to_owned(),
            run: run.to_owned(),
            pending: IndexSet::new(),
            started: IndexMap::new(),
            results: Vec::new(),
            results_bytes: 0,
        }
    }

    fn replay(&mut self, records: &[Vec<u8>]) {
        let mut current: Option<String> = None;
        for record in records {
            // The checksum was right, so an unknown record comes from a newer program.
            let Ok(record) = serde_json::from_slice::<Record>(record) else { continue };
            match record {
                Record::Run { run } => {
                    self.started.entry(run.clone()).or_default();
                    current = Some(run);
                }
                Record::Started { id } => {
                    if let Some(run) = &current {
                        self.started.insert(run.clone(), Some(id));
                    }
                }
                Record::LastStarted { run, id } => {
                    self.started.insert(run, id);
                }
                Record::Notified { handlers } => self.pending.extend(handlers),
                Record::Forgotten { handlers } => {
                    for handler in handlers {
                        self.pending.shift_remove(&handler);
                    }
                }
            }
        }
    }

    /// Makes this run the youngest and forgets the oldest ones.
    fn enter_run(&mut self) {
        let last = self.started.shift_remove(&self.run).flatten();
        self.started.insert(self.run.clone(), last);
        while self.started.len() > RUNS {
            self.started.shift_remove_index(0);
        }
    }

    /// Handlers that were notified and haven't run.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        self.pending.iter().cloned().collect()
    }

    /// The last call that an earlier connection of this run started.
    #[must_use]
    pub fn last_started(&self) -> Option<u64> {
        self.started.get(&self.run).copied().flatten()
    }

    /// Results that an earlier connection of this run may not have delivered.
    #[must_use]
    pub fn kept_results(&self) -> Vec<CallResult> {
        self.results.iter().map(|(result, _)| result.clone()).collect()
    }

    /// A call begins.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn start(&mut self, id: u64) -> Result<(), LogError> {
        self.note(&Record::Started { id })?;
        self.started.insert(self.run.clone(), Some(id));
        Ok(())
    }

    /// A call that had begun counts as not begun; the last one before it is given.
    pub fn take_back(&mut self, last: Option<u64>) {
        let record = Record::LastStarted { run: self.run.clone(), id: last };
        // If it can't be written, the call counts as begun and its host as lost.
        if self.note(&record).is_ok() {
            self.started.insert(self.run.clone(), last);
        }
    }

    /// Remembers handlers, durably; returns those that weren't pending before.
    ///
    /// # Errors
    /// When they can't be made durable; none of them is pending then.
    pub fn notify(&mut self, handlers: &[String]) -> Result<Vec<String>, Failure> {
        let mut new: Vec<String> = Vec::new();
        for handler in handlers {
            if !self.pending.contains(handler) && !new.contains(handler) {
                new.push(handler.clone());
            }
        }
        if new.is_empty() || self.log.is_none() {
            return Ok(Vec::new());
        }
        let bytes: usize = self.pending.iter().chain(&new).map(String::len).sum();
        if bytes > HANDLERS_LIMIT_BYTES {
            return Err(Failure::new("failed to remember handlers: too many are pending"));
        }
        self.note_durably(&Record::Notified { handlers: new.clone() }).map_err(|error| {
            Failure::new(format!("failed to remember the notified handlers: {error}"))
        })?;
        self.pending.extend(new.iter().cloned());
        Ok(new)
    }

    /// Forgets handlers: they ran, or nothing changed after all.
    ///
    /// # Errors
    /// When that can't be made durable.
    pub fn forget(&mut self, handlers: &[String]) -> Result<(), LogError> {
        let known: Vec<String> =
            handlers.iter().filter(|handler| self.pending.contains(*handler)).cloned().collect();
        if known.is_empty() || self.log.is_none() {
            return Ok(());
        }
        self.note_durably(&Record::Forgotten { handlers: known.clone() })?;
        for handler in &known {
            self.pending.shift_remove(handler);
        }
        Ok(())
    }

    /// Remembers a result in memory, in case the connection turns out to be lost.
    pub fn keep(&mut self, result: &CallResult, no_log: bool) {
        let kept = if no_log { without_values(result) } else { result.clone() };
        let bytes = serde_json::to_vec(&kept).map_or(0, |bytes| bytes.len());
        self.results.push((kept, bytes));
        self.results_bytes += bytes;
        while self.results.len() > KEPT_RESULTS
            || (self.results_bytes > KEPT_RESULTS_BYTES && self.results.len() > 1)
        {
            let (_, bytes) = self.results.remove(0);
            self.results_bytes = self.results_bytes.saturating_sub(bytes);
        }
    }

    /// Stores the kept results for a reconnection of the same run.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn store_results(&self) -> io::Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        let kept = KeptResults {
            version: RESULTS_VERSION,
            run: self.run.clone(),
            results: self.kept_results(),
        };
        let bytes = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        durable::write(&self.results_path(), &bytes, 0o600)
    }

    /// The run ended in an orderly way: its results are delivered.
    pub fn discard_results(&mut self) {
        if self.log.is_some() && !self.results.is_empty() {
            // A leftover is only read by a reconnection of the same run, which won't come.
            let _ = fs::remove_file(self.results_path());
        }
        self.results.clear();
    }

    fn read_results(&mut self) -> io::Result<()> {
        let bytes = match fs::read(self.results_path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let kept: KeptResults = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        if kept.version == RESULTS_VERSION && kept.run == self.run {
            for result in kept.results {
                self.keep(&result, false);
            }
        }
        Ok(())
    }

    fn results_path(&self) -> PathBuf {
        self.folder.join("results")
    }

    fn note_durably(&mut self, record: &Record) -> Result<(), LogError> {
        self.note(record)?;
        match &mut self.log {
            Some(log) => log.sync(),
            None => Ok(()),
        }
    }

    fn note(&mut self, record: &Record) -> Result<(), LogError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.length() > COMPACTION_BYTES {
            log.rewrite(&compacted(&self.started, &self.run, &self.pending))?;
        }
        log.append(&payload(record))
    }
}

fn compacted(
    started: &IndexMap<String, Option<u64>>,
    run: &str,
    pending: &IndexSet<String>,
) -> Vec<Vec<u8>> {
    let handlers = pending.iter().cloned().collect();
    started
        .iter()
        .map(|(run, id)| Record::LastStarted { run: run.clone(), id: *id })
        .chain([Record::Notified { handlers }, Record::Run { run: run.to_owned() }])
        .map(|record| payload(&record))
        .collect()
}

fn payload(record: &Record) -> Vec<u8> {
    // Strings and numbers can always be expressed; JSON contains no raw line feed.
    serde_json::to_vec(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use provision_protocol::Object;

    fn open(folder: &Path, run: &str) -> Journal {
        Journal::open(folder, run).unwrap().journal
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn handlers_are_pending_until_they_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path(), "a");
        assert_eq!(journal.notify(&names(&["x", "y", "x"])).unwrap(), ["x", "y"]);
        assert!(journal.notify(&names(&["y"])).unwrap().is_empty());
        journal.forget(&names(&["x", "z"])).unwrap();
        drop(journal);
        assert_eq!(open(folder.path(), "b").pending(), ["y"]);
        assert_eq!(Journal::look(folder.path(), "c").pending(), ["y"]);
    }

    #[test]
    fn each_run_has_its_last_call() {
        let folder = tempfile::tempdir().unwrap();
        for (run, id) in [("a", 5), ("b", 9)] {
            let mut journal = open(folder.path(), run);
            journal.start(id - 1).unwrap();
            journal.start(id).unwrap();
        }
        assert_eq!(open(folder.path(), "a").last_started(), Some(5));
        assert_eq!(open(folder.path(), "b").last_started(), Some(9));
        assert_eq!(open(folder.path(), "c").last_started(), None);
    }

    #[test]
    fn compaction_keeps_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path(), "a");
        journal.notify(&names(&["x"])).unwrap();
        for id in 0..10_000 {
            journal.start(id).unwrap();
        }
        assert!(journal.log.as_ref().unwrap().length() < COMPACTION_BYTES + 100);
        drop(journal);
        let journal = open(folder.path(), "a");
        assert_eq!((journal.last_started(), journal.pending()), (Some(9999), names(&["x"])));
    }

    #[test]
    fn results_are_kept_for_the_same_run_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = open(folder.path(), "a");
        let mut values = Object::new();
        values.insert("changed".into(), true.into());
        values.insert("stdout".into(), "secret".into());
        let result = CallResult { id: 3, result: values, duration_us: 1 };
        journal.keep(&result, true);
        journal.keep(&CallResult { id: 4, ..result }, false);
        journal.store_results().unwrap();
        drop(journal);
        assert!(open(folder.path(), "b").kept_results().is_empty());
        let mut journal = open(folder.path(), "a");
        let kept = journal.kept_results();
        assert_eq!((kept[0].result.len(), kept[1].result.len()), (1, 2));
        journal.discard_results();
        assert!(open(folder.path(), "a").kept_results().is_empty());
    }
}
