//! The decision log: each decision that changes something, with what was seen, a line for each. It
//! can be made again by `scheduler policy replay`, with the policies that are kept beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable::{Log, LogError};
use scheduler_core::decision::Decision;

/// The first line of a log.
pub const FORMAT: &str = "corral scheduler decisions 1";

/// The largest log; there is one older one, so the last 32 MB of decisions are kept at least.
const LOG_MOST_BYTES: u64 = 32 << 20;

/// The decision log.
#[derive(Debug)]
pub struct DecisionLog {
    path: PathBuf,
    log: Log,
    is_failing: bool,
}

impl DecisionLog {
    /// Opens or makes it.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let log = Log::open(path, FORMAT)?.log;
        Ok(DecisionLog { path: path.to_owned(), log, is_failing: false })
    }

    /// Adds what earlier leaders have decided, as far as it isn't there: lines, oldest first.
    pub fn continue_from(&mut self, left: &[Vec<u8>]) -> Result<(), LogError> {
        let known = durable::read(&self.path, FORMAT)?;
        let known: BTreeSet<&[u8]> = known.iter().map(Vec::as_slice).collect();
        for line in left.iter().filter(|line| !known.contains(line.as_slice())) {
            self.log.append(line)?;
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
