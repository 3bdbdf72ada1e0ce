//! Agents that are programs of their own: what they say when they come, what becomes of their tasks,
//! and how it is noticed that they are gone.
//!
//! The agent is who knows its tasks. The master's copy is replaced by what each registration says, so
//! a master that has started knows all after the agents have come back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mesos::{AgentId, FrameworkInfo, TaskState};

use super::{Due, Master, Output};
use crate::agent::{Agent, AgentKey, AgentSpec, AgentTask, Body, Standing, TaskKey};
use crate::framework::{self, Framework, FrameworkKey};
use crate::outside::{OutsideTask, Registration, Report, Told};
use crate::{Bundle, Nanoseconds};

/// How often such an agent is asked whether it is there, at most; the ping's own timeout is what
/// counts, and asking more often costs little.
const PING_MOST: Nanoseconds = 5 * crate::SECOND;

/// Why an agent can't register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// Not now: it should try again.
    #[error("{0}")]
    Later(String),
    /// Never: it should end its tasks, and itself.
    #[error("{0}")]
    Never(String),
}

impl Master {
    /// An agent opens its stream and says all that it knows.
    ///
    /// # Errors
    /// When it can't be taken in.
    pub fn register_outside(
        &mut self,
        registration: Registration,
    ) -> Result<(AgentKey, AgentId), Unwelcome> {
        let total = Bundle::of(&registration.resources)
            .map_err(|error| Unwelcome::Never(format!("its resources: {error}")))?
            .in_offer_order();
        let known = registration.agent_id.as_ref().and_then(|id| self.agent_key(id));
        let is_gone = known.and_then(|key| self.agent(key)).map(|it| it.standing);
        if is_gone == Some(Standing::Gone) {
            return Err(Unwelcome::Never("the agent has been marked gone".to_owned()));
        }
        let spec = AgentSpec {
            hostname: registration.hostname,
            ip: registration.ip,
            port: registration.port,
            resources: registration.resources,
            attributes: registration.attributes,
            domain: None,
            body: Body::Outside,
        };
        self.remove_namesakes(&spec, known);
        let key = match known {
            Some(key) => key,
            None => self.take_in(&spec, &total, registration.agent_id),
        };
        self.describe(key, spec, total);
        let on_agent = self.take_over_tasks(key, registration.tasks);
        let now = self.now;
        if let Some(agent) = self.agent_mut(key) {
            agent.heard = now;
            agent.is_cut_off = false;
        }
        self.start_agent(key);
        let registered = self.agent(key).filter(|it| it.is_connected);
        let Some(id) = registered.map(|agent| agent.id.clone()) else {
            return Err(Unwelcome::Later("its machine is down for maintenance".to_owned()));
        };
        self.settle_tasks(key, on_agent);
        let generation = self.agent(key).map_or(0, |agent| agent.generation);
        self.after(self.ping_every(), Due::Silence(key, generation));
        Ok((key, id))
    }

    /// After so long agents are asked whether they are there.
    pub fn ping_every(&self) -> Nanoseconds {
        self.configuration.agent_ping_timeout.min(PING_MOST)
    }

    /// Another agent at the same place has lost its memory: it won't come back.
    fn remove_namesakes(&mut self, spec: &AgentSpec, known: Option<AgentKey>) {
        for key in self.all_agents() {
            let is_namesake = self.agent(key).is_some_and(|it| {
                Some(key) != known
                    && it.spec.ip == spec.ip
                    && it.spec.port == spec.port
                    && matches!(it.standing, Standing::Registered | Standing::Recovered)
            });
            if is_namesake {
                let text = "Agent removed: a new agent registered at the same address";
                self.lose(key, Standing::Absent, text);
                self.announce_agent_removal(key);
            }
        }
    }

    /// An agent that this master has not heard of.
    fn take_in(&mut self, spec: &AgentSpec, total: &Bundle, id: Option<AgentId>) -> AgentKey {
        let key = AgentKey(u32::try_from(self.agents.len()).unwrap_or(u32::MAX));
        if let Some(id) = &id {
            self.agent_keys.insert(id.value.clone(), key);
        }
        let is_anew = id.is_none();
        self.agents.push(Agent {
            spec: spec.clone(),
            id: id.unwrap_or_default(),
            total: total.clone(),
            standing: Standing::Absent,
            is_connected: false,
            is_running: true,
            is_cut_off: false,
            is_deactivated: false,
            is_anew,
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
        key
    }

    /// What an agent is like may have changed while it was away.
    fn describe(&mut self, key: AgentKey, spec: AgentSpec, total: Bundle) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.spec = spec;
        let before = std::mem::replace(&mut agent.total, total.clone());
        if agent.standing == Standing::Registered && before != total {
            self.accounts.shrink(&before);
            self.accounts.grow(&total);
        }
    }

    /// What runs on an agent is what it says.
    fn take_over_tasks(&mut self, key: AgentKey, tasks: Vec<OutsideTask>) -> Vec<TaskKey> {
        let mut found = BTreeMap::new();
        for task in tasks {
            let Some(framework) = self.framework_of(&task.framework) else { continue };
            let task_key: TaskKey = (framework, task.info.task_id.value.as_str().into());
            let old = self.agent(key).and_then(|it| it.tasks.get(&task_key));
            let (generation, retry_generation) =
                old.map_or((0, 0), |old| (old.generation, old.retry_generation));
            let last = task.last.map(Arc::new);
            found.insert(
                task_key,
                AgentTask {
                    info: Arc::new(task.info),
                    state: last.as_ref().map_or(TaskState::Staging, |last| last.state()),
                    container_id: task.container_id,
                    pid: 0,
                    plan: None,
                    generation: generation.wrapping_add(1),
                    is_killed: task.is_killed,
                    healthy: last.as_ref().and_then(|last| last.healthy),
                    check_exit_code: None,
                    health_failures: 0,
                    updates: task.updates.into_iter().map(Arc::new).collect::<VecDeque<_>>(),
                    last,
                    retry_delay: 0,
                    retry_generation: retry_generation.wrapping_add(1),
                },
            );
        }
        let all = found.keys().cloned().collect();
        if let Some(agent) = self.agent_mut(key) {
            agent.tasks = found;
        }
        all
    }

    /// The framework of a task; one that no scheduler of this master has subscribed for is forgotten
    /// until one does.
    fn framework_of(&mut self, info: &FrameworkInfo) -> Option<FrameworkKey> {
        let id = info.id.clone()?;
        if let Some(key) = self.framework_keys.get(&id.value) {
            return Some(*key);
        }
        let key = FrameworkKey(u32::try_from(self.frameworks.len()).unwrap_or(u32::MAX));
        let mut framework = Framework::new(id.clone(), info.clone(), self.now);
        framework.standing = framework::Standing::Forgotten;
        self.frameworks.push(framework);
        self.framework_keys.insert(id.value, key);
        Some(key)
    }

    /// The agent is registered: what the master and it know of tasks is made equal.
    fn settle_tasks(&mut self, key: AgentKey, on_agent: Vec<TaskKey>) {
        let mut ended = BTreeSet::new();
        for (framework_key, name) in on_agent {
            let Some(framework) = self.framework(framework_key) else { continue };
            match framework.standing {
                framework::Standing::Removed(_) => {
                    ended.insert(framework_key);
                }
                framework::Standing::Known if !framework.tasks.contains_key(&name) => {
                    let text = Some("Unknown agent reregistered");
                    self.adopt_task(key, framework_key, &name, text);
                }
                _ => {}
            }
        }
        for framework in ended {
            if let Some(agent) = self.agent_mut(key) {
                agent.tasks.retain(|(of, _), _| *of != framework);
            }
            self.end_outside(key, framework);
        }
    }

    /// A framework has ended: an agent is told.
    pub(super) fn end_outside(&mut self, agent: AgentKey, framework: FrameworkKey) {
        let Some(framework_id) = self.framework(framework).map(|it| it.id.clone()) else { return };
        self.outputs.push_back(Output::Run(agent, Told::EndFramework { framework_id }));
    }

    /// A scheduler has taken a status in: its agent is told.
    pub(super) fn pass_on_acknowledgement(&mut self, agent: AgentKey, key: &TaskKey, uuid: &[u8]) {
        let Some(framework_id) = self.framework(key.0).map(|it| it.id.clone()) else { return };
        let told =
            Told::Acknowledged { framework_id, task_id: key.1.to_string(), uuid: uuid.to_vec() };
        self.outputs.push_back(Output::Run(agent, told));
    }

    /// An agent says something: it is there.
    pub fn hear(&mut self, key: AgentKey) {
        let now = self.now;
        if let Some(agent) = self.agent_mut(key) {
            agent.heard = now;
        }
    }

    /// An agent says what became of a task; what is known already is no news.
    pub fn report_outside(&mut self, key: AgentKey, report: Report) {
        self.hear(key);
        let Report { framework_id, mut status } = report;
        let Some(framework) = self.framework_keys.get(&framework_id.value).copied() else { return };
        let task_key: TaskKey = (framework, status.task_id.value.as_str().into());
        let draining = self.drain_reason(key).filter(|_| status.state() == TaskState::Killed);
        let task = self.agent_mut(key).and_then(|it| it.tasks.get_mut(&task_key));
        let Some(task) = task else { return };
        let is_known = task.updates.iter().chain(&task.last).any(|it| it.uuid == status.uuid);
        if is_known || task.state.is_terminal() {
            return;
        }
        if let Some(reason) = draining {
            status.reason = Some(reason.into());
        }
        task.healthy = status.healthy.or(task.healthy);
        self.report(key, &task_key, status);
    }

    /// The stream of an agent is broken.
    pub fn disconnect_outside(&mut self, key: AgentKey) {
        if self.agent(key).is_some_and(|it| it.is_running && it.is_connected) {
            self.crash_agent(key);
        }
    }

    /// Asks an agent whether it is there, and gives it up when it has been silent for too long.
    pub(super) fn listen(&mut self, key: AgentKey, generation: u32) {
        let Some(agent) = self.agent(key).filter(|it| it.generation == generation) else { return };
        if !agent.is_connected {
            return;
        }
        let settings = &self.configuration;
        let most =
            settings.agent_ping_timeout.saturating_mul(settings.max_agent_ping_timeouts.into());
        if self.now.saturating_sub(agent.heard) < most {
            self.outputs.push_back(Output::Run(key, Told::Ping));
            return self.after(self.ping_every(), Due::Silence(key, generation));
        }
        self.crash_agent(key);
        let generation = self.agent(key).map_or(0, |agent| agent.generation);
        self.agent_is_lost(key, generation);
        self.outputs.push_back(Output::Cut(key));
    }
}
