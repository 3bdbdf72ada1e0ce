//! Values with units as users write them: `200ms`, `10/s`, `80%`, `unlimited`. A number without
//! its unit is an error, because nobody can know what it means.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Expected, Unexpected, Visitor};

use crate::Nanoseconds;

/// A length of time: `200ms`, `1.5s`, `10min`, `2h`, `1d`, also several: `1h 30min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Nanoseconds);

/// How often: `10/s`, `2.5k/s`, `600/min`, `1M/h`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Frequency {
    /// Nanoseconds between two.
    pub gap: f64,
}

/// A part of a whole: `80%` or `0.8`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Part(pub f64);

/// How many times something, in thousandths: `0.8`, `80%`, `2.5`, `150%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub u32);

/// A whole number or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound(pub Option<u32>);

/// A number of bytes: `400KB`, `8MiB`, `12B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Bytes per second: `100MB/s`, `10Gbit/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth(pub u64);

/// Something that is written as one word.
trait Written: Sized {
    /// What is expected, to end "expected …".
    const EXPECTED: &'static str;

    /// From its text.
    fn from_text(text: &str) -> Option<Self>;

    /// From a number without a unit, if that means anything.
    fn from_number(_number: f64) -> Option<Self> {
        None
    }

    /// What may have been meant by a text, or a number as it is written, that is none.
    fn hint(_text: &str) -> Option<String> {
        None
    }
}

/// Lengths of time up to this fit all sums that are made of them: 146 years.
const LONGEST: f64 = (1u64 << 62) as f64;

const TIMES: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("min", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];

impl Written for Length {
    const EXPECTED: &'static str = "a length of time with its unit, such as 200ms, 10s or 5min";

    fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split_ascii_whitespace().map(|part| scaled(part, TIMES)).peekable();
        parts.peek()?;
        let total = parts.sum::<Option<f64>>()?;
        (0.0..LONGEST).contains(&total).then(|| Length(Nanoseconds(rounded(total))))
    }

    fn from_number(number: f64) -> Option<Self> {
        (number == 0.0).then_some(Length(Nanoseconds::ZERO))
    }

    fn hint(text: &str) -> Option<String> {
        unit_hint(text, TIMES, &["ms", "s", "min"], TIME_SLIPS)
    }
}

/// What people write for units of time.
const TIME_SLIPS: &[(&str, &str)] = &[
    ("m", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("usec", "us"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Larger files and faster links are slips: a million gigabytes.
const LARGEST: f64 = 1e15;

impl Written for Size {
    const EXPECTED: &'static str = "a size with its unit, such as 400KB, 8MiB or 1.5GB";

    fn from_text(text: &str) -> Option<Self> {
        let bytes = scaled(text, SIZES)?;
        (0.0..=LARGEST).contains(&bytes).then(|| Size(rounded(bytes)))
    }

    fn from_number(number: f64) -> Option<Self> {
        (number == 0.0).then_some(Size(0))
    }

    fn hint(text: &str) -> Option<String> {
        let slips = [("k", "KB"), ("K", "KB"), ("M", "MB"), ("G", "GB"), ("b", "B")];
        unit_hint(text, SIZES, &["B", "KB", "MB"], &slips)
    }
}

impl Written for Bandwidth {
    const EXPECTED: &'static str = "a bandwidth, such as 100MB/s or 10Gbit/s";

    fn from_text(text: &str) -> Option<Self> {
        let (size, second) = text.split_once('/')?;
        let bits = [("kbit", 125.0), ("Mbit", 125e3), ("Gbit", 125e6)];
        let bytes = scaled(size.trim(), SIZES).or_else(|| scaled(size.trim(), &bits))?;
        let is_known = second.trim() == "s" && (1.0..=LARGEST).contains(&bytes);
        is_known.then(|| Bandwidth(rounded(bytes)))
    }

    fn hint(text: &str) -> Option<String> {
        let (number, unit) = number_and_unit(text)?;
        let size = unit.strip_suffix("ps").unwrap_or(unit);
        match unit {
            "" => Some(format!("write {number}MB/s or {number}Mbit/s")),
            _ if scaled(&format!("1{size}"), SIZES).is_some() => {
                Some(format!("write {number}{size}/s"))
            }
            _ => None,
        }
    }
}

impl Written for Frequency {
    const EXPECTED: &'static str = "a rate, such as 10/s, 2.5k/s or 600/min";

    fn from_text(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let count = scaled(count.trim(), &[("", 1.0), ("k", 1e3), ("M", 1e6)])?;
        let (_, unit) = TIMES.iter().find(|(name, _)| *name == unit.trim())?;
        let gap = unit / count;
        // Faster than the clock ticks, and slower than once in a lifetime, are slips.
        (1.0..LONGEST).contains(&gap).then_some(Frequency { gap })
    }

    fn hint(text: &str) -> Option<String> {
        let (number, unit) = number_and_unit(text)?;
        match unit {
            "" => Some(format!("write {number}/s, {number}/min or {number}/h")),
            "rps" | "Hz" => Some(format!("write {number}/s")),
            "/m" => Some(format!("a minute is `min`: {number}/min")),
            _ => None,
        }
    }
}

impl Written for Part {
    const EXPECTED: &'static str = "a part of a whole, such as 80% or 0.8";

    fn from_text(text: &str) -> Option<Self> {
        scaled(text, &[("%", 0.01)]).and_then(Part::from_number)
    }

    fn from_number(number: f64) -> Option<Self> {
        (0.0..=1.0).contains(&number).then_some(Part(number))
    }
}

impl Written for Ratio {
    const EXPECTED: &'static str = "how many times something, such as 0.8, 80% or 2.5";

    fn from_text(text: &str) -> Option<Self> {
        scaled(text, &[("%", 0.01)]).and_then(Ratio::from_number)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within the range"
    )]
    fn from_number(number: f64) -> Option<Self> {
        // More than a million times is a slip.
        (0.0..=1e6).contains(&number).then(|| Ratio((number * 1000.0).round() as u32))
    }
}

impl Written for Bound {
    const EXPECTED: &'static str = "a whole number or `unlimited`";

    fn from_text(text: &str) -> Option<Self> {
        (text == "unlimited").then_some(Bound(None))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number within the range"
    )]
    fn from_number(number: f64) -> Option<Self> {
        let fits = number.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&number);
        fits.then_some(Bound(Some(number as u32)))
    }
}

/// A number and what stands behind it.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    number.parse::<f64>().is_ok().then_some((number, unit.trim()))
}

/// What is wrong with the unit of a value: there is none, it stands apart, or it has another name here.
fn unit_hint(
    text: &str,
    known: &[(&str, f64)],
    usual: &[&str],
    slips: &[(&str, &str)],
) -> Option<String> {
    if text.starts_with('-') {
        return Some("it can't be negative".to_owned());
    }
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() {
        let written: Vec<String> = usual.iter().map(|unit| format!("{number}{unit}")).collect();
        return Some(format!("a number needs its unit: {}", written.join(", ")));
    }
    if known.iter().any(|(name, _)| *name == unit) {
        let is_apart = !text.ends_with(&format!("{number}{unit}"));
        return is_apart.then(|| format!("without a blank: {number}{unit}"));
    }
    if let Some((_, meant)) = slips.iter().find(|(slip, _)| *slip == unit) {
        return Some(format!("did you mean {number}{meant}?"));
    }
    let names: Vec<&str> =
        known.iter().map(|(name, _)| *name).filter(|name| name.is_ascii()).collect();
    unit.chars().all(char::is_alphabetic).then(|| format!("units are {}", names.join(", ")))
}

/// A decimal number with one of some units directly behind it.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.parse().ok()?;
    Some(number * scale)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the caller has checked the range"
)]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

struct WrittenVisitor<T>(PhantomData<T>);

/// What is expected, and behind it, in a line of its own, what may have been meant: readers that have
/// a place for hints take it off (`yaml::from_node`).
struct Slip<'a, T> {
    text: &'a str,
    kind: PhantomData<T>,
}

impl<'a, T> Slip<'a, T> {
    fn new(text: &'a str) -> Self {
        Slip { text, kind: PhantomData }
    }
}

impl<T: Written> Expected for Slip<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)?;
        T::hint(self.text).map_or(Ok(()), |hint| write!(formatter, "\nhint: {hint}"))
    }
}

impl<T: Written> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let slip = || E::invalid_value(Unexpected::Str(text), &Slip::<T>::new(text));
        T::from_text(text).ok_or_else(slip)
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of users are small")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::from_number(number as f64).ok_or_else(|| {
            let text = number.to_string();
            E::invalid_value(Unexpected::Signed(number), &Slip::<T>::new(&text))
        })
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| {
            let text = number.to_string();
            E::invalid_value(Unexpected::Float(number), &Slip::<T>::new(&text))
        })
    }
}

/// `Deserialize` for types that are written as one word.
macro_rules! deserialize_written {
    ($($name:ident),*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(WrittenVisitor(PhantomData))
            }
        })*
    };
}

deserialize_written!(Length, Frequency, Part, Ratio, Bound, Size, Bandwidth);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let length = |text| Length::from_text(text).map(|length| length.0.0);
        assert_eq!(length("200ms"), Some(200_000_000));
        assert_eq!(length("1.5s"), Some(1_500_000_000));
        assert_eq!(length("1h 30min"), Some(5_400_000_000_000));
        assert_eq!(length("0s"), Some(0));
        assert_eq!(length("3µs"), Some(3_000));
        for wrong in
            ["", " ", "200", "ms", "-1s", "1 s", "1e3s", "1.2.3s", "5m", "inf s", "1000000d"]
        {
            assert_eq!(length(wrong), None, "{wrong}");
        }
        assert_eq!(Length::from_number(0.0), Some(Length(Nanoseconds(0))));
        assert_eq!(Length::from_number(200.0), None);
    }

    #[test]
    fn slips_are_told() {
        let hint = |text| Length::hint(text).unwrap_or_default();
        assert_eq!(hint("40"), "a number needs its unit: 40ms, 40s, 40min");
        assert_eq!(hint("40 ms"), "without a blank: 40ms");
        assert_eq!(hint("1.5sec"), "did you mean 1.5s?");
        assert_eq!(hint("5m"), "did you mean 5min?");
        assert_eq!(hint("-40ms"), "it can't be negative");
        assert_eq!(hint("2fortnights"), "units are ns, us, ms, s, min, h, d");
        // Nothing is known of these.
        for text in ["NaN", "soon", "1e3s", "1000000d", "1h 30m", ""] {
            assert_eq!(hint(text), "", "{text}");
        }
        assert_eq!(
            Size::hint("400").as_deref(),
            Some("a number needs its unit: 400B, 400KB, 400MB")
        );
        assert_eq!(Size::hint("4M").as_deref(), Some("did you mean 4MB?"));
        assert_eq!(Bandwidth::hint("100MB").as_deref(), Some("write 100MB/s"));
        assert_eq!(Bandwidth::hint("100MBps").as_deref(), Some("write 100MB/s"));
        assert_eq!(Bandwidth::hint("7").as_deref(), Some("write 7MB/s or 7Mbit/s"));
        assert_eq!(Frequency::hint("50").as_deref(), Some("write 50/s, 50/min or 50/h"));
        assert_eq!(Frequency::hint("10/m").as_deref(), Some("a minute is `min`: 10/min"));
        assert_eq!(Part::hint("7"), None);
    }

    #[test]
    fn sizes_and_bandwidths() {
        let size = |text| Size::from_text(text).map(|size| size.0);
        assert_eq!(size("400KB"), Some(400_000));
        assert_eq!(size("1.5kB"), Some(1_500));
        assert_eq!(size("8MiB"), Some(8 << 20));
        assert_eq!(size("0B"), Some(0));
        for wrong in ["", "400", "B", "-1B", "4 KB", "4Kb", "1e3B", "2000000GB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
        assert_eq!(Size::from_number(0.0), Some(Size(0)));
        assert_eq!(Size::from_number(400.0), None);
        let bandwidth = |text| Bandwidth::from_text(text).map(|bandwidth| bandwidth.0);
        assert_eq!(bandwidth("100MB/s"), Some(100_000_000));
        assert_eq!(bandwidth("10Gbit/s"), Some(1_250_000_000));
        for wrong in ["100MB", "0B/s", "100/s", "100MB/min", "10Gb/s", "/s", "-1MB/s"] {
            assert_eq!(bandwidth(wrong), None, "{wrong}");
        }
        assert_eq!(Bandwidth::from_number(0.0), None);
    }

    #[test]
    fn rates_parts_and_bounds() {
        let gap = |text| Frequency::from_text(text).map(|rate| rate.gap);
        assert_eq!(gap("10/s"), Some(1e8));
        assert_eq!(gap("2.5k/s"), Some(4e5));
        assert_eq!(gap("600/min"), Some(1e8));
        for wrong in ["10", "0/s", "10/", "/s", "10/m", "-1/s", "2G/s", "2000M/s"] {
            assert_eq!(gap(wrong), None, "{wrong}");
        }
        assert_eq!(Part::from_text("80%"), Some(Part(0.8)));
        assert_eq!(Part::from_text("120%"), None);
        assert_eq!(Part::from_number(0.25), Some(Part(0.25)));
        assert_eq!(Ratio::from_text("150%"), Some(Ratio(1500)));
        assert_eq!(Ratio::from_number(0.8), Some(Ratio(800)));
        for wrong in [-0.1, f64::NAN, 1e7] {
            assert_eq!(Ratio::from_number(wrong), None);
        }
        assert_eq!(Bound::from_text("unlimited"), Some(Bound(None)));
        assert_eq!(Bound::from_number(7.0), Some(Bound(Some(7))));
        for wrong in [-1.0, 1.5, f64::NAN, 1e12] {
            assert_eq!(Bound::from_number(wrong), None);
        }
    }
}
