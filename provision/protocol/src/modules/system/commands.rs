//! Entries: commands.

use super::{Kind, ModuleSpec, Parameter, free_form, host, one_of, prepared, skips};

const LINE: &[Parameter] =
    &[Parameter::new("cmd", Kind::Text, "command line").aliases(&["_raw_params"])];

const CONDITIONS: &[Parameter] = &[
    Parameter::new("creates", Kind::Path, "do nothing if a path matches this pattern"),
    Parameter::new("removes", Kind::Path, "do nothing if no path matches this pattern"),
    Parameter::new("chdir", Kind::Path, "folder to run in"),
    Parameter::new("executable", Kind::Text, "shell to run it with"),
];

const PROCESS: &[Parameter] = &[
    Parameter::new("argv", Kind::TextList, "command line as a list of words"),
    Parameter::new("stdin", Kind::Text, "what it reads from standard input"),
    Parameter::new("stdin_add_newline", Kind::Boolean, "end standard input with a newline"),
    Parameter::new("strip_empty_ends", Kind::Boolean, "remove empty lines at the ends of output"),
];

/// A shell does that by itself.
const EXPAND: &[Parameter] =
    &[Parameter::new("expand_argument_vars", Kind::Boolean, "replace $NAME and ~ in words")];

pub(super) const COMMAND: ModuleSpec = skips(free_form(
    ModuleSpec::new(
        "command",
        &[LINE, CONDITIONS, PROCESS, EXPAND],
        "runs a program without a shell",
    ),
    "cmd",
));

pub(super) const SHELL: ModuleSpec = skips(free_form(
    ModuleSpec::new("shell", &[LINE, CONDITIONS, PROCESS], "runs a command line in a shell"),
    "cmd",
));

pub(super) const EXPECT: ModuleSpec = skips(ModuleSpec::new(
    "expect",
    &[&[
        Parameter::new("command", Kind::Text, "command line; no shell runs it").required(),
        Parameter::new("creates", Kind::Path, "do nothing if this exists"),
        Parameter::new("removes", Kind::Path, "do nothing unless this exists"),
        Parameter::new("chdir", Kind::Path, "folder to run in"),
        Parameter::new(
            "responses",
            Kind::Mapping,
            "regular expression: answer, or answers in turn",
        )
        .required(),
        Parameter::new("timeout", Kind::Integer, "limit for each question, in seconds")
            .default("30"),
        Parameter::new("echo", Kind::Boolean, "show what is answered"),
    ]],
    "runs a program on a terminal and answers its questions",
));

pub(super) const RAW: ModuleSpec = skips(free_form(
    ModuleSpec::new(
        "raw",
        &[&[
            Parameter::new("cmd", Kind::Text, "command line").required().aliases(&["_raw_params"]),
            Parameter::new("executable", Kind::Text, "shell to run it with"),
        ]],
        "runs a command line in a shell, with nothing around it",
    ),
    "cmd",
));

pub(super) const SCRIPT: ModuleSpec = skips(prepared(free_form(
    one_of(
        ModuleSpec::new(
            "script",
            &[
                &[
                    Parameter::new(
                        "cmd",
                        Kind::Text,
                        "script of the controller, and its arguments",
                    )
                    .aliases(&["_raw_params"]),
                    Parameter::new("decrypt", Kind::Boolean, "decrypt a vaulted script"),
                ],
                CONDITIONS,
            ],
            "copies a script to the host, runs it and removes it",
        ),
        &[&["cmd"]],
    ),
    "cmd",
)));

pub(super) const PING: ModuleSpec = host(ModuleSpec::new(
    "ping",
    &[&[Parameter::new("data", Kind::Text, "what to answer; `crash` fails")]],
    "shows that calls arrive at the host",
));
