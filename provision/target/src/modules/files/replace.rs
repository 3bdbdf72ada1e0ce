//! `replace`: replaces everything that matches a regular expression.

use provision_protocol::Object;
use serde::Deserialize;

use super::edit::Edit;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{Options, Pattern, decode, text_to_bytes};

#[derive(Debug, Deserialize)]
struct ReplaceArguments {
    regexp: String,
    #[serde(default)]
    replace: String,
    after: Option<String>,
    before: Option<String>,
    encoding: Option<String>,
}

/// Runs the module.
///
/// # Errors
/// When the file can't be edited or a pattern isn't one.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: ReplaceArguments = arguments(object)?;
    let encoding = given.encoding.as_deref().filter(|name| !encodings::is_utf_8(name));
    let edit = Edit::open(object, false, context)?;
    let original = edit.original.as_deref().unwrap_or_default();
    let text = match encoding {
        Some(name) => encodings::decode(original, name).map_err(|error| failed(&error))?,
        // Bytes that are no text stay as they are.
        None => decode(original),
    };
    let (start, end) = match given.section(&text)? {
        Section::Found(start, end) => (start, end),
        Section::Missing(pattern) => {
            let message =
                format!("Pattern for before/after params did not match the given file: {pattern}");
            return Ok(Outcome::new(false).with("msg", message).with("rc", 0));
        }
    };
    let pattern = Pattern::new(&given.regexp, Options { multi_line: true, dot_all: false })?;
    let section = text.get(start..end).unwrap_or_default();
    let (replaced, count) = pattern.replace_all(section, &given.replace)?;
    let changed = count > 0 && replaced != section;
    let message = if changed { format!("{count} replacements made") } else { String::new() };
    let (head, tail) = (text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default());
    let result = format!("{head}{replaced}{tail}");
    let result = match encoding {
        Some(name) => encodings::encode(&result, name).map_err(|error| failed(&error))?,
        None => text_to_bytes(&result),
    };
    let edited = edit.finish(&result, changed, &message, context)?;
    let mut outcome = edited.outcome.with("msg", edited.message).with("rc", 0);
    if let Some(backup) = edited.backup {
        outcome = outcome.with("backup_file", paths::text(&backup));
    }
    Ok(outcome)
}

fn failed(error: &encodings::Error) -> Failure {
    Failure::new(error.to_string())
}

enum Section {
    Found(usize, usize),
    Missing(String),
}

impl ReplaceArguments {
    /// The part of the text that is searched.
    fn section(&self, text: &str) -> Result<Section, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let pattern = match (given(&self.after), given(&self.before)) {
            (Some(after), Some(before)) => format!("{after}(?P<subsection>.*?){before}"),
            (Some(after), None) => format!("{after}(?P<subsection>.*)"),
            (None, Some(before)) => format!("(?P<subsection>.*){before}"),
            (None, None) => return Ok(Section::Found(0, text.len())),
        };
        let compiled = Pattern::new(&pattern, Options { multi_line: false, dot_all: true })?;
        let span = compiled.search(text)?.and_then(|captured| captured.span_of("subsection"));
        Ok(match span {
            Some((start, end)) => Section::Found(start, end),
            None => Section::Missing(pattern),
        })
    }
}
