//! What the API says of Consul.

use serde::{Deserialize, Serialize};

/// Instances in Consul.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsulState {
    /// Whether instances are registered at all.
    pub is_used: bool,
    /// Instances that should be registered.
    pub wanted: u32,
    /// Those that aren't, or not with their weight; at most 1,000 are told.
    pub missing: Vec<MissingRow>,
    /// Agents that don't answer as they should.
    pub agents: Vec<AgentRow>,
}

/// An instance that should be registered and isn't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingRow {
    /// Its name.
    pub instance: String,
    /// At which agent.
    pub agent: String,
    /// Why not.
    pub why: String,
    /// Since when.
    pub since: String,
}

/// An agent that doesn't answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its address.
    pub agent: String,
    /// What is wrong.
    pub why: String,
}
