//! Requests and responses on the wire (RFC 9112).

use std::io::{self, BufRead, Read, Write};

/// Longest line of a response's head, in bytes.
const LINE_LIMIT_BYTES: u64 = 64 << 10;

/// Most lines of a response's head.
const LINES_LIMIT: usize = 512;

/// Most interim responses (1xx) before the real one.
const INTERIM_LIMIT: usize = 16;

/// Names and values, in the order they came.
pub(super) type Headers = Vec<(String, String)>;

/// The beginning of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Headers.
    pub headers: Headers,
}

impl Head {
    /// The value of a header; several values are joined.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// When the connection is closed.
    UntilClose,
}

/// How the body of a response is framed (RFC 9112, 6.3).
pub(super) fn framing(method: &str, head: &Head) -> io::Result<Framing> {
    if method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Framing::Empty);
    }
    if let Some(coding) = head.header("transfer-encoding") {
        let is_chunked = coding.to_ascii_lowercase().trim_end().ends_with("chunked");
        return Ok(if is_chunked { Framing::Chunked } else { Framing::UntilClose });
    }
    match head.header("content-length") {
        None => Ok(Framing::UntilClose),
        Some(text) => {
            // Repeated equal values are allowed.
            let mut values = text.split(',').map(|value| value.trim().parse::<u64>());
            let first = values.next().and_then(Result::ok);
            let agree = values.all(|value| value.ok() == first);
            first
                .filter(|_| agree)
                .map(Framing::Length)
                .ok_or_else(|| malformed(&format!("content length {text}")))
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed response: {what}"))
}

/// Writes the head of a request.
pub(super) fn write_request(
    stream: &mut dyn Write,
    method: &str,
    target: &str,
    headers: &Headers,
) -> io::Result<()> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        // A line end in a value would smuggle in other headers.
        if name.is_empty() || name.contains([':', '\r', '\n', ' ']) || value.contains(['\r', '\n'])
        {
            let message = format!("invalid header {name}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes())
}

/// Reads the head of the final response.
pub(super) fn read_head(stream: &mut dyn BufRead) -> io::Result<Head> {
    for _ in 0..INTERIM_LIMIT {
        let head = read_one_head(stream)?;
        if head.status == 101 || !(100..200).contains(&head.status) {
            return Ok(head);
        }
    }
    Err(malformed("too many interim responses"))
}

fn read_one_head(stream: &mut dyn BufRead) -> io::Result<Head> {
    let line = read_line(stream)?;
    if line.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "connection was closed before a valid response was received",
        ));
    }
    let mut words = line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
        return Err(malformed(&line));
    };
    let reason = words.next().unwrap_or_default().trim().to_owned();
    Ok(Head { status, reason, headers: read_headers(stream)? })
}

fn read_headers(stream: &mut dyn BufRead) -> io::Result<Headers> {
    let mut headers: Headers = Vec::new();
    for _ in 0..LINES_LIMIT {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok(headers);
        }
        if line.starts_with([' ', '\t']) {
            // A folded line continues the value.
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else { return Err(malformed(&line)) };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Err(malformed("too many headers"))
}

/// A line without its end. Bytes that are not UTF-8 are taken for Latin-1.
fn read_line(stream: &mut dyn BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    let count = stream.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut bytes)?;
    if u64::try_from(count).unwrap_or(u64::MAX) >= LINE_LIMIT_BYTES {
        return Err(malformed("a line is too long"));
    }
    if count > 0 && bytes.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    while matches!(bytes.last(), Some(b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().copied().map(char::from).collect(),
    })
}

/// The body of a response. A body that ends too early is an error.
pub(super) struct Body<R> {
    stream: R,
    framing: Framing,
    /// Bytes left of the current chunk.
    chunk: u64,
    is_first_chunk: bool,
}

impl<R: BufRead> Body<R> {
    /// From a connection whose head has been read.
    pub fn new(stream: R, framing: Framing) -> Self {
        Body { stream, framing, chunk: 0, is_first_chunk: true }
    }

    fn read_limited(&mut self, buffer: &mut [u8], left: u64) -> io::Result<usize> {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.stream.read(buffer.get_mut(..limit).unwrap_or_default())?;
        if count == 0 && limit > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed before the end of the content",
            ));
        }
        Ok(count)
    }

    /// Finds the next chunk; `false`: there is none.
    fn next_chunk(&mut self) -> io::Result<bool> {
        if !self.is_first_chunk && !read_line(&mut self.stream)?.is_empty() {
            return Err(malformed("a chunk has no end"));
        }
        self.is_first_chunk = false;
        let line = read_line(&mut self.stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.chunk =
            u64::from_str_radix(size, 16).map_err(|_| malformed(&format!("chunk size {size}")))?;
        if self.chunk == 0 {
            read_headers(&mut self.stream)?;
            return Ok(false);
        }
        Ok(true)
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.framing {
            Framing::Empty | Framing::Length(0) => Ok(0),
            Framing::UntilClose => self.stream.read(buffer),
            Framing::Length(left) => {
                let count = self.read_limited(buffer, left)?;
                self.framing =
                    Framing::Length(left.saturating_sub(u64::try_from(count).unwrap_or(0)));
                Ok(count)
            }
            Framing::Chunked => {
                if self.chunk == 0 && !self.next_chunk()? {
                    self.framing = Framing::Empty;
                    return Ok(0);
                }
                let count = self.read_limited(buffer, self.chunk)?;
                self.chunk = self.chunk.saturating_sub(u64::try_from(count).unwrap_or(0));
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn respond(method: &str, wire: &[u8]) -> io::Result<(Head, Vec<u8>)> {
        let mut stream = io::BufReader::new(wire);
        let head = read_head(&mut stream)?;
        let mut content = Vec::new();
        let framing = framing(method, &head)?;
        Body::new(stream, framing).read_to_end(&mut content)?;
        Ok((head, content))
    }

    #[test]
    fn bodies_have_ends() {
        let (head, content) = respond(
            "GET",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\
              A: b\r\n c\r\n\r\nabcd",
        )
        .unwrap();
        assert_eq!((head.status, head.reason.as_str()), (200, "OK"));
        assert_eq!(head.header("a").unwrap(), "b c");
        assert_eq!(content, b"abc");
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n";
        assert_eq!(respond("GET", chunked).unwrap().1, b"abcde");
        assert_eq!(respond("GET", b"HTTP/1.0 200\r\n\r\nrest").unwrap().1, b"rest");
        assert_eq!(
            respond("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").unwrap().1,
            b""
        );
        assert_eq!(respond("GET", b"HTTP/1.1 204 x\r\n\r\n").unwrap().1, b"");
    }

    #[test]
    fn broken_responses_are_refused() {
        for wire in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\nA: b",
        ] {
            assert!(respond("GET", wire).is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn headers_cannot_be_smuggled() {
        let mut wire = Vec::new();
        let smuggled = vec![("A".to_owned(), "b\r\nC: d".to_owned())];
        assert!(write_request(&mut wire, "GET", "/", &smuggled).is_err());
        assert!(wire.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(wire in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut prefixed = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            prefixed.extend_from_slice(&wire);
            let _ = respond("GET", &wire);
            let _ = respond("GET", &prefixed);
        }
    }
}
