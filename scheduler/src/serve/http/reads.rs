//! What is told and changes nothing.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use policy::repair::Verdict;
use scheduler::wire::consul::{AgentRow, ConsulState, MissingRow};
use scheduler::wire::{
    self, AppDetail, AppRow, Explanation, History, InstanceRow, MachineRow, Status,
};
use scheduler_core::app::App;
use scheduler_core::event::Refusal;
use scheduler_core::ids::{AppName, InstanceId};
use serde::Deserialize;

use super::Context;
use super::problem::{Wrong, bad_name};
use crate::serve::meters;
use crate::serve::registrar::Report;

/// An answer, or what is wrong.
type Told<T> = Result<Json<T>, Wrong>;

pub async fn healthz() -> &'static str {
    "ok\n"
}

pub async fn readyz(State(context): State<Context>) -> impl IntoResponse {
    if context.shared.state().is_leading() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "another scheduler leads, or none yet\n")
    }
}

pub async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    let last = context.shared.journal.last();
    let mut text = context.shared.meters.text(&context.shared.state(), last);
    if let Some(registrar) = &context.registrar {
        text.push_str(&registrar.report().metrics());
    }
    text.push_str(&context.scraper.metrics());
    if let Some(figures) = &context.figures {
        text.push_str(&meters::of_mesos(figures));
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

pub async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], scheduler::openapi::text())
}

pub async fn status(State(context): State<Context>) -> Json<Status> {
    let state = context.shared.state();
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Json(Status {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: state.epoch().0,
        is_leading: state.is_leading(),
        policy: context.policies.live().1,
        backend: if context.is_local { "local" } else { "mesos" }.to_owned(),
        apps: count(state.apps().len()),
        instances: count(state.apps().values().map(|app| app.instances.len()).sum()),
        machines: count(state.machines().len()),
        freeze: (state.freeze() != Verdict::Go).then(|| state.freeze().to_string()),
        last_event: context.shared.journal.last(),
    })
}

/// Instances that aren't in Consul and are told one by one.
const MISSING_MOST: usize = 1_000;

pub async fn consul(State(context): State<Context>) -> Json<ConsulState> {
    let report = context.registrar.as_ref().map(|registrar| registrar.report());
    let is_used = report.is_some();
    let Report { wanted, missing, silent, .. } = report.unwrap_or_default();
    let missing = missing.into_iter().take(MISSING_MOST).map(|one| MissingRow {
        instance: one.instance.to_string(),
        agent: one.agent,
        why: one.why,
        since: wire::moment(one.since),
    });
    Json(ConsulState {
        is_used,
        wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
        missing: missing.collect(),
        agents: silent.into_iter().map(|(agent, why)| AgentRow { agent, why }).collect(),
    })
}

pub async fn apps(State(context): State<Context>) -> Json<Vec<AppRow>> {
    let state = context.shared.state();
    Json(state.apps().iter().map(|(name, app)| wire::app_row(name, app)).collect())
}

pub async fn app(State(context): State<Context>, Path(app): Path<String>) -> Told<AppDetail> {
    look(&context, &app, wire::app_detail)
}

pub async fn history(State(context): State<Context>, Path(app): Path<String>) -> Told<History> {
    look(&context, &app, wire::history)
}

fn look<T>(context: &Context, app: &str, tell: impl Fn(&AppName, &App) -> T) -> Told<T> {
    let name: AppName = app.parse().map_err(|error| bad_name(&error))?;
    let state = context.shared.state();
    let app = state.apps().get(&name).ok_or_else(|| Refusal::UnknownApp(name.clone()))?;
    Ok(Json(tell(&name, app)))
}

pub async fn explain_app(
    State(context): State<Context>,
    Path(app): Path<String>,
) -> Told<Explanation> {
    let name: AppName = app.parse().map_err(|error| bad_name(&error))?;
    let now = context.shared.now();
    let explanation = wire::explain_app(&context.shared.state(), &name, now);
    let mut explanation = explanation.ok_or_else(|| Refusal::UnknownApp(name.clone()))?;
    if let Some(words) = context.scraper.explain(&name) {
        explanation.text.push_str(&format!("\n  {words}"));
        if let Some(detail) = explanation.detail.as_object_mut() {
            detail.insert("load".to_owned(), words.into());
        }
    }
    Ok(Json(explanation))
}

pub async fn explain_instance(
    State(context): State<Context>,
    Path(instance): Path<String>,
) -> Told<Explanation> {
    let id: InstanceId = instance.parse().map_err(|error| bad_name(&error))?;
    let now = context.shared.now();
    let explanation = wire::explain_instance(&context.shared.state(), &id, now);
    let mut explanation = explanation.ok_or_else(|| Refusal::UnknownInstance(id.clone()))?;
    let is_there = context.shared.state().instance(&id).is_some();
    if let (Some(registrar), true) = (&context.registrar, is_there) {
        let words = registrar.explain(&id);
        explanation.text.push_str(&format!("\n  {words}"));
        if let Some(detail) = explanation.detail.as_object_mut() {
            detail.insert("consul".to_owned(), words.into());
        }
    }
    Ok(Json(explanation))
}

/// Which instances.
#[derive(Debug, Deserialize)]
pub struct Which {
    app: Option<String>,
    most: Option<usize>,
}

pub async fn instances(
    State(context): State<Context>,
    Query(which): Query<Which>,
) -> Told<Vec<InstanceRow>> {
    let most = which.most.unwrap_or(usize::MAX);
    let first = |name: &AppName, app: &App| wire::instances(name, app).take(most).collect();
    if let Some(app) = which.app {
        return look(&context, &app, first);
    }
    let state = context.shared.state();
    let all = state.apps().iter().flat_map(|(name, app)| wire::instances(name, app));
    Ok(Json(all.take(most).collect()))
}

pub async fn instance(
    State(context): State<Context>,
    Path(instance): Path<String>,
) -> Told<InstanceRow> {
    let id: InstanceId = instance.parse().map_err(|error| bad_name(&error))?;
    let state = context.shared.state();
    let found = state.apps().get(&id.app).zip(state.instance(&id));
    let (app, instance) = found.ok_or_else(|| Refusal::UnknownInstance(id.clone()))?;
    Ok(Json(wire::instance_row(&id, app, instance)))
}

pub async fn machines(State(context): State<Context>) -> Json<Vec<MachineRow>> {
    let state = context.shared.state();
    let rows = state.machines().iter();
    Json(rows.map(|(name, machine)| wire::machine_row(name.as_str(), machine)).collect())
}
