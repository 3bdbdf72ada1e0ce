//! Pauses between attempts: longer and longer, and never the same for two schedulers.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause: what Mesos' documentation asks for.
pub(crate) const MOST: Duration = Duration::from_secs(15);

/// Pauses between attempts.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let mut bytes = [0; 4];
        // Without random numbers the pauses are as long as they may be.
        let random = match getrandom::fill(&mut bytes) {
            Ok(()) => u32::from_le_bytes(bytes),
            Err(_) => u32::MAX,
        };
        self.next_with(random)
    }

    /// Between half and all of what the failures so far make of it.
    fn next_with(&mut self, random: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_most_and_begin_again() {
        let mut back_off = BackOff::default();
        let most: Vec<u128> = (0..8).map(|_| back_off.next_with(u32::MAX).as_millis()).collect();
        assert_eq!(most, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(back_off.next_with(0), MOST / 2);
        back_off.reset();
        assert_eq!(back_off.next_with(0), FIRST / 2);
        assert!(back_off.next() <= FIRST * 2);
    }
}
