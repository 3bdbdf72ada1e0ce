//! From an offer to its acceptance, seen by the master: instances wait for machines, and machines come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mesos::TaskState;
use serde_json::json;
use simulator_mesos::{AgentKey, Body, Run, Said};

use crate::crowd::Cluster;
use crate::daemon::{Daemon, Histogram};
use crate::{PATIENCE, tell};

/// An app waits for machines, one instance on each; so many machines come together, and a while later
/// the next ones.
pub fn measure(count: u32, together: u32, pause: Duration) {
    let (cluster, mut runs) = Cluster::empty();
    let accepted: Arc<Mutex<BTreeMap<AgentKey, Instant>>> = Arc::default();
    let (handle, seen) = (cluster.handle.clone(), Arc::clone(&accepted));
    // It ends with the bench.
    std::thread::spawn(move || {
        while let Some((agent, run)) = runs.blocking_recv() {
            let Run::Start { framework, task, .. } = run else { continue };
            seen.lock().unwrap().entry(agent).or_insert_with(Instant::now);
            let framework = framework.id.unwrap_or_default();
            let said =
                Said { state: TaskState::Running, healthy: None, reason: None, message: None };
            handle.with(|master| {
                master.outside_report(agent, &framework, &task.task_id.value, said);
            });
        }
    });
    let daemon = Daemon::start(&["--master", cluster.address()]);
    daemon.deploy("app", count, "constraints: [{most_per_machine: 1}]\n");
    let before = daemon.processor_seconds();
    let mut offered = BTreeMap::new();
    let mut next = Instant::now();
    for number in 0..count {
        if number % together == 0 {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pause;
        }
        let came = Instant::now();
        offered.insert(cluster.add(number, Body::Outside), came);
    }
    let begun = Instant::now();
    while accepted.lock().unwrap().len() < offered.len() {
        assert!(begun.elapsed() < PATIENCE, "offers are not accepted");
        std::thread::sleep(Duration::from_millis(5));
    }
    let user = daemon.processor_seconds().0 - before.0;
    let own = Histogram::of(&daemon.metrics(), "scheduler_accept_seconds");
    let accepted = accepted.lock().unwrap().clone();
    let mut latencies: Vec<Duration> = offered
        .iter()
        .map(|(agent, came)| accepted[agent].saturating_duration_since(*came))
        .collect();
    latencies.sort_unstable();
    let at =
        |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    tell(
        "offers",
        &json!({
            "offers": count, "together": together, "every_ms": pause.as_secs_f64() * 1e3,
            "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "most_ms": at(1.0),
            "within_daemon_p99_ms": own.quantile(0.99) * 1e3, "daemon_user_seconds": user,
        }),
    );
}
