//! Registrations at agents that nobody looks at: a machine went, or its agent was away, and a new
//! scheduler doesn't know of either. Consul's catalog still has them.

use std::collections::{BTreeMap, BTreeSet};

use consul::ServiceEntry;
use policy::Time;
use scheduler_core::ids::InstanceId;

use crate::plan::LEAK_AFTER;
use crate::registry::Agents;
use crate::service::OWNER_KEY;

/// A registration that nobody wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// The address of its agent.
    pub agent: String,
    /// Its id there.
    pub id: String,
}

/// Registrations that nobody wants, and since when they have been seen.
#[derive(Debug)]
pub struct Strays {
    owner: String,
    agents_are: Agents,
    seen: BTreeMap<Stray, Time>,
    /// Those that were taken away.
    pub swept: u64,
}

impl Strays {
    /// None yet.
    #[must_use]
    pub fn new(owner: &str, agents_are: Agents) -> Self {
        Strays { owner: owner.to_owned(), agents_are, seen: BTreeMap::new(), swept: 0 }
    }

    /// Whether there may be any: where all machines have one agent, that one is looked at.
    #[must_use]
    pub const fn are_possible(&self) -> bool {
        matches!(self.agents_are, Agents::OnMachines { .. })
    }

    /// Those of this scheduler among the entries of a service, of instances that it doesn't know. It
    /// doesn't matter at which agent they are: numbers of instances are never used again.
    pub fn among(
        &self,
        entries: &[ServiceEntry],
        is_known: &dyn Fn(&InstanceId) -> bool,
    ) -> Vec<Stray> {
        let stray = |entry: &ServiceEntry| {
            let ServiceEntry { node, service, .. } = entry;
            let is_ours = service.meta.get(OWNER_KEY).is_some_and(|owner| *owner == self.owner);
            let is_known = service.id.parse().is_ok_and(|id| is_known(&id));
            let agent = self.agents_are.at(&node.address)?;
            (is_ours && !is_known).then(|| Stray { agent, id: service.id.clone() })
        };
        entries.iter().filter_map(stray).collect()
    }

    /// All that were found in a look at the catalog; those that were found a while before, too, are to
    /// be taken away.
    pub fn found(&mut self, found: &BTreeSet<Stray>, now: Time) -> Vec<Stray> {
        self.seen.retain(|stray, _| found.contains(stray));
        let mut due = Vec::new();
        for stray in found {
            let since = *self.seen.entry(stray.clone()).or_insert(now);
            if now.since(since) >= LEAK_AFTER {
                due.push(stray.clone());
            }
        }
        due
    }
}
