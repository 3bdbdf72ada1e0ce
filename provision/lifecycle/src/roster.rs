//! Who belongs to a cluster, as the cluster itself says; and how hosts come to belong to it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::state::{Duty, Member, Observed};

/// How hosts join and leave: `members` of `component.yml`.
#[derive(Debug, Clone, Deserialize)]
pub struct Members {
    /// `HOST=ID` of all hosts that the inventory knows, if the cluster calls them otherwise.
    pub names: Option<String>,
    /// How a host that runs gets its vote.
    #[serde(default)]
    pub joins: Joins,
    /// Where it is asked to take a vote.
    #[serde(default)]
    pub leaves: Leaves,
}

/// How a host that runs gets its vote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Joins {
    /// The cluster gives it when the host has shown that it is well.
    #[default]
    ByItself,
    /// `join.yml` asks for it, on the host that joins.
    ByRequest,
}

/// Where it is asked to take a vote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaves {
    /// On the host that leaves; on another one if it does not serve.
    #[default]
    ByItself,
    /// On a member that stays.
    ThroughAnother,
}

/// How hosts join and leave, as far as deciding needs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemberRules {
    /// How a host that runs gets its vote.
    pub joins: Joins,
    /// Where it is asked to take a vote.
    pub leaves: Leaves,
    /// Whether a host without a vote is told to leave before it is stopped.
    pub workers_leave: bool,
}

impl Observed {
    /// Who has a vote, as the one leader says; hosts that the inventory does not know included.
    #[must_use]
    pub fn roster(&self) -> Option<&BTreeSet<String>> {
        self.leader()?.roster.as_ref()
    }

    /// Marks hosts of the group that the cluster itself does not know as members. Where nobody
    /// says who belongs to it, all of them count.
    #[must_use]
    pub fn with_known_members(mut self) -> Self {
        let Some(roster) = self.roster().cloned() else { return self };
        for member in &mut self.members {
            member.is_outside = member.duty == Duty::Voter && !roster.contains(&member.name);
        }
        self
    }

    /// Members with a vote that the inventory does not know.
    #[must_use]
    pub fn strangers(&self) -> Vec<&str> {
        let is_known = |name: &&String| self.members.iter().any(|member| member.name == **name);
        let roster = self.roster().into_iter().flatten();
        roster.filter(|name| !is_known(name)).map(String::as_str).collect()
    }

    /// A member that serves and does not know yet who has a vote.
    pub(crate) fn behind(&self) -> Option<&Member> {
        let roster = self.roster()?;
        let mut serving = self.members.iter().filter(|member| member.duty == Duty::Voter);
        serving.find(|member| {
            member.role().is_some() && member.roster.as_ref().is_some_and(|seen| seen != roster)
        })
    }
}
