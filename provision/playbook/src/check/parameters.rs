//! Arguments against the table of modules.

use diagnostics::{Diagnostic, Span};
use provision_protocol::Object;
use provision_protocol::modules::{ArgumentError, FreeForm, Kind, Parameter, normalise};
use serde_json::Value;
use yaml::{Node, NodeValue};

use crate::keywords::{self, Places};
use crate::loader::Loader;
use crate::model::Task;
use crate::names::is_identifier;
use crate::templating::{holds_template, is_template};

/// How names begin that only Ansible itself may give to modules.
const RESERVED: &str = "_ansible_";

impl Loader {
    /// Reports arguments that can't be right whatever the variables are.
    pub(crate) fn check_arguments(&mut self, task: &Task) {
        let spec = task.module;
        let mut object = Object::new();
        for (key, value) in task.arguments.parameters.iter() {
            let Some(name) = key.as_str() else {
                self.report(
                    Diagnostic::error("unknown-parameter", "names of parameters are text")
                        .at(key.span, format!("this is {}", key.kind())),
                );
                continue;
            };
            if is_template(name) {
                self.check_key_template(task, key);
                continue;
            }
            if name.starts_with(RESERVED) {
                continue;
            }
            let parameter = spec.parameter(name);
            let is_own = name.starts_with('_') && parameter.is_none();
            if is_own && !spec.open && spec.free_form != FreeForm::AnyKey {
                let module = &task.module_written;
                self.report(
                    Diagnostic::error(
                        "unknown-parameter",
                        format!("`{module}` has no parameter `{name}`"),
                    )
                    .at(key.span, "unknown parameter")
                    .note("names with `_` are between the program and its helpers"),
                );
                continue;
            }
            if parameter.is_some_and(|parameter| parameter.name == "mode") {
                self.check_mode(value);
            }
            let known = match parameter {
                Some(parameter) if holds_template(value) => placeholder(parameter),
                _ => yaml::to_json(value),
            };
            object.insert(name.to_owned(), known);
        }
        if spec.free_form == FreeForm::AnyKey {
            self.check_facts(task);
        }
        let Err(errors) = normalise(spec, object) else { return };
        let unknown = errors.iter().any(|error| matches!(error, ArgumentError::Unknown { .. }));
        for error in errors {
            // The unknown one is probably a slip of the missing one.
            if unknown && matches!(error, ArgumentError::OneOf { .. }) {
                continue;
            }
            if let Some(diagnostic) = explain(task, &error) {
                self.report(diagnostic);
            }
        }
    }

    /// Reports arguments that only Ansible itself may give; a task is not even read with one.
    pub(crate) fn check_reserved(&mut self, task: &Task) {
        for (key, _) in task.arguments.parameters.iter() {
            let Some(name) = key.as_str().filter(|name| name.starts_with(RESERVED)) else {
                continue;
            };
            let module = &task.module_written;
            self.report(
                Diagnostic::error(
                    "reserved-parameter",
                    format!("`{name}` of `{module}`: names with `{RESERVED}` are reserved"),
                )
                .at(key.span, "can't be given"),
            );
        }
    }

    fn check_key_template(&mut self, task: &Task, key: &Node) {
        if task.module.free_form != FreeForm::AnyKey {
            self.report(
                Diagnostic::error(
                    "unknown-parameter",
                    "the name of a parameter can't be a template",
                )
                .at(key.span, "a template"),
            );
        }
    }

    /// `set_fact` can set only names that templates can use.
    fn check_facts(&mut self, task: &Task) {
        for (key, _) in task.arguments.parameters.iter() {
            let name = key.as_str().unwrap_or_default();
            if !is_identifier(name) && !is_template(name) {
                self.report(
                    Diagnostic::error(
                        "variable-name",
                        format!("`{name}` can't be the name of a variable"),
                    )
                    .at(key.span, "templates can't use this name")
                    .hint("use letters, digits and `_`"),
                );
            }
        }
        let own =
            task.arguments.parameters.iter().filter(|(key, _)| key.as_str() != Some("cacheable"));
        if own.count() == 0 && task.arguments.splat.is_none() {
            self.report(
                Diagnostic::error(
                    "missing-parameter",
                    format!("`{}` sets nothing", task.module_written),
                )
                .at(task.module_span, "no `name: value` below it"),
            );
        }
    }

    /// `mode: 644` is decimal: the bits 1204 in octal.
    fn check_mode(&mut self, value: &Node) {
        let NodeValue::Integer(number) = value.value else { return };
        let written = self.sources().text(value.span).to_owned();
        if written.starts_with('0') || !written.bytes().all(|byte| byte.is_ascii_digit()) {
            return;
        }
        self.report(
            Diagnostic::warning("decimal-mode", format!("`mode: {written}` is a decimal number"))
                .at(value.span, format!("means the permission bits {number:o} in octal"))
                .hint(format!("write `mode: \"0{written}\"`")),
        );
    }
}

/// Some value that a parameter accepts.
fn placeholder(parameter: &Parameter) -> Value {
    let text = parameter.choices.first().copied().unwrap_or("x");
    match parameter.kind {
        Kind::Text | Kind::Path | Kind::Raw => text.into(),
        Kind::Boolean => true.into(),
        Kind::Integer | Kind::Float => 1.into(),
        Kind::TextList | Kind::List => vec![Value::from(text)].into(),
        Kind::Mapping => Object::new().into(),
    }
}

/// The argument as written for a canonical name.
fn written<'a>(task: &'a Task, name: &str) -> Option<(&'a Node, &'a Node)> {
    task.arguments.parameters.iter().find(|(key, _)| {
        key.as_str().is_some_and(|key| {
            key == name || task.module.parameter(key).is_some_and(|found| found.name == name)
        })
    })
}

/// What to say about an error; nothing if a template or a default may make it right.
fn explain(task: &Task, error: &ArgumentError) -> Option<Diagnostic> {
    let module = &task.module_written;
    let value_span =
        |name: &str| written(task, name).map_or(task.module_span, |(_, value)| value.span);
    let key_span = |name: &str| written(task, name).map_or(task.module_span, |(key, _)| key.span);
    match error {
        ArgumentError::Unknown { name, suggestion, .. } => {
            let hint = if keywords::find(name, Places::TASK).is_some() {
                Some(format!("`{name}` is a keyword of tasks: indent it like `{module}:`"))
            } else {
                suggestion.map(|suggestion| format!("did you mean `{suggestion}`?"))
            };
            let all: Vec<&str> = task.module.parameters().map(|parameter| parameter.name).collect();
            let diagnostic = Diagnostic::error(
                "unknown-parameter",
                format!("`{module}` has no parameter `{name}`"),
            )
            .at(key_span(name), "unknown parameter");
            Some(match hint {
                Some(hint) => diagnostic.hint(hint),
                None if all.is_empty() => {
                    diagnostic.note(format!("`{module}` takes no parameters"))
                }
                None => diagnostic.note(format!("`{module}` takes {}", all.join(", "))),
            })
        }
        ArgumentError::Missing { name, .. } => (!may_come_later(task)).then(|| {
            Diagnostic::error(
                "missing-parameter",
                format!("`{module}` needs the parameter `{name}`"),
            )
            .at(task.module_span, format!("`{name}` is missing"))
            .hint_if(parameter_hint(task, name))
        }),
        // What a template will be isn't known yet.
        ArgumentError::RequiredIf { rule, .. }
            if written(task, rule.name).is_some_and(|(_, value)| holds_template(value)) =>
        {
            None
        }
        ArgumentError::RequiredIf { rule, missing, .. } => (!may_come_later(task)).then(|| {
            let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
            let names = names.join(if rule.any { " or " } else { " and " });
            Diagnostic::error(
                "missing-parameter",
                format!("`{module}` needs {names} where `{}` is `{}`", rule.name, rule.value),
            )
            .at(task.module_span, "missing")
        }),
        ArgumentError::OneOf { names, .. } => (!may_come_later(task)).then(|| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            Diagnostic::error(
                "missing-parameter",
                format!("`{module}` needs one of {}", names.join(", ")),
            )
            .at(task.module_span, "none of them is given")
        }),
        ArgumentError::Type { name, expected, given, .. } => Some(
            Diagnostic::error(
                "wrong-type",
                format!(
                    "`{name}` of `{module}` takes {expected}, not `{}`",
                    given.trim_matches('"')
                ),
            )
            .at(value_span(name), format!("expected {expected}")),
        ),
        ArgumentError::Choice { name, choices, given, .. } => {
            let closest = diagnostics::closest(given, choices.iter().copied());
            let message = match task.module.free_form {
                FreeForm::Verbatim(own) if own == *name => {
                    format!("there is no `{module}: {given}`")
                }
                _ => format!("`{name}` of `{module}` can't be `{given}`"),
            };
            Some(
                Diagnostic::error("wrong-choice", message)
                    .at(value_span(name), format!("expected one of {}", choices.join(", ")))
                    .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
            )
        }
        ArgumentError::Exclusive { names, .. } => explain_exclusive(task, names),
    }
}

fn explain_exclusive(task: &Task, names: &[&str]) -> Option<Diagnostic> {
    let given: Vec<(&Node, &Node)> = names.iter().filter_map(|name| written(task, name)).collect();
    // A template may evaluate to `omit` or to nothing.
    if given.iter().filter(|(_, value)| !holds_template(value)).count() < 2 {
        return None;
    }
    let spans: Vec<Span> = given.iter().map(|(key, _)| key.span).collect();
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let diagnostic = Diagnostic::error(
        "exclusive-parameters",
        format!("`{}` takes only one of {}", task.module_written, names.join(", ")),
    );
    match spans.as_slice() {
        [first, second, ..] => {
            Some(diagnostic.at(*second, "not with the other").also(*first, "the other"))
        }
        _ => Some(diagnostic.at(task.module_span, "several are given")),
    }
}

/// Whether arguments may come from somewhere that isn't known yet.
fn may_come_later(task: &Task) -> bool {
    task.arguments.splat.is_some()
        || task.context.chain().any(|level| level.directives.module_defaults.is_some())
}

fn parameter_hint(task: &Task, name: &str) -> Option<String> {
    let parameter = task.module.parameter(name)?;
    Some(format!("`{name}`: {}", parameter.documentation))
}
