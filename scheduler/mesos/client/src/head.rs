//! HTTP/1.1 as masters speak it: requests, and the heads of their answers.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesos::{Encoding, Location};

use crate::client::Credential;

/// The path of the API, unless a redirect names another.
pub(crate) const PATH: &str = "/api/v1/scheduler";

/// The most headers and bytes of an answer's head: a master sends five headers.
const HEADERS_MOST: usize = 64;
const HEAD_MOST_BYTES: usize = 64 << 10;

/// What all requests to a master have in common.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    head: String,
    pub(crate) encoding: Encoding,
}

impl Requests {
    pub(crate) fn new(
        location: &Location,
        encoding: Encoding,
        credential: Option<&Credential>,
    ) -> Self {
        let path = if location.path.len() > 1 { &location.path } else { PATH };
        let (authority, media) = (location.authority(), encoding.media_type());
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {media}\r\nAccept: {media}\r\n"
        );
        if let Some(Credential { principal, secret }) = credential {
            let login = STANDARD.encode(format!("{principal}:{secret}"));
            head.push_str(&format!("Authorization: Basic {login}\r\n"));
        }
        Requests { head, encoding }
    }

    /// A request with this body.
    pub(crate) fn request(&self, stream_id: Option<&str>, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.head.len() + body.len() + 128);
        bytes.extend_from_slice(self.head.as_bytes());
        if let Some(id) = stream_id {
            bytes.extend_from_slice(format!("Mesos-Stream-Id: {id}\r\n").as_bytes());
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) stream_id: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) is_chunked: bool,
    pub(crate) length: Option<u64>,
    pub(crate) media_type: Option<String>,
}

/// Takes a head off the front of what was read, if all of it is there, and says how long it was.
pub(crate) fn head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MOST];
    let mut response = httparse::Response::new(&mut headers);
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let parsed = response.parse(bytes).map_err(|error| invalid(format!("no HTTP: {error}")))?;
    let httparse::Status::Complete(length) = parsed else {
        if bytes.len() > HEAD_MOST_BYTES {
            return Err(invalid(format!("the head of an answer is over {HEAD_MOST_BYTES} bytes")));
        }
        return Ok(None);
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(found.value).trim().to_owned())
    };
    let is_chunked =
        header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let head = Head {
        status: response.code.unwrap_or_default(),
        stream_id: header("mesos-stream-id")
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic())),
        location: header("location"),
        is_chunked,
        length: header("content-length").and_then(|value| value.parse().ok()),
        media_type: header("content-type"),
    };
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_recordings() {
        let location = Location::parse("//127.0.0.1:5060/master/api/v1/scheduler").unwrap();
        let credential = Credential { principal: "p".to_owned(), secret: "s".to_owned() };
        let requests = Requests::new(&location, Encoding::Json, Some(&credential));
        let text = String::from_utf8(requests.request(Some("x-1"), b"{}")).unwrap();
        assert_eq!(
            text,
            "POST /master/api/v1/scheduler HTTP/1.1\r\nHost: 127.0.0.1:5060\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\n\
             Authorization: Basic cDpz\r\nMesos-Stream-Id: x-1\r\nContent-Length: 2\r\n\r\n{}"
        );
    }

    #[test]
    fn heads_of_answers() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: a-b\r\n\
            Content-Type: application/json\r\n\r\n14\r\n";
        assert_eq!(head(&text[..40]).unwrap(), None);
        let (found, length) = head(text).unwrap().unwrap();
        assert_eq!(&text[length..], b"14\r\n");
        assert_eq!((found.status, found.stream_id.as_deref()), (200, Some("a-b")));
        assert!(found.is_chunked);
        assert!(head(b"SSH-2.0-OpenSSH\r\n").is_err());
        assert!(head(&vec![b'a'; HEAD_MOST_BYTES + 1]).is_err());
    }
}
