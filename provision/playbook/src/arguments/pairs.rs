//! `key=value` pairs out of an argument string, exactly as Ansible's `parse_kv` reads them.

use super::split::{Unbalanced, Word, split};

/// Which `key=value` words a free-form module takes out of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepsWords {
    /// Every pair is an argument.
    None,
    /// Only the words that command modules know are arguments; others belong to the text.
    Unknown,
}

/// Words that `command`, `shell`, `script` and `raw` take out of their text (Ansible's
/// `parse_kv`).
const COMMAND_WORDS: &[&str] = &[
    "creates",
    "removes",
    "chdir",
    "executable",
    "warn",
    "stdin",
    "stdin_add_newline",
    "strip_empty_ends",
];

/// A key and value with their ranges of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) key_range: (usize, usize),
    pub(crate) value: String,
    pub(crate) value_range: (usize, usize),
}

/// What an argument string holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Pairs {
    /// Pairs in the order written.
    pub(crate) pairs: Vec<Pair>,
    /// The other words, joined as Ansible joins them, with their range.
    pub(crate) text: Option<(String, (usize, usize))>,
}

/// Reads an argument string.
pub(crate) fn parse_pairs(text: &str, keeps: KeepsWords) -> Result<Pairs, Unbalanced> {
    let mut pairs = Vec::new();
    let mut rest: Vec<(String, usize, usize)> = Vec::new();
    for word in split(text)? {
        let decoded = decode_escapes(&word.text);
        if !decoded.contains('=') {
            rest.push((word.text, word.start, word.end));
            continue;
        }
        let Some(at) = unescaped_equals(&decoded) else {
            rest.push((decoded.replace("\\=", "="), word.start, word.end));
            continue;
        };
        let (key, value) = decoded.split_at(at);
        let value = value.get(1..).unwrap_or("");
        if keeps == KeepsWords::Unknown && !COMMAND_WORDS.contains(&key) {
            rest.push((word.text, word.start, word.end));
            continue;
        }
        pairs.push(pair(&word, key, value));
    }
    let text = join(&rest);
    Ok(Pairs { pairs, text })
}

fn pair(word: &Word, key: &str, value: &str) -> Pair {
    let trimmed = value.trim();
    let unquoted = unquote(trimmed);
    // Positions are those in the raw word; escapes make them a little too short at the end.
    let raw_equals = word.text.find('=').unwrap_or(0);
    let raw_value = word.text.get(raw_equals + 1..).unwrap_or("");
    let leading = raw_value.len() - raw_value.trim_start().len();
    let quote = usize::from(unquoted.len() != trimmed.len());
    let start = word.start + raw_equals + 1 + leading + quote;
    let end = word.start + raw_equals + 1 + raw_value.trim_end().len();
    Pair {
        key: key.trim().to_owned(),
        key_range: (word.start, word.start + raw_equals),
        value: unquoted.to_owned(),
        value_range: (start.min(word.end), end.saturating_sub(quote).clamp(start, word.end)),
    }
}

/// The first `=` after the first character that no backslash stands before.
fn unescaped_equals(word: &str) -> Option<usize> {
    let bytes = word.as_bytes();
    (1..bytes.len()).find(|at| bytes.get(*at) == Some(&b'=') && bytes.get(at - 1) != Some(&b'\\'))
}

fn join(words: &[(String, usize, usize)]) -> Option<(String, (usize, usize))> {
    let (_, start, _) = words.first()?;
    let (_, _, end) = words.last()?;
    let mut text = String::new();
    for (word, _, _) in words {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(word);
    }
    Some((text, (*start, *end)))
}

/// Removes quotes that enclose a value.
fn unquote(value: &str) -> &str {
    let mut reversed = value.chars().rev();
    let (last, before) = (reversed.next(), reversed.next());
    let quoted = before.is_some()
        && value.chars().next() == last
        && matches!(last, Some('"' | '\''))
        && before != Some('\\');
    if quoted { value.get(1..value.len() - 1).unwrap_or(value) } else { value }
}

/// Python's escapes that Ansible decodes: `\n`, `\t`, `\x41`, `\u00e4`… Named characters
/// (`\N{…}`) stay as they are.
fn decode_escapes(word: &str) -> String {
    let mut decoded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(rest.get(..at).unwrap_or(""));
        let tail = rest.get(at + 1..).unwrap_or("");
        match escape(tail) {
            Some((character, length)) => {
                decoded.push(character);
                rest = tail.get(length..).unwrap_or("");
            }
            None => {
                decoded.push('\\');
                rest = tail;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The character that an escape means and its length without the backslash.
fn escape(tail: &str) -> Option<(char, usize)> {
    let letter = tail.chars().next()?;
    let digits = match letter {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        '\\' | '\'' | '"' => return Some((letter, 1)),
        'a' => return Some(('\u{7}', 1)),
        'b' => return Some(('\u{8}', 1)),
        'f' => return Some(('\u{c}', 1)),
        'n' => return Some(('\n', 1)),
        'r' => return Some(('\r', 1)),
        't' => return Some(('\t', 1)),
        'v' => return Some(('\u{b}', 1)),
        _ => return None,
    };
    let hex = tail.get(1..=digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let character = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
    Some((character, digits + 1))
}

#[cfg(test)]
mod tests {
    use super::{KeepsWords, parse_pairs};

    fn parsed(text: &str, keeps: KeepsWords) -> (Vec<(String, String)>, Option<String>) {
        let pairs = parse_pairs(text, keeps).unwrap();
        (
            pairs.pairs.into_iter().map(|pair| (pair.key, pair.value)).collect(),
            pairs.text.map(|(text, _)| text),
        )
    }

    fn expected(
        pairs: &[(&str, &str)],
        text: Option<&str>,
    ) -> (Vec<(String, String)>, Option<String>) {
        (
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            text.map(str::to_owned),
        )
    }

    /// Expected values come from ansible-core 2.18's `parse_kv`.
    #[test]
    fn reads_what_ansible_reads() {
        let all = KeepsWords::None;
        assert_eq!(parsed("a=b c=\"d e\"", all), expected(&[("a", "b"), ("c", "d e")], None));
        assert_eq!(parsed("msg='{{ a }} b'", all), expected(&[("msg", "{{ a }} b")], None));
        assert_eq!(parsed("a=b\\nc", all), expected(&[("a", "b\nc")], None));
        assert_eq!(parsed("a=\\x41\\u00e4", all), expected(&[("a", "Aä")], None));
        assert_eq!(parsed("=a b\\=c", all), expected(&[], Some("=a b=c")));
        assert_eq!(parsed("a=", all), expected(&[("a", "")], None));
        let some = KeepsWords::Unknown;
        assert_eq!(
            parsed("echo A=1 chdir=/tmp  \"x y\" creates='/a b'", some),
            expected(&[("chdir", "/tmp"), ("creates", "/a b")], Some("echo A=1 \"x y\""))
        );
        assert_eq!(
            parsed("set -e\necho one\n  echo two", some),
            expected(&[], Some("set -e\necho one\n  echo two"))
        );
    }

    #[test]
    fn values_know_their_place() {
        let text = "src=a dest='b c'";
        let pairs = parse_pairs(text, KeepsWords::None).unwrap();
        let (start, end) = pairs.pairs[1].value_range;
        assert_eq!(&text[start..end], "b c");
    }
}
