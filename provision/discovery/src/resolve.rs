//! Answers of Consul to hosts, groups and variables, each with the place that it comes from.

use std::collections::BTreeMap;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use indexmap::IndexMap;
use yaml::{Mapping as Entries, Node, NodeValue};

use crate::facts::{self, Facts};
use crate::kv::{self, FromKeys};
use crate::mapping::{Keyed, Mapping};
use crate::names;
use crate::terms::{Field, Key, Term};
use crate::{Catalog, Services};

/// How many names a warning lists.
const LISTED_NAMES: usize = 5;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// Hosts in the order of their names.
    pub hosts: Vec<FoundHost>,
    /// Groups: those of the mapping, then keyed ones.
    pub groups: Vec<FoundGroup>,
    /// Variables of groups, which other sources may have.
    pub group_variables: Vec<Variables>,
    /// Variables of hosts, likewise.
    pub host_variables: Vec<Variables>,
    /// What is wrong, and what should be known.
    pub diagnostics: Vec<Diagnostic>,
}

/// A node that becomes a host.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundHost {
    /// Its name.
    pub name: String,
    /// Where Consul says so.
    pub span: Span,
    /// Its variables: data, all of it.
    pub variables: Entries,
    /// Its groups, and why it is in them.
    pub groups: Vec<(String, Span)>,
}

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundGroup {
    /// Its name.
    pub name: String,
    /// The rule that makes it.
    pub span: Span,
}

/// Variables of a host or group.
#[derive(Debug, Clone, PartialEq)]
pub struct Variables {
    /// Its name.
    pub entity: String,
    /// Where they are.
    pub span: Span,
    /// They: data, all of it.
    pub variables: Entries,
}

/// What a mapping makes of a catalog. `origin` is the name of the source in messages.
#[must_use]
pub fn resolve(
    mapping: &Mapping,
    origin: &str,
    catalog: &Catalog,
    sources: &mut Sources,
) -> Discovered {
    let mut found = Vec::new();
    if catalog.nodes.is_empty() {
        // The servers are nodes themselves, so there is always one to see.
        found.push(
            Diagnostic::error("consul", format!("{origin} shows no node at all"))
                .note("Consul 1.10 and older answer so when the token may not see nodes")
                .hint(
                    r#"give a token (CONSUL_HTTP_TOKEN) with node_prefix "" { policy = "read" }"#,
                ),
        );
        return Discovered { diagnostics: found, ..Discovered::default() };
    }
    check_services(mapping, origin, catalog, &mut found);
    let (facts, source) = facts::collect(catalog, origin, sources);
    let mut resolver =
        Resolver { mapping, source, found, groups: IndexMap::new(), dropped: BTreeMap::new() };
    for (name, _) in &mapping.groups {
        resolver.groups.insert(name.value.clone(), name.span);
    }
    let hosts: Vec<FoundHost> = facts
        .iter()
        .filter(|facts| mapping.nodes.hold(facts))
        .filter_map(|facts| resolver.host(facts))
        .collect();
    resolver.warn_of_dropped();
    resolver.warn_of_addresses(&hosts);
    let Resolver { mut found, groups, .. } = resolver;
    if hosts.is_empty() && !facts.is_empty() {
        let message = format!("none of {} nodes of {origin} becomes a host", facts.len());
        let hint = "`provision inventory` reads the mapping: look at `nodes`, and at health";
        found.push(Diagnostic::warning("consul", message).hint(hint));
    }
    let keys = match &mapping.kv {
        Some(kv) => kv::read(kv, &catalog.keys, origin, sources, &mut found),
        None => FromKeys::default(),
    };
    Discovered {
        hosts,
        groups: groups.into_iter().map(|(name, span)| FoundGroup { name, span }).collect(),
        group_variables: keys.groups,
        host_variables: keys.hosts,
        diagnostics: found,
    }
}

/// A service that a mapping names and nobody offers is a slip, or all of it is down.
fn check_services(mapping: &Mapping, origin: &str, catalog: &Catalog, found: &mut Vec<Diagnostic>) {
    let Services::Named(names) = mapping.wanted().services else { return };
    let is_void = |name: &&String| catalog.services.get(*name).is_none_or(Vec::is_empty);
    for name in names.iter().filter(is_void) {
        let message = format!("{origin} has no instance of service `{name}`");
        let hint = "the mapping names it; is it spelled as in Consul, and may the token see it?";
        found.push(Diagnostic::warning("consul", message).hint(hint));
    }
}

struct Resolver<'a> {
    mapping: &'a Mapping,
    source: SourceId,
    found: Vec<Diagnostic>,
    groups: IndexMap<String, Span>,
    /// Nodes that can't be hosts, by reason.
    dropped: BTreeMap<&'static str, Vec<(String, Span)>>,
}

impl Resolver<'_> {
    fn host(&mut self, facts: &Facts<'_>) -> Option<FoundHost> {
        let name = facts.node.name.clone();
        let span = facts.spot.span(self.source);
        if let Some(reason) = names::host_problem(&name) {
            self.dropped.entry(reason).or_default().push((name, span));
            return None;
        }
        let mut variables = Entries::default();
        for (variable, terms) in &self.mapping.variables {
            let value = terms.iter().find_map(|term| self.value(term, facts));
            let text = value.as_ref().and_then(|(value, _)| value.as_str());
            if variable.value == "ansible_host" && !text.is_some_and(names::is_address) {
                let reason = "it has no address that SSH could connect to";
                self.dropped.entry(reason).or_default().push((name, span));
                return None;
            }
            let Some((value, place)) = value else { continue };
            variables.entries.push((Node::string(place, variable.value.as_str()), value));
        }
        let groups = self.groups_of(facts);
        Some(FoundHost { name, span, variables, groups })
    }

    /// What a term is on a node, as data, and where that is listed.
    fn value(&self, term: &Term, facts: &Facts<'_>) -> Option<(Node, Span)> {
        let node = facts.node;
        let of_service = |name: &str| facts.service_spots.get(name).copied();
        let spot = match term {
            Term::Node | Term::Address | Term::Tagged(_) | Term::Datacenter | Term::Meta => {
                facts.spot
            }
            Term::Services => facts.spot,
            Term::Health => facts.health_spot,
            Term::MetaKey(key) => facts.meta_spots.get(key.as_str()).copied()?,
            Term::Service(name, _) => of_service(name)?,
        };
        let span = spot.span(self.source);
        let text = |text: &str| (!text.is_empty()).then(|| Node::string(span, text));
        let list = |texts: Vec<&str>| {
            let items = texts.into_iter().map(|text| Node::string(span, text)).collect();
            Node::new(span, NodeValue::Sequence(items))
        };
        let mut value = match term {
            Term::Node => text(&node.name)?,
            Term::Address => text(&node.address)?,
            Term::Tagged(kind) => text(node.tagged_addresses.get(kind)?)?,
            Term::Datacenter => text(&node.datacenter)?,
            Term::Health => text(facts.health_words())?,
            Term::MetaKey(key) => Node::string(span, node.meta.get(key)?.as_str()),
            Term::Meta => {
                let entry = |(key, value): (&String, &String)| {
                    (Node::string(span, key.as_str()), Node::string(span, value.as_str()))
                };
                let entries = node.meta.iter().map(entry).collect();
                Node::new(span, NodeValue::Mapping(Entries { entries }))
            }
            Term::Services => list(facts.services.keys().copied().collect()),
            Term::Service(name, field) => {
                let instance = *facts.services.get(name.as_str())?.first()?;
                match field {
                    Field::Port => {
                        let port = (instance.port != 0).then_some(i64::from(instance.port))?;
                        Node::new(span, NodeValue::Integer(port))
                    }
                    Field::Address => text(&instance.address).or_else(|| text(&node.address))?,
                    Field::Tags => list(instance.tags.iter().map(String::as_str).collect()),
                    Field::Meta(key) => Node::string(span, instance.meta.get(key)?.as_str()),
                }
            }
        };
        kv::mark(&mut value);
        Some((value, span))
    }

    fn groups_of(&mut self, facts: &Facts<'_>) -> Vec<(String, Span)> {
        let mut groups: Vec<(String, Span)> = self
            .mapping
            .groups
            .iter()
            .filter(|(_, conditions)| conditions.hold(facts))
            .map(|(name, _)| (name.value.clone(), name.span))
            .collect();
        for keyed in &self.mapping.keyed {
            if !keyed.require.hold(facts) {
                continue;
            }
            for (name, span) in self.keyed(keyed, facts) {
                self.groups.entry(name.clone()).or_insert(keyed.span);
                if !groups.iter().any(|(known, _)| *known == name) {
                    groups.push((name, span));
                }
            }
        }
        groups
    }

    /// Names of the keyed groups of a node, and where it says what names them.
    fn keyed(&self, keyed: &Keyed, facts: &Facts<'_>) -> Vec<(String, Span)> {
        let named = |parts: &[&str]| {
            let mut name = keyed.prefix.clone();
            for part in parts {
                name.push_str(&keyed.separator);
                name.push_str(&names::sanitised(part));
            }
            name
        };
        let span = |spot: facts::Spot| spot.span(self.source);
        match &keyed.key {
            Key::Datacenter => vec![(named(&[&facts.node.datacenter]), span(facts.spot))],
            Key::Health => vec![(named(&[facts.health_words()]), span(facts.health_spot))],
            Key::Meta(key) => {
                let said = facts.node.meta.get(key).filter(|value| !value.is_empty());
                let spot = facts.meta_spots.get(key.as_str()).copied();
                said.zip(spot)
                    .map(|(value, spot)| (named(&[value]), span(spot)))
                    .into_iter()
                    .collect()
            }
            Key::Service => {
                let spots = facts.service_spots.iter();
                spots.map(|(name, spot)| (named(&[name]), span(*spot))).collect()
            }
            Key::Tag => {
                let mut groups = Vec::new();
                for (service, instances) in &facts.services {
                    let spot = facts.service_spots.get(service).copied().unwrap_or_default();
                    for tag in instances.iter().flat_map(|instance| &instance.tags) {
                        groups.push((named(&[service, tag]), span(spot)));
                    }
                }
                groups
            }
        }
    }

    fn warn_of_dropped(&mut self) {
        for (reason, nodes) in std::mem::take(&mut self.dropped) {
            let Some((name, span)) = nodes.first() else { continue };
            let message = match nodes.len() {
                1 => format!("node {name:?} is left out"),
                count => format!("{count} nodes are left out"),
            };
            let names: Vec<String> =
                nodes.iter().take(LISTED_NAMES).map(|(name, _)| format!("{name:?}")).collect();
            let warning = Diagnostic::warning("consul-node", message).at(*span, reason);
            self.found.push(match nodes.len() {
                1 => warning,
                _ => warning.note(format!("these nodes: {}", names.join(", "))),
            });
        }
    }

    /// Two names for one machine: it would be worked on twice at a time.
    fn warn_of_addresses(&mut self, hosts: &[FoundHost]) {
        let mut first: BTreeMap<&str, &FoundHost> = BTreeMap::new();
        let mut doubles: Vec<(&FoundHost, &FoundHost, &str)> = Vec::new();
        for host in hosts {
            let Some(address) = host.variables.get("ansible_host").and_then(Node::as_str) else {
                continue;
            };
            match first.get(address) {
                Some(other) => doubles.push((other, host, address)),
                None => {
                    first.insert(address, host);
                }
            }
        }
        for (other, host, address) in doubles.iter().take(LISTED_NAMES) {
            let message =
                format!("{} and {} have the same address {address}", other.name, host.name);
            self.found.push(
                Diagnostic::warning("consul-address", message)
                    .at(host.span, "a node that was renamed, or one that lies")
                    .also(other.span, "the other one")
                    .hint("remove the node that is gone: consul force-leave NODE"),
            );
        }
    }
}
