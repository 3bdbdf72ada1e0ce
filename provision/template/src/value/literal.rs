//! Python's `ast.literal_eval`, with JSON's `true`, `false` and `null`: what the classic dialect
//! does to text that looks like a list, a dictionary or a boolean.

use minijinja::Value;

use super::{Pairs, dict_value, list_value, negate, tuple_value};

/// Nesting beyond which text stays text (Python raises `MemoryError` at about 100).
const MAX_NESTING: usize = 90;

/// The value that the text spells, if it is a literal.
pub(crate) fn parse_literal(text: &str) -> Option<Value> {
    parse(text, true)
}

/// The same without JSON's names, as native types have it.
pub(crate) fn parse_python_literal(text: &str) -> Option<Value> {
    // Python refuses leading blanks; `parse` would skip them.
    parse(text, false).filter(|_| !text.starts_with([' ', '\t', '\n']))
}

fn parse(text: &str, knows_json: bool) -> Option<Value> {
    let mut reader = Reader { rest: text, nesting: 0, knows_json };
    let value = reader.value()?;
    reader.blanks();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    nesting: usize,
    /// Whether `true`, `false` and `null` are values.
    knows_json: bool,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        while let Some(comment) = self.rest.strip_prefix('#') {
            let end = comment.find('\n').unwrap_or(comment.len());
            self.rest = comment.get(end..).unwrap_or("").trim_start();
        }
    }

    fn eat(&mut self, token: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return None;
        }
        self.blanks();
        let value = match self.rest.chars().next()? {
            '[' => self.items(']').map(|(items, _)| list_value(items)),
            '(' => self.parenthesised(),
            '{' => self.braces(),
            '-' => {
                self.rest = self.rest.get(1..)?;
                self.number_only().and_then(|value| negate(&value).ok())
            }
            '+' => {
                self.rest = self.rest.get(1..)?;
                self.number_only()
            }
            '0'..='9' | '.' => self.number(),
            _ => self.word_or_text(),
        };
        self.nesting -= 1;
        value
    }

    fn number_only(&mut self) -> Option<Value> {
        self.blanks();
        match self.rest.chars().next()? {
            '0'..='9' | '.' => self.number(),
            _ => None,
        }
    }

    /// Items up to `close`, and whether a comma was seen.
    fn items(&mut self, close: char) -> Option<(Vec<Value>, bool)> {
        self.rest = self.rest.get(1..)?;
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            if self.eat(close) {
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.value()?);
            let here = self.eat(',');
            comma = comma || here;
            if !here {
                return self.eat(close).then_some((items, comma));
            }
        }
    }

    fn parenthesised(&mut self) -> Option<Value> {
        let (mut items, comma) = self.items(')')?;
        if items.len() == 1 && !comma { items.pop() } else { Some(tuple_value(items)) }
    }

    fn braces(&mut self) -> Option<Value> {
        self.rest = self.rest.get(1..)?;
        let mut pairs = Pairs::new();
        let mut first = true;
        loop {
            if self.eat('}') {
                return Some(dict_value(pairs));
            }
            let key = self.value()?;
            if super::is_list(&key) && !key.is_tuple() || super::is_dict(&key) {
                return None;
            }
            if !self.eat(':') {
                return if first { self.set(key) } else { None };
            }
            let value = self.value()?;
            pairs.insert(key, value);
            first = false;
            if !self.eat(',') {
                return self.eat('}').then(|| dict_value(pairs));
            }
        }
    }

    /// A set literal; there is no set here, so it becomes a list without repetitions.
    fn set(&mut self, first: Value) -> Option<Value> {
        let mut items = vec![first];
        while self.eat(',') {
            if self.eat('}') {
                return Some(list_value(items));
            }
            let item = self.value()?;
            if !items.iter().any(|other| super::equal(other, &item)) {
                items.push(item);
            }
        }
        self.eat('}').then(|| list_value(items))
    }

    fn number(&mut self) -> Option<Value> {
        let lower = self.rest.get(..2).map(str::to_ascii_lowercase);
        if let Some(radix) = match lower.as_deref() {
            Some("0x") => Some(16),
            Some("0o") => Some(8),
            Some("0b") => Some(2),
            _ => None,
        } {
            let digits = self.rest.get(2..)?;
            let end = digits
                .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                .unwrap_or(digits.len());
            let (number, rest) = digits.split_at_checked(end)?;
            self.rest = rest;
            return i128::from_str_radix(&number.replace('_', ""), radix)
                .ok()
                .map(super::int_value);
        }
        let mut end = 0;
        let mut exponent = false;
        for (index, character) in self.rest.char_indices() {
            let sign = matches!(character, '+' | '-') && exponent;
            exponent = matches!(character, 'e' | 'E');
            if !(character.is_ascii_digit() || matches!(character, '.' | '_') || exponent || sign) {
                break;
            }
            end = index + 1;
        }
        let (number, rest) = self.rest.split_at_checked(end)?;
        if rest.starts_with(|character: char| character.is_alphanumeric()) || number.ends_with('_')
        {
            return None;
        }
        self.rest = rest;
        let number = number.replace('_', "");
        if number.contains(['.', 'e', 'E']) {
            return number.parse::<f64>().ok().map(Value::from);
        }
        // Python has no integers with leading zeros, except zero itself.
        if number.len() > 1 && number.starts_with('0') && number.bytes().any(|digit| digit != b'0')
        {
            return None;
        }
        number.parse::<i128>().ok().map(super::int_value)
    }

    fn word_or_text(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        if rest.starts_with(['\'', '"']) {
            return self.texts();
        }
        self.rest = rest;
        match word {
            "True" => Some(Value::from(true)),
            "False" => Some(Value::from(false)),
            "None" => Some(Value::from(())),
            "true" if self.knows_json => Some(Value::from(true)),
            "false" if self.knows_json => Some(Value::from(false)),
            "null" if self.knows_json => Some(Value::from(())),
            _ => None,
        }
    }

    /// One or more adjacent text literals.
    fn texts(&mut self) -> Option<Value> {
        let mut text = String::new();
        let mut bytes: Option<bool> = None;
        loop {
            let end = self.rest.find(['\'', '"'])?;
            let prefix = self.rest.get(..end)?.to_ascii_lowercase();
            let (raw, binary) = match prefix.as_str() {
                "" | "u" => (false, false),
                "r" => (true, false),
                "b" => (false, true),
                "br" | "rb" => (true, true),
                _ => return None,
            };
            if *bytes.get_or_insert(binary) != binary {
                return None;
            }
            self.rest = self.rest.get(end..)?;
            self.quoted(raw, &mut text)?;
            self.blanks();
            let next =
                self.rest.trim_start_matches(|character: char| character.is_ascii_alphabetic());
            if !next.starts_with(['\'', '"']) || self.rest.len() - next.len() > 2 {
                break;
            }
        }
        if bytes == Some(true) {
            let bytes = text.chars().map(|character| u8::try_from(character).ok()).collect();
            return Option::<Vec<u8>>::map(bytes, Value::from_bytes);
        }
        Some(Value::from(text))
    }

    fn quoted(&mut self, raw: bool, out: &mut String) -> Option<()> {
        let quote = self.rest.chars().next()?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let long = self.rest.starts_with(&triple);
        let mut rest = self.rest.get(if long { 3 } else { 1 }..)?;
        loop {
            if long && let Some(after) = rest.strip_prefix(triple.as_str()) {
                self.rest = after;
                return Some(());
            }
            let character = rest.chars().next()?;
            rest = rest.get(character.len_utf8()..)?;
            match character {
                _ if character == quote && !long => {
                    self.rest = rest;
                    return Some(());
                }
                '\n' if !long => return None,
                '\\' if raw => {
                    let next = rest.chars().next()?;
                    out.push('\\');
                    out.push(next);
                    rest = rest.get(next.len_utf8()..)?;
                }
                '\\' => rest = unescape(rest, out)?,
                _ => out.push(character),
            }
        }
    }
}

/// Appends the character behind a backslash and returns what follows. Unknown escapes keep their
/// backslash, as Python does.
pub(crate) fn unescape<'a>(rest: &'a str, out: &mut String) -> Option<&'a str> {
    let character = rest.chars().next()?;
    let after = rest.get(character.len_utf8()..)?;
    let simple = match character {
        '\n' => return Some(after),
        '\\' | '\'' | '"' => character,
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' | 'u' | 'U' => {
            let width = match character {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let code = u32::from_str_radix(after.get(..width)?, 16).ok()?;
            out.push(char::from_u32(code)?);
            return after.get(width..);
        }
        '0'..='7' => {
            let width =
                rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            let code = u32::from_str_radix(rest.get(..width)?, 8).ok()?;
            out.push(char::from_u32(code)?);
            return rest.get(width..);
        }
        _ => {
            out.push('\\');
            character
        }
    };
    out.push(simple);
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::parse_literal;
    use crate::value::repr_of;

    fn shown(text: &str) -> Option<String> {
        parse_literal(text).map(|value| repr_of(&value))
    }

    #[test]
    fn reads_what_python_reads() {
        for (text, expected) in [
            ("[1, 'a', None, true]", "[1, 'a', None, True]"),
            ("{'a': [1, 2,], \"b\": {}}", "{'a': [1, 2], 'b': {}}"),
            ("(1,)", "(1,)"),
            ("(1)", "1"),
            ("-0x10", "-16"),
            ("1_000.5e-3", "1.0005"),
            ("'a' \"b\"", "'ab'"),
            (r"'a\n\x41\d'", r"'a\nA\\d'"),
            ("b'x'", "b'x'"),
            ("[]", "[]"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn leaves_the_rest_alone() {
        for text in
            ["[a]", "[1", "{{ x }}", "[1 2]", "01", "{'a' 1}", "f'x'", "", "[1] x", "'a\nb'"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
