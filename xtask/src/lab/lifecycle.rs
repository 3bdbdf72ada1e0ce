//! `[io]` What happens to single hosts: start, stop, power loss, reboot, partition; and how they are.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::cgroup::Hierarchies;
use super::names::Host;
use super::process::ProcessId;
use super::supervise::{self, Runtime};
use super::{Lab, for_each, network};
use crate::error::Error;

/// Fifty hosts on two busy processors are up in less.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// systemd gives services 90 s to stop; who wants less uses `kill`.
const STOP_LIMIT: Duration = Duration::from_secs(100);
const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const BANNER_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// What the end of a console shows when a host doesn't come up.
const CONSOLE_TAIL_LINES: usize = 15;

/// How a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostState {
    /// Its sshd answers.
    Up,
    /// It runs, its sshd doesn't answer yet.
    Booting,
    /// It runs and is cut off.
    Partitioned,
    /// It was shut down.
    Stopped,
    /// It was killed or has crashed.
    Dead,
}

/// A host's state with the figures that a person wants to see.
#[derive(Debug, Clone)]
pub struct HostStatus {
    /// How it is.
    pub state: HostState,
    /// Its container's process on this machine.
    pub pid: Option<i32>,
    /// Since its last boot.
    pub uptime: Option<Duration>,
}

impl HostState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Booting => "booting",
            Self::Partitioned => "partitioned",
            Self::Stopped => "stopped",
            Self::Dead => "dead",
        }
    }
}

impl Lab {
    /// Whether a host's container runs (or is about to).
    ///
    /// # Errors
    /// Its state is damaged.
    pub fn is_running(&self, host: &Host) -> Result<bool, Error> {
        let runtime = Runtime::read(&self.directory, host)?;
        Ok(runtime.is_some_and(|runtime| runtime.supervisor.is_alive()))
    }

    /// How a host is.
    ///
    /// # Errors
    /// Its state is damaged.
    pub fn status(&self, host: &Host) -> Result<HostStatus, Error> {
        let runtime = Runtime::read(&self.directory, host)?;
        let Some(runtime) = runtime.filter(|runtime| runtime.supervisor.is_alive()) else {
            let ended = Runtime::read(&self.directory, host)?.and_then(|runtime| runtime.ended);
            let state = match ended.is_some_and(|ended| ended == "exit status: 0") {
                true => HostState::Stopped,
                false => HostState::Dead,
            };
            return Ok(HostStatus { state, pid: None, uptime: None });
        };
        let container = runtime.container.filter(|container| container.is_alive());
        let state = if network::is_cut(&self.record.id(), host) == Some(true) {
            HostState::Partitioned
        } else if self.greets(host) {
            HostState::Up
        } else {
            HostState::Booting
        };
        let pid = container.map(|container| container.pid);
        Ok(HostStatus { state, pid, uptime: container.and_then(ProcessId::age) })
    }

    /// Boots a host that doesn't run and waits for its sshd.
    ///
    /// # Errors
    /// It runs already, or doesn't come up.
    pub fn start(&self, host: &Host) -> Result<(), Error> {
        if self.is_running(host)? {
            return Err(Error::refused(format!("start {}", host.name), "it runs already"));
        }
        self.start_unready(host)?;
        self.wait_until_ready(std::slice::from_ref(host))
    }

    /// Boots a host that doesn't run.
    ///
    /// # Errors
    /// The supervisor can't be started.
    pub fn start_unready(&self, host: &Host) -> Result<(), Error> {
        supervise::spawn(&self.directory, host)
    }

    /// Shuts a host down in an orderly way and waits for it.
    ///
    /// # Errors
    /// It doesn't run, or doesn't end.
    pub fn stop(&self, host: &Host) -> Result<(), Error> {
        let action = || format!("stop {}", host.name);
        let runtime = self.running(host, action)?;
        // SIGTERM makes nspawn shut the host down in an orderly way; it must have installed its
        // handler, which it has when the host has a process 1.
        self.wait_for_init(host)?;
        if let Some(container) = runtime.container {
            container.signal(Signal::SIGTERM);
        }
        wait_for_end(runtime.supervisor, STOP_LIMIT).map_err(|reason| {
            Error::refused(action(), reason).with_hint("`cargo xtask lab kill` it")
        })
    }

    /// Power loss: all processes of a host are gone at once. What it had written to files stays,
    /// also what it hadn't synced, because the machine's page cache survives.
    ///
    /// # Errors
    /// It doesn't run, or its processes don't die.
    pub fn kill(&self, host: &Host) -> Result<(), Error> {
        let action = || format!("kill {}", host.name);
        let runtime = self.running(host, action)?;
        runtime.supervisor.signal(Signal::SIGKILL);
        Hierarchies::find()?.kill_all(&self.record.id().cgroup_of_host(host))?;
        wait_for_end(runtime.supervisor, BOOT_LIMIT)
            .map_err(|reason| Error::refused(action(), reason))?;
        supervise::clear_propagation(&self.record.id(), host);
        Ok(())
    }

    /// Reboots a host in an orderly way and waits for its sshd.
    ///
    /// # Errors
    /// It doesn't run, or doesn't come back.
    pub fn reboot(&self, host: &Host) -> Result<(), Error> {
        let action = || format!("reboot {}", host.name);
        let boots = self.running(host, action)?.boots;
        let init = self.wait_for_init(host)?;
        // Control-Alt-Delete: systemd(1) reboots.
        init.signal(Signal::SIGINT);
        let deadline = Instant::now() + STOP_LIMIT;
        while self.running(host, action)?.boots == boots {
            if Instant::now() > deadline {
                return Err(Error::refused(action(), "it doesn't shut down"));
            }
            thread::sleep(POLL);
        }
        self.wait_until_ready(std::slice::from_ref(host))
    }

    /// Cuts a host off from all others and from this machine.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn partition(&self, host: &Host) -> Result<(), Error> {
        network::cut(&self.record.id(), host)
    }

    /// Ends a partition.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn heal(&self, host: &Host) -> Result<(), Error> {
        network::heal(&self.record.id(), host)
    }

    /// Waits until the sshd of every host answers; one that is cut off only has to run.
    ///
    /// # Errors
    /// A host ends or takes too long; the message shows its console.
    pub fn wait_until_ready(&self, hosts: &[Host]) -> Result<(), Error> {
        let deadline = Instant::now() + BOOT_LIMIT;
        for_each(hosts, |host| self.wait_for_banner(host, deadline))
    }

    /// Process 1 of a host, as this machine sees it.
    #[must_use]
    pub fn init(&self, host: &Host) -> Option<ProcessId> {
        let members = Hierarchies::find().ok()?.members(&self.record.id().cgroup_of_host(host));
        let own_depth = depth(std::process::id())?.len();
        members.pids.into_iter().find_map(|pid| {
            let ids = depth(u32::try_from(pid).ok()?)?;
            let is_init = ids.len() == own_depth + 1 && ids.last().is_some_and(|id| id == "1");
            is_init.then(|| ProcessId::of_pid(pid)).flatten()
        })
    }

    fn wait_for_init(&self, host: &Host) -> Result<ProcessId, Error> {
        let deadline = Instant::now() + BANNER_LIMIT;
        loop {
            if let Some(init) = self.init(host) {
                return Ok(init);
            }
            if Instant::now() > deadline {
                let action = format!("find process 1 of {}", host.name);
                return Err(
                    Error::refused(action, "it has none").with_hint(self.console_tail(host))
                );
            }
            thread::sleep(POLL);
        }
    }

    fn running(&self, host: &Host, action: impl Fn() -> String) -> Result<Runtime, Error> {
        Runtime::read(&self.directory, host)?
            .filter(|runtime| runtime.supervisor.is_alive())
            .ok_or_else(|| {
                Error::refused(action(), "it doesn't run")
                    .with_hint(format!("`cargo xtask lab start {}`", host.name))
            })
    }

    fn wait_for_banner(&self, host: &Host, deadline: Instant) -> Result<(), Error> {
        if network::is_cut(&self.record.id(), host) == Some(true) {
            return self.wait_for_init(host).map(drop);
        }
        let start = Instant::now();
        while !self.greets(host) {
            // The supervisor needs a moment to write down that it is there.
            let ended = start.elapsed() > BANNER_LIMIT && !self.is_running(host)?;
            if ended || Instant::now() > deadline {
                let reason = if ended { "it has ended" } else { "its sshd doesn't answer" };
                return Err(Error::refused(format!("boot {}", host.name), reason)
                    .with_hint(self.console_tail(host)));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether the host's sshd says its name.
    fn greets(&self, host: &Host) -> bool {
        let address = SocketAddr::new(IpAddr::V4(self.record.subnet.address(host)), 22);
        let Ok(mut stream) = TcpStream::connect_timeout(&address, CONNECT_LIMIT) else {
            return false;
        };
        let mut banner = [0; 4];
        stream.set_read_timeout(Some(BANNER_LIMIT)).is_ok()
            && stream.read_exact(&mut banner).is_ok()
            && banner == *b"SSH-"
    }

    fn console_tail(&self, host: &Host) -> String {
        let path = self.directory.console(host);
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(CONSOLE_TAIL_LINES);
        let tail: Vec<&str> = lines.into_iter().skip(start).collect();
        format!("the end of {}:\n    {}", path.display(), tail.join("\n    "))
    }
}

/// The pids of a process, from our namespace to its own.
fn depth(pid: u32) -> Option<Vec<String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(line.split_whitespace().map(str::to_owned).collect())
}

fn wait_for_end(process: ProcessId, limit: Duration) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    while process.is_alive() {
        if Instant::now() > deadline {
            return Err(format!("process {} is still there", process.pid));
        }
        thread::sleep(POLL);
    }
    Ok(())
}
