//! `simulator mesos` as a program: what it says, how it ends, and tasks that really run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesos::recordio::Decoder;
use mesos::scheduler::{Accept, Acknowledge, Call, Event, EventType, Kill, Subscribe};
use mesos::{
    CommandInfo, Encoding, FrameworkId, FrameworkInfo, Launch, Milli, Offer, Operation,
    OperationType, Resource, TaskId, TaskInfo, TaskState, TaskStatus,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longest wait for anything, in seconds: only a defect takes as long.
const LIMIT_SECONDS: u64 = 30;

/// A running program; it is ended with the test.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .args(["mesos", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (said, address) = line.trim().split_once(" listens on http://").unwrap();
        assert!(said.starts_with("a simulated Mesos with "), "{said}");
        Self { child, address: address.to_owned() }
    }

    fn interrupt(mut self) -> i32 {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A scheduler that waits for what it wants.
struct Scheduler {
    address: String,
    stream: BufReader<TcpStream>,
    stream_id: String,
    decoder: Decoder,
    id: FrameworkId,
}

impl Scheduler {
    fn subscribe(address: &str) -> Self {
        let info =
            FrameworkInfo { user: "me".into(), name: "test".into(), ..FrameworkInfo::default() };
        let call = Call::subscribe(Subscribe { framework_info: info, ..Subscribe::default() });
        let (stream, head) = post(address, &call, "");
        let found = head.iter().find_map(|line| line.strip_prefix("Mesos-Stream-Id: "));
        let stream_id = found.unwrap().to_owned();
        let (address, decoder) = (address.to_owned(), Decoder::default());
        let mut scheduler =
            Self { address, stream, stream_id, decoder, id: FrameworkId::default() };
        scheduler.id = scheduler.wait(EventType::Subscribed).subscribed.unwrap().framework_id;
        scheduler
    }

    fn wait(&mut self, wanted: EventType) -> Event {
        loop {
            while let Some(record) = self.decoder.next_record().unwrap() {
                let event: Event = Encoding::Protobuf.decode(record).unwrap();
                if event.r#type() == wanted {
                    return event;
                }
            }
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).unwrap();
            self.decoder.push(&chunk[..length]);
        }
    }

    fn call(&self, call: &Call) {
        let header = format!("Mesos-Stream-Id: {}\r\nConnection: close\r\n", self.stream_id);
        let (_, head) = post(&self.address, call, &header);
        assert_eq!(head[0], "HTTP/1.1 202 Accepted");
    }

    fn launch(&self, offer: &Offer, tasks: &[(&str, &str)]) {
        let task = |(name, script): &(&str, &str)| TaskInfo {
            name: (*name).into(),
            task_id: TaskId::new(*name),
            agent_id: offer.agent_id.clone(),
            resources: vec![Resource::scalar("cpus", Milli(100))],
            command: Some(CommandInfo { value: Some((*script).into()), ..CommandInfo::default() }),
            ..TaskInfo::default()
        };
        let operation = Operation {
            r#type: Some(OperationType::Launch.into()),
            launch: Some(Launch { task_infos: tasks.iter().map(task).collect() }),
            ..Operation::default()
        };
        let accept = Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            filters: None,
        };
        self.call(&Call::accept(self.id.clone(), accept));
    }

    fn status(&mut self) -> TaskStatus {
        let status = self.wait(EventType::Update).update.unwrap().status;
        let acknowledge = Acknowledge {
            agent_id: status.agent_id.clone().unwrap(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.call(&Call::acknowledge(self.id.clone(), acknowledge));
        status
    }
}

fn post(address: &str, call: &Call, headers: &str) -> (BufReader<TcpStream>, Vec<String>) {
    let body = Encoding::Protobuf.encode(call);
    let media = Encoding::Protobuf.media_type();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: {media}\r\nAccept: {media}\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(LIMIT_SECONDS))).unwrap();
    socket.write_all(&[head.into_bytes(), body].concat()).unwrap();
    let mut reader = BufReader::new(socket);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            return (reader, lines);
        }
        lines.push(line.trim_end().to_owned());
    }
}

#[test]
fn simulated_agents_and_an_end_by_ctrl_c() {
    let program = Program::start(&["--agents", "250"]);
    let mut scheduler = Scheduler::subscribe(&program.address);
    let offers = scheduler.wait(EventType::Offers).offers.unwrap().offers;
    assert_eq!(offers.len(), 250);
    assert_eq!(program.interrupt(), 0);
}

#[test]
fn tasks_that_really_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let program = Program::start(&["--agents", "1", "--real", path]);
    let mut scheduler = Scheduler::subscribe(&program.address);
    let offer = scheduler.wait(EventType::Offers).offers.unwrap().offers.remove(0);
    let mark = Path::new(path).join("mark");
    let script = format!("echo here > {}; exec sleep 100", mark.display());
    scheduler.launch(&offer, &[("long", &script), ("short", "exit 3")]);
    let mut seen: Vec<(String, TaskState)> = Vec::new();
    let mut killed = false;
    while seen.iter().filter(|(_, state)| state.is_terminal()).count() < 2 {
        let status = scheduler.status();
        seen.push((status.task_id.value.clone(), status.state()));
        if status.task_id.value == "short" && status.state().is_terminal() {
            assert_eq!(status.message(), "Command exited with status 3");
        }
        let runs = seen.contains(&("long".to_owned(), TaskState::Running));
        if runs && !killed {
            // It has started; its first word comes soon.
            while !mark.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let kill = Kill { task_id: TaskId::new("long"), ..Kill::default() };
            scheduler.call(&Call::kill(scheduler.id.clone(), kill));
            killed = true;
        }
    }
    let of = |task: &str| -> Vec<TaskState> {
        seen.iter().filter(|(name, _)| name == task).map(|(_, state)| *state).collect()
    };
    assert_eq!(of("long"), [TaskState::Starting, TaskState::Running, TaskState::Killed]);
    assert_eq!(of("short"), [TaskState::Starting, TaskState::Running, TaskState::Failed]);
}
