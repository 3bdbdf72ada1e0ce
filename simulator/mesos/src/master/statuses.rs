//! Statuses on their way from agents to schedulers, and acknowledgements on their way back.
//!
//! An agent sends the first status of a task again until it is acknowledged, and only then the next.

use std::sync::Arc;

use mesos::TaskStatus;
use mesos::scheduler::{Event, Update};

use super::{Due, Master};
use crate::agent::{Agent, AgentKey, Body, TaskKey};
use crate::framework::FrameworkKey;
use crate::{Nanoseconds, SECOND};

/// After this long a status that isn't acknowledged is sent again (slave/constants.hpp) …
const RETRY_MIN: Nanoseconds = 10 * SECOND;

/// … and then after twice as long each time, up to this long.
const RETRY_MAX: Nanoseconds = 600 * SECOND;

impl Master {
    /// Something has become of a task: its agent has a status to send.
    pub(super) fn report(&mut self, agent: AgentKey, key: &TaskKey, status: TaskStatus) {
        let Some(task) = self.agent_mut(agent).and_then(|it| it.tasks.get_mut(key)) else { return };
        task.state = status.state();
        let status = Arc::new(status);
        task.last = Some(status.clone());
        task.updates.push_back(status);
        if task.updates.len() == 1 {
            task.retry_delay = RETRY_MIN;
            self.send(agent, key);
        } else {
            self.notice_latest(agent, key);
        }
    }

    /// Sends the first status, and sees to it that it is sent again.
    fn send(&mut self, agent: AgentKey, key: &TaskKey) {
        let Some(it) = self.agent_mut(agent) else { return };
        let is_reachable = it.is_reachable();
        let Some(task) = it.tasks.get_mut(key) else { return };
        let Some(status) = task.updates.front().cloned() else { return };
        task.retry_generation = task.retry_generation.wrapping_add(1);
        let (generation, delay) = (task.retry_generation, task.retry_delay);
        task.retry_delay = (delay * 2).min(RETRY_MAX);
        self.after(delay, Due::Retry(agent, key.clone(), generation));
        if is_reachable {
            self.receive(agent, key, &status);
        }
    }

    pub(super) fn send_again(&mut self, agent: AgentKey, key: &TaskKey, generation: u32) {
        let task = self.agent(agent).and_then(|it| it.tasks.get(key));
        if task.is_some_and(|task| task.retry_generation == generation) {
            self.send(agent, key);
        }
    }

    /// The agent and the scheduler hear of each other again: all that waits is sent at once.
    pub(super) fn send_waiting(&mut self, agent: AgentKey, only: Option<FrameworkKey>) {
        let Some(it) = self.agent_mut(agent) else { return };
        let mut waiting = Vec::new();
        for (key, task) in &mut it.tasks {
            if only.is_none_or(|only| key.0 == only) && !task.updates.is_empty() {
                task.retry_delay = RETRY_MIN;
                waiting.push(key.clone());
            }
        }
        for key in waiting {
            self.send(agent, &key);
        }
    }

    pub(super) fn send_updates_again(&mut self, framework: FrameworkKey) {
        for agent in self.all_agents() {
            if self.agent(agent).is_some_and(Agent::is_reachable) {
                self.send_waiting(agent, Some(framework));
            }
        }
    }

    /// The master gets a status of an agent, and forwards it.
    fn receive(&mut self, agent: AgentKey, key: &TaskKey, status: &Arc<TaskStatus>) {
        let (framework_key, name) = key;
        let Some(framework) = self.framework_mut(*framework_key) else { return };
        let Some(task) = framework.tasks.get_mut(name) else { return };
        task.update = Some((status.state(), status.uuid.clone().unwrap_or_default()));
        task.remember(status);
        self.announce_status(*framework_key, status);
        self.notice_latest(agent, key);
        self.tell(*framework_key, Event::update(Update { status: (**status).clone() }));
    }

    /// The master hears of the latest state with each status, also if it isn't the one that is sent.
    fn notice_latest(&mut self, agent: AgentKey, key: &TaskKey) {
        let it = self.agent(agent).filter(|it| it.is_reachable());
        let Some(latest) = it.and_then(|it| it.tasks.get(key)).map(|task| task.state) else {
            return;
        };
        let framework = self.framework_mut(key.0);
        let Some(task) = framework.and_then(|it| it.tasks.get_mut(&key.1)) else { return };
        task.state = latest;
        if latest.is_terminal() {
            self.free(key);
        }
    }

    /// Gives back what an ended task had.
    pub(super) fn free(&mut self, key: &TaskKey) {
        let Some(task) = self.framework_mut(key.0).and_then(|it| it.tasks.get_mut(&key.1)) else {
            return;
        };
        if std::mem::replace(&mut task.is_freed, true) {
            return;
        }
        let (agent, role, bundle) = (task.agent, task.role.clone(), task.bundle.clone());
        self.accounts.take_back(&role, key.0, &bundle);
        if let Some(agent) = self.agent_mut(agent) {
            agent.used.take(&bundle);
        }
    }

    /// A scheduler has taken a status in.
    pub(super) fn acknowledged(&mut self, agent: AgentKey, key: &TaskKey, uuid: &[u8]) {
        let Some(it) = self.agent_mut(agent).filter(|it| it.is_reachable()) else { return };
        let Some(task) = it.tasks.get_mut(key) else { return };
        let is_first =
            task.updates.front().is_some_and(|first| first.uuid.as_deref() == Some(uuid));
        if !is_first {
            return;
        }
        let is_outside = matches!(it.spec.body, Body::Outside);
        let Some(task) = it.tasks.get_mut(key) else { return };
        let is_end = task.updates.pop_front().is_some_and(|first| first.state().is_terminal());
        task.retry_generation = task.retry_generation.wrapping_add(1);
        task.retry_delay = RETRY_MIN;
        if is_end {
            it.tasks.remove(key);
            self.free(key);
            if let Some(framework) = self.framework_mut(key.0)
                && let Some(task) = framework.tasks.remove(&key.1)
            {
                framework.complete(task);
            }
            self.check_drained(agent);
        } else {
            self.send(agent, key);
        }
        if is_outside {
            self.pass_on_acknowledgement(agent, key, uuid);
        }
    }
}
