//! Several schedulers on a simulated Mesos and a small Consul of this process: the leader is killed
//! before and after each durable step of a deployment and of an upgrade, and the successor finishes it.
//! Nothing is started twice, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use consul_fake::{FakeConsul, Moment};
use mesos::{FrameworkId, Milli, Resource, TaskState};
use serde_json::Value;
use simulator_mesos::{AgentKey, AgentSpec, Body, Configuration, MILLISECOND, Run, SECOND, Said};
use simulator_mesos_server::{Handle, Server};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

const PATIENCE: Duration = Duration::from_secs(90);

const LEADER: &str = "corral/scheduler/leader";

const POLICY: &str = "preset: recommended\n\
    rollout: {warm_up: 0s, cool_down: 0s, progress_deadline: 1min, failures: 20}\n\
    repair: {back_off: 10ms, back_off_most: 20ms}\n";

/// What runs on the machines, as they see it.
#[derive(Default)]
struct Machines {
    /// How often each task was started.
    starts: BTreeMap<String, u32>,
    /// The version of each that runs.
    running: BTreeMap<String, String>,
    /// When the last one was started.
    last_start: Option<Instant>,
}

/// A cluster without schedulers.
struct Cluster {
    consul: Arc<FakeConsul>,
    /// The one that schedulers use, and what their keys begin with.
    consul_url: String,
    prefix: String,
    mesos: String,
    machines: Arc<Mutex<Machines>>,
    folder: TempDir,
    _runtime: Runtime,
}

impl Cluster {
    fn start() -> Self {
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
    fn versions(&self, app: &str) -> Vec<String> {
        let machines = self.machines.lock().unwrap();
        let is_one = |id: &str| id.rsplit_once('.').is_some_and(|(name, _)| name == app);
        let running = machines.running.iter().filter(|(id, _)| is_one(id));
        running.map(|(_, version)| version.clone()).collect()
    }

    /// Waits until something is so.
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
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
            | Run::Ping => {}
        }
    }
}

/// A scheduler, with a folder of its own.
struct Scheduler {
    folder: PathBuf,
    process: Child,
}

impl Scheduler {
    fn start(cluster: &Cluster, name: &str) -> Self {
        let folder = cluster.folder.path().join(name);
        let log = cluster.folder.path().join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let _ = fs::remove_file(folder.join("daemon.json"));
        let (_, port) = cluster.consul_url.rsplit_once(':').unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(["serve", "--master", &cluster.mesos, "--consul", &cluster.consul_url])
            .args(["--consul-prefix", &cluster.prefix, "--consul-agent-port", port])
            .args(["--listen", "127.0.0.1:0", "--docker", "/nowhere/docker", "--policy"])
            .arg(cluster.folder.path().join("policy.yml"))
            .arg("--data")
            .arg(&folder)
            .env_remove("CONSUL_HTTP_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Scheduler { folder, process }
    }

    fn address(&self) -> Option<String> {
        let text = fs::read(self.folder.join("daemon.json")).ok()?;
        let file: Value = serde_json::from_slice(&text).ok()?;
        Some(file["address"].as_str()?.to_owned())
    }

    /// Status, and head and body, of a GET; it isn't followed elsewhere.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some((text.get(9..12)?.parse().ok()?, text))
    }

    fn leads(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// A client subcommand of this one's folder.
    fn client(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_scheduler"))
            .args(arguments)
            .env("SCHEDULER_DATA", &self.folder)
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }

    /// As Ctrl-C does it; its exit code.
    fn interrupt(&mut self) -> Option<i32> {
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

fn file(cluster: &Cluster, app: &str, version: u32, instances: usize) -> String {
    let path = cluster.folder.path().join("app.yml");
    let text = format!(
        "app: {app}\nversion: \"{version}\"\ncommand: [/bin/worker]\ninstances: {instances}\n\
         needs: {{cores: 0.1, memory: 16MiB, ports: 1}}\n"
    );
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// An app as one that leads has it.
fn shown(schedulers: &[Scheduler], app: &str) -> Option<Value> {
    let leader = schedulers.iter().find(|one| one.leads())?;
    let (status, text) = leader.get(&format!("/v1/apps/{app}"))?;
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body)?;
    (status == 200).then(|| serde_json::from_str(body).ok()).flatten()
}

/// The process of whoever leads, from the name that it gave itself.
fn leading_pid(consul: &FakeConsul) -> Option<String> {
    let value: Value = serde_json::from_slice(&consul.value(LEADER)?).ok()?;
    let name = value["name"].as_str()?.to_owned();
    Some(name.rsplit_once('(')?.1.trim_end_matches(')').to_owned())
}

const INSTANCES: usize = 2;

/// Kills the leader at one of the next batches, from 1, before or after it is durable; whether it
/// has.
fn kill_at(cluster: &Cluster, batch: u32, moment: Moment) -> Arc<AtomicBool> {
    let is_killed = Arc::new(AtomicBool::new(false));
    let (consul, killed) = (Arc::downgrade(&cluster.consul), Arc::clone(&is_killed));
    let mut count = 0;
    cluster.consul.set_gate(move |keys, now| {
        let is_batch = keys.iter().any(|key| key.starts_with("corral/scheduler/log/"));
        if !is_batch || now != moment || killed.load(Ordering::SeqCst) {
            return true;
        }
        count += 1;
        let Some(consul) = consul.upgrade().filter(|_| count == batch) else { return true };
        let pid = leading_pid(&consul).unwrap();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        consul.end_holder(LEADER);
        killed.store(true, Ordering::SeqCst);
        false
    });
    is_killed
}

/// Brings a version of an app, with the leader killed at one of the batches; whether there was it.
fn brought(
    cluster: &Cluster,
    schedulers: &mut [Scheduler],
    (app, version): (&str, u32),
    (batch, moment): (u32, Moment),
) -> bool {
    let is_killed = kill_at(cluster, batch, moment);
    let file = file(cluster, app, version, INSTANCES);
    cluster.until("the call is taken", || {
        // Who asks a leader that dies asks again: another time it changes nothing.
        schedulers
            .iter()
            .any(|one| one.client(&["app", "deploy", &file, "--detach"]).status.success())
    });
    cluster.until("the version is there", || {
        let is_there = cluster.versions(app) == vec![version.to_string(); INSTANCES];
        is_there
            && shown(schedulers, app).is_some_and(|app| {
                app["summary"]["state"] == "steady"
                    && app["summary"]["version"].as_u64().is_some()
                    && app["summary"]["serving"] == INSTANCES
            })
    });
    cluster.consul.open_gate();
    // Waits for a gate that is under way.
    let is_killed = is_killed.load(Ordering::SeqCst);
    let begun = Instant::now();
    let mut ended = 0;
    while ended == 0 && is_killed && begun.elapsed() < PATIENCE {
        ended = restarted(cluster, schedulers);
        thread::sleep(Duration::from_millis(5));
    }
    ended += restarted(cluster, schedulers);
    assert_eq!(ended, u32::from(is_killed), "only who is killed ends");
    is_killed
}

/// Starts those again that have ended; how many.
fn restarted(cluster: &Cluster, schedulers: &mut [Scheduler]) -> u32 {
    let mut ended = 0;
    for (scheduler, name) in schedulers.iter_mut().zip(["a", "b"]) {
        if scheduler.process.try_wait().unwrap().is_some() {
            ended += 1;
            *scheduler = Scheduler::start(cluster, name);
        }
    }
    ended
}

/// Kills the leader at the first batch of a deployment and of an upgrade, then at the second ones of
/// the next deployment and upgrade, and so on, until neither has so many.
fn killed_at_each_batch(moment: Moment) {
    let cluster = Cluster::start();
    let mut schedulers: Vec<Scheduler> =
        ["a", "b"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    assert!(!brought(&cluster, &mut schedulers, ("web", 1), (u32::MAX, moment)));
    let (mut batch, mut kills) = (0, [0, 0]);
    loop {
        batch += 1;
        let fresh = format!("fresh-{batch}");
        let deployed = brought(&cluster, &mut schedulers, (&fresh, 1), (batch, moment));
        let upgraded = brought(&cluster, &mut schedulers, ("web", batch + 1), (batch, moment));
        kills = [kills[0] + u32::from(deployed), kills[1] + u32::from(upgraded)];
        if !deployed && !upgraded {
            break;
        }
    }
    eprintln!("{moment:?}: killed at {kills:?} batches of deployments and upgrades");
    assert!(kills[0] >= 3 && kills[1] >= 5, "there are more batches than {kills:?}");
    let machines = cluster.machines.lock().unwrap();
    let twice: BTreeSet<_> = machines.starts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let apps = usize::try_from(batch).unwrap() + 1;
    assert_eq!(machines.running.len(), apps * INSTANCES, "nothing is lost: {:?}", machines.running);
}

#[test]
fn a_leader_that_dies_before_a_batch_is_durable_has_a_successor() {
    killed_at_each_batch(Moment::Before);
}

#[test]
fn a_leader_that_dies_after_a_batch_is_durable_has_a_successor() {
    killed_at_each_batch(Moment::After);
}

#[test]
fn any_of_three_can_be_asked_and_the_next_one_leads_at_once() {
    let cluster = Cluster::start();
    let mut schedulers: Vec<Scheduler> =
        ["a", "b", "c"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    cluster.until("the others follow", || {
        let follows = |one: &&Scheduler| {
            one.get("/readyz").is_some_and(|(status, text)| {
                status == 503 && text.contains("follower: ") && text.contains(" leads at http")
            })
        };
        schedulers.iter().filter(follows).count() == 2
    });
    let file = file(&cluster, "web", 1, INSTANCES);
    let follower = schedulers.iter().find(|one| !one.leads()).unwrap();
    let told = follower.client(&["app", "deploy", &file]);
    assert!(told.status.success(), "{told:?}");
    for one in &schedulers {
        assert_eq!(one.get("/healthz").unwrap().0, 200);
        let told = one.client(&["app", "list"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success() && text.contains("web"), "{told:?}");
    }
    let (status, text) = follower.get("/v1/apps?x=1").unwrap();
    assert!(status == 307 && text.contains("/v1/apps?x=1"), "{text}");

    // Who ends in peace leaves the office to the next, with all that runs.
    let place = schedulers.iter().position(Scheduler::leads).unwrap();
    let mut leader = schedulers.swap_remove(place);
    assert_eq!(leader.interrupt(), Some(0));
    let begun = Instant::now();
    cluster.until("another one leads", || schedulers.iter().any(Scheduler::leads));
    // A session that isn't given back ends after 20 seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    cluster.until("it knows what runs", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == INSTANCES)
    });
    let machines = cluster.machines.lock().unwrap();
    assert_eq!((machines.starts.len(), machines.running.len()), (INSTANCES, INSTANCES));
}

/// How long it takes until another one decides: with a real Consul, whose address is in
/// `SCHEDULER_CONSUL`. Nothing is asserted of the times; they are printed.
#[test]
fn the_times_of_a_change_with_a_real_consul_if_there_is_one() {
    let Ok(url) = std::env::var("SCHEDULER_CONSUL") else { return };
    let mut cluster = Cluster::start();
    cluster.consul_url = url.clone();
    cluster.prefix = format!("corral-test/failover-{}", std::process::id());
    let mut schedulers: Vec<Scheduler> =
        ["a", "b", "c"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    // The agent may still have services of an earlier run.
    let app = format!("web-{}", std::process::id());
    for (version, is_killed) in [(1, None), (2, Some(false)), (3, Some(true))] {
        let file = file(&cluster, &app, version, 12);
        let text = format!("{}step: 1\n", fs::read_to_string(&file).unwrap());
        fs::write(&file, text).unwrap();
        let told = schedulers[0].client(&["app", "deploy", &file, "--detach"]);
        assert!(told.status.success(), "{told:?}");
        let new = || {
            let machines = cluster.machines.lock().unwrap();
            machines.running.values().filter(|one| **one == version.to_string()).count()
        };
        let Some(is_killed) = is_killed else {
            cluster.until("all run", || new() == 12);
            continue;
        };
        cluster.until("the upgrade is under way", || new() >= 2);
        let place = schedulers.iter().position(Scheduler::leads).unwrap();
        let mut leader = schedulers.swap_remove(place);
        let asked = Instant::now();
        if is_killed {
            leader.process.kill().unwrap();
            leader.process.wait().unwrap();
        } else {
            assert_eq!(leader.interrupt(), Some(0));
        }
        let ended = Instant::now();
        cluster.until("another one starts an instance", || {
            let last = cluster.machines.lock().unwrap().last_start;
            last.is_some_and(|last| last > ended)
        });
        let decided = cluster.machines.lock().unwrap().last_start.unwrap();
        cluster.until("another one leads", || schedulers.iter().any(Scheduler::leads));
        eprintln!(
            "killed: {is_killed}; its end took {:?}; from there to the next start of an instance {:?}",
            ended - asked,
            decided - ended,
        );
        cluster.until("the upgrade is done", || {
            let machines = cluster.machines.lock().unwrap();
            machines.running.values().all(|one| *one == version.to_string())
                && machines.running.len() == 12
        });
    }
    let machines = cluster.machines.lock().unwrap();
    assert!(machines.starts.values().all(|count| *count == 1), "{:?}", machines.starts);
}
