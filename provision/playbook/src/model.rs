//! Typed plays: what a playbook means before any variable is known.
//!
//! Static imports are already inlined. Keywords are inherited through a chain of [`Context`]s:
//! the innermost wins for most of them, `when`, `tags` and `environment` add up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::Span;
use provision_protocol::modules::ModuleSpec;
use yaml::{Mapping, Node};

use crate::own::OwnModule;

/// All plays of a playbook and those it imports, in order.
#[derive(Debug, Clone, Default)]
pub struct Playbook {
    /// Path as given.
    pub path: PathBuf,
    /// The plays.
    pub plays: Vec<Arc<Play>>,
}

/// One play.
#[derive(Debug, Clone)]
pub struct Play {
    /// Name as written; may be a template over extra variables.
    pub name: Option<Node>,
    /// The whole mapping's first line.
    pub span: Span,
    /// Folder of the playbook file (search path for files, vars_files, group_vars).
    pub folder: PathBuf,
    /// Host pattern: text or a list of texts; may be a template.
    pub hosts: Node,
    /// Play-level keywords; the root of every context of the play.
    pub context: Arc<Context>,
    /// `gather_facts`.
    pub gather_facts: Option<Node>,
    /// `gather_subset`.
    pub gather_subset: Option<Node>,
    /// `gather_timeout`.
    pub gather_timeout: Option<Node>,
    /// `fact_path`.
    pub fact_path: Option<Node>,
    /// `vars_files`: each entry a path or a list of paths of which the first found counts.
    pub vars_files: Vec<Node>,
    /// `vars_prompt`.
    pub vars_prompt: Vec<Prompt>,
    /// `serial`: batch sizes or percentages.
    pub serial: Vec<Node>,
    /// `max_fail_percentage`.
    pub max_fail_percentage: Option<Node>,
    /// `order`.
    pub order: Option<Node>,
    /// `when` of the `import_playbook` statements around it: guards fact gathering, too. Items
    /// already inherit it.
    pub included_when: Vec<Node>,
    /// `strategy`.
    pub strategy: Strategy,
    /// `strategy`, if it is a template: it says which when the play begins.
    pub strategy_template: Option<Node>,
    /// What runs: pre_tasks, flush, roles, tasks, flush, post_tasks, flush. Flushes are items.
    pub items: Vec<Item>,
    /// All handlers in definition order (the play's after its roles', as Ansible orders them).
    pub handlers: Vec<Arc<Handler>>,
    /// Roles from `roles:` and static imports whose defaults and vars the whole play sees.
    pub roles: Vec<Arc<RoleUse>>,
}

/// Order in which hosts take tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// All hosts finish a task before the next begins.
    #[default]
    Linear,
    /// Each host goes as fast as it can.
    Free,
    /// As free.
    HostPinned,
}

impl Strategy {
    /// The strategy of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name.strip_prefix("ansible.builtin.").unwrap_or(name) {
            "linear" => Some(Strategy::Linear),
            "free" => Some(Strategy::Free),
            "host_pinned" => Some(Strategy::HostPinned),
            _ => None,
        }
    }
}

/// One entry of `vars_prompt`.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Variable to set.
    pub name: String,
    /// Question.
    pub prompt: Option<Node>,
    /// Value for an empty answer.
    pub default: Option<Node>,
    /// Do not echo (the default).
    pub private: bool,
    /// Ask twice.
    pub confirm: bool,
    /// Where.
    pub span: Span,
}

/// Something that runs.
#[derive(Debug, Clone)]
pub enum Item {
    /// A task.
    Task(Arc<Task>),
    /// A block.
    Block(Arc<Block>),
    /// An implicit flush of handlers between sections.
    Flush,
    /// End of a role's tasks (Ansible's implicit `role_complete`).
    RoleEnd(Arc<RoleUse>),
}

/// Tasks with rescue and always.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its keywords; parent of its items' contexts.
    pub context: Arc<Context>,
    /// Name.
    pub name: Option<Node>,
    /// Where.
    pub span: Span,
    /// `block`.
    pub items: Vec<Item>,
    /// `rescue`.
    pub rescue: Vec<Item>,
    /// `always`.
    pub always: Vec<Item>,
}

/// One task: a module call with keywords.
#[derive(Debug, Clone)]
pub struct Task {
    /// Number within the loaded program; unique.
    pub id: TaskId,
    /// Where its mapping begins.
    pub span: Span,
    /// `name`.
    pub name: Option<Node>,
    /// Module.
    pub module: &'static ModuleSpec,
    /// Module name as written, for messages.
    pub module_written: String,
    /// Where the module name stands.
    pub module_span: Span,
    /// The program, if the module is one of the user's own.
    pub own: Option<Arc<OwnModule>>,
    /// Arguments.
    pub arguments: Arguments,
    /// Own keywords, chained to the enclosing block, role and play.
    pub context: Arc<Context>,
    /// `loop` or `with_*`.
    pub repeat: Option<Loop>,
    /// `register`.
    pub register: Option<(String, Span)>,
    /// `notify` of this task or the innermost enclosing level that has one.
    pub notify: Vec<Node>,
    /// `changed_when`: all must hold.
    pub changed_when: Option<Vec<Node>>,
    /// `failed_when`: all must hold.
    pub failed_when: Option<Vec<Node>>,
    /// `until`: all must hold.
    pub until: Option<Vec<Node>>,
    /// `async`, in seconds.
    pub asynchronous: Option<Node>,
    /// `poll`, in seconds.
    pub poll: Option<Node>,
    /// For `include_*` and `import_role`: what to include.
    pub include: Option<Include>,
    /// Where the tasks of this file look for relative files besides the role's and play's
    /// folders.
    pub folder: PathBuf,
}

/// Identifies a task within one loaded program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// A module's arguments before evaluation.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// Named arguments; `k=v` words and free-form text are already parsed into this (free-form
    /// text under the parameter that the module table names). Values may be templates.
    pub parameters: Mapping,
    /// A template that evaluates to a mapping of further arguments (`args: "{{ x }}"`).
    pub splat: Option<Node>,
}

/// A loop.
#[derive(Debug, Clone)]
pub struct Loop {
    /// `None` for `loop`; the lookup's name for `with_NAME`.
    pub lookup: Option<String>,
    /// The list or the lookup's terms.
    pub over: Node,
    /// `loop_control.loop_var`.
    pub variable: Option<Node>,
    /// `loop_control.index_var`.
    pub index_variable: Option<Node>,
    /// `loop_control.label`.
    pub label: Option<Node>,
    /// `loop_control.pause`, in seconds.
    pub pause: Option<Node>,
    /// `loop_control.extended`.
    pub extended: Option<Node>,
    /// `loop_control.extended_allitems`.
    pub extended_all_items: Option<Node>,
    /// `loop_control.break_when`.
    pub break_when: Vec<Node>,
}

/// A dynamic include.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are few includes")]
pub enum Include {
    /// `include_tasks`.
    Tasks {
        /// File; may be a template.
        file: Node,
        /// Keywords for the included tasks.
        apply: Option<Arc<Directives>>,
    },
    /// `include_role`.
    Role {
        /// Role; may be a template.
        name: Node,
        /// `tasks_from`.
        tasks_from: Option<Node>,
        /// `vars_from`.
        vars_from: Option<Node>,
        /// `defaults_from`.
        defaults_from: Option<Node>,
        /// `handlers_from`.
        handlers_from: Option<Node>,
        /// Keywords for the included tasks.
        apply: Option<Arc<Directives>>,
        /// `public`.
        public: Option<Node>,
        /// `allow_duplicates`.
        allow_duplicates: Option<Node>,
        /// `rolespec_validate`.
        validates: Option<Node>,
    },
}

impl Include {
    /// Keywords for what is included.
    #[must_use]
    pub fn apply(&self) -> Option<&Arc<Directives>> {
        match self {
            Include::Tasks { apply, .. } | Include::Role { apply, .. } => apply.as_ref(),
        }
    }
}

/// A handler: a task that runs when notified.
#[derive(Debug, Clone)]
pub struct Handler {
    /// The task; an include is possible.
    pub task: Arc<Task>,
    /// Topics it listens to, besides its name.
    pub listen: Vec<Node>,
}

/// A level of keywords, chained to the enclosing one.
#[derive(Debug, Clone)]
pub struct Context {
    /// Enclosing level.
    pub parent: Option<Arc<Context>>,
    /// What kind of level this is.
    pub level: Level,
    /// Keywords of this level.
    pub directives: Directives,
    /// The role that begins at this level.
    pub role: Option<Arc<RoleUse>>,
    /// The folder of the file whose content begins at this level: the playbook's for a play, the
    /// included file's for an include or import. Relative includes look there.
    pub folder: Option<PathBuf>,
}

/// Kinds of [`Context`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A play.
    Play,
    /// A role entry, import or include: only `vars`, `when`, `tags`… of the entry itself.
    Role,
    /// A block.
    Block,
    /// A task, including a static `import_tasks` whose keywords its tasks inherit.
    Task,
    /// Variables (and `apply`) of a dynamic include.
    Include,
}

impl Task {
    /// The context in which the tasks of a dynamic include are loaded: its `vars`, then what it
    /// applies, inside of what encloses it. Its other keywords are for the include alone.
    #[must_use]
    pub fn included_context(&self) -> Arc<Context> {
        let vars =
            Directives { vars: self.context.directives.vars.clone(), ..Directives::default() };
        let include = Context {
            parent: self.context.parent.clone(),
            level: Level::Include,
            directives: vars,
            role: None,
            folder: None,
        };
        let include = Arc::new(include);
        match self.include.as_ref().and_then(Include::apply) {
            Some(apply) => {
                let directives = Directives::clone(apply);
                Arc::new(Context::inside(&include, Level::Include, directives))
            }
            None => include,
        }
    }
}

impl Handler {
    /// Whether a notification means this handler's name, with or without its role before it.
    #[must_use]
    pub fn is_named(&self, notification: &str) -> bool {
        self.task
            .name
            .as_ref()
            .and_then(Node::as_str)
            .is_some_and(|name| self.is_meant_by(name, notification))
    }

    /// Whether it listens to a topic, with or without its role before it.
    #[must_use]
    pub fn listens_to(&self, notification: &str) -> bool {
        self.listen
            .iter()
            .filter_map(Node::as_str)
            .any(|topic| self.is_meant_by(topic, notification))
    }

    /// Whether a notification means this handler, `name` being one of its names or topics.
    #[must_use]
    pub fn is_meant_by(&self, name: &str, notification: &str) -> bool {
        notification == name
            || self.task.context.role().is_some_and(|role| {
                let full = role.role.name.as_str();
                // A role of a collection also goes by its own name.
                let own = full.rsplit('.').next().unwrap_or(full);
                [full, own].iter().any(|role| {
                    let rest = notification.strip_prefix(role);
                    rest.and_then(|rest| rest.strip_prefix(" : ")) == Some(name)
                })
            })
    }
}

impl Context {
    /// A level without keywords inside of another.
    #[must_use]
    pub fn inside(parent: &Arc<Context>, level: Level, directives: Directives) -> Self {
        Context { parent: Some(Arc::clone(parent)), level, directives, role: None, folder: None }
    }

    /// Folder of the playbook that the play stands in.
    #[must_use]
    pub fn playbook_folder(&self) -> &Path {
        self.chain()
            .filter(|context| context.level == Level::Play)
            .find_map(|context| context.folder.as_deref())
            .unwrap_or(Path::new(""))
    }

    /// All tags, the outermost first.
    #[must_use]
    pub fn tags(&self) -> Vec<&str> {
        let levels: Vec<&Context> = self.chain().collect();
        let outer_first = levels.iter().rev();
        outer_first.flat_map(|level| level.directives.tags.iter().map(String::as_str)).collect()
    }

    /// This level and the enclosing ones, innermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Context> {
        std::iter::successors(Some(self), |context| context.parent.as_deref())
    }

    /// The innermost value of a keyword.
    pub fn innermost<'a, T>(
        &'a self,
        keyword: impl Fn(&'a Directives) -> Option<&'a T>,
    ) -> Option<&'a T> {
        self.chain().find_map(|context| keyword(&context.directives))
    }

    /// The role that this belongs to.
    #[must_use]
    pub fn role(&self) -> Option<&Arc<RoleUse>> {
        self.chain().find_map(|context| context.role.as_ref())
    }
}

/// Keywords that plays, roles, blocks and tasks have in common. Values may be templates.
#[derive(Debug, Clone, Default)]
pub struct Directives {
    /// `when`: all must hold.
    pub when: Vec<Node>,
    /// `tags`.
    pub tags: Vec<String>,
    /// `vars`.
    pub vars: Option<Arc<Mapping>>,
    /// `environment`: a mapping, a template, or a list of these.
    pub environment: Option<Node>,
    /// `become`.
    pub r#become: Option<Node>,
    /// `become_user`.
    pub become_user: Option<Node>,
    /// `become_method`.
    pub become_method: Option<Node>,
    /// `become_flags`.
    pub become_flags: Option<Node>,
    /// `delegate_to`.
    pub delegate_to: Option<Node>,
    /// `delegate_facts`.
    pub delegate_facts: Option<Node>,
    /// `run_once`.
    pub run_once: Option<Node>,
    /// `ignore_errors`.
    pub ignore_errors: Option<Node>,
    /// `ignore_unreachable`.
    pub ignore_unreachable: Option<Node>,
    /// `any_errors_fatal`.
    pub any_errors_fatal: Option<Node>,
    /// `check_mode`.
    pub check_mode: Option<Node>,
    /// `diff`.
    pub diff: Option<Node>,
    /// `no_log`.
    pub no_log: Option<Node>,
    /// `throttle`.
    pub throttle: Option<Node>,
    /// `notify`.
    pub notify: Option<Vec<Node>>,
    /// `timeout`, in seconds.
    pub timeout: Option<Node>,
    /// `retries`.
    pub retries: Option<Node>,
    /// `delay`, in seconds.
    pub delay: Option<Node>,
    /// `connection`.
    pub connection: Option<Node>,
    /// `remote_user`.
    pub remote_user: Option<Node>,
    /// `port`.
    pub port: Option<Node>,
    /// `collections`: where short names of modules are looked for last.
    pub collections: Option<Node>,
    /// `module_defaults`.
    pub module_defaults: Option<Node>,
}

/// A role as loaded from its folder.
#[derive(Debug, Clone)]
pub struct Role {
    /// Name as users say it.
    pub name: String,
    /// Folder.
    pub folder: PathBuf,
    /// `defaults/`.
    pub defaults: Arc<Mapping>,
    /// `vars/`.
    pub vars: Arc<Mapping>,
    /// `meta/argument_specs.yml`, entry points to specifications.
    pub argument_specs: Option<Node>,
    /// `meta/main.yml: allow_duplicates`.
    pub allow_duplicates: bool,
}

/// One use of a role.
#[derive(Debug, Clone)]
pub struct RoleUse {
    /// The role.
    pub role: Arc<Role>,
    /// Parameters given where it is used.
    pub parameters: Arc<Mapping>,
    /// Roles that depend on it, outermost first; their variables are visible in it.
    pub dependents: Vec<Arc<RoleUse>>,
    /// Roles it depends on (directly); their vars and defaults are visible in it.
    pub dependencies: Vec<Arc<RoleUse>>,
    /// Where it is used.
    pub span: Span,
    /// Uses with the same number are the same to Ansible (role, parameters, `vars`, `when`,
    /// `tags`, `*_from`): once one of them has run to its end on a host, the others are skipped
    /// there unless duplicates are allowed.
    pub identity: RoleIdentity,
    /// Whether it comes from `import_role` or `include_role`.
    pub from_include: bool,
    /// Whether a second use runs again: `allow_duplicates` of the role's meta data, or of the
    /// import or include.
    pub allow_duplicates: bool,
}

/// Says which uses of roles are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleIdentity(pub u32);

/// Puts all keys of `upper` over those of `lower`; new ones come last.
pub fn overlay(lower: &mut Mapping, upper: &Mapping) {
    for (key, value) in upper.iter() {
        match lower.entries.iter_mut().find(|(old, _)| old.value == key.value) {
            Some(entry) => *entry = (key.clone(), value.clone()),
            None => lower.entries.push((key.clone(), value.clone())),
        }
    }
}
