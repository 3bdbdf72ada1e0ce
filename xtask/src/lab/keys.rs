//! `[io]` SSH keys of a lab: one that all hosts let in, and one per host, made before the host
//! boots so that `known_hosts` is true from the first connection on.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::directories::{Record, StateDirectory, write_file};
use super::latency;
use crate::error::{self, Doing, Error};

/// Makes an ed25519 key without a passphrase.
///
/// # Errors
/// `ssh-keygen` fails.
pub fn generate(path: &Path, comment: &str) -> Result<(), Error> {
    let path = path.to_string_lossy();
    error::output_of("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path])
        .map(drop)
        .doing(|| format!("make the key {path}"))
}

/// Writes `known_hosts` and `ssh_config` from the hosts' keys.
///
/// # Errors
/// A host has no key, or the files can't be written.
pub fn write_client_files(directory: &StateDirectory, record: &Record) -> Result<(), Error> {
    let (mut known, mut config) = (String::new(), String::new());
    for host in &record.hosts {
        let public = directory.host(host).join("ssh_host_ed25519_key.pub");
        let key = fs::read_to_string(&public).doing(|| format!("read {}", public.display()))?;
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let address = record.subnet.address(host);
        let delayed = record.subnet.delayed_address(host);
        // Writing to a String can't fail.
        let _ = writeln!(known, "{address},[{delayed}]:{} {}", latency::PORT, key.join(" "));
        let _ = writeln!(config, "Host {}\n  HostName {address}", host.name);
    }
    let _ = write!(
        config,
        "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
         StrictHostKeyChecking yes\n  ConnectTimeout 5\n  LogLevel ERROR\n",
        directory.private_key().display(),
        directory.known_hosts().display()
    );
    write_file(&directory.known_hosts(), known.as_bytes())?;
    write_file(&directory.ssh_config(), config.as_bytes())
}
