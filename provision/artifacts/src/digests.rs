//! Digests and size of a file, computed in one pass.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 << 10;

/// What a file's bytes amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Its size, in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// SHA-512 in hexadecimal.
    pub sha512: String,
}

/// Reads a file to its end.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> io::Result<Digests> {
    of_reader(&mut File::open(path)?)
}

/// Reads to the end.
///
/// # Errors
/// When reading fails.
pub fn of_reader(reader: &mut dyn Read) -> io::Result<Digests> {
    let (mut short, mut long) = (Sha256::new(), Sha512::new());
    let size = pour(reader, &mut |bytes| {
        short.update(bytes);
        long.update(bytes);
        Ok(())
    })?;
    Ok(Digests {
        size,
        sha256: hex::encode(short.finalize()),
        sha512: hex::encode(long.finalize()),
    })
}

/// SHA-256 and size of a file: for what is looked at again, in half of the time.
///
/// # Errors
/// When it can't be read.
pub fn sha256_of_file(path: &Path) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let size = pour(&mut File::open(path)?, &mut |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    Ok((hex::encode(hasher.finalize()), size))
}

/// Gives all pieces of a stream to a function; how many bytes they were.
///
/// # Errors
/// When reading fails, or what the function says.
pub fn pour(
    reader: &mut dyn Read,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut size = 0_u64;
    loop {
        let count = match reader.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let bytes = piece.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(size);
        }
        take(bytes)?;
        size += bytes.len() as u64;
    }
}
