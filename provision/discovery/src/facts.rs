//! What is known of each node, and where it stands in a text that lists it all: provenance, and
//! something for carets to point at.

use std::collections::BTreeMap;
use std::fmt::Write;

use consul::{Check, Node, Service, Status};
use diagnostics::{SourceId, Sources, Span};

use crate::Catalog;

/// The check by which the members tell whether a node is alive.
const SERF_HEALTH: &str = "serfHealth";

/// What the names of listings end with.
const LISTING: &str = "/catalog";

/// Whether a source is a listing of what Consul says, whose lines say more than their numbers.
#[must_use]
pub fn is_listing(name: &str) -> bool {
    name.starts_with("consul://") && name.ends_with(LISTING)
}

/// Where a fact is listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spot {
    start: usize,
    end: usize,
}

impl Spot {
    pub(crate) fn span(self, source: SourceId) -> Span {
        Span::new(source, self.start, self.end)
    }
}

/// What is known of a node.
pub(crate) struct Facts<'a> {
    pub(crate) node: &'a Node,
    pub(crate) health: Option<Status>,
    /// Instances by service and id.
    pub(crate) services: BTreeMap<&'a str, Vec<&'a Service>>,
    /// Where it says so: the node, its address, its health, its meta, its services.
    pub(crate) spot: Spot,
    pub(crate) health_spot: Spot,
    pub(crate) meta_spots: BTreeMap<&'a str, Spot>,
    pub(crate) service_spots: BTreeMap<&'a str, Spot>,
}

impl Facts<'_> {
    /// Whether the members see it.
    pub(crate) fn is_alive(&self) -> bool {
        self.health == Some(Status::Passing)
    }

    /// Its health in words.
    pub(crate) fn health_words(&self) -> &'static str {
        match self.health {
            Some(Status::Passing) => "passing",
            Some(Status::Warning) => "warning",
            Some(Status::Critical) => "critical",
            Some(Status::Maintenance) => "maintenance",
            None => "unknown",
        }
    }
}

/// All nodes in the order of their names, and the source that lists them.
pub(crate) fn collect<'a>(
    catalog: &'a Catalog,
    origin: &str,
    sources: &mut Sources,
) -> (Vec<Facts<'a>>, SourceId) {
    let is_serf = |check: &&Check| check.check_id == SERF_HEALTH && check.service_name.is_empty();
    let serf = catalog.checks.iter().filter(is_serf);
    let health: BTreeMap<&str, Status> = serf.map(|check| (&*check.node, check.status)).collect();
    let mut offered: BTreeMap<&str, BTreeMap<&str, Vec<&Service>>> = BTreeMap::new();
    for entry in catalog.services.values().flatten() {
        let of_node = offered.entry(&entry.node.name).or_default();
        of_node.entry(&entry.service.name).or_default().push(&entry.service);
    }
    let mut nodes: Vec<&Node> = catalog.nodes.iter().collect();
    nodes.sort_by(|left, right| left.name.cmp(&right.name));
    let mut text = String::new();
    let mut facts = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut services = offered.remove(&*node.name).unwrap_or_default();
        services.values_mut().for_each(|known| known.sort_by(|a, b| a.id.cmp(&b.id)));
        facts.push(list(&mut text, node, health.get(&*node.name).copied(), services));
    }
    let source = sources.add(format!("{origin}{LISTING}"), text);
    (facts, source)
}

fn list<'a>(
    text: &mut String,
    node: &'a Node,
    health: Option<Status>,
    services: BTreeMap<&'a str, Vec<&'a Service>>,
) -> Facts<'a> {
    let mut line = |content: String| {
        let start = text.len();
        text.push_str(&content);
        let end = text.len();
        text.push('\n');
        Spot { start, end }
    };
    let name = word(&node.name);
    let mut first = format!("node {name} address {}", word(&node.address));
    let _ = write!(first, " datacenter {}", word(&node.datacenter));
    for (kind, address) in &node.tagged_addresses {
        let _ = write!(first, " {} {}", word(kind), word(address));
    }
    let mut facts = Facts {
        node,
        health,
        services,
        spot: line(first),
        health_spot: Spot::default(),
        meta_spots: BTreeMap::new(),
        service_spots: BTreeMap::new(),
    };
    facts.health_spot = line(format!("node {name} health {}", facts.health_words()));
    for (key, value) in &node.meta {
        let spot = line(format!("node {name} meta {} {}", word(key), word(value)));
        facts.meta_spots.insert(key, spot);
    }
    for (service, instances) in &facts.services {
        let mut content = format!("node {name} service {}", word(service));
        for tag in instances.iter().flat_map(|instance| &instance.tags) {
            let _ = write!(content, " {}", word(tag));
        }
        facts.service_spots.insert(service, line(content));
    }
    facts
}

/// A text that stays one word on its line, whatever a node wrote.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '@');
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}
