//! Agents that run tasks on this machine, as processes or Docker containers (`scheduler-runner`):
//! what the master tells them is done, and what becomes of tasks is said to the master.
//!
//! Decides nothing: when a task ends, who is told and who asks again is the master's affair.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesos::{FrameworkId, StatusReason, TaskState};
use scheduler_runner::{Ending, Report, Runner, TaskId, What};
use simulator_mesos::{AgentKey, Run, Said};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Handle;
use crate::translate::{end_of, program_name, translate};
use crate::volumes;

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
        Run::Start { framework, task, container_id } => {
            let framework_id = framework.id.unwrap_or_default();
            let task_id = task.task_id.value.clone();
            let what = program_name(&task);
            let translated = translate(&task, &container_id, &owner(agent));
            let mounts = volumes::mounts(&runner.volumes(), &owner(agent), &task);
            let translated =
                translated.and_then(|one| Ok(scheduler_runner::Task { mounts: mounts?, ..one }));
            match translated {
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
        Run::EndFramework { framework_id } => {
            let own = tasks
                .iter_mut()
                .filter(|(_, it)| it.agent == agent && it.framework_id == framework_id);
            for (id, running) in own {
                running.is_killed = true;
                runner.kill(id, &owner(agent), Duration::ZERO);
            }
        }
        Run::Holds { ended, .. } => {
            for why in volumes::end(&runner.volumes(), &owner(agent), &ended) {
                eprintln!("{why}");
            }
        }
        // Agents in the master's own process need not be told what it knows.
        Run::Registered { .. } | Run::ShutDown { .. } | Run::Acknowledged { .. } | Run::Ping => {}
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
            let (state, reason, message) = end_of(&ending, running.what, running.is_killed);
            say(running, state, None, reason, Some(message));
            tasks.remove(&report.task);
        }
    }
}

fn owner(agent: AgentKey) -> String {
    format!("agent-{}", agent.0)
}
