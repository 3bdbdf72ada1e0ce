//! The tree as JSON, as Ansible's variables see it.

use serde_json::{Map, Number, Value};

use crate::{Node, NodeValue};

/// A node as JSON: keys become text as Python's `json` writes them (`true`, `null`, `1.5`), tags
/// are dropped, infinite and undefined numbers become text, integers beyond 64 bits become
/// floats.
#[must_use]
pub fn to_json(node: &Node) -> Value {
    match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(value) => Value::Bool(*value),
        NodeValue::Integer(value) => Value::from(*value),
        NodeValue::BigInteger(digits) => big(digits),
        NodeValue::Float(value) => match Number::from_f64(*value) {
            Some(number) => Value::Number(number),
            None => Value::String(not_finite(*value).to_owned()),
        },
        NodeValue::String(text) => Value::String(text.to_string()),
        NodeValue::Sequence(items) => items.iter().map(to_json).collect(),
        NodeValue::Mapping(mapping) => {
            let entries: Map<String, Value> =
                mapping.iter().map(|(key, value)| (key_text(key), to_json(value))).collect();
            Value::Object(entries)
        }
    }
}

/// A key as the text that JSON needs.
#[must_use]
pub fn key_text(key: &Node) -> String {
    match &key.value {
        NodeValue::String(text) | NodeValue::BigInteger(text) => text.to_string(),
        NodeValue::Null => "null".to_owned(),
        NodeValue::Bool(value) => value.to_string(),
        NodeValue::Integer(value) => value.to_string(),
        NodeValue::Float(value) => match Number::from_f64(*value) {
            Some(number) => number.to_string(),
            None => not_finite(*value).to_owned(),
        },
        NodeValue::Sequence(_) | NodeValue::Mapping(_) => to_json(key).to_string(),
    }
}

fn big(digits: &str) -> Value {
    if let Ok(value) = digits.parse::<u64>() {
        return Value::from(value);
    }
    let number = digits.parse().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(digits.to_owned()), Value::Number)
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
