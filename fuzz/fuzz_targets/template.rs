//! Templates, conditions and expressions: rendering ends within its budget, errors have places inside
//! the text, the same text gives the same value, and evaluation reads no name that the static
//! analysis (which sending ahead and fences rely on) did not announce.
#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use diagnostics::{SourceId, Sources, Span};
use libfuzzer_sys::fuzz_target;
use provision_template::{
    Dialect, Engine, Found, Nowhere, Reach, Scope, Slot, TemplateError, TemplateOptions, TextKind,
    from_json, repr_of,
};
use yaml::{Node, Schema, read};

/// Far more than a text of some kilobytes needs, unless it loops.
const STEPS: u64 = 20_000;

const VARIABLES: &str = "\
a: 1
s: some text
l: [3, 1, 2]
d: {k: v, n: {m: [1, 2]}}
t: '{{ a + 1 }}'
u: '{{ t }} {{ missing }}'
r: '{{ r }}'
c: a == 1 and missing is undefined
";

/// The second one; the first is the text under test.
const VARIABLES_SOURCE: SourceId = SourceId(1);

static NODES: LazyLock<BTreeMap<String, Arc<Node>>> = LazyLock::new(|| {
    let read = read(VARIABLES, VARIABLES_SOURCE, Schema::Ansible);
    let mapping = read.documents[0].as_mapping().expect("a mapping");
    let entries = mapping.iter().filter_map(|(key, value)| Some((key.as_str()?, value)));
    entries.map(|(key, value)| (key.to_owned(), Arc::new(value.clone()))).collect()
});

/// Functions of Jinja and Ansible. A variable of such a name would win over the function; the analysis
/// takes the function.
const FUNCTIONS: &[&str] = &[
    "lookup",
    "query",
    "q",
    "range",
    "dict",
    "namespace",
    "cycler",
    "joiner",
    "undef",
    "super",
    "now",
];

/// Variables, and a record of which were asked for.
#[derive(Default)]
struct Recording(RefCell<BTreeSet<String>>);

impl Scope for Recording {
    fn lookup(&self, name: &str) -> Found {
        self.0.borrow_mut().insert(name.to_owned());
        if name == "fact" {
            let value = serde_json::json!({ "text": "{{ a }}", "list": [1, "x"] });
            return Found::Slot(Slot::Data(from_json(&value)));
        }
        match NODES.get(name) {
            Some(node) => Found::Slot(Slot::Template(Arc::clone(node))),
            None => Found::Undefined,
        }
    }

    fn names(&self) -> Vec<String> {
        NODES.keys().cloned().chain(["fact".to_owned()]).collect()
    }
}

/// What the text and the variables that it reaches may read.
fn reach(engine: &Engine, text: &str, kind: TextKind) -> Reach {
    let mut reach = engine.names_in(text, kind);
    loop {
        let known = reach.names.len();
        for name in reach.names.clone() {
            if let Some(node) = NODES.get(&name) {
                let inner = engine.names_in_node(node, TextKind::Template);
                reach.names.extend(inner.names);
                reach.dynamic |= inner.dynamic;
            }
        }
        if reach.names.len() == known {
            return reach;
        }
    }
}

fn check(
    text: &str,
    reach: &Reach,
    evaluate: impl Fn(&Recording) -> Result<String, TemplateError>,
) {
    let mut sources = Sources::default();
    sources.add("text", text);
    sources.add("variables", VARIABLES);
    let scope = Recording::default();
    let result = evaluate(&scope);
    assert_eq!(result, evaluate(&Recording::default()), "not the same twice");
    let read = scope.0.into_inner();
    let unknown: Vec<_> =
        read.difference(&reach.names).filter(|name| !FUNCTIONS.contains(&name.as_str())).collect();
    assert!(reach.dynamic || unknown.is_empty(), "reads {unknown:?} besides {reach:?}");
    if let Err(error) = result {
        assert!(!error.message().is_empty());
        fuzz::check_diagnostics(&[error.diagnostic(&sources)], &sources);
    }
}

fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let span = Span::new(sources.add("text", text), 0, text.len());
    for dialect in [Dialect::Classic, Dialect::Strict] {
        let engine = Engine::new(dialect).limited_to(STEPS);
        let node = Node::string(span, text);
        check(text, &reach(&engine, text, TextKind::Template), |scope| {
            engine.render_node(&node, scope, &Nowhere).map(|value| repr_of(&value))
        });
        check(text, &reach(&engine, text, TextKind::Condition), |scope| {
            engine.evaluate_condition(&node, scope, &Nowhere).map(|verdict| verdict.holds.to_string())
        });
        let options = TemplateOptions::default();
        check(text, &reach(&engine, text, TextKind::File), |scope| {
            engine.render_file("text", text, Some(span), &options, scope, &Nowhere)
        });
    }
});
