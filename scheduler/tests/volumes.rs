//! Volumes on one machine: kept by upgrades, by the end of instances, daemons and apps, and destroyed
//! when a user says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod daemon;

use std::fs;
use std::path::PathBuf;

use daemon::{Daemon, until};
use serde_json::Value;

/// Each start of an instance leaves a line in its volume.
fn write_app(daemon: &Daemon, version: &str, instances: u32) -> String {
    let text = format!(
        "app: store\nversion: \"{version}\"\ninstances: {instances}\n\
         shell: 'echo $CORRAL_VERSION >> var/lib/app/log; \
         test -f $CORRAL_VOLUME_DATA/log && exec sleep 1000'\n\
         needs: {{cores: 0.01, ports: 1}}\nkill_grace: 1s\nwarm_up: 0s\ncool_down: 0s\n\
         volumes: [{{name: data, path: /var/lib/app, size_mb: 10}}]\n"
    );
    fs::write(daemon.path("app.yml"), text).unwrap();
    "app.yml".to_owned()
}

fn rows(daemon: &Daemon) -> Vec<Value> {
    daemon.json("/v1/volumes").as_array().unwrap().clone()
}

fn column(daemon: &Daemon, name: &str) -> Vec<String> {
    rows(daemon).iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
}

fn log_of(daemon: &Daemon, row: &Value) -> PathBuf {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    daemon.data().join("volumes").join(text("machine")).join(text("volume")).join("data/log")
}

#[test]
fn what_instances_keep_is_there_for_the_next_ones() {
    let mut daemon = Daemon::start(27_000, 2);
    daemon.done(&["app", "deploy", &write_app(&daemon, "1", 2)]);
    until("both have written", || logs_are(&daemon, "1\n"));
    let volumes = column(&daemon, "volume");
    assert_eq!(volumes.len(), 2);
    let ports = |daemon: &Daemon| -> Vec<Value> {
        rows(daemon).iter().map(|row| row["reserved_ports"].clone()).collect()
    };
    let own = ports(&daemon);
    assert!(own.iter().all(|ports| ports.as_array().unwrap().len() == 1), "{own:?}");
    daemon.done(&["app", "deploy", &write_app(&daemon, "2", 2)]);
    until("both have written again", || logs_are(&daemon, "1\n2\n"));
    assert_eq!((column(&daemon, "volume"), ports(&daemon)), (volumes.clone(), own.clone()));

    let told = daemon.done(&["events"]);
    for volume in &volumes {
        let used = told.lines().filter(|line| line.contains("  volume ") && line.contains(volume));
        assert!(used.count() >= 2, "used by one, kept or used by the next: {told}");
    }
    let instance = column(&daemon, "instance").remove(0);
    let told = daemon.done(&["instance", "kill", &instance]);
    let machine = column(&daemon, "machine").remove(0);
    let expected = format!(
        "{instance} ends; the next one starts on {machine} with its volume {}\n",
        volumes[0]
    );
    assert_eq!(told, expected);
    until("another one has it", || {
        let user = column(&daemon, "instance").remove(0);
        user != instance && column(&daemon, "state") == ["used", "used"]
    });
    assert_eq!(ports(&daemon), own);
    let instance = column(&daemon, "instance").remove(0);
    let refused = daemon.client(&["volume", "delete", &volumes[0]]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains(&format!("is used by `{instance}`")), "{told}");

    daemon.done(&["app", "scale", "store", "1", "--keep-volumes"]);
    until("one is kept", || column(&daemon, "state").contains(&"kept".to_owned()));
    daemon.kill();
    daemon.run();
    until("it still is", || column(&daemon, "state").contains(&"kept".to_owned()));
    daemon.done(&["app", "scale", "store", "2"]);
    until("it is used again", || column(&daemon, "state") == ["used", "used"]);
    assert_eq!(column(&daemon, "volume"), volumes);

    daemon.done(&["app", "delete", "store", "--keep-volumes"]);
    assert_eq!(column(&daemon, "state"), ["kept", "kept"]);
    let list = daemon.done(&["volume", "list"]);
    assert!(list.contains("kept") && list.contains(&volumes[1]), "{list}");
    daemon.done(&["app", "deploy", &write_app(&daemon, "3", 1)]);
    until("it has one of them", || {
        let mut states = column(&daemon, "state");
        states.sort();
        states == ["kept", "used"]
    });
    let all = rows(&daemon);
    let kept = all.iter().find(|row| row["state"] == "kept").unwrap();
    let file = log_of(&daemon, kept);
    assert!(file.is_file());
    daemon.done(&["volume", "delete", kept["volume"].as_str().unwrap()]);
    until("it is destroyed", || rows(&daemon).len() == 1 && !file.exists());
    daemon.done(&["app", "delete", "store"]);
    until("nothing is left", || rows(&daemon).is_empty());
}

/// Sets are records: a snapshot has them, and with it they are known again, used or kept, although
/// they were given up since.
#[test]
fn a_snapshot_has_them() {
    let mut daemon = Daemon::start(27_400, 1);
    daemon.done(&["app", "deploy", &write_app(&daemon, "1", 2)]);
    until("both have written", || logs_are(&daemon, "1\n"));
    daemon.done(&["app", "scale", "store", "1", "--keep-volumes"]);
    until("one is kept", || column(&daemon, "state").contains(&"kept".to_owned()));
    let before = rows(&daemon);
    daemon.done(&["snapshot", "save", "snap"]);
    let kept = before.iter().find(|row| row["state"] == "kept").unwrap();
    let kept = kept["volume"].as_str().unwrap();
    daemon.done(&["app", "scale", "store", "2"]);
    until("both are used", || column(&daemon, "state") == ["used", "used"]);
    assert_eq!(daemon.interrupt(), Some(0));
    daemon.done(&["snapshot", "restore", "snap", "--yes"]);
    daemon.run();
    until("as it was", || {
        let names = |rows: &[Value]| -> Vec<(Value, Value)> {
            rows.iter().map(|row| (row["volume"].clone(), row["state"].clone())).collect()
        };
        names(&rows(&daemon)) == names(&before)
    });
    daemon.done(&["app", "scale", "store", "2"]);
    until("the kept one is used again", || column(&daemon, "state") == ["used", "used"]);
    assert!(column(&daemon, "volume").contains(&kept.to_owned()));
    daemon.done(&["app", "delete", "store"]);
    until("nothing is left", || rows(&daemon).is_empty());
}

fn logs_are(daemon: &Daemon, begin: &str) -> bool {
    let all = rows(daemon);
    let has = |row: &Value| {
        fs::read_to_string(log_of(daemon, row)).is_ok_and(|text| text.starts_with(begin))
    };
    !all.is_empty() && all.iter().all(has)
}
