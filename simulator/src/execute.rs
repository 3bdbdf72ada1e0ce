//! `[io]` One run of a model by the engine that fits it.

use simulator_model::watch::Watch;
use simulator_model::{Model, Network, Report, Timeline, Workload, engine};

use crate::lanes;

/// Plays a model once. Threads are used within the run if the engine can; the report doesn't depend
/// on them.
#[must_use]
pub fn report(model: &Model, threads: u16) -> Report {
    match model.network {
        None => engine::report(model),
        Some(network) => lanes::report(model, network, threads, &mut |_| true),
    }
}

/// The same, watched; with several threads, the number of requests that it is told is an estimate.
pub fn watched_report(model: &Model, threads: u16, watch: &mut Watch<'_>) -> Report {
    let Some(network) = model.network else {
        return engine::watched_report(model, Workload::new(model), watch);
    };
    lanes::report(model, network, threads, watch)
}

/// The same with the course of the run.
pub fn watched_timeline(model: &Model, threads: u16, watch: &mut Watch<'_>) -> (Report, Timeline) {
    match model.network {
        None => engine::watched_timeline(model, Workload::new(model), watch),
        Some(network) => lanes::timeline(model, network, threads, watch),
    }
}

/// Who starts and ends instances.
#[must_use]
pub fn control_name(model: &Model) -> String {
    match (&model.dynamics.scheduler, model.network) {
        (None, None) => "direct (the rules are asked without delay)".to_owned(),
        (None, Some(Network { delay, .. })) => {
            format!("direct (the rules hear after {delay}, are heard after {delay})")
        }
        (Some(scheduler), _) => format!(
            "scheduler (scheduler/core; looks every {}, hears after {}, is heard after {})",
            scheduler.tick, scheduler.facts, scheduler.commands
        ),
    }
}

/// The name of the engine that plays a model.
#[must_use]
pub fn engine_name(model: &Model) -> String {
    match model.network {
        None => "live (gateways see the present state of all targets)".to_owned(),
        Some(Network { delay, reports }) => format!(
            "windows of {delay} (the delay of the network; gateways see reports, one every {reports})"
        ),
    }
}
