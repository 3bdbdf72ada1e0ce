//! Copies of files that are about to be replaced.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::metadata;
use super::paths;
use crate::module::Failure;
use crate::modules::system::clock::Moment;

/// Names tried before a second's backups are too many.
const NAME_ATTEMPTS: u32 = 100;

/// Copies a file with owner, mode, times and extended attributes to a name with the date, as
/// Ansible names backups. Nothing happens if there is no file.
///
/// # Errors
/// When the copy can't be made.
pub fn backup(path: &Path) -> Result<Option<PathBuf>, Failure> {
    if !paths::exists(path) {
        return Ok(None);
    }
    let now = Moment::now();
    let date = format!("{}@{}", now.date(), now.time_of_day());
    for attempt in 0..NAME_ATTEMPTS {
        // The process number is part of the name; it varies only if the second was used already.
        let number = std::process::id() + attempt;
        let target = PathBuf::from(format!("{}.{number}.{date}~", path.display()));
        match preserved_copy(path, &target) {
            Ok(()) => return Ok(Some(target)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let _ = fs::remove_file(&target);
                return Err(Failure::new(format!(
                    "Could not make backup of {} to {}: {error}",
                    path.display(),
                    target.display()
                )));
            }
        }
    }
    Err(Failure::new(format!("Could not make backup of {}: too many exist", path.display())))
}

fn preserved_copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let data = source.metadata()?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target)?;
    // Without root the owner is ours, as it must be.
    let _ = metadata::change_owner_of(&target, data.uid(), data.gid());
    metadata::copy_extended_attributes(&source, &target);
    target.set_permissions(fs::Permissions::from_mode(data.mode() & 0o7777))?;
    target.sync_all()?;
    drop(target);
    metadata::change_times(
        to,
        Some(metadata::access_time(&data)),
        Some(metadata::modification_time(&data)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_in_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(backup(&path).unwrap(), None);
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let first = backup(&path).unwrap().unwrap();
        let second = backup(&path).unwrap().unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read(&second).unwrap(), b"x");
        let (old, new) = (fs::metadata(&path).unwrap(), fs::metadata(&first).unwrap());
        assert_eq!((old.mode(), old.mtime_nsec()), (new.mode(), new.mtime_nsec()));
    }
}
