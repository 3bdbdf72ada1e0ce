//! Pure parser of `known_hosts` text. Never panics, keeps line numbers, never gives up on a file:
//! a malformed line is reported and skipped, as OpenSSH does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::host_key::HostKey;
use crate::pattern;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// The host has this key.
    Plain,
    /// The host's certificates are signed with this key (`@cert-authority`).
    CertAuthority,
    /// This key must never be accepted (`@revoked`).
    Revoked,
}

/// The first field of a line: which hosts it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPatterns {
    /// Names, wildcards and negations, in lower case.
    List(Vec<String>),
    /// `|1|salt|hash`: HMAC-SHA1 of one name.
    Hashed {
        /// Key of the HMAC.
        salt: Vec<u8>,
        /// The digest.
        hash: Vec<u8>,
    },
}

impl HostPatterns {
    fn parse(field: &str) -> Option<Self> {
        let Some(hashed) = field.strip_prefix('|') else {
            let names = field.split(',').map(str::to_ascii_lowercase).collect();
            return Some(Self::List(names));
        };
        let (salt, hash) = hashed.strip_prefix("1|")?.split_once('|')?;
        let (salt, hash) = (STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?);
        (salt.len() == DIGEST_BYTES && hash.len() == DIGEST_BYTES)
            .then_some(Self::Hashed { salt, hash })
    }

    /// Whether the line is about `name`, which is in lower case and has the form `host` or
    /// `[host]:port`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::List(names) => pattern::matches_list(names.iter().map(String::as_str), name),
            Self::Hashed { salt, hash } => {
                hash_name(salt, name).is_some_and(|digest| digest == *hash)
            }
        }
    }
}

/// Length of SHA-1, in bytes: salts and hashes of other lengths are malformed.
pub(crate) const DIGEST_BYTES: usize = 20;

/// HMAC-SHA1 of a host name, as `HashKnownHosts` stores it.
pub(crate) fn hash_name(salt: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(salt).ok()?;
    mac.update(name.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

/// One usable line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHostsLine {
    /// Line number, from 1.
    pub number: usize,
    /// Meaning of the key.
    pub marker: Marker,
    /// Hosts it is about.
    pub hosts: HostPatterns,
    /// The key.
    pub key: HostKey,
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedLine {
    /// Line number, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Content of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHostsText {
    /// The usable lines in order.
    pub lines: Vec<KnownHostsLine>,
    /// The others, without comments and empty lines.
    pub malformed: Vec<MalformedLine>,
}

/// Parses a file. Any bytes are accepted.
#[must_use]
pub fn parse_known_hosts(text: &[u8]) -> KnownHostsText {
    let mut parsed = KnownHostsText::default();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        match parse_line(number, line) {
            Ok(Some(line)) => parsed.lines.push(line),
            Ok(None) => {}
            Err(problem) => parsed.malformed.push(MalformedLine { number, problem }),
        }
    }
    parsed
}

fn parse_line(number: usize, line: &[u8]) -> Result<Option<KnownHostsLine>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut fields = line.split([' ', '\t', '\r']).filter(|field| !field.is_empty());
    let Some(mut first) = fields.next() else { return Ok(None) };
    if first.starts_with('#') {
        return Ok(None);
    }
    let mut marker = Marker::Plain;
    if first.starts_with('@') {
        marker = match first {
            "@cert-authority" => Marker::CertAuthority,
            "@revoked" => Marker::Revoked,
            _ => return Err("unknown marker"),
        };
        first = fields.next().ok_or("no host names")?;
        if first.starts_with('@') {
            return Err("more than one marker");
        }
    }
    let hosts = HostPatterns::parse(first).ok_or("malformed hashed host name")?;
    let algorithm = fields.next().ok_or("no key type")?;
    let blob = fields.next().ok_or("no key")?;
    let blob = STANDARD.decode(blob).map_err(|_| "the key is not Base64")?;
    let key = HostKey::from_blob(blob).ok_or("malformed key")?;
    if key.algorithm() != algorithm {
        return Err("the key has another type than the line says");
    }
    Ok(Some(KnownHostsLine { number, marker, hosts, key }))
}
