//! `wait_for`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::http::{dial, resolve};
use super::wait::pause;
use super::words::Environment;
use crate::module::{Context, Failure, Outcome, arguments};
use crate::python::{self, Options, Pattern};

/// How long to wait at most, if the call doesn't say, in seconds.
const TIMEOUT_S: u64 = 300;

/// Limit of one try to connect, if the call doesn't say, in seconds.
const CONNECT_TIMEOUT_S: u64 = 5;

/// Pause between two tries, if the call doesn't say, in seconds.
const SLEEP_S: u64 = 1;

/// How often a request to stop is looked at, in milliseconds.
const STOP_CHECK_MS: u64 = 50;

/// How much of a file or of what a server says is searched, in bytes; of longer files the end.
const SEARCH_LIMIT_BYTES: u64 = 256 << 20;

/// States of TCP connections by their numbers in `/proc/net/tcp`.
const TCP_STATES: &[(&str, &str)] = &[
    ("ESTABLISHED", "01"),
    ("SYN_SENT", "02"),
    ("SYN_RECV", "03"),
    ("FIN_WAIT1", "04"),
    ("FIN_WAIT2", "05"),
    ("TIME_WAIT", "06"),
];

/// States that count when a port is to be drained, if the call doesn't say.
const ACTIVE: &[&str] =
    &["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"];

#[derive(Debug, Deserialize)]
struct WaitForArguments {
    host: Option<String>,
    port: Option<u16>,
    path: Option<String>,
    search_regex: Option<String>,
    state: Option<String>,
    timeout: Option<u64>,
    connect_timeout: Option<u64>,
    delay: Option<u64>,
    sleep: Option<u64>,
    active_connection_states: Option<Vec<String>>,
    exclude_hosts: Option<Vec<String>>,
    msg: Option<String>,
}

/// What is waited for.
enum Target {
    /// Only time.
    Time,
    /// A port is open, and perhaps says something.
    Open(Option<Search>),
    /// A port is closed.
    Closed,
    /// A file is there, and perhaps holds something.
    Present(PathBuf, Option<Search>),
    /// A file is gone.
    Absent(PathBuf),
    /// Nobody is connected to a port.
    Drained(Connections),
}

/// What a regular expression found.
#[derive(Debug, Default, PartialEq)]
struct Match {
    groups: Vec<Value>,
    names: Object,
}

/// `wait_for`: waits for a port, a file or a time.
///
/// # Errors
/// When it takes too long.
pub fn wait_for(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: WaitForArguments = arguments(given)?;
    if context.check {
        let reason = "nothing is waited for in check mode".to_owned();
        return Ok(Outcome { skipped: Some(reason), ..Outcome::default() });
    }
    let start = Instant::now();
    let seconds = |given: Option<u64>, default: u64| Duration::from_secs(given.unwrap_or(default));
    let host = given.host.as_deref().unwrap_or("127.0.0.1");
    let target = target(&given, host, context)?;
    pause(seconds(given.delay, 0), context)?;
    let deadline = start + seconds(given.timeout, TIMEOUT_S);
    let connect_timeout = seconds(given.connect_timeout, CONNECT_TIMEOUT_S);
    let mut found = None;
    if matches!(target, Target::Time) {
        pause(seconds(given.timeout, TIMEOUT_S), context)?;
        found = Some(Match::default());
    }
    while found.is_none() && Instant::now() < deadline {
        let place = Place { host, port: given.port.unwrap_or(0), connect_timeout, deadline };
        found = place.look(&target, context)?;
        if found.is_none() {
            // Never beyond the end: the last look would come too late to count.
            let left = deadline.saturating_duration_since(Instant::now());
            pause(seconds(given.sleep, SLEEP_S).min(left), context)?;
        }
    }
    let elapsed = start.elapsed().as_secs();
    let Some(found) = found else {
        let message = given.msg.clone().unwrap_or_else(|| too_long(&given, &target, host));
        return Err(Failure::new(message).with("elapsed", elapsed));
    };
    Ok(Outcome::new(false)
        .with("state", given.state.as_deref().unwrap_or("started"))
        .with("port", given.port)
        .with("path", given.path)
        .with("search_regex", given.search_regex)
        .with("match_groups", found.groups)
        .with("match_groupdict", found.names)
        .with("elapsed", elapsed))
}

fn target(given: &WaitForArguments, host: &str, context: &Context<'_>) -> Result<Target, Failure> {
    let wrong = |message: String| Err(Failure::new(message).with("elapsed", 0));
    let state = given.state.as_deref().unwrap_or("started");
    let path =
        given.path.as_ref().map(|path| Environment::new(&context.environment).expand_path(path));
    if path.is_some() && matches!(state, "stopped" | "drained") {
        return wrong(format!(
            "state={state} should only be used for checking a port in the wait_for module"
        ));
    }
    if given.exclude_hosts.is_some() && state != "drained" {
        return wrong("exclude_hosts should only be with state=drained".to_owned());
    }
    let regex = match &given.search_regex {
        Some(text) => Some(Search::new(text)?),
        None => None,
    };
    Ok(match (state, path, given.port) {
        ("drained", _, port) => Target::Drained(Connections::new(given, host, port.unwrap_or(0))?),
        ("absent" | "stopped", Some(path), _) => Target::Absent(path),
        ("absent" | "stopped", None, Some(_)) => Target::Closed,
        (_, Some(path), _) => Target::Present(path, regex),
        (_, None, Some(_)) => Target::Open(regex),
        (_, None, None) => Target::Time,
    })
}

fn too_long(given: &WaitForArguments, target: &Target, host: &str) -> String {
    let port = given.port.unwrap_or(0);
    let path = given.path.as_deref().unwrap_or_default();
    let regex = given.search_regex.as_deref().unwrap_or_default();
    match target {
        Target::Open(None) | Target::Time => format!("Timeout when waiting for {host}:{port}"),
        Target::Open(Some(_)) => {
            format!("Timeout when waiting for search string {regex} in {host}:{port}")
        }
        Target::Closed => format!("Timeout when waiting for {host}:{port} to stop."),
        Target::Present(_, None) => format!("Timeout when waiting for file {path}"),
        Target::Present(_, Some(_)) => {
            format!("Timeout when waiting for search string {regex} in {path}")
        }
        Target::Absent(_) => format!("Timeout when waiting for {path} to be absent."),
        Target::Drained(_) => format!("Timeout when waiting for {host}:{port} to drain"),
    }
}

/// Where and how long is looked.
struct Place<'a> {
    host: &'a str,
    port: u16,
    connect_timeout: Duration,
    deadline: Instant,
}

impl Place<'_> {
    /// One look; `None`: not yet.
    fn look(&self, target: &Target, context: &Context<'_>) -> Result<Option<Match>, Failure> {
        let done = |is_done: bool| is_done.then(Match::default);
        Ok(match target {
            Target::Time => done(true),
            Target::Absent(path) => done(fs::metadata(path).is_err()),
            Target::Present(path, regex) => match (fs::metadata(path), regex) {
                (Ok(_), None) => done(true),
                (Ok(_), Some(regex)) => {
                    // A file that can't be read now may be readable later.
                    text_of(path).ok().and_then(|text| regex.find(&text))
                }
                (Err(error), _) if error.kind() == ErrorKind::NotFound => None,
                (Err(error), _) => {
                    return Err(Failure::new(format!(
                        "Failed to stat {}, {error}",
                        path.display()
                    )));
                }
            },
            Target::Closed => done(self.connect(context)?.is_none()),
            Target::Open(None) => match self.connect(context)? {
                Some(stream) => {
                    let _ = stream.shutdown(Shutdown::Both);
                    done(true)
                }
                None => None,
            },
            Target::Open(Some(regex)) => match self.connect(context)? {
                Some(stream) => self.listen(&stream, regex, context)?,
                None => None,
            },
            Target::Drained(connections) => done(connections.count() == 0),
        })
    }

    /// Connects in a thread that may be left behind when the call is stopped.
    fn connect(&self, context: &Context<'_>) -> Result<Option<TcpStream>, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = self.connect_timeout.min(left).max(Duration::from_millis(STOP_CHECK_MS));
        let (host, port) = (self.host.to_owned(), self.port);
        let (sender, receiver) = sync_channel(1);
        thread::spawn(move || sender.send(dial(&host, port, timeout)));
        loop {
            match receiver.recv_timeout(Duration::from_millis(STOP_CHECK_MS)) {
                Ok(result) => return Ok(result.ok()),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => pause(Duration::ZERO, context)?,
            }
        }
    }

    /// Reads what a server says until the expression is found, it closes, or time is over.
    fn listen(
        &self,
        mut stream: &TcpStream,
        regex: &Search,
        context: &Context<'_>,
    ) -> Result<Option<Match>, Failure> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut piece = [0; 4096];
        if stream.set_read_timeout(Some(Duration::from_millis(STOP_CHECK_MS))).is_err() {
            return Ok(None);
        }
        while Instant::now() < self.deadline {
            pause(Duration::ZERO, context)?;
            let count = match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) =>
                {
                    continue;
                }
                Err(_) => break,
            };
            bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            if let Some(found) = regex.find(&python::decode(&bytes)) {
                let _ = stream.shutdown(Shutdown::Both);
                return Ok(Some(found));
            }
            if u64::try_from(bytes.len()).is_ok_and(|length| length > SEARCH_LIMIT_BYTES) {
                break;
            }
        }
        Ok(None)
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > SEARCH_LIMIT_BYTES {
        file.seek(SeekFrom::Start(length - SEARCH_LIMIT_BYTES))?;
    }
    let mut bytes = Vec::new();
    file.take(SEARCH_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(python::decode(&bytes))
}

/// A regular expression of Python that is looked for.
struct Search {
    pattern: Pattern,
    names: Vec<String>,
}

impl Search {
    fn new(text: &str) -> Result<Self, Failure> {
        let options = Options { multi_line: true, ..Options::default() };
        let pattern = Pattern::new(text, options).map_err(|failure| {
            Failure::new(format!("Invalid regular expression: {}", failure.message))
                .with("elapsed", 0)
        })?;
        let pieces = text.split("(?P<").skip(1);
        let names = pieces.filter_map(|piece| Some(piece.split_once('>')?.0.to_owned()));
        let names = names.filter(|name| pattern.group_named(name).is_some()).collect();
        Ok(Search { pattern, names })
    }

    /// What the expression finds; one that is too expensive finds nothing.
    fn find(&self, text: &str) -> Option<Match> {
        let found = self.pattern.search(text).ok().flatten()?;
        let value = |group: usize| found.group(group).map_or(Value::Null, Value::from);
        let named = |name: &String| self.pattern.group_named(name).map_or(Value::Null, value);
        Some(Match {
            groups: (1..self.pattern.groups()).map(value).collect(),
            names: self.names.iter().map(|name| (name.clone(), named(name))).collect(),
        })
    }
}

/// Connections to a port of this host.
#[derive(Debug)]
struct Connections {
    port: u16,
    states: BTreeSet<&'static str>,
    own: BTreeSet<IpAddr>,
    excluded: BTreeSet<IpAddr>,
}

impl Connections {
    fn new(given: &WaitForArguments, host: &str, port: u16) -> Result<Self, Failure> {
        let timeout = Duration::from_secs(CONNECT_TIMEOUT_S);
        let addresses = |host: &str| {
            resolve::addresses(host, timeout)
                .map_err(|error| Failure::new(format!("failed to resolve {host}: {error}")))
        };
        let named: Vec<&str> = match &given.active_connection_states {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => ACTIVE.to_vec(),
        };
        let mut states = BTreeSet::new();
        for name in named {
            let Some((_, number)) = TCP_STATES.iter().find(|(known, _)| *known == name) else {
                return Err(Failure::new(format!(
                    "unknown active_connection_state ({name}) defined"
                ))
                .with("elapsed", 0));
            };
            states.insert(*number);
        }
        let mut excluded = BTreeSet::new();
        for host in given.exclude_hosts.iter().flatten() {
            excluded.extend(addresses(host)?);
        }
        Ok(Connections { port, states, own: addresses(host)?.into_iter().collect(), excluded })
    }

    fn count(&self) -> usize {
        ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|table| self.count_in(&table))
            .sum()
    }

    fn count_in(&self, table: &str) -> usize {
        let counts = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, remote) = (endpoint(fields.next()?)?, endpoint(fields.next()?)?);
            let state = fields.next()?;
            let is_ours = self.own.contains(&local.0)
                || self.own.iter().any(|address| address.is_unspecified());
            (local.1 == self.port
                && self.states.contains(state)
                && is_ours
                && !self.excluded.contains(&remote.0))
            .then_some(())
        };
        table.lines().filter_map(counts).count()
    }
}

/// `0100007F:1F90`: words of the address in the order of the processor, in hexadecimal. IPv4 in
/// IPv6 is shown as IPv4.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    let mut rest = address;
    while !rest.is_empty() {
        let (word, next) = rest.split_at_checked(8)?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
        rest = next;
    }
    let address = match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(&*bytes)) {
        (Ok(four), _) => Ipv4Addr::from(four).into(),
        (_, Ok(sixteen)) => Ipv6Addr::from(sixteen).to_canonical(),
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    #[test]
    fn ports() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let outcome = context().call(wait_for, json!({"port": port})).unwrap();
        assert_eq!(outcome.values["state"], "started");
        assert_eq!(outcome.values["elapsed"], 0);
        let given = json!({"port": port, "state": "stopped", "timeout": 1});
        let failure = context().call(wait_for, given.clone()).unwrap_err();
        assert_eq!(failure.message, format!("Timeout when waiting for 127.0.0.1:{port} to stop."));
        drop(listener);
        assert!(context().call(wait_for, given).is_ok());
        let given = json!({"port": port, "timeout": 1, "msg": "own words"});
        assert_eq!(context().call(wait_for, given).unwrap_err().message, "own words");
    }

    #[test]
    fn greetings() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"noise\nSSH-2.0-Open").unwrap();
            thread::sleep(Duration::from_millis(100));
            stream.write_all(b"SSH_9.2\r\n").unwrap();
        });
        let given = json!({"port": port, "search_regex": "^SSH-(?P<version>[0-9.]+)-(OpenSSH_9)"});
        let outcome = context().call(wait_for, given).unwrap();
        assert_eq!(outcome.values["match_groups"], json!(["2.0", "OpenSSH_9"]));
        assert_eq!(outcome.values["match_groupdict"], json!({"version": "2.0"}));
        thread.join().unwrap();
    }

    #[test]
    fn files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let late = path.clone();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            fs::write(late, "a\nready: 42\n").unwrap();
        });
        let given = json!({"path": path, "search_regex": "ready: (\\d+)", "timeout": 10});
        let outcome = context().call(wait_for, given).unwrap();
        assert_eq!(outcome.values["match_groups"], json!(["42"]));
        thread.join().unwrap();
        let given = json!({"path": path, "state": "absent", "timeout": 1});
        assert!(context().call(wait_for, given).unwrap_err().message.contains("to be absent"));
        let given = json!({"path": path, "state": "stopped"});
        assert!(context().call(wait_for, given).is_err());
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let stopped = || true;
        let mut bench = context();
        bench.stopped = Some(&stopped);
        let start = Instant::now();
        assert!(bench.call(wait_for, json!({"timeout": 60})).is_err());
        assert!(start.elapsed().as_secs() < 2);
    }

    #[test]
    fn connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let given = json!({"port": port, "state": "drained", "timeout": 1});
        assert!(context().call(wait_for, given.clone()).is_ok());
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        assert!(context().call(wait_for, given.clone()).is_err());
        let mut excluded = given.clone();
        excluded["exclude_hosts"] = json!(["127.0.0.1"]);
        assert!(context().call(wait_for, excluded).is_ok());
        drop(client);
    }

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("0100007F:1F90"), Some((IpAddr::from([127, 0, 0, 1]), 8080)));
        let mapped = "0000000000000000FFFF00000100007F:0016";
        assert_eq!(endpoint(mapped), Some((IpAddr::from([127, 0, 0, 1]), 22)));
        assert_eq!(endpoint("00:0016"), None);
        assert_eq!(endpoint("0100007F"), None);
    }
}
