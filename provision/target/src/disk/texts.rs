//! Changes of text, for `--diff`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use provision_protocol::{Diff, Object};
use serde_json::Value;

/// Longest text that is shown in a diff, in bytes.
pub const DIFF_LIMIT_BYTES: usize = 100 << 10;

/// How much of a file is looked at to tell text from other data, in bytes.
const LOOK_BYTES: usize = 8192;

/// One side of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// Text.
    Text(String),
    /// Not text.
    Binary,
    /// Too long to show.
    Long,
}

impl Side {
    /// From bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Side {
        if bytes.iter().take(LOOK_BYTES).any(|byte| *byte == 0) {
            return Side::Binary;
        }
        if bytes.len() > DIFF_LIMIT_BYTES {
            return Side::Long;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Side::Text(text.to_owned()),
            Err(_) => Side::Binary,
        }
    }

    /// From a reader, not reading more than needed.
    ///
    /// # Errors
    /// The reader's.
    pub fn read(reader: &mut dyn Read) -> io::Result<Side> {
        let mut bytes = Vec::new();
        reader.take(DIFF_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(Side::of(&bytes))
    }

    /// From a file; empty if it can't be read or isn't there.
    #[must_use]
    pub fn of_file(path: &Path) -> Side {
        match File::open(path) {
            Ok(mut file) => Side::read(&mut file).unwrap_or(Side::Text(String::new())),
            Err(_) => Side::Text(String::new()),
        }
    }
}

/// The change from one side to the other; a message if one of them can't be shown.
#[must_use]
pub fn change(path: &Path, before: Side, after: Side) -> Diff {
    let name = path.to_string_lossy().into_owned();
    let (before, after) = match (before, after) {
        (Side::Text(before), Side::Text(after)) => (before, after),
        (Side::Binary, _) => skipped("the present content is not text"),
        (_, Side::Binary) => skipped("the new content is not text"),
        (Side::Long, _) | (_, Side::Long) => skipped("the content is longer than 100 KiB"),
    };
    Diff {
        before_header: Some(name.clone()),
        after_header: Some(name),
        before,
        after,
        attributes: None,
    }
}

fn skipped(reason: &str) -> (String, String) {
    (String::new(), format!("[diff skipped: {reason}]\n"))
}

/// Attributes before and after, as Ansible shows them: JSON with sorted keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttributeChange {
    /// Before.
    pub before: Object,
    /// After.
    pub after: Object,
}

impl AttributeChange {
    /// Notes that something changes.
    pub fn note(&mut self, name: &str, before: impl Into<Value>, after: impl Into<Value>) {
        self.before.insert(name.to_owned(), before.into());
        self.after.insert(name.to_owned(), after.into());
    }

    /// For the result.
    #[must_use]
    pub fn diff(&self) -> Diff {
        Diff {
            before_header: None,
            after_header: None,
            before: sorted_json(&self.before),
            after: sorted_json(&self.after),
            attributes: Some(Box::new([self.before.clone(), self.after.clone()])),
        }
    }
}

fn sorted_json(object: &Object) -> String {
    let sorted: std::collections::BTreeMap<_, _> = object.iter().collect();
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, format);
    if serde::Serialize::serialize(&sorted, &mut serializer).is_err() {
        return String::new();
    }
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_is_named() {
        assert_eq!(Side::of(b"a\0b"), Side::Binary);
        assert_eq!(Side::of(&[0xff, 0xfe]), Side::Binary);
        assert_eq!(Side::of(&vec![b'a'; DIFF_LIMIT_BYTES + 1]), Side::Long);
        let diff = change(Path::new("/x"), Side::of(b"a\n"), Side::Long);
        assert!(diff.after.contains("100 KiB") && diff.before.is_empty());
    }

    #[test]
    fn attributes_look_like_ansible_s() {
        let mut change = AttributeChange::default();
        change.note("state", "absent", "directory");
        change.note("path", "/a", "/a");
        assert_eq!(
            change.diff().before,
            "{\n    \"path\": \"/a\",\n    \"state\": \"absent\"\n}\n"
        );
    }
}
