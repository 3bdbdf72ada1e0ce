//! Digests as upstreams publish them: bare, as `sha256sum` writes them, as BSD tools do, and as
//! `gpg --print-md` does. Pure: it reads text.

/// Which digest is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Hexadecimal digits of a digest.
    #[must_use]
    pub fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    /// Its name, as options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

/// Why a list says nothing about a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// It has digests, but of other files.
    #[error("it has no {algorithm} digest of `{file}`")]
    OtherFiles {
        /// Which digest.
        algorithm: &'static str,
        /// Whose.
        file: String,
        /// Files that it has.
        known: Vec<String>,
    },
    /// It has several for this file.
    #[error("it has several {algorithm} digests of `{file}`")]
    Ambiguous {
        /// Which digest.
        algorithm: &'static str,
        /// Whose.
        file: String,
    },
    /// It has no digest at all.
    #[error("it has no {algorithm} digest")]
    Nothing {
        /// Which digest.
        algorithm: &'static str,
    },
}

/// A digest in lower case, if the text is one.
#[must_use]
pub fn digest(text: &str, algorithm: Algorithm) -> Option<String> {
    let text = text.trim();
    let is_digest = text.len() == algorithm.digits() && is_hexadecimal(text);
    is_digest.then(|| text.to_ascii_lowercase())
}

/// The digest of a file in what upstream publishes.
///
/// # Errors
/// When it is not there, or not clear.
pub fn find(list: &str, file: &str, algorithm: Algorithm) -> Result<String, NotPublished> {
    let mut of_file: Vec<String> = Vec::new();
    let mut nameless: Vec<String> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for (name, digest) in records(list, algorithm) {
        match name {
            None => nameless.push(digest),
            Some(name) if base_name(&name) == file => of_file.push(digest),
            Some(name) => known.push(name),
        }
    }
    // A digest without a name means the file beside it; in a list of names it means nothing.
    let mut found = if of_file.is_empty() && known.is_empty() { nameless } else { of_file };
    found.sort_unstable();
    found.dedup();
    let name = algorithm.name();
    match (found.pop(), found.is_empty()) {
        (Some(digest), true) => Ok(digest),
        (Some(_), false) => Err(NotPublished::Ambiguous { algorithm: name, file: file.to_owned() }),
        (None, _) if known.is_empty() => Err(NotPublished::Nothing { algorithm: name }),
        (None, _) => {
            Err(NotPublished::OtherFiles { algorithm: name, file: file.to_owned(), known })
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Names and digests of a list.
fn records(list: &str, algorithm: Algorithm) -> Vec<(Option<String>, String)> {
    let mut records = Vec::new();
    let lines: Vec<&str> = list.lines().map(str::trim_end).collect();
    let mut rest = lines.as_slice();
    while let [line, after @ ..] = rest {
        rest = after;
        if let Some(record) = plain(line, algorithm).or_else(|| bsd(line, algorithm)) {
            records.push(record);
        } else if let Some((record, used)) = spread(line, after, algorithm) {
            records.push(record);
            rest = after.get(used..).unwrap_or_default();
        }
    }
    records
}

/// `DIGEST`, `DIGEST  NAME` or `DIGEST *NAME`.
fn plain(line: &str, algorithm: Algorithm) -> Option<(Option<String>, String)> {
    let line = line.trim_start();
    let (first, name) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let digest = digest(first, algorithm)?;
    let name = name.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    Some(((!name.is_empty()).then(|| name.to_owned()), digest))
}

/// `SHA512 (NAME) = DIGEST`; openssl writes it without the blanks.
fn bsd(line: &str, algorithm: Algorithm) -> Option<(Option<String>, String)> {
    let (name, digest_text) = line.rsplit_once('=')?;
    let (kind, name) = name.trim().strip_suffix(')')?.split_once('(')?;
    let kind = kind.trim().replace(['-', '_'], "").to_ascii_lowercase();
    if !kind.ends_with(algorithm.name()) {
        return None;
    }
    Some((Some(name.to_owned()), digest(digest_text, algorithm)?))
}

/// `NAME: ABCD EF01 …`, over several lines, as `gpg --print-md` writes it; and how many more lines
/// it took.
fn spread(
    line: &str,
    after: &[&str],
    algorithm: Algorithm,
) -> Option<((Option<String>, String), usize)> {
    let (name, first) = line.split_once(':')?;
    if name.trim().is_empty() || name.starts_with([' ', '\t']) {
        return None;
    }
    let mut digits = String::new();
    let mut take = |text: &str| -> bool {
        let text: String = text.split_ascii_whitespace().collect();
        let fits = digits.len() + text.len() <= algorithm.digits();
        let good = fits && (text.is_empty() || is_hexadecimal(&text));
        if good {
            digits.push_str(&text);
        }
        good
    };
    // `NAME: SHA512 = ABCD …` comes with several digests in one list.
    let first = match first.split_once('=') {
        Some((kind, first)) if kind.trim().eq_ignore_ascii_case(algorithm.name()) => first,
        Some(_) => return None,
        None => first,
    };
    if !take(first) {
        return None;
    }
    let more = after.iter().take_while(|line| line.starts_with([' ', '\t']));
    let used = more.take_while(|line| take(line)).count();
    let digest = digest(&digits, algorithm)?;
    Some(((Some(name.trim().to_owned()), digest), used))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const B: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn sha256(list: &str, file: &str) -> Result<String, NotPublished> {
        find(list, file, Algorithm::Sha256)
    }

    #[test]
    fn formats_of_the_world() {
        let grouped = "x-1.tar.gz: 00112233 44556677 8899AABB CCDDEEFF 00112233 44556677\n            \
                       8899AABB CCDDEEFF\n";
        let tagged = format!("x-1.tar.gz:    MD5 = 00 11\nx-1.tar.gz: SHA256 = {A}\n");
        for list in [
            A,
            &format!("{}\n", A.to_uppercase()),
            &format!("{A}  x-1.tar.gz\n"),
            &format!("{B}  y\r\n{A} *./dist/x-1.tar.gz\r\n"),
            &format!("SHA256 (x-1.tar.gz) = {A}\nSHA512 (x-1.tar.gz) = 00\n"),
            &format!("SHA2-256(x-1.tar.gz)= {A}").replace("SHA2-256", "SHA256"),
            grouped,
            &tagged,
        ] {
            assert_eq!(sha256(list, "x-1.tar.gz").as_deref(), Ok(A), "{list}");
        }
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        let other = sha256(&format!("{A}  y\n{B}\n"), "x").unwrap_err();
        assert_eq!(other.to_string(), "it has no sha256 digest of `x`");
        let several = sha256(&format!("{A}  x\n{B}  x\n"), "x").unwrap_err();
        assert!(matches!(several, NotPublished::Ambiguous { .. }));
        let several = sha256(&format!("{A}\n{B}\n"), "x").unwrap_err();
        assert!(matches!(several, NotPublished::Ambiguous { .. }));
        assert!(matches!(sha256("<html>404</html>", "x"), Err(NotPublished::Nothing { .. })));
        assert!(matches!(sha256(&A[1..], "x"), Err(NotPublished::Nothing { .. })));
        // A digest of the other kind is none.
        let twice = format!("{A}{A}  x");
        assert!(matches!(sha256(&twice, "x"), Err(NotPublished::Nothing { .. })));
    }

    proptest! {
        #[test]
        fn every_writer_is_read(
            digest in "[0-9a-f]{128}",
            name in "[a-zA-Z0-9][a-zA-Z0-9._+-]{0,30}",
            group in 1_usize..16,
            width in 20_usize..70,
        ) {
            let algorithm = Algorithm::Sha512;
            let upper = digest.to_uppercase();
            let words: Vec<&str> =
                upper.as_bytes().chunks(group).map(|c| std::str::from_utf8(c).unwrap()).collect();
            let mut spread = format!("{name}:");
            let mut column = spread.len();
            for word in words {
                if column > width {
                    spread.push_str("\n  ");
                    column = 0;
                }
                spread.push(' ');
                spread.push_str(word);
                column += word.len() + 1;
            }
            for list in [
                digest.clone(),
                format!("{digest}  {name}\n"),
                format!("{digest} *{name}\n"),
                format!("SHA512 ({name}) = {digest}\n"),
                spread,
            ] {
                prop_assert_eq!(find(&list, &name, algorithm), Ok(digest.clone()), "{}", list);
            }
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(?s).{0,300}", name in ".{0,10}") {
            if let Ok(found) = find(&text, &name, Algorithm::Sha256) {
                let digits: String = text.split_whitespace().collect();
                prop_assert!(digits.to_ascii_lowercase().contains(&found));
            }
        }
    }
}
