//! Shell wildcards as Python's `fnmatch` and `glob` understand them.

use std::path::{Path, PathBuf};

/// A compiled pattern for one name.
#[derive(Debug, Clone)]
pub struct Wildcard {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Exactly(char),
    Any,
    Run,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Wildcard {
    /// Compiles a pattern; every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let characters: Vec<char> = pattern.chars().collect();
        let mut parts = Vec::with_capacity(characters.len());
        let mut at = 0;
        while let Some(character) = characters.get(at) {
            at += 1;
            parts.push(match character {
                '*' => Part::Run,
                '?' => Part::Any,
                '[' => match class(&characters, at) {
                    Some((part, end)) => {
                        at = end;
                        part
                    }
                    None => Part::Exactly('['),
                },
                other => Part::Exactly(*other),
            });
        }
        Wildcard { parts }
    }

    /// Whether a text contains wildcards at all.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// Whether the whole name matches. Quadratic at worst.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let characters: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where to go on when a `*` has to take one more character.
        let mut again: Option<(usize, usize)> = None;
        loop {
            match (self.parts.get(part), characters.get(at)) {
                (None, None) => return true,
                (Some(Part::Run), _) => {
                    again = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(expected), Some(character)) if expected.accepts(*character) => {
                    part += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match again {
                Some((after_run, taken)) if taken < characters.len() => {
                    again = Some((after_run, taken + 1));
                    part = after_run;
                    at = taken + 1;
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn accepts(&self, character: char) -> bool {
        match self {
            Part::Exactly(expected) => *expected == character,
            Part::Any | Part::Run => true,
            Part::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (low..=high).contains(&&character)) != *negated
            }
        }
    }
}

/// The class that begins after `[` at `start`, and where the pattern goes on.
fn class(characters: &[char], start: usize) -> Option<(Part, usize)> {
    let negated = characters.get(start) == Some(&'!');
    let first = start + usize::from(negated);
    // A `]` right at the beginning is an ordinary member.
    let close = characters.iter().skip(first + 1).position(|character| *character == ']')?;
    let end = first + 1 + close;
    let members = characters.get(first..end)?;
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(low) = members.get(at) {
        match (members.get(at + 1), members.get(at + 2)) {
            (Some('-'), Some(high)) => {
                ranges.push((*low, *high));
                at += 3;
            }
            _ => {
                ranges.push((*low, *low));
                at += 1;
            }
        }
    }
    Some((Part::Class { negated, ranges }, end + 1))
}

/// Whether a name matches a pattern.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    Wildcard::new(pattern).matches(name)
}

/// Paths that match a pattern, sorted. Hidden names match only patterns that begin with a dot. A
/// relative pattern is taken from `base`.
#[must_use]
pub fn paths(pattern: &Path, base: &Path) -> Vec<PathBuf> {
    let absolute = base.join(pattern);
    let mut found = vec![PathBuf::new()];
    for component in absolute.components() {
        let name = component.as_os_str();
        let text = name.to_string_lossy();
        let mut next = Vec::new();
        for folder in found {
            if !Wildcard::is_one(&text) {
                let candidate = folder.join(name);
                if candidate.symlink_metadata().is_ok() {
                    next.push(candidate);
                }
                continue;
            }
            next.extend(children(&folder, &text));
        }
        found = next;
    }
    found
}

fn children(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let wildcard = Wildcard::new(pattern);
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut matching: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            (pattern.starts_with('.') || !name.starts_with('.')) && wildcard.matches(&name)
        })
        .map(|entry| entry.path())
        .collect();
    matching.sort();
    matching
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let matching = [
            ("*", ""),
            ("a*c", "abbc"),
            ("*.[ch]", "x.c"),
            ("[!a]?", "bc"),
            ("[]a]", "]"),
            ("[a-cx]", "b"),
            ("a[b", "a[b"),
            ("**a*", "bca"),
            ("é?", "éé"),
            ("[a-]", "-"),
        ];
        for (pattern, name) in matching {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("?", ""), ("[!a]", "a"), ("a*b", "ac"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(30), &"a".repeat(29)));
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.x", "b.x", ".c.x", "d.y"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let count = |pattern: &str| paths(Path::new(pattern), folder.path()).len();
        assert_eq!(count("*.x"), 2);
        assert_eq!(count(".*.x"), 1);
        assert_eq!(count("a.x"), 1);
        assert_eq!(count("nothing"), 0);
        assert_eq!(count("*/x"), 0);
    }
}
