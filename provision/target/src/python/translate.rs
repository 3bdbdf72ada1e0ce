//! From Python's syntax of regular expressions to that of `fancy-regex`.
//!
//! The two mean the same by the same words nearly everywhere. What differs: `$` before a final
//! line end, `\Z`, literal braces, brackets inside classes, set operators that Python lacks,
//! octal escapes, comments.

use super::Options;

/// Groups inside groups.
const DEPTH_LIMIT: usize = 200;

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at position {position}")]
pub struct SyntaxError {
    reason: &'static str,
    position: usize,
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    multi_line: bool,
    verbose: bool,
}

struct Translator<'a> {
    characters: &'a [char],
    at: usize,
    output: String,
    /// Flags of the enclosing groups, the innermost last.
    flags: Vec<Flags>,
    /// Whether something stands before that a quantifier can repeat.
    repeatable: bool,
}

/// Where a match may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Anywhere.
    Nowhere,
    /// At the beginning of the text.
    Text,
    /// Where the search begins.
    Search,
}

/// The pattern for `fancy-regex`.
pub(super) fn translate(
    pattern: &str,
    options: Options,
    anchor: Anchor,
) -> Result<String, SyntaxError> {
    let characters: Vec<char> = pattern.chars().collect();
    let flags = Flags { multi_line: options.multi_line, verbose: false };
    let mut translator = Translator {
        characters: &characters,
        at: 0,
        output: String::with_capacity(pattern.len() + 16),
        flags: vec![flags],
        repeatable: false,
    };
    let global = translator.global_flags()?;
    translator.run()?;
    let mut letters = String::new();
    if options.multi_line {
        letters.push('m');
    }
    if options.dot_all {
        letters.push('s');
    }
    letters.extend(global.chars().filter(|letter| !letters.contains(*letter)).collect::<Vec<_>>());
    let prefix = if letters.is_empty() { String::new() } else { format!("(?{letters})") };
    let body = translator.output;
    Ok(match anchor {
        Anchor::Nowhere => format!("{prefix}{body}"),
        Anchor::Text => format!("{prefix}\\A(?:{body})"),
        Anchor::Search => format!("{prefix}\\G(?:{body})"),
    })
}

impl Translator<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek(0);
        if character.is_some() {
            self.at += 1;
        }
        character
    }

    fn error(&self, reason: &'static str) -> SyntaxError {
        SyntaxError { reason, position: self.at }
    }

    fn now(&self) -> Flags {
        self.flags.last().copied().unwrap_or(Flags { multi_line: false, verbose: false })
    }

    fn push(&mut self, text: &str) {
        self.output.push_str(text);
        self.repeatable = true;
    }

    /// Something without a width, which Python doesn't let a quantifier repeat.
    fn assertion(&mut self, text: &str) {
        self.output.push_str(text);
        self.repeatable = false;
    }

    /// Flags at the very beginning hold for the whole pattern.
    fn global_flags(&mut self) -> Result<String, SyntaxError> {
        let mut found = String::new();
        while self.peek(0) == Some('(') && self.peek(1) == Some('?') {
            let letters: String = self
                .characters
                .iter()
                .skip(self.at + 2)
                .take_while(|c| c.is_alphabetic())
                .collect();
            if letters.is_empty() || letters.starts_with('P') {
                break;
            }
            if self.peek(2 + letters.chars().count()) != Some(')') {
                break;
            }
            self.at += 3 + letters.chars().count();
            for letter in letters.chars() {
                match letter {
                    'i' | 's' => found.push(letter),
                    'm' => {
                        found.push(letter);
                        if let Some(flags) = self.flags.last_mut() {
                            flags.multi_line = true;
                        }
                    }
                    'x' => {
                        found.push(letter);
                        if let Some(flags) = self.flags.last_mut() {
                            flags.verbose = true;
                        }
                    }
                    'a' | 'u' | 'L' => {}
                    _ => return Err(self.error("unknown flag")),
                }
            }
        }
        Ok(found)
    }

    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(character) = self.next() {
            match character {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    if self.flags.len() == 1 {
                        return Err(self.error("unbalanced parenthesis"));
                    }
                    self.flags.pop();
                    self.push(")");
                }
                '$' => {
                    let text = if self.now().multi_line { "$" } else { "(?=\\n?\\z)" };
                    self.assertion(text);
                }
                '^' => self.assertion("^"),
                '{' => self.brace(),
                '}' => self.push("\\}"),
                '*' | '+' | '?' => {
                    if !self.repeatable {
                        return Err(self.error("nothing to repeat"));
                    }
                    self.output.push(character);
                    // A following `?` or `+` makes it lazy or possessive.
                    if let Some(suffix @ ('?' | '+')) = self.peek(0) {
                        self.at += 1;
                        self.output.push(suffix);
                    }
                    self.repeatable = false;
                }
                '|' => {
                    self.output.push('|');
                    self.repeatable = false;
                }
                '#' if self.now().verbose => {
                    while self.peek(0).is_some_and(|next| next != '\n') {
                        self.at += 1;
                    }
                }
                blank if self.now().verbose && blank.is_whitespace() => {}
                other => {
                    let mut text = [0; 4];
                    self.push(other.encode_utf8(&mut text));
                }
            }
        }
        if self.flags.len() > 1 {
            return Err(self.error("missing ), unterminated subpattern"));
        }
        Ok(())
    }

    /// Behind `(`.
    fn open(&mut self) -> Result<(), SyntaxError> {
        if self.flags.len() > DEPTH_LIMIT {
            return Err(self.error("too many nested groups"));
        }
        let mut flags = self.now();
        self.repeatable = false;
        if self.peek(0) != Some('?') {
            self.output.push('(');
            self.flags.push(flags);
            return Ok(());
        }
        self.at += 1;
        match (self.peek(0), self.peek(1)) {
            (Some('#'), _) => {
                while self.next().is_some_and(|next| next != ')') {}
                return Ok(());
            }
            (Some('P'), Some('=')) => {
                self.at += 2;
                let name = self.until(')')?;
                self.push(&format!("(?P={name})"));
                return Ok(());
            }
            (Some('P'), Some('<')) => {
                self.at += 2;
                let name = self.until('>')?;
                self.output.push_str(&format!("(?P<{name}>"));
            }
            (Some('<'), Some(kind @ ('=' | '!'))) => {
                self.at += 2;
                self.output.push_str(&format!("(?<{kind}"));
            }
            (Some(kind @ ('=' | '!' | ':' | '>')), _) => {
                self.at += 1;
                self.output.push_str(&format!("(?{kind}"));
            }
            (Some('('), _) => {
                self.at += 1;
                let name = self.until(')')?;
                let reference = if name.bytes().all(|byte| byte.is_ascii_digit()) {
                    name
                } else {
                    format!("<{name}>")
                };
                self.output.push_str(&format!("(?({reference})"));
            }
            _ => {
                let letters = self.until(':')?;
                let (on, off) = letters.split_once('-').unwrap_or((&letters, ""));
                if !(on.chars().chain(off.chars())).all(|letter| "aiLmsux".contains(letter)) {
                    return Err(self.error("unknown extension"));
                }
                flags.multi_line = (flags.multi_line || on.contains('m')) && !off.contains('m');
                flags.verbose = (flags.verbose || on.contains('x')) && !off.contains('x');
                let known = |letters: &str| -> String {
                    letters.chars().filter(|letter| "imsx".contains(*letter)).collect()
                };
                let (on, off) = (known(on), known(off));
                let off = if off.is_empty() { off } else { format!("-{off}") };
                self.output.push_str(&format!("(?{on}{off}:"));
            }
        }
        self.flags.push(flags);
        Ok(())
    }

    fn until(&mut self, end: char) -> Result<String, SyntaxError> {
        let mut text = String::new();
        while let Some(character) = self.next() {
            if character == end {
                return Ok(text);
            }
            if !(character.is_alphanumeric() || matches!(character, '_' | '-')) {
                return Err(self.error("bad character in group name or flags"));
            }
            text.push(character);
        }
        Err(self.error("unterminated name or flags"))
    }

    /// Behind `{`: a quantifier, or just a brace.
    fn brace(&mut self) {
        let rest: String =
            self.characters.iter().skip(self.at).take_while(|next| **next != '}').collect();
        let closed = self.peek(rest.chars().count()) == Some('}');
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let quantifier = match rest.split_once(',') {
            Some((low, high)) if digits(low) && digits(high) => {
                let low = if low.is_empty() { "0" } else { low };
                Some(format!("{{{low},{high}}}"))
            }
            None if !rest.is_empty() && digits(&rest) => Some(format!("{{{rest}}}")),
            _ => None,
        };
        match quantifier {
            Some(quantifier) if closed && self.repeatable => {
                self.at += rest.chars().count() + 1;
                self.output.push_str(&quantifier);
                if let Some(suffix @ ('?' | '+')) = self.peek(0) {
                    self.at += 1;
                    self.output.push(suffix);
                }
                self.repeatable = false;
            }
            _ => self.push("\\{"),
        }
    }

    /// Behind a backslash outside of a class.
    fn escape(&mut self) -> Result<(), SyntaxError> {
        let Some(character) = self.next() else {
            return Err(self.error("bad escape (end of pattern)"));
        };
        match character {
            'A' | 'b' | 'B' => self.assertion(&format!("\\{character}")),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.push(&format!("\\{character}")),
            'Z' => self.assertion("\\z"),
            '1'..='9' if !self.is_octal(character) => {
                let mut number = String::from(character);
                if let Some(digit) = self.peek(0).filter(char::is_ascii_digit) {
                    self.at += 1;
                    number.push(digit);
                }
                // In a group, so that a digit behind it isn't taken for a part of the number.
                self.push(&format!("(?:\\{number})"));
            }
            _ => {
                let code = self.character_escape(character)?;
                self.push(&code);
            }
        }
        Ok(())
    }

    /// Whether three octal digits follow, of which `first` is the first.
    fn is_octal(&self, first: char) -> bool {
        let octal = |character: Option<char>| character.is_some_and(|c| ('0'..='7').contains(&c));
        ('0'..='3').contains(&first) && octal(self.peek(0)) && octal(self.peek(1))
    }

    /// An escape that means one character, inside or outside of a class.
    fn character_escape(&mut self, character: char) -> Result<String, SyntaxError> {
        let code = match character {
            'n' => 10,
            't' => 9,
            'r' => 13,
            'f' => 12,
            'v' => 11,
            'a' => 7,
            'x' => self.number(2, 16)?,
            'u' => self.number(4, 16)?,
            'U' => self.number(8, 16)?,
            '0'..='7' => {
                self.at -= 1;
                let length = (0..3)
                    .take_while(|ahead| self.peek(*ahead).is_some_and(|c| ('0'..='7').contains(&c)))
                    .count();
                self.number(length, 8)?
            }
            letter if letter.is_ascii_alphanumeric() => return Err(self.error("bad escape")),
            other => u32::from(other),
        };
        Ok(literal(code))
    }

    fn number(&mut self, digits: usize, radix: u32) -> Result<u32, SyntaxError> {
        let text: String = self.characters.iter().skip(self.at).take(digits).collect();
        if text.chars().count() < digits {
            return Err(self.error("incomplete escape"));
        }
        self.at += digits;
        u32::from_str_radix(&text, radix).map_err(|_| self.error("bad escape"))
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<(), SyntaxError> {
        self.output.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.output.push('^');
        }
        let mut first = true;
        loop {
            let Some(character) = self.next() else {
                return Err(self.error("unterminated character set"));
            };
            match character {
                ']' if !first => break,
                '\\' => {
                    let Some(escaped) = self.next() else {
                        return Err(self.error("bad escape (end of pattern)"));
                    };
                    match escaped {
                        'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                            self.output.push('\\');
                            self.output.push(escaped);
                        }
                        'b' => self.output.push_str("\\x08"),
                        other => {
                            let code = self.character_escape(other)?;
                            self.output.push_str(&code);
                        }
                    }
                }
                // A range, unless it stands first or last.
                '-' if !first && self.peek(0).is_some_and(|next| next != ']') => {
                    self.output.push('-');
                }
                other if other.is_alphanumeric() => self.output.push(other),
                other => self.output.push_str(&literal(u32::from(other))),
            }
            first = false;
        }
        self.push("]");
        Ok(())
    }
}

/// One character, in a form that has no other meaning anywhere.
fn literal(code: u32) -> String {
    match char::from_u32(code) {
        Some(character) if character.is_ascii_alphanumeric() => character.to_string(),
        _ => format!("\\x{{{code:x}}}"),
    }
}
