//! Static knowledge about tasks: can other hosts observe them, how do their results flow.
//!
//! The answer follows names through everything that is defined anywhere under that name, on any
//! host. What is not known counts as observable.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use provision_plan::{Flow, Scope};
use provision_playbook::files::Files;
use provision_playbook::model::{Task, TaskId};
use provision_protocol::modules::{ModuleScope, Runs};
use provision_template::TextKind;
use yaml::{Mapping, Node, NodeValue};

use crate::world::World;

/// What is known of a task.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Whether others can observe its run.
    pub scope: Scope,
    /// Whether it observes others while being evaluated.
    pub evaluation: Scope,
    /// How its results come.
    pub flow: Flow,
    /// `run_once`.
    pub once: bool,
}

/// Answers, and the definitions they rest on.
#[derive(Debug, Default)]
pub struct Reaches {
    definitions: HashMap<String, Vec<Arc<Node>>>,
    /// Names whose closure is known to be free of other hosts (false) or not (true).
    known: HashMap<String, bool>,
    classes: HashMap<TaskId, Class>,
    seen: BTreeSet<usize>,
}

/// Names through which a template sees other hosts.
const OTHERS: &[&str] = &[
    "ansible_play_batch",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "hostvars",
    "play_hosts",
    "vars",
];

/// Lookups without effects that read only the controller's files or their own arguments.
const QUIET_LOOKUPS: &[&str] = &[
    "cartesian",
    "community.general.flattened",
    "config",
    "csvfile",
    "dict",
    "env",
    "file",
    "fileglob",
    "filetree",
    "first_found",
    "flattened",
    "indexed_items",
    "ini",
    "inventory_hostnames",
    "items",
    "list",
    "nested",
    "sequence",
    "subelements",
    "template",
    "together",
    "unvault",
];

impl Reaches {
    /// Adds the definitions of a mapping of variables, once.
    pub fn define(&mut self, variables: &Arc<Mapping>) {
        if !self.seen.insert(Arc::as_ptr(variables) as usize) {
            return;
        }
        for (key, value) in variables.iter() {
            if let Some(name) = key.as_str() {
                self.define_one(name, Arc::new(value.clone()));
            }
        }
    }

    /// Adds one definition.
    pub fn define_one(&mut self, name: &str, value: Arc<Node>) {
        if provision_template::has_template(&value) {
            self.definitions.entry(name.to_owned()).or_default().push(value);
            self.known.clear();
        }
    }

    /// Adds the definitions of a task's surroundings.
    pub fn define_around(&mut self, task: &Task) {
        for context in task.context.chain() {
            if let Some(vars) = &context.directives.vars {
                self.define(vars);
            }
            if let Some(role) = &context.role {
                self.define(&role.parameters);
                for role in std::iter::once(role).chain(&role.dependencies).chain(&role.dependents)
                {
                    self.define(&role.role.vars);
                    self.define(&role.role.defaults);
                }
            }
        }
    }

    /// Whether a task runs once, which its template has told: before any host announces it.
    pub fn decide_once(&mut self, world: &World, task: &Arc<Task>, once: bool) {
        let class = self.classify(world, task);
        self.classes.insert(task.id, Class { once, ..class });
    }

    /// What is known of a task. The first answer stays: announced steps rest on it. So define
    /// everything around all tasks of a list before the first of them is classified.
    pub fn classify(&mut self, world: &World, task: &Arc<Task>) -> Class {
        if let Some(class) = self.classes.get(&task.id) {
            return *class;
        }
        let class = self.compute(world, task);
        self.classes.insert(task.id, class);
        class
    }

    fn compute(&mut self, world: &World, task: &Arc<Task>) -> Class {
        let delegated = task.context.innermost(|d| d.delegate_to.as_ref()).is_some();
        let once = task
            .context
            .innermost(|d| d.run_once.as_ref())
            .is_some_and(|node| node.as_bool() != Some(false))
            // Nobody waits once for each host.
            || task.module.name == "pause";
        let fatal = task
            .context
            .innermost(|d| d.any_errors_fatal.as_ref())
            .map_or(world.settings.customs.any_errors_fatal, |node| node.as_bool() != Some(false));
        let throttled = task.context.innermost(|d| d.throttle.as_ref()).is_some();
        let module = task.module;
        let world_module = match (module.name, module.scope) {
            // Reading an archive that is not local may read from another host.
            ("unarchive" | "copy" | "template", ModuleScope::World) => true,
            // Flushes handlers, ends plays.
            ("meta", _) => true,
            (_, scope) => scope == ModuleScope::World,
        };
        let scope = if world_module || delegated || once || fatal || throttled {
            Scope::World
        } else {
            Scope::Host
        };
        let evaluation =
            if self.evaluates_others(world, task) { Scope::World } else { Scope::Host };
        let on_controller = module.runs == Runs::OnController;
        let in_turn = !on_controller && reads_own_items(world, task);
        let judged = task.failed_when.is_some()
            || task.until.is_some()
            || task.asynchronous.is_some()
            || in_turn
            // The controller stores what came, which may fail, or be seen by what is next.
            || module.name == "fetch"
            // Any name may be a fact that a program of the user's own brings.
            || task.own.is_some()
            || task
                .repeat
                .as_ref()
                .is_some_and(|repeat| repeat.pause.is_some() || !repeat.break_when.is_empty());
        // Where a failure ends the play, all hosts begin the task before any of them can fail.
        // Another session than the host's doesn't know of the host's failures, nor the other way.
        let elsewhere = delegated || task.context.innermost(|d| d.connection.as_ref()).is_some();
        // Items that are evaluated one after the other may all be skipped: the task is over at once
        // then, so nothing may be in flight before it.
        let alone = elsewhere || once || fatal || in_turn || (on_controller && world_module);
        let flow = match (alone, judged) {
            (true, _) => Flow::Alone,
            (false, true) => Flow::Judged,
            (false, false) => Flow::Streamed,
        };
        Class { scope, evaluation, flow, once }
    }

    fn evaluates_others(&mut self, world: &World, task: &Task) -> bool {
        let mut conditions: Vec<&Node> = Vec::new();
        let mut templates: Vec<&Node> = Vec::new();
        for context in task.context.chain() {
            let d = &context.directives;
            conditions.extend(&d.when);
            templates.extend(d.environment.iter());
            templates.extend(d.r#become.iter());
            templates.extend(d.become_user.iter());
            templates.extend(d.module_defaults.iter());
        }
        conditions.extend(task.changed_when.iter().flatten());
        conditions.extend(task.failed_when.iter().flatten());
        conditions.extend(task.until.iter().flatten());
        templates.extend(task.arguments.splat.iter());
        templates.extend(task.repeat.iter().map(|repeat| &repeat.over));
        for (key, value) in task.arguments.parameters.iter() {
            let lazy = matches!(
                (task.module.name, key.as_str()),
                ("assert", Some("that")) | ("debug", Some("var"))
            );
            if lazy { conditions.push(value) } else { templates.push(value) }
        }
        let lookup = task.repeat.as_ref().and_then(|repeat| repeat.lookup.as_deref());
        if lookup.is_some_and(|lookup| !is_quiet(lookup)) {
            return true;
        }
        conditions.iter().any(|node| self.node_reaches(world, node, TextKind::Condition))
            || templates.iter().any(|node| self.node_reaches(world, node, TextKind::Template))
            || self.file_reaches(world, task)
    }

    /// The file of a `template` task; a name that is itself a template is not known.
    fn file_reaches(&mut self, world: &World, task: &Task) -> bool {
        if task.module.name != "template" {
            return false;
        }
        let Some(source) = task.arguments.parameters.get("src").and_then(Node::as_str) else {
            return true;
        };
        if provision_template::text_has_template(source) {
            return true;
        }
        let folders = task.context.role().map(|role| role.role.folder.clone());
        let folders = folders
            .into_iter()
            .chain([task.folder.clone(), world.settings.playbook_folder.clone()]);
        for folder in folders {
            for path in [folder.join("templates").join(source), folder.join(source)] {
                if world.files.kind(&path).is_some() {
                    return self.template_reaches(world, &path);
                }
            }
        }
        true
    }

    fn template_reaches(&mut self, world: &World, path: &Path) -> bool {
        let Ok(text) = world.files.read_plain(path) else { return true };
        let reach = world.engine.names_in(&text, TextKind::File);
        self.reach_reaches(world, &reach) || !reach.includes.is_empty() || reach.dynamic_includes
    }

    fn node_reaches(&mut self, world: &World, node: &Node, kind: TextKind) -> bool {
        if kind == TextKind::Template && !provision_template::has_template(node) {
            return false;
        }
        if kind == TextKind::Condition
            && !matches!(node.value, NodeValue::String(_) | NodeValue::Sequence(_))
        {
            return false;
        }
        let reach = world.engine.names_in_node(node, kind);
        self.reach_reaches(world, &reach)
    }

    fn reach_reaches(&mut self, world: &World, reach: &provision_template::Reach) -> bool {
        if reach.dynamic || reach.lookups.iter().any(|lookup| !is_quiet(lookup)) {
            return true;
        }
        reach.names.iter().any(|name| self.name_reaches(world, name))
    }

    fn name_reaches(&mut self, world: &World, name: &str) -> bool {
        if OTHERS.contains(&name) {
            return true;
        }
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        // A cycle adds nothing that is not found on the way.
        self.known.insert(name.to_owned(), false);
        let definitions = self.definitions.get(name).cloned().unwrap_or_default();
        let reaches =
            definitions.iter().any(|node| self.node_reaches(world, node, TextKind::Template));
        self.known.insert(name.to_owned(), reaches);
        reaches
    }
}

/// Whether an item of a task's loop may read what the items before it brought: `set_fact` that adds
/// to a list, a condition on the registered result.
#[must_use]
pub fn reads_own_items(world: &World, task: &Task) -> bool {
    if task.repeat.is_none() {
        return false;
    }
    if task.module.name == "set_fact" {
        return true;
    }
    let Some((register, _)) = &task.register else { return false };
    let mentions = |node: &Node, kind: TextKind| {
        let reach = world.engine.names_in_node(node, kind);
        reach.dynamic || reach.names.contains(register)
    };
    let mut levels = task.context.chain().map(|context| &context.directives);
    levels.any(|d| {
        let templates = d.environment.iter().chain(&d.delegate_to).chain(&d.become_user);
        d.when.iter().any(|node| mentions(node, TextKind::Condition))
            || templates.into_iter().any(|node| mentions(node, TextKind::Template))
            || d.vars.iter().flat_map(|vars| vars.iter()).any(|(_, value)| {
                provision_template::has_template(value) && mentions(value, TextKind::Template)
            })
    }) || task.arguments.splat.iter().any(|node| mentions(node, TextKind::Template))
        || task.arguments.parameters.iter().any(|(_, value)| {
            provision_template::has_template(value) && mentions(value, TextKind::Template)
        })
}

fn is_quiet(lookup: &str) -> bool {
    let short = lookup.strip_prefix("ansible.builtin.").unwrap_or(lookup);
    QUIET_LOOKUPS.contains(&short)
}
