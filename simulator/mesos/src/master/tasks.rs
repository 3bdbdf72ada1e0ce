//! Tasks on agents: started, running, ended.

use std::collections::VecDeque;
use std::sync::Arc;

use mesos::{
    CheckStatusCommand, CheckStatusInfo, CheckType, ContainerType, FrameworkCapabilityType,
    FrameworkInfo, StatusReason, StatusSource, TaskInfo, TaskState, TaskStatus,
};

use super::{Due, Master, Output, Run, Step};
use crate::agent::{AgentKey, AgentTask, Body, End, TaskKey};
use crate::framework::FrameworkKey;
use crate::{MILLISECOND, Nanoseconds, SECOND, nanoseconds};

/// How long a task may take to end by itself if it doesn't say (slave/constants.hpp).
const KILL_GRACE: Nanoseconds = 3 * SECOND;

/// How long the first check takes.
const CHECK_TIME: Nanoseconds = 30 * MILLISECOND;

/// What an outside body says of a task.
#[derive(Debug, Clone)]
pub struct Said {
    /// How it is.
    pub state: TaskState,
    /// Whether its check passes, if that has changed; a task whose check has failed is ended.
    pub healthy: Option<bool>,
    /// Why, if there is a word for it.
    pub reason: Option<StatusReason>,
    /// Why, in words.
    pub message: Option<String>,
}

impl Master {
    /// The agent gets a task to start.
    pub(super) fn start_on_agent(&mut self, agent: AgentKey, key: TaskKey, info: Arc<TaskInfo>) {
        let container_id = self.random.uuid_text();
        self.next_pid += 1;
        let pid = self.next_pid;
        let Some(body) = self.agent(agent).map(|it| it.spec.body.clone()) else { return };
        let plan = match &body {
            Body::Simulated(profile) => Some(profile.plan(&info, &mut self.random)),
            Body::Outside => None,
        };
        let starting = plan.as_ref().map(|plan| plan.starting);
        let task = AgentTask {
            info: info.clone(),
            state: TaskState::Staging,
            container_id: container_id.clone(),
            pid,
            plan,
            generation: 0,
            is_killed: false,
            healthy: None,
            check_exit_code: None,
            health_failures: 0,
            updates: VecDeque::new(),
            last: None,
            retry_delay: 0,
            retry_generation: 0,
        };
        if let Some(agent) = self.agent_mut(agent) {
            agent.tasks.insert(key.clone(), task);
        }
        match starting {
            Some(starting) => self.after(starting, Due::Step(agent, key, 0, Step::Starting)),
            None => {
                let Some(framework) = self.framework(key.0) else { return };
                let info_of_it =
                    FrameworkInfo { id: Some(framework.id.clone()), ..framework.info.clone() };
                let run = Run::Start {
                    framework: Box::new(info_of_it),
                    task: Box::new((*info).clone()),
                    container_id,
                };
                self.outputs.push_back(Output::Run(agent, run));
            }
        }
    }

    /// A status of a task as its agent would write it.
    fn status(
        &mut self,
        agent: AgentKey,
        key: &TaskKey,
        state: TaskState,
        source: StatusSource,
    ) -> Option<TaskStatus> {
        let uuid = self.random.uuid().to_vec();
        let timestamp = self.timestamp(self.now);
        let it = self.agent(agent)?;
        let task = it.tasks.get(key)?;
        let check = task.info.check.as_ref().filter(|check| check.r#type() == CheckType::Command);
        let is_executor = source == StatusSource::Executor;
        Some(TaskStatus {
            task_id: task.info.task_id.clone(),
            state: state.into(),
            source: Some(source.into()),
            agent_id: Some(it.id.clone()),
            executor_id: Some(task.executor_id()),
            timestamp: Some(timestamp),
            uuid: Some(uuid),
            healthy: task.healthy.filter(|_| is_executor),
            check_status: check.filter(|_| is_executor).map(|_| CheckStatusInfo {
                r#type: Some(CheckType::Command.into()),
                // The last word says nothing of checks any more.
                command: Some(CheckStatusCommand {
                    exit_code: task.check_exit_code.filter(|_| !state.is_terminal()),
                }),
                ..CheckStatusInfo::default()
            }),
            container_status: is_executor.then(|| task.container_status(&it.spec.ip)),
            ..TaskStatus::default()
        })
    }

    fn say(
        &mut self,
        agent: AgentKey,
        key: &TaskKey,
        state: TaskState,
        reason: Option<StatusReason>,
        message: Option<String>,
    ) {
        if let Some(mut status) = self.status(agent, key, state, StatusSource::Executor) {
            status.reason = reason.map(Into::into);
            status.message = message;
            self.report(agent, key, status);
        }
    }

    pub(super) fn step(&mut self, agent: AgentKey, key: &TaskKey, generation: u32, step: Step) {
        let Some(task) = self.agent(agent).and_then(|it| it.tasks.get(key)) else { return };
        let Some(plan) = task.plan.clone().filter(|_| task.generation == generation) else {
            return;
        };
        let next = |master: &mut Self, delay: Nanoseconds, step: Step| {
            master.after(delay, Due::Step(agent, key.clone(), generation, step));
        };
        let (check, health) = (task.info.check.is_some(), task.info.health_check.is_some());
        match step {
            Step::Starting => {
                if let Some(End::Refused { state, reason, message }) = plan.refused {
                    let status = self.status(agent, key, state, StatusSource::Agent);
                    if let Some(mut status) = status {
                        status.reason = Some(reason.into());
                        status.message = Some(message);
                        self.report(agent, key, status);
                    }
                    return;
                }
                self.say(agent, key, TaskState::Starting, None, None);
                next(self, plan.running, Step::Running);
            }
            Step::Running => {
                self.say(agent, key, TaskState::Running, None, None);
                if health {
                    next(self, CHECK_TIME, Step::Health);
                }
                if check {
                    next(self, CHECK_TIME, Step::Check);
                }
                if let Some((runs, _)) = plan.end {
                    next(self, runs, Step::Ends);
                }
            }
            Step::Health => self.check_health(agent, key, &plan, generation),
            Step::Check => {
                if let Some(task) = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(key)) {
                    task.check_exit_code = Some(plan.check_exit_code);
                }
                let reason = Some(StatusReason::TaskCheckStatusUpdated);
                self.say(agent, key, TaskState::Running, reason, None);
            }
            Step::Ends => {
                let what = program_of(&task.info);
                let (state, message) = match plan.end {
                    Some((_, End::Signal(name))) => {
                        (TaskState::Failed, format!("{what} terminated with signal {name}"))
                    }
                    Some((_, End::Exits(code))) if code != 0 => {
                        (TaskState::Failed, format!("{what} exited with status {code}"))
                    }
                    _ => (TaskState::Finished, format!("{what} exited with status 0")),
                };
                self.ended(agent, key, state, None, message);
            }
            Step::Killed => {
                let signal = if plan.ignores_term { "Killed" } else { "Terminated" };
                let message = format!("{} terminated with signal {signal}", program_of(&task.info));
                let reason = self.drain_reason(agent);
                self.ended(agent, key, TaskState::Killed, reason, message);
            }
        }
    }

    fn ended(
        &mut self,
        agent: AgentKey,
        key: &TaskKey,
        state: TaskState,
        reason: Option<StatusReason>,
        message: String,
    ) {
        if let Some(task) = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(key)) {
            task.generation = task.generation.wrapping_add(1);
        }
        self.say(agent, key, state, reason, Some(message));
    }

    /// Tasks that end because their agent is drained say so.
    pub(super) fn drain_reason(&self, agent: AgentKey) -> Option<StatusReason> {
        let is_draining = self.agent(agent).is_some_and(|it| it.drain.is_some());
        is_draining.then_some(StatusReason::AgentDraining)
    }

    fn check_health(
        &mut self,
        agent: AgentKey,
        key: &TaskKey,
        plan: &crate::agent::Plan,
        generation: u32,
    ) {
        let Some(task) = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(key)) else { return };
        let Some(check) = task.info.health_check.clone() else { return };
        let interval = nanoseconds(check.interval_seconds()).max(MILLISECOND);
        let is_first = task.healthy.is_none();
        let is_healthy = is_first && plan.unhealthy_after != Some(0);
        task.healthy = Some(is_healthy);
        let next = if is_healthy {
            // The next word comes with the first failure, if there will be one.
            plan.unhealthy_after
        } else {
            task.health_failures += 1;
            Some(interval)
        };
        let is_over = task.health_failures >= check.consecutive_failures().max(1);
        let reason = Some(StatusReason::TaskHealthCheckStatusUpdated);
        self.say(agent, key, TaskState::Running, reason, None);
        if is_over {
            self.kill_on_agent(agent, key, None);
        } else if let Some(next) = next {
            self.after(next, Due::Step(agent, key.clone(), generation, Step::Health));
        }
    }

    /// The agent is told to end a task, with a limit to the grace that the task has.
    pub(super) fn kill_on_agent(
        &mut self,
        agent: AgentKey,
        key: &TaskKey,
        limit: Option<Nanoseconds>,
    ) {
        let Some(task) = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(key)) else { return };
        if std::mem::replace(&mut task.is_killed, true) || task.state.is_terminal() {
            return;
        }
        let policy = task.info.kill_policy.and_then(|policy| policy.grace_period);
        let own = policy.map(|it| u64::try_from(it.nanoseconds).unwrap_or(0)).unwrap_or(KILL_GRACE);
        let grace = limit.map_or(own, |limit| own.min(limit));
        let is_staging = task.state == TaskState::Staging;
        let Some(plan) = task.plan.clone() else {
            let task_id = key.1.to_string();
            let Some(framework_id) = self.framework(key.0).map(|it| it.id.clone()) else { return };
            let run = Run::Stop { framework_id, task_id, grace };
            return self.outputs.push_back(Output::Run(agent, run));
        };
        task.generation = task.generation.wrapping_add(1);
        let generation = task.generation;
        if is_staging {
            if let Some(mut status) =
                self.status(agent, key, TaskState::Killed, StatusSource::Agent)
            {
                status.reason = Some(StatusReason::TaskKilledDuringLaunch.into());
                status.message = Some("Killed before delivery to the executor".to_owned());
                self.report(agent, key, status);
            }
            return;
        }
        let says_killing = self
            .framework(key.0)
            .is_some_and(|it| it.can(FrameworkCapabilityType::TaskKillingState));
        if says_killing {
            self.say(agent, key, TaskState::Killing, None, None);
        }
        let delay = if plan.ignores_term { grace } else { plan.ending.min(grace) };
        self.after(delay, Due::Step(agent, key.clone(), generation, Step::Killed));
    }

    /// An agent with an outside body says what became of a task.
    pub fn outside_report(
        &mut self,
        agent: AgentKey,
        framework_id: &mesos::FrameworkId,
        task_id: &str,
        said: Said,
    ) {
        let Some(framework) = self.framework_keys.get(&framework_id.value).copied() else { return };
        let key = (framework, Arc::from(task_id));
        let task = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(&key));
        let Some(task) = task.filter(|task| !task.state.is_terminal()) else { return };
        let is_of_health = said.healthy.is_some() && said.state == TaskState::Running;
        task.healthy = said.healthy.or(task.healthy);
        let killed = self.drain_reason(agent).filter(|_| said.state == TaskState::Killed);
        let health = is_of_health.then_some(StatusReason::TaskHealthCheckStatusUpdated);
        self.say(agent, &key, said.state, said.reason.or(killed).or(health), said.message);
        if is_of_health && said.healthy == Some(false) {
            self.kill_on_agent(agent, &key, None);
        }
    }

    /// A framework has ended: so do all of its tasks.
    pub(super) fn remove_tasks_of(&mut self, key: FrameworkKey) {
        for agent in self.all_agents() {
            let Some(it) = self.agent_mut(agent) else { continue };
            let own: Vec<TaskKey> = it.tasks.keys().filter(|it| it.0 == key).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let is_outside = matches!(it.spec.body, Body::Outside);
            for task in own {
                it.tasks.remove(&task);
            }
            if is_outside {
                self.end_outside(agent, key);
            }
        }
        let names: Vec<Arc<str>> =
            self.framework(key).iter().flat_map(|it| it.tasks.keys().cloned()).collect();
        let text = self.framework(key).map(|it| format!("Framework {} removed", it.id));
        for name in names {
            let task_key = (key, name.clone());
            self.free(&task_key);
            let timestamp = self.timestamp(self.now);
            let Some(framework) = self.framework_mut(key) else { return };
            let Some(mut task) = framework.tasks.remove(&name) else { continue };
            if !task.state.is_terminal() {
                let status = Arc::new(TaskStatus {
                    task_id: task.info.task_id.clone(),
                    state: TaskState::Killed.into(),
                    message: text.clone(),
                    source: Some(StatusSource::Master.into()),
                    reason: Some(StatusReason::FrameworkRemoved.into()),
                    agent_id: Some(task.info.agent_id.clone()),
                    timestamp: Some(timestamp),
                    ..TaskStatus::default()
                });
                task.state = TaskState::Killed;
                task.remember(&status);
                framework.complete(task);
                self.announce_status(key, &status);
            } else {
                framework.complete(task);
            }
        }
    }
}

/// What Docker's and Mesos' executors call what they run.
fn program_of(task: &TaskInfo) -> &'static str {
    let is_docker = task.container.as_ref().is_some_and(|it| it.r#type() == ContainerType::Docker);
    if is_docker { "Container" } else { "Command" }
}
