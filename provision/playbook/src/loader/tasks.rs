//! One task: its module call, keywords and loop.

use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_protocol::modules;
use yaml::{Mapping, Node};

use crate::keywords::{LOST_ON_IMPORTS, ON_INCLUDES, Places};
use crate::loader::action::{Action, is_task_key};
use crate::loader::blocks::head;
use crate::loader::directives::{conditions, list};
use crate::loader::{Loader, Surroundings, present};
use crate::model::{Arguments, Context, Directives, Include, Item, Level, Loop, Task};
use crate::names::is_identifier;
use crate::templating::{holds_template, is_template};
use crate::unsupported;

/// Whether a failure of a task is expected: ignored, or taken by a rescue section.
fn may_fail(mapping: &Mapping, around: &Surroundings) -> bool {
    let own = present(mapping, "ignore_errors");
    let ignored = own.or_else(|| around.context.innermost(|level| level.ignore_errors.as_ref()));
    around.rescued || ignored.is_some_and(|node| node.as_bool() != Some(false))
}

/// Whether a task has a loop that isn't written out: lists of users, databases, rules are empty by
/// default in many roles.
fn may_loop_over_nothing(mapping: &Mapping) -> bool {
    mapping.iter().any(|(key, over)| {
        let is_loop = key.as_str().is_some_and(|key| key == "loop" || key.starts_with("with_"));
        is_loop && over.as_sequence().is_none_or(|items| items.iter().any(holds_template))
    })
}

impl Loader {
    /// What a task becomes: itself, or the tasks it imports.
    pub(super) fn task_items(
        &mut self,
        node: &Node,
        mapping: &Mapping,
        around: &Surroundings,
    ) -> Vec<Item> {
        let place = if around.handlers { Places::HANDLER } else { Places::TASK };
        // Keys that are no keywords are the business of `action`.
        self.check_keywords(mapping, place, |key| !is_task_key(key) || key.starts_with("with_"));
        let may_fail = may_fail(mapping, around);
        let action =
            self.leniently(may_fail, |loader| loader.action(mapping, head(node, mapping), around));
        let Some(action) = action.or_else(|| self.unavailable(mapping, around, may_fail)) else {
            self.lose(mapping, around);
            return Vec::new();
        };
        match action.module.name {
            "import_tasks" => self.import_tasks(mapping, action, around),
            "import_role" => self.import_role(mapping, action, around),
            "include_tasks" if action.old_include => {
                self.old_include(node, mapping, action, around)
            }
            "include_role" if around.handlers => {
                self.role_as_handler(&action);
                self.lose(mapping, around);
                Vec::new()
            }
            "import_playbook" => {
                self.report(
                    Diagnostic::error("unknown-keyword", "playbooks can't be imported by a task")
                        .at(action.span, "not among tasks")
                        .hint("put it beside the plays, or use `import_tasks` for a file of tasks"),
                );
                Vec::new()
            }
            _ => self.task(node, mapping, action, around).map(Item::Task).into_iter().collect(),
        }
    }

    /// Remembers a handler that can't be loaded: notifying it is no second error.
    fn lose(&mut self, mapping: &Mapping, around: &Surroundings) {
        if around.handlers {
            let names = list(mapping, "listen").unwrap_or_default();
            let names = names.iter().chain(present(mapping, "name")).filter_map(Node::as_str);
            self.lost_handlers.extend(names.map(str::to_owned));
        }
    }

    /// A task that runs a module or includes at run time.
    pub(super) fn task(
        &mut self,
        node: &Node,
        mapping: &Mapping,
        mut action: Action,
        around: &Surroundings,
    ) -> Option<Arc<Task>> {
        let mut directives = self.directives(mapping, around);
        if action.local {
            let localhost = Node::string(action.span, "localhost");
            directives.delegate_to.get_or_insert(localhost);
        }
        let is_include = matches!(action.module.name, "include_tasks" | "include_role");
        if is_include {
            self.check_include_keywords(mapping, &action);
        }
        let context = Arc::new(Context::inside(&around.context, Level::Task, directives));
        let include = self.include(&mut action, head(node, mapping), around);
        if is_include && include.is_none() {
            return None;
        }
        let notify = context.innermost(|level| level.notify.as_ref()).cloned().unwrap_or_default();
        let task = Task {
            id: self.new_task(),
            span: head(node, mapping),
            name: present(mapping, "name").cloned(),
            module: action.module,
            module_written: action.written,
            module_span: action.span,
            own: action.own,
            arguments: action.arguments,
            repeat: self.repeat(mapping),
            register: self.register(mapping),
            notify,
            changed_when: conditions(mapping, "changed_when"),
            failed_when: conditions(mapping, "failed_when"),
            until: conditions(mapping, "until"),
            asynchronous: present(mapping, "async").cloned(),
            poll: present(mapping, "poll").cloned(),
            include,
            folder: around.folder.clone(),
            context,
        };
        if around.handlers {
            self.listens.insert(task.id, list(mapping, "listen").unwrap_or_default());
        }
        self.check_meta(&task, around);
        self.check_reserved(&task);
        self.leniently(may_fail(mapping, around), |loader| {
            loader.check_arguments(&task);
            loader.check_templates(&task);
        });
        Some(Arc::new(task))
    }

    /// What stands for a call that can't be made, in a task that may never come to it: content
    /// for several systems names the modules of all of them.
    fn unavailable(
        &mut self,
        mapping: &Mapping,
        around: &Surroundings,
        may_fail: bool,
    ) -> Option<Action> {
        let (key, _) = mapping.iter().find(|(key, _)| {
            key.as_str().is_some_and(|name| !is_task_key(name) && !name.starts_with("include"))
        })?;
        let written = key.as_str()?;
        let foreign = modules::find(written).is_none()
            && (unsupported::is_of_ansible(written)
                || unsupported::may_be_of_a_collection(written));
        let conditional = present(mapping, "when").is_some()
            || may_loop_over_nothing(mapping)
            || around.context.chain().any(|level| !level.directives.when.is_empty());
        if !(may_fail || foreign && conditional) {
            return None;
        }
        let module = &modules::UNAVAILABLE;
        self.soften_at(key.span);
        let arguments = Arguments::default();
        let written = written.to_owned();
        Some(Action {
            module,
            own: None,
            written,
            span: key.span,
            arguments,
            local: false,
            old_include: false,
        })
    }

    /// `end_role` makes sense inside a role only, and never in a handler; nor is a flush a handler.
    fn check_meta(&mut self, task: &Task, around: &Surroundings) {
        let action = task.arguments.parameters.get("free_form").and_then(Node::as_str);
        let action = action.filter(|_| task.module.name == "meta");
        if around.handlers && action == Some("flush_handlers") {
            self.report(
                Diagnostic::error("flush-as-handler", "`flush_handlers` can't be a handler")
                    .at(task.module_span, "not among handlers")
                    .hint("handlers run in their order; notified ones need no flush between them"),
            );
        }
        let ends_role = action == Some("end_role");
        if ends_role && (around.handlers || task.context.role().is_none()) {
            let place = if around.handlers { "a handler" } else { "tasks outside of a role" };
            self.report(
                Diagnostic::error("end-role", format!("`end_role` can't stand in {place}"))
                    .at(task.module_span, "no role to end here"),
            );
        }
    }

    /// Ansible refuses keywords on includes that would be for the include alone.
    fn check_include_keywords(&mut self, mapping: &Mapping, action: &Action) {
        for (key, _) in mapping.iter() {
            let name = key.as_str().unwrap_or_default();
            if !is_task_key(name) || name.starts_with("with_") || ON_INCLUDES.contains(&name) {
                continue;
            }
            let module = action.module.name;
            self.report(
                Diagnostic::error(
                    "keyword-on-include",
                    format!("`{name}` has no effect on `{module}`"),
                )
                .at(key.span, "not handed on to the included tasks")
                .hint(format!(
                    "put it below `apply:` of `{module}`, or use `{}`",
                    module.replace("include", "import")
                )),
            );
        }
    }

    /// Reports keywords that a static import swallows.
    pub(super) fn check_import_keywords(&mut self, mapping: &Mapping, action: &Action) {
        let module = action.module.name;
        for (key, _) in mapping.iter() {
            let name = key.as_str().unwrap_or_default();
            if name == "loop" || name.starts_with("with_") {
                let dynamic = module.replace("import", "include");
                self.report(
                    Diagnostic::error("loop-on-import", format!("`{module}` can't be looped"))
                        .at(key.span, "imports happen once, before the run")
                        .hint(format!("use `{dynamic}`")),
                );
            } else if LOST_ON_IMPORTS.contains(&name) {
                self.report(
                    Diagnostic::warning(
                        "keyword-on-import",
                        format!("`{name}` has no effect on `{module}`"),
                    )
                    .at(key.span, "not handed on to the imported tasks")
                    .hint("put it on the tasks themselves"),
                );
            }
        }
    }

    fn register(&mut self, mapping: &Mapping) -> Option<(String, Span)> {
        let node = present(mapping, "register")?;
        let name = node.as_str().unwrap_or_default();
        if !is_identifier(name) && !is_template(name) {
            self.report(
                Diagnostic::error(
                    "register-name",
                    format!(
                        "`{}` can't be the name of a variable",
                        provision_template::text_of(&provision_template::value_of_node(node))
                    ),
                )
                .at(node.span, "templates can't use this name")
                .hint("use letters, digits and `_`"),
            );
            return None;
        }
        Some((name.to_owned(), node.span))
    }

    /// `loop`, `with_*` and `loop_control`.
    fn repeat(&mut self, mapping: &Mapping) -> Option<Loop> {
        let loops: Vec<(&Node, &Node)> = mapping
            .iter()
            .filter(|(key, _)| {
                key.as_str().is_some_and(|key| key == "loop" || key.starts_with("with_"))
            })
            .collect();
        let control = present(mapping, "loop_control").and_then(Node::as_mapping);
        if let Some(control) = control {
            self.check_keywords(control, Places::LOOP_CONTROL, |_| false);
        }
        if let [(first, _), (second, _), ..] = loops.as_slice() {
            self.report(
                Diagnostic::error("two-loops", "a task has one loop only")
                    .at(second.span, "another loop")
                    .also(first.span, "the first loop")
                    .hint("loop over the product of both: `loop: \"{{ a | product(b) }}\"`"),
            );
        }
        let Some((key, over)) = loops.first() else {
            if let Some((key, _)) = mapping.get_entry("loop_control") {
                self.report(
                    Diagnostic::warning("loop-control-alone", "`loop_control` without a loop")
                        .at(key.span, "has no effect")
                        .hint("add `loop:`"),
                );
            }
            return None;
        };
        let lookup = key.as_str().and_then(|key| key.strip_prefix("with_")).map(str::to_owned);
        if over.is_null() {
            let name = key.as_str().unwrap_or_default();
            self.report(
                Diagnostic::error("empty-loop", format!("`{name}` needs something to loop over"))
                    .at(key.span, "nothing follows")
                    .hint("list the items below it"),
            );
        }
        let empty = Mapping::default();
        let control = control.unwrap_or(&empty);
        let get = |name: &str| present(control, name).cloned();
        Some(Loop {
            lookup,
            over: (*over).clone(),
            variable: get("loop_var"),
            index_variable: get("index_var"),
            label: get("label"),
            pause: get("pause"),
            extended: get("extended"),
            extended_all_items: get("extended_allitems"),
            break_when: list(control, "break_when").unwrap_or_default(),
        })
    }

    /// What a dynamic include includes.
    fn include(
        &mut self,
        action: &mut Action,
        task: Span,
        around: &Surroundings,
    ) -> Option<Include> {
        let get = |name: &str| present(&action.arguments.parameters, name).cloned();
        match action.module.name {
            "include_tasks" => {
                let Some(file) = get("file") else {
                    self.missing_argument(action, task, "the file to include");
                    return None;
                };
                let apply = self.apply(action, around);
                Some(Include::Tasks { file, apply })
            }
            "include_role" => {
                let Some(name) = get("name").or_else(|| get("role")) else {
                    self.missing_argument(action, task, "the name of the role");
                    return None;
                };
                let (tasks_from, vars_from) = (get("tasks_from"), get("vars_from"));
                let (defaults_from, handlers_from) = (get("defaults_from"), get("handlers_from"));
                let (public, allow_duplicates) = (get("public"), get("allow_duplicates"));
                self.check_chosen_files(action);
                let apply = self.apply(action, around);
                Some(Include::Role {
                    name,
                    tasks_from,
                    vars_from,
                    defaults_from,
                    handlers_from,
                    apply,
                    public,
                    allow_duplicates,
                    validates: get("rolespec_validate"),
                })
            }
            _ => None,
        }
    }

    /// `tasks_from` and its like name one file each.
    fn check_chosen_files(&mut self, action: &Action) {
        for name in ["tasks_from", "vars_from", "defaults_from", "handlers_from"] {
            let Some(node) = present(&action.arguments.parameters, name) else { continue };
            if node.as_sequence().is_some() || node.as_mapping().is_some() {
                self.report(
                    Diagnostic::error(
                        "file-of-role",
                        format!("`{name}` takes the name of a file, not {}", node.kind()),
                    )
                    .at(node.span, "expected text")
                    .hint("name one file; include the role once for each of several"),
                );
            }
        }
    }

    pub(super) fn missing_argument(&mut self, action: &Action, task: Span, what: &str) {
        let name = &action.written;
        let diagnostic = Diagnostic::error("missing-parameter", format!("`{name}` needs {what}"))
            .at(action.span, format!("{what} is missing"));
        self.report(match task == action.span {
            true => diagnostic,
            false => diagnostic.also(task, "in this task"),
        });
    }

    fn apply(&mut self, action: &Action, around: &Surroundings) -> Option<Arc<Directives>> {
        let node = present(&action.arguments.parameters, "apply")?;
        let Some(mapping) = node.as_mapping() else {
            self.report(
                Diagnostic::error("wrong-type", "`apply` takes a mapping of keywords")
                    .at(node.span, format!("this is {}", node.kind())),
            );
            return None;
        };
        self.check_keywords(mapping, Places::BLOCK, |_| false);
        Some(Arc::new(self.directives(mapping, around)))
    }
}
