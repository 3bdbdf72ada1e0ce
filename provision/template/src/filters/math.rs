//! Ansible's arithmetic filters and sizes for people.

use minijinja::Value;

use super::builtin::text_float;
use super::{FilterEntry, pure};
use crate::convert::integer_of;
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, as_float, int_value, repr_float, text_of, type_name, view};

pub(super) const FILTERS: &[FilterEntry] = &[
    pure("human_readable", human_readable),
    pure("human_to_bytes", human_to_bytes),
    pure("log", log),
    pure("pow", pow),
    pure("root", root),
];

fn number(value: &Value, what: &str) -> Outcome<f64> {
    match view(value) {
        View::Int(number) => Ok(as_float(number)),
        View::Float(number) => Ok(number),
        View::Bool(flag) => Ok(f64::from(u8::from(flag))),
        _ => Err(TemplateError::failed(format!(
            "{what}() can only be used on numbers: must be real number, not {}",
            type_name(value)
        ))),
    }
}

fn log(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let value = number(&call.input, "log")?;
    let base = match call.arg(0, "base") {
        Some(base) => number(&base, "log")?,
        None => std::f64::consts::E,
    };
    if value <= 0.0 || base <= 0.0 {
        return Err(TemplateError::failed("math domain error"));
    }
    // As Python: log10 is exact for powers of ten, other bases are quotients.
    Ok(Value::from(if base == 10.0 {
        value.log10()
    } else if base == std::f64::consts::E {
        value.ln()
    } else {
        value.ln() / base.ln()
    }))
}

fn pow(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let base = number(&call.input, "pow")?;
    let power = number(&call.needed(0, "y")?, "pow")?;
    Ok(Value::from(base.powf(power)))
}

fn root(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let value = number(&call.input, "root")?;
    let base = match call.arg(0, "base") {
        Some(base) => number(&base, "root")?,
        None => 2.0,
    };
    if base == 2.0 {
        if value < 0.0 {
            return Err(TemplateError::failed(
                "root() can only be used on numbers: math domain error",
            ));
        }
        return Ok(Value::from(value.sqrt()));
    }
    Ok(Value::from(value.powf(1.0 / base)))
}

/// Suffixes and what they multiply by.
const SIZES: [(&str, f64); 9] = [
    ("Y", 1_208_925_819_614_629_174_706_176.0),
    ("Z", 1_180_591_620_717_411_303_424.0),
    ("E", 1_152_921_504_606_846_976.0),
    ("P", 1_125_899_906_842_624.0),
    ("T", 1_099_511_627_776.0),
    ("G", 1_073_741_824.0),
    ("M", 1_048_576.0),
    ("K", 1024.0),
    ("B", 1.0),
];

fn human_readable(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let bits = call.flag(0, "isbits", false);
    let unit = call.text(1, "unit").map(|unit| unit.to_uppercase());
    let size = match view(&call.input) {
        View::Text(text) => text_float(text).ok_or_else(|| {
            TemplateError::failed(format!("human_readable() failed on bad input: {text}"))
        })?,
        _ => number(&call.input, "human_readable")?,
    };
    let base = if bits { "bits" } else { "Bytes" };
    let chosen = SIZES.iter().find(|(suffix, limit)| match &unit {
        None => size >= *limit,
        Some(unit) => unit.starts_with(suffix),
    });
    let (mut suffix, limit) =
        chosen.map_or((String::new(), 1.0), |(suffix, limit)| ((*suffix).to_owned(), *limit));
    if limit == 1.0 {
        suffix = base.to_owned();
    } else {
        suffix.push_str(if bits { "b" } else { "B" });
    }
    Ok(Value::from(format!("{:.2} {suffix}", size / limit)))
}

fn human_to_bytes(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let default_unit = call.text(0, "default_unit");
    let bits = call.flag(1, "isbits", false);
    let text = match view(&call.input) {
        View::Float(number) => repr_float(number),
        _ => text_of(&call.input),
    };
    bytes_of(&text, default_unit.as_deref(), bits)
}

/// Ansible's `human_to_bytes`.
pub(crate) fn bytes_of(text: &str, default_unit: Option<&str>, bits: bool) -> Outcome<Value> {
    let trimmed = text.trim_start();
    let end = trimmed
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at_checked(end).unwrap_or((trimmed, ""));
    let number: f64 = digits.parse().map_err(|_| {
        TemplateError::failed(format!("human_to_bytes() can't interpret following string: {text}"))
    })?;
    let unit = match unit.trim() {
        "" => default_unit.unwrap_or(""),
        unit => unit,
    };
    let Some(first) = unit.chars().next() else {
        return Ok(int_value(integer_of(number.round())?));
    };
    let suffix = first.to_ascii_uppercase().to_string();
    let (_, limit) = SIZES.iter().find(|(known, _)| *known == suffix).ok_or_else(|| {
        TemplateError::failed(format!(
            "human_to_bytes() failed to convert {text} (unit = {unit}). The suffix must be one of \
             Y, Z, E, P, T, G, M, K, B"
        ))
    })?;
    if unit.chars().count() > 1 && !is_unit(&suffix, unit, bits) {
        let class = if bits { "b" } else { "B" };
        return Err(TemplateError::failed(format!(
            "human_to_bytes() failed to convert {text}. Value is not a valid string (expect \
             {suffix}{class} or {suffix})"
        )));
    }
    Ok(int_value(integer_of((number * limit).round())?))
}

/// Whether a unit of several letters is one of bytes (`MB`, `megabyte`) or of bits (`Mb`, `megabit`).
fn is_unit(suffix: &str, unit: &str, bits: bool) -> bool {
    let prefix = match suffix {
        "Y" => "yotta",
        "Z" => "zeta",
        "E" => "exa",
        "P" => "peta",
        "T" => "tera",
        "G" => "giga",
        "M" => "mega",
        "K" => "kilo",
        _ => "",
    };
    let short = if prefix.is_empty() { "" } else { suffix };
    let (class, long) = if bits { ("b", "bit") } else { ("B", "byte") };
    unit.to_lowercase() == format!("{prefix}{long}") || unit == format!("{short}{class}")
}
