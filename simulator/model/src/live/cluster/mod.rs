//! The cluster between the scheduler and the instances: facts, commands and registrations travel,
//! processes start and end. `scheduler_core` decides; what it is told and what it commands passes
//! through an agenda of this file. Its clock is ahead of the run's by [`Cluster::ahead`], because it
//! has been leading for a while when the run begins.

use std::collections::BTreeMap;

use policy::rollout::Load;
use policy::{Nanoseconds, Refusal, Time, Words};
use scheduler_core::command::{Command, Launch};
use scheduler_core::decision::{Decided, Decision};
use scheduler_core::event::{Call, Event, InstanceFact, MachineFact};
use scheduler_core::ids::{AppName, InstanceId, MachineName, RequestId};
use scheduler_core::instance::Exit;
use scheduler_core::machine::Description;
use scheduler_core::{State, apply_all};

use super::Live;
use crate::life::Control;
use crate::outcome::Record;
use crate::scheduler::{Deployed, Scheduler, Version};

mod boot;
mod processes;

pub use boot::FIRST_VERSION;

/// What travels, and what is due.
#[derive(Debug)]
enum Happening {
    /// The scheduler hears of this.
    Fact(Event),
    /// It looks, and loads are observed.
    Tick,
    /// A command arrives where it is carried out.
    Arrive(Command),
    /// A process has started.
    Started(InstanceId),
    /// A process ends by itself.
    Ends(InstanceId),
    /// Gateways know that an instance has this weight, in thousandths; none: that it is gone.
    Known(InstanceId, Option<u32>),
    /// The grace of an instance that was asked to end is over.
    Slain(InstanceId),
    /// A machine hasn't answered since then.
    Silent { machine: u32, since: Time },
    /// A user asks for a new version, by its place in the list of upgrades.
    Upgrade(usize),
}

/// A process on a machine.
#[derive(Debug)]
struct Process {
    app: usize,
    /// Its number among the instances of the run.
    number: u32,
    machine: u32,
    is_running: bool,
    /// Whether its check passes.
    is_healthy: bool,
    label: String,
}

/// What an app had to do since the last look.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    arrivals: u64,
    rejects: u64,
}

/// A deployment that was told of when it began.
#[derive(Debug)]
struct Known {
    number: u32,
    told: Deployed,
}

#[derive(Debug)]
pub(super) struct Cluster<'model> {
    pub(super) rules: &'model Scheduler,
    core: State,
    /// The scheduler's clock is so far ahead.
    ahead: Nanoseconds,
    names: Vec<AppName>,
    machines: Vec<MachineName>,
    places: BTreeMap<MachineName, u32>,
    description: Description,
    processes: BTreeMap<InstanceId, Process>,
    /// By app and number of the run; those that are gone are still here.
    ids: BTreeMap<(usize, u32), InstanceId>,
    /// Processes that were lost with each machine that is down.
    lost: BTreeMap<u32, Vec<InstanceId>>,
    failed_at: BTreeMap<u32, Time>,
    counts: Vec<Counts>,
    deployments: BTreeMap<usize, Known>,
    agenda: BTreeMap<(Time, u64), Happening>,
    numbered: u64,
    /// Times for which the run has to be told that something is due.
    due: Vec<Time>,
    /// For each version with crashes, in the order of upgrades.
    crash_words: Vec<Words>,
    ticks_until: Time,
}

impl<'model> Cluster<'model> {
    fn schedule(&mut self, at: Time, happening: Happening) {
        self.numbered += 1;
        self.agenda.insert((at, self.numbered), happening);
        self.due.push(at);
    }

    fn fact(&mut self, now: Time, id: &InstanceId, machine: u32, fact: InstanceFact) {
        let Some(machine) = self.machines.get(machine as usize).cloned() else { return };
        let event = Event::Instance { instance: id.clone(), machine, at: now + self.ahead, fact };
        self.schedule(now + self.rules.facts, Happening::Fact(event));
    }

    /// How a version differs from the one in the beginning.
    fn version(&self, app: usize, label: &str) -> Option<(usize, &'model Version)> {
        let known = self.rules.upgrades.iter().enumerate();
        known
            .filter(|(_, one)| one.app == app && one.label == label)
            .map(|(n, one)| (n, &one.version))
            .next_back()
    }

    fn app_of(&self, id: &InstanceId) -> Option<usize> {
        self.names.iter().position(|name| *name == id.app)
    }

    /// A request was admitted or refused; limits of users are no demand.
    pub(super) fn count(&mut self, app: usize, outcome: Result<(), Refusal>) {
        let Some(counts) = self.counts.get_mut(app) else { return };
        match outcome {
            Ok(()) => counts.arrivals += 1,
            Err(Refusal::NoInstance | Refusal::QueueFull | Refusal::Failed) => {
                counts.arrivals += 1;
                counts.rejects += 1;
            }
            Err(_) => {}
        }
    }

    /// Gives events to the core; what it commands is on its way then.
    fn deliver(&mut self, events: Vec<Event>, now: Time, record: &mut dyn Record) {
        let commands = apply_all(&mut self.core, events, now + self.ahead);
        for command in commands {
            self.send(command, now, record);
        }
        self.tell_deployments(now, record);
        record.turned(now, self.ahead, &self.core);
    }

    fn send(&mut self, command: Command, now: Time, record: &mut dyn Record) {
        match command {
            Command::Persist(write) => {
                let event = Event::Durable { write: write.number };
                self.schedule(now + self.rules.store, Happening::Fact(event));
            }
            Command::Answer { .. }
            | Command::Acknowledge { .. }
            | Command::Destroy { .. }
            | Command::Reserve { .. } => {}
            Command::Record(decision) => self.decided(&decision, now, record),
            command @ (Command::Launch(_)
            | Command::Kill { .. }
            | Command::Register { .. }
            | Command::Deregister { .. }
            | Command::Ask(_)) => {
                self.schedule(now + self.rules.commands, Happening::Arrive(command));
            }
        }
    }

    fn decided(&mut self, decision: &Decision, now: Time, record: &mut dyn Record) {
        let app = decision.app.as_ref().and_then(|name| self.names.iter().position(|n| n == name));
        if let (Decided::Scaling { seen, action, .. }, Some(app)) = (&decision.decided, app) {
            record.decide(now, app, *seen, *action);
        }
        record.scheduled(now, app, decision);
    }

    /// Tells of deployments that have begun or ended.
    fn tell_deployments(&mut self, now: Time, record: &mut dyn Record) {
        for (place, name) in self.names.iter().enumerate() {
            let Some(app) = self.core.apps().get(name) else { continue };
            let label = |version| {
                app.versions.get(&version).map_or_else(String::new, |one| one.label.clone())
            };
            if let Some(known) = self.deployments.get(&place) {
                let ended = app.history.iter().find(|ended| ended.number == known.number);
                if let Some(ended) = ended {
                    let ended = Some((now, ended.outcome.to_string()));
                    let told = Deployed { ended, ..known.told.clone() };
                    record.deployed(&told);
                    self.deployments.remove(&place);
                }
            }
            if let Some(deployment) = &app.deployment
                && !self.deployments.contains_key(&place)
            {
                let told = Deployed {
                    app: place,
                    from: deployment.from.map_or_else(String::new, label),
                    to: label(deployment.to),
                    cause: deployment.cause.to_string(),
                    begun: now,
                    ended: None,
                };
                record.deployed(&told);
                self.deployments.insert(place, Known { number: deployment.number, told });
            }
        }
    }
}

impl<'model> Live<'model> {
    /// Something of the cluster is due.
    pub(super) fn cluster_is_due(&mut self, now: Time) {
        let Some(mut cluster) = self.cluster.take() else { return };
        loop {
            let mut events = Vec::new();
            while let Some(entry) = cluster.agenda.first_entry() {
                if entry.key().0 > now {
                    break;
                }
                match entry.remove() {
                    Happening::Fact(event) => events.push(event),
                    other => self.happen(&mut cluster, other, now, &mut events),
                }
            }
            if events.is_empty() {
                break;
            }
            cluster.deliver(events, now, self.record);
        }
        self.put_back(cluster);
    }

    /// The cluster goes on, and the run knows when.
    pub(super) fn put_back(&mut self, mut cluster: Box<Cluster<'model>>) {
        for at in cluster.due.drain(..) {
            self.plan(at, Control::Cluster);
        }
        self.cluster = Some(cluster);
    }
}
