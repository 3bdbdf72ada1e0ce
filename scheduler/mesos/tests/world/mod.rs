//! The world around a translator.

mod disks;
mod master;
mod sets;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use master::Master;
use mesos::OperationType;
use mesos::scheduler::{Call, CallType, Event};
use policy::{Nanoseconds, Time};
use scheduler_core::Command;
use scheduler_core::app::{Need, Run, Specification};
use scheduler_core::command::Launch;
use scheduler_core::event::{Event as Fact, InstanceFact, MachineFact};
use scheduler_core::ids::{Epoch, InstanceId, MachineName, Receipt};
use scheduler_core::ports::Ports;
use scheduler_core::volume::Reserves;
use scheduler_mesos::{Framework, Input, Output, Settings, Translator};
use sets::Sets;

/// Numbers that look random, and are the same for the same seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub fn pick<T: Clone>(&mut self, items: impl IntoIterator<Item = T>) -> Option<T> {
        let items: Vec<T> = items.into_iter().collect();
        let count = u64::try_from(items.len()).unwrap();
        (count > 0).then(|| items[usize::try_from(self.below(count)).unwrap()].clone())
    }
}

#[derive(Debug)]
pub struct World {
    random: Random,
    now: Time,
    translator: Translator,
    master: Master,
    is_connected: bool,
    is_stored: bool,
    to_master: VecDeque<Call>,
    to_client: VecDeque<Event>,
    /// Offers that the client has and that nobody has taken back: agent and thousandths of cores.
    valid: BTreeMap<String, (String, i64)>,
    /// What the core was told of machines, in thousandths of cores.
    machines: BTreeMap<MachineName, u32>,
    silent: BTreeSet<MachineName>,
    /// What the core believes to be there.
    live: BTreeMap<InstanceId, MachineName>,
    /// Ports of those.
    ports: BTreeMap<InstanceId, Ports>,
    launched: BTreeSet<String>,
    made: u64,
    /// Statuses that were told and aren't durable yet.
    told: BTreeMap<Receipt, Vec<u8>>,
    durable: BTreeSet<Vec<u8>>,
    sets: Sets,
    counts: [u64; 7],
}

fn settings() -> Settings {
    Settings {
        framework: Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "r".to_owned(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        },
        timezone: None,
        declares_limits: false,
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let agents = 1 + random.below(4);
        World {
            master: Master::new(agents),
            random,
            now: Time::ZERO + Nanoseconds::from_seconds(1_000_000),
            translator: Translator::new(settings(), None),
            is_connected: false,
            is_stored: false,
            to_master: VecDeque::new(),
            to_client: VecDeque::new(),
            valid: BTreeMap::new(),
            machines: BTreeMap::new(),
            silent: BTreeSet::new(),
            live: BTreeMap::new(),
            ports: BTreeMap::new(),
            launched: BTreeSet::new(),
            made: 0,
            told: BTreeMap::new(),
            durable: BTreeSet::new(),
            sets: Sets::default(),
            counts: [0; 7],
        }
    }

    /// Launches, acknowledgements, broken streams, kills, volumes that were made, reservations that were
    /// given back, and ends of some volumes.
    pub fn counts(&self) -> [u64; 7] {
        self.counts
    }

    pub fn step(&mut self) {
        match self.random.below(42) {
            0..=7 => self.deliver_event(),
            8..=14 => self.deliver_call(),
            15..=17 => self.master.allocate(&mut self.to_client),
            18..=22 => self.launch(),
            23 => self.kill(),
            24..=26 => self.store(),
            27..=31 => self.master.progress(&mut self.random, &mut self.to_client),
            32 => self.master.rescind(&mut self.random, &mut self.to_client),
            33 => self.master.lose(&mut self.random, &mut self.to_client),
            34 => self.master.find(&mut self.to_client),
            35 if self.random.below(2) == 0 => self.disconnect(),
            35 => self.destroy(),
            36 | 37 => self.connect(),
            38 => self.master.steal(&mut self.random),
            39 => self.give_back(),
            _ => self.pass(1 + self.random.0 % 15),
        }
    }

    fn give(&mut self, input: Input) {
        self.give_all(vec![input]);
    }

    fn give_all(&mut self, inputs: Vec<Input>) {
        let uuids: VecDeque<Vec<u8>> = inputs.iter().filter_map(uuid).collect();
        let mut uuids = uuids;
        let outputs = self.translator.handle(inputs, self.now);
        for output in outputs {
            match output {
                Output::Call(call) => {
                    assert!(self.is_connected && self.is_stored, "{call:?} goes nowhere");
                    self.check(&call);
                    self.to_master.push_back(*call);
                }
                Output::Event(Fact::Told { receipt }) => {
                    let uuid = uuids.pop_front().expect("nothing is to be acknowledged");
                    self.told.insert(receipt, uuid);
                }
                Output::Event(fact) => self.fact(fact),
                // It is durable a little later.
                Output::Store(_) => {}
                Output::Note(_) => {}
                Output::Fatal(fatal) => panic!("{fatal}"),
            }
        }
        assert!(uuids.is_empty(), "a status is never acknowledged");
    }

    fn check(&mut self, call: &Call) {
        match call.r#type() {
            CallType::Accept => {
                let accept = call.accept.as_ref().unwrap();
                let mut offered = 0;
                let mut agents = BTreeSet::new();
                for id in &accept.offer_ids {
                    let (agent, cpus) = self.valid.remove(&id.value).expect("a valid offer");
                    offered += cpus;
                    agents.insert(agent);
                }
                assert_eq!(agents.len(), 1);
                for operation in &accept.operations {
                    match operation.r#type() {
                        OperationType::Create => self.counts[4] += 1,
                        OperationType::Unreserve => self.counts[5] += 1,
                        OperationType::Destroy => self.counts[6] += 1,
                        _ => {}
                    }
                    self.sets.check(operation);
                    for task in operation.launch.iter().flat_map(|launch| &launch.task_infos) {
                        let id = task.task_id.value.clone();
                        assert!(self.launched.insert(id.clone()), "{id} is launched twice");
                        assert!(agents.contains(&task.agent_id.value));
                        self.sets.check_task(task);
                        offered -= master::cpus(&task.resources);
                        self.counts[0] += 1;
                    }
                }
                assert!(offered >= 0, "more than was offered");
            }
            CallType::Decline => {
                for id in &call.decline.as_ref().unwrap().offer_ids {
                    assert!(self.valid.remove(&id.value).is_some(), "{id} is no offer");
                }
            }
            CallType::Acknowledge => {
                let uuid = &call.acknowledge.as_ref().unwrap().uuid;
                assert!(self.durable.contains(uuid), "acknowledged too early");
                self.counts[1] += 1;
            }
            _ => {}
        }
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Machine { machine, fact: MachineFact::Up(description) } => {
                self.machines.insert(machine.clone(), description.millicores);
                if self.silent.remove(&machine) {
                    // As the core does: what may have happened meanwhile?
                    let there = self.live.iter().filter(|(_, on)| **on == machine);
                    let asked = there.map(|(id, on)| (id.clone(), on.clone())).collect();
                    self.give(Input::Command(Command::Ask(asked)));
                }
            }
            Fact::Machine { machine, fact: MachineFact::Silent | MachineFact::Unheard } => {
                self.silent.insert(machine);
            }
            Fact::Instance { instance, machine, fact, .. } => {
                let is_over = matches!(
                    fact,
                    InstanceFact::Ended(_) | InstanceFact::NeverStarted(_) | InstanceFact::Unknown
                );
                if is_over && self.live.get(&instance) == Some(&machine) {
                    self.live.remove(&instance);
                    self.ports.remove(&instance);
                    let is_never = matches!(fact, InstanceFact::NeverStarted(_));
                    if let Some(ending) = self.sets.free(&instance, is_never) {
                        self.give(Input::Command(ending));
                    }
                } else if matches!(fact, InstanceFact::Running | InstanceFact::Healthy) {
                    self.sets.used(&instance);
                } else if !is_over && !self.live.contains_key(&instance) {
                    // As the core does with what nobody wants.
                    self.give(Input::Command(kill(&instance, &machine)));
                }
            }
            Fact::Volume { volume, machine, fact } => self.sets.fact(volume, machine, &fact),
            _ => {}
        }
    }

    fn deliver_event(&mut self) {
        let count = 1 + self.random.below(4);
        let mut inputs = Vec::new();
        for _ in 0..count {
            let Some(event) = self.to_client.pop_front() else { break };
            for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
                let agent = offer.agent_id.value.clone();
                self.valid.insert(offer.id.value.clone(), (agent, master::cpus(&offer.resources)));
            }
            if let Some(rescind) = &event.rescind {
                self.valid.remove(&rescind.offer_id.value);
            }
            // An agent that is lost takes its offers with it.
            if let Some(agent) = event.failure.as_ref().and_then(|one| one.agent_id.as_ref()) {
                self.valid.retain(|_, (of, _)| *of != agent.value);
            }
            inputs.push(Input::Event(Box::new(event)));
        }
        self.give_all(inputs);
    }

    fn deliver_call(&mut self) {
        if let Some(call) = self.to_master.pop_front() {
            self.master.call(call, &mut self.to_client);
        }
    }

    fn launch(&mut self) {
        let Some(machine) = self.random.pick(self.machines.keys().cloned()) else { return };
        let count = 1 + self.random.below(3);
        let inputs = (0..count)
            .map(|_| {
                self.made += 1;
                let instance = InstanceId { app: "a".parse().unwrap(), number: self.made };
                let is_stateful = self.random.below(3) == 0;
                let ports = self.choose_ports(&machine, is_stateful);
                self.live.insert(instance.clone(), machine.clone());
                self.ports.insert(instance.clone(), ports.clone());
                let millicores = if self.random.below(2) == 0 { 700 } else { 900 };
                let reserved = if self.random.below(5) == 0 { 0 } else { millicores };
                let volume =
                    is_stateful.then(|| self.sets.own(&instance, &machine, reserved, &ports));
                let mut specification = specification(is_stateful, millicores);
                specification.need.ports = ports.count();
                let (specification, epoch) = (Arc::new(specification), Epoch(1));
                let machine = machine.clone();
                let launch = Launch { instance, machine, ports, specification, volume, epoch };
                Input::Command(Command::Launch(launch))
            })
            .collect();
        self.give_all(inputs);
    }

    /// Ports that nobody has there, two at most: as a rule those that are kept for the set that is free.
    fn choose_ports(&mut self, machine: &MachineName, is_stateful: bool) -> Ports {
        let (mut taken, own) = self.sets.ports(machine);
        if is_stateful && !own.is_empty() && self.random.below(4) > 0 {
            return own;
        }
        let there = self.ports.iter().filter(|(id, _)| self.live.get(*id) == Some(machine));
        taken.extend(there.flat_map(|(_, ports)| ports.iter().copied()));
        let count = usize::try_from(self.random.below(3)).unwrap();
        let free: Vec<u16> =
            (disks::PORTS.0..=disks::PORTS.1).filter(|port| !taken.contains(port)).collect();
        let first = usize::try_from(self.random.below(20)).unwrap();
        let ports: BTreeSet<u16> = free.into_iter().cycle().skip(first).take(count).collect();
        ports.into_iter().collect()
    }

    fn kill(&mut self) {
        if let Some((instance, machine)) = self.random.pick(self.live.clone()) {
            self.counts[3] += 1;
            self.give(Input::Command(kill(&instance, &machine)));
        }
    }

    /// No instance is to come back to a set.
    fn give_back(&mut self) {
        if let Some(volume) = self.random.pick(self.sets.kept()) {
            let command = self.sets.give_back(&volume);
            self.give(Input::Command(command));
        }
    }

    /// A user gives up a set that nobody has.
    fn destroy(&mut self) {
        if let Some(volume) = self.random.pick(self.sets.kept()) {
            let command = self.sets.destroy(&volume);
            self.give(Input::Command(command));
        }
    }

    /// Some of what was told becomes durable.
    fn store(&mut self) {
        if !self.is_stored && self.is_connected {
            self.is_stored = true;
            return self.give(Input::Stored(master::framework()));
        }
        let count = self.told.len().min(3);
        for _ in 0..count {
            let (receipt, uuid) = self.told.pop_first().unwrap();
            self.durable.insert(uuid);
            self.give(Input::Command(Command::Acknowledge { receipt }));
        }
    }

    fn disconnect(&mut self) {
        if !self.is_connected {
            return;
        }
        self.counts[2] += 1;
        // Some calls arrive before it breaks, the others never: they are of an old stream.
        for _ in 0..self.random.below(4) {
            self.deliver_call();
        }
        self.to_master.clear();
        self.to_client.clear();
        self.valid.clear();
        self.is_connected = false;
        self.master.disconnect();
        self.give(Input::Disconnected);
    }

    fn connect(&mut self) {
        if self.is_connected {
            return;
        }
        self.is_connected = true;
        self.to_client.push_back(Master::subscribed());
        self.master.resend(&mut self.to_client);
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Nanoseconds::from_seconds(seconds);
        self.give(Input::Tick);
        self.master.resend(&mut self.to_client);
    }

    /// All becomes calm: what has to hold then.
    pub fn heal(&mut self) {
        self.connect();
        self.master.find(&mut self.to_client);
        self.master.restore(&mut self.to_client);
        for round in 0..120 {
            self.pass(5);
            // What there is when all has come back, and half of it is wanted.
            if round == 20 {
                for volume in self.sets.kept().into_iter().step_by(2) {
                    let command = self.sets.destroy(&volume);
                    self.give(Input::Command(command));
                }
            }
            // The core asks again until it hears of the end.
            for command in self.sets.ending() {
                self.give(Input::Command(command));
            }
            self.master.find(&mut self.to_client);
            self.master.allocate(&mut self.to_client);
            for _ in 0..200 {
                self.deliver_event();
                self.deliver_call();
                self.store();
            }
        }
        assert!(self.to_client.is_empty() && self.to_master.is_empty());
        assert_eq!(self.translator.waiting(), 0, "launches wait for ever");
        assert!(self.master.unacknowledged().is_empty(), "{:?}", self.master.unacknowledged());
        let running: BTreeSet<String> = self.master.running();
        let live: BTreeSet<String> = self.live.keys().map(ToString::to_string).collect();
        assert_eq!(running, live, "the core and the master differ");
        assert_eq!(self.translator.tasks(), live.len());
        self.sets.settled(
            &self.master.volumes(),
            &self.master.reserved(),
            &self.master.reserved_ports(),
        );
        assert_eq!(self.master.left_over(), 0, "disk is reserved for nothing");
        for (machine, millicores) in &self.machines {
            assert_eq!(*millicores, disks::CPUS_MILLI, "{machine}");
        }
    }
}

fn uuid(input: &Input) -> Option<Vec<u8>> {
    match input {
        Input::Event(event) => event.update.as_ref()?.status.uuid.clone(),
        _ => None,
    }
}

fn kill(instance: &InstanceId, machine: &MachineName) -> Command {
    let (instance, machine) = (instance.clone(), machine.clone());
    Command::Kill { instance, machine, grace: Nanoseconds::from_seconds(5), epoch: Epoch(1) }
}

fn specification(is_stateful: bool, millicores: u32) -> Specification {
    let volumes = if is_stateful { sets::mounts() } else { Vec::new() };
    Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["/bin/true".to_owned()]),
        need: Need { millicores, memory_mib: sets::MEMORY_MIB, ports: 0 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::from_seconds(5),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes,
        reserves: Reserves::All,
    }
}
