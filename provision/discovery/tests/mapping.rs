//! Mapping files: what is right, and what is told of what is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;

use diagnostics::{Sources, Style, render_all};
use provision_discovery::{Services, default_mapping, read_mapping};

/// Everything that is told of a mapping.
fn told(text: &str) -> String {
    let mut sources = Sources::default();
    let source = sources.add("consul.yml", text);
    let found = match read_mapping(text, source) {
        Ok((_, found)) | Err(found) => found,
    };
    render_all(&found, &sources, Style::Plain)
}

fn services(text: &str) -> Services {
    let mut sources = Sources::default();
    let source = sources.add("consul.yml", text);
    read_mapping(text, source).unwrap().0.wanted().services
}

#[test]
fn the_default_mapping_and_the_example_are_right() {
    assert_eq!(told(default_mapping()), "");
    assert_eq!(services(default_mapping()), Services::All);
    assert_eq!(told(include_str!("../../../inventories/consul.yml")), "");
}

#[test]
fn only_services_that_are_named_are_asked_for() {
    let text = "\
plugin: consul
nodes: {services: docker}
variables: {port: [service.web.port, meta.port]}
groups: {zk: {require: {names: [zk*], services: [zookeeper, docker]}}}
";
    let names = ["docker", "web", "zookeeper"].map(str::to_owned);
    assert_eq!(services(text), Services::Named(BTreeSet::from(names)));
    assert_eq!(services("plugin: consul"), Services::Named(BTreeSet::new()));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = "\
plugin: consul
adresses: [http://a:8500]
max_age: 10s
timeout: 5x
tls: {certificate: a.pem}
nodes: {health: dead, addresses: [10.0.0.0/40]}
variables:
  ansible_host: adress.wan
  rack: [meta.rack, colour]
  hostvars: meta
  the-port: service.web.port
groups:
  web: {require: {}}
  db: {require: {meta: {role: db}}}
  all: {require: {names: x}}
keyed_groups:
  - {key: meta.env, prefix: env}
  - {key: service, prefix: '', require: {names: '*'}}
  - {key: color, prefix: c}
kv: {prefix: /}
";
    insta::assert_snapshot!(told(text));
    let text = text.replace("adresses: [http://a:8500]\n", "").replace("health: dead, ", "");
    insta::assert_snapshot!(told(&text));
}

#[test]
fn what_only_another_edition_has_is_told() {
    let told = told("plugin: consul\nnamespace: team\npartition: edge\n");
    assert!(told.contains("the free edition of Consul has no namespaces"), "{told}");
    assert!(told.contains("the free edition of Consul has no partitions"), "{told}");
    assert!(told.contains("consul.yml:2:12"), "{told}");
}

#[test]
fn datacenters_are_one_or_several() {
    let of = |text: &str| {
        let mut sources = Sources::default();
        let source = sources.add("consul.yml", text);
        read_mapping(text, source).unwrap().0.datacenters
    };
    assert_eq!(of("plugin: consul"), [""; 0]);
    assert_eq!(of("plugin: consul\ndatacenters: east"), ["east"]);
    assert_eq!(of("plugin: consul\ndatacenters: [east, west]"), ["east", "west"]);
    let both = told("plugin: consul\ndatacenter: a\ndatacenters: [b]");
    assert!(both.contains("there are both `datacenter` and `datacenters`"), "{both}");
    let twice = told("plugin: consul\ndatacenters: [b, b]");
    assert!(twice.contains("datacenter `b` is there twice"), "{twice}");
    let none = told("plugin: consul\ndatacenters: []");
    assert!(none.contains("no datacenter would be asked"), "{none}");
}

#[test]
fn what_is_no_mapping_is_told_too() {
    for text in ["", "plugin: [", "- a", "plugin: consul\n---\nplugin: consul", "plugin: aws"] {
        assert!(told(text).contains("error"), "{text}: {}", told(text));
    }
}

/// The keys that the reader knows somewhere, as it lists them for one that it doesn't know.
fn known(text: &str) -> BTreeSet<String> {
    let told = told(text);
    let (_, list) = told.split_once("= hint: known: ").unwrap_or_else(|| panic!("{told}"));
    let line = list.lines().next().unwrap_or_default();
    line.split(", ").map(str::to_owned).collect()
}

/// The schema for editors has the keys of the reader, and requires what it requires.
#[test]
fn the_schema_is_fresh() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/consul-mapping.schema.json")).unwrap();
    let table = [
        ("", "plugin: consul\n0xyzzy0: 1"),
        ("/$defs/tls", "plugin: consul\ntls: {0xyzzy0: 1}"),
        ("/$defs/conditions", "plugin: consul\nnodes: {0xyzzy0: 1}"),
        ("/$defs/group", "plugin: consul\ngroups: {a: {0xyzzy0: 1, require: {names: a}}}"),
        ("/$defs/keyed", "plugin: consul\nkeyed_groups: [{0xyzzy0: 1, key: health, prefix: a}]"),
        ("/$defs/kv", "plugin: consul\nkv: {0xyzzy0: 1, prefix: a}"),
    ];
    for (place, text) in table {
        let object = schema.pointer(place).unwrap();
        let listed = object["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(known(text), listed, "{place}");
        assert_eq!(object["additionalProperties"], false, "{place}");
    }
    for (text, missing) in [
        ("addresses: a", "plugin"),
        ("plugin: consul\ngroups: {a: {}}", "require"),
        ("plugin: consul\nkeyed_groups: [{prefix: a}]", "key"),
        ("plugin: consul\nkeyed_groups: [{key: health}]", "prefix"),
        ("plugin: consul\nkv: {}", "prefix"),
    ] {
        assert!(told(text).contains(&format!("key `{missing}` is missing")), "{}", told(text));
    }
}
