//! `[ui]` `cargo xtask scenarios`: `provision` as a black box against real lab hosts.
//!
//! Runs in namespaces of its own, so that nothing stays behind. A lab serves one scenario after the
//! other; each has a folder of its own on the hosts, and hosts that a scenario broke are repaired
//! before the next. Several labs work side by side (`workers`).

mod artifacts;
mod catalog;
mod consul;
mod docker;
mod docker_worker;
mod equal;
mod faults;
mod generic;
mod login;
mod members;
mod mesos;
mod mesos_drain;
mod migration;
mod modules;
mod normal;
mod own_roles;
mod plays;
mod releases;
mod stage;
mod workers;
mod zookeeper;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::build::{self, BuildArguments};
use crate::conformance::source;
use crate::error::{self, Doing, Error};
use crate::lab::directories::Cache;
use crate::lab::names::Layout;
use crate::lab::rootfs::{self, Variant};
use crate::lab::{self, Lab, UpOptions, isolate, packages};
use stage::Stage;
use workers::Counts;

/// Hosts that the scenarios share.
const SHARED_HOSTS: u8 = 3;

/// It needs archives of our own programs.
const MESOS_ROLES: &str = "mesos-roles";
/// So does this.
const MESOS_DRAIN: &str = "mesos-drain";
/// It needs ansible-core, and Python in hosts.
const EQUAL_HOSTS: &str = "equal-hosts";

/// Arguments of `scenarios`.
#[derive(Debug, Clone, Args)]
pub struct ScenarioArguments {
    /// Scenarios [default: all short ones]
    #[arg(value_name = "SCENARIO")]
    names: Vec<String>,
    /// The long ones, too
    #[arg(long)]
    long: bool,
    /// Show what there is
    #[arg(long)]
    list: bool,
    /// The `provision` to test [default: build it]
    #[arg(long, value_name = "FILE")]
    provision: Option<PathBuf>,
    /// Labs that work side by side
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    labs: u8,
    /// Be one of them: run what is named on the input
    #[arg(long, hide = true)]
    worker: bool,
}

/// One promise about the whole program.
struct Scenario {
    name: &'static str,
    promise: &'static str,
    is_long: bool,
    run: fn(&Stage) -> Result<(), Error>,
}

const fn short(
    name: &'static str,
    promise: &'static str,
    run: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario { name, promise, is_long: false, run }
}

const fn long(
    name: &'static str,
    promise: &'static str,
    run: fn(&Stage) -> Result<(), Error>,
) -> Scenario {
    Scenario { name, promise, is_long: true, run }
}

const ALL: &[Scenario] = &[
    short("twice", "a second apply changes nothing", normal::twice),
    short("handlers", "each handler runs as often as it is notified", normal::handlers),
    short("check-diff", "--check --diff shows exactly what apply does", normal::check_diff),
    short(
        "strict-order",
        "sending ahead gives what one task at a time gives",
        normal::strict_order,
    ),
    short(
        "static-errors",
        "all static errors at once, before any connection",
        normal::static_errors,
    ),
    short("host-key", "a wrong key is refused, an unknown one explained", login::host_key),
    short("sudo-password", "sudo with a password, right and wrong", login::sudo_password),
    short(
        "become-user",
        "another user than root, with and without a root login",
        login::become_user,
    ),
    short("jump-host", "hosts behind a jump host", login::jump_host),
    short("full-disk", "a full disk is a clear failure and leaves no half file", faults::full_disk),
    short("lost-connection", "a task outlives its connection", faults::lost_connection),
    short("kill-controller", "after kill -9 a second apply converges", faults::kill_controller),
    short("reboot", "a host that reboots is unreachable, the others converge", faults::reboot),
    short("reboot-task", "a task reboots hosts and waits until they are back", faults::reboot_task),
    short("synchronize", "rsync to hosts, on them and from them, once", modules::synchronize),
    short("sysvinit", "a service by its init script", modules::sysvinit),
    short("openssh", "the system's ssh in place of our own client", modules::openssh),
    // Those that take longest come before others that could fill the time beside them.
    short(
        EQUAL_HOSTS,
        "ansible-core and provision leave equal files, users, packages and services",
        equal::run,
    ),
    short("consul-inventory", "hosts from Consul, also while it is down", catalog::inventory),
    short("members", "an ensemble grows and shrinks under a writing client", members::members),
    short("code-push", "a service is pushed, pushed badly, taken back", generic::code_push),
    short("upgrade", "another release under a writing client, and back", releases::upgrade),
    short("release-plan", "a saved plan is run as it is, or is stale", releases::release_plan),
    short("bad-release", "a release that does not start is taken back", releases::bad_release),
    short("reconfigure", "another setting under a writing client", releases::reconfigure),
    short("resume", "an upgrade goes on after kill -9", releases::resume),
    short(
        "unit-files",
        "systemd reads its files again if and only if one changed",
        normal::unit_files,
    ),
    short("lifecycle-plays", "upgrade.yml, rollback.yml, remove.yml keep the quorum", plays::run),
    long(
        "kill-release",
        "kill -9 at each kind of step of an upgrade, each followed by resume",
        releases::kill_anywhere,
    ),
    long("docker-kept", "other daemons and back, containers run on", docker::kept),
    long(
        "docker-worker",
        "the sample worker is an image that a scheduler runs, upgrades and repairs",
        docker_worker::run,
    ),
    long("consul-rolling", "another setting of Consul under a client that writes", consul::rolling),
    short("metrics", "an exporter tells which releases are in use", generic::metrics),
    long(
        "zookeeper-migration",
        "an ensemble with fixed members gets reconfiguration under a writing client",
        migration::migration,
    ),
    short("artifacts", "what was changed on its way is not installed", artifacts::run),
    long(
        "consul-registered",
        "releases in Consul's catalog, and what was changed by hand",
        catalog::registered,
    ),
    long("consul-members", "a server of Consul joins, the leader leaves", members::consul_members),
    long(
        MESOS_ROLES,
        "Mesos is installed, upgraded and taken back under an app that runs on",
        mesos::roles,
    ),
    long(
        MESOS_DRAIN,
        "agents are emptied before they restart, hosts leave and join, no request fails",
        mesos_drain::run,
    ),
    short("batch-command", "one command on all hosts, answers folded", normal::batch_command),
    short("thirty-hosts", "30 hosts at once", normal::thirty_hosts),
    long("own-roles", "our own roles, in strict order and ahead, come out equal", own_roles::run),
    long("partition", "a short cut in the network is waited out", faults::partition),
    long(
        "kill-anywhere",
        "kill -9 at ten moments, each followed by an apply",
        faults::kill_anywhere,
    ),
];

/// Runs the task.
///
/// # Errors
/// The lab or a build fails.
pub fn run(arguments: ScenarioArguments) -> Result<ExitCode, Error> {
    if arguments.list {
        for scenario in ALL {
            let mark = if scenario.is_long { " (--long)" } else { "" };
            println!("{:<16} {}{mark}", scenario.name, scenario.promise);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let provision = match &arguments.provision {
        Some(program) => program.clone(),
        None => build::build(BuildArguments::default())?.provision,
    };
    let provision = provision.canonicalize().doing(|| format!("find {}", provision.display()))?;
    let chosen = choose(&arguments)?;
    let workers = usize::from(arguments.labs).min(chosen.len());
    if isolate::is_inside() {
        return match arguments.worker {
            true => work(&provision),
            false => run_inside(&provision, &chosen),
        };
    }
    if !arguments.worker {
        prepare(&chosen)?;
        if workers > 1 {
            return Ok(conclude(workers::run(&provision, &chosen, workers)?));
        }
    }
    let mut task = vec!["scenarios".to_owned(), format!("--provision={}", provision.display())];
    match arguments.worker {
        true => task.push("--worker".to_owned()),
        false => task.extend(chosen.iter().map(|scenario| scenario.name.to_owned())),
    }
    isolate::run(&task)
}

/// Fetches and packs what labs can't: they have no network.
fn prepare(chosen: &[&Scenario]) -> Result<(), Error> {
    packages::install_missing()?;
    let cache = Cache::of_environment();
    rootfs::layers(&cache, Variant::Plain)?;
    if chosen.iter().any(|scenario| scenario.name == EQUAL_HOSTS) {
        rootfs::layers(&cache, Variant::Python)?;
        source::ansible_playbook()?;
    }
    if chosen.iter().any(|scenario| [MESOS_ROLES, MESOS_DRAIN].contains(&scenario.name)) {
        lab::artifacts::own::pack(&cache)?;
    }
    lab::artifacts::ensure(&cache)?;
    Ok(())
}

fn choose(arguments: &ScenarioArguments) -> Result<Vec<&'static Scenario>, Error> {
    for name in &arguments.names {
        if !ALL.iter().any(|scenario| scenario.name == name) {
            return Err(Error::refused(format!("run the scenario {name}"), "there is none")
                .with_hint("`cargo xtask scenarios --list`"));
        }
    }
    let is_chosen = |scenario: &&Scenario| match arguments.names.is_empty() {
        true => arguments.long || !scenario.is_long,
        false => arguments.names.iter().any(|name| name == scenario.name),
    };
    Ok(ALL.iter().filter(is_chosen).collect())
}

fn run_inside(provision: &Path, chosen: &[&Scenario]) -> Result<ExitCode, Error> {
    let lab = up()?;
    let mut counts = Counts::default();
    for scenario in chosen {
        match play(&lab, provision, scenario) {
            true => counts.passed += 1,
            false => counts.failed += 1,
        }
    }
    lab.down()?;
    Ok(conclude(counts))
}

fn work(provision: &Path) -> Result<ExitCode, Error> {
    let lab = up()?;
    workers::work(|name| {
        if let Some(scenario) = ALL.iter().find(|scenario| scenario.name == name) {
            play(&lab, provision, scenario);
        }
    });
    lab.down()?;
    Ok(ExitCode::SUCCESS)
}

fn up() -> Result<Lab, Error> {
    Lab::up(&UpOptions::new("scenarios", Layout::Numbered(SHARED_HOSTS))?)
}

fn conclude(Counts { passed, failed }: Counts) -> ExitCode {
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a scenario and prints what came of it; whether it has passed.
fn play(lab: &Lab, provision: &Path, scenario: &Scenario) -> bool {
    let start = Instant::now();
    let outcome = repair(lab)
        .and_then(|()| Stage::new(lab, provision, scenario.name))
        .and_then(|stage| (scenario.run)(&stage));
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            println!("pass {:<16} {seconds:>6.1} s", scenario.name);
            true
        }
        Err(error) => {
            println!("FAIL {:<16} {seconds:>6.1} s  {}", scenario.name, scenario.promise);
            let text = error::render(&error);
            text.lines().for_each(|line| println!("    {line}"));
            false
        }
    }
}

/// Starts and connects what the last scenario left stopped or cut off.
fn repair(lab: &Lab) -> Result<(), Error> {
    for host in lab.hosts() {
        lab.heal(host)?;
        if !lab.is_running(host)? {
            lab.start_unready(host)?;
        }
    }
    lab.wait_until_ready(lab.hosts())
}
