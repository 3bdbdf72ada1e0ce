//! Who may use the API from other machines: a file with a line for each token,
//! `NAME ROLE sha256:DIGEST`. The token itself is nowhere: only who has it knows it.

use diagnostics::{Diagnostic, SourceId, Span, closest};
use sha2::{Digest, Sha256};

/// Bytes of randomness in a token.
pub const TOKEN_BYTES: usize = 32;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Look at everything but snapshots: these have the variables of apps.
    Read,
    /// Look at everything and change it. Whoever deploys runs commands.
    Operate,
}

impl Role {
    const ALL: [Role; 2] = [Role::Read, Role::Operate];

    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
        }
    }
}

/// Who has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As the log names them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    digest: [u8; 32],
}

impl User {
    /// Who has this token.
    pub fn new(name: &str, role: Role, token: &str) -> Self {
        User { name: name.to_owned(), role, digest: Sha256::digest(token.as_bytes()).into() }
    }

    /// The line of the file.
    pub fn line(&self) -> String {
        format!("{} {} sha256:{}", self.name, self.role.name(), hex::encode(self.digest))
    }
}

/// Everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(Vec<User>);

impl Users {
    /// Reads a file. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// All that is wrong, with its place.
    pub fn read(text: &str, source: SourceId) -> Result<Self, Vec<Diagnostic>> {
        let (mut users, mut wrong) = (Vec::<User>::new(), Vec::new());
        let mut begin = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let content = line.trim();
            if !content.is_empty() && !content.starts_with('#') {
                match user(line, number, begin, source) {
                    Ok(user) if users.iter().any(|known| known.name == user.name) => {
                        let span = Span::new(source, begin, begin + line.trim_end().len());
                        wrong.push(
                            Diagnostic::error("token-file", format!("two tokens of {}", user.name))
                                .at(span, "this name was there before")
                                .hint("names say in the log who did what: give each its own"),
                        );
                    }
                    Ok(user) => users.push(user),
                    Err(diagnostic) => wrong.push(*diagnostic),
                }
            }
            begin += line.len();
        }
        if wrong.is_empty() { Ok(Users(users)) } else { Err(wrong) }
    }

    /// Who has a token. Digests are compared, not tokens: how long that takes tells nothing.
    pub fn find(&self, token: &str) -> Option<&User> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.iter().find(|user| user.digest == digest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.0.iter()
    }
}

/// The user of a line that begins at a place. Lines that may have a token in them are not shown.
fn user(
    line: &str,
    number: usize,
    begin: usize,
    source: SourceId,
) -> Result<User, Box<Diagnostic>> {
    let hidden = |what: &str, hint: &str| {
        let message = format!("line {number}: {what}");
        Box::new(Diagnostic::error("token-file", message).hint(hint))
    };
    let words = words(line);
    let [(_, name), (role_at, role), (_, digest)] = words.as_slice() else {
        let hint = "`scheduler token new NAME --role ROLE --tokens FILE` writes such lines";
        return Err(hidden("expected NAME ROLE sha256:DIGEST", hint));
    };
    let bytes = digest.strip_prefix("sha256:").and_then(|text| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
    });
    let Some(digest) = bytes else {
        let hint = "a token itself doesn't belong here; its digest: printf %s TOKEN | sha256sum";
        return Err(hidden("expected sha256: and 64 hexadecimal digits at the end", hint));
    };
    let Some(role) = Role::ALL.into_iter().find(|known| known.name() == *role) else {
        let near = closest(role, Role::ALL.map(Role::name));
        let span = Span::new(source, begin + role_at, begin + role_at + role.len());
        let diagnostic = Diagnostic::error("token-file", format!("`{role}` is no role"))
            .at(span, "expected `read` or `operate`")
            .hint_if(near.map(|near| format!("did you mean `{near}`?")));
        return Err(Box::new(diagnostic));
    };
    Ok(User { name: (*name).to_owned(), role, digest })
}

/// Words of a line, with where they begin.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for part in line.split(|character: char| character.is_ascii_whitespace()) {
        if !part.is_empty() {
            words.push((at, part));
        }
        at += part.len() + 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use diagnostics::{Sources, Style, render_all};

    use super::*;

    fn read(text: &str) -> Result<Users, String> {
        let mut sources = Sources::default();
        let source = sources.add("tokens", text);
        Users::read(text, source).map_err(|wrong| render_all(&wrong, &sources, Style::Plain))
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        let written = [
            User::new("deployer", Role::Operate, "secret"),
            User::new("dashboard", Role::Read, "other"),
        ];
        let lines: Vec<String> = written.iter().map(User::line).collect();
        let users = read(&format!("# who\n\n{}\n  {}", lines[0], lines[1])).unwrap();
        assert_eq!(users.iter().cloned().collect::<Vec<User>>(), written);
        assert_eq!(users.find("secret"), Some(&written[0]));
        assert_eq!(users.find("other").map(|user| user.role), Some(Role::Read));
        for unknown in ["", "Secret", "secret ", &lines[0]] {
            assert_eq!(users.find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let digest = "0".repeat(64);
        for (text, expected) in [
            ("deployer operate".to_owned(), "line 1: expected NAME ROLE sha256:DIGEST"),
            (format!("a read sha256:{digest}\nb operator sha256:{digest}"), "tokens:2:3"),
            (format!("a read sha256:{digest}\na read sha256:{digest}"), "two tokens of a"),
            ("#\na read 0123".to_owned(), "line 2: expected sha256: and 64"),
            (format!("a read sha256:{digest}0"), "line 1: expected sha256: and 64"),
            ("a read sha256:zz more".to_owned(), "expected NAME ROLE sha256:DIGEST"),
        ] {
            let told = read(&text).unwrap_err();
            assert!(told.contains(expected), "{text}\n{told}");
            assert!(!told.contains("0123"), "{told}");
        }
        let misspelt = format!("b operater sha256:{digest}");
        assert!(read(&misspelt).unwrap_err().contains("did you mean `operate`?"));
    }
}
