//! Which variables apply to a host, in layers from the weakest to the strongest.

use std::path::PathBuf;
use std::sync::Arc;

use yaml::Mapping;

use super::vars_files::VarsFolder;
use super::{ALL, Group, Inventory};

/// Where a layer of variables comes from, weakest first (Ansible's levels 3 to 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The inventory's variables of `all`.
    AllOfInventory,
    /// The inventory's variables of other groups.
    GroupOfInventory,
    /// `group_vars/all` beside the inventory.
    AllFile,
    /// `group_vars/all` beside the playbook.
    AllFileOfPlaybook,
    /// Other `group_vars` beside the inventory.
    GroupFile,
    /// Other `group_vars` beside the playbook.
    GroupFileOfPlaybook,
    /// The inventory's variables of the host.
    HostOfInventory,
    /// `host_vars` beside the inventory.
    HostFile,
    /// `host_vars` beside the playbook.
    HostFileOfPlaybook,
}

/// Variables of one origin.
#[derive(Debug, Clone)]
pub struct Layer {
    /// How strong they are.
    pub level: Level,
    /// The group or host they are for.
    pub entity: Arc<str>,
    /// The file, for the levels that come from `group_vars` and `host_vars`.
    pub file: Option<Arc<PathBuf>>,
    /// The variables.
    pub variables: Arc<Mapping>,
}

impl Inventory {
    /// The layers of a host's variables, weakest first; a variable of a later layer replaces
    /// one of an earlier layer as a whole. Empty layers are left out.
    #[must_use]
    pub fn host_variables(&self, host: &str) -> Vec<Layer> {
        let mut layers = Layers::default();
        let found = self.host(host);
        let name: Arc<str> = match found {
            Some(found) if !found.is_implicit => Arc::clone(&found.name),
            _ => host.into(),
        };
        let groups = self.sorted_groups(&name);
        let all: Vec<&Arc<str>> =
            self.groups.get(ALL).map(|group| &group.name).into_iter().collect();
        let names: Vec<&Arc<str>> = groups.iter().map(|group| &group.name).collect();
        if let Some(group) = self.groups.get(ALL) {
            layers.add(Level::AllOfInventory, &group.name, &group.variables);
        }
        for group in &groups {
            layers.add(Level::GroupOfInventory, &group.name, &group.variables);
        }
        layers.add_groups(Level::AllFile, &self.inventory_folders, &all);
        layers.add_groups(Level::AllFileOfPlaybook, &self.playbook_folders, &all);
        layers.add_groups(Level::GroupFile, &self.inventory_folders, &names);
        layers.add_groups(Level::GroupFileOfPlaybook, &self.playbook_folders, &names);
        let Some(found) = found else { return layers.layers };
        layers.add(Level::HostOfInventory, &name, &found.variables);
        layers.add_host(Level::HostFile, &self.inventory_folders, &name);
        layers.add_host(Level::HostFileOfPlaybook, &self.playbook_folders, &name);
        layers.layers
    }

    /// Everything that may become a variable of some host, now or when a host joins a group at run
    /// time; in no particular order.
    pub fn all_variables(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        let folders = self.inventory_folders.iter().chain(&self.playbook_folders);
        let groups = self.groups.values().map(|group| &group.variables);
        let hosts = self.hosts.values().map(|host| &host.variables);
        let own = groups.chain(hosts).chain([&self.implicit_localhost.variables]);
        own.chain(folders.flat_map(|folder| folder.all()))
    }

    /// The groups of a host without `all`, weakest first: by depth, then priority, then name.
    #[must_use]
    pub fn sorted_groups(&self, host: &str) -> Vec<&Group> {
        let names = self.groups_of(host);
        let groups =
            names.iter().filter(|name| &***name != ALL).filter_map(|name| self.groups.get(name));
        let mut groups: Vec<&Group> = groups.collect();
        groups.sort_by(|left, right| {
            let key = |group: &Group| (group.depth, group.priority);
            key(left).cmp(&key(right)).then_with(|| left.name.cmp(&right.name))
        });
        groups
    }
}

#[derive(Default)]
struct Layers {
    layers: Vec<Layer>,
}

impl Layers {
    fn add(&mut self, level: Level, entity: &Arc<str>, variables: &Arc<Mapping>) {
        if !variables.is_empty() {
            let (entity, variables) = (Arc::clone(entity), Arc::clone(variables));
            self.layers.push(Layer { level, entity, file: None, variables });
        }
    }

    fn add_groups(&mut self, level: Level, folders: &[Arc<VarsFolder>], groups: &[&Arc<str>]) {
        for folder in folders {
            for group in groups {
                self.add_files(level, group, folder.group(group));
            }
        }
    }

    fn add_host(&mut self, level: Level, folders: &[Arc<VarsFolder>], host: &Arc<str>) {
        for folder in folders {
            self.add_files(level, host, folder.host(host));
        }
    }

    fn add_files(
        &mut self,
        level: Level,
        entity: &Arc<str>,
        files: &[super::vars_files::VarsFile],
    ) {
        for file in files.iter().filter(|file| !file.variables.is_empty()) {
            self.layers.push(Layer {
                level,
                entity: Arc::clone(entity),
                file: Some(Arc::clone(&file.path)),
                variables: Arc::clone(&file.variables),
            });
        }
    }
}
