//! `[ui]` Arguments, terminal output and reports of `provision`.

// First: the others use its macros.
#[macro_use]
mod paint;

mod ansible;
mod apply;
mod arguments;
mod artifacts;
mod command;
mod doc;
mod exit;
mod inventory;
mod journal;
mod lint;
mod live;
mod ndjson;
mod passwords;
mod printer;
mod prompt;
mod recap;
mod release;
mod runs;
mod trust;
mod vault;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, Command};
use exit::Exit;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = match ansible::called(&words) {
        Ok(Some(ansible::Called::Playbook(playbook))) => Ok(Command::AnsiblePlaybook(playbook)),
        Ok(Some(ansible::Called::Adhoc(adhoc))) => Ok(Command::Ansible(adhoc)),
        Ok(Some(ansible::Called::Inventory(show))) => {
            return ansible::ansible_inventory(&show).into();
        }
        Ok(Some(ansible::Called::Config(show))) => return ansible::ansible_config(&show).into(),
        Ok(None) => parse(&words),
        Err(code) => Err(code.into()),
    };
    let command = match command {
        Ok(command) => command,
        Err(exit) => return exit,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            paint::error(&format!("failed to start: {error}"), None);
            return Exit::Environment.into();
        }
    };
    let exit = runtime.block_on(async {
        let exit = match command {
            Command::Apply(apply) => match &apply.plan {
                Some(plan) => release::run_plan(plan, &apply).await,
                None => apply::apply(*apply).await,
            },
            Command::Status(status) => release::status(*status).await,
            Command::Upgrade(upgrade) => release::upgrade(*upgrade).await,
            Command::Rollback(rollback) => release::rollback(*rollback).await,
            Command::Add(add) => release::add(*add).await,
            Command::Remove(remove) => release::remove(*remove).await,
            Command::Reconfigure(reconfigure) => release::reconfigure(*reconfigure).await,
            Command::Resume(resume) => release::resume(*resume).await,
            Command::Run(run) => command::run_command(*run).await,
            Command::Runs(command) => runs::runs(&command),
            Command::Doc(arguments) => doc::doc(&arguments),
            Command::Lint(arguments) => lint::lint(*arguments),
            Command::Inventory(show) => inventory::inventory(&show),
            Command::Trust(trust) => trust::trust(*trust).await,
            Command::Vault(command) => vault::vault(command),
            Command::Artifacts(command) => artifacts::artifacts(command).await,
            Command::AnsiblePlaybook(playbook) => {
                return ansible::ansible_playbook(&playbook).await.into();
            }
            Command::Ansible(adhoc) => return ansible::ansible(&adhoc).await.into(),
            Command::ExitCodes => {
                say!("{}", exit::table().trim_end());
                Exit::Done
            }
        };
        exit.into()
    });
    // A task that still waits for a host that will never answer must not keep the process.
    runtime.shutdown_background();
    exit
}

/// Help and version are answers, everything else that is no command is a usage error.
fn parse(words: &[OsString]) -> Result<Command, ExitCode> {
    Arguments::try_parse_from(words).map(|arguments| arguments.command).map_err(|error| {
        let asked = !error.use_stderr();
        let _ = error.print();
        if asked { Exit::Done.into() } else { Exit::Usage.into() }
    })
}

/// Threads for connections: cryptography is the work there; evaluation has its own.
const WORKER_THREADS: usize = 4;
