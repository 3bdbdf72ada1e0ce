//! How long something took, counted by classes: fine enough for the far end of a distribution, and no
//! larger after a year.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes, in microseconds: ten in each power of ten, so a value is told by at
/// most a third too large.
pub const BOUNDS_MICROSECONDS: [u64; 50] = [
    100, 120, 150, 200, 250, 300, 400, 500, 600, 800, //
    1_000, 1_200, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 6_000, 8_000, //
    10_000, 12_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 60_000, 80_000, //
    100_000, 120_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 600_000,
    800_000, //
    1_000_000, 1_200_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000, 5_000_000,
    6_000_000, 10_000_000,
];

/// Counts by classes.
#[derive(Debug)]
pub struct Latencies {
    /// One more than there are bounds: the last one has no bound.
    classes: [AtomicU64; BOUNDS_MICROSECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { classes: [const { AtomicU64::new(0) }; 51], nanoseconds: AtomicU64::new(0) }
    }
}

impl Latencies {
    /// It took so long.
    pub fn add(&self, length: Duration) {
        let microseconds = length.as_nanos().div_ceil(1_000);
        let class = BOUNDS_MICROSECONDS.partition_point(|bound| u128::from(*bound) < microseconds);
        if let Some(counter) = self.classes.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// For each class its upper bound in seconds, and how many are in it or below; the last one has
    /// no bound and all of them.
    pub fn cumulative(&self) -> Vec<(Option<f64>, u64)> {
        let bounds = BOUNDS_MICROSECONDS.iter().map(|bound| Some(seconds(*bound)));
        let mut total = 0;
        let sums = self.classes.iter().map(|class| {
            total += class.load(Ordering::Relaxed);
            total
        });
        bounds.chain([None]).zip(sums).collect()
    }

    /// The sum of all, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64()
    }
}

fn seconds(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_in_the_class_whose_bound_it_does_not_exceed() {
        let told = Latencies::default();
        let lengths =
            [0, 100_000, 100_001, 9_999_000, 10_000_000, 10_000_001, 11_000_000_000_000u64];
        lengths.iter().for_each(|length| told.add(Duration::from_nanos(*length)));
        let cumulative = told.cumulative();
        for (bound, count) in &cumulative {
            let most = bound.map_or(u128::MAX, |one| Duration::from_secs_f64(one).as_nanos());
            let expected = lengths.iter().filter(|one| u128::from(**one) <= most).count();
            assert_eq!(*count, expected as u64, "{bound:?}");
        }
        assert!(BOUNDS_MICROSECONDS.is_sorted());
        assert!((told.sum_seconds() - 11_000.030_199_002).abs() < 1e-6, "{}", told.sum_seconds());
    }
}
