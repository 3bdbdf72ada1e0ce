//! Consul beside static sources: who wins, and who gains nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use consul::{Check, KvPair, Node, Status};
use diagnostics::{Sources, Style, render_all};
use provision_discovery::{Answered, Catalog};
use provision_playbook::files::MapFiles;
use provision_playbook::inventory::{Inventory, Source, load};
use serde_json::{Value, json};
use yaml::Mapping;

const SEEDS: &str = "\
[consul_servers]
zk1 ansible_host=10.0.0.1 rack=static
zk2
[zookeeper]
zk1
";

const MAPPING: &str = "\
plugin: consul
variables: {ansible_host: address, ansible_user: meta.user, rack: meta.rack, dc: datacenter}
groups:
  zookeeper: {require: {names: 'zk*'}}
  workers: {require: {names: 'worker*'}}
kv: {prefix: provision}
";

fn catalog(nodes: &[(&str, &str, &str)]) -> Catalog {
    let node = |(name, address, rack): &(&str, &str, &str)| Node {
        name: (*name).to_owned(),
        address: (*address).to_owned(),
        datacenter: "dc1".to_owned(),
        tagged_addresses: BTreeMap::new(),
        meta: BTreeMap::from([
            ("rack".to_owned(), (*rack).to_owned()),
            ("user".to_owned(), "mallory".to_owned()),
        ]),
    };
    let check = |(name, ..): &(&str, &str, &str)| Check {
        node: (*name).to_owned(),
        check_id: "serfHealth".to_owned(),
        status: Status::Passing,
        service_name: String::new(),
    };
    Catalog {
        nodes: nodes.iter().map(node).collect(),
        checks: nodes.iter().map(check).collect(),
        ..Catalog::default()
    }
}

fn loaded(catalog: Catalog, arguments: &[&str]) -> (Inventory, String) {
    let texts = [("site/hosts", SEEDS), ("site/consul.yml", MAPPING)];
    let texts = texts.map(|(path, text)| (PathBuf::from(path), text.to_owned()));
    let origin = "consul://10.0.0.1:8500".to_owned();
    let answered = Answered { origin, catalog, warnings: Vec::new() };
    let files = MapFiles::new(BTreeMap::from(texts)).with_consul(answered);
    let mut sources = Sources::default();
    let arguments: Vec<Source> =
        arguments.iter().map(|argument| Source::of_argument(argument, &files)).collect();
    let read = load(&arguments, &files, &mut sources);
    let told = render_all(&read.diagnostics, &sources, Style::Plain);
    (read.inventory, told)
}

fn listing(inventory: &Inventory) -> Value {
    let all: BTreeSet<Arc<str>> = inventory.hosts().map(|host| Arc::clone(&host.name)).collect();
    inventory.listing(&all, &Mapping::default(), &|text| text.to_owned())
}

#[test]
fn static_sources_know_better_whatever_the_order() {
    let nodes =
        [("worker1", "10.0.1.1", "b"), ("zk1", "203.0.113.9", "evil"), ("zk3", "10.0.0.3", "c")];
    for arguments in [["site", "site/consul.yml"], ["site/consul.yml", "site/hosts"]] {
        let (inventory, told) = loaded(catalog(&nodes), &arguments);
        let data = |text: &str| json!({"__ansible_unsafe": text});
        let list = listing(&inventory);
        assert_eq!(
            list["_meta"]["hostvars"]["zk1"],
            json!({
                "ansible_host": "10.0.0.1", "rack": "static", "dc": data("dc1"),
            })
        );
        assert_eq!(
            list["_meta"]["hostvars"]["zk3"],
            json!({
                "ansible_host": data("10.0.0.3"), "ansible_user": data("mallory"),
                "rack": data("c"), "dc": data("dc1"),
            })
        );
        assert_eq!(list["consul_servers"]["hosts"], json!(["zk1", "zk2"]));
        assert_eq!(list["zookeeper"]["hosts"], json!(["zk1", "zk3"]));
        assert_eq!(list["workers"]["hosts"], json!(["worker1"]));
        assert_eq!(told, "");
    }
}

#[test]
fn a_node_with_the_name_of_a_group_takes_over_no_pattern() {
    let nodes = [("zookeeper", "203.0.113.9", "x"), ("workers", "203.0.113.8", "x")];
    let (inventory, told) = loaded(catalog(&nodes), &["site/consul.yml", "site/hosts"]);
    let names: Vec<&str> = inventory.hosts().map(|host| &*host.name).collect();
    assert_eq!(names, ["zk1", "zk2"]);
    assert!(told.contains("node `zookeeper` is left out"), "{told}");
    assert!(told.contains("a group of the inventory has this name"), "{told}");
}

#[test]
fn keys_add_variables_to_groups_and_hosts_that_there_are() {
    let mut catalog = catalog(&[("worker1", "10.0.1.1", "b")]);
    let key = |key: &str, value: &str| KvPair {
        key: format!("provision/{key}"),
        value: value.into(),
        modify_index: 1,
        session: None,
    };
    catalog.keys = vec![
        key("group_vars/workers", "heap: 512\nrack: z\n"),
        key("group_vars/absent", "heap: 1"),
        key("host_vars/zk1", "rack: kv\nlevel: '{{ 7 }}'\n"),
    ];
    let (inventory, told) = loaded(catalog, &["site"]);
    let list = listing(&inventory);
    assert_eq!(list["_meta"]["hostvars"]["worker1"]["heap"], 512);
    assert_eq!(list["_meta"]["hostvars"]["worker1"]["rack"], json!({"__ansible_unsafe": "b"}));
    assert_eq!(list["_meta"]["hostvars"]["zk1"]["rack"], "static");
    assert_eq!(list["_meta"]["hostvars"]["zk1"]["level"], json!({"__ansible_unsafe": "{{ 7 }}"}));
    assert!(told.contains("variables of group `absent`, which there is not"), "{told}");
}

#[test]
fn an_argument_may_be_a_consul() {
    let (inventory, told) =
        loaded(catalog(&[("worker1", "10.0.1.1", "b")]), &["consul://10.0.0.1:8500,10.0.0.2:8500"]);
    let list = listing(&inventory);
    assert_eq!(list["dc_dc1"]["hosts"], json!(["worker1"]), "{told}");
    assert_eq!(
        list["_meta"]["hostvars"]["worker1"]["consul_meta"]["rack"],
        json!({"__ansible_unsafe": "b"})
    );
    assert!(Source::is_consul("consul+https://a"));
    assert!(!Source::is_consul("consul.yml"));
}

#[test]
fn without_somebody_who_can_ask_it_is_an_error() {
    let files = MapFiles::new(BTreeMap::from([(PathBuf::from("consul.yml"), MAPPING.to_owned())]));
    let mut sources = Sources::default();
    let read = load(&[Source::Path("consul.yml".into())], &files, &mut sources);
    assert!(read.diagnostics[0].is_error());
    assert_eq!(read.diagnostics[0].message, "there is no Consul in memory");
}
