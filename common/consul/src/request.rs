//! Requests: which part of the API, and how fresh its answer has to be.

use std::fmt::Write;

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The leader answers; it may have lost its office a moment ago.
    #[default]
    Default,
    /// Any server answers, also without a leader, if it heard from one so recently.
    Stale {
        /// Longest time since, in milliseconds.
        max_age_ms: u64,
    },
    /// The leader asks the others whether it still is.
    Consistent,
}

/// What applies to every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// The datacenter, if not that of the agent that is asked.
    pub datacenter: Option<String>,
    /// How fresh.
    pub consistency: Consistency,
    /// A blocking query: answer when something newer than this index is there…
    pub index: Option<u64>,
    /// …or after so long, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// What a request is about: for messages, and for the permission that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// All nodes.
    Nodes,
    /// Names and tags of all services.
    Services,
    /// All checks.
    Checks,
    /// The instances of a service, with their nodes and checks.
    Service(String),
    /// One key.
    Key(String),
    /// All keys that begin so.
    Keys(String),
    /// The names of all keys that begin so.
    KeyNames(String),
    /// The services of the agent that is asked.
    AgentServices,
    /// The agent that is asked.
    AgentSelf,
}

impl Subject {
    /// In words: what could not be read.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Subject::Nodes => "nodes".to_owned(),
            Subject::Services => "services".to_owned(),
            Subject::Checks => "health checks".to_owned(),
            Subject::Service(name) => format!("instances of service `{name}`"),
            Subject::Key(key) => format!("key `{key}`"),
            Subject::Keys(prefix) => format!("keys below `{prefix}`"),
            Subject::KeyNames(prefix) => format!("names of keys below `{prefix}`"),
            Subject::AgentServices => "services of the agent".to_owned(),
            Subject::AgentSelf => "settings of the agent".to_owned(),
        }
    }

    /// The rules that a token needs for it.
    #[must_use]
    pub fn permission(&self) -> String {
        match self {
            Subject::Nodes => r#"node_prefix "" { policy = "read" }"#.to_owned(),
            Subject::Services => r#"service_prefix "" { policy = "read" }"#.to_owned(),
            Subject::Checks => {
                r#"node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#
                    .to_owned()
            }
            Subject::Service(name) => format!(
                r#"service "{name}" {{ policy = "read" }} node_prefix "" {{ policy = "read" }}"#
            ),
            Subject::Key(key) => format!(r#"key "{key}" {{ policy = "read" }}"#),
            Subject::Keys(prefix) | Subject::KeyNames(prefix) => {
                format!(r#"key_prefix "{prefix}" {{ policy = "read" }}"#)
            }
            Subject::AgentServices => r#"service_prefix "" { policy = "read" }"#.to_owned(),
            Subject::AgentSelf => r#"agent_prefix "" { policy = "read" }"#.to_owned(),
        }
    }
}

/// A request to Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it is about.
    pub subject: Subject,
    /// Path and query, ready for the first line of an HTTP request.
    pub target: String,
}

impl Request {
    /// A request for something.
    #[must_use]
    pub fn new(subject: Subject, options: &Options) -> Self {
        let mut target = match &subject {
            Subject::Nodes => "/v1/catalog/nodes".to_owned(),
            Subject::Services => "/v1/catalog/services".to_owned(),
            Subject::Checks => "/v1/health/state/any".to_owned(),
            Subject::Service(name) => format!("/v1/health/service/{}", encoded(name, "")),
            Subject::Key(key) | Subject::Keys(key) | Subject::KeyNames(key) => {
                format!("/v1/kv/{}", encoded(key, "/"))
            }
            Subject::AgentServices => "/v1/agent/services".to_owned(),
            Subject::AgentSelf => "/v1/agent/self".to_owned(),
        };
        let mut query = Vec::new();
        match subject {
            Subject::Keys(_) => query.push("recurse=true".to_owned()),
            Subject::KeyNames(_) => query.push("keys=true".to_owned()),
            _ => {}
        }
        if let Some(datacenter) = &options.datacenter {
            query.push(format!("dc={}", encoded(datacenter, "")));
        }
        match options.consistency {
            Consistency::Default => {}
            Consistency::Stale { .. } => query.push("stale=".to_owned()),
            Consistency::Consistent => query.push("consistent=".to_owned()),
        }
        if let Some(index) = options.index {
            query.push(format!("index={index}"));
        }
        if let Some(wait_ms) = options.wait_ms {
            query.push(format!("wait={wait_ms}ms"));
        }
        if !query.is_empty() {
            let _ = write!(target, "?{}", query.join("&"));
        }
        Request { subject, target }
    }
}

/// Percent-encoded but for letters, digits, `-._~` and what is kept.
pub(crate) fn encoded(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        let is_plain = byte.is_ascii_alphanumeric() || "-._~".contains(character);
        if byte.is_ascii() && (is_plain || keep.contains(character)) {
            encoded.push(character);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_of_the_manual() {
        let plain = Options::default();
        let stale = Options {
            datacenter: Some("dc 1".into()),
            consistency: Consistency::Stale { max_age_ms: 5 },
            ..Options::default()
        };
        let blocking = Options { index: Some(7), wait_ms: Some(60_000), ..Options::default() };
        let table = [
            (Subject::Nodes, &plain, "/v1/catalog/nodes"),
            (Subject::Services, &stale, "/v1/catalog/services?dc=dc%201&stale="),
            (Subject::Checks, &blocking, "/v1/health/state/any?index=7&wait=60000ms"),
            (Subject::Service("a/b?".into()), &plain, "/v1/health/service/a%2Fb%3F"),
            (Subject::Key("a/b c".into()), &plain, "/v1/kv/a/b%20c"),
            (Subject::KeyNames("a/".into()), &plain, "/v1/kv/a/?keys=true"),
            (Subject::Keys("ä/".into()), &stale, "/v1/kv/%C3%A4/?recurse=true&dc=dc%201&stale="),
        ];
        for (subject, options, target) in table {
            assert_eq!(Request::new(subject, options).target, target);
        }
    }
}
