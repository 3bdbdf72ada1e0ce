//! `[io]` A lab: real hosts (systemd, sshd, their own network) on this machine, and its mirror.
//!
//! Recipe and pitfalls: research/lab.md part 1. A lab never touches what it didn't make: processes
//! are known by the lab's control groups, everything else by names with the lab's id.
//!
//! For tasks of the `xtask` program only: supervisors and mirrors are this same program run again
//! (`lab-internal`), so another program, a test for instance, must call `xtask lab up`.
//!
//! ```no_run
//! use xtask::lab::{Lab, UpOptions};
//! # fn main() -> Result<(), xtask::error::Error> {
//! let lab = Lab::up(&UpOptions::demo("my-test")?)?;
//! let zk1 = lab.host("zk1")?;
//! lab.kill(zk1)?; // power loss
//! lab.start(zk1)?;
//! lab.run(zk1, "uptime")?;
//! lab.down()?;
//! # Ok(()) }
//! ```

pub mod apt;
pub mod artifacts;
pub mod certificate;
pub mod cgroup;
pub mod cli;
pub mod daemon;
pub mod directories;
pub mod host;
pub mod inventory;
pub mod isolate;
pub mod keys;
pub mod latency;
pub mod lifecycle;
pub mod mirror;
pub mod mounts;
pub mod names;
pub mod network;
pub mod packages;
pub mod process;
pub mod rootfs;
pub mod supervise;
pub mod teardown;

use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cgroup::Hierarchies;
use directories::{Cache, Record, StateDirectory};
use names::{Host, LabName, Layout};
use rootfs::Variant;

use crate::error::{self, Doing, Error};

/// The lab's name when nobody gives one.
pub const DEFAULT_NAME: &str = "demo";
/// Hosts that are made at the same time: more only wait for each other's processor time.
const PARALLEL_HOSTS: usize = 8;

/// The name of the lab that commands mean: `$CORRAL_LAB_NAME` or the default.
#[must_use]
pub fn name_of_environment() -> String {
    std::env::var("CORRAL_LAB_NAME").unwrap_or_else(|_| DEFAULT_NAME.to_owned())
}

/// What kind of lab is wanted.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Its name.
    pub name: LabName,
    /// Where its files are.
    pub directory: StateDirectory,
    /// Its hosts.
    pub layout: Layout,
    /// What is in the hosts.
    pub variant: Variant,
}

/// A lab that exists.
#[derive(Debug, Clone)]
pub struct Lab {
    directory: StateDirectory,
    record: Record,
}

impl UpOptions {
    /// The five hosts of the demo, without Python, in the default place.
    ///
    /// # Errors
    /// The name isn't one.
    pub fn demo(name: &str) -> Result<Self, Error> {
        Self::new(name, Layout::demo())
    }

    /// Hosts of any layout, without Python, in the default place.
    ///
    /// # Errors
    /// The name isn't one.
    pub fn new(name: &str, layout: Layout) -> Result<Self, Error> {
        let name = LabName::parse(name)?;
        let directory = StateDirectory::of_environment(&name);
        Ok(Self { name, directory, layout, variant: Variant::Plain })
    }
}

impl Lab {
    /// Brings a lab up: what is missing is installed, built, made and started; what is left of a
    /// dead lab of the same name is removed first. Returns when every host's sshd answers.
    ///
    /// # Errors
    /// Anything fails, or a lab of this name with other hosts is up. What was made stays, for a
    /// look at it, until `down`.
    pub fn up(options: &UpOptions) -> Result<Self, Error> {
        let hosts = options.layout.hosts()?;
        let cache = Cache::of_environment();
        let _only_one_at_a_time = cache.lock(&format!("lab-{}", options.name.as_str()))?;
        packages::install_missing()?;
        teardown::sweep_dead_groups();
        if let Some(lab) = Self::living(options)? {
            return lab.complete(&hosts, &cache);
        }
        directories::check_path(cache.path())?;
        let layers = rootfs::layers(&cache, options.variant)?;
        let lab = Self::make(options, hosts, layers, &cache)?;
        let start = Instant::now();
        lab.wait_until_ready(&lab.record.hosts)?;
        eprintln!("lab: sshd answers everywhere after {:.1} s", start.elapsed().as_secs_f64());
        Ok(lab)
    }

    /// The lab of the environment's name and directory.
    ///
    /// # Errors
    /// There is none.
    pub fn open(name: &str) -> Result<Self, Error> {
        let name = LabName::parse(name)?;
        Self::at(StateDirectory::of_environment(&name))
    }

    /// The lab in a directory.
    ///
    /// # Errors
    /// There is none.
    pub fn at(directory: StateDirectory) -> Result<Self, Error> {
        let record = directory.record()?;
        Ok(Self { directory, record })
    }

    /// What the lab is.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// Its hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.record.hosts
    }

    /// The host of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self, name: &str) -> Result<&Host, Error> {
        self.record.host(name)
    }

    /// `ssh` to a host as root, with the lab's key and known hosts; add arguments to it.
    #[must_use]
    pub fn ssh(&self, host: &Host) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.directory.ssh_config()).arg(&host.name);
        command
    }

    /// Runs a shell script on a host as root.
    ///
    /// # Errors
    /// The host can't be reached, or the script fails.
    pub fn run(&self, host: &Host, script: &str) -> Result<Output, Error> {
        error::capture(self.ssh(host).arg(script))
            .doing(|| format!("run a script on {}", host.name))
    }

    /// Removes the lab.
    ///
    /// # Errors
    /// Something can't be removed.
    pub fn down(self) -> Result<(), Error> {
        teardown::remove_lab(&self.directory, &self.record.id())
    }

    /// The lab of this name, if any of its processes lives; the remains of a dead one are removed.
    fn living(options: &UpOptions) -> Result<Option<Self>, Error> {
        let id = isolate::id(&options.name);
        let alive = !Hierarchies::find()?.members(&id.cgroup()).pids.is_empty();
        // The known hosts are the last thing that is written when a lab is made.
        let whole = options.directory.known_hosts().is_file();
        if alive
            && whole
            && let Ok(lab) = Self::at(options.directory.clone())
        {
            return Ok(Some(lab));
        }
        if !teardown::remains(&options.directory, &id).is_empty() {
            eprintln!("lab: removing what is left of an earlier lab `{}`", options.name.as_str());
            teardown::remove_lab(&options.directory, &id)?;
        }
        Ok(None)
    }

    /// Starts the hosts that don't run.
    fn complete(self, hosts: &[Host], cache: &Cache) -> Result<Self, Error> {
        if self.record.hosts != hosts {
            let names: Vec<&str> =
                self.record.hosts.iter().map(|host| host.name.as_str()).collect();
            return Err(Error::refused(
                format!("bring up the lab `{}`", self.record.name.as_str()),
                format!("it is up already, with other hosts: {}", names.join(" ")),
            )
            .with_hint("`cargo xtask lab down` first, or use another CORRAL_LAB_NAME"));
        }
        daemon::ensure_mirror(&self.directory, self.record.subnet)?;
        for host in self.hosts() {
            if !self.is_running(host)? {
                eprintln!("lab: starting {}", host.name);
                self.start_unready(host)?;
            }
        }
        inventory::write(&self.directory, &self.record, &artifacts::ensure(cache)?)?;
        self.wait_until_ready(self.hosts())?;
        Ok(self)
    }

    fn make(
        options: &UpOptions,
        hosts: Vec<Host>,
        layers: Vec<std::path::PathBuf>,
        cache: &Cache,
    ) -> Result<Self, Error> {
        let id = isolate::id(&options.name);
        let directory = options.directory.clone();
        directories::check_path(directory.path())?;
        teardown::mark(&directory)?;
        let keys = directory.path().join("keys");
        fs::create_dir_all(&keys).doing(|| format!("create {}", keys.display()))?;
        let subnet = {
            let _only_one_chooses = cache.lock("network")?;
            let subnet = network::free_subnet()?;
            network::create_bridge(&id, subnet)?;
            subnet
        };
        let record = Record::new(options.name.clone(), subnet, hosts, layers);
        directory.write_record(&record)?;
        let hierarchies = Hierarchies::find()?;
        hierarchies.create(&id.cgroup_of_lab())?;
        hierarchies.set_weight(&id.cgroup(), record.hosts.len());
        keys::generate(&directory.private_key(), &format!("corral-lab-{}", options.name.as_str()))?;
        daemon::ensure_mirror(&directory, subnet)?;
        let upstreams = mirror::cache::machine_upstreams()?;
        for_each(&record.hosts, |host| {
            host::create(&directory, &record, host, &upstreams)?;
            supervise::spawn(&directory, host)
        })?;
        keys::write_client_files(&directory, &record)?;
        inventory::write(&directory, &record, &artifacts::ensure(cache)?)?;
        Ok(Self { directory, record })
    }
}

/// Does something for all hosts, several at a time; the first failure in the hosts' order counts.
fn for_each(
    hosts: &[Host],
    action: impl Fn(&Host) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(host) = hosts.get(index) else { return outcomes };
            if let Err(error) = action(host) {
                outcomes.push((index, error));
            }
        }
    };
    let mut failures = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL_HOSTS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            // A worker can't panic: nothing in this program does.
            .flat_map(|worker| worker.join().unwrap_or_default())
            .collect::<Vec<_>>()
    });
    failures.sort_by_key(|(index, _)| *index);
    failures.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}
