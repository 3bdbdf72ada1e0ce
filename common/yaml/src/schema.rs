//! What a plain scalar means: YAML 1.1 as PyYAML reads it, or the YAML 1.2 core schema.

use crate::NodeValue;
use crate::number::{float_1_1, float_1_2, integer_1_1, integer_1_2};

/// How plain scalars resolve and how strict the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// YAML 1.1 exactly as PyYAML's safe loader resolves it (`yes`, `0755`, `1:30`); the last of
    /// duplicate keys wins, with a warning. Dates stay text.
    Ansible,
    /// The core schema of YAML 1.2 for our own files; duplicate keys are errors. Merge keys
    /// (`<<`) work here, too.
    Strict,
}

/// The value of a plain scalar without a tag.
#[must_use]
pub fn resolve(text: &str, schema: Schema) -> NodeValue {
    if is_null(text) {
        return NodeValue::Null;
    }
    if let Some(value) = boolean(text, schema) {
        return NodeValue::Bool(value);
    }
    // Most scalars are words: only these bytes can begin a number.
    if text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+' | '.')) {
        if let Some(value) = integer(text, schema) {
            return value;
        }
        if let Some(value) = float(text, schema) {
            return NodeValue::Float(value);
        }
    }
    NodeValue::String(text.into())
}

/// Whether both schemas read this plain scalar as null.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The boolean that this plain scalar is.
pub(crate) fn boolean(text: &str, schema: Schema) -> Option<bool> {
    match (text, schema) {
        ("true" | "True" | "TRUE", _) => Some(true),
        ("false" | "False" | "FALSE", _) => Some(false),
        ("yes" | "Yes" | "YES" | "on" | "On" | "ON", Schema::Ansible) => Some(true),
        ("no" | "No" | "NO" | "off" | "Off" | "OFF", Schema::Ansible) => Some(false),
        _ => None,
    }
}

/// The integer that this plain scalar is.
pub(crate) fn integer(text: &str, schema: Schema) -> Option<NodeValue> {
    match schema {
        Schema::Ansible => integer_1_1(text),
        Schema::Strict => integer_1_2(text),
    }
}

/// The floating point number that this plain scalar is.
pub(crate) fn float(text: &str, schema: Schema) -> Option<f64> {
    match schema {
        Schema::Ansible => float_1_1(text),
        Schema::Strict => float_1_2(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big(digits: &str) -> NodeValue {
        NodeValue::BigInteger(digits.into())
    }

    #[test]
    fn ansible_reads_what_pyyaml_reads() {
        use NodeValue::{Bool, Float, Integer, Null};
        let table = [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("NULL", Null),
            ("yes", Bool(true)),
            ("On", Bool(true)),
            ("NO", Bool(false)),
            ("off", Bool(false)),
            ("0755", Integer(493)),
            ("0", Integer(0)),
            ("-0", Integer(0)),
            ("00", Integer(0)),
            ("0x1F", Integer(31)),
            ("-0b101", Integer(-5)),
            ("1_000", Integer(1000)),
            ("1:30", Integer(90)),
            ("-1:30:00", Integer(-5400)),
            ("+12", Integer(12)),
            ("9223372036854775807", Integer(i64::MAX)),
            ("-9223372036854775808", Integer(i64::MIN)),
            ("9223372036854775808", big("9223372036854775808")),
            (
                "-0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
                big("-87112285931760246646623899502532662132735"),
            ),
            ("1.0e+3", Float(1000.0)),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            ("-1.5", Float(-1.5)),
            ("1:30.5", Float(90.5)),
            ("-.inf", Float(f64::NEG_INFINITY)),
            ("1_0.2_5", Float(10.25)),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text, Schema::Ansible), expected, "{text}");
        }
        for text in [
            "y",
            "n",
            "yEs",
            "nULL",
            "0o755",
            "08",
            "1e3",
            "1.0e3",
            "-.5",
            "+.5",
            "1:60",
            "1:30:",
            "0:30",
            "_1",
            "1__",
            "0b",
            "0b2",
            "0x",
            "0xg",
            "-",
            "+",
            ".",
            "..",
            "1.2.3",
            "+.nan",
            "2024-01-01",
            "127.0.0.1",
            "1:2:3:4:5a",
            "-_1",
            "0.1.",
            "1-2",
            "=",
            "<<",
            "٣",
        ] {
            let expected = match text {
                "1__" => Integer(1),
                _ => NodeValue::String(text.into()),
            };
            assert_eq!(resolve(text, Schema::Ansible), expected, "{text}");
        }
        assert!(matches!(resolve(".NaN", Schema::Ansible), Float(value) if value.is_nan()));
    }

    #[test]
    fn strict_is_the_core_schema() {
        use NodeValue::{Bool, Float, Integer};
        let table = [
            ("true", Bool(true)),
            ("0o17", Integer(15)),
            ("0755", Integer(755)),
            ("1e3", Float(1000.0)),
            ("-.5", Float(-0.5)),
            ("1.5e-3", Float(0.0015)),
            ("+7", Integer(7)),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text, Schema::Strict), expected, "{text}");
        }
        for text in ["yes", "off", "1_000", "1:30", "0b1", "-0x1", "1.2.3", "e3", "."] {
            assert_eq!(resolve(text, Schema::Strict), NodeValue::String(text.into()), "{text}");
        }
    }
}
