//! Python's regular expressions, since that is what parameters of file modules are written in.

mod pattern;
mod template;
mod translate;

pub use pattern::{Captured, Options, Pattern};
pub use template::Template;

/// Bytes as text in which every byte is one character: ASCII stays, others become characters that
/// are neither letters nor digits nor blanks. Python's patterns for bytes see them so.
#[must_use]
pub fn bytes_to_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| byte_to_character(*byte)).collect()
}

/// The inverse of [`bytes_to_text`].
#[must_use]
pub fn text_to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match character_to_byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Private characters that stand for the bytes 128 to 255.
const HIGH_BYTES: u32 = 0x10_ff00;

fn byte_to_character(byte: u8) -> char {
    if byte.is_ascii() {
        return char::from(byte);
    }
    char::from_u32(HIGH_BYTES + u32::from(byte)).unwrap_or('\u{fffd}')
}

fn character_to_byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    if code < 0x80 {
        return u8::try_from(code).ok();
    }
    code.checked_sub(HIGH_BYTES)
        .and_then(|byte| u8::try_from(byte).ok())
        .filter(|byte| *byte >= 128)
}

/// Text of a file that should be UTF-8: broken bytes survive a round trip through
/// [`text_to_bytes`], as Python's `surrogateescape` lets them.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| byte_to_character(*byte)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_survive(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(text_to_bytes(&bytes_to_text(&bytes)), bytes.clone());
            prop_assert_eq!(text_to_bytes(&decode(&bytes)), bytes);
        }
    }
}
