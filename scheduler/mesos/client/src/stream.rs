//! The subscribed stream: opened by a call, and read until it ends.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use mesos::recordio::Decoder;
use mesos::scheduler::Event;
use mesos::{Encoding, Location};

use crate::chunks::Chunks;
use crate::head::{Head, Requests, head};

/// The longest that a connection may take.
const CONNECT_MOST: Duration = Duration::from_secs(5);

/// The longest that a master may take to answer, or to take bytes.
const ANSWER_MOST: Duration = Duration::from_secs(20);

/// Without a heartbeat for so many intervals a stream is dead (Marathon's and Mesos' own number).
const HEARTBEATS_MISSED: f64 = 5.0;

/// Between heartbeats if the master doesn't say: Mesos' default.
const HEARTBEAT_SECONDS: f64 = 15.0;

/// The longest text of a refusal that is read, in bytes.
const REFUSAL_MOST_BYTES: usize = 4 << 10;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// What happens with a stream.
#[derive(Debug)]
pub(crate) enum Happened {
    /// It is open; and the connection for calls, too.
    Opened { stream_id: String, stream: TcpStream, calls: TcpStream },
    /// The master says something; and when it came.
    Events(Vec<Event>, Instant),
    /// Another master leads.
    Redirected(Location),
    /// The master doesn't want it.
    Refused { status: u16, text: String },
    /// It has ended, or never began.
    Ended(String),
}

/// Opens a stream and reads it to its end. `report` says whether somebody still listens.
pub(crate) fn subscribe(
    location: &Location,
    requests: &Requests,
    body: &[u8],
    mut report: impl FnMut(Happened) -> bool,
) {
    let end = match open(location, requests, body) {
        Ok(Answer::Stream { stream, head, rest }) => {
            match read(location, stream, &head, rest, requests.encoding, &mut report) {
                Ok(()) => Happened::Ended("the master closed the stream".to_owned()),
                Err(error) => Happened::Ended(told(&error)),
            }
        }
        Ok(Answer::Other(happened)) => happened,
        Err(error) => Happened::Ended(told(&error)),
    };
    report(end);
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            "the master is silent: no heartbeat for five intervals".to_owned()
        }
        _ => error.to_string(),
    }
}

enum Answer {
    Stream { stream: TcpStream, head: Head, rest: Vec<u8> },
    Other(Happened),
}

fn connect(location: &Location) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (location.host.as_str(), location.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MOST) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(ANSWER_MOST))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn open(location: &Location, requests: &Requests, body: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(location)?;
    stream.set_read_timeout(Some(ANSWER_MOST))?;
    stream.write_all(&requests.request(None, body))?;
    let mut read = Vec::new();
    let (head, length) = loop {
        if let Some(found) = head(&read)? {
            break found;
        }
        if read_more(&mut stream, &mut read)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"));
        }
    };
    let rest = read.split_off(length);
    if head.status == 200 {
        return Ok(Answer::Stream { stream, head, rest });
    }
    if let (307, Some(place)) = (head.status, &head.location) {
        return match Location::parse(place) {
            Ok(location) => Ok(Answer::Other(Happened::Redirected(location))),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
    }
    let text = refusal(&mut stream, &head, rest);
    Ok(Answer::Other(Happened::Refused { status: head.status, text }))
}

fn read_more(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 8 << 10];
    let count = stream.read(&mut piece)?;
    read.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(count)
}

/// The text of a refusal, as far as it comes.
fn refusal(stream: &mut TcpStream, head: &Head, mut rest: Vec<u8>) -> String {
    let wanted = head.length.and_then(|length| usize::try_from(length).ok());
    let wanted = wanted.unwrap_or(REFUSAL_MOST_BYTES).min(REFUSAL_MOST_BYTES);
    while rest.len() < wanted && read_more(stream, &mut rest).is_ok_and(|count| count > 0) {}
    rest.truncate(REFUSAL_MOST_BYTES);
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    String::from_utf8_lossy(&rest).chars().map(plain).collect::<String>().trim().to_owned()
}

fn read(
    location: &Location,
    mut stream: TcpStream,
    head: &Head,
    rest: Vec<u8>,
    encoding: Encoding,
    report: &mut impl FnMut(Happened) -> bool,
) -> io::Result<()> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    if head.media_type.as_deref() != Some(encoding.media_type()) {
        return Err(invalid(format!("the stream is of type {:?}", head.media_type)));
    }
    let stream_id =
        head.stream_id.clone().ok_or_else(|| invalid("the stream has no id".to_owned()))?;
    let opened =
        Happened::Opened { stream_id, stream: stream.try_clone()?, calls: connect(location)? };
    if !report(opened) {
        return Ok(());
    }
    stream.set_read_timeout(Some(patience(None)))?;
    let (mut chunks, mut decoder) = (Chunks::default(), Decoder::default());
    let (mut piece, mut body) = (rest, Vec::new());
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let came = Instant::now();
        if head.is_chunked {
            body.clear();
            chunks.push(&piece, &mut body)?;
            decoder.push(&body);
        } else {
            decoder.push(&piece);
        }
        let mut events: Vec<Event> = Vec::new();
        while let Some(record) =
            decoder.next_record().map_err(|error| invalid(error.to_string()))?
        {
            let event: Event =
                encoding.decode(record).map_err(|error| invalid(format!("an event: {error}")))?;
            if let Some(subscribed) = &event.subscribed {
                stream.set_read_timeout(Some(patience(subscribed.heartbeat_interval_seconds)))?;
            }
            events.push(event);
        }
        if !events.is_empty() && !report(Happened::Events(events, came)) {
            return Ok(());
        }
        if chunks.is_over() {
            return Ok(());
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return decoder.finish().map_err(|error| invalid(error.to_string()));
        }
        piece = buffer.get(..count).unwrap_or_default().to_vec();
    }
}

/// How long a stream may be silent.
fn patience(interval_seconds: Option<f64>) -> Duration {
    let seconds = interval_seconds.filter(|seconds| *seconds > 0.0).unwrap_or(HEARTBEAT_SECONDS);
    // An hour is more than any master has, and a tenth of a second is for tests.
    Duration::from_secs_f64((seconds * HEARTBEATS_MISSED).clamp(0.1, 3600.0))
}
