//! Whether systemd has to read the unit files again.
//!
//! `daemon-reload` costs a busy host seconds of its first process, and plays ask for it each time.
//! systemd notes when it last began to read (`manager_reloading_start` in its `manager.c`, shown
//! as the time of `/run/systemd/systemd-units-load`). If nothing that it would read has changed
//! since, reading again changes nothing. What can't be looked at counts as changed: generators
//! that aren't known here, links to elsewhere, other mounts, a clock that was set.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use super::systemctl::{Systemctl, properties, property};
use crate::module::Context;

/// Its time of change is when systemd last began to read.
const LOAD_MARK: &str = "run/systemd/systemd-units-load";
/// Folders that systemd reads with all that is in them: units, their generators, its own settings.
const FOLDERS: &[&str] = &[
    "etc/systemd",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/system.control",
    "run/systemd/system.conf.d",
    "run/systemd/system-generators",
    "usr/local/lib/systemd",
    "lib/systemd/system",
    "lib/systemd/system.conf.d",
    "lib/systemd/system-generators",
    "usr/lib/systemd/system",
    "usr/lib/systemd/system.conf.d",
    "usr/lib/systemd/system-generators",
    // What the known generators and the specifiers in units read. The folder `etc` itself shows
    // that one of its files came or went.
    "etc/init.d",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
];
const FILES: &[&str] = &[
    "etc",
    "etc/crypttab",
    "etc/fstab",
    "etc/hostname",
    "etc/integritytab",
    "etc/machine-id",
    "etc/os-release",
    "etc/rc.local",
    "etc/veritytab",
    "usr/lib/os-release",
    "usr/lib/systemd",
];
/// Where the generators of one load are taken from, and which of them read nothing but the above,
/// the kernel's command line and devices.
const GENERATOR_FOLDERS: &[&str] = &[
    "etc/systemd/system-generators",
    "run/systemd/system-generators",
    "usr/local/lib/systemd/system-generators",
    "lib/systemd/system-generators",
    "usr/lib/systemd/system-generators",
];
const KNOWN_GENERATORS: &[&str] = &[
    "systemd-bless-boot-generator",
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
];
/// Parts of the unit path that systemd itself writes while it runs or as it reads.
const OWN_FOLDERS: &[&str] = &[
    "run/systemd/transient",
    "run/systemd/generator",
    "run/systemd/generator.early",
    "run/systemd/generator.late",
];
/// An offline update is due if one of them is there.
const UPDATE_MARKS: &[&str] = &["system-update", "etc/system-update"];

/// More files than this are not looked at.
const FILE_LIMIT: usize = 20_000;
/// If the clocks disagree by more than this on when that was, one was set or the host slept.
const CLOCK_DIFFERENCE_NS: i128 = 500_000_000;
const SECOND_NS: i128 = 1_000_000_000;

/// Whether `daemon-reload` could change anything for the system's own systemd.
pub(super) fn is_reload_due(systemctl: &Systemctl, context: &Context<'_>) -> bool {
    let root = Path::new("/");
    let due = || -> Option<bool> {
        let began_ns = load_began_ns(root)?;
        let show = ["show", "--property=UnitsLoadTimestampMonotonic", "--property=UnitPath"];
        let manager = systemctl.run(&show, context).ok()?;
        let manager = properties(&manager.stdout_text());
        let monotonic_us: i128 =
            property(&manager, "UnitsLoadTimestampMonotonic").parse().ok().filter(|us| *us > 0)?;
        let since_ns = now_ns(ClockId::Monotonic) - monotonic_us * 1_000;
        let difference_ns = now_ns(ClockId::Realtime) - since_ns - began_ns;
        if difference_ns.abs() > CLOCK_DIFFERENCE_NS {
            return None;
        }
        let is_known = |folder: &str| {
            let folder = folder.trim_start_matches('/');
            FOLDERS.iter().chain(OWN_FOLDERS).any(|known| Path::new(folder).starts_with(known))
        };
        if !property(&manager, "UnitPath").split_whitespace().all(is_known) || !named_by_file(root)
        {
            return None;
        }
        // File systems take the time from this clock, which moves in steps.
        let step_ns = nanoseconds(clock_getres(ClockId::RealtimeCoarse));
        changed_since(root, began_ns - 2 * step_ns).ok().map(|changed| changed.is_some())
    };
    due().unwrap_or(true)
}

fn now_ns(clock: ClockId) -> i128 {
    nanoseconds(clock_gettime(clock))
}

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * SECOND_NS + i128::from(time.tv_nsec)
}

fn load_began_ns(root: &Path) -> Option<i128> {
    let mark = fs::symlink_metadata(root.join(LOAD_MARK)).ok()?;
    Some(i128::from(mark.mtime()) * SECOND_NS + i128::from(mark.mtime_nsec()))
}

/// Whether the host's name is the one in its file: units may contain it.
fn named_by_file(root: &Path) -> bool {
    let file = fs::read_to_string(root.join("etc/hostname")).unwrap_or_default();
    nix::unistd::gethostname().is_ok_and(|name| name.to_str() == Some(file.trim()))
}

/// Something that systemd reads and that isn't known to be older than this; `None`: all is.
fn changed_since(root: &Path, time_ns: i128) -> io::Result<Option<PathBuf>> {
    let root = root.canonicalize()?;
    for folder in GENERATOR_FOLDERS {
        for entry in entries(&root.join(folder))? {
            let is_known = entry
                .file_name()
                .is_some_and(|name| KNOWN_GENERATORS.iter().any(|known| name == *known));
            if !is_known {
                return Ok(Some(entry));
            }
        }
    }
    if let Some(mark) = UPDATE_MARKS.iter().map(|mark| root.join(mark)).find(|mark| {
        // Also a link to nowhere is one.
        fs::symlink_metadata(mark).is_ok()
    }) {
        return Ok(Some(mark));
    }
    let mut scan = Scan::new(&root, time_ns)?;
    for file in FILES {
        if let Some(changed) = scan.look_at(&root.join(file))? {
            return Ok(Some(changed));
        }
    }
    while let Some(folder) = scan.folders.pop() {
        if let Some(changed) = scan.look_into(&folder)? {
            return Ok(Some(changed));
        }
    }
    Ok(None)
}

/// What is still to be looked at.
struct Scan {
    root: PathBuf,
    /// The folders that are read whole, as they are really called.
    read: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    devices: Vec<u64>,
    time_ns: i128,
    count: usize,
}

impl Scan {
    fn new(root: &Path, time_ns: i128) -> io::Result<Self> {
        let mut read: Vec<PathBuf> =
            FOLDERS.iter().filter_map(|folder| root.join(folder).canonicalize().ok()).collect();
        read.sort();
        read.dedup();
        // What is mounted over a folder keeps its old times.
        let mut devices = vec![fs::metadata(root)?.dev()];
        devices.extend(fs::metadata(root.join("run")).map(|run| run.dev()));
        let folders = read.clone();
        Ok(Scan { root: root.to_owned(), read, folders, devices, time_ns, count: 0 })
    }

    fn look_into(&mut self, folder: &Path) -> io::Result<Option<PathBuf>> {
        if let Some(changed) = self.look_at(folder)? {
            return Ok(Some(changed));
        }
        for entry in entries(folder)? {
            if let Some(changed) = self.look_at(&entry)? {
                return Ok(Some(changed));
            }
            let kind = fs::symlink_metadata(&entry)?.file_type();
            if kind.is_dir() {
                self.folders.push(entry);
            }
        }
        Ok(None)
    }

    /// The path if it isn't known to be older. What isn't there is known by its folder.
    fn look_at(&mut self, path: &Path) -> io::Result<Option<PathBuf>> {
        self.count += 1;
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let changed_ns = i128::from(found.ctime()) * SECOND_NS + i128::from(found.ctime_nsec());
        let is_new = changed_ns >= self.time_ns;
        let is_elsewhere = !self.devices.contains(&found.dev());
        if is_new || is_elsewhere || self.count > FILE_LIMIT || !self.knows_target(path, &found)? {
            return Ok(Some(path.to_owned()));
        }
        Ok(None)
    }

    /// Whether it is no link, or one to something that is looked at, too.
    fn knows_target(&self, path: &Path, found: &fs::Metadata) -> io::Result<bool> {
        if !found.file_type().is_symlink() {
            return Ok(true);
        }
        let named = fs::read_link(path)?;
        if named == Path::new("/dev/null") {
            return Ok(true);
        }
        let is_read = |target: &Path| self.read.iter().any(|folder| target.starts_with(folder));
        if let Ok(target) = path.canonicalize() {
            return Ok(is_read(&target) || target == self.root.join("usr/lib/os-release"));
        }
        // It leads nowhere. Should the target come, its folder shows it.
        let named = named.strip_prefix("/").map_or(named.clone(), |named| self.root.join(named));
        let target = path.parent().map(|folder| folder.join(named));
        let folder = target.as_deref().and_then(Path::parent);
        Ok(folder.and_then(|folder| folder.canonicalize().ok()).is_some_and(|at| is_read(&at)))
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    /// A step of the clock of file systems, with a margin.
    const STEP: Duration = Duration::from_millis(30);

    /// A host with some units, and when systemd read them.
    fn host() -> (tempfile::TempDir, i128) {
        let host = tempfile::tempdir().unwrap();
        let root = host.path();
        for folder in [
            "etc/systemd/system/multi-user.target.wants",
            "etc/systemd/system/web.service.d",
            "run/systemd/system",
            "run/systemd/transient",
            "usr/lib/systemd/system",
            "usr/lib/systemd/system-generators",
            "opt/web",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("../usr/lib/os-release", root.join("etc/os-release")).unwrap();
        for file in [
            "etc/fstab",
            "etc/systemd/system/web.service",
            "etc/systemd/system/web.service.d/limits.conf",
            "etc/systemd/system.conf",
            "usr/lib/os-release",
            "usr/lib/systemd/system/ssh.service",
            "usr/lib/systemd/system-generators/systemd-fstab-generator",
            "opt/web/web.service",
        ] {
            fs::write(root.join(file), "before").unwrap();
        }
        let wants = root.join("etc/systemd/system/multi-user.target.wants");
        symlink("/lib/systemd/system/gone.service", wants.join("gone.service")).unwrap();
        symlink("../web.service", wants.join("web.service")).unwrap();
        symlink("/dev/null", root.join("etc/systemd/system/rc.service")).unwrap();
        sleep(STEP);
        let read = now_ns(ClockId::Realtime);
        sleep(STEP);
        (host, read)
    }

    #[test]
    fn nothing_is_due_as_long_as_nothing_changes() {
        let (host, read) = host();
        assert_eq!(changed_since(host.path(), read).unwrap(), None);
        // What systemd writes itself, and what it doesn't read.
        fs::write(host.path().join("run/systemd/transient/run-1.service"), "").unwrap();
        fs::write(host.path().join("opt/web/web.service"), "after").unwrap();
        fs::write(host.path().join("usr/lib/other"), "").unwrap();
        assert_eq!(changed_since(host.path(), read).unwrap(), None);
    }

    #[test]
    fn every_change_is_seen() {
        type Change = fn(&Path) -> io::Result<()>;
        let changes: &[(&str, Change)] = &[
            ("a new unit", |root| fs::write(root.join("etc/systemd/system/new.service"), "")),
            ("a changed unit", |root| fs::write(root.join("etc/systemd/system/web.service"), "x")),
            ("a changed unit of a package", |root| {
                fs::write(root.join("usr/lib/systemd/system/ssh.service"), "x")
            }),
            ("the same text with the old times", |root| {
                let unit = root.join("etc/systemd/system/web.service");
                let times = fs::metadata(&unit)?.modified()?;
                fs::write(&unit, "after!")?;
                fs::File::options().write(true).open(&unit)?.set_modified(times)
            }),
            ("a mode", |root| {
                let unit = root.join("etc/systemd/system/web.service");
                fs::set_permissions(unit, fs::Permissions::from_mode(0o600))
            }),
            ("a unit less", |root| fs::remove_file(root.join("etc/systemd/system/web.service"))),
            ("a drop-in", |root| {
                fs::write(root.join("etc/systemd/system/web.service.d/limits.conf"), "x")
            }),
            ("a drop-in less", |root| {
                fs::remove_file(root.join("etc/systemd/system/web.service.d/limits.conf"))
            }),
            ("a folder of drop-ins", |root| {
                fs::create_dir(root.join("usr/lib/systemd/system/ssh.service.d"))
            }),
            ("a unit that is enabled", |root| {
                let wants = root.join("etc/systemd/system/multi-user.target.wants/ssh.service");
                symlink("/lib/systemd/system/ssh.service", wants)
            }),
            ("the end of a link to nowhere", |root| {
                fs::write(root.join("usr/lib/systemd/system/gone.service"), "")
            }),
            ("a link to elsewhere", |root| {
                let link = root.join("etc/systemd/system/linked.service");
                symlink(root.join("opt/web/web.service"), link)
            }),
            ("an entry of fstab", |root| fs::write(root.join("etc/fstab"), "x")),
            ("a table of encrypted disks", |root| fs::write(root.join("etc/crypttab"), "x")),
            ("a setting of systemd", |root| fs::write(root.join("etc/systemd/system.conf"), "x")),
            ("a runtime unit", |root| fs::write(root.join("run/systemd/system/now.service"), "x")),
            ("another system", |root| fs::write(root.join("usr/lib/os-release"), "x")),
        ];
        for (what, change) in changes {
            let (host, read) = host();
            change(host.path()).unwrap();
            assert!(changed_since(host.path(), read).unwrap().is_some(), "{what}");
        }
    }

    #[test]
    fn what_cannot_be_known_counts_as_changed() {
        type Place = fn(&Path) -> io::Result<()>;
        let places: &[(&str, Place)] = &[
            ("an unknown generator", |root| {
                fs::write(root.join("usr/lib/systemd/system-generators/netplan"), "")
            }),
            ("a link to elsewhere", |root| {
                symlink("/opt/web/web.service", root.join("etc/systemd/system/linked.service"))
            }),
            ("an offline update", |root| symlink("/var/update", root.join("system-update"))),
        ];
        for (what, place) in places {
            let (host, _) = host();
            place(host.path()).unwrap();
            sleep(STEP);
            let read = now_ns(ClockId::Realtime);
            assert!(changed_since(host.path(), read).unwrap().is_some(), "{what}");
        }
    }
}
