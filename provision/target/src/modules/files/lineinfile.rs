//! `lineinfile`: makes sure that a line is there, or isn't.

use provision_protocol::Object;
use serde::Deserialize;

use super::edit::Edit;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{Options, Pattern, Template, bytes_to_text, text_to_bytes};

#[derive(Debug, Deserialize)]
struct LineArguments {
    state: Option<String>,
    regexp: Option<String>,
    search_string: Option<String>,
    line: Option<String>,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    #[serde(default)]
    backrefs: bool,
    #[serde(default)]
    create: bool,
    #[serde(default)]
    firstmatch: bool,
}

/// What tells the wanted line from others.
enum Search {
    Pattern(Pattern),
    Text(String),
    Nothing,
}

/// Where a new line goes.
enum Place {
    Beginning,
    End,
    After(Pattern),
    Before(Pattern),
}

/// Runs the module.
///
/// # Errors
/// When the file can't be edited or a pattern isn't one.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: LineArguments = arguments(object)?;
    let search = given.search()?;
    let absent = given.state.as_deref() == Some("absent");
    if absent {
        if matches!(search, Search::Nothing) && given.line.is_none() {
            return Err(Failure::new(
                "one of line, search_string, or regexp is required with state=absent",
            ));
        }
    } else if given.backrefs && !matches!(search, Search::Pattern(_)) {
        return Err(Failure::new("regexp is required with backrefs=true"));
    } else if given.line.is_none() {
        return Err(Failure::new("line is required with state=present"));
    }
    let edit = Edit::open(object, absent || given.create, context).map_err(|failure| {
        // The words of this module differ from those of its siblings.
        let message = match failure.message.strip_prefix("Path ") {
            Some(rest) if rest.ends_with("does not exist !") => format!("Destination {rest}"),
            _ => failure.message.clone(),
        };
        Failure { message, ..failure }
    })?;
    if absent && edit.original.is_none() {
        return Ok(Outcome::new(false).with("msg", "file not present"));
    }
    let text = bytes_to_text(edit.original.as_deref().unwrap_or_default());
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let (changed, message, found) = if absent {
        let count = remove(&mut lines, &search, &given)?;
        let message = if count > 0 { format!("{count} line(s) removed") } else { String::new() };
        (count > 0, message, Some(count))
    } else {
        let message = insert(&mut lines, &search, &given)?;
        (message.is_some(), message.unwrap_or_default().to_owned(), None)
    };
    let edited = edit.finish(&text_to_bytes(&lines.concat()), changed, &message, context)?;
    let backup = edited.backup.as_deref().map(paths::text).unwrap_or_default();
    let mut outcome = edited.outcome.with("msg", edited.message).with("backup", backup);
    if let Some(found) = found {
        outcome = outcome.with("found", found);
    }
    if let Some(warning) = given.warning() {
        outcome = outcome.with("warnings", vec![warning]);
    }
    Ok(outcome)
}

impl LineArguments {
    fn search(&self) -> Result<Search, Failure> {
        Ok(match (&self.regexp, &self.search_string) {
            (Some(regexp), _) => Search::Pattern(compile(regexp)?),
            (None, Some(text)) => Search::Text(bytes_to_text(text.as_bytes())),
            (None, None) => Search::Nothing,
        })
    }

    fn place(&self) -> Result<Place, Failure> {
        Ok(match (self.insertafter.as_deref(), self.insertbefore.as_deref()) {
            (Some("BOF"), _) | (None, Some("BOF")) => Place::Beginning,
            (Some("EOF"), _) | (None, None) => Place::End,
            (Some(pattern), _) => Place::After(compile(pattern)?),
            (None, Some(pattern)) => Place::Before(compile(pattern)?),
        })
    }

    fn warning(&self) -> Option<String> {
        let (name, hint) = if self.regexp.as_deref() == Some("") {
            (
                "regular expression",
                " If this is desired, use '^' to match every line in the file and avoid this \
                 warning.",
            )
        } else if self.search_string.as_deref() == Some("") {
            ("search string", "")
        } else {
            return None;
        };
        Some(format!(
            "The {name} is an empty string, which will match every line in the file. This may \
             have unintended consequences, such as replacing the last line in the file rather \
             than appending.{hint}"
        ))
    }
}

fn compile(pattern: &str) -> Result<Pattern, Failure> {
    Pattern::new(&bytes_to_text(pattern.as_bytes()), Options::default())
}

impl Search {
    fn finds(&self, line: &str) -> Result<bool, Failure> {
        match self {
            Search::Pattern(pattern) => pattern.is_match(line),
            Search::Text(text) => Ok(line.contains(text)),
            Search::Nothing => Ok(false),
        }
    }
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn remove(
    lines: &mut Vec<String>,
    search: &Search,
    given: &LineArguments,
) -> Result<usize, Failure> {
    let wanted = bytes_to_text(given.line.as_deref().unwrap_or_default().as_bytes());
    let mut kept = Vec::with_capacity(lines.len());
    let before = lines.len();
    for line in lines.drain(..) {
        let found = match search {
            Search::Nothing => without_end(&line) == wanted,
            search => search.finds(&line)?,
        };
        if !found {
            kept.push(line);
        }
    }
    *lines = kept;
    Ok(before - lines.len())
}

/// Replaces or inserts the line; returns what was done, if anything.
fn insert(
    lines: &mut Vec<String>,
    search: &Search,
    given: &LineArguments,
) -> Result<Option<&'static str>, Failure> {
    let line = bytes_to_text(given.line.as_deref().unwrap_or_default().as_bytes());
    let place = given.place()?;
    let mut matching = None;
    for (number, current) in lines.iter().enumerate() {
        if search.finds(current)? {
            matching = Some(number);
            if given.firstmatch {
                break;
            }
        }
    }
    if let Some(number) = matching {
        let new = replacement(lines.get(number).map_or("", String::as_str), search, &line, given)?;
        return Ok(replace(lines, number, new));
    }
    let (same, anchor) = look_for(lines, &line, &place, given.firstmatch)?;
    if let Some(number) = same {
        // The line itself, whose line end may be another one.
        return Ok(replace(lines, number, line));
    }
    if given.backrefs {
        // Without a match there are no groups that the line could refer to.
        return Ok(None);
    }
    let new = format!("{line}\n");
    match (place, anchor) {
        (Place::Beginning, _) => lines.insert(0, new),
        (Place::After(_), Some(number)) => {
            let at = number + 1;
            // With `firstmatch` the search ended before it came to this line.
            if lines.get(at.min(lines.len() - 1)).is_some_and(|next| without_end(next) == line) {
                return Ok(None);
            }
            if at >= lines.len() {
                if let Some(last) = lines.last_mut().filter(|last| !last.ends_with(['\n', '\r'])) {
                    last.push('\n');
                }
                lines.push(new);
            } else {
                lines.insert(at, new);
            }
        }
        (Place::Before(_), Some(number)) => lines.insert(number, new),
        (Place::End | Place::After(_) | Place::Before(_), _) => {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with(['\n', '\r'])) {
                last.push('\n');
            }
            lines.push(new);
        }
    }
    Ok(Some("line added"))
}

/// The last line that is the wanted one already, and the line to insert at.
fn look_for(
    lines: &[String],
    line: &str,
    place: &Place,
    first_match: bool,
) -> Result<(Option<usize>, Option<usize>), Failure> {
    let (mut same, mut anchor) = (None, None);
    for (number, current) in lines.iter().enumerate() {
        if without_end(current) == line {
            same = Some(number);
            continue;
        }
        let (Place::After(pattern) | Place::Before(pattern)) = place else { continue };
        if pattern.is_match(current)? {
            anchor = Some(number);
            if first_match {
                break;
            }
        }
    }
    Ok((same, anchor))
}

fn replacement(
    current: &str,
    search: &Search,
    line: &str,
    given: &LineArguments,
) -> Result<String, Failure> {
    let Search::Pattern(pattern) = search else { return Ok(line.to_owned()) };
    if !given.backrefs {
        return Ok(line.to_owned());
    }
    let template = Template::new(line, pattern)
        .map_err(|reason| Failure::new(format!("failed to expand `line`: {reason}")))?;
    let mut new = String::new();
    if let Some(captured) = pattern.search(current)? {
        template.expand(&captured, &mut new);
    }
    Ok(new)
}

fn replace(lines: &mut [String], number: usize, mut new: String) -> Option<&'static str> {
    if !new.ends_with('\n') {
        new.push('\n');
    }
    let current = lines.get_mut(number)?;
    if *current == new {
        return None;
    }
    *current = new;
    Some("line replaced")
}
