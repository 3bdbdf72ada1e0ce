//! What has happened, numbered. It is taken from what became durable, so nothing is told that a crash
//! could undo. Numbers go on after a restart, and whoever was away asks for what came after the last
//! number that it has seen.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use durable::{Log, LogError};
use policy::Time;
use scheduler::wire::moment;
use scheduler_core::State;
use scheduler_core::command::Write;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::serve::known::{Happening, Known};

/// The first line of the file.
pub const FORMAT: &str = "corral scheduler events 1";

/// Entries that are kept: a day of a calm cluster, an hour of a busy one.
pub const ENTRIES_KEPT: usize = 10_000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: one more than that of the entry before.
    pub number: u64,
    /// When.
    pub at: String,
    /// `app`, `deployment`, `instance`, `machine`, `volume` or `repair`.
    pub kind: String,
    /// The name of the app, instance, machine or set of volumes.
    pub subject: String,
    /// What it is now: one word.
    pub state: String,
    /// The machine of an instance or a set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The number of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// For people: why, from what to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The entries that are kept.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
    last: watch::Sender<u64>,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    entries: VecDeque<Arc<Entry>>,
    next: u64,
    log: Option<Log>,
    /// Entries of a write that isn't durable yet.
    pending: Vec<Arc<Entry>>,
    /// Lines in the file: when there are twice as many as are kept, it is written anew.
    lines: usize,
    known: Known,
}

impl Journal {
    /// Opens or makes the file; `state` is what is known already.
    pub fn open(path: &Path, state: &State) -> Result<Self, LogError> {
        let opened = Log::open(path, FORMAT)?;
        let lines = opened.records.len();
        let read = |line: &Vec<u8>| serde_json::from_slice::<Entry>(line).ok().map(Arc::new);
        let mut entries: VecDeque<Arc<Entry>> = opened.records.iter().filter_map(read).collect();
        entries.drain(..entries.len().saturating_sub(ENTRIES_KEPT));
        let last = entries.back().map_or(0, |entry| entry.number);
        let (log, known) = (Some(opened.log), Known::of(state));
        let pending = Vec::new();
        let inner = Inner { entries, next: last + 1, log, pending, lines, known };
        let (inner, last) = (Mutex::new(inner), watch::Sender::new(last));
        Ok(Journal { inner, last, is_closed: AtomicBool::new(false) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers go on from here at least. Entries from before are dropped: whoever asks for what came
    /// after one of them is told of a gap.
    pub fn begin_at(&self, number: u64) {
        let mut inner = self.inner();
        if inner.next >= number {
            return;
        }
        inner.entries.clear();
        inner.next = number;
        inner.lines = 0;
        let rewritten = inner.log.as_mut().map(|log| log.rewrite(&[]));
        inner.keep(rewritten.unwrap_or(Ok(())));
        drop(inner);
        self.last.send_replace(number.saturating_sub(1));
    }

    /// What an earlier leader has told takes the place of what was known here, so that numbers go on
    /// and mean the same.
    pub fn continue_from(&self, left: Vec<Entry>) {
        let Some(last) = left.last().map(|entry| entry.number) else { return };
        let mut inner = self.inner();
        inner.entries = left.into_iter().map(Arc::new).collect();
        inner.next = last.saturating_add(1);
        inner.write_all();
        drop(inner);
        self.last.send_replace(last);
    }

    /// Nothing comes any more: streams end.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.last.send_modify(|_| {});
    }

    /// Whether nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Changes with each new entry.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// The number of the last entry; 0 if there was none.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// The entries after a number, at most so many; and the number of the first one that there is,
    /// if some between were dropped.
    pub fn after(&self, number: u64, most: usize) -> (Vec<Arc<Entry>>, Option<u64>) {
        let inner = self.inner();
        let first = inner.entries.front().map_or(inner.next, |entry| entry.number);
        let begin = number.saturating_add(1).saturating_sub(first);
        let begin = usize::try_from(begin).unwrap_or(usize::MAX).min(inner.entries.len());
        let entries = inner.entries.range(begin..).take(most).cloned().collect();
        (entries, (number.saturating_add(1) < first).then_some(first))
    }

    /// A write is on its way: what will have happened when it is durable. If it fails, the next one has
    /// all that it had, so these entries are told then.
    pub fn prepare(&self, write: &Write, now: Time) -> Vec<Arc<Entry>> {
        let mut inner = self.inner();
        let happened = inner.known.learn(write, ENTRIES_KEPT);
        // They would be dropped with those that come after them.
        inner.next += happened.before;
        let entries: Vec<Arc<Entry>> = happened
            .last
            .into_iter()
            .map(|happening| Arc::new(inner.number(happening, now)))
            .collect();
        inner.pending.extend(entries.iter().cloned());
        entries
    }

    /// The write is durable: what was prepared is told.
    pub fn publish(&self) {
        let mut inner = self.inner();
        let pending = std::mem::take(&mut inner.pending);
        let Some(last) = pending.last().map(|entry| entry.number) else { return };
        for entry in pending {
            inner.append(entry);
        }
        drop(inner);
        self.last.send_replace(last);
    }
}

impl Inner {
    fn number(&mut self, happening: Happening, now: Time) -> Entry {
        let Happening { kind, subject, state, machine, version, text } = happening;
        let (kind, state) = (kind.to_owned(), state.to_owned());
        let at = moment(now);
        let entry = Entry { number: self.next, at, kind, subject, state, machine, version, text };
        self.next += 1;
        entry
    }

    fn append(&mut self, entry: Arc<Entry>) {
        let line = serde_json::to_vec(&*entry).unwrap_or_default();
        self.entries.push_back(entry);
        if self.entries.len() > ENTRIES_KEPT {
            self.entries.pop_front();
        }
        self.lines += 1;
        if self.lines > 2 * ENTRIES_KEPT {
            return self.write_all();
        }
        let Some(log) = &mut self.log else { return };
        let written = log.append(&line);
        self.keep(written);
    }

    /// Writes the file anew, with what is kept.
    fn write_all(&mut self) {
        let lines: Vec<Vec<u8>> =
            self.entries.iter().filter_map(|one| serde_json::to_vec(&**one).ok()).collect();
        self.lines = lines.len();
        let written = self.log.as_mut().map(|log| log.rewrite(&lines));
        self.keep(written.unwrap_or(Ok(())));
    }

    fn keep(&mut self, written: Result<(), LogError>) {
        if let Err(error) = written {
            let why = crate::serve::chain(&error);
            crate::paint::warning(&format!("events are not kept over a restart: failed to {why}"));
            self.log = None;
        }
    }
}

#[cfg(test)]
#[path = "../journal_tests.rs"]
mod tests;
