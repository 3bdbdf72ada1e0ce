//! `[io]` Inventories of a lab. The demo's hosts are committed in `inventories/lab`; what differs
//! from machine to machine (keys, digests) goes into a file beside them that git ignores.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::artifacts::Artifact;
use super::certificate::{self, Certificate};
use super::directories::{Record, StateDirectory, write_file};
use super::names::{DEMO_HOSTS, Host, Subnet};
use super::{latency, mirror};
use crate::error::{Doing, Error};

/// Hosts of a numbered lab that form its quorum.
const SERVERS: usize = 3;
const GENERATED: &str = "group_vars/all/lab.generated.yml";

/// Which way to the hosts an inventory names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Their own addresses.
    Direct,
    /// The delaying proxy (see `latency`).
    Delayed,
}

/// Writes the lab's inventories into its state directory; for the demo's hosts in the demo's
/// network also what `inventories/lab` of this repository lacks.
///
/// # Errors
/// A file can't be written.
pub fn write(
    directory: &StateDirectory,
    record: &Record,
    artifacts: &[Artifact],
) -> Result<(), Error> {
    let certificate = certificate::ensure(directory, record)?;
    let variables = variables(directory, record, artifacts, &certificate);
    let ways =
        [(directory.inventory(), Way::Direct), (directory.delayed_inventory(), Way::Delayed)];
    for (inventory, way) in ways {
        write_below(&inventory, "hosts", &hosts_ini(record, way))?;
        write_below(&inventory, GENERATED, &variables)?;
    }
    match repository_inventory().filter(|_| is_demo(record)) {
        Some(inventory) => write_below(&inventory, GENERATED, &variables),
        None => Ok(()),
    }
}

/// `inventories/lab` of the repository that this program was built from, if it is still there.
#[must_use]
pub fn repository_inventory() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    Some(repository.join("inventories/lab")).filter(|inventory| inventory.is_dir())
}

/// Whether the committed inventory describes this lab.
#[must_use]
pub fn is_demo(record: &Record) -> bool {
    record.subnet == Subnet::DEMO
        && record.hosts.iter().map(|host| host.name.as_str()).eq(DEMO_HOSTS)
        && !crate::lab::isolate::is_inside()
}

/// The inventory of a lab's hosts.
#[must_use]
pub fn hosts_ini(record: &Record, way: Way) -> String {
    let mut text = String::from("# Written by `cargo xtask lab up`.\n");
    for host in &record.hosts {
        // Writing to a String can't fail.
        let _ = match way {
            Way::Direct => {
                writeln!(text, "{} ansible_host={}", host.name, record.subnet.address(host))
            }
            Way::Delayed => {
                let address = record.subnet.delayed_address(host);
                writeln!(
                    text,
                    "{} ansible_host={address} ansible_port={}",
                    host.name,
                    latency::PORT
                )
            }
        };
    }
    let (servers, workers) = roles(&record.hosts);
    for (group, members) in [
        ("zookeeper", servers),
        ("consul_servers", servers),
        ("consul_agents", workers),
        ("docker", workers),
    ] {
        let names: Vec<&str> = members.iter().map(|host| host.name.as_str()).collect();
        let _ = write!(text, "\n[{group}]\n{}\n", names.join("\n"));
    }
    text.push_str("\n[all:vars]\nansible_user=deploy\nansible_become=true\n");
    text
}

/// The quorum and those who work; in a very small lab a host is both.
fn roles(hosts: &[Host]) -> (&[Host], &[Host]) {
    let (servers, workers) = hosts.split_at(SERVERS.min(hosts.len()));
    (servers, if workers.is_empty() { servers } else { workers })
}

fn variables(
    directory: &StateDirectory,
    record: &Record,
    artifacts: &[Artifact],
    certificate: &Certificate,
) -> String {
    let mirror = mirror::url(record.subnet);
    let mut text = format!(
        "# Written by `cargo xtask lab up` for the lab `{}`; not for git.\n\
         ansible_ssh_private_key_file: {}\n\
         ansible_ssh_common_args: -o UserKnownHostsFile={} -o IdentitiesOnly=yes\n\
         lab_mirror: {mirror}\n\
         # Of all hosts; it vouches for itself.\n\
         lab_certificate: |\n{}\
         lab_certificate_key: |\n{}\
         # Component, version. Made by repacking Debian packages: not upstream's archives.\n\
         artifacts:\n",
        record.name.as_str(),
        directory.private_key().display(),
        directory.known_hosts().display(),
        indented(&certificate.certificate),
        indented(&certificate.key),
    );
    let mut component = "";
    for artifact in artifacts {
        if artifact.component != component {
            component = &artifact.component;
            let _ = writeln!(text, "  {component}:");
        }
        let Artifact { version, file, size, sha256, root, .. } = artifact;
        let _ = write!(
            text,
            "    \"{version}\":\n      url: {mirror}/artifacts/{file}\n      size: {size}\n      \
             sha256: {sha256}\n      root: {root}\n"
        );
        if let Some(bytes) = artifact.unpacked_size {
            let _ = writeln!(text, "      unpacked_size: {bytes}");
        }
    }
    text
}

/// As the text of a key of YAML.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn write_below(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let file = directory.join(name);
    if let Some(above) = file.parent() {
        fs::create_dir_all(above).doing(|| format!("create {}", above.display()))?;
    }
    write_file(&file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::names::{LabName, Layout};

    fn record(layout: &Layout) -> Record {
        let name = LabName::parse("demo").unwrap();
        Record::new(name, Subnet::DEMO, layout.hosts().unwrap(), Vec::new())
    }

    #[test]
    fn the_committed_inventory_is_the_demos() {
        let file = repository_inventory().unwrap().join("hosts.ini");
        let committed = fs::read_to_string(file).unwrap();
        assert_eq!(committed, hosts_ini(&record(&Layout::demo()), Way::Direct));
    }

    #[test]
    fn one_host_has_all_roles() {
        let text = hosts_ini(&record(&Layout::Numbered(1)), Way::Delayed);
        assert!(text.contains("h1 ansible_host=127.77.0.101 ansible_port=2222\n"), "{text}");
        assert!(text.contains("[docker]\nh1\n"), "{text}");
    }
}
