//! Values as Python would see them: minijinja's [`Value`] with Python's kinds, truth and names.

mod compare;
mod containers;
mod convert;
mod json;
mod literal;
mod ops;
mod repr;
mod undefined;

pub(crate) use compare::{as_float, compare, contains, equal, order};
pub(crate) use containers::{MutableDict, MutableList, thaw};
pub use convert::{from_json, to_json, value_of_node};
pub use json::json_text;
pub(crate) use json::{JsonStyle, write_json};
pub(crate) use literal::{parse_literal, parse_python_literal, unescape};
pub(crate) use ops::{Arithmetic, arithmetic, negate, slice};
pub(crate) use repr::{repr_float, write_text};
pub use repr::{repr_of, text_of};
pub(crate) use undefined::{Undefined, is_missing, silent_undefined, undefined, undefined_error};
pub use undefined::{is_omit, is_undefined, omit};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Tuple, ValueKind};

use crate::error::{Outcome, TemplateError};

/// A dictionary under construction.
pub(crate) type Pairs = IndexMap<Value, Value>;

/// What a value is in Python's terms.
pub(crate) enum View<'a> {
    Undefined,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    List,
    Tuple,
    Dict,
    /// A macro, a date, a namespace…
    Object,
}

/// What a value is in Python's terms.
pub(crate) fn view(value: &Value) -> View<'_> {
    match value.kind() {
        ValueKind::Undefined => View::Undefined,
        ValueKind::None => View::None,
        ValueKind::Bool => View::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).map_or(View::Object, View::Int)
        }
        ValueKind::Number => f64::try_from(value.clone()).map_or(View::Object, View::Float),
        ValueKind::String => value.as_str().map_or(View::Object, View::Text),
        ValueKind::Bytes => value.as_bytes().map_or(View::Object, View::Bytes),
        ValueKind::Seq if value.is_tuple() => View::Tuple,
        ValueKind::Seq | ValueKind::Iterable => View::List,
        ValueKind::Map => View::Dict,
        _ if is_undefined(value) => View::Undefined,
        _ => View::Object,
    }
}

/// Whether this is a list or a tuple.
pub(crate) fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// Whether this is a dictionary.
pub(crate) fn is_dict(value: &Value) -> bool {
    value.kind() == ValueKind::Map
}

/// An integer that fits.
pub(crate) fn int_value(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// A list.
pub(crate) fn list_value(items: Vec<Value>) -> Value {
    Value::from(items)
}

/// A tuple.
pub(crate) fn tuple_value(items: Vec<Value>) -> Value {
    Value::from(Tuple::from(items))
}

/// A dictionary.
pub(crate) fn dict_value(pairs: Pairs) -> Value {
    Value::from_object(pairs)
}

/// A dictionary with text keys.
pub(crate) fn dict_of<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    dict_value(pairs.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}

/// Text that stays text in the classic dialect even if it looks like a literal, as the results of
/// `to_json` and `string` do there (`STRING_TYPE_FILTERS`).
#[must_use]
pub fn kept_text(text: String) -> Value {
    Value::from_safe_string(text)
}

/// The items that Python would iterate over: items of lists, keys of dictionaries, characters.
pub(crate) fn iterate(value: &Value) -> Outcome<Vec<Value>> {
    match view(value) {
        View::List | View::Tuple | View::Dict => sequence_items(value),
        View::Text(text) => Ok(text.chars().map(Value::from).collect()),
        View::Bytes(bytes) => Ok(bytes.iter().map(|byte| Value::from(*byte)).collect()),
        View::Undefined if !is_missing(value) => Ok(Vec::new()),
        View::Undefined => Err(undefined_error(value)),
        _ => Err(TemplateError::failed(format!("'{}' object is not iterable", type_name(value)))),
    }
}

/// Items of a list or keys of a dictionary.
fn sequence_items(value: &Value) -> Outcome<Vec<Value>> {
    if let Some(items) = value.downcast_object_ref::<Vec<Value>>() {
        return Ok(items.clone());
    }
    if let Some(pairs) = value.downcast_object_ref::<Pairs>() {
        return Ok(pairs.keys().cloned().collect());
    }
    value
        .try_iter()
        .map(Iterator::collect)
        .map_err(|error| TemplateError::failed(error.to_string()))
}

/// Keys and values of a dictionary; nothing for anything else.
pub(crate) fn pairs_of(value: &Value) -> Vec<(Value, Value)> {
    if let Some(pairs) = value.downcast_object_ref::<Pairs>() {
        return pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    if !is_dict(value) {
        return Vec::new();
    }
    value.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten().collect()
}

/// The value of a text key.
pub(crate) fn dict_get(value: &Value, key: &str) -> Option<Value> {
    if !is_dict(value) {
        return None;
    }
    value.as_object().and_then(|object| object.get_value_by_str(key))
}

/// The value of any key.
pub(crate) fn dict_get_value(value: &Value, key: &Value) -> Option<Value> {
    if let Some(text) = key.as_str() {
        return dict_get(value, text);
    }
    let number = matches!(view(key), View::Int(_) | View::Float(_) | View::Bool(_) | View::None);
    if !is_dict(value) || !(number || is_list(key)) {
        return None;
    }
    value.as_object().and_then(|object| object.get_value(key))
}

/// How many items or characters Python's `len` counts.
pub(crate) fn length(value: &Value) -> Outcome<usize> {
    match view(value) {
        View::Text(text) => Ok(text.chars().count()),
        View::Bytes(bytes) => Ok(bytes.len()),
        View::List | View::Tuple | View::Dict => match value.len() {
            Some(length) => Ok(length),
            None => iterate(value).map(|items| items.len()),
        },
        View::Undefined => Err(undefined_error(value)),
        _ => Err(TemplateError::failed(format!(
            "object of type '{}' has no len()",
            type_name(value)
        ))),
    }
}

/// Python's truth; undefined counts as false here (the evaluator stops before asking).
#[must_use]
pub fn is_true(value: &Value) -> bool {
    match view(value) {
        View::Undefined | View::None => false,
        View::Bool(value) => value,
        View::Int(number) => number != 0,
        View::Float(number) => number != 0.0,
        View::Text(text) => !text.is_empty(),
        View::Bytes(bytes) => !bytes.is_empty(),
        View::List | View::Tuple | View::Dict => length(value).map_or(true, |length| length > 0),
        View::Object => true,
    }
}

/// Python's name of the type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match view(value) {
        View::Undefined => "AnsibleUndefined",
        View::None => "NoneType",
        View::Bool(_) => "bool",
        View::Int(_) => "int",
        View::Float(_) => "float",
        View::Text(_) => "str",
        View::Bytes(_) => "bytes",
        View::List => "list",
        View::Tuple => "tuple",
        View::Dict => "dict",
        View::Object => object_type_name(value),
    }
}

fn object_type_name(value: &Value) -> &'static str {
    if value.downcast_object_ref::<crate::time::Moment>().is_some() {
        "datetime"
    } else if value.downcast_object_ref::<crate::time::Span>().is_some() {
        "timedelta"
    } else if value.downcast_object_ref::<crate::run::Macro>().is_some() {
        "Macro"
    } else if value.downcast_object_ref::<crate::run::Class>().is_some() {
        "type"
    } else {
        "object"
    }
}

/// Ansible's reading of a boolean: `yes`, `on`, `1`, `true`, `t`, `y` and their opposites in any case.
#[must_use]
pub fn to_boolean(value: &Value) -> Option<bool> {
    match view(value) {
        View::Bool(value) => Some(value),
        View::Int(1) => Some(true),
        View::Int(0) => Some(false),
        View::Float(1.0) => Some(true),
        View::Float(0.0) => Some(false),
        View::Text(text) => match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Whether there is a tuple anywhere in a value.
pub(crate) fn contains_tuple(value: &Value) -> bool {
    match view(value) {
        View::Tuple => true,
        View::List => iterate(value).unwrap_or_default().iter().any(contains_tuple),
        View::Dict => pairs_of(value).iter().any(|(_, item)| contains_tuple(item)),
        _ => false,
    }
}

/// The value with lists for tuples, as the strict dialect finalises results.
pub(crate) fn without_tuples(value: &Value) -> Value {
    match view(value) {
        View::Tuple | View::List => {
            list_value(iterate(value).unwrap_or_default().iter().map(without_tuples).collect())
        }
        View::Dict => dict_value(
            pairs_of(value).into_iter().map(|(key, item)| (key, without_tuples(&item))).collect(),
        ),
        _ => value.clone(),
    }
}
