//! What is kept of many times: count, exact sum, maximum and a histogram. All of it is integers, so
//! the order of recording doesn't matter.

use policy::Nanoseconds;

use crate::Histogram;

/// A summary of times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    total: u128,
    longest: Nanoseconds,
    histogram: Histogram,
}

impl Summary {
    /// Takes in a time.
    #[inline(always)]
    pub fn record(&mut self, time: Nanoseconds) {
        self.total += u128::from(time.0);
        self.longest = self.longest.max(time);
        self.histogram.record(time);
    }

    /// Adds another summary.
    pub fn merge(&mut self, other: &Summary) {
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
        self.histogram.merge(&other.histogram);
    }

    /// How many times there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.count()
    }

    /// Their sum in nanoseconds.
    #[must_use]
    pub const fn total(&self) -> u128 {
        self.total
    }

    /// The longest one; exact.
    #[must_use]
    pub const fn longest(&self) -> Nanoseconds {
        self.longest
    }

    /// The mean in nanoseconds; none without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean has 53 significant bits")]
    pub fn mean(&self) -> Option<f64> {
        match self.count() {
            0 => None,
            count => Some(self.total as f64 / count as f64),
        }
    }

    /// A quantile, within [`Histogram::RELATIVE_ERROR`] and never above the longest.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<Nanoseconds> {
        self.histogram.quantile(part).map(|time| time.min(self.longest))
    }

    /// The counts.
    #[must_use]
    pub const fn histogram(&self) -> &Histogram {
        &self.histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_beyond_64_bits() {
        let mut summary = Summary::default();
        for _ in 0..4 {
            summary.record(Nanoseconds(u64::MAX));
        }
        summary.record(Nanoseconds(2));
        assert_eq!(summary.total(), 4 * u128::from(u64::MAX) + 2);
        assert_eq!(summary.longest(), Nanoseconds(u64::MAX));
        assert_eq!(summary.count(), 5);
        assert_eq!(summary.quantile(0.0), Some(Nanoseconds(2)));
        assert_eq!(Summary::default().mean(), None);
    }
}
