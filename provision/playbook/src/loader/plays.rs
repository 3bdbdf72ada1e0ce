//! Playbooks and plays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use provision_protocol::modules;
use yaml::{Mapping, Node};

use crate::arguments::split;
use crate::keywords::Places;
use crate::loader::blocks::head;
use crate::loader::directives::{constant_boolean, list};
use crate::loader::read::Loaded;
use crate::loader::{Loader, PlayState, Step, Surroundings, present};
use crate::model::{Block, Context, Directives, Item, Level, Play, RoleUse, Strategy, overlay};
use crate::paths;
use crate::templating::is_template;

/// What `import_playbook` statements hand on to the plays.
#[derive(Debug, Clone, Default)]
struct Inherited {
    vars: Mapping,
    tags: Vec<String>,
    when: Vec<Node>,
    trail: Vec<Step>,
}

/// The old and new names of `import_playbook`.
const IMPORTS: [&str; 4] = [
    "import_playbook",
    "ansible.builtin.import_playbook",
    "ansible.legacy.import_playbook",
    "include",
];

impl Loader {
    /// All plays of a playbook.
    pub(super) fn plays(&mut self, path: &Path) -> Vec<Arc<Play>> {
        let inherited =
            Inherited { trail: vec![(paths::normal(path), None)], ..Inherited::default() };
        self.plays_of(path, None, &inherited)
    }

    fn plays_of(
        &mut self,
        path: &Path,
        asked: Option<Span>,
        inherited: &Inherited,
    ) -> Vec<Arc<Play>> {
        let folder_of = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder_of = folder_of.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        if !self.folders.contains(&folder_of) {
            self.folders.push(folder_of);
        }
        let node = match self.document(path, asked) {
            Loaded::Document(node) => node,
            Loaded::Failed => return Vec::new(),
            Loaded::Empty(source) => {
                let message = format!("the playbook `{}` is empty", path.display());
                let diagnostic = Diagnostic::error("empty-playbook", message)
                    .at(Span::new(source, 0, 0), "no plays here");
                self.report(diagnostic.hint("write a list of plays: `- hosts: all`"));
                return Vec::new();
            }
        };
        let Some(entries) = node.as_sequence() else {
            self.report(
                Diagnostic::error(
                    "not-a-list",
                    format!("a playbook is a list of plays, not {}", node.kind()),
                )
                .at(node.span.slice(0, 0), "the list should begin here")
                .hint("begin each play with `- `: `- hosts: all`"),
            );
            return Vec::new();
        };
        let folder = paths::folder(path);
        let mut plays = Vec::new();
        for entry in entries {
            let Some(mapping) = entry.as_mapping() else {
                self.report(
                    Diagnostic::error(
                        "not-a-play",
                        format!("a play is a mapping, not {}", entry.kind()),
                    )
                    .at(entry.span, "expected a play")
                    .hint("a play begins with `- hosts: PATTERN`"),
                );
                continue;
            };
            let import = mapping
                .iter()
                .find(|(key, _)| key.as_str().is_some_and(|key| IMPORTS.contains(&key)));
            match import {
                Some((key, value)) => {
                    plays.extend(self.import_playbook(mapping, key, value, &folder, inherited));
                }
                None => plays.push(Arc::new(self.play(entry, mapping, &folder, inherited))),
            }
        }
        plays
    }

    fn import_playbook(
        &mut self,
        mapping: &Mapping,
        key: &Node,
        value: &Node,
        folder: &Path,
        inherited: &Inherited,
    ) -> Vec<Arc<Play>> {
        if key.as_str() == Some("include") {
            self.report(
                Diagnostic::warning("old-keyword", "`include` is called `import_playbook` today")
                    .at(key.span, "removed from ansible-core 2.16")
                    .hint("write `import_playbook`"),
            );
        }
        let is_import = |name: &str| IMPORTS.contains(&name);
        self.check_keywords(mapping, Places::IMPORT_PLAYBOOK, is_import);
        let around = self.outside_of_plays(folder, inherited);
        let own = self.directives(mapping, &around);
        let mut vars = own.vars.as_deref().cloned().unwrap_or_default();
        overlay(&mut vars, &inherited.vars);
        // The name may use variables that stand beside it.
        let seen = Inherited { vars: vars.clone(), ..Inherited::default() };
        let seen = self.outside_of_plays(folder, &seen);
        let name = match self.static_text(value, &seen.context) {
            Ok(name) => name,
            Err(reason) => {
                self.report(
                    Diagnostic::error(
                        "dynamic-import",
                        "a playbook to import must be known before the run",
                    )
                    .at(value.span, reason)
                    .hint("use a fixed name, or variables given with `-e`"),
                );
                return Vec::new();
            }
        };
        let words = split(&name).unwrap_or_default();
        let file = words.first().map_or(name.as_str(), |word| word.text.trim());
        if words.len() > 1 {
            self.report(
                Diagnostic::error("extra-text", "`import_playbook` takes a file and nothing else")
                    .at(value.span, "more than a file name")
                    .hint("give variables below `vars:`"),
            );
        }
        let path = paths::normal(&folder.join(file));
        let as_trail = Surroundings { trail: inherited.trail.clone(), ..around.clone() };
        let Some(trail) = self.follow(&as_trail, path.clone(), value.span) else {
            return Vec::new();
        };
        let inner = Inherited {
            vars,
            tags: inherited.tags.iter().cloned().chain(own.tags).collect(),
            when: inherited.when.iter().cloned().chain(own.when).collect(),
            trail,
        };
        self.plays_of(&path, Some(value.span), &inner)
    }

    /// Where templates outside of plays find variables.
    fn outside_of_plays(&self, folder: &Path, inherited: &Inherited) -> Surroundings {
        let vars = Some(Arc::new(inherited.vars.clone()));
        let context = Context {
            parent: None,
            level: Level::Play,
            directives: Directives { vars, ..Directives::default() },
            role: None,
            folder: Some(folder.to_owned()),
        };
        Surroundings {
            context: Arc::new(context),
            folder: folder.to_owned(),
            handlers: false,
            trail: Vec::new(),
            depth: 0,
            rescued: false,
        }
    }

    fn play(
        &mut self,
        node: &Node,
        mapping: &Mapping,
        folder: &Path,
        inherited: &Inherited,
    ) -> Play {
        self.play = PlayState::default();
        self.check_keywords(mapping, Places::PLAY, |_| false);
        let outside = self.outside_of_plays(folder, inherited);
        let context = Arc::new(self.play_context(mapping, folder, inherited, &outside));
        let vars_files = list(mapping, "vars_files").unwrap_or_default();
        self.read_vars_files(&vars_files, folder, &context);
        let around = Surroundings { context: Arc::clone(&context), ..outside };
        let inside = self.inside_play(&around, inherited);
        self.play.role_folders = self.named_roles(mapping, &context);
        let sections = self.sections(mapping, head(node, mapping), &around, &inside);
        let get = |name: &str| present(mapping, name).cloned();
        let is_private = self.options.customs.keeps_role_variables;
        let of_play = sections.roles.into_iter().filter(move |_| !is_private);
        let hosts = self.hosts(node, mapping);
        let state = std::mem::take(&mut self.play);
        Play {
            name: get("name"),
            span: head(node, mapping),
            folder: folder.to_owned(),
            hosts,
            gather_facts: get("gather_facts"),
            gather_subset: get("gather_subset"),
            gather_timeout: get("gather_timeout"),
            fact_path: get("fact_path"),
            vars_files,
            vars_prompt: self.prompts(mapping),
            serial: list(mapping, "serial").unwrap_or_default(),
            max_fail_percentage: get("max_fail_percentage"),
            order: self.order(mapping),
            included_when: inherited.when.clone(),
            strategy: self.strategy(mapping),
            strategy_template: present(mapping, "strategy")
                .filter(|node| node.as_str().is_some_and(is_template))
                .cloned(),
            items: sections.items,
            handlers: sections.handlers.into_iter().chain(state.imported_handlers).collect(),
            roles: of_play.chain(state.public_roles).collect(),
            context,
        }
    }

    fn play_context(
        &mut self,
        mapping: &Mapping,
        folder: &Path,
        inherited: &Inherited,
        outside: &Surroundings,
    ) -> Context {
        let mut directives = self.directives(mapping, outside);
        let mut vars = directives.vars.as_deref().cloned().unwrap_or_default();
        overlay(&mut vars, &inherited.vars);
        directives.vars = Some(Arc::new(vars));
        directives.tags.extend(inherited.tags.iter().cloned());
        Context {
            parent: None,
            level: Level::Play,
            directives,
            role: None,
            folder: Some(folder.to_owned()),
        }
    }

    /// `when` of imports is for the items of a play, not for its handlers.
    fn inside_play(&self, around: &Surroundings, inherited: &Inherited) -> Surroundings {
        if inherited.when.is_empty() {
            return around.clone();
        }
        let directives = Directives { when: inherited.when.clone(), ..Directives::default() };
        let context = Context::inside(&around.context, Level::Block, directives);
        Surroundings { context: Arc::new(context), ..around.clone() }
    }

    /// What a play runs. Sections are loaded in Ansible's order, which decides about the order
    /// of handlers that imported roles bring.
    fn sections(
        &mut self,
        mapping: &Mapping,
        span: Span,
        around: &Surroundings,
        inside: &Surroundings,
    ) -> Sections {
        let own_handlers = match present(mapping, "handlers") {
            Some(list) => self.handler_list(list, around),
            None => Vec::new(),
        };
        let mut section = |name: &str| match present(mapping, name) {
            Some(list) => self.items(list, inside),
            None => Vec::new(),
        };
        let pre_tasks = section("pre_tasks");
        let post_tasks = section("post_tasks");
        let tasks = section("tasks");
        let mut roles = Vec::new();
        let mut handlers = Vec::new();
        let forced = self.force_handlers(mapping);
        let mut items = Vec::new();
        let mut add = |section: Vec<Item>| match forced {
            true => items.push(flushed_always(section, span, around)),
            false => {
                items.extend(section);
                items.push(Item::Flush);
            }
        };
        add(pre_tasks);
        let mut main = Vec::new();
        let entries = present(mapping, "roles").and_then(Node::as_sequence).unwrap_or_default();
        for entry in entries {
            if let Some(role) = self.role_entry(entry, &[], None, inside) {
                main.extend(role.items);
                handlers.extend(role.handlers);
                roles.push(role.role_use);
            }
        }
        main.extend(tasks);
        add(main);
        add(post_tasks);
        handlers.extend(own_handlers);
        Sections { items, handlers, roles }
    }

    /// Whether failed hosts run their notified handlers, too.
    fn force_handlers(&mut self, mapping: &Mapping) -> bool {
        let node = present(mapping, "force_handlers");
        let own = constant_boolean(node);
        if let (Some(node), None) = (node, own) {
            self.report(
                Diagnostic::error(
                    "static-keyword",
                    "`force_handlers` decides how a play is loaded: it can't be a template",
                )
                .at(node.span, "must be known before the run")
                .hint("write `true` or `false`, or use `--force-handlers`"),
            );
        }
        own.unwrap_or(self.options.force_handlers)
    }

    /// Contents of `vars_files` whose names are known: static imports may use them.
    fn read_vars_files(&mut self, entries: &[Node], folder: &Path, context: &Context) {
        for entry in entries {
            let alternatives = entry.as_sequence().unwrap_or(std::slice::from_ref(entry));
            let mut tried = Vec::new();
            let mut known = true;
            let mut found = None;
            for name in alternatives {
                let Ok(text) = self.static_text(name, context) else {
                    known = false;
                    break;
                };
                match self.search_beside(folder, "vars", &text) {
                    Ok(path) => {
                        found = Some((path, name.span));
                        break;
                    }
                    Err(paths) => tried.extend(paths),
                }
            }
            match found {
                Some((path, span)) => {
                    let mapping = self.variables_file(&path, Some(span));
                    let mapping = Arc::new(mapping);
                    self.play_variables.push(Arc::clone(&mapping));
                    self.play.variables.push(mapping);
                }
                None if known => self.missing_vars_file(entry, &tried),
                None => {}
            }
        }
    }

    fn missing_vars_file(&mut self, entry: &Node, tried: &[PathBuf]) {
        let hint = tried.iter().find_map(|path| self.similar_file(path));
        let searched: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
        self.report(
            Diagnostic::error("missing-file", "the file of variables does not exist")
                .at(entry.span, "not found")
                .note(format!("searched: {}", searched.join(", ")))
                .hint_if(hint),
        );
    }

    fn hosts(&mut self, node: &Node, mapping: &Mapping) -> Node {
        let hosts = mapping.get("hosts");
        let is_empty = |hosts: &Node| match hosts.as_sequence() {
            Some(items) => items.is_empty(),
            None => hosts.is_null() || hosts.as_str() == Some(""),
        };
        if let Some(hosts) = hosts.filter(|hosts| !is_empty(hosts)) {
            return hosts.clone();
        }
        let task = mapping
            .iter()
            .find(|(key, _)| key.as_str().is_some_and(|key| modules::find(key).is_some()));
        let hint = match task {
            Some((key, _)) => format!(
                "`{}` is a module: tasks stand below `tasks:` of a play with `hosts:`",
                key.as_str().unwrap_or_default()
            ),
            None => "add `hosts: all` or a group of the inventory".to_owned(),
        };
        let at = hosts.map_or_else(|| head(node, mapping), |hosts| hosts.span);
        self.report(
            Diagnostic::error("no-hosts", "the play does not say on which hosts it runs")
                .at(at, if hosts.is_some() { "names no host" } else { "`hosts:` is missing" })
                .hint(hint),
        );
        Node::new(at, yaml::NodeValue::Sequence(Vec::new()))
    }

    fn strategy(&mut self, mapping: &Mapping) -> Strategy {
        let Some(node) = present(mapping, "strategy") else {
            return self.options.customs.strategy;
        };
        let text = node.as_str().unwrap_or_default();
        match Strategy::of_name(text) {
            Some(strategy) => strategy,
            None if is_template(text) => Strategy::Linear,
            None => {
                let known = ["linear", "free", "host_pinned"];
                let closest = diagnostics::closest(text, known);
                self.report(
                    Diagnostic::error(
                        "unsupported-value",
                        format!("there is no strategy `{text}`"),
                    )
                    .at(node.span, "unknown to provision")
                    .note("strategies are linear, free and host_pinned")
                    .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
                );
                Strategy::Linear
            }
        }
    }

    fn order(&mut self, mapping: &Mapping) -> Option<Node> {
        const KNOWN: [&str; 5] =
            ["inventory", "sorted", "reverse_sorted", "reverse_inventory", "shuffle"];
        let node = present(mapping, "order")?;
        let text = node.as_str().unwrap_or_default();
        if !is_template(text) && !KNOWN.contains(&text) {
            let closest = diagnostics::closest(text, KNOWN);
            self.report(
                Diagnostic::error("unsupported-value", format!("there is no order `{text}`"))
                    .at(node.span, "unknown order")
                    .note(format!("orders are {}", KNOWN.join(", ")))
                    .hint_if(closest.map(|closest| format!("did you mean `{closest}`?"))),
            );
        }
        Some(node.clone())
    }
}

struct Sections {
    items: Vec<Item>,
    handlers: Vec<Arc<crate::model::Handler>>,
    roles: Vec<Arc<RoleUse>>,
}

/// A section whose handlers run whatever becomes of it: the flush is the `always` of a block
/// around it, as in Ansible.
fn flushed_always(items: Vec<Item>, span: Span, around: &Surroundings) -> Item {
    Item::Block(Arc::new(Block {
        context: Arc::clone(&around.context),
        name: None,
        span,
        items,
        rescue: Vec::new(),
        always: vec![Item::Flush],
    }))
}
