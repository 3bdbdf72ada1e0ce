//! `[io]` Overlay mounts of the hosts, and their removal whatever state they are in.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Doing, Error};

/// A mount is busy for a moment after its last process has died; then we detach it.
const BUSY_LIMIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

/// Mounts an overlay of read-only layers (topmost first) and one to write to.
///
/// # Errors
/// The kernel refuses.
pub fn overlay(
    source: &str,
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
) -> Result<(), Error> {
    let lower: Vec<String> =
        layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        upper.display(),
        work.display()
    );
    mount(Some(source), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .doing(|| format!("mount {}", target.display()))
        .map_err(|error| {
            error.with_hint("the state directory must be on a file system that overlayfs can use")
        })
}

/// Unmounts everything mounted at a directory or below it, the deepest first.
///
/// # Errors
/// A mount can't even be detached.
pub fn unmount_below(directory: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + BUSY_LIMIT;
    for point in points_below(directory)?.into_iter().rev() {
        loop {
            let flags = match Instant::now() < deadline {
                true => MntFlags::empty(),
                false => MntFlags::MNT_DETACH,
            };
            match umount2(&point, flags) {
                Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => break,
                Err(Errno::EBUSY) if flags.is_empty() => thread::sleep(POLL),
                Err(error) => return Err(error).doing(|| format!("unmount {}", point.display())),
            }
        }
    }
    Ok(())
}

/// Where something is mounted at or below a directory, in the order of mounting.
///
/// # Errors
/// The mounts can't be read.
pub fn points_below(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").doing(|| "read /proc/self/mounts".to_owned())?;
    Ok(mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(directory))
        .collect())
}
