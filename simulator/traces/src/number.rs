//! Numbers and times in traces, exact to the nanosecond: no floating point on the way.

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

/// A decimal number times `scale_ns`, cut to whole nanoseconds: `1.5` with 10^9 is 1.5 s.
/// `None`: it isn't one, it is negative, infinite, not a number, or too large.
#[inline]
pub(crate) fn scaled(text: &[u8], scale_ns: u64) -> Option<u64> {
    let digits = quick_digits(text).and_then(|value| value.checked_mul(scale_ns));
    digits.or_else(|| scaled_otherwise(text.trim_ascii(), scale_ns))
}

/// With a point, blanks or an exponent, or too large.
fn scaled_otherwise(text: &[u8], scale_ns: u64) -> Option<u64> {
    plain(text, scale_ns).or_else(|| written_otherwise(text, scale_ns))
}

/// The usual case, quickly: up to 19 digits and a point, nothing to be cut off.
#[inline]
fn plain(text: &[u8], scale_ns: u64) -> Option<u64> {
    const MOST_DIGITS: usize = 19;
    if text.len() > MOST_DIGITS {
        return None;
    }
    if let Some(value) = quick_digits(text) {
        return value.checked_mul(scale_ns);
    }
    let (mut value, mut point) = (0_u64, None);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && text.len() > 1 => point = Some(index),
            _ => return None,
        }
    }
    let places = text.len() - point? - 1;
    let mut scale = scale_ns;
    for _ in 0..places {
        if !scale.is_multiple_of(10) {
            return None;
        }
        scale /= 10;
    }
    value.checked_mul(scale)
}

/// One to 19 digits and nothing else: eight at a time (D. Lemire, "Quickly parsing eight digits",
/// 2018).
#[inline]
fn quick_digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let (mut value, mut rest) = (0_u64, text);
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        value = value * 100_000_000 + eight_digits(*chunk)?;
        rest = behind;
    }
    for digit in rest {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value)
}

/// The number that eight digits are.
#[inline]
const fn eight_digits(chunk: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const SIXES: u64 = 0x0606_0606_0606_0606;
    let word = u64::from_le_bytes(chunk);
    // Digits are 0x30 to 0x39: adding six to the lower half must not reach the upper one.
    if (word & HIGH) | ((word.wrapping_add(SIXES) & HIGH) >> 4) != ZEROS | (ZEROS >> 4) {
        return None;
    }
    let pairs = (word & !HIGH).wrapping_mul(10).wrapping_add((word & !HIGH) >> 8);
    let pairs = pairs & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

/// Exponents, digits below a nanosecond, and what is no number.
fn written_otherwise(text: &[u8], scale_ns: u64) -> Option<u64> {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', text) {
        Some(at) => (text.get(..at)?, small(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
        Some(at) => (mantissa.get(..at)?, mantissa.get(at + 1..)?),
        None => (mantissa, &b""[..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: u128 = 0;
    // 10^-24 of a second is below any effect; what follows is checked and dropped.
    const FRACTION_DIGITS: usize = 24;
    const LARGEST: u128 = u128::MAX / 10 - 9;
    for digit in whole.iter().chain(fraction.iter().take(FRACTION_DIGITS)) {
        if !digit.is_ascii_digit() || value > LARGEST {
            return None;
        }
        value = value * 10 + u128::from(digit - b'0');
    }
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let places = i32::try_from(fraction.len().min(FRACTION_DIGITS)).ok()? - exponent;
    let mut scale = u128::from(scale_ns);
    let mut places = places;
    // Powers of ten are taken from the scale first, so that nothing is lost or overflows early.
    while places > 0 && scale.is_multiple_of(10) {
        scale /= 10;
        places -= 1;
    }
    let mut value = value.checked_mul(scale)?;
    for _ in 0..places.max(0) {
        value /= 10;
    }
    for _ in 0..(-places).max(0) {
        value = value.checked_mul(10)?;
    }
    u64::try_from(value).ok()
}

/// A whole number.
#[inline]
pub(crate) fn whole(text: &[u8]) -> Option<u64> {
    quick_digits(text).or_else(|| whole_otherwise(text.trim_ascii()))
}

/// With blanks, or no number.
fn whole_otherwise(text: &[u8]) -> Option<u64> {
    if text.is_empty() { None } else { digits(text) }
}

fn digits(text: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(value)
}

/// An exponent; those beyond three digits mean nothing here.
fn small(text: &[u8]) -> Option<i32> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    let value = i32::try_from(digits(text)?).ok()?;
    Some(if negative { -value } else { value })
}

/// `2023-11-16 18:15:46.6805900`, also with `T` and with `Z` or an offset: nanoseconds since 1970.
pub(crate) fn timestamp(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let year = part(text, 0..4)?;
    let month = part(text, 5..7)?;
    let day = part(text, 8..10)?;
    let marks = (text.get(4)?, text.get(7)?, text.get(10)?, text.get(13)?, text.get(16)?);
    let (b'-', b'-', b' ' | b'T' | b't', b':', b':') = marks else { return None };
    let clock = clock(part(text, 11..13)?, part(text, 14..16)?, part(text, 17..19)?)?;
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (rest.get(..length)?, rest.get(length..)?)
        }
        None => (&b""[..], rest),
    };
    let seconds = days(year, month, day)? * DAY_S + clock - zone_s(zone)?;
    let mut part_ns = 0;
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |digit| u64::from(digit - b'0'));
        part_ns = part_ns * 10 + digit;
    }
    u64::try_from(seconds).ok()?.checked_mul(SECOND_NS)?.checked_add(part_ns)
}

/// `17/May/2015:10:05:03 +0000` of access logs: nanoseconds since 1970.
pub(crate) fn log_time(text: &[u8]) -> Option<u64> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let month = MONTHS.iter().position(|name| Some(*name) == text.get(3..6))? + 1;
    let marks = (text.get(2)?, text.get(6)?, text.get(11)?, text.get(14)?, text.get(17)?);
    let (b'/', b'/', b':', b':', b':') = marks else { return None };
    let day = days(part(text, 7..11)?, i64::try_from(month).ok()?, part(text, 0..2)?)?;
    let clock = clock(part(text, 12..14)?, part(text, 15..17)?, part(text, 18..20)?)?;
    let zone = text.get(20..)?.trim_ascii();
    let seconds = day * DAY_S + clock - zone_s(zone)?;
    u64::try_from(seconds).ok()?.checked_mul(SECOND_NS)
}

fn part(text: &[u8], range: std::ops::Range<usize>) -> Option<i64> {
    i64::try_from(digits(text.get(range)?)?).ok()
}

fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    // 60 is a leap second.
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * HOUR_S + minute * MINUTE_S + second)
}

/// Seconds that a zone is ahead of UTC; without one it is UTC.
fn zone_s(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first() {
        None => return Some(0),
        Some((b'Z' | b'z', [])) => return Some(0),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, minutes) = match digits.len() {
        4 => (part(digits, 0..2)?, part(digits, 2..4)?),
        5 if digits.get(2) == Some(&b':') => (part(digits, 0..2)?, part(digits, 3..5)?),
        _ => return None,
    };
    Some(sign * (hours * HOUR_S + minutes * MINUTE_S))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; `None` if there is no such day.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_exact() {
        let table: &[(&str, u64, Option<u64>)] = &[
            ("0", SECOND_NS, Some(0)),
            ("1.5", SECOND_NS, Some(1_500_000_000)),
            (".5", SECOND_NS, Some(500_000_000)),
            ("5.", SECOND_NS, Some(5_000_000_000)),
            ("0.000000001", SECOND_NS, Some(1)),
            ("0.0000000019", SECOND_NS, Some(1)),
            ("0.07949090003967285", SECOND_NS, Some(79_490_900)),
            ("1e3", 1_000_000, Some(1_000_000_000)),
            ("1.25E-1", SECOND_NS, Some(125_000_000)),
            ("18446744073.709551615", SECOND_NS, Some(u64::MAX)),
            ("18446744073.709551616", SECOND_NS, None),
            ("1e300", SECOND_NS, None),
            ("-1", SECOND_NS, None),
            ("nan", SECOND_NS, None),
            ("inf", SECOND_NS, None),
            ("", SECOND_NS, None),
            (".", SECOND_NS, None),
            ("1 2", SECOND_NS, None),
            ("1.2.3", SECOND_NS, None),
            ("0x10", SECOND_NS, None),
        ];
        for (text, scale, expected) in table {
            assert_eq!(scaled(text.as_bytes(), *scale), *expected, "{text}");
        }
    }

    #[test]
    fn times_of_traces() {
        let ns = |text: &str| timestamp(text.as_bytes());
        assert_eq!(ns("1970-01-01 00:00:00"), Some(0));
        assert_eq!(ns("2023-11-16 18:15:46.6805900"), Some(1_700_158_546_680_590_000));
        assert_eq!(ns("2024-02-29T12:00:00Z"), Some(1_709_208_000_000_000_000));
        assert_eq!(ns("2024-02-29T12:00:00+02:00"), Some(1_709_200_800_000_000_000));
        assert_eq!(ns("2023-02-29 00:00:00"), None);
        assert_eq!(ns("2023-13-01 00:00:00"), None);
        assert_eq!(ns("2023-11-16 24:15:46"), None);
        assert_eq!(ns("2023-11-16"), None);
        assert_eq!(log_time(b"17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000_000_000));
        assert_eq!(log_time(b"17/May/2015:10:05:03 -0100"), Some(1_431_860_703_000_000_000));
        assert_eq!(log_time(b"17/Mai/2015:10:05:03 +0000"), None);
    }

    proptest! {
        /// The oracle counts days one by one.
        #[test]
        fn days_are_counted(count in 0_i64..60_000) {
            let (mut year, mut month, mut day) = (1970, 1, 1);
            for _ in 0..count {
                day += 1;
                if days(year, month, day).is_none() {
                    (month, day) = (month + 1, 1);
                }
                if month == 13 {
                    (year, month) = (year + 1, 1);
                }
            }
            prop_assert_eq!(days(year, month, day), Some(count));
        }

        #[test]
        fn written_nanoseconds_are_read(ns in 0_u64..10_000_000_000_000_000_000) {
            let text = format!("{}.{:09}", ns / SECOND_NS, ns % SECOND_NS);
            prop_assert_eq!(scaled(text.as_bytes(), SECOND_NS), Some(ns));
            let text = format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000);
            prop_assert_eq!(scaled(text.as_bytes(), 1_000_000), Some(ns));
            prop_assert_eq!(scaled(ns.to_string().as_bytes(), 1), Some(ns));
        }

        /// Both ways to read a number give the same.
        #[test]
        fn the_quick_way_is_right(text in "[0-9]{0,10}[.]?[0-9]{0,10}", scale in 0..4_usize) {
            let scale = [1, 1_000, 1_000_000, SECOND_NS][scale];
            if let Some(quick) = plain(text.as_bytes(), scale) {
                prop_assert_eq!(Some(quick), written_otherwise(text.as_bytes(), scale));
            }
        }

        /// Eight at a time is the same as one at a time; any other byte is seen.
        #[test]
        fn eight_digits_are_right(
            text in proptest::collection::vec(b'0'..=b'9', 1..20),
            other in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut text = text;
            if let Some((place, byte)) = other {
                let place = place.index(text.len());
                text[place] = byte;
            }
            prop_assert_eq!(quick_digits(&text), digits(&text));
        }

        #[test]
        fn no_text_breaks_it(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (scaled(&text, SECOND_NS), timestamp(&text), log_time(&text), whole(&text));
        }
    }
}
