//! Where an app is found: all of it, or as it changes. What comes as it changes is numbered: whoever
//! was away asks for what came after the last number, and gets everything anew if that isn't kept.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use scheduler::wire::look::{Found, FoundAnew, Gone, Reweighed};
use scheduler::wire::{self, Endpoint};
use scheduler_consul::host;
use scheduler_core::event::Refusal;
use scheduler_core::ids::{AppName, MachineName};
use serde::{Deserialize, Serialize};

use super::Context;
use super::problem::{Wrong, bad_name};
use crate::serve::cycle::Shared;
use crate::serve::discovery::{Change, Next, What};

/// Where instances of this machine listen.
const LOOPBACK: &str = "127.0.0.1";

/// Instances in one event: some hundred kilobytes.
const INSTANCES_AT_A_TIME: usize = 1_000;

/// Changes of all apps that are looked at in one go.
const CHANGES_AT_A_TIME: usize = 1_024;

/// After which number.
#[derive(Debug, Deserialize)]
pub struct Since {
    since: Option<u64>,
}

/// A list; with `since`, or for who wants events, a stream.
pub async fn discovery(
    State(context): State<Context>,
    Path(app): Path<String>,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Wrong> {
    let name: AppName = app.parse().map_err(|error| bad_name(&error))?;
    let is_local = context.is_local;
    if !context.shared.state().apps().contains_key(&name) {
        return Err(Refusal::UnknownApp(name).into());
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let wants_events = text(header::ACCEPT).is_some_and(|kinds| kinds.contains("event-stream"));
    let last = text(header::HeaderName::from_static("last-event-id"));
    let last = last.and_then(|number| number.parse().ok()).or(since.since);
    if last.is_none() && !wants_events {
        return Ok(Json(all(&context.shared, &name, is_local)).into_response());
    }
    let follower = Follower {
        shared: Arc::clone(&context.shared),
        app: name,
        is_local,
        at: last,
        waiting: VecDeque::new(),
    };
    Ok(Sse::new(follower.follow()).keep_alive(KeepAlive::default()).into_response())
}

/// All that is found.
fn all(shared: &Shared, name: &AppName, is_local: bool) -> Vec<Endpoint> {
    let state = shared.state();
    let app = state.apps().get(name);
    app.map(|app| wire::endpoints(name, app, |machine| address(machine, is_local)))
        .unwrap_or_default()
}

fn address(machine: &MachineName, is_local: bool) -> String {
    if is_local { LOOPBACK.to_owned() } else { host(machine).to_owned() }
}

struct Follower {
    shared: Arc<Shared>,
    app: AppName,
    is_local: bool,
    /// The number that was seen last; none if everything is wanted.
    at: Option<u64>,
    /// Events that were made and not sent yet: one snapshot or one look at most.
    waiting: VecDeque<sse::Event>,
}

impl Follower {
    fn follow(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        let watch = self.shared.discovery.watch();
        stream::unfold((self, watch), async |(mut own, mut watch)| {
            loop {
                if let Some(event) = own.waiting.pop_front() {
                    return Some((Ok(event), (own, watch)));
                }
                watch.borrow_and_update();
                if own.look() {
                    continue;
                }
                // It ends with the daemon, or when this one leads no more.
                watch.changed().await.ok()?;
                if own.shared.journal.is_closed() {
                    return None;
                }
            }
        })
    }

    /// Looks once; whether something came of it, or there may be more.
    fn look(&mut self) -> bool {
        let Some(at) = self.at else {
            self.anew();
            return true;
        };
        match self.shared.discovery.after(&self.app, at, CHANGES_AT_A_TIME) {
            Next::Anew => self.at = None,
            Next::Changes(changes, until) => {
                self.at = Some(until);
                let events = changes.into_iter().map(|change| told(change, self.is_local));
                self.waiting.extend(events);
                return until != at;
            }
        }
        true
    }

    /// Everything. The number is taken first: changes that are in the state already are told again,
    /// which changes nothing.
    fn anew(&mut self) {
        let number = self.shared.discovery.last();
        let found = all(&self.shared, &self.app, self.is_local);
        let parts = found.len().div_ceil(INSTANCES_AT_A_TIME).max(1);
        for part in 0..parts {
            let instances = found.iter().skip(part * INSTANCES_AT_A_TIME);
            let instances = instances.take(INSTANCES_AT_A_TIME).cloned().collect();
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            let (part, parts) = (count(part + 1), count(parts));
            let event = event("snapshot", &FoundAnew { number, part, parts, instances });
            // Who has only a part of it must not go on from here.
            self.waiting.push_back(if part == parts {
                event.id(number.to_string())
            } else {
                event
            });
        }
        self.at = Some(number);
    }
}

fn event(kind: &str, data: &impl Serialize) -> sse::Event {
    sse::Event::default().event(kind).data(serde_json::to_string(data).unwrap_or_default())
}

fn told(change: Change, is_local: bool) -> sse::Event {
    let Change { number, instance, what } = change;
    let instance = instance.to_string();
    let event = match what {
        What::Added { machine, ports, weight_thousandths } => {
            let address = address(&machine, is_local);
            let ports = ports.to_vec();
            event("added", &Found { number, instance, address, ports, weight_thousandths })
        }
        What::Weight(weight_thousandths) => {
            event("weight", &Reweighed { number, instance, weight_thousandths })
        }
        What::Removed => event("removed", &Gone { number, instance }),
    };
    event.id(number.to_string())
}
