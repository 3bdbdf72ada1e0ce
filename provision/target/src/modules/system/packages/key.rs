//! `apt_key`.

use std::path::PathBuf;

use provision_protocol::Object;
use serde::Deserialize;

use super::super::http;
use super::super::process::Run;
use super::super::words::Environment;
use crate::module::{Context, Failure, Outcome, arguments};

/// How often a key server is asked.
const ATTEMPTS: usize = 5;

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct KeyArguments {
    id: Option<String>,
    url: Option<String>,
    data: Option<String>,
    file: Option<String>,
    keyring: Option<String>,
    #[serde(default = "yes")]
    validate_certs: bool,
    keyserver: Option<String>,
    state: Option<String>,
}

/// `apt_key`: manages keys that apt trusts, with `apt-key`, which newer releases lack.
///
/// # Errors
/// When a key can't be had or doesn't fit its id.
pub fn apt_key(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: KeyArguments = arguments(given)?;
    let environment = Environment::new(&context.environment);
    let keyring = given.keyring.as_ref().map(|path| environment.expand_path(path));
    let file = given.file.as_ref().map(|path| environment.expand_path(path));
    let present = given.state.as_deref() != Some("absent");
    let mut data = given.data.clone().map(String::into_bytes);
    let id = match &given.id {
        Some(id) => id.clone(),
        None => {
            if let (Some(url), None) = (&given.url, &data) {
                data = Some(fetch(url, given.validate_certs, context)?);
            }
            id_of(file.as_ref(), data.as_deref(), context)?
        }
    };
    let key = KeyId::parse(&id).ok_or_else(|| Failure::new("Invalid key_id").with("id", &*id))?;
    let before = keys(keyring.as_ref(), context)?;
    let is_there = key.is_among(&before);
    let mut outcome = Outcome::new(is_there != present)
        .with("id", id.as_str())
        .with("short_id", key.short())
        .with("fp", key.long())
        .with("key_id", key.whole.as_str())
        .with("before", before);
    if !outcome.changed || context.check {
        return Ok(outcome);
    }
    if let (Some(url), true, None) = (&given.url, present, &data) {
        data = Some(fetch(url, given.validate_certs, context)?);
    }
    context.about_to_change()?;
    match (present, &file, &given.keyserver, data) {
        (false, ..) => {
            apt(keyring.as_ref())?.arguments(["del", key.short()]).succeed(context)?;
        }
        (true, Some(file), ..) => {
            apt(keyring.as_ref())?.argument("add").argument(file).succeed(context)?;
        }
        (true, None, Some(server), _) => receive(&key, server, keyring.as_ref(), context)?,
        (true, None, None, Some(data)) => {
            apt(keyring.as_ref())?.arguments(["add", "-"]).input(data).succeed(context)?;
        }
        (true, None, None, None) => {
            return Err(Failure::new("no key given: one of data, file, keyserver, url is needed"));
        }
    }
    let after = keys(keyring.as_ref(), context)?;
    if key.is_among(&after) != present {
        let what = if present { "failed to add the key" } else { "the key was not removed" };
        return Err(Failure::new(format!(
            "apt-key did not return an error, but {what} (check that the id is correct and *not* \
             a subkey)"
        )));
    }
    outcome = outcome.with("after", after);
    Ok(outcome)
}

fn apt(keyring: Option<&PathBuf>) -> Result<Run, Failure> {
    let mut run = Run::tool("apt-key")?.parsable();
    if let Some(keyring) = keyring {
        run = run.argument("--keyring").argument(keyring);
    }
    Ok(run)
}

fn fetch(url: &str, validate_certs: bool, context: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    http::download(url, validate_certs, &mut bytes, context)?;
    Ok(bytes)
}

/// Ids of all trusted keys.
fn keys(keyring: Option<&PathBuf>, context: &Context<'_>) -> Result<Vec<String>, Failure> {
    let list = ["adv", "--list-public-keys", "--keyid-format=long", "--with-colons"];
    let finished = apt(keyring)?.arguments(list).succeed(context)?;
    Ok(ids(&finished.stdout_text()))
}

/// Ids of keys and subkeys in gpg's output for programs; expired ones don't count.
fn ids(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let kind = *fields.first()?;
            let is_valid = !matches!(*fields.get(1)?, "e" | "r");
            (matches!(kind, "pub" | "sub") && is_valid)
                .then(|| fields.get(4).map(|id| (*id).to_owned()))?
        })
        .collect()
}

fn id_of(
    file: Option<&PathBuf>,
    data: Option<&[u8]>,
    context: &Context<'_>,
) -> Result<String, Failure> {
    let run = Run::tool("gpg")?.parsable().arguments(["--batch", "--show-keys", "--with-colons"]);
    let run = match (file, data) {
        (Some(file), _) => run.argument(file),
        (None, Some(data)) => run.argument("-").input(data.to_vec()),
        (None, None) => return Err(Failure::new("Missing key_id, required with keyserver.")),
    };
    let finished = run.succeed(context)?;
    let mut ids = ids(&finished.stdout_text());
    if ids.is_empty() {
        return Err(finished.failure("Unable to extract key"));
    }
    Ok(ids.swap_remove(0))
}

fn receive(
    key: &KeyId,
    server: &str,
    keyring: Option<&PathBuf>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let mut last = Failure::default();
    for _ in 0..ATTEMPTS {
        let fixed = ["adv", "--no-tty", "--keyserver", server, "--recv", key.whole.as_str()];
        match apt(keyring)?.arguments(fixed).succeed(context) {
            Ok(_) => return Ok(()),
            Err(failure) => last = failure,
        }
        if (context.stopped)() {
            break;
        }
    }
    Err(last)
}

/// An id of 8, 16 or more hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyId {
    whole: String,
}

impl KeyId {
    fn parse(text: &str) -> Option<Self> {
        let whole = text.trim().to_uppercase();
        let whole = whole.strip_prefix("0X").unwrap_or(&whole).to_owned();
        let is_long_enough = matches!(whole.len(), 8 | 16..);
        let is_hexadecimal = whole.chars().all(|digit| digit.is_ascii_hexdigit());
        (is_long_enough && is_hexadecimal).then_some(KeyId { whole })
    }

    fn end(&self, length: usize) -> &str {
        self.whole.get(self.whole.len().saturating_sub(length)..).unwrap_or_default()
    }

    fn short(&self) -> &str {
        self.end(8)
    }

    fn long(&self) -> &str {
        self.end(16)
    }

    fn is_among(&self, ids: &[String]) -> bool {
        ids.iter().any(|id| id.ends_with(self.long()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_lengths() {
        let key = KeyId::parse("0x0123456789abcdef0123456789ABCDEF01234567").unwrap();
        assert_eq!((key.short(), key.long()), ("01234567", "89ABCDEF01234567"));
        assert!(KeyId::parse("ABCD").is_none() && KeyId::parse("XYZWXYZW").is_none());
        let listed = ids("pub:-:4096:1:89ABCDEF01234567:1::\nsub:e:1:1:1111111111111111:\nuid:x\n");
        assert_eq!(listed, ["89ABCDEF01234567"]);
        assert!(key.is_among(&listed) && KeyId::parse("01234567").unwrap().is_among(&listed));
    }
}
