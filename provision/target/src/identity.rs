//! Who this program is: the digest of its own file, which is also its name on hosts.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use sha2::{Digest, Sha256};

/// This program's own file, also after it was replaced or deleted.
pub const OWN_FILE: &str = "/proc/self/exe";

/// The file isn't what it should be.
pub const EXIT_DAMAGED: u8 = 65;

/// Ends with success if this program's file has this digest, and says it: an empty file, run by a
/// shell as an empty script, would succeed without a word.
#[must_use]
pub fn verify(sha256: &str) -> ExitCode {
    match own_digest() {
        Ok(found) if found == sha256 => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::from(EXIT_DAMAGED),
        Err(error) => {
            eprintln!("provision: failed to read {OWN_FILE}: {error}");
            ExitCode::from(EXIT_DAMAGED)
        }
    }
}

/// Digest of this program's file, in hexadecimal.
///
/// # Errors
/// When the file can't be read.
pub fn own_digest() -> io::Result<String> {
    let mut file = File::open(OWN_FILE)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}
