//! How often the gate is wrong: fresh seeds in each repeat, on the repository's own scenarios.
//!
//! The short form runs in CI; the long one is what `docs/experiments.md` reports:
//! `cargo test --release -p simulator --test gate_study -- --ignored --nocapture --test-threads=1`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use diagnostics::Sources;
use policy::random::{below, halves};
use policy::{Purpose, Words};
use rayon::prelude::*;
use simulator::judge::{Judgement, Values, Verdict, judge};
use simulator::scenario::{self, Override, Scenario};
use simulator_kernel::{Finding, Looks};
use simulator_model::{Model, engine};

/// The scenarios of the gate, and a third of their time: noise is larger then, so that false alarms are
/// likelier, and more repeats fit into an hour.
const SCENARIOS: [(&str, &str); 3] =
    [("steady", "duration=40s"), ("burst", "duration=45s"), ("transcode", "duration=80min")];

/// A scenario of the gate: its text edited, then some keys set.
fn scenario(name: &str, edit: fn(String) -> String, changes: &[&str]) -> Scenario {
    let gate: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/gate");
    let read = |file: &str| std::fs::read_to_string(gate.join(file)).unwrap();
    let mut sources = Sources::default();
    let source = sources.add(name, edit(read(&format!("{name}.yml"))));
    let overrides: Vec<Override> =
        changes.iter().map(|text| Override::parse(text).unwrap()).collect();
    let found = scenario::read(source, &overrides, &mut sources, |file, sources| {
        Ok(sources.add(file, read(file)))
    });
    found.scenario.unwrap()
}

/// Other names of tenants, and sections in another order: it means the same.
fn renamed(text: String) -> String {
    let text = text.replace("customers", "buyers").replace("visitors", "guests");
    let mut sections: Vec<&str> = text.trim_end().split("\n\n").collect();
    assert!(sections.len() >= 4, "{text}");
    sections[1..].reverse();
    sections.join("\n\n")
}

/// Entries of the workload in another order: the same laws, other random words for each.
fn reordered(text: String) -> String {
    let entry = |line: &&str| line.starts_with("  - {");
    let mut entries: Vec<&str> = text.lines().filter(entry).collect();
    assert!(entries.len() >= 2, "{text}");
    let line = |line| if entry(&line) { entries.pop().unwrap() } else { line };
    text.lines().map(line).collect::<Vec<&str>>().join("\n")
}

fn values(scenario: &Scenario, seed: u64) -> Values {
    let report = engine::report(&Model { seed, ..scenario.model.clone() });
    let metrics = scenario.objectives.iter().map(|objective| &objective.metric);
    metrics.map(|metric| metric.value(&scenario.model, &report)).collect()
}

/// How a candidate differs from its baseline.
#[derive(Clone, Copy)]
struct Change {
    about: &'static str,
    edit: fn(String) -> String,
    set: &'static str,
}

/// Whole scenarios, or a third of their time.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    Third,
    Whole,
}

const fn set(change: &'static str) -> Change {
    Change { about: change, edit: |text| text, set: change }
}

/// What `simulator compare` does unless told otherwise.
fn looks() -> Looks {
    Looks::doubling(6, 192, 0.01)
}

/// As `compare` does it: the same seeds before and after.
fn compared(before: &Scenario, after: &Scenario, repeat: u64) -> Judgement {
    // No seed is used in two repeats.
    let first = 1_000_000 + repeat * 1_000;
    judge(&before.objectives, &looks(), |range| {
        let seeds = range.map(|number| first + u64::from(number));
        seeds.map(|seed| (values(before, seed), values(after, seed))).collect()
    })
}

/// A scenario, cut if it is wanted so, before and after a change.
fn both(name: &str, change: Change, length: Length) -> [Scenario; 2] {
    let shorter = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
    let shorter = if length == Length::Third { shorter } else { "seed=1" };
    let changes: Vec<&str> =
        [shorter, change.set].into_iter().filter(|it| !it.is_empty()).collect();
    [scenario(name, |text| text, &[shorter]), scenario(name, change.edit, &changes)]
}

/// Verdicts over many repeats (passes, regressions, inconclusive ones), which are told.
fn told(name: &str, change: Change, repeats: u64, length: Length) -> [usize; 3] {
    let [before, after] = both(name, change, length);
    let repeat = |repeat| compared(&before, &after, repeat);
    tell(name, change.about, &(0..repeats).into_par_iter().map(repeat).collect::<Vec<_>>())
}

fn tell(name: &str, about: &str, found: &[Judgement]) -> [usize; 3] {
    for judgement in found.iter().filter(|one| one.verdict == Verdict::Regression).take(1) {
        let moved = judgement.rows.iter().filter(|row| row.finding == Finding::Moved);
        moved.for_each(|row| println!("  such as {}", row.sentence(judgement.level)));
    }
    let count = |verdict| found.iter().filter(|one| one.verdict == verdict).count();
    let counts = [Verdict::Pass, Verdict::Regression, Verdict::Inconclusive].map(count);
    let [passes, regressions, open] = counts;
    let pairs: u32 = found.iter().map(|one| one.replications).sum();
    println!(
        "{name:<10} {about}: {} repeats, {passes} pass, {regressions} regression, {open} \
         inconclusive, {:.1} pairs each",
        found.len(),
        f64::from(pairs) / found.len() as f64
    );
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for judgement in found.iter().filter(|one| one.verdict == Verdict::Inconclusive) {
        for row in judgement.rows.iter().filter(|row| row.finding == Finding::Open) {
            *open.entry(row.objective.metric.name.as_str()).or_default() += 1;
        }
    }
    open.iter().for_each(|(name, count)| println!("  open: {name} in {count}"));
    counts
}

/// Runs of a scenario from which comparisons are drawn.
fn pool(scenario: &Scenario, first: u64, count: u64) -> Vec<Values> {
    (0..count).into_par_iter().map(|number| values(scenario, first + number)).collect()
}

/// So many places below `size`, each at most once, in a random order (Fisher and Yates).
fn drawn(size: usize, count: usize, repeat: u64) -> Vec<usize> {
    let words = Words::new(repeat, Purpose::Search, 0);
    let mut places: Vec<usize> = (0..size).collect();
    for place in 0..count {
        let (half, _) = halves(words.at(place as u64));
        places.swap(place, place + below(half, (size - place) as u32) as usize);
    }
    places.truncate(count);
    places
}

/// What a comparison would say if runs before and after had nothing in common: all noise is in it
/// then, which `compare` never does. The runs of each repeat are drawn from those of the pools, each
/// at most once, so that thousands of runs are enough for hundreds of repeats.
fn independent(name: &str, change: Change, length: Length, repeats: u64, runs: u64, most: u32) {
    let [before, after] = both(name, change, length);
    let mut before_runs = pool(&before, 1_000_000, runs);
    let after_runs = pool(&after, 2_000_000, runs);
    let is_same = before.digest == after.digest;
    let judged = |runs: &[Values], others: &[Values], repeat: u64, most: u32| {
        let count = most as usize;
        let mut pairs: Vec<(Values, Values)> = Vec::new();
        if is_same {
            // From one and the same: the change is exactly none.
            let places = drawn(runs.len(), 2 * count, repeat);
            let (first, second) = places.split_at(count);
            let both = first.iter().zip(second);
            pairs.extend(both.map(|(one, two)| (runs[*one].clone(), runs[*two].clone())));
        } else {
            let first = drawn(runs.len(), count, 2 * repeat);
            let both = first.into_iter().zip(drawn(others.len(), count, 2 * repeat + 1));
            pairs.extend(both.map(|(one, two)| (runs[one].clone(), others[two].clone())));
        }
        judge(&before.objectives, &Looks::doubling(6, most, 0.01), |range| {
            pairs[range.start as usize..range.end as usize].to_vec()
        })
    };
    if is_same {
        before_runs.extend(after_runs.iter().cloned());
    }
    for most in [48, 192].into_iter().filter(|count| *count <= most) {
        let repeat = |repeat| judged(&before_runs, &after_runs, repeat, most);
        let found: Vec<Judgement> = (0..repeats).into_par_iter().map(repeat).collect();
        let about = format!("{}, at most {most} pairs", change.about);
        let [_, regressed, _] = tell(name, &about, &found);
        // What the gate promises: at most one wrong verdict in a hundred.
        assert!(regressed as u64 * 100 <= repeats, "{regressed} false alarms in {repeats}");
    }
}

const FRESH: Change = Change { about: "other seeds", ..set("") };

/// Changes that change nothing that anybody can want: limits that aren't reached, queues a bit longer
/// than they ever get, rules that nothing uses there, other names.
const NEUTRAL: [(&str, Change); 12] = [
    ("steady", set("policy.admission.user.concurrency=900")),
    ("steady", set("policy.queue.paid=6")),
    ("steady", set("policy.scaling.cool_down=1min")),
    ("steady", RENAMED),
    ("burst", set("policy.admission.cmd.concurrency=unlimited")),
    ("burst", set("policy.admission.user.rate=1000000/s")),
    ("burst", set("policy.scaling.cool_down=1min")),
    ("burst", RENAMED),
    ("transcode", set("policy.queue.free=9")),
    ("transcode", set("policy.admission.accept.permits=9000")),
    ("transcode", set("policy.scaling.cool_down=1min")),
    ("transcode", RENAMED),
];

const RENAMED: Change =
    Change { about: "other names, sections reordered", edit: renamed, ..set("") };

const REORDERED: Change =
    Change { about: "entries of the workload reordered", edit: reordered, ..set("") };

const LONGER: [(&str, Change); 4] = [
    ("steady", set("cmds.imageView2.service_scale=1.01")),
    ("burst", set("cmds.imageView2.service_scale=1.01")),
    ("transcode", set("cmds.avthumb.service_scale=1.01")),
    ("transcode", set("cmds.vframe.service_scale=1.01")),
];

fn neutral(names: &[&str], repeats: u64) {
    for (name, change) in NEUTRAL.into_iter().filter(|(name, _)| names.contains(name)) {
        let [_, regressed, _] = told(name, change, repeats, Length::Third);
        assert_eq!(regressed, 0, "a false alarm");
    }
}

fn longer(names: &[&str], repeats: u64) {
    for (name, change) in LONGER.into_iter().filter(|(name, _)| names.contains(name)) {
        let [passed, ..] = told(name, change, repeats, Length::Third);
        assert_eq!(passed, 0, "a regression was missed");
    }
}

#[test]
fn neutral_changes_raise_no_alarm_and_one_percent_is_found() {
    neutral(&["steady"], 2);
    longer(&["steady"], 2);
    independent("steady", FRESH, Length::Third, 100, 60, 48);
}

const ALL: [&str; 3] = ["steady", "burst", "transcode"];

#[test]
#[ignore = "minutes; docs/experiments.md has its output"]
fn neutral_changes_500_times() {
    neutral(&ALL, 500);
}

#[test]
#[ignore = "minutes; docs/experiments.md has its output"]
fn one_percent_500_times() {
    longer(&ALL, 500);
}

#[test]
#[ignore = "minutes; docs/experiments.md has its output"]
fn other_seeds_500_times() {
    for name in ALL {
        independent(name, FRESH, Length::Whole, 500, 1_000, 192);
    }
}

#[test]
#[ignore = "minutes; docs/experiments.md has its output"]
fn reordered_workloads_500_times() {
    for name in ALL {
        independent(name, REORDERED, Length::Whole, 500, 500, 192);
    }
}
