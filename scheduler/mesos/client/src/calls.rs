//! The one connection for calls: written in order without waiting for answers, which are counted.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use mesos::scheduler::Call;

use crate::chunks::Chunks;
use crate::head::{Requests, head};
use crate::latency::Latencies;

/// An answer takes at most so long, as heartbeats do.
const ANSWER_MOST: Duration = Duration::from_secs(75);

/// Calls that wait to be written: whoever makes them waits then, so that a burst doesn't fill the
/// memory while the master reads.
const WAITING_MOST: usize = 64;

/// Calls that are written together, in bytes.
const TOGETHER_BYTES: usize = 64 << 10;

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Figures {
    /// Calls that were written.
    pub sent: AtomicU64,
    /// Calls that were answered.
    pub answered: AtomicU64,
    /// Events that came.
    pub events: AtomicU64,
    /// From when what an acceptance needs came (offers and launches; if several came together, the
    /// first of them) to when it was written.
    pub accepts: Latencies,
}

/// A call to be written; since when it could have been, if that is to be known.
pub(crate) struct Request {
    pub(crate) call: Box<Call>,
    pub(crate) since: Option<Instant>,
}

/// The connection.
pub(crate) struct Calls {
    requests: SyncSender<Request>,
    socket: TcpStream,
}

impl Calls {
    /// Takes a connection. `failed` is called at most once from each of two threads, if it breaks or
    /// a call is refused.
    pub(crate) fn start(
        socket: TcpStream,
        (heads, stream_id): (Requests, String),
        figures: Arc<Figures>,
        failed: impl Fn(String) + Send + Clone + 'static,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(ANSWER_MOST))?;
        let (requests, coming) = sync_channel(WAITING_MOST);
        let pending = Arc::new(AtomicU64::new(0));
        let (writer, reader) = (socket.try_clone()?, socket.try_clone()?);
        let (own, also) = (Arc::clone(&pending), Arc::clone(&figures));
        let fail = failed.clone();
        thread::Builder::new().name("mesos-calls".to_owned()).spawn(move || {
            // Here, so that a burst of calls is written while later ones are still being made.
            let bytes = |call: &Call| {
                let body = heads.encoding.encode(call);
                heads.request(Some(&stream_id), &body)
            };
            if let Err(error) = write(writer, &coming, bytes, &own, &also) {
                fail(format!("a call could not be sent: {error}"));
            }
        })?;
        thread::Builder::new().name("mesos-answers".to_owned()).spawn(move || {
            if let Err(error) = answers(reader, &pending, &figures) {
                failed(error.to_string());
            }
        })?;
        Ok(Calls { requests, socket })
    }

    pub(crate) fn send(&self, request: Request) {
        // If the thread has ended, it has said why.
        let _ = self.requests.send(request);
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn write(
    mut socket: TcpStream,
    coming: &Receiver<Request>,
    encode: impl Fn(&Call) -> Vec<u8>,
    pending: &AtomicU64,
    figures: &Figures,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut since = Vec::new();
    while let Ok(first) = coming.recv() {
        let mut count = 0u64;
        let mut next = Some(first);
        while let Some(request) = next {
            bytes.extend_from_slice(&encode(&request.call));
            since.extend(request.since);
            count += 1;
            next = if bytes.len() < TOGETHER_BYTES { coming.try_recv().ok() } else { None };
        }
        // Before they leave, so that no answer comes unexpected.
        pending.fetch_add(count, Ordering::SeqCst);
        socket.write_all(&bytes)?;
        figures.sent.fetch_add(count, Ordering::Relaxed);
        since.drain(..).for_each(|since: Instant| figures.accepts.add(since.elapsed()));
        bytes.clear();
    }
    Ok(())
}

fn answers(mut socket: TcpStream, pending: &AtomicU64, figures: &Figures) -> io::Result<()> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut read = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let mut used = 0;
        while let Some((status, text, length)) = answer(read.get(used..).unwrap_or_default())? {
            used += length;
            if pending.fetch_sub(1, Ordering::SeqCst) == 0 {
                return Err(invalid("an answer to no call".to_owned()));
            }
            figures.answered.fetch_add(1, Ordering::Relaxed);
            if !matches!(status, 200 | 202) {
                return Err(invalid(format!("the master refused a call: {status} {text}")));
            }
        }
        read.drain(..used);
        match socket.read(&mut piece) {
            Ok(0) => return Err(invalid("the master closed the connection for calls".to_owned())),
            Ok(count) => read.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if is_timeout(&error) => {
                if pending.load(Ordering::SeqCst) > 0 {
                    return Err(invalid("the master doesn't answer calls".to_owned()));
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The longest body of an answer, in bytes: refusals are a line.
const BODY_MOST_BYTES: u64 = 1 << 20;

/// Takes an answer off the front: its status, its text and its length.
fn answer(read: &[u8]) -> io::Result<Option<(u16, String, usize)>> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    if read.is_empty() {
        return Ok(None);
    }
    let Some((head, head_bytes)) = head(read)? else { return Ok(None) };
    let rest = read.get(head_bytes..).unwrap_or_default();
    let (body, body_bytes) = if head.is_chunked {
        let (mut chunks, mut body) = (Chunks::default(), Vec::new());
        let used = chunks.push(rest, &mut body)?;
        if rest.len() > usize::try_from(BODY_MOST_BYTES).unwrap_or(usize::MAX) {
            return Err(invalid("an answer is too long"));
        }
        if !chunks.is_over() {
            return Ok(None);
        }
        (body, used)
    } else {
        let length = head.length.unwrap_or(0);
        if length > BODY_MOST_BYTES {
            return Err(invalid("an answer is too long"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = rest.get(..length) else { return Ok(None) };
        (body.to_vec(), length)
    };
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text = String::from_utf8_lossy(&body).chars().take(500).map(plain).collect();
    Ok(Some((head.status, text, head_bytes + body_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_any_pieces() {
        let stream = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n";
        let mut found = Vec::new();
        let mut read = Vec::new();
        for byte in stream {
            read.push(*byte);
            while let Some((status, text, length)) = answer(&read).unwrap() {
                read.drain(..length);
                found.push((status, text));
            }
        }
        let told: Vec<_> = found.iter().map(|(status, text)| (*status, text.as_str())).collect();
        assert_eq!(told, [(202, ""), (400, "abc"), (403, "de")]);
        assert!(read.is_empty());
        assert!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n").is_err());
    }
}
