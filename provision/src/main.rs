//! `[ui]` Arguments, terminal output and reports of `provision`.

// First: the others use its macros.
#[macro_use]
mod paint;

mod apply;
mod arguments;
mod artifacts;
mod command;
mod exit;
mod inventory;
mod journal;
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
use std::process::ExitCode;

use arguments::{Arguments, Command};
use exit::Exit;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, everything else is a usage error.
            let asked = !error.use_stderr();
            let _ = error.print();
            return if asked { Exit::Done.into() } else { Exit::Usage.into() };
        }
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
        match arguments.command {
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
            Command::Inventory(show) => inventory::inventory(&show),
            Command::Trust(trust) => trust::trust(*trust).await,
            Command::Vault(command) => vault::vault(command),
            Command::Artifacts(command) => artifacts::artifacts(command).await,
            Command::ExitCodes => {
                say!("{}", exit::table().trim_end());
                Exit::Done
            }
        }
    });
    // A task that still waits for a host that will never answer must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

/// Threads for connections: cryptography is the work there; evaluation has its own.
const WORKER_THREADS: usize = 4;
