//! `[pure]` What a lab's things are called and which addresses they have.
//!
//! Every name on the machine carries the lab's short id, so that two labs never collide and a
//! lab's things can be found (and removed) by name alone when its state has been lost.

use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The hosts of the demo: three of a quorum, two that work.
pub const DEMO_HOSTS: [&str; 5] = ["zk1", "zk2", "zk3", "worker1", "worker2"];

/// Named hosts have the addresses .11 to .99.
const NAMED_FIRST_OCTET: u8 = 11;
const NAMED_LIMIT_HOSTS: u8 = 89;
/// Numbered hosts have .101 and up; .255 is the broadcast address.
const NUMBERED_FIRST_OCTET: u8 = 101;
/// As many numbered hosts as addresses are left in the subnet.
pub const NUMBERED_LIMIT_HOSTS: u8 = 154;

/// A lab's name, as a person types it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// The short id in all names of a lab's things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabId(String);

/// The third octet of the lab's network `10.77.x.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet(pub u8);

/// A host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name, also inside.
    pub name: String,
    /// The last octet of its address.
    pub octet: u8,
}

/// Which hosts a lab has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Hosts with these names, from .11 up.
    Named(Vec<String>),
    /// `h1` to `hN`, from .101 up.
    Numbered(u8),
}

impl LabName {
    /// Checks a name.
    ///
    /// # Errors
    /// The name can't be part of a path or a host name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        if is_label(name, 24) {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::refused(
            format!("use `{name}` as a name of a lab"),
            "a name is 1 to 24 characters of a-z, 0-9 and -, and begins with a letter",
        ))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id in the names of this lab's things: short, because a link's name has 15 characters.
    /// Control groups are the whole machine's, so an isolated task has a scope of its own.
    #[must_use]
    pub fn id(&self, scope: Option<&Path>) -> LabId {
        let scope = scope.map_or(String::new(), |scope| format!("\0{}", scope.display()));
        let digest = hex::encode(Sha256::digest(format!("{}{scope}", self.0).as_bytes()));
        LabId(digest.chars().take(6).collect())
    }
}

impl TryFrom<String> for LabName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self, Error> {
        Self::parse(&name)
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl LabId {
    /// The bridge that all hosts are connected to.
    #[must_use]
    pub fn bridge(&self) -> String {
        format!("br-{}", self.0)
    }

    /// What the names of all outer ends of the hosts' links begin with.
    #[must_use]
    pub fn link_prefix(&self) -> String {
        format!("v{}-", self.0)
    }

    /// The outer end of a host's link.
    #[must_use]
    pub fn link(&self, host: &Host) -> String {
        format!("{}{}", self.link_prefix(), host.octet)
    }

    /// What the names of all network namespaces, machines and mounts begin with.
    #[must_use]
    pub fn machine_prefix(&self) -> String {
        format!("corral-{}-", self.0)
    }

    /// A host's network namespace, machine name and mount source.
    #[must_use]
    pub fn machine(&self, host: &Host) -> String {
        format!("{}{}", self.machine_prefix(), host.name)
    }

    /// The control group of the lab, in every hierarchy.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("corral-{}", self.0)
    }

    /// The control group of the lab's own processes.
    #[must_use]
    pub fn cgroup_of_lab(&self) -> String {
        format!("{}/lab", self.cgroup())
    }

    /// The control group of a host.
    #[must_use]
    pub fn cgroup_of_host(&self, host: &Host) -> String {
        format!("{}/host-{}", self.cgroup(), host.name)
    }
}

impl Subnet {
    /// The network that the committed inventory of the demo names.
    pub const DEMO: Self = Self(0);

    /// The machine's own address on the bridge.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 1)
    }

    /// A host's address.
    #[must_use]
    pub fn address(self, host: &Host) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, host.octet)
    }

    /// Where the host is reached with a delay (see `latency`).
    #[must_use]
    pub fn delayed_address(self, host: &Host) -> Ipv4Addr {
        Ipv4Addr::new(127, 77, self.0, host.octet)
    }
}

impl Layout {
    /// The five hosts of the demo.
    #[must_use]
    pub fn demo() -> Self {
        Self::Named(DEMO_HOSTS.map(str::to_owned).to_vec())
    }

    /// The hosts with their addresses.
    ///
    /// # Errors
    /// Too many hosts, none, a name twice, or a name that isn't a host name.
    pub fn hosts(&self) -> Result<Vec<Host>, Error> {
        let refused = |reason: String| Error::refused("lay out the lab's hosts", reason);
        match self {
            Self::Numbered(count) => {
                if !(1..=NUMBERED_LIMIT_HOSTS).contains(count) {
                    return Err(refused(format!("a lab has 1 to {NUMBERED_LIMIT_HOSTS} hosts")));
                }
                let host = |number: u8| Host {
                    name: format!("h{}", u16::from(number) + 1),
                    octet: NUMBERED_FIRST_OCTET + number,
                };
                Ok((0..*count).map(host).collect())
            }
            Self::Named(names) => {
                let mut hosts: Vec<Host> = Vec::new();
                for (name, octet) in names.iter().zip(NAMED_FIRST_OCTET..) {
                    if !is_label(name, 32) {
                        return Err(refused(format!("`{name}` isn't a host name")));
                    }
                    if hosts.iter().any(|host| host.name == *name) {
                        return Err(refused(format!("`{name}` is named twice")));
                    }
                    hosts.push(Host { name: name.clone(), octet });
                }
                if hosts.is_empty() || hosts.len() > usize::from(NAMED_LIMIT_HOSTS) {
                    return Err(refused(format!("a lab has 1 to {NAMED_LIMIT_HOSTS} named hosts")));
                }
                Ok(hosts)
            }
        }
    }
}

fn is_label(name: &str, limit_characters: usize) -> bool {
    name.len() <= limit_characters
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_the_addresses_of_the_committed_inventory() {
        let hosts = Layout::demo().hosts().unwrap();
        let plan: Vec<String> = hosts
            .iter()
            .map(|host| format!("{} {}", host.name, Subnet::DEMO.address(host)))
            .collect();
        assert_eq!(
            plan,
            [
                "zk1 10.77.0.11",
                "zk2 10.77.0.12",
                "zk3 10.77.0.13",
                "worker1 10.77.0.14",
                "worker2 10.77.0.15"
            ]
        );
    }

    #[test]
    fn numbered_hosts_fill_the_subnet_and_no_more() {
        let hosts = Layout::Numbered(NUMBERED_LIMIT_HOSTS).hosts().unwrap();
        assert_eq!(hosts.first().unwrap().name, "h1");
        assert_eq!(hosts.first().unwrap().octet, 101);
        assert_eq!(hosts.last().unwrap().name, "h154");
        assert_eq!(hosts.last().unwrap().octet, 254);
        assert!(Layout::Numbered(0).hosts().is_err());
        assert!(Layout::Numbered(155).hosts().is_err());
    }

    #[test]
    fn links_fit_into_the_kernels_15_characters() {
        let id = LabName::parse("a-lab-with-a-long-name").unwrap().id(None);
        for host in Layout::Numbered(NUMBERED_LIMIT_HOSTS).hosts().unwrap() {
            assert!(id.link(&host).len() <= 15);
        }
        assert!(id.bridge().len() <= 15);
    }

    #[test]
    fn names_that_could_leave_the_state_directory_are_refused() {
        for name in ["", "..", "a/b", "A", "1a", "a_b", "a234567890123456789012345"] {
            assert!(LabName::parse(name).is_err(), "{name}");
        }
        assert!(Layout::Named(vec!["a".into(), "a".into()]).hosts().is_err());
    }
}
