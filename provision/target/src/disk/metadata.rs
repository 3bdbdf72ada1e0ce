//! Copying what belongs to a file besides its bytes, and changing it without following links.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchown,
    fgetxattr, flistxattr, fsetxattr, openat, utimensat,
};

/// Longest list and longest value of extended attributes, in bytes; the kernel's own limits.
const XATTR_LIMIT_BYTES: usize = 64 << 10;

/// Changes owner and group of the thing itself, never of a link's target.
///
/// # Errors
/// The system's.
pub fn change_owner(path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    Ok(chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Changes owner and group of an open file.
///
/// # Errors
/// The system's.
pub fn change_owner_of(file: &File, uid: u32, gid: u32) -> io::Result<()> {
    Ok(fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Changes permission bits of the thing itself: if somebody puts a link in its place meanwhile,
/// the link's target stays as it is.
///
/// # Errors
/// The system's; `ELOOP` for a link.
pub fn change_mode(path: &Path, bits: u32) -> io::Result<()> {
    let opened: OwnedFd =
        openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let data = rustix::fs::fstat(opened.as_fd())?;
    if rustix::fs::FileType::from_raw_mode(data.st_mode).is_symlink() {
        return Err(rustix::io::Errno::LOOP.into());
    }
    let itself = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let permissions = fs::Permissions::from_mode(bits);
    match fs::set_permissions(itself, permissions.clone()) {
        // No /proc here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::set_permissions(path, permissions)
        }
        other => other,
    }
}

/// Seconds and nanoseconds; `None` for a half leaves that time as it is.
pub type Time = (i64, i64);

/// Sets access and modification time of the thing itself.
///
/// # Errors
/// The system's.
pub fn change_times(
    path: &Path,
    access: Option<Time>,
    modification: Option<Time>,
) -> io::Result<()> {
    let time = |time: Option<Time>| match time {
        Some((tv_sec, tv_nsec)) => Timespec { tv_sec, tv_nsec },
        None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
    };
    let times = Timestamps { last_access: time(access), last_modification: time(modification) };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets both times to now; unlike naming the time this needs write permission only.
///
/// # Errors
/// The system's.
pub fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A file's modification time.
#[must_use]
pub fn modification_time(data: &Metadata) -> Time {
    (data.mtime(), data.mtime_nsec())
}

/// A file's access time.
#[must_use]
pub fn access_time(data: &Metadata) -> Time {
    (data.atime(), data.atime_nsec())
}

/// Copies extended attributes (access control lists, labels), as far as that is possible: what
/// the file system or our rights don't allow is left out, as Python's `copystat` does.
pub fn copy_extended_attributes(from: &File, to: &File) {
    let mut list = vec![0_u8; XATTR_LIMIT_BYTES];
    let Ok(length) = flistxattr(from, list.as_mut_slice()) else { return };
    let mut value = vec![0_u8; XATTR_LIMIT_BYTES];
    for name in list.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let Ok(length) = fgetxattr(from, name, value.as_mut_slice()) else { continue };
        let value = value.get(..length).unwrap_or_default();
        let _ = fsetxattr(to, name, value, XattrFlags::empty());
    }
}
