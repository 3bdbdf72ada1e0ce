//! What people mistype, and what they are told: place, message, label and hint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diagnostics::{Diagnostic, Severity, Sources};
use yaml::{Schema, read};

/// Diagnostics as `line:column message | label | hint`.
fn told(text: &str, schema: Schema) -> Vec<String> {
    let mut sources = Sources::default();
    let source = sources.add("x.yml", text);
    let line = |diagnostic: &Diagnostic| {
        let label = diagnostic.primary.as_ref().expect("every diagnostic has a place");
        let (line, column) = sources.get(source).unwrap().line_column(label.span.start);
        let under = sources.text(label.span);
        let severity = if diagnostic.severity == Severity::Warning { "warning " } else { "" };
        format!(
            "{severity}{line}:{column} {} | {under:?} {} | {}",
            diagnostic.message,
            label.text,
            diagnostic.hint.as_deref().unwrap_or("-")
        )
    };
    read(text, source, schema).diagnostics.iter().map(line).collect()
}

/// Cases of `tests/data/errors.txt`: texts, then `>>>`, then what is told.
#[test]
fn errors_teach() {
    let golden = include_str!("data/errors.txt");
    let mut actual = String::new();
    for case in golden.split("=====\n").skip(1) {
        let text = case.split(">>>\n").next().unwrap();
        let visible = text.replace('␉', "\t");
        actual.push_str(&format!(
            "=====\n{text}>>>\n{}\n",
            told(&visible, Schema::Ansible).join("\n")
        ));
    }
    if golden != actual {
        println!("{actual}");
    }
    assert!(golden == actual, "tests/data/errors.txt differs from the above");
}

#[test]
fn strict_refuses_duplicates() {
    assert_eq!(
        told("a: 1\nb: 2\na: 3\n", Schema::Strict),
        ["3:1 key `a` stands twice in one mapping | \"a\" this one counts | remove one of them"]
    );
}
