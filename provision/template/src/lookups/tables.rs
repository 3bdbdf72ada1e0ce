//! Lookups in INI and CSV files; the file's text comes from outside.

use minijinja::Value;

use super::{option, parsed_pairs, split_pairs};
use crate::error::{Outcome, TemplateError};
use crate::filters::regex::{Flags, compile, too_long};
use crate::program::Name;
use crate::run::Run;
use crate::scope::LookupRequest;
use crate::value::{is_true, text_of};

fn file_text(run: &Run<'_>, name: &str) -> Outcome<String> {
    let terms = [Value::from(name)];
    let request = LookupRequest { name: "file", terms: &terms, options: &[] };
    let found = run.outside.lookup(&request).map_err(|error| Run::outside_error(error, "file"))?;
    Ok(found.first().map(text_of).unwrap_or_default())
}

/// Options given by name, or inside the first term in the old form.
struct Options<'o> {
    named: &'o [(Name, Value)],
    inline: Vec<(String, String)>,
}

impl Options<'_> {
    fn text(&self, name: &str, default: &str) -> String {
        if let Some((_, value)) = self.inline.iter().find(|(known, _)| known == name) {
            return value.clone();
        }
        option(self.named, name).map_or_else(|| default.to_owned(), text_of)
    }

    fn flag(&self, name: &str) -> bool {
        let spelled = self.inline.iter().find(|(known, _)| known == name);
        match spelled {
            Some((_, value)) => {
                crate::value::to_boolean(&Value::from(value.as_str())) == Some(true)
            }
            None => option(self.named, name).is_some_and(is_true),
        }
    }
}

/// `lookup('ini', key, file=, section=, default=, re=, type=)`
pub(super) fn ini(run: &Run<'_>, terms: &[Value], named: &[(Name, Value)]) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    for term in terms {
        let term = text_of(term);
        let options = Options { named, inline: parsed_pairs(&term) };
        let key = term.split_whitespace().find(|word| !word.contains('=')).unwrap_or("").to_owned();
        let properties = options.text("type", "ini") == "properties";
        let section =
            if properties { "java_properties".into() } else { options.text("section", "global") };
        let text = file_text(run, &options.text("file", "ansible.ini"))?;
        let entries = ini_entries(&text, &section, properties);
        if options.flag("re") {
            let regex = compile(&key, Flags::default())?;
            for (name, value) in entries {
                if regex.is_match(&name).map_err(|error| too_long(&error))? {
                    out.push(Value::from(value));
                }
            }
            continue;
        }
        let wanted = if options.flag("case_sensitive") { key.clone() } else { key.to_lowercase() };
        let found = entries.into_iter().rev().find(|(name, _)| {
            if options.flag("case_sensitive") {
                *name == wanted
            } else {
                name.to_lowercase() == wanted
            }
        });
        out.push(match found {
            Some((_, value)) => Value::from(value),
            None => Value::from(options.text("default", "")),
        });
    }
    Ok(out)
}

/// Keys and values of one section (Python's `configparser`, without interpolation).
fn ini_entries(text: &str, wanted: &str, properties: bool) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut section = if properties { wanted.to_owned() } else { String::new() };
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let header = trimmed.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        if let Some(name) = header.filter(|_| !properties) {
            section = name.to_owned();
            continue;
        }
        if section != wanted {
            continue;
        }
        if line.starts_with([' ', '\t'])
            && let Some((_, value)) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(trimmed);
            continue;
        }
        let (key, value) = match trimmed.find(['=', ':']) {
            Some(at) => {
                let (key, value) = trimmed.split_at_checked(at).unwrap_or((trimmed, ""));
                (key, value.get(1..).unwrap_or(""))
            }
            None => (trimmed, ""),
        };
        entries.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    entries
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
        let text = file_text(run, &name).map_err(|error| match error {
            TemplateError::Pending(_) => error,
            _ => TemplateError::failed(format!(
                "csvfile: No such file or directory: '{name}' ({})",
                error.message()
            )),
        })?;
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
