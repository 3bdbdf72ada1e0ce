//! Paired comparisons: the same seeds before and after a change. What both runs of a pair have in
//! common cancels out, so a small change shows in few pairs.
//!
//! Where the runs of a pair have different seeds, what is known of each seed beforehand takes the
//! place of what they have in common: see [`Comparison::controlled`].

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::Moments;
use crate::controls::{Controls, Fit};

/// What a figure was before and after a change, with the same seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// How a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As a part of what was before: of times, rates and costs. 0.01 is 1 % more.
    Ratio,
    /// As a difference: of parts of a whole, which may be 0 before.
    Difference,
}

/// Pairs and what they say about the change of the mean.
///
/// For a ratio the mean of `after − (1 + r)·before` is tested against 0, by Student's t over the
/// pairs (Fieller 1954): no assumption that the mean before is known exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    change: Change,
    pairs: Vec<Pair>,
    controls: Controls,
}

impl Comparison {
    /// A comparison of at least two pairs.
    #[must_use]
    pub fn new(change: Change, pairs: Vec<Pair>) -> Option<Self> {
        Self::controlled(change, pairs, &[])
    }

    /// A comparison of at least two pairs of which more is known. Each column holds, for each pair,
    /// how much a figure of its second seed exceeds that of the first; it must be a figure of the
    /// seed alone, by the same law for both, so that nothing is its mean. The part of the changes
    /// that follows the columns is taken out by linear regression, as Lavenberg and Welch (1981)
    /// do it with control variates; each column costs a degree of freedom. Columns of which no pair
    /// has anything, such as those of pairs with the same seed, cost nothing.
    #[must_use]
    pub fn controlled(change: Change, pairs: Vec<Pair>, columns: &[Vec<f64>]) -> Option<Self> {
        let controls = Controls::new(pairs.len(), columns);
        (pairs.len() > 1).then_some(Comparison { change, pairs, controls })
    }

    /// How many pairs there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pairs.len()
    }

    /// How many controls are used.
    #[must_use]
    pub fn controls(&self) -> usize {
        self.controls.count()
    }

    /// The mean before.
    #[must_use]
    pub fn before(&self) -> f64 {
        self.mean(|pair| pair.before)
    }

    /// The mean after.
    #[must_use]
    pub fn after(&self) -> f64 {
        self.mean(|pair| pair.after)
    }

    /// The change of the mean; not finite for a ratio to nothing.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let difference = self.fit(|pair| pair.after - pair.before).mean;
        match self.change {
            Change::Difference => difference,
            // Nothing before and nothing after is no change.
            Change::Ratio if difference == 0.0 => 0.0,
            Change::Ratio => difference / self.fit(|pair| pair.before).mean,
        }
    }

    /// The bounds between which the change lies with this confidence (0.99: 99 %). None if the mean
    /// before may as well be 0.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        let student = self.student()?.inverse_cdf(0.5 + confidence / 2.0);
        let difference = self.fit(|pair| pair.after - pair.before);
        let variance = self.controls.covariance(&difference, &difference);
        let error = libm::sqrt(variance);
        if self.change == Change::Difference {
            return Some((difference.mean - student * error, difference.mean + student * error));
        }
        if difference.mean == 0.0 && error == 0.0 {
            return Some((0.0, 0.0));
        }
        // The roots of (d − r·b)² = t²·Var(d − r·b) in r.
        let before = self.fit(|pair| pair.before);
        let squared = student * student;
        let before_variance = self.controls.covariance(&before, &before);
        let covariance = self.controls.covariance(&difference, &before);
        let square = before.mean * before.mean - squared * before_variance;
        let middle = before.mean * difference.mean - squared * covariance;
        let constant = difference.mean * difference.mean - squared * variance;
        if square <= 0.0 {
            return None;
        }
        let root = libm::sqrt((middle * middle - square * constant).max(0.0));
        Some(((middle - root) / square, (middle + root) / square))
    }

    /// How likely such pairs or more extreme ones are if the change is at most `limit`: small values
    /// speak for a change above.
    #[must_use]
    pub fn chance_if_at_most(&self, limit: f64) -> f64 {
        let (beyond, error) = self.beyond(limit);
        match self.student() {
            Some(student) if error > 0.0 => student.sf(beyond / error),
            // All pairs say the same.
            _ if beyond > 0.0 => 0.0,
            _ => 1.0,
        }
    }

    /// How likely such pairs or more extreme ones are if the change is above `limit`: small values
    /// speak for a change that is not.
    #[must_use]
    pub fn chance_if_above(&self, limit: f64) -> f64 {
        let (beyond, error) = self.beyond(limit);
        match self.student() {
            Some(student) if error > 0.0 => student.cdf(beyond / error),
            _ if beyond > 0.0 => 1.0,
            _ => 0.0,
        }
    }

    /// By how much pairs exceed a change of `limit`, and the standard error of that.
    fn beyond(&self, limit: f64) -> (f64, f64) {
        let fit = match self.change {
            Change::Difference => self.fit(|pair| (pair.after - pair.before) - limit),
            Change::Ratio => self.fit(|pair| (pair.after - pair.before) - limit * pair.before),
        };
        (fit.mean, libm::sqrt(self.controls.covariance(&fit, &fit)))
    }

    fn mean(&self, figure: impl Fn(&Pair) -> f64) -> f64 {
        self.pairs.iter().map(figure).collect::<Moments>().mean()
    }

    fn fit(&self, figure: impl Fn(&Pair) -> f64) -> Fit {
        self.controls.fit(self.pairs.iter().map(figure))
    }

    fn student(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.controls.freedom()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(values: &[(f64, f64)]) -> Vec<Pair> {
        values.iter().map(|(before, after)| Pair { before: *before, after: *after }).collect()
    }

    #[test]
    fn a_difference_is_the_paired_t_test() {
        // Student's own table (1908): hours of sleep gained by ten patients with two drugs.
        // Mean difference 1.58, t = 4.0621 with 9 degrees of freedom, two-sided p = 0.002833.
        let before = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let after = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let table: Vec<(f64, f64)> = before.into_iter().zip(after).collect();
        let comparison = Comparison::new(Change::Difference, pairs(&table)).unwrap();
        assert!((comparison.estimate() - 1.58).abs() < 1e-12);
        assert!((comparison.chance_if_at_most(0.0) - 0.002_833 / 2.0).abs() < 1e-6);
        let (low, high) = comparison.interval(0.95).unwrap();
        assert!((low - 0.700_114).abs() < 1e-5 && (high - 2.459_886).abs() < 1e-5);
    }

    #[test]
    fn pairs_that_all_say_the_same_leave_no_doubt() {
        for (change, after, worse) in [
            (Change::Ratio, 2.0, false),
            (Change::Ratio, 2.1, true),
            (Change::Difference, 1.9, false),
        ] {
            let comparison = Comparison::new(change, pairs(&[(2.0, after); 3])).unwrap();
            let chances = (comparison.chance_if_at_most(0.01), comparison.chance_if_above(0.01));
            assert_eq!(chances, if worse { (0.0, 1.0) } else { (1.0, 0.0) });
        }
        let nothing = Comparison::new(Change::Ratio, pairs(&[(0.0, 0.0); 3])).unwrap();
        assert_eq!((nothing.estimate(), nothing.interval(0.99)), (0.0, Some((0.0, 0.0))));
        assert_eq!(Comparison::new(Change::Ratio, pairs(&[(1.0, 1.0)])), None);
    }

    #[test]
    fn a_ratio_to_what_may_be_nothing_has_no_bounds() {
        let table = [(1.0, 2.0), (-1.0, 1.0), (0.5, -1.0), (-0.6, 0.4)];
        let comparison = Comparison::new(Change::Ratio, pairs(&table)).unwrap();
        assert_eq!(comparison.interval(0.99), None);
    }

    proptest! {
        /// Bounds and tests are two sides of one thing: the chance at a bound is what is left of the
        /// confidence on one side. The bounds come from a quadratic equation, the chances don't.
        #[test]
        fn bounds_and_chances_agree(
            table in proptest::collection::vec((90.0f64..110.0, 95.0f64..125.0), 3..30),
            is_ratio in any::<bool>(),
        ) {
            let change = if is_ratio { Change::Ratio } else { Change::Difference };
            let comparison = Comparison::new(change, pairs(&table)).unwrap();
            let (low, high) = comparison.interval(0.98).unwrap();
            prop_assert!(low <= comparison.estimate() && comparison.estimate() <= high);
            prop_assert!((comparison.chance_if_at_most(low) - 0.01).abs() < 1e-6);
            prop_assert!((comparison.chance_if_above(high) - 0.01).abs() < 1e-6);
        }
    }
}
