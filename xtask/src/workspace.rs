//! `[io]` Where things of this repository and of its tasks are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::lab::directories::Cache;
use crate::step;

/// The repository that this program was built from.
#[must_use]
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Where cargo builds to.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default_target, |path| root().join(path))
}

fn default_target() -> PathBuf {
    root().join("target")
}

/// Where `cargo xtask build` puts the helper that the controller embeds.
#[must_use]
pub fn helper_image() -> PathBuf {
    target().join("helper-image")
}

/// Downloads and other things that are made once for this machine.
#[must_use]
pub fn cache() -> PathBuf {
    Cache::of_environment().path().to_owned()
}

/// Logs of tasks.
#[must_use]
pub fn logs() -> PathBuf {
    target().join("xtask-logs")
}

/// Builds the programs that tests use, and the tests, and returns their folder.
///
/// What is built depends on all that is asked for together: `--package`, `--bins` or `--test` would
/// choose other features of common dependencies, and build those again. After the tests of the
/// workspace this builds nothing.
///
/// # Errors
/// The build fails; the message shows the end of the log `NAME.log`.
pub fn programs(name: &str, limit: Duration) -> Result<PathBuf, Error> {
    let command = cargo(&["test", "--workspace", "--no-run", "--quiet"]);
    step::demand(&command, &step::log(name), limit, "build the programs")?;
    Ok(target().join("debug"))
}

/// `cargo` in the repository, with the helper of this target folder to embed.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // The default needs no variable: so a plain `cargo build` afterwards rebuilds nothing.
    if target() != default_target() {
        command.env("PROVISION_HELPER", helper_image());
    }
    // What `cargo run` says about the package xtask is not for the cargo below it.
    let own = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    for name in own {
        command.env_remove(name);
    }
    command
}
