//! Consul as a source: mapping files, `consul://` arguments, and how what they bring joins the
//! rest.
//!
//! Static sources come first, whatever the order of the arguments: what they say of a host or group
//! stays, and Consul never changes how a host is reached that they name.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use diagnostics::{Diagnostic, SourceId, Span};
use provision_discovery::{
    Discovered, FoundHost, Mapping as ConsulMapping, Question, Variables, default_mapping,
    read_mapping, resolve,
};
use yaml::{Mapping, Node};

use super::load::Loader;
use super::{Inventory, UNGROUPED, store};

/// The schemes of `-i`, and whether the connection is encrypted.
const SCHEMES: [(&str, &str); 2] = [("consul://", "http://"), ("consul+https://", "https://")];

/// The scheme of HTTP for an argument that names a Consul, and the rest.
pub(super) fn encryption(argument: &str) -> Option<(&'static str, &str)> {
    let rest = |(ours, http): (&str, &'static str)| Some((http, argument.strip_prefix(ours)?));
    SCHEMES.into_iter().find_map(rest)
}

/// Whether a document is a mapping for Consul and no list of groups.
pub(super) fn is_mapping(document: &Node) -> bool {
    let plugin = document.as_mapping().and_then(|all| all.get("plugin"));
    plugin.and_then(Node::as_str) == Some("consul")
}

impl Loader<'_> {
    /// `consul://HOST:PORT,HOST:PORT/DATACENTER,DATACENTER`, with the built-in mapping.
    pub(super) fn consul_url(&mut self, url: &str) {
        let Some((http, rest)) = encryption(url) else { return };
        self.file = None;
        let (hosts, datacenters) = rest.split_once('/').unwrap_or((rest, ""));
        let text = default_mapping();
        let source = self.sources.add(format!("built-in mapping of {url}"), text);
        match read_mapping(text, source) {
            Ok((mut mapping, _)) => {
                let hosts = hosts.split(',').filter(|host| !host.is_empty());
                mapping.connection.addresses = hosts.map(|host| format!("{http}{host}")).collect();
                let names = datacenters.split(',').filter(|name| !name.is_empty());
                mapping.datacenters = names.map(str::to_owned).collect();
                self.ask(&mapping);
            }
            Err(found) => found.into_iter().for_each(|one| self.report(one)),
        }
    }

    /// A mapping file.
    pub(super) fn consul_file(&mut self, text: &str, source: SourceId) {
        match read_mapping(text, source) {
            Ok((mapping, found)) => {
                found.into_iter().for_each(|one| self.report(one));
                self.ask(&mapping);
            }
            Err(found) => found.into_iter().for_each(|one| self.report(one)),
        }
    }

    /// Asks each datacenter as if it were a Consul of its own. Keys are those of the first: each
    /// has a store of its own, and what stands in one must not depend on the others.
    fn ask(&mut self, mapping: &ConsulMapping) {
        let folder = self.file.as_deref().and_then(|file| file.parent());
        let base = folder.map_or_else(PathBuf::new, std::path::Path::to_owned);
        let mut wanted = mapping.wanted();
        let mut mapping = mapping.clone();
        let mut datacenters: Vec<Option<String>> =
            mapping.datacenters.iter().cloned().map(Some).collect();
        if datacenters.is_empty() {
            datacenters.push(mapping.connection.datacenter.clone());
        }
        let mut seen = BTreeSet::new();
        for datacenter in datacenters {
            mapping.connection.datacenter = datacenter;
            let connection = mapping.connection.clone();
            let question = Question { connection, wanted: wanted.clone(), base: base.clone() };
            match self.files.consul(&question) {
                Ok(answered) => {
                    answered.warnings.into_iter().for_each(|one| self.report(one));
                    let found =
                        resolve(&mapping, &answered.origin, &answered.catalog, self.sources);
                    self.discovered.push(without_seen(found, &mut seen));
                }
                Err(diagnostic) => self.report(*diagnostic),
            }
            wanted.kv_prefix = None;
            mapping.kv = None;
        }
    }

    /// Adds what Consul has to what the other sources have.
    pub(super) fn merge_discovered(&mut self) {
        let all = std::mem::take(&mut self.discovered);
        let mut found = Vec::new();
        for group in all.iter().flat_map(|discovered| &discovered.groups) {
            self.inventory.add_group(&group.name, Some(group.span));
        }
        let known: BTreeSet<Arc<str>> = self.inventory.hosts.keys().cloned().collect();
        for discovered in all {
            self.inventory.merge(discovered, &known, &mut found);
        }
        found.into_iter().for_each(|one| self.report(one));
    }
}

/// Leaves out hosts that an earlier datacenter has: a host is one machine, and which one must not
/// depend on who registers its name elsewhere.
fn without_seen(mut found: Discovered, seen: &mut BTreeSet<String>) -> Discovered {
    let hosts = std::mem::take(&mut found.hosts);
    for host in hosts {
        if seen.contains(&host.name) {
            let message = format!("node `{}` is left out", host.name);
            found.diagnostics.push(
                Diagnostic::warning("consul-node", message)
                    .at(host.span, "an earlier datacenter of the mapping has a node of this name"),
            );
        } else {
            found.hosts.push(host);
        }
    }
    seen.extend(found.hosts.iter().map(|host| host.name.clone()));
    found
}

impl Inventory {
    /// Takes hosts and variables; `known` hosts are those of static sources.
    fn merge(&mut self, found: Discovered, known: &BTreeSet<Arc<str>>, told: &mut Vec<Diagnostic>) {
        told.extend(found.diagnostics);
        for host in found.hosts {
            if self.groups.contains_key(host.name.as_str()) {
                // A pattern with this name would mean the host and no longer the group.
                let message = format!("node `{}` is left out", host.name);
                told.push(
                    Diagnostic::warning("consul-node", message)
                        .at(host.span, "a group of the inventory has this name"),
                );
                continue;
            }
            let is_static = known.contains(host.name.as_str());
            self.merge_host(host, is_static);
        }
        for variables in found.group_variables {
            match self.groups.get_mut(variables.entity.as_str()) {
                Some(group) => add_absent(&mut group.variables, variables.variables),
                None => told.push(unknown("group", &variables)),
            }
        }
        for variables in found.host_variables {
            match self.hosts.get_mut(variables.entity.as_str()) {
                Some(host) => add_absent(&mut host.variables, variables.variables),
                None => told.push(unknown("host", &variables)),
            }
        }
    }

    fn merge_host(&mut self, found: FoundHost, is_static: bool) {
        let FoundHost { name, span, variables, groups } = found;
        let place = |group: &(String, Span)| (group.0.clone(), Some(group.1));
        let mut places: Vec<(String, Option<Span>)> = groups.iter().map(place).collect();
        if places.is_empty() && !self.hosts.contains_key(name.as_str()) {
            places.push((UNGROUPED.to_owned(), Some(span)));
        }
        self.add_bare_host(&name, span);
        for (group, span) in places {
            self.put_host(&group, &name, span);
        }
        let Some(host) = self.hosts.get_mut(name.as_str()) else { return };
        let is_steering =
            |key: &Node| key.as_str().is_some_and(|name| name.starts_with("ansible_"));
        let entries = variables.entries.into_iter();
        let entries = entries.filter(|(key, _)| !is_static || !is_steering(key)).collect();
        add_absent(&mut host.variables, Mapping { entries });
    }
}

/// Sets what is not set: other sources know better.
fn add_absent(known: &mut Arc<Mapping>, variables: Mapping) {
    for (key, value) in variables.entries {
        if !known.iter().any(|(known, _)| known.value == key.value) {
            store(Arc::make_mut(known), key, value);
        }
    }
}

fn unknown(what: &str, variables: &Variables) -> Diagnostic {
    let message =
        format!("Consul has variables of {what} `{}`, which there is not", variables.entity);
    Diagnostic::warning("consul-kv", message).at(variables.span, "nobody gets these")
}
