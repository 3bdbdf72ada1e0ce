//! Health checks, in Marathon's words and the core's.

use policy::Nanoseconds;
use scheduler_core::app::{Check, Probe};
use serde_json::{Map, Value, json};

use crate::read::{SECONDS_MOST, Wrong, shell_text, shell_words};
use crate::show::whole_seconds;
use crate::unsupported::is_same;

/// What Marathon takes if nothing is said, in seconds.
const GRACE: u64 = 300;
const INTERVAL: u64 = 60;
const TIMEOUT: u64 = 20;
const FAILURES: u64 = 3;

/// What a check says, and for how long it may not be so at the beginning.
pub(crate) type Health = (Option<Check>, Option<Nanoseconds>);

pub(crate) fn read(value: &Value, ports: u32, wrong: &mut Vec<Wrong>) -> Health {
    let Some(list) = value.as_array() else {
        wrong.push(Wrong::new("/healthChecks", "a list is expected"));
        return (None, None);
    };
    match list.as_slice() {
        [] => (None, None),
        [Value::Object(fields)] => {
            let before = wrong.len();
            let health = one(fields, ports, wrong);
            if wrong.len() > before { (None, None) } else { health }
        }
        _ => {
            wrong.push(Wrong::new("/healthChecks", "one check is possible, not several"));
            (None, None)
        }
    }
}

fn one(fields: &Map<String, Value>, ports: u32, wrong: &mut Vec<Wrong>) -> Health {
    let mut say = |name: &str, why: String| {
        wrong.push(Wrong::new(&format!("/healthChecks(0)/{name}"), why));
    };
    let mut number = |name: &str, default: u64| match fields.get(name) {
        None | Some(Value::Null) => default,
        Some(value) => {
            value.as_u64().filter(|number| *number <= SECONDS_MOST).unwrap_or_else(|| {
                say(name, format!("a whole number up to {SECONDS_MOST} is expected"));
                default
            })
        }
    };
    let grace = number("gracePeriodSeconds", GRACE);
    let interval = number("intervalSeconds", INTERVAL);
    let timeout = number("timeoutSeconds", TIMEOUT);
    let failures = number("maxConsecutiveFailures", FAILURES);
    let index = number("portIndex", 0);
    for (name, value) in fields {
        let silent = match name.as_str() {
            "gracePeriodSeconds"
            | "intervalSeconds"
            | "timeoutSeconds"
            | "maxConsecutiveFailures"
            | "portIndex"
            | "path"
            | "protocol"
            | "command" => continue,
            "ignoreHttp1xx" => json!(false),
            "delaySeconds" => json!(0),
            "ipProtocol" => json!("IPv4"),
            _ => Value::Null,
        };
        if !value.is_null() && !is_same(&silent, value) {
            say(name, "not supported".to_owned());
        }
    }
    if interval == 0 || timeout == 0 || failures == 0 {
        say("", "interval, timeout and failures are more than none".to_owned());
    }
    let word = |name: &str| fields.get(name).and_then(Value::as_str);
    let protocol = word("protocol").unwrap_or("HTTP");
    let port = u32::try_from(index).unwrap_or(u32::MAX);
    let probe = match protocol {
        "HTTP" | "MESOS_HTTP" => {
            let path = word("path").unwrap_or("/");
            if !path.starts_with('/') || path.contains(char::is_whitespace) {
                say("path", "a path begins with / and has no blanks".to_owned());
            }
            Probe::Http { path: path.to_owned(), port }
        }
        "TCP" | "MESOS_TCP" => Probe::Tcp { port },
        "COMMAND" => {
            let command = fields.get("command");
            let text = command.and_then(|it| it.as_str().or_else(|| it.get("value")?.as_str()));
            match text.filter(|text| !text.is_empty()) {
                Some(text) => Probe::Command(shell_words(text)),
                None => {
                    say("command", "a command is expected".to_owned());
                    return (None, None);
                }
            }
        }
        other => {
            say("protocol", format!("{other} is not supported: HTTP, TCP and COMMAND are"));
            return (None, None);
        }
    };
    if !matches!(probe, Probe::Command(_)) && port >= ports {
        say("portIndex", format!("there are {ports} ports; they count from 0"));
    }
    let length = Nanoseconds::from_seconds;
    let check = Check {
        probe,
        interval: length(interval),
        timeout: length(timeout),
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
    };
    (Some(check), Some(length(grace)))
}

pub(crate) fn show(check: Option<&Check>, grace: Option<Nanoseconds>) -> Value {
    let Some(check) = check else { return json!([]) };
    let mut shown = json!({
        "gracePeriodSeconds": whole_seconds(grace.unwrap_or(Nanoseconds::ZERO)),
        "intervalSeconds": whole_seconds(check.interval),
        "timeoutSeconds": whole_seconds(check.timeout),
        "maxConsecutiveFailures": check.failures,
    });
    if let Value::Object(fields) = &mut shown {
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        match &check.probe {
            Probe::Http { path, port } => {
                put("protocol", json!("MESOS_HTTP"));
                put("path", json!(path));
                put("portIndex", json!(port));
            }
            Probe::Tcp { port } => {
                put("protocol", json!("MESOS_TCP"));
                put("portIndex", json!(port));
            }
            Probe::Command(words) => {
                put("protocol", json!("COMMAND"));
                put("command", json!({"value": shell_text(words)}));
            }
        }
    }
    json!([shown])
}
