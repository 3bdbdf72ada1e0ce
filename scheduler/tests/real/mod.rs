//! A real agent of Consul, alone on the loopback, that forgets all when it ends; and questions to its
//! DNS.

use std::collections::BTreeMap;
use std::env;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::daemon::until;

/// Type numbers of DNS (RFC 1035, RFC 2782).
const A: u16 = 1;
const SRV: u16 = 33;

/// An agent that lives as long as this.
pub struct Consul {
    process: Child,
    http: u16,
    dns: u16,
}

fn program() -> Option<PathBuf> {
    if let Some(file) = env::var_os("CONSUL") {
        return Some(file.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join("consul")).find(|file| file.is_file())
}

impl Consul {
    /// None if there is no program.
    pub fn start(first_port: u16) -> Option<Self> {
        let port = |number: u16| (first_port + number).to_string();
        let process = Command::new(program()?)
            .args(["agent", "-dev", "-node", "n1", "-bind", "127.0.0.1", "-client", "127.0.0.1"])
            .args(["-http-port", &port(0), "-dns-port", &port(1), "-server-port", &port(2)])
            .args(["-serf-lan-port", &port(3), "-serf-wan-port", &port(4), "-grpc-port", "-1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let consul = Consul { process, http: first_port, dns: first_port + 1 };
        // The node is found when the leader has it in the catalog.
        until("Consul leads", || {
            let nodes = consul.get("/v1/catalog/nodes").unwrap_or_default();
            nodes.contains("\"n1\"")
        });
        Some(consul)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut response = ureq::get(format!("{}{path}", self.url())).call().ok()?;
        response.body_mut().read_to_string().ok()
    }

    pub fn services(&self) -> BTreeMap<String, Value> {
        serde_json::from_str(&self.get("/v1/agent/services").unwrap()).unwrap()
    }

    /// Port and weight of each instance, as `APP.service.consul` says them.
    pub fn srv(&self, app: &str) -> Vec<(u16, u16)> {
        let word = |data: &[u8], at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
        let answers = self.ask(app, SRV);
        answers.iter().map(|data| (word(data, 4), word(data, 2))).collect()
    }

    /// Its addresses.
    pub fn addresses(&self, app: &str) -> Vec<String> {
        let words = |data: &Vec<u8>| data.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        self.ask(app, A).iter().map(words).collect()
    }

    /// The data of the answers of a kind.
    fn ask(&self, app: &str, kind: u16) -> Vec<Vec<u8>> {
        let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in [app, "service", "consul"] {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend_from_slice(label.as_bytes());
        }
        question.push(0);
        question.extend_from_slice(&kind.to_be_bytes());
        question.extend_from_slice(&1u16.to_be_bytes());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.send_to(&question, ("127.0.0.1", self.dns)).unwrap();
        let mut answer = [0; 4096];
        let length = socket.recv(&mut answer).unwrap();
        let answer = &answer[..length];
        let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
        let mut at = question.len();
        let mut found = Vec::new();
        for _ in 0..word(6) {
            at = after_name(answer, at);
            let (this, size) = (word(at), usize::from(word(at + 8)));
            at += 10;
            if this == kind {
                found.push(answer[at..at + size].to_vec());
            }
            at += size;
        }
        found
    }
}

/// Where a name ends: at a zero, or behind a pointer.
fn after_name(answer: &[u8], mut at: usize) -> usize {
    loop {
        match answer[at] {
            0 => return at + 1,
            length if length >= 0xc0 => return at + 2,
            length => at += usize::from(length) + 1,
        }
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
