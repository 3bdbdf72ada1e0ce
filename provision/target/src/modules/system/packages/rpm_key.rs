//! `rpm_key`: keys that rpm trusts.

use std::fs;
use std::io::Write;

use provision_protocol::Object;

use super::super::http;
use super::super::private::PrivateFolder;
use super::super::process::{Finished, Run};
use crate::disk::paths;
use crate::module::{Context, Failure, Given, Outcome};

/// `rpm_key`: adds or removes a key.
///
/// # Errors
/// When the key can't be had, isn't one, or hasn't the fingerprint that was given.
pub fn rpm_key(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let key = given.word("key");
    let is_wanted = given.is("state", "present");
    let content = content(given, context)?;
    let id = match (&content, key_id(key)) {
        (Some(content), _) => {
            let (id, fingerprints) = identity(content, context)?;
            if is_wanted {
                check_fingerprint(given, &fingerprints)?;
            }
            id
        }
        (None, Some(id)) if !is_wanted => id,
        (None, Some(_)) => {
            return Err(Failure::new("When importing a key, a valid file must be given"));
        }
        (None, None) => return Err(Failure::new(format!("Not a valid key {key}"))),
    };
    let is_there = is_trusted(&id, context)?;
    if is_there != is_wanted && !context.check {
        context.about_to_change()?;
        match content {
            Some(content) if is_wanted => {
                let folder = PrivateFolder::new()?;
                let (path, mut file) = folder.create("key", 0o600)?;
                file.write_all(&content)
                    .map_err(|error| Failure::system("write", &path, &error))?;
                Run::tool("rpm")?
                    .parsable()
                    .argument("--import")
                    .argument(path)
                    .succeed(context)?;
            }
            _ => {
                let package = format!("gpg-pubkey-{}", short(&id));
                let words = ["--erase", "--allmatches", &package];
                Run::tool("rpm")?.parsable().arguments(words).succeed(context)?;
            }
        }
    }
    Ok(Outcome::new(is_there != is_wanted))
}

/// The key itself, if it isn't named by its id.
fn content(given: Given<'_>, context: &Context<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let key = given.word("key");
    if key.contains("://") {
        let mut bytes = Vec::new();
        let validates = given.choice("validate_certs").unwrap_or(true);
        http::download(key, validates, &mut bytes, context)?;
        return Ok(Some(bytes));
    }
    let path = paths::expand(context, key);
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(|error| Failure::system("read", &path, &error))?;
    Ok(Some(bytes))
}

/// `0xDEADB33F`, or without the prefix, of 8 or 16 digits: in upper case.
fn key_id(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let fits =
        matches!(digits.len(), 8 | 16) && digits.chars().all(|digit| digit.is_ascii_hexdigit());
    fits.then(|| digits.to_ascii_uppercase())
}

/// rpm names keys by the last eight digits, in lower case.
fn short(id: &str) -> String {
    let from = id.len().saturating_sub(8);
    id.get(from..).unwrap_or(id).to_ascii_lowercase()
}

/// Id and fingerprints of a key.
fn identity(key: &[u8], context: &Context<'_>) -> Result<(String, Vec<String>), Failure> {
    let said = gpg(key.to_vec(), context)?;
    let text = said.stdout_text();
    let Some(id) = ids(&text).next() else {
        return Err(said.failure("Unexpected gpg output: there is no public key in this file"));
    };
    let fingerprints = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "fpr").then(|| fields.nth(8).map(str::to_owned))?
    });
    Ok((id, fingerprints.collect()))
}

/// `pub:…:…:…:KEYID:…`
fn ids(listing: &str) -> impl Iterator<Item = String> + '_ {
    listing.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "pub").then(|| fields.nth(3).map(str::to_owned))?
    })
}

/// What gpg says of keys, without a keyring of its own.
fn gpg(keys: Vec<u8>, context: &Context<'_>) -> Result<Finished, Failure> {
    let run = Run::tool("gpg").or_else(|_| Run::tool("gpg2"))?;
    let words = ["--no-tty", "--batch", "--with-colons", "--fixed-list-mode", "--with-fingerprint"];
    Ok(run.parsable().arguments(words).argument("--show-keys").input(keys).run(context)?)
}

fn check_fingerprint(given: Given<'_>, there: &[String]) -> Result<(), Failure> {
    let plain = |text: &str| text.replace([' ', ':'], "").to_ascii_uppercase();
    let wanted: Vec<String> = given.words("fingerprint").into_iter().map(plain).collect();
    if wanted.is_empty() || wanted.iter().any(|fingerprint| there.contains(fingerprint)) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "The specified fingerprint, '{}', does not match any key fingerprints in '{}'",
        wanted.join(", "),
        there.join(", ")
    )))
}

fn is_trusted(id: &str, context: &Context<'_>) -> Result<bool, Failure> {
    let known = Run::tool("rpm")?.parsable().arguments(["-q", "gpg-pubkey"]).run(context)?;
    if !known.succeeded() {
        return Ok(false);
    }
    let words = ["-qa", "--qf", "%{description}", "gpg-pubkey"];
    let keys = Run::tool("rpm")?.parsable().arguments(words).succeed(context)?;
    let listing = gpg(keys.stdout, context)?.stdout_text();
    let is_this = |known: String| known.ends_with(id);
    Ok(ids(&listing).any(is_this))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::modules::system::process::find_program;
    use crate::modules::system::testing::context;

    #[test]
    fn ids_have_eight_or_sixteen_digits() {
        for (text, id) in [
            ("0xdeadb33f", Some("DEADB33F")),
            ("DEADBEEFDEADB33F", Some("DEADBEEFDEADB33F")),
            ("DEADB33", None),
            ("/etc/pki/key", None),
        ] {
            assert_eq!(key_id(text).as_deref(), id, "{text}");
        }
        assert_eq!(short("DEADBEEFDEADB33F"), "deadb33f");
    }

    /// With the real programs, on a database and a keyring of the test's own.
    #[test]
    fn a_key_is_imported_and_removed() {
        if ["rpm", "gpg"].iter().any(|name| find_program(name).is_none()) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        fs::write(folder.path().join(".rpmmacros"), format!("%_dbpath {home}/db\n")).unwrap();
        let key = folder.path().join("key.asc");
        let shell = format!(
            "export GNUPGHOME={home}/gpg; mkdir -m 700 $GNUPGHOME; \
             gpg --batch --quiet --passphrase '' --quick-generate-key ada@example.org rsa2048 sign; \
             gpg --armor --export >{}; gpgconf --kill all",
            key.display()
        );
        let made = std::process::Command::new("sh").args(["-c", &shell]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let call = |key: &str, more: Value| {
            let mut given = json!({"key": key});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut bench = context();
            bench.environment.insert("HOME".to_owned(), home.clone());
            bench.call_named("rpm_key", given)
        };
        let path = key.to_str().unwrap();
        let wrong = call(path, json!({"fingerprint": "AB CD"})).unwrap_err().message;
        assert!(wrong.contains("does not match any key fingerprints"), "{wrong}");
        assert!(call(path, json!({})).unwrap().changed);
        assert!(!call(path, json!({})).unwrap().changed);
        assert!(call(path, json!({"state": "absent"})).unwrap().changed);
        assert!(!call(path, json!({"state": "absent"})).unwrap().changed);
        let refused = call("DEADB33F", json!({})).unwrap_err().message;
        assert!(refused.contains("a valid file"), "{refused}");
        assert!(!call("DEADB33F", json!({"state": "absent"})).unwrap().changed);
    }
}
