//! Symbolic links.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::disk::paths;
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure};

/// Makes `path` a link to `target`; replaces a file or an empty directory only with `force`.
/// Whether something changed (or would).
///
/// # Errors
/// When something else is in the way.
pub fn ensure_link(
    path: &Path,
    target: &Path,
    force: bool,
    context: &mut Context<'_>,
    change: &mut AttributeChange,
) -> Result<bool, Failure> {
    let data = fs::symlink_metadata(path).ok();
    let is_directory = data.as_ref().is_some_and(fs::Metadata::is_dir);
    match &data {
        Some(data) if data.is_symlink() => {
            let present =
                fs::read_link(path).map_err(|error| Failure::system("read", path, &error))?;
            if present.as_os_str() == target.as_os_str() {
                return Ok(false);
            }
            change.note("src", paths::text(&present), paths::text(target));
        }
        Some(data) => {
            let kind = if data.is_dir() { "directory" } else { "file" };
            if !force {
                return Err(Failure::new(format!(
                    "refusing to convert from {kind} to symlink for {}",
                    path.display()
                ))
                .with("path", paths::text(path)));
            }
            if data.is_dir() && has_entries(path) {
                return Err(Failure::new(format!(
                    "the directory {} is not empty, refusing to convert it",
                    path.display()
                ))
                .with("path", paths::text(path)));
            }
            change.note("state", kind, "link");
        }
        None => change.note("state", "absent", "link"),
    }
    if context.check {
        return Ok(true);
    }
    context.about_to_change()?;
    replace_by_link(path, target, is_directory).map_err(|error| {
        Failure::new(format!("Error while linking: {error}")).with("path", paths::text(path))
    })?;
    Ok(true)
}

fn replace_by_link(path: &Path, target: &Path, is_directory: bool) -> std::io::Result<()> {
    if !paths::is_present(path) {
        return symlink(target, path);
    }
    let temporary = temporary_beside(path);
    symlink(target, &temporary)?;
    let replaced = if is_directory {
        fs::remove_dir(path).and_then(|()| fs::rename(&temporary, path))
    } else {
        fs::rename(&temporary, path)
    };
    if replaced.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// A free name in the same folder.
#[must_use]
pub fn temporary_beside(path: &Path) -> PathBuf {
    let mut bytes = [0; 8];
    // Without randomness the process number must do; a name that is taken is an error, no harm.
    let random = match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_be_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    };
    paths::parent(path).join(OsString::from(format!(".provision-{random:016x}")))
}

fn has_entries(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}
