//! Python's arithmetic and slices.

use minijinja::Value;

use super::compare::as_float;
use super::{
    View, int_value, is_undefined, iterate, list_value, text_of, tuple_value, type_name,
    undefined_error, view,
};
use crate::error::{Outcome, TemplateError};
use crate::limits::MAX_REPEATED_ITEMS;
use crate::time::{Moment, Span};

/// A binary operator that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
}

impl Arithmetic {
    fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::FloorDivide => "//",
            Arithmetic::Remainder => "%",
            Arithmetic::Power => "** or pow()",
        }
    }
}

/// `left operator right` as Python computes it.
pub(crate) fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Outcome<Value> {
    for side in [left, right] {
        if is_undefined(side) {
            return Err(undefined_error(side));
        }
    }
    match (operator, view(left), view(right)) {
        (Arithmetic::Remainder, View::Text(format), _) => {
            crate::format::percent(format, right).map(Value::from)
        }
        (Arithmetic::Add, View::Text(left), View::Text(right)) => {
            Ok(Value::from([left, right].concat()))
        }
        (Arithmetic::Add, View::List, View::List) => {
            let mut items = iterate(left)?;
            items.extend(iterate(right)?);
            Ok(list_value(items))
        }
        (Arithmetic::Add, View::Tuple, View::Tuple) => {
            let mut items = iterate(left)?;
            items.extend(iterate(right)?);
            Ok(tuple_value(items))
        }
        (
            Arithmetic::Multiply,
            View::Text(_) | View::List | View::Tuple,
            View::Int(_) | View::Bool(_),
        ) => repeat(left, right),
        (
            Arithmetic::Multiply,
            View::Int(_) | View::Bool(_),
            View::Text(_) | View::List | View::Tuple,
        ) => repeat(right, left),
        (_, View::Object, View::Object) => moments(operator, left, right),
        (_, left_view, right_view) => match (integer(&left_view), integer(&right_view)) {
            (Some(left), Some(right)) => integers(operator, left, right),
            _ => match (float(&left_view), float(&right_view)) {
                (Some(left), Some(right)) => floats(operator, left, right),
                _ => Err(impossible(operator, left, right)),
            },
        },
    }
}

fn impossible(operator: Arithmetic, left: &Value, right: &Value) -> TemplateError {
    if operator == Arithmetic::Add && left.as_str().is_some() {
        return TemplateError::failed(format!(
            "can only concatenate str (not \"{}\") to str",
            type_name(right)
        ));
    }
    if operator == Arithmetic::Add && super::is_list(left) {
        return TemplateError::failed(format!(
            "can only concatenate {} (not \"{}\") to {}",
            type_name(left),
            type_name(right),
            type_name(left)
        ));
    }
    TemplateError::failed(format!(
        "unsupported operand type(s) for {}: '{}' and '{}'",
        operator.symbol(),
        type_name(left),
        type_name(right)
    ))
}

fn integer(view: &View<'_>) -> Option<i128> {
    match view {
        View::Int(number) => Some(*number),
        View::Bool(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn float(view: &View<'_>) -> Option<f64> {
    match view {
        View::Float(number) => Some(*number),
        other => integer(other).map(as_float),
    }
}

fn integers(operator: Arithmetic, left: i128, right: i128) -> Outcome<Value> {
    let too_large = || TemplateError::failed("the integer result is too large (128 bits at most)");
    if right == 0 {
        match operator {
            Arithmetic::Divide => return Err(TemplateError::failed("division by zero")),
            Arithmetic::FloorDivide | Arithmetic::Remainder => {
                return Err(TemplateError::failed("integer division or modulo by zero"));
            }
            _ => {}
        }
    }
    let result = match operator {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => return Ok(Value::from(as_float(left) / as_float(right))),
        Arithmetic::FloorDivide => floor_divide(left, right),
        Arithmetic::Remainder => floor_divide(left, right)
            .and_then(|quotient| quotient.checked_mul(right))
            .and_then(|whole| left.checked_sub(whole)),
        Arithmetic::Power if right < 0 => {
            return Ok(Value::from(as_float(left).powf(as_float(right))));
        }
        Arithmetic::Power => u32::try_from(right).ok().and_then(|power| left.checked_pow(power)),
    };
    result.map(int_value).ok_or_else(too_large)
}

/// Rounds towards minus infinity.
fn floor_divide(left: i128, right: i128) -> Option<i128> {
    let quotient = left.checked_div(right)?;
    let exact = quotient.checked_mul(right)? == left;
    if !exact && ((left < 0) != (right < 0)) { quotient.checked_sub(1) } else { Some(quotient) }
}

fn floats(operator: Arithmetic, left: f64, right: f64) -> Outcome<Value> {
    let dividing =
        matches!(operator, Arithmetic::Divide | Arithmetic::FloorDivide | Arithmetic::Remainder);
    if dividing && right == 0.0 {
        let what = match operator {
            Arithmetic::Divide => "float division by zero",
            Arithmetic::FloorDivide => "float floor division by zero",
            _ => "float modulo",
        };
        return Err(TemplateError::failed(what));
    }
    Ok(Value::from(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::FloorDivide => (left / right).floor(),
        Arithmetic::Remainder => left - right * (left / right).floor(),
        Arithmetic::Power => left.powf(right),
    }))
}

fn repeat(what: &Value, times: &Value) -> Outcome<Value> {
    let times = integer(&view(times)).unwrap_or(0).max(0);
    let size = super::length(what)?;
    let times = usize::try_from(times)
        .ok()
        .filter(|times| size.checked_mul(*times).is_some_and(|total| total <= MAX_REPEATED_ITEMS))
        .ok_or_else(|| TemplateError::failed("the repeated value is too large"))?;
    if let View::Text(text) = view(what) {
        return Ok(Value::from(text.repeat(times)));
    }
    let items: Vec<Value> = iterate(what)?.into_iter().cycle().take(size * times).collect();
    Ok(if what.is_tuple() { tuple_value(items) } else { list_value(items) })
}

fn moments(operator: Arithmetic, left: &Value, right: &Value) -> Outcome<Value> {
    let moment = (left.downcast_object_ref::<Moment>(), right.downcast_object_ref::<Moment>());
    let span = (left.downcast_object_ref::<Span>(), right.downcast_object_ref::<Span>());
    match (operator, moment, span) {
        (Arithmetic::Subtract, (Some(left), Some(right)), _) => {
            Ok(Value::from_object(left.since(right)))
        }
        (Arithmetic::Add, (Some(moment), None), (None, Some(span)))
        | (Arithmetic::Add, (None, Some(moment)), (Some(span), None)) => {
            moment.plus(span.microseconds()).map(Value::from_object)
        }
        (Arithmetic::Subtract, (Some(moment), None), (None, Some(span))) => {
            moment.plus(-span.microseconds()).map(Value::from_object)
        }
        _ => Err(impossible(operator, left, right)),
    }
}

/// `-value`.
pub(crate) fn negate(value: &Value) -> Outcome<Value> {
    match view(value) {
        View::Int(number) => Ok(int_value(number.saturating_neg())),
        View::Bool(value) => Ok(Value::from(-i64::from(value))),
        View::Float(number) => Ok(Value::from(-number)),
        View::Undefined => Err(undefined_error(value)),
        _ => Err(TemplateError::failed(format!(
            "bad operand type for unary -: '{}'",
            type_name(value)
        ))),
    }
}

/// `value[start:stop:step]`.
pub(crate) fn slice(
    value: &Value,
    start: Option<i128>,
    stop: Option<i128>,
    step: Option<i128>,
) -> Outcome<Value> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(TemplateError::failed("slice step cannot be zero"));
    }
    let items = match view(value) {
        View::Text(_) | View::List | View::Tuple => iterate(value)?,
        View::Undefined => return Ok(value.clone()),
        _ => {
            return Err(TemplateError::failed(format!(
                "'{}' object is not subscriptable",
                type_name(value)
            )));
        }
    };
    let chosen = indices(items.len(), start, stop, step)
        .into_iter()
        .filter_map(|index| items.get(index).cloned());
    Ok(match view(value) {
        View::Text(_) => Value::from(chosen.map(|item| text_of(&item)).collect::<String>()),
        View::Tuple => tuple_value(chosen.collect()),
        _ => list_value(chosen.collect()),
    })
}

/// The indices of a slice, as `slice.indices` computes them.
fn indices(length: usize, start: Option<i128>, stop: Option<i128>, step: i128) -> Vec<usize> {
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |bound: i128| {
        let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
        bound.clamp(low, high)
    };
    let first = start.map_or(if step > 0 { low } else { high }, clamp);
    let last = stop.map_or(if step > 0 { high } else { low }, clamp);
    let mut out = Vec::new();
    let mut at = first;
    while (step > 0 && at < last) || (step < 0 && at > last) {
        out.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    out
}
