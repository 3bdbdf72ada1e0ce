//! What the core has → what Marathon's clients read.

use calendar::Moment;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{App, Run, Specification};
use scheduler_core::ids::{AppName, InstanceId, MachineName};
use scheduler_core::instance::{Instance, Life, Wait};
use serde_json::{Value, json};

use crate::extras::{EXTRAS, Extras, Port};
use crate::read::shell_text;
use crate::{WITHHELD, constraints, health, ports};

/// How things are shown.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Whether values of variables are.
    pub shows_values: bool,
    /// Whether instances run on this machine, whatever the machine is called.
    pub is_local: bool,
}

/// A time as Marathon writes it.
#[must_use]
pub fn timestamp(time: Time) -> String {
    let moment = Moment::of_epoch_seconds(time.0 / 1_000_000_000).to_string();
    let thousandths = time.0 / 1_000_000 % 1000;
    format!("{}.{thousandths:03}Z", moment.trim_end_matches('Z'))
}

pub(crate) const fn whole_seconds(length: Nanoseconds) -> u64 {
    // Marathon knows no parts of a second: never shown shorter than it is.
    length.0.div_ceil(1_000_000_000)
}

/// The path of an app.
fn path(name: &AppName) -> String {
    format!("/{name}")
}

/// A version of an app, as it was asked for.
#[must_use]
pub fn version(name: &AppName, specification: &Specification, instances: u32, view: View) -> Value {
    let extras = Extras::of(specification);
    let count = usize::try_from(specification.need.ports).unwrap_or(0).min(1000);
    let mut kept = extras.ports;
    kept.resize(count, Port::default());
    let env: serde_json::Map<String, Value> = specification
        .environment
        .iter()
        .filter(|(name, _)| *name != EXTRAS)
        .map(|(name, value)| {
            let shown = if view.shows_values { value.as_str() } else { WITHHELD };
            (name.clone(), json!(shown))
        })
        .collect();
    let mut shown = json!({
        "id": path(name),
        "instances": instances,
        "cpus": f64::from(specification.need.millicores) / 1000.0,
        "mem": specification.need.memory_mib,
        "disk": 0,
        "gpus": 0,
        "env": env,
        "labels": extras.labels,
        "constraints": constraints::show(&specification.constraints),
        "healthChecks": health::show(specification.check.as_ref(), specification.health_grace),
        "requirePorts": false,
        "taskKillGracePeriodSeconds": whole_seconds(specification.kill_grace),
        "version": specification.label,
    });
    let Value::Object(fields) = &mut shown else { return shown };
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    let words = match &specification.run {
        Run::Image { image, arguments } => {
            put(
                "container",
                json!({
                    "type": "DOCKER",
                    "docker": {"image": image},
                    "portMappings": ports::show(&kept, Some(&specification.inner_ports)),
                    "volumes": [],
                }),
            );
            put("networks", json!([{"mode": "container/bridge"}]));
            arguments
        }
        Run::Command(words) => {
            put("portDefinitions", ports::show(&kept, None));
            put("networks", json!([{"mode": "host"}]));
            words
        }
    };
    match words.as_slice() {
        [] => {}
        [shell, flag, text] if shell == "/bin/sh" && flag == "-c" && !text.trim().is_empty() => {
            put("cmd", json!(shell_text(words)));
        }
        words => put("args", json!(words)),
    }
    shown
}

/// An app with what is known of its instances.
#[must_use]
pub fn app(name: &AppName, app: &App, with_tasks: bool, view: View) -> Option<Value> {
    let specification = app.specification()?;
    let wanted = if app.is_deleted { 0 } else { app.wanted };
    let mut shown = version(name, specification, wanted, view);
    let count = |chosen: &dyn Fn(&Instance) -> bool| {
        app.instances.values().filter(|instance| chosen(instance)).count()
    };
    let is_staged = |it: &Instance| matches!(it.life, Life::Intended | Life::Launching);
    let has_check = specification.check.is_some();
    let serves = |it: &Instance| matches!(it.life, Life::Serving { .. });
    let fields = shown.as_object_mut()?;
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("tasksStaged", json!(count(&is_staged)));
    put("tasksRunning", json!(count(&|it| runs(it.life))));
    put("tasksHealthy", json!(count(&|it| has_check && serves(it) && !it.is_unhealthy())));
    put("tasksUnhealthy", json!(count(&|it| has_check && it.is_unhealthy())));
    let ids = deployments_of(name, app).into_iter().map(|(id, _)| json!({"id": id}));
    put("deployments", ids.collect());
    if with_tasks {
        put("tasks", tasks(name, app, view).into());
    }
    Some(shown)
}

const fn runs(life: Life) -> bool {
    match life {
        Life::Running
        | Life::Registering
        | Life::Serving { .. }
        | Life::Deregistering
        | Life::CoolingDown
        | Life::Killing => true,
        Life::Waiting | Life::Intended | Life::Launching | Life::Sweeping => false,
    }
}

/// The instances of an app that have a machine.
#[must_use]
pub fn tasks(name: &AppName, app: &App, view: View) -> Vec<Value> {
    let one = |number: u64, instance: &Instance| {
        let id = InstanceId { app: name.clone(), number };
        task(&id, app, instance, view)
    };
    app.instances.iter().filter_map(|(number, instance)| one(*number, instance)).collect()
}

/// An instance; none if it has no machine, or no process any more.
#[must_use]
pub fn task(id: &InstanceId, app: &App, instance: &Instance, view: View) -> Option<Value> {
    let machine = instance.machine.as_ref()?;
    let state = match instance.life {
        Life::Waiting | Life::Sweeping => return None,
        Life::Intended | Life::Launching => "TASK_STAGING",
        Life::Killing => "TASK_KILLING",
        _ => "TASK_RUNNING",
    };
    let specification = app.versions.get(&instance.version);
    let service_ports = specification.map(|one| Extras::of(one).ports).unwrap_or_default();
    let service_ports: Vec<u16> = service_ports.iter().map(|port| port.service_port).collect();
    let host = host(machine, view);
    let mut shown = json!({
        "id": id.to_string(),
        "appId": path(&id.app),
        "host": host,
        "ports": instance.ports,
        "servicePorts": service_ports,
        "slaveId": machine.as_str(),
        "stagedAt": timestamp(instance.made),
        "state": state,
        "version": specification.map(|one| one.label.clone()).unwrap_or_default(),
        "ipAddresses": [],
        "localVolumes": [],
    });
    let fields = shown.as_object_mut()?;
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        let protocol = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        put("ipAddresses", json!([{"ipAddress": host, "protocol": protocol}]));
    }
    if runs(instance.life) {
        put("startedAt", json!(timestamp(instance.serving_since.unwrap_or(instance.since))));
    }
    let is_checked = specification.is_some_and(|one| one.check.is_some());
    if is_checked && (instance.serving_since.is_some() || instance.is_unhealthy()) {
        let alive = !instance.is_unhealthy();
        put("healthCheckResults", json!([{"alive": alive, "taskId": id.to_string()}]));
    }
    Some(shown)
}

/// How the machine is reached.
fn host(machine: &MachineName, view: View) -> String {
    if view.is_local {
        return "127.0.0.1".to_owned();
    }
    let name = machine.as_str();
    match name.rsplit_once(':') {
        // Agents at another port than the usual one are told by it.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => name.to_owned(),
    }
}

/// What is under way in an app: names of our making, and what is done.
fn deployments_of(name: &AppName, app: &App) -> Vec<(String, &'static str)> {
    if app.is_deleted {
        return vec![(deployment_id(name, Change::Delete), "StopApplication")];
    }
    if let Some(deployment) = &app.deployment {
        let action =
            if deployment.from.is_none() { "StartApplication" } else { "RestartApplication" };
        return vec![(deployment_id(name, Change::Version(deployment.to.0)), action)];
    }
    let is_other = |it: &Instance| !matches!(it.life, Life::Serving { .. });
    let all = app.instances.len();
    let wanted = usize::try_from(app.wanted).unwrap_or(usize::MAX);
    if all != wanted || app.instances.values().any(|it| is_other(it)) {
        return vec![(deployment_id(name, Change::Scale), "ScaleApplication")];
    }
    Vec::new()
}

/// What a deployment in Marathon's sense does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Brings the version of this number.
    Version(u32),
    /// Another number of instances.
    Scale,
    /// The app ends.
    Delete,
}

/// The name of a deployment.
#[must_use]
pub fn deployment_id(name: &AppName, change: Change) -> String {
    match change {
        Change::Version(number) => format!("{name}.v{number}"),
        Change::Scale => format!("{name}.scale"),
        Change::Delete => format!("{name}.delete"),
    }
}

/// What is under way in an app.
#[must_use]
pub fn deployments(name: &AppName, app: &App) -> Vec<Value> {
    let label = app.specification().map(|one| one.label.clone()).unwrap_or_default();
    let one = |(id, action): (String, &str)| {
        let action = json!({"action": action, "app": path(name)});
        json!({
            "id": id,
            "version": label,
            "affectedApps": [path(name)],
            "affectedPods": [],
            "steps": [{"actions": [action]}],
            "currentActions": [action],
            "currentStep": 1,
            "totalSteps": 1,
        })
    };
    deployments_of(name, app).into_iter().map(one).collect()
}

/// Instances of an app that wait for a machine; none if there are none.
#[must_use]
pub fn queued(name: &AppName, shown: &App, now: Time, view: View) -> Option<Value> {
    let waiting: Vec<&Instance> =
        shown.instances.values().map(Box::as_ref).filter(|it| it.life == Life::Waiting).collect();
    let since = waiting.iter().map(|it| it.since).min()?;
    let until = waiting.iter().filter_map(|it| match it.wait {
        Some(Wait::BackOff(until)) => Some(until),
        Some(Wait::NoMachine) | None => None,
    });
    let left = until.min().map_or(0, |until| until.0.saturating_sub(now.0));
    let left = whole_seconds(Nanoseconds(left));
    Some(json!({
        "app": app(name, shown, false, view)?,
        "count": waiting.len(),
        "delay": {"timeLeftSeconds": left, "overdue": left == 0},
        "since": timestamp(since),
    }))
}

/// Labels of the versions of an app, the oldest first.
#[must_use]
pub fn versions(app: &App) -> Vec<String> {
    app.versions.values().map(|one| one.label.clone()).collect()
}
