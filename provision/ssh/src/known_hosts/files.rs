//! Reading `known_hosts` files and appending to them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::lookup::{self, HostName, KnownKey, LoadedFile, Location, Verdict};
use super::parse::{DIGEST_BYTES, MalformedLine, hash_name, parse_known_hosts};
use crate::host_key::HostKey;

/// A `known_hosts` file of a large fleet has some megabytes; what is larger is a mistake.
const FILE_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// The content of several `known_hosts` files.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    files: Vec<LoadedFile>,
}

/// How a name is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameStorage {
    /// Readable.
    Plain,
    /// Hashed with a random salt (`HashKnownHosts`): the file doesn't tell who is in the fleet.
    Hashed,
}

impl KnownHosts {
    /// Reads files in order. A file that is missing is empty.
    ///
    /// # Errors
    /// A file that exists and cannot be read: it might hold a revocation.
    pub fn load(paths: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for path in paths {
            let text = match read(path) {
                Ok(text) => text,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err((path.clone(), error)),
            };
            files.push(LoadedFile { path: path.clone(), text: parse_known_hosts(&text) });
        }
        Ok(Self { files })
    }

    /// Takes texts that have been read elsewhere, in order.
    #[must_use]
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = (PathBuf, &'a [u8])>) -> Self {
        let files = texts
            .into_iter()
            .map(|(path, text)| LoadedFile { path, text: parse_known_hosts(text) })
            .collect();
        Self { files }
    }

    /// What is known about a key that a host has shown.
    #[must_use]
    pub fn verdict(&self, name: &HostName, key: &HostKey) -> Verdict {
        lookup::verdict(&self.files, name, key)
    }

    /// Where a key is revoked for a host.
    #[must_use]
    pub fn revoked(&self, name: &HostName, key: &HostKey) -> Option<Location> {
        lookup::revoked(&self.files, name, key)
    }

    /// The authorities whose certificates are accepted for a host.
    #[must_use]
    pub fn authorities(&self, name: &HostName) -> Vec<KnownKey> {
        lookup::authorities(&self.files, name)
    }

    /// The plain keys of a host.
    #[must_use]
    pub fn keys(&self, name: &HostName) -> Vec<KnownKey> {
        lookup::keys(&self.files, name)
    }

    /// Lines that could not be used, for `doctor`.
    pub fn malformed(&self) -> impl Iterator<Item = (&Path, &MalformedLine)> {
        self.files
            .iter()
            .flat_map(|file| file.text.malformed.iter().map(|line| (file.path.as_path(), line)))
    }

    /// Appends keys of a host to a file and makes them durable. Creates the file (mode 0600) and
    /// its directory (0700) if they are missing; ends a last line that lacks its newline first.
    ///
    /// # Errors
    /// The file cannot be opened, written or synchronised, there is no randomness for the salt, or
    /// the name would mean something else in the file (a wildcard, a list, another line).
    pub fn append(
        path: &Path,
        name: &HostName,
        keys: &[HostKey],
        storage: NameStorage,
    ) -> io::Result<()> {
        // Brackets and colons are part of `[host]:port` and of IPv6 addresses.
        let is_special = |character: char| {
            character.is_whitespace()
                || character.is_control()
                || "@?*#,|!'\"\\".contains(character)
        };
        if name.as_str().is_empty() || name.as_str().contains(is_special) {
            let problem = format!("`{name}` is not a name that can be written down");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let mut lines = String::new();
        for key in keys {
            let name = match storage {
                NameStorage::Plain => name.as_str().to_owned(),
                NameStorage::Hashed => hashed(name.as_str())?,
            };
            lines.push_str(&format!("{name} {}\n", key.to_openssh()));
        }
        append_lines(path, &lines)
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(path)?.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 MiB"));
    }
    Ok(text)
}

fn hashed(name: &str) -> io::Result<String> {
    let mut salt = [0; DIGEST_BYTES];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let hash = hash_name(&salt, name).ok_or_else(|| io::Error::other("HMAC refused the salt"))?;
    Ok(format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash)))
}

fn append_lines(path: &Path, lines: &str) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let existed = path.exists();
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // Another program may append at the same time: one write per call keeps lines whole.
    let mut text = String::with_capacity(lines.len() + 1);
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(lines);
    file.write_all(text.as_bytes())?;
    match file.sync_all() {
        // A device such as /dev/null has nothing to synchronise.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        other => other?,
    }
    if !existed && let Some(parent) = parent {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
