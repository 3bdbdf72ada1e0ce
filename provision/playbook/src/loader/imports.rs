//! What is inlined when loading: `import_tasks`, `import_role`, and the old `include`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use yaml::{Mapping, Node};

use crate::loader::action::Action;
use crate::loader::directives::constant_boolean;
use crate::loader::roles::RoleRequest;
use crate::loader::{IncludeManner, IncludedRole, Loader, RoleFiles, Step, Surroundings, present};
use crate::model::{Context, Directives, Item, Level};
use crate::paths;
use crate::templating::is_template;

impl Loader {
    /// `import_tasks`: the tasks of a file, with the import's keywords around them.
    pub(super) fn import_tasks(
        &mut self,
        mapping: &Mapping,
        action: Action,
        around: &Surroundings,
    ) -> Vec<Item> {
        self.check_import_keywords(mapping, &action);
        self.check_import_arguments(&action);
        let Some(file) = present(&action.arguments.parameters, "file") else {
            self.missing_argument(&action, action.span, "the file to import");
            return Vec::new();
        };
        let context = self.import_context(mapping, around);
        let Some(name) = self.import_name(file, &context, "include_tasks") else {
            return Vec::new();
        };
        let path = match self.find_tasks_file(&name, around, Import::Static) {
            Ok(path) => path,
            Err(tried) => {
                self.missing_import(&name, file.span, &tried);
                return Vec::new();
            }
        };
        self.imported_file(&path, file.span, context, around)
    }

    fn imported_file(
        &mut self,
        path: &Path,
        asked: Span,
        mut context: Context,
        around: &Surroundings,
    ) -> Vec<Item> {
        let Some(trail) = self.follow(around, paths::normal(path), asked) else {
            return Vec::new();
        };
        let folder = paths::folder(path);
        context.folder = Some(folder.clone());
        let inside = Surroundings {
            context: Arc::new(context),
            folder,
            trail,
            depth: around.depth + 1,
            handlers: around.handlers,
            rescued: around.rescued,
        };
        match self.list_file(path, Some(asked)) {
            Some(list) => self.items(&list, &inside),
            None => Vec::new(),
        }
    }

    /// The keywords that imported tasks inherit.
    fn import_context(&mut self, mapping: &Mapping, around: &Surroundings) -> Context {
        let directives = self.directives(mapping, around);
        let directives = Directives { retries: None, delay: None, ..directives };
        Context::inside(&around.context, Level::Task, directives)
    }

    /// The trail with one more step; reports a step that has been taken before.
    pub(super) fn follow(
        &mut self,
        around: &Surroundings,
        step: PathBuf,
        asked: Span,
    ) -> Option<Vec<Step>> {
        let earlier = around.trail.iter().find(|(path, _)| *path == step);
        if let Some((_, first)) = earlier {
            let chain: Vec<String> = around
                .trail
                .iter()
                .skip_while(|(path, _)| *path != step)
                .map(|(path, _)| path.display().to_string())
                .chain([step.display().to_string()])
                .collect();
            let message = format!("`{}` imports itself", step.display());
            let mut diagnostic = Diagnostic::error("import-cycle", message)
                .at(asked, "imported again here")
                .note(format!("the way round: {}", chain.join(" → ")))
                .hint(
                    "imports happen before the run; for recursion use `include_tasks` and `when`",
                );
            // Nobody imports the playbook of the command line.
            if let Some(first) = first {
                diagnostic = diagnostic.also(*first, "first imported here");
            }
            self.report(diagnostic);
            return None;
        }
        let mut trail = around.trail.clone();
        trail.push((step, Some(asked)));
        Some(trail)
    }

    /// A name of a file or role that must be known when loading.
    fn import_name(&mut self, node: &Node, context: &Context, dynamic: &str) -> Option<String> {
        match self.static_text(node, context) {
            Ok(name) => Some(name),
            Err(reason) => {
                self.report(
                    Diagnostic::error("dynamic-import", "an import must be known before the run")
                        .at(node.span, reason)
                        .note("imports know variables of the playbook, its roles and `-e` only")
                        .hint(format!("use `{dynamic}`")),
                );
                None
            }
        }
    }

    fn missing_import(&mut self, name: &str, asked: Span, tried: &[PathBuf]) {
        let hint = tried.iter().find_map(|path| self.similar_file(path));
        let searched: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
        self.report(
            Diagnostic::error("missing-file", format!("there is no file `{name}` to import"))
                .at(asked, "not found")
                .note(format!("searched: {}", searched.join(", ")))
                .hint_if(hint),
        );
    }

    /// `import_role`: the role's tasks, with the import's keywords around them.
    pub(super) fn import_role(
        &mut self,
        mapping: &Mapping,
        action: Action,
        around: &Surroundings,
    ) -> Vec<Item> {
        if around.handlers {
            self.role_as_handler(&action);
            return Vec::new();
        }
        self.check_import_keywords(mapping, &action);
        self.check_import_arguments(&action);
        let parameters = &action.arguments.parameters;
        let Some(name) = present(parameters, "name").or_else(|| present(parameters, "role")) else {
            self.missing_argument(&action, action.span, "the name of the role");
            return Vec::new();
        };
        let mut context = self.import_context(mapping, around);
        let Some(role_name) = self.import_name(name, &context, "include_role") else {
            return Vec::new();
        };
        let Some(from) = self.chosen_files(parameters, &context) else { return Vec::new() };
        let vars = context.directives.vars.take();
        let inside = Surroundings { context: Arc::new(context), ..around.clone() };
        let request = RoleRequest {
            name: role_name,
            span: name.span,
            directives: Directives { vars, ..Directives::default() },
            from,
            from_include: true,
            from_spans: from_spans(parameters),
            allow_duplicates: Some(
                self.static_flag(parameters, "allow_duplicates", &inside).unwrap_or(true),
            ),
            validate: self.static_flag(parameters, "rolespec_validate", &inside).unwrap_or(true),
            dependents: inside.context.role().into_iter().cloned().collect(),
            ..RoleRequest::default()
        };
        let public = self.static_flag(parameters, "public", &inside);
        let public = public.unwrap_or(!self.options.customs.keeps_role_variables);
        let Some(role) = self.load_role(request, &inside) else { return Vec::new() };
        self.play.imported_handlers.extend(role.handlers);
        if public {
            self.play.public_roles.push(role.role_use);
        }
        role.items
    }

    pub(super) fn role_as_handler(&mut self, action: &Action) {
        let name = action.module.name;
        self.report(
            Diagnostic::error("role-as-handler", format!("`{name}` can't be a handler"))
                .at(action.span, "not among handlers")
                .hint("use `include_tasks` with a file that includes the role"),
        );
    }

    /// A boolean, or a template that says it before the run.
    fn static_flag(&self, parameters: &Mapping, name: &str, around: &Surroundings) -> Option<bool> {
        let node = parameters.get(name)?;
        constant_boolean(Some(node)).or_else(|| {
            let text = self.static_text(node, &around.context).ok()?;
            constant_boolean(Some(&Node::string(node.span, text)))
        })
    }

    fn chosen_files(&mut self, parameters: &Mapping, context: &Context) -> Option<RoleFiles> {
        let mut get = |name: &str| match present(parameters, name) {
            None => Some(None),
            Some(node) => self.import_name(node, context, "include_role").map(Some),
        };
        Some(RoleFiles {
            tasks: get("tasks_from")?,
            vars: get("vars_from")?,
            defaults: get("defaults_from")?,
            handlers: get("handlers_from")?,
        })
    }

    /// `include_role` at run time.
    pub(crate) fn included_role(
        &mut self,
        name: &str,
        from: &RoleFiles,
        parent: &Arc<Context>,
        span: Span,
        manner: IncludeManner,
    ) -> Option<IncludedRole> {
        let around = Surroundings {
            context: Arc::clone(parent),
            folder: parent.playbook_folder().to_owned(),
            handlers: false,
            trail: Vec::new(),
            depth: 0,
            rescued: false,
        };
        let request = RoleRequest {
            name: name.to_owned(),
            span,
            from: from.clone(),
            from_include: true,
            allow_duplicates: Some(manner.allow_duplicates),
            validate: manner.validates,
            dependents: parent.role().into_iter().cloned().collect(),
            ..RoleRequest::default()
        };
        self.load_role(request, &around)
    }

    /// `include`, which guessed whether it was static.
    pub(super) fn old_include(
        &mut self,
        node: &Node,
        mapping: &Mapping,
        action: Action,
        around: &Surroundings,
    ) -> Vec<Item> {
        let file = present(&action.arguments.parameters, "file");
        let looped = mapping
            .iter()
            .filter_map(|(key, _)| key.as_str())
            .any(|key| key == "loop" || key.starts_with("with_"));
        let dynamic = looped || file.and_then(Node::as_str).is_some_and(is_template);
        let today = if dynamic { "include_tasks" } else { "import_tasks" };
        self.report(
            Diagnostic::warning("old-keyword", format!("`include` is called `{today}` today"))
                .at(action.span, "removed from ansible-core 2.16")
                .hint(format!("write `{today}`")),
        );
        if dynamic {
            return self.task(node, mapping, action, around).map(Item::Task).into_iter().collect();
        }
        self.import_tasks(mapping, action, around)
    }

    /// Arguments of imports are constants: the module table says what there is.
    fn check_import_arguments(&mut self, action: &Action) {
        for (key, _) in action.arguments.parameters.iter() {
            let name = key.as_str().unwrap_or_default();
            if name == "apply" {
                self.report(
                    Diagnostic::error(
                        "unknown-parameter",
                        format!("`{}` takes no `apply`", action.module.name),
                    )
                    .at(key.span, "for includes only")
                    .hint("put the keywords beside the import: the imported tasks inherit them"),
                );
            } else if action.module.parameter(name).is_none() {
                let names = action.module.parameters().map(|parameter| parameter.name);
                let closest = diagnostics::closest(name, names);
                let hint = match closest {
                    Some(closest) => format!("did you mean `{closest}`?"),
                    None => "give variables to the tasks below `vars:`".to_owned(),
                };
                self.report(
                    Diagnostic::error(
                        "unknown-parameter",
                        format!("`{}` has no parameter `{name}`", action.module.name),
                    )
                    .at(key.span, "unknown parameter")
                    .hint(hint),
                );
            }
        }
    }
}

/// Where `*_from` stand, by the folder they choose a file of.
fn from_spans(parameters: &Mapping) -> Vec<(&'static str, Span)> {
    let folders = ["tasks", "vars", "defaults", "handlers"].into_iter();
    folders
        .filter_map(|folder| Some((folder, parameters.get(&format!("{folder}_from"))?.span)))
        .collect()
}

/// Ansible searches differently for files that are imported and included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Import {
    Static,
    Dynamic,
}
