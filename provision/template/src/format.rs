//! Python's two ways of formatting: `'%s' % x` and `'{}'.format(x)`.

use std::sync::Arc;

use minijinja::Value;

use crate::error::{Outcome, TemplateError};
use crate::value::{
    View, as_float, dict_get, is_dict, iterate, repr_float, repr_of, text_of, type_name, view,
};

/// Flags, width and precision of one conversion.
#[derive(Debug, Default, Clone)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Widths and precisions beyond this are mistakes.
const MAX_WIDTH: usize = 100_000;

/// `format % argument`.
pub(crate) fn percent(format: &str, argument: &Value) -> Outcome<String> {
    let positional = if argument.is_tuple() { iterate(argument)? } else { vec![argument.clone()] };
    let mut next = positional.iter();
    let mut used_names = false;
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let mut named = None;
        if let Some(inner) = rest.strip_prefix('(') {
            let end =
                inner.find(')').ok_or_else(|| TemplateError::failed("incomplete format key"))?;
            let key = inner.get(..end).unwrap_or("");
            named = Some(
                dict_get(argument, key)
                    .ok_or_else(|| TemplateError::failed(format!("KeyError: '{key}'")))?,
            );
            used_names = true;
            rest = inner.get(end + 1..).unwrap_or("");
        }
        let (spec, after) = percent_spec(rest, &mut next)?;
        rest = after;
        let value = match named {
            Some(value) => value,
            None => next
                .next()
                .cloned()
                .ok_or_else(|| TemplateError::failed("not enough arguments for format string"))?,
        };
        out.push_str(&percent_value(&spec, &value)?);
    }
    out.push_str(rest);
    if !used_names && next.next().is_some() && !is_dict(argument) {
        return Err(TemplateError::failed("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn percent_spec<'a>(
    text: &'a str,
    next: &mut std::slice::Iter<'_, Value>,
) -> Outcome<(Spec, &'a str)> {
    let mut spec = Spec::default();
    let mut rest = text;
    loop {
        match rest.chars().next() {
            Some('-') => spec.align = Some('<'),
            Some('0') => spec.fill = Some('0'),
            Some(sign @ ('+' | ' ')) => spec.sign = Some(sign),
            Some('#') => spec.alternate = true,
            _ => break,
        }
        rest = rest.get(1..).unwrap_or("");
    }
    (spec.width, rest) = percent_number(rest, next)?.unwrap_or((0, rest));
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = percent_number(after, next)?.unwrap_or((0, after));
        spec.precision = Some(precision);
        rest = after;
    }
    rest = rest.trim_start_matches(['h', 'l', 'L']);
    spec.kind = rest.chars().next();
    let length = spec.kind.map_or(0, char::len_utf8);
    Ok((spec, rest.get(length..).unwrap_or("")))
}

fn percent_number<'a>(
    text: &'a str,
    next: &mut std::slice::Iter<'_, Value>,
) -> Outcome<Option<(usize, &'a str)>> {
    if let Some(rest) = text.strip_prefix('*') {
        let width = next.next().and_then(Value::as_usize);
        let width = width.ok_or_else(|| TemplateError::failed("* wants int"))?;
        return Ok(Some((width.min(MAX_WIDTH), rest)));
    }
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = text.get(..end).unwrap_or("");
    Ok(digits
        .parse::<usize>()
        .ok()
        .map(|number| (number.min(MAX_WIDTH), text.get(end..).unwrap_or(""))))
}

fn percent_value(spec: &Spec, value: &Value) -> Outcome<String> {
    let kind = spec.kind.ok_or_else(|| TemplateError::failed("incomplete format"))?;
    let mut spec = spec.clone();
    if spec.align == Some('<') {
        spec.fill = None;
    }
    let text = match kind {
        's' | 'r' | 'a' => {
            let text = if kind == 's' { text_of(value) } else { repr_of(value) };
            spec.fill = None;
            let cut =
                spec.precision.map_or(text.clone(), |limit| text.chars().take(limit).collect());
            return Ok(pad(&spec, &cut, '>'));
        }
        'c' => match view(value) {
            View::Text(text) => text.to_owned(),
            _ => code_point(value)?.to_string(),
        },
        'd' | 'i' | 'u' => signed(&spec, &truncated(value, kind)?.to_string()),
        'x' | 'X' | 'o' => radix(&spec, truncated(value, kind)?, kind),
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => float_text(&spec, number(value)?, kind),
        _ => {
            return Err(TemplateError::failed(format!("unsupported format character '{kind}'")));
        }
    };
    if spec.fill == Some('0') {
        return Ok(zero_pad(&text, spec.width));
    }
    Ok(pad(&spec, &text, '>'))
}

fn code_point(value: &Value) -> Outcome<char> {
    value
        .as_i64()
        .and_then(|code| u32::try_from(code).ok())
        .and_then(char::from_u32)
        .ok_or_else(|| TemplateError::failed("%c requires int or char"))
}

fn truncated(value: &Value, kind: char) -> Outcome<i128> {
    match view(value) {
        View::Int(number) => Ok(number),
        View::Bool(value) => Ok(i128::from(value)),
        View::Float(number) if matches!(kind, 'd' | 'i' | 'u') => {
            crate::convert::integer_of(number)
        }
        _ => Err(TemplateError::failed(format!(
            "%{kind} format: a real number is required, not {}",
            type_name(value)
        ))),
    }
}

fn number(value: &Value) -> Outcome<f64> {
    match view(value) {
        View::Int(number) => Ok(as_float(number)),
        View::Bool(value) => Ok(f64::from(u8::from(value))),
        View::Float(number) => Ok(number),
        _ => Err(TemplateError::failed(format!("must be real number, not {}", type_name(value)))),
    }
}

fn signed(spec: &Spec, digits: &str) -> String {
    match spec.sign {
        Some(sign @ ('+' | ' ')) if !digits.starts_with('-') => format!("{sign}{digits}"),
        _ => digits.to_owned(),
    }
}

fn radix(spec: &Spec, number: i128, kind: char) -> String {
    let magnitude = number.unsigned_abs();
    let (prefix, digits) = match kind {
        'x' => ("0x", format!("{magnitude:x}")),
        'X' => ("0X", format!("{magnitude:X}")),
        'b' => ("0b", format!("{magnitude:b}")),
        _ => ("0o", format!("{magnitude:o}")),
    };
    let prefix = if spec.alternate { prefix } else { "" };
    let sign = if number < 0 { "-" } else { "" };
    signed(spec, &format!("{sign}{prefix}{digits}"))
}

fn float_text(spec: &Spec, number: f64, kind: char) -> String {
    let precision = spec.precision.unwrap_or(6);
    if !number.is_finite() {
        return signed(spec, &repr_float(number));
    }
    let text = match kind {
        'f' | 'F' => format!("{number:.precision$}"),
        'e' | 'E' => exponent_text(number, precision),
        _ => general_text(number, precision.max(1), spec.alternate),
    };
    let text = if kind.is_uppercase() { text.to_uppercase() } else { text };
    signed(spec, &text)
}

/// C's `%e`: at least two digits of exponent, with a sign.
fn exponent_text(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// C's `%g`: significant digits, without trailing zeros.
fn general_text(number: f64, precision: usize, keep_zeros: bool) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let scientific = format!("{:.*e}", precision - 1, number);
    let exponent: i32 =
        scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    let trim = |text: &str| {
        if keep_zeros || !text.contains('.') {
            return text.to_owned();
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if exponent < -4 || exponent >= limit {
        let text = exponent_text(number, precision - 1);
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", trim(digits));
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    trim(&format!("{number:.decimals$}"))
}

fn zero_pad(text: &str, width: usize) -> String {
    let (sign, digits) = match text.strip_prefix(['-', '+', ' ']) {
        Some(digits) => (text.get(..1).unwrap_or(""), digits),
        None => ("", text),
    };
    let missing = width.saturating_sub(text.chars().count());
    format!("{sign}{}{digits}", "0".repeat(missing))
}

fn pad(spec: &Spec, text: &str, default: char) -> String {
    let fill = spec.fill.unwrap_or(' ');
    let missing = spec.width.saturating_sub(text.chars().count());
    let run = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
    match spec.align.unwrap_or(default) {
        '<' => format!("{text}{}", run(missing)),
        '^' => format!("{}{text}{}", run(missing / 2), run(missing - missing / 2)),
        _ => format!("{}{text}", run(missing)),
    }
}

/// `format.format(*args, **kwargs)`.
pub(crate) fn braces(format: &str, args: &[Value], named: &[(Arc<str>, Value)]) -> Outcome<String> {
    let mut automatic = 0;
    braces_nested(format, args, named, &mut automatic, 0)
}

fn braces_nested(
    format: &str,
    args: &[Value],
    named: &[(Arc<str>, Value)],
    automatic: &mut usize,
    level: usize,
) -> Outcome<String> {
    if level > 2 {
        return Err(TemplateError::failed("Max string recursion exceeded"));
    }
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let brace = rest.get(at..=at).unwrap_or("");
        rest = rest.get(at + 1..).unwrap_or("");
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(TemplateError::failed("Single '}' encountered in format string"));
        }
        let end = closing_brace(rest)
            .ok_or_else(|| TemplateError::failed("expected '}' before end of string"))?;
        let field = rest.get(..end).unwrap_or("");
        rest = rest.get(end + 1..).unwrap_or("");
        let (name, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
        let mut value = braces_argument(name, args, named, automatic)?;
        match conversion {
            "" => {}
            "r" | "a" => value = Value::from(repr_of(&value)),
            _ => value = Value::from(text_of(&value)),
        }
        let spec = braces_nested(spec, args, named, automatic, level + 1)?;
        out.push_str(&format_value(&spec, &value)?);
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace that was opened closes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (index, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn braces_argument(
    name: &str,
    args: &[Value],
    named: &[(Arc<str>, Value)],
    automatic: &mut usize,
) -> Outcome<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (root, path) = name.split_at_checked(end).unwrap_or((name, ""));
    let index = if root.is_empty() {
        *automatic += 1;
        Some(*automatic - 1)
    } else {
        root.parse::<usize>().ok()
    };
    let found = match index {
        Some(index) => args.get(index).cloned(),
        None => named.iter().find(|(key, _)| &**key == root).map(|(_, value)| value.clone()),
    };
    let mut value = found.ok_or_else(|| match index {
        Some(index) => TemplateError::failed(format!(
            "Replacement index {index} out of range for positional args tuple"
        )),
        None => TemplateError::failed(format!("KeyError: '{root}'")),
    })?;
    for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let next = match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index).ok(),
            Err(_) => dict_get(&value, part),
        };
        value = next.ok_or_else(|| TemplateError::failed(format!("KeyError: '{part}'")))?;
    }
    Ok(value)
}

/// `format(value, spec)`.
fn format_value(text: &str, value: &Value) -> Outcome<String> {
    if let Some(moment) = value.downcast_object_ref::<crate::time::Moment>()
        && !text.is_empty()
    {
        return moment.format(text);
    }
    let spec = brace_spec(text)?;
    match view(value) {
        View::Int(number)
            if !matches!(spec.kind, Some('f' | 'F' | 'e' | 'E' | 'g' | 'G' | '%')) =>
        {
            Ok(brace_integer(&spec, number))
        }
        View::Int(_) | View::Float(_) => Ok(brace_float(&spec, number(value)?)),
        View::Bool(flag) if spec.kind.is_some_and(|kind| kind != 's') => {
            Ok(brace_integer(&spec, i128::from(flag)))
        }
        _ => {
            let text = text_of(value);
            let cut =
                spec.precision.map_or(text.clone(), |limit| text.chars().take(limit).collect());
            Ok(pad(&spec, &cut, '<'))
        }
    }
}

fn brace_spec(text: &str) -> Outcome<Spec> {
    let mut spec = Spec::default();
    let mut characters: Vec<char> = text.chars().rev().collect();
    let is_align = |character: Option<&char>| matches!(character, Some('<' | '>' | '^' | '='));
    let second = characters.len().checked_sub(2).and_then(|at| characters.get(at));
    if is_align(second) {
        spec.fill = characters.pop();
        spec.align = characters.pop();
    } else if is_align(characters.last()) {
        spec.align = characters.pop();
    }
    if matches!(characters.last(), Some('+' | '-' | ' ')) {
        spec.sign = characters.pop();
    }
    if characters.last() == Some(&'#') {
        spec.alternate = characters.pop().is_some();
    }
    if characters.last() == Some(&'0') && spec.align.is_none() {
        characters.pop();
        spec.fill = Some('0');
        spec.align = Some('=');
    }
    spec.width = take_number(&mut characters).unwrap_or(0);
    if matches!(characters.last(), Some(',' | '_')) {
        spec.grouping = characters.pop();
    }
    if characters.last() == Some(&'.') {
        characters.pop();
        spec.precision = take_number(&mut characters);
    }
    spec.kind = characters.pop();
    if characters.is_empty() {
        Ok(spec)
    } else {
        Err(TemplateError::failed("Invalid format specifier"))
    }
}

fn take_number(characters: &mut Vec<char>) -> Option<usize> {
    let mut digits = String::new();
    while let Some(digit) = characters.last().filter(|digit| digit.is_ascii_digit()) {
        digits.push(*digit);
        characters.pop();
    }
    digits.parse::<usize>().ok().map(|number| number.min(MAX_WIDTH))
}

fn brace_integer(spec: &Spec, number: i128) -> String {
    let text = match spec.kind {
        Some(kind @ ('x' | 'X' | 'o' | 'b')) => radix(spec, number, kind),
        Some('c') => u32::try_from(number)
            .ok()
            .and_then(char::from_u32)
            .map(String::from)
            .unwrap_or_default(),
        _ => signed(spec, &number.to_string()),
    };
    finish_number(spec, &group(spec, &text))
}

fn brace_float(spec: &Spec, number: f64) -> String {
    let text = match spec.kind {
        Some('%') => {
            let precision = spec.precision.unwrap_or(6);
            signed(spec, &format!("{:.precision$}%", number * 100.0))
        }
        Some(kind @ ('f' | 'F' | 'e' | 'E' | 'g' | 'G')) => float_text(spec, number, kind),
        _ => match spec.precision {
            Some(precision) => signed(spec, &general_text(number, precision.max(1), false)),
            None => signed(spec, &repr_float(number)),
        },
    };
    finish_number(spec, &group(spec, &text))
}

fn group(spec: &Spec, text: &str) -> String {
    let Some(separator) = spec.grouping else { return text.to_owned() };
    let start = text.find(|character: char| character.is_ascii_digit()).unwrap_or(0);
    let (sign, rest) = text.split_at_checked(start).unwrap_or(("", text));
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (whole, fraction) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out.push_str(fraction);
    out
}

fn finish_number(spec: &Spec, text: &str) -> String {
    if spec.align == Some('=') {
        if spec.fill == Some('0') {
            return zero_pad(text, spec.width);
        }
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.get(..1).unwrap_or(""), digits),
            None => ("", text),
        };
        let inner =
            Spec { align: Some('>'), width: spec.width.saturating_sub(sign.len()), ..spec.clone() };
        return format!("{sign}{}", pad(&inner, digits, '>'));
    }
    pad(spec, text, '>')
}

#[cfg(test)]
mod tests {
    use minijinja::Value;

    use super::{braces, percent};
    use crate::value::tuple_value;

    #[test]
    fn percent_is_python_s() {
        let tuple = |items: Vec<Value>| tuple_value(items);
        let pi = Value::from(1234.5678);
        for (format, argument, expected) in [
            ("%s-%s", tuple(vec![Value::from("a"), Value::from(1)]), "a-1"),
            ("%5d|", Value::from(42), "   42|"),
            ("%-5d|", Value::from(42), "42   |"),
            ("%05.1f", pi.clone(), "1234.6"),
            ("%08.1f", pi.clone(), "001234.6"),
            ("%x %%", Value::from(255), "ff %"),
            ("%g", pi.clone(), "1234.57"),
            ("%e", pi, "1.234568e+03"),
            ("%+d", Value::from(3), "+3"),
            ("%r", Value::from("a"), "'a'"),
        ] {
            assert_eq!(percent(format, &argument).unwrap(), expected, "{format}");
        }
        assert!(percent("%s %s", &Value::from(1)).is_err());
        assert!(percent("x", &Value::from(1)).is_err());
    }

    #[test]
    fn braces_are_python_s() {
        let args = [Value::from(1234567), Value::from("ab"), Value::from(2.34567)];
        for (format, expected) in [
            ("{} {} {}", "1234567 ab 2.34567"),
            ("{0:,} {1:>4}|{1:<4}|{1:^4}|", "1,234,567   ab|ab  | ab |"),
            ("{2:.2f} {0:x} {0:010d}", "2.35 12d687 0001234567"),
            ("{{}} {1!r}", "{} 'ab'"),
            ("{1:*^6}", "**ab**"),
        ] {
            assert_eq!(braces(format, &args, &[]).unwrap(), expected, "{format}");
        }
    }
}
