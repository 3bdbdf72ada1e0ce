//! Whether a change is worse than it may be, over several objectives and as few runs as it takes.
//!
//! An objective *holds* when its change for the worse is proven to be within its margin, and has
//! *moved* when it is proven to be beyond. All objectives must hold for a change to pass, so each is
//! tested at the full level (an intersection-union test, Berger 1982). One that moved is enough to
//! fail, so these tests are corrected for their number by Holm's method (1979).
//!
//! Runs are looked at several times, and each look may spend the same part of the level. The
//! probabilities of all looks add up to at most the level, whatever their dependence, by Boole's
//! inequality. Spending in proportion to the runs (Lan and DeMets 1983) would leave next to nothing to
//! the first looks, at which nearly all comparisons end: runs have their seeds in common.

use crate::Comparison;

/// When runs are looked at, and how much doubt may be left in all.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    counts: Vec<u32>,
    level: f64,
}

impl Looks {
    /// Looks after `first` runs, after twice as many, and so on until `most`; `level` is the
    /// probability of a wrong verdict that may be left (0.01: 1 %). At least two runs.
    #[must_use]
    pub fn doubling(first: u32, most: u32, level: f64) -> Self {
        let most = most.max(2);
        let doubled = std::iter::successors(Some(first.clamp(2, most)), |count| {
            count.checked_mul(2).filter(|count| *count < most)
        });
        let mut counts: Vec<u32> = doubled.collect();
        if counts.last() != Some(&most) {
            counts.push(most);
        }
        Looks { counts, level }
    }

    /// For each look: how many runs there are by then, and the level of its tests.
    pub fn iter(&self) -> impl Iterator<Item = (u32, f64)> {
        let looks = u32::try_from(self.counts.len()).map_or(f64::INFINITY, f64::from);
        self.counts.iter().map(move |count| (*count, self.level / looks))
    }

    /// The most runs.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.counts.last().copied().unwrap_or(0)
    }
}

/// Which way a figure gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worse {
    /// More is worse: times, refusals, costs.
    More,
    /// Less is worse: goodput, attainment.
    Less,
}

/// What may happen to an objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What was seen; none if there is nothing to compare.
    pub comparison: Option<Comparison>,
    /// Which way is worse.
    pub worse: Worse,
    /// By how much it may get worse.
    pub margin: f64,
}

/// What is known of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Its change is within the margin.
    Holds,
    /// It got worse by more than the margin.
    Moved,
    /// Neither is proven.
    Open,
}

/// What is proven of each objective at a level.
#[must_use]
pub fn findings(tests: &[Test], level: f64) -> Vec<Finding> {
    let moved = holm(&tests.iter().map(Test::chance_if_within).collect::<Vec<f64>>(), level);
    let pairs = tests.iter().zip(moved);
    pairs
        .map(|(test, moved)| match (moved, test.chance_if_beyond() <= level) {
            (true, _) => Finding::Moved,
            (false, true) => Finding::Holds,
            (false, false) => Finding::Open,
        })
        .collect()
}

impl Test {
    /// The chance of what was seen if the objective is within its margin.
    fn chance_if_within(&self) -> f64 {
        self.comparison.as_ref().map_or(1.0, |seen| match self.worse {
            Worse::More => seen.chance_if_at_most(self.margin),
            Worse::Less => seen.chance_if_above(-self.margin),
        })
    }

    /// The chance of what was seen if the objective is beyond its margin.
    fn chance_if_beyond(&self) -> f64 {
        self.comparison.as_ref().map_or(1.0, |seen| match self.worse {
            Worse::More => seen.chance_if_above(self.margin),
            Worse::Less => seen.chance_if_at_most(-self.margin),
        })
    }
}

/// Holm's method: which of several hypotheses are refuted, so that the probability to refute a true
/// one is at most the level.
#[must_use]
pub fn holm(chances: &[f64], level: f64) -> Vec<bool> {
    let mut order: Vec<(usize, f64)> = chances.iter().copied().enumerate().collect();
    order.sort_by(|left, right| left.1.total_cmp(&right.1));
    let mut refuted = vec![false; chances.len()];
    let mut left = chances.len();
    for (place, chance) in order {
        // A chance that is no number refutes nothing and sorts last.
        #[expect(clippy::cast_precision_loss, reason = "objectives are few")]
        let is_refuted = chance * left as f64 <= level;
        if !is_refuted {
            break;
        }
        if let Some(entry) = refuted.get_mut(place) {
            *entry = true;
        }
        left -= 1;
    }
    refuted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::comparison::{Change, Pair};

    #[test]
    fn looks_double_and_spend_all_of_the_level() {
        let looks = Looks::doubling(6, 48, 0.01);
        let counts: Vec<u32> = looks.iter().map(|(count, _)| count).collect();
        assert_eq!(counts, [6, 12, 24, 48]);
        assert!((looks.iter().map(|(_, level)| level).sum::<f64>() - 0.01).abs() < 1e-15);
        let counts = |first, most| -> Vec<u32> {
            Looks::doubling(first, most, 0.05).iter().map(|(count, _)| count).collect()
        };
        assert_eq!(counts(5, 13), [5, 10, 13]);
        assert_eq!(counts(8, 8), [8]);
        assert_eq!(counts(9, 4), [4]);
        assert_eq!(counts(0, 0), [2]);
    }

    #[test]
    fn holm_steps_down() {
        // Holm's own rule: 0.05/4, 0.05/3, 0.05/2, 0.05/1, and stop at the first failure.
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005], 0.05), [true, false, false, true]);
        assert_eq!(holm(&[0.01, 0.01, 0.01, 0.01], 0.05), [true; 4]);
        assert_eq!(holm(&[f64::NAN, 0.001], 0.05), [false, true]);
        assert!(holm(&[], 0.05).is_empty());
    }

    fn test(worse: Worse, margin: f64, afters: &[f64]) -> Test {
        let pairs = afters.iter().map(|after| Pair { before: 100.0, after: *after }).collect();
        Test { comparison: Comparison::new(Change::Ratio, pairs), worse, margin }
    }

    #[test]
    fn three_findings() {
        let sure = [101.9, 102.0, 102.1, 101.95, 102.05];
        let noisy = [90.0, 110.0, 80.0, 125.0, 104.0];
        let tests = [
            test(Worse::More, 0.01, &sure),
            test(Worse::More, 0.03, &sure),
            test(Worse::Less, 0.01, &sure),
            test(Worse::More, 0.01, &noisy),
            Test { comparison: None, worse: Worse::More, margin: 0.01 },
        ];
        let expected =
            [Finding::Moved, Finding::Holds, Finding::Holds, Finding::Open, Finding::Open];
        assert_eq!(findings(&tests, 0.01), expected);
        let down: Vec<f64> = sure.iter().map(|after| 200.0 - after).collect();
        let fell = [test(Worse::Less, 0.01, &down), test(Worse::Less, 0.03, &down)];
        assert_eq!(findings(&fell, 0.01), [Finding::Moved, Finding::Holds]);
    }

    proptest! {
        /// Holm's method written as its definition: a hypothesis is refuted if its adjusted chance,
        /// the largest of (n − rank)·p over all ranks up to its own, is within the level.
        #[test]
        fn holm_is_its_definition(
            chances in proptest::collection::vec(0.0f64..0.1, 1..12),
            level in 0.001f64..0.2,
        ) {
            let refuted = holm(&chances, level);
            for (place, chance) in chances.iter().enumerate() {
                let below = |other: f64| chances.iter().filter(|p| **p < other).count();
                let smaller = chances.iter().filter(|p| **p <= *chance);
                let adjusted =
                    smaller.map(|p| (chances.len() - below(*p)) as f64 * p).fold(0.0, f64::max);
                prop_assert_eq!(refuted[place], adjusted <= level, "{:?}", chances);
            }
        }
    }
}
