//! What a real master sent, as input: the facts and calls that follow. And what the translator
//! sends, beside what a real master accepted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a test reads its recordings"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesos::Encoding;
use mesos::scheduler::{Call, CallType, Event, Rescind};
use policy::{Nanoseconds, Time};
use scheduler_core::Command;
use scheduler_core::app::{Need, Run, Specification};
use scheduler_core::command::Launch;
use scheduler_core::event::{Event as Fact, MachineFact};
use scheduler_core::ids::Epoch;
use scheduler_mesos::{Framework, Input, Output, Settings, Translator};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Message {
    file: String,
    #[serde(default)]
    at: f64,
    #[serde(default)]
    head: Vec<String>,
    body: Option<String>,
    base64: Option<String>,
}

fn recording(name: &str) -> Vec<Message> {
    let folder = "../../common/mesos/tests/recordings";
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let text = fs::read_to_string(file.with_extension("jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a stream; names of tasks become names of instances (`pa-1` is `pa.1`).
fn events(name: &str, who: &str) -> Vec<(String, f64, Event)> {
    let (part, calls) = (format!("-{who}.event."), format!("-{who}.call."));
    let mut found = Vec::new();
    for message in recording(name) {
        let Message { file, at, body, base64, .. } = message;
        if let (true, Some(body)) = (file.contains(&calls), &body) {
            // What the recorded scheduler used isn't there any more.
            let call: Option<Call> = Encoding::Json.decode(body.as_bytes()).ok();
            let used = call.map(|call| {
                let accepted = call.accept.into_iter().flat_map(|accept| accept.offer_ids);
                let declined = call.decline.into_iter().flat_map(|decline| decline.offer_ids);
                accepted.chain(declined).collect::<Vec<_>>()
            });
            for offer_id in used.unwrap_or_default() {
                found.push((
                    format!("{file}.event.USED"),
                    at,
                    Event::rescind(Rescind { offer_id }),
                ));
            }
        }
        if !file.contains(&part) {
            continue;
        }
        let event: Event = match (body, base64) {
            (Some(body), _) if file.ends_with(".json") => {
                Encoding::Json.decode(body.as_bytes()).unwrap()
            }
            (None, Some(text)) => {
                Encoding::Protobuf.decode(&STANDARD.decode(text).unwrap()).unwrap()
            }
            _ => continue,
        };
        found.push((file, at, event));
    }
    for update in found.iter_mut().filter_map(|(_, _, event)| event.update.as_mut()) {
        let id = &mut update.status.task_id.value;
        *id = match id.rsplit_once('-').map(|(name, end)| (name, end.as_bytes())) {
            Some((name, [letter @ b'a'..=b'z'])) => format!("{name}.{}", letter - b'a' + 1),
            Some((name, _)) => format!("{name}.{}", &id[name.len() + 1..]),
            None => format!("{id}.1"),
        };
    }
    found
}

fn settings() -> Settings {
    Settings {
        framework: Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "*".to_owned(),
            principal: Some("corral".to_owned()),
            hostname: Some("here".to_owned()),
            webui_url: Some("http://here:7470".to_owned()),
            failover_timeout_seconds: 0,
        },
        timezone: None,
        declares_limits: false,
    }
}

/// Ids of masters and offers differ from session to session; what is behind the last dash doesn't.
fn short(text: &str) -> String {
    let ids = text.split('"').map(|part| match part.rsplit_once('-') {
        Some((id, end)) if id.len() == 36 => end,
        _ => part,
    });
    ids.collect::<Vec<_>>().join("\"")
}

fn told(output: &Output) -> Option<String> {
    Some(match output {
        Output::Call(call) => {
            let json = String::from_utf8(Encoding::Json.encode(&**call)).unwrap();
            let json = json.split_once("\"type\":").unwrap().1.to_owned();
            format!("  call {}", short(json.trim_end_matches('}')))
        }
        Output::Event(Fact::Machine { machine, fact: MachineFact::Up(up) }) => {
            let attributes = up.attributes.iter().filter(|(name, _)| *name != "mesos_agent");
            let attributes: Vec<String> =
                attributes.map(|(name, value)| format!("{name}={value}")).collect();
            let (cores, memory) = (up.millicores, up.memory_mib);
            let attributes = attributes.join(" ");
            format!("  {machine} up: {cores} {memory} {:?} {attributes}", up.ports)
        }
        Output::Event(Fact::Machine { machine, fact }) => format!("  {machine} {fact:?}"),
        Output::Event(Fact::Instance { instance, machine, fact, .. }) => {
            format!("  {instance} on {machine}: {fact:?}")
        }
        Output::Event(Fact::Told { .. }) => "  receipt".to_owned(),
        Output::Event(other) => panic!("{other:?}"),
        Output::Store(_) => "  store".to_owned(),
        Output::Fatal(fatal) => format!("  fatal: {fatal}"),
        Output::Note(_) => return None,
    })
}

/// A session as input: what follows from each event. All is durable at once.
fn replay(name: &str, who: &str) -> String {
    let mut translator = Translator::new(settings(), None);
    let mut text = String::new();
    for (file, at, event) in events(name, who) {
        // As in the sessions: 22 November 2026.
        let now = Time(1_795_318_000_000_000_000) + Nanoseconds::from_seconds(at as u64);
        let mut lines = String::new();
        let mut inputs = vec![Input::Tick, Input::Event(Box::new(event))];
        while !inputs.is_empty() {
            for output in translator.handle(std::mem::take(&mut inputs), now) {
                match &output {
                    Output::Event(Fact::Told { receipt }) => {
                        let receipt = *receipt;
                        inputs.push(Input::Command(Command::Acknowledge { receipt }));
                    }
                    Output::Store(id) => inputs.push(Input::Stored(id.clone())),
                    _ => {}
                }
                if let Some(line) = told(&output) {
                    writeln!(lines, "{line}").unwrap();
                }
            }
        }
        if !lines.is_empty() {
            let (_, kind) = file.split_once(".event.").unwrap();
            write!(text, "{} {kind}\n{lines}", file.split('-').next().unwrap()).unwrap();
        }
    }
    // Ids of acknowledged statuses are random.
    without_uuids(&text)
}

/// The text without the ids of statuses.
fn without_uuids(text: &str) -> String {
    let mut parts = text.split("\"uuid\":\"");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("\"uuid\":\"");
        plain.push_str(&part[part.find('"').unwrap()..]);
    }
    plain
}

#[test]
fn a_task_lives() {
    insta::assert_snapshot!("life", replay("02-basic-task-life", "sched"));
}

#[test]
fn an_agent_is_lost_and_comes_back_and_is_gone() {
    insta::assert_snapshot!("agent", replay("07-agent-failure", "aware"));
}

#[test]
fn machines_are_taken_away() {
    insta::assert_snapshot!("maintenance", replay("10-maintenance-drain", "sched"));
}

#[test]
fn protobuf_says_the_same() {
    insta::assert_snapshot!("protobuf", replay("09-protobuf-recordio", "pb"));
}

/// Every recorded stream of a scheduler is taken without a panic.
#[test]
fn nothing_recorded_is_too_strange() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../common/mesos/tests/recordings");
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|it| it != "jsonl") {
            continue;
        }
        let mut translator = Translator::new(settings(), None);
        for message in recording(file.file_stem().unwrap().to_str().unwrap()) {
            let Some(body) = message.body.filter(|_| message.file.contains(".event.")) else {
                continue;
            };
            if let Ok(event) = Encoding::Json.decode::<Event>(body.as_bytes()) {
                count += 1;
                let now = Time(1_795_318_000_000_000_000);
                let _ = translator.handle([Input::Event(Box::new(event)), Input::Tick], now);
            }
        }
    }
    assert!(count > 300, "{count}");
}

/// The paths of all values of a call, without the places in lists.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                paths(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| paths(value, path, found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn calls_are_such_as_a_master_accepted() {
    let mut accepted = BTreeSet::new();
    for name in [
        "02-basic-task-life",
        "03-decline-revive-suppress",
        "06-reconnect-failover",
        "07-agent-failure",
        "10-maintenance-drain",
        "21-scale-and-memory",
    ] {
        for message in recording(name) {
            let is_call = message.head.first().is_some_and(|line| {
                line.starts_with("POST /api/v1/scheduler ")
                    || line.contains("/master/api/v1/scheduler")
            });
            if let (true, Some(body)) = (is_call, message.body)
                && let Ok(value) = serde_json::from_str::<Value>(&body)
            {
                paths(&value, "", &mut accepted);
            }
        }
    }
    let mut sent = BTreeSet::new();
    for call in calls() {
        // What an absent value means is said, too, by our JSON; protobuf has only what is there.
        let value = serde_json::from_slice(&Encoding::Json.encode(&call)).unwrap();
        paths(&value, "", &mut sent);
    }
    let other: Vec<&String> = sent.difference(&accepted).collect();
    insta::assert_debug_snapshot!("not_recorded", other);
}

/// One of each call that there is.
fn calls() -> Vec<Call> {
    let now = Time(1_795_318_000_000_000_000);
    let mut translator = Translator::new(settings(), None);
    let mut calls = vec![translator.subscribe()];
    let first = events("02-basic-task-life", "sched");
    let kind = |kind: &str| {
        first.iter().find(|(file, _, _)| file.contains(kind)).map(|(_, _, event)| event.clone())
    };
    let specification = Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["/bin/sleep".to_owned(), "9".to_owned()]),
        need: Need { millicores: 100, memory_mib: 32, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::from_seconds(3),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    };
    let launch = Launch {
        instance: "sleep.1".parse().unwrap(),
        machine: "127.0.0.1".parse().unwrap(),
        ports: vec![31_000].into(),
        specification: Arc::new(specification),
        volume: None,
        epoch: Epoch(1),
    };
    let kill = Command::Kill {
        instance: launch.instance.clone(),
        machine: launch.machine.clone(),
        grace: Nanoseconds::from_seconds(3),
        epoch: Epoch(1),
    };
    let event = |kind_: &str| Input::Event(Box::new(kind(kind_).unwrap()));
    let maintenance = events("10-maintenance-drain", "sched");
    let inverse = maintenance.iter().find(|(file, _, _)| file.contains("INVERSE_OFFERS"));
    let mut inputs = vec![
        vec![event(".SUBSCRIBED.")],
        vec![event(".OFFERS.")],
        vec![Input::Command(Command::Launch(launch))],
        vec![event(".UPDATE.")],
        vec![Input::Command(kill)],
        vec![Input::Event(Box::new(inverse.unwrap().2.clone()))],
        vec![event(".OFFERS.")],
        vec![Input::Wanted(false)],
    ];
    inputs.extend((0..3).map(|_| vec![Input::Tick]));
    inputs.push(vec![Input::Wanted(true)]);
    for (step, inputs) in inputs.into_iter().enumerate() {
        let now = now + Nanoseconds::from_seconds(u64::try_from(step).unwrap() * 100);
        let mut inputs = inputs;
        while !inputs.is_empty() {
            for output in translator.handle(std::mem::take(&mut inputs), now) {
                match output {
                    Output::Call(call) => calls.push(*call),
                    Output::Store(id) => inputs.push(Input::Stored(id)),
                    Output::Event(Fact::Told { receipt }) => {
                        inputs.push(Input::Command(Command::Acknowledge { receipt }));
                    }
                    _ => {}
                }
            }
        }
    }
    let kinds: BTreeSet<CallType> = calls.iter().map(Call::r#type).collect();
    for kind in [
        CallType::Subscribe,
        CallType::Accept,
        CallType::Acknowledge,
        CallType::Kill,
        CallType::Reconcile,
        CallType::AcceptInverseOffers,
        CallType::Decline,
        CallType::Suppress,
        CallType::Revive,
    ] {
        assert!(kinds.contains(&kind), "{kind} is missing: {kinds:?}");
    }
    calls
}
