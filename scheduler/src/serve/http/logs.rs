//! What instances write: from the runner of this machine, or from the agent of theirs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use scheduler::wire::Problem;
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_mesos_client::{Known, SandboxError, SandboxTail};
use scheduler_runner::{Stream as OutputStream, Tail};
use serde::Deserialize;

use super::Context;
use super::problem::{Wrong, bad_name, unavailable};
use crate::serve::cycle::Shared;
use crate::serve::local;

/// How often output is looked at while it is followed: what people see as at once.
const LOOK: Duration = Duration::from_millis(100);

/// The same at an agent, which is asked each time.
const ASK: Duration = Duration::from_secs(1);

/// Lines of output, if nothing is said.
const LINES: usize = 100;

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
    let (lines, is_followed) = (which.lines.unwrap_or(LINES), which.follow.unwrap_or(false));
    let body = match &context.mesos {
        None => here(&context, &id, name, lines, is_followed)?,
        Some(known) => at_agent(&context, known, id, name, lines, is_followed).await?,
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

fn here(
    context: &Context,
    id: &InstanceId,
    name: OutputStream,
    lines: usize,
    is_followed: bool,
) -> Result<Body, Wrong> {
    let task = local::task_id(id).ok();
    let tail = task.and_then(|task| context.runner.tail(&task, name));
    let Some(mut tail) = tail else {
        return Err(nothing(format!("nothing that `{id}` wrote is here, or not any more")));
    };
    let unreadable = |error: &io::Error| {
        Wrong(Problem::new(500, "unreadable", "the output can't be read", error.to_string()))
    };
    tail.last_lines(lines).map_err(|error| unreadable(&error))?;
    Ok(Body::from_stream(output(tail, is_followed)))
}

fn nothing(detail: String) -> Wrong {
    let problem = Problem::new(404, "no-output", "there is no output", detail);
    Wrong(problem.hint("`scheduler explain INSTANCE` says what became of it"))
}

/// Output to its end; to the end of the instance, if it is followed.
fn output(tail: Tail, is_followed: bool) -> impl Stream<Item = io::Result<Bytes>> {
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

/// Where an instance is, or was.
fn machine_of(shared: &Shared, id: &InstanceId) -> Result<MachineName, Wrong> {
    let state = shared.state();
    let app = state.apps().get(&id.app);
    let gone = || app?.gone.iter().rev().find(|gone| gone.number == id.number)?.machine.clone();
    match state.instance(id) {
        Some(instance) => instance.machine.clone().ok_or_else(|| {
            nothing(format!("`{id}` has no machine yet, so it hasn't written anything"))
        }),
        None => gone().ok_or_else(|| {
            nothing(format!("it isn't known any more where `{id}` was, or there was none"))
        }),
    }
}

async fn at_agent(
    context: &Context,
    known: &Known,
    id: InstanceId,
    name: OutputStream,
    lines: usize,
    is_followed: bool,
) -> Result<Body, Wrong> {
    let machine = machine_of(&context.shared, &id)?;
    let framework = known.id().ok_or_else(|| unavailable("it has no id of Mesos yet"))?;
    let task = id.to_string();
    let looked = tokio::task::spawn_blocking(move || {
        let mut tail = SandboxTail::find(machine.as_str(), &framework, &task, name.file_name())?;
        tail.last_lines(lines).map(|()| tail)
    });
    let looked = looked.await.map_err(|_| unavailable("it asked the agent"))?;
    let tail = looked.map_err(|error| agent_says(&error))?;
    let shared = Arc::clone(&context.shared);
    Ok(Body::from_stream(asked(tail, shared, id, is_followed)))
}

fn agent_says(error: &SandboxError) -> Wrong {
    let (status, kind, title, hint) = match error {
        SandboxError::Away { .. } => (
            503,
            "agent-away",
            "the agent is away",
            "`scheduler machine list` says whether the machine is silent; what was written is there \
             when its agent is back",
        ),
        SandboxError::Refused { .. } | SandboxError::Strange { .. } => (
            502,
            "agent-refuses",
            "the agent does not give the output",
            "agents that want a login for `/state` and `/files` can't be read",
        ),
        SandboxError::Gone { .. } => (
            404,
            "no-output",
            "there is no output",
            "agents remove sandboxes of tasks that have ended after their `gc_delay`",
        ),
    };
    Wrong(Problem::new(status, kind, title, error.to_string()).hint(hint))
}

/// The same from an agent. An instance has ended when the scheduler doesn't know it any more.
fn asked(
    tail: SandboxTail,
    shared: Arc<Shared>,
    id: InstanceId,
    is_followed: bool,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(tail), move |tail| {
        let (shared, id) = (Arc::clone(&shared), id.clone());
        async move {
            let mut tail: SandboxTail = tail?;
            loop {
                let is_ended = shared.state().instance(&id).is_none();
                let read = tokio::task::spawn_blocking(move || {
                    let part = tail.next_part();
                    (tail, part)
                });
                let (back, part) = read.await.ok()?;
                tail = back;
                match part {
                    Ok(part) if !part.is_empty() => return Some((Ok(part.into()), Some(tail))),
                    Ok(_) if is_followed && !is_ended => tokio::time::sleep(ASK).await,
                    Ok(_) => return None,
                    Err(error) => return Some((Err(io::Error::other(error)), None)),
                }
            }
        }
    })
}
