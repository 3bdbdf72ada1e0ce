//! Python's methods of text, bytes, lists, dictionaries and numbers.

mod containers;
pub(crate) mod text;

use minijinja::Value;

use crate::error::Outcome;
use crate::run::Call;
use crate::value::{View, view};

/// Calls a method of `call.input`; `None` if its type has no such method.
pub(crate) fn call(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    let kind = match view(&call.input) {
        View::Text(_) => Kind::Text,
        View::Bytes(_) => Kind::Bytes,
        View::List | View::Tuple => Kind::List,
        View::Dict => Kind::Dict,
        View::Int(_) | View::Float(_) | View::Bool(_) => Kind::Number,
        _ => return None,
    };
    match kind {
        Kind::Text => text::text_method(name, call),
        Kind::Bytes => text::bytes_method(name, call),
        Kind::List => containers::list_method(name, call),
        Kind::Dict => containers::dict_method(name, call),
        Kind::Number => number_method(name, call),
    }
}

enum Kind {
    Text,
    Bytes,
    List,
    Dict,
    Number,
}

fn number_method(name: &str, call: &mut Call) -> Option<Outcome<Value>> {
    Some(match (name, view(&call.input)) {
        ("bit_length", View::Int(number)) => {
            Ok(Value::from(128 - number.unsigned_abs().leading_zeros()))
        }
        ("is_integer", View::Float(number)) => Ok(Value::from(number.fract() == 0.0)),
        ("is_integer", _) => Ok(Value::from(true)),
        _ => return None,
    })
}
