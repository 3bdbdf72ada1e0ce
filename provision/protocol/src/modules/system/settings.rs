//! Entries: settings of the system.

use super::{Kind, ModuleSpec, Parameter, host, one_of};

const STATE: &[Parameter] = &[Parameter::new("state", Kind::Text, "whether it exists")
    .choices(&["absent", "present"])
    .default("present")];

pub(super) const SYSCTL: ModuleSpec = host(ModuleSpec::new(
    "sysctl",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "dotted name").required().aliases(&["key"]),
            Parameter::new("value", Kind::Text, "value").aliases(&["val"]),
            Parameter::new("ignoreerrors", Kind::Boolean, "ignore unknown names").default("false"),
            Parameter::new("reload", Kind::Boolean, "load the file when it changed")
                .default("true"),
            Parameter::new("sysctl_file", Kind::Path, "file").default("/etc/sysctl.conf"),
            Parameter::new("sysctl_set", Kind::Boolean, "set the value in the kernel, too")
                .default("false"),
        ],
    ],
    "manages kernel parameters",
));

pub(super) const CRON: ModuleSpec = host(ModuleSpec::new(
    "cron",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "description, or the variable's name").required(),
            Parameter::new("user", Kind::Text, "whose table"),
            Parameter::new("job", Kind::Text, "command, or the variable's value")
                .aliases(&["value"]),
            Parameter::new("cron_file", Kind::Path, "file in /etc/cron.d instead of a table"),
            Parameter::new("backup", Kind::Boolean, "keep the old table"),
            Parameter::new("minute", Kind::Text, "minute"),
            Parameter::new("hour", Kind::Text, "hour"),
            Parameter::new("day", Kind::Text, "day of the month").aliases(&["dom"]),
            Parameter::new("month", Kind::Text, "month"),
            Parameter::new("weekday", Kind::Text, "day of the week").aliases(&["dow"]),
            Parameter::new("special_time", Kind::Text, "nickname of a time")
                .choices(&["reboot", "yearly", "annually", "monthly", "weekly", "daily", "hourly"]),
            Parameter::new("disabled", Kind::Boolean, "comment the job out"),
            Parameter::new("env", Kind::Boolean, "manage a variable instead of a job"),
            Parameter::new("insertafter", Kind::Text, "variable to insert it after"),
            Parameter::new("insertbefore", Kind::Text, "variable to insert it before"),
        ],
    ],
    "manages cron jobs",
));

pub(super) const HOSTNAME: ModuleSpec = host(ModuleSpec::new(
    "hostname",
    &[&[
        Parameter::new("name", Kind::Text, "name of the host").required(),
        Parameter::new("use", Kind::Text, "how it is set").choices(&[
            "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd",
            "openrc", "redhat", "sles", "solaris", "systemd",
        ]),
    ]],
    "sets the name of the host",
));

pub(super) const KNOWN_HOSTS: ModuleSpec = host(ModuleSpec::new(
    "known_hosts",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "host").required().aliases(&["host"]),
            Parameter::new("key", Kind::Text, "line with the key"),
            Parameter::new("path", Kind::Path, "file").default("~/.ssh/known_hosts"),
            Parameter::new("hash_host", Kind::Boolean, "hash the name").default("false"),
        ],
    ],
    "manages a known_hosts file",
));

pub(super) const AUTHORIZED_KEY: ModuleSpec = host(ModuleSpec::new(
    "authorized_key",
    &[
        STATE,
        &[
            Parameter::new("user", Kind::Text, "whose keys").required(),
            Parameter::new("key", Kind::Text, "keys, one a line, or an address").required(),
            Parameter::new("path", Kind::Path, "file"),
            Parameter::new("manage_dir", Kind::Boolean, "create its folder").default("true"),
            Parameter::new("key_options", Kind::Text, "options before the key"),
            Parameter::new("exclusive", Kind::Boolean, "remove all other keys").default("false"),
            Parameter::new("comment", Kind::Text, "comment of the key"),
            Parameter::new("validate_certs", Kind::Boolean, "check certificates").default("true"),
            Parameter::new("follow", Kind::Boolean, "follow a symlink at path").default("false"),
        ],
    ],
    "manages keys that may log in by SSH",
));

pub(super) const TIMEZONE: ModuleSpec = host(one_of(
    ModuleSpec::new(
        "timezone",
        &[&[
            Parameter::new("name", Kind::Text, "name of the zone, such as Europe/Berlin"),
            Parameter::new("hwclock", Kind::Text, "what the hardware clock shows")
                .aliases(&["rtc"])
                .choices(&["local", "UTC"]),
        ]],
        "sets the time zone",
    ),
    &[&["name", "hwclock"]],
));

// Others may lose their way to the host.
pub(super) const UFW: ModuleSpec = one_of(
    ModuleSpec::new(
        "ufw",
        &[&[
            Parameter::new("state", Kind::Text, "whether the firewall runs")
                .choices(&["enabled", "disabled", "reloaded", "reset"]),
            Parameter::new("default", Kind::Text, "what happens to other traffic")
                .aliases(&["policy"])
                .choices(&["allow", "deny", "reject"]),
            Parameter::new("logging", Kind::Text, "how much is logged")
                .choices(&["full", "high", "low", "medium", "off", "on"]),
            Parameter::new("rule", Kind::Text, "what happens to traffic that fits")
                .choices(&["allow", "deny", "limit", "reject"]),
            Parameter::new("direction", Kind::Text, "of the traffic")
                .choices(&["in", "incoming", "out", "outgoing", "routed"]),
            Parameter::new("delete", Kind::Boolean, "remove the rule"),
            Parameter::new("route", Kind::Boolean, "for traffic that passes through"),
            Parameter::new("insert", Kind::Integer, "number of the rule"),
            Parameter::new("insert_relative_to", Kind::Text, "what `insert` counts from")
                .choices(&["first-ipv4", "first-ipv6", "last-ipv4", "last-ipv6", "zero"]),
            Parameter::new("interface", Kind::Text, "interface").aliases(&["if"]),
            Parameter::new("interface_in", Kind::Text, "where it comes in").aliases(&["if_in"]),
            Parameter::new("interface_out", Kind::Text, "where it goes out").aliases(&["if_out"]),
            Parameter::new("log", Kind::Boolean, "log new connections of this rule"),
            Parameter::new("from_ip", Kind::Text, "source").aliases(&["from", "src"]),
            Parameter::new("from_port", Kind::Text, "source port"),
            Parameter::new("to_ip", Kind::Text, "destination").aliases(&["dest", "to"]),
            Parameter::new("to_port", Kind::Text, "destination port").aliases(&["port"]),
            Parameter::new("proto", Kind::Text, "protocol")
                .aliases(&["protocol"])
                .choices(&["any", "tcp", "udp", "ipv6", "esp", "ah", "gre", "igmp", "vrrp"]),
            Parameter::new("name", Kind::Text, "application profile").aliases(&["app"]),
            Parameter::new("comment", Kind::Text, "comment of the rule"),
        ]],
        "manages the firewall with ufw",
    ),
    &[&["state", "default", "rule", "logging"]],
);

pub(super) const LOCALE_GEN: ModuleSpec = host(ModuleSpec::new(
    "locale_gen",
    &[STATE, &[Parameter::new("name", Kind::TextList, "such as de_CH.UTF-8").required()]],
    "makes locales",
));

pub(super) const MOUNT: ModuleSpec = host(ModuleSpec::new(
    "mount",
    &[&[
        Parameter::new("path", Kind::Path, "where it is mounted").required().aliases(&["name"]),
        Parameter::new("state", Kind::Text, "in fstab, mounted, or both").required().choices(&[
            "absent",
            "absent_from_fstab",
            "ephemeral",
            "mounted",
            "present",
            "remounted",
            "unmounted",
        ]),
        Parameter::new("src", Kind::Path, "device, or what stands for it"),
        Parameter::new("fstype", Kind::Text, "type of the file system"),
        Parameter::new("opts", Kind::Text, "options"),
        Parameter::new("dump", Kind::Text, "fifth field of fstab"),
        Parameter::new("passno", Kind::Text, "sixth field of fstab"),
        Parameter::new("boot", Kind::Boolean, "whether it is mounted when the system starts"),
        Parameter::new("fstab", Kind::Path, "another file than /etc/fstab"),
        Parameter::new("backup", Kind::Boolean, "keep the old file under another name"),
        Parameter::new("opts_no_log", Kind::Boolean, "has no meaning here"),
    ]],
    "manages what is mounted, and fstab",
));

pub(super) const PAM_LIMITS: ModuleSpec = host(ModuleSpec::new(
    "pam_limits",
    &[&[
        Parameter::new("domain", Kind::Text, "user, @group, or *").required(),
        Parameter::new("limit_type", Kind::Text, "kind of the limit")
            .required()
            .choices(&["hard", "soft", "-"]),
        Parameter::new("limit_item", Kind::Text, "what is limited").required().choices(&[
            "core",
            "data",
            "fsize",
            "memlock",
            "nofile",
            "rss",
            "stack",
            "cpu",
            "nproc",
            "as",
            "maxlogins",
            "maxsyslogins",
            "priority",
            "locks",
            "sigpending",
            "msgqueue",
            "nice",
            "rtprio",
            "chroot",
        ]),
        Parameter::new("value", Kind::Text, "the limit").required(),
        Parameter::new("use_max", Kind::Boolean, "keep a larger one").default("false"),
        Parameter::new("use_min", Kind::Boolean, "keep a smaller one").default("false"),
        Parameter::new("backup", Kind::Boolean, "keep the old file under another name"),
        Parameter::new("dest", Kind::Text, "file").default("/etc/security/limits.conf"),
        Parameter::new("comment", Kind::Text, "comment of the line").default(""),
    ]],
    "manages limits of users' resources",
));
