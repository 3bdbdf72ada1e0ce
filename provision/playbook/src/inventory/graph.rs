//! Hosts and groups as a graph: adding to it, walking it, keeping Ansible's invariants.
//!
//! Invariants after [`Inventory::reconcile`]: every group but `all` is below `all`; a host is in
//! `ungrouped` exactly if it is in no other group but `all`; no group is below itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use diagnostics::{SourceId, Span};
use indexmap::{IndexMap, IndexSet};
use yaml::{Mapping, Node, NodeValue};

use super::vars_files::VarsFolder;
use super::{ALL, Group, Host, Inventory, UNGROUPED, store};

/// A group would be below itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("make group `{child}` a child of `{parent}`: it already contains `{parent}`")]
pub struct GroupCycle {
    /// The group above.
    pub parent: String,
    /// The group below, which contains the one above.
    pub child: String,
}

/// Whether a name means this machine even if no inventory names it.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

/// What content that runs Python on this machine itself is told to use, also as
/// `ansible_playbook_python`. Nothing of ours needs it.
pub const PYTHON: &str = "/usr/bin/python3";

impl Default for Inventory {
    fn default() -> Self {
        let span = Span::new(SourceId(u32::MAX), 0, 0);
        let text = |name, value| (Node::string(span, name), Node::string(span, value));
        let local = text("ansible_connection", "local");
        let python = text("ansible_python_interpreter", PYTHON);
        let implicit_localhost = Host {
            is_implicit: true,
            variables: Arc::new(Mapping { entries: vec![local, python] }),
            ..Host::new("localhost", None)
        };
        let mut inventory = Inventory {
            hosts: IndexMap::new(),
            groups: IndexMap::new(),
            implicit_localhost,
            inventory_folders: Vec::new(),
            playbook_folders: Vec::new(),
        };
        inventory.add_group(ALL, None);
        inventory.add_group(UNGROUPED, None);
        inventory.link(ALL, UNGROUPED);
        inventory
    }
}

impl Host {
    fn new(name: &str, span: Option<Span>) -> Self {
        Host {
            name: name.into(),
            span,
            file: None,
            is_implicit: false,
            variables: Arc::default(),
            groups: BTreeMap::new(),
        }
    }
}

impl Inventory {
    /// Adds a group unless it exists; whether it is new.
    pub fn add_group(&mut self, name: &str, span: Option<Span>) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        let group = Group {
            name: name.into(),
            span,
            variables: Arc::default(),
            priority: 1,
            depth: 0,
            hosts: Vec::new(),
            children: Vec::new(),
            parents: Vec::new(),
        };
        self.groups.insert(name.into(), group);
        true
    }

    /// Adds a host unless it exists, and puts it into a group that exists; whether something
    /// changed. A port counts only for a new host, as in Ansible.
    pub(super) fn add_named_host(
        &mut self,
        name: &str,
        group: &str,
        port: Option<u32>,
        span: Span,
        file: Option<&Path>,
    ) {
        if !self.hosts.contains_key(name) {
            let mut host = Host { file: file.map(Path::to_owned), ..Host::new(name, Some(span)) };
            if let Some(port) = port {
                let value = Node::new(span, NodeValue::Integer(i64::from(port)));
                let key = Node::string(span, "ansible_port");
                store(Arc::make_mut(&mut host.variables), key, value);
            }
            self.hosts.insert(Arc::clone(&host.name), host);
        }
        self.put_host(group, name, Some(span));
    }

    /// Adds a host that is in no group yet, unless it exists.
    pub(super) fn add_bare_host(&mut self, name: &str, span: Span) {
        if !self.hosts.contains_key(name) {
            let host = Host::new(name, Some(span));
            self.hosts.insert(Arc::clone(&host.name), host);
        }
    }

    /// Makes a host that exists a member of a group that exists; `span` says where that stands.
    pub(super) fn put_host(&mut self, group: &str, host: &str, span: Option<Span>) -> bool {
        let (Some(group), Some(host)) = (self.groups.get_mut(group), self.hosts.get_mut(host))
        else {
            return false;
        };
        if host.groups.contains_key(&group.name) {
            return false;
        }
        host.groups.insert(Arc::clone(&group.name), span);
        group.hosts.push(Arc::clone(&host.name));
        true
    }

    fn take_host(&mut self, group: &str, host: &str) {
        if let (Some(group), Some(host)) = (self.groups.get_mut(group), self.hosts.get_mut(host)) {
            host.groups.remove(&group.name);
            group.hosts.retain(|name| *name != host.name);
        }
    }

    /// Sets a variable of a group or, if no group has this name, of a host.
    pub(super) fn set_variable(&mut self, name: &str, key: Node, value: Node) {
        let variables = match (self.groups.get_mut(name), self.hosts.get_mut(name)) {
            (Some(group), _) => &mut group.variables,
            (None, Some(host)) => &mut host.variables,
            (None, None) => return,
        };
        store(Arc::make_mut(variables), key, value);
    }

    /// Sets the priority of a group.
    pub(super) fn set_priority(&mut self, name: &str, priority: i64) {
        if let Some(group) = self.groups.get_mut(name) {
            group.priority = priority;
        }
    }

    /// Puts a group below another; both exist.
    ///
    /// # Errors
    /// When the group would be below itself.
    pub(super) fn add_child(&mut self, parent: &str, child: &str) -> Result<bool, GroupCycle> {
        // Everything is below `all`, though most groups are linked to it when all else is known.
        if parent == child || child == ALL || self.ancestors(parent).contains(child) {
            return Err(GroupCycle { parent: parent.to_owned(), child: child.to_owned() });
        }
        Ok(self.link(parent, child))
    }

    fn link(&mut self, parent: &str, child: &str) -> bool {
        let (Some(above), Some(below)) = (self.groups.get(parent), self.groups.get(child)) else {
            return false;
        };
        let (above, below) = (Arc::clone(&above.name), Arc::clone(&below.name));
        if let Some(group) = self.groups.get_mut(parent) {
            if group.children.contains(&below) {
                return false;
            }
            group.children.push(Arc::clone(&below));
        }
        if let Some(group) = self.groups.get_mut(child) {
            group.parents.push(above);
        }
        self.deepen(below);
        true
    }

    /// Raises the depth of a group and of what is below it after it got another parent.
    fn deepen(&mut self, start: Arc<str>) {
        let mut open = vec![start];
        while let Some(name) = open.pop() {
            let Some(group) = self.groups.get(&name) else { continue };
            let above = group.parents.iter().filter_map(|parent| self.groups.get(parent));
            let depth = above.map(|parent| parent.depth.saturating_add(1)).max().unwrap_or(0);
            if depth > group.depth {
                open.extend(group.children.iter().cloned());
                if let Some(group) = self.groups.get_mut(&name) {
                    group.depth = depth;
                }
            }
        }
    }

    /// Names of all groups above a group.
    fn ancestors(&self, name: &str) -> BTreeSet<Arc<str>> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Group> = self.groups.get(name).into_iter().collect();
        while let Some(group) = open.pop() {
            for parent in &group.parents {
                if found.insert(Arc::clone(parent)) {
                    open.extend(self.groups.get(parent));
                }
            }
        }
        found
    }

    /// Names of all groups of a host, also indirect ones.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> BTreeSet<Arc<str>> {
        let direct = self.hosts.get(host).map(|host| &host.groups);
        let direct: BTreeSet<Arc<str>> =
            direct.into_iter().flat_map(|g| g.keys().cloned()).collect();
        let mut all = direct.clone();
        for group in &direct {
            if !group.is_empty() {
                all.extend(self.ancestors(group));
            }
        }
        all
    }

    /// Names of all hosts of a group, also indirect ones: its own first, then level by level.
    #[must_use]
    pub fn hosts_of(&self, group: &str) -> Vec<Arc<str>> {
        let Some(start) = self.groups.get(group) else { return Vec::new() };
        let mut walked: IndexSet<&Arc<str>> = IndexSet::from([&start.name]);
        let mut hosts: IndexSet<Arc<str>> = IndexSet::new();
        let mut next = 0;
        while let Some(group) = walked.get_index(next).and_then(|name| self.groups.get(*name)) {
            hosts.extend(group.hosts.iter().cloned());
            walked.extend(&group.children);
            next += 1;
        }
        hosts.into_iter().collect()
    }

    /// Restores the invariants after hosts or groups were added.
    pub(super) fn reconcile(&mut self) {
        let roots: Vec<Arc<str>> = self
            .groups
            .values()
            .filter(|group| &*group.name != ALL && group.parents.is_empty())
            .map(|group| Arc::clone(&group.name))
            .collect();
        for root in roots {
            self.link(ALL, &root);
        }
        let hosts: Vec<Arc<str>> = self.hosts.keys().cloned().collect();
        for host in hosts {
            let Some(groups) = self.hosts.get(&host).map(|host| &host.groups) else { continue };
            let grouped = groups.keys().any(|group| !matches!(&**group, ALL | UNGROUPED));
            let ungrouped = groups.contains_key(UNGROUPED);
            if grouped && ungrouped {
                self.take_host(UNGROUPED, &host);
            } else if !grouped && !ungrouped {
                self.put_host(UNGROUPED, &host, None);
            }
        }
    }

    /// What `add_host` does at run time: the host exists afterwards, is in these groups (which
    /// are made if need be) and has these variables. Whether something changed.
    pub fn add_host(&mut self, name: &str, groups: &[&str], variables: &Mapping) -> bool {
        let mut changed = !self.hosts.contains_key(name);
        if changed {
            let host = Host::new(name, None);
            self.hosts.insert(Arc::clone(&host.name), host);
            self.put_host(ALL, name, None);
        }
        if let Some(host) = self.hosts.get_mut(name) {
            for (key, value) in variables.iter() {
                let known = host
                    .variables
                    .iter()
                    .any(|(known, old)| known.value == key.value && old.value == value.value);
                if !known {
                    changed = true;
                    store(Arc::make_mut(&mut host.variables), key.clone(), value.clone());
                }
            }
        }
        for group in groups {
            changed |= self.add_group(group, None);
            changed |= self.put_host(group, name, None);
        }
        if changed {
            self.reconcile();
        }
        changed
    }

    /// Sets variables of a group, which is made if need be; for inventories that come from
    /// elsewhere than files.
    pub fn add_group_variables(&mut self, group: &str, variables: &Mapping) {
        self.add_group(group, None);
        if let Some(group) = self.groups.get_mut(group) {
            let known = Arc::make_mut(&mut group.variables);
            for (key, value) in variables.iter() {
                store(known, key.clone(), value.clone());
            }
        }
        self.reconcile();
    }

    /// What `group_by` does at run time: the group exists afterwards, is below these groups
    /// (which are made if need be) and contains the host. Whether something changed.
    ///
    /// # Errors
    /// When a group would be below itself; then nothing has changed but new, empty groups.
    pub fn add_to_group(
        &mut self,
        host: &str,
        group: &str,
        parents: &[&str],
    ) -> Result<bool, GroupCycle> {
        let mut changed = self.add_group(group, None);
        for parent in parents {
            changed |= self.add_group(parent, None);
            changed |= self.add_child(parent, group)?;
        }
        if host == "localhost" && !self.hosts.contains_key(host) {
            // This machine, which nobody named, is a host like others from now on.
            self.hosts.insert(Arc::from(host), self.implicit_localhost.clone());
        }
        if !self.hosts_of(group).iter().any(|name| &**name == host) {
            changed |= self.put_host(group, host, None);
        }
        if changed {
            self.reconcile();
        }
        Ok(changed)
    }

    /// Adds the `group_vars` and `host_vars` beside an inventory; later ones win.
    pub(super) fn add_inventory_folder(&mut self, folder: Arc<VarsFolder>) {
        self.inventory_folders.retain(|known| known.base != folder.base);
        self.inventory_folders.push(folder);
    }

    /// Sets the `group_vars` and `host_vars` beside the playbooks.
    pub(super) fn set_playbook_folders(&mut self, folders: Vec<Arc<VarsFolder>>) {
        self.playbook_folders = folders;
    }
}
