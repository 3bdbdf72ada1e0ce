//! Machines that go down by plan: schedules, inverse offers, draining, deactivation.

use std::collections::BTreeMap;

use mesos::operator::DrainAgent;
use mesos::scheduler::{AnswerInverseOffers, Event, InverseOffers, RescindInverseOffer};
use mesos::{
    ClusterStatus, DrainConfig, DrainingMachine, DurationInfo, InverseOffer, InverseOfferAnswer,
    InverseOfferStatus, MachineId, Schedule, Unavailability,
};

use super::{Due, Machine, Master};
use crate::agent::{Agent, AgentKey, Drain, Standing};
use crate::framework::FrameworkKey;
use crate::{MILLISECOND, Nanoseconds};

impl Master {
    pub(super) fn machine_of(&self, agent: &Agent) -> Option<Machine> {
        let id = MachineId {
            hostname: Some(agent.spec.hostname.clone()),
            ip: Some(agent.spec.ip.clone()),
        };
        self.machines.get(&id).cloned()
    }

    fn agents_on(&self, machine: &MachineId) -> Vec<AgentKey> {
        let on = |key: &AgentKey| {
            self.agent(*key).is_some_and(|agent| {
                machine.hostname.as_deref() == Some(&agent.spec.hostname)
                    && machine.ip.as_deref() == Some(&agent.spec.ip)
            })
        };
        self.all_agents().into_iter().filter(on).collect()
    }

    /// A new schedule of maintenance; else why not.
    pub(super) fn schedule_maintenance(&mut self, schedule: Schedule) -> Result<(), String> {
        let mut planned: BTreeMap<MachineId, Unavailability> = BTreeMap::new();
        for window in &schedule.windows {
            if window.machine_ids.is_empty() {
                return Err("List of machines in the maintenance window is empty".to_owned());
            }
            for machine in &window.machine_ids {
                if planned.insert(machine.clone(), window.unavailability).is_some() {
                    return Err(format!("Machine '{}' appears more than once", text(machine)));
                }
            }
        }
        let is_down = |(id, machine): (&MachineId, &Machine)| {
            (matches!(machine, Machine::Down(_)) && !planned.contains_key(id)).then(|| id.clone())
        };
        if let Some(id) = self.machines.iter().find_map(is_down) {
            return Err(format!(
                "Machine '{}' is deactivated and cannot be removed from the schedule",
                text(&id)
            ));
        }
        let mut changed = Vec::new();
        self.machines.retain(|_, machine| matches!(machine, Machine::Down(_)));
        for (id, unavailability) in planned {
            self.machines.entry(id).or_insert(Machine::Draining(unavailability));
        }
        self.schedule = schedule;
        for key in self.all_agents() {
            let Some(agent) = self.agent(key) else { continue };
            let next = match self.machine_of(agent) {
                Some(Machine::Draining(it) | Machine::Down(it)) => Some(it),
                None => None,
            };
            let is_other = next.is_some() || agent.unavailability != next;
            if let Some(agent) = self.agent_mut(key) {
                agent.unavailability = next;
            }
            if is_other {
                changed.push(key);
            }
        }
        // All offers are taken back, whatever has changed. The order of agents means nothing; this
        // is the recorded one.
        for key in self.all_agents().into_iter().rev() {
            self.rescind_all_of(key);
        }
        let gone = |_: FrameworkKey, agent: AgentKey| changed.contains(&agent);
        self.drop_inverse_offers(gone, true);
        self.inverse_refusals.clear();
        self.inverse_answers.clear();
        let agents = self.all_agents();
        self.allocate(&agents);
        Ok(())
    }

    /// Machines go down: their agents are told to end.
    pub(super) fn bring_down(&mut self, machines: &[MachineId]) -> Result<(), String> {
        if machines.is_empty() {
            return Err("List of machines is empty".to_owned());
        }
        for id in machines {
            match self.machines.get(id) {
                Some(Machine::Draining(_)) => {}
                Some(Machine::Down(_)) => {
                    return Err(format!(
                        "Machine '{}' is not in DRAINING mode and cannot be brought down",
                        text(id)
                    ));
                }
                None if !self.agents_on(id).is_empty() => {
                    return Err(format!(
                        "Machine '{}' is not in DRAINING mode and cannot be brought down",
                        text(id)
                    ));
                }
                None => {
                    return Err(format!(
                        "Machine '{}' is not part of a maintenance schedule",
                        text(id)
                    ));
                }
            }
        }
        for id in machines {
            if let Some(Machine::Draining(it)) = self.machines.get(id).cloned() {
                self.machines.insert(id.clone(), Machine::Down(it));
            }
            for key in self.agents_on(id) {
                let Some(agent) = self.agent_mut(key) else { continue };
                agent.is_running = false;
                if agent.standing == Standing::Registered {
                    let text = format!(
                        "Agent {} removed: Operator initiated 'Machine DOWN'",
                        agent.spec.hostname
                    );
                    self.lose(key, Standing::Absent, &text);
                    self.announce_agent_removal(key);
                }
            }
        }
        Ok(())
    }

    /// Machines are up again; agents have to be started on them.
    pub(super) fn bring_up(&mut self, machines: &[MachineId]) -> Result<(), String> {
        if machines.is_empty() {
            return Err("List of machines is empty".to_owned());
        }
        for id in machines {
            if !matches!(self.machines.get(id), Some(Machine::Down(_))) {
                return Err(format!(
                    "Machine '{}' is not in DOWN mode and cannot be brought up",
                    text(id)
                ));
            }
        }
        for id in machines {
            self.machines.remove(id);
            for window in &mut self.schedule.windows {
                window.machine_ids.retain(|machine| machine != id);
            }
        }
        self.schedule.windows.retain(|window| !window.machine_ids.is_empty());
        Ok(())
    }

    /// Frameworks with tasks on machines that go down are asked to leave them.
    pub(super) fn offer_inversely(&mut self) {
        if self.machines.is_empty() {
            return;
        }
        let mut asked: BTreeMap<FrameworkKey, Vec<InverseOffer>> = BTreeMap::new();
        for key in self.all_agents() {
            let Some(agent) = self.agent(key).filter(|agent| agent.is_active()) else { continue };
            let Some(unavailability) = agent.unavailability else { continue };
            let (url, agent_id) = (agent.url(), agent.id.clone());
            let owners = self.tasks_of(key).into_iter().map(|(framework, _)| framework);
            let offered =
                agent.offers.iter().filter_map(|it| self.offers.get(it)).map(|it| it.framework);
            let mut owners: Vec<FrameworkKey> = owners.chain(offered).collect();
            owners.sort();
            owners.dedup();
            for owner in owners {
                let is_out = self.inverse_offers.values().any(|it| (it.0, it.1) == (owner, key));
                let refused = self.inverse_refusals.get(&(owner, key));
                let framework = self.framework(owner).filter(|it| it.stream.is_some());
                let Some(framework_id) = framework.map(|it| it.id.clone()) else { continue };
                if is_out || refused.is_some_and(|until| *until > self.now) {
                    continue;
                }
                let number = self.next_offer;
                self.next_offer += 1;
                let offer = InverseOffer {
                    id: self.offer_id(number),
                    url: Some(url.clone()),
                    framework_id,
                    agent_id: Some(agent_id.clone()),
                    unavailability,
                    resources: Vec::new(),
                };
                self.inverse_offers.insert(number, (owner, key, offer.clone()));
                asked.entry(owner).or_default().push(offer);
            }
        }
        for (framework, inverse_offers) in asked {
            self.tell(framework, Event::inverse_offers(InverseOffers { inverse_offers }));
        }
    }

    /// Inverse offers are void, of those that are chosen.
    pub(super) fn drop_inverse_offers(
        &mut self,
        chosen: impl Fn(FrameworkKey, AgentKey) -> bool,
        is_told: bool,
    ) {
        let numbers: Vec<(u64, FrameworkKey)> = self
            .inverse_offers
            .iter()
            .filter(|(_, (framework, agent, _))| chosen(*framework, *agent))
            .map(|(number, (framework, _, _))| (*number, *framework))
            .collect();
        for (number, framework) in numbers {
            self.inverse_offers.remove(&number);
            if is_told {
                let inverse_offer_id = self.offer_id(number);
                let event = Event::rescind_inverse_offer(RescindInverseOffer { inverse_offer_id });
                self.tell(framework, event);
            }
        }
    }

    pub(super) fn answer_inverse_offers(
        &mut self,
        key: FrameworkKey,
        call: &AnswerInverseOffers,
        answer: InverseOfferAnswer,
    ) {
        let Some(framework_id) = self.framework(key).map(|it| it.id.clone()) else { return };
        for id in &call.inverse_offer_ids {
            let number = self.offer_number(id);
            let own = number.filter(|number| {
                self.inverse_offers.get(number).is_some_and(|(owner, _, _)| *owner == key)
            });
            let Some((_, agent, _)) = own.and_then(|number| self.inverse_offers.remove(&number))
            else {
                continue;
            };
            if let Some(duration) = super::offers::refusal(call.filters.as_ref()) {
                self.inverse_refusals.insert((key, agent), self.now.saturating_add(duration));
            }
            let status = InverseOfferStatus {
                status: answer.into(),
                framework_id: framework_id.clone(),
                timestamp: self.time(self.now),
            };
            self.inverse_answers.insert((key, agent), status);
        }
    }

    pub(super) fn maintenance_status(&self) -> ClusterStatus {
        let mut status = ClusterStatus::default();
        for (id, machine) in &self.machines {
            match machine {
                Machine::Down(_) => status.down_machines.push(id.clone()),
                Machine::Draining(_) => {
                    let agents = self.agents_on(id);
                    let answers = self.inverse_answers.iter();
                    let statuses = answers
                        .filter(|((_, agent), _)| agents.contains(agent))
                        .map(|(_, status)| status.clone())
                        .collect();
                    status.draining_machines.push(DrainingMachine { id: id.clone(), statuses });
                }
            }
        }
        status
    }

    /// An operator wants an agent to be empty.
    pub(super) fn drain(&mut self, key: AgentKey, call: &DrainAgent) {
        let seconds = |it: &mesos::Duration| {
            let whole = u64::try_from(it.seconds()).unwrap_or(0).saturating_mul(crate::SECOND);
            whole.saturating_add(u64::try_from(it.nanos()).unwrap_or(0))
        };
        let limit: Option<Nanoseconds> = call.max_grace_period.as_ref().map(seconds);
        let nanoseconds =
            |limit| DurationInfo { nanoseconds: i64::try_from(limit).unwrap_or(i64::MAX) };
        let config = DrainConfig {
            max_grace_period: limit.map(nanoseconds),
            mark_gone: Some(call.mark_gone()),
        };
        let started = self.now;
        if let Some(agent) = self.agent_mut(key) {
            agent.drain = Some(Drain { config, started });
            agent.is_deactivated = true;
        }
        self.rescind_all_of(key);
        self.drop_inverse_offers(|_, agent| agent == key, true);
        for task_key in self.tasks_of(key) {
            self.kill_on_agent(key, &task_key, limit);
        }
        self.after(MILLISECOND, Due::Drained(key));
    }

    /// Whether a drain is over; an agent that is to be gone then is.
    pub(super) fn check_drained(&mut self, key: AgentKey) {
        let is_to_be_gone = self.agent(key).is_some_and(|agent| {
            agent.tasks.is_empty()
                && agent.drain.is_some_and(|drain| drain.config.mark_gone())
                && agent.standing == Standing::Registered
        });
        if is_to_be_gone && self.tasks_of(key).is_empty() {
            self.mark_gone(key);
        }
    }

    pub(super) fn deactivate(&mut self, key: AgentKey) {
        if let Some(agent) = self.agent_mut(key) {
            agent.is_deactivated = true;
        }
        self.rescind_all_of(key);
    }

    pub(super) fn reactivate(&mut self, key: AgentKey) {
        let Some(agent) = self.agent_mut(key) else { return };
        agent.is_deactivated = false;
        agent.drain = None;
    }
}

/// A machine in Mesos' words.
fn text(machine: &MachineId) -> String {
    serde_json::to_string(machine).unwrap_or_default()
}
