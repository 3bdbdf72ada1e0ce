//! All that the scheduler knows: records that are stored, and what follows from them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::ops::Bound::{Excluded, Included, Unbounded};

use policy::Time;
use policy::config::Policy;
use policy::repair::{self, Observation, Verdict};
use policy::spread::{Room, Spread};
use serde::{Deserialize, Serialize};

use crate::app::{App, Need};
use crate::command::{Command, Key, Record, Write};
use crate::ids::{AppName, Epoch, InstanceId, MachineName, WriteNumber};
use crate::instance::{Instance, Life};
use crate::machine::Machine;
use crate::planning::Planning;
use crate::volume::{Volume, VolumeId, Volumes};

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
    /// Where instances are, for placement; derived.
    pub(crate) spread: Spread,
    /// Names of machines by their number in it.
    pub(crate) slots: Vec<MachineName>,
    apps_slotted: u32,
    /// Apps with instances that wait for a machine, as of the last look at each; derived.
    pub(crate) waiting: BTreeSet<AppName>,
    /// Silent machines; derived.
    pub(crate) silent: BTreeSet<MachineName>,
    /// Calls that are being planned; not stored.
    pub(crate) planning: VecDeque<Planning>,
    pub(crate) volumes: Volumes,
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
            spread: Spread::new(),
            slots: Vec::new(),
            apps_slotted: 0,
            waiting: BTreeSet::new(),
            silent: BTreeSet::new(),
            planning: VecDeque::new(),
            volumes: Volumes::default(),
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
                    state.insert_machine(name, machine);
                }
                (Key::App(name), Record::App(app)) => state.insert_app(name, *app),
                (Key::Instance(id), Record::Instance(instance)) => instances.push((id, instance)),
                (Key::Volume(id), Record::Volume(volume)) => state.volumes.insert(&id, volume),
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
        self.with_records(self.keys_after(None)).collect()
    }

    /// The records after a name in the order of names, at most so many.
    #[must_use]
    pub fn records_after(&self, after: Option<&Key>, most: usize) -> Vec<(Key, Record)> {
        self.with_records(self.keys_after(after)).take(most).collect()
    }

    /// The write that makes durable whatever of all records isn't yet, be it on its way to the store or
    /// waiting for it. If it fails, the next one has it.
    #[must_use]
    pub fn awaited_write(&self) -> WriteNumber {
        let is_waiting = !self.outbox.dirty.is_empty();
        WriteNumber(self.outbox.last_number.0 + u64::from(is_waiting))
    }

    fn with_records(&self, keys: impl Iterator<Item = Key>) -> impl Iterator<Item = (Key, Record)> {
        keys.filter_map(|key| self.record(&key).map(|record| (key, record)))
    }

    /// Names of records after one of them, in their order.
    fn keys_after<'a>(&'a self, after: Option<&'a Key>) -> impl Iterator<Item = Key> + 'a {
        let (mut machine, mut app, mut of_app, mut instance) =
            (Unbounded, Unbounded, Unbounded, None);
        match after {
            Some(Key::Machine(name)) => machine = Excluded(name),
            Some(Key::App(name)) => app = Excluded(name),
            Some(Key::Instance(id)) => (of_app, instance) = (Included(&id.app), Some(id)),
            None | Some(Key::Cluster | Key::Volume(_)) => {}
        }
        // Names of a kind that comes before are passed over, without being looked at.
        let kind = |key: &Key| match key {
            Key::Cluster => 0,
            Key::Machine(_) => 1,
            Key::App(_) => 2,
            Key::Instance(_) => 3,
            Key::Volume(_) => 4,
        };
        let first = after.map_or(0, kind);
        let cluster = after.is_none().then_some(Key::Cluster);
        let machines = (first <= 1).then(|| self.machines.range((machine, Unbounded)));
        let apps = (first <= 2).then(|| self.apps.range((app, Unbounded)));
        let instances = (first <= 3).then(|| self.apps.range((of_app, Unbounded)));
        let instances = instances.into_iter().flatten().flat_map(move |(name, app)| {
            let same = instance.filter(|id| id.app == *name);
            let from = same.map_or(Unbounded, |id| Excluded(id.number));
            let numbers = app.instances.range((from, Unbounded)).map(|(number, _)| *number);
            numbers.map(|number| Key::Instance(InstanceId { app: name.clone(), number }))
        });
        let volumes = self.volumes.iter().map(|(id, _)| Key::Volume(id));
        cluster
            .into_iter()
            .chain(machines.into_iter().flatten().map(|(name, _)| Key::Machine(name.clone())))
            .chain(apps.into_iter().flatten().map(|(name, _)| Key::App(name.clone())))
            .chain(instances)
            .chain(volumes.filter(move |key| after.is_none_or(|after| key > after)))
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
        self.apps.get(&id.app)?.instances.get(&id.number).map(Box::as_ref)
    }

    /// Whether instances wait for a machine.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether this scheduler leads.
    #[must_use]
    pub const fn is_leading(&self) -> bool {
        self.is_leading
    }

    /// The term of its newest leader.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.cluster.epoch
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
        let count = |found: usize| u32::try_from(found).unwrap_or(u32::MAX);
        Observation { machines: count(self.machines.len()), silent: count(self.silent.len()) }
    }

    /// What an instance takes of its machine.
    pub(crate) fn need(&self, id: &InstanceId) -> Need {
        let app = self.apps.get(&id.app);
        let version = app.and_then(|app| app.instances.get(&id.number)).map(|one| one.version);
        version
            .and_then(|version| app?.versions.get(&version))
            .map_or_else(Need::default, |specification| specification.need)
    }

    pub(crate) fn insert_app(&mut self, name: AppName, mut app: App) {
        app.slot = self.apps_slotted;
        self.apps_slotted = self.apps_slotted.saturating_add(1);
        self.apps.insert(name, app);
    }

    pub(crate) fn insert_machine(&mut self, name: MachineName, mut machine: Machine) {
        // More machines than that have never been in one room.
        machine.slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        machine.description = machine.description.tidied();
        machine.held = self.volumes.held(&name);
        self.slots.push(name.clone());
        if machine.silent_since.is_some() {
            self.silent.insert(name.clone());
        }
        self.machines.insert(name.clone(), machine);
        self.index_machine(&name);
    }

    /// What is held on a machine for instances that are away has changed.
    pub(crate) fn hold(&mut self, name: &MachineName) {
        let held = self.volumes.held(name);
        if let Some(machine) = self.machines.get_mut(name)
            && machine.held != held
        {
            machine.held = held;
            self.index_machine(name);
        }
    }

    /// What a machine has free has changed, or whether it takes instances.
    pub(crate) fn index_machine(&mut self, name: &MachineName) {
        if let Some(machine) = self.machines.get(name) {
            self.spread.set_machine(machine.slot, machine.room());
        }
    }

    /// An instance begins or ceases to count as one of its app on its machine.
    pub(crate) fn index_instance(&mut self, id: &InstanceId, is_there: bool) {
        let Some(app) = self.apps.get(&id.app) else { return };
        let machine = app.instances.get(&id.number).and_then(|one| one.machine.as_ref());
        let Some(machine) = machine.and_then(|name| self.machines.get(name)) else { return };
        let count = self.spread.count(app.slot, machine.slot);
        let count = if is_there { count.saturating_add(1) } else { count.saturating_sub(1) };
        self.spread.set_count(app.slot, machine.slot, count);
    }

    /// Instances of an app on a machine, apart from those on their way out.
    #[must_use]
    pub fn count_on(&self, app: &App, machine: &MachineName) -> u32 {
        let slot = self.machines.get(machine).map(|machine| machine.slot);
        slot.map_or(0, |slot| self.spread.count(app.slot, slot))
    }

    /// What placement may use of a machine: nothing while it is silent or drained.
    #[must_use]
    pub fn room_on(&self, machine: &MachineName) -> Option<Room> {
        self.spread.free(self.machines.get(machine)?.slot)
    }

    fn derive(&mut self) {
        self.derive_held();
        let mut taken = Vec::new();
        for (name, app) in &self.apps {
            for (number, instance) in &app.instances {
                if let Some(machine) = &instance.machine {
                    let id = InstanceId { app: name.clone(), number: *number };
                    let need = self.need(&id);
                    taken.push((machine.clone(), id, need, instance.ports.clone(), instance.life));
                }
            }
        }
        for (name, id, need, ports, life) in taken {
            if life.is_spread() {
                self.index_instance(&id, true);
            }
            let Some(machine) = self.machines.get_mut(&name) else { continue };
            if life.holds_resources() {
                machine.take(id, need, &ports);
            } else {
                machine.instances.insert(id);
            }
            self.index_machine(&name);
        }
    }

    /// Whose instances are away follows from these, and what is held for them.
    fn derive_held(&mut self) {
        let away: Vec<VolumeId> = self
            .volumes
            .iter()
            .filter(|(id, volume)| {
                let user = volume.user.map(|number| InstanceId { app: id.0.app.clone(), number });
                let user = user.and_then(|user| self.instance(&user));
                user.is_none_or(|user| !user.life.holds_resources())
            })
            .map(|(id, _)| id)
            .collect();
        for id in away {
            if let Some(volume) = self.volumes.get(&id).cloned() {
                let machine = volume.machine.clone();
                self.volumes.insert(&id, Volume { is_away: true, ..volume });
                self.hold(&machine);
            }
        }
    }

    fn record(&self, key: &Key) -> Option<Record> {
        match key {
            Key::Cluster => Some(Record::Cluster(self.cluster)),
            Key::Machine(name) => self.machines.get(name).cloned().map(Record::Machine),
            Key::App(name) => Some(Record::App(Box::new(self.apps.get(name)?.without_instances()))),
            Key::Instance(id) => Some(Record::Instance(Box::new(self.instance(id)?.clone()))),
            Key::Volume(id) => self.volumes.get(id).cloned().map(Record::Volume),
        }
    }

    /// What waits for the write that is on its way, and leaves when that is durable.
    #[must_use]
    pub fn held(&self) -> &[Command] {
        self.outbox.in_flight.as_ref().map_or(&[], |write| write.held.as_slice())
    }

    /// Sends off what waits, if the store is free.
    pub(crate) fn post(&mut self, now: Time, out: &mut Vec<Command>) {
        if self.outbox.in_flight.is_some() || self.outbox.is_paused || !self.is_leading {
            return;
        }
        if self.outbox.dirty.is_empty() {
            // After a burst there would be room for all of it for ever.
            out.append(&mut mem::take(&mut self.outbox.waiting));
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
        self.apps.get_mut(&id.app)?.instances.get_mut(&id.number).map(Box::as_mut)
    }
}
