//! Means over independent runs, with their confidence intervals.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Running mean and variance by Welford's method (1962), which doesn't lose digits.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes in a value.
    pub fn record(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / count(self.count);
        self.squares += before * (value - self.mean);
    }

    /// How many values there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The mean; 0 without values.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// The variance of one value; none below two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / count(self.count - 1))
    }

    /// The standard error of the mean; none below two values.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| libm::sqrt(variance / count(self.count)))
    }

    /// The interval that holds the true mean with this confidence (0.95: 95 %), by Student's t.
    /// None below two values.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let error = self.standard_error()?;
        let student = StudentsT::new(0.0, 1.0, count(self.count - 1)).ok()?;
        let half_width = error * student.inverse_cdf(0.5 + confidence / 2.0);
        Some(Interval { mean: self.mean, half_width })
    }
}

/// A mean and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The middle.
    pub mean: f64,
    /// Half the width.
    pub half_width: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of runs are small")]
const fn count(number: u64) -> f64 {
    number as f64
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.record(value));
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_known_table() {
        // NIST "NumAcc3": mean 1000000.2, standard deviation 0.1 exactly.
        let values = std::iter::once(1_000_000.2)
            .chain((0..1000).map(|n| if n % 2 == 0 { 1_000_000.1 } else { 1_000_000.3 }));
        let moments: Moments = values.collect();
        assert!((moments.mean() - 1_000_000.2).abs() < 1e-9);
        assert!((libm::sqrt(moments.variance().unwrap()) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn intervals_use_student() {
        // t(0.975, 4) = 2.776445; the values 1 to 5 have variance 2.5.
        let moments: Moments = [1.0, 2.0, 3.0, 4.0, 5.0].into_iter().collect();
        let interval = moments.interval(0.95).unwrap();
        assert!((interval.mean - 3.0).abs() < 1e-12);
        assert!((interval.half_width - 2.776_445 * libm::sqrt(0.5)).abs() < 1e-5);
        assert_eq!(Moments::from_iter([1.0]).interval(0.95), None);
    }
}
