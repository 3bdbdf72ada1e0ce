//! Entries: settings of the system.

use super::{Kind, ModuleSpec, Parameter, host};

const STATE: &[Parameter] =
    &[Parameter::new("state", Kind::Text, "whether it exists").choices(&["absent", "present"])];

pub(super) const SYSCTL: ModuleSpec = host(ModuleSpec::new(
    "sysctl",
    &[
        STATE,
        &[
            Parameter::new("name", Kind::Text, "dotted name").required().aliases(&["key"]),
            Parameter::new("value", Kind::Text, "value").aliases(&["val"]),
            Parameter::new("ignoreerrors", Kind::Boolean, "ignore unknown names"),
            Parameter::new("reload", Kind::Boolean, "load the file when it changed"),
            Parameter::new("sysctl_file", Kind::Path, "file"),
            Parameter::new("sysctl_set", Kind::Boolean, "set the value in the kernel, too"),
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
            Parameter::new("path", Kind::Path, "file"),
            Parameter::new("hash_host", Kind::Boolean, "hash the name"),
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
            Parameter::new("manage_dir", Kind::Boolean, "create its folder"),
            Parameter::new("key_options", Kind::Text, "options before the key"),
            Parameter::new("exclusive", Kind::Boolean, "remove all other keys"),
            Parameter::new("comment", Kind::Text, "comment of the key"),
            Parameter::new("validate_certs", Kind::Boolean, "check certificates"),
            Parameter::new("follow", Kind::Boolean, "follow a symlink at path"),
        ],
    ],
    "manages keys that may log in by SSH",
));
