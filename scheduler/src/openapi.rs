//! The API as OpenAPI 3.1. It is committed as `docs/scheduler-openapi.json`; tests hold it to the
//! routes, to the shapes and to that file.

use serde_json::{Map, Value, json};

/// The document, as a file.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// Method, path, summary, schema of the body, schema of the answer.
type Route = (&'static str, &'static str, &'static str, Option<&'static str>, Answer);

/// What an answer is.
#[derive(Clone, Copy)]
enum Answer {
    /// One of these.
    One(&'static str),
    /// A list of these.
    List(&'static str),
    /// Text of this kind.
    Text(&'static str),
    /// Nothing.
    Nothing,
    /// An object whose shape is Marathon's.
    Marathon,
}

const ROUTES: &[Route] = &[
    ("get", "/", "A page for browsers", None, Answer::Text("text/html")),
    ("get", "/healthz", "Whether the process lives", None, Answer::Text("text/plain")),
    ("get", "/readyz", "Whether it leads and takes calls", None, Answer::Text("text/plain")),
    ("get", "/metrics", "All that is measured, for Prometheus", None, Answer::Text("text/plain")),
    ("get", "/openapi.json", "This document", None, Answer::Text("application/json")),
    ("get", "/v1/status", "The scheduler itself", None, Answer::One("Status")),
    ("get", "/v1/apps", "All apps", None, Answer::List("AppRow")),
    ("get", "/v1/apps/{app}", "An app with its instances", None, Answer::One("AppDetail")),
    (
        "put",
        "/v1/apps/{app}",
        "Deploy an app, or change it to what its file says",
        Some("App"),
        Answer::One("Answer"),
    ),
    ("delete", "/v1/apps/{app}", "End an app", None, Answer::One("Answer")),
    (
        "post",
        "/v1/apps/{app}/upgrade",
        "Bring another version",
        Some("Upgrade"),
        Answer::One("Answer"),
    ),
    (
        "post",
        "/v1/apps/{app}/scale",
        "Say how many instances there should be",
        Some("Scale"),
        Answer::One("Answer"),
    ),
    (
        "post",
        "/v1/apps/{app}/rollback",
        "Go back to an earlier version",
        Some("Rollback"),
        Answer::One("Answer"),
    ),
    (
        "post",
        "/v1/apps/{app}/add",
        "One more instance, on a machine",
        Some("OnMachine"),
        Answer::One("Answer"),
    ),
    (
        "post",
        "/v1/apps/{app}/remove",
        "One instance fewer, on a machine",
        Some("OnMachine"),
        Answer::One("Answer"),
    ),
    (
        "get",
        "/v1/apps/{app}/history",
        "Earlier deployments, versions and instances",
        None,
        Answer::One("History"),
    ),
    ("get", "/v1/apps/{app}/explain", "Why it is as it is", None, Answer::One("Explanation")),
    (
        "get",
        "/v1/instances",
        "All instances, or those of an app",
        None,
        Answer::List("InstanceRow"),
    ),
    ("get", "/v1/instances/{instance}", "An instance", None, Answer::One("InstanceRow")),
    (
        "get",
        "/v1/instances/{instance}/explain",
        "Why it is as it is",
        None,
        Answer::One("Explanation"),
    ),
    (
        "get",
        "/v1/instances/{instance}/logs",
        "What it has written",
        None,
        Answer::Text("text/plain"),
    ),
    (
        "post",
        "/v1/instances/{instance}/kill",
        "Start another one in its place, and end it then",
        None,
        Answer::One("Answer"),
    ),
    (
        "get",
        "/v1/deployments",
        "Deployments of all apps, or of one: those under way first, then the last ones",
        None,
        Answer::List("DeploymentState"),
    ),
    (
        "get",
        "/v1/decisions",
        "The last decisions with their reasons, of all apps or of one; the newest first",
        None,
        Answer::List("DecisionRow"),
    ),
    ("get", "/v1/machines", "All machines", None, Answer::List("MachineRow")),
    (
        "post",
        "/v1/machines/{machine}/drain",
        "Move everything off a machine",
        None,
        Answer::One("Answer"),
    ),
    ("post", "/v1/machines/{machine}/undrain", "Use a machine again", None, Answer::One("Answer")),
    ("get", "/v1/consul", "What isn't in Consul, and why", None, Answer::One("ConsulState")),
    (
        "get",
        "/v1/discovery/{app}",
        "Where an app is found; with `since` or Last-Event-ID as server-sent events: `snapshot` with the shape FoundAnew, then `added` with Found, `weight` with Reweighed, `removed` with Gone",
        None,
        Answer::List("Endpoint"),
    ),
    (
        "post",
        "/v1/observations",
        "Say what an app had to do, for scaling and for upgrades",
        Some("Observation"),
        Answer::Nothing,
    ),
    ("post", "/v1/thaw", "End a freeze: repair goes on", None, Answer::One("Answer")),
    (
        "get",
        "/v1/rebalance",
        "What would move to spread apps evenly again",
        None,
        Answer::List("SpreadPlan"),
    ),
    ("post", "/v1/rebalance", "Move it", Some("Spread"), Answer::One("Answer")),
    (
        "post",
        "/v1/rebalance/cancel",
        "Keep what hasn't been replaced yet",
        Some("StopSpread"),
        Answer::One("Answer"),
    ),
    ("get", "/v1/volumes", "All volumes, or those of an app", None, Answer::List("VolumeRow")),
    (
        "delete",
        "/v1/volumes/{volume}",
        "Destroy a volume that no instance has, or give it up, if its machine is gone",
        None,
        Answer::One("Answer"),
    ),
    (
        "get",
        "/v1/policy",
        "The live policy, and those before and beside it",
        None,
        Answer::One("PolicyState"),
    ),
    (
        "put",
        "/v1/policy",
        "Have another policy decide",
        Some("PolicyFile"),
        Answer::One("PolicyAnswer"),
    ),
    (
        "post",
        "/v1/policy/rollback",
        "Have an earlier policy decide",
        Some("PolicyRollback"),
        Answer::One("PolicyAnswer"),
    ),
    (
        "post",
        "/v1/policy/shadow",
        "Ask a policy beside the live one what it would decide, and note what differs",
        Some("PolicyShadow"),
        Answer::One("PolicyState"),
    ),
    (
        "get",
        "/v1/events",
        "What happens, as server-sent events; Last-Event-ID or `after` resumes",
        None,
        Answer::Text("text/event-stream"),
    ),
    ("get", "/v1/snapshot", "All records, a line for each", None, Answer::Text("text/plain")),
];

/// What clients of Marathon find; `docs/marathon.md` says what of it is there.
const MARATHON: &[Route] = &[
    ("get", "/ping", "Whether the process lives", None, Answer::Text("text/plain")),
    ("get", "/v2/apps", "All apps, as Marathon shows them", None, Answer::Marathon),
    ("post", "/v2/apps", "Deploy an app of Marathon's form", Some(FOREIGN), Answer::Marathon),
    ("get", "/v2/apps/{id}", "An app, as Marathon shows it", None, Answer::Marathon),
    (
        "put",
        "/v2/apps/{id}",
        "Change an app; what isn't said stays",
        Some(FOREIGN),
        Answer::Marathon,
    ),
    ("delete", "/v2/apps/{id}", "End an app", None, Answer::Marathon),
    ("post", "/v2/apps/{id}/restart", "Replace all its instances", None, Answer::Marathon),
    ("get", "/v2/apps/{id}/versions", "Its last versions", None, Answer::Marathon),
    ("get", "/v2/apps/{id}/versions/{version}", "One of them", None, Answer::Marathon),
    ("get", "/v2/apps/{id}/tasks", "Its instances that have a machine", None, Answer::Marathon),
    ("delete", "/v2/apps/{id}/tasks", "Replace them", None, Answer::Marathon),
    ("delete", "/v2/apps/{id}/tasks/{task}", "Replace one of them", None, Answer::Marathon),
    ("get", "/v2/tasks", "All instances that have a machine", None, Answer::Marathon),
    ("get", "/v2/deployments", "Deployments under way", None, Answer::Marathon),
    ("delete", "/v2/deployments/{id}", "Go back to the last good version", None, Answer::Marathon),
    ("get", "/v2/queue", "Instances that wait for a machine", None, Answer::Marathon),
    (
        "get",
        "/v2/events",
        "What happens, as Marathon tells it",
        None,
        Answer::Text("text/event-stream"),
    ),
    ("get", "/v2/info", "The scheduler itself", None, Answer::Marathon),
    ("get", "/v2/leader", "Who leads", None, Answer::Marathon),
];

/// A body whose shape is Marathon's.
const FOREIGN: &str = "MarathonObject";

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, summary, body, answer) in ROUTES.iter().chain(MARATHON) {
        let item = paths.entry(*path).or_insert_with(|| path_item(path));
        if let Some(item) = item.as_object_mut() {
            item.insert((*method).to_owned(), operation(method, path, summary, *body, *answer));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Corral scheduler",
            "version": "1",
            "summary": "On the loopback, what changes something, output and snapshots need the token in daemon.json of the daemon's folder. Through TLS everything does but /healthz, /readyz, the page and this document; the role of the token says what it is good for: `read`, or `operate` for changes and snapshots.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7470"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    })
}

fn path_item(path: &str) -> Value {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if parameters.is_empty() { json!({}) } else { json!({ "parameters": parameters }) }
}

fn operation(method: &str, path: &str, summary: &str, body: Option<&str>, answer: Answer) -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let content = match answer {
        Answer::One(name) => json!({"application/json": {"schema": reference(name)}}),
        Answer::List(name) => {
            json!({"application/json": {"schema": {"type": "array", "items": reference(name)}}})
        }
        Answer::Text(kind) => json!({ kind: {"schema": {"type": "string"}} }),
        Answer::Nothing => json!({}),
        Answer::Marathon => json!({"application/json": {"schema": reference(FOREIGN)}}),
    };
    let refused = match path.starts_with("/v2") {
        true => json!({"application/json": {"schema": reference("MarathonProblem")}}),
        false => json!({"application/problem+json": {"schema": reference("Problem")}}),
    };
    let problem = json!({"description": "It is refused; nothing was changed.", "content": refused});
    let status = if matches!(answer, Answer::Nothing) { "204" } else { "200" };
    let mut operation = json!({
        "summary": summary,
        "responses": {
            status: {"description": "It is so, durably.", "content": content},
            "default": problem,
        },
    });
    let Some(map) = operation.as_object_mut() else { return operation };
    if let Some(name) = body {
        let kind = if matches!(name, "App" | "PolicyFile") {
            "application/yaml"
        } else {
            "application/json"
        };
        let content = json!({ kind: {"schema": reference(name)} });
        map.insert("requestBody".to_owned(), json!({"required": true, "content": content}));
    }
    let parameters = parameters(method, path);
    if !parameters.is_empty() {
        map.insert("parameters".to_owned(), parameters.into());
    }
    if method != "get" || path.ends_with("/logs") || path.ends_with("/snapshot") {
        map.insert("security".to_owned(), json!([{"token": []}]));
    }
    operation
}

fn parameters(method: &str, path: &str) -> Vec<Value> {
    let query = |name: &str, schema: Value| json!({"name": name, "in": "query", "schema": schema});
    match (method, path) {
        ("get", "/v1/instances" | "/v1/deployments" | "/v1/decisions") => vec![
            query("app", json!({"type": "string"})),
            query("most", json!({"type": "integer", "minimum": 0})),
        ],
        ("delete", "/v1/apps/{app}") => {
            let mut both = vec![query("keep_volumes", json!({"type": "boolean"}))];
            both.extend(parameters("delete", ""));
            both
        }
        ("get", "/v1/rebalance" | "/v1/volumes") => vec![query("app", json!({"type": "string"}))],
        ("get", "/v1/instances/{instance}/logs") => vec![
            query("stream", json!({"enum": ["stdout", "stderr"]})),
            query("lines", json!({"type": "integer", "minimum": 0})),
            query("follow", json!({"type": "boolean"})),
        ],
        ("get", "/v1/discovery/{app}") => vec![
            query("since", json!({"type": "integer", "minimum": 0})),
            json!({"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}}),
        ],
        ("get", "/v1/events") => vec![
            query("after", json!({"type": "integer", "minimum": 0})),
            json!({"name": "Last-Event-ID", "in": "header", "schema": {"type": "integer"}}),
        ],
        ("get", _) => Vec::new(),
        _ => vec![json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A request with the key of an earlier one gets its answer; nothing is done again.",
            "schema": {"type": "string", "maxLength": 200},
        })],
    }
}

/// Schemas of the shapes in `wire`.
#[must_use]
pub fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "minimum": 0});
    let truth = || json!({"type": "boolean"});
    let list = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}});
    let one = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let maybe = |schema: Value| json!({"anyOf": [schema, {"type": "null"}]});
    let map = |schema: Value| json!({"type": "object", "additionalProperties": schema});
    let ports = || json!({"type": "array", "items": {"type": "integer"}});
    let moment = || json!({"type": "string", "format": "date-time"});
    let mut app = crate::schema::app();
    if let Some(app) = app.as_object_mut() {
        app.remove("$schema");
    }
    let mut schemas = json!({
        "App": app,
        "MarathonObject": {"type": "object", "description": "The shape that Marathon 1.6 documents for this path."},
        "MarathonProblem": {
            "type": "object",
            "required": ["message"],
            "properties": {
                "message": text(),
                "details": {"type": "array", "items": shape(&[
                    ("path", text()), ("errors", json!({"type": "array", "items": text()})),
                ])},
            },
        },
        "AppRow": shape(&[
            ("app", text()), ("version", number()), ("label", text()), ("wanted", number()),
            ("min", number()), ("max", number()), ("serving", number()), ("starting", number()),
            ("stopping", number()),
            ("state", json!({"enum": ["steady", "deploying", "stalled", "changing", "deleting"]})),
            ("hold", maybe(text())),
        ]),
        "AppDetail": shape(&[
            ("summary", one("AppRow")), ("deployment", maybe(one("DeploymentRow"))),
            ("last", maybe(one("EndedRow"))), ("rebalance", maybe(one("SpreadRow"))),
            ("specification", maybe(json!({"type": "object"}))),
            ("versions", list("VersionRow")), ("named", map(number())),
            ("instances", list("InstanceRow")),
        ]),
        "VersionRow": shape(&[
            ("version", number()), ("label", text()), ("is_target", truth()),
            ("is_stable", truth()), ("instances", number()),
        ]),
        "DeploymentRow": shape(&[
            ("number", number()), ("from", maybe(number())), ("to", number()),
            ("begun", moment()), ("cause", text()), ("stalled", maybe(text())),
        ]),
        "EndedRow": shape(&[
            ("number", number()), ("from", maybe(number())), ("to", number()), ("at", moment()),
            ("is_done", truth()), ("outcome", text()),
        ]),
        "History": shape(&[
            ("deployments", list("EndedRow")), ("instances", list("GoneRow")),
            ("versions", list("VersionRow")),
        ]),
        "GoneRow": shape(&[
            ("instance", text()), ("version", number()), ("machine", maybe(text())),
            ("at", moment()), ("why", text()),
        ]),
        "InstanceRow": shape(&[
            ("instance", text()), ("app", text()), ("version", number()), ("label", text()),
            ("life", text()), ("since", moment()), ("weight_thousandths", number()),
            ("machine", maybe(text())), ("ports", ports()), ("is_unhealthy", truth()),
            ("ends", maybe(text())),
        ]),
        "MachineRow": shape(&[
            ("machine", text()), ("state", json!({"enum": ["up", "silent", "draining", "drained"]})),
            ("millicores", number()), ("free_millicores", number()), ("memory_mib", number()),
            ("free_memory_mib", number()), ("free_ports", number()), ("instances", number()),
            ("attributes", map(text())),
        ]),
        "Status": shape(&[
            ("program", text()), ("epoch", number()), ("is_leading", truth()), ("policy", text()),
            ("backend", text()), ("apps", number()), ("instances", number()),
            ("machines", number()), ("freeze", maybe(text())), ("last_event", number()),
        ]),
        "Endpoint": shape(&[
            ("instance", text()), ("address", text()), ("ports", ports()),
            ("weight_thousandths", number()),
        ]),
        "PolicyFile": json!({"type": "object", "description": "policy.yml"}),
        "PolicyState": shape(&[
            ("number", number()), ("digest", text()), ("text", text()),
            ("versions", list("PolicyRow")), ("shadow", maybe(one("ShadowState"))),
        ]),
        "PolicyRow": shape(&[
            ("number", number()), ("digest", text()), ("at", moment()),
            ("cause", json!({"enum": ["begun", "applied", "rolled-back"]})),
        ]),
        "ShadowState": shape(&[
            ("digest", text()), ("since", moment()), ("until", moment()),
            ("compared", number()), ("different", number()), ("differences", list("Difference")),
        ]),
        "Difference": shape(&[
            ("at", moment()), ("app", maybe(text())),
            ("kind", json!({"enum": ["scaling", "rollout", "verdict", "freeze"]})),
            ("text", text()),
        ]),
        "PolicyAnswer": shape(&[
            ("number", number()), ("digest", text()), ("is_changed", truth()),
        ]),
        "PolicyRollback": asked(&[], &[("number", number())]),
        "PolicyShadow": asked(&["seconds"], &[("text", text()), ("seconds", number())]),
        "ConsulState": shape(&[
            ("is_used", truth()), ("wanted", number()), ("missing", list("MissingRow")),
            ("agents", list("AgentRow")),
        ]),
        "MissingRow": shape(&[
            ("instance", text()), ("agent", text()), ("why", text()), ("since", moment()),
        ]),
        "AgentRow": shape(&[("agent", text()), ("why", text())]),
        "Explanation": shape(&[("text", text()), ("detail", json!({"type": "object"}))]),
        "Answer": shape(&[
            ("result", json!({"enum": ["deployment", "wanted", "moves", "unchanged", "noted"]})),
            ("deployment", maybe(number())), ("version", maybe(number())),
            ("wanted", maybe(number())), ("moves", maybe(number())),
        ]),
        "Spread": asked(&[], &[
            ("app", text()), ("at_a_time", json!({"type": "integer", "minimum": 1})),
        ]),
        "StopSpread": asked(&[], &[("app", text())]),
        "SpreadPlan": shape(&[
            ("app", text()), ("refused", maybe(text())), ("moves", list("MoveRow")),
            ("machines", list("CountRow")), ("racks", list("CountRow")),
        ]),
        "SpreadRow": shape(&[
            ("begun", moment()), ("at_a_time", number()), ("ended", maybe(moment())),
            ("outcome", maybe(text())), ("done", number()), ("moving", number()),
            ("skipped", number()), ("moves", list("MoveRow")),
        ]),
        "MoveRow": shape(&[
            ("instance", text()), ("from", text()), ("to", text()), ("why", text()),
            ("state", json!({"enum": ["planned", "moving", "done", "skipped"]})), ("text", text()),
        ]),
        "CountRow": shape(&[("name", text()), ("before", number()), ("after", number())]),
        "Upgrade": asked(&["version"], &[
            ("version", text()), ("command", json!({"type": "array", "items": text()})),
            ("shell", text()), ("image", text()), ("step", json!({"type": "integer", "minimum": 1})),
        ]),
        "VolumeRow": shape(&[
            ("volume", text()), ("app", text()), ("machine", text()), ("parts", list("PartRow")),
            ("size_mib", number()), ("reserved_millicores", number()),
            ("reserved_memory_mib", number()),
            ("reserved_ports", json!({"type": "array", "items": number()})),
            ("state", json!({"enum": ["used", "awaited", "kept", "ending"]})),
            ("instance", maybe(text())), ("since", moment()), ("has_machine", truth()),
        ]),
        "PartRow": shape(&[("name", text()), ("size_mib", number())]),
        "Scale": asked(&["instances"], &[("instances", number()), ("keep_volumes", truth())]),
        "Rollback": asked(&[], &[("version", number())]),
        "OnMachine": asked(&["machine"], &[("machine", text()), ("keep_volumes", truth())]),
        "Observation": asked(&["app", "busy_thousandths", "waiting", "arrivals", "rejects"], &[
            ("app", text()), ("busy_thousandths", number()), ("waiting", number()),
            ("arrivals", number()), ("rejects", number()),
        ]),
        "Problem": asked(&["type", "title", "status", "detail"], &[
            ("type", text()), ("title", text()), ("status", number()), ("detail", text()),
            ("hint", text()),
        ]),
    });
    if let (Some(all), Value::Object(more)) = (schemas.as_object_mut(), looks()) {
        all.extend(more);
    }
    schemas
}

/// Schemas of the shapes in `wire::look`.
fn looks() -> Value {
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "minimum": 0});
    let one = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let list = |name: &str| json!({"type": "array", "items": one(name)});
    let maybe = |schema: Value| json!({"anyOf": [schema, {"type": "null"}]});
    let ports = || json!({"type": "array", "items": {"type": "integer"}});
    let moment = || json!({"type": "string", "format": "date-time"});
    json!({
        "DeploymentState": shape(&[
            ("app", text()), ("number", number()), ("from", maybe(number())), ("to", number()),
            ("label", text()),
            ("state", json!({"enum": [
                "under-way", "stalled", "done", "failed", "superseded", "deleted",
            ]})),
            ("begun", maybe(moment())), ("ended", maybe(moment())), ("why", text()),
            ("waits", maybe(text())), ("progress", maybe(one("DeploymentProgress"))),
        ]),
        "DeploymentProgress": shape(&[
            ("wanted", number()), ("new_serving", number()), ("new_warm", number()),
            ("new_starting", number()), ("old", number()), ("stopping", number()),
        ]),
        "DecisionRow": shape(&[
            ("at", moment()), ("app", maybe(text())),
            ("kind", json!({"enum": ["scaling", "rollout", "verdict", "freeze", "policy"]})),
            ("said", text()), ("seen", text()),
        ]),
        "FoundAnew": shape(&[
            ("number", number()), ("part", number()), ("parts", number()),
            ("instances", list("Endpoint")),
        ]),
        "Found": shape(&[
            ("number", number()), ("instance", text()), ("address", text()), ("ports", ports()),
            ("weight_thousandths", number()),
        ]),
        "Reweighed": shape(&[
            ("number", number()), ("instance", text()), ("weight_thousandths", number()),
        ]),
        "Gone": shape(&[("number", number()), ("instance", text())]),
    })
}

/// What an answer has: all of it, and later perhaps more.
fn shape(entries: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
    json!({"type": "object", "required": required, "properties": properties(entries)})
}

/// What a body may have, and nothing else.
fn asked(required: &[&str], entries: &[(&str, Value)]) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties(entries),
    })
}

fn properties(entries: &[(&str, Value)]) -> Map<String, Value> {
    entries.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect()
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
