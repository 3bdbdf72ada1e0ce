//! `authorized_key`.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use super::super::http;
use super::super::words::Environment;
use super::{read, replace};
use crate::disk::attributes::{Id, Wanted};
use crate::disk::{metadata, mode::Mode, paths};
use crate::module::{Context, Failure, Outcome, arguments};
use crate::names::{self, User};

/// Types of keys, by which the key itself is found behind its options.
const KINDS: &[&str] = &[
    "ssh-rsa",
    "ssh-dss",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
];

#[derive(Debug, Deserialize)]
struct AuthorizedKeyArguments {
    user: String,
    key: String,
    path: Option<String>,
    manage_dir: bool,
    state: String,
    key_options: Option<String>,
    exclusive: bool,
    comment: Option<String>,
    validate_certs: bool,
    follow: bool,
}

/// `authorized_key`: manages keys that may log in.
///
/// # Errors
/// When a key is malformed, the user doesn't exist, or the file can't be written.
pub fn authorized_key(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: AuthorizedKeyArguments = arguments(given)?;
    let present = given.state != "absent";
    let user = names::user_by_name(&given.user)
        .map_err(|error| Failure::new(format!("failed to read the user database: {error}")))?;
    if user.is_none() && context.check && given.path.is_none() {
        // An earlier task may be about to create the user, who has no keys then.
        let reason = format!("the user {} does not exist (yet)", given.user);
        return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
    }
    let file = file(&given, user.as_ref(), context)?;
    let keys = wanted_keys(&given, context)?;
    let before = read(&file)?;
    let after = edited(&before, &keys, present, given.exclusive);
    let mut outcome = Outcome::new(false)
        .with("user", given.user.as_str())
        .with("key", given.key.as_str())
        .with("keyfile", paths::text(&file))
        .with("path", given.path.clone())
        .with("state", if present { "present" } else { "absent" })
        .with("exclusive", given.exclusive)
        .with("key_options", given.key_options.clone())
        .with("comment", given.comment.clone())
        .with("manage_dir", given.manage_dir)
        .with("follow", given.follow)
        .with("validate_certs", given.validate_certs)
        .with("unique", false);
    if after == before {
        return Ok(outcome);
    }
    let owner = user.as_ref().filter(|_| nix::unistd::geteuid().is_root());
    if given.manage_dir && !context.check {
        make_folder(&file, owner, context)?;
    }
    let mode = if file.exists() { None } else { Some(Mode::parse(&"0600".into())?) };
    let wanted = Wanted {
        mode,
        owner: owner.map(|user| Id::Known(user.uid)),
        group: owner.map(|user| Id::Known(user.gid)),
        ..Wanted::default()
    };
    replace(&file, &before, &after, &wanted, false, &mut outcome, context)?;
    Ok(outcome)
}

fn file(
    given: &AuthorizedKeyArguments,
    user: Option<&User>,
    context: &Context<'_>,
) -> Result<PathBuf, Failure> {
    let file = match (&given.path, user) {
        (Some(path), _) => Environment::new(&context.environment).expand_path(path),
        (None, Some(user)) => user.home.join(".ssh/authorized_keys"),
        (None, None) => {
            return Err(Failure::new(format!("Failed to lookup user {}", given.user)));
        }
    };
    Ok(if given.follow { paths::real_path(&file) } else { file })
}

/// Creates `.ssh` for its user and puts its mode right, as sshd insists.
fn make_folder(
    file: &Path,
    owner: Option<&User>,
    context: &mut Context<'_>,
) -> Result<(), Failure> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let failed = |error: std::io::Error| Failure::system("prepare", folder, &error);
    if !folder.exists() {
        context.about_to_change()?;
        DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
        if let Some(owner) = owner {
            metadata::change_owner(folder, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
        }
        metadata::change_mode(folder, 0o700).map_err(failed)?;
    } else if !fs::metadata(folder).map_err(failed)?.is_dir() {
        return Err(Failure::new(format!("{} is not a folder", folder.display())));
    }
    Ok(())
}

fn wanted_keys(given: &AuthorizedKeyArguments, context: &Context<'_>) -> Result<Vec<Key>, Failure> {
    let text = if given.key.starts_with("http://") || given.key.starts_with("https://") {
        let mut bytes = Vec::new();
        http::download(&given.key, given.validate_certs, &mut bytes, context)?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        given.key.clone()
    };
    let options = given.key_options.as_deref().map(options);
    let mut keys: Vec<Key> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        let Some(mut key) = Key::parse(line) else {
            return Err(Failure::new(format!("invalid key specified: {line}")));
        };
        if let Some(options) = &options {
            key.options.clone_from(options);
        }
        if let Some(comment) = &given.comment {
            comment.clone_into(&mut key.comment);
        }
        if !keys.iter().any(|known| known.key == key.key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// One key with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    options: Vec<String>,
    kind: String,
    key: String,
    comment: String,
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let words = words(line);
        let at = words.iter().position(|(_, word)| KINDS.contains(word))?;
        let (kind_at, kind) = *words.get(at)?;
        let (key_at, key) = *words.get(at + 1)?;
        let before = line.get(..kind_at)?.trim();
        let comment = line.get(key_at + key.len()..)?.trim();
        Some(Key {
            options: options(before),
            kind: kind.to_owned(),
            key: key.to_owned(),
            comment: comment.to_owned(),
        })
    }

    fn render(&self) -> String {
        let options = self.options.join(",");
        let words = [options.as_str(), &self.kind, &self.key, &self.comment];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    /// Options have no order.
    fn is_same(&self, other: &Key) -> bool {
        let mut own = self.options.clone();
        let mut others = other.options.clone();
        own.sort();
        others.sort();
        own == others && (&self.kind, &self.comment) == (&other.kind, &other.comment)
    }
}

/// Words separated by blanks outside of quotes, with their places.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        let ends = !quoted && character.is_whitespace();
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        match (start, ends) {
            (None, false) => start = Some(at),
            (Some(begin), true) => {
                found.extend(line.get(begin..at).map(|word| (begin, word)));
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.and_then(|begin| line.get(begin..).map(|word| (begin, word))));
    found
}

/// Options separated by commas outside of quotes.
fn options(text: &str) -> Vec<String> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(|character: char| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        character == ',' && !quoted
    })
    .map(str::trim)
    .filter(|option| !option.is_empty())
    .map(str::to_owned)
    .collect()
}

/// The file with the keys, or without them. Comments and what isn't a key stay.
fn edited(text: &str, keys: &[Key], present: bool, exclusive: bool) -> String {
    let mut missing: Vec<&Key> = if present { keys.iter().collect() } else { Vec::new() };
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let is_comment = line.trim().is_empty() || line.trim_start().starts_with('#');
        let Some(found) = Key::parse(line).filter(|_| !is_comment) else {
            lines.push(line.to_owned());
            continue;
        };
        let wanted = keys.iter().find(|key| key.key == found.key);
        let stays = match wanted {
            Some(wanted) => present && wanted.is_same(&found),
            None => !(present && exclusive),
        };
        if stays {
            missing.retain(|key| key.key != found.key);
            lines.push(line.to_owned());
        }
    }
    lines.extend(missing.iter().map(|key| key.render()));
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn lines_have_parts() {
        let line = "from=\"10.0.0.1,x y\",command=\"a \\\"b, c\\\"\" ssh-ed25519 AAAA me at home";
        let key = Key::parse(line).unwrap();
        assert_eq!(key.options, ["from=\"10.0.0.1,x y\"", "command=\"a \\\"b, c\\\"\""]);
        assert_eq!((key.key.as_str(), key.comment.as_str()), ("AAAA", "me at home"));
        assert_eq!(key.render(), line);
        assert_eq!(Key::parse("nonsense"), None);
        assert_eq!(Key::parse("ssh-rsa"), None);
    }

    #[test]
    fn files_are_edited() {
        let key = |line: &str| Key::parse(line).unwrap();
        let text = "# mine\nssh-rsa AAA old\nssh-rsa BBB b\n";
        let a = key("ssh-rsa AAA new");
        assert_eq!(
            edited(text, std::slice::from_ref(&a), true, false),
            "# mine\nssh-rsa BBB b\nssh-rsa AAA new\n"
        );
        assert_eq!(edited(text, &[key("ssh-rsa BBB b")], true, false), text);
        assert_eq!(edited(text, std::slice::from_ref(&a), true, true), "# mine\nssh-rsa AAA new\n");
        assert_eq!(edited(text, &[a], false, false), "# mine\nssh-rsa BBB b\n");
        assert_eq!(edited("", &[key("no-pty ssh-rsa X")], true, false), "no-pty ssh-rsa X\n");
    }

    #[test]
    fn keys_of_a_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/authorized_keys");
        let user = names::user_by_id(nix::unistd::geteuid().as_raw()).unwrap().unwrap().name;
        let mut bench = context();
        let given = json!({
            "user": user, "key": "ssh-rsa AAA a\nssh-ed25519 BBB b\n", "path": path,
            "key_options": "no-pty", "comment": "c",
        });
        assert!(context().checking().call_named("authorized_key", given.clone()).unwrap().changed);
        assert!(!path.exists());
        assert!(bench.call_named("authorized_key", given.clone()).unwrap().changed);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "no-pty ssh-rsa AAA c\nno-pty ssh-ed25519 BBB c\n");
        assert!(!bench.call_named("authorized_key", given).unwrap().changed);
        let given = json!({"user": user, "key": "ssh-rsa AAA", "path": path, "state": "absent"});
        assert!(bench.call_named("authorized_key", given).unwrap().changed);
        assert!(bench.call_named("authorized_key", json!({"user": user, "key": "x"})).is_err());
    }
}
