//! A web server for tests, which can misbehave: it sends whatever bytes it is told and hangs up.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where the part begins that is asked for.
    pub fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A server on a free port of the loopback; its threads end with the tests.
pub struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts it. The function makes the whole answer, head included, from the request and its
    /// number.
    pub fn start(answer: impl Fn(&Asked, usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (log, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, log, answer) = (stream.unwrap(), log.clone(), answer.clone());
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let Some(Ok(first)) = lines.next() else { return };
                    let headers = lines
                        .map_while(Result::ok)
                        .take_while(|line| !line.is_empty())
                        .filter_map(|line| {
                            let (name, value) = line.split_once(':')?;
                            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
                        })
                        .collect();
                    let path = first.split(' ').nth(1).unwrap().to_owned();
                    let asked = Asked { path, headers };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(asked.clone());
                        log.len() - 1
                    };
                    let _ = stream.write_all(&answer(&asked, number));
                });
            }
        });
        Server { address, asked }
    }

    /// An address on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it was asked for.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// An answer with a body.
pub fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The answer of a server that knows about ranges: all, or the rest if it is the same file.
pub fn file(asked: &Asked, tag: &str, content: &[u8]) -> Vec<u8> {
    let is_same = asked.header("if-range").is_none_or(|known| known == tag);
    match asked.start().filter(|_| is_same) {
        Some(start) if start >= content.len() => answer("416 Range Not Satisfiable", b""),
        Some(start) => {
            let (last, size) = (content.len() - 1, content.len());
            let head = format!("206 Partial Content\r\nContent-Range: bytes {start}-{last}/{size}");
            answer(&format!("{head}\r\nETag: {tag}"), &content[start..])
        }
        None => answer(&format!("200 OK\r\nETag: {tag}"), content),
    }
}
