//! `known_hosts`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provision_protocol::Object;
use serde::Deserialize;
use sha1::{Digest, Sha1};

use super::super::wildcard;
use super::super::words::Environment;
use super::{read, replace};
use crate::disk::attributes::Wanted;
use crate::disk::texts::{self, Side};
use crate::module::{Context, Failure, Outcome, arguments};

/// Beginning of a hashed name.
const HASH_MARK: &str = "|1|";

/// Block size of SHA-1, in bytes.
const BLOCK_BYTES: usize = 64;

#[derive(Debug, Deserialize)]
struct KnownHostsArguments {
    name: String,
    key: Option<String>,
    path: String,
    hash_host: bool,
    state: String,
}

/// `known_hosts`: manages a file of host keys.
///
/// # Errors
/// When the key doesn't belong to the host, or the file can't be written.
pub fn known_hosts(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: KnownHostsArguments = arguments(given)?;
    let present = given.state != "absent";
    if given.name.contains([',', ' ']) {
        return Err(Failure::new(
            "Comma separated list of names is not supported. Please pass a single name to lookup \
             in the known_hosts file.",
        ));
    }
    let key = given.key.as_deref().map(str::trim).filter(|key| !key.is_empty());
    let new = match key {
        Some(key) => {
            Some(Entry::parse(key).filter(|entry| entry.names(&given.name)).ok_or_else(|| {
                Failure::new("Host parameter does not match hashed host field in supplied key")
            })?)
        }
        None if present => return Err(Failure::new("No key specified when adding a host")),
        None => None,
    };
    let path = given.path.as_str();
    let path = Environment::new(&context.environment).expand_path(path);
    let before = read(&path)?;
    let after = edited(&before, &given, new.as_ref(), present)?;
    let mut outcome = Outcome::new(false)
        .with("name", given.name.as_str())
        .with("key", given.key.clone())
        .with("path", path.to_string_lossy())
        .with("hash_host", given.hash_host)
        .with("state", if present { "present" } else { "absent" });
    if after != before {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists() && !context.check) {
            context.about_to_change()?;
            DirBuilder::new()
                .mode(0o700)
                .create(folder)
                .map_err(|error| Failure::system("create", folder, &error))?;
        }
        // A new file has the mode that the umask leaves, as with Ansible: it is no secret.
        replace(&path, &before, &after, &Wanted::default(), false, &mut outcome, context)?;
    }
    if outcome.diff.is_empty() {
        // This module says what it changes even if nobody asks, or nothing changes.
        let (old, new) = (Side::of(before.as_bytes()), Side::of(after.as_bytes()));
        outcome.diff.push(texts::change(&path, old, new));
    }
    Ok(outcome)
}

/// The file with the key, or without it.
fn edited(
    text: &str,
    given: &KnownHostsArguments,
    new: Option<&Entry<'_>>,
    present: bool,
) -> Result<String, Failure> {
    let lines: Vec<&str> = text.lines().collect();
    let kept: Vec<&str> = match new {
        // All keys of the host go.
        None => lines.into_iter().filter(|line| of_host(line, &given.name).is_none()).collect(),
        Some(new) => {
            let is_same = |entry: &Entry<'_>| entry.is_same_key(new);
            let mut own = lines.iter().filter_map(|line| of_host(line, &given.name));
            // A name that is there in clear is another statement than its hash.
            let is_written = |entry: &Entry<'_>| match given.hash_host {
                true => entry.hosts.starts_with(HASH_MARK),
                false => entry.hosts == new.hosts,
            };
            if present && own.any(|entry| is_same(&entry) && is_written(&entry)) {
                return Ok(text.to_owned());
            }
            // Another key of the same type is replaced; marked lines are other statements.
            let goes = |entry: &Entry<'_>| {
                if present {
                    entry.kind == new.kind && entry.marker.is_none()
                } else {
                    entry.is_same_key(new)
                }
            };
            let stays = |line: &&str| !of_host(line, &given.name).is_some_and(|entry| goes(&entry));
            lines.into_iter().filter(stays).collect()
        }
    };
    let mut text: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
    if let Some(new) = new.filter(|_| present) {
        if given.hash_host {
            text.push_str(&new.hashed(&given.name)?);
        } else {
            text.push_str(given.key.as_deref().unwrap_or_default().trim());
        }
        text.push('\n');
    }
    Ok(text)
}

/// The line if it is about this host.
fn of_host<'a>(line: &'a str, host: &str) -> Option<Entry<'a>> {
    Entry::parse(line).filter(|entry| entry.names(host))
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry<'a> {
    marker: Option<&'a str>,
    hosts: &'a str,
    kind: &'a str,
    key: &'a str,
    rest: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (marker, line) = match line.strip_prefix('@').and_then(|_| line.split_once(' ')) {
            Some((marker, rest)) => (Some(marker), rest.trim_start()),
            None => (None, line),
        };
        let (hosts, line) = line.split_once([' ', '\t'])?;
        let (kind, line) = line.trim_start().split_once([' ', '\t'])?;
        let line = line.trim_start();
        let (key, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        Some(Entry { marker, hosts, kind, key, rest })
    }

    /// Whether the line is about a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
    fn names(&self, host: &str) -> bool {
        if let Some(hash) = self.hosts.strip_prefix(HASH_MARK) {
            return is_hash_of(hash, host);
        }
        let mut is_named = false;
        for pattern in self.hosts.split(',') {
            let (pattern, negated) =
                pattern.strip_prefix('!').map_or((pattern, false), |pattern| (pattern, true));
            // Brackets around an address with a port are no wildcard.
            let escaped = pattern.replace('[', "[[]");
            if wildcard::matches(&escaped.to_lowercase(), &host.to_lowercase()) {
                if negated {
                    return false;
                }
                is_named = true;
            }
        }
        is_named
    }

    fn is_same_key(&self, other: &Entry<'_>) -> bool {
        (self.marker, self.kind, self.key) == (other.marker, other.kind, other.key)
    }

    /// The line with the host's name hashed.
    fn hashed(&self, host: &str) -> Result<String, Failure> {
        let mut salt = [0_u8; 20];
        getrandom::fill(&mut salt)
            .map_err(|error| Failure::new(format!("no randomness: {error}")))?;
        let hash = STANDARD.encode(keyed_hash(&salt, host.as_bytes()));
        let hosts = format!("|1|{}|{hash}", STANDARD.encode(salt));
        let words = [self.marker.unwrap_or_default(), &hosts, self.kind, self.key, self.rest];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        Ok(words.join(" "))
    }
}

fn is_hash_of(text: &str, host: &str) -> bool {
    let Some((salt, hash)) = text.split_once('|') else { return false };
    match (STANDARD.decode(salt), STANDARD.decode(hash)) {
        (Ok(salt), Ok(hash)) => keyed_hash(&salt, host.as_bytes()) == hash,
        _ => false,
    }
}

/// HMAC-SHA1 (RFC 2104), which OpenSSH hashes names with.
fn keyed_hash(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; BLOCK_BYTES];
    let short = if key.len() > BLOCK_BYTES { Sha1::digest(key).to_vec() } else { key.to_vec() };
    for (place, byte) in block.iter_mut().zip(short) {
        *place = byte;
    }
    let inner = Sha1::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha1::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn hosts_are_named_in_many_ways() {
        let names = |hosts: &str, host: &str| {
            Entry { marker: None, hosts, kind: "", key: "", rest: "" }.names(host)
        };
        assert!(names("a,b", "b") && names("*.x,!c.x", "d.x") && !names("*.x,!c.x", "c.x"));
        assert!(names("[a]:2222", "[a]:2222") && !names("[a]:2222", "a"));
        // Made by ssh-keygen -H for `host`.
        let mac = STANDARD.encode(keyed_hash(b"salt", b"host"));
        let hashed = format!("|1|{}|{mac}", STANDARD.encode(b"salt"));
        assert!(names(&hashed, "host") && !names(&hashed, "other"));
    }

    #[test]
    fn the_hash_is_the_standard_s() {
        // RFC 2202, test case 2.
        let hash = keyed_hash(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex::encode(hash), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    }

    #[test]
    fn keys_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh/known_hosts");
        let mut bench = context();
        let given = |key: &str| json!({"name": "h", "key": key, "path": path});
        assert!(bench.call_named("known_hosts", given("h ssh-rsa AAA c")).unwrap().changed);
        assert!(!bench.call_named("known_hosts", given("h ssh-rsa AAA")).unwrap().changed);
        assert!(bench.call_named("known_hosts", given("h ssh-ed25519 BBB")).unwrap().changed);
        assert!(bench.call_named("known_hosts", given("h ssh-rsa CCC")).unwrap().changed);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "h ssh-ed25519 BBB\nh ssh-rsa CCC\n");
        let mut hashed = given("h ssh-dss DDD");
        hashed["hash_host"] = json!(true);
        assert!(bench.call_named("known_hosts", hashed.clone()).unwrap().changed);
        assert!(!bench.call_named("known_hosts", hashed).unwrap().changed);
        // A name in clear is replaced by its hash.
        let mut hidden = given("h ssh-ed25519 BBB");
        hidden["hash_host"] = json!(true);
        let outcome = bench.call_named("known_hosts", hidden.clone()).unwrap();
        assert!(outcome.changed && outcome.diff[0].before.starts_with("h ssh-ed25519"));
        let outcome = bench.call_named("known_hosts", hidden).unwrap();
        assert!(!outcome.changed && outcome.diff[0].before == outcome.diff[0].after);
        let mut one = given("h ssh-rsa CCC");
        one["state"] = json!("absent");
        assert!(bench.call_named("known_hosts", one.clone()).unwrap().changed);
        assert!(!bench.call_named("known_hosts", one).unwrap().changed);
        let all = json!({"name": "h", "path": path, "state": "absent"});
        assert!(bench.call_named("known_hosts", all).unwrap().changed);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
        assert!(bench.call_named("known_hosts", given("other ssh-rsa AAA")).is_err());
    }
}
