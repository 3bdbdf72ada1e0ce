//! A simulated Mesos in this process.

#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;

use mesos::{Milli, Resource};
use simulator_mesos::{AgentKey, AgentSpec, Body, Configuration, MILLISECOND, Profile, Run, Span};
use simulator_mesos_server::{Handle, Server};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;

/// A master with agents.
pub struct Cluster {
    address: String,
    pub handle: Handle,
    agents: u32,
    /// Ends with this.
    _runtime: Runtime,
}

impl Cluster {
    /// One whose tasks start within two milliseconds.
    pub fn start(agents: u32) -> Self {
        let (mut cluster, _) = Self::empty();
        let quick = Span::exactly(MILLISECOND);
        let profile =
            Profile { starting: quick, running: quick, ending: quick, ..Profile::default() };
        let body = Body::Simulated(Arc::new(profile));
        cluster.agents = agents;
        for number in 0..agents {
            cluster.add(number, body.clone());
        }
        cluster
    }

    /// One without agents; what those with an outside body are to do comes by the second value.
    pub fn empty() -> (Self, UnboundedReceiver<(AgentKey, Run)>) {
        let runtime = Runtime::new().unwrap();
        let listen = ([127, 0, 0, 1], 0).into();
        let bound = runtime.block_on(Server::bind(listen, Configuration::default()));
        let (server, runs) = bound.unwrap();
        let (address, handle) = (server.address().to_string(), server.handle());
        runtime.spawn(server.run());
        (Cluster { address, handle, agents: 0, _runtime: runtime }, runs)
    }

    /// Adds an agent, and starts it. Its host is an address of the loopback.
    pub fn add(&self, number: u32, body: Body) -> AgentKey {
        let agent = AgentSpec {
            hostname: format!("127.1.{}.{}", number / 250, number % 250 + 1),
            ip: "127.0.0.1".into(),
            port: 5051,
            resources: vec![
                Resource::scalar("cpus", Milli(64_000)),
                Resource::scalar("mem", Milli(256_000_000)),
                Resource::ranges("ports", &mesos::quantity::Intervals::new([(31_000, 31_999)])),
            ],
            attributes: Vec::new(),
            domain: None,
            body,
        };
        self.handle.with(|master| {
            let key = master.add_agent(agent).unwrap();
            master.start_agent(key);
            key
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub const fn agents(&self) -> u32 {
        self.agents
    }
}
