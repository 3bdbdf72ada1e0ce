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
            let Some(escaped) = characters.get(at).copied() else {
                return Err("bad escape (end of pattern)".to_owned());
            };
            at += 1;
            let rest = characters.get(at..).unwrap_or_default();
            let group = match escaped {
                'g' => {
                    let (group, length) = named_group(rest, pattern)?;
                    at += length;
                    group
                }
                '0' => {
                    let length = octal_length(rest).min(2);
                    literal.push(octal(rest, length));
                    at += length;
                    continue;
                }
                '1'..='9' => {
                    if ('1'..='3').contains(&escaped) && octal_length(rest) >= 2 {
                        let digits = characters.get(at - 1..at + 2).unwrap_or_default();
                        literal.push(octal(digits, 3));
                        at += 2;
                        continue;
                    }
                    let second = rest.first().and_then(|digit| digit.to_digit(10));
                    let first = escaped.to_digit(10).unwrap_or_default();
                    let number = match second {
                        Some(second) => {
                            at += 1;
                            first * 10 + second
                        }
                        None => first,
                    };
                    usize::try_from(number).unwrap_or(usize::MAX)
                }
                'n' | 't' | 'r' | 'f' | 'v' | 'a' | 'b' => {
                    literal.push(control(escaped));
                    continue;
                }
                letter if letter.is_ascii_alphabetic() => {
                    return Err(format!("bad escape \\{letter}"));
                }
                '\\' => {
                    literal.push('\\');
                    continue;
                }
                other => {
                    literal.push('\\');
                    literal.push(other);
                    continue;
                }
            };
            if group >= pattern.groups() {
                return Err(format!("invalid group reference {group}"));
            }
            parts.push(Part::Text(std::mem::take(&mut literal)));
            parts.push(Part::Group(group));
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
