//! What is wrong with an inventory is told at once, with places and hints; and what changes at
//! run time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use diagnostics::{Diagnostic, SourceId, Sources, Span};
use proptest::prelude::*;
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{
    Inventory, Level, Loaded, Patterns, Source, load, load_playbook_vars,
};
use yaml::{Mapping, Node};

fn files(texts: &[(&str, &str)]) -> MapFiles {
    let texts = texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    MapFiles::new(texts.collect::<BTreeMap<_, _>>())
}

fn load_texts(texts: &[(&str, &str)], source: &str) -> (Loaded, Sources) {
    let mut sources = Sources::default();
    let loaded = load(&[Source::Path(source.into())], &files(texts), &mut sources);
    (loaded, sources)
}

fn lines(diagnostics: &[Diagnostic], sources: &Sources) -> Vec<String> {
    let line = |diagnostic: &Diagnostic| {
        let place = diagnostic.primary.as_ref().map(|label| {
            format!("{} {:?} {} ", sources.place(label.span), sources.text(label.span), label.text)
        });
        let kind = if diagnostic.is_error() { "" } else { "warning " };
        format!(
            "{kind}{}| {} [{}]",
            place.unwrap_or_default(),
            diagnostic.message,
            diagnostic.hint.as_deref().unwrap_or("-")
        )
    };
    diagnostics.iter().map(line).collect()
}

/// Groups come below `all` at the end, so it is above them before that, too.
#[test]
fn all_is_below_no_group() {
    let ini = "[a:children]\nb\nall\n[b]\nh1\n";
    let wanted = "hosts.ini:3:1 \"all\" `all` already contains `a` | a group would be below itself \
                  [remove one of the two from the other's children]";
    assert_eq!(told(&[("hosts.ini", ini)], "hosts.ini"), [wanted]);
    let yml = "a:\n  children:\n    all:\n      hosts: {h1: }\n";
    assert_eq!(told(&[("hosts.yml", yml)], "hosts.yml"), [wanted.replace("ini:3:1", "yml:3:5")]);
}

fn told(texts: &[(&str, &str)], source: &str) -> Vec<String> {
    let (loaded, sources) = load_texts(texts, source);
    lines(&loaded.diagnostics, &sources)
}

/// Compares with the section of `tests/data/inventory_errors.txt`.
fn golden(section: &str, told: &[String]) {
    let golden = include_str!("data/inventory_errors.txt");
    let header = format!("== {section}\n");
    let expected =
        golden.split_once(&header).map_or("", |(_, rest)| rest.split("== ").next().unwrap_or(""));
    let actual = format!("{}\n", told.join("\n"));
    if expected != actual {
        println!("{header}{actual}");
    }
    assert!(expected == actual, "section {section} differs from the above");
}

#[test]
fn ini_errors() {
    let text = "\
web1 ansible_host = 10.0.0.1
web2 'a=b
[web:chldren]
ignored here
[my group]
[web]
web[9:1]
web[01:100]
key: value
---
[a:children]
b
wbe
[b:children]
a
b
[c:vars]
x
x=1
[web-x]
[web:vars]
ansible_group_priority=high
";
    golden("ini", &told(&[("hosts.ini", text)], "hosts.ini"));
}

#[test]
fn yaml_errors() {
    let text = "\
all:
  hosts: [a, b]
  children:
    web:
      host: {w1: }
      vars: {x: 1}
      color: red
    5: {}
    db: [d1]
  hosts2:
    x: {}
other:
  children:
    web: {children: {other: }}
  hosts:
    d2: 7
    d[3:1]:
";
    golden("yaml", &told(&[("hosts.yml", text)], "hosts.yml"));
}

#[test]
fn sources_that_are_none() {
    let texts = [
        ("script", "#!/usr/bin/python\n"),
        ("x.toml", "[a]\n"),
        ("aws.yml", "plugin: aws_ec2\n"),
        ("syntax.yml", "all:\n\thosts:\n"),
        ("yamlish", "---\nall:\n  hosts:\n a: b\n"),
        ("vars/hosts", "[web]\nw\n"),
        ("vars/group_vars/web.yml", "- a\n"),
        ("vars/group_vars/all", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        ("vars/group_vars/unknown.yml", "- nobody minds\n"),
        ("vars/host_vars/w.yml", "a: 1\na: 2\n"),
        ("vars/host_vars/README.md", "{{ no yaml"),
    ];
    let mut found = Vec::new();
    for source in ["missing", "script", "x.toml", "aws.yml", "syntax.yml", "yamlish", "vars/hosts"]
    {
        found.extend(told(&texts, source));
    }
    golden("sources", &found);
}

#[test]
fn patterns_that_mean_nothing() {
    let (loaded, _) = load_texts(&[("hosts", "[web]\nweb1\nweb2\n")], "hosts");
    let mut sources = Sources::default();
    let source = sources.add("play.yml", "wbe:web[7]:~(");
    let span = Some(Span::new(source, 0, 13));
    let selection = loaded.inventory.select(&Patterns::of_list([("wbe,web[7],~(", span)]), None);
    golden("patterns", &lines(&selection.diagnostics, &sources));
}

#[test]
fn hosts_and_groups_of_run_time() {
    let (loaded, _) = load_texts(
        &[
            ("i/hosts", "[web]\nw1\n"),
            ("i/group_vars/new.yml", "a: 1\n"),
            ("i/host_vars/n1.yml", "b: 2\n"),
            ("p/group_vars/all.yml", "c: 3\n"),
        ],
        "i/hosts",
    );
    let mut inventory: Inventory = loaded.inventory;
    let mut sources = Sources::default();
    let playbook = files(&[("p/group_vars/all.yml", "c: 3\n")]);
    assert_eq!(load_playbook_vars(&mut inventory, &["p".into()], &playbook, &mut sources), []);
    let span = Span::new(SourceId(0), 0, 0);
    let variables = Mapping { entries: vec![(Node::string(span, "x"), Node::string(span, "y"))] };
    assert!(inventory.add_host("n1", &["new", "web"], &variables));
    assert!(!inventory.add_host("n1", &["new"], &variables));
    let names = |inventory: &Inventory, host: &str| {
        inventory.group_names(host).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&inventory, "n1"), ["new", "web"]);
    let levels: Vec<Level> =
        inventory.host_variables("n1").iter().map(|layer| layer.level).collect();
    assert_eq!(
        levels,
        [Level::AllFileOfPlaybook, Level::GroupFile, Level::HostOfInventory, Level::HostFile]
    );
    assert!(inventory.add_host("n2", &[], &Mapping::default()));
    assert_eq!(names(&inventory, "n2"), ["ungrouped"]);
    assert_eq!(inventory.add_to_group("n2", "os_linux", &["os"]), Ok(true));
    assert_eq!(inventory.add_to_group("n2", "os_linux", &["os"]), Ok(false));
    assert_eq!(names(&inventory, "n2"), ["os", "os_linux"]);
    assert!(inventory.add_to_group("n2", "os", &["os_linux"]).is_err());
    assert_eq!(inventory.hosts_of("os").iter().map(|name| &**name).collect::<Vec<_>>(), ["n2"]);
    assert_eq!(inventory.hosts_of("all").len(), 3);
    let localhost = inventory.select(&Patterns::parse("localhost", None), None);
    assert_eq!((localhost.hosts.len(), localhost.diagnostics.len()), (1, 0));
    assert!(inventory.host("localhost").is_some_and(|host| host.is_implicit));
    assert_eq!(inventory.host_variables("localhost").len(), 2);
}

proptest! {
    #[test]
    fn never_panics(text in "[-a-c1:= \\n\"'{}\\[\\],#;\\\\()\\t\\ré~!&*?]{0,80}", pattern in "[-a-c1:=,\\[\\]~!&*?()é]{0,12}") {
        for name in ["hosts", "hosts.ini", "hosts.yml"] {
            let (loaded, sources) = load_texts(&[(name, &text)], name);
            for diagnostic in &loaded.diagnostics {
                let span = diagnostic.primary.as_ref().expect("a place").span;
                let text = &sources.get(span.source).expect("a source").text;
                prop_assert!(text.get(span.start as usize..span.end as usize).is_some(), "{:?}", diagnostic);
            }
            let hosts = loaded.inventory.select(&Patterns::parse(&pattern, None), None).hosts;
            for host in hosts {
                prop_assert!(loaded.inventory.host(&host).is_some());
            }
        }
    }
}
