//! Replays one session.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesos::{Encoding, operator, scheduler};
use serde::Deserialize;
use serde_json::Value;
use simulator_mesos::wire::{self, Body, Request, Response};
use simulator_mesos::{
    AgentKey, Configuration, Delivery, Identity, MILLISECOND, Master, Nanoseconds, Output, Restart,
    StreamKey,
};

use crate::stimuli::{Act, Session};

/// How long an event may come later than it was recorded.
const PATIENCE: Nanoseconds = 5_000 * MILLISECOND;

/// A line of a recording.
#[derive(Debug, Deserialize)]
struct Row {
    file: String,
    at: Option<f64>,
    #[serde(default)]
    head: Vec<String>,
    body: Option<String>,
    base64: Option<String>,
}

impl Row {
    fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.base64) {
            (Some(body), _) => body.clone().into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).unwrap(),
            (None, None) => Vec::new(),
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.head.iter().skip(1).filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    /// Ids that an event brings: offers in quotes, uuids.
    fn brings(&self) -> Vec<String> {
        let body = self.body.as_deref().filter(|_| self.file.contains(".event."));
        let Some(event) = body.and_then(|body| serde_json::from_str::<Value>(body).ok()) else {
            return Vec::new();
        };
        let mut ids = Vec::new();
        for list in ["/offers/offers", "/inverse_offers/inverse_offers"] {
            let offers = event.pointer(list).and_then(Value::as_array).into_iter().flatten();
            ids.extend(offers.filter_map(|it| it.pointer("/id/value")).map(Value::to_string));
        }
        ids.extend(event.pointer("/update/status/uuid").map(Value::to_string));
        let operation = event.pointer("/update_operation_status/status/uuid/value");
        ids.extend(operation.map(Value::to_string));
        ids
    }

    /// Who sent or received it: the word after the number.
    fn who(&self) -> &str {
        self.file.get(4..).unwrap_or_default().split('.').next().unwrap_or_default()
    }
}

/// What came of a replay.
pub struct Found {
    pub same: usize,
    pub differences: Vec<String>,
}

/// A stream of the replay: what came and was not compared yet.
#[derive(Default)]
struct Stream {
    events: VecDeque<Value>,
    is_closed: bool,
}

struct Replay<'a> {
    session: &'a Session,
    master: Master,
    agents: Vec<AgentKey>,
    acts: VecDeque<(Nanoseconds, Act)>,
    streams: BTreeMap<String, (StreamKey, Stream)>,
    keys: BTreeMap<StreamKey, String>,
    /// From recorded ids to ours.
    ids: BTreeMap<String, String>,
    next_stream: u64,
    found: Found,
}

pub fn replay(session: &Session) -> Found {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../common/mesos/tests/recordings");
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    names.sort();
    let file = names
        .into_iter()
        .find(|it| it.file_name().unwrap().to_str().unwrap().starts_with(session.name))
        .unwrap();
    let text = fs::read_to_string(file).unwrap();
    let rows: Vec<Row> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let configuration = Configuration {
        epoch_nanoseconds: 1_795_317_000_000_000_000,
        ..session.configuration.clone()
    };
    let mut replay = Replay {
        session,
        master: Master::new(configuration),
        agents: Vec::new(),
        acts: session.acts.iter().cloned().collect(),
        streams: BTreeMap::new(),
        keys: BTreeMap::new(),
        ids: BTreeMap::new(),
        next_stream: 0,
        found: Found { same: 0, differences: Vec::new() },
    };
    replay.run(&rows);
    replay.found
}

impl Replay<'_> {
    fn run(&mut self, rows: &[Row]) {
        let is_meant = |row: &&Row| !self.session.skips.iter().any(|skip| row.file.contains(skip));
        let rows: Vec<&Row> = rows.iter().filter(is_meant).collect();
        // In the order of time: events were written down as they came, calls when they were answered.
        let noted = |index: usize| rows[index..].iter().find_map(|row| row.at).unwrap_or_default();
        // A call that names an id comes after the event that brought it.
        let brought: Vec<Vec<String>> = rows.iter().map(|row| row.brings()).collect();
        let time = |index: usize| {
            let is_request = rows[index].file.ends_with(".request.http");
            let body = rows[index].body.as_deref().filter(|_| is_request).unwrap_or_default();
            let named = (0..index).filter(|it| brought[*it].iter().any(|id| body.contains(id)));
            named.map(noted).chain([noted(index)]).fold(0.0, f64::max)
        };
        let mut order: Vec<usize> =
            (0..rows.len()).filter(|index| !rows[*index].file.contains(".response")).collect();
        order.sort_by(|a, b| time(*a).total_cmp(&time(*b)));
        for index in order {
            let row = rows[index];
            self.advance(nanoseconds(time(index)) + self.session.shift);
            if !row.file.ends_with(".request.http") {
                self.expect(row);
                continue;
            }
            let name =
                |row: &Row| row.file.get(4..).unwrap().split(".re").next().unwrap().to_owned();
            let response = self.send(row);
            let mut later = rows[index..].iter().filter(|it| it.file.contains(".response"));
            if let Some(answer) = later.find(|it| name(it) == name(row)) {
                self.compare_answer(answer, &response);
            }
        }
        let end = self.master.now();
        self.advance(end);
        let mut left = Vec::new();
        for (who, (_, stream)) in &self.streams {
            for event in &stream.events {
                let kind = kind_of(event);
                if !kind.starts_with("HEARTBEAT") && !self.session.extras.contains(&kind.as_str()) {
                    left.push(format!("{who}: {kind} was not recorded"));
                }
            }
        }
        self.found.differences.extend(left);
    }

    fn advance(&mut self, to: Nanoseconds) {
        let to = to.max(self.master.now());
        while let Some((at, _)) = self.acts.front() {
            if at + self.session.shift > to {
                break;
            }
            let (at, act) = self.acts.pop_front().unwrap();
            self.master.advance((at + self.session.shift).max(self.master.now()));
            self.act(act);
        }
        self.master.advance(to);
        self.collect();
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Join(spec) => self.agents.push(self.master.add_agent(*spec).unwrap()),
            Act::Start(agent) => self.master.start_agent(self.agents[agent]),
            Act::Crash(agent) => self.master.crash_agent(self.agents[agent]),
            Act::Unregister(agent) => self.master.unregister_agent(self.agents[agent]),
            Act::Disconnect(who) => {
                let (key, stream) = self.streams.get_mut(who).expect(who);
                stream.is_closed = true;
                self.master.disconnected(*key);
            }
            Act::Restart(how, within) => self.master.restart(how, within),
            Act::Elect(port) => {
                let id = format!("00000000-0000-4000-8000-{port:012}");
                let elected = Identity { id, port, ..self.master.identity() };
                self.master.take_over(elected, Restart::Registry, 600_000 * MILLISECOND);
            }
        }
        self.collect();
    }

    fn collect(&mut self) {
        for output in self.master.take_outputs() {
            match output {
                Output::Record(key, delivery) => {
                    let bytes = match delivery {
                        Delivery::Scheduler(event) => Encoding::Json.encode(&*event),
                        Delivery::Operator(event) => Encoding::Json.encode(&*event),
                    };
                    let Some(who) = self.keys.get(&key) else { continue };
                    let (_, stream) = self.streams.get_mut(who).unwrap();
                    stream.events.push_back(serde_json::from_slice(&bytes).unwrap());
                }
                Output::Close(key) => {
                    if let Some(who) = self.keys.get(&key) {
                        self.streams.get_mut(who).unwrap().1.is_closed = true;
                    }
                }
                Output::Run(..) | Output::Cut(_) => unreachable!("all bodies are simulated"),
            }
        }
    }

    /// Sends a recorded request with our ids in the place of the recorded ones.
    fn send(&mut self, row: &Row) -> Response {
        let mut line = row.head[0].split(' ');
        let method = line.next().unwrap().to_owned();
        let target = line.next().unwrap();
        let path = target.split('?').next().unwrap().to_owned();
        let stream_id = row.header("Mesos-Stream-Id").map(|id| self.ours(&id));
        let mut body = row.bytes();
        let content_type = row.header("Content-Type");
        if row.header("Content-Encoding").is_some() || row.header("Transfer-Encoding").is_some() {
            // The wire's work: what was packed is the same call as before it.
            body = self.session.unpacked.clone().into_bytes();
        }
        if content_type.as_deref() == Some("application/x-protobuf") && path.contains("scheduler") {
            if let Ok(call) = Encoding::Protobuf.decode::<scheduler::Call>(&body) {
                let json = String::from_utf8(Encoding::Json.encode(&call)).unwrap();
                let call: scheduler::Call =
                    Encoding::Json.decode(self.ours_base64(&json).as_bytes()).unwrap();
                body = Encoding::Protobuf.encode(&call);
            }
        } else if let Ok(text) = String::from_utf8(body.clone()) {
            body = self.ours(&text).into_bytes();
        }
        let key = StreamKey(self.next_stream);
        let who = row.who().to_owned();
        // A stream of this name begins with this request, if the answer is one.
        self.keys.insert(key, who.clone());
        let old = self.streams.remove(&who);
        self.streams.insert(who.clone(), (key, Stream::default()));
        let request =
            Request { method, path, content_type, accept: row.header("Accept"), stream_id, body };
        let leader = (self.session.leader)(&row.file);
        let response = wire::answer(&mut self.master, &leader, &request, key);
        if matches!(response.body, Body::Stream(..)) {
            self.next_stream += 1;
        } else {
            self.keys.remove(&key);
            self.streams.remove(&who);
            if let Some(old) = old {
                self.keys.insert(old.0, who.clone());
                self.streams.insert(who, old);
            }
        }
        self.collect();
        response
    }

    /// A text with our ids.
    fn ours(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Longer ones first: O10 begins like O1.
        let mut ids: Vec<_> = self.ids.iter().collect();
        ids.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        for (recorded, own) in ids {
            text = text.replace(recorded.as_str(), own);
        }
        text
    }

    fn ours_base64(&self, text: &str) -> String {
        self.ours(text)
    }

    fn compare_answer(&mut self, row: &Row, response: &Response) {
        let mut problems = Vec::new();
        let status: u16 = row.head[0].split(' ').nth(1).unwrap().parse().unwrap();
        if status != response.status {
            problems.push(format!("status {} instead of {status}", response.status));
        }
        if let (Some(recorded), Some(own)) = (row.header("Mesos-Stream-Id"), &response.stream_id) {
            self.ids.insert(recorded, own.clone());
        }
        let content_type = row.header("Content-Type");
        if content_type.as_deref() != response.content_type {
            problems.push(format!("content type {:?}", response.content_type));
        }
        if row.header("Location") != response.location {
            problems.push(format!("location {:?}", response.location));
        }
        if row.header("Allow").as_deref() != response.allow {
            problems.push(format!("allow {:?}", response.allow));
        }
        let bytes = row.bytes();
        match &response.body {
            Body::Stream(..) => {
                if row.header("Transfer-Encoding").is_none() {
                    problems.push("a stream".to_owned());
                }
                // A stream that ended at once was recorded with its only event.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let (Some(start), Some(end)) = (text.find('{'), text.rfind('}')) {
                    let recorded: Value = serde_json::from_str(&text[start..=end]).unwrap();
                    let own =
                        self.streams.get_mut(row.who()).and_then(|it| it.1.events.pop_front());
                    self.compare(&recorded, &own.unwrap_or_default(), "", &mut problems);
                }
            }
            Body::Bytes(own) => {
                let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
                let protobuf = |bytes: &[u8]| {
                    let message: operator::Response = Encoding::Protobuf.decode(bytes).ok()?;
                    json(&Encoding::Json.encode(&message))
                };
                let is_protobuf = response.content_type == Some("application/x-protobuf");
                let read = |bytes: &[u8]| if is_protobuf { protobuf(bytes) } else { json(bytes) };
                match (read(&bytes), read(own)) {
                    (Some(recorded), Some(own)) if recorded.is_object() => {
                        self.compare(&recorded, &own, "", &mut problems);
                    }
                    _ => {
                        let recorded = self.ours(&String::from_utf8_lossy(&bytes));
                        let own = String::from_utf8_lossy(own).into_owned();
                        if recorded != own {
                            problems.push(format!("{own:?} instead of {recorded:?}"));
                        }
                    }
                }
            }
        }
        self.note(&row.file, problems);
    }

    /// Waits for an event like the recorded one, and compares it.
    fn expect(&mut self, row: &Row) {
        let bytes = row.bytes();
        let recorded: Value = if row.base64.is_some() {
            let event: scheduler::Event = Encoding::Protobuf.decode(&bytes).unwrap();
            serde_json::from_slice(&Encoding::Json.encode(&event)).unwrap()
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        let kind = kind_of(&recorded);
        let who = row.who().to_owned();
        let limit = self.master.now() + PATIENCE;
        loop {
            let stream = self.streams.get_mut(&who).map(|(_, stream)| stream);
            let position = stream
                .as_ref()
                .and_then(|stream| stream.events.iter().position(|event| kind_of(event) == kind));
            if let Some(position) = position {
                let own = self.streams.get_mut(&who).unwrap().1.events.remove(position).unwrap();
                let mut problems = Vec::new();
                self.compare(&recorded, &own, "", &mut problems);
                return self.note(&row.file, problems);
            }
            let act = self.acts.front().map(|it| it.0 + self.session.shift);
            let next = self.master.next_wake().into_iter().chain(act).min();
            match next.filter(|at| *at <= limit) {
                Some(at) => self.advance(at),
                None => return self.note(&row.file, vec![format!("{kind} did not come")]),
            }
        }
    }

    fn note(&mut self, file: &str, problems: Vec<String>) {
        if problems.is_empty() {
            self.found.same += 1;
        } else {
            let problems: Vec<String> = problems.into_iter().map(|it| shorten(&it)).collect();
            self.found.differences.push(format!("{file}: {}", problems.join("; ")));
        }
    }

    fn compare(&mut self, recorded: &Value, own: &Value, path: &str, problems: &mut Vec<String>) {
        let last =
            path.rsplit('.').next().unwrap_or_default().split('[').next().unwrap_or_default();
        match (recorded, own) {
            (Value::Object(a), Value::Object(b)) => {
                for (key, value) in a {
                    if self.session.ignored.contains(&key.as_str()) {
                        continue;
                    }
                    match b.get(key) {
                        Some(own) => self.compare(value, own, &format!("{path}.{key}"), problems),
                        None => problems.push(format!("{path}.{key} is missing")),
                    }
                }
                for key in b.keys().filter(|key| !a.contains_key(*key)) {
                    problems.push(format!("{path}.{key} was not recorded"));
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return problems.push(format!(
                        "{path} has {} entries, recorded {}",
                        b.len(),
                        a.len()
                    ));
                }
                let (a, b) = (in_order(a), in_order(b));
                for (index, (a, b)) in a.iter().zip(&b).enumerate() {
                    self.compare(a, b, &format!("{path}[{index}]"), problems);
                }
            }
            (Value::String(a), Value::String(b)) => {
                let parent = path.rsplit('.').nth(1).unwrap_or_default();
                let is_id = last == "uuid"
                    || last == "status_update_uuid"
                    || last == "id"
                    || last == "pid" && a.contains('-')
                    || last == "value" && parent == "uuid"
                    || last == "value"
                        && (parent.ends_with("_id") || parent == "id" || parent.contains("_ids["));
                let is_name = self.session.names.contains(&a.as_str()) || a == b;
                if is_id && !is_name {
                    let known = self.ids.entry(a.clone()).or_insert_with(|| b.clone()).clone();
                    if known != *b {
                        problems.push(format!("{path} is another one than before"));
                    }
                } else if self.ours(a) != *b {
                    problems.push(format!("{path} is {b:?}, recorded {a:?}"));
                }
            }
            (Value::Number(a), Value::Number(b)) => {
                let times = [
                    "timestamp",
                    "nanoseconds",
                    "executor_pid",
                    "start_time",
                    "elected_time",
                    "registered_time",
                    "unregistered_time",
                    "reregistered_time",
                    "estimated_drain_start_time_seconds",
                    "build_time",
                ];
                let is_time = times.contains(&last) && b.as_f64().unwrap() > 0.0;
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                if !is_time && (a - b).abs() > 1e-9 {
                    problems.push(format!("{path} is {b}, recorded {a}"));
                }
            }
            _ if recorded == own => {}
            _ => problems.push(format!("{path} is {own}, recorded {recorded}")),
        }
    }
}

/// Lists of things with ids have no order.
fn in_order(values: &[Value]) -> Vec<Value> {
    let mut values = values.to_vec();
    let key = |value: &Value| {
        let id = ["/id", "/agent_id/value", "/agent_info/id/value", "/task_id/value"];
        let text = id.iter().find_map(|path| value.pointer(path).and_then(Value::as_str));
        // Of ids that masters give, the last part is the same in both.
        text.map(|text| if text.len() > 36 { text[36..].to_owned() } else { text.to_owned() })
    };
    let are_statuses = values.iter().any(|it| it.get("timestamp").is_some());
    if !are_statuses && values.iter().all(|value| key(value).is_some()) {
        values.sort_by_key(key);
    }
    values
}

/// What events are compared with each other: of one type, statuses also of one task and sort.
fn kind_of(event: &Value) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text(event.get("type"));
    let update = event.get("update").or_else(|| event.get("task_updated"));
    let Some(status) = update.and_then(|it| it.get("status")) else { return name };
    let task = text(status.get("task_id").and_then(|it| it.get("value")));
    let reason = text(status.get("reason"));
    format!("{name} {task} {} {reason}", text(status.get("state")))
}

fn shorten(text: &str) -> String {
    let limit = 200;
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of recordings")]
fn nanoseconds(seconds: f64) -> Nanoseconds {
    (seconds * 1e9) as Nanoseconds
}
