//! Lookups in files; the file's text comes from outside.

use minijinja::Value;

use super::{option, split_pairs};
use crate::error::{Outcome, TemplateError};
use crate::program::Name;
use crate::run::Run;
use crate::scope::LookupRequest;
use crate::value::{is_true, text_of};

/// The text of a file.
pub(super) fn file_text(run: &Run<'_>, name: &str, encoding: String) -> Outcome<String> {
    let terms = [Value::from(name)];
    let options = [(Name::from("encoding"), Value::from(encoding))];
    let request = LookupRequest { name: "file", terms: &terms, options: &options };
    let found = run.outside.lookup(&request).map_err(|error| Run::outside_error(error, "file"))?;
    Ok(found.first().map(text_of).unwrap_or_default())
}

/// Options given by name, or inside the first term in the old form.
pub(super) struct Options<'o> {
    pub(super) named: &'o [(Name, Value)],
    pub(super) inline: Vec<(String, String)>,
}

impl Options<'_> {
    pub(super) fn text(&self, name: &str, default: &str) -> String {
        if let Some((_, value)) = self.inline.iter().find(|(known, _)| known == name) {
            return value.clone();
        }
        option(self.named, name).map_or_else(|| default.to_owned(), text_of)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        let spelled = self.inline.iter().find(|(known, _)| known == name);
        match spelled {
            Some((_, value)) => {
                crate::value::to_boolean(&Value::from(value.as_str())) == Some(true)
            }
            None => option(self.named, name).is_some_and(is_true),
        }
    }
}

const CSV_OPTIONS: &[&str] = &["col", "default", "delimiter", "encoding", "file", "keycol"];

/// `lookup('csvfile', key, file=, delimiter=, col=, keycol=, default=)`
pub(super) fn csvfile(
    run: &Run<'_>,
    terms: &[Value],
    named: &[(Name, Value)],
) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    if terms.is_empty() {
        return Err(TemplateError::failed("Search key is required but was not found"));
    }
    for term in terms {
        let (inline, key) = split_pairs(&text_of(term));
        let Some(key) = key else {
            return Err(TemplateError::failed("Search key is required but was not found"));
        };
        if let Some((name, _)) = inline.iter().find(|(name, _)| !CSV_OPTIONS.contains(&&**name)) {
            return Err(TemplateError::failed(format!("{name} is not a valid option")));
        }
        let options = Options { named, inline };
        let delimiter = match options.text("delimiter", "TAB").as_str() {
            "TAB" | "\\t" | "" => '\t',
            text => text.chars().next().unwrap_or('\t'),
        };
        let column = |name: &str, default: &str| -> Outcome<usize> {
            let text = options.text(name, default);
            text.parse().map_err(|_| {
                TemplateError::failed(format!("csvfile: '{name}' must be a number, not {text}"))
            })
        };
        let key_column = column("keycol", "0")?;
        let name = options.text("file", "ansible.csv");
        let text =
            file_text(run, &name, options.text("encoding", "utf-8")).map_err(
                |error| match error {
                    TemplateError::Pending(_) => error,
                    _ => TemplateError::failed(format!(
                        "csvfile: No such file or directory: '{name}' ({})",
                        error.message()
                    )),
                },
            )?;
        let row = csv_rows(&text, delimiter)
            .into_iter()
            .find(|row| row.get(key_column).is_some_and(|cell| *cell == key));
        let cell = match row {
            Some(row) => row.get(column("col", "1")?).cloned(),
            None => None,
        };
        match cell {
            Some(cell) => out.push(Value::from(cell)),
            None => {
                let default = options.text("default", "");
                if !default.is_empty() {
                    out.push(Value::from(default));
                }
            }
        }
    }
    Ok(out)
}

/// Rows of a CSV text: RFC 4180.
fn csv_rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row: Vec<String> = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                cell.push('"');
                characters.next();
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ if character == delimiter && !quoted => row.push(std::mem::take(&mut cell)),
            _ => cell.push(character),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}
