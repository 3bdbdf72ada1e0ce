//! Spans and limits: every node points at what the user wrote, whatever the line ends and bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diagnostics::{SourceId, Sources};
use proptest::prelude::*;
use yaml::{Node, NodeValue, Schema, limits, read};

/// All scalars of the documents with the text under their spans.
fn scalars(text: &str) -> Vec<(String, String)> {
    let mut sources = Sources::default();
    let source = sources.add("x.yml", text);
    let read = read(text, source, Schema::Ansible);
    assert_eq!(read.diagnostics, [], "{text}");
    let mut found = Vec::new();
    for document in &read.documents {
        walk(document, &mut |node| {
            if !matches!(node.value, NodeValue::Sequence(_) | NodeValue::Mapping(_)) {
                let shown = yaml::to_json(node).to_string();
                found.push((shown, sources.text(node.span).to_owned()));
            }
        });
    }
    found
}

fn walk(node: &Node, visit: &mut impl FnMut(&Node)) {
    visit(node);
    match &node.value {
        NodeValue::Sequence(items) => items.iter().for_each(|item| walk(item, visit)),
        NodeValue::Mapping(mapping) => mapping.iter().for_each(|(key, value)| {
            walk(key, visit);
            walk(value, visit);
        }),
        _ => {}
    }
}

#[test]
fn scalars_point_at_their_text() {
    let pairs = |text: &str, expected: &[(&str, &str)]| {
        let found = scalars(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(value, text)| (value.as_str(), text.as_str())).collect();
        assert_eq!(found, expected, "{text:?}");
    };
    pairs("a: 'b'\n", &[("\"a\"", "a"), ("\"b\"", "'b'")]);
    pairs(
        "\u{feff}ä: \"ö\" # ü\r\nü: 1\r\n",
        &[("\"ä\"", "ä"), ("\"ö\"", "\"ö\""), ("\"ü\"", "ü"), ("1", "1")],
    );
    pairs("a: !unsafe &x '{{ b }}'\n", &[("\"a\"", "a"), ("\"{{ b }}\"", "'{{ b }}'")]);
    pairs(
        "a: |\n  x\n  y\n\n# comment\nb:\n",
        &[("\"a\"", "a"), ("\"x\\ny\\n\"", "|\n  x\n  y"), ("\"b\"", "b"), ("null", "")],
    );
    pairs("a: !!str\n  12\n", &[("\"a\"", "a"), ("\"12\"", "12")]);
    pairs("a: x\n  y\n", &[("\"a\"", "a"), ("\"x y\"", "x\n  y")]);
    pairs("- &a 1\n- *a\n", &[("1", "1"), ("1", "1")]);
}

#[test]
fn collections_end_with_their_last_part() {
    let text = "a:\n  - b\n  - {c: d}\n\n# comment\ne: f\n";
    let mut sources = Sources::default();
    let source = sources.add("x.yml", text);
    let read = read(text, source, Schema::Ansible);
    let root = &read.documents[0];
    assert_eq!(sources.text(root.span), "a:\n  - b\n  - {c: d}\n\n# comment\ne: f");
    assert_eq!(sources.text(root.as_mapping().unwrap().get("a").unwrap().span), "- b\n  - {c: d}");
}

#[test]
fn unsafe_reaches_everything_inside() {
    let read = read("!unsafe\na: [b, {c: d}]\n", SourceId(0), Schema::Ansible);
    walk(&read.documents[0], &mut |node| assert!(node.is_unsafe(), "{node:?}"));
}

#[test]
fn limits_end_in_a_diagnostic() {
    let code = |text: &str| {
        let read = read(text, SourceId(0), Schema::Ansible);
        read.diagnostics.first().map(|diagnostic| diagnostic.code)
    };
    assert_eq!(code(&"[".repeat(100_000)), Some("yaml-limit"));
    assert_eq!(code(&"- ".repeat(1000)), Some("yaml-limit"));
    assert_eq!(
        code(&format!(
            "{}{}",
            "[".repeat(limits::MAX_DEPTH - 1),
            "]".repeat(limits::MAX_DEPTH - 1)
        )),
        None
    );
    let mut laughs = String::from("a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", alias.repeat(10)));
    }
    assert_eq!(code(&laughs), Some("yaml-limit"));
    let mut merges = String::from("a0: &a0 {a: b}\n");
    for level in 1..40 {
        merges.push_str(&format!(
            "a{level}: &a{level} {{x{level}: *a{0}, y{level}: *a{0}}}\n",
            level - 1
        ));
    }
    assert_eq!(code(&merges), Some("yaml-limit"));
    assert_eq!(
        code(&format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100))),
        Some("yaml-limit")
    );
    assert_eq!(code("a: \0"), Some("yaml-control-character"));
    let many: String = (0..1000).map(|_| "a: 1\n").collect();
    assert_eq!(read(&many, SourceId(0), Schema::Strict).diagnostics.len(), limits::MAX_DIAGNOSTICS);
}

proptest! {
    #[test]
    fn never_panics_and_spans_are_inside(text in "[-a:b \\n\"'{}\\[\\],#&*!|>%@?\\t\\r0é\u{feff}\u{2028}]{0,60}") {
        for schema in [Schema::Ansible, Schema::Strict] {
            let read = read(&text, SourceId(0), schema);
            for document in &read.documents {
                walk(document, &mut |node| {
                    let span = node.span.start as usize..node.span.end as usize;
                    assert!(text.get(span).is_some(), "{node:?}");
                });
            }
            for diagnostic in &read.diagnostics {
                let span = diagnostic.primary.as_ref().expect("a place").span;
                assert!(text.get(span.start as usize..span.end as usize).is_some(), "{diagnostic:?}");
            }
        }
    }

    #[test]
    fn plain_words_are_what_is_written(words in proptest::collection::vec("[a-z]{1,8}[é ü]{0,2}x", 1..20)) {
        let text: String = words.iter().map(|word| format!("- {word}  # c\r\n")).collect();
        let read = read(&text, SourceId(0), Schema::Ansible);
        let items = read.documents[0].as_sequence().unwrap();
        for (item, word) in items.iter().zip(&words) {
            assert_eq!(item.as_str(), Some(word.as_str()));
            assert_eq!(&text[item.span.start as usize..item.span.end as usize], word.as_str());
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let text = "text: !!binary aGVsbG8=\nbytes: !!binary |\n  //79\n  /A==\nwrong: !!binary '*'\n";
    let read = yaml::read(text, SourceId(0), Schema::Ansible);
    let mapping = read.documents[0].as_mapping().unwrap();
    let at = |name: &str| mapping.get(name).unwrap();
    assert_eq!((at("text").as_str(), at("text").bytes()), (Some("hello"), None));
    assert_eq!(at("bytes").bytes(), Some(vec![0xff, 0xfe, 0xfd, 0xfc]));
    assert_eq!(read.diagnostics.len(), 1, "{:?}", read.diagnostics);
}
