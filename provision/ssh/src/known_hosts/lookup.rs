//! The decision about a host's key, given what the files say. Pure.
//!
//! Follows `hostfile.c` and `sshconnect.c` of OpenSSH, stricter in two points: a key that is
//! revoked under the name without port is refused for `host:port` as well, and a key that is
//! unknown while another type of the host's keys is known is never learnt.

use std::fmt;
use std::path::{Path, PathBuf};

use super::parse::{KnownHostsLine, KnownHostsText, Marker};
use crate::host_key::HostKey;

/// The port that is not written into names.
const SSH_PORT: u16 = 22;

/// Under which names a host is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    primary: String,
    fallback: Option<String>,
}

impl HostName {
    /// The name of a host and port: `host` for port 22, otherwise `[host]:port`, which falls back
    /// to a key that is known for `host`.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        if port == SSH_PORT {
            return Self { primary: host, fallback: None };
        }
        Self { primary: format!("[{host}]:{port}"), fallback: Some(host) }
    }

    /// An alias (`HostKeyAlias`), which stands alone whatever the port.
    #[must_use]
    pub fn alias(alias: &str) -> Self {
        Self { primary: alias.to_ascii_lowercase(), fallback: None }
    }

    /// The name under which keys are learnt.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.primary
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.primary)
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.display(), self.line)
    }
}

/// A key and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Where.
    pub location: Location,
    /// The key.
    pub key: HostKey,
}

/// What the files say about a key that a host has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Known(Location),
    /// Nothing is known about keys of this type.
    Unknown {
        /// Keys of other types that are known. Unless this is empty the key must not be learnt:
        /// an impostor could show a type that has not been seen yet.
        other_types: Vec<KnownKey>,
    },
    /// The host has another key of this type.
    Changed {
        /// The first such key.
        known: KnownKey,
    },
    /// The key must not be accepted from anybody whom the line is about.
    Revoked(Location),
}

/// One file's content with its path.
#[derive(Debug, Clone)]
pub(crate) struct LoadedFile {
    pub(crate) path: PathBuf,
    pub(crate) text: KnownHostsText,
}

/// All lines about a name, in the order of the files.
fn lines_about<'a>(
    files: &'a [LoadedFile],
    name: &'a str,
) -> impl Iterator<Item = (&'a Path, &'a KnownHostsLine)> {
    files.iter().flat_map(move |file| {
        let lines = file.text.lines.iter().filter(move |line| line.hosts.matches(name));
        lines.map(move |line| (file.path.as_path(), line))
    })
}

fn location(path: &Path, line: &KnownHostsLine) -> Location {
    Location { file: path.to_owned(), line: line.number }
}

fn verdict_under(files: &[LoadedFile], name: &str, key: &HostKey) -> Verdict {
    let (mut known_at, mut changed, mut other_types) = (None, None, Vec::new());
    for (path, line) in lines_about(files, name) {
        match line.marker {
            // A revocation wins over everything, wherever it stands.
            Marker::Revoked if line.key == *key => return Verdict::Revoked(location(path, line)),
            Marker::Revoked | Marker::CertAuthority => {}
            Marker::Plain if line.key == *key => {
                known_at = known_at.or_else(|| Some(location(path, line)));
            }
            Marker::Plain => {
                let known = KnownKey { location: location(path, line), key: line.key.clone() };
                if line.key.algorithm() == key.algorithm() {
                    changed = changed.or(Some(known));
                } else {
                    other_types.push(known);
                }
            }
        }
    }
    match (known_at, changed) {
        (Some(location), _) => Verdict::Known(location),
        (None, Some(known)) => Verdict::Changed { known },
        (None, None) => Verdict::Unknown { other_types },
    }
}

/// Decides about a plain key.
pub(crate) fn verdict(files: &[LoadedFile], name: &HostName, key: &HostKey) -> Verdict {
    let primary = verdict_under(files, &name.primary, key);
    let Some(fallback) = &name.fallback else { return primary };
    if matches!(primary, Verdict::Revoked(_) | Verdict::Changed { .. }) {
        return primary;
    }
    match verdict_under(files, fallback, key) {
        revoked @ Verdict::Revoked(_) => revoked,
        known @ Verdict::Known(_) if matches!(primary, Verdict::Unknown { .. }) => known,
        _ => primary,
    }
}

/// Where a key is revoked for a name, if it is. For the keys in a certificate.
pub(crate) fn revoked(files: &[LoadedFile], name: &HostName, key: &HostKey) -> Option<Location> {
    names(name).find_map(|name| {
        lines_about(files, name)
            .find(|(_, line)| line.marker == Marker::Revoked && line.key == *key)
            .map(|(path, line)| location(path, line))
    })
}

/// The authorities whose host certificates are accepted for a name.
pub(crate) fn authorities(files: &[LoadedFile], name: &HostName) -> Vec<KnownKey> {
    with_marker(files, name, Marker::CertAuthority)
}

/// The plain keys that are known for a name: their types are asked for first.
pub(crate) fn keys(files: &[LoadedFile], name: &HostName) -> Vec<KnownKey> {
    with_marker(files, name, Marker::Plain)
}

fn with_marker(files: &[LoadedFile], name: &HostName, marker: Marker) -> Vec<KnownKey> {
    let mut found = Vec::new();
    for name in names(name) {
        for (path, line) in lines_about(files, name).filter(|(_, line)| line.marker == marker) {
            found.push(KnownKey { location: location(path, line), key: line.key.clone() });
        }
        if !found.is_empty() {
            break;
        }
    }
    found
}

fn names(name: &HostName) -> impl Iterator<Item = &str> {
    std::iter::once(name.primary.as_str()).chain(name.fallback.as_deref())
}
