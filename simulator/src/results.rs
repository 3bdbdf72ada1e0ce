//! What a command has found out: the reports of all replications, and how to get them again.

use policy::{Nanoseconds, Time};
use serde::{Deserialize, Serialize};
use simulator_kernel::Moments;
use simulator_model::{Cell, Report, Timeline};

use crate::advice;
use crate::input::Loaded;
use simulator::scenario::Scenario;

/// Results of one `simulator run`.
#[derive(Debug)]
pub struct Results {
    /// What was run; its seed is the first.
    pub scenario: Scenario,
    /// The name of the file.
    pub name: String,
    /// What it was read from.
    pub origin: Origin,
    /// Warnings about the scenario and the run.
    pub warnings: Vec<String>,
    /// Those about the run, which aren't told yet.
    pub advice: Vec<String>,
    /// The digest of the effective policy.
    pub policy_digest: String,
    /// The command that gives the same results.
    pub command: String,
    /// One report for each seed, in their order.
    pub reports: Vec<Report>,
    /// All of them in one.
    pub merged: Report,
    /// The same runs in which nothing is lent, if apps share.
    pub without: Option<Report>,
    /// The course of the run with the first seed, if it was asked for.
    pub timeline: Option<Timeline>,
    /// What is missing, if the run was stopped.
    pub partial: Option<Partial>,
}

/// The texts that a scenario was read from: enough to read it again without its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The scenario, and then the files that it names, by the name that it uses.
    pub files: Vec<NamedText>,
    /// The policy that was given in the place of its own.
    pub policy: Option<NamedText>,
    /// The trace that was replayed; its rows are not here.
    pub trace: Option<String>,
    /// How it was replayed; missing in files of earlier programs.
    #[serde(default)]
    pub replay: Option<Replayed>,
    /// The arguments of `--set`, in their order.
    pub overrides: Vec<String>,
}

/// Enough to replay a trace again, and to see whether it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// The trace and how it was read and played, as arguments of `simulator replay`.
    pub arguments: Vec<String>,
    /// Requests that were found in it.
    pub requests: u64,
    /// When the last of them arrives, since the beginning of the trace.
    pub last_ns: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedText {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// A run that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// When, if not even the first replication has ended.
    pub stopped: Option<Time>,
    /// How many replications were asked for.
    pub wanted: usize,
}

/// What became of one seed, with the course of the run if it was asked for.
pub type Replication = (Report, Option<Timeline>);

impl Results {
    /// Results of replications, of which those are missing that weren't begun: the replications up
    /// to the first that didn't end, or the beginning of that one, if there are none.
    pub fn new(
        loaded: Loaded,
        name: String,
        command: String,
        runs: Vec<Option<Replication>>,
    ) -> Option<Self> {
        let Loaded { scenario, origin, mut warnings } = loaded;
        let wanted = runs.len();
        let is_whole = |run: &Option<Replication>| {
            run.as_ref().is_some_and(|(report, _)| report.stopped().is_none())
        };
        let whole = runs.iter().take_while(|run| is_whole(run)).count();
        let mut reports = Vec::new();
        let mut timeline = None;
        for (report, course) in runs.into_iter().map_while(|run| run).take(whole.max(1)) {
            reports.push(report);
            timeline = timeline.or(course);
        }
        let stopped = reports.first()?.stopped();
        let mut merged = Report::none(&scenario.model);
        reports.iter().for_each(|report| merged.merge(report));
        if let Some(stopped) = stopped {
            merged.cut(stopped);
        }
        let course = timeline.as_ref().filter(|_| stopped.is_none());
        let advice = advice::warnings(&scenario.model, &merged, course);
        warnings.extend(advice.iter().cloned());
        Some(Results {
            policy_digest: scenario.policy.digest(),
            partial: (whole < wanted).then_some(Partial { stopped, wanted }),
            scenario,
            name,
            origin,
            warnings,
            advice,
            command,
            reports,
            merged,
            without: None,
            timeline,
        })
    }

    /// The name of a cell's command.
    pub fn cmd_name(&self, cell: &Cell) -> &str {
        self.scenario.model.cmds.get(cell.cmd).map_or("all", |cmd| cmd.name.as_str())
    }

    /// How busy the instances of an app were, over all replications; unknown of a run that was
    /// stopped, whose reports count work that lies behind.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn utilisation(&self, app: usize) -> Option<f64> {
        if self.merged.stopped().is_some() {
            return None;
        }
        let able = self.merged.usage.get(app)?.able();
        let busy = *self.merged.busy.get(app)?;
        (able > 0).then(|| busy as f64 / able as f64)
    }

    /// The mean number of instances of an app, over all replications.
    pub fn mean_instances(&self, app: usize) -> Option<f64> {
        let windows = self.merged.window().0.saturating_mul(self.reports.len() as u64);
        Some(self.merged.usage.get(app)?.mean(Nanoseconds(windows)))
    }

    /// What an app held in one run, in hours of one core; the mean over the replications.
    pub fn core_hours(&self, app: usize) -> Option<f64> {
        let cores = self.scenario.model.apps.get(app)?.life.needs.cores;
        let hours = self.merged.window().seconds() / 3600.0;
        Some(self.mean_instances(app)? * f64::from(cores) * hours)
    }

    /// Whether any app scales.
    pub fn scales(&self) -> bool {
        let model = &self.scenario.model;
        model.apps.iter().any(|app| app.scaling(&model.dynamics).is_some())
    }

    /// A figure of one cell over the replications; those without it are left out.
    pub fn over_replications(&self, cell: usize, figure: impl Fn(&Cell) -> Option<f64>) -> Moments {
        let cells = self.reports.iter().filter_map(|report| report.cells.get(cell));
        cells.filter_map(figure).collect()
    }
}

/// The part of requests that were refused; none if none arrived.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn refused_part(cell: &Cell) -> Option<f64> {
    let arrivals = cell.arrivals();
    (arrivals > 0).then(|| cell.refusals() as f64 / arrivals as f64)
}

/// A length of time for statistics.
pub fn seconds(time: Nanoseconds) -> f64 {
    time.seconds()
}
