//! The daemon as a process: started, asked, measured, ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, app};

/// Instances serve as soon as they run.
const POLICY: &str = "preset: recommended\nrollout: {warm_up: 0s, cool_down: 0s}\n";

/// Between two looks at a daemon.
const LOOK: Duration = Duration::from_millis(20);

/// Ticks of a second in which the kernel tells processor time: the same on all of Linux.
const TICKS: f64 = 100.0;

/// Values of `/metrics` by name and labels.
pub type Metrics = BTreeMap<String, f64>;

/// A daemon that lives as long as this.
pub struct Daemon {
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Daemon {
    /// Starts one, and waits until it leads.
    pub fn start(arguments: &[&str]) -> Self {
        let daemon = Self::started(arguments);
        daemon.until("it leads", |metrics| metrics.get("scheduler_leading") == Some(&1.0));
        daemon
    }

    /// Starts one.
    pub fn started(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.yml"), POLICY).unwrap();
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        let mut daemon = Daemon { folder, arguments, process: None };
        daemon.run();
        daemon
    }

    /// Starts it again in its folder.
    pub fn run(&mut self) {
        let _ = fs::remove_file(self.path("data/daemon.json"));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["serve", "--listen", "127.0.0.1:0", "--docker", "/nowhere/docker"])
            .args(&self.arguments)
            .arg("--policy")
            .arg(self.path("policy.yml"))
            .arg("--data")
            .arg(self.path("data"))
            .env_remove("CONSUL_HTTP_TOKEN")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(child.unwrap());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// As Ctrl-C does it.
    pub fn interrupt(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        process.wait().unwrap();
    }

    fn file(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path("data/daemon.json")).ok()?).ok()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let file = self.file()?;
        let (address, token) = (file["address"].as_str()?, file["token"].as_str()?);
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        Some((text.get(9..12)?.parse().ok()?, body))
    }

    pub fn deploy(&self, name: &str, instances: u32, rest: &str) {
        let file = app(name, instances, rest);
        let (status, body) = self.request("PUT", &format!("/v1/apps/{name}"), &file).unwrap();
        assert_eq!(status, 200, "{body}");
    }

    /// What it measures; nothing while nobody answers.
    pub fn metrics(&self) -> Metrics {
        let Some((_, text)) = self.request("GET", "/metrics", "") else { return Metrics::new() };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let parts = lines.filter_map(|line| line.rsplit_once(' '));
        parts.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// Waits until what it measures is so.
    pub fn until(&self, what: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
        let begun = Instant::now();
        loop {
            let metrics = self.metrics();
            if is_so(&metrics) {
                return metrics;
            }
            if begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                panic!("it never came: {what}\n{log}\n{metrics:?}");
            }
            thread::sleep(LOOK);
        }
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Processor time since its start: its own, and the kernel's for it.
    pub fn processor_seconds(&self) -> (f64, f64) {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let rest = text.rsplit_once(')').unwrap().1;
        let ticks = |place: usize| -> f64 {
            rest.split_whitespace().nth(place).and_then(|text| text.parse().ok()).unwrap()
        };
        (ticks(11) / TICKS, ticks(12) / TICKS)
    }

    /// A line of `/proc/PID/status`.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A histogram as `/metrics` has it: upper bounds, and how many are not above.
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    pub fn of(metrics: &Metrics, name: &str) -> Self {
        let begin = format!("{name}_bucket{{le=\"");
        let classes = metrics.iter().filter_map(|(name, count)| {
            let bound = name.strip_prefix(&begin)?.strip_suffix("\"}")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, *count))
        });
        let mut classes: Vec<(f64, f64)> = classes.collect();
        classes.sort_by(|one, other| one.0.total_cmp(&other.0));
        Histogram(classes)
    }

    /// What came after an earlier one.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let before = |bound: f64| {
            let same = earlier.0.iter().find(|(one, _)| one.total_cmp(&bound).is_eq());
            same.map_or(0.0, |(_, count)| *count)
        };
        Histogram(self.0.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect())
    }

    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count as u64)
    }

    /// The bound that this part does not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        let wanted = part * self.count() as f64;
        self.0.iter().find(|(_, count)| *count >= wanted).map_or(0.0, |(bound, _)| *bound)
    }
}
