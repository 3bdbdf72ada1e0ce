//! Replacing a file as a whole: write a new file beside it, sync, rename, sync the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Endings longer than this, in bytes, are not kept in the name of the temporary file.
const ENDING_LIMIT_BYTES: usize = 32;

/// Attempts to find a name that is not taken.
const NAME_ATTEMPTS: u32 = 16;

/// A new file that becomes another one's content with [`Replacement::commit`], or vanishes.
#[derive(Debug)]
pub struct Replacement {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    committed: bool,
}

impl Replacement {
    /// Creates the new file beside the target with these permission bits and no others, whatever
    /// the umask. Its name begins with a dot, so that directories of snippets (`cron.d`) ignore
    /// it, and keeps the target's ending, which validating programs may look at.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub fn new(target: &Path, mode: u32) -> io::Result<Self> {
        let directory = directory_of(target);
        let ending = ending_of(target);
        let mut attempts = 0;
        loop {
            let temporary = directory.join(format!(".provision-{}{ending}", random_name()?));
            let created = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(mode & 0o600)
                .custom_flags(OFlag::O_NOFOLLOW.bits())
                .open(&temporary);
            match created {
                Ok(file) => {
                    let replacement = Replacement {
                        target: target.to_owned(),
                        temporary,
                        file,
                        committed: false,
                    };
                    if mode & 0o600 != mode {
                        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
                        replacement.file.set_permissions(permissions)?;
                    }
                    return Ok(replacement);
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempts < NAME_ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The new file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the new file lies until it is committed.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes the new file the target's content, durably. After an error the target is as it was;
    /// the new file still exists and vanishes when this is dropped.
    ///
    /// # Errors
    /// When the data can't be synced or the target can't be replaced.
    pub fn commit(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        sync_directory(&directory_of(&self.target))
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing can be done about a failure; the name says whose file it is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces a file's content durably, or leaves it as it was.
///
/// # Errors
/// When the new content can't be written.
pub fn write(target: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut replacement = Replacement::new(target, mode)?;
    replacement.write_all(bytes)?;
    replacement.commit()
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// When the directory can't be synced. File systems that can't do it at all are not an error.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        // A directory that may be written but not read (mode 0300) can't be opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

fn directory_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn ending_of(target: &Path) -> String {
    target
        .extension()
        .and_then(|ending| ending.to_str())
        .filter(|ending| ending.len() <= ENDING_LIMIT_BYTES)
        .map(|ending| format!(".{ending}"))
        .unwrap_or_default()
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.conf");
        write(&target, b"one", 0o640).unwrap();
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o7777, 0o640);
        let mut replacement = Replacement::new(&target, 0o600).unwrap();
        assert_eq!(replacement.temporary().extension().unwrap(), "conf");
        replacement.write_all(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        replacement.commit().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn what_is_not_committed_vanishes() {
        let folder = tempfile::tempdir().unwrap();
        drop(Replacement::new(&folder.path().join("a"), 0o600).unwrap());
        let mut blocked = Replacement::new(&folder.path().join("directory"), 0o600).unwrap();
        fs::create_dir(folder.path().join("directory")).unwrap();
        blocked.commit().unwrap_err();
        drop(blocked);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
