//! The master: all state, what is due when, and what goes out.

mod accept;
mod agents;
mod calls;
mod maintenance;
mod offers;
mod operations;
mod operator;
mod outside;
mod pages;
mod reconcile;
mod restart;
mod statuses;
mod subscribe;
mod tasks;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use mesos::scheduler::Event;
use mesos::{
    AgentId, InverseOffer, MachineId, MasterCapability, MasterCapabilityType, MasterInfo, OfferId,
    Schedule,
};

use crate::agent::{Agent, AgentKey, TaskKey};
use crate::allocation::Accounts;
use crate::framework::{Framework, FrameworkKey};
use crate::random::Random;
use crate::{Bundle, Configuration, Nanoseconds};

pub use crate::outside::Told as Run;
pub(crate) use operator::Answer;
pub use outside::Unwelcome;
pub use restart::{Identity, Restart};
pub use tasks::Said;

/// A stream of events to a client; the caller gives the numbers, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// Something that leaves the simulation.
#[derive(Debug, Clone)]
pub enum Output {
    /// A record for a stream.
    Record(StreamKey, Delivery),
    /// The end of a stream.
    Close(StreamKey),
    /// Something that an agent with an outside body is told.
    Run(AgentKey, Run),
    /// Such an agent is not heard any more: its stream is to end.
    Cut(AgentKey),
}

/// A record of a stream.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// For a scheduler.
    Scheduler(Arc<Event>),
    /// For an operator.
    Operator(Arc<mesos::operator::Event>),
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Allocation,
    Heartbeat(StreamKey),
    OfferTimeout(u64),
    Failover(FrameworkKey, u32),
    AgentLost(AgentKey, u32),
    Recovered(AgentKey, u32),
    Retry(AgentKey, TaskKey, u32),
    Step(AgentKey, TaskKey, u32, Step),
    Drained(AgentKey),
    Silence(AgentKey, u32),
    Operation(Vec<u8>),
}

/// What a simulated task does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Starting,
    Running,
    Health,
    Check,
    Ends,
    Killed,
}

/// An offer that is out.
#[derive(Debug)]
struct Offer {
    framework: FrameworkKey,
    role: Arc<str>,
    agent: AgentKey,
    bundle: Bundle,
}

/// What is known of the machine of an agent.
#[derive(Debug, Clone, PartialEq)]
enum Machine {
    Draining(mesos::Unavailability),
    Down(mesos::Unavailability),
}

/// A master with its agents.
#[derive(Debug)]
pub struct Master {
    configuration: Configuration,
    id: String,
    now: Nanoseconds,
    started: Nanoseconds,
    elected: Nanoseconds,
    random: Random,
    sequence: u64,
    due: BinaryHeap<Reverse<(Nanoseconds, u64, Due)>>,
    outputs: VecDeque<Output>,
    frameworks: Vec<Framework>,
    framework_keys: BTreeMap<String, FrameworkKey>,
    streams: BTreeMap<StreamKey, FrameworkKey>,
    operators: BTreeMap<StreamKey, ()>,
    agents: Vec<Agent>,
    agent_keys: BTreeMap<String, AgentKey>,
    offers: BTreeMap<u64, Offer>,
    inverse_offers: BTreeMap<u64, (FrameworkKey, AgentKey, InverseOffer)>,
    inverse_refusals: BTreeMap<(FrameworkKey, AgentKey), Nanoseconds>,
    inverse_answers: BTreeMap<(FrameworkKey, AgentKey), mesos::InverseOfferStatus>,
    accounts: Accounts,
    schedule: Schedule,
    machines: BTreeMap<MachineId, Machine>,
    /// By their UUIDs.
    operations: BTreeMap<Vec<u8>, operations::Unacknowledged>,
    next_framework: u32,
    next_agent: u32,
    next_offer: u64,
    next_pid: u32,
    /// How many masters stand for the lead, if there may be several.
    members: Option<usize>,
}

impl Master {
    /// A master without agents, at the time 0.
    pub fn new(configuration: Configuration) -> Self {
        let mut random = Random::new(configuration.seed);
        let id = random.uuid_text();
        let mut master = Self {
            id,
            now: 0,
            started: 0,
            elected: 0,
            random,
            sequence: 0,
            due: BinaryHeap::new(),
            outputs: VecDeque::new(),
            frameworks: Vec::new(),
            framework_keys: BTreeMap::new(),
            streams: BTreeMap::new(),
            operators: BTreeMap::new(),
            agents: Vec::new(),
            agent_keys: BTreeMap::new(),
            offers: BTreeMap::new(),
            inverse_offers: BTreeMap::new(),
            inverse_refusals: BTreeMap::new(),
            inverse_answers: BTreeMap::new(),
            accounts: Accounts::default(),
            operations: BTreeMap::new(),
            schedule: Schedule::default(),
            machines: BTreeMap::new(),
            next_framework: 0,
            next_agent: 0,
            next_offer: 0,
            next_pid: 1000,
            members: None,
            configuration,
        };
        master.after(master.configuration.allocation_interval, Due::Allocation);
        master
    }

    /// How it is set up.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What went out since the last time this was asked.
    pub fn take_outputs(&mut self) -> VecDeque<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// When something is due next.
    pub fn next_wake(&self) -> Option<Nanoseconds> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Lets time pass: all that is due happens at its time. Time never goes back.
    pub fn advance(&mut self, now: Nanoseconds) {
        while let Some(Reverse((at, _, due))) = self.due.peek().cloned() {
            if at > now {
                break;
            }
            self.due.pop();
            self.now = self.now.max(at);
            self.happen(due);
        }
        self.now = self.now.max(now);
    }

    /// So many masters stand for the lead, as the metrics tell it.
    pub fn set_members(&mut self, count: usize) {
        self.members = Some(count);
    }

    /// The time up to which all has happened.
    pub fn now(&self) -> Nanoseconds {
        self.now
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Allocation => {
                self.after(self.configuration.allocation_interval, Due::Allocation);
                let agents = self.all_agents();
                self.allocate(&agents);
            }
            Due::Heartbeat(stream) => self.heartbeat(stream),
            Due::OfferTimeout(offer) => self.time_out_offer(offer),
            Due::Failover(framework, generation) => self.fail_over_too_late(framework, generation),
            Due::AgentLost(agent, generation) => self.agent_is_lost(agent, generation),
            Due::Recovered(agent, generation) => self.recovered_agent_is_late(agent, generation),
            Due::Retry(agent, task, generation) => self.send_again(agent, &task, generation),
            Due::Step(agent, task, generation, step) => self.step(agent, &task, generation, step),
            Due::Drained(agent) => self.check_drained(agent),
            Due::Silence(agent, generation) => self.listen(agent, generation),
            Due::Operation(uuid) => self.send_operation(&uuid),
        }
    }

    fn after(&mut self, delay: Nanoseconds, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((self.now.saturating_add(delay), self.sequence, due)));
    }

    /// Nanoseconds since 1970.
    fn wall(&self, at: Nanoseconds) -> i64 {
        let nanoseconds = self.configuration.epoch_nanoseconds.saturating_add(at);
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    }

    fn time(&self, at: Nanoseconds) -> mesos::TimeInfo {
        mesos::TimeInfo { nanoseconds: self.wall(at) }
    }

    /// Seconds since 1970, to a microsecond.
    #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
    fn timestamp(&self, at: Nanoseconds) -> f64 {
        (self.wall(at) / 1000) as f64 / 1e6
    }

    /// A name for a stream of events, as its scheduler has to say it.
    pub(crate) fn new_stream_id(&mut self) -> String {
        self.random.uuid_text()
    }

    fn agent(&self, key: AgentKey) -> Option<&Agent> {
        self.agents.get(key.0 as usize)
    }

    fn agent_mut(&mut self, key: AgentKey) -> Option<&mut Agent> {
        self.agents.get_mut(key.0 as usize)
    }

    fn framework(&self, key: FrameworkKey) -> Option<&Framework> {
        self.frameworks.get(key.0 as usize)
    }

    fn framework_mut(&mut self, key: FrameworkKey) -> Option<&mut Framework> {
        self.frameworks.get_mut(key.0 as usize)
    }

    fn all_agents(&self) -> Vec<AgentKey> {
        (0..u32::try_from(self.agents.len()).unwrap_or(u32::MAX)).map(AgentKey).collect()
    }

    fn all_frameworks(&self) -> Vec<FrameworkKey> {
        (0..u32::try_from(self.frameworks.len()).unwrap_or(u32::MAX)).map(FrameworkKey).collect()
    }

    fn agent_key(&self, id: &AgentId) -> Option<AgentKey> {
        self.agent_keys.get(&id.value).copied()
    }

    /// How an offer is named.
    fn offer_id(&self, number: u64) -> OfferId {
        OfferId::new(format!("{}-O{number}", self.id))
    }

    /// The number of an offer of this master.
    fn offer_number(&self, id: &OfferId) -> Option<u64> {
        id.value.strip_prefix(&self.id)?.strip_prefix("-O")?.parse().ok()
    }

    /// Sends an event to a framework, if it is there.
    fn tell(&mut self, framework: FrameworkKey, event: Event) {
        let stream = self.framework(framework).and_then(|it| it.stream.as_ref());
        if let Some((stream, _)) = stream {
            let record = Output::Record(*stream, Delivery::Scheduler(Arc::new(event)));
            self.outputs.push_back(record);
        }
    }

    /// The master's description of itself.
    pub fn info(&self) -> MasterInfo {
        let settings = &self.configuration;
        let known = [
            MasterCapabilityType::AgentUpdate,
            MasterCapabilityType::AgentDraining,
            MasterCapabilityType::QuotaV2,
        ];
        MasterInfo {
            capabilities: known.map(|it| MasterCapability { r#type: Some(it.into()) }).to_vec(),
            ..MasterInfo::listening(
                &self.id,
                settings.address,
                settings.port,
                &settings.hostname,
                &settings.version,
            )
        }
    }
}
