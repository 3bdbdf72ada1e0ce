//! `[io]` One run of a model by the engine that fits it.

use std::fmt::Debug;

use simulator_model::watch::Watch;
use simulator_model::{Feed, Model, Network, Record, Report, Timeline, Workload, engine, windows};

use crate::lanes;

/// Requests from outside, which can be had as often as one likes and by several threads at once: each
/// lane of a run reads all of them.
pub trait Source: Sync + Debug {
    /// They, from the beginning.
    fn feed(&self) -> Box<dyn Feed + '_>;
}

/// Where the requests of a run come from.
#[derive(Debug, Clone, Copy)]
pub enum Requests<'a> {
    /// The sources of the model.
    Own,
    /// Outside.
    From(&'a dyn Source),
}

impl<'a> Requests<'a> {
    /// For live gateways.
    fn workload(self, model: &'a Model) -> Workload<'a> {
        match self {
            Requests::Own => Workload::new(model),
            Requests::From(source) => Workload::fed(model, source.feed()),
        }
    }

    /// Those from outside.
    #[must_use]
    pub fn feed(self) -> Option<Box<dyn Feed + 'a>> {
        match self {
            Requests::Own => None,
            Requests::From(source) => Some(source.feed()),
        }
    }
}

/// Plays a model once. Threads are used within the run if the engine can; the report doesn't depend
/// on them.
#[must_use]
pub fn report(model: &Model, requests: Requests<'_>, threads: u16) -> Report {
    match model.network {
        None => engine::report_from(model, requests.workload(model)),
        Some(network) => lanes::report(model, network, (requests, threads), &mut |_| true),
    }
}

/// The same, watched; with several threads, the number of requests that it is told is an estimate.
pub fn watched_report(
    model: &Model,
    requests: Requests<'_>,
    threads: u16,
    watch: &mut Watch<'_>,
) -> Report {
    match model.network {
        None => engine::watched_report(model, requests.workload(model), watch),
        Some(network) => lanes::report(model, network, (requests, threads), watch),
    }
}

/// The same with the course of the run.
pub fn watched_timeline(
    model: &Model,
    requests: Requests<'_>,
    threads: u16,
    watch: &mut Watch<'_>,
) -> (Report, Timeline) {
    match model.network {
        None => engine::watched_timeline(model, requests.workload(model), watch),
        Some(network) => lanes::timeline(model, network, (requests, threads), watch),
    }
}

/// Plays it for somebody who looks at single requests.
pub fn record<R: Record>(model: &Model, requests: Requests<'_>, record: &mut R) {
    match model.network {
        None => engine::run_from(model, requests.workload(model), record),
        Some(network) => windows::watch(model, network, requests.feed(), record),
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
