//! Where the characters of a scalar stand in its file.
//!
//! A scalar's text differs from what is written: quotes and escapes are gone, lines are folded
//! or lose their indentation. Aligning both texts greedily finds the place of each character
//! without knowing the style.

use diagnostics::{Sources, Span};
use yaml::Node;

/// Byte offsets in the file for the bytes of one scalar.
#[derive(Debug, Clone)]
pub(crate) struct Offsets {
    whole: Span,
    /// For each byte of the text where its character begins and ends in the source, relative to the
    /// start of the scalar; empty if the texts could not be aligned.
    map: Vec<(usize, usize)>,
}

impl Offsets {
    /// Aligns a text node with its source.
    pub(crate) fn of(node: &Node, sources: &Sources) -> Self {
        let raw = sources.text(node.span);
        let text = node.as_str().unwrap_or("");
        Offsets { whole: node.span, map: align(text, raw).unwrap_or_default() }
    }

    /// The span of a range of bytes of the text.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        let last = end.max(start + 1) - 1;
        match (self.map.get(start), self.map.get(last)) {
            (Some((first, _)), Some((_, last))) => {
                let length = if end > start { last.saturating_sub(*first) } else { 0 };
                self.whole.slice(*first, length)
            }
            // The end of the text, e.g. an unexpected end of a template.
            (Some((first, _)), None) => self.whole.slice(*first, usize::MAX),
            _ => self.whole,
        }
    }
}

fn align(text: &str, raw: &str) -> Option<Vec<(usize, usize)>> {
    let mut map = Vec::with_capacity(text.len());
    let mut at = 0;
    if raw.starts_with(['|', '>']) {
        at = raw.find('\n')? + 1;
    } else if raw.starts_with(['"', '\'']) {
        at = 1;
    }
    for character in text.chars() {
        let found = if character.is_whitespace() {
            // A folded line end may stand for a blank, and an escape for anything.
            let rest = raw.get(at..)?;
            rest.chars().next().filter(|next| next.is_whitespace() || *next == '\\').map(|_| at)
        } else {
            find(raw, at, character)
        };
        let place = found.unwrap_or(at);
        let mut written = raw.get(place..)?.chars();
        let first = written.next();
        let mut end = place + first.map_or(0, char::len_utf8);
        // A character written as an escape takes the one behind the backslash, too.
        if found.is_some() && first == Some('\\') && character != '\\' {
            end += written.next().map_or(0, char::len_utf8);
        }
        for _ in 0..character.len_utf8() {
            map.push((place, end));
        }
        if found.is_some() {
            at = end;
        }
    }
    Some(map)
}

/// The next place of a character, skipping only what YAML adds: blanks, backslashes, doubled
/// quotes.
fn find(raw: &str, from: usize, wanted: char) -> Option<usize> {
    for (offset, character) in raw.get(from..)?.char_indices() {
        if character == wanted {
            return Some(from + offset);
        }
        if !character.is_whitespace() && !matches!(character, '\\' | '\'' | '#') {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Offsets;
    use diagnostics::{Sources, Span};
    use yaml::Node;

    fn located(raw: &str, text: &str, part: &str) -> String {
        let mut sources = Sources::default();
        let id = sources.add("x.yml", format!("k: {raw}\n"));
        let node = Node::string(Span::new(id, 3, 3 + raw.len()), text);
        let start = text.find(part).unwrap();
        let span = Offsets::of(&node, &sources).span(start, start + part.len());
        sources.text(span).to_owned()
    }

    #[test]
    fn finds_parts_in_every_style() {
        assert_eq!(located("src=a dest=b", "src=a dest=b", "dest"), "dest");
        assert_eq!(located("\"a {{ b }}\"", "a {{ b }}", "b }}"), "b }}");
        assert_eq!(located("'it''s {{ x }}'", "it's {{ x }}", "x }}"), "x }}");
        assert_eq!(located("|\n    one\n    two three\n", "one\ntwo three\n", "three"), "three");
        assert_eq!(located(">-\n    one\n    two three\n", "one two three", "three"), "three");
        assert_eq!(located("\"a\\\"b\\\" c\"", "a\"b\" c", "c"), "c");
        assert_eq!(located("\"é = ü\"", "é = ü", "ü"), "ü");
        assert_eq!(located("\"\\ä b\"", " b", "b"), "b");
        assert_eq!(located("one\n    two three", "one two three", "three"), "three");
    }
}
