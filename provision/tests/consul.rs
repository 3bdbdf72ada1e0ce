//! Inventories from Consul, as the program shows and uses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../common/consul/client/tests/fake/mod.rs"]
mod fake;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use fake::{Asked, Fake, Reply, closed};
use serde_json::{Value, json};

/// A folder with a mapping for a Consul.
struct Site(tempfile::TempDir);

impl Site {
    fn new(mapping: &str, addresses: &[String]) -> Self {
        let site = Site(tempfile::tempdir().unwrap());
        site.point(mapping, addresses);
        site
    }

    fn point(&self, mapping: &str, addresses: &[String]) {
        let text = format!("plugin: consul\naddresses: {addresses:?}\n{mapping}");
        std::fs::write(self.path("consul.yml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn provision(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        for name in ["CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE"] {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .output()
            .unwrap()
    }

    fn list(&self) -> Output {
        self.provision(&["inventory", "-i", "consul.yml", "--list"])
    }

    /// The only snapshot.
    fn snapshot(&self) -> PathBuf {
        let folder = self.path("state/provision/inventories");
        let mut entries = std::fs::read_dir(folder).unwrap();
        entries.next().unwrap().unwrap().path()
    }

    fn age_snapshot(&self, seconds: u64) {
        let path = self.snapshot();
        let mut snapshot: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let taken = snapshot["taken_at_s"].as_u64().unwrap();
        snapshot["taken_at_s"] = json!(taken - seconds);
        std::fs::write(path, snapshot.to_string()).unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn listed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn node(name: &str, address: &str, meta: &Value) -> Value {
    json!({"Node": name, "Address": address, "Datacenter": "dc1", "Meta": meta})
}

fn serf(name: &str) -> Value {
    json!({"Node": name, "CheckID": "serfHealth", "Status": "passing", "ServiceName": ""})
}

/// A Consul with so many workers, two of whose services are of interest.
fn cluster(workers: usize) -> impl Fn(&str) -> Reply + Send + Sync + 'static {
    let names: Vec<String> = (0..workers).map(|number| format!("worker{number:04}")).collect();
    let address = |number: usize| format!("10.1.{}.{}", number / 250, number % 250 + 1);
    let rack = |number: usize| json!({"rack": format!("r{}", number % 20)});
    let node = move |(number, name): (usize, &String)| node(name, &address(number), &rack(number));
    let nodes: Vec<Value> = names.iter().enumerate().map(node).collect();
    let checks: Vec<Value> = names.iter().map(|name| serf(name)).collect();
    let entry = |node: &Value, service: &str| json!({"Node": node, "Service": {"ID": service, "Service": service, "Port": 80}, "Checks": []});
    let of = |service: &str| nodes.iter().map(|node| entry(node, service)).collect::<Vec<_>>();
    let (web, docker) = (json!(of("web")).to_string(), json!(of("docker")).to_string());
    let (nodes, checks) = (json!(nodes).to_string(), json!(checks).to_string());
    move |target| match target.split('?').next().unwrap() {
        "/v1/catalog/nodes" => Reply::ok(nodes.clone()),
        "/v1/health/state/any" => Reply::ok(checks.clone()),
        "/v1/catalog/services" => Reply::ok(r#"{"web": [], "docker": ["x"], "consul": []}"#),
        "/v1/health/service/web" => Reply::ok(web.clone()),
        "/v1/health/service/docker" => Reply::ok(docker.clone()),
        "/v1/health/service/consul" => Reply::ok("[]"),
        _ => Reply::status(404, ""),
    }
}

const MAPPING: &str = "\
variables: {ansible_host: address, rack: meta.rack, port: service.web.port}
groups: {workers: {require: {names: 'worker*', services: docker}}}
keyed_groups: [{key: meta.rack, prefix: rack, require: {addresses: 10.1.0.0/16}}]
kv: {prefix: provision}
";

#[test]
fn a_thousand_nodes_take_as_many_requests_as_one() {
    for workers in [1, 1000] {
        let consul = Fake::new(cluster(workers));
        let site = Site::new(MAPPING, &[consul.url()]);
        let output = site.list();
        let list = listed(&output);
        assert_eq!(list["workers"]["hosts"].as_array().unwrap().len(), workers);
        let last = format!("worker{:04}", workers - 1);
        assert_eq!(list["_meta"]["hostvars"][&last]["port"], 80);
        let mut asked: Vec<String> = consul.asked().into_iter().map(|one| one.target).collect();
        asked.sort();
        let expected = [
            "/v1/catalog/nodes",
            "/v1/health/service/docker",
            "/v1/health/service/web",
            "/v1/health/state/any",
            "/v1/kv/provision/?recurse=true",
        ];
        assert_eq!(asked, expected);
        // The built-in mapping asks for every service once.
        let url = format!("consul://{}", consul.address);
        let list = listed(&site.provision(&["inventory", "-i", &url, "--list"]));
        assert_eq!(list["service_web"]["hosts"].as_array().unwrap().len(), workers);
        assert_eq!(consul.asked().len(), 6);
    }
}

#[test]
fn every_command_takes_it_and_static_sources_join() {
    let consul = Fake::new(cluster(3));
    let site = Site::new(MAPPING, &[consul.url()]);
    std::fs::write(site.path("hosts"), "[consul_servers]\nzk1 ansible_host=10.0.0.1\n").unwrap();
    std::fs::write(site.path("play.yml"), "- hosts: workers:consul_servers\n  tasks: []\n")
        .unwrap();
    let arguments = ["apply", "play.yml", "-i", "hosts", "-i", "consul.yml", "--list-hosts"];
    let output = site.provision(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("hosts (4):\n    worker0000\n    worker0001\n    worker0002\n    zk1"),
        "{text}"
    );
    let output = site.provision(&["run", "wokers", "-i", "consul.yml", "--", "true"]);
    assert!(said(&output).contains("did you mean `workers`?"), "{}", said(&output));
}

#[test]
fn each_fact_has_a_place() {
    let consul = Fake::new(cluster(2));
    let site = Site::new(MAPPING, &[consul.url()]);
    let origin = format!("consul://{}", consul.address);
    let arguments = ["inventory", "-i", "consul.yml", "--vars", "worker0001"];
    let text = String::from_utf8(site.provision(&arguments).stdout).unwrap();
    let text = text.replace(&origin, "consul://X");
    let expected = "\
worker0001  consul://X: node worker0001 address 10.1.0.2 datacenter dc1
groups: rack_r1, workers

ansible_host: \"10.1.0.2\"
  consul://X: node worker0001 address 10.1.0.2 datacenter dc1 (worker0001)

port: 80
  consul://X: node worker0001 service web (worker0001)

rack: \"r1\"
  consul://X: node worker0001 meta rack r1 (worker0001)
";
    assert_eq!(text, expected);
    let graph = site.provision(&["inventory", "-i", "consul.yml", "--graph"]);
    let text = String::from_utf8(graph.stdout).unwrap().replace(&origin, "consul://X");
    let expected = "\
@all:
  |--@ungrouped:
  |--@workers:                          consul.yml:4
  |  |--worker0000                      consul.yml:4
  |  |--worker0001                      consul.yml:4
  |--@rack_r0:                          consul.yml:5
  |  |--worker0000                      consul://X: node worker0000 meta rack r0
  |--@rack_r1:                          consul.yml:5
  |  |--worker0001                      consul://X: node worker0001 meta rack r1
";
    assert_eq!(text, expected);
}

#[test]
fn what_is_no_answer_is_refused_with_its_reason() {
    let filtered = Reply {
        headers: vec![("X-Consul-Results-Filtered-By-ACLs", "true".into())],
        ..Reply::ok("[]")
    };
    let old = Reply { headers: vec![("X-Consul-LastContact", "60000".into())], ..Reply::ok("[]") };
    let slow = Reply { delay: Duration::from_secs(2), ..Reply::ok("[]") };
    let cut = Reply { cut: Some(4), ..Reply::ok(r#"[{"Node":"a","Address":"b"}]"#) };
    let table = [
        (
            Reply::status(403, "Permission denied"),
            3,
            "hint: give a token (CONSUL_HTTP_TOKEN) whose policy has: node_prefix",
        ),
        (filtered, 3, "Consul left out what the token is not allowed to see"),
        (Reply::ok("[]"), 3, "shows no node at all"),
        (Reply::ok(r#"[{"Node":"a"}]"#), 5, "missing field `Address`"),
        (cut, 5, "failed to ask Consul"),
        (slow, 5, "no answer in time"),
        (Reply::status(500, "No cluster leader"), 5, "the servers have no leader"),
        (Reply::status(429, ""), 5, "limits the rate"),
        (old, 5, "heard from a leader 60000 ms ago, 5000 ms are allowed"),
    ];
    for (reply, exit, expected) in table {
        let consul = Fake::new(move |_| reply.clone());
        let mapping = format!("consistency: stale\nmax_age: 5s\ntimeout: 500ms\n{MAPPING}");
        let site = Site::new(&mapping, &[consul.url()]);
        let output = site.list();
        let text = said(&output);
        assert!(text.replace("= hint", "hint").contains(expected), "{expected}: {text}");
        assert_eq!(output.status.code(), Some(exit), "{text}");
        assert!(!site.path("state/provision/inventories").exists(), "{expected}");
    }
    let address = closed();
    let site = Site::new(MAPPING, &[format!("http://{address}")]);
    let output = site.list();
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output).contains("no earlier answer of it is kept on this machine"));
}

#[test]
fn the_last_answer_bridges_an_outage_and_says_how_old_it_is() {
    let consul = Fake::new(cluster(3));
    let site = Site::new(MAPPING, &[consul.url()]);
    let before = listed(&site.list());
    consul.change(|_| Reply::status(500, "No cluster leader"));
    site.age_snapshot(600);
    let output = site.list();
    assert_eq!(listed(&output), before);
    let text = said(&output);
    assert!(text.contains("IS AWAY: the hosts are those that it had 10 minutes ago"), "{text}");

    // Old enough to be looked at, too old to change hosts by.
    let run = ["run", "workers", "-i", "consul.yml", "--", "true"];
    site.age_snapshot(7_200);
    assert!(said(&site.list()).contains("that it had 2 hours ago"));
    let output = site.provision(&run);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(text.contains("is away, and what it said 2 hours ago is too old"), "{text}");
    assert!(text.contains("--inventory-snapshot-ok"), "{text}");
    let mut anyway = run.to_vec();
    anyway.insert(2, "--inventory-snapshot-ok");
    assert_ne!(site.provision(&anyway).status.code(), Some(6));

    // Whoever is refused is not told what somebody else was told.
    consul.change(|_| Reply::status(403, ""));
    assert_eq!(site.list().status.code(), Some(3));

    // A damaged one is none.
    consul.change(|_| Reply::status(429, ""));
    let text = std::fs::read_to_string(site.snapshot()).unwrap();
    std::fs::write(site.snapshot(), text.replace("10.1.0.1", "10.9.9.9")).unwrap();
    let output = site.list();
    assert_eq!(output.status.code(), Some(5));
    assert!(said(&output).contains("its digest is wrong"), "{}", said(&output));
}

#[test]
fn a_node_that_lies_gains_nothing() {
    let meta = json!({
        "groups": "zookeeper", "ansible_user": "root", "ansible_become_password": "x",
        "rack": "{{ lookup('pipe', 'touch owned') }}", "ansible_host": "10.0.0.1",
    });
    let nodes = json!([
        node("evil", "203.0.113.9", &meta),
        node("workers", "203.0.113.8", &json!({})),
        node("localhost", "203.0.113.7", &json!({})),
    ])
    .to_string();
    let checks = json!([serf("evil"), serf("workers"), serf("localhost")]).to_string();
    let consul = Fake::new(move |target| match target {
        "/v1/catalog/nodes" => Reply::ok(nodes.clone()),
        "/v1/health/state/any" => Reply::ok(checks.clone()),
        "/v1/kv/provision/?recurse=true" => Reply::status(404, ""),
        _ => Reply::ok("[]"),
    });
    let site = Site::new(MAPPING, &[consul.url()]);
    let output = site.list();
    let expected = json!({
        "_meta": {"hostvars": {"evil": {
            "ansible_host": {"__ansible_unsafe": "203.0.113.9"},
            "rack": {"__ansible_unsafe": "{{ lookup('pipe', 'touch owned') }}"},
        }}},
        "all": {"children": ["ungrouped", "workers"]},
        "ungrouped": {"hosts": ["evil"]},
    });
    assert_eq!(listed(&output), expected);
    assert!(said(&output).contains("its name means this machine"), "{}", said(&output));
    let exported = site.provision(&["inventory", "-i", "consul.yml", "--export", "out.ini"]);
    assert_eq!(exported.status.code(), Some(3));
    assert!(said(&exported).contains("it is data that looks like a template"));
    assert!(
        site.provision(&["inventory", "-i", "consul.yml", "--export", "out.yml"]).status.success()
    );
    let again = site.provision(&["inventory", "-i", "out.yml", "--list"]);
    assert_eq!(listed(&again)["_meta"], listed(&output)["_meta"]);
    assert!(!Path::new("owned").exists() && !site.path("owned").exists());
}

#[test]
fn the_token_comes_from_a_file_and_is_never_shown() {
    let consul = Fake::new(cluster(1));
    let mapping = format!("token_file: token\n{MAPPING}");
    let site = Site::new(&mapping, &[consul.url()]);
    std::fs::write(site.path("token"), "s3cr3t-t0ken\n").unwrap();
    let output = site.list();
    assert!(output.status.success(), "{}", said(&output));
    let token = Some("s3cr3t-t0ken".to_owned());
    assert!(consul.asked().iter().all(|asked: &Asked| asked.token == token));
    consul.change(|_| Reply::status(403, "s3cr3t"));
    let output = site.list();
    assert!(!said(&output).contains("t0ken"));
}

/// Two datacenters with three nodes; `shared` is in both. Each has keys of its own.
fn datacenters(target: &str) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let datacenter = match query {
        query if query.contains("dc=east") => "east",
        query if query.contains("dc=west") => "west",
        _ => return Reply::status(500, "No path to datacenter"),
    };
    let names = [format!("{datacenter}1"), "shared".to_owned()];
    let node = |name: &String| {
        json!({"Node": name, "Address": format!("10.{}.0.1", datacenter.len() + name.len()),
               "Datacenter": datacenter, "Meta": {"rack": datacenter}})
    };
    match path {
        "/v1/catalog/nodes" => {
            Reply::ok(json!(names.iter().map(node).collect::<Vec<_>>()).to_string())
        }
        "/v1/health/state/any" => {
            Reply::ok(json!(names.iter().map(|name| serf(name)).collect::<Vec<_>>()).to_string())
        }
        "/v1/catalog/services" => Reply::ok("{}"),
        "/v1/kv/provision/" => {
            let value = match datacenter {
                "east" => "aGVhcDogMQ==",
                _ => "aGVhcDogMg==",
            };
            let key =
                json!([{"Key": "provision/group_vars/all", "Value": value, "ModifyIndex": 1}]);
            Reply::ok(key.to_string())
        }
        _ => Reply::status(404, ""),
    }
}

#[test]
fn several_datacenters_are_one_inventory() {
    let consul = Fake::new(datacenters);
    let mapping = "\
datacenters: [east, west]
variables: {ansible_host: address, rack: meta.rack}
keyed_groups: [{key: datacenter, prefix: dc}]
kv: {prefix: provision}
";
    let site = Site::new(mapping, &[consul.url()]);
    let output = site.list();
    let list = listed(&output);
    assert_eq!(list["dc_east"]["hosts"], json!(["east1", "shared"]));
    assert_eq!(list["dc_west"]["hosts"], json!(["west1"]));
    let of_shared = &list["_meta"]["hostvars"]["shared"];
    assert_eq!(of_shared["rack"], json!({"__ansible_unsafe": "east"}));
    // Each datacenter has its own keys; those of the first count.
    assert_eq!(of_shared["heap"], 1);
    let said = said(&output);
    assert!(said.contains("node `shared` is left out"), "{said}");
    let mut asked: Vec<String> = consul.asked().into_iter().map(|one| one.target).collect();
    asked.sort();
    let expected = [
        "/v1/catalog/nodes?dc=east",
        "/v1/catalog/nodes?dc=west",
        "/v1/health/state/any?dc=east",
        "/v1/health/state/any?dc=west",
        "/v1/kv/provision/?recurse=true&dc=east",
    ];
    assert_eq!(asked, expected);
    let url = format!("consul://{}/west,east", consul.address);
    let list = listed(&site.provision(&["inventory", "-i", &url, "--list"]));
    assert_eq!(list["dc_west"]["hosts"], json!(["shared", "west1"]));
}

#[test]
fn a_datacenter_that_is_away_is_no_empty_one() {
    let consul = Fake::new(datacenters);
    let site = Site::new("datacenters: [east, north]\n", &[consul.url()]);
    let output = site.list();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("/north: failed to read the nodes"), "{}", said(&output));
}
