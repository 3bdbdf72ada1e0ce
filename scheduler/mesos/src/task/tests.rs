use std::collections::BTreeMap;

use mesos::Encoding;
use scheduler_core::app::Need;
use scheduler_core::ids::Epoch;

use super::*;
use crate::settings::Framework;

fn settings() -> Settings {
    Settings {
        framework: Framework {
            name: "corral".to_owned(),
            user: "root".to_owned(),
            role: "corral".to_owned(),
            principal: None,
            hostname: None,
            webui_url: None,
            failover_timeout_seconds: 0,
        },
        timezone: Some("Asia/Shanghai".to_owned()),
        declares_limits: true,
    }
}

fn launch(run: Run, probe: Probe) -> Launch {
    let check = Check {
        probe,
        interval: Nanoseconds::from_seconds(2),
        timeout: Nanoseconds(500_000_000),
        failures: 3,
    };
    let specification = Specification {
        label: "7".to_owned(),
        run,
        need: Need { millicores: 1500, memory_mib: 256, ports: 2 },
        environment: BTreeMap::from([
            ("A".to_owned(), "b".to_owned()),
            ("MALLOC_ARENA_MAX".to_owned(), "1".to_owned()),
        ]),
        health_grace: Some(Nanoseconds::from_seconds(30)),
        kill_grace: Nanoseconds::from_seconds(10),
        warm_up: None,
        cool_down: None,
        constraints: Vec::new(),
        check: Some(check),
        inner_ports: vec![8080],
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
        volumes: Vec::new(),
        reserves: scheduler_core::volume::Reserves::All,
    };
    Launch {
        instance: "web.3".parse().unwrap(),
        machine: "m1".parse().unwrap(),
        ports: vec![31_000, 31_001].into(),
        specification: specification.into(),
        volume: None,
        epoch: Epoch(1),
    }
}

/// As Mesos' own JSON, which people know.
fn told(launch: &Launch) -> String {
    let resources = vec![Resource::scalar("cpus", Milli(1500))];
    let task = task(launch, &AgentId::new("S1"), resources, &settings());
    String::from_utf8(Encoding::Json.encode(&task)).unwrap()
}

#[test]
fn a_container_has_its_ports_its_limits_and_its_check() {
    let run = Run::Image { image: "web:7".to_owned(), arguments: vec!["-v".to_owned()] };
    let probe = Probe::Http { path: "/health".to_owned(), port: 0 };
    let told = told(&launch(run, probe));
    for part in [
        r#""name":"web","task_id":{"value":"web.3"},"agent_id":{"value":"S1"}"#,
        r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5}}]"#,
        r#""shell":false,"arguments":["-v"]"#,
        r#"{"name":"TZ","type":"VALUE","value":"Asia/Shanghai"}"#,
        r#"{"name":"MALLOC_ARENA_MAX","type":"VALUE","value":"1"}"#,
        r#"{"name":"CORRAL_INSTANCE","type":"VALUE","value":"web.3"}"#,
        r#"{"name":"CORRAL_MEMORY_MIB","type":"VALUE","value":"256"}"#,
        r#"{"name":"PORT","type":"VALUE","value":"8080"}"#,
        r#"{"name":"PORT1","type":"VALUE","value":"31001"}"#,
        r#""type":"DOCKER""#,
        r#""image":"web:7","network":"BRIDGE""#,
        r#"{"host_port":31000,"container_port":8080,"protocol":"tcp"}"#,
        r#"{"host_port":31001,"container_port":31001,"protocol":"tcp"}"#,
        r#""delay_seconds":0.0,"interval_seconds":2.0,"timeout_seconds":0.5"#,
        r#""consecutive_failures":60,"grace_period_seconds":30.0,"type":"HTTP""#,
        r#""scheme":"http","port":8080,"path":"/health""#,
        r#""kill_policy":{"grace_period":{"nanoseconds":10000000000}}"#,
        r#"{"key":"corral.version","value":"7"}"#,
        r#""limits":{"cpus":{"value":1.5},"mem":{"value":256.0}}"#,
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn a_command_begins_with_its_own_name() {
    let run = Run::Command(vec!["/bin/sleep".to_owned(), "9".to_owned()]);
    let told = told(&launch(run, Probe::Tcp { port: 1 }));
    let command = r#""shell":false,"value":"/bin/sleep","arguments":["/bin/sleep","9"]"#;
    assert!(told.contains(command), "{told}");
    assert!(!told.contains("\"container\""), "{told}");
    assert!(told.contains(r#""tcp":{"protocol":"IPv4","port":31001}"#), "{told}");
    assert!(told.contains(r#"{"name":"PORT","type":"VALUE","value":"31000"}"#), "{told}");
}
