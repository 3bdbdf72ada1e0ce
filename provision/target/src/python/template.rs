//! Replacement templates of Python's `re.sub` and `match.expand`.

use super::pattern::{Captured, Pattern};

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    /// Reads a template; the groups it names must be in the pattern.
    ///
    /// # Errors
    /// With Python's words.
    pub fn new(text: &str, pattern: &Pattern) -> Result<Template, String> {
        let characters: Vec<char> = text.chars().collect();
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(character) = characters.get(at) {
            at += 1;
            if *character != '\\' {
                literal.push(*character);
                continue;
            }
            let (escape, length) = escape(characters.get(at..).unwrap_or_default(), pattern)?;
            at += length;
            match escape {
                Escape::Text(text) => literal.push_str(&text),
                Escape::Group(group) if group < pattern.groups() => {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    parts.push(Part::Group(group));
                }
                Escape::Group(group) => return Err(format!("invalid group reference {group}")),
            }
        }
        parts.push(Part::Text(literal));
        Ok(Template { parts })
    }

    /// Adds the expansion for a match; groups that took no part are empty.
    pub fn expand(&self, captured: &Captured<'_>, into: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => into.push_str(text),
                Part::Group(group) => into.push_str(captured.group(*group).unwrap_or_default()),
            }
        }
    }
}

enum Escape {
    Text(String),
    Group(usize),
}

/// Behind a backslash: what it means and how many characters it takes.
fn escape(rest: &[char], pattern: &Pattern) -> Result<(Escape, usize), String> {
    let Some((first, behind)) = rest.split_first() else {
        return Err("bad escape (end of pattern)".to_owned());
    };
    let text = |character: char| Escape::Text(character.to_string());
    Ok(match *first {
        'g' => {
            let (group, length) = named_group(behind, pattern)?;
            (Escape::Group(group), length + 1)
        }
        '0' => {
            let length = octal_length(behind).min(2);
            (text(octal(behind, length)), length + 1)
        }
        '1'..='3' if octal_length(behind) >= 2 => (text(octal(rest, 3)), 3),
        digit @ '1'..='9' => {
            let second = behind.first().and_then(|digit| digit.to_digit(10));
            let first = digit.to_digit(10).unwrap_or_default();
            let (number, length) = match second {
                Some(second) => (first * 10 + second, 2),
                None => (first, 1),
            };
            (Escape::Group(usize::try_from(number).unwrap_or(usize::MAX)), length)
        }
        letter @ ('n' | 't' | 'r' | 'f' | 'v' | 'a' | 'b') => (text(control(letter)), 1),
        letter if letter.is_ascii_alphabetic() => return Err(format!("bad escape \\{letter}")),
        '\\' => (text('\\'), 1),
        other => (Escape::Text(format!("\\{other}")), 1),
    })
}

/// Behind `\g`: the group and the characters its name takes.
fn named_group(rest: &[char], pattern: &Pattern) -> Result<(usize, usize), String> {
    let Some(('<', name)) = rest.split_first().map(|(first, name)| (*first, name)) else {
        return Err("missing <".to_owned());
    };
    let Some(length) = name.iter().position(|character| *character == '>') else {
        return Err("missing >, unterminated name".to_owned());
    };
    let name: String = name.iter().take(length).collect();
    let group = match name.parse::<usize>() {
        Ok(group) => Some(group),
        Err(_) => pattern.group_named(&name),
    };
    match group {
        Some(group) => Ok((group, length + 2)),
        None => Err(format!("unknown group name '{name}'")),
    }
}

fn octal_length(characters: &[char]) -> usize {
    characters.iter().take_while(|character| ('0'..='7').contains(*character)).count()
}

fn octal(characters: &[char], length: usize) -> char {
    let code = characters
        .iter()
        .take(length)
        .fold(0, |code, digit| code * 8 + digit.to_digit(8).unwrap_or_default());
    char::from_u32(code).unwrap_or('\0')
}

fn control(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'f' => '\u{c}',
        'v' => '\u{b}',
        'a' => '\u{7}',
        _ => '\u{8}',
    }
}
