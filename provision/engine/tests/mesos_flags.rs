//! The files that the roles of Mesos write, rendered by our own templates: every flag in them is
//! one that Mesos has, and no secret is among them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use provision_engine::disk::Disk;
use provision_engine::evaluate::{Evaluator, ItemStep};
use provision_engine::variables::{HostVariables, Layer, View};
use provision_engine::world::{Settings, World};
use provision_playbook::files::MapFiles;
use provision_playbook::model::Item;
use provision_playbook::{LoadOptions, Loader};
use provision_template::{Dialect, Engine};

const SECRETS: [&str; 3] = ["swordfish", "opensesame", "zoo:keeper"];

const ALL_OF_MASTER: &str = "\
cluster_address: 192.0.2.1
mesos_master_advertise_ip: 198.51.100.1
mesos_master_advertise_port: 15050
mesos_master_zookeeper_login: zoo:keeper
mesos_master_credentials: [{principal: a, secret: swordfish}, {principal: b, secret: opensesame}]
mesos_master_acls: {register_frameworks: [{principals: {values: [a]}, roles: {values: [x]}}]}
mesos_master_tls_key: /etc/ssl/key.pem
mesos_master_tls_certificate: /etc/ssl/certificate.pem
mesos_master_tls_authority: /etc/ssl/authority.pem
mesos_master_tls_downgrade: true
mesos_master_options: {offer_timeout: 30secs, weights: 'a=\"2\"', max_completed_frameworks: 5}
mesos_master_environment: {GLOG_v: 1}
";

const ALL_OF_AGENT: &str = "\
cluster_address: 192.0.2.7
mesos_agent_advertise_ip: 198.51.100.7
mesos_agent_advertise_port: 15051
mesos_agent_zookeeper_login: zoo:keeper
mesos_agent_attributes: {zone: b, rack: r1, ports: '[1-10]'}
mesos_agent_resources: 'cpus:4;mem:8192;ports:[31000-32000]'
mesos_agent_reconfiguration_policy: additive
mesos_agent_isolation: [cgroups/cpu, cgroups/mem, disk/du]
mesos_agent_cgroups_limit_swap: true
mesos_agent_cgroups_enable_cfs: true
mesos_agent_credential: {principal: a, secret: swordfish}
mesos_agent_http_credentials: [{principal: b, secret: opensesame}]
mesos_agent_acls: {get_endpoints: [{principals: {values: [b]}, paths: {values: [/flags]}}]}
mesos_agent_tls_key: /etc/ssl/key.pem
mesos_agent_tls_certificate: /etc/ssl/certificate.pem
mesos_agent_tls_authority: /etc/ssl/authority.pem
mesos_agent_tls_downgrade: true
mesos_agent_options: {fetcher_cache_size: 4GB, image_providers: docker}
mesos_agent_environment: {GLOG_v: 1}
";

fn role(name: &str) -> PathBuf {
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/roles");
    roles.canonicalize().unwrap().join(name)
}

fn indented(text: &str, by: usize) -> String {
    let lines = text.lines().map(|line| format!("{}{line}\n", " ".repeat(by)));
    lines.collect()
}

/// A template of a role, with its defaults and these variables.
fn rendered(name: &str, template: &str, variables: &str) -> String {
    let defaults = fs::read_to_string(role(name).join("defaults/main.yml")).unwrap();
    let template = role(name).join("templates").join(template);
    let text = format!(
        "- hosts: all\n  vars:\n{}  tasks:\n    - vars:\n        nothing: here\n{}      debug:\n        \
         msg: \"{{{{ lookup('template', '{}') }}}}\"\n",
        indented(&defaults, 4),
        indented(variables, 8),
        template.display()
    );
    let files = BTreeMap::from([(PathBuf::from("site.yml"), text)]);
    let mut loader = Loader::new(Arc::new(MapFiles::new(files)), LoadOptions::default());
    let (playbook, found) = loader.playbook(Path::new("site.yml"));
    assert!(found.iter().all(|diagnostic| !diagnostic.is_error()), "{found:?}");
    let mut items = playbook.plays.iter().flat_map(|play| &play.items);
    let task = items.find_map(|item| match item {
        Item::Task(task) => Some(task.clone()),
        _ => None,
    });
    let task = task.unwrap();
    // As low as defaults are: below what the task says.
    let defaults = playbook.plays[0].context.directives.vars.clone().unwrap();
    let defaults = Arc::new(Layer::of_mapping(&defaults));
    let members = |of: &str| (1..4).map(|index| format!("{of}{index}")).collect::<Vec<String>>();
    let groups = [("mesos_masters", members("mm")), ("zookeeper", members("zk"))];
    let host = |name: &String| {
        let variables = HostVariables {
            name: name.clone(),
            inventory: RwLock::new(vec![defaults.clone()]),
            added: Default::default(),
            learned: Default::default(),
        };
        (name.clone(), Arc::new(variables))
    };
    let hosts = groups.iter().flat_map(|(_, members)| members.iter().map(host)).collect();
    let groups = groups.map(|(name, members)| (name.to_owned(), members));
    let world = Arc::new(World {
        engine: Engine::new(Dialect::Classic),
        files: Arc::new(Disk::new(Default::default())),
        layers: Default::default(),
        extra: Layer::default(),
        hosts: RwLock::new(hosts),
        others: Default::default(),
        inventory: Default::default(),
        groups: RwLock::new(groups.into_iter().collect()),
        additions: Mutex::default(),
        odd_conditions: Default::default(),
        warnings: Default::default(),
        loader: Default::default(),
        settings: Settings::default(),
        packages: Default::default(),
        plugins: Default::default(),
    });
    let host = world.host_or_new("mm1");
    let view = View { context: Some(task.context.clone()), ..View::of_host(&world, &host) };
    let plan = match Evaluator::new(&task, view).plan() {
        Ok(plan) => plan,
        Err(stop) => panic!("{stop:?}"),
    };
    match &plan.items[0].step {
        // Text that looks like a mapping becomes one.
        ItemStep::Local { arguments } => match &arguments["msg"] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        other => panic!("{other:?}"),
    }
}

/// Names and values of a file of systemd's form.
fn environment(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let inner = inner.unwrap_or_else(|| panic!("{line:?}"));
        (name.to_owned(), inner.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    lines.map(pair).collect()
}

fn flags_of(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(role(name).join("files/flags.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// All variables that are no flags are of libprocess, glog and the loader.
fn expect_known(name: &str, environment: &BTreeMap<String, String>) {
    let flags = flags_of(name);
    for variable in environment.keys() {
        let is_known = match variable.strip_prefix("MESOS_") {
            Some(flag) => flags.contains(flag),
            None => {
                variable == "LD_LIBRARY_PATH"
                    || variable.starts_with("GLOG_")
                    || variable.starts_with("LIBPROCESS_SSL_")
            }
        };
        assert!(is_known, "{name}: {variable}");
    }
}

#[test]
fn flags_of_a_plain_master() {
    let found = environment(&rendered("mesos_master", "environment.j2", ""));
    expect_known("mesos_master", &found);
    for (name, value) in [
        ("MESOS_zk", "zk://zk1:2181,zk2:2181,zk3:2181/mesos"),
        ("MESOS_quorum", "2"),
        ("MESOS_registry", "replicated_log"),
        ("MESOS_work_dir", "/var/lib/mesos-master"),
        ("MESOS_hostname", "mm1"),
        ("MESOS_authenticate_agents", "false"),
        ("LD_LIBRARY_PATH", "/opt/mesos-master/current/lib"),
        ("GLOG_max_log_size", "100"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    // A name is nothing to listen on, and what is empty isn't said.
    for name in ["MESOS_ip", "MESOS_credentials", "MESOS_acls", "LIBPROCESS_SSL_ENABLED"] {
        assert!(!found.contains_key(name), "{name}");
    }
}

#[test]
fn flags_of_a_master_with_everything() {
    let text = rendered("mesos_master", "environment.j2", ALL_OF_MASTER);
    let found = environment(&text);
    expect_known("mesos_master", &found);
    for (name, value) in [
        ("MESOS_ip", "192.0.2.1"),
        ("MESOS_zk", "file:///etc/mesos-master/zk"),
        ("MESOS_credentials", "file:///etc/mesos-master/credentials.json"),
        ("MESOS_acls", "file:///etc/mesos-master/acls.json"),
        ("MESOS_authenticate_frameworks", "true"),
        ("MESOS_offer_timeout", "30secs"),
        ("MESOS_weights", "a=\"2\""),
        ("LIBPROCESS_SSL_ENABLED", "1"),
        ("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "1"),
        ("GLOG_v", "1"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
    let unit = rendered("mesos_master", "mesos-master.service.j2", ALL_OF_MASTER);
    assert!(SECRETS.iter().all(|secret| !unit.contains(secret)), "{unit}");
    for file in ["credentials.json", "acls.json", "zk"] {
        assert!(unit.contains(&format!("/etc/mesos-master/{file}")), "{file}: {unit}");
    }
}

#[test]
fn secrets_of_a_master_are_in_files_of_their_own() {
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&rendered("mesos_master", name, ALL_OF_MASTER)).unwrap()
    };
    assert_eq!(read("credentials.json.j2")["credentials"][1]["secret"], "opensesame");
    assert_eq!(read("acls.json.j2")["register_frameworks"][0]["roles"]["values"][0], "x");
    let zk = rendered("mesos_master", "zk.j2", ALL_OF_MASTER);
    assert_eq!(zk.trim(), "zk://zoo:keeper@zk1:2181,zk2:2181,zk3:2181/mesos");
}

#[test]
fn flags_of_a_plain_agent() {
    let found = environment(&rendered("mesos_agent", "environment.j2", ""));
    expect_known("mesos_agent", &found);
    for (name, value) in [
        ("MESOS_master", "zk://zk1:2181,zk2:2181,zk3:2181/mesos"),
        ("MESOS_containerizers", "docker,mesos"),
        ("MESOS_docker_socket", "/var/run/docker.sock"),
        ("MESOS_recover", "reconnect"),
        ("MESOS_strict", "true"),
        ("MESOS_systemd_enable_support", "true"),
        ("MESOS_reconfiguration_policy", "equal"),
        ("MESOS_launcher_dir", "/opt/mesos-agent/current/libexec/mesos"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in ["MESOS_attributes", "MESOS_resources", "MESOS_credential"] {
        assert!(!found.contains_key(name), "{name}");
    }
}

#[test]
fn flags_of_an_agent_with_everything() {
    let text = rendered("mesos_agent", "environment.j2", ALL_OF_AGENT);
    let found = environment(&text);
    expect_known("mesos_agent", &found);
    for (name, value) in [
        ("MESOS_attributes", "ports:[1-10];rack:r1;zone:b"),
        ("MESOS_resources", "cpus:4;mem:8192;ports:[31000-32000]"),
        ("MESOS_isolation", "cgroups/cpu,cgroups/mem,disk/du"),
        ("MESOS_cgroups_limit_swap", "true"),
        ("MESOS_master", "file:///etc/mesos-agent/master"),
        ("MESOS_credential", "file:///etc/mesos-agent/credential.json"),
        ("MESOS_http_credentials", "file:///etc/mesos-agent/http_credentials.json"),
        ("MESOS_authenticate_http_readwrite", "true"),
        ("MESOS_fetcher_cache_size", "4GB"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    let unit = rendered("mesos_agent", "mesos-agent.service.j2", ALL_OF_AGENT);
    assert!(unit.contains("KillMode=control-group") && unit.contains("Delegate=yes"), "{unit}");
    let without = format!("{ALL_OF_AGENT}mesos_agent_systemd: false\n");
    let unit = rendered("mesos_agent", "mesos-agent.service.j2", &without);
    assert!(unit.contains("KillMode=process"), "{unit}");
    for text in [&text, &unit] {
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

/// Every flag that a role could write is in the list, not only those of these examples.
#[test]
fn defaults_name_known_flags_only() {
    for (name, prefix) in [("mesos_master", "mesos_master"), ("mesos_agent", "mesos_agent")] {
        let text = fs::read_to_string(role(name).join("defaults/main.yml")).unwrap();
        let flags = flags_of(name);
        let marker = format!("{prefix}_own_flags:");
        let own = text.lines().skip_while(|line| *line != marker).skip(1);
        let own: Vec<&str> = own
            .take_while(|line| line.starts_with("  "))
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| line.trim_start().split(':').next())
            .collect();
        assert!(own.len() > 10, "{own:?}");
        for flag in own {
            assert!(flags.contains(flag), "{name}: {flag}");
        }
    }
}
