//! Prepares a text for minijinja's parser: closes the gaps between its grammar and Jinja2's by
//! rewriting, and remembers where each byte came from.
//!
//! | written | parsed as | why |
//! |---|---|---|
//! | no-break and other Unicode blanks in a tag | blanks | Jinja's lexer takes every `\s` |
//! | `+x` | ` x` | minijinja has no unary plus |
//! | `{% for x in "a", "b" %}`, `{{ a, b }}` | with parentheses | minijinja has no bare tuples there |
//! | `'\d'` in `{{ }}` of a playbook | `'\\d'` | Ansible keeps backslashes there (`_escape_backslashes`) |
//! | `'\/'`, `'\a'`, `'\v'`, `'\U0001F600'` | what Python reads | minijinja reads other escapes |

use std::ops::Range;

use crate::convert::offset;
use crate::error::At;

/// The delimiters of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delimiters<'a> {
    pub(crate) variable: (&'a str, &'a str),
    pub(crate) block: (&'a str, &'a str),
    pub(crate) comment: (&'a str, &'a str),
}

impl<'a> Delimiters<'a> {
    /// Each of them.
    pub(crate) fn all(&self) -> [&'a str; 6] {
        let Delimiters { variable, block, comment } = self;
        [variable.0, variable.1, block.0, block.1, comment.0, comment.1]
    }
}

/// What backslashes in text literals of `{{ }}` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backslashes {
    /// Themselves: values in playbooks.
    Literal,
    /// Python's escapes: template files and conditions.
    Escapes,
}

/// A text for the parser, and where its bytes came from.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) text: String,
    /// Offsets in `text` with the offset in the original that they stand for, ascending.
    origins: Vec<(u32, u32)>,
}

impl Prepared {
    /// The range in the original that a range of the prepared text came from.
    pub(crate) fn origin(&self, start: u32, end: u32) -> At {
        let start = self.origin_of(start);
        At { start, end: self.origin_of(end).max(start) }
    }

    fn origin_of(&self, at: u32) -> u32 {
        let next = self.origins.partition_point(|(new, _)| *new <= at);
        let Some((new, old)) = next.checked_sub(1).and_then(|index| self.origins.get(index)) else {
            return at;
        };
        let limit = self.origins.get(next).map_or(u32::MAX, |(_, old)| *old);
        old.saturating_add(at - new).min(limit)
    }

    fn copy(&mut self, original: &str, range: Range<usize>) {
        if let Some(part) = original.get(range.clone())
            && !part.is_empty()
        {
            self.origins.push((offset(self.text.len()), offset(range.start)));
            self.text.push_str(part);
        }
    }

    fn replace(&mut self, with: &str, at: usize) {
        self.origins.push((offset(self.text.len()), offset(at)));
        self.text.push_str(with);
    }
}

/// Prepares a template; `base` bytes of it (a header line) are left out.
pub(crate) fn prepare_template(
    original: &str,
    base: usize,
    delimiters: Delimiters<'_>,
    backslashes: Backslashes,
) -> Prepared {
    let mut prepared = Prepared::default();
    let mut at = base;
    while let Some((start, kind)) = next_tag(original, at, delimiters) {
        prepared.copy(original, at..start);
        at = match kind {
            Tag::Comment => {
                let end = find(original, start + 2, delimiters.comment.1).unwrap_or(original.len());
                prepared.copy(original, start..end);
                end
            }
            Tag::Variable => {
                tag(&mut prepared, original, start, delimiters.variable, (false, backslashes))
            }
            Tag::Block => {
                let end = tag(
                    &mut prepared,
                    original,
                    start,
                    delimiters.block,
                    (true, Backslashes::Escapes),
                );
                match raw_end(original, start, end, delimiters.block) {
                    Some(raw_end) => {
                        // Jinja keeps the newline behind `raw` even when it trims blocks.
                        let close = delimiters.block.1;
                        if !original
                            .get(..end)
                            .is_some_and(|tag| tag.ends_with(&format!("-{close}")))
                        {
                            prepared.text.truncate(prepared.text.len() - close.len());
                            prepared.replace(&format!("+{close}"), end - close.len());
                        }
                        prepared.copy(original, end..raw_end);
                        raw_end
                    }
                    None => end,
                }
            }
        };
    }
    prepared.copy(original, at..original.len());
    prepared
}

/// Prepares a bare expression.
pub(crate) fn prepare_expression(original: &str) -> Prepared {
    let mut prepared = Prepared::default();
    let tokens = tokens(original, 0, None).0;
    rewrite(&mut prepared, original, 0, original.len(), &tokens, Backslashes::Escapes, None);
    prepared
}

#[derive(Debug, Clone, Copy)]
enum Tag {
    Variable,
    Block,
    Comment,
}

fn find(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| at + from)
}

fn next_tag(text: &str, from: usize, delimiters: Delimiters<'_>) -> Option<(usize, Tag)> {
    [
        (delimiters.variable.0, Tag::Variable),
        (delimiters.block.0, Tag::Block),
        (delimiters.comment.0, Tag::Comment),
    ]
    .into_iter()
    .filter_map(|(start, tag)| find(text, from, start).map(|at| (at, start.len(), tag)))
    .min_by_key(|(at, length, _)| (*at, usize::MAX - length))
    .map(|(at, _, tag)| (at, tag))
}

/// If the block tag at `start..end` is `raw`, where its `endraw` tag ends.
fn raw_end(text: &str, start: usize, end: usize, block: (&str, &str)) -> Option<usize> {
    let word = |from: usize, to: usize| {
        text.get(from..to).map(|tag| tag.trim_matches(['-', '+']).trim().to_owned())
    };
    let inner_end = end.checked_sub(block.1.len())?;
    if word(start + block.0.len(), inner_end)? != "raw" {
        return None;
    }
    let mut at = end;
    loop {
        let open = find(text, at, block.0)?;
        let close = find(text, open, block.1)?;
        if word(open + block.0.len(), close)? == "endraw" {
            return Some(close + block.1.len());
        }
        at = open + block.0.len();
    }
}

/// Rewrites one tag and returns where it ends.
fn tag(
    prepared: &mut Prepared,
    text: &str,
    start: usize,
    delimiters: (&str, &str),
    (block, backslashes): (bool, Backslashes),
) -> usize {
    let mut inner = start + delimiters.0.len();
    if text.get(inner..).is_some_and(|rest| rest.starts_with(['-', '+'])) {
        inner += 1;
    }
    prepared.copy(text, start..inner);
    let (tokens, end) = tokens(text, inner, Some(delimiters.1));
    let parentheses = if block { for_tuple(text, &tokens) } else { bare_tuple(&tokens) };
    rewrite(prepared, text, inner, end, &tokens, backslashes, parentheses);
    let after = find(text, end, delimiters.1).map_or(text.len(), |at| at + delimiters.1.len());
    prepared.copy(text, end..after);
    after
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Text,
    Open,
    Close,
    Comma,
    Operator,
    /// A blank that Jinja accepts and minijinja does not.
    OddBlank,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    range: Range<usize>,
    depth: usize,
}

/// The tokens from `from` to the closing delimiter, and where that (with its sign) begins.
fn tokens(text: &str, from: usize, close: Option<&str>) -> (Vec<Token>, usize) {
    let mut tokens: Vec<Token> = Vec::new();
    let mut depth = 0usize;
    let mut at = from;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if depth == 0
            && let Some(close) = close
            && (rest.starts_with(close)
                || rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(close)))
        {
            return (tokens, at);
        }
        let Some(character) = rest.chars().next() else { break };
        let (kind, length) = match character {
            '\'' | '"' => (Kind::Text, text_length(rest, character)),
            '(' | '[' | '{' => (Kind::Open, 1),
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                (Kind::Close, 1)
            }
            ',' => (Kind::Comma, 1),
            _ if character.is_alphabetic() || character == '_' => (Kind::Word, word_length(rest)),
            _ if character.is_ascii_digit() => (Kind::Number, word_length(rest)),
            _ if character.is_whitespace() && !character.is_ascii() => {
                (Kind::OddBlank, character.len_utf8())
            }
            _ if character.is_whitespace() => {
                at += character.len_utf8();
                continue;
            }
            _ => (Kind::Operator, character.len_utf8()),
        };
        tokens.push(Token { kind, range: at..at + length, depth });
        if kind == Kind::Open {
            depth += 1;
        }
        at += length;
    }
    (tokens, text.len())
}

fn word_length(text: &str) -> usize {
    text.find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(text.len())
}

fn text_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if !escaped && character == quote {
            return index + 1;
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}

/// Where parentheses go so that the items of a bare tuple stand in them.
type Parentheses = Option<(usize, usize)>;

fn span_with_comma(tokens: &[Token]) -> Parentheses {
    let comma = tokens.iter().any(|token| token.depth == 0 && token.kind == Kind::Comma);
    let (first, last) = (tokens.first()?, tokens.last()?);
    comma.then_some((first.range.start, last.range.end))
}

fn bare_tuple(tokens: &[Token]) -> Parentheses {
    span_with_comma(tokens)
}

fn for_tuple(text: &str, tokens: &[Token]) -> Parentheses {
    let is = |token: &Token, word: &str| {
        token.kind == Kind::Word && token.depth == 0 && text.get(token.range.clone()) == Some(word)
    };
    if !tokens.first().is_some_and(|token| is(token, "for")) {
        return None;
    }
    let start = tokens.iter().position(|token| is(token, "in"))? + 1;
    let rest = tokens.get(start..)?;
    let end = rest.iter().position(|token| is(token, "if") || is(token, "recursive"));
    span_with_comma(rest.get(..end.unwrap_or(rest.len()))?)
}

fn rewrite(
    prepared: &mut Prepared,
    text: &str,
    start: usize,
    end: usize,
    tokens: &[Token],
    backslashes: Backslashes,
    parentheses: Parentheses,
) {
    let mut at = start;
    let mut previous: Option<&Token> = None;
    for token in tokens {
        if parentheses.is_some_and(|(open, _)| open == token.range.start) {
            prepared.copy(text, at..token.range.start);
            prepared.replace("(", token.range.start);
            at = token.range.start;
        }
        let source = text.get(token.range.clone()).unwrap_or("");
        let replacement = match token.kind {
            Kind::OddBlank => Some(" ".repeat(token.range.len())),
            Kind::Operator if source == "+" && is_unary(text, previous) => Some(" ".into()),
            Kind::Text if source.contains('\\') => Some(literal(source, backslashes)),
            _ => None,
        };
        if let Some(replacement) = replacement {
            prepared.copy(text, at..token.range.start);
            prepared.replace(&replacement, token.range.start);
            at = token.range.end;
        }
        if parentheses.is_some_and(|(_, close)| close == token.range.end) {
            prepared.copy(text, at..token.range.end);
            prepared.replace(")", token.range.end);
            at = token.range.end;
        }
        if token.kind != Kind::OddBlank {
            previous = Some(token);
        }
    }
    prepared.copy(text, at..end);
}

/// Whether a `+` behind this token has no left operand.
fn is_unary(text: &str, previous: Option<&Token>) -> bool {
    match previous.map(|token| (token.kind, text.get(token.range.clone()).unwrap_or(""))) {
        None => true,
        Some((Kind::Open | Kind::Comma | Kind::Operator, _)) => true,
        Some((Kind::Word, word)) => {
            matches!(word, "in" | "not" | "and" | "or" | "if" | "else" | "elif")
        }
        _ => false,
    }
}

/// A text literal in minijinja's escapes.
fn literal(source: &str, backslashes: Backslashes) -> String {
    let quote = source.chars().next().unwrap_or('\'');
    let mut out = String::with_capacity(source.len() + 4);
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let Some(next) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        let mut length = next.len_utf8();
        match (backslashes, next) {
            // The classic dialect would double this one, too, and then fail to parse.
            (Backslashes::Literal, _) if next == quote => {
                out.push_str("\\\\\\");
                out.push(next);
            }
            (Backslashes::Literal, _) => {
                out.push_str("\\\\");
                length = if next == '\\' {
                    out.push_str("\\\\");
                    length
                } else {
                    0
                };
            }
            (Backslashes::Escapes, '\n') => {}
            (Backslashes::Escapes, 'a') => out.push_str("\\x07"),
            (Backslashes::Escapes, 'v') => out.push_str("\\x0b"),
            (Backslashes::Escapes, 'U') => {
                let code = rest.get(1..9).and_then(|code| u32::from_str_radix(code, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(character) => {
                        out.push(character);
                        length = 9;
                    }
                    None => out.push_str("\\\\U"),
                }
            }
            (Backslashes::Escapes, '/') => out.push_str("\\\\/"),
            (Backslashes::Escapes, _) => {
                out.push('\\');
                out.push(next);
            }
        }
        rest = rest.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{Backslashes, Delimiters, prepare_expression, prepare_template};

    const STANDARD: Delimiters<'static> =
        Delimiters { variable: ("{{", "}}"), block: ("{%", "%}"), comment: ("{#", "#}") };

    fn template(text: &str) -> String {
        prepare_template(text, 0, STANDARD, Backslashes::Literal).text
    }

    #[test]
    fn closes_the_gaps() {
        for (written, parsed) in [
            ("{{\u{a0}x\u{a0}}}", "{{  x  }}"),
            ("{{ +1 }} {{ 1 + +2 }} {{- x +}}", "{{  1 }} {{ 1 +  2 }} {{- x +}}"),
            ("{% for x in 'a', 'b' if x %}", "{% for x in ('a', 'b') if x %}"),
            ("{% for x in f(1, 2) %}", "{% for x in f(1, 2) %}"),
            ("{{ a, b }}", "{{ (a, b) }}"),
            (r"{{ x | regex_replace('\d', '\\1') }}", r"{{ x | regex_replace('\\d', '\\\\1') }}"),
            (r"{% set x = '\d' %}\d", r"{% set x = '\d' %}\d"),
            ("{% raw %}{{ +x }}{% endraw %}{{ +x }}", "{% raw +%}{{ +x }}{% endraw %}{{  x }}"),
            ("{# {{ +x }} #}", "{# {{ +x }} #}"),
            ("{{ {'a': {'b': +1}} }}", "{{ {'a': {'b':  1}} }}"),
            ("{{ 'it''s' + \"}}\" }}", "{{ 'it''s' + \"}}\" }}"),
            ("{{ unfinished", "{{ unfinished"),
        ] {
            assert_eq!(template(written), parsed, "{written}");
        }
        assert_eq!(
            prepare_expression(r"x is match('a\/b') and +1").text,
            r"x is match('a\\/b') and  1"
        );
    }

    #[test]
    fn remembers_origins() {
        let text = r"{{ a, '\d', bc }}";
        let prepared = prepare_template(text, 0, STANDARD, Backslashes::Literal);
        let at = prepared.text.find("bc").unwrap();
        let origin = prepared.origin(u32::try_from(at).unwrap(), u32::try_from(at + 2).unwrap());
        assert_eq!(&text[origin.start as usize..origin.end as usize], "bc");
    }
}
