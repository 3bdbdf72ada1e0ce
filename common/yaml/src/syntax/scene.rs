//! The surroundings of a syntax error in the text.

use diagnostics::{SourceId, Span};

/// The text and the two places that libyaml names.
pub(super) struct Scene<'text> {
    pub(super) text: &'text str,
    source: SourceId,
    /// Byte offset where the scanner gave up.
    pub(super) problem: usize,
    /// Byte offset of what it was reading.
    pub(super) context: Option<usize>,
}

impl<'text> Scene<'text> {
    pub(super) fn new(
        text: &'text str,
        source: SourceId,
        problem: usize,
        context: Option<usize>,
    ) -> Self {
        Scene {
            text,
            source,
            problem: text.floor_char_boundary(problem),
            context: context.map(|offset| text.floor_char_boundary(offset)),
        }
    }

    /// A span of this text.
    pub(super) fn span(&self, start: usize, length: usize) -> Span {
        let end = self.text.floor_char_boundary(start.saturating_add(length));
        Span::new(self.source, start.min(self.text.len()), end)
    }

    /// The character at the problem.
    pub(super) fn mark(&self) -> Span {
        let length =
            self.character().filter(|character| *character != '\n').map_or(0, char::len_utf8);
        self.span(self.problem, length)
    }

    /// The word at the problem.
    pub(super) fn word(&self) -> Span {
        let rest = self.text.get(self.problem..).unwrap_or("");
        let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.span(self.problem, length)
    }

    /// The rest of the line that `offset` is on, without a comment.
    pub(super) fn rest_of_line(&self, offset: usize) -> Span {
        let (start, line) = self.line(offset);
        let rest = line.get(offset.saturating_sub(start)..).unwrap_or("");
        self.span(offset, without_comment(rest).len())
    }

    pub(super) fn character(&self) -> Option<char> {
        self.character_at(self.problem)
    }

    pub(super) fn character_at(&self, offset: usize) -> Option<char> {
        self.text.get(offset..)?.chars().next()
    }

    /// Start and text (without its line break) of the line that `offset` is on.
    pub(super) fn line(&self, offset: usize) -> (usize, &'text str) {
        let offset = self.text.floor_char_boundary(offset);
        let before = self.text.get(..offset).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = self.text.get(start..).unwrap_or("");
        (start, rest.lines().next().unwrap_or(""))
    }

    /// The last line before the one of `offset` that says something.
    pub(super) fn line_before(&self, offset: usize) -> Option<(usize, &'text str)> {
        let (mut start, _) = self.line(offset);
        while start > 0 {
            let (before, line) = self.line(start - 1);
            let content = line.trim();
            if !content.is_empty() && !content.starts_with('#') {
                return Some((before, line));
            }
            start = before;
        }
        None
    }

    /// Column of an offset, from 1, in characters.
    pub(super) fn column(&self, offset: usize) -> usize {
        let (start, _) = self.line(offset);
        self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1)
    }
}

/// Text without a trailing comment and blanks.
pub(super) fn without_comment(text: &str) -> &str {
    text.find(" #").and_then(|at| text.get(..at)).unwrap_or(text).trim_end()
}

/// Bytes of indentation.
pub(super) fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Where the content of a line begins behind its indentation and dashes.
pub(super) fn content_start(line: &str) -> usize {
    let mut start = indentation(line);
    while let Some(rest) = line.get(start..).and_then(|rest| rest.strip_prefix("- ")) {
        start += 2 + indentation(rest);
    }
    start
}

/// Where the value of a line begins: behind `key: ` if it has one.
pub(super) fn value_start(line: &str) -> usize {
    let content = content_start(line);
    let rest = line.get(content..).unwrap_or("");
    match rest.find(": ") {
        Some(colon) if !rest.starts_with(['"', '\'', '{', '[', '#']) => {
            let value = rest.get(colon + 1..).unwrap_or("");
            content + colon + 1 + indentation(value)
        }
        _ => content,
    }
}

/// Where `key:value` lacks its space: the offset behind the colon.
pub(super) fn glued_colon(line: &str) -> Option<usize> {
    let content = content_start(line);
    let rest = line.get(content..).unwrap_or("");
    let colon = rest.find(':')?;
    let key = rest.get(..colon)?;
    let value = rest.get(colon + 1..)?;
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|character| character.is_alphanumeric() || matches!(character, '_' | '-' | '.'));
    (is_key && !value.starts_with([' ', '/', ':']) && !value.trim().is_empty())
        .then_some(content + colon + 1)
}
