//! The questions, as tasks. They are JSON, which is YAML; their values are templates with the
//! member's variables, evaluated by the engine like those of any task.

use provision_lifecycle::{Definition, Duty, Format, Probe};
use serde_json::{Value, json};

/// Names under which results are registered.
pub(crate) const RELEASES: &str = "probe_releases";
pub(crate) const CURRENT: &str = "probe_current";
pub(crate) const DATA: &str = "probe_data";
pub(crate) const FILES: &str = "probe_files";
pub(crate) const MNTR: &str = "probe_mntr";
pub(crate) const SRVR: &str = "probe_srvr";
pub(crate) const CONF: &str = "probe_conf";
pub(crate) const RAFT: &str = "probe_raft";
/// `HOST=ID` of all hosts that the inventory knows: told by the role, not by the member.
pub const NAMES: &str = "probe_names";
pub(crate) const SELF: &str = "probe_self";
pub(crate) const LEADER: &str = "probe_leader";
pub(crate) const HEALTH: &str = "probe_health";
pub(crate) const DOCKER: &str = "probe_docker";
pub(crate) const CONTAINERS: &str = "probe_containers";
pub(crate) const UNIT: &str = "probe_unit";
pub(crate) const RUNNING: &str = "probe_running";
pub(crate) const COMMAND: &str = "probe_command";
pub(crate) const WANTED: &str = "probe_wanted";
pub(crate) const VERSION: &str = "probe_version";
pub(crate) const METRICS: &str = "probe_metrics";
pub(crate) const FLAGS: &str = "probe_flags";
pub(crate) const AGENTS: &str = "probe_agents";
pub(crate) const QUOTA: &str = "probe_quota";
pub(crate) const STATE: &str = "probe_state";
pub(crate) const READY: &str = "probe_ready";

/// The file of a release that says what it was made from.
pub(crate) const RELEASE_MARK: &str = ".release";

/// Longest time for one answer, in seconds: a member that needs longer doesn't serve.
const ANSWER_LIMIT_SECONDS: u64 = 5;

/// The tasks that ask a member, and the names that their results are registered under.
#[must_use]
pub fn questions(definition: &Definition, duty: Duty) -> (Vec<Value>, Vec<&'static str>) {
    let mut asked = vec![
        // A release is whole when its mark is there; the role `release` writes it last.
        (
            RELEASES,
            json!({"find": {
                "paths": definition.release.folder, "patterns": RELEASE_MARK, "hidden": true,
                "file_type": "file", "recurse": true, "depth": 2,
            }}),
        ),
        (CURRENT, json!({"stat": {"path": definition.release.current, "get_checksum": false}})),
    ];
    if let Some(quorum) = &definition.quorum {
        asked.push((DATA, json!({"stat": {"path": quorum.has_data, "get_checksum": false}})));
    }
    let command = &definition.probe.started_with_current_files;
    asked.push((FILES, json!({"command": {"argv": command}})));
    asked.extend(of_format(definition, duty));
    if !definition.probe.wanted.is_empty() {
        asked.push((WANTED, json!({"debug": {"msg": definition.probe.wanted}})));
    }
    let names = asked.iter().map(|(name, _)| *name).collect();
    let tasks = asked.into_iter().map(|(name, task)| finished(name, task)).collect();
    (tasks, names)
}

/// What is common to all: a question that can't be asked is an answer as well.
fn finished(name: &str, mut task: Value) -> Value {
    if let Some(task) = task.as_object_mut() {
        task.insert("name".into(), name.replace('_', " ").into());
        task.insert("register".into(), name.into());
        task.insert("ignore_errors".into(), true.into());
        task.insert("check_mode".into(), false.into());
        task.insert("changed_when".into(), false.into());
    }
    task
}

fn of_format(definition: &Definition, duty: Duty) -> Vec<(&'static str, Value)> {
    let probe = &definition.probe;
    match probe.format.value {
        Format::ZookeeperMntr => {
            let port = probe.exchange.as_ref().map_or("", |exchange| exchange.port.0.as_str());
            let ask = |word: &str| json!({"exchange": {"port": port, "send": word, "timeout": ANSWER_LIMIT_SECONDS}});
            vec![(MNTR, ask("mntr")), (SRVR, ask("srvr")), (CONF, ask("conf"))]
        }
        Format::ConsulApi => {
            let ask = |path: &str| http(probe, path);
            let mut asked = vec![(SELF, ask("agent/self")), (LEADER, ask("status/leader"))];
            if duty == Duty::Voter {
                asked.push((HEALTH, ask("operator/autopilot/health")));
                asked.push((RAFT, ask("operator/raft/configuration")));
            }
            asked
        }
        Format::DockerCommand => {
            let program = probe.program.as_deref().unwrap_or_default();
            let format = "{% raw %}{{ .Server.Version }}{% endraw %}";
            let version = json!({"command": {"argv": [program, "version", "--format", format]}});
            let containers = json!({"command": {"argv": [program, "ps", "--quiet", "--no-trunc"]}});
            vec![(DOCKER, version), (CONTAINERS, containers)]
        }
        Format::MesosMaster => {
            let ask = |path: &str| http(probe, path);
            // Only the leader answers the last two; the others name it.
            vec![
                (VERSION, ask("version")),
                (METRICS, ask("metrics/snapshot")),
                (FLAGS, ask("flags")),
                (AGENTS, ask("master/slaves")),
                (QUOTA, ask("master/quota")),
            ]
        }
        Format::MesosAgent => {
            let ask = |path: &str| http(probe, path);
            let running = probe.running.as_deref().unwrap_or_default();
            vec![
                (STATE, ask("state")),
                (METRICS, ask("metrics/snapshot")),
                (RUNNING, json!({"command": {"argv": ["cat", running]}})),
            ]
        }
        Format::SchedulerReady => {
            let running = probe.running.as_deref().unwrap_or_default();
            let ask = |argv: &[&str]| json!({"command": {"argv": argv}});
            vec![
                (UNIT, ask(&["systemctl", "is-active", &definition.unit])),
                (RUNNING, ask(&["cat", running])),
                (READY, http(probe, "readyz")),
            ]
        }
        Format::UnitCommand => {
            let running = probe.running.as_deref().unwrap_or_default();
            let ask = |argv: &[&str]| json!({"command": {"argv": argv}});
            vec![
                (UNIT, ask(&["systemctl", "is-active", &definition.unit])),
                (RUNNING, ask(&["cat", running])),
                (COMMAND, json!({"command": {"argv": probe.command}})),
            ]
        }
    }
}

/// A question to an HTTP API.
fn http(probe: &Probe, path: &str) -> Value {
    let Some(http) = &probe.http else { return Value::Null };
    let mut uri = json!({
        "url": format!("{}/{path}", http.url),
        "timeout": ANSWER_LIMIT_SECONDS,
        "return_content": true,
        "status_code": [200, 429],
    });
    if let Some(uri) = uri.as_object_mut() {
        if let (Some(header), Some(token)) = (&http.header, &http.token) {
            uri.insert("headers".into(), json!({header: token.value}));
        }
        if let (Some(user), Some(password)) = (&http.user, &http.password) {
            uri.insert("url_username".into(), user.as_str().into());
            uri.insert("url_password".into(), password.value.as_str().into());
            uri.insert("force_basic_auth".into(), true.into());
        }
        if let Some(authorities) = &http.authorities {
            uri.insert("ca_path".into(), authorities.as_str().into());
        }
        // One that follows says so with 503.
        if probe.format.value == Format::SchedulerReady {
            uri.insert("status_code".into(), json!([200, 503]));
        }
        // The leader is asked on its own host: who leads must be seen, not followed.
        if probe.format.value == Format::MesosMaster {
            uri.insert("follow_redirects".into(), "none".into());
        }
    }
    // A secret may be among the arguments.
    json!({"uri": uri, "no_log": true})
}
