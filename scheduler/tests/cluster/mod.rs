//! A cluster for tests of several schedulers: a simulated Mesos and a small Consul of this process, and
//! schedulers as processes.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use consul_fake::FakeConsul;
use mesos::{FrameworkId, Milli, Resource, TaskState};
use serde_json::Value;
use simulator_mesos::{AgentKey, AgentSpec, Body, Configuration, MILLISECOND, Run, SECOND, Said};
use simulator_mesos_server::{Handle, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

pub const PATIENCE: Duration = Duration::from_secs(90);

pub const LEADER: &str = "corral/scheduler/leader";

pub const POLICY: &str = "preset: recommended\n\
    rollout: {warm_up: 0s, cool_down: 0s, progress_deadline: 1min, failures: 20}\n\
    repair: {back_off: 10ms, back_off_most: 20ms}\n";

/// What runs on the machines, as they see it.
#[derive(Default)]
pub struct Machines {
    /// How often each task was started.
    pub starts: BTreeMap<String, u32>,
    /// The version of each that runs.
    pub running: BTreeMap<String, String>,
    /// When the last one was started.
    pub last_start: Option<Instant>,
}

/// A cluster without schedulers.
pub struct Cluster {
    pub consul: Arc<FakeConsul>,
    /// The one that schedulers use, and what their keys begin with.
    pub consul_url: String,
    pub prefix: String,
    pub mesos: String,
    pub machines: Arc<Mutex<Machines>>,
    pub folder: TempDir,
    _runtime: Runtime,
}

impl Cluster {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let configuration = Configuration {
            allocation_interval: 50 * MILLISECOND,
            heartbeat_interval: SECOND,
            ..Configuration::default()
        };
        let listen = ([127, 0, 0, 1], 0).into();
        let (server, runs) = runtime.block_on(Server::bind(listen, configuration)).unwrap();
        let (mesos, handle) = (server.address().to_string(), server.handle());
        // Its agent of Consul is the small one, or the real one.
        let spec = AgentSpec {
            hostname: "127.0.0.1".to_owned(),
            ip: "127.0.0.1".into(),
            port: 5051,
            resources: vec![
                Resource::scalar("cpus", Milli(16_000)),
                Resource::scalar("mem", Milli(4_096_000)),
                Resource::ranges("ports", &mesos::quantity::Intervals::new([(31_000, 31_999)])),
            ],
            attributes: Vec::new(),
            domain: None,
            body: Body::Outside,
        };
        handle.with(|master| {
            let key = master.add_agent(spec).unwrap();
            master.start_agent(key);
        });
        let machines = Arc::new(Mutex::new(Machines::default()));
        runtime.spawn(server.run());
        runtime.spawn(run(handle, runs, Arc::clone(&machines)));
        let consul = Arc::new(FakeConsul::start(1).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.yml"), POLICY).unwrap();
        let (consul_url, prefix) = (consul.url(), "corral/scheduler".to_owned());
        Cluster { consul, consul_url, prefix, mesos, machines, folder, _runtime: runtime }
    }

    /// The versions of an app's instances that run.
    pub fn versions(&self, app: &str) -> Vec<String> {
        let machines = self.machines.lock().unwrap();
        let is_one = |id: &str| id.rsplit_once('.').is_some_and(|(name, _)| name == app);
        let running = machines.running.iter().filter(|(id, _)| is_one(id));
        running.map(|(_, version)| version.clone()).collect()
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            if begun.elapsed() > PATIENCE {
                let machines = self.machines.lock().unwrap();
                panic!("it never came: {what}; {:?} {:?}", machines.running, machines.starts);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The machines: what they are told to start runs at once, what they are told to stop ends at once.
async fn run(
    handle: Handle,
    mut runs: UnboundedReceiver<(AgentKey, Run)>,
    machines: Arc<Mutex<Machines>>,
) {
    let say = |agent, framework: &FrameworkId, task: &str, state| {
        let said = Said { state, healthy: None, reason: None, message: None };
        handle.with(|master| master.outside_report(agent, framework, task, said));
    };
    while let Some((agent, run)) = runs.recv().await {
        match run {
            Run::Start { framework, task, .. } => {
                let framework_id = framework.id.unwrap_or_default();
                let id = task.task_id.value.clone();
                let environment = task.command.as_ref().and_then(|one| one.environment.as_ref());
                let variables = environment.map(|one| one.variables.as_slice()).unwrap_or_default();
                let version = variables.iter().find(|one| one.name == "CORRAL_VERSION");
                let version = version.and_then(|one| one.value.clone()).unwrap_or_default();
                {
                    let mut machines = machines.lock().unwrap();
                    *machines.starts.entry(id.clone()).or_default() += 1;
                    machines.running.insert(id.clone(), version);
                    machines.last_start = Some(Instant::now());
                }
                say(agent, &framework_id, &id, TaskState::Running);
            }
            Run::Stop { framework_id, task_id, .. } => {
                machines.lock().unwrap().running.remove(&task_id);
                say(agent, &framework_id, &task_id, TaskState::Killed);
            }
            // The master has told of these ends itself.
            Run::EndFramework { .. } => machines.lock().unwrap().running.clear(),
            // For programs that are agents: these machines are the master's own.
            Run::Registered { .. }
            | Run::ShutDown { .. }
            | Run::Acknowledged { .. }
            | Run::Holds { .. }
            | Run::Ping => {}
        }
    }
}

/// A scheduler, with a folder of its own.
pub struct Scheduler {
    pub folder: PathBuf,
    pub process: Child,
}

impl Scheduler {
    pub fn start(cluster: &Cluster, name: &str) -> Self {
        Scheduler::start_with(cluster, name, &[])
    }

    /// The same, with more options.
    pub fn start_with(cluster: &Cluster, name: &str, more: &[&str]) -> Self {
        Scheduler::start_at(cluster, name, "127.0.0.1:0", more)
    }

    /// The same, with an API that is known before it says where it is.
    pub fn start_at(cluster: &Cluster, name: &str, listen: &str, more: &[&str]) -> Self {
        let folder = cluster.folder.path().join(name);
        let log = cluster.folder.path().join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let _ = fs::remove_file(folder.join("daemon.json"));
        let (_, port) = cluster.consul_url.rsplit_once(':').unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["serve", "--master", &cluster.mesos, "--consul", &cluster.consul_url])
            .args(["--consul-prefix", &cluster.prefix, "--consul-agent-port", port])
            .args(["--listen", listen, "--docker", "/nowhere/docker", "--policy"])
            .arg(cluster.folder.path().join("policy.yml"))
            .arg("--data")
            .arg(&folder)
            .args(more)
            .env_remove("CONSUL_HTTP_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Scheduler { folder, process }
    }

    pub fn address(&self) -> Option<String> {
        let text = fs::read(self.folder.join("daemon.json")).ok()?;
        let file: Value = serde_json::from_slice(&text).ok()?;
        Some(file["address"].as_str()?.to_owned())
    }

    /// Status, and head and body, of a GET; it isn't followed elsewhere.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        get(&self.address()?, path)
    }

    pub fn leads(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// A client subcommand of this one's folder.
    pub fn client(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(arguments)
            .env("SCHEDULER_DATA", &self.folder)
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }

    /// As Ctrl-C does it; its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Status, and head and body, of a GET; it isn't followed elsewhere.
pub fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some((text.get(9..12)?.parse().ok()?, text))
}

pub fn file(cluster: &Cluster, app: &str, version: u32, instances: usize) -> String {
    let path = cluster.folder.path().join("app.yml");
    let text = format!(
        "app: {app}\nversion: \"{version}\"\ncommand: [/bin/worker]\ninstances: {instances}\n\
         needs: {{cores: 0.1, memory: 16MiB, ports: 1}}\n"
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// An app as one that leads has it.
pub fn shown(schedulers: &[Scheduler], app: &str) -> Option<Value> {
    let leader = schedulers.iter().find(|one| one.leads())?;
    let (status, text) = leader.get(&format!("/v1/apps/{app}"))?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body)?;
    (status == 200).then(|| serde_json::from_str(body).ok()).flatten()
}
