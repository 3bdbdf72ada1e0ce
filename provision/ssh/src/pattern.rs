//! Wildcards as OpenSSH has them (`match.c`): `*`, `?`, and lists with negation.
//!
//! Pure; linear space and at most quadratic time, whatever the pattern.

/// Whether `text` matches `pattern`, in which `*` stands for any text and `?` for one character.
#[must_use]
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last star was, and up to where it has swallowed text so far: going back to the
    // last star only is enough, and avoids the exponential time of plain recursion.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at_text) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => match star {
                Some((star_pattern, star_text)) => {
                    star = Some((star_pattern, star_text + 1));
                    at_pattern = star_pattern + 1;
                    at_text = star_text + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at_pattern).all(|byte| *byte == b'*')
}

/// Whether `text` matches a list of patterns: at least one positive and no negated (`!`) one.
pub(crate) fn matches_list<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, text) => return false,
            Some(_) => {}
            None => found = found || matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_list};
    use proptest::prelude::*;

    /// The same in another style: plain recursion.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => oracle(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => oracle(rest, text) || oracle(pattern, tail),
            (Some((b'?', rest)), Some((_, tail))) => oracle(rest, tail),
            (Some((a, rest)), Some((b, tail))) if a == b => oracle(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_recursion(pattern in "[ab*?]{0,9}", text in "[ab]{0,9}") {
            prop_assert_eq!(matches(&pattern, &text), oracle(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_negated_match_wins_whatever_its_position() {
        assert!(matches_list(["*.example.org", "!bad.example.org"], "web.example.org"));
        assert!(!matches_list(["*.example.org", "!bad.example.org"], "bad.example.org"));
        assert!(!matches_list(["!bad.example.org", "*"], "bad.example.org"));
        assert!(!matches_list(["!bad.example.org"], "web.example.org"));
    }

    #[test]
    fn many_stars_are_not_slow() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }
}
