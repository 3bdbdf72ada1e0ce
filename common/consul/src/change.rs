//! What changes something: sessions, and transactions over keys. As with questions, nothing here
//! opens a socket.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::catalog::KvPair;
use crate::{Head, RawAnswer};

/// The most operations of a transaction (Consul's `maxTxnOps`; 128 since 1.13).
pub const OPERATIONS_MOST: usize = 64;

/// The largest body of a transaction, and the largest value of a key, in bytes: what
/// `txn_max_req_len` and `kv_max_value_size` are unless an operator changes them.
pub const BODY_MOST_BYTES: usize = 512 << 10;

/// How much of a refusal is quoted, in characters.
const QUOTED_CHARACTERS: usize = 200;

/// A request that changes something: always a PUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it does, for messages: what could not be done.
    pub what: String,
    /// The rules that a token needs for it.
    pub permission: String,
    /// Path and query, ready for the first line of an HTTP request.
    pub target: String,
    /// What is sent.
    pub body: Vec<u8>,
}

/// How a session behaves. Keys that it holds are released when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// For people.
    pub name: String,
    /// It ends when it is not renewed for so long, in seconds; Consul takes 10 to 86,400, and may
    /// take up to twice as long.
    pub ttl_seconds: u32,
    /// When it ends without having released a key, nobody gets the key for so long, in milliseconds.
    pub lock_delay_ms: u32,
}

/// A part of a transaction. All of them are done, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Give a key a value.
    Set {
        /// Which.
        key: String,
        /// What.
        value: Vec<u8>,
    },
    /// Give a key a value, if it was changed last at this index; 0: if there is none.
    CompareAndSet {
        /// Which.
        key: String,
        /// What.
        value: Vec<u8>,
        /// When.
        index: u64,
    },
    /// Nothing, unless the key was changed last at another index: then all is refused.
    CheckIndex {
        /// Which.
        key: String,
        /// When.
        index: u64,
    },
    /// Nothing, unless the key isn't held by this session: then all is refused.
    CheckSession {
        /// Which.
        key: String,
        /// By whom.
        session: String,
    },
    /// No such key from now on.
    Delete {
        /// Which.
        key: String,
    },
    /// No key from now on that begins so.
    DeleteTree {
        /// How.
        prefix: String,
    },
}

impl Operation {
    fn wire(&self) -> WireOperation<'_> {
        let plain = |verb, key| Wire { verb, key, value: None, index: None, session: None };
        let wire = match self {
            Operation::Set { key, value } => {
                Wire { value: Some(STANDARD.encode(value)), ..plain("set", key) }
            }
            Operation::CompareAndSet { key, value, index } => Wire {
                value: Some(STANDARD.encode(value)),
                index: Some(*index),
                ..plain("cas", key)
            },
            Operation::CheckIndex { key, index } => {
                Wire { index: Some(*index), ..plain("check-index", key) }
            }
            Operation::CheckSession { key, session } => {
                Wire { session: Some(session), ..plain("check-session", key) }
            }
            Operation::Delete { key } => plain("delete", key),
            Operation::DeleteTree { prefix } => plain("delete-tree", prefix),
        };
        WireOperation { kv: wire }
    }
}

#[derive(Debug, Serialize)]
struct WireOperation<'a> {
    #[serde(rename = "KV")]
    kv: Wire<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Wire<'a> {
    verb: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireSession<'a> {
    name: &'a str,
    #[serde(rename = "TTL")]
    ttl: String,
    behavior: &'static str,
    lock_delay: String,
}

impl Change {
    /// A new session; its answer is read by [`session_id`].
    #[must_use]
    pub fn create_session(settings: &SessionSettings) -> Self {
        let wire = WireSession {
            name: &settings.name,
            ttl: format!("{}s", settings.ttl_seconds),
            behavior: "release",
            lock_delay: format!("{}ms", settings.lock_delay_ms),
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        Change { body, ..session("begin a session", "/v1/session/create".to_owned()) }
    }

    /// The session goes on; a session that has ended is [`ChangeError::Gone`].
    #[must_use]
    pub fn renew_session(id: &str) -> Self {
        session("renew the session", format!("/v1/session/renew/{}", plain(id)))
    }

    /// The session ends.
    #[must_use]
    pub fn destroy_session(id: &str) -> Self {
        session("end the session", format!("/v1/session/destroy/{}", plain(id)))
    }

    /// Takes a key for a session and gives it a value; whether it has, is read by [`is_done`].
    #[must_use]
    pub fn acquire(key: &str, id: &str, value: Vec<u8>) -> Self {
        let target = format!("/v1/kv/{}?acquire={}", crate::request::encoded(key, "/"), plain(id));
        Change { target, body: value, ..keys(format!("take the key `{key}`"), key) }
    }

    /// Gives a key back, and a last value; there is no delay for the next who wants it.
    #[must_use]
    pub fn release(key: &str, id: &str, value: Vec<u8>) -> Self {
        let target = format!("/v1/kv/{}?release={}", crate::request::encoded(key, "/"), plain(id));
        Change { target, body: value, ..keys(format!("give the key `{key}` back"), key) }
    }

    /// All of these, or none; the answer is read by [`transaction`]. `below` is what all keys begin
    /// with.
    #[must_use]
    pub fn transaction(below: &str, operations: &[Operation]) -> Self {
        let wire: Vec<WireOperation<'_>> = operations.iter().map(Operation::wire).collect();
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let target = "/v1/txn".to_owned();
        Change { target, body, ..keys(format!("change keys below `{below}`"), below) }
    }
}

fn session(what: &str, target: String) -> Change {
    let permission = r#"session_prefix "" { policy = "write" }"#.to_owned();
    Change { what: what.to_owned(), permission, target, body: Vec::new() }
}

fn keys(what: String, prefix: &str) -> Change {
    let permission = format!(r#"key_prefix "{prefix}" {{ policy = "write" }}"#);
    Change { what, permission, target: String::new(), body: Vec::new() }
}

fn plain(id: &str) -> String {
    crate::request::encoded(id, "")
}

/// Why something isn't changed, or perhaps isn't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The token may not do this.
    #[error("{what}: the token is not allowed to")]
    Denied {
        /// What.
        what: String,
        /// Rules that the token needs.
        needs: String,
    },
    /// What should be changed isn't there.
    #[error("{what}: it has ended")]
    Gone {
        /// What.
        what: String,
    },
    /// There is no leader among the servers.
    #[error("{what}: the servers have no leader")]
    NoLeader {
        /// What.
        what: String,
    },
    /// It is more than the server takes.
    #[error("{what}: the server takes less: {text}")]
    TooLarge {
        /// What.
        what: String,
        /// What the server says.
        text: String,
    },
    /// Something else.
    #[error("{what}: the server says {status}: {text}")]
    Refused {
        /// What.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The beginning of what it says.
        text: String,
    },
    /// The text is not what the API promises.
    #[error("{what}: the answer can't be read: {reason}")]
    Malformed {
        /// What.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl ChangeError {
    /// Whether another server, or the same one later, may do it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            ChangeError::Denied { .. }
            | ChangeError::Gone { .. }
            | ChangeError::TooLarge { .. } => false,
            ChangeError::Refused { status, .. } => *status >= 500 || *status == 429,
            ChangeError::NoLeader { .. } | ChangeError::Malformed { .. } => true,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ChangeError::Denied { needs, .. } => {
                Some(format!("give a token (CONSUL_HTTP_TOKEN) whose policy has: {needs}"))
            }
            ChangeError::TooLarge { .. } => Some(
                "`txn_max_req_len` and `kv_max_value_size` of the servers must be 524288 at least"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Nothing, if the answer says that the change was made.
///
/// # Errors
/// When it was refused.
pub fn accepted(change: &Change, raw: &RawAnswer) -> Result<(), ChangeError> {
    let what = change.what.clone();
    let text = String::from_utf8_lossy(&raw.body);
    let quoted = || text.trim().chars().take(QUOTED_CHARACTERS).collect::<String>();
    let is_denied = text.contains("ACL not found") || text.contains("Permission denied");
    match raw.status {
        200 => Ok(()),
        403 => Err(ChangeError::Denied { what, needs: change.permission.clone() }),
        404 => Err(ChangeError::Gone { what }),
        413 => Err(ChangeError::TooLarge { what, text: quoted() }),
        // Consul 1.8 answers some requests of unknown tokens with 500.
        _ if is_denied => Err(ChangeError::Denied { what, needs: change.permission.clone() }),
        500.. if text.contains("No cluster leader") => Err(ChangeError::NoLeader { what }),
        // A session that has ended can't take keys.
        500 if text.contains("invalid session") => Err(ChangeError::Gone { what }),
        status => Err(ChangeError::Refused { what, status, text: quoted() }),
    }
}

/// The id of a new session.
///
/// # Errors
/// When it was refused, or the answer has none.
pub fn session_id(change: &Change, raw: &RawAnswer) -> Result<String, ChangeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    struct Created {
        id: String,
    }
    accepted(change, raw)?;
    read::<Created>(change, raw).map(|created| created.id)
}

/// Whether a key was taken or given back.
///
/// # Errors
/// When it was refused, or the answer says neither.
pub fn is_done(change: &Change, raw: &RawAnswer) -> Result<bool, ChangeError> {
    accepted(change, raw)?;
    read(change, raw)
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All was done; the keys that were set, without values.
    Done(Vec<KvPair>),
    /// Nothing was done, because these operations could not be.
    Refused(Vec<OperationError>),
}

/// An operation that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OperationError {
    /// Its place in the transaction, from 0.
    #[serde(rename = "OpIndex")]
    pub operation: usize,
    /// Why.
    pub what: String,
}

/// Reads the answer to a transaction.
///
/// # Errors
/// When it was refused as a whole, or the answer can't be read.
pub fn transaction(change: &Change, raw: &RawAnswer) -> Result<Outcome, ChangeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        #[serde(default)]
        results: Option<Vec<Result>>,
        #[serde(default)]
        errors: Option<Vec<OperationError>>,
    }
    #[derive(Deserialize)]
    struct Result {
        #[serde(rename = "KV")]
        kv: KvPair,
    }
    if raw.status == 409 {
        let errors = read::<Answer>(change, raw)?.errors.unwrap_or_default();
        let is_denied = |error: &OperationError| error.what.contains("Permission denied");
        if errors.iter().any(is_denied) {
            let (what, needs) = (change.what.clone(), change.permission.clone());
            return Err(ChangeError::Denied { what, needs });
        }
        return Ok(Outcome::Refused(errors));
    }
    accepted(change, raw)?;
    let results = read::<Answer>(change, raw)?.results.unwrap_or_default();
    Ok(Outcome::Done(results.into_iter().map(|result| result.kv).collect()))
}

fn read<T: for<'de> Deserialize<'de>>(change: &Change, raw: &RawAnswer) -> Result<T, ChangeError> {
    serde_json::from_slice(&raw.body).map_err(|error| ChangeError::Malformed {
        what: change.what.clone(),
        reason: error.to_string(),
    })
}

/// An answer without a head, for tests and other transports.
#[must_use]
pub fn raw(status: u16, body: impl Into<Vec<u8>>) -> RawAnswer {
    RawAnswer { status, head: Head::default(), body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_manual() {
        let settings =
            SessionSettings { name: "a \"b\"".to_owned(), ttl_seconds: 10, lock_delay_ms: 1500 };
        let create = Change::create_session(&settings);
        assert_eq!(create.target, "/v1/session/create");
        assert_eq!(
            String::from_utf8(create.body).unwrap(),
            r#"{"Name":"a \"b\"","TTL":"10s","Behavior":"release","LockDelay":"1500ms"}"#
        );
        assert_eq!(Change::renew_session("a-1/?").target, "/v1/session/renew/a-1%2F%3F");
        assert_eq!(Change::acquire("a b/c", "s", vec![1]).target, "/v1/kv/a%20b/c?acquire=s");
        assert_eq!(Change::release("a", "s", vec![]).target, "/v1/kv/a?release=s");
        let operations = [
            Operation::CheckSession { key: "a".into(), session: "s".into() },
            Operation::CheckIndex { key: "a".into(), index: 3 },
            Operation::CompareAndSet { key: "b".into(), value: b"hi".to_vec(), index: 0 },
            Operation::Set { key: "c".into(), value: Vec::new() },
            Operation::Delete { key: "d".into() },
            Operation::DeleteTree { prefix: "e/".into() },
        ];
        let body = Change::transaction("", &operations).body;
        assert_eq!(
            String::from_utf8(body).unwrap(),
            concat!(
                r#"[{"KV":{"Verb":"check-session","Key":"a","Session":"s"}},"#,
                r#"{"KV":{"Verb":"check-index","Key":"a","Index":3}},"#,
                r#"{"KV":{"Verb":"cas","Key":"b","Value":"aGk=","Index":0}},"#,
                r#"{"KV":{"Verb":"set","Key":"c","Value":""}},"#,
                r#"{"KV":{"Verb":"delete","Key":"d"}},{"KV":{"Verb":"delete-tree","Key":"e/"}}]"#
            )
        );
    }

    /// Bodies as Consul 1.8.7 answered them.
    #[test]
    fn answers_are_read() {
        let change = Change::transaction("t/", &[]);
        let done = r#"{"Results":[{"KV":{"LockIndex":0,"Key":"t/head","Flags":0,"Value":null,
            "CreateIndex":17,"ModifyIndex":17}}],"Errors":null}"#;
        let Ok(Outcome::Done(keys)) = transaction(&change, &raw(200, done)) else {
            panic!("not done")
        };
        assert_eq!((keys[0].key.as_str(), keys[0].modify_index), ("t/head", 17));
        let stale = r#"{"Results":null,"Errors":[{"OpIndex":1,
            "What":"failed to set key \"t/head\", index is stale"}]}"#;
        let Ok(Outcome::Refused(errors)) = transaction(&change, &raw(409, stale)) else {
            panic!("not refused")
        };
        assert_eq!(errors[0].operation, 1);
        let create = Change::renew_session("x");
        let table: [(u16, &str, &str, bool); 7] = [
            (404, "Session id 'x' not found", "renew the session: it has ended", false),
            (403, "Permission denied", "renew the session: the token is not allowed to", false),
            (500, "ACL not found", "renew the session: the token is not allowed to", false),
            (500, "No cluster leader", "renew the session: the servers have no leader", true),
            (413, "too big", "renew the session: the server takes less: too big", false),
            (502, "<html>", "renew the session: the server says 502: <html>", true),
            (500, "invalid session \"x\"", "renew the session: it has ended", false),
        ];
        for (status, body, message, may_pass) in table {
            let error = accepted(&create, &raw(status, body)).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.may_pass()), (message, may_pass));
        }
        assert_eq!(session_id(&create, &raw(200, r#"{"ID":"s-1"}"#)).unwrap(), "s-1");
        assert!(session_id(&create, &raw(200, "{}")).is_err());
        assert!(is_done(&create, &raw(200, "true\n")).unwrap());
        assert!(!is_done(&create, &raw(200, "false\n")).unwrap());
    }
}
