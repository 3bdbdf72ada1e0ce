//! Whether a change is worse than it may be, over several objectives and as few runs as it takes.
//!
//! An objective *holds* when its change for the worse is proven to be within its margin, and has
//! *moved* when it is proven to be beyond. All objectives must hold for a change to pass, so each is
//! tested at the full level (an intersection-union test, Berger 1982). One that moved is enough to
//! fail, so these tests are corrected for their number by Holm's method (1979).
//!
//! The two verdicts may be wrong with different probability ([`Levels`]): an alarm stops people, so it
//! must be rarer than a pass that shouldn't have been.
//!
//! Runs are looked at several times. Each look may spend a part of each level, by a function of how
//! many of all runs there are (Lan and DeMets 1983): the power family `level · tᵖ` of Kim and DeMets
//! (1987), see [`Looks::spending`]. The probabilities of all looks add up to at most the level,
//! whatever their dependence, by Boole's inequality; bounds that make use of the dependence would be
//! exact for normal figures only, and hardly lower where levels are so small and each look has twice
//! the runs of the one before. Since each look is at most as wrong as its part, with Holm's method for
//! all its objectives, the whole is at most as wrong as the level.

use crate::Comparison;

/// When runs are looked at, and how much doubt may be left at each look.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    looks: Vec<Look>,
}

/// A look at all runs so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// How many runs there are by then.
    pub count: u32,
    /// What it may spend.
    pub levels: Levels,
}

/// Probabilities of wrong verdicts that may be left (0.01: 1 %).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// That any objective which is within its margin is said to have moved.
    pub moved: f64,
    /// That an objective which is beyond its margin is said to hold.
    pub holds: f64,
}

/// Alarms spend in proportion to the runs. The first looks get little: of few runs it is least certain
/// that their means are as good as normal, and what is bad is plain at any level.
const MOVED_EXPONENT: f64 = 1.0;
/// Passes spend more at the beginning, where nearly all comparisons end: what changes nothing passes
/// after the first runs.
const HOLDS_EXPONENT: f64 = 0.5;

impl Looks {
    /// Looks after `first` runs, after twice as many, and so on until `most`, at least two, that spend
    /// equal parts of a level.
    #[must_use]
    pub fn doubling(first: u32, most: u32, level: f64) -> Self {
        let counts = doubled(first, most);
        #[expect(clippy::cast_precision_loss, reason = "looks are few")]
        let level = level / counts.len() as f64;
        let levels = Levels { moved: level, holds: level };
        Looks { looks: counts.into_iter().map(|count| Look { count, levels }).collect() }
    }

    /// Looks after `first` runs, after twice as many, and so on until `most`, at least two, that spend
    /// the levels as their numbers of runs grow.
    #[must_use]
    pub fn spending(first: u32, most: u32, levels: Levels) -> Self {
        let counts = doubled(first, most);
        let last = f64::from(counts.last().copied().unwrap_or(1));
        let mut before = 0.0;
        let mut looks = Vec::new();
        for count in counts {
            let now = f64::from(count) / last;
            let part = |exponent| libm::pow(now, exponent) - libm::pow(before, exponent);
            let levels = Levels {
                moved: levels.moved * part(MOVED_EXPONENT),
                holds: levels.holds * part(HOLDS_EXPONENT),
            };
            looks.push(Look { count, levels });
            before = now;
        }
        Looks { looks }
    }

    /// The looks in their order.
    pub fn iter(&self) -> impl Iterator<Item = Look> {
        self.looks.iter().copied()
    }

    /// The most runs.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.looks.last().map_or(0, |look| look.count)
    }
}

fn doubled(first: u32, most: u32) -> Vec<u32> {
    let most = most.max(2);
    let doubled = std::iter::successors(Some(first.clamp(2, most)), |count| {
        count.checked_mul(2).filter(|count| *count < most)
    });
    let mut counts: Vec<u32> = doubled.collect();
    if counts.last() != Some(&most) {
        counts.push(most);
    }
    counts
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

/// What is proven of each objective at the levels of a look.
#[must_use]
pub fn findings(tests: &[Test], levels: Levels) -> Vec<Finding> {
    let within: Vec<f64> = tests.iter().map(Test::chance_if_within).collect();
    let moved = holm(&within, levels.moved);
    let pairs = tests.iter().zip(moved);
    pairs
        .map(|(test, moved)| match (moved, test.chance_if_beyond() <= levels.holds) {
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
    fn looks_double_and_spend_all_of_their_levels() {
        let counts = |looks: Looks| -> Vec<u32> { looks.iter().map(|look| look.count).collect() };
        let spent = |looks: &Looks| {
            let add = |sum: (f64, f64), look: Look| {
                (sum.0 + look.levels.moved, sum.1 + look.levels.holds)
            };
            looks.iter().fold((0.0, 0.0), add)
        };
        for (first, most) in [(6, 192), (6, 48), (5, 13), (8, 8)] {
            let looks = Looks::spending(first, most, Levels { moved: 0.001, holds: 0.01 });
            let (moved, holds) = spent(&looks);
            assert!((moved - 0.001).abs() < 1e-15 && (holds - 0.01).abs() < 1e-15);
            let (moved, holds) = spent(&Looks::doubling(first, most, 0.02));
            assert!((moved - 0.02).abs() < 1e-15 && (holds - 0.02).abs() < 1e-15);
        }
        let first = Looks::spending(6, 192, Levels { moved: 0.001, holds: 0.01 }).iter().next();
        let levels = first.unwrap().levels;
        assert!((levels.moved - 0.001 / 32.0).abs() < 1e-15);
        assert!((levels.holds - 0.01 / libm::sqrt(32.0)).abs() < 1e-15);
        assert_eq!(counts(Looks::doubling(6, 48, 0.05)), [6, 12, 24, 48]);
        let counts = |first, most| counts(Looks::doubling(first, most, 0.05));
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

    const LEVELS: Levels = Levels { moved: 0.01, holds: 0.01 };

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
        assert_eq!(findings(&tests, LEVELS), expected);
        let down: Vec<f64> = sure.iter().map(|after| 200.0 - after).collect();
        let fell = [test(Worse::Less, 0.01, &down), test(Worse::Less, 0.03, &down)];
        assert_eq!(findings(&fell, LEVELS), [Finding::Moved, Finding::Holds]);
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
