//! Entries: what a host says about itself.

use super::{Kind, ModuleSpec, Parameter, alias, host};

pub(super) const SETUP: ModuleSpec = alias(
    host(ModuleSpec::new(
        "setup",
        &[&[
            Parameter::new("gather_subset", Kind::TextList, "what to gather; `!` leaves out"),
            Parameter::new("gather_timeout", Kind::Integer, "limit of slow parts, in seconds"),
            Parameter::new("filter", Kind::TextList, "only facts that match these patterns"),
            Parameter::new("fact_path", Kind::Path, "folder with local facts (*.fact)"),
            Parameter::new(
                "parallel",
                Kind::Boolean,
                "of gather_facts: modules of facts_modules side by side",
            ),
        ]],
        "gathers facts about the host",
    )),
    &["gather_facts"],
);

pub(super) const GETENT: ModuleSpec = host(ModuleSpec::new(
    "getent",
    &[&[
        Parameter::new("database", Kind::Text, "passwd, group, hosts, services…").required(),
        Parameter::new("key", Kind::Text, "entry; all if it is left out"),
        Parameter::new("service", Kind::Text, "service to ask, overriding nsswitch.conf"),
        Parameter::new("split", Kind::Text, "character that separates values"),
        Parameter::new("fail_key", Kind::Boolean, "fail if there is no such entry"),
    ]],
    "reads the databases of the name service switch",
));

pub(super) const MOUNT_FACTS: ModuleSpec = host(ModuleSpec::new(
    "mount_facts",
    &[&[
        Parameter::new("devices", Kind::TextList, "only devices that match these patterns"),
        Parameter::new("fstypes", Kind::TextList, "only file systems that match these patterns"),
        Parameter::new("sources", Kind::TextList, "files, mount_binary, or all, dynamic, static"),
        Parameter::new("mount_binary", Kind::Text, "program that lists mounts").default("mount"),
        Parameter::new("timeout", Kind::Float, "limit of one mount, in seconds"),
        Parameter::new("on_timeout", Kind::Text, "what becomes of one that takes longer")
            .choices(&["error", "warn", "ignore"])
            .default("error"),
        Parameter::new("include_aggregate_mounts", Kind::Boolean, "list repeated ones, too"),
    ]],
    "lists mounts and what is to be mounted",
));

pub(super) const SERVICE_FACTS: ModuleSpec =
    host(ModuleSpec::new("service_facts", &[], "lists services and their states"));

pub(super) const PACKAGE_FACTS: ModuleSpec = host(ModuleSpec::new(
    "package_facts",
    &[&[
        Parameter::new("manager", Kind::TextList, "package managers to ask"),
        Parameter::new("strategy", Kind::Text, "ask the first that works, or all")
            .choices(&["first", "all"]),
    ]],
    "lists installed packages",
));
