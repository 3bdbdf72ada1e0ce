//! What a leader leaves for the next one beside the records: what has happened, what was decided, which
//! requests were answered. The core knows nothing of it.

use std::fmt;

/// What the names of notes begin with among those of records.
pub(crate) const PREFIX: &str = "note/";

/// A note: set, or deleted.
#[derive(Clone, PartialEq, Eq)]
pub struct Note {
    /// Its name: small letters, digits, `-` and `/`.
    name: String,
    /// JSON in one line; absent if it is deleted.
    value: Option<Vec<u8>>,
}

impl Note {
    /// Sets a note. A value with line breaks is none: notes are kept as lines.
    #[must_use]
    pub fn set(name: &str, value: &impl serde::Serialize) -> Self {
        // What a leader leaves are structures of plain fields: they can be written.
        let value = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        Note { name: plain(name), value: Some(value) }
    }

    /// Deletes a note.
    #[must_use]
    pub fn delete(name: &str) -> Self {
        Note { name: plain(name), value: None }
    }

    /// Its name and value; a note without one is deleted.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&[u8]>) {
        (&self.name, self.value.as_deref())
    }

    /// Its name and value among records.
    pub(crate) fn stored(&self) -> (String, Option<Vec<u8>>) {
        (format!("{PREFIX}{}", self.name), self.value.clone())
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may have answers to requests in them.
        f.debug_struct("Note").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Names end at a blank, so no other character can be in them.
fn plain(name: &str) -> String {
    let is_plain = |character: &char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-/".contains(*character)
    };
    name.chars().filter(is_plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_line_with_a_plain_name() {
        let note = Note::set("key/a b\nC7", &"two\nlines");
        let (name, value) = note.stored();
        assert_eq!((name.as_str(), note.parts().0), ("note/key/ab7", "key/ab7"));
        assert_eq!(value.unwrap(), br#""two\nlines""#);
        assert_eq!(Note::delete("key/a").stored(), ("note/key/a".to_owned(), None));
    }
}
