//! Walks everything a play can run, dynamic includes with constant names among it.
//!
//! Included files are loaded once for their errors and definitions; the run loads them again
//! when it reaches them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use diagnostics::{Diagnostic, Severity};
use yaml::Node;

use crate::loader::{IncludeManner, IncludedRole, Loader, RoleFiles};
use crate::model::{Block, Context, Handler, Include, Item, Play, RoleUse, Task};
use crate::reach::Definitions;
use crate::templating::holds_template;

/// A task that a play may run.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    pub(crate) task: Arc<Task>,
    /// Whether it may be left out, or its failure doesn't matter.
    pub(crate) guarded: bool,
}

/// Everything a play can run, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    pub(crate) tasks: Vec<Surveyed>,
    pub(crate) handlers: Vec<Arc<Handler>>,
    pub(crate) roles: Vec<Arc<RoleUse>>,
    /// Contexts of all tasks and of the play, for the variables in them.
    pub(crate) contexts: Vec<Arc<Context>>,
    /// Whether it includes something whose name is known only at run time.
    pub(crate) open: bool,
    /// Whether it may create files on the controller.
    pub(crate) acts_locally: bool,
}

impl Survey {
    /// Adds all definitions in it.
    pub(crate) fn define(&self, definitions: &mut Definitions) {
        for role in &self.roles {
            definitions.add_role(role);
        }
        for context in &self.contexts {
            definitions.add_context(context);
        }
        for Surveyed { task, .. } in &self.tasks {
            let applied = task.include.as_ref().and_then(Include::apply);
            if let Some(vars) = applied.and_then(|apply| apply.vars.as_ref()) {
                definitions.add_mapping(vars);
            }
            definitions.groups_change |= matches!(task.module.name, "add_host" | "group_by");
        }
    }
}

struct Walk {
    survey: Survey,
    files: BTreeSet<PathBuf>,
    roles: BTreeSet<(String, RoleFiles)>,
}

impl Loader {
    /// Surveys a play; reports what is wrong with files that it includes.
    pub(crate) fn survey(&mut self, play: &Play) -> Survey {
        let mut walk = Walk {
            survey: Survey {
                roles: play.roles.clone(),
                contexts: vec![Arc::clone(&play.context)],
                acts_locally: is_local(&play.hosts),
                ..Survey::default()
            },
            files: BTreeSet::new(),
            roles: BTreeSet::new(),
        };
        self.walk(&play.items, false, &mut walk);
        for handler in &play.handlers {
            self.walk_handler(handler, &mut walk);
        }
        walk.survey
    }

    fn walk(&mut self, items: &[Item], guarded: bool, walk: &mut Walk) {
        for item in items {
            match item {
                Item::Task(task) => self.walk_task(task, guarded, walk),
                Item::Block(block) => self.walk_block(block, guarded, walk),
                Item::Flush => {}
                Item::RoleEnd(role) => walk.survey.roles.push(Arc::clone(role)),
            }
        }
    }

    fn walk_block(&mut self, block: &Block, guarded: bool, walk: &mut Walk) {
        let inside = guarded || !block.rescue.is_empty();
        self.walk(&block.items, inside, walk);
        // A rescue section may never run.
        self.walk(&block.rescue, true, walk);
        self.walk(&block.always, guarded, walk);
    }

    fn walk_handler(&mut self, handler: &Arc<Handler>, walk: &mut Walk) {
        walk.survey.handlers.push(Arc::clone(handler));
        self.walk_task(&handler.task, true, walk);
    }

    fn walk_task(&mut self, task: &Arc<Task>, guarded: bool, walk: &mut Walk) {
        let guarded = guarded || is_guarded(task);
        walk.survey.tasks.push(Surveyed { task: Arc::clone(task), guarded });
        walk.survey.contexts.push(Arc::clone(&task.context));
        let delegate = task.context.innermost(|level| level.delegate_to.as_ref());
        let connection = task.context.innermost(|level| level.connection.as_ref());
        walk.survey.acts_locally |= task.module.name == "fetch"
            || delegate.is_some_and(is_local)
            || connection.and_then(Node::as_str) == Some("local");
        let Some(include) = &task.include else { return };
        let guarded = guarded || task.repeat.is_some();
        match include {
            Include::Tasks { file, .. } => self.walk_file(task, file, guarded, walk),
            Include::Role { name, .. } => self.walk_role(task, name, include, guarded, walk),
        }
    }

    fn walk_file(&mut self, task: &Arc<Task>, file: &Node, guarded: bool, walk: &mut Walk) {
        let Some(name) = constant(file) else {
            walk.survey.open = true;
            return;
        };
        let as_handler =
            walk.survey.handlers.last().is_some_and(|handler| Arc::ptr_eq(&handler.task, task));
        let path = match self.search_included(task, name, as_handler) {
            Ok(path) => path,
            Err(tried) => {
                self.missing_include(name, file, &tried, guarded);
                return;
            }
        };
        if !walk.files.insert(path.clone()) {
            return;
        }
        let parent = task.included_context();
        if as_handler {
            let handlers =
                self.apart(guarded, |loader| loader.handlers_inside(&path, &parent, file.span));
            for handler in &handlers {
                self.walk_handler(handler, walk);
            }
        } else {
            let items =
                self.apart(guarded, |loader| loader.tasks_inside(&path, &parent, file.span));
            self.walk(&items, guarded, walk);
        }
        self.walk_imported(walk);
    }

    fn walk_role(
        &mut self,
        task: &Arc<Task>,
        name: &Node,
        include: &Include,
        guarded: bool,
        walk: &mut Walk,
    ) {
        let (Some(text), Some(from)) = (constant(name), constant_files(include)) else {
            walk.survey.open = true;
            return;
        };
        if !walk.roles.insert((text.to_owned(), from.clone())) {
            return;
        }
        let parent = task.included_context();
        let role = self.apart(guarded, |loader| {
            loader.included_role(text, &from, &parent, name.span, IncludeManner::default())
        });
        let Some(IncludedRole { role_use, items, handlers }) = role else { return };
        walk.survey.roles.push(role_use);
        self.walk(&items, guarded, walk);
        for handler in &handlers {
            self.walk_handler(handler, walk);
        }
        self.walk_imported(walk);
    }

    /// Handlers and roles that static imports inside of an include have brought.
    fn walk_imported(&mut self, walk: &mut Walk) {
        let (handlers, roles) = self.take_imported();
        walk.survey.roles.extend(roles);
        for handler in &handlers {
            self.walk_handler(handler, walk);
        }
    }

    /// Loads something that the run may never reach: then its errors are warnings.
    fn apart<T>(&mut self, guarded: bool, load: impl FnOnce(&mut Loader) -> T) -> T {
        let before = self.take_reported();
        let loaded = load(self);
        let inside = self.take_reported();
        for diagnostic in before {
            self.report(diagnostic);
        }
        for diagnostic in inside {
            self.report(if guarded { softened(diagnostic) } else { diagnostic });
        }
        loaded
    }

    fn missing_include(&mut self, name: &str, file: &Node, tried: &[PathBuf], guarded: bool) {
        let hint = tried.iter().find_map(|path| self.similar_file(path));
        let searched: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
        let diagnostic =
            Diagnostic::error("missing-file", format!("there is no file `{name}` to include"))
                .at(file.span, "not found")
                .note(format!("searched: {}", searched.join(", ")))
                .hint_if(hint);
        self.report(if guarded { softened(diagnostic) } else { diagnostic });
    }
}

/// An error that the run may never meet.
pub(crate) fn softened(diagnostic: Diagnostic) -> Diagnostic {
    if !diagnostic.is_error() {
        return diagnostic;
    }
    let diagnostic = Diagnostic { severity: Severity::Warning, ..diagnostic };
    diagnostic.note("the run fails only if it gets here")
}

/// Whether a task may be skipped, or may fail without harm.
fn is_guarded(task: &Task) -> bool {
    let never = task.context.tags().contains(&"never");
    never
        || task.context.chain().any(|level| !level.directives.when.is_empty())
        || task.context.innermost(|level| level.ignore_errors.as_ref()).is_some()
        || task.failed_when.is_some()
}

/// The text of a node that holds no template.
pub(crate) fn constant(node: &Node) -> Option<&str> {
    node.as_str().filter(|_| !holds_template(node))
}

fn constant_files(include: &Include) -> Option<RoleFiles> {
    let Include::Role { tasks_from, vars_from, defaults_from, handlers_from, .. } = include else {
        return None;
    };
    let get = |node: &Option<Node>| match node {
        None => Some(None),
        Some(node) => constant(node).map(|text| Some(text.to_owned())),
    };
    Some(RoleFiles {
        tasks: get(tasks_from)?,
        vars: get(vars_from)?,
        defaults: get(defaults_from)?,
        handlers: get(handlers_from)?,
    })
}

fn is_local(node: &Node) -> bool {
    match node.as_sequence() {
        Some(items) => items.iter().any(is_local),
        None => node.as_str().is_some_and(|text| {
            ["localhost", "127.0.0.1", "::1"].iter().any(|name| text.contains(name))
                || text.contains("{{")
        }),
    }
}
