//! What an agent has and what its operator says of it: read from flags, found out of the machine, and
//! compared with what it was the last time.

use std::path::Path;

use mesos::quantity::Intervals;
use mesos::{Attribute, Milli, Ranges, Resource, Scalar, Set, Text, ValueType};
use simulator_mesos::Bundle;

const MEBIBYTE: u64 = 1 << 20;

/// What Mesos leaves to the machine: a GiB of memory and five of the disk, or half (slave/containerizer).
const MEMORY_LEFT_MEBIBYTES: u64 = 1024;
const DISK_LEFT_MEBIBYTES: u64 = 5 * 1024;

/// Ports that are offered if nothing is said (slave/constants.hpp).
const PORTS: (u64, u64) = (31_000, 32_000);

/// Why a description can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// A text that can't be read.
    #[error("--{flag}: `{part}`: {reason}")]
    Part {
        /// The flag.
        flag: &'static str,
        /// Which part of it.
        part: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another one than before.
    #[error(
        "incompatible agent info: {0}; put it back, or make it a new agent: remove \
         WORK_DIR/meta/slaves/latest"
    )]
    Changed(String),
}

/// What frameworks see of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its name.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// What it has.
    pub resources: Vec<Resource>,
    /// What its operator says of it.
    pub attributes: Vec<Attribute>,
}

/// What of a description may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    Equal,
    /// There may be more of everything.
    Additive,
}

impl Description {
    /// Whether an agent that was described like this may go on as the other.
    ///
    /// # Errors
    /// What has changed.
    pub fn may_become(&self, after: &Self, policy: Policy) -> Result<(), DescriptionError> {
        let changed = |what: String| Err(DescriptionError::Changed(what));
        if (&self.hostname, self.port) != (&after.hostname, after.port) {
            return changed(format!(
                "it was {}:{} and would be {}:{}",
                self.hostname, self.port, after.hostname, after.port
            ));
        }
        for attribute in &self.attributes {
            if !after.attributes.contains(attribute) {
                return changed(format!("attribute {} goes away or changes", attribute.name));
            }
        }
        let bundle = |description: &Self| Bundle::of(&description.resources).unwrap_or_default();
        let (before_has, after_has) = (bundle(self), bundle(after));
        if !after_has.contains(&before_has) {
            return changed("there would be less of a resource".to_owned());
        }
        let is_more =
            after.attributes.len() != self.attributes.len() || !before_has.contains(&after_has);
        if is_more && policy == Policy::Equal {
            let more = "there would be more, which only reconfiguration_policy=additive allows";
            return changed(more.to_owned());
        }
        Ok(())
    }
}

/// Reads `rack:a;zone:1`.
///
/// # Errors
/// A part of it has no name or no value.
pub fn attributes(text: &str) -> Result<Vec<Attribute>, DescriptionError> {
    parts(text, "attributes", |name, value| {
        let attribute = Attribute { name: name.to_owned(), ..Attribute::default() };
        Ok(match value_of(value)? {
            Value::Scalar(value) => Attribute {
                r#type: ValueType::Scalar.into(),
                scalar: Some(Scalar { value: value.to_f64() }),
                ..attribute
            },
            Value::Ranges(numbers) => Attribute {
                r#type: ValueType::Ranges.into(),
                ranges: Some(Ranges::from(&numbers)),
                ..attribute
            },
            Value::Set(item) => {
                Attribute { r#type: ValueType::Set.into(), set: Some(Set { item }), ..attribute }
            }
            Value::Text(value) => Attribute {
                r#type: ValueType::Text.into(),
                text: Some(Text { value }),
                ..attribute
            },
        })
    })
}

/// Reads `cpus:4;mem:8192;ports:[31000-32000]`.
///
/// # Errors
/// A part of it is no amount and no numbers.
pub fn resources(text: &str) -> Result<Vec<Resource>, DescriptionError> {
    parts(text, "resources", |name, value| {
        let name = name.strip_suffix("(*)").unwrap_or(name);
        if name.contains('(') {
            return Err("reservations are not known here");
        }
        match value_of(value)? {
            Value::Scalar(value) => Ok(Resource::scalar(name, value)),
            Value::Ranges(numbers) => Ok(Resource::ranges(name, &numbers)),
            Value::Set(_) | Value::Text(_) => Err("expected an amount, or numbers in brackets"),
        }
    })
}

fn parts<T>(
    text: &str,
    flag: &'static str,
    read: impl Fn(&str, &str) -> Result<T, &'static str>,
) -> Result<Vec<T>, DescriptionError> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let wrong = |reason| DescriptionError::Part { flag, part: part.to_owned(), reason };
            let (name, value) = part.split_once(':').ok_or_else(|| wrong("expected name:value"))?;
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() || value.is_empty() {
                return Err(wrong("expected name:value"));
            }
            read(name, value).map_err(wrong)
        })
        .collect()
}

enum Value {
    Scalar(Milli),
    Ranges(Intervals),
    Set(Vec<String>),
    Text(String),
}

fn value_of(text: &str) -> Result<Value, &'static str> {
    let inside = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(list) = inside('[', ']') {
        let numbers = list.split(',').map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
        });
        let numbers: Option<Vec<(u64, u64)>> = numbers.collect();
        let numbers = numbers.ok_or("expected numbers such as [31000-32000]")?;
        return Ok(Value::Ranges(Intervals::new(numbers)));
    }
    if let Some(list) = inside('{', '}') {
        return Ok(Value::Set(list.split(',').map(|item| item.trim().to_owned()).collect()));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => {
            Ok(Value::Scalar(Milli::from_f64(number)))
        }
        Ok(_) => Err("no amount"),
        Err(_) => Ok(Value::Text(text.to_owned())),
    }
}

/// What a machine has and the flags don't name.
#[must_use]
pub fn with_found(mut resources: Vec<Resource>, work_dir: &Path) -> Vec<Resource> {
    let mut add = |name: &str, found: Option<Resource>| {
        if !resources.iter().any(|resource| resource.name == name) {
            resources.extend(found);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    add("cpus", Some(amount("cpus", u64::try_from(cores).unwrap_or(1))));
    add("mem", memory_mebibytes().map(|all| amount("mem", left(all, MEMORY_LEFT_MEBIBYTES))));
    add("disk", disk_mebibytes(work_dir).map(|all| amount("disk", left(all, DISK_LEFT_MEBIBYTES))));
    add("ports", Some(Resource::ranges("ports", &Intervals::new([PORTS]))));
    resources
}

fn amount(name: &str, units: u64) -> Resource {
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    Resource::scalar(name, Milli(units.saturating_mul(1000)))
}

fn left(all: u64, for_the_machine: u64) -> u64 {
    if all > 2 * for_the_machine { all - for_the_machine } else { all / 2 }
}

fn memory_mebibytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024)
}

fn disk_mebibytes(path: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(path).ok()?;
    // These numbers have another width on other machines.
    #[allow(clippy::useless_conversion, reason = "see above")]
    let (blocks, size) = (u64::from(found.blocks()), u64::from(found.fragment_size()));
    Some(blocks.saturating_mul(size) / MEBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(resources_text: &str, attributes_text: &str) -> Description {
        Description {
            hostname: "h".to_owned(),
            port: 5051,
            resources: resources(resources_text).unwrap(),
            attributes: attributes(attributes_text).unwrap(),
        }
    }

    #[test]
    fn values_are_of_four_kinds() {
        let found = attributes("rack:r1; num:42;rng:[1-10,12];set:{a,b}").unwrap();
        let kinds: Vec<ValueType> = found.iter().map(Attribute::r#type).collect();
        assert_eq!(kinds, [ValueType::Text, ValueType::Scalar, ValueType::Ranges, ValueType::Set]);
        let found = resources("cpus(*):1.5;ports:[31000-31999]").unwrap();
        assert_eq!(found[0].amount(), Some(Milli(1500)));
        assert_eq!(found[1].numbers().unwrap().count(), 1000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("cpus", "cpus"),
            ("cpus:4;mem:", "mem:"),
            ("cpus:x", "cpus:x"),
            ("cpus:-1", "cpus:-1"),
            ("ports:[a-b]", "ports:[a-b]"),
            ("cpus(prod):1", "cpus(prod):1"),
        ] {
            let error = resources(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{part}`")), "{error}");
        }
    }

    #[test]
    fn a_description_may_grow_if_the_policy_says_so() {
        let before = described("cpus:4;ports:[1-10]", "rack:a");
        let cases = [
            ("cpus:4;ports:[1-10]", "rack:a", true, true),
            ("ports:[1-10];cpus:4", "rack:a", true, true),
            ("cpus:5;ports:[1-10]", "rack:a", false, true),
            ("cpus:4;ports:[1-11];mem:1", "rack:a", false, true),
            ("cpus:4;ports:[1-10]", "rack:a;ssd:yes", false, true),
            ("cpus:3;ports:[1-10]", "rack:a", false, false),
            ("cpus:4;ports:[2-10]", "rack:a", false, false),
            ("cpus:4;ports:[1-10]", "rack:b", false, false),
            ("cpus:4;ports:[1-10]", "", false, false),
        ];
        for (resources, attributes, is_equal, is_more) in cases {
            let after = described(resources, attributes);
            assert_eq!(before.may_become(&after, Policy::Equal).is_ok(), is_equal, "{resources}");
            assert_eq!(before.may_become(&after, Policy::Additive).is_ok(), is_more, "{resources}");
        }
        let other = Description { port: 5052, ..before.clone() };
        assert!(before.may_become(&other, Policy::Additive).is_err());
    }

    #[test]
    fn what_flags_say_is_not_looked_for() {
        let found = with_found(resources("cpus:3").unwrap(), Path::new("/"));
        let cpus: Vec<Milli> =
            found.iter().filter(|it| it.name == "cpus").filter_map(Resource::amount).collect();
        assert_eq!(cpus, [Milli(3000)]);
        assert!(
            found.iter().any(|it| it.name == "mem") && found.iter().any(|it| it.name == "ports")
        );
        assert_eq!((left(4096, 1024), left(1500, 1024)), (3072, 750));
    }
}
