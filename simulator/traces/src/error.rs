//! What can be wrong with a trace, and where.

use std::fmt;
use std::io;

use diagnostics::{Diagnostic, Sources, Span};

/// What is wrong.
#[derive(Debug)]
pub enum Fault {
    /// The input could not be read.
    Unreadable(io::Error),
    /// A column has a name that no column has here.
    UnknownColumn {
        /// Its name.
        name: String,
        /// A name that is close to it and has a meaning.
        closest: Option<String>,
    },
    /// A column that must be there isn't.
    MissingColumn {
        /// Its name.
        name: &'static str,
        /// Others that would do, for people; may be empty.
        others: &'static str,
    },
    /// Two columns with the same meaning.
    TwiceColumn {
        /// The second one.
        name: String,
    },
    /// A column that was given a meaning isn't there.
    NoSuchColumn {
        /// Its name.
        name: String,
        /// One of the header that is close to it.
        closest: Option<String>,
    },
    /// A row has fewer or more fields than the header.
    FieldCount {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// A field isn't what its column is for.
    BadField {
        /// What it should be.
        what: &'static str,
        /// How that is written.
        expected: &'static str,
    },
    /// A time before the one of the row above.
    Unsorted {
        /// The time above.
        before_ns: u64,
        /// The time here.
        now_ns: u64,
    },
    /// The file ends in the middle of a row or block.
    Truncated {
        /// Of a packed trace, which has no lines: how many requests could be read before.
        behind: Option<u64>,
    },
    /// A block's checksum is another one, or it can't be.
    Corrupt {
        /// What is wrong with it.
        what: &'static str,
        /// How many requests could be read before.
        behind: Option<u64>,
    },
    /// A version of our packed format that isn't known here.
    UnknownVersion {
        /// Its number.
        found: u8,
    },
    /// No row is a request.
    Empty,
    /// Two rows with the number of one job.
    TwiceJob {
        /// Its number.
        number: u64,
    },
    /// A line isn't one of its format.
    BadLine {
        /// How one is written.
        expected: &'static str,
    },
    /// Nothing closes a quote until the end of the file.
    UnclosedQuote,
    /// More different names than numbers for them.
    TooManyNames,
    /// It is another one than at its first reading.
    Changed,
}

/// A fault and its place.
#[derive(Debug)]
pub struct TraceError {
    /// Line, from 1; 0: no certain one.
    pub line: u64,
    /// The text of the line, as far as it is needed.
    pub text: String,
    /// The part of the text that is meant, as bytes.
    pub part: std::ops::Range<usize>,
    /// What is wrong.
    pub fault: Fault,
    /// Whether nothing comes behind the line: it may have been cut off.
    pub is_last: bool,
}

/// Longer lines are shown up to here.
const SHOWN_BYTES: usize = 400;

impl TraceError {
    pub(crate) fn new(fault: Fault, line: u64, text: &[u8], part: std::ops::Range<usize>) -> Self {
        let mut text = String::from_utf8_lossy(text).into_owned();
        let whole = part.end.max(SHOWN_BYTES).min(text.len());
        text.truncate(text.floor_char_boundary(whole));
        TraceError { line, text, part, fault, is_last: false }
    }

    /// The same in the last line of a trace, if it is.
    pub(crate) fn last_if(self, is_last: bool) -> Self {
        TraceError { is_last, ..self }
    }

    pub(crate) fn whole(fault: Fault, line: u64, text: &[u8]) -> Self {
        Self::new(fault, line, text, 0..text.len())
    }

    pub(crate) fn nowhere(fault: Fault) -> Self {
        Self::new(fault, 0, b"", 0..0)
    }

    /// The same behind so many requests of a packed trace.
    pub(crate) fn behind(mut self, requests: u64) -> Self {
        if let Fault::Truncated { behind } | Fault::Corrupt { behind, .. } = &mut self.fault {
            *behind = Some(requests);
        }
        self
    }

    /// The error with its line and a caret, for people.
    #[must_use]
    pub fn diagnostic(&self, file: &str, sources: &mut Sources) -> Diagnostic {
        let message = self.fault.to_string();
        let diagnostic = match self.line {
            0 => {
                let diagnostic = Diagnostic::error("trace", format!("{file}: {message}"));
                match self.fault {
                    Fault::Truncated { behind: Some(count) }
                    | Fault::Corrupt { behind: Some(count), .. } => {
                        diagnostic.note(format!("requests that could be read before: {count}"))
                    }
                    _ => diagnostic,
                }
            }
            line => {
                let first = u32::try_from(line).unwrap_or(u32::MAX);
                let source = sources.add_part(file, self.text.as_str(), first);
                let span = Span::new(source, self.part.start, self.part.end);
                Diagnostic::error("trace", message).at(sources.whole(span), self.fault.label())
            }
        };
        diagnostic.hint_if(self.fault.hint().or_else(|| self.cut_off()))
    }

    /// What a last line that is none often means.
    fn cut_off(&self) -> Option<String> {
        let is_a_row = matches!(
            self.fault,
            Fault::FieldCount { .. } | Fault::BadField { .. } | Fault::BadLine { .. }
        );
        let hint = "it is the last line: was the trace copied whole?";
        (self.is_last && is_a_row).then(|| hint.to_owned())
    }
}

impl Fault {
    fn label(&self) -> &'static str {
        match self {
            Fault::UnknownColumn { .. } => "unknown column",
            Fault::MissingColumn { .. } => "the header",
            Fault::TwiceColumn { .. } => "the second one",
            Fault::BadField { expected, .. } | Fault::BadLine { expected } => expected,
            Fault::Unsorted { .. } => "earlier than the row above",
            Fault::NoSuchColumn { .. } => "the columns that there are",
            Fault::TwiceJob { .. } => "the second one",
            Fault::FieldCount { expected, found } if found < expected => "too few fields",
            Fault::FieldCount { .. } => "too many fields",
            Fault::UnclosedQuote => "all from here to the end is one field",
            Fault::Unreadable(_)
            | Fault::Truncated { .. }
            | Fault::Corrupt { .. }
            | Fault::UnknownVersion { .. }
            | Fault::Empty
            | Fault::TooManyNames
            | Fault::Changed => "here",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Fault::UnknownColumn { closest: Some(closest), .. } => {
                Some(format!("did you mean `{closest}`?"))
            }
            Fault::UnknownColumn { closest: None, name } => Some(format!(
                "name what it means: --map {name}=service_ms, or leave it out: --map {name}=ignore"
            )),
            Fault::NoSuchColumn { closest: Some(closest), .. } => {
                Some(format!("did you mean `{closest}`?"))
            }
            Fault::Empty => {
                Some("headers, comments and what had failed are no requests".to_owned())
            }
            Fault::FieldCount { expected, found } if found > expected => {
                Some("is a comma within a field? Such a field needs quotes around it".to_owned())
            }
            Fault::Unsorted { .. } => {
                Some("if that is meant: --sort puts rows into order".to_owned())
            }
            Fault::Truncated { .. } => Some("was it copied whole?".to_owned()),
            Fault::UnclosedQuote => Some(
                "close the quote, or leave it out; if it is in the last line: was the trace copied whole?"
                    .to_owned(),
            ),
            Fault::UnknownVersion { .. } => {
                Some("pack it again with this version: simulator trace pack".to_owned())
            }
            Fault::MissingColumn { others, .. } if !others.is_empty() => {
                Some(format!("any of {others} will do"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(error) => write!(f, "the trace can't be read: {error}"),
            Fault::UnknownColumn { name, .. } => write!(f, "`{name}` is no column of a trace"),
            Fault::MissingColumn { name, .. } => write!(f, "there is no column `{name}`"),
            Fault::TwiceColumn { name } => write!(f, "`{name}` is there twice"),
            Fault::FieldCount { expected, found } => {
                let fields = if *found == 1 { "field" } else { "fields" };
                write!(f, "the row has {found} {fields}, the header {expected}")
            }
            Fault::NoSuchColumn { name, .. } => write!(f, "there is no column `{name}`"),
            Fault::TwiceJob { number } => write!(f, "the job {number} is there twice"),
            Fault::BadField { what, .. } => write!(f, "this is no {what}"),
            Fault::Unsorted { before_ns, now_ns } => write!(
                f,
                "the rows are not in order of time: {} s comes after {} s",
                seconds(*now_ns),
                seconds(*before_ns)
            ),
            Fault::Truncated { .. } => f.write_str("the trace ends in the middle of a row"),
            Fault::Corrupt { what, .. } => write!(f, "the packed trace is damaged: {what}"),
            Fault::UnknownVersion { found } => {
                write!(f, "this is version {found} of the packed format")
            }
            Fault::Empty => f.write_str("the trace has no request"),
            Fault::UnclosedQuote => f.write_str("a quote is opened here and never closed"),
            Fault::BadLine { .. } => f.write_str("this line is none of its format"),
            Fault::Changed => f.write_str("the trace changed while it was read"),
            Fault::TooManyNames => f.write_str("there are more than four billion different names"),
        }
    }
}

/// Nanoseconds as seconds without a zero too much.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => self.fault.fmt(f),
            line => write!(f, "line {line}: {}", self.fault),
        }
    }
}

impl std::error::Error for TraceError {}

impl From<Fault> for TraceError {
    fn from(fault: Fault) -> Self {
        Self::nowhere(fault)
    }
}

impl From<io::Error> for TraceError {
    fn from(error: io::Error) -> Self {
        Self::nowhere(Fault::Unreadable(error))
    }
}
