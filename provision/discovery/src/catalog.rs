//! What is asked of Consul, and what came back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use consul::{Check, KvPair, Node, ServiceEntry};
use serde::{Deserialize, Serialize};

use crate::mapping::Connection;

/// Which services are of interest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Services {
    /// These; there may be none.
    Named(BTreeSet<String>),
    /// All that the catalog has.
    All,
}

/// What a mapping needs to know. Nodes and checks are always asked for, with one request each; a
/// service takes one request, however many nodes offer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Services.
    pub services: Services,
    /// All keys below this prefix.
    pub kv_prefix: Option<String>,
}

/// A question to whoever can ask Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// How to reach it.
    pub connection: Connection,
    /// What to ask.
    pub wanted: Wanted,
    /// The folder that paths of the mapping file are relative to.
    pub base: PathBuf,
}

/// What Consul says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// All checks.
    pub checks: Vec<Check>,
    /// Instances of services, by name.
    pub services: BTreeMap<String, Vec<ServiceEntry>>,
    /// Keys with their values.
    pub keys: Vec<KvPair>,
}

/// A catalog and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// What users know the source by: `consul://10.0.0.1:8500`.
    pub origin: String,
    /// What it says.
    pub catalog: Catalog,
    /// What the user should know about it, such as its age.
    pub warnings: Vec<diagnostics::Diagnostic>,
}
