//! A release plan: data that can be saved, reviewed and run, and that is refused when what it was
//! made from has changed.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decide::Step;
use crate::state::{Files, Goal, Observed, Options, Process, Reach};
use crate::version::Version;

/// Version of the format.
pub const PLAN_FORMAT: u32 = 1;

/// A release plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePlan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// Component.
    pub component: String,
    /// Folder of the playbooks.
    pub playbooks: String,
    /// Inventories.
    pub inventories: Vec<String>,
    /// When it was made, in seconds since the epoch.
    pub made_at_s: u64,
    /// What it was made from.
    pub made_from: MadeFrom,
    /// What is wanted.
    pub goal: Goal,
    /// How careful.
    pub options: Options,
    /// What was observed, for who reviews it.
    pub observed: Observed,
    /// What will be done, in order.
    pub steps: Vec<Step>,
}

/// Digests of what a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeFrom {
    /// Inventory and artifacts, as the members see them.
    pub inventory: String,
    /// Role of the component: its tasks, templates and definition.
    pub role: String,
    /// What was observed, without what changes all the time.
    pub observed: String,
}

/// Why a plan is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is no plan.
    #[error("this is no release plan: {0}")]
    Unreadable(String),
    /// Another version of the format.
    #[error("this plan has format {0}; this provision knows {PLAN_FORMAT}")]
    UnknownFormat(u64),
    /// Something has changed.
    #[error("the plan is stale: {}", .0.join(", "))]
    Stale(Vec<String>),
}

impl ReleasePlan {
    /// A plan as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A plan from text.
    ///
    /// # Errors
    /// When it is none, or one of another format.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let unreadable = |error: serde_json::Error| PlanError::Unreadable(error.to_string());
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(PLAN_FORMAT) => {
                serde_json::from_value(value).map_err(unreadable)
            }
            Some(format) => Err(PlanError::UnknownFormat(format)),
            None => Err(PlanError::Unreadable("it names no format".to_owned())),
        }
    }

    /// Whether it may be run now.
    ///
    /// # Errors
    /// What has changed since it was made.
    pub fn check(&self, now: &MadeFrom, observed: &Observed) -> Result<(), PlanError> {
        let mut changed = Vec::new();
        if self.made_from.inventory != now.inventory {
            changed.push("the inventory or its artifacts have changed".to_owned());
        }
        if self.made_from.role != now.role {
            changed.push(format!("the role {} has changed", self.component));
        }
        if self.made_from.observed != now.observed {
            let before = summary(&self.observed);
            let changes = summary(observed).into_iter().filter(|line| !before.contains(line));
            changed.extend(changes.map(|line| format!("now {line}")));
            changed.extend(
                self.observed
                    .members
                    .iter()
                    .filter(|member| observed.member(&member.name).is_none())
                    .map(|member| format!("{} is no member any more", member.name)),
            );
        }
        if changed.is_empty() { Ok(()) } else { Err(PlanError::Stale(changed)) }
    }
}

/// One line a member: what a plan depends on. Positions move all the time and are left out.
fn summary(observed: &Observed) -> Vec<String> {
    let version =
        |version: &Option<Version>| version.as_ref().map_or("nothing".into(), |v| v.to_string());
    let line = |member: &crate::state::Member| {
        let state = match (&member.reach, member.process) {
            (Reach::Unreachable { .. }, _) => "unreachable",
            (_, Process::Dead) => "down",
            (_, Process::Looking) => "not serving",
            (_, Process::Serving(role)) => role.word(),
        };
        let state =
            if member.is_outside { format!("{state}, no member") } else { state.to_owned() };
        let files = if member.files == Files::Changed { ", restart due" } else { "" };
        let mut releases: Vec<String> = member.releases.iter().map(ToString::to_string).collect();
        releases.sort();
        format!(
            "{} is {state}, runs {}, next {}{files}, has {}",
            member.name,
            version(&member.running),
            version(&member.current),
            releases.join(" ")
        )
    };
    observed.members.iter().map(line).collect()
}

impl MadeFrom {
    /// The digest of what was observed.
    #[must_use]
    pub fn observed_digest(observed: &Observed) -> String {
        let lines = summary(observed);
        digest_of(lines.iter().map(|line| ("member", line.as_bytes())))
    }
}

/// A digest of named parts, in their order.
#[must_use]
pub fn digest_of<'a>(parts: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in parts {
        for part in [name.as_bytes(), bytes] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hasher.update(length.to_be_bytes());
            hasher.update(part);
        }
    }
    hex::encode(hasher.finalize())
}
