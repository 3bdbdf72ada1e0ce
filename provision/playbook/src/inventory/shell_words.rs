//! Words of a host line as Python's `shlex.split(line, comments=True)` sees them.

/// One word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, quotes and escapes removed.
    pub(super) text: String,
    /// Byte offset of its first character in the line, quote included.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
}

/// What is wrong with a line, and the byte offset of the character that began it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unclosed {
    /// A quote without its partner.
    Quote(usize),
    /// A backslash at the end.
    Escape(usize),
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Blank,
    Word,
    Quoted { quote: char, at: usize },
    Escaped { quote: Option<(char, usize)>, at: usize },
}

/// Splits a line; a `#` outside quotes ends it, even within a word.
pub(super) fn split(line: &str) -> Result<Vec<Word>, Unclosed> {
    let mut words = Vec::new();
    let mut word = Word { text: String::new(), start: 0, end: 0 };
    let mut state = State::Blank;
    for (at, character) in line.char_indices() {
        let end = at + character.len_utf8();
        state = match (state, character) {
            (State::Blank, ' ' | '\t' | '\r' | '\n') => State::Blank,
            (State::Word, ' ' | '\t' | '\r' | '\n') => {
                words.push(std::mem::replace(
                    &mut word,
                    Word { text: String::new(), start: 0, end: 0 },
                ));
                State::Blank
            }
            (State::Blank | State::Word, '#') => break,
            (State::Blank, _) => {
                word.start = at;
                within_word(character, at, &mut word)
            }
            (State::Word, _) => within_word(character, at, &mut word),
            (State::Quoted { quote, .. }, _) if character == quote => State::Word,
            (State::Quoted { quote: '"', at: opened }, '\\') => {
                State::Escaped { quote: Some(('"', opened)), at }
            }
            (State::Quoted { .. }, _) => {
                word.text.push(character);
                state
            }
            (State::Escaped { quote, .. }, _) => {
                // Within double quotes a backslash escapes only itself and the quote.
                if quote.is_some() && !matches!(character, '"' | '\\') {
                    word.text.push('\\');
                }
                word.text.push(character);
                quote.map_or(State::Word, |(quote, at)| State::Quoted { quote, at })
            }
        };
        if state != State::Blank {
            word.end = end;
        }
    }
    match state {
        State::Blank => {}
        State::Word => words.push(word),
        State::Quoted { at, .. } => return Err(Unclosed::Quote(at)),
        State::Escaped { at, .. } => return Err(Unclosed::Escape(at)),
    }
    Ok(words)
}

fn within_word(character: char, at: usize, word: &mut Word) -> State {
    match character {
        '"' | '\'' => State::Quoted { quote: character, at },
        '\\' => State::Escaped { quote: None, at },
        _ => {
            word.text.push(character);
            State::Word
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn splits_as_python_does() {
        assert_eq!(texts("web a=1  b='x y'"), ["web", "a=1", "b=x y"]);
        assert_eq!(texts(r#"h a="x \"y\" \z" b='\'"#), ["h", r#"a=x "y" \z"#, r"b=\"]);
        assert_eq!(texts(r"h a=\ b c=\\"), ["h", "a= b", r"c=\"]);
        assert_eq!(texts("h a=b#c d"), ["h", "a=b"]);
        assert_eq!(texts("h 'a=#b' # c"), ["h", "a=#b"]);
        assert_eq!(texts("h '' a=''"), ["h", "", "a="]);
        assert_eq!(texts("h a='x'\"y\"z"), ["h", "a=xyz"]);
        assert_eq!(split("h a='b"), Err(Unclosed::Quote(4)));
        assert_eq!(split("h a=\\"), Err(Unclosed::Escape(4)));
    }

    #[test]
    fn words_know_their_place() {
        let words = split("ä  b='x y' ").unwrap();
        assert_eq!((words[1].start, words[1].end), (4, 11));
        assert_eq!((words[0].start, words[0].end), (0, 2));
    }
}
