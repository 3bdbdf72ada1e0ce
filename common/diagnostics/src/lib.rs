//! `[pure]` Source files, spans and diagnostics that show the place, what was expected and a hint.
//!
//! Everything a user wrote keeps its [`Span`]. An error is a [`Diagnostic`]: a message, the
//! place, a label under the caret, notes and a hint. Nothing here reads files or prints.

use std::fmt;
use std::sync::Arc;

mod render;
mod suggest;

pub use render::{Style, render, render_all};
pub use suggest::closest;

/// Identifies one loaded text inside [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A half-open range of byte offsets in one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text it points into.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of `source` from byte `start` to byte `end`; offsets past 4 GiB saturate.
    #[must_use]
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { source, start: clamp(start), end: clamp(end.max(start)) }
    }

    /// The part of this span that begins `offset` bytes in and is `length` bytes long.
    #[must_use]
    pub fn slice(self, offset: usize, length: usize) -> Self {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let start = self.start.saturating_add(offset).min(self.end);
        Span { source: self.source, start, end: start.saturating_add(length).min(self.end) }
    }

    /// The smallest span that covers both; `self` if they are in different sources.
    #[must_use]
    pub fn to(self, other: Span) -> Self {
        if self.source != other.source {
            return self;
        }
        Span {
            source: self.source,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// One loaded text with the name that users know it by.
#[derive(Clone)]
pub struct Source {
    /// Path as the user would type it, or a description such as `<extra vars>`.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
    /// Number of its first line: above 1 for a part of a file.
    first_line: u32,
    /// Whether the text came out of an encrypted file: its places are shown, its text never.
    secret: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Source");
        shown.field("name", &self.name);
        if !self.secret {
            shown.field("text", &self.text);
        }
        shown.finish_non_exhaustive()
    }
}

impl Source {
    /// Whether the text came out of an encrypted file and must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    fn new(name: String, text: Arc<str>, secret: bool) -> Self {
        let mut line_starts = vec![0];
        for (offset, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                line_starts.push(u32::try_from(offset + 1).unwrap_or(u32::MAX));
            }
        }
        Source { name, text, line_starts, first_line: 1, secret }
    }

    /// Line and column (both from 1, the column in characters) of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: u32) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let text = self.text.get(start as usize..(offset as usize).min(self.text.len()));
        let column = text.map_or(0, |text| text.chars().count()) + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX).saturating_add(self.first_line - 1);
        (line, u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// All texts that one run has loaded.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        self.push(Source::new(name.into(), text.into(), false))
    }

    /// Adds some lines of a file that is too large to be kept; the first has this number.
    pub fn add_part(
        &mut self,
        name: impl Into<String>,
        text: impl Into<Arc<str>>,
        first_line: u32,
    ) -> SourceId {
        let source = Source::new(name.into(), text.into(), false);
        self.push(Source { first_line: first_line.max(1), ..source })
    }

    /// Adds a text that came out of an encrypted file: diagnostics show its places only.
    pub fn add_secret(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        self.push(Source::new(name.into(), text.into(), true))
    }

    fn push(&mut self, source: Source) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(source);
        id
    }

    /// The source with this id.
    #[must_use]
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// The text under a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.get(span.source)
            .and_then(|source| source.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// The span, widened to whole characters and cut at the end of its text: parsers count one byte
    /// for a character that they don't expect.
    #[must_use]
    pub fn whole(&self, span: Span) -> Span {
        let Some(source) = self.get(span.source) else { return span };
        let text = &source.text;
        let (start, end) = (span.start as usize, span.end as usize);
        let start = text.floor_char_boundary(start);
        let end = text.ceil_char_boundary(end).max(start);
        Span::new(span.source, start, end)
    }

    /// `file:line:column` of the start of a span.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        match self.get(span.source) {
            Some(source) => {
                let (line, column) = source.line_column(span.start);
                Place { file: source.name.clone(), line, column }
            }
            None => Place { file: "<unknown>".into(), line: 1, column: 1 },
        }
    }
}

/// A place that a person can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the source.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// The input works but probably not as meant.
    Warning,
}

/// A place with a text under its caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What to say there; may be empty.
    pub text: String,
}

/// One thing that is wrong with what the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable name of the kind of problem, kebab-case (`unknown-module`).
    pub code: &'static str,
    /// What is wrong, lowercase, one sentence without a full stop.
    pub message: String,
    /// Where, and what to say under the caret.
    pub primary: Option<Label>,
    /// Other places that matter, e.g. where a name was first defined.
    pub secondary: Vec<Label>,
    /// Facts that help to understand.
    pub notes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// Sets the place and the text under its caret.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: label.into() });
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: label.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the hint when there is one.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    /// Whether this makes the input unusable.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
