//! Python's `==`, `<` and `in`.

use std::cmp::Ordering;

use minijinja::Value;

use super::{
    View, dict_get_value, iterate, length, pairs_of, text_of, type_name, undefined_error, view,
};
use crate::error::{Outcome, TemplateError};
use crate::time::{Moment, Span};

/// Python's `==`. Undefined values are equal to nothing here.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (view(left), view(right)) {
        (View::None, View::None) => true,
        (View::Text(left), View::Text(right)) => left == right,
        (View::Bytes(left), View::Bytes(right)) => left == right,
        (View::List, View::List) | (View::Tuple, View::Tuple) => {
            let (left, right) =
                (iterate(left).unwrap_or_default(), iterate(right).unwrap_or_default());
            left.len() == right.len()
                && left.iter().zip(&right).all(|(left, right)| equal(left, right))
        }
        (View::Dict, View::Dict) => {
            length(left).ok() == length(right).ok()
                && pairs_of(left).iter().all(|(key, value)| {
                    dict_get_value(right, key).is_some_and(|other| equal(value, &other))
                })
        }
        (View::Object, View::Object) => objects(left, right) == Some(Ordering::Equal),
        (left, right) => numbers(&left, &right) == Some(Ordering::Equal),
    }
}

fn objects(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) =
        (left.downcast_object_ref::<Moment>(), right.downcast_object_ref::<Moment>())
    {
        return Some(left.cmp(right));
    }
    if let (Some(left), Some(right)) =
        (left.downcast_object_ref::<Span>(), right.downcast_object_ref::<Span>())
    {
        return Some(left.cmp(right));
    }
    (left == right).then_some(Ordering::Equal)
}

/// Compares numbers; booleans are numbers.
fn numbers(left: &View<'_>, right: &View<'_>) -> Option<Ordering> {
    let integer = |view: &View<'_>| match view {
        View::Bool(value) => Some(i128::from(*value)),
        View::Int(number) => Some(*number),
        _ => None,
    };
    match (integer(left), integer(right), left, right) {
        (Some(left), Some(right), ..) => Some(left.cmp(&right)),
        (None, None, View::Float(left), View::Float(right)) => left.partial_cmp(right),
        (Some(left), None, _, View::Float(right)) => as_float(left).partial_cmp(right),
        (None, Some(right), View::Float(left), _) => left.partial_cmp(&as_float(right)),
        _ => None,
    }
}

/// The nearest floating point number.
#[expect(clippy::cast_precision_loss, reason = "Python rounds the same way")]
pub(crate) fn as_float(number: i128) -> f64 {
    number as f64
}

/// Python's `<` and friends; `None` if the comparison is false both ways (NaN).
pub(crate) fn compare(left: &Value, right: &Value, operator: &str) -> Outcome<Option<Ordering>> {
    match (view(left), view(right)) {
        (View::Undefined, _) => Err(undefined_error(left)),
        (_, View::Undefined) => Err(undefined_error(right)),
        (View::Text(left), View::Text(right)) => Ok(Some(left.cmp(right))),
        (View::Bytes(left), View::Bytes(right)) => Ok(Some(left.cmp(right))),
        (View::List, View::List) | (View::Tuple, View::Tuple) => {
            let (left, right) = (iterate(left)?, iterate(right)?);
            for (left, right) in left.iter().zip(&right) {
                if !equal(left, right) {
                    return compare(left, right, operator);
                }
            }
            Ok(Some(left.len().cmp(&right.len())))
        }
        (View::Float(left), View::Float(right)) => Ok(left.partial_cmp(&right)),
        (View::Object, View::Object) => match objects(left, right) {
            Some(ordering) => Ok(Some(ordering)),
            None => Err(unordered(left, right, operator)),
        },
        (left_view, right_view) => match numbers(&left_view, &right_view) {
            Some(ordering) => Ok(Some(ordering)),
            None if matches!(
                (left_view, right_view),
                (View::Float(_), View::Int(_) | View::Bool(_))
                    | (View::Int(_) | View::Bool(_), View::Float(_))
            ) =>
            {
                Ok(None)
            }
            None => Err(unordered(left, right, operator)),
        },
    }
}

fn unordered(left: &Value, right: &Value, operator: &str) -> TemplateError {
    TemplateError::failed(format!(
        "'{operator}' not supported between instances of '{}' and '{}'",
        type_name(left),
        type_name(right)
    ))
}

/// A total order for sorting keys: Python's where it has one, by text otherwise.
pub(crate) fn order(left: &Value, right: &Value) -> Ordering {
    match compare(left, right, "<") {
        Ok(Some(ordering)) => ordering,
        _ => text_of(left).cmp(&text_of(right)),
    }
}

/// Python's `item in container`.
pub(crate) fn contains(container: &Value, item: &Value) -> Outcome<bool> {
    match view(container) {
        View::Text(text) => match view(item) {
            View::Text(part) => Ok(text.contains(part)),
            View::Undefined => Err(undefined_error(item)),
            _ => Err(TemplateError::failed(format!(
                "'in <string>' requires string as left operand, not {}",
                type_name(item)
            ))),
        },
        View::Dict => match view(item) {
            View::Undefined => Err(undefined_error(item)),
            View::List | View::Dict => {
                Err(TemplateError::failed(format!("unhashable type: '{}'", type_name(item))))
            }
            _ => Ok(dict_get_value(container, item).is_some()),
        },
        View::List | View::Tuple => {
            if super::is_undefined(item) {
                return Err(undefined_error(item));
            }
            Ok(iterate(container)?.iter().any(|other| equal(other, item)))
        }
        View::Undefined => Err(undefined_error(container)),
        _ => Err(TemplateError::failed(format!(
            "argument of type '{}' is not iterable",
            type_name(container)
        ))),
    }
}
