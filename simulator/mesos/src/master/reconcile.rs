//! `RECONCILE`: what the master knows of tasks (docs/reconciliation.md: six cases).

use std::sync::Arc;

use mesos::scheduler::{Event, ReconcileTask, Update};
use mesos::{AgentId, StatusReason, StatusSource, TaskId, TaskState, TaskStatus, TimeInfo};

use super::Master;
use crate::agent::Standing;
use crate::framework::{FrameworkKey, Task};

impl Master {
    pub(super) fn reconcile(&mut self, key: FrameworkKey, asked: &[ReconcileTask]) {
        if asked.is_empty() {
            let all: Vec<TaskStatus> = self
                .framework(key)
                .into_iter()
                .flat_map(|framework| framework.tasks.values())
                .map(|task| self.known(task))
                .collect();
            return self.tell_all(key, all);
        }
        let answers = asked.iter().filter_map(|asked| self.answer(key, asked)).collect();
        self.tell_all(key, answers);
    }

    fn tell_all(&mut self, key: FrameworkKey, statuses: Vec<TaskStatus>) {
        for status in statuses {
            self.tell(key, Event::update(Update { status }));
        }
    }

    fn answer(&self, key: FrameworkKey, asked: &ReconcileTask) -> Option<TaskStatus> {
        let framework = self.framework(key)?;
        let name: Arc<str> = asked.task_id.value.as_str().into();
        if let Some(task) = framework.tasks.get(&name) {
            return Some(self.known(task));
        }
        let aware = framework.is_partition_aware();
        let say = |state: TaskState, what: &str, unreachable: Option<TimeInfo>| {
            let state = if aware { state } else { TaskState::Lost };
            Some(TaskStatus {
                unreachable_time: unreachable,
                ..self.reconciled(&asked.task_id, asked.agent_id.as_ref(), state, what)
            })
        };
        let agent = asked.agent_id.as_ref().and_then(|id| self.agent_key(id));
        let agent = agent.and_then(|agent| self.agent(agent));
        match agent.map(|agent| agent.standing) {
            // It may run the task: nothing is said until it is back.
            Some(Standing::Recovered) => None,
            Some(Standing::Registered) => {
                say(TaskState::Gone, "Task is unknown to the agent", None)
            }
            Some(Standing::Unreachable(since)) => {
                say(TaskState::Unreachable, "Task is unreachable", Some(self.time(since)))
            }
            Some(Standing::Gone) => say(TaskState::GoneByOperator, "Task is gone", None),
            Some(Standing::Absent) => say(TaskState::Unknown, "Task is unknown", None),
            None => {
                let may_come = self.agents.iter().any(|it| it.standing == Standing::Recovered);
                if may_come && asked.agent_id.is_none() {
                    return None;
                }
                say(TaskState::Unknown, "Task is unknown", None)
            }
        }
    }

    /// What the master knows of a task.
    fn known(&self, task: &Task) -> TaskStatus {
        let state = task.update.as_ref().map_or(task.state, |(state, _)| *state);
        let last = task.statuses.iter().rev().find(|status| status.container_status.is_some());
        TaskStatus {
            healthy: last.and_then(|last| last.healthy),
            check_status: last.and_then(|last| last.check_status.clone()),
            container_status: last.and_then(|last| last.container_status.clone()),
            ..self.reconciled(
                &task.info.task_id,
                Some(&task.info.agent_id),
                state,
                "Latest task state",
            )
        }
    }

    fn reconciled(
        &self,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
        state: TaskState,
        what: &str,
    ) -> TaskStatus {
        TaskStatus {
            task_id: task_id.clone(),
            state: state.into(),
            message: Some(format!("Reconciliation: {what}")),
            source: Some(StatusSource::Master.into()),
            reason: Some(StatusReason::Reconciliation.into()),
            agent_id: agent_id.cloned(),
            timestamp: Some(self.timestamp(self.now)),
            ..TaskStatus::default()
        }
    }
}
