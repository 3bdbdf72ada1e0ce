//! The decision log: each decision that changes something, with what was seen, a line for each. It
//! can be made again by `scheduler policy replay`, with the policies that are kept beside it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use durable::{Log, LogError};
use scheduler_core::decision::Decision;
use scheduler_core::ids::AppName;

/// The first line of a log.
pub const FORMAT: &str = "corral scheduler decisions 1";

/// The largest log; there is one older one, so the last 32 MB of decisions are kept at least.
const LOG_MOST_BYTES: u64 = 32 << 20;

/// Decisions that are kept for those who look on: some hundred bytes each.
const RECENT_MOST: usize = 2_000;

/// The last decisions, for those who look on.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Decision>>);

impl Recent {
    /// One more.
    pub fn add(&self, decision: Decision) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= RECENT_MOST {
            kept.pop_front();
        }
        kept.push_back(decision);
    }

    /// The last ones, of an app if one is named, at most so many; the newest first.
    pub fn last<T>(
        &self,
        app: Option<&AppName>,
        most: usize,
        tell: impl Fn(&Decision) -> T,
    ) -> Vec<T> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted =
            |one: &&Decision| app.is_none_or(|app| one.app.as_ref().is_some_and(|own| own == app));
        kept.iter().rev().filter(is_wanted).take(most).map(tell).collect()
    }
}

/// The decision log.
#[derive(Debug)]
pub struct DecisionLog {
    path: PathBuf,
    log: Log,
    is_failing: bool,
}

impl DecisionLog {
    /// Opens or makes it; the last decisions are told to those who look on.
    pub fn open(path: &Path, recent: &Recent) -> Result<Self, LogError> {
        let opened = Log::open(path, FORMAT)?;
        let lines = opened.records.len().saturating_sub(RECENT_MOST);
        for line in opened.records.iter().skip(lines) {
            // What an earlier program wrote otherwise is left to `policy replay`.
            serde_json::from_slice(line).into_iter().for_each(|decision| recent.add(decision));
        }
        Ok(DecisionLog { path: path.to_owned(), log: opened.log, is_failing: false })
    }

    /// Adds what earlier leaders have decided, as far as it isn't there: lines, oldest first.
    pub fn continue_from(&mut self, left: &[Vec<u8>], recent: &Recent) -> Result<(), LogError> {
        let known = durable::read(&self.path, FORMAT)?;
        let known: BTreeSet<&[u8]> = known.iter().map(Vec::as_slice).collect();
        for line in left.iter().filter(|line| !known.contains(line.as_slice())) {
            self.log.append(line)?;
            serde_json::from_slice(line).into_iter().for_each(|decision| recent.add(decision));
        }
        Ok(())
    }

    /// Adds a decision. A full disk doesn't stop the scheduler; it is told once.
    pub fn append(&mut self, decision: &Decision) {
        let line = serde_json::to_vec(decision).unwrap_or_default();
        let written = self.make_room().and_then(|()| self.log.append(&line));
        if let Err(error) = &written
            && !self.is_failing
        {
            let why = crate::serve::chain(error);
            crate::paint::warning(&format!("decisions are not logged: failed to {why}"));
        }
        self.is_failing = written.is_err();
    }

    fn make_room(&mut self) -> Result<(), LogError> {
        if self.log.length() < LOG_MOST_BYTES {
            return Ok(());
        }
        let older = self.path.with_extension("log.1");
        let failed = |source| LogError::Io { path: self.path.clone(), source };
        fs::rename(&self.path, older).map_err(failed)?;
        self.log = Log::open(&self.path, FORMAT)?.log;
        Ok(())
    }
}

/// Where the policy with a digest is kept.
pub fn policy_file(folder: &Path, digest: &str) -> PathBuf {
    folder.join("policies").join(format!("{digest}.yml"))
}

/// Keeps the text of a policy beside the log, so that its decisions can be made again.
pub fn keep_policy(folder: &Path, digest: &str, text: &str) -> io::Result<()> {
    let path = policy_file(folder, digest);
    fs::create_dir_all(folder.join("policies"))?;
    durable::write(&path, text.as_bytes(), 0o644)
}
