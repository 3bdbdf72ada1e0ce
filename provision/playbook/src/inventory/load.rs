//! Sources of an inventory: which file is of which format, folders, lists of hosts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use provision_discovery::Discovered;
use yaml::{Node, Schema};

use super::constructed::{Constructed, is_constructed};
use super::{Inventory, UNGROUPED, address, consul, ini, script, vars_files, yaml_format};
use crate::files::{FileKind, Files};
use crate::vault::{keep_secret, plain_text};

/// Deepest folders of inventories: a link in a circle must end.
const MAX_FOLDER_DEPTH: usize = 20;

/// One `-i` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder whose files are merged in the order of their names.
    Path(PathBuf),
    /// Names of hosts separated by commas.
    Hosts(String),
    /// The same with ranges (`web[0:9]`), which Ansible's plugin `advanced_host_list` expands.
    HostRanges(String),
    /// `consul://HOST:PORT` or `consul+https://…`, with the mapping that is built in.
    Consul(String),
}

impl Source {
    /// What an argument of `-i` means: with a comma, and if no such file exists, a list.
    #[must_use]
    pub fn of_argument(argument: &str, files: &dyn Files) -> Self {
        if Source::is_consul(argument) {
            return Source::Consul(argument.to_owned());
        }
        if argument.contains(',') && files.kind(Path::new(argument)).is_none() {
            return Source::Hosts(argument.to_owned());
        }
        Source::Path(PathBuf::from(argument))
    }

    /// Whether an argument of `-i` names a Consul.
    #[must_use]
    pub fn is_consul(argument: &str) -> bool {
        consul::encryption(argument).is_some()
    }
}

/// An inventory and everything that is wrong with its sources.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What could be read.
    pub inventory: Inventory,
    /// Errors and warnings of all sources.
    pub diagnostics: Vec<Diagnostic>,
    /// What files of the plugin `constructed` ask for, in order.
    pub constructed: Vec<Constructed>,
}

/// Reads all sources, and the `group_vars` and `host_vars` beside them, into one inventory.
pub fn load(arguments: &[Source], files: &dyn Files, sources: &mut Sources) -> Loaded {
    let mut loader = Loader {
        inventory: Inventory::default(),
        files,
        sources,
        diagnostics: Vec::new(),
        file: None,
        is_secret: false,
        discovered: Vec::new(),
        constructed: Vec::new(),
    };
    for argument in arguments {
        match argument {
            Source::Path(path) => loader.path(path, 0),
            Source::Hosts(list) => loader.host_list(list, false),
            Source::HostRanges(list) => loader.host_list(list, true),
            Source::Consul(url) => loader.consul_url(url),
        }
    }
    loader.merge_discovered();
    loader.inventory.reconcile();
    loader.check_names();
    for argument in arguments {
        if let Source::Path(path) = argument {
            loader.vars_files(path);
        }
    }
    Loaded {
        inventory: loader.inventory,
        diagnostics: loader.diagnostics,
        constructed: loader.constructed,
    }
}

/// What the formats write into.
pub(super) struct Loader<'run> {
    pub(super) inventory: Inventory,
    pub(super) files: &'run dyn Files,
    pub(super) sources: &'run mut Sources,
    diagnostics: Vec<Diagnostic>,
    /// The file that is being read.
    pub(super) file: Option<PathBuf>,
    /// Whether it is encrypted.
    is_secret: bool,
    /// What Consul has; it comes behind all other sources.
    pub(super) discovered: Vec<Discovered>,
    /// What files of the plugin `constructed` ask for.
    pub(super) constructed: Vec<Constructed>,
}

impl Loader<'_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn path(&mut self, path: &Path, depth: usize) {
        match self.files.kind(path) {
            Some(FileKind::Folder) if depth < MAX_FOLDER_DEPTH => {
                for entry in self.files.list(path) {
                    let name = entry.file_name().and_then(|name| name.to_str());
                    if name.is_some_and(|name| !is_ignored(name)) {
                        self.path(&entry, depth + 1);
                    }
                }
            }
            Some(FileKind::File) => self.file(path),
            Some(FileKind::Folder) => {
                let message =
                    format!("folders of inventories are nested too deeply: {}", path.display());
                self.report(Diagnostic::error("inventory-source", message));
            }
            None => {
                let message = format!("there is no inventory {}", path.display());
                let hint = "give a file, a folder, or a list of hosts that ends with a comma";
                self.report(Diagnostic::error("inventory-source", message).hint(hint));
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("cannot read the inventory {shown}: {reason}");
                return self.report(Diagnostic::error("inventory-source", message));
            }
        };
        let (text, source) = match plain_text(self.files, self.sources, shown, text) {
            Ok(plain) => {
                self.is_secret = plain.is_secret;
                (plain.text, plain.source)
            }
            Err(diagnostic) => return self.report(*diagnostic),
        };
        self.file = Some(path.to_owned());
        if text.starts_with("#!") {
            let place = first_line(&text, source);
            return match self.files.listing(path) {
                Some(Ok(listing)) => self.script(path, &listing, place),
                Some(Err(reason)) => self.report(
                    Diagnostic::error("inventory-script", reason).at(place, "this program"),
                ),
                None => self.report(
                    Diagnostic::error("inventory-script", "an inventory script is not executable")
                        .at(place, "this is a program")
                        .hint(format!("chmod +x {}", path.display())),
                ),
            };
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yml" | "yaml" | "json") => self.yaml(&text, source),
            Some("toml") => self.report(
                Diagnostic::error("inventory-format", "TOML inventories are not supported")
                    .at(first_line(&text, source), "expected INI or YAML"),
            ),
            None if looks_like_yaml(&text, source) => self.yaml(&text, source),
            _ => ini::read(&text, source, self),
        }
    }

    /// What an inventory script printed.
    fn script(&mut self, path: &Path, listing: &str, place: Span) {
        let source = self.sources.add(format!("{} --list", path.display()), listing);
        let read = yaml::read(listing, source, Schema::Ansible);
        let document = read.documents.into_iter().next().filter(|node| node.as_mapping().is_some());
        match document {
            Some(document) => script::read(document, self),
            None => self.report(
                Diagnostic::error("inventory-script", "an inventory script printed no JSON object")
                    .at(place, "this program")
                    .hint(format!("look at `{} --list`", path.display())),
            ),
        }
    }

    fn yaml(&mut self, text: &str, source: SourceId) {
        let read = yaml::read(text, source, Schema::Ansible);
        let usable = read.is_usable();
        self.diagnostics.extend(read.diagnostics);
        if !usable {
            return;
        }
        if let Some(second) = read.documents.get(1) {
            self.report(
                Diagnostic::error("inventory-yaml", "an inventory holds one document")
                    .at(second.span, "a second document")
                    .hint("remove the `---` above it, or move it to a file of its own"),
            );
        }
        if let Some(document) = read.documents.into_iter().next() {
            match (consul::is_mapping(&document), is_constructed(&document)) {
                (true, _) => self.consul_file(text, source),
                (_, true) => self.constructed_file(&document),
                _ => yaml_format::read(document, self),
            }
        }
    }

    fn host_list(&mut self, list: &str, expands: bool) {
        let source = self.sources.add("<-i>", list);
        self.file = None;
        self.is_secret = false;
        let mut offset = 0;
        for part in list.split(',') {
            let name = part.trim();
            if !name.is_empty() {
                let start = offset + part.len() - part.trim_start().len();
                let span = Span::new(source, start, start + name.len());
                for (name, port) in self.listed(name, span, expands) {
                    // A list never moves a host that another source has put into a group.
                    if !self.inventory.hosts.contains_key(name.as_str()) {
                        self.inventory.add_named_host(&name, UNGROUPED, port, span, None);
                    }
                }
            }
            offset += part.len() + 1;
        }
    }

    /// The hosts of an entry of a list: one, or those of its range.
    fn listed(&mut self, entry: &str, span: Span, expands: bool) -> Vec<(String, Option<u32>)> {
        let (name, port) =
            address::parse(entry).map_or((entry, None), |address| (address.name, address.port));
        if !expands {
            let (name, port) = if name.contains('[') { (entry, None) } else { (name, port) };
            return vec![(name.to_owned(), port)];
        }
        let has_end = !name.contains(":]");
        match address::expand(name) {
            Ok(names) if has_end => names.into_iter().map(|name| (name, port)).collect(),
            Ok(_) => vec![(name.to_owned(), port)],
            Err(reason) if name.contains(":]") => {
                self.report(
                    Diagnostic::warning(
                        "inventory-host",
                        format!(
                            "Unable to parse address from hostname, leaving unchanged: {name}: \
                             host range must specify end value"
                        ),
                    )
                    .at(span, reason),
                );
                vec![(name.to_owned(), port)]
            }
            Err(reason) => {
                self.report(
                    Diagnostic::error(
                        "inventory-host",
                        format!(
                            "Failed to parse {entry}, with advanced_host_list plugin: it {reason}"
                        ),
                    )
                    .at(span, "a bad range")
                    .hint(
                        "write ranges as [1:10], [01:10] or [a:f], with an optional step [0:10:2]",
                    ),
                );
                Vec::new()
            }
        }
    }

    /// Hosts of a pattern with variables, put into a group that exists.
    pub(super) fn add_hosts(
        &mut self,
        pattern: &HostPattern,
        group: &str,
        variables: Vec<(Node, Node)>,
    ) {
        for name in &pattern.names {
            let file = self.file.as_deref();
            self.inventory.add_named_host(name, group, pattern.port, pattern.span, file);
            for (key, value) in &variables {
                self.set_variable(name, key.clone(), value.clone());
            }
        }
    }

    /// Sets a variable; a group's priority is none.
    pub(super) fn set_variable(&mut self, name: &str, key: Node, value: Node) {
        if self.is_secret {
            keep_secret(self.files, &value);
        }
        let is_group = self.inventory.groups.contains_key(name);
        if !is_group || key.as_str() != Some("ansible_group_priority") {
            return self.inventory.set_variable(name, key, value);
        }
        let text = value.as_str().and_then(|text| text.trim().parse().ok());
        match value.as_integer().or(text) {
            Some(priority) => self.inventory.set_priority(name, priority),
            None => self.report(
                Diagnostic::error("inventory-priority", "a group's priority is a whole number")
                    .at(value.span, format!("expected a whole number, found {}", value.kind())),
            ),
        }
    }

    /// Sets a variable of a host, also of one that is called as a group is.
    pub(super) fn set_host_variable(&mut self, name: &str, key: Node, value: Node) {
        if self.is_secret {
            keep_secret(self.files, &value);
        }
        if let Some(host) = self.inventory.hosts.get_mut(name) {
            super::store(Arc::make_mut(&mut host.variables), key, value);
        }
    }

    /// Puts a group below another.
    pub(super) fn add_child(&mut self, parent: &str, child: &str, span: Span) {
        if let Err(cycle) = self.inventory.add_child(parent, child) {
            let place = self.inventory.group(child).and_then(|group| group.span);
            let mut diagnostic =
                Diagnostic::error("inventory-cycle", "a group would be below itself")
                    .at(span, format!("`{child}` already contains `{parent}`"))
                    .hint("remove one of the two from the other's children");
            if cycle.child == cycle.parent {
                diagnostic =
                    diagnostic.at(span, "the group itself").hint("remove it from its own children");
            } else if let Some(place) = place {
                diagnostic = diagnostic.also(place, format!("`{child}` begins here"));
            }
            self.report(diagnostic);
        }
    }

    /// The hosts that a pattern stands for; reports what is wrong with it.
    pub(super) fn expand(&mut self, text: &str, span: Span) -> Option<HostPattern> {
        let (name, port) = match address::parse(text) {
            Some(address) => (address.name, address.port),
            None => (text, None),
        };
        let fail = |message: String, label: &str| {
            Diagnostic::error("inventory-host", message).at(span, label)
        };
        if text.trim() == "---" {
            self.report(
                fail(
                    "this looks like YAML, but the file is read as INI".into(),
                    "`---` is no host",
                )
                .hint("name the file with the extension .yml"),
            );
            return None;
        }
        if text.is_empty() || (text.trim_end().ends_with(':') && port.is_none()) {
            self.report(
                fail(format!("`{text}` is no host name"), "expected a name, or `name:port`").hint(
                    "remove the colon; if this file is YAML, name it with the extension .yml",
                ),
            );
            return None;
        }
        match address::expand(name) {
            Ok(names) => Some(HostPattern { names, port, span }),
            Err(reason) => {
                self.report(
                    fail(format!("the host pattern `{text}` {reason}"), "a bad range").hint(
                        "write ranges as [1:10], [01:10] or [a:f], with an optional step [0:10:2]",
                    ),
                );
                None
            }
        }
    }

    /// Warnings about names that mean two things or that cannot be used in templates.
    fn check_names(&mut self) {
        let mut warnings = Vec::new();
        let mut odd = BTreeSet::new();
        let mut first = None;
        for group in self.inventory.groups() {
            if let Some(host) = self.inventory.hosts.get(&group.name) {
                let message = format!("`{}` is a group and a host", group.name);
                let mut warning = Diagnostic::warning("inventory-name", message)
                    .hint("rename one of them: a pattern with this name means the group");
                if let Some(span) = host.span {
                    warning = warning.at(span, "the host");
                }
                warnings.push(
                    group
                        .span
                        .iter()
                        .fold(warning, |warning, span| warning.also(*span, "the group")),
                );
            }
            let word = |character: char| character.is_alphanumeric() || character == '_';
            if !group.name.chars().all(word) || group.name.starts_with(|c: char| c.is_ascii_digit())
            {
                odd.insert(group.name.to_string());
                first = first.or(group.span);
            }
        }
        if let Some(span) = first {
            let names: Vec<String> = odd.into_iter().take(5).collect();
            let message = "names of groups are not valid names of variables";
            warnings.push(
                Diagnostic::warning("inventory-group-name", message)
                    .at(span, "letters, digits and `_` are valid")
                    .note(format!("these groups: {}", names.join(", "))),
            );
        }
        self.diagnostics.append(&mut warnings);
    }

    fn vars_files(&mut self, path: &Path) {
        let base = match self.files.kind(path) {
            Some(FileKind::Folder) => path.to_owned(),
            _ => path.parent().map(Path::to_owned).unwrap_or_default(),
        };
        if self.inventory.inventory_folders.iter().any(|folder| folder.base == base) {
            // Read already; its place in the order is that of its last source.
            let known = self.inventory.inventory_folders.iter().find(|folder| folder.base == base);
            if let Some(known) = known.map(Arc::clone) {
                self.inventory.add_inventory_folder(known);
            }
            return;
        }
        let folder = vars_files::load_folder(
            &base,
            &self.inventory,
            self.files,
            self.sources,
            &mut self.diagnostics,
        );
        self.inventory.add_inventory_folder(Arc::new(folder));
    }
}

/// A host pattern and what it stands for.
pub(super) struct HostPattern {
    pub(super) names: Vec<String>,
    pub(super) port: Option<u32>,
    pub(super) span: Span,
}

/// What a folder of inventories does not count as one (Ansible's `INVENTORY_IGNORE_EXTS`).
fn is_ignored(name: &str) -> bool {
    const ENDINGS: [&str; 13] = [
        ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".ini",
        ".cfg", ".retry",
    ];
    name.starts_with('.')
        || matches!(name, "host_vars" | "group_vars" | "vars_plugins")
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A file without extension is YAML if it is a mapping, or begins like one.
fn looks_like_yaml(text: &str, source: SourceId) -> bool {
    let read = yaml::read(text, source, Schema::Ansible);
    if read.is_usable() {
        return read.documents.first().is_some_and(|document| document.as_mapping().is_some());
    }
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line == "---" || (line.ends_with(':') && !line.starts_with('[')))
}

fn first_line(text: &str, source: SourceId) -> Span {
    Span::new(source, 0, text.lines().next().unwrap_or("").len())
}
