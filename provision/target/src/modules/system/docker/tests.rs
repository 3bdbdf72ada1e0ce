//! With a real daemon, where `docker version` finds one. Nothing is started.

use serde_json::{Value, json};

use super::super::process::Run;
use super::super::testing::context;

const PREFIX: &str = "provision-target-test";

fn has_daemon() -> bool {
    let run =
        Run::tool("docker").map(|run| run.arguments(["version", "--format", "{{.Server.Os}}"]));
    run.is_ok_and(|run| run.run(&context().context()).is_ok_and(|done| done.succeeded()))
}

/// Whether it changed something, and that a check says so beforehand and nothing afterwards.
fn call(module: &str, given: Value) -> bool {
    let check = context().checking().call_named(module, given.clone()).unwrap().changed;
    let done = context().call_named(module, given.clone()).unwrap().changed;
    assert_eq!(check, done, "{module} {given}");
    assert!(!context().checking().call_named(module, given.clone()).unwrap().changed, "{given}");
    assert!(!context().call_named(module, given.clone()).unwrap().changed, "{module} {given}");
    done
}

#[test]
fn images_containers_networks_and_volumes_come_and_go() {
    if !has_daemon() {
        return;
    }
    let image = format!("{PREFIX}:1");
    let import = Run::tool("docker").unwrap().arguments(["import", "-", &image]);
    // Two blocks of nothing are an archive without members.
    import.input(vec![0; 1024]).succeed(&context().context()).unwrap();
    let tagged = json!({"name": PREFIX, "tag": "1", "source": "local",
        "repository": format!("{PREFIX}:2")});
    assert!(call("docker_image", tagged));
    assert!(call(
        "docker_network",
        json!({"name": PREFIX, "internal": true, "labels": {"a": "b"},
        "ipam_config": [{"subnet": "10.213.7.0/24"}]})
    ));
    assert!(call("docker_network", json!({"name": PREFIX, "internal": false})));
    assert!(call("docker_volume", json!({"name": PREFIX, "labels": {"a": "b"}})));
    let container = |more: Value| {
        let mut given = json!({"name": PREFIX, "image": image, "state": "present",
            "command": "/bin/true one", "env": {"A": "1"}, "memory": "64M", "cpus": 0.5,
            "volumes": [format!("{PREFIX}:/data")], "published_ports": ["127.0.0.1:18080:80"],
            "restart_policy": "on-failure", "restart_retries": 2, "capabilities": ["NET_ADMIN"],
            "etc_hosts": {"other": "10.0.0.1"}, "labels": {"x": "y"}, "hostname": "h",
            "networks": [{"name": PREFIX, "aliases": ["web"]}], "exposed_ports": ["90"]});
        given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        given
    };
    assert!(call("docker_container", container(json!({}))));
    assert!(!call("docker_container", container(json!({"env": {}}))));
    for other in [
        json!({"env": {"A": "2"}}),
        json!({"command": ["/bin/true", "two"], "env": {"A": "2"}}),
        json!({"image": format!("{PREFIX}:2"), "entrypoint": ["/bin/sh", "-c"]}),
    ] {
        assert!(call("docker_container", container(other)));
    }
    assert!(call("docker_container", json!({"name": PREFIX, "state": "absent"})));
    assert!(call("docker_network", json!({"name": PREFIX, "state": "absent"})));
    assert!(call("docker_volume", json!({"name": PREFIX, "state": "absent"})));
    for tag in ["1", "2"] {
        assert!(call("docker_image", json!({"name": PREFIX, "tag": tag, "state": "absent"})));
    }
}
