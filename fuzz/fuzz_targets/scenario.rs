//! Scenario files, with a `--set` in the first line behind `#>>> `: every check ends, names places
//! inside the texts, and the first requests of a scenario that is read end in the order of time.
#![no_main]

use diagnostics::Sources;
use libfuzzer_sys::fuzz_target;
use simulator::scenario::{Override, read};
use simulator_model::Workload;

fuzz_target!(|text: &str| {
    let set = text.lines().next().and_then(|line| line.strip_prefix("#>>> "));
    let overrides: Vec<Override> =
        set.and_then(|set| Override::parse(set).ok()).into_iter().collect();
    let mut sources = Sources::default();
    let source = sources.add("scenario.yml", text);
    let found = read(source, &overrides, &mut sources, |name, sources| match name {
        "policy.yml" => Ok(sources.add("policy.yml", "preset: original\n")),
        _ => Err("no such file".to_owned()),
    });
    fuzz::check_diagnostics(&found.diagnostics, &sources);
    let Some(scenario) = found.scenario else {
        assert!(found.diagnostics.iter().any(|found| found.is_error()));
        return;
    };
    // Large groups are legal, but too large to try ten thousand of.
    if scenario.model.users() > 10_000 {
        return;
    }
    let mut workload = Workload::new(&scenario.model);
    let mut last = 0;
    for _ in 0..100 {
        let Some(run) = workload.next_run() else { break };
        for arrival in run.arrivals() {
            assert!(arrival.at.0 >= last && arrival.at.0 < scenario.model.duration.0);
            last = arrival.at.0;
        }
    }
});
