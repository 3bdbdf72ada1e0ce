//! What means something to clients of Marathon only.

use std::collections::BTreeMap;

use scheduler_core::app::Specification;
use serde_json::{Map, Value, json};

/// The variable in which it is kept, as JSON. Instances see it, too.
pub const EXTRAS: &str = "CORRAL_MARATHON";

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Extras {
    pub(crate) labels: BTreeMap<String, String>,
    /// Of each port: name, labels, service port.
    pub(crate) ports: Vec<Port>,
}

/// What is kept of a port.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Port {
    pub(crate) name: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) service_port: u16,
}

impl Extras {
    /// What a specification has; what isn't of our making counts as nothing.
    pub(crate) fn of(specification: &Specification) -> Self {
        let text = specification.environment.get(EXTRAS).map_or("", String::as_str);
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let ports = value.get("ports").and_then(Value::as_array);
        let port = |value: &Value| Port {
            name: value.get("name").and_then(Value::as_str).map(str::to_owned),
            labels: texts(value.get("labels")),
            service_port: value
                .get("servicePort")
                .and_then(Value::as_u64)
                .and_then(|port| port.try_into().ok())
                .unwrap_or(0),
        };
        Extras {
            labels: texts(value.get("labels")),
            ports: ports.into_iter().flatten().map(port).collect(),
        }
    }

    /// As it is kept; none if there is nothing to keep.
    pub(crate) fn text(&self) -> Option<String> {
        let mut value = Map::new();
        if !self.labels.is_empty() {
            value.insert("labels".to_owned(), json!(self.labels));
        }
        if self.ports.iter().any(|port| *port != Port::default()) {
            let ports: Vec<Value> = self.ports.iter().map(Port::json).collect();
            value.insert("ports".to_owned(), ports.into());
        }
        (!value.is_empty()).then(|| Value::Object(value).to_string())
    }
}

impl Port {
    fn json(&self) -> Value {
        json!({"name": self.name, "labels": self.labels, "servicePort": self.service_port})
    }
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}
