//! Typed files of our own: places, suggestions, several errors at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use diagnostics::{Diagnostic, Sources};
use serde::Deserialize;
use yaml::{Schema, Spanned, from_node, read};

#[derive(Debug, Deserialize, PartialEq)]
struct Policy {
    name: Spanned<String>,
    #[serde(default)]
    limits: BTreeMap<String, Limit>,
    scaling: Option<Scaling>,
    #[serde(default)]
    weights: Vec<u8>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Limit {
    rate: f64,
    burst: Option<u32>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Scaling {
    Original,
    QueueLength { target: u32 },
    Named(String),
}

fn parse(text: &str) -> Result<Policy, Vec<String>> {
    let mut sources = Sources::default();
    let source = sources.add("policy.yml", text);
    let read = read(text, source, Schema::Strict);
    assert_eq!(read.diagnostics, []);
    from_node(&read.documents[0]).map_err(|diagnostics| {
        let line = |diagnostic: &Diagnostic| {
            let span = diagnostic.primary.as_ref().expect("a place").span;
            let hint = diagnostic.hint.as_deref().unwrap_or("-");
            format!("{} {} [{}]", sources.place(span), diagnostic.message, hint)
        };
        diagnostics.iter().map(line).collect()
    })
}

#[test]
fn reads_structs_maps_enums_and_places() {
    let policy = parse("name: x\nlimits:\n  a: {rate: 5, burst: 3}\nscaling: {queue_length: {target: 4}}\nweights: [1, 2]\n").unwrap();
    assert_eq!(policy.name.value, "x");
    assert_eq!((policy.name.span.start, policy.name.span.end), (6, 7));
    assert_eq!(policy.limits["a"], Limit { rate: 5.0, burst: Some(3) });
    assert_eq!(policy.scaling, Some(Scaling::QueueLength { target: 4 }));
    assert_eq!(policy.weights, [1, 2]);
    assert_eq!(parse("name: x\nscaling: original").unwrap().scaling, Some(Scaling::Original));
    assert_eq!(
        parse("name: x\nscaling: {named: y}").unwrap().scaling,
        Some(Scaling::Named("y".into()))
    );
    assert_eq!(parse("name: x\nscaling: ~").unwrap().scaling, None);
}

#[test]
fn reports_several_errors_with_places_and_hints() {
    let text = "\
name: 1.10
limts: {}
limits:
  a: {rate: fast, brust: 3}
  b: {burst: 3}
  c: {rate: 1, burst: -3}
scaling: orignal
weights: [1, 300, x]
";
    assert_eq!(
        parse(text).unwrap_err(),
        [
            "policy.yml:1:7 expected text, found a number [put it in quotes if it is meant as text]",
            "policy.yml:2:1 unknown key `limts` [did you mean `limits`?]",
            "policy.yml:4:13 expected a number, found text `fast` [-]",
            "policy.yml:4:19 unknown key `brust` [did you mean `burst`?]",
            "policy.yml:5:6 key `rate` is missing [add `rate: …`]",
            "policy.yml:6:23 expected a whole number from 0 to 4294967295, found `-3` [-]",
            "policy.yml:7:10 unknown value `orignal` [did you mean `original`?]",
            "policy.yml:8:14 expected a whole number from 0 to 255, found `300` [-]",
            "policy.yml:8:19 expected a whole number, found text [-]",
        ]
    );
}

#[test]
fn wrong_shapes_say_what_was_expected() {
    assert_eq!(
        parse("- a").unwrap_err(),
        [
            "policy.yml:1:1 expected a mapping, found a list [write `key: value` lines, indented below the key]"
        ]
    );
    assert_eq!(
        parse("name: x\nweights: 1").unwrap_err(),
        ["policy.yml:2:10 expected a list, found an integer [write `- item` lines, or `[a, b]`]"]
    );
    assert_eq!(
        parse("name: x\nscaling: queue_length").unwrap_err(),
        ["policy.yml:2:10 `queue_length` needs a value [write `queue_length: …`]"]
    );
    assert_eq!(
        parse("name: x\nscaling: {original: 3}").unwrap_err(),
        ["policy.yml:2:21 `original` takes no value [write only `original`]"]
    );
}
