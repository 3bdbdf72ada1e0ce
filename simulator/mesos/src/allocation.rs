//! Who is offered what: dominant resource fairness between roles and within them, refusals, and the
//! wishes of frameworks (allocator/mesos/hierarchical.cpp).

use std::collections::BTreeMap;
use std::sync::Arc;

use mesos::scheduler::{AttributeConstraint, PseudoattributeType};
use mesos::{Milli, ValueType};

use crate::agent::{Agent, AgentKey};
use crate::framework::{Framework, FrameworkKey};
use crate::{Bundle, Nanoseconds};

/// Least that an agent must have free to be offered at all (`MIN_CPUS`), in CPUs …
const MIN_CPUS: Milli = Milli(10);

/// … or (`MIN_MEM`), in megabytes.
const MIN_MEM: Milli = Milli(32_000);

/// What somebody has been given, and how often.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    amounts: BTreeMap<Arc<str>, Milli>,
    count: u64,
}

impl Given {
    fn add(&mut self, bundle: &Bundle) {
        for (name, amount) in bundle.scalars() {
            *self.amounts.entry(name.clone()).or_default() += amount;
        }
        self.count += 1;
    }

    fn take(&mut self, bundle: &Bundle) {
        for (name, amount) in bundle.scalars() {
            *self.amounts.entry(name.clone()).or_default() -= amount;
        }
    }

    /// The greatest part of any resource of the cluster.
    #[allow(clippy::cast_precision_loss, reason = "as Mesos does")]
    fn share(&self, total: &Given) -> f64 {
        let share = |(name, amount): (&Arc<str>, &Milli)| match total.amounts.get(name) {
            Some(total) if total.0 > 0 => amount.0 as f64 / total.0 as f64,
            _ => 0.0,
        };
        self.amounts.iter().map(share).fold(0.0, f64::max)
    }
}

/// Who has what, in offers and in tasks.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    total: Given,
    roles: BTreeMap<Arc<str>, Given>,
    frameworks: BTreeMap<(Arc<str>, FrameworkKey), Given>,
}

impl Accounts {
    /// An agent's resources are there.
    pub(crate) fn grow(&mut self, total: &Bundle) {
        self.total.add(total);
    }

    /// An agent's resources are gone.
    pub(crate) fn shrink(&mut self, total: &Bundle) {
        self.total.take(total);
    }

    /// Something was given to a framework.
    pub(crate) fn give(&mut self, role: &Arc<str>, framework: FrameworkKey, bundle: &Bundle) {
        self.roles.entry(role.clone()).or_default().add(bundle);
        self.frameworks.entry((role.clone(), framework)).or_default().add(bundle);
    }

    /// Something came back.
    pub(crate) fn take_back(&mut self, role: &Arc<str>, framework: FrameworkKey, bundle: &Bundle) {
        if let Some(given) = self.roles.get_mut(role) {
            given.take(bundle);
        }
        if let Some(given) = self.frameworks.get_mut(&(role.clone(), framework)) {
            given.take(bundle);
        }
    }

    /// Forgets a framework that has ended.
    pub(crate) fn forget(&mut self, framework: FrameworkKey) {
        self.frameworks.retain(|(_, other), _| *other != framework);
    }

    /// Candidates in the order in which they are to be asked: the role with the least share first,
    /// within it the framework with the least; who was given less often, then the name, decides ties.
    pub(crate) fn order(&self, candidates: &mut [Candidate]) {
        let rank = |given: Option<&Given>| {
            given.map_or((0.0, 0), |given| (given.share(&self.total), given.count))
        };
        let key = |candidate: &Candidate| {
            let role = rank(self.roles.get(&candidate.role));
            let own = rank(self.frameworks.get(&(candidate.role.clone(), candidate.framework)));
            (role, candidate.role.clone(), own, candidate.framework)
        };
        candidates.sort_by(|left, right| {
            let (left, right) = (key(left), key(right));
            (left.0.0.total_cmp(&right.0.0))
                .then(left.0.1.cmp(&right.0.1))
                .then_with(|| left.1.cmp(&right.1))
                .then(left.2.0.total_cmp(&right.2.0))
                .then(left.2.1.cmp(&right.2.1))
                .then(left.3.cmp(&right.3))
        });
    }
}

/// A framework in one of its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) role: Arc<str>,
    pub(crate) framework: FrameworkKey,
}

/// Whether there is enough to be offered to somebody without own wishes.
pub(crate) fn is_allocatable(free: &Bundle) -> bool {
    free.scalar("cpus") >= MIN_CPUS || free.scalar("mem") >= MIN_MEM
}

/// Whether a framework wants this offer in this role now.
pub(crate) fn wants(
    framework: &Framework,
    role: &Arc<str>,
    (key, agent): (AgentKey, &Agent),
    free: &Bundle,
    now: Nanoseconds,
) -> bool {
    let refusals = framework.refusals.get(&(role.clone(), key));
    let is_refused = refusals.is_some_and(|refusals| {
        refusals.iter().any(|it| it.until > now && it.refused.contains(free))
    });
    !is_refused && meets_minimum(framework, role, free) && meets_constraints(framework, role, agent)
}

fn meets_minimum(framework: &Framework, role: &Arc<str>, free: &Bundle) -> bool {
    let filters = framework.info.offer_filters.get(&**role);
    let Some(minimum) = filters.and_then(|it| it.min_allocatable_resources.as_ref()) else {
        return is_allocatable(free);
    };
    minimum.quantities.is_empty()
        || minimum.quantities.iter().any(|one| {
            one.quantities.iter().all(|(name, least)| free.scalar(name) >= Milli::from(*least))
        })
}

fn meets_constraints(framework: &Framework, role: &Arc<str>, agent: &Agent) -> bool {
    let constraints = framework.constraints.as_ref();
    let Some(role) = constraints.and_then(|it| it.role_constraints.get(&**role)) else {
        return true;
    };
    role.groups
        .iter()
        .any(|group| group.attribute_constraints.iter().all(|constraint| is_met(constraint, agent)))
}

/// Whether a constraint holds. Texts are compared; what is no text meets all but `not_exists`.
fn is_met(constraint: &AttributeConstraint, agent: &Agent) -> bool {
    let domain = || agent.spec.domain.as_ref()?.fault_domain.as_ref();
    let selector = &constraint.selector;
    // What is selected: none if it isn't there, and its text, if it is one.
    let selected: Option<Option<&str>> =
        match (&selector.attribute_name, selector.pseudoattribute_type()) {
            (Some(name), _) => {
                let found = agent.spec.attributes.iter().find(|attribute| attribute.name == *name);
                found.map(|attribute| {
                    let text = attribute.text.as_ref().map(|text| text.value.as_str());
                    text.filter(|_| attribute.r#type() == ValueType::Text)
                })
            }
            (None, PseudoattributeType::Hostname) => Some(Some(agent.spec.hostname.as_str())),
            (None, PseudoattributeType::Region) => domain().map(|it| Some(it.region.name.as_str())),
            (None, PseudoattributeType::Zone) => domain().map(|it| Some(it.zone.name.as_str())),
            (None, PseudoattributeType::Unknown) => return true,
        };
    let predicate = &constraint.predicate;
    let text = selected.flatten();
    let is_other_kind = selected.is_some() && text.is_none();
    if predicate.exists.is_some() {
        selected.is_some()
    } else if predicate.not_exists.is_some() {
        selected.is_none()
    } else if let Some(wanted) = &predicate.text_equals {
        is_other_kind || text == Some(wanted.value.as_str())
    } else if let Some(unwanted) = &predicate.text_not_equals {
        is_other_kind || text != Some(unwanted.value.as_str())
    } else {
        // Regular expressions are refused when a framework subscribes.
        true
    }
}
