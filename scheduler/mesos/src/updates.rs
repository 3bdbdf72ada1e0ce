//! What is said of tasks and agents.

use std::sync::Arc;

use mesos::scheduler::{Acknowledge, Failure};
use mesos::{AgentId, TaskStatus};
use policy::{Nanoseconds, Time};
use scheduler_core::app::Need;
use scheduler_core::event::{InstanceFact, MachineFact};
use scheduler_core::ids::{InstanceId, MachineName};
use scheduler_core::instance::Exit;
use scheduler_core::ports::Ports;

use crate::offers::RETURN_PATIENCE;
use crate::output::Note;
use crate::place::{Absent, Place};
use crate::status::{self, Meaning, meaning};
use crate::translator::{Task, Translator};

/// A task that the master doesn't know, nor its agent, for so long is lost. It isn't at once: a
/// master without a registry of agents says so of all tasks until their agents are back.
pub const UNKNOWN_PATIENCE: Nanoseconds = Nanoseconds::from_seconds(120);

/// A machine of which nothing was heard for so long after a subscription isn't there any more: neither
/// an offer came, nor an answer for one of its tasks. A new master gives agents ten minutes to come back
/// (`agent_reregister_timeout`).
pub const UNHEARD_PATIENCE: Nanoseconds = Nanoseconds::from_seconds(900);

impl Translator {
    pub(crate) fn updated(&mut self, status: TaskStatus, now: Time) {
        match status.task_id.value.parse::<InstanceId>() {
            Ok(id) => self.understood(&id, &status, now),
            Err(_) => self.note(Note::Foreign(status.task_id.value.clone())),
        }
        if let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) {
            self.acknowledge_later(Acknowledge { agent_id, task_id: status.task_id, uuid });
        }
    }

    fn understood(&mut self, id: &InstanceId, status: &TaskStatus, now: Time) {
        let Some(machine) = self.machine_of(id, status.agent_id.as_ref()) else {
            return self.note(Note::Strange("a status of a task that was never launched"));
        };
        let meaning = meaning(status);
        if meaning != Meaning::Unknown {
            self.reconciliation.answered(id);
        }
        if let Some(agent) = &status.agent_id {
            let agent = self.shared(&machine, agent);
            if let Some(task) = self.tasks.get_mut(id) {
                task.agent = Some(agent);
            }
        }
        match meaning {
            Meaning::Ended(exit) => {
                if status::is_draining(status) {
                    self.draining(&machine, status.agent_id.as_ref());
                }
                self.ended(id, &machine, exit, now);
            }
            Meaning::NeverStarted(why) => {
                self.remove_task(id, now + RETURN_PATIENCE);
                self.tell(id, &machine, now, InstanceFact::NeverStarted(why));
            }
            Meaning::Starting | Meaning::Running(_) | Meaning::Ending => {
                self.lives(id, &machine, status, &meaning, now);
            }
            Meaning::Unreachable => self.unreachable(id, &machine, status.agent_id.as_ref(), now),
            Meaning::AgentGone => {
                let why = "its agent was taken away for good".to_owned();
                if self.is_agent_of(&machine, status.agent_id.as_ref()) {
                    self.agent_gone(&machine, now);
                } else {
                    self.ended(id, &machine, Exit::Lost(why), now);
                }
            }
            Meaning::Unknown => self.unknown(id, &machine, now),
        }
    }

    /// Where a task is: where it was sent, else where its agent is, else a name of the agent's own.
    fn machine_of(&self, id: &InstanceId, agent: Option<&AgentId>) -> Option<MachineName> {
        let known = self.tasks.get(id).map(|task| task.machine.clone());
        known.or_else(|| self.agents.get(agent?).cloned()).or_else(|| agent?.value.parse().ok())
    }

    /// The id of an agent: that of the machine, if it is the same.
    fn shared(&self, machine: &MachineName, agent: &AgentId) -> Arc<AgentId> {
        let there = self.places.get(machine).and_then(|place| place.agent.as_ref());
        there
            .filter(|there| there.as_ref() == agent)
            .cloned()
            .unwrap_or_else(|| agent.clone().into())
    }

    /// Whether this is the agent that is there now, as far as is known.
    fn is_agent_of(&self, machine: &MachineName, agent: Option<&AgentId>) -> bool {
        let there = self.places.get(machine).and_then(|place| place.agent.as_deref());
        there.is_none() || agent.is_none() || there == agent
    }

    fn lives(
        &mut self,
        id: &InstanceId,
        machine: &MachineName,
        status: &TaskStatus,
        meaning: &Meaning,
        now: Time,
    ) {
        if !self.tasks.contains_key(id) {
            // The core decides what becomes of it.
            let agent = status.agent_id.as_ref().map(|agent| self.shared(machine, agent));
            let task = Task::new(machine.clone(), agent, Need::default(), Ports::default(), 1);
            self.insert_task(id.clone(), task);
        }
        self.returned(machine, status.agent_id.as_ref());
        if status::is_draining(status) {
            self.draining(machine, status.agent_id.as_ref());
        }
        let is_there = self.is_agent_of(machine, status.agent_id.as_ref());
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.unknown_since = None;
        task.is_certain = is_there;
        let container = container(status).filter(|_| std::mem::take(&mut task.is_nameless));
        let is_to_end = task
            .kill
            .as_ref()
            .is_some_and(|kill| kill.sent.is_none_or(|sent| now.since(sent) >= kill.pause));
        if let Some(name) = container {
            self.tell(id, machine, now, InstanceFact::Container(name));
        }
        let Some(task) = self.tasks.get_mut(id) else { return };
        match meaning {
            Meaning::Running(Some(true)) => {
                task.failures = 0;
                self.tell(id, machine, now, InstanceFact::Healthy);
            }
            Meaning::Running(Some(false)) => {
                task.failures = task.failures.saturating_add(1);
                let is_enough = task.failures >= task.failures_most;
                self.tell(id, machine, now, InstanceFact::Running);
                if is_enough {
                    self.tell(id, machine, now, InstanceFact::Unhealthy);
                }
            }
            Meaning::Starting => self.tell(id, machine, now, InstanceFact::Launched),
            _ => self.tell(id, machine, now, InstanceFact::Running),
        }
        if is_to_end && *meaning != Meaning::Ending {
            self.send_kill(id, now);
        }
    }

    fn ended(&mut self, id: &InstanceId, machine: &MachineName, exit: Exit, now: Time) {
        self.remove_task(id, now + RETURN_PATIENCE);
        self.tell(id, machine, now, InstanceFact::Ended(exit));
    }

    fn unreachable(
        &mut self,
        id: &InstanceId,
        machine: &MachineName,
        agent: Option<&AgentId>,
        now: Time,
    ) {
        if self.is_agent_of(machine, agent) {
            if let Some(task) = self.tasks.get_mut(id) {
                task.unknown_since = None;
            }
            return self.silent(machine);
        }
        let why = "its agent is unreachable, and another one is in its place".to_owned();
        self.ended(id, machine, Exit::Lost(why), now);
    }

    fn unknown(&mut self, id: &InstanceId, machine: &MachineName, now: Time) {
        let Some(task) = self.tasks.get_mut(id) else {
            // The core may still have it.
            return self.tell(id, machine, now, InstanceFact::Unknown);
        };
        self.has_unknown = true;
        self.are_agents_new |= task.unknown_since.is_none();
        let since = *task.unknown_since.get_or_insert(now);
        if now.since(since) >= UNKNOWN_PATIENCE {
            let why = "the master knows neither it nor its agent".to_owned();
            return self.ended(id, machine, Exit::Lost(why), now);
        }
        self.reconciliation.keep(id.clone(), now);
    }

    pub(crate) fn failed(&mut self, failure: &Failure) {
        // Executors that end have statuses of their tasks.
        let (Some(agent), None) = (&failure.agent_id, &failure.executor_id) else { return };
        let Some(machine) = self.agents.get(agent).cloned() else { return };
        if self.is_agent_of(&machine, Some(agent)) {
            self.silent(&machine);
        }
    }

    /// What tasks of a machine have isn't certain until they are heard of again.
    pub(crate) fn doubt(&mut self, machine: &MachineName) {
        let Some(place) = self.places.get(machine) else { return };
        for id in &place.tasks {
            if let Some(task) = self.tasks.get_mut(id) {
                task.is_certain = false;
            }
        }
    }

    /// Nothing is heard of a machine; its offers are void.
    fn silent(&mut self, machine: &MachineName) {
        self.doubt(machine);
        let Some(place) = self.places.get_mut(machine) else { return };
        for id in std::mem::take(&mut place.offers).into_keys() {
            self.offers.remove(&id);
            // When it is back, it has what it had, until it is offered.
            place.absent = Absent::Declined;
        }
        if !std::mem::replace(&mut place.is_told_silent, true) {
            self.tell_machine(machine, MachineFact::Silent);
        }
    }

    /// Something was heard of a machine that was silent.
    fn returned(&mut self, machine: &MachineName, agent: Option<&AgentId>) {
        if !self.is_agent_of(machine, agent) {
            return;
        }
        let Some(place) = self.places.get_mut(machine) else { return };
        place.is_heard = true;
        if std::mem::replace(&mut place.is_told_silent, false) && place.told.is_some() {
            place.is_news = true;
            self.changed.insert(machine.clone());
        }
    }

    fn draining(&mut self, machine: &MachineName, agent: Option<&AgentId>) {
        if self.is_agent_of(machine, agent)
            && let Some(place) = self.places.get_mut(machine)
        {
            place.is_drained = true;
            self.changed.insert(machine.clone());
        }
    }

    /// A machine won't come back, and all that was there is gone.
    fn agent_gone(&mut self, machine: &MachineName, now: Time) {
        let Some(place) = self.places.remove(machine) else { return };
        for id in place.offers.keys() {
            self.offers.remove(id);
        }
        for id in &place.tasks {
            self.remove_task(id, now);
        }
        if let Some(agent) = &place.agent {
            self.agents.remove(agent.as_ref());
        }
        // The core ends what was there, and what was to be.
        self.tell_machine(machine, MachineFact::Gone);
    }

    /// Machines that are known from records, or from before the last master, and that nobody has said
    /// anything of since the subscription.
    fn tick_unheard(&mut self, now: Time) {
        let is_over = |since: &mut Time| now.since(*since) >= UNHEARD_PATIENCE;
        if self.listens_since.take_if(is_over).is_none() {
            return;
        }
        let is_unheard = |place: &Place| !place.is_heard && place.told.is_some();
        let places = self.places.iter_mut().filter(|(_, place)| is_unheard(place));
        let mut unheard = Vec::new();
        for (name, place) in places {
            // When it is back, it is news.
            if !std::mem::replace(&mut place.is_told_silent, true) {
                unheard.push(name.clone());
            }
        }
        for name in unheard {
            self.tell_machine(&name, MachineFact::Unheard);
        }
    }

    pub(crate) fn tick(&mut self, now: Time) {
        if self.is_connected {
            self.tick_unheard(now);
            self.tick_offers(now);
            self.tick_kills(now);
            self.tick_volumes(now);
        }
    }
}

/// The name that the Docker containerizer gives the container of a task
/// (slave/containerizer/docker.cpp, `DOCKER_NAME_PREFIX`).
fn container(status: &TaskStatus) -> Option<String> {
    let id = status.container_status.as_ref()?.container_id.as_ref()?;
    Some(format!("mesos-{}", id.value))
}
