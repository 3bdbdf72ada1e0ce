//! What a task depends on, through variables and template files: the scope of its evaluation.
//!
//! Everything that can't be known counts as the worst: other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use yaml::{Mapping, Node, NodeValue};

use crate::check::files::has_own_brackets;
use crate::check::survey::constant;
use crate::expressions::expressions;
use crate::loader::Loader;
use crate::model::{Context, RoleUse, Task};
use crate::templating::{Reach, TextKind};

/// All definitions of each name, wherever they come from; several of one name all count.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    values: BTreeMap<String, Vec<Arc<Node>>>,
    /// Whether groups may change while the play runs (`add_host`, `group_by`).
    pub groups_change: bool,
}

impl Definitions {
    /// Adds a definition.
    pub fn add(&mut self, name: &str, value: Arc<Node>) {
        let values = self.values.entry(name.to_owned()).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }

    /// Adds all variables of a mapping.
    pub fn add_mapping(&mut self, mapping: &Mapping) {
        for (key, value) in mapping.iter() {
            if let Some(name) = key.as_str() {
                self.add(name, Arc::new(value.clone()));
            }
        }
    }

    /// Adds the variables of a context and of the roles in it.
    pub fn add_context(&mut self, context: &Context) {
        for level in context.chain() {
            if let Some(vars) = &level.directives.vars {
                self.add_mapping(vars);
            }
            if let Some(role) = &level.role {
                self.add_role(role);
            }
        }
    }

    /// Adds the variables of a role and of those around it.
    pub fn add_role(&mut self, role: &Arc<RoleUse>) {
        for role in role.dependents.iter().chain(&role.dependencies).chain([role]) {
            self.add_mapping(&role.parameters);
            self.add_mapping(&role.role.vars);
            self.add_mapping(&role.role.defaults);
        }
    }

    /// Definitions of a name.
    #[must_use]
    pub fn of(&self, name: &str) -> &[Arc<Node>] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Why an evaluation may see other hosts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorldReason {
    /// A variable that shows other hosts.
    Variable(String),
    /// A lookup that reaches outside.
    Lookup(String),
    /// Names that are computed.
    Computed,
    /// A template file whose name or text isn't known.
    Template,
}

/// What an evaluation reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// All names, directly or through definitions.
    pub names: BTreeSet<String>,
    /// Why it may see other hosts; `None`: it can't.
    pub world: Option<WorldReason>,
}

/// Variables through which a host sees others.
const WORLD_NAMES: &[&str] = &[
    "hostvars",
    "vars",
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_batch",
    "play_hosts",
];

/// Variables that do so only if groups change during the run.
const GROUP_NAMES: &[&str] = &["groups", "group_names"];

/// Lookups that read nothing but the controller's files and their arguments. The template crate
/// says which names `vars` and which files `template` reaches. Names that `vars`
/// and files that `template` reaches are found by the template crate.
const HARMLESS_LOOKUPS: &[&str] = &[
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
    "items",
    "template",
    "varnames",
    "vars",
    "list",
    "nested",
    "cartesian",
    "random_choice",
    "sequence",
    "subelements",
    "together",
    "unvault",
];

impl Loader {
    /// What a task's evaluation reaches: its expressions, the variables they use, the variables
    /// those use, and the template file that it renders.
    pub fn reach_of_task(&mut self, task: &Task, definitions: &Definitions) -> Reached {
        let mut walk = Walk::new(definitions, Some(task));
        for expression in expressions(task) {
            self.reach_node(expression.node, expression.kind, &mut walk);
        }
        if let Some(lookup) = task.repeat.as_ref().and_then(|repeat| repeat.lookup.as_deref()) {
            match lookup {
                "vars" | "varnames" => walk.world(WorldReason::Computed),
                "template" => walk.world(WorldReason::Template),
                _ => walk.lookup(lookup),
            }
        }
        if task.module.name == "template" {
            match task.arguments.parameters.get("src").and_then(constant) {
                Some(src) if !has_own_brackets(task) => self.reach_template(src, &mut walk),
                _ => walk.world(WorldReason::Template),
            }
        }
        walk.reached
    }

    /// The same for a value alone, such as a handler's name.
    pub fn reach_of_value(
        &mut self,
        node: &Node,
        kind: TextKind,
        definitions: &Definitions,
    ) -> Reached {
        let mut walk = Walk::new(definitions, None);
        self.reach_node(node, kind, &mut walk);
        walk.reached
    }

    fn reach_node(&mut self, node: &Node, kind: TextKind, walk: &mut Walk<'_>) {
        if node.is_data() {
            return;
        }
        match &node.value {
            NodeValue::String(text) => {
                let reach = self.templates().reach(text, kind);
                self.follow_reach(reach, walk);
            }
            NodeValue::Sequence(items) => {
                for item in items {
                    self.reach_node(item, kind, walk);
                }
            }
            NodeValue::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    self.reach_node(key, TextKind::Template, walk);
                    self.reach_node(value, kind, walk);
                }
            }
            _ => {}
        }
    }

    fn follow_reach(&mut self, reach: Reach, walk: &mut Walk<'_>) {
        if reach.dynamic {
            walk.world(WorldReason::Computed);
        }
        if reach.dynamic_includes {
            walk.world(WorldReason::Template);
        }
        for lookup in &reach.lookups {
            walk.lookup(lookup);
        }
        for include in &reach.includes {
            self.reach_template(include, walk);
        }
        for name in reach.names {
            if !walk.name(&name) {
                continue;
            }
            for value in walk.definitions.of(&name).to_vec() {
                self.reach_node(&value, TextKind::Template, walk);
            }
        }
    }

    fn reach_template(&mut self, name: &str, walk: &mut Walk<'_>) {
        let found = walk.task.and_then(|task| self.search(task, "templates", name).ok());
        let Some(path) = found else {
            walk.world(WorldReason::Template);
            return;
        };
        if !walk.files.insert(path.clone()) {
            return;
        }
        match self.template_reach(&path) {
            Some(reach) => self.follow_reach(reach, walk),
            None => walk.world(WorldReason::Template),
        }
    }

    fn template_reach(&mut self, path: &Path) -> Option<Reach> {
        let (text, _) = self.template_text(path)?;
        Some(self.templates().reach(&text, TextKind::File))
    }
}

struct Walk<'a> {
    reached: Reached,
    files: BTreeSet<std::path::PathBuf>,
    definitions: &'a Definitions,
    task: Option<&'a Task>,
}

impl<'a> Walk<'a> {
    fn new(definitions: &'a Definitions, task: Option<&'a Task>) -> Self {
        Walk { reached: Reached::default(), files: BTreeSet::new(), definitions, task }
    }

    fn world(&mut self, reason: WorldReason) {
        self.reached.world.get_or_insert(reason);
    }

    /// Notes a name; whether it is new.
    fn name(&mut self, name: &str) -> bool {
        let groups = self.definitions.groups_change && GROUP_NAMES.contains(&name);
        if WORLD_NAMES.contains(&name) || groups {
            self.world(WorldReason::Variable(name.to_owned()));
        }
        self.reached.names.insert(name.to_owned())
    }

    fn lookup(&mut self, name: &str) {
        let short = name.rsplit('.').next().unwrap_or(name);
        if !HARMLESS_LOOKUPS.contains(&short) {
            self.world(WorldReason::Lookup(name.to_owned()));
        }
    }
}
