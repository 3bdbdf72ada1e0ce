//! Python's `str()` and `repr()`.

use std::fmt::Write as _;

use minijinja::Value;

use super::{View, iterate, pairs_of, type_name, view};
use crate::run::{Class, Macro};
use crate::time::{Moment, Span};

/// Python's `str()`.
#[must_use]
pub fn text_of(value: &Value) -> String {
    let mut out = String::new();
    write_text(&mut out, value);
    out
}

/// Python's `repr()`.
#[must_use]
pub fn repr_of(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

/// Appends Python's `str()`.
pub(crate) fn write_text(out: &mut String, value: &Value) {
    match view(value) {
        View::Text(text) => out.push_str(text),
        View::Undefined => {}
        View::Object => write_object(out, value, true),
        _ => write_repr(out, value),
    }
}

/// Appends Python's `repr()`.
pub(crate) fn write_repr(out: &mut String, value: &Value) {
    match view(value) {
        View::Undefined => out.push_str("AnsibleUndefined"),
        View::None => out.push_str("None"),
        View::Bool(value) => out.push_str(if value { "True" } else { "False" }),
        View::Int(number) => _ = write!(out, "{number}"),
        View::Float(number) => out.push_str(&repr_float(number)),
        View::Text(text) => repr_text(out, text),
        View::Bytes(bytes) => repr_bytes(out, bytes),
        View::List => write_items(out, '[', ']', value),
        View::Tuple => write_tuple(out, value),
        View::Dict => write_dict(out, value),
        View::Object => write_object(out, value, false),
    }
}

fn write_object(out: &mut String, value: &Value, text: bool) {
    if let Some(moment) = value.downcast_object_ref::<Moment>() {
        out.push_str(&if text { moment.text() } else { moment.repr() });
    } else if let Some(span) = value.downcast_object_ref::<Span>() {
        out.push_str(&if text { span.text() } else { span.repr() });
    } else if let Some(class) = value.downcast_object_ref::<Class>() {
        _ = write!(out, "<class '{}'>", class.0);
    } else if let Some(named) = value.downcast_object_ref::<Macro>() {
        _ = write!(out, "<Macro '{}'>", named.name());
    } else if super::is_omit(value) {
        out.push_str(&value.to_string());
    } else {
        _ = write!(out, "<{} object>", type_name(value));
    }
}

fn write_items(out: &mut String, open: char, close: char, value: &Value) {
    out.push(open);
    for (index, item) in iterate(value).unwrap_or_default().iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, item);
    }
    out.push(close);
}

fn write_tuple(out: &mut String, value: &Value) {
    write_items(out, '(', ')', value);
    if value.len() == Some(1) {
        out.pop();
        out.push_str(",)");
    }
}

fn write_dict(out: &mut String, value: &Value) {
    out.push('{');
    for (index, (key, item)) in pairs_of(value).iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, key);
        out.push_str(": ");
        write_repr(out, item);
    }
    out.push('}');
}

/// Python's `repr` of a float: the shortest digits that read back, an exponent below 1e-4 and from
/// 1e16 on (`float_repr_style` "short").
pub(crate) fn repr_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let mut text = number.to_string();
        if !text.contains('.') {
            text.push_str(".0");
        }
        return text;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Python's `repr` of text: single quotes unless the text has those and no double ones.
fn repr_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            _ if is_printable(character) => out.push(character),
            _ => escape(out, u32::from(character)),
        }
    }
    out.push(quote);
}

/// Approximates Python's `str.isprintable`: no controls, no separators but the blank.
fn is_printable(character: char) -> bool {
    !(character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(u32::from(character), 0xAD | 0x200B..=0x200F | 0x2028..=0x202E | 0xFEFF | 0xE000..=0xF8FF))
}

fn escape(out: &mut String, code: u32) {
    _ = match code {
        0..=0xFF => write!(out, "\\x{code:02x}"),
        0x100..=0xFFFF => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

fn repr_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7E if char::from(*byte) == quote => {
                out.push('\\');
                out.push(quote);
            }
            0x20..=0x7E => out.push(char::from(*byte)),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out.push(quote);
}
