//! Dates as template values: `now()`, `to_datetime`, `strftime` and their differences.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};

use crate::error::{Outcome, TemplateError};
use crate::scope::Now;
use crate::value::int_value;

/// A date with a time of day, without a zone: Python's naive `datetime`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    at: DateTime,
    /// What local time is ahead of UTC, for `%z` and `%s`.
    offset: i32,
}

/// A difference of dates: Python's `timedelta`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    microseconds: i128,
}

const MICROSECONDS_A_SECOND: i128 = 1_000_000;
const SECONDS_A_DAY: i128 = 86_400;

impl Moment {
    /// The clock's time in UTC or local time.
    pub(crate) fn from_clock(now: Now, utc: bool) -> Outcome<Self> {
        let offset = if utc { 0 } else { now.offset_seconds };
        let mut moment = Moment::from_unix(now.unix_seconds, offset)?;
        let nanoseconds = i32::try_from(now.microseconds % 1_000_000).unwrap_or(0) * 1000;
        if let Ok(at) = moment.at.with().subsec_nanosecond(nanoseconds).build() {
            moment.at = at;
        }
        Ok(moment)
    }

    /// A time stamp seen `offset` seconds ahead of UTC.
    pub(crate) fn from_unix(seconds: i64, offset: i32) -> Outcome<Self> {
        let out_of_range = || TemplateError::failed("the time is out of range");
        let stamp = Timestamp::from_second(seconds).map_err(|_| out_of_range())?;
        let zone = Offset::from_seconds(offset).map_err(|_| out_of_range())?;
        Ok(Moment { at: zone.to_datetime(stamp), offset })
    }

    /// Reads a date in a `strptime` format.
    pub(crate) fn parse(text: &str, format: &str) -> Outcome<Self> {
        let mismatch = || {
            TemplateError::failed(format!("time data '{text}' does not match format '{format}'"))
        };
        let parsed = BrokenDownTime::parse(format, text).map_err(|_| mismatch())?;
        let at = match parsed.to_datetime() {
            Ok(at) => at,
            Err(_) => match parsed.to_date() {
                Ok(date) => date.at(0, 0, 0, 0),
                Err(_) => DateTime::new(1900, 1, 1, 0, 0, 0, 0)
                    .ok()
                    .and_then(|day| parsed.to_time().ok().map(|time| day.date().to_datetime(time)))
                    .ok_or_else(mismatch)?,
            },
        };
        Ok(Moment { at, offset: 0 })
    }

    /// Writes it in a `strftime` format.
    pub(crate) fn format(&self, format: &str) -> Outcome<String> {
        let mut broken = BrokenDownTime::from(self.at);
        if let Ok(offset) = Offset::from_seconds(self.offset) {
            broken.set_offset(Some(offset));
        }
        // Names and `%c` as in the C locale; unknown directives stay as they are, as in glibc.
        let config = Config::new().custom(PosixCustom::new()).lenient(true);
        let format = format
            .replace("%s", &self.unix_seconds().to_string())
            .replace("%Z", if self.offset == 0 { "UTC" } else { "" });
        broken
            .to_string_with_config(&config, &format)
            .map_err(|error| TemplateError::failed(format!("invalid time format: {error}")))
    }

    fn unix_seconds(&self) -> i64 {
        let epoch = self.microseconds() / MICROSECONDS_A_SECOND;
        i64::try_from(epoch).unwrap_or(i64::MAX) - i64::from(self.offset)
    }

    /// Microseconds since 1970 on its own clock.
    fn microseconds(&self) -> i128 {
        Offset::UTC.to_timestamp(self.at).map_or(0, |stamp| i128::from(stamp.as_microsecond()))
    }

    pub(crate) fn since(&self, earlier: &Moment) -> Span {
        Span { microseconds: self.microseconds() - earlier.microseconds() }
    }

    pub(crate) fn plus(&self, microseconds: i128) -> Outcome<Self> {
        i64::try_from(microseconds)
            .ok()
            .and_then(|microseconds| {
                self.at.checked_add(SignedDuration::from_micros(microseconds)).ok()
            })
            .map(|at| Moment { at, offset: self.offset })
            .ok_or_else(|| TemplateError::failed("date value out of range"))
    }

    fn fraction(&self) -> i32 {
        self.at.subsec_nanosecond() / 1000
    }

    /// `2024-05-06 07:08:09`, with microseconds if there are any.
    pub(crate) fn text(&self) -> String {
        self.iso().replacen('T', " ", 1)
    }

    /// `2024-05-06T07:08:09`
    pub(crate) fn iso(&self) -> String {
        let mut text = self.at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        if self.fraction() != 0 {
            text.push_str(&format!(".{:06}", self.fraction()));
        }
        text
    }

    /// `datetime.datetime(2024, 5, 6, 7, 8, 9)`
    pub(crate) fn repr(&self) -> String {
        let at = self.at;
        let mut parts = vec![
            i32::from(at.year()),
            i32::from(at.month()),
            i32::from(at.day()),
            i32::from(at.hour()),
            i32::from(at.minute()),
        ];
        if at.second() != 0 || self.fraction() != 0 {
            parts.push(i32::from(at.second()));
        }
        if self.fraction() != 0 {
            parts.push(self.fraction());
        }
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        format!("datetime.datetime({})", parts.join(", "))
    }

    /// An attribute such as `year`.
    pub(crate) fn attribute(&self, name: &str) -> Option<Value> {
        Some(Value::from(match name {
            "year" => i32::from(self.at.year()),
            "month" => i32::from(self.at.month()),
            "day" => i32::from(self.at.day()),
            "hour" => i32::from(self.at.hour()),
            "minute" => i32::from(self.at.minute()),
            "second" => i32::from(self.at.second()),
            "microsecond" => self.fraction(),
            _ => return None,
        }))
    }

    /// A method such as `strftime`.
    pub(crate) fn method(&self, name: &str, args: &[Value]) -> Option<Outcome<Value>> {
        Some(match name {
            "strftime" => {
                let format = args.first().and_then(Value::as_str).unwrap_or_default();
                self.format(format).map(Value::from)
            }
            "isoformat" => Ok(Value::from(self.iso())),
            "timestamp" => {
                let microseconds =
                    self.microseconds() - i128::from(self.offset) * MICROSECONDS_A_SECOND;
                Ok(Value::from(crate::value::as_float(microseconds) / 1e6))
            }
            "date" => Ok(Value::from(self.at.date().to_string())),
            "time" => Ok(Value::from(self.at.strftime("%H:%M:%S").to_string())),
            "weekday" => Ok(Value::from(self.at.weekday().to_monday_zero_offset())),
            "isoweekday" => Ok(Value::from(self.at.weekday().to_monday_one_offset())),
            _ => return None,
        })
    }
}

impl Span {
    pub(crate) fn microseconds(self) -> i128 {
        self.microseconds
    }

    fn parts(self) -> (i128, i128, i128) {
        let day = SECONDS_A_DAY * MICROSECONDS_A_SECOND;
        let days = self.microseconds.div_euclid(day);
        let rest = self.microseconds.rem_euclid(day);
        (days, rest / MICROSECONDS_A_SECOND, rest % MICROSECONDS_A_SECOND)
    }

    /// `1 day, 2:03:04`
    pub(crate) fn text(self) -> String {
        let (days, seconds, fraction) = self.parts();
        let mut text = match days {
            0 => String::new(),
            1 | -1 => format!("{days} day, "),
            _ => format!("{days} days, "),
        };
        text.push_str(&format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        if fraction != 0 {
            text.push_str(&format!(".{fraction:06}"));
        }
        text
    }

    /// `datetime.timedelta(days=1, seconds=7384)`
    pub(crate) fn repr(self) -> String {
        let (days, seconds, fraction) = self.parts();
        let named = [("days", days), ("seconds", seconds), ("microseconds", fraction)];
        let parts: Vec<String> = named
            .iter()
            .filter(|(_, number)| *number != 0)
            .map(|(name, number)| format!("{name}={number}"))
            .collect();
        if parts.is_empty() {
            return "datetime.timedelta(0)".into();
        }
        format!("datetime.timedelta({})", parts.join(", "))
    }

    pub(crate) fn attribute(self, name: &str) -> Option<Value> {
        let (days, seconds, fraction) = self.parts();
        Some(int_value(match name {
            "days" => days,
            "seconds" => seconds,
            "microseconds" => fraction,
            _ => return None,
        }))
    }

    pub(crate) fn method(self, name: &str) -> Option<Value> {
        (name == "total_seconds")
            .then(|| Value::from(crate::value::as_float(self.microseconds) / 1e6))
    }
}

impl PartialOrd for Span {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Span {
    fn cmp(&self, other: &Self) -> Ordering {
        self.microseconds.cmp(&other.microseconds)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Object for Span {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
