//! Private files for the length of one call.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::module::Failure;

/// How often another random name is tried.
const NAME_ATTEMPTS: usize = 16;

/// A folder that only this user can enter; it is removed when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
}

impl PrivateFolder {
    /// In the first place for temporary files that can be written.
    ///
    /// # Errors
    /// When there is none.
    pub fn new() -> Result<Self, Failure> {
        PrivateFolder::in_one_of(&places())
    }

    /// In a place from which programs can be started.
    ///
    /// # Errors
    /// When there is none.
    pub fn for_programs() -> Result<Self, Failure> {
        let mut places = places();
        // A stable sort: places mounted noexec come last, otherwise the order stays.
        places.sort_by_key(|place| {
            statvfs(place.as_path()).is_ok_and(|data| data.flags().contains(FsFlags::ST_NOEXEC))
        });
        PrivateFolder::in_one_of(&places)
    }

    fn in_one_of(places: &[PathBuf]) -> Result<Self, Failure> {
        let mut reason = String::from("there is no place for temporary files");
        for place in places {
            match create(place) {
                Ok(path) => return Ok(PrivateFolder { path }),
                Err(error) => reason = format!("{}: {error}", place.display()),
            }
        }
        Err(Failure::new(format!("failed to create a temporary folder: {reason}")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(&self, name: &str, mode: u32) -> Result<(PathBuf, File), Failure> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(|error| Failure::system("create", &path, &error))?;
        Ok((path, file))
    }

    /// Creates a file with this content in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, Failure> {
        let (path, mut file) = self.create(name, mode)?;
        file.write_all(bytes).map_err(|error| Failure::system("write", &path, &error))?;
        Ok(path)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn places() -> Vec<PathBuf> {
    let chosen = std::env::var_os("TMPDIR").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let usual = ["/tmp", "/var/tmp"].into_iter().map(PathBuf::from);
    chosen.into_iter().chain(usual).chain(home).filter(|place| place.is_absolute()).collect()
}

fn create(place: &Path) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..NAME_ATTEMPTS {
        let path = place.join(format!(".provision-{}", random_name()?));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// A name nobody can guess.
///
/// # Errors
/// When the system has no randomness.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0_u8; 12];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let folder = PrivateFolder::new().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        folder.write("a", b"x", 0o600).unwrap();
        assert!(folder.create("a", 0o600).is_err());
        drop(folder);
        assert!(!path.exists());
    }
}
