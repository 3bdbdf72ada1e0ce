//! The two encodings of the API, and why something could not be read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::schema::Described;

/// What can be sent: a message of one of the tables.
pub trait Data: prost::Message + Default + Described + Serialize + DeserializeOwned {}
impl<T: prost::Message + Default + Described + Serialize + DeserializeOwned> Data for T {}

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Mesos' own JSON.
    Json,
    /// Protobuf.
    Protobuf,
}

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON.
    #[error("parse JSON: syntax error at line {line} near: {near}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// The rest of the line at that place.
        near: String,
    },
    /// It is JSON, but no object.
    #[error("convert JSON: expected an object")]
    NotAnObject,
    /// Required fields are absent.
    #[error("find required fields: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// A value is of another type.
    #[error("convert JSON: {0}")]
    Convert(String),
    /// It is no protobuf of this message.
    #[error("parse protobuf: {0}")]
    Protobuf(String),
}

impl Encoding {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        }
    }

    /// The encoding of a media type; Mesos compares it letter by letter.
    pub fn of_media_type(text: &str) -> Option<Encoding> {
        [Encoding::Json, Encoding::Protobuf].into_iter().find(|it| it.media_type() == text)
    }

    /// Writes a message.
    pub fn encode<M: Data>(self, message: &M) -> Vec<u8> {
        match self {
            // Text keys and finite numbers only: nothing that serde_json refuses.
            Encoding::Json => serde_json::to_vec(message).unwrap_or_default(),
            Encoding::Protobuf => message.encode_to_vec(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If it isn't one, or if required fields are absent.
    pub fn decode<M: Data>(self, bytes: &[u8]) -> Result<M, DecodeError> {
        match self {
            Encoding::Json => {
                serde_json::from_slice(bytes).map_err(|error| diagnose::<M>(bytes, &error))
            }
            Encoding::Protobuf => {
                let message =
                    M::decode(bytes).map_err(|error| DecodeError::Protobuf(error.to_string()))?;
                match M::SCHEMA.missing_in_protobuf(bytes) {
                    Some(path) => Err(DecodeError::Missing(vec![path])),
                    None => Ok(message),
                }
            }
        }
    }
}

/// Says what is wrong with JSON that was refused, as exactly as Mesos does.
fn diagnose<M: Data>(bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => return syntax(bytes, &error),
    };
    if !value.is_object() {
        return DecodeError::NotAnObject;
    }
    let missing = M::SCHEMA.missing_in_json(&value);
    if missing.is_empty() {
        DecodeError::Convert(error.to_string())
    } else {
        DecodeError::Missing(missing)
    }
}

/// The place of an error of syntax.
fn syntax(bytes: &[u8], error: &serde_json::Error) -> DecodeError {
    let line = error.line().max(1);
    let text = bytes.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
    // An error at the end of the text has the column of the last byte.
    let start = if error.is_eof() { error.column() } else { error.column().saturating_sub(1) };
    let near = text.get(start..).unwrap_or_default();
    DecodeError::Syntax { line, near: String::from_utf8_lossy(near).into_owned() }
}
