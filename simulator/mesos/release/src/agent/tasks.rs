//! An agent's tasks: what the master tells is written down, then done; what becomes of tasks is
//! written down, then said.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesos::{
    AgentId, ContainerId, ContainerStatus, ExecutorId, FrameworkCapabilityType, FrameworkId,
    FrameworkInfo, IpAddress, NetworkInfo, StatusReason, StatusSource, TaskInfo, TaskState,
    TaskStatus,
};
use scheduler_runner::{Ending, Report as Said, Runner, TaskId, What};
use simulator_mesos::outside::{OutsideTask, Report, Told};
use simulator_mesos_server::translate::{end_of, program_name, translate};
use simulator_mesos_server::volumes;

use super::memory::Memory;
use crate::description::Description;
use crate::log;

/// Tasks that have ended and are told of, at most.
const COMPLETED_MOST: usize = 150;

/// The word that the runner gives back; there is one agent.
const OWNER: &str = "agent";

/// What is said of a task besides its state.
#[derive(Debug, Default)]
struct Detail {
    healthy: Option<bool>,
    reason: Option<StatusReason>,
    message: Option<String>,
}

/// An agent's tasks and its memory of them.
#[derive(Debug)]
pub struct Tasks {
    pub(super) memory: Memory,
    pub(super) description: Description,
    ip: String,
    runner: Runner,
    /// By their containers.
    tasks: BTreeMap<TaskId, OutsideTask>,
    /// Those that have ended and were acknowledged, the last one last, as long as their sandboxes are
    /// there.
    completed: VecDeque<OutsideTask>,
    work_dir: PathBuf,
    /// What is to be said on the stream that is open, in order.
    outbox: VecDeque<Report>,
}

impl Tasks {
    /// The tasks that were found, with the runner that has found what runs of them.
    pub fn new(
        memory: Memory,
        description: Description,
        ip: String,
        runner: Runner,
        found: Vec<OutsideTask>,
    ) -> Self {
        let tasks = found.into_iter().filter_map(|task| {
            let id = task.container_id.parse::<TaskId>();
            id.map(|id| (id, task)).ok()
        });
        let tasks = tasks.collect();
        let mut all = Self {
            memory,
            description,
            ip,
            runner,
            tasks,
            completed: VecDeque::new(),
            work_dir: PathBuf::new(),
            outbox: VecDeque::new(),
        };
        all.recover();
        all
    }

    /// The same with what had ended before, and where sandboxes are.
    #[must_use]
    pub fn with_completed(mut self, work_dir: &Path, mut completed: Vec<OutsideTask>) -> Self {
        work_dir.clone_into(&mut self.work_dir);
        let ended = |task: &OutsideTask| task.last.as_ref().and_then(|last| last.timestamp);
        completed.sort_by(|one, other| {
            ended(one).unwrap_or_default().total_cmp(&ended(other).unwrap_or_default())
        });
        for task in completed {
            self.complete(task);
        }
        self
    }

    fn complete(&mut self, task: OutsideTask) {
        self.completed.push_back(task);
        let is_there = |task: &OutsideTask| task_folder(&self.work_dir, task).is_dir();
        let (mut kept, gone): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.completed).into_iter().partition(is_there);
        let surplus = kept.len().saturating_sub(COMPLETED_MOST);
        for task in kept.drain(..surplus).chain(gone) {
            self.memory.forget_completed(&task.container_id);
        }
        self.completed = kept;
    }

    /// Those that have ended and were acknowledged.
    pub fn completed(&self) -> impl Iterator<Item = &OutsideTask> {
        self.completed.iter().filter(|task| task_folder(&self.work_dir, task).is_dir())
    }

    /// The path of a task's sandbox, as a real agent would name it.
    pub fn directory(&self, task: &OutsideTask) -> String {
        let id = |id: Option<&str>| id.unwrap_or_default().to_owned();
        let agent = id(self.memory.id().map(|id| id.value.as_str()));
        let framework = id(task.framework.id.as_ref().map(|id| id.value.as_str()));
        let executor = executor_of(&task.info).value;
        let (work_dir, container) = (self.work_dir.display(), &task.container_id);
        format!(
            "{work_dir}/slaves/{agent}/frameworks/{framework}/executors/{executor}/runs/{container}"
        )
    }

    /// The folder on this machine of the sandbox that a path is in, and what is left of the path.
    pub fn sandbox_of(&self, path: &str) -> Option<(PathBuf, String)> {
        self.tasks.values().chain(&self.completed).find_map(|task| {
            let rest = path.strip_prefix(&self.directory(task))?;
            let is_inside = rest.is_empty() || rest.starts_with('/');
            is_inside.then(|| (task_folder(&self.work_dir, task), rest.to_owned()))
        })
    }

    /// Asks the runner for all that may have become of tasks meanwhile.
    fn recover(&mut self) {
        for (id, task) in &self.tasks {
            if is_over(task) {
                continue;
            }
            self.runner.ask(id, OWNER);
            // It was told to end, and maybe nobody heard of it.
            if task.is_killed {
                self.runner.kill(id, OWNER, grace_of(&task.info));
            }
        }
        // Tasks of frameworks that have ended, and of an agent that was another one.
        for (id, owner) in self.runner.living() {
            if !self.tasks.contains_key(&id) {
                self.runner.kill(&id, &owner, Duration::ZERO);
            }
        }
    }

    /// All of them, for a registration: nothing else has to be said then.
    pub fn snapshot(&mut self) -> Vec<OutsideTask> {
        self.outbox.clear();
        self.tasks.values().cloned().collect()
    }

    /// The address of the machine.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &OutsideTask> {
        self.tasks.values()
    }

    /// The next status to say.
    pub fn next_report(&self) -> Option<&Report> {
        self.outbox.front()
    }

    /// The next status has arrived.
    pub fn reported(&mut self) {
        self.outbox.pop_front();
    }

    /// Whether everything has ended.
    pub fn is_quiet(&self) -> bool {
        self.runner.living().is_empty()
    }

    /// Ends everything.
    pub fn end_all(&mut self) {
        for (id, owner) in self.runner.living() {
            self.runner.kill(&id, &owner, Duration::ZERO);
        }
    }

    /// The master says something about tasks.
    pub fn obey(&mut self, told: Told) {
        match told {
            Told::Start { framework, task, container_id } => {
                self.start(*framework, *task, container_id);
            }
            Told::Stop { framework_id, task_id, grace } => {
                self.stop(&framework_id, &task_id, Duration::from_nanos(grace));
            }
            Told::EndFramework { framework_id } => self.end_framework(&framework_id),
            Told::Acknowledged { framework_id, task_id, uuid } => {
                self.acknowledged(&framework_id, &task_id, &uuid);
            }
            Told::Holds { resources, ended } => {
                for why in volumes::end(&self.runner.volumes(), OWNER, &ended) {
                    log('W', why);
                }
                if let Err(error) = self.memory.keep_resources(&resources) {
                    log('W', format!("failed to keep what is reserved: {error}"));
                }
            }
            // These are about the agent.
            Told::Registered { .. } | Told::ShutDown { .. } | Told::Ping => {}
        }
    }

    fn find(&self, framework_id: &FrameworkId, task_id: &str) -> Option<TaskId> {
        let found = self.tasks.iter().find(|(_, task)| {
            task.framework.id.as_ref() == Some(framework_id) && task.info.task_id.value == task_id
        });
        found.map(|(id, _)| id.clone())
    }

    fn start(&mut self, framework: FrameworkInfo, info: TaskInfo, container_id: String) {
        let Ok(id) = container_id.parse::<TaskId>() else {
            return log('E', format!("`{container_id}` is no name of a container: not started"));
        };
        if self.tasks.contains_key(&id) {
            return;
        }
        let task = OutsideTask {
            framework,
            info,
            container_id,
            is_killed: false,
            updates: Vec::new(),
            last: None,
        };
        log('I', format!("task {} starts in container {id}", task.info.task_id.value));
        if let Err(error) = self.memory.keep(&task) {
            log('E', format!("failed to write down task {}: {error}", task.info.task_id.value));
            self.tasks.insert(id.clone(), task);
            return self.fail(&id, format!("failed to write it down: {error}"));
        }
        self.tasks.insert(id.clone(), task);
        self.launch(&id);
    }

    fn launch(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        let translated = translate(&task.info, &task.container_id, OWNER);
        let mounts = volumes::mounts(&self.runner.volumes(), OWNER, &task.info);
        match translated.and_then(|one| Ok(scheduler_runner::Task { mounts: mounts?, ..one })) {
            Ok(translated) => self.runner.launch(translated),
            Err(message) => self.fail(id, message),
        }
    }

    fn fail(&mut self, id: &TaskId, message: String) {
        let detail = Detail {
            reason: Some(StatusReason::ContainerLaunchFailed),
            message: Some(format!("Failed to launch container: {message}")),
            ..Detail::default()
        };
        self.say(id, TaskState::Failed, detail);
    }

    fn stop(&mut self, framework_id: &FrameworkId, task_id: &str, grace: Duration) {
        let Some(id) = self.find(framework_id, task_id) else {
            return log('W', format!("task {task_id} is to end, and isn't here"));
        };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if is_over(task) {
            return;
        }
        log('I', format!("task {task_id} is to end within {} s", grace.as_secs_f32()));
        let tells_killing = task
            .framework
            .capabilities
            .iter()
            .any(|it| it.r#type() == FrameworkCapabilityType::TaskKillingState);
        let was_killed = std::mem::replace(&mut task.is_killed, true);
        if tells_killing && !was_killed && task.last.is_some() {
            self.say(&id, TaskState::Killing, Detail::default());
        } else {
            self.write_down(&id);
        }
        self.runner.kill(&id, OWNER, grace);
    }

    fn end_framework(&mut self, framework_id: &FrameworkId) {
        let of_it = |task: &OutsideTask| task.framework.id.as_ref() == Some(framework_id);
        let ids: Vec<TaskId> =
            self.tasks.iter().filter(|(_, task)| of_it(task)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.runner.kill(&id, OWNER, Duration::ZERO);
            self.memory.complete(id.as_str());
            if let Some(task) = self.tasks.remove(&id) {
                self.complete(task);
            }
        }
        self.outbox.retain(|report| report.framework_id != *framework_id);
    }

    fn acknowledged(&mut self, framework_id: &FrameworkId, task_id: &str, uuid: &[u8]) {
        let Some(id) = self.find(framework_id, task_id) else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let is_first = task.updates.first().is_some_and(|it| it.uuid.as_deref() == Some(uuid));
        if !is_first {
            return;
        }
        task.updates.remove(0);
        if task.updates.is_empty() && is_over(task) {
            self.memory.complete(id.as_str());
            if let Some(task) = self.tasks.remove(&id) {
                self.complete(task);
            }
        } else {
            self.write_down(&id);
        }
    }

    /// The runner says what became of a task.
    pub fn heard(&mut self, said: Said) {
        let id = said.task;
        let Some(task) = self.tasks.get(&id).filter(|task| !is_over(task)) else { return };
        let state = task.last.as_ref().map(TaskStatus::state);
        let healthy = task.last.as_ref().and_then(|last| last.healthy);
        match said.what {
            What::Launched => {}
            // It was written down, and the agent ended before it started.
            What::Unknown if state.is_none() => self.launch(&id),
            What::Unknown => self.say_ended(&id, &Ending::Lost("its folder is gone".to_owned())),
            What::Running => self.begun(&id),
            What::Healthy | What::Unhealthy => {
                self.begun(&id);
                let is_healthy = said.what == What::Healthy;
                if healthy == Some(is_healthy) {
                    return;
                }
                let detail = Detail {
                    healthy: Some(is_healthy),
                    reason: Some(StatusReason::TaskHealthCheckStatusUpdated),
                    message: None,
                };
                self.say(&id, TaskState::Running, detail);
                if !is_healthy {
                    self.end_sick(&id);
                }
            }
            What::Ended(ending) => {
                // A quick one may be over before it was seen to run.
                if matches!(ending, Ending::Code(_) | Ending::Signal(_)) {
                    self.begun(&id);
                }
                self.say_ended(&id, &ending);
            }
        }
    }

    /// A task runs: that is said once.
    fn begun(&mut self, id: &TaskId) {
        let last = |tasks: &Self| {
            tasks.tasks.get(id).map(|task| task.last.as_ref().map(TaskStatus::state))
        };
        if last(self) == Some(None) {
            self.say(id, TaskState::Starting, Detail::default());
        }
        if last(self) == Some(Some(TaskState::Starting)) {
            self.say(id, TaskState::Running, Detail::default());
        }
    }

    /// A task whose check fails is ended, as Mesos' executors do.
    fn end_sick(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.is_killed = true;
        let grace = grace_of(&task.info);
        self.write_down(id);
        self.runner.kill(id, OWNER, grace);
    }

    fn say_ended(&mut self, id: &TaskId, ending: &Ending) {
        let Some(task) = self.tasks.get(id) else { return };
        let (state, reason, message) = end_of(ending, program_name(&task.info), task.is_killed);
        log('I', format!("task {}: {message}", task.info.task_id.value));
        self.say(id, state, Detail { healthy: None, reason, message: Some(message) });
    }

    /// Writes a status down, and puts it among those to be said.
    fn say(&mut self, id: &TaskId, state: TaskState, detail: Detail) {
        let Some(agent_id) = self.memory.id().cloned() else { return };
        let Some(task) = self.tasks.get_mut(id) else { return };
        let status = status_of(task, agent_id, &self.ip, state, detail);
        task.updates.push(status.clone());
        task.last = Some(status.clone());
        let framework_id = task.framework.id.clone().unwrap_or_default();
        self.write_down(id);
        self.outbox.push_back(Report { framework_id, status });
    }

    fn write_down(&self, id: &TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        if let Err(error) = self.memory.keep(task) {
            // What is said is known to the scheduler before the agent is asked again.
            log('E', format!("failed to write down task {}: {error}", task.info.task_id.value));
        }
    }
}

/// Where the runner keeps a task.
fn task_folder(work_dir: &Path, task: &OutsideTask) -> PathBuf {
    work_dir.join("tasks").join(&task.container_id)
}

fn is_over(task: &OutsideTask) -> bool {
    task.last.as_ref().is_some_and(|last| last.state().is_terminal())
}

/// How long a task may take to end by itself: as it says, or as Mesos does (slave/constants.hpp).
fn grace_of(info: &TaskInfo) -> Duration {
    let policy = info.kill_policy.and_then(|policy| policy.grace_period);
    let own = policy.and_then(|grace| u64::try_from(grace.nanoseconds).ok());
    own.map_or(Duration::from_secs(3), Duration::from_nanos)
}

/// The executor that runs a task: its own, or the one that Mesos makes for a command.
pub fn executor_of(info: &TaskInfo) -> ExecutorId {
    match &info.executor {
        Some(executor) => executor.executor_id.clone(),
        None => ExecutorId::new(info.task_id.value.clone()),
    }
}

fn status_of(
    task: &OutsideTask,
    agent_id: AgentId,
    ip: &str,
    state: TaskState,
    detail: Detail,
) -> TaskStatus {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TaskStatus {
        task_id: task.info.task_id.clone(),
        state: state.into(),
        message: detail.message,
        source: Some(StatusSource::Executor.into()),
        reason: detail.reason.map(Into::into),
        agent_id: Some(agent_id),
        executor_id: Some(executor_of(&task.info)),
        timestamp: Some(now.as_secs_f64()),
        uuid: Some(random_uuid()),
        healthy: detail.healthy.or_else(|| task.last.as_ref().and_then(|last| last.healthy)),
        container_status: Some(ContainerStatus {
            container_id: Some(ContainerId { value: task.container_id.clone(), parent: None }),
            network_infos: vec![NetworkInfo {
                ip_addresses: vec![IpAddress { protocol: None, ip_address: Some(ip.to_owned()) }],
                ..NetworkInfo::default()
            }],
            cgroup_info: None,
            executor_pid: None,
        }),
        ..TaskStatus::default()
    }
}

/// Sixteen bytes that nobody has used before; without the system's randomness, of the clock.
fn random_uuid() -> Vec<u8> {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        bytes = now.as_nanos().to_be_bytes();
    }
    // Version 4 of RFC 9562.
    if let Some(byte) = bytes.get_mut(6) {
        *byte = *byte & 0x0f | 0x40;
    }
    if let Some(byte) = bytes.get_mut(8) {
        *byte = *byte & 0x3f | 0x80;
    }
    bytes.to_vec()
}
