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

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use arguments::{Arguments, Command, Format, PolicyCommand};
use clap::Parser;
use exit::Exit;

/// What a burst of launches leaves behind is given back to the system, whichever thread has freed it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is free goes back to the system at once, and not when memory near it is used the next time: a daemon
/// that rests doesn't come to that. The allocator reads it before anything else of a program begins.
const PURGE_AT_ONCE: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// Threads for requests and instances: they wait most of the time. The loop has its own.
const WORKER_THREADS: usize = 2;

/// The daemon is started once more as the same process, with the setting of its allocator, unless somebody
/// has chosen one.
fn begin_again_frugally() {
    let (name, value) = PURGE_AT_ONCE;
    if std::env::var_os(name).is_some() {
        return;
    }
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| "scheduler".into());
    // By its path, so that the process keeps its name.
    let Ok(path) = std::env::current_exe() else { return };
    // It returns only if that is impossible; then the daemon takes more memory, and that is all.
    let _ = std::process::Command::new(path).arg0(program).args(words).env(name, value).exec();
}

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
        Command::Serve(arguments) => {
            begin_again_frugally();
            serve(*arguments)
        }
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
