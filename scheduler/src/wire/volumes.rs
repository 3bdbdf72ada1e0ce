//! What the API says of volumes.

use scheduler_core::State;
use scheduler_core::ids::InstanceId;
use scheduler_core::volume::{Volume, VolumeId};
use serde::{Deserialize, Serialize};

use super::moment;

/// A set of volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Its name.
    pub volume: String,
    /// Its app, which may be gone.
    pub app: String,
    /// Its machine.
    pub machine: String,
    /// What it has.
    pub parts: Vec<PartRow>,
    /// The sum of the sizes in MiB.
    pub size_mib: u64,
    /// Cores of its machine that are reserved for its instance, in thousandths.
    pub reserved_millicores: u32,
    /// Memory of its machine that is reserved for its instance, in MiB.
    pub reserved_memory_mib: u32,
    /// Ports of its machine that are reserved for its instance.
    #[serde(default)]
    pub reserved_ports: Vec<u16>,
    /// `used` by an instance, `awaited` by one that waits for its machine, `kept`, or `ending`.
    pub state: String,
    /// The instance that has it.
    pub instance: Option<String>,
    /// Since when it is so.
    pub since: String,
    /// Whether its machine is known.
    pub has_machine: bool,
}

/// A volume of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// Its name.
    pub name: String,
    /// Its size in MiB.
    pub size_mib: u32,
}

/// All sets of volumes, or those of an app.
#[must_use]
pub fn volume_rows(state: &State, app: Option<&str>) -> Vec<VolumeRow> {
    let all = state.volumes().iter();
    all.filter(|(id, _)| app.is_none_or(|app| app == id.0.app.as_str()))
        .map(|(id, volume)| volume_row(state, &id, volume))
        .collect()
}

fn volume_row(state: &State, id: &VolumeId, volume: &Volume) -> VolumeRow {
    let user = volume.user.map(|number| InstanceId { app: id.0.app.clone(), number });
    let has_place = user
        .as_ref()
        .and_then(|user| state.instance(user))
        .is_some_and(|one| one.machine.is_some());
    let said = match (volume.is_ending, &user) {
        (true, _) => "ending",
        (false, None) => "kept",
        (false, Some(_)) if has_place => "used",
        (false, Some(_)) => "awaited",
    };
    let part = |one: &scheduler_core::volume::Part| PartRow {
        name: one.name.to_string(),
        size_mib: one.size_mib,
    };
    VolumeRow {
        volume: id.to_string(),
        app: id.0.app.to_string(),
        machine: volume.machine.to_string(),
        parts: volume.parts.iter().map(part).collect(),
        size_mib: volume.size_mib(),
        reserved_millicores: volume.reserved.millicores,
        reserved_memory_mib: volume.reserved.memory_mib,
        reserved_ports: volume.reserved.ports.to_vec(),
        state: said.to_owned(),
        instance: user.map(|user| user.to_string()),
        since: moment(volume.since),
        has_machine: state.machines().contains_key(&volume.machine),
    }
}
