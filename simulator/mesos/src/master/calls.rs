//! Calls of schedulers that are short.

use std::sync::Arc;

use mesos::scheduler::{
    Acknowledge, Call, CallType, Event, Kill, Roles, Shutdown, UpdateOperationStatus,
};
use mesos::{AgentId, OperationId, OperationState, OperationStatus};

use super::Master;
use crate::framework::FrameworkKey;

impl Master {
    /// Does what a scheduler's call says, after all checks; `UPDATE_FRAMEWORK` is answered elsewhere.
    pub(crate) fn call(&mut self, key: FrameworkKey, call: Call) {
        match call.r#type() {
            CallType::Teardown => self.remove_framework(key),
            CallType::Accept => {
                if let Some(accept) = call.accept {
                    self.accept(key, accept);
                }
            }
            CallType::Decline => {
                if let Some(decline) = call.decline {
                    self.decline(key, &decline.offer_ids, decline.filters.as_ref());
                }
            }
            CallType::AcceptInverseOffers => {
                if let Some(answer) = call.accept_inverse_offers {
                    self.answer_inverse_offers(key, &answer, mesos::InverseOfferAnswer::Accept);
                }
            }
            CallType::DeclineInverseOffers => {
                if let Some(answer) = call.decline_inverse_offers {
                    self.answer_inverse_offers(key, &answer, mesos::InverseOfferAnswer::Decline);
                }
            }
            CallType::Revive => self.revive(key, &call.revive.unwrap_or_default()),
            CallType::Suppress => self.suppress(key, &call.suppress.unwrap_or_default()),
            CallType::Kill => {
                if let Some(kill) = call.kill {
                    self.kill(key, kill);
                }
            }
            CallType::Acknowledge => {
                if let Some(acknowledge) = call.acknowledge {
                    self.acknowledge(key, &acknowledge);
                }
            }
            CallType::Reconcile => {
                if let Some(reconcile) = call.reconcile {
                    self.reconcile(key, &reconcile.tasks);
                }
            }
            CallType::Shutdown => {
                if let Some(shutdown) = call.shutdown {
                    self.shut_down(key, &shutdown);
                }
            }
            CallType::ReconcileOperations => {
                for asked in call.reconcile_operations.unwrap_or_default().operations {
                    self.tell_of_operation(
                        key,
                        Some(asked.operation_id),
                        asked.agent_id,
                        OperationState::Unknown,
                        "Reconciliation: Operation is unknown",
                    );
                }
            }
            CallType::AcknowledgeOperationStatus => {
                if let Some(acknowledge) = call.acknowledge_operation_status {
                    self.acknowledge_operation(key, &acknowledge);
                }
            }
            // There are no executors that could read messages, and no master does anything with
            // requests.
            CallType::Message
            | CallType::Request
            | CallType::Subscribe
            | CallType::UpdateFramework
            | CallType::Unknown => {}
        }
    }

    /// Roles that a call names: all of the framework if it names none; nothing if one isn't its.
    fn named_roles(&self, key: FrameworkKey, roles: &Roles) -> Option<Vec<Arc<str>>> {
        let own = self.framework(key)?.roles();
        if roles.roles.is_empty() {
            return Some(own);
        }
        let named: Vec<Arc<str>> = roles.roles.iter().map(|role| role.as_str().into()).collect();
        named.iter().all(|role| own.contains(role)).then_some(named)
    }

    fn revive(&mut self, key: FrameworkKey, roles: &Roles) {
        let Some(named) = self.named_roles(key, roles) else { return };
        if let Some(framework) = self.framework_mut(key) {
            framework.suppressed.retain(|role| !named.contains(role));
            framework.refusals.retain(|(role, _), _| !named.contains(role));
        }
        self.inverse_refusals.retain(|(framework, _), _| *framework != key);
        let agents = self.all_agents();
        self.allocate(&agents);
    }

    fn suppress(&mut self, key: FrameworkKey, roles: &Roles) {
        let Some(named) = self.named_roles(key, roles) else { return };
        if let Some(framework) = self.framework_mut(key) {
            framework.suppressed.extend(named);
        }
    }

    fn kill(&mut self, key: FrameworkKey, kill: Kill) {
        let name: Arc<str> = kill.task_id.value.as_str().into();
        let Some(task) = self.framework_mut(key).and_then(|it| it.tasks.get_mut(&name)) else {
            let asked =
                mesos::scheduler::ReconcileTask { task_id: kill.task_id, agent_id: kill.agent_id };
            return self.reconcile(key, &[asked]);
        };
        task.is_killed = true;
        let agent = task.agent;
        let is_other = |id| self.agent_key(&id) != Some(agent);
        if kill.agent_id.is_some_and(is_other) {
            return;
        }
        if self.agent(agent).is_some_and(crate::agent::Agent::is_reachable) {
            self.kill_on_agent(agent, &(key, name), None);
        }
    }

    /// Ends all tasks of an executor.
    fn shut_down(&mut self, key: FrameworkKey, call: &Shutdown) {
        let Some(agent) = self.agent_key(&call.agent_id) else { return };
        let Some(it) = self.agent(agent).filter(|it| it.is_reachable()) else { return };
        let own = it.tasks.iter().filter(|((framework, _), task)| {
            *framework == key && task.executor_id() == call.executor_id
        });
        for task_key in own.map(|(task_key, _)| task_key.clone()).collect::<Vec<_>>() {
            self.kill_on_agent(agent, &task_key, None);
        }
    }

    /// What the master itself says of an operation.
    pub(super) fn tell_of_operation(
        &mut self,
        key: FrameworkKey,
        operation_id: Option<OperationId>,
        agent_id: Option<AgentId>,
        state: OperationState,
        message: &str,
    ) {
        let status = OperationStatus {
            operation_id,
            state: state.into(),
            message: Some(message.to_owned()),
            agent_id,
            ..OperationStatus::default()
        };
        self.tell(key, Event::update_operation_status(UpdateOperationStatus { status }));
    }

    fn acknowledge(&mut self, key: FrameworkKey, call: &Acknowledge) {
        let Some(agent) = self.agent_key(&call.agent_id) else { return };
        let name: Arc<str> = call.task_id.value.as_str().into();
        self.acknowledged(agent, &(key, name), &call.uuid);
    }
}
