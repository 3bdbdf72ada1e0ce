//! `setup`: what a host says about itself.
//!
//! Facts come from `/proc`, `/sys`, netlink and files; programs are started only for what nothing
//! else knows (`systemctl --version`, LVM) and they run while the rest is read. Names and forms
//! are Ansible's.

mod distribution;
mod hardware;
mod local;
mod mount_facts;
mod netlink;
mod network;
mod platform;
mod python;
mod security;
mod session;
mod storage;
mod virtualization;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provision_protocol::Object;
use serde::Deserialize;
use serde_json::Value;

use super::wildcard::Wildcard;
use super::words::Environment;
use crate::module::{Context, Failure, Outcome, arguments};

pub(super) use mount_facts::mount_facts;
pub(super) use platform::{is_booted_by_systemd, package_manager};
pub(super) use security::is_chroot;

/// Largest file of `/proc`, `/sys` or `/etc` that is read, in bytes: `/proc/cpuinfo` of a machine
/// with a thousand processors has about a megabyte.
const FILE_LIMIT_BYTES: u64 = 8 << 20;

/// Where local facts are, if the call doesn't say.
const FACT_PATH: &str = "/etc/ansible/facts.d";

/// How long a slow part may take, if the call doesn't say, in seconds.
const TIMEOUT_S: u64 = 10;

/// What the parts of facts share.
pub(super) struct Gathering<'a, 'b> {
    /// The call.
    pub context: &'a Context<'b>,
    /// Limit of each slow part.
    pub timeout: Duration,
    /// Where local facts are.
    pub fact_path: PathBuf,
    /// What was gathered so far, without `ansible_`.
    pub facts: Object,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

impl Gathering<'_, '_> {
    /// Adds a fact.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A fact that was gathered before.
    pub fn text(&self, name: &str) -> &str {
        self.facts.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// One subset.
struct Collector {
    name: &'static str,
    /// Facts that select it by their own name.
    ids: &'static [&'static str],
    /// Part of every gathering unless `!min` is given.
    minimal: bool,
    /// Subsets it needs.
    requires: &'static [&'static str],
    collect: fn(&mut Gathering<'_, '_>),
}

/// All subsets, in the order they are gathered: what others require comes first.
const COLLECTORS: &[Collector] = &[
    Collector {
        name: "platform",
        ids: &["system", "kernel", "kernel_version", "machine", "architecture", "machine_id"],
        minimal: true,
        requires: &[],
        collect: platform::platform,
    },
    Collector {
        name: "distribution",
        ids: &[
            "distribution_version",
            "distribution_release",
            "distribution_major_version",
            "os_family",
        ],
        minimal: true,
        requires: &[],
        collect: distribution::distribution,
    },
    Collector { name: "lsb", ids: &[], minimal: true, requires: &[], collect: distribution::lsb },
    Collector {
        name: "selinux",
        ids: &[],
        minimal: true,
        requires: &[],
        collect: security::selinux,
    },
    Collector {
        name: "apparmor",
        ids: &[],
        minimal: true,
        requires: &[],
        collect: security::apparmor,
    },
    Collector {
        name: "chroot",
        ids: &["is_chroot"],
        minimal: false,
        requires: &[],
        collect: security::chroot,
    },
    Collector { name: "fips", ids: &[], minimal: true, requires: &[], collect: security::fips },
    Collector {
        name: "python",
        ids: &["python_version"],
        minimal: true,
        requires: &[],
        collect: python::python,
    },
    Collector {
        name: "caps",
        ids: &["system_capabilities", "system_capabilities_enforced"],
        minimal: true,
        requires: &[],
        collect: security::capabilities,
    },
    Collector {
        name: "pkg_mgr",
        ids: &[],
        minimal: true,
        requires: &["distribution"],
        collect: platform::pkg_mgr,
    },
    Collector {
        name: "service_mgr",
        ids: &[],
        minimal: true,
        requires: &["platform", "distribution"],
        collect: platform::service_mgr,
    },
    Collector {
        name: "cmdline",
        ids: &[],
        minimal: true,
        requires: &[],
        collect: session::cmdline,
    },
    Collector {
        name: "date_time",
        ids: &[],
        minimal: true,
        requires: &[],
        collect: session::date_time,
    },
    Collector { name: "env", ids: &[], minimal: true, requires: &[], collect: session::env },
    Collector {
        name: "loadavg",
        ids: &[],
        minimal: false,
        requires: &[],
        collect: hardware::load_average,
    },
    Collector {
        name: "ssh_pub_keys",
        ids: &[
            "ssh_host_pub_keys",
            "ssh_host_key_dsa_public",
            "ssh_host_key_rsa_public",
            "ssh_host_key_ecdsa_public",
            "ssh_host_key_ed25519_public",
        ],
        minimal: true,
        requires: &[],
        collect: security::ssh_host_keys,
    },
    Collector {
        name: "user",
        ids: &[
            "user_id",
            "user_uid",
            "user_gid",
            "user_gecos",
            "user_dir",
            "user_shell",
            "real_user_id",
            "effective_user_id",
            "effective_group_ids",
        ],
        minimal: true,
        requires: &[],
        collect: session::user,
    },
    Collector {
        name: "virtual",
        ids: &[
            "virtualization_type",
            "virtualization_role",
            "virtualization_tech_guest",
            "virtualization_tech_host",
        ],
        minimal: false,
        requires: &[],
        collect: virtualization::virtualization,
    },
    Collector {
        name: "hardware",
        ids: &["processor", "processor_cores", "processor_count", "mounts", "devices"],
        minimal: false,
        requires: &["platform"],
        collect: hardware::hardware,
    },
    Collector { name: "dns", ids: &[], minimal: true, requires: &[], collect: network::dns },
    Collector {
        name: "network",
        ids: &[
            "interfaces",
            "default_ipv4",
            "default_ipv6",
            "all_ipv4_addresses",
            "all_ipv6_addresses",
        ],
        minimal: false,
        requires: &["platform", "distribution"],
        collect: network::network,
    },
    Collector { name: "iscsi", ids: &[], minimal: false, requires: &[], collect: network::iscsi },
    Collector { name: "nvme", ids: &[], minimal: false, requires: &[], collect: network::nvme },
    Collector {
        name: "fibre_channel_wwn",
        ids: &[],
        minimal: false,
        requires: &[],
        collect: network::fibre_channel,
    },
    Collector { name: "local", ids: &[], minimal: true, requires: &[], collect: local::local },
    Collector {
        name: "systemd",
        ids: &[],
        minimal: false,
        requires: &[],
        collect: platform::systemd,
    },
    // Programs of others; the names stay valid.
    Collector { name: "facter", ids: &[], minimal: false, requires: &[], collect: nothing },
    Collector { name: "ohai", ids: &[], minimal: false, requires: &[], collect: nothing },
];

fn nothing(_gathering: &mut Gathering<'_, '_>) {}

#[derive(Debug, Deserialize)]
struct SetupArguments {
    gather_subset: Option<Vec<String>>,
    gather_timeout: Option<u64>,
    #[serde(default)]
    filter: Vec<String>,
    fact_path: Option<String>,
}

/// `setup`: gathers facts.
///
/// # Errors
/// When a subset doesn't exist.
pub fn setup(given: &Object, context: &mut Context<'_>) -> Result<Outcome, Failure> {
    let given: SetupArguments = arguments(given)?;
    let subsets = match given.gather_subset {
        Some(subsets) if !subsets.is_empty() => subsets,
        _ => vec!["all".to_owned()],
    };
    let selected = select(&subsets)?;
    let fact_path = given.fact_path.as_deref().unwrap_or(FACT_PATH);
    let mut gathering = Gathering {
        fact_path: Environment::new(&context.environment).expand_path(fact_path),
        timeout: Duration::from_secs(given.gather_timeout.unwrap_or(TIMEOUT_S)),
        context,
        facts: Object::new(),
        warnings: Vec::new(),
    };
    for collector in COLLECTORS.iter().filter(|collector| selected.contains(collector.name)) {
        (collector.collect)(&mut gathering);
    }
    let mut facts: Object = gathering
        .facts
        .into_iter()
        .map(|(name, value)| (format!("ansible_{}", name.replace('-', "_")), value))
        .collect();
    facts.insert("gather_subset".to_owned(), subsets.into());
    facts.insert("module_setup".to_owned(), true.into());
    let mut outcome = Outcome::new(false).with("ansible_facts", filter(facts, &given.filter));
    if !gathering.warnings.is_empty() {
        outcome = outcome.with("warnings", gathering.warnings);
    }
    Ok(outcome)
}

/// Names of the collectors that a list of subsets selects, with those they require.
fn select(subsets: &[String]) -> Result<BTreeSet<&'static str>, Failure> {
    let known = |name: &str| {
        COLLECTORS.iter().find(|collector| collector.name == name || collector.ids.contains(&name))
    };
    // Sets of names and fact ids, as Ansible adds and removes them.
    let mut added: BTreeSet<&str> = BTreeSet::new();
    let mut removed: BTreeSet<&str> = BTreeSet::new();
    let mut explicit: BTreeSet<&str> = BTreeSet::new();
    let minimal = COLLECTORS.iter().filter(|collector| collector.minimal);
    added.extend(minimal.clone().map(|collector| collector.name));
    for subset in subsets {
        match subset.as_str() {
            "min" => added.extend(minimal.clone().map(|collector| collector.name)),
            "all" => {
                for collector in COLLECTORS {
                    added.insert(collector.name);
                    added.extend(collector.ids);
                }
            }
            "!min" => removed.extend(minimal.clone().map(|collector| collector.name)),
            "!all" => {
                for collector in COLLECTORS.iter().filter(|collector| !collector.minimal) {
                    removed.insert(collector.name);
                }
                removed.extend(COLLECTORS.iter().flat_map(|collector| collector.ids));
            }
            name => {
                if let Some(name) = name.strip_prefix('!') {
                    // Leaving out what doesn't exist is no mistake.
                    if let Some(collector) = known(name) {
                        if collector.name == name {
                            removed.extend(collector.ids);
                        }
                        removed.insert(name);
                    }
                } else if known(name).is_some() {
                    added.insert(name);
                    explicit.insert(name);
                } else {
                    return Err(bad_subset(name));
                }
            }
        }
    }
    added.retain(|name| !removed.contains(name) || explicit.contains(name));
    let mut selected: BTreeSet<&'static str> = BTreeSet::new();
    for collector in added.into_iter().filter_map(known) {
        selected.insert(collector.name);
        selected.extend(collector.requires);
    }
    Ok(selected)
}

fn bad_subset(name: &str) -> Failure {
    let mut valid: Vec<&str> = COLLECTORS
        .iter()
        .flat_map(|collector| std::iter::once(&collector.name).chain(collector.ids))
        .copied()
        .collect();
    valid.sort_unstable();
    Failure::new(format!(
        "Bad subset '{name}' given to Ansible. gather_subset options allowed: all, {}",
        valid.join(", ")
    ))
}

/// Only facts whose name, with or without `ansible_`, matches one of the patterns.
fn filter(facts: Object, patterns: &[String]) -> Object {
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_empty() || pattern == "*") {
        return facts;
    }
    let prefixed = |pattern: &&String| {
        !["ansible_", "facter", "ohai"].iter().any(|prefix| pattern.starts_with(prefix))
    };
    let wildcards: Vec<Wildcard> = patterns
        .iter()
        .map(|pattern| Wildcard::new(pattern))
        .chain(
            patterns
                .iter()
                .filter(prefixed)
                .map(|pattern| Wildcard::new(&format!("ansible_{pattern}"))),
        )
        .collect();
    facts
        .into_iter()
        .filter(|(name, _)| wildcards.iter().any(|wildcard| wildcard.matches(name)))
        .collect()
}

/// The content of a small file without blanks around it; `None` if there is none.
pub(super) fn content(path: impl AsRef<Path>) -> Option<String> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Names in a folder, sorted; none if it can't be read.
pub(super) fn entries(folder: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = folder.as_ref().read_dir() else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// A JSON object from pairs.
pub(super) fn object<const COUNT: usize>(pairs: [(&str, Value); COUNT]) -> Value {
    Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::modules::system::testing::context;

    fn names(subsets: &[&str]) -> Vec<&'static str> {
        let subsets: Vec<String> = subsets.iter().map(|name| (*name).to_owned()).collect();
        select(&subsets).unwrap().into_iter().collect()
    }

    #[test]
    fn subsets_select_as_ansible_does() {
        assert_eq!(names(&["all"]).len(), COLLECTORS.len());
        let minimal = names(&["min"]);
        assert_eq!(minimal, names(&["!all"]));
        assert!(minimal.contains(&"platform") && !minimal.contains(&"hardware"));
        assert_eq!(names(&["!all", "!min", "virtual"]), ["virtual"]);
        assert_eq!(names(&["!all", "!min", "network"]), ["distribution", "network", "platform"]);
        // Only a negation adds nothing to the minimum.
        assert_eq!(names(&["!hardware"]), minimal);
        let without = names(&["all", "!hardware"]);
        assert!(!without.contains(&"hardware") && without.contains(&"network"));
        assert!(names(&["!hardware", "devices"]).contains(&"hardware"));
        assert!(names(&["min", "interfaces"]).contains(&"network"));
        assert!(names(&["all", "!nothing"]).contains(&"network"));
        assert!(select(&["nothing".to_owned()]).unwrap_err().message.contains("Bad subset"));
    }

    #[test]
    fn facts_of_this_machine() {
        let start = Instant::now();
        let outcome = context().call(setup, json!({})).unwrap();
        let took = start.elapsed();
        let facts = outcome.values["ansible_facts"].as_object().unwrap();
        assert_eq!(facts["ansible_system"], "Linux");
        assert!(facts["ansible_memtotal_mb"].as_u64().unwrap() > 0);
        assert!(facts["ansible_processor_vcpus"].as_u64().unwrap() > 0);
        assert!(facts["ansible_interfaces"].as_array().unwrap().contains(&json!("lo")));
        assert_eq!(facts["ansible_lo"]["ipv4"]["address"], "127.0.0.1");
        assert_eq!(facts["ansible_lo"]["ipv4"]["netmask"], "255.0.0.0");
        assert_eq!(facts["module_setup"], true);
        assert_eq!(facts["gather_subset"], json!(["all"]));
        let has_python = Path::new("/usr/bin/python3").exists();
        assert!(!has_python || facts["ansible_python"]["version"]["major"] == 3);
        // Generous, since tests run unoptimised on busy machines.
        assert!(took.as_secs() < 5, "{took:?}");
    }

    #[test]
    fn filters_know_both_names() {
        let given = json!({"filter": ["os_family", "ansible_kernel*"], "gather_subset": ["min"]});
        let outcome = context().call(setup, given).unwrap();
        let names: Vec<&String> =
            outcome.values["ansible_facts"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["ansible_kernel", "ansible_kernel_version", "ansible_os_family"]);
    }
}
