//! Several schedulers on a simulated Mesos and a small Consul of this process: the leader is killed
//! before and after each durable step of a deployment and of an upgrade, and the successor finishes it.
//! Nothing is started twice, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cluster;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cluster::{Cluster, LEADER, PATIENCE, Scheduler, file, shown};
use consul_fake::{FakeConsul, Moment};
use serde_json::Value;

/// The process of whoever leads, from the name that it gave itself.
fn leading_pid(consul: &FakeConsul) -> Option<String> {
    let value: Value = serde_json::from_slice(&consul.value(LEADER)?).ok()?;
    let name = value["name"].as_str()?.to_owned();
    Some(name.rsplit_once('(')?.1.trim_end_matches(')').to_owned())
}

const INSTANCES: usize = 2;

/// Kills the leader at one of the next batches, from 1, before or after it is durable; whether it
/// has.
fn kill_at(cluster: &Cluster, batch: u32, moment: Moment) -> Arc<AtomicBool> {
    let is_killed = Arc::new(AtomicBool::new(false));
    let (consul, killed) = (Arc::downgrade(&cluster.consul), Arc::clone(&is_killed));
    let mut count = 0;
    cluster.consul.set_gate(move |keys, now| {
        let is_batch = keys.iter().any(|key| key.starts_with("corral/scheduler/log/"));
        if !is_batch || now != moment || killed.load(Ordering::SeqCst) {
            return true;
        }
        count += 1;
        let Some(consul) = consul.upgrade().filter(|_| count == batch) else { return true };
        let pid = leading_pid(&consul).unwrap();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        consul.end_holder(LEADER);
        killed.store(true, Ordering::SeqCst);
        false
    });
    is_killed
}

/// Brings a version of an app, with the leader killed at one of the batches; whether there was it.
fn brought(
    cluster: &Cluster,
    schedulers: &mut [Scheduler],
    (app, version): (&str, u32),
    (batch, moment): (u32, Moment),
) -> bool {
    let is_killed = kill_at(cluster, batch, moment);
    let file = file(cluster, app, version, INSTANCES);
    cluster.until("the call is taken", || {
        // Who asks a leader that dies asks again: another time it changes nothing.
        schedulers
            .iter()
            .any(|one| one.client(&["app", "deploy", &file, "--detach"]).status.success())
    });
    cluster.until("the version is there", || {
        let is_there = cluster.versions(app) == vec![version.to_string(); INSTANCES];
        is_there
            && shown(schedulers, app).is_some_and(|app| {
                app["summary"]["state"] == "steady"
                    && app["summary"]["version"].as_u64().is_some()
                    && app["summary"]["serving"] == INSTANCES
            })
    });
    cluster.consul.open_gate();
    // Waits for a gate that is under way.
    let is_killed = is_killed.load(Ordering::SeqCst);
    let begun = Instant::now();
    let mut ended = 0;
    while ended == 0 && is_killed && begun.elapsed() < PATIENCE {
        ended = restarted(cluster, schedulers);
        thread::sleep(Duration::from_millis(5));
    }
    ended += restarted(cluster, schedulers);
    assert_eq!(ended, u32::from(is_killed), "only who is killed ends");
    is_killed
}

/// Starts those again that have ended; how many.
fn restarted(cluster: &Cluster, schedulers: &mut [Scheduler]) -> u32 {
    let mut ended = 0;
    for (scheduler, name) in schedulers.iter_mut().zip(["a", "b"]) {
        if scheduler.process.try_wait().unwrap().is_some() {
            ended += 1;
            *scheduler = Scheduler::start(cluster, name);
        }
    }
    ended
}

/// Kills the leader at the first batch of a deployment and of an upgrade, then at the second ones of
/// the next deployment and upgrade, and so on, until neither has so many.
fn killed_at_each_batch(moment: Moment) {
    let cluster = Cluster::start();
    let mut schedulers: Vec<Scheduler> =
        ["a", "b"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    assert!(!brought(&cluster, &mut schedulers, ("web", 1), (u32::MAX, moment)));
    let (mut batch, mut kills) = (0, [0, 0]);
    loop {
        batch += 1;
        let fresh = format!("fresh-{batch}");
        let deployed = brought(&cluster, &mut schedulers, (&fresh, 1), (batch, moment));
        let upgraded = brought(&cluster, &mut schedulers, ("web", batch + 1), (batch, moment));
        kills = [kills[0] + u32::from(deployed), kills[1] + u32::from(upgraded)];
        if !deployed && !upgraded {
            break;
        }
    }
    eprintln!("{moment:?}: killed at {kills:?} batches of deployments and upgrades");
    assert!(kills[0] >= 3 && kills[1] >= 5, "there are more batches than {kills:?}");
    let machines = cluster.machines.lock().unwrap();
    let twice: BTreeSet<_> = machines.starts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let apps = usize::try_from(batch).unwrap() + 1;
    assert_eq!(machines.running.len(), apps * INSTANCES, "nothing is lost: {:?}", machines.running);
}

#[test]
fn a_leader_that_dies_before_a_batch_is_durable_has_a_successor() {
    killed_at_each_batch(Moment::Before);
}

#[test]
fn a_leader_that_dies_after_a_batch_is_durable_has_a_successor() {
    killed_at_each_batch(Moment::After);
}

#[test]
fn any_of_three_can_be_asked_and_the_next_one_leads_at_once() {
    let cluster = Cluster::start();
    let mut schedulers: Vec<Scheduler> =
        ["a", "b", "c"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    cluster.until("the others follow", || {
        let follows = |one: &&Scheduler| {
            one.get("/readyz").is_some_and(|(status, text)| {
                status == 503 && text.contains("follower: ") && text.contains(" leads at http")
            })
        };
        schedulers.iter().filter(follows).count() == 2
    });
    let file = file(&cluster, "web", 1, INSTANCES);
    let follower = schedulers.iter().find(|one| !one.leads()).unwrap();
    let told = follower.client(&["app", "deploy", &file]);
    assert!(told.status.success(), "{told:?}");
    for one in &schedulers {
        assert_eq!(one.get("/healthz").unwrap().0, 200);
        let told = one.client(&["app", "list"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.status.success() && text.contains("web"), "{told:?}");
    }
    let (status, text) = follower.get("/v1/apps?x=1").unwrap();
    assert!(status == 307 && text.contains("/v1/apps?x=1"), "{text}");

    // Who ends in peace leaves the office to the next, with all that runs.
    let place = schedulers.iter().position(Scheduler::leads).unwrap();
    let mut leader = schedulers.swap_remove(place);
    assert_eq!(leader.interrupt(), Some(0));
    let begun = Instant::now();
    cluster.until("another one leads", || schedulers.iter().any(Scheduler::leads));
    // A session that isn't given back ends after 20 seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    cluster.until("it knows what runs", || {
        shown(&schedulers, "web").is_some_and(|app| app["summary"]["serving"] == INSTANCES)
    });
    let machines = cluster.machines.lock().unwrap();
    assert_eq!((machines.starts.len(), machines.running.len()), (INSTANCES, INSTANCES));
}

/// How long it takes until another one decides: with a real Consul, whose address is in
/// `SCHEDULER_CONSUL`. Nothing is asserted of the times; they are printed.
#[test]
fn the_times_of_a_change_with_a_real_consul_if_there_is_one() {
    let Ok(url) = std::env::var("SCHEDULER_CONSUL") else { return };
    let mut cluster = Cluster::start();
    cluster.consul_url = url.clone();
    cluster.prefix = format!("corral-test/failover-{}", std::process::id());
    let mut schedulers: Vec<Scheduler> =
        ["a", "b", "c"].map(|name| Scheduler::start(&cluster, name)).into();
    cluster.until("one leads", || schedulers.iter().any(Scheduler::leads));
    // The agent may still have services of an earlier run.
    let app = format!("web-{}", std::process::id());
    for (version, is_killed) in [(1, None), (2, Some(false)), (3, Some(true))] {
        let file = file(&cluster, &app, version, 12);
        let text = format!("{}step: 1\n", fs::read_to_string(&file).unwrap());
        fs::write(&file, text).unwrap();
        let told = schedulers[0].client(&["app", "deploy", &file, "--detach"]);
        assert!(told.status.success(), "{told:?}");
        let new = || {
            let machines = cluster.machines.lock().unwrap();
            machines.running.values().filter(|one| **one == version.to_string()).count()
        };
        let Some(is_killed) = is_killed else {
            cluster.until("all run", || new() == 12);
            continue;
        };
        cluster.until("the upgrade is under way", || new() >= 2);
        let place = schedulers.iter().position(Scheduler::leads).unwrap();
        let mut leader = schedulers.swap_remove(place);
        let asked = Instant::now();
        if is_killed {
            leader.process.kill().unwrap();
            leader.process.wait().unwrap();
        } else {
            assert_eq!(leader.interrupt(), Some(0));
        }
        let ended = Instant::now();
        cluster.until("another one starts an instance", || {
            let last = cluster.machines.lock().unwrap().last_start;
            last.is_some_and(|last| last > ended)
        });
        let decided = cluster.machines.lock().unwrap().last_start.unwrap();
        cluster.until("another one leads", || schedulers.iter().any(Scheduler::leads));
        eprintln!(
            "killed: {is_killed}; its end took {:?}; from there to the next start of an instance {:?}",
            ended - asked,
            decided - ended,
        );
        cluster.until("the upgrade is done", || {
            let machines = cluster.machines.lock().unwrap();
            machines.running.values().all(|one| *one == version.to_string())
                && machines.running.len() == 12
        });
    }
    let machines = cluster.machines.lock().unwrap();
    assert!(machines.starts.values().all(|count| *count == 1), "{:?}", machines.starts);
}
