//! Folders that outlive tasks. A set of volumes is a folder with one for each volume and a file that
//! says what it has; the file is written last, so a set without it was never handed out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::TaskId;

/// What a set has.
const FILE: &str = "volume.json";

/// A set that is being removed has this before its name: whatever happens, it is none any more.
const ENDING: &str = ".ending-";

/// A folder that a task finds at a path of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The folder on this machine.
    pub folder: PathBuf,
    /// An absolute path: in the container, or below the folder in which a program is run.
    pub path: String,
}

/// A volume of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, which is that of its folder.
    pub name: String,
    /// Its size in MiB, as it was wanted. Nothing is done to enforce it.
    pub size_mib: u32,
}

/// Why there are no volumes.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// It should be there, with what an earlier task left in it.
    #[error("its volume isn't at {0} any more; an empty one in its place would hide that")]
    Missing(PathBuf),
    /// A name that can't be that of a folder.
    #[error("`{0}` can't be the name of a volume")]
    Name(String),
    /// A folder can't be used.
    #[error("volume {path}: {source}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// Sets of volumes in a folder, by the word of their owner and their name.
#[derive(Debug, Clone)]
pub struct Volumes(PathBuf);

impl Volumes {
    /// Those in this folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Volumes(folder)
    }

    /// The folder of a volume.
    #[must_use]
    pub fn folder(&self, owner: &str, set: &TaskId, name: &str) -> PathBuf {
        self.set(owner, set.as_str()).join(name)
    }

    fn set(&self, owner: &str, set: &str) -> PathBuf {
        self.0.join(owner).join(set)
    }

    /// Makes sure that a set is there; if it isn't, it is made, provided that it may be new.
    ///
    /// # Errors
    /// When it should be there and isn't, or can't be made.
    pub fn prepare(
        &self,
        owner: &str,
        set: &TaskId,
        parts: &[Part],
        is_new: bool,
    ) -> Result<(), VolumeError> {
        for name in parts.iter().map(|part| part.name.as_str()).chain([owner]) {
            if name.parse::<TaskId>().is_err() {
                return Err(VolumeError::Name(name.to_owned()));
            }
        }
        let path = self.set(owner, set.as_str());
        let failed = |source| VolumeError::Folder { path: path.clone(), source };
        if path.join(FILE).is_file() && parts.iter().all(|part| path.join(&part.name).is_dir()) {
            return Ok(());
        }
        if !is_new {
            return Err(VolumeError::Missing(path));
        }
        for part in parts {
            fs::create_dir_all(path.join(&part.name)).map_err(failed)?;
        }
        let text = serde_json::to_vec(parts).map_err(io::Error::from).map_err(failed)?;
        let temporary = path.join(format!(".{FILE}"));
        fs::write(&temporary, text).map_err(failed)?;
        fs::rename(temporary, path.join(FILE)).map_err(failed)
    }

    /// Removes a set with all that is in it, if it is there.
    ///
    /// # Errors
    /// When something of it can't be removed.
    pub fn destroy(&self, owner: &str, set: &TaskId) -> Result<(), VolumeError> {
        let path = self.set(owner, set.as_str());
        let ending = self.set(owner, &format!("{ENDING}{set}"));
        let failed = |source| VolumeError::Folder { path: path.clone(), source };
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match fs::rename(&path, &ending) {
            Err(error) if !absent(&error) => return Err(failed(error)),
            _ => {}
        }
        match fs::remove_dir_all(&ending) {
            Err(error) if !absent(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// All sets that are there: owner, name, and what they have.
    #[must_use]
    pub fn all(&self) -> Vec<(String, TaskId, Vec<Part>)> {
        let mut all = Vec::new();
        for (owner, folder) in folders(&self.0) {
            for (name, set) in folders(&folder) {
                let parts = fs::read(set.join(FILE)).ok();
                let parts = parts.and_then(|text| serde_json::from_slice(&text).ok());
                if let (Ok(name), Some(parts)) = (name.parse(), parts) {
                    all.push((owner.clone(), name, parts));
                }
            }
        }
        all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        all
    }
}

fn folders(path: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let named = entries.flatten().filter(|entry| entry.path().is_dir());
    named.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}

/// Lets a program that is run in a folder find its mounts below it.
///
/// # Errors
/// When a path leads out of the folder, or a link can't be made.
pub fn link(sandbox: &Path, mounts: &[Mount]) -> io::Result<()> {
    for mount in mounts {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, mount.path.clone());
        let inner = mount.path.strip_prefix('/').ok_or_else(wrong)?;
        let is_name = |part: &str| !matches!(part, "" | "." | "..");
        if !inner.split('/').all(is_name) {
            return Err(wrong());
        }
        let place = sandbox.join(inner);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        std::os::unix::fs::symlink(&mount.folder, place)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        vec![Part { name: "data".to_owned(), size_mib: 10 }]
    }

    #[test]
    fn a_set_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let volumes = Volumes::at(folder.path().join("volumes"));
        let set: TaskId = "db.1".parse().unwrap();
        assert!(volumes.all().is_empty());
        let missing = volumes.prepare("m1", &set, &parts(), false);
        assert!(matches!(missing, Err(VolumeError::Missing(_))), "{missing:?}");
        volumes.prepare("m1", &set, &parts(), true).unwrap();
        let file = volumes.folder("m1", &set, "data").join("kept");
        fs::write(&file, "1").unwrap();
        volumes.prepare("m1", &set, &parts(), true).unwrap();
        volumes.prepare("m1", &set, &parts(), false).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "1");
        assert_eq!(volumes.all(), [("m1".to_owned(), set.clone(), parts())]);
        let other = volumes.prepare("m2", &set, &parts(), false);
        assert!(matches!(other, Err(VolumeError::Missing(_))), "each machine has its own");
        volumes.destroy("m1", &set).unwrap();
        volumes.destroy("m1", &set).unwrap();
        assert!(volumes.all().is_empty() && !file.exists());
        for (owner, name) in [("..", "data"), ("m1", "../x"), ("m1", "")] {
            let parts = vec![Part { name: name.to_owned(), size_mib: 1 }];
            let wrong = volumes.prepare(owner, &set, &parts, true);
            assert!(matches!(wrong, Err(VolumeError::Name(_))), "{owner} {name}: {wrong:?}");
        }
    }

    #[test]
    fn links_lead_from_below_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = folder.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let target = folder.path().join("data");
        fs::create_dir(&target).unwrap();
        let mount = |path: &str| Mount { folder: target.clone(), path: path.to_owned() };
        link(&sandbox, &[mount("/var/lib/app"), mount("/data")]).unwrap();
        fs::write(sandbox.join("var/lib/app/one"), "1").unwrap();
        assert_eq!(fs::read_to_string(sandbox.join("data/one")).unwrap(), "1");
        for wrong in ["data", "/../x", "/a//b", "/"] {
            assert!(link(&sandbox, &[mount(wrong)]).is_err(), "{wrong}");
        }
    }
}
