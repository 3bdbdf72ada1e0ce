//! The scanner's events with byte spans of the text as the user wrote it.

use diagnostics::{Diagnostic, SourceId, Span};
use libyaml::{Event, Parser};

use crate::limits::MAX_TEXT_BYTES;
use crate::syntax;

/// One text on its way through the scanner.
pub(crate) struct Events<'text> {
    parser: Parser,
    text: &'text str,
    source: SourceId,
    /// Length of a byte order mark that the scanner does not see.
    skipped: usize,
}

/// Refuses what the scanner must not be given: too long a text, control characters.
pub(crate) fn check_text(text: &str, source: SourceId) -> Option<Diagnostic> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is {} bytes long", text.len());
        return Some(
            Diagnostic::error("yaml-limit", message)
                .at(Span::new(source, 0, 0), format!("at most {MAX_TEXT_BYTES} are read")),
        );
    }
    let (offset, character) = text.char_indices().find(|(_, character)| !allowed(*character))?;
    let span = Span::new(source, offset, offset + character.len_utf8());
    let message = format!("control character U+{:04X} is not allowed", u32::from(character));
    Some(
        Diagnostic::error("yaml-control-character", message)
            .at(span, "expected printable text")
            .hint(format!("write it as \"\\u{:04x}\" in double quotes", u32::from(character))),
    )
}

/// `c-printable` of the YAML specification, as libyaml has it.
fn allowed(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}'
        | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

impl<'text> Events<'text> {
    /// Events of a text that [`check_text`] has nothing against.
    pub(crate) fn new(text: &'text str, source: SourceId) -> Events<'text> {
        let content = text.strip_prefix('\u{feff}').unwrap_or(text);
        let skipped = text.len() - content.len();
        Events { parser: Parser::new(content), text, source, skipped }
    }

    /// The next event, or what is wrong with the text.
    pub(crate) fn next(&mut self) -> Result<Event, Box<Diagnostic>> {
        self.parser.parse().map_err(|error| {
            Box::new(syntax::explain(self.text, self.source, &error, self.skipped))
        })
    }

    /// Where an event stands, without its anchor and tag and without trailing blanks.
    pub(crate) fn span(&self, event: &Event, has_properties: bool) -> Span {
        let (start, end) = (self.offset(event.start_mark.index), self.offset(event.end_mark.index));
        let written = self.text.get(start..end).unwrap_or("");
        let begin = if has_properties { properties_length(written) } else { 0 };
        let length = written.trim_end().len().max(begin);
        Span::new(self.source, start + begin, start + length)
    }

    /// An empty span where an event begins.
    pub(crate) fn start(&self, event: &Event) -> Span {
        let start = self.offset(event.start_mark.index);
        Span::new(self.source, start, start)
    }

    /// The text under a span of this source.
    pub(crate) fn text(&self, span: Span) -> &'text str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The text that begins at a span.
    pub(crate) fn rest(&self, span: Span) -> &'text str {
        self.text.get(span.start as usize..).unwrap_or("")
    }

    /// The scanner counts bytes, from behind the byte order mark.
    fn offset(&self, index: u64) -> usize {
        usize::try_from(index)
            .unwrap_or(usize::MAX)
            .saturating_add(self.skipped)
            .min(self.text.len())
    }
}

/// Length of the anchor and tag (with blanks and comments behind them) that begin a node.
fn properties_length(written: &str) -> usize {
    let mut rest = written;
    loop {
        let trimmed = rest.trim_start();
        let after = if trimmed.starts_with(['&', '!']) {
            trimmed.find(char::is_whitespace).unwrap_or(trimmed.len())
        } else if trimmed.starts_with('#') {
            trimmed.find('\n').unwrap_or(trimmed.len())
        } else {
            return written.len() - trimmed.len();
        };
        rest = trimmed.get(after..).unwrap_or("");
    }
}
