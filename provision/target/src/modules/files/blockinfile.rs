//! `blockinfile`: inserts, replaces or removes lines between two markers.

use provision_protocol::Object;
use serde::Deserialize;

use super::edit::Edit;
use crate::disk::paths;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{Options, Pattern, bytes_to_text, text_to_bytes};

#[derive(Debug, Deserialize)]
struct BlockArguments {
    state: Option<String>,
    marker: Option<String>,
    block: Option<String>,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    #[serde(default)]
    create: bool,
    marker_begin: Option<String>,
    marker_end: Option<String>,
    #[serde(default)]
    append_newline: bool,
    #[serde(default)]
    prepend_newline: bool,
}

/// Runs the module.
///
/// # Errors
/// When the file can't be edited or a pattern isn't one.
pub fn run(object: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: BlockArguments = arguments(object)?;
    let present = given.state.as_deref() != Some("absent");
    let edit = Edit::open(object, given.create, context)?;
    if !present && edit.original.is_none() {
        let message = format!("File {} not present", edit.path.display());
        return Ok(Outcome::new(false).with("msg", message));
    }
    let text = bytes_to_text(edit.original.as_deref().unwrap_or_default());
    let block = given.block_lines(present);
    let result = place_block(&text, &block, &given, present)?;
    let (changed, message) = match &edit.original {
        Some(_) if result == text => (false, ""),
        None => (true, "File created"),
        Some(_) if block.is_empty() => (true, "Block removed"),
        Some(_) => (true, "Block inserted"),
    };
    let edited = edit.finish(&text_to_bytes(&result), changed, message, context)?;
    let mut outcome = edited.outcome.with("msg", edited.message);
    if let Some(backup) = edited.backup {
        outcome = outcome.with("backup_file", paths::text(&backup));
    }
    Ok(outcome)
}

impl BlockArguments {
    fn markers(&self) -> (String, String) {
        let marker = self.marker.as_deref().unwrap_or("# {mark} ANSIBLE MANAGED BLOCK");
        let line = |word: &str| {
            let text = format!("{}\n", marker.replace("{mark}", word));
            bytes_to_text(text.as_bytes())
        };
        (
            line(self.marker_begin.as_deref().unwrap_or("BEGIN")),
            line(self.marker_end.as_deref().unwrap_or("END")),
        )
    }

    /// The block with its markers; nothing if it is to be removed.
    fn block_lines(&self, present: bool) -> Vec<String> {
        let block = bytes_to_text(self.block.as_deref().unwrap_or_default().as_bytes());
        if !present || block.is_empty() {
            return Vec::new();
        }
        let (begin, end) = self.markers();
        let block = if block.ends_with('\n') { block } else { format!("{block}\n") };
        let mut lines = vec![begin];
        lines.extend(split_lines(&block));
        lines.push(end);
        lines
    }
}

fn place_block(
    text: &str,
    block: &[String],
    given: &BlockArguments,
    present: bool,
) -> Result<String, Failure> {
    let mut lines = split_lines(text);
    let (begin, end) = given.markers();
    let last = |marker: &str| lines.iter().rposition(|line| line == marker);
    let mut at = match (last(&begin), last(&end)) {
        (Some(begin), Some(end)) => {
            let (first, last) = (begin.min(end), begin.max(end));
            lines.drain(first..=last);
            first
        }
        _ => insertion(text, &lines, given)?,
    };
    if let Some(before) = at.checked_sub(1).and_then(|before| lines.get_mut(before))
        && !before.ends_with('\n')
    {
        before.push('\n');
    }
    if given.prepend_newline && present && at > 0 && !is_blank(&lines, at - 1) {
        lines.insert(at, "\n".to_owned());
        at += 1;
    }
    let behind = at + block.len();
    lines.splice(at..at, block.iter().cloned());
    if given.append_newline && present && behind < lines.len() && !is_blank(&lines, behind) {
        lines.insert(behind, "\n".to_owned());
    }
    Ok(lines.concat())
}

fn is_blank(lines: &[String], at: usize) -> bool {
    lines.get(at).is_some_and(|line| line == "\n")
}

/// Where a block goes that isn't there yet.
fn insertion(text: &str, lines: &[String], given: &BlockArguments) -> Result<usize, Failure> {
    let (pattern, after) = match (given.insertafter.as_deref(), given.insertbefore.as_deref()) {
        (Some("EOF"), _) | (None, None) => return Ok(lines.len()),
        (None, Some("BOF")) => return Ok(0),
        (Some(pattern), _) => (pattern, true),
        (None, Some(pattern)) => (pattern, false),
    };
    let pattern = Pattern::new(&bytes_to_text(pattern.as_bytes()), Options::default())?;
    let mut found = None;
    if pattern.is_multi_line() {
        if let Some(captured) = pattern.search(text)? {
            let (start, end) = captured.span();
            let until = if after { end } else { start };
            let before = text.get(..until).unwrap_or_default();
            found = Some(before.matches('\n').count());
        }
    } else {
        for (number, line) in lines.iter().enumerate() {
            if pattern.is_match(line)? {
                found = Some(number);
            }
        }
    }
    Ok(match found {
        None => lines.len(),
        Some(number) => (number + usize::from(after)).min(lines.len()),
    })
}

/// Lines with their ends, which may be `\n`, `\r` or both (`bytes.splitlines(True)`).
fn split_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\n', '\r']) {
        let width = if rest.get(at..).is_some_and(|end| end.starts_with("\r\n")) { 2 } else { 1 };
        let (line, behind) = rest.split_at(at + width);
        lines.push(line.to_owned());
        rest = behind;
    }
    if !rest.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}
