//! A policy beside the live one: what it would have decided. Of what is rolled out, judged and frozen
//! it is asked for each decision of the live one, with what that one saw. The number of instances it
//! follows by itself, with its own memory, from the same load; that the load might have been another
//! one with its numbers, it can't know.

use std::collections::BTreeMap;

use policy::config::Policy;
use policy::{Time, scaling};
use scheduler_core::State;
use scheduler_core::app::{CameSince, Observed};
use scheduler_core::decision::{self, Decided, Decision};
use scheduler_core::ids::AppName;
use serde::{Deserialize, Serialize};

use crate::wire::moment;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// When.
    pub at: String,
    /// Of which app.
    pub app: Option<String>,
    /// `scaling`, `rollout`, `verdict` or `freeze`.
    pub kind: String,
    /// What the two policies say.
    pub text: String,
}

#[derive(Debug, Clone)]
struct Followed {
    memory: scaling::State,
    /// The load that was known at the last look, and what has come since the rule was asked.
    load: Option<Observed>,
    came: CameSince,
    wanted: u32,
    looked: Time,
    /// The numbers that were told last: live and candidate.
    told: (u32, u32),
}

/// A policy beside the live one.
#[derive(Debug, Clone)]
pub struct Shadow {
    policy: Policy,
    digest: String,
    since: Time,
    until: Time,
    apps: BTreeMap<AppName, Followed>,
    compared: u64,
    different: u64,
}

impl Shadow {
    /// Nothing is compared yet.
    #[must_use]
    pub fn new(policy: Policy, since: Time, until: Time) -> Self {
        let digest = policy.digest();
        let apps = BTreeMap::new();
        Shadow { policy, digest, since, until, apps, compared: 0, different: 0 }
    }

    /// The digest of the policy.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// From when to when it is asked.
    #[must_use]
    pub const fn period(&self) -> (Time, Time) {
        (self.since, self.until)
    }

    /// Decisions that were compared, and those of them that differ.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.compared, self.different)
    }

    /// The live policy has decided something.
    pub fn decided(&mut self, live: &Decision) -> Option<Difference> {
        let kind = match live.decided {
            Decided::Rollout { .. } => "rollout",
            Decided::Verdict { .. } => "verdict",
            Decided::Freeze { .. } => "freeze",
            // These are followed, or are none.
            Decided::Scaling { .. } | Decided::Policy { .. } => return None,
        };
        self.compared += 1;
        let difference = live.compare(&self.policy).err()?;
        self.different += 1;
        Some(Difference {
            at: moment(live.at),
            app: live.app.as_ref().map(ToString::to_string),
            kind: kind.to_owned(),
            text: difference.to_string(),
        })
    }

    /// Time has passed: how many instances it would have.
    pub fn look(&mut self, state: &State, now: Time) -> Vec<Difference> {
        self.apps.retain(|name, _| state.apps().contains_key(name));
        let mut found = Vec::new();
        for (name, app) in state.apps() {
            let rules = decision::scaling_rules(&self.policy, app.bounds);
            let live = app.wanted;
            let followed = self.apps.entry(name.clone()).or_insert(Followed {
                memory: app.scaling.clone(),
                load: None,
                came: CameSince::default(),
                wanted: live,
                looked: now,
                told: (live, live),
            });
            let Some(load) = app.fresh_load(now) else { continue };
            if followed.load.is_none_or(|known| known.at < load.at) {
                followed.came.add(followed.load, &load.load);
                followed.load = Some(load);
            }
            let is_fixed = app.bounds.min >= app.bounds.max || app.is_deleted;
            if is_fixed || now.since(followed.looked) < rules.interval {
                continue;
            }
            followed.looked = now;
            let came = followed.came.take(load.at);
            let seen = scheduler_core::observation(&rules, app, followed.wanted, load, came);
            let action = scaling::decide(&rules, seen, &mut followed.memory, now);
            followed.wanted = match action {
                scaling::Action::Add(count, _) => followed.wanted.saturating_add(count),
                scaling::Action::Remove(count, _) => followed.wanted.saturating_sub(count),
                scaling::Action::Keep(_) => followed.wanted,
            };
            self.compared += 1;
            let numbers = (live, followed.wanted);
            self.different += u64::from(live != followed.wanted);
            // A difference that lasts is told once.
            let (told_live, told_wanted) = std::mem::replace(&mut followed.told, numbers);
            let is_same = live == followed.wanted && told_live == told_wanted;
            if is_same || numbers == (told_live, told_wanted) {
                continue;
            }
            let text = match live == followed.wanted {
                true => format!("both want {live} instances again"),
                false => format!(
                    "{live} instances are wanted, it would want {} for {} tasks: {action}",
                    followed.wanted, seen.tasks
                ),
            };
            let (at, app) = (moment(now), Some(name.to_string()));
            found.push(Difference { at, app, kind: "scaling".to_owned(), text });
        }
        found
    }
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
