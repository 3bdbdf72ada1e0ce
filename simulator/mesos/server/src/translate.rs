//! Tasks of Mesos as the runner takes them, and their ends as Mesos' executors tell them.

use std::time::Duration;

use mesos::{
    CheckType, CommandInfo, ContainerType, HealthCheck, StatusReason, TaskInfo, TaskState,
    VariableType,
};
use scheduler_runner::{Check, Ending, Probe, Program, Task};

/// How long a task may take to end by itself if it doesn't say: that of Mesos, in seconds.
const KILL_GRACE_SECONDS: u64 = 3;

/// What the end of a program is to Mesos: the state, the reason and the words of its executors.
pub fn end_of(
    ending: &Ending,
    what: &str,
    is_killed: bool,
) -> (TaskState, Option<StatusReason>, String) {
    let failed = if is_killed { TaskState::Killed } else { TaskState::Failed };
    match ending {
        Ending::Code(0) if !is_killed => {
            (TaskState::Finished, None, format!("{what} exited with status 0"))
        }
        Ending::Code(code) => (failed, None, format!("{what} exited with status {code}")),
        Ending::Signal(number) => {
            let name = match number {
                9 => "Killed".to_owned(),
                15 => "Terminated".to_owned(),
                other => other.to_string(),
            };
            (failed, None, format!("{what} terminated with signal {name}"))
        }
        Ending::OutOfMemory => {
            let reason = Some(StatusReason::ContainerLimitationMemory);
            (TaskState::Failed, reason, "Memory limit exceeded".to_owned())
        }
        Ending::NotStarted(why) => {
            let reason = Some(StatusReason::ContainerLaunchFailed);
            (TaskState::Failed, reason, format!("Failed to launch container: {why}"))
        }
        Ending::Lost(why) => (TaskState::Lost, Some(StatusReason::ExecutorTerminated), why.clone()),
    }
}

/// What Docker's and Mesos' executors call what they run.
pub fn program_name(task: &TaskInfo) -> &'static str {
    if is_docker(task) { "Container" } else { "Command" }
}

fn is_docker(task: &TaskInfo) -> bool {
    task.container.as_ref().is_some_and(|it| it.r#type() == ContainerType::Docker)
}

/// A task of Mesos as the runner takes it, or why it can't be run here.
///
/// # Errors
/// What of it can't be run here.
pub fn translate(task: &TaskInfo, container_id: &str, owner: &str) -> Result<Task, String> {
    let none = CommandInfo::default();
    let command = match (&task.command, &task.executor) {
        (Some(command), None) => command,
        (None, Some(executor)) => executor.command.as_ref().unwrap_or(&none),
        _ => &none,
    };
    if !command.uris.is_empty() {
        return Err("URIs are not fetched here".to_owned());
    }
    let container = task.container.as_ref();
    let docker = container.and_then(|it| it.docker.as_ref()).filter(|_| is_docker(task));
    if container.is_some() && docker.is_none() {
        return Err("only Docker containers and plain commands are run here".to_owned());
    }
    let words = words_of(command);
    let mut ports: Vec<u16> = Vec::new();
    for resource in task.resources.iter().filter(|resource| resource.name == "ports") {
        let numbers = resource.numbers().unwrap_or_default();
        ports.extend(numbers.numbers().take(1000).filter_map(|port| u16::try_from(port).ok()));
    }
    let program = match docker {
        Some(docker) => {
            let narrow =
                |port: u32| u16::try_from(port).map_err(|_| format!("port {port} is none"));
            let mut inner = Vec::new();
            if !docker.port_mappings.is_empty() {
                ports.clear();
            }
            for mapping in &docker.port_mappings {
                ports.push(narrow(mapping.host_port)?);
                inner.push(narrow(mapping.container_port)?);
            }
            Program::Image { image: docker.image.clone(), arguments: words, inner_ports: inner }
        }
        None if words.is_empty() => return Err("there is no command".to_owned()),
        None => Program::Command(words),
    };
    let variables = command.environment.iter().flat_map(|it| &it.variables);
    let values = variables.filter(|it| it.r#type() == VariableType::Value);
    let environment = values.map(|it| (it.name.clone(), it.value().to_owned())).collect();
    let amount = |name: &str| {
        let found = task.resources.iter().filter(|resource| resource.name == name);
        let sum: mesos::Milli = found.filter_map(mesos::Resource::amount).sum();
        (sum.0 > 0).then_some(sum.0)
    };
    let grace = task.kill_policy.and_then(|policy| policy.grace_period);
    let grace = grace.and_then(|grace| u64::try_from(grace.nanoseconds).ok());
    Ok(Task {
        id: container_id
            .parse()
            .map_err(|error: scheduler_runner::TaskIdError| error.to_string())?,
        owner: owner.to_owned(),
        program,
        environment,
        ports,
        memory_most_mib: amount("mem").and_then(|mem| u32::try_from(mem / 1000).ok()),
        millicores: amount("cpus").and_then(|cpus| u32::try_from(cpus).ok()),
        check: task.health_check.as_ref().and_then(check_of),
        kill_grace: grace.map_or(Duration::from_secs(KILL_GRACE_SECONDS), Duration::from_nanos),
        mounts: Vec::new(),
        // As the Docker containerizer names it (slave/containerizer/docker.cpp, DOCKER_NAME_PREFIX).
        container: Some(format!("mesos-{container_id}")),
    })
}

/// The words of a command: a shell's, or the program and its arguments but the first, its own name.
fn words_of(command: &CommandInfo) -> Vec<String> {
    match (&command.value, command.shell()) {
        (Some(value), true) => vec!["/bin/sh".to_owned(), "-c".to_owned(), value.clone()],
        (Some(value), false) => {
            let arguments = command.arguments.iter().skip(1).cloned();
            std::iter::once(value.clone()).chain(arguments).collect()
        }
        // The image's own program, with these arguments.
        (None, _) => command.arguments.clone(),
    }
}

fn check_of(check: &HealthCheck) -> Option<Check> {
    let probe = match check.r#type() {
        CheckType::Http => {
            let http = check.http.as_ref()?;
            let path = http.path.clone().unwrap_or_else(|| "/".to_owned());
            Probe::Http { path, port: u16::try_from(http.port).ok()? }
        }
        CheckType::Tcp => Probe::Tcp { port: u16::try_from(check.tcp.as_ref()?.port).ok()? },
        CheckType::Command => Probe::Command(words_of(check.command.as_ref()?)),
        CheckType::Unknown => return None,
    };
    let seconds =
        |value: f64| Duration::try_from_secs_f64(value).unwrap_or(Duration::from_secs(10));
    Some(Check {
        probe,
        interval: seconds(check.interval_seconds()),
        timeout: seconds(check.timeout_seconds()),
        failures: check.consecutive_failures().max(1),
    })
}
