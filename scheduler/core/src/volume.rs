//! Volumes: what instances keep beyond their end. An instance of an app with volumes owns a set of
//! them on its machine, and has to be there. When it has ended, the next instance takes the set, on
//! the same machine. What has to hold:
//!
//! - No two instances have a volume at once: it is free only when its user is known to have ended.
//! - A volume is destroyed only if a user said so (scaled in, took away, deleted, without keeping
//!   volumes), or if nothing can ever have run with it. In all other cases it is kept, and listed.
//! - A new set is made only for an instance for which there is no free one of the same parts.
//!
//! A set has the number of the instance for which it was made: it is never used again either.
//!
//! With its disk a set has cores, memory and ports of its machine, as its instance needs them: while
//! that is away they are nobody else's, so that the next one can start where its data is. A set that no
//! instance is to have keeps its disk alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use policy::Time;
use serde::{Deserialize, Serialize};

use crate::app::{App, Need, ScaledBy, Specification};
use crate::command::{Command, Key};
use crate::event::{Accepted, Refusal, VolumeFact};
use crate::ids::{AppName, InstanceId, MachineName, NameError};
use crate::instance::{End, Exit, Instance, Leaving, Life};
use crate::ports::Ports;
use crate::state::State;
use crate::timers::AGAIN_AFTER;
use crate::turn::Turn;

/// The most volumes of an app: each is a reservation in Mesos. More is a slip.
pub const VOLUMES_MOST: usize = 10;

/// The longest path of a volume.
const PATH_MOST_BYTES: usize = 1_000;

/// What is kept of a machine for an instance with volumes while it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reserves {
    /// All that it needs.
    #[default]
    All,
    /// The disk of its volumes.
    Disk,
}

impl Reserves {
    pub(crate) fn is_default(&self) -> bool {
        *self == Reserves::default()
    }
}

/// What a set has of its machine beside disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    /// Thousandths of cores.
    pub millicores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Ports: those of the instance that was started last.
    #[serde(default, skip_serializing_if = "<[u16]>::is_empty")]
    pub ports: Ports,
}

impl Reserved {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.millicores == 0 && self.memory_mib == 0 && self.ports.is_empty()
    }

    fn with(&self, other: &Reserved) -> Reserved {
        Reserved {
            millicores: self.millicores.saturating_add(other.millicores),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            ports: self.ports.iter().chain(other.ports.iter()).copied().collect(),
        }
    }

    /// Without the other, as far as it is there.
    #[must_use]
    pub fn without(&self, other: &Reserved) -> Reserved {
        let ports = self.ports.iter().filter(|port| !other.ports.contains(port));
        Reserved {
            millicores: self.millicores.saturating_sub(other.millicores),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            ports: ports.copied().collect(),
        }
    }
}

/// Where a volume is found, and how large it is: as the specification says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Its name: as that of an app.
    pub name: AppName,
    /// Where it is inside the container, or in the working folder of a program without one.
    pub path: String,
    /// Its size in MiB.
    pub size_mib: u32,
}

/// A volume of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name.
    pub name: AppName,
    /// Its size in MiB.
    pub size_mib: u32,
}

/// The name of a set of volumes: that of the instance for which it was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeId(pub InstanceId);

impl FromStr for VolumeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(VolumeId)
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is.
    pub machine: MachineName,
    /// What it has, by name.
    pub parts: Vec<Part>,
    /// The number of the instance that has it.
    pub user: Option<u64>,
    /// What may be in it.
    pub content: Content,
    /// What it has of its machine beside disk.
    #[serde(default, skip_serializing_if = "Reserved::is_nothing")]
    pub reserved: Reserved,
    /// Whether no instance with it holds resources; derived.
    #[serde(skip)]
    pub(crate) is_away: bool,
    /// Whether it is being destroyed.
    pub is_ending: bool,
    /// Since when it is so.
    pub since: Time,
    /// When its end was last asked for.
    #[serde(skip)]
    pub sent: Option<Time>,
}

/// What may be in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Nothing: no launch with it has left, or none came to anything.
    Nothing,
    /// That isn't known, nor whether it was ever made: a launch left, and facts get lost.
    Unknown,
    /// An instance ran with it: it is there, with something in it.
    Used,
}

/// The set that an instance is started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnVolume {
    /// Its name.
    pub id: VolumeId,
    /// What it has.
    pub parts: Vec<Part>,
    /// Whether it may have to be made. If not, it must be there: an empty one in its place would be
    /// a loss that nobody sees.
    pub is_new: bool,
    /// What it has of its machine beside disk, from this start on.
    #[serde(default, skip_serializing_if = "Reserved::is_nothing")]
    pub reserved: Reserved,
}

impl Volume {
    /// The sum of its sizes in MiB.
    #[must_use]
    pub fn size_mib(&self) -> u64 {
        sum_mib(self.parts.iter().map(|part| part.size_mib))
    }

    const fn is_free(&self) -> bool {
        self.user.is_none() && !self.is_ending
    }

    /// What nobody else may have of its machine, because its instance is away.
    #[must_use]
    pub fn held(&self) -> Reserved {
        if self.is_away && !self.is_ending { self.reserved.clone() } else { Reserved::default() }
    }
}

fn sum_mib(sizes: impl Iterator<Item = u32>) -> u64 {
    sizes.map(u64::from).sum()
}

impl Specification {
    /// What a set of its volumes has, by name.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let part = |one: &Mount| Part { name: one.name.clone(), size_mib: one.size_mib };
        let mut parts: Vec<Part> = self.volumes.iter().map(part).collect();
        parts.sort();
        parts
    }

    /// What a set of its volumes has of its machine beside disk, for an instance with these ports.
    #[must_use]
    pub fn reserved(&self, ports: &Ports) -> Reserved {
        if self.volumes.is_empty() || self.reserves == Reserves::Disk {
            return Reserved::default();
        }
        let Need { millicores, memory_mib, ports: _ } = self.need;
        Reserved { millicores, memory_mib, ports: ports.clone() }
    }

    /// The sum of the sizes of its volumes in MiB.
    #[must_use]
    pub fn volumes_mib(&self) -> u64 {
        sum_mib(self.volumes.iter().map(|one| one.size_mib))
    }
}

/// The sets of volumes of all apps, those of apps that are gone included.
#[derive(Debug, Clone, Default)]
pub struct Volumes {
    apps: BTreeMap<AppName, OfApp>,
    /// What is taken on each machine, in MiB; derived.
    taken_mib: BTreeMap<MachineName, u64>,
    /// What is held on each machine for instances that are away; derived.
    held: BTreeMap<MachineName, Reserved>,
}

#[derive(Debug, Clone, Default)]
struct OfApp {
    all: BTreeMap<u64, Volume>,
    /// Which set an instance has; derived.
    users: BTreeMap<u64, u64>,
}

impl Volumes {
    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (VolumeId, &Volume)> {
        self.apps.iter().flat_map(|(name, app)| {
            app.all.iter().map(|(number, volume)| (id_of(name, *number), volume))
        })
    }

    /// A set by its name.
    #[must_use]
    pub fn get(&self, id: &VolumeId) -> Option<&Volume> {
        self.apps.get(&id.0.app)?.all.get(&id.0.number)
    }

    /// The set that an instance has.
    #[must_use]
    pub fn of(&self, instance: &InstanceId) -> Option<(VolumeId, &Volume)> {
        let app = self.apps.get(&instance.app)?;
        let number = app.users.get(&instance.number)?;
        Some((id_of(&instance.app, *number), app.all.get(number)?))
    }

    /// What all sets on a machine take, in MiB.
    #[must_use]
    pub fn taken_mib(&self, machine: &MachineName) -> u64 {
        self.taken_mib.get(machine).copied().unwrap_or(0)
    }

    /// What is held on a machine for instances that are away.
    #[must_use]
    pub fn held(&self, machine: &MachineName) -> Reserved {
        self.held.get(machine).cloned().unwrap_or_default()
    }

    /// Sets of an app that aren't being destroyed.
    fn living<'a>(&'a self, app: &AppName) -> impl Iterator<Item = (u64, &'a Volume)> + use<'a> {
        let all = self.apps.get(app).into_iter().flat_map(|app| &app.all);
        all.filter(|(_, volume)| !volume.is_ending).map(|(number, volume)| (*number, volume))
    }

    pub(crate) fn insert(&mut self, id: &VolumeId, volume: Volume) {
        self.remove(id);
        *self.taken_mib.entry(volume.machine.clone()).or_default() += volume.size_mib();
        let held = volume.held();
        if !held.is_nothing() {
            let all = self.held.entry(volume.machine.clone()).or_default();
            *all = all.with(&held);
        }
        let app = self.apps.entry(id.0.app.clone()).or_default();
        if let Some(user) = volume.user {
            app.users.insert(user, id.0.number);
        }
        app.all.insert(id.0.number, volume);
    }

    fn remove(&mut self, id: &VolumeId) {
        let Some(app) = self.apps.get_mut(&id.0.app) else { return };
        let Some(volume) = app.all.remove(&id.0.number) else { return };
        if let Some(user) = volume.user {
            app.users.remove(&user);
        }
        if app.all.is_empty() {
            self.apps.remove(&id.0.app);
        }
        if let Some(taken) = self.taken_mib.get_mut(&volume.machine) {
            *taken = taken.saturating_sub(volume.size_mib());
        }
        self.taken_mib.retain(|_, taken| *taken > 0);
        if let Some(held) = self.held.get_mut(&volume.machine) {
            *held = held.without(&volume.held());
        }
        self.held.retain(|_, held| !held.is_nothing());
    }
}

fn id_of(app: &AppName, number: u64) -> VolumeId {
    VolumeId(InstanceId { app: app.clone(), number })
}

/// Why volumes can't be so.
pub(crate) fn check(specification: &Specification) -> Result<(), Refusal> {
    let mounts = &specification.volumes;
    if mounts.len() > VOLUMES_MOST {
        return Err(Refusal::TooLong { most: VOLUMES_MOST });
    }
    for (place, mount) in mounts.iter().enumerate() {
        let is_again = |one: &Mount| one.name == mount.name || one.path == mount.path;
        let is_double = mounts.iter().take(place).any(is_again);
        if is_double || mount.size_mib == 0 || !is_path(&mount.path) {
            return Err(Refusal::Volume(mount.name.to_string()));
        }
    }
    Ok(())
}

/// Whether a text is an absolute path of named folders, none of which leads up.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let is_name = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_graphic() && !b",:\\".contains(&byte))
    };
    text.len() <= PATH_MOST_BYTES
        && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_name))
}

impl State {
    /// Volumes of all apps.
    #[must_use]
    pub const fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Whether an instance has volumes, so that it stays where it is.
    pub(crate) fn has_volume(&self, app: &AppName, number: u64) -> bool {
        self.volumes.apps.get(app).is_some_and(|app| app.users.contains_key(&number))
    }

    /// Whether instances on a machine have volumes.
    pub(crate) fn has_volume_users(&self, machine: &MachineName) -> bool {
        let there = self.machines.get(machine);
        there.is_some_and(|there| {
            there.instances.iter().any(|id| self.has_volume(&id.app, id.number))
        })
    }

    /// Volumes of an app that there are must be as its specification says: a new set in the place of
    /// another would be a loss.
    pub(crate) fn check_volumes(
        &self,
        name: &AppName,
        specification: &Specification,
    ) -> Result<(), Refusal> {
        let parts = specification.parts();
        let is_other = |(_, volume): (u64, &Volume)| volume.parts != parts;
        if !parts.is_empty() && self.volumes.living(name).any(is_other) {
            return Err(Refusal::VolumesChanged(name.clone()));
        }
        Ok(())
    }

    /// A free set for an instance: on the machine that a user named, or on one that nobody named;
    /// rather on a machine that takes instances.
    fn free_volume(&self, id: &InstanceId) -> Option<VolumeId> {
        let app = self.apps.get(&id.app)?;
        let instance = app.instances.get(&id.number)?;
        let specification = app.versions.get(&instance.version)?;
        if specification.volumes.is_empty() {
            return None;
        }
        let parts = specification.parts();
        let named = instance.named.as_ref();
        let fits = |volume: &Volume| {
            volume.is_free()
                && volume.parts == parts
                && named.is_none_or(|name| *name == volume.machine)
        };
        let free = self.volumes.living(&id.app).filter(|(_, volume)| fits(volume));
        let best = free.min_by_key(|(number, volume)| {
            let is_named = app.named.contains_key(&volume.machine);
            let there = self.machines.get(&volume.machine);
            let is_open = there.is_some_and(crate::machine::Machine::is_open);
            (is_named, !is_open, volume.reserved.is_nothing(), *number)
        });
        best.map(|(number, _)| id_of(&id.app, number))
    }
}

/// Whether an instance certainly never ran. Of others that may be unknown: facts get lost.
const fn never_ran(instance: &Instance, end: &End) -> bool {
    matches!(instance.life, Life::Waiting | Life::Intended)
        || matches!(end, End::Exited(Exit::NotStarted(_)))
}

/// Whether what an instance leaves is destroyed: a user wanted fewer and didn't say to keep it.
fn is_last(app: &App, instance: &Instance, end: &End) -> bool {
    let is_fewer = app.is_deleted
        || instance.leaving == Some(Leaving::Removed)
        || (*end == End::ScaledIn && app.scaled.is_some_and(|one| one.why == ScaledBy::User));
    is_fewer && !app.keeps_volumes
}

impl Turn<'_> {
    fn set_volume(&mut self, id: &VolumeId, volume: Option<Volume>) {
        let machine = volume.as_ref().or_else(|| self.state.volumes.get(id));
        let machine = machine.map(|volume| volume.machine.clone());
        match volume {
            Some(volume) => self.state.volumes.insert(id, volume),
            None => self.state.volumes.remove(id),
        }
        if let Some(machine) = machine {
            self.state.hold(&machine);
        }
        self.dirty(Key::Volume(id.clone()));
    }

    /// An instance that waits takes a free set, if it needs one and has none.
    pub(crate) fn take_volume(&mut self, instance: &InstanceId) {
        if self.state.has_volume(&instance.app, instance.number) {
            return;
        }
        let Some(id) = self.state.free_volume(instance) else { return };
        let Some(mut volume) = self.state.volumes.get(&id).cloned() else { return };
        volume.user = Some(instance.number);
        volume.since = self.now;
        self.set_volume(&id, Some(volume));
    }

    /// The set that an instance is started with, if its app has volumes; a new one, if it has none.
    pub(crate) fn own_volume(
        &mut self,
        instance: &InstanceId,
        machine: &MachineName,
        specification: &Specification,
        ports: &Ports,
    ) -> Option<OwnVolume> {
        if specification.volumes.is_empty() {
            return None;
        }
        let reserved = specification.reserved(ports);
        if let Some((id, volume)) = self.state.volumes.of(instance) {
            let volume = Volume { reserved: reserved.clone(), is_away: false, ..volume.clone() };
            let (parts, is_new) = (volume.parts.clone(), volume.content != Content::Used);
            self.set_volume(&id, Some(volume));
            return Some(OwnVolume { id, parts, is_new, reserved });
        }
        let (id, parts) = (VolumeId(instance.clone()), specification.parts());
        let volume = Volume {
            machine: machine.clone(),
            parts: parts.clone(),
            user: Some(instance.number),
            content: Content::Nothing,
            reserved: reserved.clone(),
            is_away: false,
            is_ending: false,
            since: self.now,
            sent: None,
        };
        self.set_volume(&id, Some(volume));
        Some(OwnVolume { id, parts, is_new: true, reserved })
    }

    /// The process of an instance runs: something may be in its volumes from now on.
    pub(crate) fn use_volume(&mut self, instance: &InstanceId) {
        let own =
            self.state.volumes.of(instance).filter(|(_, volume)| volume.content != Content::Used);
        if let Some((id, volume)) = own {
            let volume = Volume { content: Content::Used, ..volume.clone() };
            self.set_volume(&id, Some(volume));
        }
    }

    /// The launch of an instance got nowhere: a set that was to be made with it isn't there, and the
    /// next instance isn't bound to the machine by it. What an earlier launch may have made is kept.
    pub(crate) fn unmake_volume(&mut self, instance: &InstanceId) {
        let is_sent = |one: &Instance| !matches!(one.life, Life::Waiting | Life::Intended);
        let is_sent = self.state.instance(instance).is_some_and(is_sent);
        let own = self.state.volumes.of(instance);
        let new = own.filter(|(_, own)| is_sent && own.content == Content::Nothing);
        let Some((id, volume)) = new else { return };
        let volume = Volume { user: None, is_ending: true, since: self.now, ..volume.clone() };
        self.set_volume(&id, Some(volume));
        self.destroy_volume(&id);
    }

    /// An instance has ended: the next one can have its volumes, or they end, too.
    pub(crate) fn free_volume(&mut self, instance: &InstanceId, end: &End) {
        let Some((id, volume)) = self.state.volumes.of(instance) else { return };
        let Some(app) = self.state.apps.get(&instance.app) else { return };
        let Some(user) = app.instances.get(&instance.number) else { return };
        let content = match volume.content {
            Content::Nothing if !never_ran(user, end) => Content::Unknown,
            known => known,
        };
        let is_ending = is_last(app, user, end) || content == Content::Nothing;
        let since = self.now;
        let volume =
            Volume { user: None, content, is_away: true, is_ending, since, ..volume.clone() };
        self.set_volume(&id, Some(volume));
        if is_ending {
            self.destroy_volume(&id);
        }
    }

    /// Cores, memory and ports are kept for instances that are to come back: sets of an app that nobody is to
    /// have any more keep their disk alone. Those that would be taken last give theirs back first.
    pub(crate) fn give_back_reserved(&mut self, name: &AppName) {
        let Some(sets) = self.state.volumes.apps.get(name) else { return };
        let app = self.state.apps.get(name).filter(|app| !app.is_deleted);
        let wants_some =
            app.and_then(App::specification).is_some_and(|one| !one.volumes.is_empty());
        let wanted = app.filter(|_| wants_some).map_or(0, |app| app.wanted);
        let stays = |number: &&u64| {
            let instance = app.and_then(|app| app.instances.get(*number));
            instance.is_some_and(|one| one.end.is_none() && !one.life.is_stopping())
        };
        let staying = u32::try_from(sets.users.keys().filter(stays).count()).unwrap_or(u32::MAX);
        let missing = usize::try_from(wanted.saturating_sub(staying)).unwrap_or(usize::MAX);
        let held = |volume: &Volume| volume.is_free() && !volume.reserved.is_nothing();
        let mut free: Vec<(bool, u64)> = sets
            .all
            .iter()
            .filter(|(_, volume)| held(volume))
            .map(|(number, volume)| {
                let there = self.state.machines.get(&volume.machine);
                (!there.is_some_and(crate::machine::Machine::is_open), *number)
            })
            .collect();
        free.sort_unstable();
        for (_, number) in free.into_iter().skip(missing) {
            let id = id_of(name, number);
            let Some(volume) = self.state.volumes.get(&id).cloned() else { continue };
            let (machine, epoch) = (volume.machine.clone(), self.epoch());
            let reserved = Reserved::default();
            self.set_volume(&id, Some(Volume { reserved: reserved.clone(), ..volume }));
            self.commands.push(Command::Reserve { volume: id, machine, reserved, epoch });
        }
    }

    /// Asks for the end of a set.
    fn destroy_volume(&mut self, id: &VolumeId) {
        let (now, epoch) = (self.now, self.epoch());
        let Some(volume) = self.state.volumes.get(id) else { return };
        let there = self.state.machines.get(&volume.machine);
        if there.is_none_or(|machine| machine.silent_since.is_some()) {
            return;
        }
        let volume = Volume { sent: Some(now), ..volume.clone() };
        let (machine, parts) = (volume.machine.clone(), volume.parts.clone());
        self.state.volumes.insert(id, volume);
        self.commands.push(Command::Destroy { volume: id.clone(), parts, machine, epoch });
    }

    /// What time brings: ends that aren't confirmed are asked for again.
    pub(crate) fn volumes_due(&mut self) {
        let (now, machines) = (self.now, &self.state.machines);
        let is_late =
            |volume: &Volume| volume.sent.is_none_or(|sent| now.since(sent) >= AGAIN_AFTER);
        let ending = self.state.volumes.iter().filter(|(_, volume)| volume.is_ending);
        let due: Vec<(VolumeId, bool)> = ending
            .filter(|(_, volume)| is_late(volume))
            .map(|(id, volume)| {
                let is_empty = volume.content == Content::Nothing;
                (id, is_empty && !machines.contains_key(&volume.machine))
            })
            .collect();
        for (id, is_nothing) in due {
            if is_nothing {
                self.set_volume(&id, None);
            } else {
                self.destroy_volume(&id);
            }
        }
    }

    pub(crate) fn volume_fact(&mut self, id: &VolumeId, machine: &MachineName, fact: VolumeFact) {
        let known = self.state.volumes.get(id);
        match fact {
            VolumeFact::Gone => {
                if known.is_some_and(|known| known.is_ending && known.machine == *machine) {
                    self.set_volume(id, None);
                }
            }
            // The records are older than it, or it was given up: nobody but a user says what to do.
            VolumeFact::Found { mut parts } => {
                if known.is_none() && self.state.machines.contains_key(machine) {
                    parts.sort();
                    let volume = Volume {
                        machine: machine.clone(),
                        parts,
                        user: None,
                        content: Content::Used,
                        reserved: Reserved::default(),
                        is_away: true,
                        is_ending: false,
                        since: self.now,
                        sent: None,
                    };
                    self.set_volume(id, Some(volume));
                }
            }
        }
    }

    /// A user gives a set up.
    pub(crate) fn delete_volume(&mut self, id: &VolumeId) -> Result<Accepted, Refusal> {
        let volume = self.state.volumes.get(id);
        let volume = volume.cloned().ok_or_else(|| Refusal::UnknownVolume(id.clone()))?;
        if let Some(number) = volume.user {
            let user = InstanceId { app: id.0.app.clone(), number };
            let life = self.state.instance(&user).map(|instance| instance.life);
            if life.is_some_and(|life| life != Life::Waiting) {
                return Err(Refusal::VolumeInUse(id.clone(), user));
            }
            self.touched.insert(user.app);
        }
        if !self.state.machines.contains_key(&volume.machine) {
            // There is nobody to be asked for its end, and nothing to wait for.
            self.set_volume(id, None);
            return Ok(Accepted::Noted);
        }
        if volume.is_ending {
            return Ok(Accepted::Unchanged);
        }
        let volume = Volume { user: None, is_ending: true, since: self.now, ..volume };
        self.set_volume(id, Some(volume));
        self.destroy_volume(id);
        Ok(Accepted::Noted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_the_container_and_nowhere_else() {
        for good in ["/data", "/var/lib/app", "/a.b/c-d_e"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "/", "data", "/a/", "//a", "/a/../b", "/./a", "/a:b", "/a,b", "/a b", "/ä"]
        {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(!is_path(&format!("/{}", "a".repeat(1_000))));
    }
}
