//! Pure parser of `ssh_config` text: lines into keywords and arguments, quoted as OpenSSH does
//! (`misc.c`: `strdelim`, `argv_split`). Never panics; a malformed line is kept as such, because
//! it matters only if it applies to the host.

/// One line that is neither empty nor a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigLine {
    /// Line number, from 1.
    pub number: usize,
    /// The keyword in lower case.
    pub keyword: String,
    /// The arguments without quotes, or what is wrong with the line.
    pub arguments: Result<Vec<String>, &'static str>,
}

/// Content of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshConfigText {
    /// The lines in order.
    pub lines: Vec<ConfigLine>,
}

/// Parses a file. Any text is accepted.
#[must_use]
pub fn parse_ssh_config(text: &str) -> SshConfigText {
    let lines = text.split('\n').enumerate().filter_map(|(index, line)| {
        let line =
            line.trim_end_matches([' ', '\t', '\r', '\u{c}']).trim_start_matches([' ', '\t']);
        let (keyword, rest) = split_keyword(line);
        if keyword.is_empty() || keyword.starts_with('#') {
            return None;
        }
        let number = index + 1;
        Some(ConfigLine {
            number,
            keyword: keyword.to_ascii_lowercase(),
            arguments: split_arguments(rest),
        })
    });
    SshConfigText { lines: lines.collect() }
}

/// The keyword ends at a blank or at one `=`, which may have blanks around it.
fn split_keyword(line: &str) -> (&str, &str) {
    if let Some((keyword, rest)) = line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return (keyword, rest);
    }
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let (keyword, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let rest = rest.trim_start_matches([' ', '\t']);
    (keyword, rest.strip_prefix('=').unwrap_or(rest))
}

fn split_arguments(text: &str) -> Result<Vec<String>, &'static str> {
    let mut arguments = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|character| matches!(character, ' ' | '\t')).is_some() {}
        match characters.peek() {
            None | Some('#') => return Ok(arguments),
            Some(_) => {}
        }
        let mut argument = String::new();
        let mut quote = None;
        while let Some(character) = characters.next() {
            match (character, quote) {
                ('\\', _) => {
                    let escaped = characters.next_if(|next| {
                        matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ')
                    });
                    argument.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(character),
                (end, Some(begin)) if end == begin => quote = None,
                (other, _) => argument.push(other),
            }
        }
        if quote.is_some() {
            return Err("a quotation mark is not closed");
        }
        arguments.push(argument);
    }
}

#[cfg(test)]
mod tests {
    use super::parse_ssh_config;
    use proptest::prelude::*;

    #[test]
    fn keywords_and_arguments_are_split_as_openssh_does() {
        let parse = |text: &str| {
            let parsed = parse_ssh_config(text);
            let line = parsed.lines.first().cloned().unwrap();
            (line.keyword, line.arguments)
        };
        let is = |keyword: &str, arguments: &[&str]| {
            let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
            (keyword.to_owned(), Ok(arguments))
        };
        assert_eq!(parse("Port 22"), is("port", &["22"]));
        assert_eq!(parse(" \tPORT=22 # why\r"), is("port", &["22"]));
        assert_eq!(parse("Port = 22"), is("port", &["22"]));
        assert_eq!(parse("Host a b#c"), is("host", &["a", "b#c"]));
        assert_eq!(parse("IdentityFile \"a b\"c 'd'"), is("identityfile", &["a bc", "d"]));
        assert_eq!(parse(r#"User a\ b\"c\d"#), is("user", &["a b\"c\\d"]));
        assert!(parse("User \"a").1.is_err());
        assert!(parse_ssh_config("# a\n\n  \t\n#b").lines.is_empty());
        assert_eq!(parse_ssh_config("\n\nPort 1").lines.first().unwrap().number, 3);
    }

    proptest! {
        #[test]
        fn any_text_is_accepted(text in "\\PC{0,80}|[ \t=\"'\\\\#a\n\r]{0,40}") {
            let _ = parse_ssh_config(&text);
        }
    }
}
