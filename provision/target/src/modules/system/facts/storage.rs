//! Facts: block devices, volumes, mounted file systems.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use indexmap::IndexMap;
use provision_protocol::Object;
use rustix::fs::statvfs;
use serde_json::Value;

use super::super::process::{Run, find_program};
use super::{Gathering, content, entries, object, platform};

pub(super) fn devices(gathering: &mut Gathering<'_, '_>) {
    let links = Links::read();
    let mut devices = Object::new();
    for name in entries("/sys/block") {
        let folder = Path::new("/sys/block").join(&name);
        // A device without a link belongs to a kernel from before sysfs had them.
        let Ok(target) = fs::read_link(&folder) else { continue };
        let pci = target.to_string_lossy().into_owned();
        devices.insert(name.clone(), device(&name, &folder, &pci, &links));
    }
    gathering.set("device_links", links.all());
    gathering.set("devices", devices);
}

fn device(name: &str, folder: &Path, _pci: &str, links: &Links) -> Value {
    let read = |file: &str| content(folder.join(file));
    let mut facts = Object::new();
    let mut set = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    set("virtual", 1.into());
    set("links", links.of(name));
    for key in ["vendor", "model", "sas_address", "sas_device_handle"] {
        set(key, read(&format!("device/{key}")).into());
    }
    if let Some(serial) = read("device/serial") {
        set("serial", serial.into());
    }
    set("removable", read("removable").into());
    let discard = match read("queue/discard_max_hw_bytes").as_deref() {
        Some("0") => Some("0".to_owned()),
        _ => read("queue/discard_granularity"),
    };
    set("support_discard", discard.into());
    if let Some(wwn) = links.wwn(name) {
        set("wwn", wwn.into());
    }
    let partitions = entries(folder).into_iter().filter(|entry| is_partition(name, entry));
    let partitions: Object = partitions
        .map(|partition| {
            let facts = self::partition(&folder.join(&partition), &partition, links);
            (partition, facts)
        })
        .collect();
    set("partitions", partitions.into());
    set("rotational", read("queue/rotational").into());
    let scheduler = read("queue/scheduler").unwrap_or_default();
    let scheduler = scheduler.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    set("scheduler_mode", scheduler.map_or("", |(active, _)| active).into());
    let (sector, sectors) = sectors(folder);
    set("sectorsize", sector.to_string().into());
    set("sectors", sectors.into());
    set("size", human(sectors.saturating_mul(sector)).into());
    set("host", "".into());
    set("holders", holders(folder).into());
    Value::Object(facts)
}

fn partition(folder: &Path, name: &str, links: &Links) -> Value {
    let (sector, sectors) = sectors(folder);
    object([
        ("links", links.of(name)),
        ("start", content(folder.join("start")).unwrap_or_else(|| "0".to_owned()).into()),
        ("sectorsize", sector.into()),
        ("sectors", sectors.into()),
        ("size", human(sectors.saturating_mul(sector)).into()),
        ("uuid", links.uuids.get(name).and_then(|names| names.first()).cloned().into()),
        ("holders", holders(folder).into()),
    ])
}

/// Whether an entry of a device's folder is a partition: the name, perhaps `p`, and digits.
fn is_partition(device: &str, entry: &str) -> bool {
    entry.strip_prefix(device).map(|rest| rest.strip_prefix('p').unwrap_or(rest)).is_some_and(
        |rest| !rest.is_empty() && rest.chars().all(|character| character.is_ascii_digit()),
    )
}

/// Size of a sector in bytes, and how many there are; the kernel counts in units of 512 bytes.
fn sectors(folder: &Path) -> (u64, u64) {
    const KERNEL_SECTOR_BYTES: u64 = 512;
    let number = |file: &str| content(folder.join(file)).and_then(|text| text.parse::<u64>().ok());
    let sector = number("queue/logical_block_size")
        .or_else(|| number("queue/hw_sector_size"))
        .filter(|size| *size > 0)
        .unwrap_or(KERNEL_SECTOR_BYTES);
    (sector, number("size").unwrap_or(0).saturating_mul(KERNEL_SECTOR_BYTES) / sector)
}

/// Device mapper devices on top of a device.
fn holders(folder: &Path) -> Vec<String> {
    let folder = folder.join("holders");
    entries(&folder)
        .into_iter()
        .filter(|name| name.starts_with("dm-"))
        .map(|name| content(folder.join(&name).join("dm/name")).unwrap_or(name))
        .collect()
}

/// A size for people, with two decimals.
fn human(bytes: u64) -> String {
    const UNITS: &[(&str, u32)] =
        &[("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    for (unit, shift) in UNITS {
        if bytes >= 1 << shift {
            // Hundredths, rounded; u128 because an exabyte times 100 doesn't fit into u64.
            let hundredths = (u128::from(bytes) * 100 + (1 << (shift - 1))) >> shift;
            return format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100);
        }
    }
    format!("{bytes}.00 Bytes")
}

/// Names by which udev links to devices.
struct Links {
    ids: BTreeMap<String, Vec<String>>,
    uuids: BTreeMap<String, Vec<String>>,
    labels: BTreeMap<String, Vec<String>>,
    masters: BTreeMap<String, Vec<String>>,
}

impl Links {
    fn read() -> Self {
        Links {
            ids: links_in("/dev/disk/by-id"),
            uuids: links_in("/dev/disk/by-uuid"),
            labels: links_in("/dev/disk/by-label"),
            masters: masters(),
        }
    }

    fn kinds(&self) -> [(&'static str, &BTreeMap<String, Vec<String>>); 4] {
        [
            ("ids", &self.ids),
            ("uuids", &self.uuids),
            ("labels", &self.labels),
            ("masters", &self.masters),
        ]
    }

    fn of(&self, device: &str) -> Value {
        object(
            self.kinds()
                .map(|(kind, links)| (kind, links.get(device).cloned().unwrap_or_default().into())),
        )
    }

    fn all(&self) -> Value {
        object(self.kinds().map(|(kind, links)| {
            let links: Object = links
                .iter()
                .map(|(device, names)| (device.clone(), names.clone().into()))
                .collect();
            (kind, links.into())
        }))
    }

    fn wwn(&self, device: &str) -> Option<String> {
        let names = self.ids.get(device)?;
        names.iter().find_map(|name| name.strip_prefix("wwn-")).map(str::to_owned)
    }
}

/// Sorted names of links by the device they point to.
pub(super) fn links_in(folder: &str) -> BTreeMap<String, Vec<String>> {
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in entries(folder) {
        let Ok(target) = fs::read_link(Path::new(folder).join(&name)) else { continue };
        let Some(device) = target.file_name() else { continue };
        links.entry(device.to_string_lossy().into_owned()).or_default().push(name);
    }
    links
}

fn masters() -> BTreeMap<String, Vec<String>> {
    let mut masters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for device in entries("/sys/block") {
        for slave in entries(format!("/sys/block/{device}/slaves")) {
            masters.entry(slave).or_default().push(device.clone());
        }
    }
    masters
}

/// LVM: only its own programs know; they are asked only if the kernel shows any volume.
pub(super) fn volumes(gathering: &mut Gathering<'_, '_>) {
    if find_program("vgs").is_none() || !nix::unistd::geteuid().is_root() {
        gathering.set("lvm", "N/A");
        return;
    }
    let ask = |program: &str| -> Vec<Vec<String>> {
        if !platform::has_volumes() {
            return Vec::new();
        }
        let Ok(run) = Run::tool(program) else { return Vec::new() };
        let options = ["--noheadings", "--nosuffix", "--units", "g", "--separator", ","];
        let Ok(finished) = run.arguments(options).parsable().run(gathering.context) else {
            return Vec::new();
        };
        let text = finished.stdout_text();
        text.lines().map(|line| line.trim().split(',').map(str::to_owned).collect()).collect()
    };
    let field = |items: &[String], index: usize| -> Value {
        items.get(index).cloned().unwrap_or_default().into()
    };
    let table = |rows: Vec<Vec<String>>, columns: &[(&str, usize)]| -> Value {
        let rows: Object = rows
            .iter()
            .filter_map(|row| {
                let facts: Object = columns
                    .iter()
                    .map(|(name, index)| ((*name).to_owned(), field(row, *index)))
                    .collect();
                Some((row.first()?.clone(), Value::Object(facts)))
            })
            .collect();
        Value::Object(rows)
    };
    let groups = ask("vgs");
    let last = groups.first().map_or(6, Vec::len).saturating_sub(1);
    let facts = object([
        ("lvs", table(ask("lvs"), &[("size_g", 3), ("vg", 1)])),
        (
            "vgs",
            table(
                groups,
                &[
                    ("size_g", last.saturating_sub(1)),
                    ("free_g", last),
                    ("num_lvs", 2),
                    ("num_pvs", 1),
                ],
            ),
        ),
        ("pvs", table(ask("pvs"), &[("size_g", 4), ("free_g", 5), ("vg", 1)])),
    ]);
    gathering.set("lvm", facts);
}

/// One line of `/etc/mtab`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    mount: String,
    kind: String,
    options: String,
    dump: i64,
    pass: i64,
}

/// Mounted file systems with a device. A dead network file system blocks whoever asks about it,
/// so each is asked in a thread that may be left behind.
pub(super) fn mounts(gathering: &mut Gathering<'_, '_>) {
    let table = content("/etc/mtab").or_else(|| content("/proc/mounts")).unwrap_or_default();
    let bound = bound_mounts(&content("/proc/self/mountinfo").unwrap_or_default());
    let by_uuid = links_in("/dev/disk/by-uuid");
    let mut mounts = Vec::new();
    let mut answers = Vec::new();
    for mount in parse_mounts(&table) {
        let (sender, receiver) = mpsc::channel();
        let path = mount.mount.clone();
        thread::spawn(move || {
            let _ = sender.send(usage(Path::new(&path)));
        });
        answers.push((mount, receiver));
    }
    for (mount, answer) in answers {
        let answer = answer.recv_timeout(gathering.timeout);
        let mut options = mount.options.clone();
        if bound.contains(&mount.mount) && !options.contains("bind") {
            options.push_str(",bind");
        }
        let mut facts = vec![
            ("mount".to_owned(), Value::from(mount.mount.as_str())),
            ("device".to_owned(), mount.device.as_str().into()),
            ("fstype".to_owned(), mount.kind.as_str().into()),
            ("options".to_owned(), options.into()),
            ("dump".to_owned(), mount.dump.into()),
            ("passno".to_owned(), mount.pass.into()),
        ];
        match answer {
            Ok(usage) => {
                facts.extend(usage);
                let uuid = uuid(&mount.device, &by_uuid).unwrap_or_else(|| "N/A".to_owned());
                facts.push(("uuid".to_owned(), uuid.into()));
            }
            Err(_) => {
                let note = "Could not get extra information due to timeout";
                facts.push(("note".to_owned(), note.into()));
                gathering
                    .warnings
                    .push(format!("Timeout exceeded when getting mount info for {}", mount.mount));
            }
        }
        mounts.push(Value::Object(facts.into_iter().collect()));
    }
    gathering.set("mounts", mounts);
}

pub(super) fn uuid(device: &str, by_uuid: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let real = fs::canonicalize(device).unwrap_or_else(|_| PathBuf::from(device));
    let name = real.file_name()?.to_string_lossy().into_owned();
    by_uuid.get(&name)?.first().cloned()
}

pub(super) fn usage(path: &Path) -> Vec<(String, Value)> {
    let Ok(data) = statvfs(path) else { return Vec::new() };
    [
        ("size_total", data.f_frsize.saturating_mul(data.f_blocks)),
        ("size_available", data.f_frsize.saturating_mul(data.f_bavail)),
        ("block_size", data.f_bsize),
        ("block_total", data.f_blocks),
        ("block_available", data.f_bavail),
        ("block_used", data.f_blocks.saturating_sub(data.f_bavail)),
        ("inode_total", data.f_files),
        ("inode_available", data.f_favail),
        ("inode_used", data.f_files.saturating_sub(data.f_favail)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.into()))
    .collect()
}

/// Of several mounts at one place only the last is seen.
fn parse_mounts(table: &str) -> Vec<Mount> {
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(unescaped);
        let mount = Mount {
            device: fields.next()?,
            mount: fields.next()?,
            kind: fields.next()?,
            options: fields.next()?,
            dump: fields.next().and_then(|text| text.parse().ok()).unwrap_or(0),
            pass: fields.next().and_then(|text| text.parse().ok()).unwrap_or(0),
        };
        let real = mount.device.starts_with(['/', '\\']) || mount.device.contains(":/");
        (real && mount.kind != "none").then_some(mount)
    });
    let by_place: IndexMap<String, Mount> =
        mounts.map(|mount| (mount.mount.clone(), mount)).collect();
    by_place.into_values().collect()
}

/// Mount points that show only a part of their file system.
fn bound_mounts(information: &str) -> BTreeSet<String> {
    information
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(3);
            let (root, mount) = (fields.next()?, fields.next()?);
            (root != "/").then(|| unescaped(mount))
        })
        .collect()
}

/// The kernel writes blanks and backslashes as a backslash and three octal digits.
pub(super) fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let byte = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte {
            Some(byte) => {
                text.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(0), "0.00 Bytes");
        assert_eq!(human(1023), "1023.00 Bytes");
        assert_eq!(human(1536), "1.50 KB");
        assert_eq!(human(20 << 30), "20.00 GB");
        assert_eq!(human(1_000_204_886_016), "931.51 GB");
        assert_eq!(human(u64::MAX), "16.00 EB");
    }

    #[test]
    fn partitions_have_their_devices_name() {
        assert!(is_partition("sda", "sda1") && is_partition("nvme0n1", "nvme0n1p12"));
        assert!(!is_partition("sda", "sda") && !is_partition("sda", "size"));
        assert!(!is_partition("sda", "sdap"));
    }

    #[test]
    fn mounts_with_devices_only() {
        let table = "/dev/sda1 / ext4 rw,relatime 0 1\nproc /proc proc rw 0 0\n\
            nas:/home /mnt/a\\040b nfs4 rw 0 0\n/dev/sda2 /x none rw,bind 0 0\nshort\n";
        let mounts = parse_mounts(table);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].pass, 1);
        assert_eq!(mounts[1].mount, "/mnt/a b");
        let information = "36 35 98:0 /sub /mnt/sub rw shared:1 - ext4 /dev/sda1 rw\n\
            37 35 98:0 / /mnt/all rw - ext4 /dev/sda1 rw\n";
        assert_eq!(bound_mounts(information).into_iter().collect::<Vec<_>>(), ["/mnt/sub"]);
    }
}
