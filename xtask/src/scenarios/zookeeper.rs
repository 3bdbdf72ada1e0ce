//! `[io]` A small client of ZooKeeper: it writes without a pause, remembers what was acknowledged,
//! and watches which members are up and who leads.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Error;

const PORT: u16 = 2181;
/// A member that answers no write in this time is left for another one.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const SESSION_MS: i32 = 10_000;
const WRITE_EVERY: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest answer that is read: a list of all written nodes.
const ANSWER_LIMIT_BYTES: usize = 16 << 20;
const NODE_EXISTS: i32 = -110;
const ROOT: &str = "/written";

const CREATE: i32 = 1;
const CHILDREN: i32 = 8;
const SYNC: i32 = 9;

/// A session with one member.
struct Client {
    stream: TcpStream,
    number: i32,
}

/// A message under construction, in ZooKeeper's encoding.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn int(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn long(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn bytes(self, value: &[u8]) -> Self {
        let mut message = self.int(i32::try_from(value.len()).unwrap_or(i32::MAX));
        message.0.extend(value);
        message
    }

    fn flag(mut self, value: bool) -> Self {
        self.0.push(u8::from(value));
        self
    }
}

/// An answer that is taken apart.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn int(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.int()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

fn broken(what: &str) -> std::io::Error {
    std::io::Error::other(what.to_owned())
}

impl Client {
    fn connect(member: IpAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::new(member, PORT), ANSWER_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, number: 0 };
        let hello = Message::default().int(0).long(0).int(SESSION_MS).long(0).bytes(&[0; 16]);
        client.send(hello.flag(false))?;
        client.receive()?;
        Ok(client)
    }

    fn send(&mut self, message: Message) -> std::io::Result<()> {
        let framed = Message::default().bytes(&message.0);
        self.stream.write_all(&framed.0)
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_LIMIT_BYTES {
            return Err(broken("the answer is too long"));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The error code of the answer and what follows it.
    fn ask(
        &mut self,
        kind: i32,
        body: impl FnOnce(Message) -> Message,
    ) -> std::io::Result<(i32, Vec<u8>)> {
        self.number += 1;
        self.send(body(Message::default().int(self.number).int(kind)))?;
        let bytes = self.receive()?;
        let mut answer = Answer(&bytes);
        let number = answer.int().ok_or_else(|| broken("a short answer"))?;
        if number != self.number {
            return Err(broken("an answer to another question"));
        }
        let code = answer.skip(8).and_then(|()| answer.int());
        let code = code.ok_or_else(|| broken("a short answer"))?;
        Ok((code, answer.0.to_vec()))
    }

    fn create(&mut self, path: &str) -> std::io::Result<()> {
        let (code, _) = self.ask(CREATE, |message| {
            let acl = message.bytes(path.as_bytes()).bytes(b"x").int(1).int(31);
            acl.bytes(b"world").bytes(b"anyone").int(0)
        })?;
        match code {
            0 | NODE_EXISTS => Ok(()),
            code => Err(broken(&format!("error {code}"))),
        }
    }

    fn children(&mut self, path: &str) -> std::io::Result<Vec<String>> {
        self.ask(SYNC, |message| message.bytes(path.as_bytes()))?;
        let (code, bytes) =
            self.ask(CHILDREN, |message| message.bytes(path.as_bytes()).flag(false))?;
        let mut answer = Answer(&bytes);
        let count = answer.int().filter(|_| code == 0);
        let count = count.ok_or_else(|| broken(&format!("error {code}")))?;
        (0..count).map(|_| answer.text().ok_or_else(|| broken("a short answer"))).collect()
    }
}

/// What a member says of itself now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody takes the connection.
    Down,
    /// Somebody does.
    Up,
    /// It leads.
    Leads,
}

/// Asks a member who it is. One that takes the connection is up: while it changes its leader it
/// closes connections without an answer.
pub(super) fn state(member: IpAddr) -> State {
    let address = SocketAddr::new(member, PORT);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, ANSWER_LIMIT) else {
        return State::Down;
    };
    let mut ask = || -> std::io::Result<String> {
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(b"srvr")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    match ask() {
        Ok(text) if text.contains("Mode: leader") => State::Leads,
        Ok(_) | Err(_) => State::Up,
    }
}

/// What the writer saw.
#[derive(Debug)]
pub(super) struct Written {
    /// Numbers of the nodes whose creation was acknowledged.
    acknowledged: Vec<u64>,
    /// The longest time between two acknowledgements.
    pub(super) longest_stall: Duration,
}

/// What the watcher saw.
#[derive(Debug)]
pub(super) struct Watched {
    /// The fewest members that were up at the same time.
    pub(super) fewest_up: usize,
    /// Leaders, one after the other.
    pub(super) leaders: Vec<usize>,
    /// What changed when, for the message of a promise that isn't kept.
    pub(super) story: Vec<(Duration, Vec<State>)>,
}

/// Writes and watches until it is told to stop.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Written>,
    watcher: JoinHandle<Watched>,
}

/// Begins.
pub(super) fn begin(members: &[IpAddr]) -> Clients {
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, watching) = (stop.clone(), stop.clone());
    let (first, second) = (members.to_vec(), members.to_vec());
    let writer = thread::spawn(move || write(&first, &writing));
    let watcher = thread::spawn(move || watch(&second, &watching));
    Clients { stop, writer, watcher }
}

impl Clients {
    /// Stops and tells.
    pub(super) fn finish(self) -> Result<(Written, Watched), Error> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = |what: &str| Error::refused(format!("{what} ZooKeeper"), "its thread ended");
        let written = self.writer.join().map_err(|_| ended("write to"))?;
        let watched = self.watcher.join().map_err(|_| ended("watch"))?;
        Ok((written, watched))
    }
}

fn write(members: &[IpAddr], stop: &AtomicBool) -> Written {
    let mut written = Written { acknowledged: Vec::new(), longest_stall: Duration::ZERO };
    let mut last = Instant::now();
    let mut client: Option<Client> = None;
    // Each attempt has a name of its own: one that was not acknowledged may exist or not.
    let mut number = 0;
    let mut turn = members.iter().cycle();
    while !stop.load(Ordering::Relaxed) {
        if client.is_none() {
            client = turn.next().and_then(|member| Client::connect(*member).ok());
            if let Some(fresh) = &mut client
                && fresh.create(ROOT).is_err()
            {
                client = None;
            }
        }
        let Some(open) = &mut client else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        number += 1;
        match open.create(&format!("{ROOT}/{number}")) {
            Ok(()) => {
                written.longest_stall = written.longest_stall.max(last.elapsed());
                last = Instant::now();
                written.acknowledged.push(number);
                thread::sleep(WRITE_EVERY);
            }
            Err(_) => client = None,
        }
    }
    written.longest_stall = written.longest_stall.max(last.elapsed());
    written
}

fn watch(members: &[IpAddr], stop: &AtomicBool) -> Watched {
    let begun = Instant::now();
    let mut watched = Watched { fewest_up: members.len(), leaders: Vec::new(), story: Vec::new() };
    while !stop.load(Ordering::Relaxed) {
        let states: Vec<State> = thread::scope(|scope| {
            let asked: Vec<_> =
                members.iter().map(|member| scope.spawn(move || state(*member))).collect();
            asked.into_iter().map(|one| one.join().unwrap_or(State::Down)).collect()
        });
        if watched.story.last().map(|(_, last)| last) != Some(&states) {
            watched.story.push((begun.elapsed(), states.clone()));
        }
        let up = states.iter().filter(|state| **state != State::Down).count();
        watched.fewest_up = watched.fewest_up.min(up);
        if let Some(leader) = states.iter().position(|state| *state == State::Leads)
            && watched.leaders.last() != Some(&leader)
        {
            watched.leaders.push(leader);
        }
        thread::sleep(LOOK_EVERY);
    }
    watched
}

impl Written {
    /// How many writes were acknowledged.
    pub(super) fn count(&self) -> usize {
        self.acknowledged.len()
    }

    /// How many acknowledged writes a member does not have.
    pub(super) fn lost_on(&self, member: IpAddr) -> Result<usize, Error> {
        let attempt = |error: std::io::Error| {
            Error::refused(format!("read back from {member}"), error.to_string())
        };
        let mut client = Client::connect(member).map_err(attempt)?;
        let found = client.children(ROOT).map_err(attempt)?;
        let found: std::collections::BTreeSet<u64> =
            found.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(self.acknowledged.iter().filter(|number| !found.contains(number)).count())
    }
}

impl Watched {
    /// How often the leader changed.
    pub(super) fn changes(&self) -> usize {
        self.leaders.len().saturating_sub(1)
    }
}
