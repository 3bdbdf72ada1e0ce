//! What an app of Marathon may say and the core doesn't have.

use serde_json::{Map, Value, json};

use crate::read::Wrong;

/// What Marathon tells of an app, and takes no notice of when it is sent.
const TOLD_ONLY: &[&str] = &[
    "deployments",
    "lastTaskFailure",
    "readinessCheckResults",
    "taskStats",
    "tasks",
    "tasksHealthy",
    "tasksRunning",
    "tasksStaged",
    "tasksUnhealthy",
    "version",
    "versionInfo",
];

/// What is read elsewhere.
const READ: &[&str] = &[
    "args",
    "cmd",
    "constraints",
    "container",
    "cpus",
    "env",
    "healthChecks",
    "id",
    "instances",
    "labels",
    "mem",
    "networks",
    "portDefinitions",
    "ports",
    "taskKillGracePeriodSeconds",
    "upgradeStrategy",
];

/// Values that say nothing, because Marathon takes them if nothing is said, and what to do instead of
/// saying another.
fn defaults(name: &str) -> Option<(Vec<Value>, &'static str)> {
    let repair = "how failures are waited for is `repair` of the policy";
    Some(match name {
        "acceptedResourceRoles" => {
            (vec![json!([]), json!(["*"])], "`scheduler serve --role` says whose offers are taken")
        }
        "backoffFactor" => (vec![json!(1.15)], repair),
        "backoffSeconds" => (vec![json!(1)], repair),
        "maxLaunchDelaySeconds" => (vec![json!(300), json!(3600)], repair),
        "dependencies" => (vec![json!([])], "apps don't wait for others"),
        "disk" => (vec![json!(0)], "disk space is not counted"),
        "executor" => (vec![json!("")], "there are no executors of one's own"),
        "fetch" | "uris" | "storeUrls" => (vec![json!([])], "nothing is fetched: use an image"),
        "gpus" => (vec![json!(0)], "GPUs are not counted"),
        "killSelection" => (vec![json!("YOUNGEST_FIRST")], "the scheduler chooses which one ends"),
        "readinessChecks" => {
            (vec![json!([])], "an instance is ready when its health check says so")
        }
        "requirePorts" => (vec![json!(false)], "ports are chosen by the scheduler"),
        "secrets" => (vec![json!({})], "there are no secrets yet"),
        "tty" => (vec![json!(false)], "there are no terminals"),
        "unreachableStrategy" => {
            let never = json!({"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0});
            let usual = json!({"inactiveAfterSeconds": 300, "expungeAfterSeconds": 600});
            (vec![never, usual], "what happens to silent machines is `repair` of the policy")
        }
        "user" => (vec![], "`scheduler serve --user` says who tasks run as"),
        "role" => (vec![], "`scheduler serve --role` says which role is used"),
        "ipAddress" | "residency" | "taskRateLimit" => (vec![], "there is nothing like it"),
        _ => return None,
    })
}

/// Refuses what isn't known, and what is known and not there.
pub(crate) fn refuse(fields: &Map<String, Value>, wrong: &mut Vec<Wrong>) {
    for (name, value) in fields {
        if value.is_null() || READ.contains(&&**name) || TOLD_ONLY.contains(&&**name) {
            continue;
        }
        let path = format!("/{name}");
        match defaults(name) {
            Some((silent, _)) if silent.iter().any(|one| is_same(one, value)) => {}
            Some((_, instead)) => {
                wrong.push(Wrong::new(&path, format!("not supported: {instead}")))
            }
            None => wrong.push(Wrong::new(&path, "there is no such field")),
        }
    }
}

/// Whether values are the same; `1` is `1.0`.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|known| is_same(value, known)))
        }
        _ => one == other,
    }
}
