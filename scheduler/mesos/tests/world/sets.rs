//! Sets of volumes as the core keeps them: who has which, and which end.

use std::collections::{BTreeMap, BTreeSet};

use mesos::{Operation, OperationType, TaskInfo};
use scheduler_core::Command;
use scheduler_core::event::VolumeFact;
use scheduler_core::ids::{Epoch, InstanceId, MachineName};
use scheduler_core::ports::Ports;
use scheduler_core::volume::{Mount, OwnVolume, Part, Reserved, VolumeId};

use super::disks::{owner, persistence};

/// MiB of memory that each instance needs.
pub const MEMORY_MIB: u32 = 10;

#[derive(Debug)]
struct Set {
    /// What it is to have beside disk.
    reserved: Reserved,
    machine: MachineName,
    user: Option<InstanceId>,
    /// Whether something ran with it.
    is_used: bool,
    /// Whether a launch with it may have come to something.
    is_unknown: bool,
    is_ending: bool,
}

/// All sets there are.
#[derive(Debug, Default)]
pub struct Sets(BTreeMap<VolumeId, Set>);

pub fn mounts() -> Vec<Mount> {
    let mount =
        |name: &str| Mount { name: name.parse().unwrap(), path: format!("/{name}"), size_mib: 100 };
    vec![mount("data"), mount("log")]
}

fn parts() -> Vec<Part> {
    let part = |mount: Mount| Part { name: mount.name, size_mib: mount.size_mib };
    mounts().into_iter().map(part).collect()
}

/// The set of a volume.
fn set_of(id: &str) -> VolumeId {
    id.rsplit_once('.').unwrap().0.parse().unwrap()
}

impl Sets {
    /// Ports of a machine that are kept for sets, and those of the set that is free there.
    pub fn ports(&self, machine: &MachineName) -> (BTreeSet<u16>, Ports) {
        let there = self.0.values().filter(|set| set.machine == *machine);
        let all = there.clone().flat_map(|set| set.reserved.ports.iter().copied()).collect();
        let free = there.clone().find(|set| set.user.is_none() && !set.is_ending);
        (all, free.map(|set| set.reserved.ports.clone()).unwrap_or_default())
    }

    /// A free set of the machine, or a new one; so many thousandths of cores are reserved with it.
    pub fn own(
        &mut self,
        instance: &InstanceId,
        machine: &MachineName,
        millicores: u32,
        ports: &Ports,
    ) -> OwnVolume {
        let reserved = match millicores {
            0 => Reserved::default(),
            _ => Reserved { millicores, memory_mib: MEMORY_MIB, ports: ports.clone() },
        };
        let mut free = self
            .0
            .iter_mut()
            .filter(|(_, set)| set.user.is_none() && !set.is_ending && set.machine == *machine);
        if let Some((id, set)) = free.next() {
            (set.user, set.reserved) = (Some(instance.clone()), reserved.clone());
            return OwnVolume { id: id.clone(), parts: parts(), is_new: !set.is_used, reserved };
        }
        let id = VolumeId(instance.clone());
        let (machine, user) = (machine.clone(), Some(instance.clone()));
        let set = Set {
            reserved: reserved.clone(),
            machine,
            user,
            is_used: false,
            is_unknown: false,
            is_ending: false,
        };
        self.0.insert(id.clone(), set);
        OwnVolume { id, parts: parts(), is_new: true, reserved }
    }

    fn of(&mut self, instance: &InstanceId) -> Option<(&VolumeId, &mut Set)> {
        self.0.iter_mut().find(|(_, set)| set.user.as_ref() == Some(instance))
    }

    pub fn used(&mut self, instance: &InstanceId) {
        if let Some((_, set)) = self.of(instance) {
            set.is_used = true;
        }
    }

    /// An instance has ended; its set, too, if it was never made.
    pub fn free(&mut self, instance: &InstanceId, is_never: bool) -> Option<Command> {
        let (id, set) = self.of(instance)?;
        let id = id.clone();
        set.user = None;
        set.is_unknown |= !is_never;
        let is_nothing = !set.is_unknown && !set.is_used;
        is_nothing.then(|| self.destroy(&id))
    }

    /// Sets that nobody has.
    pub fn kept(&self) -> Vec<VolumeId> {
        let kept = self.0.iter().filter(|(_, set)| set.user.is_none() && !set.is_ending);
        kept.map(|(id, _)| id.clone()).collect()
    }

    /// Nobody is to come back to a set: it keeps its disk alone.
    pub fn give_back(&mut self, id: &VolumeId) -> Command {
        let set = self.0.get_mut(id).unwrap();
        set.reserved = Reserved::default();
        let (volume, machine, reserved) = (id.clone(), set.machine.clone(), set.reserved.clone());
        Command::Reserve { volume, machine, reserved, epoch: Epoch(1) }
    }

    /// What is reserved for a volume is used by its instance alone.
    pub fn check_task(&mut self, task: &TaskInfo) {
        let user: InstanceId = task.task_id.value.parse().unwrap();
        let own = self.of(&user).map(|(id, set)| (id.to_string(), set.reserved.clone()));
        let (mut reserved, mut ports) = (0, Vec::new());
        for resource in &task.resources {
            let Some(owner) = owner(resource) else { continue };
            let id = own.as_ref().map(|(id, _)| id);
            assert_eq!(Some(&owner), id, "{user} takes what is reserved for another");
            if resource.name == "cpus" {
                reserved += resource.amount().unwrap().0;
            }
            let numbers = resource.numbers().unwrap_or_default();
            ports.extend(numbers.numbers().map(|port| u16::try_from(port).unwrap()));
        }
        let wanted = own.map(|(_, reserved)| reserved).unwrap_or_default();
        let (cores, wanted) = (i64::from(wanted.millicores), sorted(&wanted.ports));
        ports.sort_unstable();
        assert_eq!(
            (reserved, ports),
            (cores, wanted),
            "{user} doesn't have what is to be reserved for it"
        );
    }

    pub fn destroy(&mut self, id: &VolumeId) -> Command {
        let set = self.0.get_mut(id).unwrap();
        set.is_ending = true;
        ending(id, set)
    }

    /// The ends that are asked for again.
    pub fn ending(&self) -> Vec<Command> {
        let all = self.0.iter().filter(|(_, set)| set.is_ending);
        all.map(|(id, set)| ending(id, set)).collect()
    }

    pub fn fact(&mut self, volume: VolumeId, machine: MachineName, fact: &VolumeFact) {
        match fact {
            VolumeFact::Gone => {
                if self.0.get(&volume).is_some_and(|set| set.is_ending) {
                    self.0.remove(&volume);
                }
            }
            // An end that was lost: as the core does with what it has forgotten.
            VolumeFact::Found { .. } => {
                let (user, is_used, is_unknown, is_ending) = (None, true, true, false);
                let reserved = Reserved::default();
                let set = Set { reserved, machine, user, is_used, is_unknown, is_ending };
                self.0.entry(volume).or_insert(set);
            }
        }
    }

    /// Nothing is destroyed that isn't to end, and nothing empty takes the place of what was used.
    pub fn check(&self, operation: &Operation) {
        match operation.r#type() {
            OperationType::Create => {
                for volume in &operation.create.as_ref().unwrap().volumes {
                    let id = persistence(volume).unwrap();
                    let set = self.0.get(&set_of(&id)).unwrap();
                    assert!(!set.is_used && !set.is_ending, "{id} is made anew");
                }
            }
            OperationType::Destroy => {
                for volume in &operation.destroy.as_ref().unwrap().volumes {
                    let id = persistence(volume).unwrap();
                    let is_ending = self.0.get(&set_of(&id)).is_some_and(|set| set.is_ending);
                    assert!(is_ending, "{id} isn't to end");
                }
            }
            _ => {}
        }
    }

    /// All is calm: what was used is there, what is there is known, what was to end has ended, and no
    /// more is reserved than is to be; for who runs, not less.
    pub fn settled(
        &self,
        volumes: &BTreeSet<String>,
        reserved: &BTreeMap<String, i64>,
        ports: &BTreeMap<String, BTreeSet<u16>>,
    ) {
        for (id, has) in ports {
            let set = self.0.get(&id.parse().unwrap());
            let wanted: BTreeSet<u16> =
                set.into_iter().flat_map(|set| set.reserved.ports.iter().copied()).collect();
            let is_running = set.is_some_and(|set| set.user.is_some());
            let is_right = if is_running { *has == wanted } else { has.is_subset(&wanted) };
            assert!(is_right, "{id} has the ports {has:?}, and should have {wanted:?}");
        }
        for (id, has) in reserved {
            let set = self.0.get(&id.parse().unwrap());
            let wanted = set.map_or(0, |set| i64::from(set.reserved.millicores));
            assert!(
                *has <= wanted,
                "{id} has {has} thousandths of cores, and should have {wanted}"
            );
        }
        for (id, set) in self.0.iter().filter(|(_, set)| set.user.is_some()) {
            let has = reserved.get(&id.to_string()).copied().unwrap_or(0);
            assert_eq!(has, i64::from(set.reserved.millicores), "{id} runs");
            let has = ports.get(&id.to_string()).map_or(0, BTreeSet::len);
            assert_eq!(has, set.reserved.ports.len(), "{id} runs");
        }
        let ending: Vec<&VolumeId> =
            self.0.iter().filter(|(_, set)| set.is_ending).map(|(id, _)| id).collect();
        assert!(ending.is_empty(), "{ending:?} never end");
        for id in volumes {
            assert!(self.0.contains_key(&set_of(id)), "nobody knows {id}");
        }
        for (id, _) in self.0.iter().filter(|(_, set)| set.is_used) {
            for part in parts() {
                assert!(volumes.contains(&format!("{id}.{}", part.name)), "{id} is lost");
            }
        }
    }
}

fn sorted(ports: &[u16]) -> Vec<u16> {
    let mut ports = ports.to_vec();
    ports.sort_unstable();
    ports
}

fn ending(id: &VolumeId, set: &Set) -> Command {
    let (volume, machine, epoch) = (id.clone(), set.machine.clone(), Epoch(1));
    Command::Destroy { volume, parts: parts(), machine, epoch }
}
