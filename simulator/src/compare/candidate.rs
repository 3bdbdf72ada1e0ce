//! What is compared with a baseline, and the pairs of runs that tell.

use std::ops::Range;
use std::path::Path;

use rayon::ThreadPool;
use rayon::prelude::*;
use simulator::judge::{Observed, Values};
use simulator::known::known;
use simulator::metric::{Metric, Objective};
use simulator::scenario::{Override, Scenario};
use simulator_model::{MODEL_VERSION, Model};

use super::{Baseline, Compare};
use crate::exit::Exit;
use crate::input::{self, Warnings, quoted};
use crate::paint;
use crate::replay::Case;

/// The candidate.
pub struct Candidate<'a> {
    baseline: &'a Baseline,
    /// The scenario as it is now, with what was given.
    pub case: Case,
    /// The scenario without what was given, if its runs have other seeds than the baseline's.
    plain: Option<Scenario>,
}

impl<'a> Candidate<'a> {
    /// The scenario as it is now, if the baseline fits it; what doesn't has been told otherwise.
    pub fn new(arguments: &Compare, file: &Path, baseline: &'a Baseline) -> Result<Self, Exit> {
        let mut scenario = load(baseline, arguments.policy.as_deref(), &arguments.overrides)?;
        if let Some(reason) = misfit(baseline, &scenario) {
            paint::error(&format!("the baseline {} can't be used: {reason}", file.display()));
            tell!(
                "hint: run the program and the files of the baseline to see what moved; then \
                 record it anew: simulator compare --record --baseline {}",
                quoted(&file.display().to_string())
            );
            return Err(Exit::OtherBaseline);
        }
        let seed = arguments.seed.unwrap_or(baseline.first_seed);
        let is_same = seed == baseline.first_seed;
        let count = u64::from(baseline.replications.max(arguments.replications));
        if !is_same && seed.abs_diff(baseline.first_seed) < count {
            paint::error(&format!(
                "--seed {seed} would use seeds of the baseline {} again, for other runs: its seeds \
                 begin with {}",
                file.display(),
                baseline.first_seed
            ));
            tell!("hint: --seed {}", baseline.first_seed.saturating_add(1_000_000));
            return Err(Exit::Usage);
        }
        scenario.model.seed = seed;
        let plain = if is_same { None } else { Some(load(baseline, None, &[])?) };
        Ok(Candidate { baseline, case: Case::new(scenario), plain })
    }

    /// What was seen in some pairs of runs.
    pub fn observe(&self, pool: &ThreadPool, range: Range<u32>) -> Result<Vec<Observed>, Exit> {
        let objectives = &self.case.scenario.objectives;
        let metrics: Vec<Metric> =
            objectives.iter().map(|objective| objective.metric.clone()).collect();
        let runs = input::measure(pool, &[&self.case], &metrics, range.clone())?;
        let pairs = range.zip(runs.into_iter().flatten());
        let observed = |(number, after): (u32, Values)| Observed {
            before: self.before(number),
            after,
            controls: self.controls(number),
        };
        Ok(pool.install(|| pairs.collect::<Vec<_>>().into_par_iter().map(observed).collect()))
    }

    /// The baseline's values of the scenario's objectives in a run.
    fn before(&self, number: u32) -> Values {
        let value = |objective: &Objective| {
            let values = self.baseline.values(&objective.metric.name)?;
            values.get(number as usize).copied().flatten()
        };
        self.case.scenario.objectives.iter().map(value).collect()
    }

    /// By how much what is known of a run's seed exceeds what is known of the baseline's.
    fn controls(&self, number: u32) -> Vec<Vec<f64>> {
        let Some(plain) = &self.plain else { return Vec::new() };
        let objectives = &self.case.scenario.objectives;
        let of = |first: u64| {
            let seed = first.wrapping_add(u64::from(number));
            known(&Model { seed, ..plain.model.clone() }, objectives)
        };
        differences(&of(self.baseline.first_seed), &of(self.case.scenario.model.seed))
    }
}

/// By how much the second exceeds the first.
pub fn differences(first: &[Vec<f64>], second: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let of = |(first, second): (&Vec<f64>, &Vec<f64>)| {
        first.iter().zip(second).map(|(first, second)| second - first).collect()
    };
    first.iter().zip(second).map(of).collect()
}

/// The scenario of a baseline as it is now, with other rules or keys if they are given.
pub fn load(
    baseline: &Baseline,
    policy: Option<&Path>,
    more: &[Override],
) -> Result<Scenario, Exit> {
    let mut overrides = baseline.overrides()?;
    overrides.extend(more.iter().cloned());
    let path = Path::new(&baseline.scenario);
    let mut scenario = input::load(path, policy, &overrides, Warnings::Silent)?;
    scenario.model.seed = baseline.first_seed;
    Ok(scenario)
}

/// Why a baseline can't be compared with a scenario.
fn misfit(baseline: &Baseline, scenario: &Scenario) -> Option<String> {
    if baseline.model_version != MODEL_VERSION {
        return Some(format!(
            "it was recorded with version {} of the model, this is version {MODEL_VERSION}",
            baseline.model_version
        ));
    }
    // One that an earlier program has recorded knows the scenario as it is written.
    let known = [&scenario.digest, &scenario.digest_as_written];
    if !known.contains(&&baseline.scenario_digest) {
        return Some(format!("{} has changed since it was recorded", baseline.scenario));
    }
    let is_missing = |objective: &&Objective| baseline.values(&objective.metric.name).is_none();
    let missing = scenario.objectives.iter().find(is_missing);
    missing.map(|objective| format!("it has no values of {}", objective.metric.name))
}
