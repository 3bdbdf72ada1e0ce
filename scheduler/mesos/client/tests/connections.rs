//! The connections against masters that misbehave: a listener of this test plays them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use mesos::scheduler::{Call, CallType, Event, Offers, Subscribed};
use mesos::{AgentId, Encoding, FrameworkId, Milli, Offer, OfferId, Resource};
use scheduler_core::event::{Event as Fact, MachineFact};
use scheduler_mesos::{Fatal, Framework, Held, Settings};
use scheduler_mesos_client::{Client, Credential, FileIdentity, Options, Told};

/// A master of the test.
struct Master(TcpListener);

impl Master {
    fn new() -> Self {
        Master(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// The next connection and what is asked on it.
    fn request(&self) -> (TcpStream, String, Call) {
        let (mut socket, _) = self.0.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (head, call) = read(&mut socket);
        (socket, head, call)
    }

    /// Takes a subscription: the stream and the connection for calls.
    fn subscribe(&self, heartbeat_seconds: f64) -> (TcpStream, TcpStream, Call) {
        let (mut stream, _, call) = self.request();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: id-1\r\n\
                    Content-Type: application/json\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let (calls, _) = self.0.accept().unwrap();
        calls.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let framework_id = FrameworkId::new("F");
        let heartbeat_interval_seconds = Some(heartbeat_seconds);
        let subscribed = Subscribed { framework_id, heartbeat_interval_seconds, master_info: None };
        send(&mut stream, &Event::subscribed(subscribed));
        (stream, calls, call)
    }
}

fn read(socket: &mut TcpStream) -> (String, Call) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let (_, length) = head.split_once("Content-Length: ").unwrap();
    let mut body = vec![0; length.split('\r').next().unwrap().parse().unwrap()];
    socket.read_exact(&mut body).unwrap();
    (head, Encoding::Json.decode(&body).unwrap())
}

/// In pieces of a byte: whatever a network makes of it. The record's last byte comes with the
/// chunk's end: a client that the event ends closes as soon as it has read that byte, and what is
/// written after it would find nobody.
fn send(socket: &mut TcpStream, event: &Event) {
    let record = mesos::recordio::frame(&Encoding::Json.encode(event));
    let (last, before) = record.split_last().unwrap();
    let chunk = format!("{:x}\r\n", record.len());
    for byte in [chunk.as_bytes(), before].concat() {
        socket.write_all(&[byte]).unwrap();
    }
    socket.write_all(&[*last, b'\r', b'\n']).unwrap();
}

fn settings() -> Settings {
    Settings {
        framework: Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "r".to_owned(),
            principal: Some("p".to_owned()),
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        },
        timezone: None,
        declares_limits: false,
    }
}

fn client(masters: &str, folder: &tempfile::TempDir) -> (Client, Receiver<Told>) {
    let (told, tells) = channel();
    let options = Options {
        address: masters.parse().unwrap(),
        settings: settings(),
        credential: Some(Credential { principal: "p".to_owned(), secret: "s".to_owned() }),
        encoding: Encoding::Json,
    };
    let identity = Box::new(FileIdentity(folder.path().join("framework")));
    let client = Client::start(options, Held::default(), identity, move |one| {
        let _ = told.send(one);
    });
    (client.unwrap(), tells)
}

fn until<T>(tells: &Receiver<Told>, mut wanted: impl FnMut(Told) -> Option<T>) -> T {
    loop {
        let told = tells.recv_timeout(Duration::from_secs(30)).expect("nothing more is told");
        if let Some(found) = wanted(told) {
            return found;
        }
    }
}

fn offer() -> Event {
    let offer = Offer {
        id: OfferId::new("O1"),
        framework_id: FrameworkId::new("F"),
        agent_id: AgentId::new("S1"),
        hostname: "m1".to_owned(),
        resources: vec![Resource::scalar("cpus", Milli(1000))],
        ..Offer::default()
    };
    Event::offers(Offers { offers: vec![offer] })
}

/// Redirects are followed, a master that starts is asked again, the id is kept before the first call
/// and named by the next subscription, calls are in order on one connection with the stream's id.
#[test]
fn a_subscription_and_the_next_one() {
    let (first, leader) = (Master::new(), Master::new());
    let folder = tempfile::tempdir().unwrap();
    let (client, tells) = client(&first.address(), &folder);

    let (mut socket, head, call) = first.request();
    assert!(head.starts_with("POST /api/v1/scheduler HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Authorization: Basic cDpz\r\n"), "{head}");
    assert_eq!(call.framework_id, None);
    socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    let (mut socket, _, _) = first.request();
    let place = format!("//{}/master/api/v1/scheduler", leader.address());
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
    );
    socket.write_all(answer.as_bytes()).unwrap();

    let (mut stream, mut calls, call) = leader.subscribe(15.0);
    assert_eq!(call.r#type(), CallType::Subscribe);
    send(&mut stream, &offer());
    until(&tells, |told| match told {
        Told::Event(Fact::Machine { fact: MachineFact::Up(up), .. }) => {
            assert_eq!(up.millicores, 1000);
            Some(())
        }
        _ => None,
    });
    let kept = std::fs::read_to_string(folder.path().join("framework")).unwrap();
    assert_eq!(kept, "F\n");
    for number in 1..4 {
        let machine = "m1".parse().unwrap();
        let instance = format!("a.{number}").parse().unwrap();
        client.commands(vec![scheduler_core::Command::Ask(vec![(instance, machine)])]);
    }
    let mut asked = Vec::new();
    while asked.len() < 3 {
        let (head, call) = read(&mut calls);
        assert!(head.starts_with("POST /master/api/v1/scheduler "), "{head}");
        assert!(head.contains("Mesos-Stream-Id: id-1\r\n"), "{head}");
        assert_eq!(call.framework_id, Some(FrameworkId::new("F")));
        let tasks = call.reconcile.unwrap().tasks;
        asked.extend(tasks.into_iter().map(|task| task.task_id.value));
        asked.sort_unstable();
        asked.dedup();
        calls.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
    }
    assert_eq!(asked, ["a.1", "a.2", "a.3"]);

    // A call that is refused ends both connections.
    client.commands(vec![scheduler_core::Command::Ask(vec![(
        "a.4".parse().unwrap(),
        "m1".parse().unwrap(),
    )])]);
    let _ = read(&mut calls);
    calls.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.read_to_end(&mut rest).unwrap();
    let again = thread::spawn(move || first.request().2);
    assert_eq!(again.join().unwrap().framework_id, Some(FrameworkId::new("F")));
}

/// A stream without heartbeats is given up.
#[test]
fn a_silent_master_is_left() {
    let master = Master::new();
    let folder = tempfile::tempdir().unwrap();
    let (_client, _tells) = client(&master.address(), &folder);
    let (_stream, _calls, _) = master.subscribe(0.05);
    let (_again, _, call) = master.subscribe(15.0);
    assert_eq!(call.framework_id, Some(FrameworkId::new("F")), "the id stays");
}

/// What a user has to do something about ends the client with the reason.
#[test]
fn fatal_ends() {
    let master = Master::new();
    let folder = tempfile::tempdir().unwrap();
    let (_client, tells) = client(&master.address(), &folder);
    let (mut socket, _, _) = master.request();
    socket.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").unwrap();
    let fatal = |told| match told {
        Told::Fatal(fatal) => Some(fatal),
        _ => None,
    };
    assert!(matches!(until(&tells, fatal), Fatal::Refused(_)));

    let (_client, tells) = client(&master.address(), &folder);
    let (mut stream, _calls, _) = master.subscribe(15.0);
    let message = "Framework failed over".to_owned();
    send(&mut stream, &Event::error(mesos::scheduler::Error { message }));
    assert_eq!(until(&tells, fatal), Fatal::FailedOver("F".to_owned()));
}
