//! `simulator compare`: a change against a baseline, by pairs of runs with the same seeds.

use std::fs;
use std::path::{Path, PathBuf};

use simulator::judge::{Judgement, Observed, Values, Verdict, judge};
use simulator::metric::Metric;
use simulator::scenario::{Override, Scenario};
use simulator_kernel::{Levels, Looks};

use crate::exit::Exit;
use crate::input::{self, Warnings, quoted};
use crate::paint;
use crate::replay::Case;

mod baseline;
mod candidate;
mod files;
mod show;
mod study;

use baseline::Baseline;
use candidate::Candidate;

/// Wrong verdicts that are left for everything that is compared at once, whatever the number of
/// scenarios, objectives and looks: a false alarm in one of 1,000 comparisons, and in one of 100 a pass
/// of what is just beyond a margin.
const LEVELS: Levels = Levels { moved: 0.001, holds: 0.01 };
/// Runs before the first look; fewer would need tests beyond what their normality bears.
const FIRST_LOOK: u32 = 6;
/// The most runs unless told otherwise: enough to prove half a percent of the mean of images even
/// where a change has made all runs independent of those before.
const MOST_RUNS: u32 = 192;

/// `simulator compare`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// Two results.json of `run --replications N -o FOLDER`: before and after. With --record:
    /// scenarios.
    pub files: Vec<PathBuf>,
    /// A baseline, or a folder of them: what is there now is run and compared with it.
    #[arg(long, value_name = "PATH")]
    pub baseline: Option<PathBuf>,
    /// Write baselines of the given scenarios into the folder, or anew of all that it holds.
    #[arg(long, requires = "baseline")]
    pub record: bool,
    /// A policy file to use instead of the scenarios' own policy.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Another value for a key of the scenarios; may be given several times.
    #[arg(long = "set", value_name = "KEY.KEY=VALUE", value_parser = Override::parse)]
    pub overrides: Vec<Override>,
    /// Seed of the first run, instead of that of the baseline: for a policy that was tuned on those.
    /// No seed of the baseline may come again.
    #[arg(long, value_name = "N", requires = "baseline", conflicts_with = "record")]
    pub seed: Option<u64>,
    /// Compare so many times, each time with other runs, what is no worse and what is 1 % longer work,
    /// and tell how often the verdict is wrong. Takes minutes.
    #[arg(long, value_name = "COUNT", requires = "baseline",
          conflicts_with_all = ["record", "seed", "markdown"],
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub study: Option<u32>,
    /// The most runs of each scenario; a baseline keeps so many.
    #[arg(long, value_name = "COUNT", default_value_t = MOST_RUNS,
          value_parser = clap::value_parser!(u32).range(6..=10_000))]
    pub replications: u32,
    /// Threads; all processors if absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Also write the result as Markdown, for a comment or a job summary.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// The comparison of one scenario.
struct Compared {
    /// What was compared.
    name: String,
    judgement: Judgement,
    /// The command that repeats it.
    again: String,
    /// Anything else that the reader should know.
    notes: Vec<String>,
}

/// Runs it.
pub fn compare(arguments: &Compare) -> Exit {
    if let (Some(path), Some(repeats)) = (&arguments.baseline, arguments.study) {
        return study::study(arguments, path, repeats).err().unwrap_or(Exit::Done);
    }
    let done = match (&arguments.baseline, arguments.record, arguments.files.as_slice()) {
        (Some(path), true, scenarios) => {
            return record(arguments, path, scenarios).err().unwrap_or(Exit::Done);
        }
        (Some(path), false, []) => with_baselines(arguments, path),
        (None, _, [before, after]) => with_files(arguments, before, after),
        _ => {
            paint::error("expected two results.json, or --baseline PATH");
            return Exit::Usage;
        }
    };
    match done {
        Ok(compared) => finish(arguments, &compared),
        Err(exit) => exit,
    }
}

fn finish(arguments: &Compare, compared: &[Compared]) -> Exit {
    for one in compared {
        say!("{}", show::text(one).trim_end());
        say!("");
    }
    let has = |verdict| compared.iter().any(|one| one.judgement.verdict == verdict);
    let (word, exit) = match (has(Verdict::Regression), has(Verdict::Inconclusive)) {
        (true, _) => ("regression", Exit::Regression),
        (false, true) => ("inconclusive", Exit::Inconclusive),
        (false, false) => ("pass", Exit::Done),
    };
    show::complaints(compared);
    say!("{word}: {} compared", scenarios(compared.len()));
    if let Some(path) = &arguments.markdown
        && let Err(error) = fs::write(path, show::markdown(compared, word))
    {
        paint::error(&format!("failed to write {}: {error}", path.display()));
        return Exit::Environment;
    }
    exit
}

fn scenarios(count: usize) -> String {
    if count == 1 { "1 scenario".to_owned() } else { format!("{count} scenarios") }
}

/// The levels of each of so many scenarios. False alarms add up over scenarios, so each gets the same
/// part (Bonferroni); within each, Holm's method takes over. A wrong pass of the whole needs one of
/// the scenario that is worse, so that level needn't be shared.
fn shared(scenarios: usize) -> Levels {
    let scenarios = u32::try_from(scenarios).map_or(f64::INFINITY, f64::from);
    Levels { moved: LEVELS.moved / scenarios, ..LEVELS }
}

fn with_baselines(arguments: &Compare, path: &Path) -> Result<Vec<Compared>, Exit> {
    let baselines = baseline::load_all(path)?;
    let pool = input::pool(arguments.threads)?;
    let mut compared = Vec::new();
    let levels = shared(baselines.len());
    for (file, baseline) in &baselines {
        let candidate = Candidate::new(arguments, file, baseline)?;
        let scenario = &candidate.case.scenario;
        let most = arguments.replications.min(baseline.replications);
        let looks = Looks::spending(FIRST_LOOK, most, levels);
        let mut failure = None;
        let judgement = judge(&scenario.objectives, &looks, |range| {
            candidate.observe(&pool, range).unwrap_or_else(|exit| {
                failure = Some(exit);
                Vec::new()
            })
        });
        if let Some(exit) = failure {
            return Err(exit);
        }
        let notes = notes(arguments, baseline, scenario, &judgement);
        let again = again(arguments, file);
        compared.push(Compared { name: baseline.scenario.clone(), judgement, again, notes });
    }
    Ok(compared)
}

fn notes(
    arguments: &Compare,
    baseline: &Baseline,
    scenario: &Scenario,
    judgement: &Judgement,
) -> Vec<String> {
    let mut notes = Vec::new();
    let is_same = baseline.policy_digest == scenario.policy.digest();
    let has_changed = judgement.rows.iter().any(|row| {
        row.comparison.as_ref().is_some_and(|seen| seen.interval(0.99) != Some((0.0, 0.0)))
    });
    if is_same && arguments.overrides.is_empty() && arguments.seed.is_none() && has_changed {
        notes.push(
            "the policy is the same, the figures aren't: the simulator itself has changed, and \
             MODEL_VERSION hasn't"
                .to_owned(),
        );
    }
    let better = judgement.rows.iter().filter(|row| row.is_better(judgement.levels.holds));
    let better: Vec<&str> = better.map(|row| row.objective.metric.name.as_str()).collect();
    if !better.is_empty() && judgement.verdict == Verdict::Pass {
        notes.push(format!(
            "better: {}; record a new baseline, so that it stays so",
            better.join(", ")
        ));
    }
    notes
}

fn again(arguments: &Compare, file: &Path) -> String {
    let mut command =
        format!("simulator compare --baseline {}", quoted(&file.display().to_string()));
    if let Some(policy) = &arguments.policy {
        command.push_str(&format!(" --policy {}", quoted(&policy.display().to_string())));
    }
    for given in &arguments.overrides {
        command.push_str(&format!(" --set {}", quoted(&given.text)));
    }
    if let Some(seed) = arguments.seed {
        command.push_str(&format!(" --seed {seed}"));
    }
    if arguments.replications != MOST_RUNS {
        command.push_str(&format!(" --replications {}", arguments.replications));
    }
    command
}

fn with_files(arguments: &Compare, before: &Path, after: &Path) -> Result<Vec<Compared>, Exit> {
    let pairs = files::Pairs::read(before, after)?;
    // All runs are there already: one look at all of them.
    let looks = Looks::spending(pairs.count(), pairs.count(), LEVELS);
    let judgement = judge(pairs.objectives(), &looks, |range| {
        pairs.values(range).into_iter().map(Observed::from).collect()
    });
    let paths = [before, after].map(|path| quoted(&path.display().to_string()));
    let mut notes = Vec::new();
    if judgement.verdict == Verdict::Inconclusive {
        notes.push("run both with more --replications to tell".to_owned());
    }
    if arguments.policy.is_some() || !arguments.overrides.is_empty() {
        notes.push("--policy and --set mean nothing for results that are there".to_owned());
    }
    Ok(vec![Compared {
        name: format!("{} and {}", before.display(), after.display()),
        judgement,
        again: format!("simulator compare {} {}", paths[0], paths[1]),
        notes,
    }])
}

/// Writes baselines.
fn record(arguments: &Compare, path: &Path, scenarios: &[PathBuf]) -> Result<(), Exit> {
    let pool = input::pool(arguments.threads)?;
    let mut wanted: Vec<(PathBuf, String, Vec<Override>, Option<u32>)> = Vec::new();
    if scenarios.is_empty() {
        for (file, baseline) in baseline::load_all(path)? {
            let overrides = baseline.overrides()?;
            wanted.push((file, baseline.scenario, overrides, Some(baseline.replications)));
        }
    }
    for scenario in scenarios {
        let stem = scenario.file_stem().unwrap_or_default();
        let file = path.join(stem).with_extension("json");
        let name = scenario.display().to_string();
        wanted.push((file, name, arguments.overrides.clone(), None));
    }
    for (file, name, overrides, replications) in wanted {
        let policy = arguments.policy.as_deref();
        let scenario = input::load(Path::new(&name), policy, &overrides, Warnings::Told)?;
        let metrics: Vec<Metric> =
            scenario.objectives.iter().map(|objective| objective.metric.clone()).collect();
        let replications = replications.unwrap_or(arguments.replications);
        let case = Case::new(scenario);
        let runs = input::measure(&pool, &[&case], &metrics, 0..replications)?;
        let runs: Vec<Values> = runs.into_iter().flatten().collect();
        let baseline = Baseline::new(name, &overrides, &case.scenario, &runs);
        baseline.write(&file)?;
        say!("recorded {}: {replications} runs of {}", file.display(), baseline.scenario);
    }
    Ok(())
}
