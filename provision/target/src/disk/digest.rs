//! Digests of files, by the names Ansible gives them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

const PIECE_BYTES: usize = 128 << 10;

/// The three digests that results of `copy` and the comparison with contents need.
#[derive(Debug, Default)]
pub struct Digests {
    sha1: Sha1,
    md5: Md5,
    sha256: Sha256,
    size: u64,
}

/// Finished [`Digests`], in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What Ansible calls the checksum.
    pub sha1: String,
    /// Reported for old playbooks.
    pub md5: String,
    /// What contents are named by.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

impl Digests {
    /// Takes bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The end.
    #[must_use]
    pub fn finish(self) -> Summary {
        Summary {
            sha1: hex::encode(self.sha1.finalize()),
            md5: hex::encode(self.md5.finalize()),
            sha256: hex::encode(self.sha256.finalize()),
            size: self.size,
        }
    }
}

/// All three digests of a file.
///
/// # Errors
/// When it can't be read.
pub fn summary(path: &Path) -> io::Result<Summary> {
    let mut digests = Digests::default();
    pieces(&mut File::open(path)?, |piece| digests.update(piece))?;
    Ok(digests.finish())
}

/// All three digests of bytes.
#[must_use]
pub fn summary_of(bytes: &[u8]) -> Summary {
    let mut digests = Digests::default();
    digests.update(bytes);
    digests.finish()
}

/// One digest of a file by the algorithm's name; `None`: no such algorithm.
///
/// # Errors
/// When it can't be read.
pub fn file_digest(path: &Path, algorithm: &str) -> io::Result<Option<String>> {
    Ok(Some(match algorithm {
        "md5" => digest::<Md5>(path)?,
        "sha1" => digest::<Sha1>(path)?,
        "sha224" => digest::<Sha224>(path)?,
        "sha256" => digest::<Sha256>(path)?,
        "sha384" => digest::<Sha384>(path)?,
        "sha512" => digest::<Sha512>(path)?,
        _ => return Ok(None),
    }))
}

fn digest<D: Digest>(path: &Path) -> io::Result<String> {
    let mut hasher = D::new();
    pieces(&mut File::open(path)?, |piece| hasher.update(piece))?;
    Ok(hex::encode(hasher.finalize()))
}

/// Reads to the end, piece by piece.
///
/// # Errors
/// The reader's.
pub fn pieces(reader: &mut dyn Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let summary = summary(&path).unwrap();
        assert_eq!(summary.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(summary.md5, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(file_digest(&path, "sha1").unwrap(), Some(summary.sha1));
        assert_eq!(file_digest(&path, "sha256").unwrap(), Some(summary.sha256));
        assert_eq!(file_digest(&path, "crc").unwrap(), None);
    }
}
