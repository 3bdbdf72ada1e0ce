//! `cargo xtask load`: requests to the instances of an app that Consul says, by their weights, at a
//! fixed rate whatever becomes of them. The time of a request counts from when it was due, so that a
//! slow answer isn't hidden by the requests that it holds up ("coordinated omission", Gil Tene).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use consul::agent::Weights;
use consul::{Consistency, Status, Subject};
use consul_client::{Client, Endpoint, Settings, TlsFiles, Token};
use serde::Deserialize;

use crate::error::Error;

/// Requests that are under way at the same time; what is due beyond that begins late, and its time
/// counts nevertheless.
const UNDER_WAY_MOST: u64 = 256;

/// From one question to Consul to the next.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most of an answer that is read, in bytes.
const ANSWER_MOST_BYTES: u64 = 1 << 20;

/// The arguments.
#[derive(Debug, Clone, Args)]
pub struct LoadArguments {
    /// The app: the name of its service in Consul.
    app: String,
    /// An agent of Consul [with CONSUL_HTTP_TOKEN].
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:8500", value_parser = endpoint)]
    consul: Endpoint,
    /// What is asked for.
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,
    /// Requests a second.
    #[arg(long, value_name = "COUNT", default_value_t = 50,
          value_parser = clap::value_parser!(u64).range(1..=20_000))]
    rate: u64,
    /// For so many seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    Endpoint::parse(text, false).map_err(|error| error.to_string())
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    id: String,
    host: String,
    port: u16,
    weight: u32,
}

/// What became of requests.
#[derive(Debug, Default)]
struct Outcome {
    /// From due to answered, in microseconds, of those that were answered with 2xx.
    latencies_us: Vec<u64>,
    /// How many were answered so, by instance.
    answered: BTreeMap<String, u64>,
    /// How many weren't, by what happened.
    failed: BTreeMap<String, u64>,
}

/// Sends requests and says what became of them; it fails if one wasn't answered with 2xx.
///
/// # Errors
/// When Consul doesn't say any instance at the beginning.
pub fn run(arguments: &LoadArguments) -> Result<ExitCode, Error> {
    let client = client(&arguments.consul)?;
    let targets = Mutex::new(look(&client, &arguments.app)?);
    if lock(&targets).is_empty() {
        return Err(refused(format!("Consul has no healthy instance of `{}`", arguments.app)));
    }
    let is_over = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                // While Consul is away, who asks goes on with what it knew.
                if let Ok(found) = look(&client, &arguments.app) {
                    *lock(&targets) = found;
                }
                thread::sleep(LOOK_EVERY);
            }
        });
        let count = arguments.rate * arguments.seconds;
        let outcome = send(&targets, &arguments.path, arguments.rate, count);
        is_over.store(true, Ordering::SeqCst);
        outcome
    });
    print!("{}", report(&outcome));
    Ok(if outcome.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(why: String) -> Error {
    Error::refused("find the instances", why)
}

fn client(endpoint: &Endpoint) -> Result<Client, Error> {
    let token = std::env::var("CONSUL_HTTP_TOKEN").ok().filter(|token| !token.is_empty());
    let settings = Settings {
        endpoints: vec![endpoint.clone()],
        token: token.map(|token| Token::new(&token)),
        tls: TlsFiles::default(),
        datacenter: None,
        consistency: Consistency::Default,
        timeout: Duration::from_secs(3),
    };
    Client::new(settings).map_err(|error| refused(format!("failed to {error}")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: NodeOfEntry,
    service: ServiceOfEntry,
    #[serde(default)]
    checks: Vec<CheckOfEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NodeOfEntry {
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceOfEntry {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    port: u16,
    weights: Option<Weights>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CheckOfEntry {
    status: Status,
}

fn look(client: &Client, app: &str) -> Result<Vec<Target>, Error> {
    let answer = client.ask::<Vec<Entry>>(Subject::Service(app.to_owned()));
    let entries = answer.map_err(|error| refused(format!("failed to {error}")))?.value;
    Ok(entries.into_iter().filter_map(target).collect())
}

/// An instance that may get requests, as Consul's DNS would say it.
fn target(entry: Entry) -> Option<Target> {
    let Entry { node, service, checks } = entry;
    let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing);
    let weights = service.weights.unwrap_or(Weights { passing: 1, warning: 1 });
    let weight = match worst {
        Status::Passing => weights.passing,
        Status::Warning => weights.warning,
        Status::Critical | Status::Maintenance => return None,
    };
    let host = if service.address.is_empty() { node.address } else { service.address };
    Some(Target { id: service.id, host, port: service.port, weight })
}

/// One of the targets: each as often as its weight says, over all words.
fn pick(targets: &[Target], word: u64) -> Option<&Target> {
    let total: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    let mut at = word.checked_rem(total)?;
    targets.iter().find(|target| match at.checked_sub(u64::from(target.weight)) {
        Some(rest) => {
            at = rest;
            false
        }
        None => true,
    })
}

/// The number-th word of a stream (`SplitMix64`).
fn word(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// When a request is due after the beginning.
fn due(number: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Sends so many requests, each when it is due.
fn send(targets: &Mutex<Vec<Target>>, path: &str, rate: u64, count: u64) -> Outcome {
    let (next, outcome) = (AtomicU64::new(0), Mutex::new(Outcome::default()));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..UNDER_WAY_MOST.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        return;
                    }
                    let due = due(number, rate);
                    thread::sleep(due.saturating_sub(begun.elapsed()));
                    let target = pick(&lock(targets), word(number)).cloned();
                    let answer = target.as_ref().map(|target| ask(target, path));
                    let latency = begun.elapsed().saturating_sub(due);
                    let mut outcome = lock(&outcome);
                    match (target, answer) {
                        (Some(target), Some(Ok(200..=299))) => {
                            let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                            outcome.latencies_us.push(latency);
                            *outcome.answered.entry(target.id).or_default() += 1;
                        }
                        (_, Some(Ok(status))) => {
                            *outcome.failed.entry(format!("status {status}")).or_default() += 1;
                        }
                        (_, Some(Err(error))) => {
                            *outcome.failed.entry(error.to_string()).or_default() += 1;
                        }
                        (_, None) => {
                            let why = "there was no instance".to_owned();
                            *outcome.failed.entry(why).or_default() += 1;
                        }
                    }
                }
            });
        }
    });
    outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The status of an answer that has come whole.
fn ask(target: &Target, path: &str) -> io::Result<u16> {
    let Target { host, port, .. } = target;
    let address = (host.as_str(), *port).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other(format!("`{host}` has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MOST_BYTES).read_to_end(&mut answer)?;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.filter(|_| line.starts_with("HTTP/1.")).ok_or_else(|| io::Error::other("no answer"))
}

/// The value that so many of 1,000 are not above: the nearest rank.
fn quantile(sorted: &[u64], thousandths: usize) -> u64 {
    let rank = (sorted.len() * thousandths).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn report(outcome: &Outcome) -> String {
    let mut sorted = outcome.latencies_us.clone();
    sorted.sort_unstable();
    let failed: u64 = outcome.failed.values().sum();
    let milliseconds =
        |microseconds: u64| format!("{}.{}", microseconds / 1000, microseconds % 1000 / 100);
    let mut text = format!(
        "{} requests: {} answered, {failed} failed\n",
        sorted.len() as u64 + failed,
        sorted.len()
    );
    let quantiles = [("p50", 500), ("p90", 900), ("p99", 990), ("max", 1000)];
    let told = quantiles.map(|(name, thousandths)| {
        format!("{name} {} ms", milliseconds(quantile(&sorted, thousandths)))
    });
    text.push_str(&format!("from due to answered: {}\n", told.join(", ")));
    for (id, count) in &outcome.answered {
        text.push_str(&format!("  {id}: {count}\n"));
    }
    for (why, count) in &outcome.failed {
        text.push_str(&format!("  failed, {why}: {count}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn target(id: &str, port: u16, weight: u32) -> Target {
        Target { id: id.to_owned(), host: "127.0.0.1".to_owned(), port, weight }
    }

    #[test]
    fn each_is_picked_as_often_as_its_weight_says() {
        let targets = [target("a", 1, 1), target("b", 2, 0), target("c", 3, 3)];
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for word in 0..400 {
            *counts.entry(pick(&targets, word).unwrap().id.as_str()).or_default() += 1;
        }
        assert_eq!(counts, BTreeMap::from([("a", 100), ("c", 300)]));
        let ours = (0..4000).filter(|number| pick(&targets, word(*number)).unwrap().id == "a");
        assert!((900..1100).contains(&ours.count()), "a quarter");
        assert_eq!(pick(&[], 7), None);
        assert_eq!(pick(&[target("a", 1, 0)], 7), None);
    }

    #[test]
    fn what_consul_says_becomes_targets() {
        let entry = |status: &str, address: &str| -> Option<Target> {
            let text = format!(
                r#"{{"Node": {{"Node": "n", "Address": "10.0.0.1"}}, "Service": {{"ID": "web.1",
                "Address": "{address}", "Port": 80, "Weights": {{"Passing": 500, "Warning": 1}}}},
                "Checks": [{{"Status": "passing"}}, {{"Status": "{status}"}}]}}"#
            );
            super::target(serde_json::from_str(&text).unwrap())
        };
        let found = entry("passing", "").unwrap();
        assert_eq!((found.host.as_str(), found.port, found.weight), ("10.0.0.1", 80, 500));
        let found = entry("warning", "10.0.0.2").unwrap();
        assert_eq!((found.host.as_str(), found.weight), ("10.0.0.2", 1));
        assert_eq!((entry("critical", ""), entry("maintenance", "")), (None, None));
    }

    #[test]
    fn ranks_are_the_nearest_ones_and_requests_are_due_at_the_rate() {
        let sorted: Vec<u64> = (1..=200).collect();
        let told = [500, 900, 990, 1000].map(|thousandths| quantile(&sorted, thousandths));
        assert_eq!(told, [100, 180, 198, 200]);
        assert_eq!((quantile(&[7], 500), quantile(&[], 500)), (7, 0));
        assert_eq!(due(150, 50), Duration::from_secs(3));
    }

    #[test]
    fn every_request_is_sent_and_told() {
        let serve = |status: &'static str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.read(&mut [0; 1024]);
                    let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes());
                }
            });
            port
        };
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let targets = Mutex::new(vec![
            target("good", serve("200 OK"), 6),
            target("full", serve("503 X"), 2),
            target("gone", closed, 2),
        ]);
        let outcome = send(&targets, "/", 2_000, 200);
        let failed: u64 = outcome.failed.values().sum();
        assert_eq!(outcome.latencies_us.len() as u64 + failed, 200);
        assert!((90..150).contains(&outcome.answered["good"]), "{outcome:?}");
        assert!(outcome.failed["status 503"] > 10 && outcome.failed.len() == 2, "{outcome:?}");
        let told = report(&outcome);
        assert!(
            told.starts_with("200 requests: ") && told.contains("  failed, status 503: "),
            "{told}"
        );
    }
}
