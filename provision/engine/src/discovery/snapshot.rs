//! The last good answer of a Consul, on this machine's disk.

use std::path::{Path, PathBuf};

use consul::Head;
use consul_client::Settings;
use provision_discovery::{Catalog, Question};
use serde::{Deserialize, Serialize};

use crate::digest;

/// Version of the files.
const FORMAT: u32 = 1;

/// The owner's only: meta and keys may be confidential.
const MODE: u32 = 0o600;

/// How much of a digest names a file, in characters.
const NAME_CHARACTERS: usize = 16;

/// What Consul said, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    format: u32,
    /// Digest of who was asked for what.
    pub source: String,
    /// What users know the source by.
    pub origin: String,
    /// When it was said, in seconds since 1970.
    pub taken_at_s: u64,
    /// What the headers said.
    pub head: Head,
    /// Digest of the answer.
    pub digest: String,
    /// The answer.
    pub catalog: Catalog,
}

/// Why a snapshot can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Reading failed.
    #[error("read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is of another version.
    #[error("read {path}: it was written by another provision; delete it")]
    Format {
        /// The file.
        path: String,
    },
    /// It is not what was written.
    #[error("read {path}: its digest is wrong; delete it")]
    Damaged {
        /// The file.
        path: String,
    },
}

impl Snapshot {
    /// What was said just now.
    #[must_use]
    pub fn new(
        source: String,
        origin: String,
        taken_at_s: u64,
        head: Head,
        catalog: Catalog,
    ) -> Self {
        let digest = digest_of(&catalog);
        Snapshot { format: FORMAT, source, origin, taken_at_s, head, digest, catalog }
    }

    /// Keeps it in a folder, in place of an earlier one.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        let text = serde_json::to_vec(self).map_err(|error| failed(&error))?;
        let path = path_of(folder, &self.source);
        durable::write(&path, &text, MODE).map_err(|error| error.to_string())
    }

    /// The one of a source, if there is one.
    ///
    /// # Errors
    /// When it can't be read, or is not what was written.
    pub fn read(folder: &Path, source: &str) -> Result<Option<Self>, SnapshotError> {
        let path = path_of(folder, source);
        let shown = path.display().to_string();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(SnapshotError::Unreadable { path: shown, reason: error.to_string() });
            }
        };
        let snapshot: Snapshot = serde_json::from_slice(&text).map_err(|error| {
            SnapshotError::Unreadable { path: shown.clone(), reason: error.to_string() }
        })?;
        snapshot.check(&shown).map(Some)
    }

    /// Itself, if it is whole and of this version.
    ///
    /// # Errors
    /// When it isn't; `path` is for the message.
    pub fn check(self, path: &str) -> Result<Self, SnapshotError> {
        if self.format != FORMAT {
            return Err(SnapshotError::Format { path: path.to_owned() });
        }
        match digest_of(&self.catalog) == self.digest {
            true => Ok(self),
            false => Err(SnapshotError::Damaged { path: path.to_owned() }),
        }
    }
}

fn path_of(folder: &Path, source: &str) -> PathBuf {
    let name = source.get(..NAME_CHARACTERS).unwrap_or(source);
    folder.join(format!("consul-{name}.json"))
}

/// Who is asked for what: two mappings of one Consul that need different answers are two sources.
pub(super) fn source_of(settings: &Settings, question: &Question) -> String {
    let endpoints: Vec<String> = settings.endpoints.iter().map(ToString::to_string).collect();
    let wanted = serde_json::to_string(&question.wanted).unwrap_or_default();
    let text = format!("{endpoints:?} {:?} {wanted}", settings.datacenter);
    digest::of_bytes(text.as_bytes())
}

/// The digest of an answer.
pub(super) fn digest_of(catalog: &Catalog) -> String {
    digest::of_bytes(&serde_json::to_vec(catalog).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let node = consul::Node {
            name: "zk1".into(),
            address: "10.0.0.1".into(),
            datacenter: "dc1".into(),
            tagged_addresses: std::collections::BTreeMap::new(),
            meta: std::collections::BTreeMap::new(),
        };
        let catalog = Catalog { nodes: vec![node], ..Catalog::default() };
        let source = digest::of_bytes(b"x");
        Snapshot::new(source, "consul://a".into(), 7, Head::default(), catalog)
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let kept = snapshot();
        assert!(Snapshot::read(folder.path(), &kept.source).unwrap().is_none());
        kept.write(folder.path()).unwrap();
        assert_eq!(Snapshot::read(folder.path(), &kept.source).unwrap(), Some(kept.clone()));
        let path = path_of(folder.path(), &kept.source);
        let text = std::fs::read_to_string(&path).unwrap();
        let table = [
            (text.replace("10.0.0.1", "10.0.0.2"), "its digest is wrong"),
            (text.replace("\"format\":1", "\"format\":2"), "written by another provision"),
            (text[..text.len() / 2].to_owned(), "EOF"),
            (String::new(), "EOF"),
        ];
        for (text, expected) in table {
            std::fs::write(&path, text).unwrap();
            let error = Snapshot::read(folder.path(), &kept.source).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
