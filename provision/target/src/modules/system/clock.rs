//! Local time.
//!
//! The helper is linked statically and asks no C library: the zone comes from `TZ` or
//! `/etc/localtime` in TZif form (RFC 8536), the calendar is computed here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Largest zone file that is read, in bytes; real ones have a few kilobytes.
const ZONE_FILE_LIMIT_BYTES: u64 = 1 << 20;

const SECONDS_A_DAY: i64 = 86_400;

/// A broken-down point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970 in UTC.
    pub epoch_s: i64,
    /// Microseconds of the second.
    pub microsecond: u32,
    /// Year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 1 to 366.
    pub day_of_year: u32,
    /// East of Greenwich.
    pub offset_s: i64,
    /// Abbreviation of the zone.
    pub zone: String,
}

impl Moment {
    /// A point in time in a zone.
    #[must_use]
    pub fn new(time: SystemTime, zone: &Zone) -> Self {
        let (epoch_s, microsecond) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (whole_seconds(since), since.subsec_micros()),
            Err(before) => (-whole_seconds(before.duration()), 0),
        };
        Moment::at(epoch_s, microsecond, zone)
    }

    /// A point in time given in seconds since 1970.
    #[must_use]
    pub fn at(epoch_s: i64, microsecond: u32, zone: &Zone) -> Self {
        let kind = zone.kind_at(epoch_s);
        let local_s = epoch_s.saturating_add(kind.offset_s);
        let days = local_s.div_euclid(SECONDS_A_DAY);
        let second_of_day = local_s.rem_euclid(SECONDS_A_DAY);
        let (year, month, day) = civil(days);
        Moment {
            epoch_s,
            microsecond,
            year,
            month,
            day,
            hour: small(second_of_day / 3600),
            minute: small(second_of_day / 60 % 60),
            second: small(second_of_day % 60),
            // 1970-01-01 was a Thursday.
            weekday: small((days + 4).rem_euclid(7)),
            day_of_year: small(days - days_before(year, 1, 1) + 1),
            offset_s: kind.offset_s,
            zone: kind.abbreviation.clone(),
        }
    }

    /// Now, in the local zone.
    #[must_use]
    pub fn now() -> Self {
        Moment::new(SystemTime::now(), &Zone::local())
    }

    /// As Python's `str(datetime)`: the microseconds are left out when they are 0.
    #[must_use]
    pub fn python(&self) -> String {
        let base = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        );
        match self.microsecond {
            0 => base,
            microsecond => format!("{base}.{microsecond:06}"),
        }
    }

    /// `2024-12-31`.
    #[must_use]
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `23:59:59`.
    #[must_use]
    pub fn time_of_day(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// Name of the weekday.
    #[must_use]
    pub fn weekday_name(&self) -> &'static str {
        match self.weekday {
            0 => "Sunday",
            1 => "Monday",
            2 => "Tuesday",
            3 => "Wednesday",
            4 => "Thursday",
            5 => "Friday",
            _ => "Saturday",
        }
    }

    /// Number of the week that begins on Monday, `%W` of strftime.
    #[must_use]
    pub fn week(&self) -> u32 {
        let monday_based = (self.weekday + 6) % 7;
        (self.day_of_year + 6 - monday_based) / 7
    }

    /// `+0100`.
    #[must_use]
    pub fn offset(&self) -> String {
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let minutes = self.offset_s.abs() / 60;
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

/// A duration as Python's `str(timedelta)`.
#[must_use]
pub fn python_delta(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let base =
        format!("{days}{}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match duration.subsec_micros() {
        0 => base,
        microseconds => format!("{base}.{microseconds:06}"),
    }
}

/// Days from 1970-01-01 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
#[must_use]
pub fn days_before(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that many days after 1970-01-01; the inverse of [`days_before`].
#[must_use]
pub fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = small(day_of_year - (153 * month_index + 2) / 5 + 1);
    let month = small(if month_index < 10 { month_index + 3 } else { month_index - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// What a clock on the wall of a place shows at which time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// First moments of validity, ascending, with an index into `kinds`.
    transitions: Vec<(i64, usize)>,
    kinds: Vec<Kind>,
    /// Rule behind the last transition, a POSIX `TZ` text.
    footer: Option<Rule>,
}

/// One way to show time in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// East of Greenwich.
    pub offset_s: i64,
    /// Daylight saving time.
    pub daylight: bool,
    /// Abbreviation.
    pub abbreviation: String,
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Zone {
            transitions: Vec::new(),
            kinds: vec![Kind { offset_s: 0, daylight: false, abbreviation: "UTC".to_owned() }],
            footer: None,
        }
    }

    /// The zone of this process: `TZ`, otherwise `/etc/localtime`, otherwise UTC.
    #[must_use]
    pub fn local() -> Self {
        let path = match std::env::var("TZ") {
            Ok(name) => {
                let name = name.trim_start_matches(':');
                if name.is_empty() {
                    return Zone::utc();
                }
                if name.starts_with('/') {
                    PathBuf::from(name)
                } else {
                    let path = Path::new("/usr/share/zoneinfo").join(name);
                    if name.contains("..") || !path.is_file() {
                        return Rule::parse(name).map_or_else(Zone::utc, Zone::from_rule);
                    }
                    path
                }
            }
            Err(_) => PathBuf::from("/etc/localtime"),
        };
        Zone::read(&path).unwrap_or_else(Zone::utc)
    }

    fn read(path: &Path) -> Option<Self> {
        (path.metadata().ok()?.len() <= ZONE_FILE_LIMIT_BYTES).then_some(())?;
        Zone::parse(&fs::read(path).ok()?)
    }

    fn from_rule(rule: Rule) -> Self {
        let kinds = vec![rule.standard.clone()];
        Zone { transitions: Vec::new(), kinds, footer: Some(rule) }
    }

    /// A zone file.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let first = Header::parse(bytes)?;
        if first.version == 0 {
            return first.body(bytes, 4).map(|(zone, _)| zone);
        }
        // Version 2 and later repeat everything with 64-bit times behind the old form.
        let second_at = Header::BYTES.checked_add(first.body_bytes(4)?)?;
        let rest = bytes.get(second_at..)?;
        let second = Header::parse(rest)?;
        let (mut zone, length) = second.body(rest, 8)?;
        let footer = std::str::from_utf8(rest.get(length..)?).ok()?;
        zone.footer = Rule::parse(footer.trim_matches('\n'));
        Some(zone)
    }

    /// What is valid at a point in time.
    #[must_use]
    pub fn kind_at(&self, epoch_s: i64) -> &Kind {
        static NOTHING: Kind = Kind { offset_s: 0, daylight: false, abbreviation: String::new() };
        let passed = self.transitions.partition_point(|(begin, _)| *begin <= epoch_s);
        if passed == self.transitions.len()
            && let Some(rule) = &self.footer
        {
            return rule.kind_at(epoch_s);
        }
        let transition = passed.checked_sub(1).and_then(|index| self.transitions.get(index));
        let kind = match transition {
            Some((_, kind)) => self.kinds.get(*kind),
            None => self.kinds.iter().find(|kind| !kind.daylight).or(self.kinds.first()),
        };
        kind.unwrap_or(&NOTHING)
    }

    /// Abbreviations of standard and of daylight saving time, Python's `time.tzname`.
    #[must_use]
    pub fn names_at(&self, epoch_s: i64) -> (String, String) {
        // January and July of the year differ if the zone has two times at all.
        let half = 182 * SECONDS_A_DAY;
        let now = self.kind_at(epoch_s);
        let other = self.kind_at(epoch_s.saturating_add(half));
        let (standard, daylight) = match (now.daylight, other.daylight) {
            (true, false) => (other, now),
            (false, true) => (now, other),
            _ => (now, now),
        };
        (standard.abbreviation.clone(), daylight.abbreviation.clone())
    }
}

/// The counts at the beginning of each half of a zone file.
struct Header {
    version: u8,
    universal: usize,
    standard: usize,
    leap: usize,
    times: usize,
    kinds: usize,
    characters: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn parse(bytes: &[u8]) -> Option<Self> {
        (bytes.get(..4)? == b"TZif").then_some(())?;
        let count = |index: usize| {
            let at = 20 + index * 4;
            let raw: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(raw)).ok()
        };
        Some(Header {
            version: *bytes.get(4)?,
            universal: count(0)?,
            standard: count(1)?,
            leap: count(2)?,
            times: count(3)?,
            kinds: count(4)?,
            characters: count(5)?,
        })
    }

    fn body_bytes(&self, time_bytes: usize) -> Option<usize> {
        let times = self.times.checked_mul(time_bytes + 1)?;
        let kinds = self.kinds.checked_mul(6)?;
        let leap = self.leap.checked_mul(time_bytes + 4)?;
        [times, kinds, self.characters, leap, self.standard, self.universal]
            .into_iter()
            .try_fold(0_usize, usize::checked_add)
    }

    fn body(&self, bytes: &[u8], time_bytes: usize) -> Option<(Zone, usize)> {
        let end = Header::BYTES.checked_add(self.body_bytes(time_bytes)?)?;
        let body = bytes.get(Header::BYTES..end)?;
        let (times, rest) = body.split_at_checked(self.times * time_bytes)?;
        let (indices, rest) = rest.split_at_checked(self.times)?;
        let (kinds, rest) = rest.split_at_checked(self.kinds * 6)?;
        let names = rest.get(..self.characters)?;
        let transitions = times
            .chunks_exact(time_bytes)
            .map(signed)
            .zip(indices.iter().map(|index| usize::from(*index)))
            .collect();
        let kinds =
            kinds.chunks_exact(6).map(|raw| kind(raw, names)).collect::<Option<Vec<_>>>()?;
        Some((Zone { transitions, kinds, footer: None }, end))
    }
}

fn kind(raw: &[u8], names: &[u8]) -> Option<Kind> {
    let name = names.get(usize::from(*raw.get(5)?)..)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(Kind {
        offset_s: signed(raw.get(..4)?),
        daylight: *raw.get(4)? != 0,
        abbreviation: String::from_utf8_lossy(name).into_owned(),
    })
}

/// A big-endian two's complement number of 4 or 8 bytes.
fn signed(bytes: &[u8]) -> i64 {
    match (<[u8; 8]>::try_from(bytes), <[u8; 4]>::try_from(bytes)) {
        (Ok(long), _) => i64::from_be_bytes(long),
        (_, Ok(short)) => i64::from(i32::from_be_bytes(short)),
        _ => 0,
    }
}

/// A POSIX `TZ` text such as `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    standard: Kind,
    daylight: Option<(Kind, Switch, Switch)>,
}

/// When the clock is changed: the n-th weekday of a month, or a day of the year.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Switch {
    day: SwitchDay,
    second: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SwitchDay {
    Weekday { month: u32, week: u32, weekday: u32 },
    Julian(i64),
    ZeroBased(i64),
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = zone_name(text)?;
        let (offset, rest) = clock_time(rest)?;
        let standard = Kind { offset_s: -offset, daylight: false, abbreviation: name };
        if rest.is_empty() {
            return Some(Rule { standard, daylight: None });
        }
        let (name, rest) = zone_name(rest)?;
        let (offset_s, rest) = match clock_time(rest) {
            Some((offset, rest)) => (-offset, rest),
            None => (standard.offset_s + 3600, rest),
        };
        let mut switches = rest.strip_prefix(',')?.split(',').map(Switch::parse);
        let (begin, end) = (switches.next()??, switches.next()??);
        let kind = Kind { offset_s, daylight: true, abbreviation: name };
        Some(Rule { standard, daylight: Some((kind, begin, end)) })
    }

    fn kind_at(&self, epoch_s: i64) -> &Kind {
        let Some((daylight, begin, end)) = &self.daylight else { return &self.standard };
        let local_days = epoch_s.saturating_add(self.standard.offset_s).div_euclid(SECONDS_A_DAY);
        let (year, _, _) = civil(local_days);
        let begin = begin.second_in(year) - self.standard.offset_s;
        let end = end.second_in(year) - daylight.offset_s;
        let inside = if begin <= end {
            (begin..end).contains(&epoch_s)
        } else {
            !(end..begin).contains(&epoch_s)
        };
        if inside { daylight } else { &self.standard }
    }
}

impl Switch {
    fn parse(text: &str) -> Option<Self> {
        let (day, second) = match text.split_once('/') {
            Some((day, time)) => (day, clock_time(time)?.0),
            None => (text, 2 * 3600),
        };
        let day = if let Some(weekday) = day.strip_prefix('M') {
            let mut numbers = weekday.split('.').map(|number| number.parse::<u32>().ok());
            let (month, week, weekday) = (numbers.next()??, numbers.next()??, numbers.next()??);
            ((1..=12).contains(&month) && (1..=5).contains(&week) && weekday < 7).then_some(())?;
            SwitchDay::Weekday { month, week, weekday }
        } else if let Some(julian) = day.strip_prefix('J') {
            SwitchDay::Julian(julian.parse().ok().filter(|day| (1..=365).contains(day))?)
        } else {
            SwitchDay::ZeroBased(day.parse().ok().filter(|day| (0..=365).contains(day))?)
        };
        Some(Switch { day, second })
    }

    /// Local seconds since 1970.
    fn second_in(&self, year: i64) -> i64 {
        let day = match &self.day {
            SwitchDay::Weekday { month, week, weekday } => {
                let first = days_before(year, *month, 1);
                let first_weekday = (first + 4).rem_euclid(7);
                let ahead = (i64::from(*weekday) - first_weekday).rem_euclid(7);
                let mut day = first + ahead + 7 * i64::from(week - 1);
                let next_month = if *month == 12 {
                    days_before(year + 1, 1, 1)
                } else {
                    days_before(year, month + 1, 1)
                };
                while day >= next_month {
                    day -= 7;
                }
                day
            }
            SwitchDay::Julian(day) => {
                let leap = days_before(year + 1, 1, 1) - days_before(year, 1, 1) == 366;
                days_before(year, 1, 1) + day - 1 + i64::from(leap && *day >= 60)
            }
            SwitchDay::ZeroBased(day) => days_before(year, 1, 1) + day,
        };
        day * SECONDS_A_DAY + self.second
    }
}

/// A zone's abbreviation: letters, or anything in `<>`.
fn zone_name(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('<') {
        let (name, rest) = quoted.split_once('>')?;
        return Some((name.to_owned(), rest));
    }
    let end = text.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    (name.len() >= 3).then(|| (name.to_owned(), rest))
}

/// `[+-]hh[:mm[:ss]]` in seconds, and what follows.
fn clock_time(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits
        .find(|character: char| !(character.is_ascii_digit() || character == ':'))
        .unwrap_or(digits.len());
    let (time, rest) = digits.split_at_checked(end)?;
    let mut seconds = 0;
    let mut unit = 3600;
    for number in time.split(':') {
        seconds += number.parse::<i64>().ok().filter(|number| *number < 1000)? * unit;
        unit /= 60;
    }
    Some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_zone(name: &str, epoch_s: i64) -> String {
        let zone = Zone::read(&Path::new("/usr/share/zoneinfo").join(name)).unwrap();
        let moment = Moment::at(epoch_s, 0, &zone);
        format!("{} {} {}", moment.python(), moment.offset(), moment.zone)
    }

    #[test]
    fn the_calendar_goes_both_ways() {
        for days in (-200_000..200_000).step_by(7) {
            let (year, month, day) = civil(days);
            assert_eq!(days_before(year, month, day), days);
        }
        assert_eq!(civil(19_782), (2024, 2, 29));
    }

    #[test]
    fn a_moment_has_all_its_parts() {
        let moment = Moment::at(1_709_210_096, 1500, &Zone::utc());
        assert_eq!(moment.python(), "2024-02-29 12:34:56.001500");
        assert_eq!((moment.weekday_name(), moment.day_of_year), ("Thursday", 60));
        assert_eq!(moment.week(), 9);
        assert_eq!(Moment::at(-1, 0, &Zone::utc()).python(), "1969-12-31 23:59:59");
    }

    /// Oracle: `date` of the system.
    #[test]
    fn zones_agree_with_date() {
        if !Path::new("/usr/share/zoneinfo/Europe/Berlin").exists() {
            return;
        }
        let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"];
        for zone in zones {
            for epoch in
                [0_i64, 1_000_000_000, 1_711_846_799, 1_711_846_800, 1_730_000_000, 2_400_000_000]
            {
                let expected = std::process::Command::new("date")
                    .env("TZ", zone)
                    .args(["-d", &format!("@{epoch}"), "+%Y-%m-%d %H:%M:%S %z %Z"])
                    .output()
                    .unwrap();
                let expected = String::from_utf8(expected.stdout).unwrap();
                assert_eq!(in_zone(zone, epoch), expected.trim(), "{zone} {epoch}");
            }
        }
    }

    #[test]
    fn rules() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(rule.kind_at(1_711_846_799).abbreviation, "CET");
        assert_eq!(rule.kind_at(1_711_846_800).abbreviation, "CEST");
        assert_eq!(rule.kind_at(1_729_990_800).abbreviation, "CET");
        assert_eq!(Rule::parse("<+0330>-3:30").unwrap().standard.offset_s, 12_600);
        assert_eq!(Rule::parse("nonsense"), None);
        assert_eq!(Zone::from_rule(rule).names_at(1_720_000_000).0, "CET");
    }

    #[test]
    fn deltas() {
        assert_eq!(python_delta(Duration::from_micros(5123)), "0:00:00.005123");
        assert_eq!(python_delta(Duration::from_secs(3661)), "1:01:01");
        assert_eq!(python_delta(Duration::from_secs(90_000)), "1 day, 1:00:00");
    }

    #[test]
    fn broken_zone_files_are_refused() {
        assert_eq!(Zone::parse(b"TZif2"), None);
        assert_eq!(Zone::parse(&[0; 100]), None);
        let mut huge = b"TZif\0".to_vec();
        huge.resize(44, 0xff);
        assert_eq!(Zone::parse(&huge), None);
    }
}
