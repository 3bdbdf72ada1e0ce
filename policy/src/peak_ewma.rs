//! How long a target takes, as an average that rises at once and decays with time: a target that has
//! become slow is known by its first late answer, and gets another chance when that is long ago.
//!
//! Finagle's peak EWMA (`com.twitter.finagle.loadbalancer.PeakEwma`; Linkerd and `tower` have the
//! same): an answer after r makes the average max(r, a), or a·w + r·(1 − w) with w = e^(−t/τ), t
//! after the last answer. A target costs a·w·(n + 1) with n requests there, and one that has
//! requests but has never answered costs more than all others. In Finagle a look counts as an answer
//! after no time; here looks change nothing, so that a decision depends on answers only.

use serde::{Deserialize, Serialize};

use crate::{Nanoseconds, Time};

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakEwma {
    /// τ: an average that nothing is added to is 37 % of itself after so long.
    pub decay: Nanoseconds,
}

impl PeakEwma {
    /// Finagle's ten seconds.
    pub const DEFAULT: PeakEwma = PeakEwma { decay: Nanoseconds::from_seconds(10) };
}

/// What is known of how long a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Average {
    response: Nanoseconds,
    /// When the last answer came.
    at: Time,
}

impl Average {
    /// An answer of the target comes so long after its request.
    pub fn observe(&mut self, rules: PeakEwma, response: Nanoseconds, now: Time) {
        let weight = decayed(UNIT, now.since(self.at), rules.decay);
        self.response = match response > self.response {
            true => response,
            false => {
                let old = u128::from(self.response.0) * u128::from(weight);
                let new = u128::from(response.0) * u128::from(UNIT - weight);
                Nanoseconds(u64::try_from((old + new) / u128::from(UNIT)).unwrap_or(u64::MAX))
            }
        };
        self.at = now;
    }

    /// The average now; zero of a target that has never answered.
    #[must_use]
    pub fn now(&self, rules: PeakEwma, now: Time) -> Nanoseconds {
        Nanoseconds(decayed(self.response.0, now.since(self.at), rules.decay))
    }
}

/// What one more request costs at a target with so many and this average.
#[must_use]
pub fn cost(average: Nanoseconds, requests: u32) -> u128 {
    match (average, requests) {
        (Nanoseconds::ZERO, 1..) => UNKNOWN + u128::from(requests),
        (Nanoseconds(average), _) => u128::from(average) * (u128::from(requests) + 1),
    }
}

/// More than any average times any number of requests.
const UNKNOWN: u128 = 1 << 97;

/// 1 in weights.
const UNIT: u64 = 1 << 16;

/// 2^(−i/16), in units of 2⁻¹⁶.
const POWERS: [u64; 17] = [
    65_536, 62_757, 60_097, 57_549, 55_109, 52_773, 50_535, 48_393, 46_341, 44_376, 42_495, 40_693,
    38_968, 37_316, 35_734, 34_219, 32_768,
];

/// A number times e^(−time/decay): powers of two, straight between 16ths of their exponents. Within
/// 0.03 % of the exact value, and the same on every machine.
fn decayed(number: u64, time: Nanoseconds, decay: Nanoseconds) -> u64 {
    // 1/ln 2, in units of 2⁻¹⁶.
    const PER_HALVING: u128 = 94_548;
    let halvings = u128::from(time.0) * PER_HALVING / u128::from(decay.0.max(1));
    let whole = u32::try_from(halvings >> 16).unwrap_or(u32::MAX);
    if whole >= u64::BITS {
        return 0;
    }
    let part = u64::try_from(halvings & 0xffff).unwrap_or(0);
    let step = usize::try_from(part >> 12).unwrap_or(0);
    let (Some(from), Some(to)) = (POWERS.get(step), POWERS.get(step + 1)) else { return 0 };
    let power = from - (((from - to) * (part & 0xfff)) >> 12);
    let product = (u128::from(number) * u128::from(power)) >> 16;
    u64::try_from(product).unwrap_or(u64::MAX) >> whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: PeakEwma = PeakEwma { decay: Nanoseconds(1_000_000) };

    #[test]
    fn an_average_rises_at_once_and_decays() {
        let mut average = Average::default();
        average.observe(RULES, Nanoseconds(40_000), Time(5));
        assert_eq!(average.now(RULES, Time(5)), Nanoseconds(40_000));
        average.observe(RULES, Nanoseconds(90_000), Time(6));
        assert_eq!(average.now(RULES, Time(6)), Nanoseconds(90_000));
        // After τ: 90,000/e + 10,000·(1 − 1/e) = 39,430.
        average.observe(RULES, Nanoseconds(10_000), Time(1_000_006));
        let now = average.now(RULES, Time(1_000_006)).0;
        assert!(now.abs_diff(39_430) < 40, "{now}");
        // Long after, nothing is known.
        assert_eq!(average.now(RULES, Time(u64::MAX)), Nanoseconds::ZERO);
    }

    #[test]
    fn costs_are_in_the_order_of_the_source() {
        let costs = [
            cost(Nanoseconds::ZERO, 0),
            cost(Nanoseconds(10), 0),
            cost(Nanoseconds(10), 2),
            cost(Nanoseconds(31), 0),
            cost(Nanoseconds(u64::MAX), u32::MAX),
            cost(Nanoseconds::ZERO, 1),
            cost(Nanoseconds::ZERO, 2),
        ];
        assert!(costs.is_sorted_by(|left, right| left < right), "{costs:?}");
    }

    proptest! {
        /// Against the exponential function itself.
        #[test]
        fn decay_is_exponential(number in 0u64..1 << 50, time in 0u64..30_000_000) {
            let exact = number as f64 * (-(time as f64) / 1e6).exp();
            let found = decayed(number, Nanoseconds(time), RULES.decay) as f64;
            prop_assert!((found - exact).abs() <= exact * 5e-4 + 1.0, "{found} for {exact}");
        }

        /// Against the formula in floating point, answer by answer.
        #[test]
        fn averages_are_those_of_the_formula(
            answers in proptest::collection::vec((1u64..1 << 40, 0u64..3_000_000), 1..50),
        ) {
            let (mut average, mut exact, mut now) = (Average::default(), 0.0f64, 0);
            for (response, after) in answers {
                now += after;
                average.observe(RULES, Nanoseconds(response), Time(now));
                let weight = (-(after as f64) / 1e6).exp();
                let response = response as f64;
                exact = match response > exact {
                    true => response,
                    false => exact * weight + response * (1.0 - weight),
                };
                let found = average.now(RULES, Time(now)).0 as f64;
                prop_assert!((found - exact).abs() <= exact * 0.01 + 50.0, "{found} for {exact}");
            }
        }
    }
}
