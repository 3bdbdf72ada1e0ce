//! `with_sequence`: `start=0 end=10 stride=2 format=host%02d`, or `4-16/2:host%02d`.

use minijinja::Value;

use super::{named_pairs, split_pairs};
use crate::error::{Outcome, TemplateError};
use crate::limits::MAX_RANGE_ITEMS;
use crate::program::Name;
use crate::value::{is_dict, text_of};

#[derive(Debug, Clone)]
struct Sequence {
    start: i64,
    end: Option<i64>,
    count: Option<i64>,
    stride: i64,
    format: String,
}

pub(super) fn sequence(terms: &[Value], options: &[(Name, Value)]) -> Outcome<Vec<Value>> {
    let mut out = Vec::new();
    let empty = [Value::from("")];
    let terms = if terms.is_empty() { &empty[..] } else { terms };
    for term in terms {
        let mut parsed =
            Sequence { start: 1, end: None, count: None, stride: 1, format: "%d".into() };
        for (name, value) in options {
            parsed.set(name, &text_of(value))?;
        }
        if is_dict(term) {
            for (name, value) in named_pairs(term) {
                parsed.set(&name, &text_of(&value))?;
            }
        } else {
            let text = text_of(term);
            if !parsed.shortcut(&text)? {
                for (name, value) in split_pairs(&text).0 {
                    parsed.set(&name, &value)?;
                }
            }
        }
        parsed.generate(&mut out)?;
    }
    Ok(out)
}

fn number(name: &str, text: &str) -> Outcome<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    // Python's `int(text, 0)`.
    let parsed = if let Some(hexadecimal) = lower.strip_prefix("0x") {
        i64::from_str_radix(hexadecimal, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i64::from_str_radix(octal, 8)
    } else {
        lower.parse()
    };
    parsed.map(|number| if negative { -number } else { number }).map_err(|_| {
        TemplateError::failed(format!("Invalid type for {name} of sequence: {text} is no integer"))
    })
}

impl Sequence {
    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "start" => self.start = number(name, value)?,
            "end" => self.end = Some(number(name, value)?),
            "count" => self.count = Some(number(name, value)?),
            "stride" => self.stride = number(name, value)?,
            "format" => self.format = value.to_owned(),
            other => {
                return Err(TemplateError::failed(format!(
                    "unrecognized arguments to with_sequence: ['{other}']"
                )));
            }
        }
        Ok(())
    }

    /// `[start-]end[/stride][:format]`; whether the text has this form.
    fn shortcut(&mut self, text: &str) -> Outcome<bool> {
        let (range, format) = match text.split_once(':') {
            Some((range, format)) => (range, Some(format)),
            None => (text, None),
        };
        let (range, stride) = match range.split_once('/') {
            Some((range, stride)) => (range, Some(stride)),
            None => (range, None),
        };
        let (start, end) = match range.split_once('-') {
            Some((start, end)) if !start.is_empty() => (Some(start), end),
            _ => (None, range),
        };
        let numeric = |text: &str| {
            !text.is_empty() && text.trim_start_matches("0x").bytes().all(|b| b.is_ascii_hexdigit())
        };
        if !numeric(end) || !start.is_none_or(numeric) || !stride.is_none_or(numeric) {
            return Ok(false);
        }
        if let Some(start) = start {
            self.start = number("start", start)?;
        }
        self.end = Some(number("end", end)?);
        if let Some(stride) = stride {
            self.stride = number("stride", stride)?;
        }
        if let Some(format) = format.filter(|format| !format.is_empty()) {
            self.format = format.to_owned();
        }
        Ok(true)
    }

    fn generate(&self, out: &mut Vec<Value>) -> Outcome<()> {
        let end = match (self.count, self.end) {
            (Some(_), Some(_)) => {
                return Err(TemplateError::failed(
                    "can't specify both count and end in with_sequence",
                ));
            }
            (None, None) => {
                return Err(TemplateError::failed("must specify count or end in with_sequence"));
            }
            (Some(0), None) => return Ok(()),
            (Some(count), None) => {
                self.start.saturating_add(count.saturating_mul(self.stride)).saturating_sub(1)
            }
            (None, Some(end)) => end,
        };
        if self.stride > 0 && end < self.start {
            if self.end.is_none() {
                return Ok(());
            }
            return Err(TemplateError::failed("to count backwards make stride negative"));
        }
        if self.stride < 0 && end > self.start {
            return Err(TemplateError::failed("to count forward don't make stride negative"));
        }
        if self.format.matches('%').count() != 1 {
            return Err(TemplateError::failed(format!("bad formatting string: {}", self.format)));
        }
        if self.stride == 0 {
            return Ok(());
        }
        let mut at = self.start;
        while (self.stride > 0 && at <= end) || (self.stride < 0 && at >= end) {
            if out.len() >= MAX_RANGE_ITEMS {
                return Err(TemplateError::failed(format!(
                    "with_sequence makes more than {MAX_RANGE_ITEMS} items"
                )));
            }
            out.push(Value::from(crate::format::percent(&self.format, &Value::from(at))?));
            let Some(next) = at.checked_add(self.stride) else { break };
            at = next;
        }
        Ok(())
    }
}
