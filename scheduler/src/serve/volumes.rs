//! Volumes on this machine: folders in the daemon's own, which outlive instances and daemons.

use std::sync::mpsc::Sender;

use scheduler_core::app::Run;
use scheduler_core::command::Launch;
use scheduler_core::event::VolumeFact;
use scheduler_core::ids::MachineName;
use scheduler_core::volume::{self, Mount, OwnVolume, VolumeId};
use scheduler_core::{Event, State};
use scheduler_runner::{self as runner, Part, Task, TaskId, Volumes};

use super::cycle::Input;
use super::local;

/// The task of a launch; its volumes are there, and made if they have to be.
pub fn task(store: &Volumes, launch: &Launch) -> Result<Task, String> {
    let mut task = local::task(launch)?;
    let Some(OwnVolume { id, parts, is_new, .. }) = &launch.volume else { return Ok(task) };
    let (owner, set) = (launch.machine.as_str(), set_id(id)?);
    let parts: Vec<Part> = parts.iter().map(part).collect();
    store.prepare(owner, &set, &parts, *is_new).map_err(|error| error.to_string())?;
    let folder = |mount: &Mount| store.folder(owner, &set, mount.name.as_str());
    let mounts = launch.specification.volumes.iter();
    let is_container = matches!(launch.specification.run, Run::Image { .. });
    for mount in mounts {
        let seen =
            if is_container { mount.path.clone() } else { folder(mount).display().to_string() };
        task.environment.insert(variable(mount), seen);
        task.mounts.push(runner::Mount { folder: folder(mount), path: mount.path.clone() });
    }
    Ok(task)
}

/// The variable that says where a volume is.
fn variable(mount: &Mount) -> String {
    format!("CORRAL_VOLUME_{}", mount.name.as_str().to_uppercase().replace('-', "_"))
}

fn part(part: &volume::Part) -> Part {
    Part { name: part.name.to_string(), size_mib: part.size_mib }
}

fn set_id(id: &VolumeId) -> Result<TaskId, String> {
    local::task_id(&id.0)
}

/// Destroys a set, and says so when it isn't there any more. Large ones take a while.
pub fn destroy(store: Volumes, volume: VolumeId, machine: MachineName, inputs: Sender<Input>) {
    tokio::task::spawn_blocking(move || {
        let set = set_id(&volume);
        match set.and_then(|set| {
            store.destroy(machine.as_str(), &set).map_err(|error| error.to_string())
        }) {
            Ok(()) => {
                let fact = VolumeFact::Gone;
                // The loop ends after this.
                let _ = inputs.send(Input::Event(Event::Volume { volume, machine, fact }));
            }
            // It is asked for again.
            Err(why) => crate::paint::warning(&why),
        }
    });
}

/// Sets in the folder that no record knows: the records may be older. They are kept, and listed.
pub fn found(store: &Volumes, state: &State) -> Vec<Event> {
    let event = |(owner, set, parts): (String, TaskId, Vec<Part>)| {
        let (machine, volume) = (owner.parse().ok()?, set.as_str().parse::<VolumeId>().ok()?);
        if state.volumes().get(&volume).is_some() {
            return None;
        }
        let own = |part: Part| {
            let Part { name, size_mib } = part;
            Some(volume::Part { name: name.parse().ok()?, size_mib })
        };
        let parts = parts.into_iter().map(own).collect::<Option<Vec<_>>>()?;
        Some(Event::Volume { volume, machine, fact: VolumeFact::Found { parts } })
    };
    store.all().into_iter().filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_where_volumes_are() {
        let mount = |name: &str| Mount {
            name: name.parse().unwrap(),
            path: "/data".to_owned(),
            size_mib: 1,
        };
        assert_eq!(variable(&mount("data")), "CORRAL_VOLUME_DATA");
        assert_eq!(variable(&mount("write-ahead")), "CORRAL_VOLUME_WRITE_AHEAD");
    }
}
