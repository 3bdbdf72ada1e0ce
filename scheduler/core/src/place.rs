//! Which machine takes an instance: what excludes a machine, and the choice among the others.

use std::fmt;
use std::mem;
use std::sync::Arc;

use policy::spread::Spread;
use policy::{Nanoseconds, Time};
use serde::{Deserialize, Serialize};

use crate::app::{App, Constraint, Specification};
use crate::command::{Command, Key, Launch};
use crate::ids::{AppName, InstanceId, MachineName, Version};
use crate::instance::{Life, Placed, Wait};
use crate::machine::{Machine, room};
use crate::ports::Ports;
use crate::state::State;
use crate::turn::Turn;
use crate::volume::Reserved;

/// Why a machine can't take an instance: the first reason that there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// It is drained.
    Draining,
    /// Whoever runs it will take it away.
    Leaving,
    /// Nothing has been heard of it for so long.
    Silent(Nanoseconds),
    /// A constraint of the app excludes it.
    Constraint(Constraint),
    /// A user named another machine.
    NamedElsewhere(MachineName),
    /// Its volumes are on another machine: it waits for that one.
    VolumesOn(MachineName),
    /// Instances of the version failed there; so long it is left alone.
    BackOff(Nanoseconds),
    /// Too few cores are free.
    Cores {
        /// Thousandths that are free.
        free_millicores: u32,
        /// Thousandths that are needed.
        needed_millicores: u32,
        /// Thousandths that are kept there for its volume, not among those that are free.
        #[serde(default, skip_serializing_if = "is_nothing")]
        reserved_millicores: u32,
    },
    /// Too little memory is free.
    Memory {
        /// MiB that are free.
        free_mib: u32,
        /// MiB that are needed.
        needed_mib: u32,
        /// MiB that are kept there for its volume, not among those that are free.
        #[serde(default, skip_serializing_if = "is_nothing")]
        reserved_mib: u32,
    },
    /// Too few ports are free.
    Ports {
        /// How many are free.
        free: u32,
        /// How many are needed.
        needed: u32,
        /// How many are kept there for its volume, not among those that are free.
        #[serde(default, skip_serializing_if = "is_nothing")]
        reserved: u32,
    },
    /// Too little disk is free for its volumes.
    Disk {
        /// MiB that are free.
        free_mib: u64,
        /// MiB that are needed.
        needed_mib: u64,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_nothing(amount: &u32) -> bool {
    *amount == 0
}

/// A machine for an instance.
struct Chosen {
    machine: MachineName,
    placed: Placed,
    specification: Arc<Specification>,
}

/// What is to be placed.
pub(crate) struct Wanted<'a> {
    pub(crate) app: &'a App,
    pub(crate) version: Version,
    pub(crate) specification: &'a Specification,
    pub(crate) named: Option<&'a MachineName>,
    /// Where its volumes are, if it has some.
    pub(crate) volumes: Option<&'a MachineName>,
    /// What is held for it where its volumes are.
    pub(crate) reserved: Reserved,
}

impl State {
    /// The first reason why a machine with so many instances of the app can't take one more.
    pub(crate) fn exclusion(
        &self,
        wanted: &Wanted<'_>,
        name: &MachineName,
        machine: &Machine,
        count: u32,
        now: Time,
    ) -> Option<Exclusion> {
        if let Some(there) = wanted.volumes
            && there != name
        {
            return Some(Exclusion::VolumesOn(there.clone()));
        }
        if let Some(since) = machine.silent_since {
            return Some(Exclusion::Silent(now.since(since)));
        }
        if machine.is_draining {
            return Some(Exclusion::Draining);
        }
        if machine.is_leaving {
            return Some(Exclusion::Leaving);
        }
        if let Some(named) = wanted.named
            && named != name
        {
            return Some(Exclusion::NamedElsewhere(named.clone()));
        }
        for constraint in &wanted.specification.constraints {
            if !allows(constraint, name, machine, count) {
                return Some(Exclusion::Constraint(constraint.clone()));
            }
        }
        let failures = wanted.app.failures.get(&wanted.version);
        if let Some(back_off) = failures.and_then(|failures| failures.machines.get(name)) {
            let left = back_off.left(&self.policy.repair, now);
            if left > Nanoseconds::ZERO {
                return Some(Exclusion::BackOff(left));
            }
        }
        lacks(wanted, machine).or_else(|| self.lacks_disk(wanted, name, machine))
    }

    /// Whether a new set of volumes finds no room there.
    fn lacks_disk(
        &self,
        wanted: &Wanted<'_>,
        name: &MachineName,
        machine: &Machine,
    ) -> Option<Exclusion> {
        let needed_mib = wanted.specification.volumes_mib();
        if needed_mib == 0 || wanted.volumes.is_some() {
            return None;
        }
        let all = u64::from(machine.description.disk_mib?);
        let free_mib = all.saturating_sub(self.volumes.taken_mib(name));
        (free_mib < needed_mib).then_some(Exclusion::Disk { free_mib, needed_mib })
    }

    /// The machine for one more instance: of those that can take it one with the fewest instances
    /// of the app; of these the one with the most that is free.
    fn choose(
        &self,
        spread: &mut Spread,
        wanted: &Wanted<'_>,
        now: Time,
    ) -> Option<(MachineName, Placed)> {
        let is_able = |name: &MachineName, count: u32| {
            let machine = self.machines.get(name);
            machine
                .is_some_and(|machine| self.exclusion(wanted, name, machine, count, now).is_none())
        };
        let slot_of = |name: &MachineName| self.machines.get(name).map(|machine| machine.slot);
        let name = if let Some(named) = wanted.volumes.or(wanted.named) {
            let count = slot_of(named).map_or(0, |slot| spread.count(wanted.app.slot, slot));
            Some(named).filter(|named| is_able(named, count))
        } else {
            let name = |slot: u32| self.slots.get(slot as usize);
            let need = room(wanted.specification.need);
            // Where there are as many as may be, nothing else has to be looked up.
            let most = most_per_machine(wanted.specification);
            let slot = spread.place(wanted.app.slot, need, |slot, count| {
                count < most && name(slot).is_some_and(|name| is_able(name, count))
            });
            slot.and_then(name)
        }?;
        let same_app = spread.count(wanted.app.slot, self.machines.get(name)?.slot);
        let free_millicores = self.machines.get(name)?.free().millicores;
        Some((name.clone(), Placed { same_app, free_millicores }))
    }
}

/// The most instances that a machine may have.
fn most_per_machine(specification: &Specification) -> u32 {
    let limits = specification.constraints.iter().filter_map(|constraint| match constraint {
        Constraint::MostPerMachine(most) => Some(*most),
        _ => None,
    });
    limits.min().unwrap_or(u32::MAX)
}

/// Whether a constraint lets a machine that has so many instances of the app take one more.
pub(crate) fn allows(
    constraint: &Constraint,
    name: &MachineName,
    machine: &Machine,
    count: u32,
) -> bool {
    let attribute = |name: &String| machine.description.attributes.get(name);
    match constraint {
        Constraint::Attribute { name, values } => {
            attribute(name).is_some_and(|value| values.contains(value))
        }
        Constraint::NotAttribute { name, values } => {
            attribute(name).is_none_or(|value| !values.contains(value))
        }
        Constraint::Machines(machines) => machines.contains(name),
        Constraint::MostPerMachine(most) => count < *most,
    }
}

fn lacks(wanted: &Wanted<'_>, machine: &Machine) -> Option<Exclusion> {
    let reserved = &wanted.reserved;
    let (free, need) = (machine.free_for(reserved), wanted.specification.need);
    if free.millicores < need.millicores {
        let reserved_millicores = reserved.millicores.min(free.millicores);
        return Some(Exclusion::Cores {
            free_millicores: free.millicores - reserved_millicores,
            needed_millicores: need.millicores,
            reserved_millicores,
        });
    }
    if free.memory_mib < need.memory_mib {
        let reserved_mib = reserved.memory_mib.min(free.memory_mib);
        return Some(Exclusion::Memory {
            free_mib: free.memory_mib - reserved_mib,
            needed_mib: need.memory_mib,
            reserved_mib,
        });
    }
    let reserved = reserved.ports.count().min(free.ports);
    (free.ports < need.ports).then_some(Exclusion::Ports {
        free: free.ports - reserved,
        needed: need.ports,
        reserved,
    })
}

impl Turn<'_> {
    /// Places what waits, as far as there is room.
    pub(crate) fn place_waiting(&mut self, name: &AppName) {
        let Some(app) = self.state.apps.get(name) else { return };
        let waiting: Vec<u64> = app
            .instances
            .iter()
            .filter(|(_, instance)| instance.life == Life::Waiting)
            .map(|(number, _)| *number)
            .collect();
        // What finds no machine is told once for all that are alike: none becomes free meanwhile.
        let mut full: Option<Version> = None;
        for number in &waiting {
            if full.is_some() && self.is_known_to_wait(name, *number, full) {
                continue;
            }
            let id = InstanceId { app: name.clone(), number: *number };
            self.take_volume(&id);
            self.place(&id, &mut full);
        }
        let Some(app) = self.state.apps.get(name) else { return };
        let mut left = waiting.iter().filter_map(|number| app.instances.get(number));
        if left.any(|instance| instance.wait == Some(Wait::NoMachine)) {
            self.state.waiting.insert(name.clone());
        } else {
            self.state.waiting.remove(name);
        }
    }

    /// Whether an instance that may be anywhere, of a version that no machine can take, is known to wait
    /// for that: of thousands that do, little has to be looked at.
    fn is_known_to_wait(&self, name: &AppName, number: u64, full: Option<Version>) -> bool {
        let Some(app) = self.state.apps.get(name) else { return false };
        let Some(instance) = app.instances.get(&number) else { return false };
        instance.wait == Some(Wait::NoMachine)
            && instance.named.is_none()
            && full == Some(instance.version)
            && app.toward(number).is_none()
    }

    fn place(&mut self, id: &InstanceId, full: &mut Option<Version>) {
        let known = self.state.instance(id);
        let toward = self.state.apps.get(&id.app).and_then(|app| app.toward(id.number));
        let is_free = toward.is_none() && !self.state.has_volume(&id.app, id.number);
        let Some(version) =
            known.filter(|one| is_free && one.named.is_none()).map(|one| one.version)
        else {
            let chosen = self.chosen(id);
            return self.place_at(id, chosen);
        };
        if *full == Some(version) {
            return self.place_at(id, Err(Wait::NoMachine));
        }
        let chosen = self.chosen(id);
        if matches!(chosen, Err(Wait::NoMachine)) {
            *full = Some(version);
        }
        self.place_at(id, chosen);
    }

    fn place_at(&mut self, id: &InstanceId, chosen: Result<Chosen, Wait>) {
        let (now, epoch) = (self.now, self.epoch());
        let Some(instance) = self.state.instance_mut(id) else { return };
        let Chosen { machine, placed, specification } = match chosen {
            Ok(chosen) => chosen,
            Err(wait) => {
                instance.wait = Some(wait);
                return;
            }
        };
        let need = specification.need;
        let held = self.state.volumes.of(id).map(|(_, volume)| volume.held().ports);
        let Some(there) = self.state.machines.get_mut(&machine) else { return };
        let ports = there.choose_ports(need.ports, &held.unwrap_or_default());
        let Some(ports) = ports.map(Ports::from) else { return };
        there.take(id.clone(), need, &ports);
        self.state.index_machine(&machine);
        let volume = self.own_volume(id, &machine, &specification, &ports);
        let Some(instance) = self.state.instance_mut(id) else { return };
        instance.enter(Life::Intended, now);
        instance.machine = Some(machine.clone());
        instance.ports = ports.clone();
        instance.placed = Some(placed);
        instance.wait = None;
        instance.came = now;
        self.state.index_instance(id, true);
        self.dirty(Key::Instance(id.clone()));
        let launch = Launch { instance: id.clone(), machine, ports, specification, volume, epoch };
        self.commands.push(Command::Launch(launch));
    }

    fn chosen(&mut self, id: &InstanceId) -> Result<Chosen, Wait> {
        // The index brings its orders up to date as it is asked, and asks back about machines.
        let mut spread = mem::take(&mut self.state.spread);
        let chosen = self.chosen_by(&mut spread, id);
        self.state.spread = spread;
        chosen
    }

    fn chosen_by(&self, spread: &mut Spread, id: &InstanceId) -> Result<Chosen, Wait> {
        let app = self.state.apps.get(&id.app).ok_or(Wait::NoMachine)?;
        let instance = app.instances.get(&id.number).ok_or(Wait::NoMachine)?;
        let specification = app.versions.get(&instance.version).ok_or(Wait::NoMachine)?;
        if let Some(failures) = app.failures.get(&instance.version) {
            let left = failures.all.left(&self.state.policy.repair, self.now);
            if left > Nanoseconds::ZERO {
                return Err(Wait::BackOff(self.now + left));
            }
        }
        // A named machine that can't be used doesn't hold an instance back.
        let named = instance.named.as_ref().filter(|name| {
            let machine = self.state.machines.get(name);
            machine.is_some_and(Machine::is_open)
        });
        // One that moves goes there or nowhere.
        let named = app.toward(id.number).or(named);
        let version = instance.version;
        let own = self.state.volumes.of(id);
        let volumes = own.as_ref().map(|(_, volume)| &volume.machine);
        let reserved = own.as_ref().map(|(_, volume)| volume.held()).unwrap_or_default();
        let wanted = Wanted { app, version, specification, named, volumes, reserved };
        let (machine, placed) =
            self.state.choose(spread, &wanted, self.now).ok_or(Wait::NoMachine)?;
        Ok(Chosen { machine, placed, specification: specification.clone() })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::Draining => f.write_str("it is drained"),
            Exclusion::Leaving => f.write_str("it will be taken away"),
            Exclusion::Silent(length) => write!(f, "it has been silent for {length}"),
            Exclusion::Constraint(constraint) => write!(f, "constraint: {constraint}"),
            Exclusion::NamedElsewhere(name) => write!(f, "a user named {name}"),
            Exclusion::VolumesOn(name) => write!(f, "waits for {name}, where its volume is"),
            Exclusion::Disk { free_mib, needed_mib } => {
                write!(f, "{free_mib} MiB of disk are free, {needed_mib} are needed")
            }
            Exclusion::BackOff(left) => {
                write!(f, "instances failed there: left alone for {left}")
            }
            Exclusion::Cores { free_millicores, needed_millicores, reserved_millicores } => {
                let cores = |millis: &u32| f64::from(*millis) / 1000.0;
                let (free, needed) = (cores(free_millicores), cores(needed_millicores));
                match cores(reserved_millicores) {
                    0.0 => write!(f, "{free} cores are free, {needed} are needed"),
                    reserved => write!(
                        f,
                        "{reserved} of {needed} cores are reserved for its volume, {free} more are free"
                    ),
                }
            }
            Exclusion::Memory { free_mib, needed_mib, reserved_mib: 0 } => {
                write!(f, "{free_mib} MiB are free, {needed_mib} are needed")
            }
            Exclusion::Memory { free_mib, needed_mib, reserved_mib } => write!(
                f,
                "{reserved_mib} of {needed_mib} MiB of memory are reserved for its volume, \
                 {free_mib} more are free"
            ),
            Exclusion::Ports { free, needed, reserved: 0 } => {
                write!(f, "{free} ports are free, {needed} are needed")
            }
            Exclusion::Ports { free, needed, reserved } => write!(
                f,
                "{reserved} of {needed} ports are reserved for its volume, {free} more are free"
            ),
        }
    }
}
