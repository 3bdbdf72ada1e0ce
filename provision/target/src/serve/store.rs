//! Contents that the other side has sent, by digest, verified while they arrive.
//!
//! Small ones stay in memory, others go to a file without a name: whatever happens to this
//! process, nothing is left behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::disk::spool::nameless_file;

/// Contents up to this size stay in memory, in bytes.
const MEMORY_LIMIT_BYTES: u64 = 1 << 20;

/// All contents in memory together, in bytes; what comes later goes to files.
const MEMORY_TOTAL_BYTES: u64 = 32 << 20;

/// Size up to which a content is taken before a call names it, in bytes.
const UNANNOUNCED_LIMIT_BYTES: u64 = 8 << 20;

/// Number of contents that no call has named yet; the oldest makes room, it can be asked for.
const UNANNOUNCED_LIMIT: usize = 4096;

/// A digest.
pub type Sha256Bytes = [u8; 32];

/// Why a content is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The bytes have another digest.
    #[error("the content that was sent as {expected} has the digest {found}")]
    Digest {
        /// As announced.
        expected: String,
        /// As received.
        found: String,
    },
    /// More bytes than announced.
    #[error("the content {sha256} is longer than the {limit} bytes that were announced")]
    Size {
        /// Digest.
        sha256: String,
        /// Announced size, or what is taken without an announcement.
        limit: u64,
    },
    /// It can't be stored.
    #[error("failed to store the content {sha256}: {reason}")]
    Storage {
        /// Digest.
        sha256: String,
        /// The system's words.
        reason: String,
    },
}

/// Contents by digest.
#[derive(Debug, Default)]
pub struct Store {
    entries: BTreeMap<Sha256Bytes, Entry>,
    /// Where files without a name are made, the best first.
    folders: Vec<PathBuf>,
    in_memory_bytes: u64,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    arrival: u64,
    state: EntryState,
}

#[derive(Debug)]
enum EntryState {
    Arriving { body: Body, hasher: Box<Sha256>, size: u64 },
    Whole(Content),
    Unusable(ContentError),
}

#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    File(File),
}

/// A whole, verified content; cheap to clone.
#[derive(Debug, Clone)]
pub struct Content {
    data: Data,
    size: u64,
}

#[derive(Debug, Clone)]
enum Data {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
}

impl Content {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads it from the beginning.
    #[must_use]
    pub fn reader(&self) -> ContentReader {
        ContentReader { content: self.clone(), position: 0 }
    }
}

/// Reads a [`Content`]; several can read the same one.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    position: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &self.content.data {
            Data::Memory(bytes) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX);
                bytes.get(start..).unwrap_or_default().read(buffer)?
            }
            Data::File(file) => file.read_at(buffer, self.position)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Store {
    /// An empty store that spills into these folders.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Store { folders, ..Store::default() }
    }

    /// Takes a piece. `announced` is the size that a queued or running call gives this content.
    pub fn take(&mut self, sha256: Sha256Bytes, last: bool, piece: &[u8], announced: Option<u64>) {
        let arrival = self.arrivals;
        let entry = self.entries.entry(sha256).or_insert_with(|| Entry {
            arrival,
            state: EntryState::Arriving {
                body: Body::Memory(Vec::new()),
                hasher: Box::default(),
                size: 0,
            },
        });
        if entry.arrival == arrival {
            self.arrivals += 1;
        }
        let EntryState::Arriving { body, hasher, size } = &mut entry.state else {
            // Sent twice: the first is as good.
            return;
        };
        let limit = announced.unwrap_or(UNANNOUNCED_LIMIT_BYTES);
        *size += piece.len() as u64;
        hasher.update(piece);
        let before = body.memory_bytes();
        let spill = *size > MEMORY_LIMIT_BYTES
            || self.in_memory_bytes + piece.len() as u64 > MEMORY_TOTAL_BYTES;
        let problem = if *size > limit {
            Some(ContentError::Size { sha256: hex::encode(sha256), limit })
        } else {
            body.append(piece, spill, &self.folders).err().map(|error| ContentError::Storage {
                sha256: hex::encode(sha256),
                reason: error.to_string(),
            })
        };
        if let Some(problem) = problem {
            self.in_memory_bytes = self.in_memory_bytes.saturating_sub(before);
            entry.state = EntryState::Unusable(problem);
            return;
        }
        self.in_memory_bytes = (self.in_memory_bytes + body.memory_bytes()).saturating_sub(before);
        if last {
            entry.finish(&sha256, &mut self.in_memory_bytes);
        }
    }

    /// The content, if it is here; an error if what came is unusable.
    ///
    /// # Errors
    /// When the bytes that came aren't this content.
    pub fn get(&self, sha256: &Sha256Bytes) -> Result<Option<Content>, ContentError> {
        match self.entries.get(sha256).map(|entry| &entry.state) {
            Some(EntryState::Whole(content)) => Ok(Some(content.clone())),
            Some(EntryState::Unusable(error)) => Err(error.clone()),
            Some(EntryState::Arriving { .. }) | None => Ok(None),
        }
    }

    /// Whether pieces of it have come already, so that it needn't be asked for.
    #[must_use]
    pub fn is_arriving(&self, sha256: &Sha256Bytes) -> bool {
        matches!(
            self.entries.get(sha256).map(|entry| &entry.state),
            Some(EntryState::Arriving { .. })
        )
    }

    /// Forgets a content.
    pub fn forget(&mut self, sha256: &Sha256Bytes) {
        if let Some(entry) = self.entries.remove(sha256) {
            self.in_memory_bytes = self.in_memory_bytes.saturating_sub(entry.memory_bytes());
        }
    }

    /// Forgets the oldest contents that nobody named when there are too many of them.
    pub fn make_room(&mut self, is_named: impl Fn(&Sha256Bytes) -> bool) {
        while self.entries.len() > UNANNOUNCED_LIMIT {
            let oldest = self
                .entries
                .iter()
                .filter(|(sha256, _)| !is_named(sha256))
                .min_by_key(|(_, entry)| entry.arrival)
                .map(|(sha256, _)| *sha256);
            match oldest {
                Some(sha256) => self.forget(&sha256),
                None => return,
            }
        }
    }
}

impl Entry {
    fn memory_bytes(&self) -> u64 {
        match &self.state {
            EntryState::Arriving { body, .. } => body.memory_bytes(),
            EntryState::Whole(Content { data: Data::Memory(bytes), .. }) => bytes.len() as u64,
            EntryState::Whole(_) | EntryState::Unusable(_) => 0,
        }
    }

    fn finish(&mut self, sha256: &Sha256Bytes, in_memory_bytes: &mut u64) {
        let EntryState::Arriving { body, hasher, size } = &mut self.state else { return };
        let found: Sha256Bytes = std::mem::take(&mut **hasher).finalize().into();
        let (body, size) = (std::mem::replace(body, Body::Memory(Vec::new())), *size);
        self.state = if found == *sha256 {
            let data = match body {
                Body::Memory(bytes) => Data::Memory(Arc::new(bytes)),
                Body::File(file) => Data::File(Arc::new(file)),
            };
            EntryState::Whole(Content { data, size })
        } else {
            *in_memory_bytes = in_memory_bytes.saturating_sub(body.memory_bytes());
            EntryState::Unusable(ContentError::Digest {
                expected: hex::encode(sha256),
                found: hex::encode(found),
            })
        };
    }
}

impl Body {
    fn memory_bytes(&self) -> u64 {
        match self {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File(_) => 0,
        }
    }

    fn append(&mut self, piece: &[u8], spill: bool, folders: &[PathBuf]) -> io::Result<()> {
        if spill && let Body::Memory(bytes) = self {
            let mut file = nameless_file(folders)?;
            file.write_all(bytes)?;
            *self = Body::File(file);
        }
        match self {
            Body::Memory(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
            Body::File(file) => file.write_all(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Sha256Bytes {
        Sha256::digest(bytes).into()
    }

    fn read(content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        content.reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn contents_are_verified_and_spilled() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::new(vec!["/nonexistent".into(), folder.path().into()]);
        let small = b"small".to_vec();
        let large = vec![7; 3 << 20];
        for bytes in [&small, &large] {
            let sha256 = digest(bytes);
            for piece in bytes.chunks(100_000) {
                assert!(store.get(&sha256).unwrap().is_none());
                store.take(sha256, false, piece, None);
            }
            store.take(sha256, true, &[], None);
            assert_eq!(&read(&store.get(&sha256).unwrap().unwrap()), bytes);
        }
        assert_eq!(store.in_memory_bytes, 5);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        store.forget(&digest(&small));
        assert_eq!(store.in_memory_bytes, 0);
    }

    #[test]
    fn wrong_bytes_are_unusable() {
        let mut store = Store::default();
        let sha256 = digest(b"right");
        store.take(sha256, true, b"wrong", None);
        assert!(matches!(store.get(&sha256), Err(ContentError::Digest { .. })));
        store.forget(&sha256);
        store.take(sha256, true, b"right, but longer", Some(5));
        assert!(matches!(store.get(&sha256), Err(ContentError::Size { .. })));
    }
}
