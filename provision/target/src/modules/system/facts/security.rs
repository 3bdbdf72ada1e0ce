//! Facts: what restricts processes, and the host's keys.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use provision_protocol::Object;

use super::{Gathering, content, object};

pub(super) fn apparmor(gathering: &mut Gathering<'_, '_>) {
    let enabled = Path::new("/sys/kernel/security/apparmor").exists();
    let status = if enabled { "enabled" } else { "disabled" };
    gathering.set("apparmor", object([("status", status.into())]));
}

pub(super) fn selinux(gathering: &mut Gathering<'_, '_>) {
    // Ansible's content asks this to decide whether to install Python bindings; none are needed.
    gathering.set("selinux_python_present", true);
    let Some(enforcing) = content("/sys/fs/selinux/enforce") else {
        gathering.set("selinux", object([("status", "disabled".into())]));
        return;
    };
    let configuration = content("/etc/selinux/config").unwrap_or_default();
    let configured = |name: &str| {
        configuration
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().to_lowercase())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let version = content("/sys/fs/selinux/policyvers").and_then(|text| text.parse::<u64>().ok());
    let mode = if enforcing == "1" { "enforcing" } else { "permissive" };
    let facts = object([
        ("status", "enabled".into()),
        ("policyvers", version.map_or("unknown".into(), Into::into)),
        ("config_mode", configured("SELINUX").into()),
        ("mode", mode.into()),
        ("type", configured("SELINUXTYPE").into()),
    ]);
    gathering.set("selinux", facts);
}

pub(super) fn fips(gathering: &mut Gathering<'_, '_>) {
    let enabled = content("/proc/sys/crypto/fips_enabled").as_deref() == Some("1");
    gathering.set("fips", enabled);
}

pub(super) fn chroot(gathering: &mut Gathering<'_, '_>) {
    let is = is_chroot();
    gathering.set("is_chroot", is);
}

/// Whether this process sees another root than the host's first process.
pub(in super::super) fn is_chroot() -> bool {
    const USUAL_ROOT_INODES: [u64; 3] = [2, 128, 256];
    if std::env::var_os("debian_chroot").is_some_and(|value| !value.is_empty()) {
        return true;
    }
    let Ok(own) = Path::new("/").metadata() else { return false };
    match Path::new("/proc/1/root/.").metadata() {
        Ok(first) => (own.ino(), own.dev()) != (first.ino(), first.dev()),
        // Only root may look; ext, xfs and btrfs roots have these numbers.
        Err(_) => !USUAL_ROOT_INODES.contains(&own.ino()),
    }
}

/// Names of capabilities by bit, from linux/capability.h.
const CAPABILITIES: &[&str] = &[
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// What `capsh --print` would say, from the kernel itself.
pub(super) fn capabilities(gathering: &mut Gathering<'_, '_>) {
    let status = content("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let last = content("/proc/sys/kernel/cap_last_cap").and_then(|text| text.parse::<u32>().ok());
    let (Some(effective), Some(last)) = (effective, last) else {
        gathering.set("system_capabilities_enforced", "N/A");
        gathering.set("system_capabilities", "N/A");
        return;
    };
    let (enforced, names) = capability_names(effective, last);
    gathering.set("system_capabilities_enforced", if enforced { "True" } else { "False" });
    gathering.set("system_capabilities", names);
}

fn capability_names(effective: u64, last: u32) -> (bool, Vec<&'static str>) {
    let all = u64::MAX >> 63_u32.saturating_sub(last);
    if effective & all == all {
        return (false, Vec::new());
    }
    let names = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| effective >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    (true, names)
}

/// Public keys of the SSH server, from the first folder that has any.
pub(super) fn ssh_host_keys(gathering: &mut Gathering<'_, '_>) {
    for folder in ["/etc/ssh", "/etc/openssh", "/etc"] {
        let mut found = Object::new();
        for algorithm in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let Some(line) = content(format!("{folder}/ssh_host_{algorithm}_key.pub")) else {
                continue;
            };
            let mut words = line.split_whitespace();
            if let (Some(kind), Some(key)) = (words.next(), words.next()) {
                found.insert(format!("ssh_host_key_{algorithm}_public"), key.into());
                found.insert(format!("ssh_host_key_{algorithm}_public_keytype"), kind.into());
            }
        }
        if !found.is_empty() {
            gathering.facts.append(&mut found);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_names() {
        assert_eq!(capability_names(0x1ff_ffff_ffff, 40), (false, vec![]));
        assert_eq!(capability_names(0b1001, 40), (true, vec!["cap_chown", "cap_fowner"]));
        assert_eq!(capability_names(u64::MAX, 63), (false, vec![]));
    }
}
