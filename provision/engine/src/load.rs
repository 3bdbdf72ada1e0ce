//! Everything that is read before the first connection: inventory, playbooks, variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use diagnostics::{Diagnostic, Sources};
use indexmap::IndexMap;
use provision_playbook::inventory::{self, Inventory, Patterns};
use provision_playbook::model::{Play, Playbook};
use provision_playbook::{Dialect, DuplicateKeys, KnownNames, LoadOptions, Loader};
use provision_template::{Engine, Slot};
use yaml::{Mapping, Node, NodeValue, Schema};

use crate::constructed;
use crate::discovery::Discovery;
use crate::disk::Disk;
use crate::keyring::Keyring;
use crate::outside::Outside;
use crate::own::Packages;
use crate::plugins::Plugins;
use crate::reach::Reaches;
use crate::variables::{HostVariables, Layer, Layers, Learned, View};
use crate::world::{Settings, World, members_of_groups};

/// What is to be loaded.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// Playbooks, in order.
    pub playbooks: Vec<PathBuf>,
    /// `-i`.
    pub inventories: Vec<String>,
    /// `-e`: `k=v` words, a mapping in YAML or JSON, or `@file`.
    pub extra_variables: Vec<String>,
    /// Whose rules apply.
    pub dialect: Dialect,
    /// Folders with roles.
    pub roles_path: Vec<PathBuf>,
    /// Folders with collections.
    pub collections_path: Vec<PathBuf>,
    /// Variables that nobody defines may come from somewhere: an inventory that isn't named.
    pub unknown_variables_are_right: bool,
    /// Where the dialects differ and which requirements are missing is told with the warnings.
    pub lists_differences: bool,
    /// Notified handlers also run on hosts that failed.
    pub force_handlers: bool,
    /// Settings that variables can see.
    pub settings: Settings,
    /// Passwords for encrypted files and values.
    pub keyring: Arc<Keyring>,
    /// Whom to ask about inventories from Consul.
    pub discovery: Arc<Discovery>,
    /// Files that exist in memory only and win over those on disk, by path: plays that the program
    /// makes for itself.
    pub texts: BTreeMap<PathBuf, String>,
}

impl LoadRequest {
    /// A request for nothing, in a dialect.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        LoadRequest {
            playbooks: Vec::new(),
            inventories: Vec::new(),
            extra_variables: Vec::new(),
            dialect,
            roles_path: Vec::new(),
            collections_path: Vec::new(),
            unknown_variables_are_right: false,
            lists_differences: false,
            force_handlers: false,
            settings: Settings::default(),
            keyring: Arc::default(),
            discovery: Arc::default(),
            texts: BTreeMap::new(),
        }
    }
}

/// What was loaded: a run that can begin.
pub struct Loaded {
    /// Variables.
    pub world: Arc<World>,
    /// For dynamic includes.
    pub loader: Loader,
    /// Inventory.
    pub inventory: Inventory,
    /// Playbooks.
    pub playbooks: Vec<Playbook>,
    /// For fences.
    pub reaches: Reaches,
    /// Things to know.
    pub warnings: Vec<Diagnostic>,
    /// How many tasks the playbooks can run, as far as they are known.
    pub tasks: usize,
    /// What Consul said.
    pub discovery: Arc<Discovery>,
    /// For an inventory that is read again.
    pub again: Arc<Again>,
    /// Encrypted values that are opened before the run begins.
    pub(crate) sealed: Vec<String>,
}

/// Why nothing can begin: everything that is wrong.
#[derive(Debug)]
pub struct LoadFailure {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What it points into.
    pub sources: Sources,
    /// How many hosts the inventory has.
    pub hosts: usize,
    /// How many tasks the playbooks can run, as far as they are known.
    pub tasks: usize,
}

/// Reads and checks everything.
///
/// # Errors
/// Everything that is wrong, at once. Nothing has been touched.
pub fn load(request: &LoadRequest) -> Result<Loaded, Box<LoadFailure>> {
    let files = Arc::new(files_of(request));
    let options = LoadOptions {
        dialect: request.dialect,
        roles_path: request.roles_path.clone(),
        collections_path: request.collections_path.clone(),
        extra_variables: Arc::default(),
        force_handlers: request.force_handlers,
        customs: request.settings.customs,
        own: request.settings.own.clone(),
    };
    let mut loader = Loader::new(files.clone(), options);
    let mut found = Vec::new();
    let extra = extra_variables(&mut loader, &request.extra_variables, &mut found);
    loader.options_mut().extra_variables = extra.clone();

    let folders = playbook_folders(request);
    let (mut inventory, diagnostics) =
        read_inventory(request, &files, loader.sources_mut(), &extra, &folders);
    found.extend(diagnostics);
    let mut known = known_names(&inventory, &extra);
    // What stands beside imported playbooks is read once they are known.
    known.open |= !request.settings.facts_modules.is_empty();
    known.open |=
        request.unknown_variables_are_right || request.settings.customs.reads_vars_of_imported;
    let mut playbooks = Vec::new();
    let mut tasks = 0;
    for path in &request.playbooks {
        let (playbook, diagnostics) = loader.playbook(path);
        found.extend(diagnostics);
        found.extend(loader.undefined(&playbook, &known));
        tasks += loader.surveyed().len();
        if request.lists_differences {
            found.extend(loader.differences());
        }
        playbooks.push(playbook);
    }
    if request.lists_differences {
        found.extend(folders.iter().flat_map(|folder| loader.missing_requirements(folder)));
    }
    let mut with_variables = folders.clone();
    if request.settings.customs.reads_vars_of_imported {
        let all = playbooks.iter().flat_map(|playbook| &playbook.plays);
        let more: BTreeSet<PathBuf> = all
            .map(|play| match play.folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => play.folder.clone(),
            })
            .filter(|folder| !folders.contains(folder))
            .collect();
        let more: Vec<PathBuf> = more.into_iter().collect();
        let (files, sources) = (files.as_ref(), loader.sources_mut());
        found.extend(inventory::load_playbook_vars(&mut inventory, &more, files, sources));
        with_variables.extend(more);
    }
    let sealed = crate::sealed::survey(&request.keyring, &extra, &inventory, &playbooks);
    found.extend(sealed.warning);
    let world = Arc::new(world(request, files, &inventory, &extra));
    let mut reaches = Reaches::default();
    define(&mut reaches, &inventory, &playbooks, &extra);
    let mut selected = BTreeSet::new();
    for playbook in &playbooks {
        for play in &playbook.plays {
            match hosts_of(&world, &inventory, play) {
                Ok(hosts) => selected.extend(hosts),
                Err(diagnostic) => found.push(*diagnostic),
            }
        }
    }
    // Without a playbook (`trust`) any host may be meant.
    let any = request.playbooks.is_empty();
    found.extend(inventory.sealed(|host| any || selected.contains(host)));
    judge_duplicate_keys(&mut found, request.settings.customs.duplicate_keys);
    let (errors, warnings): (Vec<Diagnostic>, Vec<Diagnostic>) =
        found.into_iter().partition(Diagnostic::is_error);
    if !errors.is_empty() {
        let diagnostics = errors.into_iter().chain(warnings).collect();
        let (sources, hosts) = (loader.sources().clone(), inventory.hosts().count());
        return Err(Box::new(LoadFailure { diagnostics, sources, hosts, tasks }));
    }
    let sealed = sealed.values;
    let discovery = request.discovery.clone();
    let request = Arc::new(Again { request: request.clone(), extra, folders: with_variables });
    Ok(Loaded {
        world,
        loader,
        inventory,
        playbooks,
        reaches,
        warnings,
        tasks,
        discovery,
        again: request,
        sealed,
    })
}

/// What it takes to read the inventory again.
#[derive(Debug)]
pub struct Again {
    request: LoadRequest,
    extra: Arc<Mapping>,
    /// Folders whose `group_vars` and `host_vars` count.
    folders: Vec<PathBuf>,
}

impl Again {
    /// The inventory as it is now.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn inventory(
        &self,
        files: &Arc<Disk>,
        loader: &mut Loader,
    ) -> Result<Inventory, Vec<Diagnostic>> {
        let sources = loader.sources_mut();
        let (inventory, mut found) =
            read_inventory(&self.request, files, sources, &self.extra, &self.folders);
        found.extend(inventory.sealed(|_| true));
        match found.iter().any(Diagnostic::is_error) {
            true => Err(found),
            false => Ok(inventory),
        }
    }
}

/// The folders of the playbooks that were named, each once.
fn playbook_folders(request: &LoadRequest) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in &request.playbooks {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The inventory with what stands beside the playbooks, and what is wrong with it.
fn read_inventory(
    request: &LoadRequest,
    files: &Arc<Disk>,
    sources: &mut Sources,
    extra: &Arc<Mapping>,
    folders: &[PathBuf],
) -> (Inventory, Vec<Diagnostic>) {
    let expands_ranges = request.settings.customs.expands_host_ranges;
    let given: Vec<inventory::Source> = request
        .inventories
        .iter()
        .map(|given| inventory::Source::of_argument(given, files.as_ref()))
        .map(|source| match source {
            inventory::Source::Hosts(list) if expands_ranges => inventory::Source::HostRanges(list),
            source => source,
        })
        .collect();
    let read = inventory::load(&given, files.as_ref(), sources);
    let (mut found, mut inventory) = (read.diagnostics, read.inventory);
    let as_it_is = |inventory: &Inventory| world(request, files.clone(), inventory, extra);
    found.extend(constructed::apply(&read.constructed, &mut inventory, &as_it_is));
    found.extend(inventory::load_playbook_vars(&mut inventory, folders, files.as_ref(), sources));
    (inventory, found)
}

/// Keys that a mapping has twice are what `duplicate_dict_key` says they are.
fn judge_duplicate_keys(found: &mut Vec<Diagnostic>, are: DuplicateKeys) {
    const CODE: &str = "yaml-duplicate-key";
    if are == DuplicateKeys::Ignore {
        found.retain(|diagnostic| diagnostic.code != CODE);
    }
    for diagnostic in found.iter_mut().filter(|diagnostic| diagnostic.code == CODE) {
        if are == DuplicateKeys::Error {
            diagnostic.severity = diagnostics::Severity::Error;
        }
        // In Ansible's words, too: scripts look for them.
        if let Some(name) = diagnostic.message.split('`').nth(1) {
            diagnostic.notes.push(format!("Ansible: found a duplicate dict key ({name})"));
        }
    }
}

fn files_of(request: &LoadRequest) -> Disk {
    Disk::new(request.keyring.clone()).asking(request.discovery.clone()).below(&request.texts)
}

fn world(
    request: &LoadRequest,
    files: Arc<Disk>,
    inventory: &Inventory,
    extra: &Arc<Mapping>,
) -> World {
    let layers = Layers::default();
    let hosts: IndexMap<String, Arc<HostVariables>> = inventory
        .hosts()
        .map(|host| {
            let variables: Vec<Arc<Layer>> = inventory
                .host_variables(&host.name)
                .into_iter()
                .map(|layer| layers.of(&layer.variables))
                .collect();
            let variables = HostVariables {
                name: host.name.to_string(),
                inventory: RwLock::new(variables),
                added: RwLock::default(),
                learned: Learned::default(),
            };
            (host.name.to_string(), Arc::new(variables))
        })
        .collect();
    World {
        engine: match request.settings.customs.has_native_types {
            true => Engine::new(request.dialect).with_native_types(),
            false => Engine::new(request.dialect),
        },
        files,
        layers,
        extra: Layer::of_mapping(extra),
        hosts: RwLock::new(hosts),
        others: RwLock::default(),
        inventory: RwLock::new(inventory.clone()),
        groups: RwLock::new(members_of_groups(inventory)),
        additions: Mutex::default(),
        settings: request.settings.clone(),
        packages: Packages::default(),
        plugins: Plugins::default(),
        odd_conditions: crate::odd_conditions::OddConditions::default(),
        warnings: crate::warnings::Warnings::default(),
        loader: OnceLock::new(),
    }
}

/// Names that the inventory or the command line defines for any host.
fn known_names(inventory: &Inventory, extra: &Mapping) -> KnownNames {
    let mut names = BTreeSet::new();
    let mut add = |mapping: &Mapping| {
        names.extend(mapping.iter().filter_map(|(key, _)| key.as_str().map(str::to_owned)));
    };
    add(extra);
    inventory.all_variables().for_each(|variables| add(variables));
    // What an encrypted file defines that can't be opened is not known.
    let open = !inventory.sealed(|_| false).is_empty();
    KnownNames { names, open }
}

fn define(
    reaches: &mut Reaches,
    inventory: &Inventory,
    playbooks: &[Playbook],
    extra: &Arc<Mapping>,
) {
    reaches.define(extra);
    inventory.all_variables().for_each(|variables| reaches.define(variables));
    for play in playbooks.iter().flat_map(|playbook| &playbook.plays) {
        if let Some(vars) = &play.context.directives.vars {
            reaches.define(vars);
        }
        for role in &play.roles {
            reaches.define(&role.role.vars);
            reaches.define(&role.role.defaults);
            reaches.define(&role.parameters);
        }
    }
}

fn extra_variables(
    loader: &mut Loader,
    given: &[String],
    found: &mut Vec<Diagnostic>,
) -> Arc<Mapping> {
    let mut merged = Mapping::default();
    for text in given {
        let mapping = if let Some(path) = text.strip_prefix('@') {
            match loader.variables(Path::new(path)) {
                Ok(mapping) => Mapping::clone(&mapping),
                Err(diagnostics) => {
                    found.extend(diagnostics);
                    continue;
                }
            }
        } else {
            match extra_text(loader, text) {
                Ok(mapping) => mapping,
                Err(diagnostics) => {
                    found.extend(diagnostics);
                    continue;
                }
            }
        };
        provision_playbook::model::overlay(&mut merged, &mapping);
    }
    Arc::new(merged)
}

fn extra_text(loader: &mut Loader, text: &str) -> Result<Mapping, Vec<Diagnostic>> {
    let source = loader.sources_mut().add("<extra variables>", text);
    let span = diagnostics::Span::new(source, 0, text.len());
    let structured = text.trim_start().starts_with(['{', '-']) || text.contains(": ");
    if structured {
        let read = yaml::read(text, source, Schema::Ansible);
        let mapping = read.documents.first().and_then(Node::as_mapping).cloned();
        return match mapping {
            Some(mapping) if !read.diagnostics.iter().any(Diagnostic::is_error) => Ok(mapping),
            Some(_) => Err(read.diagnostics),
            None if !read.diagnostics.is_empty() => Err(read.diagnostics),
            None => Err(vec![
                Diagnostic::error("extra-variables", "extra variables must be a mapping")
                    .at(span, "not a mapping")
                    .hint("write -e name=value, or -e '{\"name\": \"value\"}', or -e @file.yml"),
            ]),
        };
    }
    let words = crate::words::split(text).map_err(|message| {
        vec![Diagnostic::error("extra-variables", message).at(span, "unclosed quotation")]
    })?;
    let mut mapping = Mapping::default();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(vec![
                Diagnostic::error("extra-variables", format!("`{word}` is not name=value"))
                    .at(span, "extra variables")
                    .hint("write -e name=value, or -e '{\"name\": \"value\"}', or -e @file.yml"),
            ]);
        };
        let value = Node::new(span, NodeValue::String(value.into()));
        mapping.entries.push((Node::string(span, name), value));
    }
    Ok(mapping)
}

/// The hosts of a play, in inventory order, `--limit` applied.
///
/// # Errors
/// When the pattern can't be evaluated or understood.
pub fn hosts_of(
    world: &Arc<World>,
    inventory: &Inventory,
    play: &Play,
) -> Result<Vec<String>, Box<Diagnostic>> {
    let parts = pattern_of(world, play)?;
    let span = play.hosts.span;
    let patterns = Patterns::of_list(parts.iter().map(|part| (part.as_str(), Some(span))));
    let limit =
        match &world.settings.limit {
            None => None,
            Some(text) => Some(Patterns::limit(text, world.files.as_ref()).map_err(|error| {
                Box::new(Diagnostic::error("limit", format!("failed to {error}")))
            })?),
        };
    let selection = inventory.select(&patterns, limit.as_ref());
    match selection.diagnostics.into_iter().find(Diagnostic::is_error) {
        Some(error) => Err(Box::new(error)),
        None => Ok(selection.hosts.iter().map(ToString::to_string).collect()),
    }
}

/// The host patterns of a play as text.
fn pattern_of(world: &Arc<World>, play: &Play) -> Result<Vec<String>, Box<Diagnostic>> {
    let localhost = world.host_or_new("localhost");
    let mut view = View::of_host(world, &localhost);
    if let Some(vars) = &play.context.directives.vars {
        for (name, slot) in world.layers.of(vars).iter() {
            if world.extra.get(name).is_none() {
                view.local.set(name, slot.clone());
            }
        }
    }
    let outside = Outside::of(&view);
    let value =
        world.engine.render_slot(&Slot::Template(Arc::new(play.hosts.clone())), &view, &outside);
    let value = value.map_err(|error| {
        Box::new(
            Diagnostic::error(
                "host-pattern",
                format!("`hosts` can't be evaluated: {}", error.message()),
            )
            .at(play.hosts.span, "this pattern")
            .hint("`hosts` can use extra variables (-e) and variables of the play only"),
        )
    })?;
    Ok(match value.kind() {
        minijinja::value::ValueKind::Seq => value
            .try_iter()
            .into_iter()
            .flatten()
            .map(|part| provision_template::text_of(&part))
            .collect(),
        _ => vec![provision_template::text_of(&value)],
    })
}
