//! What becomes of catalogs, above all of those in which somebody lies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;

use consul::{Check, KvPair, Node, Service, ServiceEntry, Status};
use diagnostics::{Sources, Style, render_all};
use proptest::prelude::*;
use provision_discovery::{Catalog, Discovered, read_mapping, resolve};

const ORIGIN: &str = "consul://10.0.0.1:8500";

const MAPPING: &str = "\
plugin: consul
variables:
  ansible_host: [address.wan, address]
  rack: meta.rack
  web_port: service.web.port
  version: service.web.meta.version
  services: services
groups:
  zookeeper: {require: {names: 'zk?'}}
  workers: {require: {addresses: 10.0.1.0/24, meta: {role: [worker, agent]}}}
keyed_groups:
  - {key: meta.env, prefix: env, require: {addresses: 10.0.0.0/16}}
  - {key: tag, prefix: tag, require: {names: 'worker*'}}
  - {key: datacenter, prefix: dc}
kv: {prefix: provision, allow: [ansible_user]}
";

fn node(name: &str, address: &str, meta: &[(&str, &str)]) -> Node {
    Node {
        name: name.to_owned(),
        address: address.to_owned(),
        datacenter: "dc-1".to_owned(),
        tagged_addresses: BTreeMap::new(),
        meta: meta.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

fn serf(node: &str, status: Status) -> Check {
    Check {
        node: node.to_owned(),
        check_id: "serfHealth".to_owned(),
        status,
        service_name: String::new(),
    }
}

fn key(key: &str, value: &str) -> KvPair {
    KvPair { key: key.into(), value: value.into(), modify_index: 1, session: None }
}

/// Living nodes, each with a service `web`.
fn catalog(nodes: Vec<Node>) -> Catalog {
    let checks = nodes.iter().map(|node| serf(&node.name, Status::Passing)).collect();
    let entry = |node: &Node| ServiceEntry {
        node: node.clone(),
        service: Service {
            name: "web".into(),
            id: "web".into(),
            tags: vec!["v1".into()],
            meta: BTreeMap::from([("version".to_owned(), "3.1".to_owned())]),
            address: String::new(),
            port: 80,
        },
        checks: Vec::new(),
    };
    let services = BTreeMap::from([("web".to_owned(), nodes.iter().map(entry).collect())]);
    Catalog { nodes, checks, services, keys: Vec::new() }
}

fn resolved(mapping: &str, catalog: &Catalog) -> (Discovered, Sources) {
    let mut sources = Sources::default();
    let source = sources.add("consul.yml", mapping);
    let (mapping, _) = read_mapping(mapping, source).unwrap();
    let found = resolve(&mapping, ORIGIN, catalog, &mut sources);
    (found, sources)
}

/// A host, its groups and variables, each with the text that it comes from.
fn shown(found: &Discovered, sources: &Sources) -> String {
    let mut text = String::new();
    for host in &found.hosts {
        text.push_str(&format!("{}  <- {}\n", host.name, sources.text(host.span)));
        for (name, span) in &host.groups {
            text.push_str(&format!("  @{name}  <- {}\n", sources.text(*span)));
        }
        for (name, value) in host.variables.iter() {
            let json = yaml::to_json(value);
            let name_text = name.as_str().unwrap();
            text.push_str(&format!("  {name_text} = {json}  <- {}\n", sources.text(name.span)));
        }
    }
    text
}

#[test]
fn nodes_become_hosts_with_reasons() {
    let mut worker =
        node("worker1", "10.0.1.1", &[("rack", "b"), ("env", "prod-1"), ("role", "agent")]);
    worker.tagged_addresses.insert("wan".into(), "192.0.2.7".into());
    let mut catalog = catalog(vec![worker, node("zk1", "10.0.0.1", &[])]);
    let gone = node("zk2", "10.0.0.2", &[]);
    catalog.checks.push(serf("zk2", Status::Critical));
    catalog.nodes.push(gone);
    catalog.nodes.push(node("unseen", "10.0.0.3", &[]));
    let (found, sources) = resolved(MAPPING, &catalog);
    insta::assert_snapshot!(shown(&found, &sources));
    let groups: Vec<&str> = found.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(groups, ["zookeeper", "workers", "env_prod_1", "tag_web_v1", "dc_dc_1"]);
    assert!(found.diagnostics.is_empty());
}

/// The node claims whatever it can.
fn liar(name: &str, address: &str) -> Node {
    node(
        name,
        address,
        &[
            ("role", "worker"),
            ("env", "master, zookeeper"),
            ("group", "zookeeper"),
            ("groups", "zookeeper"),
            ("ansible_user", "root"),
            ("ansible_become_password", "x"),
            ("ansible_connection", "local"),
            ("rack", "{{ lookup('pipe', 'touch /tmp/owned') }}"),
        ],
    )
}

#[test]
fn a_node_that_lies_gains_nothing() {
    let (found, _) = resolved(MAPPING, &catalog(vec![liar("evil", "203.0.113.9")]));
    let host = &found.hosts[0];
    let groups: Vec<&str> = host.groups.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(groups, ["dc_dc_1"]);
    let names: Vec<&str> = host.variables.iter().filter_map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ansible_host", "rack", "services", "version", "web_port"]);
    for (_, value) in host.variables.iter() {
        assert!(value.is_unsafe());
        assert!(value.as_sequence().unwrap_or_default().iter().all(yaml::Node::is_unsafe));
    }
}

#[test]
fn names_and_addresses_that_mean_something_else_are_left_out() {
    let names = [
        "localhost",
        "LocalHost",
        "127.0.0.1",
        "all",
        "ungrouped",
        "a,b",
        "a:b",
        "!x",
        "~x",
        "x*",
        "",
        "-oProxyCommand=x",
        "a\nb",
        "../x",
        "a b",
        "::1",
    ];
    let mut nodes: Vec<Node> = names.iter().map(|name| node(name, "10.0.0.9", &[])).collect();
    nodes.push(node("good", "10.0.0.8", &[]));
    nodes.push(node("nowhere", "-oProxyCommand=touch", &[]));
    nodes.push(node("void", "", &[]));
    let (found, sources) = resolved(MAPPING, &catalog(nodes));
    let hosts: Vec<&str> = found.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["good"]);
    insta::assert_snapshot!(render_all(&found.diagnostics, &sources, Style::Plain));
}

#[test]
fn a_machine_with_two_names_is_told() {
    let nodes = vec![node("old", "10.0.0.5", &[]), node("new", "10.0.0.5", &[])];
    let (found, sources) = resolved(MAPPING, &catalog(nodes));
    insta::assert_snapshot!(render_all(&found.diagnostics, &sources, Style::Plain));
}

#[test]
fn an_empty_answer_is_none() {
    let (found, _) = resolved(MAPPING, &Catalog::default());
    assert!(found.diagnostics[0].is_error());
    assert!(found.diagnostics[0].message.contains("shows no node at all"));
    let mut down = catalog(vec![node("a", "10.0.0.5", &[])]);
    down.checks.clear();
    let (found, _) = resolved(MAPPING, &down);
    assert!(found.diagnostics[0].message.contains("none of 1 nodes"));
    let mapping = "{plugin: consul, variables: {p: service.wbe.port}}";
    let (found, _) = resolved(mapping, &catalog(vec![node("a", "10.0.0.5", &[])]));
    assert!(found.diagnostics[0].message.contains("no instance of service `wbe`"));
}

#[test]
fn keys_hold_variables_and_nothing_else() {
    let mut catalog = catalog(vec![node("zk1", "10.0.0.1", &[])]);
    catalog.keys = vec![
        key(
            "provision/group_vars/zookeeper",
            "heap: 512\nnote: '{{ secret }}'\nlist: ['{{ x }}']\n",
        ),
        key("provision/host_vars/zk1/a", "ansible_user: op\nansible_become: true\nhostvars: 1\n"),
        key("provision/host_vars/", ""),
        key("provision/other/x", "- "),
        key("elsewhere/group_vars/zookeeper", "heap: 1"),
    ];
    let (found, sources) = resolved(MAPPING, &catalog);
    let group = &found.group_variables[0];
    assert_eq!((group.entity.as_str(), group.variables.len()), ("zookeeper", 3));
    assert!(group.variables.get("note").unwrap().is_unsafe());
    assert!(group.variables.get("list").unwrap().as_sequence().unwrap()[0].is_unsafe());
    assert_eq!(
        sources.place(group.span).file,
        format!("{ORIGIN}/kv/provision/group_vars/zookeeper")
    );
    let host = &found.host_variables[0];
    let names: Vec<&str> = host.variables.iter().filter_map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ansible_user"]);
    assert_eq!(found.group_variables.len() + found.host_variables.len(), 2);
    insta::assert_snapshot!(render_all(&found.diagnostics, &sources, Style::Plain));

    for (value, expected) in
        [("[", "error"), ("- a", "expected a mapping"), ("a: !vault x", "no tags")]
    {
        catalog.keys = vec![key("provision/group_vars/zookeeper", value)];
        let (found, sources) = resolved(MAPPING, &catalog);
        let told = render_all(&found.diagnostics, &sources, Style::Plain);
        assert!(told.contains(expected) && found.diagnostics[0].is_error(), "{value}: {told}");
    }
}

proptest! {
    /// Whatever a node says of itself: no group but those whose names the mapping fixes, no variable
    /// but those that it names, nothing that isn't data.
    #[test]
    fn a_node_decides_nothing(
        name: String, address: String, meta: BTreeMap<String, String>, tag: String,
    ) {
        let meta: Vec<(&str, &str)> = meta.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut catalog = catalog(vec![node(&name, &address, &meta)]);
        catalog.services.get_mut("web").unwrap()[0].service.tags = vec![tag];
        let (found, sources) = resolved(MAPPING, &catalog);
        for host in &found.hosts {
            for (group, _) in &host.groups {
                let is_known = ["zookeeper", "workers", "dc_dc_1"].contains(&group.as_str());
                prop_assert!(is_known || group.starts_with("env_") || group.starts_with("tag_web_"));
                prop_assert!(group.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            }
            for (variable, value) in host.variables.iter() {
                let known = ["ansible_host", "rack", "web_port", "version", "services"];
                prop_assert!(known.contains(&variable.as_str().unwrap()));
                prop_assert!(value.is_unsafe());
            }
            prop_assert!(host.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        }
        let _ = render_all(&found.diagnostics, &sources, Style::Plain);
    }
}
