//! `ini_file`: edits options of an INI file.

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::edit::Edit;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{decode, text_to_bytes};

#[derive(Debug, Deserialize)]
struct IniArguments {
    section: Option<String>,
    #[serde(default)]
    section_has_values: Vec<Condition>,
    option: Option<String>,
    value: Option<String>,
    #[serde(default)]
    values: Vec<Value>,
    state: Option<String>,
    exclusive: Option<bool>,
    #[serde(default)]
    no_extra_spaces: bool,
    #[serde(default)]
    ignore_spaces: bool,
    #[serde(default)]
    allow_no_value: bool,
    modify_inactive_option: Option<bool>,
    #[serde(default)]
    follow: bool,
}

/// A section is meant only if it has these.
#[derive(Debug, Deserialize)]
struct Condition {
    option: String,
    value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// An option's line.
struct Found<'a> {
    inactive: bool,
    value: &'a str,
}

/// Runs the module.
///
/// # Errors
/// When the file can't be edited.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: IniArguments = arguments(object)?;
    let present = given.state.as_deref() != Some("absent");
    let values = given.values();
    if present && given.option.is_some() && values.is_empty() && !given.allow_no_value {
        return Err(Failure::new(
            "parameter 'value(s)' must be defined if state=present and \
                                 allow_no_value=False",
        ));
    }
    let mut edit = Edit::open(object, true, context)?;
    if !given.follow {
        edit.replace_link();
    }
    let bytes = edit.original.as_deref().unwrap_or_default();
    let text = decode(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
        last.push('\n');
    }
    let message =
        if present { given.put(&mut lines, values) } else { given.remove(&mut lines, &values) };
    let result = text_to_bytes(&lines.concat());
    let changed = result != text_to_bytes(&text) || (edit.original.is_none() && !result.is_empty());
    let path = paths::text(&edit.path);
    let edited = edit.finish(&result, changed, message.unwrap_or("OK"), context)?;
    let mut outcome = edited.outcome.with("msg", edited.message).with("path", path.as_str());
    crate::disk::describe::add_path_information(&mut outcome.values, std::path::Path::new(&path));
    if let Some(backup) = edited.backup {
        outcome = outcome.with("backup_file", paths::text(&backup));
    }
    Ok(outcome)
}

impl IniArguments {
    /// All wanted values, each once.
    fn values(&self) -> Vec<String> {
        let mut values: Vec<String> = Vec::new();
        let listed = self.values.iter().filter_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            Value::Bool(true) => Some("True".to_owned()),
            Value::Bool(false) => Some("False".to_owned()),
            other => Some(other.to_string()),
        });
        for value in self.value.iter().cloned().chain(listed) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    fn is_exclusive(&self) -> bool {
        self.exclusive.unwrap_or(true)
    }

    /// The lines of the section: its header, and where it ends. Without a section everything
    /// before the first header.
    fn range(&self, lines: &[String]) -> Option<(usize, usize)> {
        let end_of = |from: usize| {
            let next = lines.iter().skip(from).position(|line| line.starts_with('['));
            next.map_or(lines.len(), |at| from + at)
        };
        let Some(section) = self.section.as_deref().filter(|section| !section.is_empty()) else {
            return Some((0, end_of(0)));
        };
        let mut from = 0;
        while let Some(at) = lines.iter().skip(from).position(|line| is_header(line, section)) {
            let (start, end) = (from + at, end_of(from + at + 1));
            if self.has_values(lines.get(start..end).unwrap_or_default()) {
                return Some((start, end));
            }
            from = end;
        }
        None
    }

    fn has_values(&self, lines: &[String]) -> bool {
        self.section_has_values.iter().all(|condition| {
            let mut wanted: Vec<&str> = condition.values.iter().map(String::as_str).collect();
            wanted.extend(condition.value.as_deref());
            let found: Vec<&str> = lines
                .iter()
                .filter_map(|line| active(line, &condition.option))
                .map(|found| found.value)
                .collect();
            if wanted.is_empty() {
                !found.is_empty()
            } else {
                wanted.iter().all(|value| found.contains(value))
            }
        })
    }

    fn line(&self, option: &str, value: Option<&str>) -> String {
        match value {
            None => format!("{option}\n"),
            Some(value) if self.no_extra_spaces => format!("{option}={value}\n"),
            Some(value) => format!("{option} = {value}\n"),
        }
    }

    /// Makes sure the section and the option are there; what was done.
    fn put(&self, lines: &mut Vec<String>, mut values: Vec<String>) -> Option<&'static str> {
        let Some((start, end)) = self.range(lines) else {
            return Some(self.add_section(lines, &values));
        };
        let option = self.option.as_deref()?;
        let headless = self.section.as_deref().is_none_or(str::is_empty);
        let first = if headless { start } else { start + 1 };
        let mut section: Vec<(String, bool)> =
            lines.drain(first..end).map(|line| (line, false)).collect();
        let mut message = None;
        let mut without_value = false;
        self.keep_matching(option, &mut section, &mut values, &mut without_value, &mut message);
        if self.is_exclusive() && !self.allow_no_value {
            self.reuse_others(option, &mut section, &mut values, &mut message);
        }
        let at = section
            .iter()
            .rposition(|(line, _)| !is_blank_or_comment(line))
            .map_or(0, |last| last + 1);
        if !values.is_empty() {
            let new = values.iter().map(|value| (self.line(option, Some(value)), true));
            section.splice(at..at, new.collect::<Vec<_>>());
            message = Some("option added");
        } else if self.allow_no_value && self.wants_no_value() && !without_value {
            section.insert(at, (self.line(option, None), true));
            message = Some("option added");
        }
        lines.splice(first..first, section.into_iter().map(|(line, _)| line));
        message
    }

    fn wants_no_value(&self) -> bool {
        self.value.is_none() && self.values.is_empty()
    }

    /// Lines that have a wanted value already get their exact form.
    fn keep_matching(
        &self,
        option: &str,
        section: &mut [(String, bool)],
        values: &mut Vec<String>,
        without_value: &mut bool,
        message: &mut Option<&'static str>,
    ) {
        let inactive_too = self.modify_inactive_option.unwrap_or(true);
        for entry in section.iter_mut() {
            let Some(found) = find(&entry.0, option) else { continue };
            if found.inactive && !inactive_too {
                continue;
            }
            let value = found.value.to_owned();
            if let Some(at) = values.iter().position(|wanted| *wanted == value) {
                values.remove(at);
                let line = if value.is_empty() && self.allow_no_value {
                    *without_value = true;
                    self.line(option, None)
                } else {
                    self.line(option, Some(&value))
                };
                self.update(option, entry, line, message);
            } else if self.wants_no_value() && self.allow_no_value {
                *without_value = true;
                self.update(option, entry, self.line(option, None), message);
                return;
            }
        }
    }

    /// Other lines of the option get the values that are still missing; the rest goes.
    fn reuse_others(
        &self,
        option: &str,
        section: &mut Vec<(String, bool)>,
        values: &mut Vec<String>,
        message: &mut Option<&'static str>,
    ) {
        let inactive_too = self.modify_inactive_option.unwrap_or(true);
        for entry in section.iter_mut() {
            if values.is_empty() {
                break;
            }
            let usable =
                find(&entry.0, option).is_some_and(|found| inactive_too || !found.inactive);
            if !entry.1 && usable {
                let value = values.remove(0);
                self.update(option, entry, self.line(option, Some(&value)), message);
            }
        }
        let before = section.len();
        section.retain(|(line, used)| *used || active(line, option).is_none());
        if section.len() != before {
            *message = Some("option changed");
        }
    }

    fn update(
        &self,
        option: &str,
        entry: &mut (String, bool),
        line: String,
        message: &mut Option<&'static str>,
    ) {
        entry.1 = true;
        let same = match (find(&entry.0, option), find(&line, option)) {
            (Some(old), Some(new)) if self.ignore_spaces && !old.inactive => old.value == new.value,
            _ => entry.0 == line,
        };
        if !same {
            entry.0 = line;
            *message = Some("option changed");
        }
    }

    fn add_section(&self, lines: &mut Vec<String>, values: &[String]) -> &'static str {
        let section = self.section.as_deref().unwrap_or_default();
        lines.push(format!("[{section}]\n"));
        for condition in &self.section_has_values {
            let both = condition.value.iter().chain(&condition.values);
            lines.extend(both.map(|value| self.line(&condition.option, Some(value))));
        }
        match &self.option {
            Some(option) if !values.is_empty() => {
                lines.extend(values.iter().map(|value| self.line(option, Some(value))));
                "section and option added"
            }
            Some(option) if self.allow_no_value => {
                lines.push(self.line(option, None));
                "section and option added"
            }
            _ => "only section added",
        }
    }

    fn remove(&self, lines: &mut Vec<String>, values: &[String]) -> Option<&'static str> {
        let (start, end) = self.range(lines)?;
        let before = lines.len();
        let Some(option) = &self.option else {
            lines.drain(start..end);
            return (lines.len() != before).then_some("section removed");
        };
        let all = self.is_exclusive();
        let section: Vec<String> = lines
            .drain(start..end)
            .filter(|line| {
                !active(line, option)
                    .is_some_and(|found| all || values.iter().any(|value| *value == found.value))
            })
            .collect();
        lines.splice(start..start, section);
        (lines.len() != before).then_some("option changed")
    }
}

fn is_header(line: &str, section: &str) -> bool {
    let Some(rest) = line.strip_prefix('[') else { return false };
    let rest = rest.trim_start().strip_prefix(section.trim());
    rest.is_some_and(|rest| rest.trim_start().starts_with(']'))
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t', '\n', '\r']);
    line.is_empty() || line.starts_with(['#', ';'])
}

fn active<'a>(line: &'a str, option: &str) -> Option<Found<'a>> {
    find(line, option).filter(|found| !found.inactive)
}

/// The option in a line, commented out or not.
fn find<'a>(line: &'a str, option: &str) -> Option<Found<'a>> {
    let blanks = [' ', '\t'];
    let line = line.strip_suffix('\n').unwrap_or(line).trim_start_matches(blanks);
    let (inactive, rest) = match line.strip_prefix(['#', ';']) {
        Some(rest) => (true, rest.trim_start_matches(blanks)),
        None => (false, line),
    };
    let rest = rest.strip_prefix(option)?.trim_start_matches(blanks);
    if rest.is_empty() {
        return Some(Found { inactive, value: "" });
    }
    let value = rest.strip_prefix('=')?.trim_start_matches(blanks);
    Some(Found { inactive, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edited(text: &str, call: Value) -> (String, Option<&'static str>) {
        let given: IniArguments = serde_json::from_value(call).unwrap();
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let values = given.values();
        let message = if given.state.as_deref() == Some("absent") {
            given.remove(&mut lines, &values)
        } else {
            given.put(&mut lines, values)
        };
        (lines.concat(), message)
    }

    #[test]
    fn options_are_set_changed_and_removed() {
        let text = "global=1\n[a]\nx = 1\n# y = 2\n\n[b]\nx=1\nx=2\n";
        let cases = [
            (json!({"section":"a","option":"x","value":"1"}), text.to_owned()),
            (json!({"section":"a","option":"x","value":"9"}), text.replacen("x = 1", "x = 9", 1)),
            (json!({"section":"a","option":"y","value":"3"}), text.replace("# y = 2", "y = 3")),
            (
                json!({"section":"a","option":"z","value":"3"}),
                text.replacen("x = 1\n", "x = 1\nz = 3\n", 1),
            ),
            (json!({"section":"c","option":"z","value":"3"}), format!("{text}[c]\nz = 3\n")),
            (json!({"section":"c"}), format!("{text}[c]\n")),
            (
                json!({"option":"global","value":"2","no_extra_spaces":true}),
                text.replace("global=1", "global=2"),
            ),
            (
                json!({"section":"b","option":"x","value":"2","no_extra_spaces":true}),
                text.replace("x=1\n", ""),
            ),
            (
                json!({"section":"b","option":"x","values":["2","3"],"exclusive":false,"no_extra_spaces":true}),
                format!("{text}x=3\n"),
            ),
            (json!({"section":"b","option":"x","state":"absent"}), text.replace("x=1\nx=2\n", "")),
            (
                json!({"section":"b","option":"x","value":"1","exclusive":false,"state":"absent"}),
                text.replace("x=1\n", ""),
            ),
            (json!({"section":"a","state":"absent"}), text.replace("[a]\nx = 1\n# y = 2\n\n", "")),
            (
                json!({"section":"a","option":"flag","allow_no_value":true}),
                text.replacen("x = 1\n", "x = 1\nflag\n", 1),
            ),
            (
                json!({"section":"b","option":"x","value":"1","ignore_spaces":true,"exclusive":false}),
                text.to_owned(),
            ),
            (
                json!({"section":"a","section_has_values":[{"option":"x","value":"7"}],"option":"q","value":"1"}),
                format!("{text}[a]\nx = 7\nq = 1\n"),
            ),
        ];
        for (call, expected) in cases {
            let (result, message) = edited(text, call.clone());
            assert_eq!(result, expected, "{call}");
            assert_eq!(message.is_some(), result != text, "{call}");
            assert_eq!(edited(&result, call.clone()).0, result, "{call} again");
        }
    }
}
