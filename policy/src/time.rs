//! Instants and lengths of time in whole nanoseconds. Nobody here knows what time it is.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An instant: nanoseconds since the beginning of the caller's time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub u64);

/// A length of time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanoseconds(pub u64);

impl Time {
    /// The beginning.
    pub const ZERO: Time = Time(0);

    /// How long ago `earlier` was; zero if it is in the future.
    #[inline(always)]
    #[must_use]
    pub const fn since(self, earlier: Time) -> Nanoseconds {
        Nanoseconds(self.0.saturating_sub(earlier.0))
    }
}

impl Nanoseconds {
    /// Nothing.
    pub const ZERO: Nanoseconds = Nanoseconds(0);
    /// Nanoseconds of one second.
    pub const PER_SECOND: u64 = 1_000_000_000;

    /// Whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Nanoseconds(seconds.saturating_mul(Self::PER_SECOND))
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Nanoseconds(milliseconds.saturating_mul(1_000_000))
    }

    /// As seconds, for people and for statistics.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is lost is below a nanosecond in 3 months"
    )]
    pub const fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add<Nanoseconds> for Time {
    type Output = Time;

    #[inline(always)]
    fn add(self, length: Nanoseconds) -> Time {
        Time(self.0.saturating_add(length.0))
    }
}

impl Sub<Nanoseconds> for Time {
    type Output = Time;

    #[inline(always)]
    fn sub(self, length: Nanoseconds) -> Time {
        Time(self.0.saturating_sub(length.0))
    }
}

impl Add for Nanoseconds {
    type Output = Nanoseconds;

    #[inline(always)]
    fn add(self, other: Nanoseconds) -> Nanoseconds {
        Nanoseconds(self.0.saturating_add(other.0))
    }
}

/// Three significant digits with the unit that people would choose: `12.5ms`, `1.20s`, `3min 20s`.
impl fmt::Display for Nanoseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, u64, &str); 4] = [
            (1, 1_000, "ns"),
            (1_000, 1_000_000, "µs"),
            (1_000_000, 1_000_000_000, "ms"),
            (Nanoseconds::PER_SECOND, 120 * Nanoseconds::PER_SECOND, "s"),
        ];
        if self.0 == 0 {
            return f.pad("0");
        }
        for (unit, limit, name) in UNITS {
            if self.0 < limit {
                return f.pad(&in_unit(self.0, unit, name));
            }
        }
        let seconds = self.0 / Self::PER_SECOND;
        let text = match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, minutes, 0) => format!("{minutes}min"),
            (0, minutes, seconds) => format!("{minutes}min {seconds}s"),
            (hours, 0, 0) => format!("{hours}h"),
            (hours, minutes, _) => format!("{hours}h {minutes}min"),
        };
        f.pad(&text)
    }
}

/// The value in a unit, cut to three significant digits.
fn in_unit(value: u64, unit: u64, name: &str) -> String {
    let (whole, rest) = (value / unit, value % unit);
    let thousandths = rest * 1000 / unit;
    if rest == 0 || whole >= 100 {
        format!("{whole}{name}")
    } else if whole >= 10 {
        format!("{whole}.{}{name}", thousandths / 100)
    } else {
        format!("{whole}.{:02}{name}", thousandths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_write_them() {
        let shown = |value: u64| Nanoseconds(value).to_string();
        assert_eq!(shown(0), "0");
        assert_eq!(shown(250), "250ns");
        assert_eq!(shown(1_234), "1.23µs");
        assert_eq!(shown(12_560_000), "12.5ms");
        assert_eq!(shown(200_000_000), "200ms");
        assert_eq!(shown(1_204_000_000), "1.20s");
        assert_eq!(shown(119 * Nanoseconds::PER_SECOND), "119s");
        assert_eq!(shown(200 * Nanoseconds::PER_SECOND), "3min 20s");
        assert_eq!(shown(3_600 * Nanoseconds::PER_SECOND), "1h");
        assert_eq!(shown(5_400 * Nanoseconds::PER_SECOND), "1h 30min");
    }

    #[test]
    fn time_never_wraps() {
        assert_eq!(Time(u64::MAX) + Nanoseconds(1), Time(u64::MAX));
        assert_eq!(Time(3).since(Time(5)), Nanoseconds::ZERO);
    }
}
