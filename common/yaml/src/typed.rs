//! The tree as typed data: serde over nodes, with the place of everything that does not fit.

use std::cell::RefCell;
use std::collections::BTreeSet;

use diagnostics::{Diagnostic, Span};
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

mod access;
mod failure;

use crate::spanned::SPANNED;
use crate::{Mapping, Node, NodeValue};
use access::{EnumAccess, Items, PlaceAndValue, StructEntries};
use failure::Failure;

/// Most passes over one document: each finds one more value that does not fit.
const MAX_PASSES: usize = 32;

/// A typed value from a node, or everything that does not fit it, in the order of the text.
///
/// Keys that a struct does not have are errors with a suggestion, whether or not it says
/// `deny_unknown_fields`.
///
/// # Errors
/// One diagnostic per unknown key and per value that does not fit.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Vec<Diagnostic>> {
    let mut notes = Notes::default();
    for _ in 0..MAX_PASSES {
        let notes_cell = RefCell::new(std::mem::take(&mut notes));
        let result = T::deserialize(Reader { node, notes: &notes_cell });
        notes = notes_cell.into_inner();
        match result {
            Ok(value) if notes.diagnostics.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(failure) => {
                let entry = failure.entry;
                if !failure.suppressed {
                    notes.report(failure.into_diagnostic(node.span));
                }
                // Look for further errors as if the entry with this one were not there.
                if !entry.is_some_and(|entry| notes.skipped.insert(place(entry))) {
                    break;
                }
            }
        }
    }
    let mut diagnostics = notes.diagnostics;
    diagnostics
        .sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| place(label.span)));
    Err(diagnostics)
}

/// What one pass leaves for the next.
#[derive(Default)]
struct Notes {
    diagnostics: Vec<Diagnostic>,
    /// Places of entries that were found not to fit.
    skipped: BTreeSet<(u32, u32, u32)>,
}

impl Notes {
    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }
}

fn place(span: Span) -> (u32, u32, u32) {
    (span.source.0, span.start, span.end)
}

/// A node to deserialize from.
#[derive(Clone, Copy)]
struct Reader<'node> {
    node: &'node Node,
    notes: &'node RefCell<Notes>,
}

impl<'node> Reader<'node> {
    /// The same notes for a part of this node.
    fn part(self, node: &'node Node) -> Self {
        Reader { node, ..self }
    }

    fn is_skipped(self, node: &Node) -> bool {
        self.notes.borrow().skipped.contains(&place(node.span))
    }

    fn expected(self, what: &str) -> Failure {
        let message = format!("expected {what}, found {}", self.node.kind());
        Failure::new("yaml-type", message).at(self.node.span, format!("expected {what}"))
    }

    fn mapping(self) -> Result<&'node Mapping, Failure> {
        self.node.as_mapping().ok_or_else(|| {
            self.expected("a mapping").hint("write `key: value` lines, indented below the key")
        })
    }

    fn items(self) -> Result<&'node [Node], Failure> {
        self.node
            .as_sequence()
            .ok_or_else(|| self.expected("a list").hint("write `- item` lines, or `[a, b]`"))
    }

    /// Lets the visitor see whatever the node is.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            NodeValue::Null => visitor.visit_unit(),
            NodeValue::Bool(value) => visitor.visit_bool(*value),
            NodeValue::Integer(value) => visitor.visit_i64(*value),
            NodeValue::BigInteger(digits) => match digits.parse() {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => Err(Failure::custom("this number does not fit 64 bits")),
            },
            NodeValue::Float(value) => visitor.visit_f64(*value),
            NodeValue::String(text) => visitor.visit_str(text),
            NodeValue::Sequence(items) => visitor.visit_seq(Items::new(self, items)),
            NodeValue::Mapping(mapping) => {
                visitor.visit_map(StructEntries::new(self, mapping.iter().collect(), Vec::new()))
            }
        }
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            NodeValue::Integer(_) | NodeValue::BigInteger(_) => self.any(visitor),
            _ => Err(self.expected("a whole number")),
        }
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            NodeValue::String(text) => visitor.visit_str(text),
            NodeValue::Sequence(_) | NodeValue::Mapping(_) => Err(self.expected("text")),
            _ => Err(self.expected("text").hint("put it in quotes if it is meant as text")),
        }
    }

    /// The entries that a struct knows; the others are reported.
    fn known_entries(
        self,
        fields: &'static [&'static str],
    ) -> Result<StructEntries<'node>, Failure> {
        let mut entries = Vec::new();
        let mut dropped = Vec::new();
        for (key, value) in self.mapping()?.iter() {
            match key.as_str().filter(|key| fields.contains(key)) {
                Some(name) if self.is_skipped(value) => dropped.push(name),
                Some(_) => entries.push((key, value)),
                None => {
                    let unknown = failure::unknown_key(key, fields).at(key.span, "not known here");
                    self.notes.borrow_mut().report(unknown.into_diagnostic(key.span));
                }
            }
        }
        Ok(StructEntries::new(self, entries, dropped))
    }
}

/// Methods that only differ in their name.
macro_rules! forward {
    ($($method:ident => $target:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            let span = self.node.span;
            self.$target(visitor).map_err(|failure| failure.within(span))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Failure;

    forward! {
        deserialize_any => any,
        deserialize_bool => any,
        deserialize_f32 => any,
        deserialize_f64 => any,
        deserialize_unit => any,
        deserialize_bytes => any,
        deserialize_byte_buf => any,
        deserialize_i8 => integer,
        deserialize_i16 => integer,
        deserialize_i32 => integer,
        deserialize_i64 => integer,
        deserialize_i128 => integer,
        deserialize_u8 => integer,
        deserialize_u16 => integer,
        deserialize_u32 => integer,
        deserialize_u64 => integer,
        deserialize_u128 => integer,
        deserialize_char => string,
        deserialize_str => string,
        deserialize_string => string,
        deserialize_identifier => string,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let span = self.node.span;
        let result = if name == SPANNED {
            visitor.visit_map(PlaceAndValue::new(self))
        } else {
            visitor.visit_newtype_struct(self)
        };
        result.map_err(|failure| failure.within(span))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let items = Items::new(self, self.items()?);
        visitor.visit_seq(items).map_err(|failure| failure.within(self.node.span))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let entries = self.mapping()?.iter().filter(|(_, value)| !self.is_skipped(value)).collect();
        let entries = StructEntries::new(self, entries, Vec::new());
        visitor.visit_map(entries).map_err(|failure| failure.within(self.node.span))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let entries = self.known_entries(fields)?;
        let dropped = entries.dropped.clone();
        visitor.visit_map(entries).map_err(|failure| {
            // A field that was skipped for its own error is not missing.
            let suppressed = failure.missing.is_some_and(|name| dropped.contains(&name));
            failure.suppress_if(suppressed).within(self.node.span)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let access = match &self.node.value {
            NodeValue::String(_) => EnumAccess::new(self, self.node, None),
            NodeValue::Mapping(mapping) => match mapping.entries.as_slice() {
                [(name, value)] => EnumAccess::new(self, name, Some(value)),
                _ => return Err(self.expected("one of these").names(variants)),
            },
            _ => return Err(self.expected("one of these").names(variants)),
        };
        visitor.visit_enum(access).map_err(|failure| failure.within(self.node.span))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}
