//! `[io]` Delay between the controller and the hosts: a proxy on loopback addresses that passes
//! every byte on half a round trip later, in both directions, without limiting what is in flight.
//!
//! In user space, because kernels for virtual machines often come without netem (lab.md 1.6). The
//! kernel answers `connect()` at once, so the proxy charges for it: nothing a client sends
//! arrives, and nothing a server says leaves, before a real handshake would have ended. Every
//! exchange of bytes takes exactly as long as over a real link with this round trip; only the
//! moment at which `connect()` returns differs, and that a connection is refused shows as its end.
//! One thing isn't charged: acknowledgements come at once, so a sender with Nagle's algorithm
//! doesn't wait for them. That flatters OpenSSH (7 to 8 round trips for a connection and a command
//! here, 11 to 12 through packet delay), not programs that set TCP_NODELAY.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::directories::{StateDirectory, read_json, write_json};
use super::process::{self, ProcessId};
use super::{Lab, daemon};
use crate::error::{Doing, Error};

/// Port of the delayed way to a host's sshd.
pub const PORT: u16 = 2222;

/// A chunk that is read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// 4 MiB in flight in each direction: 80 MB/s at 50 ms, more than sshd encrypts here.
const CHUNKS_IN_FLIGHT_LIMIT: usize = 256;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const START_LIMIT: Duration = Duration::from_secs(10);
/// More is no network.
const ROUND_TRIP_LIMIT_MS: u32 = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    process: ProcessId,
    round_trip_ms: u32,
}

impl Lab {
    /// Opens a delayed way to all hosts, at `Subnet::delayed_address` and `PORT`; the inventory of
    /// it is in `StateDirectory::delayed_inventory`. An earlier one ends.
    ///
    /// # Errors
    /// The proxy can't be started.
    pub fn delay(&self, round_trip_ms: u32) -> Result<(), Error> {
        let action = || format!("delay the lab's network by {round_trip_ms} ms");
        if !(1..=ROUND_TRIP_LIMIT_MS).contains(&round_trip_ms) {
            let reason = format!("a round trip takes 1 to {ROUND_TRIP_LIMIT_MS} ms");
            return Err(Error::refused(action(), reason));
        }
        self.undelay()?;
        let log = self.directory.path().join("delay.log");
        process::own_program()
            .args(["lab-internal", "delay", "--round-trip-ms", &round_trip_ms.to_string()])
            .arg("--directory")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).doing(action)?)
            .spawn()
            .doing(action)?;
        let deadline = Instant::now() + START_LIMIT;
        while self.round_trip_ms()?.is_none() {
            if Instant::now() > deadline {
                return Err(Error::refused(action(), "the proxy doesn't start")
                    .with_hint(format!("its log is {}", log.display())));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Closes the delayed way.
    ///
    /// # Errors
    /// The proxy's state is damaged.
    pub fn undelay(&self) -> Result<(), Error> {
        let file = self.directory.path().join("delay.json");
        if let Some(running) = read_json::<Running>(&file)? {
            while running.process.is_alive() {
                running.process.signal(Signal::SIGKILL);
                thread::sleep(Duration::from_millis(5));
            }
            fs::remove_file(&file).doing(|| format!("remove {}", file.display()))?;
        }
        Ok(())
    }

    /// The delay of the delayed way, if it is open.
    ///
    /// # Errors
    /// The proxy's state is damaged.
    pub fn round_trip_ms(&self) -> Result<Option<u32>, Error> {
        let running: Option<Running> = read_json(&self.directory.path().join("delay.json"))?;
        let running = running.filter(|running| running.process.is_alive());
        Ok(running.map(|running| running.round_trip_ms))
    }
}

/// The proxy's process.
///
/// # Errors
/// An address can't be bound.
pub fn run(directory: &StateDirectory, round_trip_ms: u32) -> Result<(), Error> {
    let record = daemon::begin(directory)?;
    let round_trip = Duration::from_millis(u64::from(round_trip_ms));
    let mut listeners = Vec::new();
    for host in &record.hosts {
        let from = SocketAddr::new(IpAddr::V4(record.subnet.delayed_address(host)), PORT);
        let to = SocketAddr::new(IpAddr::V4(record.subnet.address(host)), 22);
        let listener = TcpListener::bind(from).doing(|| format!("listen on {from}"))?;
        listeners.push(thread::spawn(move || listen(&listener, to, round_trip)));
    }
    let process = ProcessId::own()
        .ok_or_else(|| Error::refused("delay the network", "/proc doesn't show this process"))?;
    write_json(&directory.path().join("delay.json"), &Running { process, round_trip_ms })?;
    for listener in listeners {
        // Listeners never end.
        let _ = listener.join();
    }
    Ok(())
}

fn listen(listener: &TcpListener, to: SocketAddr, round_trip: Duration) {
    for client in listener.incoming().flatten() {
        let opened = Instant::now();
        thread::spawn(move || {
            // A connection that breaks is the client's and the server's affair.
            let _ = relay(client, to, opened, round_trip);
        });
    }
}

/// A connection whose client sent its SYN at `opened`.
fn relay(
    client: TcpStream,
    to: SocketAddr,
    opened: Instant,
    round_trip: Duration,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let one_way = round_trip / 2;
    let connected = opened + round_trip;
    let (sender, from_client) = sync_channel(CHUNKS_IN_FLIGHT_LIMIT);
    let reader = client.try_clone()?;
    // A client can't send before the handshake has ended for it.
    thread::spawn(move || receive(reader, &sender, |read| read.max(connected) + one_way));
    sleep_until(connected + one_way);
    let server = match TcpStream::connect_timeout(&to, CONNECT_LIMIT) {
        Ok(server) => server,
        Err(error) => {
            client.shutdown(Shutdown::Both)?;
            return Err(error);
        }
    };
    server.set_nodelay(true)?;
    let (sender, from_server) = sync_channel(CHUNKS_IN_FLIGHT_LIMIT);
    let reader = server.try_clone()?;
    thread::spawn(move || receive(reader, &sender, |read| read + one_way));
    thread::spawn(move || deliver(&from_server, client));
    deliver(&from_client, server);
    Ok(())
}

/// Reads until the end; every chunk gets the time at which it arrives at the other side.
fn receive(
    mut stream: TcpStream,
    sender: &SyncSender<(Instant, Vec<u8>)>,
    due: impl Fn(Instant) -> Instant,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = stream.read(&mut buffer).unwrap_or(0);
        let chunk = buffer.get(..length).unwrap_or_default().to_vec();
        if sender.send((due(Instant::now()), chunk)).is_err() || length == 0 {
            return;
        }
    }
}

/// Writes every chunk at its time; an empty one is the end.
fn deliver(chunks: &Receiver<(Instant, Vec<u8>)>, mut stream: TcpStream) {
    for (due, chunk) in chunks {
        sleep_until(due);
        if chunk.is_empty() {
            // The other side may have closed already.
            let _ = stream.shutdown(Shutdown::Write);
            return;
        }
        if stream.write_all(&chunk).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_takes_a_handshake_and_a_round_trip() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(b"pong").unwrap();
        });
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = proxy.local_addr().unwrap();
        let round_trip = Duration::from_millis(100);
        thread::spawn(move || listen(&proxy, to, round_trip));
        let start = Instant::now();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"ping").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"pong");
        let took = start.elapsed();
        assert!(took >= 2 * round_trip && took < 4 * round_trip, "{took:?}");
    }

    #[test]
    fn many_chunks_are_in_flight_at_once() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let reader = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            io::copy(&mut stream, &mut io::sink()).unwrap()
        });
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = proxy.local_addr().unwrap();
        thread::spawn(move || listen(&proxy, to, Duration::from_millis(100)));
        let start = Instant::now();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&vec![7; 2_000_000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), 2_000_000);
        // 122 chunks one at a time would take 12 s.
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}
