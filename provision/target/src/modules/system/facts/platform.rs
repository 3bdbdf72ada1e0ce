//! Facts: kernel, names of the host, which package and service managers it has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::process::find_program;
use super::{Gathering, content, entries, object};
use crate::module::Context;

/// How long a name server may take to tell the host's full name, in seconds.
const NAME_TIMEOUT_S: &str = "2";

pub(super) fn platform(gathering: &mut Gathering<'_, '_>) {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy().into_owned();
    let node = uname.nodename().to_string_lossy().into_owned();
    let name = full_name(&node);
    gathering.set("system", uname.sysname().to_string_lossy());
    gathering.set("kernel", uname.release().to_string_lossy());
    gathering.set("kernel_version", uname.version().to_string_lossy());
    gathering.set("machine", machine.as_str());
    gathering.set("hostname", node.split('.').next().unwrap_or_default());
    gathering.set("nodename", node.as_str());
    gathering.set("domain", name.split_once('.').map_or("", |(_, domain)| domain));
    gathering.set("fqdn", name);
    let bits = userspace_bits();
    let (architecture, userspace) = match (machine.as_str(), bits) {
        ("x86_64", "32") => ("x86_64", Some("i386")),
        ("x86_64", _) => ("x86_64", Some("x86_64")),
        ("i386" | "i486" | "i586" | "i686" | "i86pc", "64") => ("i386", Some("x86_64")),
        ("i386" | "i486" | "i586" | "i686" | "i86pc", _) => ("i386", Some("i386")),
        (machine, _) => (machine, None),
    };
    gathering.set("architecture", architecture);
    gathering.set("userspace_bits", bits);
    if let Some(userspace) = userspace {
        gathering.set("userspace_architecture", userspace);
    }
    let id = content("/var/lib/dbus/machine-id").or_else(|| content("/etc/machine-id"));
    if let Some(id) = id {
        gathering.set("machine_id", id.lines().next().unwrap_or_default());
    }
}

/// Word size of the host's programs, from the ELF class of its shell: the helper's own says
/// nothing about the host.
fn userspace_bits() -> &'static str {
    const ELF_CLASS_32: u8 = 1;
    let shell = fs::File::open("/bin/sh").ok();
    let mut header = [0_u8; 5];
    let read = shell.map(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    match (read, header) {
        (Some(Ok(())), [0x7f, b'E', b'L', b'F', ELF_CLASS_32]) => "32",
        _ => "64",
    }
}

/// The host's name with its domain, as `socket.getfqdn`: from `/etc/hosts`, otherwise from the
/// name service.
fn full_name(node: &str) -> String {
    let hosts = content("/etc/hosts").unwrap_or_default();
    if let Some(name) = full_name_in(&hosts, node) {
        return name;
    }
    if node.contains('.') || !asks_others() {
        return node.to_owned();
    }
    resolved(node).and_then(|names| dotted(names, node)).unwrap_or_else(|| node.to_owned())
}

/// Whether host names come from anywhere but `/etc/hosts`.
fn asks_others() -> bool {
    let configuration = content("/etc/nsswitch.conf").unwrap_or_default();
    let line = configuration.lines().find_map(|line| line.trim().strip_prefix("hosts:"));
    match line {
        Some(sources) => {
            sources.split_whitespace().any(|source| matches!(source, "dns" | "resolve"))
        }
        None => true,
    }
}

/// Names of the host's first address according to the name service.
fn resolved(node: &str) -> Option<Vec<String>> {
    let timeout = find_program("timeout")?;
    let getent = find_program("getent")?;
    let ask = |key: &str| {
        let output = Command::new(&timeout)
            .arg(NAME_TIMEOUT_S)
            .arg(&getent)
            .args(["hosts", "--", key])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = text.lines().next()?.split_whitespace().map(str::to_owned);
        Some(words.collect::<Vec<String>>())
    };
    let address = ask(node)?.into_iter().next()?;
    Some(ask(&address)?.into_iter().skip(1).collect())
}

fn full_name_in(hosts: &str, node: &str) -> Option<String> {
    let lines: Vec<Vec<&str>> = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let own = lines.iter().find(|words| words.iter().skip(1).any(|name| *name == node))?;
    // Python asks for the names of the address again: they stand in its first line.
    let address = own.first()?;
    let named = lines.iter().find(|words| words.first() == Some(address))?;
    dotted(named.iter().skip(1).map(|name| (*name).to_owned()).collect(), node)
}

/// The first name with a domain; otherwise the first name of all.
fn dotted(names: Vec<String>, node: &str) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let found = names.into_iter().find(|name| name.contains('.'));
    Some(found.unwrap_or_else(|| node.to_owned()))
}

pub(super) fn pkg_mgr(gathering: &mut Gathering<'_, '_>) {
    let manager = package_manager(gathering.text("os_family"));
    gathering.set("pkg_mgr", manager);
}

/// Programs of package managers. The last one that exists wins.
const PACKAGE_MANAGERS: &[(&str, &str)] = &[
    ("/usr/bin/rpm-ostree", "atomic_container"),
    ("/usr/bin/yum", "dnf"),
    ("/usr/bin/dnf-3", "dnf"),
    ("/usr/bin/dnf5", "dnf5"),
    ("/usr/bin/apt-get", "apt"),
    ("/usr/bin/zypper", "zypper"),
    ("/usr/sbin/urpmi", "urpmi"),
    ("/usr/bin/pacman", "pacman"),
    ("/bin/opkg", "opkg"),
    ("/usr/pkg/bin/pkgin", "pkgin"),
    ("/usr/local/bin/brew", "homebrew"),
    ("/sbin/apk", "apk"),
    ("/usr/bin/emerge", "portage"),
    ("/usr/bin/pkg", "pkg5"),
    ("/usr/bin/xbps-install", "xbps"),
    ("/usr/bin/swupd", "swupd"),
    ("/usr/sbin/sorcery", "sorcery"),
];

/// The package manager of the host, as the fact `pkg_mgr` names it.
pub(in super::super) fn package_manager(os_family: &str) -> &'static str {
    let exists = |path: &str| Path::new(path).exists();
    match os_family {
        "RedHat" if exists("/run/ostree-booted") => "atomic_container",
        "RedHat" => ["/usr/bin/dnf", "/usr/bin/microdnf"].iter().find(|path| exists(path)).map_or(
            "unknown",
            |path| match fs::canonicalize(path) {
                Ok(real) if real == Path::new("/usr/bin/dnf5") => "dnf5",
                _ => "dnf",
            },
        ),
        "Debian" => "apt",
        "Altlinux" => "apt_rpm",
        _ => PACKAGE_MANAGERS
            .iter()
            .rev()
            .find(|(path, _)| exists(path))
            .map_or("unknown", |(_, name)| name),
    }
}

pub(super) fn service_mgr(gathering: &mut Gathering<'_, '_>) {
    let manager = service_manager();
    gathering.set("service_mgr", manager);
}

/// Whether systemd runs the host (`sd_booted`).
pub(in super::super) fn is_booted_by_systemd() -> bool {
    let canaries = ["/run/systemd/system/", "/dev/.run/systemd/", "/dev/.systemd/"];
    find_program("systemctl").is_some() && canaries.iter().any(|path| Path::new(path).exists())
}

/// The service manager of the host, as the fact `service_mgr` names it.
fn service_manager() -> String {
    let link = || {
        let target = fs::read_link("/sbin/init").ok()?;
        Some(target.to_string_lossy().into_owned())
    };
    let first = content("/proc/1/comm").or_else(link).unwrap_or_default();
    let first = first.rsplit('/').next().unwrap_or_default().trim();
    // `init` may be anything, and a shell is the first process of many containers.
    if !first.is_empty() && first != "init" && !first.ends_with("sh") {
        return match first {
            "procd" => "openwrt_init",
            "runit-init" => "runit",
            "svscan" => "svc",
            "openrc-init" => "openrc",
            other => other,
        }
        .to_owned();
    }
    let exists = |path: &str| Path::new(path).exists();
    let manager = if is_booted_by_systemd() {
        "systemd"
    } else if find_program("initctl").is_some() && exists("/etc/init/") {
        "upstart"
    } else if exists("/sbin/openrc") {
        "openrc"
    } else if find_program("systemctl").is_some()
        && link().is_some_and(|target| target.rsplit('/').next() == Some("systemd"))
    {
        "systemd"
    } else if exists("/etc/init.d/") {
        "sysvinit"
    } else if exists("/etc/dinit.d/") {
        "dinit"
    } else {
        "service"
    };
    manager.to_owned()
}

/// Version and features of systemd; nobody else knows the features.
pub(super) fn systemd(gathering: &mut Gathering<'_, '_>) {
    if !is_booted_by_systemd() {
        return;
    }
    let Some(text) = systemd_version(gathering.context) else { return };
    let mut lines = text.lines();
    let version = lines
        .next()
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|version| version.parse::<u64>().ok());
    if let (Some(version), Some(features)) = (version, lines.next()) {
        let facts = object([("features", features.into()), ("version", version.into())]);
        gathering.set("systemd", facts);
    }
}

fn systemd_version(context: &Context<'_>) -> Option<String> {
    let run = super::super::process::Run::tool("systemctl").ok()?;
    let finished = run.argument("--version").parsable().run(context).ok()?;
    finished.succeeded().then(|| finished.stdout_text())
}

/// Whether any block device is one of LVM.
pub(super) fn has_volumes() -> bool {
    let is_logical = |name: &String| {
        content(format!("/sys/block/{name}/dm/uuid")).is_some_and(|uuid| uuid.starts_with("LVM-"))
    };
    entries("/sys/block").iter().any(is_logical)
        || entries("/dev/disk/by-id").iter().any(|name| name.starts_with("lvm-pv-uuid-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_stand_in_hosts() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tweb1.example.org web1 # own\n";
        assert_eq!(full_name_in(hosts, "web1").unwrap(), "web1.example.org");
        assert_eq!(full_name_in(hosts, "web1.example.org").unwrap(), "web1.example.org");
        assert_eq!(full_name_in(hosts, "web2"), None);
        let shared = "127.0.0.1 localhost a.b\n127.0.0.1 web1\n";
        assert_eq!(full_name_in(shared, "web1").unwrap(), "a.b");
        assert_eq!(full_name_in("10.0.0.1 web1 w\n", "web1").unwrap(), "web1");
    }

    #[test]
    fn families_have_their_managers() {
        assert_eq!(package_manager("Debian"), "apt");
    }
}
