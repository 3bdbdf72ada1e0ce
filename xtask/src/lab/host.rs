//! `[io]` Makes a host: its disk, its identity, its place in the network.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use super::directories::{Record, StateDirectory};
use super::names::Host;
use super::{keys, mirror, mounts, network};
use crate::error::{Doing, Error};
use crate::lab::apt::Upstreams;

/// Home directories that the lab's key opens, with their owners' ids (see the recipe in `rootfs`).
const HOMES: [(&str, u32); 3] = [("root", 0), ("home/admin", 1000), ("home/deploy", 1001)];

/// Makes all that a host needs before it can boot.
///
/// # Errors
/// A mount, a key, a file or the network fails.
pub fn create(
    directory: &StateDirectory,
    record: &Record,
    host: &Host,
    upstreams: &Upstreams,
) -> Result<(), Error> {
    let own = directory.host(host);
    for part in ["upper", "work", "root", "docker"] {
        fs::create_dir_all(own.join(part)).doing(|| format!("create the disk of {}", host.name))?;
    }
    // An upper layer's own mode is what `/` has inside.
    set_mode(&own.join("upper"), 0o755)?;
    keys::generate(&own.join("ssh_host_ed25519_key"), &host.name)?;
    mount(directory, record, host)?;
    write_identity(directory, record, host, upstreams)?;
    network::connect(&record.id(), record.subnet, host)
}

/// Mounts a host's disk.
///
/// # Errors
/// The kernel refuses.
fn mount(directory: &StateDirectory, record: &Record, host: &Host) -> Result<(), Error> {
    let own = directory.host(host);
    mounts::overlay(
        &record.id().machine(host),
        &record.layers,
        &own.join("upper"),
        &own.join("work"),
        &own.join("root"),
    )
}

fn write_identity(
    directory: &StateDirectory,
    record: &Record,
    host: &Host,
    upstreams: &Upstreams,
) -> Result<(), Error> {
    let root = directory.root(host);
    let name = &host.name;
    let write = |path: &str, text: &str| {
        fs::write(root.join(path), text).doing(|| format!("write /{path} of {name}"))
    };
    let uuid = "/proc/sys/kernel/random/uuid";
    let machine_id = fs::read_to_string(uuid).doing(|| format!("read {uuid}"))?.replace('-', "");
    write("etc/machine-id", &machine_id)?;
    write("etc/hostname", &format!("{name}\n"))?;
    let address = record.subnet.address(host);
    write("etc/hosts", &format!("127.0.0.1 localhost\n{address} {name}\n"))?;
    // There is no DNS: without a server a lookup fails at once instead of after a timeout.
    write("etc/resolv.conf", "")?;
    let mirror = mirror::url(record.subnet);
    let sources = upstreams.host_sources.iter().fold(String::new(), |text, (path, suite)| {
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        text + &format!("deb [signed-by={keyring}] {mirror}/{path} {suite} main\n")
    });
    write("etc/apt/sources.list", &sources)?;
    for file in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"] {
        let source = directory.host(host).join(file);
        fs::copy(&source, root.join("etc/ssh").join(file))
            .doing(|| format!("copy {} to {name}", source.display()))?;
    }
    let public = directory.private_key().with_extension("pub");
    let key = fs::read_to_string(&public).doing(|| format!("read {}", public.display()))?;
    for (home, owner) in HOMES {
        let path = format!("{home}/.ssh/authorized_keys");
        write(&path, &key)?;
        set_mode(&root.join(&path), 0o600)?;
        chown(root.join(&path), Some(owner), Some(owner))
            .doing(|| format!("give /{path} of {name} to its owner"))?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing(|| format!("set the mode of {}", path.display()))
}
