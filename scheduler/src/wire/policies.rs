//! What the API says of the policy.

use serde::{Deserialize, Serialize};

use crate::shadow::Difference;

/// The live policy, the ones before it, and the one beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// Its number among those that there were here.
    pub number: u64,
    /// Its digest.
    pub digest: String,
    /// Its text, as it was given.
    pub text: String,
    /// All there were, the last one last; at most 100 are told.
    pub versions: Vec<PolicyRow>,
    /// The one beside it.
    pub shadow: Option<ShadowState>,
}

/// A policy that was or is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its number.
    pub number: u64,
    /// Its digest.
    pub digest: String,
    /// Since when it decided.
    pub at: String,
    /// `begun`, `applied` or `rolled-back`.
    pub cause: String,
}

/// A policy beside the live one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowState {
    /// Its digest.
    pub digest: String,
    /// Since when it is asked.
    pub since: String,
    /// Until when.
    pub until: String,
    /// Decisions that were compared.
    pub compared: u64,
    /// Those that differ.
    pub different: u64,
    /// The last differences; all are in shadow.log of the daemon's folder.
    pub differences: Vec<Difference>,
}

/// What a change of the policy has led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// The number of the policy that is live now.
    pub number: u64,
    /// Its digest.
    pub digest: String,
    /// Whether that is another one than before.
    pub is_changed: bool,
}

/// Body of `rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRollback {
    /// The number of the policy; the one before the live one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

/// Body of `shadow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyShadow {
    /// The text of the policy; if absent, none is beside the live one any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// For so long, in seconds.
    pub seconds: u64,
}
