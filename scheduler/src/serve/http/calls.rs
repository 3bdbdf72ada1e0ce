//! What changes something. A call is answered when it is durable.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use diagnostics::{Sources, Style, render_all};
use policy::rollout::Load;
use scheduler::app_file;
use scheduler::wire::{Answer, Observation, OnMachine, Problem, Rollback, Scale, Upgrade};
use scheduler_core::Event;
use scheduler_core::app::{Run, Specification};
use scheduler_core::event::{Call, Refusal};
use scheduler_core::ids::{AppName, InstanceId, MachineName, Version};
use scheduler_runner::Engine;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::problem::{Wrong, bad_body, bad_name, unavailable};
use super::volumes::Keeping;
use super::{Context, idempotency};
use crate::serve::cycle::Input;

/// An answer, or what is wrong.
pub(super) type Told = Result<Json<Answer>, Wrong>;

pub(super) async fn call(context: &Context, call: Call) -> Told {
    let (reply, answer) = oneshot::channel();
    let keyed = idempotency::keyed();
    let sent = context.inputs.send(Input::Call { call, keyed, reply });
    sent.map_err(|_| unavailable("it takes no more calls"))?;
    let answer = answer.await.map_err(|_| unavailable("it ended before the call was durable"))?;
    Ok(Json(Answer::from(answer?)))
}

/// A body of JSON; none at all is an empty object.
pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Wrong> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| bad_body(&error))
}

fn app(name: &str) -> Result<AppName, Wrong> {
    name.parse().map_err(|error| bad_name(&error))
}

fn machine(name: &str) -> Result<MachineName, Wrong> {
    name.parse().map_err(|error| bad_name(&error))
}

pub async fn deploy(State(context): State<Context>, Path(name): Path<String>, body: Bytes) -> Told {
    let name = app(&name)?;
    let text = String::from_utf8_lossy(&body);
    let mut sources = Sources::default();
    let source = sources.add("body", text.as_ref());
    let found = app_file::read(&text, source);
    let Some(file) = found.app else {
        let detail = render_all(&found.diagnostics, &sources, Style::Plain);
        let problem = Problem::new(422, "invalid-app", "the app's file can't be used", detail);
        return Err(Wrong(problem.hint("`scheduler schema app` says what may be in it")));
    };
    if file.app != name {
        let detail = format!("the file is of `{}`, the path of `{name}`", file.app);
        return Err(Wrong(Problem::new(422, "other-app", "the file is of another app", detail)));
    }
    can_run(&context, &file.specification.run).await?;
    can_register(&context, &file.specification).await?;
    let specification = file.specification.into();
    let deploy = Call::Deploy { app: name, specification, bounds: file.bounds, step: file.step };
    call(&context, deploy).await
}

/// Containers need an engine. It may come and go, so it is asked each time.
pub(super) async fn can_run(context: &Context, run: &Run) -> Result<(), Wrong> {
    if !context.is_local || !matches!(run, Run::Image { .. }) {
        return Ok(());
    }
    let docker = context.docker.clone();
    let engine = tokio::task::spawn_blocking(move || scheduler_runner::engine(&docker)).await;
    match engine {
        Ok(Engine::There(_)) => Ok(()),
        Ok(Engine::Absent(why)) => {
            let problem = Problem::new(409, "no-docker", "there is no Docker engine", why);
            Err(Wrong(problem.hint("start one, or deploy the app with `command` or `shell`")))
        }
        Err(_) => Err(unavailable("it looked for a Docker engine")),
    }
}

/// Not every check of Consul is one that everybody should be able to have.
pub(super) async fn can_register(
    context: &Context,
    specification: &Specification,
) -> Result<(), Wrong> {
    let Some(registrar) = context.registrar.clone() else { return Ok(()) };
    let specification = specification.clone();
    let asked = tokio::task::spawn_blocking(move || registrar.refuses(&specification)).await;
    match asked {
        Ok(None) => Ok(()),
        Ok(Some((why, hint))) => {
            let problem =
                Problem::new(409, "no-such-check", "Consul must not have this check", why);
            Err(Wrong(problem.hint(hint)))
        }
        Err(_) => Err(unavailable("it asked Consul")),
    }
}

pub async fn upgrade(
    State(context): State<Context>,
    Path(name): Path<String>,
    body: Bytes,
) -> Told {
    let (name, upgrade) = (app(&name)?, read::<Upgrade>(&body)?);
    let run = new_run(&context, &name, &upgrade)?;
    can_run(&context, &run).await?;
    let Upgrade { version: label, step, .. } = upgrade;
    call(&context, Call::Upgrade { app: name, label, run, step }).await
}

/// What the new version runs: what is said, or what runs now.
fn new_run(context: &Context, name: &AppName, upgrade: &Upgrade) -> Result<Run, Wrong> {
    let state = context.shared.state();
    let known = state.apps().get(name).ok_or_else(|| Refusal::UnknownApp(name.clone()))?;
    let old = known.specification().map(|one| &one.run);
    let words = |words: &[&str]| Run::Command(words.iter().map(|one| (*one).to_owned()).collect());
    match (&upgrade.command, &upgrade.shell, &upgrade.image, old) {
        (None, None, None, Some(old)) => Ok(old.clone()),
        (Some(command), None, None, _) => Ok(Run::Command(command.clone())),
        (None, Some(shell), None, _) => Ok(words(&["/bin/sh", "-c", shell])),
        (None, None, Some(image), Some(Run::Image { arguments, .. })) => {
            Ok(Run::Image { image: image.clone(), arguments: arguments.clone() })
        }
        (None, None, Some(image), _) => {
            Ok(Run::Image { image: image.clone(), arguments: Vec::new() })
        }
        _ => {
            let detail = "of `command`, `shell` and `image` there can be only one";
            Err(Wrong(Problem::new(422, "invalid", "this can't be run", detail)))
        }
    }
}

pub async fn scale(State(context): State<Context>, Path(name): Path<String>, body: Bytes) -> Told {
    let Scale { instances, keep_volumes: keeps_volumes } = read(&body)?;
    call(&context, Call::Scale { app: app(&name)?, instances, keeps_volumes }).await
}

pub async fn rollback(
    State(context): State<Context>,
    Path(name): Path<String>,
    body: Bytes,
) -> Told {
    let Rollback { version } = read(&body)?;
    call(&context, Call::Rollback { app: app(&name)?, version: version.map(Version) }).await
}

pub async fn delete(
    State(context): State<Context>,
    Path(name): Path<String>,
    Query(Keeping { keep_volumes: keeps_volumes }): Query<Keeping>,
) -> Told {
    call(&context, Call::Delete { app: app(&name)?, keeps_volumes }).await
}

pub async fn add(State(context): State<Context>, Path(name): Path<String>, body: Bytes) -> Told {
    let on: OnMachine = read(&body)?;
    call(&context, Call::AddOn { app: app(&name)?, machine: machine(&on.machine)? }).await
}

pub async fn remove(State(context): State<Context>, Path(name): Path<String>, body: Bytes) -> Told {
    let on: OnMachine = read(&body)?;
    let (app, machine) = (app(&name)?, machine(&on.machine)?);
    call(&context, Call::RemoveOn { app, machine, keeps_volumes: on.keep_volumes }).await
}

pub async fn kill(State(context): State<Context>, Path(name): Path<String>) -> Told {
    let instance: InstanceId = name.parse().map_err(|error| bad_name(&error))?;
    call(&context, Call::Restart { instance }).await
}

pub async fn drain(State(context): State<Context>, Path(name): Path<String>) -> Told {
    call(&context, Call::Drain { machine: machine(&name)? }).await
}

pub async fn undrain(State(context): State<Context>, Path(name): Path<String>) -> Told {
    call(&context, Call::Undrain { machine: machine(&name)? }).await
}

pub async fn thaw(State(context): State<Context>) -> Told {
    call(&context, Call::Thaw).await
}

pub async fn observe(State(context): State<Context>, body: Bytes) -> Result<StatusCode, Wrong> {
    let Observation { app: name, busy_thousandths, waiting, arrivals, rejects } = read(&body)?;
    let (app, at) = (app(&name)?, context.shared.now());
    if !context.shared.state().apps().contains_key(&app) {
        return Err(Refusal::UnknownApp(app).into());
    }
    let load = Load { busy_thousandths, waiting, arrivals, rejects };
    let sent = context.inputs.send(Input::Event(Event::Load { app, at, load }));
    sent.map(|()| StatusCode::NO_CONTENT).map_err(|_| unavailable("it takes no more"))
}
