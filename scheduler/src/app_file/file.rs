//! The shape of `app.yml`.

use std::collections::BTreeMap;
use std::fmt;

use policy::config::units::Length;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use yaml::Spanned;

use super::discovery::{Consul, MetricsPart};

/// The whole file.
#[derive(Debug, Deserialize)]
pub struct File {
    pub format: Option<Spanned<u32>>,
    pub app: Spanned<String>,
    pub version: Spanned<Word>,
    pub command: Option<Spanned<Vec<Spanned<Word>>>>,
    pub shell: Option<Spanned<String>>,
    pub image: Option<Spanned<String>>,
    pub arguments: Option<Spanned<Vec<Spanned<Word>>>>,
    pub inner_ports: Option<Spanned<Vec<u16>>>,
    pub instances: Option<Spanned<Instances>>,
    #[serde(default)]
    pub needs: Needs,
    #[serde(default)]
    pub environment: BTreeMap<String, Spanned<Word>>,
    pub health: Option<Spanned<Health>>,
    pub kill_grace: Option<Length>,
    pub warm_up: Option<Length>,
    pub cool_down: Option<Length>,
    #[serde(default)]
    pub constraints: Vec<Spanned<ConstraintPart>>,
    pub step: Option<Spanned<u32>>,
    pub consul: Option<Spanned<Consul>>,
    pub metrics: Option<Spanned<MetricsPart>>,
    #[serde(default)]
    pub volumes: Vec<Spanned<VolumePart>>,
    pub reserve: Option<Spanned<String>>,
}

/// What an instance keeps beyond its end.
#[derive(Debug, Deserialize)]
pub struct VolumePart {
    pub name: Spanned<String>,
    pub path: Spanned<String>,
    pub size_mb: Spanned<u32>,
}

/// What an instance needs of its machine.
#[derive(Debug, Default, Deserialize)]
pub struct Needs {
    pub cores: Option<Spanned<Cores>>,
    pub memory: Option<Spanned<Memory>>,
    pub ports: Option<Spanned<u32>>,
}

/// How it is seen whether an instance is healthy.
#[derive(Debug, Deserialize)]
pub struct Health {
    pub http: Option<Spanned<String>>,
    pub tcp: Option<Spanned<bool>>,
    pub command: Option<Spanned<Vec<Spanned<Word>>>>,
    pub port: Option<Spanned<u32>>,
    pub interval: Option<Spanned<Length>>,
    pub timeout: Option<Spanned<Length>>,
    pub failures: Option<Spanned<u32>>,
    pub grace: Option<Length>,
}

/// Where it may run.
#[derive(Debug, Deserialize)]
pub struct ConstraintPart {
    pub attribute: Option<Spanned<String>>,
    pub is: Option<Spanned<Vec<Word>>>,
    pub is_not: Option<Spanned<Vec<Word>>>,
    pub machines: Option<Spanned<Vec<Spanned<String>>>>,
    pub most_per_machine: Option<Spanned<u32>>,
}

/// A number, or between which numbers the policy chooses.
#[derive(Debug)]
pub enum Instances {
    Fixed(u32),
    Between(Between),
}

/// The fewest and the most.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    pub min: Spanned<u32>,
    pub max: Spanned<u32>,
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InstancesVisitor;

        impl<'de> Visitor<'de> for InstancesVisitor {
            type Value = Instances;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or {min: 2, max: 10}")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Instances, E> {
                let found = || E::invalid_value(Unexpected::Signed(number), &self);
                u32::try_from(number).map(Instances::Fixed).map_err(|_| found())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instances, A::Error> {
                Between::deserialize(MapAccessDeserializer::new(map)).map(Instances::Between)
            }
        }

        deserializer.deserialize_any(InstancesVisitor)
    }
}

/// Text, or a whole number that is meant as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(pub String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;

        impl Visitor<'_> for WordVisitor {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text; put it in quotes, because 1.10 without them is 1.1")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }

        deserializer.deserialize_any(WordVisitor)
    }
}

/// Cores in thousandths: `2`, `0.5`.
#[derive(Debug, Clone, Copy)]
pub struct Cores(pub u32);

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CoresVisitor;

        impl Visitor<'_> for CoresVisitor {
            type Value = Cores;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of cores, such as 2 or 0.5, in thousandths at the finest")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Cores, E> {
                let found = || E::invalid_value(Unexpected::Signed(number), &self);
                let millicores = number.checked_mul(1000).and_then(|count| count.try_into().ok());
                millicores.map(Cores).ok_or_else(found)
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a whole number within the range"
            )]
            fn visit_f64<E: Error>(self, number: f64) -> Result<Cores, E> {
                let millicores = (number * 1000.0).round();
                let fits = (0.0..f64::from(u32::MAX)).contains(&millicores)
                    && (millicores - number * 1000.0).abs() < 1e-6;
                let found = || E::invalid_value(Unexpected::Float(number), &self);
                if fits { Ok(Cores(millicores as u32)) } else { Err(found()) }
            }
        }

        deserializer.deserialize_any(CoresVisitor)
    }
}

/// Memory in MiB: `64MiB`, `2GiB`.
#[derive(Debug, Clone, Copy)]
pub struct Memory(pub u32);

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemoryVisitor;

        impl Visitor<'_> for MemoryVisitor {
            type Value = Memory;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("memory with its unit, such as 64MiB or 2GiB")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Memory, E> {
                let read = || {
                    let (digits, mib) = match text.strip_suffix("MiB") {
                        Some(digits) => (digits, 1),
                        None => (text.strip_suffix("GiB")?, 1024),
                    };
                    digits.trim_end().parse::<u32>().ok()?.checked_mul(mib)
                };
                read().map(Memory).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(MemoryVisitor)
    }
}
