//! Requests that may be sent twice: one with the key of an earlier one gets the earlier answer, and
//! nothing is done again. Keys are remembered while the daemon runs. Of several schedulers the next
//! leader knows those of calls that have changed something; otherwise a request with an old key is a
//! new one after a restart.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use scheduler::wire::Problem;
use sha2::{Digest, Sha256};

use super::problem::Wrong;
use super::{BODY_MOST_BYTES, Context};
use crate::serve::legacy::{AnswerLeft, Keyed};

/// Keys that are remembered, the last ones.
const KEYS_MOST: usize = 10_000;

/// The longest key.
const KEY_MOST_BYTES: usize = 200;

/// Answers to requests with keys.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    answers: BTreeMap<String, Entry>,
    order: VecDeque<String>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// The digest of method, path and body.
    request: String,
    /// Status, kind and body; absent while it is being made.
    answer: Option<(StatusCode, Option<HeaderValue>, Bytes)>,
}

tokio::task_local! {
    /// The key of the request that is answered.
    static KEYED: Keyed;
}

/// The key of the request that is answered here, if it has one.
pub fn keyed() -> Option<Keyed> {
    KEYED.try_with(Keyed::clone).ok()
}

impl Remembered {
    /// With answers that earlier leaders gave, oldest first.
    pub fn of(left: Vec<AnswerLeft>) -> Self {
        let mut inner = Inner::default();
        for AnswerLeft { keyed: Keyed { key, request }, answer } in left {
            let body = serde_json::to_vec(&answer).unwrap_or_default();
            let kind = HeaderValue::from_static("application/json");
            let answer = Some((StatusCode::OK, Some(kind), body.into()));
            if inner.answers.insert(key.clone(), Entry { request, answer }).is_none() {
                inner.order.push_back(key);
            }
        }
        Remembered(Mutex::new(inner))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a key; if there is none, one that waits for its answer is made.
    fn begin(&self, key: &str, request: &str) -> Option<Entry> {
        let mut inner = self.inner();
        if let Some(entry) = inner.answers.get(key) {
            return Some(entry.clone());
        }
        inner.answers.insert(key.to_owned(), Entry { request: request.to_owned(), answer: None });
        inner.order.push_back(key.to_owned());
        if inner.order.len() > KEYS_MOST
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.answers.remove(&oldest);
        }
        None
    }

    fn finish(&self, key: &str, answer: (StatusCode, Option<HeaderValue>, Bytes)) {
        if let Some(entry) = self.inner().answers.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    /// The answer could not be made: the next request with the key is a new one.
    fn forget(&self, key: &str) {
        let mut inner = self.inner();
        inner.answers.remove(key);
        inner.order.retain(|known| known != key);
    }
}

/// Answers a request with a known key as before.
pub async fn once(State(context): State<Context>, request: Request, next: Next) -> Response {
    let key = request.headers().get("idempotency-key").cloned();
    let is_change = request.method() != Method::GET && request.method() != Method::HEAD;
    let Some(key) = key.filter(|_| is_change) else { return next.run(request).await };
    let key = match key.to_str() {
        Ok(key) if (1..=KEY_MOST_BYTES).contains(&key.len()) => key.to_owned(),
        _ => return wrong(400, "bad-key", "the key is empty, too long or no text").into_response(),
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_MOST_BYTES).await else {
        return wrong(413, "too-large", "the body is larger than 1 MiB").into_response();
    };
    let asked = digest(&parts.method, parts.uri.path(), &body);
    match context.remembered.begin(&key, &asked) {
        Some(entry) if entry.request != asked => {
            wrong(422, "key-of-another", "the key was used for another request").into_response()
        }
        Some(Entry { answer: Some(answer), .. }) => replayed(answer),
        Some(Entry { answer: None, .. }) => {
            wrong(409, "in-progress", "the first request with this key isn't answered yet")
                .into_response()
        }
        None => {
            // Who goes away before the answer leaves the key to the next.
            let forgets = Forgets { remembered: &context.remembered, key: Some(&key) };
            let keyed = Keyed { key: key.clone(), request: asked };
            let answered = next.run(Request::from_parts(parts, Body::from(body)));
            let response = KEYED.scope(keyed, answered).await;
            keep(forgets, response).await
        }
    }
}

/// What a request asks for, in 64 digits.
fn digest(method: &Method, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
        // With its length before it no part can be taken for another one.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

struct Forgets<'a> {
    remembered: &'a Remembered,
    key: Option<&'a str>,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.remembered.forget(key);
        }
    }
}

async fn keep(mut forgets: Forgets<'_>, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).cloned();
    let Ok(bytes) = to_bytes(body, BODY_MOST_BYTES).await else {
        return wrong(500, "too-large", "the answer is too large to be kept").into_response();
    };
    // What was away may be there at the next attempt.
    if parts.status.as_u16() < 500
        && let Some(key) = forgets.key.take()
    {
        forgets.remembered.finish(key, (parts.status, kind, bytes.clone()));
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn replayed((status, kind, body): (StatusCode, Option<HeaderValue>, Bytes)) -> Response {
    let mut response = (status, body).into_response();
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

fn wrong(status: u16, kind: &str, detail: &str) -> Wrong {
    Wrong(Problem::new(status, kind, "the idempotency key can't be used", detail))
}
