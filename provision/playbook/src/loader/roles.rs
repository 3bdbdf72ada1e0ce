//! Roles: where they are, what they hold, and what a use of one runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_protocol::modules;
use yaml::{Mapping, Node, NodeValue};

use crate::keywords::{self, Places};
use crate::loader::directives::constant_boolean;
use crate::loader::read::Loaded;
use crate::loader::{IncludedRole, Loader, RoleFiles, Step, Surroundings, present};
use crate::model::{
    Arguments, Context, Directives, Handler, Item, Level, Role, RoleIdentity, RoleUse, Task,
};
use crate::paths;
use crate::{canonical, model};

/// What a use of a role asks for.
#[derive(Debug)]
pub(super) struct RoleRequest {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) parameters: Arc<Mapping>,
    pub(super) directives: Directives,
    pub(super) from: RoleFiles,
    pub(super) from_include: bool,
    /// Overrides the role's own answer.
    pub(super) allow_duplicates: Option<bool>,
    /// Check the arguments against the role's specification.
    pub(super) validate: bool,
    /// The roles that need it, outermost first.
    pub(super) dependents: Vec<Arc<RoleUse>>,
    /// Where `*_from` stand, by the folder they choose a file of.
    pub(super) from_spans: Vec<(&'static str, Span)>,
    /// Folder of the roles beside the one that depends on it.
    pub(super) beside: Option<PathBuf>,
}

impl Default for RoleRequest {
    fn default() -> Self {
        RoleRequest {
            name: String::new(),
            span: Span::new(diagnostics::SourceId(u32::MAX), 0, 0),
            parameters: Arc::default(),
            directives: Directives::default(),
            from: RoleFiles::default(),
            from_include: false,
            allow_duplicates: None,
            validate: true,
            dependents: Vec::new(),
            from_spans: Vec::new(),
            beside: None,
        }
    }
}

impl RoleRequest {
    fn span_of(&self, subfolder: &str) -> Span {
        let found = self.from_spans.iter().find(|(folder, _)| *folder == subfolder);
        found.map_or(self.span, |(_, span)| *span)
    }
}

/// Endings under which a role's file may be stored, in Ansible's order.
const ENDINGS: [&str; 3] = [".yml", ".yaml", ".json"];

impl Loader {
    /// An entry of `roles:` or of `dependencies:`.
    pub(super) fn role_entry(
        &mut self,
        node: &Node,
        dependents: &[Arc<RoleUse>],
        beside: Option<PathBuf>,
        around: &Surroundings,
    ) -> Option<IncludedRole> {
        let mut request =
            RoleRequest { dependents: dependents.to_vec(), beside, ..RoleRequest::default() };
        match &node.value {
            NodeValue::String(_) | NodeValue::Integer(_) => {
                request.name = self.role_name(node, around)?;
                request.span = node.span;
            }
            NodeValue::Mapping(mapping) => {
                let name = ["role", "name", "src"].iter().find_map(|key| present(mapping, key));
                let Some(name) = name else {
                    self.report(
                        Diagnostic::error("no-role", "the entry names no role")
                            .at(crate::loader::blocks::head(node, mapping), "`role:` is missing")
                            .hint("write `- role: NAME`"),
                    );
                    return None;
                };
                request.name = self.role_name(name, around)?;
                request.span = name.span;
                let is_keyword = |key: &str| keywords::find(key, Places::ROLE).is_some();
                self.check_keywords(mapping, Places::ROLE, |key| !is_keyword(key));
                self.check_port(mapping);
                request.directives = self.directives(mapping, around);
                request.parameters = Arc::new(role_parameters(mapping));
                self.check_variables(&Arc::clone(&request.parameters));
            }
            _ => {
                self.report(
                    Diagnostic::error(
                        "wrong-type",
                        format!("a role is a name or a mapping, not {}", node.kind()),
                    )
                    .at(node.span, "expected a role"),
                );
                return None;
            }
        }
        self.load_role(request, around)
    }

    /// Ansible takes `port` of a role as the SSH port, which surprises everybody.
    fn check_port(&mut self, mapping: &Mapping) {
        if let Some((key, _)) = mapping.get_entry("port") {
            self.report(
                Diagnostic::warning("role-port", "`port` is a keyword here, not a parameter")
                    .at(key.span, "the SSH port for the tasks of the role")
                    .hint("put a variable of this name below `vars:`"),
            );
        }
    }

    fn role_name(&mut self, node: &Node, around: &Surroundings) -> Option<String> {
        match self.static_text(node, &around.context) {
            Ok(name) if name.contains(',') => {
                self.report(
                    Diagnostic::error("old-role", "a role is named without version or source")
                        .at(node.span, "has a comma")
                        .hint("install the role first and name it alone"),
                );
                None
            }
            Ok(name) => Some(name),
            Err(reason) => {
                self.report(
                    Diagnostic::error("dynamic-import", "a role must be known before the run")
                        .at(node.span, reason)
                        .hint("use `include_role` among the tasks"),
                );
                None
            }
        }
    }

    /// A role with its dependencies before it.
    pub(super) fn load_role(
        &mut self,
        request: RoleRequest,
        around: &Surroundings,
    ) -> Option<IncludedRole> {
        if !self.enter(request.span) {
            return None;
        }
        let folder = self.find_role(&request, &around.context)?;
        let step = folder.join("tasks").join(request.from.tasks.as_deref().unwrap_or("main"));
        let trail = self.follow_role(around, paths::normal(&step), &request)?;
        let meta = self.meta(&folder, request.span);
        let role = self.role(&request, &folder, &meta);
        let alone = self.role_use(&request, &role);
        let inside = |role_use: &Arc<RoleUse>, folder: PathBuf| {
            let mut context =
                Context::inside(&around.context, Level::Role, request.directives.clone());
            context.role = Some(Arc::clone(role_use));
            Surroundings {
                context: Arc::new(context),
                folder,
                handlers: false,
                trail: trail.clone(),
                depth: around.depth + 1,
                rescued: around.rescued,
            }
        };
        let mut dependents = request.dependents.clone();
        dependents.push(Arc::clone(&alone));
        let outside = inside(&alone, folder.clone());
        let (mut items, mut handlers, mut dependencies) = (Vec::new(), Vec::new(), Vec::new());
        for entry in meta.get("dependencies").and_then(Node::as_sequence).unwrap_or_default() {
            let beside = folder.parent().map(Path::to_owned);
            let dependency = self.role_entry(entry, &dependents, beside, &outside);
            let Some(dependency) = dependency else { continue };
            items.extend(dependency.items);
            handlers.extend(dependency.handlers);
            dependencies.push(dependency.role_use);
        }
        let role_use = Arc::new(RoleUse { dependencies, ..RoleUse::clone(&alone) });
        let around = inside(&role_use, folder.join("tasks"));
        items.extend(self.own_items(&request, &role, &around));
        items.push(Item::RoleEnd(Arc::clone(&role_use)));
        let around = Surroundings { folder: folder.join("handlers"), ..around };
        handlers.extend(self.own_handlers(&request, &folder, &around));
        Some(IncludedRole { role_use, items, handlers })
    }

    /// The trail with one more role; reports a role that needs itself.
    fn follow_role(
        &mut self,
        around: &Surroundings,
        step: PathBuf,
        request: &RoleRequest,
    ) -> Option<Vec<Step>> {
        if let Some((_, first)) = around.trail.iter().find(|(path, _)| *path == step) {
            let name = &request.name;
            let message = format!("the role `{name}` needs itself");
            let mut diagnostic = Diagnostic::error("role-cycle", message)
                .at(request.span, "needed again here")
                .hint("remove one of the dependencies or imports that form the circle");
            if let Some(first) = first {
                diagnostic = diagnostic.also(*first, "first needed here");
            }
            self.report(diagnostic);
            return None;
        }
        let mut trail = around.trail.clone();
        trail.push((step, Some(request.span)));
        Some(trail)
    }

    fn own_items(
        &mut self,
        request: &RoleRequest,
        role: &Arc<Role>,
        around: &Surroundings,
    ) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        if request.validate {
            items.extend(self.validation(request, role, around));
        }
        let file = self.role_file(
            &role.folder,
            "tasks",
            request.from.tasks.as_deref(),
            request.span_of("tasks"),
        );
        if let Some(file) = file {
            let around = Surroundings { folder: paths::folder(&file), ..around.clone() };
            if let Some(list) = self.list_file(&file, Some(request.span)) {
                items.extend(self.items(&list, &around));
            }
        }
        items
    }

    fn own_handlers(
        &mut self,
        request: &RoleRequest,
        folder: &Path,
        around: &Surroundings,
    ) -> Vec<Arc<Handler>> {
        let from = request.from.handlers.as_deref();
        let Some(file) = self.role_file(folder, "handlers", from, request.span_of("handlers"))
        else {
            return Vec::new();
        };
        match self.list_file(&file, Some(request.span)) {
            Some(list) => self.handler_list(&list, around),
            None => Vec::new(),
        }
    }

    /// The task that checks a role's variables against its specification.
    fn validation(
        &mut self,
        request: &RoleRequest,
        role: &Arc<Role>,
        around: &Surroundings,
    ) -> Option<Item> {
        let entry_point = request.from.tasks.as_deref().unwrap_or("main");
        let specification = role.argument_specs.as_ref()?.as_mapping()?.get(entry_point)?;
        let mapping = specification.as_mapping()?;
        let module = modules::find("validate_argument_spec")?;
        let span = request.span;
        let text = |text: &str| Node::string(span, text);
        let map = |entries: Vec<(&str, Node)>| {
            let entries = entries.into_iter().map(|(key, value)| (text(key), value)).collect();
            Mapping { entries }
        };
        let options = mapping.get("options").cloned();
        let options = options.unwrap_or(Node::new(span, NodeValue::Mapping(Mapping::default())));
        let about = map(vec![
            ("type", text("role")),
            // Of a role in a collection: its own name.
            ("name", text(role.name.rsplit('.').next().unwrap_or(&role.name))),
            ("argument_spec_name", text(entry_point)),
            ("path", text(&role.folder.display().to_string())),
        ]);
        let parameters = map(vec![
            ("argument_spec", options),
            (
                "provided_arguments",
                Node::new(span, NodeValue::Mapping(Mapping::clone(&request.parameters))),
            ),
            ("validate_args_context", Node::new(span, NodeValue::Mapping(about))),
        ]);
        let mut name = format!("Validating arguments against arg spec '{entry_point}'");
        if let Some(description) = mapping.get("short_description").and_then(Node::as_str) {
            name = format!("{name} - {description}");
        }
        let directives = Directives { tags: vec!["always".to_owned()], ..Directives::default() };
        let context = Context::inside(&around.context, Level::Task, directives);
        Some(Item::Task(Arc::new(Task {
            id: self.new_task(),
            span,
            name: Some(text(&name)),
            module,
            module_written: "ansible.builtin.validate_argument_spec".to_owned(),
            own: None,
            module_span: span,
            arguments: Arguments { parameters, splat: None },
            context: Arc::new(context),
            repeat: None,
            register: None,
            notify: Vec::new(),
            changed_when: None,
            failed_when: None,
            until: None,
            asynchronous: None,
            poll: None,
            include: None,
            folder: around.folder.clone(),
        })))
    }

    fn role_use(&mut self, request: &RoleRequest, role: &Arc<Role>) -> Arc<RoleUse> {
        let key = canonical::role_use(
            &role.folder,
            &request.parameters,
            &request.directives,
            &request.from,
            request.from_include,
        );
        let next = RoleIdentity(u32::try_from(self.identities.len()).unwrap_or(u32::MAX));
        let identity = *self.identities.entry(key).or_insert(next);
        Arc::new(RoleUse {
            role: Arc::clone(role),
            parameters: Arc::clone(&request.parameters),
            dependents: request.dependents.clone(),
            dependencies: Vec::new(),
            span: request.span,
            identity,
            from_include: request.from_include,
            allow_duplicates: request.allow_duplicates.unwrap_or(role.allow_duplicates),
        })
    }

    /// The folder of a role, by Ansible's order: `roles/` beside the playbook, the configured
    /// folders, beside the role that depends on it, the playbook's folder, the name as a path.
    fn find_role(&mut self, request: &RoleRequest, context: &Context) -> Option<PathBuf> {
        let name = request.name.as_str();
        let playbook = context.playbook_folder().to_owned();
        let mut places = vec![playbook.join("roles")];
        places.extend(self.options.roles_path.iter().cloned());
        places.extend(request.beside.clone());
        places.push(playbook);
        let of_collections = self.in_collections(name, context.playbook_folder());
        let plain = places.iter().map(|place| place.join(name)).chain([PathBuf::from(name)]);
        let candidates = of_collections.iter().cloned().chain(plain);
        let found = candidates.map(|path| paths::normal(&path)).find(|path| self.is_folder(path));
        if found.is_none() || name.is_empty() {
            match of_collections.is_empty() {
                true => self.missing_role(name, request.span, &places),
                false => self.missing_role(name, request.span, &of_collections),
            }
            return None;
        }
        found
    }

    /// Where `namespace.collection.role` may be; nothing for other names.
    fn in_collections(&self, name: &str, playbook: &Path) -> Vec<PathBuf> {
        let mut parts = name.splitn(3, '.');
        let (Some(space), Some(collection), Some(role)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Vec::new();
        };
        let beside = playbook.join("collections");
        let places = std::iter::once(&beside).chain(&self.options.collections_path);
        places
            .map(|place| {
                place
                    .join("ansible_collections")
                    .join(space)
                    .join(collection)
                    .join("roles")
                    .join(role)
            })
            .collect()
    }

    fn missing_role(&mut self, name: &str, span: Span, places: &[PathBuf]) {
        let entries: Vec<PathBuf> = places
            .iter()
            .flat_map(|place| self.files.list(place))
            .filter(|entry| self.is_folder(entry))
            .collect();
        let names = entries.iter().filter_map(|entry| entry.file_name()?.to_str());
        let hint = match diagnostics::closest(name, names) {
            Some(closest) => Some(format!("did you mean `{closest}`?")),
            None => self.required_in(name),
        };
        let searched: Vec<String> = places
            .iter()
            .map(|place| match place.as_os_str().is_empty() {
                true => ".".to_owned(),
                false => place.display().to_string(),
            })
            .collect();
        self.report(
            Diagnostic::error("missing-role", format!("there is no role `{name}`"))
                .at(span, "not found")
                .note(format!("searched in: {}", searched.join(", ")))
                .hint_if(hint),
        );
    }

    /// What installs a role that a file of requirements names.
    fn required_in(&self, name: &str) -> Option<String> {
        let collection = name.rsplit_once('.').map_or(name, |(collection, _)| collection);
        let file = crate::requirements::FILES.iter().find(|file| {
            let text = self.files.read(Path::new(file)).unwrap_or_default();
            text.contains(name) || (collection.contains('.') && text.contains(collection))
        })?;
        Some(format!("{file} names it: `ansible-galaxy install -r {file}`"))
    }

    /// The role's own data; loaded once for each choice of files.
    fn role(&mut self, request: &RoleRequest, folder: &Path, meta: &Mapping) -> Arc<Role> {
        let key = (paths::normal(folder), request.from.clone());
        if let Some(role) = self.roles.get(&key).filter(|role| role.name == request.name) {
            return Arc::clone(role);
        }
        let from = &request.from;
        let vars =
            self.role_variables(folder, "vars", from.vars.as_deref(), request.span_of("vars"));
        let defaults = self.role_variables(
            folder,
            "defaults",
            from.defaults.as_deref(),
            request.span_of("defaults"),
        );
        let role = Arc::new(Role {
            name: request.name.clone(),
            folder: folder.to_owned(),
            defaults: Arc::new(defaults),
            vars: Arc::new(vars),
            argument_specs: self.argument_specs(folder, meta, request.span),
            allow_duplicates: constant_boolean(meta.get("allow_duplicates")).unwrap_or(false),
        });
        self.roles.insert(key, Arc::clone(&role));
        role
    }

    fn argument_specs(&mut self, folder: &Path, meta: &Mapping, asked: Span) -> Option<Node> {
        let files =
            ENDINGS.iter().map(|ending| folder.join(format!("meta/argument_specs{ending}")));
        let file = files.into_iter().find(|file| self.files.kind(file).is_some());
        let Some(file) = file else { return present(meta, "argument_specs").cloned() };
        match self.document(&file, Some(asked)) {
            Loaded::Document(node) => {
                node.as_mapping().and_then(|mapping| present(mapping, "argument_specs")).cloned()
            }
            Loaded::Empty(_) | Loaded::Failed => None,
        }
    }

    /// `meta/main.yml`, empty if there is none.
    fn meta(&mut self, folder: &Path, asked: Span) -> Mapping {
        const KNOWN: &[&str] = &[
            "allow_duplicates",
            "argument_specs",
            "collections",
            "dependencies",
            "galaxy_info",
            "standalone",
        ];
        let Some(file) = self.existing(folder, "meta", &main_names()) else {
            return Mapping::default();
        };
        let Loaded::Document(node) = self.document(&file, Some(asked)) else {
            return Mapping::default();
        };
        let Some(mapping) = node.as_mapping() else {
            self.report(
                Diagnostic::error(
                    "not-a-mapping",
                    format!("a role's meta data is a mapping, not {}", node.kind()),
                )
                .at(node.span.slice(0, 0), "expected `galaxy_info:` or `dependencies:`"),
            );
            return Mapping::default();
        };
        for (key, _) in mapping.iter() {
            let name = key.as_str().unwrap_or_default();
            if !KNOWN.contains(&name) && keywords::find(name, Places::ROLE).is_none() {
                let closest = diagnostics::closest(name, KNOWN.iter().copied());
                self.report(
                    Diagnostic::error(
                        "unknown-keyword",
                        format!("`{name}` is not a keyword of a role's meta data"),
                    )
                    .at(key.span, "unknown keyword")
                    .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
                );
            }
        }
        let dependencies = present(mapping, "dependencies");
        if let Some(node) = dependencies.filter(|node| node.as_sequence().is_none()) {
            self.report(
                Diagnostic::error(
                    "wrong-type",
                    format!("`dependencies` takes a list, not {}", node.kind()),
                )
                .at(node.span, "expected a list of roles"),
            );
        }
        mapping.clone()
    }

    /// A file of a role: `main`, or the one that `*_from` names.
    fn role_file(
        &mut self,
        folder: &Path,
        subfolder: &str,
        from: Option<&str>,
        span: Span,
    ) -> Option<PathBuf> {
        let Some(from) = from else { return self.existing(folder, subfolder, &main_names()) };
        let inside = folder.join(subfolder);
        let names = from_names(from);
        let found = self.existing(folder, subfolder, &names);
        if let Some(outside) = found.as_ref().filter(|file| !paths::is_below(file, &inside)) {
            self.outside_of_role(outside, &inside, span);
            return None;
        }
        // A role without the subfolder has nothing to choose from (Ansible's `_load_role_yaml`).
        if found.is_none() && self.is_folder(&inside) {
            let hint = self.similar_file(&inside.join(format!("{from}.yml")));
            self.report(
                Diagnostic::error(
                    "missing-file",
                    format!("there is no file `{from}` in `{}`", inside.display()),
                )
                .at(span, format!("the role has no such file under `{subfolder}/`"))
                .hint_if(hint),
            );
        }
        found
    }

    fn outside_of_role(&mut self, file: &Path, inside: &Path, span: Span) {
        let role = inside.parent().and_then(Path::file_name).unwrap_or_default();
        self.report(
            Diagnostic::error(
                "outside-of-role",
                format!(
                    "Failed loading '{}' for role ({}) as it is not inside the expected role path: \
                     '{}'",
                    file.display(),
                    role.to_string_lossy(),
                    inside.display()
                ),
            )
            .at(span, "a file of somebody else")
            .hint("use `include_tasks`, or `vars_files` and `include_vars`, for files elsewhere"),
        );
    }

    fn existing(&self, folder: &Path, subfolder: &str, names: &[String]) -> Option<PathBuf> {
        names
            .iter()
            .map(|name| folder.join(subfolder).join(name))
            .find(|path| self.files.kind(path) == Some(crate::files::FileKind::File))
    }

    /// `vars` or `defaults`: a file, or all files of a folder of that name, merged.
    fn role_variables(
        &mut self,
        folder: &Path,
        subfolder: &str,
        from: Option<&str>,
        span: Span,
    ) -> Mapping {
        let names = from.map_or_else(main_names, from_names);
        let inside = folder.join(subfolder);
        let found =
            names.iter().map(|name| inside.join(name)).find(|path| self.files.kind(path).is_some());
        let Some(found) = found.filter(|path| paths::is_below(path, &inside)) else {
            if from.is_some() {
                self.role_file(folder, subfolder, from, span);
            }
            return Mapping::default();
        };
        let mut files = Vec::new();
        if self.is_folder(&found) {
            self.variable_files(&found, &mut files, 0);
        } else {
            files.push(found);
        }
        let mut merged = Mapping::default();
        for file in files {
            let mapping = self.variables_file(&file, Some(span));
            model::overlay(&mut merged, &mapping);
        }
        merged
    }

    /// Files of variables below a folder: no hidden ones, no backups, known endings.
    fn variable_files(&self, folder: &Path, files: &mut Vec<PathBuf>, depth: usize) {
        const DEPTH_MOST: usize = 16;
        for entry in self.files.list(folder) {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let ending = entry.extension().and_then(|ending| ending.to_str());
            if self.is_folder(&entry) {
                if ending.is_none() && depth < DEPTH_MOST {
                    self.variable_files(&entry, files, depth + 1);
                }
            } else if matches!(ending, None | Some("yml" | "yaml" | "json")) {
                files.push(entry);
            }
        }
    }
}

fn main_names() -> Vec<String> {
    ENDINGS.iter().map(|ending| format!("main{ending}")).chain(["main".to_owned()]).collect()
}

fn from_names(from: &str) -> Vec<String> {
    let endings = ENDINGS.iter().map(|ending| format!("{from}{ending}"));
    std::iter::once(from.to_owned()).chain(endings).collect()
}

/// What stands in a role entry besides keywords.
fn role_parameters(mapping: &Mapping) -> Mapping {
    const OF_GALAXY: &[&str] = &["src", "scm", "version"];
    let own = mapping.iter().filter(|(key, _)| {
        key.as_str().is_none_or(|name| {
            keywords::find(name, Places::ROLE).is_none() && !OF_GALAXY.contains(&name)
        })
    });
    Mapping { entries: own.map(|(key, value)| (key.clone(), value.clone())).collect() }
}
