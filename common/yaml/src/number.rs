//! Numbers as text: recognising them by hand-written matchers of the schemas' regular
//! expressions, and exact integers of any size.

use crate::NodeValue;
use crate::limits::MAX_INTEGER_CHARACTERS;

/// Splits an optional sign off: whether it is negative, whether there was a sign, the rest.
pub(crate) fn split_sign(text: &str) -> (bool, bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, true, rest),
        None => match text.strip_prefix('+') {
            Some(rest) => (false, true, rest),
            None => (false, false, text),
        },
    }
}

/// Whether `text` is not empty and all its bytes satisfy `accept`.
fn all(text: &str, accept: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(accept)
}

/// The integer of digits in one radix; underscores are ignored. Nothing if no digit is there
/// or the text is longer than any honest number.
fn in_radix(negative: bool, digits: &str, radix: u32) -> Option<NodeValue> {
    let values = digits.chars().filter(|character| *character != '_');
    let values: Option<Vec<(u32, u32)>> =
        values.map(|character| Some((radix, character.to_digit(radix)?))).collect();
    integer(negative, &values.filter(|values| !values.is_empty())?)
}

/// The integer whose positions, most significant first, have these radices and values.
fn integer(negative: bool, positions: &[(u32, u32)]) -> Option<NodeValue> {
    if positions.len() > MAX_INTEGER_CHARACTERS {
        return None;
    }
    let small = positions.iter().try_fold(0_i128, |sum, (radix, value)| {
        sum.checked_mul(i128::from(*radix))?.checked_add(i128::from(*value))
    });
    let signed = small.map(|value| if negative { -value } else { value });
    if let Some(value) = signed.and_then(|value| i64::try_from(value).ok()) {
        return Some(NodeValue::Integer(value));
    }
    let sign = if negative { "-" } else { "" };
    Some(NodeValue::BigInteger(format!("{sign}{}", decimal(positions)).into()))
}

/// Decimal digits of a number that needs more than 64 bits: schoolbook arithmetic in limbs of
/// nine decimal digits, least significant first.
fn decimal(positions: &[(u32, u32)]) -> String {
    const LIMB: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = vec![0];
    for (radix, value) in positions {
        let mut carry = u64::from(*value);
        for limb in &mut limbs {
            let sum = *limb * u64::from(*radix) + carry;
            *limb = sum % LIMB;
            carry = sum / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut digits = String::new();
    for limb in limbs.iter().rev() {
        if digits.is_empty() {
            digits = limb.to_string();
        } else {
            digits.push_str(&format!("{limb:09}"));
        }
    }
    digits
}

/// An integer of YAML 1.1 as PyYAML's resolver and `construct_yaml_int` see it.
pub(crate) fn integer_1_1(text: &str) -> Option<NodeValue> {
    let (negative, _, rest) = split_sign(text);
    if let Some(digits) = rest.strip_prefix("0b") {
        return all(digits, |byte| matches!(byte, b'0' | b'1' | b'_'))
            .then(|| in_radix(negative, digits, 2))?;
    }
    if let Some(digits) = rest.strip_prefix("0x") {
        return all(digits, |byte| byte.is_ascii_hexdigit() || byte == b'_')
            .then(|| in_radix(negative, digits, 16))?;
    }
    if rest.starts_with('0') {
        return all(rest, |byte| matches!(byte, b'0'..=b'7' | b'_'))
            .then(|| in_radix(negative, rest, 8))?;
    }
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if all(rest, |byte| byte.is_ascii_digit() || byte == b'_') {
        return in_radix(negative, rest, 10);
    }
    sexagesimal_integer(negative, rest)
}

/// `[1-9][0-9_]*(:[0-5]?[0-9])+`: minutes and seconds of another age.
fn sexagesimal_integer(negative: bool, text: &str) -> Option<NodeValue> {
    let (first, rest) = text.split_once(':')?;
    if !all(first, |byte| byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    let mut positions: Vec<(u32, u32)> =
        first.chars().filter_map(|digit| Some((10, digit.to_digit(10)?))).collect();
    for part in rest.split(':') {
        positions.push((60, sexagesimal_digit(part)?));
    }
    integer(negative, &positions)
}

/// `[0-5]?[0-9]`.
fn sexagesimal_digit(text: &str) -> Option<u32> {
    let short = matches!(text.len(), 1 | 2) && all(text, |byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| short && *value < 60)
}

/// A float of YAML 1.1 as PyYAML's resolver and `construct_yaml_float` see it: it needs a dot,
/// and its exponent needs a sign.
pub(crate) fn float_1_1(text: &str) -> Option<f64> {
    let (negative, signed, rest) = split_sign(text);
    let sign = if negative { -1.0 } else { 1.0 };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Some(sign * f64::INFINITY);
    }
    if !signed && matches!(rest, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    let (whole, fraction) = rest.split_once('.')?;
    if let Some(digits) = whole.split_once(':') {
        return sexagesimal_float(digits, fraction).map(|value| sign * value);
    }
    let (fraction, exponent) = match fraction.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (fraction, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let starts = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let shape = if whole.is_empty() {
        !signed && starts(fraction) && digits(fraction)
    } else {
        starts(whole) && digits(whole) && digits(fraction)
    };
    let exponent_shape = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| all(digits, |byte| byte.is_ascii_digit()))
    });
    let number: String = rest.chars().filter(|character| *character != '_').collect();
    (shape && exponent_shape).then(|| number.parse().ok().map(|value: f64| sign * value))?
}

/// `[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*`, summed up in PyYAML's order.
fn sexagesimal_float((first, rest): (&str, &str), fraction: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let starts = first.starts_with(|first: char| first.is_ascii_digit());
    if !(starts && digits(first) && digits(fraction)) {
        return None;
    }
    let parts: Vec<&str> = rest.split(':').collect();
    let (last, middle) = parts.split_last()?;
    sexagesimal_digit(last)?;
    let seconds: String =
        format!("{last}.{fraction}").chars().filter(|character| *character != '_').collect();
    let mut sum: f64 = seconds.parse().ok()?;
    let mut base = 60.0;
    for part in middle.iter().rev() {
        sum += f64::from(sexagesimal_digit(part)?) * base;
        base *= 60.0;
    }
    let first: String = first.chars().filter(|character| *character != '_').collect();
    Some(sum + first.parse::<f64>().ok()? * base)
}

/// An integer of the YAML 1.2 core schema.
pub(crate) fn integer_1_2(text: &str) -> Option<NodeValue> {
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| matches!(byte, b'0'..=b'7'))
            .then(|| in_radix(false, digits, 8))?;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |byte| byte.is_ascii_hexdigit())
            .then(|| in_radix(false, digits, 16))?;
    }
    let (negative, _, rest) = split_sign(text);
    all(rest, |byte| byte.is_ascii_digit()).then(|| in_radix(negative, rest, 10))?
}

/// A float of the YAML 1.2 core schema.
pub(crate) fn float_1_2(text: &str) -> Option<f64> {
    let (negative, signed, rest) = split_sign(text);
    let sign = if negative { -1.0 } else { 1.0 };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Some(sign * f64::INFINITY);
    }
    if !signed && matches!(rest, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    let (number, exponent) = match rest.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(split_sign(exponent).2)),
        None => (rest, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let shape = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|digits| all(digits, |byte| byte.is_ascii_digit()));
    shape.then(|| rest.parse().ok().map(|value: f64| sign * value))?
}
