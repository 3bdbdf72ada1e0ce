//! What becomes of a mapping's entries: merge keys, duplicates, order.

use std::collections::BTreeMap;

use diagnostics::{Diagnostic, Severity, Span};

use crate::{Mapping, Node, NodeValue, Schema};

/// The entries of one mapping while it is read.
#[derive(Default)]
pub(crate) struct Entries {
    /// What merge keys brought, weakest first.
    merged: Vec<(Node, Node)>,
    /// What stands in the mapping itself.
    pub(crate) own: Vec<(Node, Node)>,
}

/// From which of the written entries one entry of the mapping comes.
struct Place {
    key: usize,
    value: usize,
}

/// When two keys are one key; numbers and booleans compare as in Python (`1 == 1.0 == True`).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'node> {
    Null,
    Integer(i64),
    Float(u64),
    Digits(&'node str),
    Text(&'node str),
}

impl Entries {
    /// Takes the value of a merge key: a mapping, or a list of mappings of which the first wins.
    pub(crate) fn merge(&mut self, key: Span, value: Node) -> Result<(), Box<Diagnostic>> {
        let refuse = |node: &Node| {
            let message = format!("cannot merge {} into a mapping", node.kind());
            Box::new(
                Diagnostic::error("yaml-merge", message)
                    .at(node.span, "expected a mapping or a list of mappings")
                    .also(key, "for this merge key")
                    .hint("merge the mapping behind an anchor: `<<: *name`"),
            )
        };
        match value.value {
            NodeValue::Mapping(mapping) => self.merged.extend(mapping.entries),
            NodeValue::Sequence(items) => {
                for item in items.into_iter().rev() {
                    match item.value {
                        NodeValue::Mapping(mapping) => self.merged.extend(mapping.entries),
                        _ => return Err(refuse(&item)),
                    }
                }
            }
            _ => return Err(refuse(&value)),
        }
        Ok(())
    }

    /// The mapping as Python's `dict` would hold it: a key keeps its first position and takes
    /// its last value; and a diagnostic for each key that the user wrote twice.
    pub(crate) fn finish(self, schema: Schema) -> (Mapping, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let merged = self.merged.len();
        let mut slots: Vec<Option<(Node, Node)>> = Vec::with_capacity(merged + self.own.len());
        slots.extend(self.merged.into_iter().chain(self.own).map(Some));
        let mut places: Vec<Place> = Vec::with_capacity(slots.len());
        {
            let keys = slots.iter().flatten().map(|(key, _)| key);
            let mut seen: BTreeMap<Identity<'_>, (usize, &Node)> = BTreeMap::new();
            for (index, key) in keys.enumerate() {
                let known = seen.get(&identity(key)).copied();
                let place = known.and_then(|(place, _)| places.get_mut(place));
                let (Some((position, earlier)), Some(place)) = (known, place) else {
                    seen.insert(identity(key), (places.len(), key));
                    places.push(Place { key: index, value: index });
                    continue;
                };
                if place.value >= merged {
                    diagnostics.push(duplicate(earlier, key, schema));
                }
                place.value = index;
                // Equal keys of different types (`1` and `true`): Python keeps the first one.
                if earlier.value == key.value {
                    place.key = index;
                }
                seen.insert(identity(key), (position, key));
            }
        }
        let mut entries = Vec::with_capacity(places.len());
        for Place { key, value } in places {
            let first = (key != value).then(|| slots.get_mut(key).and_then(Option::take)).flatten();
            if let Some((last, value)) = slots.get_mut(value).and_then(Option::take) {
                entries.push((first.map_or(last, |(key, _)| key), value));
            }
        }
        (Mapping { entries }, diagnostics)
    }
}

fn identity(key: &Node) -> Identity<'_> {
    match &key.value {
        NodeValue::Null | NodeValue::Sequence(_) | NodeValue::Mapping(_) => Identity::Null,
        NodeValue::Bool(value) => Identity::Integer(i64::from(*value)),
        NodeValue::Integer(value) => Identity::Integer(*value),
        NodeValue::BigInteger(digits) => Identity::Digits(digits),
        NodeValue::Float(value) => match whole(*value) {
            Some(value) => Identity::Integer(value),
            None => Identity::Float(value.to_bits()),
        },
        NodeValue::String(text) => Identity::Text(text),
    }
}

/// The integer that equals this float, within the range where floats hold every integer.
fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() > EXACT || value.fract() != 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number below 2^53")]
    Some(value as i64)
}

fn duplicate(first: &Node, again: &Node, schema: Schema) -> Diagnostic {
    let name = match again.as_str() {
        Some(text) => format!("`{text}` "),
        None => String::new(),
    };
    let severity = match schema {
        Schema::Ansible => Severity::Warning,
        Schema::Strict => Severity::Error,
    };
    let mut diagnostic =
        Diagnostic::warning("yaml-duplicate-key", format!("key {name}stands twice in one mapping"))
            .at(again.span, "this one counts")
            .also(first.span, "this one is ignored")
            .hint("remove one of them");
    diagnostic.severity = severity;
    diagnostic
}
