//! `lvg`: volume groups.

use std::collections::BTreeSet;
use std::fs;

use provision_protocol::Object;

use super::{Work, report};
use crate::module::{Context, Failure, Given, Outcome};

/// `lvg`: makes, changes or removes a group of physical volumes.
///
/// # Errors
/// When a device isn't there or belongs to another group, a group isn't empty, or LVM refuses.
pub fn lvg(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let name = given.word("vg");
    let groups = report("vgs", "vg_name,pv_count,lv_count", &[], context)?.unwrap_or_default();
    let there = groups.iter().find(|fields| fields.first().is_some_and(|field| field == name));
    let volumes = there.and_then(|fields| fields.get(2)?.parse::<u64>().ok()).unwrap_or(0);
    let mut task = Task { given, name, work: Work::on(name) };
    match (given.word("state"), there.is_some()) {
        ("absent", true) => {
            if volumes > 0 && !given.flag("force") {
                return Err(Failure::new(format!(
                    "Refuse to remove non-empty volume group {name} without force=true"
                )));
            }
            let failure = "Failed to remove volume group";
            task.work.perform("vgremove", &["--force", name], failure, context)?;
        }
        ("absent", false) => {}
        (state @ ("active" | "inactive"), true) => task.activate(state == "active", context)?,
        ("present" | "active" | "inactive", false) => task.create(context)?,
        (_, true) => task.change(context)?,
        (_, false) => {}
    }
    Ok(Outcome::new(task.work.changed))
}

struct Task<'a> {
    given: Given<'a>,
    name: &'a str,
    work: Work,
}

impl Task<'_> {
    /// The devices that are wanted, as LVM names them.
    fn devices(&self) -> Result<Vec<String>, Failure> {
        let resolve = |name: &&str| match fs::canonicalize(name) {
            Ok(path) if name.starts_with("/dev/mapper/") || path.starts_with("/dev/dm-") => {
                Ok((*name).to_owned())
            }
            Ok(path) => Ok(path.display().to_string()),
            Err(_) => Err(Failure::new(format!("Device {name} not found."))),
        };
        self.given.words("pvs").iter().map(resolve).collect()
    }

    /// All physical volumes: device, group, bytes of the device, bytes that are used of it.
    fn volumes(context: &Context<'_>) -> Result<Vec<Vec<String>>, Failure> {
        Ok(report("pvs", "pv_name,vg_name,dev_size,pv_size", &[], context)?.unwrap_or_default())
    }

    /// Makes devices physical volumes that are none yet.
    fn prepare(&mut self, devices: &[String], context: &mut Context<'_>) -> Result<(), Failure> {
        let known = Self::volumes(context)?;
        let find = |device: &String| known.iter().find(|fields| fields.first() == Some(device));
        for device in devices {
            let group = find(device).and_then(|fields| fields.get(1)).cloned().unwrap_or_default();
            if !group.is_empty() && group != self.name {
                let message = format!("{device} is already in {group} volume group.");
                return Err(Failure::new(message));
            }
        }
        let options: Vec<&str> = self.given.word("pv_options").split_whitespace().collect();
        for device in devices.iter().filter(|device| find(device).is_none()) {
            let mut words = options.clone();
            words.extend(["-f", device]);
            self.work.perform(
                "pvcreate",
                &words,
                "Creating physical volume failed for",
                context,
            )?;
        }
        Ok(())
    }

    fn create(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let devices = self.devices()?;
        if devices.is_empty() {
            return Err(Failure::new("No physical volumes given."));
        }
        self.prepare(&devices, context)?;
        let mut words: Vec<&str> = self.given.word("vg_options").split_whitespace().collect();
        words.extend(["-s", self.given.word("pesize"), self.name]);
        words.extend(devices.iter().map(String::as_str));
        self.work.perform("vgcreate", &words, "Creating volume group failed:", context)?;
        if self.given.is("state", "inactive") {
            self.work.perform(
                "vgchange",
                &["--activate", "n", self.name],
                "Failed to set",
                context,
            )?;
        }
        Ok(())
    }

    fn change(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self.given.texts("pvs").is_none() {
            return Ok(());
        }
        let wanted = self.devices()?;
        let known = Self::volumes(context)?;
        let own: Vec<&Vec<String>> = known
            .iter()
            .filter(|fields| fields.get(1).is_some_and(|group| group == self.name))
            .collect();
        let devices: BTreeSet<&String> = own.iter().filter_map(|fields| fields.first()).collect();
        let more: Vec<String> =
            wanted.iter().filter(|device| !devices.contains(device)).cloned().collect();
        let fewer: Vec<&str> = devices
            .iter()
            .filter(|device| self.given.flag("remove_extra_pvs") && !wanted.contains(device))
            .map(|device| device.as_str())
            .collect();
        if !more.is_empty() {
            self.prepare(&more, context)?;
            let mut words = vec![self.name];
            words.extend(more.iter().map(String::as_str));
            self.work.perform("vgextend", &words, "Unable to extend", context)?;
        }
        if self.given.flag("pvresize") {
            for fields in own.iter().filter(|fields| has_room(fields)) {
                let Some(device) = fields.first() else { continue };
                self.work.perform(
                    "pvresize",
                    &[device],
                    "Failed executing pvresize in",
                    context,
                )?;
            }
        }
        if !fewer.is_empty() {
            let mut words = vec!["--force", self.name];
            words.extend(fewer);
            self.work.perform("vgreduce", &words, "Unable to reduce", context)?;
        }
        Ok(())
    }

    fn activate(&mut self, wanted: bool, context: &mut Context<'_>) -> Result<(), Failure> {
        let said = report("lvs", "lv_active", &[self.name], context)?.unwrap_or_default();
        let is_wanted =
            |fields: &Vec<String>| fields.first().is_some_and(|text| text == "active") == wanted;
        if said.iter().all(is_wanted) {
            return Ok(());
        }
        let letter = if wanted { "y" } else { "n" };
        self.work.perform("vgchange", &["--activate", letter, self.name], "Failed to set", context)
    }
}

/// Whether a device has grown by more than LVM's own room at its ends: 4 MiB are an extent.
fn has_room(fields: &[String]) -> bool {
    let bytes = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    matches!((bytes(2), bytes(3)), (Some(device), Some(used)) if device >= used + (8 << 20))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::Disks;

    #[test]
    fn a_group_grows_shrinks_and_goes() {
        let disks = Disks::new(2);
        let [one, two] = disks.devices.as_slice() else { panic!("two disks") };
        let group = |pvs: &[&String]| json!({"vg": "corral-lvg", "pvs": pvs, "pesize": "8"});
        assert!(disks.check("lvg", group(&[one])).unwrap().changed);
        assert!(disks.says("vgs", "vg_name").is_empty());
        assert!(disks.call("lvg", group(&[one])).unwrap().changed);
        assert_eq!(disks.says("vgs", "vg_name,vg_extent_size,pv_count"), ["corral-lvg;8.00;1"]);
        assert!(!disks.call("lvg", group(&[one])).unwrap().changed);
        assert!(disks.call("lvg", group(&[one, two])).unwrap().changed);
        assert_eq!(disks.says("vgs", "pv_count"), ["2"]);
        let other = json!({"vg": "corral-other", "pvs": [two]});
        let failure = disks.call("lvg", other).unwrap_err();
        let wanted = format!("{two} is already in corral-lvg volume group.");
        assert_eq!(failure.message, wanted);
        let mut keeps = group(&[two]);
        keeps["remove_extra_pvs"] = false.into();
        assert!(!disks.call("lvg", keeps).unwrap().changed);
        assert!(disks.call("lvg", group(&[two])).unwrap().changed);
        assert_eq!(disks.says("vgs", "pv_count"), ["1"]);
        disks
            .call("lvol", json!({"vg": "corral-lvg", "lv": "a", "size": "8", "opts": "-Zn"}))
            .unwrap();
        let absent = json!({"vg": "corral-lvg", "state": "absent"});
        let failure = disks.call("lvg", absent.clone()).unwrap_err();
        assert!(failure.message.starts_with("Refuse to remove non-empty volume group"));
        let mut forced = absent.clone();
        forced["force"] = true.into();
        assert!(disks.call("lvg", forced).unwrap().changed);
        assert!(!disks.call("lvg", absent).unwrap().changed);
    }

    #[test]
    fn a_device_that_has_grown_is_used() {
        let disks = Disks::new(1);
        let device = &disks.devices[0];
        let group = json!({"vg": "corral-grown", "pvs": device, "pvresize": true});
        disks.call("lvg", group.clone()).unwrap();
        assert!(!disks.call("lvg", group.clone()).unwrap().changed);
        disks.grow(0, 96 << 20);
        assert!(disks.call("lvg", group.clone()).unwrap().changed);
        assert!(!disks.call("lvg", group).unwrap().changed);
        assert_eq!(disks.says("vgs", "vg_size"), ["92.00"]);
        let failure = disks.call("lvg", json!({"vg": "corral-x", "pvs": "/dev/no-such"}));
        assert_eq!(failure.unwrap_err().message, "Device /dev/no-such not found.");
        let failure = disks.call("lvg", json!({"vg": "corral-x"})).unwrap_err();
        assert_eq!(failure.message, "No physical volumes given.");
    }
}
