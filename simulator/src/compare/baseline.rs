//! Baselines: what objectives were in so many runs, seed by seed, of which scenario and model.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use simulator::judge::Values;
use simulator::scenario::{Override, Scenario};
use simulator_model::MODEL_VERSION;

use crate::exit::Exit;
use crate::paint;

/// Version of the format of baselines.
const BASELINE_VERSION: u32 = 1;
/// Ten thousand runs of a hundred objectives.
const MAX_FILE_BYTES: u64 = 32 << 20;

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    program: String,
    /// What a seed meant.
    pub model_version: u32,
    /// The scenario file, from the folder in which it was recorded.
    pub scenario: String,
    /// What the file meant, apart from its policy and objectives.
    pub scenario_digest: String,
    /// What was set, as `--set` has it.
    set: Vec<String>,
    /// The effective policy.
    pub policy_digest: String,
    /// The seed of the first run; the others follow.
    pub first_seed: u64,
    /// How many runs there were.
    pub replications: u32,
    objectives: Vec<Column>,
}

/// The values of one objective, one for each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    metric: String,
    values: Vec<Option<f64>>,
}

impl Baseline {
    /// The baseline of a scenario and its runs.
    pub fn new(name: String, overrides: &[Override], scenario: &Scenario, runs: &[Values]) -> Self {
        let columns = scenario.objectives.iter().enumerate().map(|(place, objective)| Column {
            metric: objective.metric.name.clone(),
            values: runs.iter().map(|values| values.get(place).copied().flatten()).collect(),
        });
        Baseline {
            version: BASELINE_VERSION,
            program: concat!("simulator ", env!("CARGO_PKG_VERSION")).to_owned(),
            model_version: MODEL_VERSION,
            scenario: name,
            scenario_digest: scenario.digest.clone(),
            set: overrides.iter().map(|given| given.text.clone()).collect(),
            policy_digest: scenario.policy.digest(),
            first_seed: scenario.model.seed,
            replications: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            objectives: columns.collect(),
        }
    }

    /// The values of a metric.
    pub fn values(&self, metric: &str) -> Option<&[Option<f64>]> {
        let column = self.objectives.iter().find(|column| column.metric == metric)?;
        Some(&column.values)
    }

    /// What was set when it was recorded.
    pub fn overrides(&self) -> Result<Vec<Override>, Exit> {
        let read = |text: &String| {
            Override::parse(text).map_err(|reason| {
                paint::error(&format!("the baseline of {} sets `{text}`: {reason}", self.scenario));
                Exit::InvalidInput
            })
        };
        self.set.iter().map(read).collect()
    }

    /// Writes the file: one line for each objective, so that a change of it can be reviewed.
    pub fn write(&self, path: &Path) -> Result<(), Exit> {
        let failed = |error: &dyn std::fmt::Display| {
            paint::error(&format!("failed to write {}: {error}", path.display()));
            Exit::Environment
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let mut lines = Vec::new();
        let value = serde_json::to_value(self).map_err(|error| failed(&error))?;
        for (key, value) in value.as_object().into_iter().flatten() {
            let text = match value.as_array().filter(|_| key == "objectives") {
                Some(columns) => {
                    let columns: Vec<String> =
                        columns.iter().map(|column| format!("    {column}")).collect();
                    format!("[\n{}\n  ]", columns.join(",\n"))
                }
                None => value.to_string(),
            };
            lines.push(format!("  \"{key}\": {text}"));
        }
        let text = format!("{{\n{}\n}}\n", lines.join(",\n"));
        fs::write(path, text).map_err(|error| failed(&error))
    }

    fn read(path: &Path) -> Result<Self, Exit> {
        let value = read_json(path)?;
        if value.get("command").is_some() && value.get("cells").is_some() {
            paint::error(&format!("{} is no baseline: a run has written it", path.display()));
            tell!("hint: two of them are compared so: simulator compare BEFORE AFTER");
            return Err(Exit::InvalidInput);
        }
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(BASELINE_VERSION)) {
            let version = version.map_or("none".to_owned(), |version| version.to_string());
            paint::error(&format!(
                "{} can't be used: its version is {version}, this program knows {BASELINE_VERSION}",
                path.display()
            ));
            return Err(Exit::OtherBaseline);
        }
        let baseline: Baseline = serde_json::from_value(value).map_err(|error| {
            paint::error(&format!("{} is no baseline: {error}", path.display()));
            Exit::InvalidInput
        })?;
        let runs = baseline.replications as usize;
        if let Some(column) = baseline.objectives.iter().find(|column| column.values.len() != runs)
        {
            paint::error(&format!(
                "{} is no baseline: {} has {} values of {runs} runs",
                path.display(),
                column.metric,
                column.values.len()
            ));
            return Err(Exit::InvalidInput);
        }
        Ok(baseline)
    }
}

/// A JSON file of a sane size.
pub fn read_json(path: &Path) -> Result<serde_json::Value, Exit> {
    let unreadable = |error: std::io::Error| {
        paint::error(&format!("failed to read {}: {error}", path.display()));
        Exit::Environment
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_BYTES {
        paint::error(&format!("{} has {size} bytes: too many", path.display()));
        return Err(Exit::InvalidInput);
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|error| {
        paint::error(&format!("{} is no JSON: {error}", path.display()));
        Exit::InvalidInput
    })
}

/// All baselines at a path: it is one, or a folder of them.
pub fn load_all(path: &Path) -> Result<Vec<(PathBuf, Baseline)>, Exit> {
    if !path.is_dir() {
        return Ok(vec![(path.to_owned(), Baseline::read(path)?)]);
    }
    let unreadable = |error: std::io::Error| {
        paint::error(&format!("failed to read {}: {error}", path.display()));
        Exit::Environment
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        paint::error(&format!("there is no baseline in {}", path.display()));
        tell!("hint: simulator compare --record --baseline FOLDER SCENARIO…");
        return Err(Exit::OtherBaseline);
    }
    files.into_iter().map(|file| Ok((file.clone(), Baseline::read(&file)?))).collect()
}
