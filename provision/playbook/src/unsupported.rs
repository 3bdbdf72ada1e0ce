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

/// Collections whose names people write before a module.
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

/// Whether Ansible has a module of this name.
pub(crate) fn is_of_ansible(name: &str) -> bool {
    let prefix = COLLECTIONS.iter().find_map(|prefix| name.strip_prefix(prefix));
    let short = prefix.unwrap_or(name);
    OF_ANSIBLE.binary_search(&short).is_ok() || OF_ANSIBLE.contains(&short)
}

/// What to write instead.
pub(crate) fn advice(short: &str) -> &'static str {
    match short {
        "yum" | "dnf" | "dnf5" | "zypper" | "pacman" | "apk" => {
            "use `command` with the package manager, with `changed_when`"
        }
        "synchronize" => "use `copy` for a folder, or `unarchive` for many files",
        "git" | "subversion" => "use `command` with `creates`, or ship an archive and `unarchive`",
        "docker_container" | "docker_image" | "docker_network" | "docker_login" => {
            "use `command: docker …` with `creates` or `changed_when`"
        }
        "ini_file" => "use `lineinfile`, or `template` for the whole file",
        "firewalld" | "ufw" | "iptables" => "use `command` with `changed_when`",
        "timezone" | "locale_gen" => "use `file` or `template` for what it changes, or `command`",
        _ => {
            "use `command` with `creates` or `changed_when`; `provision doc --list` shows what there is"
        }
    }
}
