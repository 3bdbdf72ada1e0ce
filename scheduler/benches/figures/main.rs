//! The figures that a daemon as users run it has on a simulated Mesos of this process: from an offer to
//! its acceptance, launches a second, memory, what a new daemon and the next leader take. Each figure
//! is a line of JSON on standard output; nothing is asserted.
//!
//! `cargo bench -p scheduler --bench figures -- --sizes 20000x1000,100000x5000 --offers 2000
//! [--parts offers,folder,consul,memory]`; `cargo xtask bench scheduler` runs it and writes the document.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

#[path = "../../tests/crowd/mod.rs"]
mod crowd;
mod daemon;
mod offers;

use std::fs;
use std::time::{Duration, Instant};

use consul_fake::FakeConsul;
use crowd::Cluster;
use daemon::Daemon;
use serde_json::{Value, json};

/// What comes, comes long before.
const PATIENCE: Duration = Duration::from_secs(300);

/// Apps that are deployed at the same time.
const APPS: u32 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: &str| {
        let place = arguments.iter().position(|one| one == name);
        let given = place.and_then(|place| arguments.get(place + 1)).cloned();
        given.unwrap_or_else(|| default.to_owned())
    };
    let parts = value("--parts", "offers,folder,consul");
    let has = |part: &str| parts.split(',').any(|one| one == part);
    let sizes: Vec<(u32, u32)> = value("--sizes", "20000x1000,100000x5000")
        .split(',')
        .filter_map(|size| size.split_once('x'))
        .filter_map(|(tasks, agents)| Some((tasks.parse().ok()?, agents.parse().ok()?)))
        .collect();
    if has("offers") {
        let count = value("--offers", "2000").parse().unwrap();
        offers::measure(count, 1, Duration::from_millis(5));
        offers::measure(count, 100, Duration::from_secs(1));
    }
    for (tasks, agents) in sizes {
        if has("folder") {
            in_a_folder(tasks, agents);
        }
        if has("consul") {
            in_consul(tasks, agents);
        }
        if has("memory") {
            memory_alone(tasks, agents);
        }
    }
}

/// Tells a figure.
fn tell(figure: &str, value: &Value) {
    let mut line = json!({"figure": figure, "load": load()});
    let fields = line.as_object_mut().unwrap();
    fields.extend(value.as_object().unwrap().clone());
    println!("{line}");
}

/// Processes that wanted a processor in the last minute, on average.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// An app of tasks that run until they are ended.
fn app(name: &str, instances: u32, rest: &str) -> String {
    format!(
        "app: {name}\nversion: \"1\"\ncommand: [/bin/sleep, '1000']\ninstances: {instances}\n\
         needs: {{cores: 0.1, memory: 64MiB, ports: 1}}\n{rest}"
    )
}

/// What the daemon takes with these tasks, with each store; nothing else is told.
fn memory_alone(tasks: u32, agents: u32) {
    let cluster = Cluster::start(agents);
    let daemon = Daemon::start(&["--master", cluster.address()]);
    let (before, _) = deployed(&cluster, &daemon, tasks);
    memory(&cluster, &daemon, "folder", tasks, before);
    drop((daemon, cluster));
    let (cluster, consul) = (Cluster::start(agents), FakeConsul::start(1).unwrap());
    let arguments = ["--master", cluster.address(), "--consul", &consul.url()];
    let daemon = Daemon::start(&[&arguments[..], &["--consul-agent-port", "9"]].concat());
    let (before, _) = deployed(&cluster, &daemon, tasks);
    memory(&cluster, &daemon, "consul", tasks, before);
}

/// Deploys, and tells how long it takes until all run and all that was told of them is acknowledged.
fn launches(cluster: &Cluster, daemon: &Daemon, store: &str, tasks: u32) {
    let (memory_before, launches) = deployed(cluster, daemon, tasks);
    let mut launches = launches;
    launches["store"] = store.into();
    tell("launches", &launches);
    memory(cluster, daemon, store, tasks, memory_before);
}

/// Deploys; the memory before, and what came of it.
fn deployed(cluster: &Cluster, daemon: &Daemon, tasks: u32) -> (u64, Value) {
    let agents = cluster.agents();
    daemon.until("machines are offered", |metrics| {
        metrics.get("scheduler_machines{state=\"up\"}").is_some_and(|up| *up >= agents as f64)
    });
    let memory_before = daemon.memory_kib("VmRSS");
    let (before, cpu_before) = (daemon.metrics(), daemon.processor_seconds());
    let answered = |metrics: &daemon::Metrics| metrics["scheduler_mesos_calls_answered_total"];
    let each = tasks / APPS;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..APPS {
            scope.spawn(move || daemon.deploy(&format!("app-{number}"), each, ""));
        }
    });
    let taken = begun.elapsed();
    // Each task has two statuses, and there is hardly anything else of that number.
    let least = answered(&before) + 2.0 * f64::from(each * APPS);
    let after = daemon.until("all is acknowledged", |metrics| answered(metrics) >= least);
    let all = begun.elapsed();
    let accepts = daemon::Histogram::of(&after, "scheduler_accept_seconds");
    let accepts = accepts.since(&daemon::Histogram::of(&before, "scheduler_accept_seconds"));
    let (user, system) = daemon.processor_seconds();
    let launches = json!({
        "tasks": tasks, "agents": agents, "calls_answered_seconds": taken.as_secs_f64(),
        "seconds": all.as_secs_f64(), "per_second": f64::from(tasks) / all.as_secs_f64(),
        "daemon_user_seconds": user - cpu_before.0, "daemon_system_seconds": system - cpu_before.1,
        "acceptances": accepts.count(), "accept_p50_ms": accepts.quantile(0.5) * 1e3,
        "accept_p99_ms": accepts.quantile(0.99) * 1e3, "accept_p999_ms": accepts.quantile(0.999) * 1e3,
    });
    (memory_before, launches)
}

/// Tells what it takes, a while after all serve.
fn memory(cluster: &Cluster, daemon: &Daemon, store: &str, tasks: u32, memory_before: u64) {
    let agents = cluster.agents();
    let serving = f64::from(tasks / APPS * APPS);
    daemon.until("all serve", |metrics| {
        let names = (0..APPS).map(|app| format!("app=\"app-{app}\",life=\"serving\""));
        let found =
            names.filter_map(|one| metrics.get(&format!("scheduler_app_instances{{{one}}}")));
        store != "folder" || found.sum::<f64>() >= serving
    });
    std::thread::sleep(Duration::from_secs(3));
    let kib = |name: &str| daemon.memory_kib(name);
    tell(
        "memory",
        &json!({
            "store": store, "tasks": tasks, "agents": agents, "before_kib": memory_before,
            "resident_kib": kib("VmRSS"), "most_kib": kib("VmHWM"),
            "limit_kib": 50 * 1024 + u64::from(tasks),
        }),
    );
}

/// Records in a folder: launches, memory, and a daemon that is killed and comes back.
fn in_a_folder(tasks: u32, agents: u32) {
    let cluster = Cluster::start(agents);
    let mut daemon = Daemon::start(&["--master", cluster.address()]);
    launches(&cluster, &daemon, "folder", tasks);
    daemon.kill();
    let begun = Instant::now();
    daemon.run();
    daemon.until("it leads", |metrics| metrics.get("scheduler_leading") == Some(&1.0));
    let leads = begun.elapsed();
    daemon.until("all are found", |metrics| {
        metrics.get("scheduler_instances_doubted") == Some(&0.0)
            && metrics.get("scheduler_leading") == Some(&1.0)
    });
    let found = begun.elapsed();
    let (user, _) = daemon.processor_seconds();
    tell(
        "reconciliation",
        &json!({
            "store": "folder", "tasks": tasks, "agents": agents, "leads_seconds": leads.as_secs_f64(),
            "seconds": found.as_secs_f64(), "daemon_user_seconds": user,
        }),
    );
}

/// Records in Consul, which is a small one of this process: launches, and the next leader.
fn in_consul(tasks: u32, agents: u32) {
    let cluster = Cluster::start(agents);
    let consul = FakeConsul::start(1).unwrap();
    // Agents of Consul aren't measured: nobody listens at this port.
    let arguments = ["--master", cluster.address(), "--consul", &consul.url()];
    let arguments = [&arguments[..], &["--consul-agent-port", "9"]].concat();
    let mut first = Daemon::start(&arguments);
    launches(&cluster, &first, "consul", tasks);
    let second = Daemon::started(&arguments);
    second.until("it follows", |metrics| metrics.get("scheduler_leading") == Some(&0.0));
    first.interrupt();
    let begun = Instant::now();
    second.until("it leads", |metrics| metrics.get("scheduler_leading") == Some(&1.0));
    let decided = begun.elapsed();
    second
        .until("all are found", |metrics| metrics.get("scheduler_instances_doubted") == Some(&0.0));
    tell(
        "failover",
        &json!({
            "store": "consul", "tasks": tasks, "agents": agents, "decides_seconds": decided.as_secs_f64(),
            "seconds": begun.elapsed().as_secs_f64(),
        }),
    );
}
