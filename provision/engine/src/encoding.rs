//! `[pure]` Encodings that a template's result can have (`output_encoding`).

/// What the bytes 0x80 to 0x9F mean in Windows-1252; those without a meaning are `None`.
const WINDOWS_1252: [Option<char>; 32] = [
    Some('\u{20ac}'),
    None,
    Some('\u{201a}'),
    Some('\u{0192}'),
    Some('\u{201e}'),
    Some('\u{2026}'),
    Some('\u{2020}'),
    Some('\u{2021}'),
    Some('\u{02c6}'),
    Some('\u{2030}'),
    Some('\u{0160}'),
    Some('\u{2039}'),
    Some('\u{0152}'),
    None,
    Some('\u{017d}'),
    None,
    None,
    Some('\u{2018}'),
    Some('\u{2019}'),
    Some('\u{201c}'),
    Some('\u{201d}'),
    Some('\u{2022}'),
    Some('\u{2013}'),
    Some('\u{2014}'),
    Some('\u{02dc}'),
    Some('\u{2122}'),
    Some('\u{0161}'),
    Some('\u{203a}'),
    Some('\u{0153}'),
    None,
    Some('\u{017e}'),
    Some('\u{0178}'),
];

/// Whether a name is one of UTF-8, or none.
pub fn is_utf_8(encoding: &str) -> bool {
    matches!(encoding.to_lowercase().replace('_', "-").as_str(), "" | "utf-8" | "utf8")
}

/// The text that bytes are in an encoding of one byte a character.
///
/// # Errors
/// The encoding is none of these, or a byte has no meaning in it.
pub fn decode(bytes: &[u8], encoding: &str) -> Result<String, String> {
    let letter_of: fn(u8) -> Option<char> = match encoding.to_lowercase().replace('_', "-").as_str()
    {
        "ascii" | "us-ascii" => |byte| byte.is_ascii().then(|| char::from(byte)),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => |byte| Some(char::from(byte)),
        "windows-1252" | "cp1252" => |byte| match byte.checked_sub(0x80) {
            Some(at @ 0..32) => WINDOWS_1252.get(usize::from(at)).copied().flatten(),
            _ => Some(char::from(byte)),
        },
        _ => {
            return Err(format!(
                "there is no encoding `{encoding}`: only utf-8, ascii, latin-1 and windows-1252"
            ));
        }
    };
    let letters = bytes.iter().map(|byte| {
        letter_of(*byte).ok_or_else(|| format!("byte {byte:#04x} is nothing in {encoding}"))
    });
    letters.collect()
}

/// The bytes of a text in an encoding by one of its Python names; empty is UTF-8.
///
/// # Errors
/// The encoding is none of these, or has no byte for a character.
pub fn encode(text: String, encoding: &str) -> Result<Vec<u8>, String> {
    let byte_of: fn(char) -> Option<u8> = match encoding.to_lowercase().replace('_', "-").as_str() {
        _ if is_utf_8(encoding) => return Ok(text.into_bytes()),
        "utf-16-le" | "utf-16le" => {
            return Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        }
        "utf-16-be" | "utf-16be" => {
            return Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        }
        "ascii" | "us-ascii" => |letter| u8::try_from(letter).ok().filter(u8::is_ascii),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" => |letter| u8::try_from(letter).ok(),
        "windows-1252" | "cp1252" => windows_1252,
        _ => {
            return Err(format!(
                "there is no output_encoding `{encoding}`: only utf-8, utf-16-le, utf-16-be, ascii, \
                 latin-1 and windows-1252"
            ));
        }
    };
    let bytes = text.chars().map(|letter| {
        byte_of(letter).ok_or_else(|| format!("{letter:?} can't be written as {encoding}"))
    });
    bytes.collect()
}

fn windows_1252(letter: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(letter)
        && !(0x80..0xa0).contains(&byte)
    {
        return Some(byte);
    }
    let at = WINDOWS_1252.iter().position(|known| *known == Some(letter))?;
    u8::try_from(at).ok()?.checked_add(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_encoded_or_refused() {
        let encode = |text: &str, encoding: &str| encode(text.to_owned(), encoding);
        assert_eq!(encode("\u{e9}", ""), Ok(vec![0xc3, 0xa9]));
        assert_eq!(encode("\u{e9}\u{20ac}\u{178}", "Windows-1252"), Ok(vec![0xe9, 0x80, 0x9f]));
        assert_eq!(encode("\u{e9}", "latin_1"), Ok(vec![0xe9]));
        assert_eq!(encode("a", "utf-16-le"), Ok(vec![b'a', 0]));
        assert!(encode("\u{e9}", "ascii").unwrap_err().contains("as ascii"));
        assert!(encode("\u{80}", "cp1252").is_err());
        assert!(encode("a", "klingon").unwrap_err().contains("klingon"));
    }

    #[test]
    fn bytes_are_decoded_or_refused() {
        assert_eq!(decode(&[0xe9], "iso8859-1"), Ok("\u{e9}".to_owned()));
        assert_eq!(decode(&[0x80, 0xff], "cp1252"), Ok("\u{20ac}\u{ff}".to_owned()));
        assert!(decode(&[0x81], "windows-1252").unwrap_err().contains("0x81"));
        assert!(decode(&[0xe9], "ascii").is_err());
        assert!(decode(b"a", "klingon").unwrap_err().contains("klingon"));
    }
}
