//! Persistent volumes of agents that run tasks on this machine: a folder for each, by the agent and
//! the name of the volume, which a task finds where it says.

use mesos::{Resource, TaskInfo};
use scheduler_runner::{Mount, Part, Volumes};

/// A set has one volume here, and this is its name.
const VOLUME: &str = "volume";

/// Makes sure that the volumes of a task are there.
///
/// # Errors
/// Why one of them can't be.
pub fn mounts(volumes: &Volumes, owner: &str, task: &TaskInfo) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for resource in &task.resources {
        let Some((id, path)) = volume_of(resource) else { continue };
        let set = id.parse().map_err(|_| format!("`{id}` can't be the name of a folder"))?;
        let size = resource.amount().unwrap_or_default().0 / 1000;
        let part =
            Part { name: VOLUME.to_owned(), size_mib: u32::try_from(size).unwrap_or(u32::MAX) };
        volumes.prepare(owner, &set, &[part], true).map_err(|error| error.to_string())?;
        let folder = volumes.folder(owner, &set, VOLUME);
        let own = task.container.iter().flat_map(|container| &container.volumes);
        // Containers have it where another volume leads to it; programs in their own folder.
        let inner = own.filter(|volume| volume.host_path.as_deref() == Some(path));
        let mut places: Vec<String> = inner.map(|volume| volume.container_path.clone()).collect();
        if places.is_empty() {
            places.push(path.to_owned());
        }
        let absolute = |path: String| if path.starts_with('/') { path } else { format!("/{path}") };
        let places = places.into_iter().map(absolute);
        mounts.extend(places.map(|path| Mount { folder: folder.clone(), path }));
    }
    Ok(mounts)
}

/// Removes what was in volumes that have ended. What can't be removed is left where it is, and never
/// found again, unless a volume of the same name is made.
pub fn end(volumes: &Volumes, owner: &str, ended: &[String]) -> Vec<String> {
    let remove = |id: &String| {
        let set = id.parse().ok()?;
        volumes.destroy(owner, &set).err().map(|error| error.to_string())
    };
    ended.iter().filter_map(remove).collect()
}

fn volume_of(resource: &Resource) -> Option<(&str, &str)> {
    let disk = resource.disk.as_ref()?;
    let persistence = disk.persistence.as_ref()?;
    Some((&persistence.id, &disk.volume.as_ref()?.container_path))
}
