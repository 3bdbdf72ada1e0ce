//! `[io]` Removes a lab, whatever state it is in: everything is found by the lab's names, nothing
//! by files that a crash may have lost.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cgroup::Hierarchies;
use super::directories::StateDirectory;
use super::names::LabId;
use super::{mounts, network};
use crate::error::{Doing, Error};

/// A control group without processes that is older than this belongs to a lab that is dead, not to
/// one that is being made.
const DEAD_GROUP_AGE: Duration = Duration::from_secs(120);
const NSPAWN_DIRECTORY: &str = "/run/systemd/nspawn";
/// Only a directory with this file in it is ever removed.
const MARK: &str = ".corral-lab";

/// Marks a directory as a lab's own.
///
/// # Errors
/// The mark can't be written.
pub fn mark(directory: &StateDirectory) -> Result<(), Error> {
    let mark = directory.path().join(MARK);
    fs::create_dir_all(directory.path())
        .and_then(|()| fs::write(&mark, ""))
        .doing(|| format!("write {}", mark.display()))
}

/// Kills all processes of a lab and removes all it has on the machine.
///
/// # Errors
/// Something can't be removed; the rest has been.
pub fn remove_lab(directory: &StateDirectory, id: &LabId) -> Result<(), Error> {
    check_mark(directory)?;
    let hierarchies = Hierarchies::find()?;
    // Without the processes nothing else can be removed; after them, every part is tried.
    hierarchies.kill_all(&id.cgroup())?;
    let locks = disk_locks(directory);
    let outcomes = [
        mounts::unmount_below(directory.path()),
        network::remove_all(id),
        hierarchies.remove(&id.cgroup()),
        remove_nspawn_entries(id, &locks),
    ];
    outcomes.into_iter().collect::<Result<Vec<()>, Error>>()?;
    remove_state(directory.path())
}

/// A directory that somebody named by mistake must not lose a mount, let alone a file.
fn check_mark(directory: &StateDirectory) -> Result<(), Error> {
    let path = directory.path();
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    match !path.exists() || path.join(MARK).exists() || is_empty() {
        true => Ok(()),
        false => {
            Err(Error::refused(format!("remove {}", path.display()), "it isn't a lab's directory"))
        }
    }
}

/// Everything of a lab that is on the machine now; empty after `remove_lab`.
#[must_use]
pub fn remains(directory: &StateDirectory, id: &LabId) -> Vec<String> {
    let mut found = network::remains(id);
    if let Ok(hierarchies) = Hierarchies::find() {
        let members = hierarchies.members(&id.cgroup());
        found.extend(members.pids.iter().map(|pid| format!("process {pid}")));
        if hierarchies.exists(&id.cgroup()) {
            found.push(format!("control group {}", id.cgroup()));
        }
    }
    let points = mounts::points_below(directory.path()).unwrap_or_default();
    found.extend(points.iter().map(|point| format!("mount {}", point.display())));
    let entries = fs::read_dir(Path::new(NSPAWN_DIRECTORY).join("propagate"));
    for entry in entries.into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&id.machine_prefix()) {
            found.push(format!("propagation directory {}", entry.path().display()));
        }
    }
    if directory.path().exists() {
        found.push(format!("directory {}", directory.path().display()));
    }
    found
}

/// Removes control groups of labs that died with their namespaces (see `isolate`).
pub fn sweep_dead_groups() {
    let Ok(hierarchies) = Hierarchies::find() else { return };
    for group in hierarchies.groups_with_prefix("corral-") {
        let members = hierarchies.members(&group);
        let young = hierarchies.youngest(&group).is_none_or(|changed| {
            SystemTime::now().duration_since(changed).map_or(true, |age| age < DEAD_GROUP_AGE)
        });
        if members.pids.is_empty() && !members.foreign && !young {
            // Another sweeper may be at it.
            let _ = hierarchies.remove(&group);
        }
    }
}

/// nspawn locks a directory by device and inode in a file that it leaves behind when it is killed.
fn disk_locks(directory: &StateDirectory) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let hosts = fs::read_dir(directory.path().join("hosts"));
    hosts
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.path().join("root").metadata().ok())
        .map(|root| format!("inode-{}:{}", root.dev(), root.ino()))
        .collect()
}

fn remove_nspawn_entries(id: &LabId, locks: &[String]) -> Result<(), Error> {
    let propagated = Path::new(NSPAWN_DIRECTORY).join("propagate");
    for entry in fs::read_dir(&propagated).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&id.machine_prefix()) {
            remove_directory(&entry.path())?;
        }
    }
    for lock in locks {
        // It exists only after a kill.
        let _ = fs::remove_file(Path::new(NSPAWN_DIRECTORY).join("locks").join(lock));
    }
    Ok(())
}

/// The mark goes last, so that a removal that was killed can be repeated.
fn remove_state(path: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory {
            remove_directory(&entry.path())?;
        } else if entry.file_name() != MARK {
            fs::remove_file(entry.path()).doing(|| format!("remove {}", entry.path().display()))?;
        }
    }
    remove_directory(path)
}

fn remove_directory(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_with_the_mark_may_be_removed() {
        let top = tempfile::tempdir().unwrap();
        let directory = StateDirectory::at(top.path().join("lab"));
        assert!(check_mark(&directory).is_ok());
        fs::create_dir(directory.path()).unwrap();
        assert!(check_mark(&directory).is_ok());
        fs::write(directory.path().join("letter"), "dear").unwrap();
        assert!(check_mark(&directory).is_err());
        mark(&directory).unwrap();
        assert!(check_mark(&directory).is_ok());
        remove_state(directory.path()).unwrap();
        assert!(!directory.path().exists());
    }
}
