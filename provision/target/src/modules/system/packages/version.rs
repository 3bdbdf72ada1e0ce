//! Versions of Debian packages (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_upstream, left_revision) = parts(left);
    let (right_epoch, right_upstream, right_revision) = parts(right);
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| compare_part(left_upstream, right_upstream))
        .then_with(|| compare_part(left_revision, right_revision))
}

/// `epoch:upstream-revision`; a missing revision equals `0`.
fn parts(version: &str) -> (u64, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Alternates between text and numbers. In text `~` comes before everything, even the end, and
/// letters before other characters.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    let is_digit = |character: char| character.is_ascii_digit();
    loop {
        let (left_text, left_rest) = split(left, |character| !is_digit(character));
        let (right_text, right_rest) = split(right, |character| !is_digit(character));
        let order = compare_text(left_text, right_text);
        if order != Ordering::Equal {
            return order;
        }
        let (left_number, left_rest) = split(left_rest, is_digit);
        let (right_number, right_rest) = split(right_rest, is_digit);
        let order = compare_number(left_number, right_number);
        if order != Ordering::Equal {
            return order;
        }
        if left_rest.is_empty() && right_rest.is_empty() {
            return Ordering::Equal;
        }
        (left, right) = (left_rest, right_rest);
    }
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|character| !belongs(character)).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_text(left: &str, right: &str) -> Ordering {
    let rank = |character: Option<char>| match character {
        Some('~') => (0, '\0'),
        None => (1, '\0'),
        Some(letter) if letter.is_ascii_alphabetic() => (2, letter),
        Some(other) => (3, other),
    };
    let (mut left, mut right) = (left.chars(), right.chars());
    loop {
        let (one, other) = (left.next(), right.next());
        if one.is_none() && other.is_none() {
            return Ordering::Equal;
        }
        let order = rank(one).cmp(&rank(other));
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers of any length.
fn compare_number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_an_order() {
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "0+b1",
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+deb12u1",
            "1.0-1.1",
            "1.0-2",
            "1.0-10",
            "1.0a",
            "1.0+x",
            "1.2",
            "1.10",
            "1:0.1",
            "10:0",
        ];
        for (index, low) in ascending.iter().enumerate() {
            assert_eq!(compare(low, low), Ordering::Equal);
            for high in &ascending[index + 1..] {
                assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
                assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
            }
        }
        assert_eq!(compare("1.0", "1.0-0"), Ordering::Equal);
        assert_eq!(compare("0:1.0", "1.00"), Ordering::Equal);
    }

    /// Oracle: dpkg of this machine.
    #[test]
    fn dpkg_agrees() {
        if !std::path::Path::new("/usr/bin/dpkg").exists() {
            return;
        }
        let versions = ["1", "1~", "1a", "1.1", "1-1", "1-1~x", "2:0", "1.01", "1+", "1-a"];
        for left in versions {
            for right in versions {
                let less = std::process::Command::new("dpkg")
                    .args(["--compare-versions", left, "lt", right])
                    .status()
                    .unwrap()
                    .success();
                assert_eq!(compare(left, right) == Ordering::Less, less, "{left} {right}");
            }
        }
    }
}
