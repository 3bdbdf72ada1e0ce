//! Whether an entry is on the disk already, as `tar --diff` sees it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Mutex;

use rustix::fs::{FileType, Stat};

use super::Job;
use super::archive::{Entry, Kind};
use super::root::kind;
use super::select::{Name, Selection, show};
use crate::module::Failure;
use crate::names;

/// Bytes compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// Whose files the entries become.
#[derive(Debug)]
pub(super) struct Owners {
    keeps_owners: bool,
    numeric: bool,
    /// Permission bits are taken as they are, without the umask.
    pub(super) keeps_modes: bool,
    users: Mutex<BTreeMap<String, Option<u32>>>,
    groups: Mutex<BTreeMap<String, Option<u32>>>,
}

impl Owners {
    pub(super) fn new(selection: &Selection, is_root: bool) -> Owners {
        Owners {
            keeps_owners: is_root && selection.same_owner.unwrap_or(true),
            numeric: selection.numeric_owner,
            keeps_modes: selection.same_mode.unwrap_or(is_root),
            users: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Owner and group, if they are to be set: the names count if this host knows them.
    pub(super) fn of(&self, entry: &Entry) -> (Option<u32>, Option<u32>) {
        if !self.keeps_owners {
            return (None, None);
        }
        let by_name = |name: &Option<String>,
                       known: &Mutex<BTreeMap<String, Option<u32>>>,
                       find: &dyn Fn(&str) -> Option<u32>| {
            let name = name.as_ref().filter(|_| !self.numeric)?;
            let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *known.entry(name.clone()).or_insert_with(|| find(name))
        };
        let uid = by_name(&entry.user, &self.users, &|name| {
            names::user_by_name(name).ok().flatten().map(|user| user.uid)
        });
        let gid = by_name(&entry.group, &self.groups, &|name| {
            names::group_by_name(name).ok().flatten().map(|group| group.gid)
        });
        (uid.or(entry.uid), gid.or(entry.gid))
    }
}

impl Job<'_> {
    /// Whether the entry has to be unpacked.
    pub(super) fn differs(
        &self,
        entry: &Entry,
        name: &Name,
        reader: &mut dyn Read,
    ) -> Result<bool, Failure> {
        let failed =
            |error: io::Error| Failure::new(format!("failed to compare {}: {error}", show(name)));
        let present = match &entry.kind {
            Kind::Directory => self.root.folder_data(name).map_err(failed)?,
            _ => self.root.look(name).map_err(failed)?,
        };
        let Some(present) = present else { return Ok(true) };
        if entry.kind != Kind::Directory && self.selection.keep_old {
            return Ok(false);
        }
        match &entry.kind {
            Kind::Directory => Ok(self.attributes_differ(entry, &present)),
            Kind::Link(target) => {
                if kind(&present) != FileType::Symlink {
                    return self.refuse_folder(&present, name);
                }
                let found = self.root.target(name).map_err(failed)?;
                Ok(found != *target || self.owner_differs(entry, &present))
            }
            Kind::Hard(original) => {
                let Some(original) = self.selection.name(original)? else { return Ok(false) };
                let original = self.root.look(&original).map_err(failed)?;
                Ok(original.is_none_or(|original| {
                    (original.st_dev, original.st_ino) != (present.st_dev, present.st_ino)
                }))
            }
            Kind::File => {
                if kind(&present) != FileType::RegularFile {
                    return self.refuse_folder(&present, name);
                }
                if self.keep_newer && self.is_newer(entry, &present) {
                    return Ok(false);
                }
                if u64::try_from(present.st_size) != Ok(entry.size)
                    || self.attributes_differ(entry, &present)
                    || self.time_differs(entry, &present)
                {
                    return Ok(true);
                }
                let mut file = self.root.read(name).map_err(failed)?;
                Ok(!same_bytes(reader, &mut file).map_err(failed)?)
            }
            Kind::Other(_) => Ok(true),
        }
    }

    /// A folder is never replaced by something else.
    fn refuse_folder(&self, present: &Stat, name: &Name) -> Result<bool, Failure> {
        if kind(present) == FileType::Directory {
            return Err(Failure::new(format!(
                "the archive's entry {} would replace a directory",
                show(name)
            )));
        }
        Ok(true)
    }

    /// Mode and owner that the playbook sets itself are compared later.
    fn attributes_differ(&self, entry: &Entry, present: &Stat) -> bool {
        let mode = self.wanted.mode.is_none()
            && self.attributes_of(entry).mode != present.st_mode & 0o7777;
        mode || self.owner_differs(entry, present)
    }

    fn owner_differs(&self, entry: &Entry, present: &Stat) -> bool {
        let (uid, gid) = self.owners.of(entry);
        let uid = uid.filter(|_| self.wanted.owner.is_none());
        let gid = gid.filter(|_| self.wanted.group.is_none());
        uid.is_some_and(|uid| uid != present.st_uid) || gid.is_some_and(|gid| gid != present.st_gid)
    }

    fn time_differs(&self, entry: &Entry, present: &Stat) -> bool {
        !self.selection.touch && entry.time.is_some_and(|(seconds, _)| seconds != present.st_mtime)
    }

    fn is_newer(&self, entry: &Entry, present: &Stat) -> bool {
        entry.time.is_some_and(|(seconds, _)| present.st_mtime > seconds)
    }
}

fn same_bytes(left: &mut dyn Read, right: &mut dyn Read) -> io::Result<bool> {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        other.clear();
        let piece = PIECE_BYTES as u64;
        (&mut *left).take(piece).read_to_end(&mut one)?;
        (&mut *right).take(piece).read_to_end(&mut other)?;
        if one != other {
            return Ok(false);
        }
        if one.is_empty() {
            return Ok(true);
        }
    }
}
