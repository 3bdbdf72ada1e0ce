//! A mirror: a folder that any web server can serve. Files are named by their digests, so what stands
//! under an address never changes, and a cache in between can't replay anything older.
//!
//! `sha256/DIGEST` are the archives, `index.json` says what they are, `SHA256SUMS` is for
//! `sha256sum --check`. Nothing is ever removed from it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cache::{Cache, Look};
use crate::digests;
use crate::lock::{Entry, Lock};

/// Version of the format of `index.json`.
pub const INDEX_VERSION: u32 = 1;

/// What `index.json` holds.
#[derive(Debug, Serialize)]
struct Index<'a> {
    version: u32,
    artifacts: Vec<Listed<'a>>,
}

/// One archive of the index.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    component: &'a str,
    version: &'a str,
    file: String,
    entry: &'a Entry,
}

/// What happened to one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It was there.
    Known,
    /// It is there now, as another name of the cache's file.
    Linked,
    /// It is there now, as a copy.
    Copied,
}

/// Why a mirror can't be written.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The cache lacks it.
    #[error("{component} {version} is not in the cache")]
    Missing {
        /// Component.
        component: String,
        /// Version.
        version: String,
    },
    /// The cache has something else.
    #[error("the cache's file of {component} {version} is damaged: its digest is {sha256}")]
    Damaged {
        /// Component.
        component: String,
        /// Version.
        version: String,
        /// The digest it has.
        sha256: String,
    },
    /// A file can't be read or written.
    #[error("failed to write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The address of an archive on a mirror.
#[must_use]
pub fn address(mirror: &str, sha256: &str) -> String {
    format!("{}/sha256/{sha256}", mirror.trim_end_matches('/'))
}

/// Writes a mirror of all that a lock names, and tells of each archive. Archives come before the index
/// that names them.
///
/// # Errors
/// When the cache lacks one, has a damaged one, or the folder can't be written. What is there is
/// whole even then.
pub fn write(
    lock: &Lock,
    cache: &Cache,
    folder: &Path,
    tell: &mut dyn FnMut(&str, &str, Placed),
) -> Result<(), MirrorError> {
    let archives = folder.join("sha256");
    let io_at = |path: &Path| {
        let path = path.to_owned();
        move |source| MirrorError::Io { path, source }
    };
    fs::create_dir_all(&archives).map_err(io_at(&archives))?;
    let mut listed = Vec::new();
    let mut sums = BTreeSet::new();
    for (component, version, entry) in lock.entries() {
        let names = || (component.to_owned(), version.to_owned());
        let source = cache.path(&entry.sha256);
        match cache.look(&entry.sha256).map_err(io_at(&source))? {
            Look::Whole(_) => {}
            Look::Missing => {
                let (component, version) = names();
                return Err(MirrorError::Missing { component, version });
            }
            Look::Damaged { sha256, .. } => {
                let (component, version) = names();
                return Err(MirrorError::Damaged { component, version, sha256 });
            }
        }
        let target = archives.join(&entry.sha256);
        let placed = place(&source, &target, &entry.sha256).map_err(io_at(&target))?;
        tell(component, version, placed);
        let file = format!("sha256/{}", entry.sha256);
        sums.insert(format!("{}  {file}\n", entry.sha256));
        listed.push(Listed { component, version, file, entry });
    }
    durable::sync_directory(&archives).map_err(io_at(&archives))?;
    let index = Index { version: INDEX_VERSION, artifacts: listed };
    let mut text = serde_json::to_vec_pretty(&index).unwrap_or_default();
    text.push(b'\n');
    let sums: String = sums.into_iter().collect();
    for (name, bytes) in [("SHA256SUMS", sums.as_bytes()), ("index.json", text.as_slice())] {
        let path = folder.join(name);
        durable::write(&path, bytes, 0o644).map_err(io_at(&path))?;
    }
    Ok(())
}

fn place(source: &Path, target: &Path, sha256: &str) -> io::Result<Placed> {
    if let Ok((found, _)) = digests::sha256_of_file(target) {
        if found == sha256 {
            return Ok(Placed::Known);
        }
        fs::remove_file(target)?;
    }
    if fs::hard_link(source, target).is_ok() {
        return Ok(Placed::Linked);
    }
    let mut replacement = durable::Replacement::new(target, 0o444)?;
    let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
    digests::pour(&mut fs::File::open(source)?, &mut |bytes| {
        sha2::Digest::update(&mut hasher, bytes);
        replacement.write_all(bytes)
    })?;
    if hex::encode(sha2::Digest::finalize(hasher)) != sha256 {
        return Err(io::Error::other("the cache's file changed while it was copied"));
    }
    replacement.file().set_permissions(fs::Permissions::from_mode(0o444))?;
    replacement.commit()?;
    Ok(Placed::Copied)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::lock;

    fn kept(cache: &Cache, bytes: &[u8]) -> String {
        let digest = hex::encode(Sha256::digest(bytes));
        let mut partial = cache.partial("x").unwrap();
        partial.restart(None).unwrap();
        partial.append(bytes).unwrap();
        cache.keep(partial, &digest).unwrap();
        digest
    }

    fn write_all(lock: &Lock, cache: &Cache, folder: &Path) -> Result<Vec<Placed>, String> {
        let mut placed = Vec::new();
        write(lock, cache, folder, &mut |_, _, what| placed.push(what))
            .map_err(|error| error.to_string())?;
        Ok(placed)
    }

    #[test]
    fn a_mirror_is_a_folder_that_proves_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, mirror) = (Cache::new(folder.path().join("c")), folder.path().join("m"));
        let digest = kept(&cache, b"archive");
        let text =
            format!("artifacts:\n  a:\n    \"1\":\n      sha256: \"{digest}\"\n      root: a-1\n");
        let lock = lock::read(&text, diagnostics::SourceId(0)).unwrap().unwrap();
        assert_eq!(write_all(&lock, &cache, &mirror), Ok(vec![Placed::Linked]));
        assert_eq!(write_all(&lock, &cache, &mirror), Ok(vec![Placed::Known]));
        let sums = fs::read_to_string(mirror.join("SHA256SUMS")).unwrap();
        assert_eq!(sums, format!("{digest}  sha256/{digest}\n"));
        insta::assert_snapshot!(fs::read_to_string(mirror.join("index.json")).unwrap());
        assert_eq!(fs::read(mirror.join("sha256").join(&digest)).unwrap(), b"archive");
        // A damaged file of the mirror is replaced, one of the cache is refused.
        fs::remove_file(mirror.join("sha256").join(&digest)).unwrap();
        fs::write(mirror.join("sha256").join(&digest), b"other").unwrap();
        assert_eq!(write_all(&lock, &cache, &mirror), Ok(vec![Placed::Linked]));
        fs::remove_file(cache.path(&digest)).unwrap();
        assert_eq!(write_all(&lock, &cache, &mirror), Err("a 1 is not in the cache".to_owned()));
        fs::write(cache.path(&digest), b"archivE").unwrap();
        assert!(write_all(&lock, &cache, &mirror).unwrap_err().contains("is damaged"));
        assert_eq!(address("http://m/x/", &digest), format!("http://m/x/sha256/{digest}"));
    }
}
