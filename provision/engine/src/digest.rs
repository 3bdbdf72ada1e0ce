//! Digests of the controller's files.

use std::io::Read;
use std::path::Path;

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
