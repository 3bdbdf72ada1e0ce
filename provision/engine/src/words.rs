//! Splitting a command line into words, as a POSIX shell would without expanding anything.

/// The words of a line.
///
/// # Errors
/// When a quote is not closed.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' if !is_in_template(word.as_deref()) => {
                let quote = character;
                let current = word.get_or_insert_with(String::new);
                loop {
                    match characters.next() {
                        None => return Err(format!("no closing quotation ({quote}) in: {line}")),
                        Some(next) if next == quote => break,
                        Some('\\') if quote == '"' => match characters.next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => current.push(next),
                            Some(next) => current.extend(['\\', next]),
                            None => current.push('\\'),
                        },
                        Some(next) => current.push(next),
                    }
                }
            }
            '\\' => {
                let next = characters.next().unwrap_or('\\');
                word.get_or_insert_with(String::new).push(next);
            }
            space if space.is_whitespace() && !is_in_template(word.as_deref()) => {
                words.extend(word.take());
            }
            other => word.get_or_insert_with(String::new).push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Whether a word has an expression that is still open: blanks in it part nothing.
fn is_in_template(word: Option<&str>) -> bool {
    word.is_some_and(|word| {
        [("{{", "}}"), ("{%", "%}")]
            .iter()
            .any(|(open, close)| word.matches(open).count() > word.matches(close).count())
    })
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_as_a_shell() {
        assert_eq!(split(r#"a 'b c' "d \" e" f\ g"#).unwrap(), ["a", "b c", "d \" e", "f g"]);
        let expected = ["a={{ b | default('x') }}", "c=d"];
        assert_eq!(split(r#"a="{{ b | default('x') }}" c=d"#).unwrap(), expected);
        assert_eq!(split("a={{ b('x') }} c=d").unwrap(), ["a={{ b('x') }}", "c=d"]);
        assert_eq!(split("  ").unwrap(), Vec::<String>::new());
        assert_eq!(split("''").unwrap(), [""]);
        assert!(split("'a").is_err());
    }
}
