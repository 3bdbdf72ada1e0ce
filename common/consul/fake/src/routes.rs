//! Paths, and what is answered there.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::keys::{Keys, Operation, Refused};
use crate::{Moment, Shared};

/// What Consul takes at once, unless it is told otherwise.
const BODY_MOST_BYTES: usize = 512 << 10;

/// The longest wait if none is said (Consul has five minutes; tests are shorter).
const WAIT: Duration = Duration::from_secs(60);

/// The answer; none, if the connection is to be closed.
pub fn answer(shared: &Shared, request: &Request) -> Option<Answer> {
    if shared.is_over.load(Ordering::SeqCst) {
        return None;
    }
    if shared.is_away.load(Ordering::SeqCst) {
        return Some(Answer::new(500, "No cluster leader"));
    }
    let path = request.path.strip_prefix("/v1/").unwrap_or_default();
    let (area, rest) = path.split_once('/').unwrap_or((path, ""));
    Some(match (request.method.as_str(), area) {
        ("GET", "status") => Answer::new(200, "\"127.0.0.1:8300\""),
        ("PUT", "session") => session(shared, rest, request),
        ("GET" | "PUT", "agent") => agent(shared, rest, request),
        ("PUT", "txn") => return transaction(shared, request),
        ("PUT", "kv") => put(shared, rest, request),
        ("GET", "kv") => get(shared, rest, request),
        _ => Answer::new(404, ""),
    })
}

/// The services of the agent, as they were registered; nobody looks at their checks.
fn agent(shared: &Shared, rest: &str, request: &Request) -> Answer {
    let mut keys = shared.keys();
    if rest == "services" {
        return told(&json!(keys.services));
    }
    if rest == "service/register" {
        let service = serde_json::from_slice::<serde_json::Map<String, Value>>(&request.body);
        let mut service = service.unwrap_or_default();
        let id = service.get("ID").and_then(Value::as_str).map(str::to_owned);
        let Some(id) = id else { return Answer::new(400, "no ID") };
        // What it is registered as is not how it is told.
        let name = service.remove("Name").unwrap_or_default();
        service.insert("Service".to_owned(), name);
        service.remove("Check");
        keys.services.insert(id, Value::Object(service));
        return Answer::new(200, "");
    }
    if let Some(id) = rest.strip_prefix("service/deregister/") {
        keys.services.remove(id);
    }
    // Whatever is said of checks is taken.
    Answer::new(200, "")
}

fn told(value: &Value) -> Answer {
    Answer::new(200, value.to_string())
}

fn session(shared: &Shared, rest: &str, request: &Request) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Wanted {
        #[serde(rename = "TTL")]
        ttl: String,
        #[serde(default)]
        lock_delay: String,
    }
    let mut keys = shared.keys();
    let answer = match rest.split_once('/') {
        None if rest == "create" => {
            let wanted = serde_json::from_slice::<Wanted>(&request.body);
            let Ok(wanted) = wanted else { return Answer::new(400, "Request decode failed") };
            let lock_delay = duration(&wanted.lock_delay).unwrap_or(Duration::from_secs(15));
            match keys.create(duration(&wanted.ttl).unwrap_or_default(), lock_delay) {
                Ok(id) => told(&json!({ "ID": id })),
                Err(why) => Answer::new(500, why),
            }
        }
        Some(("renew", id)) if keys.renew(id) => told(&json!([{ "ID": id }])),
        Some(("renew", id)) => Answer::new(404, format!("Session id '{id}' not found")),
        Some(("destroy", id)) => {
            keys.destroy(id);
            told(&json!(true))
        }
        _ => Answer::new(404, ""),
    };
    drop(keys);
    shared.changed.notify_all();
    answer
}

/// As Go writes them, with one unit.
fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

fn too_large(length: usize, setting: &str) -> Answer {
    let text = format!(
        "Request body({length} bytes) too large, max size: {BODY_MOST_BYTES} bytes. See \
         https://www.consul.io/docs/agent/options.html#{setting}."
    );
    Answer::new(413, text)
}

fn put(shared: &Shared, key: &str, request: &Request) -> Answer {
    if request.body.len() > BODY_MOST_BYTES {
        return too_large(request.body.len(), "kv_max_value_size");
    }
    let mut keys = shared.keys();
    let value = request.body.clone();
    let answer = match (request.query("acquire"), request.query("release")) {
        (Some(id), _) => match keys.acquire(key, id, value) {
            Ok(is_done) => told(&json!(is_done)),
            Err(why) => Answer::new(500, why),
        },
        (None, Some(id)) => told(&json!(keys.release(key, id, value))),
        (None, None) => {
            keys.put(key, value);
            told(&json!(true))
        }
    };
    drop(keys);
    shared.changed.notify_all();
    answer
}

#[derive(Deserialize)]
struct WireOperation {
    #[serde(rename = "KV")]
    kv: Operation,
}

fn transaction(shared: &Shared, request: &Request) -> Option<Answer> {
    if request.body.len() > BODY_MOST_BYTES {
        return Some(too_large(request.body.len(), "txn_max_req_len"));
    }
    let Ok(operations) = serde_json::from_slice::<Vec<WireOperation>>(&request.body) else {
        return Some(Answer::new(400, "Failed to parse body"));
    };
    let operations: Vec<Operation> = operations.into_iter().map(|one| one.kv).collect();
    let sets = operations.iter().filter(|one| one.verb == "set" || one.verb == "cas");
    let sets: Vec<&str> = sets.map(|one| one.key.as_str()).collect();
    let ask = |moment| {
        let mut gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.as_mut().is_none_or(|gate| gate(&sets, moment))
    };
    if !ask(Moment::Before) {
        return None;
    }
    let outcome = shared.keys().transact(&operations);
    shared.changed.notify_all();
    let answer = match outcome {
        Ok(pairs) => {
            shared.transactions.fetch_add(1, Ordering::SeqCst);
            let results: Vec<Value> = pairs.into_iter().map(|pair| json!({ "KV": pair })).collect();
            told(&json!({ "Results": results, "Errors": null }))
        }
        Err(Refused::Whole(status, why)) => return Some(Answer::new(status, why)),
        Err(Refused::Operation(number, what)) => {
            let errors = json!([{ "OpIndex": number, "What": what }]);
            let body = json!({ "Results": null, "Errors": errors });
            return Some(Answer::new(409, body.to_string()));
        }
    };
    ask(Moment::After).then_some(answer)
}

fn get(shared: &Shared, key: &str, request: &Request) -> Answer {
    let index = request.query("index").and_then(|text| text.parse().ok()).unwrap_or(0);
    let wait = request.query("wait").and_then(duration).unwrap_or(WAIT);
    let is_folder = request.query("recurse").is_some() || request.query("keys").is_some();
    let begun = Instant::now();
    let mut keys = shared.keys();
    while index > 0 && index_of(&keys, key, is_folder) <= index {
        let left = wait.saturating_sub(begun.elapsed());
        let is_over =
            shared.is_over.load(Ordering::SeqCst) || shared.is_away.load(Ordering::SeqCst);
        if left.is_zero() || is_over {
            break;
        }
        let waited = shared.changed.wait_timeout(keys, left);
        keys = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let found = if is_folder {
        keys.names(key)
    } else {
        keys.entry(key).map(|_| key.to_owned()).into_iter().collect()
    };
    let body =
        if request.query("keys").is_some() { json!(found) } else { json!(keys.told(&found)) };
    let status = if found.is_empty() { 404 } else { 200 };
    let body = if found.is_empty() { String::new() } else { body.to_string() };
    Answer { index: Some(index_of(&keys, key, is_folder)), ..Answer::new(status, body) }
}

/// What a blocking query waits for a successor of: of one key its own, otherwise that of all.
fn index_of(keys: &Keys, key: &str, is_folder: bool) -> u64 {
    let own = keys.entry(key).filter(|_| !is_folder).map(|entry| entry.modified);
    own.unwrap_or(keys.index).max(1)
}
