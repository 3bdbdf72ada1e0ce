//! The helper's folder for what must outlive it: journal, lock, kept results.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where root's state lies.
const ROOT_FOLDER: &str = "/var/lib/provision";

/// The folder, made if it is missing, and whether it is a fallback.
///
/// # Errors
/// When no place can be used; with the reason of the preferred one.
pub fn folder(uid: u32) -> io::Result<(PathBuf, bool)> {
    let preferred = if uid == 0 {
        PathBuf::from(ROOT_FOLDER)
    } else {
        match std::env::var_os("HOME").filter(|home| Path::new(home).is_absolute()) {
            Some(home) => Path::new(&home).join(".local/state/provision"),
            None => fallback(uid),
        }
    };
    let problem = match prepare(&preferred, uid) {
        Ok(()) => return Ok((preferred, false)),
        Err(error) => error,
    };
    let other = fallback(uid);
    match prepare(&other, uid) {
        Ok(()) => Ok((other, true)),
        Err(_) => Err(problem),
    }
}

fn fallback(uid: u32) -> PathBuf {
    PathBuf::from(format!("/var/tmp/provision-{uid}/state"))
}

/// Makes a private folder; refuses one that somebody else could have prepared.
///
/// # Errors
/// When it can't be made or isn't ours.
pub fn prepare(folder: &Path, uid: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let parent_is_ours = match folder.parent() {
        Some(parent) if parent.ends_with(format!("provision-{uid}")) => is_ours(parent, uid)?,
        _ => true,
    };
    if !parent_is_ours || !is_ours(folder, uid)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder is a link or belongs to another user",
        ));
    }
    let data = fs::symlink_metadata(folder)?;
    if data.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn is_ours(folder: &Path, uid: u32) -> io::Result<bool> {
    let data = fs::symlink_metadata(folder)?;
    Ok(data.is_dir() && data.uid() == uid)
}

/// Folders for large contents on their way, the best first.
#[must_use]
pub fn spill_folders(state: Option<&Path>) -> Vec<PathBuf> {
    state
        .map(Path::to_owned)
        .into_iter()
        .chain([PathBuf::from("/var/tmp"), PathBuf::from("/tmp")])
        .collect()
}

/// The kernel's boot id; empty if the kernel doesn't tell.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
