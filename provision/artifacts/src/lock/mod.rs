//! The artifacts lock: for each component and version, where its archive comes from and which
//! digest it has. Pure: it reads and writes text.
//!
//! The lock is the variable `artifacts` in a file of the inventory, so that plays read it without
//! being told. It is data: no templates in it, and a key that nobody knows is an error.

mod rewrite;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use diagnostics::{Diagnostic, SourceId, Span};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use yaml::{Node, Schema, Spanned};

pub use rewrite::{Unwritable, with_entry};

/// The variable.
pub const VARIABLE: &str = "artifacts";

/// Longest name of a component, version or folder, in bytes: all become parts of paths.
const NAME_LIMIT_BYTES: usize = 100;

/// Longest address, in bytes.
const URL_LIMIT_BYTES: usize = 4096;

/// The entries of a lock by component and version, in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Versions of each component.
    pub components: IndexMap<String, IndexMap<String, Entry>>,
}

/// What is known of one archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// Where upstream has it; none for an archive that was added from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its size, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What it takes on a disk when it is unpacked, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpacked_size: Option<u64>,
    /// Its digest: 64 hexadecimal digits.
    pub sha256: String,
    /// Its other digest: 128 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
    /// The one folder in it.
    pub root: String,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signer>,
    /// When it was added (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<String>,
}

/// Whose signature was checked when the entry was added.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Signer {
    /// What kind of signature it is.
    pub kind: SignatureKind,
    /// Fingerprint of the OpenPGP key, or the public key of minisign, which is as short.
    pub key: String,
}

/// Kinds of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureKind {
    /// RFC 9580 and its predecessors, as GnuPG makes them.
    Openpgp,
    /// Minisign and signify.
    Minisign,
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignatureKind::Openpgp => "OpenPGP",
            SignatureKind::Minisign => "minisign",
        })
    }
}

impl Lock {
    /// The entry of a version.
    #[must_use]
    pub fn entry(&self, component: &str, version: &str) -> Option<&Entry> {
        self.components.get(component)?.get(version)
    }

    /// Component, version and entry of all.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, &Entry)> {
        self.components.iter().flat_map(|(component, versions)| {
            versions.iter().map(|(version, entry)| (component.as_str(), version.as_str(), entry))
        })
    }
}

/// The lock in a text; `None` if the text has none.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str, source: SourceId) -> Result<Option<Lock>, Vec<Diagnostic>> {
    let read = yaml::read(text, source, Schema::Ansible);
    if !read.is_usable() {
        return Err(read.diagnostics);
    }
    let Some(document) = read.documents.first() else { return Ok(None) };
    let Some(node) = document.as_mapping().and_then(|top| top.get(VARIABLE)) else {
        return Ok(None);
    };
    if node.is_null() {
        return Ok(Some(Lock::default()));
    }
    type Written = IndexMap<String, Option<IndexMap<String, Spanned<Entry>>>>;
    let written: Written = yaml::from_node(node)?;
    let mut lock = Lock::default();
    let mut found = Vec::new();
    for (component, versions) in written {
        let (place, below) = child(node, &component);
        found.extend(wrong(place, check_component(&component)));
        let into = lock.components.entry(component).or_default();
        for (version, entry) in versions.unwrap_or_default() {
            found.extend(wrong(child(below, &version).0, check_version(&version)));
            found.extend(wrong(entry.span, check_entry(&entry.value)));
            into.insert(version, entry.value);
        }
    }
    if found.is_empty() { Ok(Some(lock)) } else { Err(found) }
}

/// Where a key stands, and its value.
fn child<'a>(node: &'a Node, name: &str) -> (Span, &'a Node) {
    let entry = node.as_mapping().and_then(|mapping| mapping.get_entry(name));
    entry.map_or((node.span, node), |(key, value)| (key.span, value))
}

fn wrong(span: Span, checked: Result<(), String>) -> Option<Diagnostic> {
    let message = checked.err()?;
    let hint = "entries are written by `provision artifacts add`";
    Some(Diagnostic::error("artifacts-lock", message).at(span, "here").hint(hint))
}

/// Whether a component can have this name.
///
/// # Errors
/// Why not.
pub fn check_component(name: &str) -> Result<(), String> {
    check_name(name).map_err(|reason| format!("`{name}` can't be a component: {reason}"))
}

/// Whether this can be a version.
///
/// # Errors
/// Why not.
pub fn check_version(version: &str) -> Result<(), String> {
    check_name(version).map_err(|reason| format!("`{version}` can't be a version: {reason}"))
}

/// Names become parts of paths on hosts, and words of commands.
fn check_name(name: &str) -> Result<(), &'static str> {
    let is_good =
        |character: char| character.is_ascii_alphanumeric() || "._+~-".contains(character);
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES {
        return Err("it must have 1 to 100 characters");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err("it must begin with a letter or a digit");
    }
    if !name.chars().all(is_good) {
        return Err("only letters, digits and ._+~- are allowed");
    }
    Ok(())
}

/// Whether an entry makes sense.
///
/// # Errors
/// Why not.
pub fn check_entry(entry: &Entry) -> Result<(), String> {
    check_digest("sha256", &entry.sha256, 64)?;
    if let Some(sha512) = &entry.sha512 {
        check_digest("sha512", sha512, 128)?;
    }
    check_name(&entry.root).map_err(|reason| format!("`root: {}`: {reason}", entry.root))?;
    if let Some(url) = &entry.url {
        check_url(url)?;
    }
    if entry.size == Some(0) {
        return Err("`size: 0`: an archive isn't empty".to_owned());
    }
    if let Some(signer) = &entry.signature {
        check_signer(signer)?;
    }
    match &entry.added {
        Some(added) if !is_data(added) => Err("`added` is no time".to_owned()),
        _ => Ok(()),
    }
}

fn check_signer(signer: &Signer) -> Result<(), String> {
    let key = signer.key.as_str();
    let is_good = match signer.kind {
        // Version 4 keys have SHA-1 fingerprints, version 6 keys SHA-256.
        SignatureKind::Openpgp => {
            matches!(key.len(), 40 | 64) && key.chars().all(|digit| digit.is_ascii_hexdigit())
        }
        // Two bytes of algorithm, eight of name, 32 of key.
        SignatureKind::Minisign => STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 42),
    };
    if is_good {
        return Ok(());
    }
    Err(format!("`key: {key}` is no {} key", signer.kind))
}

fn check_digest(name: &str, digest: &str, digits: usize) -> Result<(), String> {
    let is_digit = |character: char| matches!(character, '0'..='9' | 'a'..='f');
    if digest.len() == digits && digest.chars().all(is_digit) {
        return Ok(());
    }
    Err(format!("`{name}` must have {digits} hexadecimal digits in lower case"))
}

/// Whether it can be an address.
///
/// # Errors
/// Why not.
pub fn check_url(url: &str) -> Result<(), String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match host {
        None => Err(format!("`{url}` is no address: it must begin with https:// or http://")),
        Some("") => Err(format!("`{url}` is no address: it names no server")),
        // It would stand in the lock, on every host and in every log.
        Some(host) if host.contains('@') => {
            Err("an address with a user or a password can't stand in a lock".to_owned())
        }
        Some(_) if url.len() > URL_LIMIT_BYTES || !is_data(url) || url.contains(' ') => {
            Err(format!("`{url}` is no address: write blanks and the like as %20"))
        }
        Some(_) => Ok(()),
    }
}

/// Whether a text is one line that no template engine would look into.
fn is_data(text: &str) -> bool {
    text.chars().all(|character| !character.is_control())
        && !["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

#[cfg(test)]
mod tests;
