//! `deb822_repository`.

use std::fs;
use std::path::{Path, PathBuf};

use provision_protocol::{Diff, Object};
use serde_json::Value;

use super::super::http;
use super::super::settings::replace;
use crate::disk::attributes::Wanted;
use crate::disk::mode::Mode;
use crate::module::{Context, Failure, Outcome};

const PARTS: &str = "/etc/apt/sources.list.d";
const KEYS: &str = "/etc/apt/keyrings";
/// Parameters that are about the file and no fields of it.
const NO_FIELDS: &[&str] = &["state", "mode", "install_python_debian"];

/// `deb822_repository`: manages a source of packages in apt's newer format.
///
/// # Errors
/// When the name is no name, the key can't be had, or a file can't be written.
pub fn deb822_repository(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let name = given.get("name").and_then(Value::as_str).unwrap_or_default();
    let slug = slug(name);
    if slug.is_empty() {
        return Err(Failure::new(format!("`{name}` gives no name for a file")));
    }
    let path = Path::new(PARTS).join(format!("{slug}.sources"));
    if given.get("state").and_then(Value::as_str) == Some("absent") {
        return absent(&slug, &path, context);
    }
    let default = Value::from("0644");
    let mode = Mode::parse(given.get("mode").unwrap_or(&default))?;
    let wanted = Wanted { mode: Some(mode), ..Wanted::default() };
    let mut outcome = Outcome::new(false);
    let mut given = given.clone();
    given.entry("enabled").or_insert(Value::Bool(true));
    given.entry("types").or_insert_with(|| vec![Value::from("deb")].into());
    let signed_by = given.get("signed_by").and_then(Value::as_str).unwrap_or_default();
    let mut key_file = Value::Null;
    if signed_by.contains("://") {
        let key = store_key(&slug, signed_by, &mut outcome, context)?;
        key_file = key.display().to_string().into();
        given.insert("signed_by".to_owned(), key_file.clone());
    }
    let text = stanza(&given);
    let before = text_of(&path)?;
    if before.as_deref() != Some(&text) || has_other_mode(&path, &wanted) {
        let before = before.unwrap_or_default();
        if !context.check {
            context.about_to_change()?;
        }
        replace(&path, &before, &text, &wanted, false, &mut outcome, context)?;
    }
    Ok(outcome
        .with("repo", text)
        .with("dest", path.display().to_string())
        .with("key_filename", key_file))
}

fn absent(slug: &str, path: &Path, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let keys = ["asc", "gpg"].map(|kind| Path::new(KEYS).join(format!("{slug}.{kind}")));
    let there: Vec<PathBuf> =
        [path.to_owned()].into_iter().chain(keys).filter(|path| path.is_file()).collect();
    let mut outcome = Outcome::new(!there.is_empty());
    for path in &there {
        if context.diff {
            let state = |state: &str| format!("path: {}\nstate: {state}\n", path.display());
            outcome.diff.push(Diff {
                before: state("file"),
                after: state("absent"),
                ..Diff::default()
            });
        }
        if !context.check {
            context.about_to_change()?;
            fs::remove_file(path).map_err(|error| Failure::system("remove", path, &error))?;
        }
    }
    let gone =
        |path: Option<&PathBuf>| path.map_or(Value::Null, |path| path.display().to_string().into());
    Ok(outcome
        .with("repo", Value::Null)
        .with("dest", path.display().to_string())
        .with("key_filename", gone(there.iter().find(|there| *there != path))))
}

/// The name of the file: small letters, digits and hyphens.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    let mut after_gap = false;
    for character in name.to_lowercase().chars() {
        let is_gap = character == '_' || character.is_whitespace();
        if is_gap && !after_gap {
            slug.push('-');
        } else if character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-' {
            slug.push(character);
        }
        after_gap = is_gap;
    }
    slug
}

/// The key of an address, in a file that is kept if the key is the same.
fn store_key(
    slug: &str,
    url: &str,
    outcome: &mut Outcome,
    context: &mut Context<'_>,
) -> Result<PathBuf, Failure> {
    let mut key = Vec::new();
    http::download(url, true, &mut key, context)?;
    let is_armoured = key.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
    let kind = if is_armoured { "asc" } else { "gpg" };
    let path = Path::new(KEYS).join(format!("{slug}.{kind}"));
    if fs::read(&path).is_ok_and(|before| before == key) {
        return Ok(path);
    }
    outcome.changed = true;
    if context.check {
        return Ok(path);
    }
    context.about_to_change()?;
    fs::create_dir_all(KEYS).map_err(|error| Failure::system("create", Path::new(KEYS), &error))?;
    let wanted = Wanted { mode: Some(Mode::parse(&Value::from("0644"))?), ..Wanted::default() };
    let new = crate::disk::writing::NewContent {
        target: &path,
        wanted: &wanted,
        keep_attributes: true,
        backup: false,
        validate: None,
    };
    new.write_bytes(context, &key)?;
    Ok(path)
}

fn text_of(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::system("read", path, &error)),
    }
}

fn has_other_mode(path: &Path, wanted: &Wanted) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let Some(Mode::Exactly(bits)) = &wanted.mode else { return false };
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o7777 != *bits)
}

/// The fields in the order of the parameters' names, as the deb822 library of Python writes them.
fn stanza(given: &Object) -> String {
    let mut fields: Vec<(&str, &Value)> = given
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .filter(|(name, value)| {
            !value.is_null() && !name.starts_with('_') && !NO_FIELDS.contains(name)
        })
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    let mut text = String::new();
    for (name, value) in fields {
        let value = match value {
            Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
            Value::String(text) if text.trim().contains('\n') => several_lines(text),
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                items.join(" ")
            }
            other => other.to_string(),
        };
        let gap = if value.starts_with('\n') { "" } else { " " };
        text.push_str(&format!("{}:{gap}{value}\n", field_name(name)));
    }
    text
}

/// A key in the file itself: indented, with a dot for each empty line.
fn several_lines(text: &str) -> String {
    text.trim().lines().fold(String::new(), |all, line| {
        let line = if line.trim().is_empty() { "." } else { line };
        format!("{all}\n {line}")
    })
}

fn field_name(parameter: &str) -> String {
    match parameter {
        "name" => return "X-Repolib-Name".to_owned(),
        "uris" => return "URIs".to_owned(),
        "pdiffs" => return "PDiffs".to_owned(),
        "inrelease_path" => return "InRelease-Path".to_owned(),
        _ => {}
    }
    let words = parameter.split('_').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What ansible-core 2.18 writes for the same parameters.
    #[test]
    fn fields_are_in_order() {
        let given = json!({
            "name": "docker", "types": ["deb", "deb-src"], "uris": ["https://x/debian"],
            "suites": ["bookworm"], "components": ["stable"], "enabled": true, "state": "present",
            "signed_by": "-----BEGIN\n\nx\n-----END\n", "allow_insecure": false, "mode": "0644",
            "date_max_future": 10,
        });
        assert_eq!(
            stanza(given.as_object().unwrap()),
            "Allow-Insecure: no\nComponents: stable\nDate-Max-Future: 10\nEnabled: yes\n\
             X-Repolib-Name: docker\nSigned-By:\n -----BEGIN\n .\n x\n -----END\n\
             Suites: bookworm\nTypes: deb deb-src\nURIs: https://x/debian\n"
        );
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(slug("My Repo_1 (x)"), "my-repo-1-x");
        assert_eq!(slug("../x"), "x");
        assert_eq!(slug("///"), "");
        assert_eq!(field_name("by_hash"), "By-Hash");
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        let mut bench = crate::modules::system::testing::context();
        let path = directory.path().join("x.sources");
        let name = "corral-no-such-repository";
        assert!(!absent(name, &path, &mut bench.context()).unwrap().changed);
        fs::write(&path, "Types: deb\n").unwrap();
        assert!(absent(name, &path, &mut bench.context()).unwrap().changed);
        assert!(!path.exists());
    }
}
