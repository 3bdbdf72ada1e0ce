//! A master and an agent as processes, and a task that outlives both of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mesos::scheduler::Subscribe;
use mesos::scheduler::{
    Accept, Acknowledge, Call, Event, EventType, Kill, Reconcile, ReconcileTask,
};
use mesos::{
    AgentId, CommandInfo, Encoding, Filters, FrameworkCapability, FrameworkCapabilityType,
    FrameworkId, FrameworkInfo, Launch, Milli, Operation, OperationType, Resource, TaskId,
    TaskInfo, TaskState, TaskStatus,
};

/// However busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Program {
    child: Child,
}

impl Program {
    fn start(name: &str, flags: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corral-mesos"));
        command.arg(name).args(flags).stdin(Stdio::null());
        Program { child: command.spawn().unwrap() }
    }

    /// kill -9.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A cluster of one master and one agent.
struct Cluster {
    folder: PathBuf,
    master: u16,
    agent: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    fn master(&self) -> Program {
        let port = format!("--port={}", self.master);
        let flags = [port, "--allocation_interval=50ms".to_owned()];
        Program::start("master", &flags)
    }

    fn agent(&self) -> Program {
        let flags = [
            format!("--master=127.0.0.1:{}", self.master),
            format!("--port={}", self.agent),
            format!("--work_dir={}", self.folder.display()),
            "--ip=127.0.0.1".to_owned(),
            "--hostname=here".to_owned(),
            "--resources=cpus:2;mem:512;ports:[31000-31009]".to_owned(),
            "--no-systemd_enable_support".to_owned(),
        ];
        Program::start("agent", &flags)
    }

    /// A page, once it can be had and is as it should be.
    fn page(&self, port: u16, path: &str, fits: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let page = get(port, path).unwrap_or_default();
            if fits(&page) {
                return page;
            }
            assert!(begun.elapsed() < LIMIT, "{path} is {page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn post(port: u16, body: &[u8], stream_id: Option<&str>) -> BufReader<TcpStream> {
    let begun = Instant::now();
    let mut socket = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => break socket,
            Err(error) => assert!(begun.elapsed() < LIMIT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let stream_id = stream_id.map(|id| format!("Mesos-Stream-Id: {id}\r\n")).unwrap_or_default();
    write!(
        socket,
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{stream_id}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    socket.write_all(body).unwrap();
    BufReader::new(socket)
}

fn head(reader: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            return lines;
        }
        lines.push(line.trim().to_owned());
    }
}

struct Scheduler {
    port: u16,
    stream: BufReader<TcpStream>,
    stream_id: String,
    id: FrameworkId,
}

impl Scheduler {
    fn subscribe(port: u16, id: Option<FrameworkId>) -> Self {
        let framework_info = FrameworkInfo {
            id: id.clone(),
            user: "root".into(),
            name: "life".into(),
            roles: vec!["*".into()],
            checkpoint: Some(true),
            failover_timeout: Some(3600.0),
            capabilities: [
                FrameworkCapabilityType::MultiRole,
                FrameworkCapabilityType::PartitionAware,
            ]
            .map(|it| FrameworkCapability { r#type: Some(it.into()) })
            .to_vec(),
            ..FrameworkInfo::default()
        };
        let mut call = Call::subscribe(Subscribe { framework_info, ..Subscribe::default() });
        call.framework_id = id;
        let mut stream = post(port, &Encoding::Json.encode(&call), None);
        let head = head(&mut stream);
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        let stream_id = head.iter().find_map(|line| line.strip_prefix("Mesos-Stream-Id: "));
        let stream_id = stream_id.unwrap().to_owned();
        let mut it = Self { port, stream, stream_id, id: FrameworkId::default() };
        it.id = it.event(EventType::Subscribed).subscribed.unwrap().framework_id;
        it
    }

    fn event(&mut self, wanted: EventType) -> Event {
        loop {
            let mut length = String::new();
            self.stream.read_line(&mut length).unwrap();
            let length = usize::from_str_radix(length.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).unwrap();
            let record = chunk.iter().position(|byte| *byte == b'\n').unwrap();
            let event: Event = Encoding::Json.decode(&chunk[record + 1..length]).unwrap();
            if event.r#type() == wanted {
                return event;
            }
        }
    }

    fn call(&self, call: &Call) {
        let mut answer = post(self.port, &Encoding::Json.encode(call), Some(&self.stream_id));
        assert_eq!(head(&mut answer)[0], "HTTP/1.1 202 Accepted");
    }

    /// The next status; acknowledged, if it is wished.
    fn status(&mut self, acknowledges: bool) -> TaskStatus {
        let status = self.event(EventType::Update).update.unwrap().status;
        let named = (status.uuid.clone(), status.agent_id.clone());
        if let ((Some(uuid), Some(agent_id)), true) = (named, acknowledges) {
            let task_id = status.task_id.clone();
            let acknowledge = Acknowledge { agent_id, task_id, uuid };
            self.call(&Call::acknowledge(self.id.clone(), acknowledge));
        }
        status
    }

    fn wait_for(&mut self, state: TaskState) -> TaskStatus {
        loop {
            let status = self.status(true);
            if status.state() == state {
                return status;
            }
        }
    }

    fn launch(&mut self, name: &str, command: &str) -> AgentId {
        let offer = self.event(EventType::Offers).offers.unwrap().offers.remove(0);
        assert_eq!(offer.hostname, "here");
        let task = TaskInfo {
            name: name.into(),
            task_id: TaskId::new(name),
            agent_id: offer.agent_id.clone(),
            resources: vec![Resource::scalar("cpus", Milli(100))],
            command: Some(CommandInfo { value: Some(command.into()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        };
        let operation = Operation {
            r#type: Some(OperationType::Launch.into()),
            launch: Some(Launch { task_infos: vec![task] }),
            ..Operation::default()
        };
        let accept = Accept {
            offer_ids: vec![offer.id],
            operations: vec![operation],
            filters: Some(Filters { refuse_seconds: Some(0.0) }),
        };
        self.call(&Call::accept(self.id.clone(), accept));
        offer.agent_id
    }

    fn ask(&self, name: &str, agent_id: &AgentId) {
        let task = ReconcileTask { task_id: TaskId::new(name), agent_id: Some(agent_id.clone()) };
        self.call(&Call::reconcile(self.id.clone(), Reconcile { tasks: vec![task] }));
    }

    fn kill(&self, name: &str) {
        let kill = Kill { task_id: TaskId::new(name), agent_id: None, kill_policy: None };
        self.call(&Call::kill(self.id.clone(), kill));
    }
}

fn starts(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[test]
fn a_task_outlives_its_agent_and_its_master() {
    let folder = tempfile::tempdir().unwrap();
    let cluster =
        Cluster { folder: folder.path().join("work"), master: free_port(), agent: free_port() };
    let started = folder.path().join("started");
    let line = format!("echo started >> {}; exec sleep 3600", started.display());
    let (master, agent) = (cluster.master(), cluster.agent());
    let mut scheduler = Scheduler::subscribe(cluster.master, None);
    let agent_id = scheduler.launch("t", &line);
    assert_eq!(scheduler.wait_for(TaskState::Running).agent_id, Some(agent_id.clone()));
    cluster.page(cluster.agent, "/state", |page| page.contains("TASK_RUNNING"));

    agent.kill();
    let agent = cluster.agent();
    let registered = |page: &str| page.contains("\"slave/registered\":1.0");
    cluster.page(cluster.agent, "/metrics/snapshot", registered);
    scheduler.ask("t", &agent_id);
    assert_eq!(scheduler.wait_for(TaskState::Running).agent_id, Some(agent_id.clone()));

    master.kill();
    let master = cluster.master();
    let tasks = |page: &str| page.contains(&format!("\"id\":\"{}\"", agent_id.value));
    cluster.page(cluster.master, "/slaves", tasks);
    let mut scheduler = Scheduler::subscribe(cluster.master, Some(scheduler.id));
    scheduler.ask("t", &agent_id);
    assert_eq!(scheduler.wait_for(TaskState::Running).agent_id, Some(agent_id.clone()));
    assert_eq!(starts(&started), 1);

    // What nobody has acknowledged is said again by an agent that comes back, to a new master, too.
    scheduler.kill("t");
    let first = loop {
        let status = scheduler.status(false);
        if status.state() == TaskState::Killed {
            break status;
        }
    };
    agent.kill();
    master.kill();
    let (_master, _agent) = (cluster.master(), cluster.agent());
    let mut scheduler = Scheduler::subscribe(cluster.master, Some(scheduler.id));
    // The master may have told by itself already what it heard when the agent registered.
    let again = loop {
        let status = scheduler.wait_for(TaskState::Killed);
        if status.uuid.is_some() {
            break status;
        }
    };
    assert_eq!((again.uuid, again.message), (first.uuid, first.message));
    cluster.page(cluster.agent, "/state", |page| page.contains("\"frameworks\":[]"));
    assert_eq!(starts(&started), 1);
}

#[test]
fn an_agent_with_another_description_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let cluster =
        Cluster { folder: folder.path().to_owned(), master: free_port(), agent: free_port() };
    let _master = cluster.master();
    let agent = cluster.agent();
    let registered = |page: &str| page.contains("\"slave/registered\":1.0");
    cluster.page(cluster.agent, "/metrics/snapshot", registered);
    agent.kill();
    let other = Cluster { agent: free_port(), ..cluster };
    let begun = Instant::now();
    let mut agent = other.agent();
    let ended = loop {
        if let Some(status) = agent.child.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < LIMIT, "it runs");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(2));
    fs::remove_file(folder.path().join("meta/slaves/latest")).unwrap();
    let _agent = other.agent();
    other.page(other.agent, "/metrics/snapshot", registered);
}

/// As session 02 shows it of a real agent: the sandbox by the path that `/state` tells, of a task that
/// runs and of one that has ended.
#[test]
fn what_a_task_writes_is_read_as_from_a_real_agent() {
    let folder = tempfile::tempdir().unwrap();
    let cluster =
        Cluster { folder: folder.path().join("work"), master: free_port(), agent: free_port() };
    let (_master, agent) = (cluster.master(), cluster.agent());
    let mut scheduler = Scheduler::subscribe(cluster.master, None);
    let agent_id = scheduler.launch("t", "echo out; echo err >&2; echo x > made; exec sleep 3600");
    scheduler.wait_for(TaskState::Running);
    let state = cluster.page(cluster.agent, "/state", |page| page.contains("TASK_RUNNING"));
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let executor = &state["frameworks"][0]["executors"][0];
    let directory = executor["directory"].as_str().unwrap().to_owned();
    let expected = format!(
        "{}/slaves/{}/frameworks/{}/executors/t/runs/{}",
        cluster.folder.display(),
        agent_id.value,
        scheduler.id.value,
        executor["container"].as_str().unwrap()
    );
    assert_eq!(directory, expected);
    let read = |name: &str, rest: &str| format!("/files/read?path={directory}/{name}{rest}");
    let whole = |page: &str| page == r#"{"data":"out\n","offset":0}"#;
    cluster.page(cluster.agent, &read("stdout", "&offset=0&length=100"), whole);
    let end = |page: &str| page == r#"{"data":"","offset":4}"#;
    cluster.page(cluster.agent, &read("stdout", "&offset=-1"), end);
    let made = |page: &str| page == r#"{"data":"x\n","offset":0}"#;
    cluster.page(cluster.agent, &read("made", "&offset=0"), made);
    let browse = format!("/files/browse?path={directory}");
    let listed = cluster.page(cluster.agent, &browse, |page| page.contains("made"));
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap().strip_prefix(&directory).unwrap())
        .collect();
    assert_eq!(names, ["/made", "/stderr", "/stdout"]);
    for key in ["gid", "mode", "mtime", "nlink", "size", "uid"] {
        assert!(!listed[0][key].is_null(), "{key}");
    }
    assert_eq!(get(cluster.agent, &read("no", "&offset=0")).unwrap(), "");
    assert_eq!(get(cluster.agent, &read("../../task.json", "&offset=0")).unwrap(), "");
    let missing = get(cluster.agent, "/files/read").unwrap();
    assert_eq!(missing, "Expecting 'path=value' in query.\n");
    let download = format!("/files/download?path={directory}/stderr");
    assert_eq!(get(cluster.agent, &download).unwrap(), "err\n");

    // It has ended; the agent that starts anew knows where it was, too.
    scheduler.kill("t");
    scheduler.wait_for(TaskState::Killed);
    let ended = |page: &str| page.contains("\"frameworks\":[]") && page.contains(&directory);
    cluster.page(cluster.agent, "/state", ended);
    agent.kill();
    let _agent = cluster.agent();
    cluster.page(cluster.agent, "/state", ended);
    cluster.page(cluster.agent, &read("stdout", "&offset=0"), whole);
}
