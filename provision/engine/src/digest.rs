//! Digests of the controller's files.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use provision_protocol::ContentReference;
use sha2::{Digest, Sha256};

/// Digest of some bytes, in hexadecimal.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Digest and size of a file, read in pieces.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> std::io::Result<ContentReference> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(ContentReference { sha256: hex::encode(hasher.finalize()), size });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

/// Digests that were computed once: an archive goes to a thousand hosts.
#[derive(Debug, Default)]
pub struct KnownDigests {
    known: Mutex<HashMap<PathBuf, (Identity, ContentReference)>>,
}

/// A file in a state: any write changes the time of change. Should that fail, the host refuses
/// bytes of another digest.
type Identity = (u64, u64, u64, i64, i64);

fn identity(data: &Metadata) -> Identity {
    (data.dev(), data.ino(), data.len(), data.ctime(), data.ctime_nsec())
}

impl KnownDigests {
    /// Digest and size of a file; it is read only if it has changed. Others who ask meanwhile
    /// wait, so that it is read once.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of_file(&self, path: &Path) -> std::io::Result<ContentReference> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = identity(&path.metadata()?);
        if let Some((then, reference)) = known.get(path)
            && *then == now
        {
            return Ok(reference.clone());
        }
        let reference = of_file(path)?;
        // What changes while it is read is not remembered.
        if identity(&path.metadata()?) == now {
            known.insert(path.to_owned(), (now, reference.clone()));
        }
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_has_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (path, known) = (folder.path().join("archive"), KnownDigests::default());
        let mut digests = Vec::new();
        for text in ["one", "two", "three"] {
            std::fs::write(&path, text).unwrap();
            let found = known.of_file(&path).unwrap();
            assert_eq!(found, of_file(&path).unwrap());
            assert_eq!(found, known.of_file(&path).unwrap());
            digests.push(found.sha256);
            // The kernel's clock for files goes in steps of some milliseconds.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        digests.dedup();
        assert_eq!(digests.len(), 3);
        known.of_file(&folder.path().join("none")).unwrap_err();
    }
}
