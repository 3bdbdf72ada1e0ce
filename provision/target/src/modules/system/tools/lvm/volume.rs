//! `lvol`: logical volumes, snapshots and thin pools.

use provision_protocol::Object;

use super::{Work, report, unit_bytes};
use crate::module::{Context, Failure, Given, Outcome};

/// A volume group, in bytes.
struct Group {
    size: f64,
    free: f64,
    extent: f64,
}

/// A volume that is there.
struct Volume {
    size: f64,
    is_active: bool,
}

/// `size`, as it is written.
#[derive(Debug, PartialEq)]
struct Size<'a> {
    /// `+` or `-`: by so much.
    sign: Option<char>,
    number: f64,
    of: Of<'a>,
}

#[derive(Debug, PartialEq)]
enum Of<'a> {
    /// Bytes of the unit.
    Unit(f64),
    /// Per cent of this.
    Percent(&'a str),
}

/// `lvol`: makes, resizes, removes or activates a volume.
///
/// # Errors
/// When there is no such group, something would be lost without `force`, or LVM refuses.
pub fn lvol(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given = Given(given);
    let vg = given.word("vg");
    let wants = given.is("state", "present");
    let groups = report("vgs", "vg_size,vg_free,vg_extent_size", &[vg], context)?;
    let Some(group) = groups.as_ref().and_then(|all| Group::parse(all.first()?)) else {
        let message = format!("Volume group {vg} does not exist.");
        return match wants {
            true => Err(Failure::new(message)),
            false => Ok(Outcome::new(false).with("stdout", message)),
        };
    };
    let name = match (given.text("snapshot"), given.text("lv"), given.text("thinpool")) {
        (Some(name), ..) | (None, Some(name), _) | (None, None, Some(name)) => name,
        (None, None, None) => return Err(Failure::new("one of lv, thinpool is required")),
    };
    let work = Work::on(format!("logical volume {name}"));
    let mut task = Task { given, vg, name, work, said: Vec::new() };
    let there = task.find(name, context)?;
    if given.text("snapshot").is_some() && task.find(given.word("lv"), context)?.is_none() && wants
    {
        let lv = given.word("lv");
        return Err(Failure::new(format!(
            "Snapshot origin LV {lv} does not exist in volume group {vg}."
        )));
    }
    match (there, wants) {
        (None, true) => task.create(context)?,
        (None, false) => {}
        (Some(_), false) => {
            if !given.flag("force") {
                return Err(Failure::new(format!(
                    "Sorry, no removal of logical volume {name} without force=true."
                )));
            }
            let path = format!("{vg}/{name}");
            task.work.perform("lvremove", &["--force", &path], "Failed to remove", context)?;
        }
        (Some(volume), true) => {
            if given.text("size").is_some() && given.text("snapshot").is_none() {
                task.resize(&group, &volume, context)?;
            }
            task.activate(&volume, context)?;
        }
    }
    let outcome = Outcome::new(task.work.changed);
    Ok(match task.said.is_empty() {
        true => outcome,
        false => outcome.with("msg", task.said.join("\n")),
    })
}

impl Group {
    fn parse(fields: &[String]) -> Option<Group> {
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        Some(Group { size: number(0)?, free: number(1)?, extent: number(2)?.max(1.0) })
    }

    /// Whole extents, as LVM allocates them.
    fn rounded(&self, bytes: f64) -> f64 {
        (bytes / self.extent).ceil() * self.extent
    }
}

impl<'a> Size<'a> {
    fn parse(text: &'a str) -> Result<Size<'a>, Failure> {
        let wrong = || Failure::new(format!("Bad size specification of '{text}'"));
        let sign = text.chars().next().filter(|sign| matches!(sign, '+' | '-'));
        let rest = text.trim_start_matches(['+', '-']);
        let (number, of) = match rest.split_once('%') {
            Some((number, of)) => {
                if !matches!(of, "VG" | "PVS" | "FREE" | "ORIGIN") {
                    return Err(Failure::new(format!(
                        "Specify extents as a percentage of VG|PVS|FREE|ORIGIN; got: %{of}"
                    )));
                }
                (number, Of::Percent(of))
            }
            None => {
                let unit = rest.chars().last().filter(char::is_ascii_alphabetic);
                let number = rest.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
                (number, Of::Unit(unit_bytes(unit.unwrap_or('m')).ok_or_else(wrong)?))
            }
        };
        let number = number.parse::<f64>().map_err(|_| wrong())?;
        Ok(Size { sign, number, of })
    }

    /// Switch and value for the programs.
    fn words(&self, text: &str) -> [String; 2] {
        let has_unit = text.ends_with(|letter: char| letter.is_ascii_alphabetic());
        match self.of {
            Of::Percent(_) => ["-l".into(), text.into()],
            Of::Unit(_) if has_unit => ["-L".into(), text.into()],
            Of::Unit(_) => ["-L".into(), format!("{text}m")],
        }
    }
}

struct Task<'a> {
    given: Given<'a>,
    vg: &'a str,
    name: &'a str,
    work: Work,
    said: Vec<String>,
}

impl Task<'_> {
    /// A volume of the group. Thin pools are hidden without `-a`.
    fn find(&self, name: &str, context: &Context<'_>) -> Result<Option<Volume>, Failure> {
        let all = report("lvs", "lv_name,lv_size,lv_active", &["-a", self.vg], context)?;
        let is_it = |fields: &&Vec<String>| {
            fields.first().is_some_and(|found| found.trim_matches(['[', ']']) == name)
        };
        let all = all.unwrap_or_default();
        let found = all.iter().find(is_it);
        Ok(found.and_then(|fields| {
            Some(Volume {
                size: fields.get(1)?.parse().ok()?,
                is_active: fields.get(2).is_some_and(|text| text == "active"),
            })
        }))
    }

    fn create(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let given = self.given;
        let (lv, pool) = (given.text("lv"), given.text("thinpool"));
        let size = given.text("size").filter(|text| !text.is_empty());
        let size = match size {
            Some(text) if Size::parse(text)?.sign == Some('-') => {
                return Err(Failure::new(format!(
                    "Bad size specification of '{text}' for a new volume"
                )));
            }
            Some(text) => {
                let text = text.trim_start_matches('+');
                Some(Size::parse(text)?.words(text))
            }
            // A snapshot of a thin volume grows by itself.
            None if given.text("snapshot").is_some() => None,
            None => return Err(Failure::new("No size given.")),
        };
        let full = |name: &str| format!("{}/{name}", self.vg);
        let mut words: Vec<String> = vec!["--yes".into()];
        let say = |words: &mut Vec<String>, more: &[&str]| {
            words.extend(more.iter().map(|word| (*word).to_owned()));
        };
        match (given.text("snapshot"), pool, lv) {
            (Some(snapshot), ..) => say(&mut words, &["-s", "-n", snapshot]),
            (None, Some(_), Some(lv)) => say(&mut words, &["-n", lv]),
            (None, Some(_), None) => say(&mut words, &["--type", "thin-pool"]),
            (None, None, lv) => say(&mut words, &["-n", lv.unwrap_or_default()]),
        }
        let is_thin = pool.is_some() && lv.is_some();
        match size {
            Some([_, value]) if is_thin => say(&mut words, &["-V", &value]),
            Some([switch, value]) => say(&mut words, &[&switch, &value]),
            None => {}
        }
        words.extend(given.word("opts").split_whitespace().map(str::to_owned));
        match (given.text("snapshot"), pool) {
            (Some(_), _) => words.push(full(lv.unwrap_or_default())),
            (None, Some(pool)) if is_thin => say(&mut words, &["-T", &full(pool)]),
            (None, Some(pool)) => words.push(full(pool)),
            (None, None) => words.push(self.vg.to_owned()),
        }
        words.extend(given.words("pvs").iter().map(|device| (*device).to_owned()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.work.perform("lvcreate", &words, "Creating", context)
    }

    /// How large the volume is to be, in bytes, as whole extents.
    fn wanted(&self, size: &Size<'_>, group: &Group, volume: &Volume) -> f64 {
        let bytes = match &size.of {
            Of::Unit(unit) => size.number * unit,
            Of::Percent("FREE") => size.number * group.free / 100.0,
            Of::Percent("ORIGIN") => size.number * volume.size / 100.0,
            Of::Percent(_) => size.number * group.size / 100.0,
        };
        match (size.sign, &size.of) {
            (Some('-'), _) => group.rounded(volume.size - bytes),
            (Some(_), _) => group.rounded(volume.size + bytes),
            // Of what is free, a volume that is there can only take more.
            (None, Of::Percent("FREE")) => {
                volume.size + (bytes / group.extent).floor() * group.extent
            }
            // Per cent are whole extents already.
            (None, Of::Percent(_)) => (bytes / group.extent).floor() * group.extent,
            (None, Of::Unit(_)) => group.rounded(bytes),
        }
    }

    fn resize(
        &mut self,
        group: &Group,
        volume: &Volume,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let size = Size::parse(self.given.word("size"))?;
        let wanted = self.wanted(&size, group, volume);
        let path = format!("{}/{}", self.vg, self.name);
        let value = format!("{wanted:.0}b");
        let mut words = vec!["-L", &value];
        let is_larger = wanted >= volume.size + group.extent;
        let is_smaller = wanted <= volume.size - group.extent;
        if self.given.flag("resizefs") {
            words.push("--resizefs");
        }
        if is_larger {
            if wanted - volume.size > group.free {
                return Err(Failure::new(format!(
                    "Logical Volume {} could not be extended. Not enough free space left ({:.0} \
                     bytes required / {:.0} bytes available)",
                    self.name,
                    wanted - volume.size,
                    group.free
                )));
            }
            words.push(&path);
            words.extend(self.given.words("pvs"));
            self.work.perform("lvextend", &words, "Failed to resize", context)?;
        } else if is_smaller && self.given.flag("shrink") {
            if wanted <= 0.0 {
                let message = format!("Sorry, no shrinking of {} to 0 permitted.", self.name);
                return Err(Failure::new(message));
            }
            if !self.given.flag("force") {
                let message = format!("Sorry, no shrinking of {} without force=true.", self.name);
                return Err(Failure::new(message));
            }
            words.extend(["--force", &path]);
            self.work.perform("lvreduce", &words, "Failed to resize", context)?;
        }
        if self.work.changed {
            self.said.push(format!("Volume {} resized to {wanted:.0} bytes", self.name));
        }
        Ok(())
    }

    fn activate(&mut self, volume: &Volume, context: &mut Context<'_>) -> Result<(), Failure> {
        let wanted = self.given.flag("active");
        // What no device mapper shows can't be switched.
        if volume.is_active == wanted || !has_device_mapper() {
            return Ok(());
        }
        let path = format!("{}/{}", self.vg, self.name);
        let letter = if wanted { "-ay" } else { "-an" };
        self.work.perform("lvchange", &[letter, &path], "Failed to switch", context)
    }
}

fn has_device_mapper() -> bool {
    let devices = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    devices.lines().any(|line| line.ends_with(" device-mapper"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::Disks;
    use super::*;

    fn group() -> Disks {
        let disks = Disks::new(1);
        let name = format!("corral{}", disks.devices[0].replace('/', "-"));
        disks.call("lvg", json!({"vg": name, "pvs": disks.devices})).unwrap();
        disks
    }

    fn volume(disks: &Disks, more: Value) -> Value {
        let name = disks.says("vgs", "vg_name").remove(0);
        // There is no device to wipe while the device mapper is left alone.
        let mut given = json!({"vg": name, "lv": "data", "opts": "-Zn -Wn"});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        given
    }

    #[test]
    fn a_volume_is_made_grows_shrinks_and_goes() {
        let disks = group();
        let call = |more: Value| disks.call("lvol", volume(&disks, more));
        let size = || disks.says("lvs", "lv_name,lv_size");
        assert!(disks.check("lvol", volume(&disks, json!({"size": "8"}))).unwrap().changed);
        assert!(size().is_empty());
        assert!(call(json!({"size": "10"})).unwrap().changed);
        // Whole extents.
        assert_eq!(size(), ["data;12.00"]);
        assert!(!call(json!({"size": "10"})).unwrap().changed);
        assert!(!call(json!({"size": "12288k"})).unwrap().changed);
        assert!(call(json!({"size": "0.0234375g"})).unwrap().changed);
        assert_eq!(size(), ["data;24.00"]);
        assert!(call(json!({"size": "+4m"})).unwrap().changed);
        assert_eq!(size(), ["data;28.00"]);
        let message = |more: Value| call(more).unwrap_err().message;
        assert_eq!(
            message(json!({"size": "8"})),
            "Sorry, no shrinking of data without force=true."
        );
        assert!(!call(json!({"size": "8", "shrink": false})).unwrap().changed);
        assert!(call(json!({"size": "8", "force": true})).unwrap().changed);
        assert_eq!(size(), ["data;8.00"]);
        assert!(call(json!({"size": "100%FREE"})).unwrap().changed);
        assert_eq!(size(), ["data;60.00"]);
        assert!(!call(json!({"size": "100%FREE"})).unwrap().changed);
        assert!(message(json!({"size": "1t"})).contains("Not enough free space left"));
        assert!(call(json!({"size": "50%VG", "force": true})).unwrap().changed);
        assert_eq!(size(), ["data;28.00"]);
        assert!(!call(json!({"size": "50%VG"})).unwrap().changed);
        let refused = message(json!({"state": "absent"}));
        assert_eq!(refused, "Sorry, no removal of logical volume data without force=true.");
        assert!(call(json!({"state": "absent", "force": true})).unwrap().changed);
        assert!(!call(json!({"state": "absent"})).unwrap().changed);
    }

    #[test]
    fn snapshots_belong_to_volumes() {
        let disks = group();
        let call = |more: Value| disks.call("lvol", volume(&disks, more));
        let failure = call(json!({"size": "4", "snapshot": "copy"})).unwrap_err();
        assert!(failure.message.starts_with("Snapshot origin LV data does not exist"));
        call(json!({"size": "8"})).unwrap();
        assert_eq!(call(json!({"lv": "x"})).unwrap_err().message, "No size given.");
        assert!(!call(json!({"lv": "data"})).unwrap().changed);
        let gone = disks.call("lvol", json!({"vg": "corral-none", "lv": "a", "state": "absent"}));
        assert!(!gone.unwrap().changed);
        let failure = disks.call("lvol", json!({"vg": "corral-none", "lv": "a"})).unwrap_err();
        assert_eq!(failure.message, "Volume group corral-none does not exist.");
    }

    #[test]
    fn sizes_have_units() {
        let size = |text| Size::parse(text).unwrap();
        let unit = |sign, number, bytes| Size { sign, number, of: Of::Unit(bytes) };
        assert_eq!(size("512"), unit(None, 512.0, 1048576.0));
        assert_eq!(size("+1.5G"), unit(Some('+'), 1.5, 1e9));
        assert_eq!(size("-1t"), unit(Some('-'), 1.0, 1099511627776.0));
        assert_eq!(size("80%VG"), Size { sign: None, number: 80.0, of: Of::Percent("VG") });
        for wrong in ["x", "10q", "10%LV", "", "%VG"] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(size("10").words("10"), ["-L", "10m"]);
        assert_eq!(size("+100%FREE").words("+100%FREE"), ["-l", "+100%FREE"]);
    }
}
