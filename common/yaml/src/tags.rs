//! What explicit tags mean: the core ones convert, all others stay on the node.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diagnostics::{Diagnostic, Span};

use crate::node::BINARY;
use crate::schema::{self, Schema};
use crate::{Node, NodeValue};

/// Prefix of the tags that `!!name` stands for.
const CORE: &str = "tag:yaml.org,2002:";

/// How a scalar was written.
pub(crate) struct Tagged<'event> {
    /// The tag in its long form.
    pub(crate) tag: Option<&'event str>,
    /// Whether it was written without quotes.
    pub(crate) plain: bool,
    /// Whether the schema decides what it is.
    pub(crate) implicit: bool,
    /// Where it stands.
    pub(crate) span: Span,
}

/// A tag that does not fit its value, and a node to go on with.
pub(crate) struct Refused {
    pub(crate) diagnostic: Diagnostic,
    pub(crate) node: Node,
}

/// The node of a scalar.
pub(crate) fn scalar(
    written: Tagged<'_>,
    text: &str,
    schema: Schema,
) -> Result<Node, Box<Refused>> {
    let Tagged { tag, plain, implicit, span } = written;
    let node = |value| Node { span, value, tag: None, plain };
    let string = || NodeValue::String(text.into());
    let Some(tag) = tag.filter(|tag| !matches!(*tag, "" | "!")) else {
        return Ok(node(if implicit { schema::resolve(text, schema) } else { string() }));
    };
    if tag.strip_prefix(CORE) == Some("binary")
        && let Some(encoded) = bytes_that_are_no_text(text)
    {
        let tag = Some(BINARY.into());
        return Ok(Node { span, value: NodeValue::String(encoded.into()), tag, plain });
    }
    let converted = match tag.strip_prefix(CORE) {
        Some("str" | "timestamp" | "value" | "merge") => Some(string()),
        Some("null") => Some(NodeValue::Null),
        Some("bool") => boolean(text, schema).map(NodeValue::Bool),
        Some("int") => schema::integer(text, schema),
        Some("float") => float(text, schema).map(NodeValue::Float),
        Some("binary") => binary(text),
        Some("seq" | "map" | "set" | "omap" | "pairs") => None,
        _ => {
            let tag = Some(shown(tag).into());
            return Ok(Node { span, value: string(), tag, plain });
        }
    };
    converted.map(node).ok_or_else(|| {
        let tag = shown(tag);
        let diagnostic = Diagnostic::error("yaml-tag", format!("this is not what `{tag}` says"))
            .at(span, format!("expected {}", meaning(&tag)))
            .hint("correct the value or remove the tag");
        Box::new(Refused { diagnostic, node: Node { span, value: string(), tag: None, plain } })
    })
}

/// `!!bool` is blind to case in PyYAML.
fn boolean(text: &str, schema: Schema) -> Option<bool> {
    schema::boolean(&text.to_ascii_lowercase(), schema)
}

/// `!!float` takes integers, too; all but sexagesimal ones as decimal, whatever their prefix.
fn float(text: &str, schema: Schema) -> Option<f64> {
    schema::float(text, schema).or_else(|| match schema::integer(text, schema)? {
        NodeValue::Integer(value) if text.contains(':') => value.to_string().parse().ok(),
        NodeValue::Integer(_) | NodeValue::BigInteger(_) => text.replace('_', "").parse().ok(),
        _ => None,
    })
}

/// Decoded bytes as text.
fn binary(text: &str) -> Option<NodeValue> {
    let bytes = STANDARD.decode(compact(text)).ok()?;
    Some(NodeValue::String(String::from_utf8(bytes).ok()?.into()))
}

/// Base64 of bytes that are no text: they stay encoded, and their node keeps its tag.
fn bytes_that_are_no_text(text: &str) -> Option<String> {
    let encoded = compact(text);
    let bytes = STANDARD.decode(&encoded).ok()?;
    std::str::from_utf8(&bytes).is_err().then_some(encoded)
}

fn compact(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// The node of a tagged list or mapping.
pub(crate) fn collection(tag: &str, mut node: Node) -> Result<Node, Box<Refused>> {
    match (tag.strip_prefix(CORE), &mut node.value) {
        (Some("seq"), NodeValue::Sequence(_)) | (Some("map"), NodeValue::Mapping(_)) => Ok(node),
        (Some("set"), NodeValue::Mapping(mapping)) => {
            let keys = mapping.entries.drain(..).map(|(key, _)| key).collect();
            Ok(Node { value: NodeValue::Sequence(keys), ..node })
        }
        (Some("omap" | "pairs"), NodeValue::Sequence(items)) => {
            let pairs: Option<Vec<Node>> = items.iter().map(pair).collect();
            match pairs {
                Some(pairs) => Ok(Node { value: NodeValue::Sequence(pairs), ..node }),
                None => Err(refuse(tag, node)),
            }
        }
        (
            Some(
                "seq" | "map" | "set" | "omap" | "pairs" | "str" | "null" | "bool" | "int"
                | "float" | "binary" | "timestamp",
            ),
            _,
        ) => Err(refuse(tag, node)),
        _ if tag == "!" => Ok(node),
        _ => {
            node.tag = Some(shown(tag).into());
            if node.is_unsafe() {
                mark_unsafe(&mut node);
            }
            Ok(node)
        }
    }
}

/// `key: value` as the list `[key, value]`.
fn pair(item: &Node) -> Option<Node> {
    match item.as_mapping()?.entries.as_slice() {
        [(key, value)] => {
            Some(Node::new(item.span, NodeValue::Sequence(vec![key.clone(), value.clone()])))
        }
        _ => None,
    }
}

/// Nothing inside `!unsafe` may ever be a template.
fn mark_unsafe(node: &mut Node) {
    if node.tag.is_none() {
        node.tag = Some("!unsafe".into());
    }
    match &mut node.value {
        NodeValue::Sequence(items) => items.iter_mut().for_each(mark_unsafe),
        NodeValue::Mapping(mapping) => mapping.entries.iter_mut().for_each(|(key, value)| {
            mark_unsafe(key);
            mark_unsafe(value);
        }),
        NodeValue::Null
        | NodeValue::Bool(_)
        | NodeValue::Integer(_)
        | NodeValue::BigInteger(_)
        | NodeValue::Float(_)
        | NodeValue::String(_) => {}
    }
}

fn refuse(tag: &str, node: Node) -> Box<Refused> {
    let tag = shown(tag);
    let message = format!("`{tag}` does not fit {}", node.kind());
    let diagnostic = Diagnostic::error("yaml-tag", message)
        .at(node.span, format!("expected {}", meaning(&tag)))
        .hint("correct the value or remove the tag");
    Box::new(Refused { diagnostic, node })
}

/// A tag as users write it.
fn shown(tag: &str) -> String {
    match tag.strip_prefix(CORE) {
        Some(name) => format!("!!{name}"),
        None if tag.starts_with('!') => tag.to_owned(),
        None => format!("!<{tag}>"),
    }
}

/// What a core tag stands for.
fn meaning(tag: &str) -> &'static str {
    match tag {
        "!!bool" => "a boolean",
        "!!int" => "an integer",
        "!!float" => "a number",
        "!!null" => "nothing",
        "!!binary" => "base64",
        "!!seq" => "a list",
        "!!map" | "!!set" => "a mapping",
        "!!omap" | "!!pairs" => "a list of mappings with one entry each",
        _ => "text",
    }
}
