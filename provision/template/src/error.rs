//! What can go wrong, with the place in the user's file and the chain of variables that led there.

use std::fmt;

use diagnostics::{Diagnostic, Sources, Span};

/// Why a template, an expression or a condition has no value.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateError {
    /// It reads a value that is not known yet; the token is the one [`crate::Found::Pending`] gave.
    Pending(u64),
    /// It reads a name, attribute or element that does not exist.
    Undefined(Box<Fault>),
    /// It is not Jinja.
    Syntax(Box<Fault>),
    /// It is Jinja, but its evaluation failed.
    Failed(Box<Fault>),
}

/// The particulars of an error.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fault {
    /// What is wrong, in Ansible's and Jinja's words where content may grep for them.
    pub message: String,
    /// The name that is undefined, if that is what is wrong.
    pub name: Option<String>,
    /// Where in the user's files. The whole scalar if the exact place needs its source text;
    /// [`TemplateError::diagnostic`] narrows it.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The variables that were being evaluated, innermost first.
    pub trail: Vec<Trail>,
    /// Where inside the scalar or the template file.
    pub(crate) spot: Option<Spot>,
    /// Byte range inside the program that is being run; becomes `spot` on the way out.
    pub(crate) at: Option<At>,
}

/// A variable through which an error came.
#[derive(Debug, Clone, PartialEq)]
pub struct Trail {
    /// Its name.
    pub name: String,
    /// Its value in the user's files.
    pub span: Option<Span>,
}

/// Byte range inside a template text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A place inside the text of a scalar, kept until the source text is at hand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spot {
    /// The scalar as the YAML reader saw it.
    pub(crate) scalar: Span,
    /// Line inside the template text, from 0.
    pub(crate) line: usize,
    /// That line's text.
    pub(crate) line_text: String,
    /// Byte offset inside that line.
    pub(crate) offset: usize,
    /// Length in bytes.
    pub(crate) length: usize,
}

impl TemplateError {
    /// An evaluation error without a place yet.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        TemplateError::Failed(Box::new(Fault { message: message.into(), ..Fault::default() }))
    }

    pub(crate) fn syntax(message: impl Into<String>, at: Option<At>) -> Self {
        TemplateError::Syntax(Box::new(Fault { message: message.into(), at, ..Fault::default() }))
    }

    pub(crate) fn undefined(message: impl Into<String>, name: Option<String>) -> Self {
        TemplateError::Undefined(Box::new(Fault {
            message: message.into(),
            name,
            ..Fault::default()
        }))
    }

    /// The particulars; a pending value has none.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            TemplateError::Pending(_) => None,
            TemplateError::Undefined(fault)
            | TemplateError::Syntax(fault)
            | TemplateError::Failed(fault) => Some(fault),
        }
    }

    pub(crate) fn fault_mut(&mut self) -> Option<&mut Fault> {
        match self {
            TemplateError::Pending(_) => None,
            TemplateError::Undefined(fault)
            | TemplateError::Syntax(fault)
            | TemplateError::Failed(fault) => Some(fault),
        }
    }

    /// Whether a name, attribute or element was missing.
    #[must_use]
    pub fn is_undefined(&self) -> bool {
        matches!(self, TemplateError::Undefined(_))
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        self.fault().map_or("the value is not known yet", |fault| fault.message.as_str())
    }

    /// Adds a hint if there is none.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(fault) = self.fault_mut() {
            fault.hint.get_or_insert_with(|| hint.into());
        }
        self
    }

    /// Sets the range inside the running program unless an inner one is known.
    pub(crate) fn at(mut self, at: At) -> Self {
        if let Some(fault) = self.fault_mut()
            && fault.at.is_none()
            && fault.span.is_none()
        {
            fault.at = Some(at);
        }
        self
    }

    /// Notes that the error came through a variable.
    pub(crate) fn through(mut self, name: &str, span: Option<Span>) -> Self {
        if let Some(fault) = self.fault_mut() {
            fault.trail.push(Trail { name: name.to_owned(), span });
        }
        self
    }

    /// The error as rustc would show it; `sources` are the texts the spans point into.
    #[must_use]
    pub fn diagnostic(&self, sources: &Sources) -> Diagnostic {
        let (code, label) = match self {
            TemplateError::Pending(_) => ("template-pending", "depends on a later result"),
            TemplateError::Undefined(_) => ("template-undefined", "undefined"),
            TemplateError::Syntax(_) => ("template-syntax", "cannot be parsed"),
            TemplateError::Failed(_) => ("template-failed", "failed here"),
        };
        let mut diagnostic = Diagnostic::error(code, self.message());
        let Some(fault) = self.fault() else { return diagnostic };
        let place = fault.spot.as_ref().and_then(|spot| spot.locate(sources)).or(fault.span);
        if let Some(span) = place.map(|span| sources.whole(span)) {
            diagnostic = diagnostic.at(span, label);
        }
        for trail in &fault.trail {
            diagnostic = match trail.span.map(|span| sources.whole(span)) {
                Some(span) => diagnostic.also(span, format!("while evaluating `{}`", trail.name)),
                None => diagnostic.note(format!("while evaluating variable `{}`", trail.name)),
            };
        }
        diagnostic.hint_if(fault.hint.clone())
    }
}

impl Spot {
    /// The exact place, found by looking for the template's line in the scalar's source text: block
    /// and folded scalars lose their indentation, so offsets alone would not do.
    fn locate(&self, sources: &Sources) -> Option<Span> {
        let source = sources.text(self.scalar);
        let lines: Vec<(usize, &str)> = source
            .split_inclusive('\n')
            .scan(0usize, |start, line| {
                let here = *start;
                *start += line.len();
                Some((here, line))
            })
            .collect();
        let wanted = self.line_text.trim();
        let block = source.starts_with(['|', '>']);
        let nth = if block { self.line + 1 } else { self.line };
        let same = lines.get(nth).filter(|(_, line)| line.contains(wanted));
        let found = same.or_else(|| lines.iter().find(|(_, line)| line.contains(wanted)));
        let Some((start, line)) = found else { return self.locate_words(source) };
        let indent = line.find(wanted)?;
        let trimmed = self.line_text.len() - self.line_text.trim_start().len();
        let offset = start + indent + self.offset.saturating_sub(trimmed);
        Some(self.scalar.slice(offset, self.length))
    }

    /// The place in a scalar whose lines were folded: the same words, counted from its start.
    fn locate_words(&self, source: &str) -> Option<Span> {
        let words = self.line_text.get(self.offset..)?.get(..self.length)?;
        let before = self.line_text.get(..self.offset)?.matches(words).count();
        let (offset, _) = source.match_indices(words).nth(before)?;
        Some(self.scalar.slice(offset, self.length))
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        for trail in self.fault().into_iter().flat_map(|fault| &fault.trail) {
            write!(f, " (while evaluating variable `{}`)", trail.name)?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}

/// What evaluation steps return.
pub(crate) type Outcome<T> = Result<T, TemplateError>;
