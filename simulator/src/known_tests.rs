//! Two simple platforms against what is known of them.

use simulator_kernel::Moments;
use simulator_model::engine;

use super::*;
use crate::metric::of_name;
use crate::scenario::{self, Override};

fn scenario(text: &str) -> scenario::Scenario {
    let mut sources = diagnostics::Sources::default();
    let source = sources.add("test", text);
    let none: [Override; 0] = [];
    let found = scenario::read(source, &none, &mut sources, |_, _| Err(String::new()));
    found.scenario.unwrap()
}

/// One machine with as many instances as there are.
const ONE_LINE: &str = "
version: 1
seed: 7
duration: 20s
warm_up: 2s
machines: 1
policy: {preset: recommended, queue: {free: 4, paid: 4}}
apps: {image: {instances: 3}}
cmds: {view: {app: image, service: {lognormal: {p50: 40ms, p99: 400ms}}, deadline: 100ms}}
tenants: {all: {class: paid, users: 10}}
workload: [{tenants: all, cmd: view, arrivals: {poisson: 45/s}}]
";

/// Where the scenario has one line for all instances, what is known is what happens, and without
/// waiting it is the work alone.
#[test]
fn a_platform_with_one_line_is_known_beforehand() {
    let scenario = scenario(ONE_LINE);
    let names = ["mean_ms", "p99_ms", "rejected", "late", "goodput", "wait_mean_ms"];
    let objectives: Vec<Objective> = names
        .iter()
        .map(|name| Objective { metric: of_name(name).unwrap(), margin: 0.01 })
        .collect();
    let known = known(&scenario.model, &objectives);
    let report = engine::report(&scenario.model);
    for (objective, known) in objectives.iter().zip(&known) {
        let value = objective.metric.value(&scenario.model, &report);
        assert_eq!(value, Some(known[1]), "{}", objective.metric.name);
    }
    // Something was refused, so that this tells anything.
    assert!(known[2][1] > 0.0, "{known:?}");
    assert_eq!((known[2][0], known[5][0]), (0.0, 0.0));
    let all = Workload::all(&scenario.model);
    let counted = all.iter().filter(|arrival| arrival.at.0 >= scenario.model.warm_up.0);
    let services: Vec<f64> = counted.map(|arrival| arrival.service.seconds()).collect();
    let mean: Moments = services.iter().copied().collect();
    assert!((known[0][0] - mean.mean() * 1e3).abs() < 1e-6, "{known:?}");
    assert!((known[0][2] - services.iter().sum::<f64>()).abs() < 1e-9);
}
