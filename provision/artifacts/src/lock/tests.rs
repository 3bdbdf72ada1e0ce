use std::collections::BTreeMap;

use diagnostics::{Sources, Style, render_all};
use proptest::prelude::*;
use serde_yaml::Value;

use super::*;

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn entry(root: &str) -> Entry {
    Entry {
        url: Some(format!("https://dist.example.org/{root}.tar.gz")),
        size: Some(1000),
        unpacked_size: Some(4096),
        sha256: DIGEST.to_owned(),
        sha512: Some(DIGEST.repeat(2)),
        root: root.to_owned(),
        signature: Some(Signer {
            kind: SignatureKind::Openpgp,
            key: "0123456789ABCDEF0123456789ABCDEF01234567".to_owned(),
        }),
        added: Some("2026-11-28T07:30:00Z".to_owned()),
    }
}

fn small(root: &str) -> Entry {
    Entry {
        url: None,
        size: None,
        unpacked_size: None,
        sha512: None,
        signature: None,
        added: None,
        ..entry(root)
    }
}

fn lock_of(text: &str) -> Lock {
    read(text, SourceId(0)).unwrap().unwrap()
}

fn complaints(text: &str) -> String {
    let mut sources = Sources::default();
    let source = sources.add("artifacts.yml", text);
    render_all(&read(text, source).unwrap_err(), &sources, Style::Plain)
}

#[test]
fn a_new_file_reads_back() {
    let text = with_entry("", "zookeeper", "3.9.3", &entry("zookeeper-3.9.3")).unwrap();
    insta::assert_snapshot!(text);
    let lock = lock_of(&text);
    assert_eq!(lock.entry("zookeeper", "3.9.3"), Some(&entry("zookeeper-3.9.3")));
    assert_eq!(lock.entries().count(), 1);
}

#[test]
fn nothing_but_the_entry_changes() {
    let text = "# Ours.\nother: 1\n\nartifacts:\n  # Coordination.\n  zookeeper:\n    \"3.8.0\":  # old\n      \
                sha256: 'SHA'   # checked by hand\n      root: z-3.8.0\n    # kept\n\n  consul:\n\
                \u{20}   \"1.8.7\": {sha256: SHA, root: consul}\nlast: [1, 2]\n"
        .replace("SHA", DIGEST);
    let added = with_entry(&text, "zookeeper", "3.9.3", &small("z-3.9.3")).unwrap();
    let added = with_entry(&added, "docker", "26.1.5", &small("docker")).unwrap();
    let added = with_entry(&added, "consul", "1.8.7", &small("consul-b")).unwrap();
    insta::assert_snapshot!(added);
}

#[test]
fn empty_values_are_filled() {
    for text in [
        "artifacts:\n",
        "artifacts: {}\n",
        "artifacts: {} # none yet\n",
        "artifacts: ~",
        "artifacts:\n  zookeeper:\n",
        "artifacts:\n  zookeeper: {}",
        "artifacts:\n    zookeeper: # none\n",
        "---\n# only words\n",
        "---\nother: 1",
        "artifacts:\n  zookeeper: {}\nafter: 1\n",
    ] {
        let text = with_entry(text, "zookeeper", "1", &small("z")).expect(text);
        assert_eq!(lock_of(&text).entry("zookeeper", "1"), Some(&small("z")), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_not_touched() {
    for text in [
        "artifacts: {zookeeper: {}}",
        "{other: 1}",
        "artifacts: {a: {\"1\": {root: b}}}",
        "- a\n",
        "a: 1\n---\nb: 2\n",
        "artifacts: 3\n",
        "base: &base\n  zookeeper:\n    \"1\": {root: a}\nartifacts:\n  <<: *base\n",
        "artifacts: &a\n  zookeeper: {}\nagain: *a\n",
    ] {
        with_entry(text, "zookeeper", "1", &small("z")).expect_err(text);
    }
    assert!(matches!(with_entry("a: [", "z", "1", &small("z")), Err(Unwritable::Invalid(_))));
}

#[test]
fn mistakes_are_shown_with_their_place() {
    let text = format!(
        "artifacts:\n  zookeeper:\n    3.10:\n      sha256: \"{DIGEST}\"\n      root: a\n    \"2\":\n      \
         sha256: 12ab\n      root: ../etc\n    \"3\":\n      sha256: \"{DIGEST}\"\n      rooot: a\n    \
         \"4/5\":\n      sha256: \"{DIGEST}\"\n      root: a\n"
    );
    insta::assert_snapshot!(complaints(&text));
    let text = format!(
        "artifacts:\n  Zoo Keeper:\n    \"1\":\n      url: ftp://example.org/x\n      sha256: \"{DIGEST}\"\n      \
         root: x\n  b:\n    \"1\":\n      sha256: \"{DIGEST}\"\n      root: \"{{{{ x }}}}\"\n      \
         signature: {{kind: openpgp, key: beef}}\n"
    );
    insta::assert_snapshot!(complaints(&text));
}

#[test]
fn a_text_without_the_variable_has_no_lock() {
    assert_eq!(read("releases: {}\n", SourceId(0)), Ok(None));
    assert_eq!(read("", SourceId(0)), Ok(None));
    assert_eq!(read("artifacts:\n", SourceId(0)), Ok(Some(Lock::default())));
    read("artifacts: [", SourceId(0)).unwrap_err();
}

#[test]
fn addresses() {
    for good in ["https://a/b.tar.gz", "http://10.0.0.1:80/x?y=%20"] {
        check_url(good).unwrap();
    }
    for bad in [
        "ftp://a/b",
        "https://",
        "https:///x",
        "https://u:p@a/b",
        "https://a/b c",
        "https://a/{{b}}",
    ] {
        check_url(bad).expect_err(bad);
    }
}

/// Versions of components, each with a comment.
type Components = BTreeMap<String, (String, BTreeMap<String, String>)>;

/// A file as somebody may have written it: indents, comments and empty lines at will.
fn written() -> impl Strategy<Value = String> {
    let name = "[a-z]{1,3}";
    let version = "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}";
    let comment = prop_oneof![Just(String::new()), "# [a-z: ]{0,12}"];
    let versions = proptest::collection::btree_map(version, comment.clone(), 0..4);
    let components = proptest::collection::btree_map(name, (comment.clone(), versions), 0..4);
    (components, 1_usize..5, 1_usize..5, comment, any::<bool>()).prop_map(
        |(components, outer, inner, comment, after): (Components, usize, usize, String, bool)| {
            let (one, two) = (" ".repeat(outer), " ".repeat(outer + inner));
            let three = " ".repeat(outer + inner + 1);
            let mut text = format!("{comment}\nbefore: yes\nartifacts:  {comment}\n");
            for (component, (comment, versions)) in components {
                text.push_str(&format!("{one}\"{component}\": {comment}\n\n"));
                for (version, comment) in versions {
                    text.push_str(&format!(
                        "{comment}\n{two}\"{version}\":  {comment}\n{three}sha256: \"{DIGEST}\" \
                         {comment}\n{comment}\n{three}root: x {comment}\n"
                    ));
                }
            }
            if after {
                text.push_str(&format!("{comment}\nafter: [1,\n  2]\n{comment}"));
            }
            text
        },
    )
}

/// The meaning of a text, by the other reader.
fn meaning(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

proptest! {
    #[test]
    fn an_entry_comes_in_and_nothing_else_changes(
        text in written(),
        component in "[a-z]{1,3}",
        version in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}",
        full in any::<bool>(),
    ) {
        let new = if full { entry("new") } else { small("new") };
        let known = lock_of(&text).entry(&component, &version).is_some();
        let after = with_entry(&text, &component, &version, &new).unwrap();
        // The meaning, as another reader of YAML sees it.
        let mut expected = meaning(&text);
        let all = expected.as_mapping_mut().unwrap().get_mut("artifacts").unwrap();
        if all.is_null() {
            *all = Value::Mapping(serde_yaml::Mapping::new());
        }
        let versions = all
            .as_mapping_mut()
            .unwrap()
            .entry(Value::from(component.as_str()))
            .or_insert(Value::Null);
        if versions.is_null() {
            *versions = Value::Mapping(serde_yaml::Mapping::new());
        }
        let new_value = serde_yaml::to_value(&new).unwrap();
        versions.as_mapping_mut().unwrap().insert(Value::from(version.as_str()), new_value);
        prop_assert_eq!(meaning(&after), expected, "{}", after);
        // No line goes, unless an entry is replaced.
        if !known {
            let mut lines = after.lines();
            for line in text.lines() {
                prop_assert!(lines.any(|other| other == line), "{} is gone from\n{}", line, after);
            }
        }
        // Written once more it is the same.
        prop_assert_eq!(&with_entry(&after, &component, &version, &new).unwrap(), &after);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "(?s).{0,200}") {
        let _ = read(&text, SourceId(0));
        let _ = with_entry(&text, "a", "1", &small("a"));
        let text = format!("artifacts:\n  a:\n    \"1\": {text}");
        let _ = read(&text, SourceId(0));
        let _ = with_entry(&text, "a", "1", &small("a"));
    }
}
