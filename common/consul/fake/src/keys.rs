//! Keys and sessions, and what changes them: all of a transaction, or nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Operations of a transaction (`maxTxnOps` of Consul 1.8).
const OPERATIONS_MOST: usize = 64;

/// A key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    value: Vec<u8>,
    session: Option<String>,
    lock_index: u64,
    created: u64,
    pub modified: u64,
}

#[derive(Debug)]
struct Session {
    ttl: Duration,
    lock_delay: Duration,
    heard: Instant,
}

/// All keys and sessions.
#[derive(Debug, Default)]
pub struct Keys {
    entries: BTreeMap<String, Entry>,
    sessions: BTreeMap<String, Session>,
    delays: BTreeMap<String, Instant>,
    pub index: u64,
    sessions_made: u64,
    /// Of the agent, by id.
    pub services: BTreeMap<String, Value>,
    pub times_as_fast: u32,
}

/// A part of a transaction as it comes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Operation {
    pub verb: String,
    pub key: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    session: String,
}

/// Why a transaction isn't done.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It never can be: status and words.
    Whole(u16, String),
    /// An operation can't be done: its place and why.
    Operation(usize, String),
}

impl Keys {
    /// A new session; the words of Consul if it can't be.
    pub fn create(&mut self, ttl: Duration, lock_delay: Duration) -> Result<String, String> {
        if !(10..=86_400).contains(&ttl.as_secs()) {
            let nanoseconds = ttl.as_nanos();
            return Err(format!(
                "Invalid Session TTL '{nanoseconds}', must be between [10s=24h0m0s]"
            ));
        }
        self.sessions_made += 1;
        self.index += 1;
        let id = format!("00000000-0000-0000-0000-{:012}", self.sessions_made);
        self.sessions.insert(id.clone(), Session { ttl, lock_delay, heard: Instant::now() });
        Ok(id)
    }

    /// A session goes on; whether there is one.
    pub fn renew(&mut self, id: &str) -> bool {
        self.sessions.get_mut(id).map(|session| session.heard = Instant::now()).is_some()
    }

    /// A session ends: its keys are free, after the delay.
    pub fn destroy(&mut self, id: &str) -> bool {
        let Some(session) = self.sessions.remove(id) else { return false };
        self.index += 1;
        let until = Instant::now() + session.lock_delay / self.times_as_fast;
        for (key, entry) in &mut self.entries {
            if entry.session.as_deref() == Some(id) {
                entry.session = None;
                entry.modified = self.index;
                self.delays.insert(key.clone(), until);
            }
        }
        true
    }

    /// Ends sessions that were silent for twice their length, as Consul does; whether there were any.
    pub fn reap(&mut self) -> bool {
        let speed = self.times_as_fast;
        let is_silent = |session: &Session| session.heard.elapsed() > session.ttl * 2 / speed;
        let silent = self.sessions.iter().filter(|(_, session)| is_silent(session));
        let silent: Vec<String> = silent.map(|(id, _)| id.clone()).collect();
        for id in &silent {
            self.destroy(id);
        }
        !silent.is_empty()
    }

    pub fn holder(&self, key: &str) -> Option<String> {
        self.entries.get(key)?.session.clone()
    }

    pub fn end_holder(&mut self, key: &str) -> bool {
        let ended = self.holder(key).is_some_and(|id| self.destroy(&id));
        self.delays.remove(key);
        ended
    }

    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.entries.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Keys as Consul tells them.
    pub fn told(&self, keys: &[String]) -> Vec<Value> {
        let told = |key: &String| Some(tell(key, self.entries.get(key)?, true));
        keys.iter().filter_map(told).collect()
    }

    /// Gives a key to a session.
    pub fn acquire(&mut self, key: &str, id: &str, value: Vec<u8>) -> Result<bool, String> {
        if !self.sessions.contains_key(id) {
            return Err(format!("invalid session {id:?}"));
        }
        let is_delayed = self.delays.get(key).is_some_and(|until| Instant::now() < *until);
        let holder = self.holder(key);
        if is_delayed || holder.as_deref().is_some_and(|holder| holder != id) {
            return Ok(false);
        }
        self.index += 1;
        let index = self.index;
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| created(index));
        if entry.session.is_none() {
            entry.lock_index += 1;
        }
        entry.session = Some(id.to_owned());
        (entry.value, entry.modified) = (value, index);
        Ok(true)
    }

    /// Takes a key back from a session.
    pub fn release(&mut self, key: &str, id: &str, value: Vec<u8>) -> bool {
        if self.holder(key).as_deref() != Some(id) {
            return false;
        }
        self.index += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.session = None;
            (entry.value, entry.modified) = (value, self.index);
        }
        true
    }

    /// Sets a key.
    pub fn put(&mut self, key: &str, value: Vec<u8>) {
        self.index += 1;
        let index = self.index;
        let entry = self.entries.entry(key.to_owned()).or_insert_with(|| created(index));
        (entry.value, entry.modified) = (value, index);
    }

    /// Does all operations, or none.
    pub fn transact(&mut self, operations: &[Operation]) -> Result<Vec<Value>, Refused> {
        let count = operations.len();
        if count > OPERATIONS_MOST {
            let why =
                format!("Transaction contains too many operations ({count} > {OPERATIONS_MOST})");
            return Err(Refused::Whole(413, why));
        }
        let mut before = Vec::new();
        let mut told = Vec::new();
        let index = self.index + 1;
        for (number, operation) in operations.iter().enumerate() {
            match self.operate(operation, index, &mut before) {
                Ok(pair) => told.extend(pair),
                Err(why) => {
                    for (key, entry) in before.into_iter().rev() {
                        match entry {
                            Some(entry) => self.entries.insert(key, entry),
                            None => self.entries.remove(&key),
                        };
                    }
                    return Err(match why {
                        Ok(why) => Refused::Operation(number, why),
                        Err(why) => Refused::Whole(400, why),
                    });
                }
            }
        }
        self.index = index;
        Ok(told)
    }

    /// Does one; what was before is noted. An inner error is of a verb that isn't known here.
    fn operate(
        &mut self,
        operation: &Operation,
        index: u64,
        before: &mut Vec<(String, Option<Entry>)>,
    ) -> Result<Option<Value>, Result<String, String>> {
        let key = &operation.key;
        let entry = self.entries.get(key);
        let modified = entry.map_or(0, |entry| entry.modified);
        match operation.verb.as_str() {
            "set" | "cas" => {
                if operation.verb == "cas" && modified != operation.index {
                    return Err(Ok(format!("failed to set key {key:?}, index is stale")));
                }
                let value = STANDARD.decode(operation.value.as_deref().unwrap_or_default());
                let value = value.map_err(|error| Err(error.to_string()))?;
                before.push((key.clone(), entry.cloned()));
                let entry = self.entries.entry(key.clone()).or_insert_with(|| created(index));
                (entry.value, entry.modified) = (value, index);
                Ok(Some(tell(key, entry, false)))
            }
            "check-index" if entry.is_none() => Err(Ok(format!("key {key:?} doesn't exist"))),
            "check-index" if modified != operation.index => Err(Ok(format!(
                "failed index check for key {key:?}, current modify index {modified} != {}",
                operation.index
            ))),
            "check-session" => match entry {
                None => Err(Ok(format!("failed to check session, key {key:?} doesn't exist"))),
                Some(entry) if entry.session.as_deref() == Some(operation.session.as_str()) => {
                    Ok(Some(tell(key, entry, false)))
                }
                Some(entry) => Err(Ok(format!(
                    "failed session check for key {key:?}, current session {:?} != {:?}",
                    entry.session.as_deref().unwrap_or_default(),
                    operation.session
                ))),
            },
            "check-index" => Ok(entry.map(|entry| tell(key, entry, false))),
            "delete" => {
                before.push((key.clone(), self.entries.remove(key)));
                Ok(None)
            }
            "delete-tree" => {
                for name in self.names(key) {
                    let entry = self.entries.remove(&name);
                    before.push((name, entry));
                }
                Ok(None)
            }
            other => Err(Err(format!("unknown verb {other}"))),
        }
    }
}

fn created(index: u64) -> Entry {
    Entry { created: index, ..Entry::default() }
}

fn tell(key: &str, entry: &Entry, has_value: bool) -> Value {
    let mut told = json!({
        "LockIndex": entry.lock_index,
        "Key": key,
        "Flags": 0,
        "Value": has_value.then(|| STANDARD.encode(&entry.value)),
        "CreateIndex": entry.created,
        "ModifyIndex": entry.modified,
    });
    if let (Some(session), Some(told)) = (&entry.session, told.as_object_mut()) {
        told.insert("Session".to_owned(), json!(session));
    }
    told
}
