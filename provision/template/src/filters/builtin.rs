//! Jinja's filters of numbers, defaults and conversions.

use minijinja::Value;

use super::{FilterEntry, lenient, pure};
use crate::convert::integer_of;
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{
    View, as_float, int_value, is_dict, is_true, is_undefined, kept_text, length, list_value,
    negate, pairs_of, repr_of, text_of, tuple_value, type_name, view,
};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("abs", abs),
    pure("attr", attr),
    lenient("default", default),
    lenient("d", default),
    pure("filesizeformat", file_size),
    pure("float", float),
    pure("int", int),
    pure("items", items),
    pure("length", count),
    pure("count", count),
    pure("pprint", pprint),
    pure("round", round),
    pure("safe", string),
    pure("string", string),
];

fn abs(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    match view(&call.input) {
        View::Int(number) if number < 0 => negate(&call.input),
        View::Float(number) => Ok(Value::from(number.abs())),
        View::Int(_) => Ok(call.input.clone()),
        View::Bool(flag) => Ok(Value::from(i64::from(flag))),
        _ => Err(TemplateError::failed(format!(
            "bad operand type for abs(): '{}'",
            type_name(&call.input)
        ))),
    }
}

fn attr(run: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let name = text_of(&call.needed(0, "name")?);
    run.attribute(&call.input.clone(), &name.into())
}

fn default(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let boolean = call.flag(1, "boolean", false);
    let missing = is_undefined(&call.input) || (boolean && !is_true(&call.input));
    if missing {
        // An error other than "undefined" must not be hidden in the classic dialect: it would have
        // been raised before this filter.
        return Ok(call.arg(0, "default_value").unwrap_or_else(|| Value::from("")));
    }
    Ok(call.input.clone())
}

fn count(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    length(&call.input).map(|length| Value::from(crate::convert::signed(length)))
}

fn string(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    Ok(kept_text(call.input_text()))
}

fn items(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if !is_dict(&call.input) {
        return Err(TemplateError::failed("Can only get item pairs from a mapping."));
    }
    let pairs = pairs_of(&call.input).into_iter();
    Ok(list_value(pairs.map(|(key, value)| tuple_value(vec![key, value])).collect()))
}

fn int(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let default = call.arg(0, "default").unwrap_or_else(|| Value::from(0));
    let base = call.integer(1, "base")?.unwrap_or(10);
    let number = match view(&call.input) {
        View::Int(number) => Some(number),
        View::Bool(flag) => Some(i128::from(flag)),
        View::Float(number) => integer_of(number).ok(),
        View::Text(text) => {
            let base = u32::try_from(base).unwrap_or(10);
            text_integer(text, base)
                .or_else(|| text_float(text).and_then(|number| integer_of(number).ok()))
        }
        _ => None,
    };
    Ok(number.map_or(default, int_value))
}

/// Python's `int(text, base)`.
pub(crate) fn text_integer(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = |prefix: &str, of: u32| {
        (base == of || base == 0)
            .then(|| lower.strip_prefix(prefix).map(|rest| (rest.to_owned(), of)))
    };
    let (digits, base) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, of)| prefixed(prefix, of).flatten())
        .unwrap_or((lower, if base == 0 { 10 } else { base }));
    if digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    if !(2..=36).contains(&base) {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -number } else { number })
}

/// Python's `float(text)`.
pub(crate) fn text_float(text: &str) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    match text.trim_start_matches(['+', '-']) {
        "nan" => return Some(f64::NAN),
        "inf" | "infinity" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        _ => {}
    }
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let plain = text.replace('_', "");
    let digits = plain.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    if digits { plain.parse().ok() } else { None }
}

fn float(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let number = match view(&call.input) {
        View::Int(number) => Some(as_float(number)),
        View::Bool(flag) => Some(f64::from(u8::from(flag))),
        View::Float(number) => Some(number),
        View::Text(text) => text_float(text),
        _ => None,
    };
    match number {
        Some(number) => Ok(Value::from(number)),
        None => Ok(call.arg(0, "default").unwrap_or_else(|| Value::from(0.0))),
    }
}

fn round(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let precision = call.integer(0, "precision")?.unwrap_or(0).clamp(-300, 300);
    let method = call.text(1, "method").unwrap_or_else(|| "common".into());
    let number = match view(&call.input) {
        View::Int(number) => as_float(number),
        View::Float(number) => number,
        View::Bool(flag) => f64::from(u8::from(flag)),
        _ => {
            return Err(TemplateError::failed(format!(
                "type {} doesn't define __round__ method",
                type_name(&call.input)
            )));
        }
    };
    if method == "common" && !matches!(view(&call.input), View::Float(_)) {
        return Ok(int_value(integer_of(round_half_even(number, precision.min(0)))?));
    }
    let scale = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    Ok(Value::from(match method.as_str() {
        "ceil" => (number * scale).ceil() / scale,
        "floor" => (number * scale).floor() / scale,
        "common" => round_half_even(number, precision),
        _ => return Err(TemplateError::failed("method must be common, ceil or floor")),
    }))
}

/// Python's `round(number, precision)`: correctly rounded decimal, ties to even.
pub(crate) fn round_half_even(number: f64, precision: i64) -> f64 {
    match usize::try_from(precision) {
        // Rust's formatting rounds the exact binary value half to even, as Python's does.
        Ok(digits) => format!("{number:.digits$}").parse().unwrap_or(number),
        Err(_) => {
            let scale = 10f64.powi(i32::try_from(-precision).unwrap_or(0));
            (number / scale).round_ties_even() * scale
        }
    }
}

fn file_size(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let binary = call.flag(0, "binary", false);
    let bytes = match view(&call.input) {
        View::Int(number) => as_float(number),
        View::Float(number) => number,
        View::Text(text) => text_float(text).unwrap_or(0.0),
        _ => 0.0,
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    let prefixes = if binary {
        ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    } else {
        ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    };
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes.trunc())));
    }
    let mut unit = base;
    for (index, prefix) in prefixes.iter().enumerate() {
        unit *= base;
        if bytes < unit || index + 1 == prefixes.len() {
            return Ok(Value::from(format!("{:.1} {prefix}", base * bytes / unit)));
        }
    }
    Ok(Value::from(""))
}

fn pprint(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    Ok(Value::from(repr_of(&call.input)))
}
