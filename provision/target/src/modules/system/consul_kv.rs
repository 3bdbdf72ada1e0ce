//! `consul_kv`: keys of Consul, through its HTTP API (<https://developer.hashicorp.com/consul/api-docs/kv>).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use provision_protocol::Object;
use serde_json::{Value, json};

use super::http;
use crate::module::{Context, Failure, Given, Outcome};

/// `consul_kv`: reads, writes, locks or removes a key.
///
/// # Errors
/// When Consul can't be reached or refuses.
pub fn consul_kv(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let store = Store { given: Given(given) };
    match store.given.word("state") {
        "absent" => store.remove(context),
        "acquire" => store.lock("acquire", context),
        "release" => store.lock("release", context),
        _ => store.set(context),
    }
}

struct Store<'a> {
    given: Given<'a>,
}

impl Store<'_> {
    fn request(
        &self,
        method: &str,
        query: &[(&str, &str)],
        body: Option<&str>,
        context: &Context<'_>,
    ) -> Result<http::Said, Failure> {
        let given = self.given;
        let (scheme, host) = (given.word("scheme"), given.word("host"));
        let port = given.integer("port").unwrap_or(8500);
        let key = escaped(given.word("key"), true);
        let mut address = format!("{scheme}://{host}:{port}/v1/kv/{key}");
        let datacenter = given.text("datacenter").map(|name| ("dc", name));
        for (place, (name, value)) in query.iter().copied().chain(datacenter).enumerate() {
            let _ = write!(
                address,
                "{}{name}={}",
                if place == 0 { '?' } else { '&' },
                escaped(value, false)
            );
        }
        let mut headers = Object::new();
        if let Some(token) = given.text("token") {
            headers.insert("X-Consul-Token".to_owned(), token.into());
        }
        let body = body.map(|body| body.as_bytes().to_vec());
        let validates = given.choice("validate_certs").unwrap_or(true);
        let said = http::ask(method, &address, headers, body, validates, context)?;
        if said.status < 300 || (method == "GET" && said.status == 404) {
            return Ok(said);
        }
        let reason = String::from_utf8_lossy(&said.content).trim().to_owned();
        Err(Failure::new(format!(
            "Could not {method} the key of Consul at {address}: HTTP {}: {reason}",
            said.status
        ))
        .with("status", said.status))
    }

    /// The index, and the entry; with `recurse` the list of all below.
    fn get(&self, context: &Context<'_>) -> Result<(Value, Value), Failure> {
        let is_tree = self.given.flag("recurse");
        let query: &[(&str, &str)] = if is_tree { &[("recurse", "true")] } else { &[] };
        let said = self.request("GET", query, None, context)?;
        let index = said.index.map_or(Value::Null, Value::String);
        if said.status == 404 {
            return Ok((index, Value::Null));
        }
        let mut entries: Vec<Value> = serde_json::from_slice(&said.content)
            .map_err(|error| Failure::new(format!("Consul's answer can't be read: {error}")))?;
        entries.iter_mut().for_each(decode);
        Ok((
            index,
            if is_tree {
                entries.into()
            } else {
                entries.into_iter().next().unwrap_or(Value::Null)
            },
        ))
    }

    fn told(&self, changed: bool, index: Value, data: Value) -> Outcome {
        let key = self.given.word("key");
        Outcome::new(changed).with("index", index).with("key", key).with("data", data)
    }

    fn set(&self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (index, there) = self.get(context)?;
        let Some(value) = self.given.text("value") else {
            return Ok(self.told(false, index, there));
        };
        let is_same = there.get("Value").and_then(Value::as_str) == Some(value)
            && self.given.text("flags").is_none_or(|flags| {
                flags.parse::<u64>().ok() == there.get("Flags").and_then(Value::as_u64)
            });
        let mut changed = !is_same;
        if changed && !context.check {
            context.about_to_change()?;
            let words = [("cas", self.given.text("cas")), ("flags", self.given.text("flags"))];
            let query: Vec<(&str, &str)> =
                words.iter().filter_map(|(name, word)| Some((*name, (*word)?))).collect();
            // Consul says false if the index that was given isn't that of the key any more.
            changed = is_true(&self.request("PUT", &query, Some(value), context)?);
        }
        if !self.given.choice("retrieve").unwrap_or(true) {
            return Ok(self.told(changed, index, Value::Null));
        }
        let (index, data) = self.get(context)?;
        Ok(self.told(changed, index, data))
    }

    fn remove(&self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (index, there) = self.get(context)?;
        let is_there = !there.is_null();
        if is_there && !context.check {
            context.about_to_change()?;
            let is_tree = self.given.flag("recurse");
            let query: &[(&str, &str)] = if is_tree { &[("recurse", "true")] } else { &[] };
            self.request("DELETE", query, None, context)?;
        }
        Ok(self.told(is_there, index, there))
    }

    /// Takes or gives back the lock that a session holds on the key.
    fn lock(&self, how: &str, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let session = self.given.word("session");
        let (index, there) = self.get(context)?;
        let holds = there.get("Session").and_then(Value::as_str) == Some(session);
        let mut changed = holds == (how == "release");
        if changed && !context.check {
            context.about_to_change()?;
            let value = self.given.text("value").or_else(|| there.get("Value")?.as_str());
            let query = [(how, session)];
            changed =
                is_true(&self.request("PUT", &query, Some(value.unwrap_or_default()), context)?);
        }
        Ok(self.told(changed, index, json!(null)))
    }
}

fn is_true(said: &http::Said) -> bool {
    said.content.trim_ascii() == b"true"
}

/// Values are base64 on the way.
fn decode(entry: &mut Value) {
    let Some(text) = entry.get("Value").and_then(Value::as_str) else { return };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let plain = String::from_utf8_lossy(&bytes).into_owned();
    if let Some(value) = entry.get_mut("Value") {
        *value = plain.into();
    }
}

/// Percent-encoding (RFC 3986 §2.1); in a path slashes stay.
fn escaped(text: &str, is_path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let is_plain =
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/');
        let _ = match is_plain {
            true => out.write_char(char::from(byte)),
            false => write!(out, "%{byte:02X}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;
    use crate::modules::system::http::server::{Answer, Server};
    use crate::modules::system::testing::context;

    /// As much of Consul's store as the module uses: keys, values, locks.
    fn consul() -> Server {
        let keys: Mutex<BTreeMap<String, (String, Option<String>)>> = Mutex::default();
        Server::start(move |received| {
            let mut keys = keys.lock().unwrap();
            if received.header("x-consul-token") != Some("t") {
                return Answer::new(403).body("Permission denied".to_owned());
            }
            let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
            let key = path.strip_prefix("/v1/kv/").unwrap().to_owned();
            let entry = |key: &str, (value, session): &(String, Option<String>)| json!({"Key": key, "Flags": 0, "Value": STANDARD.encode(value), "Session": session});
            let said = |value: Value| {
                Answer::new(200).header("X-Consul-Index", "7").body(value.to_string())
            };
            match received.method.as_str() {
                "GET" => {
                    let is_tree = query.contains("recurse");
                    let fits = |known: &str| known == key || (is_tree && known.starts_with(&key));
                    let found: Vec<Value> = keys
                        .iter()
                        .filter(|(known, _)| fits(known))
                        .map(|(known, one)| entry(known, one))
                        .collect();
                    if found.is_empty() { Answer::new(404) } else { said(found.into()) }
                }
                "PUT" if query.contains("cas=9") => said(false.into()),
                "PUT" => {
                    let session = match query.split_once('=') {
                        Some(("acquire", session)) => Some(session.to_owned()),
                        _ => None,
                    };
                    keys.insert(key, (received.body.clone(), session));
                    said(true.into())
                }
                _ => {
                    keys.retain(|known, _| !known.starts_with(&key));
                    said(true.into())
                }
            }
        })
    }

    #[test]
    fn a_key_is_written_locked_and_removed() {
        let server = consul();
        let port: u16 =
            server.url("").trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        let given = |more: Value| {
            let mut given =
                json!({"key": "a/b c", "host": "127.0.0.1", "port": port, "token": "t"});
            given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            given
        };
        let call = |more: Value| context().call_named("consul_kv", given(more)).unwrap();
        let check =
            |more: Value| context().checking().call_named("consul_kv", given(more)).unwrap();
        assert!(check(json!({"value": "1"})).changed && call(json!({})).values["data"].is_null());
        let done = call(json!({"value": "1"}));
        assert!(done.changed);
        assert_eq!(done.values["data"]["Value"], "1");
        assert_eq!(done.values["index"], "7");
        assert!(!call(json!({"value": "1"})).changed);
        assert!(!call(json!({"value": "2", "cas": "9"})).changed);
        assert!(call(json!({"state": "acquire", "session": "s"})).changed);
        assert!(!call(json!({"state": "acquire", "session": "s"})).changed);
        assert!(call(json!({"state": "release", "session": "s"})).changed);
        assert_eq!(call(json!({})).values["data"]["Value"], "1");
        assert!(call(json!({"state": "absent", "recurse": true})).changed);
        assert!(!call(json!({"state": "absent", "recurse": true})).changed);
        let refused = context().call_named("consul_kv", given(json!({"token": "x"}))).unwrap_err();
        assert!(refused.message.contains("HTTP 403: Permission denied"), "{refused:?}");
    }
}
