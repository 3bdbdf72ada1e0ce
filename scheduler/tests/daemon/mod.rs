//! A daemon in a folder of its own, its clients, and requests over the wire. Whatever was started
//! ends with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// What comes, comes long before.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Short times, so that tests are short.
const POLICY: &str = "preset: recommended\n\
    rollout: {warm_up: 400ms, cool_down: 300ms, step: 1, progress_deadline: 20s, failures: 2}\n\
    repair: {back_off: 50ms, back_off_most: 200ms}\n";

pub struct Daemon {
    folder: TempDir,
    /// What says where instances run.
    backend: Vec<String>,
    process: Option<Child>,
}

impl Daemon {
    /// Starts one. `first_port` keeps tests that run at the same time apart.
    pub fn start(first_port: u16, machines: u32) -> Self {
        Self::start_with(first_port, machines, &[])
    }

    /// The same with more arguments.
    pub fn start_with(first_port: u16, machines: u32, more: &[&str]) -> Self {
        let ports = format!("{first_port}-{}", first_port + 99);
        let machines = machines.to_string();
        let own = ["--local", "--ports", &ports, "--machines", &machines];
        Self::with(&[&own, more].concat())
    }

    /// Starts one with these arguments.
    pub fn with(backend: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.yml"), POLICY).unwrap();
        let backend = backend.iter().map(|one| (*one).to_owned()).collect();
        let mut daemon = Daemon { folder, backend, process: None };
        daemon.run();
        daemon
    }

    /// Starts it again in its folder.
    pub fn run(&mut self) {
        let file = self.data().join("daemon.json");
        let _ = fs::remove_file(&file);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("serve.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["serve", "--listen", "127.0.0.1:0", "--docker", "/nowhere/docker"])
            .args(&self.backend)
            .arg("--policy")
            .arg(self.path("policy.yml"))
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.process = Some(child.unwrap());
        until("the daemon listens", || file.exists());
        until("the daemon leads", || self.get("/readyz").0 == 200);
    }

    /// As `kill -9` does it.
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// As Ctrl-C does it; its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        process.wait().unwrap().code()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn file(&self) -> Value {
        serde_json::from_slice(&fs::read(self.data().join("daemon.json")).unwrap()).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.file()["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn token(&self) -> String {
        self.file()["token"].as_str().unwrap().to_owned()
    }

    /// A client subcommand.
    pub fn client(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(arguments)
            .env("SCHEDULER_DATA", self.data())
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// A client subcommand that must be done; what it says.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.client(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}\n{text}\n{told}{}", self.log());
        text
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("serve.log")).unwrap_or_default()
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, &[], "")
    }

    /// Status and body of a request.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let text = self.raw(method, path, headers, body).unwrap_or_default();
        let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// A whole answer, head and all.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<String> {
        let address = self.address();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// The body of a GET as JSON.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Writes an app's file; `rest` is added to it.
    pub fn write_app(&self, name: &str, version: &str, rest: &str) -> String {
        let worker = env!("CARGO_BIN_EXE_scheduler-sample-worker");
        let starts = self.path("starts");
        let text = format!(
            "app: {name}\nversion: \"{version}\"\nshell: exec {worker} $PORT 2\n\
             needs: {{cores: 0.01, ports: 1}}\nenvironment: {{STARTS: {}}}\n\
             health: {{http: /health, interval: 100ms, timeout: 5s}}\nkill_grace: 5s\n{rest}",
            starts.display()
        );
        fs::write(self.path("app.yml"), text).unwrap();
        "app.yml".to_owned()
    }

    /// The instances that were ever started, one for each start.
    pub fn starts(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("starts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Processes of instances: supervisors, and what they supervise.
    pub fn processes(&self) -> Vec<i32> {
        marked(self.folder.path())
    }
}

/// Processes whose task folder is below a folder.
pub fn marked(folder: &Path) -> Vec<i32> {
    let mark = format!("SCHEDULER_TASK_FOLDER={}", folder.display());
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()))
        })
        .collect()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        if thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
