//! What is told bit by bit: events as they happen, output as it is written, and the snapshot.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use scheduler::wire::Problem;
use scheduler_core::ids::InstanceId;
use scheduler_runner::{Stream as OutputStream, Tail};
use serde::Deserialize;

use super::Context;
use super::problem::{Wrong, bad_name};
use crate::serve::cycle::Shared;
use crate::serve::journal::Entry;
use crate::serve::local;

/// Entries that are taken from the journal at a time.
const ENTRIES_AT_A_TIME: usize = 256;

/// How often output is looked at while it is followed: what people see as at once.
const LOOK: Duration = Duration::from_millis(100);

/// Lines of output, if nothing is said.
const LINES: usize = 100;

/// From where on.
#[derive(Debug, Deserialize)]
pub struct From {
    after: Option<u64>,
}

/// Events after the number that was seen last: the header that a browser sends by itself, or the
/// query; without either, from now on.
pub async fn events(
    State(context): State<Context>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let last = header.or(from.after).unwrap_or_else(|| context.shared.journal.last());
    Sse::new(follow(context.shared, last)).keep_alive(KeepAlive::default())
}

fn follow(shared: Arc<Shared>, last: u64) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let watch = shared.journal.watch();
    let waiting: Vec<sse::Event> = Vec::new();
    stream::unfold(
        (shared, watch, last, waiting),
        async |(shared, mut watch, mut last, mut waiting)| {
            loop {
                if let Some(event) = waiting.pop() {
                    return Some((Ok(event), (shared, watch, last, waiting)));
                }
                watch.borrow_and_update();
                let (entries, gap) = shared.journal.after(last, ENTRIES_AT_A_TIME);
                if let Some(entry) = entries.last() {
                    last = entry.number;
                    waiting = entries.iter().rev().map(|entry| event(entry)).collect();
                    waiting.extend(gap.map(dropped));
                    continue;
                }
                // It ends with the daemon, or when this one leads no more.
                watch.changed().await.ok()?;
                if shared.journal.is_closed() {
                    return None;
                }
            }
        },
    )
}

fn event(entry: &Entry) -> sse::Event {
    let data = serde_json::to_string(entry).unwrap_or_default();
    sse::Event::default().id(entry.number.to_string()).event(&entry.kind).data(data)
}

/// Says that events between were dropped: who follows has to look at everything anew.
fn dropped(first: u64) -> sse::Event {
    sse::Event::default().event("gap").data(format!("{{\"first\":{first}}}"))
}

/// Which output.
#[derive(Debug, Deserialize)]
pub struct Which {
    stream: Option<String>,
    lines: Option<usize>,
    follow: Option<bool>,
}

pub async fn logs(
    State(context): State<Context>,
    Path(instance): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Wrong> {
    let id: InstanceId = instance.parse().map_err(|error| bad_name(&error))?;
    let name = match which.stream.as_deref() {
        None | Some("stdout") => OutputStream::Output,
        Some("stderr") => OutputStream::Error,
        Some(other) => {
            let detail = format!("`{other}` is neither stdout nor stderr");
            return Err(Wrong(Problem::new(400, "bad-stream", "there is no such stream", detail)));
        }
    };
    let task = local::task_id(&id).ok();
    let tail = task.and_then(|task| context.runner.tail(&task, name));
    let Some(mut tail) = tail else {
        let detail = format!("nothing that `{id}` wrote is here, or not any more");
        let problem = Problem::new(404, "no-output", "there is no output", detail);
        return Err(Wrong(problem.hint("`scheduler explain INSTANCE` says what became of it")));
    };
    tail.last_lines(which.lines.unwrap_or(LINES)).map_err(|error| unreadable(&error))?;
    let body = Body::from_stream(output(tail, which.follow.unwrap_or(false)));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

fn unreadable(error: &std::io::Error) -> Wrong {
    Wrong(Problem::new(500, "unreadable", "the output can't be read", error.to_string()))
}

/// Output to its end; to the end of the instance, if it is followed.
fn output(tail: Tail, is_followed: bool) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::unfold(Some(tail), move |tail| async move {
        let mut tail: Tail = tail?;
        loop {
            let is_ended = tail.is_ended();
            match tail.next_part() {
                Ok(part) if !part.is_empty() => return Some((Ok(part.into()), Some(tail))),
                Ok(_) if is_followed && !is_ended => tokio::time::sleep(LOOK).await,
                Ok(_) => return None,
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
}

/// All records, as the store has them: a line for each, its name and its JSON.
pub async fn snapshot(State(context): State<Context>) -> impl IntoResponse {
    let records = context.shared.state().records();
    let mut text = String::new();
    for (key, record) in records {
        text.push_str(&scheduler_store::name_of(&key));
        text.push(' ');
        text.push_str(&serde_json::to_string(&record).unwrap_or_default());
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}
