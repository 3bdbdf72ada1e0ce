//! Access and modification times as `file` takes them.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::disk::metadata::{self, Time};
use crate::disk::texts::AttributeChange;
use crate::module::{Context, Failure};
use crate::modules::system::clock::{Moment, Zone, days_before};

const DEFAULT_FORMAT: &str = "%Y%m%d%H%M.%S";

/// One wanted time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Preserve,
    Now,
    At(Time),
}

/// Both wanted times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    access: Wish,
    modification: Wish,
}

impl Times {
    /// From text and format. Without text, `touch` means now and other states leave it alone.
    pub(super) fn new(
        access: (Option<&str>, Option<&str>),
        modification: (Option<&str>, Option<&str>),
        touches: bool,
    ) -> Result<Times, Failure> {
        let default = if touches { Wish::Now } else { Wish::Preserve };
        let wish = |(text, format): (Option<&str>, Option<&str>)| match text {
            None => Ok(default),
            Some("preserve") => Ok(Wish::Preserve),
            Some("now") => Ok(Wish::Now),
            Some(text) => parse(text, format.unwrap_or(DEFAULT_FORMAT)).map(Wish::At),
        };
        Ok(Times { access: wish(access)?, modification: wish(modification)? })
    }

    /// Makes it so; whether something changed (or would).
    pub(super) fn apply(
        &self,
        path: &Path,
        context: &mut Context<'_>,
        change: &mut AttributeChange,
    ) -> Result<bool, Failure> {
        if (self.access, self.modification) == (Wish::Preserve, Wish::Preserve) {
            return Ok(false);
        }
        // Times of a link are those of its target, as with Python's utime.
        let Ok(data) = fs::metadata(path) else { return Ok(context.check) };
        let present = (metadata::access_time(&data), metadata::modification_time(&data));
        let resolve = |wish: Wish, present: Time| match wish {
            Wish::Preserve => present,
            Wish::Now => now(),
            Wish::At(time) => time,
        };
        let wanted = (resolve(self.access, present.0), resolve(self.modification, present.1));
        if wanted == present {
            return Ok(false);
        }
        for (name, before, after) in
            [("atime", present.0, wanted.0), ("mtime", present.1, wanted.1)]
        {
            if before != after {
                change.note(name, seconds(before), seconds(after));
            }
        }
        if !context.check {
            context.about_to_change()?;
            let real = crate::disk::paths::real_path(path);
            let done = if (self.access, self.modification) == (Wish::Now, Wish::Now) {
                metadata::touch(&real)
            } else {
                metadata::change_times(&real, Some(wanted.0), Some(wanted.1))
            };
            done.map_err(|error| {
                Failure::new(format!("Error while updating modification or access time: {error}"))
                    .with("path", crate::disk::paths::text(path))
            })?;
        }
        Ok(true)
    }
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
}

/// As Python shows a time stamp.
pub(crate) fn seconds((seconds, nanoseconds): Time) -> Value {
    // A time stamp in a result has the precision of a double, there as here.
    #[expect(clippy::cast_precision_loss, reason = "what Python's st_mtime is")]
    let value = seconds as f64 + nanoseconds as f64 * 1e-9;
    value.into()
}

/// Reads a local time in the default format.
pub(crate) fn local_time(text: &str) -> Option<Time> {
    parse(text, DEFAULT_FORMAT).ok()
}

/// Reads a local time by a format of `strptime`.
fn parse(text: &str, format: &str) -> Result<Time, Failure> {
    let failed = || {
        Failure::new(format!(
            "Error while obtaining timestamp for time {text} using format {format}: time data \
             does not match format"
        ))
    };
    let mut fields = Fields::default();
    let mut rest = text;
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        if letter != '%' {
            rest = rest.strip_prefix(letter).ok_or_else(failed)?;
            continue;
        }
        let directive = letters.next().ok_or_else(failed)?;
        rest = fields.read(directive, rest).ok_or_else(failed)?;
    }
    if !rest.is_empty() {
        return Err(failed());
    }
    fields.time().ok_or_else(failed)
}

#[derive(Debug)]
struct Fields {
    year: i64,
    month: u32,
    day: u32,
    hour: i64,
    minute: i64,
    second: i64,
    afternoon: Option<bool>,
    day_of_year: Option<i64>,
    epoch: Option<i64>,
    offset: Option<i64>,
}

impl Default for Fields {
    fn default() -> Self {
        Fields {
            year: 1900,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
            second: 0,
            afternoon: None,
            day_of_year: None,
            epoch: None,
            offset: None,
        }
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

impl Fields {
    /// Reads one directive and returns what follows.
    fn read<'a>(&mut self, directive: char, text: &'a str) -> Option<&'a str> {
        let rest = match directive {
            'Y' => number(text, 4, &mut self.year)?,
            'y' => {
                let mut short = 0;
                let rest = number(text, 2, &mut short)?;
                self.year = if short < 69 { 2000 + short } else { 1900 + short };
                rest
            }
            'm' => small(text, 1..=12, &mut self.month)?,
            'd' | 'e' => small(text, 1..=31, &mut self.day)?,
            'H' => number(text, 2, &mut self.hour)?,
            'I' => number(text, 2, &mut self.hour)?,
            'M' => number(text, 2, &mut self.minute)?,
            'S' => number(text, 2, &mut self.second)?,
            'j' => {
                let mut day = 0;
                let rest = number(text, 3, &mut day)?;
                self.day_of_year = Some(day);
                rest
            }
            's' => {
                let mut epoch = 0;
                let rest = number(text, 18, &mut epoch)?;
                self.epoch = Some(epoch);
                rest
            }
            'p' => {
                let (word, rest) = text.split_at_checked(2)?;
                self.afternoon = Some(match word.to_ascii_lowercase().as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
                rest
            }
            'b' | 'B' | 'h' => self.month_name(text)?,
            'z' => self.zone(text)?,
            'F' => self.compound(text, &['Y', '-', 'm', '-', 'd'])?,
            'T' => self.compound(text, &['H', ':', 'M', ':', 'S'])?,
            'D' => self.compound(text, &['m', '/', 'd', '/', 'y'])?,
            'R' => self.compound(text, &['H', ':', 'M'])?,
            '%' => text.strip_prefix('%')?,
            _ => return None,
        };
        Some(rest)
    }

    fn compound<'a>(&mut self, text: &'a str, parts: &[char]) -> Option<&'a str> {
        parts.iter().try_fold(text, |rest, part| {
            if part.is_alphabetic() { self.read(*part, rest) } else { rest.strip_prefix(*part) }
        })
    }

    fn month_name<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let word: String = text.chars().take_while(char::is_ascii_alphabetic).collect();
        let short = word.get(..3)?.to_ascii_lowercase();
        let index = MONTHS.iter().position(|month| *month == short)?;
        self.month = u32::try_from(index).ok()? + 1;
        text.get(word.len()..)
    }

    fn zone<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        if let Some(rest) = text.strip_prefix('Z') {
            self.offset = Some(0);
            return Some(rest);
        }
        let (sign, rest) = match text.split_at_checked(1)? {
            ("+", rest) => (1, rest),
            ("-", rest) => (-1, rest),
            _ => return None,
        };
        let (mut hours, mut minutes) = (0, 0);
        let rest = number(rest, 2, &mut hours)?;
        let rest = number(rest.strip_prefix(':').unwrap_or(rest), 2, &mut minutes)?;
        self.offset = Some(sign * (hours * 3600 + minutes * 60));
        Some(rest)
    }

    fn time(&self) -> Option<Time> {
        if let Some(epoch) = self.epoch {
            return Some((epoch, 0));
        }
        if self.hour > 23 || self.minute > 59 || self.second > 61 {
            return None;
        }
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let days = match self.day_of_year {
            Some(day) => days_before(self.year, 1, 1) + day - 1,
            None => days_before(self.year, self.month, self.day),
        };
        let wall = days * 86_400 + hour * 3600 + self.minute * 60 + self.second;
        Some((self.offset.map_or_else(|| from_local(wall), |offset| wall - offset), 0))
    }
}

/// The moment when local clocks show this wall time; in a gap or an overlap, the first that fits.
fn from_local(wall: i64) -> i64 {
    let zone = Zone::local();
    let shown = |epoch: i64| {
        let moment = Moment::at(epoch, 0, &zone);
        let text = moment.offset();
        let (sign, digits) = text.split_at_checked(1).unwrap_or(("+", "0000"));
        let number: i64 = digits.parse().unwrap_or_default();
        let seconds = (number / 100) * 3600 + (number % 100) * 60;
        epoch + if sign == "-" { -seconds } else { seconds }
    };
    let guess = wall - (shown(wall) - wall);
    let again = guess - (shown(guess) - wall);
    if shown(again) == wall { again } else { guess }
}

fn number<'a>(text: &'a str, digits: usize, into: &mut i64) -> Option<&'a str> {
    let length = text.bytes().take(digits).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(length)?;
    *into = number.parse().ok()?;
    Some(rest)
}

fn small<'a>(
    text: &'a str,
    range: std::ops::RangeInclusive<u32>,
    into: &mut u32,
) -> Option<&'a str> {
    let mut value = 0;
    let rest = number(text, 2, &mut value)?;
    *into = u32::try_from(value).ok().filter(|value| range.contains(value))?;
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read() {
        let with_zone = |text: &str, format: &str| parse(text, format).unwrap().0;
        assert_eq!(with_zone("2024-02-29 12:34:56 +0000", "%Y-%m-%d %H:%M:%S %z"), 1_709_210_096);
        assert_eq!(with_zone("29 Feb 24 12:34 PM -0100", "%d %b %y %I:%M %p %z"), 1_709_213_640);
        assert_eq!(with_zone("1709210096", "%s"), 1_709_210_096);
        assert_eq!(with_zone("2024 060 Z", "%Y %j %z"), 1_709_164_800);
        for (text, format) in
            [("2024", "%Y-"), ("x", "%Y"), ("13", "%m"), ("2024x", "%Y"), ("", "%Q")]
        {
            parse(text, format).unwrap_err();
        }
    }

    /// Oracle: `date` of the system.
    #[test]
    fn local_times_agree_with_date() {
        let output = std::process::Command::new("date")
            .args(["-d", "2024-07-01 12:34:56", "+%s"])
            .output()
            .unwrap();
        let expected: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert_eq!(parse("202407011234.56", DEFAULT_FORMAT).unwrap(), (expected, 0));
    }
}
