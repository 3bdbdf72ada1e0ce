//! `exchange`: one question to a port of this host and its answer, for probes (`provision status`,
//! `upgrade`). It must never reach another machine: what a component tells on its loopback needs
//! not be exposed, and a probe is no way around a firewall.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde::Deserialize;

use crate::module::{Context, Failure, Outcome, arguments};

/// Longest answer, in bytes: `mntr` of a busy ZooKeeper has 20 KiB.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;
/// A service on the same machine that is well answers at once.
const DEFAULT_TIMEOUT_S: u64 = 5;
/// How often a request to stop is looked at.
const STOP_CHECK: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
struct Arguments {
    port: u16,
    #[serde(default = "loopback")]
    address: String,
    #[serde(default)]
    send: String,
    timeout: Option<u64>,
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// Connects, sends, and reads until the other side closes. Changes nothing, so check mode is no
/// different.
pub fn exchange(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: Arguments = arguments(given)?;
    let address = own_address(&given)?;
    let deadline =
        Instant::now() + Duration::from_secs(given.timeout.unwrap_or(DEFAULT_TIMEOUT_S).max(1));
    let attempt = |what: &str, error: &std::io::Error| {
        Failure::new(format!("failed to {what} {address}: {error}"))
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let mut stream = TcpStream::connect_timeout(&address, left)
        .map_err(|error| attempt("connect to", &error))?;
    stream
        .set_read_timeout(Some(STOP_CHECK))
        .and_then(|()| stream.set_write_timeout(Some(left)))
        .and_then(|()| stream.write_all(given.send.as_bytes()))
        .map_err(|error| attempt("send to", &error))?;
    let mut answer = Vec::new();
    let mut part = [0_u8; 8192];
    loop {
        if (context.stopped)() {
            return Err(Failure::new("stopped while waiting"));
        }
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(attempt("read from", &error)),
        }
        if answer.len() > ANSWER_LIMIT_BYTES {
            let message = format!("{address} answers with more than {ANSWER_LIMIT_BYTES} bytes");
            return Err(Failure::new(message));
        }
        if Instant::now() >= deadline {
            let message = format!("{address} did not end its answer in time");
            return Err(
                Failure::new(message).with("answer", String::from_utf8_lossy(&answer).into_owned())
            );
        }
    }
    Ok(Outcome::new(false).with("answer", String::from_utf8_lossy(&answer).into_owned()))
}

/// The address, if it is one of this host: only those can be bound.
fn own_address(given: &Arguments) -> Result<SocketAddr, Failure> {
    let address: IpAddr = given
        .address
        .parse()
        .map_err(|_| Failure::new(format!("`{}` is no IP address", given.address)))?;
    match TcpListener::bind(SocketAddr::new(address, 0)) {
        Ok(_) if !address.is_unspecified() => Ok(SocketAddr::new(address, given.port)),
        _ => Err(Failure::new(format!("{address} is no address of this host"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use serde_json::json;

    use super::exchange;
    use crate::modules::system::testing::context;

    #[test]
    fn a_question_gets_its_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(b"answer to ").unwrap();
            stream.write_all(&asked).unwrap();
        });
        let outcome = context().call(exchange, json!({"port": port, "send": "mntr"})).unwrap();
        server.join().unwrap();
        assert_eq!(outcome.values["answer"], "answer to mntr");
        assert!(!outcome.changed);
    }

    #[test]
    fn silence_ends_in_time_and_keeps_what_came() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"half").unwrap();
            // Until the other side gives up.
            let _ = stream.read(&mut [0; 1]);
        });
        let failure = context().call(exchange, json!({"port": port, "timeout": 1})).unwrap_err();
        server.join().unwrap();
        assert!(failure.message.contains("did not end its answer in time"), "{}", failure.message);
        assert_eq!(failure.values["answer"], "half");
    }

    #[test]
    fn other_machines_are_out_of_reach() {
        for address in ["192.0.2.1", "0.0.0.0", "example.org"] {
            let failure =
                context().call(exchange, json!({"port": 1, "address": address})).unwrap_err();
            assert!(failure.message.contains("is no"), "{}", failure.message);
        }
    }

    #[test]
    fn a_closed_port_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let failure = context().call(exchange, json!({"port": port})).unwrap_err();
        assert!(failure.message.starts_with("failed to connect to 127.0.0.1:"));
    }
}
