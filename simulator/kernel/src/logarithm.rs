//! The natural logarithm of a uniform number, in a form that compilers turn into vector code: no
//! branch, no table, no call. It uses only `+ - * /` and bit operations of IEEE doubles, which are
//! the same everywhere (Rust never contracts them to fused ones), so its bits are, too.
//!
//! x = 2ᵏ·m with √½ ≤ m < √2, ln x = k·ln 2 + 2·artanh((m−1)/(m+1)); the series of artanh in
//! s² ≤ 0.0295 is cut after s²¹, where it is below the rounding of a double.

/// A number of the open interval from 0 to 1 from the upper 52 bits of a word.
#[inline(always)]
#[must_use]
pub const fn open_unit(word: u64) -> f64 {
    const ONE: u64 = 1.0f64.to_bits();
    const HALF_STEP: f64 = 1.0 / (1u64 << 53) as f64;
    f64::from_bits(ONE | (word >> 12)) - 1.0 + HALF_STEP
}

/// The natural logarithm of a normal positive number, within 4 units in the last place.
#[inline(always)]
#[must_use]
pub const fn natural(x: f64) -> f64 {
    const ROOT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    const ONE: u64 = 1.0f64.to_bits();
    const MANTISSA: u64 = (1 << 52) - 1;
    // An integer below 2⁵² in the mantissa of 2⁵² is that integer as a double.
    const INTEGERS: u64 = 0x4330_0000_0000_0000;
    const BIASED: f64 = (1u64 << 52) as f64 + 1023.0;
    let shifted = x.to_bits().wrapping_add(ONE - ROOT_HALF);
    let exponent = f64::from_bits(INTEGERS | (shifted >> 52)) - BIASED;
    let mantissa = f64::from_bits((shifted & MANTISSA) + ROOT_HALF);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = 1.0 / 21.0;
    let series = series * z + 1.0 / 19.0;
    let series = series * z + 1.0 / 17.0;
    let series = series * z + 1.0 / 15.0;
    let series = series * z + 1.0 / 13.0;
    let series = series * z + 1.0 / 11.0;
    let series = series * z + 1.0 / 9.0;
    let series = series * z + 1.0 / 7.0;
    let series = series * z + 1.0 / 5.0;
    let series = series * z + 1.0 / 3.0;
    exponent * std::f64::consts::LN_2 + 2.0 * (s + s * z * series)
}

/// x to a power, by the portable `libm`.
#[must_use]
pub fn power(x: f64, exponent: f64) -> f64 {
    libm::pow(x, exponent)
}

/// The longest time that is ever drawn, in nanoseconds: 26 days. Longer ones are cut to it, and it
/// fits the mantissa of a double.
pub const LONGEST: f64 = (1u64 << 51) as f64;

/// A non-negative number as whole nanoseconds, to the nearest; at most [`LONGEST`]. NaN is 0.
#[inline(always)]
#[must_use]
pub const fn whole(x: f64) -> u64 {
    const INTEGERS: f64 = (1u64 << 52) as f64;
    const MANTISSA: u64 = (1 << 52) - 1;
    let bounded = x.max(0.0).min(LONGEST);
    (bounded + INTEGERS).to_bits() & MANTISSA
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Purpose, Words};

    /// Distance from the reference in units of its last place.
    fn error(x: f64) -> f64 {
        let wanted = libm::log(x);
        let unit = f64::from_bits(wanted.abs().to_bits() + 1) - wanted.abs();
        (natural(x) - wanted).abs() / unit
    }

    #[test]
    fn it_is_the_logarithm() {
        assert_eq!(natural(1.0).to_bits(), 0.0f64.to_bits());
        let words = Words::new(3, Purpose::Service, 0);
        let mut worst = 0.0f64;
        for position in 0..100_000 {
            let unit = open_unit(words.at(position));
            worst = worst.max(error(unit)).max(error(unit * unit * unit)).max(error(1.0 / unit));
        }
        for power in 1..=53 {
            let small = 1.0 / (1u64 << power) as f64;
            for x in
                [small, 1.0 - small, 1.0 + small * 2.0, std::f64::consts::FRAC_1_SQRT_2 + small]
            {
                if x > 0.0 {
                    worst = worst.max(error(x));
                }
            }
        }
        assert!(worst <= 4.0, "{worst} units in the last place");
    }

    #[test]
    fn words_become_numbers_between_zero_and_one() {
        assert!(open_unit(0) > 0.0);
        assert!(open_unit(u64::MAX) < 1.0);
        assert!((open_unit(1 << 63) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn whole_rounds_and_bounds() {
        for (x, wanted) in [(0.0, 0), (0.49, 0), (0.51, 1), (1e9 + 0.6, 1_000_000_001), (-5.0, 0)] {
            assert_eq!(whole(x), wanted);
        }
        assert_eq!(whole(f64::INFINITY), 1 << 51);
        assert_eq!(whole(f64::NAN), 0);
    }
}
