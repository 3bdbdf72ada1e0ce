//! `slurp`: returns a file in base64. `fetch` is the same with more about the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provision_protocol::Object;
use serde::Deserialize;

use crate::disk::{describe, digest, paths};
use crate::module::{Context, Failure, Outcome, arguments};

/// Longest file that is returned, in bytes: with base64 it must fit into a result.
const FILE_LIMIT_BYTES: u64 = 34 << 20;

#[derive(Debug, Deserialize)]
struct SlurpArguments {
    src: String,
}

/// Runs `slurp`.
///
/// # Errors
/// When the file can't be read.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: SlurpArguments = arguments(object)?;
    let path = paths::expand(context, &given.src);
    let bytes = read(&path)?;
    Ok(Outcome::new(false)
        .with("content", STANDARD.encode(bytes))
        .with("source", paths::text(&path))
        .with("encoding", "base64"))
}

#[derive(Debug, Deserialize)]
struct FetchArguments {
    src: String,
    fail_on_missing: Option<bool>,
}

/// Runs the host's part of `fetch`: the content, its digests and what `stat` would say. The
/// controller writes the file and decides whether anything changed.
///
/// # Errors
/// When the file can't be read, or is missing and must not be.
pub fn fetch(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: FetchArguments = arguments(object)?;
    let path = paths::expand(context, &given.src);
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(failure) if given.fail_on_missing == Some(false) => {
            return Ok(Outcome::new(false)
                .with("msg", format!("{}, not transferring, ignored", failure.message))
                .with("file", paths::text(&path)));
        }
        Err(failure) => return Err(failure.with("file", paths::text(&path))),
    };
    let summary = digest::summary_of(&bytes);
    let mut outcome = Outcome::new(false)
        .with("content", STANDARD.encode(bytes))
        .with("source", paths::text(&path))
        .with("encoding", "base64")
        .with("checksum", summary.sha1)
        .with("md5sum", summary.md5)
        .with("sha256", summary.sha256);
    describe::add_path_information(&mut outcome.values, &path);
    Ok(outcome)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let failed = |error: io::Error| {
        Failure::new(match error.kind() {
            io::ErrorKind::NotFound => format!("file not found: {name}"),
            io::ErrorKind::PermissionDenied => format!("file is not readable: {name}"),
            io::ErrorKind::IsADirectory => {
                format!("source is a directory and must be a file: {name}")
            }
            _ => format!("unable to slurp file: {error}"),
        })
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(Failure::new(format!(
            "{name} is larger than the {} MiB that fit into a result",
            FILE_LIMIT_BYTES >> 20
        )));
    }
    Ok(bytes)
}
