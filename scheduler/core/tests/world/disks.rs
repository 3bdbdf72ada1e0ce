//! Volumes as they are on machines: what the core must not lose.

use std::collections::BTreeMap;

use scheduler_core::ids::MachineName;
use scheduler_core::volume::{OwnVolume, VolumeId};

use super::Process;

/// What is on the disks of all machines.
#[derive(Debug, Default)]
pub struct Disks {
    /// Whether something may be in it.
    pub all: BTreeMap<(MachineName, VolumeId), bool>,
    /// Whether nothing in which something may be is ever destroyed.
    pub is_precious: bool,
    /// What a user gave up.
    pub given_up: Vec<VolumeId>,
}

impl Disks {
    pub fn mount(&mut self, machine: &MachineName, volume: &OwnVolume) {
        let key = (machine.clone(), volume.id.clone());
        let is_there = self.all.contains_key(&key);
        assert!(is_there || volume.is_new, "{} isn't on {machine}, and is no new one", volume.id);
        self.all.entry(key).or_insert(false);
    }

    pub fn used(&mut self, process: &Process) {
        if let Some(volume) = &process.volume {
            let disk = self.all.get_mut(&(process.machine.clone(), volume.clone()));
            *disk.unwrap() = true;
        }
    }

    pub fn destroy(&mut self, machine: &MachineName, volume: &VolumeId) {
        let was_used = self.all.remove(&(machine.clone(), volume.clone()));
        let is_lost = was_used == Some(true) && self.is_precious;
        assert!(!is_lost || self.given_up.contains(volume), "{volume} is lost");
    }

    pub fn lose(&mut self, name: &MachineName) {
        self.all.retain(|(machine, _), _| machine != name);
    }
}
