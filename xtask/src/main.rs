//! `[ui]` What a developer or CI types: demo, test, lab, bench, conformance.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::error::{self, Error};
use xtask::{
    bench, build, conformance, demo, kernels, lab, load, profile, roles, scenarios, soak, suites,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of Corral")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// One variant per task; each task's arguments and entry point live in its own module.
#[derive(Subcommand)]
enum Task {
    /// Boot five hosts, bring up ZooKeeper, Consul, Docker and Mesos, and run an app on them
    Demo(demo::DemoArguments),
    /// Run everything that CI runs
    Test(suites::TestArguments),
    /// Build the helper for hosts and `provision` with it inside
    Build(build::BuildArguments),
    /// Run Ansible's own integration targets against lab hosts
    Conformance(conformance::ConformanceArguments),
    /// Apply well-known public roles to fresh lab hosts, twice
    Roles(roles::RolesArguments),
    /// Run `provision` through the lab: faults, keys, users, many hosts
    Scenarios(scenarios::ScenarioArguments),
    /// Measure a typical deployment, also with other tools
    Bench(bench::BenchArguments),
    /// Count instructions of the simulator's engines and compare them with the committed counts
    Kernels(kernels::KernelArguments),
    /// Measure what real image and video work costs on this machine, as a scenario
    ProfileServices(profile::ProfileArguments),
    /// Run random fault schedules for as long as there is time
    Soak(soak::SoakArguments),
    /// Send requests to an app's instances that Consul says, at a fixed rate
    Load(load::LoadArguments),
    /// Real hosts on this machine: containers with systemd and sshd on a bridge (needs root)
    Lab(lab::cli::LabArguments),
    /// The processes that a lab consists of; not for people
    #[command(hide = true)]
    LabInternal(lab::cli::InternalArguments),
    /// The process that is measured; not for people
    #[command(hide = true)]
    BenchInternal(bench::InternalArguments),
}

fn run(task: Task) -> Result<ExitCode, Error> {
    match task {
        Task::Demo(arguments) => demo::run(arguments),
        Task::Test(arguments) => suites::run(arguments),
        Task::Build(arguments) => build::run(arguments),
        Task::Conformance(arguments) => conformance::run(arguments),
        Task::Roles(arguments) => roles::run(arguments),
        Task::Scenarios(arguments) => scenarios::run(arguments),
        Task::Bench(arguments) => bench::run(arguments),
        Task::BenchInternal(arguments) => bench::run_internal(&arguments),
        Task::Kernels(arguments) => kernels::run(&arguments),
        Task::ProfileServices(arguments) => profile::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Load(arguments) => load::run(&arguments),
        Task::Lab(arguments) => lab::cli::run(arguments),
        Task::LabInternal(arguments) => lab::cli::run_internal(arguments),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", error::render(&error));
            ExitCode::FAILURE
        }
    }
}
