//! Modules that the controller carries out by itself.

use super::{CheckMode, FreeForm, Kind, ModuleScope, ModuleSpec, Parameter, Runs};

const fn on_controller(
    name: &'static str,
    parameters: &'static [&'static [Parameter]],
    documentation: &'static str,
) -> ModuleSpec {
    let mut spec = ModuleSpec::new(name, parameters, documentation);
    spec.runs = Runs::OnController;
    spec.scope = ModuleScope::Host;
    spec.check = CheckMode::Full;
    spec
}

const fn open(mut spec: ModuleSpec) -> ModuleSpec {
    spec.open = true;
    spec
}

const fn world(mut spec: ModuleSpec) -> ModuleSpec {
    spec.scope = ModuleScope::World;
    spec
}

const fn free_form(mut spec: ModuleSpec, free_form: FreeForm) -> ModuleSpec {
    spec.free_form = free_form;
    spec
}

const ROLE: &[Parameter] = &[
    Parameter::new("name", Kind::Text, "role").required().aliases(&["role"]),
    Parameter::new("tasks_from", Kind::Text, "file under tasks/"),
    Parameter::new("vars_from", Kind::Text, "file under vars/"),
    Parameter::new("defaults_from", Kind::Text, "file under defaults/"),
    Parameter::new("handlers_from", Kind::Text, "file under handlers/"),
    Parameter::new("allow_duplicates", Kind::Boolean, "run it even if it already ran"),
    Parameter::new("public", Kind::Boolean, "expose its variables to later tasks"),
    Parameter::new("rolespec_validate", Kind::Boolean, "check its argument specification"),
    Parameter::new("apply", Kind::Mapping, "keywords for the included tasks"),
];

const TASKS: &[Parameter] = &[
    Parameter::new("file", Kind::Text, "file with tasks").required(),
    Parameter::new("apply", Kind::Mapping, "keywords for the included tasks"),
];

pub(super) const MODULES: &[ModuleSpec] = &[
    open(world(on_controller(
        "add_host",
        &[&[
            Parameter::new("name", Kind::Text, "host to add")
                .required()
                .aliases(&["host", "hostname"]),
            Parameter::new("groups", Kind::TextList, "groups to put it in")
                .aliases(&["group", "groupname"]),
        ]],
        "adds a host to the inventory of this run",
    ))),
    on_controller(
        "assert",
        &[&[
            Parameter::new("that", Kind::List, "conditions that must all hold").required(),
            Parameter::new("fail_msg", Kind::Raw, "message when one does not").aliases(&["msg"]),
            Parameter::new("success_msg", Kind::Raw, "message when all do"),
            Parameter::new("quiet", Kind::Boolean, "do not show the conditions"),
        ]],
        "fails unless all conditions hold",
    ),
    on_controller(
        "debug",
        &[&[
            Parameter::new("msg", Kind::Raw, "what to show"),
            Parameter::new("var", Kind::Raw, "variable or expression to show"),
            Parameter::new("verbosity", Kind::Integer, "show only from this -v level on"),
        ]],
        "shows a message or a value",
    ),
    on_controller(
        "fail",
        &[&[Parameter::new("msg", Kind::Text, "message")]],
        "fails with a message",
    ),
    world(on_controller(
        "group_by",
        &[&[
            Parameter::new("key", Kind::Text, "name of the group").required(),
            Parameter::new("parents", Kind::TextList, "parents of the group"),
        ]],
        "puts the host into a group named by a value",
    )),
    on_controller("import_role", &[ROLE], "runs a role; resolved when loading"),
    free_form(
        on_controller("import_tasks", &[TASKS], "runs a file of tasks; resolved when loading"),
        FreeForm::Into("file"),
    ),
    free_form(
        on_controller(
            "import_playbook",
            &[&[Parameter::new("file", Kind::Text, "playbook").required()]],
            "runs another playbook; resolved when loading",
        ),
        FreeForm::Into("file"),
    ),
    on_controller("include_role", &[ROLE], "runs a role; resolved when reached"),
    free_form(
        on_controller("include_tasks", &[TASKS], "runs a file of tasks; resolved when reached"),
        FreeForm::Into("file"),
    ),
    free_form(
        on_controller(
            "include_vars",
            &[&[
                Parameter::new("file", Kind::Text, "file with variables"),
                Parameter::new("dir", Kind::Text, "folder with such files"),
                Parameter::new("name", Kind::Text, "variable to put them under"),
                Parameter::new("depth", Kind::Integer, "how deep to go into the folder"),
                Parameter::new("files_matching", Kind::Text, "only files that match"),
                Parameter::new("ignore_files", Kind::TextList, "files to leave out"),
                Parameter::new("extensions", Kind::TextList, "only files with these endings"),
                Parameter::new("ignore_unknown_extensions", Kind::Boolean, "skip other endings"),
                Parameter::new("hash_behaviour", Kind::Text, "replace or merge")
                    .choices(&["replace", "merge"]),
            ]],
            "loads variables from files when reached",
        ),
        FreeForm::Into("file"),
    ),
    free_form(
        on_controller(
            "meta",
            &[&[Parameter::new("free_form", Kind::Text, "action").required().choices(&[
                "clear_facts",
                "clear_host_errors",
                "end_batch",
                "end_host",
                "end_play",
                "end_role",
                "flush_handlers",
                "noop",
                "refresh_inventory",
                "reset_connection",
            ])]],
            "steers the run",
        ),
        FreeForm::Verbatim("free_form"),
    ),
    world(on_controller(
        "pause",
        &[&[
            Parameter::new("seconds", Kind::Float, "how long"),
            Parameter::new("minutes", Kind::Float, "how long"),
            Parameter::new("prompt", Kind::Text, "question to the operator"),
            Parameter::new("echo", Kind::Boolean, "show what is typed"),
        ]],
        "waits, or asks the operator",
    )),
    open(free_form(
        on_controller(
            "set_fact",
            &[&[Parameter::new("cacheable", Kind::Boolean, "keep it as a fact")]],
            "sets variables of the host",
        ),
        FreeForm::AnyKey,
    )),
    on_controller(
        "set_stats",
        &[&[
            Parameter::new("data", Kind::Mapping, "values").required(),
            Parameter::new("per_host", Kind::Boolean, "keep them per host"),
            Parameter::new("aggregate", Kind::Boolean, "add to earlier values"),
        ]],
        "sets values that the recap shows",
    ),
    // It reads variables by names that are values: they may hold what other hosts say.
    world(on_controller(
        "validate_argument_spec",
        &[&[
            Parameter::new("argument_spec", Kind::Mapping, "specification").required(),
            Parameter::new("provided_arguments", Kind::Mapping, "values"),
            Parameter::new("validate_args_context", Kind::Mapping, "where it comes from"),
        ]],
        "checks variables against a role's argument specification",
    )),
];
