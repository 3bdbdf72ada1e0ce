//! Answers of Consul never panic; whatever nodes say of themselves, it stays data, joins only the
//! groups that the mapping names, and what is read is the same when it is written and read again.
#![no_main]

use std::collections::BTreeMap;

use consul::{Answer, Check, Consistency, Head, KvPair, Node, RawAnswer, ServiceEntry, Subject, decode};
use diagnostics::{Sources, Style, render_all};
use libfuzzer_sys::fuzz_target;
use provision_discovery::{Catalog, read_mapping, resolve};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAPPING: &str = "\
plugin: consul
nodes: {health: any}
variables: {ansible_host: address, all_meta: meta, services: services, port: service.web.port}
groups: {fixed: {require: {names: '*'}}}
keyed_groups:
  - {key: meta.env, prefix: env, require: {names: '*'}}
  - {key: tag, prefix: tag, require: {names: '*'}}
kv: {prefix: p}
";

/// A list, if it is one; written and read again it is the same.
fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    subject: &Subject,
    body: &[u8],
) -> Vec<T> {
    let read = |body: &[u8]| {
        let raw = RawAnswer { status: 200, head: Head::default(), body: body.to_vec() };
        decode(subject, Consistency::Default, &raw).map(|answer: Answer<Vec<T>>| answer.value)
    };
    let Ok(values) = read(body) else { return Vec::new() };
    let again = read(&serde_json::to_vec(&values).unwrap()).unwrap();
    assert_eq!(again, values);
    values
}

fuzz_target!(|text: &[u8]| {
    // Four lists, a line each.
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let nodes: Vec<Node> = read(&Subject::Nodes, line());
    let checks: Vec<Check> = read(&Subject::Checks, line());
    let entries: Vec<ServiceEntry> = read(&Subject::Service("web".to_owned()), line());
    let keys: Vec<KvPair> = read(&Subject::Keys("p/".to_owned()), line());
    let services = BTreeMap::from([("web".to_owned(), entries)]);
    let catalog = Catalog { nodes, checks, services, keys };

    let mut sources = Sources::default();
    let source = sources.add("consul.yml", MAPPING);
    let (mapping, _) = read_mapping(MAPPING, source).unwrap();
    let found = resolve(&mapping, "consul://a", &catalog, &mut sources);
    for host in &found.hosts {
        assert!(host.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        for (group, _) in &host.groups {
            assert!(group == "fixed" || group.starts_with("env_") || group.starts_with("tag_"));
            assert!(group.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        }
        assert!(host.variables.iter().all(|(_, value)| value.is_unsafe()));
    }
    for variables in found.group_variables.iter().chain(&found.host_variables) {
        for (name, value) in variables.variables.iter() {
            assert!(name.as_str().is_some_and(|name| !name.starts_with("ansible_")));
            assert!(value.is_unsafe());
        }
    }
    let _ = render_all(&found.diagnostics, &sources, Style::Plain);
});
