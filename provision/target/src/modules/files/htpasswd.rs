//! `htpasswd`: users of web servers and their passwords.

use std::fs;
use std::path::Path;

use md5::{Digest, Md5};
use provision_protocol::Object;

use crate::disk::attributes::FileArguments;
use crate::disk::paths;
use crate::disk::texts::{AttributeChange, Side, change};
use crate::disk::writing::NewContent;
use crate::module::{Context, Failure, Given, Outcome, arguments};

/// The alphabet of crypt's base 64.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of a new salt.
const SALT_CHARACTERS: usize = 8;
/// Rounds of Apache's MD5.
const ROUNDS: usize = 1000;

/// Runs the module.
///
/// # Errors
/// When the scheme isn't known, or the file can't be read or written.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let wanted = arguments::<FileArguments>(object)?.resolve(context.check)?;
    let given = Given(object);
    let path = paths::expand(context, given.word("path"));
    let name = given.word("name");
    let before = match fs::read(&path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::system("read", &path, &error)),
    };
    let (after, message) = if given.is("state", "absent") {
        let Some(text) = &before else {
            return Ok(Outcome::new(false)
                .with("msg", format!("{name} not present"))
                .with("warnings", vec![format!("{} does not exist", path.display())]));
        };
        match has(text, name) {
            true => (Some(edited(text, name, None)), format!("Remove {name}")),
            false => (None, format!("{name} not present")),
        }
    } else {
        present(given, before.as_deref(), &path)?
    };
    let mut outcome = Outcome::new(after.is_some());
    let mut message = message;
    if let Some(after) = after {
        if context.diff {
            let before = before.as_deref().unwrap_or_default();
            outcome.diff.push(change(
                &path,
                Side::of(before.as_bytes()),
                Side::of(after.as_bytes()),
            ));
        }
        if !context.check {
            let folder = paths::parent(&path);
            context.about_to_change()?;
            fs::create_dir_all(&folder)
                .map_err(|error| Failure::system("create", &folder, &error))?;
            let writing = NewContent {
                target: &path,
                wanted: &wanted,
                keep_attributes: true,
                backup: false,
                validate: None,
            };
            writing.write_bytes(context, after.as_bytes())?;
        }
    }
    if path.exists() && wanted.apply(&path, context, &mut AttributeChange::default())? {
        if outcome.changed {
            message.push_str(" and ");
        }
        message.push_str("ownership, perms or SE linux context changed");
        outcome.changed = true;
    }
    Ok(outcome.with("msg", message))
}

/// The file with the user, unless the password is right already.
fn present(
    given: Given<'_>,
    before: Option<&str>,
    path: &Path,
) -> Result<(Option<String>, String), Failure> {
    let (name, scheme) = (given.word("name"), given.word("hash_scheme"));
    let Some(password) = given.text("password") else {
        return Err(Failure::new(
            "state is present but all of the following are missing: password",
        ));
    };
    if before.is_none() && !given.flag("create") {
        return Err(Failure::new(format!("Destination {} does not exist", path.display())));
    }
    let known = before.and_then(|text| {
        text.lines().filter_map(|line| line.split_once(':')).find(|(known, _)| *known == name)
    });
    if known.is_some_and(|(_, stored)| is_right(stored, password)) {
        return Ok((None, format!("{name} already present")));
    }
    let stored = match scheme {
        "apr_md5_crypt" => apache_md5(password, &new_salt()?),
        "ldap_sha1" => sha1_text(password),
        "plaintext" => password.to_owned(),
        other => {
            return Err(Failure::new(format!(
                "the scheme {other} isn't supported: apr_md5_crypt, ldap_sha1 and plaintext are"
            )));
        }
    };
    let message = match before {
        None => format!("Created {} and added {name}", path.display()),
        Some(_) => format!("Add/update {name}"),
    };
    Ok((Some(edited(before.unwrap_or_default(), name, Some(&stored))), message))
}

fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.split_once(':').is_some_and(|(known, _)| known == name))
}

/// The file with another line for the user, at its old place or at the end. Empty lines go.
fn edited(text: &str, name: &str, stored: Option<&str>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_placed = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match (line.split_once(':').is_some_and(|(known, _)| known == name), stored) {
            (false, _) => lines.push(line.to_owned()),
            (true, Some(stored)) if !is_placed => {
                is_placed = true;
                lines.push(format!("{name}:{stored}"));
            }
            _ => {}
        }
    }
    if let (Some(stored), false) = (stored, is_placed) {
        lines.push(format!("{name}:{stored}"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Whether a stored hash is of this password.
fn is_right(stored: &str, password: &str) -> bool {
    if let Some(rest) = stored.strip_prefix("$apr1$") {
        let salt = rest.split('$').next().unwrap_or_default();
        return apache_md5(password, salt) == stored;
    }
    if stored.starts_with("{SHA}") {
        return sha1_text(password) == stored;
    }
    stored == password
}

fn sha1_text(password: &str) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let digest = sha1::Sha1::digest(password.as_bytes());
    format!("{{SHA}}{}", base64::engine::general_purpose::STANDARD.encode(digest))
}

fn new_salt() -> Result<String, Failure> {
    let mut bytes = [0; SALT_CHARACTERS];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("failed to get random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| character(usize::from(*byte))).collect())
}

fn character(bits: usize) -> char {
    ALPHABET.get(bits & 63).copied().map_or('.', char::from)
}

/// Apache's variant of MD5-crypt: `support/htpasswd.c` of httpd, `apr_md5_encode`.
fn apache_md5(password: &str, salt: &str) -> String {
    let word = password.as_bytes();
    let salt = salt.as_bytes();
    let second = Md5::new().chain_update(word).chain_update(salt).chain_update(word).finalize();
    let mut first = Md5::new().chain_update(word).chain_update(b"$apr1$").chain_update(salt);
    for at in (0..word.len()).step_by(16) {
        let rest = word.len().saturating_sub(at).min(16);
        first.update(second.get(..rest).unwrap_or_default());
    }
    let mut bits = word.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0][..] } else { word.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        next.update(if round & 1 == 1 { word } else { digest.as_slice() });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(word);
        }
        next.update(if round & 1 == 1 { digest.as_slice() } else { word });
        digest = next.finalize();
    }
    let byte = |at: usize| digest.get(at).copied().map_or(0, usize::from);
    let mut text = String::new();
    let mut add = |value: usize, characters: u32| {
        text.extend((0..characters).map(|at| character(value >> (6 * at))));
    };
    for (high, middle, low) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        add((byte(high) << 16) | (byte(middle) << 8) | byte(low), 4);
    }
    add(byte(11), 2);
    format!("$apr1${}${text}", String::from_utf8_lossy(salt))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::testing::context;

    /// Made with `openssl passwd -apr1 -salt …`.
    #[test]
    fn hashes_are_those_of_apache() {
        assert_eq!(apache_md5("secret", "abcdefgh"), "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/");
        assert_eq!(
            apache_md5("a password of more than sixteen bytes", "x.Y"),
            "$apr1$x.Y$5tGVmr1vrfLhNEO6Hpejo1"
        );
        assert_eq!(sha1_text("secret"), "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=");
    }

    #[test]
    fn users_come_change_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/passwords");
        let call = |more: Value| {
            let mut given = json!({"path": path, "name": "ada", "password": "secret"});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            context().call_named("htpasswd", given)
        };
        let text = || fs::read_to_string(&path).unwrap();
        let none = call(json!({"create": false})).unwrap_err().message;
        assert!(none.ends_with("does not exist"), "{none}");
        assert!(call(json!({"mode": "0640"})).unwrap().changed);
        assert!(text().starts_with("ada:$apr1$") && !call(json!({})).unwrap().changed);
        assert!(call(json!({"name": "bob", "hash_scheme": "ldap_sha1"})).unwrap().changed);
        assert!(!call(json!({"name": "bob"})).unwrap().changed);
        assert!(call(json!({"password": "other", "hash_scheme": "plaintext"})).unwrap().changed);
        assert!(text().starts_with("ada:other\nbob:{SHA}"), "{}", text());
        assert!(call(json!({"state": "absent"})).unwrap().changed && text().starts_with("bob:"));
        assert!(!call(json!({"state": "absent"})).unwrap().changed);
        assert!(call(json!({"hash_scheme": "bcrypt"})).unwrap_err().message.contains("bcrypt"));
    }
}
