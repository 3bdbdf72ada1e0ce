//! `[io]` Debian packages that the lab and other tasks need on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::directories::Cache;
use crate::error::{self, Doing, Error};

/// Package, a file that proves it is there, and what for.
pub type Needed = (&'static str, &'static str, &'static str);

const NEEDED: &[Needed] = &[
    ("systemd-container", "/usr/bin/systemd-nspawn", "boots the hosts"),
    ("debootstrap", "/usr/sbin/debootstrap", "builds their root file system"),
    (
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "has Debian's keys",
    ),
    ("gpgv", "/usr/bin/gpgv", "verifies package indexes"),
    ("wget", "/usr/bin/wget", "is what debootstrap downloads with"),
    ("openssh-client", "/usr/bin/ssh-keygen", "makes keys"),
    ("iproute2", "/usr/sbin/ip", "connects the hosts"),
    ("iptables", "/usr/sbin/iptables", "is what Docker in the hosts uses; loads its tables"),
];

/// Installs what the lab lacks and says so.
///
/// # Errors
/// apt fails.
pub fn install_missing() -> Result<(), Error> {
    install(NEEDED)
}

/// Installs what is missing of these and says so; services among them aren't started.
///
/// # Errors
/// apt fails.
pub fn install(needed: &[Needed]) -> Result<(), Error> {
    let exists = |path: &str| {
        // Merged and split /usr: a program may be in either.
        Path::new(path).exists()
            || path.strip_prefix("/usr").is_some_and(|path| Path::new(path).exists())
    };
    if needed.iter().all(|(_, proof, _)| exists(proof)) {
        return Ok(());
    }
    let _only_one_installs = Cache::of_environment().lock("packages")?;
    let missing: Vec<&Needed> = needed.iter().filter(|(_, proof, _)| !exists(proof)).collect();
    for (package, _, purpose) in &missing {
        eprintln!("xtask: installing the Debian package {package} ({purpose})");
    }
    let names: Vec<&str> = missing.iter().map(|(package, _, _)| *package).collect();
    if names.is_empty() {
        return Ok(());
    }
    let hint = "check this machine's apt sources";
    if apt(&install_arguments(&names)).is_err() {
        eprintln!("xtask: refreshing the package lists of this machine (apt-get update)");
        apt(&["update", "-q"])
            .doing(|| "refresh the package lists".to_owned())
            .map_err(|error| error.with_hint(hint))?;
        apt(&install_arguments(&names))
            .doing(|| format!("install {}", names.join(" ")))
            .map_err(|error| error.with_hint(hint))?;
    }
    Ok(())
}

fn install_arguments<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(names);
    arguments
}

fn apt(arguments: &[&str]) -> Result<(), error::CommandFailure> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let _quiet = NoServices::new();
    error::capture(&mut command).map(drop)
}

/// While it lives, packages that are installed don't start services: who tests an SSH client
/// doesn't want a server on this machine (invoke-rc.d(8), policy-rc.d).
struct NoServices {
    is_ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Self {
        let is_ours = !Path::new(POLICY).exists()
            && fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
                .is_ok();
        Self { is_ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            // Without it services start as usual, which is what was before.
            let _ = fs::remove_file(POLICY);
        }
    }
}
