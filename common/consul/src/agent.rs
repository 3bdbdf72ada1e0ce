//! The services of a node, as its own agent takes and tells them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Status, or_empty};
use crate::change::Change;
use crate::request::encoded;

/// The largest weight that Consul takes; the smallest is 1.
pub const WEIGHT_MOST: u32 = 65_535;

/// A service of a node, to be registered with the node's agent. What the agent knew of it before is
/// replaced, but for the state of its check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// Its id on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name that it is found by.
    pub name: String,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its address, if it is not that of the node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Its port; 0 without one.
    pub port: u16,
    /// What it says about itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// How much it should get beside others.
    pub weights: Weights,
    /// What is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<ServiceCheck>,
}

/// How much a service should get beside others, by its state; a critical one isn't found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    /// When its check passes: 1 to [`WEIGHT_MOST`].
    pub passing: u32,
    /// When its check warns.
    pub warning: u32,
}

/// A check of a service. Exactly one of `http`, `tcp`, `args` and `ttl` is there; with `args` there may be
/// `container`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServiceCheck {
    /// Its id on the node.
    #[serde(rename = "CheckID")]
    pub id: String,
    /// GET this; 2xx passes, 429 warns.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Connect to this.
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// Run this; code 0 passes, 1 warns.
    #[serde(rename = "Args", skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Run it in this container, by its id or name.
    #[serde(rename = "DockerContainerID", skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Somebody says so within this time, such as `60s`.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Time from one look to the next.
    #[serde(rename = "Interval", skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The longest that one may take.
    #[serde(rename = "Timeout", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// So many in a row have to fail (Consul 1.7 and later).
    #[serde(rename = "FailuresBeforeCritical", skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// What it is until the first look.
    #[serde(rename = "Status")]
    pub status: Option<Status>,
}

/// A service that an agent has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentService {
    /// Its id on the node.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub service: String,
    /// Tags.
    #[serde(default, deserialize_with = "or_empty")]
    pub tags: Vec<String>,
    /// Its address, if it is not that of the node.
    #[serde(default)]
    pub address: String,
    /// Its port; 0 without one.
    #[serde(default)]
    pub port: u16,
    /// What it says about itself.
    #[serde(default, deserialize_with = "or_empty")]
    pub meta: BTreeMap<String, String>,
    /// How much it should get; absent before Consul 1.2.
    #[serde(default)]
    pub weights: Option<Weights>,
}

/// The services of an agent, by id.
pub type AgentServices = BTreeMap<String, AgentService>;

/// What an agent says of itself, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentSelf {
    /// What it was configured to be.
    #[serde(default)]
    pub debug_config: AgentConfiguration,
}

/// What an agent was configured to be, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentConfiguration {
    /// Whether tokens are looked at.
    #[serde(rename = "ACLsEnabled", default)]
    pub has_acls: bool,
    /// Whether services that are registered through the API may have programs run.
    #[serde(rename = "EnableRemoteScriptChecks", default)]
    pub runs_scripts: bool,
}

impl Change {
    /// A service is there from now on, and as this says.
    #[must_use]
    pub fn register(service: &Registration) -> Self {
        // Plain data with texts as keys always has a JSON form.
        let body = serde_json::to_vec(service).unwrap_or_default();
        Change {
            what: format!("register `{}`", service.id),
            permission: format!(r#"service "{}" {{ policy = "write" }}"#, service.name),
            target: "/v1/agent/service/register".to_owned(),
            body,
        }
    }

    /// A service isn't there any more.
    #[must_use]
    pub fn deregister(id: &str) -> Self {
        Change {
            what: format!("deregister `{id}`"),
            permission: r#"service_prefix "" { policy = "write" }"#.to_owned(),
            target: format!("/v1/agent/service/deregister/{}", encoded(id, "")),
            body: Vec::new(),
        }
    }

    /// How a check of the kind `ttl` stands.
    #[must_use]
    pub fn report(check: &str, status: Status, output: &str) -> Self {
        let body = serde_json::json!({"Status": status, "Output": output});
        Change {
            what: format!("say how the check `{check}` stands"),
            permission: r#"service_prefix "" { policy = "write" }"#.to_owned(),
            target: format!("/v1/agent/check/update/{}", encoded(check, "")),
            body: body.to_string().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_manual() {
        let check = ServiceCheck {
            id: "service:web.1".to_owned(),
            http: Some("http://127.0.0.1:80/health".to_owned()),
            interval: Some("10s".to_owned()),
            timeout: Some("1s".to_owned()),
            failures: Some(2),
            status: Some(Status::Passing),
            ..ServiceCheck::default()
        };
        let service = Registration {
            id: "web.1".to_owned(),
            name: "web".to_owned(),
            tags: vec!["a".to_owned()],
            address: String::new(),
            port: 80,
            meta: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            weights: Weights { passing: 100, warning: 1 },
            check: Some(check),
        };
        let change = Change::register(&service);
        assert_eq!(change.target, "/v1/agent/service/register");
        assert_eq!(
            String::from_utf8(change.body).unwrap(),
            concat!(
                r#"{"ID":"web.1","Name":"web","Tags":["a"],"Port":80,"Meta":{"k":"v"},"#,
                r#""Weights":{"Passing":100,"Warning":1},"Check":{"CheckID":"service:web.1","#,
                r#""HTTP":"http://127.0.0.1:80/health","Interval":"10s","Timeout":"1s","#,
                r#""FailuresBeforeCritical":2,"Status":"passing"}}"#
            )
        );
        let target = "/v1/agent/service/deregister/a%2Fb.1";
        assert_eq!(Change::deregister("a/b.1").target, target);
        let report = Change::report("service:t", Status::Critical, "no \"answer\"");
        assert_eq!(report.target, "/v1/agent/check/update/service%3At");
        let body = r#"{"Status":"critical","Output":"no \"answer\""}"#;
        assert_eq!(String::from_utf8(report.body).unwrap(), body);
    }

    /// As Consul 1.8.7 answered.
    #[test]
    fn services_and_settings_are_read() {
        let text = r#"{"web.1": {"ID": "web.1", "Service": "web", "Tags": null, "Meta": null,
            "Port": 31000, "Address": "", "Weights": {"Passing": 100, "Warning": 1},
            "EnableTagOverride": false}}"#;
        let services: AgentServices = serde_json::from_str(text).unwrap();
        assert_eq!(services["web.1"].weights, Some(Weights { passing: 100, warning: 1 }));
        assert_eq!((services["web.1"].port, services["web.1"].meta.len()), (31_000, 0));
        let text = r#"{"Config": {}, "DebugConfig": {"ACLsEnabled": true,
            "EnableLocalScriptChecks": false, "EnableRemoteScriptChecks": false}}"#;
        let agent: AgentSelf = serde_json::from_str(text).unwrap();
        assert!(agent.debug_config.has_acls && !agent.debug_config.runs_scripts);
    }
}
