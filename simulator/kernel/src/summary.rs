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

    /// Takes in many times, given in nanoseconds; fewer than 2³² of them.
    #[inline(always)]
    pub fn record_all(&mut self, times: &[u64]) {
        // Halves add up without a carry, which vector code doesn't have.
        let (mut low, mut high, mut longest) = (0u64, 0u64, 0);
        for time in times {
            low += time & u64::from(u32::MAX);
            high += time >> 32;
            longest = longest.max(*time);
        }
        self.total += (u128::from(high) << 32) + u128::from(low);
        self.longest = self.longest.max(Nanoseconds(longest));
        if !times.is_empty() {
            self.histogram.record_all(times, longest);
        }
    }

    /// Takes in so many times of 0.
    #[inline(always)]
    pub fn record_zeros(&mut self, count: u64) {
        self.histogram.record_zeros(count);
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
    fn many_at_once_are_the_same_as_one_by_one() {
        let words = policy::Words::new(1, policy::Purpose::Service, 9);
        for count in [0, 1, 7, 300] {
            let times: Vec<u64> = (0..count).map(|n| words.at(n) >> (words.at(n) % 64)).collect();
            let (mut single, mut many) = (Summary::default(), Summary::default());
            times.iter().for_each(|time| single.record(Nanoseconds(*time)));
            many.record_all(&times);
            assert_eq!((many.total(), many.longest()), (single.total(), single.longest()));
            let cells = |summary: &Summary| summary.histogram().cells().collect::<Vec<_>>();
            assert_eq!(cells(&many), cells(&single));
        }
    }

    #[test]
    fn zeros_are_times_too() {
        let (mut single, mut many) = (Summary::default(), Summary::default());
        many.record_zeros(0);
        assert_eq!(many.mean(), None);
        (0..5).for_each(|_| single.record(Nanoseconds(0)));
        many.record_zeros(2);
        many.record_zeros(3);
        assert_eq!(many, single);
    }

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
