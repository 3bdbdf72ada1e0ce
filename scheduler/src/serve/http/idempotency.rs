//! Requests that may be sent twice: one with the key of an earlier one gets the earlier answer, and
//! nothing is done again. Keys are remembered while the daemon runs; after a restart a request with
//! an old key is a new one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use scheduler::wire::Problem;

use super::problem::Wrong;
use super::{BODY_MOST_BYTES, Context};

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
    /// Method, path and body.
    request: (Method, String, Bytes),
    /// Status, kind and body; absent while it is being made.
    answer: Option<(StatusCode, Option<HeaderValue>, Bytes)>,
}

impl Remembered {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a key; if there is none, one that waits for its answer is made.
    fn begin(&self, key: &str, request: &(Method, String, Bytes)) -> Option<Entry> {
        let mut inner = self.inner();
        if let Some(entry) = inner.answers.get(key) {
            return Some(entry.clone());
        }
        inner.answers.insert(key.to_owned(), Entry { request: request.clone(), answer: None });
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
    let asked = (parts.method.clone(), parts.uri.path().to_owned(), body.clone());
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
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            keep(forgets, response).await
        }
    }
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
