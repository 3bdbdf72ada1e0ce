//! A task of an instance, as Mesos wants it.

use mesos::quantity::Milli;
use mesos::{
    AgentId, CheckType, CommandInfo, ContainerInfo, ContainerType, DockerInfo, DockerNetwork,
    DurationInfo, Environment, HealthCheck, HttpCheck, KillPolicy, Label, Labels, PortMapping,
    Resource, Scalar, TaskId, TaskInfo, TcpCheck, Variable,
};
use policy::Nanoseconds;
use scheduler_core::app::{Check, Probe, Run, Specification};
use scheduler_core::command::Launch;

use crate::disks;
use crate::settings::Settings;

/// A task's check ends the task, in Mesos, when it has failed so many times as often as makes the
/// instance unhealthy: the core replaces it long before that. It is for times without a scheduler.
const KILL_FACTOR: u32 = 20;

/// Arenas of glibc's heap: each thread gets its own, up to eight for each core of the machine, and
/// a container with little memory loses most of it to them.
const HEAP_ARENAS: &str = "2";

/// The task of a launch with these resources of an agent.
pub(crate) fn task(
    launch: &Launch,
    agent: &AgentId,
    resources: Vec<Resource>,
    settings: &Settings,
) -> TaskInfo {
    let specification = launch.specification.as_ref();
    let need = specification.need;
    let amount = |milli: i64| Scalar::from(Milli(milli));
    let limits = [("cpus", i64::from(need.millicores)), ("mem", i64::from(need.memory_mib) * 1000)];
    let limits = limits.into_iter().filter(|(_, milli)| settings.declares_limits && *milli > 0);
    TaskInfo {
        name: launch.instance.app.to_string(),
        task_id: TaskId::new(launch.instance.to_string()),
        agent_id: agent.clone(),
        resources,
        command: Some(command(launch, settings)),
        container: container(launch),
        health_check: specification.check.as_ref().map(|check| health_check(check, launch)),
        kill_policy: Some(kill_policy(specification.kill_grace)),
        labels: Some(labels(launch)),
        limits: limits.map(|(name, milli)| (name.to_owned(), amount(milli))).collect(),
        ..TaskInfo::default()
    }
}

/// Time between being asked and being made to end.
pub(crate) fn kill_policy(grace: Nanoseconds) -> KillPolicy {
    let nanoseconds = i64::try_from(grace.0).unwrap_or(i64::MAX);
    KillPolicy { grace_period: Some(DurationInfo { nanoseconds }) }
}

fn command(launch: &Launch, settings: &Settings) -> CommandInfo {
    let words = |value: Option<&String>, arguments: &[String]| CommandInfo {
        environment: Some(environment(launch, settings)),
        shell: Some(false),
        value: value.cloned(),
        arguments: arguments.to_vec(),
        ..CommandInfo::default()
    };
    match &launch.specification.run {
        // The arguments begin with the name of the program, as in execve.
        Run::Command(program) => words(program.first(), program),
        Run::Image { arguments, .. } => words(None, arguments),
    }
}

fn container(launch: &Launch) -> Option<ContainerInfo> {
    let Run::Image { image, .. } = &launch.specification.run else { return None };
    let mappings = launch.ports.iter().enumerate().map(|(place, port)| PortMapping {
        host_port: u32::from(*port),
        container_port: u32::from(inner_port(&launch.specification, place, *port)),
        protocol: Some("tcp".to_owned()),
    });
    Some(ContainerInfo {
        r#type: ContainerType::Docker.into(),
        docker: Some(DockerInfo {
            image: image.clone(),
            network: Some(DockerNetwork::Bridge.into()),
            port_mappings: mappings.collect(),
            ..DockerInfo::default()
        }),
        volumes: disks::container_volumes(&launch.specification),
        ..ContainerInfo::default()
    })
}

/// The port that a program in its container listens at.
fn inner_port(specification: &Specification, place: usize, port: u16) -> u16 {
    match specification.run {
        Run::Image { .. } => specification.inner_ports.get(place).copied().unwrap_or(port),
        Run::Command(_) => port,
    }
}

fn environment(launch: &Launch, settings: &Settings) -> Environment {
    let specification = launch.specification.as_ref();
    let need = specification.need;
    let mut variables = specification.environment.clone();
    if let Some(timezone) = &settings.timezone {
        variables.entry("TZ".to_owned()).or_insert_with(|| timezone.clone());
    }
    variables.entry("MALLOC_ARENA_MAX".to_owned()).or_insert_with(|| HEAP_ARENAS.to_owned());
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("CORRAL_APP", launch.instance.app.to_string());
    set("CORRAL_INSTANCE", launch.instance.to_string());
    set("CORRAL_MACHINE", launch.machine.to_string());
    set("CORRAL_VERSION", specification.label.clone());
    // What heaps and pools of threads are to be sized by, instead of what the machine has.
    set("CORRAL_MEMORY_MIB", need.memory_mib.to_string());
    set("CORRAL_MILLICORES", need.millicores.to_string());
    for (name, path) in disks::variables(specification) {
        set(&name, path);
    }
    for (place, port) in launch.ports.iter().enumerate() {
        let port = inner_port(specification, place, *port).to_string();
        if place == 0 {
            set("PORT", port.clone());
        }
        set(&format!("PORT{place}"), port);
    }
    let variable = |(name, value): (String, String)| Variable {
        name,
        value: Some(value),
        ..Variable::default()
    };
    Environment { variables: variables.into_iter().map(variable).collect() }
}

fn labels(launch: &Launch) -> Labels {
    let label = |key: &str, value: String| Label { key: key.to_owned(), value: Some(value) };
    Labels {
        labels: vec![
            label("corral.app", launch.instance.app.to_string()),
            label("corral.version", launch.specification.label.clone()),
            label("corral.machine", launch.machine.to_string()),
        ],
    }
}

fn health_check(check: &Check, launch: &Launch) -> HealthCheck {
    let specification = launch.specification.as_ref();
    // The executor looks from inside the container's network.
    let port = |place: u32| {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let port = launch.ports.get(place).copied().unwrap_or_default();
        u32::from(inner_port(specification, place, port))
    };
    let grace = specification.health_grace.unwrap_or(Nanoseconds::ZERO);
    let common = HealthCheck {
        delay_seconds: Some(0.0),
        interval_seconds: Some(seconds(check.interval)),
        timeout_seconds: Some(seconds(check.timeout)),
        grace_period_seconds: Some(seconds(grace)),
        consecutive_failures: Some(check.failures.max(1).saturating_mul(KILL_FACTOR)),
        ..HealthCheck::default()
    };
    match &check.probe {
        Probe::Http { path, port: place } => HealthCheck {
            r#type: Some(CheckType::Http.into()),
            http: Some(HttpCheck {
                scheme: Some("http".to_owned()),
                port: port(*place),
                path: Some(path.clone()),
                ..HttpCheck::default()
            }),
            ..common
        },
        Probe::Tcp { port: place } => HealthCheck {
            r#type: Some(CheckType::Tcp.into()),
            tcp: Some(TcpCheck { port: port(*place), ..TcpCheck::default() }),
            ..common
        },
        Probe::Command(words) => HealthCheck {
            r#type: Some(CheckType::Command.into()),
            command: Some(CommandInfo {
                shell: Some(false),
                value: words.first().cloned(),
                arguments: words.clone(),
                ..CommandInfo::default()
            }),
            ..common
        },
    }
}

/// A length of time in seconds, to the millisecond.
fn seconds(length: Nanoseconds) -> f64 {
    Milli(i64::try_from(length.0 / 1_000_000).unwrap_or(i64::MAX)).to_f64()
}

#[cfg(test)]
mod tests;
