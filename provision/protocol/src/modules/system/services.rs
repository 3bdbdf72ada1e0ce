//! Entries: services.

use super::{Kind, ModuleSpec, Parameter, alias, one_of};

/// `service` hands these on where systemd manages the services.
const ONLY_SYSTEMD: &[Parameter] = &[
    Parameter::new("daemon_reload", Kind::Boolean, "read the unit files again first")
        .aliases(&["daemon-reload"]),
    Parameter::new("daemon_reexec", Kind::Boolean, "execute systemd again first")
        .aliases(&["daemon-reexec"]),
    Parameter::new("scope", Kind::Text, "which systemd").choices(&["system", "user", "global"]),
    Parameter::new("no_block", Kind::Boolean, "do not wait for the unit"),
];

const STATES: &[&str] = &["reloaded", "restarted", "started", "stopped"];

pub(super) const SYSTEMD: ModuleSpec = alias(
    ModuleSpec::new(
        "systemd",
        &[
            &[
                Parameter::new("name", Kind::Text, "unit").aliases(&["service", "unit"]),
                Parameter::new("state", Kind::Text, "what it does now").choices(STATES),
                Parameter::new("enabled", Kind::Boolean, "whether it starts with the system"),
                Parameter::new("masked", Kind::Boolean, "whether it can be started at all"),
                Parameter::new("force", Kind::Boolean, "replace conflicting symlinks"),
            ],
            ONLY_SYSTEMD,
        ],
        "manages a unit of systemd",
    ),
    &["systemd_service"],
);

pub(super) const SERVICE: ModuleSpec = one_of(
    ModuleSpec::new(
        "service",
        &[
            &[
                Parameter::new("name", Kind::Text, "service"),
                Parameter::new("state", Kind::Text, "what it does now").choices(STATES),
                Parameter::new("enabled", Kind::Boolean, "whether it starts with the system"),
                Parameter::new("sleep", Kind::Integer, "seconds between stop and start"),
                Parameter::new("pattern", Kind::Text, "how to find its processes"),
                Parameter::new("runlevel", Kind::Text, "OpenRC runlevel"),
                Parameter::new("arguments", Kind::Text, "arguments of the init script")
                    .aliases(&["args"]),
                Parameter::new("use", Kind::Text, "service manager; `auto` finds it"),
            ],
            ONLY_SYSTEMD,
        ],
        "manages a service",
    ),
    &[&["state", "enabled", "daemon_reload", "daemon_reexec"]],
);

pub(super) const SYSVINIT: ModuleSpec = one_of(
    ModuleSpec::new(
        "sysvinit",
        &[&[
            Parameter::new("name", Kind::Text, "service").required().aliases(&["service"]),
            Parameter::new("state", Kind::Text, "what it does now").choices(&[
                "started",
                "stopped",
                "restarted",
                "reloaded",
            ]),
            Parameter::new("enabled", Kind::Boolean, "whether it starts with the system"),
            Parameter::new("sleep", Kind::Integer, "seconds between stop and start").default("1"),
            Parameter::new("pattern", Kind::Text, "how to find its processes"),
            Parameter::new("runlevels", Kind::TextList, "runlevels that `enabled` is about"),
            Parameter::new("arguments", Kind::Text, "arguments of the init script")
                .aliases(&["args"]),
            Parameter::new("daemonize", Kind::Boolean, "for scripts that don't leave the terminal"),
        ]],
        "manages a service by its init script",
    ),
    &[&["state", "enabled"]],
);
