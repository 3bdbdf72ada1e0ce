//! `app.yml`: what is to run, and how. JSON is YAML, so the API reads its bodies by this, too.

mod check;
pub(crate) mod discovery;
pub(crate) mod file;
mod volumes;

use diagnostics::{Diagnostic, SourceId, Span};
use scheduler_core::app::{Bounds, Specification};
use scheduler_core::ids::AppName;
use yaml::Schema;

/// Version of the format of `app.yml`.
pub const FORMAT: u32 = 1;

/// An app as its file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppFile {
    /// Its name.
    pub app: AppName,
    /// What is run.
    pub specification: Specification,
    /// How many.
    pub bounds: Bounds,
    /// The most that are replaced at a time, instead of what the policy says.
    pub step: Option<u32>,
}

/// What came of reading a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The app, unless something is wrong.
    pub app: Option<AppFile>,
    /// What is wrong and what is doubtful, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the text of a file.
#[must_use]
pub fn read(text: &str, source: SourceId) -> Found {
    let read = yaml::read(text, source, Schema::Strict);
    if !read.is_usable() {
        return Found { app: None, diagnostics: read.diagnostics };
    }
    let document = match read.documents.as_slice() {
        [document] => document,
        documents => {
            let end = Span::new(source, text.len(), text.len());
            let wrong = Diagnostic::error("app", "an app is one YAML document")
                .at(end, format!("found {}", documents.len()))
                .hint("begin with `app: NAME`; `scheduler schema app` says what may follow");
            return Found { app: None, diagnostics: vec![wrong] };
        }
    };
    match yaml::from_node::<file::File>(document) {
        Ok(file) => check::check(file, document.span),
        Err(diagnostics) => Found { app: None, diagnostics },
    }
}

#[cfg(test)]
#[path = "../app_file_tests.rs"]
mod tests;
