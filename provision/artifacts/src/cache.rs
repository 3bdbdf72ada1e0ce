//! The content cache: archives by their digest, so that a name never means other bytes.
//!
//! `sha256/DIGEST` is a whole archive, read-only. `partial/` holds what is still on its way. Digests
//! are checked whenever an archive is taken from here: a disk or an editor may have changed it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::digests;

/// Whole archives may be read by everybody (a web server, plain Ansible) and written by nobody.
const MODE: u32 = 0o444;

/// Length of a SHA-256 in hexadecimal digits.
const DIGEST_CHARACTERS: usize = 64;

/// Longest note about a partial download, in bytes.
const NOTE_LIMIT_BYTES: u64 = 16 << 10;

/// A folder of archives.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// What the cache has under a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Missing,
    /// The archive; its size in bytes.
    Whole(u64),
    /// Something else.
    Damaged {
        /// The digest it has.
        sha256: String,
        /// Its size, in bytes.
        size: u64,
    },
}

impl Cache {
    /// The cache in a folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Cache { folder: folder.into() }
    }

    /// Where this user's cache is, by the rules of XDG; the roles compute the same.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let base = set("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| Some(PathBuf::from(set("HOME")?).join(".cache")))?;
        Some(Cache::new(base.join("provision/artifacts")))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the archive of a digest is, if it is there.
    #[must_use]
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join("sha256").join(sha256)
    }

    /// Looks at an archive, reading all of it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn look(&self, sha256: &str) -> io::Result<Look> {
        match digests::sha256_of_file(&self.path(sha256)) {
            Ok((found, size)) if found == sha256 => Ok(Look::Whole(size)),
            Ok((found, size)) => Ok(Look::Damaged { sha256: found, size }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Look::Missing),
            Err(error) => Err(error),
        }
    }

    /// Opens the partial download of this name; waits while another process has it.
    ///
    /// # Errors
    /// When the cache can't be written.
    pub fn partial(&self, name: &str) -> io::Result<Partial> {
        let folder = self.folder.join("partial");
        create_folder(&folder)?;
        let path = folder.join(name);
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.lock()?;
            // Who had it before may have moved or removed it.
            if same_file(&file, &path) {
                let note = folder.join(format!("{name}.note"));
                return Ok(Partial { path, note, file });
            }
        }
    }

    /// Makes a whole download the archive of its digest, durably; one that was there is replaced.
    ///
    /// # Errors
    /// When it can't be moved.
    pub fn keep(&self, partial: Partial, sha256: &str) -> io::Result<PathBuf> {
        let path = self.path(sha256);
        let folder = self.folder.join("sha256");
        create_folder(&folder)?;
        partial.file.set_permissions(fs::Permissions::from_mode(MODE))?;
        partial.file.sync_all()?;
        fs::rename(&partial.path, &path)?;
        durable::sync_directory(&folder)?;
        let _ = fs::remove_file(&partial.note);
        Ok(path)
    }
}

/// A file of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name: the digest of an archive, or what a download that was cut off is called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl Cache {
    /// Archives that are none of these, and downloads that were cut off and nobody goes on with, by
    /// name. Files that the cache has not made are left alone.
    ///
    /// # Errors
    /// When the cache can't be read.
    pub fn surplus(&self, keep: &BTreeSet<String>) -> io::Result<Vec<Stored>> {
        let is_digest = |name: &str| {
            name.len() == DIGEST_CHARACTERS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut surplus = files(&self.folder.join("sha256"))?;
        surplus.retain(|stored| is_digest(&stored.name) && !keep.contains(&stored.name));
        let partial = files(&self.folder.join("partial"))?;
        // Who downloads holds a lock on the file; its note goes with it.
        let is_idle = |stored: &Stored| {
            let data = stored.path.with_file_name(stored.name.trim_end_matches(".note"));
            File::open(data).is_ok_and(|file| file.try_lock().is_ok())
        };
        surplus.extend(partial.into_iter().filter(is_idle));
        Ok(surplus)
    }

    /// Deletes a file of it.
    ///
    /// # Errors
    /// When it can't be deleted.
    pub fn forget(&self, stored: &Stored) -> io::Result<()> {
        match fs::remove_file(&stored.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The plain files of a folder, by name; a folder that isn't there has none.
fn files(folder: &Path) -> io::Result<Vec<Stored>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let data = entry.path().symlink_metadata()?;
        if data.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push(Stored { name, path: entry.path(), size: data.len() });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Readable by all, like what is in it: a web server may serve from it.
fn create_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    file.metadata().ok().map(identity) == path.metadata().ok().map(identity)
}

/// A download on its way. Only one process has it at a time.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    note: PathBuf,
    file: File,
}

impl Partial {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes are there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// What was noted about the bytes that are there.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let mut text = String::new();
        let file = File::open(&self.note).ok()?;
        file.take(NOTE_LIMIT_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Forgets all bytes, and notes something about those to come.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn restart(&mut self, note: Option<&str>) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        match note {
            Some(note) => fs::write(&self.note, note),
            None => match fs::remove_file(&self.note) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// Appends to what is there.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(bytes)
    }

    /// Leaves it for the next time, if there is anything to go on with.
    pub fn leave(self) {
        if self.length().is_ok_and(|length| length == 0) {
            self.discard();
        }
    }

    /// Removes it.
    pub fn discard(self) {
        // What can't be removed is not used either: its digest is checked.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.note);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn an_archive_is_kept_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("a/b"));
        let digest = hex::encode(Sha256::digest(b"archive"));
        assert_eq!(cache.look(&digest).unwrap(), Look::Missing);
        let mut partial = cache.partial("x").unwrap();
        partial.restart(Some("etag")).unwrap();
        partial.append(b"arch").unwrap();
        drop(partial);
        let mut partial = cache.partial("x").unwrap();
        assert_eq!((partial.length().unwrap(), partial.note()), (4, Some("etag".into())));
        partial.append(b"ive").unwrap();
        let path = cache.keep(partial, &digest).unwrap();
        assert_eq!(cache.look(&digest).unwrap(), Look::Whole(7));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(folder.path().join("a/b/partial").read_dir().unwrap().count(), 0);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"archivE").unwrap();
        let damaged = cache.look(&digest).unwrap();
        assert!(matches!(damaged, Look::Damaged { size: 7, .. }), "{damaged:?}");
    }

    #[test]
    fn what_nobody_names_is_surplus() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.surplus(&BTreeSet::new()).unwrap(), []);
        let keep = |bytes: &[u8]| {
            let digest = hex::encode(Sha256::digest(bytes));
            let mut partial = cache.partial("x").unwrap();
            partial.restart(None).unwrap();
            partial.append(bytes).unwrap();
            cache.keep(partial, &digest).unwrap();
            digest
        };
        let (wanted, other) = (keep(b"wanted"), keep(b"other"));
        fs::write(folder.path().join("sha256/README"), "not ours").unwrap();
        let mut cut_off = cache.partial("cut-off").unwrap();
        cut_off.restart(Some("note")).unwrap();
        drop(cut_off);
        let going_on = cache.partial("going-on").unwrap();
        let surplus = cache.surplus(&BTreeSet::from([wanted.clone()])).unwrap();
        let names: Vec<&str> = surplus.iter().map(|stored| stored.name.as_str()).collect();
        assert_eq!(names, [other.as_str(), "cut-off", "cut-off.note"]);
        for stored in &surplus {
            cache.forget(stored).unwrap();
            cache.forget(stored).unwrap();
        }
        assert_eq!(cache.look(&wanted).unwrap(), Look::Whole(6));
        assert_eq!(cache.look(&other).unwrap(), Look::Missing);
        assert_eq!(cache.surplus(&BTreeSet::from([wanted])).unwrap(), []);
        assert!(going_on.path().exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A flipped bit, a cut, something appended, other bytes of the same length.
        #[test]
        fn any_change_is_noticed(
            bytes in proptest::collection::vec(any::<u8>(), 1..2000),
            place in any::<prop::sample::Index>(),
            bit in 0_u32..8,
            how in 0_usize..4,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let cache = Cache::new(folder.path());
            let digest = hex::encode(Sha256::digest(&bytes));
            let place = place.index(bytes.len());
            let mut other = bytes.clone();
            match how {
                0 => other[place] ^= 1 << bit,
                1 => other.truncate(place),
                2 => other.insert(place, 0),
                _ => other = vec![bytes[0].wrapping_add(1); bytes.len()],
            }
            let path = cache.path(&digest);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
            prop_assert_eq!(cache.look(&digest).unwrap(), Look::Whole(bytes.len() as u64));
            fs::write(&path, &other).unwrap();
            let expected =
                Look::Damaged { sha256: hex::encode(Sha256::digest(&other)), size: other.len() as u64 };
            prop_assert_eq!(cache.look(&digest).unwrap(), expected);
        }
    }

    #[test]
    fn two_do_not_write_the_same_download() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let mut first = cache.partial("x").unwrap();
        first.append(b"one").unwrap();
        let digest = hex::encode(Sha256::digest(b"one"));
        let second = std::thread::spawn({
            let cache = cache.clone();
            move || cache.partial("x").unwrap().length().unwrap()
        });
        std::thread::sleep(std::time::Duration::from_millis(30));
        cache.keep(first, &digest).unwrap();
        // The other one got a file of its own, not the one that became the archive.
        assert_eq!(second.join().unwrap(), 0);
        assert_eq!(cache.look(&digest).unwrap(), Look::Whole(3));
    }
}
