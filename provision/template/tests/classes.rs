//! Classes of texts, as `type_debug` names them, against what ansible-core 2.18.19 says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnostics::SourceId;
use provision_template::{
    Dialect, Engine, Found, LookupRequest, Origin, Outside, OutsideError, Scope, Slot, TextClass,
    Value,
};
use yaml::{Node, NodeValue, Schema};

/// Of `record.sh`: an expression, its class, its class with native types.
const RECORDED: &str = include_str!("classes/recorded.tsv");
const PLAY: &str = include_str!("classes/play.yml");

/// Where a class here is another one, and what it is.
const DIFFERENT: &[(&str, &str)] = &[
    // Names of keys carry no origin.
    ("mapped.keys() | first", "str"),
    ("(mapped | dict2items)[0].key", "str"),
    // Functions that hand on what they were given.
    ("mapped | dict2items | map(attribute=\"value\") | first", "str"),
    ("(mapped | combine({\"b\": \"z\"})).a", "str"),
    ("written | quote", "str"),
];

#[derive(Default)]
struct Vars {
    slots: BTreeMap<String, Slot>,
    origins: BTreeMap<String, Origin>,
}

impl Vars {
    fn data(&mut self, name: &str, value: Value, origin: Origin) {
        self.slots.insert(name.to_owned(), Slot::Data(value));
        self.origins.insert(name.to_owned(), origin);
    }
}

impl Scope for Vars {
    fn lookup(&self, name: &str) -> Found {
        self.slots.get(name).cloned().map_or(Found::Undefined, Found::Slot)
    }

    fn names(&self) -> Vec<String> {
        self.slots.keys().cloned().collect()
    }

    fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap()
    }
}

struct Controller;

impl Outside for Controller {
    fn lookup(&self, _: &LookupRequest<'_>) -> Result<Vec<Value>, OutsideError> {
        Ok(vec!["text".into()])
    }
}

fn parse(text: &str) -> Node {
    yaml::read(text, SourceId(0), Schema::Ansible).documents.remove(0)
}

fn entry<'n>(node: &'n Node, key: &str) -> &'n Node {
    let NodeValue::Mapping(mapping) = &node.value else { panic!("no mapping") };
    mapping.iter().find(|(known, _)| known.as_str() == Some(key)).unwrap().1
}

/// The variables of the play after its tasks.
fn variables(engine: &Engine) -> Vars {
    let play = parse(PLAY);
    let play = &play.as_sequence().unwrap()[0];
    let mut vars = Vars::default();
    let NodeValue::Mapping(written) = &entry(play, "vars").value else { panic!("no variables") };
    for (name, node) in written.iter() {
        let slot = Slot::Template(Arc::new(node.clone()));
        vars.slots.insert(name.as_str().unwrap().to_owned(), slot);
    }
    let ran = provision_template::from_json(&serde_json::json!({
        "stdout": "out", "stdout_lines": ["out"], "cmd": ["echo", "out"],
    }));
    vars.data("ran", ran, Origin::Every(TextClass::Unsafe));
    let tasks = entry(play, "tasks").as_sequence().unwrap();
    let NodeValue::Mapping(facts) = &entry(&tasks[1], "set_fact").value else { panic!("no facts") };
    for (name, node) in facts.iter() {
        let value = engine.render_node(node, &vars, &Controller).unwrap();
        let origin = engine.origin_of_node(node, &vars, &Controller);
        // Facts are kept as JSON.
        let value = provision_template::from_json(&provision_template::to_json(&value));
        vars.data(name.as_str().unwrap(), value, origin);
    }
    let loop_node = parse("['{{ written }}']");
    let origin = engine.origin_of_node(&loop_node, &vars, &Controller);
    vars.data("item", "written".into(), origin.child(&0.into()));
    vars
}

fn class(engine: &Engine, vars: &Vars, expression: &str) -> String {
    let node = Node::string(nowhere(), format!("{{{{ ({expression}) | type_debug }}}}"));
    let value = engine.render_node(&node, vars, &Controller);
    value.map_or_else(|error| error.message().to_owned(), |value| value.to_string())
}

fn nowhere() -> diagnostics::Span {
    diagnostics::Span::new(SourceId(0), 0, 0)
}

#[test]
fn classes_are_those_of_ansible() {
    let mut wrong = Vec::new();
    for native in [false, true] {
        let engine = Engine::new(Dialect::Classic);
        let engine = if native { engine.with_native_types() } else { engine };
        let vars = variables(&engine);
        for line in RECORDED.lines() {
            let [expression, plain, with_native] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let recorded = if native { with_native } else { plain };
            let found = class(&engine, &vars, expression);
            let known = DIFFERENT.iter().find(|(known, _)| *known == expression);
            if found != known.map_or(recorded, |(_, different)| *different) {
                wrong.push(format!("{expression}: {recorded}, here {found} (native: {native})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(RECORDED.lines().count() > 100);
}

#[test]
fn the_strict_dialect_has_one_class() {
    let engine = Engine::new(Dialect::Strict);
    let vars = variables(&engine);
    for expression in ["written", "unsafe_text", "written | string", "ran.stdout"] {
        assert_eq!(class(&engine, &vars, expression), "str");
    }
}

#[test]
fn a_name_that_defines_itself_has_a_class() {
    let mut vars = Vars::default();
    let node = Slot::Template(Arc::new(parse("'{{ itself }}'")));
    vars.slots.insert("itself".into(), node);
    let engine = Engine::new(Dialect::Classic);
    let origin = engine.origin_of_node(&parse("'{{ itself }}'"), &vars, &Controller);
    assert_eq!(origin.class(), TextClass::Plain);
}
