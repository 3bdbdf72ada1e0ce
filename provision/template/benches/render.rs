//! A typical task: ten short strings, three with templates, a scope of a hundred variables.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use diagnostics::{SourceId, Span};
use provision_template::{Dialect, Engine, Found, Nowhere, Scope, Slot, Value};
use yaml::{Mapping, Node, NodeValue};

struct Vars(BTreeMap<String, Slot>);

impl Scope for Vars {
    fn lookup(&self, name: &str) -> Found {
        self.0.get(name).map_or(Found::Undefined, |slot| Found::Slot(slot.clone()))
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

fn text(text: &str) -> Node {
    Node::string(Span::new(SourceId(0), 0, text.len()), text)
}

fn task() -> Node {
    let entries = [
        ("dest", "/etc/{{ service }}/{{ service }}.conf"),
        ("src", "{{ templates_directory }}/main.conf.j2"),
        ("mode", "{{ '0644' if public | default(false) | bool else '0600' }}"),
        ("owner", "root"),
        ("group", "root"),
        ("validate", "/usr/sbin/check %s"),
        ("backup", "yes"),
        ("force", "no"),
        ("follow", "yes"),
        ("content", "plain"),
    ];
    let entries = entries.iter().map(|(key, value)| (text(key), text(value))).collect();
    Node::new(Span::new(SourceId(0), 0, 0), NodeValue::Mapping(Mapping { entries }))
}

fn scope() -> Vars {
    let mut vars: BTreeMap<String, Slot> = (0..100)
        .map(|index| (format!("variable_{index}"), Slot::Data(Value::from(index))))
        .collect();
    vars.insert("service".into(), Slot::Template(Arc::new(text("{{ name_of_service }}"))));
    vars.insert("name_of_service".into(), Slot::Data(Value::from("zookeeper")));
    vars.insert("templates_directory".into(), Slot::Template(Arc::new(text("/srv/templates"))));
    Vars(vars)
}

fn benches(criterion: &mut Criterion) {
    for (dialect, name) in [(Dialect::Classic, "classic"), (Dialect::Strict, "strict")] {
        let engine = Engine::new(dialect);
        let (task, scope) = (task(), scope());
        criterion.bench_function(&format!("task/{name}"), |bencher| {
            bencher.iter(|| engine.render_node(black_box(&task), &scope, &Nowhere));
        });
        let condition = text("service == 'zookeeper' and variable_7 | int > 3");
        criterion.bench_function(&format!("condition/{name}"), |bencher| {
            bencher.iter(|| engine.evaluate_condition(black_box(&condition), &scope, &Nowhere));
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
