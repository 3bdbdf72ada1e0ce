//! Bodies in chunks.

use std::io;

/// The longest line between chunks, in bytes: a number and what nobody uses.
const LINE_MOST_BYTES: usize = 1 << 10;

/// Takes a body in chunks, in any pieces, and gives its bytes.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: Expected,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The length of the next chunk.
    #[default]
    Length,
    /// So many bytes more.
    Bytes(u64),
    /// The end of the line behind a chunk.
    LineEnd,
    /// Lines behind the last chunk.
    Trailer,
    /// Nothing.
    End,
}

impl Chunks {
    /// Whether the body is complete.
    pub(crate) fn is_over(&self) -> bool {
        self.state == Expected::End
    }

    /// Takes the next piece: appends what is of the body, and says how much of the piece was used;
    /// less than all only at the end of the body.
    pub(crate) fn push(&mut self, piece: &[u8], body: &mut Vec<u8>) -> io::Result<usize> {
        let mut rest = piece;
        while let (false, Some((first, after))) = (self.is_over(), rest.split_first()) {
            if let Expected::Bytes(left) = self.state {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (chunk, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                body.extend_from_slice(chunk);
                rest = after;
                let left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                self.state = if left == 0 { Expected::LineEnd } else { Expected::Bytes(left) };
                continue;
            }
            rest = after;
            if *first != b'\n' {
                self.line.push(*first);
                if self.line.len() > LINE_MOST_BYTES {
                    return Err(invalid("a line between chunks is too long"));
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.take_line(line.trim_ascii())?;
        }
        Ok(piece.len() - rest.len())
    }

    fn take_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.state = match self.state {
            Expected::Length => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let digits = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
                let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                match u64::from_str_radix(digits, 16) {
                    Ok(0) if is_plain => Expected::Trailer,
                    Ok(length) if is_plain => Expected::Bytes(length),
                    _ => return Err(invalid("the length of a chunk is no number")),
                }
            }
            Expected::LineEnd if line.is_empty() => Expected::Length,
            Expected::LineEnd => return Err(invalid("a chunk is longer than it says")),
            Expected::Trailer if line.is_empty() => Expected::End,
            Expected::Trailer => Expected::Trailer,
            Expected::Bytes(_) | Expected::End => self.state,
        };
        Ok(())
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pieces_give_the_same_body() {
        let stream = b"5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nrest";
        for size in 1..stream.len() {
            let (mut chunks, mut body, mut used) = (Chunks::default(), Vec::new(), 0);
            for piece in stream.chunks(size) {
                used += chunks.push(piece, &mut body).unwrap();
            }
            assert_eq!(body, b"hello 0123456789", "{size}");
            assert!(chunks.is_over());
            assert_eq!(&stream[used..used + 4], b"rest");
        }
    }

    #[test]
    fn what_is_no_chunk() {
        for bytes in [&b"x\r\n"[..], b"+1\r\na", b"\r\n", b"1\r\nab\r\n", b"11111111111111111\r\n"]
        {
            assert!(Chunks::default().push(bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
        assert!(Chunks::default().push(&vec![b'1'; 2000], &mut Vec::new()).is_err());
    }
}
