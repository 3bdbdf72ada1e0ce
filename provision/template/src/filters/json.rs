//! JSON, and JMESPath queries.

use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{
    JsonStyle, View, from_json, is_true, iterate, kept_text, text_of, to_json, view, write_json,
};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("from_json", parse),
    pure("json_query", json_query),
    pure("to_json", dump),
    pure("to_nice_json", dump_nicely),
    pure("tojson", dump_for_html),
];

/// Reads JSON as Python does: `NaN` and infinities are numbers.
pub(crate) fn parse_json(text: &str) -> Outcome<Value> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(from_json(&json)),
        Err(error) => match text.trim() {
            "NaN" => Ok(Value::from(f64::NAN)),
            "Infinity" => Ok(Value::from(f64::INFINITY)),
            "-Infinity" => Ok(Value::from(f64::NEG_INFINITY)),
            _ => Err(TemplateError::failed(format!("the text is not JSON: {error}"))),
        },
    }
}

fn parse(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    match view(&call.input) {
        View::Text(text) => parse_json(text),
        View::Bytes(bytes) => parse_json(&String::from_utf8_lossy(bytes)),
        _ => Err(TemplateError::failed(format!(
            "the JSON object must be str, bytes or bytearray, not {}",
            crate::value::type_name(&call.input)
        ))),
    }
}

/// The arguments of `json.dumps` over the given defaults.
fn style(call: &mut Call, mut style: JsonStyle) -> Outcome<JsonStyle> {
    if let Some(indent) = call.option("indent").filter(|indent| !indent.is_none()) {
        style.indent = Some(match view(&indent) {
            View::Text(text) => text.to_owned(),
            View::Int(width) => " ".repeat(usize::try_from(width).unwrap_or(0).min(64)),
            _ => String::new(),
        });
        if style.item_separator == ", " {
            style.item_separator = ",".into();
        }
    }
    let separators = call.option("separators").filter(|value| !value.is_none());
    let separators = separators.map(|value| iterate(&value)).transpose()?;
    if let Some([item, key]) = separators.as_deref() {
        style.item_separator = text_of(item);
        style.key_separator = text_of(key);
    }
    if let Some(sort) = call.option("sort_keys") {
        style.sort_keys = is_true(&sort);
    }
    if let Some(ascii) = call.option("ensure_ascii") {
        style.ensure_ascii = is_true(&ascii);
    }
    Ok(style)
}

fn dumped(value: &Value, style: &JsonStyle) -> Outcome<Value> {
    let mut out = String::new();
    write_json(&mut out, value, style, 0)?;
    Ok(kept_text(out))
}

fn dump(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let style = style(call, JsonStyle::default())?;
    dumped(&call.input, &style)
}

fn dump_nicely(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if let Some(indent) = call.args.first().cloned() {
        call.named.push(("indent".into(), indent));
    }
    let nice = JsonStyle {
        indent: Some("    ".into()),
        item_separator: ",".into(),
        sort_keys: true,
        ..JsonStyle::default()
    };
    let style = style(call, nice)?;
    dumped(&call.input, &style)
}

/// Jinja's `tojson`: for use inside HTML.
fn dump_for_html(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    if let Some(indent) = call.args.first().cloned() {
        call.named.push(("indent".into(), indent));
    }
    let style = style(call, JsonStyle { sort_keys: true, ..JsonStyle::default() })?;
    let text = text_of(&dumped(&call.input, &style)?);
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    Ok(Value::from(text.replace('&', "\\u0026").replace('\'', "\\u0027")))
}

fn json_query(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let query = text_of(&call.needed(0, "expr")?);
    let failed = |error: &dyn std::fmt::Display| {
        TemplateError::failed(format!("JMESPathError in json_query filter plugin: {error}"))
    };
    let expression = jmespath::compile(&query).map_err(|error| failed(&error))?;
    let found = expression.search(to_json(&call.input)).map_err(|error| failed(&error))?;
    let json = serde_json::to_value(&*found).map_err(|error| failed(&error))?;
    Ok(whole_numbers(&from_json(&json)))
}

/// `jmespath` computes with floating point numbers; whole ones were integers before.
fn whole_numbers(value: &Value) -> Value {
    match view(value) {
        View::Float(number) if number.fract() == 0.0 => crate::convert::integer_of(number)
            .map_or_else(|_| value.clone(), crate::value::int_value),
        _ => value.clone(),
    }
}
