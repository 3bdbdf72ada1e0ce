//! `[io]` Requests to the demo's app, at times that don't wait for answers, to instances that Consul
//! names; and what Consul and the instances say.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The lab's token of agents, which is public: it may read nodes and services.
pub const TOKEN: &str = "1ab00000-0000-4000-8000-00000000000b";

const HTTP_PORT: u16 = 8500;
const DNS_PORT: u16 = 8600;
const LIMIT: Duration = Duration::from_secs(5);
/// How old what is known of instances may be: a gateway asks as often.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Threads that send; each waits for its answer.
const SENDERS: usize = 64;

/// A Consul to ask.
#[derive(Debug, Clone, Copy)]
pub struct Consul {
    /// Where.
    pub address: IpAddr,
    /// As whom.
    pub token: &'static str,
}

fn get(address: SocketAddr, path: &str, head: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let bad = || io::Error::other(format!("no answer of HTTP: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(bad)?, body.to_owned()))
}

/// Instances whose checks pass.
///
/// # Errors
/// Consul doesn't answer.
pub fn passing(consul: &Consul, service: &str) -> io::Result<Vec<(String, u16)>> {
    let address = SocketAddr::new(consul.address, HTTP_PORT);
    let path = format!("/v1/health/service/{service}?passing=1");
    let head = format!("X-Consul-Token: {}\r\n", consul.token);
    let (status, body) = get(address, &path, &head)?;
    if status != 200 {
        return Err(io::Error::other(format!("Consul answers {status}: {body}")));
    }
    // Chunks have their lengths in lines of their own.
    let json: String = body.lines().filter(|line| line.starts_with(['[', '{'])).collect();
    let value: Value = serde_json::from_str(&json)?;
    let one = |entry: &Value| {
        let service = entry.get("Service")?;
        let own = service.get("Address")?.as_str().filter(|it| !it.is_empty());
        let host = own.or_else(|| entry.get("Node")?.get("Address")?.as_str())?;
        Some((host.to_owned(), u16::try_from(service.get("Port")?.as_u64()?).ok()?))
    };
    Ok(value.as_array().into_iter().flatten().filter_map(one).collect())
}

/// What Consul's DNS says of a service: addresses and ports (RFC 2782).
///
/// # Errors
/// It doesn't answer, or not with such records.
pub fn dns(consul: &Consul, service: &str) -> io::Result<Vec<(String, u16)>> {
    // Id, one question that wants recursion, nothing else.
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [service, "service", "consul"] {
        question.push(u8::try_from(label.len()).map_err(io::Error::other)?);
        question.extend_from_slice(label.as_bytes());
    }
    // SRV, of the internet.
    question.extend_from_slice(&[0, 0, 33, 0, 1]);
    // Over TCP: by UDP Consul tells three of them.
    let mut stream = TcpStream::connect_timeout(&(consul.address, DNS_PORT).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&question)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    records(&answer, question.len()).ok_or_else(|| io::Error::other("no answer of DNS"))
}

/// Ports of SRV records, with the addresses of their targets.
fn records(answer: &[u8], mut at: usize) -> Option<Vec<(String, u16)>> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let count = number(6)? + number(8)? + number(10)?;
    let (mut services, mut addresses) = (Vec::new(), BTreeMap::new());
    for _ in 0..count {
        let (name, after) = name_at(answer, at)?;
        let (kind, length) = (number(after)?, usize::from(number(after + 8)?));
        let data = after + 10;
        match kind {
            1 => {
                let bytes: [u8; 4] = answer.get(data..data + 4)?.try_into().ok()?;
                addresses.insert(name, IpAddr::from(bytes).to_string());
            }
            33 => services.push((name_at(answer, data + 6)?.0, number(data + 4)?)),
            _ => {}
        }
        at = data + length;
    }
    let found = services.into_iter();
    Some(found.map(|(name, port)| (addresses.get(&name).cloned().unwrap_or(name), port)).collect())
}

/// A name, and what follows it. Pointers lead back only, so they end.
fn name_at(answer: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut name, mut hops) = (start, None, String::new(), 0);
    loop {
        let length = *answer.get(at)?;
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = usize::from(length & 0x3f) << 8 | usize::from(*answer.get(at + 1)?);
                hops += 1;
                if hops > 16 {
                    return None;
                }
            }
            _ => {
                let label = answer.get(at + 1..at + 1 + usize::from(length))?;
                name.push_str(&String::from_utf8_lossy(label));
                name.push('.');
                at += 1 + usize::from(length);
            }
        }
    }
}

/// What came of the requests.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answered with 200.
    pub answered: u64,
    /// Refused by a full queue, with 503 or 429.
    pub refused: u64,
    /// All else.
    pub failed: u64,
    /// What the first of these was.
    pub first_failure: String,
}

impl Seen {
    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        let all = self.answered + self.refused + self.failed;
        format!("{all} requests, {} refused by full queues, {} failed", self.refused, self.failed)
    }
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    ticket: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    first: Mutex<String>,
    instances: Mutex<Vec<(String, u16)>>,
}

/// Requests that are being sent.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many requests a second, to the instances of the app one after the other.
    #[must_use]
    pub fn begin(consul: Consul, a_second: u32) -> Self {
        let counts = Arc::new(Counts::default());
        let begun = Instant::now();
        let mut threads = Vec::new();
        let asks = counts.clone();
        threads.push(thread::spawn(move || {
            while !asks.stop.load(Ordering::Relaxed) {
                // Without an answer the last one counts.
                if let Ok(found) = passing(&consul, "web") {
                    *asks.instances.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }
                thread::sleep(ASK_EVERY);
            }
        }));
        for _ in 0..SENDERS {
            let counts = counts.clone();
            threads.push(thread::spawn(move || send(&counts, begun, a_second)));
        }
        Load { counts, threads }
    }

    /// Stops, and says what was seen.
    #[must_use]
    pub fn finish(self) -> Seen {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // Nothing in it panics.
            let _ = thread.join();
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            answered: count(&self.counts.answered),
            refused: count(&self.counts.refused),
            failed: count(&self.counts.failed),
            first_failure: self.counts.first.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn send(counts: &Counts, begun: Instant, a_second: u32) {
    while !counts.stop.load(Ordering::Relaxed) {
        let ticket = counts.ticket.fetch_add(1, Ordering::Relaxed);
        let due = Duration::from_nanos(ticket.saturating_mul(1_000_000_000 / u64::from(a_second)));
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let instance = {
            let all = counts.instances.lock().unwrap_or_else(PoisonError::into_inner);
            let place = usize::try_from(ticket).unwrap_or(0) % all.len().max(1);
            all.get(place).cloned()
        };
        let Some((host, port)) = instance else { continue };
        let Ok(address) = host.parse::<IpAddr>() else { continue };
        let failure = match get(SocketAddr::new(address, port), "/", "") {
            Ok((200, _)) => {
                counts.answered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Ok((429 | 503, _)) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Ok((status, _)) => format!("{host}:{port} answers {status}"),
            Err(error) => format!("{host}:{port}: {error}"),
        };
        if counts.failed.fetch_add(1, Ordering::Relaxed) == 0 {
            *counts.first.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_the_addresses_of_their_targets() {
        // One question and one answer with its address, names packed (RFC 1035 4.1.4).
        let mut text = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1];
        let question = b"\x03web\x07service\x06consul\x00\x00\x21\x00\x01";
        text.extend_from_slice(question);
        let start = text.len();
        text.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 0, 0, 10, 0, 1, 0, 1, 0x79, 0x18]);
        text.extend_from_slice(b"\x01h\xc0\x10");
        // The target's name begins behind priority, weight and port; its record is the address.
        let target = start + 18;
        text.extend_from_slice(&[0xc0, u8::try_from(target).unwrap()]);
        text.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 77, 0, 14]);
        let found = records(&text, start).unwrap();
        assert_eq!(found, [("10.77.0.14".to_owned(), 31_000)]);
        assert_eq!(records(&text[..start + 5], start), None);
    }

    #[test]
    fn a_name_that_points_to_itself_is_none() {
        assert_eq!(name_at(&[0xc0, 0], 0), None);
    }
}
