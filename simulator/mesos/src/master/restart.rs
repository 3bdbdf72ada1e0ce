//! Another master takes over: it knows what stands in the registry, and nothing else.

use std::net::IpAddr;

use super::{Due, Master, Output, StreamKey};
use crate::agent::{AgentKey, Standing};
use crate::allocation::Accounts;
use crate::framework;
use crate::{Bundle, Nanoseconds};

/// What the registry remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Nothing (`--registry=in_memory`).
    Forgetful,
    /// The agents (`--registry=replicated_log`).
    Registry,
}

/// Who a master is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id: that of frameworks, agents and offers begin with it.
    pub id: String,
    /// Where it listens.
    pub address: IpAddr,
    /// Where it listens.
    pub port: u16,
    /// Its name.
    pub hostname: String,
    /// When it started.
    pub started: Nanoseconds,
}

impl Master {
    /// Who it is.
    pub fn identity(&self) -> Identity {
        Identity {
            id: self.id.clone(),
            address: self.configuration.address,
            port: self.configuration.port,
            hostname: self.configuration.hostname.clone(),
            started: self.started,
        }
    }

    /// The master ends, and another one at the same place leads at once; agents come back one by one
    /// within a time. Streams end, and frameworks have to subscribe again.
    pub fn restart(&mut self, restart: Restart, agents_within: Nanoseconds) {
        let id = self.random.uuid_text();
        let successor = Identity { id, started: self.now, ..self.identity() };
        self.take_over(successor, restart, agents_within);
    }

    /// The master has ended, and this other one is elected; otherwise as [`Master::restart`].
    pub fn take_over(&mut self, successor: Identity, restart: Restart, agents_within: Nanoseconds) {
        let streams: Vec<StreamKey> =
            self.streams.keys().chain(self.operators.keys()).copied().collect();
        self.outputs.extend(streams.into_iter().map(Output::Close));
        self.streams.clear();
        self.operators.clear();
        self.id = successor.id;
        self.configuration.address = successor.address;
        self.configuration.port = successor.port;
        self.configuration.hostname = successor.hostname;
        self.started = successor.started;
        self.elected = self.now;
        (self.next_framework, self.next_agent, self.next_offer) = (0, 0, 0);
        self.offers.clear();
        self.inverse_offers.clear();
        self.inverse_refusals.clear();
        self.inverse_answers.clear();
        self.accounts = Accounts::default();
        for framework in &mut self.frameworks {
            framework.standing = framework::Standing::Forgotten;
            framework.stream = None;
            framework.tasks.clear();
            framework.unreachable.clear();
            framework.completed.clear();
            framework.offers.clear();
            framework.refusals.clear();
            framework.generation = framework.generation.wrapping_add(1);
        }
        if restart == Restart::Forgetful {
            self.schedule = mesos::Schedule::default();
            self.machines.clear();
        }
        let late = self.configuration.agent_reregister_timeout;
        for key in self.all_agents() {
            let back = self.random.between(0, agents_within);
            let Some(agent) = self.agent_mut(key) else { continue };
            agent.is_connected = false;
            agent.used = Bundle::default();
            agent.offered = Bundle::default();
            agent.offers.clear();
            agent.generation = agent.generation.wrapping_add(1);
            let generation = agent.generation;
            agent.standing = match (restart, agent.standing) {
                (Restart::Registry, Standing::Registered | Standing::Recovered) => {
                    Standing::Recovered
                }
                (Restart::Registry, other) => other,
                (Restart::Forgetful, Standing::Gone) => Standing::Gone,
                (Restart::Forgetful, _) => Standing::Absent,
            };
            if agent.is_running {
                self.after(back, Due::Recovered(key, generation));
            }
            if restart == Restart::Registry {
                self.after(late, Due::Recovered(key, generation));
            }
        }
    }

    /// An agent finds the new master, or is too late.
    pub(super) fn recovered_agent_is_late(&mut self, key: AgentKey, generation: u32) {
        let Some(agent) = self.agent(key).filter(|it| it.generation == generation) else { return };
        let can_come = agent.is_running && !agent.is_cut_off && !agent.is_connected;
        match agent.standing {
            Standing::Recovered | Standing::Absent if can_come => self.register(key),
            Standing::Recovered => {
                let now = self.now;
                if let Some(agent) = self.agent_mut(key) {
                    agent.standing = Standing::Unreachable(now);
                }
            }
            _ => {}
        }
    }
}
