//! `simulator tune`: a policy that costs least and meets its conditions, searched for on some seeds
//! and checked on others.

use std::ops::Range;
use std::path::PathBuf;

use rayon::ThreadPool;
use simulator::judge::{Met, Values, meets};
use simulator::metric::{self, Condition, Metric, Statistic};
use simulator::parameter::Parameter;
use simulator::scenario::{Override, Scenario};
use simulator::search::{Effort, Point, Search, Tried};
use simulator_kernel::gate::Worse;
use simulator_kernel::{Finding, Looks};

use crate::exit::Exit;
use crate::input::{self, Warnings, quoted};
use crate::paint;
use crate::progress::Stop;
use crate::replay::{Case, Played};
use crate::sweep::{overrides, parameters};

mod advice;
mod files;
mod show;

/// Wrong answers of the check: 1 in 20 for all finalists together.
const LEVEL: f64 = 0.05;
/// Halving ends with so many, and so many are checked at most.
const FINALISTS: u32 = 4;
/// Seeds of the check begin so far behind those of the search.
const CHECK_SEEDS: u64 = 1_000_000;

/// `simulator tune`.
#[derive(Debug, clap::Args)]
pub struct Tune {
    #[command(flatten)]
    pub subject: Played,
    /// What is to be least, or most if more is better.
    #[arg(long, value_name = "METRIC", default_value = "cost_core_hours")]
    pub objective: String,
    /// What must hold, such as 'paid.p99_ms<=500,rejected<=0.1%'.
    #[arg(long, value_name = "CONDITION,…", required = true)]
    pub subject_to: Vec<String>,
    /// A key and its values: KEY=a..b, KEY=a..b step c, or KEY=a,b,c. If absent: queues, balance,
    /// and scaling if anything scales.
    #[arg(long = "param", value_name = "KEY=VALUES")]
    pub parameters: Vec<String>,
    /// Where the policy is written.
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Settings that are tried first; half of them are given up in each round.
    #[arg(long, value_name = "COUNT", default_value_t = 48,
          value_parser = clap::value_parser!(u32).range(4..=4_096))]
    pub candidates: u32,
    /// Steps from the best of them to better neighbours.
    #[arg(long, value_name = "COUNT", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub steps: u32,
    /// Runs of the check, with seeds that the search didn't see.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(5..=1_000))]
    pub check: u32,
    /// Threads; all processors if absent. Results don't depend on it.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Folder for tune.json, front.csv and report.html: all settings, and those of which none is
    /// better both in cost and in p99; made if it isn't there.
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// Runs it.
pub fn tune(arguments: &Tune) -> Exit {
    done(arguments).unwrap_or_else(|exit| exit)
}

fn done(arguments: &Tune) -> Result<Exit, Exit> {
    let base = arguments.subject.load()?;
    let task = Task::new(arguments, base)?;
    input::folder(arguments.output.as_deref())?;
    let tried = task.search()?;
    let checked = task.check(&tried).inspect_err(|exit| {
        if *exit == Exit::Stopped {
            say!("{}\n\nagain: {}", show::stopped(&task, &tried), task.again());
        }
    })?;
    let text = show::text(&task, &tried, &checked);
    say!("{}", text.trim_end());
    if let Some(folder) = &arguments.output {
        files::write_tried(&task, &tried, folder)?;
        files::write_page(&task, &tried, &checked, &text, folder)?;
    }
    let Some(found) = &checked.found else {
        say!("\nagain: {}", task.again());
        return Ok(Exit::Unmet);
    };
    if let Some(path) = &arguments.write {
        files::write_policy(&task, &checked, found, path)?;
        say!("\nwritten to {}; try: {}", path.display(), task.try_it(path));
    }
    say!("\nagain: {}", task.again());
    Ok(Exit::Done)
}

/// What is to be found.
struct Task<'a> {
    arguments: &'a Tune,
    base: Case,
    parameters: Vec<Parameter>,
    conditions: Vec<Condition>,
    worse: Worse,
    /// The objective, the conditions' metrics, cost, and the time of the front.
    metrics: Vec<Metric>,
    pool: ThreadPool,
    stop: Stop,
}

/// What the check found.
struct Checked {
    /// The first finalist that meets all conditions.
    found: Option<Finalist>,
    /// Finalists that don't, the best of the search first.
    failed: Vec<Finalist>,
    /// The policy as it was, with the seeds of `found`, or of the first that failed.
    before: Vec<Values>,
}

impl Checked {
    /// What the policy before is compared with.
    fn shown(&self) -> Option<&Finalist> {
        self.found.as_ref().or(self.failed.first())
    }
}

/// A policy that was checked.
struct Finalist {
    point: Point,
    scenario: Scenario,
    runs: Vec<Values>,
    met: Met,
    first_seed: u64,
}

impl<'a> Task<'a> {
    fn new(arguments: &'a Tune, base: Case) -> Result<Self, Exit> {
        let model = &base.scenario.model;
        let objective =
            input::metrics("--objective", std::slice::from_ref(&arguments.objective), model)?;
        let conditions = input::conditions("--subject-to", &arguments.subject_to, model)?;
        let [objective] = objective.as_slice() else {
            paint::error("--objective takes one metric");
            return Err(Exit::Usage);
        };
        let Some(worse) = objective.figure.worse() else {
            paint::error(&format!("{} is neither good nor bad", objective.name));
            return Err(Exit::InvalidInput);
        };
        let mut metrics = vec![objective.clone()];
        metrics.extend(conditions.iter().map(|condition| condition.metric.clone()));
        metrics.extend(metric::of_name("cost_core_hours"));
        metrics.extend(tail(&conditions).or_else(|| metric::of_name("p99_ms")));
        let given = parameters("--param", &arguments.parameters)?;
        let parameters = if given.is_empty() { defaults(&base.scenario)? } else { given };
        let pool = input::pool(arguments.threads)?;
        let stop = Stop::listen()?;
        Ok(Task { arguments, base, parameters, conditions, worse, metrics, pool, stop })
    }

    fn overrides(&self, point: &Point) -> Vec<Override> {
        overrides(&self.parameters, point)
    }

    fn search(&self) -> Result<Vec<Tried>, Exit> {
        let sizes: Vec<usize> =
            self.parameters.iter().map(|parameter| parameter.values.len()).collect();
        // What is wrong with a key is wrong with all of its values: told before anything is run.
        let first = vec![0; sizes.len()];
        let is_possible = |point: &Point| {
            self.arguments.subject.try_load_with(&self.overrides(point)).map(|it| it.is_some())
        };
        for (number, size) in sizes.iter().enumerate() {
            let mut last = first.clone();
            if let Some(entry) = last.get_mut(number) {
                *entry = size - 1;
            }
            let alone: Vec<Override> =
                self.parameters.get(number).and_then(|it| it.set(size - 1)).into_iter().collect();
            if !is_possible(&last)? {
                self.arguments.subject.load_with(&alone, Warnings::Silent)?;
            }
        }
        let mut failure = None;
        let effort = Effort {
            candidates: self.arguments.candidates,
            first_runs: 2,
            finalists: FINALISTS,
            steps: self.arguments.steps,
        };
        let tried = Search {
            sizes: &sizes,
            worse: self.worse,
            conditions: &self.conditions,
            seed: self.base.scenario.model.seed,
            effort,
            run: |points: &[Point], range| {
                self.run(points, range).unwrap_or_else(|exit| {
                    failure = Some(exit);
                    points.iter().map(|_| None).collect()
                })
            },
        }
        .run();
        match failure {
            Some(Exit::Stopped) => {
                say!("{}\n\nagain: {}", show::stopped(self, &tried), self.again());
                Err(Exit::Stopped)
            }
            Some(exit) => Err(exit),
            None => Ok(tried),
        }
    }

    fn run(&self, points: &[Point], range: Range<u32>) -> Result<Vec<Option<Vec<Values>>>, Exit> {
        let mut cases: Vec<Option<Case>> = Vec::new();
        for point in points {
            cases.push(self.arguments.subject.try_load_with(&self.overrides(point))?);
        }
        let present: Vec<&Case> = cases.iter().flatten().collect();
        let runs = input::measure_until(&self.stop, &self.pool, &present, &self.metrics, range)?;
        // Some have fewer runs than others then, and can't be compared.
        let runs: Option<Vec<Vec<Values>>> = runs.into_iter().collect();
        let mut runs = runs.ok_or(Exit::Stopped)?.into_iter();
        Ok(cases.iter().map(|case| case.as_ref().and_then(|_| runs.next())).collect())
    }

    /// Runs finalists with seeds that the search didn't see, the best first, until one holds.
    fn check(&self, tried: &[Tried]) -> Result<Checked, Exit> {
        let (mut found, mut failed) = (None, Vec::new());
        for (number, finalist) in (1u64..).zip(tried.iter().take(FINALISTS as usize)) {
            let given = self.overrides(&finalist.point);
            let mut case = self.arguments.subject.load_with(&given, Warnings::Silent)?;
            let first_seed = self.base.scenario.model.seed.wrapping_add(CHECK_SEEDS * number);
            case.scenario.model.seed = first_seed;
            let runs = self.measure(&case)?;
            let met = self.met(&runs);
            let holds = met.finding == Finding::Holds;
            let point = finalist.point.clone();
            let checked = Finalist { point, scenario: case.scenario, runs, met, first_seed };
            if holds {
                found = Some(checked);
                break;
            }
            failed.push(checked);
        }
        let mut checked = Checked { found, failed, before: Vec::new() };
        if let Some(finalist) = checked.shown() {
            let mut before = self.base.clone();
            before.scenario.model.seed = finalist.first_seed;
            checked.before = self.measure(&before)?;
        }
        Ok(checked)
    }

    /// Whether runs of the check are proven to meet the conditions.
    fn met(&self, runs: &[Values]) -> Met {
        let (count, level) = (self.arguments.check, LEVEL / f64::from(FINALISTS));
        meets(&self.conditions, &Looks::doubling(count, count, level), |_| {
            runs.iter().map(|values| values.get(1..).unwrap_or_default().to_vec()).collect()
        })
    }

    fn measure(&self, case: &Case) -> Result<Vec<Values>, Exit> {
        let numbers = 0..self.arguments.check;
        let mut runs =
            input::measure_until(&self.stop, &self.pool, &[case], &self.metrics, numbers)?;
        runs.pop().flatten().ok_or(Exit::Stopped)
    }

    fn again(&self) -> String {
        let arguments = self.arguments;
        let mut command = format!(
            "simulator tune {} --objective {}",
            arguments.subject.words(),
            quoted(&arguments.objective)
        );
        for text in &arguments.subject_to {
            command.push_str(&format!(" --subject-to {}", quoted(text)));
        }
        for text in &arguments.parameters {
            command.push_str(&format!(" --param {}", quoted(text)));
        }
        if arguments.candidates != 48 {
            command.push_str(&format!(" --candidates {}", arguments.candidates));
        }
        if arguments.steps != 6 {
            command.push_str(&format!(" --steps {}", arguments.steps));
        }
        if arguments.check != 20 {
            command.push_str(&format!(" --check {}", arguments.check));
        }
        command
    }

    fn try_it(&self, policy: &std::path::Path) -> String {
        let mut played = self.arguments.subject.clone();
        played.subject.policy = Some(policy.to_owned());
        // What was set of the policy stands in the file; set again, it would replace what was found.
        played.subject.overrides.retain(|given| {
            !given.text.starts_with("policy.") && !given.text.starts_with("policy=")
        });
        played.command()
    }
}

/// The first condition's metric that is a quantile or a maximum of times.
fn tail(conditions: &[Condition]) -> Option<Metric> {
    let is_tail = |metric: &&Metric| matches!(metric.figure, metric::Figure::Time(_, statistic) if statistic != Statistic::Mean);
    conditions.iter().map(|condition| &condition.metric).find(is_tail).cloned()
}

/// What is varied if the user doesn't say.
fn defaults(base: &Scenario) -> Result<Vec<Parameter>, Exit> {
    let mut texts = vec![
        "policy.queue.free=3,5,10,20,40,80",
        "policy.queue.paid=2,3,5,8,12,20,40",
        "policy.queue.classes=together,apart",
        "policy.balance={rule: power_of_choices, choices: 2},{rule: power_of_choices, choices: 4},\
         {rule: least_loaded}",
    ];
    if scales(base) {
        texts.extend([
            "policy.scaling.target=1,2,3,5,10",
            "policy.scaling.step=1,2,4,8,16,32,64",
            "policy.scaling.interval=1s,2s,5s,10s",
            "policy.scaling.cool_down=0s,2s,5s,10s,30s",
            "policy.scaling.scale_in_after=10s,30s,1min,2min,5min,10min",
        ]);
    }
    parameters("--param", &texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>())
}

/// Whether any app scales.
fn scales(base: &Scenario) -> bool {
    let model = &base.model;
    model.apps.iter().any(|app| app.scaling(&model.dynamics).is_some())
}
