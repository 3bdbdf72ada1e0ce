//! HTTP/1.1 as far as a test needs it: requests with a length, connections that are kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Nobody sends more: the largest body that Consul takes is half of it.
const BODY_MOST_BYTES: usize = 1 << 20;

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    pub method: String,
    /// Decoded.
    pub path: String,
    /// Names and values, decoded.
    pub query: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub index: Option<u64>,
    pub body: String,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Answer { status, index: None, body: body.into() }
    }
}

/// Answers requests of a connection, until it is closed or there is no answer.
pub fn serve(stream: TcpStream, answer: impl Fn(&Request) -> Option<Answer>) {
    // Whoever asked has gone away.
    let _ = try_serve(stream, answer);
}

fn try_serve(mut stream: TcpStream, answer: impl Fn(&Request) -> Option<Answer>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        let Some(Answer { status, index, body }) = answer(&request) else { return Ok(()) };
        let index = index.map_or_else(String::new, |index| format!("X-Consul-Index: {index}\r\n"));
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             X-Consul-KnownLeader: true\r\nX-Consul-LastContact: 0\r\n{index}\r\n{body}"
        );
        stream.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut request = Request {
        method: method.to_owned(),
        path: decoded(path),
        query: pairs.map(|(name, value)| (decoded(name), decoded(value))).collect(),
        body: Vec::new(),
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    request.body.resize(length.min(BODY_MOST_BYTES), 0);
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits: String = rest.by_ref().take(2).map(char::from).collect();
        bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
