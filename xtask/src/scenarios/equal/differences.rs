//! `[pure]` What differs between two hosts, as people read it: `-` theirs, `+` ours.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::tree::{Content, Entry, Kind, Tree};

/// More lines of one difference say nothing more.
const LINES_LIMIT: usize = 20;

/// A paragraph if two lists of lines differ, in whatever order.
pub(super) fn of_lists(name: &str, theirs: &str, ours: &str) -> Option<String> {
    let set = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (theirs, ours) = (set(theirs), set(ours));
    let lines = theirs.difference(&ours).map(|line| format!("  - {line}"));
    let lines: Vec<String> =
        lines.chain(ours.difference(&theirs).map(|line| format!("  + {line}"))).collect();
    (!lines.is_empty()).then(|| format!("{name}:\n{}", clipped(&lines)))
}

/// A paragraph for each path that differs.
pub(super) fn of_trees(theirs: &Tree, ours: &Tree) -> Vec<String> {
    let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let pairs = paths.into_iter().map(|path| (path, theirs.get(path), ours.get(path)));
    pairs.filter_map(|(path, theirs, ours)| of_entries(path, theirs, ours)).collect()
}

fn of_entries(path: &str, theirs: Option<&Entry>, ours: Option<&Entry>) -> Option<String> {
    if theirs == ours {
        return None;
    }
    let mut text = format!("/{path}:");
    for (sign, entry) in [('-', theirs), ('+', ours)] {
        let said = entry.map_or_else(|| "not there".to_owned(), described);
        // Writing to a String can't fail.
        let _ = write!(text, "\n  {sign} {said}");
    }
    if let (Some(Kind::File(theirs)), Some(Kind::File(ours))) =
        (theirs.map(|entry| &entry.kind), ours.map(|entry| &entry.kind))
        && let (Content::Kept(theirs), Content::Kept(ours)) = (theirs, ours)
    {
        text.push_str(&of_texts(theirs, ours));
    }
    Some(text)
}

fn described(entry: &Entry) -> String {
    let Entry { kind, user, group, mode } = entry;
    let kind = match kind {
        Kind::Folder => "folder".to_owned(),
        Kind::Link(target) => format!("link to {}", target.display()),
        Kind::Special(what) => (*what).to_owned(),
        Kind::File(Content::OfTheImage) => "file as in the image".to_owned(),
        Kind::File(Content::Ignored) => "file".to_owned(),
        Kind::File(Content::Kept(bytes)) => format!("file of {} bytes", bytes.len()),
        Kind::File(Content::Digest(digest)) => format!("file {digest}"),
    };
    format!("{user}:{group} {mode:04o} {kind}")
}

/// The first line that differs and what follows it, of both.
fn of_texts(theirs: &[u8], ours: &[u8]) -> String {
    if theirs == ours {
        return String::new();
    }
    let (theirs, ours) = (String::from_utf8_lossy(theirs), String::from_utf8_lossy(ours));
    let (theirs, ours): (Vec<&str>, Vec<&str>) =
        (theirs.split('\n').collect(), ours.split('\n').collect());
    let same = theirs.iter().zip(&ours).take_while(|(one, other)| one == other).count();
    let rest = |lines: &[&str]| lines.iter().skip(same).map(|line| (*line).to_owned()).collect();
    let (theirs, ours): (Vec<String>, Vec<String>) = (rest(&theirs), rest(&ours));
    let backwards = theirs.iter().rev().zip(ours.iter().rev());
    let tail = backwards.take_while(|(one, other)| one == other).count();
    let signed = |sign: char, lines: &[String]| {
        let kept = lines.len().saturating_sub(tail);
        lines.iter().take(kept).map(|line| format!("    {sign} {line:?}")).collect::<Vec<_>>()
    };
    let lines = [signed('-', &theirs), signed('+', &ours)].map(|lines| clipped(&lines));
    format!("\n    line {}:\n{}", same + 1, lines.join("\n"))
}

fn clipped(lines: &[String]) -> String {
    let mut shown: Vec<String> = lines.iter().take(LINES_LIMIT).cloned().collect();
    if lines.len() > LINES_LIMIT {
        shown.push(format!("    … and {} more", lines.len() - LINES_LIMIT));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind) -> Entry {
        Entry { kind, user: 0, group: 0, mode: 0o644 }
    }

    fn kept(text: &str) -> Entry {
        entry(Kind::File(Content::Kept(text.as_bytes().to_vec())))
    }

    #[test]
    fn a_difference_is_shown_where_it_is() {
        let theirs = Tree::from([
            ("a".to_owned(), kept("one\ntwo\nthree\n")),
            ("b".to_owned(), kept("same")),
            ("c".to_owned(), entry(Kind::Link("x".into()))),
        ]);
        let mut ours = theirs.clone();
        assert_eq!(of_trees(&theirs, &ours), Vec::<String>::new());
        ours.insert("a".to_owned(), kept("one\n2\nthree\n"));
        ours.remove("c");
        ours.insert("d".to_owned(), entry(Kind::Folder));
        if let Some(entry) = ours.get_mut("b") {
            entry.mode = 0o600;
        }
        let found = of_trees(&theirs, &ours);
        assert_eq!(
            found,
            [
                "/a:\n  - 0:0 0644 file of 14 bytes\n  + 0:0 0644 file of 12 bytes\n    line 2:\n    \
                 - \"two\"\n    + \"2\"",
                "/b:\n  - 0:0 0644 file of 4 bytes\n  + 0:0 0600 file of 4 bytes",
                "/c:\n  - 0:0 0644 link to x\n  + not there",
                "/d:\n  - not there\n  + 0:0 0644 folder",
            ]
        );
    }

    #[test]
    fn lists_are_compared_without_order() {
        assert_eq!(of_lists("users", "a\nb", "b\na\n"), None);
        let found = of_lists("users", "a\nb", "b\nc");
        assert_eq!(found.as_deref(), Some("users:\n  - a\n  + c"));
    }
}
