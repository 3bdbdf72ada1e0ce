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
fn what_is_no_mapping_is_told_too() {
    for text in ["", "plugin: [", "- a", "plugin: consul\n---\nplugin: consul", "plugin: aws"] {
        assert!(told(text).contains("error"), "{text}: {}", told(text));
    }
}
