//! JSON as Python's `json.dumps` spells it.

use std::fmt::Write as _;

use minijinja::Value;

use super::convert::json_key;
use super::{View, iterate, order, pairs_of, repr_float, text_of, undefined_error, view};
use crate::error::Outcome;

/// The arguments of `json.dumps` that matter.
#[derive(Debug, Clone)]
pub(crate) struct JsonStyle {
    /// Blanks a level; `None` is one line.
    pub(crate) indent: Option<String>,
    pub(crate) item_separator: String,
    pub(crate) key_separator: String,
    pub(crate) sort_keys: bool,
    pub(crate) ensure_ascii: bool,
}

impl Default for JsonStyle {
    fn default() -> Self {
        JsonStyle {
            indent: None,
            item_separator: ", ".into(),
            key_separator: ": ".into(),
            sort_keys: false,
            ensure_ascii: true,
        }
    }
}

/// A value as JSON, as Python's `json.dumps` writes it when it is told nothing else: other characters
/// than those of ASCII are escaped.
///
/// # Errors
/// When the value holds something undefined.
pub fn json_text(value: &Value) -> Outcome<String> {
    let mut text = String::new();
    write_json(&mut text, value, &JsonStyle::default(), 0)?;
    Ok(text)
}

/// Appends a value as JSON.
pub(crate) fn write_json(
    out: &mut String,
    value: &Value,
    style: &JsonStyle,
    level: usize,
) -> Outcome<()> {
    match view(value) {
        View::Undefined => return Err(undefined_error(value)),
        View::None => out.push_str("null"),
        View::Bool(true) => out.push_str("true"),
        View::Bool(false) => out.push_str("false"),
        View::Int(number) => _ = write!(out, "{number}"),
        View::Float(number) => out.push_str(&json_float(number)),
        View::Text(text) => write_json_text(out, text, style.ensure_ascii),
        View::Bytes(bytes) => {
            write_json_text(out, &String::from_utf8_lossy(bytes), style.ensure_ascii);
        }
        View::List | View::Tuple => write_array(out, &iterate(value)?, style, level)?,
        View::Dict => write_object(out, pairs_of(value), style, level)?,
        View::Object => write_json_text(out, &object_text(value), style.ensure_ascii),
    }
    Ok(())
}

fn object_text(value: &Value) -> String {
    match value.downcast_object_ref::<crate::time::Moment>() {
        Some(moment) => moment.iso(),
        None => text_of(value),
    }
}

fn json_float(number: f64) -> String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        repr_float(number)
    }
}

fn write_array(out: &mut String, items: &[Value], style: &JsonStyle, level: usize) -> Outcome<()> {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        separate(out, style, level + 1, index == 0);
        write_json(out, item, style, level + 1)?;
    }
    if !items.is_empty() {
        line(out, style, level);
    }
    out.push(']');
    Ok(())
}

fn write_object(
    out: &mut String,
    mut pairs: Vec<(Value, Value)>,
    style: &JsonStyle,
    level: usize,
) -> Outcome<()> {
    if style.sort_keys {
        pairs.sort_by(|left, right| order(&left.0, &right.0));
    }
    out.push('{');
    for (index, (key, item)) in pairs.iter().enumerate() {
        separate(out, style, level + 1, index == 0);
        write_json_text(out, &json_key(key), style.ensure_ascii);
        out.push_str(&style.key_separator);
        write_json(out, item, style, level + 1)?;
    }
    if !pairs.is_empty() {
        line(out, style, level);
    }
    out.push('}');
    Ok(())
}

fn separate(out: &mut String, style: &JsonStyle, level: usize, first: bool) {
    if !first {
        out.push_str(&style.item_separator);
    }
    line(out, style, level);
}

fn line(out: &mut String, style: &JsonStyle, level: usize) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        for _ in 0..level {
            out.push_str(indent);
        }
    }
}

fn write_json_text(out: &mut String, text: &str, ensure_ascii: bool) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{0}'..='\u{1f}' => _ = write!(out, "\\u{:04x}", u32::from(character)),
            '\u{7f}'.. if ensure_ascii => {
                if character == '\u{7f}' {
                    out.push(character);
                    continue;
                }
                let mut units = [0u16; 2];
                for unit in character.encode_utf16(&mut units) {
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::json_text;
    use crate::value::from_json;

    #[test]
    fn characters_beyond_ascii_are_escaped() {
        let value =
            from_json(&serde_json::json!({"a": ["ä", "😀\"", 3.0, null], "b": {"c": true}}));
        // What Python 3 prints for `json.dumps`.
        let expected = r#"{"a": ["\u00e4", "\ud83d\ude00\"", 3.0, null], "b": {"c": true}}"#;
        assert_eq!(json_text(&value).unwrap(), expected);
    }
}
