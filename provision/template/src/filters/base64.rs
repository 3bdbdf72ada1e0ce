//! Base 64.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use minijinja::Value;

use super::{FilterEntry, pure};
use crate::error::{Outcome, TemplateError};
use crate::run::{Call, Run};
use crate::value::{View, text_of, view};

pub(super) const FILTERS: &[FilterEntry] = &[pure("b64decode", decode), pure("b64encode", encode)];

/// Text of a value as bytes in an encoding; UTF-16 is what Windows tools want.
pub(crate) fn encoded_bytes(value: &Value, encoding: Option<&str>) -> Outcome<Vec<u8>> {
    if let View::Bytes(bytes) = view(value) {
        return Ok(bytes.to_vec());
    }
    let text = text_of(value);
    match encoding.unwrap_or("utf-8").to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(text.into_bytes()),
        "utf-16-le" | "utf-16le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" | "utf-16be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "latin-1" | "iso-8859-1" => {
            Ok(text.chars().map(|character| u8::try_from(character).unwrap_or(b'?')).collect())
        }
        other => Err(TemplateError::failed(format!("unknown encoding: {other}"))),
    }
}

fn encode(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let encoding = call.text(0, "encoding");
    let url_safe = call.flag(1, "urlsafe", false);
    let bytes = encoded_bytes(&call.input, encoding.as_deref())?;
    Ok(Value::from(if url_safe { URL_SAFE.encode(bytes) } else { STANDARD.encode(bytes) }))
}

fn decode(_: &mut Run<'_>, call: &mut Call) -> Outcome<Value> {
    let encoding = call.text(0, "encoding").unwrap_or_else(|| "utf-8".into()).to_lowercase();
    let url_safe = call.flag(1, "urlsafe", false);
    // Python ignores characters outside of the alphabet.
    let text: String = call
        .input_text()
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || "+/-_=".contains(*character))
        .collect();
    let bytes = if url_safe { URL_SAFE.decode(&text) } else { STANDARD.decode(&text) };
    let bytes = bytes.map_err(|error| TemplateError::failed(format!("not base64: {error}")))?;
    match encoding.replace('_', "-").as_str() {
        "utf-16-le" | "utf-16le" => {
            let units = bytes.chunks_exact(2).map(|pair| match pair {
                [low, high] => u16::from_le_bytes([*low, *high]),
                _ => 0,
            });
            Ok(Value::from(String::from_utf16_lossy(&units.collect::<Vec<u16>>())))
        }
        "latin-1" | "iso-8859-1" => {
            Ok(Value::from(bytes.into_iter().map(char::from).collect::<String>()))
        }
        _ => match String::from_utf8(bytes) {
            Ok(text) => Ok(Value::from(text)),
            Err(error) => Ok(Value::from(String::from_utf8_lossy(error.as_bytes()).into_owned())),
        },
    }
}
