//! `[ui]` `cargo xtask lab …`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand};

use super::artifacts::{self, Artifact};
use super::directories::{Cache, StateDirectory};
use super::names::{LabName, Layout};
use super::rootfs::Variant;
use super::{Lab, UpOptions, daemon, isolate, latency, mirror, supervise, teardown};
use crate::error::{Doing, Error};

/// Arguments of `lab`.
#[derive(Debug, Args)]
pub struct LabArguments {
    /// The lab's name; several labs can be up at once [default: $CORRAL_LAB_NAME or `demo`]
    #[arg(long = "lab", global = true, value_name = "NAME")]
    name: Option<String>,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Bring the lab up: the demo's five hosts, or N hosts h1 to hN
    Up {
        /// How many hosts
        count: Option<u8>,
        /// Hosts with these names
        #[arg(long, value_delimiter = ',', conflicts_with = "count")]
        names: Option<Vec<String>>,
        /// With python3 in the hosts, for comparisons with ansible-core
        #[arg(long)]
        python: bool,
    },
    /// Show the hosts
    Status,
    /// Log in to a host as root, or run a command there
    Ssh {
        /// The host
        host: String,
        /// As another user: admin (sudo password: lab) or deploy (no password)
        #[arg(long, short, default_value = "root")]
        user: String,
        /// The command
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Shut a host down
    Stop {
        /// The host
        host: String,
    },
    /// Boot a host
    Start {
        /// The host
        host: String,
    },
    /// Power loss
    Kill {
        /// The host
        host: String,
    },
    /// Reboot a host
    Reboot {
        /// The host
        host: String,
    },
    /// Cut a host off from the network
    Partition {
        /// The host
        host: String,
        /// End the partition
        #[arg(long)]
        heal: bool,
    },
    /// A second, delayed way to all hosts, for measurements
    Latency {
        /// The round trip in milliseconds, or `off`
        round_trip: String,
    },
    /// Bring the lab up, run a command with it, remove it
    ///
    /// The command finds the inventory's path in CORRAL_LAB_INVENTORY. Together with `isolated`
    /// nothing stays behind whatever dies: `lab isolated lab with 3 -- COMMAND`
    With {
        /// How many hosts; the demo's five without
        count: Option<u8>,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run a task of xtask in namespaces of its own: nothing of it can stay behind
    Isolated {
        /// The task with its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        task: Vec<String>,
    },
    /// Repack the release archives that the mirror serves, and list them
    Artifacts {
        /// Also when they are there: take what Debian has now
        #[arg(long)]
        refresh: bool,
    },
    /// Remove the lab, also what is left of a dead one
    Down,
}

/// Arguments of the lab's own processes.
#[derive(Debug, Args)]
pub struct InternalArguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Supervise(HostRole),
    Enter(HostRole),
    Mirror {
        #[arg(long)]
        directory: PathBuf,
    },
    Delay {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        round_trip_ms: u32,
    },
    Inside {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        task: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct HostRole {
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    host: String,
}

/// Runs a `lab` command.
///
/// # Errors
/// The command fails.
pub fn run(arguments: LabArguments) -> Result<ExitCode, Error> {
    let name = arguments.name.unwrap_or_else(super::name_of_environment);
    match arguments.command {
        LabCommand::Up { count, names, python } => up(&name, count, names, python)?,
        LabCommand::Status => status(&Lab::open(&name)?)?,
        LabCommand::Ssh { host, user, command } => {
            let lab = Lab::open(&name)?;
            let mut ssh = lab.ssh(lab.host(&host)?);
            let error = ssh.args(["-l", &user]).args(command).exec();
            return Err(error).doing(|| "start ssh".to_owned());
        }
        LabCommand::Stop { host } => on(&name, &host, Lab::stop)?,
        LabCommand::Start { host } => on(&name, &host, Lab::start)?,
        LabCommand::Kill { host } => on(&name, &host, Lab::kill)?,
        LabCommand::Reboot { host } => on(&name, &host, Lab::reboot)?,
        LabCommand::Partition { host, heal: false } => on(&name, &host, Lab::partition)?,
        LabCommand::Partition { host, heal: true } => on(&name, &host, Lab::heal)?,
        LabCommand::Latency { round_trip } => delay(&Lab::open(&name)?, &round_trip)?,
        LabCommand::With { count, command } => return with(&name, count, &command),
        LabCommand::Isolated { task } => return isolate::run(&task),
        LabCommand::Artifacts { refresh } => list_artifacts(refresh)?,
        LabCommand::Down => down(&LabName::parse(&name)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one of the lab's own processes.
///
/// # Errors
/// It can't do its work.
pub fn run_internal(arguments: InternalArguments) -> Result<ExitCode, Error> {
    match arguments.role {
        Role::Supervise(role) => {
            supervise::supervise(&StateDirectory::at(role.directory), &role.host)?;
        }
        Role::Enter(role) => supervise::enter(&StateDirectory::at(role.directory), &role.host)?,
        Role::Delay { directory, round_trip_ms } => {
            latency::run(&StateDirectory::at(directory), round_trip_ms)?;
        }
        Role::Inside { task } => return isolate::inside(&task),
        Role::Mirror { directory } => daemon::run_mirror(&StateDirectory::at(directory))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn on(
    name: &str,
    host: &str,
    action: impl Fn(&Lab, &super::names::Host) -> Result<(), Error>,
) -> Result<(), Error> {
    let lab = Lab::open(name)?;
    action(&lab, lab.host(host)?)
}

fn up(
    name: &str,
    count: Option<u8>,
    names: Option<Vec<String>>,
    python: bool,
) -> Result<(), Error> {
    let layout = match (count, names) {
        (Some(count), _) => Layout::Numbered(count),
        (None, Some(names)) => Layout::Named(names),
        (None, None) => Layout::demo(),
    };
    let mut options = UpOptions::new(name, layout)?;
    if python {
        options.variant = Variant::Python;
    }
    let lab = Lab::up(&options)?;
    status(&lab)
}

fn status(lab: &Lab) -> Result<(), Error> {
    let (name, subnet) = (lab.record().name.as_str(), lab.record().subnet);
    let delay = lab.round_trip_ms()?.map(|delay| format!(", {delay} ms away on the delayed way"));
    let mirror = match daemon::mirror_answers(subnet) {
        true => mirror::url(subnet),
        false => "dead (`lab up` starts it again)".to_owned(),
    };
    eprintln!("lab: `{name}`, mirror {mirror}{}", delay.unwrap_or_default());
    println!("{:<10} {:<15} {:<12} {:>8} {:>9}", "HOST", "ADDRESS", "STATE", "PID", "UPTIME");
    for host in lab.hosts() {
        let status = lab.status(host)?;
        let address = lab.record().subnet.address(host).to_string();
        let pid = status.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let uptime = status
            .uptime
            .map_or_else(|| "-".to_owned(), |uptime| format!("{:.1} s", uptime.as_secs_f64()));
        let word = status.state.word();
        println!("{:<10} {address:<15} {word:<12} {pid:>8} {uptime:>9}", host.name);
    }
    Ok(())
}

fn with(name: &str, count: Option<u8>, command: &[String]) -> Result<ExitCode, Error> {
    let layout = count.map_or_else(Layout::demo, Layout::Numbered);
    let lab = Lab::up(&UpOptions::new(name, layout)?)?;
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Error::refused("run a command with the lab", "there is no command"))?;
    let status = Command::new(program)
        .args(arguments)
        .env("CORRAL_LAB_NAME", name)
        .env("CORRAL_LAB_INVENTORY", lab.directory().inventory())
        .status()
        .doing(|| format!("run {program}"));
    lab.down()?;
    let code = status?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn delay(lab: &Lab, round_trip: &str) -> Result<(), Error> {
    if round_trip == "off" {
        return lab.undelay();
    }
    let round_trip_ms = round_trip.parse().map_err(|_| {
        Error::refused(
            format!("delay the network by `{round_trip}`"),
            "this is neither `off` nor a whole number of milliseconds",
        )
    })?;
    lab.delay(round_trip_ms)?;
    eprintln!("lab: the delayed way has {round_trip_ms} ms per round trip; its inventory is");
    println!("{}", lab.directory().delayed_inventory().display());
    Ok(())
}

fn list_artifacts(refresh: bool) -> Result<(), Error> {
    let cache = Cache::of_environment();
    super::packages::install_missing()?;
    let artifacts = match refresh {
        true => artifacts::rebuild(&cache)?,
        false => artifacts::ensure(&cache)?,
    };
    for artifact in artifacts {
        let Artifact { component, version, size, sha256, .. } = artifact;
        println!("{component:<10} {version:<9} {size:>10} {sha256}");
    }
    Ok(())
}

fn down(name: &LabName) -> Result<(), Error> {
    let directory = StateDirectory::of_environment(name);
    let id = isolate::id(name);
    let before = teardown::remains(&directory, &id);
    teardown::remove_lab(&directory, &id)?;
    let after = teardown::remains(&directory, &id);
    if !after.is_empty() {
        return Err(Error::refused(
            format!("remove the lab `{}`", name.as_str()),
            format!("these are left: {}", after.join(", ")),
        ));
    }
    eprintln!("lab: removed {} things of `{}`", before.len(), name.as_str());
    Ok(())
}
