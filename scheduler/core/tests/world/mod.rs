//! A small cluster around the core: machines, processes, a registry, a store and a network between
//! them that loses, repeats and delays. It knows the truth; the core knows what reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::config::Policy;
use policy::rollout::Load;
use policy::{Nanoseconds, Time};
use scheduler_core::app::{Bounds, Need, Run, Specification};
use scheduler_core::command::{Command, Key, Launch, Record, Write};
use scheduler_core::event::{
    Accepted, Call, Event, InstanceFact, MachineFact, Refusal, VolumeFact,
};
use scheduler_core::ids::{AppName, Epoch, InstanceId, MachineName, RequestId};
use scheduler_core::instance::Exit;
use scheduler_core::machine::Description;
use scheduler_core::volume::{Mount, OwnVolume, VolumeId};
use scheduler_core::{State, apply};

pub mod checks;
pub mod disks;

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound.max(1)
    }

    /// True so many times of 1,000.
    pub fn chance(&mut self, thousandths: u64) -> bool {
        self.below(1000) < thousandths
    }
}

/// How unreliable the world is, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub facts_lost: u64,
    pub facts_repeated: u64,
    pub facts_late: u64,
    pub commands_lost: u64,
    pub writes_failed: u64,
    pub writes_unanswered: u64,
    /// Of each write: the core ends before, or after it.
    pub crashes: u64,
}

#[derive(Debug, Clone)]
pub struct Host {
    pub description: Description,
    pub is_reachable: bool,
    /// It won't come back, and the cluster knows that.
    pub is_gone: bool,
    /// When it became unreachable.
    pub lost_at: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub machine: MachineName,
    pub label: String,
    pub phase: Phase,
    pub is_healthy: bool,
    pub volume: Option<VolumeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Running,
}

#[derive(Debug, Clone)]
enum Happening {
    ToCore(Event),
    Write(Write),
    Arrive(Command),
    Started(InstanceId),
    Check(InstanceId),
    Dies(InstanceId, Exit),
    Restart,
}

pub struct World {
    pub now: Time,
    pub policy: Policy,
    pub random: Random,
    pub faults: Faults,
    /// None while no core lives.
    pub core: Option<State>,
    pub epoch: Epoch,
    pub store: BTreeMap<Key, Record>,
    pub hosts: BTreeMap<MachineName, Host>,
    pub processes: BTreeMap<InstanceId, Process>,
    pub registry: BTreeMap<InstanceId, (MachineName, u32)>,
    pub disks: disks::Disks,
    pub answers: BTreeMap<RequestId, Result<Accepted, Refusal>>,
    pub started: BTreeSet<InstanceId>,
    pub launches: BTreeSet<InstanceId>,
    pub loads: BTreeMap<AppName, Load>,
    /// What was decided, in order: for comparisons.
    pub decisions: Vec<scheduler_core::decision::Decision>,
    pub turns: u64,
    pub commands: u64,
    pub crashes: u64,
    /// The clock that the core is given is this far ahead.
    pub ahead: Nanoseconds,
    /// The core ends just before this command is carried out.
    pub crash_at_command: Option<u64>,
    agenda: BTreeMap<(Time, u64), Happening>,
    numbered: u64,
    next_request: u64,
    /// Commands of a core arrive in order.
    last_arrival: Time,
}

/// What is derived is compared only now and then: an error in it stays.
const DERIVED_EVERY_TURNS: u64 = 16;

pub const fn seconds(count: u64) -> Nanoseconds {
    Nanoseconds::from_seconds(count)
}

/// The rules with short times, so that much happens in a few minutes.
pub fn quick_policy() -> Policy {
    let mut policy = Policy::recommended();
    policy.rollout.warm_up = seconds(10);
    policy.rollout.cool_down = seconds(4);
    policy.rollout.progress_deadline = seconds(60);
    policy.repair.back_off_most = seconds(20);
    policy.repair.back_off_forget = seconds(60);
    policy.repair.launch_timeout = seconds(30);
    policy.repair.replace_unhealthy_after = seconds(10);
    policy.repair.replace_unreachable_after = seconds(20);
    policy.repair.forget_unreachable_after = seconds(200);
    policy.repair.freeze_most = seconds(60);
    policy
}

pub fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

pub fn machine(number: usize) -> MachineName {
    format!("m{number}").parse().unwrap()
}

/// Labels that begin with `bad` never become healthy, those with `crash` end soon.
pub fn specification(label: &str) -> Arc<Specification> {
    Arc::new(Specification {
        label: label.to_owned(),
        run: Run::Command(vec!["work".to_owned(), label.to_owned()]),
        need: Need { millicores: 1000, memory_mib: 100, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: Some(seconds(15)),
        kill_grace: seconds(5),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    })
}

/// The same with a volume; every other version needs a little less, so that what is reserved grows and
/// shrinks. Another instance doesn't fit into the difference.
pub fn stateful(label: &str) -> Arc<Specification> {
    let mount = Mount { name: app("data"), path: "/data".to_owned(), size_mib: 100 };
    let mut specification = specification(label).as_ref().clone();
    if label.ends_with(|last: char| last.to_digit(10).is_some_and(|digit| digit % 2 == 0)) {
        specification.need.millicores -= 100;
    }
    Arc::new(Specification { volumes: vec![mount], ..specification })
}

impl World {
    pub fn new(seed: u64, machines: usize) -> Self {
        let policy = quick_policy();
        let mut world = World {
            now: Time(1_000_000_000),
            policy,
            random: Random(seed),
            faults: Faults::default(),
            core: None,
            epoch: Epoch(0),
            store: BTreeMap::new(),
            hosts: BTreeMap::new(),
            processes: BTreeMap::new(),
            registry: BTreeMap::new(),
            disks: disks::Disks::default(),
            answers: BTreeMap::new(),
            started: BTreeSet::new(),
            launches: BTreeSet::new(),
            loads: BTreeMap::new(),
            decisions: Vec::new(),
            turns: 0,
            commands: 0,
            crashes: 0,
            ahead: Nanoseconds::ZERO,
            crash_at_command: None,
            agenda: BTreeMap::new(),
            numbered: 0,
            next_request: 0,
            last_arrival: Time::ZERO,
        };
        for number in 0..machines {
            let rack = if number % 2 == 0 { "even" } else { "odd" };
            let description = Description {
                millicores: 8_000,
                memory_mib: 4_000,
                ports: vec![(31_000, 31_019)],
                attributes: Arc::new(BTreeMap::from([("rack".to_owned(), rack.to_owned())])),
                disk_mib: Some(1_000),
            };
            let host =
                Host { description, is_reachable: true, is_gone: false, lost_at: Time::ZERO };
            world.hosts.insert(machine(number), host);
        }
        world.restart();
        world
    }

    fn schedule(&mut self, after: Nanoseconds, happening: Happening) {
        self.numbered += 1;
        self.agenda.insert((self.now + after, self.numbered), happening);
    }

    fn milliseconds(&mut self, from: u64, to: u64) -> Nanoseconds {
        Nanoseconds::from_milliseconds(from + self.random.below(to - from))
    }

    /// A core that knows what is stored takes over.
    pub fn restart(&mut self) {
        self.epoch = Epoch(self.epoch.0 + 1);
        self.last_arrival = self.now;
        let records = self.store.iter().map(|(key, record)| (key.clone(), stored(record)));
        self.core = Some(State::restore(self.policy, records).unwrap());
        self.deliver(Event::Leader { epoch: self.epoch });
        self.report_machines(true);
    }

    pub fn crash(&mut self) {
        if self.core.take().is_some() {
            self.crashes += 1;
            let after = self.milliseconds(100, 8_000);
            self.schedule(after, Happening::Restart);
        }
    }

    /// Gives an event to the core, checks what it does, and begins to carry it out.
    pub fn deliver(&mut self, event: Event) {
        let Some(mut core) = self.core.take() else { return };
        let before = checks::Before::of(&core);
        let now = self.now + self.ahead;
        let commands = apply(&mut core, event.clone(), now);
        self.turns += 1;
        checks::turn(&before, &core, now, &event);
        if self.turns.is_multiple_of(DERIVED_EVERY_TURNS) {
            checks::derived(&core);
        }
        self.core = Some(core);
        for command in commands {
            self.commands += 1;
            if self.crash_at_command == Some(self.commands) {
                self.crash();
            }
            if self.core.is_none() {
                return;
            }
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Persist(write) => {
                let after = self.milliseconds(1, 30);
                if self.random.chance(self.faults.crashes) {
                    self.schedule(after, Happening::Write(write));
                    return self.crash();
                }
                self.schedule(after, Happening::Write(write));
            }
            Command::Answer { request, answer } => {
                self.answers.insert(request, answer);
            }
            Command::Record(decision) => {
                decision.replay(&self.policy).unwrap();
                self.decisions.push(*decision);
            }
            other => {
                if let Command::Launch(launch) = &other {
                    let is_first = self.launches.insert(launch.instance.clone());
                    assert!(is_first, "{} is launched twice", launch.instance);
                    let key = Key::Instance(launch.instance.clone());
                    assert!(self.store.contains_key(&key), "{key:?} isn't durable");
                }
                if self.random.chance(self.faults.commands_lost) {
                    return;
                }
                // Commands go over one connection: they arrive in order.
                let arrival = self.now + self.milliseconds(1, 50);
                self.last_arrival = self.last_arrival.max(arrival);
                let after = self.last_arrival.since(self.now);
                self.schedule(after, Happening::Arrive(other));
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Nanoseconds) {
        let end = self.now + length;
        while let Some((&(time, number), _)) = self.agenda.first_key_value() {
            if time > end {
                break;
            }
            let Some(happening) = self.agenda.remove(&(time, number)) else { break };
            self.now = time;
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToCore(event) => self.deliver(event),
            Happening::Write(write) => self.write(write),
            Happening::Arrive(command) => self.arrive(command),
            Happening::Started(id) => {
                let Some(process) = self.processes.get_mut(&id) else { return };
                process.phase = Phase::Running;
                self.disks.used(process);
                let label = process.label.clone();
                self.tell(&id, InstanceFact::Running);
                if label.starts_with("crash") {
                    let after = self.milliseconds(100, 3_000);
                    self.schedule(after, Happening::Dies(id, Exit::Code(1)));
                } else if !label.starts_with("bad") {
                    let after = self.milliseconds(100, 3_000);
                    self.schedule(after, Happening::Check(id));
                }
            }
            Happening::Check(id) => self.set_health(&id, true),
            Happening::Dies(id, exit) => self.dies(&id, exit),
            Happening::Restart => {
                if self.core.is_none() {
                    self.restart();
                }
            }
        }
    }

    fn write(&mut self, write: Write) {
        if write.epoch != self.epoch {
            return;
        }
        let number = write.number;
        let (fails, silent) = (
            self.random.chance(self.faults.writes_failed),
            self.random.chance(self.faults.writes_unanswered),
        );
        if !fails {
            for (key, record) in write.changes {
                match record {
                    Some(record) => self.store.insert(key, record),
                    None => self.store.remove(&key),
                };
            }
        }
        if !silent {
            let answer = if fails {
                Event::NotDurable { write: number }
            } else {
                Event::Durable { write: number }
            };
            self.deliver(answer);
        }
    }

    fn arrive(&mut self, command: Command) {
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Kill { instance, machine, epoch, grace } => {
                if epoch != self.epoch || !self.is_reachable(&machine) {
                    return;
                }
                if !self.processes.contains_key(&instance) {
                    return self.tell_from(&machine, &instance, InstanceFact::Unknown);
                }
                let is_known = self.core.as_ref().is_some_and(|core| {
                    core.instance(&instance).is_some_and(|known| known.end.is_some())
                });
                assert!(
                    !is_known || !self.registry.contains_key(&instance),
                    "{instance} is killed while it is found"
                );
                let after = self.milliseconds(1, (grace.0 / 1_000_000).max(2));
                self.schedule(after, Happening::Dies(instance, Exit::Code(0)));
            }
            Command::Register { instance, machine, weight_thousandths, epoch, .. } => {
                if epoch == self.epoch && self.is_reachable(&machine) {
                    self.registry.insert(instance.clone(), (machine.clone(), weight_thousandths));
                    let fact = InstanceFact::Registered { weight_thousandths };
                    self.tell_from(&machine, &instance, fact);
                }
            }
            Command::Deregister { instance, machine, epoch } => {
                if epoch == self.epoch && self.is_reachable(&machine) {
                    self.registry.remove(&instance);
                    self.tell_from(&machine, &instance, InstanceFact::Deregistered);
                }
            }
            Command::Reserve { reserved, .. } => assert!(reserved.is_nothing()),
            Command::Destroy { volume, machine, epoch, .. } => {
                if epoch == self.epoch && self.is_reachable(&machine) {
                    let mut users = self.processes.iter();
                    let user = users.find(|(_, one)| one.volume.as_ref() == Some(&volume));
                    assert!(user.is_none(), "{volume} is destroyed while {user:?} runs");
                    self.disks.destroy(&machine, &volume);
                    let fact = VolumeFact::Gone;
                    self.send(Event::Volume { volume, machine, fact });
                }
            }
            Command::Ask(instances) => {
                for (instance, machine) in instances {
                    self.answer(&instance, &machine);
                }
            }
            Command::Persist(_)
            | Command::Acknowledge { .. }
            | Command::Answer { .. }
            | Command::Record(_) => {}
        }
    }

    fn answer(&mut self, id: &InstanceId, machine: &MachineName) {
        let fact = match self.processes.get(id) {
            None => InstanceFact::Unknown,
            Some(Process { phase: Phase::Starting, .. }) => InstanceFact::Launched,
            Some(Process { is_healthy: true, .. }) => InstanceFact::Healthy,
            Some(Process { .. }) => InstanceFact::Running,
        };
        self.tell_from(machine, id, fact);
    }

    fn launch(&mut self, launch: Launch) {
        let Launch { instance, machine, specification, volume, epoch, .. } = launch;
        if epoch != self.epoch || !self.is_reachable(&machine) {
            return;
        }
        assert!(self.started.insert(instance.clone()), "{instance} is started twice");
        let label = specification.label.clone();
        if let Some(volume) = &volume {
            let mut others = self.processes.iter();
            let other = others.find(|(_, one)| one.volume.as_ref() == Some(&volume.id));
            assert!(other.is_none(), "{instance} and {other:?} have {} at once", volume.id);
            self.disks.mount(&machine, volume);
        }
        let (volume, phase) = (volume.map(|OwnVolume { id, .. }| id), Phase::Starting);
        let process = Process { machine, label, phase, is_healthy: false, volume };
        self.processes.insert(instance.clone(), process);
        self.tell(&instance, InstanceFact::Launched);
        let after = self.milliseconds(50, 4_000);
        self.schedule(after, Happening::Started(instance));
    }

    pub fn set_health(&mut self, id: &InstanceId, is_healthy: bool) {
        let Some(process) = self.processes.get_mut(id) else { return };
        process.is_healthy = is_healthy;
        let fact = if is_healthy { InstanceFact::Healthy } else { InstanceFact::Unhealthy };
        self.tell(id, fact);
    }

    pub fn recover_later(&mut self, id: &InstanceId) {
        let after = self.milliseconds(1_000, 30_000);
        self.schedule(after, Happening::Check(id.clone()));
    }

    pub fn dies(&mut self, id: &InstanceId, exit: Exit) {
        if let Some(process) = self.processes.remove(id) {
            self.tell_from(&process.machine, id, InstanceFact::Ended(exit));
        }
    }

    fn is_reachable(&self, machine: &MachineName) -> bool {
        self.hosts.get(machine).is_some_and(|host| host.is_reachable)
    }

    fn tell(&mut self, id: &InstanceId, fact: InstanceFact) {
        if let Some(process) = self.processes.get(id) {
            self.tell_from(&process.machine.clone(), id, fact);
        }
    }

    fn tell_from(&mut self, machine: &MachineName, id: &InstanceId, fact: InstanceFact) {
        if !self.is_reachable(machine) {
            return;
        }
        let (instance, machine, at) = (id.clone(), machine.clone(), self.now);
        self.send(Event::Instance { instance, machine, at, fact });
    }

    /// A fact goes over the network.
    fn send(&mut self, event: Event) {
        if self.random.chance(self.faults.facts_lost) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(self.faults.facts_repeated));
        for _ in 0..copies {
            let is_late = self.random.chance(self.faults.facts_late);
            let after = self.milliseconds(1, if is_late { 20_000 } else { 50 });
            self.schedule(after, Happening::ToCore(event.clone()));
        }
    }

    /// What a master tells of its machines, again and again; `is_sure`: it arrives.
    pub fn report_machines(&mut self, is_sure: bool) {
        let detection = seconds(5);
        let facts: Vec<(MachineName, MachineFact)> = self
            .hosts
            .iter()
            .filter_map(|(name, host)| {
                let fact = if host.is_gone {
                    MachineFact::Gone
                } else if host.is_reachable {
                    MachineFact::Up(host.description.clone())
                } else if self.now.since(host.lost_at) >= detection {
                    MachineFact::Silent
                } else {
                    return None;
                };
                Some((name.clone(), fact))
            })
            .collect();
        for (machine, fact) in facts {
            let event = Event::Machine { machine, fact };
            if is_sure { self.deliver(event) } else { self.send(event) }
        }
    }

    /// What periodic comparison with the registry finds: addresses of no process.
    pub fn report_registry(&mut self) {
        let Some(core) = &self.core else { return };
        let unknown: Vec<InstanceId> =
            self.registry.keys().filter(|id| core.instance(id).is_none()).cloned().collect();
        for id in unknown {
            let Some((machine, weight_thousandths)) = self.registry.get(&id).cloned() else {
                return;
            };
            self.tell_from(&machine, &id, InstanceFact::Registered { weight_thousandths });
        }
    }

    /// What periodic comparison with the cluster finds: processes that nobody knows.
    pub fn report_processes(&mut self) {
        let Some(core) = &self.core else { return };
        let unknown: Vec<InstanceId> =
            self.processes.keys().filter(|id| core.instance(id).is_none()).cloned().collect();
        for id in unknown {
            self.tell(&id, InstanceFact::Running);
        }
    }

    pub fn report_loads(&mut self) {
        for (app, load) in self.loads.clone() {
            self.send(Event::Load { app, at: self.now, load });
        }
    }

    pub fn call(&mut self, call: Call) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.deliver(Event::Call { request, call });
        request
    }

    pub fn partition(&mut self, name: &MachineName) {
        if let Some(host) = self.hosts.get_mut(name)
            && host.is_reachable
        {
            host.is_reachable = false;
            host.lost_at = self.now;
        }
    }

    pub fn heal(&mut self, name: &MachineName) {
        if let Some(host) = self.hosts.get_mut(name)
            && !host.is_gone
        {
            host.is_reachable = true;
        }
    }

    /// The machine restarts: its processes are gone, and nobody says so.
    pub fn reboot(&mut self, name: &MachineName) {
        self.partition(name);
        self.processes.retain(|_, process| process.machine != *name);
    }

    /// The machine is gone for good. Its registrations go with its agent.
    pub fn lose(&mut self, name: &MachineName) {
        self.reboot(name);
        if let Some(host) = self.hosts.get_mut(name) {
            host.is_gone = true;
        }
        self.registry.retain(|_, (machine, _)| machine != name);
        self.disks.lose(name);
    }

    /// Lets time pass until all is as it should be; whether it is.
    pub fn settle(&mut self, most_seconds: u64) -> bool {
        for second in 0..most_seconds {
            self.second(second);
            if second % 25 == 24 && checks::unsettled(self).is_empty() {
                return true;
            }
        }
        false
    }

    /// One second: a tick, and every few seconds what is told periodically.
    pub fn second(&mut self, number: u64) {
        self.run(seconds(1));
        if number.is_multiple_of(3) {
            self.report_machines(false);
            self.report_loads();
        }
        // After machines were told of, and at other times, when it means nothing.
        if number.is_multiple_of(3) || number.is_multiple_of(5) {
            self.deliver(Event::Room);
        }
        if number.is_multiple_of(20) {
            self.report_registry();
            self.report_processes();
        }
        self.deliver(Event::Tick);
    }
}

/// What a record is after it was written and read: what isn't stored is lost.
fn stored(record: &Record) -> Record {
    let text = serde_json::to_string(record).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub fn deploy(name: &str, label: &str, min: u32, max: u32) -> Call {
    let is_stateful = name == "store";
    let specification = if is_stateful { stateful(label) } else { specification(label) };
    Call::Deploy { app: app(name), specification, bounds: Bounds { min, max }, step: None }
}
