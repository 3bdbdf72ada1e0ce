//! `[ui]` The scheduler's daemon and its clients.

#![forbid(unsafe_code)]

// First: the others use its macros.
#[macro_use]
mod paint;

mod arguments;
mod client;
mod exit;
mod folder;
mod input;
mod ports;
mod replay;
mod serve;
mod snapshot;
mod table;
mod tokens;

use std::process::ExitCode;

use arguments::{Arguments, Command, Format, PolicyCommand};
use clap::Parser;
use exit::Exit;

/// What a burst of launches leaves behind is given back to the system, whichever thread has freed it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads for requests and instances: they wait most of the time. The loop has its own.
const WORKER_THREADS: usize = 2;

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
    let exit = match arguments.command {
        Command::SuperviseTask { folder, docker } => {
            return scheduler_runner::supervise(&folder, &docker);
        }
        Command::Serve(arguments) => serve(*arguments),
        Command::Snapshot(command) => snapshot::snapshot(&command),
        Command::Token(command) => tokens::token(&command),
        Command::Policy(PolicyCommand::Replay { log, policy }) => {
            replay::policy(&log, policy.as_deref())
        }
        Command::Schema { format } => {
            let text = match format {
                Format::App => scheduler::schema::text(),
                Format::Api => scheduler::openapi::text(),
            };
            say!("{}", text.trim_end());
            Exit::Done
        }
        Command::ExitCodes => {
            say!("{}", exit::table().trim_end());
            Exit::Done
        }
        other => client::client(other),
    };
    exit.into()
}

fn serve(arguments: serve::Serve) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(serve::serve(arguments));
            // Requests that are followed for ever must not keep the process.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            paint::error(&format!("failed to start: {error}"), None);
            Exit::Environment
        }
    }
}
