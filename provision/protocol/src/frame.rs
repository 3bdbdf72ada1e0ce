//! Frames: a length, a kind, a payload.
//!
//! Layout: `u32` big endian length of what follows, `u8` kind, payload. Kind 0 is a JSON message.
//! Kind 1 is a piece of content: 32 bytes SHA-256, one byte `1` if it is the last piece, data.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest frame, in bytes: a result with the output of a talkative command fits; a hostile peer
/// cannot make the other side allocate without bound.
pub const FRAME_LIMIT_BYTES: usize = 64 << 20;

/// Largest piece of content in one frame, in bytes.
pub const CONTENT_PIECE_BYTES: usize = 128 << 10;

const KIND_MESSAGE: u8 = 0;
const KIND_CONTENT: u8 = 1;
const DIGEST_BYTES: usize = 32;

/// One frame, its payload not yet interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A control message in JSON.
    Message(Vec<u8>),
    /// A piece of a file.
    Content {
        /// Digest of the whole content.
        sha256: [u8; DIGEST_BYTES],
        /// Whether the content ends with this piece.
        last: bool,
        /// The piece.
        data: Vec<u8>,
    },
}

/// Why a frame can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The channel failed.
    #[error("read from the channel")]
    Io(#[from] io::Error),
    /// The channel ended inside a frame.
    #[error("the channel ended in the middle of a frame")]
    Truncated,
    /// A length over the limit or under the minimum.
    #[error("a frame of {length} bytes is not allowed (limit {FRAME_LIMIT_BYTES})")]
    Length {
        /// As announced.
        length: usize,
    },
    /// A kind nobody knows.
    #[error("unknown frame kind {kind}")]
    Kind {
        /// As received.
        kind: u8,
    },
    /// The message isn't what the protocol says.
    #[error("malformed message")]
    Message(#[from] serde_json::Error),
}

impl Frame {
    /// A message frame.
    ///
    /// # Errors
    /// When the message can't be expressed in JSON.
    pub fn message(message: &impl Serialize) -> Result<Frame, FrameError> {
        Ok(Frame::Message(serde_json::to_vec(message)?))
    }

    /// Interprets a message frame's payload.
    ///
    /// # Errors
    /// When the payload is not such a message.
    pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
        Ok(serde_json::from_slice(payload)?)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = match self {
            Frame::Message(payload) => {
                let mut body = Vec::with_capacity(payload.len() + 5);
                body.extend_from_slice(&[0; 4]);
                body.push(KIND_MESSAGE);
                body.extend_from_slice(payload);
                body
            }
            Frame::Content { sha256, last, data } => {
                let mut body = Vec::with_capacity(data.len() + 6 + DIGEST_BYTES);
                body.extend_from_slice(&[0; 4]);
                body.push(KIND_CONTENT);
                body.extend_from_slice(sha256);
                body.push(u8::from(*last));
                body.extend_from_slice(data);
                body
            }
        };
        let mut body = body;
        let length = u32::try_from(body.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(prefix) = body.get_mut(..4) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
        body
    }
}

/// Takes bytes as they come and gives out whole frames; used on both ends.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Adds bytes from the channel.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > FRAME_LIMIT_BYTES / 64 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the channel may end here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// When the bytes cannot be frames; the channel is unusable then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = self.buffer.get(self.start..).unwrap_or(&[]);
        let Some((prefix, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length == 0 || length > FRAME_LIMIT_BYTES {
            return Err(FrameError::Length { length });
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let frame = decode(body)?;
        self.start += 4 + length;
        Ok(Some(frame))
    }
}

fn decode(body: &[u8]) -> Result<Frame, FrameError> {
    match body.split_first() {
        Some((&KIND_MESSAGE, payload)) => Ok(Frame::Message(payload.to_vec())),
        Some((&KIND_CONTENT, payload)) => {
            let Some((sha256, rest)) = payload.split_first_chunk::<DIGEST_BYTES>() else {
                return Err(FrameError::Length { length: body.len() });
            };
            let Some((last, data)) = rest.split_first() else {
                return Err(FrameError::Length { length: body.len() });
            };
            Ok(Frame::Content { sha256: *sha256, last: *last == 1, data: data.to_vec() })
        }
        Some((&kind, _)) => Err(FrameError::Kind { kind }),
        None => Err(FrameError::Length { length: 0 }),
    }
}

/// Reads one frame from a blocking channel; `None` at a clean end.
///
/// # Errors
/// When the channel fails or carries something else.
pub fn read_frame(
    channel: &mut impl Read,
    reader: &mut FrameReader,
) -> Result<Option<Frame>, FrameError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(frame) = reader.next_frame()? {
            return Ok(Some(frame));
        }
        let count = match channel.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return if reader.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
        }
        reader.push(buffer.get(..count).unwrap_or(&[]));
    }
}

/// Writes one frame to a blocking channel and flushes it.
///
/// # Errors
/// When the channel fails.
pub fn write_frame(channel: &mut impl Write, frame: &Frame) -> io::Result<()> {
    channel.write_all(&frame.encode())?;
    channel.flush()
}

#[cfg(test)]
mod tests {
    use super::{Frame, FrameReader};
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64).prop_map(Frame::Message),
            (any::<[u8; 32]>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..64))
                .prop_map(|(sha256, last, data)| Frame::Content { sha256, last, data }),
        ];
        proptest::collection::vec(frame, 0..8)
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(frames in frames(), cuts in proptest::collection::vec(1usize..50, 1..40)) {
            let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let mut reader = FrameReader::default();
            let mut seen = Vec::new();
            let mut rest = wire.as_slice();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                reader.push(now);
                rest = later;
                while let Some(frame) = reader.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            prop_assert!(reader.is_empty());
            prop_assert_eq!(seen, frames);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_frame() {}
        }
    }
}
