//! The agent's pages: `/state`, `/flags`, `/metrics/snapshot`, `/version`, `/health`, `/files/…`, as
//! operators, `provision` and schedulers ask for them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mesos::json::Named as _;
use mesos::{Attribute, Location, Resource, TaskState, ValueType};
use serde_json::{Map, Value, json};
use simulator_mesos::outside::OutsideTask;
use tokio::net::TcpListener;

use super::tasks::{Tasks, executor_of};
use super::{Shared, files};

/// A client that says nothing is left after this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What pages tell besides tasks.
#[derive(Debug)]
pub(crate) struct Page {
    flags: BTreeMap<String, String>,
    version: String,
    started: SystemTime,
    /// The master that it is registered with.
    pub(crate) master: Option<Location>,
}

impl Page {
    pub(crate) fn new(flags: BTreeMap<String, String>, version: String) -> Self {
        Self { flags, version, started: SystemTime::now(), master: None }
    }
}

/// Listens, and answers until the program ends.
pub(crate) async fn serve(listen: SocketAddr, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    tokio::spawn(async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                // Out of sockets, or a client that was gone at once: the next one may be better.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let shared = shared.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(shared.clone(), request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(socket), service);
                // A broken connection is the client's affair.
                let _ = connection.await;
            });
        }
    });
    Ok(())
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let path = path.strip_prefix("/slave(1)").unwrap_or(path);
    if let Some(found) = files::answer(&shared, path, request.uri().query().unwrap_or_default()) {
        return Ok(file(found));
    }
    let page = match path {
        "/health" => Some(Value::Null),
        "/version" => Some(json!({ "version": shared.page().version })),
        "/flags" => Some(json!({ "flags": shared.page().flags })),
        "/metrics/snapshot" => Some(metrics(&shared)),
        "/state" | "/state.json" => Some(state(&shared)),
        _ => None,
    };
    let (status, text) = match page {
        Some(Value::Null) => (StatusCode::OK, String::new()),
        Some(page) => (StatusCode::OK, page.to_string()),
        None => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn file(found: files::Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(found.body)));
    *response.status_mut() = found.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(found.kind));
    let disposition = found.name.map(|name| format!("attachment; filename={name}"));
    if let Some(Ok(value)) = disposition.map(HeaderValue::try_from) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    response
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn metrics(shared: &Shared) -> Value {
    let page = shared.page();
    let is_registered = if page.master.is_some() { 1.0 } else { 0.0 };
    let uptime = page.started.elapsed().unwrap_or_default().as_secs_f64();
    drop(page);
    let tasks = shared.tasks();
    let count = |chosen: &dyn Fn(TaskState) -> bool| {
        tasks.all().filter(|task| chosen(state_of(task))).fold(0.0, |sum: f64, _| sum + 1.0)
    };
    json!({
        "slave/registered": is_registered,
        "slave/uptime_secs": uptime,
        "slave/tasks_staging": count(&|it| it == TaskState::Staging),
        "slave/tasks_starting": count(&|it| it == TaskState::Starting),
        "slave/tasks_running": count(&|it| it == TaskState::Running),
        "slave/tasks_killing": count(&|it| it == TaskState::Killing),
        "slave/executors_running": count(&|it| !it.is_terminal()),
    })
}

fn state_of(task: &OutsideTask) -> TaskState {
    task.last.as_ref().map_or(TaskState::Staging, |last| last.state())
}

fn state(shared: &Shared) -> Value {
    let page = shared.page();
    let (version, started, flags) = (page.version.clone(), page.started, page.flags.clone());
    let master = page.master.as_ref().map(|master| master.host.clone());
    drop(page);
    let tasks = shared.tasks();
    let description = &tasks.description;
    let (frameworks, completed_frameworks) = frameworks(&tasks);
    let resources = resources_page(&description.resources);
    json!({
        "version": version,
        "start_time": seconds(started),
        "id": tasks.memory.id().map(|id| id.value.clone()).unwrap_or_default(),
        "pid": format!("slave(1)@{}:{}", tasks.ip(), description.port),
        "hostname": description.hostname,
        "resources": resources,
        "unreserved_resources": resources,
        "reserved_resources": {},
        "attributes": attributes_page(&description.attributes),
        "master_hostname": master,
        "flags": flags,
        "frameworks": frameworks,
        "completed_frameworks": completed_frameworks,
    })
}

/// Executors of a framework: those that run, and those that have ended.
type Executors = (Vec<Value>, Vec<Value>);

/// Frameworks that have something here, and those that had.
fn frameworks(tasks: &Tasks) -> (Vec<Value>, Vec<Value>) {
    let mut found: BTreeMap<&str, (Value, bool, Executors)> = BTreeMap::new();
    let known = tasks.all().map(|task| (task, true));
    for (task, is_known) in known.chain(tasks.completed().map(|task| (task, false))) {
        let id = task.framework.id.as_ref().map_or("", |id| id.value.as_str());
        let entry = found.entry(id).or_insert_with(|| {
            let about = json!({
                "id": id,
                "name": task.framework.name,
                "user": task.framework.user,
                "checkpoint": task.framework.checkpoint(),
                "hostname": task.framework.hostname(),
            });
            (about, false, Executors::default())
        });
        entry.1 |= is_known;
        let is_over = state_of(task).is_terminal();
        let executors = if is_over { &mut entry.2.1 } else { &mut entry.2.0 };
        executors.push(executor(id, task, &tasks.directory(task)));
    }
    let (mut living, mut completed) = (Vec::new(), Vec::new());
    for (mut about, is_known, (running, ended)) in found.into_values() {
        if let Value::Object(fields) = &mut about {
            fields.insert("executors".to_owned(), Value::Array(running));
            fields.insert("completed_executors".to_owned(), Value::Array(ended));
        }
        if is_known { living.push(about) } else { completed.push(about) }
    }
    (living, completed)
}

fn executor(framework_id: &str, task: &OutsideTask, directory: &str) -> Value {
    let info = &task.info;
    let used = resources_page(&info.resources);
    let told = json!([{
        "id": info.task_id.value,
        "name": info.name,
        "framework_id": framework_id,
        "slave_id": info.agent_id.value,
        "state": state_of(task).name(),
        "resources": used,
    }]);
    let is_over = state_of(task).is_terminal();
    let (tasks, completed) = if is_over { (json!([]), told) } else { (told, json!([])) };
    json!({
        "id": executor_of(info).value,
        "name": info.name,
        "source": info.task_id.value,
        "container": task.container_id,
        "resources": used,
        "directory": directory,
        "tasks": tasks,
        "queued_tasks": [],
        "completed_tasks": completed,
    })
}

fn resources_page(resources: &[Resource]) -> Value {
    let mut page = Map::new();
    for resource in resources {
        let value = match (resource.amount(), resource.numbers()) {
            (Some(amount), _) => json!(amount.to_f64()),
            (None, Some(numbers)) => json!(numbers.to_string()),
            (None, None) => continue,
        };
        page.insert(resource.name.clone(), value);
    }
    Value::Object(page)
}

fn attributes_page(attributes: &[Attribute]) -> Value {
    let mut page = Map::new();
    for attribute in attributes {
        let value = match attribute.r#type() {
            ValueType::Scalar => attribute.scalar.map(|it| json!(it.value)),
            ValueType::Text => attribute.text.as_ref().map(|it| json!(it.value)),
            ValueType::Set => attribute.set.as_ref().map(|it| json!(it.item)),
            ValueType::Ranges => attribute
                .ranges
                .as_ref()
                .map(|it| json!(mesos::quantity::Intervals::from(it).to_string())),
        };
        page.insert(attribute.name.clone(), value.unwrap_or_default());
    }
    Value::Object(page)
}
