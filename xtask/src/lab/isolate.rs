//! `[io]` Runs a task of `xtask` in namespaces of its own (mounts, network, processes), so that
//! whatever dies, the kernel removes everything with it.
//!
//! Three processes: the outermost is outside and fetches packages for the inside, which has no
//! network; process 1 of the inside reaps orphans; the task itself is its child. The death of any
//! of them ends all. What stays after a kill are empty control groups and the state directory:
//! the next run sweeps both (`teardown::sweep_dead_groups`, `sweep_dead_directories`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait};

use super::cgroup::Hierarchies;
use super::directories::{Cache, FOLDER_PREFIX};
use super::mirror::{cache, upstream};
use super::names::{LabId, LabName};
use super::process;
use super::{packages, teardown};
use crate::error::{self, Doing, Error};

/// Set for everything that runs inside; its value is the directory for state directories.
const INSIDE_VARIABLE: &str = "CORRAL_LAB_ISOLATED";
const DIRECTORY_PREFIX: &str = "/var/tmp/corral-isolated-";
/// Locked as long as the outermost process lives. Process ids say nothing here: it may be in a
/// process namespace of its own, like each suite of `cargo xtask test`.
const OWNER_FILE: &str = "owner";

/// A directory without an owner's file that has not changed for so long has no owner.
const UNOWNED_AGE: Duration = Duration::from_mins(1);

/// Whether this process runs in namespaces of its own.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE_VARIABLE).is_some()
}

/// Where labs of an isolated task have their state; removed when the task ends.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    std::env::var_os(INSIDE_VARIABLE).map(PathBuf::from)
}

/// The id of a lab of this name, here.
#[must_use]
pub fn id(name: &LabName) -> LabId {
    name.id(directory().as_deref())
}

/// Runs `xtask` with these arguments isolated, and returns its exit code. Callers that are inside
/// already must not call it (`is_inside`).
///
/// # Errors
/// The namespaces can't be made.
pub fn run(arguments: &[String]) -> Result<ExitCode, Error> {
    let action = || "run isolated".to_owned();
    packages::install_missing()?;
    teardown::sweep_dead_groups();
    sweep_dead_directories();
    let (directory, _owner) = own_directory().doing(action)?;
    let machine_cache = Cache::of_environment();
    fs::create_dir_all(machine_cache.path()).doing(action)?;
    let socket = directory.join("upstream.socket");
    let bases = cache::machine_upstreams()?.bases.into_values().collect();
    upstream::serve_socket(&socket, bases, machine_cache.path().to_owned())?;
    let program = process::own_path().doing(action)?;
    // setpriv: the inside dies with us even if we are killed; unshare passes that on.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "--mount-proc"])
        .arg(&program)
        .args(["lab-internal", "inside"])
        .args(arguments)
        .env(INSIDE_VARIABLE, &directory)
        .env(upstream::SOCKET_VARIABLE, &socket)
        .status()
        .doing(action);
    let removed = remove_directory(&directory);
    let code = exit_code(status?);
    removed?;
    Ok(code)
}

/// Process 1 of the inside: prepares the namespaces, runs the task, reaps orphans.
///
/// # Errors
/// A mount is refused or the task can't be started.
pub fn inside(arguments: &[String]) -> Result<ExitCode, Error> {
    let action = || "prepare the namespaces".to_owned();
    set_pdeathsig(Signal::SIGKILL).doing(action)?;
    // nspawn needs a /run of its own: the machine's would keep its entries (lab.md 1.8).
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .doing(action)?;
    fs::create_dir_all("/run/netns").doing(action)?;
    error::output_of("ip", &["link", "set", "lo", "up"]).doing(action)?;
    let child = process::own_program().args(arguments).spawn().doing(action)?;
    let task = i32::try_from(child.id()).unwrap_or_default();
    loop {
        match wait().doing(|| "wait for the task".to_owned())? {
            WaitStatus::Exited(pid, code) if pid.as_raw() == task => {
                return Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from));
            }
            WaitStatus::Signaled(pid, _, _) if pid.as_raw() == task => {
                return Ok(ExitCode::FAILURE);
            }
            _ => {}
        }
    }
}

/// A new directory, owned until the file is dropped (or its holder dies).
fn own_directory() -> io::Result<(PathBuf, File)> {
    let (above, prefix) = directories();
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(above)?.keep();
    let owner = File::create(directory.join(OWNER_FILE))?;
    owner.lock()?;
    Ok((directory, owner))
}

/// Where directories of isolated tasks are, and how their names begin.
fn directories() -> (PathBuf, String) {
    let (above, prefix) = DIRECTORY_PREFIX.rsplit_once('/').unwrap_or(("", DIRECTORY_PREFIX));
    (PathBuf::from(above), prefix.to_owned())
}

/// Removes what isolated tasks have left whose outermost process is dead.
fn sweep_dead_directories() {
    let (above, prefix) = directories();
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) && !is_owned(&entry.path()) {
            // The next sweep tries again.
            let _ = remove_directory(&entry.path());
        }
    }
}

/// Whether the owner of a directory lives, as far as can be seen.
fn is_owned(directory: &Path) -> bool {
    match File::open(directory.join(OWNER_FILE)) {
        Ok(owner) => owner.try_lock().is_err(),
        // One that is being made right now, unless it is old.
        Err(_) => fs::metadata(directory)
            .and_then(|found| found.modified())
            .is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age < UNOWNED_AGE)),
    }
}

/// Removes an isolated task's directory and its labs' control groups, all that is left of them.
fn remove_directory(directory: &Path) -> Result<(), Error> {
    let hierarchies = Hierarchies::find()?;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let name = folder.strip_prefix(FOLDER_PREFIX).and_then(|name| LabName::parse(name).ok());
        if let Some(name) = name {
            let group = name.id(Some(directory)).cgroup();
            hierarchies.kill_all(&group)?;
            hierarchies.remove(&group)?;
        }
    }
    super::mounts::unmount_below(directory)?;
    fs::remove_dir_all(directory).doing(|| format!("remove {}", directory.display()))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_owned_until_its_owner_dies() {
        let directory = tempfile::tempdir().unwrap();
        assert!(is_owned(directory.path()), "it is new");
        let owner = File::create(directory.path().join(OWNER_FILE)).unwrap();
        owner.lock().unwrap();
        assert!(is_owned(directory.path()));
        drop(owner);
        assert!(!is_owned(directory.path()));
    }

    #[test]
    fn two_tasks_have_two_directories() {
        let (first, _first_owner) = own_directory().unwrap();
        let (second, _second_owner) = own_directory().unwrap();
        assert_ne!(first, second);
        assert!(is_owned(&first) && is_owned(&second));
        fs::remove_dir_all(first).unwrap();
        fs::remove_dir_all(second).unwrap();
    }
}
