//! Names that nobody defines anywhere: the run could only fail on them.
//!
//! Conservative on purpose: whatever may be skipped, guarded or defined by something unknown is
//! left alone.

use std::collections::BTreeSet;

use diagnostics::Diagnostic;
use yaml::{Mapping, Node, NodeValue};

use crate::arguments::Offsets;
use crate::check::survey::{Survey, Surveyed, constant};
use crate::expressions::{Expression, expressions};
use crate::loader::Loader;
use crate::model::{Context, Include, Play, Task};
use crate::templating::{TextKind, holds_template};

/// Names that are defined outside of the playbook: by the inventory, `-e`, and so on.
#[derive(Debug, Clone, Default)]
pub struct KnownNames {
    /// The names.
    pub names: BTreeSet<String>,
    /// Whether there may be others (an inventory that is asked at run time).
    pub open: bool,
}

/// Names that are variables only somewhere: in loops, macros, templates.
const MAGIC: &[&str] = &[
    "environment",
    "item",
    "omit",
    "role_uuid",
    "loop",
    "self",
    "caller",
    "varargs",
    "kwargs",
    "template_destpath",
    "template_fullpath",
    "template_host",
    "template_mtime",
    "template_path",
    "template_run_date",
    "template_uid",
];

/// Variables that Ansible itself provides besides those with `ansible_` before them.
fn magic<'a>() -> impl Iterator<Item = &'a str> {
    MAGIC.iter().chain(provision_discovery::OF_ENGINE).copied()
}

/// Facts that modules set without `ansible_` before them.
const FACTS: &[&str] = &[
    "packages",
    "services",
    "mounts",
    "facter",
    "ohai",
    "discovered_interpreter_python",
    "gather_subset",
    "module_setup",
];

/// Words in an expression that make an undefined name harmless.
const GUARDS: &[&str] = &["default", "defined", "mandatory", "| d(", "|d(", "first_found", "undef"];

impl Loader {
    /// Reports names that tasks certainly use and nobody defines.
    pub(crate) fn check_names(&mut self, plays: &[(&Play, &Survey)], known: &KnownNames) {
        let mut defined = Defined { names: known.names.clone(), open: known.open };
        for (play, survey) in plays {
            defined.add_play(play, survey);
            for Surveyed { task, .. } in &survey.tasks {
                self.add_included_variables(task, &mut defined);
            }
        }
        for file in self.variables_of_plays() {
            defined.add_mapping(&file);
        }
        // Who gathers facts otherwise may bring any.
        defined.open |= defined.names.contains("ansible_facts_modules");
        if defined.open {
            return;
        }
        for (_, survey) in plays {
            for Surveyed { task, guarded } in &survey.tasks {
                if !guarded {
                    self.check_task_names(task, &defined);
                }
            }
        }
    }

    /// Names that an `include_vars` of a constant file brings.
    fn add_included_variables(&mut self, task: &Task, defined: &mut Defined) {
        if task.module.name != "include_vars" {
            return;
        }
        let arguments = &task.arguments.parameters;
        if let Some(name) = arguments.get("name").and_then(constant) {
            defined.names.insert(name.to_owned());
            return;
        }
        // What is wrong with the file itself, `check_files` has told.
        let file = arguments.get("file").and_then(constant);
        let found = file.and_then(|name| self.search(task, "vars", name).ok());
        match found.filter(|path| !self.is_folder(path)) {
            Some(path) => {
                let mapping = self.variables_file(&path, None);
                defined.add_mapping(&mapping);
            }
            None => defined.open = true,
        }
    }

    fn check_task_names(&mut self, task: &Task, defined: &Defined) {
        for expression in expressions(task) {
            // The arguments of a loop over nothing are never evaluated.
            if task.repeat.is_some() && expression.of != "loop" {
                continue;
            }
            let late = ["changed_when", "failed_when", "until", "label"];
            // `debug: var=x` says that `x` is not defined, and goes on.
            let says_so = task.module.name == "debug" && expression.of == "var";
            if !late.contains(&expression.of) && !says_so {
                self.check_node_names(&expression, expression.node, defined);
            }
        }
    }

    fn check_node_names(&mut self, expression: &Expression<'_>, node: &Node, defined: &Defined) {
        if node.is_data() {
            return;
        }
        match &node.value {
            NodeValue::String(text)
                if expression.kind == TextKind::Condition || holds_template(node) =>
            {
                self.check_text_names(text, expression.kind, node, defined);
            }
            NodeValue::Sequence(items) => {
                for item in items {
                    self.check_node_names(expression, item, defined);
                }
            }
            NodeValue::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    self.check_node_names(expression, key, defined);
                    self.check_node_names(expression, value, defined);
                }
            }
            _ => {}
        }
    }

    fn check_text_names(&mut self, text: &str, kind: TextKind, node: &Node, defined: &Defined) {
        if GUARDS.iter().any(|guard| text.contains(guard)) || text.contains("{%") {
            return;
        }
        // A conditional expression may never look at the name.
        if text.contains(" if ") || text.contains(" or ") || text.contains(" and ") {
            return;
        }
        let reach = self.templates().reach(text, kind);
        if reach.dynamic {
            return;
        }
        for name in reach.names.iter().filter(|name| !defined.has(name)) {
            let span = match word(text, name, kind) {
                Some(start) => Offsets::of(node, self.sources()).span(start, start + name.len()),
                None => node.span,
            };
            let names = defined.names.iter().map(String::as_str);
            let closest = diagnostics::closest(name, names.chain(magic()));
            let hint = match closest {
                Some(closest) => format!("did you mean `{closest}`?"),
                None => format!("define it in `vars:`, in the inventory or with `-e {name}=…`"),
            };
            self.report(
                Diagnostic::error("undefined-variable", format!("nothing defines `{name}`"))
                    .at(span, "undefined variable")
                    .hint(hint),
            );
        }
    }
}

/// Where a name stands as a word of its own, inside of a template.
fn word(text: &str, name: &str, kind: TextKind) -> Option<usize> {
    let is_inside = |start: usize| {
        let before = text.get(..start).unwrap_or_default();
        kind == TextKind::Condition || before.matches("{{").count() > before.matches("}}").count()
    };
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(name)
        .find(|(start, _)| {
            let before = text.get(..*start).and_then(|before| before.chars().next_back());
            let after = text.get(start + name.len()..).and_then(|after| after.chars().next());
            let is_word =
                !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part);
            is_word && is_inside(*start)
        })
        .map(|(start, _)| start)
}

struct Defined {
    names: BTreeSet<String>,
    open: bool,
}

impl Defined {
    fn has(&self, name: &str) -> bool {
        name.starts_with("ansible_")
            || name.starts_with("getent_")
            || magic().any(|known| known == name)
            || FACTS.contains(&name)
            || self.names.contains(name)
    }

    fn add_play(&mut self, play: &Play, survey: &Survey) {
        self.open |= survey.open;
        self.names.extend(play.vars_prompt.iter().map(|prompt| prompt.name.clone()));
        self.open |= play.vars_files.iter().any(holds_template);
        for role in &survey.roles {
            let near = role.dependencies.iter().chain(&role.dependents).chain([role]);
            for role in near {
                self.add_mapping(&role.parameters);
                self.add_mapping(&role.role.vars);
                self.add_mapping(&role.role.defaults);
            }
        }
        for context in &survey.contexts {
            self.add_context(context);
        }
        for Surveyed { task, .. } in &survey.tasks {
            self.add_task(task);
        }
    }

    fn add_context(&mut self, context: &Context) {
        for level in context.chain() {
            if let Some(vars) = &level.directives.vars {
                self.add_mapping(vars);
            }
            if let Some(role) = &level.role {
                self.add_mapping(&role.parameters);
                self.add_mapping(&role.role.vars);
                self.add_mapping(&role.role.defaults);
            }
        }
    }

    fn add_task(&mut self, task: &Task) {
        self.names.extend(task.register.iter().map(|(name, _)| name.clone()));
        if let Some(repeat) = &task.repeat {
            for node in [&repeat.variable, &repeat.index_variable].into_iter().flatten() {
                match constant(node) {
                    Some(name) => {
                        self.names.insert(name.to_owned());
                    }
                    None => self.open = true,
                }
            }
        }
        let apply = task.include.as_ref().and_then(Include::apply);
        if let Some(vars) = apply.and_then(|apply| apply.vars.as_ref()) {
            self.add_mapping(vars);
        }
        // A program of the user's own may bring any facts.
        self.open |= task.own.is_some();
        if matches!(task.module.name, "set_fact" | "add_host") {
            self.open |= task.arguments.splat.is_some();
            self.add_mapping(&task.arguments.parameters);
        }
    }

    fn add_mapping(&mut self, mapping: &Mapping) {
        for (key, _) in mapping.iter() {
            match key.as_str() {
                Some(name) if !holds_template(key) => {
                    self.names.insert(name.to_owned());
                }
                Some(_) => self.open = true,
                None => {}
            }
        }
    }
}
