//! Everything a task can evaluate, apart from its name: for syntax checks and for the question
//! what a task depends on.

use yaml::{Node, NodeValue};

use crate::model::{Directives, Include, Task};
use crate::templating::TextKind;

/// Something that is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Expression<'a> {
    /// The keyword or parameter it belongs to.
    pub of: &'a str,
    /// How its text is read.
    pub kind: TextKind,
    /// The value: text, or lists and mappings with texts.
    pub node: &'a Node,
}

/// All expressions of a task, with those it inherits; variables (`vars`) are left out, because
/// they are evaluated only where they are used.
#[must_use]
pub fn expressions(task: &Task) -> Vec<Expression<'_>> {
    let mut found = own_expressions(task);
    for level in task.context.chain().skip(1) {
        found.extend(level.directives.when.iter().map(|node| condition("when", node)));
        found.extend(level.directives.environment.iter().map(|node| template("environment", node)));
        found.extend(module_defaults(task, &level.directives));
    }
    for (name, pick) in INNERMOST {
        if pick(&task.context.directives).is_none() {
            found.extend(task.context.innermost(pick).map(|node| template(name, node)));
        }
    }
    if task.context.directives.notify.is_none() {
        found.extend(task.notify.iter().map(|node| template("notify", node)));
    }
    found
}

/// Expressions written at the task itself.
#[must_use]
pub fn own_expressions(task: &Task) -> Vec<Expression<'_>> {
    let mut found = argument_expressions(task);
    found.extend(level_expressions(&task.context.directives));
    found.extend(module_defaults(task, &task.context.directives));
    let lists = [
        ("changed_when", &task.changed_when),
        ("failed_when", &task.failed_when),
        ("until", &task.until),
    ];
    for (name, nodes) in lists {
        found.extend(nodes.iter().flatten().map(|node| condition(name, node)));
    }
    let single = [("async", &task.asynchronous), ("poll", &task.poll)];
    found
        .extend(single.into_iter().filter_map(|(name, node)| Some(template(name, node.as_ref()?))));
    if let Some(repeat) = &task.repeat {
        found.push(template("loop", &repeat.over));
        let control = [
            ("loop_var", &repeat.variable),
            ("index_var", &repeat.index_variable),
            ("label", &repeat.label),
            ("pause", &repeat.pause),
            ("extended", &repeat.extended),
            ("extended_allitems", &repeat.extended_all_items),
        ];
        let control = control.into_iter();
        found.extend(control.filter_map(|(name, node)| Some(template(name, node.as_ref()?))));
        found.extend(repeat.break_when.iter().map(|node| condition("break_when", node)));
    }
    if let Some(Include::Tasks { apply, .. } | Include::Role { apply, .. }) = &task.include {
        found.extend(apply.iter().flat_map(|apply| level_expressions(apply)));
    }
    found
}

/// Expressions among the keywords of one level.
pub(crate) fn level_expressions(directives: &Directives) -> Vec<Expression<'_>> {
    let mut found: Vec<Expression<'_>> =
        directives.when.iter().map(|node| condition("when", node)).collect();
    found.extend(directives.environment.iter().map(|node| template("environment", node)));
    for (name, pick) in INNERMOST {
        found.extend(pick(directives).map(|node| template(name, node)));
    }
    found.extend(directives.notify.iter().flatten().map(|node| template("notify", node)));
    found
}

/// Arguments, read as their module reads them.
fn argument_expressions(task: &Task) -> Vec<Expression<'_>> {
    let mut found = Vec::new();
    for (key, value) in task.arguments.parameters.iter() {
        found.push(template("arguments", key));
        let name = key.as_str().unwrap_or_default();
        match (task.module.name, name) {
            // Their texts are evaluated when the included tasks are.
            ("include_tasks" | "include_role", "apply") => {}
            ("assert", "that") => found.extend(conditions("that", value)),
            ("debug", "var") => found.push(condition("var", value)),
            _ => found.push(template(name, value)),
        }
    }
    found.extend(task.arguments.splat.iter().map(|node| template("args", node)));
    found
}

fn conditions<'a>(of: &'a str, node: &'a Node) -> Vec<Expression<'a>> {
    match &node.value {
        NodeValue::Sequence(items) => items.iter().map(|item| condition(of, item)).collect(),
        _ => vec![condition(of, node)],
    }
}

/// Defaults that concern the task's module.
fn module_defaults<'a>(task: &'a Task, directives: &'a Directives) -> Vec<Expression<'a>> {
    let Some(node) = &directives.module_defaults else { return Vec::new() };
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    let mut found = Vec::new();
    for item in items {
        match item.as_mapping() {
            Some(mapping) => {
                let mine = mapping.iter().filter(|(key, _)| {
                    let name = key.as_str().unwrap_or_default();
                    let module = provision_protocol::modules::find(name);
                    module.is_some_and(|module| module.name == task.module.name)
                });
                found.extend(mine.map(|(_, value)| template("module_defaults", value)));
            }
            None => found.push(template("module_defaults", item)),
        }
    }
    found
}

fn template<'a>(of: &'a str, node: &'a Node) -> Expression<'a> {
    Expression { of, kind: TextKind::Template, node }
}

fn condition<'a>(of: &'a str, node: &'a Node) -> Expression<'a> {
    Expression { of, kind: TextKind::Condition, node }
}

type Pick = fn(&Directives) -> Option<&Node>;

/// Keywords of which only the innermost value counts.
const INNERMOST: [(&str, Pick); 20] = [
    ("become", |d| d.r#become.as_ref()),
    ("become_user", |d| d.become_user.as_ref()),
    ("become_method", |d| d.become_method.as_ref()),
    ("become_flags", |d| d.become_flags.as_ref()),
    ("delegate_to", |d| d.delegate_to.as_ref()),
    ("delegate_facts", |d| d.delegate_facts.as_ref()),
    ("run_once", |d| d.run_once.as_ref()),
    ("ignore_errors", |d| d.ignore_errors.as_ref()),
    ("ignore_unreachable", |d| d.ignore_unreachable.as_ref()),
    ("any_errors_fatal", |d| d.any_errors_fatal.as_ref()),
    ("check_mode", |d| d.check_mode.as_ref()),
    ("diff", |d| d.diff.as_ref()),
    ("no_log", |d| d.no_log.as_ref()),
    ("throttle", |d| d.throttle.as_ref()),
    ("timeout", |d| d.timeout.as_ref()),
    ("retries", |d| d.retries.as_ref()),
    ("delay", |d| d.delay.as_ref()),
    ("connection", |d| d.connection.as_ref()),
    ("remote_user", |d| d.remote_user.as_ref()),
    ("port", |d| d.port.as_ref()),
];
