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
        let mut winners: Vec<usize> = Vec::with_capacity(slots.len());
        {
            let mut seen: BTreeMap<Identity<'_>, usize> = BTreeMap::new();
            for (index, (key, _)) in
                slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
            {
                let position = *seen.entry(identity(key)).or_insert(winners.len());
                match winners.get_mut(position) {
                    None => winners.push(index),
                    Some(winner) => {
                        let earlier = slots.get(*winner).and_then(Option::as_ref);
                        if let Some((first, _)) = earlier.filter(|_| *winner >= merged) {
                            diagnostics.push(duplicate(first, key, schema));
                        }
                        *winner = index;
                    }
                }
            }
        }
        let entries = winners
            .iter()
            .filter_map(|index| slots.get_mut(*index).and_then(Option::take))
            .collect();
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
