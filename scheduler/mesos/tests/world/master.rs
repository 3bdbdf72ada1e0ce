//! A small master with its agents, as `research/scheduler.md` §1.7 says that they behave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesos::quantity::Milli;
use mesos::scheduler::{
    Call, CallType, Event, Failure, Offers, Rescind, Subscribed, Update, UpdateOperationStatus,
};
use mesos::{
    AgentId, FrameworkId, Offer, OfferId, OperationId, OperationState, OperationStatus, Resource,
    StatusReason, TaskId, TaskState, TaskStatus, Uuid,
};

use super::Random;
use super::disks::{Stock, owner, persistence};

#[derive(Debug)]
struct Agent {
    is_up: bool,
    offer: Option<String>,
    stock: Stock,
}

#[derive(Debug)]
struct Task {
    agent: String,
    state: TaskState,
    resources: Vec<Resource>,
    /// Statuses that the agent hasn't had acknowledged, the oldest first.
    updates: VecDeque<(TaskState, Vec<u8>)>,
    is_killed: bool,
}

#[derive(Debug)]
pub struct Master {
    agents: BTreeMap<String, Agent>,
    tasks: BTreeMap<String, Task>,
    offers_made: u64,
    uuids_made: u64,
    is_connected: bool,
}

pub fn framework() -> FrameworkId {
    FrameworkId::new("F")
}

pub fn cpus(resources: &[Resource]) -> i64 {
    let cpus = resources.iter().filter(|one| one.name == "cpus");
    cpus.filter_map(Resource::amount).sum::<Milli>().0
}

impl Master {
    pub fn new(agents: u64) -> Self {
        let agent = |number| {
            (format!("S{number}"), Agent { is_up: true, offer: None, stock: Stock::default() })
        };
        Master {
            agents: (0..agents).map(agent).collect(),
            tasks: BTreeMap::new(),
            offers_made: 0,
            uuids_made: 0,
            is_connected: false,
        }
    }

    pub fn subscribed() -> Event {
        Event::subscribed(Subscribed { framework_id: framework(), ..Subscribed::default() })
    }

    pub fn disconnect(&mut self) {
        self.is_connected = false;
        self.agents.values_mut().for_each(|agent| agent.offer = None);
    }

    /// Offers what is free and not on offer.
    pub fn allocate(&mut self, out: &mut VecDeque<Event>) {
        if !self.is_connected {
            return;
        }
        let names: Vec<String> = self.agents.keys().cloned().collect();
        for name in names {
            let agent = self.agents.get_mut(&name).unwrap();
            let resources = agent.stock.offered();
            if !agent.is_up || agent.offer.is_some() || cpus(&resources) <= 0 {
                continue;
            }
            self.offers_made += 1;
            let id = format!("O{}", self.offers_made);
            agent.offer = Some(id.clone());
            let offer = Offer {
                id: OfferId::new(id),
                framework_id: framework(),
                agent_id: AgentId::new(name.clone()),
                hostname: format!("host-{name}"),
                resources,
                ..Offer::default()
            };
            out.push_back(Event::offers(Offers { offers: vec![offer] }));
        }
    }

    /// Another framework takes all that nobody has reserved of an agent, or gives it back.
    pub fn steal(&mut self, random: &mut Random) {
        let idle = self.agents.iter().filter(|(_, agent)| agent.offer.is_none());
        let idle: Vec<String> = idle.map(|(name, _)| name.clone()).collect();
        if let Some(name) = random.pick(idle) {
            self.agents.get_mut(&name).unwrap().stock.steal();
        }
    }

    /// Other frameworks give back what they have.
    pub fn restore(&mut self, out: &mut VecDeque<Event>) {
        let offers: Vec<String> =
            self.agents.values().filter_map(|agent| agent.offer.clone()).collect();
        for id in offers {
            self.take_back(&id, out);
        }
        self.hush(out);
        self.agents.values_mut().for_each(|agent| agent.stock.restore());
    }

    pub fn rescind(&mut self, random: &mut Random, out: &mut VecDeque<Event>) {
        let offers = self.agents.values().filter_map(|agent| agent.offer.clone());
        if let Some(id) = random.pick(offers.collect::<Vec<_>>()) {
            self.take_back(&id, out);
        }
    }

    fn take_back(&mut self, id: &str, out: &mut VecDeque<Event>) {
        for agent in self.agents.values_mut().filter(|one| one.offer.as_deref() == Some(id)) {
            agent.offer = None;
        }
        out.push_back(Event::rescind(Rescind { offer_id: OfferId::new(id) }));
    }

    /// An agent isn't heard of any more.
    pub fn lose(&mut self, random: &mut Random, out: &mut VecDeque<Event>) {
        let up = self.agents.iter().filter(|(_, agent)| agent.is_up).map(|(name, _)| name.clone());
        let Some(name) = random.pick(up.collect::<Vec<_>>()) else { return };
        let agent = self.agents.get_mut(&name).unwrap();
        agent.is_up = false;
        if let Some(id) = agent.offer.take() {
            out.push_back(Event::rescind(Rescind { offer_id: OfferId::new(id) }));
        }
        for (id, _) in self.tasks.iter().filter(|(_, task)| task.agent == name) {
            out.push_back(update(id, Some(&name), TaskState::Unreachable, None));
        }
        let agent_id = Some(AgentId::new(name));
        out.push_back(Event::failure(Failure { agent_id, ..Failure::default() }));
        self.hush(out);
    }

    /// All agents are back.
    pub fn find(&mut self, out: &mut VecDeque<Event>) {
        for (name, agent) in &mut self.agents {
            if std::mem::replace(&mut agent.is_up, true) {
                continue;
            }
            for (id, task) in self.tasks.iter().filter(|(_, task)| task.agent == *name) {
                out.push_back(update(id, Some(name), task.state, None));
            }
        }
        self.hush(out);
    }

    /// Something happens to a task.
    pub fn progress(&mut self, random: &mut Random, out: &mut VecDeque<Event>) {
        let ids: Vec<String> = self.tasks.keys().cloned().collect();
        let Some(id) = random.pick(ids) else { return };
        let chance = random.below(10);
        let task = self.tasks.get_mut(&id).unwrap();
        if task.state.is_terminal() {
            return;
        }
        let next = match task.state {
            _ if task.is_killed => TaskState::Killed,
            TaskState::Staging => TaskState::Starting,
            TaskState::Starting => TaskState::Running,
            _ if chance == 0 => TaskState::Failed,
            _ => return,
        };
        self.become_(&id, next);
        self.resend(out);
    }

    fn become_(&mut self, id: &str, state: TaskState) {
        self.uuids_made += 1;
        let uuid = u128::from(self.uuids_made).to_be_bytes().to_vec();
        let task = self.tasks.get_mut(id).unwrap();
        task.state = state;
        if state.is_terminal() {
            let stock = &mut self.agents.get_mut(&task.agent).unwrap().stock;
            std::mem::take(&mut task.resources).into_iter().for_each(|one| stock.put(one));
        }
        task.updates.push_back((state, uuid));
    }

    /// Agents say again what isn't acknowledged, the oldest of each task.
    pub fn resend(&mut self, out: &mut VecDeque<Event>) {
        for (id, task) in &self.tasks {
            let is_up = self.agents[&task.agent].is_up;
            if let (true, Some((state, uuid))) = (is_up, task.updates.front()) {
                out.push_back(update(id, Some(&task.agent), *state, Some(uuid.clone())));
            }
        }
        self.hush(out);
    }

    /// Nothing reaches a client that isn't there. The first event of a stream opens it.
    fn hush(&mut self, out: &mut VecDeque<Event>) {
        self.is_connected |= out.front().is_some_and(|event| event.subscribed.is_some());
        if !self.is_connected {
            out.clear();
        }
    }

    pub fn unacknowledged(&self) -> Vec<&String> {
        self.tasks.iter().filter(|(_, task)| !task.updates.is_empty()).map(|(id, _)| id).collect()
    }

    pub fn running(&self) -> BTreeSet<String> {
        let running = self.tasks.iter().filter(|(_, task)| !task.state.is_terminal());
        running.map(|(id, _)| id.clone()).collect()
    }

    pub fn call(&mut self, call: Call, out: &mut VecDeque<Event>) {
        match call.r#type() {
            CallType::Accept => self.accept(call.accept.unwrap(), out),
            CallType::Decline => {
                for id in call.decline.unwrap().offer_ids {
                    self.return_offer(&id.value);
                }
            }
            CallType::Kill => {
                let kill = call.kill.unwrap();
                let id = kill.task_id.value;
                match self.tasks.get_mut(&id) {
                    Some(task) => {
                        let agent = kill.agent_id.map(|agent| agent.value);
                        if agent.is_none_or(|agent| agent == task.agent)
                            && self.agents[&task.agent].is_up
                        {
                            task.is_killed = true;
                        }
                    }
                    None => self.answer(&id, None, out),
                }
            }
            CallType::Acknowledge => {
                let acknowledge = call.acknowledge.unwrap();
                let id = acknowledge.task_id.value;
                let Some(task) = self.tasks.get_mut(&id) else { return };
                if !self.agents[&task.agent].is_up {
                    return;
                }
                if task.updates.front().is_none_or(|(_, uuid)| *uuid != acknowledge.uuid) {
                    return;
                }
                task.updates.pop_front();
                // As an agent does: the next one of this task, and nothing of others.
                if let Some((state, uuid)) = task.updates.front() {
                    out.push_back(update(&id, Some(&task.agent), *state, Some(uuid.clone())));
                } else if task.state.is_terminal() {
                    self.tasks.remove(&id);
                }
                self.hush(out);
            }
            CallType::Reconcile => {
                let tasks = call.reconcile.unwrap().tasks;
                if tasks.is_empty() {
                    let ids: Vec<String> = self.tasks.keys().cloned().collect();
                    ids.iter().for_each(|id| self.answer(id, None, out));
                }
                for task in tasks {
                    let agent = task.agent_id.map(|agent| agent.value);
                    self.answer(&task.task_id.value, agent, out);
                }
            }
            _ => {}
        }
    }

    fn return_offer(&mut self, id: &str) -> Option<String> {
        let found = self.agents.iter_mut().find(|(_, one)| one.offer.as_deref() == Some(id));
        let (name, agent) = found?;
        agent.offer = None;
        Some(name.clone())
    }

    fn accept(&mut self, accept: mesos::scheduler::Accept, out: &mut VecDeque<Event>) {
        let agents: Vec<Option<String>> =
            accept.offer_ids.iter().map(|id| self.return_offer(&id.value)).collect();
        let first = agents.first().cloned().flatten();
        let agent = first.filter(|first| agents.iter().all(|one| one.as_ref() == Some(first)));
        for operation in accept.operations {
            if operation.launch.is_none() {
                if let Some(agent) = &agent {
                    self.agents.get_mut(agent).unwrap().stock.operate(&operation);
                }
                if let Some(id) = operation.id {
                    out.push_back(self.operated(id, agent.is_some()));
                }
                continue;
            }
            for task in operation.launch.unwrap().task_infos {
                let id = task.task_id.value;
                let agent = task.agent_id.value;
                if agents.iter().any(|found| found.as_ref() != Some(&agent)) {
                    let status = update(&id, Some(&agent), TaskState::Dropped, None);
                    out.push_back(status);
                    continue;
                }
                let updates = VecDeque::new();
                let state = TaskState::Staging;
                let resources = self.agents.get_mut(&agent).unwrap().stock.give(&task.resources);
                let task = Task { agent, state, resources, updates, is_killed: false };
                assert!(self.tasks.insert(id, task).is_none());
            }
        }
    }

    fn operated(&mut self, id: OperationId, is_done: bool) -> Event {
        self.uuids_made += 1;
        let state = if is_done { OperationState::Finished } else { OperationState::Dropped };
        let status = OperationStatus {
            operation_id: Some(id),
            state: state.into(),
            uuid: Some(Uuid { value: u128::from(self.uuids_made).to_be_bytes().to_vec() }),
            ..OperationStatus::default()
        };
        Event::update_operation_status(UpdateOperationStatus { status })
    }

    /// Volumes that are anywhere, by their ids.
    pub fn volumes(&self) -> BTreeSet<String> {
        self.all().filter_map(persistence).collect()
    }

    /// All that there is, in tasks or not.
    fn all(&self) -> impl Iterator<Item = &Resource> {
        let idle = self.agents.values().flat_map(|agent| &agent.stock.own);
        idle.chain(self.tasks.values().flat_map(|task| &task.resources))
    }

    /// Pieces of disk that are reserved, and have no volume in them.
    pub fn left_over(&self) -> usize {
        let own = self.agents.values().flat_map(|agent| &agent.stock.own);
        own.filter(|one| one.name == "disk" && persistence(one).is_none()).count()
    }

    /// Thousandths of cores that are reserved, by volume.
    pub fn reserved(&self) -> BTreeMap<String, i64> {
        let mut reserved = BTreeMap::new();
        for one in self.all().filter(|one| one.name == "cpus") {
            if let (Some(volume), Some(amount)) = (owner(one), one.amount()) {
                *reserved.entry(volume).or_default() += amount.0;
            }
        }
        reserved
    }

    /// Ports that are reserved, by volume.
    pub fn reserved_ports(&self) -> BTreeMap<String, BTreeSet<u16>> {
        let mut reserved: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for one in self.all() {
            if let (Some(volume), Some(numbers)) = (owner(one), one.numbers()) {
                let ports = numbers.numbers().map(|port| u16::try_from(port).unwrap());
                reserved.entry(volume).or_default().extend(ports);
            }
        }
        reserved
    }

    /// The answer to a question for a task.
    fn answer(&self, id: &str, agent: Option<String>, out: &mut VecDeque<Event>) {
        let (agent, state) = match self.tasks.get(id) {
            Some(task) if self.agents[&task.agent].is_up => {
                // As far as the master was told: what isn't acknowledged first.
                let known = task.updates.front().map_or(task.state, |(state, _)| *state);
                (Some(task.agent.clone()), known)
            }
            Some(task) => (Some(task.agent.clone()), TaskState::Unreachable),
            None => match agent {
                Some(agent) if self.agents[&agent].is_up => (Some(agent), TaskState::Gone),
                // Of an agent that isn't there, nothing is known for certain.
                Some(agent) => (Some(agent), TaskState::Unreachable),
                None => (None, TaskState::Unknown),
            },
        };
        let mut event = update(id, agent.as_deref(), state, None);
        if let Some(update) = &mut event.update {
            update.status.reason = Some(StatusReason::Reconciliation.into());
        }
        out.push_back(event);
    }
}

fn update(id: &str, agent: Option<&str>, state: TaskState, uuid: Option<Vec<u8>>) -> Event {
    Event::update(Update {
        status: TaskStatus {
            task_id: TaskId::new(id),
            state: state.into(),
            agent_id: agent.map(AgentId::new),
            uuid,
            ..TaskStatus::default()
        },
    })
}
