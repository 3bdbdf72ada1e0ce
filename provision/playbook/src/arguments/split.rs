//! Splits an argument string into words exactly where Ansible's `split_args` does: at blanks
//! outside of quotes and template brackets.

/// One word with the range of bytes it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word. Blanks and newlines that follow it belong to it.
    pub(crate) text: String,
    /// First byte in the string.
    pub(crate) start: usize,
    /// One past the last byte in the string.
    pub(crate) end: usize,
}

/// Quotes or template brackets that are never closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbalanced {
    /// What is open.
    pub(crate) open: &'static str,
    /// The byte at which the word with it begins.
    pub(crate) at: usize,
}

/// The words of an argument string.
pub(crate) fn split(text: &str) -> Result<Vec<Word>, Unbalanced> {
    let mut state = State::default();
    let mut offset = 0;
    let lines: Vec<&str> = if text.is_empty() { Vec::new() } else { text.split('\n').collect() };
    let last = lines.len().saturating_sub(1);
    for (number, line) in lines.iter().enumerate() {
        let mut continued = false;
        for (index, token) in line.split(' ').enumerate() {
            let end = offset + token.len();
            if token.is_empty() && index != 0 {
                state.extend(" ", offset, end);
            } else if token == "\\" && state.quote.is_none() {
                continued = true;
            } else {
                state.token(token, index, offset);
            }
            offset = end + 1;
        }
        if number != last && !continued {
            state.extend("\n", offset.saturating_sub(1), offset);
        }
    }
    state.finish()
}

#[derive(Default)]
struct State {
    words: Vec<Word>,
    quote: Option<char>,
    depths: [usize; 3],
    /// Where the word began in which something was opened last.
    opened_at: usize,
}

/// The three kinds of template brackets.
const BRACKETS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

impl State {
    fn token(&mut self, token: &str, index: usize, offset: usize) {
        let end = offset + token.len();
        let was_quoted = self.quote.is_some();
        let was_bracketed = self.depths.iter().any(|depth| *depth > 0);
        self.quote = quote_after(token, self.quote);
        let quoted = self.quote.is_some();
        let mut appended = true;
        if quoted && !was_quoted && !was_bracketed {
            self.push(token, offset);
            self.opened_at = offset;
        } else if was_bracketed || quoted || was_quoted {
            if index > 0 {
                self.extend(" ", offset, offset);
            }
            self.extend(token, offset, end);
        } else {
            appended = false;
        }
        for (depth, (open, close)) in BRACKETS.iter().enumerate() {
            let Some(current) = self.depths.get_mut(depth) else { continue };
            let after = (*current + token.matches(open).count())
                .saturating_sub(token.matches(close).count());
            let changed = after != *current;
            if after > *current {
                self.opened_at = offset;
            }
            *current = after;
            if changed && !appended {
                self.push(token, offset);
                appended = true;
            }
        }
        if !appended && !token.is_empty() {
            self.push(token, offset);
        }
    }

    fn push(&mut self, token: &str, start: usize) {
        self.words.push(Word { text: token.to_owned(), start, end: start + token.len() });
    }

    fn extend(&mut self, text: &str, start: usize, end: usize) {
        match self.words.last_mut() {
            Some(word) => {
                word.text.push_str(text);
                word.end = word.end.max(end);
            }
            None => self.words.push(Word { text: text.to_owned(), start, end }),
        }
    }

    fn finish(self) -> Result<Vec<Word>, Unbalanced> {
        let bracket = self.depths.iter().zip(BRACKETS).find(|(depth, _)| **depth > 0);
        let open = match (self.quote, bracket) {
            (_, Some((_, (open, _)))) => open,
            (Some('"'), None) => "\"",
            (Some(_), None) => "'",
            (None, None) => return Ok(self.words),
        };
        Err(Unbalanced { open, at: self.opened_at })
    }
}

/// The quote that is open after a token.
fn quote_after(token: &str, mut quote: Option<char>) -> Option<char> {
    let mut previous = None;
    for current in token.chars() {
        if matches!(current, '"' | '\'') && previous != Some('\\') {
            quote = match quote {
                Some(open) if open == current => None,
                Some(open) => Some(open),
                None => Some(current),
            };
        }
        previous = Some(current);
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::{Unbalanced, split};

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().into_iter().map(|word| word.text).collect()
    }

    /// Expected values come from ansible-core 2.18's `split_args`.
    #[test]
    fn splits_where_ansible_splits() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a", &["a"]),
            ("a=b c=\"foo bar\"", &["a=b", "c=\"foo bar\""]),
            ("a=\"echo \\\"hello world\\\"\" b=bar", &["a=\"echo \\\"hello world\\\"\"", "b=bar"]),
            ("a={{ foo | default('x y') }} b", &["a={{ foo | default('x y') }}", "b"]),
            ("one\n  two", &["one\n ", "two"]),
            ("one \\\ntwo", &["one", "two"]),
            ("a={% if x %}1{% else %}2{% endif %}", &["a={% if x %}1{% else %}2{% endif %}"]),
            ("a  b", &["a ", "b"]),
            ("  a", &[" ", "a"]),
            ("{{ a }} {{ b }}", &["{{ a }}", "{{ b }}"]),
            ("x='a\nb' c", &["x='a\nb'", "c"]),
            ("a=\"x  y\"", &["a=\"x  y\""]),
        ];
        for (text, expected) in table {
            assert_eq!(&words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn says_what_is_open() {
        assert_eq!(split("a 'b c"), Err(Unbalanced { open: "'", at: 2 }));
        assert_eq!(split("a {{ b"), Err(Unbalanced { open: "{{", at: 2 }));
    }

    #[test]
    fn words_know_their_place() {
        let words = split("src=a  dest='b c'").unwrap();
        assert_eq!((words[1].start, words[1].end), (7, 17));
    }
}
