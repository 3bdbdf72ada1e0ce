//! What should be registered where, which agent is looked at next, and what came of it.
//!
//! An agent is looked at in rounds: it is asked what it has, and gets the calls that are missing, one
//! after the other. Agents don't wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use consul::Status;
use consul::agent::{AgentServices, Registration};
use policy::{Nanoseconds, Time};
use scheduler_core::State;
use scheduler_core::app::Specification;
use scheduler_core::ids::{InstanceId, MachineName, Version};
use scheduler_core::instance::{Instance, Life};
use scheduler_core::ports::Ports;

use crate::plan::{Call, Should, is_ours, is_so, plan};
use crate::service::{is_watched, needs_container, registration, ttl, weights};

/// An agent is looked at after this long although nothing has changed: it may have been restarted and
/// have lost what it had, or a service may be left from earlier.
pub const AUDIT_EVERY: Nanoseconds = Nanoseconds::from_seconds(10);

/// The core doesn't wait longer than this for a registration to be ended: an agent that is away for so
/// long has its node taken for dead by Consul itself, or its check fails when the instance ends.
pub const GIVE_UP_AFTER: Nanoseconds = Nanoseconds::from_seconds(30);

/// The first wait after a failed round; it doubles from one to the next.
const BACK_OFF: Nanoseconds = Nanoseconds::from_seconds(1);

/// The longest wait after failed rounds: an agent that is back is found within it.
const BACK_OFF_MOST: Nanoseconds = Nanoseconds::from_seconds(30);

/// An agent of a machine that isn't known any more is still looked at for so long.
const AGENT_KEPT: Nanoseconds = Nanoseconds::from_seconds(600);

/// Where the agents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agents {
    /// All machines are one, and this is its agent's address.
    One(String),
    /// Each machine has one.
    OnMachines {
        /// `http` or `https`.
        scheme: String,
        /// Its port.
        port: u16,
    },
}

impl Agents {
    /// The address of the agent of a machine.
    #[must_use]
    pub fn address(&self, machine: &MachineName) -> String {
        match self {
            Agents::One(address) => address.clone(),
            Agents::OnMachines { scheme, port } => format!("{scheme}://{}:{port}", host(machine)),
        }
    }

    /// The address of the agent at an address of a machine; none if all machines have one.
    #[must_use]
    pub fn at(&self, address: &str) -> Option<String> {
        match self {
            Agents::One(_) => None,
            Agents::OnMachines { scheme, port } if address.contains(':') => {
                Some(format!("{scheme}://[{address}]:{port}"))
            }
            Agents::OnMachines { scheme, port } => Some(format!("{scheme}://{address}:{port}")),
        }
    }

    /// Where the agent of a machine reaches the machine's instances.
    fn instances(&self, machine: &MachineName) -> String {
        match self {
            Agents::One(_) => "127.0.0.1".to_owned(),
            Agents::OnMachines { .. } => host(machine).to_owned(),
        }
    }
}

/// A machine's name without the port that tells several agents of Mesos on one host apart.
#[must_use]
pub fn host(machine: &MachineName) -> &str {
    let name = machine.as_str();
    match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => name,
    }
}

/// What the core is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is found with this weight.
    Registered(InstanceId, MachineName, u32),
    /// It isn't found any more, or nobody waits for that any longer.
    Deregistered(InstanceId, MachineName),
}

/// What is to be done in a round, and what is known already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Calls, in order.
    pub calls: Vec<Call>,
    /// Checks of the kind `ttl`: id, state and words.
    pub reports: Vec<(String, Status, String)>,
    /// For the core.
    pub told: Vec<Told>,
}

/// Why a call has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In words.
    pub why: String,
    /// Whether all else of this agent would fail, too.
    pub is_whole: bool,
}

/// An instance that should be registered and isn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub instance: InstanceId,
    /// At which agent.
    pub agent: String,
    /// Why not.
    pub why: String,
    /// Since when.
    pub since: Time,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Rounds that were made.
    pub rounds: u64,
    /// Rounds that failed.
    pub rounds_failed: u64,
    /// Registrations, those with another weight included.
    pub registered: u64,
    /// Registrations that were lost and made again.
    pub repaired: u64,
    /// Registrations that were ended.
    pub deregistered: u64,
    /// Of these: those whose instance nobody knew.
    pub swept: u64,
    /// Times that an end wasn't waited for any longer.
    pub given_up: u64,
}

/// There is one of each instance that serves, so what follows from others is worked out when it is
/// needed, and what many share they have together.
#[derive(Debug)]
struct Wanted {
    machine: MachineName,
    version: Version,
    specification: Arc<Specification>,
    ports: Ports,
    /// The name of its container, if that is known.
    container: Option<Arc<str>>,
    weight_thousandths: u32,
    is_healthy: bool,
    /// Whether the core waits for an answer.
    is_awaited: bool,
    /// The weight that it is there with.
    there: Option<u32>,
    problem: Option<(Arc<str>, Time)>,
    /// When its check was last said to pass, or not to.
    reported: Option<Time>,
}

impl Wanted {
    /// What is registered now; nothing while it isn't healthy and only the scheduler sees that.
    fn registration(
        &self,
        owner: &str,
        agents_are: &Agents,
        id: &InstanceId,
    ) -> Option<Registration> {
        let is_hidden = is_watched(&self.specification) && !self.is_healthy;
        let (host, weights) =
            (agents_are.instances(&self.machine), weights(self.weight_thousandths));
        let (specification, container) = (&self.specification, self.container.as_deref());
        let own =
            || registration(owner, id, self.version, specification, &self.ports, &host, container);
        (!is_hidden).then(|| Registration { weights, ..own() })
    }
}

#[derive(Debug)]
struct Leaving {
    machine: MachineName,
    /// Since when the core waits; it doesn't if absent.
    awaited: Option<Time>,
}

#[derive(Debug)]
struct Agent {
    /// In order. They are few, and a list takes less than a set.
    instances: Vec<InstanceId>,
    is_busy: bool,
    due: Time,
    failures: u32,
    problem: Option<String>,
    leaks: BTreeMap<String, Time>,
    /// When a machine of its was last known.
    seen: Time,
}

impl Agent {
    fn has(&mut self, id: &InstanceId) {
        if let Err(place) = self.instances.binary_search(id) {
            self.instances.insert(place, id.clone());
        }
    }
}

/// What should be registered, and what is.
#[derive(Debug)]
pub struct Registry {
    owner: String,
    agents_are: Agents,
    agents: BTreeMap<String, Agent>,
    wanted: BTreeMap<InstanceId, Box<Wanted>>,
    leaving: BTreeMap<InstanceId, Leaving>,
    /// Other instances that are known.
    known: BTreeSet<InstanceId>,
    counters: Counters,
}

impl Registry {
    /// Nothing is registered, or nothing is known of it.
    #[must_use]
    pub fn new(owner: &str, agents_are: Agents) -> Self {
        Registry {
            owner: owner.to_owned(),
            agents_are,
            agents: BTreeMap::new(),
            wanted: BTreeMap::new(),
            leaving: BTreeMap::new(),
            known: BTreeSet::new(),
            counters: Counters::default(),
        }
    }

    /// What was done.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn agent(&mut self, address: &str, now: Time) -> &mut Agent {
        self.agents.entry(address.to_owned()).or_insert_with(|| Agent {
            instances: Vec::new(),
            is_busy: false,
            due: now,
            failures: 0,
            problem: None,
            leaks: BTreeMap::new(),
            seen: now,
        })
    }

    /// Something has changed: the agent is looked at now, unless it has failed.
    fn touch(&mut self, address: &str, id: &InstanceId, now: Time) {
        let agent = self.agent(address, now);
        agent.has(id);
        if agent.failures == 0 {
            agent.due = agent.due.min(now);
        }
    }

    /// The core wants an instance to be found with this weight. Whether it is known.
    pub fn register(
        &mut self,
        state: &State,
        id: &InstanceId,
        machine: &MachineName,
        weight_thousandths: u32,
        now: Time,
    ) -> bool {
        let Some(instance) = state.instance(id) else { return false };
        if !matches!(instance.life, Life::Registering | Life::Serving { .. }) {
            return false;
        }
        let Some((name, app)) = state.apps().get_key_value(&id.app) else { return false };
        let Some(specification) = app.versions.get(&instance.version) else { return false };
        // Names that came with facts are each on their own; all instances have their app's.
        let id = &InstanceId { app: name.clone(), number: id.number };
        let agent = self.agents_are.address(machine);
        self.leaving.remove(id);
        self.known.remove(id);
        let wanted = self.wanted.entry(id.clone()).or_insert_with(|| {
            Box::new(Wanted {
                machine: machine.clone(),
                version: instance.version,
                specification: Arc::clone(specification),
                ports: instance.ports.clone(),
                container: instance.container.clone(),
                weight_thousandths,
                is_healthy: !instance.is_unhealthy(),
                is_awaited: true,
                there: None,
                problem: None,
                reported: None,
            })
        });
        wanted.weight_thousandths = weight_thousandths;
        wanted.is_awaited = true;
        self.touch(&agent, id, now);
        true
    }

    /// The core wants an instance not to be found any more.
    pub fn deregister(&mut self, id: &InstanceId, machine: &MachineName, now: Time) {
        let agent = self.agents_are.address(machine);
        self.wanted.remove(id);
        self.known.remove(id);
        let leaving = self
            .leaving
            .entry(id.clone())
            .or_insert_with(|| Leaving { machine: machine.clone(), awaited: None });
        leaving.awaited = leaving.awaited.or(Some(now));
        self.touch(&agent, id, now);
    }

    /// Compares with what the core knows: what it recorded before this program began, what has become
    /// healthy or isn't, what is gone.
    pub fn compare(&mut self, state: &State, now: Time) {
        for machine in state.machines().keys() {
            let address = self.agents_are.address(machine);
            self.agent(&address, now).seen = now;
        }
        let is_there = |id: &InstanceId| state.instance(id).is_some();
        self.wanted.retain(|id, _| is_there(id));
        self.known.retain(is_there);
        // Who waits for an answer gets it, whatever has become of the instance.
        self.leaving.retain(|id, leaving| leaving.awaited.is_some() || is_there(id));
        for (name, app) in state.apps() {
            for (number, instance) in &app.instances {
                let Some(machine) = &instance.machine else { continue };
                let id = InstanceId { app: name.clone(), number: *number };
                self.compare_one(state, &id, machine, instance, now);
            }
        }
        let (wanted, known, leaving) = (&self.wanted, &self.known, &self.leaving);
        for agent in self.agents.values_mut() {
            let is_ours = |id: &InstanceId| {
                wanted.contains_key(id) || known.contains(id) || leaving.contains_key(id)
            };
            agent.instances.retain(is_ours);
        }
        self.agents.retain(|_, agent| {
            agent.is_busy || !agent.instances.is_empty() || now.since(agent.seen) < AGENT_KEPT
        });
    }

    fn compare_one(
        &mut self,
        state: &State,
        id: &InstanceId,
        machine: &MachineName,
        instance: &Instance,
        now: Time,
    ) {
        let is_healthy = !instance.is_unhealthy();
        if let Some(wanted) = self.wanted.get_mut(id) {
            if wanted.is_healthy != is_healthy {
                wanted.is_healthy = is_healthy;
                wanted.reported = None;
                let agent = self.agents_are.address(&wanted.machine);
                self.touch(&agent, id, now);
            }
            let wanted = self.wanted.get_mut(id);
            let wanted = wanted.filter(|wanted| wanted.container != instance.container);
            if let Some(wanted) = wanted {
                wanted.container.clone_from(&instance.container);
                let agent = self.agents_are.address(&wanted.machine);
                self.touch(&agent, id, now);
            }
            return;
        }
        if self.leaving.contains_key(id) {
            return;
        }
        let address = self.agents_are.address(machine);
        match instance.life {
            Life::Waiting => {}
            Life::Intended | Life::Launching | Life::Running | Life::Registering => {
                if self.known.insert(id.clone()) {
                    self.agent(&address, now).has(id);
                }
            }
            Life::Serving { weight_thousandths } => {
                self.register(state, id, machine, weight_thousandths, now);
                // The core knows that already.
                if let Some(wanted) = self.wanted.get_mut(id) {
                    wanted.is_awaited = false;
                }
            }
            Life::Deregistering | Life::CoolingDown | Life::Killing | Life::Sweeping => {
                let machine = machine.clone();
                self.known.remove(id);
                self.leaving.insert(id.clone(), Leaving { machine, awaited: None });
                self.touch(&address, id, now);
            }
        }
    }

    /// Agents that are to be looked at now, at most so many. Each is busy until its round has ended.
    pub fn due(&mut self, most: usize, now: Time) -> Vec<String> {
        let mut due: Vec<(Time, &String)> = self
            .agents
            .iter()
            .filter(|(_, agent)| !agent.is_busy && agent.due <= now)
            .map(|(address, agent)| (agent.due, address))
            .collect();
        // Who has waited longest comes first.
        due.sort_unstable();
        let due: Vec<String> = due.into_iter().take(most).map(|(_, one)| one.clone()).collect();
        for address in &due {
            if let Some(agent) = self.agents.get_mut(address) {
                agent.is_busy = true;
                // What is touched from now on needs another round.
                agent.due = now + AUDIT_EVERY;
            }
        }
        due
    }

    /// An agent has said what it has.
    pub fn listed(&mut self, address: &str, found: &AgentServices, now: Time) -> Step {
        let mut step = Step::default();
        let Some(agent) = self.agents.get(address) else { return step };
        let mut should = Should { owner: self.owner.clone(), ..Should::default() };
        for id in agent.instances.clone() {
            self.listed_one(&id, found, &mut should, &mut step, now);
        }
        let Some(agent) = self.agents.get_mut(address) else { return step };
        step.calls = plan(&should, found, &mut agent.leaks, now);
        step
    }

    fn listed_one(
        &mut self,
        id: &InstanceId,
        found: &AgentServices,
        should: &mut Should,
        step: &mut Step,
        now: Time,
    ) {
        let name = id.to_string();
        let there = found.get(&name);
        if let Some(wanted) = self.wanted.get_mut(id) {
            let is_foreign = there.is_some_and(|one| !is_ours(&self.owner, one));
            if needs_container(&wanted.specification) && wanted.container.is_none() {
                // Without it Consul would have nothing to look at, and take it for healthy.
                wanted.problem =
                    Some(problem(wanted, "the name of its container isn't known yet".into(), now));
                wanted.there = None;
                should.known.insert(name);
                return;
            }
            let (owner, agents_are) = (&self.owner, &self.agents_are);
            let Some(registration) = wanted.registration(owner, agents_are, id) else {
                // The core asked for it, and it would be so if the instance were healthy.
                wanted.problem = Some(problem(wanted, "it is not healthy".into(), now));
                wanted.there = None;
                should.out.insert(name);
                step.told.extend(answer(id, wanted));
                return;
            };
            if is_foreign {
                let why = "another program has registered a service with its id";
                wanted.problem = Some(problem(wanted, why.into(), now));
                wanted.there = None;
                return;
            }
            if there.is_some_and(|found| is_so(&registration, found)) {
                wanted.there = Some(wanted.weight_thousandths);
                wanted.problem = None;
                step.told.extend(answer(id, wanted));
            } else if there.is_none() && wanted.there.take().is_some() {
                self.counters.repaired += 1;
            }
            step.reports.extend(report(&name, wanted, now));
            should.there.insert(name, registration);
        } else if let Some(leaving) = self.leaving.get_mut(id) {
            // What is somebody else's is none of ours.
            if there.is_none_or(|one| !is_ours(&self.owner, one)) {
                let machine = leaving.machine.clone();
                let was_awaited = leaving.awaited.take().is_some();
                step.told.extend(was_awaited.then(|| Told::Deregistered(id.clone(), machine)));
            }
            should.out.insert(name);
        } else {
            should.known.insert(name);
        }
    }

    /// A call to an agent has been answered.
    pub fn called(
        &mut self,
        address: &str,
        call: &Call,
        outcome: Result<(), &Fault>,
        now: Time,
    ) -> Option<Told> {
        match call {
            Call::Register(registration) => {
                let id: InstanceId = registration.id.parse().ok()?;
                let wanted = self.wanted.get_mut(&id)?;
                if let Err(fault) = outcome {
                    wanted.problem = Some(problem(wanted, fault.why.as_str().into(), now));
                    return None;
                }
                self.counters.registered += 1;
                // Meanwhile another weight may be wanted: then there is another round.
                let weight = wanted.weight_thousandths;
                if registration.weights != weights(weight) {
                    return None;
                }
                wanted.there = Some(weight);
                wanted.problem = None;
                answer(&id, wanted)
            }
            Call::Deregister(name) => {
                outcome.ok()?;
                self.counters.deregistered += 1;
                let agent = self.agents.get_mut(address)?;
                self.counters.swept += u64::from(agent.leaks.remove(name).is_some());
                let id: InstanceId = name.parse().ok()?;
                let leaving = self.leaving.get_mut(&id)?;
                leaving.awaited.take()?;
                Some(Told::Deregistered(id, leaving.machine.clone()))
            }
        }
    }

    /// A round has ended.
    pub fn ended(&mut self, address: &str, outcome: Result<(), &Fault>, now: Time) {
        self.counters.rounds += 1;
        let Some(agent) = self.agents.get_mut(address) else { return };
        agent.is_busy = false;
        match outcome {
            Ok(()) => {
                agent.failures = 0;
                agent.problem = None;
                let ids = agent.instances.iter();
                let ttl = ids.filter_map(|id| ttl(&self.wanted.get(id)?.specification)).min();
                if let Some(ttl) = ttl {
                    agent.due = agent.due.min(now + third(ttl));
                }
            }
            Err(fault) => {
                self.counters.rounds_failed += 1;
                let doublings = agent.failures.min(16);
                let wait = Nanoseconds(BACK_OFF.0 << doublings).min(BACK_OFF_MOST);
                agent.failures = agent.failures.saturating_add(1);
                agent.due = now + wait;
                agent.problem = Some(fault.why.clone());
                let why: Arc<str> = fault.why.as_str().into();
                for id in &agent.instances {
                    if let Some(wanted) = self.wanted.get_mut(id)
                        && wanted.there != Some(wanted.weight_thousandths)
                    {
                        wanted.problem = Some(problem(wanted, Arc::clone(&why), now));
                    }
                }
            }
        }
    }

    /// Ends that nobody waits for any longer. Consul finds out itself; what is left of them at the
    /// agent is taken away when it answers again.
    pub fn give_up(&mut self, now: Time) -> Vec<Told> {
        let mut told = Vec::new();
        for (id, leaving) in &mut self.leaving {
            if leaving.awaited.is_some_and(|since| now.since(since) >= GIVE_UP_AFTER) {
                leaving.awaited = None;
                self.counters.given_up += 1;
                told.push(Told::Deregistered(id.clone(), leaving.machine.clone()));
            }
        }
        told
    }

    /// Instances that should be registered.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Instances that should be registered and aren't, or not with their weight.
    pub fn missing(&self) -> impl Iterator<Item = Missing> {
        self.wanted.iter().filter_map(|(id, wanted)| {
            let (why, since) = wanted.problem.clone()?;
            let agent = self.agents_are.address(&wanted.machine);
            Some(Missing { instance: id.clone(), agent, why: why.to_string(), since })
        })
    }

    /// Agents that don't answer, with what is wrong.
    pub fn silent(&self) -> impl Iterator<Item = (&str, &str)> {
        self.agents
            .iter()
            .filter_map(|(address, agent)| Some((address.as_str(), agent.problem.as_deref()?)))
    }

    /// Whether an instance is in Consul, in a sentence.
    #[must_use]
    pub fn explain(&self, id: &InstanceId, now: Time) -> String {
        if let Some(wanted) = self.wanted.get(id) {
            let agent = self.agents_are.address(&wanted.machine);
            let name = format!("{agent} (service {}, id {id})", id.app);
            return match (&wanted.problem, wanted.there) {
                (None, Some(weight)) => format!("in Consul at {name} with weight {weight}"),
                (None, None) => format!("being registered in Consul at {name}"),
                (Some((why, since)), None) => {
                    format!("not in Consul at {name} for {}: {why}", now.since(*since))
                }
                (Some((why, since)), Some(weight)) => format!(
                    "in Consul at {name} with weight {weight}, not yet with {} for {}: {why}",
                    wanted.weight_thousandths,
                    now.since(*since)
                ),
            };
        }
        match self.leaving.get(id) {
            Some(Leaving { awaited: Some(_), machine }) => {
                format!("being taken out of Consul at {}", self.agents_are.address(machine))
            }
            Some(Leaving { machine, .. }) => {
                let agent = self.agents_are.address(machine);
                format!("not in Consul at {agent}: it is on its way out")
            }
            None => "not in Consul: only what is healthy is registered".to_owned(),
        }
    }
}

fn problem(wanted: &Wanted, why: Arc<str>, now: Time) -> (Arc<str>, Time) {
    let since = wanted.problem.as_ref().map_or(now, |(_, since)| *since);
    (why, since)
}

/// What the core waits for, once.
fn answer(id: &InstanceId, wanted: &mut Wanted) -> Option<Told> {
    let was_awaited = std::mem::take(&mut wanted.is_awaited);
    let weight = wanted.weight_thousandths;
    was_awaited.then(|| Told::Registered(id.clone(), wanted.machine.clone(), weight))
}

/// What is said of a check of the kind `ttl`, if it is time to say it again.
fn report(name: &str, wanted: &mut Wanted, now: Time) -> Option<(String, Status, String)> {
    let ttl = ttl(&wanted.specification)?;
    // Half of what is aimed at: rounds come a bit early or late.
    let is_fresh = wanted.reported.is_some_and(|at| now.since(at).0 < third(ttl).0 / 2);
    if is_fresh {
        return None;
    }
    wanted.reported = Some(now);
    let (status, words) = match wanted.is_healthy {
        true => (Status::Passing, "the scheduler sees it healthy"),
        false => (Status::Critical, "the scheduler sees it not healthy"),
    };
    Some((format!("service:{name}"), status, words.to_owned()))
}

const fn third(length: Nanoseconds) -> Nanoseconds {
    Nanoseconds(length.0 / 3)
}
