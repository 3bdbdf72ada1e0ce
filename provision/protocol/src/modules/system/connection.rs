//! Entries: what is about the connection to a host.

use super::{Kind, ModuleSpec, Parameter, on_connection};

pub(super) const REBOOT: ModuleSpec = on_connection(ModuleSpec::new(
    "reboot",
    &[&[
        Parameter::new(
            "pre_reboot_delay",
            Kind::Float,
            "delay of shutdown, in seconds; whole minutes count",
        ),
        Parameter::new("post_reboot_delay", Kind::Float, "pause before the first try, in seconds"),
        Parameter::new(
            "reboot_timeout",
            Kind::Float,
            "limit for the other boot, and for the test after it, in seconds",
        ),
        Parameter::new("connect_timeout", Kind::Float, "limit of one try to connect, in seconds"),
        Parameter::new("test_command", Kind::Text, "what must succeed in the end"),
        Parameter::new("msg", Kind::Text, "what logged-in users are told"),
        Parameter::new(
            "search_paths",
            Kind::TextList,
            "folders in which the command is looked for",
        ),
        Parameter::new(
            "boot_time_command",
            Kind::Text,
            "prints something that differs between boots",
        ),
        Parameter::new("reboot_command", Kind::Text, "another command than shutdown"),
    ]],
    "reboots the host and waits until it is back",
));

pub(super) const WAIT_FOR_CONNECTION: ModuleSpec = on_connection(ModuleSpec::new(
    "wait_for_connection",
    &[&[
        Parameter::new("connect_timeout", Kind::Integer, "limit of one try to connect, in seconds"),
        Parameter::new("delay", Kind::Integer, "pause before the first try, in seconds"),
        Parameter::new("sleep", Kind::Integer, "pause between two tries, in seconds"),
        Parameter::new("timeout", Kind::Integer, "limit, in seconds"),
    ]],
    "waits until the host can be reached and modules run there",
));
