//! `[pure]` Seconds since 1970 as a date of the calendar, in UTC, for formats that write dates.

use std::fmt;

/// Seconds of a day: days of UTC have no leap seconds here, as in POSIX.
const DAY_SECONDS: u64 = 86_400;

/// A moment of the Gregorian calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Year.
    pub year: u64,
    /// Month, from 1.
    pub month: u64,
    /// Day of the month, from 1.
    pub day: u64,
    /// Days since the last Sunday, 0 to 6.
    pub weekday: u64,
    /// Hour.
    pub hour: u64,
    /// Minute.
    pub minute: u64,
    /// Second.
    pub second: u64,
}

impl Moment {
    /// The moment so many seconds after the beginning of 1970. Days become dates after Howard
    /// Hinnant, "chrono-compatible low-level date algorithms".
    #[must_use]
    pub fn of_epoch_seconds(seconds: u64) -> Self {
        let (days, second) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
        Moment {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_index + 2) / 5 + 1,
            // 1970 began with a Thursday.
            weekday: (days + 4) % 7,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

/// As RFC 3339 writes it: `2026-11-28T07:24:03Z`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn moments_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00Z", 4),
            (951_782_400, "2000-02-29T00:00:00Z", 2),
            (784_111_777, "1994-11-06T08:49:37Z", 0),
            (1_795_850_643, "2026-11-28T07:24:03Z", 6),
            (4_107_542_399, "2100-02-28T23:59:59Z", 0),
            (4_107_542_400, "2100-03-01T00:00:00Z", 1),
        ];
        for (seconds, text, weekday) in table {
            let moment = Moment::of_epoch_seconds(seconds);
            assert_eq!((moment.to_string().as_str(), moment.weekday), (text, weekday));
        }
    }

    /// Against a calendar that counts day after day.
    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..365 * 500_u64 {
            let moment = Moment::of_epoch_seconds(number * 86_400);
            assert_eq!((moment.year, moment.month, moment.day), (year, month, day));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
