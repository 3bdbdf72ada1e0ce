//! Whether a change passes: pairs of runs are added until every objective holds, one has moved, or
//! there are no more. Nothing here runs anything: whoever asks brings the values.

use std::ops::Range;

use simulator_kernel::gate::{self, Finding, Levels, Looks, Test, Worse};
use simulator_kernel::{Change, Comparison, Moments, Pair};

use crate::metric::{Bound, Condition, Objective, show_change};

/// Values of all objectives in one run; none where a run has nothing to tell.
pub type Values = Vec<Option<f64>>;

/// What was seen of a change in a pair of runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// The values before.
    pub before: Values,
    /// The values after.
    pub after: Values,
    /// For each objective, how much what is known of the second run's seed exceeds what is known of
    /// the first one's; empty if the seeds are the same.
    pub controls: Vec<Vec<f64>>,
}

impl From<(Values, Values)> for Observed {
    /// A pair with the same seed.
    fn from((before, after): (Values, Values)) -> Self {
        Observed { before, after, controls: Vec::new() }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Pairs of runs that it took.
    pub replications: u32,
    /// What may be left of doubt at the last look; intervals are of the confidence that passes need.
    pub levels: Levels,
    /// One row for each objective.
    pub rows: Vec<Row>,
}

/// The verdict on a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All objectives hold.
    Pass,
    /// At least one has moved.
    Regression,
    /// Neither is proven, and there are no more runs.
    Inconclusive,
}

/// What became of an objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The objective.
    pub objective: Objective,
    /// What was seen; none if there was nothing to compare.
    pub comparison: Option<Comparison>,
    /// What is known.
    pub finding: Finding,
}

/// Judges a change. `pairs` brings the values before and after for some replications, in their
/// order; each is asked for once.
pub fn judge(
    objectives: &[Objective],
    looks: &Looks,
    mut pairs: impl FnMut(Range<u32>) -> Vec<Observed>,
) -> Judgement {
    let mut seen: Vec<Observed> = Vec::new();
    let mut asked = 0;
    let mut judgement = None;
    for look in looks.iter() {
        seen.extend(pairs(asked..look.count));
        asked = look.count;
        let rows = rows(objectives, &seen, look.levels);
        let verdict = verdict(&rows);
        let (replications, levels) = (look.count, look.levels);
        judgement = Some(Judgement { verdict, replications, levels, rows });
        if verdict != Verdict::Inconclusive {
            break;
        }
    }
    judgement.unwrap_or(Judgement {
        verdict: Verdict::Inconclusive,
        replications: 0,
        levels: Levels { moved: 0.0, holds: 0.0 },
        rows: Vec::new(),
    })
}

fn rows(objectives: &[Objective], seen: &[Observed], levels: Levels) -> Vec<Row> {
    let tests: Vec<Test> = objectives
        .iter()
        .enumerate()
        .map(|(place, objective)| Test {
            comparison: comparison(objective, place, seen),
            worse: objective.metric.figure.worse().unwrap_or(Worse::More),
            margin: objective.margin,
        })
        .collect();
    let findings = gate::findings(&tests, levels);
    let all = objectives.iter().zip(tests).zip(findings).enumerate();
    all.map(|(place, ((objective, test), finding))| {
        let is_nothing = test.comparison.is_none() && has_no_values(place, seen);
        Row {
            objective: objective.clone(),
            comparison: test.comparison,
            // What never had a value can't get worse.
            finding: if is_nothing { Finding::Holds } else { finding },
        }
    })
    .collect()
}

fn comparison(objective: &Objective, place: usize, seen: &[Observed]) -> Option<Comparison> {
    let both = seen.iter().map(|pair| {
        Some(Pair { before: value(&pair.before, place)?, after: value(&pair.after, place)? })
    });
    // A value that is missing on one side is no small change: nothing is concluded then.
    let pairs: Option<Vec<Pair>> = both.collect();
    let change = objective.metric.figure.unit().change();
    Comparison::controlled(change, pairs?, &columns(place, seen))
}

/// The controls of an objective, each over all pairs; those that a pair lacks are left out.
fn columns(place: usize, seen: &[Observed]) -> Vec<Vec<f64>> {
    let of = |pair: &Observed| pair.controls.get(place).map_or(0, Vec::len);
    let fewest = seen.iter().map(of).min().unwrap_or(0);
    let column = |number: usize| {
        let known = |pair: &Observed| pair.controls.get(place)?.get(number).copied();
        seen.iter().filter_map(known).collect()
    };
    (0..fewest).map(column).collect()
}

fn value(values: &Values, place: usize) -> Option<f64> {
    values.get(place).copied().flatten()
}

fn has_no_values(place: usize, seen: &[Observed]) -> bool {
    let is_none = |values: &Values| value(values, place).is_none();
    seen.iter().all(|pair| is_none(&pair.before) && is_none(&pair.after))
}

fn verdict(rows: &[Row]) -> Verdict {
    if rows.iter().any(|row| row.finding == Finding::Moved) {
        Verdict::Regression
    } else if rows.iter().all(|row| row.finding == Finding::Holds) {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

impl Row {
    /// The change and its interval for people: `+1.02 % (0.97 to 1.08)`.
    #[must_use]
    pub fn show_change(&self, level: f64) -> String {
        let Some(comparison) = &self.comparison else { return "-".to_owned() };
        let change = self.objective.metric.figure.unit().change();
        let estimate = comparison.estimate();
        if !estimate.is_finite() {
            return "from nothing".to_owned();
        }
        // What is shown as 0 has no sign.
        let sign = match estimate {
            estimate if estimate >= 5e-6 => "+",
            estimate if estimate <= -5e-6 => "-",
            _ => "",
        };
        let shown = format!("{sign}{}", show_change(change, estimate));
        match comparison.interval(1.0 - 2.0 * level) {
            Some((low, high)) if low == 0.0 && high == 0.0 => "none".to_owned(),
            Some((low, high)) => {
                format!("{shown} ({:+.3} to {:+.3})", low * 100.0, high * 100.0)
            }
            None => shown,
        }
    }

    /// What moved, in a sentence without its end.
    #[must_use]
    pub fn sentence(&self, level: f64) -> String {
        let name = &self.objective.metric.name;
        let margin = self.objective.show_margin();
        let Some(comparison) = &self.comparison else {
            return format!("{name} can't be compared: runs before or after have no such value");
        };
        let change = self.objective.metric.figure.unit().change();
        let estimate = comparison.estimate();
        let way = if estimate > 0.0 { "more" } else { "less" };
        let size = if estimate.is_finite() {
            show_change(change, estimate)
        } else {
            "infinitely".to_owned()
        };
        let interval =
            comparison.interval(1.0 - 2.0 * level).map_or(String::new(), |(low, high)| {
                let confidence = (1.0 - 2.0 * level) * 100.0;
                format!(" ({confidence:.2} % interval {:+.3} to {:+.3})", low * 100.0, high * 100.0)
            });
        format!("{name} is {size} {way}{interval}; allowed are {margin}")
    }

    /// Whether it got better by more than it might have got worse, beyond doubt.
    #[must_use]
    pub fn is_better(&self, level: f64) -> bool {
        let Some(comparison) = &self.comparison else { return false };
        let margin = self.objective.margin;
        match self.objective.metric.figure.worse() {
            Some(Worse::More) => comparison.chance_if_above(-margin) <= level,
            Some(Worse::Less) => comparison.chance_if_at_most(margin) <= level,
            None => false,
        }
    }
}

/// Whether runs meet conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Met {
    /// [`Finding::Holds`] if all conditions are proven to be met, [`Finding::Moved`] if one is proven
    /// to be missed.
    pub finding: Finding,
    /// Runs that it took.
    pub replications: u32,
    /// For each condition: its metric over the runs.
    pub values: Vec<Moments>,
    /// For each condition: what is known of it.
    pub findings: Vec<Finding>,
}

/// Judges conditions by the means of their metrics over runs, which `values` brings in the order of
/// the conditions; it stops as soon as the intervals allow to tell.
pub fn meets(
    conditions: &[Condition],
    looks: &Looks,
    mut values: impl FnMut(Range<u32>) -> Vec<Values>,
) -> Met {
    let mut seen: Vec<Values> = Vec::new();
    let mut met =
        Met { finding: Finding::Open, replications: 0, values: Vec::new(), findings: Vec::new() };
    for look in looks.iter() {
        seen.extend(values(met.replications..look.count));
        met.replications = look.count;
        met.values = (0..conditions.len()).map(|place| moments(&seen, place)).collect();
        let tests: Vec<Test> = conditions
            .iter()
            .enumerate()
            .map(|(place, condition)| against_limit(condition, place, &seen))
            .collect();
        met.findings = gate::findings(&tests, look.levels);
        met.finding = if met.findings.contains(&Finding::Moved) {
            Finding::Moved
        } else if met.findings.iter().all(|finding| *finding == Finding::Holds) {
            Finding::Holds
        } else {
            Finding::Open
        };
        if met.finding != Finding::Open {
            break;
        }
    }
    met
}

fn moments(seen: &[Values], place: usize) -> Moments {
    seen.iter().filter_map(|values| values.get(place).copied().flatten()).collect()
}

/// A condition is a comparison with runs that are all exactly at the limit.
fn against_limit(condition: &Condition, place: usize, seen: &[Values]) -> Test {
    let value = |values: &Values| values.get(place).copied().flatten();
    let pairs: Option<Vec<Pair>> = seen
        .iter()
        .map(|values| Some(Pair { before: condition.limit, after: value(values)? }))
        .collect();
    let comparison = pairs.and_then(|pairs| Comparison::new(Change::Difference, pairs));
    let worse = match condition.bound {
        Bound::AtMost => Worse::More,
        Bound::AtLeast => Worse::Less,
    };
    Test { comparison, worse, margin: 0.0 }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
