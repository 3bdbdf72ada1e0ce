//! How many instances an app has. Per tick: configuration, observation, state, now → actions.
//!
//! The first rule, [`Rule::Tasks`], is the platform's original one: when the tasks to be processed
//! are more than the target per instance, an instance is added. The account of it is silent about
//! going back; that half is ours: an instance is taken when one fewer would have been enough for the
//! whole of a period. The others are those of the common autoscalers, and one that knows what is
//! already starting; each has a module with its source.

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

pub mod arrivals;
pub mod hpa;
pub mod keda;
pub mod kpa;
mod memory;
mod reasons;
mod schedule;

pub use arrivals::Arrivals;
pub use hpa::{Behaviour, Hpa, Metric};
pub use keda::Keda;
pub use kpa::Kpa;
pub use memory::{FlowSample, Looks, MOST_LOOKS, Memory, Panic, Sample};
pub use reasons::{Action, Added, Kept, Removed};
pub use schedule::{Entry, Schedule};

/// The rule. `target`, `step`, `cool_down` and `scale_in_after` are those of [`Rule::Tasks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Scaling {
    /// Tasks to be processed per instance above which instances are added.
    pub target: u32,
    /// The fewest instances.
    pub min: u32,
    /// The most instances.
    pub max: u32,
    /// Instances added or taken at a time.
    pub step: u32,
    /// Time between decisions.
    pub interval: Nanoseconds,
    /// Time after a change during which nothing else changes.
    pub cool_down: Nanoseconds,
    /// For how long one step fewer must have been enough before it is taken; never if absent.
    pub scale_in_after: Option<Nanoseconds>,
    /// Which rule it is. The original one isn't written, so that digests of policies stay.
    #[serde(skip_serializing_if = "Rule::is_tasks")]
    pub rule: Rule,
    /// The fewest instances by the time of day, for any rule; the larger one of this and `min` holds.
    #[serde(skip_serializing_if = "Schedule::is_empty")]
    pub schedule: Schedule,
}

/// By what the number of instances is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Tasks for each instance, step by step: the platform's original rule.
    Tasks,
    /// As the horizontal pod autoscaler of Kubernetes.
    Hpa(Hpa),
    /// As the pod autoscaler of Knative.
    Kpa(Kpa),
    /// As KEDA with a queue.
    Keda(Keda),
    /// As many as the schedule says.
    Scheduled,
    /// What arrives, what waits, and what is already starting.
    Arrivals(Arrivals),
}

impl Rule {
    /// Whether it is the original one.
    #[must_use]
    pub const fn is_tasks(&self) -> bool {
        matches!(self, Rule::Tasks)
    }

    /// Whether it asks for [`Observation::flow`].
    #[must_use]
    pub const fn asks_for_flow(&self) -> bool {
        matches!(self, Rule::Hpa(_) | Rule::Kpa(_) | Rule::Keda(_) | Rule::Arrivals(_))
    }

    /// Its parameters, or those that an autoscaler of that kind would have.
    pub(crate) const fn hpa(&self) -> Hpa {
        match self {
            Rule::Hpa(hpa) => *hpa,
            _ => Hpa::DEFAULT,
        }
    }

    /// Likewise.
    pub(crate) const fn kpa(&self) -> Kpa {
        match self {
            Rule::Kpa(kpa) => *kpa,
            _ => Kpa::DEFAULT,
        }
    }

    /// Likewise.
    pub(crate) const fn keda(&self) -> Keda {
        match self {
            Rule::Keda(keda) => *keda,
            _ => Keda::DEFAULT,
        }
    }

    /// Likewise.
    pub(crate) const fn arrivals(&self) -> Arrivals {
        match self {
            Rule::Arrivals(arrivals) => *arrivals,
            _ => Arrivals::DEFAULT,
        }
    }

    /// How far it looks back at most.
    #[must_use]
    pub(crate) fn window(&self) -> Nanoseconds {
        let of = |hpa: &Hpa| {
            let (up, down) = (hpa.up, hpa.down);
            up.window.max(down.window).max(up.period).max(down.period)
        };
        match self {
            Rule::Tasks | Rule::Scheduled => Nanoseconds::ZERO,
            Rule::Hpa(hpa) => of(hpa),
            Rule::Keda(keda) => of(&keda.hpa),
            Rule::Kpa(kpa) => kpa.window.max(kpa.scale_in_delay),
            Rule::Arrivals(arrivals) => arrivals.slow.max(arrivals.scale_in_after),
        }
    }

    /// What it remembers its changes for.
    const fn paced(&self) -> Option<&Hpa> {
        match self {
            Rule::Hpa(hpa) | Rule::Keda(Keda { hpa, .. }) => Some(hpa),
            Rule::Tasks | Rule::Kpa(_) | Rule::Scheduled | Rule::Arrivals(_) => None,
        }
    }

    /// Its name in files and tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Rule::Tasks => "tasks",
            Rule::Hpa(_) => "hpa",
            Rule::Kpa(_) => "kpa",
            Rule::Keda(_) => "keda",
            Rule::Scheduled => "scheduled",
            Rule::Arrivals(_) => "arrivals",
        }
    }
}

/// What is seen of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Tasks that wait or are worked on.
    pub tasks: u64,
    /// Instances that exist and are not on their way out, those that start included.
    pub instances: u32,
    /// More, if the rule asks for it ([`Rule::asks_for_flow`]) and somebody counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
}

/// What the original rule doesn't ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Of the instances those that don't take requests yet.
    pub starting: u32,
    /// Requests in work, in thousandths.
    pub busy_thousandths: u64,
    /// What has come since the last look, if somebody counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<Came>,
}

/// Requests since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Came {
    /// Requests that limits let through, those included that no queue took.
    pub arrivals: u64,
    /// Of these the ones that no queue took.
    pub refusals: u64,
    /// The time over which they were counted.
    pub period: Nanoseconds,
}

/// What the rule remembers; it can be stored and handed over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// When the number last changed by this rule.
    pub changed: Option<Time>,
    /// Since when one step fewer would be enough.
    pub ample_since: Option<Time>,
    /// What rules remember that look back further.
    #[serde(default, skip_serializing_if = "Memory::is_empty")]
    pub memory: Memory,
}

impl State {
    /// Whether it is the same but for what is seen anew at each look: then it needn't be stored.
    #[must_use]
    pub fn is_like(&self, other: &State) -> bool {
        self.changed == other.changed && self.ample_since == other.ample_since
    }
}

/// What a rule would like, before the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    /// So many, and why if these are more or fewer.
    Have(u32, Added, Removed),
    /// As many as there are.
    Keep(Kept),
}

/// What to do about the number of instances of an app now. The bounds hold at once.
#[must_use]
pub fn decide(rules: &Scaling, seen: Observation, state: &mut State, now: Time) -> Action {
    let scheduled = rules.schedule.at(now).unwrap_or(0).min(rules.max);
    let min = rules.min.max(scheduled);
    let rules = &Scaling { min, ..*rules };
    let below =
        if scheduled > 0 && min == scheduled { Added::Schedule } else { Added::BelowMinimum };
    let advice = match &rules.rule {
        Rule::Tasks => {
            let ample = is_ample(rules, seen);
            state.ample_since = if ample { state.ample_since.or(Some(now)) } else { None };
            None
        }
        Rule::Hpa(hpa) => Some(hpa.advise(seen, &mut state.memory, now)),
        Rule::Kpa(kpa) => Some(kpa.advise(seen, &mut state.memory, now)),
        Rule::Keda(keda) => Some(keda.advise(min, seen, &mut state.memory, now)),
        Rule::Scheduled => Some(Advice::Have(min, Added::Schedule, Removed::Schedule)),
        Rule::Arrivals(arrivals) => Some(arrivals.advise(seen, &mut state.memory, now)),
    };
    let action = if seen.instances < min {
        Action::Add(min - seen.instances, below)
    } else if seen.instances > rules.max {
        Action::Remove(seen.instances - rules.max, Removed::AboveMaximum)
    } else {
        match advice {
            Some(advice) => within(rules, seen, advice),
            None => tasks(rules, seen, state, now),
        }
    };
    let change = match action {
        Action::Add(count, _) => i64::from(count),
        Action::Remove(count, _) => -i64::from(count),
        Action::Keep(_) => return action,
    };
    (state.changed, state.ample_since) = (Some(now), None);
    if let Some(hpa) = rules.rule.paced() {
        hpa.remember(change, &mut state.memory, now);
    }
    action
}

/// Advice within the bounds; there are neither too few nor too many instances.
fn within(rules: &Scaling, seen: Observation, advice: Advice) -> Action {
    let (wanted, why_more, why_fewer) = match advice {
        Advice::Keep(why) => return Action::Keep(why),
        Advice::Have(wanted, why_more, why_fewer) => (wanted, why_more, why_fewer),
    };
    let bounded = wanted.max(rules.min).min(rules.max);
    if bounded > seen.instances {
        Action::Add(bounded - seen.instances, why_more)
    } else if bounded < seen.instances {
        Action::Remove(seen.instances - bounded, why_fewer)
    } else if wanted > bounded {
        Action::Keep(Kept::AtMaximum)
    } else if wanted < bounded {
        Action::Keep(Kept::AtMinimum)
    } else {
        Action::Keep(Kept::WithinTarget)
    }
}

/// The original rule; everything but the bounds waits for the cool-down.
fn tasks(rules: &Scaling, seen: Observation, state: &State, now: Time) -> Action {
    if let Some(left) = cooling(rules, state, now) {
        Action::Keep(Kept::CoolsDown(left))
    } else if is_above(rules, seen) {
        grow(rules, seen)
    } else if state.ample_since.is_some() {
        shrink(rules, seen, state, now)
    } else {
        Action::Keep(Kept::WithinTarget)
    }
}

fn is_above(rules: &Scaling, seen: Observation) -> bool {
    u128::from(seen.tasks) > u128::from(rules.target) * u128::from(seen.instances)
}

/// Whether one step fewer would be within the target.
fn is_ample(rules: &Scaling, seen: Observation) -> bool {
    let fewer = seen.instances.saturating_sub(rules.step.max(1));
    !is_above(rules, Observation { instances: fewer, ..seen })
}

fn cooling(rules: &Scaling, state: &State, now: Time) -> Option<Nanoseconds> {
    let left = (state.changed? + rules.cool_down).since(now);
    (left > Nanoseconds::ZERO).then_some(left)
}

fn grow(rules: &Scaling, seen: Observation) -> Action {
    match rules.step.min(rules.max - seen.instances) {
        0 => Action::Keep(Kept::AtMaximum),
        step => Action::Add(step, Added::TasksAboveTarget),
    }
}

fn shrink(rules: &Scaling, seen: Observation, state: &State, now: Time) -> Action {
    let Some(period) = rules.scale_in_after else {
        return Action::Keep(Kept::WithinTarget);
    };
    let step = rules.step.min(seen.instances - rules.min);
    if step == 0 {
        return Action::Keep(Kept::AtMinimum);
    }
    let since = state.ample_since.unwrap_or(now);
    match (since + period).since(now) {
        Nanoseconds(0) => Action::Remove(step, Removed::FewerAreEnough),
        left => Action::Keep(Kept::NotForLong(left)),
    }
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "scaling/rules_tests.rs"]
mod rules_tests;
