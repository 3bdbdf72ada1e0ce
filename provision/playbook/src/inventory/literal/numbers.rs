//! Numbers of Python.

use yaml::{NodeValue, Schema, resolve};

/// A number with an optional sign, and the text behind it.
pub(super) fn number(text: &str) -> Option<(NodeValue, &str)> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let unsigned = unsigned.trim_start_matches([' ', '\t']);
    let (word, rest) = unsigned.split_at(length(unsigned));
    // `1j` is complex, `1if` is an error: a number ends at something that is no letter.
    if rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '.') {
        return None;
    }
    let value = integer(word).or_else(|| float(word).map(NodeValue::Float))?;
    Some((if negative { negated(value) } else { value }, rest))
}

/// How far a number can reach.
fn length(text: &str) -> usize {
    let radix = text
        .get(..2)
        .is_some_and(|prefix| matches!(prefix, "0x" | "0X" | "0o" | "0O" | "0b" | "0B"));
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let exponent_sign = matches!(character, '+' | '-') && matches!(before, 'e' | 'E') && !radix;
        let part =
            character.is_ascii_alphanumeric() || matches!(character, '_' | '.') || exponent_sign;
        if !part {
            return at;
        }
        before = character;
    }
    text.len()
}

fn negated(value: NodeValue) -> NodeValue {
    match value {
        NodeValue::Integer(value) => NodeValue::Integer(value.saturating_neg()),
        NodeValue::BigInteger(digits) => resolve(&format!("-{digits}"), Schema::Strict),
        NodeValue::Float(value) => NodeValue::Float(-value),
        other => other,
    }
}

/// Digits with single underscores between them.
fn digits(text: &str, accept: impl Fn(char) -> bool) -> Option<String> {
    let groups: Vec<&str> = text.split('_').collect();
    let fits = groups.iter().all(|group| !group.is_empty() && group.chars().all(&accept));
    fits.then(|| groups.concat())
}

fn integer(word: &str) -> Option<NodeValue> {
    let lower = word.to_ascii_lowercase();
    let prefixed = |radix: u32, digit: &str| {
        let text = digits(digit.strip_prefix('_').unwrap_or(digit), |character| {
            character.is_digit(radix)
        })?;
        u64::from_str_radix(&text, radix).ok()
    };
    let value = if let Some(hexadecimal) = lower.strip_prefix("0x") {
        prefixed(16, hexadecimal)?.to_string()
    } else if let Some(octal) = lower.strip_prefix("0o") {
        prefixed(8, octal)?.to_string()
    } else if let Some(binary) = lower.strip_prefix("0b") {
        prefixed(2, binary)?.to_string()
    } else {
        let text = digits(&lower, |character| character.is_ascii_digit())?;
        // A leading zero is an error in Python 3, unless all digits are zeros.
        if text.starts_with('0') && text.bytes().any(|byte| byte != b'0') {
            return None;
        }
        text
    };
    Some(resolve(&value, Schema::Strict)).filter(|value| !matches!(value, NodeValue::String(_)))
}

fn float(word: &str) -> Option<f64> {
    let (number, exponent) = match word.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (word, None),
    };
    let part = |text: &str| {
        if text.is_empty() {
            return Some(String::new());
        }
        digits(text, |character| character.is_ascii_digit())
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (part(whole)?, part(fraction)?),
        None if exponent.is_some() => (part(number)?, String::new()),
        None => return None,
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent = match exponent {
        Some(text) => {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            let value = digits(unsigned, |character| character.is_ascii_digit())?;
            format!("{}{value}", if text.starts_with('-') { "-" } else { "" })
        }
        None => "0".to_owned(),
    };
    format!("0{whole}.{fraction}e{exponent}").parse().ok()
}
