//! `[io]` Control groups of a lab, in every hierarchy the machine has (v1, v2 or both).
//!
//! Membership is how the lab knows its own processes: a pid read from one of our groups belongs
//! to a process that we started, which a pid from a file doesn't. Never touches other groups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Doing, Error};

/// A group's weight under the root of `cpu` is that of one process; a host is worth one process.
const CPU_SHARES_PER_HOST: usize = 1024;
/// Killed processes are gone within milliseconds, unless the machine is very busy.
const KILL_LIMIT: Duration = Duration::from_secs(20);
/// Groups of dead processes are removable a moment after the processes are gone.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// All control group hierarchies of this machine.
#[derive(Debug, Clone)]
pub struct Hierarchies {
    roots: Vec<PathBuf>,
}

/// Who is in a group and in those below it.
#[derive(Debug, Default)]
pub struct Members {
    /// Processes that we can see.
    pub pids: BTreeSet<i32>,
    /// There are processes of another pid namespace.
    pub foreign: bool,
}

impl Hierarchies {
    /// Reads the machine's mounts.
    ///
    /// # Errors
    /// `/proc/mounts` can't be read or has no hierarchy.
    pub fn find() -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/mounts").doing(|| "read /proc/mounts".to_owned())?;
        let roots = hierarchies_in(&mounts);
        if roots.is_empty() {
            return Err(Error::refused("find the control groups", "none is mounted"));
        }
        Ok(Self { roots })
    }

    /// Creates a group (and those above it) in every hierarchy.
    ///
    /// # Errors
    /// A directory can't be made.
    pub fn create(&self, group: &str) -> Result<(), Error> {
        for root in &self.roots {
            let mut path = root.clone();
            for part in group.split('/') {
                let above = path.clone();
                path.push(part);
                if path.is_dir() {
                    continue;
                }
                match fs::create_dir(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                        return Err(error)
                            .doing(|| format!("create the control group {}", path.display()));
                    }
                    _ => {}
                }
                inherit_cpuset(&above, &path);
            }
        }
        Ok(())
    }

    /// Gives a lab as much processor time as its hosts would have as processes of their own.
    pub fn set_weight(&self, group: &str, hosts: usize) {
        for root in &self.roots {
            let file = root.join(group).join("cpu.shares");
            if file.exists() {
                // A lab without the weight is slower on a busy machine, not wrong.
                let _ = fs::write(file, (CPU_SHARES_PER_HOST * hosts.max(10)).to_string());
            }
        }
    }

    /// Moves the calling process into a group.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn join(&self, group: &str) -> Result<(), Error> {
        for root in &self.roots {
            let file = root.join(group).join("cgroup.procs");
            fs::write(&file, "0").doing(|| format!("join {}", file.display()))?;
        }
        Ok(())
    }

    /// The processes in a group and below.
    #[must_use]
    pub fn members(&self, group: &str) -> Members {
        let mut members = Members::default();
        for root in &self.roots {
            for directory in tree(&root.join(group)) {
                let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                for pid in text.lines().filter_map(|line| line.trim().parse().ok()) {
                    match pid {
                        0 => members.foreign = true,
                        pid => drop(members.pids.insert(pid)),
                    }
                }
            }
        }
        members
    }

    /// Kills every process in a group and below, and waits until they are gone.
    ///
    /// # Errors
    /// Some are still there after a while.
    pub fn kill_all(&self, group: &str) -> Result<(), Error> {
        let deadline = Instant::now() + KILL_LIMIT;
        let own = Pid::this().as_raw();
        loop {
            let mut members = self.members(group).pids;
            members.remove(&own);
            if members.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::refused(
                    format!("kill the processes of {group}"),
                    format!("these are still there: {members:?}"),
                ));
            }
            for pid in members {
                // Gone already is as good as killed.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(POLL);
        }
    }

    /// Removes a group and those below it from every hierarchy.
    ///
    /// # Errors
    /// A group still has processes.
    pub fn remove(&self, group: &str) -> Result<(), Error> {
        let deadline = Instant::now() + REMOVE_LIMIT;
        for root in &self.roots {
            let top = root.join(group);
            while top.is_dir() {
                let mut last = Ok(());
                for directory in tree(&top).iter().rev() {
                    match fs::remove_dir(directory) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            last = Err(error);
                        }
                        _ => {}
                    }
                }
                if last.is_err() && Instant::now() > deadline {
                    return last.doing(|| format!("remove the control group {}", top.display()));
                }
                if top.is_dir() {
                    thread::sleep(POLL);
                }
            }
        }
        Ok(())
    }

    /// Top-level groups whose names begin with `prefix`.
    #[must_use]
    pub fn groups_with_prefix(&self, prefix: &str) -> BTreeSet<String> {
        let entries = self.roots.iter().filter_map(|root| fs::read_dir(root).ok()).flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    /// When the group was made or changed last, in any hierarchy.
    #[must_use]
    pub fn youngest(&self, group: &str) -> Option<SystemTime> {
        let changed = |root: &PathBuf| root.join(group).metadata().ok()?.modified().ok();
        self.roots.iter().filter_map(changed).max()
    }

    /// The text of a group's file, of the first hierarchy that has it.
    #[must_use]
    pub fn read(&self, group: &str, file: &str) -> Option<String> {
        self.roots.iter().find_map(|root| fs::read_to_string(root.join(group).join(file)).ok())
    }

    /// Whether any hierarchy has the group.
    #[must_use]
    pub fn exists(&self, group: &str) -> bool {
        self.roots.iter().any(|root| root.join(group).is_dir())
    }
}

/// A new v1 cpuset has no processors and takes no process until it is given some.
fn inherit_cpuset(above: &Path, path: &Path) {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if let (Ok(value), true) =
            (fs::read_to_string(above.join(name)), above.join("cgroup.clone_children").exists())
        {
            // On failure the join reports it.
            let _ = fs::write(path.join(name), value);
        }
    }
}

/// The directory and all below it, parents first.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
    }
    found
}

fn hierarchies_in(mounts: &str) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let root = PathBuf::from(point);
        if matches!(kind, "cgroup" | "cgroup2")
            && root.starts_with("/sys/fs/cgroup")
            && !roots.contains(&root)
        {
            roots.push(root);
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_in_hybrid_and_unified_mounts() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            hierarchies_in(hybrid),
            [PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup/unified")]
        );
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(hierarchies_in(unified), [PathBuf::from("/sys/fs/cgroup")]);
    }
}
