//! Changes that mean nothing, compared with the same seeds on the repository's own scenarios: other
//! names, other orders, limits that nobody reaches. `simulator compare --study` is the same for changes
//! of one's own, and for different seeds.
//!
//! The short form runs in CI; the long one is what `docs/experiments.md` reports:
//! `cargo test --release -p simulator --test gate_study -- --ignored --nocapture --test-threads=1`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use diagnostics::Sources;
use rayon::prelude::*;
use simulator::judge::{Judgement, Observed, Values, Verdict, judge};
use simulator::scenario::{self, Override, Scenario};
use simulator_kernel::{Finding, Levels, Looks};
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

/// Other names of apps, commands and tenants; it means the same.
fn renamed(text: String) -> String {
    let names = [
        ("customers", "buyers"),
        ("visitors", "guests"),
        ("migrant", "newcomer"),
        ("imageView2", "resize"),
        ("avthumb", "convert"),
        ("vframe", "frame"),
        ("image", "pictures"),
        ("video", "films"),
    ];
    // Not in `about`, and an app's name is a whole word.
    let rename = |line: &str| {
        let words = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let word = |word: &str| {
            let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let other = names.iter().find(|(known, _)| *known == name);
            other.map_or(word.to_owned(), |(_, other)| word.replacen(name, other, 1))
        };
        words.map(word).collect::<String>()
    };
    let lines: Vec<String> = text.lines().map(rename).collect();
    assert_ne!(lines.join("\n"), text.trim_end());
    lines.join("\n")
}

/// Sections in another order, and keys within braces; it means the same.
fn reordered(text: String) -> String {
    let turned = |line: &str| {
        let braces = line.find('{').filter(|begin| !line[begin + 1..].contains('{'));
        let (Some(begin), Some(end)) = (braces, line.rfind('}')) else { return line.to_owned() };
        let mut keys: Vec<&str> = line[begin + 1..end].split(", ").collect();
        keys.reverse();
        format!("{}{}{}", &line[..=begin], keys.join(", "), &line[end..])
    };
    let text = text.trim_end().lines().map(turned).collect::<Vec<String>>().join("\n");
    let mut sections: Vec<&str> = text.split("\n\n").collect();
    assert!(sections.len() >= 4 && text.contains("{skew: 0.9, users: 100, class: paid}"), "{text}");
    sections[1..].reverse();
    sections.join("\n\n")
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

const fn set(change: &'static str) -> Change {
    Change { about: change, edit: |text| text, set: change }
}

/// What `simulator compare` does for three scenarios unless told otherwise.
fn looks() -> Looks {
    Looks::spending(6, 192, Levels { moved: 0.001 / 3.0, holds: 0.01 })
}

/// Verdicts over many repeats, each with seeds of its own, which are told.
fn told(name: &str, change: Change, repeats: u64) -> [usize; 3] {
    let shorter = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap().1;
    let changes: Vec<&str> =
        [shorter, change.set].into_iter().filter(|it| !it.is_empty()).collect();
    let before = scenario(name, |text| text, &[shorter]);
    let after = scenario(name, change.edit, &changes);
    let compared = |repeat: u64| {
        let first = 1_000_000 + repeat * 1_000;
        judge(&before.objectives, &looks(), |range| {
            let seeds = range.map(|number| first + u64::from(number));
            let pair = |seed| Observed::from((values(&before, seed), values(&after, seed)));
            seeds.map(pair).collect()
        })
    };
    tell(name, change.about, &(0..repeats).into_par_iter().map(compared).collect::<Vec<_>>())
}

fn tell(name: &str, about: &str, found: &[Judgement]) -> [usize; 3] {
    for judgement in found.iter().filter(|one| one.verdict == Verdict::Regression).take(1) {
        let moved = judgement.rows.iter().filter(|row| row.finding == Finding::Moved);
        moved.for_each(|row| println!("  such as {}", row.sentence(judgement.levels.holds)));
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
    counts
}

/// Changes that change nothing that anybody can want: limits that aren't reached, queues a bit longer
/// than they ever get, rules that nothing uses there, other names, another order.
const NEUTRAL: [(&str, Change); 15] = [
    ("steady", set("policy.admission.user.concurrency=900")),
    ("steady", set("policy.queue.paid=6")),
    ("steady", set("policy.scaling.cool_down=1min")),
    ("steady", RENAMED),
    ("steady", REORDERED),
    ("burst", set("policy.admission.cmd.concurrency=unlimited")),
    ("burst", set("policy.admission.user.rate=1000000/s")),
    ("burst", set("policy.scaling.cool_down=1min")),
    ("burst", RENAMED),
    ("burst", REORDERED),
    ("transcode", set("policy.queue.free=9")),
    ("transcode", set("policy.admission.accept.permits=9000")),
    ("transcode", set("policy.scaling.cool_down=1min")),
    ("transcode", RENAMED),
    ("transcode", REORDERED),
];

const RENAMED: Change =
    Change { about: "other names of apps, commands and tenants", edit: renamed, ..set("") };

const REORDERED: Change =
    Change { about: "sections and keys in another order", edit: reordered, ..set("") };

const LONGER: [(&str, Change); 4] = [
    ("steady", set("cmds.imageView2.service_scale=1.01")),
    ("burst", set("cmds.imageView2.service_scale=1.01")),
    ("transcode", set("cmds.avthumb.service_scale=1.01")),
    ("transcode", set("cmds.vframe.service_scale=1.01")),
];

fn neutral(names: &[&str], repeats: u64) {
    for (name, change) in NEUTRAL.into_iter().filter(|(name, _)| names.contains(name)) {
        let [_, regressed, _] = told(name, change, repeats);
        assert_eq!(regressed, 0, "a false alarm");
    }
}

fn longer(names: &[&str], repeats: u64) {
    for (name, change) in LONGER.into_iter().filter(|(name, _)| names.contains(name)) {
        let [passed, ..] = told(name, change, repeats);
        assert_eq!(passed, 0, "a regression was missed");
    }
}

#[test]
fn neutral_changes_raise_no_alarm_and_one_percent_is_found() {
    neutral(&["steady"], 2);
    longer(&["steady"], 2);
}

/// Renamed and reordered, the other two are the same run by run.
#[test]
fn names_and_orders_mean_nothing() {
    for name in ALL {
        let before = scenario(name, |text| text, &[]);
        for edit in [renamed as fn(String) -> String, reordered] {
            assert_eq!(values(&before, 5), values(&scenario(name, edit, &[]), 5), "{name}");
        }
    }
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
