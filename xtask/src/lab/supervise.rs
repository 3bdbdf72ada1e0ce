//! `[io]` The processes that keep a host alive: a supervisor per host, which starts the container
//! and starts it again when the host reboots.
//!
//! The container dies with its supervisor: a supervisor that is gone means a host that is gone,
//! never one that runs unattended.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::cgroup::Hierarchies;
use super::directories::{StateDirectory, read_json, write_json};
use super::names::{Host, LabId};
use super::process::{self, ProcessId};
use super::{daemon, network};
use crate::error::{Doing, Error};

/// With `--keep-unit`, nspawn leaves a reboot to its caller and exits with this code.
const EXIT_REBOOT: i32 = 133;

/// What a host's supervisor knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Runtime {
    /// The supervisor.
    pub supervisor: ProcessId,
    /// `systemd-nspawn`, outside of the host.
    pub container: Option<ProcessId>,
    /// How often the host has been booted by this supervisor.
    pub boots: u32,
    /// How the host ended, if it did by itself.
    pub ended: Option<String>,
}

impl Runtime {
    /// Reads it; `None` if the host was never started.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(directory: &StateDirectory, host: &Host) -> Result<Option<Self>, Error> {
        read_json(&directory.host(host).join("runtime.json"))
    }

    fn write(&self, directory: &StateDirectory, host: &Host) -> Result<(), Error> {
        write_json(&directory.host(host).join("runtime.json"), self)
    }
}

/// Starts a host's supervisor and leaves it alone.
///
/// # Errors
/// The process can't be started.
pub fn spawn(directory: &StateDirectory, host: &Host) -> Result<(), Error> {
    let action = || format!("start the supervisor of {}", host.name);
    // An old answer to "does it run?" must not be taken for a new one.
    let _ = fs::remove_file(directory.host(host).join("runtime.json"));
    process::own_program()
        .args(["lab-internal", "supervise", "--host", &host.name, "--directory"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(console(directory, host).doing(action)?)
        .spawn()
        .map(drop)
        .doing(action)
}

/// The supervisor: returns when the host has been shut down.
///
/// # Errors
/// The container can't be started.
pub fn supervise(directory: &StateDirectory, name: &str) -> Result<(), Error> {
    let record = daemon::begin(directory)?;
    let host = record.host(name)?;
    let id = record.id();
    let action = || format!("supervise {name}");
    let own = ProcessId::own()
        .ok_or_else(|| Error::refused(action(), "/proc doesn't show this process"))?;
    let mut runtime = Runtime { supervisor: own, container: None, boots: 0, ended: None };
    runtime.write(directory, host)?;
    loop {
        clear_propagation(&id, host);
        let mut child = process::own_program()
            .args(["lab-internal", "enter", "--host", name, "--directory"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(console(directory, host).doing(action)?)
            .stderr(console(directory, host).doing(action)?)
            .spawn()
            .doing(action)?;
        runtime.container = ProcessId::of_child(&child);
        runtime.boots += 1;
        runtime.write(directory, host)?;
        let status = child.wait().doing(action)?;
        if status.code() != Some(EXIT_REBOOT) {
            runtime.container = None;
            runtime.ended = Some(status.to_string());
            clear_propagation(&id, host);
            return runtime.write(directory, host);
        }
    }
}

/// Becomes the container of a host; only returns when it can't.
///
/// # Errors
/// A control group refuses, or there is no `systemd-nspawn`.
pub fn enter(directory: &StateDirectory, name: &str) -> Result<(), Error> {
    let record = directory.record()?;
    let host = record.host(name)?;
    let id = record.id();
    set_pdeathsig(Signal::SIGKILL).doing(|| "tie the host to its supervisor".to_owned())?;
    let supervisor = Runtime::read(directory, host)?.map(|runtime| runtime.supervisor.pid);
    if supervisor != Some(nix::unistd::getppid().as_raw()) {
        return Err(Error::refused(format!("boot {name}"), "its supervisor is gone"));
    }
    let hierarchies = Hierarchies::find()?;
    hierarchies.create(&id.cgroup_of_host(host))?;
    hierarchies.join(&id.cgroup_of_host(host))?;
    let error = container(directory, &id, host).exec();
    Err(error).doing(|| format!("boot {name} with systemd-nspawn"))
}

fn container(directory: &StateDirectory, id: &LabId, host: &Host) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no"])
        .args(["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only"])
        .arg(format!("--hostname={}", host.name))
        .arg(format!("--machine={}", id.machine(host)))
        .arg(path_option("--directory=", &directory.root(host)))
        .arg(path_option("--network-namespace-path=", &network::namespace_path(id, host)))
        // What Docker in a host needs (lab.md 1.5): its data on a plain file system (an overlay
        // on an overlay is refused), all capabilities, a writable /proc/sys, no seccomp filter.
        .arg(format!("--bind={}:/var/lib/docker", directory.host(host).join("docker").display()))
        .arg("--capability=all")
        .env("SYSTEMD_SECCOMP", "0")
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1");
    command
}

fn path_option(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display())
}

/// nspawn can't remove this directory itself where /run isn't a tmpfs, and then refuses to boot.
pub fn clear_propagation(id: &LabId, host: &Host) {
    let _ = fs::remove_dir_all(format!("/run/systemd/nspawn/propagate/{}", id.machine(host)));
}

fn console(directory: &StateDirectory, host: &Host) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(directory.console(host))
}
