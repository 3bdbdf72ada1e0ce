//! Between values, YAML nodes and JSON, without loss.

use minijinja::Value;
use yaml::{Node, NodeValue};

use super::{Pairs, View, dict_value, int_value, iterate, list_value, pairs_of, text_of, view};

/// The value of a node as written: nothing in it is treated as a template.
#[must_use]
pub fn value_of_node(node: &Node) -> Value {
    match &node.value {
        NodeValue::Sequence(items) => list_value(items.iter().map(value_of_node).collect()),
        NodeValue::Mapping(mapping) => dict_value(
            mapping.iter().map(|(key, value)| (value_of_node(key), value_of_node(value))).collect(),
        ),
        _ => scalar_of_node(node).unwrap_or(Value::UNDEFINED),
    }
}

/// The value of a scalar node as written.
pub(crate) fn scalar_of_node(node: &Node) -> Option<Value> {
    Some(match &node.value {
        NodeValue::Null => Value::from(()),
        NodeValue::Bool(value) => Value::from(*value),
        NodeValue::Integer(number) => Value::from(*number),
        NodeValue::BigInteger(digits) => match digits.parse::<i128>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(digits.parse::<f64>().unwrap_or(f64::NAN)),
        },
        NodeValue::Float(number) => Value::from(*number),
        NodeValue::String(text) => match node.bytes() {
            Some(bytes) => Value::from_bytes(bytes),
            None => Value::from(&**text),
        },
        NodeValue::Sequence(_) | NodeValue::Mapping(_) => return None,
    })
}

/// The value of a JSON document.
#[must_use]
pub fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => {
            if let Some(integer) = number.as_i64() {
                Value::from(integer)
            } else if let Some(integer) = number.as_u64() {
                int_value(i128::from(integer))
            } else {
                Value::from(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => list_value(items.iter().map(from_json).collect()),
        serde_json::Value::Object(pairs) => dict_value(
            pairs
                .iter()
                .map(|(key, value)| (Value::from(key.as_str()), from_json(value)))
                .collect::<Pairs>(),
        ),
    }
}

/// The JSON document of a value. Undefined, and numbers that JSON lacks, become null; keys become
/// text as Python's `json` makes them; integers beyond 64 bits become floating point.
#[must_use]
pub fn to_json(value: &Value) -> serde_json::Value {
    match view(value) {
        View::Undefined | View::None => serde_json::Value::Null,
        View::Bool(value) => serde_json::Value::Bool(value),
        View::Int(number) => integer_json(number),
        View::Float(number) => {
            serde_json::Number::from_f64(number).map_or(serde_json::Value::Null, Into::into)
        }
        View::Text(text) => serde_json::Value::String(text.to_owned()),
        View::Bytes(bytes) => {
            serde_json::Value::String(String::from_utf8_lossy(bytes).into_owned())
        }
        View::List | View::Tuple => serde_json::Value::Array(
            iterate(value).unwrap_or_default().iter().map(to_json).collect(),
        ),
        View::Dict => serde_json::Value::Object(
            pairs_of(value).iter().map(|(key, value)| (json_key(key), to_json(value))).collect(),
        ),
        View::Object => serde_json::Value::String(text_of(value)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "documented: beyond 64 bits JSON readers do the same"
)]
fn integer_json(number: i128) -> serde_json::Value {
    if let Ok(number) = i64::try_from(number) {
        number.into()
    } else if let Ok(number) = u64::try_from(number) {
        number.into()
    } else {
        serde_json::Number::from_f64(number as f64).map_or(serde_json::Value::Null, Into::into)
    }
}

/// A dictionary key as Python's `json` writes it.
pub(crate) fn json_key(key: &Value) -> String {
    match view(key) {
        View::None => "null".into(),
        View::Bool(true) => "true".into(),
        View::Bool(false) => "false".into(),
        _ => text_of(key),
    }
}
