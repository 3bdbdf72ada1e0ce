//! The daemon as a framework of `simulator mesos`, both as processes: the life of an app, and leaders
//! that die. They need the simulator's binary beside the scheduler's, and one of them a ZooKeeper and
//! Java: `cargo xtask test mesos` brings both and runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod daemon;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use daemon::{Daemon, until};
use serde_json::Value;
use tempfile::TempDir;

/// A program that ends with this.
struct Program {
    process: Child,
    folder: TempDir,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = File::create(folder.path().join("out")).unwrap();
        let errors = File::create(folder.path().join("errors")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
        Program { process, folder }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    fn told(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}{}", self.said(), self.told());
        }
    }
}

/// `simulator mesos`, and where its masters listen.
struct Mesos {
    program: Program,
    masters: Vec<String>,
}

impl Mesos {
    fn start(masters: usize, arguments: &[&str]) -> Self {
        let simulator = Path::new(env!("CARGO_BIN_EXE_scheduler")).with_file_name("simulator");
        assert!(simulator.exists(), "`cargo build -p simulator --bins` first; {simulator:?}");
        let mut command = Command::new(simulator);
        command.args(["mesos", "--agents", "3", "--listen", "127.0.0.1:0"]).args(arguments);
        let program = Program::start(command);
        let found = || -> Vec<String> {
            let said = program.said();
            let places = said.lines().filter_map(|line| line.split_once("http://"));
            places.map(|(_, place)| place.to_owned()).collect()
        };
        until("the masters listen", || found().len() == masters);
        Mesos { masters: found(), program }
    }

    /// Tasks by state, as the master at this place tells.
    fn tasks(&self, master: usize) -> BTreeMap<String, Vec<String>> {
        let (status, body) = get(&self.masters[master], "/tasks");
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let mut tasks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for task in page["tasks"].as_array().unwrap() {
            let state = task["state"].as_str().unwrap().to_owned();
            tasks.entry(state).or_default().push(task["id"].as_str().unwrap().to_owned());
        }
        tasks.values_mut().for_each(|names| names.sort());
        tasks
    }

    fn running(&self, master: usize) -> Vec<String> {
        self.tasks(master).remove("TASK_RUNNING").unwrap_or_default()
    }

    /// Which master leads.
    fn leader(&self) -> Option<usize> {
        (0..self.masters.len()).find(|number| get(&self.masters[*number], "/state").0 == 200)
    }
}

/// A real ZooKeeper.
struct ZooKeeper {
    // Ends before its folder goes.
    _program: Program,
    _data: TempDir,
    place: String,
}

/// Where Debian's package libzookeeper-java puts jars, and those that a server needs.
const JARS: &str = "/usr/share/java";
const SERVER_JARS: &[&str] = &[
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-simple",
    "metrics-core",
    "snappy-java",
    "netty-all",
    "netty-handler",
    "netty-common",
    "netty-buffer",
    "netty-transport",
    "jackson-databind",
    "jackson-core",
    "jackson-annotations",
    "commons-cli",
];

impl ZooKeeper {
    /// Starts one. Sessions are given up after 4 s, so that tests are short.
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let settings = format!(
            "tickTime=1000\nmaxSessionTimeout=4000\ndataDir={}\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            data.path().display()
        );
        let file: PathBuf = data.path().join("zoo.cfg");
        fs::write(&file, settings).unwrap();
        let jars: Vec<String> =
            SERVER_JARS.iter().map(|name| format!("{JARS}/{name}.jar")).collect();
        let first = &jars[0];
        assert!(Path::new(first).exists(), "{first}: the package libzookeeper-java is missing");
        let mut command = Command::new("java");
        command.args(["-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", &jars.join(":")]);
        command.arg("org.apache.zookeeper.server.ZooKeeperServerMain").arg(&file);
        let program = Program::start(command);
        until("ZooKeeper answers", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut stream| {
                let mut answer = String::new();
                stream.write_all(b"srvr").is_ok()
                    && stream.read_to_string(&mut answer).is_ok()
                    && answer.contains("Mode: standalone")
            })
        });
        ZooKeeper { _program: program, _data: data, place: format!("zk://127.0.0.1:{port}/mesos") }
    }
}

/// Status and body of a page; 0 if nobody answers.
fn get(place: &str, path: &str) -> (u16, String) {
    let text = raw(place, path).unwrap_or_default();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

fn raw(place: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(place)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn machines(daemon: &Daemon) -> usize {
    daemon.json("/v1/machines").as_array().unwrap().len()
}

/// Names of the instances that serve.
fn serving(daemon: &Daemon) -> Vec<String> {
    let instances = daemon.json("/v1/instances?app=web");
    let one = |row: &Value| {
        (row["life"] == "serving").then(|| row["instance"].as_str().unwrap().to_owned())
    };
    let mut names: Vec<String> = instances.as_array().unwrap().iter().filter_map(one).collect();
    names.sort();
    names
}

fn subscriptions(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| line.starts_with("subscribed")).count()
}

/// An app whose tasks run in the simulation until they are ended.
fn write_app(daemon: &Daemon) -> String {
    let text = "app: web\nversion: \"1\"\nshell: exec serve\ninstances: 3\n\
                needs: {cores: 0.1, ports: 1}\n";
    fs::write(daemon.path("app.yml"), text).unwrap();
    "app.yml".to_owned()
}

#[test]
#[ignore = "needs the simulator's binary: cargo xtask test mesos"]
fn an_app_lives_on_mesos_and_the_daemon_dies() {
    let mesos = Mesos::start(1, &[]);
    let mut daemon = Daemon::with(&["--master", &mesos.masters[0]]);
    until("machines are offered", || machines(&daemon) == 3);
    let file = write_app(&daemon);
    let told = daemon.done(&["app", "deploy", &file]);
    assert_eq!(told.lines().last(), Some("web: deployment 1 to v1: done"));
    let listed = daemon.done(&["app", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("web") && line.contains("steady")));
    assert_eq!(mesos.running(0), serving(&daemon));

    let told = daemon.done(&["app", "upgrade", "web", "--version", "2"]);
    assert_eq!(told.lines().last(), Some("web: deployment 2 to v2: done"));
    until("old ones have ended", || mesos.running(0).len() == 3);
    let before = serving(&daemon);
    assert_eq!(mesos.running(0), before);

    // In the middle of another upgrade.
    daemon.done(&["app", "upgrade", "web", "--version", "3", "--detach"]);
    daemon.kill();
    let kept = mesos.running(0);
    assert!(kept.len() >= 3, "tasks go on without the scheduler: {kept:?}");
    daemon.run();
    until("it subscribes again", || subscriptions(&daemon) >= 2);
    until("the upgrade is done", || {
        let app = daemon.json("/v1/apps/web");
        app["summary"]["state"] == "steady" && app["summary"]["version"] == 3
    });
    until("old ones have ended", || mesos.running(0).len() == 3);
    assert_eq!(mesos.running(0), serving(&daemon));
    let all: usize = mesos.tasks(0).values().map(Vec::len).sum();
    assert_eq!(all, 9, "three of each version, none twice: {:?}", mesos.tasks(0));

    daemon.done(&["app", "delete", "web"]);
    until("nothing runs", || mesos.running(0).is_empty());
    assert_eq!(daemon.interrupt(), Some(0));
}

#[test]
#[ignore = "needs the simulator's binary, Java and ZooKeeper: cargo xtask test mesos"]
fn the_leader_dies_and_tasks_are_found_at_the_next_one() {
    let zookeeper = ZooKeeper::start();
    let mesos = Mesos::start(2, &["--zk", &zookeeper.place, "--masters", "2"]);
    until("one leads", || mesos.leader().is_some());
    let first = mesos.leader().unwrap();
    let second = 1 - first;
    let daemon = Daemon::with(&["--master", &zookeeper.place]);
    until("machines are offered", || machines(&daemon) == 3);
    let file = write_app(&daemon);
    daemon.done(&["app", "deploy", &file]);
    let before = serving(&daemon);
    assert_eq!(mesos.running(first), before);

    // As session 12 shows: the one that stands by sends to the dead one until ZooKeeper gives it up.
    let sends_to_dead = format!("Location: //{}/master/tasks", mesos.masters[first]);
    let standby = raw(&mesos.masters[second], "/tasks").unwrap();
    assert!(standby.starts_with("HTTP/1.1 307 ") && standby.contains(&sends_to_dead), "{standby}");
    let pid = mesos.program.process.id().to_string();
    assert!(Command::new("kill").args(["-USR1", &pid]).status().unwrap().success());
    until("the leader is dead", || get(&mesos.masters[first], "/tasks").0 == 0);
    let standby = raw(&mesos.masters[second], "/tasks").unwrap();
    assert!(standby.starts_with("HTTP/1.1 307 ") && standby.contains(&sends_to_dead), "{standby}");

    until("the other one leads", || mesos.leader() == Some(second));
    until("the scheduler has gone there", || subscriptions(&daemon) >= 2);
    until("its tasks are there", || mesos.running(second) == before);
    let told = daemon.done(&["app", "scale", "web", "4"]);
    assert!(told.contains("4 instances"), "{told}");
    until("a fourth one serves", || serving(&daemon).len() == 4);
    assert!(before.iter().all(|name| serving(&daemon).contains(name)), "the old ones stayed");
    let all: usize = mesos.tasks(second).values().map(Vec::len).sum();
    assert_eq!(all, 4, "nothing was started again: {:?}", mesos.tasks(second));
}
