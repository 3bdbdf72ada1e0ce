//! `simulator compare --study`: how often the gate is wrong, tried out on its own scenarios. Each
//! comparison is made of runs that are drawn from a stock of them, each at most once; another
//! comparison may draw the same ones.

use std::path::Path;

use policy::random::{below, halves};
use policy::{Purpose, Words};
use rayon::ThreadPool;
use rayon::prelude::*;
use simulator::judge::{Judgement, Observed, Values, Verdict, judge};
use simulator::known::known;
use simulator::metric::Metric;
use simulator::scenario::{Override, Scenario};
use simulator_kernel::Looks;
use simulator_model::Model;

use super::candidate::{differences, load};
use super::{Baseline, Compare, FIRST_LOOK, baseline, shared};
use crate::exit::Exit;
use crate::input;
use crate::paint;
use crate::replay::Case;
use crate::table::Table;

/// Runs in stock for each run of a comparison: a comparison with different seeds draws two.
const STOCK: u32 = 5;
/// Seeds of the stock begin so far behind those of the baseline.
const STUDY_SEEDS: u64 = 1_000_000_000;
/// Work that must be found to be longer.
const LONGER: &str = "1.01";

const HEADINGS: [&str; 7] =
    ["CHANGE", "SEEDS", ">REPEATS", ">PASS", ">REGRESSION", ">INCONCLUSIVE", ">PAIRS"];

/// Which runs make a pair.
#[derive(Clone, Copy, PartialEq)]
enum Seeds {
    /// The same, as `compare` has it unless told otherwise.
    Same,
    /// Different ones, as `compare --seed` has it.
    Different,
}

/// A change and what it does to the runs of the stock.
struct Change {
    name: String,
    runs: Vec<Values>,
}

/// Runs it.
pub fn study(arguments: &Compare, path: &Path, repeats: u32) -> Result<(), Exit> {
    if !arguments.files.is_empty() {
        paint::error("expected --baseline PATH alone");
        return Err(Exit::Usage);
    }
    let pool = input::pool(arguments.threads)?;
    let baselines = baseline::load_all(path)?;
    for (_, baseline) in &baselines {
        let most = arguments.replications.min(baseline.replications);
        let looks = Looks::spending(FIRST_LOOK, most, shared(baselines.len()));
        let stock = Stock::new(arguments, baseline, &pool, most * STOCK)?;
        let mut table = Table::new(&HEADINGS);
        for (place, change) in stock.changes.iter().enumerate() {
            for (seeds, word) in [(Seeds::Same, "same"), (Seeds::Different, "different")] {
                // Nothing is what it is with the same seeds.
                if (place, seeds) == (0, Seeds::Same) {
                    continue;
                }
                let repeat = |repeat| stock.compare(change, seeds, &looks, repeat);
                let found: Vec<Judgement> =
                    pool.install(|| (0..repeats).into_par_iter().map(repeat).collect());
                table.row(cells(&change.name, word, &found));
            }
        }
        say!("{}\n{}", baseline.scenario, table.text().trim_end());
        say!("from {} runs of each\n", stock.known.len());
    }
    Ok(())
}

fn cells(change: &str, seeds: &str, found: &[Judgement]) -> [String; 7] {
    let count = |verdict| {
        let those = found.iter().filter(|judgement| judgement.verdict == verdict);
        those.count().to_string()
    };
    let pairs: f64 = found.iter().map(|judgement| f64::from(judgement.replications)).sum();
    [
        change.to_owned(),
        seeds.to_owned(),
        found.len().to_string(),
        count(Verdict::Pass),
        count(Verdict::Regression),
        count(Verdict::Inconclusive),
        format!("{:.1}", pairs / f64::from(u32::try_from(found.len()).unwrap_or(1).max(1))),
    ]
}

/// Runs of a scenario and of some changes of it, all with the same seeds.
struct Stock {
    scenario: Scenario,
    /// The first one is none.
    changes: Vec<Change>,
    /// What is known of each seed.
    known: Vec<Vec<Vec<f64>>>,
}

impl Stock {
    fn new(
        arguments: &Compare,
        baseline: &Baseline,
        pool: &ThreadPool,
        runs: u32,
    ) -> Result<Self, Exit> {
        let mut scenario = load(baseline, None, &[])?;
        let first_seed = baseline.first_seed.wrapping_add(STUDY_SEEDS);
        scenario.model.seed = first_seed;
        let mut changed: Vec<(String, Scenario)> = vec![("none".to_owned(), scenario.clone())];
        for cmd in &scenario.model.cmds {
            let key = format!("cmds.{}.service_scale={LONGER}", cmd.name);
            let longer = Override::parse(&key).map_err(|_| Exit::InvalidInput)?;
            changed.push((format!("{} 1 % longer", cmd.name), load(baseline, None, &[longer])?));
        }
        if arguments.policy.is_some() || !arguments.overrides.is_empty() {
            let given: Vec<&str> =
                arguments.overrides.iter().map(|given| given.text.as_str()).collect();
            let name = if given.is_empty() { "--policy".to_owned() } else { given.join(" ") };
            let policy = arguments.policy.as_deref();
            changed.push((name, load(baseline, policy, &arguments.overrides)?));
        }
        let metrics: Vec<Metric> =
            scenario.objectives.iter().map(|objective| objective.metric.clone()).collect();
        let mut changes = Vec::new();
        for (name, mut scenario) in changed {
            scenario.model.seed = first_seed;
            let measured = input::measure(pool, &[&Case::new(scenario)], &metrics, 0..runs)?;
            changes.push(Change { name, runs: measured.into_iter().flatten().collect() });
        }
        let of = |number: u32| {
            let seed = first_seed.wrapping_add(u64::from(number));
            known(&Model { seed, ..scenario.model.clone() }, &scenario.objectives)
        };
        let known = pool.install(|| (0..runs).into_par_iter().map(of).collect());
        Ok(Stock { scenario, changes, known })
    }

    /// One comparison.
    fn compare(&self, change: &Change, seeds: Seeds, looks: &Looks, repeat: u32) -> Judgement {
        let count = looks.most() as usize;
        let places = drawn(self.known.len(), 2 * count, u64::from(repeat));
        let (first, second) = places.split_at(count.min(places.len()));
        let pair = |(one, other): (&usize, &usize)| self.pair(change, seeds, *one, *other);
        let pairs: Vec<Observed> = first.iter().zip(second).filter_map(pair).collect();
        judge(&self.scenario.objectives, looks, |range| {
            pairs.get(range.start as usize..range.end as usize).unwrap_or_default().to_vec()
        })
    }

    fn pair(&self, change: &Change, seeds: Seeds, one: usize, other: usize) -> Option<Observed> {
        let before = self.changes.first()?.runs.get(one)?.clone();
        Some(match seeds {
            Seeds::Same => Observed::from((before, change.runs.get(one)?.clone())),
            Seeds::Different => Observed {
                before,
                after: change.runs.get(other)?.clone(),
                controls: differences(self.known.get(one)?, self.known.get(other)?),
            },
        })
    }
}

/// So many places below `size`, each at most once, in a random order (Fisher and Yates).
fn drawn(size: usize, count: usize, repeat: u64) -> Vec<usize> {
    let words = Words::new(repeat, Purpose::Search, 0);
    let mut places: Vec<usize> = (0..size).collect();
    for (place, number) in (0..count.min(size)).zip(0u64..) {
        let (half, _) = halves(words.at(number));
        let left = u32::try_from(size - place).unwrap_or(u32::MAX);
        places.swap(place, place + below(half, left) as usize);
    }
    places.truncate(count);
    places
}
