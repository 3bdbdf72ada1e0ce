//! Events to the tree: anchors, tags, merge keys, duplicates and limits.

use std::collections::BTreeMap;

use diagnostics::{Diagnostic, Span};
use libyaml::{Event, EventData, MappingStyle, ScalarStyle, SequenceStyle};

use crate::events::Events;
use crate::limits::{MAX_ALIASED_BYTES, MAX_DEPTH, MAX_DIAGNOSTICS, MAX_NODES};
use crate::mapping::Entries;
use crate::tags::{self, Tagged};
use crate::{Node, NodeValue, Schema};

/// Builds the documents of one text.
pub(crate) struct Builder<'text> {
    events: Events<'text>,
    schema: Schema,
    anchors: BTreeMap<String, Anchor>,
    nodes: usize,
    aliased_bytes: usize,
    diagnostics: Vec<Diagnostic>,
}

/// What stops the reading of a text; the diagnostic is already recorded.
pub(crate) struct Stop;

/// An anchor of the current document.
struct Anchor {
    /// Where its node stands.
    span: Span,
    /// The node, once it is complete; before, an alias would contain itself.
    node: Option<(Node, Weight)>,
}

/// What one more copy of a node costs.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Weight {
    fn of(node: &Node) -> Self {
        let mut weight = Weight { nodes: 1, bytes: 0, depth: 1 };
        let mut add = |child: &Node| {
            let child = Weight::of(child);
            weight.nodes += child.nodes;
            weight.bytes += child.bytes;
            weight.depth = weight.depth.max(child.depth + 1);
        };
        match &node.value {
            NodeValue::Sequence(items) => items.iter().for_each(add),
            NodeValue::Mapping(mapping) => mapping.iter().for_each(|(key, value)| {
                add(key);
                add(value);
            }),
            NodeValue::String(text) | NodeValue::BigInteger(text) => weight.bytes = text.len(),
            NodeValue::Null | NodeValue::Bool(_) | NodeValue::Integer(_) | NodeValue::Float(_) => {}
        }
        weight
    }
}

impl<'text> Builder<'text> {
    /// A builder over the events of one text.
    pub(crate) fn new(events: Events<'text>, schema: Schema) -> Self {
        Builder {
            events,
            schema,
            anchors: BTreeMap::new(),
            nodes: 0,
            aliased_bytes: 0,
            diagnostics: Vec::new(),
        }
    }

    /// All documents that could be read, and everything that is wrong with the text.
    pub(crate) fn documents(mut self) -> (Vec<Node>, Vec<Diagnostic>) {
        let mut documents = Vec::new();
        loop {
            match self.document() {
                Ok(Some(document)) => documents.push(document),
                Ok(None) | Err(Stop) => return (documents, self.diagnostics),
            }
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        loop {
            let event = self.event()?;
            match event.data {
                EventData::StreamEnd => return Ok(None),
                EventData::DocumentStart { .. } => {
                    self.anchors.clear();
                    let content = self.event()?;
                    return self.node(content, 1).map(Some);
                }
                _ => {}
            }
        }
    }

    fn event(&mut self) -> Result<Event, Stop> {
        self.events.next().map_err(|diagnostic| self.stop(*diagnostic))
    }

    /// Records a diagnostic after which nothing can be read any more.
    fn stop(&mut self, diagnostic: Diagnostic) -> Stop {
        let told = |known: &Diagnostic| {
            known.code == diagnostic.code && known.primary == diagnostic.primary
        };
        if !self.diagnostics.iter().any(told) {
            self.diagnostics.push(diagnostic);
        }
        Stop
    }

    /// Records a diagnostic, up to a limit.
    fn report(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(diagnostic);
        }
    }

    fn node(&mut self, event: Event, depth: usize) -> Result<Node, Stop> {
        self.count(&event, 1, depth)?;
        let Event { data, .. } = &event;
        match data {
            EventData::Alias { anchor } => self.alias(anchor, &event, depth),
            EventData::Scalar { anchor, tag, value, plain_implicit, style, .. } => {
                let span = self.events.span(&event, anchor.is_some() || tag.is_some());
                self.open(anchor.as_deref(), span);
                let plain = *style == ScalarStyle::Plain;
                let scalar = Tagged { tag: tag.as_deref(), plain, implicit: *plain_implicit, span };
                let node = tags::scalar(scalar, value, self.schema).unwrap_or_else(|refused| {
                    self.report(refused.diagnostic);
                    refused.node
                });
                self.close(anchor.as_deref(), &event, &node)?;
                Ok(node)
            }
            EventData::SequenceStart { anchor, tag, style, .. } => {
                let begin = self.events.span(&event, anchor.is_some() || tag.is_some());
                self.open(anchor.as_deref(), begin);
                let node = self.sequence(begin, *style, depth)?;
                self.finish(&event, anchor.as_deref(), tag.as_deref(), node)
            }
            EventData::MappingStart { anchor, tag, style, .. } => {
                let begin = self.events.span(&event, anchor.is_some() || tag.is_some());
                self.open(anchor.as_deref(), begin);
                let node = self.mapping(begin, *style, depth)?;
                self.finish(&event, anchor.as_deref(), tag.as_deref(), node)
            }
            // The parser produces no other event where a node is expected.
            _ => Ok(Node::new(self.events.start(&event), NodeValue::Null)),
        }
    }

    /// Counts what is about to be built and refuses what exceeds the limits.
    fn count(&mut self, event: &Event, nodes: usize, depth: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        let span = self.events.start(event);
        let limit = |message: String| Diagnostic::error("yaml-limit", message).at(span, "here");
        if depth > MAX_DEPTH {
            let message = format!("lists and mappings are nested deeper than {MAX_DEPTH} levels");
            return Err(self.stop(limit(message)));
        }
        if self.nodes > MAX_NODES {
            let message = format!("the text has more than {MAX_NODES} values");
            return Err(
                self.stop(limit(message).note("aliases (`*name`) count with all they copy"))
            );
        }
        if self.aliased_bytes > MAX_ALIASED_BYTES {
            let message = format!("aliases copy more than {MAX_ALIASED_BYTES} bytes");
            return Err(self.stop(limit(message)));
        }
        Ok(())
    }

    fn sequence(&mut self, begin: Span, style: SequenceStyle, depth: usize) -> Result<Node, Stop> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let event = self.event()?;
            if event.data == EventData::SequenceEnd {
                let end = match (style, items.last()) {
                    (SequenceStyle::Block, Some(last)) => last.span,
                    _ => self.events.span(&event, false),
                };
                return Ok(Node::new(cover(begin, end), NodeValue::Sequence(items)));
            }
            items.push(self.node(event, depth + 1)?);
        }
    }

    fn mapping(&mut self, begin: Span, style: MappingStyle, depth: usize) -> Result<Node, Stop> {
        let mut entries = Entries::default();
        let mut bad_key = None;
        let mut end = begin;
        loop {
            let event = self.event()?;
            if event.data == EventData::MappingEnd {
                if style != MappingStyle::Block {
                    end = self.events.span(&event, false);
                }
                break;
            }
            let merge = is_merge_key(&event);
            let key = self.node(event, depth + 1)?;
            let value_event = self.event()?;
            let value = self.node(value_event, depth + 1)?;
            end = cover(end, key.span);
            end = cover(end, value.span);
            if matches!(key.value, NodeValue::Sequence(_) | NodeValue::Mapping(_)) {
                bad_key.get_or_insert(key.span);
            } else if merge {
                if let Err(diagnostic) = entries.merge(key.span, value) {
                    self.report(*diagnostic);
                }
            } else {
                entries.own.push((key, value));
            }
        }
        let span = cover(begin, end);
        if let Some(key) = bad_key {
            return Ok(self.bad_key(span, key));
        }
        let (mapping, duplicates) = entries.finish(self.schema);
        duplicates.into_iter().for_each(|duplicate| self.report(duplicate));
        Ok(Node::new(span, NodeValue::Mapping(mapping)))
    }

    /// A list or mapping cannot be a key; mostly it is a template without quotes.
    fn bad_key(&mut self, mapping: Span, key: Span) -> Node {
        let written = self.events.text(mapping);
        if written.starts_with("{{") {
            let line = self.events.rest(mapping).lines().next().unwrap_or(written);
            let template = written.lines().next().unwrap_or(written);
            self.report(crate::syntax::unquoted_template(mapping, template, line));
        } else {
            self.report(
                Diagnostic::error("yaml-key", "a list or mapping cannot be a key")
                    .at(key, "expected text or a number as the key")
                    .hint("put the key in quotes if it is meant as text"),
            );
        }
        Node::string(mapping, written)
    }

    /// Registers an anchor whose node begins here.
    fn open(&mut self, anchor: Option<&str>, span: Span) {
        let Some(name) = anchor else { return };
        if let Some(first) = self.anchors.get(name).map(|anchor| anchor.span) {
            self.report(
                Diagnostic::error(
                    "yaml-duplicate-anchor",
                    format!("anchor `&{name}` is defined twice"),
                )
                .at(span, "defined again here")
                .also(first, "first defined here")
                .hint("give each anchor of a document its own name"),
            );
        }
        self.anchors.insert(name.to_owned(), Anchor { span, node: None });
    }

    /// Completes an anchor. It keeps a copy for the aliases, which counts like any other.
    fn close(&mut self, anchor: Option<&str>, event: &Event, node: &Node) -> Result<(), Stop> {
        let Some(name) = anchor else { return Ok(()) };
        let weight = Weight::of(node);
        self.count(event, weight.nodes, 1)?;
        if let Some(anchor) = self.anchors.get_mut(name) {
            anchor.span = node.span;
            anchor.node = Some((node.clone(), weight));
        }
        Ok(())
    }

    /// Applies the tag of a list or mapping and completes its anchor.
    fn finish(
        &mut self,
        event: &Event,
        anchor: Option<&str>,
        tag: Option<&str>,
        node: Node,
    ) -> Result<Node, Stop> {
        let node = match tag {
            None => node,
            Some(tag) => tags::collection(tag, node).unwrap_or_else(|refused| {
                self.report(refused.diagnostic);
                refused.node
            }),
        };
        self.close(anchor, event, &node)?;
        Ok(node)
    }

    fn alias(&mut self, name: &str, event: &Event, depth: usize) -> Result<Node, Stop> {
        let span = self.events.span(event, false);
        let found =
            self.anchors.get(name).map(|anchor| anchor.node.as_ref().map(|(_, weight)| *weight));
        match found {
            Some(Some(weight)) => {
                self.aliased_bytes = self.aliased_bytes.saturating_add(weight.bytes);
                self.count(event, weight.nodes, depth + weight.depth - 1)?;
                let node = self.anchors.get(name).and_then(|anchor| anchor.node.as_ref());
                return Ok(
                    node.map_or_else(|| Node::new(span, NodeValue::Null), |(node, _)| node.clone())
                );
            }
            Some(None) => self.report(
                Diagnostic::error(
                    "yaml-recursive-alias",
                    format!("`*{name}` stands inside its own anchor"),
                )
                .at(span, "would contain itself")
                .hint("an alias can only repeat a value that is already complete"),
            ),
            None => {
                let known = self.anchors.keys().map(String::as_str);
                let hint = match diagnostics::closest(name, known) {
                    Some(near) => format!("did you mean `*{near}`?"),
                    None => format!(
                        "define it earlier in this document with `&{name}`, or put the value in quotes if it is text: \"*{name}\""
                    ),
                };
                self.report(
                    Diagnostic::error(
                        "yaml-undefined-alias",
                        format!("alias `*{name}` has no anchor"),
                    )
                    .at(span, "not defined before this place")
                    .hint(hint),
                );
            }
        }
        Ok(Node::new(span, NodeValue::Null))
    }
}

/// From the beginning of a collection to the end of its last part; merged and aliased parts
/// stand earlier in the text and do not count.
fn cover(begin: Span, end: Span) -> Span {
    Span { end: end.end.max(begin.end), ..begin }
}

/// Whether a key event is the plain `<<` or is tagged `!!merge`.
fn is_merge_key(event: &Event) -> bool {
    match &event.data {
        EventData::Scalar {
            tag: None,
            value,
            plain_implicit: true,
            style: ScalarStyle::Plain,
            ..
        } => value == "<<",
        EventData::Scalar { tag: Some(tag), .. } => tag == "tag:yaml.org,2002:merge",
        _ => false,
    }
}
