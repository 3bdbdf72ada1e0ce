//! What a run knows: inventory, variables, settings, and the state of the play.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use diagnostics::Style;
use indexmap::IndexMap;
use provision_playbook::inventory::{ALL, GroupCycle, Inventory, UNGROUPED};
use provision_playbook::model::{Play, RoleUse};
use provision_playbook::own::OwnPaths;
use provision_playbook::{Customs, Loader};
use provision_template::{Engine, Slot, TemplateError};

use crate::fact_cache::FactCache;
use crate::own::Packages;
use crate::plugins::Plugins;
use crate::variables::{HostVariables, Layer, Layers};

/// What a run knows. Shared by all evaluations.
pub struct World {
    /// Templates.
    pub engine: Engine,
    /// The user's files.
    pub files: Arc<crate::disk::Disk>,
    /// Layers made from mappings.
    pub layers: Layers,
    /// `--extra-vars`.
    pub extra: Layer,
    /// Hosts in inventory order.
    pub hosts: RwLock<IndexMap<String, Arc<HostVariables>>>,
    /// Hosts that no inventory names, once somebody has asked for them.
    pub others: RwLock<IndexMap<String, Arc<HostVariables>>>,
    /// The inventory with what the run has added to it.
    pub inventory: RwLock<Inventory>,
    /// Members of each group, children's members included, in inventory order.
    pub groups: RwLock<IndexMap<String, Vec<String>>>,
    /// What the run has added to the inventory, for when that is read again.
    pub additions: Mutex<Vec<Addition>>,
    /// Settings of the run.
    pub settings: Settings,
    /// Modules of the user's own, ready to be sent.
    pub packages: Packages,
    /// Filters, tests and lookups of the user's own.
    pub plugins: Plugins,
    /// Conditions that are no booleans.
    pub odd_conditions: crate::odd_conditions::OddConditions,
    /// What evaluations warn of.
    pub warnings: crate::warnings::Warnings,
    /// The user's files, for the places of errors; empty before a run.
    pub loader: OnceLock<Arc<Mutex<Loader>>>,
}

/// A host that `add_host` made, or one that `group_by` put into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    host: String,
    /// Of `group_by`.
    group: Option<String>,
    /// Groups of the host, or those that `group` is below.
    parents: Vec<String>,
}

/// Members of each group, children's members included, in inventory order.
#[must_use]
pub fn members_of_groups(inventory: &Inventory) -> IndexMap<String, Vec<String>> {
    let groups = inventory.groups_map().into_iter();
    groups
        .map(|(name, members)| {
            (name.to_string(), members.iter().map(ToString::to_string).collect())
        })
        .collect()
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// Settings of ansible.cfg by their names: values, and where they are said.
pub type ConfiguredSettings = BTreeMap<&'static str, (serde_json::Value, String)>;

/// Settings of a run that variables can see.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Check mode.
    pub check: bool,
    /// Diffs.
    pub diff: bool,
    /// `-v` count.
    pub verbosity: u8,
    /// `--forks`.
    pub forks: usize,
    /// Folder of the (first) playbook.
    pub playbook_folder: PathBuf,
    /// Inventory sources as given.
    pub inventory_sources: Vec<PathBuf>,
    /// `--limit`.
    pub limit: Option<String>,
    /// `--become`: unless a keyword or a variable says otherwise.
    pub r#become: bool,
    /// `--become-user`: unless a keyword or a variable says otherwise.
    pub become_user: Option<String>,
    /// `--tags`.
    pub tags: Vec<String>,
    /// `--skip-tags`.
    pub skip_tags: Vec<String>,
    /// After its plays this run lets the planner restart quorum components that were configured
    /// anew: roles read `provision_rolls_restarts` and leave it to `set_stats: restarts_due`.
    pub rolls_restarts: bool,
    /// What ansible.cfg changes.
    pub customs: Customs,
    /// Where facts stay between runs, if they do.
    pub fact_cache: Option<FactCache>,
    /// Folders with modules of the user's own.
    pub own: OwnPaths,
    /// `facts_modules`: what gathers facts; nothing: the built-in module.
    pub facts_modules: Vec<String>,
    /// Settings for `lookup('config', …)`.
    pub configured: ConfiguredSettings,
}

impl World {
    /// What is wrong with a template, and where: the line, with carets, and the variables through
    /// which the error came. Only what is wrong while files are being loaded.
    #[must_use]
    pub fn explained(&self, error: &TemplateError) -> String {
        let message = error.message();
        let Some(Ok(loader)) = self.loader.get().map(|loader| loader.try_lock()) else {
            return message.to_owned();
        };
        let sources = loader.sources();
        let shown = diagnostics::render(&error.diagnostic(sources), sources, Style::Plain);
        // Its first line is the message again.
        match shown.split_once('\n') {
            Some((_, place)) => format!("{message}\n\n{place}"),
            None => message.to_owned(),
        }
    }

    /// A host of the inventory.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<Arc<HostVariables>> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// A host of the inventory, or one that no inventory names: localhost and hosts that
    /// `delegate_to` names by address. These keep what they learn, too, and see what is said of
    /// all hosts.
    #[must_use]
    pub fn host_or_new(&self, name: &str) -> Arc<HostVariables> {
        if let Some(host) = self.host(name) {
            return host;
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        let others = others.entry(name.to_owned());
        others.or_insert_with(|| Arc::new(self.new_host(name))).clone()
    }

    /// The variables of the inventory for a host, as its groups are now.
    fn new_host(&self, name: &str) -> HostVariables {
        HostVariables {
            name: name.to_owned(),
            inventory: RwLock::new(self.inventory_layers(name)),
            added: RwLock::default(),
            learned: crate::variables::Learned::default(),
        }
    }

    fn inventory_layers(&self, name: &str) -> Vec<Arc<Layer>> {
        let inventory = self.inventory.read().unwrap_or_else(PoisonError::into_inner);
        let layers = inventory.host_variables(name);
        layers.iter().map(|layer| self.layers.of(&layer.variables)).collect()
    }

    /// What `add_host` does: the host exists afterwards, is in these groups and has these
    /// variables, which are data. Whether something changed.
    pub fn add_host(&self, name: &str, groups: &[String], variables: Layer) -> bool {
        self.note_addition(name, None, groups);
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = inventory.add_host(name, &groups, &yaml::Mapping::default());
        drop(inventory);
        let host = {
            let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
            let host = hosts.entry(name.to_owned());
            host.or_insert_with(|| Arc::new(self.new_host(name))).clone()
        };
        let mut added = host.added.write().unwrap_or_else(PoisonError::into_inner);
        changed |= variables.iter().any(|(key, slot)| {
            let known = added.iter().rev().find_map(|layer| layer.get(key));
            !is_same(known, slot)
        });
        added.push(Arc::new(variables));
        drop(added);
        self.join_groups(&host);
        changed
    }

    /// What `group_by` does: the group exists afterwards, is below these groups and has the host.
    /// Whether something changed.
    ///
    /// # Errors
    /// When a group would be below itself.
    pub fn group_by(
        &self,
        host: &Arc<HostVariables>,
        group: &str,
        parents: &[String],
    ) -> Result<bool, GroupCycle> {
        let above: Vec<&str> = parents.iter().map(String::as_str).collect();
        let mut inventory = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        let changed = inventory.add_to_group(&host.name, group, &above)?;
        drop(inventory);
        self.note_addition(&host.name, Some(group), parents);
        self.join_groups(host);
        Ok(changed)
    }

    fn note_addition(&self, host: &str, group: Option<&str>, parents: &[String]) {
        let addition = Addition {
            host: host.to_owned(),
            group: group.map(str::to_owned),
            parents: parents.to_vec(),
        };
        let mut additions = self.additions.lock().unwrap_or_else(PoisonError::into_inner);
        if !additions.contains(&addition) {
            additions.push(addition);
        }
    }

    /// The inventory was read again: hosts are those that it has now, and those that the run has
    /// added; what they have learned stays.
    pub fn take_inventory(&self, fresh: &Inventory) {
        let additions = self.additions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut inventory = fresh.clone();
        for addition in &additions {
            let parents: Vec<&str> = addition.parents.iter().map(String::as_str).collect();
            match &addition.group {
                None => {
                    inventory.add_host(&addition.host, &parents, &yaml::Mapping::default());
                }
                // One that is gone has no groups; a cycle was refused when it was added.
                Some(group) if inventory.host(&addition.host).is_some() => {
                    let _ = inventory.add_to_group(&addition.host, group, &parents);
                }
                Some(_) => {}
            }
        }
        let names: Vec<String> = inventory.hosts().map(|host| host.name.to_string()).collect();
        let members = members_of_groups(&inventory);
        *self.inventory.write().unwrap_or_else(PoisonError::into_inner) = inventory;
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = members;
        let known = self.hosts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let hosts: IndexMap<String, Arc<HostVariables>> = names
            .into_iter()
            .map(|name| {
                let host = known.get(&name).cloned();
                let host = host.unwrap_or_else(|| self.host_or_new(&name));
                let layers = self.inventory_layers(&name);
                *host.inventory.write().unwrap_or_else(PoisonError::into_inner) = layers;
                (name, host)
            })
            .collect();
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// The host is where the inventory has it, and has the variables of its groups.
    fn join_groups(&self, host: &Arc<HostVariables>) {
        let name = &host.name;
        let inventory = self.inventory.read().unwrap_or_else(PoisonError::into_inner);
        let of_host = inventory.groups_of(name);
        drop(inventory);
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        for group in of_host.iter().map(|group| &**group).chain([ALL]) {
            let members = groups.entry(group.to_owned()).or_default();
            if !members.contains(name) {
                members.push(name.clone());
            }
        }
        if !of_host.contains(UNGROUPED)
            && let Some(members) = groups.get_mut(UNGROUPED)
        {
            members.retain(|member| member != name);
        }
        drop(groups);
        let layers = self.inventory_layers(name);
        *host.inventory.write().unwrap_or_else(PoisonError::into_inner) = layers;
    }

    /// Hosts that a pattern of the `inventory_hostnames` lookup names.
    #[must_use]
    pub fn matching_hosts(&self, pattern: &str) -> Vec<String> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let groups = self.groups();
        let members = |name: &str| -> Vec<String> {
            if name == "all" || name == "*" {
                return hosts.keys().cloned().collect();
            }
            match groups.get(name) {
                Some(members) => members.clone(),
                None => hosts
                    .keys()
                    .filter(|host| crate::outside::glob_matches(name, host))
                    .cloned()
                    .collect(),
            }
        };
        let mut found: Vec<String> = Vec::new();
        for part in pattern.split([':', ',']).map(str::trim).filter(|part| !part.is_empty()) {
            if let Some(out) = part.strip_prefix('!') {
                let out = members(out);
                found.retain(|host| !out.contains(host));
            } else if let Some(only) = part.strip_prefix('&') {
                let only = members(only);
                found.retain(|host| only.contains(host));
            } else {
                for host in members(part) {
                    if !found.contains(&host) {
                        found.push(host);
                    }
                }
            }
        }
        found
    }

    /// All hosts of the inventory, in order.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        self.hosts.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Groups and their members.
    pub fn groups(&self) -> RwLockReadGuard<'_, IndexMap<String, Vec<String>>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(known: Option<&Slot>, new: &Slot) -> bool {
    match (known, new) {
        (Some(Slot::Data(known)), Slot::Data(new)) => known == new,
        _ => false,
    }
}

/// The state of a play for one batch of hosts.
#[derive(Debug)]
pub struct PlayState {
    /// The play.
    pub play: Arc<Play>,
    /// Its name as shown.
    pub name: String,
    /// All hosts of the play.
    pub all_hosts: Vec<String>,
    /// Hosts of this batch.
    pub batch: Vec<String>,
    /// Hosts of the play that failed or are unreachable.
    pub lost: RwLock<Vec<String>>,
    /// Roles whose variables the whole play sees; `include_role` with `public` adds to it.
    roles: RwLock<Vec<Arc<RoleUse>>>,
    /// `vars` of the play and answers to its prompts.
    variables: Vec<Arc<Layer>>,
    /// `vars_files` of each host: their names may be templates over its variables.
    files: HashMap<String, Vec<Arc<Layer>>>,
}

impl PlayState {
    /// The state at the beginning of a batch.
    #[must_use]
    pub fn new(
        play: Arc<Play>,
        name: String,
        all_hosts: Vec<String>,
        batch: Vec<String>,
        variables: Vec<Arc<Layer>>,
    ) -> Self {
        let roles = RwLock::new(play.roles.clone());
        PlayState {
            play,
            name,
            all_hosts,
            batch,
            lost: RwLock::default(),
            roles,
            variables,
            files: HashMap::new(),
        }
    }

    /// Sets the `vars_files` of a host, in the order written.
    pub fn set_files(&mut self, host: &str, layers: Vec<Arc<Layer>>) {
        self.files.insert(host.to_owned(), layers);
    }

    /// Roles whose variables the whole play sees.
    pub fn visible_roles(&self) -> RwLockReadGuard<'_, Vec<Arc<RoleUse>>> {
        self.roles.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a role's variables visible to the rest of the play.
    pub fn publish_role(&self, role: Arc<RoleUse>) {
        let mut roles = self.roles.write().unwrap_or_else(PoisonError::into_inner);
        if !roles.iter().any(|known| Arc::ptr_eq(known, &role)) {
            roles.push(role);
        }
    }

    /// A play-level variable of a host: `vars_files`, prompts, `vars`.
    #[must_use]
    pub fn variable(&self, host: &str, name: &str) -> Option<Slot> {
        self.files
            .get(host)
            .into_iter()
            .flatten()
            .rev()
            .chain(self.variables.iter().rev())
            .find_map(|layer| layer.get(name).cloned())
    }

    /// All play-level layers of a host.
    #[must_use]
    pub fn layers(&self, host: &str) -> Vec<Arc<Layer>> {
        let files = self.files.get(host).into_iter().flatten();
        self.variables.iter().chain(files).cloned().collect()
    }

    /// Records that a host failed or is unreachable.
    pub fn lose(&self, host: &str) {
        self.lost.write().unwrap_or_else(PoisonError::into_inner).push(host.to_owned());
    }

    /// Hosts of `among` that are still in the play.
    #[must_use]
    pub fn still_in(&self, among: &[String]) -> Vec<String> {
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        among.iter().filter(|host| !lost.contains(host)).cloned().collect()
    }
}
