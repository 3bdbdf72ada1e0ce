//! What serde complains about, in the words of the house.

use std::fmt;

use diagnostics::{Diagnostic, Span, closest};
use serde::de::{self, Expected, Unexpected};

use crate::Node;

/// A value that does not fit, on its way up to [`super::from_node`].
#[derive(Debug)]
pub(super) struct Failure {
    diagnostic: Box<Diagnostic>,
    /// The innermost entry of a list or mapping that it happened in.
    pub(super) entry: Option<Span>,
    /// The field whose absence this is about.
    pub(super) missing: Option<&'static str>,
    /// Whether it only follows from an error that is already reported.
    pub(super) suppressed: bool,
}

impl Failure {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Failure {
            diagnostic: Box::new(Diagnostic::error(code, message)),
            entry: None,
            missing: None,
            suppressed: false,
        }
    }

    fn map(mut self, change: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        self.diagnostic = Box::new(change(*self.diagnostic));
        self
    }

    pub(super) fn at(self, span: Span, label: impl Into<String>) -> Self {
        self.map(|diagnostic| diagnostic.at(span, label))
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        self.map(|diagnostic| diagnostic.hint(hint))
    }

    /// Lists what would have been right.
    pub(super) fn names(self, names: &[&str]) -> Self {
        self.hint(format!("known: {}", names.join(", ")))
    }

    /// Sets the place if none is known yet: the innermost node reports first.
    pub(super) fn within(self, span: Span) -> Self {
        if self.diagnostic.primary.is_some() {
            return self;
        }
        let label = if self.missing.is_some() { "in this mapping" } else { "here" };
        self.at(span, label)
    }

    /// Remembers the innermost entry.
    pub(super) fn in_entry(mut self, span: Span) -> Self {
        self.entry.get_or_insert(span);
        self
    }

    pub(super) fn suppress_if(mut self, suppressed: bool) -> Self {
        self.suppressed |= suppressed;
        // What it names is inside this mapping; it is the mapping that cannot be built.
        if suppressed {
            self.entry = None;
        }
        self
    }

    pub(super) fn into_diagnostic(self, fallback: Span) -> Diagnostic {
        *self.within(fallback).diagnostic
    }
}

/// A key that a struct does not have.
pub(super) fn unknown_key(key: &Node, fields: &[&str]) -> Failure {
    match key.as_str() {
        Some(name) => unknown("key", name, fields),
        None => Failure::new("unknown-key", format!("the key is {}", key.kind())).names(fields),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    let code = if what == "key" { "unknown-key" } else { "unknown-value" };
    let failure = Failure::new(code, format!("unknown {what} `{name}`"));
    match closest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.names(known),
    }
}

/// What serde expected, for people.
fn expectation(expected: &dyn Expected) -> String {
    let name = expected.to_string();
    let range = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match name.as_str() {
        "u8" => range("0", "255"),
        "u16" => range("0", "65535"),
        "u32" => range("0", "4294967295"),
        "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" => range("-128", "127"),
        "i16" => range("-32768", "32767"),
        "i32" => range("-2147483648", "2147483647"),
        "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        _ => name,
    }
}

fn found(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("`{value}`"),
        Unexpected::Char(value) => format!("`{value}`"),
        Unexpected::Str(value) => format!("text `{value}`"),
        Unexpected::Unit => "nothing (null)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Failure::new("yaml-value", message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expectation(expected);
        Failure::new("yaml-type", format!("expected {expected}, found {}", found(&unexpected)))
    }

    /// An expectation may end with a line `hint: …`.
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expectation(expected);
        let (expected, hint) = match expected.split_once("\nhint: ") {
            Some((expected, hint)) => (expected, Some(hint)),
            None => (expected.as_str(), None),
        };
        let message = format!("expected {expected}, found {}", found(&unexpected));
        let failure = Failure::new("yaml-value", message);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = expectation(expected);
        Failure::new("yaml-value", format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        unknown("value", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        unknown("key", field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut failure = Failure::new("missing-key", format!("key `{field}` is missing"))
            .hint(format!("add `{field}: …`"));
        failure.missing = Some(field);
        failure
    }
}
