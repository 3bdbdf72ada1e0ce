//! Who this program is: the digest of its own file, which is also its name on hosts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

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

/// A program that was not used for this long is removed.
const UNUSED: Duration = Duration::from_hours(24 * 30);

/// A program that is in use gets a new time when its own is older than this.
const REFRESHED_AFTER: Duration = Duration::from_hours(24);

/// Removes programs of other versions from this program's folder that nobody used for long. The
/// time of a program's file says when it was last used. One that still runs keeps running: it
/// only has no name any more, and its next start uploads it again.
pub fn tidy() {
    let Ok(own) = fs::read_link(OWN_FILE) else { return };
    // In another folder than the bootstrap's are no programs of ours.
    if own.file_name().is_some_and(is_program_name) {
        remove_unused(&own, SystemTime::now());
    }
}

/// Failures are passed over: another run will tidy.
fn remove_unused(own: &Path, now: SystemTime) {
    let age = |path: &Path| {
        let modified = fs::symlink_metadata(path).and_then(|data| data.modified()).ok()?;
        now.duration_since(modified).ok()
    };
    if age(own).is_some_and(|age| age > REFRESHED_AFTER) {
        let _ = crate::disk::metadata::touch(own);
    }
    let Some(entries) = own.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_other = path != own && path.file_name().is_some_and(is_program_name);
        if is_other && age(&path).is_some_and(|age| age > UNUSED) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Programs are named by their digest.
fn is_program_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs() {
        assert!(is_program_name(OsStr::new(&"0a".repeat(32))));
        assert!(!is_program_name(OsStr::new("provision-target")));
        assert!(!is_program_name(OsStr::new(&"0A".repeat(32))));
    }

    #[test]
    fn only_programs_that_nobody_used_for_long_go() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let file = |name: &str, days: u64| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_modified(now - Duration::from_hours(24 * days)).unwrap();
            path
        };
        let own = file(&"0".repeat(64), 40);
        let (old, recent) = (file(&"1".repeat(64), 31), file(&"2".repeat(64), 29));
        let stranger = file("notes", 400);
        remove_unused(&own, now);
        assert!(!old.exists());
        assert!(own.exists() && recent.exists() && stranger.exists());
        let used = fs::metadata(&own).unwrap().modified().unwrap();
        assert!(used >= now - Duration::from_mins(1), "another version would remove it");
    }
}
