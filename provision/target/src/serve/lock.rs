//! The lock of a host: held by the living helper, so that it dies with it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Largest description of a holder that is read, in bytes.
const HOLDER_LIMIT_BYTES: u64 = 64 << 10;

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Holder {
    /// Its run.
    pub run: String,
    /// Its controller.
    pub controller: String,
    /// Since when, seconds since the epoch.
    pub since_s: u64,
    /// Its process; 0 is unknown.
    #[serde(default)]
    pub process: u32,
}

impl Holder {
    /// From now on.
    #[must_use]
    pub fn now(run: &str, controller: &str) -> Self {
        let since_s =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let process = std::process::id();
        Holder { run: run.to_owned(), controller: controller.to_owned(), since_s, process }
    }
}

/// A lock that is held as long as this value lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Tries to take the lock in this folder once.
///
/// # Errors
/// When the lock file can't be used. A lock held by another helper is `Ok(Err(holder))`.
pub fn try_lock(folder: &Path, holder: &Holder) -> io::Result<Result<Lock, Holder>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            let text = serde_json::to_vec(holder).map_err(io::Error::other)?;
            // The description only serves a message; a full disk must not keep a run out.
            let _ = file.set_len(0).and_then(|()| file.write_all(&text));
            Ok(Ok(Lock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.take(HOLDER_LIMIT_BYTES).read_to_end(&mut text)?;
            // The holder may be writing it right now.
            Ok(Err(serde_json::from_slice(&text).unwrap_or_default()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let holder = Holder::now("a", "me");
        let lock = try_lock(folder.path(), &holder).unwrap().unwrap();
        let found = try_lock(folder.path(), &Holder::now("b", "you")).unwrap().unwrap_err();
        assert_eq!(found, holder);
        drop(lock);
        try_lock(folder.path(), &Holder::now("b", "you")).unwrap().unwrap();
    }
}
