//! What hosts have told Consul of their releases: `release_COMPONENT` in the meta of their nodes,
//! written by the roles. To compare and to show, never to decide: any node writes its own meta.

use std::collections::BTreeMap;

use consul::Status;
use serde::Serialize;

use crate::catalog::Catalog;

/// What a node's meta calls the release of a component.
const PREFIX: &str = "release_";

/// The check that says whether a node is alive.
const ALIVE: &str = "serfHealth";

/// A host as Consul knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// Whether its agent is alive; `None`: nobody checks.
    pub is_alive: Option<bool>,
    /// Its rack, as it says.
    pub rack: Option<String>,
    /// Releases by component, as it says.
    pub releases: BTreeMap<String, String>,
}

/// Hosts by the names of their nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    hosts: BTreeMap<String, Registered>,
}

impl Registry {
    /// What catalogs hold. Where two know a host, the first counts, as for variables.
    #[must_use]
    pub fn of<'a>(catalogs: impl IntoIterator<Item = &'a Catalog>) -> Self {
        let mut hosts = BTreeMap::new();
        for catalog in catalogs {
            for node in &catalog.nodes {
                let mut checks = catalog.checks.iter();
                let alive = checks.find(|one| one.node == node.name && one.check_id == ALIVE);
                let releases = node.meta.iter().filter_map(|(key, version)| {
                    Some((key.strip_prefix(PREFIX)?.to_owned(), version.clone()))
                });
                let registered = Registered {
                    is_alive: alive.map(|check| check.status == Status::Passing),
                    rack: node.meta.get("rack").cloned(),
                    releases: releases.collect(),
                };
                hosts.entry(node.name.clone()).or_insert(registered);
            }
        }
        Registry { hosts }
    }

    /// Whether any host has told of any release.
    #[must_use]
    pub fn tells_of_releases(&self) -> bool {
        self.hosts.values().any(|host| !host.releases.is_empty())
    }

    /// A host; `None`: Consul has no such node.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&Registered> {
        self.hosts.get(name)
    }

    /// Hosts that tell of a component, with its release, by name.
    pub fn with_component<'a>(
        &'a self,
        component: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.hosts.iter().filter_map(move |(name, host)| {
            Some((name.as_str(), host.releases.get(component)?.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(text: &str) -> Catalog {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn hosts_are_known_by_what_their_nodes_say() {
        let first = catalog(
            r#"{"nodes": [
                {"Node": "a", "Address": "1.1.1.1", "Meta": {"release_zookeeper": "3.9.3",
                    "release_mesos-agent": "1.11.0", "rack": "r1", "released": "x"}},
                {"Node": "b", "Address": "1.1.1.2", "Meta": null},
                {"Node": "c", "Address": "1.1.1.3", "Meta": {"release_zookeeper": "3.8.0"}}],
              "checks": [
                {"Node": "a", "CheckID": "serfHealth", "Status": "passing"},
                {"Node": "b", "CheckID": "disk", "Status": "passing"},
                {"Node": "c", "CheckID": "serfHealth", "Status": "critical"}],
              "services": {}, "keys": []}"#,
        );
        let second = catalog(
            r#"{"nodes": [{"Node": "a", "Address": "2.2.2.2", "Meta": {"release_zookeeper": "0"}}],
                "checks": [], "services": {}, "keys": []}"#,
        );
        let registry = Registry::of([&first, &second]);
        let a = registry.host("a").unwrap();
        assert_eq!((a.is_alive, a.rack.as_deref()), (Some(true), Some("r1")));
        let releases: Vec<(&str, &str)> =
            a.releases.iter().map(|(name, version)| (&**name, &**version)).collect();
        assert_eq!(releases, [("mesos-agent", "1.11.0"), ("zookeeper", "3.9.3")]);
        assert_eq!(registry.host("b").unwrap().is_alive, None);
        assert_eq!(registry.host("c").unwrap().is_alive, Some(false));
        assert_eq!(registry.host("d"), None);
        let with: Vec<(&str, &str)> = registry.with_component("zookeeper").collect();
        assert_eq!(with, [("a", "3.9.3"), ("c", "3.8.0")]);
        assert!(registry.tells_of_releases() && !Registry::default().tells_of_releases());
    }
}
