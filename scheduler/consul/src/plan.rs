//! What an agent should have and what it has → calls.

use std::collections::{BTreeMap, BTreeSet};

use consul::agent::{AgentService, AgentServices, Registration};
use policy::{Nanoseconds, Time};

use crate::service::{DIGEST_KEY, OWNER_KEY};

/// A service of ours whose instance nobody knows is taken away after this long: a scheduler that has
/// just taken over may not know yet what the one before had started.
pub const LEAK_AFTER: Nanoseconds = Nanoseconds::from_seconds(60);

/// A call to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Register this, or change it to this.
    Register(Box<Registration>),
    /// Take this away.
    Deregister(String),
}

/// What an agent should have. Ids are those of instances.
#[derive(Debug, Clone, Default)]
pub struct Should {
    /// The name of this scheduler.
    pub owner: String,
    /// What has to be there.
    pub there: BTreeMap<String, Registration>,
    /// What must not be there, because its instance is on its way out.
    pub out: BTreeSet<String>,
    /// Other instances that are known: theirs may be there or not.
    pub known: BTreeSet<String>,
}

/// What is ours.
#[must_use]
pub(crate) fn is_ours(owner: &str, service: &AgentService) -> bool {
    service.meta.get(OWNER_KEY).is_some_and(|named| named == owner)
}

/// Whether a service is there as it should be.
#[must_use]
pub(crate) fn is_so(wanted: &Registration, found: &AgentService) -> bool {
    let digest = |meta: &BTreeMap<String, String>| meta.get(DIGEST_KEY).cloned();
    // The digest says what it was registered as, the rest what somebody may have changed since.
    digest(&found.meta) == digest(&wanted.meta)
        && found.weights == Some(wanted.weights)
        && found.service == wanted.name
        && found.port == wanted.port
        && found.tags == wanted.tags
}

/// The calls that make what is there what should be there. `leaks` remembers since when services of
/// ours have been there that nobody knows.
#[must_use]
pub fn plan(
    should: &Should,
    found: &AgentServices,
    leaks: &mut BTreeMap<String, Time>,
    now: Time,
) -> Vec<Call> {
    let mut calls = Vec::new();
    // What goes first makes room for what comes, and must not get requests any more.
    let mut unknown = BTreeSet::new();
    for (id, service) in found {
        if !is_ours(&should.owner, service) || should.there.contains_key(id) {
            continue;
        }
        if should.out.contains(id) {
            calls.push(Call::Deregister(id.clone()));
        } else if !should.known.contains(id) {
            unknown.insert(id.clone());
            let since = *leaks.entry(id.clone()).or_insert(now);
            if now.since(since) >= LEAK_AFTER {
                calls.push(Call::Deregister(id.clone()));
            }
        }
    }
    leaks.retain(|id, _| unknown.contains(id));
    for (id, wanted) in &should.there {
        match found.get(id) {
            // Somebody else's: it stays.
            Some(there) if !is_ours(&should.owner, there) => {}
            Some(there) if is_so(wanted, there) => {}
            Some(_) | None => calls.push(Call::Register(Box::new(wanted.clone()))),
        }
    }
    calls
}
