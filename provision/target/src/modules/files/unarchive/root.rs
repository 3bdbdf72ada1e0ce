//! The destination: everything below it and nothing outside, whatever links lie in the way.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
    chownat, fchmod, fchown, futimens, linkat, mkdirat, openat, openat2, readlinkat, renameat,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::select::Name;
use crate::disk::metadata::Time;

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// See the module.
pub(super) struct Root {
    folder: OwnedFd,
}

/// Owner, permission bits and time of something that was unpacked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attributes {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mode: u32,
    pub(super) time: Option<Time>,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        Ok(Root { folder: openat(CWD, path, FOLDER, Mode::empty())? })
    }

    /// The folder that holds an entry. Links on the way are followed as long as they stay inside.
    fn parent(&self, name: &[OsString]) -> io::Result<OwnedFd> {
        let folders = name.get(..name.len().saturating_sub(1)).unwrap_or_default();
        self.folder_at(folders)
    }

    fn folder_at(&self, folders: &[OsString]) -> io::Result<OwnedFd> {
        if folders.is_empty() {
            return self.folder.try_clone();
        }
        let path = folders.join(OsStr::new("/"));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.folder, path.as_os_str(), FOLDER, Mode::empty(), resolve) {
            // Kernels before 5.6, or a filter that doesn't know the call: no links at all.
            Err(Errno::NOSYS | Errno::PERM) => self.folder_without_links(folders),
            other => Ok(other?),
        }
    }

    fn folder_without_links(&self, folders: &[OsString]) -> io::Result<OwnedFd> {
        let mut folder = self.folder.try_clone()?;
        for name in folders {
            folder = openat(&folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(folder)
    }

    /// What lies there; a link itself, not its target.
    pub(super) fn look(&self, name: &Name) -> io::Result<Option<Stat>> {
        let Some(last) = name.last() else { return Ok(None) };
        let parent = match self.parent(name) {
            Ok(parent) => parent,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        match statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a folder lies there, or a link to one inside.
    pub(super) fn folder_data(&self, name: &Name) -> io::Result<Option<Stat>> {
        match self.folder_at(name) {
            Ok(folder) => Ok(Some(rustix::fs::fstat(&folder)?)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn read(&self, name: &Name) -> io::Result<File> {
        let (parent, last) = self.place(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(openat(&parent, last, flags, Mode::empty())?))
    }

    pub(super) fn target(&self, name: &Name) -> io::Result<OsString> {
        let (parent, last) = self.place(name)?;
        let target = readlinkat(&parent, last, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn place<'a>(&self, name: &'a Name) -> io::Result<(OwnedFd, &'a OsString)> {
        let last = name.last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.parent(name)?, last))
    }

    /// Makes a folder and those above it; those that exist stay as they are.
    pub(super) fn make_folder(&self, name: &[OsString], mode: u32) -> io::Result<()> {
        for end in 1..=name.len() {
            let part = name.get(..end).unwrap_or_default();
            let Some(last) = part.last() else { continue };
            let parent = self.parent(part)?;
            // The umask applies to folders that the archive doesn't list.
            let bits = if end == name.len() { mode } else { 0o777 };
            match mkdirat(&parent, last, Mode::from_raw_mode(bits)) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    // A file in the way, or a link that leads out, is refused here.
                    self.folder_at(part)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes the folders above an entry.
    pub(super) fn make_parents(&self, name: &Name) -> io::Result<()> {
        self.make_folder(name.get(..name.len().saturating_sub(1)).unwrap_or_default(), 0o777)
    }

    /// Writes a file whole, or leaves what was there.
    pub(super) fn write(
        &self,
        name: &Name,
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> io::Result<u64> {
        let (parent, last) = self.place(name)?;
        let temporary = temporary_name()?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, &temporary, flags, Mode::from_raw_mode(0o600))?);
        let written = io::copy(content, &mut file).and_then(|count| {
            let owner = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
            if owner != (None, None) {
                fchown(&file, owner.0, owner.1)?;
            }
            fchmod(&file, Mode::from_raw_mode(attributes.mode))?;
            if let Some(time) = attributes.time {
                futimens(&file, &times(time))?;
            }
            renameat(&parent, &temporary, &parent, last)?;
            Ok(count)
        });
        if written.is_err() {
            let _ = unlinkat(&parent, &temporary, AtFlags::empty());
        }
        written
    }

    pub(super) fn link(
        &self,
        name: &Name,
        target: &OsStr,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let (parent, last) = self.place(name)?;
        let temporary = temporary_name()?;
        symlinkat(target, &parent, &temporary)?;
        let done = || -> io::Result<()> {
            let owner = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
            if owner != (None, None) {
                chownat(&parent, &temporary, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            if let Some(time) = attributes.time {
                utimensat(&parent, &temporary, &times(time), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(renameat(&parent, &temporary, &parent, last)?)
        };
        let done = done();
        if done.is_err() {
            let _ = unlinkat(&parent, &temporary, AtFlags::empty());
        }
        done
    }

    pub(super) fn hard_link(&self, name: &Name, original: &Name) -> io::Result<()> {
        let (from, from_last) = self.place(original)?;
        let (parent, last) = self.place(name)?;
        let temporary = temporary_name()?;
        linkat(&from, from_last, &parent, &temporary, AtFlags::empty())?;
        let done = renameat(&parent, &temporary, &parent, last);
        // Two names of one file: rename does nothing and the temporary name stays.
        let _ = unlinkat(&parent, &temporary, AtFlags::empty());
        Ok(done?)
    }

    /// Gives a folder its attributes; after everything in it was unpacked, since that changes its
    /// time and may need its permissions.
    pub(super) fn finish_folder(&self, name: &Name, attributes: &Attributes) -> io::Result<()> {
        let folder = self.folder_at(name)?;
        let owner = (attributes.uid.map(Uid::from_raw), attributes.gid.map(Gid::from_raw));
        if owner != (None, None) {
            fchown(&folder, owner.0, owner.1)?;
        }
        fchmod(&folder, Mode::from_raw_mode(attributes.mode))?;
        if let Some(time) = attributes.time {
            futimens(&folder, &times(time))?;
        }
        Ok(())
    }

    /// Makes everything durable at once: a sync for each of thousands of files takes minutes.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self.folder.as_fd())?)
    }

    /// Bytes that an unprivileged user could still write there.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let data = rustix::fs::fstatvfs(&self.folder).ok()?;
        data.f_bavail.checked_mul(data.f_frsize)
    }
}

/// Kind of what a [`Stat`] describes.
pub(super) fn kind(data: &Stat) -> FileType {
    FileType::from_raw_mode(data.st_mode)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.0, tv_nsec: time.1 };
    Timestamps { last_access: time, last_modification: time }
}

fn temporary_name() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!(".provision-{:016x}", u64::from_be_bytes(bytes)))
}
