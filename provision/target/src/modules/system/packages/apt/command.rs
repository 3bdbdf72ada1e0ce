//! Running `apt-get` and its kin.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::super::private::PrivateFolder;
use super::super::super::process::{Finished, Run};
use super::super::super::wait;
use super::AptArguments;
use crate::module::{Context, Failure};

/// How long to wait between two tries to get dpkg's lock, in milliseconds.
const LOCK_PAUSE_MS: u64 = 1000;

/// Words by which apt and dpkg say that somebody else is at work.
const LOCKED: &[&str] = &[
    "Could not get lock",
    "Unable to acquire the dpkg frontend lock",
    "Unable to lock",
    "frontend lock was locked by another process",
    "status database is locked by another process",
    "is another process using it?",
];

/// A program of apt that never asks anything.
///
/// # Errors
/// When the host lacks it.
pub(in super::super) fn tool(name: &str) -> Result<Run, Failure> {
    Ok(Run::tool(name)?
        .parsable()
        .variable("LC_MESSAGES", "C")
        .variable("LC_CTYPE", "C")
        .variable("DEBIAN_FRONTEND", "noninteractive")
        .variable("DEBIAN_PRIORITY", "critical"))
}

/// Runs a command, again and again while somebody else holds the lock. Nothing has happened yet
/// when the lock can't be had.
///
/// # Errors
/// When it can't be started or the call is asked to stop.
pub(in super::super) fn patiently(
    make: &dyn Fn() -> Result<Run, Failure>,
    lock_timeout: Duration,
    context: &Context<'_>,
) -> Result<Finished, Failure> {
    let deadline = Instant::now() + lock_timeout;
    loop {
        let finished = make()?.run(context)?;
        if finished.succeeded() || !is_locked(&finished.stderr_text()) || Instant::now() >= deadline
        {
            return Ok(finished);
        }
        wait::pause(Duration::from_millis(LOCK_PAUSE_MS), context)?;
    }
}

fn is_locked(said: &str) -> bool {
    LOCKED.iter().any(|words| said.contains(words))
}

/// An `apt-get` that changes packages: options, then the command with its packages. In check mode
/// it simulates.
///
/// # Errors
/// When it can't be started or the call is asked to stop.
pub(super) fn apt_get(
    given: &AptArguments,
    program: &str,
    options: &[String],
    command: &[String],
    context: &mut Context<'_>,
) -> Result<Finished, Failure> {
    let simulate = context.check.then_some("--simulate");
    let make = || {
        Ok(tool(program)?
            .argument("-y")
            .arguments(dpkg_options(given))
            .arguments(options)
            .arguments(simulate)
            .arguments(command))
    };
    if context.check {
        return patiently(&make, Duration::ZERO, context);
    }
    context.about_to_change()?;
    let _policy = given.policy_rc_d.map(Policy::enact).transpose()?;
    patiently(&make, given.lock_timeout(), context)
}

fn dpkg_options(given: &AptArguments) -> Vec<String> {
    let options = given.dpkg_options.as_deref().unwrap_or("force-confdef,force-confold");
    options
        .split(',')
        .filter(|option| !option.trim().is_empty())
        .flat_map(|option| ["-o".to_owned(), format!("Dpkg::Options::=--{}", option.trim())])
        .collect()
}

/// A `policy-rc.d` that tells packages whether they may start their services; the old one comes
/// back when this is dropped.
struct Policy {
    old: Option<(PrivateFolder, PathBuf)>,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl Policy {
    fn enact(code: i64) -> Result<Self, Failure> {
        let path = Path::new(POLICY);
        let failed = |error| Failure::system("replace", path, &error);
        let old = if path.exists() {
            let folder = PrivateFolder::new()?;
            let kept = folder.path().join("policy-rc.d");
            fs::copy(path, &kept).map_err(failed)?;
            Some((folder, kept))
        } else {
            None
        };
        let policy = Policy { old };
        fs::write(path, format!("#!/bin/sh\nexit {code}\n")).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        let _ = match &self.old {
            Some((_, kept)) => fs::copy(kept, POLICY).map(|_| ()),
            None => fs::remove_file(POLICY),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_recognised() {
        assert!(is_locked(
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)"
        ));
        assert!(is_locked("dpkg: error: dpkg frontend lock was locked by another process"));
        assert!(!is_locked("E: Unable to locate package x"));
    }

    #[test]
    fn options_reach_dpkg() {
        let given = AptArguments { dpkg_options: Some("a, b".to_owned()), ..Default::default() };
        assert_eq!(
            dpkg_options(&given),
            ["-o", "Dpkg::Options::=--a", "-o", "Dpkg::Options::=--b"]
        );
    }
}
