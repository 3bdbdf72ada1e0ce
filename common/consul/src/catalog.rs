//! What Consul's catalog, health and KV answers hold, as far as we use it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

/// A node of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its name.
    #[serde(rename = "Node")]
    pub name: String,
    /// Its address among the members.
    pub address: String,
    /// Its datacenter.
    #[serde(default)]
    pub datacenter: String,
    /// Further addresses by kind: `lan`, `wan`, `lan_ipv4`…
    #[serde(default, deserialize_with = "or_empty")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// What the node says about itself.
    #[serde(default, deserialize_with = "or_empty")]
    pub meta: BTreeMap<String, String>,
}

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Well.
    Passing,
    /// Not quite.
    Warning,
    /// Not at all.
    Critical,
    /// Taken out by an operator.
    Maintenance,
}

/// A check of a node or service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Check {
    /// The node.
    pub node: String,
    /// Its id; `serfHealth` says whether the node is alive.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// How it stands.
    pub status: Status,
    /// The service; empty for checks of the node.
    #[serde(default)]
    pub service_name: String,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Its name.
    #[serde(rename = "Service")]
    pub name: String,
    /// Its id on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Tags.
    #[serde(default, deserialize_with = "or_empty")]
    pub tags: Vec<String>,
    /// What the instance says about itself.
    #[serde(default, deserialize_with = "or_empty")]
    pub meta: BTreeMap<String, String>,
    /// Its address, if it is not that of the node.
    #[serde(default)]
    pub address: String,
    /// Its port; 0 without one.
    #[serde(default)]
    pub port: u16,
}

/// An instance of a service with its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceEntry {
    /// The node.
    pub node: Node,
    /// The service on it.
    pub service: Service,
    /// Checks of both.
    #[serde(default, deserialize_with = "or_empty")]
    pub checks: Vec<Check>,
}

/// Names of services, with all tags of each.
pub type ServiceTags = BTreeMap<String, Vec<String>>;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvPair {
    /// The key.
    pub key: String,
    /// The value; a folder has none.
    #[serde(default, with = "bytes")]
    pub value: Vec<u8>,
    /// When it was changed last: for compare-and-set.
    #[serde(default)]
    pub modify_index: u64,
    /// The session that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Go writes `null` for what is empty.
pub(crate) fn or_empty<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Values are in base64.
mod bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Engine, STANDARD};

    pub(super) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        let decoded = text.map(|text| STANDARD.decode(text)).transpose();
        decoded.map(Option::unwrap_or_default).map_err(|error| D::Error::custom(error.to_string()))
    }
}
