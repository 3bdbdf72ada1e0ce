//! Ports and networks.

use serde_json::{Map, Value, json};

use crate::extras::Port;
use crate::read::Wrong;

/// What an app says of its ports.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ports {
    /// What is kept of each.
    pub(crate) ports: Vec<Port>,
    /// Those inside its container; 0 if it is the same as outside.
    pub(crate) inner: Vec<u16>,
}

/// Ports on the machine's own network: `portDefinitions`, or the older `ports`.
pub(crate) fn outer(fields: &Map<String, Value>, wrong: &mut Vec<Wrong>) -> Option<Ports> {
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let list = match (given("portDefinitions"), given("ports")) {
        (Some(list), _) => list_of("/portDefinitions", list, wrong),
        (None, Some(list)) => {
            let numbers = list_of("/ports", list, wrong);
            numbers.into_iter().map(|port| json!({ "port": port })).collect()
        }
        (None, None) => return None,
    };
    let mut ports = Vec::new();
    for (number, one) in list.iter().enumerate() {
        let path = format!("/portDefinitions({number})");
        ports.push(port(one, "port", &path, &["port", "name", "labels", "protocol"], wrong));
    }
    Some(Ports { ports, inner: Vec::new() })
}

/// Ports of a container, from its `portMappings`.
pub(crate) fn mapped(path: &str, value: &Value, wrong: &mut Vec<Wrong>) -> Ports {
    let known = ["containerPort", "hostPort", "servicePort", "name", "labels", "protocol"];
    let mut found = Ports::default();
    for (number, one) in list_of(path, value, wrong).iter().enumerate() {
        let path = format!("{path}({number})");
        found.ports.push(port(one, "servicePort", &path, &known, wrong));
        found.inner.push(number_of(one, "containerPort", &path, wrong));
        if number_of(one, "hostPort", &path, wrong) != 0 {
            let why = "ports of machines are chosen by the scheduler: say 0";
            wrong.push(Wrong::new(&format!("{path}/hostPort"), why));
        }
    }
    let named = found.inner.iter().rposition(|port| *port != 0).map_or(0, |last| last + 1);
    found.inner.truncate(named);
    if found.inner.contains(&0) {
        let why = "after a port that is the same inside and outside there can't be another one";
        wrong.push(Wrong::new(path, why));
    }
    found
}

fn port(value: &Value, service: &str, path: &str, known: &[&str], wrong: &mut Vec<Wrong>) -> Port {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    if !value.is_object() {
        wrong.push(Wrong::new(path, "an object is expected"));
    }
    for (name, value) in fields {
        if !known.contains(&&**name) && !value.is_null() {
            wrong.push(Wrong::new(&format!("{path}/{name}"), "not supported"));
        }
    }
    let protocol = fields.get("protocol").and_then(Value::as_str);
    if protocol.is_some_and(|it| it != "tcp") {
        wrong.push(Wrong::new(&format!("{path}/protocol"), "only tcp is supported"));
    }
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    if given("name").is_some_and(|value| !value.is_string()) {
        wrong.push(Wrong::new(&format!("{path}/name"), "a text is expected"));
    }
    let texts = |value: &Value| {
        value.as_object().is_some_and(|labels| labels.values().all(Value::is_string))
    };
    if given("labels").is_some_and(|value| !texts(value)) {
        wrong.push(Wrong::new(&format!("{path}/labels"), "an object of texts is expected"));
    }
    let labels = fields.get("labels").and_then(Value::as_object).into_iter().flatten();
    let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    Port {
        name: fields.get("name").and_then(Value::as_str).map(str::to_owned),
        labels: labels.filter_map(label).collect(),
        service_port: number_of(value, service, path, wrong),
    }
}

fn number_of(value: &Value, name: &str, path: &str, wrong: &mut Vec<Wrong>) -> u16 {
    match value.get(name) {
        None | Some(Value::Null) => 0,
        Some(number) => {
            number.as_u64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| {
                let why = "a number from 0 to 65535 is expected";
                wrong.push(Wrong::new(&format!("{path}/{name}"), why));
                0
            })
        }
    }
}

fn list_of(path: &str, value: &Value, wrong: &mut Vec<Wrong>) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| {
        wrong.push(Wrong::new(path, "a list is expected"));
        Vec::new()
    })
}

/// The network that is asked for: `host`, `container/bridge`, `container`; none if nothing is said.
pub(crate) fn network(
    fields: &Map<String, Value>,
    container: Option<&Value>,
    wrong: &mut Vec<Wrong>,
) -> Option<String> {
    let old = container.and_then(|it| it.pointer("/docker/network")).and_then(Value::as_str);
    let old = old.map(|network| match network {
        "BRIDGE" => "container/bridge".to_owned(),
        other => other.to_ascii_lowercase(),
    });
    let Some(networks) = fields.get("networks").filter(|value| !value.is_null()) else {
        return old;
    };
    match networks.as_array().map(Vec::as_slice) {
        Some([]) => old,
        Some([one]) => one.get("mode").and_then(Value::as_str).map(str::to_owned).or(old),
        _ => {
            wrong.push(Wrong::new("/networks", "one network is possible, not several"));
            None
        }
    }
}

/// Ports in Marathon's words: definitions, or mappings of a container.
pub(crate) fn show(ports: &[Port], inner: Option<&[u16]>) -> Value {
    let one = |(number, port): (usize, &Port)| {
        let mut shown = json!({"protocol": "tcp", "labels": port.labels});
        if let Value::Object(fields) = &mut shown {
            let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
            if let Some(name) = &port.name {
                put("name", json!(name));
            }
            match inner {
                None => put("port", json!(port.service_port)),
                Some(inner) => {
                    put("containerPort", json!(inner.get(number).copied().unwrap_or(0)));
                    put("hostPort", json!(0));
                    put("servicePort", json!(port.service_port));
                }
            }
        }
        shown
    };
    ports.iter().enumerate().map(one).collect()
}
