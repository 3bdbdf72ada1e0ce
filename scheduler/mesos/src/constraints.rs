//! Which agents are worth an offer: what the apps' constraints leave, as Mesos' offer constraints (1.11).
//!
//! The master sends fewer offers then; what it sends is judged by the core as before. So all that
//! counts is that no agent is left out which some app could use: where Mesos can't say what a
//! constraint says, it says less. There is a price: of machines that are never offered the core knows
//! nothing, and can't explain why they aren't used.

use std::collections::{BTreeMap, BTreeSet};

use mesos::scheduler::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, PseudoattributeType,
    RoleConstraints, Selector, TextPredicate,
};
use scheduler_core::State;
use scheduler_core::app::{App, Constraint, Specification};

use crate::place::AGENT_ATTRIBUTE;

/// The most groups that are sent: the master looks at all of them for each agent. With more, all
/// agents are offered.
pub const GROUPS_MOST: usize = 100;

/// What must hold together for an agent.
type Group = BTreeSet<Condition>;

/// Something that must hold for an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Is(String, String),
    IsNot(String, String),
    Host(String),
}

/// The constraints on offers for a role; none if some app can use any agent, or there is none.
#[must_use]
pub fn offer_constraints(state: &State, role: &str) -> Option<OfferConstraints> {
    let mut groups: BTreeSet<Group> = BTreeSet::new();
    for app in state.apps().values() {
        for specification in in_use(app) {
            groups.extend(groups_of(specification)?);
        }
    }
    let is_any =
        groups.is_empty() || groups.len() > GROUPS_MOST || groups.iter().any(Group::is_empty);
    if is_any {
        return None;
    }
    let groups = groups.iter().map(|group| ConstraintGroup {
        attribute_constraints: group.iter().map(Condition::told).collect(),
    });
    let role_constraints = RoleConstraints { groups: groups.collect() };
    let role_constraints = BTreeMap::from([(role.to_owned(), role_constraints)]);
    Some(OfferConstraints { role_constraints })
}

/// The version that is wanted, and those that there still are: their machines must be heard of.
fn in_use(app: &App) -> impl Iterator<Item = &Specification> {
    let mut versions: BTreeSet<_> = app.instances.values().map(|one| one.version).collect();
    versions.insert(app.target);
    versions.into_iter().filter_map(|version| app.versions.get(&version).map(AsRef::as_ref))
}

/// The groups of which one must hold; none if there would be too many.
fn groups_of(specification: &Specification) -> Option<Vec<Group>> {
    let mut groups = vec![Group::new()];
    for constraint in &specification.constraints {
        let choices: Vec<Condition> = match constraint {
            Constraint::Attribute { name, .. } | Constraint::NotAttribute { name, .. }
                if is_ours(name) =>
            {
                continue;
            }
            Constraint::Attribute { name, values } => {
                values.iter().map(|value| Condition::Is(name.clone(), value.clone())).collect()
            }
            Constraint::NotAttribute { name, values } => {
                for group in &mut groups {
                    let not = |value: &String| Condition::IsNot(name.clone(), value.clone());
                    group.extend(values.iter().map(not));
                }
                continue;
            }
            Constraint::Machines(machines) => {
                let hosts = machines.iter().map(|machine| {
                    let name = machine.as_str();
                    name.rsplit_once(':').map_or(name, |(host, _)| host).to_owned()
                });
                hosts.map(Condition::Host).collect()
            }
            Constraint::MostPerMachine(_) => continue,
        };
        if groups.len().saturating_mul(choices.len()) > GROUPS_MOST {
            return None;
        }
        let with = |group: &Group, choice: &Condition| {
            let mut group = group.clone();
            group.insert(choice.clone());
            group
        };
        groups = groups
            .iter()
            .flat_map(|group| choices.iter().map(move |choice| with(group, choice)))
            .collect();
    }
    Some(groups)
}

/// Whether the core has an attribute from somewhere else than the agent's attributes.
fn is_ours(name: &str) -> bool {
    matches!(name, "region" | "zone") || name == AGENT_ATTRIBUTE
}

impl Condition {
    fn told(&self) -> AttributeConstraint {
        let named =
            |name: &String| Selector { attribute_name: Some(name.clone()), ..Selector::default() };
        let text = |value: &String| Some(TextPredicate { value: value.clone() });
        let (selector, predicate) = match self {
            Condition::Is(name, value) => {
                (named(name), Predicate { text_equals: text(value), ..Predicate::default() })
            }
            Condition::IsNot(name, value) => {
                (named(name), Predicate { text_not_equals: text(value), ..Predicate::default() })
            }
            Condition::Host(host) => (
                Selector {
                    pseudoattribute_type: Some(PseudoattributeType::Hostname.into()),
                    ..Selector::default()
                },
                Predicate { text_equals: text(host), ..Predicate::default() },
            ),
        };
        AttributeConstraint { selector, predicate }
    }
}
