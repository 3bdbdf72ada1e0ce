//! How agents come and go: registration, loss, return, removal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesos::scheduler::{Event, Failure, Update};
use mesos::{AgentId, StatusReason, StatusSource, TaskState, TaskStatus};

use super::{Due, Machine, Master};
use crate::agent::{Agent, AgentKey, AgentSpec, Standing, TaskKey};
use crate::bundle::BundleError;
use crate::framework::{FrameworkKey, Task};
use crate::{Bundle, Nanoseconds};

impl Master {
    /// A new agent registers.
    ///
    /// # Errors
    /// If it has resources that can't be counted here.
    pub fn add_agent(&mut self, spec: AgentSpec) -> Result<AgentKey, BundleError> {
        let key = AgentKey(u32::try_from(self.agents.len()).unwrap_or(u32::MAX));
        let total = Bundle::of(&spec.resources)?.in_offer_order();
        self.agents.push(Agent {
            spec,
            id: AgentId::default(),
            total,
            standing: Standing::Absent,
            is_connected: false,
            is_running: true,
            is_cut_off: false,
            is_deactivated: false,
            is_anew: true,
            drain: None,
            registered: self.now,
            reregistered: None,
            used: Bundle::default(),
            offered: Bundle::default(),
            offers: BTreeSet::new(),
            unavailability: None,
            tasks: BTreeMap::new(),
            generation: 0,
            heard: self.now,
        });
        self.start_agent(key);
        Ok(key)
    }

    /// The program of an agent starts, or starts again.
    pub fn start_agent(&mut self, key: AgentKey) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_running = true;
        agent.generation = agent.generation.wrapping_add(1);
        if agent.standing == Standing::Gone {
            // Nobody of this name may come back.
            agent.is_anew = true;
            agent.standing = Standing::Absent;
        }
        if !agent.is_cut_off {
            self.register(key);
        }
    }

    /// An agent tells the master that it is there, and what runs on it.
    pub(super) fn register(&mut self, key: AgentKey) {
        let Some(agent) = self.agent(key) else { return };
        let machine = self.machine_of(agent);
        if matches!(machine, Some(Machine::Down(_))) {
            return;
        }
        let standing = agent.standing;
        let unavailability = match machine {
            Some(Machine::Draining(it)) => Some(it),
            _ => None,
        };
        let now = self.now;
        let new_id =
            agent.is_anew.then(|| AgentId::new(format!("{}-S{}", self.id, self.next_agent)));
        if let Some(id) = &new_id {
            self.next_agent += 1;
            self.agent_keys.insert(id.value.clone(), key);
        }
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_connected = true;
        agent.unavailability = unavailability;
        match (standing, new_id) {
            (Standing::Registered, _) => {
                agent.reregistered = Some(now);
                self.compare_tasks(key);
                self.send_waiting(key, None);
                return;
            }
            (_, Some(id)) => {
                agent.id = id;
                agent.is_anew = false;
                agent.registered = now;
                agent.reregistered = None;
                agent.tasks.clear();
            }
            _ => agent.reregistered = Some(now),
        }
        agent.standing = Standing::Registered;
        agent.is_deactivated = false;
        agent.used = Bundle::default();
        agent.offered = Bundle::default();
        let total = agent.total.clone();
        self.accounts.grow(&total);
        self.adopt_tasks(key, standing);
        self.announce_agent(key);
        self.send_waiting(key, None);
        self.allocate(&[key]);
    }

    /// The tasks of an agent that the master didn't have: it takes them as they are.
    fn adopt_tasks(&mut self, key: AgentKey, standing: Standing) {
        let message = match standing {
            Standing::Unreachable(_) => Some("Unreachable agent re-reregistered"),
            Standing::Recovered => None,
            _ => Some("Unknown agent reregistered"),
        };
        let Some(agent) = self.agent(key) else { return };
        let found: Vec<TaskKey> = agent.tasks.keys().cloned().collect();
        for (framework_key, name) in found {
            self.adopt_task(key, framework_key, &name, message);
        }
    }

    /// A framework comes to a master that hadn't heard of it: agents that came back earlier run its
    /// tasks.
    pub(super) fn adopt_tasks_of(&mut self, framework_key: FrameworkKey) {
        for key in self.all_agents() {
            let agent = self.agent(key).filter(|it| it.standing == Standing::Registered);
            let Some(agent) = agent else { continue };
            let of_it = agent.tasks.keys().filter(|(of, _)| *of == framework_key);
            let names: Vec<Arc<str>> = of_it.map(|(_, name)| name.clone()).collect();
            for name in names {
                self.adopt_task(key, framework_key, &name, None);
            }
        }
    }

    pub(super) fn adopt_task(
        &mut self,
        key: AgentKey,
        framework_key: FrameworkKey,
        name: &Arc<str>,
        message: Option<&str>,
    ) {
        let is_known = self
            .framework(framework_key)
            .is_some_and(|it| it.standing == crate::framework::Standing::Known);
        let task_key = (framework_key, name.clone());
        let timestamp = self.timestamp(self.now);
        let Some(agent) = self.agent_mut(key) else { return };
        if !is_known {
            // Of a framework that has ended, or that a new master has yet to hear of.
            let is_removed = self
                .framework(framework_key)
                .is_some_and(|it| matches!(it.standing, crate::framework::Standing::Removed(_)));
            if is_removed && let Some(agent) = self.agent_mut(key) {
                agent.tasks.remove(&task_key);
            }
            return;
        }
        let Some(running) = agent.tasks.get(&task_key) else { return };
        let (info, state) = (running.info.clone(), running.state);
        let container = running.container_status(&agent.spec.ip);
        let (healthy, last) = (running.healthy, running.last.clone());
        let agent_id = agent.id.clone();
        let Some(framework) = self.framework_mut(framework_key) else { return };
        let old = framework.unreachable.remove(name);
        framework.completed.retain(|task| task.info.task_id.value != **name);
        let roles = framework.roles();
        let named =
            info.resources.iter().find_map(|it| it.allocation_info.as_ref()?.role.as_deref());
        let role = match (&old, named) {
            (Some(old), _) => old.role.clone(),
            (None, Some(role)) => role.into(),
            (None, None) => roles.into_iter().next().unwrap_or_else(|| "*".into()),
        };
        // What the master itself said isn't known to the agent.
        let mut statuses = old.map(|old| old.statuses).unwrap_or_default();
        statuses.retain(|status| status.uuid.is_some());
        if statuses.is_empty() {
            statuses.extend(last);
        }
        let bundle = Bundle::of(&info.resources).unwrap_or_default();
        let task = Task {
            info: info.clone(),
            agent: key,
            role: role.clone(),
            bundle: bundle.clone(),
            state,
            update: None,
            statuses,
            is_killed: false,
            unreachable_since: None,
            is_freed: false,
        };
        let status = TaskStatus {
            task_id: info.task_id.clone(),
            state: state.into(),
            message: message.map(str::to_owned),
            source: Some(StatusSource::Master.into()),
            reason: Some(StatusReason::AgentReregistered.into()),
            agent_id: Some(agent_id),
            timestamp: Some(timestamp),
            healthy,
            container_status: Some(container),
            ..TaskStatus::default()
        };
        self.accounts.give(&role, framework_key, &bundle);
        if let Some(agent) = self.agent_mut(key) {
            agent.used.add(&bundle);
        }
        self.announce_task(framework_key, &task);
        if let Some(framework) = self.framework_mut(framework_key) {
            framework.tasks.insert(name.clone(), task);
        }
        if message.is_some() {
            self.tell(framework_key, Event::update(Update { status }));
        }
    }

    /// An agent is back that the master has: what one knows and the other doesn't.
    fn compare_tasks(&mut self, key: AgentKey) {
        let mut lost = Vec::new();
        let mut killed = Vec::new();
        for framework_key in self.all_frameworks() {
            let Some(framework) = self.framework(framework_key) else { continue };
            for (name, task) in framework.tasks.iter().filter(|(_, task)| task.agent == key) {
                let task_key = (framework_key, name.clone());
                let on_agent = self.agent(key).and_then(|it| it.tasks.get(&task_key));
                match on_agent {
                    None if !task.state.is_terminal() => lost.push(task_key),
                    Some(on_agent) if task.is_killed && !on_agent.is_killed => {
                        killed.push(task_key)
                    }
                    _ => {}
                }
            }
        }
        for task_key in killed {
            self.kill_on_agent(key, &task_key, None);
        }
        for task_key in lost {
            let aware = self.framework(task_key.0).is_some_and(|it| it.is_partition_aware());
            let state = if aware { TaskState::Dropped } else { TaskState::Lost };
            let text = "Reconciliation: Task is unknown to the agent";
            self.end_task(&task_key, state, StatusReason::Reconciliation, text, None);
        }
    }

    /// The program of an agent ends suddenly. Tasks of frameworks that checkpoint live on.
    pub fn crash_agent(&mut self, key: AgentKey) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_running = false;
        let is_noticed = agent.is_connected && !agent.is_cut_off;
        let hostname = agent.spec.hostname.clone();
        let tasks: Vec<TaskKey> = agent.tasks.keys().cloned().collect();
        if is_noticed {
            agent.is_connected = false;
            self.expect_loss(key);
            self.rescind_all_of(key);
        }
        for task_key in tasks {
            let checkpoints =
                self.framework(task_key.0).is_some_and(|framework| framework.info.checkpoint());
            if checkpoints {
                continue;
            }
            if let Some(agent) = self.agent_mut(key) {
                agent.tasks.remove(&task_key);
            }
            if is_noticed {
                let text = format!("Agent {hostname} disconnected");
                let reason = StatusReason::AgentDisconnected;
                self.end_task(&task_key, TaskState::Lost, reason, &text, None);
            }
        }
    }

    /// Nothing gets through between an agent and the master any more.
    pub fn cut_off_agent(&mut self, key: AgentKey) {
        if let Some(agent) = self.agent_mut(key) {
            agent.is_cut_off = true;
            self.expect_loss(key);
        }
    }

    /// It gets through again.
    pub fn heal_agent(&mut self, key: AgentKey) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_cut_off = false;
        agent.generation = agent.generation.wrapping_add(1);
        if !agent.is_running {
            return;
        }
        if agent.standing == Standing::Gone {
            agent.is_anew = true;
            agent.standing = Standing::Absent;
            agent.tasks.clear();
        }
        self.register(key);
    }

    fn expect_loss(&mut self, key: AgentKey) {
        let settings = &self.configuration;
        let delay: Nanoseconds =
            settings.agent_ping_timeout.saturating_mul(settings.max_agent_ping_timeouts.into());
        if let Some(agent) = self.agent_mut(key) {
            agent.generation = agent.generation.wrapping_add(1);
            let generation = agent.generation;
            self.after(delay, Due::AgentLost(key, generation));
        }
    }

    pub(super) fn agent_is_lost(&mut self, key: AgentKey, generation: u32) {
        let is_lost = self.agent(key).is_some_and(|agent| {
            agent.generation == generation && agent.standing == Standing::Registered
        });
        if is_lost {
            self.lose(key, Standing::Unreachable(self.now), "health check timed out");
        }
    }

    /// An agent is not of the cluster any more, in one way or another.
    pub(super) fn lose(&mut self, key: AgentKey, standing: Standing, message: &str) {
        let since = match standing {
            Standing::Unreachable(since) => Some(since),
            _ => None,
        };
        self.leave_books(key, standing);
        for task_key in self.tasks_of(key) {
            let aware = self.framework(task_key.0).is_some_and(|it| it.is_partition_aware());
            let (state, reason) = match (standing, aware) {
                (Standing::Unreachable(_), true) => {
                    (TaskState::Unreachable, StatusReason::AgentRemoved)
                }
                (Standing::Gone, true) => {
                    (TaskState::GoneByOperator, StatusReason::AgentRemovedByOperator)
                }
                _ => (TaskState::Lost, StatusReason::AgentRemoved),
            };
            self.end_task(&task_key, state, reason, message, since);
        }
        self.rescind_all_of(key);
        self.drop_inverse_offers(|_, agent| agent == key, true);
        self.tell_of_failure(key);
    }

    fn leave_books(&mut self, key: AgentKey, standing: Standing) {
        let Some(agent) = self.agent_mut(key) else { return };
        let was_counted = agent.standing == Standing::Registered;
        agent.standing = standing;
        agent.is_connected = false;
        agent.drain = None;
        let total = agent.total.clone();
        if standing == Standing::Gone || standing == Standing::Absent {
            agent.tasks.clear();
        }
        if was_counted {
            self.accounts.shrink(&total);
        }
    }

    fn tell_of_failure(&mut self, key: AgentKey) {
        let Some(agent_id) = self.agent(key).map(|it| it.id.clone()) else { return };
        for framework in self.all_frameworks() {
            let failure = Failure { agent_id: Some(agent_id.clone()), ..Failure::default() };
            self.tell(framework, Event::failure(failure));
        }
    }

    /// An agent ends in order: it tells the master, and its tasks end.
    pub fn unregister_agent(&mut self, key: AgentKey) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_running = false;
        agent.is_anew = true;
        if !agent.is_connected || agent.is_cut_off || agent.standing != Standing::Registered {
            return;
        }
        let text = format!("Agent {} removed: the agent unregistered", agent.spec.hostname);
        self.lose(key, Standing::Absent, &text);
        self.announce_agent_removal(key);
    }

    /// An operator says that an agent won't come back.
    pub(super) fn mark_gone(&mut self, key: AgentKey) {
        if let Some(agent) = self.agent_mut(key) {
            agent.is_running = false;
        }
        self.lose(key, Standing::Gone, "Agent has been marked gone");
    }

    /// What the master has on an agent.
    pub(super) fn tasks_of(&self, key: AgentKey) -> Vec<TaskKey> {
        let frameworks = self.all_frameworks().into_iter();
        let found =
            frameworks.filter_map(|framework| Some((framework, self.framework(framework)?)));
        found
            .flat_map(|(framework, it)| {
                let own = it.tasks.iter().filter(move |(_, task)| task.agent == key);
                own.map(move |(name, _)| (framework, name.clone()))
            })
            .collect()
    }

    /// The master itself says what has become of a task; its resources are free.
    pub(super) fn end_task(
        &mut self,
        task_key: &TaskKey,
        state: TaskState,
        reason: StatusReason,
        message: &str,
        unreachable_since: Option<Nanoseconds>,
    ) {
        let (key, name) = task_key;
        self.free(task_key);
        let timestamp = self.timestamp(self.now);
        let unreachable_time = unreachable_since.map(|since| self.time(since));
        let Some(framework) = self.framework_mut(*key) else { return };
        let Some(mut task) = framework.tasks.remove(name) else { return };
        let was_over = task.state.is_terminal();
        let status = TaskStatus {
            task_id: task.info.task_id.clone(),
            state: state.into(),
            message: Some(message.to_owned()),
            source: Some(StatusSource::Master.into()),
            reason: Some(reason.into()),
            agent_id: Some(task.info.agent_id.clone()),
            executor_id: task.info.executor.as_ref().map(|it| it.executor_id.clone()),
            timestamp: Some(timestamp),
            unreachable_time,
            ..TaskStatus::default()
        };
        if was_over {
            return framework.complete(task);
        }
        task.state = state;
        let kept = Arc::new(status.clone());
        task.remember(&kept);
        if unreachable_since.is_some() {
            task.unreachable_since = unreachable_since;
            framework.unreachable.insert(name.clone(), task);
        } else {
            framework.complete(task);
        }
        self.announce_status(*key, &kept);
        self.tell(*key, Event::update(Update { status }));
    }
}
