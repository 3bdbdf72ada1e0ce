//! Parses every template and condition of a directory of YAML files and templates:
//! `CORPUS=/path cargo test -p provision-template --test corpus -- --ignored --nocapture`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]
#![allow(clippy::disallowed_methods, reason = "this test walks a directory that the caller names")]

use std::path::Path;

use diagnostics::SourceId;
use provision_template::{Dialect, Engine, TextKind};
use yaml::{Node, NodeValue, Schema};

const CONDITIONS: &[&str] = &["when", "until", "changed_when", "failed_when", "that"];

struct Count {
    engine: Engine,
    parsed: usize,
    failed: Vec<String>,
}

impl Count {
    fn check(&mut self, text: &str, kind: TextKind, file: &Path) {
        self.parsed += 1;
        if let Err(error) = self.engine.check_syntax(text, kind) {
            self.failed.push(format!("{}: {error}: {text:.120}", file.display()));
        }
    }

    fn node(&mut self, node: &Node, kind: TextKind, file: &Path) {
        match &node.value {
            NodeValue::String(text) if node.is_unsafe() => _ = text,
            NodeValue::String(text)
                if kind == TextKind::Condition || text.contains("{{") || text.contains("{%") =>
            {
                self.check(text, kind, file);
            }
            NodeValue::Sequence(items) => items.iter().for_each(|item| self.node(item, kind, file)),
            NodeValue::Mapping(mapping) => {
                for (key, value) in mapping.iter() {
                    let condition = key.as_str().is_some_and(|key| CONDITIONS.contains(&key));
                    let inner = if condition { TextKind::Condition } else { TextKind::Template };
                    self.node(value, inner, file);
                }
            }
            _ => {}
        }
    }

    fn walk(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.walk(&path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("yml" | "yaml") => {
                    let read = yaml::read(&text, SourceId(0), Schema::Ansible);
                    for document in &read.documents {
                        self.node(document, TextKind::Template, &path);
                    }
                }
                Some("j2" | "jinja2" | "jinja") => self.check(&text, TextKind::File, &path),
                _ => {}
            }
        }
    }
}

#[test]
#[ignore = "needs a corpus"]
fn parses_the_corpus() {
    let root = std::env::var("CORPUS").unwrap();
    let mut count = Count { engine: Engine::new(Dialect::Classic), parsed: 0, failed: Vec::new() };
    count.walk(Path::new(&root));
    println!("{} parsed, {} failed", count.parsed, count.failed.len());
    for failure in &count.failed {
        println!("{failure}");
    }
}
