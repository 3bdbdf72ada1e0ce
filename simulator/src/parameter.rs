//! What experiments vary: `policy.queue.paid=3..10`, a key of the scenario and the values that it is
//! to have.

use diagnostics::{Diagnostic, Span};

use crate::scenario::Override;

/// A key and its values, as `--set` would have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The key.
    pub key: String,
    /// The values, in the order in which they were given.
    pub values: Vec<String>,
}

/// More values of one parameter are a slip.
const MAX_VALUES: usize = 10_000;

impl Parameter {
    /// A parameter from its text, which begins at the beginning of `at`: `KEY=a..b`,
    /// `KEY=a..b step c` or `KEY=a,b,c`.
    ///
    /// # Errors
    /// What is wrong with it, with its place.
    pub fn parse(text: &str, at: Span) -> Result<Self, Box<Diagnostic>> {
        let wrong = |start: usize, end: usize, message: String, label: &str| {
            let place = Span::new(at.source, at.start as usize + start, at.start as usize + end);
            Box::new(
                Diagnostic::error("parameter", message)
                    .at(place, label)
                    .hint("such as policy.queue.paid=3..10, 1s..10s step 500ms, or 3,5,10"),
            )
        };
        let Some((key, list)) = text.split_once('=') else {
            let message = format!("`{text}` is no parameter");
            return Err(wrong(0, text.len(), message, "expected KEY=VALUES"));
        };
        let key = key.trim();
        let begin = text.len() - list.len();
        if key.split('.').any(|part| part.trim().is_empty()) {
            let message = "a key is empty".to_owned();
            return Err(wrong(0, begin - 1, message, "expected KEY.KEY"));
        }
        let mut values = Vec::new();
        for (start, part) in parts(list) {
            let end = start + part.len();
            let (start, end) = (begin + start, begin + end);
            let part = part.trim();
            if part.is_empty() {
                let message = format!("a value of `{key}` is missing");
                return Err(wrong(start, end, message, "expected a value"));
            }
            match part.split_once("..") {
                Some((low, high)) => {
                    let range = range(low, high).map_err(|reason| {
                        wrong(start, end, format!("`{part}` is no range"), reason)
                    })?;
                    values.extend(range);
                }
                None => values.push(part.to_owned()),
            }
        }
        Ok(Parameter { key: key.to_owned(), values })
    }

    /// One of its values, as an override.
    #[must_use]
    pub fn set(&self, place: usize) -> Option<Override> {
        let value = self.values.get(place)?;
        let given = Override::parse(&format!("{}={value}", self.key)).ok()?;
        Some(given.of_option("--param"))
    }
}

/// Values between commas that are not within brackets, with their places.
fn parts(list: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut depth, mut begin) = (0u32, 0);
    for (place, byte) in list.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push((begin, list.get(begin..place).unwrap_or_default()));
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.push((begin, list.get(begin..).unwrap_or_default()));
    parts
}

/// Numbers from one to the other, both included, with the unit that both have.
fn range(low: &str, high: &str) -> Result<Vec<String>, &'static str> {
    let (high, step) = match high.split_once(" step ") {
        Some((high, step)) => (high, Some(step)),
        None => (high, None),
    };
    let number = |text| number(text).ok_or("expected numbers, such as 3..10 or 1s..10s");
    let (low, low_unit) = number(low.trim())?;
    let (high, unit) = number(high.trim())?;
    let (step, step_unit) = step.map_or(Ok((Decimal::ONE, unit)), |step| number(step.trim()))?;
    if step_unit != unit || (low_unit != unit && !low_unit.is_empty()) {
        return Err("expected the same unit in all places");
    }
    let scale = low.decimals.max(high.decimals).max(step.decimals);
    let (low, high, step) = (low.at(scale), high.at(scale), step.at(scale));
    let (Some(low), Some(high), Some(step)) = (low, high, step) else {
        return Err("expected smaller numbers");
    };
    if step == 0 {
        return Err("a step of 0 leads nowhere");
    }
    if low > high {
        return Err("it ends before it begins");
    }
    if (high - low) / step >= MAX_VALUES as u64 {
        return Err("expected at most 10000 values");
    }
    let values = (low..=high).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    Ok(values
        .map(|value| format!("{}{unit}", Decimal { digits: value, decimals: scale }))
        .collect())
}

/// A decimal number, exactly: sums of binary fractions would show.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: u64,
    decimals: u32,
}

impl Decimal {
    const ONE: Decimal = Decimal { digits: 1, decimals: 0 };

    /// Its digits with so many decimals.
    fn at(self, decimals: u32) -> Option<u64> {
        10u64.checked_pow(decimals - self.decimals)?.checked_mul(self.digits)
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = 10u64.checked_pow(self.decimals).unwrap_or(1);
        let (whole, rest) = (self.digits / scale, self.digits % scale);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:0width$}", width = self.decimals as usize);
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A number and its unit.
fn number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{rest}").parse().ok()?;
    let decimals = u32::try_from(rest.len()).ok().filter(|decimals| *decimals <= 9)?;
    Some((Decimal { digits, decimals }, unit.trim()))
}

#[cfg(test)]
mod tests {
    use diagnostics::{Sources, Style, render};

    use super::*;

    fn values(text: &str) -> Vec<String> {
        let at = Span::new(Sources::default().add("--param", text), 0, text.len());
        Parameter::parse(text, at).unwrap().values
    }

    #[test]
    fn ranges_and_lists() {
        assert_eq!(values("a.b=3..6"), ["3", "4", "5", "6"]);
        assert_eq!(values("a=0..10 step 4"), ["0", "4", "8"]);
        assert_eq!(values("a=1s..3s"), ["1s", "2s", "3s"]);
        assert_eq!(values("a=1..3s step 0.5s"), ["1s", "1.5s", "2s", "2.5s", "3s"]);
        assert_eq!(values("a=0.1..0.3 step 0.1"), ["0.1", "0.2", "0.3"]);
        assert_eq!(values("a=1,5, 10 ,20..22"), ["1", "5", "10", "20", "21", "22"]);
        assert_eq!(
            values("policy.balance={rule: power_of_choices, choices: 3},{rule: random}"),
            ["{rule: power_of_choices, choices: 3}", "{rule: random}"]
        );
        assert_eq!(values("a=x"), ["x"]);
    }

    proptest::proptest! {
        /// Whatever is written: an error has a place within the text, and values are ones that
        /// `--set` takes.
        #[test]
        fn any_text_is_read_or_refused(text in "[a.é=0-9,{}\\[\\] spt]{0,24}") {
            let mut sources = Sources::default();
            let at = Span::new(sources.add("--param", text.as_str()), 0, text.len());
            match Parameter::parse(&text, at) {
                Ok(read) => {
                    assert!(!read.values.is_empty());
                    assert!((0..read.values.len()).all(|place| read.set(place).is_some()));
                }
                Err(wrong) => {
                    let span = wrong.primary.unwrap().span;
                    assert!(text.get(span.start as usize..span.end as usize).is_some());
                }
            }
        }
    }

    #[test]
    fn what_is_no_parameter() {
        let mut told = String::new();
        for text in [
            "a",
            "=3",
            "a..b=3",
            "a=",
            "a=1,,2",
            "a=9..3",
            "a=1..x",
            "a=1s..5min",
            "a=1..5 step 0",
            "a=1..99999",
        ] {
            let mut sources = Sources::default();
            let at = Span::new(sources.add("--param", text), 0, text.len());
            let wrong = Parameter::parse(text, at).unwrap_err();
            told.push_str(&render(&wrong, &sources, Style::Plain));
            told.push_str("\n\n");
        }
        insta::assert_snapshot!(told);
    }
}
