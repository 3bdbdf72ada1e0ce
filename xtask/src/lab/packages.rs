//! `[io]` Debian packages that the lab needs on this machine.

use std::process::Command;

use crate::error::{self, Doing, Error};

/// Package, a file that proves it is there, and what for.
const NEEDED: &[(&str, &str, &str)] = &[
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

/// Installs what is missing and says so.
///
/// # Errors
/// apt fails.
pub fn install_missing() -> Result<(), Error> {
    let exists = |path: &str| {
        // Merged and split /usr: a program may be in either.
        std::path::Path::new(path).exists()
            || path.strip_prefix("/usr").is_some_and(|path| std::path::Path::new(path).exists())
    };
    let missing: Vec<&(&str, &str, &str)> =
        NEEDED.iter().filter(|(_, proof, _)| !exists(proof)).collect();
    for (package, _, purpose) in &missing {
        eprintln!("lab: installing the Debian package {package} ({purpose})");
    }
    let names: Vec<&str> = missing.iter().map(|(package, _, _)| *package).collect();
    if names.is_empty() {
        return Ok(());
    }
    let hint = "check this machine's apt sources";
    if apt(&install_arguments(&names)).is_err() {
        eprintln!("lab: refreshing the package lists of this machine (apt-get update)");
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
    error::capture(&mut command).map(drop)
}
