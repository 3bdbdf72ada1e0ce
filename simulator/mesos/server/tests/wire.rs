//! What sockets add: keep-alive, pipelines, chunks, packed bodies, broken connections.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use mesos::recordio::Decoder;
use mesos::scheduler::{
    Accept, Acknowledge, Call, Decline, Event, EventType, Kill, Roles, Subscribe,
};
use mesos::{
    CommandInfo, Encoding, Filters, FrameworkCapability, FrameworkCapabilityType, FrameworkId,
    FrameworkInfo, Launch, Milli, Operation, OperationType, Resource, TaskId, TaskInfo, TaskState,
};
use simulator_mesos::{AgentSpec, Body, Configuration, MILLISECOND, Profile, Span};
use simulator_mesos_server::{Handle, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn quick() -> Body {
    let at_once = Span::exactly(MILLISECOND);
    let profile =
        Profile { starting: at_once, running: at_once, ending: at_once, ..Profile::default() };
    Body::Simulated(Arc::new(profile))
}

fn agent(number: u16) -> AgentSpec {
    AgentSpec {
        hostname: format!("host-{number}"),
        ip: "127.0.0.1".into(),
        port: 5051 + number,
        resources: vec![
            Resource::scalar("cpus", Milli(4000)),
            Resource::scalar("mem", Milli(4_096_000)),
        ],
        attributes: Vec::new(),
        domain: None,
        body: quick(),
    }
}

async fn start(agents: u16) -> (SocketAddr, Handle) {
    let configuration = Configuration::default();
    let (server, _runs) = Server::bind(([127, 0, 0, 1], 0).into(), configuration).await.unwrap();
    let (address, handle) = (server.address(), server.handle());
    for number in 0..agents {
        handle.with(|master| master.add_agent(agent(number)).unwrap());
    }
    tokio::spawn(server.run());
    (address, handle)
}

/// A connection that reads heads and chunks as they come.
struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let count = self.socket.read(&mut piece).await.unwrap();
        self.buffer.extend_from_slice(&piece[..count]);
        count > 0
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            assert!(self.more().await, "the connection ended");
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more().await, "the connection ended");
        }
        self.buffer.drain(..count).collect()
    }

    async fn head(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                return lines;
            }
            lines.push(line);
        }
    }

    /// The next chunk: one record. None at the end of the stream.
    async fn record(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.take(length).await;
        assert_eq!(self.line().await, "");
        if length == 0 {
            return None;
        }
        let mut decoder = Decoder::default();
        decoder.push(&chunk);
        let record = decoder.next_record().unwrap().unwrap().to_vec();
        assert_eq!(decoder.next_record(), Ok(None));
        decoder.finish().unwrap();
        Some(record)
    }

    async fn answer(&mut self) -> (u16, Vec<u8>) {
        let head = self.head().await;
        let length = header(&head, "Content-Length").map_or(0, |text| text.parse().unwrap());
        let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
        (status, self.take(length).await)
    }
}

fn header(head: &[String], name: &str) -> Option<String> {
    let found = head.iter().filter_map(|line| line.split_once(": "));
    found.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

fn post(body: &[u8], encoding: Encoding, headers: &str) -> Vec<u8> {
    let mut request = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: {0}\r\nAccept: {0}\r\n\
         Content-Length: {1}\r\n{headers}\r\n",
        encoding.media_type(),
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A scheduler with its two connections.
struct Scheduler {
    encoding: Encoding,
    stream: Connection,
    calls: Connection,
    id: FrameworkId,
    stream_id: String,
}

impl Scheduler {
    async fn subscribe(address: SocketAddr, encoding: Encoding, info: FrameworkInfo) -> Self {
        let mut stream = Connection::open(address).await;
        let call = Call::subscribe(Subscribe { framework_info: info, ..Subscribe::default() });
        stream.socket.write_all(&post(&encoding.encode(&call), encoding, "")).await.unwrap();
        let head = stream.head().await;
        assert_eq!(head[0], "HTTP/1.1 200 OK");
        assert_eq!(header(&head, "Content-Type").unwrap(), encoding.media_type());
        assert_eq!(header(&head, "Transfer-Encoding").unwrap(), "chunked");
        let stream_id = header(&head, "Mesos-Stream-Id").unwrap();
        let calls = Connection::open(address).await;
        let mut scheduler = Self { encoding, stream, calls, id: FrameworkId::default(), stream_id };
        let subscribed = scheduler.event(EventType::Subscribed).await.subscribed.unwrap();
        scheduler.id = subscribed.framework_id;
        scheduler
    }

    async fn next(&mut self) -> Option<Event> {
        let record = self.stream.record().await?;
        Some(self.encoding.decode(&record).unwrap())
    }

    async fn event(&mut self, wanted: EventType) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.r#type() == wanted {
                return event;
            }
        }
    }

    async fn call(&mut self, call: &Call) {
        let headers = format!("Mesos-Stream-Id: {}\r\n", self.stream_id);
        let request = post(&self.encoding.encode(call), self.encoding, &headers);
        self.calls.socket.write_all(&request).await.unwrap();
        assert_eq!(self.calls.answer().await, (202, Vec::new()));
    }

    /// The next status, acknowledged if it asks for that.
    async fn status(&mut self) -> mesos::TaskStatus {
        let status = self.event(EventType::Update).await.update.unwrap().status;
        if let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) {
            let task_id = status.task_id.clone();
            let acknowledge = Acknowledge { agent_id, task_id, uuid };
            self.call(&Call::acknowledge(self.id.clone(), acknowledge)).await;
        }
        status
    }
}

fn info(name: &str) -> FrameworkInfo {
    FrameworkInfo {
        user: "root".into(),
        name: name.into(),
        roles: vec!["*".into()],
        capabilities: vec![FrameworkCapability {
            r#type: Some(FrameworkCapabilityType::MultiRole.into()),
        }],
        failover_timeout: Some(60.0),
        ..FrameworkInfo::default()
    }
}

async fn life(encoding: Encoding) {
    let (address, _handle) = start(1).await;
    let mut scheduler = Scheduler::subscribe(address, encoding, info("life")).await;
    let offers = scheduler.event(EventType::Offers).await.offers.unwrap();
    let offer = offers.offers[0].clone();
    let task = TaskInfo {
        name: "t".into(),
        task_id: TaskId::new("t"),
        agent_id: offer.agent_id.clone(),
        resources: vec![Resource::scalar("cpus", Milli(100))],
        command: Some(CommandInfo { value: Some("serve".into()), ..CommandInfo::default() }),
        ..TaskInfo::default()
    };
    let operation = Operation {
        r#type: Some(OperationType::Launch.into()),
        launch: Some(Launch { task_infos: vec![task] }),
        ..Operation::default()
    };
    let accept = Accept {
        offer_ids: vec![offer.id.clone()],
        operations: vec![operation],
        filters: Some(Filters { refuse_seconds: Some(0.0) }),
    };
    scheduler.call(&Call::accept(scheduler.id.clone(), accept)).await;
    assert_eq!(scheduler.status().await.state(), TaskState::Starting);
    assert_eq!(scheduler.status().await.state(), TaskState::Running);
    let kill =
        Kill { task_id: TaskId::new("t"), agent_id: Some(offer.agent_id), kill_policy: None };
    scheduler.call(&Call::kill(scheduler.id.clone(), kill)).await;
    assert_eq!(scheduler.status().await.state(), TaskState::Killed);
    let id = scheduler.id.clone();
    scheduler.call(&Call::teardown(id)).await;
    while scheduler.next().await.is_some() {}
}

#[tokio::test]
async fn a_tasks_life_in_json() {
    life(Encoding::Json).await;
}

#[tokio::test]
async fn a_tasks_life_in_protobuf() {
    life(Encoding::Protobuf).await;
}

#[tokio::test]
async fn pipelined_chunked_and_packed_calls() {
    let (address, _handle) = start(0).await;
    let mut scheduler = Scheduler::subscribe(address, Encoding::Json, info("wire")).await;
    let call = Call::revive(scheduler.id.clone(), Roles::default());
    let body = Encoding::Json.encode(&call);
    let id = format!("Mesos-Stream-Id: {}\r\n", scheduler.stream_id);
    let one = post(&body, Encoding::Json, &id);
    scheduler.calls.socket.write_all(&[one.as_slice(); 3].concat()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(scheduler.calls.answer().await, (202, Vec::new()));
    }
    let head = format!(
        "POST /master/api/v1/scheduler HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{id}"
    );
    let (left, right) = body.split_at(5);
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n").into_bytes();
    chunked.extend_from_slice(left);
    chunked.extend_from_slice(format!("\r\n{:x}\r\n", right.len()).as_bytes());
    chunked.extend_from_slice(right);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    scheduler.calls.socket.write_all(&chunked).await.unwrap();
    assert_eq!(scheduler.calls.answer().await, (202, Vec::new()));
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&body).unwrap();
    let packed = packer.finish().unwrap();
    let lines = format!("{head}Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    scheduler.calls.socket.write_all(&[lines.into_bytes(), packed].concat()).await.unwrap();
    assert_eq!(scheduler.calls.answer().await, (202, Vec::new()));
    let broken = format!("{head}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
    scheduler.calls.socket.write_all(broken.as_bytes()).await.unwrap();
    assert_eq!(scheduler.calls.answer().await.0, 400);
}

#[tokio::test]
async fn a_broken_connection_is_noticed_and_its_offers_go_to_the_next() {
    let (address, handle) = start(2).await;
    let mut first = Scheduler::subscribe(address, Encoding::Json, info("first")).await;
    assert_eq!(first.event(EventType::Offers).await.offers.unwrap().offers.len(), 2);
    drop(first);
    let mut second = Scheduler::subscribe(address, Encoding::Protobuf, info("second")).await;
    let offers = second.event(EventType::Offers).await.offers.unwrap();
    assert_eq!(offers.offers.len(), 2);
    let offer_ids = offers.offers.iter().map(|offer| offer.id.clone()).collect();
    let decline = Decline { offer_ids, filters: Some(Filters { refuse_seconds: Some(3600.0) }) };
    second.call(&Call::decline(second.id.clone(), decline)).await;
    // A new agent is offered at once.
    handle.with(|master| master.add_agent(agent(7)).unwrap());
    let offers = second.event(EventType::Offers).await.offers.unwrap();
    assert_eq!(offers.offers[0].hostname, "host-7");
}
