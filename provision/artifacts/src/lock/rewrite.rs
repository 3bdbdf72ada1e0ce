//! Writing one entry into the text of a lock: everything else stays as it is, comments included.
//!
//! The text is changed as text, then read again: what it means now must be what it meant before and
//! the entry. Whatever can't be changed that way is refused, never guessed at.

use std::fmt::Write as _;

use diagnostics::{Diagnostic, SourceId};
use serde_json::Value;
use yaml::{Node, NodeValue, Schema};

use super::{Entry, VARIABLE};

/// Blanks of one more level, where the text doesn't show what its owner likes.
const INDENT: usize = 2;

/// Why an entry can't be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The text can't be read.
    #[error("the file is no YAML that can be used")]
    Invalid(Vec<Diagnostic>),
    /// The entries are written in a way that isn't understood well enough to change it.
    #[error("{0}")]
    Shape(&'static str),
}

/// The text with this entry; one of the same component and version is replaced.
///
/// # Errors
/// When the text can't be read, or not be changed without touching more than the entry.
pub fn with_entry(
    text: &str,
    component: &str,
    version: &str,
    entry: &Entry,
) -> Result<String, Unwritable> {
    let before = document(text)?;
    let edited = edit(text, before.as_ref(), component, version, entry)?;
    let after = document(&edited)?;
    let mut expected = match before.as_ref().map(yaml::to_json) {
        None | Some(Value::Null) => Value::Object(serde_json::Map::new()),
        Some(value) => value,
    };
    insert(&mut expected, component, version, entry);
    if after.as_ref().map(yaml::to_json) == Some(expected) {
        return Ok(edited);
    }
    Err(Unwritable::Shape(
        "its entries are written in a way that can't be changed safely (anchors, merge keys or \
         several documents)",
    ))
}

fn document(text: &str) -> Result<Option<Node>, Unwritable> {
    let read = yaml::read(text, SourceId(0), Schema::Ansible);
    if !read.is_usable() {
        return Err(Unwritable::Invalid(read.diagnostics));
    }
    if read.documents.len() > 1 {
        return Err(Unwritable::Shape("the file has several documents"));
    }
    match read.documents.into_iter().next() {
        Some(node) if node.is_null() => Ok(None),
        Some(node) if node.as_mapping().is_none() => {
            Err(Unwritable::Shape("the file is no mapping of variables"))
        }
        node => Ok(node),
    }
}

/// What the text must mean afterwards.
fn insert(document: &mut Value, component: &str, version: &str, entry: &Entry) {
    let mut at = document;
    for name in [VARIABLE, component] {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        let Some(object) = at.as_object_mut() else { return };
        at = object.entry(name).or_insert(Value::Null);
    }
    if !at.is_object() {
        *at = Value::Object(serde_json::Map::new());
    }
    if let Some(object) = at.as_object_mut() {
        object.insert(version.to_owned(), serde_json::to_value(entry).unwrap_or_default());
    }
}

fn edit(
    text: &str,
    document: Option<&Node>,
    component: &str,
    version: &str,
    entry: &Entry,
) -> Result<String, Unwritable> {
    let top = document.and_then(Node::as_mapping);
    let Some((key, all)) = top.and_then(|top| top.get_entry(VARIABLE)) else {
        if document.is_some_and(|node| is_flow(text, node)) {
            return Err(FLOW);
        }
        let lines = format!("{VARIABLE}:\n{}", component_lines(component, version, entry, INDENT));
        let gap = if text.trim().is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        return Ok(inserted(text, text.len(), &format!("{gap}{lines}")));
    };
    let indent = match first_key(all) {
        Some(first) => column(text, first),
        None => column(text, key) + INDENT,
    };
    let Some(versions) = child(text, all, component)? else {
        let lines = component_lines(component, version, entry, indent);
        return Ok(added(text, key, all, &lines));
    };
    let (key, versions) = versions;
    let indent = match first_key(versions) {
        Some(first) => column(text, first),
        None => indent + (indent - column_of_parent(text, all, indent)).max(1),
    };
    let lines = entry_lines(version, entry, indent);
    match child(text, versions, version)? {
        None => Ok(added(text, key, versions, &lines)),
        Some((key, old)) => {
            let start = line_start(text, offset(key.span.start));
            let end = line_end(text, offset(old.span.end).max(offset(key.span.end)));
            let (before, after) = (text.get(..start), text.get(end..));
            Ok(format!("{}{lines}{}", before.unwrap_or_default(), after.unwrap_or_default()))
        }
    }
}

const FLOW: Unwritable = Unwritable::Shape(
    "its entries are written with braces; write them as indented lines, then add again",
);

/// Key and value of a child; the parent must be written as lines.
fn child<'a>(
    text: &str,
    parent: &'a Node,
    name: &str,
) -> Result<Option<(&'a Node, &'a Node)>, Unwritable> {
    match &parent.value {
        NodeValue::Null => Ok(None),
        NodeValue::Mapping(mapping) if mapping.is_empty() => Ok(None),
        NodeValue::Mapping(_) if is_flow(text, parent) => Err(FLOW),
        NodeValue::Mapping(mapping) => Ok(mapping.get_entry(name)),
        _ => Err(Unwritable::Shape("`artifacts` and its components must be mappings")),
    }
}

fn is_flow(text: &str, node: &Node) -> bool {
    text.get(offset(node.span.start)..).is_some_and(|rest| rest.starts_with('{'))
}

fn first_key(node: &Node) -> Option<&Node> {
    node.as_mapping()?.entries.first().map(|(key, _)| key)
}

/// The column of the mapping that holds a mapping of this indent, as far as it can be told.
fn column_of_parent(text: &str, node: &Node, indent: usize) -> usize {
    let line = line_start(text, offset(node.span.start));
    let above = text.get(..line).unwrap_or_default();
    let blanks = |line: &str| line.len() - line.trim_start_matches(' ').len();
    above.lines().rev().map(blanks).find(|blanks| *blanks < indent).unwrap_or(0)
}

/// The text with lines below a value; an empty value (`{}`, `~`) goes.
fn added(text: &str, key: &Node, value: &Node, lines: &str) -> String {
    let is_empty = first_key(value).is_none();
    if !is_empty {
        return inserted(text, offset(value.span.end), lines);
    }
    let (start, end) = (offset(value.span.start), offset(value.span.end));
    let here = start >= offset(key.span.end) && start < end;
    let Some((before, after)) = text.get(..start).zip(text.get(end..)).filter(|_| here) else {
        return inserted(text, offset(key.span.end), lines);
    };
    let emptied = format!("{}{after}", before.trim_end_matches(' '));
    inserted(&emptied, offset(key.span.end), lines)
}

/// The text with lines after the line in which a place is.
fn inserted(text: &str, place: usize, lines: &str) -> String {
    let place = line_end(text, place);
    let (before, after) = (text.get(..place), text.get(place..));
    let (before, after) = (before.unwrap_or(text), after.unwrap_or_default());
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!("{before}{end}{lines}{after}")
}

/// Where the next line begins.
fn line_end(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or(text);
    if before.is_empty() || before.ends_with('\n') {
        return before.len();
    }
    let rest = text.get(place..).unwrap_or_default();
    before.len() + rest.find('\n').map_or(rest.len(), |end| end + 1)
}

fn line_start(text: &str, place: usize) -> usize {
    text.get(..place).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn column(text: &str, node: &Node) -> usize {
    let place = offset(node.span.start);
    place.saturating_sub(line_start(text, place))
}

fn offset(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn component_lines(component: &str, version: &str, entry: &Entry, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let step = indent.clamp(1, INDENT);
    format!("{blanks}{}:\n{}", key_text(component), entry_lines(version, entry, indent + step))
}

/// A plain word if YAML reads it as text.
fn key_text(name: &str) -> String {
    let is_word = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && matches!(yaml::resolve(name, Schema::Ansible), NodeValue::String(_))
    };
    if is_word(name) { name.to_owned() } else { quoted(name) }
}

/// Texts are always quoted: digests can look like numbers, times like times.
fn entry_lines(version: &str, entry: &Entry, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut text = format!("{blanks}{}:\n", quoted(version));
    let blanks = " ".repeat(indent + INDENT);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{blanks}{name}: {value}");
        }
    };
    let text_of = |value: &Option<String>| value.as_deref().map(quoted);
    line("url", text_of(&entry.url));
    line("size", entry.size.map(|size| size.to_string()));
    line("unpacked_size", entry.unpacked_size.map(|size| size.to_string()));
    line("sha256", Some(quoted(&entry.sha256)));
    line("sha512", text_of(&entry.sha512));
    line("root", Some(quoted(&entry.root)));
    let signature = entry.signature.as_ref().map(|signer| {
        let kind = match signer.kind {
            super::SignatureKind::Openpgp => "openpgp",
            super::SignatureKind::Minisign => "minisign",
        };
        format!("{{kind: {kind}, key: {}}}", quoted(&signer.key))
    });
    line("signature", signature);
    line("added", text_of(&entry.added));
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
