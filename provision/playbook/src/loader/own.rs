//! Which program a task calls: a module of this program, or one of the user's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_protocol::modules::{self, ModuleSpec, Runs};
use provision_template::PluginKind;
use yaml::{Mapping, Node};

use crate::files::Files;
use crate::loader::{Loader, Surroundings};
use crate::model::Context;
use crate::own::{OwnModule, OwnPlaces};
use crate::paths::normal;
use crate::templating::{Fault, TextKind};

/// What a module's name names.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) module: &'static ModuleSpec,
    pub(super) own: Option<Arc<OwnModule>>,
}

impl Loader {
    /// The module of this name, as a task in these surroundings sees it: a program of the user's
    /// own before a built-in module, as in Ansible; one of a collection after it.
    pub(super) fn called(
        &mut self,
        name: &str,
        span: Span,
        around: &Surroundings,
    ) -> Option<Called> {
        let built_in = modules::find(name);
        let places = self.own_places(around);
        let of_collection =
            name.splitn(3, '.').count() == 3 && !name.starts_with("ansible.legacy.");
        // Our own implementation needs no Python on hosts.
        let own = match (built_in, of_collection) {
            (Some(_), true) => None,
            _ => self.find_own(|files, list| places.find(files, list, name)),
        };
        match (built_in, own) {
            (Some(module), Some(own)) => Some(self.own_or_built_in(module, own, span)),
            (Some(module), None) => Some(Called { module, own: None }),
            (None, Some(own)) => Some(Called { module: &modules::OWN, own: Some(Arc::new(own)) }),
            (None, None) => {
                let more = around.context.innermost(|level| level.collections.as_ref());
                let more = more.and_then(Node::as_sequence).unwrap_or_default();
                let more: Vec<String> =
                    more.iter().filter_map(Node::as_str).map(str::to_owned).collect();
                let own = self.find_own(|files, list| places.find_nearby(files, list, name, &more));
                own.map(|own| Called { module: &modules::OWN, own: Some(Arc::new(own)) })
            }
        }
    }

    /// Where programs are looked for: also in the roles of the play and those loaded so far.
    fn own_places(&self, around: &Surroundings) -> OwnPlaces {
        let loaded = self.roles.keys().map(|(folder, _)| folder);
        let roles: Vec<PathBuf> = self.play.role_folders.iter().chain(loaded).cloned().collect();
        OwnPlaces::around(&around.context, &roles, &self.options.own)
    }

    /// The first syntax error of a text; filters and tests of the user's own are none.
    pub(crate) fn fault_of(&mut self, text: &str, kind: TextKind) -> Option<Fault> {
        loop {
            let fault = self.templates().check(text, kind)?;
            let Some(name) = &fault.unknown else { return Some(fault) };
            if !self.has_plugin(name) {
                return Some(fault);
            }
            self.templates().admit(name);
        }
    }

    /// Folders that may have folders of plugins: of playbooks and roles so far.
    #[must_use]
    pub fn plugin_roots(&self) -> Vec<PathBuf> {
        let loaded = self.roles.keys().map(|(folder, _)| folder);
        let all = self.folders.iter().chain(&self.play.role_folders).chain(loaded);
        all.cloned().collect()
    }

    /// Whether a file of the user's own that may bring a filter or test has its name as a text. What
    /// it really brings is known only to Python, which nobody starts to read a playbook.
    fn has_plugin(&mut self, name: &str) -> bool {
        let roots = self.plugin_roots();
        let own = &self.options.own;
        let mut folders = own.plugin_folders(&roots, name, PluginKind::Filter);
        folders.extend(own.plugin_folders(&roots, name, PluginKind::Test));
        let short = name.rsplit('.').next().unwrap_or(name);
        let texts = [format!("'{short}'"), format!("\"{short}\"")];
        let files = Arc::clone(&self.files);
        folders.iter().any(|folder| {
            let known = self.listings.entry(folder.to_owned());
            let listed = known.or_insert_with(|| files.list(folder));
            let mut programs =
                listed.iter().filter(|path| path.extension().is_some_and(|it| it == "py"));
            programs.any(|path| {
                // A file of one plugin, as collections have them, has its name.
                path.file_stem().is_some_and(|stem| stem == short)
                    || files.read(path).is_ok_and(|it| texts.iter().any(|text| it.contains(text)))
            })
        })
    }

    /// Folders of the roles that a play names, as far as they can be known before they are loaded.
    pub(super) fn named_roles(&self, play: &Mapping, context: &Context) -> Vec<PathBuf> {
        let entries = play.get("roles").and_then(Node::as_sequence).unwrap_or_default();
        let names = entries.iter().filter_map(|entry| {
            let inner = entry.as_mapping().and_then(|all| all.get("role").or(all.get("name")));
            inner.unwrap_or(entry).as_str()
        });
        let mut places = vec![context.playbook_folder().join("roles")];
        places.extend(self.options.roles_path.iter().cloned());
        names
            .filter_map(|name| {
                let folders = places.iter().map(|place| normal(&place.join(name)));
                folders.into_iter().find(|folder| self.is_folder(folder))
            })
            .collect()
    }

    /// Whether a name names a module around here; nothing is told.
    pub(super) fn is_known_module(&mut self, name: &str, around: &Surroundings) -> bool {
        if modules::find(name).is_some() {
            return true;
        }
        let places = self.own_places(around);
        self.find_own(|files, list| places.find(files, list, name)).is_some()
    }

    fn find_own(
        &mut self,
        find: impl FnOnce(&dyn Files, &mut dyn FnMut(&Path) -> Vec<PathBuf>) -> Option<OwnModule>,
    ) -> Option<OwnModule> {
        let files = Arc::clone(&self.files);
        let listings = &mut self.listings;
        let mut list = |folder: &Path| {
            let known = listings.entry(folder.to_owned());
            known.or_insert_with(|| files.list(folder)).clone()
        };
        find(files.as_ref(), &mut list)
    }

    /// A program of the user's own that has the name of a built-in module. Where Ansible's own
    /// part on the controller decides, that is never run; where it prepares what the host's part
    /// does, a program can't take its place here.
    fn own_or_built_in(
        &mut self,
        module: &'static ModuleSpec,
        own: OwnModule,
        span: Span,
    ) -> Called {
        let path = own.path.display().to_string();
        let name = module.name;
        if self.told_own.insert(own.path.clone()) {
            let diagnostic = match module.runs {
                Runs::OnHost => Diagnostic::warning(
                    "own-module",
                    format!("{path} is run instead of the built-in module `{name}`"),
                )
                .at(span, "here first")
                .hint(format!("`ansible.builtin.{name}` is always the built-in one")),
                Runs::OnConnection | Runs::OnController => Diagnostic::warning(
                    "own-module",
                    format!("{path} is never run: `{name}` acts on the controller"),
                )
                .at(span, "the built-in one")
                .hint("give the module another name"),
                Runs::Prepared => Diagnostic::error(
                    "own-module",
                    format!("{path} can't stand for `{name}`, whose files the controller sends"),
                )
                .at(span, "which of them is meant?")
                .hint(format!("write `ansible.builtin.{name}`, or give the module another name")),
            };
            self.report(diagnostic);
        }
        match module.runs {
            Runs::OnHost => Called { module: &modules::OWN, own: Some(Arc::new(own)) },
            Runs::OnConnection | Runs::OnController | Runs::Prepared => {
                Called { module, own: None }
            }
        }
    }
}
