//! All that the scheduler knows: records that are stored, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use policy::config::Policy;
use policy::repair::{self, Verdict};
use policy::{Time, repair::Observation};
use serde::{Deserialize, Serialize};

use crate::app::{App, Need};
use crate::command::{Command, Key, Record, Write};
use crate::ids::{AppName, Epoch, InstanceId, MachineName, WriteNumber};
use crate::instance::{Instance, Life};
use crate::machine::Machine;

/// Version of the format of records.
pub const RECORD_VERSION: u32 = 1;

/// What isn't of one app or machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Version of the format of all records.
    pub version: u32,
    /// The term that wrote it.
    pub epoch: Epoch,
    /// Instances there were: numbers are never used again, whatever becomes of their app.
    pub instances_made: u64,
    /// What the freeze remembers.
    pub repair: repair::State,
}

/// All that the scheduler knows.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) policy: Policy,
    pub(crate) digest: String,
    pub(crate) cluster: Cluster,
    pub(crate) apps: BTreeMap<AppName, App>,
    pub(crate) machines: BTreeMap<MachineName, Machine>,
    /// Whether this scheduler leads.
    pub(crate) is_leading: bool,
    pub(crate) freeze: Verdict,
    pub(crate) outbox: Outbox,
}

/// What waits for the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    /// Records that differ from what is stored or on its way there.
    pub(crate) dirty: BTreeSet<Key>,
    /// What was decided by them.
    pub(crate) waiting: Vec<Command>,
    pub(crate) in_flight: Option<InFlight>,
    last_number: WriteNumber,
    /// A write failed: the next one waits for a tick, so that a broken store isn't hammered.
    pub(crate) is_paused: bool,
}

/// The write on its way.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) number: WriteNumber,
    pub(crate) since: Time,
    keys: BTreeSet<Key>,
    held: Vec<Command>,
}

impl Outbox {
    /// Keeps only these commands.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Command) -> bool) {
        self.waiting.retain(&wanted);
        if let Some(write) = &mut self.in_flight {
            write.held.retain(&wanted);
        }
    }
}

/// Why stored records are no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// They were written by another program.
    #[error(
        "the records have format {0}, this program knows {RECORD_VERSION}; use the program that wrote them"
    )]
    Version(u32),
    /// A record has the name of another kind.
    #[error("the record {0:?} is of another kind than its name")]
    Kind(Key),
    /// An instance has no app.
    #[error("the app of instance {0} is missing")]
    NoApp(InstanceId),
}

impl State {
    /// Nothing yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        State {
            policy,
            digest: policy.digest(),
            cluster: Cluster {
                version: RECORD_VERSION,
                epoch: Epoch(0),
                instances_made: 0,
                repair: repair::State::default(),
            },
            apps: BTreeMap::new(),
            machines: BTreeMap::new(),
            is_leading: false,
            freeze: Verdict::Go,
            outbox: Outbox::default(),
        }
    }

    /// What the records say. It does nothing before it leads.
    ///
    /// # Errors
    /// Records that don't fit together, or of an unknown format.
    pub fn restore(
        policy: Policy,
        records: impl IntoIterator<Item = (Key, Record)>,
    ) -> Result<Self, RestoreError> {
        let mut state = State::new(policy);
        let mut instances = Vec::new();
        for (key, record) in records {
            match (key, record) {
                (Key::Cluster, Record::Cluster(cluster)) if cluster.version == RECORD_VERSION => {
                    state.cluster = cluster;
                }
                (Key::Cluster, Record::Cluster(cluster)) => {
                    return Err(RestoreError::Version(cluster.version));
                }
                (Key::Machine(name), Record::Machine(machine)) => {
                    state.machines.insert(name, machine);
                }
                (Key::App(name), Record::App(app)) => {
                    state.apps.insert(name, *app);
                }
                (Key::Instance(id), Record::Instance(instance)) => instances.push((id, *instance)),
                (key, _) => return Err(RestoreError::Kind(key)),
            }
        }
        for (id, instance) in instances {
            let Some(app) = state.apps.get_mut(&id.app) else {
                return Err(RestoreError::NoApp(id));
            };
            app.instances.insert(id.number, instance);
        }
        state.derive();
        Ok(state)
    }

    /// All records, by name.
    #[must_use]
    pub fn records(&self) -> BTreeMap<Key, Record> {
        let mut keys = BTreeSet::from([Key::Cluster]);
        keys.extend(self.machines.keys().cloned().map(Key::Machine));
        for (name, app) in &self.apps {
            keys.insert(Key::App(name.clone()));
            let id = |number: &u64| InstanceId { app: name.clone(), number: *number };
            keys.extend(app.instances.keys().map(|number| Key::Instance(id(number))));
        }
        keys.into_iter().filter_map(|key| self.record(&key).map(|record| (key, record))).collect()
    }

    /// The policy that decides.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Another policy from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.digest = policy.digest();
    }

    /// Its apps by name.
    #[must_use]
    pub const fn apps(&self) -> &BTreeMap<AppName, App> {
        &self.apps
    }

    /// Its machines by name.
    #[must_use]
    pub const fn machines(&self) -> &BTreeMap<MachineName, Machine> {
        &self.machines
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.apps.get(&id.app)?.instances.get(&id.number)
    }

    /// Whether this scheduler leads.
    #[must_use]
    pub const fn is_leading(&self) -> bool {
        self.is_leading
    }

    /// Whether repair goes on.
    #[must_use]
    pub const fn freeze(&self) -> Verdict {
        self.freeze
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.freeze != Verdict::Go
    }

    pub(crate) fn silence(&self) -> Observation {
        let count = |wanted: fn(&Machine) -> bool| {
            let found = self.machines.values().filter(|machine| wanted(machine)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        Observation {
            machines: count(|_| true),
            silent: count(|machine| machine.silent_since.is_some()),
        }
    }

    /// What an instance takes of its machine.
    pub(crate) fn need(&self, id: &InstanceId) -> Need {
        let app = self.apps.get(&id.app);
        let version = app.and_then(|app| app.instances.get(&id.number)).map(|one| one.version);
        version
            .and_then(|version| app?.versions.get(&version))
            .map_or_else(Need::default, |specification| specification.need)
    }

    fn derive(&mut self) {
        let mut taken = Vec::new();
        for (name, app) in &self.apps {
            for (number, instance) in &app.instances {
                if let Some(machine) = &instance.machine {
                    let id = InstanceId { app: name.clone(), number: *number };
                    let need = self.need(&id);
                    let holds = instance.life.holds_resources();
                    taken.push((machine.clone(), id, need, instance.ports.clone(), holds));
                }
            }
        }
        for (machine, id, need, ports, holds) in taken {
            let Some(machine) = self.machines.get_mut(&machine) else { continue };
            if holds {
                machine.take(id, need, &ports);
            } else {
                machine.instances.insert(id);
            }
        }
    }

    fn record(&self, key: &Key) -> Option<Record> {
        match key {
            Key::Cluster => Some(Record::Cluster(self.cluster)),
            Key::Machine(name) => self.machines.get(name).cloned().map(Record::Machine),
            Key::App(name) => Some(Record::App(Box::new(self.apps.get(name)?.without_instances()))),
            Key::Instance(id) => Some(Record::Instance(Box::new(self.instance(id)?.clone()))),
        }
    }

    /// Sends off what waits, if the store is free.
    pub(crate) fn post(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.outbox.in_flight.is_some() || self.outbox.is_paused || !self.is_leading {
            return;
        }
        if self.outbox.dirty.is_empty() {
            out.append(&mut self.outbox.waiting);
            return;
        }
        let keys = mem::take(&mut self.outbox.dirty);
        let changes = keys.iter().map(|key| (key.clone(), self.record(key))).collect();
        let number = WriteNumber(self.outbox.last_number.0 + 1);
        self.outbox.last_number = number;
        let held = mem::take(&mut self.outbox.waiting);
        self.outbox.in_flight = Some(InFlight { number, since: now, keys, held });
        out.push(Command::Persist(Write { number, epoch: self.cluster.epoch, changes }));
    }

    /// A write is durable: what it held leaves.
    pub(crate) fn durable(&mut self, number: WriteNumber, now: Time, out: &mut Vec<Command>) {
        if self.outbox.in_flight.as_ref().is_none_or(|write| write.number != number) {
            return;
        }
        let held = self.outbox.in_flight.take().map_or_else(Vec::new, |write| write.held);
        for command in held {
            if let Command::Launch(launch) = &command
                && let Some(instance) = self.instance_mut(&launch.instance)
                && instance.life == Life::Intended
            {
                instance.enter(Life::Launching, now);
                instance.sent = Some(now);
            }
            out.push(command);
        }
    }

    /// A write isn't durable: all of it waits again.
    pub(crate) fn not_durable(&mut self, number: WriteNumber) {
        if self.outbox.in_flight.as_ref().is_none_or(|write| write.number != number) {
            return;
        }
        let Some(mut write) = self.outbox.in_flight.take() else { return };
        self.outbox.dirty.append(&mut write.keys);
        write.held.append(&mut self.outbox.waiting);
        self.outbox.waiting = write.held;
        self.outbox.is_paused = true;
    }

    pub(crate) fn instance_mut(&mut self, id: &InstanceId) -> Option<&mut Instance> {
        self.apps.get_mut(&id.app)?.instances.get_mut(&id.number)
    }
}
