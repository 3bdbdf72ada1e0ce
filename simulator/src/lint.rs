//! `simulator scenario lint`: what is wrong with scenarios and what is doubtful, without running them.

use std::path::PathBuf;

use simulator::scenario::Override;

use crate::exit::Exit;
use crate::input::{self, Warnings};

/// `simulator scenario`.
#[derive(Debug, clap::Subcommand)]
pub enum ScenarioCommand {
    /// Check scenario files without running them.
    Lint(Lint),
}

/// `simulator scenario lint`.
#[derive(Debug, clap::Args)]
pub struct Lint {
    /// Scenario files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A policy file to use instead of the scenarios' own policies.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Another value for a key of the scenarios, such as policy.queue.free=5.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    overrides: Vec<Override>,
    /// Warnings are errors, too.
    #[arg(long)]
    strict: bool,
}

/// Checks all files; the worst of what is found is the exit code.
pub fn lint(arguments: &Lint) -> Exit {
    let mut exit = Exit::Done;
    for file in &arguments.files {
        let policy = arguments.policy.as_deref();
        match input::load_all(file, policy, &arguments.overrides, Warnings::Told) {
            Ok(loaded) if loaded.warnings.is_empty() => say!("{}: ok", file.display()),
            Ok(loaded) => {
                let count = loaded.warnings.len();
                let plural = if count == 1 { "warning" } else { "warnings" };
                say!("{}: {count} {plural}", file.display());
                if arguments.strict && exit == Exit::Done {
                    exit = Exit::InvalidInput;
                }
            }
            Err(Exit::Environment) => exit = Exit::Environment,
            Err(failed) if exit != Exit::Environment => exit = failed,
            Err(_) => {}
        }
    }
    exit
}
