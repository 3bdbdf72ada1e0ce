//! Two results.json, paired by their seeds.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use simulator::judge::Values;
use simulator::metric::{self, Objective};

use super::baseline::read_json;
use crate::exit::Exit;
use crate::paint;
use crate::results::Replayed;

/// What is read of a results.json; there is more in it.
#[derive(Debug, Deserialize)]
struct File {
    version: u32,
    model_version: u32,
    scenario_digest: String,
    #[serde(default)]
    origin: Replays,
    objectives: Vec<Watched>,
    runs: Vec<Run>,
}

/// Of an origin, what the digest of the scenario doesn't have.
#[derive(Debug, Default, PartialEq, Deserialize)]
struct Replays {
    replay: Option<Replayed>,
}

#[derive(Debug, Deserialize)]
struct Watched {
    metric: String,
    margin: f64,
}

#[derive(Debug, Deserialize)]
struct Run {
    seed: u64,
    metrics: BTreeMap<String, Option<f64>>,
}

/// Runs before and after, with the same seeds.
pub struct Pairs {
    objectives: Vec<Objective>,
    runs: Vec<(Run, Run)>,
}

impl Pairs {
    /// Reads both; what doesn't fit has been told when this fails.
    pub fn read(before: &Path, after: &Path) -> Result<Self, Exit> {
        let [first, second] = [read(before)?, read(after)?];
        let differ = |what: &str| {
            let paths = format!("{} and {}", before.display(), after.display());
            paint::error(&format!("{paths} can't be compared: they are of different {what}"));
            Err(Exit::OtherBaseline)
        };
        if first.model_version != second.model_version {
            return differ("versions of the model");
        }
        if first.scenario_digest != second.scenario_digest {
            return differ("scenarios");
        }
        if first.origin != second.origin {
            return differ("traces, or of the same one played otherwise");
        }
        let mut before: BTreeMap<u64, Run> =
            first.runs.into_iter().map(|run| (run.seed, run)).collect();
        let runs: Vec<(Run, Run)> = second
            .runs
            .into_iter()
            .filter_map(|after| Some((before.remove(&after.seed)?, after)))
            .collect();
        if runs.len() < 2 {
            paint::error(&format!(
                "they have {} seeds in common, at least 2 are needed",
                runs.len()
            ));
            tell!("hint: run both with the same --seed and with --replications 20");
            return Err(Exit::OtherBaseline);
        }
        let objectives = second.objectives.into_iter().filter_map(|watched| {
            let metric = metric::of_name(&watched.metric)?;
            Some(Objective { metric, margin: watched.margin })
        });
        Ok(Pairs { objectives: objectives.collect(), runs })
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// What is watched: what the scenario of the second says.
    pub fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    /// Values of some of the pairs.
    pub fn values(&self, range: Range<u32>) -> Vec<(Values, Values)> {
        let of = |run: &Run| -> Values {
            let names = self.objectives.iter().map(|objective| &objective.metric.name);
            names.map(|name| run.metrics.get(name).copied().flatten()).collect()
        };
        let range = range.start as usize..range.end as usize;
        let pairs = self.runs.get(range).unwrap_or_default();
        pairs.iter().map(|(before, after)| (of(before), of(after))).collect()
    }
}

fn read(path: &Path) -> Result<File, Exit> {
    let value = read_json(path)?;
    let file: File = serde_json::from_value(value).map_err(|error| {
        paint::error(&format!("{} is no results.json of this program: {error}", path.display()));
        Exit::InvalidInput
    })?;
    if file.version != crate::export::RESULTS_VERSION {
        paint::error(&format!("{} has version {}", path.display(), file.version));
        return Err(Exit::OtherBaseline);
    }
    Ok(file)
}
