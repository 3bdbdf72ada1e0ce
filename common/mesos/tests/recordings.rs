//! What a real master sent and was sent is read, and written again as it was.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads its recordings"
)]

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesos::{Data, DecodeError, Encoding, operator, scheduler};
use serde::Deserialize;
use serde_json::Value;

/// A line of a recording.
#[derive(Deserialize)]
struct Message {
    file: String,
    #[serde(default)]
    head: Vec<String>,
    body: Option<String>,
    base64: Option<String>,
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.base64) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).unwrap(),
            (None, None) => Vec::new(),
        }
    }

    fn is_to(&self, target: &str) -> bool {
        self.head.first().is_some_and(|line| line.starts_with(&format!("POST {target} ")))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn recordings() -> Vec<Message> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut messages = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "jsonl")) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let mut message: Message = serde_json::from_str(line).unwrap();
            message.file = format!("{}: {}", file.file_stem().unwrap().display(), message.file);
            messages.push(message);
        }
    }
    messages
}

/// Whether two values are the same: numbers by their value, to the last but one binary digit.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * f64::EPSILON
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

/// The part of a value that another one has, too.
fn shared(value: &Value, other: &Value) -> Value {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => {
            let both = value
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), shared(value, other.get(key)?))));
            Value::Object(both.collect())
        }
        (Value::Array(values), Value::Array(others)) => {
            Value::Array(values.iter().zip(others).map(|(a, b)| shared(a, b)).collect())
        }
        _ => value.clone(),
    }
}

/// A value without what says nothing: empty lists.
fn dense(value: &Value) -> Value {
    match value {
        Value::Object(value) => {
            let said = value.iter().filter(|(_, value)| **value != Value::Array(Vec::new()));
            Value::Object(said.map(|(key, value)| (key.clone(), dense(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(dense).collect()),
        _ => value.clone(),
    }
}

/// An event is written as the master wrote it.
fn check_event<M: Data + PartialEq>(message: &Message) {
    let bytes = message.bytes();
    if message.base64.is_some() {
        let event: M = Encoding::Protobuf.decode(&bytes).unwrap();
        assert_eq!(Encoding::Protobuf.encode(&event), bytes, "{}", message.file);
        let json = Encoding::Json.encode(&event);
        let again: M = Encoding::Json.decode(&json).unwrap();
        assert_eq!(Encoding::Json.encode(&again), json, "{}", message.file);
        return;
    }
    let event: M = Encoding::Json.decode(&bytes).unwrap();
    let written: Value = serde_json::from_slice(&Encoding::Json.encode(&event)).unwrap();
    let original: Value = serde_json::from_slice(&bytes).unwrap();
    assert!(same(&written, &original), "{}:\n{original}\n{written}", message.file);
    let protobuf = Encoding::Protobuf.encode(&event);
    let again: M = Encoding::Protobuf.decode(&protobuf).unwrap();
    assert!(again == event, "{}", message.file);
}

#[test]
fn events_of_the_scheduler_api() {
    let messages = recordings();
    let events = messages.iter().filter(|message| {
        let executors = message.file.starts_with("08b") || message.file.starts_with("08c");
        let schedulers = ["sched", "sub-", "pb", "first", "second", "fw", "nopart"];
        message.file.contains(".event.") && !is_operator(message) && {
            let who = message.file.split('-').next_back().unwrap_or_default();
            !executors || schedulers.iter().any(|name| who.starts_with(name))
        }
    });
    let mut count = 0;
    for event in events {
        check_event::<scheduler::Event>(event);
        count += 1;
    }
    assert!(count > 440, "{count}");
}

/// Whether an event is of the operators' stream: they have types of their own, or follow one.
fn is_operator(message: &Message) -> bool {
    let body = message.body.as_deref().unwrap_or_default();
    let own = ["TASK_ADDED", "TASK_UPDATED", "AGENT_ADDED", "AGENT_REMOVED", "FRAMEWORK_"];
    own.iter().any(|name| body.starts_with(&format!("{{\"type\":\"{name}")))
        || body.contains("\"get_state\"")
        || message.file.contains("opev")
}

#[test]
fn events_of_the_operator_api() {
    let mut count = 0;
    for message in recordings().iter().filter(|message| message.file.contains(".event.")) {
        if is_operator(message) {
            check_event::<operator::Event>(message);
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn calls_of_schedulers() {
    let mut count = [0; 2];
    for message in recordings().iter().filter(|message| message.is_to("/api/v1/scheduler")) {
        let encoding = message.header("Content-Type").and_then(Encoding::of_media_type);
        let (Some(encoding), bytes) = (encoding, message.bytes()) else { continue };
        let plain = message.header("Content-Encoding").is_none()
            && message.header("Transfer-Encoding").is_none();
        if !plain {
            continue;
        }
        let call: scheduler::Call = match encoding.decode(&bytes) {
            Ok(call) => call,
            Err(error) => {
                // Recorded to be refused; `refusals` has the texts.
                assert!(message.file.starts_with("05") || message.file.contains("bad"), "{error}");
                continue;
            }
        };
        if encoding == Encoding::Protobuf {
            // The recorder's library keeps the order of numbers, too.
            assert_eq!(encoding.encode(&call), bytes, "{}", message.file);
            count[1] += 1;
            continue;
        }
        let written: Value = serde_json::from_slice(&encoding.encode(&call)).unwrap();
        let original: Value = serde_json::from_slice(&bytes).unwrap();
        // All that the call says is written, except what nobody knows (recorded as such); what is written beyond it are the values that absence means.
        let both = shared(&written, &original);
        if !message.file.contains("-unknown-") {
            assert!(same(&both, &dense(&original)), "{}:\n{original}\n{written}", message.file);
        }
        let again: scheduler::Call = encoding.decode(&encoding.encode(&call)).unwrap();
        assert_eq!(encoding.encode(&again), encoding.encode(&call));
        count[0] += 1;
    }
    assert!(count[0] > 300 && count[1] >= 5, "{count:?}");
}

#[test]
fn calls_of_operators() {
    let mut count = 0;
    for message in recordings().iter().filter(|message| message.is_to("/api/v1")) {
        if message.header("Content-Type") != Some("application/json") {
            continue;
        }
        let call: operator::Call = match Encoding::Json.decode(&message.bytes()) {
            Ok(call) => call,
            Err(error) => panic!("{}: {error}", message.file),
        };
        let protobuf = Encoding::Protobuf.encode(&call);
        assert!(Encoding::Protobuf.decode::<operator::Call>(&protobuf).unwrap() == call);
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn answers_to_operators() {
    let mut count = 0;
    for message in recordings().iter().filter(|message| message.file.contains(": ")) {
        let file = message.file.split(": ").nth(1).unwrap_or_default();
        let body = message.body.as_deref().unwrap_or_default();
        let is_answer = file.ends_with(".response.http") && file.contains("-api.GET_");
        if !is_answer || file.contains("agent.") || !body.starts_with('{') {
            continue;
        }
        // Quota is left out.
        if !file.contains("GET_QUOTA") {
            check_event::<operator::Response>(message);
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

/// What Mesos says to calls that can't be read, and that the same is found here.
#[test]
fn refusals() {
    let call = |text: &str| Encoding::Json.decode::<scheduler::Call>(text.as_bytes()).unwrap_err();
    let syntax = |near: &str| DecodeError::Syntax { line: 1, near: near.to_owned() };
    let missing = |path: &str| DecodeError::Missing(vec![path.to_owned()]);
    assert_eq!(call("{not json"), syntax("not json"));
    assert_eq!(call(""), syntax(""));
    assert_eq!(call("[1]"), DecodeError::NotAnObject);
    assert_eq!(call(r#"{"subscribe":{"a":3},"bogus":1}"#), missing("subscribe.framework_info"));
    assert_eq!(
        call(r#"{"subscribe":{"framework_info":{"name":"x"}}}"#),
        missing("subscribe.framework_info.user")
    );
    assert_eq!(call(r#"{"kill":{}}"#), missing("kill.task_id"));
    assert_eq!(
        call(
            r#"{"accept":{"offer_ids":[{"value":"a"},{}],"operations":[{"launch":{"task_infos":[{"name":"n"}]}}]}}"#
        ),
        DecodeError::Missing(vec![
            "accept.offer_ids[1].value".into(),
            "accept.operations[0].launch.task_infos[0].task_id".into(),
            "accept.operations[0].launch.task_infos[0].agent_id".into(),
        ])
    );
    assert!(matches!(call(r#"{"kill":7}"#), DecodeError::Convert(_)));
    // Protobuf: kill (6) without a task id.
    let refused = Encoding::Protobuf.decode::<scheduler::Call>(&[0x32, 0]).unwrap_err();
    assert_eq!(refused, missing("kill.task_id"));
    let refused = Encoding::Protobuf.decode::<scheduler::Call>(&[0xff, 0xfe, 0xfd]).unwrap_err();
    assert!(matches!(refused, DecodeError::Protobuf(_)));
}

/// What Mesos' parser lets pass.
#[test]
fn leniency() {
    let text = r#"{"type":"NEW_CALL","framework_id":null,"unknown":{"a":[1]},"subscribe":{
        "framework_info":{"user":"u","name":"n","failover_timeout":"3.5","checkpoint":"true",
        "capabilities":[{"type":"PARTITION_AWARE"},{"type":"OF_TOMORROW"}],"roles":null,
        "offer_filters":{"a":{"min_allocatable_resources":{"quantities":[
        {"quantities":{"cpus":{"value":1}}}]}}}}}}"#;
    let call: scheduler::Call = Encoding::Json.decode(text.as_bytes()).unwrap();
    assert_eq!((call.r#type, &call.framework_id), (None, &None));
    let info = call.subscribe.unwrap().framework_info;
    assert_eq!((info.failover_timeout, info.checkpoint), (Some(3.5), Some(true)));
    assert_eq!(info.capabilities.len(), 2);
    assert_eq!(info.capabilities[1].r#type, None);
    assert!(info.roles.is_empty());
    let written = String::from_utf8(Encoding::Json.encode(&info)).unwrap();
    assert!(written.contains(r#"{"quantities":{"cpus":{"value":1.0}}}"#), "{written}");
    let range: mesos::Range = Encoding::Json.decode(br#"{"begin":"1","end":2.0}"#).unwrap();
    assert_eq!((range.begin, range.end), (1, 2));
    let scalar: mesos::Scalar = Encoding::Json.decode(br#"{"value":"-Infinity"}"#).unwrap();
    assert_eq!(Encoding::Json.encode(&scalar), br#"{"value":"-Infinity"}"#);
    // Not `null`: that is a default, or missing.
    let bytes = b"\x09\x00\x00\x00\x00\x01\x06\xf0\x7f";
    let scalar: mesos::Scalar = Encoding::Protobuf.decode(bytes).unwrap();
    assert!(scalar.value.is_nan());
    let json = Encoding::Json.encode(&scalar);
    assert_eq!(json, br#"{"value":"NaN"}"#);
    let again: mesos::Scalar = Encoding::Json.decode(&json).unwrap();
    assert!(again.value.is_nan());
}

/// Values that absence means are said in JSON and not in protobuf.
#[test]
fn defaults() {
    let command = mesos::CommandInfo { value: Some("true".into()), ..Default::default() };
    assert!(command.shell());
    assert_eq!(Encoding::Json.encode(&command), br#"{"shell":true,"value":"true"}"#);
    assert_eq!(Encoding::Protobuf.encode(&command), b"\x1a\x04true");
    let address: mesos::IpAddress = Encoding::Json.decode(br#"{"ip_address":"::1"}"#).unwrap();
    assert_eq!(Encoding::Json.encode(&address), br#"{"protocol":"IPv4","ip_address":"::1"}"#);
    assert_eq!(mesos::Filters::default().refuse_seconds(), 5.0);
}
