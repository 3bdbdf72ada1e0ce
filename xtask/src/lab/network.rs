//! `[io]` The lab's bridge, and for each host a network namespace with one link to it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::names::{Host, LabId, Subnet};
use crate::error::{self, Doing, Error};

/// Third octets that we try before we give up: as many labs as fit on one machine.
const SUBNETS_LIMIT: u8 = 100;
/// systemd uses about 8 inotify instances per host; the default of 128 is too low for 30 hosts.
const INOTIFY: [(&str, u64); 2] = [("max_user_instances", 8192), ("max_user_watches", 1_048_576)];

/// The first network that nothing on this machine uses.
///
/// # Errors
/// All are in use.
pub fn free_subnet() -> Result<Subnet, Error> {
    let addresses = error::output_of("ip", &["-4", "-o", "addr", "show"])
        .doing(|| "list this machine's addresses".to_owned())?;
    (0..SUBNETS_LIMIT)
        .find(|octet| !addresses.contains(&format!(" 10.77.{octet}.")))
        .map(Subnet)
        .ok_or_else(|| Error::refused("choose a network", "all of 10.77.0.0/16 is in use"))
}

/// Makes the bridge, unless it is there.
///
/// # Errors
/// `ip` fails.
pub fn create_bridge(id: &LabId, subnet: Subnet) -> Result<(), Error> {
    raise_limits();
    let bridge = id.bridge();
    if link_exists(&bridge) {
        return Ok(());
    }
    let gateway = subnet.gateway();
    batch(
        None,
        &format!(
            "link add {bridge} type bridge\naddr add {gateway}/24 dev {bridge}\n\
             link set {bridge} up\n"
        ),
    )
    .doing(|| format!("create the bridge {bridge}"))
}

/// Makes a host's namespace and link.
///
/// # Errors
/// `ip` fails.
pub fn connect(id: &LabId, subnet: Subnet, host: &Host) -> Result<(), Error> {
    let (space, link, bridge) = (id.machine(host), id.link(host), id.bridge());
    let action = || format!("connect {} to {bridge}", host.name);
    batch(
        None,
        &format!(
            "netns add {space}\nlink add {link} type veth peer name eth0 netns {space}\n\
             link set {link} master {bridge} up\n"
        ),
    )
    .doing(action)?;
    let (address, gateway) = (subnet.address(host), subnet.gateway());
    batch(
        Some(&space),
        &format!(
            "addr add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n\
             route add default via {gateway}\n"
        ),
    )
    .doing(action)
}

/// Whether this machine has a link of that name.
#[must_use]
pub fn link_exists(name: &str) -> bool {
    links().iter().any(|link| link == name)
}

/// A host's network namespace.
#[must_use]
pub fn namespace_path(id: &LabId, host: &Host) -> PathBuf {
    Path::new("/run/netns").join(id.machine(host))
}

/// Whether the host is cut off; `None` if its link isn't there.
#[must_use]
pub fn is_cut(id: &LabId, host: &Host) -> Option<bool> {
    let shown = error::output_of("ip", &["-o", "link", "show", "dev", &id.link(host)]).ok()?;
    // `7: name@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu …` (ip-link(8)).
    let flags = shown.split_once('<')?.1.split_once('>')?.0;
    Some(!flags.split(',').any(|flag| flag == "UP"))
}

/// Cuts a host off from the network.
///
/// # Errors
/// `ip` fails.
pub fn cut(id: &LabId, host: &Host) -> Result<(), Error> {
    set_link(id, host, "down")
}

/// Connects a host again.
///
/// # Errors
/// `ip` fails.
pub fn heal(id: &LabId, host: &Host) -> Result<(), Error> {
    set_link(id, host, "up")
}

fn set_link(id: &LabId, host: &Host, state: &str) -> Result<(), Error> {
    error::output_of("ip", &["link", "set", &id.link(host), state])
        .map(drop)
        .doing(|| format!("set the link of {} {state}", host.name))
}

/// Removes all namespaces and links of a lab, found by their names.
///
/// # Errors
/// `ip` fails.
pub fn remove_all(id: &LabId) -> Result<(), Error> {
    let mut commands = String::new();
    for name in names_in(Path::new("/run/netns")) {
        if name.starts_with(&id.machine_prefix()) {
            commands.push_str(&format!("netns delete {name}\n"));
        }
    }
    for name in links() {
        if name.starts_with(&id.link_prefix()) || name == id.bridge() {
            commands.push_str(&format!("link delete {name}\n"));
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    // A link goes with its namespace, maybe before we come to it: failures are judged afterwards.
    let outcome = batch(None, &commands);
    let left: Vec<String> = links()
        .into_iter()
        .filter(|name| name.starts_with(&id.link_prefix()) || *name == id.bridge())
        .collect();
    match left.is_empty() {
        true => Ok(()),
        false => outcome.doing(|| format!("remove the links {}", left.join(" "))),
    }
}

/// Names of namespaces and links of a lab that exist now.
#[must_use]
pub fn remains(id: &LabId) -> Vec<String> {
    let spaces = names_in(Path::new("/run/netns"))
        .into_iter()
        .filter(|name| name.starts_with(&id.machine_prefix()))
        .map(|name| format!("network namespace {name}"));
    let links = links()
        .into_iter()
        .filter(|name| name.starts_with(&id.link_prefix()) || *name == id.bridge())
        .map(|name| format!("link {name}"));
    spaces.chain(links).collect()
}

/// The links of this process' network namespace. `/sys` shows those of whoever mounted it, which
/// for an isolated task is the outside.
fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let name = |line: &str| line.split_once(':').map(|(name, _)| name.trim().to_owned());
    table.lines().filter_map(name).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Several `ip` commands in one process: fifty hosts need some hundreds.
fn batch(namespace: Option<&str>, commands: &str) -> Result<(), error::Cause> {
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-force", "-batch", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    error::check(&command, output)?;
    Ok(())
}

/// Limits of the whole machine, only ever raised.
fn raise_limits() {
    let wanted = INOTIFY.map(|(name, value)| (format!("/proc/sys/fs/inotify/{name}"), value));
    let others = [
        ("/proc/sys/kernel/pid_max".to_owned(), 4_194_304),
        ("/proc/sys/net/ipv4/neigh/default/gc_thresh3".to_owned(), 4096),
    ];
    for (file, value) in wanted.into_iter().chain(others) {
        let now = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u64>().ok());
        if now.is_some_and(|now| now < value) {
            // Small labs work without.
            let _ = fs::write(&file, value.to_string());
        }
    }
}
