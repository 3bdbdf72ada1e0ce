//! What is told bit by bit: events as they happen, and the snapshot.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;

use super::Context;
use crate::serve::cycle::Shared;
use crate::serve::journal::Entry;

/// Entries that are taken from the journal at a time.
const ENTRIES_AT_A_TIME: usize = 256;

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
                // A first leader's numbers begin far behind those that were asked for.
                if let Some(first) = gap {
                    last = first.saturating_sub(1);
                    waiting.push(dropped(first));
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
