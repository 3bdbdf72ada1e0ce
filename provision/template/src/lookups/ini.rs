//! `lookup('ini', …)`: one value, or those of all keys that match, of a section of an INI or
//! properties file, as Python's `configparser` reads it.

use minijinja::Value;

use super::parsed_pairs;
use super::tables::{Options, file_text};
use crate::error::{Outcome, TemplateError};
use crate::filters::regex::{Flags, compile, too_long};
use crate::program::Name;
use crate::run::Run;
use crate::value::text_of;

/// Options by their names.
const OPTIONS: &[&str] = &[
    "type",
    "file",
    "section",
    "re",
    "encoding",
    "default",
    "case_sensitive",
    "allow_no_value",
    "allow_none",
    "interpolation",
];
/// The section that a properties file is.
const PROPERTIES: &str = "java_properties";
/// The section whose keys all others have, too.
const DEFAULT: &str = "DEFAULT";
/// Levels of `%(name)s` in values, as in Python.
const MAX_INTERPOLATION_DEPTH: usize = 10;

/// A key and its value; none if only the key stands there.
type Entry = (String, Option<String>);

/// `lookup('ini', key, file=, section=, type=, re=, default=, encoding=, case_sensitive=,
/// allow_no_value=, interpolation=)`
pub(super) fn ini(run: &Run<'_>, terms: &[Value], named: &[(Name, Value)]) -> Outcome<Vec<Value>> {
    let mut found = Vec::new();
    for term in terms {
        let term = text_of(term);
        let (key, inline) = split_term(&term)?;
        let options = Options { named, inline };
        let is_properties = options.text("type", "ini") == "properties";
        let section = match is_properties {
            true => PROPERTIES.to_owned(),
            false => options.text("section", "global"),
        };
        let file = options.text("file", "ansible.ini");
        let text = file_text(run, &file, options.text("encoding", "utf-8"))?;
        let parser = Parser {
            is_case_sensitive: options.flag("case_sensitive"),
            allows_no_value: options.flag("allow_no_value") || options.flag("allow_none"),
        };
        let failed = |reason: String| TemplateError::failed(format!("{reason} in {file}"));
        let sections = parser.sections(&text, is_properties).map_err(failed)?;
        let entries = entries_of(&sections, &section)
            .ok_or_else(|| failed(format!("No section '{section}'")))?;
        let interpolates = options.text("interpolation", "true") != "false"
            && options.text("interpolation", "true") != "False";
        let value = |value: &Option<String>| -> Outcome<Option<String>> {
            match value {
                Some(text) if interpolates => {
                    interpolated(text, &entries, 0).map(Some).map_err(failed)
                }
                other => Ok(other.clone()),
            }
        };
        if options.flag("re") {
            let regex = compile(&key, Flags::default())?;
            for (name, text) in &entries {
                // As `re.match`: from the beginning of the name.
                let place = regex.find(name).map_err(|error| too_long(&error))?;
                if place.is_some_and(|place| place.start() == 0) {
                    found.extend(value(text)?.map(Value::from));
                }
            }
            continue;
        }
        let wanted = parser.name_of(&key);
        match entries.iter().find(|(name, _)| *name == wanted) {
            Some((_, text)) => found.extend(value(text)?.map(Value::from)),
            None => found.push(Value::from(options.text("default", ""))),
        }
    }
    Ok(found)
}

/// The key, and options in the old form: `key section=web file=app.ini`.
fn split_term(term: &str) -> Outcome<(String, Vec<(String, String)>)> {
    if !term.contains('=') && !term.trim().contains(' ') {
        return Ok((term.to_owned(), Vec::new()));
    }
    let inline = parsed_pairs(term);
    if let Some((name, _)) = inline.iter().find(|(name, _)| !OPTIONS.contains(&name.as_str())) {
        return Err(TemplateError::failed(format!("{name} is not a valid option.")));
    }
    let key = term.split_whitespace().find(|word| !word.contains('='));
    let key = key.ok_or_else(|| {
        TemplateError::failed(format!(
            "No key to lookup was provided as first term with in string inline options: {term}"
        ))
    })?;
    Ok((key.to_owned(), inline))
}

/// The entries of a section; those of the default section first, unless it has them itself.
fn entries_of(sections: &[(String, Vec<Entry>)], wanted: &str) -> Option<Vec<Entry>> {
    let of = |name: &str| sections.iter().find(|(known, _)| known == name).map(|(_, all)| all);
    let own = of(wanted)?;
    let is_own = |name: &str| own.iter().any(|(known, _)| known == name);
    let defaults = of(DEFAULT).into_iter().flatten();
    let defaults = defaults.filter(|(name, _)| wanted != DEFAULT && !is_own(name));
    Some(own.iter().chain(defaults).cloned().collect())
}

struct Parser {
    is_case_sensitive: bool,
    allows_no_value: bool,
}

impl Parser {
    fn name_of(&self, written: &str) -> String {
        if self.is_case_sensitive { written.to_owned() } else { written.to_lowercase() }
    }

    fn sections(
        &self,
        text: &str,
        is_properties: bool,
    ) -> Result<Vec<(String, Vec<Entry>)>, String> {
        let mut sections: Vec<(String, Vec<Entry>)> = Vec::new();
        if is_properties {
            sections.push((PROPERTIES.to_owned(), Vec::new()));
        }
        // How far the last key is indented: what stands deeper continues its value.
        let mut depth = None;
        for (number, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let last = sections.last_mut().and_then(|(_, entries)| entries.last_mut());
            if let (Some(depth), Some((_, Some(value)))) = (depth, last)
                && indent > depth
            {
                value.push('\n');
                value.push_str(trimmed);
                continue;
            }
            let header = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            if let Some((name, _)) = header {
                if sections.iter().any(|(known, _)| known == name && name != DEFAULT) {
                    return Err(format!("Duplicate section [{name}] (line {})", number + 1));
                }
                if !sections.iter().any(|(known, _)| known == name) {
                    sections.push((name.to_owned(), Vec::new()));
                }
                depth = None;
                continue;
            }
            let entry = self.entry(trimmed, number + 1)?;
            depth = Some(indent);
            let Some((name, entries)) = sections.last_mut() else {
                return Err(format!("File contains no section headers (line {})", number + 1));
            };
            if entries.iter().any(|(known, _)| *known == entry.0) {
                return Err(format!(
                    "Duplicate option in section [{name}]: '{}' (line {})",
                    entry.0,
                    number + 1
                ));
            }
            entries.push(entry);
        }
        Ok(sections)
    }

    fn entry(&self, line: &str, number: usize) -> Result<Entry, String> {
        let Some((name, value)) = line.split_once(['=', ':']) else {
            return match self.allows_no_value {
                true => Ok((self.name_of(line), None)),
                false => Err(format!("a key without a value (line {number}: {line})")),
            };
        };
        Ok((self.name_of(name.trim_end()), Some(value.trim().to_owned())))
    }
}

/// A value with other values of the section in place of `%(name)s`; `%%` is a percent sign.
fn interpolated(text: &str, entries: &[Entry], depth: usize) -> Result<String, String> {
    if depth > MAX_INTERPOLATION_DEPTH {
        return Err(format!("values refer to each other too deep: {text}"));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let Some((name, after)) = after.strip_prefix('(').and_then(|rest| rest.split_once(")s"))
        else {
            return Err(format!("'%' must be followed by '%' or '(', found: '%{after}'"));
        };
        let wanted = name.to_lowercase();
        let other = entries.iter().find(|(known, _)| *known == name || *known == wanted);
        let Some((_, value)) = other else {
            return Err(format!("there is no option '{name}' for the value {text}"));
        };
        out.push_str(&interpolated(value.as_deref().unwrap_or_default(), entries, depth + 1)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: Parser = Parser { is_case_sensitive: false, allows_no_value: false };

    #[test]
    fn sections_are_read_as_python_reads_them() {
        let text = "[DEFAULT]\nroot = /srv\n[web]\nPath: %(root)s/web\nlong = a\n  b = c\n; no\n";
        let sections = PYTHON.sections(text, false).unwrap();
        let entries = entries_of(&sections, "web").unwrap();
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["path", "long", "root"]);
        assert_eq!(entries[1].1.as_deref(), Some("a\nb = c"));
        assert_eq!(interpolated("%(ROOT)s: 5 %%", &entries, 0), Ok("/srv: 5 %".to_owned()));
        assert!(interpolated("5 %", &entries, 0).is_err());
        assert!(interpolated("%(x)s", &[("x".into(), Some("%(x)s".into()))], 0).is_err());
        assert_eq!(entries_of(&sections, "db"), None);
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for (text, reason) in [
            ("[a]\nx=1\nX=2\n", "Duplicate option"),
            ("[a]\n[a]\n", "Duplicate section"),
            ("x=1\n", "no section headers"),
            ("[a]\nx\n", "without a value"),
        ] {
            let error = PYTHON.sections(text, false).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let exact = Parser { is_case_sensitive: true, allows_no_value: true };
        let sections = exact.sections("[a]\nx=1\nX=2\ny\n", false).unwrap();
        assert_eq!(sections[0].1.len(), 3);
        assert_eq!(sections[0].1[2], ("y".to_owned(), None));
        assert_eq!(PYTHON.sections("x=1\n", true).unwrap()[0].0, PROPERTIES);
    }

    #[test]
    fn terms_in_the_old_form_have_a_key_and_known_options() {
        let (key, inline) = split_term("name section=web file=a.ini").unwrap();
        assert_eq!((key.as_str(), inline.len()), ("name", 2));
        assert!(split_term("file=a.ini").unwrap_err().message().contains("No key to lookup"));
        assert!(split_term("x colour=1").unwrap_err().message().contains("not a valid option"));
    }
}
