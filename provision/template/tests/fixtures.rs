//! Every case of tests/cases in both dialects, against what ansible-core 2.18.19 and 2.19.14 did
//! with it (tests/generate.py).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnostics::{SourceId, Span};
use provision_template::{
    Dialect, Engine, Found, Now, Outside, OutsideError, Scope, Slot, TemplateError,
    TemplateOptions, Value, from_json, repr_of, text_of, to_json,
};
use serde_json::Value as Json;
use yaml::{Mapping, Node, NodeValue};

const FIXTURES: &[(&str, &str)] = &[
    ("ansible_filters", include_str!("fixtures/ansible_filters.json")),
    ("conditions", include_str!("fixtures/conditions.json")),
    ("data_formats", include_str!("fixtures/data_formats.json")),
    ("files", include_str!("fixtures/files.json")),
    ("jinja_filters", include_str!("fixtures/jinja_filters.json")),
    ("methods", include_str!("fixtures/methods.json")),
    ("regex", include_str!("fixtures/regex.json")),
    ("syntax", include_str!("fixtures/syntax.json")),
    ("undefined", include_str!("fixtures/undefined.json")),
];

/// Differences that are meant, as `fixture dialect text`, with the reason in the file.
const KNOWN: &str = include_str!("fixtures/known_differences.txt");

struct Vars(BTreeMap<String, Slot>);

impl Scope for Vars {
    fn lookup(&self, name: &str) -> Found {
        self.0.get(name).map_or(Found::Undefined, |slot| Found::Slot(slot.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

struct Elsewhere;

impl Outside for Elsewhere {
    fn now(&self) -> Result<Now, OutsideError> {
        Ok(Now { unix_seconds: 1_714_979_289, microseconds: 0, offset_seconds: 0 })
    }
}

fn node(json: &Json) -> Node {
    let span = Span::new(SourceId(0), 0, 0);
    let value = match json {
        Json::Null => NodeValue::Null,
        Json::Bool(value) => NodeValue::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => NodeValue::Integer(integer),
            None => NodeValue::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => NodeValue::String(text.as_str().into()),
        Json::Array(items) => NodeValue::Sequence(items.iter().map(node).collect()),
        Json::Object(pairs) => NodeValue::Mapping(Mapping {
            entries: pairs
                .iter()
                .map(|(key, value)| (Node::string(span, key.as_str()), node(value)))
                .collect(),
        }),
    };
    Node::new(span, value)
}

fn run(engine: &Engine, case: &Json, shared: &Json) -> Result<Json, TemplateError> {
    let mut vars = BTreeMap::new();
    for source in [Some(shared), case.get("vars")].into_iter().flatten() {
        for (name, value) in source.as_object().into_iter().flatten() {
            vars.insert(name.clone(), Slot::Template(Arc::new(node(value))));
        }
    }
    for (name, value) in case.get("data").and_then(Json::as_object).into_iter().flatten() {
        vars.insert(name.clone(), Slot::Data(from_json(value)));
    }
    let scope = Vars(vars);
    if let Some(condition) = case.get("condition") {
        let verdict = engine.evaluate_condition(&node(condition), &scope, &Elsewhere);
        return verdict.map(|verdict| verdict.holds.into());
    }
    if let Some(text) = case.get("file").and_then(Json::as_str) {
        let mut options = TemplateOptions::default();
        for (name, value) in case.get("options").and_then(Json::as_object).into_iter().flatten() {
            let text = || value.as_str().unwrap().to_owned();
            match name.as_str() {
                "lstrip_blocks" => options.lstrip_blocks = value.as_bool().unwrap(),
                "block_start_string" => options.block_start_string = text(),
                "block_end_string" => options.block_end_string = text(),
                "variable_start_string" => options.variable_start_string = text(),
                "variable_end_string" => options.variable_end_string = text(),
                other => panic!("option {other}"),
            }
        }
        return engine
            .render_file("test.j2", text, None, &options, &scope, &Elsewhere)
            .map(Json::from);
    }
    engine.render_node(&node(&case["template"]), &scope, &Elsewhere).map(|value| plain(&value))
}

/// The form in which generate.py writes values.
fn plain(value: &Value) -> Json {
    let json = to_json(value);
    match &json {
        Json::Array(_) => value.try_iter().unwrap().map(|item| plain(&item)).collect(),
        Json::Object(_) => {
            let object = value.as_object().unwrap();
            let pairs = object.try_iter_pairs().unwrap();
            Json::Object(pairs.map(|(key, item)| (text_of(&key), plain(&item))).collect())
        }
        Json::Null if !value.is_none() => serde_json::json!({"__float__": repr_of(value)}),
        Json::String(_) if value.as_str().is_none() => {
            serde_json::json!({"__object__": text_of(value)})
        }
        Json::Number(number) if value.is_integer() && number.as_i64().is_none() => {
            serde_json::json!({"__big__": text_of(value)})
        }
        _ => json,
    }
}

/// The parts of a message that content greps for.
fn landmarks(message: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for marker in ["is undefined", "has no attribute"] {
        let Some(at) = message.find(marker) else { continue };
        let start = message[..at].trim_end().trim_end_matches('\'').rfind('\'').unwrap_or(at);
        let end = message[at..].find([' ', '.', '|']).map_or(message.len(), |_| at + marker.len());
        if start < at {
            found.push(&message[start..end]);
        }
    }
    found
}

/// What is wrong with an answer, if anything.
fn judge(expected: &Json, answer: &Result<Json, TemplateError>) -> Option<String> {
    match (expected.get("error").and_then(Json::as_str), answer) {
        (None, Ok(value)) if *value == expected["value"] => None,
        (None, Ok(value)) => Some(format!("want {}\n      got  {value}", expected["value"])),
        (None, Err(error)) => Some(format!("want {}\n      got  error {error}", expected["value"])),
        (Some(message), Ok(value)) => {
            Some(format!("want error {message:.150}\n      got  {value}"))
        }
        (Some(message), Err(error)) => {
            let ours = error.to_string();
            let missing = landmarks(message).into_iter().find(|mark| !ours.contains(mark));
            missing.map(|mark| format!("want error with {mark}\n      got  error {ours}"))
        }
    }
}

#[test]
fn agrees_with_ansible() {
    let mut wrong = Vec::new();
    let mut known = Vec::new();
    let mut count = 0;
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::Strict, "strict")] {
        let engine = Engine::new(dialect);
        for (fixture, text) in FIXTURES {
            let document: Json = serde_json::from_str(text).unwrap();
            for case in document["cases"].as_array().unwrap() {
                count += 1;
                let source =
                    ["template", "condition", "file"].iter().find_map(|key| case.get(*key));
                let id = format!("{fixture} {name} {}", source.unwrap());
                let problem = judge(&case[name], &run(&engine, case, &document["vars"]));
                let expected_to_differ = KNOWN.lines().any(|line| line == id);
                match problem {
                    Some(problem) if !expected_to_differ => {
                        wrong.push(format!("{id}\n      {problem}"))
                    }
                    Some(_) => known.push(id),
                    None if expected_to_differ => {
                        wrong.push(format!("{id}\n      no longer differs"))
                    }
                    None => {}
                }
            }
        }
    }
    println!("{count} cases, {} known differences", known.len());
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}
