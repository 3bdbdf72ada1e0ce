//! Launches, acknowledgements and reconciliation through the protobuf API against the simulated
//! master, durable in redb, all in this process: `cargo bench -p scheduler-mesos-client -- 20000 1000`
//! (instances, agents).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

#[path = "../tests/daemon/mod.rs"]
mod daemon;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use daemon::Daemon;
use mesos::{Encoding, Milli, Resource};
use policy::Nanoseconds;
use scheduler_core::app::{Bounds, Need, Run, Specification};
use scheduler_core::event::Call;
use scheduler_core::instance::Life;
use simulator_mesos::{AgentSpec, Body, Configuration, MILLISECOND, Profile, Span};
use simulator_mesos_server::Server;
use tokio::runtime::Runtime;

const APPS: u32 = 10;
const MOST: Duration = Duration::from_secs(300);

fn main() {
    let numbers: Vec<u32> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let instances = numbers.first().copied().unwrap_or(2_000) / APPS * APPS;
    let agents = numbers.get(1).copied().unwrap_or(100);
    let runtime = Runtime::new().unwrap();
    let listen = ([127, 0, 0, 1], 0).into();
    let (server, _runs) = runtime.block_on(Server::bind(listen, Configuration::default())).unwrap();
    let (address, handle) = (server.address().to_string(), server.handle());
    let quick = Span::exactly(MILLISECOND);
    let profile = Profile { starting: quick, running: quick, ending: quick, ..Profile::default() };
    let body = Body::Simulated(Arc::new(profile));
    for number in 0..agents {
        let agent = AgentSpec {
            hostname: format!("host-{number}"),
            ip: "127.0.0.1".into(),
            port: 5051,
            resources: vec![
                Resource::scalar("cpus", Milli(64_000)),
                Resource::scalar("mem", Milli(256_000_000)),
                Resource::ranges("ports", &mesos::quantity::Intervals::new([(31_000, 31_999)])),
            ],
            attributes: Vec::new(),
            domain: None,
            body: body.clone(),
        };
        handle.with(|master| {
            let key = master.add_agent(agent).unwrap();
            master.start_agent(key);
        });
    }
    runtime.spawn(server.run());
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), &address, Encoding::Protobuf);
    let count = usize::try_from(agents).unwrap();
    daemon.wait("machines", MOST, |one| one.state().machines().len() == count);

    let wanted = usize::try_from(instances).unwrap();
    let begun = Instant::now();
    for app in 0..APPS {
        daemon.call(deploy(app, instances / APPS));
    }
    daemon.wait("instances", MOST, |one| {
        one.count(|life| !matches!(life, Life::Waiting | Life::Intended | Life::Launching))
            >= wanted
    });
    let running = begun.elapsed();
    // Each task has two statuses, and there is nothing else of that number.
    let acknowledged = |one: &Daemon| {
        let answered = one.figures().answered.load(Ordering::Relaxed);
        answered >= 2 * u64::from(instances)
    };
    daemon.wait("acknowledgements", MOST, acknowledged);
    let all = begun.elapsed();
    let mut accepts = daemon.figures().accepts();
    accepts.sort_unstable();
    let at = |part: f64| accepts[((accepts.len() - 1) as f64 * part) as usize];
    println!("{instances} launches on {agents} agents: all run after {running:?}");
    println!("all acknowledged after {all:?}: {:.0}/s", f64::from(instances) / all.as_secs_f64());
    println!(
        "{} acceptances, from the last thing needed to written: median {:?}, p99 {:?}, most {:?}",
        accepts.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );

    daemon.wait("peace", MOST, |one| one.serving() == wanted);
    drop(daemon);
    let begun = Instant::now();
    let daemon = Daemon::start(folder.path(), &address, Encoding::Protobuf);
    let restored = begun.elapsed();
    let subscribed = |one: &Daemon| {
        one.notices.lock().unwrap().iter().any(|text| text.starts_with("subscribed"))
    };
    daemon.wait("subscription", MOST, subscribed);
    daemon.wait("answers", MOST, |one| {
        let state = one.state();
        let all = state.apps().values().flat_map(|app| app.instances.values());
        all.filter(|one| !one.is_doubted).count() == wanted
    });
    println!(
        "{instances} tasks reconciled {:?} after the start of a new scheduler",
        begun.elapsed()
    );
    println!("of that, reading its records: {restored:?}");
}

fn deploy(app: u32, instances: u32) -> Call {
    let specification = Specification {
        label: "1".to_owned(),
        run: Run::Command(vec!["/bin/sleep".to_owned(), "1000".to_owned()]),
        need: Need { millicores: 100, memory_mib: 64, ports: 1 },
        environment: BTreeMap::new(),
        health_grace: None,
        kill_grace: Nanoseconds::from_seconds(1),
        warm_up: Some(Nanoseconds::ZERO),
        cool_down: Some(Nanoseconds::ZERO),
        constraints: Vec::new(),
        check: None,
        inner_ports: Vec::new(),
        discovery: scheduler_core::app::Discovery::default(),
        metrics: None,
    };
    let app = format!("app-{app}").parse().unwrap();
    let bounds = Bounds { min: instances, max: instances };
    Call::Deploy { app, specification: Arc::new(specification), bounds, step: None }
}
