//! Agents that run tasks on this machine, as processes or Docker containers (`scheduler-runner`):
//! what the master tells them is done, and what becomes of tasks is said to the master.
//!
//! Decides nothing: when a task ends, who is told and who asks again is the master's affair.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesos::{
    CheckType, CommandInfo, ContainerType, FrameworkId, HealthCheck, StatusReason, TaskInfo,
    TaskState, VariableType,
};
use scheduler_runner::{Check, Ending, Probe, Program, Report, Runner, Task, TaskId, What};
use simulator_mesos::{AgentKey, Run, Said};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Handle;

/// How long a task may take to end by itself if it doesn't say: that of Mesos, in seconds.
const KILL_GRACE_SECONDS: u64 = 3;

/// A task that runs here.
#[derive(Debug)]
struct Running {
    agent: AgentKey,
    framework_id: FrameworkId,
    task_id: String,
    /// What runs: `Command` or `Container`, as Mesos' executors say.
    what: &'static str,
    is_killed: bool,
    is_starting: bool,
}

/// Does what the master tells, and tells the master, until either has gone.
pub async fn carry_out(
    handle: Handle,
    runner: Arc<Runner>,
    mut runs: UnboundedReceiver<(AgentKey, Run)>,
    mut reports: UnboundedReceiver<Report>,
) {
    let mut tasks: BTreeMap<TaskId, Running> = BTreeMap::new();
    loop {
        tokio::select! {
            run = runs.recv() => match run {
                Some((agent, run)) => obey(&handle, &runner, &mut tasks, agent, run),
                None => return,
            },
            report = reports.recv() => match report {
                Some(report) => tell(&handle, &mut tasks, report),
                None => return,
            },
        }
    }
}

fn obey(
    handle: &Handle,
    runner: &Runner,
    tasks: &mut BTreeMap<TaskId, Running>,
    agent: AgentKey,
    run: Run,
) {
    match run {
        Run::Start { framework_id, task, container_id } => {
            let task_id = task.task_id.value.clone();
            let what = if is_docker(&task) { "Container" } else { "Command" };
            match translate(&task, &container_id, agent) {
                Ok(translated) => {
                    let running = Running {
                        agent,
                        framework_id,
                        task_id,
                        what,
                        is_killed: false,
                        is_starting: true,
                    };
                    tasks.insert(translated.id.clone(), running);
                    runner.launch(translated);
                }
                Err(message) => {
                    let said = Said {
                        state: TaskState::Failed,
                        healthy: None,
                        reason: Some(StatusReason::ContainerLaunchFailed),
                        message: Some(format!("Failed to launch container: {message}")),
                    };
                    handle
                        .with(|master| master.outside_report(agent, &framework_id, &task_id, said));
                }
            }
        }
        Run::Stop { framework_id, task_id, grace } => {
            let found = tasks.iter_mut().find(|(_, running)| {
                running.framework_id == framework_id && running.task_id == task_id
            });
            if let Some((id, running)) = found {
                running.is_killed = true;
                runner.kill(id, &owner(running.agent), Duration::from_nanos(grace));
            }
        }
    }
}

fn tell(handle: &Handle, tasks: &mut BTreeMap<TaskId, Running>, report: Report) {
    let Some(running) = tasks.get_mut(&report.task) else { return };
    let say = |running: &Running, state, healthy, reason, message: Option<String>| {
        let said = Said { state, healthy, reason, message };
        handle.with(|master| {
            master.outside_report(running.agent, &running.framework_id, &running.task_id, said);
        });
    };
    match report.what {
        What::Launched | What::Unknown => {}
        What::Running | What::Healthy | What::Unhealthy => {
            if std::mem::replace(&mut running.is_starting, false) {
                say(running, TaskState::Starting, None, None, None);
                say(running, TaskState::Running, None, None, None);
            }
            let healthy = match report.what {
                What::Healthy => Some(true),
                What::Unhealthy => Some(false),
                _ => None,
            };
            if healthy.is_some() {
                say(running, TaskState::Running, healthy, None, None);
            }
        }
        What::Ended(ending) => {
            // A quick one may be over before it was seen to run.
            let has_run = matches!(ending, Ending::Code(_) | Ending::Signal(_));
            if running.is_starting && has_run {
                say(running, TaskState::Starting, None, None, None);
                say(running, TaskState::Running, None, None, None);
            }
            let (state, reason, message) = end_of(&ending, running);
            say(running, state, None, reason, Some(message));
            tasks.remove(&report.task);
        }
    }
}

fn end_of(ending: &Ending, running: &Running) -> (TaskState, Option<StatusReason>, String) {
    let what = running.what;
    let failed = if running.is_killed { TaskState::Killed } else { TaskState::Failed };
    match ending {
        Ending::Code(0) if !running.is_killed => {
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

fn owner(agent: AgentKey) -> String {
    format!("agent-{}", agent.0)
}

fn is_docker(task: &TaskInfo) -> bool {
    task.container.as_ref().is_some_and(|it| it.r#type() == ContainerType::Docker)
}

/// A task of Mesos as the runner takes it, or why it can't be run here.
fn translate(task: &TaskInfo, container_id: &str, agent: AgentKey) -> Result<Task, String> {
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
        owner: owner(agent),
        program,
        environment,
        ports,
        memory_most_mib: amount("mem").and_then(|mem| u32::try_from(mem / 1000).ok()),
        millicores: amount("cpus").and_then(|cpus| u32::try_from(cpus).ok()),
        check: task.health_check.as_ref().and_then(check_of),
        kill_grace: grace.map_or(Duration::from_secs(KILL_GRACE_SECONDS), Duration::from_nanos),
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
