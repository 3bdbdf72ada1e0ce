//! Modules that Ansible has and this program doesn't, so that the error can say more than
//! "unknown".

/// `ansible.builtin` of ansible-core 2.18 and what people use most of `ansible.posix` and
/// `community.general`. A module that the table of modules has is never looked up here.
const OF_ANSIBLE: &[&str] = &[
    "alternatives",
    "apk",
    "apt",
    "apt_key",
    "apt_repository",
    "archive",
    "assemble",
    "at",
    "async_status",
    "authorized_key",
    "blockinfile",
    "capabilities",
    "cron",
    "cronvar",
    "deb822_repository",
    "debconf",
    "dnf",
    "dnf5",
    "docker_container",
    "docker_image",
    "docker_login",
    "docker_network",
    "dpkg_selections",
    "expect",
    "fetch",
    "filesystem",
    "find",
    "firewalld",
    "flatpak",
    "gather_facts",
    "gem",
    "get_url",
    "getent",
    "git",
    "git_config",
    "hostname",
    "htpasswd",
    "ini_file",
    "interfaces_file",
    "iptables",
    "java_cert",
    "kernel_blacklist",
    "known_hosts",
    "locale_gen",
    "lvg",
    "lvol",
    "mail",
    "make",
    "modprobe",
    "mount",
    "mount_facts",
    "mysql_db",
    "mysql_user",
    "nmcli",
    "npm",
    "openssl_certificate",
    "openssl_privatekey",
    "osx_defaults",
    "package",
    "package_facts",
    "pacman",
    "pam_limits",
    "pamd",
    "parted",
    "patch",
    "pids",
    "ping",
    "pip",
    "postgresql_db",
    "postgresql_user",
    "proxysql",
    "rabbitmq_user",
    "raw",
    "read_csv",
    "reboot",
    "replace",
    "rpm_key",
    "sefcontext",
    "selinux",
    "seport",
    "seboolean",
    "service_facts",
    "slack",
    "slurp",
    "snap",
    "ssh_config",
    "subversion",
    "sudoers",
    "supervisorctl",
    "synchronize",
    "sysctl",
    "sysvinit",
    "systemd_service",
    "tempfile",
    "terraform",
    "timezone",
    "ufw",
    "uri",
    "wait_for",
    "wait_for_connection",
    "xattr",
    "xml",
    "yum",
    "yum_repository",
    "zypper",
    "zypper_repository",
];

/// What the names of modules for other systems, databases, clouds and daemons begin with.
const FAMILIES: &[&str] = &[
    "acme_",
    "apt_rpm",
    "aws_",
    "azure_rm_",
    "consul_",
    "docker_",
    "ec2_",
    "elasticsearch_",
    "elb_",
    "gcp_",
    "gitlab_",
    "grafana_",
    "homebrew",
    "iam_",
    "influxdb_",
    "ipa_",
    "jenkins_",
    "k8s",
    "keycloak_",
    "ldap_",
    "lxc_",
    "lxd_",
    "mongodb_",
    "mssql_",
    "mysql_",
    "nomad_",
    "openbsd_",
    "openssh_",
    "openssl_",
    "podman_",
    "postgresql_",
    "proxmox",
    "proxysql_",
    "rabbitmq_",
    "redhat_",
    "redis_",
    "rhn_",
    "rhsm_",
    "route53",
    "s3_",
    "selinux_",
    "win_",
    "x509_",
    "zabbix_",
    "zfs",
];

/// Other modules of collections, without a family.
const SINGLE: &[&str] = &[
    "bower",
    "composer",
    "cpanm",
    "easy_install",
    "ec2",
    "layman",
    "logrotate",
    "macports",
    "maven_artifact",
    "opkg",
    "pear",
    "pipx",
    "pkg5",
    "pkgin",
    "pkgng",
    "pkgutil",
    "portage",
    "portinstall",
    "s3",
    "selogin",
    "shutdown",
    "slackpkg",
    "svr4pkg",
    "swdepot",
    "sysrc",
    "telegram",
    "urpmi",
    "xbps",
    "znode",
];

/// Collections whose modules are in the lists above.
const COLLECTIONS: &[&str] = &[
    "ansible.builtin.",
    "ansible.legacy.",
    "ansible.posix.",
    "community.general.",
    "community.docker.",
    "community.mysql.",
    "community.postgresql.",
    "community.crypto.",
];

/// Whether Ansible, or a collection that is used much, has a module of this name.
pub(crate) fn is_of_ansible(name: &str) -> bool {
    let prefix = COLLECTIONS.iter().find_map(|prefix| name.strip_prefix(prefix));
    let short = prefix.unwrap_or(name);
    OF_ANSIBLE.contains(&short)
        || SINGLE.contains(&short)
        || FAMILIES.iter().any(|family| short.starts_with(family))
}

/// Whether a name has the form of a module of a collection whose modules aren't known here.
pub(crate) fn may_be_of_a_collection(name: &str) -> bool {
    let is_known = COLLECTIONS.iter().any(|prefix| name.starts_with(prefix));
    !is_known && name.matches('.').count() == 2 && name.split('.').all(|part| !part.is_empty())
}

/// What to write instead.
pub(crate) fn advice(short: &str) -> &'static str {
    match short {
        "zypper" | "pacman" | "apk" => {
            "use `command` with the package manager, with `changed_when`"
        }
        "synchronize" => "use `copy` for a folder, or `unarchive` for many files",
        "firewalld" => "use `command: firewall-cmd …` with `changed_when`",
        _ => {
            "use `command` with `creates` or `changed_when`; `provision doc --list` shows what there is"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_for_other_systems_are_known() {
        for name in ["win_find", "postgresql_privs", "s3", "dnf", "community.general.ufw"] {
            assert!(is_of_ansible(name), "{name}");
        }
        for name in ["copyy", "ansible.builtin.copyy", "a.b", "a..b", "winfind", "tmplate"] {
            assert!(!is_of_ansible(name), "{name}");
            assert!(!may_be_of_a_collection(name), "{name}");
        }
        assert!(is_of_ansible("community.mysql.mysql_db"));
        assert!(may_be_of_a_collection("community.windows.win_x"));
    }
}
