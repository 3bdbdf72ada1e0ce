//! Facts: whether the host is a guest or has guests.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use super::{Gathering, content};

/// What is found, in the order of the questions: the first answer gives type and role, all of
/// them the technologies.
#[derive(Debug, Default)]
struct Findings {
    first: Option<(String, &'static str)>,
    guest: BTreeSet<String>,
    host: BTreeSet<String>,
}

impl Findings {
    fn guest(&mut self, technology: &str) {
        self.guest.insert(technology.to_owned());
        self.first.get_or_insert_with(|| (technology.to_owned(), "guest"));
    }

    fn host(&mut self, technology: &str) {
        self.host.insert(technology.to_owned());
        self.first.get_or_insert_with(|| (technology.to_owned(), "host"));
    }
}

pub(super) fn virtualization(gathering: &mut Gathering<'_, '_>) {
    let mut findings = Findings::default();
    containers(&mut findings);
    if Path::new("/proc/xen").exists() {
        let capabilities = content("/proc/xen/capabilities").unwrap_or_default();
        if capabilities.contains("control_d") {
            findings.host("xen");
        } else {
            findings.first.get_or_insert_with(|| ("xen".to_owned(), "guest"));
        }
    }
    let firmware =
        |name: &str| content(format!("/sys/devices/virtual/dmi/id/{name}")).unwrap_or_default();
    machine(
        &mut findings,
        &firmware("product_name"),
        &firmware("sys_vendor"),
        &firmware("product_family"),
        &firmware("bios_vendor"),
    );
    kernel(&mut findings);
    let (kind, role) = findings.first.unwrap_or_else(|| ("NA".to_owned(), "NA"));
    gathering.set("virtualization_type", kind);
    gathering.set("virtualization_role", role);
    gathering.set("virtualization_tech_guest", Vec::from_iter(findings.guest));
    gathering.set("virtualization_tech_host", Vec::from_iter(findings.host));
}

fn containers(findings: &mut Findings) {
    let groups = content("/proc/1/cgroup").unwrap_or_default();
    let docker = Regex::new(r"/docker(/|-[0-9a-f]+\.scope)");
    for line in groups.lines() {
        if docker.as_ref().is_ok_and(|docker| docker.is_match(line)) {
            findings.guest("docker");
        }
        if line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc") {
            findings.guest("lxc");
        }
        if line.contains("/system.slice/containerd.service") {
            findings.guest("containerd");
        }
    }
    let variables = content("/proc/1/environ").unwrap_or_default();
    for variable in variables.split('\0') {
        if variable.contains("container=lxc") {
            findings.guest("lxc");
        }
        if variable.contains("container=podman") {
            findings.guest("podman");
        }
        if variable.strip_prefix("container=").is_some_and(|value| !value.is_empty()) {
            findings.guest("container");
        }
    }
    let exists = |path: &str| Path::new(path).exists();
    if exists("/proc/vz") && !exists("/proc/lve") {
        if exists("/proc/bc") {
            findings.host("openvz");
        } else {
            findings.guest("openvz");
        }
    }
    let container = content("/run/systemd/container");
    if let Some(container) = &container {
        findings.guest(container);
    }
    if exists("/.dockerenv") || exists("/.dockerinit") {
        findings.guest("docker");
    }
    let known = ["docker", "lxc", "podman", "openvz", "containerd"];
    if container.is_some() || known.iter().any(|name| findings.guest.contains(*name)) {
        findings.guest.insert("container".to_owned());
    }
}

/// What the firmware of the (virtual) machine calls itself.
fn machine(findings: &mut Findings, product: &str, vendor: &str, family: &str, bios: &str) {
    if matches!(product, "KVM" | "KVM Server" | "Bochs" | "AHV") {
        findings.guest("kvm");
    }
    match (vendor, family, product) {
        ("oVirt", _, _) => findings.guest("oVirt"),
        ("Red Hat", "RHV", _) => findings.guest("RHV"),
        ("Red Hat", _, "RHEV Hypervisor") => findings.guest("RHEV"),
        _ => {}
    }
    if product.starts_with("VMware") {
        findings.guest("VMware");
    }
    if matches!(product, "OpenStack Compute" | "OpenStack Nova") {
        findings.guest("openstack");
    }
    match bios {
        "Xen" => findings.guest("xen"),
        "innotek GmbH" => findings.guest("virtualbox"),
        "Amazon EC2" | "DigitalOcean" | "Hetzner" => findings.guest("kvm"),
        _ => {}
    }
    match vendor {
        "QEMU" | "Amazon EC2" | "DigitalOcean" | "Google" | "Scaleway" | "Nutanix" => {
            findings.guest("kvm");
        }
        "KubeVirt" => findings.guest("KubeVirt"),
        "Microsoft Corporation" => findings.guest("VirtualPC"),
        "Parallels Software International Inc." => findings.guest("parallels"),
        "OpenStack Foundation" => findings.guest("openstack"),
        _ => {}
    }
}

/// Names that processors of emulators have, and modules of hypervisors.
fn kernel(findings: &mut Findings) {
    for line in content("/proc/cpuinfo").unwrap_or_default().lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "model name" if value.contains("QEMU Virtual CPU") => findings.guest("kvm"),
            "model name" if value.contains("UML") => findings.guest("uml"),
            "vendor_id" if value.contains("User Mode Linux") => findings.guest("uml"),
            "vendor_id" if value.contains("PowerVM Lx86") => findings.guest("powervm_lx86"),
            "vendor_id" if value.contains("IBM/S390") => findings.guest("PR/SM"),
            "machine" if value.contains("emulated by qemu") => findings.guest("kvm"),
            _ => {}
        }
    }
    let modules = content("/proc/modules").unwrap_or_default();
    let loaded = |name: &str| modules.lines().any(|line| line.split(' ').next() == Some(name));
    if loaded("kvm") {
        findings.host("kvm");
    }
    if loaded("vboxdrv") {
        findings.host("virtualbox");
    }
    if loaded("virtio") {
        findings.host.insert("kvm".to_owned());
        findings.first.get_or_insert_with(|| ("kvm".to_owned(), "guest"));
    }
    if Path::new("/dev/kvm").exists() {
        findings.host("kvm");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(product: &str, vendor: &str, family: &str, bios: &str) -> Option<(String, String)> {
        let mut findings = Findings::default();
        machine(&mut findings, product, vendor, family, bios);
        findings.first.map(|(kind, role)| (kind, role.to_owned()))
    }

    #[test]
    fn machines_tell_their_hypervisor() {
        let guest = |kind: &str| Some((kind.to_owned(), "guest".to_owned()));
        assert_eq!(first("Standard PC (Q35)", "QEMU", "", "SeaBIOS"), guest("kvm"));
        assert_eq!(first("VMware7,1", "VMware, Inc.", "", ""), guest("VMware"));
        assert_eq!(first("Virtual Machine", "Microsoft Corporation", "", ""), guest("VirtualPC"));
        assert_eq!(first("VirtualBox", "innotek GmbH", "", "innotek GmbH"), guest("virtualbox"));
        assert_eq!(first("PowerEdge R740", "Dell Inc.", "PowerEdge", "Dell Inc."), None);
    }
}
