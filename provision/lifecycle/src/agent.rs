//! A change of what an agent of Mesos says of itself: attributes, resources, hostname, port.
//!
//! An agent that starts with another description than before refuses to recover its tasks, and
//! stays down. Which changes it bears is upstream's rule (`src/slave/compatibility.cpp`), told
//! here another way: with the policy `equal` none, with `additive` only more of the same. So a
//! change is classified before the host is touched.

use std::collections::{BTreeMap, BTreeSet};

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// `--attributes`: `rack:r1;ports:[1-10]`.
    pub attributes: String,
    /// `--resources`: `cpus:4;mem:1024`. What isn't there the agent finds out by itself.
    pub resources: String,
    /// `--hostname`; empty where it finds out.
    pub hostname: String,
    /// `--port`.
    pub port: String,
}

/// What a change means to an agent that has tasks to recover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// There is more than before: `--reconfiguration_policy=additive` bears it.
    Additive(Vec<String>),
    /// It starts only as a new agent, without its tasks.
    Breaking(Vec<String>),
}

/// Resources that an agent finds out by itself where it isn't told.
const FOUND_OUT: [&str; 5] = ["cpus", "mem", "disk", "gpus", "ports"];

/// What it means to go from one description to another. `found` is what the agent has found out by
/// itself, by name, as `/state` shows it.
#[must_use]
pub fn classify(
    before: &Description,
    after: &Description,
    found: &BTreeMap<String, String>,
) -> Change {
    let mut seen = Seen::default();
    seen.same("the hostname", &before.hostname, &after.hostname);
    seen.same("the port", &before.port, &after.port);
    seen.attributes(&before.attributes, &after.attributes);
    seen.resources(&before.resources, &after.resources, found);
    match (seen.breaking.is_empty(), seen.additive.is_empty()) {
        (false, _) => Change::Breaking(seen.breaking),
        (true, false) => Change::Additive(seen.additive),
        (true, true) => Change::None,
    }
}

#[derive(Default)]
struct Seen {
    additive: Vec<String>,
    breaking: Vec<String>,
}

impl Seen {
    fn breaks(&mut self, text: String) {
        self.breaking.push(text);
    }

    /// What must stay the same. Nothing is said where the agent finds out, then and now.
    fn same(&mut self, what: &str, before: &str, after: &str) {
        if !before.is_empty() && !after.is_empty() && before != after {
            self.breaks(format!("{what} changes from {before} to {after}"));
        }
    }

    fn attributes(&mut self, before: &str, after: &str) {
        let (old, new) = match (pairs(before), pairs(after)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) | (_, Err(error)) => {
                return self.breaks(format!("attributes: {error}"));
            }
        };
        // The first of a name counts, for upstream as well.
        let first = |all: &[(String, Value)], name: &str| {
            all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        for (name, value) in &old {
            match (value, first(&new, name)) {
                (_, None) => self.breaks(format!("attribute {name} goes away")),
                (value, Some(now)) if *value == now => {}
                (Value::Ranges(then), Some(Value::Ranges(now))) if within(then, &now) => {
                    self.additive.push(format!("attribute {name} grows"));
                }
                (value, Some(now)) => {
                    self.breaks(format!("attribute {name} changes from {value} to {now}"));
                }
            }
        }
        let news = new.iter().filter(|(name, _)| first(&old, name).is_none());
        self.additive.extend(news.map(|(name, _)| format!("attribute {name} is new")));
    }

    fn resources(&mut self, before: &str, after: &str, found: &BTreeMap<String, String>) {
        if before == after {
            return;
        }
        if is_no_list(before) || is_no_list(after) {
            let text = "resources given as JSON or as a file can't be compared";
            return self.breaks(text.to_owned());
        }
        let (mut old, mut new) = match (summed(before), summed(after)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) | (_, Err(error)) => return self.breaks(format!("resources: {error}")),
        };
        for name in FOUND_OUT {
            let is_said = |all: &BTreeMap<String, Value>| {
                all.keys().any(|known| known.split('(').next() == Some(name))
            };
            match (is_said(&old), is_said(&new), found.get(name).and_then(|text| value(text).ok()))
            {
                (false, true, Some(was)) => drop(old.insert(name.to_owned(), was)),
                (false, true, None) if name != "gpus" => {
                    self.breaks(format!("{name} is said now, and nobody knows what it was"));
                }
                (true, false, _) => {
                    self.breaks(format!(
                        "the agent would find out {name} by itself; say its value"
                    ));
                    new.extend(old.get(name).map(|value| (name.to_owned(), value.clone())));
                }
                _ => {}
            }
        }
        for (name, value) in &old {
            match new.get(name) {
                None => self.breaks(format!("resource {name} goes away")),
                Some(now) if now == value => {}
                Some(now) if value.is_at_most(now) => {
                    self.additive.push(format!("resource {name} grows from {value} to {now}"));
                }
                Some(now) => self.breaks(format!("resource {name} changes from {value} to {now}")),
            }
        }
        let news = new.keys().filter(|name| !old.contains_key(*name));
        self.additive.extend(news.map(|name| format!("resource {name} is new")));
    }
}

fn is_no_list(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['[', '/']) || text.starts_with("file:")
}

/// A value as Mesos writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// In thousandths: Mesos compares with three digits.
    Scalar(i64),
    /// Coalesced, ascending.
    Ranges(Vec<(u64, u64)>),
    Set(BTreeSet<String>),
    Text(String),
}

impl Value {
    fn is_at_most(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Scalar(this), Value::Scalar(other)) => this <= other,
            (Value::Ranges(this), Value::Ranges(other)) => within(this, other),
            (Value::Set(this), Value::Set(other)) => this.is_subset(other),
            (this, other) => this == other,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Scalar(thousandths) => {
                let (whole, rest) = (thousandths / 1000, (thousandths % 1000).abs());
                let sign = if *thousandths < 0 && whole == 0 { "-" } else { "" };
                match rest {
                    0 => write!(f, "{whole}"),
                    _ => write!(f, "{sign}{whole}.{}", format!("{rest:03}").trim_end_matches('0')),
                }
            }
            Value::Ranges(ranges) => {
                let ranges: Vec<String> =
                    ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
                write!(f, "[{}]", ranges.join(", "))
            }
            Value::Set(set) => {
                let items: Vec<&str> = set.iter().map(String::as_str).collect();
                write!(f, "{{{}}}", items.join(", "))
            }
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// `name:value;name:value`
fn pairs(text: &str) -> Result<Vec<(String, Value)>, String> {
    let parts = text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, text) = part.split_once(':').ok_or_else(|| format!("`{part}` has no colon"))?;
        Ok((name.trim().to_owned(), value(text)?))
    };
    parts.map(pair).collect()
}

/// Resources, those of the same name and role added up.
fn summed(text: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in pairs(text)? {
        // `cpus(*)` is `cpus`.
        let name = name.replace("(*)", "").replace(' ', "");
        let sum = match (all.remove(&name), value) {
            (None, value) => value,
            (Some(Value::Scalar(one)), Value::Scalar(other)) => {
                Value::Scalar(one.saturating_add(other))
            }
            (Some(Value::Ranges(one)), Value::Ranges(other)) => {
                Value::Ranges(coalesced(one.into_iter().chain(other).collect()))
            }
            (Some(Value::Set(one)), Value::Set(other)) => {
                Value::Set(one.into_iter().chain(other).collect())
            }
            (Some(one), other) => return Err(format!("{name} is both {one} and {other}")),
        };
        if let Value::Text(text) = &sum {
            return Err(format!("{name} is the text {text}, which is no amount"));
        }
        all.insert(name, sum);
    }
    Ok(all)
}

fn value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if let Some(list) = text.strip_prefix('[') {
        let list = list.strip_suffix(']').ok_or_else(|| format!("`{text}` has no end"))?;
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
                (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
                _ => Err(format!("`{}` is no range", part.trim())),
            }
        };
        let parts = list.split(',').filter(|part| !part.trim().is_empty());
        let ranges = parts.map(range).collect::<Result<Vec<_>, String>>()?;
        return Ok(Value::Ranges(coalesced(ranges)));
    }
    if let Some(list) = text.strip_prefix('{') {
        let list = list.strip_suffix('}').ok_or_else(|| format!("`{text}` has no end"))?;
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(Value::Set(items.map(str::to_owned).collect()));
    }
    Ok(thousandths(text).map_or_else(|| Value::Text(text.to_owned()), Value::Scalar))
}

/// `4`, `4.0`, `.5`, `-1.25`, rounded to three digits.
fn thousandths(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits == "." || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digit = |index: usize| {
        fraction.as_bytes().get(index).map_or(0, |byte| i64::from(byte.saturating_sub(b'0')))
    };
    let rounded = i64::from(digit(3) >= 5);
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2) + rounded;
    let all = whole.checked_mul(1000)?.checked_add(fraction)?;
    Some(if negative { -all } else { all })
}

fn coalesced(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

/// Both coalesced.
fn within(inner: &[(u64, u64)], outer: &[(u64, u64)]) -> bool {
    let is_in = |range: &(u64, u64)| outer.iter().any(|o| o.0 <= range.0 && range.1 <= o.1);
    inner.iter().all(is_in)
}

#[cfg(test)]
#[path = "agent/tests.rs"]
mod tests;
