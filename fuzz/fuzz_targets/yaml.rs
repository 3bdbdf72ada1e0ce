//! The YAML reader never panics, and all its spans lie inside the text.
#![no_main]

use diagnostics::{SourceId, Span};
use libfuzzer_sys::fuzz_target;
use yaml::{Node, NodeValue, Schema, read, to_json};

fn check(node: &Node, inside: &impl Fn(Span)) {
    inside(node.span);
    match &node.value {
        NodeValue::Sequence(items) => items.iter().for_each(|item| check(item, inside)),
        NodeValue::Mapping(mapping) => mapping.iter().for_each(|(key, value)| {
            check(key, inside);
            check(value, inside);
        }),
        _ => {}
    }
}

fuzz_target!(|text: &str| {
    let inside = |span: Span| {
        assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?}");
    };
    for schema in [Schema::Ansible, Schema::Strict] {
        let read = read(text, SourceId(0), schema);
        for document in &read.documents {
            check(document, &inside);
            let _ = to_json(document);
        }
        for diagnostic in &read.diagnostics {
            diagnostic.primary.iter().for_each(|label| inside(label.span));
            diagnostic.secondary.iter().for_each(|label| inside(label.span));
        }
    }
});
