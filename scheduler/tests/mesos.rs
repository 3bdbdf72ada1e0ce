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
                // One that came while it starts may never be answered.
                let is_bounded = stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok();
                let mut answer = String::new();
                is_bounded
                    && stream.write_all(b"srvr").is_ok()
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
    let mut daemon = Daemon::with(&["--master", &mesos.masters[0], "--offer-constraints"]);
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

/// An agent that runs tasks, with a master; both end with this, and so do the tasks.
struct Real {
    _master: Program,
    agent: Option<Program>,
    work: TempDir,
    master_port: u16,
    agent_port: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn simulator() -> Command {
    let simulator = Path::new(env!("CARGO_BIN_EXE_scheduler")).with_file_name("simulator");
    assert!(simulator.exists(), "`cargo build -p simulator --bins` first; {simulator:?}");
    let mut command = Command::new(simulator);
    command.arg("mesos");
    command
}

impl Real {
    fn start() -> Self {
        let (master_port, agent_port) = (free_port(), free_port());
        let mut command = simulator();
        command.args(["master", &format!("--port={master_port}"), "--allocation_interval=50ms"]);
        let master = Program::start(command);
        let work = tempfile::tempdir().unwrap();
        let mut real = Real { _master: master, agent: None, work, master_port, agent_port };
        real.run_agent();
        real
    }

    fn run_agent(&mut self) {
        let mut command = simulator();
        command.args([
            "agent",
            &format!("--master=127.0.0.1:{}", self.master_port),
            &format!("--port={}", self.agent_port),
            &format!("--work_dir={}", self.work.path().display()),
            "--ip=127.0.0.1",
            "--hostname=127.0.0.1",
            "--resources=cpus:4;mem:1024;disk:1000;ports:[26000-26009]",
            "--no-systemd_enable_support",
        ]);
        self.agent = Some(Program::start(command));
    }

    fn master(&self) -> String {
        format!("127.0.0.1:{}", self.master_port)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.agent = None;
        for pid in daemon::marked(self.work.path()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

#[test]
#[ignore = "needs the simulator's binary: cargo xtask test mesos"]
fn output_of_instances_is_read_from_their_agent() {
    let mut real = Real::start();
    let daemon = Daemon::with(&["--master", &real.master()]);
    until("a machine is offered", || machines(&daemon) == 1);
    let text = "app: web\nversion: \"1\"\ninstances: 1\nneeds: {cores: 0.1}\nkill_grace: 1s\n\
                shell: for n in 1 2 3; do echo line $n; done; echo bad >&2; exec sleep 3600\n";
    fs::write(daemon.path("app.yml"), text).unwrap();
    daemon.done(&["app", "deploy", "app.yml"]);
    let name = serving(&daemon).remove(0);
    let logs = |more: &[&str]| daemon.done(&[&["instance", "logs", name.as_str()], more].concat());
    until("it has written", || logs(&[]) == "line 1\nline 2\nline 3\n");
    assert_eq!(logs(&["--tail", "2"]), "line 2\nline 3\n");
    assert_eq!(logs(&["--stderr"]), "bad\n");

    // Whoever follows it sees its end, and what it wrote is there after it.
    let follower = Command::new(env!("CARGO_BIN_EXE_scheduler"))
        .args(["instance", "logs", &name, "-f"])
        .env("SCHEDULER_DATA", daemon.data())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    daemon.done(&["instance", "kill", &name]);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "line 1\nline 2\nline 3\n");
    until("it is gone", || serving(&daemon).first().is_some_and(|other| *other != name));
    assert_eq!(logs(&["--tail", "1"]), "line 3\n");

    // Without its agent, that is said.
    real.agent = None;
    let answer = daemon.client(&["instance", "logs", &name]);
    let told = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(6), "{told}");
    assert!(told.contains("the agent at 127.0.0.1:") && told.contains("doesn't answer"), "{told}");
    real.run_agent();
    until("the agent is back", || {
        daemon.client(&["instance", "logs", &name]).stdout == b"line 1\nline 2\nline 3\n"
    });
    daemon.done(&["app", "delete", "web"]);
}

#[test]
#[ignore = "needs the simulator's binary: cargo xtask test mesos"]
fn volumes_on_a_real_agent_outlive_instances_and_the_agent() {
    let mut real = Real::start();
    let daemon = Daemon::with(&["--master", &real.master()]);
    until("a machine is offered", || machines(&daemon) == 1);
    let (_, info) = daemon.get("/v2/info");
    let info: Value = serde_json::from_str(&info).unwrap();
    let (_, state) = get(&real.master(), "/state");
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(info["frameworkId"], state["frameworks"][0]["id"], "{info}");

    let app = |version: &str| {
        let text = format!(
            "app: web\nversion: \"{version}\"\ninstances: 1\n\
             needs: {{cores: 0.1, ports: 1}}\nkill_grace: 1s\nwarm_up: 0s\ncool_down: 0s\n\
             shell: 'echo $CORRAL_VERSION >> var/lib/app/log; cat $CORRAL_VOLUME_DATA/log; \
             exec sleep 3600'\nvolumes: [{{name: data, path: /var/lib/app, size_mb: 100}}]\n"
        );
        fs::write(daemon.path("app.yml"), text).unwrap();
        daemon.done(&["app", "deploy", "app.yml"]);
    };
    let log = || {
        let name = serving(&daemon).first().cloned().unwrap_or_default();
        String::from_utf8(daemon.client(&["instance", "logs", &name]).stdout).unwrap()
    };
    let volumes = || daemon.json("/v1/volumes").as_array().unwrap().clone();
    app("1");
    until("the first one has written", || log() == "1\n");
    let first = volumes()[0]["volume"].as_str().unwrap().to_owned();
    let ports = volumes()[0]["reserved_ports"].clone();
    assert_eq!(ports.as_array().map(Vec::len), Some(1), "{ports}");
    real.agent = None;
    real.run_agent();
    app("2");
    until("the second one has what the first wrote", || log() == "1\n2\n");
    assert_eq!((volumes().len(), volumes()[0]["volume"].as_str()), (1, Some(first.as_str())));
    assert_eq!(volumes()[0]["reserved_ports"], ports);
    let (_, agents) = get(&real.master(), "/slaves");
    let agents: Value = serde_json::from_str(&agents).unwrap();
    let told = &agents["slaves"][0]["reserved_resources_full"];
    let port = ports[0].as_u64().unwrap();
    let has_port = |roles: &Value| roles.to_string().contains(&format!("\"begin\":{port}"));
    assert!(has_port(told), "{told}");

    daemon.done(&["app", "delete", "web", "--keep-volumes"]);
    until("it is kept", || volumes()[0]["state"] == "kept");
    app("3");
    until("the app of its name has it again", || log() == "1\n2\n3\n");
    daemon.done(&["app", "delete", "web"]);
    until("it is destroyed", || volumes().is_empty());
    let told = daemon.done(&["events"]);
    let of_volume = told.lines().filter(|line| line.contains("  volume ")).collect::<Vec<_>>();
    let states = ["used", "kept", "ending", "gone"];
    assert!(states.iter().all(|one| of_volume.iter().any(|line| line.contains(one))), "{told}");
}

/// A call of an operator, as session 10 has them; its answer.
fn operate(place: &str, call: &Value) -> (u16, String) {
    let (body, mut text) = (call.to_string(), String::new());
    let mut stream = TcpStream::connect(place).unwrap();
    let head = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream.read_to_string(&mut text).unwrap();
    let status = text[9..12].parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Id, host and address of the agent of a machine.
fn agent_of(place: &str, machine: &str) -> (String, String, String) {
    let (status, body) = get(place, "/slaves");
    assert_eq!(status, 200, "{body}");
    let page: Value = serde_json::from_str(&body).unwrap();
    let agents = page["slaves"].as_array().unwrap();
    let is_it = |one: &&Value| {
        let host = one["hostname"].as_str().unwrap();
        machine == host || machine == format!("{host}:{}", one["port"])
    };
    let agent = agents.iter().find(is_it).unwrap_or_else(|| panic!("{machine}: {body}"));
    let text = |name: &str| agent[name].as_str().unwrap().to_owned();
    let pid = text("pid");
    let address = pid.split('@').nth(1).unwrap().rsplit_once(':').unwrap().0.to_owned();
    (text("id"), text("hostname"), address)
}

/// Instances that aren't gone, by their machines.
fn on_machine(daemon: &Daemon, machine: &str) -> usize {
    let instances = daemon.json("/v1/instances?app=web");
    instances.as_array().unwrap().iter().filter(|one| one["machine"] == machine).count()
}

#[test]
#[ignore = "needs the simulator's binary: cargo xtask test mesos"]
fn an_agent_that_is_to_be_drained_is_left_first() {
    let mesos = Mesos::start(1, &[]);
    let place = &mesos.masters[0];
    let daemon = Daemon::with(&["--master", place]);
    until("machines are offered", || machines(&daemon) == 3);
    let file = write_app(&daemon);
    daemon.done(&["app", "deploy", &file]);
    let first = daemon.json("/v1/instances?app=web")[0]["machine"].as_str().unwrap().to_owned();
    let (id, hostname, ip) = agent_of(place, &first);

    // An operator says ahead that the machine will be taken away: its instances move, and there are
    // never fewer than wanted.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let start = u64::try_from((now + Duration::from_secs(300)).as_nanos()).unwrap();
    let machine = serde_json::json!({"hostname": hostname, "ip": ip});
    let schedule = |windows: Value| {
        let schedule = serde_json::json!({"schedule": {"windows": windows}});
        let name = "update_maintenance_schedule";
        operate(place, &serde_json::json!({"type": "UPDATE_MAINTENANCE_SCHEDULE", name: schedule}))
    };
    let unavailability = serde_json::json!({"start": {"nanoseconds": start}});
    let window = serde_json::json!([{"machine_ids": [machine], "unavailability": unavailability}]);
    assert_eq!(schedule(window), (200, String::new()));
    until("the machine is left", || {
        assert!(mesos.running(0).len() >= 3, "{:?}", mesos.tasks(0));
        assert!(serving(&daemon).len() >= 3, "{:?}", serving(&daemon));
        on_machine(&daemon, &first) == 0
    });
    let history = daemon.done(&["app", "history", "web"]);
    assert_eq!(history.matches("its machine is drained").count(), 1, "{history}");

    // The drain finds nothing, so it ends nothing.
    let before = serving(&daemon);
    let drain = serde_json::json!({"agent_id": {"value": id}});
    let call = serde_json::json!({"type": "DRAIN_AGENT", "drain_agent": drain});
    assert_eq!(operate(place, &call), (200, String::new()));
    let agents = || operate(place, &serde_json::json!({"type": "GET_AGENTS"})).1;
    until("the agent is drained", || agents().contains("\"state\":\"DRAINED\""));
    assert_eq!((serving(&daemon), mesos.running(0)), (before.clone(), before));

    // Back again, it takes instances.
    let call = serde_json::json!({"type": "REACTIVATE_AGENT", "reactivate_agent": drain});
    assert_eq!(operate(place, &call), (200, String::new()));
    assert_eq!(schedule(serde_json::json!([])), (200, String::new()));
    until("the machine is offered again", || {
        let rows = daemon.json("/v1/machines");
        let is_up = |one: &Value| one["machine"] == first.as_str() && one["state"] == "up";
        rows.as_array().unwrap().iter().any(is_up)
    });
    let told = daemon.done(&["rebalance", "web"]);
    assert_eq!(told, "web: done: 1 of 1 moved\n");
    until("it has its share", || on_machine(&daemon, &first) == 1);

    // Without a word before, Mesos ends what runs there; it is replaced elsewhere, and the machine
    // isn't used.
    let call = serde_json::json!({"type": "DRAIN_AGENT", "drain_agent": drain});
    assert_eq!(operate(place, &call), (200, String::new()));
    until("all serve elsewhere", || {
        serving(&daemon).len() == 3 && on_machine(&daemon, &first) == 0
    });
    let history = daemon.done(&["app", "history", "web"]);
    assert!(history.contains("it was ended from outside: its agent is being drained"), "{history}");
    daemon.done(&["app", "delete", "web"]);
}
