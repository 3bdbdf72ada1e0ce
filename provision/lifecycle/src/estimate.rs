//! How long steps took in earlier runs, and so how long a plan may take.

use std::collections::BTreeMap;

use crate::decide::Step;
use crate::journal::{Happening, Record};
use crate::progress::Outcome;
use crate::state::Purpose;

/// What takes its own time: the kind of step, and whether the release stays the same.
type Kind = (&'static str, bool);

/// Durations of earlier runs.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    by_kind: BTreeMap<Kind, Vec<u64>>,
    runs: usize,
}

/// How long a plan may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// As half of the earlier steps did.
    pub typical_ms: u64,
    /// As nine of ten did.
    pub slow_ms: u64,
    /// How many earlier runs it is made from.
    pub runs: usize,
}

fn kind(step: &Step, purpose: Purpose) -> Kind {
    let is_restart = purpose == Purpose::Restart;
    match step {
        Step::Stage { .. } => ("stage", is_restart),
        Step::Start { .. } => ("start", is_restart),
        Step::Take { .. } => ("take", is_restart),
        Step::Revert { .. } => ("revert", is_restart),
        Step::Install { .. } => ("install", is_restart),
        Step::Join { .. } => ("join", is_restart),
        Step::Leave { .. } => ("leave", is_restart),
        Step::Retire { .. } => ("retire", is_restart),
    }
}

impl Durations {
    /// Takes in the records of a run. A step lasts until the next one begins: waiting until the
    /// cluster has settled is a part of it. Steps that failed say nothing.
    pub fn learn(&mut self, records: &[Record]) {
        let mut purpose = Purpose::Upgrade;
        let mut begun: Option<(Kind, u64, u32)> = None;
        let mut ended: Option<(Kind, u64)> = None;
        let mut found = Vec::new();
        for record in records {
            match record {
                Record::Begun { request, .. } => purpose = request.goal.purpose,
                Record::Happens { happening: Happening::StepBegins { step, progress, .. } } => {
                    let (at_ms, pauses) = (progress.since_ms(), progress.pauses());
                    if let (Some((kind, _)), Some((_, from_ms, before))) = (ended.take(), begun)
                        && pauses == before
                    {
                        found.push((kind, at_ms.saturating_sub(from_ms)));
                    }
                    begun = Some((kind(step, purpose), at_ms, pauses));
                }
                Record::Happens {
                    happening: Happening::StepEnded { step, outcomes, duration_ms, .. },
                } => {
                    let is_good = outcomes.values().all(|outcome| *outcome == Outcome::Done);
                    ended = is_good.then(|| (kind(step, purpose), *duration_ms));
                }
                Record::Happens { happening: Happening::Waits { .. } } | Record::Ended { .. } => {}
            }
        }
        // After the last one nothing tells how long it was waited, so it counts for want of others.
        let is_known = |kind: &Kind| found.iter().any(|(known, _)| known == kind);
        let last = ended.filter(|(kind, _)| !is_known(kind));
        found.extend(last);
        self.runs += usize::from(!found.is_empty());
        for (kind, duration_ms) in found {
            self.by_kind.entry(kind).or_default().push(duration_ms);
        }
    }

    /// How long these steps may take; nothing where one of them has never been done before.
    #[must_use]
    pub fn estimate(&self, steps: &[Step], purpose: Purpose) -> Option<Estimate> {
        let mut estimate = Estimate { typical_ms: 0, slow_ms: 0, runs: self.runs };
        for step in steps {
            let mut known = self.by_kind.get(&kind(step, purpose))?.clone();
            known.sort_unstable();
            estimate.typical_ms = estimate.typical_ms.saturating_add(share(&known, 50)?);
            estimate.slow_ms = estimate.slow_ms.saturating_add(share(&known, 90)?);
        }
        (!steps.is_empty()).then_some(estimate)
    }
}

/// The smallest of the ascending numbers that so many percent don't exceed.
fn share(ascending: &[u64], percent: usize) -> Option<u64> {
    let rank = ascending.len().saturating_mul(percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Durations, Estimate, share};
    use crate::decide::Step;
    use crate::journal::{Happening, Record, Request};
    use crate::progress::{Outcome, Progress};
    use crate::reason::Because;
    use crate::state::{Goal, Observed, Options, Purpose};
    use crate::version::Version;

    fn stage() -> Step {
        Step::Stage { members: vec!["a".into()] }
    }

    fn take() -> Step {
        Step::Take { members: vec!["a".into()], because: Because::Follower }
    }

    /// A run whose steps begin at these times and last a second each.
    fn run(purpose: Purpose, steps: &[(Step, u64, bool)]) -> Vec<Record> {
        let version = Version::parse("1").unwrap();
        let goal = Goal { purpose, version, members: vec!["a".into()] };
        let request = Request {
            component: "c".into(),
            playbooks: "/p".into(),
            inventories: Vec::new(),
            goal,
            options: Options::default(),
            plan: None,
            variables: None,
            frozen: None,
        };
        let mut progress = Progress::begin(0);
        let mut records = vec![Record::begun("r", None, &request, &progress)];
        for (step, at_ms, is_good) in steps {
            let observed = Observed::default();
            progress.began(step, &observed, *at_ms);
            let (step, outcome) = match is_good {
                true => (step.clone(), Outcome::Done),
                false => (step.clone(), Outcome::Failed { error: "no".into() }),
            };
            records.push(Record::Happens {
                happening: Happening::StepBegins {
                    step: step.clone(),
                    observed,
                    progress: progress.clone(),
                },
            });
            let outcomes = BTreeMap::from([("a".to_owned(), outcome)]);
            progress.ended(&step, &outcomes, at_ms + 1000);
            let progress = progress.clone();
            let happening = Happening::StepEnded { step, outcomes, duration_ms: 1000, progress };
            records.push(Record::Happens { happening });
        }
        records
    }

    #[test]
    fn steps_last_until_the_next_one_begins() {
        let mut durations = Durations::default();
        let steps = [(stage(), 0, true), (take(), 3000, true), (take(), 8000, true)];
        durations.learn(&run(Purpose::Upgrade, &steps));
        let plan = [stage(), take(), take()];
        let found = durations.estimate(&plan, Purpose::Rollback);
        // 3 s, and twice the 5 s of the one that another followed.
        assert_eq!(found, Some(Estimate { typical_ms: 13_000, slow_ms: 13_000, runs: 1 }));
        assert_eq!(durations.estimate(&plan, Purpose::Restart), None);
        assert_eq!(durations.estimate(&[], Purpose::Upgrade), None);
    }

    #[test]
    fn steps_that_failed_say_nothing() {
        let mut durations = Durations::default();
        durations.learn(&run(Purpose::Upgrade, &[(take(), 0, false), (take(), 90_000, true)]));
        let found = durations.estimate(&[take()], Purpose::Upgrade);
        assert_eq!(found, Some(Estimate { typical_ms: 1000, slow_ms: 1000, runs: 1 }));
        durations.learn(&run(Purpose::Upgrade, &[]));
        assert_eq!(durations.estimate(&[take()], Purpose::Upgrade).unwrap().runs, 1);
    }

    #[test]
    fn shares() {
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!((share(&ten, 50), share(&ten, 90)), (Some(5), Some(9)));
        assert_eq!((share(&[7], 50), share(&[7], 90), share(&[], 50)), (Some(7), Some(7), None));
    }
}
