//! `[io]` Processes known by pid and start time, so that a reused pid is never taken for ours.

use std::fs::{self, File};
use std::io;
use std::os::fd::IntoRawFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Ticks a second of `/proc/*/stat`: 100 on every Linux that we run on (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

/// A process that can't be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid.
    pub pid: i32,
    /// When it started, in ticks since the machine booted.
    pub start_ticks: u64,
}

impl ProcessId {
    /// The process that has this pid now.
    #[must_use]
    pub fn of_pid(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_ticks) = parse_stat(&stat)?;
        (state != 'Z').then_some(Self { pid, start_ticks })
    }

    /// The calling process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of_pid(Pid::this().as_raw())
    }

    /// A child that was just started.
    #[must_use]
    pub fn of_child(child: &Child) -> Option<Self> {
        Self::of_pid(i32::try_from(child.id()).ok()?)
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of_pid(self.pid) == Some(self)
    }

    /// Sends a signal if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may end between the check and the call: that is what was wanted.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// How long it has been running.
    #[must_use]
    pub fn age(self) -> Option<Duration> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
        let started = Duration::from_millis(self.start_ticks.checked_mul(1000 / TICKS_PER_SECOND)?);
        Duration::try_from_secs_f64(seconds).ok()?.checked_sub(started)
    }
}

/// State letter and start time of a `/proc/PID/stat` line. The name may contain anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 22 of the line (proc_pid_stat(5)); `state` was field 3.
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

/// A path under which children can run this program again, also through others (`setpriv`, `env`):
/// a descriptor that they inherit. It works even after a new build has replaced the file, as
/// `cargo xtask test` does when it builds the workspace.
///
/// # Errors
/// /proc doesn't show this process.
pub fn own_path() -> io::Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PATH.get() {
        return Ok(path.clone());
    }
    let file = File::open("/proc/self/exe")?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.into_raw_fd()));
    Ok(PATH.get_or_init(|| path).clone())
}

/// This program, to be run again in another role. The path works even after a new build has
/// replaced the file.
#[must_use]
pub fn own_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    std::os::unix::process::CommandExt::arg0(&mut command, "xtask");
    command
}

/// A program in a process and mount namespace of its own: it, its children and its mounts are gone
/// when it ends or the calling thread dies.
#[must_use]
pub fn contained(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", program]);
    command
}

/// Leaves the terminal and the process group of whoever started us.
///
/// # Errors
/// The process leads a group already.
pub fn detach() -> io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_parser() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(parse_stat(stat), Some(('S', 98765)));
    }

    #[test]
    fn this_program_runs_through_another_after_its_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        fs::copy("/proc/self/exe", &copy).unwrap();
        // The copy is this test program: its list of tests shows that it ran.
        let name = "lab::process::tests::the_path_of_a_deleted_program";
        let mut child = Command::new(&copy)
            .args(["--ignored", "--exact", name, "--nocapture"])
            .env("COPY", &copy)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        assert!(text.contains("it ran"), "{text}");
    }

    #[test]
    #[ignore = "part of the test above"]
    fn the_path_of_a_deleted_program() {
        let Some(copy) = std::env::var_os("COPY") else {
            println!("it ran");
            return;
        };
        fs::remove_file(&copy).unwrap();
        let name = "lab::process::tests::the_path_of_a_deleted_program";
        let status = Command::new("env")
            .args(["-u", "COPY"])
            .arg(own_path().unwrap())
            .args(["--ignored", "--exact", name, "--nocapture"])
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_process_is_alive_only_with_its_own_start_time() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_ticks: own.start_ticks + 1, ..own }.is_alive());
    }
}
