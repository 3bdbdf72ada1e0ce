//! `scheduler schema app`: what may be in `app.yml`, for editors and other programs. A test holds it
//! to the reader itself.

use serde_json::{Map, Value, json};

/// The schema, as a file.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", app())
}

/// An entry of an object: name, what it may be, what it means.
type Entry = (&'static str, Value, &'static str);

/// An object with these keys and no others; those that are named first are required.
fn object(required: &[&str], entries: Vec<Entry>) -> Value {
    let properties: Map<String, Value> = entries
        .into_iter()
        .map(|(name, mut value, about)| {
            if let (Some(map), false) = (value.as_object_mut(), about.is_empty()) {
                map.insert("description".to_owned(), about.into());
            }
            (name.to_owned(), value)
        })
        .collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn word() -> Value {
    json!({"type": ["string", "integer"]})
}

fn words() -> Value {
    json!({"type": "array", "items": word(), "maxItems": 1000})
}

fn whole(least: u32) -> Value {
    json!({"type": "integer", "minimum": least})
}

fn length() -> Value {
    json!({"type": "string", "pattern": r"^([0-9.]+(ns|us|µs|ms|s|min|h|d))( [0-9.]+(ns|us|µs|ms|s|min|h|d))*$"})
}

/// The schema.
#[must_use]
pub fn app() -> Value {
    let mut schema = object(
        &["app", "version"],
        vec![
            ("format", json!({"const": 1}), "Version of the format of this file."),
            ("app", json!({"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"}), "Its name."),
            ("version", word(), "What its maker calls this version; in quotes if it has a dot."),
            ("command", words(), "A program with its arguments, run without a shell."),
            ("shell", json!({"type": "string"}), "A text for /bin/sh; begin it with exec."),
            ("image", json!({"type": "string"}), "An image of Docker."),
            ("arguments", words(), "Arguments instead of those of the image."),
            (
                "inner_ports",
                json!({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}),
                "Ports in the container that its ports lead to, in order.",
            ),
            (
                "instances",
                json!({"anyOf": [
                    whole(0),
                    object(&["min", "max"], vec![
                        ("min", whole(0), "The fewest."),
                        ("max", whole(0), "The most; the policy chooses between."),
                    ]),
                ]}),
                "How many; 1 if absent.",
            ),
            ("needs", needs(), "What each takes of its machine."),
            (
                "environment",
                json!({"type": "object", "additionalProperties": word()}),
                "Variables.",
            ),
            ("health", health(), "How it is seen that it is healthy; if absent, what runs is."),
            ("kill_grace", length(), "Time to end in peace; 10s if absent."),
            ("warm_up", length(), "Instead of the policy's."),
            ("cool_down", length(), "Instead of the policy's."),
            ("constraints", constraints(), "Where it may run: all of them hold."),
            ("step", whole(1), "The most that are replaced at a time, instead of the policy's."),
            ("consul", consul(), "How it is found in Consul."),
            (
                "metrics",
                metrics(),
                "Where it says what it has to do; the scheduler looks each second.",
            ),
            (
                "volumes",
                volumes(),
                "What each instance keeps beyond its end; the next one takes it on the same machine.",
            ),
            (
                "reserve",
                json!({"enum": ["all", "disk"]}),
                "What is kept for an instance with volumes while it is away: all that it needs, \
                 if absent, or disk alone.",
            ),
        ],
    );
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        map.insert("title".to_owned(), "app.yml of the scheduler".into());
        let one = ["command", "shell", "image"].map(|name| json!({"required": [name]}));
        map.insert("oneOf".to_owned(), one.to_vec().into());
    }
    schema
}

fn needs() -> Value {
    object(
        &[],
        vec![
            ("cores", json!({"type": "number", "minimum": 0}), "Cores; 0.1 if absent."),
            (
                "memory",
                json!({"type": "string", "pattern": "^[0-9]+ *(MiB|GiB)$"}),
                "Memory; 128MiB if absent. Who takes more is ended; 0MiB is no limit.",
            ),
            ("ports", whole(0), "How many ports, told by $PORT, $PORT0, $PORT1; none if absent."),
        ],
    )
}

fn health() -> Value {
    object(
        &[],
        vec![
            ("http", json!({"type": "string", "pattern": r"^/\S*$"}), "GET this path."),
            ("tcp", json!({"type": "boolean"}), "Connect."),
            ("command", words(), "Run this; code 0 is healthy."),
            ("port", whole(0), "Which port, from 0; 0 if absent."),
            ("interval", length(), "1s if absent."),
            ("timeout", length(), "1s if absent."),
            ("failures", whole(1), "So many in a row; 3 if absent."),
            ("grace", length(), "Time to become healthy; 1min if absent."),
        ],
    )
}

fn consul() -> Value {
    object(
        &[],
        vec![
            ("port", whole(0), "Which of its ports is told, from 0; 0 if absent."),
            ("tags", words(), "What else is said of it."),
            (
                "check",
                json!({"enum": ["health", "none", "ttl", "script", "docker"]}),
                "What Consul looks at; what the scheduler looks at, if absent.",
            ),
            ("ttl", length(), "With check: ttl; 1min if absent."),
            (
                "command",
                words(),
                "With check: script or docker; the agent of its node runs it, there or in the container.",
            ),
        ],
    )
}

fn metrics() -> Value {
    let name = || json!({"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"});
    object(
        &["queue"],
        vec![
            ("path", json!({"type": "string", "pattern": r"^/\S*$"}), "/metrics if absent."),
            ("port", whole(0), "Which port, from 0; 0 if absent."),
            ("queue", name(), "A gauge: requests that wait."),
            ("busy", name(), "A gauge: requests in work."),
            ("arrivals", name(), "A counter: requests that came."),
            ("rejects", name(), "A counter: requests that were rejected."),
        ],
    )
}

fn volumes() -> Value {
    let name = || json!({"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$"});
    let path = || json!({"type": "string", "pattern": r"^(/[^/\s:,\\]+)+$"});
    let volume = object(
        &["name", "path", "size_mb"],
        vec![
            ("name", name(), "Its name."),
            ("path", path(), "Where it is in the container, or below the instance's own folder."),
            ("size_mb", whole(1), "Its size in MiB."),
        ],
    );
    json!({"type": "array", "maxItems": 10, "items": volume})
}

fn constraints() -> Value {
    let attribute = || ("attribute", json!({"type": "string"}), "An attribute of machines.");
    let kinds = [
        object(&["attribute", "is"], vec![attribute(), ("is", words(), "One of these.")]),
        object(&["attribute", "is_not"], vec![attribute(), ("is_not", words(), "None of these.")]),
        object(
            &["machines"],
            vec![(
                "machines",
                json!({"type": "array", "items": {"type": "string"}}),
                "One of these machines.",
            )],
        ),
        object(
            &["most_per_machine"],
            vec![("most_per_machine", whole(0), "At most so many on a machine.")],
        ),
    ];
    json!({"type": "array", "maxItems": 1000, "items": {"oneOf": kinds}})
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use serde::de::value::Error;
    use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
    use serde::forward_to_deserialize_any;

    use super::*;
    use crate::app_file::discovery::{Consul, MetricsPart};
    use crate::app_file::file::{ConstraintPart, File, Health, Needs, VolumePart};

    /// Hears which keys a shape has, and gives nothing.
    struct Listens<'a>(&'a RefCell<BTreeSet<String>>);

    impl<'de> Deserializer<'de> for Listens<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("only keys are heard"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            self.0.borrow_mut().extend(fields.iter().map(|field| (*field).to_owned()));
            Err(Error::custom("only keys are heard"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
            option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
            ignored_any
        }
    }

    fn read<T: for<'de> Deserialize<'de>>() -> BTreeSet<String> {
        let heard = RefCell::new(BTreeSet::new());
        assert!(T::deserialize(Listens(&heard)).is_err());
        heard.into_inner()
    }

    #[test]
    fn the_schema_has_the_keys_of_the_reader() {
        let schema = app();
        let keys = |pointer: &str| -> BTreeSet<String> {
            schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys("/properties"), read::<File>());
        assert_eq!(keys("/properties/needs/properties"), read::<Needs>());
        assert_eq!(keys("/properties/health/properties"), read::<Health>());
        assert_eq!(keys("/properties/consul/properties"), read::<Consul>());
        assert_eq!(keys("/properties/metrics/properties"), read::<MetricsPart>());
        assert_eq!(keys("/properties/volumes/items/properties"), read::<VolumePart>());
        let kinds = (0..4).flat_map(|number| {
            keys(&format!("/properties/constraints/items/oneOf/{number}/properties"))
        });
        assert_eq!(kinds.collect::<BTreeSet<String>>(), read::<ConstraintPart>());
    }
}
