//! Volumes of instances as Mesos has them: for each a piece of disk that is reserved for the role of
//! the framework, with labels that say whose it is, and a persistent volume in it. An acceptance
//! reserves, creates and launches in one; later offers show the volume by its id, and the next
//! instance is launched with it. Cores, memory and ports that are reserved for it are in [`crate::resources`].

use std::collections::BTreeMap;

use mesos::quantity::Milli;
use mesos::{
    DiskInfo, FrameworkId, Offer, Operation, OperationId, OperationType, Persistence, Reserve,
    Resource, Unreserve, Volume, VolumeMode, Volumes,
};
use scheduler_core::app::{Run, Specification};
use scheduler_core::volume::{Mount, OwnVolume, Part, VolumeId};

use crate::reserved::{Owner, owner, reservation};
use crate::settings::Framework;

const DISK: &str = "disk";

/// How the operation is named that gives the disk of a volume back.
const ENDING: &str = "end.";

/// A piece of disk that is reserved for a volume of ours.
#[derive(Debug, Clone)]
struct Own {
    volume: VolumeId,
    /// The id of the persistent volume in it, if there is one.
    persistence: Option<String>,
    resource: Resource,
}

/// Disk that the offers of an agent have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks {
    own: Vec<Own>,
    /// Nobody's, each with what is left of it.
    free: Vec<(Resource, Milli)>,
}

/// What a launch does with disk before its task starts, and what the task takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    pub(crate) reserve: Vec<Resource>,
    pub(crate) create: Vec<Resource>,
    pub(crate) resources: Vec<Resource>,
}

/// What gives disk back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    destroy: Vec<Resource>,
    unreserve: Vec<Resource>,
}

impl Disks {
    /// Those of offers. Disks with a source, shared ones, and those of other frameworks are left
    /// alone.
    pub(crate) fn of<'a>(
        offers: impl IntoIterator<Item = &'a Offer>,
        framework: Option<&FrameworkId>,
    ) -> Self {
        let mut disks = Disks::default();
        for resource in offers.into_iter().flat_map(|offer| &offer.resources) {
            let is_plain = resource.revocable.is_none()
                && resource.shared.is_none()
                && resource.provider_id.is_none()
                && resource.disk.as_ref().is_none_or(|disk| disk.source.is_none());
            let (true, true, Some(amount)) = (resource.name == DISK, is_plain, resource.amount())
            else {
                continue;
            };
            let is_free = resource.disk.is_none()
                && resource.reservations.is_empty()
                && resource.role.as_deref().is_none_or(|role| role == "*");
            if is_free {
                let template = Resource { scalar: None, ..resource.clone() };
                disks.free.push((template, amount));
            } else if let Owner::Volume(volume) = owner(resource, framework) {
                let persistence = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
                let persistence = persistence.map(|one| one.id.clone());
                disks.own.push(Own { volume, persistence, resource: resource.clone() });
            }
        }
        disks
    }

    /// All of it in thousandths of MiB.
    pub(crate) fn amount(&self) -> Milli {
        let own = self.own.iter().filter_map(|one| one.resource.amount());
        self.free.iter().map(|(_, left)| *left).chain(own).sum()
    }

    /// Volumes that are there, with what they have; of those that are only reserved, nothing.
    pub(crate) fn volumes(&self) -> BTreeMap<VolumeId, Vec<Part>> {
        let mut found: BTreeMap<VolumeId, Vec<Part>> = BTreeMap::new();
        for one in &self.own {
            let parts = found.entry(one.volume.clone()).or_default();
            let name = one.persistence.as_deref().and_then(|id| part_name(&one.volume, id));
            if let Some(name) = name.and_then(|name| name.parse().ok()) {
                let size = one.resource.amount().unwrap_or_default().0 / 1000;
                let size_mib = u32::try_from(size).unwrap_or(u32::MAX);
                parts.push(Part { name, size_mib });
            }
        }
        found
    }

    /// Whether something of a volume is there.
    pub(crate) fn has(&self, volume: &VolumeId) -> bool {
        self.own.iter().any(|one| one.volume == *volume)
    }

    /// Takes what an instance needs for its volumes, if all of it is there.
    pub(crate) fn take(
        &mut self,
        own: &OwnVolume,
        specification: &Specification,
        framework: (&Framework, &FrameworkId),
    ) -> Option<Taken> {
        let mut taken = Taken::default();
        for part in &own.parts {
            let id = persistence_id(&own.id, part);
            let path = specification.volumes.iter().find(|mount| mount.name == part.name);
            let path =
                path.map_or_else(|| part.name.to_string(), |mount| inner(specification, mount));
            if let Some(volume) = self.remove(|one| one.persistence.as_ref() == Some(&id)) {
                taken.resources.push(with_path(volume, path));
                continue;
            }
            // What is missing would be replaced by something empty.
            if !own.is_new {
                return None;
            }
            let size = Milli(i64::from(part.size_mib) * 1000);
            let reserved = match self.take_reserved(&own.id, size) {
                Some(reserved) => reserved,
                None => {
                    let template = self.take_free(size)?;
                    let reservation = reservation(&own.id, framework);
                    let reserved = Resource {
                        scalar: Some(size.into()),
                        role: None,
                        reservations: vec![reservation],
                        ..template
                    };
                    taken.reserve.push(reserved.clone());
                    reserved
                }
            };
            let principal = framework.0.principal.clone();
            let disk = DiskInfo {
                persistence: Some(Persistence { id, principal }),
                ..DiskInfo::default()
            };
            let volume = with_path(Resource { disk: Some(disk), ..reserved }, path);
            taken.create.push(volume.clone());
            taken.resources.push(volume);
        }
        Some(taken)
    }

    /// Takes all that is there of a volume that ends.
    pub(crate) fn end(&mut self, volume: &VolumeId) -> Option<Ended> {
        let mut ended = Ended::default();
        while let Some(resource) = self.remove(|one| one.volume == *volume) {
            if resource.disk.is_some() {
                ended.destroy.push(resource.clone());
            }
            ended.unreserve.push(Resource { disk: None, ..resource });
        }
        (!ended.unreserve.is_empty()).then_some(ended)
    }

    fn remove(&mut self, is_it: impl Fn(&Own) -> bool) -> Option<Resource> {
        let place = self.own.iter().position(is_it)?;
        Some(self.own.swap_remove(place).resource)
    }

    /// Takes so much of what is reserved for a volume and has none in it. A master makes one piece of
    /// what is reserved alike: that of one part may be in that of all.
    fn take_reserved(&mut self, volume: &VolumeId, size: Milli) -> Option<Resource> {
        let has_room = |one: &Own| {
            let is_empty = one.volume == *volume && one.resource.disk.is_none();
            is_empty && one.resource.amount() >= Some(size)
        };
        let place = self.own.iter().position(has_room)?;
        let mut piece = self.own.swap_remove(place);
        let left = piece.resource.amount().unwrap_or_default() - size;
        let taken = Resource { scalar: Some(size.into()), ..piece.resource.clone() };
        if left > Milli(0) {
            piece.resource.scalar = Some(left.into());
            self.own.push(piece);
        }
        Some(taken)
    }

    fn take_free(&mut self, size: Milli) -> Option<Resource> {
        let (template, left) = self.free.iter_mut().find(|(_, left)| *left >= size)?;
        *left -= size;
        Some(template.clone())
    }
}

impl Ended {
    /// The operations, of which the last one says what came of it.
    pub(crate) fn operations(self, volume: &VolumeId) -> Vec<Operation> {
        let mut operations = Vec::new();
        if !self.destroy.is_empty() {
            operations.push(Operation {
                r#type: Some(OperationType::Destroy.into()),
                destroy: Some(Volumes { volumes: self.destroy }),
                ..Operation::default()
            });
        }
        operations.push(Operation {
            r#type: Some(OperationType::Unreserve.into()),
            id: Some(OperationId::new(format!("{ENDING}{volume}"))),
            unreserve: Some(Unreserve { resources: self.unreserve }),
            ..Operation::default()
        });
        operations
    }
}

impl Taken {
    /// The operations before the launch.
    pub(crate) fn operations(reserve: Vec<Resource>, create: Vec<Resource>) -> Vec<Operation> {
        let mut operations = Vec::new();
        if !reserve.is_empty() {
            operations.push(Operation {
                r#type: Some(OperationType::Reserve.into()),
                reserve: Some(Reserve { resources: reserve, ..Reserve::default() }),
                ..Operation::default()
            });
        }
        if !create.is_empty() {
            operations.push(Operation {
                r#type: Some(OperationType::Create.into()),
                create: Some(Volumes { volumes: create }),
                ..Operation::default()
            });
        }
        operations
    }
}

/// The volume whose disk an operation gave back.
pub(crate) fn ended_volume(id: &OperationId) -> Option<VolumeId> {
    id.value.strip_prefix(ENDING)?.parse().ok()
}

/// Where the executor puts a volume: in the folder of the task. A container finds it elsewhere by a
/// volume of its own.
fn inner(specification: &Specification, mount: &Mount) -> String {
    match specification.run {
        Run::Image { .. } => mount.name.to_string(),
        Run::Command(_) => mount.path.trim_start_matches('/').to_owned(),
    }
}

/// Volumes of a container that lead to persistent ones.
pub(crate) fn container_volumes(specification: &Specification) -> Vec<Volume> {
    let volume = |mount: &Mount| Volume {
        mode: VolumeMode::ReadWrite.into(),
        container_path: mount.path.clone(),
        host_path: Some(inner(specification, mount)),
        ..Volume::default()
    };
    specification.volumes.iter().map(volume).collect()
}

/// Variables that say where volumes are.
pub(crate) fn variables(specification: &Specification) -> BTreeMap<String, String> {
    let variable = |mount: &Mount| {
        let name = mount.name.as_str().to_uppercase().replace('-', "_");
        let path = match specification.run {
            Run::Image { .. } => mount.path.clone(),
            Run::Command(_) => inner(specification, mount),
        };
        (format!("CORRAL_VOLUME_{name}"), path)
    };
    specification.volumes.iter().map(variable).collect()
}

fn with_path(mut resource: Resource, container_path: String) -> Resource {
    if let Some(disk) = &mut resource.disk {
        let mode = VolumeMode::ReadWrite.into();
        disk.volume = Some(Volume { mode, container_path, ..Volume::default() });
    }
    resource
}

fn persistence_id(volume: &VolumeId, part: &Part) -> String {
    format!("{volume}.{}", part.name)
}

fn part_name<'a>(volume: &VolumeId, id: &'a str) -> Option<&'a str> {
    id.strip_prefix(&volume.to_string())?.strip_prefix('.')
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;
