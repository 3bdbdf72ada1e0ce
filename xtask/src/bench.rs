//! `[ui]` `cargo xtask bench`: a typical deployment, the simulator's engine, and the scheduler, measured,
//! also with other tools.

mod hosts;
mod measure;
mod report;
mod scheduler;
mod simulator;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};

use crate::build::{self, BuildArguments};
use crate::conformance::source;
use crate::error::{self, Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::names::Layout;
use crate::lab::rootfs::{self, Variant};
use crate::lab::{self, Lab, UpOptions, isolate, packages};
use crate::step;
pub(crate) use report::machine;
use report::{Floor, Results, Row};
use tools::{Bench, Deployment, Tool};

const PEERS: &[&str] = &["ansible-core==2.18.19", "mitogen", "pyinfra"];
const FLOOR_TRIES: usize = 5;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// A deployment of 50 or 200 tasks: first run, and with nothing to change
    Provision(ProvisionArguments),
    /// 1,000 SSH servers on this machine, some dead and some slow
    Hosts(hosts::HostsArguments),
    /// The figures of the scheduler on a simulated Mesos, and of placement
    Scheduler(scheduler::SchedulerArguments),
    /// The simulator's engine on the loads of its speed table
    Simulator(simulator::SimulatorArguments),
}

#[derive(Debug, Clone, Args)]
struct ProvisionArguments {
    /// Numbers of hosts
    #[arg(long, value_delimiter = ',', default_value = "1,10,30")]
    hosts: Vec<u8>,
    /// What is applied; pyinfra has only the typical one
    #[arg(long, value_enum, default_value_t)]
    deployment: Deployment,
    /// Install the other tools into the cache and measure them, too
    #[arg(long)]
    peers: bool,
    /// Tools [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_enum)]
    tools: Vec<Tool>,
    /// Milliseconds that are added to each round trip; only the run with nothing to change
    #[arg(long, value_name = "MS")]
    latency: Option<u32>,
    /// The `provision` to measure [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
    /// The virtual environment of the other tools
    #[arg(long, value_name = "FOLDER", hide = true)]
    environment: Option<PathBuf>,
}

/// Arguments of the process that is measured.
#[derive(Debug, Args)]
pub struct InternalArguments {
    group: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Becomes what is measured.
///
/// # Errors
/// It can't be started.
pub fn run_internal(arguments: &InternalArguments) -> Result<ExitCode, Error> {
    measure::enter(&arguments.group, &arguments.command)?;
    Ok(ExitCode::FAILURE)
}

/// Measures.
///
/// # Errors
/// A tool can't be installed, or the lab fails; not: that a tool does.
pub fn run(arguments: BenchArguments) -> Result<ExitCode, Error> {
    let arguments = match arguments.what {
        What::Provision(arguments) => arguments,
        What::Hosts(arguments) => return hosts::run(&arguments),
        What::Scheduler(arguments) => return scheduler::run(&arguments),
        What::Simulator(arguments) => return simulator::run(&arguments),
    };
    let provision = match &arguments.provision {
        Some(program) => program.clone(),
        None => build::build(BuildArguments::default())?.provision,
    };
    let provision = provision.canonicalize().doing(|| format!("find {}", provision.display()))?;
    if !isolate::is_inside() {
        return again_inside(&arguments, &provision);
    }
    let mut results = Results::read()?;
    for count in &arguments.hosts {
        measure_hosts(&arguments, &provision, *count, &mut results)?;
    }
    println!("\n{}\n{}", results.table(), results.ratios());
    Ok(ExitCode::SUCCESS)
}

fn again_inside(arguments: &ProvisionArguments, provision: &Path) -> Result<ExitCode, Error> {
    packages::install_missing()?;
    let cache = Cache::of_environment();
    rootfs::layers(&cache, Variant::Python)?;
    lab::artifacts::ensure(&cache)?;
    let hosts: Vec<String> = arguments.hosts.iter().map(u8::to_string).collect();
    let mut task = vec!["bench".to_owned(), "provision".to_owned()];
    task.push(format!("--hosts={}", hosts.join(",")));
    task.push(format!("--provision={}", provision.display()));
    task.push(format!("--deployment={}", arguments.deployment.name()));
    if let Some(latency) = arguments.latency {
        task.push(format!("--latency={latency}"));
    }
    let environment = match (&arguments.environment, arguments.peers) {
        (Some(environment), _) => Some(environment.clone()),
        (None, true) => Some(source::virtual_environment("peers", PEERS)?),
        (None, false) => None,
    };
    if let Some(environment) = environment {
        task.push(format!("--environment={}", environment.display()));
    }
    for tool in &arguments.tools {
        let name = clap::ValueEnum::to_possible_value(tool);
        task.extend(name.map(|name| format!("--tools={}", name.get_name())));
    }
    isolate::run(&task)
}

/// Each tool on fresh hosts: first, then with nothing to change.
fn measure_hosts(
    arguments: &ProvisionArguments,
    provision: &Path,
    count: u8,
    results: &mut Results,
) -> Result<(), Error> {
    let all =
        [Tool::Provision, Tool::AnsibleDefault, Tool::AnsibleTuned, Tool::Mitogen, Tool::Pyinfra];
    for tool in all {
        if !arguments.tools.is_empty() && !arguments.tools.contains(&tool) {
            continue;
        }
        if tool != Tool::Provision && arguments.environment.is_none() {
            continue;
        }
        let mut options = UpOptions::new("bench", Layout::Numbered(count))?;
        options.variant = Variant::Python;
        let lab = Lab::up(&options)?;
        // Lists of packages are there on real hosts; fetching them isn't what is compared.
        for host in lab.hosts() {
            lab.run(host, "apt-get update -q")?;
        }
        let outcome = measure_tool(arguments, provision, &lab, tool, results);
        let down = lab.down();
        outcome.and(down)?;
    }
    Ok(())
}

fn measure_tool(
    arguments: &ProvisionArguments,
    provision: &Path,
    lab: &Lab,
    tool: Tool,
    results: &mut Results,
) -> Result<(), Error> {
    let hosts = u8::try_from(lab.hosts().len()).unwrap_or(u8::MAX);
    let folder = lab.directory().path().join("bench");
    fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    let peers = arguments.environment.as_deref();
    let deployment = arguments.deployment;
    let mut bench = Bench { lab, provision, peers, folder, is_delayed: false, deployment };
    if !bench.has(tool) {
        return Ok(());
    }
    let mut round_trip_ms = 0;
    for is_again in [false, true] {
        if let (true, Some(latency)) = (is_again, arguments.latency) {
            lab.delay(latency)?;
            round_trip_ms = latency;
            bench.is_delayed = true;
        }
        let log = step::log(&format!(
            "bench-{}-{}-{hosts}-{is_again}",
            deployment.name(),
            tool.name().replace(", ", "-")
        ));
        let load = load();
        let usage = measure::measure(lab, &bench.command(tool)?, &log)?;
        let row = Row { deployment, tool, hosts, is_again, round_trip_ms, load, usage };
        let run = if is_again { "again" } else { "first" };
        println!(
            "{:<24} {hosts:>2} hosts, {run}: {:.2} s, controller {:.2} s, hosts {:.2} s, {:.0} MB, exit {:?}",
            tool.name(),
            usage.wall_s,
            usage.controller_cpu_s,
            usage.hosts_cpu_s,
            usage.peak_mb,
            usage.exit
        );
        results.add(row);
    }
    if let (Tool::Provision, Some(host)) = (tool, lab.hosts().first()) {
        results.add_floor(Floor { round_trip_ms, seconds: floor(lab, host, &bench)? });
    }
    results.write()
}

/// The fastest of some fresh connections.
fn floor(lab: &Lab, host: &lab::names::Host, bench: &Bench<'_>) -> Result<f64, Error> {
    let mut fastest = f64::INFINITY;
    for _ in 0..FLOOR_TRIES {
        let mut ssh = lab.ssh(host);
        if bench.is_delayed {
            let address = lab.record().subnet.delayed_address(host);
            ssh.args(["-o", &format!("HostName={address}")]);
            ssh.args(["-p", &lab::latency::PORT.to_string()]);
        }
        let start = Instant::now();
        error::capture(ssh.arg("true")).doing(|| "connect with ssh".to_owned())?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(fastest)
}

/// Processes that wanted a processor in the last minute, on average.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
