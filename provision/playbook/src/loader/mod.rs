//! Texts to typed plays: reads the files, inlines static imports, reports everything that is
//! wrong with a place and a hint. Never panics, whatever the files hold; connects nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use yaml::{Mapping, Node};

use crate::check::{KnownNames, Survey, softened};
use crate::customs::Customs;
use crate::files::{Files, MapFiles};
use crate::model::{
    Context, Handler, Item, Level, Playbook, Role, RoleIdentity, RoleUse, Task, TaskId,
};
use crate::own::OwnPaths;
use crate::paths;
use crate::reach::Definitions;
use crate::templating::{Dialect, Templates};

mod action;
mod blocks;
mod directives;
mod handlers;
mod imports;
mod own;
mod plays;
mod prompts;
mod read;
mod roles;
mod search;
mod statics;
mod tasks;
mod types;

pub(crate) use directives::constant_boolean;

/// What the caller decides about loading.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Whose rules apply.
    pub dialect: Dialect,
    /// Folders with roles besides `roles/` beside the playbook, in the order of the search.
    pub roles_path: Vec<PathBuf>,
    /// Folders with collections (`ansible_collections/NAMESPACE/NAME`), whose roles can be used.
    pub collections_path: Vec<PathBuf>,
    /// Variables from the command line: static imports may use them in file names.
    pub extra_variables: Arc<Mapping>,
    /// Notified handlers also run on hosts that failed, whatever plays say (`--force-handlers`).
    pub force_handlers: bool,
    /// What ansible.cfg changes.
    pub customs: Customs,
    /// Folders with modules of the user's own.
    pub own: OwnPaths,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            dialect: Dialect::Classic,
            roles_path: Vec::new(),
            collections_path: Vec::new(),
            extra_variables: Arc::default(),
            force_handlers: false,
            customs: Customs::default(),
            own: OwnPaths::default(),
        }
    }
}

/// Which files of a role count instead of `main`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoleFiles {
    /// Under `tasks/`.
    pub tasks: Option<String>,
    /// Under `vars/`.
    pub vars: Option<String>,
    /// Under `defaults/`.
    pub defaults: Option<String>,
    /// Under `handlers/`.
    pub handlers: Option<String>,
}

/// How a role is included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncludeManner {
    /// Whether it runs although it has run before.
    pub allow_duplicates: bool,
    /// Whether its arguments are checked against its specification.
    pub validates: bool,
}

impl Default for IncludeManner {
    fn default() -> Self {
        IncludeManner { allow_duplicates: true, validates: true }
    }
}

/// A role that `include_role` brought in.
#[derive(Debug, Clone)]
pub struct IncludedRole {
    /// The use of it.
    pub role_use: Arc<RoleUse>,
    /// Its tasks, after those of its dependencies; ends with [`Item::RoleEnd`].
    pub items: Vec<Item>,
    /// Its handlers, to be added after those of the play.
    pub handlers: Vec<Arc<Handler>>,
}

/// Loads playbooks and what they include.
pub struct Loader {
    files: Arc<dyn Files + Send + Sync>,
    options: LoadOptions,
    sources: Sources,
    documents: BTreeMap<PathBuf, read::Loaded>,
    roles: BTreeMap<(PathBuf, RoleFiles), Arc<Role>>,
    identities: BTreeMap<String, RoleIdentity>,
    next_task: u32,
    /// How many tasks, blocks, imports and roles this call has gone through.
    entries: u32,
    /// Topics of the handlers among the tasks loaded so far.
    listens: BTreeMap<TaskId, Vec<Node>>,
    reported: Vec<Diagnostic>,
    play: PlayState,
    templates: Arc<Templates>,
    /// Template files by path; `None`: unreadable.
    template_files: BTreeMap<PathBuf, Option<(Arc<str>, SourceId)>>,
    /// Names and topics of handlers that could not be loaded.
    lost_handlers: Vec<String>,
    /// Whether the last playbook had errors.
    is_broken: bool,
    /// What the plays of the last playbook can run.
    surveys: Vec<Survey>,
    /// Contents of the constant `vars_files` of all plays so far.
    play_variables: Vec<Arc<Mapping>>,
    /// Folders that may have modules of the user's own, and what is in them.
    listings: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Folders of the playbooks so far.
    folders: Vec<PathBuf>,
    /// Modules of the user's own that stand for built-in ones and have been told.
    told_own: BTreeSet<PathBuf>,
}

/// What loading a play collects along the way.
#[derive(Debug, Default)]
struct PlayState {
    /// Handlers of roles that were imported by tasks.
    imported_handlers: Vec<Arc<Handler>>,
    /// Roles whose variables the whole play sees.
    public_roles: Vec<Arc<RoleUse>>,
    /// Contents of constant `vars_files`.
    variables: Vec<Arc<Mapping>>,
    /// Folders of the roles that the play names: modules that they bring are there for all.
    role_folders: Vec<PathBuf>,
}

/// A file or role that is being imported, and where that is asked for; nowhere for the playbook of
/// the command line.
type Step = (PathBuf, Option<Span>);

/// Where the loader is: what new tasks inherit and where they look for files.
#[derive(Debug, Clone)]
struct Surroundings {
    context: Arc<Context>,
    /// Folder of the file being read.
    folder: PathBuf,
    /// Whether these are handlers.
    handlers: bool,
    /// Files and roles being imported, outermost first, to notice one that imports itself.
    trail: Vec<Step>,
    /// Blocks inside blocks.
    depth: usize,
    /// Whether a rescue section takes failures.
    rescued: bool,
}

/// How deep imports, roles and blocks may nest: far above what people write, low enough for
/// the stack.
const DEPTH_MOST: usize = 64;

/// How many tasks, blocks, imports and roles one load may go through: static imports can double
/// with every level, and a few lines would fill the memory.
const ENTRIES_MOST: u32 = 50_000;

impl Loader {
    /// A loader that reads through `files`.
    #[must_use]
    pub fn new(files: Arc<dyn Files + Send + Sync>, options: LoadOptions) -> Self {
        let templates = Arc::new(Templates::new(options.dialect));
        Loader {
            files,
            options,
            templates,
            template_files: BTreeMap::new(),
            lost_handlers: Vec::new(),
            is_broken: false,
            surveys: Vec::new(),
            play_variables: Vec::new(),
            sources: Sources::default(),
            documents: BTreeMap::new(),
            roles: BTreeMap::new(),
            identities: BTreeMap::new(),
            next_task: 0,
            entries: 0,
            listens: BTreeMap::new(),
            reported: Vec::new(),
            play: PlayState::default(),
            listings: BTreeMap::new(),
            folders: Vec::new(),
            told_own: BTreeSet::new(),
        }
    }

    /// All texts loaded so far: spans point into them.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// For others who load texts (inventory, extra variables) into the same run.
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// How it loads.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// The options, for extra variables that are read through this loader.
    pub fn options_mut(&mut self) -> &mut LoadOptions {
        &mut self.options
    }

    /// Loads a playbook with everything it imports statically, and everything wrong with it.
    pub fn playbook(&mut self, path: &Path) -> (Playbook, Vec<Diagnostic>) {
        self.lost_handlers.clear();
        self.play_variables.clear();
        let plays = self.plays(path);
        let mut surveys = Vec::new();
        for play in &plays {
            let survey = self.survey(play);
            self.check_files(&survey);
            self.check_notifications(&survey);
            surveys.push(survey);
        }
        self.surveys = surveys;
        self.is_broken = self.reported.iter().any(Diagnostic::is_error);
        (Playbook { path: path.to_owned(), plays }, self.take_reported())
    }

    /// Names that tasks of the playbook just loaded certainly use and that nobody defines.
    /// `known` are those from the inventory and the command line. Nothing if the playbook had
    /// errors: what could not be loaded may define them.
    pub fn undefined(&mut self, playbook: &Playbook, known: &KnownNames) -> Vec<Diagnostic> {
        if self.is_broken {
            return Vec::new();
        }
        let surveys = std::mem::take(&mut self.surveys);
        let plays = playbook.plays.iter().map(Arc::as_ref).zip(&surveys);
        self.check_names(&plays.collect::<Vec<_>>(), known);
        self.surveys = surveys;
        self.take_reported()
    }

    /// All definitions in the playbook just loaded, for [`Loader::reach_of_task`]; the caller adds
    /// those of the inventory and the command line.
    #[must_use]
    pub fn definitions(&self) -> Definitions {
        let mut definitions = Definitions::default();
        for survey in &self.surveys {
            survey.define(&mut definitions);
        }
        for file in &self.play_variables {
            definitions.add_mapping(file);
        }
        definitions
    }

    /// Loads a file of tasks for `include_tasks`. The parent is
    /// [`crate::model::Task::included_context`] of the including task, or a level inside of it.
    ///
    /// # Errors
    /// Everything that is wrong with it; warnings alone are no error and are dropped.
    pub fn tasks(
        &mut self,
        path: &Path,
        parent: &Arc<Context>,
    ) -> Result<Vec<Item>, Vec<Diagnostic>> {
        let items = self.included_items(path, parent, Listing::Tasks, None);
        self.unless_errors(items)
    }

    /// Loads a file of handlers for an `include_tasks` that is a handler.
    ///
    /// # Errors
    /// Everything that is wrong with it; warnings alone are no error and are dropped.
    pub fn handlers(
        &mut self,
        path: &Path,
        parent: &Arc<Context>,
    ) -> Result<Vec<Arc<Handler>>, Vec<Diagnostic>> {
        let items = self.included_items(path, parent, Listing::Handlers, None);
        let handlers = self.handlers_of(items);
        self.unless_errors(handlers)
    }

    /// Handlers and public roles that `import_role` has brought in since the last call while
    /// tasks, handlers or roles were included at run time; the play gets them.
    pub fn take_imported(&mut self) -> (Vec<Arc<Handler>>, Vec<Arc<RoleUse>>) {
        let PlayState { imported_handlers, public_roles, .. } = std::mem::take(&mut self.play);
        (imported_handlers, public_roles)
    }

    /// Loads a role for `include_role`. The parent is
    /// [`crate::model::Task::included_context`] of the including task.
    ///
    /// # Errors
    /// Everything that is wrong with it; warnings alone are no error and are dropped.
    pub fn include_role(
        &mut self,
        name: &str,
        from: &RoleFiles,
        parent: &Arc<Context>,
        span: Span,
        manner: IncludeManner,
    ) -> Result<IncludedRole, Vec<Diagnostic>> {
        let role = self.included_role(name, from, parent, span, manner);
        match role {
            Some(role) => self.unless_errors(role),
            None => Err(self.take_reported()),
        }
    }

    /// Loads a file of variables: a mapping in YAML or JSON; an empty file is an empty mapping.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn variables(&mut self, path: &Path) -> Result<Arc<Mapping>, Vec<Diagnostic>> {
        let mapping = self.variables_file(path, None);
        self.unless_errors(Arc::new(mapping))
    }

    fn unless_errors<T>(&mut self, value: T) -> Result<T, Vec<Diagnostic>> {
        let reported = self.take_reported();
        if reported.iter().any(Diagnostic::is_error) { Err(reported) } else { Ok(value) }
    }

    /// All tasks that the playbook just loaded may run, as far as they are known.
    #[must_use]
    pub fn surveyed(&self) -> Vec<Arc<Task>> {
        let tasks = self.surveys.iter().flat_map(|survey| &survey.tasks);
        tasks.map(|surveyed| Arc::clone(&surveyed.task)).collect()
    }

    /// What the plays of the last playbook can run.
    pub(crate) fn surveys(&self) -> &[Survey] {
        &self.surveys
    }

    pub(crate) fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    pub(crate) fn templates(&self) -> Arc<Templates> {
        Arc::clone(&self.templates)
    }

    /// Whether a handler of this name exists but could not be loaded, or may be in something
    /// that could not.
    pub(crate) fn may_be_lost(&self, name: &str) -> bool {
        const HIDE_HANDLERS: &[&str] = &[
            "missing-role",
            "missing-file",
            "role-cycle",
            "import-cycle",
            "dynamic-import",
            "old-role",
        ];
        let has = |lost: &String| name == lost || name.ends_with(&format!(" : {lost}"));
        self.lost_handlers.iter().any(has)
            || self.reported.iter().any(|found| {
                found.is_error()
                    && (HIDE_HANDLERS.contains(&found.code) || found.code.starts_with("yaml"))
            })
    }

    pub(crate) fn variables_of_plays(&self) -> Vec<Arc<Mapping>> {
        self.play_variables.clone()
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        // A file that is imported twice would say everything twice.
        if !self.reported.contains(&diagnostic) {
            self.reported.push(diagnostic);
        }
    }

    /// Loads something that may fail without harm: its errors are warnings.
    pub(crate) fn leniently<T>(&mut self, lenient: bool, load: impl FnOnce(&mut Loader) -> T) -> T {
        let before = self.reported.len();
        let loaded = load(self);
        if lenient {
            for diagnostic in self.reported.iter_mut().skip(before) {
                *diagnostic = softened(diagnostic.clone());
            }
        }
        loaded
    }

    /// What was said about this place is a warning.
    fn soften_at(&mut self, span: Span) {
        let here = |diagnostic: &Diagnostic| {
            diagnostic.primary.as_ref().is_some_and(|label| label.span == span)
        };
        for diagnostic in self.reported.iter_mut().filter(|diagnostic| here(diagnostic)) {
            *diagnostic = softened(diagnostic.clone());
        }
    }

    pub(crate) fn take_reported(&mut self) -> Vec<Diagnostic> {
        self.entries = 0;
        let mut reported = std::mem::take(&mut self.reported);
        reported.sort_by_key(|diagnostic| {
            diagnostic.primary.as_ref().map(|label| (label.span.source, label.span.start))
        });
        reported
    }

    fn new_task(&mut self) -> TaskId {
        let id = TaskId(self.next_task);
        self.next_task = self.next_task.saturating_add(1);
        id
    }

    /// Counts one more entry; `false` if that was too many.
    fn enter(&mut self, span: Span) -> bool {
        self.entries = self.entries.saturating_add(1);
        if self.entries == ENTRIES_MOST {
            self.report(
                Diagnostic::error(
                    "too-many-tasks",
                    format!("there are over {ENTRIES_MOST} tasks, blocks and roles"),
                )
                .at(span, "the one too many")
                .hint("imports double with every level: use `include_tasks` or a loop"),
            );
        }
        self.entries < ENTRIES_MOST
    }

    /// The tasks of an included file; what is wrong is reported.
    pub(crate) fn tasks_inside(
        &mut self,
        path: &Path,
        parent: &Arc<Context>,
        asked: Span,
    ) -> Vec<Item> {
        self.included_items(path, parent, Listing::Tasks, Some(asked))
    }

    /// The handlers of an included file; what is wrong is reported.
    pub(crate) fn handlers_inside(
        &mut self,
        path: &Path,
        parent: &Arc<Context>,
        asked: Span,
    ) -> Vec<Arc<Handler>> {
        let items = self.included_items(path, parent, Listing::Handlers, Some(asked));
        self.handlers_of(items)
    }

    /// What a file of tasks that is included at run time holds.
    fn included_items(
        &mut self,
        path: &Path,
        parent: &Arc<Context>,
        listing: Listing,
        asked: Option<Span>,
    ) -> Vec<Item> {
        let folder = paths::folder(path);
        let mut context = Context::inside(parent, Level::Include, Default::default());
        context.folder = Some(folder.clone());
        let around = Surroundings {
            context: Arc::new(context),
            folder,
            handlers: listing == Listing::Handlers,
            trail: Vec::new(),
            depth: 0,
            rescued: false,
        };
        match self.list_file(path, asked) {
            Some(list) => self.items(&list, &around),
            None => Vec::new(),
        }
    }
}

/// What a list of tasks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Tasks,
    Handlers,
}

/// Loads `site.yml` from files in memory with every check: the entry for fuzzing and examples.
#[must_use]
pub fn load_from_map(texts: BTreeMap<PathBuf, String>) -> (Playbook, Vec<Diagnostic>, Sources) {
    let mut loader = Loader::new(Arc::new(MapFiles::new(texts)), LoadOptions::default());
    let (playbook, mut found) = loader.playbook(Path::new("site.yml"));
    found.extend(loader.undefined(&playbook, &KnownNames::default()));
    let mut definitions = loader.definitions();
    definitions.groups_change = false;
    for task in loader.surveyed() {
        loader.reach_of_task(&task, &definitions);
    }
    (playbook, found, loader.sources)
}

/// A value that is there: null counts as absent, as in Ansible.
fn present<'a>(mapping: &'a Mapping, key: &str) -> Option<&'a Node> {
    mapping.get(key).filter(|node| !node.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_that_double_with_every_level_end() {
        let import = |name: &str| format!("- import_tasks: {name}\n");
        let mut texts = BTreeMap::new();
        texts.insert("site.yml".into(), "- hosts: all\n  tasks: [import_tasks: f0]\n".to_owned());
        for level in 0..20 {
            let next = import(&format!("f{}", level + 1));
            texts.insert(PathBuf::from(format!("f{level}")), next.repeat(2));
        }
        texts.insert("f20".into(), "- debug: msg=1\n".to_owned());
        let mut loader = Loader::new(Arc::new(MapFiles::new(texts)), LoadOptions::default());
        // Most of the way is behind it already, so that the test is quick.
        loader.entries = ENTRIES_MOST - 1000;
        let (_, found) = loader.playbook(Path::new("site.yml"));
        assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["too-many-tasks"]);
    }
}
