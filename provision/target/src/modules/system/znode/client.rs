//! As much of ZooKeeper's protocol as single nodes need: one request at a time, no watches.
//!
//! Frames and records are those of zookeeper.jute and of the programmer's guide (Apache ZooKeeper
//! 3.8): numbers are big-endian, texts and buffers have their length in front, -1 is none.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::module::Failure;

/// Largest answer, in bytes; servers accept no larger nodes than 1 MiB unless they are told to.
const ANSWER_LIMIT_BYTES: usize = 16 << 20;
/// Limit for connecting to one server.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the session lives without a word.
const SESSION: Duration = Duration::from_secs(30);

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const READ: i32 = 4;
const WRITE: i32 = 5;
const CHILDREN: i32 = 8;
const AUTHENTICATE: i32 = 100;
const CLOSE: i32 = -11;

/// Number of the request that authenticates.
const AUTHENTICATION: i32 = -4;

const NO_NODE: i32 = -101;
const NODE_EXISTS: i32 = -110;

/// Everybody may do everything.
const ALL: i32 = 31;

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stat {
    pub czxid: i64,
    pub mzxid: i64,
    pub ctime: i64,
    pub mtime: i64,
    pub version: i32,
    pub cversion: i32,
    pub aversion: i32,
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub children: i32,
    pub pzxid: i64,
}

/// A session with one server.
pub struct Client {
    stream: TcpStream,
    next: i32,
}

impl Client {
    /// Connects to the first server that answers: `host:port,host:port/root` is cut at the slash by
    /// the caller.
    ///
    /// # Errors
    /// When none answers within the limit.
    pub fn connect(hosts: &str, limit: Duration) -> Result<Client, Failure> {
        let deadline = Instant::now() + limit;
        let mut last = "no host is given".to_owned();
        loop {
            for host in hosts.split(',').map(str::trim).filter(|host| !host.is_empty()) {
                match Client::try_connect(host, limit) {
                    Ok(client) => return Ok(client),
                    Err(error) => last = format!("{host}: {error}"),
                }
            }
            if Instant::now() + Duration::from_secs(1) >= deadline {
                let message =
                    format!("The connection to the ZooKeeper ensemble timed out ({last})");
                return Err(Failure::new(message));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn try_connect(host: &str, limit: Duration) -> std::io::Result<Client> {
        let with_port = match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ => format!("{host}:2181"),
        };
        let addresses = with_port.to_socket_addrs()?;
        let mut failed = std::io::Error::from(std::io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT.min(limit)) {
                Ok(stream) => {
                    // A server that starts takes connections that it never answers.
                    stream.set_read_timeout(Some(CONNECT.min(limit)))?;
                    stream.set_write_timeout(Some(limit.min(SESSION)))?;
                    stream.set_nodelay(true)?;
                    let mut client = Client { stream, next: 1 };
                    let mut hello = Record::default();
                    hello.integer(0).long(0);
                    hello.integer(i32::try_from(SESSION.as_millis()).unwrap_or(i32::MAX)).long(0);
                    hello.buffer(&[0; 16]);
                    client.send(&hello.0)?;
                    client.receive()?;
                    client.stream.set_read_timeout(Some(SESSION))?;
                    return Ok(client);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn send(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_LIMIT_BYTES {
            return Err(std::io::Error::other(format!("an answer of {length} bytes")));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(payload)
    }

    /// Sends a request; the answer, or the code of an error.
    fn ask(
        &mut self,
        number: i32,
        kind: i32,
        record: &Record,
    ) -> Result<Result<Vec<u8>, i32>, Failure> {
        let broken = |error: std::io::Error| {
            Failure::new(format!("the connection to ZooKeeper broke: {error}"))
        };
        let mut request = Record::default();
        request.integer(number).integer(kind);
        request.0.extend_from_slice(&record.0);
        self.send(&request.0).map_err(broken)?;
        loop {
            let payload = self.receive().map_err(broken)?;
            let mut answer = Reading(&payload);
            let (of, _, code) = (answer.integer()?, answer.long()?, answer.integer()?);
            if of == number {
                return Ok(if code == 0 { Ok(answer.0.to_vec()) } else { Err(code) });
            }
        }
    }

    fn request(&mut self, kind: i32, record: &Record) -> Result<Result<Vec<u8>, i32>, Failure> {
        let number = self.next;
        self.next += 1;
        self.ask(number, kind, record)
    }

    /// Logs in: `digest` with `user:password`.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn authenticate(&mut self, scheme: &str, credential: &str) -> Result<(), Failure> {
        let mut record = Record::default();
        record.integer(0).text(scheme).buffer(credential.as_bytes());
        self.ask(AUTHENTICATION, AUTHENTICATE, &record)?
            .map(drop)
            .map_err(|code| explain(code, "log in"))
    }

    /// Value and what is known of a node; `None` if there is none.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn read(&mut self, path: &str) -> Result<Option<(Vec<u8>, Stat)>, Failure> {
        let mut record = Record::default();
        record.text(path).flag(false);
        match self.request(READ, &record)? {
            Ok(payload) => {
                let mut answer = Reading(&payload);
                let value = answer.buffer()?;
                Ok(Some((value, answer.stat()?)))
            }
            Err(NO_NODE) => Ok(None),
            Err(code) => Err(explain(code, path)),
        }
    }

    /// Whether there is such a node.
    ///
    /// # Errors
    /// When the server doesn't say.
    pub fn exists(&mut self, path: &str) -> Result<bool, Failure> {
        let mut record = Record::default();
        record.text(path).flag(false);
        match self.request(EXISTS, &record)? {
            Ok(_) => Ok(true),
            Err(NO_NODE) => Ok(false),
            Err(code) => Err(explain(code, path)),
        }
    }

    /// Names of the nodes below.
    ///
    /// # Errors
    /// When there is no such node, or it can't be read.
    pub fn children(&mut self, path: &str) -> Result<Vec<String>, Failure> {
        let mut record = Record::default();
        record.text(path).flag(false);
        let payload = self.request(CHILDREN, &record)?.map_err(|code| explain(code, path))?;
        let mut answer = Reading(&payload);
        let count = answer.integer()?.max(0);
        let names: Result<Vec<String>, Failure> = (0..count)
            .map(|_| Ok(String::from_utf8_lossy(&answer.buffer()?).into_owned()))
            .collect();
        let mut names = names?;
        names.sort();
        Ok(names)
    }

    /// Makes a node, and those above it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create(&mut self, path: &str, value: &[u8]) -> Result<(), Failure> {
        let above: Vec<usize> = path.match_indices('/').map(|(at, _)| at).skip(1).collect();
        for end in above {
            self.create_one(path.get(..end).unwrap_or_default(), b"")?;
        }
        self.create_one(path, value)
    }

    fn create_one(&mut self, path: &str, value: &[u8]) -> Result<(), Failure> {
        let mut record = Record::default();
        record.text(path).buffer(value).integer(1).integer(ALL).text("world").text("anyone");
        record.integer(0);
        match self.request(CREATE, &record)? {
            Ok(_) | Err(NODE_EXISTS) => Ok(()),
            Err(code) => Err(explain(code, path)),
        }
    }

    /// Gives a node another value.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn write(&mut self, path: &str, value: &[u8]) -> Result<(), Failure> {
        let mut record = Record::default();
        record.text(path).buffer(value).integer(-1);
        self.request(WRITE, &record)?.map(drop).map_err(|code| explain(code, path))
    }

    /// Removes a node, and all below it if that is wanted.
    ///
    /// # Errors
    /// When there are nodes below it that aren't to go, or the server refuses.
    pub fn delete(&mut self, path: &str, recursive: bool) -> Result<(), Failure> {
        if recursive {
            for name in self.children(path)? {
                self.delete(&format!("{}/{name}", path.trim_end_matches('/')), true)?;
            }
        }
        let mut record = Record::default();
        record.text(path).integer(-1);
        match self.request(DELETE, &record)? {
            Ok(_) | Err(NO_NODE) => Ok(()),
            Err(code) => Err(explain(code, path)),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Whoever goes without a word leaves a session that has to time out.
        let _ = self.ask(self.next, CLOSE, &Record::default());
    }
}

fn explain(code: i32, path: &str) -> Failure {
    let reason = match code {
        NO_NODE => "there is no such node",
        NODE_EXISTS => "the node exists",
        -102 => "not authenticated",
        -111 => "the node has children",
        -112 => "the session expired",
        -114 => "the ACL is invalid",
        -115 => "the authentication failed",
        -8 => "the path or an argument is wrong",
        -119 => "the server is read-only",
        _ => "the server refuses",
    };
    Failure::new(format!("{path}: {reason} (ZooKeeper's error {code})"))
}

#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn integer(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn long(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn flag(&mut self, value: bool) -> &mut Self {
        self.0.push(u8::from(value));
        self
    }

    fn buffer(&mut self, value: &[u8]) -> &mut Self {
        self.integer(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(value);
        self
    }

    fn text(&mut self, value: &str) -> &mut Self {
        self.buffer(value.as_bytes())
    }
}

struct Reading<'a>(&'a [u8]);

impl Reading<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Failure> {
        match self.0.split_at_checked(count) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => Err(Failure::new("ZooKeeper's answer is shorter than it says")),
        }
    }

    fn integer(&mut self) -> Result<i32, Failure> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn long(&mut self) -> Result<i64, Failure> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }

    fn buffer(&mut self) -> Result<Vec<u8>, Failure> {
        let length = usize::try_from(self.integer()?).unwrap_or(0);
        Ok(self.take(length)?.to_vec())
    }

    fn stat(&mut self) -> Result<Stat, Failure> {
        Ok(Stat {
            czxid: self.long()?,
            mzxid: self.long()?,
            ctime: self.long()?,
            mtime: self.long()?,
            version: self.integer()?,
            cversion: self.integer()?,
            aversion: self.integer()?,
            ephemeral_owner: self.long()?,
            data_length: self.integer()?,
            children: self.integer()?,
            pzxid: self.long()?,
        })
    }
}
