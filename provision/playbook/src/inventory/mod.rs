//! Inventories as Ansible reads them: hosts, groups, their variables, and patterns over them.
//!
//! [`load`] turns sources (INI, YAML, folders, `a,b,` lists) into an [`Inventory`] and reports
//! everything that is wrong at once. An inventory answers which groups a host is in, which
//! variables apply to it (in layers, weakest first), and which hosts a pattern means; at run
//! time hosts and groups can be added. Nothing here reads files: the caller passes
//! [`crate::files::Files`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use diagnostics::{Diagnostic, Span};
use indexmap::IndexMap;
use yaml::{Mapping, Node};

mod address;
mod constructed;
mod consul;
mod explain;
mod export;
mod graph;
mod ini;
mod listing;
mod literal;
mod load;
mod pattern;
mod script;
mod shell_words;
mod variables;
mod vars_files;
mod yaml_format;

pub use constructed::{Constructed, KeyedGroup, safe_group_name};
pub use explain::{Explained, Origin};
pub use export::ExportError;
pub use graph::{GroupCycle, PYTHON, is_localhost};
pub use listing::{Branch, Named};
pub use load::{Loaded, Source, load};
pub use pattern::{LimitError, Patterns, Selection};
pub use variables::{Layer, Level};
pub use vars_files::load_playbook_vars;

use vars_files::VarsFolder;

/// The group that every host is in.
pub const ALL: &str = "all";

/// The group of hosts that are in no other group.
pub const UNGROUPED: &str = "ungrouped";

/// Hosts and groups with their variables.
#[derive(Debug, Clone)]
pub struct Inventory {
    hosts: IndexMap<Arc<str>, Host>,
    groups: IndexMap<Arc<str>, Group>,
    /// The localhost that exists where no inventory names one.
    implicit_localhost: Host,
    /// `group_vars` and `host_vars` beside the inventories, weakest first.
    inventory_folders: Vec<Arc<VarsFolder>>,
    /// `group_vars` and `host_vars` beside the playbooks.
    playbook_folders: Vec<Arc<VarsFolder>>,
}

/// One host.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Its name in the inventory.
    pub name: Arc<str>,
    /// Where it was first written; nothing if it was added at run time.
    pub span: Option<Span>,
    /// The inventory file that named it first (`inventory_file`).
    pub file: Option<PathBuf>,
    /// Whether no inventory names it (the localhost of `hosts: localhost`).
    pub is_implicit: bool,
    /// Variables of the inventory itself, without those of groups and files.
    pub variables: Arc<Mapping>,
    /// Groups that name it, and where.
    groups: BTreeMap<Arc<str>, Option<Span>>,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Where it was first written.
    pub span: Option<Span>,
    /// Variables of the inventory itself, without those of files.
    pub variables: Arc<Mapping>,
    /// `ansible_group_priority`: among groups of one depth the higher one wins.
    pub priority: i64,
    /// Distance from the farthest root: deeper groups win.
    pub depth: u32,
    /// Names of the hosts it names itself, in order.
    pub hosts: Vec<Arc<str>>,
    /// Names of the groups below it, in order.
    pub children: Vec<Arc<str>>,
    /// Names of the groups above it.
    pub parents: Vec<Arc<str>>,
}

impl Host {
    /// Its name up to the first dot, or the whole of an IP address: Ansible's
    /// `inventory_hostname_short`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        if address::is_ip(&self.name) {
            return &self.name;
        }
        self.name.split('.').next().unwrap_or(&self.name)
    }
}

impl Inventory {
    /// Hosts in the order of the inventory.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// Groups in the order of the inventory, `all` and `ungrouped` first.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// A host by its name. The names of localhost always exist: if no inventory has this one,
    /// it is the first localhost of the inventory or an implicit one.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name).or_else(|| {
            let implicit = || self.named_localhost().unwrap_or(&self.implicit_localhost);
            is_localhost(name).then(implicit)
        })
    }

    /// The first host of the inventory that is this machine by its name.
    fn named_localhost(&self) -> Option<&Host> {
        self.hosts.values().find(|host| is_localhost(&host.name))
    }

    /// Why encrypted `group_vars` and `host_vars` can't be used: errors where they concern one of
    /// the hosts, otherwise warnings.
    pub fn sealed(&self, concerns: impl Fn(&str) -> bool) -> Vec<Diagnostic> {
        let folders = self.inventory_folders.iter().chain(&self.playbook_folders);
        folders.flat_map(|folder| folder.sealed(self, &concerns)).collect()
    }

    /// A group by its name.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Sorted names of all groups a host is in, also indirectly, without `all`: Ansible's
    /// `group_names`.
    #[must_use]
    pub fn group_names(&self, host: &str) -> Vec<Arc<str>> {
        let mut names = self.groups_of(host);
        names.remove(ALL);
        names.into_iter().collect()
    }

    /// Names of all hosts of each group, also indirect ones: Ansible's `groups`.
    #[must_use]
    pub fn groups_map(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        self.groups.keys().map(|name| (Arc::clone(name), self.hosts_of(name))).collect()
    }
}

/// Sets a key of a mapping: a known key keeps its position and takes the new value.
fn store(mapping: &mut Mapping, key: Node, value: Node) {
    match mapping.entries.iter_mut().find(|(known, _)| known.value == key.value) {
        Some(entry) => *entry = (key, value),
        None => mapping.entries.push((key, value)),
    }
}

/// The name and the port in a text that names one host, such as `[::1]:2222`.
#[must_use]
pub fn host_and_port(text: &str) -> (&str, Option<u32>) {
    match address::parse(text) {
        Some(address) => (address.name, address.port),
        None => (text, None),
    }
}
