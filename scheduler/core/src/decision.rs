//! Records of decisions: what was seen, what the rules remembered, and what they said. Given the
//! policy with the same digest, each can be made again and must come out the same.

use policy::config::Policy;
use policy::rollout::{self, Progress, Rollout, Step};
use policy::scaling::{self, Scaling};
use policy::{Time, repair};
use serde::{Deserialize, Serialize};

use crate::app::Bounds;
use crate::ids::AppName;

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Time,
    /// The digest of the policy.
    pub policy: String,
    /// What about.
    pub app: Option<AppName>,
    /// What was seen and said.
    pub decided: Decided,
}

/// What was seen and said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decided {
    /// How many instances there should be.
    Scaling {
        /// The bounds of the app.
        bounds: Bounds,
        /// What was seen.
        seen: scaling::Observation,
        /// What the rule remembered.
        before: Box<scaling::State>,
        /// What it said.
        action: scaling::Action,
    },
    /// What is started and retired.
    Rollout {
        /// The most that are replaced at a time, instead of what the policy says.
        step_most: Option<u32>,
        /// What was seen.
        seen: rollout::Observation,
        /// What the rule said.
        step: Step,
    },
    /// How a deployment goes.
    Verdict {
        /// What was seen.
        seen: rollout::Observation,
        /// What is done.
        step: Step,
        /// How far it was.
        before: Progress,
        /// What the rule said.
        verdict: rollout::Verdict,
    },
    /// Whether repair goes on.
    Freeze {
        /// What was seen.
        seen: repair::Observation,
        /// What the rule remembered.
        before: repair::State,
        /// What it said.
        verdict: repair::Verdict,
    },
    /// Another policy decides from now on.
    Policy {
        /// The digest of the one before.
        before: String,
        /// The digest of the one that decides now.
        after: String,
    },
}

/// Why a decision doesn't come out the same again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// It was made by another policy.
    #[error("it was made by the policy {made}, this is {given}")]
    Policy {
        /// The digest of the policy that made it.
        made: String,
        /// The digest of the policy that was given.
        given: String,
    },
    /// The rules say something else.
    #[error("it was {was}, the rules say {is} now")]
    Action {
        /// What was said.
        was: String,
        /// What is said now.
        is: String,
    },
}

impl Decision {
    /// Makes it again.
    ///
    /// # Errors
    /// What is different.
    pub fn replay(&self, policy: &Policy) -> Result<(), Difference> {
        let given = policy.digest();
        if given != self.policy {
            return Err(Difference::Policy { made: self.policy.clone(), given });
        }
        self.compare(policy)
    }

    /// Makes it again by any policy.
    ///
    /// # Errors
    /// What is different.
    pub fn compare(&self, policy: &Policy) -> Result<(), Difference> {
        match &self.decided {
            Decided::Scaling { bounds, seen, before, action } => {
                let rules = scaling_rules(policy, *bounds);
                same(action, &scaling::decide(&rules, *seen, &mut before.clone(), self.at))
            }
            Decided::Rollout { step_most, seen, step } => {
                same(step, &rollout::decide(&rollout_rules(policy, *step_most), seen))
            }
            Decided::Verdict { seen, step, before, verdict } => {
                let mut progress = *before;
                let again = rollout::judge(&policy.rollout, seen, step, &mut progress, self.at);
                same(verdict, &again)
            }
            Decided::Freeze { seen, before, verdict } => {
                let again = repair::decide(&policy.repair, *seen, &mut before.clone(), self.at);
                same(verdict, &again)
            }
            // A user decided that.
            Decided::Policy { .. } => Ok(()),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(was: &T, is: &T) -> Result<(), Difference> {
    if was == is {
        return Ok(());
    }
    Err(Difference::Action { was: format!("{was:?}"), is: format!("{is:?}") })
}

/// How an app scales: its file says between how many, the policy says the rest.
#[must_use]
pub const fn scaling_rules(policy: &Policy, bounds: Bounds) -> Scaling {
    let mut rules = policy.scaling;
    rules.min = bounds.min;
    rules.max = bounds.max;
    rules
}

/// How a deployment goes: a user may say how many are replaced at a time.
pub(crate) fn rollout_rules(policy: &Policy, step_most: Option<u32>) -> Rollout {
    Rollout { step: step_most.unwrap_or(policy.rollout.step), ..policy.rollout }
}
