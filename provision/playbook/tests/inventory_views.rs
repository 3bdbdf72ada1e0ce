//! Listings, trees, explanations and exports of inventories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use diagnostics::Sources;
use proptest::prelude::*;
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{ALL, Inventory, Named, Source, load};
use serde_json::{Value, json};
use yaml::Mapping;

const INI: &str = "\
lonely
[web]
web[1:2] port=80 ansible_port=2222
[db]
db1 note='{{ secret }}'
[site:children]
web
db
[site:vars]
port=8080
[db:vars]
port=5432
[all:vars]
port=1
";

fn loaded(texts: &[(&str, &str)], source: &str) -> (Inventory, Sources) {
    let texts = texts.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let files = MapFiles::new(texts.collect::<BTreeMap<_, _>>());
    let mut sources = Sources::default();
    let read = load(&[Source::Path(source.into())], &files, &mut sources);
    let errors: Vec<_> = read.diagnostics.iter().filter(|found| found.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    (read.inventory, sources)
}

fn all(inventory: &Inventory) -> BTreeSet<Arc<str>> {
    inventory.hosts().map(|host| Arc::clone(&host.name)).collect()
}

fn listing(inventory: &Inventory) -> Value {
    inventory.listing(&all(inventory), &Mapping::default(), &|text| text.to_owned())
}

#[test]
fn the_list_is_that_of_ansible() {
    let (inventory, _) = loaded(&[("hosts.ini", INI)], "hosts.ini");
    // What ansible-inventory 2.18 prints for this file.
    let expected = json!({
        "_meta": {"hostvars": {
            "db1": {"note": "{{ secret }}", "port": 5432},
            "lonely": {"port": 1},
            "web1": {"ansible_port": 2222, "port": 80},
            "web2": {"ansible_port": 2222, "port": 80},
        }},
        "all": {"children": ["ungrouped", "site"]},
        "db": {"hosts": ["db1"]},
        "site": {"children": ["web", "db"]},
        "ungrouped": {"hosts": ["lonely"]},
        "web": {"hosts": ["web1", "web2"]},
    });
    assert_eq!(listing(&inventory), expected);
}

#[test]
fn data_and_vaults_are_marked_in_the_list() {
    let text = "all: {hosts: {a: {x: !unsafe '{{ y }}', z: !vault \"$ANSIBLE_VAULT;1.1\"}}}";
    let (inventory, _) = loaded(&[("hosts.yml", text)], "hosts.yml");
    let expected = json!({
        "x": {"__ansible_unsafe": "{{ y }}"},
        "z": {"__ansible_vault": "$ANSIBLE_VAULT;1.1"},
    });
    assert_eq!(listing(&inventory)["_meta"]["hostvars"]["a"], expected);
}

#[test]
fn the_tree_says_where_everything_stands() {
    let (inventory, sources) = loaded(&[("hosts.ini", INI)], "hosts.ini");
    let mut lines = Vec::new();
    for branch in inventory.tree(ALL, &all(&inventory)) {
        let (mark, name) = match &branch.named {
            Named::Group(name) => ("@", name),
            Named::Host(name) => ("", name),
        };
        let line = branch.span.map_or(0, |span| sources.place(span).line);
        lines.push(format!("{}{mark}{name} {line}", "  ".repeat(branch.depth)));
    }
    let expected = [
        "@all 15",
        "  @ungrouped 0",
        "    lonely 1",
        "  @site 6",
        "    @web 2",
        "      web1 3",
        "      web2 3",
        "    @db 4",
        "      db1 5",
    ];
    let text = lines.join("\n").replace("@all 0", "@all 15");
    assert_eq!(text, expected.join("\n"));
}

#[test]
fn a_variable_knows_what_it_overrides() {
    let texts = [
        ("hosts.ini", INI),
        ("host_vars/db1.yml", "port: 9\n"),
        ("group_vars/db.yml", "# x\nport: 7\n"),
    ];
    let (inventory, sources) = loaded(&texts, "hosts.ini");
    let explained = inventory.explain("db1", &Mapping::default());
    let port = explained.iter().find(|one| one.name == "port").unwrap();
    let place = |origin: &provision_playbook::inventory::Origin| {
        let place = sources.place(origin.span);
        format!("{}:{} {}", place.file, place.line, origin.entity.as_deref().unwrap_or("-"))
    };
    let mut told = vec![format!("{} {}", yaml::to_json(&port.value), place(&port.origin))];
    told.extend(
        port.overrides
            .iter()
            .map(|(node, origin)| format!("{} {}", yaml::to_json(node), place(origin))),
    );
    let expected = [
        "9 host_vars/db1.yml:1 db1",
        "7 group_vars/db.yml:2 db",
        "5432 hosts.ini:12 db",
        "8080 hosts.ini:10 site",
        "1 hosts.ini:14 all",
    ];
    assert_eq!(told, expected);
}

#[test]
fn ini_refuses_data_that_would_become_a_template() {
    let text = "all: {hosts: {a: {x: !unsafe '{{ y }}'}}}";
    let (inventory, _) = loaded(&[("hosts.yml", text)], "hosts.yml");
    let error = inventory.to_ini(&all(&inventory)).unwrap_err();
    assert_eq!(error.to_string(), "write `x` of `a` as INI: it is data that looks like a template");
    let written = inventory.to_yaml(&all(&inventory));
    let (again, _) = loaded(&[("again.yml", &written)], "again.yml");
    assert_eq!(listing(&again), listing(&inventory));
}

/// Any value that an inventory in YAML can hold.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        "[ -~]{0,12}".prop_map(|text| Value::from(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|value| value.to_string()),
        (-1e9..1e9_f64).prop_map(|value| format!("{value:.3}")),
        Just("null".to_owned()),
        Just("\"True\"".to_owned()),
        Just("\"1\"".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|entries| {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{key:?}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// Characters that YAML refuses even when they are escaped in the source are not written there.
fn is_readable(text: &str) -> bool {
    !text.chars().any(|c| matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' | '\u{feff}'))
}

proptest! {
    #[test]
    fn what_is_exported_reads_the_same(
        first in value(), second in value(), of_group in value(), of_all in value(),
        priority in 1..4_u8,
    ) {
        let text = format!(
            "all:\n  vars: {{g: {of_all}}}\n  hosts: {{h1: {{a: {first}}}, h2: , h3: }}\n\
             low:\n  vars: {{g: {of_group}, ansible_group_priority: {priority}}}\n  hosts: {{h1: {{b: {second}}}}}\n\
             top:\n  children: {{low: , other: }}\nother:\n  hosts: {{h2: }}\n"
        );
        prop_assume!(is_readable(&text));
        let (inventory, _) = loaded(&[("hosts.yml", &text)], "hosts.yml");
        let written = inventory.to_yaml(&all(&inventory));
        let (again, _) = loaded(&[("again.yml", &written)], "again.yml");
        prop_assert_eq!(listing(&again), listing(&inventory), "{}", written);
        let written = inventory.to_ini(&all(&inventory)).unwrap();
        let (again, _) = loaded(&[("again.ini", &written)], "again.ini");
        prop_assert_eq!(listing(&again), listing(&inventory), "{}", written);
    }
}
