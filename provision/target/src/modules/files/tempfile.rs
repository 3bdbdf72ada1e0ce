//! `tempfile`: makes a temporary file or directory.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use provision_protocol::Object;
use serde::Deserialize;

use crate::disk::{describe, paths};
use crate::module::{Context, Failure, Outcome, arguments};
use crate::modules::system::words::Environment;

/// Names tried before giving up.
const ATTEMPTS: usize = 100;

/// What random parts of names are made of, as Python's `tempfile` does.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

#[derive(Debug, Deserialize)]
struct TempfileArguments {
    state: Option<String>,
    path: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

/// Runs the module.
///
/// # Errors
/// When nothing can be made there.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: TempfileArguments = arguments(object)?;
    if context.check {
        let mut outcome = Outcome::new(false);
        outcome.skipped = Some("the name of a temporary file can't be known beforehand".into());
        return Ok(outcome);
    }
    let folder = match &given.path {
        Some(path) => paths::expand(context, path),
        None => default_folder(context),
    };
    let prefix = given.prefix.as_deref().unwrap_or("ansible.");
    let suffix = given.suffix.as_deref().unwrap_or_default();
    context.about_to_change()?;
    for _ in 0..ATTEMPTS {
        let path = folder.join(format!("{prefix}{}{suffix}", random_part()?));
        let made = if given.state.as_deref() == Some("directory") {
            DirBuilder::new().mode(0o700).create(&path)
        } else {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map(drop)
        };
        match made {
            Ok(()) => {
                let mut outcome = Outcome::new(true).with("path", paths::text(&path));
                describe::add_path_information(&mut outcome.values, &path);
                return Ok(outcome);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::system("create", &path, &error)),
        }
    }
    Err(Failure::new(format!("failed to find a free name in {}", folder.display())))
}

fn default_folder(context: &Context<'_>) -> PathBuf {
    let environment = Environment::new(&context.environment);
    ["TMPDIR", "TEMP", "TMP"]
        .iter()
        .filter_map(|name| environment.get(name))
        .map(PathBuf::from)
        .chain(["/tmp", "/var/tmp", "/usr/tmp"].map(PathBuf::from))
        .find(|folder| paths::is_directory(folder))
        .unwrap_or_else(|| Path::new(".").to_owned())
}

fn random_part() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("failed to get random bytes: {error}")))?;
    Ok(bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}
