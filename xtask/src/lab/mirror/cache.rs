//! `[io]` Debian's files, fetched once. A file appears in the cache complete or not at all.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::is_clean;
use super::upstream::{Fetched, Upstream};
use crate::error::{Doing, Error};
use crate::lab::apt::{self, Repository, Upstreams};
use crate::lab::directories::Cache;
use crate::lab::rootfs::SUITE;

/// Indexes without a digest in their names are asked for again after this time.
const INDEX_AGE_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// A file that the upstream doesn't have isn't asked for again during this time.
const ABSENT_AGE_LIMIT: Duration = Duration::from_secs(60);

/// Packages and indexes, from the cache or else from the upstream.
#[derive(Debug)]
pub struct PackageCache {
    root: PathBuf,
    upstreams: Upstreams,
    upstream: Upstream,
    state: Mutex<Flights>,
    landed: Condvar,
}

#[derive(Debug, Default)]
struct Flights {
    /// Being fetched now: two hosts that ask for the same package cause one download.
    running: BTreeSet<String>,
    absent: HashMap<String, SystemTime>,
}

impl PackageCache {
    /// The cache of this machine, filled as its apt sources say.
    ///
    /// # Errors
    /// The apt sources have no Debian archive.
    pub fn of_machine(cache: &Cache) -> Result<Self, Error> {
        let upstreams = machine_upstreams()?;
        Ok(Self {
            root: cache.packages(),
            upstreams,
            upstream: Upstream::of_environment(),
            state: Mutex::default(),
            landed: Condvar::new(),
        })
    }

    /// The upstreams behind the paths.
    #[must_use]
    pub fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// The file of a path such as `debian/pool/…`; `None` if the upstream doesn't have it.
    ///
    /// # Errors
    /// The upstream fails and the file isn't in the cache.
    pub fn get(&self, path: &str) -> Result<Option<PathBuf>, Error> {
        let (base, rest) = match path.split_once('/') {
            Some((repository, rest)) if is_clean(path) => {
                (self.upstreams.bases.get(repository), rest)
            }
            _ => (None, ""),
        };
        let Some(base) = base else { return Ok(None) };
        let file = self.root.join(path);
        let mut flights = self.lock();
        loop {
            if is_fresh(&file) {
                return Ok(Some(file));
            }
            let age = flights.absent.get(path).and_then(|when| when.elapsed().ok());
            if age.is_some_and(|age| age < ABSENT_AGE_LIMIT) {
                return Ok(None);
            }
            if flights.running.insert(path.to_owned()) {
                break;
            }
            flights = self.landed.wait(flights).unwrap_or_else(PoisonError::into_inner);
        }
        drop(flights);
        let outcome = self.download(&format!("{base}/{}", encode(rest)), &file);
        let mut flights = self.lock();
        flights.running.remove(path);
        if matches!(outcome, Ok(Fetched::Absent)) {
            flights.absent.insert(path.to_owned(), SystemTime::now());
        }
        drop(flights);
        self.landed.notify_all();
        match outcome {
            Ok(Fetched::Stored) => Ok(Some(file)),
            Ok(Fetched::Absent) => Ok(None),
            // Without an upstream an old index is better than none.
            Err(_) if file.is_file() => Ok(Some(file)),
            Err(error) => Err(error),
        }
    }

    fn download(&self, url: &str, file: &Path) -> Result<Fetched, Error> {
        let action = || format!("store {}", file.display());
        let directory = file.parent().unwrap_or(&self.root);
        fs::create_dir_all(directory).doing(action)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let part = directory.join(format!(".{name}.{}.part", std::process::id()));
        let fetched = self.upstream.fetch(url, &part);
        if matches!(fetched, Ok(Fetched::Stored)) {
            fs::rename(&part, file).doing(action)?;
        } else {
            // Usually there is none.
            let _ = fs::remove_file(&part);
        }
        fetched
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Packages and digest-named indexes never change.
fn is_fresh(file: &Path) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    if file.components().any(|part| matches!(part.as_os_str().to_str(), Some("pool" | "by-hash"))) {
        return true;
    }
    let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    // Times in the future are the mirror's, not ours: the file is as good as new.
    age.is_none_or(|age| age < INDEX_AGE_LIMIT) || recently_fetched(&metadata)
}

/// apt's downloader sets the modification time to the server's; the change time is the download's.
fn recently_fetched(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let changed = Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or_default());
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH + changed)
        .map_or(true, |age| age < INDEX_AGE_LIMIT)
}

/// As apt does it: `+` and `~` mean something else to some storage servers.
fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02x}")),
        }
        text
    })
}

/// What this machine's apt sources say about Debian.
///
/// # Errors
/// They don't have it.
pub fn machine_upstreams() -> Result<Upstreams, Error> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map_or(SUITE, |value| value.trim_matches('"'));
    apt::upstreams(&machine_repositories(), codename, SUITE).ok_or_else(|| {
        Error::refused("find a Debian mirror", "this machine's apt sources have none with `main`")
            .with_hint("the lab needs a Debian machine with working /etc/apt/sources.list(.d)")
    })
}

fn machine_repositories() -> Vec<Repository> {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let mut found = apt::parse_list(&read(Path::new("/etc/apt/sources.list")));
    let mut files: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(apt::parse_list(&read(&file))),
            Some("sources") => found.extend(apt::parse_sources(&read(&file))),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_characters_travel_unencoded() {
        assert_eq!(encode("pool/main/g/g++_1~2.deb"), "pool/main/g/g%2b%2b_1%7e2.deb");
    }

    #[test]
    fn packages_never_age() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("pool")).unwrap();
        let package = directory.path().join("pool/a.deb");
        assert!(!is_fresh(&package));
        fs::write(&package, "x").unwrap();
        assert!(is_fresh(&package));
    }
}
