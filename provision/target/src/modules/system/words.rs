//! Text as a shell and as Python's path functions see it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::names;

/// Splits a command line into words like a POSIX shell does (quotes and backslashes, nothing
/// else), as Python's `shlex.split`.
///
/// # Errors
/// When a quotation isn't closed; in Python's words, which users know.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inner) => word.push(inner),
                        None => return Err("No closing quotation"),
                    }
                }
            }
            '"' => double_quoted(&mut characters, word.get_or_insert_default())?,
            '\\' => match characters.next() {
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err("No escaped character"),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The first word of a command line, and the text behind it as it is.
///
/// # Errors
/// As [`split`].
pub fn first(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.trim_start();
    let mut quoted = None;
    let mut escaped = false;
    let end = text.char_indices().find(|(_, character)| {
        let blank = quoted.is_none() && !escaped && matches!(character, ' ' | '\t' | '\r' | '\n');
        match (quoted, character) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quoted = Some(*character),
            (Some(open), close) if open == *close => quoted = None,
            _ => {}
        }
        blank
    });
    let (word, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    let mut words = split(word)?;
    if words.is_empty() { Err("No command") } else { Ok((words.swap_remove(0), rest)) }
}

fn double_quoted(
    characters: &mut std::str::Chars<'_>,
    word: &mut String,
) -> Result<(), &'static str> {
    loop {
        match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => return Err("No closing quotation"),
            },
            Some(inner) => word.push(inner),
            None => return Err("No closing quotation"),
        }
    }
}

/// Quotes a word for a shell, as Python's `shlex.quote`.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "@%+=:,./-_".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}

/// The environment that a call's processes see: the helper's own and the call's additions.
#[derive(Debug, Clone)]
pub struct Environment<'a> {
    additions: &'a BTreeMap<String, String>,
}

impl<'a> Environment<'a> {
    /// With these additions.
    #[must_use]
    pub fn new(additions: &'a BTreeMap<String, String>) -> Self {
        Environment { additions }
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.additions.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// Replaces `$NAME` and `${NAME}`; unknown names stay as they are (`os.path.expandvars`).
    #[must_use]
    pub fn expand_variables(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, consumed) = variable(after);
            match name.and_then(|name| self.get(name)) {
                Some(value) => {
                    expanded.push_str(&value);
                    rest = after.get(consumed..).unwrap_or_default();
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        expanded
    }

    /// Replaces a leading `~` or `~user` (`os.path.expanduser`).
    #[must_use]
    pub fn expand_home(&self, text: &str) -> String {
        let Some(rest) = text.strip_prefix('~') else { return text.to_owned() };
        let (user, tail) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let home = if user.is_empty() {
            self.get("HOME").or_else(|| {
                let uid = nix::unistd::geteuid().as_raw();
                let user = names::user_by_id(uid).ok().flatten()?;
                Some(user.home.to_string_lossy().into_owned())
            })
        } else {
            let user = names::user_by_name(user).ok().flatten();
            user.map(|user| user.home.to_string_lossy().into_owned())
        };
        match home {
            Some(home) => {
                let joined = format!("{}{tail}", home.trim_end_matches('/'));
                if joined.is_empty() { "/".to_owned() } else { joined }
            }
            None => text.to_owned(),
        }
    }

    /// A parameter of type `path`.
    #[must_use]
    pub fn expand_path(&self, text: &str) -> PathBuf {
        PathBuf::from(self.expand_home(&self.expand_variables(text)))
    }
}

/// The name behind a `$`, and how many bytes it takes.
fn variable(after: &str) -> (Option<&str>, usize) {
    if let Some(braced) = after.strip_prefix('{') {
        return match braced.find('}') {
            Some(end) => (braced.get(..end), end + 2),
            None => (None, 0),
        };
    }
    let end = after
        .find(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .unwrap_or(after.len());
    (after.get(..end).filter(|name| !name.is_empty()), end)
}

/// Lines as Python's `str.splitlines` sees them.
#[must_use]
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some((at, separator)) =
            rest.char_indices().find(|(_, character)| ends_line(*character))
        else {
            lines.push(rest);
            break;
        };
        let (line, tail) = rest.split_at(at);
        lines.push(line);
        let after = tail.get(separator.len_utf8()..).unwrap_or_default();
        rest = match separator {
            '\r' => after.strip_prefix('\n').unwrap_or(after),
            _ => after,
        };
    }
    lines
}

fn ends_line(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_split_as_python_does() {
        let cases: &[(&str, &[&str])] = &[
            ("a b  c", &["a", "b", "c"]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            (r#"a\ b "c\"d" "e\n""#, &["a b", "c\"d", "e\\n"]),
            ("'' x", &["", "x"]),
            ("a#b #c", &["a#b", "#c"]),
            ("x\n y", &["x", "y"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), *words, "{text}");
        }
        assert_eq!(split("'a"), Err("No closing quotation"));
        assert_eq!(split("a\\"), Err("No escaped character"));
    }

    #[test]
    fn the_first_word() {
        assert_eq!(first("  a b").unwrap(), ("a".to_owned(), " b"));
        assert_eq!(first("'a b'c \"d\"").unwrap(), ("a bc".to_owned(), " \"d\""));
        assert_eq!(first(r"a\ b c").unwrap(), ("a b".to_owned(), " c"));
        assert_eq!(first("a").unwrap(), ("a".to_owned(), ""));
        assert!(first("").is_err());
        assert!(first("'a").is_err());
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_splitting(words in proptest::collection::vec(".*", 0..5)) {
            let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
            prop_assert_eq!(split(&line.join(" ")).unwrap(), words);
        }
    }

    #[test]
    fn variables_and_homes() {
        let additions = BTreeMap::from([
            ("NAME".to_owned(), "value".to_owned()),
            ("HOME".to_owned(), "/home/me/".to_owned()),
        ]);
        let environment = Environment::new(&additions);
        assert_eq!(
            environment.expand_variables("$NAME-${NAME}$NO_SUCH${"),
            "value-value$NO_SUCH${"
        );
        assert_eq!(environment.expand_variables("a$ $NAMEX b$"), "a$ $NAMEX b$");
        assert_eq!(environment.expand_home("~/x"), "/home/me/x");
        assert_eq!(environment.expand_home("~root/x"), "/root/x");
        assert_eq!(environment.expand_home("~nobody-at-all"), "~nobody-at-all");
        assert_eq!(environment.expand_home("a~"), "a~");
    }

    #[test]
    fn lines_split_as_python_does() {
        assert_eq!(lines("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(lines("a\n\nb\n"), ["a", "", "b"]);
        assert_eq!(lines(""), Vec::<&str>::new());
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines("a\u{2028}b\u{c}"), ["a", "b"]);
    }
}
