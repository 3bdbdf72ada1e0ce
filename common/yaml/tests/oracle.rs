//! The reader against PyYAML: `tests/data/pyyaml_corpus.json` was made by
//! `tests/pyyaml_oracle.py`, which also makes larger corpora; `YAML_CORPUS` names one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diagnostics::SourceId;
use serde_json::{Value, json};
use yaml::{Node, NodeValue, Schema, read};

/// A node in the notation of the oracle.
fn encode(node: &Node) -> Value {
    let value = match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(value) => json!(value),
        NodeValue::Integer(value) => json!({"int": value.to_string()}),
        NodeValue::BigInteger(digits) => json!({"int": digits}),
        NodeValue::Float(value) => json!({"float": value}),
        NodeValue::String(text) => json!(text),
        NodeValue::Sequence(items) => items.iter().map(encode).collect(),
        NodeValue::Mapping(mapping) => {
            let entries: Vec<Value> =
                mapping.iter().map(|(key, value)| json!([encode(key), encode(value)])).collect();
            json!({"map": entries})
        }
    };
    match &node.tag {
        Some(tag) => json!({"tag": tag, "value": value}),
        None => value,
    }
}

/// The oracle's value with floats as ours and `!unsafe` on everything inside `!unsafe`.
fn normalise(value: &Value, inside_unsafe: bool) -> Value {
    let mark = |value: Value| {
        if inside_unsafe { json!({"tag": "!unsafe", "value": value}) } else { value }
    };
    match value {
        Value::Array(items) => {
            mark(items.iter().map(|item| normalise(item, inside_unsafe)).collect())
        }
        Value::Object(object) => {
            if let Some(text) = object.get("float").and_then(Value::as_str) {
                let number: f64 = text.parse().expect("python floats parse");
                return mark(json!({"float": number}));
            }
            if let Some(entries) = object.get("map").and_then(Value::as_array) {
                let entries: Vec<Value> = entries
                    .iter()
                    .map(|pair| {
                        json!([
                            normalise(&pair[0], inside_unsafe),
                            normalise(&pair[1], inside_unsafe)
                        ])
                    })
                    .collect();
                return mark(json!({"map": entries}));
            }
            match object.get("tag").and_then(Value::as_str) {
                Some("!unsafe") => normalise(&object["value"], true),
                Some(tag) => {
                    json!({"tag": tag, "value": normalise(&object["value"], inside_unsafe)})
                }
                None => mark(value.clone()),
            }
        }
        _ => mark(value.clone()),
    }
}

/// What differs, or nothing.
fn compare(case: &Value) -> Option<String> {
    let text = case["text"].as_str()?;
    let ours = read(text, SourceId(0), Schema::Ansible);
    match (case.get("documents").and_then(Value::as_array), ours.is_usable()) {
        (None, false) => None,
        (None, true) => Some(format!("PyYAML refuses, we accept: {}", case["error"])),
        (Some(_), false) => Some(format!("PyYAML accepts, we refuse: {:?}", ours.diagnostics)),
        (Some(expected), true) => {
            let expected: Vec<Value> =
                expected.iter().map(|value| normalise(value, false)).collect();
            let ours: Vec<Value> = ours.documents.iter().map(encode).collect();
            (ours != expected)
                .then(|| format!("PyYAML: {}\nours:   {}", json!(expected), json!(ours)))
        }
    }
}

/// Differences of a corpus of JSON lines, and how many cases it has.
fn differences(corpus: &str) -> (Vec<String>, usize) {
    let cases: Vec<Value> = corpus
        .lines()
        .map(|line| serde_json::from_str(line).expect("the corpus is JSON lines"))
        .collect();
    let different = cases
        .iter()
        .filter_map(|case| {
            compare(case)
                .map(|difference| format!("{}\n{}\n{difference}\n", case["name"], case["text"]))
        })
        .collect();
    (different, cases.len())
}

#[test]
fn reads_what_pyyaml_reads() {
    let (different, cases) = differences(include_str!("data/pyyaml_corpus.json"));
    assert!(cases > 100, "the corpus has {cases} cases");
    assert!(
        different.is_empty(),
        "{} of {cases} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a large corpus lies outside the repository")]
fn reads_a_large_corpus_as_pyyaml_reads_it() {
    let Ok(path) = std::env::var("YAML_CORPUS") else { return };
    let corpus = std::fs::read_to_string(path).expect("the corpus is readable");
    let (different, cases) = differences(&corpus);
    println!("{} of {cases} identical\n{}", cases - different.len(), different.join("\n"));
}
