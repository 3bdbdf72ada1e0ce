//! Files that users have written.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use diagnostics::{Diagnostic, SourceId, Sources};
use policy::config::Policy;
use scheduler::app_file::{self, AppFile};

use crate::exit::Exit;
use crate::paint;

/// Files are written by people: larger ones are something else.
const FILE_MOST_BYTES: u64 = 1 << 20;

/// What stands for a policy that isn't given.
const DEFAULT_POLICY: &str = "preset: recommended\n";

/// The text of a file.
pub fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_MOST_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > FILE_MOST_BYTES => {
            Err(format!("{} is larger than 1 MiB", path.display()))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("failed to read {}: {error}", path.display())),
    }
}

/// A policy with its text; what is wrong has been told when there is none.
pub fn policy(path: Option<&Path>) -> Option<(Policy, String)> {
    let text = match path.map(text) {
        None => DEFAULT_POLICY.to_owned(),
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            paint::error(&error, None);
            return None;
        }
    };
    let mut sources = Sources::default();
    let name = path.map_or("policy".to_owned(), |path| path.display().to_string());
    let source: SourceId = sources.add(name.as_str(), text.as_str());
    match policy::config::read(&text, source) {
        Ok(policy) => Some((policy, text)),
        Err(diagnostics) => {
            paint::diagnostics(&diagnostics, &sources);
            paint::error(&format!("{name} can't be used"), None);
            None
        }
    }
}

/// An app's file with its text; what is wrong has been told when this fails.
pub fn app(path: &Path) -> Result<(AppFile, String), Exit> {
    let text = text(path).map_err(|error| {
        paint::error(&error, None);
        Exit::Environment
    })?;
    let mut sources = Sources::default();
    let source = sources.add(path.display().to_string(), text.as_str());
    let found = app_file::read(&text, source);
    paint::diagnostics(&found.diagnostics, &sources);
    let errors = found.diagnostics.iter().filter(|one| Diagnostic::is_error(one)).count();
    found.app.map(|app| (app, text)).ok_or_else(|| {
        let plural = if errors == 1 { "error" } else { "errors" };
        let message = format!("{} can't be used: {errors} {plural}", path.display());
        paint::error(&message, Some("`scheduler schema app` says what may be in it"));
        Exit::InvalidInput
    })
}
