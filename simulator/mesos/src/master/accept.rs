//! `ACCEPT`: which offers may be used, which tasks may start on them (master/validation.cpp).

use std::collections::BTreeSet;
use std::sync::Arc;

use mesos::name::check_id;
use mesos::scheduler::{Accept, Event, Update};
use mesos::{
    OfferId, Operation, OperationType, StatusReason, StatusSource, TaskInfo, TaskState, TaskStatus,
};

use super::Master;
use crate::Bundle;
use crate::agent::AgentKey;
use crate::framework::{FrameworkKey, Task};

/// What offers together hold.
struct Held {
    agent: AgentKey,
    role: Arc<str>,
    bundle: Bundle,
}

impl Master {
    pub(super) fn accept(&mut self, key: FrameworkKey, accept: Accept) {
        let checked = self.check_offers(key, &accept.offer_ids);
        let numbers: BTreeSet<u64> =
            accept.offer_ids.iter().filter_map(|id| self.offer_number(id)).collect();
        let held = match checked {
            Ok(held) => held,
            Err(message) => {
                // Those that are good are lost, too.
                for number in numbers {
                    if self.offers.get(&number).is_some_and(|offer| offer.framework == key) {
                        self.withdraw(number);
                    }
                }
                return self.drop_tasks(key, &accept.operations, &message);
            }
        };
        for number in numbers {
            self.withdraw(number);
        }
        let mut rest = held.bundle;
        for operation in accept.operations {
            match operation.r#type() {
                OperationType::Launch => {
                    for task in operation.launch.unwrap_or_default().task_infos {
                        self.launch(key, held.agent, &held.role, task, &mut rest);
                    }
                }
                OperationType::LaunchGroup => {
                    let group = operation.launch_group.map(|it| it.task_group.tasks);
                    for task in group.unwrap_or_default() {
                        self.refuse_task(
                            key,
                            &task,
                            TaskState::Error,
                            StatusReason::TaskGroupInvalid,
                            "Task groups are not supported by the simulated master",
                        );
                    }
                }
                _ => self.use_offered(key, held.agent, &held.role, operation, &mut rest),
            }
        }
        if !rest.is_empty() {
            self.remember_refusal(key, &held.role, held.agent, rest, accept.filters.as_ref());
        }
    }

    fn check_offers(&self, key: FrameworkKey, ids: &[OfferId]) -> Result<Held, String> {
        let mut seen = BTreeSet::new();
        let mut held: Option<(OfferId, Held)> = None;
        if let Some(twice) = ids.iter().find(|id| !seen.insert(*id)) {
            return Err(format!("Duplicate offer {twice} in offer list"));
        }
        for id in ids {
            let number = self.offer_number(id);
            let Some(offer) = number.and_then(|number| self.offers.get(&number)) else {
                return Err(format!("Offer {id} is no longer valid"));
            };
            if offer.framework != key {
                let name = |key| self.framework(key).map(|it| it.id.value.clone());
                return Err(format!(
                    "Offer {id} has invalid framework {} while framework {} is expected",
                    name(offer.framework).unwrap_or_default(),
                    name(key).unwrap_or_default()
                ));
            }
            match &mut held {
                None => {
                    let (role, bundle) = (offer.role.clone(), offer.bundle.clone());
                    held = Some((id.clone(), Held { agent: offer.agent, role, bundle }));
                }
                Some((_, held)) if held.role != offer.role => {
                    return Err(format!(
                        "Aggregated offers must be allocated to the same role. Offer {id} uses role \
                         '{} but another is using role '{}",
                        offer.role, held.role
                    ));
                }
                Some((_, held)) if held.agent != offer.agent => {
                    let name = |key| self.agent(key).map(|it| it.id.value.clone());
                    return Err(format!(
                        "Aggregated offers must belong to one single agent. Offer {id} uses agent {} \
                         and agent {}",
                        name(offer.agent).unwrap_or_default(),
                        name(held.agent).unwrap_or_default()
                    ));
                }
                Some((_, held)) => held.bundle.add(&offer.bundle),
            }
        }
        held.map(|(_, held)| held).ok_or_else(|| "No offers specified".to_owned())
    }

    /// Says of all tasks of a call that their offers are void.
    fn drop_tasks(&mut self, key: FrameworkKey, operations: &[Operation], error: &str) {
        let aware = self.framework(key).is_some_and(|it| it.is_partition_aware());
        let state = if aware { TaskState::Dropped } else { TaskState::Lost };
        let message = format!("Task launched with invalid offers: {error}");
        for operation in operations {
            let single = operation.launch.iter().flat_map(|it| &it.task_infos);
            let group = operation.launch_group.iter().flat_map(|it| &it.task_group.tasks);
            for task in single.chain(group) {
                self.refuse_task(key, task, state, StatusReason::InvalidOffers, &message);
            }
        }
    }

    /// A status of the master itself: nothing is to be acknowledged.
    fn refuse_task(
        &mut self,
        key: FrameworkKey,
        task: &TaskInfo,
        state: TaskState,
        reason: StatusReason,
        message: &str,
    ) {
        let status = TaskStatus {
            task_id: task.task_id.clone(),
            state: state.into(),
            message: Some(message.to_owned()),
            source: Some(StatusSource::Master.into()),
            reason: Some(reason.into()),
            agent_id: Some(task.agent_id.clone()),
            timestamp: Some(self.timestamp(self.now)),
            ..TaskStatus::default()
        };
        self.tell(key, Event::update(Update { status }));
    }

    fn launch(
        &mut self,
        key: FrameworkKey,
        agent: AgentKey,
        role: &Arc<str>,
        task: TaskInfo,
        rest: &mut Bundle,
    ) {
        let bundle = match self.check_task(key, agent, role, &task, rest) {
            Ok(bundle) => bundle,
            Err(message) => {
                let (state, reason) = (TaskState::Error, StatusReason::TaskInvalid);
                return self.refuse_task(key, &task, state, reason, &message);
            }
        };
        rest.take(&bundle);
        self.accounts.give(role, key, &bundle);
        if let Some(agent) = self.agent_mut(agent) {
            agent.used.add(&bundle);
        }
        let info = Arc::new(task);
        let name: Arc<str> = info.task_id.value.as_str().into();
        let task = Task {
            info: info.clone(),
            agent,
            role: role.clone(),
            bundle,
            state: TaskState::Staging,
            update: None,
            statuses: Vec::new(),
            is_killed: false,
            unreachable_since: None,
            is_freed: false,
        };
        self.announce_task(key, &task);
        if let Some(framework) = self.framework_mut(key) {
            framework.tasks.insert(name.clone(), task);
        }
        if self.agent(agent).is_some_and(crate::agent::Agent::is_reachable) {
            self.start_on_agent(agent, (key, name), info);
        }
    }

    /// What a task takes of the offers, or why it can't start.
    fn check_task(
        &self,
        key: FrameworkKey,
        agent: AgentKey,
        role: &Arc<str>,
        task: &TaskInfo,
        rest: &Bundle,
    ) -> Result<Bundle, String> {
        let id = &task.task_id.value;
        check_id(id).map_err(|error| error.to_string())?;
        if let Some(framework) = self.framework(key) {
            if framework.tasks.contains_key(id.as_str()) {
                return Err(format!("Task has duplicate ID: {id}"));
            }
            if framework.unreachable.contains_key(id.as_str()) {
                return Err(format!("Task reuses the ID of an unreachable task: {id}"));
            }
        }
        let expected = self.agent(agent).map(|it| it.id.value.as_str()).unwrap_or_default();
        if task.agent_id.value != expected {
            return Err(format!(
                "Task uses invalid agent {} while agent {expected} is expected",
                task.agent_id
            ));
        }
        if task.resources.is_empty() {
            return Err("Task uses no resources".to_owned());
        }
        let own = Bundle::of(&task.resources)
            .map_err(|error| format!("Task uses invalid resources: {error}"))?;
        check_limits(task, &own)?;
        if task.executor.is_some() == task.command.is_some() {
            return Err("Task should have at least one (but not both) of CommandInfo or \
                        ExecutorInfo present"
                .to_owned());
        }
        let mut total = own;
        if let Some(executor) = &task.executor {
            check_id(&executor.executor_id.value).map_err(|error| error.to_string())?;
            if executor.command.is_none() {
                return Err("'ExecutorInfo.command' must be set".to_owned());
            }
            let more = Bundle::of(&executor.resources)
                .map_err(|error| format!("Executor uses invalid resources: {error}"))?;
            total.add(&more);
        }
        let roles =
            task.resources.iter().filter_map(|it| it.allocation_info.as_ref()?.role.as_ref());
        let other = roles.into_iter().find(|other| ***other != **role);
        if other.is_some() || !rest.contains(&total) {
            let own = other.map_or(&**role, String::as_str);
            return Err(format!(
                "Total resources {} required by task and its executor is more than available {}",
                total.describe(own),
                rest.describe(role)
            ));
        }
        Ok(total)
    }
}

fn check_limits(task: &TaskInfo, own: &Bundle) -> Result<(), String> {
    for (name, limit) in &task.limits {
        let (kind, least) = match name.as_str() {
            "cpus" => ("cpu", own.scalar("cpus")),
            "mem" => ("memory", own.scalar("mem")),
            _ => {
                return Err(
                    "Only cpus and mem may be included in a task's resource limits".to_owned()
                );
            }
        };
        if limit.value < least.to_f64() {
            return Err(format!(
                "The {kind} limit must be greater than or equal to the {kind} request"
            ));
        }
    }
    Ok(())
}
