//! How often the gate is wrong: fresh seeds in each repeat, on the repository's own scenarios.
//!
//! The short form runs in CI; the long one is what `docs/experiments.md` reports:
//! `cargo test --release -p simulator --test gate_study -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use diagnostics::Sources;
use rayon::prelude::*;
use simulator::judge::{Judgement, Values, Verdict, judge};
use simulator::scenario::{self, Override, Scenario};
use simulator_kernel::{Finding, Looks};
use simulator_model::{Model, engine};

/// The scenarios of the gate, and a third of their time: noise is larger then, so that false alarms are
/// likelier, and more repeats fit into an hour.
const SCENARIOS: [(&str, &str); 3] =
    [("steady", "duration=40s"), ("burst", "duration=45s"), ("transcode", "duration=80min")];

fn scenario(name: &str, changes: &[&str]) -> Scenario {
    let gate: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/gate");
    let read = |file: &str| std::fs::read_to_string(gate.join(file)).unwrap();
    let mut sources = Sources::default();
    let source = sources.add(name, read(&format!("{name}.yml")));
    let overrides: Vec<Override> =
        changes.iter().map(|text| Override::parse(text).unwrap()).collect();
    let found = scenario::read(source, &overrides, &mut sources, |file, sources| {
        Ok(sources.add(file, read(file)))
    });
    found.scenario.unwrap()
}

fn values(scenario: &Scenario, seed: u64) -> Values {
    let report = engine::report(&Model { seed, ..scenario.model.clone() });
    let metrics = scenario.objectives.iter().map(|objective| &objective.metric);
    metrics.map(|metric| metric.value(&scenario.model, &report)).collect()
}

/// Seeds of a candidate in the terms of those of its baseline.
#[derive(Clone, Copy)]
enum Seeds {
    /// The same, as `compare` does it.
    Common,
    /// Others: nothing is in common, so all noise is in the comparison. The hardest neutral change.
    Fresh,
}

fn compared(before: &Scenario, after: &Scenario, repeat: u64, seeds: Seeds) -> Judgement {
    let looks = Looks::doubling(6, 48, 0.01);
    // No seed is used in two repeats.
    let first = 1_000_000 + repeat * 1_000;
    let other = match seeds {
        Seeds::Common => first,
        Seeds::Fresh => first + 500,
    };
    judge(&before.objectives, &looks, |range| {
        let pair = |number: u64| (values(before, first + number), values(after, other + number));
        range.map(|number| pair(u64::from(number))).collect()
    })
}

/// Verdicts over many repeats: passes, regressions, inconclusive ones, and runs of a repeat.
fn counts(name: &str, change: &str, repeats: u64, seeds: Seeds) -> ([usize; 3], f64) {
    let shorter = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
    let changes: Vec<&str> = [shorter, change].into_iter().filter(|it| !it.is_empty()).collect();
    let (before, after) = (scenario(name, &[shorter]), scenario(name, &changes));
    let found: Vec<Judgement> = (0..repeats)
        .into_par_iter()
        .map(|repeat| compared(&before, &after, repeat, seeds))
        .collect();
    for judgement in found.iter().filter(|one| one.verdict == Verdict::Regression).take(1) {
        let moved = judgement.rows.iter().filter(|row| row.finding == Finding::Moved);
        moved.for_each(|row| println!("  {name} {change}: {}", row.sentence(judgement.level)));
    }
    let count = |verdict| found.iter().filter(|one| one.verdict == verdict).count();
    let runs: u32 = found.iter().map(|one| one.replications).sum();
    let counts = [Verdict::Pass, Verdict::Regression, Verdict::Inconclusive].map(count);
    (counts, f64::from(runs) / repeats as f64)
}

/// Changes that change nothing that anybody can want: limits that aren't reached, and a queue a bit
/// longer than it ever gets without a burst.
const NEUTRAL: [(&str, &str); 4] = [
    ("steady", "policy.admission.user.concurrency=900"),
    ("steady", "policy.queue.paid=6"),
    ("burst", "policy.admission.cmd.concurrency=unlimited"),
    ("transcode", "policy.queue.free=9"),
];

const LONGER: [(&str, &str); 4] = [
    ("steady", "cmds.imageView2.service_scale=1.01"),
    ("burst", "cmds.imageView2.service_scale=1.01"),
    ("transcode", "cmds.avthumb.service_scale=1.01"),
    ("transcode", "cmds.vframe.service_scale=1.01"),
];

fn told(name: &str, change: &str, repeats: u64, seeds: Seeds) -> [usize; 3] {
    let (found, runs) = counts(name, change, repeats, seeds);
    let [passed, regressed, open] = found;
    let change = if change.is_empty() { "nothing changed, other seeds" } else { change };
    println!(
        "{name:<10} {change}: {repeats} repeats, {passed} pass, {regressed} regression, {open} \
         inconclusive, {runs:.1} runs each"
    );
    found
}

fn fresh(names: &[&str], repeats: u64) {
    for name in names {
        let [_, regressed, _] = told(name, "", repeats, Seeds::Fresh);
        assert_eq!(regressed, 0, "a false alarm");
    }
}

fn neutral(names: &[&str], repeats: u64) {
    for (name, change) in NEUTRAL.into_iter().filter(|(name, _)| names.contains(name)) {
        let [_, regressed, _] = told(name, change, repeats, Seeds::Common);
        assert_eq!(regressed, 0, "a false alarm");
    }
}

fn longer(names: &[&str], repeats: u64) {
    for (name, change) in LONGER.into_iter().filter(|(name, _)| names.contains(name)) {
        let [passed, ..] = told(name, change, repeats, Seeds::Common);
        assert_eq!(passed, 0, "a regression was missed");
    }
}

#[test]
fn neutral_changes_raise_no_alarm_and_one_percent_is_found() {
    fresh(&["steady"], 2);
    neutral(&["steady"], 3);
    longer(&["steady"], 3);
}

const ALL: [&str; 3] = ["steady", "burst", "transcode"];

#[test]
#[ignore = "minutes; docs/experiments.md says which part was run"]
fn neutral_changes_500_times() {
    neutral(&ALL, 500);
}

#[test]
#[ignore = "minutes; docs/experiments.md says which part was run"]
fn one_percent_500_times() {
    longer(&ALL, 500);
}

#[test]
#[ignore = "an hour; docs/experiments.md says which part was run"]
fn other_seeds_500_times() {
    fresh(&ALL, 500);
}
