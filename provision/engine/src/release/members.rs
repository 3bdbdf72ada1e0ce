//! Hosts that join or leave: which files of the role do it, where, and what the role is told.

use provision_lifecycle::{
    Definition, Duty, Joins, Kind, MemberRules, Observed, Options, QuorumRule, Step,
};
use serde_json::{Value, json};

use crate::variables::Layer;

/// The hosts that are members when a host joins, itself included.
const HOSTS: &str = "member_hosts";
/// The host that loses its vote.
const LEAVING: &str = "member_leaving";
/// Whether data go as well.
const PURGE: &str = "member_purge";
/// Whether containers are stopped, or moved away before a restart.
const DRAIN: &str = "member_drain";

/// The file that asks for a vote, if that is needed.
pub(super) fn join(definition: &Definition) -> Option<&'static str> {
    let members = definition.members.as_ref()?;
    (members.joins == Joins::ByRequest).then_some("join")
}

/// The file that asks to take a vote; who has none and is told nothing just stops.
pub(super) fn leave(definition: &Definition) -> Option<&'static str> {
    definition.members.as_ref()?;
    let is_alike = definition.quorum.as_ref().is_some_and(|one| one.rule == QuorumRule::One);
    (definition.kind.value == Kind::Quorum && !is_alike).then_some("leave")
}

/// The file that stops and removes.
pub(super) fn retire(definition: &Definition) -> Option<&'static str> {
    definition.members.as_ref().map(|_| "retire")
}

/// What deciding needs to know.
pub(super) fn rules(definition: &Definition) -> MemberRules {
    let Some(members) = &definition.members else { return MemberRules::default() };
    MemberRules {
        joins: members.joins,
        leaves: members.leaves,
        workers_leave: definition.followers.is_some(),
    }
}

/// Where a step is carried out: the host, and the member that it is about.
pub(super) fn places(step: &Step) -> Vec<(String, String)> {
    match step {
        Step::Leave { member, via } => vec![(via.clone(), member.clone())],
        other => other.members().iter().map(|name| (name.clone(), name.clone())).collect(),
    }
}

/// Adds what the role is told of a step.
pub(super) fn tell(layer: &mut Layer, step: &Step, options: &Options, observed: &Observed) {
    let mut set = |name: &str, value: Value| {
        layer.set_data(name, provision_template::from_json(&value));
    };
    match step {
        Step::Install { .. } | Step::Join { .. } if observed.roster().is_some() => {
            let belongs = |name: &String| {
                let has_vote = observed.roster().is_some_and(|roster| roster.contains(name));
                has_vote || step.members().contains(name)
            };
            let voters = observed.members.iter().filter(|member| member.duty == Duty::Voter);
            let names: Vec<&String> =
                voters.map(|m| &m.name).filter(|name| belongs(name)).collect();
            set(HOSTS, json!(names));
        }
        Step::Leave { member, .. } => set(LEAVING, json!(member)),
        // Going back is no reason to move anything once more.
        Step::Take { .. } if options.drain => set(DRAIN, json!(true)),
        Step::Retire { .. } => {
            set(PURGE, json!(options.purge));
            set(DRAIN, json!(options.drain));
        }
        _ => {}
    }
}
