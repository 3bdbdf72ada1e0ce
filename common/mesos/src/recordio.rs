//! Records in a stream of bytes: the length in decimal, a line feed, the bytes.
//!
//! A reader takes the stream in any pieces. A writer sends one record in one piece, since there are
//! clients that take a piece for a record.

/// Longest record that is taken, in bytes: all offers of 100,000 agents in JSON are smaller.
pub const RECORD_LIMIT_BYTES: usize = 256 << 20;

/// Most digits of a length: those of the greatest number of 64 bits.
const DIGITS_LIMIT: usize = 20;

/// Why a stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Something else than digits and a line feed.
    #[error("find the length of a record: byte {0:#04x} is no digit")]
    NoDigit(u8),
    /// A line feed without digits before it, or too many digits.
    #[error("find the length of a record: {0} digits")]
    Digits(usize),
    /// A record longer than the limit.
    #[error("take a record of {length_bytes} bytes: more than {limit_bytes}")]
    Long {
        /// What the stream says.
        length_bytes: u64,
        /// What is taken.
        limit_bytes: usize,
    },
    /// The stream ended within a record.
    #[error("read a record to its end: the stream ended after {0} bytes of it")]
    Cut(usize),
}

/// A record as it stands in a stream.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let mut framed = record.len().to_string().into_bytes();
    framed.reserve_exact(record.len() + 1);
    framed.push(b'\n');
    framed.extend_from_slice(record);
    framed
}

/// Takes pieces of a stream and gives its records.
#[derive(Debug)]
pub struct Decoder {
    /// What was pushed and is not part of a record that was given.
    buffer: Vec<u8>,
    /// Where the next record, or its length, begins.
    start: usize,
    /// Bytes of the record that begins at `start`, once its length is read.
    length: Option<usize>,
    limit_bytes: usize,
    failed: Option<RecordError>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(RECORD_LIMIT_BYTES)
    }
}

impl Decoder {
    /// A decoder that refuses records of more bytes than this.
    pub fn new(limit_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, length: None, limit_bytes, failed: None }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // What was given goes at once when it is all; else when it is most of the buffer.
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole record, if it is there.
    ///
    /// # Errors
    /// If what stands there is no record; the decoder gives the same error ever after.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let length = match self.length {
            Some(length) => length,
            None => match self.read_length() {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            },
        };
        let end = self.start.saturating_add(length);
        if end > self.buffer.len() {
            self.length = Some(length);
            return Ok(None);
        }
        let record = self.start..end;
        self.start = end;
        self.length = None;
        Ok(self.buffer.get(record))
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// If it ends within a record.
    pub fn finish(&self) -> Result<(), RecordError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.length.is_none() && self.start == self.buffer.len() => Ok(()),
            None => Err(RecordError::Cut(self.buffer.len() - self.start)),
        }
    }

    fn read_length(&mut self) -> Result<Option<usize>, RecordError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let mut length_bytes = 0u64;
        for (digits, byte) in rest.iter().copied().enumerate() {
            match byte {
                b'0'..=b'9' if digits < DIGITS_LIMIT => {
                    let digit = u64::from(byte - b'0');
                    length_bytes = length_bytes.saturating_mul(10).saturating_add(digit);
                }
                b'\n' if digits > 0 => {
                    self.start += digits + 1;
                    let length = usize::try_from(length_bytes).unwrap_or(usize::MAX);
                    return if length > self.limit_bytes {
                        Err(RecordError::Long { length_bytes, limit_bytes: self.limit_bytes })
                    } else {
                        Ok(Some(length))
                    };
                }
                b'0'..=b'9' => return Err(RecordError::Digits(digits + 1)),
                b'\n' => return Err(RecordError::Digits(0)),
                other => return Err(RecordError::NoDigit(other)),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoder, RecordError, frame};

    fn all(decoder: &mut Decoder) -> Result<Vec<Vec<u8>>, RecordError> {
        let mut records = Vec::new();
        while let Some(record) = decoder.next_record()? {
            records.push(record.to_vec());
        }
        Ok(records)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_records(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in prop::collection::vec(1usize..20, 0..200),
        ) {
            let stream: Vec<u8> = records.iter().flat_map(|record| frame(record)).collect();
            let mut decoder = Decoder::new(64);
            let mut found = Vec::new();
            let mut rest = stream.as_slice();
            let mut cuts = cuts.into_iter();
            while !rest.is_empty() {
                let (piece, next) = rest.split_at(cuts.next().unwrap_or(usize::MAX).min(rest.len()));
                decoder.push(piece);
                found.extend(all(&mut decoder).unwrap());
                rest = next;
            }
            prop_assert_eq!(found, records);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }
    }

    #[test]
    fn what_is_no_record() {
        let refused = |bytes: &[u8]| {
            let mut decoder = Decoder::new(1000);
            decoder.push(bytes);
            all(&mut decoder).unwrap_err()
        };
        assert_eq!(refused(b"\nabc"), RecordError::Digits(0));
        assert_eq!(refused(b"12 \n"), RecordError::NoDigit(b' '));
        assert_eq!(refused(b"3\nabc-1\n"), RecordError::NoDigit(b'-'));
        assert_eq!(refused(&[b'0'; 21]), RecordError::Digits(21));
        let long = RecordError::Long { length_bytes: 1001, limit_bytes: 1000 };
        assert_eq!(refused(b"1001\n"), long);
        let overflown = RecordError::Long { length_bytes: u64::MAX, limit_bytes: 1000 };
        assert_eq!(refused(b"99999999999999999999\n"), overflown);
    }

    #[test]
    fn an_error_stays_and_an_end_within_a_record_is_told() {
        let mut decoder = Decoder::default();
        decoder.push(b"5\nab");
        assert_eq!(decoder.next_record(), Ok(None));
        assert_eq!(decoder.finish(), Err(RecordError::Cut(2)));
        decoder.push(b"cdex");
        assert_eq!(decoder.next_record(), Ok(Some(&b"abcde"[..])));
        assert_eq!(decoder.next_record(), Err(RecordError::NoDigit(b'x')));
        decoder.push(b"5\nabcde");
        assert_eq!(decoder.next_record(), Err(RecordError::NoDigit(b'x')));
    }
}
