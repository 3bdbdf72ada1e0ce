//! `[pure]` Texts in other encodings than UTF-8, by the names that Python knows them by.
//!
//! The tables are those of `encoding_rs`, which follows the WHATWG's standard for browsers. Where
//! Python means something else by a name, Python's meaning counts: ASCII and Latin-1 are not
//! Windows-1252, and bytes that a code page of Windows has no meaning for are refused.
//! `tests/python-encodings.txt` holds what Python reads. The encodings of several bytes a character
//! (GBK, Big5, EUC-KR…) read and write a few characters more than Python's: the standard's.

use encoding_rs::{DecoderResult, EncoderResult, Encoding};

/// Why bytes or a text can't be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no encoding of this name; the text is Python's.
    #[error("unknown encoding: {0}")]
    Unknown(String),
    /// A byte has no meaning at its place.
    #[error("byte {byte:#04x} at {at} is nothing in {encoding}")]
    Byte {
        /// The first such byte.
        byte: u8,
        /// Its place, from 0.
        at: usize,
        /// Name of the encoding as given.
        encoding: String,
    },
    /// A character can't be written.
    #[error("{letter:?} can't be written as {encoding}")]
    Letter {
        /// The first such character.
        letter: char,
        /// Name of the encoding as given.
        encoding: String,
    },
}

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Utf8,
    Utf16 {
        big_endian: bool,
    },
    Ascii,
    Latin1,
    /// A code page of Windows: the standard fills its gaps with control characters, Python refuses.
    CodePage(&'static Encoding),
    Table(&'static Encoding),
}

/// Python ignores case, hyphens, underlines and blanks in names.
fn kind(name: &str) -> Option<Kind> {
    let squashed: String = name
        .chars()
        .filter(|letter| !matches!(letter, '-' | '_' | ' '))
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    Some(match squashed.as_str() {
        "" | "utf8" | "u8" | "cp65001" => Kind::Utf8,
        "utf16le" => Kind::Utf16 { big_endian: false },
        "utf16be" => Kind::Utf16 { big_endian: true },
        "ascii" | "usascii" | "646" => Kind::Ascii,
        "latin1" | "iso88591" | "latin" | "l1" | "cp819" => Kind::Latin1,
        other => match code_page(other) {
            Some(encoding) => Kind::CodePage(encoding),
            None => Kind::Table(table(other)?),
        },
    })
}

fn code_page(squashed: &str) -> Option<&'static Encoding> {
    let number = squashed.strip_prefix("windows").or_else(|| squashed.strip_prefix("cp"))?;
    Some(match number {
        "1250" => encoding_rs::WINDOWS_1250,
        "1251" => encoding_rs::WINDOWS_1251,
        "1252" => encoding_rs::WINDOWS_1252,
        "1253" => encoding_rs::WINDOWS_1253,
        "1254" => encoding_rs::WINDOWS_1254,
        "1256" => encoding_rs::WINDOWS_1256,
        "1257" => encoding_rs::WINDOWS_1257,
        _ => return None,
    })
}

fn table(squashed: &str) -> Option<&'static Encoding> {
    Some(match squashed {
        "gbk" | "cp936" | "936" | "ms936" => encoding_rs::GBK,
        "gb18030" | "gb180302000" => encoding_rs::GB18030,
        "big5" | "big5tw" | "csbig5" => encoding_rs::BIG5,
        "eucjp" | "ujis" | "ujis8" => encoding_rs::EUC_JP,
        "shiftjis" | "sjis" | "cp932" | "932" | "ms932" => encoding_rs::SHIFT_JIS,
        "euckr" | "cp949" | "949" | "ms949" | "uhc" | "korean" => encoding_rs::EUC_KR,
        "iso2022jp" => encoding_rs::ISO_2022_JP,
        "koi8r" => encoding_rs::KOI8_R,
        "cp866" | "ibm866" | "866" => encoding_rs::IBM866,
        "iso88592" | "latin2" | "l2" => encoding_rs::ISO_8859_2,
        "iso88593" | "latin3" | "l3" => encoding_rs::ISO_8859_3,
        "iso88594" | "latin4" | "l4" => encoding_rs::ISO_8859_4,
        "iso88595" | "cyrillic" => encoding_rs::ISO_8859_5,
        "iso88596" | "arabic" => encoding_rs::ISO_8859_6,
        "iso88597" | "greek" | "greek8" => encoding_rs::ISO_8859_7,
        "iso88598" | "hebrew" => encoding_rs::ISO_8859_8,
        "iso885910" | "latin6" | "l6" => encoding_rs::ISO_8859_10,
        "iso885913" | "latin7" | "l7" => encoding_rs::ISO_8859_13,
        "iso885914" | "latin8" | "l8" => encoding_rs::ISO_8859_14,
        "iso885915" | "latin9" | "l9" => encoding_rs::ISO_8859_15,
        "iso885916" | "latin10" | "l10" => encoding_rs::ISO_8859_16,
        _ => return None,
    })
}

/// Whether there is an encoding of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    kind(name).is_some()
}

/// Whether a name is one of UTF-8, or empty.
#[must_use]
pub fn is_utf_8(name: &str) -> bool {
    matches!(kind(name), Some(Kind::Utf8))
}

/// The text that bytes are.
///
/// # Errors
/// There is no such encoding, or a byte has no meaning in it.
pub fn decode(bytes: &[u8], name: &str) -> Result<String, Error> {
    let refused = |at: usize| Error::Byte {
        byte: bytes.get(at).copied().unwrap_or_default(),
        at,
        encoding: name.to_owned(),
    };
    match kind(name).ok_or_else(|| Error::Unknown(name.to_owned()))? {
        Kind::Utf8 => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(refused(error.valid_up_to())),
        },
        Kind::Utf16 { big_endian } => decode_utf_16(bytes, big_endian).map_err(refused),
        Kind::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
            Some(at) => Err(refused(at)),
            None => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        },
        Kind::Latin1 => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Kind::CodePage(encoding) => {
            let text = decode_with(encoding, bytes).map_err(refused)?;
            // One byte a character, so places are the same.
            match text.chars().position(is_filled_gap) {
                Some(at) => Err(refused(at)),
                None => Ok(text),
            }
        }
        Kind::Table(encoding) => decode_with(encoding, bytes).map_err(refused),
    }
}

/// The bytes of a text.
///
/// # Errors
/// There is no such encoding, or it can't express a character.
pub fn encode(text: &str, name: &str) -> Result<Vec<u8>, Error> {
    let refused = |letter: char| Error::Letter { letter, encoding: name.to_owned() };
    let single = |last: char| match text.chars().find(|letter| *letter > last) {
        Some(letter) => Err(refused(letter)),
        None => Ok(text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect()),
    };
    match kind(name).ok_or_else(|| Error::Unknown(name.to_owned()))? {
        Kind::Utf8 => Ok(text.as_bytes().to_vec()),
        Kind::Utf16 { big_endian: false } => {
            Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
        }
        Kind::Utf16 { big_endian: true } => {
            Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect())
        }
        Kind::Ascii => single('\u{7f}'),
        Kind::Latin1 => single('\u{ff}'),
        Kind::CodePage(encoding) => match text.chars().find(|letter| is_filled_gap(*letter)) {
            Some(letter) => Err(refused(letter)),
            None => encode_with(encoding, text).map_err(refused),
        },
        Kind::Table(encoding) => encode_with(encoding, text).map_err(refused),
    }
}

/// What the standard makes of bytes that a code page leaves open.
fn is_filled_gap(letter: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&letter)
}

/// The text, or the place of the first byte that is wrong.
fn decode_with(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, usize> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::new();
    let mut read = 0;
    loop {
        let rest = bytes.get(read..).unwrap_or_default();
        let room = decoder.max_utf8_buffer_length_without_replacement(rest.len());
        text.reserve(room.unwrap_or(rest.len()).max(4));
        let (result, taken) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        read += taken;
        match result {
            DecoderResult::InputEmpty => return Ok(text),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(length, behind) => {
                return Err(read.saturating_sub(usize::from(length) + usize::from(behind)));
            }
        }
    }
}

/// The bytes, or the first character that can't be written.
fn encode_with(encoding: &'static Encoding, text: &str) -> Result<Vec<u8>, char> {
    let mut encoder = encoding.new_encoder();
    let mut bytes = Vec::new();
    let mut read = 0;
    loop {
        let rest = text.get(read..).unwrap_or_default();
        let room = encoder.max_buffer_length_from_utf8_without_replacement(rest.len());
        bytes.reserve(room.unwrap_or(rest.len()).max(16));
        let (result, taken) =
            encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
        read += taken;
        match result {
            EncoderResult::InputEmpty => return Ok(bytes),
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(letter) => return Err(letter),
        }
    }
}

fn decode_utf_16(bytes: &[u8], big_endian: bool) -> Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(bytes.len() - 1);
    }
    let unit = |pair: &[u8; 2]| match big_endian {
        true => u16::from_be_bytes(*pair),
        false => u16::from_le_bytes(*pair),
    };
    let mut text = String::with_capacity(pairs.len());
    let mut at = 0;
    for letter in char::decode_utf16(pairs.iter().map(unit)) {
        let letter = letter.map_err(|_| at)?;
        at += 2 * letter.len_utf16();
        text.push(letter);
    }
    Ok(text)
}
