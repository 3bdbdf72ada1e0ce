//! Words of the command line: factors, windows, meanings of commands.

use policy::Nanoseconds;
use policy::config::units::Length;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use simulator::scenario::{Scenario, ServiceTimes};

use crate::exit::Exit;
use crate::paint;

/// More than that is a slip.
const MAX_FACTOR: f64 = 10_000.0;

/// `2x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factor(pub f64);

impl Factor {
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
        let number = number.filter(|number| *number > 0.0 && *number <= MAX_FACTOR);
        number.map(Factor).ok_or_else(|| {
            format!("expected a factor such as 2x or 0.5x, more than 0 and at most {MAX_FACTOR}x")
        })
    }

    pub fn is_one(self) -> bool {
        self.0.to_bits() == 1.0_f64.to_bits()
    }

    /// A length of time divided by the factor, which counts to nine digits behind the point.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "factors are positive and bounded"
    )]
    pub fn shrink(self, time_ns: u64) -> u64 {
        const DIGITS: f64 = 1e9;
        let factor = ((self.0 * DIGITS).round() as u128).max(1);
        let shrunk = (u128::from(time_ns) * (DIGITS as u128) + factor / 2) / factor;
        u64::try_from(shrunk).unwrap_or(u64::MAX)
    }
}

/// `1h..2h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    pub from: Nanoseconds,
    /// Not in it any more.
    pub to: Option<Nanoseconds>,
}

impl Window {
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected FROM..TO, such as 1h..2h, ..30min or 1h..";
        let (from, to) = text.split_once("..").ok_or(EXPECTED)?;
        let time = |text: &str| match text.trim() {
            "" => Ok(None),
            text => length(text).map(Some),
        };
        let window = Window { from: time(from)?.unwrap_or(Nanoseconds::ZERO), to: time(to)? };
        if window.to.is_some_and(|to| to <= window.from) {
            return Err("the window ends before it begins".to_owned());
        }
        Ok(window)
    }

    pub fn contains(self, at_ns: u64) -> bool {
        at_ns >= self.from.0 && self.to.is_none_or(|to| at_ns < to.0)
    }

    pub fn text(self) -> String {
        format!("{}..{}", exact(self.from), self.to.map_or(String::new(), exact))
    }
}

/// Longest first.
const UNITS: [(&str, u64); 5] = [
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// A time as it can be given again, in the longest unit that loses nothing.
fn exact(time: Nanoseconds) -> String {
    let fits = |(_, length): &&(&str, u64)| time.0 > 0 && time.0.is_multiple_of(*length);
    match UNITS.iter().find(fits) {
        Some((unit, length)) => format!("{}{unit}", time.0 / length),
        None if time.0 == 0 => "0s".to_owned(),
        None => format!("{}ns", time.0),
    }
}

fn length(text: &str) -> Result<Nanoseconds, String> {
    type Error = serde::de::value::Error;
    let read = Length::deserialize(IntoDeserializer::<Error>::into_deserializer(text));
    read.map(|Length(time)| time).map_err(|error| error.to_string())
}

/// `TXT_2_IMG=avthumb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// In the trace.
    pub name: String,
    /// In the scenario.
    pub cmd: String,
}

impl Meaning {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, cmd) = text.rsplit_once('=').ok_or("expected NAME=CMD")?;
        Ok(Meaning { name: name.to_owned(), cmd: cmd.to_owned() })
    }
}

/// Adds meanings before those of the file.
pub fn add_meanings(scenario: &mut Scenario, given: &[Meaning]) -> Result<(), Exit> {
    for Meaning { name, cmd } in given.iter().rev() {
        let cmds = &scenario.model.cmds;
        let Some(place) = cmds.iter().position(|known| known.name == *cmd) else {
            let known: Vec<&str> = cmds.iter().map(|cmd| cmd.name.as_str()).collect();
            paint::error(&format!("the scenario has no cmd `{cmd}`"));
            tell!("hint: it has {}", known.join(", "));
            return Err(Exit::InvalidInput);
        };
        match name.as_str() {
            "*" => scenario.replay.others = Some(place),
            _ => scenario.replay.cmds.insert(0, (name.clone(), place)),
        }
    }
    Ok(())
}

pub fn service(text: &str) -> Result<ServiceTimes, String> {
    match text {
        "trace" => Ok(ServiceTimes::Trace),
        "law" => Ok(ServiceTimes::Law),
        _ => Err("expected trace or law".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(Factor::parse("2x"), Ok(Factor(2.0)));
        assert_eq!(Factor::parse("0.5"), Ok(Factor(0.5)));
        for text in ["", "x", "0x", "-1x", "NaNx", "infx", "1e9x"] {
            assert!(Factor::parse(text).is_err(), "{text}");
        }
        assert_eq!(Factor(2.0).shrink(11), 6);
        assert_eq!(Factor(0.5).shrink(1 << 60), 1 << 61);
        assert_eq!(Factor(1.0).shrink(u64::MAX), u64::MAX);
        let minutes = |count: u64| Nanoseconds::from_seconds(count * 60);
        let window = Window { from: minutes(60), to: Some(minutes(90)) };
        assert_eq!(Window::parse("1h..90min"), Ok(window));
        assert_eq!(window.text(), "1h..90min");
        for text in ["1h..90min", "0s..30s", "1500ms..7s", "3ns..", "0s..61min"] {
            assert_eq!(Window::parse(text).unwrap().text(), text);
        }
        assert_eq!(Window::parse("..").unwrap(), Window::default());
        assert!(window.contains(minutes(60).0) && !window.contains(minutes(90).0));
        for text in ["1h", "2h..1h", "1..2", "1h..1h"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
        let meaning = Meaning::parse("a=b=c").unwrap();
        assert_eq!((meaning.name.as_str(), meaning.cmd.as_str()), ("a=b", "c"));
    }
}
