//! `require` and `nodes`: which nodes are meant.

use std::collections::BTreeMap;

use diagnostics::{Diagnostic, Span};
use serde::Deserialize;
use yaml::Spanned;

use crate::facts::Facts;
use crate::mapping::{OneOrMany, Word};
use crate::terms::{Network, matches};

/// How alive a node has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The members see it: its check `serfHealth` passes.
    Passing,
    /// Whatever they say. Nodes that left or failed stay in the catalog for a while.
    Any,
}

/// Conditions as they are written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    names: Option<OneOrMany>,
    addresses: Option<OneOrMany>,
    services: Option<OneOrMany>,
    meta: Option<BTreeMap<Word, OneOrMany>>,
    health: Option<Spanned<Health>>,
}

/// Conditions that all have to hold; of the alternatives of one, any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    names: Option<Vec<String>>,
    addresses: Option<Vec<Network>>,
    services: Option<Vec<String>>,
    meta: BTreeMap<String, Vec<String>>,
    health: Option<Health>,
}

impl Written {
    /// The conditions; reports what is wrong with them.
    pub(crate) fn checked(self, found: &mut Vec<Diagnostic>) -> Conditions {
        let texts = |many: OneOrMany| many.0.into_iter().map(|one| one.value).collect();
        let mut networks = |many: OneOrMany| {
            let mut known = Vec::new();
            for one in many.0 {
                match Network::parse(&one.value) {
                    Some(network) => known.push(network),
                    None => found.push(
                        Diagnostic::error("consul-mapping", "this is no network")
                            .at(one.span, "expected an address, or one with the bits that count")
                            .hint("write 10.0.0.0/8"),
                    ),
                }
            }
            known
        };
        let meta = self.meta.unwrap_or_default();
        Conditions {
            addresses: self.addresses.map(&mut networks),
            names: self.names.map(texts),
            services: self.services.map(texts),
            meta: meta
                .into_iter()
                .map(|(key, values)| (key.into_inner().value, texts(values)))
                .collect(),
            health: self.health.map(|health| health.value),
        }
    }
}

impl Conditions {
    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }

    /// Whether all that counts is what a node says about itself.
    #[must_use]
    pub fn is_only_claimed(&self) -> bool {
        self.names.is_none()
            && self.addresses.is_none()
            && (self.services.is_some() || !self.meta.is_empty())
    }

    /// Services that are named.
    pub(crate) fn services(&self) -> impl Iterator<Item = &String> {
        self.services.iter().flatten()
    }

    /// The same, but for living nodes only unless it says otherwise.
    pub(crate) fn of_living(self) -> Self {
        Conditions { health: self.health.or(Some(Health::Passing)), ..self }
    }

    /// Whether a node fulfils all.
    pub(crate) fn hold(&self, facts: &Facts<'_>) -> bool {
        let node = facts.node;
        let name = |names: &Vec<String>| names.iter().any(|pattern| matches(pattern, &node.name));
        let network = |known: &Vec<Network>| known.iter().any(|one| one.contains(&node.address));
        let service = |names: &Vec<String>| {
            names.iter().any(|name| facts.services.contains_key(name.as_str()))
        };
        let is_said = |(key, values): (&String, &Vec<String>)| {
            node.meta.get(key).is_some_and(|said| values.iter().any(|wanted| matches(wanted, said)))
        };
        self.names.as_ref().is_none_or(name)
            && self.addresses.as_ref().is_none_or(network)
            && self.services.as_ref().is_none_or(service)
            && self.meta.iter().all(is_said)
            && (self.health != Some(Health::Passing) || facts.is_alive())
    }
}

/// Warns of a group that any node can join.
pub(crate) fn check_claims(conditions: &Conditions, span: Span, found: &mut Vec<Diagnostic>) {
    if conditions.is_only_claimed() {
        found.push(
            Diagnostic::warning("consul-mapping", "any node can join this group")
                .at(span, "a node writes its own meta and services")
                .hint("add `names` or `addresses`, which the policies of Consul protect"),
        );
    }
}
