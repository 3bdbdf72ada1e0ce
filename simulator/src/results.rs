//! What a command has found out: the reports of all replications, and how to get them again.

use policy::Nanoseconds;
use simulator_kernel::Moments;
use simulator_model::{Cell, Report};

use simulator::scenario::Scenario;

/// Results of one `simulator run`.
#[derive(Debug)]
pub struct Results {
    /// What was run; its seed is the first.
    pub scenario: Scenario,
    /// The name of the file.
    pub name: String,
    /// The command that gives the same results.
    pub command: String,
    /// One report for each seed, in their order.
    pub reports: Vec<Report>,
    /// All of them in one.
    pub merged: Report,
}

impl Results {
    /// Results of at least one report.
    pub fn new(scenario: Scenario, name: String, command: String, reports: Vec<Report>) -> Self {
        let mut merged = Report::none(&scenario.model);
        reports.iter().for_each(|report| merged.merge(report));
        Results { scenario, name, command, reports, merged }
    }

    /// The name of a cell's command.
    pub fn cmd_name(&self, cell: &Cell) -> &str {
        self.scenario.model.cmds.get(cell.cmd).map_or("all", |cmd| cmd.name.as_str())
    }

    /// How busy the instances of an app were while they could work, over all replications.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn utilisation(&self, app: usize) -> Option<f64> {
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
