//! Strings of Python: prefixes, quotes, escapes.

/// One string literal.
pub(super) struct Literal<'text> {
    pub(super) text: String,
    /// Whether it was a `b''` literal.
    pub(super) bytes: bool,
    /// What follows it.
    pub(super) rest: &'text str,
}

/// The string literal that `text` begins with: `None` if it begins with none, `Some(None)` if
/// the literal is broken or of a kind that is no constant.
pub(super) fn literal(text: &str) -> Option<Option<Literal<'_>>> {
    let quote_at = text.find(['"', '\'']).filter(|at| *at <= 2)?;
    let (prefix, quoted) = text.split_at(quote_at);
    let (raw, bytes) = match prefix.to_ascii_lowercase().as_str() {
        "" | "u" => (false, false),
        "r" => (true, false),
        "b" => (false, true),
        "br" | "rb" => (true, true),
        "f" | "fr" | "rf" => return Some(None),
        _ => return None,
    };
    Some(content(quoted, raw, bytes))
}

fn content(quoted: &str, raw: bool, bytes: bool) -> Option<Literal<'_>> {
    let quote = quoted.get(..1)?;
    let triple = quoted.get(..3).filter(|start| *start == quote.repeat(3));
    let close = triple.unwrap_or(quote);
    let mut rest = quoted.get(close.len()..)?;
    let mut text = String::new();
    loop {
        if let Some(behind) = rest.strip_prefix(close) {
            let ascii = text.is_ascii() || !bytes;
            return ascii.then_some(Literal { text, bytes, rest: behind });
        }
        let character = rest.chars().next()?;
        rest = rest.get(character.len_utf8()..)?;
        if character != '\\' {
            text.push(character);
            continue;
        }
        if raw {
            let escaped = rest.chars().next()?;
            text.push('\\');
            text.push(escaped);
            rest = rest.get(escaped.len_utf8()..)?;
            continue;
        }
        rest = escape(rest, bytes, &mut text)?;
    }
}

/// Appends what the escape behind a backslash stands for; returns the text behind it.
fn escape<'text>(rest: &'text str, bytes: bool, text: &mut String) -> Option<&'text str> {
    let character = rest.chars().next()?;
    let behind = rest.get(character.len_utf8()..)?;
    let plain = match character {
        '\\' | '\'' | '"' => character,
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => return code(behind, 2, text),
        'u' if !bytes => return code(behind, 4, text),
        'U' if !bytes => return code(behind, 8, text),
        // Names of characters would need Unicode's table; such a value stays as it was written.
        'N' if !bytes => return None,
        '0'..='7' => {
            let length = rest.chars().take(3).take_while(|digit| digit.is_digit(8)).count();
            let value = u32::from_str_radix(rest.get(..length)?, 8).ok()?;
            text.push(char::from_u32(value)?);
            return rest.get(length..);
        }
        // Python keeps an escape that it does not know.
        other => {
            text.push('\\');
            other
        }
    };
    text.push(plain);
    Some(behind)
}

fn code<'text>(rest: &'text str, length: usize, text: &mut String) -> Option<&'text str> {
    let digits =
        rest.get(..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
    rest.get(length..)
}
