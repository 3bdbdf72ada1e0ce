//! What clients of Marathon ask: `/v2` and `/ping`. What is in it is `scheduler-marathon`'s affair.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use futures_util::stream::{self, Stream};
use policy::Time;
use scheduler_core::app::{App, Specification};
use scheduler_core::event::{Accepted, Call, Refusal};
use scheduler_core::ids::{AppName, InstanceId};
use scheduler_marathon::events::{Happened, event};
use scheduler_marathon::show::{self, Change, View};
use scheduler_marathon::{Base, Given, Wrong, name, read};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::{Context, calls, guard, problem};
use crate::serve::cycle::{Input, Shared};
use crate::serve::journal::Entry;

/// The API that is followed.
const API: &str = "1.6.0";

/// Events that are taken from the journal at a time.
const EVENTS_AT_A_TIME: usize = 256;

/// All routes.
pub fn routes() -> Vec<(&'static str, MethodRouter<Context>)> {
    vec![
        ("/ping", get(|| async { "pong" })),
        ("/v2/apps", any(all_apps)),
        ("/v2/apps/", any(all_apps)),
        ("/v2/apps/{*path}", any(one_app)),
        ("/v2/tasks", get(all_tasks)),
        ("/v2/deployments", get(deployments)),
        ("/v2/deployments/{id}", any(one_deployment)),
        ("/v2/queue", get(queue)),
        ("/v2/events", get(events)),
        ("/v2/info", get(info)),
        ("/v2/leader", get(leader)),
    ]
}

/// An answer, or what is wrong.
type Told = Result<Response, Failure>;

/// What is wrong, in Marathon's form.
struct Failure {
    status: u16,
    message: String,
    details: Vec<Wrong>,
}

impl Failure {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), details: Vec::new() }
    }

    fn unknown(name: &str) -> Self {
        Failure::new(404, format!("App '/{}' does not exist", name.trim_start_matches('/')))
    }

    fn method(method: &Method) -> Self {
        Failure::new(405, format!("{method} is not possible here"))
    }
}

impl From<Vec<Wrong>> for Failure {
    fn from(details: Vec<Wrong>) -> Self {
        Failure { status: 422, message: "Object is not valid".to_owned(), details }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::UnknownApp(_)
            | Refusal::UnknownVersion(..)
            | Refusal::UnknownInstance(_)
            | Refusal::UnknownMachine(_) => 404,
            Refusal::NotLeading => 503,
            Refusal::IsDeleted(_) | Refusal::NothingToRollBackTo(_) => 409,
            _ => 422,
        };
        Failure::new(status, refusal.to_string())
    }
}

impl From<problem::Wrong> for Failure {
    fn from(problem::Wrong(problem): problem::Wrong) -> Self {
        Failure::new(problem.status, format!("{}: {}", problem.title, problem.detail))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({"message": self.message});
        if let (Value::Object(body), false) = (&mut body, self.details.is_empty()) {
            let details = self.details.into_iter();
            let details = details.map(|one| json!({"path": one.path, "errors": [one.why]}));
            body.insert("details".to_owned(), details.collect());
        }
        (status, Json(body)).into_response()
    }
}

fn view(context: &Context, headers: &HeaderMap) -> View {
    let shows_values = guard::has_token(headers, &context.token);
    View { shows_values, is_local: context.is_local }
}

/// Values of a name in the query.
fn values(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).collect()
}

fn is_true(query: Option<&str>, name: &str) -> bool {
    values(query, name).iter().any(|value| value.eq_ignore_ascii_case("true"))
}

fn embeds_tasks(query: Option<&str>) -> bool {
    let asked = values(query, "embed");
    asked.iter().any(|one| matches!(one.as_str(), "app.tasks" | "apps.tasks"))
}

async fn all_apps(
    State(context): State<Context>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Told {
    let (query, view) = (query.as_deref(), view(&context, &headers));
    match method {
        Method::GET => {
            for filter in ["cmd", "label"] {
                if !values(query, filter).is_empty() {
                    let message = format!("apps can't be chosen by {filter}: only by id");
                    return Err(Failure::new(422, message));
                }
            }
            let part = values(query, "id").pop().unwrap_or_default();
            let state = context.shared.state();
            let chosen = state.apps().iter().filter(|(name, _)| format!("/{name}").contains(&part));
            let shown =
                chosen.filter_map(|(name, app)| show::app(name, app, embeds_tasks(query), view));
            Ok(Json(json!({"apps": shown.collect::<Vec<Value>>()})).into_response())
        }
        Method::POST => create(&context, object(&body)?, view).await,
        Method::PUT => Err(Failure::new(422, "several apps at once are not possible")),
        _ => Err(Failure::method(&method)),
    }
}

fn object(body: &Bytes) -> Result<Map<String, Value>, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(400, format!("Invalid JSON: {error}")))
}

/// A path under an app: `web`, `web/tasks/web.1`, …; clients may write `/web`.
async fn one_app(
    State(context): State<Context>,
    Path(path): Path<String>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Told {
    let (query, view) = (query.as_deref(), view(&context, &headers));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (id, rest) = parts.split_first().ok_or_else(|| Failure::unknown(&path))?;
    let app = name(id).map_err(|_| Failure::unknown(&path))?;
    match (method.clone(), rest) {
        (Method::GET, []) => {
            look(&context, &app, |found| Some(json!({"app": show::app(&app, found, true, view)?})))
        }
        (Method::GET, ["tasks"]) => {
            look(&context, &app, |found| Some(json!({"tasks": show::tasks(&app, found, view)})))
        }
        (Method::GET, ["versions"]) => {
            look(&context, &app, |found| Some(json!({"versions": show::versions(found)})))
        }
        (Method::GET, ["versions", label]) => look(&context, &app, |found| {
            let one = found.versions.values().rev().find(|one| one.label == *label)?;
            Some(show::version(&app, one, found.wanted, view))
        }),
        (Method::PUT, []) => change(&context, app, object(&body)?, view).await,
        (Method::DELETE, []) => {
            call(&context, Call::Delete { app: app.clone(), keeps_volumes: false }).await?;
            Ok(deployed(&context, &app, Change::Delete))
        }
        (Method::POST, ["restart"]) => restart(&context, app).await,
        (Method::DELETE, ["tasks"]) => {
            let host = values(query, "host").pop();
            kill(&context, &app, None, host.as_deref(), query, view).await
        }
        (Method::DELETE, ["tasks", task]) => {
            kill(&context, &app, Some(task), None, query, view).await
        }
        (Method::GET | Method::PUT | Method::DELETE | Method::POST, _) => {
            Err(Failure::unknown(&path))
        }
        _ => Err(Failure::method(&method)),
    }
}

fn look(context: &Context, name: &AppName, tell: impl Fn(&App) -> Option<Value>) -> Told {
    let state = context.shared.state();
    let found = state.apps().get(name).and_then(tell);
    found.map(|value| Json(value).into_response()).ok_or_else(|| Failure::unknown(name.as_str()))
}

async fn call(context: &Context, call: Call) -> Result<Accepted, Failure> {
    let gone = || Failure::new(503, "the scheduler is ending");
    let (reply, answer) = oneshot::channel();
    context.inputs.send(Input::Call { call, keyed: None, reply }).map_err(|_| gone())?;
    Ok(answer.await.map_err(|_| gone())??)
}

/// Who wanted a change is told how to follow it.
fn deployed(context: &Context, app: &AppName, change: Change) -> Response {
    let id = show::deployment_id(app, change);
    Json(json!({"version": label(context), "deploymentId": id})).into_response()
}

/// The name of a version that begins now.
fn label(context: &Context) -> String {
    show::timestamp(context.shared.now())
}

const fn change_of(accepted: &Accepted) -> Change {
    match accepted {
        Accepted::Deployment { version, .. } => Change::Version(version.0),
        Accepted::Wanted(_) | Accepted::Moves(_) | Accepted::Unchanged | Accepted::Noted => {
            Change::Scale
        }
    }
}

async fn create(context: &Context, fields: Map<String, Value>, view: View) -> Told {
    let id = fields.get("id").and_then(Value::as_str).unwrap_or_default();
    let app = name(id).map_err(|wrong| Failure::from(vec![wrong]))?;
    if context.shared.state().apps().contains_key(&app) {
        return Err(Failure::new(409, format!("An app with id [/{app}] already exists.")));
    }
    deploy(context, &app, &fields).await?;
    let state = context.shared.state();
    let shown = state.apps().get(&app).and_then(|found| show::app(&app, found, true, view));
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Deploys what is said on top of what there is. Where only the number of instances is another one, or
/// nothing is, nothing is restarted: the version is the same.
async fn deploy(
    context: &Context,
    app: &AppName,
    fields: &Map<String, Value>,
) -> Result<Accepted, Failure> {
    let Given { specification, bounds, step } = {
        let state = context.shared.state();
        let old = state.apps().get(app);
        let base = old
            .and_then(|old| Some(Base { specification: old.specification()?, bounds: old.bounds }));
        let mut given = read(fields, base, &label(context))?;
        if let Some(base) = base {
            let label = base.specification.label.clone();
            let is_same = Specification { label, ..given.specification.clone() };
            if is_same == *base.specification {
                given.specification = is_same;
            }
        }
        given
    };
    calls::can_run(context, &specification.run).await?;
    calls::can_register(context, &specification).await?;
    let (app, specification) = (app.clone(), Arc::new(specification));
    call(context, Call::Deploy { app, specification, bounds, step }).await
}

async fn change(
    context: &Context,
    app: AppName,
    mut fields: Map<String, Value>,
    view: View,
) -> Told {
    fields.retain(|_, value| !value.is_null());
    if let Some(id) = fields.get("id").and_then(Value::as_str)
        && name(id).ok().as_ref() != Some(&app)
    {
        let why = format!("the path is of /{app}");
        let wrong = Wrong { path: "/id".to_owned(), why };
        return Err(vec![wrong].into());
    }
    let is_known = context.shared.state().apps().contains_key(&app);
    let version = fields.get("version").and_then(Value::as_str).map(str::to_owned);
    if let (Some(label), true) = (version, is_known && fields.len() == 1) {
        let found = {
            let state = context.shared.state();
            let versions = state.apps().get(&app).map(|one| &one.versions);
            let mut versions = versions.into_iter().flatten().rev();
            versions.find(|(_, one)| one.label == label).map(|(version, _)| *version)
        };
        let version = found
            .ok_or_else(|| Failure::new(422, format!("there is no version {label} of /{app}")))?;
        let accepted =
            call(context, Call::Rollback { app: app.clone(), version: Some(version) }).await?;
        return Ok(deployed(context, &app, change_of(&accepted)));
    }
    if !is_known {
        fields.insert("id".to_owned(), json!(format!("/{app}")));
        return create(context, fields, view).await;
    }
    let accepted = deploy(context, &app, &fields).await?;
    Ok(deployed(context, &app, change_of(&accepted)))
}

/// The same again: a version that runs the same takes the place of the one that there is.
async fn restart(context: &Context, app: AppName) -> Told {
    let run = {
        let state = context.shared.state();
        let found = state.apps().get(&app).and_then(|found| found.specification());
        found.map(|one| one.run.clone()).ok_or_else(|| Failure::unknown(app.as_str()))?
    };
    let upgrade = Call::Upgrade { app: app.clone(), label: label(context), run, step: None };
    let accepted = call(context, upgrade).await?;
    Ok(deployed(context, &app, change_of(&accepted)))
}

/// Ends tasks, which are replaced.
async fn kill(
    context: &Context,
    app: &AppName,
    task: Option<&str>,
    host: Option<&str>,
    query: Option<&str>,
    view: View,
) -> Told {
    if is_true(query, "scale") {
        let message = "tasks that end are replaced; scale the app to have fewer";
        return Err(Failure::new(422, message));
    }
    let chosen: Vec<(InstanceId, Value)> = {
        let state = context.shared.state();
        let found = state.apps().get(app).ok_or_else(|| Failure::unknown(app.as_str()))?;
        let all = found.instances.iter().filter_map(|(number, instance)| {
            let id = InstanceId { app: app.clone(), number: *number };
            Some((id.clone(), show::task(&id, found, instance, view)?))
        });
        all.filter(|(id, shown)| {
            task.is_none_or(|task| id.to_string() == task)
                && host.is_none_or(|host| shown["host"] == host || shown["slaveId"] == host)
        })
        .collect()
    };
    if let (Some(task), true) = (task, chosen.is_empty()) {
        return Err(Failure::new(404, format!("Task '{task}' does not exist")));
    }
    for (instance, _) in &chosen {
        call(context, Call::Restart { instance: instance.clone() }).await?;
    }
    let mut shown = chosen.into_iter().map(|(_, shown)| shown);
    Ok(Json(match task {
        Some(_) => json!({"task": shown.next()}),
        None => json!({"tasks": shown.collect::<Vec<Value>>()}),
    })
    .into_response())
}

async fn all_tasks(State(context): State<Context>, headers: HeaderMap) -> Json<Value> {
    let view = view(&context, &headers);
    let state = context.shared.state();
    let tasks = state.apps().iter().flat_map(|(name, app)| show::tasks(name, app, view));
    Json(json!({"tasks": tasks.collect::<Vec<Value>>()}))
}

async fn deployments(State(context): State<Context>) -> Json<Value> {
    let state = context.shared.state();
    let all = state.apps().iter().flat_map(|(name, app)| show::deployments(name, app));
    Json(all.collect())
}

/// Goes back from a deployment that is under way.
async fn one_deployment(
    State(context): State<Context>,
    Path(id): Path<String>,
    method: Method,
    RawQuery(query): RawQuery,
) -> Told {
    if method != Method::DELETE {
        return Err(Failure::method(&method));
    }
    let unknown = || Failure::new(404, format!("DeploymentPlan {id} does not exist"));
    let app: AppName = {
        let state = context.shared.state();
        let is_it = |name: &AppName, app: &App| {
            show::deployments(name, app).iter().any(|one| one["id"] == id.as_str())
        };
        let found = state.apps().iter().find(|(name, app)| is_it(name, app));
        found.map(|(name, _)| name.clone()).ok_or_else(unknown)?
    };
    if is_true(query.as_deref(), "force") || id.ends_with(".scale") || id.ends_with(".delete") {
        let message = "a deployment can be gone back from, not left half way: a newer one \
                       takes its place at once";
        return Err(Failure::new(422, message));
    }
    let accepted = call(&context, Call::Rollback { app: app.clone(), version: None }).await?;
    Ok(deployed(&context, &app, change_of(&accepted)))
}

async fn queue(State(context): State<Context>, headers: HeaderMap) -> Json<Value> {
    let (view, now): (View, Time) = (view(&context, &headers), context.shared.now());
    let state = context.shared.state();
    let waiting = state.apps().iter().filter_map(|(name, app)| show::queued(name, app, now, view));
    Json(json!({"queue": waiting.collect::<Vec<Value>>()}))
}

async fn info(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Json<Value> {
    let address = authority(&headers, &uri);
    let framework = context.mesos.as_ref().and_then(|mesos| mesos.id()).map(|id| id.value);
    Json(json!({
        "name": "corral",
        "version": API,
        "buildref": concat!("corral ", env!("CARGO_PKG_VERSION")),
        "elected": context.shared.state().is_leading(),
        "leader": address,
        "frameworkId": framework,
        "marathon_config": {"ha": false, "checkpoint": true},
        "zookeeper_config": {},
        "http_config": {},
        "event_subscriber": null,
    }))
}

async fn leader(State(context): State<Context>, headers: HeaderMap, uri: Uri) -> Told {
    if !context.shared.state().is_leading() {
        return Err(Failure::new(404, "There is no leader"));
    }
    Ok(Json(json!({"leader": authority(&headers, &uri)})).into_response())
}

/// Where the client has found it.
fn authority(headers: &HeaderMap, uri: &Uri) -> String {
    let header = headers.get("host").and_then(|value| value.to_str().ok());
    let own = uri.authority().map(|authority| authority.as_str());
    own.or(header).unwrap_or("127.0.0.1").to_owned()
}

/// Events from now on.
async fn events(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let types = values(query.as_deref(), "event_type");
    let last = context.shared.journal.last();
    let attached = (
        "event_stream_attached",
        json!({"eventType": "event_stream_attached", "remoteAddress": "127.0.0.1",
               "timestamp": label(&context)}),
    );
    let first = Vec::from_iter(wanted(&types, attached.0).then(|| framed(attached.0, &attached.1)));
    Sse::new(follow(context.shared, last, types, first)).keep_alive(KeepAlive::default())
}

fn wanted(types: &[String], name: &str) -> bool {
    types.is_empty() || types.iter().any(|one| one == name)
}

fn framed(name: &str, data: &Value) -> sse::Event {
    sse::Event::default().event(name).data(data.to_string())
}

fn shown(entry: &Entry, types: &[String]) -> Option<sse::Event> {
    let (name, data) = event(Happened {
        kind: &entry.kind,
        subject: &entry.subject,
        state: &entry.state,
        at: &entry.at,
        machine: entry.machine.as_deref(),
        version: entry.version,
        text: entry.text.as_deref(),
    })?;
    wanted(types, name).then(|| framed(name, &data))
}

fn follow(
    shared: Arc<Shared>,
    last: u64,
    types: Vec<String>,
    first: Vec<sse::Event>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let watch = shared.journal.watch();
    stream::unfold(
        (shared, watch, last, types, first),
        async |(shared, mut watch, mut last, types, mut waiting)| {
            loop {
                if let Some(event) = waiting.pop() {
                    return Some((Ok(event), (shared, watch, last, types, waiting)));
                }
                watch.borrow_and_update();
                let (entries, _) = shared.journal.after(last, EVENTS_AT_A_TIME);
                if let Some(entry) = entries.last() {
                    last = entry.number;
                    let all = entries.iter().rev();
                    waiting = all.filter_map(|entry| shown(entry, &types)).collect();
                    continue;
                }
                // It ends with the daemon.
                watch.changed().await.ok()?;
            }
        },
    )
}
