//! `[io]` The simulated Mesos as programs of their own: a master, and agents that run tasks on their
//! machines. They take the flags and the environment of Mesos' programs and have the pages that
//! operators ask for, so that they can be installed, upgraded and probed as a release of Mesos is.
//!
//! What Mesos would do and these don't is refused where it protects somebody (passwords, ACLs, TLS),
//! and said once in the log otherwise. Decides nothing about offers and tasks: `simulator-mesos` does.

#![forbid(unsafe_code)]

pub mod agent;
pub mod description;
pub mod flags;
pub mod master;
mod version;

use std::fmt;
use std::process::ExitCode;

use flags::Flags;

/// The hidden command that supervises a task.
pub const SUPERVISE: &str = "supervise-task";

/// Why a program can't begin, or has to end.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The flags are wrong.
    #[error("{0}")]
    Flags(#[from] flags::FlagError),
    /// What is described is wrong.
    #[error("{0}")]
    Description(#[from] description::DescriptionError),
    /// The machine lacks something.
    #[error("failed to {what}: {cause}")]
    Machine {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: String,
    },
    /// It must not go on.
    #[error("{0}")]
    Ended(String),
}

impl ReleaseError {
    pub(crate) fn machine(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| ReleaseError::Machine { what, cause: cause.to_string() }
    }
}

/// A line of the log, on standard error: systemd adds the time.
pub(crate) fn log(level: char, text: impl fmt::Display) {
    eprintln!("{level} {text}");
}

/// Runs `master` or `agent` with flags until it ends; the exit code.
pub fn run(program: &str, arguments: &[String]) -> ExitCode {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let outcome =
        Flags::read(arguments, environment).map_err(ReleaseError::from).and_then(|flags| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let runtime = runtime.map_err(ReleaseError::machine("start threads"))?;
            match program {
                "master" => runtime.block_on(master::run(&flags)),
                _ => runtime.block_on(agent::run(&flags)),
            }
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log('E', &error);
            match error {
                ReleaseError::Flags(_) | ReleaseError::Description(_) => ExitCode::from(2),
                ReleaseError::Machine { .. } | ReleaseError::Ended(_) => ExitCode::FAILURE,
            }
        }
    }
}
