//! The operator API: what the master has, and its stream of changes.

use std::sync::Arc;

use mesos::operator::{
    Agent as WireAgent, AgentAdded, Agents, Call, CallType, Event, EventType, Executor, Executors,
    Framework as WireFramework, FrameworkRemoved, Frameworks, Health, LoggingLevel,
    MaintenanceSchedule, MaintenanceStatus, Master as WireMaster, OneAgent, OneFramework,
    Operations, Response, ResponseType, RoleList, State, Subscribed, TaskAdded, TaskUpdated, Tasks,
    Version,
};
use mesos::{
    AgentCapability, AgentCapabilityType, AgentId, AgentInfo, DrainInfo, DrainState, Role,
    Task as WireTask, TaskStatus, VersionInfo,
};

use super::{Delivery, Due, Master, Output, StreamKey};
use crate::agent::{Agent, AgentKey, Standing};
use crate::configuration::{VERSION, seconds};
use crate::framework::{self, Framework, FrameworkKey, Task};

/// What an operator's call is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A message.
    Response(Box<Response>),
    /// It is done.
    Done,
    /// It can't be done: a status and why.
    Refused(u16, String),
}

pub(super) const AGENT_CAPABILITIES: [AgentCapabilityType; 8] = [
    AgentCapabilityType::MultiRole,
    AgentCapabilityType::HierarchicalRole,
    AgentCapabilityType::ReservationRefinement,
    AgentCapabilityType::ResourceProvider,
    AgentCapabilityType::ResizeVolume,
    AgentCapabilityType::AgentOperationFeedback,
    AgentCapabilityType::AgentDraining,
    AgentCapabilityType::TaskResourceLimits,
];

impl Master {
    /// Does what an operator's call says; subscriptions are opened elsewhere.
    pub(crate) fn operate(&mut self, call: Call) -> Answer {
        let respond = |r#type: ResponseType, response: Response| {
            Answer::Response(Box::new(Response { r#type: Some(r#type.into()), ..response }))
        };
        let none = Response::default();
        match call.r#type() {
            CallType::GetHealth => respond(
                ResponseType::GetHealth,
                Response { get_health: Some(Health { healthy: true }), ..none },
            ),
            CallType::GetVersion => {
                let version_info = VersionInfo {
                    version: self.configuration.version.clone(),
                    ..VersionInfo::default()
                };
                let get_version = Some(Version { version_info });
                respond(ResponseType::GetVersion, Response { get_version, ..none })
            }
            CallType::GetLoggingLevel => respond(
                ResponseType::GetLoggingLevel,
                Response { get_logging_level: Some(LoggingLevel { level: 0 }), ..none },
            ),
            CallType::GetState => respond(
                ResponseType::GetState,
                Response { get_state: Some(self.wire_state()), ..none },
            ),
            CallType::GetAgents => respond(
                ResponseType::GetAgents,
                Response { get_agents: Some(self.wire_agents()), ..none },
            ),
            CallType::GetFrameworks => respond(
                ResponseType::GetFrameworks,
                Response { get_frameworks: Some(self.wire_frameworks()), ..none },
            ),
            CallType::GetExecutors => respond(
                ResponseType::GetExecutors,
                Response { get_executors: Some(self.wire_executors()), ..none },
            ),
            CallType::GetOperations => respond(
                ResponseType::GetOperations,
                Response { get_operations: Some(Operations {}), ..none },
            ),
            CallType::GetTasks => respond(
                ResponseType::GetTasks,
                Response { get_tasks: Some(self.wire_tasks()), ..none },
            ),
            CallType::GetRoles => respond(
                ResponseType::GetRoles,
                Response { get_roles: Some(RoleList { roles: self.wire_roles() }), ..none },
            ),
            // There are none; a real master says nothing then.
            CallType::GetWeights => respond(ResponseType::GetWeights, none),
            CallType::GetMaster => {
                let get_master = Some(WireMaster {
                    master_info: Some(self.info()),
                    start_time: Some(self.timestamp(self.started)),
                    elected_time: Some(self.timestamp(self.elected)),
                });
                respond(ResponseType::GetMaster, Response { get_master, ..none })
            }
            CallType::GetMaintenanceStatus => {
                let status = self.maintenance_status();
                let get_maintenance_status = Some(MaintenanceStatus { status });
                let response = Response { get_maintenance_status, ..none };
                respond(ResponseType::GetMaintenanceStatus, response)
            }
            CallType::GetMaintenanceSchedule => {
                let schedule = self.schedule.clone();
                let get_maintenance_schedule = Some(MaintenanceSchedule { schedule });
                let response = Response { get_maintenance_schedule, ..none };
                respond(ResponseType::GetMaintenanceSchedule, response)
            }
            _ => self.change(call),
        }
    }

    fn change(&mut self, call: Call) -> Answer {
        let done = |result: Result<(), String>| match result {
            Ok(()) => Answer::Done,
            Err(message) => Answer::Refused(400, message),
        };
        match call.r#type() {
            CallType::UpdateMaintenanceSchedule => {
                let update = call.update_maintenance_schedule.unwrap_or_default();
                done(self.schedule_maintenance(update.schedule))
            }
            CallType::StartMaintenance => {
                done(self.bring_down(&call.start_maintenance.unwrap_or_default().machines))
            }
            CallType::StopMaintenance => {
                done(self.bring_up(&call.stop_maintenance.unwrap_or_default().machines))
            }
            CallType::DrainAgent => {
                let drain = call.drain_agent.unwrap_or_default();
                match self.agent_for(&drain.agent_id) {
                    Ok(key) => {
                        self.drain(key, &drain);
                        Answer::Done
                    }
                    Err(message) => Answer::Refused(400, message),
                }
            }
            CallType::DeactivateAgent => {
                let id = call.deactivate_agent.unwrap_or_default().agent_id;
                done(self.agent_for(&id).map(|key| self.deactivate(key)))
            }
            CallType::ReactivateAgent => {
                let id = call.reactivate_agent.unwrap_or_default().agent_id;
                done(self.agent_for(&id).map(|key| self.reactivate(key)))
            }
            CallType::MarkAgentGone => {
                let id = call.mark_agent_gone.unwrap_or_default().agent_id;
                match self.agent_for(&id) {
                    Ok(key) => {
                        self.mark_gone(key);
                        Answer::Done
                    }
                    Err(message) => Answer::Refused(404, message),
                }
            }
            CallType::Teardown => {
                let id = call.teardown.unwrap_or_default().framework_id;
                match self.tear_down(&id.value) {
                    Ok(()) => Answer::Done,
                    Err(message) => Answer::Refused(400, message),
                }
            }
            CallType::Unknown => Answer::Refused(501, "Call type UNKNOWN".to_owned()),
            other => Answer::Refused(
                501,
                format!("{other} is not implemented by the simulated master: it has no such thing"),
            ),
        }
    }

    /// Ends a framework; else why not.
    pub(crate) fn tear_down(&mut self, id: &str) -> Result<(), String> {
        let key = self.framework_keys.get(id).copied();
        let known = key.filter(|key| {
            self.framework(*key).is_some_and(|it| it.standing == framework::Standing::Known)
        });
        let key = known.ok_or_else(|| "No framework found with specified ID".to_owned())?;
        self.remove_framework(key);
        Ok(())
    }

    fn agent_for(&self, id: &AgentId) -> Result<AgentKey, String> {
        let known = self.agent_key(id).filter(|key| {
            self.agent(*key).is_some_and(|agent| {
                matches!(agent.standing, Standing::Registered | Standing::Unreachable(_))
            })
        });
        known.ok_or_else(|| format!("Agent '{id}' is not registered"))
    }

    fn wire_state(&self) -> State {
        State {
            get_tasks: Some(self.wire_tasks()),
            get_executors: Some(self.wire_executors()),
            get_frameworks: Some(self.wire_frameworks()),
            get_agents: Some(self.wire_agents()),
        }
    }

    fn wire_agents(&self) -> Agents {
        let with =
            |standing: Standing| self.agents.iter().filter(move |it| it.standing == standing);
        let describe = |agent: &Agent| WireAgent {
            agent_info: AgentInfo { checkpoint: Some(true), ..agent_info(agent) },
            ..self.wire_agent(agent)
        };
        Agents {
            agents: with(Standing::Registered).map(describe).collect(),
            recovered_agents: with(Standing::Recovered).map(agent_info).collect(),
        }
    }

    fn wire_agent(&self, agent: &Agent) -> WireAgent {
        WireAgent {
            agent_info: agent_info(agent),
            active: agent.is_active(),
            deactivated: Some(agent.is_deactivated),
            version: VERSION.to_owned(),
            pid: Some(agent.pid()),
            registered_time: Some(self.time(agent.registered)),
            reregistered_time: agent.reregistered.map(|at| self.time(at)),
            total_resources: self.all_of(agent).with_roles(),
            allocated_resources: self.allocated_on(agent),
            offered_resources: self.offered_on(agent),
            capabilities: AGENT_CAPABILITIES
                .map(|it| AgentCapability { r#type: Some(it.into()) })
                .to_vec(),
            drain_info: self.drain_info(agent).map(|(info, _)| info),
            estimated_drain_start_time: agent.drain.map(|drain| self.time(drain.started)),
        }
    }

    /// How far an agent's drain is, and since when it is drained, in seconds since 1970.
    pub(super) fn drain_info(&self, agent: &Agent) -> Option<(DrainInfo, f64)> {
        let drain = agent.drain?;
        let is_over = agent.tasks.is_empty();
        let state = if is_over { DrainState::Drained } else { DrainState::Draining };
        let info = DrainInfo { state: state.into(), config: drain.config };
        Some((info, self.timestamp(drain.started)))
    }

    fn offered(&self, number: u64) -> Vec<mesos::Resource> {
        let offer = self.offers.get(&number);
        offer.map(|offer| offer.bundle.allocated(&offer.role)).unwrap_or_default()
    }

    pub(super) fn offered_on(&self, agent: &Agent) -> Vec<mesos::Resource> {
        agent.offers.iter().flat_map(|it| self.offered(*it)).collect()
    }

    /// What an agent has, in the order in which it said so.
    pub(super) fn all_of(&self, agent: &Agent) -> crate::Bundle {
        let declared = crate::Bundle::of(&agent.spec.resources).unwrap_or_default();
        agent.total.clone().in_order_of(&declared)
    }

    pub(super) fn allocated_on(&self, agent: &Agent) -> Vec<mesos::Resource> {
        let mut by_role: Vec<(Arc<str>, crate::Bundle)> = Vec::new();
        for (framework, name) in agent.tasks.keys() {
            let framework = self.framework(*framework);
            let Some(task) = framework.and_then(|it| it.tasks.get(name)) else { continue };
            if task.is_freed {
                continue;
            }
            match by_role.iter_mut().find(|(role, _)| *role == task.role) {
                Some((_, sum)) => sum.add(&task.bundle),
                None => by_role.push((task.role.clone(), task.bundle.clone())),
            }
        }
        by_role.iter().flat_map(|(role, sum)| sum.allocated(role)).collect()
    }

    fn wire_frameworks(&self) -> Frameworks {
        let mut frameworks = Frameworks::default();
        for framework in &self.frameworks {
            match framework.standing {
                framework::Standing::Known => {
                    frameworks.frameworks.push(self.answered_framework(framework));
                }
                framework::Standing::Removed(_) => {
                    frameworks.completed_frameworks.push(self.answered_framework(framework));
                }
                framework::Standing::Forgotten => {}
            }
        }
        frameworks
    }

    fn wire_framework(&self, framework: &Framework) -> WireFramework {
        let is_connected = framework.stream.is_some();
        let mut allocated: Vec<(Arc<str>, crate::Bundle)> = Vec::new();
        for task in framework.tasks.values().filter(|task| !task.is_freed) {
            match allocated.iter_mut().find(|(role, _)| *role == task.role) {
                Some((_, sum)) => sum.add(&task.bundle),
                None => allocated.push((task.role.clone(), task.bundle.clone())),
            }
        }
        WireFramework {
            framework_info: framework.info.clone(),
            active: is_connected,
            connected: is_connected,
            recovered: false,
            registered_time: Some(self.time(framework.registered)),
            reregistered_time: Some(self.time(framework.reregistered)),
            unregistered_time: Some(match framework.unregistered {
                Some(at) => self.time(at),
                None => mesos::TimeInfo { nanoseconds: 0 },
            }),
            offers: Vec::new(),
            inverse_offers: Vec::new(),
            allocated_resources: allocated
                .iter()
                .flat_map(|(role, sum)| sum.allocated(role))
                .collect(),
            offered_resources: framework.offers.iter().flat_map(|it| self.offered(*it)).collect(),
            offer_constraints: framework.constraints.clone(),
        }
    }

    fn answered_framework(&self, framework: &Framework) -> WireFramework {
        let mut offers: Vec<mesos::Offer> =
            framework.offers.iter().filter_map(|it| self.wire_offer(*it)).collect();
        for resource in offers.iter_mut().flat_map(|offer| &mut offer.resources) {
            resource.role = None;
        }
        WireFramework {
            unregistered_time: None,
            offers,
            offer_constraints: Some(framework.constraints.clone().unwrap_or_default()),
            ..self.wire_framework(framework)
        }
    }

    fn wire_executors(&self) -> Executors {
        let mut executors = Executors::default();
        for framework in &self.frameworks {
            for task in framework.tasks.values() {
                let Some(info) = &task.info.executor else { continue };
                let executor_info = mesos::ExecutorInfo {
                    framework_id: Some(framework.id.clone()),
                    ..info.clone()
                };
                let agent_id = task.info.agent_id.clone();
                executors.executors.push(Executor { executor_info, agent_id });
            }
        }
        executors
    }

    fn wire_tasks(&self) -> Tasks {
        let mut tasks = Tasks::default();
        for framework in &self.frameworks {
            let wire = |task: &Task| wire_task(framework, task);
            tasks.tasks.extend(framework.tasks.values().map(wire));
            tasks.unreachable_tasks.extend(framework.unreachable.values().map(wire));
            tasks.completed_tasks.extend(framework.completed.iter().map(wire));
        }
        tasks
    }

    pub(super) fn wire_roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = Vec::new();
        for framework in &self.frameworks {
            if framework.standing != framework::Standing::Known {
                continue;
            }
            for name in framework.roles() {
                let id = framework.id.clone();
                match roles.iter_mut().find(|role| *role.name == *name) {
                    Some(role) => role.frameworks.push(id),
                    None => roles.push(Role {
                        name: (*name).to_owned(),
                        weight: 1.0,
                        frameworks: vec![id],
                        resources: Vec::new(),
                    }),
                }
            }
        }
        roles
    }

    /// An operator subscribes on a stream.
    pub(crate) fn subscribe_operator(&mut self, stream: StreamKey) {
        let interval = self.configuration.heartbeat_interval;
        self.operators.insert(stream, ());
        let event = Event {
            r#type: Some(EventType::Subscribed.into()),
            subscribed: Some(Subscribed {
                get_state: Some(self.wire_state()),
                heartbeat_interval_seconds: Some(seconds(interval)),
            }),
            ..Event::default()
        };
        self.outputs.push_back(Output::Record(stream, Delivery::Operator(Arc::new(event))));
        self.heartbeat_operator(stream);
        self.after(interval, Due::Heartbeat(stream));
    }

    pub(super) fn heartbeat_operator(&mut self, stream: StreamKey) {
        let event = Event { r#type: Some(EventType::Heartbeat.into()), ..Event::default() };
        self.outputs.push_back(Output::Record(stream, Delivery::Operator(Arc::new(event))));
    }

    /// Tells all operators; what to tell is made only if there is one.
    fn announce(&mut self, make: impl FnOnce(&Self) -> Option<Event>) {
        if self.operators.is_empty() {
            return;
        }
        let Some(event) = make(self).map(Arc::new) else { return };
        for stream in self.operators.keys() {
            let record = Output::Record(*stream, Delivery::Operator(event.clone()));
            self.outputs.push_back(record);
        }
    }

    pub(super) fn announce_framework(&mut self, key: FrameworkKey) {
        self.announce(|master| {
            let framework = master.framework(key)?;
            let is_new = framework.generation == 1;
            let one = OneFramework { framework: master.wire_framework(framework) };
            Some(if is_new {
                Event {
                    r#type: Some(EventType::FrameworkAdded.into()),
                    framework_added: Some(one),
                    ..Event::default()
                }
            } else {
                Event {
                    r#type: Some(EventType::FrameworkUpdated.into()),
                    framework_updated: Some(one),
                    ..Event::default()
                }
            })
        });
    }

    pub(super) fn announce_framework_change(&mut self, key: FrameworkKey) {
        self.announce(|master| {
            let framework = master.wire_framework(master.framework(key)?);
            Some(Event {
                r#type: Some(EventType::FrameworkUpdated.into()),
                framework_updated: Some(OneFramework { framework }),
                ..Event::default()
            })
        });
    }

    pub(super) fn announce_removal(&mut self, key: FrameworkKey) {
        self.announce(|master| {
            let framework_info = master.framework(key)?.info.clone();
            Some(Event {
                r#type: Some(EventType::FrameworkRemoved.into()),
                framework_removed: Some(FrameworkRemoved { framework_info }),
                ..Event::default()
            })
        });
    }

    pub(super) fn announce_agent(&mut self, key: AgentKey) {
        self.announce(|master| {
            let agent = master.wire_agent(master.agent(key)?);
            Some(Event {
                r#type: Some(EventType::AgentAdded.into()),
                agent_added: Some(AgentAdded { agent }),
                ..Event::default()
            })
        });
    }

    pub(super) fn announce_agent_removal(&mut self, key: AgentKey) {
        self.announce(|master| {
            let agent_id = master.agent(key)?.id.clone();
            Some(Event {
                r#type: Some(EventType::AgentRemoved.into()),
                agent_removed: Some(OneAgent { agent_id }),
                ..Event::default()
            })
        });
    }

    pub(super) fn announce_task(&mut self, key: FrameworkKey, task: &Task) {
        self.announce(|master| {
            let task = wire_task(master.framework(key)?, task);
            Some(Event {
                r#type: Some(EventType::TaskAdded.into()),
                task_added: Some(TaskAdded { task }),
                ..Event::default()
            })
        });
    }

    pub(super) fn announce_status(&mut self, key: FrameworkKey, status: &Arc<TaskStatus>) {
        self.announce(|master| {
            Some(Event {
                r#type: Some(EventType::TaskUpdated.into()),
                task_updated: Some(TaskUpdated {
                    framework_id: master.framework(key)?.id.clone(),
                    status: (**status).clone(),
                    state: status.state,
                }),
                ..Event::default()
            })
        });
    }
}

fn agent_info(agent: &Agent) -> AgentInfo {
    AgentInfo {
        hostname: agent.spec.hostname.clone(),
        port: Some(agent.spec.port.into()),
        resources: agent.spec.resources.clone(),
        attributes: agent.spec.attributes.clone(),
        id: Some(agent.id.clone()),
        checkpoint: None,
        domain: agent.spec.domain.clone(),
    }
}

fn wire_task(framework: &Framework, task: &Task) -> WireTask {
    let info = &task.info;
    WireTask {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.id.clone(),
        executor_id: info.executor.as_ref().map(|it| it.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: task.state.into(),
        resources: task.resources(),
        statuses: task.statuses.iter().map(|status| (**status).clone()).collect(),
        status_update_state: task.update.as_ref().map(|(state, _)| (*state).into()),
        status_update_uuid: task.update.as_ref().map(|(_, uuid)| uuid.clone()),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user: info.command.as_ref().and_then(|command| command.user.clone()),
        limits: info.limits.clone(),
    }
}
